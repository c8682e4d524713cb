"""C3D files: Plug-in Gait's joint angles, or else markers, through ezc3d (`pip install 'biomechjax[c3d]'`)."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.files import check_size
from biomechjax.motion.format import load_format
from biomechjax.motion.gaps import METRES, fill_gaps, unwrap_seen
from biomechjax.motion.recording import Recording, to_float32
from biomechjax.motion.trc import marker_recording

AGREE_RAD = np.deg2rad(30)  # pelvis markers and pelvis angles that differ by more do not belong together
PATIENCE_S = 4.0  # of processor time, and a second more for every 4 MB; a minute's trial of 1.3 MB takes 0.2 s
LOADED = 10  # times as long may pass where other programs have the processor
_CHILD = Path(__file__).with_name("c3d_child.py")
_PROCESSORS = {84: "<", 85: "<", 86: ">"}  # Intel, DEC, MIPS: order of the bytes in a word


@dataclasses.dataclass(frozen=True)
class _C3D:
    """Points [F, N, 3] in the file's units, NaN where not seen, and what the parameters say (see `c3d_child.py`)."""

    points: np.ndarray
    about: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Of the points, without the subject's name before a colon."""
        return [label.rpartition(":")[2] for label in self.about["labels"]]


def read_c3d(path: Path | str) -> Recording:
    """A recording of format `plugin_gait` where the file holds joint angles of that model, else of its markers.

    Angles are degrees in the file and become radians; a heading or joint that jumps by a turn goes on. Plug-in Gait
    gives pelvis angles against the axis of the laboratory along which the person walks. The middle of the pelvis
    markers (LASI, RASI and either SACR or LPSI, RPSI) is turned by the same quarter turns, which the line between LASI
    and RASI tells, so that x is that direction, y up and z to the right. Plug-in Gait's laboratory has Z up.

    Markers alone become format `markers` in metres. The laboratory's axes X, Y, Z with Z up become x = X, y = Z,
    z = -Y; where the file says that Y is up they stay as they are. No direction of walking is looked for.

    Gaps are treated as in `fill_gaps`; points that are no channel are listed in the notes.

    Raises:
        InputError: ezc3d is missing; the file is unreadable, empty, too large, cut off or no C3D file, or holds
            neither angles nor markers, a label twice, or lengths in unknown units.
    """
    path = Path(path)
    file = _load(path)
    angles = {c.name.rpartition(".")[0] for c in load_format("plugin_gait").channels if c.unit == "rad"}
    if angles & set(file.names):
        return _plugin_gait(path, file)
    outputs = set(file.about["outputs"])
    kept = [i for i, label in enumerate(file.about["labels"]) if label not in outputs]
    if not kept:
        raise InputError(f"{path}: neither joint angles of Plug-in Gait nor markers among {len(file.names)} points")
    notes = []
    if len(kept) < len(file.names):
        notes.append(f"{len(file.names) - len(kept)} points are results of a model, no markers, and were left out.")
    points = file.points[:, kept] * _metres(path, file)
    if file.about["up"][:1] in (["Y"], ["+Y"]):
        notes.append("The laboratory has Y up; its axes are kept.")
    else:
        points = points[:, :, [0, 2, 1]] * [1, 1, -1]
        notes.append("The laboratory has Z up; its X, Y, Z became x, -z, y.")
    return marker_recording(path, [file.names[i] for i in kept], file.about["rate_hz"], points, notes)


def c3d_events(path: Path | str) -> list[tuple[str, str, float]]:
    """Events of a trial as (label, side, seconds after its first frame), such as ("Foot Strike", "Left", 0.59).

    Raises:
        InputError: as `read_c3d`.
    """
    about = _load(Path(path)).about
    minutes, seconds = (about["event_minutes_seconds"][i::2] for i in (0, 1))
    start_s = about["first_frame"] / about["rate_hz"]
    events = zip(about["event_labels"], about["event_contexts"], minutes, seconds, strict=False)
    return [(label, side, 60.0 * m + s - start_s) for label, side, m, s in events]


def _plugin_gait(path: Path, file: _C3D) -> Recording:
    format, names, rate_hz = load_format("plugin_gait"), file.names, file.about["rate_hz"]
    triples = list(dict.fromkeys(n.rpartition(".")[0] for n in format.names))
    twice = [n for n in triples if names.count(n) > 1]
    if twice:
        raise InputError(f"{path}: {twice[0]} stands twice; expected one person; export each person's trial alone")
    points = np.full((len(file.points), len(triples), 3), np.nan)
    for i, name in enumerate(triples):
        if name in names:
            points[:, i] = unwrap_seen(np.deg2rad(file.points[:, names.index(name)]))
    pelvis, used, notes = _pelvis(path, file, points[:, triples.index("RPelvisAngles"), 2])
    points[:, triples.index("Pelvis")] = pelvis
    filled, seen, gap_notes = fill_gaps(points, rate_hz, triples)
    at = [triples.index(n.rpartition(".")[0]) for n in format.names]
    values = to_float32(filled[:, at, ["xyz".index(n[-1]) for n in format.names]], format.names, path)
    dropped = [n for n in names if n not in triples and n not in used]
    if dropped:
        notes.append(f"{len(dropped)} points are no channel and were left out: {', '.join(dropped)}.")
    return Recording(format, rate_hz, values, seen[at], str(path), (*notes, *gap_notes))


