"""Nearest neighbours against scikit-learn, warping against its recursion, and the number of neighbours."""

import dataclasses

import numpy as np
import pytest
import tiny
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from biomechjax.evaluation.baselines import neighbours
from biomechjax.evaluation.baselines.movements import Movements
from biomechjax.evaluation.baselines.neighbours import (
    COUNTS,
    SHORTER,
    WINDOW,
    Neighbours,
    SummarySpace,
    WarpedSpace,
    choose_count,
    drawn,
    of_nearest,
)
from biomechjax.tasks.registry import BY_NAME

SIDE, SPEED = BY_NAME["affected side"], BY_NAME["walking speed"]


@pytest.mark.parametrize("count", COUNTS)
def test_votes_and_means_equal_scikit_learn(count):
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(60, 3)), rng.normal(size=(30, 3))
    sides, speeds = rng.choice(["left", "right"], 60).tolist(), rng.uniform(0.3, 1.6, 60).tolist()
    apart = np.linalg.norm(asked[:, None] - known[None], axis=-1)
    labels = KNeighborsClassifier(count).fit(known, sides).predict(asked).tolist()
    assert of_nearest(SIDE, apart, sides, count) == labels  # two labels and odd counts: no ties
    numbers = KNeighborsRegressor(count).fit(known, speeds).predict(asked).tolist()
    assert of_nearest(SPEED, apart, speeds, count) == pytest.approx(numbers, abs=1e-12)


def test_of_equally_frequent_labels_the_nearer_one_counts():
    assert of_nearest(SIDE, np.array([[3.0, 1.0, 2.0, 4.0]]), ["left", "right", "left", "right"], 4) == ["right"]


def test_as_many_neighbours_as_answer_other_participants_best():
    """Where labels are noisy many are better, where they are not one is; a person's own recordings do not count."""
    rng = np.random.default_rng(1)
    places = rng.uniform(size=(200, 1))
    apart = np.abs(places - places.T)
    np.fill_diagonal(apart, np.inf)
    clean = ["left" if x < 0.5 else "right" for x in places[:, 0]]
    noisy = [s if rng.random() < 0.7 else "both" for s in clean]
    assert choose_count(SIDE, apart, clean, clean) <= 3
    assert choose_count(SIDE, apart, noisy, noisy) >= 5
    speeds = (places[:, 0] + rng.normal(0, 0.5, 200)).tolist()
    assert choose_count(SPEED, apart, speeds, speeds) >= 9
    # Everybody's nearest is a copy of their own: without leaving them out one neighbour would be perfect.
    twins = [
        dataclasses.replace(tiny.record(i // 2), trial=f"{i}", summary=[float(x)], labels=known)
        for i, (x, known) in enumerate(pairs(200))
    ]
    assert Neighbours("nearest", SummarySpace()).fit([SPEED], twins).counts["walking speed"] >= 9


def pairs(count: int):
    rng = np.random.default_rng(2)
    for _ in range(count // 2):
        x = rng.uniform()
        labels = {"activity": "overground walking", "walking_speed_m_s": x + rng.normal(0, 0.5)}
        yield from ((x, labels), (x, labels))


def test_few_people_have_few_neighbours():
    """Nobody is answered from themselves, even if they are all there is."""
    assert choose_count(SPEED, np.full((4, 4), np.inf), [1.0] * 4, [1.0] * 4) == 1
    apart = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    np.fill_diagonal(apart, np.inf)
    assert choose_count(SPEED, apart, [1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]) == 3


def test_references_are_drawn_alike_and_no_more_than_asked():
    train = [tiny.record(i) for i in range(50)]
    some = drawn(train, 20)
    assert len(some) == 20 and [r.trial for r in some] == sorted({r.trial for r in some})
    assert [r.trial for r in drawn(train, 20)] == [r.trial for r in some]
    assert drawn(train, None) is train and drawn(train, 50) is train
    fitted = Neighbours("nearest", SummarySpace(), 20).fit([SPEED], train)
    assert [r.trial for r in fitted.references] == [r.trial for r in some]


def test_a_summarys_entries_count_alike_whatever_their_unit():
    train = [
        dataclasses.replace(tiny.record(i), summary=[x, 1e6 * y])
        for i, (x, y) in enumerate(([0, 0], [1, 0], [0, 1], [1, 1]))
    ]
    space = SummarySpace().fit(train)
    assert space.distances(train[:1], train) == pytest.approx(np.array([[0, 2, 2, 8**0.5]]))


def recursion(a: np.ndarray, b: np.ndarray, band: float) -> float:
    """Squared distance of [C, F] along the best path within the band, written down as Sakoe & Chiba do."""
    frames = a.shape[1]
    best = np.full((frames + 1, frames + 1), np.inf)
    best[0, 0] = 0
    for i in range(frames):
        for j in range(frames):
            if abs(i - j) <= band * frames:
                cost = ((a[:, i] - b[:, j]) ** 2).sum()
                best[i + 1, j + 1] = cost + min(best[i, j], best[i, j + 1], best[i + 1, j])
    return best[-1, -1]


@pytest.mark.slow  # aeon compiles for a minute, once a machine
def test_warped_distances_are_those_of_the_recursion(cohort, records):
    pytest.importorskip("aeon", reason="aeon is not installed: pip install 'biomechjax[baselines]'")
    movements = Movements(cohort, "", 30.0, workers=1)
    train, test = records.read("train"), records.read("test")
    space = WarpedSpace(movements).fit(train)
    found = space.distances(test, train)
    ready = {}
    for r in (*train, *test):
        short = movements.series([r])[0].astype(float).reshape(tiny.FORMAT.size, -1, SHORTER).mean(-1)
        ready[r.trial] = np.vstack([short, np.full(short.shape[1], r.summary[-1])])
    mean = np.mean([ready[r.trial].mean(1) for r in train], 0)
    spread = np.concatenate([ready[r.trial] for r in train], 1).std(1)
    for i, a in enumerate(test):
        for j, b in enumerate(train[:4]):
            x, y = ((ready[r.trial] - mean[:, None]) / spread[:, None] for r in (a, b))
            assert found[i, j] == pytest.approx(recursion(x, y, WINDOW), rel=1e-6)
    assert (space.distances(test[1:3], train[2:]) == found[1:3, 2:]).all()


def test_a_distance_is_found_once(monkeypatch, cohort, records):
    """In another task the same recordings are asked about again."""
    calls: list[int] = []

    def euclid(a, b, window, n_jobs):
        calls.append(len(a))
        return ((a[:, None] - b[None]) ** 2).sum((2, 3))

    monkeypatch.setattr(neighbours, "of_aeon", lambda *_: euclid)
    space = WarpedSpace(Movements(cohort, "", 30.0, workers=1)).fit(records.read("train"))
    first = space.distances(records.read("test")[:4], records.read("train"))
    both = space.distances(records.read("test"), records.read("train"))
    assert calls == [4, len(records.read("test")) - 4] and (both[:4] == first).all()
    assert (both > 0).all() and both.argmin(1).tolist() != [0] * len(both)
