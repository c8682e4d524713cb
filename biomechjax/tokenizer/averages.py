"""Codebooks of running averages with reset, as pure functions over checkpointed state (VQ-VAE, arXiv:1711.00937, A.1).

Each step the counts and sums of the vectors that chose a code decay into running averages; the code is their ratio.
A code that falls under a share of uniform use is replaced by a vector of the current batch, drawn by key. Counts, sums
and candidates are reduced over devices, so that one device equals many; all of the state is in the checkpoint.
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from biomechjax.reduction import Reduction
from biomechjax.tokenizer.config import TokenizerConfig


@struct.dataclass
class Codebook:
    """codes [L,Q,E]; running counts [L,Q] and sums [L,Q,E]; filled [L]: whether a batch has filled the level.

    A level is filled one batch after the one before it, from what that one leaves; until then its codes are 0.
    """

    codes: Array
    counts: Array
    sums: Array
    filled: Array


def empty(config: TokenizerConfig) -> Codebook:
    shape = (config.levels, config.codebook_size, config.code_width)
    return Codebook(jnp.zeros(shape), jnp.ones(shape[:2]), jnp.zeros(shape), jnp.zeros(config.levels, bool))


def update(
    config: TokenizerConfig,
    book: Codebook,
    inputs: Array,
    choice: Array,
    valid: Array,
    key: Array,
    reduction: Reduction,
) -> tuple[Codebook, Array]:
    """One step on the inputs [L,N,E] of the levels, with the choice [L,N] of each, of which `valid` [L,N] count.

    Returns:
        The new codebook, and how many codes were replaced in this step.
    """
    ready = jnp.concatenate([jnp.ones(1, bool), book.filled[:-1]])
    level = functools.partial(_update_level, config, reduction)
    keys = jax.random.split(key, config.levels)
    codes, counts, sums, dead = jax.vmap(level)(
        book.codes, book.counts, book.sums, book.filled, ready, inputs, choice, valid, keys
    )
    return Codebook(codes, counts, sums, book.filled | ready), jnp.sum(dead & book.filled[:, None])


def _update_level(config, reduction, codes, counts, sums, filled, ready, inputs, choice, valid, key):
    """One level; shapes as in `update` without L. A level that is not `ready` stays as it is."""
    q = config.codebook_size
    candidates = reduction.gather(inputs)
    real = reduction.gather(valid) > 0
    # Gumbel top-k: a seeded draw of Q vectors without replacement; where fewer are real, those come round again
    noise = jax.random.gumbel(key, (len(candidates),)) + jnp.where(real, 0.0, -1e9)
    order = jax.lax.top_k(noise, min(q, len(candidates)))[1]
    drawn = candidates[order[jnp.arange(q) % jnp.clip(jnp.sum(real), 1, len(order))]]

    chosen = jax.nn.one_hot(choice, q) * valid[:, None]
    count, total = reduction.sum((chosen.sum(axis=0), chosen.T @ inputs))
    new_counts = config.ema_decay * counts + (1 - config.ema_decay) * count
    new_sums = config.ema_decay * sums + (1 - config.ema_decay) * total
    uniform = jnp.sum(count) / q
    dead = ((new_counts < config.reset_below * uniform) | ~filled) & ready
    # A fresh code starts at uniform weight, so that it lives long enough to be used.
    new_counts = jnp.where(dead, uniform, new_counts)
    new_sums = jnp.where(dead[:, None], drawn * uniform, new_sums)
    new = (new_sums / new_counts[:, None], new_counts, new_sums)
    return *jax.tree.map(lambda a, b: jnp.where(ready, a, b), new, (codes, counts, sums)), dead
