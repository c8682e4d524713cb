"""The shape of a decoder: its dimensions, named presets, and the reading of a Hugging Face `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORDS = {
    "compute_dtype": ("float32", "bfloat16"),
    "remat": ("none", "products", "full"),
    "attention": ("einsum", "fused"),
}


@dataclass(frozen=True)
class DecoderConfig:
    """Dimensions of a Gemma 2 or Gemma 3 text decoder (technical reports arXiv:2408.00118 and arXiv:2503.19786).

    Attributes:
        vocab_size: V, rows of the embedding, which is also the output head.
        width: D, the width of the residual stream.
        num_layers: L.
        num_heads: N, query heads.
        num_kv_heads: K, key and value heads; each serves N / K query heads.
        head_dim: H.
        mlp_width: M, the hidden width of the gated feed-forward block.
        sliding_window: a local layer sees positions less than this far back, itself included.
        global_every: layer i sees the whole segment iff i % global_every == global_every - 1; a value above
            num_layers makes every layer local, 1 makes every layer global.
        rope_base_local: base of the rotary frequencies in local layers.
        rope_base_global: base of the rotary frequencies in global layers.
        rope_scale_global: positions in global layers are divided by this (linear position interpolation).
        query_scale: factor on the attention scores (Gemma's query_pre_attn_scalar ** -0.5); None means
            head_dim ** -0.5.
        qk_norm: whether queries and keys are normalised (Gemma 3).
        attention_soft_cap: attention scores are bent into (-cap, cap) by cap * tanh(score / cap) (Gemma 2); None does
            not.
        logit_soft_cap: the same of the logits.
        norm_eps: added to the mean square in every RMSNorm.
        compute_dtype: dtype of activations and matrix products; parameters, norms, softmax and logits stay
            float32.
        unroll: layers per iteration of the scan; num_layers or more is fastest on a CPU, 1 compiles fastest.
        remat: what is recomputed in the backward pass: "none"; "products" keeps the results of products with weights;
            "full" recomputes whole layers.
        attention: "einsum", or "fused" for `jax.nn.dot_product_attention`, which has kernels on GPUs and no soft cap.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    mlp_width: int
    sliding_window: int = 512
    global_every: int = 6
    rope_base_local: float = 10_000.0
    rope_base_global: float = 1_000_000.0
    rope_scale_global: float = 1.0
    query_scale: float | None = None
    qk_norm: bool = True
    attention_soft_cap: float | None = None
    logit_soft_cap: float | None = None
    norm_eps: float = 1e-6
    compute_dtype: str = "float32"
    unroll: int = 1
    remat: str = "none"
    attention: str = "einsum"

    def __post_init__(self) -> None:
        positive = (
            "vocab_size width num_layers num_heads num_kv_heads head_dim mlp_width sliding_window "
            "global_every rope_base_local rope_base_global rope_scale_global norm_eps unroll"
        )
        for name in positive.split():
            if getattr(self, name) <= 0:
                raise ValueError(f"DecoderConfig.{name} is {getattr(self, name)}; it must be positive")
        for name in ("query_scale", "attention_soft_cap", "logit_soft_cap"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"DecoderConfig.{name} is {value}; it must be positive or None")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"DecoderConfig.num_heads is {self.num_heads}, which num_kv_heads={self.num_kv_heads} does "
                "not divide; every key/value head must serve the same number of query heads"
            )
        if self.head_dim % 2:
            raise ValueError(f"DecoderConfig.head_dim is {self.head_dim}; rotary positions need an even one")
        for name, words in WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise ValueError(f"DecoderConfig.{name} is {value!r}; choose one of {', '.join(words)}")
        if self.attention == "fused" and self.attention_soft_cap is not None:
            raise ValueError("DecoderConfig.attention is 'fused', which has no attention_soft_cap; choose 'einsum'")

    @property
    def attention_scale(self) -> float:
        """The factor on the attention scores, with the default of `query_scale` filled in."""
        return self.head_dim**-0.5 if self.query_scale is None else self.query_scale

    @property
    def global_layers(self) -> tuple[bool, ...]:
        """For each of the L layers, whether it attends to the whole segment."""
        return tuple(i % self.global_every == self.global_every - 1 for i in range(self.num_layers))


