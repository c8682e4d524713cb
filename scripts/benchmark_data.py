"""What `benchmark.py batches` times: making packed batches, and what packing gives in a training step."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from benchmark_timing import OURS, Work

from biomechjax.command import load_config
from biomechjax.data.stream import PackedRows, packed_batches
from biomechjax.parallel.runner import Runner
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.decoder import codes_read, from_scratch, open_sources, training_records, training_rows
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import init_state, make_step

PADDED = "one example a row"
COUNTED = 20  # batches whose tokens are counted; the same ones are then trained on in turn


def data_works(data: Path, config: Path, batch: int, length: int) -> list[Work]:
    """Batches of token records, and training steps on them beside steps on the same examples, one in each row."""
    experiment: DecoderExperiment = load_config(config)
    train = dataclasses.replace(experiment.train, batch_size=batch)
    packed = dataclasses.replace(experiment, train=train, row_length=length)
    padded = dataclasses.replace(packed, mixture=dataclasses.replace(packed.mixture, row_examples=1))
    (source,) = open_sources([data])
    read = codes_read(packed, source)
    start = from_scratch(packed, source.tokenizer, read, None)
    records = [training_records(source, experiment)]
    optimizer = make_optimizer(train)
    runner = Runner("dp", make_step(start.learner, optimizer, 0), jax.devices()[:1])
    calls: dict[str, Callable[[], Any]] = {}
    tokens: dict[str, float] = {}
    for who, how in ((OURS, packed), (PADDED, padded)):
        stages = training_rows(how, records, start.vocabulary)
        batches = list(itertools.islice(packed_batches(stages), COUNTED))
        tokens[who] = sum(np.count_nonzero(b["segment_ids"]) for b in batches) / COUNTED
        if who == OURS:
            rows = stages[0][1]
            used = float(sum(np.count_nonzero(row["segment_ids"]) for row in _window(rows, 0)))
            # Not from the stream, which works ahead while others are timed.
            made = Work("rows of a window", {OURS: partial(_window, rows, 0)}, tokens=used)
        state = runner.place_state(init_state(start.params, {}, optimizer))
        calls[who] = _Steps(runner, state, itertools.cycle(batches))
    return [made, Work("training step", calls, tokens=tokens)]


def _window(rows: PackedRows, number: int) -> list[dict[str, np.ndarray]]:
    return [rows.render(row) for row in rows.window(0, number)]


@dataclasses.dataclass
class _Steps:
    runner: Runner
    state: Any
    batches: Any

    def __call__(self) -> None:
        self.state, metrics = self.runner.step(self.state, self.runner.place_batch(next(self.batches)))
        self.runner.metrics(metrics)
