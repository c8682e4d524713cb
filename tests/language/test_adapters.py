"""Adapters beside a frozen base: the adapted decoder is the merged one."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import run_python

from biomechjax.language.adapters import BASE_WEIGHTS, adapt, freeze, frozen_axes, init_adapters, merge
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder
from biomechjax.language.lora import LoraConfig

CONFIG = DecoderConfig(
    vocab_size=96, width=64, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=64, mlp_width=512, sliding_window=5,
    global_every=2,
)  # fmt: skip
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0)
OFFSET, ROWS = 60, 20


def base():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: Decoder(CONFIG).init(jax.random.key(0), *(jnp.zeros((1, 1), int),) * 3))["params"]
    from flax import linen as nn

    return jax.tree.map(lambda s: rng.normal(0, 0.15, s.shape).astype(np.float32), nn.unbox(shapes))


def adapters(lora: LoraConfig = LORA):
    rng = np.random.default_rng(1)
    layers = init_adapters(CONFIG, lora, jax.random.key(0))
    layers = jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.1, x.shape), jnp.float32), layers)
    return {"layers": layers, "rows": jnp.asarray(rng.normal(0, 0.15, (ROWS, CONFIG.width)), jnp.float32)}


def logits(params, config: DecoderConfig = CONFIG):
    tokens = np.random.default_rng(2).integers(0, 96, (2, 12))
    positions = np.broadcast_to(np.arange(12), tokens.shape)
    hidden, _ = Decoder(config).apply({"params": params}, tokens, positions, np.ones_like(tokens))
    return Decoder(config).apply({"params": params}, hidden, method="logits")


def test_at_first_nothing_changes():
    plain = base()
    fresh = {"layers": init_adapters(CONFIG, LORA, jax.random.key(0)), "rows": plain["embedding"][60:80]}
    adapted = adapt(freeze(plain, "float32"), fresh, LORA, OFFSET)
    np.testing.assert_allclose(logits(adapted), logits(plain), atol=1e-5)


@pytest.mark.parametrize("weights", BASE_WEIGHTS)
def test_adapted_equals_merged(weights):
    adapted = adapt(freeze(base(), weights), adapters(), LORA, OFFSET)
    whole = merge(CONFIG, adapted)
    found = logits(adapted)
    np.testing.assert_allclose(found, logits(whole), atol=1e-4 * np.abs(found).max())
    assert np.abs(found - logits(base())).max() > 0.1
    shapes = jax.tree.map(np.shape, base())
    assert jax.tree.map(np.shape, whole) == shapes


def test_alpha_rank_and_rs_scale_what_is_added():
    plain, few = base(), adapters(LoraConfig(rank=4, targets=("up",)))
    sizes = {}
    for name, lora in {
        "one": LoraConfig(rank=4, alpha=4, targets=("up",)),
        "two": LoraConfig(rank=4, alpha=8, targets=("up",)),
        "rs": LoraConfig(rank=4, alpha=4, rs=True, targets=("up",)),
    }.items():
        whole = merge(CONFIG, adapt(freeze(plain, "float32"), few, lora, OFFSET))
        sizes[name] = np.linalg.norm(whole["layers"]["mlp"]["up"] - plain["layers"]["mlp"]["up"])
        np.testing.assert_array_equal(whole["layers"]["mlp"]["down"], plain["layers"]["mlp"]["down"])
    assert sizes["two"] == pytest.approx(2 * sizes["one"], rel=1e-4)
    assert sizes["rs"] == pytest.approx(2 * sizes["one"], rel=1e-4)  # sqrt(4)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (dataclasses.replace(LORA, targets=("query", "up")), "attention/key.*not used"),
        (dataclasses.replace(LORA, rank=8), "expected rank 8"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(lora, message):
    with pytest.raises(ValueError, match=message):
        adapt(freeze(base(), "float32"), adapters(), lora, OFFSET)
    missing = adapters()
    del missing["layers"]["mlp"]["gate"]
    with pytest.raises(ValueError, match="mlp/gate are missing"):
        adapt(freeze(base(), "float32"), missing, LORA, OFFSET)


@pytest.mark.parametrize("weights", BASE_WEIGHTS)
def test_axes_of_a_frozen_base_name_each_of_its_axes(weights):
    frozen, axes = freeze(base(), weights), frozen_axes(CONFIG, weights)
    assert jax.tree.structure(frozen) == jax.tree.structure(axes)
    for leaf, spec in zip(jax.tree.leaves(frozen), jax.tree.leaves(axes), strict=True):
        assert leaf.ndim == len(spec)
    output = axes["layers"]["attention"]["output"]  # codes and scales are split where the weight is
    for spec in (output.codes, output.scale) if weights in ("nf4", "int8") else (output,):
        assert (spec[0], spec[-1]) == ("layers", "embed")
        assert spec[1] == (None if weights == "int8" and spec is output.scale else "heads")


@pytest.mark.slow
def test_sharded_over_eight_devices_equals_one():
    done = run_python(Path(__file__).with_name("quantized_run.py"), devices=8, timeout_s=300)
    assert done.returncode == 0, done.stderr[-3000:]
