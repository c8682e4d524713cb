"""From latents to codes, behind one interface.

However it is learned, a finished quantizer is a table [L,Q,E]: level l of a latent is the code nearest to what the
levels before it leave, and a latent is given back as the sum of its codes. What differs is where the table comes from:

    vq_ema, rvq   running averages of the latents that chose each code, with reset (`averages`)
    fsq           a fixed grid, and latents bounded to it (Mentzer et al. 2024, arXiv:2309.15505)
    simvq         a fixed random table under a linear map that the optimizer learns (Zhu et al. 2024, arXiv:2411.02038)
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from biomechjax.reduction import Reduction
from biomechjax.tokenizer import averages
from biomechjax.tokenizer.config import TokenizerConfig

Metrics = dict[str, Array]
Seen = tuple[Array, Array, Array]
"""Of a batch: inputs [L,N,E] that each level saw, its choice [L,N], and which of them count, valid [L,N]."""


@dataclasses.dataclass(frozen=True)
class Quantizer(abc.ABC):
    """What the losses need to know of a quantizer; by default nothing is learned and latents are taken as they are.

    Attributes:
        commits: whether latents are drawn to their codes by a loss term.
        learned: whether codes are drawn to their latents by a loss term.
    """

    config: TokenizerConfig
    commits: ClassVar[bool] = True
    learned: ClassVar[bool] = False

    def init_params(self, key: Array) -> dict[str, Any]:
        """What the optimizer moves."""
        return {}

    def init_state(self) -> Any:
        """What `update` moves."""
        return {}

    @abc.abstractmethod
    def table(self, params: dict[str, Any], state: Any) -> tuple[Array, Array]:
        """codes [L,Q,E], and whether they can be used yet []."""

    def bound(self, latents: Array) -> Array:
        """Latents [...,E] as the codes are compared with."""
        return latents

    def update(self, state: Any, seen: Seen, key: Array, reduction: Reduction) -> tuple[Any, Metrics]:
        """The state after a batch."""
        return state, use(self.config, seen, reduction)


class Averages(Quantizer):
    """vq_ema and rvq."""

    def init_state(self) -> averages.Codebook:
        return averages.empty(self.config)

    def table(self, params: dict[str, Any], state: averages.Codebook) -> tuple[Array, Array]:
        return state.codes, state.filled[0]

    def update(self, state: Any, seen: Seen, key: Array, reduction: Reduction) -> tuple[Any, Metrics]:
        state, resets = averages.update(self.config, state, *seen, key=key, reduction=reduction)
        return state, use(self.config, seen, reduction) | {"resets": resets}


class FiniteScalar(Quantizer):
    """fsq: axis i of a latent is squashed into (-1, 1) and snaps to the nearest of fsq_levels[i] even points."""

    commits = False

    def table(self, params: dict[str, Any], state: Any) -> tuple[Array, Array]:
        axes = [np.linspace(-1, 1, n) for n in self.config.fsq_levels]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(1, -1, len(axes))
        return jnp.asarray(grid, jnp.float32), jnp.ones((), bool)

    def bound(self, latents: Array) -> Array:
        return jnp.tanh(latents)


class LearnedMap(Quantizer):
    """simvq: every code moves with the one map, so that none is left behind."""

    learned = True

    def init_params(self, key: Array) -> dict[str, Any]:
        return {"map": jnp.eye(self.config.code_width)}

    def table(self, params: dict[str, Any], state: Any) -> tuple[Array, Array]:
        c = self.config
        fixed = np.random.default_rng(0).normal(0, c.code_width**-0.5, (1, c.codebook_size, c.code_width))
        return jnp.asarray(fixed, jnp.float32) @ params["map"], jnp.ones((), bool)


def find_quantizer(config: TokenizerConfig) -> Quantizer:
    """The quantizer that a config names."""
    kinds: dict[str, Callable[[TokenizerConfig], Quantizer]] = {
        "vq_ema": Averages,
        "rvq": Averages,
        "fsq": FiniteScalar,
        "simvq": LearnedMap,
    }
    return kinds[config.quantizer](config)


def quantize(codes: Array, latents: Array, first: Array | None = None) -> tuple[Array, Array]:
    """Residual search: codes [L,Q,E], latents [...,E] -> choice int32 [L,...], and what each level saw [L,...,E].

    `first` [...,E], if given, is what the first level sees instead; what its code leaves of `latents` goes on.
    """
    inputs: list[Array] = []
    choices: list[Array] = []
    for level in codes:
        inputs.append(latents if choices or first is None else first)
        # |z - c|^2 without |z|^2, which does not change the order
        distance = jnp.sum(level**2, axis=-1) - 2 * inputs[-1] @ level.T
        choices.append(jnp.argmin(distance, axis=-1).astype(jnp.int32))
        latents = latents - level[choices[-1]]
    return jnp.stack(choices), jnp.stack(inputs)


def lookup(codes: Array, choice: Array) -> Array:
    """Codes of every level: [L,Q,E], [L,...] -> [L,...,E]; their sum over L is the latent."""
    return jax.vmap(lambda level, index: level[index])(codes, choice)


def use(config: TokenizerConfig, seen: Seen, reduction: Reduction) -> Metrics:
    """perplexity: exp of the entropy of the global batch's code use, as a mean over levels."""
    _, choice, valid = seen
    count = reduction.sum(jnp.sum(jax.nn.one_hot(choice, config.codebook_size) * valid[..., None], axis=1))
    share = count / jnp.maximum(jnp.sum(count, axis=-1, keepdims=True), 1)
    entropy = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)), axis=-1)
    return {"perplexity": jnp.mean(jnp.exp(entropy))}
