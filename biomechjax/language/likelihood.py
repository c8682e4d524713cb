"""Log-probabilities of given tokens, in bounded memory over a large vocabulary."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from biomechjax.language.attention import soft_cap
from biomechjax.language.weights import Embedding, Extended, vocabulary_size

CHUNK = 32_768
FEW = 2**26  # logits that may stand for all columns at once: 256 MiB


def log_probs(
    hidden: Array, embedding: Embedding, targets: Array, cap: float | None = None, chunk: int | None = None
) -> Array:
    """log p of each target under the softmax over the whole vocabulary; minus it is the cross-entropy.

    No more than `chunk` columns of logits stand at a time, also in the derivative, which computes them again; few
    positions have all columns at once, and save a product that reads the whole head.

    Args:
        hidden: [P, D] in the compute dtype.
        embedding: [V, D], which is the head.
        targets: [P] int32.
        cap: the soft cap of the logits, or None.
        chunk: columns, on each device that a vocabulary is split over; by default CHUNK, or as many as make FEW logits.

    Returns:
        [P] float32.
    """
    chunk = chunk or max(CHUNK, FEW // len(hidden))
    size, extended = vocabulary_size(embedding), isinstance(embedding, Extended)
    head, ids = embedding.embedding if isinstance(embedding, Extended) else embedding, jnp.arange(size)
    if isinstance(embedding, Extended):
        learned = embedding.offset + jnp.arange(len(embedding.rows))
        ids = ids.at[learned].set(-1)  # rows of the base that learned ones stand for

    def of_part(rows: Array, ids: Array) -> tuple[Array, Array]:
        """The logarithm of the rows' share in the softmax's sum, and the target's logit or 0, [P] each."""
        rows = nn.with_logical_constraint(rows.astype(hidden.dtype), ("vocab", "embed"))
        # Positions come last because a CPU packs the right side of a product, which should not be the large one.
        logits = soft_cap(jnp.einsum("vd,pd->vp", rows, hidden, preferred_element_type=jnp.float32), cap)
        if extended:
            logits = jnp.where(ids[:, None] >= 0, logits, jnp.finfo(jnp.float32).min)
        hit = jnp.where(ids[:, None] == targets, logits, 0.0)
        return jax.nn.logsumexp(logits, axis=0), jnp.sum(hit, axis=0)

    # Where devices have parts of the vocabulary, each has a chunk of its own part at a time. A loop, whose body stands
    # once: parts side by side took a compiler minutes, and their gradients stood all at once.
    shards = _shards(size)
    count = math.ceil(size / shards / chunk)
    if count == 1:
        parts = [of_part(head, ids)]
    else:
        width, of_chunk = size // shards // count, jax.checkpoint(of_part, prevent_cse=False)

        def chunks(x: Array) -> Array:
            whole = x.reshape(shards, -1, *x.shape[1:])[:, : count * width]
            whole = whole.reshape(shards, count, width, *x.shape[1:]).swapaxes(0, 1)
            return whole.reshape(count, shards * width, *x.shape[1:])

        def rest(x: Array) -> Array:
            return x.reshape(shards, -1, *x.shape[1:])[:, count * width :].reshape(-1, *x.shape[1:])

        _, stacked = jax.lax.scan(lambda _, x: (None, of_chunk(*x)), None, (chunks(head), chunks(ids)))
        parts = list(zip(*stacked, strict=True))
        if size > shards * count * width:
            parts.append(of_chunk(rest(head), rest(ids)))
    if isinstance(embedding, Extended):
        parts.append(of_part(embedding.rows, learned))
    sums, hits = (jnp.stack(of_all) for of_all in zip(*parts, strict=True))
    return jnp.sum(hits, axis=0) - jax.nn.logsumexp(sums, axis=0)


def _shards(size: int) -> int:
    """How many devices a vocabulary of this size is split over where this is traced."""
    (axis,) = nn.logical_to_mesh_axes(("vocab",))
    devices = jax.sharding.get_abstract_mesh().shape[axis] if axis else 1
    return devices if size % devices == 0 else 1
