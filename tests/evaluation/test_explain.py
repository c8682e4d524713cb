"""What answers depend on: seconds known by construction, probabilities scored another way, known neighbours."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation import explain as explaining
from biomechjax.evaluation.answers import MAX_ANSWER_TOKENS, answer_ids, ask, label_probabilities
from biomechjax.evaluation.explain import (
    MOST_WINDOWS,
    Window,
    explain,
    nearest_trials,
    occlusion,
    read_seconds,
    without_seconds,
)
from biomechjax.evaluation.inquiry import (
    SIMULATED,
    movement_json,
    movement_lines,
    open_movement,
    reply,
    reply_json,
    reply_lines,
    window_lines,
)
from biomechjax.language.decoder import Decoder
from biomechjax.motion.travel import straight_line_speed
from biomechjax.tasks.registry import BY_NAME, TASKS, task_of
from biomechjax.training.trained import TrainedDecoder

QUESTION = "Is there an impairment?"
KNEE = tiny.FORMAT.indices["knee_r"]


@pytest.fixture(scope="module")
def model() -> TrainedDecoder:
    experiment, run = {"mixture": {"longest": 30}}, {"simulated": True}
    return TrainedDecoder(
        tiny.decoder_config(), tiny.decoder_params(), tiny.vocabulary(), tiny.tokenizer(), experiment, run
    )


def test_the_stretch_that_an_answer_depends_on_is_found():
    """A score that looks at nothing but how far the right knee moves between 1.5 and 2 s."""
    walk = tiny.walk(3, 150)

    def score(movements):
        return np.array([np.ptp(m.values[45:60, KNEE]) for m in movements])

    whole, windows = occlusion(walk, walk.duration_s, score)
    assert whole == pytest.approx(np.ptp(walk.values[45:60, KNEE]))
    assert [w.start_s for w in windows] == pytest.approx(np.arange(0, 5, 0.5))
    assert [w.end_s for w in windows] == pytest.approx(np.arange(0.5, 5.5, 0.5))
    assert int(np.argmin([w.change for w in windows])) == 3 and windows[3].change < -0.1
    assert [w.change for i, w in enumerate(windows) if i != 3] == pytest.approx([0] * 9)


def test_windows_follow_one_another_over_what_is_read():
    def score(movements):
        return np.zeros(len(movements))

    for seconds, count in ((0.4, 2), (1.7, 3), (100.0, MOST_WINDOWS)):
        windows = occlusion(tiny.walk(0, 3000), seconds, score)[1]
        assert len(windows) == count and (windows[0].start_s, windows[-1].end_s) == (0, pytest.approx(seconds))
        assert all(a.end_s == b.start_s for a, b in zip(windows, windows[1:], strict=False))


@pytest.mark.parametrize(("start_s", "end_s"), [(1.0, 1.5), (0.0, 0.5), (2.5, 3.0), (2.0, 9.0)])
def test_only_the_stretch_is_a_straight_line(start_s: float, end_s: float):
    walk = tiny.walk(5, 90)
    found = without_seconds(walk, start_s, end_s)
    first, after = round(start_s * 30), min(round(end_s * 30), 90)
    inside = np.zeros(90, bool)
    inside[first:after] = True
    np.testing.assert_array_equal(found.values[~inside], walk.values[~inside])
    ends = np.unique(np.clip([first - 1, after], 0 if first else after, 89 if after < 90 else first - 1))
    np.testing.assert_allclose(np.diff(found.values[ends[0] : ends[-1] + 1], n=2, axis=0), 0, atol=1e-5)
    if len(ends) == 1:
        np.testing.assert_array_equal(found.values[inside], np.repeat(walk.values[ends], inside.sum(), axis=0))
    assert np.abs(found.values[inside] - walk.values[inside]).max() > 0.05
    with pytest.raises(ValueError, match="all of a recording"):
        without_seconds(walk, 0.0, 3.0)


def test_an_explanation_is_what_scoring_the_changed_movement_by_hand_gives(model):
    walk = tiny.walk(7, 90)
    codes = model.tokenizer.encode([walk])[0]
    question = QUESTION
    (answer,) = answer_ids(model, [codes], [question])
    found = explain(model, walk, question, answer, BY_NAME["impairment"])
    assert found.probabilities == label_probabilities(model, [codes], [question], BY_NAME["impairment"])[0]
    assert sum(found.probabilities.values()) == pytest.approx(1)
    scores = [by_hand(model, m, question, answer) for m in (walk, without_seconds(walk, 1.0, 1.5))]
    assert found.probability == pytest.approx(np.exp(scores[0]), rel=1e-3)
    assert len(found.windows) == 6
    assert found.windows[2].change == pytest.approx(scores[1] - scores[0], abs=1e-3)
    assert max(abs(w.change) for w in found.windows) > 0.01
    number = explain(model, walk, "How fast do they walk?", [7, 8], BY_NAME["walking speed"])
    assert number.task == "walking speed" and number.probabilities is None
    assert explain(model, walk, "Hm?", [3], None).task is None


def test_ids_of_an_answer_are_those_that_were_generated(model):
    """With the eos, but where the answer was cut off; the same whatever text they make."""
    codes = [model.tokenizer.encode([tiny.walk(i, 90)])[0] for i in range(6)]
    questions, eos = [QUESTION] * 6, model.vocabulary.eos_id
    for ids, text in zip(answer_ids(model, codes, questions), ask(model, codes, questions), strict=True):
        assert model.vocabulary.decode([i for i in ids if i != eos]).strip() == text
        assert ids[-1] == eos or len(ids) == MAX_ANSWER_TOKENS
    (allowed,), tasks = answer_ids(model, codes[:1], questions[:1], [BY_NAME["impairment"]]), [BY_NAME["impairment"]]
    assert allowed[-1] == eos and ask(model, codes[:1], questions[:1], tasks)[0] in ("yes", "no")


def by_hand(model, movement, question: str, target: list[int]) -> float:
    """log p of an answer by the decoder's own logits, over a row without padding."""
    words = model.vocabulary
    codes = model.reads(model.tokenizer.encode([movement])[0])
    prompt = [words.bos_id, *words.encode_motion(codes), *words.encode_text(question)]
    tokens = jnp.array([prompt + target])
    places = jnp.arange(tokens.shape[1])[None]
    decoder, variables = Decoder(model.config), {"params": model.params}
    hidden, _ = decoder.apply(variables, tokens, places, jnp.ones_like(tokens))
    found = jax.nn.log_softmax(decoder.apply(variables, hidden[0], method="logits"))
    return float(sum(found[len(prompt) - 1 + i, token] for i, token in enumerate(target)))


