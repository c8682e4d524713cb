"""OpenSim files: units, names and knee direction come out canonical; a damaged file is told by line and column."""

import os
from pathlib import Path

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.files import MAX_BYTES
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording
from biomechjax.motion.travel import straight_line_speed

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "opensim_opencap_mot"
FRAMES = 120
TIME = np.arange(FRAMES) / 60
BEND = 0.6 - 0.5 * np.cos(2 * np.pi * TIME)  # radians of knee flexion, 0.1 to 1.1


def columns(sign: float = -1.0, **more) -> dict[str, np.ndarray]:
    """Two knees bending in the direction of `sign`, a hip and travel; radians and metres."""
    legs = {"knee_angle_r": sign * BEND, "knee_angle_l": sign * BEND[::-1], "hip_flexion_l": 0.3 * np.sin(TIME)}
    return {"time": TIME, "pelvis_tx": 1.1 * TIME, "pelvis_tz": 0 * TIME, **legs, **more}


def write(
    path: Path,
    table: dict[str, np.ndarray],
    header: str = "Coordinates\nversion=1\nnRows={rows}\nnColumns={columns}\ninDegrees=no\n\nfree text\nendheader\n",
    separator: str = "\t",
    tail: str = "\n",
) -> Path:
    cells = [list(table), *([f"{x:.8f}" for x in row] for row in np.stack(list(table.values()), axis=1))]
    rows = "".join(separator.join(row) + tail for row in cells)
    path.write_text(header.format(rows=len(cells) - 1, columns=len(table)) + rows, newline="")
    return path


def degrees(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: v if n == "time" or "_t" in n else np.rad2deg(v) for n, v in table.items()}


def in_degrees(path: Path, table: dict[str, np.ndarray]) -> Path:
    return write(path, degrees(table), "x\nversion=1\nnRows={rows}\nnColumns={columns}\ninDegrees=yes\nendheader\n")


def edit(path: Path, line: int, text: str) -> Path:
    lines = path.read_text().split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    return path


def check_walk(path: Path) -> None:
    found = read_recording(path)
    assert found.format.name == "canonical"
    assert found.rate_hz == pytest.approx(60, rel=1e-6)
    assert found.values.dtype == np.float32 and found.values.shape == (FRAMES, 40)
    assert found.observed.sum() == 5
    np.testing.assert_allclose(found.channel("knee_angle_r"), -BEND, atol=1e-6)
    np.testing.assert_allclose(found.channel("knee_angle_l"), -BEND[::-1], atol=1e-6)
    np.testing.assert_allclose(found.channel("hip_flexion_l"), 0.3 * np.sin(TIME), atol=1e-6)
    np.testing.assert_array_equal(found.values[:, ~found.observed], 0)
    assert straight_line_speed(found) == pytest.approx(1.1, rel=1e-5)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("writer", [write, in_degrees])
def test_units_and_knee_direction_come_out_canonical(tmp_path: Path, sign: float, writer):
    path = writer(tmp_path / "walk.mot", columns(sign))
    check_walk(path)
    (note,) = read_recording(path).notes
    assert ("turned to negative" in note) == (sign > 0)
    assert ("6 and 62 degrees" if sign > 0 else "-62 and -6 degrees") in note


def test_coupled_knee_marks_the_models_that_bend_positive(tmp_path: Path):
    """Even where the knee is held a little overstretched, so that the angles alone would tell the opposite."""
    stretched = columns(1.0, knee_angle_r_beta=BEND)
    stretched["knee_angle_r"] = stretched["knee_angle_l"] = -0.05 + 0.01 * np.sin(TIME)
    found = read_recording(write(tmp_path / "stand.sto", stretched))
    np.testing.assert_allclose(found.channel("knee_angle_l"), 0.05 - 0.01 * np.sin(TIME), atol=1e-6)
    dropped, knee = found.notes
    assert "dropped: knee_angle_r_beta" in dropped
    assert "turned to negative: knee angles lie between" in knee and "knee_angle_r_beta is of the Rajagopal" in knee


@pytest.mark.parametrize(("separator", "tail"), [("\t", "\t\t\n"), ("  ", "\n"), (" \t", "\r\n")])
def test_separators_and_trailing_tabs(tmp_path: Path, separator: str, tail: str):
    check_walk(write(tmp_path / "walk.mot", columns(), separator=separator, tail=tail))


