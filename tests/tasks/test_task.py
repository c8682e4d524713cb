"""Answers: written, read back, and refused."""

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.tasks.registry import BY_NAME, TASKS
from biomechjax.tasks.task import Choice, Number, Task

CHOICES = [t for t in TASKS if isinstance(t.answer, Choice)]
NUMBERS = [t for t in TASKS if isinstance(t.answer, Number)]


def name(task: Task) -> str:
    return task.name


@pytest.mark.parametrize("task", CHOICES, ids=name)
def test_every_option_is_read_back(task):
    assert len(task.answer.options) == len(set(task.answer.options)) > 1
    for option in task.answer.options:
        assert task.answer.parse(task.answer.text(option)) == option
        assert task.answer.parse(f"  {option.upper()}. ") == option


@pytest.mark.parametrize("task", NUMBERS, ids=name)
def test_numbers_are_read_back_to_their_decimals(task):
    answer = task.answer
    values = [answer.low, answer.high, *np.random.default_rng(0).uniform(answer.low, answer.high, 300)]
    for value in map(float, values):
        read = answer.parse(answer.text(value))
        assert read == pytest.approx(value, abs=0.5 * 10**-answer.decimals + 1e-9)
        assert answer.text(read) == answer.text(value)


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_what_is_allowed_is_what_can_be_said(task):
    """Every allowed text is read as a value that is said so, and every value is said in an allowed text."""
    allowed = task.answer.allowed
    assert 1 < len(set(allowed)) == len(allowed) < 10_000
    assert [task.answer.text(task.answer.parse(text)) for text in allowed] == list(allowed)
    if isinstance(task.answer, Number):
        low, high = task.answer.low, task.answer.high
        values = [low, high, *np.random.default_rng(0).uniform(low, high, 300)]
        assert {task.answer.text(float(value)) for value in values} <= set(allowed)


def test_bounds_between_decimals_are_kept():
    assert Number("m", 1, -0.15, 0.26).allowed == ("-0.1 m", "0.0 m", "0.1 m", "0.2 m")


@pytest.mark.parametrize("task", TASKS, ids=name)
@pytest.mark.parametrize(
    "text", ["", "perhaps", "<motion 3 tokens>", "1.2", "1.2 parsecs", "nan m/s", "yes no", "inf s"]
)
def test_what_is_no_answer_is_none(task, text):
    assert task.answer.parse(text) is None


@pytest.mark.parametrize(
    "text", ["9.5 m/s", "-0.10 m/s", "1.2 m/s 1.3 m/s", "1.2.3 m/s", "1,2 m/s", "m/s", "1. m/s", "0x1 m/s", "1e0 m/s"]
)
def test_implausible_or_garbled_speeds_are_none(text):
    assert BY_NAME["walking speed"].answer.parse("1.25 m/s") == 1.25
    assert BY_NAME["walking speed"].answer.parse(text) is None


@pytest.mark.parametrize("task", TASKS, ids=name)
@pytest.mark.parametrize("value", ["sideways", -1.0, 1e6, float("nan"), float("inf")])
def test_a_label_that_does_not_fit_names_task_and_column(task, value):
    with pytest.raises(InputError, match=f"task {task.name}, column {task.label}: label .*; expected"):
        task.answer_text({task.label: value})


def test_a_task_is_asked_where_its_label_and_activity_are():
    speed, diagnosis, exercise = (BY_NAME[n] for n in ("walking speed", "diagnosis", "exercise"))
    walking = {"activity": "overground walking", "walking_speed_m_s": 1.0, "movement": "deep squat"}
    assert speed.asked_of(walking)
    assert not diagnosis.asked_of(walking)
    assert not speed.asked_of({**walking, "activity": "tandem gait"})
    assert not speed.asked_of({"walking_speed_m_s": 1.0})
    assert exercise.asked_of(walking)
    assert exercise.asked_of({"movement": "deep squat"})


def test_a_duration_shrinks_with_the_pace_and_a_score_stays():
    labels = {"tug_time_s": 12.0, "berg_score": 50.0, "walking_speed_m_s": 7.9}
    assert BY_NAME["Timed Up and Go time"].answer_text(labels, pace=1.25) == "9.6 s"
    assert BY_NAME["Berg Balance score"].answer_text(labels, pace=1.25) == "50 points"
    assert BY_NAME["walking speed"].answer_text(labels, pace=1.25) == "8.00 m/s"  # the most that is plausible
