"""Log-probabilities of given tokens, in bounded memory over a large vocabulary."""

import jax
import jax.numpy as jnp
from jax import Array

from biomechjax.language.head import soft_cap

CHUNK = 32_768


def log_probs(hidden: Array, head: Array, targets: Array, cap: float | None = None, chunk: int = CHUNK) -> Array:
    """log p of each target under the softmax over the whole vocabulary; minus it is the cross-entropy.

    No more than `chunk` columns of logits stand at a time, also in the derivative, which computes them again.

    Args:
        hidden: [P, D] in the compute dtype.
        head: [V, D].
        targets: [P] int32.
        cap: the soft cap of the logits, or None.
        chunk: columns.

    Returns:
        [P] float32.
    """
    v, d = head.shape
    width = min(chunk, v)
    count = -(-v // width)
    parts = jnp.pad(head, ((0, count * width - v), (0, 0))).reshape(count, width, d)

    @jax.checkpoint
    def of_part(hidden: Array, part: Array, start: Array) -> tuple[Array, Array]:
        """The logarithm of the part's share in the softmax's sum, and the target's logit or 0, [P] each."""
        logits = jnp.einsum("pd,vd->pv", hidden, part.astype(hidden.dtype), preferred_element_type=jnp.float32)
        column = start + jnp.arange(width)
        logits = jnp.where(column < v, soft_cap(logits, cap), -jnp.inf)
        hit = jnp.where(column == targets[:, None], logits, 0.0)
        return jax.nn.logsumexp(logits, axis=-1), jnp.sum(hit, axis=-1)

    _, (sums, hits) = jax.lax.scan(
        lambda _, part: (None, of_part(hidden, *part)), None, (parts, jnp.arange(count) * width)
    )
    return jnp.sum(hits, axis=0) - jax.nn.logsumexp(sums, axis=0)
