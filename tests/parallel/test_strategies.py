"""Strategies: their tables, the layouts that follow from them, and the reductions they rest on."""

import jax
import numpy as np
import pytest
import tiny
from jax.sharding import AbstractMesh, PartitionSpec

from biomechjax.errors import InputError
from biomechjax.language.adapters import adapter_axes, freeze, frozen_axes, init_adapters
from biomechjax.language.config import preset
from biomechjax.language.decoder import abstract_params
from biomechjax.language.lora import LoraConfig
from biomechjax.parallel.layout import by_axes, by_length, like_params
from biomechjax.parallel.runner import Runner, batch_share, check_batch
from biomechjax.parallel.strategies import STRATEGIES, Strategy, find_strategy, make_mesh
from biomechjax.reduction import Reduction
from biomechjax.training.config import TokenizerExperiment, TrainConfig
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.tokenizer import train_tokenizer

GEMMA = preset("gemma3_270m", 262_144)
HEADS = {"heads": 4, "kv_heads": 1}


def step(state, batch, reduction):
    total = reduction.sum(batch["x"].sum())
    return state + total, {"total": total, "rows": reduction.rows(len(batch["x"])).sum()}


def specs(strategy: str | Strategy, shape: tuple[int, ...], tree=None, axes=None) -> dict[str, PartitionSpec]:
    """Where the parts of Gemma's weights, or of the tree given, lie."""
    found = find_strategy(strategy) if isinstance(strategy, str) else strategy
    if tree is None:
        tree, axes = abstract_params(GEMMA)
    mesh = AbstractMesh(shape, found.mesh)
    leaves = jax.tree_util.tree_leaves_with_path(by_axes(tree, axes, found, mesh, HEADS))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): s.spec for path, s in leaves}


def test_an_unknown_strategy_is_refused():
    with pytest.raises(InputError, match=r"strategy 'fsdb': expected one of \['cp', 'dp', .*'pmap'.*\]"):
        Runner("fsdb", step)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"rules": {"batch": "data", "width": "data"}},
            "strategy mine: no logical axis width; there are batch, length, vocab",
        ),
        ({"rules": {"batch": "data"}, "whole": ("head",)}, "strategy mine: no logical axis head;"),
        ({"rules": {"batch": "data", "mlp": "model"}}, "strategy mine: mlp goes to mesh axis model; there are data"),
        ({"rules": {"batch": "data"}, "moments": "model"}, "strategy mine: the optimizer goes to mesh axis model"),
        ({"rules": {"mlp": "data"}}, "strategy mine: no rule for batch"),
        ({"rules": {"batch": "data", "mlp": "data"}, "compiler": "pmap"}, "strategy mine: pmap splits batch alone"),
        ({"rules": {"batch": "data", "length": "data"}}, "strategy mine: jit splits batch and vocab and .* alone"),
        (
            {"rules": {"batch": "data", "mlp": "data"}, "compiler": "shard_map"},
            "shard_map splits batch and length alone",
        ),
        ({"rules": {"batch": "data"}, "moments": "data", "compiler": "shard_map"}, "shard_map splits batch and length"),
        ({"rules": {"batch": "data"}, "compiler": "xmap"}, "compiler xmap; there are jit, pmap, shard_map"),
    ],
)
def test_a_table_of_axes_that_do_not_exist_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Strategy("mine", **fields)


def test_two_axes_of_a_weight_on_one_mesh_axis_are_refused():
    both = Strategy("mine", {"batch": "data", "embed": "data", "mlp": "data"})
    with pytest.raises(InputError, match="strategy mine: mlp and embed of layers/mlp/down both go to mesh axis data"):
        specs(both, (2,))


def test_an_axis_that_does_not_divide_is_refused():
    with pytest.raises(
        InputError,
        match=r"strategy tp: heads of 4 in layers/attention/output \[18, 4, 256, 640\] does not divide over mesh axis "
        "model of 8 devices; choose another --mesh",
    ):
        specs("tp", (1, 8))
    strict = Strategy("mine", dict(STRATEGIES["tp"].rules), ("data", "model"))
    with pytest.raises(InputError, match="strategy mine: kv_heads of 1 in layers/attention/key"):
        specs(strict, (1, 2))


def test_weights_lie_as_the_table_says():
    found = specs("fsdp_tp", (2, 4))
    assert found["embedding"] == PartitionSpec("model", "data")
    assert found["layers/attention/query"] == PartitionSpec(None, "data", "model", None)
    assert found["layers/attention/key"] == PartitionSpec(None, "data", None, None)  # a single head stays whole
    assert found["layers/attention/output"] == PartitionSpec(None, "model", None, "data")
    assert found["layers/mlp/down"] == PartitionSpec(None, "model", "data")
    assert found["final_norm/scale"] == PartitionSpec(None)
    assert set(specs("dp", (8,))["embedding"]) == {None}


