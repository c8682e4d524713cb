"""NumPy archives: coordinates by name, arrays in the order of a format; bombs, pickles and wrong shapes are refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.travel import straight_line_speed

LOCOMUJOCO = Path(__file__).parents[2].parent / "shared" / "data" / "locomujoco_human_mini"
FRAMES = 120
TIME = np.arange(FRAMES) / 60
BEND = 0.6 - 0.5 * np.cos(2 * np.pi * TIME)
WALK = {
    "q_pelvis_tx": 1.2 * TIME,
    "q_pelvis_ty": 0 * TIME + 0.9,
    "q_knee_angle_r": -BEND,
    "q_hip_flexion_r": np.sin(TIME),
}
TOML = """name = "legs"
channels = [["h", "m", "h"], ["a.x", "rad", "a.x"], ["a.y", "rad", "a.y"]]
"""


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def npy(array: np.ndarray, **header) -> bytes:
    """The bytes of a .npy file whose header may lie."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    )
    return file.getvalue() + array.tobytes()


def test_coordinates_are_canonical_by_name(tmp_path: Path):
    found = read_recording(save(tmp_path / "a.npz", **WALK, frequency=np.array(60.0)))
    assert found.format.name == "canonical" and found.rate_hz == 60
    assert {n for n, seen in zip(found.format.names, found.observed, strict=True) if seen} == {n[2:] for n in WALK}
    for name, values in WALK.items():
        np.testing.assert_allclose(found.channel(name[2:]), values, atol=1e-6)


def test_velocities_tell_the_rate_and_contradict_a_wrong_one(tmp_path: Path):
    speeds = {f"d{n}": np.gradient(v) * 250 for n, v in WALK.items()}
    path = save(tmp_path / "a.npz", **WALK, **speeds)
    assert read_recording(path).rate_hz == 250
    assert read_recording(path, ReadOptions(rate_hz=251)).rate_hz == 251
    with pytest.raises(InputError, match="given as 100 Hz, but positions and velocities in the file make it 250 Hz"):
        read_recording(path, ReadOptions(rate_hz=100))


def test_a_coupled_knee_tells_the_direction_of_one_that_hardly_bends(tmp_path: Path):
    for bend, beta, sign in ((0.05, True, -1), (0.05, False, 1), (BEND, False, -1), (-BEND, True, 1)):
        knees = {"q_knee_angle_r": bend + 0 * TIME} | ({"q_knee_angle_r_beta_rotation1": 0 * TIME} if beta else {})
        found = read_recording(save(tmp_path / "a.npz", **knees), ReadOptions(rate_hz=60))
        np.testing.assert_allclose(found.channel("knee_angle_r"), sign * knees["q_knee_angle_r"], atol=1e-6)


def test_a_height_that_is_none_is_dropped(tmp_path: Path):
    walk = WALK | {"q_pelvis_ty": 0 * TIME - 0.05}
    found = read_recording(save(tmp_path / "a.npz", **walk), ReadOptions(rate_hz=60))
    assert not found.observed[found.format.indices["pelvis_ty"]]
    assert any("pelvis_ty, -0.05 to -0.05 m, is no height" in n for n in found.notes)


