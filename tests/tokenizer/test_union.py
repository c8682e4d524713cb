"""Several motion formats in one tokenizer: common channels, signs, and what is written as another format."""

import dataclasses

import jax
import labs
import numpy as np
import pytest
import tiny

from biomechjax.errors import InputError
from biomechjax.motion.features import Placement
from biomechjax.motion.format import MotionFormat, load_format
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.tokenizer.union import unite
from biomechjax.training.tokenizer import common_channels, shared_statistics

WALKS = [(i, frames) for i, frames in enumerate((90, 41, 130, 64))]


@pytest.fixture(scope="module")
def tokenizer() -> MotionTokenizer:
    """Untrained, of both laboratories; its codes are latents of the first one's walks."""
    formats = labs.FIRST, labs.SECOND
    union, stems = unite(formats)
    recordings = {
        "first": [labs.first(100 + i, 120) for i in range(8)],
        "second": [labs.second(100 + i, 120, elbow=0.4) for i in range(8)],
    }
    statistics = shared_statistics(stems, recordings, 30.0)
    model = Autoencoder(tiny.TOKENIZER, union.size)
    zeros = np.zeros((1, 4, union.size), np.float32)
    params = jax.tree.map(np.asarray, model.init(jax.random.key(0), zeros, zeros[:, :1], zeros[..., 0]))
    blank = MotionTokenizer(tiny.TOKENIZER, formats, statistics, params, np.zeros((1, 16, 8), np.float32))
    features = np.stack([blank.prepare(r)[0] for r in recordings["first"]])
    observed = stems["first"].seen(recordings["first"][0].observed)[None, None].astype(np.float32)
    latents = model.apply(params, features, observed, np.ones((8, 120), np.float32), method="encode")
    rows = np.random.default_rng(0).choice(np.asarray(latents).reshape(-1, 8), 16, replace=False)
    return dataclasses.replace(blank, table=rows[None])


def test_the_union_of_one_format_is_that_format():
    union, stems = unite([tiny.FORMAT])
    assert union is tiny.FORMAT
    values = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    stem = stems["walker"]
    np.testing.assert_array_equal(stem.join(values), values)
    np.testing.assert_array_equal(stem.part(values), values)
    np.testing.assert_array_equal(stem.seen(values[0] > 0), values[0] > 0)


def test_channels_of_one_meaning_share_a_column():
    union, stems = unite([labs.FIRST, labs.SECOND])
    assert union.names == (
        *("pelvis_tx", "pelvis_tz", "pelvis_ty", "pelvis_rotation"),
        *("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l", "second:Elbow"),
    )
    assert union.root == load_format("canonical").root
    found = {
        n: (union.names[c], s)
        for n, c, s in zip(labs.SECOND.names, stems["second"].columns, stems["second"].signs, strict=True)
    }
    first = dict(zip(labs.FIRST.names, (union.names[c] for c in stems["first"].columns), strict=True))
    assert found == {n: (first[own], sign) for n, (own, sign) in labs.SAME.items()} | {"Elbow": ("second:Elbow", 1)}


def test_canonical_channels_are_their_own_meaning():
    canonical = load_format("canonical")
    union, stems = unite([canonical, labs.SECOND])
    assert union.names == (*canonical.names, "second:Elbow")
    np.testing.assert_array_equal(stems["canonical"].columns, np.arange(40))


def test_a_position_shares_no_column_with_a_velocity():
    """Without a root, what corresponds to the canonical root is where somebody stands, not how fast they go."""
    table = labs.SECOND.to_dict() | {"name": "third"}
    table["canonical"] = table["canonical"] | {"pelvis_tx": "Ahead"}
    del table["root"]
    union, stems = unite([labs.FIRST, MotionFormat.from_dict(table)])
    assert union.names[stems["third"].columns[labs.SECOND.indices["Ahead"]]] == "third:Ahead"
    assert union.names[stems["third"].columns[labs.SECOND.indices["RHip"]]] == "hip_flexion_r"


def test_formats_of_one_name_are_refused():
    with pytest.raises(InputError, match="two motion formats with different channels are called first"):
        unite([labs.FIRST, dataclasses.replace(labs.SECOND, name="first")])


