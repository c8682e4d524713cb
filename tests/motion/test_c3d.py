"""C3D: joint angles and their signs against markers and other walks, gaps, events, and files that lie about sizes."""

import json
import struct
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biomechjax.errors import InputError
from biomechjax.motion import c3d
from biomechjax.motion.format import SHIPPED
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording
from biomechjax.motion.travel import straight_line_speed

ezc3d = pytest.importorskip("ezc3d", reason="C3D files need ezc3d")

CHILDREN = Path(__file__).parents[2].parent / "shared" / "data" / "biomechzoo_children"
WALKS = Path(__file__).parents[2].parent / "shared" / "data" / "opensim_opencap_mot"
CANONICAL = tomllib.loads((SHIPPED / "plugin_gait.toml").read_text())["canonical"]
FRAMES = 120
TIME = np.arange(FRAMES) / 100
PELVIS = {"LASI": (0.1, 0.1, 0.9), "RASI": (0.1, -0.1, 0.9), "SACR": (-0.1, 0.0, 0.95)}


def write(path: Path, points: dict[str, np.ndarray], unit: str = "mm", **parameters) -> Path:
    """A C3D file of points [F, 3] by label, as ezc3d writes it; parameters are added to the group POINT."""
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [100]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(points)
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    for name, values in parameters.items():
        file.add_parameter("POINT", name, values)
    values = np.ones((4, len(points), FRAMES))
    values[:3] = np.stack(list(points.values())).transpose(2, 0, 1)
    file["data"]["points"] = values
    file.write(str(path))
    return path


