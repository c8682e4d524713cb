"""The step: sums over counts of the whole batch, and what the optimizer decays."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from biomechjax.data.windows import window_batches
from biomechjax.errors import InputError
from biomechjax.reduction import Reduction
from biomechjax.tokenizer import averages, losses
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer
from biomechjax.tokenizer.tokenizer import prepare_features
from biomechjax.training.config import DecoderExperiment, TrainConfig
from biomechjax.training.decoder import answer_loss, decoder_learner, from_scratch
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import Learner, init_state, make_step
from biomechjax.training.tokenizer import tokenizer_learner

TRAIN = TrainConfig(steps=10, batch_size=4, learning_rate=1e-2, warmup_steps=0)


def slope(params, extra, batch, keys):
    """Two terms over different numbers of elements: (w x - y)^2 and |w|."""
    error = batch["there"] * (params["w"] * batch["x"] - batch["y"]) ** 2
    return {"fit": jnp.sum(error), "size": jnp.sum(jnp.abs(params["w"]) * jnp.ones(len(keys)))}, None


LEARNER = Learner(
    {"fit": 1.0, "size": 0.1},
    lambda batch: {"fit": jnp.sum(batch["there"]), "size": jnp.sum(jnp.ones(len(batch["x"])))},
    slope,
    lambda extra, _, key, reduction: (extra, {"draw": jax.random.uniform(key)}),
)


def batch() -> dict[str, np.ndarray]:
    """Rows with 1, 3, 0 and 2 elements: a mean of row means would be another number."""
    rng = np.random.default_rng(0)
    there = (np.arange(3) < np.array([[1], [3], [0], [2]])).astype(np.float32)
    return {"x": rng.normal(size=(4, 3)), "y": rng.normal(size=(4, 3)), "there": there}


def test_objective_and_gradient_by_hand():
    plain = optax.sgd(1.0)
    state = init_state({"w": jnp.array(0.7)}, {}, plain)
    after, metrics = jax.jit(lambda s, b: make_step(LEARNER, plain, 0)(s, b, Reduction()))(state, batch())
    b = batch()
    seen = b["there"] > 0
    error = 0.7 * b["x"][seen] - b["y"][seen]
    assert float(metrics["fit"]) == pytest.approx(np.mean(error**2), rel=1e-5)
    assert float(metrics["size"]) == pytest.approx(0.7)
    gradient = np.mean(2 * error * b["x"][seen]) + 0.1
    assert float(after.params["w"]) == pytest.approx(0.7 - gradient, rel=1e-5)
    assert float(metrics["gradient_norm"]) == pytest.approx(abs(gradient), rel=1e-5)
    assert int(after.step) == 1


def drawn(params, extra, batch, keys):
    """As `slope`, with noise of each row's own key, and what each row is."""
    sums, _ = slope(params, extra, batch | {"x": batch["x"] + jax.vmap(jax.random.normal)(keys)[:, None]}, keys)
    return sums, (batch["x"], jax.vmap(jax.random.uniform)(keys))


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_one_batch(parts):
    """Rows with 1, 3, 0 and 2 elements: parts weigh differently, and rows keep their randomness and their order."""

    def update(extra, more, key, reduction):
        return jax.tree.map(lambda x: x * 1.0, more), {"draw": jax.random.uniform(key)}

    plain, rows = optax.sgd(1.0), batch()
    learner = Learner(LEARNER.weights, LEARNER.counts, drawn, update)
    state = init_state({"w": jnp.array(0.7)}, (jnp.zeros((4, 3)), jnp.zeros(4)), plain)
    (one, expected), (other, found) = (
        jax.jit(lambda s, b, n=n: make_step(learner, plain, 0, n)(s, b, Reduction()))(state, rows) for n in (1, parts)
    )
    np.testing.assert_allclose(other.params["w"], one.params["w"], rtol=1e-6)
    assert found.keys() == expected.keys()
    for name in found:
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-6), name
    np.testing.assert_array_equal(one.extra[0], rows["x"].astype(np.float32))
    for a, b in zip(one.extra, other.extra, strict=True):
        np.testing.assert_array_equal(b, a)


@pytest.mark.slow
def test_a_batch_in_parts_takes_the_memory_of_one():
    """Of what is computed and not kept: activations of 32 rows, or of 4 beside a second gradient."""
    config, params, optimizer = tiny.decoder_config(), tiny.decoder_params(), make_optimizer(TRAIN)
    rows = next(tiny.batches([tiny.record(i, codes=8 + i) for i in range(6)], 64, 32))

    def temporary(parts: int) -> int:
        step = make_step(decoder_learner(config), optimizer, 0, parts)
        compiled = (
            jax.jit(lambda s, b: step(s, b, Reduction())).lower(init_state(params, {}, optimizer), rows).compile()
        )
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(8) < temporary(1) / 3


