"""Two laboratories whose files name the people in them and say when they were recorded, and a search for that."""

import html
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from biomechjax.data.shards import ENDING, read_shard
from biomechjax.motion.recording import Recording

PEOPLE = ("Ánna Lindqvist", "Bertil-Öberg", "Cecilia O'Hara")
IN_NAMES = ("AnnaLindqvist", "BertilOberg", "CeciliaOhara")  # of files; BIDS has letters and digits only
SHOWN = (*PEOPLE, *IN_NAMES)
NAMES = (*SHOWN, "Lindqvist", "Öberg", "O'Hara", "Nyström", "Halvorsen", "Eskilstuna")
DATES = ("1957-03-12", "12.03.1957", "March 12, 1957", "2021-11-30", "20211130", "2021-11-30T09:41:00")
NUMBERS = ("8675309", "070-1740605")
PLANTED = (*NAMES, *DATES, *NUMBERS)
TESTED = PEOPLE[1]
LABELS = {"activity": "overground walking", "walking_speed_m_s": "1.25", "diagnosis": "stroke", "site": "north"}
PERSONAL = {
    "birth_date": "12.03.1957",
    "born": "March 12, 1957",
    "acq_time": "2021-11-30T09:41:00",
    "comment": "her daughter Nyström drove her to Eskilstuna",
    "surgeon": "Halvorsen",
    "record": "8675309",
    "telephone": "070-1740605",
}
ABOUT = {"age": "64", "sex": "female"}


def forms(text: str) -> set[str]:
    """How a text may stand in a file, in lower case: as it is, and as JSON, HTML and addresses write it."""
    written = {text, json.dumps(text)[1:-1], html.escape(text), urllib.parse.quote(text), urllib.parse.quote_plus(text)}
    return {form.lower() for form in written}


def found_in(text: str | bytes) -> list[str]:
    """What was planted and stands in it, in any of its forms and in upper or lower case."""
    text = (text if isinstance(text, str) else text.decode("utf-8", errors="replace")).lower()
    return [planted for planted in PLANTED if any(form in text for form in forms(planted))]


def found_below(folder: Path) -> dict[str, list[str]]:
    """What was planted and stands in the name or the bytes of a file below a folder, or in a record of a shard."""
    found = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        texts = [str(file.relative_to(folder)), file.read_bytes()]
        if file.name.endswith(ENDING):
            texts += read_shard(file)  # compressed in the file
        if here := sorted({planted for text in texts for planted in found_in(text)}):
            found[str(file.relative_to(folder))] = here
    return found


