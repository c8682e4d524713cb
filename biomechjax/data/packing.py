"""Ragged examples side by side in rows of one length."""

from collections.abc import Sequence

import numpy as np

from biomechjax.data.examples import Example, Renderer

# Of the room that is left in a row, one token in so many may stay empty for a question not to be dropped.
SLACK = 128


def pack(
    sizes: Sequence[tuple[int, Sequence[int], Sequence[int]]], length: int, room: int, most: int
) -> list[list[tuple[int, list[int]]]]:
    """Rows of (example, which of its turns), so that little room is left and few turns are dropped.

    The largest example that leaves room for another goes in first; the one that fills the row best ends it, without
    such of its turns as do not fit. Every example is in one row, with one turn at least.

    Args:
        sizes: of each example, as `Renderer.sizes`; its context and its first turn must fit a row.
        length, room: tokens of a row, and how many of them may be answers.
        most: examples in a row.
    """
    turns = max((len(t) for _, t, _ in sizes), default=0)
    # Tokens and answers of each example with its first 1, 2, ... turns; more than it has never fit.
    tokens = np.full((len(sizes), turns), length + 1)
    answers = np.full((len(sizes), turns), room + 1)
    whole = np.zeros(len(sizes), int)  # turns of each example that fit a row of its own
    for i, (context, of_turns, of_answers) in enumerate(sizes):
        tokens[i, : len(of_turns)] = context + np.cumsum(of_turns)
        answers[i, : len(of_turns)] = np.cumsum(of_answers)
        whole[i] = np.count_nonzero((tokens[i] <= length) & (answers[i] <= room))
    every = np.arange(len(sizes))
    full, full_answers = (x[every, whole - 1] for x in (tokens, answers))
    dropped = whole[:, None] - np.arange(1, turns + 1)
    least, largest = tokens[:, 0].min(initial=length), full.max(initial=0)
    step = 1 + length // SLACK
    waiting = np.ones(len(sizes), bool)
    rows = []
    while waiting.any():
        row: list[tuple[int, int]] = []
        left, left_answers = length, room
        while len(row) < most:
            # While the row does not end with it, the largest that leaves room for another.
            fits = waiting & (full <= left - least) & (full_answers <= left_answers) & (left > largest)
            i = int(np.argmax(np.where(fits, full, -1)))
            kept = int(whole[i])
            if not fits[i]:
                ends = waiting[:, None] & (tokens <= left) & (answers <= left_answers)
                value = np.where(ends, tokens // step * (turns + 1) - dropped, -turns - 1)
                i, kept = (int(x) for x in np.unravel_index(np.argmax(value), value.shape))
                if not ends[i, kept]:
                    break
                kept += 1
            waiting[i] = False
            row.append((i, kept))
            left -= int(tokens[i, kept - 1])
            left_answers -= int(answers[i, kept - 1])
        kept_turns = [(i, list(range(kept))) for i, kept in row]
        # What was dropped in one piece may leave room for a part of it.
        dropped_turns = [(i, t) for i, kept in row for t in range(kept, len(sizes[i][1]))]
        for i, t in sorted(dropped_turns, key=lambda it: -sizes[it[0]][1][it[1]]):
            if sizes[i][1][t] <= left and sizes[i][2][t] <= left_answers:
                next(turns for j, turns in kept_turns if j == i).append(t)
                left, left_answers = left - sizes[i][1][t], left_answers - sizes[i][2][t]
        rows.append(kept_turns)
    return rows


def render_row(renderer: Renderer, examples: Sequence[Example], length: int, room: int) -> dict[str, np.ndarray]:
    """What the decoder takes of a row, `length` tokens of which `room` are answers at most.

    int32 arrays: tokens, positions, segment_ids [T], 0 on padding; loss_positions, targets [P] with float32
    loss_weights [P], P = `room`. segment_ids are the single source of masking: a position carries loss if the token
    after it, in the same segment, is an answer token.
    """
    row = renderer.render(examples)
    segment, answers = row["segment_ids"], row.pop("answers")
    predicts = np.flatnonzero((answers[1:] == 1) & (segment[1:] == segment[:-1]))
    pad = (0, room - len(predicts))
    targets = row["tokens"][predicts + 1]
    return {k: np.pad(v, (0, length - len(v))) for k, v in row.items()} | {
        "loss_positions": np.pad(predicts, pad).astype(np.int32),
        "targets": np.pad(targets, pad),
        "loss_weights": np.pad(np.ones(len(predicts), np.float32), pad),
    }
