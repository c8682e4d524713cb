"""Which token may follow which, when only some answers are allowed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Trie:
    """States that are reached by the tokens of an answer; answers that end alike share the states of their end.

    Attributes:
        tokens: [S, A] int32, the tokens that may follow in each state, rising.
        next: [S, A] int32, the state that each leads to; -1 where the row has fewer than A.
        starts: the first state of each set of answers.
        last: the state after an answer.
        longest: tokens of the longest answer.
    """

    tokens: np.ndarray
    next: np.ndarray
    starts: tuple[int, ...]
    last: int
    longest: int


def build_trie(sets: Sequence[Iterable[Sequence[int]]]) -> Trie:
    """One trie for sets of answers, each the ids of an answer with the stop id that ends it.

    Raises:
        ValueError: a set is empty, or an answer is the beginning of another, so that it would have no end.
    """
    states: dict[tuple[tuple[int, int], ...], int] = {}

    def state(endings: list[tuple[int, ...]]) -> int:
        following: dict[int, list[tuple[int, ...]]] = {}
        for ending in endings:
            if ending:
                following.setdefault(ending[0], []).append(ending[1:])
        if following and () in endings:
            raise ValueError("an allowed answer is the beginning of another; end each with a stop id")
        key = tuple((token, state(rest)) for token, rest in sorted(following.items()))
        return states.setdefault(key, len(states))

    answers = [[tuple(answer) for answer in answers] for answers in sets]
    if not all(any(answer) for answer in answers):
        raise ValueError(f"set {[any(a) for a in answers].index(False)} of allowed answers is empty")
    starts = tuple(map(state, answers))
    most = max(map(len, states), default=0)
    tokens, following = np.zeros((len(states), most), np.int32), np.full((len(states), most), -1, np.int32)
    for i, key in enumerate(states):
        if key:
            tokens[i, : len(key)], following[i, : len(key)] = np.transpose(key)
    return Trie(tokens, following, starts, states[()], max(len(a) for answer in answers for a in answer))
