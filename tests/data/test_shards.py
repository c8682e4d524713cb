"""Token records are the same bytes by any number of workers and processes, written at once or with restarts."""

import dataclasses
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from damage import edit, flip, truncate
from processes import environment

from biomechjax.cohort.folder import Cohort
from biomechjax.data import shards, tokenizing
from biomechjax.data.records import Records
from biomechjax.data.shards import shard_names
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError, Stopped

SHARD = 2
NAMES = [*shard_names("train", 5), *shard_names("validation", 2), *shard_names("test", 3)]
"""Of the cohort; the last of train and of validation are not full."""


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(tokenizing, "SHARD", SHARD)
    monkeypatch.setattr(shards, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(shards, "PATIENCE_S", 60)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out" / "records"


def write(cohort: Cohort, out: Path, **other) -> dict:
    settings = {"tokenizer": tiny.tokenizer(), "cohort": cohort, "config": ViewConfig(count=3), "seed": 5}
    return write_records(out=out, **settings | other)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def expected(cohort, tmp_path_factory) -> dict[str, bytes]:
    """All files as one process writes them at once."""
    out = tmp_path_factory.mktemp("expected") / "records"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizing, "SHARD", SHARD)
        write(cohort, out)
    return files(out)


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The names of shards while they are written."""
    names: list[str] = []
    real = tokenizing.write_shard
    monkeypatch.setattr(tokenizing, "write_shard", lambda path, lines: names.append(path.name) or real(path, lines))
    return names


def interrupt(cohort: Cohort, out: Path, after: int) -> Path:
    """The unfinished folder of a writing that failed after so many shards."""
    real = tokenizing.write_shard

    def fail(path, lines):
        if path.name in NAMES[after:]:
            raise OSError("no space left")
        return real(path, lines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizing, "AT_ONCE", 1)  # so that those before it are written
        patch.setattr(tokenizing, "write_shard", fail)
        with pytest.raises(OSError, match="no space left"):
            write(cohort, out)
    (unfinished,) = out.parent.iterdir()
    assert sorted(f.name for f in unfinished.glob("*.arrayrecord")) == sorted(NAMES[:after])
    return unfinished


def test_shards_hold_the_trials_in_order(cohort, expected, tmp_path):
    for name, content in expected.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = Records(tmp_path)
    assert [n for s in found.manifest["splits"].values() for n in s["shards"]] == NAMES
    for split in ("train", "validation", "test"):
        assert [r.trial for r in found.read(split)] == [
            str(t.path.relative_to(cohort.path)) for t in cohort.trials_of(split)
        ]


def test_a_shard_of_another_split_count_is_told(cohort, out):
    write(cohort, out)

    def forget(manifest: dict) -> None:
        manifest["splits"]["train"]["records"] -= SHARD
        del manifest["splits"]["train"]["shards"][NAMES[1]]

    edit(out / "manifest.json", forget)
    with pytest.raises(InputError, match=f"{NAMES[1]}: not one of the shards that the manifest names"):
        Records(out)
    (out / NAMES[1]).unlink()
    with pytest.raises(InputError, match="manifest.json: split train: not all of its shards"):
        Records(out)


@pytest.mark.parametrize(("workers", "processes"), [(2, 1), (1, 2), (1, 3), (1, 12)])
def test_any_number_of_workers_and_processes_writes_the_same(cohort, out, expected, written, workers, processes):
    """Threads stand for processes here; twelve are more than there are shards."""
    returned = {}

    def run(process: int) -> None:
        returned[process] = write(cohort, out, workers=workers, process=process, processes=processes)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(out) == expected
    assert list(out.parent.iterdir()) == [out]
    assert sorted(written) == sorted(NAMES)
    assert returned == {i: json.loads(expected["manifest.json"]) for i in range(processes)}


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_writing_goes_on_with_the_shards_that_are_whole(
    cohort, out, monkeypatch, expected, written, processes
):
    """Those that are damaged are written again, also where process 0 sees them before the process whose they are."""
    waiting, wait_for = threading.Event(), tokenizing.wait_for
    monkeypatch.setattr(tokenizing, "wait_for", lambda missing: waiting.set() or wait_for(missing))
    unfinished = interrupt(cohort, out, 7)
    flip(unfinished / NAMES[0])
    truncate(unfinished / NAMES[1])
    (unfinished / NAMES[2]).unlink()
    (unfinished / f"{NAMES[3]}.sha256").unlink()
    (unfinished / f"{NAMES[4]}.sha256").write_text("")
    (unfinished / ".abc").mkdir()  # of a process that was killed while it wrote a shard, or at the end
    (unfinished / ".abc" / NAMES[5]).write_text("half")
    (unfinished / "motion_tokenizer").mkdir()
    (unfinished / "manifest.json").write_text("{")
    written.clear()
    first = threading.Thread(target=write, args=(cohort, out), kwargs={"processes": processes})
    first.start()
    for process in range(1, processes):
        assert waiting.wait(60)
        write(cohort, out, process=process, processes=processes)
    first.join()
    assert sorted(written) == sorted([*NAMES[:5], *NAMES[7:]])
    assert files(out) == expected
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("other", ["seed", "views", "tokenizer", "labels", "rate", "shard"])
def test_other_inputs_do_not_reuse_shards(cohort, out, tmp_path, monkeypatch, written, other):
    folder = shutil.copytree(cohort.path, tmp_path / "cohort")
    interrupt(Cohort.load(folder), out, 7)
    settings = {}
    if other == "seed":
        settings["seed"] = 6
    elif other == "views":
        settings["config"] = ViewConfig(count=3, scale=0.06)
    elif other == "tokenizer":
        settings["tokenizer"] = dataclasses.replace(tiny.tokenizer(), table=tiny.tokenizer().table[:, ::-1])
    elif other == "labels":
        table = folder / "participants.tsv"
        table.write_text(table.read_text().replace("stroke", "Stroke"))
    elif other == "rate":
        for file in folder.rglob("*_motion.json"):
            edit(file, lambda t: t.update(SamplingFrequency=t["SamplingFrequency"] * 1.1))
    else:
        monkeypatch.setattr(tokenizing, "SHARD", 3)
    written.clear()
    write(Cohort.load(folder), out, **settings)
    assert len(written) == len(Records(out).manifest["splits"]["train"]["shards"]) + (3 if other == "shard" else 5)


def test_records_that_are_there_are_left_alone(cohort, out, expected):
    write(cohort, out)
    for process, seed in ((0, 5), (0, 6), (1, 6)):
        with pytest.raises(InputError, match="records: exists already"):
            write(cohort, out, seed=seed, process=process, processes=2)
    # Process 0 may have finished before this one began: its shards were whole.
    assert write(cohort, out, process=1, processes=2) == json.loads(expected["manifest.json"])
    assert files(out) == expected
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(("process", "missing"), [(0, f"{NAMES[1]} and 4 more"), (1, f"{NAMES[0]} and 5 more")])
def test_a_process_that_waits_says_for_what_and_gives_up(
    cohort, out, monkeypatch, expected, written, capsys, process, missing
):
    monkeypatch.setattr(shards, "PATIENCE_S", 0.1)
    with pytest.raises(Stopped, match=f"waited 0 minutes for {missing}, which another process was to write"):
        write(cohort, out, process=process, processes=2)
    assert f"waiting for other processes to write {missing}" in capsys.readouterr().out
    assert not out.exists()
    write(cohort, out)
    assert sorted(written) == sorted(NAMES)
    assert files(out) == expected


@pytest.fixture
def command(cohort, out, tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts tokenize_data.py as of `expected`, in a process of its own."""
    tiny.tokenizer().save(tmp_path / "ckpt" / "motion_tokenizer")
    (tmp_path / "ckpt" / "config.json").write_text('{"kind": "tokenizer"}')
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"

    def start(workers: int, process: int = 0, processes: int = 1) -> subprocess.Popen:
        runner = [Path(__file__).with_name("records_run.py"), SHARD]
        flags = ["--ckpt", tmp_path / "ckpt", "--data", cohort.path, "--out", out, "--seed", 5, "--views.count", 3]
        joined = ["--processes.coordinator", address, "--processes.count", processes, "--processes.index", process]
        words = [sys.executable, *map(str, (*runner, *flags, *joined, "--workers", workers))]
        # Naming GLIBC_TUNABLES keeps the command from starting itself twice.
        env = environment(GLIBC_TUNABLES="", XDG_CACHE_HOME=str(tmp_path / "cache"))
        return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate()
    assert process.returncode == 0, said[-3000:]
    return said


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(out, expected, command):
    kill_at = random.randrange(1, 7)
    process = command(workers=2)
    while process.poll() is None and len(whole := list(out.parent.glob(".*/*.sha256"))) < kill_at:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.communicate()[0][-3000:]
    print("to be killed after", kill_at, "shards, killed after", len(whole))
    assert not out.exists()
    (unfinished,) = out.parent.iterdir()
    # The hash is written after its shard.
    before = {f.name: f.stat().st_ino for f in whole}
    finish(command(workers=1))
    assert not unfinished.exists()
    assert files(out) == expected
    assert {name: (out / name).stat().st_ino for name in before} == before


@pytest.mark.slow
def test_processes_of_jax_distributed_share_the_work(out, expected, command):
    running = [command(1, process, 2) for process in range(2)]
    first, second = (finish(process) for process in running)
    assert "'train': 9, 'validation': 3, 'test': 6" in first
    assert "'train': 9" not in second  # what is said once
    assert files(out) == expected
