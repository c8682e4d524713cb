"""Tables with named columns come out as they went in, whatever kind of file holds them; bad cells are told by line."""

from pathlib import Path

import numpy as np
import pytest

from biomechjax.errors import InputError
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.readers import read_recording

FRAMES = 90
TIME = np.arange(FRAMES) / 30
WALK = {
    "pelvis_tx": 1.1 * TIME,
    "hip_flexion_r": 20 * np.sin(3 * TIME),
    "knee_angle_r": -30 + 25 * np.cos(3 * TIME),
}
DEG = ReadOptions(unit="deg")


def write(path: Path, table: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".parquet":
        pyarrow, parquet = (pytest.importorskip(n) for n in ("pyarrow", "pyarrow.parquet"))
        parquet.write_table(pyarrow.table({n: np.asarray(v) for n, v in table.items()}), path)
        return path
    separator = "\t" if path.suffix == ".tsv" else ","
    rows = [
        separator.join("" if np.isnan(x) else repr(float(x)) for x in row) for row in zip(*table.values(), strict=True)
    ]
    path.write_text("\n".join([separator.join(table), *rows]) + "\n")
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("time", ["time", "Time_s", "t", None])
def test_values_come_out(tmp_path: Path, ending: str, time: str | None):
    path = write(tmp_path / f"walk{ending}", ({time: TIME} if time else {}) | WALK)
    found = read_recording(path, DEG if time else ReadOptions(unit="deg", rate_hz=30.0))
    assert found.format.name == "canonical" and found.rate_hz == pytest.approx(30)
    assert found.observed.sum() == 3
    np.testing.assert_allclose(found.channel("pelvis_tx"), WALK["pelvis_tx"], atol=1e-6)
    for name in ("hip_flexion_r", "knee_angle_r"):
        np.testing.assert_allclose(found.channel(name), np.deg2rad(WALK[name]), atol=1e-6)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_empty_column_is_not_observed(tmp_path: Path, ending: str):
    nothing = np.full(FRAMES, np.nan)
    found = read_recording(write(tmp_path / f"a{ending}", {"t": TIME} | WALK | {"arm_rot_l": nothing, "x": TIME}), DEG)
    assert found.observed.sum() == 3
    assert "1 columns are no channel of format canonical; dropped: x." in found.notes
    assert "1 channels are empty and count as not observed: arm_rot_l." in found.notes


def test_knees_that_bend_positive_are_turned_but_not_those_of_who_stands(tmp_path: Path):
    bent = read_recording(write(tmp_path / "a.csv", {"t": TIME} | WALK | {"knee_angle_r": -WALK["knee_angle_r"]}), DEG)
    np.testing.assert_allclose(bent.channel("knee_angle_r"), np.deg2rad(WALK["knee_angle_r"]), atol=1e-6)
    standing = np.full(FRAMES, 18.0)  # a knee overstretched as far as was ever measured
    stand = read_recording(write(tmp_path / "b.csv", {"t": TIME} | WALK | {"knee_angle_r": standing}), DEG)
    np.testing.assert_allclose(stand.channel("knee_angle_r"), np.deg2rad(18.0), atol=1e-6)


def test_time_in_uneven_steps_is_made_even(tmp_path: Path):
    uneven = TIME + 0.004 * np.sin(np.arange(FRAMES))
    found = read_recording(write(tmp_path / "a.csv", {"t": uneven, "pelvis_tx": 1.1 * uneven}), DEG)
    np.testing.assert_allclose(np.diff(found.channel("pelvis_tx")) * found.rate_hz, 1.1, rtol=1e-3)
    assert any("interpolated to " in n for n in found.notes)


def test_a_heading_that_jumps_by_a_turn_goes_on_even_between_uneven_steps(tmp_path: Path):
    uneven = TIME + 0.004 * np.sin(np.arange(FRAMES))
    turn = 170 + 20 * uneven
    wrapped = (turn + 180) % 360 - 180
    found = read_recording(write(tmp_path / "a.csv", {"t": uneven, "pelvis_rotation": wrapped}), DEG)
    np.testing.assert_allclose(np.diff(found.channel("pelvis_rotation")), np.deg2rad(20) / found.rate_hz, rtol=2e-2)


def test_radians_called_degrees_are_noted(tmp_path: Path):
    bend = {"t": TIME, "knee_angle_r": np.deg2rad(WALK["knee_angle_r"])}
    assert (
        "No angle is beyond 1.0 degrees; if they are radians"
        in read_recording(write(tmp_path / "a.csv", bend), DEG).notes[0]
    )


HEADER, ROWS = "t,knee_angle_r", "".join(f"{t:.3f},-20\n" for t in TIME)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", DEG, "the file is empty"),
        ("\n", DEG, "line 1: expected a name for each column"),
        (f"t,t\n{ROWS}", DEG, r"twice or empty: \['t'\]"),
        (f"{HEADER}\n{ROWS}3.0,x\n", DEG, "line 92, column knee_angle_r: 'x' is not a number"),
        (f"{HEADER}\n{ROWS}3.0\n", DEG, "line 92: 1 cells; the header has 2"),
        (f"{HEADER}\n{ROWS}1.0,-20\n", DEG, "row 91: time 1 s after 2.967 s; expected increasing time"),
        (f"{HEADER}\n0,-20\n", DEG, "1 rows; expected at least 2"),
        (f"{HEADER}\n{ROWS}", ReadOptions(), "does not say the unit of its angles"),
        (f"{HEADER}\n{ROWS}", ReadOptions(unit="rad"), "beyond 20 rad half of the time; give the unit deg"),
        (f"{HEADER}\n{ROWS}", ReadOptions(unit="deg", rate_hz=30), "columns t and a rate of 30 Hz; expected one"),
        (f"T,knee_angle_r\n{ROWS}".replace("T", "u"), DEG, "no column of time; expected"),
        (f"t,Knee\n{ROWS}", DEG, r"no column is a channel of format canonical .*found Knee; give its format"),
        (f"{HEADER}\n{ROWS}", ReadOptions(unit="deg", array="a"), "array is given, but .csv files"),
        (f"{HEADER}\n{ROWS}", ReadOptions(unit="deg", format="nosuch"), "nosuch: no such motion format"),
        ('t,a\n0,"1\n', DEG, "not readable as a table"),
    ],
)
def test_bad_tables_are_told(tmp_path: Path, text: str, options: ReadOptions, message: str):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_recording(tmp_path / "a.csv", options)


def test_binary_is_refused(tmp_path: Path):
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(b"PAR1\xff\x00\x01 nothing PAR1")
        with pytest.raises(InputError, match=f"{name}: not readable as"):
            read_recording(tmp_path / name, DEG)


def test_words_in_parquet_are_refused(tmp_path: Path):
    pyarrow, parquet = (pytest.importorskip(n) for n in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(pyarrow.table({"t": [0.0, 1.0], "knee_angle_r": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column 'knee_angle_r' holds string; expected numbers"):
        read_recording(tmp_path / "a.parquet", DEG)


@pytest.mark.parametrize(
    "wrong",
    [{"rate_hz": 0.0}, {"duration_s": float("nan")}, {"unit_m": -1.0}, {"rate_hz": float("inf")}, {"unit": "turns"}],
)
def test_options_that_mean_nothing_are_refused(wrong: dict):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ReadOptions(**wrong)


def test_a_parquet_file_whose_names_are_no_text_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.parquet", {"t": TIME} | WALK)
    path.write_bytes(path.read_bytes().replace(b"hip_flexion_r", b"hip_flexion_\xff"))
    with pytest.raises(InputError, match="a.parquet: not readable as Parquet"):
        read_recording(path, DEG)
