"""The tasks as a whole: wordings that cannot be confused, and a text tokenizer that reads them all."""

import itertools
import re
import string

import pytest

from biomechjax.data.examples import Renderer
from biomechjax.language.vocabulary import Vocabulary, train_text_tokenizer
from biomechjax.tasks.registry import BY_NAME, STEADY_ACTIVITIES, TASKS, corpus
from biomechjax.tasks.task import Choice, Number


def plain(question: str) -> str:
    """A wording without what does not tell it from another."""
    return " ".join(question.lower().translate(str.maketrans("", "", string.punctuation)).split())


def test_names_and_labels_are_unique():
    assert len(BY_NAME) == len(TASKS)
    assert len({t.label for t in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_held_out_wordings_are_not_among_the_training_wordings(task):
    train, held_out = ({plain(q) for q in part} for part in (task.questions, task.held_out_questions))
    assert len(train) == len(task.questions) >= 5
    assert len(held_out) == len(task.held_out_questions) >= 2
    assert not train & held_out


def test_no_two_tasks_share_a_wording():
    wordings = {t.name: {plain(q) for q in t.questions + t.held_out_questions} for t in TASKS}
    for one, other in itertools.combinations(wordings, 2):
        assert not wordings[one] & wordings[other], (one, other)


def test_activities_are_those_that_can_be_answered():
    options = BY_NAME["activity"].answer.options
    assert {a for t in TASKS for a in t.activities} <= set(options)
    assert set(STEADY_ACTIVITIES) <= set(options)


def test_steady_activities_are_not_timed():
    """A crop of a timed test would no longer have its time."""
    for task in TASKS:
        if task.label.endswith("_time_s"):
            assert not set(task.activities) & set(STEADY_ACTIVITIES)


def test_tolerances_are_published_and_no_finer_than_what_can_be_said():
    tolerances = {t.name: t.answer.tolerance for t in TASKS if isinstance(t.answer, Number) and t.answer.tolerance}
    assert len(tolerances) >= 5
    for name, tolerance in tolerances.items():
        assert tolerance.value >= 10 ** -BY_NAME[name].answer.decimals
        pattern = r"minimal (detectable change|clinically important difference): .+ (19|20)\d\d, .+ \d+:\d+"
        assert re.match(pattern, tolerance.source), name


def test_held_out_wordings_need_no_bytes_that_training_lacks():
    """Every word of a held-out question stands in some training question or option."""
    known = {w for t in TASKS for q in t.questions for w in plain(q).split()}
    known |= {w for t in TASKS if isinstance(t.answer, Choice) for o in t.answer.options for w in plain(o).split()}
    unknown = {w for t in TASKS for q in t.held_out_questions for w in plain(q).split()} - known
    assert not unknown, unknown


def test_the_corpus_makes_short_prompts():
    """Every text survives its ids, and a question with its answer takes few: the merges have learned the words."""
    vocabulary = Vocabulary(train_text_tokenizer(corpus(), 768), 16)
    renderer = Renderer(vocabulary)
    for task in TASKS:
        answers = task.answer.options if isinstance(task.answer, Choice) else [task.answer.text(task.answer.high)]
        for question in task.questions + task.held_out_questions:
            ids = renderer.question(question)
            assert question in vocabulary.decode(ids)
            assert len(ids) <= 24, question
        for answer in answers:
            ids = renderer.text(f" {answer}")
            assert vocabulary.decode(ids) == f" {answer}"
            assert len(ids) <= 10, answer
