"""The folder of a run: what belongs to it, and what does not."""

import dataclasses
import json

import grain
import numpy as np
import pytest
import tiny

from biomechjax.errors import InputError
from biomechjax.training.checkpoint import Checkpoints, read_config, restore_params, run_config, start_or_resume
from biomechjax.training.config import DecoderExperiment, TokenizerExperiment, TrainConfig
from biomechjax.training.step import TrainState
from biomechjax.training.trained import TrainedDecoder

EXPERIMENT = TokenizerExperiment(TrainConfig(steps=5, batch_size=2, learning_rate=1e-3), model=tiny.TOKENIZER)


def config(folder, experiment=EXPERIMENT, kind="tokenizer", data_hash="abc"):
    return run_config(kind, experiment, [folder / "cohort"], [data_hash], ["six walkers"], True)


@pytest.fixture
def started(tmp_path):
    start_or_resume(tmp_path / "run", config(tmp_path))
    return tmp_path


def test_the_same_run_goes_on(started):
    before = (started / "run" / "config.json").read_text()
    start_or_resume(started / "run", config(started))
    start_or_resume(started / "run", config(started) | {"data": "/moved", "git_commit": "another"})
    assert (started / "run" / "config.json").read_text() == before
    assert read_config(started / "run")["experiment"]["model"]["width"] == tiny.TOKENIZER.width


@pytest.mark.parametrize(
    ("experiment", "field"),
    [
        (dataclasses.replace(EXPERIMENT, window=32), "experiment.window is 64 there and 32 here"),
        (
            dataclasses.replace(EXPERIMENT, train=dataclasses.replace(EXPERIMENT.train, learning_rate=2e-3)),
            "experiment.train.learning_rate is 0.001 there and 0.002 here",
        ),
        (
            dataclasses.replace(EXPERIMENT, model=dataclasses.replace(tiny.TOKENIZER, codebook_size=8)),
            "experiment.model.codebook_size is 16 there and 8 here",
        ),
    ],
)
def test_another_experiment_is_refused_with_its_field(started, experiment, field):
    with pytest.raises(InputError, match=f"holds another run: {field}; choose another --out"):
        start_or_resume(started / "run", config(started, experiment))


def test_a_run_goes_on_in_other_parts_of_its_batches(started):
    """How many there are belongs to the devices; what was saved before there were any has none."""
    path = started / "run" / "config.json"
    parts = dataclasses.replace(EXPERIMENT, train=dataclasses.replace(EXPERIMENT.train, accumulate=2))
    start_or_resume(started / "run", config(started, parts))
    older = json.loads(path.read_text())
    del older["experiment"]["train"]["accumulate"]
    path.write_text(json.dumps(older))
    start_or_resume(started / "run", config(started))


def test_other_data_and_another_kind_are_refused(started):
    with pytest.raises(InputError, match="data_hash is 'abc' there and 'abd' here"):
        start_or_resume(started / "run", config(started, data_hash="abd"))
    other = DecoderExperiment(EXPERIMENT.train)
    with pytest.raises(InputError, match="kind is 'tokenizer' there and 'decoder' here"):
        start_or_resume(started / "run", config(started, other, "decoder"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("John")
    for act in (lambda f: start_or_resume(f, config(tmp_path)), read_config, TrainedDecoder.load):
        with pytest.raises(InputError, match="letters: not a checkpoint folder"):
            act(tmp_path / "letters")
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_the_kind_asked_for_is_checked(started):
    with pytest.raises(InputError, match="a tokenizer checkpoint; expected a decoder checkpoint"):
        read_config(started / "run", "decoder")


def test_a_run_that_saved_nothing_is_refused(started):
    with pytest.raises(InputError, match="no saved step yet; run the training command again"):
        restore_params(started / "run")


@pytest.mark.parametrize("same", [True, False])
def test_data_saved_by_two_processes_is_gone_on_with_by_one_if_they_stood_at_one_place(tmp_path, same):
    def numbers():
        return iter(grain.MapDataset.range(10).to_iter_dataset())

    data, state = numbers(), TrainState(np.zeros((), np.int32), {"w": np.ones(3, np.float32)}, (), {})
    next(data)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, data)
    checkpoints.manager.wait_until_finished()
    of_one = tmp_path / "steps" / "1" / "data" / "process_0-of-1.json"
    if not same:
        next(data)
    of_one.with_name("process_0-of-2.json").write_text(of_one.read_text())
    of_one.rename(of_one.with_name("process_1-of-2.json")).write_text(json.dumps(data.get_state(), indent=4))
    resumed = numbers()
    if same:
        checkpoints.restore(1, state, resumed)
        assert next(resumed) == 1
    else:
        with pytest.raises(InputError, match="saved by 2 processes, .* go on with as many, not 1"):
            checkpoints.restore(1, state, resumed)
    checkpoints.close()
