"""Formats: those that ship are sound, a written one reads back, and a broken one is told by field."""

import json
import math

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.format import SHIPPED, Channel, MotionFormat, load_format
from biomechjax.motion.recording import Recording

# The 40 joints of the OpenSim-derived full-body model of arXiv:2507.08268, in the order of its pose vector.
CANONICAL = """
    pelvis_tx pelvis_tz pelvis_ty pelvis_tilt pelvis_list pelvis_rotation
    hip_flexion_r hip_adduction_r hip_rotation_r knee_angle_r ankle_angle_r subtalar_angle_r mtp_angle_r
    hip_flexion_l hip_adduction_l hip_rotation_l knee_angle_l ankle_angle_l subtalar_angle_l mtp_angle_l
    lumbar_extension lumbar_bending lumbar_rotation neck_extension neck_bending neck_rotation
    arm_flex_r arm_add_r arm_rot_r elbow_flex_r pro_sup_r wrist_flex_r wrist_dev_r
    arm_flex_l arm_add_l arm_rot_l elbow_flex_l pro_sup_l wrist_flex_l wrist_dev_l
""".split()

HIP = ["hip", "rad", "hip", 1, -1.0, 2.0]
X, Z, TURN = ["x", "m", "x", 1], ["z", "m", "z", -1], ["turn", "rad", "turn", -1]


def test_canonical_has_the_documented_channels():
    canonical = load_format("canonical")
    assert list(canonical.names) == CANONICAL
    assert canonical.size == 40
    assert canonical.root is not None
    assert canonical.channels[canonical.indices["knee_angle_r"]] == Channel(
        "knee_angle_r", "rad", "knee_angle_l", 1, -2.793, 0.175
    )


@pytest.mark.parametrize("name", sorted(p.stem for p in SHIPPED.glob("*.toml")))
def test_shipped_formats_are_sound(name: str):
    found = load_format(name)
    assert found.name == name
    for channel in found.channels:
        partner = found.channels[found.indices[channel.partner]]
        assert (partner.partner, partner.mirror_sign) == (channel.name, channel.mirror_sign)
        assert partner.unit == channel.unit
    assert MotionFormat.from_dict(found.to_dict()) == found


def test_canonical_mirror_swaps_sides_and_twice_is_nothing():
    canonical = load_format("canonical")
    values = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    observed = np.ones(40, bool)
    observed[canonical.indices["arm_rot_r"]] = False
    recording = Recording(canonical, 60.0, values, observed)
    mirror = recording.mirrored()
    np.testing.assert_array_equal(mirror.channel("knee_angle_r"), recording.channel("knee_angle_l"))
    np.testing.assert_array_equal(mirror.channel("pelvis_tz"), -recording.channel("pelvis_tz"))
    assert not mirror.observed[canonical.indices["arm_rot_l"]]
    np.testing.assert_array_equal(mirror.mirrored().values, values)
    np.testing.assert_array_equal(mirror.mirrored().observed, observed)


def test_written_format_is_strict_json():
    limits = [HIP, ["a", "rad", "a", 0, -1.0], ["b", "rad", "b", 0, -math.inf, 1.0], ["c", "m", "c"]]
    written = MotionFormat.from_dict({"name": "leg", "channels": limits})
    rows = written.to_dict()["channels"]
    assert rows == [HIP, ["a", "rad", "a", 0, -1.0, None], ["b", "rad", "b", 0, None, 1.0], ["c", "m", "c", 0]]
    text = json.dumps(written.to_dict(), allow_nan=False)
    assert MotionFormat.from_dict(json.loads(text)) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": []}, "at least one channel"),
        ({"channels": "hip"}, "channels is 'hip'"),
        ({"channels": ["hip"]}, "channel 'hip'"),
        ({"channels": [HIP, HIP]}, r"twice: \['hip'\]"),
        ({"channels": [["hip", "rad"]]}, "expected .name, unit"),
        ({"channels": [["hip", "rad", 3]]}, "expected .name, unit"),
        ({"channels": [["hip", "deg", "hip"]]}, "channel hip: unit 'deg'"),
        ({"channels": [["hip", "rad", "knee"]]}, "partner 'knee'"),
        ({"channels": [["hip", "rad", "hip", 2]]}, "mirror sign 2"),
        ({"channels": [["hip", "rad", "hip", 1, 2.0, 1.0]]}, "limits 2.0 to 1.0"),
        ({"channels": [["hip", "rad", "hip", 1, "low", 1.0]]}, "limits 'low' to 1.0"),
        ({"joints": ["Hip"]}, "joints is"),
        ({"joints": {"axes": ["X"], "unit": "rad"}}, "names, axes and unit"),
        ({"joints": {"names": "Hip", "axes": ["X"], "unit": "rad"}}, "lists of text"),
        ({"joints": {"names": ["LeftHip"], "axes": ["X"], "unit": "rad"}}, "no partner RightHip"),
        ({"root": "pelvis"}, "root is 'pelvis'"),
        ({"root": {"forward": "x", "lateral": "z"}}, "expected a channel name for each"),
        ({"root": {"forward": "x", "lateral": "z", "heading": "turn", "up": "y"}}, "expected a channel name for each"),
        ({"root": {"forward": "x", "lateral": "z", "heading": "yaw"}}, "heading = 'yaw'"),
        ({"root": {"forward": "x", "lateral": "z", "heading": "turn", "tilt": "hip"}}, "both or neither of"),
        ({"reference": "lying"}, "reference 'lying'"),
        ({"name": None}, "check name"),
        ({"rate": 30}, "check .'rate'."),
    ],
)
def test_broken_formats_are_told_by_field(change: dict, message: str):
    table = {"name": "leg", "channels": [HIP, X, Z, TURN], "root": {"forward": "x", "lateral": "z", "heading": "turn"}}
    MotionFormat.from_dict(table)
    with pytest.raises(InputError, match=f"leg.toml: .*{message}"):
        MotionFormat.from_dict(table | change, "leg.toml")


def test_table_that_is_no_table_is_refused():
    with pytest.raises(InputError, match="expected a table"):
        MotionFormat.from_dict([HIP])  # type: ignore[arg-type]


def test_unknown_or_unreadable_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="nosuch: no such motion format; shipped are .*'canonical'"):
        load_format("nosuch")
    broken = tmp_path / "lab.toml"
    broken.write_text("name = ")
    with pytest.raises(InputError, match="lab.toml: not readable as TOML"):
        load_format(str(broken))


def test_mirror_signs_of_joints_reach_both_sides():
    format = load_format("ui_prmd_vicon")
    sign = {c.name: c.mirror_sign for c in format.channels}
    assert all(s in (-1, 1) for s in sign.values())
    assert all(sign[c.name] == sign[c.partner] for c in format.channels)
    assert (sign["Head.X"], sign["Head.Y"], sign["RightClavicle.X"], sign["RightTibia.X"]) == (1, -1, -1, 1)


def test_mirror_signs_for_unknown_joints_are_refused():
    joints = {"names": ["LeftHip", "RightHip"], "axes": ["X"], "unit": "rad", "mirror_signs": {"RightHip": [1]}}
    with pytest.raises(InputError, match="mirror_signs"):
        MotionFormat.from_dict({"name": "f", "joints": joints})
