"""How well a tokenizer keeps a movement, in units a biomechanist reads.

Sums over frames and trials are taken first and divided once, so that a long trial counts as much as its frames.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from biomechjax.motion.body import skeleton
from biomechjax.motion.features import with_heading_first
from biomechjax.motion.format import CANONICAL, MotionFormat
from biomechjax.motion.kinematics import Pose, recorded_pose
from biomechjax.motion.pelvis import heading_first
from biomechjax.motion.recording import Recording
from biomechjax.motion.stance import foot_points, horizontal_speed, placed, standing
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.tokenizer import MotionTokenizer

Sums = dict[str, np.ndarray]
# What stands at the origin of each segment of the body, in the words of a marker set.
CENTRES = {
    "femur": "hip",
    "tibia": "knee",
    "talus": "ankle",
    "calcn": "subtalar",
    "toes": "mtp",
    "torso": "lumbar",
    "head": "neck",
    "humerus": "shoulder",
    "ulna": "elbow",  # where the radius begins too
    "hand": "wrist",
}
SHORTEST_TRAVEL_M = 1.0  # drift per distance says nothing about who stays


def reconstruction(tokenizer: MotionTokenizer, recordings: Sequence[Recording]) -> dict[str, Any]:
    """Round-trip error over whole recordings of one format; a figure that they say nothing about is left out.

    Channels that were not observed carry no error. Positions, of canonical recordings only, are those of a body of
    1.7 m that the angles were put on.

    Returns:
        angle_error_deg, angle_rmse_deg: mean absolute and root mean square error of the observed angle channels.
        length_error_mm: mean absolute error of the observed channels in metres but for the planar position.
        velocity_error_deg_s: mean absolute error of their change from frame to frame.
        change_correlation: Pearson's r of those changes, as a mean over channels.
        mpjpe_mm: mean distance of the joint centres from the original's, seen from the pelvis of who faces its heading;
            mpjpe_room_mm: the same where they are in the room, which position and heading drift through.
        foot_slip_cm_s: horizontal speed of heels and balls of the feet while they stand in the original (`stance`);
            original_slip_cm_s: the original's own, which is what noise of its angles and another height make of 0.
        root_drift_cm_per_10m: distance between the planar end points per 10 m travelled, over trials that travel
            more than 1 m (only for formats with a root).
        code_use, perplexity: as `code_use`, as means over levels.
        tokens_per_second: of movement.
        channels: by name, such figures of every observed channel but the planar position; in mm for one in metres.
        joints: the same of the angles of a joint, both sides together.
        joint_centres: mpjpe_mm and mpjpe_room_mm of every joint centre by name.
        levels: `code_use` of each level.
    """
    codes = tokenizer.encode(recordings)
    format, sums = recordings[0].format, Sums()
    for recording, code in zip(recordings, codes, strict=True):
        for name, value in _compare(*_decoded(tokenizer, recording, code)).items():
            sums[name] = sums.get(name, 0) + value
    levels = code_use(tokenizer.config, codes)
    out = _channel_figures(format, sums) | _place_figures(sums)
    if "way" in sums:
        out["root_drift_cm_per_10m"] = float(1000 * sums["drift"] / sums["way"])
    return {
        **{k: v for k, v in out.items() if isinstance(v, float)},
        "code_use": float(np.mean([level["code_use"] for level in levels])),
        "perplexity": float(np.mean([level["perplexity"] for level in levels])),
        "tokens_per_second": tokenizer.config.tokens_per_second,
        **{k: v for k, v in out.items() if not isinstance(v, float)},
        "levels": levels,
    }


def round_trip(tokenizer: MotionTokenizer, recording: Recording) -> tuple[Recording, Recording]:
    """A recording at the tokenizer's rate, and what its codes decode to from the same place."""
    return _decoded(tokenizer, recording, tokenizer.encode([recording])[0])


