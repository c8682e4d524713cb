"""The clinical tests of the simulated clinic, as plans of what to do when, with their true labels."""

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np

from biomechjax.cohort.body import Movement, Plan, perform
from biomechjax.cohort.people import Person
from biomechjax.cohort.signals import RATE_HZ, ramp, smooth_noise

Labels = dict[str, str | float]
Test = Callable[[Person, np.random.Generator], tuple[Labels, Movement]]
Length = Literal["short", "long"]
LONGEST_S = 30.0  # of a test that goes on until it is done
CORRIDOR_M = (35.0, 55.0)  # of a long visit's walks
STANCE_S = (30.0, 45.0)  # and of its standing; 30 s is a usual posturographic trial
TURN_OF_A_CYCLE = np.deg2rad(110.0)  # two steps, of somebody who turns round on foot (chosen here)


def walk(
    person: Person, rng: np.random.Generator, fast: bool = False, metres: tuple[float, float] = (5.0, 9.0)
) -> tuple[Labels, Movement]:
    """Between so many metres out of a longer walk, nearly straight, at a comfortable or a fast pace.

    Healthy adults who are told to hurry gain 30 to 60 % (Bohannon 1997), impaired people less.
    """
    hurry = 1 + rng.uniform(0.25, 0.5) * (1 - 0.6 * person.severity) if fast else 1.0
    speed = person.speed_m_s * hurry * float(np.exp(rng.normal(0, 0.04)))
    seconds = float(np.clip(rng.uniform(*metres) / speed, 3, 12 / 9 * metres[1]))
    plan = Plan.still(round(seconds * RATE_HZ))
    plan.forward += speed * (1 + 0.03 * smooth_noise(rng, len(plan.time), 1, 0.3)[:, 0])
    plan.cycle_rate += _cycle_rate(person, speed) * float(np.exp(rng.normal(0, 0.03)))
    plan.heading += rng.normal(0, 0.10) * plan.time / seconds + 0.02 * smooth_noise(rng, len(plan.time), 1, 0.3)[:, 0]
    movement = perform(person, plan, rng)
    labels: Labels = {
        "task": "walkfast" if fast else "walk",
        "activity": "overground walking",
        "walking_speed_m_s": round(movement.speed_m_s, 3),
        "cadence_steps_min": round(movement.cadence_steps_min, 1),
        "step_length_m": round(movement.speed_m_s * 60 / movement.cadence_steps_min, 3),
    }
    return labels, movement


def walk_fast(person: Person, rng: np.random.Generator) -> tuple[Labels, Movement]:
    """`walk` in a hurry."""
    return walk(person, rng, fast=True)


def timed_up_and_go(person: Person, rng: np.random.Generator) -> tuple[Labels, Movement]:
    """Stand up, walk 3 m, turn, walk back, turn, sit down (Podsiadlo & Richardson 1991); time from the command."""
    p, speed = person.pattern, person.speed_m_s * float(np.exp(rng.normal(0.08, 0.05)))
    reach = 3.0 / speed + 0.4  # start and stop cost time
    parts = [rng.uniform(0.2, 0.5), 1.1 * p.transfer_time, reach, 0.9 * p.turn_time, reach, 0.9 * p.turn_time]
    parts.append(1.2 * p.transfer_time)
    before, after = rng.uniform(0.8, 2.0), rng.uniform(0.6, 1.5)
    durations = np.array(parts) * min(1.0, (LONGEST_S - before - after - 0.2) / sum(parts))
    _, rise, out, turn, back, turn_back, sit = before + np.concatenate([[0.0], np.cumsum(durations)])[:-1]
    end = before + durations.sum()
    plan = Plan.still(int((end + after) * RATE_HZ))
    t = plan.time

    plan.sitting += 1 - ramp(t, rise, out) + ramp(t, sit, end)
    lean = 0.5 + 0.3 * p.transfer_time
    plan.leaning += lean * (_hump(t, rise, out) + _hump(t, sit, end))
    for start, stop in ((out, turn), (back, turn_back)):
        course = ramp(t, start, start + 0.5) - ramp(t, stop - 0.5, stop)
        plan.forward += 3.0 * RATE_HZ * course / course.sum()
    side = rng.choice([-1, 1])
    on_foot, rate = (t > out) & (t < sit), _cycle_rate(person, np.maximum(plan.forward, 0.5 * speed))
    for start, stop in ((turn - 0.35, back + 0.35), (turn_back - 0.35, sit)):
        plan.heading += side * np.pi * ramp(t, start, stop)
        turning = (t > start) & (t < stop)
        rate = np.where(turning, np.maximum(rate, np.pi / (stop - start) / TURN_OF_A_CYCLE), rate)
    plan.cycle_rate += np.where(on_foot, rate, 0.0)
    labels: Labels = {"task": "tug", "activity": "timed up and go", "tug_time_s": round(end - before, 2)}
    return labels, perform(person, plan, rng)


# Four Square Step Test: forward, right, back, left, then the same way back (Dite & Temple 2002): (forward, right).
SQUARES = ((1, 0), (0, 1), (-1, 0), (0, -1), (0, 1), (1, 0), (0, -1), (-1, 0))


