"""The finished tokenizer: recordings to codes and back, and the small folder that holds it."""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
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
from biomechjax.motion.files import read_object
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.mapping import to_format
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer import travel
from biomechjax.tokenizer.chunks import chunks, decoder_reach, encoder_reach
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer, lookup, quantize
from biomechjax.tokenizer.union import Stem, unite

BATCH = 16
SHORTEST_BUCKET = 64


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation [C] of each feature, from training participants only."""

    mean: np.ndarray
    std: np.ndarray


@dataclasses.dataclass(frozen=True)
class Readied:
    """A recording as the networks take it: normalised features [n * frames_per_step, C], the last frame repeated up to
    a whole step; seen [C], 1 for the channels that were observed; the travel codes [n, 1], or [n, 0] without them."""

    features: np.ndarray
    seen: np.ndarray
    travelled: np.ndarray


@dataclasses.dataclass(frozen=True)
class MotionTokenizer:
    """Everything needed to turn a recording into codes and back.

    Attributes:
        config: what it was trained as.
        formats: what it was trained on, and reads and writes.
        statistics: normalisation of the features of each format, by its name, in its own channels.
        params: parameters of `Autoencoder`.
        table: [L,Q,E] codes of each level.
        displacements: [Q,3] travel codes (see `travel`); [0,3] where the config has none.
        common: bool [C], the channels that the first level sees if it does not see all: those that every format has, so
            that the first code of a step says the same of a movement whatever format it was recorded in.

    The codes of a step stand together: that of its travel, if there is one, then those of the levels in turn. Code q of
    the n-th of them has the id `n * Q + q`.
    """

    config: TokenizerConfig
    formats: tuple[MotionFormat, ...]
    statistics: dict[str, Statistics]
    params: dict
    table: np.ndarray
    displacements: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3), np.float32))
    common: np.ndarray | None = None

    @functools.cached_property
    def union(self) -> tuple[MotionFormat, dict[str, Stem]]:
        """`format` and `stems`."""
        return unite(self.formats)

    @property
    def format(self) -> MotionFormat:
        """The channels that the networks see (C of them): of its one format, or the union of several."""
        return self.union[0]

    @property
    def stems(self) -> dict[str, Stem]:
        """Where the channels of each format, by its name, are among those."""
        return self.union[1]

    def readable(self, recording: Recording) -> Recording:
        """The recording in the trained format that keeps most of its channels: its own if that was trained.

        Raises:
            InputError: no trained format shares a channel with it.
        """
        found, errors = [], []
        for format in self.formats:
            try:
                found.append(to_format(recording, format))
            except InputError as e:
                errors.append(e)
        if not found:
            raise InputError(f"{errors[0]} (this tokenizer reads {', '.join(self.stems)})")
        return max(found, key=lambda r: (r.observed.sum(), r.format.name == recording.format.name))

    def prepare(self, recording: Recording) -> tuple[np.ndarray, Placement]:
        """Resampled, normalised features [F,C] (0 where unobserved), and the placement that decoding starts from.

        Raises:
            InputError: the recording is of another format.
        """
        name, stem = recording.format.name, self.stems.get(recording.format.name)
        if stem is None or recording.format.names != stem.format.names:
            raise InputError(
                f"{recording.source}: format {name}; this tokenizer reads {', '.join(self.stems)}; "
                "give a checkpoint that was trained on recordings of this format, or prepare the cohort with --format "
                f"{self.formats[0].name} if its channels have meanings there"
            )
        features, placement = prepare_features(recording, self.config.rate_hz, self.statistics[name])
        return stem.join(features), placement

    def encode(self, recordings: Sequence[Recording]) -> list[np.ndarray]:
        """Codes int32 [n * tokens_per_step] of each recording of any length, n = ceil(F / frames_per_step) steps.

        Raises:
            InputError: as `prepare`.
        """
        return self.encode_readied([self.ready(r) for r in recordings])

    def ready(self, recording: Recording) -> Readied:
        """What can be done of encoding without the networks; `encode_readied` does the rest."""
        step, name = self.config.frames_per_step, recording.format.name
        features, _ = self.prepare(recording)
        features = np.pad(features, ((0, -len(features) % step), (0, 0)), mode="edge")
        stem, travelled = self.stems[name], np.zeros((len(features) // step, 0), np.int32)
        if self.config.travel:
            root = root_features(stem, self.statistics[name], features, recording.observed)
            travelled = travel.choose(self.displacements, root, self.config.rate_hz, step)[:, None]
        return Readied(features, stem.seen(recording.observed), travelled)

    def encode_readied(self, readied: Sequence[Readied]) -> list[np.ndarray]:
        """Codes as of `encode`. Long recordings are encoded in windows that overlap, which gives the same codes in
        bounded memory."""

        def codes(features: np.ndarray, observed: np.ndarray, valid: np.ndarray) -> np.ndarray:
            return encode_windows(self.model, self.params, self.table, features, observed, valid, self.common)

        found = self._in_windows(readied, codes, np.zeros((0, len(self.table)), np.int32))
        after_travel = self.config.codebook_size * self.config.travel
        return [
            np.concatenate([r.travelled, codes + after_travel], axis=1).reshape(-1)
            for r, codes in zip(readied, found, strict=True)
        ]

    def latents(self, readied: Sequence[Readied]) -> list[np.ndarray]:
        """What the encoder makes of each recording before it is quantized, float32 [n,E]."""

        def latents(features: np.ndarray, observed: np.ndarray, valid: np.ndarray) -> np.ndarray:
            return latent_windows(self.model, self.params, features, observed, valid)

        return self._in_windows(readied, latents, np.zeros((0, self.table.shape[-1]), np.float32))

    def _in_windows(
        self, readied: Sequence[Readied], network: Callable[..., np.ndarray], like: np.ndarray
    ) -> list[np.ndarray]:
        """What a network makes of the steps of each, [n,k] of the k and the dtype of `like` [0,k], from features
        [B,F,C], observed [B,1,C] and valid [B,F] of windows."""
        step = self.config.frames_per_step
        out = [np.zeros((len(r.features) // step, like.shape[1]), like.dtype) for r in readied]
        reach = -(-encoder_reach(self.config) // step)
        windows = [(i, chunk) for i, found in enumerate(out) for chunk in chunks(self.config, len(found), reach)]
        windows.sort(key=lambda window: window[1].steps)
        for start in range(0, len(windows), BATCH):
            rows = windows[start : start + BATCH]
            frames = _bucket(rows[-1][1].steps * step, step)
            batch = np.zeros((BATCH, frames, self.format.size), np.float32)
            valid = np.zeros((BATCH, frames), np.float32)
            observed = np.zeros((BATCH, 1, self.format.size), np.float32)
            for row, (i, chunk) in enumerate(rows):
                part = readied[i].features[chunk.given.start * step : chunk.given.stop * step]
                batch[row, : len(part)] = part
                valid[row, : len(part)] = 1
                observed[row, 0] = readied[i].seen
            found = np.asarray(network(batch, observed, valid))
            for row, (i, chunk) in enumerate(rows):
                out[i][chunk.kept] = found[row, chunk.inside]
        return out

    def decode(
        self,
        codes: np.ndarray,
        frames: int | None = None,
        placement: Placement = Placement(),
        format: str | None = None,
        codes_per_step: int | None = None,
    ) -> Recording:
        """A recording of all channels from codes [n * codes_per_step]; `frames` cuts what completed the last step.

        Args:
            format: name of the trained format to write, by default the first; not necessarily that of the recording
                that was encoded. Channels that the two do not share are then what the network takes to go with those
                that they do.
            codes_per_step: how many of the `tokens_per_step` codes of each step are given, its first ones, as a
                decoder reads that leaves the finest out; by default all. At least one of a level must be among them.

        Raises:
            InputError: a code is not one of its level, a step is not complete or has another number of codes, `frames`
                is more than the codes hold, or the format was not trained.
        """
        stem = self.stems.get(format or self.formats[0].name)
        if stem is None:
            raise InputError(f"format {format}; this tokenizer writes {', '.join(self.stems)}")
        whole, size = self.config.tokens_per_step, self.config.codebook_size
        of_step = whole if codes_per_step is None else codes_per_step
        if not self.config.travel < of_step <= whole:
            raise InputError(f"{of_step} codes of each step; this tokenizer decodes {self.config.travel + 1}..{whole}")
        codes = np.asarray(codes)
        if not len(codes) or len(codes) % of_step:
            raise InputError(f"{len(codes)} codes; expected whole steps of {of_step}, at least one")
        choice = codes.reshape(-1, of_step) - np.arange(of_step) * size
        if choice.min() < 0 or choice.max() >= size:
            expected = f"0..{of_step * size - 1}, {size} for each of the {of_step} codes of a step in turn"
            raise InputError(f"codes must be of {expected}")
        travelled, choice = np.split(choice, [int(self.config.travel)], axis=1)
        full = len(choice) * self.config.frames_per_step
        frames = full if frames is None else frames
        if not 1 <= frames <= full:
            raise InputError(f"{frames} frames of {len(codes)} codes; expected 1..{full}")
        features = np.concatenate(
            [
                self._decode_chunk(choice[chunk.given])[chunk.inside]
                for chunk in chunks(self.config, len(choice), decoder_reach(self.config))
            ]
        ).reshape(full, -1)
        statistics = self.statistics[stem.format.name]
        values = stem.part(features) * statistics.std + statistics.mean
        if self.config.travel and stem.format.root:
            root = [stem.format.indices[n] for n in stem.format.root.place]
            values[:, root] = travel.steer(values[:, root], self.displacements[travelled[:, 0]], self.config.rate_hz)
        values = values[:frames]
        return Recording(
            stem.format,
            self.config.rate_hz,
            from_features(stem.format, self.config.rate_hz, values, placement).astype(np.float32),
            np.ones(stem.format.size, bool),
            source="decoded",
        )

    def _decode_chunk(self, choice: np.ndarray) -> np.ndarray:
        """Normalised features [n,frames_per_step,C] of the choices [n,L] of each level, or of the first L of them."""
        step = self.config.frames_per_step
        bucket = _bucket(len(choice) * step, step)
        padded = np.pad(choice, ((0, bucket // step - len(choice)), (0, 0)))
        valid = (np.arange(bucket) < len(choice) * step).astype(np.float32)
        latents = lookup(jnp.asarray(self.table[: choice.shape[1]]), jnp.asarray(padded.T)).sum(axis=0)
        features = np.asarray(_decode(self.model, self.params, latents[None], valid[None]))[0]
        return features.reshape(-1, step, self.format.size)[: len(choice)]

    def same_codes(self, other: "MotionTokenizer") -> bool:
        """Whether the codes of the other mean what its own do."""
        return np.array_equal(self.table, other.table) and np.array_equal(self.displacements, other.displacements)

    def code_meanings(self) -> tuple[np.ndarray, np.ndarray]:
        """What each code of the levels stands for, held for a while: posture [L * Q, C], the mean of its normalised
        features, and speed [L * Q, C], the mean size of their change from frame to frame.

        A code of a later level refines another; its meaning is that of the mean of the first level with it added.
        """
        step, repeat = self.config.frames_per_step, 5
        refined = self.table.copy()
        refined[1:] += self.table[0].mean(axis=0)
        latents = np.repeat(refined.reshape(-1, 1, refined.shape[-1]), repeat, axis=1)
        valid = np.ones((len(latents), repeat * step), np.float32)
        middle = slice(repeat // 2 * step, (repeat // 2 + 1) * step)
        features = np.asarray(_decode(self.model, self.params, latents, valid))[:, middle]
        return features.mean(axis=1), np.abs(np.diff(features, axis=1)).mean(axis=1)

    @functools.cached_property
    def model(self) -> Autoencoder:
        return Autoencoder(self.config, self.format.size)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` and `tokenizer.safetensors` in a new folder."""
        arrays = flax.traverse_util.flatten_dict(self.params, sep="/")
        arrays |= {"codes": self.table, "moves": self.displacements}
        of = [self.statistics[f.name] for f in self.formats]
        arrays |= {"mean": np.concatenate([s.mean for s in of]), "std": np.concatenate([s.std for s in of])}
        arrays |= {} if self.common is None else {"common": self.common}
        formats = [f.to_dict() for f in self.formats]
        text = json.dumps({"config": dataclasses.asdict(self.config), "formats": formats}, indent=1)
        with new_folder(folder) as work:
            (work / "tokenizer.json").write_text(text)
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, work / "tokenizer.safetensors")

    @classmethod
    def load(cls, folder: Path | str) -> "MotionTokenizer":
        """Inverts `save`.

        Raises:
            InputError: the folder holds no finished tokenizer, or arrays of other shapes than its config says.
        """
        folder = Path(folder)
        try:
            text = read_object(folder / "tokenizer.json")
            arrays = load_file(folder / "tokenizer.safetensors")
            table, displacements, common = arrays.pop("codes"), arrays.pop("moves"), arrays.pop("common", None)
            config = TokenizerConfig(**text["config"])
            formats = tuple(MotionFormat.from_dict(f, str(folder)) for f in text["formats"])
            _check_arrays(config, formats, arrays | {"codes": table, "moves": displacements}, common)
            ends = np.cumsum([f.size for f in formats])[:-1]
            of = zip(np.split(arrays.pop("mean"), ends), np.split(arrays.pop("std"), ends), strict=True)
            statistics = {f.name: Statistics(*s) for f, s in zip(formats, of, strict=True)}
        except (OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as e:
            raise InputError(
                f"{folder}: no finished motion tokenizer here ({e}); give the --out of train_tokenizer.py"
            ) from e
        params = flax.traverse_util.unflatten_dict(arrays, sep="/")
        return cls(config, formats, statistics, params, table, displacements, common)


def _check_arrays(
    config: TokenizerConfig,
    formats: tuple[MotionFormat, ...],
    arrays: dict[str, np.ndarray],
    common: np.ndarray | None,
) -> None:
    """Raises InputError where arrays are not those that `save` writes of such a tokenizer."""
    size, channels = unite(formats)[0].size, sum(f.size for f in formats)
    of_model = jax.eval_shape(
        Autoencoder(config, size).init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, config.frames_per_step, size), np.float32),
        jax.ShapeDtypeStruct((1, 1, size), np.float32),
        jax.ShapeDtypeStruct((1, config.frames_per_step), np.float32),
    )
    expected = {name: leaf.shape for name, leaf in flax.traverse_util.flatten_dict(of_model, sep="/").items()}
    expected |= {
        "codes": (config.levels, config.codebook_size, config.code_width),
        "moves": (config.codebook_size if config.travel else 0, 3),
        "mean": (channels,),
        "std": (channels,),
    }
    found = {name: array.shape for name, array in arrays.items()}
    if wrong := sorted(dict(found.items() ^ expected.items())):
        raise InputError(f"{wrong[0]} is {found.get(wrong[0])}; its config calls for {expected.get(wrong[0])}")
    if other := [name for name, array in arrays.items() if array.dtype.kind != "f"]:
        raise InputError(f"{other[0]} is of {arrays[other[0]].dtype}; expected floating point")
    if not np.isfinite(arrays["mean"]).all() or not ((arrays["std"] > 0) & np.isfinite(arrays["std"])).all():
        raise InputError("mean and std; expected finite numbers, std above 0")
    if common is not None and (common.shape != (size,) or common.dtype != bool):
        raise InputError(f"common is {common.dtype} {common.shape}; expected bool {(size,)}")


