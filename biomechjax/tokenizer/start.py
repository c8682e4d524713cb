"""Parameters before training."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.losses import Batch
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer


def init_params(model: Autoencoder, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters: "params" of the autoencoder, "quantizer" of its quantizer."""
    networks, codes = jax.random.split(key)
    zeros = np.zeros((1, model.config.frames_per_step, model.channels), np.float32)
    variables = model.init(networks, zeros, zeros[:, :1], zeros[..., 0])
    return variables | {"quantizer": find_quantizer(model.config).init_params(codes)}


def linear_start(
    params: dict[str, Any], config: TokenizerConfig, weights: np.ndarray, batches: Iterable[Batch]
) -> dict[str, Any]:
    """Parameters whose straight paths are the principal components of the steps of the batches' features.

    The distance of two latents is then that of the movements, each channel weighted with `weights` [C], which is what
    the quantizer should make small, and the convolutions begin with nothing to say. The latents' variance is 1 as a
    mean over the axes, or on each where the quantizer's grid is the same along all.
    """
    step, scale = config.frames_per_step, np.tile(np.sqrt(weights), config.frames_per_step)
    whole = [b["features"].reshape(-1, len(scale))[b["valid"].reshape(-1, step).all(axis=1)] for b in batches]
    patches = np.concatenate(whole) * scale
    variances, components = np.linalg.eigh(patches.T @ patches / len(patches))
    axes = min(config.code_width, len(scale))
    variances, components = variances[::-1][:axes], components[:, ::-1][:, :axes]
    if config.quantizer != "fsq":
        variances = np.full(axes, variances.sum() / config.code_width)
    spread = np.sqrt(np.maximum(variances, 1e-6))
    params = jax.tree.map(np.array, params)
    encoder, decoder = params["params"]["encoder"], params["params"]["decoder"]
    kernel = encoder["Dense_0"]["kernel"]
    kernel[:] = 0
    kernel.reshape(step, 2, len(weights), -1)[:, 0, :, :axes] = (  # [:, 1] is for what was observed
        components * scale[:, None] / spread
    ).reshape(step, len(weights), axes)
    decoder["Dense_0"]["kernel"][:] = 0
    decoder["Dense_0"]["kernel"][:axes] = (components * spread).T / scale
    for half in (encoder, decoder):
        last = max((name for name in half if name.startswith("MaskedConv")), key=lambda name: int(name.split("_")[1]))
        half[last]["Conv_0"]["kernel"][:] = 0
    return params
