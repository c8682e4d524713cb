"""Stick figures: where MuJoCo says the joints are, on a floor, and what could not be recorded told."""

import dataclasses

import mujoco
import numpy as np
import pytest
from walks import CANONICAL, pendulum_walk, standing

from biomechjax.errors import InputError
from biomechjax.motion.body import body_model
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.motion.stick import POINTS, stick_figure
from biomechjax.motion.trc import marker_format


def test_points_are_where_mujoco_puts_them_over_the_floor():
    walk = pendulum_walk(30.0, 3.0)
    walk.values[:] += np.random.default_rng(0).normal(0, 0.05, walk.values.shape).astype(np.float32)
    figure = stick_figure(walk, 1.6)
    model = body_model(1.6)
    data = mujoco.MjData(model)
    lowest = []
    for frame, values in enumerate(walk.values):
        data.qpos[:] = values
        mujoco.mj_kinematics(model, data)
        places = {
            **{b: data.body(b).xpos for b in ("pelvis", "torso", "head", "femur_l", "tibia_r", "ulna_l", "hand_r")}
        }
        places |= {
            "vertex": data.site("head").xpos,
            "toe_l": data.site("toe_l").xpos,
            "heel_r": data.site("heel_r").xpos,
        }
        places["fingertip_l"] = data.site("hand_l").xpos
        for name, place in places.items():
            place = place - figure.places[frame, POINTS.index(name)]
            np.testing.assert_allclose(place[[0, 2]], 0, atol=1e-4)
            lowest.append(place[1])
    np.testing.assert_allclose(lowest, lowest[0], atol=1e-4)  # one floor for all points and frames
    share_below = (figure.places[..., 1].min(axis=1) < 0).mean()
    assert share_below == pytest.approx(0.05, abs=0.02)


def test_lines_follow_the_limbs_of_their_side():
    lines = {POINTS[line.points[-1]]: line for line in stick_figure(standing()).lines}
    assert {end: line.side for end, line in lines.items()} == {
        "toe_l": "l",
        "fingertip_l": "l",
        "toe_r": "r",
        "fingertip_r": "r",
        "vertex": "m",
    }
    assert [POINTS[p] for p in lines["toe_r"].points][:4] == ["pelvis", "femur_r", "tibia_r", "talus_r"]


def test_without_a_height_the_body_stands_in_every_frame_and_what_is_missing_is_told():
    arms = [n for n in CANONICAL.names if n.startswith(("arm", "elbow", "pro_sup", "wrist"))]
    missing = ("pelvis_tx", "pelvis_ty", "pelvis_tz", *(n for n in arms if n.endswith("_l")))
    figure = stick_figure(pendulum_walk(30.0, 2.0, speed=0.0, unobserved=missing))
    np.testing.assert_allclose(figure.places[..., 1].min(axis=1), 0, atol=1e-6)
    assert [POINTS[line.points[-1]] for line in figure.lines if not line.recorded] == ["fingertip_l"]
    assert [note.split(" ")[0] for note in figure.notes] == ["The", "Where", "Limbs"]
    assert stick_figure(pendulum_walk(30.0, 2.0)).notes == ()


@pytest.mark.parametrize("facing", [0.0, 2.0])
def test_facing(facing: float):
    assert stick_figure(pendulum_walk(30.0, heading=np.full(240, facing))).facing == pytest.approx(facing, abs=1e-5)


def test_markers_are_joined_where_they_keep_their_distance():
    """Two rigid triangles that move apart, a metre over the laboratory's zero."""
    time = np.linspace(0, 2, 60)
    triangle = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.3, 0]])  # wider than the two are apart
    names = ["RA", "RB", "RC", "LA", "LB", "LC", "top"]
    places = np.full((60, 7, 3), np.nan)
    places[:, :3] = triangle + [0, 1, 0.1] + np.stack([time, 0 * time, 0 * time], -1)[:, None]
    places[:, 3:6] = triangle + [0, 1, -0.1] + np.stack([time, 0.2 * np.sin(9 * time), 0 * time], -1)[:, None]
    places[:, 6] = np.stack([time, 2.5 + 0 * time, 0 * time], -1)
    places[10, 6, 1] = 0.0
    format = marker_format(names)
    observed = np.ones(21, bool)
    recording = Recording(format, 30.0, places.reshape(60, 21).astype(np.float32), observed)
    figure = stick_figure(recording)
    joined = {frozenset(figure.names[p] for p in line.points): line.side for line in figure.lines}
    assert sum(side == "r" for side in joined.values()) == 2 and sum(side == "l" for side in joined.values()) == 2
    assert sum(side == "m" for side in joined.values()) == 1  # between the sides
    assert not any("top" in pair for pair in joined)  # too far from all
    assert np.median(figure.places[:, 3:6, 1].min(axis=1)) == pytest.approx(0.2, abs=0.05)
    assert figure.places[11, 6, 1] == pytest.approx(1.7, abs=0.01)  # over a floor that is not that one bad frame
    assert figure.facing == pytest.approx(0.0, abs=1e-6)
    hidden = observed.copy()
    hidden[3:6] = False
    assert "RB" not in stick_figure(dataclasses.replace(recording, observed=hidden)).names
    back = dataclasses.replace(recording, values=recording.values[::-1].copy())
    assert abs(stick_figure(back).facing) == pytest.approx(np.pi, abs=1e-6)


def test_what_cannot_be_drawn_is_refused():
    format = MotionFormat.from_dict({"name": "other", "channels": [["a", "rad", "a"]]})
    recording = Recording(format, 30.0, np.zeros((30, 1), np.float32), np.ones(1, bool), "x.csv")
    with pytest.raises(InputError, match="x.csv: format other has neither markers nor"):
        stick_figure(recording)
