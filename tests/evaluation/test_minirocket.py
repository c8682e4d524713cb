"""MiniRocket: its features are aeon's, its head is the published one, and it tells movements apart."""

import dataclasses

import numpy as np
import pytest
import tiny
from sklearn.linear_model import RidgeClassifierCV, RidgeCV

from biomechjax.evaluation.baselines import minirocket
from biomechjax.evaluation.baselines.minirocket import ALPHAS, MiniRocket
from biomechjax.evaluation.baselines.movements import Movements, fixed_length
from biomechjax.tasks.registry import BY_NAME

SPEED, ACTIVITY = BY_NAME["walking speed"], BY_NAME["activity"]


class Means:
    """Stands for aeon's transform, which is slow to compile: the mean of each channel."""

    def __init__(self, kernels, random_state, n_jobs):
        self.settings = kernels, random_state

    def fit(self, x):
        self.fitted = x.mean((0, 2)), x.std((0, 2))
        return self

    def transform(self, x):
        return x.mean(2)


def test_the_head_is_the_published_one_on_features_and_seconds(monkeypatch, cohort, records):
    monkeypatch.setattr(minirocket, "of_aeon", lambda *_: Means)
    movements = Movements(cohort, "", 30.0, workers=1)
    train, test = records.read("train"), records.read("test")
    fitted = MiniRocket(movements).fit([SPEED, ACTIVITY], train)
    scaling, rocket = fitted.transform
    assert rocket.settings == (10_000, 0)
    assert rocket.fitted[0] == pytest.approx(np.zeros(tiny.FORMAT.size), abs=1e-4)
    assert rocket.fitted[1] == pytest.approx(np.ones(tiny.FORMAT.size), abs=1e-4)

    def inputs(some):
        series = movements.series(some)
        of_train = movements.series(train)
        x = (series - of_train.mean((0, 2))[:, None]) / of_train.std((0, 2))[:, None]
        return np.hstack([x.mean(2), [[r.summary[-1]] for r in some]])

    for task, head in ((SPEED, RidgeCV(alphas=np.logspace(-3, 3, 10))), (ACTIVITY, RidgeClassifierCV(alphas=ALPHAS))):
        mine, asked = ([r for r in some if task.asked_of(r.labels)] for some in (train, test))
        spread = inputs(mine).std(0)
        expected = head.fit(inputs(mine) / spread, [r.labels[task.label] for r in mine]).predict(inputs(asked) / spread)
        found = fitted.predict(task, asked)
        assert found == (pytest.approx(expected.tolist(), rel=1e-6) if task is SPEED else expected.tolist())
    assert fitted.predict(BY_NAME["cadence"], test) == [None] * len(test)
    assert MiniRocket(movements).fit([SPEED], []).predict(SPEED, test) == [None] * len(test)


@pytest.mark.slow  # aeon compiles for a minute, once a machine
def test_kernels_tell_movements_apart_alike_every_time(monkeypatch):
    pytest.importorskip("aeon", reason="aeon is not installed: pip install 'biomechjax[baselines]'")
    walks = {f"{i}": tiny.walk(i, speed=0.5 + 0.5 * (i % 2)) for i in range(60)}
    labels = [{"activity": ("overground walking", "tandem gait")[i % 2]} for i in range(60)]
    records = [dataclasses.replace(tiny.record(i), trial=f"{i}", labels=labels[i]) for i in range(60)]

    class Walks:
        def series(self, some):
            return np.stack([fixed_length(30.0, walks[r.trial]) for r in some])

    answers = [MiniRocket(Walks(), 500).fit([ACTIVITY], records[:40]).predict(ACTIVITY, records[40:]) for _ in range(2)]
    assert answers[0] == answers[1] == [r.labels["activity"] for r in records[40:]]
