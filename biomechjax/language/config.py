"""The shape of a decoder: its dimensions and named presets."""

from dataclasses import dataclass
from typing import Any

COMPUTE_DTYPES = ("float32", "bfloat16")
WORDS = {
    "compute_dtype": COMPUTE_DTYPES,
    "remat": ("none", "products", "full"),
    "attention": ("einsum", "fused"),
}

WHOLE = (
    "vocab_size width num_layers num_heads num_kv_heads head_dim mlp_width sliding_window global_every unroll".split()
)
MOST, MOST_LAYERS = 2**31 - 1, 1000  # layers are listed one by one


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
        for name in WHOLE:
            if type(value := getattr(self, name)) is not int or value > MOST:
                raise ValueError(f"DecoderConfig.{name} is {value!r}; it must be a whole number, at most {MOST}")
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"DecoderConfig.num_layers is {self.num_layers}; it must be at most {MOST_LAYERS}")
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


# What the models of a family share beyond the defaults.
_GEMMA2 = dict(
    sliding_window=4096, global_every=2, rope_base_global=10_000.0, qk_norm=False, attention_soft_cap=50.0,
    logit_soft_cap=30.0,
)  # fmt: skip
_GEMMA3_LONG = dict(sliding_window=1024, rope_scale_global=8.0)

# The small ones are for a CPU, where the scan is best unrolled; their names are the sizes without the
# embedding. The Gemma shapes are those of google/gemma-2-* and google/gemma-3-*, the text part of 4B and above.
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
    "gemma3_4b": dict(
        width=2560, num_layers=34, num_heads=8, num_kv_heads=4, head_dim=256, mlp_width=10240,
        query_scale=256**-0.5, **_GEMMA3_LONG,
    ),
    "gemma3_12b": dict(
        width=3840, num_layers=48, num_heads=16, num_kv_heads=8, head_dim=256, mlp_width=15360,
        query_scale=256**-0.5, **_GEMMA3_LONG,
    ),
    "gemma3_27b": dict(
        width=5376, num_layers=62, num_heads=32, num_kv_heads=16, head_dim=128, mlp_width=21504,
        query_scale=168**-0.5, **_GEMMA3_LONG,
    ),
    "gemma2_2b": dict(
        width=2304, num_layers=26, num_heads=8, num_kv_heads=4, head_dim=256, mlp_width=9216,
        query_scale=256**-0.5, **_GEMMA2,
    ),
    "gemma2_9b": dict(
        width=3584, num_layers=42, num_heads=16, num_kv_heads=8, head_dim=256, mlp_width=14336,
        query_scale=256**-0.5, **_GEMMA2,
    ),
    "gemma2_27b": dict(
        width=4608, num_layers=46, num_heads=32, num_kv_heads=16, head_dim=128, mlp_width=36864,
        query_scale=144**-0.5, **_GEMMA2,
    ),
}  # fmt: skip


def published_vocabulary(name: str) -> int | None:
    """Rows of the embedding of a published Gemma, by its preset; None of others."""
    if name.startswith("gemma2"):
        return 256_000
    return {"gemma3_270m": 262_144, "gemma3_1b": 262_144}.get(name, 262_208 if name.startswith("gemma3") else None)


def preset(name: str, vocab_size: int, **overrides: Any) -> DecoderConfig:
    """A named decoder shape with the given vocabulary; `overrides` replace single fields.

    Raises:
        ValueError: no preset has this name.
    """
    if name not in PRESETS:
        raise ValueError(f"no decoder preset is called {name!r}; choose one of {', '.join(PRESETS)}")
    return DecoderConfig(**{"vocab_size": vocab_size, **PRESETS[name], **overrides})
