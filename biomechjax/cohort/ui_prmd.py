"""UI-PRMD, ten rehabilitation exercises done correctly and incorrectly (Vakanski et al. 2018, Data 3(1):2).

Reads the data set's own download: text files of degrees, one row a frame, each a single repetition,

    Segmented Movements/Vicon/Angles/m01_s01_e01_angles.txt
    Incorrect Segmented Movements/Vicon/Angles/m01_s01_e01_angles_inc.txt

and the same under Kinect; `motion/ui_prmd.py` reads them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biomechjax.cohort.prepared import Prepared
from biomechjax.cohort.splits import Division, LastFifth, divide
from biomechjax.cohort.writing import write_cohort
from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.ui_prmd import RATE_HZ, Sensor, read_ui_prmd

MOVEMENTS = (
    "deep squat",
    "hurdle step",
    "inline lunge",
    "side lunge",
    "sit to stand",
    "standing active straight leg raise",
    "standing shoulder abduction",
    "standing shoulder extension",
    "standing shoulder internal-external rotation",
    "standing shoulder scaption",
)
TASKS = tuple("".join(w.capitalize() if i else w for i, w in enumerate(re.split(r"[ -]", m))) for m in MOVEMENTS)
EXECUTIONS = {"correct": "Segmented Movements", "incorrect": "Incorrect Segmented Movements"}
COLUMNS: dict[str, dict[str, Any]] = {
    "movement": {"Description": "exercise", "Levels": {m: m for m in MOVEMENTS}},
    "execution": {
        "Description": "how the exercise was done",
        "Levels": {"correct": "as instructed", "incorrect": "deliberately not as instructed, as patients may"},
    },
}
_NAME = re.compile(r"m(\d\d)_s(\d\d)_e(\d\d)_angles(_inc)?\.txt(\.gz)?")


def prepare_ui_prmd(
    input: Path | str,
    out: Path | str,
    division: Division = LastFifth(),
    sensor: Sensor = "vicon",
) -> Prepared:
    """Writes the recordings of one sensor as a cohort.

    Args:
        input: the folder that holds "Segmented Movements".
        out: the cohort folder to make.
        division: whom to test on; participants are called as in the file names ("s06"). The others train; there is no
            validation split.
        sensor: which of the two systems.

    Raises:
        InputError: no recordings of the sensor, the division asks for what is not there or leaves nobody to train, more
            than half of the files unreadable, or `out` exists.
    """
    input = Path(input)
    if sensor not in RATE_HZ:
        raise InputError(f"sensor {sensor!r}; expected one of {tuple(RATE_HZ)}")
    format = load_format(f"ui_prmd_{sensor}")
    files = _files(input, sensor)
    recordings: dict[str, list[tuple[dict[str, str], Recording]]] = {}
    left_out: list[tuple[str, str]] = []
    for file, person, labels in files:
        try:
            recordings.setdefault(person, []).append((labels, read_ui_prmd(file, sensor)))
        except InputError as e:
            left_out.append((str(file), str(e)))
    if 2 * len(left_out) > len(files):
        raise InputError(f"{input}: {len(left_out)} of {len(files)} files not readable; the first: {left_out[0][1]}")
    recordings = {person: trials for person, trials in sorted(recordings.items()) if trials}
    splits = divide({p: {} for p in recordings}, division)
    participants = [{"participant_id": f"sub-{p}", "split": splits[p]} for p in recordings]

    def trials_of(row: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], Recording]]:
        yield from recordings[row["participant_id"].removeprefix("sub-")]

    write_cohort(
        out,
        name=f"UI-PRMD, {sensor}",
        simulated=False,
        format=format,
        tracking_system=sensor,
        participants=participants,
        trials=trials_of,
        columns=COLUMNS,
        splits_by=str(division),
    )
    return Prepared(len(files) - len(left_out), format, left_out, {})


def _files(input: Path, sensor: str) -> list[tuple[Path, str, dict[str, str]]]:
    """(file, participant, labels) of each recording, by participant, movement, execution and repetition."""
    found = []
    for execution, top in EXECUTIONS.items():
        folder = input / top / sensor.capitalize() / "Angles"
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; --input must hold the unpacked UI-PRMD download with its "
                f"{sensor.capitalize()} angles, or choose the other sensor"
            )
        for file in sorted(folder.iterdir()):
            match = _NAME.fullmatch(file.name)
            if match and 1 <= int(match[1]) <= len(MOVEMENTS):
                movement = int(match[1]) - 1
                labels = {"task": TASKS[movement], "movement": MOVEMENTS[movement], "execution": execution}
                found.append((file, f"s{match[2]}", labels))
    if not found:
        raise InputError(f"{input}: no files like {EXECUTIONS['correct']}/.../m01_s01_e01_angles.txt")
    return sorted(found, key=lambda f: (f[1], f[0].name))
