"""Losses of places: by hand, against forward kinematics of whole recordings, and what must not enter them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.kinematics import recorded_pose
from biomechjax.motion.pelvis import opensim_order
from biomechjax.motion.recording import Recording
from biomechjax.motion.stance import foot_points
from biomechjax.tokenizer import losses
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.places import Body
from biomechjax.tokenizer.start import init_params
from biomechjax.training.step import TrainState
from biomechjax.training.tokenizer import tokenizer_learner

CANONICAL = load_format("canonical")
COLUMN = CANONICAL.indices
RATE, FRAMES = 30.0, 16
RNG = np.random.default_rng(3)
MEAN, STD = RNG.normal(0, 0.2, 40).astype(np.float32), RNG.uniform(0.1, 0.5, 40).astype(np.float32)
BODY = Body(CANONICAL, RATE, MEAN, STD)


def window(**channels) -> np.ndarray:
    """Features [1,F,C] of somebody upright and at rest but for some, normalised."""
    values = np.zeros((1, FRAMES, 40), np.float32)
    for name, given in channels.items():
        values[..., COLUMN[name]] = given
    return (values - MEAN) / STD


def batch(features, valid: int = FRAMES, hidden=()):
    observed = np.array([[name not in hidden for name in CANONICAL.names]], np.float32)
    return {"features": features, "observed": observed, "valid": (np.arange(FRAMES) < valid).astype(np.float32)[None]}


def sums(output, batch):
    return {name: float(term()) for name, term in BODY.sums(jnp.asarray(output), batch).items()}


def counts(batch):
    return {name: float(term()) for name, term in BODY.counts(batch).items()}


def moving(frames: int = FRAMES) -> np.ndarray:
    """Features [1,F,C] of somebody who leans, turns and walks a curve, normalised."""
    values = RNG.normal(0, 0.3, (1, frames, 40)).astype(np.float32)
    values[..., COLUMN["pelvis_rotation"]] += 2.0
    return (values - MEAN) / STD


def test_joints_and_feet_are_where_forward_kinematics_has_them():
    """Step by step in NumPy: the heading and the place add up, and the pelvis turns in OpenSim's order."""
    features = moving()
    values = (features[0] * STD + MEAN).astype(np.float64)
    x, z, heading = (COLUMN[f"pelvis_{name}"] for name in ("tx", "tz", "rotation"))
    rates, place, h = values[:, [x, z, heading]] / RATE, np.zeros(2), 0.0
    for frame in range(FRAMES):
        if frame:
            ahead, right, turn = rates[frame]
            place = place + [ahead * np.cos(h) + right * np.sin(h), right * np.cos(h) - ahead * np.sin(h)]
            h += turn
        values[frame, [x, z, heading]] = *place, h
    attitude = [COLUMN[f"pelvis_{name}"] for name in ("tilt", "list", "rotation")]

    def pose(values):
        values = values.copy()
        values[:, attitude] = opensim_order(values[:, attitude])
        return recorded_pose(Recording(CANONICAL, RATE, values.astype(np.float32), np.ones(40, bool)))

    everything = np.ones((1, 40), np.float32)
    np.testing.assert_allclose(BODY.feet(features, everything)[0], foot_points(pose(values)), atol=1e-4)
    values[:, [x, z, heading]] = 0
    expected = pose(values).joints
    np.testing.assert_allclose(BODY.joints(features, everything)[0], expected - expected[:, :1], atol=1e-4)


def test_position_by_hand():
    """A knee that is bent by 0.3 moves the ankle, 0.246 of 1.7 m below it, in each of 10 frames. What an ankle angle
    that was not observed would place, the joints of the foot, is left out, and so is the pelvis: 18 joints count."""
    truth = batch(window(), valid=10, hidden=["ankle_angle_r", "arm_flex_l"])
    found = sums(window(knee_angle_r=-0.3, ankle_angle_r=1.0), truth)
    assert found["position"] == pytest.approx(10 * 2 * np.sin(0.15) * 0.246 * 1.7, rel=1e-4)
    # the left arm places elbow, forearm and hand
    assert counts(truth)["position"] == 10 * (20 - 2 - 3)


def test_where_and_which_way_is_no_matter_of_position():
    truth = batch(window(hip_flexion_r=0.4))
    elsewhere = window(hip_flexion_r=0.4, pelvis_tx=1.0, pelvis_ty=0.3, pelvis_tz=-0.5, pelvis_rotation=2.0)
    assert sums(elsewhere, truth)["position"] == pytest.approx(0, abs=1e-4)


