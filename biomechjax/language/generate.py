"""Answers from a decoder: each context is read once, then its questions, then one token at a time through the cache."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.language.attention import soft_cap
from biomechjax.language.cache import Cache, init_cache, take_rows
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder, Params, by_layer
from biomechjax.language.prompts import Prompt, check_prompts, in_batches, pad_left, places
from biomechjax.language.sampling import Sampling, choose
from biomechjax.language.trie import Trie
from biomechjax.language.weights import embed


def generate(
    config: DecoderConfig,
    params: Params,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    stop_ids: Sequence[int],
    sampling: Sampling = Sampling(),
    key: Array | None = None,
    trie: Trie | None = None,
    starts: Sequence[int] = (),
    batch_size: int = 16,
) -> list[list[int]]:
    """Continues each prompt until a stop id or `max_new_tokens`.

    Equal contexts are read once. Contexts of similar length share a batch, and so do their questions, both padded on
    the left to a power of two, so that there is one compilation for each pair of these. Neither the padding nor the
    other rows change an answer; a sampled answer depends only on the key and the prompt's place in `prompts`.

    Args:
        config: the decoder's shape.
        params: its parameters, as from `init_params`.
        prompts: ids of a context and of a question behind it, of any lengths; the context may be empty.
        max_new_tokens: the longest answer.
        stop_ids: ids that end an answer; they are not part of it. May be empty.
        sampling: how the next token is chosen.
        key: a JAX random key, needed where the choice is random.
        trie: what may be answered; by default anything. Scores are then computed of the tokens that may follow only.
        starts: for each prompt the state of the trie in which its answer begins, one of `trie.starts`.
        batch_size: rows per device call, at most.

    Returns:
        The new ids of each prompt, in the order of `prompts`.

    Raises:
        ValueError: a question is empty, a prompt holds an id outside the vocabulary, a number is out of its range,
            sampling was asked for without a key, or the trie's answers do not fit the prompts, the stop ids or
            `max_new_tokens`.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} and batch_size={batch_size} must be at least 1")
    if sampling.temperature and key is None:
        raise ValueError(f"sampling at temperature {sampling.temperature} needs a key, such as jax.random.key(0)")
    check_prompts(config, prompts)
    if trie is not None:
        _check_trie(trie, starts, len(prompts), stop_ids, max_new_tokens)
    if not prompts:
        return []

    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.key(0) if key is None else key, jnp.arange(len(prompts))
    )
    on_cpu = config.compute_dtype == "float32" and jax.default_backend() == "cpu"
    step_params = by_layer(config, params) if on_cpu else params
    table = None if trie is None else (jnp.array(trie.tokens), jnp.array(trie.next))
    first_states = np.array(starts if trie is not None else [0] * len(prompts), np.int32)
    stops = jnp.array(stop_ids, jnp.int32)

    asked_of: dict[tuple[int, ...], list[int]] = {}
    for i, (context, _) in enumerate(prompts):
        asked_of.setdefault(tuple(context), []).append(i)
    context_rows, rows = min(batch_size, len(asked_of)), min(batch_size, len(prompts))
    answers: list[list[int]] = [[] for _ in prompts]
    different = list(asked_of)
    for some in in_batches(different, context_rows):
        contexts = [different[i] for i in some]
        asked = [(row, i) for row, context in enumerate(contexts) for i in asked_of[context]]
        questions, question_lengths = pad_left([prompts[i][1] for _, i in asked], len(asked))
        tokens, lengths = pad_left(contexts, context_rows)
        cache = _read_contexts(config, questions.shape[1], max_new_tokens, params, tokens, lengths)
        for start in range(0, len(asked), rows):
            # Rows left over repeat questions of the batch, which take no more steps than these.
            here = np.resize(np.arange(start, min(start + rows, len(asked))), rows)
            source, place = np.array(asked)[here].T
            new, counts = _answer(
                config,
                max_new_tokens,
                sampling,
                params,
                step_params,
                cache,
                source,
                lengths[source],
                questions[here],
                question_lengths[here],
                stops,
                row_keys[place],
                table,
                first_states[place],
            )
            for i, ids, count in zip(place.tolist(), np.asarray(new), np.asarray(counts), strict=True):
                answers[i] = ids[:count].tolist()
    return answers


