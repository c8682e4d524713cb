"""Packed batches for the decoder: ragged examples side by side in rows of one length, resumed exactly through grain."""

import dataclasses
import functools
from collections.abc import Sequence

import grain
import numpy as np

from biomechjax.data.examples import Renderer
from biomechjax.data.mixture import MixtureConfig, draw_example
from biomechjax.data.records import Record
from biomechjax.errors import InputError
from biomechjax.language.decoder import BRANCHES
from biomechjax.tasks.registry import TASKS

# Unless it is said, one position in so many may carry loss; logits are computed for these alone.
ANSWER_SHARE = 3
BINS = 16
TASKS_PER_DRAW = 3  # a record comes up once an epoch for every so many tasks it is asked


def packed_batches(
    records: Sequence[Record],
    renderer: Renderer,
    mixture: MixtureConfig,
    length: int,
    batch_size: int,
    seed: int,
    answers: int = 0,
    named: bool = False,
) -> grain.DatasetIterator:
    """An endless iterator of batches; every epoch draws other views, parts, questions and wordings.

    Each batch holds int32 arrays: tokens, positions, segment_ids [B,T] (see `pack_row`), and the positions that carry
    loss: loss_positions, targets [B,P] with float32 loss_weights [B,P], P = `answers`, or T // 3 for 0. If `named`,
    also records [B,T], which of `records` each token is about.

    Raises:
        InputError: no record is asked any question, a label fits no answer, or (while iterating) an example does not
            fit a row.
    """
    room = answers or length // ANSWER_SHARE
    # Every answer is spelled out once here, so that a label which fits no answer is refused before training starts.
    spelled = [[t.answer_text(r.labels) for t in TASKS if t.asked_of(r.labels)] for r in records]
    # A walk is asked eleven things and quiet standing one: it comes up more often, if not eleven times.
    asked = [i for i, a in enumerate(spelled) for _ in range(-(-len(a) // TASKS_PER_DRAW))]
    if not asked:
        raise InputError("no training record has a label that a task asks for; check the columns of the cohort")

    vocabulary = renderer.vocabulary

    def draw(number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        record = records[number]
        example = draw_example(record, mixture, vocabulary.codebook_size, vocabulary.levels, rng)
        columns = renderer.render(example)
        while (len(columns["tokens"]) > length or columns["answers"].sum() > room) and len(example.turns) > 1:
            example = dataclasses.replace(example, turns=example.turns[:-1])
            columns = renderer.render(example)
        if len(columns["tokens"]) > length or columns["answers"].sum() > room:
            raise InputError(
                f"{record.trial}: {len(columns['tokens'])} tokens with one question, {columns['answers'].sum()} of "
                f"them its answer, do not fit rows of {length} with {room} of answers; raise --row-length, "
                "--row-answers, or lower --mixture.longest"
            )
        if named:
            columns["records"] = np.full(len(columns["tokens"]), number, np.int32)
        return columns | {"answered": np.ones(columns["answers"].sum(), np.int32)}

    names = ("tokens", "branches", "positions", "answers", *(["records"] if named else []))
    dataset = grain.MapDataset.source(asked).seed(seed).shuffle().repeat().random_map(draw).to_iter_dataset()
    packed = grain.experimental.FirstFitPackIterDataset(
        # A row is full when it has no room for the tokens or none for the answers.
        dataset,
        length_struct={n: length for n in names} | {"answered": room},
        num_packing_bins=BINS,
        seed=seed,
    )
    return iter(packed.map(functools.partial(pack_row, room=room)).batch(batch_size, drop_remainder=True))


def pack_row(row: dict[str, np.ndarray], room: int) -> dict[str, np.ndarray]:
    """A row as grain packs it, [T] each, to what the decoder takes, `room` answer tokens at most.

    segment_ids are the single source of masking: example * BRANCHES + branch, 0 on padding. A position carries loss
    if the token after it, in the same segment, is an answer token.
    """
    example = row["tokens_segment_ids"]
    segment = np.where(example > 0, example * BRANCHES + row["branches"], 0).astype(np.int32)
    predicts = np.flatnonzero((row["answers"][1:] == 1) & (segment[1:] == segment[:-1]))
    pad = (0, room - len(predicts))
    named = {"records": row["records"]} if "records" in row else {}
    return named | {
        "tokens": row["tokens"],
        "positions": row["positions"],
        "segment_ids": segment,
        "loss_positions": np.pad(predicts, pad).astype(np.int32),
        "targets": np.pad(row["tokens"][predicts + 1], pad).astype(np.int32),
        "loss_weights": np.pad(np.ones(len(predicts), np.float32), pad),
    }