def test_old_keys_trailing_tabs_in_the_header_and_blank_lines(tmp_path: Path):
    header = "\ufeffname walk\t\nversion=1\t\ndatarows {rows}\ndatacolumns {columns}\ninDegrees = no\nendheader\t\n\n"
    check_walk(write(tmp_path / "WALK.MOT", columns(), header))


def test_state_names_are_coordinates_and_the_rest_is_listed(tmp_path: Path):
    paths = {n: f"/jointset/some_joint/{n}/value" for n in columns()} | {"time": "time"}
    states = {paths[n]: v for n, v in columns().items()}
    states |= {"/jointset/knee_r/knee_angle_r/speed": 9 * BEND, "/forceset/soleus_r/activation": BEND}
    path = write(tmp_path / "states.sto", states)
    check_walk(path)
    assert read_recording(path).notes[0] == (
        "2 columns are no channel of format canonical; dropped: "
        "/jointset/knee_r/knee_angle_r/speed, /forceset/soleus_r/activation."
    )


@pytest.mark.parametrize(
    ("name", "version", "unit"),
    [("a.mot", "version=1\n", "radians"), ("a.sto", "", "radians"), ("a.mot", "", "degrees")],
)
def test_unit_without_a_word_is_that_of_opensim(tmp_path: Path, name: str, version: str, unit: str):
    table = degrees(columns()) if unit == "degrees" else columns()
    path = write(tmp_path / name, table, "x\n" + version + "endheader\n")
    check_walk(path)
    assert f"taken as {unit}" in read_recording(path).notes[0]


def test_degrees_that_pass_for_radians_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="knee_angle_r is beyond 34 rad .* inDegrees=yes"):
        read_recording(write(tmp_path / "a.mot", degrees(columns())))


def test_uneven_time_is_interpolated_with_a_note(tmp_path: Path):
    time = TIME + 0.006 * np.sin(np.arange(FRAMES))
    turning = (2.0 * time + np.pi) % (2 * np.pi) - np.pi
    table = columns() | {"time": time, "pelvis_tx": 1.1 * time, "pelvis_rotation": turning}
    found = read_recording(write(tmp_path / "a.mot", table))
    assert found.rate_hz == pytest.approx((FRAMES - 1) / (time[-1] - time[0]))
    assert "interpolated to" in found.notes[0]
    np.testing.assert_allclose(np.diff(found.channel("pelvis_tx")), 1.1 / found.rate_hz, atol=1e-5)
    np.testing.assert_allclose(np.diff(found.channel("pelvis_rotation")), 2.0 / found.rate_hz, atol=1e-5)


def test_heading_goes_on_where_the_file_jumps_by_a_turn(tmp_path: Path):
    turning = 2.0 * TIME
    wrapped = (turning + np.pi) % (2 * np.pi) - np.pi
    found = read_recording(write(tmp_path / "a.mot", columns(pelvis_rotation=wrapped)))
    np.testing.assert_allclose(found.channel("pelvis_rotation"), turning, atol=1e-6)


def test_rows_that_the_header_promised_too_many_get_a_note(tmp_path: Path):
    header = "x\nversion=1\nnRows=999\nnColumns={columns}\ninDegrees=no\nendheader\n"
    path = write(tmp_path / "a.mot", columns(), header)
    check_walk(path)
    assert "says 999 rows, the file has 120" in read_recording(path).notes[0]


def test_file_that_ends_in_a_line_is_cut_off(tmp_path: Path):
    path = write(tmp_path / "a.mot", columns())
    whole = path.read_bytes()
    row = whole.rindex(b"\n", 0, len(whole) // 2)
    line = whole[:row].count(b"\n") + 2
    last_cell = whole.rindex(b"\t", row, whole.index(b"\n", row + 1)) + 4
    for end in (row + 3, row + 30, last_cell):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=f"a.mot: line {line}: the file is cut off in row {line - 9} of 120"):
            read_recording(path)


def test_short_row_is_told_by_line(tmp_path: Path):
    path = edit(write(tmp_path / "a.mot", columns()), 30, "0.333\t0.1\t0.2")
    with pytest.raises(InputError, match="a.mot: line 30: 3 cells; expected 6"):
        read_recording(path)


@pytest.mark.parametrize("cell", ["inf", "", "1,5", "n/a"])
def test_cell_that_is_no_number_is_told_by_line_and_column(tmp_path: Path, cell: str):
    path = edit(write(tmp_path / "a.mot", columns()), 30, f"0.33333\t0.1\t0.2\t-0.3\t{cell}\t0.5")
    with pytest.raises(InputError, match=f"a.mot: line 30, column knee_angle_l: '{cell}' is not a finite number"):
        read_recording(path)


