"""The choice of the next token against its definition."""

import jax
import numpy as np
import pytest

from biomechjax.language.sampling import Sampling, choose

LOGITS = np.array([1.0, 3.0, -2.0, 2.5, 3.0, 0.0, 2.0], np.float32)
DRAWS = 4096


def shares(sampling: Sampling, logits: np.ndarray = LOGITS) -> np.ndarray:
    keys = jax.random.split(jax.random.key(3), DRAWS)
    drawn = choose(np.tile(logits, (DRAWS, 1)), keys, sampling)
    return np.bincount(drawn, minlength=len(logits)) / DRAWS


def softmax_over(kept: list[int], temperature: float) -> np.ndarray:
    weights = np.zeros(len(LOGITS))
    weights[kept] = np.exp(LOGITS[kept] / temperature)
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1.0), [0, 1, 2, 3, 4, 5, 6]),
        (Sampling(0.5), [0, 1, 2, 3, 4, 5, 6]),
        (Sampling(2.0, top_k=3), [1, 3, 4]),
        (Sampling(1.0, top_k=1), [1, 4]),  # as likely as each other
        (Sampling(1.0, top_k=50), [0, 1, 2, 3, 4, 5, 6]),
        # Probabilities .32 .32 .19 .12 ...: two do not reach 0.7, and three do.
        (Sampling(1.0, top_p=0.7), [1, 3, 4]),
        (Sampling(1.0, top_p=0.85), [1, 3, 4, 6]),
        # Of the three that are left .38 .38 .23, two suffice.
        (Sampling(1.0, top_k=3, top_p=0.7), [1, 4]),
        # A flatter softmax needs more tokens.
        (Sampling(5.0, top_p=0.75), [0, 1, 3, 4, 6]),
        (Sampling(1.0, top_p=1e-6), [1, 4]),
    ],
)
def test_samples_are_of_the_softmax_over_the_tokens_kept(sampling, kept):
    found = shares(sampling)
    assert np.flatnonzero(found).tolist() == [i for i in kept if found[i]]
    np.testing.assert_allclose(found, softmax_over(kept, sampling.temperature), atol=0.025)


def test_forbidden_columns_are_never_chosen():
    logits = np.where(np.arange(7) % 2 == 0, -np.inf, LOGITS)
    for sampling in (Sampling(5.0), Sampling(5.0, top_k=7), Sampling(5.0, top_p=0.999)):
        assert not shares(sampling, logits)[::2].any()


def test_greedy_takes_the_first_of_the_most_likely():
    assert choose(LOGITS[None], jax.random.split(jax.random.key(0), 1), Sampling()).tolist() == [1]


def test_a_draw_depends_on_its_own_key_and_logits():
    keys = jax.random.split(jax.random.key(5), 20)
    together = choose(np.tile(LOGITS, (20, 1)), keys, Sampling(1.0))
    assert [choose(LOGITS[None], keys[i : i + 1], Sampling(1.0))[0] for i in range(20)] == together.tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": 1.0, "top_k": -1}, "top_k is -1"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0"),
        ({"temperature": 1.0, "top_p": 1.1}, "top_p is 1.1"),
        ({"top_k": 4}, "give a temperature above 0"),
        ({"top_p": 0.9}, "give a temperature above 0"),
    ],
)
def test_bad_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**fields)
