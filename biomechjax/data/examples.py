"""An example: text and movements in any order, then questions about them, rendered to ids in one place.

Several questions about one context share its tokens. Each question and its answer is a branch that sees the context
and itself, never another branch, and its positions go on from the context, so that it is exactly the example with that
one question (see `language.decoder.BRANCHES`). A row holds several examples:

    tokens     bos <m> 17 4 9 </m>   Q1 Q1 A1 A1   Q2 Q2 Q2 A2   bos <m> ...
    segment     64  64 64 .. .. 64   65 65 65 65   66 66 66 66   128 128 ...
    position    0   1   2 3 4  5      6  7  8  9    6  7  8  9    0   1  ...
    answer      0   0   0 0 0  0      0  0  1  1    0  0  0  1    0   0  ...
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from biomechjax.language.decoder import BRANCHES
from biomechjax.language.vocabulary import Vocabulary

Segment = str | np.ndarray
"""Text, or the codes [n] of a movement."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """A question, and its answer: text or a movement."""

    question: str
    answer: Segment


@dataclasses.dataclass(frozen=True)
class Example:
    """What is shown, in order, and what is asked about it.

    Attributes:
        records: which records its movements are of, in the order in which they appear.
    """

    context: tuple[Segment, ...]
    turns: tuple[Turn, ...]
    records: tuple[int, ...] = ()


class Renderer:
    """Examples to ids; keeps the ids of texts it has met, since questions repeat."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._bos, self._eos = vocabulary.bos_id, vocabulary.eos_id  # slow to look up in transformers
        self._text: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        if text not in self._text:
            self._text[text] = self.vocabulary.encode_text(text)
        return self._text[text]

    def context(self, segments: tuple[Segment, ...]) -> list[int]:
        """Ids of the context, from bos on."""
        ids = [self._bos]
        for segment in segments:
            ids += self.text(segment) if isinstance(segment, str) else self.vocabulary.encode_motion(segment)
        return ids

    def question(self, question: str) -> list[int]:
        """Ids that follow the context; the answer begins right after them, text with a blank."""
        return self.text(question)

    def answer(self, answer: Segment) -> list[int]:
        """Ids that follow the question, with the eos that ends the answer."""
        ids = self.text(f" {answer}") if isinstance(answer, str) else self.vocabulary.encode_motion(answer)
        return [*ids, self._eos]

    def sizes(self, example: Example) -> tuple[int, list[int], list[int]]:
        """How many ids its context takes, each turn, and the answer in each turn."""
        answers = [len(self.answer(turn.answer)) for turn in example.turns]
        questions = [len(self.question(turn.question)) for turn in example.turns]
        return len(self.context(example.context)), [q + a for q, a in zip(questions, answers, strict=True)], answers

    def render(self, examples: Sequence[Example]) -> dict[str, np.ndarray]:
        """int32 arrays [n] of examples side by side: tokens, positions, segment_ids (from BRANCHES on; all that a mask
        needs), and answers (1 on answer tokens and the eos after them)."""
        tokens: list[int] = []
        # Of each piece: its size, where its positions begin, its segment, and whether it is an answer.
        pieces: list[tuple[int, int, int, int]] = []
        for number, example in enumerate(examples, start=1):
            context = self.context(example.context)
            tokens += context
            pieces.append((len(context), 0, number * BRANCHES, 0))
            for branch, turn in enumerate(example.turns, start=number * BRANCHES + 1):
                question, answer = self.question(turn.question), self.answer(turn.answer)
                tokens += question + answer
                pieces.append((len(question), len(context), branch, 0))
                pieces.append((len(answer), len(context) + len(question), branch, 1))
        size, first, segment, answers = np.array(pieces, np.int32).reshape(-1, 4).T
        begins = np.cumsum(size) - size
        return {
            "tokens": np.array(tokens, np.int32),
            "positions": (np.arange(len(tokens)) + np.repeat(first - begins, size)).astype(np.int32),
            "segment_ids": np.repeat(segment, size),
            "answers": np.repeat(answers, size),
        }
