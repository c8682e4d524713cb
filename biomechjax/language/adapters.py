"""What is learned of a pretrained decoder: adapters of its linear maps and rows of its embedding, a tree of their own.

base (frozen)                       adapters (learned)                     adapt(base, adapters) -> parameters
layers/attention/query [L,D,N,H]    layers/attention/query/{a,b}           layers/attention/query: Adapted
embedding [V,D]                     rows [n,D]                             embedding: Extended
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import PartitionSpec

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.lora import TARGETS, LoraConfig
from biomechjax.language.weights import Adapted, Extended, Quantized, merged, quantize

BLOCK_OF = {name: "attention" if name in ("query", "key", "value", "output") else "mlp" for name in TARGETS}
BASE_WEIGHTS = ("float32", "bfloat16", "int8", "nf4")


def inputs_of(name: str, shape: tuple[int, ...]) -> int:
    """How many inputs a stacked linear map [L, ...] has; the output projection's are spread over two axes."""
    return math.prod(shape[1:-1]) if name == "output" else shape[1]


def init_adapters(config: DecoderConfig, lora: LoraConfig, key: Array) -> dict[str, Any]:
    """`layers` of the adapters in float32: `a` drawn for unit variance, `b` zero, so that nothing changes at first."""
    shapes, _ = abstract_params(config)
    layers: dict[str, Any] = {}
    for number, name in enumerate(TARGETS):
        if name not in lora.targets:
            continue
        shape = shapes["layers"][BLOCK_OF[name]][name].shape
        inputs = inputs_of(name, shape)
        a = jax.random.normal(jax.random.fold_in(key, number), (shape[0], inputs, lora.rank)) * inputs**-0.5
        b = jnp.zeros((shape[0], lora.rank, math.prod(shape[1:]) // inputs))
        layers.setdefault(BLOCK_OF[name], {})[name] = {"a": a, "b": b}
    return layers


def adapter_axes(config: DecoderConfig, lora: LoraConfig) -> dict[str, Any]:
    """Logical axes (PartitionSpec) of what `init_adapters` returns: the weight's inputs of `a`, its outputs of `b`."""
    whole = frozen_axes(config, "float32")["layers"]
    axes: dict[str, Any] = {}
    for name in lora.targets:
        layers, inputs, outputs = whole[BLOCK_OF[name]][name]
        pair = {"a": PartitionSpec(layers, inputs, None), "b": PartitionSpec(layers, None, outputs)}
        axes.setdefault(BLOCK_OF[name], {})[name] = pair
    return axes


def freeze(params: Params, weights: str) -> Params:
    """A base as it is kept while adapters are learned: linear maps [L,in,out] and the embedding in `weights`.

    The embedding, which nf4 and int8 would hurt where it is the head, is bfloat16 with them; norms are float32.

    Raises:
        ValueError: `weights` is none of BASE_WEIGHTS.
    """
    if weights not in BASE_WEIGHTS:
        raise ValueError(f"base weights {weights!r}; choose one of {', '.join(BASE_WEIGHTS)}")
    plain = weights if weights in ("float32", "bfloat16") else "bfloat16"

    def form(path: tuple[Any, ...], weight: Array) -> Any:
        name = path[-1].key
        if name not in TARGETS:
            return jnp.asarray(weight, plain if name == "embedding" else jnp.float32)
        flat = jnp.asarray(weight).reshape(len(weight), inputs_of(name, weight.shape), -1)
        return flat.astype(plain) if weights == plain else quantize(flat, weights)

    return jax.tree_util.tree_map_with_path(form, params)


def frozen_axes(config: DecoderConfig, weights: str) -> Params:
    """Logical axes (PartitionSpec) of what `freeze` returns: codes and scales have those of the weight.

    Where axes of the weight were merged the first names them. Of an nf4 weight the inputs are tiles.
    """
    _, axes = abstract_params(config)

    def form(path: tuple[Any, ...], spec: PartitionSpec) -> Any:
        name = path[-1].key
        if name not in TARGETS:
            return spec
        layers, inputs, outputs = spec[0], spec[1], spec[-1] if name == "output" else spec[2]
        flat: Any = PartitionSpec(layers, inputs, outputs)
        if weights == "nf4":
            codes: Any = PartitionSpec(layers, inputs, None, outputs)
            return Quantized(codes, flat, weights)
        if weights == "int8":
            scale: Any = PartitionSpec(layers, None, outputs)
            return Quantized(flat, scale, weights)
        return flat

    return jax.tree_util.tree_map_with_path(form, axes, is_leaf=lambda x: isinstance(x, PartitionSpec))


def adapt(base: Params, adapters: dict[str, Any], lora: LoraConfig, offset: int) -> Params:
    """Parameters of the adapted decoder; `rows` of the adapters are those of the embedding from `offset` on.

    Raises:
        ValueError: the adapters have other keys than the configuration calls for, or shapes that do not fit.
    """
    expected = {(BLOCK_OF[name], name) for name in lora.targets}
    found = {(block, name) for block, by_name in adapters["layers"].items() for name in by_name}
    if wrong := sorted("/".join(key) for key in found ^ expected):
        raise ValueError(f"adapters of {', '.join(wrong)} are missing or not used; targets are {lora.targets}")
    layers = {block: dict(weights) for block, weights in base["layers"].items()}
    for block, name in sorted(expected):
        pair, weight = adapters["layers"][block][name], layers[block][name]
        shape = (weight.scale if isinstance(weight, Quantized) else weight).shape
        if pair["a"].shape[-1] != lora.rank or pair["b"].shape[-2:] != (lora.rank, shape[-1]):
            raise ValueError(
                f"adapters of {name} have shapes {pair['a'].shape} and {pair['b'].shape}; expected rank {lora.rank} "
                f"and {shape[-1]} outputs"
            )
        layers[block][name] = Adapted(weight, pair["a"], pair["b"], lora.scale, lora.dropout)
    return {**base, "layers": layers, "embedding": Extended(base["embedding"], adapters["rows"], offset)}


def merge(config: DecoderConfig, params: Params) -> Params:
    """Any parameters as plain float32 arrays on the host, shaped as those of `init_params`."""
    shapes, _ = abstract_params(config)

    def plain(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct) -> np.ndarray:
        weight: Any = params
        for step in path:
            weight = weight[step.key]
        if isinstance(weight, Extended):
            whole = np.array(weight.embedding, np.float32)
            whole[weight.offset : weight.offset + len(weight.rows)] = weight.rows
            return whole
        return np.asarray(merged(weight)).reshape(shape.shape)

    return jax.tree_util.tree_map_with_path(plain, shapes)
