"""The evaluation from checkpoint to files, on an untrained decoder and on one whose answers are known."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from biomechjax.data.examples import Renderer
from biomechjax.errors import InputError
from biomechjax.evaluation import answers as answering
from biomechjax.evaluation.answers import Answering, beside_truth, questions_about
from biomechjax.evaluation.baselines.baseline import CONSTANT
from biomechjax.evaluation.baselines.summary import LINEAR, OnSummary
from biomechjax.evaluation.evaluate import evaluate, write_results
from biomechjax.evaluation.kept import Kept
from biomechjax.evaluation.metrics import scores, terms
from biomechjax.evaluation.tables import DECODER
from biomechjax.language.score_answers import score_answers
from biomechjax.tasks.registry import BY_NAME, TASKS
from biomechjax.tasks.task import Choice
from biomechjax.training.trained import TrainedDecoder

COHORT = "six walkers (simulated)"
RUN = {"kind": "decoder", "train_participants": {COHORT: ["sub-01", "sub-02", "sub-03"]}}


@pytest.fixture(scope="module")
def model() -> TrainedDecoder:
    experiment = {"mixture": {"longest": 240}}
    return TrainedDecoder(
        tiny.decoder_config(), tiny.decoder_params(), tiny.vocabulary(), tiny.tokenizer(), experiment, RUN
    )


QUICK = (CONSTANT, LINEAR)


@pytest.fixture(scope="module")
def untrained(model, records):
    return evaluate(model, records, baselines=QUICK)


def expected_questions(records, split="test"):
    return [(t.name, r.trial) for r in records.read(split) for t in TASKS if t.asked_of(r.labels)]


def test_every_task_is_asked_once_of_every_trial_with_its_label(untrained, records):
    metrics, answered = untrained
    assert [(a.task, a.trial) for a in answered] == expected_questions(records)
    counts = {name: rows[DECODER]["n"] for name, rows in metrics["tasks"].items()}
    # Two people with three trials each; one of them has no Berg score, and standing is not gait.
    assert counts == {
        "activity": 6,
        "impairment": 4,
        "diagnosis": 4,
        "walking speed": 2,
        "Timed Up and Go time": 2,
        "Berg Balance score": 2,
    }
    assert (metrics["participants"], metrics["split"], metrics["simulated"]) == (2, "test", True)


def test_of_two_people_nothing_is_sure(untrained, records):
    """Every score stands there, no interval does, and the file says of how many people."""
    metrics = untrained[0]
    assert metrics["bootstrap"]["least_participants"] > 2
    assert metrics["data_hash"] == records.hash
    for name, about in metrics["details"].items():
        assert about["participants"] == len({a.participant for a in untrained[1] if a.task == name}) <= 2
        for intervals in about["intervals"].values():
            assert set(intervals.values()) == {None}
        for differences in about["differences"].values():
            assert {d["interval"] for d in differences.values()} == {None}


def test_groups_are_of_the_people_who_were_asked(untrained, records):
    """Nothing parses, so that each is off by the distance of the training's mean from the own truth."""
    metrics = untrained[0]
    train, test = ([r.labels for r in records.read(split)] for split in ("train", "test"))
    mean = np.mean([row["walking_speed_m_s"] for row in train if "walking_speed_m_s" in row])
    groups = metrics["details"]["walking speed"]["groups"]
    assert list(groups) == ["diagnosis"]  # neither sex nor age is known
    for row in test:
        if "walking_speed_m_s" in row:
            found = groups["diagnosis"][row["diagnosis"]]
            assert found["scores"]["bias"] == pytest.approx(mean - row["walking_speed_m_s"])
            assert found["participants"] == 1
    assert {g["scores"]["n"] for g in metrics["details"]["impairment"]["groups"]["diagnosis"].values()} == {2}


