"""Features: invertible, and the same wherever the person stands and faces."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biomechjax.motion.features import Placement, from_features, to_features
from biomechjax.motion.format import load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

RATE_HZ = 30.0
CANONICAL = load_format("canonical")
X, Z, HEADING = (CANONICAL.indices[n] for n in ("pelvis_tx", "pelvis_tz", "pelvis_rotation"))
PELVIS = [CANONICAL.indices[n] for n in ("pelvis_tilt", "pelvis_list", "pelvis_rotation")]
WALK = Path(__file__).parents[2].parent / "shared" / "data" / "opensim_opencap_mot" / "opencap_walking1.mot"


@pytest.fixture
def walk() -> np.ndarray:
    """Half a minute of walking at about 1.2 m/s through several full turns; float32 [900, 40]."""
    rng = np.random.default_rng(3)
    frames = 900
    values = np.cumsum(rng.normal(0, 0.03, (frames, CANONICAL.size)), axis=0)
    values[:, PELVIS[:2]] = 0.4 * np.sin(values[:, PELVIS[:2]])  # a list of a quarter turn has no one heading
    heading = 0.5 * np.arange(frames) / RATE_HZ + np.cumsum(rng.normal(0, 0.03, frames))
    ahead, right = 1.2 + rng.normal(0, 0.2, frames), rng.normal(0, 0.2, frames)
    values[:, HEADING] = heading
    values[:, X] = 4 + np.cumsum(ahead * np.cos(heading) + right * np.sin(heading)) / RATE_HZ
    values[:, Z] = -7 + np.cumsum(right * np.cos(heading) - ahead * np.sin(heading)) / RATE_HZ
    return values.astype(np.float32)


def test_features_invert(walk: np.ndarray):
    features, placement = to_features(CANONICAL, RATE_HZ, walk)
    assert features.shape == walk.shape
    np.testing.assert_allclose(from_features(CANONICAL, RATE_HZ, features, placement), walk, atol=1e-5)


def in_another_room(values: np.ndarray, turn: float) -> np.ndarray:
    """The same movement in a room whose axes are turned; the pelvis's attitude turns with them as a matrix does."""
    moved = values.astype(np.float64)
    x, z = moved[:, X].copy(), moved[:, Z].copy()
    moved[:, X] = x * np.cos(turn) + z * np.sin(turn) + 2.5
    moved[:, Z] = z * np.cos(turn) - x * np.sin(turn) - 11.0
    attitude = Rotation.from_euler("Y", turn) * Rotation.from_euler("ZXY", moved[:, PELVIS])
    moved[:, PELVIS] = np.unwrap(attitude.as_euler("ZXY"), axis=0)
    moved[:, HEADING] += 2 * np.pi * np.round((values[0, HEADING] + turn - moved[0, HEADING]) / (2 * np.pi))
    return moved


def same_wherever_the_person_faces(walk: np.ndarray, turn: float) -> None:
    moved = in_another_room(walk, turn)
    features, _ = to_features(CANONICAL, RATE_HZ, walk.astype(np.float64))
    found, placement = to_features(CANONICAL, RATE_HZ, moved)
    np.testing.assert_allclose(found, features, atol=1e-4)
    np.testing.assert_allclose(from_features(CANONICAL, RATE_HZ, features, placement), moved, atol=1e-4)


@pytest.mark.parametrize("turn", [0.7, np.pi, -2.0, 15.0])
def test_features_do_not_tell_where_the_person_stands_or_faces(walk: np.ndarray, turn: float):
    same_wherever_the_person_faces(walk, turn)


@pytest.mark.parametrize("turn", [0.7, np.pi, -2.0])
def test_features_of_a_recorded_walk_do_not_tell_where_the_person_faces(turn: float):
    if not WALK.is_file():
        pytest.skip(f"the example motions of OpenCap are not at {WALK.parent}")
    recorded = read_recording(WALK).resampled(RATE_HZ).values
    assert np.abs(recorded[:, PELVIS[0]]).max() > np.deg2rad(5)  # tilted, so that the order matters
    same_wherever_the_person_faces(recorded, turn)


def test_heading_rate_is_that_of_the_body_and_tilt_is_the_bodys():
    """Somebody who leans forward by 0.3 and turns about the vertical at 1 rad/s through more than a whole turn."""
    seconds = np.arange(300) / RATE_HZ
    attitude = Rotation.from_euler("Y", seconds[:, None]) * Rotation.from_euler("Z", -0.3)
    values = np.zeros((300, CANONICAL.size))
    values[:, PELVIS] = np.unwrap(attitude.as_euler("ZXY"), axis=0)
    features, _ = to_features(CANONICAL, RATE_HZ, values)
    np.testing.assert_allclose(features[:, PELVIS], np.tile([-0.3, 0.0, 1.0], (300, 1)), atol=1e-9)
    np.testing.assert_allclose(from_features(CANONICAL, RATE_HZ, features), values, atol=1e-9)


