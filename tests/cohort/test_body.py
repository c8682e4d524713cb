"""Simulated bodies: what a plan asks for, seen on the body of `body.xml`."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biomechjax.cohort import activities, legs
from biomechjax.cohort.body import Plan, perform
from biomechjax.cohort.capture import capture
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.people import GROUPS, Person, draw_person
from biomechjax.cohort.signals import RATE_HZ
from biomechjax.cohort.steps import footsteps, runs
from biomechjax.motion.events import gait_events, observe_feet
from biomechjax.motion.gait import measure_gait
from biomechjax.motion.kinematics import recorded_pose
from biomechjax.motion.pictures import cycle_curves, normative
from biomechjax.motion.recording import Recording

TESTS = (
    activities.walk,
    activities.walk_fast,
    activities.timed_up_and_go,
    activities.four_square_step,
    activities.tandem_gait,
    activities.quiet_standing,
    activities.five_times_sit_to_stand,
)


def feet_of(values: np.ndarray, person: Person) -> np.ndarray:
    """[F, 2 sides, 2, 3] heels and balls in the room."""
    pose = recorded_pose(recording(values), person.height_m)
    return np.stack([pose.heels, pose.balls], axis=2)


def recording(values: np.ndarray) -> Recording:
    return Recording(canonical(), RATE_HZ, values.astype(np.float32), np.ones(canonical().size, bool), "true")


@pytest.fixture(scope="module")
def people() -> list[Person]:
    """Three people of each group, and five more of the unimpaired."""
    return [
        draw_person(np.random.default_rng([11, i, j]), g) for i, g in enumerate(GROUPS) for j in range(3 + 5 * (i == 0))
    ]


@pytest.fixture(scope="module")
def performed(people: list[Person]):
    """(person, labels, true values) of every test by every person."""
    found = []
    for i, person in enumerate(people):
        rng = np.random.default_rng([12, i])
        for test in TESTS:
            labels, movement = test(person, rng)
            found.append((person, labels, movement.values))
    return found


def test_a_person_who_faces_the_other_way_is_the_same_person_turned():
    """Half a turn about the pelvis's place: every joint of a stooped walker goes to the other side of it."""
    person = draw_person(np.random.default_rng(3), "parkinson's disease")
    places = []
    for turn in (0.0, np.pi):
        plan = Plan.still(90)
        plan.forward += 0.8
        plan.cycle_rate += 0.8
        plan.heading += turn
        values = perform(person, plan, np.random.default_rng(5)).values
        joints = np.asarray(recorded_pose(recording(values), person.height_m).joints)
        places.append(joints - joints[:1, :1])
    np.testing.assert_allclose(places[1], places[0] * [-1, 1, -1], atol=1e-3)


def test_feet_do_not_slide_in_mid_stance(performed):
    """Heel and ball in mid-stance, 12 to 31 % of the cycle (Perry & Burnfield 2010), found from the angles alone."""
    slips = []
    for person, labels, values in performed:
        if labels["activity"] != "overground walking":
            continue
        feet = feet_of(values, person)
        events = gait_events(observe_feet(recording(values), person.height_m))
        for side in (0, 1):
            for strike in events.strikes[side]:
                later = events.offs[side][events.offs[side] > strike]
                if len(later) and later[0] - strike < 2 * events.step_s:
                    first, last = (round((w * later[0] + (1 - w) * strike) * RATE_HZ) for w in (0.2, 0.5))
                    places = feet[first : last + 1, side][..., [0, 2]]
                    slips.append(np.linalg.norm(places - places.mean(axis=0), axis=-1).max())
    assert len(slips) > 300
    assert np.percentile(slips, 95) < 0.01
    assert np.percentile(slips, 99) < 0.02


@pytest.mark.parametrize("task", ["quiet standing", "five times sit to stand"])
def test_standing_feet_stay_on_the_floor(performed, task: str):
    for person, labels, values in performed:
        if labels["activity"] == task:
            feet = feet_of(values, person)
            assert np.abs(feet - feet.mean(axis=0)).max() < 0.01
            assert np.abs(feet[..., 1]).max() < 0.01


