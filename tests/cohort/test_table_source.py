"""A table of trials becomes a cohort: every line is either in it or listed with its reason."""

import csv
import functools
import weakref
from pathlib import Path

import numpy as np
import pytest

from biomechjax.cohort import table_source
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.prepared import bids_label
from biomechjax.cohort.privacy import Privacy
from biomechjax.cohort.splits import LeaveOut, Listed
from biomechjax.errors import InputError
from biomechjax.motion.readers import read_recording

# Ids and files stay as they are, so that they can be told apart; test_privacy.py has pseudonyms.
prepare_table = functools.partial(table_source.prepare_table, privacy=Privacy(None, keep=frozenset({"file"})))
FRAMES = 60
TIME = np.arange(FRAMES) / 30
TOML = """name = "leg"
channels = [["Knee.x", "rad", "Knee.x"], ["Odd", "rad", "Odd"]]
[canonical]
knee_angle_r = "-Knee.x"
"""
ODD = """name = "odd"
channels = [["Odd", "rad", "Odd"]]
"""


def knee(seed: int) -> np.ndarray:
    return -30 + 20 * np.cos((1 + seed / 10) * 6 * TIME)


def trial(path: Path, columns: dict[str, np.ndarray]) -> None:
    rows = [",".join(f"{x:.6f}" for x in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")


def lay_out(folder: Path) -> Path:
    """Ten walks w0.csv to w9.csv in canonical degrees, and one in a lab's own format."""
    folder.mkdir()
    for i in range(10):
        trial(folder / f"w{i}.csv", {"time": TIME, "knee_angle_r": knee(i), "pelvis_tx": (1 + i / 10) * TIME})
    trial(folder / "own.csv", {"time": TIME, "Knee.x": -knee(0), "Odd": TIME})
    (folder / "leg.toml").write_text(TOML)
    (folder / "odd.toml").write_text(ODD)
    return folder


def markers(path: Path, names: list[str]) -> None:
    """Each marker moves in its own way, by its place in the file."""
    header = f"DataRate NumFrames NumMarkers Units\n30 {FRAMES} {len(names)} m\n"
    moves = np.sin(TIME[:, None] + np.arange(3 * len(names)))
    rows = ["\t".join(f"{x:.6f}" for x in (i, TIME[i], *moves[i])) for i in range(FRAMES)]
    lines = ["Frame#\tTime\t" + "\t\t\t".join(names), "\t\tX1\tY1\tZ1", *rows]
    path.write_text("PathFileType 4\n" + header + "\n".join(lines) + "\n")


def table(folder: Path, rows: list[dict]) -> Path:
    columns = list(dict.fromkeys(["file", "participant", "task", *(c for row in rows for c in row)]))
    with (folder / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return folder / "trials.csv"


def walk(i: int, **more) -> dict:
    return {"file": f"w{i}.csv", "participant": f"P{i % 5}", "task": "overground walking", "unit": "deg"} | more


def test_lines_become_trials_with_their_labels(tmp_path: Path):
    rows = [walk(i, walking_speed_m_s=1 + i / 10, diagnosis="none" if i else "n/a") for i in range(10)]
    calls: list[tuple[int, int]] = []
    prepared = prepare_table(
        table(lay_out(tmp_path / "in"), rows), tmp_path / "out", progress=lambda *done: calls.append(done)
    )
    assert (prepared.written, prepared.left_out, prepared.format.name) == (10, [], "canonical")
    assert calls == [(i, 10) for i in range(1, 11)] + [(i, 5) for i in range(1, 6)]  # recordings, participants
    cohort = Cohort.load(tmp_path / "out")
    assert not cohort.simulated and cohort.name == "trials"
    assert {t.participant for t in cohort.trials_of("test")} == {"sub-P4"}
    assert {t.task for t in cohort.trials} == {"overgroundWalking"}
    by_file = {t.labels["source_file"]: t for t in cohort.trials}
    assert set(by_file) == {f"w{i}.csv" for i in range(10)}
    for i in range(10):
        found = by_file[f"w{i}.csv"]
        assert found.participant == f"sub-P{i % 5}"
        assert found.labels["walking_speed_m_s"] == pytest.approx(1 + i / 10)
        assert ("diagnosis" in found.labels) == (i > 0)
        recording = cohort.read(found)
        np.testing.assert_allclose(recording.channel("knee_angle_r"), np.deg2rad(knee(i)), atol=1e-4)
        # What the file lacks stays masked on the way to the disk and back.
        assert recording.observed.sum() == 2 and not recording.values[:, ~recording.observed].any()


def test_formats_meet_in_the_canonical_one_unless_one_is_asked_for(tmp_path: Path):
    own = {"file": "own.csv", "participant": "P9", "task": "walk", "unit": "deg", "format": "leg.toml"}
    folder = lay_out(tmp_path / "in")
    prepared = prepare_table(table(folder, [walk(0), own]), tmp_path / "mixed")
    assert prepared.format.name == "canonical"
    cohort = Cohort.load(tmp_path / "mixed")
    first, second = (cohort.read(t).channel("knee_angle_r") for t in cohort.trials)
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert prepared.notes["1 channels of format leg have no counterpart in canonical and were dropped: Odd."] == 1

    both = [own, own | {"participant": "P8", "file": "own2.csv"}]
    (folder / "own2.csv").write_bytes((folder / "own.csv").read_bytes())
    assert prepare_table(table(folder, both), tmp_path / "own").format.name == "leg"
    prepared = prepare_table(table(folder, [walk(0), walk(1)]), tmp_path / "asked", str(folder / "leg.toml"))
    recording = (cohort := Cohort.load(tmp_path / "asked")).read(cohort.trials[0])
    assert recording.format.name == "leg" and recording.observed.tolist() == [True, False]
    np.testing.assert_allclose(recording.channel("Knee.x"), -np.deg2rad(knee(0)), atol=1e-4)


def test_trials_are_not_in_memory_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alive: list[weakref.ref] = []
    most = 0

    def read(*args):
        nonlocal most
        recording = read_recording(*args)
        alive.append(weakref.ref(recording.values))
        most = max(most, sum(a() is not None for a in alive))
        return recording

    monkeypatch.setattr(table_source, "read_recording", read)
    prepare_table(table(lay_out(tmp_path / "in"), [walk(i) for i in range(10)]), tmp_path / "out")
    assert len(alive) == 20 and most <= 3


def test_sets_of_markers_become_one_of_all_markers(tmp_path: Path):
    folder = lay_out(tmp_path / "in")
    markers(folder / "a.trc", ["LASI", "RASI", "HEAD"])
    markers(folder / "b.trc", ["HEAD", "LASI", "TOE"])
    rows = [{"file": f"{n}.trc", "participant": n, "task": "walk"} for n in "ab"]
    prepared = prepare_table(table(folder, rows), tmp_path / "out")
    assert (prepared.written, prepared.left_out, prepared.format.name) == (2, [], "markers")
    cohort = Cohort.load(tmp_path / "out")
    first, second = (cohort.read(t) for t in cohort.trials)
    assert first.format.names[::3] == ("LASI.x", "RASI.x", "HEAD.x", "TOE.x")
    assert first.observed[::3].tolist() == [True, True, True, False]
    assert second.observed[::3].tolist() == [True, False, True, True]
    np.testing.assert_allclose(second.channel("HEAD.y"), first.channel("LASI.y"), atol=1e-4)
    np.testing.assert_allclose(second.channel("LASI.y"), first.channel("RASI.y"), atol=1e-4)


def test_each_bad_line_is_listed_with_its_reason_and_the_others_are_written(tmp_path: Path):
    folder = lay_out(tmp_path / "in")
    (tmp_path / "outside.csv").write_bytes((folder / "w0.csv").read_bytes())
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "cut.csv").write_text("time,knee_angle_r\n0,1\n0.5\n")
    (folder / "movie.avi").write_text("")
    bad = [
        (walk(0, file="w99.csv"), "no such file"),
        (walk(0, file="cut.csv"), "line 3: 1 cells; the header has 2"),
        (walk(0, file="movie.avi"), "no reader for '.avi'"),
        (walk(0, file="../outside.csv"), "not below the folder of the table"),
        (walk(0, file=str(folder / "w5.csv")), "not below the folder of the table"),
        (walk(0, file="link.csv"), "not below the folder of the table"),
        (walk(0, file=""), "file is empty"),
        (walk(5, participant=""), "participant is empty"),
        (walk(5, task="n/a"), "task is empty"),
        (walk(5, task="--"), "has no letter or digit"),
        (walk(0), "the same recording as line 2, w0.csv"),
        (walk(0, file="./w0.csv"), "the same recording as line 2, w0.csv"),
        (walk(5, unit=""), "does not say the unit"),
        (walk(5, unit="grad"), "unit is 'grad'"),
        (walk(5, rate_hz="fast"), "rate_hz is 'fast'; expected a number"),
        (walk(5, rate_hz="30"), "expected one column of time"),
        (walk(5, duration_s="-1"), "duration_s is -1.0"),
        (walk(5, array="a"), "array is given"),
        (walk(5, format="nosuch"), "nosuch: no such motion format"),
        (walk(5, format="../leg.toml"), "not below the folder of the table"),
        (walk(5, diagnosis="a\tb"), "diagnosis holds a tab"),
        ({"file": "own.csv", "participant": "P1", "task": "walk", "unit": "deg", "format": "odd.toml"}, "shares no"),
    ]
    good = [walk(0), walk(1), walk(2)]
    prepared = prepare_table(table(folder, [*good, *(row for row, _ in bad)]), tmp_path / "out")
    assert prepared.written == 3
    assert [which.split(",")[0] for which, _ in prepared.left_out] == [f"line {i + 5}" for i in range(len(bad))]
    for (which, reason), (row, expected) in zip(prepared.left_out, bad, strict=True):
        assert expected in reason, which
        assert (row["file"] or "no file") in which
    assert len(Cohort.load(tmp_path / "out").trials) == 3


def test_splits_of_the_table_hold(tmp_path: Path):
    rows = [walk(i, split=("train", "validation", "test")[i % 5 % 3]) for i in range(10)]
    prepare_table(table(lay_out(tmp_path / "in"), rows), tmp_path / "out")
    cohort = Cohort.load(tmp_path / "out")
    assert {p: row["split"] for p, row in cohort.participants.items()} == {
        f"sub-P{i}": ("train", "validation", "test")[i % 3] for i in range(5)
    }


def test_chosen_people_are_tested(tmp_path: Path):
    rows = [walk(i) for i in range(10)]
    prepare_table(table(lay_out(tmp_path / "in"), rows), tmp_path / "out", division=Listed(("P0", "P2")))
    cohort = Cohort.load(tmp_path / "out")
    assert {t.participant for t in cohort.trials_of("test")} == {"sub-P0", "sub-P2"}
    assert cohort.splits_by == "list:P0,P2"


def test_a_site_is_left_out_whatever_the_column_split_says(tmp_path: Path):
    """A site is one of a person if all of their lines name it."""
    rows = [
        walk(i, split="train", site="north" if i % 5 < 2 else "south", leg=("left", "right")[i // 5]) for i in range(10)
    ]
    file = table(lay_out(tmp_path / "in"), rows)
    prepare_table(file, tmp_path / "out", division=LeaveOut("site", "north"))
    assert {t.participant for t in Cohort.load(tmp_path / "out").trials_of("test")} == {"sub-P0", "sub-P1"}
    with pytest.raises(InputError, match="no column 'leg' of participants"):
        prepare_table(file, tmp_path / "legs", division=LeaveOut("leg", "left"))


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (
            [walk(0, split="train"), walk(1, split="train"), walk(5, split="test")],
            {},
            "line 4: participant P0 is in test",
        ),
        ([walk(0, split="train"), walk(1)], {}, "line 3: split 'is empty'"),
        ([walk(0, split="training"), walk(1)], {}, "line 2: split 'training'; expected one of"),
        ([walk(0), walk(1)], {"division": Listed(("P7",))}, "test participant 'P7' is not among P0, P1"),
        ([walk(0), walk(1)], {"division": Listed(("P1", "P0"))}, "nobody is left to train on"),
        ([walk(0)], {}, "nobody is left to train on"),
        ([walk(0, file="a.csv"), walk(1, file="b.csv")], {}, "none of 2 lines could be used; the first: line 2, a.csv"),
        ([walk(0), walk(1, participant="P-0")], {}, "becomes sub-P0 .BIDS., as is"),
        ([walk(0), walk(1)], {"format": "nosuch"}, "nosuch: no such motion format"),
        ([], {}, "no lines after the header"),
        ([walk(0, filename="a")], {}, "line 1: column 'filename'"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, rows: list[dict], settings: dict, message: str):
    with pytest.raises(InputError, match=message):
        prepare_table(table(lay_out(tmp_path / "in"), rows), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 'file' is missing; found nothing"),
        ("file,participant\na,b\n", "column 'task' is missing"),
        ("file,participant,task,x,x\na,b,c,1,1\n", "column 'x' stands twice"),
        ("file,participant,task\na,b\n", "line 2: 2 cells; the header has 3"),
        ('file,participant,task\n"a,b,c\n', "not readable as a table"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "trials.csv").write_text(text)
    with pytest.raises(InputError, match=f"trials.csv: .*{message}"):
        prepare_table(tmp_path / "trials.csv", tmp_path / "out")


def test_labels_of_bids():
    assert [bids_label(t) for t in ("sit to stand", "four-square step test", "TUG", "")] == [
        "sitToStand",
        "fourSquareStepTest",
        "TUG",
        "",
    ]
