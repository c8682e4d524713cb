"""Packed rows against every question asked alone, and the stream of them."""

import itertools
from functools import partial

import grain
import jax
import numpy as np
import pytest
import tiny

from biomechjax.data import packing
from biomechjax.data.examples import Example, Renderer, Turn
from biomechjax.data.mixture import MixtureConfig
from biomechjax.data.packing import packed_batches
from biomechjax.errors import InputError
from biomechjax.language.decoder import BRANCHES, Decoder
from biomechjax.tasks.registry import BY_NAME, TASKS

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


def batches_of(monkeypatch, known: dict[str, Example], batch_size: int, once: bool = False):
    """The real stream, of known examples; one epoch if `once`."""
    monkeypatch.setattr(packing, "draw_example", lambda record, *_: known[record.trial])
    if once:
        monkeypatch.setattr(grain.MapDataset, "repeat", lambda self: self)
    records = [tiny.record(i) for i in range(len(known))]
    return packed_batches(records, RENDERER, MixtureConfig(), LENGTH, batch_size, seed=0)


@partial(jax.jit, static_argnums=0)
def log_probabilities(config, params, tokens, positions, segment_ids):
    """log p [T-1] of each next token of one row."""
    model = Decoder(config)
    hidden, _ = model.apply({"params": params}, tokens[None], positions[None], segment_ids[None])
    logits = model.apply({"params": params}, hidden, method="logits")[0, :-1]
    return jax.numpy.take_along_axis(jax.nn.log_softmax(logits), tokens[1:, None], axis=1)[:, 0]


def alone(params, example: Example, turn: Turn) -> np.ndarray:
    """log p of the answer tokens (and eos) of one question, asked alone in a row of its own."""
    columns = RENDERER.render(Example(example.context, (turn,)))
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


def test_loss_falls_on_answers_and_their_eos_only(monkeypatch):
    """Answers of all turns of a row, read back from the targets, are those of its examples."""
    known = examples(14)
    batch = next(batches_of(monkeypatch, known, 4))
    assert set(np.unique(batch["loss_weights"])) == {0.0, 1.0}
    assert batch["loss_positions"].shape == (4, LENGTH // 3)
    contexts = {tuple(RENDERER.context(e.context)): e for e in known.values()}
    for row in range(4):
        tokens, segments = batch["tokens"][row], batch["segment_ids"][row]
        real = batch["loss_weights"][row] > 0
        at, targets = batch["loss_positions"][row][real], batch["targets"][row][real]
        assert len(set(at)) == len(at)
        np.testing.assert_array_equal(tokens[at + 1], targets)
        np.testing.assert_array_equal(segments[at + 1], segments[at])
        trunks = [s for s in dict.fromkeys(segments.tolist()) if s and s % BRANCHES == 0]
        turns = [t for s in trunks for t in contexts[tuple(tokens[segments == s].tolist())].turns]
        assert tiny.vocabulary().decode(targets) == "".join(f" {t.answer}<eos>" for t in turns)
        assert (tokens[segments == 0] == 0).all()


def test_an_epoch_holds_every_record_once_for_three_tasks(monkeypatch):
    known = examples(60)
    rows = list(batches_of(monkeypatch, known, batch_size=1, once=True))
    seen = []
    for row in rows:
        tokens, segments, positions = (row[k][0] for k in ("tokens", "segment_ids", "positions"))
        for trunk in sorted({s // BRANCHES * BRANCHES for s in segments.tolist() if s}):
            mine = segments // BRANCHES * BRANCHES == trunk
            seen.append((tuple(tokens[mine].tolist()), tuple(positions[mine].tolist())))
    rendered = 2 * [RENDERER.render(e) for e in known.values()]  # the records are asked five tasks
    assert sorted(seen) == sorted((tuple(r["tokens"].tolist()), tuple(r["positions"].tolist())) for r in rendered)
    assert len(rows) < 60  # rows hold several


def stream(seed: int = 0, **mixture):
    records = [tiny.record(i, codes=12 + i) for i in range(9)]
    return packed_batches(records, RENDERER, MixtureConfig(**mixture), LENGTH, 2, seed)


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(one[k].tobytes() == other[k].tobytes() for k in one)


def test_stream_is_seeded_and_epochs_differ():
    one, same, other = (list(itertools.islice(stream(seed), 12)) for seed in (1, 1, 2))
    assert all(map(equal, one, same))
    rows, others = ({row.tobytes() for b in batches for row in b["tokens"]} for batches in (one, other))
    assert rows.isdisjoint(others)  # not the same draws in another order
    assert not any(equal(a, b) for a, b in itertools.combinations(one, 2))


def test_saved_position_gives_the_same_next_batches():
    first = stream(code_noise=0.1)
    for _ in range(5):
        next(first)
    state = first.get_state()
    expected = [next(first) for _ in range(6)]
    second = stream(code_noise=0.1)
    next(second)
    second.set_state(state)
    assert all(equal(next(second), batch) for batch in expected)


def test_an_example_that_is_too_long_loses_turns_and_then_is_refused():
    def rows(length):
        known = [tiny.record(0, codes=40)]
        return next(packed_batches(known, RENDERER, MixtureConfig(crop=0.0), length, 1, 0))

    whole = rows(LENGTH)
    assert len(np.unique(whole["segment_ids"][whole["segment_ids"] % BRANCHES > 0])) == 5
    short = rows(120)
    turns = np.unique(short["segment_ids"][short["segment_ids"] % BRANCHES > 0])
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
        packed_batches([mute], RENDERER, MixtureConfig(), LENGTH, 1, 0)
    spoken = {t.answer.text(tiny.record(1).labels[t.label]) for t in TASKS if t.asked_of(tiny.record(1).labels)}
    batches = packed_batches([mute, tiny.record(1)], RENDERER, MixtureConfig(), LENGTH, 1, 0)
    batch = next(batches)
    targets = batch["targets"][batch["loss_weights"] > 0]
    assert {a for a in tiny.vocabulary().decode(targets).split("<eos>") if a} == {f" {a}" for a in spoken}


def test_a_label_outside_the_options_is_refused_with_its_column():
    wrong = tiny.record(0, activity="overground walking", diagnosis="gout")
    with pytest.raises(InputError, match="task diagnosis, column diagnosis: label 'gout'"):
        packed_batches([wrong], RENDERER, MixtureConfig(), LENGTH, 1, 0)
    assert BY_NAME["diagnosis"].asked_of(wrong.labels)


def test_a_row_takes_no_more_answers_than_there_is_room_for():
    """What does not fit goes on in the next row; nothing is lost, and a row is not full by its tokens alone."""

    def answered(room):
        known = [tiny.record(i, codes=8) for i in range(3)]
        batches = packed_batches(known, RENDERER, MixtureConfig(turns=1), LENGTH, 4, 0, room)
        return [next(batches) for _ in range(3)]

    few, many = answered(24), answered(0)
    for batch in few:
        assert batch["targets"].shape == (4, 24)
        for row in range(4):
            answers = int(batch["loss_weights"][row].sum())
            assert 12 < answers <= 24
            assert answers == (batch["targets"][row] > 0).sum()
    examples = [[len(np.unique(b["segment_ids"] // BRANCHES)) for b in batches] for batches in (few, many)]
    assert max(examples[0]) < min(examples[1])
    with pytest.raises(InputError, match="with 2 of answers; raise --row-length, --row-answers"):
        answered(2)
