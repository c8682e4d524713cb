"""How fast a walk goes: along the floor, or, on a treadmill or without a recorded place, under the pelvis."""

import dataclasses

import numpy as np

from biomechjax.motion.events import Feet, GaitEvents
from biomechjax.motion.recording import Recording

TURNING = np.deg2rad(20.0)  # radians per second; walking ahead turns less (chosen here)
# The pelvis of a walker who gets this share of the speed of the feet under it, or less, stays: a treadmill.
STAYS = 0.3


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number with its unit, or None.

    Attributes:
        value: in `unit`; None where it cannot be said.
        unit: "m/s", "steps/min", "m", "s", "%" or "rad".
        note: where the value is None, the reason; otherwise what it rests on, if on more than the recorded angles.
    """

    value: float | None
    unit: str
    note: str = ""


def straight_walks(feet: Feet, events: GaitEvents) -> list[tuple[int, int]]:
    """(first, last) frame of each stretch of walking without a turn, at least a step long."""
    walking = np.zeros(len(feet.facing), bool)
    end = (len(walking) - 1) / feet.rate_hz
    for start, stop in events.walks:
        # A walk that was going on at either end of the recording counts to that end.
        first = 0 if start < 2 * events.step_s else feet.frame(start)
        walking[first : (len(walking) if stop > end - 2 * events.step_s else feet.frame(stop) + 1)] = True
    ahead = walking & (np.abs(np.gradient(feet.facing)) * feet.rate_hz < TURNING)
    edges = np.flatnonzero(np.diff(np.pad(ahead, 1).astype(int)))
    return [(a, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > events.step_s * feet.rate_hz]


def walking_speed(
    recording: Recording, feet: Feet, events: GaitEvents, walks: list[tuple[int, int]], on_body: str
) -> Measure:
    """Along the floor if the pelvis travels; otherwise how fast the standing foot goes back under it."""
    treadmill = ground_speed(feet, events, walks)
    format = recording.format
    assert format.root is not None
    columns = [format.indices[n] for n in (format.root.forward, format.root.lateral)]
    if recording.observed[columns[0]]:  # a model in one plane has no lateral
        place = recording.values[:, columns].astype(float)
        way = sum(float(np.hypot(*(place[last] - place[first]))) for first, last in walks)
        speed = way / sum(last - first for first, last in walks) * feet.rate_hz
        if treadmill is None or speed > STAYS * treadmill:
            return Measure(speed, "m/s")
        kind = "the pelvis stays, as on a treadmill"
    else:
        kind = "the pelvis's travel was not recorded"
    if treadmill is None:
        return Measure(None, "m/s", f"{kind}, and no foot is seen to stand through")
    return Measure(treadmill, "m/s", f"{kind}; speed of the standing foot {on_body}")


def ground_speed(feet: Feet, events: GaitEvents, walks: list[tuple[int, int]]) -> float | None:
    """Metres per second that the ball of the standing foot goes back under the pelvis in the middle of its stance."""
    slopes = []
    ends = 0.0, (len(feet.facing) - 1) / feet.rate_hz
    for side in (0, 1):
        for start, end in _stances(events, side, *ends):
            first, last = (round((w * start + (1 - w) * end) * feet.rate_hz) for w in (0.8, 0.2))
            within = any(a <= first and last <= b for a, b in walks)
            if within and last - first >= max(2, 0.3 * events.step_s * feet.rate_hz):
                slopes.append(-np.polyfit(np.arange(first, last + 1), feet.balls[first : last + 1, side], 1)[0])
    return float(np.mean(slopes)) * feet.rate_hz if slopes else None


def _stances(events: GaitEvents, side: int, first: float, last: float) -> list[tuple[float, float]]:
    """(strike, off) of one foot in seconds; a stance at either end begins or ends with the recording."""
    strikes, offs = events.strikes[side], events.offs[side]
    found = []
    for start in np.concatenate([[first], strikes]):
        later = np.concatenate([offs[offs > start], [last]])[0]
        again = strikes[strikes > start]
        if later - start < 2 * events.step_s and not (len(again) and again[0] < later):
            found.append((float(start), float(later)))
    return found
