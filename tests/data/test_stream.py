"""The stream of batches: seeded, resumed to the byte, and the same over any number of processes."""

import itertools

import numpy as np
import pytest
import tiny

from biomechjax.data import stream
from biomechjax.data.mixture import Kinds, MixtureConfig
from biomechjax.data.stream import packed_batches
from biomechjax.errors import InputError

ALL = Kinds(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
LENGTH = 192


def records():
    """Three people with three walks each."""
    found = [tiny.record(i, codes=12 + i) for i in range(9)]
    for i, record in enumerate(found):
        object.__setattr__(record, "participant", f"sub-{i % 3}")
    return found


def rows(seed: int = 0, batch_size: int = 2, **mixture):
    return tiny.packed_rows(records(), LENGTH, batch_size, MixtureConfig(kinds=ALL, **mixture), seed=seed)


def batches(seed: int = 0, **mixture):
    return packed_batches([(0, rows(seed, **mixture))])


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(one[k].tobytes() == other[k].tobytes() for k in one)


def test_stream_is_seeded_and_epochs_differ():
    one, same, other = (list(itertools.islice(batches(seed), 12)) for seed in (1, 1, 2))
    assert all(map(equal, one, same))
    mine, others = ({row.tobytes() for b in found for row in b["tokens"]} for found in (one, other))
    assert mine.isdisjoint(others)  # not the same draws in another order
    assert not any(equal(a, b) for a, b in itertools.combinations(one, 2))


@pytest.mark.parametrize("at", [1, 5, 9])
def test_saved_position_gives_the_same_next_batches(monkeypatch, at):
    monkeypatch.setattr(stream, "WINDOW", 7)  # so that windows and epochs end in between
    first = batches(code_noise=0.1)
    for _ in range(at):
        next(first)
    state = first.get_state()
    expected = [next(first) for _ in range(12)]
    second = batches(code_noise=0.1)
    next(second)
    second.set_state(state)
    assert all(equal(next(second), batch) for batch in expected)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_parts_of_the_processes_are_the_batches_of_one(monkeypatch, processes):
    monkeypatch.setattr(stream, "WINDOW", 7)
    whole = packed_batches([(0, rows(batch_size=4))])
    parts = [packed_batches([(0, rows(batch_size=4))], i, processes) for i in range(processes)]
    for _ in range(8):
        expected, found = next(whole), [next(part) for part in parts]
        assert equal(expected, {k: np.concatenate([part[k] for part in found]) for k in expected})
    assert len({str(part.get_state()) for part in parts}) == 1  # so that a run goes on under another number of them


def test_processes_that_do_not_divide_a_batch_are_refused():
    with pytest.raises(InputError, match="--train.batch-size 2 on 3 processes: it must divide"):
        packed_batches([(0, rows())], 0, 3)


def test_an_epoch_is_the_same_examples_whatever_the_window(monkeypatch):
    def contexts(window):
        monkeypatch.setattr(stream, "WINDOW", window)
        packed = rows()
        found = [e for number in range(packed.windows) for row in packed.window(3, number) for e in row]
        return sorted(str((e.context, e.records)) for e in found)

    assert contexts(7) == contexts(1000)


def test_large_examples_do_not_come_first():
    """As they do out of the packer."""
    known = [tiny.record(i, codes=5 + 3 * i) for i in range(30)]
    first_are_larger = []
    for seed in range(6):
        window = tiny.packed_rows(known, 2 * LENGTH, 2, MixtureConfig(crop=0.0), seed=seed).window(0, 0)
        largest = [max(len(example.context[0]) for example in row) for row in window]
        half = len(largest) // 2
        assert half > 3
        first_are_larger.append(np.mean(largest[:half]) > np.mean(largest[half:]))
    assert not all(first_are_larger)


def test_stages_follow_each_other():
    align, instruct = (
        tiny.packed_rows(records(), LENGTH, 2, MixtureConfig(kinds=kinds)) for kinds in (Kinds(0, caption=1), Kinds())
    )
    staged = packed_batches([(3, align), (0, instruct)])
    found = [next(staged) for _ in range(3)]
    state = staged.get_state()
    found += [next(staged) for _ in range(3)]
    apart = [packed_batches([(0, align)]), packed_batches([(0, instruct)])]
    expected = [next(apart[0]) for _ in range(3)] + [next(apart[1]) for _ in range(3)]
    assert all(map(equal, found, expected))
    again = packed_batches([(3, align), (0, instruct)])
    again.set_state(state)
    assert all(equal(next(again), batch) for batch in expected[3:])
