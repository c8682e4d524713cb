"""Quantizers against their definitions in numpy; the codebook of running averages against its formulas."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.reduction import Reduction
from biomechjax.tokenizer import averages
from biomechjax.tokenizer.averages import Codebook
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.quantizer import find_quantizer, lookup, quantize

CONFIG = TokenizerConfig(codebook_size=6, code_width=3, ema_decay=0.8, reset_below=0.5)
NEVER = dataclasses.replace(CONFIG, reset_below=0.0)


@partial(jax.jit, static_argnums=0)
def step(config, book, latents, valid, seed):
    """One step of every level on latents [N,E]."""
    choice, inputs = quantize(book.codes, latents)
    every = jnp.broadcast_to(valid, choice.shape)
    quantizer = find_quantizer(config)
    return quantizer.update(book, (inputs, choice, every), jax.random.key(seed), Reduction())


def cloud(seed: int, rows: int = 40, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Latents in a few clusters, of which about that share is real; the others lie far away."""
    rng = np.random.default_rng(seed)
    latents = rng.choice([-2.0, 0.0, 2.0], (rows, 3)) + rng.normal(0, 0.3, (rows, 3))
    valid = (rng.random(rows) < share).astype(np.float32)
    return np.where(valid[:, None] > 0, latents, 77.0).astype(np.float32), valid


def filled_book(seed: int = 0, config: TokenizerConfig = CONFIG) -> Codebook:
    shape = (config.levels, config.codebook_size, config.code_width)
    codes = np.random.default_rng(seed).normal(0, 1.5, shape).astype(np.float32)
    counts = np.full(shape[:2], 5.0, np.float32)
    return Codebook(jnp.array(codes), jnp.array(counts), jnp.array(codes * 5), jnp.ones(config.levels, bool))


def test_each_level_takes_the_code_nearest_to_what_the_ones_before_it_leave():
    rng = np.random.default_rng(0)
    codes, latents = rng.normal(size=(3, 7, 4)), rng.normal(size=(5, 6, 4))
    choice, inputs = quantize(jnp.array(codes), jnp.array(latents))
    assert choice.dtype == jnp.int32
    left = latents
    for level in range(3):
        np.testing.assert_allclose(inputs[level], left, atol=1e-6)
        nearest = np.linalg.norm(left[..., None, :] - codes[level], axis=-1).argmin(axis=-1)
        np.testing.assert_array_equal(choice[level], nearest)
        left = left - codes[level][nearest]
    np.testing.assert_allclose(latents - lookup(jnp.array(codes), choice).sum(axis=0), left, atol=1e-5)


def test_the_first_level_may_see_something_else():
    """The later ones take what its code leaves of the latents."""
    rng = np.random.default_rng(0)
    codes, latents, other = (jnp.array(rng.normal(size=s)) for s in ((3, 7, 4), (5, 4), (5, 4)))
    choice, inputs = quantize(codes, latents, other)
    first, _ = quantize(codes[:1], other)
    rest, left = quantize(codes[1:], latents - codes[0][first[0]])
    np.testing.assert_array_equal(choice, np.concatenate([first, rest]))
    np.testing.assert_array_equal(inputs, np.concatenate([other[None], left]))
    assert (choice[0] != quantize(codes, latents)[0][0]).any()


def test_levels_are_filled_one_after_the_other_and_leave_less_and_less():
    config = dataclasses.replace(CONFIG, quantizer="rvq", levels=3)
    book, left = averages.empty(config), []
    for seed in range(30):
        latents, valid = cloud(seed, share=1.0)
        book, _ = step(config, book, latents, valid, seed)
        if seed < 3:
            assert book.filled.tolist() == [True] * (seed + 1) + [False] * (2 - seed)
            assert [bool(level.any()) for level in book.codes] == book.filled.tolist()
    latents, _ = cloud(99, share=1.0)
    _, inputs = quantize(book.codes, latents)
    left = [float(jnp.mean(x**2)) for x in inputs]
    assert left[2] < 0.8 * left[1] < 0.5 * left[0]


