"""A packed batch as a person would read it."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from rich.text import Text

from biomechjax.data.records import Record
from biomechjax.language.decoder import BRANCHES
from biomechjax.language.vocabulary import Vocabulary

ANSWER_STYLE = "bold green"


def show_row(batch: Mapping[str, np.ndarray], row: int, records: Sequence[Record], vocabulary: Vocabulary) -> Text:
    """One row of a batch with records [B,T] (see `packed_batches`): a line for each context and each question.

    A movement is shown as `<motion 57 tokens: overground walking, sub-012>`; tokens that carry loss are marked by a
    style and, for a terminal without, by brackets. The last line says how full the row is.
    """
    tokens, segments = batch["tokens"][row], batch["segment_ids"][row]
    carries_loss = np.zeros(len(tokens), bool)
    carries_loss[batch["loss_positions"][row][batch["loss_weights"][row] > 0] + 1] = True
    text = Text()
    for segment, places in groupby(np.flatnonzero(segments), key=lambda i: segments[i]):
        at = np.array(list(places))
        record = records[batch["records"][row, at[0]]]
        about = ", ".join(filter(None, (str(record.labels.get("activity", "")), record.participant)))
        example, branch = divmod(int(segment), BRANCHES)
        text.append(f"{example:3d}   " if branch == 0 else "      ")
        for answers, part in groupby(at, key=lambda i: carries_loss[i]):
            words = vocabulary.decode(tokens[list(part)]).replace(" tokens>", f" tokens: {about}>")
            text.append(f"[{words}]" if answers else words, ANSWER_STYLE if answers else None)
        text.append("\n")
    used = np.count_nonzero(segments)
    return text.append(f"{used} of {len(tokens)} tokens, {carries_loss.sum()} of them carry loss")


def fill(batch: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The share of a batch's tokens that are no padding: as it is packed, and with each example padded to a row."""
    segments = batch["segment_ids"]
    examples = sum(len(set((row[row > 0] // BRANCHES).tolist())) for row in segments)
    used = np.count_nonzero(segments)
    return used / segments.size, used / (examples * segments.shape[1])
