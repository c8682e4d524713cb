"""BVH: rotations and units, mirrored skeletons against forward kinematics, and broken hierarchies."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biomechjax.errors import InputError
from biomechjax.motion.bvh import bvh_figure
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

# name: parent and offset in centimetres
BONES = {
    "Hips": ("", (0, 0, 0)),
    "LeftLeg": ("Hips", (9, -5, 0)),
    "LeftFoot": ("LeftLeg", (0, -85, 2)),
    "RightLeg": ("Hips", (-9, -5, 0)),
    "RightFoot": ("RightLeg", (0, -85, 2)),
    "Head": ("Hips", (0, 65, 0)),
}
FRAMES = 90


def joint(name: str, scale: float, depth: int = 0) -> str:
    pad = "\t" * depth
    offset = " ".join(f"{x * scale:g}" for x in BONES[name][1])
    moves = "" if depth else "Xposition Yposition Zposition "
    inside = "".join(joint(n, scale, depth + 1) for n, (parent, _) in BONES.items() if parent == name)
    inside = inside or f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET 0 0 {scale:g}\n{pad}\t}}\n"
    return (
        f"{pad}{'JOINT' if depth else 'ROOT'} {name}\n{pad}{{\n{pad}\tOFFSET {offset}\n"
        f"{pad}\tCHANNELS {3 if depth else 6} {moves}Zrotation Xrotation Yrotation\n{inside}{pad}}}\n"
    )


def rows(scale: float = 1.0) -> np.ndarray:
    """float64 [90, 3 + 3 joints]: a position, then degrees that wrap at 180."""
    phase = np.arange(3 + 3 * len(BONES))
    values = 20 * np.sin(np.arange(FRAMES)[:, None] / 10 + phase)
    values[:, :3] = scale * (values[:, :3] + [0, 90, 0])
    values[:, 3] = (5 * np.arange(FRAMES) + 180) % 360 - 180
    return values


def write(path: Path, scale: float = 1.0, frames: int = FRAMES) -> Path:
    motion = "".join(" ".join(f"{x:.6f}" for x in row) + " \n" for row in rows(scale))
    path.write_text(
        f"HIERARCHY\n{joint('Hips', scale)}MOTION\nFrames:\t{frames}\nFrame Time: 0.0333333\n{motion}", newline="\r\n"
    )
    return path


def positions(recording: Recording) -> dict[str, np.ndarray]:
    """Where each joint is [F, 3], by forward kinematics in metres."""
    place, turn = {}, {}
    for name, (parent, offset) in BONES.items():
        angles = np.stack([recording.channel(f"{name}.{axis}rotation") for axis in "ZXY"], axis=1)
        turn[name], place[name] = Rotation.from_euler("ZXY", angles), np.array(offset) / 100
        if parent:
            place[name] = place[parent] + turn[parent].apply(place[name])
            turn[name] = turn[parent] * turn[name]
        else:
            place[name] = np.stack([recording.channel(f"{name}.{axis}position") for axis in "XYZ"], axis=1)
    return place


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "centimetres"), (0.01, "metres"), (10.0, "millimetres")])
def test_angles_are_radians_and_lengths_metres(tmp_path: Path, scale: float, unit: str):
    found = read_recording(write(tmp_path / "a.bvh", scale))
    assert found.rate_hz == pytest.approx(30, rel=1e-5)
    assert found.format.names[:4] == ("Hips.Xposition", "Hips.Yposition", "Hips.Zposition", "Hips.Zrotation")
    np.testing.assert_allclose(found.values[:, :3], rows()[:, :3] / 100, atol=1e-6)
    np.testing.assert_allclose(found.values[:, 4:], np.deg2rad(rows()[:, 4:]), atol=1e-6)
    np.testing.assert_allclose(found.channel("Hips.Zrotation"), np.deg2rad(5) * np.arange(FRAMES), atol=1e-5)
    assert found.notes == (f"The file has no unit of length; with a skeleton of {155 * scale:.4g}, {unit} are taken.",)


def test_mirror_is_the_reflection_of_every_joint(tmp_path: Path):
    found = read_recording(write(tmp_path / "a.bvh"))
    here, there = positions(found), positions(found.mirrored())
    for name in BONES:
        other = name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
        np.testing.assert_allclose(there[other], here[name] * [-1, 1, 1], atol=1e-5)
    assert np.ptp(here["LeftFoot"], axis=0).min() > 0.05


def test_the_figure_has_every_joint_where_it_is_over_a_floor(tmp_path: Path):
    path = write(tmp_path / "a.bvh")
    figure, places = bvh_figure(path), positions(read_recording(path))
    ends = ["LeftFoot.end", "RightFoot.end", "Head.end"]
    assert sorted(figure.names) == sorted([*BONES, *ends]) and figure.rate_hz == pytest.approx(30, rel=1e-5)
    drawn = dict(zip(figure.names, np.moveaxis(figure.places, 1, 0), strict=True))
    floor = places["Hips"][0, 1] - drawn["Hips"][0, 1]
    for name, place in places.items():
        np.testing.assert_allclose(drawn[name], place - [0, floor, 0], atol=1e-5)
    assert (figure.places[..., 1].min(axis=1) < 0).mean() == pytest.approx(0.05, abs=0.02)
    np.testing.assert_allclose(np.linalg.norm(drawn["Head.end"] - drawn["Head"], axis=1), 0.01, atol=1e-6)
    lines = {(figure.names[a], figure.names[b]): line.side for line in figure.lines for a, b in [line.points]}
    expected = {(parent, name): name[0].lower() for name, (parent, _) in BONES.items() if parent}
    expected |= {(end.removesuffix(".end"), end): end[0].lower() for end in ends}
    assert lines == {pair: side if side in "lr" else "m" for pair, side in expected.items()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HIERARCHIE", "line 1: 'HIERARCHIE'; expected HIERARCHY"),
        ("JOINT Head", "BONE Head", "'BONE'; expected JOINT, End Site or }"),
        ("MOTION", "}\nMOTION", "'}'; expected one ROOT, then MOTION"),
        ("MOTION", "ROOT Second\nMOTION", "a second ROOT"),
        ("MOTION\n", "", "'Frames:'; expected one ROOT"),
        ("CHANNELS 3", "CHANNELS 4", "channels .* expected some of"),
        ("CHANNELS 3", "CHANNELS 99999999", "CHANNELS '99999999'; expected 0 to 6"),
        ("CHANNELS 3", "CHANNELS 2", "expected JOINT, End Site"),
        ("JOINT RightLeg", "JOINT LeftLeg", "21 channels, 18 different"),
        ("OFFSET 9 -5 0", "OFFSET 9 nan 0", "'nan'; expected a number"),
        ("OFFSET 9 -5 0", "OFFSET 9 -5", "'CHANNELS'; expected a number"),
        ("Head\n\t{", "Head\n", "'OFFSET'; expected {"),
        ("Frames:\t90", "Frames:\t1000000000", "1e[+]09, but 90 rows follow"),
        ("Frames:\t90", "Frames:\t89", "Frames: 89, but 90 rows follow"),
        ("Frames:\t90", "Frames:\tmany", "'many'; expected a number"),
        ("Frame Time: 0.0333333", "Frame Time: 0", "Frame Time is 0 s"),
        ("Frame Time: 0.0333333\n", "", "expected Frame Time:"),
        ("0 -85 2", "0 -8500 2", "the skeleton is .* long"),
    ],
)
def test_refused(tmp_path: Path, old: str, new: str, message: str):
    path = write(tmp_path / "a.bvh")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"a.bvh: .*{message}"):
        read_recording(path)


def test_row_that_is_short_or_no_number_is_told_by_line(tmp_path: Path):
    path = write(tmp_path / "a.bvh")
    lines = path.read_text().split("\n")
    first = lines.index("Frame Time: 0.0333333") + 1
    for row, message in [("1 2 3", "3 cells; expected 21"), (lines[first].replace(" ", " x", 1), "is not a finite")]:
        path.write_text("\n".join([*lines[:first], row, *lines[first + 1 :]]))
        with pytest.raises(InputError, match=f"line {first + 1}.*{message}"):
            read_recording(path)


def test_deep_nesting_is_refused(tmp_path: Path):
    path = tmp_path / "a.bvh"
    link = "JOINT a { OFFSET 0 1 0 CHANNELS 0 "
    path.write_text("HIERARCHY ROOT r { OFFSET 0 0 0 CHANNELS 1 Xrotation " + link * 100_000)
    with pytest.raises(InputError, match="more than 200 joints in a chain"):
        read_recording(path)


def test_cut_hierarchy_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.bvh")
    text = path.read_text()
    for end in range(10, text.index("MOTION"), 37):
        path.write_text(text[:end])
        with pytest.raises(InputError, match="a.bvh"):
            read_recording(path)