def test_a_level_learns_from_the_windows_that_use_it_alone():
    config = dataclasses.replace(NEVER, quantizer="rvq", levels=2)
    book = filled_book(config=config)
    latents, _ = cloud(2)
    choice, inputs = quantize(book.codes, latents)
    valid = np.ones((2, len(latents)), np.float32)
    valid[1] = 0
    after, _ = find_quantizer(config).update(book, (inputs, choice, valid), jax.random.key(0), Reduction())
    assert float(jnp.abs(after.codes[0] - book.codes[0]).max()) > 1e-2
    np.testing.assert_allclose(after.codes[1], book.codes[1], rtol=1e-5)


def test_finite_scalars_round_each_axis_to_its_own_grid():
    config = TokenizerConfig(quantizer="fsq", fsq_levels=(5, 4, 2), codebook_size=40, code_width=3)
    quantizer = find_quantizer(config)
    codes, filled = quantizer.table({}, {})
    assert bool(filled)
    assert len(np.unique(codes[0], axis=0)) == 40
    latents = np.random.default_rng(0).normal(0, 2, (200, 3))
    bounded = quantizer.bound(jnp.array(latents))
    choice, _ = quantize(codes, bounded)
    steps = np.array([5, 4, 2]) - 1
    expected = np.round((np.tanh(latents) + 1) / 2 * steps) / steps * 2 - 1
    np.testing.assert_allclose(lookup(codes, choice)[0], expected, atol=1e-6)


def test_a_learned_map_moves_all_codes_and_starts_as_the_fixed_table():
    config = TokenizerConfig(quantizer="simvq", codebook_size=50, code_width=8)
    quantizer = find_quantizer(config)
    params = quantizer.init_params(jax.random.key(0))
    before, filled = quantizer.table(params, quantizer.init_state())
    assert bool(filled)
    assert before.shape == (1, 50, 8)
    turned = quantizer.table({"map": params["map"][::-1]}, {})[0]
    np.testing.assert_allclose(turned, before[..., ::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"quantizer": "vq"}, "vq_ema, rvq, fsq, simvq"),
        ({"levels": 2}, "vq_ema with 2 levels"),
        ({"quantizer": "rvq"}, "rvq with 1 levels"),
        ({"quantizer": "fsq", "fsq_levels": (8, 8)}, "64 codes of width 2"),
    ],
)
def test_configs_that_contradict_themselves_are_refused(fields, named):
    with pytest.raises(InputError, match=named):
        TokenizerConfig(**fields)


def test_update_equals_the_formulas_over_several_steps_with_resets():
    config, book, resets = dataclasses.replace(CONFIG, reset_below=0.8), filled_book(), 0
    codes, counts, sums = (np.asarray(x[0], np.float64) for x in (book.codes, book.counts, book.sums))
    for seed in range(12):
        latents, valid = cloud(seed)
        book, metrics = step(config, book, latents, valid, seed)

        real = latents[valid > 0].astype(np.float64)
        choice = np.linalg.norm(real[:, None] - codes, axis=-1).argmin(axis=1)
        use = np.bincount(choice, minlength=6)
        counts = 0.8 * counts + 0.2 * use
        sums = 0.8 * sums + 0.2 * np.stack([real[choice == q].sum(axis=0) for q in range(6)])
        dead = counts < 0.8 * len(real) / 6
        counts[dead] = len(real) / 6
        # Which vectors are drawn is the key's affair; the rest of the state follows from them.
        drawn = np.asarray(book.codes[0], np.float64)[dead]
        assert all(np.linalg.norm(real - d, axis=1).min() < 1e-5 for d in drawn)
        sums[dead] = drawn * len(real) / 6
        codes = sums / counts[:, None]

        np.testing.assert_allclose(book.codes[0], codes, atol=1e-4)
        np.testing.assert_allclose(book.counts[0], counts, rtol=1e-5)
        np.testing.assert_allclose(book.sums[0], sums, atol=1e-3)
        share = use[use > 0] / use.sum()
        assert float(metrics["perplexity"]) == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-5)
        assert int(metrics["resets"]) == dead.sum()
        resets += dead.sum()
    assert resets > 3


