"""Generation: independent of batching and padding, stopping where it should."""

import jax
import numpy as np
import pytest

from biomechjax.language.decoder import Decoder
from biomechjax.language.generate import generate

PROMPTS = [np.random.default_rng(n).integers(0, 96, n).tolist() for n in (5, 40, 1, 17, 32)]


@pytest.fixture(scope="module")
def greedy(config, params) -> list[list[int]]:
    return generate(config, params, PROMPTS, 12, [])


def test_batched_equals_single(config, params, greedy):
    assert [len(answer) for answer in greedy] == [12] * len(PROMPTS)
    assert len({tuple(answer) for answer in greedy}) == len(PROMPTS)
    assert [generate(config, params, [prompt], 12, [], batch_size=1)[0] for prompt in PROMPTS] == greedy
    assert generate(config, params, PROMPTS, 12, [], batch_size=2) == greedy


def test_stops_before_the_stop_id(config, params, greedy):
    stops = [greedy[0][4], greedy[1][0]]
    expected = []
    for answer in greedy:
        places = [i for i, token in enumerate(answer) if token in stops]
        expected.append(answer[: places[0]] if places else answer)
    assert generate(config, params, PROMPTS, 12, stops) == expected
    assert expected[1] == []


def test_one_token_answers(config, params, greedy):
    assert generate(config, params, PROMPTS, 1, []) == [answer[:1] for answer in greedy]


def test_samples_depend_on_key_and_place_only(config, params, greedy):
    def sample(seed: int, **kwargs) -> list[list[int]]:
        return generate(config, params, PROMPTS, 12, [], temperature=1.0, key=jax.random.key(seed), **kwargs)

    first = sample(0)
    assert sample(0, batch_size=2) == first
    assert sample(1) != first != greedy


def test_samples_follow_the_temperature(config, params):
    """First tokens of many samples against the softmax of the logits divided by the temperature."""
    prompt = np.array([PROMPTS[0]])
    variables = {"params": params}
    hidden, _ = Decoder(config).apply(variables, prompt, np.arange(5)[None], np.ones((1, 5), int))
    logits = Decoder(config).apply(variables, hidden[0, -1], method="logits")
    n = 2048
    drawn = generate(config, params, [PROMPTS[0]] * n, 1, [], temperature=0.5, key=jax.random.key(0), batch_size=n)
    found = np.bincount(np.ravel(drawn), minlength=config.vocab_size) / n
    assert np.abs(found - jax.nn.softmax(logits / 0.5)).sum() < 0.2


def test_no_prompts(config, params):
    assert generate(config, params, [], 4, []) == []


@pytest.mark.parametrize(
    ("prompts", "kwargs", "message"),
    [
        ([[1], []], {}, "prompt 1 is empty"),
        ([[1, 96]], {}, "prompt 0 holds ids from 1 to 96"),
        ([[1]], {"temperature": 0.7}, "needs a key"),
        ([[1]], {"temperature": -1.0}, "temperature is -1.0"),
        ([[1]], {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_input_is_refused(config, params, prompts, kwargs, message):
    with pytest.raises(ValueError, match=message):
        generate(config, params, prompts, 4, [], **kwargs)
