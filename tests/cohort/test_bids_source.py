"""BIDS folders of other programs become ours: units and names are converted, what is left out is listed."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from biomechjax.cohort import bids_source
from biomechjax.cohort.folder import Cohort, write_cohort
from biomechjax.cohort.privacy import Privacy
from biomechjax.cohort.splits import LeaveOut, Listed
from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording

# Ids stay as they are, so that they can be told apart; test_privacy.py has pseudonyms.
prepare_bids = functools.partial(bids_source.prepare_bids, privacy=Privacy(None, keep=frozenset({"session"})))
FRAMES, RATE = 80, 50.0
KNEE = np.deg2rad(-30 + 20 * np.cos(np.arange(FRAMES) / 8))
HEIGHT = 0.9 + 0.02 * np.sin(np.arange(FRAMES) / 4)
CHANNELS = [  # name, component, tracked point, units, values as the lab writes them
    ("knee_angle_r", "n/a", "knee", "deg", np.rad2deg(KNEE)),
    ("c1", "ty", "pelvis", "mm", 1000 * HEIGHT),
    ("gyro_x", "x", "shank", "deg/s", np.ones(FRAMES)),
]


def motion(folder: Path, stem: str, channels=CHANNELS, rate=RATE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / f"{stem}_motion.tsv", np.stack([c[-1] for c in channels], axis=1), fmt="%.6f", delimiter="\t")
    rows = "".join(f"{n}\t{c}\tJNTANG\t{p}\t{u}\n" for n, c, p, u, _ in channels)
    (folder / f"{stem}_channels.tsv").write_text("name\tcomponent\ttype\ttracked_point\tunits\n" + rows)
    (folder / f"{stem}_motion.json").write_text(json.dumps({"SamplingFrequency": rate, "TaskName": "walk"}))


def lab(root: Path, people: int = 3) -> Path:
    """Another lab's folder: no splits, a session, no run numbers, units and names of its own."""
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Another lab", "BIDSVersion": "1.9.0"}))
    rows = "".join(f"sub-{i:02d}\t{50 + i}\n" for i in range(1, people + 1))
    (root / "participants.tsv").write_text("participant_id\tage\n" + rows)
    for i in range(1, people + 1):
        folder = root / f"sub-{i:02d}" / "ses-home"
        stem = f"sub-{i:02d}_ses-home_task-walk_tracksys-imu"
        motion(folder / "motion", stem)
        listed = f"filename\twalking_speed_m_s\nmotion/{stem}_motion.tsv\t1.{i}\n"
        (folder / f"sub-{i:02d}_ses-home_scans.tsv").write_text(listed)
    return root


def test_units_and_names_of_another_lab_are_converted(tmp_path: Path):
    prepared = prepare_bids(lab(tmp_path / "in"), tmp_path / "out")
    assert (prepared.written, prepared.left_out) == (3, [])
    assert prepared.notes["1 columns are no channel of format canonical; dropped: gyro_x."] == 3
    cohort = Cohort.load(tmp_path / "out")
    assert (cohort.name, cohort.simulated) == ("Another lab", False)
    assert [cohort.participants[f"sub-0{i}"] for i in (1, 3)] == [
        {"split": "train", "age": 51.0},
        {"split": "test", "age": 53.0},
    ]
    first = cohort.trials[0]
    assert first.labels == {"age": 51.0, "session": "home", "walking_speed_m_s": 1.1}
    found = cohort.read(first)
    assert found.rate_hz == RATE and found.observed.sum() == 2
    np.testing.assert_allclose(found.channel("knee_angle_r"), KNEE, atol=1e-4)
    # c1 is no name of a channel, but its tracked point and component make one.
    np.testing.assert_allclose(found.channel("pelvis_ty"), HEIGHT, atol=1e-4)
    assert not found.values[:, ~found.observed].any()


def test_our_own_folder_comes_out_equal(cohort: Cohort, tmp_path: Path):
    prepared = prepare_bids(cohort.path, tmp_path / "out")
    assert prepared.left_out == []
    again = Cohort.load(tmp_path / "out")
    assert again.data_hash() == cohort.data_hash()
    files = {p.relative_to(cohort.path) for p in cohort.path.rglob("*") if p.is_file()}
    assert {p.relative_to(again.path) for p in again.path.rglob("*") if p.is_file()} == files
    for file in files:
        assert (again.path / file).read_bytes() == (cohort.path / file).read_bytes(), file


def test_nothing_is_decided_anew_about_our_own_folder(tmp_path: Path):
    canonical = load_format("canonical")
    values = np.zeros((60, canonical.size), np.float32)
    values[:, canonical.indices["knee_angle_r"]] = 0.5  # a knee overstretched by 29 degrees
    values[::2, canonical.indices["pelvis_rotation"]] = -1e-9  # written as -0.0000

    def trials_of(_):
        yield {"task": "stand"}, Recording(canonical, 30.0, values, np.ones(canonical.size, bool))

    people = [{"participant_id": f"sub-{i}", "split": "train"} for i in range(2)]
    settings = {"name": "a", "simulated": False, "format": canonical, "tracking_system": "imu", "trials": trials_of}
    write_cohort(tmp_path / "in", participants=people, **settings)
    prepare_bids(tmp_path / "in", tmp_path / "out")
    assert Cohort.load(tmp_path / "in").data_hash() == Cohort.load(tmp_path / "out").data_hash()


