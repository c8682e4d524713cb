"""However a training is laid out, it ends alike: devices, strategies, parts of a batch, layers; by `matrix_run.py`."""

from pathlib import Path

import numpy as np
import portpicker
import pytest
from processes import run_python, start_python

from biomechjax.parallel.strategies import STRATEGIES

HERE = Path(__file__).parent
LIMIT = 1e-5
LOSS = "metrics/answer"
WHATS, PARTS, LAYERS = ("full", "lora", "qlora"), (1, 4), ("scan", "unrolled")
SOME = ["full/fsdp_tp/4/scan", "full/cp/4/scan"]
ALL = [f"{w}/{s}/{n}/{layers}" for w in WHATS for s in STRATEGIES for n in PARTS for layers in LAYERS]
# Over processes the layout is the same: what else there is comes once.
OVER_PROCESSES = [f"{w}/{s}/4/scan" for w in WHATS for s in STRATEGIES] + [f"full/{s}/1/unrolled" for s in STRATEGIES]

Results = dict[str, np.ndarray]


def of_devices(folder: Path, devices: int, cases: list[str]) -> Results:
    run = run_python(HERE / "matrix_run.py", folder / "out.npz", devices, ",".join(cases), devices=devices)
    assert run.returncode == 0, run.stderr[-3000:]
    return read(folder)


def of_processes(folder: Path, count: int, cases: list[str]) -> Results:
    others = [f"localhost:{portpicker.pick_unused_port()}", count]
    command = [HERE / "matrix_run.py", folder / "out.npz", count, ",".join(cases), *others]
    running = [start_python(*command, i) for i in range(count)]
    said = [p.communicate()[0] for p in running]
    assert [p.returncode for p in running] == [0] * count, [s[-3000:] for s in said]
    return read(folder)


def read(folder: Path) -> Results:
    with np.load(folder / "out.npz", allow_pickle=False) as file:
        return dict(file)


def leaves(results: Results, case: str) -> Results:
    return {k.removeprefix(f"{case}:"): v for k, v in results.items() if k.startswith(f"{case}:")}


def assert_alike(one: Results, other: Results) -> None:
    """Parameters and the optimizer's state at the end, and the loss of every step."""
    assert one.keys() == other.keys() and len(one[LOSS]) == 10
    assert one[LOSS][-1] < one[LOSS][0] - 0.01  # it learned
    for path, leaf in one.items():
        assert leaf.shape == other[path].shape and leaf.dtype == other[path].dtype, path
        np.testing.assert_allclose(other[path], leaf, rtol=LIMIT, atol=LIMIT, err_msg=path)


@pytest.fixture(scope="module")
def some(tmp_path_factory) -> Results:
    return of_devices(tmp_path_factory.mktemp("some"), 4, SOME)


@pytest.fixture(scope="module")
def every(tmp_path_factory) -> Results:
    return of_devices(tmp_path_factory.mktemp("all"), 8, ALL)


@pytest.fixture(scope="module", params=[2, 4])
def spread(request, tmp_path_factory) -> Results:
    return of_processes(tmp_path_factory.mktemp("spread"), request.param, OVER_PROCESSES)


def test_four_devices_that_share_weights_and_parts_of_batches_end_as_one(some):
    for case in SOME:
        assert_alike(leaves(some, f"{case.split('/')[0]}/one"), leaves(some, case))


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL)
def test_eight_devices_end_as_one(every, case):
    assert_alike(leaves(every, f"{case.split('/')[0]}/one"), leaves(every, case))


@pytest.mark.slow
@pytest.mark.parametrize("case", OVER_PROCESSES)
def test_processes_end_as_one_device(every, spread, case):
    assert_alike(leaves(every, f"{case.split('/')[0]}/one"), leaves(spread, case))
