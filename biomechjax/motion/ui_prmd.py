"""Angles of UI-PRMD (Vakanski et al. 2018, Data 3(1):2): a text file of degrees, one row a frame, for each repetition.

Comma- or space-separated, plain or gzipped: 117 columns of the Vicon system at 100 Hz, or 66 of the Kinect at 30 Hz.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import load_format
from biomechjax.motion.gaps import fill_channels, unwrap_seen
from biomechjax.motion.recording import Recording
from biomechjax.motion.tsv import parse_matrix, read_lines

Sensor = Literal["vicon", "kinect"]
RATE_HZ: dict[Sensor, float] = {"vicon": 100.0, "kinect": 30.0}  # Vakanski et al. 2018, section 2
ENDINGS = tuple(f"_angles{kind}.txt{packed}" for kind in ("", "_inc") for packed in ("", ".gz"))


def read_ui_prmd(path: Path, sensor: Sensor | None = None) -> Recording:
    """A recording of format ui_prmd_vicon or ui_prmd_kinect: of `sensor`, else of that with as many columns.

    Angles become radians without jumps at half turns, each channel's median within (-pi, pi].

    Raises:
        InputError: the file is unreadable or empty, a row has another number of columns or a cell that is no number
            (with its line), or what `fill_channels` and `Recording` refuse.
    """
    lines = read_lines(path)
    delimiter = "," if lines and "," in lines[0] else None
    formats = {name: load_format(f"ui_prmd_{name}") for name in RATE_HZ}
    if sensor is None:
        width = len(lines[0].split(delimiter)) if lines else 0
        sensor = next((name for name, format in formats.items() if format.size == width), None)
    if sensor is None:
        expected = " or ".join(f"{format.size} ({name})" for name, format in formats.items())
        raise InputError(f"{path}: line 1: {width} columns; expected the angles of UI-PRMD, {expected}")
    format = formats[sensor]
    angles = unwrap_seen(np.deg2rad(parse_matrix(lines, format.size, delimiter, path)))
    seen = np.isfinite(angles).any(axis=0)
    angles[:, seen] -= 2 * np.pi * np.ceil(np.nanmedian(angles[:, seen], axis=0) / (2 * np.pi) - 0.5)
    values, seen, notes = fill_channels(angles, RATE_HZ[sensor], format.names, path)
    return Recording(format, RATE_HZ[sensor], values, seen, str(path), notes)
