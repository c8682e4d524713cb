"""Gait measures: those of a closed-form walk, of recorded and simulated ones, and reasons where there are none."""

from pathlib import Path

import numpy as np
import pytest
from walks import CANONICAL, COLUMN, SHARED, STRIDE_S, SWING, pendulum_walk, standing

from biomechjax.cohort.clinic import simulate
from biomechjax.cohort.folder import Cohort
from biomechjax.cohort.signals import smooth_noise
from biomechjax.motion.gait import measure_gait
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

LEG = 0.491 + 0.039  # hip to sole, shares of height
ACROSS = 2 * 0.0464


def value(gait, name: str) -> float:
    measure = gait.measures[name]
    assert measure.value is not None, measure.note
    return measure.value


def test_closed_form_walk():
    gait = measure_gait(pendulum_walk(30.0, speed=1.2), 1.8)
    assert value(gait, "cadence_steps_min") == pytest.approx(120 / STRIDE_S, rel=2e-3)
    assert value(gait, "walking_speed_m_s") == pytest.approx(1.2, rel=1e-3)
    assert value(gait, "stride_length_m") == pytest.approx(1.2 * STRIDE_S, rel=3e-3)
    assert value(gait, "step_length_m") == pytest.approx(0.6 * STRIDE_S, rel=3e-3)
    assert gait.measures["walking_speed_m_s"].note == ""
    # At the strike both hips are at the cosine of the delay; the heel is 0.040 of height behind the ankle.
    apart = np.cos(np.arcsin(0.5 * np.sqrt(0.5)))
    for side in "rl":
        assert value(gait, f"step_time_{side}_s") == pytest.approx(STRIDE_S / 2, rel=0.01)
        assert value(gait, f"step_length_{side}_m") == pytest.approx(2 * 1.8 * LEG * np.sin(SWING * apart), rel=0.03)
    assert gait.measures["step_length_r_m"].note == "on a body of 1.80 m"
    assert value(gait, "step_width_m") == pytest.approx(1.8 * ACROSS, rel=0.02)
    # From the strike a foot stands until as long before it is furthest behind: 50 % less twice the delay.
    stance = 50 - 2 * 100 * np.arcsin(0.5 * np.sqrt(0.5)) / (2 * np.pi)
    assert value(gait, "stance_l_percent") == pytest.approx(stance, abs=1)
    assert value(gait, "double_support_percent") == 0
    assert "running" in gait.measures["double_support_percent"].note
    assert abs(value(gait, "symmetry_step_time_percent")) < 1
    assert value(gait, "hip_flexion_r_range") == pytest.approx(2 * SWING, rel=0.02)
    assert value(gait, "knee_angle_l_range") == 0


def test_late_left_foot_shows_in_the_symmetry():
    """Left steps take 0.55 and right ones 0.45 of a stride: 100 (0.45 - 0.55) / 0.5 = -20 %."""
    gait = measure_gait(pendulum_walk(late=0.05))
    assert value(gait, "symmetry_step_time_percent") == pytest.approx(-20, abs=1.5)
    assert value(gait, "cadence_steps_min") == pytest.approx(120 / STRIDE_S, rel=5e-3)


def test_cadence_survives_the_wavering_of_captured_joints():
    """Four seconds at 30 Hz with the error that `cohort/capture.py` has at hips and knees (arXiv:2507.08268)."""
    rng, errors = np.random.default_rng(0), []
    walk = pendulum_walk(30.0, seconds=4.0)
    wavering = [COLUMN[f"{joint}_{s}"] for joint in ("hip_flexion", "knee_angle") for s in "rl"]
    for _ in range(60):
        values = walk.values.copy()
        values[:, wavering] += np.deg2rad([2.6, 2.6, 3.3, 3.3]) * smooth_noise(rng, len(values), 4, 3.0)
        gait = measure_gait(walk.__class__(walk.format, 30.0, values, walk.observed))
        errors.append(abs(value(gait, "cadence_steps_min") / (120 / STRIDE_S) - 1))
    assert np.percentile(errors, 90) < 0.0145  # 0.0168 from strikes and offs alone


def test_treadmill_and_unseen_root_take_the_speed_of_the_standing_foot():
    walks = {
        "the pelvis stays, as on a treadmill": pendulum_walk(speed=0.0),
        "travel was not recorded": pendulum_walk(unobserved=("pelvis_tx", "pelvis_tz")),
    }
    expected = LEG * 1.7 * SWING * 2 * np.pi / STRIDE_S  # at mid-stance, the highest speed of the pendulum
    for kind, walk in walks.items():
        measure = measure_gait(walk).measures["walking_speed_m_s"]
        assert kind in measure.note and "on a body of 1.70 m (assumed)" in measure.note
        assert measure.value is not None and 0.9 * expected < measure.value < expected