def lay_out_table(folder: Path) -> Path:
    """A table of two walks of each person, a file that is damaged and one that is not there."""
    (folder / "Lindqvist").mkdir(parents=True)
    (folder / "walker.toml").write_text(_toml())
    rows: list[dict[str, str]] = []
    for number, recording in _walks():
        person, name = PEOPLE[number // 2], IN_NAMES[number // 2]
        file = f"Lindqvist/{name} 2021-11-30 {number}.csv"
        columns = np.column_stack([np.arange(len(recording.values)) / recording.rate_hz, recording.values])
        _matrix(folder / file, columns, ",", ",".join(["time", *recording.format.names]))
        rows.append({"file": file, "participant": person} | LABELS | ABOUT | PERSONAL)
    (folder / "Lindqvist" / "Halvorsen.csv").write_text("time,x\n0,Nyström\n")
    for file in ("Lindqvist/Halvorsen.csv", "Lindqvist/20211130.csv", "../Lindqvist.csv"):
        rows.append({"file": file, "participant": PEOPLE[0]} | LABELS | PERSONAL)
    rows.append(rows[0] | {"rate_hz": "2021-11-30"})  # cells that slipped
    columns = list(dict.fromkeys(c for row in rows for c in row))
    common = {"task": "walk", "format": "walker.toml", "unit": "rad", "unit_m": "1"}
    lines = [[{**common, **row}.get(c, "") for c in (*columns, *common)] for row in rows]
    table = folder / "Lindqvist 2021-11-30.csv"
    text = [",".join(f'"{c}"' for c in line) for line in ([*columns, *common], *lines)]
    table.write_text("\n".join(text) + "\n", encoding="utf-8")
    return table


def lay_out_bids(folder: Path) -> Path:
    """A BIDS folder of two walks of each person in a session that is a date, with files that cannot be used."""
    folder.mkdir(parents=True)
    (folder / "walker.toml").write_text(_toml())
    about = {"Name": "Gait of Ánna Lindqvist", "BIDSVersion": "1.9.0", "Authors": ["Halvorsen"], "HowTo": "2021-11-30"}
    _json(folder / "dataset_description.json", about | {"SplitsBy": "Halvorsen"})
    (folder / "README").write_text("Recorded in Eskilstuna")
    (folder / "CHANGES").write_text("1.0 2021-11-30 Halvorsen")
    described = {c: {"Description": "as Halvorsen noted it"} for c in (*ABOUT, *LABELS, *PERSONAL)}
    _json(folder / "participants.json", described)
    _json(folder / "scans.json", described)
    people = [{"participant_id": f"sub-{name}"} | ABOUT | PERSONAL for name in (*IN_NAMES, "Nyström")]
    people[-1]["participant_id"] = "sub-Eskilstuna"  # who has no recording
    _table(folder / "participants.tsv", people)
    scans: dict[str, list[dict[str, str]]] = {name: [] for name in IN_NAMES}
    for number, recording in _walks():
        name = IN_NAMES[number // 2]
        stem = f"sub-{name}_ses-20211130_task-walk_acq-Halvorsen_tracksys-imu_run-{1 + number % 2}"
        _movement(folder / f"sub-{name}" / "ses-20211130" / "motion", stem, recording)
        scans[name].append({"filename": f"motion/{stem}_motion.tsv"} | LABELS | PERSONAL)
    folder_of_one = folder / f"sub-{IN_NAMES[0]}" / "ses-20211130" / "motion"
    stem = f"sub-{IN_NAMES[0]}_ses-20211130_task-stand_tracksys-imu"
    _movement(folder_of_one, stem, tiny.walk(1))
    (folder_of_one / f"{stem}_motion.tsv").write_text("Nyström\n")
    (folder_of_one / f"sub-{IN_NAMES[0]}_Halvorsen_motion.tsv").write_text("1\n")
    scans[IN_NAMES[0]] += [
        {"filename": f"motion/{stem}_motion.tsv"},
        {"filename": f"motion/{stem}_absent_motion.tsv"},
    ]
    for name, rows in scans.items():
        _table(folder / f"sub-{name}" / "ses-20211130" / f"sub-{name}_ses-20211130_scans.tsv", rows)
    return folder


def _walks() -> Iterator[tuple[int, Recording]]:
    for number in range(2 * len(PEOPLE)):
        yield number, tiny.walk(number, 90 + 10 * number)


def _movement(folder: Path, stem: str, recording: Recording) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _matrix(folder / f"{stem}_motion.tsv", recording.values, "\t")
    channels = [{"name": c.name, "type": "POS", "units": c.unit, "note": "Nyström"} for c in recording.format.channels]
    _table(folder / f"{stem}_channels.tsv", channels)
    free = {"SubjectName": PEOPLE[0], "Operator": "Halvorsen", "AcquisitionDateTime": "2021-11-30T09:41:00"}
    _json(folder / f"{stem}_motion.json", {"SamplingFrequency": recording.rate_hz, "TaskName": "Lindqvist"} | free)


def _matrix(file: Path, values: np.ndarray, delimiter: str, header: str = "") -> None:
    np.savetxt(file, values, fmt="%.5f", delimiter=delimiter, header=header, comments="")


def _table(file: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(c for row in rows for c in row))
    lines = ["\t".join(columns), *("\t".join(row.get(c, "n/a") for c in columns) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _json(file: Path, table: dict[str, Any]) -> None:
    file.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")


def _toml() -> str:
    table = tiny.FORMAT.to_dict()
    channels = ",\n".join(json.dumps(row[:4]) for row in table["channels"])
    root = "\n".join(f'{key} = "{value}"' for key, value in table["root"].items())
    return f'name = "walker"\ndescription = "two legs"\nchannels = [\n{channels}\n]\n[root]\n{root}\n'
