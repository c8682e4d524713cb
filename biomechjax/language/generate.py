"""Answers from a decoder: batched prefill, then one token at a time through the cache."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.language.cache import init_cache
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder, Params

MIN_BUCKET = 32


def generate(
    config: DecoderConfig,
    params: Params,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Sequence[int],
    temperature: float = 0.0,
    key: Array | None = None,
    batch_size: int = 16,
) -> list[list[int]]:
    """Continues each prompt until a stop id or `max_new_tokens`.

    Prompts of similar length share a batch, padded on the right to a power of two and to `batch_size` rows,
    so that there is one compilation per power of two. Neither the padding nor the other rows change an
    answer; a sampled answer depends only on the key and the prompt's place in `prompts`.

    Args:
        config: the decoder's shape.
        params: its parameters, as from `init_params`.
        prompts: token ids, of any lengths.
        max_new_tokens: the longest answer.
        stop_ids: ids that end an answer; they are not part of it. May be empty.
        temperature: 0 takes the most likely token, above 0 samples from softmax(logits / temperature).
        key: a JAX random key, needed for sampling.
        batch_size: rows per device call.

    Returns:
        The new ids of each prompt, in the order of `prompts`.

    Raises:
        ValueError: a prompt is empty or holds an id outside the vocabulary, a number is out of its range, or
            sampling was asked for without a key.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} and batch_size={batch_size} must be at least 1")
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; it must be 0 (most likely token) or above (sample)")
    if temperature > 0 and key is None:
        raise ValueError(f"sampling at temperature {temperature} needs a key, such as jax.random.key(0)")
    for i, prompt in enumerate(prompts):
        if len(prompt) == 0:
            raise ValueError(f"prompt {i} is empty; give it at least one token, such as the bos_id")
        if not 0 <= min(prompt) <= max(prompt) < config.vocab_size:
            raise ValueError(
                f"prompt {i} holds ids from {min(prompt)} to {max(prompt)}; the decoder has 0 to "
                f"{config.vocab_size - 1}"
            )

    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.key(0) if key is None else key, jnp.arange(len(prompts))
    )
    stops = jnp.array(stop_ids, jnp.int32)
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(prompts), batch_size):
        rows = by_length[start : start + batch_size]
        bucket = max(MIN_BUCKET, 1 << (len(prompts[rows[-1]]) - 1).bit_length())
        tokens = np.zeros((batch_size, bucket), np.int32)
        lengths = np.zeros(batch_size, np.int32)
        for row, i in enumerate(rows):
            lengths[row] = len(prompts[i])
            tokens[row, : lengths[row]] = prompts[i]
        keys = row_keys[np.resize(rows, batch_size)]
        new, counts = _generate_batch(
            config, max_new_tokens, temperature > 0, params, tokens, lengths, stops, temperature, keys
        )
        new, counts = np.asarray(new), np.asarray(counts)
        for row, i in enumerate(rows):
            answers[i] = new[row, : counts[row]].tolist()
    return answers


@partial(jax.jit, static_argnums=(0, 1, 2))
def _generate_batch(
    config: DecoderConfig,
    max_new_tokens: int,
    sample: bool,
    params: Params,
    tokens: Array,
    lengths: Array,
    stops: Array,
    temperature: Array,
    keys: Array,
) -> tuple[Array, Array]:
    """New tokens [B, max_new_tokens] and how many precede the stop [B]; rows of length 0 are padding."""
    model, variables = Decoder(config), {"params": params}
    b, t = tokens.shape
    column = jnp.arange(t, dtype=jnp.int32)
    cache = init_cache(config, b, t + max_new_tokens - 1)

    def choose(hidden: Array, step: Array) -> Array:
        logits = model.apply(variables, hidden, method="logits")
        if not sample:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, step)
        return jax.vmap(jax.random.categorical)(step_keys, logits / temperature).astype(jnp.int32)

    def is_stop(token: Array) -> Array:
        return (token[:, None] == stops).any(axis=-1)

    hidden, cache = model.apply(
        variables,
        tokens,
        jnp.broadcast_to(column, (b, t)),
        (column < lengths[:, None]).astype(jnp.int32),
        cache,
    )
    # A padding row has no last token; index -1 picks one that nobody reads.
    token = choose(hidden[jnp.arange(b), lengths - 1], jnp.int32(0))
    done = is_stop(token) | (lengths == 0)
    new = jnp.zeros((b, max_new_tokens), jnp.int32).at[:, 0].set(token)

    def unfinished(state: tuple) -> Array:
        step, _, done, *_ = state
        return (step < max_new_tokens) & ~done.all()

    def advance(state: tuple) -> tuple:
        """Reads the last token, chooses the one for place `step` of the answer."""
        step, token, done, new, counts, cache = state
        position, segment = lengths + step - 1, (~done).astype(jnp.int32)
        hidden, cache = model.apply(variables, token[:, None], position[:, None], segment[:, None], cache)
        token = choose(hidden[:, 0], step)
        done = done | is_stop(token)
        return step + 1, token, done, new.at[:, step].set(token), counts + ~done, cache

    state = (jnp.int32(1), token, done, new, (~done).astype(jnp.int32), cache)
    _, _, _, new, counts, _ = jax.lax.while_loop(unfinished, advance, state)
    return new, counts
