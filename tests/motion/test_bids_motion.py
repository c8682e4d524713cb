"""One movement out of a BIDS folder, and one file of UI-PRMD, read where they lie."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import test_table

from biomechjax.errors import InputError
from biomechjax.motion.bids_motion import SIMULATED
from biomechjax.motion.format import load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording

STEM = "sub-1_task-walk_tracksys-imu"
WALK = test_table.WALK


def write(root: Path, session: str = "", gap: slice = slice(0, 0)) -> Path:
    folder = root / "sub-1" / session / "motion"
    folder.mkdir(parents=True)
    cells = np.stack([*WALK.values()], axis=1).round(5).astype(str)
    cells[gap] = "n/a"
    path = folder / f"{STEM}_motion.tsv"
    path.write_text("\n".join("\t".join(row) for row in cells) + "\n")
    units = ["m" if "_t" in n else "deg" for n in WALK]
    rows = "".join(f"{n}\t{u}\n" for n, u in zip(WALK, units, strict=True))
    (folder / f"{STEM}_channels.tsv").write_text("name\tunits\n" + rows)
    (folder / f"{STEM}_motion.json").write_text(json.dumps({"SamplingFrequency": 30.0}))
    return path


@pytest.mark.parametrize("session", ["", "ses-1"])
def test_movement_of_a_folder(tmp_path: Path, session: str):
    found = read_recording(write(tmp_path, session))
    assert (found.format.name, found.rate_hz, int(found.observed.sum())) == ("canonical", 30.0, 3)
    np.testing.assert_allclose(found.channel("hip_flexion_r"), np.deg2rad(WALK["hip_flexion_r"]), atol=1e-5)
    assert SIMULATED not in found.notes


def test_a_cell_without_a_number_is_a_gap(tmp_path: Path):
    found = read_recording(write(tmp_path, gap=slice(20, 25)))
    np.testing.assert_allclose(found.channel("hip_flexion_r"), np.deg2rad(WALK["hip_flexion_r"]), atol=1e-3)
    assert any("frames filled: pelvis_tx (5), " in n for n in found.notes)


def test_the_folder_says_its_format_and_whether_people_are_simulated(tmp_path: Path):
    path = write(tmp_path, "ses-1")
    knee = [["knee_angle_r", "rad", "knee_angle_r", 1]]
    (tmp_path / "motion_format.json").write_text(json.dumps({"name": "leg", "channels": knee}))
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Simulated": True}))
    found = read_recording(path)
    assert found.format.name == "leg" and found.notes[0] == SIMULATED
    with pytest.raises(InputError, match="format is given, but .*motion_format.json says it"):
        read_recording(path, ReadOptions(format="canonical"))


@pytest.mark.parametrize("name", ["channels.tsv", "motion.json"])
def test_files_that_belong_to_it_are_missed_by_name(tmp_path: Path, name: str):
    path = write(tmp_path)
    (path.parent / f"{STEM}_{name}").unlink()
    with pytest.raises(InputError, match=f"_motion.tsv: {STEM}_{name} is not beside it.*rename the file"):
        read_recording(path)


@pytest.mark.parametrize(("sensor", "size", "rate"), [("vicon", 117, 100.0), ("kinect", 66, 30.0)])
@pytest.mark.parametrize("ending", ["_angles.txt", "_angles_inc.txt", "_angles.txt.gz"])
def test_ui_prmd_is_told_by_its_columns(tmp_path: Path, sensor: str, size: int, rate: float, ending: str):
    degrees = 10 * np.sin(np.arange(40)[:, None] / 9 + np.arange(size))
    degrees[:, 0] = 350 + 300 * np.sin(np.arange(40) / 3)  # further than a turn, for half of the time
    text = "\n".join(",".join(f"{x:.2f}" for x in row) for row in degrees).encode()
    path = tmp_path / f"m01_s01_e01{ending}"
    path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    found = read_recording(path)
    assert (found.format, found.rate_hz) == (load_format(f"ui_prmd_{sensor}"), rate) and found.observed.all()
    np.testing.assert_allclose(found.values[:, 1:], np.deg2rad(degrees[:, 1:]), atol=1e-4)


@pytest.mark.parametrize(("text", "found"), [("1,2,3\n4,5,6\n", "3 columns"), ("", "0 columns")])
def test_other_columns_are_not_ui_prmd(tmp_path: Path, text: str, found: str):
    (tmp_path / "a_angles.txt").write_text(text)
    with pytest.raises(InputError, match=rf"line 1: {found}; expected the angles of UI-PRMD, 117 \(vicon\) or 66"):
        read_recording(tmp_path / "a_angles.txt")
