"""The cohort on disk: what is written is read back, and what is broken is told by file and line."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from biomechjax.cohort.folder import SPLITS, Cohort, assign_splits, write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording

FORMAT = MotionFormat.from_dict(
    {
        "name": "leg",
        "description": "a hip, a knee and a height",
        "channels": [["hip", "rad", "hip", 1, -1.0, 2.0], ["knee", "rad", "knee", 1], ["height", "m", "height", 1]],
    }
)
PEOPLE = [
    {"participant_id": "sub-01", "split": "train", "group": "1", "age": 40},
    {"participant_id": "sub-02", "split": "test", "group": "b", "age": None},
]


def recording(seed: int, observed: tuple[bool, ...] = (True, True, True), frames: int = 40) -> Recording:
    seen = np.array(observed)
    values = np.random.default_rng(seed).normal(size=(frames, 3)).astype(np.float32) * seen
    return Recording(FORMAT, 50.0, values, seen)


def trials_of(row):
    """Two walks and a squat without height for each participant."""
    person = int(row["participant_id"][-1])
    yield {"task": "walk", "activity": "walking", "speed": 1.25}, recording(10 * person)
    yield {"task": "walk", "activity": "walking", "speed": 1.5}, recording(10 * person + 1)
    yield {"task": "squat", "activity": "squat"}, recording(10 * person + 2, (True, True, False))


def write(out: Path, **changes) -> Path:
    settings = {
        "name": "two people",
        "simulated": False,
        "format": FORMAT,
        "tracking_system": "markers",
        "participants": PEOPLE,
        "trials": trials_of,
    }
    write_cohort(out, **settings | changes)
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "cohort")


def first(folder: Path, ending: str) -> Path:
    return folder / f"sub-01/motion/sub-01_task-walk_tracksys-markers_run-01_{ending}"


def test_what_is_written_is_read_back(folder: Path):
    cohort = Cohort.load(folder)
    assert (cohort.name, cohort.simulated, cohort.format) == ("two people", False, FORMAT)
    assert [(t.participant, t.task, t.run) for t in cohort.trials[:3]] == [
        ("sub-01", "walk", 1),
        ("sub-01", "walk", 2),
        ("sub-01", "squat", 1),
    ]
    for trial, (_, truth) in zip(cohort.trials[:3], trials_of(PEOPLE[0]), strict=True):
        found = cohort.read(trial)
        np.testing.assert_allclose(found.values, truth.values, atol=5.1e-5)
        assert found.rate_hz == 50
        assert (found.observed == truth.observed).all()


def test_labels_merge_person_and_trial_without_absent_ones(folder: Path):
    walk, _, squat, *others = Cohort.load(folder).trials
    # "group" has a cell that is no number, so its "1" stays text.
    assert walk.labels == {"group": "1", "age": 40.0, "activity": "walking", "speed": 1.25}
    assert "speed" not in squat.labels
    assert "age" not in others[0].labels


def test_splits_are_by_participant(folder: Path):
    cohort = Cohort.load(folder)
    assert {t.participant for t in cohort.trials_of("train")} == {"sub-01"}
    assert {t.participant for t in cohort.trials_of("test")} == {"sub-02"}
    assert cohort.trials_of("validation") == []
    with pytest.raises(InputError, match="holdout"):
        cohort.trials_of("holdout")


def test_bids_files(folder: Path):
    sidecar = json.loads(first(folder, "motion.json").read_text())
    assert sidecar == {
        "SamplingFrequency": 50.0,
        "TaskName": "walk",
        "TrackingSystemName": "markers",
        "MotionChannelCount": 3,
        "MotionFormat": "leg",
    }
    assert json.loads((folder / "dataset_description.json").read_text())["BIDSVersion"] == "1.9.0"
    assert first(folder, "channels.tsv").read_text().splitlines()[3] == "height\tn/a\tPOS\theight\tm"
    assert (folder / ".bidsignore").read_text() == "motion_format.json\n"
    assert "Infinity" not in (folder / "motion_format.json").read_text()


def test_hash_follows_the_data_not_the_place(folder: Path, tmp_path: Path):
    same = write(tmp_path / "elsewhere")
    assert Cohort.load(same).data_hash() == Cohort.load(folder).data_hash()
    file = first(same, "motion.tsv")
    file.write_text(file.read_text().replace("0.1", "0.2", 1))
    assert Cohort.load(same).data_hash() != Cohort.load(folder).data_hash()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("participants.tsv", "split", "part", "participants.tsv: line 1: column 'split' is missing"),
        ("participants.tsv", "\ttest", "\tholdout", "participants.tsv: participant sub-02: split 'holdout'"),
        ("participants.tsv", "sub-02\ttest", "sub-01\ttest", "participants.tsv: participant sub-01 stands twice"),
        ("participants.tsv", "sub-02\ttest\tb\tn/a\n", "", "sub-02: participant sub-02 is not in .*participants.tsv"),
        ("participants.tsv", "\tb\t", "\t", "participants.tsv: line 3: 3 cells; the header has 4"),
        ("sub-01/sub-01_scans.tsv", "filename", "file", "sub-01_scans.tsv: line 1: column 'filename' is missing"),
        ("sub-01/sub-01_scans.tsv", "run-02", "run-07", "run-07_motion.tsv: absent, though .*sub-01_scans.tsv lists"),
        ("sub-01/sub-01_scans.tsv", "run-02", "run-01", "run-01_motion.tsv stands twice"),
        ("sub-01/sub-01_scans.tsv", "sub-01_task", "sub-02_task", "is of participant sub-02, not sub-01"),
        ("sub-01/sub-01_scans.tsv", "motion/", "../", "expected motion/sub-ID_task-LABEL"),
        ("motion_format.json", '"hip"', '"knee"', "motion_format.json: .*'knee'"),
        ("motion_format.json", '"channels": [', '"channels": [7, ', "motion_format.json: not a motion format"),
        ("dataset_description.json", "{", "", "dataset_description.json: not readable as JSON"),
    ],
)
def test_broken_tables_are_told(folder: Path, file: str, old: str, new: str, told: str):
    edit(folder / file, old, new)
    with pytest.raises(InputError, match=told):
        Cohort.load(folder)


def test_a_folder_that_is_no_cohort_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="no cohort folder"):
        Cohort.load(tmp_path)


def test_a_missing_scans_table_is_told(folder: Path):
    (folder / "sub-02/sub-02_scans.tsv").unlink()
    with pytest.raises(InputError, match="sub-02_scans.tsv: not readable"):
        Cohort.load(folder)


@pytest.mark.parametrize(
    ("ending", "change", "told"),
    [
        ("motion.tsv", lambda s: s[: int(len(s) * 0.6)].rsplit("\t", 1)[0], r"line \d+: [12] columns; expected 3"),
        ("motion.tsv", lambda s: s.replace("\t", "\tx", 1), "line 1, column 2: 'x.*' is not a number"),
        ("motion.tsv", lambda s: "nan" + s[s.index("\t") :], "channel hip is not a finite number from frame 0"),
        ("motion.tsv", lambda s: "", "empty"),
        ("motion.tsv", lambda s: s.replace("\n", "\t1\n"), "line 1: 4 columns; expected 3"),
        ("motion.json", lambda s: s.replace("50.0", "0"), "SamplingFrequency is 0"),
        ("motion.json", lambda s: s.replace("50.0", '"fast"'), "SamplingFrequency is 'fast'"),
        ("motion.json", lambda s: s.replace("SamplingFrequency", "Rate"), "SamplingFrequency is None"),
        ("channels.tsv", lambda s: s.replace("knee\tn/a", "toe\tn/a"), "line 3: channel 'toe' is not one of"),
        ("channels.tsv", lambda s: s.replace("knee\tn/a", "hip\tn/a"), "line 3: channel 'hip' stands twice"),
        ("channels.tsv", lambda s: s.replace("\trad", "\tdeg", 1), "line 2: hip in 'deg'; expected 'rad'"),
    ],
)
def test_a_broken_recording_is_told(folder: Path, ending: str, change, told: str):
    file = first(folder, ending)
    file.write_text(change(file.read_text()))
    cohort = Cohort.load(folder)
    with pytest.raises(InputError, match=f"run-01_motion|{file.name}") as error:
        cohort.read(cohort.trials[0])
    assert error.match(told)


def fails_at_the_second(row):
    """A participant's trials, of which the second person's have another format."""
    for labels, good in trials_of(row):
        if row["participant_id"] == "sub-02":
            other = MotionFormat.from_dict(FORMAT.to_dict() | {"name": "other"})
            good = Recording(other, 50.0, good.values, good.observed)
        yield labels, good


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_left_after_a_failure(tmp_path: Path, workers: int):
    with pytest.raises(InputError, match="format other; the cohort has leg"):
        write(tmp_path / "cohort", trials=fails_at_the_second, workers=workers)
    assert list(tmp_path.iterdir()) == []


def slow_trials_of(row):
    """A participant's trials, each after a while."""
    for trial in trials_of(row):
        time.sleep(0.1)
        yield trial


