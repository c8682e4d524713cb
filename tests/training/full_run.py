"""Saves steps 1 and 2 of a thousand numbers and 3 of a million into a folder, as a command: `full_run.py FOLDER`."""

import sys
from pathlib import Path

import grain
import numpy as np

from biomechjax.command import run
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.step import TrainState


def main() -> None:
    data = iter(grain.MapDataset.range(10).to_iter_dataset())
    checkpoints, rng = Checkpoints(Path(sys.argv[1])), np.random.default_rng(0)
    for step, count in ((1, 1000), (2, 1000), (3, 1_000_000)):
        w = np.full(count, step, np.float32) if step < 3 else rng.normal(size=count).astype(np.float32)
        checkpoints.save(step, TrainState(np.array(step, np.int32), {"w": w}, (), {}), data)
    checkpoints.close()


if __name__ == "__main__":
    run(main)
