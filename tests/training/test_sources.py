"""A training on several folders of records: one tokenizer, and nobody on both sides of a split."""

import dataclasses

import pytest
import tiny

from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError
from biomechjax.training import decoder as training
from biomechjax.training.checkpoint import read_config
from biomechjax.training.config import DecoderExperiment, TrainConfig
from biomechjax.training.decoder import open_sources, train_decoder, training_records, training_rows

EXPERIMENT = DecoderExperiment(TrainConfig(1, 4, 1e-3), row_length=256)


def written(out, people, tokenizer=None, **changes):
    cohort = dataclasses.replace(tiny.write_people(out / "cohort", people), **changes)
    write_records(tokenizer or tiny.tokenizer(), cohort, out / "records", ViewConfig(), seed=5)
    return out / "records"


def moved(split: str) -> list[dict]:
    """The same people, of whom one who was trained on is in another split."""
    return [person | ({"split": split} if person["participant_id"] == "sub-02" else {}) for person in tiny.PEOPLE]


def test_rows_hold_people_of_all_folders(records_folder, tmp_path):
    other = written(tmp_path, tiny.PEOPLE[:1], name="one walker")
    sources = open_sources([records_folder, other])
    trained = [training_records(source, EXPERIMENT) for source in sources]
    assert [len(of) for of in trained] == [9, 3]
    assert {r.trial for r in trained[1]} < {r.trial for r in trained[0]}  # two people of one name
    assert not {r.participant for r in trained[0]} & {r.participant for r in trained[1]}
    ((_, rows),) = training_rows(EXPERIMENT, trained, tiny.vocabulary())
    read = {number for row in rows.window(0, 0) for example in row for number in example.records}
    assert read == set(range(12))


def test_another_tokenizer_is_refused(records_folder, tmp_path):
    mine = tiny.tokenizer()
    other = written(tmp_path, tiny.PEOPLE, tokenizer=dataclasses.replace(mine, table=mine.table + 1))
    with pytest.raises(
        InputError, match=f"{other}: written by another tokenizer than {records_folder}; tokenize again"
    ):
        open_sources([records_folder, other])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_somebody_held_out_elsewhere_is_refused(records_folder, tmp_path, split):
    other = written(tmp_path, moved(split))
    message = f"{other}: sub-02 of six walkers .* is in {split}, but not so in {records_folder}; nobody may be in"
    with pytest.raises(InputError, match=message):
        open_sources([records_folder, other])


def test_people_of_two_cohorts_may_have_one_name(records_folder, tmp_path):
    other = written(tmp_path, moved("test"), name="six others")
    assert [s.manifest["cohort"] for s in open_sources([records_folder, other])] == [
        "six walkers (simulated)",
        "six others",
    ]


@pytest.mark.parametrize(("share", "trained"), [(1.0, 3), (0.3, 1)])
def test_a_run_says_whom_it_was_trained_on(records_folder, tmp_path, monkeypatch, share, trained):
    other = written(tmp_path, tiny.PEOPLE[:1], name="one walker")
    monkeypatch.setattr(training, "fit", lambda *_, **__: None)
    experiment = dataclasses.replace(EXPERIMENT, people=share)
    train_decoder(experiment, [records_folder, other], tmp_path / "decoder")
    found = read_config(tmp_path / "decoder")["train_participants"]
    own = training_records(open_sources([records_folder])[0], experiment)
    assert {f"{cohort}/{p}" for cohort, people in found.items() for p in people if cohort != "one walker"} == {
        r.participant for r in own
    }
    assert found["one walker"] == ["sub-01"] and len(found["six walkers (simulated)"]) == trained