def test_merged_axes_of_a_frozen_base_are_split_by_whole_heads_or_not_at_all():
    """A map to 1 x 256 outputs would divide by 2, but not its head."""
    shapes, _ = abstract_params(GEMMA)
    for weights in ("bfloat16", "int8", "nf4"):
        frozen = jax.eval_shape(lambda p, weights=weights: freeze(p, weights), shapes)
        found = specs("tp", (1, 2), frozen, frozen_axes(GEMMA, weights))
        part = "/codes" if weights != "bfloat16" else ""
        assert found[f"layers/attention/query{part}"][-1] == "model"
        assert found[f"layers/attention/key{part}"][-1] is None
        assert found[f"layers/mlp/down{part}"][1] == "model"


def test_adapters_lie_as_the_weights_they_adapt():
    lora = LoraConfig(rank=4, targets=("query", "key", "down"))
    adapters = jax.eval_shape(lambda: init_adapters(GEMMA, lora, jax.random.key(0)))
    found = specs("fsdp_tp", (2, 4), adapters, adapter_axes(GEMMA, lora))
    assert found == {
        "attention/key/a": PartitionSpec(None, "data", None),
        "attention/key/b": PartitionSpec(None, None, None),
        "attention/query/a": PartitionSpec(None, "data", None),
        "attention/query/b": PartitionSpec(None, None, "model"),
        "mlp/down/a": PartitionSpec(None, "model", None),
        "mlp/down/b": PartitionSpec(None, None, "data"),
    }


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimizer_state_lies_as_the_parameters_or_by_length(optimizer):
    shapes, axes = abstract_params(GEMMA)
    strategy, mesh = find_strategy("fsdp_tp"), AbstractMesh((2, 4), ("data", "model"))
    params = by_axes(shapes, axes, strategy, mesh, HEADS)
    state = jax.eval_shape(make_optimizer(TrainConfig(1, 1, 1e-3, optimizer=optimizer)).init, shapes)
    found = jax.tree_util.tree_leaves_with_path(like_params(state, shapes, params, mesh))
    named = [(jax.tree_util.keystr(path, simple=True, separator="/"), s.spec) for path, s in found]
    downs = [spec for name, spec in named if name.endswith("mlp/down")]
    assert len(downs) == (1 if optimizer == "muon" else 2)
    assert set(downs) == {PartitionSpec(None, "model", "data")}
    moments = [spec for (_, spec), leaf in zip(named, jax.tree.leaves(state), strict=True) if leaf.size > 1e6]
    assert len(moments) >= 7 and all("data" in spec for spec in moments)

    split = jax.tree.leaves(by_length(state, AbstractMesh((8,), ("data",)), "data"))
    for leaf, s in zip(jax.tree.leaves(state), split, strict=True):
        assert ("data" in s.spec) == any(n % 8 == 0 for n in leaf.shape)


def test_a_tokenizer_is_not_split_and_nothing_is_written(cohort, tmp_path):
    train = TrainConfig(steps=2, batch_size=2, learning_rate=1e-3)
    experiment = TokenizerExperiment(train, model=tiny.TOKENIZER, window=32)
    for strategy in ("fsdp", "cp"):
        with pytest.raises(InputError, match=f"strategy {strategy} splits more than batches, which a tokenizer cannot"):
            train_tokenizer(experiment, [cohort.path], tmp_path / "run", strategy)
    assert not (tmp_path / "run").exists()


def test_the_shape_of_a_mesh():
    one = jax.devices()[:1]
    assert STRATEGIES["fsdp_tp"].shape(8) == (4, 2)
    assert STRATEGIES["fsdp_tp"].shape(16) == (4, 4)
    assert STRATEGIES["tp"].shape(8) == (1, 8)
    assert dict(make_mesh(STRATEGIES["tp"], devices=one).shape) == {"data": 1, "model": 1}
    for shape in ((1,), (2, 1)):
        with pytest.raises(InputError, match="strategy tp spreads 1 devices over data x model"):
            make_mesh(STRATEGIES["tp"], shape, one)
    assert batch_share("fsdp_tp", 6) == (0, 1)


def test_rows_that_do_not_divide_over_a_mesh_are_refused():
    check_batch(STRATEGIES["cp"], AbstractMesh((2, 4), ("data", "context")), 6, (128, 64))
    with pytest.raises(InputError, match="rows of 128 and of 42 over 4 devices; choose --row-length and --row-answers"):
        check_batch(STRATEGIES["cp"], AbstractMesh((2, 4), ("data", "context")), 6, (128, 42))
    with pytest.raises(InputError, match="batch of 6 rows on 4 devices; choose a --train.batch-size"):
        check_batch(STRATEGIES["fsdp"], AbstractMesh((4,), ("data",)), 6, (128, 42))


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
    state, metrics = runner.step(state, runner.place_batch({"x": np.arange(8, dtype=np.float32).reshape(4, 2)}))
    assert float(runner.whole_state(state)) == 29
    assert runner.metrics(metrics) == {"total": 28.0, "rows": 6.0}


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
