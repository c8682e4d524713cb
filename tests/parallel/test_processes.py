"""Two processes train as one does; the work is done by `process_run.py` and by the training command."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import portpicker
import pytest
from processes import PATIENT, run_python, start_python

from biomechjax.training.checkpoint import restore_state

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STEPS = 10
RUNS = "decoder/dp,decoder/pmap,decoder/fsdp,tokenizer/dp,tokenizer/pmap,tokenizer/zero1"
# As in test_devices.
FLAGS = f"{PATIENT} --xla_backend_optimization_level=0 --xla_force_host_platform_device_count="


def start(command: list[object], devices: int, **more: str) -> subprocess.Popen[str]:
    return start_python(*command, XLA_FLAGS=f"{FLAGS}{devices}", **more)


def together(out: Path, count: int, devices: int, runs: str, *more: object) -> list[tuple[int, str]]:
    """Exit status and output of so many processes of so many devices each."""
    coordinator = f"localhost:{portpicker.pick_unused_port()}"
    command = [HERE / "process_run.py", out, coordinator, count]
    processes = [start([*command, i, runs, *more], devices, JAX_ENABLE_X64="1") for i in range(count)]
    said = [p.communicate()[0] for p in processes]
    return [(p.returncode, s[-3000:]) for p, s in zip(processes, said, strict=True)]


def assert_done(ended: list[tuple[int, str]]) -> None:
    assert [status for status, _ in ended] == [0] * len(ended), ended


def final(folder: Path) -> dict[str, np.ndarray]:
    state = restore_state(folder)
    assert int(state["step"]) == STEPS
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def rows(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds_per_step"} for line in lines]


def batches(out: Path, process: int) -> list[str]:
    """A hash of each batch that a process trained on, run after run."""
    return (out / f"batches-{process}").read_text().splitlines()


def assert_close(found: Path, expected: Path) -> None:
    limit = 1e-6 if "decoder" in found.parts else 1e-10  # as in test_devices
    one, other = final(expected), final(found)
    assert one.keys() == other.keys()
    for path, leaf in one.items():
        np.testing.assert_allclose(other[path], leaf, rtol=limit, atol=limit, err_msg=path)
    assert [r["step"] for r in rows(found)] == list(range(1, STEPS + 1))
    for a, b in zip(rows(found), rows(expected), strict=True):
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-6, err_msg=str(a))


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("one")
    assert_done(together(out, 1, 2, "decoder/dp,tokenizer/dp"))
    return out


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("two")
    assert_done(together(out, 2, 1, RUNS))
    return out


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """Both processes killed before step 5."""
    out = tmp_path_factory.mktemp("killed")
    assert [status for status, _ in together(out, 2, 1, "decoder/dp", "all", "step", 5)] == [-signal.SIGKILL] * 2
    assert rows(out / "decoder" / "dp")[-1]["step"] == 4
    return out


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS.split(","))
def test_two_processes_equal_one(one, two, run):
    """Parameters, optimizer, codebook and the log."""
    assert_close(two / run, one / run.split("/")[0] / "dp")


@pytest.mark.slow
def test_two_processes_of_two_devices_equal_one(one, tmp_path):
    assert_done(together(tmp_path, 2, 2, RUNS))
    for run in RUNS.split(","):
        assert_close(tmp_path / run, one / run.split("/")[0] / "dp")


@pytest.mark.slow
def test_killed_and_run_again_equals_never_killed(two, killed, tmp_path):
    """To the bit, and so are the batches of each process."""
    again = Path(shutil.copytree(killed, tmp_path / "again"))
    ended = together(again, 2, 1, "decoder/dp")
    assert_done(ended)
    assert "steps 3 to 10" in ended[0][1] and "steps" not in ended[1][1]
    shares = [batches(two, i)[:STEPS] for i in range(2)]
    assert [batches(again, i) for i in range(2)] == [of[:4] + of[3:] for of in shares]
    assert len({digest for of in shares for digest in of}) == 2 * STEPS
    expected, found = final(two / "decoder" / "dp"), final(again / "decoder" / "dp")
    assert {path for path in expected if found[path].tobytes() != expected[path].tobytes()} == set()
    assert rows(again / "decoder" / "dp") == rows(two / "decoder" / "dp")


@pytest.mark.slow
def test_one_process_killed_reads_the_same_batches(one, tmp_path):
    assert together(tmp_path, 1, 2, "decoder/dp", "all", "step", 5)[0][0] == -signal.SIGKILL
    assert_done(together(tmp_path, 1, 2, "decoder/dp"))
    expected = batches(one, 0)[:STEPS]
    assert batches(tmp_path, 0) == expected[:4] + expected[3:]


@pytest.mark.slow
def test_one_process_goes_on_with_a_checkpoint_of_two(one, killed, tmp_path):
    again = Path(shutil.copytree(killed, tmp_path / "again"))
    assert_done(together(again, 1, 2, "decoder/dp"))
    assert_close(again / "decoder" / "dp", one / "decoder" / "dp")


KILLS = [("1", "save", 6), ("0", "save", 6), ("1", "step", 5), ("0", "step", 5)]


@pytest.fixture(scope="module", params=KILLS, ids=lambda kill: f"{kill[0]}-{kill[1]}")
def survived(request, tmp_path_factory) -> Path:
    """One of two processes killed: as step 6 is written, or before step 5; the last whole checkpoint is of step 3."""
    out, (who, when, step) = tmp_path_factory.mktemp("survived"), request.param
    (end, said), (lost, _) = together(out, 2, 1, "decoder/dp", who, when, step)[:: 1 if who == "1" else -1]
    assert lost == -signal.SIGKILL
    # The first process answers all others: where it is lost JAX may end them before they find out themselves.
    if not (who == "0" and end == -signal.SIGABRT and "another task died" in said):
        assert end == 75, said
        assert "stopped: another process ended or cannot be reached (" in said
        assert "run the same command again, on all hosts, to go on" in said
        assert "Traceback" not in said
    steps = {path.name for path in (out / "decoder" / "dp" / "steps").iterdir()}
    assert {name for name in steps if name.isdecimal()} == {"3"}
    assert any(name.startswith("6.") for name in steps) == (when == "save")
    return out


@pytest.mark.slow
def test_two_processes_go_on_after_one_was_killed(two, survived, tmp_path):
    """To the bit."""
    again = Path(shutil.copytree(survived, tmp_path / "again"))
    ended = together(again, 2, 1, "decoder/dp")
    assert_done(ended)
    assert "steps 3 to 10" in ended[0][1]
    expected, found = final(two / "decoder" / "dp"), final(again / "decoder" / "dp")
    assert {path for path in expected if found[path].tobytes() != expected[path].tobytes()} == set()
    assert rows(again / "decoder" / "dp") == rows(two / "decoder" / "dp")


@pytest.mark.slow
def test_one_process_goes_on_after_the_other_was_killed(one, survived, tmp_path):
    again = Path(shutil.copytree(survived, tmp_path / "again"))
    assert_done(together(again, 1, 2, "decoder/dp"))
    assert_close(again / "decoder" / "dp", one / "decoder" / "dp")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
def test_a_tokenizer_goes_on_with_another_number_of_processes(one, tmp_path, before, after):
    """They read the windows that were not read yet, of which each now has another share."""
    ended = together(tmp_path, before, 1, "tokenizer/dp", "all", "step", 5)
    assert [status for status, _ in ended] == [-signal.SIGKILL] * before
    assert_done(together(tmp_path, after, 1, "tokenizer/dp"))
    assert_close(tmp_path / "tokenizer" / "dp", one / "tokenizer" / "dp")


CONFIG = """
from biomechjax.training.config import DecoderExperiment, TrainConfig
def config(): return DecoderExperiment(
    TrainConfig(steps=100000, batch_size=4, learning_rate=1e-3, log_every=1, save_every=100000), row_length=128
)
"""


@pytest.mark.slow
def test_a_signal_to_one_stops_all_at_the_same_step(records_folder, tmp_path):
    """Through the command: one process is asked to stop, both do, and have saved what a single one can open."""
    config, out = tmp_path / "config.py", tmp_path / "run"
    config.write_text(CONFIG)
    command = [ROOT / "scripts/train.py", "--config", config, "--data", records_folder, "--out", out]
    command += ["--processes.coordinator", f"localhost:{portpicker.pick_unused_port()}", "--processes.count", 2]
    processes = [start([*command, "--processes.index", i], 1, XDG_CACHE_HOME=str(tmp_path)) for i in range(2)]
    log = out / "metrics.jsonl"
    while all(p.poll() is None for p in processes) and not (log.exists() and log.read_text().count("\n") > 2):
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    said = [p.communicate()[0] for p in processes]
    assert [p.returncode for p in processes] == [75, 75], said
    step = rows(out)[-1]["step"]
    assert all(f"stopped and saved at step {step} of 100000" in s for s in said), said
    assert int(restore_state(out)["step"]) == step
    assert (out / "vocabulary").is_dir() and (out / "motion_tokenizer").is_dir()


REFUSED = """
import sys
from biomechjax.errors import InputError
from biomechjax.parallel.processes import Processes, join_processes
import jax
for given in (
    dict(coordinator="localhost"), dict(count=0), dict(count=2, index=2), dict(index=0),
    dict(coordinator="localhost:1", count=2), dict(coordinator="localhost:1", index=0),
):
    try:
        join_processes(Processes(**given))
    except InputError as e:
        print(e)
join_processes(Processes())
join_processes(Processes("localhost:1", 1, 0))
print(jax.process_count())
"""


def test_settings_that_are_wrong_or_incomplete_are_refused():
    said = run_python("-c", REFUSED).stdout.splitlines()
    expected = [
        "--processes.coordinator localhost: expected HOST:PORT",
        "--processes.count 0: expected at least 1",
        "--processes.index 2: expected 0 to 1",
        "--processes.coordinator and --processes.count missing, and no cluster was found that says it",
        "--processes.index missing, and no cluster",
        "--processes.count missing, and no cluster",
        "1",
    ]
    assert len(said) == len(expected), said
    assert all(line.startswith(begin) for line, begin in zip(said, expected, strict=True)), said
