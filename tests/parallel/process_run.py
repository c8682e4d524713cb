"""One of several processes that train both learners a few steps together, as `device_run.py` does in one process.

    process_run.py OUT COORDINATOR COUNT INDEX NAME/STRATEGY,... [WHO WHEN STEP]

Runs are written to OUT/NAME/STRATEGY, and a hash of each batch of this process to OUT/batches-INDEX. Process WHO, or
`all`, kills itself: WHEN `step` as it is about to take this step and an earlier one is saved, `save` while this step is
being saved, with its folder begun and its position in the data not written yet.
"""

import dataclasses
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
from device_run import TRAIN, decoder_run, tokenizer_run

from biomechjax.command import run
from biomechjax.parallel.processes import Processes, join_processes
from biomechjax.parallel.runner import Runner, batch_share
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.loop import fit

CONFIG = dataclasses.replace(TRAIN, log_every=1, save_every=3)


def watch(out: Path, index: str, who: str = "", when: str = "", step: str = "0") -> None:
    place, save, log = Runner.place_batch, Checkpoints.save, Path(out, f"batches-{index}")
    dies, seen = who in (index, "all"), []

    def die_once(pattern: str) -> None:
        while not any(out.glob(f"*/*/steps/{pattern}")):
            time.sleep(0.01)  # it is written in the background
        os.kill(os.getpid(), signal.SIGKILL)

    def place_and_note(self, batch):
        parts = [batch[name].tobytes() for name in sorted(batch)]
        seen.append(hashlib.sha256(b"".join(parts)).hexdigest())
        if dies and when == "step" and len(seen) == int(step):
            die_once("[0-9]")
        with log.open("a") as file:
            print(seen[-1], file=file)
        return place(self, batch)

    def save_and_die(self, at, state, data):
        if dies and when == "save" and at == int(step):
            data.get_state = lambda: die_once(f"{step}.*")
        save(self, at, state, data)

    Runner.place_batch, Checkpoints.save = place_and_note, save_and_die


def train() -> None:
    out, coordinator, count, index, runs, *die = sys.argv[1:]
    join_processes(Processes(coordinator, int(count), int(index)))
    assert jax.process_count() == int(count)
    watch(Path(out), index, *die)
    for each in runs.split(","):
        name, strategy = each.split("/")
        share = batch_share(strategy, CONFIG.batch_size)
        learner, params, *more = tokenizer_run("rvq", 2, share) if name == "tokenizer" else decoder_run(share)
        folder = Path(out, name, strategy)
        folder.mkdir(parents=True, exist_ok=True)
        state = fit(learner, jax.tree.map(np.float64, params), *more, CONFIG, folder, strategy)
        assert int(state.step) == CONFIG.steps


if __name__ == "__main__":
    run(train)
