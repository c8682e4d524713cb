"""Trainings held against one: trained once, asked the same, compared in pairs; and what each config differs by."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from biomechjax.command import load_config
from biomechjax.data.mixture import MixtureConfig
from biomechjax.errors import InputError, Stopped
from biomechjax.evaluation import ablations
from biomechjax.evaluation.ablation_tables import table_rows, write_ablations
from biomechjax.evaluation.ablations import Arm, Trained, ablate, compare_arms, make_arms, run_arm, shortened
from biomechjax.evaluation.answers import Answered
from biomechjax.language.config import PRESETS
from biomechjax.tasks.registry import BY_NAME
from biomechjax.training.config import DecoderExperiment, Stage, TrainConfig
from biomechjax.training.loop import fit

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = dict(width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8, mlp_width=32, unroll=2)
SOURCE = """
import dataclasses
import json
from biomechjax.data.mixture import MixtureConfig
from biomechjax.training.checkpoint import run_config, start_or_resume
from biomechjax.training.config import DecoderExperiment, TrainConfig

def config():
    return DecoderExperiment(TrainConfig(4, 4, 1e-3, save_every=2), mixture=MixtureConfig({mixture}), row_length=256)
"""


# What each config of the folder is there to change, and its value.
DIFFERENCES = {
    "only_diagnosis": {"mixture.tasks": {t: float(t == "diagnosis") for t in BY_NAME}},
    "only_impairment": {"mixture.tasks": {t: float(t == "impairment") for t in BY_NAME}},
    "only_cadence": {"mixture.tasks": {t: float(t == "cadence") for t in BY_NAME}},
    "size_2m": {"preset": "2m"},
    "size_4m": {"preset": "4m"},
    "text": {"mixture.movement": "text"},
    "people_25": {"people": 0.25},
    "people_50": {"people": 0.5},
    "no_views": {"views": 1},
    "code_noise": {"mixture.code_noise": 0.1},
    "alignment": {"stages": 1},
}


def flat(experiment: DecoderExperiment) -> dict:
    fields = {f.name: getattr(experiment, f.name) for f in dataclasses.fields(experiment)}
    fields |= {f"mixture.{f.name}": getattr(experiment.mixture, f.name) for f in dataclasses.fields(MixtureConfig)}
    return {k: len(v) if k == "stages" else v for k, v in fields.items() if k != "mixture"}


def test_every_config_differs_from_the_quickstart_s_in_what_it_is_called():
    base = flat(load_config(CONFIGS / "quickstart.py"))
    found = {}
    for path in sorted((CONFIGS / "ablations").glob("*.py")):
        mine = flat(load_config(path))
        found[path.stem] = {k: v for k, v in mine.items() if v != base[k]}
    assert found == DIFFERENCES


def test_the_aligned_stage_has_movements_and_descriptions_that_fit_a_row():
    experiment: DecoderExperiment = load_config(CONFIGS / "ablations" / "alignment.py")
    ((steps, kinds),) = [(s.steps, s.mixture.kinds) for s in experiment.stages]
    assert (steps, kinds.trial) == (200, 0)
    assert kinds.caption and kinds.generation and kinds.continuation
    # Movements are answers here: codes, what opens and closes them, and eos.
    assert experiment.stages[0].mixture.longest * experiment.codes_per_step + 3 <= experiment.row_length // 3


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A base, one of text, and one of a single task."""
    monkeypatch.setitem(PRESETS, "1m", TINY)
    only = {t: float(t == "diagnosis") for t in BY_NAME}
    for name, mixture in (("base", ""), ("text", 'movement="text"'), ("only", f"tasks={only}")):
        (tmp_path / f"{name}.py").write_text(SOURCE.format(mixture=mixture))
    return [tmp_path / f"{name}.py" for name in ("base", "text", "only")]


