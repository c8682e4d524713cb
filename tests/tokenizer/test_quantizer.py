"""The EMA codebook against its formulas in numpy."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from biomechjax.reduction import Reduction
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.quantizer import Codebook, empty_codebook, nearest, update

CONFIG = TokenizerConfig(codebook_size=6, code_width=3, ema_decay=0.8, reset_below=0.5)
NEVER = dataclasses.replace(CONFIG, reset_below=0.0)


@partial(jax.jit, static_argnums=0)
def step(config, book, latents, valid, seed):
    return update(config, book, latents, valid, jax.random.key(seed), Reduction())


def cloud(seed: int, rows: int = 40, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Latents in a few clusters, of which about that share is real; the others lie far away."""
    rng = np.random.default_rng(seed)
    latents = rng.choice([-2.0, 0.0, 2.0], (rows, 3)) + rng.normal(0, 0.3, (rows, 3))
    valid = (rng.random(rows) < share).astype(np.float32)
    return np.where(valid[:, None] > 0, latents, 77.0).astype(np.float32), valid


def filled_book(seed: int = 0, config: TokenizerConfig = CONFIG) -> Codebook:
    codes = np.random.default_rng(seed).normal(0, 1.5, (config.codebook_size, config.code_width)).astype(np.float32)
    counts = np.full(config.codebook_size, 5.0, np.float32)
    return Codebook(jnp.array(codes), jnp.array(counts), jnp.array(codes * counts[:, None]), jnp.array(True))


def test_nearest_is_the_nearest():
    rng = np.random.default_rng(0)
    codes, latents = rng.normal(size=(7, 3)), rng.normal(size=(4, 5, 3))
    expected = np.linalg.norm(latents[..., None, :] - codes, axis=-1).argmin(axis=-1)
    found = nearest(jnp.array(codes), jnp.array(latents))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)


def test_update_equals_the_formulas_over_several_steps_with_resets():
    config, book, resets = dataclasses.replace(CONFIG, reset_below=0.8), filled_book(), 0
    codes, counts, sums = (np.asarray(x, np.float64) for x in (book.codes, book.counts, book.sums))
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
        drawn = np.asarray(book.codes, np.float64)[dead]
        assert all(np.linalg.norm(real - d, axis=1).min() < 1e-5 for d in drawn)
        sums[dead] = drawn * len(real) / 6
        codes = sums / counts[:, None]

        np.testing.assert_allclose(book.codes, codes, atol=1e-4)
        np.testing.assert_allclose(book.counts, counts, rtol=1e-5)
        np.testing.assert_allclose(book.sums, sums, atol=1e-3)
        share = use[use > 0] / use.sum()
        assert float(metrics["perplexity"]) == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-5)
        assert int(metrics["resets"]) == dead.sum()
        resets += dead.sum()
    assert resets > 3


def test_first_batch_fills_the_codebook_with_different_vectors_of_it():
    latents, valid = cloud(3)
    book, metrics = step(CONFIG, empty_codebook(CONFIG), latents, valid, 0)
    real = latents[valid > 0]
    chosen = [int(np.linalg.norm(real - code, axis=1).argmin()) for code in book.codes]
    np.testing.assert_allclose(book.codes, real[chosen], atol=1e-5)
    assert len(set(chosen)) == 6
    assert bool(book.filled)
    assert int(metrics["resets"]) == 0


def test_a_dead_code_becomes_a_vector_of_the_batch_and_lives_on():
    book = filled_book()
    far = book.replace(codes=book.codes.at[4].set(1e3), sums=book.sums.at[4].set(5e3))
    latents, valid = cloud(5)
    counts = far.counts.at[4].set(0.01)
    after, metrics = step(CONFIG, far.replace(counts=counts), latents, valid, 2)
    assert int(metrics["resets"]) >= 1
    assert np.linalg.norm(latents[valid > 0] - after.codes[4], axis=1).min() < 1e-5
    assert float(after.counts[4]) == pytest.approx(valid.sum() / 6)
    untouched, metrics = step(NEVER, far.replace(counts=counts), latents, valid, 2)
    assert int(metrics["resets"]) == 0
    assert float(jnp.abs(untouched.codes[4]).min()) > 1e2


def test_resets_are_seeded():
    latents, valid = cloud(3)
    one, same, other = (step(CONFIG, empty_codebook(CONFIG), latents, valid, seed)[0].codes for seed in (1, 1, 2))
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
        assert float(step(CONFIG, empty_codebook(CONFIG), latents, valid, seed)[0].codes.max()) < 10


@pytest.mark.parametrize("rows", [4, 40])
def test_fewer_real_rows_than_codes_fill_it_all_the_same(rows):
    """Three real rows for six codes, in a batch that is itself smaller or larger than the codebook."""
    latents, _ = cloud(1, rows, share=1.0)
    valid = np.zeros(rows, np.float32)
    valid[1:4] = 1
    latents[valid == 0] = 77.0
    book, _ = step(CONFIG, empty_codebook(CONFIG), latents, valid, 0)
    found = sorted(np.round(np.asarray(book.codes), 4).tolist())
    assert found == sorted(np.round(np.repeat(latents[1:4], 2, axis=0), 4).tolist())


def test_perplexity_of_uniform_use_is_the_size_of_the_codebook():
    book = filled_book()
    _, metrics = step(CONFIG, book, jnp.repeat(book.codes, 5, axis=0), np.ones(30, np.float32), 0)
    assert float(metrics["perplexity"]) == pytest.approx(6, rel=1e-5)
    _, metrics = step(CONFIG, book, jnp.repeat(book.codes[:1], 30, axis=0), np.ones(30, np.float32), 0)
    assert float(metrics["perplexity"]) == pytest.approx(1, rel=1e-5)