def test_the_same_movement_has_the_same_codes_in_both_formats(tokenizer):
    one = tokenizer.encode([labs.first(*w) for w in WALKS])
    other = tokenizer.encode([labs.second(*w) for w in WALKS])
    assert len(set(np.concatenate(one).tolist())) > 4
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    seen = tokenizer.encode([labs.second(*w, elbow=1.4) for w in WALKS])
    assert any((a != b).any() for a, b in zip(one, seen, strict=True))


def test_another_zero_of_an_angle_does_not_reach_the_codes(tokenizer):
    """A laboratory whose knees are off by half a radian in all its recordings."""
    stems, knees = unite(tokenizer.formats)[1], [labs.SECOND.indices[n] for n in ("LKnee", "RKnee")]

    def moved(recording):
        return dataclasses.replace(recording, values=recording.values + 0.5 * np.isin(np.arange(8), knees))

    recordings = {
        "first": [labs.first(100 + i, 120) for i in range(8)],
        "second": [moved(labs.second(100 + i, 120)) for i in range(8)],
    }
    other = dataclasses.replace(tokenizer, statistics=shared_statistics(stems, recordings, 30.0))
    features = [other.prepare(r)[0] for r in (labs.first(3), moved(labs.second(3)))]
    np.testing.assert_allclose(*features, atol=1e-5)


def test_statistics_of_common_channels():
    """Deviations are averaged; speeds keep one zero for all, angles that of their laboratory."""
    _, stems = unite([labs.FIRST, labs.SECOND])
    slow = dataclasses.replace(labs.first(1), values=labs.first(1).values * 0.5)
    fast = labs.second(1)
    found = shared_statistics(stems, {"first": [slow], "second": [fast]}, 30.0)
    alone = {
        r.format.name: shared_statistics(unite([r.format])[1], {r.format.name: [r]}, 30.0)[r.format.name]
        for r in (slow, fast)
    }
    for name, (own, _) in labs.SAME.items():
        i, j = labs.SECOND.indices[name], labs.FIRST.indices[own]
        std = (alone["first"].std[j] + alone["second"].std[i]) / 2
        np.testing.assert_allclose([found["first"].std[j], found["second"].std[i]], std, rtol=1e-6)
        if name in ("Ahead", "Aside", "Turn"):
            mean = (alone["first"].mean[j] + alone["second"].mean[i]) / 2
            np.testing.assert_allclose([found["first"].mean[j], found["second"].mean[i]], mean, atol=1e-6)
        else:
            assert found["first"].mean[j] == alone["first"].mean[j]
            assert found["second"].mean[i] == alone["second"].mean[i]
    assert found["second"].std[labs.SECOND.indices["Elbow"]] == 1


def test_a_channel_that_a_format_never_observed_takes_the_others_zero():
    _, stems = unite([labs.FIRST, labs.SECOND])
    knee = labs.SECOND.indices["RKnee"]
    blind = labs.second(1)
    observed = blind.observed & (np.arange(8) != knee)
    blind = dataclasses.replace(blind, values=blind.values * observed, observed=observed)
    found = shared_statistics(stems, {"first": [labs.first(1)], "second": [blind]}, 30.0)
    assert found["second"].mean[knee] == -found["first"].mean[labs.FIRST.indices["knee_r"]]
    assert found["second"].std[knee] == found["first"].std[labs.FIRST.indices["knee_r"]] != 1


def test_codes_are_written_in_any_trained_format(tokenizer):
    codes, there = tokenizer.encode([labs.first(2, 100)])[0], Placement(1.0, 2.0, 0.3)
    one, other = (tokenizer.decode(codes, 98, there, name) for name in ("first", "second"))
    assert (one.format, other.format) == (labs.FIRST, labs.SECOND)
    assert len(other.values) == 98
    for name, (own, sign) in labs.SAME.items():
        assert np.ptp(one.channel(own)) > 0.01
        np.testing.assert_allclose(other.channel(name), sign * one.channel(own), atol=1e-4)
    np.testing.assert_array_equal(tokenizer.decode(codes, 98, there).values, one.values)
    with pytest.raises(InputError, match="format third; this tokenizer writes first, second"):
        tokenizer.decode(codes, format="third")