def test_an_arm_is_asked_what_it_was_trained_on(records_folder, records, tmp_path, monkeypatch):
    """Stopped while it was asked, the same call goes on."""
    calls: list[str] = []

    class Stub:
        params = {"a": np.zeros((2, 3)), "b": np.zeros(4)}
        run = {"git_commit": "0123abcd", "train_participants": {"six": ["sub-01", "sub-03"]}}

        def __init__(self, *of):
            calls.append("asked")

        load = classmethod(lambda cls, folder: cls.__new__(cls))

        def answers(self, questions, way):
            if calls == ["trained", "asked"]:
                raise KeyboardInterrupt
            return [q.task.answer.text(q.record.labels[q.task.label]) for q in questions]

    monkeypatch.setattr(ablations, "train_decoder", lambda *_: calls.append("trained"))
    monkeypatch.setattr(ablations, "TrainedDecoder", Stub)
    monkeypatch.setattr(ablations, "Answering", Stub)
    only = MixtureConfig(tasks={t: float(t == "diagnosis") for t in BY_NAME})
    mine = Arm("only", DecoderExperiment(TrainConfig(1, 4, 1e-3), mixture=only, people=0.5), records_folder)
    with pytest.raises(KeyboardInterrupt):
        run_arm(mine, records, tmp_path)
    first, again = (run_arm(mine, records, tmp_path) for _ in range(2))
    assert calls == ["trained", "asked"] * 3
    assert first == again
    assert (first.people, first.parameters, first.commit) == (2, 10, "0123abcd")
    expected = [
        (r.trial, r.labels["diagnosis"]) for r in records.read("test") if BY_NAME["diagnosis"].asked_of(r.labels)
    ]
    assert [(a.trial, a.parsed) for a in first.answered] == expected
    assert {a.task for a in first.answered} == {"diagnosis"}
    assert run_arm(mine, records, tmp_path, "validation").answered != first.answered


@pytest.mark.slow
def test_from_configs_to_a_table_stopped_on_the_way(configs, records_folder, records, tmp_path, monkeypatch):
    """A signal comes in the second training, which then goes on; what was trained and asked is not done again."""
    out, trained = tmp_path / "ablations", []

    def watched_fit(*args, **settings):
        trained.append(args[5].parent.name)
        if trained == ["base", "text"]:
            fit(*args[:4], dataclasses.replace(args[4], steps=1), *args[5:], **settings)
            raise Stopped("stopped")
        return fit(*args, **settings)

    monkeypatch.setattr("biomechjax.training.decoder.fit", watched_fit)
    arms = make_arms(configs[0], configs[1:], records_folder, steps=2)
    with pytest.raises(Stopped):
        ablate(arms, out, "test", "free", "python ablate.py")
    results = ablate(arms, out, "test", "free", "python ablate.py")
    write_ablations(results, out)
    assert trained == ["base", "text", "base", "text", "only"]
    log = (out / "base" / "decoder" / "metrics.jsonl").read_text().splitlines()
    assert len({json.loads(line)["step"] for line in log}) == len(log)  # the second time there was nothing to do
    asked = {
        name: sum(t.asked_of(r.labels) for r in records.read("test") for t in tasks)
        for name, tasks in (("base", BY_NAME.values()), ("only", [BY_NAME["diagnosis"]]))
    }
    with (out / "ablations.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = {
        arm: sum(int(r["n"]) for r in rows if r["arm"] == arm and r["metric"] == "unparsable")
        for arm in ("base", "text", "only")
    }
    assert counts == {"base": asked["base"], "text": asked["base"], "only": asked["only"]}
    assert {(r["split"], r["simulated"], r["answers"]) for r in rows} == {("test", "True", "free")}
    assert all(r["command"] == "python ablate.py" and r["git_commit"] and r["trained_at"] for r in rows)
    text = (out / "ablations.md").read_text()
    assert "SIMULATED" in text
    assert "    python ablate.py\n" in text
    assert results["arms"]["only"]["people"] == 3
    # The same folder with other steps is another ablation.
    with pytest.raises(InputError, match="holds another run: experiment.train.steps is 2 there and 4 here"):
        ablate(make_arms(configs[0], [], records_folder), out, "test", "free", "")


def people(count: int = 40) -> list[dict]:
    """Answers of the base to a label and a number about so many people, twice each; it is right about labels."""
    found = []
    for i in range(2 * count):
        about = {"participant": f"sub-{i // 2:02d}", "trial": f"trial-{i:02d}", "question": "?", "answer": ""}
        side = ("left", "right")[i % 2]
        found.append(about | {"task": "affected side", "parsed": side, "truth": side})
        speed = 0.5 + i / count
        found.append(about | {"task": "walking speed", "parsed": speed + 0.1 * (-1) ** i, "truth": speed})
    return found


def arm(name: str, answers: list[dict]) -> Trained:
    return Trained(
        Arm(name, DecoderExperiment(TrainConfig(1, 1, 1e-3)), Path()), 3, 9, "c", [Answered(**a) for a in answers]
    )


def compared(records, *arms: Trained) -> dict:
    return compare_arms(arms, records, "test", "free", "python ablate.py")