def test_arrays_in_the_order_of_a_format(tmp_path: Path):
    (tmp_path / "legs.toml").write_text(TOML)
    values = np.random.default_rng(0).normal(size=(FRAMES, 3))
    path = save(tmp_path / "a.npz", trial=values, joints=values[:, None], qpos=values, fps=np.array(3))
    options = {"format": str(tmp_path / "legs.toml"), "rate_hz": 60.0, "unit": "rad"}
    for array in ("trial", "joints", None):
        found = read_recording(path, ReadOptions(array=array, **options))
        np.testing.assert_allclose(found.values, values, atol=1e-6)
    found = read_recording(path, ReadOptions(array="trial", **options | {"unit": "deg", "unit_m": 0.001}))
    np.testing.assert_allclose(found.values, values * [0.001, np.pi / 180, np.pi / 180], atol=1e-6)
    for change, message in (
        ({"format": None}, "does not say what its columns are; give a format"),
        ({"rate_hz": None}, "frames per second; give the rate"),
        ({"unit": None}, r"unit of its angles \(a.x\); give the unit"),
        ({"array": "nosuch"}, "no array 'nosuch'; give one of trial, joints, qpos, fps"),
        ({"array": "fps"}, r"array fps is \[\]|not readable"),
        ({"format": "canonical"}, r"\[120, 3\]; expected \[frames, 40\]"),
    ):
        with pytest.raises(InputError, match=f"a.npz: .*{message}"):
            read_recording(path, ReadOptions(**{"array": "trial"} | options | change))


def test_degrees_called_radians_are_refused(tmp_path: Path):
    (tmp_path / "legs.toml").write_text(TOML)
    path = save(tmp_path / "a.npz", qpos=np.full((FRAMES, 3), 20.0))
    with pytest.raises(InputError, match="a.x is beyond 20 rad half of the time; give the unit deg"):
        read_recording(path, ReadOptions(format=str(tmp_path / "legs.toml"), rate_hz=60, unit="rad"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.zeros(0), shape=(10**15,)), "in .* bytes; expected numbers"),
        (npy(np.zeros(30))[:-4], "in .* bytes; expected numbers|not readable"),
        (npy(np.zeros(3))[:5], "not readable"),
        (npy(np.zeros(30)).replace(b"{'descr'", b"(((((((("), "not readable"),
        (npy(np.zeros(30)).replace(b"{'descr'", b"\n  1\n 2#"), "not readable"),
        (npy(np.array(["a", "b"])), "expected numbers"),
        (b"not numpy at all", "not readable"),
    ],
)
def test_damaged_arrays_are_refused(tmp_path: Path, content: bytes, message: str):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("q_knee_angle_r.npy", content)
    with pytest.raises(InputError, match=f"a.npz: array q_knee_angle_r .*{message}"):
        read_recording(tmp_path / "a.npz", ReadOptions(rate_hz=60))


def test_pickles_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", q_knee_angle_r=np.array([{}, None], object))
    with pytest.raises(InputError, match="expected numbers"):
        read_recording(tmp_path / "a.npz", ReadOptions(rate_hz=60))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("qpos.npy", "w", force_zip64=True) as file:
            file.write(npy(np.zeros(0), shape=(2**27 + 2**21,)))
            block = bytes(2**24)
            for _ in range(65):
                file.write(block)
    assert (tmp_path / "a.npz").stat().st_size < 3 * 10**6
    with pytest.raises(InputError, match="array qpos unpacks to 1.0 GiB; expected at most 1 GiB"):
        read_recording(tmp_path / "a.npz", ReadOptions(format="canonical", rate_hz=60))


def test_what_is_no_archive_is_refused(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(InputError, match="a.npz: no .npz archive"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", walk=np.zeros((4, 3)))
    content = bytearray((tmp_path / "b.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 181  # the version of zip that its directory calls for
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(InputError, match="b.npz: no .npz archive: zip file version 18.1"):
        read_recording(tmp_path / "b.npz")


@pytest.mark.skipif(not LOCOMUJOCO.is_dir(), reason="the LocoMuJoCo recordings are not here")
def test_locomujoco_walk():
    found = read_recording(LOCOMUJOCO / "02-constspeed_full_humanoid.npz")
    assert found.rate_hz == 500
    assert straight_line_speed(found) == pytest.approx(1.35, abs=0.01)  # as its file says of itself: dq_pelvis_tx
    for side in "lr":
        knee = np.rad2deg(found.channel(f"knee_angle_{side}"))
        assert -70 < knee.min() < -50 and knee.max() < 5
    assert not found.observed[found.format.indices["pelvis_ty"]]
