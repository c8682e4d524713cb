"""Who is tested on: every rule, what it refuses, and that nobody and nothing is on both sides."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny

from biomechjax.cohort import clinic
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.splits import (
    SPLITS,
    Folds,
    LastFifth,
    LeaveOut,
    Listed,
    assign_splits,
    check_apart,
    divide,
    parse_division,
)
from biomechjax.errors import InputError

PEOPLE = {f"sub-{i:03d}": {"group": "abc"[i % 3 if i < 60 else 0], "site": "AB"[i % 2]} for i in range(97)}


@pytest.mark.parametrize("folds", [2, 5, 7])
@pytest.mark.parametrize("key", [0, 3])
def test_folds_partition_the_people_alike_in_every_group(folds: int, key: int):
    tested = [Folds(folds, i).test(PEOPLE, key) for i in range(folds)]
    assert sum(map(len, tested)) == len(PEOPLE) and set.union(*tested) == set(PEOPLE)
    for group, size in Counter(row["group"] for row in PEOPLE.values()).items():
        for fold in tested:
            assert abs(sum(PEOPLE[p]["group"] == group for p in fold) - size / folds) <= 1.5
    assert max(map(len, tested)) - min(map(len, tested)) <= 2


def test_everybody_is_tested_once_over_all_folds():
    splits = [divide(PEOPLE, Folds(4, i), key=1, validation=0.125) for i in range(4)]
    for person in PEOPLE:
        assert [s[person] for s in splits].count("test") == 1
    for s in splits:
        counts = Counter(s.values())
        assert set(counts) == set(SPLITS) and list(s) == list(PEOPLE)
        assert counts["validation"] == pytest.approx((len(PEOPLE) - counts["test"]) / 8, abs=1)


def test_the_key_draws_the_folds():
    assert Folds(5, 0).test(PEOPLE, 1) == Folds(5, 0).test(PEOPLE, 1) != Folds(5, 0).test(PEOPLE, 2)


def test_the_default_split_is_the_same_as_ever():
    """Of a cohort that was simulated before there were other rules."""
    rows = [{"participant_id": f"sub-{i}", "group": "ab"[i % 2]} for i in range(20)]
    drawn = [row["split"] for row in assign_splits(rows, 0)]
    rng, found, whole = np.random.default_rng(0), {}, np.zeros(3)
    shares = np.array([0.7, 0.1, 0.2])
    for group in "ab":
        mine, count = [i for i, row in enumerate(rows) if row["group"] == group], np.zeros(3)
        for i in rng.permutation(mine):
            lag = shares * (count.sum() + 1) - count + 0.5 * (shares * (whole.sum() + 1) - whole)
            found[i] = SPLITS[lag.argmax()]
            count[lag.argmax()] += 1
            whole[lag.argmax()] += 1
    assert drawn == [found[i] for i in range(20)]


def test_a_group_a_site_and_a_list_are_left_out(tmp_path: Path):
    site = divide(PEOPLE, LeaveOut("site", "B"))
    assert {p for p, s in site.items() if s == "test"} == {p for p, row in PEOPLE.items() if row["site"] == "B"}
    assert set(site.values()) == {"train", "test"}
    file = tmp_path / "test.txt"
    file.write_text("sub-001\n\n  003  # after the others\n# 004\n")
    listed = divide(PEOPLE, parse_division(f"list:{file}"))
    assert {p for p, s in listed.items() if s == "test"} == {"sub-001", "sub-003"}
    last = divide(PEOPLE, LastFifth())
    assert [p for p, s in last.items() if s == "test"] == list(PEOPLE)[-19:]


def test_a_rule_reads_as_it_is_written(tmp_path: Path):
    for text in ("kfold:5:0", "leave:site=A", "leave:group=knee osteoarthritis", "leave:code=a=b"):
        assert str(parse_division(text)) == text
    assert parse_division("leave:code=a=b") == LeaveOut("code", "a=b")
    (tmp_path / "mine.txt").write_text("P1\n")
    assert str(parse_division(f"list:{tmp_path / 'mine.txt'}")) == "list:mine.txt"
    assert str(Listed(("s06", "s07"))) == "list:s06,s07"


@pytest.mark.parametrize(
    "text",
    [
        "kfold:5:5",
        "kfold:5",
        "kfold:1:0",
        "kfold:5:-1",
        "kfold:a:0",
        "leave:site",
        "leave:=A",
        "leave:site=",
        "list:",
        "x",
    ],
)
def test_what_is_no_rule_is_refused(text: str):
    with pytest.raises(InputError, match="expected kfold:FOLDS:FOLD"):
        parse_division(text)


@pytest.mark.parametrize(
    ("division", "told"),
    [
        (LeaveOut("ward", "A"), "no column 'ward' of participants; found group, site"),
        (LeaveOut("site", "C"), "nobody's site is 'C'; found A, B"),
        (Listed(("sub-001", "sub-900")), "test participant 'sub-900' is not among"),
        (Listed(tuple(PEOPLE)), "nobody is left to train on"),
        (Folds(98, 0), "97 participants; expected at least one for each fold"),
    ],
)
def test_rules_that_people_do_not_fit_are_refused(division, told: str):
    with pytest.raises(InputError, match=told):
        divide(PEOPLE, division)


@pytest.mark.parametrize(
    ("text", "told"),
    [("P1\nsub-P1\n", "P1 stands twice"), ("# nobody\n", "names nobody"), (None, "not readable as a list")],
)
def test_lists_that_cannot_be_used_are_refused(tmp_path: Path, text: str | None, told: str):
    if text is not None:
        (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=told):
        parse_division(f"list:{tmp_path / 'list.txt'}")


def test_the_clinic_is_divided_as_asked_and_says_so(monkeypatch, tmp_path: Path):
    """The people stay the same; over the folds everybody is tested once, and an eighth of the others validates."""
    written: list[dict] = []
    monkeypatch.setattr(clinic, "write_cohort", lambda out, **settings: written.append(settings))
    for division in (None, *(Folds(3, i) for i in range(3))):
        clinic.simulate(tmp_path / "out", 60, 1, division=division)
    assert [w["splits_by"] for w in written] == ["shares 70%, 10%, 20%", "kfold:3:0", "kfold:3:1", "kfold:3:2"]
    assert len({w["resume_key"] for w in written}) == 4
    plain, *folds = ([{k: v for k, v in row.items() if k != "split"} for row in w["participants"]] for w in written)
    assert all(fold == plain for fold in folds)
    assert Counter(row["split"] for row in written[0]["participants"]) == {"train": 42, "validation": 6, "test": 12}
    tested: Counter = Counter()
    for w in written[1:]:
        tested.update(row["participant_id"] for row in w["participants"] if row["split"] == "test")
        assert Counter(row["split"] for row in w["participants"])["validation"] == pytest.approx(40 / 8, abs=1)
    assert tested == {row["participant_id"]: 1 for row in plain}


def test_the_clinic_writes_how_it_was_divided(tmp_path: Path):
    clinic.simulate(tmp_path / "out", 2, 1, "short", workers=1, division=LeaveOut("participant_id", "sub-002"))
    cohort = Cohort.load(tmp_path / "out")
    assert cohort.splits_by == "leave:participant_id=sub-002"
    assert [about["split"] for about in cohort.participants.values()] == ["train", "test"]


def test_a_movement_in_two_splits_is_an_error(tmp_path: Path):
    cohort = tiny.write_people(tmp_path / "cohort")
    cohort.data_hash()
    by_split = {split: cohort.trials_of(split) for split in SPLITS}
    shutil.copy(by_split["train"][0].path, by_split["train"][4].path)
    cohort.data_hash()  # of one split: odd, and no leak
    shutil.copy(by_split["test"][0].path, by_split["train"][0].path)
    with pytest.raises(
        InputError, match="sub-05.*the same movement as .*sub-01.*one is in test and the other in train"
    ):
        cohort.data_hash()


def test_leaks_are_told_of_any_two_splits():
    check_apart([("a", "1", "train"), ("b", "1", "train"), ("c", "2", "test")])
    with pytest.raises(InputError, match="c: the same movement as a, but one is in validation and the other in train"):
        check_apart([("a", "1", "train"), ("b", "2", "test"), ("c", "1", "validation")])
