"""Nothing that names a person or says when they were born or recorded leaves the source: in no file, on no stream."""

import os
import re
import runpy
import stat
import sys
from pathlib import Path

import planted
import pytest
import tiny
from planted import IN_NAMES, LABELS, PEOPLE, PERSONAL, TESTED, found_below, found_in

from biomechjax.cohort.bids_source import prepare_bids
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.privacy import SALT_FILE, Privacy, new_salt, pseudonym, read_salt
from biomechjax.cohort.splits import Folds, Listed
from biomechjax.cohort.table_source import prepare_table
from biomechjax.data.records import Record
from biomechjax.data.shards import write_shard
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError
from biomechjax.motion.bvh import read_bvh
from biomechjax.motion.trc import read_trc

SCRIPTS = Path(__file__).parents[2] / "scripts"
PREPARE = "prepare_data.py"
SOURCES = ("table", "bids")
KEPT = ",".join([*PERSONAL, "file", "session"])


def command(name: str, *words: object) -> None:
    """A command of scripts/ in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])
        patch.setenv("GLIBC_TUNABLES", "")  # or it would start this process again
        runpy.run_path(str(SCRIPTS / name))["main"]()


def prepare(source: str, laboratory: dict[str, Path], out: Path, *more: object) -> Path:
    format = ("--format", laboratory["bids"] / "walker.toml") if source == "bids" else ()
    command(PREPARE, "--source", source, "--input", laboratory[source], "--out", out, *format, *more)
    return out


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    return {"table": planted.lay_out_table(folder / "table"), "bids": planted.lay_out_bids(folder / "bids")}


@pytest.mark.parametrize("source", SOURCES)
def test_a_cohort_names_nobody_and_no_day(source: str, laboratory, tmp_path: Path, capfd):
    out = prepare(
        source, laboratory, tmp_path / "cohort", "--test-participants", TESTED if source == "table" else IN_NAMES[1]
    )
    said = capfd.readouterr()
    cohort = Cohort.load(out)
    write_records(tiny.tokenizer(), cohort, tmp_path / "records", ViewConfig())
    assert found_below(tmp_path) == {}
    assert found_in(said.out + said.err) == []
    salt = read_salt(out / SALT_FILE)
    ids = {pseudonym(salt, p) for p in (PEOPLE if source == "table" else IN_NAMES)}
    assert cohort.participants.keys() == ids and all(re.fullmatch("sub-[0-9a-f]{10}", i) for i in ids)
    assert list(cohort.participants) == sorted(ids)  # the order of the source says something of names
    (tested,) = {t.participant for t in cohort.trials_of("test")}
    assert tested == pseudonym(salt, TESTED if source == "table" else IN_NAMES[1])
    assert cohort.splits_by == f"list:{tested}"
    assert len(cohort.trials) == 6
    system = "table" if source == "table" else "imu"
    for trial in cohort.trials:
        assert trial.path.name == f"{trial.participant}_task-walk_tracksys-{system}_run-{trial.run:02d}_motion.tsv"
        # What tasks and groups ask for is there.
        assert {k: trial.labels[k] for k in ("activity", "diagnosis", "site", "sex")} == {
            "activity": LABELS["activity"],
            "diagnosis": "stroke",
            "site": "north",
            "sex": "female",
        }
        assert (trial.labels["walking_speed_m_s"], trial.labels["age"]) == (1.25, 64)
        assert not PERSONAL.keys() & trial.labels.keys()
    # What is missing is told, with the reason, and where to look without saying whose it is.
    for column in PERSONAL:
        assert f"column {column} is not in the cohort: it " in said.out
    left_out = re.findall(r"^left out (.*?): (.*)$", said.out, re.MULTILINE)
    if source == "table":
        assert [which for which, _ in left_out] == ["line 8", "line 9", "line 10", "line 11"]
    else:
        whose = pseudonym(salt, IN_NAMES[0])
        assert {which for which, _ in left_out} == {
            f"{whose}_task-stand_tracksys-imu",
            f"{whose}, a file of another name",
            pseudonym(salt, "sub-Eskilstuna"),
        }
    assert all(reason for _, reason in left_out)


@pytest.mark.parametrize("source", SOURCES)
def test_the_search_finds_all_that_was_planted_where_it_is_kept(source: str, laboratory, tmp_path: Path, capfd):
    """With every protection off the same cohort is full of it: the tests above would see a single one missing."""
    prepare(source, laboratory, tmp_path / "cohort", "--keep-ids", "--keep", KEPT)
    found = {text for texts in found_below(tmp_path).values() for text in texts}
    expected = {*PERSONAL.values(), "20211130" if source == "bids" else "2021-11-30"} - {PERSONAL["comment"]}
    assert expected | {"Nyström", "Eskilstuna", "Lindqvist"} <= found
    assert found_in(capfd.readouterr().out)
    assert not (tmp_path / "cohort" / SALT_FILE).exists()
    # Compressed as a shard, it is found still.
    write_shard(tmp_path / "x.arrayrecord", [Record("sub-1", "t", {"a": "Öberg"}, [], [], []).to_json()])
    assert found_below(tmp_path)["x.arrayrecord"] == ["Öberg"]


@pytest.mark.parametrize("text", ["ÁNNA LINDQVIST", "o&#x27;hara", "%C3%96berg", "\\u00d6BERG", "anna lindqvist"])
def test_the_search_knows_other_ways_to_write_it(text: str):
    assert bool(found_in(text)) and not found_in("Anders og 12.5 and 2021")


def test_salts(laboratory, tmp_path: Path, capsys):
    """A salt makes the pseudonyms: another cohort has others, the same salt the same, in tables and BIDS."""
    first = prepare("table", laboratory, tmp_path / "first")
    again = prepare("table", laboratory, tmp_path / "again", "--salt", first / SALT_FILE)
    other = prepare("table", laboratory, tmp_path / "other")
    a, b, c = (Cohort.load(x) for x in (first, again, other))
    assert a.participants == b.participants and a.name == b.name and a.data_hash() == b.data_hash()
    assert not a.participants.keys() & c.participants.keys() and a.name != c.name
    file = first / SALT_FILE
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", file.read_text())  # the salt and nothing else
    assert file.read_bytes() == (again / SALT_FILE).read_bytes() != (other / SALT_FILE).read_bytes()
    assert SALT_FILE in (first / ".bidsignore").read_text().split()
    capsys.readouterr()
    command("pseudonym.py", *PEOPLE, "nobody", "--salt", file)
    *known, unknown = capsys.readouterr().out.split()
    assert set(known) == a.participants.keys() and unknown not in a.participants
    (tmp_path / "short").write_text("abcd")
    for path, message in (
        (tmp_path / "short", "2 bytes"),
        (laboratory["table"], "not hexadecimal"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(InputError, match=message):
            read_salt(path)


def test_a_pseudonym_is_a_keyed_hash_of_the_plain_id():
    """Reference: RFC 2104 written out over hashlib's SHA-256."""
    import hashlib

    salt = bytes(range(32))
    pads = [bytes(b ^ pad for b in salt.ljust(64, b"\0")) for pad in (0x36, 0x5C)]
    inner = hashlib.sha256(pads[0] + "p01öa".encode()).digest()
    expected = "sub-" + hashlib.sha256(pads[1] + inner).hexdigest()[:10]
    assert {pseudonym(salt, p) for p in ("P01Öa", "sub-p01öa", " P-01 ÖA ", "p_01.öa")} == {expected}
    assert pseudonym(salt, "P02") != expected != pseudonym(new_salt(), "P01Öa")


