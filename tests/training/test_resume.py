"""A run that was stopped goes on to the bit: parameters, optimizer, codebook and batches."""

import dataclasses
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny

from biomechjax.data.mixture import MixtureConfig
from biomechjax.data.windows import window_batches
from biomechjax.errors import BadStep, Stopped
from biomechjax.parallel.runner import Runner
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer
from biomechjax.tokenizer.tokenizer import prepare_features
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.config import TrainConfig
from biomechjax.training.decoder import decoder_learner
from biomechjax.training.log import read_log
from biomechjax.training.loop import fit
from biomechjax.training.step import TrainState
from biomechjax.training.tokenizer import tokenizer_learner

TRAIN = TrainConfig(
    steps=9, batch_size=4, learning_rate=1e-3, warmup_steps=3, optimizer="muon", log_every=2, save_every=100
)


QUANTIZERS: dict[str, dict[str, Any]] = {
    "vq_ema": {},
    "rvq": {"levels": 2},
    "fsq": {"fsq_levels": (2,) * 8, "codebook_size": 256},
    "simvq": {},
}


def tokenizer_run(quantizer: str = "rvq") -> tuple:
    more = QUANTIZERS[quantizer]
    config = dataclasses.replace(tiny.TOKENIZER, quantizer=quantizer, reset_below=0.6, ema_decay=0.7, **more)
    walks = [tiny.walk(i, 20 + 15 * i) for i in range(6)]
    items = [(prepare_features(r, 30.0, tiny.tokenizer().statistics["walker"])[0], r.observed) for r in walks]
    learner = tokenizer_learner(Autoencoder(config, tiny.FORMAT.size), tiny.FORMAT)
    of_config = find_quantizer(config)
    params = tiny.tokenizer().params | {"quantizer": of_config.init_params(jax.random.key(0))}
    return learner, params, of_config.init_state(), window_batches([items], 32, TRAIN.batch_size, 0)


def decoder_run() -> tuple:
    records = [tiny.record(i, codes=8 + 3 * i) for i in range(9)]
    mixture = MixtureConfig(code_noise=0.1)
    batches = tiny.batches(records, 128, TRAIN.batch_size, mixture)
    return decoder_learner(tiny.decoder_config()), tiny.decoder_params(), {}, batches


@dataclasses.dataclass
class Log:
    """What a training met: its batches, and where it is to be stopped."""

    batches: list[dict[str, bytes]] = dataclasses.field(default_factory=list)
    stop_after: int | None = None
    signal: int = signal.SIGTERM


@pytest.fixture
def log(monkeypatch) -> Log:
    """Keeps every batch as bytes, and sends this process a signal when so many were placed."""
    seen, place = Log(), Runner.place_batch

    def place_and_keep(self, batch):
        seen.batches.append({k: np.asarray(v).tobytes() for k, v in batch.items()})
        if len(seen.batches) == seen.stop_after:
            os.kill(os.getpid(), seen.signal)
        return place(self, batch)

    monkeypatch.setattr(Runner, "place_batch", place_and_keep)
    return seen


def run(make, folder: Path, config: TrainConfig = TRAIN, strategy: str = "dp", report=None) -> TrainState:
    folder.mkdir(exist_ok=True)
    return fit(*make(), config, folder, strategy, report)


def assert_same(one: TrainState, other: TrainState) -> None:
    found, expected = (jax.tree_util.tree_leaves_with_path(s) for s in (one, other))
    assert len(found) == len(expected)
    for (path, a), (_, b) in zip(found, expected, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), jax.tree_util.keystr(path)


