"""From a cohort to a tokenizer, and from records to a decoder: both learn."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from biomechjax.cohort.folder import write_cohort
from biomechjax.data.records import Records
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import ask
from biomechjax.language import config as shapes
from biomechjax.tokenizer.metrics import code_use, reconstruction
from biomechjax.tokenizer.tokenizer import MotionTokenizer, prepare_features
from biomechjax.training import tokenizer as training
from biomechjax.training.config import DecoderExperiment, TokenizerExperiment, TrainConfig
from biomechjax.training.decoder import embed_codes, train_decoder
from biomechjax.training.tokenizer import feature_statistics, train_tokenizer
from biomechjax.training.trained import TrainedDecoder

TRAIN = TrainConfig(steps=400, batch_size=8, learning_rate=3e-3, warmup_steps=5, log_every=1, save_every=400)
TOKENIZER = TokenizerExperiment(
    TRAIN,
    dataclasses.replace(tiny.TOKENIZER, width=32, codebook_size=32, ema_decay=0.9, channel_dropout=0.1),
    window=32,
)


def logged(folder, name: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


@pytest.fixture(scope="module")
def trained_tokenizer(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("training") / "tokenizer"
    return out, train_tokenizer(TOKENIZER, [cohort.path], out)


@pytest.fixture(scope="module")
def trained_decoder(trained_tokenizer, cohort, tmp_path_factory):
    """A decoder that has read the three training walks, and the folder of the records."""
    folder = tmp_path_factory.mktemp("training")
    write_records(
        MotionTokenizer.load(trained_tokenizer[0] / "motion_tokenizer"), cohort, folder / "records", ViewConfig(1)
    )
    experiment = DecoderExperiment(
        dataclasses.replace(TRAIN, steps=150, batch_size=6, learning_rate=1e-2, save_every=150), "tiny", row_length=144
    )
    shape = dict(width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, mlp_width=64, global_every=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.PRESETS, "tiny", shape)
        train_decoder(experiment, [folder / "records"], folder / "decoder")
        yield TrainedDecoder.load(folder / "decoder"), folder


@pytest.fixture(scope="module")
def random_start(cohort, tmp_path_factory) -> float:
    """The first loss of the same training, had its parameters stayed random."""
    out = tmp_path_factory.mktemp("training") / "random"
    first = dataclasses.replace(TOKENIZER, train=dataclasses.replace(TRAIN, steps=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "linear_start", lambda params, *_: params)
        train_tokenizer(first, [cohort.path], out)
    return logged(out, "reconstruction")[0]


@pytest.mark.slow
def test_the_tokenizer_learns(trained_tokenizer, cohort, random_start):
    """On people it has not met: a fraction of the error of one that knows the mean posture only."""
    out, metrics = trained_tokenizer
    losses = logged(out, "reconstruction")
    assert losses[0] < random_start
    assert np.mean(losses[-20:]) < 0.4 * random_start
    assert np.mean(losses[-20:]) < 0.8 * losses[0]  # the first is that of principal components
    trained = MotionTokenizer.load(out / "motion_tokenizer")
    held_out = [cohort.read(t) for t in cohort.trials_of("validation")]
    kept = reconstruction(trained, held_out)
    headlines = {name: value for name, value in metrics.items() if name in kept}
    assert headlines == pytest.approx({name: kept[name] for name in headlines})
    assert headlines.keys() | metrics["kept"].keys() == kept.keys()
    assert metrics["kept"]["channels"]["hip_r"] == pytest.approx(kept["channels"]["hip_r"])
    (used,) = code_use(trained.config, trained.encode([cohort.read(t) for t in cohort.trials_of("train")]))
    assert metrics["train_code_use"] == used["code_use"] > 0.3
    assert metrics["train_levels"] == [used]
    assert logged(out, "angle_error_deg") == [metrics["angle_error_deg"]]
    assert all((out / name).stat().st_size > 10_000 for name in ("curves.png", "reconstruction.png"))
    mean_only = dataclasses.replace(trained, params=jax.tree.map(np.zeros_like, trained.params))
    assert metrics["angle_error_deg"] < 0.6 * reconstruction(mean_only, held_out)["angle_error_deg"]


@pytest.mark.slow
def test_statistics_are_of_training_people_only(trained_tokenizer, cohort):
    found = MotionTokenizer.load(trained_tokenizer[0] / "motion_tokenizer").statistics["walker"]
    train = [cohort.read(t) for t in cohort.trials_of("train")]
    expected = feature_statistics(train + [r.mirrored() for r in train], 30.0)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-5)
    everybody = feature_statistics([cohort.read(t) for t in cohort.trials], 30.0)
    assert np.abs(found.std - everybody.std).max() > 1e-3


def test_statistics_normalise_what_was_observed():
    recordings = [tiny.walk(i, 60 + i, hidden=["knee_l", "x"] if i % 2 else ["knee_l"]) for i in range(6)]
    statistics = feature_statistics(recordings, 30.0)
    column = tiny.FORMAT.indices
    x = np.concatenate([prepare_features(r, 30.0, statistics)[0][:, column["x"]] for r in recordings[::2]])
    assert x.mean() == pytest.approx(0, abs=1e-3)
    hip = np.concatenate([prepare_features(r, 30.0, statistics)[0][:, column["hip_r"]] for r in recordings])
    assert hip.mean() == pytest.approx(0, abs=1e-3)
    assert 0.1 < hip.std() < 1.001
    assert (statistics.mean[column["knee_l"]], statistics.std[column["knee_l"]]) == (0, 1)


def test_a_cohort_without_people_to_check_on_is_refused(tmp_path):
    cohort = tiny.write_people(tmp_path / "cohort", tiny.PEOPLE[:3])
    with pytest.raises(InputError, match="no trial of a validation or test participant"):
        train_tokenizer(TOKENIZER, [cohort.path], tmp_path / "out")


@pytest.mark.slow
def test_the_decoder_learns_its_training_answers(trained_decoder):
    """Asked in training wordings about training movements, by free generation from the loaded checkpoint."""
    model, folder = trained_decoder
    losses = logged(folder / "decoder", "answer")
    assert np.mean(losses[-5:]) < 0.25 * losses[0]
    records = Records(folder / "records").read("train")
    questions = ["Which activity is this?"] * len(records)
    found = ask(model, [np.array(r.views[0]) for r in records], questions)
    right = [a == r.labels["activity"] for a, r in zip(found, records, strict=True)]
    assert np.mean(right) > 0.7, found


@pytest.mark.slow
def test_the_checkpoint_knows_its_people_and_its_tokenizer(trained_decoder):
    model, folder = trained_decoder
    records = Records(folder / "records")
    assert (model.run["cohort"], model.run["simulated"]) == (records.manifest["cohort"], True)
    assert model.run["data_hash"] == records.hash
    np.testing.assert_array_equal(model.tokenizer.table, records.tokenizer.table)
    assert model.vocabulary.codebook_size == 32


def test_codes_of_like_movements_start_as_neighbours():
    tokenizer, vocabulary = tiny.tokenizer(), tiny.vocabulary()
    rows = np.asarray(embed_codes(jnp.zeros((vocabulary.size, 64)), vocabulary, tokenizer, 0))
    start, end = vocabulary.motion_offset, vocabulary.motion_offset + 16
    assert not np.delete(rows, range(start, end), axis=0).any()
    assert rows[start:end].std() == pytest.approx(64**-0.5, rel=0.35)

    def distances(x):
        return np.linalg.norm(x[:, None] - x, axis=-1)[np.triu_indices(16, 1)]

    assert np.corrcoef(distances(rows[start:end]), distances(tokenizer.table[0]))[0, 1] > 0.5


def test_a_run_that_is_refused_leaves_nothing_behind(cohort, tmp_path):
    """So that the same --out can be used again with what the message asks for."""
    unmirrored = dataclasses.replace(
        cohort.format, channels=tuple(dataclasses.replace(c, mirror_sign=0) for c in cohort.format.channels)
    )
    write_cohort(
        tmp_path / "cohort",
        name="unmirrored",
        simulated=True,
        format=unmirrored,
        tracking_system="markers",
        participants=tiny.PEOPLE,
        trials=lambda row: ((labels, dataclasses.replace(r, format=unmirrored)) for labels, r in tiny.trials_of(row)),
    )
    out = tmp_path / "tokenizer"
    with pytest.raises(InputError, match="--views.mirrored 0"):
        train_tokenizer(TOKENIZER, [tmp_path / "cohort"], out)
    assert not out.exists()
