"""Marker files: units, sides and gaps come out as documented; a damaged file is told by line and column."""

from pathlib import Path

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.readers import read_recording
from biomechjax.motion.sides import partners

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "opensim_opencap_mot"
NAMES = ["LASI", "RASI", "C7"]
TIME = np.arange(150) / 100


def markers() -> np.ndarray:
    """Three markers in metres [150, 3, 3] that move smoothly."""
    phase = np.arange(9).reshape(3, 3)
    return 1.0 + 0.3 * np.sin(2 * np.pi * TIME[:, None, None] + phase)


def write(path: Path, points: np.ndarray, unit: str = "mm", names: list[str] = NAMES, **changes: str) -> Path:
    """Tabs at the ends of lines, and an empty cell for NaN."""
    header = {"DataRate": "100", "CameraRate": "100", "NumFrames": str(len(points)), "NumMarkers": str(len(names))}
    header |= {"Units": unit, "OrigDataRate": "100"} | changes
    scale = {"mm": 1000, "cm": 100}.get(unit, 1)
    lines = ["PathFileType\t4\t(X/Y/Z)\twalk.trc", "\t".join(header), "\t".join(header.values())]
    lines += ["Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t", "\t\tX1\tY1\tZ1", ""]
    for i, row in enumerate(points.reshape(len(points), -1)):
        cells = ["" if np.isnan(x) else f"{x * scale:.6f}" for x in row]
        lines.append("\t".join([str(i + 1), f"{i / 100:.4f}", *cells]) + "\t")
    path.write_text("\n".join(lines) + "\n")
    return path


def edit(path: Path, line: int, old: str, new: str) -> Path:
    lines = path.read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("unit", ["mm", "cm", "m"])
def test_positions_are_metres(tmp_path: Path, unit: str):
    found = read_recording(write(tmp_path / "a.trc", markers(), unit))
    assert found.format.name == "markers" and found.rate_hz == pytest.approx(100)
    assert found.format.names[:4] == ("LASI.x", "LASI.y", "LASI.z", "RASI.x")
    np.testing.assert_allclose(found.values, markers().reshape(150, 9), atol=2e-6)
    assert found.observed.all() and found.notes == ()


def test_mirror_swaps_sides_and_turns_lateral_over(tmp_path: Path):
    found = read_recording(write(tmp_path / "a.trc", markers()))
    mirror = found.mirrored()
    np.testing.assert_array_equal(mirror.channel("LASI.x"), found.channel("RASI.x"))
    np.testing.assert_array_equal(mirror.channel("LASI.z"), -found.channel("RASI.z"))
    np.testing.assert_array_equal(mirror.channel("C7.z"), -found.channel("C7.z"))
    with pytest.raises(InputError, match="no mirror signs"):
        read_recording(write(tmp_path / "b.trc", markers(), names=["M1", "M2", "M3"])).mirrored()


def test_sides_are_found_in_the_names_of_laboratories():
    pairs = [("LASI", "RASI"), ("L.Knee", "R.Knee"), ("r_toe_study", "L_toe_study"), ("heel_l", "heel_r")]
    pairs += [("LeftFoot", "RightFoot"), ("lfoo", "RFOO")]
    alone = ["C7", "SACR", "Larynx", "RBAK", "l", "heel"]
    found = partners([n for pair in pairs for n in pair] + alone)
    assert found == {a: b for pair in pairs for a, b in (pair, pair[::-1])} | {n: n for n in alone}
    assert partners(["lx", "LX", "RX"]) == {"lx": "lx", "LX": "RX", "RX": "LX"}


def test_short_gaps_are_filled_and_long_ones_unobserved(tmp_path: Path):
    points = markers()
    points[40:60, 0] = np.nan  # 0.2 s
    points[80, 0] = np.nan
    points[146:, 0, 1] = np.nan
    points[40:61, 2] = np.nan  # 0.21 s
    found = read_recording(write(tmp_path / "a.trc", points))
    np.testing.assert_array_equal(found.observed, [True] * 6 + [False] * 3)
    truth = markers().reshape(150, 9)
    # A cubic over h = 0.21 s is off by h^4 / 384 of the fourth derivative, here 2.4 mm.
    np.testing.assert_allclose(found.values[:146, :6], truth[:146, :6], atol=2.5e-3)
    np.testing.assert_allclose(found.values[146:, :3], np.tile(truth[145, :3], (4, 1)), atol=2e-6)
    np.testing.assert_array_equal(found.values[:, 6:], 0)
    assert found.notes[0] == "Gaps of up to 0.2 s were filled; frames filled: LASI (25)."
    assert "longer than 0.2 s; frames missing: C7 (21)." in found.notes[1]