def test_ids_that_would_be_one_person_are_refused(laboratory):
    privacy = Privacy()
    for people, message in (
        (["Ann", "Bo", "ann"], "2 participants become sub-"),
        (["Ann", "--"], "no letter or digit"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            privacy.ids(people)
        assert not {"Ann", "ann", "Bo"} & set(re.findall(r"\w+", str(refused.value)))


@pytest.mark.parametrize("source", SOURCES)
def test_refusals_name_nobody(source: str, laboratory, tmp_path: Path):
    prepare_it = {"table": prepare_table, "bids": prepare_bids}[source]
    folder = tmp_path / "in"
    copy = planted.lay_out_table(folder) if source == "table" else planted.lay_out_bids(folder)
    format = str(laboratory["bids"] / "walker.toml")
    file = copy if source == "table" else copy / "participants.tsv"
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    refused = [(lambda: prepare_it(copy, tmp_path / "out", format, Listed(("Nyström",))), "is not among sub-")]
    everybody = Listed(PEOPLE if source == "table" else IN_NAMES)
    refused.append((lambda: prepare_it(copy, tmp_path / "out", format, everybody), "nobody is left to train on"))

    def twice():
        file.write_text(text + lines[1 if source == "bids" else 1].upper() + "\n", encoding="utf-8")
        prepare_it(copy, tmp_path / "out", format)

    refused.append((twice, "differ only in case|become sub-"))

    def same():
        if source == "table":
            split = [lines[0] + ",split", *(f"{line},{('train', 'test')[i % 2]}" for i, line in enumerate(lines[1:]))]
            file.write_text("\n".join(split), encoding="utf-8")
        else:
            file.write_text(text + lines[1] + "\n", encoding="utf-8")
        prepare_it(copy, tmp_path / "out", format)

    refused.append((same, "is in test here and in train" if source == "table" else "stands twice"))
    if source == "bids":
        scans = copy / f"sub-{IN_NAMES[0]}" / "ses-20211130" / f"sub-{IN_NAMES[0]}_ses-20211130_scans.tsv"

        def cut():
            file.write_text(text, encoding="utf-8")
            scans.write_text("filename\tage\nNyström\n", encoding="utf-8")
            prepare_it(copy, tmp_path / "out", format)

        refused.append((cut, "scans.tsv: line 2: 1 cells"))
    for refuse, message in refused:
        with pytest.raises(InputError, match=message) as said:
            refuse()
        # The path that the user gave may stand there; of a table it is the file itself.
        assert found_in(str(said.value).replace(str(copy), "")) == []
    assert not (tmp_path / "out").exists()


def test_lists_of_people_are_of_the_laboratorys_ids(laboratory, tmp_path: Path, capsys):
    names = tmp_path / "Halvorsen 2021-11-30.txt"
    names.write_text(f"{TESTED}  # Nyström\n", encoding="utf-8")
    cohort = Cohort.load(prepare("table", laboratory, tmp_path / "out", "--split", f"list:{names}"))
    assert {t.participant for t in cohort.trials_of("test")} == {
        pseudonym(read_salt(tmp_path / "out" / SALT_FILE), TESTED)
    }
    assert found_below(tmp_path / "out") == {} and found_in(capsys.readouterr().out) == []
    long = Privacy().division(Listed(tuple(f"P{i}" for i in range(6)), "Halvorsen.txt"))
    assert str(long) == "list:6 participants"
    rule = Folds(2, 0)
    assert Privacy().division(rule) is rule


@pytest.mark.parametrize(
    ("column", "cells", "reason"),
    [
        *(("age", [date], "dates") for date in planted.DATES),
        ("age", ["12-Mar-57"], "dates"),
        ("age", ["64", "3/12/1957"], "dates"),
        ("diagnosis", ["stroke", "a stroke that she had while she was on holiday"], "free text"),
        ("site", ["north", "with Bo-7"], "ids of participants"),
        ("shoes", ["own", "barefoot"], "text that no task asks for"),
        ("visit_day", ["3"], "that of a date"),
        ("born_in", ["1957"], "whole numbers from 1000"),
        ("age", ["64", "90+", None, "n/a"], None),
        ("diagnosis", ["parkinson's disease", "lower limb amputation"], None),
        ("leg_length_m", ["0.91", "1234.5"], None),
        ("visit", ["1", "2"], None),
        ("asked", ["any text"], None),
        ("kept", ["1957-03-12"], None),
    ],
)
def test_columns_that_stay(column: str, cells: list, reason: str | None):
    privacy = Privacy(asked=frozenset({"asked"}), keep=frozenset({"kept"}))
    dropped = privacy.dropped([{column: cell} for cell in cells], ["Bo", "sub-Ann"])
    assert list(dropped) == ([column] if reason else [])
    assert not reason or reason in dropped[column]


def test_a_cohort_that_is_divided_anew_keeps_its_people(laboratory, tmp_path: Path, capsys):
    """Else nobody could tell that a model was trained on somebody who is held out now."""
    first = prepare("table", laboratory, tmp_path / "first", "--keep", "record")
    command(PREPARE, "--source", "bids", "--input", first, "--out", tmp_path / "again", "--split", "kfold:3:0")
    a, b = Cohort.load(first), Cohort.load(tmp_path / "again")
    assert a.name == b.name and a.participants.keys() == b.participants.keys()
    assert [t.labels for t in a.trials] == [t.labels for t in b.trials] and a.trials[0].labels["record"] == 8675309
    assert read_salt(first / SALT_FILE) == read_salt(tmp_path / "again" / SALT_FILE)
    # Asked for, they get others, as an earlier cohort with names must.
    (tmp_path / "salt").write_text(new_salt().hex())
    words = ("--source", "bids", "--input", first, "--out", tmp_path / "other", "--salt", tmp_path / "salt")
    command(PREPARE, *words)
    assert not a.participants.keys() & Cohort.load(tmp_path / "other").participants.keys()


def test_sessions_of_a_folder_without_tables_of_scans_are_looked_at_too(tmp_path: Path):
    bids = planted.lay_out_bids(tmp_path / "in")
    for table in bids.rglob("*_scans.tsv"):
        table.unlink()
    prepared = prepare_bids(bids, tmp_path / "out", str(bids / "walker.toml"))
    assert prepared.written == 6 and prepared.dropped["session"] == "it holds dates"
    assert found_below(tmp_path / "out") == {}


def test_messages_keep_their_other_words():
    assert Privacy().hidden("no/a.csv: line 2: a 'b' cat", "no/a.csv", "a.csv") == "the file: line 2: a '...' cat"
    assert Privacy().hidden("x: mac.csv and Ann:LASI_motion", "ac.csv") == "x: mac.csv and LASI_motion"
    assert Privacy().hidden("sub_a_channels.tsv is not there", "sub_a") == "the file_channels.tsv is not there"


def test_ids_that_are_pseudonyms_stay_but_dates_do_not(laboratory, tmp_path: Path):
    cohort = Cohort.load(prepare("bids", laboratory, tmp_path / "out", "--keep-ids", "--name", "a study"))
    assert set(cohort.participants) == {f"sub-{name}" for name in IN_NAMES} and cohort.name == "a study"
    assert not PERSONAL.keys() & {c for t in cohort.trials for c in t.labels}


@pytest.mark.parametrize("flag", [("--keep-ids",), ("--salt", "x"), ("--keep", "a"), ("--name", "a")])
def test_flags_for_other_sources_are_refused(flag: tuple[str, ...], tmp_path: Path):
    with pytest.raises(InputError, match="are for --source table and bids, not for ui-prmd"):
        command(PREPARE, "--source", "ui-prmd", "--input", tmp_path, "--out", tmp_path / "out", *flag)
    with pytest.raises(InputError, match="give one of them"):
        command(PREPARE, "--source", "table", "--out", tmp_path / "o", "--keep-ids", "--salt", "x")


def test_markers_and_joints_do_not_say_whose_they_are(tmp_path: Path):
    rows = "".join(f"{i}\t{i / 30:.6f}" + "".join(f"\t{x + i / 9:.4f}" for x in range(6)) + "\n" for i in range(30))
    head = "PathFileType\t4\t(X/Y/Z)\ta\nDataRate\tNumFrames\tNumMarkers\tUnits\n30\t30\t2\tm\n"
    (tmp_path / "a.trc").write_text(head + "Frame#\tTime\tLindqvist:LASI\t\t\tLindqvist:RASI\n\t\tX1\n" + rows)
    assert read_trc(tmp_path / "a.trc").format.names[::3] == ("LASI.x", "RASI.x")
    joint = "ROOT Lindqvist:Hips\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\nJOINT Lindqvist:Head\n{\n"
    joint += "OFFSET 0 1.7 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 0.1 0\n}\n}\n}\n"
    frames = "".join(f"0 {i / 99} 0 {i} 0 0\n" for i in range(30))
    (tmp_path / "a.bvh").write_text(f"HIERARCHY\n{joint}MOTION\nFrames: 30\nFrame Time: 0.033333\n{frames}")
    assert {name.partition(".")[0] for name in read_bvh(tmp_path / "a.bvh").format.names} == {"Hips", "Head"}
