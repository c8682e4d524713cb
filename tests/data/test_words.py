"""A trial in words: the numbers of its recording, in a person's units."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from biomechjax.data.tokenizing import summary
from biomechjax.data.words import SAID, in_words, words_corpus
from biomechjax.errors import InputError
from biomechjax.language.vocabulary import train_text_tokenizer
from biomechjax.motion.format import MotionFormat, load_format
from biomechjax.tasks.registry import corpus
from biomechjax.tokenizer.tokenizer import Statistics

CANONICAL = load_format("canonical")


def reader(*formats: MotionFormat, spread=None):
    """As much of a tokenizer as words need."""
    statistics = {f.name: Statistics(np.zeros(f.size), np.ones(f.size) if spread is None else spread) for f in formats}
    return SimpleNamespace(formats=formats, statistics=statistics)


def summarised(format: MotionFormat, seconds: float = 6.24, **channels: tuple[float, float, float]) -> list[float]:
    """A summary of these channels, (mean, minimum, maximum) in radians and metres, and of no others."""
    found = np.zeros((4, format.size))
    for name, (mean, low, high) in channels.items():
        found[:, format.indices[name]] = mean, 0.1, low, high
    return [*found.reshape(-1).tolist(), seconds]


def test_degrees_metres_and_flexion_of_the_knee_that_bends_the_other_way():
    given = summarised(
        CANONICAL,
        pelvis_tx=(1.234, 0.8, 1.456),
        pelvis_rotation=(-0.001, -0.5, 0.5),
        knee_angle_r=np.radians((-20.4, -61.0, -3.0)),
        hip_flexion_l=np.radians((9.0, -14.0, 31.0)),
        wrist_dev_l=(0.1, 0.0, 0.2),
    )
    assert in_words(reader(CANONICAL), given) == (
        "duration 6.2 s; forward speed 1.23 m/s (0.80 to 1.46); turning 0 deg/s (-29 to 29); left hip flexion 9 deg "
        "(-14 to 31); right knee flexion 20 deg (3 to 61)"
    )


def test_a_laboratory_s_own_channels_are_called_by_what_they_mean():
    plugin = load_format("plugin_gait_angles")
    own = {canonical: (name, sign) for canonical, name, sign in plugin.canonical}
    (knee, sign), (hip, _) = own["knee_angle_r"], own["hip_flexion_r"]
    assert sign == -1  # positive when bent
    given = summarised(plugin, **{knee: (0.4, 0.1, 1.0), hip: (0.2, -0.3, 0.5)})
    found = in_words(reader(plugin), given)
    assert found.endswith("right hip flexion 11 deg (-17 to 29); right knee flexion 23 deg (6 to 57)")


def test_words_are_the_numbers_of_the_recording():
    recording = tiny.walk(3, 120, hidden=["knee_l"], speed=1.3)
    text = in_words(tiny.tokenizer(), summary(tiny.tokenizer(), recording))
    found = dict(re.findall(r"(\w+) (-?[\d.]+ [\w/]+(?: \(.*?\))?)", text))
    assert found.keys() == {"duration", "x", "z", "heading", "hip_r", "hip_l", "knee_r"}
    assert found["duration"] == "4.0 s"
    assert found["x"].startswith("1.30 m/s (")
    hip = np.degrees(recording.values[:, tiny.FORMAT.indices["hip_r"]])
    assert found["hip_r"] == f"{round(hip.mean())} deg ({round(hip.min())} to {round(hip.max())})"
    turned = np.degrees(np.ptp(recording.values[:, tiny.FORMAT.indices["heading"]])) / (119 / 30)
    assert abs(float(found["heading"].split()[0])) == pytest.approx(turned, abs=0.51)


def test_of_other_formats_the_channels_that_vary_most_are_told():
    markers = [[f"m{i:02d}", "m", f"m{i:02d}", 1] for i in range(40)]
    format = MotionFormat.from_dict({"name": "markers", "description": "forty", "channels": markers})
    spread = np.random.default_rng(0).permutation(40).astype(float)
    text = in_words(reader(format, spread=spread), np.ones(161).tolist())
    told = re.findall(r"m(\d\d) 1\.00 m \(1\.00 to 1\.00\)", text)
    assert len(told) == len(SAID)
    assert sorted(map(int, told)) == np.flatnonzero(spread >= 40 - len(SAID)).tolist()


def test_a_summary_of_no_format_or_of_two_is_refused():
    other = dataclasses.replace(CANONICAL, name="other")
    with pytest.raises(InputError, match=r"3 channels in words: expected it to be of one of canonical \(40\)"):
        in_words(reader(CANONICAL), [0.0] * 13)
    with pytest.raises(InputError, match=r"canonical \(40\), other \(40\), and of that one alone"):
        in_words(reader(CANONICAL, other), summarised(CANONICAL))


def test_a_text_tokenizer_that_learned_the_words_needs_far_fewer_ids_for_them():
    """The quickstart's rows have 512 tokens, of which the questions need some."""
    rng, tokenizer = np.random.default_rng(0), reader(CANONICAL)
    text = in_words(tokenizer, np.append(rng.normal(0, 0.4, 160), 12.0).tolist())
    assert text.count(";") == len(SAID)
    learned = train_text_tokenizer(corpus() + words_corpus(tokenizer), 768).encode(text)
    assert len(learned) < 280
    assert len(learned) < 0.75 * len(train_text_tokenizer(corpus(), 768).encode(text))