# The small ones are for a CPU, where the scan is best unrolled; their names are the sizes without the
# embedding. The Gemma shapes are those of google/gemma-3-270m and google/gemma-3-1b-pt.
PRESETS: dict[str, dict[str, Any]] = {
    "1m": dict(
        width=128, num_layers=4, num_heads=4, num_kv_heads=1, head_dim=32, mlp_width=512,
        sliding_window=256, global_every=2, unroll=4,
    ),
    "2m": dict(
        width=192, num_layers=4, num_heads=4, num_kv_heads=1, head_dim=48, mlp_width=768,
        sliding_window=256, global_every=2, unroll=4,
    ),
    "4m": dict(
        width=256, num_layers=6, num_heads=4, num_kv_heads=2, head_dim=64, mlp_width=640,
        sliding_window=256, global_every=2, unroll=6,
    ),
    "gemma3_270m": dict(
        width=640, num_layers=18, num_heads=4, num_kv_heads=1, head_dim=256, mlp_width=2048,
        query_scale=256**-0.5,
    ),
    "gemma3_1b": dict(
        width=1152, num_layers=26, num_heads=4, num_kv_heads=1, head_dim=256, mlp_width=6912,
        query_scale=256**-0.5,
    ),
}  # fmt: skip


def preset(name: str, vocab_size: int, **overrides: Any) -> DecoderConfig:
    """A named decoder shape with the given vocabulary; `overrides` replace single fields.

    The published Gemma 3 vocabulary has 262,144 rows.

    Raises:
        ValueError: no preset has this name.
    """
    if name not in PRESETS:
        raise ValueError(f"no decoder preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return DecoderConfig(**{"vocab_size": vocab_size, **PRESETS[name], **overrides})


def from_hf_config(hf: Mapping[str, Any]) -> DecoderConfig:
    """Reads the `config.json` of a Hugging Face `gemma3_text` model.

    Rotary settings are understood both per layer type (`rope_parameters`, transformers 5) and in the older
    flat fields (`rope_theta`, `rope_local_base_freq`, `rope_scaling`).

    Args:
        hf: the parsed JSON object.

    Raises:
        ValueError: the model is of another type, or uses a setting that this decoder does not compute; the
            message names the setting.
    """
    if hf.get("model_type") != "gemma3_text":
        raise ValueError(
            f"config.json describes a model of type {hf.get('model_type')!r}; only 'gemma3_text' (the "
            "text-only Gemma 3 models, 270M and 1B) can be read"
        )
    # What the decoder computes, and the value Hugging Face assumes where the file is silent.
    fixed = {
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "tie_word_embeddings": True,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "use_bidirectional_attention": False,
    }
    for name, computed in fixed.items():
        # Null and false both mean "without".
        if (found := hf.get(name, computed)) != computed and (found or computed):
            raise ValueError(f"config.json has {name}={found!r}; this decoder computes only {computed!r}")
    try:
        dimensions: dict[str, Any] = dict(
            vocab_size=hf["vocab_size"],
            width=hf["hidden_size"],
            num_layers=hf["num_hidden_layers"],
            num_heads=hf["num_attention_heads"],
            num_kv_heads=hf["num_key_value_heads"],
            head_dim=hf["head_dim"],
            mlp_width=hf["intermediate_size"],
            sliding_window=hf["sliding_window"],
            query_scale=hf["query_pre_attn_scalar"] ** -0.5,
            norm_eps=hf["rms_norm_eps"],
        )
    except KeyError as missing:
        raise ValueError(f"config.json has no field {missing}, which a gemma3_text model needs") from None
    return DecoderConfig(**(dimensions | _hf_rope(hf)), global_every=_hf_global_every(hf))


def _hf_rope(hf: Mapping[str, Any]) -> dict[str, float]:
    per_type = hf.get("rope_parameters")
    if per_type is None:
        local: Mapping[str, Any] = {"rope_theta": hf.get("rope_local_base_freq")}
        whole: Mapping[str, Any] = {"rope_theta": hf.get("rope_theta"), **(hf.get("rope_scaling") or {})}
    else:
        local, whole = (per_type.get(kind) or {} for kind in ("sliding_attention", "full_attention"))
    for kind, rope, allowed in (("local", local, ("default",)), ("global", whole, ("default", "linear"))):
        if (rope_type := rope.get("rope_type", "default")) not in allowed:
            raise ValueError(
                f"config.json gives {kind} layers rope_type={rope_type!r}; this decoder computes only "
                f"{' or '.join(allowed)}"
            )
    return dict(
        rope_base_local=local.get("rope_theta") or 10_000.0,
        rope_base_global=whole.get("rope_theta") or 1_000_000.0,
        rope_scale_global=whole["factor"] if whole.get("rope_type") == "linear" else 1.0,
    )


def _hf_global_every(hf: Mapping[str, Any]) -> int:
    layer_types = hf.get("layer_types")
    if layer_types is None:
        return hf.get("sliding_window_pattern") or hf.get("_sliding_window_pattern") or 6
    is_global = [kind == "full_attention" for kind in layer_types]
    every = is_global.index(True) + 1 if any(is_global) else len(is_global) + 1
    if is_global != [i % every == every - 1 for i in range(hf["num_hidden_layers"])]:
        raise ValueError(
            f"config.json lists layer_types {layer_types}; expected {hf['num_hidden_layers']} entries "
            "(num_hidden_layers) with 'full_attention' at a regular interval"
        )
    return every
