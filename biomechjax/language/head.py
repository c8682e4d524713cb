"""The output head, whole or by rows, for those that do not need a score of every token."""

import jax.numpy as jnp
from jax import Array

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params


def head_of(params: Params, ids: Array | None = None) -> Array:
    """Rows of the output head for ids [...], [..., D]; all of them, [V, D], for None."""
    return params["embedding"] if ids is None else params["embedding"][ids]


def soft_cap(logits: Array, cap: float | None) -> Array:
    """Logits bent into (-cap, cap); None does not."""
    return logits if cap is None else cap * jnp.tanh(logits / cap)


def logits_of(config: DecoderConfig, params: Params, hidden: Array, ids: Array) -> Array:
    """Scores [B, A] float32 of the tokens ids [B, A] behind hidden states [B, D]: columns of `Decoder.logits`."""
    rows = head_of(params, ids).astype(hidden.dtype)
    logits = jnp.einsum("bd,bad->ba", hidden, rows, preferred_element_type=jnp.float32)
    return soft_cap(logits, config.logit_soft_cap)
