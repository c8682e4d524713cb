"""Examples drawn from records: parts, wordings, true answers."""

import dataclasses
import re

import numpy as np
import tiny

from biomechjax.data.mixture import Drawing, MixtureConfig
from biomechjax.tasks.registry import STEADY_ACTIVITIES, TASKS


def draws(record, config, count=200, levels=1):
    rng = np.random.default_rng(0)
    drawing = Drawing([record], config, tiny.TOKENIZER.codebook_size, levels)
    return [drawing.trial(0, rng) for _ in range(count)]


def is_part(codes: np.ndarray, whole: np.ndarray) -> bool:
    return any(np.array_equal(whole[i : i + len(codes)], codes) for i in range(len(whole) - len(codes) + 1))


def lists(views) -> list[list[int]]:
    return [view.tolist() for view in views]


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
            assert example.context[0].tolist() in lists(record.views)


def test_a_long_trial_is_cut_after_longest():
    record = tiny.record(1, codes=30, activity="timed up and go")
    for example in draws(record, MixtureConfig(longest=12), 20):
        assert example.context[0].tolist() in lists(view[:12] for view in record.views)


def test_steps_of_several_codes_stay_whole_and_noise_stays_on_its_level():
    record = tiny.record(1, codes=30, activity="overground walking")
    record.views[:] = [np.array([i % 2 * 8 + i // 2 % 8 for i in range(60)])]
    for example in draws(record, MixtureConfig(crop=1.0, shortest=4, longest=20), 200, levels=2):
        codes = example.context[0]
        assert 8 <= len(codes) <= 40
        assert len(codes) % 2 == 0
        assert is_part(codes, record.views[0])
        assert codes[0] < 8 <= codes[1]
    noisy = [e.context[0] for e in draws(record, MixtureConfig(crop=0.0, code_noise=0.5), 50, levels=2)]
    assert all((c[::2] < 8).all() and (c[1::2] >= 8).all() for c in noisy)
    assert any((c != record.views[0]).any() for c in noisy)


def test_code_noise_replaces_its_share_within_the_codebook():
    record = tiny.record(1, codes=100, activity="timed up and go")
    record.views[:] = [np.zeros(100, np.int32)]
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
        view = lists(record.views).index(example.context[0].tolist())
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


def people() -> list:
    """Two people, each walking three times at a pace of their own; one has had a stroke."""
    found = []
    for person, (diagnosis, berg) in enumerate((("stroke", 40), ("none", 55))):
        for trial in range(3):
            labels = {"activity": "overground walking", "diagnosis": diagnosis, "berg_score": berg}
            speed = {"walking_speed_m_s": 0.5 + person * 0.4 + trial * 0.06}
            record = tiny.record(10 * person + trial, codes=20, **labels, **speed)
            found.append(dataclasses.replace(record, participant=f"sub-{person}"))
    return found


def drawn(kind: str, count: int = 300, **mixture):
    drawing = Drawing(people(), MixtureConfig(**mixture), tiny.TOKENIZER.codebook_size, 1)
    items, rng = drawing.items(kind, range(6)), np.random.default_rng(0)
    return drawing, [getattr(drawing, kind)(items[i % len(items)], rng) for i in range(count)]


def test_comparisons_are_true_of_both_movements_in_either_order():
    drawing, found = drawn("comparison")
    answers = set()
    for example in found:
        (first, one, second, other), (a, b) = example.context, example.records
        assert (first, second) == ("First recording:", "Second recording:")
        for codes, number in ((one, a), (other, b)):
            assert any(is_part(codes, view) for view in drawing.records[number].views)
        mine, theirs = (drawing.records[n].labels for n in (a, b))
        for turn in example.turns:
            label = "berg_score" if "alance" in turn.question else "walking_speed_m_s"
            assert abs(mine[label] - theirs[label]) >= 0.1
            more = not {"slowly", "decrease", "fall"} & set(re.findall(r"\w+", turn.question))
            if changed := "walking speed" in turn.question and "which" not in turn.question.lower():
                assert a // 3 == b // 3
                assert turn.answer == ("yes" if (mine[label] < theirs[label]) == more else "no")
            else:
                assert turn.answer == ("the first" if (mine[label] > theirs[label]) == more else "the second")
            answers.add((label, changed, more, turn.answer))
    assert len(answers) == 10


def test_what_differs_too_little_is_not_compared():
    records = [tiny.record(i, activity="overground walking", walking_speed_m_s=1.0 + 0.04 * i) for i in range(3)]
    drawing = Drawing(records, MixtureConfig(), tiny.TOKENIZER.codebook_size, 1)
    assert drawing.items("comparison", range(3)) == []
    records[2].labels["walking_speed_m_s"] = 1.2
    nothing = dataclasses.replace(drawing, config=MixtureConfig(tasks={t.name: 0.0 for t in TASKS} | {"cadence": 1.0}))
    assert nothing.items("comparison", range(3)) == []  # nor could what makes up for a pair that does not differ
    rng = np.random.default_rng(0)
    for number in drawing.items("comparison", range(3)):
        assert 2 in drawing.comparison(number, rng).records


def test_a_faster_view_is_compared_as_the_faster_movement_it_is():
    records = [tiny.record(i, activity="overground walking", walking_speed_m_s=1.0 + 0.15 * i) for i in range(2)]
    records[0].paces[:] = [1.4, 1.4]
    drawing = Drawing(records, MixtureConfig(), tiny.TOKENIZER.codebook_size, 1)
    for _ in range(20):
        example = drawing.comparison(0, np.random.default_rng(_))
        for turn in example.turns:
            faster = example.records.index(0)
            assert turn.answer == ("the first", "the second")[faster if "slowly" not in turn.question else 1 - faster]


def test_visits_are_of_one_person_and_ask_about_the_person():
    drawing, found = drawn("visit", 40)
    assert drawing.items("visit", range(6)) == [0, 3]
    for example in found:
        who = {drawing.records[n].participant for n in example.records}
        assert len(who) == 1
        assert len(set(example.records)) == len(example.context) - 1 == 3
        truth = {"sub-0": {"stroke", "40 points"}, "sub-1": {"none", "55 points"}}[who.pop()]
        assert {turn.answer for turn in example.turns} == truth  # not the speed, which is of a recording


def test_what_the_recordings_of_a_person_disagree_on_is_not_asked_of_a_visit():
    records = people()
    records[1].labels["diagnosis"] = "none"
    drawing = Drawing(records, MixtureConfig(), tiny.TOKENIZER.codebook_size, 1)
    assert {t.answer for t in drawing.visit(0, np.random.default_rng(0)).turns} == {"40 points"}


def test_captions_and_their_movements_go_both_ways():
    drawing, shown = drawn("caption", 30, crop=0.0)
    _, made = drawn("generation", 30, crop=0.0)
    expected = [
        "activity: overground walking; diagnosis: stroke; walking speed: 0.50 m/s; Berg Balance score: 40 points",
        "activity: overground walking; diagnosis: none; walking speed: 0.90 m/s; Berg Balance score: 55 points",
    ]
    for number, text in zip((0, 3), expected, strict=True):
        (described,) = {e.turns[0].answer for e in shown if e.records == (number,)}
        assert described == text
        mine = [e for e in made if e.records == (number,)]
        assert mine
        assert all(text in e.turns[0].question and not e.context for e in mine)
        assert all(e.turns[0].answer.tolist() in lists(drawing.records[number].views) for e in mine)


def test_a_continuation_is_the_rest_of_the_movement_without_noise():
    drawing, found = drawn("continuation", 60, crop=0.0)
    for example in found:
        whole = [*example.context[0], *example.turns[0].answer]
        assert whole in lists(drawing.records[example.records[0]].views)
        assert len(example.context[0])
        assert len(example.turns[0].answer)
    _, noisy = drawn("continuation", 60, crop=0.0, code_noise=0.9)
    for example in noisy:
        rest = example.turns[0].answer.tolist()
        assert rest in lists(view[-len(rest) :] for view in drawing.records[example.records[0]].views)


def test_movements_of_an_example_share_the_longest_and_a_steady_one_is_cut_anywhere():
    drawing, found = drawn("visit", 60, crop=0.0, longest=12)
    assert {len(codes) for e in found for codes in e.context[1:]} == {4}
    begins = {
        view.tolist().index(codes[0])
        for e in found
        for codes, n in zip(e.context[1:], e.records, strict=True)
        for view in drawing.records[n].views
        if is_part(codes, view)
    }
    assert len(begins) > 3