def prepare_features(recording: Recording, rate_hz: float, statistics: Statistics) -> tuple[np.ndarray, Placement]:
    """Resampled, normalised features [F,C], 0 where unobserved, and where the movement starts."""
    at_rate = recording.resampled(rate_hz)
    features, placement = to_features(at_rate.format, rate_hz, at_rate.values)
    normalised = (features - statistics.mean) / statistics.std * at_rate.observed
    return normalised.astype(np.float32), placement


def root_features(stem: Stem, statistics: Statistics, features: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Forward and lateral m/s and turning rad/s [F,3] of normalised features [F,C]; 0 where they were not recorded."""
    format = stem.format
    columns = [format.indices[n] for n in format.root.place] if format.root else []
    if not columns or not observed[columns].all():
        return np.zeros((len(features), 3))
    return stem.part(features)[:, columns] * statistics.std[columns] + statistics.mean[columns]


def _bucket(frames: int, step: int) -> int:
    """Lengths are padded to a few sizes, four per doubling, so that few programs are compiled."""
    size = SHORTEST_BUCKET
    while size < frames:
        size *= 2
    quarter = max(size // 8, step)
    return max(SHORTEST_BUCKET, -(-frames // quarter) * quarter)


@functools.partial(jax.jit, static_argnums=0)
def encode_windows(model, params, table, features, observed, valid, common):
    """Codes int32 [B,F/4,L], ids in their level's range, of windows [B,F,C] of normalised features.

    `observed` [B,1,C] and `valid` [B,F] say what counts; table [L,Q,E] and `common` [C] or None are a tokenizer's.
    """

    def encoded(observed):
        return latent_windows(model, params, features, observed, valid)

    choice, _ = quantize(table, encoded(observed), None if common is None else encoded(observed * common))
    levels, size = table.shape[:2]
    return jnp.moveaxis(choice, 0, -1) + jnp.arange(levels) * size


@functools.partial(jax.jit, static_argnums=0)
def latent_windows(model, params, features, observed, valid):
    """What the codes of `encode_windows` are chosen for, [B,F/4,E]."""
    return find_quantizer(model.config).bound(model.apply(params, features, observed, valid, method="encode"))


@functools.partial(jax.jit, static_argnums=0)
def _decode(model, params, latents, valid):
    return model.apply(params, latents, valid, method="decode")
