"""UI-PRMD's download layout becomes a cohort; the files here are made up."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.splits import Listed
from biomechjax.cohort.ui_prmd import prepare_ui_prmd
from biomechjax.errors import InputError

COLUMNS = {"vicon": 117, "kinect": 66}


def angles(columns: int, frames: int = 60) -> np.ndarray:
    """Degrees that wander, the first column across the half turn, the second beyond a whole one."""
    degrees = np.cumsum(np.random.default_rng(0).normal(size=(frames, columns)), axis=0)
    degrees[:, 0] = (np.linspace(150, 230, frames) + 180) % 360 - 180
    degrees[:, 1] = 400 + np.linspace(0, 5, frames)
    return degrees


def lay_out(root: Path, sensor: str = "vicon", people: int = 5, delimiter: str = ",") -> Path:
    for top, suffix in (("Segmented Movements", ""), ("Incorrect Segmented Movements", "_inc")):
        folder = root / top / sensor.capitalize() / "Angles"
        folder.mkdir(parents=True)
        for person in range(1, people + 1):
            for movement in (1, 10):
                file = folder / f"m{movement:02d}_s{person:02d}_e01_angles{suffix}.txt"
                np.savetxt(file, angles(COLUMNS[sensor]), fmt="%.2f", delimiter=delimiter)
    return root


@pytest.mark.parametrize(("sensor", "rate", "delimiter"), [("vicon", 100, ","), ("kinect", 30, "  ")])
def test_becomes_a_cohort(tmp_path: Path, sensor, rate: float, delimiter: str):
    prepared = prepare_ui_prmd(lay_out(tmp_path / "in", sensor, delimiter=delimiter), tmp_path / "out", sensor=sensor)
    assert (prepared.written, prepared.left_out) == (20, [])
    cohort = Cohort.load(tmp_path / "out")
    assert not cohort.simulated
    assert {t.participant for t in cohort.trials_of("test")} == {"sub-s05"}
    assert len(cohort.trials_of("train")) == 16
    assert {(t.task, t.labels["movement"], t.labels["execution"]) for t in cohort.trials} == {
        (task, movement, execution)
        for task, movement in (("deepSquat", "deep squat"), ("standingShoulderScaption", "standing shoulder scaption"))
        for execution in ("correct", "incorrect")
    }
    recording = cohort.read(cohort.trials[0])
    assert recording.rate_hz == rate
    truth = angles(COLUMNS[sensor])
    np.testing.assert_allclose(recording.values[:, 2:], np.deg2rad(truth[:, 2:]), atol=2e-4)


def test_angles_do_not_jump(tmp_path: Path):
    prepare_ui_prmd(lay_out(tmp_path / "in"), tmp_path / "out")
    cohort = Cohort.load(tmp_path / "out")
    values = np.rad2deg(cohort.read(cohort.trials[0]).values)
    np.testing.assert_allclose(values[:, 0], np.linspace(150, 230, 60) - 360, atol=0.02)  # median 190 is -170
    np.testing.assert_allclose(values[:, 1], 40 + np.linspace(0, 5, 60), atol=0.02)


def test_chosen_people_are_tested(tmp_path: Path):
    prepare_ui_prmd(lay_out(tmp_path / "in"), tmp_path / "out", Listed(("s01", "s03")))
    assert {t.participant for t in Cohort.load(tmp_path / "out").trials_of("test")} == {"sub-s01", "sub-s03"}


def test_unreadable_files_are_left_out_and_listed(tmp_path: Path):
    folder = lay_out(tmp_path / "in") / "Segmented Movements/Vicon/Angles"
    row = ",".join(["1"] * 117)
    broken = {
        "m01_s01_e02_angles.txt": ("", "empty"),
        "m01_s01_e03_angles.txt": ((row[:-2] + "\n") * 60, "116 columns; expected 117"),
        "m01_s01_e04_angles.txt": ((row + "\n") * 60 + row[:-1] + "x\n", "line 61, column 117: 'x' is not a number"),
        "m01_s01_e05_angles.txt": (row + "\n", "1 frames"),
    }
    for name, (text, _) in broken.items():
        (folder / name).write_text(text)
    (folder / "m01_s01_e06_angles.txt.gz").write_bytes(gzip.compress(((row + "\n") * 60).encode()))
    (folder / "m01_s01_e07_angles.txt.gz").write_bytes(b"not gzip")
    prepared = prepare_ui_prmd(tmp_path / "in", tmp_path / "out")
    assert prepared.written == 21
    reasons = {Path(file).name: reason for file, reason in prepared.left_out}
    assert reasons.keys() == {*broken, "m01_s01_e07_angles.txt.gz"}
    for name, (_, told) in broken.items():
        assert told in reasons[name] and name in reasons[name]


def test_mostly_unreadable_is_an_error(tmp_path: Path):
    folder = lay_out(tmp_path / "in") / "Segmented Movements/Vicon/Angles"
    for file in [*folder.iterdir(), *(tmp_path / "in/Incorrect Segmented Movements/Vicon/Angles").glob("m10_s01*")]:
        file.write_text("")
    with pytest.raises(InputError, match="11 of 20 files not readable; the first: .*m01_s01_e01_angles.txt: empty"):
        prepare_ui_prmd(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_absent_sensor_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="Kinect/Angles: no such folder"):
        prepare_ui_prmd(lay_out(tmp_path / "in"), tmp_path / "out", sensor="kinect")


@pytest.mark.parametrize("wanted", [("s09",), ("s01", "s02", "s03", "s04", "s05")])
def test_bad_test_participants_are_told(tmp_path: Path, wanted: tuple[str, ...]):
    with pytest.raises(InputError, match="test participant"):
        prepare_ui_prmd(lay_out(tmp_path / "in"), tmp_path / "out", Listed(wanted))
