"""A training goes on on whatever devices there are; the legs are run by `elastic_run.py`."""

import json
from pathlib import Path

import jax
import numpy as np
import portpicker
import pytest
from processes import start_python

from biomechjax.training.checkpoint import restore_state

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# strategy, mesh, parts of a batch, until which step; devices of a process, processes
LEGS = [
    (("fsdp_tp", "4x2", 1, 3), 8, 1),
    (("tp", "1x4", 4, 6), 4, 1),
    (("dp", "", 4, 9), 1, 1),
    (("fsdp_tp", "2x2", 2, 12), 2, 2),
]


def leg(folder: Path, what: str, how: tuple, devices: int, processes: int) -> list[dict]:
    coordinator = f"localhost:{portpicker.pick_unused_port()}"
    command = [HERE / "elastic_run.py", folder, what, *how]
    others = [[coordinator, processes, i] if processes > 1 else [] for i in range(processes)]
    running = [start_python(*command, *each, devices=devices) for each in others]
    said = [p.communicate()[0] for p in running]
    assert [p.returncode for p in running] == [0] * processes, [s[-3000:] for s in said]
    return json.loads(said[0].splitlines()[-1])


def losses(folder: Path) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    return [row["answer"] for row in rows]


@pytest.mark.parametrize("what", ["full", "qlora"])
def test_eight_four_one_and_two_by_two_devices_are_one_training(what, tmp_path):
    """At each stop what was saved is the same on the devices before and after it, and the end is that of a training
    that was never stopped, on one device."""
    found = [leg(tmp_path / "legs", what, *given) for given in LEGS]
    assert found[0][0] is None
    for (_, saved), (restored, _), step in zip(found, found[1:], (3, 6, 9), strict=False):
        assert saved["step"] == restored["step"] == step
        assert restored["answers"] == saved["answers"]
        assert restored["loss"] == pytest.approx(saved["loss"], rel=1e-6)
    held_out = [of_leg[1]["loss"] for of_leg in found]
    assert len({round(loss, 4) for loss in held_out}) == len(LEGS)  # each leg learned

    _, never_stopped = leg(tmp_path / "whole", what, ("dp", "", 1, 12), 1, 1)
    assert found[-1][1]["step"] == never_stopped["step"] == 12
    assert found[-1][1]["answers"] == never_stopped["answers"]
    assert held_out[-1] == pytest.approx(never_stopped["loss"], abs=1e-5)
    np.testing.assert_allclose(losses(tmp_path / "legs"), losses(tmp_path / "whole"), atol=1e-5)
    states = [restore_state(tmp_path / name) for name in ("legs", "whole")]
    (paths, one), (_, other) = (zip(*jax.tree_util.tree_leaves_with_path(s), strict=True) for s in states)
    for path, a, b in zip(paths, one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=jax.tree_util.keystr(path))
