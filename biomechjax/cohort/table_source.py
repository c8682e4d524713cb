"""A cohort from any recordings, listed in a table: one line of a .csv a trial.

    file,participant,task,diagnosis,walking_speed_m_s,duration_s
    normal.mot,P01,overground walking,none,1.32,1.1

`file` is relative to the table and stays below its folder. `array`, `rate_hz`, `duration_s`, `format`, `unit` and
`unit_m` say what a file does not (see `ReadOptions`), `split` is train, validation or test, and every other column is a
label, if `privacy.py` lets it stay. Cells that are empty or n/a are absent.
"""

import csv
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biomechjax.cohort.prepared import (
    Prepared,
    Progress,
    bids_label,
    check_format,
    common_format,
    head,
)
from biomechjax.cohort.privacy import Privacy
from biomechjax.cohort.splits import SPLITS, Division, LastFifth, divide
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.mapping import to_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording
from biomechjax.motion.tsv import ABSENT

REQUIRED = ("file", "participant", "task")
OPTIONS = tuple(f.name for f in dataclasses.fields(ReadOptions))
NUMBERS = ("rate_hz", "duration_s", "unit_m")
NO_LABELS = (*REQUIRED, *OPTIONS, "split")
RESERVED = ("filename", "participant_id", "source_file")  # columns that the cohort writes itself


def prepare_table(
    input: Path | str,
    out: Path | str,
    format: str | None = None,
    division: Division | None = None,
    progress: Progress | None = None,
    privacy: Privacy | None = None,
) -> Prepared:
    """Writes the recordings of a table as a cohort of one motion format.

    Every file is read twice, first to see whether it can be used and in which format all can be, so that one recording
    is in memory at a time.

    Args:
        input: the table.
        out: the cohort folder to make.
        format: name or .toml file of the cohort's motion format; else that of the recordings if it is one, else
            canonical.
        division: whom to test on, by the ids and label columns of the table; the others train. None for the table's
            column `split`, or without one the last fifth.
        progress: called while the files are looked at, then while participants are written.
        privacy: what of the table stands in the cohort; None for pseudonyms of a new salt.

    Raises:
        InputError: the table is unreadable or lacks a column, a participant is in two splits or has none while others
            do, the division asks for what is not there or leaves nobody to train, the format is unknown, no line is
            left, or `out` exists.
    """
    input = Path(input)
    privacy = privacy or Privacy()
    lines = _read_lines(input)
    by_source, dropped = _pseudonymise(lines, input, privacy)
    division = privacy.division(division)
    splits = _splits(lines, input) if division is None else {}
    rows = {_name(number, row, privacy): row for number, row in lines.items()}
    left_out: list[tuple[str, str]] = []
    heads = _read_heads(rows, input.parent, left_out, progress)
    target = common_format(list(heads.values()), format)
    kept, notes = check_format(heads, target, left_out)
    left_out = [(which, privacy.hidden(reason, *_names(rows[which], input.parent))) for which, reason in left_out]
    if not kept:
        raise InputError(f"{input}: none of {len(lines)} lines could be used; the first: {': '.join(left_out[0])}")
    of: dict[str, list[str]] = {}
    for which in kept:
        of.setdefault(rows[which]["participant"], []).append(which)
    people = [person for person in by_source if person in of]
    ids = _ids(people, input)
    splits_by = "as given" if splits else str(division or LastFifth())
    if not splits:
        known = _known_of(people, lines.values())
        stay = {p: {c: v for c, v in row.items() if c not in (*REQUIRED, *dropped)} for p, row in known.items()}
        splits = divide(stay, division or LastFifth())
    person_of = {i: p for p, i in ids.items()}

    def trials_of(participant: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Recording]]:
        for which in of[person_of[participant["participant_id"]]]:
            row = rows[which]
            labels = {c: v for c, v in row.items() if c not in (*NO_LABELS, *dropped)}
            source = {"source_file": row["file"]} if "file" in privacy.keep else {}
            yield {"task": bids_label(row["task"]), **labels, **source}, to_format(_read(row, input.parent), target)

    write_cohort(
        out,
        name=privacy.cohort_name(input.stem),
        simulated=False,
        format=target,
        tracking_system="table",
        participants=[{"participant_id": ids[p], "split": splits[p]} for p in privacy.in_order(people)],
        trials=trials_of,
        progress=progress,
        splits_by=splits_by,
        salt=privacy.salt,
    )
    order = {which: i for i, which in enumerate(rows)}
    notes = {privacy.hidden(note): count for note, count in notes.items()}
    return Prepared(len(kept), target, sorted(left_out, key=lambda x: order[x[0]]), notes, dropped)


def _pseudonymise(lines: dict[int, dict[str, str]], path: Path, privacy: Privacy) -> tuple[list[str], dict[str, str]]:
    """Calls the participants of the lines, in place, what the cohort calls them; returns them in the order of their
    ids, and the columns that do not stay, with reasons."""
    people = sorted({row["participant"] for row in lines.values() if "participant" in row})
    labels = [{c: v for c, v in row.items() if c not in NO_LABELS} for row in lines.values()]
    dropped = privacy.dropped(labels, people)
    try:
        ids = privacy.ids(people)
    except InputError as e:
        raise InputError(f"{path}: {e}") from e
    for row in lines.values():
        if "participant" in row:
            row["participant"] = ids[row["participant"]]
    return list(ids.values()), dropped


def _name(number: int, row: Mapping[str, str], privacy: Privacy) -> str:
    if privacy.hides_files:
        return f"line {number}"
    return ", ".join([f"line {number}", row.get("file", "no file"), *([row["array"]] if "array" in row else [])])