def test_details_say_which_label_was_taken_for_which(monkeypatch, model, records):
    """A decoder that takes everybody for a stroke patient, and says nothing about one walk."""

    def stroke(model, codes, questions, tasks):
        mine = [(t, r) for r in records.read("test") for t in TASKS if t.asked_of(r.labels)]
        first = next(r.trial for t, r in mine if t.name == "diagnosis")
        return ["" if r.trial == first else "stroke" for _, r in mine]

    monkeypatch.setattr(answering, "ask", stroke)
    metrics, answered = evaluate(model, records, baselines=QUICK)
    about, truth = metrics["details"]["diagnosis"], [a.truth for a in answered if a.task == "diagnosis"]
    options = BY_NAME["diagnosis"].answer.options
    assert about["confusion"]["truth"] == list(options)
    assert about["confusion"]["answers"] == [*options, "unparsable"]
    expected = np.zeros((len(options), len(options) + 1), int)
    for i, t in enumerate(truth):
        expected[options.index(t), -1 if i == 0 else options.index("stroke")] += 1
    assert about["confusion"]["counts"][DECODER] == expected.tolist()
    of_stroke = about["per_class"][DECODER]["stroke"]
    assert of_stroke["support"] == truth.count("stroke")
    assert of_stroke["precision"] == pytest.approx(truth[1:].count("stroke") / (len(truth) - 1))
    assert set(metrics["details"]["walking speed"]) >= {"tolerance", "bland_altman"}
    assert metrics["details"]["walking speed"]["tolerance"]["value"] == 0.1
    assert "Perera" in metrics["details"]["walking speed"]["tolerance"]["source"]
    assert "calibration" not in about


def test_probabilities_are_held_against_the_truth(monkeypatch, model, records):
    """Of one who is sure of the truth, and of one who is as sure of another answer."""
    for right in (True, False):

        def sure(model, codes, questions, task, right=right):
            truths = [r.labels[task.label] for r in records.read("test") if task.asked_of(r.labels)]
            said = [t if right else next(o for o in task.answer.options if o != t) for t in truths]
            return [{o: float(o == s) for o in task.answer.options} for s in said]

        monkeypatch.setattr(answering, "label_probabilities", sure)
        details = evaluate(model, records, probabilities=True, baselines=QUICK)[0]["details"]
        for name, about in details.items():
            assert ("calibration" in about) == isinstance(BY_NAME[name].answer, Choice)
            if found := about.get("calibration"):
                assert (found["accuracy"], found["aurc"]) == ((1, 0) if right else (0, 1))
                assert (found["ece"], found["brier"]) == ((0, 0) if right else (1, 2))


def test_questions_are_held_out_wordings_and_truths_the_labels(untrained, records):
    labels = {r.trial: r.labels for r in records.read("test")}
    for a in untrained[1]:
        task = BY_NAME[a.task]
        assert a.question in task.held_out_questions
        assert a.truth == labels[a.trial][task.label]
        assert a.parsed == task.answer.parse(a.answer)


def test_decoder_and_baselines_are_scored_on_the_same_questions(untrained, records):
    metrics, answered = untrained
    train, test = records.read("train"), records.read("test")
    for name, rows in metrics["tasks"].items():
        task = BY_NAME[name]
        mine = [a for a in answered if a.task == name]
        asked = [r for r in test if task.asked_of(r.labels)]
        assert [a.trial for a in mine] == [r.trial for r in asked]
        assert tuple(rows) == (DECODER, *QUICK)
        given = {DECODER: [a.parsed for a in mine]}
        given |= {b: OnSummary(b).fit([task], train).predict(task, asked) for b in QUICK}
        constant = given[CONSTANT][0]
        for model, answers in given.items():
            fallback = constant if isinstance(constant, float) else 0.0
            sums = terms(task, [a.truth for a in mine], answers, fallback).sum(0)
            expected = {metric: float(value) for metric, value in scores(task, sums).items()}
            assert rows[model] == pytest.approx(expected, nan_ok=True), (name, model)


def test_right_and_silent_answers_are_scored_as_such(monkeypatch, model, records):
    """A decoder that knows everything, and one that says nothing, which is as good as the mean of training."""

    def oracle(model, codes, questions, tasks):
        labels = [r.labels for r in records.read("test") for t in TASKS if t.asked_of(r.labels)]
        tasks = [t for r in records.read("test") for t in TASKS if t.asked_of(r.labels)]
        return [t.answer_text(row) for t, row in zip(tasks, labels, strict=True)]

    monkeypatch.setattr(answering, "ask", oracle)
    for rows in evaluate(model, records, baselines=QUICK)[0]["tasks"].values():
        assert rows[DECODER]["unparsable"] == 0
        assert rows[DECODER].get("accuracy", 1) == 1
        assert rows[DECODER].get("mae", 0) == pytest.approx(0, abs=0.051)

    monkeypatch.setattr(answering, "ask", lambda model, codes, questions, tasks: ["well"] * len(questions))
    silent = evaluate(model, records, baselines=QUICK)[0]["tasks"]
    assert all(rows[DECODER]["unparsable"] == 1 for rows in silent.values())
    assert silent["diagnosis"][DECODER]["accuracy"] == 0
    for name in ("walking speed", "Berg Balance score"):
        assert silent[name][DECODER]["mae"] == pytest.approx(silent[name]["majority/mean"]["mae"])


