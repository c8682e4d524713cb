"""An example: text and movements in any order, then questions about them, rendered to ids in one place.

Several questions about one context share its tokens. Each question and its answer is a branch that sees the context
and itself, never another branch, and its positions go on from the context, so that it is exactly the example with that
one question (see `language.decoder.BRANCHES`):

    tokens     bos <m> 17 4 9 </m>   Q1 Q1 A1 A1   Q2 Q2 Q2 A2
    branch      0   0   0 0 0  0      1  1  1  1    2  2  2  2
    position    0   1   2 3 4  5      6  7  8  9    6  7  8  9
    answer      0   0   0 0 0  0      0  0  1  1    0  0  0  1
"""

import dataclasses

import numpy as np

from biomechjax.language.vocabulary import Vocabulary

Segment = str | np.ndarray
"""Text, or the codes [n] of a movement."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """A question and its answer, as text."""

    question: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Example:
    """What is shown, in order, and what is asked about it."""

    context: tuple[Segment, ...]
    turns: tuple[Turn, ...]


class Renderer:
    """Examples to ids; keeps the ids of texts it has met, since questions repeat."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._text: dict[str, list[int]] = {}

    def text(self, text: str) -> list[int]:
        if text not in self._text:
            self._text[text] = self.vocabulary.encode_text(text)
        return self._text[text]

    def context(self, segments: tuple[Segment, ...]) -> list[int]:
        """Ids of the context, from bos on."""
        ids = [self.vocabulary.bos_id]
        for segment in segments:
            ids += self.text(segment) if isinstance(segment, str) else self.vocabulary.encode_motion(segment.tolist())
        return ids

    def question(self, question: str) -> list[int]:
        """Ids that follow the context; the answer begins right after them, with a blank."""
        return self.text(question)

    def answer(self, answer: str) -> list[int]:
        """Ids that follow the question, with the eos that ends the answer."""
        return [*self.text(f" {answer}"), self.vocabulary.eos_id]

    def render(self, example: Example) -> dict[str, np.ndarray]:
        """int32 arrays [n]: tokens, branches, positions, and answers (1 on answer tokens and the eos after them)."""
        context = self.context(example.context)
        tokens, branches = list(context), [0] * len(context)
        positions, answers = list(range(len(context))), [0] * len(context)
        for branch, turn in enumerate(example.turns, start=1):
            question = self.question(turn.question)
            answer = self.answer(turn.answer)
            size = len(question) + len(answer)
            tokens += question + answer
            branches += [branch] * size
            positions += range(len(context), len(context) + size)
            answers += [0] * len(question) + [1] * len(answer)
        columns = {"tokens": tokens, "branches": branches, "positions": positions, "answers": answers}
        return {k: np.array(v, np.int32) for k, v in columns.items()}
