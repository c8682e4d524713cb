"""Formats map onto each other by what their channels mean: by sign, with what is not shared masked and listed."""

import json
from pathlib import Path

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.format import SHIPPED, MotionFormat, load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CANONICAL = load_format("canonical")
CHANNELS = [["Knee.x", "rad", "Knee.x"], ["Hip.x", "rad", "Hip.x"], ["Up", "m", "Up"], ["Odd", "rad", "Odd"]]
LEG = {
    "name": "leg",
    "channels": CHANNELS,
    "canonical": {"knee_angle_r": "-Knee.x", "hip_flexion_r": "Hip.x", "pelvis_ty": "Up"},
}


def recording(format: MotionFormat, observed: list[bool] | None = None) -> Recording:
    seen = np.ones(format.size, bool) if observed is None else np.array(observed)
    values = np.random.default_rng(0).normal(size=(60, format.size)).astype(np.float32) * seen
    return Recording(format, 60.0, values, seen, "walk", ("from a test.",))


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED.glob("*.toml")))
def test_written_meanings_read_back(name: str):
    found = load_format(name)
    assert MotionFormat.from_dict(json.loads(json.dumps(found.to_dict()))).canonical == found.canonical


def test_own_format_becomes_canonical_by_sign_with_the_rest_masked():
    own = recording(MotionFormat.from_dict(LEG))
    found = to_format(own, CANONICAL)
    np.testing.assert_array_equal(found.channel("knee_angle_r"), -own.channel("Knee.x"))
    np.testing.assert_array_equal(found.channel("hip_flexion_r"), own.channel("Hip.x"))
    np.testing.assert_array_equal(found.channel("pelvis_ty"), own.channel("Up"))
    assert {n for n, seen in zip(CANONICAL.names, found.observed, strict=True) if seen} == set(LEG["canonical"])
    assert not found.values[:, ~found.observed].any()
    assert found.rate_hz == own.rate_hz and found.source == own.source
    first, second = found.notes
    assert first == "from a test."
    assert second == "1 channels of format leg have no counterpart in canonical and were dropped: Odd."


def test_two_formats_meet_in_the_canonical_one_and_back():
    other = MotionFormat.from_dict(
        LEG | {"name": "other", "canonical": {"knee_angle_r": "Knee.x", "mtp_angle_l": "Odd"}}
    )
    own = recording(MotionFormat.from_dict(LEG))
    there = to_format(own, other)
    np.testing.assert_array_equal(there.channel("Knee.x"), -own.channel("Knee.x"))
    assert there.observed.tolist() == [True, False, False, False]
    back = to_format(there, own.format)
    np.testing.assert_array_equal(back.channel("Knee.x"), own.channel("Knee.x"))


def test_formats_of_one_name_correspond_by_name_and_unit():
    other = MotionFormat.from_dict({"name": "leg", "channels": [["Odd", "rad", "Odd"], ["Up", "rad", "Up"]]})
    found = to_format(own := recording(MotionFormat.from_dict(LEG)), other)
    np.testing.assert_array_equal(found.channel("Odd"), own.channel("Odd"))
    assert found.observed.tolist() == [True, False]
    assert "3 channels of format leg have no counterpart in leg and were dropped: Knee.x, Hip.x, Up." in found.notes


def test_a_channel_that_was_not_recorded_stays_masked():
    found = to_format(recording(MotionFormat.from_dict(LEG), [True, False, True, False]), CANONICAL)
    assert not found.observed[CANONICAL.indices["hip_flexion_r"]]
    assert len(found.notes) == 1  # the channel Odd was not recorded and so not dropped


def test_its_own_format_is_left_alone():
    own, before = MotionFormat.from_dict(LEG), MotionFormat.from_dict(LEG | {"canonical": {}})
    for target in (own, before):
        found = to_format(recording(own), target)
        assert found.format == target and found.observed.all() and found.notes == ("from a test.",)
        np.testing.assert_array_equal(found.values, recording(own).values)


@pytest.mark.parametrize("observed", [[True, True, True, True], [False, False, False, True]])
def test_nothing_shared_is_refused(observed: list[bool]):
    table = LEG if not observed[0] else LEG | {"canonical": {}}
    with pytest.raises(
        InputError, match=r"walk: format leg shares no recorded channel with canonical; .*\[canonical\]"
    ):
        to_format(recording(MotionFormat.from_dict(table), observed), CANONICAL)