def test_slip_by_hand():
    """Four points that slide at 0.5 m/s over the 9 pairs of 10 valid frames; a foot in the air does not slip."""
    truth = batch(window(), valid=10)
    assert sums(window(pelvis_tx=0.3, pelvis_tz=0.4), truth)["slip"] == pytest.approx(0.5 * 9 * 4, rel=1e-4)
    assert counts(truth)["slip"] == 9 * 4
    one_leg = batch(window(knee_angle_r=-1.5), valid=10)
    assert sums(window(pelvis_tx=0.3, pelvis_tz=0.4), one_leg)["slip"] == pytest.approx(0.5 * 9 * 2, rel=1e-4)
    assert counts(one_leg)["slip"] == 9 * 2
    assert counts(batch(window(pelvis_tx=1.0)))["slip"] == 0
    for hidden, left in (("pelvis_tz", 0), ("subtalar_angle_l", 15 * 2), ("neck_bending", 15 * 4)):
        assert counts(batch(window(), hidden=[hidden]))["slip"] == left


def test_perfect_output_loses_nothing_and_has_a_gradient():
    """Slip is of feet that stand, so that a perfect output of somebody at rest has none."""
    for features, terms in ((window(), ("position", "slip")), (moving(), ("position",))):
        for name in terms:
            value, gradient = jax.value_and_grad(lambda x, n=name, f=features: BODY.sums(x, batch(f))[n]())(features)
            assert float(value) == 0
            assert np.isfinite(gradient).all()


def test_the_gradient_is_that_of_the_sum():
    """Against a difference, along a direction in which every channel moves."""
    truth, output = batch(window(hip_flexion_l=0.2), valid=12), moving()
    direction = RNG.normal(0, 1, output.shape).astype(np.float32)

    for name in ("position", "slip"):
        value = jax.jit(lambda step, n=name: BODY.sums(output + step * direction, truth)[n]())
        slope = float(jax.grad(value)(0.0))
        assert slope == pytest.approx(float(value(1e-2) - value(-1e-2)) / 2e-2, rel=2e-2)
        assert abs(slope) > 1e-2


def test_padding_and_what_was_not_observed_change_nothing():
    hidden = ["elbow_flex_r", "lumbar_bending"]
    truth, output = batch(window(), valid=11, hidden=hidden), moving()
    expected = sums(output, truth), counts(truth)
    assert min(expected[0].values()) > 0.1
    garbage, output = {**truth, "features": truth["features"].copy()}, output.copy()
    for features in (garbage["features"], output):
        features[:, 11:] = 9.0
        features[..., [COLUMN[name] for name in hidden]] = -9.0
    found = sums(output, garbage), counts(garbage)
    for before, after in zip(expected, found, strict=True):
        assert after == pytest.approx(before, rel=1e-5)
    cut = {"features": truth["features"][:, :11], "observed": truth["observed"], "valid": truth["valid"][:, :11]}
    assert sums(output[:, :11], cut) == pytest.approx(expected[0], rel=1e-5)
    assert counts(cut) == expected[1]


@pytest.mark.slow
def test_the_terms_join_the_objective_where_they_have_a_weight():
    config = TokenizerConfig(
        width=8, depth=1, codebook_size=5, code_width=4, position_weight=2.0, slip_weight=0.5, channel_dropout=0.0
    )
    assert losses.needs_body(config, CANONICAL)
    model = Autoencoder(config, 40)
    params, many = init_params(model, jax.random.key(0)), batch(window(), valid=12)
    learner = tokenizer_learner(model, CANONICAL, body=BODY)
    assert (learner.weights["position"], learner.weights["slip"]) == (2.0, 0.5)
    state = TrainState(jnp.array(0), params, None, losses.find_quantizer(config).init_state())
    found, _ = learner.sums(params, state, many, jax.random.split(jax.random.key(0), 1))
    assert found.keys() == learner.counts(many).keys() == learner.weights.keys()
    output = model.apply(params, many["features"], many["observed"][:, None], many["valid"])  # not filled: no codes yet
    for name, value in sums(output, many).items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_without_a_weight_there_is_no_term_and_without_a_body_no_weight():
    assert not losses.needs_body(TokenizerConfig(), tiny.FORMAT)
    with pytest.raises(InputError, match="position_weight: .*format canonical.*format walker.*leave them at 0"):
        losses.needs_body(dataclasses.replace(TokenizerConfig(), position_weight=1.0), tiny.FORMAT)
