"""The training step: a pure function (state, batch) -> (state, metrics), the same for every learner and strategy."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array
from jax.sharding import Mesh

from biomechjax.errors import InputError
from biomechjax.parallel.layout import Axes, by_axes, by_length, like_params
from biomechjax.parallel.runner import Step, replicated
from biomechjax.parallel.strategies import Strategy
from biomechjax.reduction import Reduction

Batch = dict[str, Array]
BAD = "bad"  # the metric of a step that is no good


@struct.dataclass
class TrainState:
    """step []; params that the optimizer moves; its state; extra state that it does not (the codebook); and what is
    never moved, a pretrained base, which is not saved with the state."""

    step: Array
    params: Any
    opt_state: Any
    extra: Any
    frozen: Any = None


@dataclasses.dataclass(frozen=True)
class Learner:
    """What differs between the tokenizer and the decoder.

    Attributes:
        weights: of each loss term in the objective.
        counts: batch -> number of elements under each term; depends on the batch alone.
        sums: (params, state, batch, keys [B]) -> (sum of each term, whatever `update` needs: arrays by row, [B,...]).
        update: (extra, that, key, reduction) -> (extra, metrics).
        axes: of its parameters and of what is frozen; None where they have no names, and are never split.
    """

    weights: dict[str, float]
    counts: Callable[[Batch], dict[str, Array]]
    sums: Callable[[Any, TrainState, Batch, Array], tuple[dict[str, Array], Any]]
    update: Callable[[Any, Any, Array, Reduction], tuple[Any, dict[str, Array]]]
    axes: Axes | None = None


def init_state(params: Any, extra: Any, optimizer: optax.GradientTransformation, frozen: Any = None) -> TrainState:
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), extra, frozen)


def lay_out(state: TrainState, strategy: Strategy, mesh: Mesh, axes: Axes | None) -> TrainState:
    """The sharding of every array of a state; a `Layout` once the axes are given.

    Raises:
        InputError: the strategy splits parameters and these have no named axes, or ones that do not fit.
    """
    if axes is None and {*strategy.rules} != {"batch"}:
        raise InputError(f"strategy {strategy.name} splits more than batches, which a tokenizer cannot be; choose dp")
    where: TrainState = replicated(state, strategy, mesh)
    if axes is None:
        params, frozen = where.params, where.frozen
    else:
        params = by_axes(state.params, axes.params, strategy, mesh, axes.sizes)
        frozen = by_axes(state.frozen, axes.frozen, strategy, mesh, axes.sizes)
    if strategy.moments:
        moments = by_length(state.opt_state, mesh, strategy.moments)
    else:
        moments = like_params(state.opt_state, state.params, params, mesh)
    return dataclasses.replace(where, params=params, opt_state=moments, frozen=frozen)


def make_step(
    learner: Learner,
    optimizer: optax.GradientTransformation,
    seed: int,
    accumulate: int = 1,
    loss_limit: float = math.inf,
    skip: bool = False,
) -> Step:
    """The step of a learner.

    The objective is sum_k weight_k * sum_k / count_k over the global batch. Counts are reduced over devices first and
    are constants of the batch; each device differentiates its part of the sums over the global counts, and the
    gradients add up. Nothing is averaged twice, whatever the devices hold.

    With `accumulate` > 1 the rows are computed in so many parts one after the other, in the memory of one part and that
    of a second gradient; their sums and gradients add up likewise, so the step is the same but for rounding.

    The metric "bad" is 1 where the objective or the gradient is not finite, or the objective is over `loss_limit`, and
    otherwise 0. With `skip` such a step changes nothing but the count of steps; the state of before then stays until
    that is known, which takes memory.
    """

    def step(state: TrainState, batch: Batch, reduction: Reduction) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        rows = reduction.rows(len(next(iter(batch.values()))))
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        counts = {k: jnp.maximum(v, 1) for k, v in reduction.sum(learner.counts(batch)).items()}

        def of_rows(batch: Batch, keys: Array) -> tuple[Any, Any]:
            """(gradient, sum of each term) of these rows, and what they have for `update`."""

            def objective(params: Any) -> tuple[Array, Any]:
                sums, more = learner.sums(params, state, batch, keys)
                objective = jnp.sum(jnp.stack([w * sums[k] / counts[k] for k, w in learner.weights.items()]))
                return objective, (sums, more)

            grads, (sums, more) = jax.grad(objective, has_aux=True)(state.params)
            return (grads, sums), more

        if accumulate == 1:
            found, more = of_rows(batch, keys)
        else:
            found, more = _one_after_the_other(of_rows, accumulate, batch, keys)
        grads, sums = reduction.sum(found)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        extra, metrics = learner.update(state.extra, more, key, reduction)
        losses, norm = {k: sums[k] / counts[k] for k in sums}, optax.tree.norm(grads)
        objective = sum(w * losses[k] for k, w in learner.weights.items())
        good = jnp.isfinite(norm) & (objective <= loss_limit)  # which nan is not
        if skip:
            moved, old = (params, opt_state, extra), (state.params, state.opt_state, state.extra)
            params, opt_state, extra = jax.tree.map(lambda new, x: jnp.where(good, new, x), moved, old)
        metrics |= losses | {"gradient_norm": norm, BAD: 1.0 - good}
        return TrainState(state.step + 1, params, opt_state, extra, state.frozen), metrics

    return step


def _one_after_the_other(of_rows: Callable[..., tuple[Any, Any]], parts: int, *by_row: Any) -> tuple[Any, Any]:
    """`of_rows` of all rows: the sum of what it first returns over the parts, and the rest by row, [B,...].

    Part p has rows p, p + parts, ...: of rows that lie on several devices each part has some of every device, and none
    moves.
    """
    split = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), by_row)
    shapes, _ = jax.eval_shape(of_rows, *jax.tree.map(lambda x: x[0], split))

    def add(total: Any, part: Any) -> tuple[Any, Any]:
        found, more = of_rows(*part)
        return jax.tree.map(jnp.add, total, found), more

    total, more = jax.lax.scan(add, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), split)
    return total, jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), more)
