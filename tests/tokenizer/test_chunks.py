"""Long movements: the reach of the networks, and windows whose codes and frames equal those of the whole."""

import dataclasses
import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from biomechjax.motion.features import Placement, from_features
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer import chunks as chunking
from biomechjax.tokenizer import tokenizer as tokenizing
from biomechjax.tokenizer.chunks import chunks, decoder_reach, encoder_reach
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer, lookup, quantize
from biomechjax.tokenizer.tokenizer import BATCH, MotionTokenizer

SHAPES = [(2, 3, 2), (3, 3, 3), (1, 2, 1), (0, 3, 3), (2, 3, 0)]  # depth, growth, stages
KINDS = {
    "vq_ema": {},
    "rvq": {"levels": 3},
    "fsq": {"fsq_levels": (3, 3, 3, 2, 2, 2, 2, 2), "codebook_size": 864},
    "simvq": {"codebook_size": 200},
}
SIZE = tiny.FORMAT.size


def tokenizer(kind: str) -> MotionTokenizer:
    """The tiny networks with a table of each quantizer, whose codes are all about as near."""
    config = dataclasses.replace(tiny.TOKENIZER, quantizer=kind, **KINDS[kind])
    rng, one = np.random.default_rng(0), tiny.tokenizer()
    if kind in ("vq_ema", "rvq"):
        coarse = one.table[:1] + rng.normal(0, 0.01, (config.levels, 1, 1))
        table = coarse * 0.5 ** np.arange(config.levels)[:, None, None]
    else:
        table = find_quantizer(config).table({"map": rng.normal(0, 1, (8, 8))}, {})[0]
    return dataclasses.replace(one, config=config, table=np.asarray(table, np.float32))


def whole_steps(recording: Recording, step: int = 4) -> np.ndarray:
    """Features [1,F,C], the last frame repeated up to a whole step."""
    features = tiny.tokenizer().prepare(recording)[0]
    return np.pad(features, ((0, -len(features) % step), (0, 0)), mode="edge")[None]


def whole_latents(recording: Recording) -> np.ndarray:
    """Latents [F/4,E] of a whole recording."""
    inputs = whole_steps(recording), recording.observed[None, None]
    return np.asarray(apply(tiny.tokenizer().params, *inputs, method="encode"))[0]


@partial(jax.jit, static_argnames="method")
def apply(params, *inputs, method):
    """Of a whole movement: nothing is padded."""
    frames = inputs[0].shape[1] * (4 if method == "decode" else 1)
    return tiny.tokenizer().model.apply(params, *inputs, jnp.ones((1, frames)), method=method)


@functools.cache
def ragged() -> tuple[list[Recording], list[np.ndarray]]:
    """Recordings of up to 1500 frames with random channels missing, two of them at other rates; latents of each."""
    rng, names = np.random.default_rng(1), np.array(tiny.FORMAT.names)
    recordings = [
        tiny.walk(i, int(rng.integers(15, 1500)), rate, hidden=names[rng.random(SIZE) < 0.3])
        for i, rate in enumerate([30.0, 30.0, 30.0, 30.0, 60.0, 24.0])
    ]
    return recordings, [whole_latents(r) for r in recordings]


@pytest.fixture
def short_windows(monkeypatch) -> None:
    """The shortest that there are, so that few frames need many: 256 of the tiny encoder, 288 of its decoder."""
    monkeypatch.setattr(chunking, "LONGEST_FRAMES", 1)


