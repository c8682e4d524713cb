"""Small stand-ins that the tests share: a format, walkers, a cohort, a tokenizer, a vocabulary, a decoder."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np

from biomechjax.cohort.folder import Cohort, write_cohort
from biomechjax.data.examples import Renderer
from biomechjax.data.mixture import MixtureConfig
from biomechjax.data.records import Record
from biomechjax.data.stream import PackedRows, Rows, packed_batches
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, init_params
from biomechjax.language.vocabulary import Vocabulary, train_text_tokenizer
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.tasks.registry import corpus
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import MotionTokenizer, prepare_features
from biomechjax.training.tokenizer import feature_statistics

FORMAT = MotionFormat.from_dict(
    {
        "name": "walker",
        "description": "a root, a height and two legs",
        "channels": [
            ["x", "m", "x", 1],
            ["z", "m", "z", -1],
            ["height", "m", "height", 1],
            ["heading", "rad", "heading", -1],
            ["hip_r", "rad", "hip_l", 1],
            ["hip_l", "rad", "hip_r", 1],
            ["knee_r", "rad", "knee_l", 1],
            ["knee_l", "rad", "knee_r", 1],
        ],
        "root": {"forward": "x", "lateral": "z", "heading": "heading"},
    }
)
TOKENIZER = TokenizerConfig(width=16, depth=2, codebook_size=16, code_width=8)


def walk(
    seed: int, frames: int = 90, rate_hz: float = 30.0, hidden: Sequence[str] = (), speed: float = 1.0
) -> Recording:
    """Somebody who walks in a wide curve, hips and knees in sinusoids of seeded size, pace and phase."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / rate_hz
    phase = 2 * np.pi * (rng.uniform(0.7, 1.2) * t + rng.random())
    heading = rng.uniform(-3, 3) + rng.uniform(-0.3, 0.3) * t
    hip, knee = rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.9)
    values = np.stack(
        [
            rng.normal() + np.cumsum(speed * np.cos(heading)) / rate_hz,
            rng.normal() - np.cumsum(speed * np.sin(heading)) / rate_hz,
            0.9 + 0.03 * np.sin(2 * phase),
            heading,
            hip * np.sin(phase),
            -hip * np.sin(phase),
            -knee * np.cos(phase) ** 2,
            -knee * np.sin(phase) ** 2,
        ],
        axis=1,
    )
    observed = np.array([name not in hidden for name in FORMAT.names])
    return Recording(FORMAT, rate_hz, (values * observed).astype(np.float32), observed, source=f"walk {seed}")


@functools.cache
def tokenizer() -> MotionTokenizer:
    """Untrained, but its codes are latents of walks, so that different movements have different codes."""
    recordings = [walk(seed, 120) for seed in range(100, 108)]
    statistics = feature_statistics(recordings, TOKENIZER.rate_hz)
    model = Autoencoder(TOKENIZER, FORMAT.size)
    features = np.stack([prepare_features(r, TOKENIZER.rate_hz, statistics)[0] for r in recordings])
    observed, valid = np.ones((8, 1, FORMAT.size), np.float32), np.ones((8, 120), np.float32)
    params = jax.jit(model.init)(jax.random.key(0), features, observed, valid)
    latents = np.asarray(jax.jit(functools.partial(model.apply, method="encode"))(params, features, observed, valid))
    rows = np.random.default_rng(0).choice(
        latents.reshape(-1, TOKENIZER.code_width), TOKENIZER.codebook_size, replace=False
    )
    return MotionTokenizer(
        TOKENIZER, (FORMAT,), {FORMAT.name: statistics}, jax.tree.map(np.asarray, params), rows[None]
    )


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary(train_text_tokenizer(corpus(), 420), TOKENIZER.codebook_size)


@functools.cache
def decoder_config() -> DecoderConfig:
    """Local and global layers, grouped heads, and a window shorter than the examples."""
    return DecoderConfig(
        vocab_size=vocabulary().size,
        width=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        mlp_width=48,
        sliding_window=12,
        global_every=2,
    )


def decoder_params(seed: int = 0) -> Params:
    """Random parameters whose norms are not at their initial zero."""
    leaves, tree = jax.tree.flatten(init_params(decoder_config(), jax.random.key(seed)))
    rng = np.random.default_rng(seed)
    return tree.unflatten(leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32) for leaf in leaves)


PEOPLE = [
    {"participant_id": "sub-01", "split": "train", "impairment": "no", "diagnosis": "none", "berg_score": 55},
    {"participant_id": "sub-02", "split": "train", "impairment": "yes", "diagnosis": "stroke", "berg_score": 41},
    {"participant_id": "sub-03", "split": "train", "impairment": "yes", "diagnosis": "stroke", "berg_score": 38},
    {"participant_id": "sub-04", "split": "validation", "impairment": "no", "diagnosis": "none", "berg_score": 56},
    {"participant_id": "sub-05", "split": "test", "impairment": "yes", "diagnosis": "stroke", "berg_score": None},
    {"participant_id": "sub-06", "split": "test", "impairment": "no", "diagnosis": "none", "berg_score": 52},
]


def trials_of(row: dict[str, Any]):
    """A walk at 60 Hz, a Timed Up and Go, and a quiet stance without the left knee."""
    person = int(row["participant_id"][-2:])
    speed = 0.6 + 0.1 * person
    walking = walk(person, 160 + 10 * person, 60.0, speed=speed)
    yield {"task": "walk", "activity": "overground walking", "walking_speed_m_s": speed}, walking
    yield {"task": "tug", "activity": "timed up and go", "tug_time_s": 6.0 + person}, walk(10 + person, 70 + person)
    yield {"task": "stand", "activity": "quiet standing"}, walk(20 + person, 64, hidden=["knee_l"], speed=0.0)


def write_people(out: Path, participants: Sequence[dict[str, Any]] = PEOPLE) -> Cohort:
    write_cohort(
        out,
        name="six walkers",
        simulated=True,
        format=FORMAT,
        tracking_system="markers",
        participants=participants,
        trials=trials_of,
    )
    return Cohort.load(out)


def record(number: int, codes: int = 20, **labels: str | float) -> Record:
    """A training record with two views of so many random codes; by default an impaired walk with five labels."""
    rng = np.random.default_rng(number)
    known = {
        "activity": "overground walking",
        "impairment": "yes",
        "diagnosis": "stroke",
        "affected_side": "left",
        "walking_speed_m_s": round(float(rng.uniform(0.3, 1.6)), 2),
    }
    views = list(rng.integers(0, TOKENIZER.codebook_size, (2, codes), np.int32))
    return Record(
        f"sub-{number:02d}", f"trial-{number:02d}", labels or known, views, [1.0, 1.0], rng.normal(size=33).tolist()
    )


def packed_rows(
    records: Sequence[Record],
    length: int,
    batch_size: int,
    mixture: MixtureConfig = MixtureConfig(),
    room: int = 0,
    seed: int = 0,
    words: Vocabulary | None = None,
) -> PackedRows:
    return PackedRows([records], Renderer(words or vocabulary()), mixture, Rows(length, batch_size, room), seed)


def batches(*args: Any, share: tuple[int, int] = (0, 1), **settings: Any) -> grain.DatasetIterator:
    """The stream of `packed_rows`, for one of so many processes."""
    return packed_batches([(0, packed_rows(*args, **settings))], *share)
