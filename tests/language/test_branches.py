"""Branches: several continuations of one trunk in a row, each as if it stood alone behind it."""

from functools import partial

import jax
import numpy as np
import pytest

from biomechjax.language.cache import init_cache
from biomechjax.language.decoder import BRANCHES, Decoder

TRUNK, SIZES = 9, (6, 3, 8)


@partial(jax.jit, static_argnums=0)
def logits(config, params, tokens, positions, segment_ids):
    model = Decoder(config)
    hidden, _ = model.apply({"params": params}, tokens, positions, segment_ids)
    return model.apply({"params": params}, hidden, method="logits")


@partial(jax.jit, static_argnums=0)
def cached_logits(config, params, tokens, positions, segment_ids, cache):
    model = Decoder(config)
    hidden, cache = model.apply({"params": params}, tokens, positions, segment_ids, cache)
    return model.apply({"params": params}, hidden, method="logits"), cache


def row(config, trunk_segment: int = BRANCHES):
    """A trunk and three branches: tokens, positions and segment ids [1, T], with the slice of each branch."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, config.vocab_size, TRUNK + sum(SIZES), dtype=np.int32)
    positions, segments, slices = list(range(TRUNK)), [trunk_segment] * TRUNK, []
    for branch, size in enumerate(SIZES, start=1):
        slices.append(slice(len(positions), len(positions) + size))
        positions += range(TRUNK, TRUNK + size)
        segments += [trunk_segment + branch] * size
    return tokens[None], np.array([positions], np.int32), np.array([segments], np.int32), slices


def alone(config, params, tokens, branch: slice):
    """Logits of the branch behind its trunk, as one plain segment."""
    sequence = np.concatenate([tokens[:, :TRUNK], tokens[:, branch]], axis=1)
    n = sequence.shape[1]
    return logits(config, params, sequence, np.arange(n)[None], np.ones((1, n), np.int32))


@pytest.mark.parametrize("trunk_segment", [BRANCHES, 7 * BRANCHES])
def test_trunk_and_branches_equal_each_branch_alone(config, params, trunk_segment):
    tokens, positions, segments, slices = row(config, trunk_segment)
    found = logits(config, params, tokens, positions, segments)
    for branch in slices:
        expected = alone(config, params, tokens, branch)
        np.testing.assert_allclose(found[:, :TRUNK], expected[:, :TRUNK], atol=1e-5)
        np.testing.assert_allclose(found[:, branch], expected[:, TRUNK:], atol=1e-5)


@pytest.mark.parametrize("damage", ["one segment", "no trunk", "positions run on"])
def test_comparison_detects(config, params, damage):
    tokens, positions, segments, slices = row(config)
    if damage == "one segment":
        segments = np.full_like(segments, BRANCHES)
    elif damage == "no trunk":  # ids below BRANCHES are plain segments
        segments = segments - BRANCHES + 1
    else:
        positions = np.arange(tokens.shape[1])[None]
    found = logits(config, params, tokens, positions, segments)
    last = slices[-1]
    assert np.abs(found[:, last] - alone(config, params, tokens, last)[:, TRUNK:]).max() > 1e-3


def test_what_reaches_what(config, params):
    """A change in the trunk reaches all branches; a change in a branch reaches nothing before, beside or after it."""
    tokens, positions, segments, slices = row(config)
    before = logits(config, params, tokens, positions, segments)

    def reached(at: int) -> np.ndarray:
        other = tokens.copy()
        other[0, at] = (other[0, at] + 1) % config.vocab_size
        change = np.abs(logits(config, params, other, positions, segments) - before).max(axis=(0, 2))
        return np.flatnonzero(change)

    np.testing.assert_array_equal(reached(TRUNK - 1), np.arange(TRUNK - 1, tokens.shape[1]))
    middle = slices[1]
    np.testing.assert_array_equal(reached(middle.start), np.arange(middle.start, middle.stop))


def test_trees_and_padding_in_one_row_do_not_meet(config, params):
    tokens, positions, segments, _ = row(config)
    other = row(config, 2 * BRANCHES)[2]
    twice = [np.concatenate([x, x], axis=1) for x in (tokens, positions)]
    packed = logits(config, params, *twice, np.concatenate([segments, other], axis=1))
    n = tokens.shape[1]
    expected = logits(config, params, tokens, positions, segments)
    np.testing.assert_allclose(packed[:, :n], expected, atol=1e-5)
    np.testing.assert_allclose(packed[:, n:], expected, atol=1e-5)
    # Segment 0 is padding, and not a trunk of segments 1 to BRANCHES - 1.
    padded = logits(config, params, *twice, np.concatenate([np.zeros_like(segments), segments - BRANCHES + 1], axis=1))
    plain = logits(config, params, tokens, positions, segments - BRANCHES + 1)
    np.testing.assert_allclose(padded[:, n:], plain, atol=1e-5)


def test_branches_read_a_cached_trunk(config, params):
    tokens, positions, segments, slices = row(config)
    expected = logits(config, params, tokens, positions, segments)
    cache = init_cache(config, 1, tokens.shape[1])
    for part in (slice(0, TRUNK), *slices):
        found, cache = cached_logits(config, params, tokens[:, part], positions[:, part], segments[:, part], cache)
        np.testing.assert_allclose(found, expected[:, part], atol=1e-5)
