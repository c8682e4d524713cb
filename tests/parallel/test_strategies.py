"""Strategies by name, and the reductions they rest on."""

import jax
import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.parallel.strategies import STRATEGIES, Runner
from biomechjax.reduction import Reduction


def step(state, batch, reduction):
    total = reduction.sum(batch["x"].sum())
    return state + total, {"total": total, "rows": reduction.rows(len(batch["x"])).sum()}


def test_an_unknown_strategy_is_refused():
    with pytest.raises(InputError, match=r"strategy 'fsdb': expected one of \['dp', .*'pmap'.*\]"):
        Runner("fsdb", step)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_state_comes_back_as_it_was_placed(strategy):
    runner = Runner(strategy, step, jax.devices()[:1])
    state = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2)}
    back = runner.whole_state(runner.place_state(state))
    jax.tree.map(np.testing.assert_array_equal, back, state)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_step_sees_the_whole_batch(strategy):
    runner = Runner(strategy, step, jax.devices()[:1])
    state = runner.place_state(np.float32(1))
    state, metrics = runner.step(state, runner.place_batch({"x": np.arange(8, dtype=np.float32)}))
    assert float(runner.whole_state(state)) == 29
    assert runner.metrics(metrics) == {"total": 28.0, "rows": 28.0}


def test_reductions_over_an_axis_equal_those_of_the_whole():
    """`vmap` has named axes too: four devices with three rows each."""
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    reduction, alone = Reduction("data"), Reduction()
    found = jax.vmap(lambda x: (reduction.sum(x.sum(0)), reduction.gather(x), reduction.rows(3)), axis_name="data")(x)
    whole = x.reshape(12, 2)
    for device in range(4):
        np.testing.assert_allclose(found[0][device], alone.sum(whole.sum(0)), rtol=1e-5)
        np.testing.assert_array_equal(found[1][device], alone.gather(whole))
    np.testing.assert_array_equal(found[2].reshape(-1), alone.rows(12))
