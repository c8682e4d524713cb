"""A trie allows its answers and nothing else."""

import numpy as np
import pytest

from biomechjax.language.trie import Trie, build_trie

END = 9
WORDS = [(1, 2, END), (1, 3, END), (4, END), (1, 2, 5, 3, END)]
NUMBERS = [(*(int(digit) for digit in f"{i:03d}"), 8, 7, END) for i in range(1000)]


def answers_from(trie: Trie, state: int) -> set[tuple[int, ...]]:
    if state == trie.last:
        return {()}
    steps = [(t, n) for t, n in zip(trie.tokens[state].tolist(), trie.next[state].tolist(), strict=True) if n >= 0]
    return {(token, *rest) for token, following in steps for rest in answers_from(trie, following)}


def test_each_set_allows_its_answers_and_nothing_else():
    trie = build_trie([WORDS, NUMBERS, WORDS[:2]])
    for start, answers in zip(trie.starts, [WORDS, NUMBERS, WORDS[:2]], strict=True):
        assert answers_from(trie, start) == set(answers)
    assert trie.longest == 6
    assert trie.tokens.shape == trie.next.shape
    assert trie.tokens.shape[1] == 10


def test_tokens_rise_so_that_ties_fall_as_over_the_whole_vocabulary():
    trie = build_trie([[(5, END), (3, END), (8, END), (1, END)]])
    assert trie.tokens[trie.starts[0]].tolist() == [1, 3, 5, 8]


def test_equal_endings_share_states():
    """Three digits, the unit of two tokens and the end, whatever the digits; the last state has no tokens."""
    assert len(build_trie([NUMBERS]).tokens) == 7
    assert len(build_trie([NUMBERS, NUMBERS]).tokens) == 7
    assert (build_trie([NUMBERS]).next[build_trie([NUMBERS]).last] == -1).all()


def test_repeated_answers_count_once():
    np.testing.assert_array_equal(build_trie([WORDS + WORDS]).tokens, build_trie([WORDS]).tokens)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([[(1, 2), (1, 2, 3)]], "beginning of another"),
        ([WORDS, []], "set 1 of allowed answers is empty"),
        ([[()]], "set 0 of allowed answers is empty"),
    ],
)
def test_answers_without_an_end_are_refused(sets, message):
    with pytest.raises(ValueError, match=message):
        build_trie(sets)