def _decoded(tokenizer: MotionTokenizer, recording: Recording, codes: np.ndarray) -> tuple[Recording, Recording]:
    truth = recording.resampled(tokenizer.config.rate_hz)
    _, placement = tokenizer.prepare(recording)
    decoded = tokenizer.decode(codes, len(truth.values), placement, truth.format.name)
    values = decoded.values * truth.observed  # what was not recorded is not compared
    return truth, dataclasses.replace(decoded, values=values, observed=truth.observed)


def code_use(config: TokenizerConfig, codes: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """Of each code of a step: the share of those that occur, and the perplexity of their use, exp of its entropy."""
    count = np.bincount(np.concatenate(codes), minlength=config.codes).reshape(config.tokens_per_step, -1)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1)), axis=1)
    return [
        {"code_use": float(np.mean(s > 0)), "perplexity": float(np.exp(e))} for s, e in zip(share, entropy, strict=True)
    ]


def _compare(truth: Recording, decoded: Recording) -> Sums:
    """The sums of one trial. Those by channel are [C], of channels that were not observed 0."""
    # Tilt and list as in the features: in the order of OpenSim an error of the heading alone would change them.
    a, b = (with_heading_first(r.format, r.values.astype(np.float64)) for r in (truth, decoded))
    error, da, db = b - a, np.diff(a, axis=0), np.diff(b, axis=0)
    sums = {
        "frames": len(a) * truth.observed,
        "absolute": np.abs(error).sum(axis=0),
        "square": (error**2).sum(axis=0),
        "changes": len(da) * truth.observed,
        "velocity": np.abs(db - da).sum(axis=0) * truth.rate_hz,
        "da": da.sum(axis=0),
        "db": db.sum(axis=0),
        "dada": (da**2).sum(axis=0),
        "dbdb": (db**2).sum(axis=0),
        "dadb": (da * db).sum(axis=0),
    }
    root = truth.format.root
    if root:
        ground = [truth.format.indices[root.forward], truth.format.indices[root.lateral]]
        way = np.linalg.norm(np.diff(a[::6, ground], axis=0), axis=1).sum()
        if way > SHORTEST_TRAVEL_M:
            sums |= {"drift": np.linalg.norm(error[-1, ground]), "way": way}
    return sums | (_compare_places(truth, decoded) if truth.format.name == CANONICAL else {})


def _compare_places(truth: Recording, decoded: Recording) -> Sums:
    """Distances [J] of joint centres and of standing feet; a place counts where all that places it was observed."""
    observed = truth.observed.astype(np.float32)
    a, b = recorded_pose(truth), recorded_pose(decoded)
    facing_alike = np.linalg.norm(_seen_from_pelvis(decoded, b) - _seen_from_pelvis(truth, a), axis=-1)
    centres = (1 - observed) @ skeleton().placing.T == 0
    sums = {"centres": len(a.joints) * centres, "aligned": facing_alike.sum(axis=0) * centres}
    if not truth.observed[[truth.format.indices[f"pelvis_{c}"] for c in ("tx", "ty", "tz", "rotation")]].all():
        return sums
    sums |= {"placed": sums["centres"], "room": np.linalg.norm(b.joints - a.joints, axis=-1).sum(axis=0) * centres}
    before, after = (foot_points(pose) for pose in (a, b))
    stands = standing(before, truth.rate_hz, np.ones(len(before))) * placed(observed)
    slips = {k: (horizontal_speed(p, truth.rate_hz) * stands).sum() for k, p in (("slip", after), ("own", before))}
    return sums | {"stands": stands.sum()} | slips


def _seen_from_pelvis(recording: Recording, pose: Pose) -> np.ndarray:
    """Joint centres [F, J, 3] ahead, above and to the right of the pelvis's origin for who faces its heading."""
    columns = [recording.format.indices[f"pelvis_{c}"] for c in ("tilt", "list", "rotation")]
    heading = heading_first(recording.values[:, columns])[:, 2:]
    x, y, z = np.moveaxis(np.asarray(pose.joints - pose.joints[:, :1]), -1, 0)
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([x * cos - z * sin, y, x * sin + z * cos], axis=-1)


