"""The finished tokenizer: batching, lengths, placement, and the folder that holds it."""

import dataclasses
import shutil

import numpy as np
import pytest
import tiny

from biomechjax.errors import InputError
from biomechjax.motion.features import Placement, from_features
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer import travel
from biomechjax.tokenizer.tokenizer import BATCH, MotionTokenizer, root_features

RAGGED = [tiny.walk(i, frames) for i, frames in enumerate((9, 130, 64, 65, 67, 33, 31, 12))]


def test_a_ragged_batch_encodes_as_each_recording_alone():
    """More recordings than one batch holds, in several length buckets, some with unobserved channels."""
    recordings = RAGGED + [tiny.walk(50 + i, 40 + 3 * i, hidden=["hip_r", "x"][: i % 3]) for i in range(BATCH)]
    together = tiny.tokenizer().encode(recordings)
    assert len(set(np.concatenate(together).tolist())) > 5
    for recording, codes in zip(recordings, together, strict=True):
        assert codes.dtype == np.int32
        assert len(codes) == -(-len(recording.values) // 4)
        np.testing.assert_array_equal(tiny.tokenizer().encode([recording])[0], codes)


def test_codes_do_not_depend_on_where_a_person_stands_or_faces():
    recording = tiny.walk(1)
    x, z, heading = (recording.channel(n).astype(np.float64) for n in ("x", "z", "heading"))
    moved = recording.values.copy()
    turn = 1.1
    moved[:, 0] = 5 + x * np.cos(turn) + z * np.sin(turn)
    moved[:, 1] = -3 - x * np.sin(turn) + z * np.cos(turn)
    moved[:, 3] = heading + turn
    codes = tiny.tokenizer().encode([recording, dataclasses.replace(recording, values=moved)])
    np.testing.assert_array_equal(*codes)


def test_unobserved_values_do_not_reach_the_codes():
    recording = tiny.walk(1, hidden=["knee_r"])
    filled = recording.values.copy()
    filled[:, tiny.FORMAT.indices["knee_r"]] = 0.7
    np.testing.assert_array_equal(*tiny.tokenizer().encode([recording, dataclasses.replace(recording, values=filled)]))
    seen = dataclasses.replace(recording, observed=np.ones(8, bool))
    assert (tiny.tokenizer().encode([seen])[0] != tiny.tokenizer().encode([recording])[0]).any()


@pytest.mark.parametrize("frames", [8, 37, 40, 70, 199, 200])
def test_decode_gives_the_frames_asked_for_from_the_placement_on(frames):
    codes = np.resize(np.arange(16), 50)
    whole = tiny.tokenizer().decode(codes, placement=Placement(2.0, -1.0, 0.5))
    assert len(whole.values) == 200
    np.testing.assert_allclose(whole.values[0, [0, 1, 3]], [2.0, -1.0, 0.5], atol=1e-6)
    part = tiny.tokenizer().decode(codes, frames, Placement(2.0, -1.0, 0.5))
    np.testing.assert_array_equal(part.values, whole.values[:frames])
    assert part.observed.all()
    assert part.rate_hz == tiny.TOKENIZER.rate_hz


def test_decoding_equals_the_model_without_padding():
    """Up to the last frame, for a length that is padded to a bucket."""
    one, codes = tiny.tokenizer(), np.resize([3, 1, 4, 1, 5, 9, 2, 6], 17)
    features = one.model.apply(one.params, one.table[0][codes][None], np.ones((1, 68), np.float32), method="decode")[0]
    values = from_features(
        one.format, 30.0, np.asarray(features) * one.statistics["walker"].std + one.statistics["walker"].mean
    )
    np.testing.assert_allclose(one.decode(codes).values, values, atol=1e-5)
    assert np.abs(one.decode(codes[::-1]).values - values).max() > 1e-3


def test_prepared_features_are_normalised_and_zero_where_unobserved():
    recording = tiny.walk(1, hidden=["height"])
    features, _ = tiny.tokenizer().prepare(recording)
    height, hip = tiny.FORMAT.indices["height"], tiny.FORMAT.indices["hip_r"]
    assert tiny.tokenizer().statistics["walker"].mean[height] > 0.5
    np.testing.assert_array_equal(features[:, height], 0)
    mean, std = (getattr(tiny.tokenizer().statistics["walker"], name)[hip] for name in ("mean", "std"))
    np.testing.assert_allclose(features[:, hip], (recording.values[:, hip] - mean) / std, atol=1e-5)


def test_codes_of_several_levels_stand_together_and_add_up():
    one = tiny.tokenizer()
    config = dataclasses.replace(one.config, quantizer="rvq", levels=3)
    table = np.concatenate([one.table, np.random.default_rng(0).normal(0, 0.05, (2, 16, 8))]).astype(np.float32)
    three = dataclasses.replace(one, config=config, table=table)
    for coarse, codes in zip(one.encode(RAGGED), three.encode(RAGGED), strict=True):
        steps = codes.reshape(-1, 3)
        np.testing.assert_array_equal(steps[:, 0], coarse)
        np.testing.assert_array_equal(steps // 16, np.tile([0, 1, 2], (len(steps), 1)))
        latents = table[0, steps[:, 0]] + table[1, steps[:, 1] - 16] + table[2, steps[:, 2] - 32]
        whole = np.ones((1, 4 * len(steps)), np.float32)
        features = np.asarray(one.model.apply(one.params, latents[None], whole, method="decode"))[0]
        values = from_features(
            one.format, 30.0, features * one.statistics["walker"].std + one.statistics["walker"].mean
        )
        np.testing.assert_allclose(three.decode(codes).values, values, atol=1e-4)
    with pytest.raises(InputError, match="16 for each of the 3 codes of a step in turn"):
        three.decode(np.array([0, 16, 15]))
    with pytest.raises(InputError, match="4 codes; expected whole steps of 3"):
        three.decode(np.array([0, 16, 32, 1]))


@pytest.mark.parametrize(
    ("codes", "named"), [([], "expected whole steps"), ([0, 16], "of 0..15"), ([-1, 3], "of 0..15")]
)
def test_codes_outside_the_codebook_are_refused(codes, named):
    with pytest.raises(InputError, match=named):
        tiny.tokenizer().decode(np.array(codes, np.int32))


@pytest.mark.parametrize("frames", [0, 41])
def test_frames_that_the_codes_do_not_hold_are_refused(frames):
    with pytest.raises(InputError, match=f"{frames} frames of 10 codes; expected 1..40"):
        tiny.tokenizer().decode(np.zeros(10, np.int32), frames)


def test_saved_and_loaded_it_gives_the_same_codes_and_frames(tmp_path):
    before = tiny.tokenizer()
    before.save(tmp_path / "tokenizer")
    after = MotionTokenizer.load(tmp_path / "tokenizer")
    assert (after.config, after.formats) == (before.config, before.formats)
    for a, b in zip(after.encode(RAGGED), before.encode(RAGGED), strict=True):
        np.testing.assert_array_equal(a, b)
    codes = np.arange(16)
    np.testing.assert_array_equal(after.decode(codes).values, before.decode(codes).values)


def test_saving_over_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="exists already"):
        tiny.tokenizer().save(tmp_path)


@pytest.mark.parametrize("damage", ["absent", "no arrays", "broken json", "unknown field"])
def test_a_folder_without_a_tokenizer_is_refused(tmp_path, damage):
    folder = tmp_path / "tokenizer"
    tiny.tokenizer().save(folder)
    if damage == "absent":
        shutil.rmtree(folder)
    elif damage == "no arrays":
        (folder / "tokenizer.safetensors").unlink()
    elif damage == "broken json":
        (folder / "tokenizer.json").write_text("{")
    else:
        file = folder / "tokenizer.json"
        file.write_text(file.read_text().replace('"width"', '"breadth"', 1))
    with pytest.raises(InputError, match=f"{folder}: no finished motion tokenizer here"):
        MotionTokenizer.load(folder)


def test_arrays_cut_short_are_refused(tmp_path):
    folder = tmp_path / "tokenizer"
    tiny.tokenizer().save(folder)
    file = folder / "tokenizer.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{folder}: no finished motion tokenizer here"):
        MotionTokenizer.load(folder)


