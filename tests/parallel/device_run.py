"""Trains both learners a few steps on one and on eight simulated devices, and writes what came out.

Devices are simulated only if asked for before JAX starts, so this is a process of its own, in this environment:

    JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 XLA_FLAGS=--xla_force_host_platform_device_count=8

In double precision: Adam makes of the rounding of a gradient that is next to nothing a share of the learning rate, in
single precision up to 2e-5 of parameters in 20 steps, behind which a mistake could hide.

    device_run.py OUT.npz      arrays NAME/STRATEGY/DEVICES/LEAF, e.g. rvq/pmap/8/.params['params']...;
                               bytes/NAME/STRATEGY, of parameters and of the optimizer on the first device;
                               restored/STRATEGY, the largest difference between what fsdp_tp saved on eight devices
                               and what is restored on four
"""

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grain
import jax
import numpy as np
import tiny
from jax.sharding import NamedSharding, PartitionSpec

from biomechjax.data.windows import window_batches
from biomechjax.errors import InputError
from biomechjax.language.adapters import freeze, init_adapters
from biomechjax.language.lora import LoraConfig
from biomechjax.parallel.runner import Runner
from biomechjax.parallel.strategies import STRATEGIES
from biomechjax.tokenizer import averages
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import prepare_features
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.config import AdaptConfig, TrainConfig
from biomechjax.training.decoder import adapter_learner, decoder_learner
from biomechjax.training.loop import prepare
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import TrainState, init_state, lay_out, make_step
from biomechjax.training.tokenizer import tokenizer_learner

