"""Clips and cycles of other projects, and time that is a share of a cycle."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.mapping import to_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.travel import straight_line_speed

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CANONICAL = load_format("canonical")


def needs(folder: str):
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"the recordings of {folder} are not here")


def deepmimic(path: Path, frames: int = 40, **angles: tuple[float, float, float]) -> Path:
    """A clip whose ball joint at a column has rotations about z, x and y in this order."""
    rows = np.zeros((frames, 44))
    rows[:, 0], rows[-1, 0] = 1 / 30, 0
    for first in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        x, y, z, w = Rotation.from_euler("ZXY", angles.get(f"at{first}", (0, 0, 0)), degrees=True).as_quat()
        rows[:, first : first + 4] = w, x, y, z
    rows[:, 20] = np.linspace(-0.1, -1.0, frames)
    path.write_text(json.dumps({"Loop": "none", "Frames": rows.tolist()}))
    return path


def test_deepmimic_rotations_are_those_of_opensim(tmp_path: Path):
    clip = deepmimic(tmp_path / "a.txt", at16=(30, 10, -5), at30=(20, -10, 5), at4=(5, -3, 40), at39=(60, 12, 20))
    found = read_recording(clip)
    expected = {
        "hip_flexion_r": 30, "hip_adduction_r": 10, "hip_rotation_r": -5,
        "hip_flexion_l": 20, "hip_adduction_l": 10, "hip_rotation_l": -5,
        "pelvis_tilt": 5, "pelvis_list": -3, "pelvis_rotation": 40,
        "arm_flex_l": 60, "arm_add_l": -12, "arm_rot_l": -20, "arm_flex_r": 0,
    }  # fmt: skip
    for name, degrees in expected.items():
        np.testing.assert_allclose(np.rad2deg(found.channel(name)), degrees, atol=1e-3, err_msg=name)
    assert found.rate_hz == pytest.approx(30)
    assert not found.observed[CANONICAL.indices["neck_extension"]]


def test_deepmimic_triples_that_leap_are_masked(tmp_path: Path):
    found = read_recording(deepmimic(tmp_path / "a.txt", at25=(0, 85, 0)))
    assert not found.observed[[CANONICAL.indices[n] for n in ("arm_flex_r", "arm_add_r", "arm_rot_r")]].any()
    assert "arm_flex_r, arm_add_r, arm_rot_r" in found.notes[1]
    with warnings.catch_warnings():  # where two of its axes meet
        warnings.simplefilter("error")
        found = read_recording(deepmimic(tmp_path / "b.txt", at25=(0, 90, 0)))
    assert not found.observed[CANONICAL.indices["arm_add_r"]]


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"Frames": [[1, 2]]}', '{"Frames": "a"}', '{"Frames": [[1], [1, 2]]}', "[" * 10**5]
)
def test_what_is_no_clip_is_refused(tmp_path: Path, text: str):
    for name in ("a.txt", "a.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"{name}: (not readable as JSON|expected a|the file is empty)"):
            read_recording(tmp_path / name)


@pytest.mark.filterwarnings("error")
def test_numbers_that_overflow_are_refused_at_once(tmp_path: Path):
    path = deepmimic(tmp_path / "a.txt")
    path.write_text(path.read_text().replace("1.0,", "1e308,"))  # of rotations, whose lengths would overflow
    with pytest.raises(InputError, match="a.txt: expected a DeepMimic clip, .* numbers of at most 10000"):
        read_recording(path)


@needs("deepmimic_pybullet_data")
def test_deepmimic_walks_and_runs():
    folder = DATA / "deepmimic_pybullet_data"
    walk, run = (read_recording(folder / f"humanoid3d_{n}.txt") for n in ("walk", "run"))
    knee, hip, arm = (np.rad2deg(walk.channel(n)) for n in ("knee_angle_r", "hip_flexion_r", "arm_flex_r"))
    assert -85 < knee.min() < -55 and 30 < np.ptp(hip) < 55
    assert np.corrcoef(hip, arm)[0, 1] < -0.8  # an arm swings with the other leg
    assert 0.8 < straight_line_speed(walk) < 1.4 < 2.5 < straight_line_speed(run)
    for clip in sorted(folder.glob("humanoid3d_*.txt")):
        found = read_recording(clip)
        assert np.abs(np.diff(found.values, axis=0)).max() * found.rate_hz < 45  # rad/s; a leap by a half turn is 94


def gaitkit(path: Path, hip: float) -> Path:
    angles = {f"{s}_{j}_angle": v for s in ("left", "right") for j, v in (("hip", hip), ("knee", 30.0), ("ankle", 5.0))}
    path.write_text(json.dumps({"fps": 100.0, "angle_frames": [angles] * 50}))
    return path


def test_gaitkit_hips_are_kept_only_where_they_are_hips(tmp_path: Path):
    upright, not_hips = (read_recording(gaitkit(tmp_path / f"{h}.json", h)) for h in (25.0, 90.0))
    assert upright.observed.sum() == 6 and not_hips.observed.sum() == 4
    assert np.rad2deg(upright.channel("knee_angle_l"))[0] == pytest.approx(-30)
    assert np.rad2deg(upright.channel("hip_flexion_r"))[0] == pytest.approx(25)
    assert "hip_flexion_l has a median of 90 degrees" in not_hips.notes[0]


@needs("gaitkit_examples")
@pytest.mark.parametrize(("name", "observed"), [("healthy", 4), ("parkinson", 4), ("stroke", 6)])
def test_gaitkit_examples(name: str, observed: int):
    found = read_recording(DATA / "gaitkit_examples" / f"example_{name}.json")
    assert found.observed.sum() == observed
    for side in "lr":
        assert -75 < np.rad2deg(found.channel(f"knee_angle_{side}")).min() < -45


def mat(path: Path) -> tuple[Path, np.ndarray]:
    cycles = np.random.default_rng(0).normal(size=(100, 2, 3))
    table = {"all": cycles, "colheaders": np.array(["knee_flex_l", "lower_torso_TX"], object)}
    scipy.io.savemat(path, {"ExperimentalData": {"Q": {"subject1": {"Qs": table}}}})
    return path, cycles


def test_a_cycle_of_a_mat_file(tmp_path: Path):
    path, cycles = mat(tmp_path / "a.mat")
    found = read_recording(path, ReadOptions(array="ExperimentalData.Q.subject1.Qs.all[2]", duration_s=1.1))
    assert found.rate_hz == pytest.approx(90)  # 99 steps in 1.1 s
    found = to_format(found, CANONICAL)
    np.testing.assert_allclose(found.channel("knee_angle_l"), -np.deg2rad(cycles[:, 0, 2]), atol=1e-6)
    np.testing.assert_allclose(found.channel("pelvis_tx"), cycles[:, 1, 2], atol=1e-6)
    for options, message in (
        ({"array": "ExperimentalData.Q.subject1.Qs.all[2]"}, "which cycle, and how long it took"),
        ({"duration_s": 1.0}, "which cycle, and how long it took"),
        ({"array": "ExperimentalData.Q.subject1.Qs.all[3]", "duration_s": 1.0}, r"no cycle .*all\[3\]"),
        ({"array": "nosuch.all[0]", "duration_s": 1.0}, "no cycle nosuch"),
    ):
        with pytest.raises(InputError, match=message):
            read_recording(path, ReadOptions(**options))
    path.write_bytes(b"no matlab")
    with pytest.raises(InputError, match="no cycle"):
        read_recording(path, ReadOptions(array="a.all[0]", duration_s=1.0))


def test_a_mat_file_that_unpacks_to_much_more_is_refused(tmp_path: Path):
    scipy.io.savemat(tmp_path / "a.mat", {"a": np.zeros(26 * 10**6)}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 10**6
    with pytest.raises(InputError, match="a.mat: unpacks to more than 200 MB"):
        read_recording(tmp_path / "a.mat", ReadOptions(array="a.all[0]", duration_s=1.0))


@needs("cp_gait_predictcpgait")
def test_the_child_with_cerebral_palsy_walks_in_a_crouch():
    for file, cycles, lands in (("l", 3, "l"), ("r", 4, "r")):
        for cycle in range(cycles):
            options = ReadOptions(array=f"ExperimentalData.Q.subject1.Qs.all[{cycle}]", duration_s=1.025)
            path = DATA / "cp_gait_predictcpgait" / f"ExperimentalData_{file}.mat"
            found = to_format(read_recording(path, options), CANONICAL)
            knee, hip = (np.rad2deg(found.channel(f"{n}_{lands}")) for n in ("knee_angle", "hip_flexion"))
            assert -60 < knee[0] < -30 and 25 < hip[0] < 50  # at foot contact
            assert 0.8 < straight_line_speed(found) < 1.2  # strides of 0.91 to 1.11 m
    named = DATA / "cp_gait_predictcpgait" / "KS_Gait_average_r.mot"
    assert to_format(read_recording(named, ReadOptions(format="predictcpgait")), CANONICAL).observed.sum() == 10


def cycle(path: Path, span: float, closes: bool = True) -> Path:
    time = np.linspace(0, span, 101)
    phase = 2 * np.pi * np.linspace(0, 1 if closes else 0.7, 101)
    rows = "".join(
        f"{t:.6f},{20 * np.sin(p):.4f},{-30 + 25 * np.cos(p):.4f}\n" for t, p in zip(time, phase, strict=True)
    )
    path.write_text("time,hip_flexion_r,knee_angle_r\n" + rows)
    return path


def test_time_that_is_a_share_of_a_cycle_is_refused_until_its_seconds_are_given(tmp_path: Path):
    path = cycle(tmp_path / "a.csv", 1.0)
    with pytest.raises(InputError, match=r"time spans exactly 1 and every angle ends within 0.0 degrees.*--duration-s"):
        read_recording(path, ReadOptions(unit="deg"))
    found = read_recording(path, ReadOptions(unit="deg", duration_s=1.25))
    assert found.rate_hz == pytest.approx(80)
    assert "Its 101 frames are taken to span 1.25 s, as given." in found.notes
    assert read_recording(path, ReadOptions(unit="deg", duration_s=1.0)).rate_hz == pytest.approx(100)
    with pytest.raises(InputError, match="spans exactly 100 "):
        read_recording(cycle(tmp_path / "b.csv", 100.0), ReadOptions(unit="deg"))


def test_time_of_other_trials_is_seconds(tmp_path: Path):
    for span, closes in ((1.1, True), (1.0, False)):
        read_recording(cycle(tmp_path / "a.csv", span, closes), ReadOptions(unit="deg"))


@needs("opensim_opencap_mot")
def test_opensim_tutorial_cycles_are_told_from_trials():
    refused = set()
    for file in sorted((DATA / "opensim_opencap_mot").glob("*.mot")):
        try:
            read_recording(file)
        except InputError as e:
            assert "--duration-s" in str(e)
            refused.add(file.stem)
    assert refused == {"gait2392_normal", *(f"gait2392_crouch{i}" for i in (1, 2, 3, 4))}
