"""The encoder with heads: that it learns what only the movement says, from most people, and never from others."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.data.mixture import MixtureConfig
from biomechjax.evaluation.baselines.neural import Neural, NeuralConfig
from biomechjax.evaluation.baselines.steps import CodeVectors, Tokens
from biomechjax.tasks.registry import BY_NAME, TASKS

SIDE, SPEED, CADENCE = (BY_NAME[name] for name in ("affected side", "walking speed", "cadence"))
SIZE = tiny.TOKENIZER.codebook_size
CONFIG = NeuralConfig(width=32, layers=1, epochs=12, batch_size=16, mixture=MixtureConfig(crop=0.0))


def walkers(count: int, first: int = 0):
    """Half of a step's codes say the side; how often code 15 comes says the speed; summaries say nothing."""
    out = []
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        speed, side = float(rng.uniform(0.3, 1.6)), str(rng.choice(["left", "right"]))
        codes = rng.integers(0, 4, 24) + {"left": 0, "right": 8}[side]
        codes[rng.random(24) < (speed - 0.3) / 1.5] = 15
        labels = {"activity": "overground walking", "affected_side": side, "walking_speed_m_s": speed}
        out.append(dataclasses.replace(tiny.record(i), labels=labels, views=[codes.astype(np.int32)], paces=[1.0]))
    return out


def neural(folder, steps=Tokens(SIZE, 1, 1), **changes):
    return Neural("encoder", steps, folder, dataclasses.replace(CONFIG, **changes))


@pytest.fixture(scope="module", params=["tokens", "vectors"])
def fitted(request, tmp_path_factory):
    steps = Tokens(SIZE, 1, 1) if request.param == "tokens" else CodeVectors(tiny.tokenizer())
    return neural(tmp_path_factory.mktemp("neural"), steps).fit(TASKS, walkers(240))


def test_it_learns_a_label_and_a_number_together(fitted):
    test = walkers(60, 1000)
    sides = [a == r.labels["affected_side"] for a, r in zip(fitted.predict(SIDE, test), test, strict=True)]
    assert np.mean(sides) > 0.9
    truth = np.array([r.labels["walking_speed_m_s"] for r in test])
    given = np.array(fitted.predict(SPEED, test))
    assert np.corrcoef(given, truth)[0, 1] > 0.9
    assert np.abs(given - truth).mean() < 0.6 * truth.std()
