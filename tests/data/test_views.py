"""Views of a recording: other calibrations and other labs, the same movement."""

import numpy as np
import pytest
import tiny

from biomechjax.data.views import ViewConfig, views
from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording

ROOT = ["x", "z", "height", "heading"]
ANGLES = ["hip_r", "hip_l", "knee_r", "knee_l"]


def draw(config: ViewConfig, seed: int = 0, recording=None):
    return views(recording or tiny.walk(1), config, np.random.default_rng(seed))


def test_the_first_view_is_the_recording():
    recording = tiny.walk(1)
    assert draw(ViewConfig(count=1), recording=recording) == [recording]
    found = draw(ViewConfig(count=4), recording=recording)
    assert len(found) == 4
    assert found[0] is recording


def test_views_are_seeded():
    one, same, other = (draw(ViewConfig(count=3), seed) for seed in (1, 1, 2))
    assert all(a.values.tobytes() == b.values.tobytes() for a, b in zip(one, same, strict=True))
    assert any(a.values.tobytes() != b.values.tobytes() for a, b in zip(one[1:], other[1:], strict=True))
    assert one[1].values.tobytes() != one[2].values.tobytes()


def test_translation_and_heading_never_change_and_angles_do():
    recording = tiny.walk(1)
    skips = set()
    for view in draw(ViewConfig(count=40, hidden=0.5, scale=0.2, offset_deg=5), recording=recording)[1:]:
        skip = len(recording.values) - len(view.values)
        skips.add(skip)
        for name in ROOT + ANGLES:
            column = tiny.FORMAT.indices[name]
            before, after = recording.values[skip:, column], view.values[:, column]
            if not view.observed[column]:
                assert not after.any()
            elif name in ROOT:
                np.testing.assert_allclose(after, before, atol=1e-5)
            else:
                gain, offset = np.polyfit(before, after, 1)
                np.testing.assert_allclose(after, gain * before + offset, atol=1e-5)
                assert gain != pytest.approx(1, abs=1e-4)
                assert np.mean(after) != pytest.approx(np.mean(before), abs=1e-5)
    assert skips == set(range(7))  # 0.2 s at 30 Hz


def test_offset_scale_and_hidden_are_what_they_say():
    recording = tiny.walk(1)
    column = tiny.FORMAT.indices["hip_r"]
    config = ViewConfig(count=400, offset_deg=3.0, scale=0.1, hidden=0.3, skip_s=0.0)
    found = draw(config, recording=recording)[1:]
    seen = [v.values[:, column] for v in found if v.observed[column]]
    before = recording.values[:, column]
    assert np.std([v.mean() - before.mean() for v in seen]) == pytest.approx(np.radians(3.0), rel=0.15)
    assert np.std([v.std() / before.std() for v in seen]) == pytest.approx(0.1, rel=0.15)
    share = 1 - np.array([v.observed.mean() for v in found])
    assert np.mean(share > 0) == pytest.approx(
        0.3 * 7 / 9, abs=0.06
    )  # of 8 channels a uniform share: 1 in 9 hides none
    assert not any(v.observed.sum() == 0 for v in found)


def test_a_hidden_channel_stays_hidden():
    recording = tiny.walk(1, hidden=["knee_l"])
    for view in draw(ViewConfig(count=20, hidden=1.0), recording=recording):
        assert not view.observed[tiny.FORMAT.indices["knee_l"]]
        assert not view.values[:, ~view.observed].any()


def test_the_shortest_recording_is_not_cut():
    recording = tiny.walk(1, frames=8)  # a quarter of a second is the least
    assert {len(v.values) for v in draw(ViewConfig(count=30), recording=recording)} == {8}
    recording = tiny.walk(1, frames=10)
    assert {len(v.values) for v in draw(ViewConfig(count=30), recording=recording)} == {8, 9, 10}


def test_a_mirrored_view_is_the_mirrored_recording():
    values = np.random.default_rng(0).normal(0, 0.3, (30, 40)).astype(np.float32)
    recording = Recording(load_format("canonical"), 30.0, values, np.ones(40, bool))
    config = ViewConfig(count=2, offset_deg=0.0, scale=0.0, hidden=0.0, skip_s=0.0, mirrored=1.0)
    first, second = views(recording, config, np.random.default_rng(0))
    np.testing.assert_array_equal(first.values, values)
    np.testing.assert_allclose(second.values, recording.mirrored().values, atol=1e-6)


def test_a_faster_view_is_the_same_movement_in_less_time():
    recording = tiny.walk(1)
    found = draw(ViewConfig(count=300, offset_deg=0, scale=0, hidden=0, skip_s=0, pace=0.1), recording=recording)
    np.testing.assert_allclose([v.values for v in found], [recording.values] * 300, atol=1e-6)
    logs = np.log([v.rate_hz / recording.rate_hz for v in found[1:]])
    assert np.std(logs) == pytest.approx(0.1, rel=0.1)
    assert np.abs(logs).max() <= 0.2 + 1e-9
    assert all(v.rate_hz == recording.rate_hz for v in draw(ViewConfig(count=20), recording=recording))


def test_the_root_is_hidden_whole_or_not_at_all():
    found = draw(ViewConfig(count=200, hidden=1.0))[1:]
    root = np.array([[v.observed[tiny.FORMAT.indices[n]] for n in ("x", "z", "heading")] for v in found])
    assert (root.all(axis=1) | ~root.any(axis=1)).all()
    assert 20 < root[:, 0].sum() < 180
