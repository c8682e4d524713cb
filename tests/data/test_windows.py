"""Training windows: cut from the trials, padded where these are short, resumable."""

import itertools

import numpy as np
import pytest

from biomechjax.data.windows import window_batches

WINDOW = 16


def items() -> list[tuple[np.ndarray, np.ndarray]]:
    """Trials of 10, 16, 40 and 100 frames; a value is 1000 * trial + frame, so that a window tells where it is from."""
    lengths = (10, 16, 40, 100)
    return [
        (np.stack([1000 * i + np.arange(n, dtype=np.float32)] * 2, axis=1) + 1, np.array([True, i % 2 == 0]))
        for i, n in enumerate(lengths)
    ]


def take(count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(window_batches([items()], WINDOW, 3, seed), count))


def test_windows_are_parts_of_trials_and_say_where_they_are_padding():
    starts: dict[int, set[int]] = {}
    for batch in take(120):
        for features, observed, valid in zip(batch["features"], batch["observed"], batch["valid"], strict=True):
            trial, start = divmod(int(features[0, 0]) - 1, 1000)
            whole, seen = items()[trial]
            part = whole[start : start + WINDOW]
            real = len(part) if len(whole) < WINDOW else WINDOW
            np.testing.assert_array_equal(features[:real], part)
            np.testing.assert_array_equal(valid, np.arange(WINDOW) < real)
            np.testing.assert_array_equal(features[real:], 0)
            np.testing.assert_array_equal(observed, seen)
            starts.setdefault(trial, set()).add(start)
    assert starts[0] == starts[1] == {0}
    assert starts[2] == set(range(25))
    assert {0, 84} <= starts[3] <= set(range(85))


def test_a_trial_comes_up_in_proportion_to_its_length():
    """Per epoch: 1, 1, 3 and 7 windows."""
    trials = np.concatenate([b["features"][:, 0, 0] for b in take(40)]).astype(int) // 1000
    assert np.bincount(trials).tolist() == [10, 10, 30, 70]


def test_groups_take_turns_however_long_they_are():
    """One window of each of three groups in a batch of three; those of the first as if it were alone."""
    short = [items()[0]]
    batches = itertools.islice(window_batches([items(), short, short], WINDOW, 3, 0), 40)
    trials = [b["features"][:, 0, 0].astype(int) // 1000 for b in batches]
    assert all((t[1:] == 0).all() for t in trials)
    alone = [b["features"] for b in take(13)]
    np.testing.assert_array_equal([t[0] for t in trials[:39]], np.concatenate(alone)[:, 0, 0].astype(int) // 1000)


def test_windows_are_seeded():
    one, same, other = take(4, 1), take(4, 1), take(4, 2)
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(one, same, strict=True) for k in a)
    assert any(not np.array_equal(a["features"], b["features"]) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("consumed", [0, 1, 7])
def test_saved_position_gives_the_same_next_windows(consumed):
    first = window_batches([items()], WINDOW, 3, 0)
    for _ in range(consumed):
        next(first)
    state = first.get_state()
    expected = [next(first) for _ in range(9)]
    second = window_batches([items()], WINDOW, 3, 0)
    next(second)
    second.set_state(state)
    for batch in expected:
        found = next(second)
        assert all(found[k].tobytes() == batch[k].tobytes() for k in batch)