def walker(quarters: int, turn: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """Pelvis markers in mm and angles in degrees of a walk at 1.2 m/s; heading `turn` against a quarter of the room."""
    heading = turn + 0 * TIME
    facing = heading + quarters * np.pi / 2
    across, gone = 0.02 * np.sin(TIME), 1.2 * TIME
    start = quarters * np.pi / 2
    middle = [gone * np.cos(start) - across * np.sin(start), gone * np.sin(start) + across * np.cos(start)]
    points = {}
    for name, (x, y, z) in PELVIS.items():
        ahead = [x * np.cos(facing) - y * np.sin(facing), x * np.sin(facing) + y * np.cos(facing)]
        points[name] = 1000 * np.stack([middle[0] + ahead[0], middle[1] + ahead[1], z + 0 * TIME], axis=1)
    knee = np.stack([30 + 25 * np.sin(6 * TIME), 3 * np.cos(TIME), 5 * np.sin(TIME)], axis=1)
    wrapped = (np.rad2deg(heading) + 180) % 360 - 180
    pelvis = np.stack([10 + np.sin(TIME), 4 * np.cos(TIME), wrapped], axis=1)
    return points | {"RKneeAngles": knee, "LKneeAngles": knee[::-1], "RPelvisAngles": pelvis}


@pytest.mark.parametrize("prefix", ["", "Ann:"])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_angles_are_radians_and_the_pelvis_goes_ahead(tmp_path: Path, quarters: int, prefix: str):
    points = walker(quarters)
    found = read_recording(write(tmp_path / "a.c3d", {prefix + n: v for n, v in points.items()}))
    assert found.format.name == "plugin_gait" and found.rate_hz == 100
    for side in "LR":
        for i, axis in enumerate("xyz"):
            truth = np.deg2rad(points[f"{side}KneeAngles"][:, i])
            np.testing.assert_allclose(found.channel(f"{side}KneeAngles.{axis}"), truth, atol=1e-6)
    assert found.observed.sum() == 12
    np.testing.assert_allclose(found.channel("Pelvis.x"), 1.2 * TIME, atol=1e-4)
    np.testing.assert_allclose(found.channel("Pelvis.y"), 0.925, atol=1e-4)
    np.testing.assert_allclose(found.channel("Pelvis.z"), -0.02 * np.sin(TIME), atol=1e-4)
    assert ("X", "Y", "-X", "-Y")[quarters] + " axis" in found.notes[0]
    assert "RHipAngles" in found.notes[1]


def test_heading_goes_on_through_a_turn(tmp_path: Path):
    found = read_recording(write(tmp_path / "a.c3d", walker(1, turn=5 * TIME)))
    np.testing.assert_allclose(found.channel("RPelvisAngles.z"), 5 * TIME, atol=1e-5)
    assert found.observed[found.format.indices["Pelvis.x"]]


def test_pelvis_without_fitting_markers_has_no_position(tmp_path: Path):
    points = walker(0)
    apart = points | {"RPelvisAngles": points["RPelvisAngles"] + [0, 0, 45]}
    for table, note in [({n: v for n, v in points.items() if n != "SACR"}, "Without"), (apart, "face apart")]:
        found = read_recording(write(tmp_path / "a.c3d", table))
        assert note in found.notes[0]
        assert not found.observed[[found.format.indices[f"Pelvis.{a}"] for a in "xyz"]].any()
        assert straight_line_speed(found) is None


def test_gaps_follow_the_rule_of_markers(tmp_path: Path):
    points = walker(0)
    points["RKneeAngles"] = points["RKneeAngles"].copy()
    points["RKneeAngles"][30:50] = np.nan
    points["LKneeAngles"] = points["LKneeAngles"].copy()
    points["LKneeAngles"][30:51] = np.nan
    found = read_recording(write(tmp_path / "a.c3d", points))
    truth = np.deg2rad(walker(0)["RKneeAngles"][:, 0])
    np.testing.assert_allclose(found.channel("RKneeAngles.x"), truth, atol=np.deg2rad(0.3))
    assert not found.observed[found.format.indices["LKneeAngles.x"]]
    assert "RKneeAngles (20)" in found.notes[-2] and "LKneeAngles (21)" in found.notes[-1]


@pytest.mark.parametrize("up", ["+Z", "+Y"])
def test_markers_alone_are_a_marker_recording(tmp_path: Path, up: str):
    points = {n: v for n, v in walker(0).items() if n in PELVIS}
    points |= {"Pelvis": points["SACR"], "KneeForce": np.ones((FRAMES, 3))}
    path = write(tmp_path / "a.c3d", points, Y_SCREEN=[up], FORCES=["KneeForce"])
    found = read_recording(path)
    assert found.format.names[:3] == ("LASI.x", "LASI.y", "LASI.z") and found.format.size == 12
    turned = points["RASI"] / 1000 if up == "+Y" else points["RASI"][:, [0, 2, 1]] * [1, 1, -1] / 1000
    np.testing.assert_allclose(found.values[:, 3:6], turned, atol=1e-6)
    assert found.notes[0].startswith("1 points are results of a model")
    assert found.format.channels[0].partner == "RASI.x"


def test_names_in_another_encoding_can_be_printed(tmp_path: Path):
    path = write(tmp_path / "a.c3d", walker(0) | {"EXTRA": np.ones((FRAMES, 3))})
    path.write_bytes(path.read_bytes().replace(b"EXTRA", "Préné".encode("latin-1")))
    found = read_recording(path)
    assert r"left out: Pr\xe9n\xe9." in found.notes[1].encode("utf-8").decode()


@pytest.mark.parametrize(
    ("points", "unit", "message"),
    [
        ({"Ann:RKneeAngles": 1, "Bob:RKneeAngles": 1}, "mm", "RKneeAngles stands twice; expected one person"),
        ({"M1": 1, "Ann:M1": 1}, "mm", "marker 'M1' stands twice"),
        ({"M1": 1}, "furlong", "POINT:UNITS is 'furlong'"),
        ({"M1": np.nan}, "mm", "no channel of format markers was observed"),
        ({"M1": 1e12}, "mm", "channel M1.x is 1e.09 in frame 0"),
    ],
)
def test_refused(tmp_path: Path, points: dict, unit: str, message: str):
    table = {n: np.full((FRAMES, 3), float(v)) for n, v in points.items()}
    with pytest.raises(InputError, match=f"a.c3d: .*{message}"):
        read_recording(write(tmp_path / "a.c3d", table, unit))


def test_no_ezc3d_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.c3d", walker(0))
    monkeypatch.setattr(c3d.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'biomechjax\[c3d\]'"):
        read_recording(path)


def test_header_that_promises_more_than_the_file_holds_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "a.c3d", walker(0))
    whole = path.read_bytes()
    points, _, first, last = struct.unpack("<4H", whole[2:10])
    assert (points, last - first + 1) == (6, FRAMES)
    lies = {"cut": whole[:-600], "points": whole[:2] + b"\xff\xff" + whole[4:]}
    lies |= {"frames": whole[:8] + b"\xff\xff" + whole[10:], "backwards": whole[:6] + b"\xff\xff\1\0" + whole[10:]}
    lies |= {"empty": b"", "short": whole[:200], "text": b"Coordinates\n" * 100, "zip": b"PK\3\4" + whole[4:]}
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("ezc3d was started"))
    for content in lies.values():
        path.write_bytes(content)
        with pytest.raises(InputError, match="a.c3d: "):
            read_recording(path)


