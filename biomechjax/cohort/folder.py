"""The cohort on disk: a BIDS folder with the Motion extension (BIDS 1.9; Jeung et al. 2024, Sci Data 11:716).

    dataset_description.json   participants.tsv   participants.json   scans.json   motion_format.json   README
    sub-001/sub-001_scans.tsv
    sub-001/motion/sub-001_task-walk_tracksys-markerless_run-01_{motion.tsv,channels.tsv,motion.json}

Beyond BIDS: `participants.tsv` has a column `split`, so that a person is in exactly one of train, validation and test,
and `motion_format.json` holds the motion format, so that a cohort needs no other file to be read.
"""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np

from biomechjax.cohort.splits import SPLITS, assign_splits, check_apart
from biomechjax.cohort.tables import number_columns, typed
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.bids_motion import sampling_frequency
from biomechjax.motion.files import read_object, repeated
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.motion.tsv import read_matrix, read_table

__all__ = ["SPLITS", "Cohort", "Trial", "assign_splits", "write_cohort"]

_PERSON = re.compile(r"sub-[a-zA-Z0-9]{1,200}")
_SCAN = re.compile(r"motion/(sub-[a-zA-Z0-9]+)_task-([a-zA-Z0-9]+)_tracksys-[a-zA-Z0-9]+_run-(\d{1,9})_motion\.tsv")

LONGEST_NAME = 240  # a file system has no longer ones


@dataclasses.dataclass(frozen=True)
class Trial:
    """One recorded movement and what is known about it.

    Attributes:
        participant: as in participants.tsv, "sub-001".
        task: the BIDS task label, "walk".
        run: counts the trials of a participant and task from 1.
        path: the motion.tsv file.
        labels: columns of participants.tsv and scans.tsv; numbers as float, `n/a` left out.
    """

    participant: str
    task: str
    run: int
    path: Path
    labels: dict[str, str | float]

    @property
    def channels(self) -> Path:
        """The table of the columns."""
        return self._beside("channels.tsv")

    @property
    def sidecar(self) -> Path:
        """The file with the sampling frequency."""
        return self._beside("motion.json")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name.removesuffix("motion.tsv") + ending)


@dataclasses.dataclass(frozen=True)
class Cohort:
    """People and their trials, in one motion format.

    Attributes:
        path: the folder.
        name: from dataset_description.json.
        simulated: whether the people are made up.
        format: what the columns of the recordings mean.
        participants: labels of each participant by id, with `split`.
        trials: of all participants, in the order of participants.tsv and scans.tsv.
        splits_by: how people were divided, from dataset_description.json; None where it does not say.
    """

    path: Path
    name: str
    simulated: bool
    format: MotionFormat
    participants: dict[str, dict[str, str | float]]
    trials: tuple[Trial, ...]
    splits_by: str | None = None

    @classmethod
    def load(cls, path: Path | str) -> "Cohort":
        """Reads the tables of a cohort folder; the movements are read one by one with `read`.

        Raises:
            InputError: the folder is no cohort, a column is missing, a participant stands twice or has an unknown split
                or no scans.tsv, a trial is of an unknown participant, or a listed file is absent.
        """
        path = Path(path)
        if not (path / "dataset_description.json").is_file():
            raise InputError(
                f"{path}: no cohort folder (no dataset_description.json); scripts/prepare_data.py makes one"
            )
        description = read_object(path / "dataset_description.json")
        format = _read_format(path / "motion_format.json")
        participants = _read_participants(path / "participants.tsv")
        for folder in sorted(p for p in path.glob("sub-*") if p.is_dir()):
            if folder.name not in participants:
                raise InputError(f"{folder}: participant {folder.name} is not in {path / 'participants.tsv'}")
        scans = [(person, row) for person in participants for row in _read_scans(path, person)]
        numbers = number_columns([row for _, row in scans])
        trials = tuple(_trial(path, person, participants[person], row, numbers) for person, row in scans)
        simulated = bool(description.get("Simulated", False))
        name, splits_by = description.get("Name", path.name), description.get("SplitsBy")
        if not isinstance(name, str) or not isinstance(splits_by, str | None):
            raise InputError(f"{path / 'dataset_description.json'}: Name and SplitsBy; expected text")
        return cls(path, name, simulated, format, participants, trials, splits_by)

    @property
    def held_out(self) -> list[str]:
        """Participants who are not to be trained on."""
        return [person for person, about in self.participants.items() if about["split"] != "train"]

    def trials_of(self, split: str) -> list[Trial]:
        """The trials of the participants of one split.

        Raises:
            InputError: unknown split.
        """
        if split not in SPLITS:
            raise InputError(f"split {split!r}; expected one of {SPLITS}")
        return [t for t in self.trials if self.participants[t.participant]["split"] == split]

    def read(self, trial: Trial) -> Recording:
        """Reads one movement; channels of the format that the file lacks are marked as not observed.

        Raises:
            InputError: a row has the wrong number of columns or a cell that is no number (with file and line), a value
                is not finite, the sampling frequency is not positive, or a channel is unknown, stands twice, or has
                another unit than the format.
        """
        rate_hz = sampling_frequency(trial.sidecar)
        columns = _read_channels(trial.channels, self.format)
        numbers = read_matrix(trial.path, len(columns))
        values = np.zeros((len(numbers), self.format.size), np.float32)
        values[:, columns] = numbers
        observed = np.zeros(self.format.size, bool)
        observed[columns] = True
        return Recording(self.format, rate_hz, values, observed, str(trial.path))

    def data_hash(self) -> str:
        """SHA-256 (hex) over labels, splits and movements; equal for equal data wherever the folder lies.

        Raises:
            InputError: a movement is in two splits.
        """
        digest = hashlib.sha256()
        scans = (self.path / person / f"{person}_scans.tsv" for person in self.participants)
        contents = {}
        for file in (self.path / "participants.tsv", *scans, *(t.path for t in self.trials)):
            digest.update(file.relative_to(self.path).as_posix().encode() + b"\0")
            contents[file] = hashlib.sha256(file.read_bytes())
            digest.update(contents[file].digest())
        split = {person: str(about["split"]) for person, about in self.participants.items()}
        check_apart((str(t.path), contents[t.path].hexdigest(), split[t.participant]) for t in self.trials)
        return digest.hexdigest()


