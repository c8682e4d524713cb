"""Motion formats: what the columns of a recording mean.

A format is data, not code: one TOML file names its channels with unit, side partner, mirror sign and limits, and says
which channels are the root. Where channels mean the same as canonical ones, it says so:

    [canonical]
    hip_flexion_r = "RHip.x"
    knee_angle_r = "-RKnee.x"      # the same angle with the opposite sign

The formats that ship with the package lie in `motion/formats/`; a lab adds its own by passing the path of its file to
`load_format`.
"""

import dataclasses
import functools
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.files import repeated

SHIPPED = Path(__file__).parent / "formats"
CANONICAL = "canonical"
UNITS = ("rad", "m")
REFERENCES = ("anatomical", "start")


@dataclasses.dataclass(frozen=True)
class Channel:
    """One degree of freedom.

    Attributes:
        name: as OpenSim or the recording lab calls it.
        unit: "rad" or "m".
        partner: the channel it becomes when left and right are swapped; itself on the midline.
        mirror_sign: +1 or -1, the factor on its value when left and right are swapped; 0 where the lab does not say.
        lower, upper: joint limits in `unit`; infinite where there are none.
    """

    name: str
    unit: str
    partner: str
    mirror_sign: int = 0
    lower: float = -math.inf
    upper: float = math.inf


@dataclasses.dataclass(frozen=True)
class Root:
    """Names of the channels that place the body in the room (OpenSim ground: x forward, y up, z to the right).

    Attributes:
        forward, lateral: planar position in metres along ground x and z.
        heading: rotation about the vertical in radians, positive to the left; at 0 the person faces +x.
        tilt, list: the pelvis's turns about z and then x that come before the heading, as in OpenSim, or both with the
            opposite sign, as in Plug-in Gait (see `pelvis`); None where a lab has other angles. Both or neither.
    """

    forward: str
    lateral: str
    heading: str
    tilt: str | None = None
    list: str | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """Forward, lateral and heading: where the body stands and which way it faces."""
        return self.forward, self.lateral, self.heading