def test_only_what_the_model_reads_is_looked_at(model):
    """Thirty steps of eight frames at 30 Hz are eight seconds."""
    long = tiny.walk(1, 600)
    step_s = model.tokenizer.config.frames_per_step / 30
    assert read_seconds(model, long) == pytest.approx(30 * step_s)
    assert read_seconds(model, tiny.walk(1, 60)) == 2.0
    assert explain(model, long, "What?", [3, 4]).windows[-1].end_s == pytest.approx(30 * step_s)
    movement = open_movement(model, long)
    assert f"The model reads only the first {30 * step_s:.1f} s." in movement.notes and SIMULATED in movement.notes
    assert open_movement(model, tiny.walk(1, 60)).notes == (SIMULATED,)


def test_a_question_has_the_task_whose_wording_it_is(model):
    assert task_of("what is the  DIAGNOSIS") is BY_NAME["diagnosis"]
    assert task_of("Please give the gait speed.") is BY_NAME["walking speed"]
    assert task_of("Where is the cat?") is None
    for task in TASKS:  # each wording belongs to one task
        assert all(task_of(q) is task for q in (*task.questions, *task.held_out_questions))


def test_replies_are_the_answers_and_are_explained_on_request(model):
    walk = tiny.walk(7, 90)
    movement = open_movement(model, walk)
    questions = ["Is there an impairment?", "Well?"]
    plain = reply(model, movement, questions)
    assert [r.answer for r in plain] == ask(model, [movement.shown] * 2, questions)
    assert all(r.explanation is None for r in plain)
    one, other = reply(model, movement, questions, explained=True, task="diagnosis")
    assert (one.answer, other.answer) == tuple(r.answer for r in plain)
    assert (one.explanation.task, other.explanation.task) == ("impairment", "diagnosis")
    assert set(other.explanation.probabilities) == set(BY_NAME["diagnosis"].answer.options)
    with pytest.raises(InputError, match="task 'nosuch'; expected one of activity"):
        reply(model, movement, questions, task="nosuch")
    with pytest.raises(InputError, match="no question"):
        reply(model, movement, [" "])


