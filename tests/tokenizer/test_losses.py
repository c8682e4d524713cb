"""Loss terms by hand, and what must not enter them."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from biomechjax.motion.format import Channel, MotionFormat, Root
from biomechjax.tokenizer import losses
from biomechjax.tokenizer.averages import Codebook
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.start import init_params

CONFIG = TokenizerConfig(
    width=8,
    depth=1,
    codebook_size=5,
    code_width=4,
    channel_dropout=0.0,
    root_weight=3.0,
    velocity_weight=0.25,
    travel_weight=0.5,
)
SIZE = tiny.FORMAT.size
MODEL = Autoencoder(CONFIG, SIZE)


def book(filled: bool = True) -> Codebook:
    codes = jnp.asarray(np.random.default_rng(9).normal(0, 0.3, (1, 5, 4)), jnp.float32)
    return Codebook(codes, jnp.ones((1, 5)), codes, jnp.array([filled]))


def batch(seed: int = 0):
    """Three windows of 16 frames: whole, with 8 padded frames, and with two channels unobserved."""
    features = np.random.default_rng(seed).normal(0, 1.5, (3, 16, SIZE)).astype(np.float32)
    valid, observed = np.ones((3, 16), np.float32), np.ones((3, SIZE), np.float32)
    valid[1, 8:] = 0
    observed[2, [1, 6]] = 0
    return {"features": features, "observed": observed, "valid": valid}


@pytest.fixture(scope="module")
def params():
    return init_params(MODEL, jax.random.key(1))


def keys(rows: int, seed: int = 0):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(rows))


def all_sums(params, batch, filled=True):
    return jax.jit(partial(losses.sums, MODEL, tiny.FORMAT))(params, book(filled), batch, keys(len(batch["valid"])))


class FixedModel:
    """Gives these latents and this output, whatever it reads."""

    config = TokenizerConfig(
        stages=1, codebook_size=2, code_width=2, channel_dropout=0.0, root_weight=2.0, travel_weight=0.5, rate_hz=2.0
    )

    def __init__(self, latents, output):
        self.answers = {"encode": jnp.array(latents), "decode": jnp.array(output)}

    def apply(self, params, *inputs, method):
        return self.answers[method]


def test_each_term_by_hand():
    """One window of 4 frames (the last is padding) and 2 channels, the second a root's; 2 tokens of width 2."""
    features = jnp.zeros((1, 4, 2))
    output = [[[0.5, 0.0], [3.0, 0.0], [0.0, 1.0], [9.0, 9.0]]]
    model = FixedModel([[[1.0, 0.0], [0.0, 3.0]]], output)
    codes = jnp.array([[[0.0, 0.0], [0.0, 2.0]]])
    codebook = Codebook(codes, jnp.ones((1, 2)), codes, jnp.ones(1, bool))
    window = {"features": features, "observed": jnp.ones((1, 2)), "valid": jnp.array([[1.0, 1.0, 1.0, 0.0]])}
    format = MotionFormat("two", "", (Channel("hip", "rad", "hip"), Channel("x", "m", "x")), Root("x", "x", "x"))

    terms, (latents, choice, valid) = losses.sums(model, format, {"quantizer": {}}, codebook, window, keys(1))
    # smooth L1: half the square up to 1, then |x| - 1/2
    assert float(terms["reconstruction"]) == pytest.approx((0.125 + 2.5 + 0) + 2 * 0.5)
    assert float(terms["velocity"]) == pytest.approx((2.0 + 2.5) + 2 * 0.5)
    assert float(terms["commitment"]) == pytest.approx(1.0 + 1.0)  # to codes 0 and 1
    # the root's errors 0, 0, 1 add up to 0, 0, 1 frames, each of half a second; the hip's do not matter
    assert float(terms["travel"]) == pytest.approx(0.125)
    np.testing.assert_array_equal(latents[0], [[1.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(choice[0], [0, 1])
    np.testing.assert_array_equal(valid[0], [1.0, 1.0])
    counts = {k: float(v) for k, v in losses.counts(model.config, format, window).items()}
    assert counts == {"reconstruction": 9.0, "velocity": 6.0, "travel": 3.0, "commitment": 4.0}


def test_weights_of_terms_and_channels():
    expected = {"reconstruction": 1.0, "velocity": 0.25, "travel": 0.5, "commitment": CONFIG.commit_weight}
    assert losses.weights(CONFIG) == expected
    grid = dataclasses.replace(CONFIG, quantizer="fsq", fsq_levels=(2, 3), codebook_size=6, code_width=2)
    assert losses.weights(grid).keys() == expected.keys() - {"commitment"}
    assert losses.weights(dataclasses.replace(CONFIG, quantizer="simvq"))["codebook"] == 1.0
    np.testing.assert_array_equal(losses.channel_weights(CONFIG, tiny.FORMAT), [3, 3, 1, 3, 1, 1, 1, 1])


def test_padded_frames_and_unobserved_channels_change_nothing(params):
    window = batch()
    expected, _ = all_sums(params, window)
    garbage = {**window, "features": window["features"].copy()}
    garbage["features"][1, 8:] = 50.0
    garbage["features"][2][:, [1, 6]] = -50.0
    found, _ = all_sums(params, garbage)
    for name, value in expected.items():
        assert float(value) > 0
        assert float(found[name]) == pytest.approx(float(value), rel=1e-6), name
    garbage["features"][2][:, 0] += 1.0
    assert float(all_sums(params, garbage)[0]["reconstruction"]) != pytest.approx(
        float(expected["reconstruction"]), rel=1e-3
    )


def test_sums_and_counts_of_a_batch_are_those_of_its_rows(params):
    """The padded row is cut to its real frames: padding adds to neither sums nor counts."""
    window = batch()
    rows = [{k: v[i : i + 1] for k, v in window.items()} for i in range(3)]
    rows[1] = {
        "features": rows[1]["features"][:, :8],
        "observed": rows[1]["observed"],
        "valid": rows[1]["valid"][:, :8],
    }
    whole = all_sums(params, window)[0], losses.counts(CONFIG, tiny.FORMAT, window)
    parts = [(all_sums(params, row)[0], losses.counts(CONFIG, tiny.FORMAT, row)) for row in rows]
    for which in (0, 1):
        for name in losses.weights(CONFIG):
            total = sum(float(part[which][name]) for part in parts)
            assert float(whole[which][name]) == pytest.approx(total, rel=1e-5), name


def test_latents_for_the_codebook_are_marked_where_they_are_padding(params):
    _, (latents, _, valid) = all_sums(params, batch())
    assert latents.shape == (1, 12, 4)
    np.testing.assert_array_equal(valid.reshape(3, 4), [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])


def test_gradients_pass_straight_through_the_quantizer(params):
    """The reconstruction's gradient reaches the encoder as if the code were its output; commitment pulls it too."""

    def gradient(name, filled=True):
        value = lambda p: losses.sums(MODEL, tiny.FORMAT, p, book(filled), batch(), keys(3))[0][name]  # noqa: E731
        return jax.jit(jax.grad(value))(params)["params"]

    def size(tree):
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))

    assert size(gradient("reconstruction")["encoder"]) > 1e-3
    commitment = gradient("commitment")
    assert size(commitment["encoder"]) > 1e-3
    assert size(commitment["decoder"]) == 0


def test_until_the_codebook_is_filled_latents_are_their_own_codes(params):
    window = batch()
    output = MODEL.apply(params, window["features"], window["observed"][:, None], window["valid"])
    weight = window["valid"][..., None] * window["observed"][:, None] * losses.channel_weights(CONFIG, tiny.FORMAT)
    expected = float(jnp.sum(weight * optax.huber_loss(output, window["features"])))
    assert float(all_sums(params, window, filled=False)[0]["reconstruction"]) == pytest.approx(expected, rel=1e-5)
    assert float(all_sums(params, window)[0]["reconstruction"]) != pytest.approx(expected, rel=1e-3)


def test_a_learned_codebook_is_drawn_to_its_latents_and_they_to_it():
    config = dataclasses.replace(CONFIG, quantizer="simvq")
    model = Autoencoder(config, SIZE)
    params = init_params(model, jax.random.key(1))

    def gradient(name):
        value = lambda p: losses.sums(model, tiny.FORMAT, p, {}, batch(), keys(3))[0][name]  # noqa: E731
        grads = jax.jit(jax.grad(value))(params)
        return {k: max(float(jnp.abs(x).max()) for x in jax.tree.leaves(v)) for k, v in grads.items()}

    assert gradient("codebook")["quantizer"] > 1e-3
    assert gradient("codebook")["params"] == 0
    assert gradient("commitment")["quantizer"] == 0
    assert gradient("commitment")["params"] > 1e-3


def test_some_windows_use_the_first_levels_only():
    config = TokenizerConfig(quantizer="rvq", levels=4, level_dropout=0.6)
    used = np.asarray(losses.levels_used(config, keys(4000)))
    assert (np.diff(used, axis=0) <= 0).all()
    share = np.bincount(used.sum(axis=0).astype(int), minlength=5) / 4000
    assert share == pytest.approx([0, 0.2, 0.2, 0.2, 0.4], abs=0.03)


def test_channel_dropout_hides_a_uniform_share_in_so_many_windows():
    config = TokenizerConfig(channel_dropout=0.4)
    observed = jnp.ones((3000, 40)).at[:, 7].set(0)
    seen = np.asarray(losses.channel_dropout(config, observed, keys(3000)))
    assert set(np.unique(seen)) == {0.0, 1.0}
    assert not seen[:, 7].any()
    hidden = 1 - np.delete(seen, 7, axis=1).mean(axis=1)
    assert np.mean(hidden > 0) == pytest.approx(0.4, abs=0.04)
    shares = hidden[hidden > 0]
    assert np.histogram(shares, 4, (0, 1))[0] / len(shares) == pytest.approx([0.25] * 4, abs=0.06)


def test_channel_dropout_of_a_row_depends_on_its_key_alone():
    config = TokenizerConfig(channel_dropout=0.7)
    whole = losses.channel_dropout(config, jnp.ones((8, SIZE)), keys(8))
    part = losses.channel_dropout(config, jnp.ones((4, SIZE)), keys(8)[4:])
    np.testing.assert_array_equal(whole[4:], part)
    assert (whole != losses.channel_dropout(config, jnp.ones((8, SIZE)), keys(8, seed=1))).any()


COMMON = np.isin(np.arange(SIZE), [0, 3, 4, 5])


def test_half_of_the_windows_come_from_the_common_channels_alone():
    observed = jnp.ones((2000, SIZE)).at[:, 4].set(0)
    seen = np.asarray(losses.common_views(observed, COMMON, keys(2000)))
    hidden = ~seen[:, ~COMMON].any(axis=1)
    assert hidden.mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_array_equal(seen[hidden], np.asarray(observed[hidden] * COMMON))
    np.testing.assert_array_equal(seen[~hidden], np.asarray(observed[~hidden]))
    dropped = losses.channel_dropout(TokenizerConfig(channel_dropout=0.5), jnp.ones((2000, SIZE)), keys(2000)) == 0
    assert np.corrcoef(hidden, np.asarray(dropped).any(axis=1))[0, 1] == pytest.approx(0, abs=0.08)


def test_the_first_level_learns_from_the_common_channels():
    """What the codebook is told that its first level saw does not depend on the other channels; the second's does."""
    config = dataclasses.replace(CONFIG, quantizer="rvq", levels=2, level_dropout=0.0)
    model = Autoencoder(config, SIZE)
    params = init_params(model, jax.random.key(1))
    one = book()
    rows = (jnp.concatenate([x, 0.5 * x]) for x in (one.codes, one.counts, one.sums))
    two = Codebook(*rows, jnp.ones(2, bool))
    window = batch()
    changed = {**window, "features": window["features"] + 2.0 * ~COMMON}

    def seen(window, common):
        return jax.jit(partial(losses.sums, model, tiny.FORMAT, common=common))(params, two, window, keys(3))[1]

    before, after = seen(window, COMMON), seen(changed, COMMON)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    assert np.abs(before[0][1] - after[0][1]).max() > 1e-3
    assert np.abs(before[0][0] - seen(window, None)[0][0]).max() > 1e-3


def test_hidden_channels_still_count_in_the_loss(params):
    """Channel dropout hides from the encoder only: the decoder must fill in what it did not see."""
    model = Autoencoder(TokenizerConfig(**{**CONFIG.__dict__, "channel_dropout": 1.0}), SIZE)
    window = batch()
    hidden, _ = jax.jit(partial(losses.sums, model, tiny.FORMAT))(params, book(), window, keys(3))
    assert float(hidden["reconstruction"]) != pytest.approx(
        float(all_sums(params, window)[0]["reconstruction"]), rel=1e-3
    )
    changed = {**window, "features": window["features"].copy()}
    changed["features"][0, :, 0] += 100.0
    added = jax.jit(partial(losses.sums, model, tiny.FORMAT))(params, book(), changed, keys(3))[0]["reconstruction"]
    assert float(added) > float(hidden["reconstruction"]) + 1000