def test_ezc3d_that_crashes_or_hangs_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.c3d", walker(0))
    program = tmp_path / "child.py"
    monkeypatch.setattr(c3d, "_CHILD", program)
    program.write_text("import os\nos.abort()\n")
    with pytest.raises(InputError, match="ezc3d cannot read it .it crashed"):
        read_recording(path)
    program.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(c3d, "PATIENCE_S", 0.2)
    with pytest.raises(InputError, match="does not come to an end"):
        read_recording(path)


def test_patience_is_of_processor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file is not refused because other programs have the processor."""
    path, program, child = write(tmp_path / "a.c3d", walker(0)), tmp_path / "child.py", c3d._CHILD
    monkeypatch.setattr(c3d, "_CHILD", program)
    monkeypatch.setattr(c3d, "PATIENCE_S", 1.0)

    def reads_after(delay: str) -> None:
        program.write_text(
            "import runpy, time\nimport ezc3d\nread = ezc3d.c3d.__init__\n"
            f"def slow(file, path):\n    {delay}\n    read(file, path)\n"
            f"ezc3d.c3d.__init__ = slow\nrunpy.run_path({str(child)!r}, run_name='__main__')\n"
        )

    reads_after("time.sleep(1.5)")
    assert read_recording(path).observed.any()

    def run(*args, timeout: float, **kwargs):
        try:
            return subprocess_run(*args, timeout=60, **kwargs)
        except subprocess.TimeoutExpired:
            pytest.fail("only the clock ends it")

    subprocess_run = subprocess.run
    monkeypatch.setattr(c3d.subprocess, "run", run)
    reads_after("while True: pass")
    with pytest.raises(InputError, match="does not come to an end"):
        read_recording(path)


# Real walks.


def child(name: str) -> Path:
    path = CHILDREN / f"{name}.c3d"
    if not path.is_file():
        pytest.skip(f"the children's gait of biomechZoo is not at {CHILDREN}")
    return path


def canonical(recording: Recording, name: str) -> np.ndarray:
    """A canonical channel in degrees, from either format."""
    if recording.format.name == "canonical":
        return np.rad2deg(recording.channel(name))
    own = CANONICAL[name]
    return np.rad2deg(recording.channel(own.removeprefix("-"))) * (-1 if own.startswith("-") else 1)


@pytest.mark.parametrize(("name", "frames", "speed"), [("HC002D06", 222, 1.31), ("HC002D25", 304, 0.95)])
def test_real_trials_hold_what_others_took_out_of_them(name: str, frames: int, speed: float):
    found = read_recording(child(name))
    assert found.values.shape == (frames, 44) and found.rate_hz == 100 and found.observed.all()
    assert straight_line_speed(found) == pytest.approx(speed, abs=0.01)
    angles = np.load(CHILDREN / "pig_angles.npz")[name]
    channels = json.loads((CHILDREN / "channels_events.json").read_text())[name]["channels"]
    for channel in found.format.channels:
        if channel.unit == "rad":
            triple, _, axis = channel.name.rpartition(".")
            truth = np.deg2rad(angles[:, channels.index(triple), "xyz".index(axis)])
            seen = np.isfinite(truth)
            np.testing.assert_allclose(found.channel(channel.name)[seen], truth[seen], atol=1e-5)


def test_signs_are_those_of_the_markers():
    """OpenSim's meaning of each canonical angle, from markers alone: the same sign, and near the same value.

    Backwards, to the right side down and to the left are positive for pelvis, trunk and head; for limbs forwards,
    inwards, and bent, except that the knee bends negative.
    """
    path = child("HC002D06")
    found = read_recording(path)
    file = ezc3d.c3d(str(path))
    labels = file["parameters"]["POINT"]["LABELS"]["value"]

    def marker(name: str) -> np.ndarray:
        """x ahead, y up, z to the right: the child walks along the room's Y."""
        return file["data"]["points"][:3, labels.index(name)].T[:, [1, 2, 0]]

    def angle(*xy: np.ndarray) -> np.ndarray:
        return np.rad2deg(np.arctan2(xy[1], xy[0]))

    def of_axis(across: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """How a segment leans back, lists and is turned [3, F]."""
        lean = angle(np.hypot(ahead[:, 0], ahead[:, 2]), ahead[:, 1])
        lists = -angle(np.hypot(across[:, 0], across[:, 2]), across[:, 1])
        return np.stack([lean, lists, angle(across[:, 2], across[:, 0])])

    def swing(limb: np.ndarray) -> np.ndarray:
        return angle(-limb[:, 1], limb[:, 0])

    m = {n: marker(n) for n in "LASI RASI SACR LSHO RSHO C7 CLAV T10 STRN LFHD RFHD LBHD RBHD".split()}
    pelvis = of_axis(m["RASI"] - m["LASI"], (m["RASI"] + m["LASI"]) / 2 - m["SACR"])
    upright = m["C7"] + m["CLAV"] - m["T10"] - m["STRN"]
    trunk = of_axis(m["RSHO"] - m["LSHO"], np.stack([upright[:, 1], -upright[:, 0], upright[:, 2]], axis=1))
    head = of_axis(m["RFHD"] - m["LFHD"], m["RFHD"] + m["LFHD"] - m["RBHD"] - m["LBHD"])
    truth = dict(zip(("pelvis_tilt", "pelvis_list", "pelvis_rotation"), pelvis, strict=True))
    for joint, angles in (("lumbar", trunk - pelvis), ("neck", head - trunk)):
        truth |= dict(zip((f"{joint}_extension", f"{joint}_bending", f"{joint}_rotation"), angles, strict=True))
    for side, inwards in (("R", -1), ("L", 1)):
        thigh, shank = marker(f"{side}KNE") - m[f"{side}ASI"], marker(f"{side}ANK") - marker(f"{side}KNE")
        foot, arm = marker(f"{side}TOE") - marker(f"{side}HEE"), marker(f"{side}ELB") - m[f"{side}SHO"]
        forearm = marker(f"{side}WRA") - marker(f"{side}ELB")
        s = side.lower()
        truth[f"hip_flexion_{s}"] = swing(thigh) - pelvis[0]
        truth[f"hip_adduction_{s}"] = inwards * (angle(-thigh[:, 1], thigh[:, 2]) + pelvis[1])
        truth[f"knee_angle_{s}"] = swing(shank) - swing(thigh)
        truth[f"ankle_angle_{s}"] = angle(foot[:, 0], foot[:, 1]) - swing(shank)
        truth[f"arm_flex_{s}"] = swing(arm)
        truth[f"arm_rot_{s}"] = angle(forearm[:, 0], inwards * forearm[:, 2])
        truth[f"elbow_flex_{s}"] = swing(forearm) - swing(arm)
        assert -20 < canonical(found, f"arm_add_{s}").mean() < -5  # arms hang a little away from the body
    for name, expected in truth.items():
        seen = np.isfinite(expected)
        assert np.corrcoef(canonical(found, name)[seen], expected[seen])[0, 1] > 0.75, name
        near = 40 if "arm" in name or "elbow" in name else 15
        assert np.abs(canonical(found, name)[seen] - expected[seen]).mean() < near, name


def test_joints_move_as_anatomy_has_them():
    found = read_recording(child("HC002D06"))
    for side in "rl":
        knee, hip, ankle = (canonical(found, f"{n}_{side}") for n in ("knee_angle", "hip_flexion", "ankle_angle"))
        assert -65 < knee.min() < -50 and knee.max() < 8
        assert 35 < np.ptp(hip) < 55 and hip.max() > 25
        assert 5 < ankle.max() < 20 and -20 < ankle.min() < -5
    assert {(label, side) for label, side, _ in c3d.c3d_events(child("HC002D06"))} == {
        (label, side) for label in ("Foot Strike", "Foot Off") for side in ("Left", "Right")
    }
    for label, side, time_s in c3d.c3d_events(child("HC002D06")):
        frame = round(time_s * found.rate_hz)
        hip, ankle = (canonical(found, f"{n}_{side[0].lower()}")[frame] for n in ("hip_flexion", "ankle_angle"))
        assert hip > 20 if label == "Foot Strike" else ankle < -5


# Two channels (or differences between sides) that go together in every walk, with the sign in which they do.
TOGETHER = [
    ("pelvis_list", "hip_adduction", -1),
    ("lumbar_bending", "pelvis_list", -1),
    ("hip_rotation", "pelvis_rotation", -1),
    ("ankle_angle_r", "knee_angle_r", 1),
    ("arm_flex", "hip_flexion", -1),
]


def together(recording: Recording, names: tuple[str, str]) -> float:
    """Correlation; a name without a side is its channel, or what its right channel has more than its left."""
    values = [
        canonical(recording, n) if n in CANONICAL else canonical(recording, f"{n}_r") - canonical(recording, f"{n}_l")
        for n in names
    ]
    return float(np.corrcoef(*values)[0, 1])


@pytest.mark.parametrize(("one", "other", "sign"), TOGETHER)
def test_channels_go_together_as_in_walks_of_opensim(one: str, other: str, sign: int):
    """The mirrored walk as well, which it would not with a wrong mirror sign."""
    walk = read_recording(child("HC002D06"))
    for recording in (walk, walk.mirrored()):
        assert together(recording, (one, other)) * sign > 0.15
    path = WALKS / "opencap_walking1.mot"
    if path.is_file():
        assert together(read_recording(path), (one, other)) * sign > 0.15


@pytest.mark.parametrize("name", ["HC002D06.c3d", "HC002D25.c3d"])
def test_pelvis_angles_are_in_the_order_of_opensim(name: str):
    """Put together as tilt, list, rotation they give the attitude of the pelvis markers, in a walk and in a turn."""
    if not (CHILDREN / name).is_file():
        pytest.skip(f"{name} of the biomechZoo sample study is not here")
    recording, file = read_recording(CHILDREN / name), c3d._load(CHILDREN / name)
    left, right, back = (file.points[:, file.names.index(n)] for n in ("LASI", "RASI", "SACR"))
    across = (right - left) / np.linalg.norm(right - left, axis=1, keepdims=True)
    forward = 0.5 * (left + right) - back
    forward -= np.sum(forward * across, axis=1, keepdims=True) * across
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    markers = np.stack([forward, np.cross(across, forward), across], axis=2)[:, [0, 2, 1]] * [[1], [1], [-1]]
    x, y, z = (recording.channel(f"RPelvisAngles.{axis}") for axis in "xyz")
    angles = Rotation.from_euler("ZXY", np.stack([-x, -y, z], axis=1))
    # The laboratory is turned by quarter turns against the direction of walking; that is the same in all frames.
    apart = Rotation.from_matrix(markers) * angles.inv()
    assert np.rad2deg((apart[0].inv() * apart).magnitude()).max() < 0.05