def test_differences_are_of_the_arm_minus_the_base_and_paired(records):
    base = people()
    wrong = [a | ({"parsed": "both"} if a["truth"] == "left" and int(a["trial"][-2:]) < 40 else {}) for a in base]
    apart = compared(records, arm("base", base), arm("worse", wrong))["tasks"]["affected side"]
    score = apart["worse"]["accuracy"]
    assert (apart["base"]["accuracy"]["value"], score["value"]) == (1, 0.75)
    assert apart["base"]["accuracy"]["minus_base"] is None
    assert score["minus_base"]["difference"] == -0.25
    low, high = score["minus_base"]["interval"]
    # Twenty of forty people are wrong in one of two answers: the standard error is known.
    error = 0.25 / np.sqrt(40)
    assert low == pytest.approx(-0.25 - 1.99 * error, abs=0.02)
    assert high == pytest.approx(-0.25 + 1.99 * error, abs=0.02)
    assert apart["worse"]["participants"]["value"] == 40
    # The same arm twice: the difference is nothing, however unsure the score.
    same = compared(records, arm("base", wrong), arm("same", wrong))["tasks"]["affected side"]["same"]["accuracy"]
    assert same["minus_base"] == {"difference": 0, "interval": [0, 0]}
    assert same["interval"][0] < 0.72


def test_a_number_that_does_not_parse_counts_as_the_mean_of_training(records):
    silent = [a | {"parsed": None} for a in people() if a["task"] == "walking speed"]
    known = [r.labels["walking_speed_m_s"] for r in records.read("train") if "walking_speed_m_s" in r.labels]
    base = [a for a in people() if a["task"] == "walking speed"]
    found = compared(records, arm("base", base), arm("silent", silent))["tasks"]["walking speed"]
    assert found["silent"]["mae"]["value"] == pytest.approx(np.mean([abs(a["truth"] - np.mean(known)) for a in base]))
    assert found["base"]["mae"]["value"] == pytest.approx(0.1)


def test_an_arm_of_one_task_has_lines_of_that_task_alone(records):
    base = people()
    results = compared(records, arm("base", base), arm("side", [a for a in base if a["task"] == "affected side"]))
    assert [row[:3] for row in table_rows(results)] == [
        ("affected side", "accuracy", "base"),
        ("affected side", "accuracy", "side"),
        ("walking speed", "Pearson r", "base"),
    ]


@pytest.mark.parametrize("change", [{"truth": "right"}, {"trial": "another"}, {"question": "!"}])
def test_arms_that_were_asked_something_else_are_refused(records, change):
    other = people()
    other[0] = other[0] | change
    with pytest.raises(InputError, match="other: asked about other trials than base, or their labels differ, as to"):
        compared(records, arm("base", people()), arm("other", other))


def test_every_figure_is_a_line(records, tmp_path):
    results = compared(records, arm("base", people()), arm("again", people()))
    write_ablations(results, tmp_path)
    with (tmp_path / "ablations.csv").open() as file:
        rows = {(r["task"], r["arm"], r["metric"]): r for r in csv.DictReader(file)}
    expected = {
        (task, name, metric)
        for task, by_arm in results["tasks"].items()
        for name, figures in by_arm.items()
        for metric in figures
        if metric not in ("n", "participants")
    }
    assert rows.keys() == expected
    mae = rows["walking speed", "again", "mae"]
    assert float(mae["value"]) == pytest.approx(0.1)
    assert (mae["minus_base"], mae["minus_base_low"], mae["participants"], mae["n"]) == ("0.0", "0.0", "40", "80")
    assert rows["walking speed", "base", "mae"]["minus_base"] == ""


def test_all_steps_are_shortened_alike():
    stages = (Stage(200, MixtureConfig()), Stage(100, MixtureConfig()))
    whole = DecoderExperiment(TrainConfig(700, 4, 1e-3), stages=stages)
    short = shortened(whole, 70)
    assert (short.train.steps, [s.steps for s in short.stages]) == (70, [20, 10])
    assert shortened(whole, 0) == whole
    assert dataclasses.replace(short, train=whole.train, stages=stages) == whole


def test_the_base_on_other_records_is_an_arm(configs, tmp_path):
    base, text, _ = configs
    arms = make_arms(base, [text], tmp_path / "records", ["noisy=elsewhere/records"])
    assert [(a.name, a.data) for a in arms] == [
        ("base", tmp_path / "records"),
        ("text", tmp_path / "records"),
        ("noisy", Path("elsewhere/records")),
    ]
    assert arms[2].experiment == arms[0].experiment != arms[1].experiment
    for wrong in (["noisy"], ["=x"], ["noisy="]):
        with pytest.raises(InputError, match="expected NAME=RECORDS"):
            make_arms(base, [text], tmp_path, wrong)
    with pytest.raises(InputError, match="text: two arms of this name"):
        make_arms(base, [text], tmp_path, ["text=x"])
