"""Log-probabilities of given tokens, in bounded memory over a large vocabulary."""

import jax
import jax.numpy as jnp
from jax import Array

from biomechjax.language.attention import soft_cap
from biomechjax.language.weights import Embedding, head_logits, vocabulary_size

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
        chunk: columns; by default CHUNK, or as many as make FEW logits.

    Returns:
        [P] float32.
    """
    chunk = chunk or max(CHUNK, FEW // len(hidden))
    starts = range(0, vocabulary_size(embedding), chunk)

    def of_part(hidden: Array, start: int) -> tuple[Array, Array]:
        """The logarithm of the part's share in the softmax's sum, and the target's logit or 0, [P] each."""
        logits = soft_cap(head_logits(hidden, embedding, start, start + chunk), cap)
        hit = jnp.where(start + jnp.arange(len(logits))[:, None] == targets, logits, 0.0)
        return jax.nn.logsumexp(logits, axis=0), jnp.sum(hit, axis=0)

    if len(starts) > 1:
        of_part = jax.checkpoint(of_part, static_argnums=1)
    sums, hits = (jnp.stack(of_all) for of_all in zip(*[of_part(hidden, start) for start in starts], strict=True))
    return jnp.sum(hits, axis=0) - jax.nn.logsumexp(sums, axis=0)
