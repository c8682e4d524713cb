"""Generation: independent of batching, padding and shared contexts, stopping where it should, answering what is
allowed."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from biomechjax.language import generate as generation
from biomechjax.language.adapters import adapt, freeze, init_adapters
from biomechjax.language.cache import Cache, init_cache
from biomechjax.language.decoder import Decoder, by_layer
from biomechjax.language.generate import generate, logits_of
from biomechjax.language.lora import LoraConfig
from biomechjax.language.sampling import Sampling
from biomechjax.language.trie import build_trie

WARM = Sampling(temperature=1.0)


def ids(seed: int, size: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, 96, size).tolist()


# The window of the decoder is 5, so that some questions see their context in local layers and some do not.
CONTEXTS = [ids(1, 40), ids(2, 5), [], ids(3, 6)]
ASKED = ((0, 3), (1, 9), (0, 1), (2, 6), (3, 7), (0, 2), (1, 8))  # context and tokens of the question
PROMPTS = [(CONTEXTS[c], ids(10 + i, n)) for i, (c, n) in enumerate(ASKED)]


@pytest.fixture(scope="module")
def greedy(config, params) -> list[list[int]]:
    return generate(config, params, PROMPTS, 12, [])


@partial(jax.jit, static_argnums=0)
def all_logits(config, params, tokens) -> jax.Array:
    """Scores [T, V] behind each of tokens [T], without a cache."""
    positions = np.arange(len(tokens))[None]
    hidden, _ = Decoder(config).apply({"params": params}, tokens[None], positions, np.ones_like(positions))
    return Decoder(config).apply({"params": params}, hidden[0], method="logits")


def logits_behind(config, params, sequence: list[int]) -> np.ndarray:
    """`all_logits` of any sequence by one compilation."""
    return np.asarray(all_logits(config, params, np.resize(sequence, 64)))[: len(sequence)]


@partial(jax.jit, static_argnums=0)
def read(config, params, *args) -> tuple[jax.Array, Cache]:
    return Decoder(config).apply({"params": params}, *args)


def next_logits(config, params, sequence: list[int]) -> np.ndarray:
    return logits_behind(config, params, sequence)[-1]


def test_answers_are_the_most_likely_tokens_one_after_the_other(config, params, greedy):
    for (context, question), answer in zip(PROMPTS, greedy, strict=True):
        for i, token in enumerate(answer[:3]):
            assert token == np.argmax(next_logits(config, params, [*context, *question, *answer[:i]]))


def test_batched_equals_single(config, params, greedy):
    assert [len(answer) for answer in greedy] == [12] * len(PROMPTS)
    assert len({tuple(answer) for answer in greedy}) == len(PROMPTS)
    assert [generate(config, params, [prompt], 12, [])[0] for prompt in PROMPTS] == greedy
    assert generate(config, params, PROMPTS, 12, [], batch_size=2) == greedy


def test_where_the_context_ends_changes_nothing(config, params, greedy):
    whole = [([], [*context, *question]) for context, question in PROMPTS]
    assert generate(config, params, whole, 12, []) == greedy
    assert generate(config, params, [(p[:-1], p[-1:]) for _, p in whole], 12, []) == greedy


@pytest.mark.parametrize("weights", ["plain", "float32", "int8"])
def test_layers_by_themselves_read_a_token_as_the_scan_does(config, params, weights):
    """Behind a context longer than the window of local layers, whose slots are written round and round."""
    if weights != "plain":
        lora = LoraConfig(rank=2, dropout=0.0)
        layers = jax.tree.map(lambda x: x + 0.03, init_adapters(config, lora, jax.random.key(1)))
        adapters = {"layers": layers, "rows": params["embedding"][:3] + 1}
        params = adapt(freeze(params, weights), adapters, lora, offset=5)
    tokens, row = np.array([ids(7, 20), ids(8, 20)]), np.ones((2, 1), np.int32)
    start = np.arange(13)[None] * row
    _, cache = read(config, params, tokens[:, :13], start, np.ones_like(start), init_cache(config, 2, 20, strangers=0))
    apart, (scanned, single) = by_layer(config, params), (cache, cache)
    for i in range(13, 20):
        expected, scanned = read(config, params, tokens[:, i : i + 1], i * row, row, scanned)
        found, single = read(config, apart, tokens[:, i : i + 1], i * row, row, single)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), single, scanned)


def test_equal_contexts_are_read_once(config, params, monkeypatch):
    read = []
    original = generation._read_contexts

    def counted(config, question, new, params, tokens, lengths):
        read.append(lengths.tolist())
        return original(config, question, new, params, tokens, lengths)

    monkeypatch.setattr(generation, "_read_contexts", counted)
    generate(config, params, PROMPTS, 1, [], batch_size=2)
    assert read == [[0, 5], [6, 40]]


def test_lengths_of_one_bucket_share_a_compilation(config, params):
    def compilations(context: int, question: int) -> list[int]:
        generate(config, params, [(ids(1, context), ids(2, question))], 2, [])
        return [part._cache_size() for part in (generation._read_contexts, generation._answer)]

    first = compilations(17, 5)
    assert compilations(30, 8) == compilations(32, 6) == first
    assert compilations(33, 8) == [n + 1 for n in first]


def test_stops_before_the_stop_id(config, params, greedy):
    stops = [greedy[0][4], greedy[1][0]]
    expected = []
    for answer in greedy:
        found = [i for i, token in enumerate(answer) if token in stops]
        expected.append(answer[: found[0]] if found else answer)
    assert generate(config, params, PROMPTS, 12, stops) == expected
    assert expected[1] == []


def test_one_token_answers(config, params, greedy):
    assert generate(config, params, PROMPTS, 1, []) == [answer[:1] for answer in greedy]


@pytest.mark.slow
def test_samples_depend_on_key_and_place_only(config, params, greedy):
    def sample(seed: int, **kwargs) -> list[list[int]]:
        return generate(config, params, PROMPTS, 12, [], WARM, jax.random.key(seed), **kwargs)

    first = sample(0)
    assert sample(0, batch_size=2) == first
    assert sample(1) != first != greedy
    same = generate(config, params, [PROMPTS[0]] * 4, 12, [], WARM, jax.random.key(0))
    assert same[0] == first[0]
    assert len(set(map(tuple, same))) == 4


def test_samples_follow_the_temperature(config, params):
    """First tokens of many samples against the softmax of the logits divided by the temperature."""
    logits = next_logits(config, params, PROMPTS[0][0] + PROMPTS[0][1])
    n = 2048
    drawn = generate(config, params, [PROMPTS[0]] * n, 1, [], Sampling(0.5), jax.random.key(0), batch_size=n)
    found = np.bincount(np.ravel(drawn), minlength=config.vocab_size) / n
    assert np.abs(found - jax.nn.softmax(logits / 0.5)).sum() < 0.2


END = 95
SETS = [
    [(4, 5, END), (4, 6, END), (7, END), (80, 81, 82, 83, END)],
    [(a, b, END) for a in range(0, 90, 7) for b in range(1, 95, 3)],
]


def masked_greedy(config, params, prompt, answers) -> list[int]:
    """By scores of the whole vocabulary, -inf where a token begins no allowed answer."""
    answer: list[int] = []
    while True:
        allowed = [a[len(answer)] for a in answers if list(a[: len(answer)]) == answer]
        mask = np.full(config.vocab_size, -np.inf)
        mask[allowed] = 0
        token = int(np.argmax(next_logits(config, params, [*prompt[0], *prompt[1], *answer]) + mask))
        if token == END:
            return answer
        answer.append(token)


def test_allowed_answers_are_those_of_masked_scores(config, params):
    """Rows of a batch are restricted to different sets."""
    trie = build_trie(SETS)
    sets = [i % 2 for i in range(len(PROMPTS))]
    found = generate(config, params, PROMPTS, 4, [END], trie=trie, starts=[trie.starts[s] for s in sets])
    assert found == [masked_greedy(config, params, p, SETS[s]) for p, s in zip(PROMPTS, sets, strict=True)]
    assert len(set(map(tuple, found))) > 3


def test_sampled_answers_are_allowed_and_follow_their_probabilities(config, params):
    n = 2048
    trie = build_trie(SETS[:1])
    key = jax.random.key(0)
    kwargs = {"trie": trie, "starts": trie.starts * n, "batch_size": n}
    drawn = generate(config, params, [PROMPTS[0]] * n, 4, [END], WARM, key, **kwargs)
    assert {(*answer, END) for answer in drawn} == set(SETS[0])
    prompt = [*PROMPTS[0][0], *PROMPTS[0][1]]
    first = jax.nn.softmax(next_logits(config, params, prompt)[np.array([4, 7, 80])])
    after_4 = jax.nn.softmax(next_logits(config, params, [*prompt, 4])[np.array([5, 6])])
    expected = [*(first[0] * after_4), first[1], first[2]]
    found = [np.mean([(*answer, END) == allowed for answer in drawn]) for allowed in SETS[0]]
    np.testing.assert_allclose(found, expected, atol=0.04)
    most_likely = generate(config, params, [PROMPTS[0]] * n, 4, [END], Sampling(1.0, top_k=1), key, **kwargs)
    assert most_likely == [masked_greedy(config, params, PROMPTS[0], SETS[0])] * n


def test_no_prompts(config, params):
    assert generate(config, params, [], 4, []) == []


TRIE = build_trie(SETS)


@pytest.mark.parametrize(
    ("prompts", "kwargs", "message"),
    [
        ([([], [1]), ([1], [])], {}, "prompt 1 has an empty question"),
        ([([1, 96], [1])], {}, "prompt 0 holds ids from 1 to 96"),
        ([([], [1, -1])], {}, "prompt 0 holds ids from -1 to 1"),
        ([([], [1])], {"sampling": WARM}, "needs a key"),
        ([([], [1])], {"batch_size": 0}, "batch_size=0"),
        ([([], [1])], {"trie": TRIE}, "0 starts for 1 prompts"),
        ([([], [1])], {"trie": TRIE, "starts": [TRIE.last]}, "give each one of the trie's"),
        ([([], [1])], {"trie": TRIE, "starts": TRIE.starts[:1]}, r"end with ids \[95\]"),
    ],
)
def test_bad_input_is_refused(config, params, prompts, kwargs, message):
    with pytest.raises(ValueError, match=message):
        generate(config, params, prompts, 4, [], **kwargs)


def test_answers_that_would_be_cut_off_are_refused(config, params):
    with pytest.raises(ValueError, match="has 4 tokens; max_new_tokens=3 would cut it off"):
        generate(config, params, [([], [1])], 3, [END], trie=TRIE, starts=TRIE.starts[:1])


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_of_some_tokens(config, params, cap, dtype):
    config = dataclasses.replace(config, logit_soft_cap=cap, compute_dtype=dtype)
    rng = np.random.default_rng(0)
    hidden = np.asarray(rng.normal(0, 1, (3, config.width)), dtype)
    ids = rng.integers(0, config.vocab_size, (3, 7))
    whole = Decoder(config).apply({"params": params}, hidden, method="logits")
    found = logits_of(config, params, hidden, ids)
    assert found.dtype == whole.dtype == np.float32
    np.testing.assert_allclose(found, np.take_along_axis(np.asarray(whole), ids, axis=1), rtol=1e-5, atol=1e-5)
