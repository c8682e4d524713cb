"""The layout of an example: what stands where, and what is asked for."""

import numpy as np
import tiny

from biomechjax.data.examples import Example, Renderer, Turn
from biomechjax.language.decoder import BRANCHES

VOCABULARY = tiny.vocabulary()
CODES = np.array([3, 0, 15])


def renderer() -> Renderer:
    return Renderer(tiny.vocabulary())


def text(ids) -> str:
    return VOCABULARY.decode(ids)


def test_layout_is_that_of_the_module():
    example = Example((CODES,), (Turn("How fast?", "1.25 m/s"), Turn("Why?", "yes")))
    columns = renderer().render([example])
    tokens, branches, positions, answers = (columns[k] for k in ("tokens", "segment_ids", "positions", "answers"))
    branches = branches - BRANCHES
    assert {c.dtype for c in columns.values()} == {np.dtype(np.int32)}
    assert len({len(c) for c in columns.values()}) == 1

    v, offset = VOCABULARY, VOCABULARY.motion_offset
    context = [v.bos_id, v.motion_start, offset + 3, offset, offset + 15, v.motion_end]
    assert tokens[branches == 0].tolist() == context
    assert positions[branches == 0].tolist() == list(range(6))
    assert not answers[branches == 0].any()
    for branch, question, answer in ((1, "How fast?", "1.25 m/s"), (2, "Why?", "yes")):
        mine = branches == branch
        assert question in text(tokens[mine & (answers == 0)])
        assert text(tokens[mine & (answers == 1)][:-1]) == f" {answer}"
        assert tokens[mine][-1] == v.eos_id
        assert answers[mine][-1] == 1
        assert positions[mine].tolist() == list(range(6, 6 + mine.sum()))
    assert (np.diff(branches) >= 0).all()
    mine = [branches == b for b in (1, 2)]
    assert renderer().sizes(example) == (6, [m.sum() for m in mine], [answers[m].sum() for m in mine])

    again = renderer().render([Example((), (Turn("Why?", "no"),)), example])
    assert again["segment_ids"][-len(tokens) :].tolist() == (branches + 2 * BRANCHES).tolist()
    for name in ("tokens", "positions", "answers"):
        assert again[name][-len(tokens) :].tolist() == columns[name].tolist()


def test_an_answer_may_be_a_movement():
    columns = renderer().render([Example((), (Turn("Show a squat.", CODES),))])
    answer = columns["tokens"][columns["answers"] == 1]
    assert answer.tolist() == [*VOCABULARY.encode_motion(CODES), VOCABULARY.eos_id]
    assert text(answer) == "<motion 3 tokens><eos>"


def test_prompt_of_a_question_is_the_example_up_to_its_answer():
    context = ("Before:", CODES, " and after:", CODES[:1])
    columns = renderer().render([Example(context, (Turn("Better?", "yes"),))])
    prompt = renderer().context(context) + renderer().question("Better?")
    assert columns["tokens"].tolist()[: len(prompt)] == prompt
    assert columns["answers"].tolist() == [0] * len(prompt) + [1] * (len(columns["tokens"]) - len(prompt))
    assert text(prompt[1:]).startswith("Before:<motion 3 tokens> and after:<motion 1 tokens>")
    assert "Better?" in text(prompt)


def test_texts_met_before_give_the_same_ids():
    one = renderer()
    assert (
        one.text("What is the cadence?") == one.text("What is the cadence?") == renderer().text("What is the cadence?")
    )
