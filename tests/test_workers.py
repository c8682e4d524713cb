"""Work spread over processes: in order, in small parts, and ended with the one that asked for it."""

import os
import time
from pathlib import Path

import pytest
from processes import start_python

from biomechjax.workers import mapping


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers):
    with mapping(abs, workers) as mapped:
        assert list(mapped(range(-40, 0))) == list(range(40, 0, -1))


def test_workers_end_with_a_parent_that_was_killed():
    run = start_python(Path(__file__).parent / "workers_run.py")
    workers = [int(run.stdout.readline()) for _ in range(2)]
    run.kill()
    until = time.monotonic() + 20
    while (left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and time.monotonic() < until:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, 9)
    assert not left
