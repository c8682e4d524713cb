"""Clips of DeepMimic (Peng et al. 2018, arXiv:1804.02717), as canonical recordings.

JSON with one row of 44 numbers a frame: its duration; root position; then rotations w, x, y, z of root, chest, neck and
the ball joints, and angles of the hinges. Axes are OpenSim's (x forward, y up, z to the right) and so is the posture at
zero, so that the angles of the sequence z, x, y are those of OpenSim; on the left, x and y turn the other way.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from biomechjax.errors import InputError
from biomechjax.motion.assemble import assemble
from biomechjax.motion.files import read_json
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.motion.options import ReadOptions
from biomechjax.motion.recording import LARGEST, Recording

SIZE = 44
POSITION = {"pelvis_tx": 1, "pelvis_ty": 2, "pelvis_tz": 3}
HINGES = {"knee_angle_r": 20, "elbow_flex_r": 29, "knee_angle_l": 34, "elbow_flex_l": 43}
# With the second angle near a quarter turn, the first and the last are not defined and leap.
LEAPS_RAD = np.deg2rad(80.0)
# Ball joints: channels of the rotations about z, x and y. The neck has no counterpart that could be checked, and of
# the ankle only the first angle has one.
BALLS: dict[int, tuple[str | None, str | None, str | None]] = {
    4: ("pelvis_tilt", "pelvis_list", "pelvis_rotation"),
    8: ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    16: ("hip_flexion_r", "hip_adduction_r", "hip_rotation_r"),
    21: ("ankle_angle_r", None, None),
    25: ("arm_flex_r", "arm_add_r", "arm_rot_r"),
    30: ("hip_flexion_l", "hip_adduction_l", "hip_rotation_l"),
    35: ("ankle_angle_l", None, None),
    39: ("arm_flex_l", "arm_add_l", "arm_rot_l"),
}


def read_deepmimic(path: Path, options: ReadOptions) -> Recording:
    """A canonical recording from a clip.

    Raises:
        InputError: not JSON, no rows of 44 numbers, a rotation of length 0, or no even time.
    """
    frames = _frames(read_json(path), path)
    columns = {name: frames[:, i] for name, i in (POSITION | HINGES).items()}
    left_out: list[str] = []
    for first, names in BALLS.items():
        quaternion = frames[:, [first + 1, first + 2, first + 3, first]]
        if (np.linalg.norm(quaternion, axis=1) < 0.5).any():
            raise InputError(f"{path}: columns {first} to {first + 3} are no rotations")
        # Where two of its axes meet a triple is left out below.
        triple = Rotation.from_quat(quaternion).as_euler("ZXY", suppress_warnings=True)
        angles = np.unwrap(triple, axis=0)
        if np.abs(angles[:, 1]).max() > LEAPS_RAD:
            left_out += [name for name in names if name]
            continue
        angles -= 2 * np.pi * np.round(np.median(angles, axis=0) / (2 * np.pi))
        for name, angle, axis in zip(names, angles.T, "zxy", strict=True):
            if name:
                columns[name] = -angle if name.endswith("_l") and axis != "z" else angle
    # A row lasts until the next; the last one's duration is 0.
    time_s = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
    notes = ["Rotations of the neck and, but for flexion, of the ankles have no canonical channel and were dropped."]
    if left_out:
        notes.append(f"The body turns so far that angles leap; not observed: {', '.join(left_out)}.")
    return assemble(load_format(CANONICAL), columns, time_s, ReadOptions(unit="rad"), path, tuple(notes))


def _frames(clip: Any, path: Path) -> np.ndarray:
    """float64 [F, 44]"""
    rows = clip.get("Frames") if isinstance(clip, dict) else None
    try:
        frames = np.array(rows, np.float64)
    except (ValueError, TypeError):
        frames = np.zeros(0)
    if frames.ndim != 2 or frames.shape[1] != SIZE or not (np.abs(frames) <= LARGEST).all():
        expected = f"{{'Frames': rows of {SIZE} numbers of at most {LARGEST:.0f}}}"
        raise InputError(f"{path}: expected a DeepMimic clip, {expected}")
    return frames