@pytest.mark.parametrize("task", ["timed up and go", "four square step test", "tandem gait", "overground walking"])
def test_there_is_always_a_foot_that_stays(performed, task: str):
    """In nearly every frame a heel or a ball is slower than 10 cm/s: steps to the side, back and in turns do not slide.
    Around a strike it may be faster for a frame or two, and fast walkers have many of those."""
    for person, labels, values in performed:
        if labels["activity"] == task:
            feet = feet_of(values, person)[..., [0, 2]]
            speed = np.linalg.norm(np.diff(feet, axis=0), axis=-1).min(axis=(1, 2)) * RATE_HZ
            assert np.mean(speed < 0.10) > (0.75 if labels["task"] == "walkfast" else 0.85), labels["task"]
            assert np.median(speed) < 0.02


def test_nobody_sinks_into_the_floor(performed):
    """Tips of toes by less than 4 cm, heels and balls of the least steady by less than 7, most by less than 1 cm."""
    for points, at_worst, mostly in ((("heels", "balls"), 0.07, 0.01), (("toes",), 0.04, 0.01)):
        poses = [(recorded_pose(recording(values), person.height_m), labels) for person, labels, values in performed]
        lowest = np.array([min(getattr(pose, p)[..., 1].min() for p in points) for pose, _ in poses])
        assert lowest.min() > -at_worst, (points, poses[int(lowest.argmin())][1]["task"])
        assert np.percentile(lowest, 5) > -0.02, points
        assert np.percentile(lowest, 25) > -mostly, points


def test_swinging_feet_clear_the_floor(performed):
    """By 1 to 2 cm in mid-swing, as unimpaired people's do: 1.3 cm (Winter 1992), 1.9 cm (Moosabhoy & Gard 2006, Gait
    Posture 24:493)."""
    clearances = []
    for person, labels, values in performed:
        if person.labels["group"] == "unimpaired" and labels["task"] == "walk":
            pose = recorded_pose(recording(values), person.height_m)
            lowest = np.minimum(pose.toes, pose.balls)[..., 1]
            events = gait_events(observe_feet(recording(values), person.height_m))
            for side in (0, 1):
                for off in events.offs[side]:
                    later = events.strikes[side][events.strikes[side] > off]
                    if len(later) and later[0] - off < 1.2 * events.step_s:
                        first, last = (round((off + w * (later[0] - off)) * RATE_HZ) for w in (0.3, 0.8))
                        clearances.append(lowest[first : last + 1, side].min())
    assert len(clearances) > 50
    assert 0.008 < np.median(clearances) < 0.02
    assert np.percentile(clearances, 5) > -0.005


def test_joint_limits_hold(performed):
    lower, upper = (np.array([getattr(c, side) for c in canonical().channels]) for side in ("lower", "upper"))
    for _, _, values in performed:
        assert (values >= lower).all() and (values <= upper).all()


@pytest.mark.parametrize("group", GROUPS)
def test_measured_speed_and_cadence_are_those_of_the_labels(performed, group: str):
    walks = [x for x in performed if x[0].labels["group"] == group and x[1]["activity"] == "overground walking"]
    for person, labels, values in walks:
        measures = measure_gait(recording(values), person.height_m).measures
        assert measures["walking_speed_m_s"].value == pytest.approx(labels["walking_speed_m_s"], abs=0.03)
        assert measures["cadence_steps_min"].value == pytest.approx(labels["cadence_steps_min"], rel=0.02)


def test_a_foot_that_goes_back_from_the_first_frame_on_did_not_strike_before_it():
    """The second of two slow captured walks; it begins when a foot is past its furthest ahead."""
    rng = np.random.default_rng([2000, 3, 10])
    person = draw_person(rng, "transtibial prosthesis users")
    for _ in range(2):
        values = capture(activities.walk(person, rng)[1].values, rng)
    gait = measure_gait(recording(values), person.height_m)
    times = np.concatenate([*gait.events.strikes, *gait.events.offs])
    assert times.min() >= 0 and times.max() <= (len(values) - 1) / RATE_HZ
    assert gait.measures["knee_angle_r_range"].value > 0.1