def test_as_text_and_as_json(model):
    walk = tiny.walk(7, 90, speed=1.25)
    movement = open_movement(model, walk)
    (found,) = reply(model, movement, ["Is there an impairment?"], explained=True)
    values = json.loads(json.dumps([movement_json(movement), reply_json(found)], allow_nan=False))
    assert values[0]["measured_speed_m_s"] == pytest.approx(straight_line_speed(walk))
    assert values[0]["channels_recorded"] == 8 and values[0]["tokens"] == len(movement.shown)
    mattered = values[1]["explanation"]["seconds_that_mattered"]
    assert [w["change"] for w in mattered] == [w.change for w in found.explanation.windows]
    assert "not what causes it" in values[1]["explanation"]["how"]
    assert "explanation" not in reply_json(dataclasses.replace(found, explanation=None))
    lines = [*movement_lines(movement), *reply_lines(found)]
    assert lines[0] == f"note: {SIMULATED}" and f"{straight_line_speed(walk):.2f} m/s in a straight line" in lines[2]
    assert lines[4] == f"A: {found.answer}" and lines[-1].startswith("    2.50 -   3.00 s  ")
    options = [line.split()[0] for line in lines[7:9]]
    assert options == sorted(found.explanation.probabilities, key=lambda o: -found.explanation.probabilities[o])


def test_bars_show_which_way_and_how_much():
    shown = list(window_lines([Window(0, 0.5, -2.0), Window(0.5, 1, 1.0), Window(1, 1.5, -0.01)]))
    assert [line.count("█") for line in shown] == [30, 0, 0] and [line.count("░") for line in shown] == [0, 15, 0]
    assert shown[0].startswith("    0.00 -   0.50 s    -2.00  █")
    assert [line.count("█") for line in window_lines([Window(0, 1, -0.01)])] == [3]


def test_nearest_trials_are_training_trials_like_it(records: Records, cohort):
    """A training trial is nearest to itself, and nobody of the test split is ever near."""
    trial = next(t for t in cohort.trials_of("train") if t.labels["activity"] == "timed up and go")
    recording = cohort.read(trial)
    found = nearest_trials(records, records.tokenizer, recording, 4)
    assert (found[0].trial, found[0].distance) == (str(trial.path.relative_to(cohort.path)), pytest.approx(0, abs=1e-3))
    assert found[0].labels["activity"] == "timed up and go"
    assert [n.distance for n in found] == sorted(n.distance for n in found) and found[1].distance > 0.05
    assert {n.participant for n in found} <= {p for p, split in records.participants.items() if split == "train"}
    assert len(nearest_trials(records, records.tokenizer, recording, 99)) == len(records.read("train"))
    hidden = dataclasses.replace(recording, values=recording.values.copy(), observed=recording.observed.copy())
    hidden.observed[KNEE], hidden.values[:, KNEE] = False, 0.0
    assert nearest_trials(records, records.tokenizer, hidden)[0].distance == pytest.approx(0, abs=1e-3)


def test_records_that_do_not_fit_are_refused(records: Records, monkeypatch):
    other = dataclasses.replace(tiny.tokenizer(), table=tiny.tokenizer().table + 1)
    with pytest.raises(InputError, match="another tokenizer"):
        nearest_trials(records, other, tiny.walk(0))
    monkeypatch.setattr(explaining, "summary", lambda *_: [0.0] * 9)
    with pytest.raises(InputError, match="of another motion format"):
        nearest_trials(records, tiny.tokenizer(), tiny.walk(0))
    monkeypatch.setattr(records, "read", lambda split: [])
    with pytest.raises(InputError, match="no training trials"):
        nearest_trials(records, tiny.tokenizer(), tiny.walk(0))
