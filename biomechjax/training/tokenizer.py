"""Training the motion tokenizer on cohorts."""

import dataclasses
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from rich.progress import track

from biomechjax.cohort.folder import Cohort
from biomechjax.data.views import views
from biomechjax.data.windows import Item, window_batches
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.pictures import draw_reconstruction
from biomechjax.motion.recording import Recording
from biomechjax.parallel.processes import write_once
from biomechjax.parallel.runner import batch_share
from biomechjax.reduction import Reduction
from biomechjax.tokenizer import losses, travel
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.metrics import code_use, reconstruction, round_trip
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.places import Body
from biomechjax.tokenizer.quantizer import find_quantizer
from biomechjax.tokenizer.start import init_params, linear_start
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Statistics, prepare_features, root_features
from biomechjax.tokenizer.union import Stem, unite
from biomechjax.training import integrity
from biomechjax.training.checkpoint import by_cohort, check_run, run_config, start_or_resume
from biomechjax.training.config import TokenizerExperiment
from biomechjax.training.log import draw_curves, read_log
from biomechjax.training.loop import fit, prepare
from biomechjax.training.step import Batch, Learner, TrainState

HEADLINES = (
    "angle_error_deg",
    "length_error_mm",
    "mpjpe_mm",
    "foot_slip_cm_s",
    "root_drift_cm_per_10m",
    "code_use",
    "perplexity",
)
START_BATCHES = 64  # that the straight paths are fitted to
STD_FLOOR = 0.01  # radians, metres or their rates; a channel that hardly moves must not be blown up into noise


