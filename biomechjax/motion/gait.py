"""Gait measures of a recording: each a number, or the reason why there is none.

Measures other than joint ranges are taken over straight walking: steps during which the person turns by less than 20
degrees a second. Steps come from `gait_events`; percentages are of the gait cycle.
"""

import dataclasses

import numpy as np

from biomechjax.motion.body import DEFAULT_HEIGHT_M
from biomechjax.motion.events import SIDES, Feet, GaitEvents, ahead, gait_events, observe_feet
from biomechjax.motion.features import with_heading_first
from biomechjax.motion.recording import Recording
from biomechjax.motion.speed import TURNING, Measure, straight_walks, walking_speed


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """From one foot's strike to the other's, in seconds; `side` is the foot that ends it."""

    start: float
    end: float
    side: int
    straight: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Gait:
    """What `measure_gait` finds.

    Attributes:
        events: foot strikes and offs of the whole recording.
        steps: all steps, turning ones included.
        measures: by name, in a fixed order.
    """

    events: GaitEvents
    steps: tuple[Step, ...]
    measures: dict[str, Measure]


def measure_gait(recording: Recording, height_m: float | None = None) -> Gait:
    """Speed, cadence, lengths, times, symmetry and joint ranges of a walk.

    `height_m` is body height; without it 1.7 m is assumed, and the measures that depend on it say so.

    Raises:
        InputError: another format than "canonical", or flexion of a hip or knee was not recorded.
    """
    feet = observe_feet(recording, DEFAULT_HEIGHT_M if height_m is None else height_m)
    on_body = f"on a body of {feet.height_m:.2f} m" + (" (assumed)" if height_m is None else "")
    events = gait_events(feet)
    steps = _steps(events, feet)
    straight = [s for s in steps if s.straight]
    walks = [] if events.reason else straight_walks(feet, events)
    reason = events.reason or ("" if walks else "every step turns")
    stride_s = _stride_time(events, straight) if not reason else None
    speed = walking_speed(recording, feet, events, walks, on_body) if not reason else Measure(None, "m/s", reason)
    reason = reason or ("" if stride_s else "no whole step straight ahead, strike to strike")
    measures = {"cadence_steps_min": Measure(120 / stride_s if stride_s else None, "steps/min", reason)}
    measures["walking_speed_m_s"] = speed
    stride = speed.value * stride_s if speed.value is not None and stride_s else None
    measures["stride_length_m"] = Measure(stride, "m", reason or speed.note)
    measures["step_length_m"] = Measure(stride / 2 if stride is not None else None, "m", reason or speed.note)
    measures |= _sided("step_length{}_m", "m", _step_lengths(feet, straight), reason, on_body)
    measures |= _sided("step_time{}_s", "s", _by_side([(s.side, s.end - s.start) for s in straight]), reason)
    widths = [_apart(feet, s.end)[1] for s in straight]
    measures["step_width_m"] = _mean(widths, "m", reason, on_body)
    measures |= _supports(events, straight, stride_s, reason)
    for name in ("step_length{}_m", "step_time{}_s", "stance{}_percent"):
        both = [measures[name.format(f"_{s}")].value for s in SIDES]
        measures["symmetry_" + name.format("").rsplit("_", 1)[0] + "_percent"] = _symmetry(both, reason)
    measures |= _joint_ranges(recording, events, reason)
    return Gait(events, tuple(steps), measures)


def cycles(events: GaitEvents, side: int) -> list[tuple[float, float]]:
    """Gait cycles of a side in seconds, strike to strike; strikes with a step left out between them are none."""
    times = events.strikes[side]
    return [(a, b) for a, b in zip(times[:-1], times[1:], strict=True) if b - a < 3 * events.step_s]


def _steps(events: GaitEvents, feet: Feet) -> list[Step]:
    strikes = sorted((t, side) for side in (0, 1) for t in events.strikes[side])
    facing = [feet.facing[feet.frame(t)] for t, _ in strikes]
    found = []
    for i, ((start, before), (end, side)) in enumerate(zip(strikes[:-1], strikes[1:], strict=True)):
        if before != side and end - start < 1.75 * events.step_s:
            turn = abs(facing[i + 1] - facing[i])
            found.append(Step(start, end, side, turn < TURNING * (end - start)))
    return found


def _stretches(steps: list[Step]) -> list[tuple[float, float]]:
    """Steps that follow each other, joined."""
    joined: list[tuple[float, float]] = []
    for s in steps:
        if joined and joined[-1][1] == s.start:
            joined[-1] = (joined[-1][0], s.end)
        else:
            joined.append((s.start, s.end))
    return joined