def test_first_batch_fills_the_codebook_with_different_vectors_of_it():
    latents, valid = cloud(3)
    book, metrics = step(CONFIG, averages.empty(CONFIG), latents, valid, 0)
    real = latents[valid > 0]
    chosen = [int(np.linalg.norm(real - code, axis=1).argmin()) for code in book.codes[0]]
    np.testing.assert_allclose(book.codes[0], real[chosen], atol=1e-5)
    assert len(set(chosen)) == 6
    assert book.filled.all()
    assert int(metrics["resets"]) == 0


def test_a_dead_code_becomes_a_vector_of_the_batch_and_lives_on():
    book = filled_book()
    far = book.replace(codes=book.codes.at[0, 4].set(1e3), sums=book.sums.at[0, 4].set(5e3))
    latents, valid = cloud(5)
    counts = far.counts.at[0, 4].set(0.01)
    after, metrics = step(CONFIG, far.replace(counts=counts), latents, valid, 2)
    assert int(metrics["resets"]) >= 1
    assert np.linalg.norm(latents[valid > 0] - after.codes[0, 4], axis=1).min() < 1e-5
    assert float(after.counts[0, 4]) == pytest.approx(valid.sum() / 6)
    untouched, metrics = step(NEVER, far.replace(counts=counts), latents, valid, 2)
    assert int(metrics["resets"]) == 0
    assert float(jnp.abs(untouched.codes[0, 4]).min()) > 1e2


def test_resets_are_seeded():
    latents, valid = cloud(3)
    one, same, other = (step(CONFIG, averages.empty(CONFIG), latents, valid, seed)[0].codes for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (np.asarray(one) != np.asarray(other)).any()


def test_masked_rows_never_count_and_never_become_codes():
    latents, valid = cloud(8, rows=60, share=0.5)
    real = latents[valid > 0]
    with_padding, metrics = step(NEVER, filled_book(), latents, valid, 0)
    alone, expected = step(NEVER, filled_book(), real, np.ones(len(real), np.float32), 0)
    np.testing.assert_allclose(with_padding.codes, alone.codes, atol=1e-5)
    np.testing.assert_allclose(with_padding.counts, alone.counts, rtol=1e-6)
    assert float(metrics["perplexity"]) == pytest.approx(float(expected["perplexity"]), rel=1e-6)
    for seed in range(20):
        assert float(step(CONFIG, averages.empty(CONFIG), latents, valid, seed)[0].codes.max()) < 10


@pytest.mark.parametrize("rows", [4, 40])
def test_fewer_real_rows_than_codes_fill_it_all_the_same(rows):
    """Three real rows for six codes, in a batch that is itself smaller or larger than the codebook."""
    latents, _ = cloud(1, rows, share=1.0)
    valid = np.zeros(rows, np.float32)
    valid[1:4] = 1
    latents[valid == 0] = 77.0
    book, _ = step(CONFIG, averages.empty(CONFIG), latents, valid, 0)
    found = sorted(np.round(np.asarray(book.codes[0]), 4).tolist())
    assert found == sorted(np.round(np.repeat(latents[1:4], 2, axis=0), 4).tolist())


def test_perplexity_of_uniform_use_is_the_size_of_the_codebook():
    book = filled_book()
    _, metrics = step(CONFIG, book, jnp.repeat(book.codes[0], 5, axis=0), np.ones(30, np.float32), 0)
    assert float(metrics["perplexity"]) == pytest.approx(6, rel=1e-5)
    _, metrics = step(CONFIG, book, jnp.repeat(book.codes[0, :1], 30, axis=0), np.ones(30, np.float32), 0)
    assert float(metrics["perplexity"]) == pytest.approx(1, rel=1e-5)