def train_tokenizer(
    experiment: TokenizerExperiment, data: Sequence[Path], out: Path, strategy: str = "dp"
) -> dict[str, Any]:
    """Trains on the train participants of cohorts; resumes; writes the finished tokenizer into `out`.

    Cohorts of one motion format are pooled; the formats have equal shares of every batch, however long their cohorts.

    At each save it is tried on the validation participants (test ones where there is no validation split), at most 79
    of their trials, and on an hour of training movement: figures in the log, `curves.png` and `reconstruction.png`.

    Returns:
        The last of these reports; its "kept" holds the figures of `reconstruction` that are no headline. Where there
        are several formats, each has its own, as "FORMAT/figure".
    """
    if not data:
        raise InputError("no cohort folder to train on; give one or more after --data, from prepare_data.py")
    cohorts = [Cohort.load(d) for d in data]
    formats = tuple({(c.format.name, c.format.names): c.format for c in cohorts}.values())
    union, stems = unite(formats)
    needs_body = losses.needs_body(experiment.model, union)
    share = batch_share(strategy, experiment.train.batch_size)  # refuses before anything is written
    hashes, names = [c.data_hash() for c in cohorts], [c.name for c in cohorts]
    run = run_config("tokenizer", experiment, data, hashes, names, any(c.simulated for c in cohorts))
    run |= {"train_participants": by_cohort((c.name, t.participant) for c in cohorts for t in c.trials_of("train"))}
    check_run(out, run)
    rng = np.random.default_rng(experiment.train.seed)
    recordings: dict[str, list[Recording]] = {f.name: [] for f in formats}
    checks: dict[str, list[Recording]] = {f.name: [] for f in formats}
    hours: dict[str, list[Recording]] = {f.name: [] for f in formats}  # of training movement
    for cohort in cohorts:
        read = [cohort.read(t) for t in track(cohort.trials_of("train"), "reading train trials", transient=True)]
        if not read:
            raise InputError(f"{cohort.path}: no trial of a train participant")
        held_out = cohort.trials_of("validation") or cohort.trials_of("test")
        if not held_out:
            raise InputError(f"{cohort.path}: no trial of a validation or test participant to check the tokenizer on")
        hours[cohort.format.name] += _at_most(read, seconds=3600)
        recordings[cohort.format.name] += [view for r in read for view in views(r, experiment.views, rng)]
        checks[cohort.format.name] += [cohort.read(t) for t in held_out[:: max(1, len(held_out) // 40)]]
    config = experiment.model
    statistics = shared_statistics(stems, recordings, config.rate_hz)
    groups = [
        [
            (stem.join(prepare_features(r, config.rate_hz, statistics[name])[0]), stem.seen(r.observed))
            for r in recordings[name]
        ]
        for name, stem in stems.items()
    ]
    displacements = np.zeros((0, 3), np.float32)
    if config.travel:
        displacements = travel_codes(config, stems, statistics, groups, experiment.train.seed)
    batches = window_batches(groups, experiment.window, experiment.train.batch_size, experiment.train.seed, *share)
    common = common_channels(stems, recordings) if len(stems) > 1 and config.levels > 1 else None
    body = Body(union, config.rate_hz, *dataclasses.astuple(statistics[union.name])) if needs_body else None
    model = Autoencoder(config, union.size)
    quantizer = find_quantizer(config)
    params = init_params(model, jax.random.key(experiment.train.seed))
    sample = window_batches(groups, experiment.window, experiment.train.batch_size, experiment.train.seed)
    weights = losses.channel_weights(config, union)
    params = linear_start(params, config, weights, itertools.islice(sample, START_BATCHES))

    def finished(state: TrainState) -> MotionTokenizer:
        host = jax.device_get(state.params)
        codes = np.asarray(quantizer.table(host["quantizer"], state.extra)[0])
        params = {"params": host["params"]}
        return MotionTokenizer(config, formats, statistics, params, codes, displacements, common)

    def report(step: int, state: TrainState) -> dict[str, Any]:
        tokenizer = finished(state)
        found = {name: held_out_report(tokenizer, checks[name], hours[name]) for name in checks}
        row = {f"{name}/{k}" if len(found) > 1 else k: v for name, one in found.items() for k, v in one.items()}
        draw_curves([*read_log(out), {"step": step, **row}]).savefig(out / "curves.png")
        draw_reconstruction(*round_trip(tokenizer, next(iter(checks.values()))[0])).savefig(out / "reconstruction.png")
        return row

    learner, extra = tokenizer_learner(model, union, common, body), quantizer.init_state()
    prepare(learner, params, extra, experiment.train, strategy)  # refuses before anything is written
    write_once(lambda: start_or_resume(out, run))
    state = fit(learner, params, extra, batches, experiment.train, out, strategy, report=report)

    def finish() -> None:
        shutil.rmtree(out / "motion_tokenizer", ignore_errors=True)
        finished(state).save(out / "motion_tokenizer")
        integrity.record(out, integrity.FILES, [out / "motion_tokenizer"])

    write_once(finish)
    return read_log(out)[-1]


def travel_codes(
    config: TokenizerConfig,
    stems: dict[str, Stem],
    statistics: dict[str, Statistics],
    groups: Sequence[Sequence[Item]],
    seed: int,
) -> np.ndarray:
    """Travel codes [Q,3] for the steps of all recordings that say where the person goes.

    Raises:
        InputError: none does, or they have fewer steps than there are to be codes.
    """
    found = []
    for (name, stem), items in zip(stems.items(), groups, strict=True):
        for features, seen in items:
            whole = features[: len(features) // config.frames_per_step * config.frames_per_step]
            root = root_features(stem, statistics[name], whole, seen[stem.columns])
            if stem.format.root and len(whole):
                found.append(travel.moves(root, config.rate_hz, config.frames_per_step))
    if sum(map(len, found)) < config.codebook_size:
        raise InputError(
            f"travel codes: {sum(map(len, found))} steps of recordings with a root for {config.codebook_size} codes; "
            "train without --model.travel"
        )
    return travel.fit(np.concatenate(found), config.codebook_size, seed)


def held_out_report(
    tokenizer: MotionTokenizer, held_out: Sequence[Recording], trained_on: Sequence[Recording]
) -> dict[str, Any]:
    """The headlines of `reconstruction` of held-out recordings, everything else of it as "kept", and how much of the
    codebook training movement uses: train_code_use over all levels, and train_levels as `code_use`."""
    whole = reconstruction(tokenizer, held_out)
    levels = code_use(tokenizer.config, tokenizer.encode(trained_on))
    headlines = {name: whole.pop(name) for name in HEADLINES if name in whole}
    used = float(np.mean([level["code_use"] for level in levels]))
    return headlines | {"train_code_use": used, "train_levels": levels, "kept": whole}


def _at_most(recordings: Sequence[Recording], seconds: float) -> list[Recording]:
    """All recordings, or where they are longer together, evenly drawn ones of about so many seconds."""
    whole = sum(r.duration_s for r in recordings)
    return list(recordings[:: max(1, round(whole / seconds))])


def tokenizer_learner(
    model: Autoencoder, format: MotionFormat, common: np.ndarray | None = None, body: Body | None = None
) -> Learner:
    """The learner of the tokenizer; its extra state is the quantizer's.

    `common` [C] is as of `MotionTokenizer`; `body` is for losses that need one.
    """
    config, quantizer = model.config, find_quantizer(model.config)

    def sums(params: Any, state: TrainState, batch: Batch, keys: Array) -> tuple[dict[str, Array], Any]:
        terms, seen = losses.sums(model, format, params, state.extra, batch, keys, common, body)
        # [L,N,...] of all levels and steps to [B,L,N/B,...]
        return terms, tuple(x.reshape(len(x), len(keys), -1, *x.shape[2:]).swapaxes(0, 1) for x in seen)

    def update(extra: Any, by_row: Any, key: Array, reduction: Reduction) -> tuple[Any, dict[str, Array]]:
        inputs, choice, valid = (x.swapaxes(0, 1).reshape(x.shape[1], -1, *x.shape[3:]) for x in by_row)
        return quantizer.update(extra, (inputs, choice, valid), key, reduction)

    return Learner(
        weights=losses.weights(config),
        counts=lambda batch: losses.counts(config, format, batch, body),
        sums=sums,
        update=update,
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


def common_channels(stems: dict[str, Stem], recordings: dict[str, list[Recording]]) -> np.ndarray | None:
    """bool [C], the channels of the union that were observed in all formats; None if there are none."""
    seen = [stem.seen(_observed(recordings[name])) for name, stem in stems.items()]
    common = np.all(seen, axis=0)
    return common if common.any() else None


def _observed(recordings: Sequence[Recording]) -> np.ndarray:
    """bool [C], the channels that were observed in any."""
    return np.any([r.observed for r in recordings], axis=0)


def shared_statistics(
    stems: dict[str, Stem], recordings: dict[str, list[Recording]], rate_hz: float
) -> dict[str, Statistics]:
    """Statistics of each format, such that a common channel has the same meaning after normalisation.

    Its standard deviation is the mean of those of the formats in which it was observed. Its mean is the format's own,
    since laboratories put the zero of an angle at different postures; but a root channel, whose zero is no movement,
    has the mean over the formats, and so has a channel that was not observed in the format.
    """
    own = {name: feature_statistics(recordings[name], rate_hz) for name in stems}
    observed = {name: _observed(recordings[name]) for name in stems}
    size = next(iter(stems.values())).size
    count, mean, std = np.zeros(size), np.zeros(size), np.zeros(size)
    for name, stem in stems.items():
        count[stem.columns] += observed[name]
        mean[stem.columns] += observed[name] * stem.signs * own[name].mean
        std[stem.columns] += observed[name] * own[name].std
    mean /= np.maximum(count, 1)
    std = np.where(count > 0, std / np.maximum(count, 1), 1.0)
    out = {}
    for name, stem in stems.items():
        common = (losses.root_mask(stem.format) > 0) | ~observed[name]
        means = np.where(common, stem.signs * mean[stem.columns], own[name].mean)
        out[name] = Statistics(means.astype(np.float32), std[stem.columns].astype(np.float32))
    return out
