"""Two laboratories that name, order and sign the channels of the same walkers differently."""

import numpy as np
import tiny

from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording

FIRST = MotionFormat.from_dict(
    tiny.FORMAT.to_dict()
    | {
        "name": "first",
        "canonical": {
            "pelvis_ty": "height",
            "hip_flexion_r": "hip_r",
            "hip_flexion_l": "hip_l",
            "knee_angle_r": "knee_r",
            "knee_angle_l": "knee_l",
        },
    }
)
SECOND = MotionFormat.from_dict(
    {
        "name": "second",
        "channels": [
            ["LKnee", "rad", "RKnee", 1],
            ["RKnee", "rad", "LKnee", 1],
            ["Turn", "rad", "Turn", -1],
            ["Elbow", "rad", "Elbow", 1],
            ["Ahead", "m", "Ahead", 1],
            ["Aside", "m", "Aside", -1],
            ["RHip", "rad", "LHip", 1],
            ["LHip", "rad", "RHip", 1],
        ],
        "root": {"forward": "Ahead", "lateral": "Aside", "heading": "Turn"},
        "canonical": {
            "knee_angle_r": "-RKnee",
            "knee_angle_l": "-LKnee",
            "hip_flexion_r": "RHip",
            "hip_flexion_l": "LHip",
        },
    }
)
SAME = {  # channel of SECOND: channel of FIRST, sign
    "LKnee": ("knee_l", -1),
    "RKnee": ("knee_r", -1),
    "Turn": ("heading", 1),
    "Ahead": ("x", 1),
    "Aside": ("z", 1),
    "RHip": ("hip_r", 1),
    "LHip": ("hip_l", 1),
}


def first(seed: int, frames: int = 90) -> Recording:
    """`tiny.walk` as the first laboratory records it, all but the height, which the second does not know."""
    walk = tiny.walk(seed, frames, hidden=["height"])
    return Recording(FIRST, walk.rate_hz, walk.values, walk.observed, f"first {seed}")


def second(seed: int, frames: int = 90, elbow: float | None = None) -> Recording:
    """The same walk as the second laboratory records it, which may see an elbow too."""
    walk = first(seed, frames)
    values = np.zeros((frames, SECOND.size), np.float32)
    for name, (own, sign) in SAME.items():
        values[:, SECOND.indices[name]] = sign * walk.channel(own)
    observed = np.array([name != "Elbow" or elbow is not None for name in SECOND.names])
    values[:, SECOND.indices["Elbow"]] = elbow or 0.0
    return Recording(SECOND, walk.rate_hz, values, observed, f"second {seed}")