@pytest.mark.parametrize(
    ("canonical", "message"),
    [
        ("Knee.x", "canonical is 'Knee.x'"),
        ({"knee": "Knee.x"}, "knee = 'Knee.x': there is no channel 'knee' of format canonical"),
        ({"knee_angle_r": "-Knee.y"}, "knee_angle_r = '-Knee.y': there is no channel '-Knee.y' of its own"),
        ({"knee_angle_r": 1}, "there is no channel 1 of its own"),
        ({"knee_angle_r": "Up"}, "Up is in m; expected rad"),
        ({"knee_angle_r": "Knee.x", "knee_angle_l": "-Knee.x"}, "Knee.x is knee_angle_r already"),
    ],
)
def test_broken_meanings_are_told_by_line(canonical, message: str):
    with pytest.raises(InputError, match=f"leg.toml: .*{message}"):
        MotionFormat.from_dict(LEG | {"canonical": canonical}, "leg.toml")


@pytest.mark.skipif(not (DATA / "cmu_mocap_expmap").is_dir(), reason="the CMU recordings are not here")
def test_cmu_walks_bend_as_people_do():
    archive = DATA / "cmu_mocap_expmap" / "cmu_expmap.npz"
    with np.load(archive) as z:
        walks = [n for n in z.files if "walking" in n][::8]
    for array in walks:
        options = ReadOptions(format="cmu_expmap", array=array, rate_hz=120.0, unit="rad", unit_m=0.05644)
        found = to_format(read_recording(archive, options), CANONICAL)
        for side in "lr":
            knee, hip = (np.rad2deg(found.channel(f"{n}_{side}")) for n in ("knee_angle", "hip_flexion"))
            assert -80 < knee.min() < -45 and knee.max() < 5
            assert 25 < np.ptp(hip) < 70 and hip.max() > 15
        assert 0.7 < np.median(found.channel("pelvis_ty")) < 1.2


@pytest.mark.skipif(not (DATA / "ui-prmd").is_dir(), reason="the UI-PRMD recordings are not here")
def test_vicon_squats_flex_hips_knees_and_ankles():
    format = load_format("ui_prmd_vicon")
    with np.load(DATA / "ui-prmd" / "vicon_angles" / "m01.npz") as z:
        for person in range(1, 8):
            hundredths = z[f"m01_s{person:02d}_e02_ok"]
            degrees = np.cumsum(hundredths, axis=1, dtype=hundredths.dtype).T / 100
            values = np.deg2rad(degrees).astype(np.float32)
            found = to_format(Recording(format, 100.0, values, np.ones(format.size, bool)), CANONICAL)
            for side in "lr":
                hip, knee, ankle = (
                    np.rad2deg(found.channel(f"{n}_{side}")) for n in ("hip_flexion", "knee_angle", "ankle_angle")
                )
                deepest = int(knee.argmin())
                assert -150 < knee[deepest] < -90 and abs(knee[0]) < 30
                assert hip[deepest] - hip[0] > 60 and ankle[deepest] - ankle[0] > 15
    assert "zero that differs between people" in found.notes[-1]


def test_sides_of_cmu_are_mirror_images():
    """Over walking trials left and right do the same, so that their means change places in a mirror."""
    archive = DATA / "cmu_mocap_expmap" / "cmu_expmap.npz"
    if not archive.is_file():
        pytest.skip(f"the CMU recordings are not at {archive}")
    format = load_format("cmu_expmap")
    with np.load(archive, allow_pickle=False) as arrays:
        values = np.concatenate([arrays[n] for n in arrays.files if "__walking__" in n])
    mean, spread = values.mean(axis=0), values.std(axis=0)
    legs = [c for c in format.channels if c.name.startswith(("lfemur", "ltibia", "lfoot", "lhumerus", "lradius"))]
    checked = [c for c in legs if spread[format.indices[c.name]] > 0.03]
    assert len(checked) > 10
    for c in checked:
        left, right = (mean[format.indices[n]] for n in (c.name, c.partner))
        assert c.mirror_sign * right == pytest.approx(left, abs=0.08), c.name
