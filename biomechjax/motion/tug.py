"""The phases of a Timed Up and Go (Podsiadlo & Richardson 1991): stand up, walk, turn, walk back, turn and sit down.

Sitting is told from hips and knees, turning from the pelvis. The clinician's clock starts at the word "go"; a recording
only shows when the person begins to move, so that the total here leaves out the time of reaction.
"""

import dataclasses

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.events import NEEDED, heading, smooth
from biomechjax.motion.kinematics import recorded_pose
from biomechjax.motion.recording import Recording

# Somebody who sits bends hip and knee together by this much more than when walking, at least (radians, sum of both).
SEATED = np.deg2rad(60.0)
# A change of posture or direction begins and ends where this share of it is done.
EDGE = 0.07
STILL = np.deg2rad(8.0)  # hip, knee and trunk together stay this close to a posture; capture wavers by about 4 degrees
TURN = np.deg2rad(120.0)  # the least that counts as turning back
FARTHEST_WALK_M = 1.5  # the walk is of 3 m; who did not get half as far did another test


@dataclasses.dataclass(frozen=True)
class TimedUpAndGo:
    """Phases as (start, end) in seconds from the first frame; each begins where the one before ends."""

    sit_to_stand: tuple[float, float]
    walk: tuple[float, float]
    turn: tuple[float, float]
    walk_back: tuple[float, float]
    turn_to_sit: tuple[float, float]

    @property
    def total_s(self) -> float:
        """From the first movement to seated."""
        return self.turn_to_sit[1] - self.sit_to_stand[0]

    @property
    def durations_s(self) -> dict[str, float]:
        """Seconds of each phase by name."""
        return {f.name: getattr(self, f.name)[1] - getattr(self, f.name)[0] for f in dataclasses.fields(self)}


def timed_up_and_go(recording: Recording) -> TimedUpAndGo:
    """Cuts a recording of a Timed Up and Go into its phases.

    Raises:
        InputError: another format than "canonical"; hips, knees or the pelvis's rotation not recorded; or the recording
            is no Timed Up and Go: not seated at both ends, no rise, no two turns, or no walk between them.
    """
    pose = recorded_pose(recording)
    missing = [n for n in (*NEEDED, "pelvis_rotation") if not recording.observed[recording.format.indices[n]]]
    if missing:
        raise InputError(f"{recording.source}: a Timed Up and Go needs {', '.join(missing)}; not recorded")
    up, down = _rise_and_descent(recording)
    facing = smooth(heading(pose), 1.0, recording.rate_hz)
    first, second = _turns(recording, facing, up[1], down[1])
    _check_walk(recording, first)
    bounds = np.array([up[0], up[1], first[0], first[1], second[0], down[1]]) / recording.rate_hz
    if (np.diff(bounds) <= 0).any():
        raise _refusal(recording, "rise, turn, turn and sitting down do not follow each other")
    pairs = [(float(a), float(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    return TimedUpAndGo(*pairs)


def _refusal(recording: Recording, found: str) -> InputError:
    return InputError(f"{recording.source}: no Timed Up and Go: {found}")


def _rise_and_descent(recording: Recording) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, last) frame of getting up and of sitting down."""
    hips, knees = (recording.values[:, [recording.format.indices[n] for n in NEEDED[i : i + 2]]] for i in (0, 2))
    bent = smooth((hips - knees).astype(float).mean(axis=1), 2.0, recording.rate_hz)  # knees bend negative
    ends = max(1, round(0.25 * recording.rate_hz))
    seats = bent[:ends].mean(), bent[-ends:].mean()
    upright = float(np.median(bent))
    if min(seats) < upright + SEATED:
        degrees = [f"{np.rad2deg(s - upright):.0f}" for s in seats]
        raise _refusal(
            recording,
            f"hip and knee together are bent by {' and '.join(degrees)} degrees more at the two ends than half of the "
            f"time; expected at least {np.rad2deg(SEATED):.0f}, seated",
        )
    rise = _first_change((seats[0] - bent) / (seats[0] - upright))
    sit = _first_change(((seats[1] - bent) / (seats[1] - upright))[::-1])
    # Who gets up first leans forward, which bends the hip; so the seat is left when hip, knee or trunk leaves it.
    last = len(bent) - 1
    start, end = _leaves(recording, ends, rise[1]), last - _leaves(recording, -ends, sit[1])
    return (start, rise[1]), (last - sit[1], end)


def _leaves(recording: Recording, ends: int, until: int) -> int:
    """The last frame, before frame `until`, in the posture of the first `ends` frames; counted from the end if that is
    negative."""
    observed = recording.observed[recording.format.indices["lumbar_extension"]]
    names = NEEDED + (("lumbar_extension",) if observed else ())
    angles = np.stack([recording.channel(n).astype(float) for n in names], axis=1)
    angles = smooth(angles, 2.0, recording.rate_hz)[:: 1 if ends > 0 else -1]
    weights = np.array([0.5] * len(NEEDED) + [1.0] * (len(names) - len(NEEDED)))  # two sides are one joint
    away = np.sqrt((angles - angles[: abs(ends)].mean(axis=0)) ** 2 @ weights)[:until]
    return int(np.flatnonzero(away < STILL)[-1]) if (away < STILL).any() else 0


def _first_change(done: np.ndarray) -> tuple[int, int]:
    """Frames at which something [F] that goes from 0 to 1 leaves 0 for good and first is at 1."""
    half = int(np.argmax(done > 0.5))
    before, after = done[:half], done[half:]
    start = int(np.flatnonzero(before <= EDGE)[-1]) if (before <= EDGE).any() else 0
    arrived = after >= 1 - EDGE
    return start, half + (int(np.argmax(arrived)) if arrived.any() else len(after) - 1)


def _turns(recording: Recording, facing: np.ndarray, up: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, last) frame of the turn at the far end and of the turn before the chair."""
    on_foot = facing[up : end + 1]
    middle = np.median(on_foot[len(on_foot) // 2 : max(len(on_foot) // 2 + 1, 3 * len(on_foot) // 4)])
    changes = np.array([middle - on_foot[0], on_foot[-1] - middle])
    if (np.abs(changes) < TURN).any():
        degrees = " and ".join(f"{x:.0f}" for x in np.round(np.rad2deg(changes)) + 0.0)  # no -0
        raise _refusal(recording, f"on foot the person turns by {degrees} degrees; expected two turns back")
    there = _first_change((on_foot - on_foot[0]) / changes[0])
    # The second turn backwards in time, as the first change from how the person sits down.
    back = _first_change(((on_foot[-1] - on_foot) / changes[1])[::-1])
    last = len(on_foot) - 1
    return (up + there[0], up + there[1]), (up + last - back[1], up + last - back[0])


def _check_walk(recording: Recording, turn: tuple[int, int]) -> None:
    root = recording.format.root
    assert root is not None
    columns = [recording.format.indices[n] for n in (root.forward, root.lateral)]
    if not recording.observed[columns].all():
        return
    way = recording.values[turn[0] : turn[1] + 1, columns] - recording.values[0, columns]
    farthest = float(np.hypot(*way.T).max())
    if farthest < FARTHEST_WALK_M:
        raise _refusal(recording, f"the person turns {farthest:.1f} m from the chair; expected 3 m")
