"""One rule for numbers that are missing, whatever kind of file they are missing in."""

import json
from pathlib import Path

import numpy as np
import pytest
import test_bvh
import test_clips
import test_opensim
import test_table

from biomechjax.errors import InputError
from biomechjax.motion.gaps import LONGEST_S, fill_gaps, unwrap_seen
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.recording import Recording

GAP = slice(20, 25)  # a sixth of a second at 30 Hz
LONG = slice(20, 30)


def table(path: Path, gap: slice) -> tuple[Recording, str]:
    columns = {n: v.copy() for n, v in test_table.WALK.items()}
    columns["hip_flexion_r"][gap] = np.nan
    if path.suffix == ".npz":
        coordinates = {f"q_{n}": v if n == "pelvis_tx" else np.deg2rad(v) for n, v in columns.items()}
        np.savez(path, frequency=np.array(30.0), **coordinates)
        return read_recording(path), "hip_flexion_r"
    if path.suffix in (".mot", ".sto"):
        test_opensim.in_degrees(path, {"time": test_table.TIME} | _radians(columns))
        return read_recording(path), "hip_flexion_r"
    return read_recording(test_table.write(path, {"t": test_table.TIME} | columns), test_table.DEG), "hip_flexion_r"


def _radians(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: v if "_t" in n else np.deg2rad(v) for n, v in columns.items()}


def skeleton(path: Path, gap: slice) -> tuple[Recording, str]:
    lines = test_bvh.write(path).read_text().split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    for i in range(first, first + test_bvh.FRAMES)[gap]:
        cells = lines[i].split()
        lines[i] = " ".join([*cells[:3], "nan", *cells[4:]])
    path.write_text("\n".join(lines))
    return read_recording(path), "Hips.Zrotation"  # which jumps by a turn


def trial(path: Path, gap: slice) -> tuple[Recording, str]:
    made = json.loads(test_clips.gaitkit(path, 25.0).read_text())
    for frame in made["angle_frames"][gap]:
        frame["left_knee_angle"] = None
    path.write_text(json.dumps(made | {"fps": 30}))
    return read_recording(path), "knee_angle_l"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "read"),
    [(f"a{s}", table) for s in (".mot", ".sto", ".csv", ".tsv", ".parquet", ".npz")]
    + [("a.bvh", skeleton), ("a.json", trial)],
)
def test_short_gaps_are_filled_and_long_ones_unobserved(tmp_path: Path, name: str, read):
    whole, channel = read(tmp_path / name, slice(0, 0))
    filled, _ = read(tmp_path / name, GAP)
    assert whole.observed.tolist() == filled.observed.tolist()
    np.testing.assert_allclose(filled.values, whole.values, atol=0.01)
    assert set(whole.notes) < set(filled.notes)
    assert f"Gaps of up to {LONGEST_S} s were filled; frames filled: {channel} (5)." in filled.notes
    cut, _ = read(tmp_path / name, LONG)
    lost = whole.format.indices[channel]
    assert np.flatnonzero(whole.observed & ~cut.observed).tolist() == [lost] and not cut.values[:, lost].any()
    assert any("longer than 0.2 s" in n and f"{channel} (10)" in n for n in cut.notes)


def test_nothing_left_is_refused_by_name(tmp_path: Path):
    column = np.where(np.arange(90) % 20 < 10, np.nan, 10.0)
    path = test_table.write(tmp_path / "a.csv", {"t": test_table.TIME, "hip_flexion_r": column})
    with pytest.raises(InputError, match="a.csv: no channel of format canonical was observed; all are missing or have"):
        read_recording(path, ReadOptions(unit="deg"))


@pytest.mark.filterwarnings("error")
def test_a_number_out_of_bounds_beside_a_gap_is_told_where_it_stands(tmp_path: Path):
    column = 10 * np.sin(test_table.TIME)
    column[3], column[10] = np.inf, np.nan
    path = test_table.write(tmp_path / "a.csv", {"t": test_table.TIME, "hip_flexion_r": column})
    with pytest.raises(InputError, match="a.csv: channel hip_flexion_r is inf in frame 3"):
        read_recording(path, ReadOptions(unit="deg"))


def test_ends_are_held_and_a_turn_across_a_gap_goes_on():
    angle = np.linspace(3.0, 3.6, 60)
    wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
    wrapped[10:16] = wrapped[:2] = np.nan
    filled, seen, _ = fill_gaps(unwrap_seen(wrapped[:, None])[:, :, None], 100.0, ["a"])
    assert seen.all()
    np.testing.assert_allclose(filled[2:, 0, 0], angle[2:], atol=1e-6)
    assert filled[0, 0, 0] == filled[1, 0, 0] == pytest.approx(angle[2])