def test_constrained_answers_all_parse(model, untrained, records):
    metrics, answered = evaluate(model, records, ways=["constrained"], baselines=QUICK)
    assert (untrained[0]["answers"], metrics["answers"]) == ("free", "constrained")
    assert all(rows[DECODER]["unparsable"] == 0 for rows in metrics["tasks"].values())
    assert all(rows[DECODER]["unparsable"] == 1 for rows in untrained[0]["tasks"].values())
    for free, a in zip(untrained[1], answered, strict=True):
        assert (free.task, free.trial, free.question) == (a.task, a.trial, a.question)
        assert a.answer in BY_NAME[a.task].answer.allowed
    assert len({a.answer for a in answered}) > 4


def test_probabilities_are_of_the_options_of_labels(model, untrained, records):
    test = records.read("test")
    asked = questions_about(test)
    found = Answering(model).probabilities(asked)
    answered = beside_truth(asked, [a.answer for a in untrained[1]], found, "free")
    assert [dataclasses.replace(a, probabilities=None) for a in answered] == untrained[1]
    for a in answered:
        if isinstance(BY_NAME[a.task].answer, Choice):
            assert tuple(a.probabilities) == BY_NAME[a.task].answer.options
            assert sum(a.probabilities.values()) == pytest.approx(1, abs=1e-5)
        else:
            assert a.probabilities is None
    # In another order and among other questions, the same question has the same probabilities.
    mine = next(a for a in reversed(answered) if a.task == "diagnosis")
    codes = next(np.array(r.views[0]) for r in test if r.trial == mine.trial)
    (alone,) = answering.label_probabilities(model, [codes], [mine.question], BY_NAME["diagnosis"])
    assert alone == pytest.approx(mine.probabilities, abs=1e-5)


def test_a_prompt_has_one_context_for_the_questions_of_a_movement(monkeypatch, model):
    seen = []
    monkeypatch.setattr(
        answering, "generate", lambda config, params, prompts, *_, **__: seen.extend(prompts) or [[]] * 3
    )
    one, other = np.arange(9), np.arange(1, 10)
    answering.ask(model, [one, other, one], ["How fast?", "How far?", "How far?"])
    (a, how_fast), (b, how_far), (c, again) = seen
    assert a == c != b
    assert how_far == again != how_fast


def test_prompts_hold_the_movement_cut_at_longest(monkeypatch, model):
    seen = []
    monkeypatch.setattr(answering, "generate", lambda config, params, prompts, *_, **__: seen.extend(prompts) or [[]])
    short = dataclasses.replace(model, experiment={"mixture": {"longest": 5}})
    assert answering.ask(short, [np.arange(9)], ["How fast?"]) == [""]
    text = tiny.vocabulary().decode(sum(seen[0], []))
    assert text.startswith("<bos><motion 5 tokens>")
    assert "How fast?" in text


def test_answers_follow_the_movement(model, records):
    """The same question about another movement: the decoder reads the codes it is given."""
    questions = ["What is the cadence?"] * 8
    codes = [np.resize(np.arange(i, 16), 20) for i in range(8)]
    found = answering.ask(model, codes, questions)
    assert len(set(found)) > 1
    assert found == answering.ask(model, codes, questions, batch_size=3)


def test_records_of_another_tokenizer_are_refused(model, records):
    codes = model.tokenizer.table.copy()
    codes[0, 3, 1] += 1e-3
    other = dataclasses.replace(model, tokenizer=dataclasses.replace(model.tokenizer, table=codes))
    with pytest.raises(InputError, match="written by another tokenizer"):
        evaluate(other, records)


def test_nobody_who_was_trained_on_is_asked_about(model, records):
    """As by another division of the same people; people of another cohort may have the same names."""
    people = sorted({r.participant for r in records.read("test")})
    met = {**RUN, "train_participants": {COHORT: ["sub-01", people[0]], "others": people}}
    with pytest.raises(InputError, match=f"{people[0]} is held out there, but the decoder was trained on 1 such of"):
        evaluate(dataclasses.replace(model, run=met), records, baselines=QUICK)
    with pytest.raises(InputError, match="the decoder does not say whom it was trained on"):
        evaluate(dataclasses.replace(model, run={"kind": "decoder"}), records, baselines=QUICK)


def test_a_label_that_no_answer_can_match_is_refused(model, records):
    wrong = dataclasses.replace(records.read("test")[0], labels={"activity": "timed up and go", "diagnosis": "gout"})
    with pytest.raises(InputError, match="task diagnosis, column diagnosis: label 'gout'"):
        questions_about([wrong])