@pytest.fixture
def given(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes [B,F] that the compiled programs are called with."""
    shapes: list[tuple[int, ...]] = []
    for name, valid in (("encode_windows", 5), ("_decode", 3)):

        def spy(*inputs, call=getattr(tokenizing, name), valid=valid):
            shapes.append(inputs[valid].shape)
            return call(*inputs)

        monkeypatch.setattr(tokenizing, name, spy)
    return shapes


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reach_is_that_of_the_networks(shape):
    """With positive weights and inputs no unit is silent, so that gradients are 0 outside the reach only."""
    depth, growth, stages = shape
    config = TokenizerConfig(width=4, depth=depth, dilation_growth=growth, stages=stages, code_width=3)
    model, step = Autoencoder(config, 2), config.frames_per_step
    frames, steps = encoder_reach(config), decoder_reach(config)
    middle = max(-(-frames // step), steps) + 2
    length = (2 * middle + 1) * step
    features, observed, valid = np.ones((1, length, 2)), np.ones((1, 1, 2)), np.ones((1, length))
    params = jax.tree.map(jnp.abs, jax.jit(model.init)(jax.random.key(0), features, observed, valid))

    def latent(x):
        return model.apply(params, x, observed, valid, method="encode")[0, middle].sum()

    seen = np.flatnonzero(np.asarray(jax.jit(jax.grad(latent))(features))[0].sum(axis=-1))
    assert (seen[0], seen[-1]) == (middle * step - frames, (middle + 1) * step - 1 + frames)

    def decoded(x):
        return model.apply(params, x, valid, method="decode")[0, middle * step : (middle + 1) * step].sum()

    latents = np.ones((1, 2 * middle + 1, 3))
    seen = np.flatnonzero(np.asarray(jax.jit(jax.grad(decoded))(latents))[0].sum(axis=-1))
    assert (seen[0], seen[-1]) == (middle - steps, middle + steps)


def test_every_step_is_kept_once_and_seen_with_what_it_depends_on(short_windows):
    rng = np.random.default_rng(0)
    for _ in range(300):
        reach = int(rng.integers(1, 30))
        steps = int(rng.integers(1, 40 * reach))
        found = chunks(tiny.TOKENIZER, steps, reach)
        kept = [i for c in found for i in range(c.kept.start, c.kept.stop)]
        assert kept == list(range(steps))
        for c in found:
            assert 0 <= c.given.start <= max(c.kept.start - reach, 0)
            assert min(c.kept.stop + reach, steps) <= c.given.stop <= steps
        assert {c.steps for c in found} == {min(8 * reach, steps)}


@pytest.mark.parametrize("kind", KINDS)
def test_windows_give_the_codes_of_the_whole(short_windows, given, kind):
    one, (recordings, latents) = tokenizer(kind), ragged()
    found = one.encode(recordings)
    assert {frames for _, frames in given} == {256}
    for whole, codes in zip(latents, found, strict=True):
        choice = np.asarray(quantize(one.table, find_quantizer(one.config).bound(whole))[0])
        expected = choice.T + np.arange(len(choice)) * one.config.codebook_size
        np.testing.assert_array_equal(codes, expected.reshape(-1))
    assert len(np.unique(np.concatenate(found))) > 10 * one.config.levels


def test_windows_give_the_latents_of_the_whole(short_windows):
    one = tiny.tokenizer()
    recording, whole = max(zip(*ragged(), strict=True), key=lambda pair: len(pair[1]))
    features = whole_steps(recording)
    cuts = chunks(one.config, len(whole), 8)
    assert len(cuts) > 4
    for cut in cuts:
        part = features[:, cut.given.start * 4 : cut.given.stop * 4]
        latents = apply(one.params, part, recording.observed[None, None], method="encode")[0]
        np.testing.assert_allclose(latents[cut.inside], whole[cut.kept], atol=1e-5)


@pytest.mark.parametrize("steps", [7, 222])
def test_windows_decode_to_the_frames_of_the_whole(short_windows, given, steps):
    one, rng = tokenizer("rvq"), np.random.default_rng(steps)
    choice = rng.integers(0, 16, (steps, 3))
    latents = lookup(one.table, choice.T).sum(axis=0)[None]
    statistics = one.statistics[one.format.name]
    features = np.asarray(apply(one.params, latents, method="decode"))[0] * statistics.std + statistics.mean
    place = Placement(2.0, -1.0, 0.5)
    found = one.decode((choice + np.arange(3) * 16).reshape(-1), 4 * steps - 1, place)
    np.testing.assert_allclose(found.values, from_features(one.format, 30.0, features, place)[:-1], atol=1e-5)
    assert given == ([(1, 64)] if steps == 7 else [(1, 320)] * 4)


def test_ten_minutes_in_windows_of_one_length_beside_short_trials(given):
    """The long ones share their windows' program; the short ones are batched as without them."""
    one = tiny.tokenizer()
    short, long = [tiny.walk(i, 15 + i) for i in range(BATCH)], [tiny.walk(20, 18000), tiny.walk(21, 5001)]
    codes = one.encode([long[0], *short, long[1]])
    assert set(given) == {(BATCH, 64), (BATCH, 2048)}
    assert given.count((BATCH, 64)) == 1
    for recording, found in zip(long, (codes[0], codes[-1]), strict=True):
        np.testing.assert_array_equal(found, quantize(one.table, whole_latents(recording))[0][0])
    for recording, found in zip(short, codes[1:-1], strict=True):
        np.testing.assert_array_equal(found, one.encode([recording])[0])
    given.clear()
    assert len(one.decode(codes[0]).values) == 18000
    assert set(given) == {(1, 2048)}


@pytest.mark.parametrize("stages", [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4))])
def test_half_a_second_encodes_and_decodes_at_any_step_size(stages):
    one = tiny.tokenizer()
    config = dataclasses.replace(one.config, stages=stages)
    model, valid = Autoencoder(config, SIZE), np.ones((1, 16), np.float32)
    params = jax.jit(model.init)(jax.random.key(0), np.ones((1, 16, SIZE)), np.ones((1, 1, SIZE)), valid)
    other = dataclasses.replace(one, config=config, params=params)
    recording = tiny.walk(3, 15)
    (codes,) = other.encode([recording])
    features = whole_steps(recording, 2**stages)
    whole = model.apply(params, features, np.ones((1, 1, SIZE)), np.ones(features.shape[:2]), method="encode")
    np.testing.assert_array_equal(codes, quantize(one.table, whole[0])[0][0])
    assert len(codes) == -(-15 // 2**stages)
    assert other.decode(codes, 15).values.shape == (15, SIZE)