def test_an_interruption_leaves_nothing(tmp_path: Path):
    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    many = [{"participant_id": f"sub-{i:02d}", "split": "train"} for i in range(8)]
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cohort", participants=many, trials=slow_trials_of, progress=interrupt, workers=2)
    time.sleep(0.5)  # a worker that was still at it would have made the folder anew
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"participants": [PEOPLE[0], PEOPLE[0] | {"split": "test"}]}, "sub-01 stands twice"),
        ({"participants": [{"participant_id": "sub-01", "split": "all"}]}, "split 'all'"),
        ({"participants": [{"participant_id": "../x", "split": "train"}]}, "participant '../x'"),
        ({"tracking_system": "my system"}, "tracking system 'my system'"),
        ({"trials": lambda row: [({"task": "walk fast"}, recording(0))]}, "task 'walk fast'"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path: Path, changes: dict, told: str):
    with pytest.raises(InputError, match=told):
        write(tmp_path / "cohort", **changes)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(folder: Path):
    before = Cohort.load(folder).data_hash()
    with pytest.raises(InputError, match="exists already"):
        write(folder)
    assert Cohort.load(folder).data_hash() == before


def test_splits_keep_their_shares_in_every_group():
    people = [{"participant_id": f"sub-{i}", "group": "abc"[i % 3 if i < 90 else 0]} for i in range(130)]
    split = assign_splits(people, key=3)
    assert split == assign_splits(people, key=3)
    assert split != assign_splits(people, key=4)
    for group in "abc":
        members = [p["split"] for p in split if p["group"] == group]
        for name, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
            assert abs(members.count(name) - share * len(members)) <= 1.5
    assert abs(sum(p["split"] == "train" for p in split) - 91) <= 1
