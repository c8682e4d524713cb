"""The channels of several motion formats as one set.

Channels that mean the same canonical channel are one column of the union, in the sign of the canonical one; every other
channel is a column of its own, named `format:channel`. The tokenizer's networks see all columns, of which a recording
has those of its format: the rows of the first kernels and the columns of the last that belong to them are its input and
output stem, and formats share those that they have in common and all that lies between.

The channels of a root are common to all formats that have one, since `to_features` makes velocities of them that mean
the same whatever their names. In a format without a root such a channel is a position, and stands alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, Channel, MotionFormat, Root, load_format
from biomechjax.motion.mapping import meanings


@dataclasses.dataclass(frozen=True)
class Stem:
    """Where the channels of a format (c of them) are among those of the union (C of them).

    Attributes:
        format: whose channels.
        size: C.
        columns: int [c], the union's column of each channel.
        signs: float32 [c], what a channel is multiplied with there.
    """

    format: MotionFormat
    size: int
    columns: np.ndarray
    signs: np.ndarray

    def join(self, features: np.ndarray) -> np.ndarray:
        """Features [F,c] in the union's columns [F,C], 0 in those of other formats."""
        out = np.zeros((len(features), self.size), features.dtype)
        out[:, self.columns] = features * self.signs
        return out

    def seen(self, observed: np.ndarray) -> np.ndarray:
        """bool [C] from bool [c]: the union's columns that were observed."""
        out = np.zeros(self.size, bool)
        out[self.columns] = observed
        return out

    def part(self, features: np.ndarray) -> np.ndarray:
        """Features [F,c] of the format from the union's [F,C]; inverts `join`."""
        return features[:, self.columns] * self.signs


def unite(formats: Sequence[MotionFormat]) -> tuple[MotionFormat, dict[str, Stem]]:
    """The union of formats, and the stem of each by its name; the union of one is itself.

    The union's channels have no mirror signs, since the formats may disagree about sides.

    Raises:
        InputError: two formats have the same name.
    """
    names = [f.name for f in formats]
    if twice := {n for n in names if names.count(n) > 1}:
        raise InputError(
            f"two motion formats with different channels are called {twice.pop()}; prepare their cohorts with one "
            "format file, or give one of the formats another name"
        )
    if len(formats) == 1:
        union, keys = formats[0], [[(name, 1) for name in formats[0].names]]
    else:
        keys = [_keys(f) for f in formats]
        channels: dict[str, Channel] = {}
        for format, own in zip(formats, keys, strict=True):
            for channel, (key, _) in zip(format.channels, own, strict=True):
                channels.setdefault(key, Channel(key, channel.unit, key))
        root = _canonical_root() if any(f.root for f in formats) else None
        union = MotionFormat("+".join(names), "the channels of several formats", tuple(channels.values()), root)
    stems = {
        format.name: Stem(
            format,
            union.size,
            np.array([union.indices[key] for key, _ in own]),
            np.array([sign for _, sign in own], np.float32),
        )
        for format, own in zip(formats, keys, strict=True)
    }
    return union, stems


def _keys(format: MotionFormat) -> list[tuple[str, int]]:
    """The union's name and sign of each channel of a format."""
    places = _canonical_root().place
    roots = dict(zip(format.root.place, places, strict=True)) if format.root else {}
    same = {column: (name, sign) for name, (column, sign) in meanings(format).items() if name not in places}
    return [
        (roots[name], 1) if name in roots else same.get(column, (f"{format.name}:{name}", 1))
        for column, name in enumerate(format.names)
    ]


def _canonical_root() -> Root:
    root = load_format(CANONICAL).root
    assert root is not None
    return root