def _stride_time(events: GaitEvents, steps: list[Step]) -> float | None:
    """Seconds of a stride: the common slope of event times over their number, least squares over both feet's strikes,
    offs and passings, so that a single badly seen event counts little; twice a step where no event comes again. None
    without a step."""
    spread, product = 0.0, 0.0
    for start, end in _stretches(steps):
        near = 0.5 * events.step_s
        for times in (*events.strikes, *events.offs, *events.passings):
            times = times[(times > start - near) & (times < end + near)]
            if len(times) < 2:
                continue
            number = np.concatenate([[0], np.cumsum(np.maximum(1, np.round(np.diff(times) / (2 * events.step_s))))])
            number = number - number.mean()
            spread, product = spread + number @ number, product + number @ times
    if spread:
        return float(product / spread)
    return 2 * float(np.mean([s.end - s.start for s in steps])) if steps else None


def _apart(feet: Feet, time: float) -> tuple[float, float]:
    """How far the right heel is ahead of the left one, and how far the heels are apart sideways."""
    n = feet.frame(time)
    between = feet.pose.heels[n, 0] - feet.pose.heels[n, 1]
    return float(ahead(between, feet.facing[n])), abs(float(ahead(between, feet.facing[n] - np.pi / 2)))


def _step_lengths(feet: Feet, steps: list[Step]) -> tuple[list[float], list[float]]:
    return _by_side([(s.side, _apart(feet, s.end)[0] * (1 if s.side == 0 else -1)) for s in steps])


def _by_side(found: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
    return [x for side, x in found if side == 0], [x for side, x in found if side == 1]


def _supports(events: GaitEvents, steps: list[Step], stride_s: float | None, reason: str) -> dict[str, Measure]:
    """Stance, single and double support in percent of the cycle."""
    stances: list[tuple[int, float]] = []
    swings: list[tuple[int, float]] = []
    double: list[float] = []
    for s in steps:
        own = events.offs[s.side]
        own = own[(own > s.end) & (own < s.end + 2 * events.step_s)]
        if len(own):
            stances.append((s.side, 100 * (own[0] - s.end) / (stride_s or np.nan)))
        off = events.offs[1 - s.side]
        off = off[np.abs(off - s.end) < 0.6 * events.step_s]
        if len(off):
            double.append(200 * (off[0] - s.end) / (stride_s or np.nan))  # twice in a cycle
        before = events.offs[s.side]
        before = before[(before < s.end) & (before > s.end - 1.5 * events.step_s)]
        if len(before):
            swings.append((1 - s.side, 100 * (s.end - before[-1]) / (stride_s or np.nan)))
    found = _sided("stance{}_percent", "%", _by_side(stances), reason)
    found |= _sided("single_support{}_percent", "%", _by_side(swings), reason)
    share = _mean(double, "%", reason)
    if share.value is not None and share.value <= 0:
        share = Measure(0.0, "%", "one foot leaves before the other strikes: running")
    return found | {"double_support_percent": share}


def _sided(
    name: str, unit: str, both: tuple[list[float], list[float]], reason: str, note: str = ""
) -> dict[str, Measure]:
    return {name.format(f"_{s}"): _mean(x, unit, reason, note) for s, x in zip(SIDES, both, strict=True)}


def _mean(values: list[float], unit: str, reason: str, note: str = "") -> Measure:
    if reason or not values:
        return Measure(None, unit, reason or "no straight step shows it")
    return Measure(float(np.mean(values)), unit, note)


def _symmetry(both: list[float | None], reason: str) -> Measure:
    """100 (R - L) / ((R + L) / 2), 0 when the sides are equal (Robinson et al. 1987, J Manipulative Physiol Ther
    10:172)."""
    right, left = both
    if right is None or left is None or right + left <= 0:
        return Measure(None, "%", reason or "not seen on both sides")
    return Measure(200 * (right - left) / (right + left), "%")


def _joint_ranges(recording: Recording, events: GaitEvents, reason: str) -> dict[str, Measure]:
    """Highest minus lowest angle in a cycle, mean over all cycles, turning ones too, of the channel's side (midline:
    right)."""
    found = {}
    turned = with_heading_first(recording.format, recording.values)  # ranges that mean the same in a turn
    for column in np.flatnonzero(recording.format.angles & recording.observed):
        channel = recording.format.channels[column]
        values = turned[:, column]
        frames = [
            slice(round(a * recording.rate_hz), round(b * recording.rate_hz) + 1)
            for a, b in cycles(events, 1 if channel.name.endswith("_l") else 0)
        ]
        found[f"{channel.name}_range"] = _mean(
            [float(np.ptp(values[f])) for f in frames], "rad", reason or ("" if frames else "no whole cycle")
        )
    return found