def four_square_step(person: Person, rng: np.random.Generator) -> tuple[Labels, Movement]:
    """Eight steps over canes on the floor, both feet into each square, always facing ahead; time of all eight."""
    p = person.pattern
    pace = 0.92 * p.turn_time**0.6 * (1.35 / person.speed_m_s) ** 0.7 * float(np.exp(rng.normal(0, 0.05)))
    before, after = rng.uniform(0.6, 1.5), rng.uniform(0.6, 1.5)
    moves = pace * np.exp(rng.normal(0, 0.04 + p.step_time_cv, len(SQUARES)))
    moves *= min(1.0, (LONGEST_S - before - after - 0.2) / moves.sum())
    starts = before + np.concatenate([[0.0], np.cumsum(moves)])
    plan = Plan.still(int((starts[-1] + after) * RATE_HZ))
    t = plan.time
    length = 0.33 * person.height_m
    for (ahead, right), start, stop in zip(SQUARES, starts[:-1], starts[1:], strict=True):
        speed = np.gradient(ramp(t, start, stop), 1 / RATE_HZ) * length
        plan.forward += ahead * speed
        plan.lateral += right * speed
        direction = -1 if ahead < 0 else 1
        stepping = (stop - start) - min(0.15, 0.15 * (stop - start))  # both feet stand before the next square
        plan.cycle_rate[(t >= start) & (t < start + stepping)] = direction / stepping
    labels: Labels = {"task": "fsst", "activity": "four square step test", "fsst_time_s": round(starts[-1] - before, 2)}
    return labels, perform(person, plan, rng)


def tandem_gait(person: Person, rng: np.random.Generator) -> tuple[Labels, Movement]:
    """Heel to toe along a line, slowly, with the arms out as far as balance asks for."""
    unsteady = person.severity
    seconds = rng.uniform(6, 11)
    plan = Plan.still(round(seconds * RATE_HZ))
    foot = 0.152 * person.height_m  # foot length (Drillis & Contini 1966)
    steps = rng.uniform(0.9, 1.4) * (1 - 0.45 * unsteady)  # per second
    plan.cycle_rate += steps / 2
    plan.forward += steps * foot * rng.uniform(1.05, 1.25)
    wander = 0.012 * (1 + 4 * unsteady) * person.pattern.sway
    plan.lateral += wander * smooth_noise(rng, len(plan.time), 1, 0.6)[:, 0]
    plan.narrow_deg = 4.0 - 3.0 * unsteady
    plan.arms_out_deg = rng.uniform(0, 12) + 25 * unsteady
    return {"task": "tandem", "activity": "tandem gait"}, perform(person, plan, rng)


def quiet_standing(
    person: Person, rng: np.random.Generator, seconds: tuple[float, float] = (10.0, 18.0)
) -> tuple[Labels, Movement]:
    """Standing still."""
    plan = Plan.still(round(rng.uniform(*seconds) * RATE_HZ))
    return {"task": "standing", "activity": "quiet standing"}, perform(person, plan, rng)


def five_times_sit_to_stand(person: Person, rng: np.random.Generator) -> tuple[Labels, Movement]:
    """Five rises from a chair, as fast as comfortable; about 11 s in adults of 60 to 69 (Bohannon 2006)."""
    once = 1.9 * person.pattern.transfer_time * float(np.exp(rng.normal(0, 0.06)))
    before, after = rng.uniform(0.6, 1.5), rng.uniform(0.4, 1.0)
    repeats = once * np.exp(rng.normal(0, 0.05, 5))
    repeats *= min(1.0, (LONGEST_S - before - after - 0.2) / repeats.sum())
    starts = before + np.concatenate([[0.0], np.cumsum(repeats)])
    plan = Plan.still(int((starts[-1] + after) * RATE_HZ))
    plan.sitting += 1
    t = plan.time
    lean = 0.5 + 0.3 * person.pattern.transfer_time
    for start, stop in zip(starts[:-1], starts[1:], strict=True):
        up, down = start + 0.45 * (stop - start), start + 0.55 * (stop - start)
        plan.sitting += ramp(t, down, stop) - ramp(t, start, up)
        plan.leaning += lean * (_hump(t, start, up) + _hump(t, down, stop))
    return {"task": "sitToStand", "activity": "five times sit to stand"}, perform(person, plan, rng)


def visit(person: Person, rng: np.random.Generator, length: Length) -> list[Test]:
    """The tests of a visit in order; the hard ones are spared some severely affected people.

    "short": 8 to 10 tests in little more than a minute. "long": 7 or 8, of which walks along a corridor and standing
    take longer, so that 600 people are about as much as the paper has: more than 30 hours, about 27,000 questions
    (arXiv:2505.18465).
    """
    tests: list[Test]
    if length == "long":
        long_walk: Test = functools.partial(walk, metres=CORRIDOR_M)
        long_stand: Test = functools.partial(quiet_standing, seconds=STANCE_S)
        tests = [long_walk, timed_up_and_go, long_stand, long_stand, five_times_sit_to_stand]
        if rng.random() < 0.6:
            tests.append(functools.partial(walk, fast=True, metres=CORRIDOR_M))
        able = person.severity < rng.uniform(0.7, 1.1)
        return tests + ([four_square_step, tandem_gait] if able else [long_stand, long_walk])
    tests = [walk, walk, walk_fast, timed_up_and_go, quiet_standing, five_times_sit_to_stand]
    if rng.random() < 0.6:
        tests.append(walk_fast)
    if rng.random() < 0.5:
        tests.append(timed_up_and_go)
    able = person.severity < rng.uniform(0.7, 1.1)
    return tests + ([four_square_step, tandem_gait] if able else [quiet_standing, walk])


def _cycle_rate(person: Person, speed: np.ndarray | float) -> np.ndarray | float:
    """Gait cycles per second at a speed: with a constant walk ratio, cadence = sqrt(60 speed / ratio)."""
    return np.sqrt(60 * np.asarray(speed) / person.walk_ratio_m_min) / 120


def _hump(t: np.ndarray, start: float, end: float) -> np.ndarray:
    """Up to 1 and back between `start` and `end`."""
    middle = (start + end) / 2
    return ramp(t, start, middle) - ramp(t, middle, end)
