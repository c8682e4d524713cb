"""What is read from and written to a Hugging Face config.json, for every family."""

import dataclasses
import math

import jax
import pytest

from biomechjax.language.config import PRESETS, DecoderConfig, preset
from biomechjax.language.decoder import abstract_params
from biomechjax.language.hf_config import from_hf_config, to_hf_config

GEMMA_VOCAB = 262_144
TOKEN_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": [1, 106]}
GEMMA = [name for name in PRESETS if name.startswith("gemma")]

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

# The same of google/gemma-2-27b, and of google/gemma-3-4b-pt to 27b-pt, which leave the rest to transformers.
PUBLISHED_2_27B = {
    "model_type": "gemma2",
    "attention_bias": False,
    "attn_logit_softcapping": 50.0,
    "cache_implementation": "hybrid",
    "final_logit_softcapping": 30.0,
    "head_dim": 128,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 4608,
    "intermediate_size": 36864,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 46,
    "num_key_value_heads": 16,
    "query_pre_attn_scalar": 144,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "torch_dtype": "float32",
    "vocab_size": 256000,
}


def published_multimodal(**text: object) -> dict:
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": 255999,
        "eoi_token_index": 256000,
        "eos_token_id": [1, 106],
        "image_token_index": 262144,
        "mm_tokens_per_image": 256,
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text",
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
            **text,
        },
        "torch_dtype": "bfloat16",
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
    }


PUBLISHED_4B = published_multimodal(hidden_size=2560, intermediate_size=10240, num_hidden_layers=34)
PUBLISHED_12B = published_multimodal(
    hidden_size=3840, intermediate_size=15360, num_hidden_layers=48, num_attention_heads=16, num_key_value_heads=8
)
PUBLISHED_27B = published_multimodal(
    hidden_size=5376,
    intermediate_size=21504,
    num_hidden_layers=62,
    num_attention_heads=32,
    num_key_value_heads=16,
    head_dim=128,
    query_pre_attn_scalar=168,
)


@pytest.mark.parametrize(
    ("published", "name", "vocab_size"),
    [
        (PUBLISHED_1B, "gemma3_1b", GEMMA_VOCAB),
        (PUBLISHED_2_27B, "gemma2_27b", 256_000),
        (PUBLISHED_4B, "gemma3_4b", 262_208),
        (PUBLISHED_12B, "gemma3_12b", 262_208),
        (PUBLISHED_27B, "gemma3_27b", 262_208),
    ],
)
def test_published_config_is_the_preset(published: dict, name: str, vocab_size: int):
    assert from_hf_config(published) == preset(name, vocab_size)


@pytest.mark.parametrize("name", GEMMA)
def test_written_and_read_again(name: str):
    config = preset(name, 1024)
    written = to_hf_config(config, "bfloat16", TOKEN_IDS)
    assert from_hf_config(written) == config
    assert {k: written[k] for k in TOKEN_IDS} == TOKEN_IDS


@pytest.mark.parametrize("name", GEMMA)
def test_transformers_counts_the_same_parameters(name: str):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    fields = to_hf_config(preset(name, 1024), "float32", TOKEN_IDS)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**fields))
    shapes, _ = abstract_params(preset(name, 1024))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == model.num_parameters()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"query_scale": 0.3}, "query_scale is 0.3"),
        ({"qk_norm": False}, "rope_base_local is 10000.0"),
        ({"width": 1001}, "1001"),
        ({"attention_soft_cap": 50.0}, "attn_logit_softcapping"),
    ],
)
def test_what_transformers_cannot_say_is_refused(change: dict, named: str):
    config: DecoderConfig = preset("gemma3_1b", 1024, **change)
    with pytest.raises(ValueError, match=named):
        to_hf_config(config, "float32", TOKEN_IDS)


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
        ({"model_type": "gemma"}, "'gemma'"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"hidden_size": "1152"}, "hidden_size"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"model_type": "gemma3", "tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"attention_bias": True}, "attention_bias"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "yarn"),
    ],
)
def test_other_models_are_refused_by_name(change: dict, named: str):
    with pytest.raises(ValueError, match=named):
        from_hf_config({**PUBLISHED_1B, **change})