def test_a_recording_of_another_format_is_refused():
    other = dataclasses.replace(
        tiny.FORMAT,
        name="other walker",
        channels=tuple(
            dataclasses.replace(c, name=f"{c.name}2", partner=f"{c.partner}2") for c in tiny.FORMAT.channels
        ),
        root=None,
    )
    recording = Recording(other, 30.0, tiny.walk(0).values, np.ones(8, bool), source="lab.tsv")
    with pytest.raises(InputError, match="lab.tsv: format other walker; this tokenizer reads walker"):
        tiny.tokenizer().prepare(recording)


def travelling() -> MotionTokenizer:
    """The tiny tokenizer with travel codes fitted to its walks."""
    one = tiny.tokenizer()
    config = dataclasses.replace(one.config, travel=True)
    stem, statistics = one.stems["walker"], one.statistics["walker"]
    roots = [root_features(stem, statistics, one.prepare(r)[0], r.observed) for r in RAGGED]
    found = [travel.moves(root[: len(root) // 4 * 4], 30.0, 4) for root in roots]
    return dataclasses.replace(one, config=config, displacements=travel.fit(np.concatenate(found), 16, 0))


def test_a_travel_code_stands_before_the_others_and_decides_where_the_person_goes(tmp_path):
    one, other = tiny.tokenizer(), travelling()
    other.save(tmp_path / "saved")
    other = MotionTokenizer.load(tmp_path / "saved")
    ground = [tiny.FORMAT.indices[n] for n in ("x", "z")]
    drift = {}
    for recording, plain, codes in zip(RAGGED, one.encode(RAGGED), other.encode(RAGGED), strict=True):
        steps = codes.reshape(-1, 2)
        np.testing.assert_array_equal(steps[:, 1], plain + 16)
        assert (steps[:, 0] < 16).all()
        _, placement = one.prepare(recording)
        truth = recording.values[:, ground]
        for name, tokenizer, found in (("plain", one, plain), ("travel", other, codes)):
            decoded = tokenizer.decode(found, len(truth), placement).values
            drift.setdefault(name, []).append(np.linalg.norm(decoded[-1, ground] - truth[-1]))
        both = [t.decode(c, len(truth), placement).values for t, c in ((one, plain), (other, codes))]
        rest = [i for i, name in enumerate(tiny.FORMAT.names) if name not in ("x", "z", "heading")]
        np.testing.assert_array_equal(both[0][:, rest], both[1][:, rest])
    assert max(drift["travel"]) < 0.15 < np.mean(drift["plain"])


def test_the_first_codes_of_each_step_decode_alone():
    """As a tokenizer that has no later levels decodes them, travel code and all."""
    flat = travelling()
    config = dataclasses.replace(flat.config, quantizer="rvq", levels=3)
    finer = np.random.default_rng(0).normal(0, 0.05, (2, 16, 8)).astype(np.float32)
    deep = dataclasses.replace(flat, config=config, table=np.concatenate([flat.table, finer]))
    shallow = dataclasses.replace(flat, config=dataclasses.replace(config, levels=2), table=deep.table[:2])
    steps = deep.encode(RAGGED[:1])[0].reshape(-1, 4)
    found = {n: deep.decode(steps[:, :n].ravel(), codes_per_step=n).values for n in (2, 3, 4)}
    np.testing.assert_array_equal(found[2], flat.decode(steps[:, :2].ravel()).values)
    np.testing.assert_array_equal(found[3], shallow.decode(steps[:, :3].ravel()).values)
    np.testing.assert_array_equal(found[4], deep.decode(steps.ravel()).values)
    assert np.abs(found[2] - found[3]).max() > 1e-3 < np.abs(found[3] - found[4]).max()
    for few in (0, 1, 5):  # the travel code alone says nothing of the body
        with pytest.raises(InputError, match=f"{few} codes of each step; this tokenizer decodes 2..4"):
            deep.decode(steps[:, :few].ravel(), codes_per_step=few)
    with pytest.raises(InputError, match="expected whole steps of 2"):
        deep.decode(steps[:, :2].ravel()[:-1], codes_per_step=2)
    with pytest.raises(InputError, match="16 for each of the 2 codes of a step in turn"):
        deep.decode(steps[:, 1:3].ravel(), codes_per_step=2)


def test_who_was_not_seen_to_travel_stays(tmp_path):
    hidden = tiny.walk(1, hidden=["x", "z", "heading"])
    assert not travelling().encode([hidden])[0].reshape(-1, 2)[:, 0].any()