def test_our_own_folder_in_another_format(tmp_path: Path):
    toml = tmp_path / "leg.toml"
    toml.write_text('name = "leg"\nchannels = [["K", "rad", "K"]]\n[canonical]\nknee_angle_r = "-K"\n')
    prepare_bids(lab(tmp_path / "in"), tmp_path / "canonical")
    prepare_bids(tmp_path / "canonical", tmp_path / "out", str(toml))
    other = Cohort.load(tmp_path / "out")
    assert len(other.trials) == 3
    for trial in other.trials:
        np.testing.assert_allclose(other.read(trial).channel("K"), -KNEE, atol=1e-4)


def test_what_cannot_be_read_is_listed_and_the_rest_written(tmp_path: Path):
    root = lab(tmp_path / "in")
    folder = root / "sub-01" / "ses-home" / "motion"
    stem = "sub-01_ses-home_task-{}_tracksys-imu"
    table = root / "sub-01" / "ses-home" / "sub-01_ses-home_scans.tsv"
    knee = CHANNELS[0]
    motion(folder, stem.format("unit"), [(*knee[:3], "m", knee[-1])])
    motion(folder, stem.format("none"), CHANNELS[2:])
    motion(folder, stem.format("twice"), [knee, knee])
    motion(folder, stem.format("rate"), rate=0)
    motion(folder, stem.format("cells"))
    (folder / f"{stem.format('cells')}_motion.tsv").write_text("1\t2\tx\n" * FRAMES)
    motion(folder, stem.format("channels"))
    (folder / f"{stem.format('channels')}_channels.tsv").unlink()
    table.write_text(
        table.read_text()
        + "".join(
            f"motion/{stem.format(t)}_motion.tsv\t1\n"
            for t in ("unit", "none", "twice", "rate", "cells", "channels", "absent")
        )
    )
    table.write_text(table.read_text() + f"/elsewhere/{stem.format('outside')}_motion.tsv\t1\n")
    motion(folder, stem.format("unlisted"))
    with (root / "participants.tsv").open("a") as file:
        file.write("sub-08\t30\n")
    motion(root / "sub-09" / "motion", "sub-09_task-walk_tracksys-imu")
    motion(root / "sub-02" / "motion", "sub-02_walk")
    prepared = prepare_bids(root, tmp_path / "out")
    reasons = {Path(which).name.removesuffix("_motion.tsv"): reason for which, reason in prepared.left_out}
    expected = {
        stem.format("unit"): "channel knee_angle_r is in 'm'; expected one of rad, deg",
        stem.format("none"): "no column is a channel of format canonical",
        stem.format("twice"): "_channels.tsv: channel knee_angle_r stands twice",
        stem.format("rate"): "SamplingFrequency is 0",
        stem.format("cells"): "line 1, column 3: 'x' is not a number",
        stem.format("channels"): "_channels.tsv is not beside it",
        stem.format("unlisted"): "scans.tsv of its folder does not list it",
        stem.format("outside"): "absent, though scans.tsv lists it",
        stem.format("absent"): "absent, though scans.tsv lists it",
        "sub-08": "a participant without a recording",
        "sub-09_task-walk_tracksys-imu": "participant sub-09 is not in participants.tsv",
        "sub-02_walk": "the name is not sub-XX",
    }
    assert reasons.keys() == expected.keys()
    for name, text in expected.items():
        assert text in reasons[name]
    assert prepared.written == len(Cohort.load(tmp_path / "out").trials) == 3


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("participants.tsv", None, "participants.tsv: not readable"),
        ("participants.tsv", "id\nsub-01\n", "column 'participant_id' is missing"),
        ("participants.tsv", "participant_id\nsub-01\nsub-01\n", "line 3: participant sub-01 stands twice"),
        ("participants.tsv", "participant_id\tsplit\nsub-01\ttrain\nsub-02\t1\nsub-03\ttest\n", "sub-02: split '1'"),
        ("participants.tsv", "participant_id\nsub-04\n", "none of 3 recordings could be used; the first: sub-01"),
        ("participants.tsv", "participant_id\nsub-01\n", "nobody is left to train on"),
        ("dataset_description.json", "[", "dataset_description.json: not readable as JSON"),
        ("dataset_description.json", "[]", "expected a JSON object, found a list"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path: Path, file: str, text: str | None, message: str):
    root = lab(tmp_path / "in")
    (root / file).unlink()
    if text is not None:
        (root / file).write_text(text)
    with pytest.raises(InputError, match=message):
        prepare_bids(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_splits_of_the_folder_hold_and_people_can_be_chosen(tmp_path: Path):
    root = lab(tmp_path / "in")
    prepare_bids(root, tmp_path / "chosen", division=Listed(("01", "sub-02")))
    assert {t.participant for t in Cohort.load(tmp_path / "chosen").trials_of("test")} == {"sub-01", "sub-02"}
    split = "participant_id\tsplit\nsub-01\ttest\nsub-02\tvalidation\nsub-03\ttrain\n"
    (root / "participants.tsv").write_text(split)
    prepare_bids(root, tmp_path / "own")
    assert [p["split"] for p in Cohort.load(tmp_path / "own").participants.values()] == ["test", "validation", "train"]
    assert Cohort.load(tmp_path / "own").splits_by is None
    prepare_bids(root, tmp_path / "both", division=LeaveOut("split", "train"))
    both = Cohort.load(tmp_path / "both")
    assert [p["split"] for p in both.participants.values()] == ["train", "train", "test"]
    assert both.splits_by == "leave:split=train"
    prepare_bids(tmp_path / "both", tmp_path / "again")
    assert Cohort.load(tmp_path / "again").splits_by == "leave:split=train"
