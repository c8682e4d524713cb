"""Writing a cohort folder (see `folder` for its layout)."""

import dataclasses
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from biomechjax.atomic import new_folder, resumed_folder
from biomechjax.cohort.privacy import SALT_FILE, write_salt
from biomechjax.cohort.splits import SPLITS
from biomechjax.cohort.tables import write_matrix, write_table
from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.workers import mapping

BIDS_VERSION = "1.9.0"  # the first with the Motion extension
BIDS_IGNORE = ".bidsignore"
STAGING = ".staging"  # participants while they are written, and the rows of those who are

Row = Mapping[str, Any]
TrialsOf = Callable[[Row], Iterable[tuple[Row, Recording]]]


def write_cohort(
    out: Path | str,
    *,
    name: str,
    simulated: bool,
    format: MotionFormat,
    tracking_system: str,
    participants: Sequence[Row],
    trials: TrialsOf,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    resume_key: str | None = None,
    splits_by: str | None = None,
    salt: bytes | None = None,
) -> None:
    """Writes a cohort; `out` appears whole or not at all.

    Args:
        out: the folder to make.
        name: goes into dataset_description.json.
        simulated: whether the people are made up; the name, the description and a README say so.
        format: of every recording.
        tracking_system: letters and digits, for the file names.
        participants: rows with `participant_id` ("sub-" and letters or digits), `split`, and any labels.
        trials: gives, for a participant's row, the (labels, recording) of each trial in order; labels have `task`
            (letters and digits) and any columns for scans.tsv. With several workers it is called in other
            processes and must be picklable.
        columns: descriptions of columns (BIDS: Description, Units, Levels) for participants.json and scans.json.
        workers: processes; the result does not depend on it.
        progress: called with (participants done, participants in all).
        resume_key: says what makes these participants and trials. Given one, participants who are written stay (in a
            hidden folder beside `out`) when the process ends before its time, and a later call with the same key goes
            on after them; without one, nothing stays.
        splits_by: how people were divided, for dataset_description.json.
        salt: of the participants' pseudonyms, for a file that only its owner can read.

    Raises:
        InputError: `out` exists, a participant stands twice or has an unknown split, a task or tracking system is not
            of letters and digits, or a recording has another format.
    """
    _check(participants, tracking_system)
    with new_folder(out) if resume_key is None else resumed_folder(out, resume_key) as root:
        (root / STAGING).mkdir(exist_ok=True)
        job = _Job(root, format, tracking_system, trials, resume_key is not None)
        rows: dict[str, list[dict[str, Any]]] = {}
        # Ended before the folder goes when something fails here: a worker still writing would make it anew.
        with mapping(job, workers) as mapped:
            for done, (person, scans) in enumerate(mapped(participants), start=1):
                rows[person] = scans
                if progress:
                    progress(done, len(participants))
        trial_columns = list(dict.fromkeys(c for scans in rows.values() for row in scans for c in row))
        for person, scans in rows.items():
            write_table(root / person / f"{person}_scans.tsv", trial_columns or ["filename"], scans)
        person_columns = list(dict.fromkeys(["participant_id", "split", *(c for row in participants for c in row)]))
        write_table(root / "participants.tsv", person_columns, participants)
        _describe(root, name, simulated, splits_by, format, columns or {}, person_columns, trial_columns)
        if salt is not None:
            write_salt(root / SALT_FILE, salt)
            with (root / BIDS_IGNORE).open("a") as file:
                file.write(f"{SALT_FILE}\n")
        shutil.rmtree(root / STAGING)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a worker needs to write one participant."""

    root: Path
    format: MotionFormat
    tracking_system: str
    trials: TrialsOf
    resumable: bool

    def __call__(self, participant: Row) -> tuple[str, list[dict[str, Any]]]:
        """Writes the movements of a participant; returns the id and the rows of scans.tsv."""
        person = participant["participant_id"]
        written = self.root / STAGING / f"{person}.json"
        if written.is_file():
            return person, json.loads(written.read_text(encoding="utf-8"))
        # Of this process alone: one whose parent was killed may still be writing the same participant.
        work = self.root / STAGING / f"{person}-{os.getpid()}"
        scans = self._write_trials(work, participant)
        shutil.rmtree(self.root / person, ignore_errors=True)  # of somebody who died before the next lines
        work.rename(self.root / person)
        if self.resumable:
            row = work.with_suffix(".json")
            row.write_text(json.dumps(scans), encoding="utf-8")
            row.rename(written)
        return person, scans

    def _write_trials(self, work: Path, participant: Row) -> list[dict[str, Any]]:
        person, folder = participant["participant_id"], work / "motion"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        folder.mkdir()
        runs: Counter[str] = Counter()
        scans = []
        for labels, recording in self.trials(participant):
            task = labels["task"]
            if not task.isalnum():
                raise InputError(f"task {task!r}: expected letters and digits only (BIDS)")
            runs[task] += 1
            stem = f"{person}_task-{task}_tracksys-{self.tracking_system}_run-{runs[task]:02d}"
            self._write(folder, stem, task, recording)
            others = {c: v for c, v in labels.items() if c != "task"}
            scans.append({"filename": f"motion/{stem}_motion.tsv"} | others)
        return scans

    def _write(self, folder: Path, stem: str, task: str, recording: Recording) -> None:
        if recording.format != self.format:
            raise InputError(f"{recording.source}: format {recording.format.name}; the cohort has {self.format.name}")
        channels = [c for c, seen in zip(self.format.channels, recording.observed, strict=True) if seen]
        write_matrix(folder / f"{stem}_motion.tsv", recording.values[:, recording.observed])
        rows = [
            {
                "name": c.name,
                "component": "n/a",
                "type": "POS" if c.unit == "m" else "JNTANG",
                "tracked_point": c.name,
                "units": c.unit,
            }
            for c in channels
        ]
        write_table(folder / f"{stem}_channels.tsv", tuple(rows[0]), rows)
        sidecar = {
            "SamplingFrequency": recording.rate_hz,
            "TaskName": task,
            "TrackingSystemName": self.tracking_system,
            "MotionChannelCount": len(channels),
            "MotionFormat": self.format.name,
        }
        _write_json(folder / f"{stem}_motion.json", sidecar)


def _check(participants: Sequence[Row], tracking_system: str) -> None:
    if not tracking_system.isalnum():
        raise InputError(f"tracking system {tracking_system!r}: expected letters and digits only (BIDS)")
    seen = set()
    for row in participants:
        person = str(row["participant_id"])
        if not (person.startswith("sub-") and person[4:].isalnum()):
            raise InputError(f"participant {person!r}: expected sub- and letters or digits (BIDS)")
        if person in seen:
            raise InputError(f"participant {person} stands twice; a participant is in exactly one split")
        if row.get("split") not in SPLITS:
            raise InputError(f"participant {person}: split {row.get('split')!r}; expected one of {SPLITS}")
        seen.add(person)


def _describe(
    root: Path,
    name: str,
    simulated: bool,
    splits_by: str | None,
    format: MotionFormat,
    columns: Mapping[str, Mapping[str, Any]],
    person_columns: Sequence[str],
    trial_columns: Sequence[str],
) -> None:
    """The files at the root other than participants.tsv."""
    if simulated and "simulated" not in name.lower():
        name += " (simulated)"
    description = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "biomechjax"}],
        "Simulated": simulated,
    } | ({"SplitsBy": splits_by} if splits_by else {})
    _write_json(root / "dataset_description.json", description)
    _write_json(root / "motion_format.json", _finite_limits(format.to_dict()))
    (root / BIDS_IGNORE).write_text("motion_format.json\n")  # ours alone; BIDS asks to name such files here
    split = {"Description": "part of the data the participant belongs to", "Levels": {s: s for s in SPLITS}}
    known = {"split": split} | {c: dict(d) for c, d in columns.items()}
    _write_json(root / "participants.json", {c: known[c] for c in person_columns if c in known})
    _write_json(root / "scans.json", {c: known[c] for c in trial_columns if c in known})
    about = "The people and movements in this folder are SIMULATED; no person was recorded.\n" if simulated else ""
    readme = f"{name}\n\n{about}Motion format {format.name}: {format.description}\n"
    (root / "README").write_text(readme, encoding="utf-8")


def _finite_limits(table: dict[str, Any]) -> dict[str, Any]:
    """The format without the limits of unlimited channels: JSON has no infinity, and a missing limit means it."""
    rows = [row[:4] if row[4:] == [-math.inf, math.inf] else row for row in table["channels"]]
    return table | {"channels": rows}


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