@dataclasses.dataclass(frozen=True)
class MotionFormat:
    """The channels of a kind of recording, in column order; `C` of them.

    Attributes:
        reference: what a channel's zero is. "anatomical": the same posture in everybody. "start": it depends on how
            the person was calibrated, and only the departure from the posture at the start of a trial compares.
    """

    name: str
    description: str
    channels: tuple[Channel, ...]
    root: Root | None = None
    reference: str = "anatomical"
    canonical: tuple[tuple[str, str, int], ...] = ()

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.channels)

    @functools.cached_property
    def indices(self) -> dict[str, int]:
        """Column of each channel by name."""
        return {name: i for i, name in enumerate(self.names)}

    @functools.cached_property
    def angles(self) -> np.ndarray:
        """bool [C], the channels that are joint or segment angles: radians, without the heading."""
        heading = self.root.heading if self.root else None
        return np.array([c.unit == "rad" and c.name != heading for c in self.channels])

    @property
    def size(self) -> int:
        """C, the number of channels."""
        return len(self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the same shape as the TOML file; `from_dict` inverts it.

        Limits are left out where a channel has none; a side without one is None.
        """
        root = {k: v for k, v in dataclasses.asdict(self.root).items() if v} if self.root else None
        rows = [[c.name, c.unit, c.partner, c.mirror_sign, *_written_limits(c)] for c in self.channels]
        table = {"name": self.name, "description": self.description, "reference": self.reference, "channels": rows}
        same = {name: "-" * (sign < 0) + own for name, own, sign in self.canonical}
        return table | ({"root": root} if root else {}) | ({"canonical": same} if same else {})

    @classmethod
    def from_dict(cls, table: dict[str, Any], source: str = "format") -> "MotionFormat":
        """Builds and checks a format.

        Raises:
            InputError: a field is missing, unknown or of another shape, a unit is not "rad" or "m", a name stands
                twice, limits are no range, or a partner, root or canonical meaning names no channel.
        """
        if not isinstance(table, dict):
            raise InputError(f"{source}: expected a table of fields, found {table!r}")
        unknown = set(table) - {"name", "description", "reference", "channels", "joints", "root", "canonical"}
        if unknown or not isinstance(table.get("name"), str):
            expected = "name, description, reference, channels or joints, root, canonical"
            raise InputError(f"{source}: a format has {expected}; check {sorted(map(str, unknown)) or 'name'}")
        reference = table.get("reference", REFERENCES[0])
        if reference not in REFERENCES:
            raise InputError(f"{source}: reference {reference!r}; expected one of {REFERENCES}")
        rows = table.get("channels", [])
        if not isinstance(rows, list):
            raise InputError(f"{source}: channels is {rows!r}; expected a list of rows, one per channel")
        channels = tuple(_channel(row, source) for row in rows + _expand_joints(table.get("joints"), source))
        names = [c.name for c in channels]
        by_name = {c.name: c for c in channels}
        if not channels or len(by_name) != len(names):
            twice = repeated(names)
            raise InputError(f"{source}: needs at least one channel and each name once; twice: {twice}")
        for c in channels:
            if c.partner not in by_name or by_name[c.partner].partner != c.name:
                raise InputError(
                    f"{source}: channel {c.name}: partner {c.partner!r} must be a channel that names it back"
                )
        root = _root(table["root"], names, source) if table.get("root") else None
        same = _canonical(table["canonical"], by_name, source) if table.get("canonical") else ()
        return cls(table["name"], str(table.get("description", "")), channels, root, reference, same)


def _channel(row: Any, source: str) -> Channel:
    """A channel from its row; sign and limits may be left out, and a limit of None is none."""
    if not isinstance(row, list) or not 3 <= len(row) <= 6 or not all(isinstance(x, str) for x in row[:3]):
        expected = "[name, unit, partner, mirror sign, lower, upper]"
        raise InputError(f"{source}: not a motion format: channel {row!r}; expected {expected}")
    name, unit, partner, sign, lower, upper = row + [0, None, None][len(row) - 3 :]
    if unit not in UNITS:
        raise InputError(f"{source}: channel {name}: unit {unit!r}; expected one of {UNITS}")
    if sign not in (-1, 0, 1):
        raise InputError(f"{source}: channel {name}: mirror sign {sign!r}; expected 1, -1, or 0 for unknown")
    lower, upper = -math.inf if lower is None else lower, math.inf if upper is None else upper
    if not all(isinstance(x, int | float) for x in (lower, upper)) or not lower < upper:
        raise InputError(f"{source}: channel {name}: limits {lower!r} to {upper!r} are not a range")
    return Channel(name, unit, partner, sign, lower, upper)


def _written_limits(channel: Channel) -> list[float | None]:
    limits = [x if math.isfinite(x) else None for x in (channel.lower, channel.upper)]
    return limits if any(x is not None for x in limits) else []


def _root(table: Any, names: list[str], source: str) -> Root:
    roles = [f.name for f in dataclasses.fields(Root)]
    if not isinstance(table, dict) or set(table) not in (set(roles), set(roles[:3])):
        expected = f"a channel name for each of {roles[:3]}, and for both or neither of {roles[3:]}"
        raise InputError(f"{source}: root is {table!r}; expected {expected}")
    for role, name in table.items():
        if name not in names:
            raise InputError(f"{source}: root {role} = {name!r} is not one of its channels")
    return Root(**table)


def _canonical(table: Any, channels: dict[str, Channel], source: str) -> tuple[tuple[str, str, int], ...]:
    if not isinstance(table, dict):
        raise InputError(f'{source}: canonical is {table!r}; expected lines such as knee_angle_r = "-RKnee.x"')
    target = load_format(CANONICAL)
    same: list[tuple[str, str, int]] = []
    for name, text in table.items():
        own = str(text).removeprefix("-")
        if name not in target.indices or own not in channels:
            missing = f"{name!r} of format {CANONICAL}" if name not in target.indices else f"{text!r} of its own"
            raise InputError(f"{source}: canonical {name} = {text!r}: there is no channel {missing}")
        unit, expected = channels[own].unit, target.channels[target.indices[name]].unit
        if unit != expected:
            raise InputError(f"{source}: canonical {name} = {text!r}: {own} is in {unit}; expected {expected}")
        if own in (used := [o for _, o, _ in same]):
            raise InputError(f"{source}: canonical {name} = {text!r}: {own} is {same[used.index(own)][0]} already")
        same.append((name, own, -1 if str(text).startswith("-") else 1))
    return tuple(same)


def _expand_joints(joints: Any, source: str) -> list[list[Any]]:
    """`[joints] names, axes, unit` is short for one channel per joint and axis; Left/Right name the side partner.

    `mirror_signs`, if there, gives each midline and each Left joint one sign per axis.
    """
    if joints is None:
        return []
    if not isinstance(joints, dict) or set(joints) - {"mirror_signs"} != {"names", "axes", "unit"}:
        raise InputError(f"{source}: joints is {joints!r}; expected names, axes and unit, and perhaps mirror_signs")
    lists = joints["names"], joints["axes"]
    if not all(isinstance(x, list) and all(isinstance(name, str) for name in x) for x in lists):
        raise InputError(f"{source}: joints is {joints!r}; expected lists of text for names and axes")
    names, axes, swap = joints["names"], joints["axes"], {"Left": "Right", "Right": "Left"}
    signs = joints.get("mirror_signs")
    signed = {name for name in names if not name.startswith("Right")}
    if signs is not None and (
        not isinstance(signs, dict)
        or set(signs) != signed
        or not all(isinstance(s, list) and len(s) == len(axes) for s in signs.values())
    ):
        raise InputError(f"{source}: mirror_signs: expected a list of {len(axes)} signs for each of {sorted(signed)}")
    rows = []
    for name in names:
        side = next((s for s in swap if name.startswith(s)), "")
        partner = swap[side] + name.removeprefix(side) if side else name
        if partner not in names:
            raise InputError(f"{source}: joint {name} has no partner {partner}")
        of = (signs or {}).get(partner if side == "Right" else name, [0] * len(axes))
        rows += [[f"{name}.{a}", joints["unit"], f"{partner}.{a}", s] for a, s in zip(axes, of, strict=True)]
    return rows


@functools.cache
def load_format(name_or_path: str) -> MotionFormat:
    """A shipped format by name, or a lab's own by the path of its `.toml` file.

    Raises:
        InputError: no such format, or the file is not a valid one.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        shipped = sorted(p.stem for p in SHIPPED.glob("*.toml"))
        raise InputError(
            f"{name_or_path}: no such motion format; shipped are {shipped}, or give the path of a .toml file"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise InputError(f"{path}: not readable as TOML: {e}") from e
    return MotionFormat.from_dict(table, str(path))
