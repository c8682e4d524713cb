"""Trials of gaitkit (PyPI package gaitkit 1.5, JSON with joint angles in degrees), as canonical recordings."""

from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.files import read_json
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import Recording

JOINTS = {"hip": "hip_flexion", "knee": "knee_angle", "ankle": "ankle_angle"}
# Two of the package's three examples have hips of 80 to 100 degrees all the time, which is no flexion in walking.
UPRIGHT_HIP_DEG = (-30.0, 60.0)


def read_gaitkit(path: Path, options: ReadOptions) -> Recording:
    """A canonical recording of hips, knees and ankles; no position, so that nothing can be said about speed.

    Hips whose median is not that of somebody on their feet are dropped, with a note.

    Raises:
        InputError: not a gaitkit trial, or an angle is missing (null is a gap).
    """
    trial = read_json(path)
    try:
        rate_hz = float(trial["fps"])
        degrees = {
            f"{canonical}_{side[0]}": np.array([f[f"{side}_{joint}_angle"] for f in trial["angle_frames"]], np.float64)
            for side in ("left", "right")
            for joint, canonical in JOINTS.items()
        }
    except (KeyError, TypeError, ValueError, IndexError) as e:
        raise InputError(f"{path}: expected a gaitkit trial: 'fps', and 'angle_frames' with six angles each") from e
    notes = []
    for name in ("hip_flexion_l", "hip_flexion_r"):
        seen = degrees[name][np.isfinite(degrees[name])]
        if not len(seen):
            continue
        median = float(np.median(seen))
        if not UPRIGHT_HIP_DEG[0] <= median <= UPRIGHT_HIP_DEG[1]:
            notes.append(f"{name} has a median of {median:.0f} degrees, which is no hip flexion in walking; dropped.")
            del degrees[name]
    return assemble(load_format(CANONICAL), degrees, rate_hz, ReadOptions(unit="deg"), path, tuple(notes))