def test_unimpaired_angles_are_near_measured_ones(performed):
    """Mean curves within 1.5 standard deviations, or twelve degrees, of measured children (normative.toml)."""
    for joint in ("hip_flexion", "knee_angle", "ankle_angle"):
        curves = []
        for person, labels, values in performed:
            if person.labels["group"] == "unimpaired" and labels["task"] == "walk":
                walk = recording(values)
                events = gait_events(observe_feet(walk, person.height_m))
                curves += [np.rad2deg(cycle_curves(walk, events, f"{joint}_{s}", i)) for i, s in enumerate("rl")]
        mean, band = np.concatenate(curves).mean(axis=0), normative()[joint]
        away = np.abs(mean - band["mean_deg"])
        assert np.mean(away < np.maximum(1.5 * np.array(band["sd_deg"]), 12.0)) > 0.9, joint
        assert np.ptp(mean) == pytest.approx(np.ptp(band["mean_deg"]), rel=0.25), joint


def test_legs_are_those_of_the_body_model(performed):
    person, _, values = performed[0]
    attitude = Rotation.from_euler("ZXY", values[:, 3:6]).as_matrix()
    place = values[:, [0, 2, 1]]
    both = [np.concatenate([x, legs.mirrored(x)]) for x in (attitude, place)]
    right, left = np.split(legs.place_feet(legs.both_legs(values), *both, person.height_m)[0], 2)
    np.testing.assert_allclose(np.stack([right, legs.mirrored(left)], axis=1), feet_of(values, person), atol=1e-4)


def test_legs_reach_what_legs_can_reach():
    """Places that come from angles: heel and ball are there again, though the pattern to stay close to is another."""
    rng = np.random.default_rng(0)
    pattern = np.deg2rad([20.0, 0.0, 0.0, -30.0, 5.0, 0.0]) + rng.normal(0, 0.05, (200, 6))
    attitude, place = np.tile(np.eye(3), (200, 1, 1)), np.zeros((200, 3))
    wanted = legs.place_feet(pattern + rng.normal(0, 0.12, (200, 6)), attitude, place, 1.7)[0]
    angles = legs.reach(pattern, attitude, place, 1.7, wanted, np.ones((200, 2, 3)), np.full((200, 6), 0.012))
    found = legs.place_feet(angles, attitude, place, 1.7)[0]
    assert np.linalg.norm(found - wanted, axis=-1).max() < 0.005
    assert np.abs(angles - pattern).max() < 0.8


def test_a_foot_follows_its_pattern_from_place_to_place():
    """A pattern that slides back by 2 cm each stance and lifts between: planted it does not, and nothing jumps."""
    time = np.arange(90)
    stays = np.repeat(((time % 30) < 18)[:, None], 2, axis=1)
    x = np.where(time % 30 < 18, 0.0, (time % 30 - 17) / 13) * 0.6 + time // 30 * 0.6 - 0.02 * (time % 30) / 18
    feet = np.zeros((90, 2, 3))
    feet[:, :, 0] = x[:, None] + [0.0, 0.2]
    feet[:, :, 1] = 0.05
    ways = footsteps(feet, stays, 0.2)
    for first, last in runs(stays[:, 0]):
        inner = ways[first + 3 : last - 3]
        assert np.ptp(inner, axis=0).max() < 1e-3
        np.testing.assert_allclose(inner[..., 1], 0, atol=1e-6)
        np.testing.assert_allclose(inner[:, 1, 0] - inner[:, 0, 0], 0.2, atol=1e-6)
    assert np.abs(np.diff(ways[..., 0], axis=0)).max() < 0.12
    assert ways[~stays[:, 0]][..., 1].max() > 0.01
