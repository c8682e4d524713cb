"""Recordings: what is refused, and that resampling keeps movement and drops what the new rate cannot hold."""

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording
from biomechjax.motion.travel import straight_line_speed

CANONICAL = load_format("canonical")
X, Z, KNEE = (CANONICAL.indices[n] for n in ("pelvis_tx", "pelvis_tz", "knee_angle_r"))


def recording(**changes) -> Recording:
    """4 s straight ahead at 1.3 m/s with a sway of 3 cm to the sides."""
    seconds = np.arange(400) / 100
    values = np.zeros((400, CANONICAL.size), np.float32)
    values[:, X], values[:, Z] = 1.3 * seconds, 0.03 * np.sin(2 * np.pi * 0.9 * seconds)
    settings = {"rate_hz": 100.0, "values": values, "observed": np.ones(CANONICAL.size, bool), "source": "walk.mot"}
    return Recording(CANONICAL, **settings | changes)


def with_knee(frequency_hz: float) -> Recording:
    values = recording().values.copy()
    values[:, KNEE] = np.sin(2 * np.pi * frequency_hz * np.arange(400) / 100)
    return recording(values=values)


def test_resampling_keeps_slow_movement():
    found = with_knee(1.0).resampled(30.0)
    assert found.rate_hz == 30
    assert found.duration_s == pytest.approx(4.0, abs=1 / 30)
    truth = np.sin(2 * np.pi * np.arange(len(found.values)) / 30)
    inside = slice(15, -15)  # the filter sees half a second of the extension at each end
    np.testing.assert_allclose(found.channel("knee_angle_r")[inside], truth[inside], atol=0.01)


def test_resampling_does_not_alias():
    """40 Hz would come back as 10 Hz at 30 frames per second."""
    found = with_knee(40.0).resampled(30.0)
    assert np.abs(found.channel("knee_angle_r")[15:-15]).max() < 0.01


@pytest.mark.parametrize("rate_hz", [30.0, 29.97, 120.0])
def test_resampling_keeps_the_speed_of_travel(rate_hz: float):
    walk = recording()
    assert straight_line_speed(walk) == pytest.approx(1.3, rel=1e-3)
    assert straight_line_speed(walk.resampled(rate_hz)) == pytest.approx(1.3, rel=0.01)


def test_resampling_to_the_same_rate_changes_nothing():
    walk = recording()
    assert walk.resampled(100.0) is walk


def test_no_speed_where_the_position_was_not_recorded():
    observed = np.ones(CANONICAL.size, bool)
    observed[Z] = False
    assert straight_line_speed(recording(observed=observed)) is None
    rootless = load_format("ui_prmd_vicon")
    standing = Recording(rootless, 100.0, np.zeros((90, rootless.size), np.float32), np.ones(rootless.size, bool))
    assert straight_line_speed(standing) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_hz": 0.0}, "rate 0.0 Hz"),
        ({"rate_hz": -30.0}, "rate -30.0 Hz"),
        ({"rate_hz": float("nan")}, "rate nan Hz"),
        ({"rate_hz": 20_000.0}, "at most 10000"),
        ({"values": np.zeros((20, 40), np.float32)}, r"20 frames \(0.20 s\)"),
        ({"values": np.zeros((400, 39), np.float32)}, "39 channels; format canonical has 40"),
        ({"observed": np.ones(39, bool)}, "format canonical has 40"),
        ({"observed": np.zeros(40, bool)}, "no channel of format canonical"),
    ],
)
def test_refused(changes: dict, message: str):
    with pytest.raises(InputError, match=f"walk.mot: .*{message}"):
        recording(**changes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gap_is_told_by_channel_frame_and_length(bad: float):
    values = recording().values.copy()
    values[57:69, KNEE] = bad
    values[395:, X + 4] = bad
    values[90, KNEE] = bad
    with pytest.raises(InputError, match="walk.mot: channel pelvis_list .* from frame 395 for 5 frames .2 channels"):
        recording(values=values)
    values[395:, X + 4] = 0
    with pytest.raises(InputError, match="walk.mot: channel knee_angle_r .* from frame 57 for 12 frames .1 channels"):
        recording(values=values)