def _check_trie(trie: Trie, starts: Sequence[int], prompts: int, stop_ids: Sequence[int], max_new_tokens: int) -> None:
    if len(starts) != prompts or not set(starts) <= set(trie.starts):
        raise ValueError(f"{len(starts)} starts for {prompts} prompts; give each one of the trie's, {trie.starts}")
    if ends := set(trie.tokens[trie.next == trie.last].tolist()) - set(stop_ids):
        raise ValueError(f"allowed answers end with ids {sorted(ends)}, which are not among the stop ids")
    if trie.longest - 1 > max_new_tokens:
        raise ValueError(
            f"an allowed answer has {trie.longest - 1} tokens; max_new_tokens={max_new_tokens} would cut it off"
        )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _read_contexts(
    config: DecoderConfig, question: int, new: int, params: Params, tokens: Array, lengths: Array
) -> Cache:
    """The cache of contexts [B, T], with room for a question and new tokens."""
    b, t = tokens.shape
    # Between a token and those of its window may stand the padding before the question.
    cache = init_cache(config, b, t + question + new - 1, strangers=question)
    _, cache = Decoder(config).apply({"params": params}, tokens, *places(lengths, t), cache)
    return cache


def logits_of(config: DecoderConfig, params: Params, hidden: Array, ids: Array) -> Array:
    """Scores [B, A] float32 of the tokens ids [B, A] behind hidden states [B, D]: columns of `Decoder.logits`."""
    rows = embed(ids, params["embedding"]).astype(hidden.dtype)
    logits = jnp.einsum("bd,bad->ba", hidden, rows, preferred_element_type=jnp.float32)
    return soft_cap(logits, config.logit_soft_cap)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _answer(
    config: DecoderConfig,
    max_new_tokens: int,
    sampling: Sampling,
    params: Params,
    step_params: Params,
    cache: Cache,
    source: Array,
    context_lengths: Array,
    questions: Array,
    question_lengths: Array,
    stops: Array,
    keys: Array,
    table: tuple[Array, Array] | None,
    states: Array,
) -> tuple[Array, Array]:
    """New tokens [B, max_new_tokens] and how many precede the stop [B], of questions [B, T] behind the contexts that
    rows `source` [B] of the cache hold; `table` and `states` [B] are those of a trie. Questions are read with `params`,
    and then each token with `step_params`."""
    model, variables = Decoder(config), {"params": params}
    b, t = questions.shape

    def next_token(hidden: Array, states: Array, step: Array) -> tuple[Array, Array]:
        """The token [B] for place `step` of the answer, and the state of the trie behind it."""
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        if table is None:
            return choose(model.apply(variables, hidden, method="logits"), step_keys, sampling), states
        tokens, following = (part[states] for part in table)
        logits = jnp.where(following < 0, -jnp.inf, logits_of(config, params, hidden, tokens))
        column = choose(logits, step_keys, sampling)[:, None]
        token, states = (jnp.take_along_axis(part, column, axis=1)[:, 0] for part in (tokens, following))
        return token, states

    def is_stop(token: Array) -> Array:
        return (token[:, None] == stops).any(axis=-1)

    positions, segments = places(question_lengths, t)
    positions += context_lengths[:, None]
    hidden, cache = model.apply(variables, questions, positions, segments, take_rows(cache, source))
    token, states = next_token(hidden[:, -1], states, jnp.int32(0))
    done = is_stop(token)
    new = jnp.zeros((b, max_new_tokens), jnp.int32).at[:, 0].set(token)
    lengths = context_lengths + question_lengths

    def unfinished(carry: tuple) -> Array:
        step, _, _, done, *_ = carry
        return (step < max_new_tokens) & ~done.all()

    def advance(carry: tuple) -> tuple:
        """Reads the last token, chooses the one for place `step` of the answer."""
        step, token, states, done, new, counts, cache = carry
        position, segment = lengths + step - 1, (~done).astype(jnp.int32)
        hidden, cache = model.apply({"params": step_params}, token[:, None], position[:, None], segment[:, None], cache)
        token, states = next_token(hidden[:, 0], states, step)
        done = done | is_stop(token)
        return step + 1, token, states, done, new.at[:, step].set(token), counts + ~done, cache

    carry = (jnp.int32(1), token, states, done, new, (~done).astype(jnp.int32), cache)
    *_, new, counts, _ = jax.lax.while_loop(unfinished, advance, carry)
    return new, counts