def test_an_empty_split_is_refused(monkeypatch, model, records):
    monkeypatch.setattr(records, "read", lambda split: [])
    with pytest.raises(InputError, match="split 'validation' is empty"):
        evaluate(model, records, "validation")


def test_results_are_valid_json(untrained, tmp_path):
    """Numbers that are none become null, and a NaN in a text stays."""
    metrics, answered = untrained
    metrics = metrics | {"data": "NaN clinic"}
    run = {"data": "/data/NaN", "git_commit": "0123abcd", "experiment": {"train": {"steps": 3}}}
    write_results(metrics, answered, run, tmp_path / "eval")

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    text = (tmp_path / "eval" / "metrics.json").read_text()
    found = json.loads(text, parse_constant=no_constant)
    assert found["data"] == "NaN clinic"
    assert found["model"] == run
    assert found["tasks"]["walking speed"]["majority/mean"]["pearson_r"] is None
    assert found["tasks"]["diagnosis"] == metrics["tasks"]["diagnosis"]
    assert found["details"]["diagnosis"]["groups"] == metrics["details"]["diagnosis"]["groups"]
    assert found["details"]["diagnosis"]["confusion"] == metrics["details"]["diagnosis"]["confusion"]
    assert "NaN clinic" in (tmp_path / "eval" / "tables.csv").read_text()
    assert "decoder trained at commit 0123abcd" in (tmp_path / "eval" / "tables.tex").read_text()
    lines = (tmp_path / "eval" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=no_constant) for line in lines] == [dataclasses.asdict(a) for a in answered]


