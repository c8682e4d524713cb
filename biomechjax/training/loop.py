"""The training loop, shared by the tokenizer and the decoder."""

import dataclasses
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from biomechjax.errors import InputError, Stopped
from biomechjax.parallel.processes import first_process
from biomechjax.parallel.runner import Runner, spread
from biomechjax.training.bad_steps import BadSteps
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.config import SKIP, TrainConfig
from biomechjax.training.log import PACE, Log
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import BAD, Learner, TrainState, init_state, lay_out, make_step


def prepare(
    learner: Learner,
    params: Any,
    extra: Any,
    config: TrainConfig,
    strategy: str,
    frozen: Any = None,
    mesh: Sequence[int] = (),
    devices: Sequence[jax.Device] | None = None,
) -> tuple[Runner, TrainState]:
    """The step of a training, for `fit`, and its state as described by `Runner.describe_state`; nothing is computed.

    The devices, by default all of all processes, need not be there.

    Raises:
        InputError: strategy, mesh, devices, parameters and the batch with its parts do not fit together.
    """
    optimizer = make_optimizer(config)
    step = make_step(learner, optimizer, config.seed, config.accumulate, config.loss_limit, config.bad_steps == SKIP)
    runner = Runner(strategy, step, devices, mesh, partial(lay_out, axes=learner.axes))
    share, parts = runner.mesh.shape[runner.axis], config.accumulate
    if config.batch_size % (share * parts):
        raise InputError(
            f"--train.batch-size {config.batch_size}: expected a multiple of {share * parts}, for {share} devices "
            f"that share it and --train.accumulate {parts}"
        )
    shapes = jax.eval_shape(partial(init_state, optimizer=optimizer), params, extra, frozen=frozen)
    return runner, runner.describe_state(shapes)


def fit(
    learner: Learner,
    params: Any,
    extra: Any,
    batches: Iterator[dict[str, np.ndarray]],
    config: TrainConfig,
    folder: Path,
    strategy: str,
    report: Callable[[int, TrainState], dict[str, Any]] | None = None,
    frozen: Any = None,
    mesh: Sequence[int] = (),
) -> TrainState:
    """Trains to `config.steps`, resuming from the newest step in `folder`, and returns the final state.

    Called by all processes of a training alike; the first one logs and reports.

    Args:
        batches: a grain iterator over this process's share of the batches; its position is saved with the state.
        strategy, mesh: a word of parallel/strategies.py, and its devices along each axis or nothing for the usual; a
            run may be resumed under another.
        report: called with (step, state) at each save, for held-out metrics that join the log (JSON values). One that a
            stop came in the way of is made up for when the run goes on.
        frozen: what the learner needs beside the parameters and nothing moves; it is not saved.

    Raises:
        Stopped: after a signal; the state was saved.
        BadStep: a loss is not finite or too large, as `config.bad_steps` says.
        Unwritable: a step could not be saved.
    """
    runner, target = prepare(learner, params, extra, config, strategy, frozen, mesh)
    checkpoints = Checkpoints(folder)
    report = report if first_process() else None
    # Resume order: abstract state, saved step, data position; only then are arrays placed for the strategy.
    first = checkpoints.latest() or 0
    if first:
        moved = checkpoints.restore(first, target, batches)
    else:
        # The optimizer's state is made where it belongs; for a large model it would not fit a single device.
        params = spread(params, target.params)
        where = jax.tree.map(lambda x: x.sharding, target.opt_state)
        init = jax.jit(make_optimizer(config).init, out_shardings=where)
        moved = TrainState(jnp.zeros((), jnp.int32), params, init(params), extra)
    state = runner.place_state(dataclasses.replace(moved, frozen=frozen))

    with _stop_signals() as stop, Log(folder, first, config.steps) as log:
        log.console.print(f"{folder}: steps {first} to {config.steps} on {runner.mesh.size} device(s), {strategy}")
        due = first > 0 and (first % config.save_every == 0 or first == config.steps)
        if report and due and not log.reported:
            log.write({"step": first, **report(first, runner.whole_state(state))})
        since, at = time.perf_counter(), first
        step, bad_steps, unseen = first, BadSteps(folder, config), deque[tuple[int, Any, dict[str, np.ndarray]]]()
        while step < config.steps:
            step, batch = step + 1, next(batches)
            state, metrics = runner.step(state, runner.place_batch(batch))
            # Once: a signal that comes later in this step waits for the next.
            stopping = bool(stop) or multihost_utils.reached_preemption_sync_point(step)
            saving = step % config.save_every == 0 or step == config.steps or stopping
            logging = saving or step % config.log_every == 0
            unseen.append((step, metrics, batch))
            # A step is looked at while the next one is under way, so that no device waits, and before it is saved.
            back, good, row = None, True, dict[str, float]()
            while back is None and len(unseen) > (0 if logging else 1):
                number, found, read = unseen.popleft()
                row = runner.metrics(found)
                good = not row.pop(BAD)
                if not good:
                    checkpoints.finish()
                    back = bad_steps.found(number, row, read, checkpoints.latest())
                    then = f"back to step {back}" if back is not None else "left out"
                    log.console.print(f"step {number}: {row}: {then}", soft_wrap=True)
            if back is not None:
                restored = checkpoints.restore(back, target)
                state = runner.place_state(dataclasses.replace(restored, frozen=frozen))
                log.back_to(back)
                unseen.clear()
                step, since, at = back, time.perf_counter(), back
                continue
            if logging and good:
                now = time.perf_counter()
                pace, since, at = (now - since) / (step - at), now, step
                log.write({"step": step, **row, PACE: pace})
            if saving:
                whole = runner.whole_state(state)
                checkpoints.save(step, whole, batches)
                if report and not stopping:
                    log.write({"step": step, **report(step, whole)})
                    since, at = time.perf_counter(), step
            if stopping:
                checkpoints.close()
                raise Stopped(f"stopped and saved at step {step} of {config.steps}; run the same command to go on")
    checkpoints.close()
    return runner.whole_state(state)


class _stop_signals:
    """Collects SIGINT and SIGTERM while the block runs; truthy list once one came.

    Of several processes JAX watches for SIGTERM, and agrees between them on the step at which all stop
    (`reached_preemption_sync_point`); there SIGINT is passed on as SIGTERM.
    """

    def __enter__(self) -> list[int]:
        seen: list[int] = []
        if jax.process_count() == 1:
            self.old = {s: signal.signal(s, lambda n, _: seen.append(n)) for s in (signal.SIGINT, signal.SIGTERM)}
        else:
            passed_on = signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            self.old = {signal.SIGINT: passed_on}
        return seen

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)
