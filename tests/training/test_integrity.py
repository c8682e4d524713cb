"""A checkpoint whose files are not as they were written is refused by name, and a training goes on from a whole one."""

import dataclasses
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import grain
import numpy as np
import pytest
from processes import environment

from biomechjax.errors import InputError
from biomechjax.training import integrity
from biomechjax.training.checkpoint import Checkpoints, restore_params
from biomechjax.training.step import TrainState


def numbers():
    return iter(grain.MapDataset.range(100).to_iter_dataset())


def state(step: int) -> TrainState:
    return TrainState(np.array(step, np.int32), {"w": np.full(1000, step, np.float32)}, (), {})


@pytest.fixture
def saved(tmp_path) -> Path:
    """Steps 1 to 3 of which the last two are kept, beside a file that every step needs."""
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "words.json").write_text("[]")
    integrity.record(tmp_path, integrity.FILES, [tmp_path / "vocabulary", tmp_path / "base"])
    checkpoints, data = Checkpoints(tmp_path), numbers()
    for step in (1, 2, 3):
        next(data)
        checkpoints.save(step, state(step), data)
    checkpoints.close()
    return tmp_path


def files_of(folder: Path, step: int) -> list[Path]:
    return sorted(p for p in (folder / "steps" / str(step)).rglob("*") if p.is_file() and p.stat().st_size)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_hashes_are_of_every_file_of_every_step_that_is_kept(saved):
    assert sorted(p.name for p in (saved / "hashes").iterdir()) == ["2.json", "3.json", "files.json"]
    known = json.loads((saved / "hashes" / "3.json").read_text())
    assert {saved / name for name in known} == {p for p in (saved / "steps" / "3").rglob("*") if p.is_file()}
    assert len(known) > 5
    np.testing.assert_array_equal(restore_params(saved)["w"], np.full(1000, 3))


def test_a_flipped_bit_of_any_file_is_found_by_name(saved):
    for path in files_of(saved, 3):
        flip(path)
        with pytest.raises(InputError, match=f"{path} is not as it was written. The training command, run again, goes"):
            restore_params(saved)
        flip(path)
    assert restore_params(saved)["w"][0] == 3


@pytest.mark.parametrize("how", [flip, Path.unlink])
def test_a_training_goes_on_from_the_newest_whole_step_and_says_so(saved, capsys, how):
    damaged = files_of(saved, 3)[-1]
    how(damaged)
    checkpoints, data = Checkpoints(saved), numbers()
    assert checkpoints.latest() == 2
    said = capsys.readouterr().err
    assert f"step 3 is damaged: {damaged} is " in said and f"it was moved to {saved / 'damaged'}" in said
    found = checkpoints.restore(2, state(0), data)
    assert found.params["w"][0] == 2 and next(data) == 2
    checkpoints.save(3, state(3), data)  # again, in the place of the one that is damaged
    checkpoints.close()
    assert restore_params(saved)["w"][0] == 3


def test_where_no_step_is_whole_it_is_said(saved):
    for step in (2, 3):
        flip(files_of(saved, step)[0])
    with pytest.raises(InputError, match="none of the saved steps is whole; see .*damaged, or begin anew"):
        Checkpoints(saved)


def test_what_every_step_needs_is_checked_too(saved):
    flip(saved / "vocabulary" / "words.json")
    with pytest.raises(InputError, match="words.json is not as it was written"):
        integrity.check(saved, integrity.FILES)
    (saved / "vocabulary" / "words.json").unlink()
    with pytest.raises(InputError, match="words.json is missing"):
        integrity.check(saved, integrity.FILES)
    (saved / "hashes" / "files.json").write_text("[1]")
    with pytest.raises(InputError, match="files.json is not as it was written"):
        integrity.check(saved, integrity.FILES)


def test_a_step_that_was_written_as_its_process_was_killed_counts(saved):
    """Between the step, which orbax gives its name when it is whole, and its hashes."""
    (saved / "hashes" / "3.json").unlink()
    checkpoints = Checkpoints(saved)
    assert checkpoints.latest() == 3
    checkpoints.finish()
    checkpoints.close()
    assert integrity.recorded(saved, "3")


def test_a_full_disk_is_told_and_what_was_saved_is_whole(tmp_path):
    """No file may grow over 100,000 bytes, as of a quota; `full_run.py` saves two small steps and a large one."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, str(Path(__file__).parent / "full_run.py"), str(tmp_path / "run")]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, preexec_fn=limit)
    assert run.returncode == 74, run.stderr[-2000:]
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "could not be written (File too large" in line and "the newest whole step is 2. Make room" in line
    checkpoints, data = Checkpoints(tmp_path / "run"), numbers()
    assert checkpoints.latest() == 2
    assert checkpoints.restore(2, dataclasses.replace(state(0)), data).params["w"][0] == 2
    checkpoints.close()
