"""Which errors are shown first."""

import dataclasses

from biomechjax.evaluation import worst
from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.worst import is_wrong, worst_answers
from biomechjax.tasks.registry import BY_NAME


def number(task: str, trial: str, truth: float, said: float | None) -> Answered:
    return Answered(task, "sub-01", trial, "?", str(said), said, truth)


def label(trial: str, truth: str, said: str | None, chance: float | None = None, task: str = "impairment") -> Answered:
    chances = None if chance is None else {o: 1 - chance for o in BY_NAME[task].answer.options} | {truth: chance}
    return Answered(task, "sub-01", trial, "?", str(said), said, truth, chances)


def trials(answered: list[Answered], task: str) -> list[str]:
    return [one.trial for one in worst_answers(answered)[task]]


def test_numbers_by_how_far_off_they_are_and_the_silent_last():
    speed = [("a", 1.0, 1.05), ("b", 1.0, None), ("c", 1.2, 0.9), ("d", 1.0, 1.35), ("e", 1.0, 1.2)]
    answered = [number("walking speed", *row) for row in speed]
    assert trials(answered, "walking speed") == ["d", "c", "e"]
    assert trials(answered[:3], "walking speed") == ["c", "b"]


def test_within_the_tolerance_or_the_rounding_nothing_is_wrong():
    assert not is_wrong(number("walking speed", "a", 0.2, 0.3))  # 0.1 off, but for the last bit
    assert is_wrong(number("walking speed", "a", 0.2, 0.31))
    assert not is_wrong(number("cadence", "a", 100.4, 100.0))
    assert is_wrong(number("cadence", "a", 100.6, 100.0))
    assert is_wrong(number("cadence", "a", 100.0, None)) and is_wrong(label("a", "yes", None))
    assert trials([number("cadence", "a", 100.4, 100.0)], "cadence") == []


def test_labels_by_how_unlikely_the_truth_was_held_to_be():
    answered = [
        label("right", "no", "no", 0.01),
        label("b", "yes", "no", 0.3),
        label("c", "yes", "no", 0.02),
        label("d", "no", None, 0.2),
        label("e", "yes", "no", 0.4),
    ]
    assert trials(answered, "impairment") == ["c", "d", "b"]


def test_labels_without_probabilities_where_most_is_wrong_about_a_trial():
    answered = [label("a", "yes", "no"), label("b", "no", "yes"), label("c", "yes", "yes"), label("d", "no", "yes")]
    answered += [
        label(t, "stroke", said, task="diagnosis") for t, said in (("a", "stroke"), ("b", "none"), ("c", "none"))
    ]
    answered.append(number("walking speed", "d", 1.0, 5.0))  # numbers do not count for labels
    assert trials(answered, "impairment") == ["b", "a", "d"]
    assert trials(answered, "diagnosis") == ["b", "c"]


def test_every_task_has_its_worst_before_any_has_a_second(monkeypatch):
    monkeypatch.setattr(worst, "MOVEMENTS", 3)
    answered = [number("walking speed", f"s{i}", 1.0, 2.0 + i) for i in range(4)]
    answered += [number("cadence", f"c{i}", 100.0, 110.0 + i) for i in range(4)]
    answered += [number("step length", trial, 0.5, 0.9) for trial in ("s3", "s2")]
    found = {task: [one.trial for one in mine] for task, mine in worst_answers(answered).items()}
    # About a trial that is shown anyway more may be said.
    assert found == {"walking speed": ["s3", "s2"], "cadence": ["c3"], "step length": ["s3", "s2"]}
    # Trials of one name of two people are two.
    monkeypatch.setattr(worst, "MOVEMENTS", 1)
    mine = number("walking speed", "a", 1.0, 3.0)
    other = dataclasses.replace(mine, participant="sub-02", parsed=2.0)
    assert worst_answers([other, mine]) == {"walking speed": [mine]}
