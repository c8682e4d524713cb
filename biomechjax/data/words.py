"""A trial in words: what a decoder reads that is shown no motion tokens (`mixture.movement`).

    duration 6.2 s; forward speed 1.02 m/s (0.81 to 1.24); turning -1 deg/s (-24 to 19); right hip flexion 9 deg (-14 to
    31); ...

Each channel is its mean over the whole trial, and in brackets its minimum and maximum. What is said is our choice: how
the pelvis travels, turns and tilts, hips, knees and ankles, trunk and arm swing, of canonical channels or such as mean
the same. Of a format that has hardly any of these, it is the channels that vary most.
"""

from collections.abc import Sequence

import numpy as np

from biomechjax.errors import InputError
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.mapping import meanings
from biomechjax.tokenizer.tokenizer import MotionTokenizer

# Canonical channel, how it is called, and the sign that makes flexion positive.
SAID = (
    ("pelvis_tx", "forward speed", 1),
    ("pelvis_rotation", "turning", 1),
    ("pelvis_tilt", "pelvis tilt", 1),
    ("pelvis_list", "pelvis list", 1),
    ("hip_flexion_r", "right hip flexion", 1),
    ("hip_flexion_l", "left hip flexion", 1),
    ("hip_adduction_r", "right hip adduction", 1),
    ("hip_adduction_l", "left hip adduction", 1),
    ("knee_angle_r", "right knee flexion", -1),
    ("knee_angle_l", "left knee flexion", -1),
    ("ankle_angle_r", "right ankle flexion", 1),
    ("ankle_angle_l", "left ankle flexion", 1),
    ("lumbar_extension", "trunk extension", 1),
    ("lumbar_bending", "trunk bending", 1),
    ("arm_flex_r", "right arm flexion", 1),
    ("arm_flex_l", "left arm flexion", 1),
)
FEW = 4  # of these channels, or fewer: not enough to tell a movement by

Said = tuple[str, int, int]
"""What a channel is called, its column, and the sign that it is said with."""


def in_words(tokenizer: MotionTokenizer, summary: Sequence[float]) -> str:
    """What `Record.summary`, [4 C + 1], says of a trial, in degrees, metres and seconds.

    A channel that was not recorded, of which the summary has zeros only, is left out.

    Raises:
        InputError: it is not of one of the tokenizer's formats, or of several that have as many channels.
    """
    format = _format_of(tokenizer, len(summary))
    mean, _, low, high = np.reshape(summary[:-1], (4, format.size))
    parts = [f"duration {summary[-1]:.1f} s"]
    for name, column, sign in said(format, tokenizer.statistics[format.name].std):
        if not (mean[column] or low[column] or high[column]):
            continue
        unit, factor, decimals = _unit(format, column)
        ends = sorted(sign * factor * x for x in (low[column], high[column]))
        middle, least, most = (_number(x, decimals) for x in (sign * factor * mean[column], *ends))
        parts.append(f"{name} {middle} {unit} ({least} to {most})")
    return "; ".join(parts)


def said(format: MotionFormat, spread: np.ndarray) -> list[Said]:
    """The channels of a format that are told, in order.

    Args:
        spread: [C] standard deviation of each feature over the tokenizer's training.
    """
    means = meanings(format)
    found = [(words, means[name][0], sign * means[name][1]) for name, words, sign in SAID if name in means]
    if len(found) > FEW:
        return found
    among = np.flatnonzero(format.angles) if format.angles.any() else np.arange(format.size)
    largest = among[np.argsort(-spread[among], kind="stable")[: len(SAID)]]
    root = format.root.place if format.root else ()
    columns = sorted({*largest.tolist(), *(format.indices[name] for name in root)})
    return [(format.names[column], column, 1) for column in columns]


def words_corpus(tokenizer: MotionTokenizer) -> list[str]:
    """Sentences with every word that `in_words` has, for training a text tokenizer."""
    return [in_words(tokenizer, np.ones(4 * f.size + 1).tolist()) for f in tokenizer.formats]


def _format_of(tokenizer: MotionTokenizer, size: int) -> MotionFormat:
    found = [f for f in tokenizer.formats if 4 * f.size + 1 == size]
    if len(found) != 1:
        names = ", ".join(f"{f.name} ({f.size})" for f in tokenizer.formats)
        raise InputError(
            f"a trial of {(size - 1) / 4:g} channels in words: expected it to be of one of {names}, and of that one "
            "alone; train with --mixture.movement tokens"
        )
    return found[0]


def _unit(format: MotionFormat, column: int) -> tuple[str, float, int]:
    """The unit a feature is told in, what makes it so, and digits after the point."""
    name, unit = format.names[column], format.channels[column].unit
    rate = "/s" if format.root and name in format.root.place else ""
    return (f"m{rate}", 1.0, 2) if unit == "m" else (f"deg{rate}", 180 / np.pi, 0)


def _number(x: float, decimals: int) -> str:
    text = f"{x:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
