"""The simulated capture error has the published size and spares what labels rest on; its parts keep their promises."""

import numpy as np
import pytest

from biomechjax.cohort.capture import MEDIAN_ERROR_DEG, capture
from biomechjax.cohort.cycle import canonical
from biomechjax.cohort.signals import limit_softly, ramp, smooth_noise


def posture(frames: int = 120) -> np.ndarray:
    """A posture far from every joint limit, [F, C]."""
    held = np.zeros((frames, canonical().size))
    for name, radians in (("knee_angle", -1.0), ("elbow_flex", 1.0), ("pro_sup", 1.0)):
        for side in "rl":
            held[:, canonical().indices[f"{name}_{side}"]] = radians
    for name in ("lumbar_extension", "neck_extension"):
        held[:, canonical().indices[name]] = -0.5
    return held


@pytest.fixture(scope="module")
def errors() -> np.ndarray:
    """Capture error [trials, F, C] of this posture."""
    rng = np.random.default_rng(0)
    return np.stack([capture(posture(), rng) - posture() for _ in range(300)])


def test_angle_errors_have_the_published_medians(errors: np.ndarray):
    median = {n: np.rad2deg(np.median(np.abs(errors[:, :, i]))) for n, i in canonical().indices.items()}
    for name, degrees in (
        ("ankle_angle_r", 5.4),
        ("elbow_flex_l", 4.2),
        ("knee_angle_l", 4.1),
        ("arm_add_r", 1.3),
        ("lumbar_bending", 1.4),
        ("hip_adduction_r", 1.7),
    ):
        assert median[name] == pytest.approx(degrees, rel=0.15)
    angles = [m for n, m in median.items() if n not in ("pelvis_tx", "pelvis_tz", "pelvis_ty")]
    assert np.median(angles) == pytest.approx(2.8, abs=0.3)


def test_every_angle_has_an_error():
    stems = {c.name.removesuffix("_r").removesuffix("_l") for c in canonical().channels if c.unit == "rad"}
    assert stems == set(MEDIAN_ERROR_DEG)


def test_position_errors_are_centimetres_and_do_not_grow(errors: np.ndarray):
    position = errors[:, :, [canonical().indices["pelvis_tx"], canonical().indices["pelvis_tz"]]]
    assert 0.01 < position.std() < 0.04
    velocity = np.diff(position, axis=1) * 30  # metres per second: small beside walking
    assert velocity.std() < 0.08
    assert position[:, -10:].std() == pytest.approx(position[:, :10].std(), rel=0.25)


def test_smooth_noise_is_of_unit_size_and_low_pass():
    noise = smooth_noise(np.random.default_rng(0), 600, 200, cutoff_hz=2.0)
    assert noise.std() == pytest.approx(1, abs=0.03)
    power = (np.abs(np.fft.rfft(noise * np.hanning(600)[:, None], axis=0)) ** 2).mean(1)
    assert power[np.fft.rfftfreq(600, 1 / 30) > 8].sum() < 1e-4 * power.sum()


def test_a_ramp_goes_from_zero_to_one():
    t = np.linspace(0, 3, 301)
    course = ramp(t, 1, 2)
    assert (course[:101] == 0).all() and (course[200:] == 1).all() and (np.diff(course) >= 0).all()
    assert course[150] == pytest.approx(0.5)


def test_limits_bend_only_what_comes_near():
    knee = canonical().indices["knee_angle_r"]
    values = np.zeros((3, canonical().size))
    values[:, knee] = -1.0, 0.3, -4.0
    limited = limit_softly(values, canonical())[:, knee]
    assert limited[0] == pytest.approx(-1.0)
    assert -2.793 <= limited[2] < -2.7 and 0.1 < limited[1] <= 0.175


def test_the_error_can_be_scaled_and_is_of_the_same_draws():
    twice, once, none = (capture(posture(), np.random.default_rng(3), error) - posture() for error in (0.2, 0.1, 0.0))
    assert np.abs(twice).max() > 0.01
    # Turns of the pelvis follow one another, and are not exactly in proportion.
    np.testing.assert_allclose(twice, 2 * once, atol=5e-4)
    np.testing.assert_allclose(none, 0, atol=1e-6)
    usual = [capture(posture(), np.random.default_rng(3), *error) for error in ((), (1.0,))]
    np.testing.assert_array_equal(*usual)