def _names(row: Mapping[str, str], folder: Path) -> list[str]:
    """What a message may call the recording of a line."""
    if "file" not in row:
        return []
    path = folder / row["file"]
    stem = path.name.removesuffix("_motion.tsv")
    return [str(path.resolve()), str(path), row["file"], path.name, stem, row.get("array", "")]


def _read(row: Mapping[str, str], folder: Path) -> Recording:
    return read_recording(_file(row, folder), _options(row, folder))


def _read_heads(
    rows: Mapping[str, dict[str, str]], folder: Path, left_out: list[tuple[str, str]], progress: Progress | None
) -> dict[str, Recording]:
    """The heads of the recordings that can be read, by their line; adds the others to `left_out`."""
    heads: dict[str, Recording] = {}
    seen: dict[tuple[Path, str], str] = {}
    for done, (which, row) in enumerate(rows.items(), start=1):
        try:
            file = _file(row, folder)
            same = file.resolve(), row.get("array", "")
            if same in seen:
                raise InputError(f"the same recording as {seen[same]}; a recording stands once")
            heads[which] = head(_read(row, folder))
            seen[same] = which
        except InputError as e:
            left_out.append((which, str(e)))
        if progress:
            progress(done, len(rows))
    return heads


def _read_lines(path: Path) -> dict[int, dict[str, str]]:
    """The cells that are not absent, by line of the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [c.strip() for c in next(rows, [])]
            numbered = [(rows.line_num, [c.strip() for c in row]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: not readable as a table of trials (.csv): {e}") from e
    if missing := [c for c in REQUIRED if c not in header]:
        raise InputError(f"{path}: line 1: column {missing[0]!r} is missing; found {', '.join(header) or 'nothing'}")
    if wrong := [c for c in header if not c or header.count(c) > 1 or c in RESERVED]:
        raise InputError(f"{path}: line 1: column {wrong[0]!r} stands twice, has no name, or is {', '.join(RESERVED)}")
    cells = {number: row for number, row in numbered if any(row)}
    if not cells:
        raise InputError(f"{path}: no lines after the header; expected one a trial")
    for number, row in cells.items():
        if len(row) != len(header):
            raise InputError(f"{path}: line {number}: {len(row)} cells; the header has {len(header)}")
    absent = ("", ABSENT)
    return {n: {c: v for c, v in zip(header, row, strict=True) if v not in absent} for n, row in cells.items()}


def _splits(lines: dict[int, dict[str, str]], path: Path) -> dict[str, str]:
    """The split of each participant; empty if the table gives none."""
    splits: dict[str, str] = {}
    if not any("split" in row for row in lines.values()):
        return splits
    for number, row in lines.items():
        person, split = row.get("participant", ""), row.get("split")
        if split not in SPLITS:
            raise InputError(f"{path}: line {number}: split {split or 'is empty'!r}; expected one of {SPLITS}")
        if splits.setdefault(person, split) != split:
            raise InputError(
                f"{path}: line {number}: participant {person} is in {split} here and in {splits[person]} above; "
                "a participant is in exactly one split"
            )
    return splits


def _known_of(people: Sequence[str], lines: Iterable[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The cells of each participant that are the same in all their lines."""
    known: dict[str, dict[str, str]] = {}
    for row in lines:
        person = row.get("participant", "")
        of_person = known.setdefault(person, dict(row))
        known[person] = {c: v for c, v in of_person.items() if row.get(c) == v}
    return {p: known[p] for p in people}


def _file(row: Mapping[str, str], folder: Path) -> Path:
    if missing := [c for c in REQUIRED if c not in row]:
        raise InputError(f"{missing[0]} is empty")
    if not bids_label(row["task"]):
        raise InputError(f"task {row['task']!r} has no letter or digit")
    if bad := [c for c, v in row.items() if set(v) & set("\t\r\n")]:
        raise InputError(f"{bad[0]} holds a tab or a line break")
    return _inside(row["file"], folder)


def _inside(name: str, folder: Path) -> Path:
    """The file below `folder`, links followed."""
    path = folder / name
    try:
        is_inside = not Path(name).is_absolute() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError) as e:  # too long, or with a character that no name has
        raise InputError(f"{name[:80]!r} is no path: {e}") from e
    if not is_inside:
        raise InputError(f"{name} is not below the folder of the table; paths are relative to it and stay inside")
    return path


def _options(row: Mapping[str, str], folder: Path) -> ReadOptions:
    given: dict[str, Any] = {c: row[c] for c in OPTIONS if c in row}
    for name in NUMBERS:
        if name in given:
            try:
                given[name] = float(given[name])
            except ValueError:
                raise InputError(f"{name} is {given[name]!r}; expected a number") from None
    if given.get("format", "").endswith(".toml"):
        given["format"] = str(_inside(given["format"], folder))
    return ReadOptions(**given)


def _ids(people: Sequence[str], path: Path) -> dict[str, str]:
    """The BIDS id of each participant: sub-, then letters and digits."""
    ids = {p: f"sub-{bids_label(p.removeprefix('sub-'))}" for p in people}
    by_id = {i: p for p, i in ids.items()}
    for person, name in ids.items():
        if name == "sub-" or by_id[name] != person:
            other = f"as is {by_id[name]!r}" if by_id[name] != person else "which is no name"
            raise InputError(f"{path}: participant {person!r} becomes {name} (BIDS), {other}; rename one")
    return ids
