"""Packed rows against every question asked alone, and the stream of them."""

from functools import partial

import jax
import numpy as np
import pytest
import tiny

from biomechjax.data.examples import Example, Renderer, Turn
from biomechjax.data.mixture import Drawing, MixtureConfig
from biomechjax.data.packing import pack, render_row
from biomechjax.errors import InputError
from biomechjax.language.decoder import BRANCHES, Decoder
from biomechjax.tasks.registry import BY_NAME, TASKS
from biomechjax.training.decoder import answer_loss

LENGTH = 192
RENDERER = Renderer(tiny.vocabulary())
TURNS = (
    Turn("Which side is affected?", "left"),
    Turn("What is the walking speed?", "1.25 m/s"),
    Turn("What is the diagnosis?", "parkinson's disease"),
    Turn("Is this person impaired?", "yes"),
)


def examples(count: int) -> dict[str, Example]:
    """Ragged examples with one to four turns, by the trial of their record; their first codes tell them apart."""
    rng = np.random.default_rng(4)
    movements = ([i % 16, i // 16, *rng.integers(0, 16, rng.integers(1, 50))] for i in range(count))
    return {tiny.record(i).trial: Example((np.array(codes),), TURNS[: 1 + i % 4]) for i, codes in enumerate(movements)}


def batches_of(monkeypatch, known: dict[str, Example], batch_size: int):
    """The real stream, of known examples."""
    records = [tiny.record(i) for i in range(len(known))]
    monkeypatch.setattr(Drawing, "trial", lambda self, number, rng: known[records[number].trial])
    return tiny.batches(records, LENGTH, batch_size)


@partial(jax.jit, static_argnums=0)
def log_probabilities(config, params, tokens, positions, segment_ids):
    """log p [T-1] of each next token of one row."""
    model = Decoder(config)
    hidden, _ = model.apply({"params": params}, tokens[None], positions[None], segment_ids[None])
    logits = model.apply({"params": params}, hidden, method="logits")[0, :-1]
    return jax.numpy.take_along_axis(jax.nn.log_softmax(logits), tokens[1:, None], axis=1)[:, 0]


def alone(params, example: Example, turn: Turn) -> np.ndarray:
    """log p of the answer tokens (and eos) of one question, asked alone in a row of its own."""
    columns = RENDERER.render([Example(example.context, (turn,))])
    n = len(columns["tokens"])
    tokens, segments = np.zeros((2, 128), np.int32)
    tokens[:n], segments[:n] = columns["tokens"], 1
    values = log_probabilities(tiny.decoder_config(), params, tokens, np.arange(128), segments)
    return np.asarray(values)[: n - 1][columns["answers"][1:] == 1]


def largest_difference(monkeypatch, damage=lambda row: row) -> float:
    """Between packed and alone, over every answer token of some full rows, after `damage` to a row's segment ids."""
    known, params = examples(14), tiny.decoder_params()
    batch = next(batches_of(monkeypatch, known, 4))
    contexts = {tuple(RENDERER.context(e.context)): e for e in known.values()}
    largest, met = 0.0, 0
    for row in range(4):
        tokens, positions, segments = (batch[k][row] for k in ("tokens", "positions", "segment_ids"))
        values = np.asarray(log_probabilities(tiny.decoder_config(), params, tokens, positions, damage(segments)))
        at = batch["loss_positions"][row][batch["loss_weights"][row] > 0]
        for segment in np.unique(segments[at]):
            trunk = segment // BRANCHES * BRANCHES
            example = contexts[tuple(tokens[segments == trunk].tolist())]
            turn = example.turns[segment - trunk - 1]
            expected = alone(params, example, turn)
            found = values[at[segments[at] == segment]]
            assert len(found) == len(expected) == len(RENDERER.text(f" {turn.answer}")) + 1
            largest, met = max(largest, float(np.abs(found - expected).max())), met + 1
    assert met > 12
    return largest


def test_packed_equals_unpacked(monkeypatch):
    assert largest_difference(monkeypatch) < 1e-5


def test_comparison_detects_examples_that_see_each_other(monkeypatch):
    assert largest_difference(monkeypatch, lambda s: np.where(s > 0, BRANCHES + s % BRANCHES, 0)) > 1e-3


def test_comparison_detects_branches_that_see_each_other(monkeypatch):
    assert largest_difference(monkeypatch, lambda s: s // BRANCHES * BRANCHES) > 1e-3


def test_comparison_detects_one_segment_for_all(monkeypatch):
    assert largest_difference(monkeypatch, lambda s: np.where(s > 0, BRANCHES, 0)) > 1e-3


def gradients(params, rows) -> dict:
    """Of the summed loss of some rows."""
    total = None
    slope = jax.jit(jax.grad(lambda p, row: answer_loss(tiny.decoder_config(), p, row)))
    for row in rows:
        found = slope(params, {k: v[None] for k, v in row.items()})
        total = found if total is None else jax.tree.map(np.add, total, found)
    return total


@pytest.mark.parametrize("dropped", [False, True])
def test_packed_gradients_equal_unpacked_unless_segment_ids_are_dropped(dropped):
    params = tiny.decoder_params()
    packed = tiny.packed_rows([tiny.record(i, codes=5 + 3 * i) for i in range(9)], LENGTH, 1)
    examples = packed.window(0, 0)[:2]
    rows = [packed.render(row) for row in examples]
    if dropped:
        for row in rows:
            row["segment_ids"] = np.where(row["segment_ids"] > 0, BRANCHES, 0).astype(np.int32)
    alone = [
        render_row(RENDERER, [Example(example.context, (turn,))], LENGTH, LENGTH // 3)
        for row in examples
        for example in row
        for turn in example.turns
    ]
    expected, found = gradients(params, alone), gradients(params, rows)
    scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected))
    apart = max(float(np.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, (expected, found)), strict=True))
    assert (apart / scale < 1e-5) is not dropped


def test_loss_falls_on_answers_and_their_eos_only():
    """Answers of all turns of a row, read back from the targets, are those of its examples."""
    packed = tiny.packed_rows([tiny.record(i, codes=5 + 3 * i) for i in range(14)], LENGTH, 4)
    for examples in packed.window(0, 0):
        row = packed.render(examples)
        tokens, segments = row["tokens"], row["segment_ids"]
        assert set(np.unique(row["loss_weights"])) == {0.0, 1.0}
        assert row["loss_positions"].shape == (LENGTH // 3,)
        real = row["loss_weights"] > 0
        at, targets = row["loss_positions"][real], row["targets"][real]
        assert len(set(at)) == len(at)
        np.testing.assert_array_equal(tokens[at + 1], targets)
        np.testing.assert_array_equal(segments[at + 1], segments[at])
        turns = [turn for example in examples for turn in example.turns]
        assert tiny.vocabulary().decode(targets) == "".join(f" {t.answer}<eos>" for t in turns)
        assert (tokens[segments == 0] == 0).all()


def test_an_epoch_holds_every_record_once_for_three_tasks(monkeypatch):
    known = examples(60)
    records = [tiny.record(i) for i in range(60)]
    monkeypatch.setattr(Drawing, "trial", lambda self, number, rng: known[records[number].trial])
    rows = tiny.packed_rows(records, LENGTH, 1).window(0, 0)
    seen = [e.context[0].tolist() for row in rows for e in row]
    assert sorted(seen) == sorted(2 * [e.context[0].tolist() for e in known.values()])  # records are asked five tasks
    turns = {tuple(e.context[0].tolist()): e.turns for e in known.values()}
    assert all(1 <= len(e.turns) and set(e.turns) <= set(turns[tuple(e.context[0])]) for row in rows for e in row)
    assert len(rows) < 60  # rows hold several


def pieces(rng: np.random.Generator, count: int, low: int, high: int) -> list[tuple[int, list[int], list[int]]]:
    found = []
    for _ in range(count):
        answers = rng.integers(2, 6, rng.integers(1, 9)).tolist()
        found.append((int(rng.integers(low, high)), [a + int(rng.integers(5, 12)) for a in answers], answers))
    return found


@pytest.mark.parametrize("length, most", [(192, 64), (1024, 64), (1024, 3)])
def test_rows_hold_every_example_and_no_more_than_fits(length, most):
    sizes = pieces(np.random.default_rng(1), 300, 20, 150)
    rows = pack(sizes, length, 90, most)
    assert sorted(i for row in rows for i, _ in row) == list(range(300))
    for row in rows:
        assert len(row) <= most
        assert all(turns and len(set(turns)) == len(turns) for _, turns in row)
        assert sum(sizes[i][0] + sum(sizes[i][1][t] for t in turns) for i, turns in row) <= length
        assert sum(sizes[i][2][t] for i, turns in row for t in turns) <= 90


def test_rows_are_full_and_few_turns_are_dropped():
    sizes = pieces(np.random.default_rng(2), 1000, 20, 150)
    rows = pack(sizes, 1024, 1024, 64)
    used = [sum(sizes[i][0] + sum(sizes[i][1][t] for t in turns) for i, turns in row) for row in rows]
    assert sum(used) / (1024 * len(rows)) > 0.98
    kept = sum(len(turns) for row in rows for _, turns in row)
    assert kept > 0.93 * sum(len(turns) for _, turns, _ in sizes)


def test_a_turn_that_was_dropped_with_a_longer_one_fills_the_room():
    assert pack([(10, [20, 50, 15, 4], [1, 1, 1, 1])], 50, 10, 4) == [[(0, [0, 2, 3])]]
    assert pack([(10, [20, 50, 15, 4], [1, 1, 3, 1])], 50, 3, 4) == [[(0, [0, 3])]]


def test_an_example_that_is_too_long_loses_turns_and_then_is_refused():
    def rows(length):
        known = [tiny.record(0, codes=40)]
        return next(tiny.batches(known, length, 1, MixtureConfig(crop=0.0)))

    def turns_of_first(row):
        segments = row["segment_ids"][row["segment_ids"] // BRANCHES == 1]
        return np.unique(segments[segments % BRANCHES > 0])

    assert len(turns_of_first(rows(LENGTH))) == 5
    short = rows(100)
    turns = turns_of_first(short)
    assert 1 <= len(turns) < 5
    last = tiny.vocabulary().decode(short["tokens"][0][short["segment_ids"][0] == turns[-1]])
    assert last.endswith("<eos>")  # whole turns are dropped, none is cut
    with pytest.raises(
        InputError, match="trial-00: .* tokens with one question, .* do not fit rows of 60 with 20 of answers; raise"
    ):
        rows(60)


def test_records_that_nothing_is_asked_of_are_left_out_and_all_such_are_refused():
    mute = tiny.record(0, colour="red")
    with pytest.raises(InputError, match="no training record has a label that a task asks for"):
        tiny.batches([mute], LENGTH, 1)
    spoken = {t.answer.text(tiny.record(1).labels[t.label]) for t in TASKS if t.asked_of(tiny.record(1).labels)}
    batch = next(tiny.batches([mute, tiny.record(1)], LENGTH, 1))
    targets = batch["targets"][batch["loss_weights"] > 0]
    assert {a for a in tiny.vocabulary().decode(targets).split("<eos>") if a} == {f" {a}" for a in spoken}


def test_a_label_outside_the_options_is_refused_with_its_column():
    wrong = tiny.record(0, activity="overground walking", diagnosis="gout")
    with pytest.raises(InputError, match="task diagnosis, column diagnosis: label 'gout'"):
        tiny.batches([wrong], LENGTH, 1)
    assert BY_NAME["diagnosis"].asked_of(wrong.labels)


def test_a_row_takes_no_more_answers_than_there_is_room_for():
    """What does not fit goes on in the next row; nothing is lost, and a row is not full by its tokens alone."""

    def answered(room):
        known = [tiny.record(i, codes=8) for i in range(40)]
        packed = tiny.packed_rows(known, LENGTH, 4, MixtureConfig(turns=1), room)
        return [packed.render(row) for row in packed.window(0, 0)]

    few, many = answered(24), answered(0)
    for row in sorted(few, key=lambda r: r["loss_weights"].sum())[1:]:
        answers = int(row["loss_weights"].sum())
        assert row["targets"].shape == (24,)
        assert 18 < answers <= 24
        assert answers == (row["targets"] > 0).sum()
    assert len(few) > len(many)
    assert sum(row["segment_ids"].max() // BRANCHES for row in few) == 80  # the records are asked five tasks
    with pytest.raises(InputError, match="with 2 of answers; raise --row-length, --row-answers"):
        answered(2)
