"""The answers that are most wrong, for a person to look at."""

from collections import Counter
from collections.abc import Sequence

from biomechjax.evaluation.answers import Answered
from biomechjax.tasks.registry import BY_NAME
from biomechjax.tasks.task import Number, Task

PER_TASK = 3
MOVEMENTS = 24  # shown at most, however many tasks there are


def worst_answers(answered: Sequence[Answered]) -> dict[str, list[Answered]]:
    """Up to PER_TASK wrong answers of each task, the worst first, about MOVEMENTS trials at most.

    Numbers by how far off they are, of those that are `is_wrong`; what did not parse has no size and
    comes last. Labels by how unlikely the truth was held to be, or where no probabilities were asked for, those first
    about whose trial most labels are wrong. In ties the order of the answers decides. Where there is no room for all,
    the worst of every task come before the second of any.

    Returns:
        {task: answers}, empty lists for tasks without a wrong one.
    """
    by_task: dict[str, list[Answered]] = {}
    for one in answered:
        by_task.setdefault(one.task, []).append(one)
    wrong_labels = _wrong_labels(answered)
    ranked = {task: _ranked(BY_NAME[task], mine, wrong_labels) for task, mine in by_task.items()}
    chosen: dict[str, list[Answered]] = {task: [] for task in by_task}
    trials: set[tuple[str, str]] = set()
    for rank in range(PER_TASK):
        for task, mine in ranked.items():
            if rank < len(mine) and ((key := trial_of(mine[rank])) in trials or len(trials) < MOVEMENTS):
                trials.add(key)
                chosen[task].append(mine[rank])
    return chosen


def trial_of(one: Answered) -> tuple[str, str]:
    """The recording that an answer is about."""
    return one.participant, one.trial


def is_wrong(one: Answered) -> bool:
    """Whether an answer does not parse, is another label than the truth, or a number that is off by more than the
    task's tolerance, where it has none by more than its rounding."""
    answer = BY_NAME[one.task].answer
    if one.parsed is None or not isinstance(answer, Number):
        return one.parsed != one.truth
    tolerated = answer.tolerance.value if answer.tolerance else 0.5 * 10**-answer.decimals
    return _off(one) > tolerated + 1e-9  # as in metrics: 0.1 + 0.2 is within 0.1 of 0.2


def _ranked(task: Task, mine: Sequence[Answered], wrong_labels: Counter[tuple[str, str]]) -> list[Answered]:
    wrong = [one for one in mine if is_wrong(one)]
    if isinstance(task.answer, Number):
        return sorted(wrong, key=_off, reverse=True)
    if all(one.probabilities for one in wrong):
        return sorted(wrong, key=lambda one: (one.probabilities or {})[str(one.truth)])
    return sorted(wrong, key=lambda one: -wrong_labels[trial_of(one)])


def _off(one: Answered) -> float:
    return -1.0 if one.parsed is None else abs(float(one.parsed) - float(one.truth))


def _wrong_labels(answered: Sequence[Answered]) -> Counter[tuple[str, str]]:
    """How many labels are wrong of each trial."""
    labels = (one for one in answered if not isinstance(BY_NAME[one.task].answer, Number))
    return Counter(trial_of(one) for one in labels if is_wrong(one))
