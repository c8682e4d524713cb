"""Training losses of the tokenizer: every term a sum and a count, divided once after the reduction over devices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.places import Body
from biomechjax.tokenizer.quantizer import find_quantizer, lookup, quantize

Batch = dict[str, Array]
"""features [B,F,C] normalised; observed [B,C]; valid [B,F]; all float32."""


def weights(config: TokenizerConfig) -> dict[str, float]:
    """Weight of each term in the objective; a term without one is not computed."""
    quantizer = find_quantizer(config)
    terms = {
        "reconstruction": 1.0,
        "velocity": config.velocity_weight,
        "travel": config.travel_weight,
        "position": config.position_weight,
        "slip": config.slip_weight,
        "commitment": config.commit_weight * quantizer.commits,
        "codebook": float(quantizer.learned),
    }
    return {term: weight for term, weight in terms.items() if weight}


def needs_body(config: TokenizerConfig, format: MotionFormat) -> bool:
    """Whether a term is of places, so that `counts` and `sums` must be given a body.

    Raises:
        InputError: it is, but the format's channels move no body.
    """
    terms = [f"{term}_weight" for term in ("position", "slip") if term in weights(config)]
    if terms and format.name != CANONICAL:
        raise InputError(
            f"{' and '.join(terms)}: the body is that of format {CANONICAL}, the recordings are of format "
            f"{format.name}; leave them at 0"
        )
    return bool(terms)


def channel_weights(config: TokenizerConfig, format: MotionFormat) -> np.ndarray:
    """Weight [C] of each channel in the reconstruction and velocity terms."""
    return np.where(root_mask(format) > 0, config.root_weight, 1.0).astype(np.float32)


def root_mask(format: MotionFormat) -> np.ndarray:
    """[C] 1 for the channels that place the body in the room, 0 for the others."""
    root = format.root.place if format.root else ()
    return np.array([name in root for name in format.names], np.float32)


def counts(config: TokenizerConfig, format: MotionFormat, batch: Batch, body: Body | None = None) -> dict[str, Array]:
    """Weighted number of elements under each term's sum; padded frames and unobserved channels do not count."""
    valid, observed = batch["valid"], batch["observed"]
    frames, channels = jnp.sum(valid, axis=-1), observed @ channel_weights(config, format)
    codes = jnp.sum(valid[:, :: config.frames_per_step]) * config.code_width * config.levels
    terms = {
        "reconstruction": lambda: jnp.sum(frames * channels),
        "velocity": lambda: jnp.sum(jnp.sum(valid[:, 1:] * valid[:, :-1], axis=-1) * channels),
        "travel": lambda: jnp.sum(frames * (observed @ root_mask(format))),
        "commitment": lambda: codes,
        "codebook": lambda: codes,
        **(body.counts(batch) if body else {}),
    }
    return {term: terms[term]() for term in weights(config)}


def sums(
    model: Autoencoder,
    format: MotionFormat,
    params: Any,
    state: Any,
    batch: Batch,
    keys: Array,
    common: np.ndarray | None = None,
    body: Body | None = None,
) -> tuple[dict[str, Array], tuple[Array, Array, Array]]:
    """Sum of each term, and (inputs [L,N,E], choice [L,N], valid [L,N]) for the quantizer's update.

    reconstruction: smooth L1 of normalised features. velocity: the same of their differences between frames (of the
    real channels, unlike the position slice that the peers call velocity). travel: smooth L1 of the running sum over
    the window of the root features' errors, in seconds of their standard deviation. position, slip: see `Body.sums`.
    commitment: squared distance of what each level saw to its code; codebook: the same, moving the codes.
    `common` [C] as of `MotionTokenizer`.
    """
    config, quantizer = model.config, find_quantizer(model.config)
    features, valid = batch["features"], batch["valid"]
    drop_channels, drop_levels = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    seen = channel_dropout(config, batch["observed"], drop_channels)
    if common is not None:
        seen = common_views(seen, common, drop_channels)

    def encoded(seen: Array) -> Array:
        return quantizer.bound(model.apply(params, features, seen[:, None], valid, method="encode"))

    latents, first = encoded(seen), None if common is None else encoded(seen * common)
    codes, filled = quantizer.table(params["quantizer"], state)
    choice, inputs = quantize(jax.lax.stop_gradient(codes), latents, first)
    used = levels_used(config, drop_levels) if config.levels > 1 else jnp.ones((1, len(valid)))
    chosen = lookup(codes, choice) * used[..., None, None]
    # Until a codebook is filled from this very batch, the decoder learns from the latents themselves.
    quantised = jnp.where(filled, jnp.sum(chosen, axis=0), latents)
    straight_through = latents + jax.lax.stop_gradient(quantised - latents)
    output = model.apply(params, straight_through, valid, method="decode")

    observed = valid[..., None] * batch["observed"][:, None]
    weight = observed * channel_weights(config, format)
    both = weight[:, 1:] * valid[:, :-1, None]
    token_valid = valid[:, :: config.frames_per_step] * used[..., None]
    root = observed * root_mask(format)
    error = output - features
    stop = jax.lax.stop_gradient
    terms = {
        "reconstruction": lambda: jnp.sum(weight * optax.huber_loss(error)),
        "velocity": lambda: jnp.sum(both * optax.huber_loss(jnp.diff(error, axis=1))),
        "travel": lambda: jnp.sum(root * optax.huber_loss(jnp.cumsum(root * error, axis=1) / config.rate_hz)),
        "commitment": lambda: jnp.sum(token_valid[..., None] * (inputs - stop(chosen)) ** 2),
        "codebook": lambda: jnp.sum(token_valid[..., None] * (stop(inputs) - chosen) ** 2),
        **(body.sums(output, batch) if body else {}),
    }
    flat = stop(inputs).reshape(config.levels, -1, config.code_width)
    update = (flat, choice.reshape(config.levels, -1), token_valid.reshape(config.levels, -1))
    return {term: terms[term]() for term in weights(config)}, update


def levels_used(config: TokenizerConfig, keys: Array) -> Array:
    """[L,B] 1 for the levels that a window is quantised with: all, or in `level_dropout` of them the first few."""

    def one(key: Array) -> Array:
        chosen, draw = jax.random.split(key)
        few = jax.random.randint(draw, (), 1, config.levels)
        return jnp.where(jax.random.bernoulli(chosen, config.level_dropout), few, config.levels)

    return (jnp.arange(config.levels)[:, None] < jax.vmap(one)(keys)).astype(jnp.float32)


def channel_dropout(config: TokenizerConfig, observed: Array, keys: Array) -> Array:
    """Hides a random share of the channels [B,C] in a random `channel_dropout` of the windows, one key [B] each.

    The share itself is uniform in 0..1, so that the encoder meets bodies with few and with many channels missing.
    """

    def one(row: Array, key: Array) -> Array:
        chosen, share, draw = jax.random.split(key, 3)
        drop = jax.random.bernoulli(chosen, config.channel_dropout)
        hidden = jax.random.uniform(draw, row.shape) < jax.random.uniform(share)
        return row * (1.0 - drop * hidden)

    return jax.vmap(one)(observed, keys)


def common_views(observed: Array, common: np.ndarray, keys: Array) -> Array:
    """Hides all but the common channels in half of the windows [B,C], one key [B] each.

    In these windows the movement comes from the common channels alone, which teaches the encoder what the first level
    is to say of them.
    """
    hide = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 3)))(keys)  # 0 to 2: channel_dropout's
    return jnp.where(hide[:, None], observed * common, observed)
