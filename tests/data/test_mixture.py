"""Examples drawn from records: parts, wordings, true answers."""

import numpy as np
import tiny

from biomechjax.data.mixture import MixtureConfig, draw_example
from biomechjax.tasks.registry import STEADY_ACTIVITIES, TASKS


def draws(record, config, count=200, levels=1):
    rng = np.random.default_rng(0)
    return [draw_example(record, config, tiny.TOKENIZER.codebook_size, levels, rng) for _ in range(count)]


def is_part(codes: np.ndarray, whole: list[int]) -> bool:
    return any(whole[i : i + len(codes)] == codes.tolist() for i in range(len(whole) - len(codes) + 1))


def test_steady_activities_are_cut_to_parts_of_a_view():
    config = MixtureConfig(crop=0.5, shortest=9)
    for activity in STEADY_ACTIVITIES:
        record = tiny.record(1, codes=30, activity=activity)
        movements = [e.context[0] for e in draws(record, config)]
        assert all(any(is_part(m, view) for view in record.views) for m in movements)
        lengths = np.array([len(m) for m in movements])
        assert lengths.min() == 9
        # Half are cut, and a cut to the whole length is one of 22.
        assert np.mean(lengths == 30) == np.clip(np.mean(lengths == 30), 0.4, 0.65)
        assert {tuple(m) for m in movements} >= {tuple(view) for view in record.views}


def test_other_activities_and_short_trials_are_never_cut():
    for labels, codes in (({"activity": "timed up and go"}, 30), ({"movement": "deep squat"}, 30), ({}, 9)):
        record = tiny.record(1, codes=codes, **labels)
        for example in draws(record, MixtureConfig(crop=1.0, shortest=9), 50):
            assert example.context[0].tolist() in record.views


def test_a_long_trial_is_cut_after_longest():
    record = tiny.record(1, codes=30, activity="timed up and go")
    for example in draws(record, MixtureConfig(longest=12), 20):
        assert example.context[0].tolist() in [view[:12] for view in record.views]


def test_steps_of_several_codes_stay_whole_and_noise_stays_on_its_level():
    record = tiny.record(1, codes=30, activity="overground walking")
    record.views[:] = [[i % 2 * 8 + i // 2 % 8 for i in range(60)]]
    for example in draws(record, MixtureConfig(crop=1.0, shortest=4, longest=20), 200, levels=2):
        codes = example.context[0]
        assert 8 <= len(codes) <= 40
        assert len(codes) % 2 == 0
        assert is_part(codes, record.views[0][:40])
        assert codes[0] < 8 <= codes[1]
    noisy = [e.context[0] for e in draws(record, MixtureConfig(crop=0.0, code_noise=0.5), 50, levels=2)]
    assert all((c[::2] < 8).all() and (c[1::2] >= 8).all() for c in noisy)
    assert any((c != record.views[0]).any() for c in noisy)


def test_code_noise_replaces_its_share_within_the_codebook():
    record = tiny.record(1, codes=100, activity="timed up and go")
    record.views[:] = [[0] * 100]
    codes = np.concatenate([e.context[0] for e in draws(record, MixtureConfig(code_noise=0.2))])
    assert codes.min() == 0
    assert codes.max() == 15
    assert abs(np.mean(codes > 0) - 0.2 * 15 / 16) < 0.01
    assert not np.concatenate([e.context[0] for e in draws(record, MixtureConfig(), 10)]).any()


def test_answers_are_the_labels_and_questions_the_training_wordings():
    record = tiny.record(1)
    by_question = {q: t for t in TASKS for q in t.questions}
    asked, firsts = set(), set()
    for example in draws(record, MixtureConfig(turns=3), 1000):
        tasks = [by_question[turn.question] for turn in example.turns]
        assert len({t.name for t in tasks}) == 3
        for task, turn in zip(tasks, example.turns, strict=True):
            assert turn.answer == task.answer.text(record.labels[task.label])
        asked |= {turn.question for turn in example.turns}
        firsts.add(tasks[0].name)
    expected = [t for t in TASKS if t.asked_of(record.labels)]
    assert len(expected) == 5
    assert asked == {q for t in expected for q in t.questions}
    assert firsts == {t.name for t in expected}
    assert all(len(e.turns) == 5 for e in draws(record, MixtureConfig(turns=9), 5))


def test_a_faster_view_is_asked_for_the_numbers_of_a_faster_movement():
    labels = {"activity": "overground walking", "cadence_steps_min": 100.0, "step_length_m": 0.5}
    record = tiny.record(1, codes=9, **labels, walking_speed_m_s=1.0)
    record.paces[1] = 1.1
    answers = [{}, {}]
    for example in draws(record, MixtureConfig(crop=0.0), 50):
        view = record.views.index(example.context[0].tolist())
        answers[view] |= {turn.answer.split()[1]: turn.answer for turn in example.turns}
    assert answers[0] == {
        "steps/min": "100 steps/min",
        "m": "0.50 m",
        "m/s": "1.00 m/s",
        "walking": "overground walking",
    }
    assert answers[1] == {
        "steps/min": "110 steps/min",
        "m": "0.50 m",
        "m/s": "1.10 m/s",
        "walking": "overground walking",
    }