def logged(folder: Path) -> list[dict[str, float]]:
    """The metrics of every logged step; only the pace may differ."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds_per_step"} for row in rows]


@pytest.mark.parametrize("kind", ["decoder", *(pytest.param(q, marks=pytest.mark.slow) for q in QUANTIZERS)])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, log, kind):
    """Stopped twice by a signal, at random: in the middle of steps that would not have saved."""
    make = decoder_run if kind == "decoder" else partial(tokenizer_run, kind)
    config = dataclasses.replace(TRAIN, log_every=1)
    whole = run(make, tmp_path / "whole", config)
    expected, log.batches = log.batches, []
    assert len(expected) == TRAIN.steps
    assert expected[0] != expected[1]

    log.signal = signal.SIGINT if kind == "decoder" else signal.SIGTERM
    stops = sorted(np.random.default_rng().choice(np.arange(1, TRAIN.steps), 2, replace=False).tolist())
    print("stopped after", stops)
    for stop in stops:
        log.stop_after = stop
        with pytest.raises(Stopped, match=f"stopped and saved at step {stop} of 9; run the same command to go on"):
            run(make, tmp_path / "parts", config)
        assert Checkpoints(tmp_path / "parts").latest() == stop
    log.stop_after = None
    resumed = run(make, tmp_path / "parts", config)
    assert log.batches == expected
    assert int(resumed.step) == TRAIN.steps
    assert_same(resumed, whole)
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    if kind in ("vq_ema", "rvq"):
        assert resumed.extra.filled.all()
        assert logged(tmp_path / "whole")[-1]["resets"] > 0


def test_resuming_needs_the_saved_state(tmp_path, log):
    """The comparison above would fail if a resumed run began anew, or with other data."""
    whole = run(decoder_run, tmp_path / "whole")
    log.batches = []
    log.stop_after = 4
    with pytest.raises(Stopped):
        run(decoder_run, tmp_path / "parts")
    first, log.batches, log.stop_after = log.batches, [], None

    class Anew(Checkpoints):
        def restore(self, step, state, data):
            return super().restore(step, state, decoder_run()[3])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biomechjax.training.loop.Checkpoints", Anew)
        other = run(decoder_run, tmp_path / "parts")
    assert log.batches[0] == first[0]
    with pytest.raises(AssertionError):
        assert_same(other, whole)


def test_a_finished_run_is_returned_as_it_is(tmp_path, log):
    whole = run(tokenizer_run, tmp_path / "run")
    assert_same(run(tokenizer_run, tmp_path / "run"), whole)
    assert len(log.batches) == TRAIN.steps


@pytest.mark.slow
def test_a_run_may_be_resumed_under_another_strategy(tmp_path, log):
    whole = run(tokenizer_run, tmp_path / "whole")
    log.batches, log.stop_after = [], 4
    with pytest.raises(Stopped):
        run(tokenizer_run, tmp_path / "parts")
    other = run(tokenizer_run, tmp_path / "parts", strategy="pmap")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), other, whole)


def test_signals_mean_what_they_did_after_the_run(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(decoder_run, tmp_path / "run", dataclasses.replace(TRAIN, steps=2))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_during_a_report_loses_nothing(tmp_path):
    """It comes after the step was saved; the next step is then saved too, as the message says."""
    config = dataclasses.replace(TRAIN, save_every=3)

    def report(step, state):
        os.kill(os.getpid(), signal.SIGTERM)
        return {"held_out": 1.0}

    with pytest.raises(Stopped, match="saved at step (3|4)") as stopped:
        run(decoder_run, tmp_path / "run", config, report=report)
    assert f"step {Checkpoints(tmp_path / 'run').latest()} " in str(stopped.value)


def test_log_holds_steps_and_reports(tmp_path):
    config = dataclasses.replace(TRAIN, save_every=4)
    run(tokenizer_run, tmp_path / "run", config, report=lambda step, state: {"held_out": float(state.step)})
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "reconstruction" in r] == [2, 4, 6, 8, 9]
    assert [(r["step"], r["held_out"]) for r in rows if "held_out" in r] == [(4, 4.0), (8, 8.0), (9, 9.0)]
    assert all(np.isfinite(list(r.values())).all() for r in rows)


@pytest.mark.slow
def test_a_resumed_log_is_that_of_a_run_never_stopped(tmp_path, log):
    """Stopped at a save before its report; crashed in a report; crashed with rows after the last save, one half
    written."""
    config = dataclasses.replace(TRAIN, save_every=4)

    def report(step, state):
        if step == crash:
            raise RuntimeError("crash")
        return {"held_out": float(state.step), "more": {"of": [step]}}

    crash = 0
    run(tokenizer_run, tmp_path / "whole", config, report=report)
    folder, log.batches, log.stop_after = tmp_path / "parts", [], 4
    with pytest.raises(Stopped):
        run(tokenizer_run, folder, config, report=report)
    crash, log.stop_after = 8, None
    with pytest.raises(RuntimeError, match="crash"):
        run(tokenizer_run, folder, config, report=report)
    crash = 0
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "reconstruction": 0.0, "seconds_per_step": 1.0}) + '\n{"step": 9, "rec')
    run(tokenizer_run, folder, config, report=report)
    found, expected = ([row | {"seconds_per_step": 0} for row in read_log(f)] for f in (folder, tmp_path / "whole"))
    assert [row["step"] for row in expected] == [2, 4, 4, 6, 8, 8, 9, 9]
    assert found == expected


def test_a_loss_that_is_not_finite_is_never_saved(tmp_path):
    """Though the step is not one that is logged."""
    learner, params, extra, batches = tokenizer_run()
    broken = jax.tree.map(lambda x: np.full_like(x, np.nan), params)
    config = dataclasses.replace(TRAIN, save_every=1, log_every=100)
    (tmp_path / "run").mkdir()
    with pytest.raises(BadStep, match="step 1: .*nan"):
        fit(learner, broken, extra, batches, config, tmp_path / "run", "dp")
    assert Checkpoints(tmp_path / "run").latest() is None
