"""A decoder that reads the first codes of each step only, in training as in answering."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.data.records import Records
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError
from biomechjax.evaluation import answers as answering
from biomechjax.training import decoder as training
from biomechjax.training import trained as opened
from biomechjax.training.config import DecoderExperiment, TrainConfig

SIZE, LEVELS, READ = tiny.TOKENIZER.codebook_size, 3, 2
EXPERIMENT = DecoderExperiment(TrainConfig(1, 4, 1e-3), row_length=256, codes_per_step=READ)


@pytest.fixture(scope="module")
def deep_records(cohort, tmp_path_factory):
    """Records of an untrained tokenizer of three levels."""
    flat = tiny.tokenizer()
    config = dataclasses.replace(flat.config, quantizer="rvq", levels=LEVELS)
    table = flat.table * 0.5 ** np.arange(LEVELS)[:, None, None]
    out = tmp_path_factory.mktemp("read") / "records"
    write_records(dataclasses.replace(flat, config=config, table=table), cohort, out, ViewConfig(count=2), seed=5)
    return out


@pytest.fixture(scope="module")
def trained(deep_records, tmp_path_factory):
    """The first batch of a training, and the decoder that it would have ended with."""
    out, seen = tmp_path_factory.mktemp("read") / "decoder", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", lambda *args, **_: seen.append((args[1], next(args[3]))))
        training.train_decoder(EXPERIMENT, [deep_records], out)
        params, batch = seen[0]
        patch.setattr(opened, "restore_params", lambda *_: params)
        return opened.TrainedDecoder.load(out), batch


def test_training_shows_the_first_codes_of_each_step(trained, deep_records):
    model, batch = trained
    assert model.vocabulary.codebook_size == READ * SIZE
    start, stop = model.vocabulary.motion_start, model.vocabulary.motion_end
    row = batch["tokens"][0].tolist()
    shown = np.array(row[row.index(start) + 1 : row.index(stop)]) - model.vocabulary.motion_offset
    views = [
        np.reshape(v, (-1, LEVELS))[:, :READ].ravel() for r in Records(deep_records).read("train") for v in r.views
    ]
    assert len(shown) > 20
    assert any((v[i : i + len(shown)] == shown).all() for v in views for i in range(0, len(v) - len(shown) + 1, READ))


def test_answers_depend_on_the_first_codes_only(trained, monkeypatch):
    model, prompts = trained[0], []
    monkeypatch.setattr(
        answering, "generate", lambda config, params, given, *_, **__: prompts.extend(given) or [[]] * 3
    )
    rng = np.random.default_rng(0)
    codes = rng.integers(0, SIZE, (12, LEVELS)) + np.arange(LEVELS) * SIZE
    last, first = codes.copy(), codes.copy()
    last[:, READ:] = rng.permutation(last[:, READ:])
    first[3, READ - 1] ^= 1
    answering.ask(model, [c.ravel() for c in (codes, last, first)], ["How fast?"] * 3)
    assert prompts[0] == prompts[1] != prompts[2]
    ids = np.array(prompts[0][0][2 : 2 + 12 * READ]) - model.vocabulary.motion_offset
    np.testing.assert_array_equal(ids, codes[:, :READ].ravel())


def test_more_codes_than_a_step_has_are_refused(deep_records, tmp_path):
    greedy = dataclasses.replace(EXPERIMENT, codes_per_step=LEVELS + 1)
    with pytest.raises(InputError, match=r"--codes-per-step 4: a step in .* has 3 codes"):
        training.train_decoder(greedy, [deep_records], tmp_path / "decoder")
    assert not (tmp_path / "decoder").exists()
