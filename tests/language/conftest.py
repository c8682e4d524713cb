import jax
import numpy as np
import pytest

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, init_params


@pytest.fixture(scope="session")
def config() -> DecoderConfig:
    """Local and global layers, grouped heads, and a window shorter than the test sequences."""
    return DecoderConfig(
        vocab_size=96,
        width=32,
        num_layers=4,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        mlp_width=48,
        sliding_window=5,
        global_every=2,
        rope_scale_global=2.0,
    )


@pytest.fixture(scope="session")
def params(config: DecoderConfig) -> Params:
    """Random parameters whose norms are not at their initial zero."""
    leaves, tree = jax.tree.flatten(init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(1)
    return tree.unflatten(leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32) for leaf in leaves)
