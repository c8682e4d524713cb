"""Log-probabilities of given tokens, in bounded memory over a large vocabulary."""

import jax
import jax.numpy as jnp
from jax import Array

from biomechjax.language.attention import soft_cap
from biomechjax.language.weights import Embedding, head_rows, vocabulary_size

CHUNK = 32_768


def log_probs(
    hidden: Array, embedding: Embedding, targets: Array, cap: float | None = None, chunk: int = CHUNK
) -> Array:
    """log p of each target under the softmax over the whole vocabulary; minus it is the cross-entropy.

    No more than `chunk` columns of logits stand at a time, also in the derivative, which computes them again.

    Args:
        hidden: [P, D] in the compute dtype.
        embedding: [V, D], which is the head.
        targets: [P] int32.
        cap: the soft cap of the logits, or None.
        chunk: columns.

    Returns:
        [P] float32.
    """
    starts = range(0, vocabulary_size(embedding), chunk)

    def of_part(hidden: Array, rows: Array, start: int) -> tuple[Array, Array]:
        """The logarithm of the part's share in the softmax's sum, and the target's logit or 0, [P] each."""
        logits = jnp.einsum("pd,vd->pv", hidden, rows.astype(hidden.dtype), preferred_element_type=jnp.float32)
        logits = soft_cap(logits, cap)
        hit = jnp.where(start + jnp.arange(len(rows)) == targets[:, None], logits, 0.0)
        return jax.nn.logsumexp(logits, axis=-1), jnp.sum(hit, axis=-1)

    if len(starts) > 1:
        of_part = jax.checkpoint(of_part)
    parts = [of_part(hidden, head_rows(embedding, start, start + chunk), start) for start in starts]
    sums, hits = (jnp.stack(of_all) for of_all in zip(*parts, strict=True))
    return jnp.sum(hits, axis=0) - jax.nn.logsumexp(sums, axis=0)
