"""A cohort from a BIDS folder with the Motion extension that some other program wrote.

    participants.tsv                                   perhaps with a column split
    sub-01/[ses-1/]sub-01[_ses-1]_scans.tsv            perhaps
    sub-01/[ses-1/]motion/sub-01[_ses-1]_task-walk[_acq-X]_tracksys-imu[_run-1]_{motion.tsv,channels.tsv,motion.json}

`motion/bids_motion.py` reads the movements.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biomechjax.cohort.prepared import Prepared, Progress, check_format, head
from biomechjax.cohort.privacy import SALT_FILE, Privacy, new_salt, pseudonym, read_salt
from biomechjax.cohort.splits import SPLITS, Division, LastFifth, divide
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.bids_motion import FORMAT, read_bids_motion
from biomechjax.motion.files import read_object
from biomechjax.motion.format import CANONICAL, MotionFormat, load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.tsv import ABSENT, read_table

NO_LABELS = ("participant_id", "filename", "split")
_PERSON = re.compile(r"sub-[a-zA-Z0-9]+")
_SESSION = re.compile(r"ses-[a-zA-Z0-9]+")
_FILE = re.compile(
    r"(sub-[a-zA-Z0-9]+)(?:_ses-([a-zA-Z0-9]+))?_task-([a-zA-Z0-9]+)(?:_acq-[a-zA-Z0-9]+)?"
    r"_tracksys-([a-zA-Z0-9]+)(?:_acq-[a-zA-Z0-9]+)?(?:_run-\d+)?_motion\.tsv"
)


def prepare_bids(
    input: Path | str,
    out: Path | str,
    format: str | None = None,
    division: Division | None = None,
    progress: Progress | None = None,
    privacy: Privacy | None = None,
) -> Prepared:
    """Writes the recordings of a BIDS folder as a cohort; every file is read twice, as in `prepare_table`.

    Args:
        input: the folder with participants.tsv.
        out: the cohort folder to make.
        format: of the cohort, a name or .toml file; else that in the folder's motion_format.json, else canonical. A
            folder without motion_format.json is read in it too.
        division: whom to test on, by the ids and columns of participants.tsv; the others train. None for the folder's
            own column `split`, or without one the last fifth.
        progress: called while the files are looked at, then while participants are written.
        privacy: what of the folder stands in the cohort; None for pseudonyms of a new salt, or of a cohort folder for
            all that is there. A cohort folder that gets no other salt keeps its columns, and the salt it has.

    Raises:
        InputError: the folder or its participants.tsv is unreadable, a split is unknown, no recording is left, the
            division asks for what is not there or leaves nobody to train, or `out` exists.
    """
    root = Path(input)
    description = _json(root / "dataset_description.json")
    ours = (root / FORMAT).is_file()
    privacy = privacy or Privacy(None if ours else new_salt())
    with _hiding_ids(privacy):
        people = _participants(root / "participants.tsv")
        scans = _scans(root)
    ids = privacy.ids(people)
    own, target = _formats(root, format)
    present = dict.fromkeys(sorted(root.glob("sub-*/**/*_motion.tsv")))
    files = dict.fromkeys(f for f in scans if f.name.endswith("_motion.tsv")) | present
    cells = [{c: v for c, v in row.items() if c not in NO_LABELS} for row in (*people.values(), *scans.values())]
    sessions = [{"session": match[2]} for file in files if (match := _FILE.fullmatch(file.name)) and match[2]]
    dropped = {} if ours and privacy.salt is None else privacy.dropped([*cells, *sessions], ids)
    heads: dict[str, Recording] = {}
    labels: dict[str, dict[str, Any]] = {}
    left_out: list[tuple[str, str]] = []
    for done, file in enumerate(files, start=1):
        which = file.as_posix().removeprefix(f"{root.as_posix()}/")
        try:
            if file not in present:
                raise InputError("absent, though scans.tsv lists it")
            labels[which] = _labels(file, ids, scans)
            heads[which] = head(read_bids_motion(file, own, turn_knees=not ours))
        except InputError as e:
            left_out.append((which, str(e)))
        if progress:
            progress(done, len(files))
    usable, notes = check_format(heads, target, left_out)
    kept = {labels[which]["participant_id"] for which in usable}
    left_out += [(p, "a participant without a recording that could be used") for p, i in ids.items() if i not in kept]
    left_out = [(_shown(which, privacy), _hidden(reason, root / which, privacy)) for which, reason in left_out]
    if not usable:
        reason = f"the first: {': '.join(left_out[0])}" if left_out else "expected sub-*/motion/*_motion.tsv"
        raise InputError(f"{root}: none of {len(files)} recordings could be used; {reason}")
    stay = {ids[p]: {c: v for c, v in row.items() if c not in dropped} for p, row in people.items() if ids[p] in kept}
    rows, splits_by = _with_splits(stay, privacy.division(division))
    systems = {labels[which]["tracksys"] for which in usable}
    several = len(systems) > 1

    def trials_of(participant: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Recording]]:
        for which in usable:
            if labels[which]["participant_id"] == participant["participant_id"]:
                about = {c: v for c, v in labels[which].items() if c not in ("participant_id", "tracksys", *dropped)}
                recording = to_format(read_bids_motion(root / which, own, turn_knees=not ours), target)
                yield about | ({"tracking_system": labels[which]["tracksys"]} if several else {}), recording

    write_cohort(
        out,
        name=privacy.cohort_name(str(description.get("Name", root.name))),
        simulated=bool(description.get("Simulated", False)),
        format=target,
        tracking_system="several" if several else systems.pop(),
        participants=[{"participant_id": p} | rows[p] for p in privacy.in_order(rows)],
        trials=trials_of,
        progress=progress,
        # Texts of others may say anything; of these only a folder's of pseudonyms stay.
        columns={} if privacy.salt else _columns(root / "participants.json") | _columns(root / "scans.json"),
        splits_by=splits_by or ("as given" if privacy.salt else description.get("SplitsBy")),
        salt=read_salt(root / SALT_FILE)
        if ours and not privacy.salt and (root / SALT_FILE).is_file()
        else privacy.salt,
    )
    notes = {privacy.hidden(note): count for note, count in notes.items()}
    return Prepared(len(usable), target, left_out, notes, dropped)


@contextlib.contextmanager
def _hiding_ids(privacy: Privacy) -> Iterator[None]:
    """What is refused inside calls participants by their pseudonyms."""
    try:
        yield
    except InputError as e:
        raise InputError(_without_ids(str(e), privacy)) from None


def _without_ids(text: str, privacy: Privacy) -> str:
    """A message without ids, and without sessions, which may be dates."""
    if (salt := privacy.salt) is None:
        return text
    return _SESSION.sub("ses-...", _PERSON.sub(lambda match: pseudonym(salt, match[0]), text))


def _hidden(reason: str, file: Path, privacy: Privacy) -> str:
    """Why a file or participant was left out, without what names say."""
    names = (str(file), file.name, file.name.removesuffix("_motion.tsv"))
    return privacy.hidden(_without_ids(privacy.hidden(reason, *names), privacy))


def _shown(which: str, privacy: Privacy) -> str:
    """The participant, task and run of a file of the folder, of a name that has none the participant alone."""
    if not privacy.hides_files:
        return which
    person = _without_ids(which.partition("/")[0], privacy)
    if "/" not in which:
        return person
    match = _FILE.fullmatch(Path(which).name)
    parts = [p for p in which.rpartition("/")[2].split("_") if p.partition("-")[0] in ("task", "tracksys", "run")]
    return "_".join([person, *parts]) if match else f"{person}, a file of another name"


def _json(path: Path) -> dict[str, Any]:
    """An object; empty if the file, which BIDS lets be absent, is."""
    return read_object(path) if path.is_file() else {}


def _columns(path: Path) -> dict[str, dict[str, Any]]:
    """What is said of each column of a table."""
    columns = _json(path)
    if other := [c for c, about in columns.items() if not isinstance(about, dict)]:
        raise InputError(f"{path}: {other[0]} is {columns[other[0]]!r}; expected an object that describes a column")
    return columns


def _formats(root: Path, wanted: str | None) -> tuple[MotionFormat, MotionFormat]:
    """The format of the folder and of the cohort; only biomechjax's own folders say theirs."""
    file = root / FORMAT
    if not file.is_file():
        return load_format(wanted or CANONICAL), load_format(wanted or CANONICAL)
    own = MotionFormat.from_dict(_json(file), str(file))
    return own, load_format(wanted) if wanted else own