def _channel_figures(format: MotionFormat, sums: Sums) -> dict[str, Any]:
    root = format.root
    planar = (root.forward, root.lateral) if root else ()
    seen = [i for i, name in enumerate(format.names) if sums["frames"][i] and name not in planar]
    channels = {format.names[i]: _errors(sums, [i], format.channels[i].unit) for i in seen}
    out: dict[str, Any] = {}
    if lengths := [i for i in seen if format.channels[i].unit == "m"]:
        out["length_error_mm"] = _errors(sums, lengths, "m")["error_mm"]
    joints: dict[str, list[int]] = {}
    for i in (angles := [i for i in seen if format.angles[i]]):
        joints.setdefault(re.split(r"[._]", format.names[i])[0], []).append(i)
    if angles:
        whole = _errors(sums, angles, "rad")
        out |= {"angle_error_deg": whole.pop("error_deg"), "angle_rmse_deg": whole.pop("rmse_deg")} | whole
    named = {_common_name([format.names[i] for i in part]): _errors(sums, part, "rad") for part in joints.values()}
    return out | {"channels": channels, "joints": named}


def _common_name(names: list[str]) -> str:
    """ "hip" of hip_flexion_r, hip_rotation_l; "knee_angle" of both knees."""
    return os.path.commonprefix(names).rstrip("._")


def _errors(sums: Sums, columns: list[int], unit: str) -> dict[str, float]:
    """The figures of some channels of one unit together."""
    part = {k: sums[k][columns] for k in ("frames", "absolute", "square", "changes", "velocity")}
    factor, word = (180 / np.pi, "deg") if unit == "rad" else (1000.0, "mm")
    frames = part["frames"].sum()
    out = {
        f"error_{word}": float(factor * part["absolute"].sum() / frames),
        f"rmse_{word}": float(factor * np.sqrt(part["square"].sum() / frames)),
        f"velocity_error_{word}_s": float(factor * part["velocity"].sum() / part["changes"].sum()),
    }
    n, da, db, aa, bb, ab = (sums[k][columns] for k in ("changes", "da", "db", "dada", "dbdb", "dadb"))
    spread = (n * aa - da**2) * (n * bb - db**2)
    varies = spread > 1e-12 * (n * aa) * (n * bb)  # otherwise nothing but rounding
    if varies.any():
        r = (n * ab - da * db)[varies] / np.sqrt(spread[varies])
        out["change_correlation"] = float(np.mean(r))
    return out


def _place_figures(sums: Sums) -> dict[str, Any]:
    if "centres" not in sums:
        return {}
    named = {j: _centre(s.name) for j, s in enumerate(skeleton().segments) if _centre(s.name)}
    out: dict[str, Any] = {}
    centres: dict[str, dict[str, float]] = {name: {} for name in named.values()}
    for figure, distance, count in (("mpjpe_mm", "aligned", "centres"), ("mpjpe_room_mm", "room", "placed")):
        found = {j: name for j, name in named.items() if count in sums and sums[count][j]}
        for j, name in found.items():
            centres[name][figure] = float(1000 * sums[distance][j] / sums[count][j])
        if found:
            out[figure] = float(1000 * sums[distance][list(found)].sum() / sums[count][list(found)].sum())
    if sums.get("stands"):
        out["foot_slip_cm_s"] = float(100 * sums["slip"] / sums["stands"])
        out["original_slip_cm_s"] = float(100 * sums["own"] / sums["stands"])
    return out | {"joint_centres": {name: figures for name, figures in centres.items() if figures}}


def _centre(segment: str) -> str:
    """ "knee_r" of "tibia_r"; nothing of a segment whose origin has no name of its own."""
    body, _, side = segment.partition("_")
    return "_".join([CENTRES[body], *([side] if side else [])]) if body in CENTRES else ""
