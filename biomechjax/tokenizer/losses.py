"""Training losses of the tokenizer: every term a sum and a count, divided once after the reduction over devices."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from biomechjax.motion.format import MotionFormat
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import Codebook, nearest

Batch = dict[str, Array]
"""features [B,F,C] normalised; observed [B,C]; valid [B,F]; all float32."""


def weights(config: TokenizerConfig) -> dict[str, float]:
    """Weight of each term in the objective."""
    return {"reconstruction": 1.0, "velocity": config.velocity_weight, "commitment": config.commit_weight}


def channel_weights(config: TokenizerConfig, format: MotionFormat) -> np.ndarray:
    """Weight [C] of each channel in the reconstruction and velocity terms."""
    root = dataclasses.astuple(format.root) if format.root else ()
    return np.array([config.root_weight if name in root else 1.0 for name in format.names], np.float32)


def counts(config: TokenizerConfig, channel_weight: np.ndarray, batch: Batch) -> dict[str, Array]:
    """Weighted number of elements under each term's sum; padded frames and unobserved channels do not count."""
    valid, channels = batch["valid"], batch["observed"] @ channel_weight
    tokens = jnp.sum(valid[:, :: config.frames_per_token])
    return {
        "reconstruction": jnp.sum(jnp.sum(valid, axis=-1) * channels),
        "velocity": jnp.sum(jnp.sum(valid[:, 1:] * valid[:, :-1], axis=-1) * channels),
        "commitment": tokens * config.code_width,
    }


def sums(
    model: Autoencoder, channel_weight: np.ndarray, params: Any, book: Codebook, batch: Batch, keys: Array
) -> tuple[dict[str, Array], tuple[Array, Array]]:
    """Sum of each term, and (latents [N,E], valid [N]) for the codebook's update.

    reconstruction: smooth L1 of normalised features. velocity: the same of their differences between frames (of the
    real channels, unlike the position slice that the peers call velocity). commitment: squared distance of the
    encoder's output to its code.
    """
    features, valid = batch["features"], batch["valid"]
    seen = channel_dropout(model.config, batch["observed"], keys)
    latents = model.apply(params, features, seen[:, None], valid, method="encode")
    codes = book.codes[nearest(book.codes, latents)]
    # Until the codebook is filled from this very batch, the decoder learns from the latents themselves.
    codes = jax.lax.stop_gradient(jnp.where(book.filled, codes, latents))
    straight_through = latents + jax.lax.stop_gradient(codes - latents)
    output = model.apply(params, straight_through, valid, method="decode")

    weight = valid[..., None] * batch["observed"][:, None] * channel_weight
    both = weight[:, 1:] * valid[:, :-1, None]
    token_valid = valid[:, :: model.config.frames_per_token]
    terms = {
        "reconstruction": jnp.sum(weight * optax.huber_loss(output, features)),
        "velocity": jnp.sum(both * optax.huber_loss(jnp.diff(output, axis=1), jnp.diff(features, axis=1))),
        "commitment": jnp.sum(token_valid[..., None] * (latents - codes) ** 2),
    }
    return terms, (jax.lax.stop_gradient(latents).reshape(-1, latents.shape[-1]), token_valid.reshape(-1))


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
