"""Walks in closed form and recorded children, for the tests of gait events and measures."""

import json
from pathlib import Path

import numpy as np
import pytest

from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording

CANONICAL = load_format("canonical")
COLUMN = CANONICAL.indices
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
STRIDE_S = 1.1
SWING = np.deg2rad(22.0)


def pendulum_walk(
    rate_hz: float = 100.0,
    seconds: float = 8.0,
    speed: float = 1.2,
    late: float = 0.0,
    heading: np.ndarray | None = None,
    unobserved: tuple[str, ...] = (),
) -> Recording:
    """Straight legs that swing as cosines: the right foot is furthest ahead at every whole stride, the left one half a
    stride and the share `late` of one after it. The pelvis goes the way it faces, if `speed` is not 0."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    values = np.zeros((len(time), CANONICAL.size), np.float32)
    for name, phase in (("hip_flexion_r", 0.0), ("hip_flexion_l", 0.5 + late)):
        values[:, COLUMN[name]] = SWING * np.cos(2 * np.pi * (time / STRIDE_S - phase))
    facing = np.zeros(len(time)) if heading is None else heading
    values[:, COLUMN["pelvis_rotation"]] = facing
    values[:, COLUMN["pelvis_tx"]] = np.cumsum(speed * np.cos(facing)) / rate_hz
    values[:, COLUMN["pelvis_tz"]] = -np.cumsum(speed * np.sin(facing)) / rate_hz
    observed = np.ones(CANONICAL.size, bool)
    observed[[COLUMN[n] for n in unobserved]] = False
    values[:, ~observed] = 0
    return Recording(CANONICAL, rate_hz, values, observed, "pendulum")


def standing(seconds: float = 5.0) -> Recording:
    values = np.zeros((round(seconds * 100), CANONICAL.size), np.float32)
    return Recording(CANONICAL, 100.0, values, np.ones(CANONICAL.size, bool), "standing")


def children(condition: str) -> list[tuple[Recording, dict[tuple[int, str], np.ndarray], float]]:
    """Trials of the biomechZoo sample study as (recording, labelled events in seconds by side and kind, height in m).

    Plug-in Gait bends knees positive, tilts the pelvis forward positive and lists it to the left positive; it turns the
    pelvis in OpenSim's order. Two trials with gaps are left out.
    """
    folder = SHARED / "biomechzoo_children"
    if not folder.is_dir():
        pytest.skip(f"the children of the biomechZoo sample study are not at {folder}")
    labels = json.loads((folder / "channels_events.json").read_text())
    lines = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()[1:]]
    found = []
    with np.load(folder / "pig_angles.npz", allow_pickle=False) as angles:
        for key, _, kind, *_, height_mm, _ in lines:
            if kind == condition and np.isfinite(angles[key]).all():
                events: dict[tuple[int, str], list[float]] = {}
                for side, what, time in labels[key]["events"]:
                    time -= labels[key]["first_frame"] / 100
                    if 0.15 < time < len(angles[key]) / 100 - 0.15:
                        events.setdefault((int(side == "Left"), what), []).append(time)
                recording = _from_plug_in_gait(angles[key], labels[key]["channels"], key)
                found.append((recording, {k: np.sort(v) for k, v in events.items()}, float(height_mm) / 1000))
    return found


def _from_plug_in_gait(angles_deg: np.ndarray, channels: list[str], source: str) -> Recording:
    angles = np.deg2rad(angles_deg)
    values = np.zeros((len(angles), CANONICAL.size), np.float32)
    observed = np.zeros(CANONICAL.size, bool)
    taken = {"pelvis_tilt": ("RPelvisAngles", 0, -1), "pelvis_list": ("RPelvisAngles", 1, -1)}
    taken["pelvis_rotation"] = ("RPelvisAngles", 2, 1)
    for s, side in (("r", "R"), ("l", "L")):
        taken |= {f"hip_flexion_{s}": (f"{side}HipAngles", 0, 1), f"hip_adduction_{s}": (f"{side}HipAngles", 1, 1)}
        taken |= {f"knee_angle_{s}": (f"{side}KneeAngles", 0, -1), f"ankle_angle_{s}": (f"{side}AnkleAngles", 0, 1)}
    for name, (channel, axis, sign) in taken.items():
        values[:, COLUMN[name]] = sign * angles[:, channels.index(channel), axis]
        observed[COLUMN[name]] = True
    return Recording(CANONICAL, 100.0, values, observed, source)
