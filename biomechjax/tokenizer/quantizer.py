"""The EMA codebook with reset, as pure functions over checkpointed state (VQ-VAE, arXiv:1711.00937, appendix A).

Each step the counts and sums of the vectors that chose a code decay into running averages; the code is their ratio.
A code that falls under a share of uniform use is replaced by a vector of the current batch, drawn by key. Counts, sums
and candidates are reduced over devices, so that one device equals many; all of the state is in the checkpoint.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from biomechjax.reduction import Reduction
from biomechjax.tokenizer.config import TokenizerConfig


@struct.dataclass
class Codebook:
    """codes [Q,E]; running counts [Q] and sums [Q,E]; filled: false until the first batch has filled it."""

    codes: Array
    counts: Array
    sums: Array
    filled: Array


def empty_codebook(config: TokenizerConfig) -> Codebook:
    shape = (config.codebook_size, config.code_width)
    return Codebook(jnp.zeros(shape), jnp.ones(shape[0]), jnp.zeros(shape), jnp.zeros((), bool))


def nearest(codes: Array, latents: Array) -> Array:
    """Index of the nearest code for each latent: [Q,E], [...,E] -> int32 [...]."""
    flat = latents.reshape(-1, latents.shape[-1])
    # |z - c|^2 without |z|^2, which does not change the order
    distance = jnp.sum(codes**2, axis=-1) - 2 * flat @ codes.T
    return jnp.argmin(distance, axis=-1).astype(jnp.int32).reshape(latents.shape[:-1])


def update(
    config: TokenizerConfig, book: Codebook, latents: Array, valid: Array, key: Array, reduction: Reduction
) -> tuple[Codebook, dict[str, Array]]:
    """One EMA step on latents [N,E] of which `valid` [N] are real.

    Returns:
        The new codebook, and metrics of the global batch: `perplexity` exp of the entropy of its code use,
        `resets` codes replaced in this step.
    """
    q = config.codebook_size
    candidates = reduction.gather(latents)
    real = reduction.gather(valid) > 0
    # Gumbel top-k: a seeded draw of Q vectors without replacement; where fewer are real, those come round again
    noise = jax.random.gumbel(key, (len(candidates),)) + jnp.where(real, 0.0, -1e9)
    order = jax.lax.top_k(noise, min(q, len(candidates)))[1]
    drawn = candidates[order[jnp.arange(q) % jnp.clip(jnp.sum(real), 1, len(order))]]

    choice = jax.nn.one_hot(nearest(book.codes, latents), q) * valid[:, None]
    count, total = reduction.sum((choice.sum(axis=0), choice.T @ latents))
    counts = config.ema_decay * book.counts + (1 - config.ema_decay) * count
    sums = config.ema_decay * book.sums + (1 - config.ema_decay) * total
    uniform = jnp.sum(count) / q
    dead = (counts < config.reset_below * uniform) | ~book.filled
    # A fresh code starts at uniform weight, so that it lives long enough to be used.
    counts = jnp.where(dead, uniform, counts)
    sums = jnp.where(dead[:, None], drawn * uniform, sums)
    share = count / jnp.maximum(jnp.sum(count), 1)
    perplexity = jnp.exp(-jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12))))
    metrics = {"perplexity": perplexity, "resets": jnp.sum(dead & book.filled)}
    return Codebook(sums / counts[:, None], counts, sums, jnp.ones((), bool)), metrics
