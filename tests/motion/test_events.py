"""Foot strikes and offs: known moments of a closed-form walk, labelled moments of recorded children, and no guess."""

import numpy as np
import pytest
from walks import STRIDE_S, children, pendulum_walk, standing

from biomechjax.errors import InputError
from biomechjax.motion.events import LEFT, RIGHT, gait_events, observe_feet
from biomechjax.motion.gait import measure_gait

# Two feet that swing as opposite cosines: the faster one's speed is at its median sin(45 degrees) of the highest, and
# a foot comes down to half of that asin(0.5 * 0.707) after it was furthest ahead.
DELAY_S = np.arcsin(0.5 * np.sqrt(0.5)) / (2 * np.pi) * STRIDE_S


@pytest.mark.parametrize("rate_hz", [30.0, 100.0])
@pytest.mark.parametrize("facing", [0.0, 2.5])
@pytest.mark.parametrize("hidden", [(), ("pelvis_tx", "pelvis_tz", "pelvis_ty", "pelvis_rotation")])
def test_closed_form_walk(rate_hz: float, facing: float, hidden: tuple[str, ...]):
    """Between frames, at any rate, facing anywhere, with and without the root, within 5 ms."""
    frames = round(8 * rate_hz)
    events = gait_events(observe_feet(pendulum_walk(rate_hz, heading=np.full(frames, facing), unobserved=hidden)))
    strides = np.arange(1, 7) * STRIDE_S
    for found, start in (
        (events.strikes[RIGHT], DELAY_S),
        (events.strikes[LEFT], 0.5 * STRIDE_S + DELAY_S),
        (events.offs[RIGHT], 0.5 * STRIDE_S - DELAY_S),
        (events.offs[LEFT], -DELAY_S),
    ):
        inner = found[(found > 0.9 * STRIDE_S) & (found < 7.4 * STRIDE_S - 0.5)]
        nearest = inner[:, None] - (np.arange(-1, 9) * STRIDE_S + start)
        assert len(inner) >= len(strides) - 1
        assert np.abs(nearest).min(axis=1).max() < 0.005
    for found, start in ((events.passings[RIGHT], 0.75 * STRIDE_S), (events.passings[LEFT], 0.25 * STRIDE_S)):
        inner = found[found < 7.0]  # at the end of the recording smoothing has nothing beyond
        assert len(inner) >= len(strides)
        assert np.abs(inner[:, None] - (np.arange(8) * STRIDE_S + start)).min(axis=1).max() < 0.005
    assert events.step_s == pytest.approx(STRIDE_S / 2, rel=0.03)


def test_labelled_events_of_children():
    errors = []
    for condition in ("straight", "turn"):
        for recording, labels, height_m in children(condition):
            events = gait_events(observe_feet(recording, height_m))
            for (side, kind), times in labels.items():
                found = (events.strikes if kind == "Foot Strike" else events.offs)[side]
                errors += [np.abs(found - t).min() if len(found) else np.inf for t in times]
    assert len(errors) > 100
    assert np.median(errors) < 0.025
    assert np.percentile(errors, 95) < 0.06


def test_cadence_of_children_who_walk_straight():
    """Against the time between the labelled events, over the same events."""
    ratios = []
    for recording, labels, height_m in children("straight"):
        gait = measure_gait(recording, height_m)
        found = {(s, "Foot Strike"): gait.events.strikes[s] for s in (0, 1)}
        found |= {(s, "Foot Off"): gait.events.offs[s] for s in (0, 1)}
        labelled, measured = [], []
        for kind in ("Foot Strike", "Foot Off"):
            merged = sorted((t, side) for (side, k), times in labels.items() if k == kind for t in times)
            nearest = [found[s, kind][np.abs(found[s, kind] - t).argmin()] for t, s in merged]
            labelled += list(np.diff([t for t, _ in merged]))
            measured += list(np.diff(nearest))
        if labelled:
            ratios.append(np.mean(measured) / np.mean(labelled))
    assert len(ratios) >= 12
    np.testing.assert_allclose(ratios, 1, atol=0.035)
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.03) >= 0.9


def test_standing_still_has_no_events_but_a_reason():
    events = gait_events(observe_feet(standing()))
    assert all(len(x) == 0 for x in (*events.strikes, *events.offs))
    assert "no 3 steps in a row" in events.reason


def test_capture_noise_is_no_walk():
    """Slow waverings of 3 degrees a joint, as of markerless capture, over a minute."""
    from biomechjax.cohort.signals import smooth_noise
    from biomechjax.motion.recording import Recording

    still = standing(60.0)
    noise = np.deg2rad(2.5) * smooth_noise(np.random.default_rng(0), len(still.values), 40, 1.0)
    shaken = Recording(still.format, 100.0, noise.astype(np.float32), still.observed)
    assert gait_events(observe_feet(shaken)).reason


def test_both_feet_moving_together_is_no_step():
    """As in sitting down and standing up again."""
    walk = pendulum_walk(speed=0.0)
    together = walk.values.copy()
    together[:, walk.format.indices["hip_flexion_l"]] = walk.channel("hip_flexion_r")
    assert gait_events(observe_feet(walk.__class__(walk.format, 100.0, together, walk.observed))).reason


def test_unseen_knee_is_refused_by_name():
    with pytest.raises(InputError, match="pendulum: steps are seen from hips and knees; not recorded: knee_angle_l"):
        observe_feet(pendulum_walk(unobserved=("knee_angle_l", "ankle_angle_r")))


def test_height_in_centimetres_is_refused():
    with pytest.raises(InputError, match="height 170 m; expected a body height in metres"):
        observe_feet(pendulum_walk(), 170)