@pytest.mark.parametrize("time", ["0.30000000", "0.31666667"])
def test_time_must_increase(tmp_path: Path, time: str):
    path = edit(write(tmp_path / "a.mot", columns()), 30, f"{time}\t0.1\t0.2\t-0.3\t-0.4\t0.5")
    with pytest.raises(InputError, match="a.mot: line 30: time 0.3.* s after 0.316667 s"):
        read_recording(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"Coordinates\nversion=1\nnRows=3\n", "no line 'endheader'"),
        (bytes(range(256)) * 40, "no line 'endheader'"),
        (b"x\nendheader\n", "line 2: the file ends with 0 rows"),
        (b"x\nendheader\ntime\tpelvis_tx\n0.0\t1.0\n", "line 4: the file ends with 1 rows"),
        (b"x\nnRows=many\nendheader\ntime\ta\n0\t1\n1\t1\n", "line 2: nRows is 'many'"),
        (b"x\nnColumns=3\nendheader\ntime\ta\n0\t1\n1\t1\n", "line 4: 2 column names; the header says nColumns=3"),
        (b"x\ninDegrees=maybe\nendheader\ntime\ta\n0\t1\n1\t1\n", "line 2: inDegrees is 'maybe'"),
        (b"x\nendheader\nframe\ta\n0\t1\n1\t1\n", "line 3: the first column is 'frame'"),
        (b"x\nendheader\ntime\tmuscle\n0\t1\n1\t1\n", "no column is a channel .* found muscle"),
        (b"x\nendheader\ntime\tpelvis_tx\tj/pelvis_tx/value\n0\t1\t1\n1\t1\t1\n", "pelvis_tx stands twice"),
        (b"x\nendheader\ntime\tpelvis_tx\n0\t1\n0.01\t1\n", r"2 frames \(0.02 s\)"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.sto"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"a.sto: .*{message}"):
        read_recording(path)


def test_huge_file_is_refused_unread(tmp_path: Path):
    path = tmp_path / "a.mot"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(InputError, match="a.mot: 200 MB; expected at most 200 MB"):
        read_recording(path)


def test_unreadable_kinds_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="walk.mot: no such file"):
        read_recording(tmp_path / "walk.mot")
    (tmp_path / "walk.c4d").touch()
    with pytest.raises(InputError, match=r"walk.c4d: no reader for '.c4d'; readable: \['.mot', '.sto', "):
        read_recording(tmp_path / "walk.c4d")


EXAMPLE_FILES = {
    "gait10dof_subject01_walk_ik": (60, 10),
    "gait2354_subject01_walk1_ik": (60, 23),
    "gait2392_crouch1": (118, 17),
    "gait2392_crouch2": (100, 17),
    "gait2392_crouch3": (100, 17),
    "gait2392_crouch4": (100, 17),
    "gait2392_normal": (50, 17),
    "hamner_subject02_running_ik": (60, 37),
    "opencap_squats1": (100, 33),
    "opencap_walking1": (100, 33),
}


def example(name: str) -> Path:
    path = EXAMPLES / f"{name}.mot"
    if not path.is_file():
        pytest.skip(f"the example motions of OpenSim and OpenCap are not at {EXAMPLES}")
    return path


@pytest.mark.parametrize("name", EXAMPLE_FILES)
def test_real_files_are_read(name: str):
    scaled = ReadOptions(duration_s=1.0) if name.startswith("gait2392") else ReadOptions()
    found = read_recording(example(name), scaled)
    rate_hz, observed = EXAMPLE_FILES[name]
    assert found.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    assert found.observed.sum() == observed
    for knee in ("knee_angle_r", "knee_angle_l"):
        assert -1.6 < np.median(found.channel(knee)) < -0.1
    assert any("turned to negative" in n for n in found.notes) == name.startswith("opencap")


def test_real_walk_has_the_speed_of_a_walk():
    walk = read_recording(example("opencap_walking1"))
    assert straight_line_speed(walk) == pytest.approx(1.044, abs=0.001)
    assert straight_line_speed(walk.resampled(30.0)) == pytest.approx(1.044, rel=0.02)
    treadmill = read_recording(example("hamner_subject02_running_ik"))
    assert straight_line_speed(treadmill) == pytest.approx(0, abs=0.02)
