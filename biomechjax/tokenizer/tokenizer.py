"""The finished tokenizer: recordings to codes and back, and the small folder that holds it."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.motion.features import Placement, from_features, to_features
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import nearest

BATCH = 16
SHORTEST_BUCKET = 64


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation [C] of each feature, from training participants only."""

    mean: np.ndarray
    std: np.ndarray


@dataclasses.dataclass(frozen=True)
class MotionTokenizer:
    """Everything needed to turn a recording into codes and back.

    Attributes:
        config, format: what it was trained as and on.
        statistics: normalisation of the features.
        params: parameters of `Autoencoder`.
        codes: [Q,E] codebook.
    """

    config: TokenizerConfig
    format: MotionFormat
    statistics: Statistics
    params: dict
    codes: np.ndarray

    def prepare(self, recording: Recording) -> tuple[np.ndarray, Placement]:
        """Resampled, normalised features [F,C] (0 where unobserved), and the placement that decoding starts from.

        Raises:
            InputError: the recording is of another format.
        """
        if recording.format.names != self.format.names:
            raise InputError(
                f"{recording.source}: format {recording.format.name}; this tokenizer reads {self.format.name}; "
                "give a checkpoint that was trained on recordings of this format"
            )
        return prepare_features(recording, self.config.rate_hz, self.statistics)

    def encode(self, recordings: Sequence[Recording]) -> list[np.ndarray]:
        """Codes int32 [ceil(F / frames_per_token)] of each recording, F at the config's rate; any lengths, batched.

        The last frame is repeated up to a whole token.
        """
        features = [self.prepare(r)[0] for r in recordings]
        step = self.config.frames_per_token
        out: list[np.ndarray] = [np.zeros(0, np.int32)] * len(features)
        order = sorted(range(len(features)), key=lambda i: len(features[i]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            frames = _bucket(max(len(features[i]) for i in rows), step)
            batch = np.zeros((BATCH, frames, self.format.size), np.float32)
            valid = np.zeros((BATCH, frames), np.float32)
            observed = np.zeros((BATCH, 1, self.format.size), np.float32)
            for row, i in enumerate(rows):
                whole = -(-len(features[i]) // step) * step
                batch[row, :whole] = np.pad(features[i], ((0, whole - len(features[i])), (0, 0)), mode="edge")
                valid[row, :whole] = 1
                observed[row, 0] = recordings[i].observed
            codes = np.asarray(_encode(self.model, self.params, self.codes, batch, observed, valid))
            for row, i in enumerate(rows):
                out[i] = codes[row, : -(-len(features[i]) // step)]
        return out

    def decode(self, codes: np.ndarray, frames: int | None = None, placement: Placement = Placement()) -> Recording:
        """A recording of all channels from codes [n]; `frames` cuts what completed the last token.

        Raises:
            InputError: a code is outside the codebook, or `frames` is more than the codes hold.
        """
        if len(codes) == 0 or codes.min() < 0 or codes.max() >= len(self.codes):
            raise InputError(f"codes must be a non-empty array of 0..{len(self.codes) - 1}")
        full = len(codes) * self.config.frames_per_token
        frames = full if frames is None else frames
        if not 1 <= frames <= full:
            raise InputError(f"{frames} frames of {len(codes)} codes; expected 1..{full}")
        bucket = _bucket(full, self.config.frames_per_token)
        padded = np.zeros((1, bucket // self.config.frames_per_token), np.int32)
        padded[0, : len(codes)] = codes
        valid = (np.arange(bucket) < full).astype(np.float32)[None]
        features = np.asarray(_decode(self.model, self.params, self.codes, padded, valid))[0, :frames]
        values = features * self.statistics.std + self.statistics.mean
        return Recording(
            self.format,
            self.config.rate_hz,
            from_features(self.format, self.config.rate_hz, values, placement).astype(np.float32),
            np.ones(self.format.size, bool),
            source="decoded",
        )

    def code_features(self) -> np.ndarray:
        """What each code stands for: normalised features [Q, frames_per_token * C] of its frames, held for a while."""
        step, repeat = self.config.frames_per_token, 5
        indices = np.tile(np.arange(len(self.codes), dtype=np.int32)[:, None], (1, repeat))
        valid = np.ones((len(indices), repeat * step), np.float32)
        features = np.asarray(_decode(self.model, self.params, self.codes, indices, valid))
        middle = repeat // 2 * step
        return features[:, middle : middle + step].reshape(len(indices), -1)

    @functools.cached_property
    def model(self) -> Autoencoder:
        return Autoencoder(self.config, self.format.size)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` and `tokenizer.safetensors` in a new folder."""
        arrays = flax.traverse_util.flatten_dict(self.params, sep="/") | {"codes": self.codes}
        arrays |= {"mean": self.statistics.mean, "std": self.statistics.std}
        text = json.dumps({"config": dataclasses.asdict(self.config), "format": self.format.to_dict()}, indent=1)
        with new_folder(folder) as work:
            (work / "tokenizer.json").write_text(text)
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, work / "tokenizer.safetensors")

    @classmethod
    def load(cls, folder: Path | str) -> "MotionTokenizer":
        """Inverts `save`.

        Raises:
            InputError: the folder holds no finished tokenizer.
        """
        folder = Path(folder)
        try:
            text = json.loads((folder / "tokenizer.json").read_text())
            arrays = load_file(folder / "tokenizer.safetensors")
            statistics = Statistics(arrays.pop("mean"), arrays.pop("std"))
            codes = arrays.pop("codes")
            config = TokenizerConfig(**text["config"])
            format = MotionFormat.from_dict(text["format"], str(folder))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as e:
            raise InputError(
                f"{folder}: no finished motion tokenizer here ({e}); give the --out of train_tokenizer.py"
            ) from e
        return cls(config, format, statistics, flax.traverse_util.unflatten_dict(arrays, sep="/"), codes)


def prepare_features(recording: Recording, rate_hz: float, statistics: Statistics) -> tuple[np.ndarray, Placement]:
    """Resampled, normalised features [F,C], 0 where unobserved, and where the movement starts."""
    at_rate = recording.resampled(rate_hz)
    features, placement = to_features(at_rate.format, rate_hz, at_rate.values)
    normalised = (features - statistics.mean) / statistics.std * at_rate.observed
    return normalised.astype(np.float32), placement


def _bucket(frames: int, step: int) -> int:
    """Lengths are padded to a few sizes, four per doubling, so that few programs are compiled."""
    size = SHORTEST_BUCKET
    while size < frames:
        size *= 2
    quarter = max(size // 8, step)
    return max(SHORTEST_BUCKET, -(-frames // quarter) * quarter)


@functools.partial(jax.jit, static_argnums=0)
def _encode(model, params, codes, features, observed, valid):
    return nearest(codes, model.apply(params, features, observed, valid, method="encode"))


@functools.partial(jax.jit, static_argnums=0)
def _decode(model, params, codes, indices, valid):
    return model.apply(params, jnp.asarray(codes)[indices], valid, method="decode")
