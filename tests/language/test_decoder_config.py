"""Named shapes, refused shapes, and what is read from a Hugging Face config.json."""

import dataclasses
import math

import jax
import pytest

from biomechjax.language.config import from_hf_config, preset
from biomechjax.language.decoder import abstract_params

GEMMA_VOCAB = 262_144

# config.json of google/gemma-3-1b-pt, the fields that shape the computation.
PUBLISHED_1B = {
    "model_type": "gemma3_text",
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "intermediate_size": 6912,
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "vocab_size": GEMMA_VOCAB,
}


@pytest.mark.parametrize(("name", "published"), [("gemma3_270m", 268_098_176), ("gemma3_1b", 999_885_952)])
def test_gemma_presets_have_the_published_parameter_count(name: str, published: int):
    shapes, _ = abstract_params(preset(name, GEMMA_VOCAB))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == published


@pytest.mark.parametrize(("name", "millions"), [("1m", 1), ("2m", 2), ("4m", 4)])
def test_small_presets_are_as_large_as_their_name(name: str, millions: int):
    config = preset(name, 512)
    shapes, _ = abstract_params(config)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["layers"]))
    assert size / 1e6 == pytest.approx(millions, rel=0.1)
    assert config.num_kv_heads < config.num_heads


def test_preset_overrides_and_unknown_name():
    assert preset("1m", 512, remat="full", width=64).width == 64
    with pytest.raises(ValueError, match="'3m'.*1m, 2m, 4m, gemma3_270m, gemma3_1b"):
        preset("3m", 512)


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_kv_heads", 3), ("head_dim", 31), ("width", 0), ("compute_dtype", "int8"), ("unroll", 0)],
)
def test_impossible_shapes_are_refused_by_field(field: str, value: object):
    with pytest.raises(ValueError, match=field):
        preset("1m", 512, **{field: value})


def test_published_config_is_the_preset():
    assert from_hf_config(PUBLISHED_1B) == preset("gemma3_1b", GEMMA_VOCAB)


def test_rope_of_both_styles():
    flat = {**PUBLISHED_1B, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_theta": 5e5}
    per_type = {
        **PUBLISHED_1B,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000},
        },
    }
    assert from_hf_config(flat) == from_hf_config(per_type)
    assert from_hf_config(flat) == dataclasses.replace(
        from_hf_config(PUBLISHED_1B), rope_scale_global=8.0, rope_base_global=5e5
    )


def test_layer_types_set_the_interval():
    layer_types = ["sliding_attention", "full_attention"] * 13
    assert from_hf_config({**PUBLISHED_1B, "layer_types": layer_types}).global_every == 2
    only_local = from_hf_config({**PUBLISHED_1B, "layer_types": ["sliding_attention"] * 26})
    assert not any(only_local.global_layers)
    with pytest.raises(ValueError, match="regular interval"):
        from_hf_config({**PUBLISHED_1B, "layer_types": ["full_attention"] * 3 + ["sliding_attention"] * 23})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "gemma2"}, "'gemma2'"),
        ({"model_type": "gemma3"}, "'gemma3'"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"attention_bias": True}, "attention_bias"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "yarn"),
    ],
)
def test_other_models_are_refused_by_name(change: dict, named: str):
    with pytest.raises(ValueError, match=named):
        from_hf_config({**PUBLISHED_1B, **change})


def test_missing_field_is_named():
    with pytest.raises(ValueError, match="head_dim"):
        from_hf_config({k: v for k, v in PUBLISHED_1B.items() if k != "head_dim"})
