"""Biovision hierarchies (`.bvh`): a skeleton, then one row of numbers per frame.

    HIERARCHY
    ROOT Hips
    {
        OFFSET 0.0 0.0 0.0
        CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
        JOINT LeftUpLeg
        {
            ...
            End Site
            {
                OFFSET 0.0 -10.0 0.0
            }
        }
    }
    MOTION
    Frames: 240
    Frame Time: 0.008333
    0.0 92.1 3.4 ...

Source: M. Meredith and S. Maddock, "Motion Capture File Formats Explained", University of Sheffield CS-01-11, 2001.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from biomechjax.errors import InputError
from biomechjax.motion.figure import Line, StickFigure, floor_height, letters_of_sides
from biomechjax.motion.files import read_text
from biomechjax.motion.format import Channel, MotionFormat
from biomechjax.motion.gaps import fill_channels, unwrap_seen
from biomechjax.motion.recording import Recording
from biomechjax.motion.sides import partners
from biomechjax.motion.storage import parse_rows

DEEPEST = 200
MOST_JOINTS = 5_000
LARGEST = 1e9  # of any number in the skeleton, so that sums of them are finite
CHANNELS = {f"{axis}{kind}": unit for kind, unit in (("position", "m"), ("rotation", "rad")) for axis in "XYZ"}
# A file names no unit; people from a toddler up stand between 1 and 2.5 metres in one of these.
SIZES = {"metres": 1.0, "centimetres": 1e-2, "millimetres": 1e-3}


@dataclasses.dataclass(frozen=True)
class _Joint:
    name: str  # "" for the end of a limb
    parent: int  # index of the joint that carries it; -1 for the root
    offset: np.ndarray  # [3] in the file's units, from that joint, with every rotation 0
    place: np.ndarray  # [3] the same from the origin of the root's parent
    channels: tuple[str, ...]


def read_bvh(path: Path | str) -> Recording:
    """A recording of a format built from the file's joints: `Hips.Xposition` in metres, `Hips.Zrotation` in radians.

    Rotations are the file's Euler angles, without jumps by a turn. Cells that say nan are gaps, see `fill_gaps`.
    Lengths have no unit in a file; metres, centimetres or millimetres are taken, whichever makes the skeleton (the
    longest side of the box around it with every rotation 0) 1 to 2.5 m long, and a note says so. The format has no
    root, since a file does not say which way a person faces.

    Where joints have partners on the other side, the axis along which those lie apart is turned over in a mirror;
    rotations about the two other axes change their sign. That holds for skeletons that are the same on both sides.

    Raises:
        InputError: the file is unreadable, empty or too large, its hierarchy is broken, nested deeper than DEEPEST or
            has more joints than MOST_JOINTS, counts of channels or frames do not fit, a number is none or not finite
            (with line), or the skeleton's size is no person's in any unit.
    """
    path = Path(path)
    lines = read_text(path).splitlines()
    skeleton = _skeleton_lines(lines)
    joints = _hierarchy(path, skeleton)
    names = [f"{j.name}.{c}" for j in joints for c in j.channels]
    if len(set(names)) != len(names) or not names:
        raise InputError(f"{path}: {len(names)} channels, {len(set(names))} different; expected each joint once")
    rate_hz, table = _motion(path, lines, len(skeleton), names)
    unit, note = _unit(path, joints)
    format = _format(joints)
    values = np.empty_like(table)
    for column, channel in enumerate(format.channels):
        raw = table[:, column]
        values[:, column] = raw * unit if channel.unit == "m" else unwrap_seen(np.deg2rad(raw[:, None]))[:, 0]
    values, seen, gap_notes = fill_channels(values, rate_hz, names, path)
    return Recording(format, rate_hz, values, seen, str(path), (note, *gap_notes))


def bvh_figure(path: Path | str) -> StickFigure:
    """The skeleton of a file as it moves, every joint joined to the one that carries it.

    Axes are taken to be Y up, as most programs write them. Position channels stand instead of the joint's offset.

    Raises:
        InputError: as `read_bvh`.
    """
    path = Path(path)
    recording, joints = read_bvh(path), _hierarchy(path, _skeleton_lines(read_text(path).splitlines()))
    unit, columns = _unit(path, joints)[0], recording.format.indices
    places = np.zeros((len(recording.values), len(joints), 3))
    turned: list[np.ndarray] = []  # [F, 3, 3] of each joint in the room
    for i, joint in enumerate(joints):
        shift, turn = np.repeat(joint.offset[None] * unit, len(places), axis=0), np.eye(3)
        for name in joint.channels:
            values, axis = recording.values[:, columns[f"{joint.name}.{name}"]], "XYZ".index(name[0])
            if name.endswith("position"):
                shift[:, axis] = values
            else:
                turn = turn @ Rotation.from_euler("xyz"[axis], values[:, None]).as_matrix()
        carried = joint.parent >= 0
        before = turned[joint.parent] if carried else np.eye(3)
        places[:, i] = (before @ shift[:, :, None])[..., 0] + (places[:, joint.parent] if carried else 0)
        turned.append(before @ turn)
    places[..., 1] -= floor_height(places)
    names = tuple(j.name or f"{joints[j.parent].name}.end" for j in joints)
    sides = letters_of_sides(names)
    lines = tuple(Line((j.parent, i), sides[i]) for i, j in enumerate(joints) if j.parent >= 0)
    return StickFigure(recording.rate_hz, names, places, lines, notes=("The Y axis of the file is taken to point up.",))


def _skeleton_lines(lines: list[str]) -> list[str]:
    """Those before the motion."""
    return lines[: next((i for i, line in enumerate(lines) if line.strip() == "MOTION"), len(lines))]


def _hierarchy(path: Path, lines: list[str]) -> list[_Joint]:
    """The joints in the order of their channels, ends of limbs among them."""
    words = ((number, word) for number, line in enumerate(lines, start=1) for word in line.split())
    _expect(path, words, "HIERARCHY")
    joints: list[_Joint] = []
    above: list[int] = []  # the joints whose braces are open
    for number, word in words:
        if word == "}" and above:
            above.pop()
            continue
        if word not in (("JOINT", "End") if above else ("ROOT",)):
            expected = "JOINT, End Site or }" if above else "one ROOT, then MOTION"
            raise InputError(f"{path}: line {number}: {word[:40]!r}; expected {expected}")
        if word == "ROOT" and joints:
            raise InputError(f"{path}: line {number}: a second ROOT; expected one person; keep one of them")
        if len(above) >= DEEPEST or len(joints) >= MOST_JOINTS:
            raise InputError(f"{path}: line {number}: more than {DEEPEST} joints in a chain or {MOST_JOINTS} in all")
        name = _next(path, words)[1].rpartition(":")[2]  # without whose joint it is, as in Ann:Hips
        for expected in ("{", "OFFSET"):
            _expect(path, words, expected)
        offset = np.array([_number(path, *_next(path, words)) for _ in range(3)])
        parent = above[-1] if above else -1
        place = offset + (joints[parent].place if above else 0)
        channels = () if word == "End" else _channels(path, words)
        above.append(len(joints))
        joints.append(_Joint("" if word == "End" else name, parent, offset, place, channels))
    if above or not joints:
        raise InputError(f"{path}: the hierarchy ends with {len(above)} braces open; the file may be cut off")
    return joints


def _channels(path: Path, words: Iterator[tuple[int, str]]) -> tuple[str, ...]:
    _expect(path, words, "CHANNELS")
    number, count = _next(path, words)
    if count not in tuple("0123456"):
        raise InputError(f"{path}: line {number}: CHANNELS {count[:40]!r}; expected 0 to 6")
    channels = tuple(_next(path, words)[1] for _ in range(int(count)))
    if not set(channels) <= set(CHANNELS):
        raise InputError(f"{path}: line {number}: channels {channels}; expected some of {list(CHANNELS)}")
    return channels


def _next(path: Path, words: Iterator[tuple[int, str]]) -> tuple[int, str]:
    for number, word in words:
        return number, word
    raise InputError(f"{path}: the file ends within the hierarchy; it may be cut off")


def _expect(path: Path, words: Iterator[tuple[int, str]], expected: str) -> None:
    number, word = _next(path, words)
    if word != expected:
        raise InputError(f"{path}: line {number}: {word[:40]!r}; expected {expected}")


def _number(path: Path, line: int, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not abs(number) <= LARGEST:
        raise InputError(f"{path}: line {line}: {word[:40]!r}; expected a number of at most {LARGEST:g}")
    return number


def _motion(path: Path, lines: list[str], motion: int, names: list[str]) -> tuple[float, np.ndarray]:
    """Rate in hertz, and float64 [F, C] in the file's units."""
    numbered = [(i, line) for i, line in enumerate(lines[motion + 1 :], start=motion + 2) if line.strip()]
    if len(numbered) < 2:
        raise InputError(f"{path}: no MOTION with 'Frames:' and 'Frame Time:'; the file may be cut off")
    found = []
    for (number, line), key in zip(numbered, ("Frames:", "Frame Time:"), strict=False):
        if not line.strip().startswith(key):
            raise InputError(f"{path}: line {number}: {line.strip()[:40]!r}; expected {key} and a number")
        found.append(_number(path, number, line.strip().removeprefix(key).strip()))
    frames, step_s = found
    rows = numbered[2:]
    if frames != len(rows) or not rows:
        raise InputError(f"{path}: line {numbered[0][0]}: Frames: {frames:g}, but {len(rows)} rows follow")
    if not step_s > 0:
        raise InputError(f"{path}: line {numbered[1][0]}: Frame Time is {step_s:g} s; expected more than 0")
    return 1 / step_s, parse_rows(rows, names, path)


