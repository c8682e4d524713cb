"""Training the motion tokenizer on a cohort."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import track

from biomechjax.cohort.folder import Cohort
from biomechjax.data.views import views
from biomechjax.data.windows import window_batches
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.parallel.strategies import find_strategy
from biomechjax.tokenizer import losses
from biomechjax.tokenizer.metrics import reconstruction
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Statistics, prepare_features
from biomechjax.training.checkpoint import run_config, start_or_resume
from biomechjax.training.config import TokenizerExperiment
from biomechjax.training.loop import fit
from biomechjax.training.step import Learner, TrainState

STD_FLOOR = 0.01  # radians, metres or their rates; a channel that hardly moves must not be blown up into noise


def train_tokenizer(experiment: TokenizerExperiment, data: Path, out: Path, strategy: str = "dp") -> dict[str, float]:
    """Trains on the train participants of a cohort; resumes; writes the finished tokenizer into `out`.

    Returns:
        Reconstruction metrics on the validation participants (test ones where there is no validation split).
    """
    cohort = Cohort.load(data)
    find_strategy(strategy)  # before anything is written
    start_or_resume(out, run_config("tokenizer", experiment, data, cohort.data_hash(), cohort.name, cohort.simulated))
    recordings = [cohort.read(t) for t in track(cohort.trials_of("train"), "reading train trials", transient=True)]
    if not recordings:
        raise InputError(f"{data}: no trial of a train participant")
    rng = np.random.default_rng(experiment.train.seed)
    recordings = [view for r in recordings for view in views(r, experiment.views, rng)]
    config, format = experiment.model, cohort.format
    statistics = feature_statistics(recordings, config.rate_hz)
    items = [(prepare_features(r, config.rate_hz, statistics)[0], r.observed) for r in recordings]
    batches = window_batches(items, experiment.window, experiment.train.batch_size, experiment.train.seed)

    held_out = cohort.trials_of("validation") or cohort.trials_of("test")
    if not held_out:
        raise InputError(f"{data}: no trial of a validation or test participant to check the tokenizer on")
    checks = [cohort.read(t) for t in held_out[:: max(1, len(held_out) // 40)]]
    model = Autoencoder(config, format.size)
    quantizer = find_quantizer(config)

    def finished(state: TrainState) -> MotionTokenizer:
        host = jax.device_get(state.params)
        codes = np.asarray(quantizer.table(host["quantizer"], state.extra)[0])
        return MotionTokenizer(config, format, statistics, {"params": host["params"]}, codes)

    state = fit(
        tokenizer_learner(model, format),
        init_params(model, jax.random.key(experiment.train.seed)),
        quantizer.init_state(),
        batches,
        experiment.train,
        out,
        strategy,
        report=lambda step, state: reconstruction(finished(state), checks),
    )
    tokenizer = finished(state)
    shutil.rmtree(out / "motion_tokenizer", ignore_errors=True)
    tokenizer.save(out / "motion_tokenizer")
    return reconstruction(tokenizer, checks)


def init_params(model: Autoencoder, key: jax.Array) -> dict[str, Any]:
    """Fresh parameters: "params" of the autoencoder, "quantizer" of its quantizer."""
    networks, codes = jax.random.split(key)
    zeros = np.zeros((1, model.config.frames_per_step, model.channels), np.float32)
    variables = model.init(networks, zeros, zeros[:, :1], zeros[..., 0])
    return variables | {"quantizer": find_quantizer(model.config).init_params(codes)}


def tokenizer_learner(model: Autoencoder, format: MotionFormat) -> Learner:
    """The learner of the tokenizer; its extra state is the quantizer's."""
    config, quantizer = model.config, find_quantizer(model.config)
    return Learner(
        weights=losses.weights(config),
        counts=lambda batch: losses.counts(config, format, batch),
        sums=lambda params, state, batch, keys: losses.sums(model, format, params, state, batch, keys),
        update=quantizer.update,
    )


def feature_statistics(recordings: Sequence[Recording], rate_hz: float) -> Statistics:
    """Mean and standard deviation [C] over all frames where a channel was observed; 0 and 1 where it never was.

    An angle that moves less than the median angle is divided by the median: what is left of it is mostly capture error,
    on which no code should be spent.
    """
    size = recordings[0].format.size
    count, total, square = np.zeros(size), np.zeros(size), np.zeros(size)
    for r in (r.resampled(rate_hz) for r in recordings):
        features = to_features(r.format, rate_hz, r.values)[0].astype(np.float64) * r.observed
        count += len(features) * r.observed
        total += features.sum(axis=0)
        square += (features**2).sum(axis=0)
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0))
    posture = recordings[0].format.angles & (count > 0)
    if posture.any():
        std[posture] = np.maximum(std[posture], np.median(std[posture]))
    std = np.where(count > 0, np.maximum(std, STD_FLOOR), 1.0)
    return Statistics(mean.astype(np.float32), std.astype(np.float32))
