"""How likely answers are: all of a set in one forward pass, as branches of the prompt; or of each prompt its own."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import BRANCHES, Decoder, Params
from biomechjax.language.likelihood import log_probs
from biomechjax.language.prompts import Prompt, check_prompts, in_batches, pad_left, places

MOST_ANSWERS = BRANCHES - 1


def score_answers(
    config: DecoderConfig,
    params: Params,
    prompts: Sequence[Prompt],
    allowed: Sequence[Sequence[int]],
    batch_size: int = 16,
) -> np.ndarray:
    """log p of each allowed answer behind each prompt; their softmax is the distribution over the set.

    Args:
        config: the decoder's shape.
        params: its parameters.
        prompts: ids of a context and of a question behind it.
        allowed: ids of each answer with the stop id that ends it.
        batch_size: rows per device call, at most.

    Returns:
        [prompts, answers] float32, sums over an answer's tokens of log p under the softmax over the whole vocabulary.

    Raises:
        ValueError: a question is empty, a prompt holds an id outside the vocabulary, or the number of answers is none
            or more than a row has branches.
    """
    if not 0 < len(allowed) <= MOST_ANSWERS or not all(map(len, allowed)):
        raise ValueError(f"{len(allowed)} allowed answers; expected 1 to {MOST_ANSWERS}, each with its stop id")
    check_prompts(config, prompts)
    trunks = [[*context, *question] for context, question in prompts]
    scores = np.zeros((len(prompts), len(allowed)), np.float32)
    rows = min(batch_size, len(prompts))
    for some in in_batches(trunks, batch_size):
        tokens, lengths = pad_left([trunks[i] for i in some], rows)
        found = _score(config, tuple(map(tuple, allowed)), params, tokens, lengths)
        scores[some] = np.asarray(found)[: len(some)]
    return scores


def score_own_answers(
    config: DecoderConfig,
    params: Params,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[int]],
    batch_size: int = 16,
) -> np.ndarray:
    """log p of the answer beside each prompt; nothing is compiled anew for other answers of about the same length.

    Args:
        config: the decoder's shape.
        params: its parameters.
        prompts: ids of a context and of a question behind it.
        answers: for each prompt ids of an answer with the stop id that ends it.
        batch_size: rows per device call, at most.

    Returns:
        [prompts] float32, as the columns of `score_answers`.

    Raises:
        ValueError: a question or an answer is empty, or a prompt holds an id outside the vocabulary.
    """
    if not all(map(len, answers)):
        raise ValueError(f"answer {[len(a) > 0 for a in answers].index(False)} is empty; expected at least its stop id")
    check_prompts(config, prompts)
    # The last token of an answer is not read; each token is predicted by the one before it.
    read = [[*context, *question, *a[:-1]] for (context, question), a in zip(prompts, answers, strict=True)]
    scores = np.zeros(len(prompts), np.float32)
    rows = min(batch_size, len(prompts))
    for some in in_batches(read, batch_size):
        targets, counts = pad_left([answers[i] for i in some], rows)
        found = _score_own(config, params, *pad_left([read[i] for i in some], rows), targets, counts)
        scores[some] = np.asarray(found)[: len(some)]
    return scores


@partial(jax.jit, static_argnums=0)
def _score_own(
    config: DecoderConfig, params: Params, tokens: Array, lengths: Array, targets: Array, counts: Array
) -> Array:
    """[B] of targets [B, A], the last `counts` [B] of which follow the last columns of tokens [B, T]."""
    a = targets.shape[1]
    hidden, _ = Decoder(config).apply({"params": params}, tokens, *places(lengths, tokens.shape[1]))
    found = log_probs(
        hidden[:, -a:].reshape(-1, config.width), params["embedding"], targets.reshape(-1), config.logit_soft_cap
    )
    return jnp.where(jnp.arange(a) >= a - counts[:, None], found.reshape(-1, a), 0.0).sum(axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def _score(
    config: DecoderConfig, allowed: tuple[tuple[int, ...], ...], params: Params, tokens: Array, lengths: Array
) -> Array:
    """[B, answers] behind trunks [B, T] that all end in the last column."""
    b, t = tokens.shape
    # The last token of an answer is not read, and the first is predicted by the last of the trunk.
    read = [(token, branch, i) for branch, answer in enumerate(allowed) for i, token in enumerate(answer[:-1])]
    branch_tokens, branches, places_in_answer = np.array(read, np.int32).reshape(-1, 3).T
    column = t + np.cumsum([0, *(len(answer) - 1 for answer in allowed)])
    predictors = np.concatenate(
        [[t - 1, *range(start, start + len(answer) - 1)] for start, answer in zip(column, allowed, strict=False)]
    )

    def behind(trunk: Array, branch: Array | np.ndarray) -> Array:
        return jnp.concatenate([trunk, jnp.broadcast_to(branch, (b, len(read)))], axis=1)

    positions, segments = places(lengths, t, BRANCHES)
    hidden, _ = Decoder(config).apply(
        {"params": params},
        behind(tokens, branch_tokens),
        behind(positions, lengths[:, None] + places_in_answer),
        behind(segments, BRANCHES + 1 + branches),
    )
    targets = np.concatenate(allowed).astype(np.int32)
    hidden = hidden[:, predictors].reshape(-1, config.width)
    found = log_probs(hidden, params["embedding"], jnp.tile(targets, b), config.logit_soft_cap).reshape(b, -1)
    owner = np.repeat(np.arange(len(allowed)), [len(answer) for answer in allowed])
    return jax.ops.segment_sum(found.T, owner, len(allowed)).T
