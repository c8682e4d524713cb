"""What a stick figure is: points that move over a floor, and lines between them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from biomechjax.motion.sides import partners

FLOOR_PERCENTILE = 5.0  # of the lowest point over time: flights and single bad frames are no floor


@dataclasses.dataclass(frozen=True)
class Line:
    """A line through points of a figure.

    Attributes:
        points: their indices, two or more.
        side: "r", "l" or "m", right, left or the midline.
        recorded: False where no angle along it was recorded, so that it is drawn straight.
    """

    points: tuple[int, ...]
    side: str
    recorded: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class StickFigure:
    """Points that move over a floor at height 0.

    Attributes:
        rate_hz: frames per second.
        names: of the P points.
        places: float [F, P, 3] metres in the room (x forward, y up, z to the right).
        lines: drawn between the points.
        facing: radians, positive to the left: where the person faces most of the time; 0 is along x.
        notes: what is drawn otherwise than it was recorded, one sentence each.
    """

    rate_hz: float
    names: tuple[str, ...]
    places: np.ndarray
    lines: tuple[Line, ...]
    facing: float = 0.0
    notes: tuple[str, ...] = ()


def floor_height(places: np.ndarray) -> float:
    """Metres of the floor under points [F, P, 3] that stand on it most of the time."""
    return float(np.percentile(places[..., 1].min(axis=1), FLOOR_PERCENTILE))


def letters_of_sides(names: Sequence[str]) -> str:
    """The side of each point, "r", "l" or "m", by what it is called."""
    partner = partners(names)
    letters = []
    for name in names:
        pair = zip(name.lower(), partner[name].lower(), strict=False)
        letters.append(next((a for a, b in pair if a != b), "m"))  # partners first differ in the letter of their side
    return "".join(letters)
