"""Damaged files of every kind are read or refused, in time and in bounds; `mutate.py` runs thousands of them."""

import os
import re
import time
from pathlib import Path

import mutate
from processes import run_python
from samples import write_samples

from biomechjax.errors import InputError
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import READERS


def test_damaged_files_are_read_or_refused(tmp_path: Path):
    sources = write_samples(tmp_path)
    plain = {"_angles_inc.txt", "_angles.txt.gz"}  # as the two other endings of UI-PRMD
    others = {".c3d", ".parquet"}  # these need other packages
    assert {s.suffix for s in sources} >= set(READERS) - plain - others
    whole = mutate.outcomes([_whole(source) for source in sources])
    assert [o.outcome for o in whole] == ["read"] * len(sources)
    count = len(mutate.MUTATIONS) * len(sources)
    found = mutate.outcomes(mutate.mutants(sources, count, seed=0))
    bad = [o for o in found if o.outcome not in ("read", "refused")]
    assert len(found) == count and not bad
    assert sum(o.outcome == "refused" for o in found) > count / 2
    assert all(re.search(r"damaged[._]\w", o.detail) for o in found if o.outcome == "refused")


def _whole(source: mutate.Sound) -> mutate.Damaged:
    stem = source.path.name[: -len(source.suffix)]
    beside = tuple((p.name.removeprefix(stem), p.read_bytes()) for p in source.beside)
    return mutate.Damaged(source.suffix, "none", source.path.read_bytes(), source.options, beside)


def _bad_reader(path: Path, options: ReadOptions) -> None:
    """Does what the file says."""
    command = path.read_text()
    if command == "fail":
        raise KeyError(command)
    if command == "refuse":
        raise InputError(command)
    if command == "hang":
        time.sleep(60)
    if command == "swell":
        bytearray(2 * mutate.LIMIT_BYTES)
    if command == "die":
        os.abort()


def test_bad_readers_are_found_out():
    """Otherwise a table of zeros would say nothing."""
    commands = ["fail", "swell", "die", "refuse", "hang", "read"]
    damaged = [mutate.Damaged(".x", command, command.encode()) for command in commands]
    found = mutate.outcomes(damaged, _bad_reader, limit_s=0.5)
    assert [o.outcome for o in found] == ["other", "over memory", "crashed", "refused", "over time", "read"]
    assert "| .x | 6 | 1 | 1 | 1 | 1 | 1 | 1 |" in mutate.table(found)


def test_readers_need_no_jax():
    """A reader's process stays small, and files can be checked where no accelerator is."""
    program = "import sys, biomechjax.motion.readers; sys.exit('jax' in sys.modules)"
    assert run_python("-c", program).returncode == 0
