"""The choice of the next token."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the most likely token, above 0 samples from softmax(logits / temperature).
        top_k: samples among the k most likely tokens and those as likely as the last of them; 0 among all.
        top_p: samples among the fewest most likely tokens that together have at least this probability (Holtzman et
            al., arXiv:1904.09751), after temperature and top_k.

    Raises:
        ValueError: a field is out of its range, or tokens are left out of a choice that is not random.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (most likely token) or above (sample)")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 0 (all tokens) or above")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (all tokens)")
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise ValueError("top_k and top_p choose what is sampled from; give a temperature above 0 with them")


def choose(logits: Array, keys: Array, sampling: Sampling) -> Array:
    """A column [B] int32 of each row of logits [B, V], -inf where a column must not be chosen; a key [B] for each."""
    if not sampling.temperature:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits / sampling.temperature
    if sampling.top_k:
        best = jax.lax.top_k(logits, min(sampling.top_k, logits.shape[-1]))[0]
        logits = jnp.where(logits >= best[:, -1:], logits, -jnp.inf)
    if sampling.top_p < 1:
        falling = jnp.sort(logits, axis=-1, descending=True)
        p = jax.nn.softmax(falling, axis=-1)
        # Kept is what is needed to reach top_p, hence the first token always.
        kept = jnp.where(jnp.cumsum(p, axis=-1) - p < sampling.top_p, falling, jnp.inf)
        logits = jnp.where(logits >= kept.min(axis=-1, keepdims=True), logits, -jnp.inf)
    return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)
