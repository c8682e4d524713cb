"""A packed batch as a person would read it."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from rich.text import Text

from biomechjax.data.examples import Example
from biomechjax.data.records import Record
from biomechjax.language.decoder import BRANCHES
from biomechjax.language.vocabulary import Vocabulary

ANSWER_STYLE = "bold green"


def show_row(
    row: Mapping[str, np.ndarray], examples: Sequence[Example], records: Sequence[Record], vocabulary: Vocabulary
) -> Text:
    """A row as the decoder gets it (see `render_row`), made of these examples: a line for each context and question.

    A movement is shown as `<motion 57 tokens: overground walking, sub-012>`; tokens that carry loss are marked by a
    style and, for a terminal without, by brackets. The last line says how full the row is.
    """
    tokens, segments = row["tokens"], row["segment_ids"]
    carries_loss = np.zeros(len(tokens), bool)
    carries_loss[row["loss_positions"][row["loss_weights"] > 0] + 1] = True
    movements = iter(records[number] for example in examples for number in example.records)
    text = Text()
    for segment, places in groupby(np.flatnonzero(segments), key=lambda i: segments[i]):
        example, branch = divmod(int(segment), BRANCHES)
        text.append(f"{example:3d}   " if branch == 0 else "      ")
        for answers, part in groupby(places, key=lambda i: carries_loss[i]):
            words, *counts = vocabulary.decode(tokens[list(part)]).split(" tokens>")
            for count in counts:
                record = next(movements)
                about = ", ".join(filter(None, (str(record.labels.get("activity", "")), record.participant)))
                words += f" tokens: {about}>{count}"
            text.append(f"[{words}]" if answers else words, ANSWER_STYLE if answers else None)
        text.append("\n")
    used = np.count_nonzero(segments)
    return text.append(f"{used} of {len(tokens)} tokens, {carries_loss.sum()} of them carry loss")


def fill(rows: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float]:
    """The share of rows' tokens that are no padding: as they are packed, and with each example padded to a row."""
    segments = np.stack([row["segment_ids"] for row in rows])
    examples = sum(len(set((row[row > 0] // BRANCHES).tolist())) for row in segments)
    used = np.count_nonzero(segments)
    return used / segments.size, used / (examples * segments.shape[1])