def test_turning_steps_count_for_nothing():
    """Out for 5 s, round in 2 s while standing on the spot, and back: the speed is that of out and back."""
    time = np.arange(1200) / 100
    heading = np.pi * np.clip((time - 5) / 2, 0, 1)
    walk = pendulum_walk(seconds=12.0, heading=heading)
    values = walk.values.copy()
    step = np.where((time > 5) & (time < 7), 0, 1.2) / 100
    values[:, 0] = np.cumsum(step * np.cos(heading))
    values[:, 1] = -np.cumsum(step * np.sin(heading))
    gait = measure_gait(walk.__class__(walk.format, 100.0, values, walk.observed))
    assert value(gait, "walking_speed_m_s") == pytest.approx(1.2, abs=0.02)
    assert value(gait, "cadence_steps_min") == pytest.approx(120 / STRIDE_S, rel=0.02)
    turning = [s for s in gait.steps if not s.straight]
    assert turning and all(4 < s.start < 8 for s in turning)


def test_nothing_is_guessed():
    still = measure_gait(standing())
    assert all(m.value is None and "standing" in m.note for m in still.measures.values())
    circles = measure_gait(pendulum_walk(heading=np.arange(800) / 100))  # 57 degrees a second
    assert circles.steps
    assert all(m.value is None and m.note == "every step turns" for m in circles.measures.values())
    short = measure_gait(pendulum_walk(seconds=0.4))
    assert all(m.value is None and m.note for m in short.measures.values())


@pytest.mark.parametrize(
    ("name", "height_m", "low", "high"),
    [
        ("opencap_walking1", None, 1.03, 1.06),  # the pelvis travels at 1.044 m/s
        ("hamner_subject02_running_ik", 1.8, 3.8, 4.2),  # a treadmill at 4 m/s (Hamner & Delp 2013)
        ("gait2354_subject01_walk1_ik", 1.8, 1.0, 1.25),  # a treadmill; the same person as the next
        ("gait10dof_subject01_walk_ik", 1.8, 1.0, 1.25),
    ],
)
def test_speed_of_real_files(name: str, height_m: float | None, low: float, high: float):
    path = SHARED / "opensim_opencap_mot" / f"{name}.mot"
    if not path.is_file():
        pytest.skip(f"the example motions of OpenSim and OpenCap are not at {path.parent}")
    assert low < value(measure_gait(read_recording(path), height_m), "walking_speed_m_s") < high


def test_speed_of_a_recorded_walk_is_that_of_its_pelvis():
    """One second of LocoMuJoCo's walk: its speeds are 500 times the differences of its positions, so 500 Hz; its knees
    bend positive."""
    path = SHARED / "locomujoco_human_mini" / "02-constspeed_full_humanoid.npz"
    if not path.is_file():
        pytest.skip(f"the mini sets of LocoMuJoCo are not at {path.parent}")
    with np.load(path, allow_pickle=False) as arrays:
        columns = {n.removeprefix("q_"): arrays[n] for n in arrays.files if n.startswith("q_")}
    values, observed = np.zeros((500, CANONICAL.size), np.float32), np.zeros(CANONICAL.size, bool)
    for name in columns.keys() & set(CANONICAL.names):
        values[:, COLUMN[name]] = columns[name] * (-1 if name.startswith("knee") else 1)
        observed[COLUMN[name]] = True
    travelled = (columns["pelvis_tx"][-1] - columns["pelvis_tx"][0]) / (499 / 500)
    gait = measure_gait(Recording(CANONICAL, 500.0, values, observed), 1.8)
    assert value(gait, "walking_speed_m_s") == pytest.approx(travelled, abs=0.05)


def test_squats_are_no_walk():
    path = SHARED / "opensim_opencap_mot" / "opencap_squats1.mot"
    if not path.is_file():
        pytest.skip(f"the example motions of OpenSim and OpenCap are not at {path.parent}")
    assert measure_gait(read_recording(path)).events.reason


def test_simulated_walks_agree_with_their_labels(tmp_path: Path):
    simulate(tmp_path / "clinic", participants=8, seed=3, visit="short", workers=1)
    cohort = Cohort.load(tmp_path / "clinic")
    speeds, cadences = [], []
    for trial in cohort.trials:
        if trial.task in ("walk", "walkfast"):
            gait = measure_gait(cohort.read(trial), float(trial.labels["height_m"]))
            speeds.append(value(gait, "walking_speed_m_s") - float(trial.labels["walking_speed_m_s"]))
            cadences.append(value(gait, "cadence_steps_min") / float(trial.labels["cadence_steps_min"]) - 1)
        elif trial.task == "standing":
            assert measure_gait(cohort.read(trial), float(trial.labels["height_m"])).events.reason
    assert len(speeds) > 20
    assert np.mean(np.abs(speeds) < 0.03) >= 0.9
    assert np.mean(np.abs(cadences) < 0.02) >= 0.85
    assert np.median(np.abs(cadences)) < 0.01
