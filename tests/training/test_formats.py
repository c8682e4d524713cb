"""A tokenizer of several cohorts: it learns each format, and a stopped run goes on to the bit."""

import dataclasses
import json
import os
import signal

import labs
import numpy as np
import pytest
import tiny

from biomechjax.cohort.folder import Cohort, write_cohort
from biomechjax.data.records import Records
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError, Stopped
from biomechjax.parallel.runner import Runner
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training.config import TokenizerExperiment, TrainConfig
from biomechjax.training.tokenizer import feature_statistics, train_tokenizer

EXPERIMENT = TokenizerExperiment(
    TrainConfig(steps=6, batch_size=4, learning_rate=3e-3, warmup_steps=2, log_every=2, save_every=3),
    tiny.TOKENIZER,
    window=32,
    views=ViewConfig(count=1),
)


def write(out, recordings, format) -> Cohort:
    """Three people, one walk each; the last is held out."""
    write_cohort(
        out,
        name=f"walkers of {format.name}",
        simulated=format is labs.FIRST,
        format=format,
        tracking_system="markers",
        participants=[{"participant_id": f"sub-{i}", "split": "test" if i == 2 else "train"} for i in range(3)],
        trials=lambda row: [({"task": "walk"}, recordings[int(row["participant_id"][-1])])],
    )
    return Cohort.load(out)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Cohort]:
    folder = tmp_path_factory.mktemp("cohorts")
    return [
        write(folder / "first", [labs.first(i, 200) for i in range(3)], labs.FIRST),
        write(folder / "second", [labs.second(10 + i, 70, elbow=0.2 * i) for i in range(3)], labs.SECOND),
    ]


@pytest.fixture(scope="module")
def whole(two, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "tokenizer"
    return out, train_tokenizer(EXPERIMENT, [c.path for c in two], out)


@pytest.mark.slow
def test_stopped_and_resumed_equals_never_stopped(two, whole, tmp_path, monkeypatch):
    place, steps = Runner.place_batch, []

    def place_and_stop(self, batch):
        steps.append(1)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return place(self, batch)

    monkeypatch.setattr(Runner, "place_batch", place_and_stop)
    data, out = [c.path for c in two], tmp_path / "parts"
    with pytest.raises(Stopped, match="stopped and saved at step 4 of 6"):
        train_tokenizer(EXPERIMENT, data, out)
    train_tokenizer(EXPERIMENT, data, out)
    assert len(steps) == 6
    file = "motion_tokenizer/tokenizer.safetensors"
    assert (out / file).read_bytes() == (whole[0] / file).read_bytes()


def test_a_run_knows_all_its_cohorts(two, whole):
    config = json.loads((whole[0] / "config.json").read_text())
    assert config["cohort"] == "walkers of first (simulated), walkers of second"
    assert config["data_hash"] == ", ".join(c.data_hash() for c in two)
    assert config["simulated"] is True
    with pytest.raises(InputError, match="holds another run: data_hash"):
        train_tokenizer(EXPERIMENT, [two[0].path], whole[0])


def test_each_format_is_checked_by_itself(whole):
    metrics = whole[1]
    assert {k.partition("/")[0] for k in metrics} == {"step", "first", "second"}
    assert metrics["first/angle_error_deg"] != metrics["second/angle_error_deg"]


def test_both_cohorts_become_records(two, whole, tmp_path):
    tokenizer = MotionTokenizer.load(whole[0] / "motion_tokenizer")
    for cohort in two:
        write_records(tokenizer, cohort, tmp_path / cohort.format.name, ViewConfig(1))
        [record] = Records(tmp_path / cohort.format.name).read("test")
        expected = tokenizer.encode([cohort.read(cohort.trials_of("test")[0])])[0]
        np.testing.assert_array_equal(record.views[0], expected)


@pytest.mark.slow
def test_cohorts_of_one_format_are_pooled(two, tmp_path):
    more = write(tmp_path / "more", [labs.first(20 + i, 80) for i in range(3)], labs.FIRST)
    out = tmp_path / "pooled"
    assert "angle_error_deg" in train_tokenizer(EXPERIMENT, [two[0].path, more.path], out)
    tokenizer = MotionTokenizer.load(out / "motion_tokenizer")
    assert tokenizer.formats == (labs.FIRST,)
    expected = feature_statistics([c.read(t) for c in (two[0], more) for t in c.trials_of("train")], 30.0)
    np.testing.assert_array_equal(tokenizer.statistics["first"].mean, expected.mean)
    np.testing.assert_array_equal(tokenizer.statistics["first"].std, expected.std)


def test_formats_that_share_a_name_only_are_refused(two, tmp_path):
    other = dataclasses.replace(labs.SECOND, name="first")
    recordings = [dataclasses.replace(labs.second(i), format=other) for i in range(3)]
    cohort = write(tmp_path / "other", recordings, other)
    with pytest.raises(InputError, match="two motion formats with different channels are called first"):
        train_tokenizer(EXPERIMENT, [two[0].path, cohort.path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
