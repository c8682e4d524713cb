"""A leg of a training that goes on on other devices, of the decoders of `matrix_run.py`.

    elastic_run.py FOLDER WHAT STRATEGY MESH PARTS UNTIL [COORDINATOR COUNT INDEX]

Goes on from what is saved in FOLDER until step UNTIL, and prints as JSON, of what was saved before and after, and as it
lies on this leg's devices, the loss on held-out records and greedy answers.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
import tiny
from jax.sharding import NamedSharding, PartitionSpec
from matrix_run import TRAIN, decoder_of, shape_of, start

from biomechjax.command import run
from biomechjax.errors import Stopped
from biomechjax.language.generate import generate
from biomechjax.parallel.processes import Processes, first_process, join_processes
from biomechjax.parallel.runner import Runner, batch_share
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.decoder import answer_loss
from biomechjax.training.loop import fit, prepare

CONFIG = dataclasses.replace(TRAIN, steps=12, log_every=1, save_every=100)


def evaluate(what: str, runner: Runner, state) -> dict:
    config, held_out = shape_of(what), [tiny.record(100 + i, codes=9) for i in range(6)]
    batch = next(tiny.batches(held_out, 64, 8))

    def loss(state):
        params = decoder_of(what, state.params, state.frozen)
        return answer_loss(config, params, batch) / batch["loss_weights"].sum(), params

    here = NamedSharding(runner.mesh, PartitionSpec())
    with jax.set_mesh(runner.mesh):
        value = jax.jit(lambda s: loss(s)[0], out_shardings=here)(state)  # of weights where they lie
        whole = jax.jit(lambda s: loss(s)[1], out_shardings=here)(state)
    params = jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), whole)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (3, 12)).tolist()
    return {"loss": float(value), "answers": generate(config, params, [(x[:7], x[7:]) for x in ids], 8, [])}


def main() -> None:
    folder, what, strategy, mesh, parts, until, *others = sys.argv[1:]
    if others:
        join_processes(Processes(others[0], int(others[1]), int(others[2])))
    shape = [int(n) for n in mesh.split("x")] if mesh else []
    config = dataclasses.replace(CONFIG, accumulate=int(parts))
    Path(folder).mkdir(parents=True, exist_ok=True)

    def begin() -> tuple:
        learner, params, *rest = start(what, "scan", batch_share(strategy, config.batch_size, shape))
        return learner, jax.tree.map(np.asarray, params), *rest

    def saved() -> dict | None:
        checkpoints = Checkpoints(Path(folder))
        step = checkpoints.latest()
        if not step:
            return None
        learner, params, extra, batches, frozen = begin()
        runner, target = prepare(learner, params, extra, config, strategy, frozen, shape)
        state = checkpoints.restore(step, target, batches)
        checkpoints.close()
        state = runner.place_state(dataclasses.replace(state, frozen=frozen))
        return {"step": step, **evaluate(what, runner, runner.whole_state(state))}

    before = saved()
    place, left = Runner.place_batch, int(until) - (before["step"] if before else 0)

    def place_and_stop(self, batch):
        nonlocal left
        left -= 1
        if not left and int(until) < config.steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return place(self, batch)

    Runner.place_batch = place_and_stop
    learner, params, extra, batches, frozen = begin()
    try:
        fit(learner, params, extra, batches, config, Path(folder), strategy, frozen=frozen, mesh=shape)
    except Stopped:
        pass
    after = saved()
    if first_process():
        print(json.dumps([before, after]))


if __name__ == "__main__":
    run(main)