def test_cells_may_be_left_out_at_the_end_of_a_row(tmp_path: Path):
    path = write(tmp_path / "a.trc", markers())
    cells = path.read_text().split("\n")[50].split("\t")
    found = read_recording(edit(path, 51, "\t".join(cells[8:]), ""))
    assert found.notes == ("Gaps of up to 0.2 s were filled; frames filled: C7 (1).",)


def test_rate_is_that_of_the_time(tmp_path: Path):
    found = read_recording(write(tmp_path / "a.trc", markers(), DataRate="50"))
    assert found.rate_hz == pytest.approx(100)
    assert found.notes == ("The header says 50 Hz, the column Time goes at 100 Hz, which is taken.",)


@pytest.mark.parametrize(
    ("line", "old", "new", "message"),
    [
        (1, "PathFileType", "Coordinates", "line 1: .* starts with PathFileType"),
        (2, "Units", "Einheit", "line 2: no value for Units"),
        (3, "mm", "inch", "line 3: Units is 'inch'"),
        (3, "150", "many", "line 3: NumFrames is 'many'"),
        (4, "C7", "LASI", "marker 'LASI' stands twice"),
        (4, "C7", "", "line 4: 2 marker names; the header says 3"),
        (20, "\t", "\t1\t2\t3\t", "line 20: 14 cells; expected 11"),
        (20, "0.1300", "", "line 20, column Time: '' is not a finite number"),
        (20, "0.1300", "0.1100", "line 20: time 0.11 s after 0.12 s"),
        (20, "0.1300\t", "0.1300\tinf", "line 20, column LASI.x: 'inf.* is not a finite number"),
        (20, "1218.690588", "1e9", "channel LASI.x is 1e.06 in frame 13; expected at most 10000 m"),
    ],
)
def test_refused(tmp_path: Path, line: int, old: str, new: str, message: str):
    path = edit(write(tmp_path / "a.trc", markers()), line, old, new)
    with pytest.raises(InputError, match=f"a.trc: .*{message}"):
        read_recording(path)


def test_cut_file_is_refused_and_a_wrong_count_noted(tmp_path: Path):
    path = write(tmp_path / "a.trc", markers())
    whole = path.read_text()
    path.write_text(whole[:-300])
    with pytest.raises(InputError, match="cut off in frame 148 of 150"):
        read_recording(path)
    found = read_recording(write(tmp_path / "b.trc", markers(), NumFrames="999"))
    assert found.notes == ("The header says 999 frames, the file has 150; all of these are read.",)


def test_short_rows_of_many_markers_ask_for_no_memory(tmp_path: Path):
    """200 kB that would be 5 GB of numbers."""
    names = [f"M{i}" for i in range(20_000)]
    path = write(tmp_path / "a.trc", np.ones((2, 20_000, 3)), names=names)
    head = path.read_text().split("\n")[:6]
    path.write_text("\n".join(head + [f"{i}\t{i / 100}" for i in range(10_000)]) + "\n")
    with pytest.raises(InputError, match="10000 frames of 20000 markers are not in"):
        read_recording(path)


@pytest.mark.parametrize(("name", "shape", "speed"), [("walk", (238, 123), 1.2), ("run", (510, 126), 0.0)])
def test_real_files_are_read(name: str, shape: tuple[int, int], speed: float):
    """Against numpy's own reading; the walker gets on at about `speed` m/s, the runner is on a treadmill."""
    path = EXAMPLES / f"rajagopal_{name}.trc"
    if not path.is_file():
        pytest.skip(f"the example markers of OpenSim are not at {EXAMPLES}")
    found = read_recording(path)
    raw = np.genfromtxt(path, delimiter="\t", skip_header=6)[:, 2 : 2 + shape[1]]
    assert found.values.shape == shape and found.rate_hz == pytest.approx(100)
    np.testing.assert_allclose(found.values, raw / 1000, atol=1e-6)
    pelvis = next(n for n in found.format.names if n in ("R.ASIS.x", "RASI.x"))
    x = found.channel(pelvis)
    assert (x[-1] - x[0]) / found.duration_s == pytest.approx(speed, abs=0.2)
    partnered = sum(c.partner != c.name for c in found.format.channels)
    assert partnered > 0.8 * found.format.size