def _read_format(path: Path) -> MotionFormat:
    try:
        return MotionFormat.from_dict(read_object(path), str(path))
    except (TypeError, KeyError) as e:  # a table of another shape
        raise InputError(f"{path}: not a motion format: {e}") from e


def _read_participants(path: Path) -> dict[str, dict[str, str | float]]:
    rows = read_table(path, ("participant_id", "split"))
    if not rows:
        raise InputError(f"{path}: no participants")
    numbers = number_columns(rows) - {"participant_id", "split"}
    participants: dict[str, dict[str, str | float]] = {}
    for row in rows:
        person, split = row["participant_id"], row["split"]
        if not _PERSON.fullmatch(person):  # it becomes the name of a folder
            raise InputError(f"{path}: participant {person!r}; expected sub- and letters or digits (BIDS)")
        if person in participants:
            raise InputError(f"{path}: participant {person} stands twice; a participant is in exactly one split")
        if split not in SPLITS:
            raise InputError(f"{path}: participant {person}: split {split!r}; expected one of {SPLITS}")
        participants[person] = {c: v for c, v in typed(row, numbers).items() if c != "participant_id"}
    return participants


def _read_scans(root: Path, person: str) -> list[dict[str, str]]:
    path = root / person / f"{person}_scans.tsv"
    rows = read_table(path, ("filename",))
    names = [row["filename"] for row in rows]
    if twice := repeated(names):
        raise InputError(f"{path}: {twice[0]} stands twice")
    return rows


def _trial(root: Path, person: str, about: dict[str, str | float], row: dict[str, str], numbers: set[str]) -> Trial:
    scans, name = root / person / f"{person}_scans.tsv", row["filename"]
    match = _SCAN.fullmatch(name)
    if not match or len(name) > LONGEST_NAME:
        raise InputError(f"{scans}: {name!r}; expected motion/sub-ID_task-LABEL_tracksys-NAME_run-NN_motion.tsv")
    if match[1] != person:
        raise InputError(f"{scans}: {name!r} is of participant {match[1]}, not {person}")
    labels = {c: v for c, v in about.items() if c != "split"} | typed(row, numbers - {"filename"})
    del labels["filename"]
    trial = Trial(person, match[2], int(match[3]), root / person / name, labels)
    for needed in (trial.path, trial.channels, trial.sidecar):
        if not needed.is_file():
            raise InputError(f"{needed}: absent, though {scans} lists {name}")
    return trial


def _read_channels(path: Path, format: MotionFormat) -> list[int]:
    """The format's column index of each column of the file."""
    columns = []
    for number, row in enumerate(read_table(path, ("name", "units")), start=2):
        name, unit = row["name"], row["units"]
        if name not in format.indices:
            raise InputError(f"{path}: line {number}: channel {name!r} is not one of format {format.name}")
        index = format.indices[name]
        if unit != format.channels[index].unit:
            raise InputError(f"{path}: line {number}: {name} in {unit!r}; expected {format.channels[index].unit!r}")
        if index in columns:
            raise InputError(f"{path}: line {number}: channel {name!r} stands twice")
        columns.append(index)
    return columns
