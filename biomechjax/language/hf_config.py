"""The shape of a decoder as a Hugging Face `config.json`, read and written."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import transformers
from huggingface_hub.errors import StrictDataclassError

from biomechjax.errors import InputError
from biomechjax.language.config import MOST_LAYERS, DecoderConfig

TEXT_MODELS = {"gemma2": "Gemma2Config", "gemma3_text": "Gemma3TextConfig"}  # names in transformers
MULTIMODAL = "gemma3"
# What the decoder computes of settings that have no field in DecoderConfig.
COMPUTED = {
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "tie_word_embeddings": True,
    "use_bidirectional_attention": False,
}


def from_hf_config(hf: Mapping[str, Any]) -> DecoderConfig:
    """Reads the `config.json` of a Gemma 2, a Gemma 3 text model, or the text part of a multimodal Gemma 3.

    A field that the file leaves out has the value that transformers assumes.

    Args:
        hf: the parsed JSON object.

    Raises:
        InputError: the model is of another type, or uses a setting that this decoder does not compute; the
            message names the setting.
    """
    try:
        return _decoder_config(_read(hf))
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"config.json has a setting that no such model has: {error!r}") from error


def _decoder_config(read: Any) -> DecoderConfig:
    """From the configuration object of transformers."""
    is_gemma3 = read.model_type == "gemma3_text"
    # transformers takes a cap on Gemma 3's attention, but does not apply it.
    for name, computed in (COMPUTED | ({"attn_logit_softcapping": None} if is_gemma3 else {})).items():
        # Null and false both mean "without".
        if (found := getattr(read, name)) != computed and (found or computed):
            raise InputError(f"config.json has {name}={found!r}; this decoder computes only {computed!r}")
    # One for all layers in Gemma 2, one per type of layer in Gemma 3.
    local, whole = (read.rope_parameters.get(k, read.rope_parameters) for k in ("sliding_attention", "full_attention"))
    for kind, rope, allowed in (("local", local, ("default",)), ("global", whole, ("default", "linear"))):
        if (rope_type := rope["rope_type"]) not in allowed:
            raise InputError(
                f"config.json gives {kind} layers rope_type={rope_type!r}; this decoder computes only "
                f"{' or '.join(allowed)}"
            )
    return DecoderConfig(
        vocab_size=read.vocab_size,
        width=read.hidden_size,
        num_layers=read.num_hidden_layers,
        num_heads=read.num_attention_heads,
        num_kv_heads=read.num_key_value_heads,
        head_dim=read.head_dim,
        mlp_width=read.intermediate_size,
        sliding_window=read.sliding_window,
        global_every=_global_every(read.layer_types),
        rope_base_local=local["rope_theta"],
        rope_base_global=whole["rope_theta"],
        rope_scale_global=whole.get("factor", 1.0),
        query_scale=read.query_pre_attn_scalar**-0.5,
        qk_norm=is_gemma3,
        attention_soft_cap=read.attn_logit_softcapping,
        logit_soft_cap=read.final_logit_softcapping,
        norm_eps=read.rms_norm_eps,
    )


def to_hf_config(config: DecoderConfig, dtype: str, token_ids: Mapping[str, Any]) -> dict[str, Any]:
    """The `config.json` of a decoder: `gemma3_text` if it normalises queries and keys, else `gemma2`.

    Rotary settings are written as in the published files, which every version of transformers reads.

    Args:
        config: the decoder's shape.
        dtype: of the weights beside the file.
        token_ids: pad_token_id, bos_token_id, eos_token_id.

    Raises:
        InputError: transformers has no setting for what this decoder computes; the message names it.
    """
    model_type = "gemma3_text" if config.qk_norm else "gemma2"
    query_scalar = round(config.attention_scale**-2)
    if query_scalar < 1 or not math.isclose(query_scalar**-0.5, config.attention_scale):
        raise InputError(
            f"query_scale is {config.attention_scale}; {model_type} in transformers has only n ** -0.5 of a whole n"
        )
    rope: dict[str, Any] = {"rope_theta": config.rope_base_global}
    if config.qk_norm:
        rope["rope_local_base_freq"] = config.rope_base_local
    elif config.rope_base_local != config.rope_base_global or config.rope_scale_global != 1:
        raise InputError(
            f"rope_base_local is {config.rope_base_local}, rope_base_global {config.rope_base_global}, "
            f"rope_scale_global {config.rope_scale_global}; gemma2 in transformers has one base for all and no scale"
        )
    if config.rope_scale_global != 1:
        rope["rope_scaling"] = {"rope_type": "linear", "factor": config.rope_scale_global}
    fields = {
        "architectures": ["Gemma3ForCausalLM" if config.qk_norm else "Gemma2ForCausalLM"],
        "model_type": model_type,
        "dtype": dtype,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "query_pre_attn_scalar": query_scalar,
        "rms_norm_eps": config.norm_eps,
        "sliding_window": config.sliding_window,
        "layer_types": ["full_attention" if whole else "sliding_attention" for whole in config.global_layers],
        "attn_logit_softcapping": config.attention_soft_cap,
        "final_logit_softcapping": config.logit_soft_cap,
        **rope,
        **COMPUTED,
        **token_ids,
    }
    from_hf_config(fields)  # transformers has rules of its own, as that the heads divide the width
    return fields


def _read(hf: Mapping[str, Any]) -> Any:
    """The configuration object of transformers, with its defaults filled in."""
    fields = copy.deepcopy(dict(hf))  # transformers writes into what it is given
    if fields.get("model_type") == MULTIMODAL:
        tied = {k: fields[k] for k in ("tie_word_embeddings",) if k in fields}
        if not isinstance(text := fields.get("text_config") or {}, dict):
            raise InputError(f"config.json has text_config={text!r}; expected the settings of the text part")
        fields = {"model_type": "gemma3_text"} | text | tied
    if not isinstance(model_type := fields.get("model_type"), str) or model_type not in TEXT_MODELS:
        raise InputError(
            f"config.json describes a model of type {model_type!r}; only {', '.join(TEXT_MODELS)} and the text part of "
            f"{MULTIMODAL} can be read"
        )
    layers = fields.get("num_hidden_layers", 1)
    if type(layers) is not int or not 0 < layers <= MOST_LAYERS:  # transformers lists them, however many
        raise InputError(f"config.json has num_hidden_layers={layers!r}; expected a whole number up to {MOST_LAYERS}")
    try:
        return getattr(transformers, TEXT_MODELS[model_type]).from_dict(fields)
    except (StrictDataclassError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"config.json is refused by transformers: {error}") from error


def _global_every(layer_types: list[str]) -> int:
    is_global = [kind == "full_attention" for kind in layer_types]
    every = is_global.index(True) + 1 if any(is_global) else len(is_global) + 1
    if is_global != [i % every == every - 1 for i in range(len(is_global))]:
        raise InputError(
            f"config.json lists layer_types {layer_types}; this decoder has 'full_attention' at a regular interval"
        )
    return every