def _unit(path: Path, joints: list[_Joint]) -> tuple[float, str]:
    """Metres in one of the file's units, and a note."""
    size = float(np.ptp([j.place for j in joints], axis=0).max())
    for name, unit in SIZES.items():
        if 1 <= size * unit <= 2.5:
            return unit, f"The file has no unit of length; with a skeleton of {size:.4g}, {name} are taken."
    raise InputError(
        f"{path}: the skeleton is {size:.4g} long with every rotation 0; expected a person of 1 to 2.5 m in "
        f"{', '.join(SIZES)}; scale the offsets and positions"
    )


def _format(joints: list[_Joint]) -> MotionFormat:
    places = {j.name: j.place for j in joints if j.name}
    channels_of = {j.name: j.channels for j in joints}
    partner = partners(list(places))
    apart = sum((np.abs(places[a] - places[b]) for a, b in partner.items()), np.zeros(3))
    lateral = "XYZ"[int(apart.argmax())] if apart.any() else None
    channels = []
    for joint in joints:
        other = partner.get(joint.name, joint.name)
        for name in joint.channels:
            turned = (name[0] == lateral) == (name[1:] == "position")
            sign = 0 if lateral is None else -1 if turned else 1
            mate = other if name in channels_of[other] else joint.name
            channels.append(Channel(f"{joint.name}.{name}", CHANNELS[name], f"{mate}.{name}", sign))
    return MotionFormat("bvh", f"BVH skeleton of {len(places)} joints", tuple(channels))
