"""Scores of allowed answers, as branches in one pass, equal those of one sequence at a time."""

import jax
import numpy as np
import pytest
from test_generate import END, PROMPTS, SETS, logits_behind

from biomechjax.language.score_answers import MOST_ANSWERS, score_answers, score_own_answers

ALLOWED = [*SETS[0], (END,)]


def alone(config, params, prompt, answer) -> float:
    sequence = [*prompt[0], *prompt[1], *answer]
    n = len(sequence)
    log_p = jax.nn.log_softmax(logits_behind(config, params, sequence))
    return float(sum(log_p[n - 1 - len(answer) + i, token] for i, token in enumerate(answer)))


def test_scores_equal_those_of_one_sequence_at_a_time(config, params):
    found = score_answers(config, params, PROMPTS, ALLOWED)
    expected = [[alone(config, params, prompt, answer) for answer in ALLOWED] for prompt in PROMPTS]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(found, axis=0).min() > 0.1


def test_batching_changes_nothing(config, params):
    found = score_answers(config, params, PROMPTS, ALLOWED)
    np.testing.assert_allclose(score_answers(config, params, PROMPTS, ALLOWED, batch_size=2), found, atol=1e-5)
    np.testing.assert_allclose(score_answers(config, params, PROMPTS[3:4], ALLOWED), found[3:4], atol=1e-5)


def test_probabilities_of_all_answers_sum_to_one(config, params):
    """Every token as the first and only one: nothing else can follow the prompt."""
    every = [(token,) for token in range(config.vocab_size)]
    halves = [score_answers(config, params, PROMPTS, half) for half in (every[:48], every[48:])]
    np.testing.assert_allclose(np.exp(np.concatenate(halves, axis=1)).sum(axis=1), 1, atol=1e-5)


def test_as_many_answers_as_branches(config, params):
    most = [(token, END) for token in range(MOST_ANSWERS)]
    found = score_answers(config, params, PROMPTS[:1], most)
    np.testing.assert_allclose(found[0, -1], alone(config, params, PROMPTS[0], most[-1]), atol=1e-4)
    with pytest.raises(ValueError, match="64 allowed answers; expected 1 to 63"):
        score_answers(config, params, PROMPTS, [*most, (90, END)])


def test_own_answers_score_as_one_sequence_at_a_time(config, params):
    """Answers of one to many tokens in one batch, behind prompts of all lengths."""
    own = [ALLOWED[i % len(ALLOWED)] for i in range(len(PROMPTS))]
    expected = [alone(config, params, *pair) for pair in zip(PROMPTS, own, strict=True)]
    for batch_size in (16, 2):
        np.testing.assert_allclose(score_own_answers(config, params, PROMPTS, own, batch_size), expected, atol=1e-4)
    assert len({len(answer) for answer in own}) > 2
    with pytest.raises(ValueError, match="answer 1 is empty"):
        score_own_answers(config, params, PROMPTS[:2], [ALLOWED[0], ()])


def test_no_prompts(config, params):
    assert score_answers(config, params, [], ALLOWED).shape == (0, 5)


@pytest.mark.parametrize(
    ("prompts", "allowed", "message"),
    [
        (PROMPTS, [], "0 allowed answers"),
        (PROMPTS, [(1, END), ()], "each with its stop id"),
        ([([1], [])], ALLOWED, "prompt 0 has an empty question"),
    ],
)
def test_bad_input_is_refused(config, params, prompts, allowed, message):
    with pytest.raises(ValueError, match=message):
        score_answers(config, params, prompts, allowed)
