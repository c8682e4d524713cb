"""Trains both learners a few steps on one and on eight simulated devices, and writes what came out.

Devices are simulated only if asked for before JAX starts, so this is a process of its own, in this environment:

    JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 XLA_FLAGS=--xla_force_host_platform_device_count=8

In double precision: Adam makes of the rounding of a gradient that is next to nothing a share of the learning rate, in
single precision up to 2e-5 of parameters in 20 steps, behind which a mistake could hide.

    device_run.py OUT.npz      arrays NAME/STRATEGY/DEVICES/LEAF, e.g. tokenizer/pmap/8/.params['params']...
"""

import dataclasses
import sys
from collections.abc import Iterator

import jax
import numpy as np
import tiny

from biomechjax.data.windows import window_batches
from biomechjax.errors import InputError
from biomechjax.parallel.strategies import Runner
from biomechjax.tokenizer import averages
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import prepare_features
from biomechjax.training.config import TrainConfig
from biomechjax.training.decoder import decoder_learner
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import init_state, make_step
from biomechjax.training.tokenizer import tokenizer_learner

TRAIN = TrainConfig(steps=10, batch_size=16, learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
TOKENIZER = dataclasses.replace(TRAIN, steps=20)


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
    batches = tiny.batches(records, 128, TRAIN.batch_size, share=share)
    return decoder_learner(tiny.decoder_config()), tiny.decoder_params(), {}, batches


def train(
    learner, params, extra, batches: Iterator, strategy: str, devices: int, config: TrainConfig
) -> dict[str, np.ndarray]:
    """Every leaf of the final state by its path, and the metrics of all steps."""
    params = jax.tree.map(np.float64, params)
    optimizer = make_optimizer(config)
    runner = Runner(strategy, make_step(learner, optimizer, config.seed), jax.devices()[:devices])
    state, log = runner.place_state(init_state(params, extra, optimizer)), []
    for _ in range(config.steps):
        # Reading one device's metrics does not wait for the other devices, and eight of them share a few threads: steps
        # are kept from overlapping, so that none can hold the threads that another waits for.
        state, metrics = jax.block_until_ready(runner.step(state, runner.place_batch(next(batches))))
        log.append(runner.metrics(metrics))
    leaves = jax.tree_util.tree_leaves_with_path(runner.whole_state(state))
    out = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    return out | {f"metrics/{name}": np.array([row[name] for row in log]) for name in log[0]}


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
        "vq_ema": (lambda: tokenizer_run("vq_ema", 1), TOKENIZER),
        "rvq": (lambda: tokenizer_run("rvq", 2), TOKENIZER),
        "decoder": (decoder_run, TRAIN),
    }
    for name, (run, config) in runs.items():
        for strategy, devices in (("dp", 1), ("dp", 8), ("pmap", 8)):
            found = train(*run(), strategy, devices, config)
            out |= {f"{name}/{strategy}/{devices}/{path}": leaf for path, leaf in found.items()}
    out |= {f"refusal/{strategy}": np.array(refusal(strategy)) for strategy in ("dp", "pmap")}
    np.savez(sys.argv[1], **out)


if __name__ == "__main__":
    main()