@pytest.mark.slow
def test_a_tokenizer_in_parts_fills_its_codebook_as_in_one():
    """The codebook is filled and reset from all rows of a batch, by key and in order."""
    config = dataclasses.replace(
        tiny.TOKENIZER, quantizer="rvq", levels=2, reset_below=0.9, ema_decay=0.5, channel_dropout=0.5
    )
    model = Autoencoder(config, tiny.FORMAT.size)
    learner = tokenizer_learner(model, tiny.FORMAT)
    walks = [tiny.walk(i, 40 + 9 * i) for i in range(6)]
    items = [(prepare_features(r, 30.0, tiny.tokenizer().statistics["walker"])[0], r.observed) for r in walks]
    batches = list(itertools.islice(window_batches([items], 32, 8, 0), 3))
    optimizer, states, resets = make_optimizer(TRAIN), [], []
    for parts in (1, 4):
        step = jax.jit(lambda s, b, n=parts: make_step(learner, optimizer, 0, n)(s, b, Reduction()))
        state = init_state(tiny.tokenizer().params | {"quantizer": {}}, averages.empty(config), optimizer)
        for rows in batches:
            state, metrics = step(state, rows)
            resets.append(int(metrics["resets"]))
        states.append(state)
    one, other = states
    assert resets[:3] == resets[3:] and sum(resets) > 0

    @jax.jit
    def updated(state, rows, keys, key):
        """By the learner, and from what the losses saw."""
        _, by_row = learner.sums(state.params, state, rows, keys)
        _, seen = losses.sums(model, tiny.FORMAT, state.params, state.extra, rows, keys)
        assert {len(x) for x in by_row} == {8}
        direct = find_quantizer(config).update(state.extra, seen, key, Reduction())
        return learner.update(state.extra, by_row, key, Reduction()), direct

    found, direct = updated(one, batches[0], jax.random.split(jax.random.key(1), 8), jax.random.key(2))
    jax.tree.map(np.testing.assert_array_equal, found, direct)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5), one.extra, other.extra)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5), one.params, other.params)


@pytest.mark.parametrize("parts", [0, 3])
def test_parts_that_do_not_divide_a_batch_are_refused(parts):
    with pytest.raises(InputError, match=f"--train.accumulate {parts}: expected .* --train.batch-size of 4"):
        dataclasses.replace(TRAIN, accumulate=parts)


def test_every_step_draws_anew_and_by_seed():
    def draws(seed):
        optimizer = make_optimizer(TRAIN)
        step = jax.jit(lambda s, b: make_step(LEARNER, optimizer, seed)(s, b, Reduction()))
        state, out = init_state({"w": jnp.array(0.7)}, {}, optimizer), []
        for _ in range(3):
            state, metrics = step(state, batch())
            out.append(float(metrics["draw"]))
        return out

    assert draws(1) == draws(1)
    assert len(set(draws(1) + draws(2))) == 6


def test_answer_loss_is_the_mean_over_answer_tokens_of_all_rows():
    config, params = tiny.decoder_config(), tiny.decoder_params()
    records = [tiny.record(i, codes=8 + 15 * i) for i in range(6)]
    packed = next(tiny.batches(records, 128, 3))
    rows = [{k: v[i : i + 1] for k, v in packed.items()} for i in range(3)]
    sizes = [int(r["loss_weights"].sum()) for r in rows]
    assert len(set(sizes)) > 1
    loss = jax.jit(lambda b: answer_loss(config, params, b))
    total = sum(float(loss(r)) for r in rows)
    assert float(loss(packed)) == pytest.approx(total, rel=1e-5)

    optimizer = make_optimizer(TRAIN)
    step = jax.jit(lambda s, b: make_step(decoder_learner(config), optimizer, 0)(s, b, Reduction()))
    _, metrics = step(init_state(params, {}, optimizer), packed)
    assert float(metrics["answer"]) == pytest.approx(total / sum(sizes), rel=1e-5)


@pytest.mark.parametrize(("asked", "expected"), [(0, 4), (2, 2)])
def test_an_experiment_says_how_many_layers_are_unrolled(asked, expected):
    experiment = DecoderExperiment(TRAIN, preset="1m", unroll=asked, remat="full")
    shape = from_scratch(experiment, tiny.tokenizer(), 1, tiny.vocabulary()).shape
    assert (shape.unroll, shape.remat) == (expected, "full")
