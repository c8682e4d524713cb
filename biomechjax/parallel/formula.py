"""What a step of the decoder should cost a device, by hand: to hold beside what the compiler says.

Letters as everywhere: B rows, T tokens of a row, D, N, K, H, M, V, L of the decoder; in the notation of "How to Scale
Your Model" (jax-ml.github.io/scaling-book) a mesh has X devices along "data", Y along "model" and C along "context", so
that a device has b = B/X rows of t = T/C tokens; c are the bytes of the compute dtype.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from biomechjax.language.config import DecoderConfig
from biomechjax.language.likelihood import CHUNK, FEW
from biomechjax.parallel.strategies import Strategy


@dataclasses.dataclass(frozen=True)
class Work:
    """A step of a training.

    Attributes:
        shape: of the decoder.
        rows, length, answers: of a batch: B, T, and how many positions of each row have a loss.
        trained: whether the decoder's own weights are; else adapters, of which there are few.
    """

    shape: DecoderConfig
    rows: int
    length: int
    answers: int
    trained: bool

    @property
    def compute_bytes(self) -> int:
        return 2 if self.shape.compute_dtype == "bfloat16" else 4

    @property
    def layer(self) -> int:
        """Elements of the matrices of a layer."""
        s = self.shape
        return s.width * s.head_dim * 2 * (s.num_heads + s.num_kv_heads) + 3 * s.width * s.mlp_width

    @property
    def head(self) -> int:
        return self.shape.vocab_size * self.shape.width


def shard_bytes(tree: Any) -> int:
    """Bytes on one device of what `jax.ShapeDtypeStruct`s with shardings describe."""
    return sum(
        int(np.prod(x.sharding.shard_shape(x.shape))) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(tree)
    )


def activations(work: Work, strategy: Strategy, mesh: Mapping[str, int]) -> dict[str, float]:
    """Bytes on a device beside weights, gradients and the optimizer's state, at the worst moment of a step.

    Returns:
        kept: of all layers, for the backward pass. layer, head: while one layer, or one part of the vocabulary, is
        computed anew and differentiated, of which only the larger is there at a time; with weights gathered for it.
    """
    s, c = work.shape, work.compute_bytes
    x, y, context = _sizes(strategy, mesh)
    b, t = work.rows / x, work.length / context
    tokens, heads, mlp = b * t, s.num_heads / y, s.mlp_width / y
    scores = b * heads * t * work.length * (4 + c)
    products = tokens * ((heads + 2 * s.num_kv_heads) * s.head_dim + 2 * s.width + 2 * mlp) * c
    rest = tokens * (4 * s.width + 2 * mlp + heads * s.head_dim) * c
    kept = tokens * s.width * c
    if s.remat != "full":
        kept += products + (rest + scores if s.remat == "none" else 0)
    positions = b * work.answers / context
    columns = min(s.vocab_size / y, max(CHUNK, FEW / (work.rows * work.answers / context)))
    gathered = "embed" in strategy.rules
    return {
        "kept": s.num_layers * kept,
        "layer": products + rest + scores + gathered * work.layer / y * c,
        "head": columns * positions * 4 * 2 + columns * s.width * (gathered * c + 4 * work.trained),
    }


def sent(work: Work, strategy: Strategy, mesh: Mapping[str, int], trained: float, frozen: float) -> dict[str, float]:
    """Bytes that a device sends in a step, by what they are for; weights are gathered twice, once for either pass.

    Args:
        trained, frozen: elements that are trained, and bytes of what is frozen, as if split along "model" alone.
    """
    s, c = work.shape, work.compute_bytes
    x, y, context = _sizes(strategy, mesh)
    b, t = work.rows / x, work.length / context
    passes = 3 if s.remat == "full" else 2
    shared = (x - 1) / x
    out = {"gradients": 2 * trained * c * shared}
    if strategy.compiler != "jit":  # the step adds up float32 gradients itself, over all devices
        out = {"gradients": 2 * trained * 4 * (1 - 1 / (x * context))}
    if strategy.moments:
        out["parameters"] = trained * 4 * shared
    if "embed" in strategy.rules:
        out = {"gradients": trained * c * shared, "weights": 2 * (work.trained * trained * c + frozen) * shared}
    if "heads" in strategy.rules:
        of_stream = 2 * b * t * s.width * c * (y - 1) / y
        out["activations"] = of_stream * (2 * s.num_layers * passes + 1) + (
            2 * b * work.answers * s.width * c * (y - 1) / y
        )
    if context > 1:
        own = 2 * b * t * s.num_kv_heads * s.head_dim * c
        out["keys and values"] = own * (context - 1) * passes * s.num_layers
    return out


def memory_traffic(work: Work, strategy: Strategy, mesh: Mapping[str, int], state: float, weights: float) -> float:
    """Bytes that a device reads and writes in its memory in a step, about.

    Weights are read for each pass, the state (parameters, gradients, moments) is read and written once, and of every
    token the arrays of a layer and the logits go out and in for each pass.

    Args:
        state: bytes of what the optimizer changes.
        weights: bytes of the weights as the products read them.
    """
    s, c = work.shape, work.compute_bytes
    x, y, context = _sizes(strategy, mesh)
    tokens = work.rows * work.length / x / context
    passes = 4 if s.remat == "full" else 3  # a derivative has two products
    of_layer = tokens * (8 * s.width + (2 * s.num_heads * s.head_dim + 6 * s.mlp_width) / y) * c
    scores = tokens * s.num_heads / y * work.length * (4 + c) / 2
    logits = work.rows * work.answers / x / context * s.vocab_size / y * 4 * 2
    return 2 * state + passes * (weights + s.num_layers * (of_layer + scores) + logits)


def _sizes(strategy: Strategy, mesh: Mapping[str, int]) -> tuple[int, int, int]:
    """X, Y and C."""
    of = strategy.rules
    model, context = of.get("heads"), of.get("length")
    return mesh[of["batch"]], mesh[model] if model else 1, mesh[context] if context else 1
