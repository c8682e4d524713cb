"""What a training does about a step whose loss or gradient is not finite, or too large.

OUT/bad/step-<n>.npz    the batch of such a step, as this process read it (step-<n>-<process> of several)
OUT/bad/step-<n>.json   its metrics
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from biomechjax.errors import BadStep
from biomechjax.training.config import GO_BACK, STOP, TrainConfig

MOST_IN_A_ROW = 10
MOST_RETURNS = 3  # to one saved step


class BadSteps:
    """Keeps the batch of each bad step, and counts them."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.folder, self.config = folder, config
        self.last, self.in_a_row, self.returns = -1, 0, dict[int, int]()

    def found(
        self, step: int, metrics: dict[str, float], batch: dict[str, np.ndarray], saved: int | None
    ) -> int | None:
        """Keeps the batch; returns the step to go back to, or None to go on with the next batch.

        Args:
            saved: the newest saved step.

        Raises:
            BadStep: the training is to stop, or neither of the others helps.
        """
        of = f"-{jax.process_index()}" if jax.process_count() > 1 else ""
        file = self.folder / "bad" / f"step-{step}{of}.npz"
        file.parent.mkdir(exist_ok=True)
        arrays: dict[str, Any] = dict(batch)
        np.savez(file, **arrays)
        file.with_suffix(".json").write_text(json.dumps({k: str(v) for k, v in metrics.items()}, indent=1))
        about = f"step {step}: {metrics}; its batch is in {file}"
        if self.config.bad_steps == STOP:
            raise BadStep(
                f"{about}. Stopped: what was saved last is whole. A lower --train.learning-rate may help, or going on "
                "without such batches, with --train.bad-steps skip or go_back"
            )
        self.in_a_row = self.in_a_row + 1 if step == self.last + 1 else 1
        self.last = step
        if self.in_a_row == MOST_IN_A_ROW:
            raise BadStep(f"{about}. Stopped after {MOST_IN_A_ROW} such steps in a row: it is not the batches")
        if self.config.bad_steps != GO_BACK:
            return None
        if saved is None:
            raise BadStep(f"{about}. Stopped: no step has been saved to go back to; lower --train.save-every")
        self.returns[saved] = self.returns.get(saved, 0) + 1
        if self.returns[saved] > MOST_RETURNS:
            raise BadStep(f"{about}. Stopped after going back to step {saved} {MOST_RETURNS} times")
        return saved