def test_formats_without_tilt_and_list_keep_their_pelvis(walk: np.ndarray):
    root = dataclasses.replace(CANONICAL.root, tilt=None, list=None)
    format = dataclasses.replace(CANONICAL, root=root)
    features, placement = to_features(format, RATE_HZ, walk)
    np.testing.assert_array_equal(features[:, PELVIS[:2]], walk[:, PELVIS[:2]])
    np.testing.assert_allclose(features[1:, HEADING], np.diff(walk[:, HEADING]) * RATE_HZ, atol=1e-4)
    np.testing.assert_allclose(from_features(format, RATE_HZ, features, placement), walk, atol=1e-5)


def test_planar_velocity_is_that_of_the_body():
    """Facing the left of the room (-z), 1 m/s that way is forward and 0.5 m/s along +x is to the right."""
    seconds = np.arange(30) / RATE_HZ
    values = np.zeros((30, CANONICAL.size))
    values[:, X], values[:, Z], values[:, HEADING] = 0.5 * seconds, -1.0 * seconds, np.pi / 2
    features, _ = to_features(CANONICAL, RATE_HZ, values)
    np.testing.assert_allclose(features[:, [X, Z, HEADING]], np.tile([1.0, 0.5, 0.0], (30, 1)), atol=1e-9)


def test_features_start_at_the_origin_by_default(walk: np.ndarray):
    features, _ = to_features(CANONICAL, RATE_HZ, walk)
    values = from_features(CANONICAL, RATE_HZ, features)
    np.testing.assert_array_equal(values[0, [X, Z]], 0)
    assert values[0, HEADING] == pytest.approx(0, abs=0.2)  # heading first it is 0
    gone = np.hypot(*(values[-1, [X, Z]] - values[0, [X, Z]]))
    assert gone == pytest.approx(np.hypot(*(walk[-1, [X, Z]] - walk[0, [X, Z]])), abs=1e-3)


@pytest.mark.parametrize("format", [load_format("ui_prmd_vicon"), dataclasses.replace(CANONICAL, reference="start")])
def test_start_reference_takes_the_first_posture_away_and_gives_it_back(format):
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 1, format.size) + np.cumsum(rng.normal(0, 0.02, (90, format.size)), 0)).astype(np.float32)
    features, placement = to_features(format, RATE_HZ, values)
    of_root = [format.indices[n] for n in dataclasses.astuple(format.root)] if format.root else []  # and tilt, list
    postures = np.delete(features, of_root, axis=1)
    np.testing.assert_allclose(postures[:3].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(from_features(format, RATE_HZ, features, placement), values, atol=1e-5)
    shifted, _ = to_features(format, RATE_HZ, values + np.float32(0.3))
    np.testing.assert_allclose(np.delete(shifted, of_root, axis=1), postures, atol=1e-5)


def test_anatomical_reference_keeps_postures(walk: np.ndarray):
    features, placement = to_features(CANONICAL, RATE_HZ, walk)
    knee = CANONICAL.indices["knee_angle_r"]
    np.testing.assert_array_equal(features[:, knee], walk[:, knee])
    assert isinstance(placement, Placement) and placement.posture == 0


def test_plugin_gait_has_the_features_of_its_canonical_counterpart():
    """There both signs of the pelvis are opposite; channels that mean the same share a column of a tokenizer."""
    own = load_format("plugin_gait")
    values = np.zeros((60, own.size), np.float32)
    at = [own.indices[f"RPelvisAngles.{axis}"] for axis in "xyz"]
    values[:, at] = np.stack([np.full(60, 0.2), np.full(60, -0.1), np.linspace(0, 3, 60)], axis=1)
    recording = Recording(own, 30.0, values, np.ones(own.size, bool))
    other = to_format(recording, CANONICAL)
    found, placement = to_features(own, 30.0, values)
    expected, _ = to_features(CANONICAL, 30.0, other.values)
    for name, mine, sign in own.canonical:
        column = sign * found[:, own.indices[mine]]
        np.testing.assert_allclose(column, expected[:, CANONICAL.indices[name]], atol=1e-5, err_msg=name)
    assert np.ptp(found[:, at[0]]) > 0.1  # in the order of the file it is constant
    np.testing.assert_allclose(from_features(own, 30.0, found, placement), values, atol=1e-5)
