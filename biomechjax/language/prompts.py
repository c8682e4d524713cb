"""Prompts: a context and a question behind it, checked and padded to shapes that are compiled once."""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.language.config import DecoderConfig

Prompt = tuple[Sequence[int], Sequence[int]]
"""Ids of the context and of the question; the context may be empty."""

MIN_BUCKET = 8


def check_prompts(config: DecoderConfig, prompts: Sequence[Prompt]) -> None:
    """Raises ValueError where a prompt has no question or holds an id outside the vocabulary."""
    for i, (context, question) in enumerate(prompts):
        if len(question) == 0:
            raise ValueError(f"prompt {i} has an empty question; give it at least one token, such as the bos_id")
        ids = [*context, *question]
        if not 0 <= min(ids) <= max(ids) < config.vocab_size:
            raise ValueError(
                f"prompt {i} holds ids from {min(ids)} to {max(ids)}; the decoder has 0 to {config.vocab_size - 1}"
            )


def pad_left(sequences: Sequence[Sequence[int]], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids [rows, T] that all end in the last column, T a power of two, and lengths [rows], 0 in rows left over."""
    longest = max(map(len, sequences))
    tokens = np.zeros((rows, max(MIN_BUCKET, 1 << max(longest - 1, 0).bit_length())), np.int32)
    lengths = np.zeros(rows, np.int32)
    for row, ids in enumerate(sequences):
        lengths[row] = len(ids)
        tokens[row, tokens.shape[1] - len(ids) :] = ids
    return tokens, lengths


def in_batches(sequences: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """The numbers of the sequences, at most so many at a time, those of about one length together."""
    by_length = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(by_length), most):
        yield by_length[start : start + most]


def places(lengths: Array, width: int, segment: int = 1) -> tuple[Array, Array]:
    """Positions and segment ids [B, width] of rows that `pad_left` padded; segment 0 before the first token."""
    column = jnp.arange(width, dtype=jnp.int32) - (width - lengths[:, None])
    return jnp.maximum(column, 0), jnp.where(column >= 0, segment, 0)