def _pelvis(path: Path, file: _C3D, heading: np.ndarray) -> tuple[np.ndarray | float, list[str], list[str]]:
    """Middle of the pelvis [F, 3] in metres in the frame in which `heading` [F] is, the markers used, and notes."""
    at = {name: i for i, name in enumerate(file.names)}
    back = [n for n in ("LPSI", "RPSI") if n in at] if "SACR" not in at else ["SACR"]
    used = ["LASI", "RASI", *back]
    if not {"LASI", "RASI"} <= set(at) or not ({"LPSI", "RPSI"} <= set(back) or back == ["SACR"]):
        return np.nan, [], ["Without the markers LASI, RASI and SACR or LPSI, RPSI the pelvis has no position."]
    left, right = (file.points[:, at[n]] for n in ("LASI", "RASI"))
    facing = np.arctan2(right[:, 0] - left[:, 0], left[:, 1] - right[:, 1])  # the right side, a quarter turn on
    ahead = np.exp(1j * (facing - heading))
    ahead = ahead[np.isfinite(ahead)]
    direction = np.angle(ahead.mean()) if len(ahead) else np.nan
    quarters = np.round(direction / (np.pi / 2))
    if not abs(direction - quarters * np.pi / 2) <= AGREE_RAD:
        return np.nan, [], ["Pelvis markers and RPelvisAngles face apart, so the pelvis has no position."]
    middle = (0.5 * (left + right) + np.mean([file.points[:, at[n]] for n in back], axis=0)) / 2 * _metres(path, file)
    cos, sin = np.cos(quarters * np.pi / 2).round(), np.sin(quarters * np.pi / 2).round()
    x, y, up = middle.T
    turned = np.stack([x * cos + y * sin, up, x * sin - y * cos], axis=1)
    axis = ("X", "Y", "-X", "-Y")[int(quarters) % 4]
    return turned, used, [f"Walking direction is the laboratory's {axis} axis; the pelvis is the middle of {used}."]


def _metres(path: Path, file: _C3D) -> float:
    unit = (file.about["units"] or [""])[0].lower()
    if unit not in METRES:
        raise InputError(f"{path}: POINT:UNITS is {unit!r}; expected one of {list(METRES)}")
    return METRES[unit]


def _load(path: Path) -> _C3D:
    """The file as ezc3d reads it, in a process of its own with limits of memory and processor time."""
    if importlib.util.find_spec("ezc3d") is None:
        raise InputError(f"{path}: reading C3D needs ezc3d; pip install 'biomechjax[c3d]'")
    size = _check_header(path)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "points.npz"
        seconds, limit = PATIENCE_S + size / 4e6, 2**30 + 16 * size
        # -P: the folder of the program has modules of its own that must not stand in for others.
        command = [sys.executable, "-P", str(_CHILD), str(path), str(out), str(limit), str(seconds)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        endless = InputError(f"{path}: ezc3d does not come to an end; the file is damaged")
        try:
            process = subprocess.run(command, capture_output=True, env=environment, timeout=LOADED * seconds)
        except subprocess.TimeoutExpired:
            raise endless from None
        if process.returncode:
            if process.returncode == -getattr(signal, "SIGXCPU", 0):
                raise endless
            said = process.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
            raise InputError(f"{path}: ezc3d cannot read it ({said or 'it crashed'}); export the trial again")
        with np.load(out, allow_pickle=False) as arrays:
            points, about = arrays["points"], json.loads(arrays["about"].tobytes())
    if len(points) != about["frames"]:
        raise InputError(f"{path}: {len(points)} of {about['frames']} frames; the file is cut off; copy it again")
    if points.shape[1] > len(about["labels"]) or not points.size or not about["rate_hz"] > 0:
        raise InputError(
            f"{path}: {points.shape[1]} points with {len(about['labels'])} labels at {about['rate_hz']} Hz; "
            "the file is damaged"
        )
    return _C3D(points, about | {"labels": about["labels"][: points.shape[1]]})


def _check_header(path: Path) -> int:
    """Bytes of the file, if they hold what its header promises (C3D user guide, "The header section")."""
    size = check_size(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
            file.seek(512 * max(head[0] - 1, 0))
            parameters = file.read(4)
    except OSError as e:
        raise InputError(f"{path}: not readable: {e.strerror}") from e
    if len(head) < 512 or head[1] != 0x50 or len(parameters) < 4 or parameters[3] not in _PROCESSORS:
        raise InputError(f"{path}: not a C3D file (its first bytes are {head[:4].hex(' ')})")
    order = _PROCESSORS[parameters[3]]
    points, analogs, first, last = np.frombuffer(head, f"{order}u2", count=4, offset=2).astype(int)
    start = int(np.frombuffer(head, f"{order}u2", count=1, offset=16)[0])
    # Negative scale: numbers are floats. Its sign is in the first byte (MIPS), the second (DEC) or the last (Intel).
    wide = head[12 + {86: 0, 85: 1, 84: 3}[parameters[3]]] & 0x80
    needed = 512 * (start - 1) + (last - first + 1) * (4 * points + analogs) * (4 if wide else 2)
    if last < first or not points or not start or needed > size:
        raise InputError(
            f"{path}: the header promises {points} points in frames {first} to {last}, {needed} bytes in all; "
            f"the file has {size}; it is cut off or damaged; copy it again"
        )
    return size