@pytest.fixture(scope="module")
def three_ways(model, records, tmp_path_factory):
    """Every way to answer, with what was kept; of numbers only the few of a Berg score are scored, to be quick."""
    kept = Kept(tmp_path_factory.mktemp("eval") / "kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering, "MOST_SCORED", 100)
        patch.setattr(answering, "MOST_ANSWERS", 40)  # so that its 57 values take two passes
        yield kept, *evaluate(model, records, ways=answering.WAYS, baselines=QUICK, kept=kept)


def test_ways_to_answer_stand_side_by_side(three_ways, untrained, records):
    """The same questions in each; scored answers are the likeliest options, and of times there are none."""
    _, metrics, answered = three_ways
    names = ["decoder (free)", "decoder (constrained)", "decoder (scored)"]
    assert metrics["decoders"] == names and metrics["answers"] == "free, constrained, scored"
    by_way = {way: [a for a in answered if a.way == way] for way in answering.WAYS}
    assert by_way["free"] == untrained[1]
    assert [(a.task, a.trial, a.question) for a in by_way["constrained"]] == [
        (a.task, a.trial, a.question) for a in untrained[1]
    ]
    left_out = {"walking speed", "Timed Up and Go time"}
    assert {a.task for a in untrained[1]} - {a.task for a in by_way["scored"]} == left_out
    assert metrics["absent"] == {names[2]: "more than 1000 values to score: walking speed, Timed Up and Go time"}
    for task, by_model in metrics["tasks"].items():
        assert list(by_model) == [*(names[:2] if task in left_out else names), *QUICK]
        mine = {way: [a for a in said if a.task == task] for way, said in by_way.items()}
        for way, name in zip(answering.WAYS, names, strict=True):
            if mine[way]:
                sums = terms(BY_NAME[task], [a.truth for a in mine[way]], [a.parsed for a in mine[way]], 0.0).sum(0)
                assert by_model[name]["unparsable"] == float(scores(BY_NAME[task], sums)["unparsable"])
        assert metrics["details"][task]["differences"][LINEAR].keys() == {k for k in by_model[names[0]] if k != "n"}


def test_scored_answers_are_the_likeliest_of_all_that_are_allowed(three_ways, model, records):
    """Of labels by their probabilities; of numbers by the log-probability of values, one by one."""
    scored = [a for a in three_ways[2] if a.way == "scored"]
    codes = {r.trial: np.array(r.views[0]) for r in records.read("test")}
    for a in scored[:3]:
        task = BY_NAME[a.task]
        if isinstance(task.answer, Choice):
            (chances,) = answering.label_probabilities(model, [codes[a.trial]], [a.question], task)
            assert a.answer == max(chances, key=chances.get)
    berg = next(a for a in scored if a.task == "Berg Balance score")
    task, renderer = BY_NAME[berg.task], Renderer(model.vocabulary)
    prompt = (renderer.context((model.reads(codes[berg.trial]),)), renderer.question(berg.question))
    some = (berg.answer, *task.answer.allowed[5::17])
    alone = [float(score_answers(model.config, model.params, [prompt], [renderer.answer(text)])[0, 0]) for text in some]
    assert alone[0] == max(alone) and min(alone) < max(alone)


def test_values_are_scored_alike_in_one_pass_and_in_several(monkeypatch, model, records):
    """Every answer stands once and in its place, however many a pass takes."""
    passes = []

    def score(config, params, prompts, part):
        passes.append(len(part))
        return np.array([[float(sum(ids)) + 100 * len(ids) for ids in part] for _ in prompts])

    monkeypatch.setattr(answering, "score_answers", score)
    task, renderer = BY_NAME["Berg Balance score"], Renderer(model.vocabulary)
    about = [np.array(records.read("test")[0].views[0])], ["Which Berg Balance score fits?"], task
    expected = [[float(sum(ids)) + 100 * len(ids) for ids in map(renderer.answer, task.answer.allowed)]]
    for most in (63, 20):
        monkeypatch.setattr(answering, "MOST_ANSWERS", most)
        assert answering.allowed_scores(model, *about).tolist() == expected
    assert passes == [57, 20, 20, 17]


def test_only_scored_leaves_out_what_it_cannot_score(three_ways, model, records):
    metrics, answered = evaluate(model, records, ways=["scored"], baselines=QUICK, kept=three_ways[0])
    assert not {"Timed Up and Go time", "walking speed"} & set(metrics["tasks"]) and metrics["decoders"] == [DECODER]
    assert answered == [a for a in three_ways[2] if a.way == "scored"]


def test_the_same_command_takes_what_was_kept(monkeypatch, three_ways, model, records):
    kept, metrics, answered = three_ways

    def again(*_, **__):
        raise AssertionError("asked again")

    monkeypatch.setattr(answering, "ask", again)
    monkeypatch.setattr(answering, "score_answers", again)
    monkeypatch.setattr(OnSummary, "fit", again)
    found = evaluate(model, records, ways=answering.WAYS, baselines=QUICK, kept=kept)
    assert found[1] == answered and json.dumps(found[0]) == json.dumps(metrics)
    # Another decoder, at another step say, and other records have answers of their own.
    moved = dataclasses.replace(model, params=jax.tree.map(lambda x: x + 1e-3, model.params))
    with pytest.raises(AssertionError, match="asked again"):
        evaluate(moved, records, baselines=QUICK, kept=kept)
    with pytest.raises(AssertionError, match="asked again"):
        evaluate(model, records, "validation", baselines=QUICK, kept=kept)
    monkeypatch.undo()


def test_a_stop_loses_no_more_than_what_was_under_way(monkeypatch, model, untrained, records, tmp_path):
    """Stopped after the first of three parts and, when gone on with, while a baseline is fitted."""
    monkeypatch.setattr(answering, "PART", 2)
    asked, real = [], answering.ask

    def ask(model, codes, questions, tasks):
        if len(asked) == 1:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(questions))
        return real(model, codes, questions, tasks)

    monkeypatch.setattr(answering, "ask", ask)
    kept = Kept(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, records, baselines=QUICK, kept=kept)
    fitted, fit = [], OnSummary.fit

    def stopped(self, tasks, train):
        fitted.append(self.name)
        if fitted == [CONSTANT, LINEAR]:
            raise KeyboardInterrupt
        return fit(self, tasks, train)

    monkeypatch.setattr(OnSummary, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, records, baselines=QUICK, kept=kept)
    metrics, answered = evaluate(model, records, baselines=QUICK, kept=kept)
    assert fitted == [CONSTANT, LINEAR, LINEAR]
    assert sum(asked) == len(answered) and len(asked) == 4
    assert answered == untrained[1] and metrics["tasks"]["activity"] == untrained[0]["tasks"]["activity"]


def test_what_baselines_lack_and_how_people_were_divided_is_in_the_results(monkeypatch, model, records):
    monkeypatch.setitem(records.manifest, "splits_by", "kfold:5:0")
    metrics = evaluate(model, records, baselines=["MiniRocket", "linear"])[0]
    assert metrics["absent"] == {"MiniRocket": "sees continuous recordings: needs --cohort"}
    assert metrics["splits"] == "kfold:5:0"
    assert list(metrics["tasks"]["activity"]) == [DECODER, CONSTANT, LINEAR]


@pytest.mark.parametrize("ways", [["free", "loud"], [], ["free", "free"]])
def test_ways_that_there_are_not_are_refused(model, records, ways):
    with pytest.raises(InputError, match="--answers .*expected some of free, constrained, scored, each once"):
        evaluate(model, records, ways=ways)