TRAIN = TrainConfig(steps=10, batch_size=16, learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
TOKENIZER = dataclasses.replace(TRAIN, steps=20)
MESHES = {("tp", 8): (2, 4), ("cp", 8): (2, 4)}  # there are four heads


def tokenizer_run(quantizer: str, levels: int, share: tuple[int, int] = (0, 1)):
    """Ragged walks with missing channels, shorter and longer than the window; dropout on, and frequent resets."""
    config = dataclasses.replace(
        tiny.TOKENIZER, quantizer=quantizer, levels=levels, channel_dropout=0.5, reset_below=0.6, ema_decay=0.7
    )
    model = Autoencoder(config, tiny.FORMAT.size)
    walks = [tiny.walk(i, 20 + 9 * i, hidden=["x", "knee_l"][: i % 3]) for i in range(10)]
    statistics = tiny.tokenizer().statistics["walker"]
    items = [(prepare_features(r, config.rate_hz, statistics)[0], r.observed) for r in walks]
    params = tiny.tokenizer().params | {"quantizer": {}}
    batches = window_batches([items], 32, TRAIN.batch_size, 0, *share)
    return tokenizer_learner(model, tiny.FORMAT), params, averages.empty(config), batches


def decoder_run(share: tuple[int, int] = (0, 1)):
    records = [tiny.record(i, codes=8 + 2 * i) for i in range(12)]
    batches = tiny.batches(records, 128, TRAIN.batch_size, room=48, share=share)  # 48: each of eight has some
    return decoder_learner(tiny.decoder_config()), tiny.decoder_params(), {}, batches


def adapters_run():
    """Dropout on; a base in int8, since the tiny decoder is narrower than a tile of nf4."""
    config, how = tiny.decoder_config(), AdaptConfig("lora", LoraConfig(rank=4), weights="int8", row_start="covariance")
    learned = {"layers": init_adapters(config, how.lora, jax.random.key(0)), "rows": np.ones((18, 32), np.float32)}
    frozen = {"base": freeze(tiny.decoder_params(), how.weights), "size": np.float32(0.1)}
    learner = adapter_learner(config, how, tiny.vocabulary().motion_start)
    return learner, learned, {}, decoder_run()[3], frozen


def train(
    learner,
    params,
    extra,
    batches: Iterator,
    frozen,
    strategy: str,
    devices: int,
    config: TrainConfig,
    dtype=np.float64,
) -> tuple[Runner, TrainState, dict[str, np.ndarray]]:
    """The final state, every leaf of it by its path, and the metrics of all steps."""
    params = jax.tree.map(dtype, params)
    optimizer = make_optimizer(config)
    step = make_step(learner, optimizer, config.seed, config.accumulate)
    layout = partial(lay_out, axes=learner.axes)
    runner = Runner(strategy, step, jax.devices()[:devices], MESHES.get((strategy, devices), ()), layout)
    state, log = runner.place_state(init_state(params, extra, optimizer, frozen)), []
    for _ in range(config.steps):
        # Reading one device's metrics does not wait for the other devices, and eight of them share a few threads: steps
        # are kept from overlapping, so that none can hold the threads that another waits for.
        state, metrics = jax.block_until_ready(runner.step(state, runner.place_batch(next(batches))))
        log.append(runner.metrics(metrics))
    whole = dataclasses.replace(runner.whole_state(state), frozen=None)
    if jax.process_count() > 1:  # each has parts of it
        where = NamedSharding(runner.mesh, PartitionSpec())
        whole = jax.tree.map(lambda x: x.addressable_data(0), jax.jit(lambda x: x, out_shardings=where)(whole))
    leaves = jax.tree_util.tree_leaves_with_path(whole)
    out = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    return runner, state, out | {f"metrics/{name}": np.array([row[name] for row in log]) for name in log[0]}


def bytes_of(tree) -> int:
    """On the first device."""
    return sum(leaf.addressable_data(0).nbytes for leaf in jax.tree.leaves(tree))


def restored(runner: Runner, state: TrainState, learner, strategy: str, folder: Path) -> float:
    """The largest difference to a saved state once it is restored on four devices under another strategy."""
    layout = partial(lay_out, axes=learner.axes)
    other = Runner(strategy, runner.step, jax.devices()[:4], (), layout)
    whole, checkpoints = runner.whole_state(state), Checkpoints(folder)
    if checkpoints.latest() is None:
        checkpoints.save(1, whole, iter(grain.MapDataset.range(9).to_iter_dataset()))
        checkpoints.manager.wait_until_finished()
    found = checkpoints.restore(1, other.describe_state(whole), iter(grain.MapDataset.range(9).to_iter_dataset()))
    checkpoints.close()
    found = other.whole_state(other.place_state(found))
    assert all(len(x.sharding.device_set) == 4 for x in jax.tree.leaves(found))
    return max(
        float(np.abs(np.asarray(a) - b).max()) for a, b in zip(*map(jax.tree.leaves, (found, whole)), strict=True)
    )


def refused_parts() -> str:
    """What is said about 16 rows on eight devices in four parts."""
    learner, params, extra, _ = decoder_run()
    try:
        prepare(learner, params, extra, dataclasses.replace(TRAIN, accumulate=4), "dp")
    except InputError as error:
        return str(error)
    return ""


def refusal(strategy: str) -> str:
    """What is said about a batch that does not divide by eight devices."""
    runner = Runner(strategy, lambda state, batch, reduction: (state, {}))
    try:
        runner.place_batch({"tokens": np.zeros((12, 4), np.int32)})
    except InputError as error:
        return str(error)
    return ""


def main() -> None:
    assert len(jax.devices()) == 8
    out: dict[str, np.ndarray] = {}
    runs = {
        "vq_ema": (lambda: (*tokenizer_run("vq_ema", 1), None), TOKENIZER, ["dp", "pmap"]),
        "rvq": (lambda: (*tokenizer_run("rvq", 2), None), TOKENIZER, ["dp", "pmap", "zero1"]),
        "rvq_parts": (
            lambda: (*tokenizer_run("rvq", 2), None),
            dataclasses.replace(TOKENIZER, accumulate=2),
            ["dp", "pmap"],
        ),
        "decoder": (lambda: (*decoder_run(), None), TRAIN, [*STRATEGIES]),
        "adapters": (adapters_run, TRAIN, ["fsdp_tp"]),
    }
    for name, (run, config, strategies) in runs.items():
        for strategy, devices in (("dp", 1), *((s, 8) for s in strategies)):
            given = run()
            runner, state, found = train(*given, strategy, devices, config)
            out |= {f"{name}/{strategy}/{devices}/{path}": leaf for path, leaf in found.items()}
            if devices == 8:
                out[f"bytes/{name}/{strategy}"] = np.array([bytes_of(state.params), bytes_of(state.opt_state)])
            if (name, strategy) == ("decoder", "fsdp_tp"):
                with tempfile.TemporaryDirectory() as folder:
                    for other in STRATEGIES:
                        found = restored(runner, state, given[0], other, Path(folder))
                        out[f"restored/{other}"] = np.array(found)
    out |= {f"refusal/{strategy}": np.array(refusal(strategy)) for strategy in ("dp", "pmap")}
    out["refusal/parts"] = np.array(refused_parts())
    np.savez(sys.argv[1], **out)


if __name__ == "__main__":
    main()
