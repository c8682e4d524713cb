"""One of several processes that train both learners a few steps together, as `device_run.py` does in one process.

    process_run.py OUT COORDINATOR COUNT INDEX NAME/STRATEGY,... [DIE_AT]

Runs are written to OUT/NAME/STRATEGY, and a hash of each batch of this process to OUT/batches-INDEX; with DIE_AT the
process kills itself when it is about to take this step and an earlier one is saved.
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

from biomechjax.parallel.processes import Processes, join_processes
from biomechjax.parallel.runner import Runner, batch_share
from biomechjax.training.loop import fit

CONFIG = dataclasses.replace(TRAIN, log_every=1, save_every=3)


def watch(out: Path, index: str, die_at: int) -> None:
    place, log = Runner.place_batch, Path(out, f"batches-{index}")
    seen = []

    def place_and_note(self, batch):
        parts = [batch[name].tobytes() for name in sorted(batch)]
        seen.append(hashlib.sha256(b"".join(parts)).hexdigest())
        if len(seen) == die_at:
            while not any(folder.name.isdecimal() for folder in out.glob("*/*/steps/*")):
                time.sleep(0.01)  # it is saved in the background
            os.kill(os.getpid(), signal.SIGKILL)
        with log.open("a") as file:
            print(seen[-1], file=file)
        return place(self, batch)

    Runner.place_batch = place_and_note


def main() -> None:
    out, coordinator, count, index, runs, *die = sys.argv[1:]
    join_processes(Processes(coordinator, int(count), int(index)))
    assert jax.process_count() == int(count)
    watch(Path(out), index, int(die[0]) if die else 0)
    for run in runs.split(","):
        name, strategy = run.split("/")
        share = batch_share(strategy, CONFIG.batch_size)
        learner, params, *more = tokenizer_run("rvq", 2, share) if name == "tokenizer" else decoder_run(share)
        folder = Path(out, name, strategy)
        folder.mkdir(parents=True, exist_ok=True)
        state = fit(learner, jax.tree.map(np.float64, params), *more, CONFIG, folder, strategy)
        assert int(state.step) == CONFIG.steps


if __name__ == "__main__":
    main()