def _participants(path: Path) -> dict[str, dict[str, Any]]:
    people: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(read_table(path, ("participant_id",)), start=2):
        if row["participant_id"] in people:
            raise InputError(f"{path}: line {number}: participant {row['participant_id']} stands twice")
        people[row["participant_id"]] = {c: None if v == ABSENT else v for c, v in row.items() if c != "participant_id"}
    return people


def _with_splits(
    people: dict[str, dict[str, Any]], division: Division | None
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The rows with the splits of the division, or their own, or of the last fifth; and the rule, None of their own."""
    if division is None and any(row.get("split") is not None for row in people.values()):
        for person, row in people.items():
            if row["split"] not in SPLITS:
                raise InputError(f"participants.tsv: {person}: split {row['split']!r}; expected one of {SPLITS}")
        return people, None
    division = division or LastFifth()
    splits = divide(people, division)
    return {person: row | {"split": splits[person]} for person, row in people.items()}, str(division)


def _scans(root: Path) -> dict[Path, dict[str, str]]:
    """The row of each file that some scans.tsv lists, in their order."""
    tables = sorted(root.glob("sub-*/**/*_scans.tsv"))
    return {table.parent / row["filename"]: row for table in tables for row in read_table(table, ("filename",))}


def _labels(file: Path, ids: Mapping[str, str], scans: Mapping[Path, Mapping[str, str]]) -> dict[str, Any]:
    """Labels of a recording from its name and its row in scans.tsv, with participant_id, as the cohort has it, and
    tracksys."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise InputError("the name is not sub-XX[_ses-XX]_task-XX_tracksys-XX[_run-N]_motion.tsv")
    person, session, task, system = match.groups()
    if person not in ids:
        raise InputError(f"participant {person} is not in participants.tsv")
    if file not in scans and any(file.parent.parent.glob("*_scans.tsv")):
        raise InputError("the scans.tsv of its folder does not list it")
    about = {"participant_id": ids[person], "tracksys": system, "task": task} | (
        {"session": session} if session else {}
    )
    row = scans.get(file, {})
    return about | {c: None if v == ABSENT else v for c, v in row.items() if c not in ("filename", *about)}