@pytest.fixture(scope="module")
def two_levels(tokenizer) -> MotionTokenizer:
    """Its first level sees what both laboratories have observed."""
    table = np.concatenate([tokenizer.table, np.random.default_rng(0).normal(0, 0.05, (1, 16, 8))]).astype(np.float32)
    recordings = {"first": [labs.first(0)], "second": [labs.second(0, elbow=0.4)]}
    return dataclasses.replace(
        tokenizer,
        config=dataclasses.replace(tokenizer.config, quantizer="rvq", levels=2),
        table=table,
        common=common_channels(tokenizer.stems, recordings),
    )


def test_the_first_level_is_the_same_whatever_else_a_format_has(two_levels):
    bare = [c.reshape(-1, 2) for c in two_levels.encode([labs.second(*w) for w in WALKS])]
    more = [c.reshape(-1, 2) for c in two_levels.encode([labs.second(*w, elbow=1.4) for w in WALKS])]
    other = [c.reshape(-1, 2) for c in two_levels.encode([labs.first(*w) for w in WALKS])]
    assert any((a != b).any() for a, b in zip(bare, more, strict=True))
    for a, b, c in zip(bare, more, other, strict=True):
        np.testing.assert_array_equal(a[:, 0], b[:, 0])
        np.testing.assert_array_equal(a, c)
    everything = dataclasses.replace(two_levels, common=None)
    more_of_all = [c.reshape(-1, 2) for c in everything.encode([labs.second(*w, elbow=1.4) for w in WALKS])]
    assert any((a[:, 0] != b[:, 0]).any() for a, b in zip(bare, more_of_all, strict=True))


def test_common_channels_are_those_that_every_format_observed(two_levels):
    names = np.array(two_levels.format.names)
    assert set(names[~two_levels.common]) == {"pelvis_ty", "second:Elbow"}
    alone = unite([labs.SECOND, tiny.FORMAT])[1]
    nothing = tiny.walk(0, hidden=["x", "z", "heading"])
    assert common_channels(alone, {"second": [labs.second(0)], "walker": [nothing]}) is None


def test_saved_and_loaded_it_reads_and_writes_both(two_levels, tmp_path):
    tokenizer = two_levels
    tokenizer.save(tmp_path / "tokenizer")
    after = MotionTokenizer.load(tmp_path / "tokenizer")
    assert after.formats == tokenizer.formats
    recordings = [labs.first(1), labs.second(1, elbow=0.9)]
    for a, b in zip(after.encode(recordings), tokenizer.encode(recordings), strict=True):
        np.testing.assert_array_equal(a, b)
        for name in ("first", "second"):
            np.testing.assert_array_equal(after.decode(a, format=name).values, tokenizer.decode(b, format=name).values)


def test_other_formats_are_refused_or_read_as_the_nearest(tokenizer):
    with pytest.raises(InputError, match="walk 0: format walker; this tokenizer reads first, second"):
        tokenizer.prepare(tiny.walk(0))
    with pytest.raises(InputError, match=r"shares no recorded channel .*this tokenizer reads first, second"):
        tokenizer.readable(tiny.walk(0))
    own = labs.second(0)
    np.testing.assert_array_equal(tokenizer.readable(own).values, own.values)
    assert tokenizer.readable(own).format == labs.SECOND
    canonical = load_format("canonical")
    at = [canonical.indices[n] for n in ("knee_angle_r", "knee_angle_l", "pelvis_ty")]
    values = np.zeros((30, 40), np.float32)
    values[:, at] = 0.3, 0.2, 0.9
    other = Recording(canonical, 30.0, values, np.isin(np.arange(40), at))
    order = dataclasses.replace(tokenizer, formats=tokenizer.formats[::-1])
    for either in (tokenizer, order):  # the second knows no height
        found = either.readable(other)
        assert found.format == labs.FIRST
        np.testing.assert_array_equal(found.channel("height"), values[:, at[2]])
