"""The baseline without a language model: an encoder with a head for each task, trained on all tasks at once."""

import dataclasses
import functools
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import flax.linen as nn
import flax.traverse_util
import grain
import jax
import numpy as np
from jax import Array
from safetensors.numpy import load_file, save_file

from biomechjax.data.mixture import Drawing, MixtureConfig
from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import Answer
from biomechjax.evaluation.baselines.encoder import Encoder, EncoderConfig
from biomechjax.evaluation.baselines.heads import WEIGHTS, Heads
from biomechjax.evaluation.baselines.steps import Steps
from biomechjax.provenance import resume_key
from biomechjax.tasks.task import Task
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training.config import TrainConfig
from biomechjax.training.decoder import code_meanings, share_of_people
from biomechjax.training.log import read_log
from biomechjax.training.loop import fit
from biomechjax.training.step import Batch, Learner, TrainState

ON_TOKENS, ON_VECTORS, ON_LATENTS = "encoder on tokens", "encoder on code vectors", "encoder on latents"
HELD_OUT = 0.15  # of the training participants, on whom the epoch is chosen
ROUNDED = 32  # steps; lengths are padded to multiples of it
SORTED = 8  # batches whose movements are sorted by length
BEST, CHOSEN_BY = "best.safetensors", "held_out_loss"


@dataclasses.dataclass(frozen=True)
class NeuralConfig:
    """How the encoder is trained.

    Attributes:
        width, layers, heads, dropout: as in EncoderConfig.
        epochs: passes through the training records; the one is kept that is best on people who were left out.
        batch_size, learning_rate, weight_decay, seed: as in TrainConfig, of its optimizer muon.
        mixture: how a training movement is cut, as for the decoder.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    dropout: float = 0.2
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0
    mixture: MixtureConfig = MixtureConfig()


@dataclasses.dataclass(frozen=True)
class Neural:
    """The encoder as a baseline.

    Attributes:
        name: as in tables.
        steps: what it reads of each step.
        folder: where trainings are kept, each in a folder named by what it was trained on and as; one that was stopped
            goes on, one that is done is not trained again. None keeps nothing.
        embedding: [codes, k] what each code means, from which its row of the embedding starts; None for random rows.
        heads, params: once fitted.
    """

    name: str
    steps: Steps
    folder: Path | None
    config: NeuralConfig = NeuralConfig()
    embedding: np.ndarray | None = None
    heads: Heads | None = None
    params: Any = dataclasses.field(default=None, repr=False)
    outputs: dict[bytes, np.ndarray] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, name: str, steps: Steps, tokenizer: MotionTokenizer, kept: Path | None, longest: int = 0) -> Self:
        """The encoder of movements of at most `longest` steps, 0 for the default; its rows of codes start as the
        decoder's do."""
        mixture = MixtureConfig(longest=longest) if longest else MixtureConfig()
        meaning = code_meanings(steps.codes, tokenizer) if steps.codes else None
        return cls(name, steps, kept and kept / "encoders", NeuralConfig(mixture=mixture), meaning)

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        """Trains on most of the participants, and keeps the epoch that is best on the others.

        Raises:
            InputError: a label fits no answer.
            Stopped: after a signal; the same call goes on.
        """
        heads = Heads.of(tasks, train)
        if not heads.tasks:
            return dataclasses.replace(self, heads=heads, params=None, outputs={})
        c = self.config
        people = {r.participant for r in train}
        left_out = share_of_people(people, "", HELD_OUT, c.seed) if len(people) > 1 else set()
        learned = [r for r in train if r.participant not in left_out and heads.asks(r)]
        checked = [r for r in train if r.participant in left_out and heads.asks(r)]
        if not learned or not checked:  # too few to leave anybody out: the last epoch it is
            learned, checked = [r for r in train if heads.asks(r)], []
        epoch = -(-len(learned) // c.batch_size)
        how = TrainConfig(
            c.epochs * epoch, c.batch_size, c.learning_rate, epoch, optimizer="muon", weight_decay=c.weight_decay,
            seed=c.seed, log_every=epoch, save_every=epoch,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as forgotten:
            folder = self.folder / self._key(tasks, train) if self.folder else Path(forgotten)
            folder.mkdir(parents=True, exist_ok=True)
            params = self._train(heads, learned, checked, how, folder)
        return dataclasses.replace(self, heads=heads, params=params, outputs={})

    def _train(
        self, heads: Heads, learned: Sequence[Record], checked: Sequence[Record], how: TrainConfig, folder: Path
    ) -> Any:
        """The parameters that are best on the records `checked`."""
        model = self._model(heads)
        batches, params = self._batches(heads, learned, how.steps), self._start(model, learned[0])

        def report(step: int, state: TrainState) -> dict[str, Any]:
            """The loss of the people who were left out; where it is the least so far, the parameters are kept."""
            host, found = jax.device_get(state.params), -np.inf
            if checked:
                found = heads.loss(self._run(model, host, checked), checked)  # as they are, without views
            before = [row[CHOSEN_BY] for row in read_log(folder) if CHOSEN_BY in row and row["step"] < step]
            if found < min(before, default=np.inf) or not checked:
                _save(host, folder / BEST)
            return {CHOSEN_BY: found} if checked else {}

        fit(learner(model, heads), params, {}, batches, how, folder, "dp", report)
        return flax.traverse_util.unflatten_dict(load_file(folder / BEST), sep="/")

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        if self.heads is None or task.name not in self.heads.places:
            return [None] * len(records)
        keys = [self._movement(r).tobytes() for r in records]  # every task is asked about the same movements
        new = {key: r for key, r in zip(keys, records, strict=True) if key not in self.outputs}
        if new:
            found = self._run(self._model(self.heads), self.params, list(new.values()))
            self.outputs.update(zip(new, found, strict=True))
        return [self.heads.answer(task, self.outputs[key]) for key in keys]

    def _model(self, heads: Heads) -> Encoder:
        c = self.config
        return Encoder(EncoderConfig(heads.size, self.steps.codes, c.width, c.layers, c.heads, c.dropout))

    def _key(self, tasks: Sequence[Task], train: Sequence[Record]) -> str:
        digest = hashlib.sha256()
        for record in train:
            digest.update(record.to_json())
        meaning = None if self.embedding is None else hashlib.sha256(self.embedding.tobytes()).hexdigest()
        settings = self.name, self.config, tuple(tasks), meaning, digest.hexdigest()
        return resume_key(settings, ("data", "training", "evaluation/baselines"))

    def _start(self, model: Encoder, example: Record) -> Any:
        """Parameters before training; rows of codes start as a random projection of what these mean, as the decoder's
        do."""
        variables = jax.jit(model.init)(jax.random.key(self.config.seed), *self._read([example]))
        params = jax.device_get(nn.unbox(variables))["params"]
        if self.embedding is not None:
            k, width = self.embedding.shape[1], self.config.width
            projection = np.random.default_rng(self.config.seed).normal(0, (k * width) ** -0.5, (k, width))
            params["embedding"] = (self.embedding @ projection).astype(np.float32)
        return params

    def _batches(self, heads: Heads, records: Sequence[Record], count: int) -> grain.DatasetIterator:
        """So many training batches: steps, valid, and what `Heads.targets` says.

        Some batches together are sorted by length, so that a batch has movements of about one length and little of it
        is padding.
        """
        c, steps = self.config, self.steps
        viewed = [dataclasses.replace(r, views=list(steps.views(r))) for r in records]
        drawing = Drawing(viewed, c.mixture, steps.codes, steps.levels)
        lengths = np.array([len(r.views[0]) for r in viewed])
        of_epoch = -(-len(records) // c.batch_size)

        def draw(number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
            epoch, at = divmod(number, of_epoch)
            order = np.resize(np.random.default_rng((c.seed, epoch)).permutation(len(records)), of_epoch * c.batch_size)
            window = order[at // SORTED * SORTED * c.batch_size :][: SORTED * c.batch_size]
            rows = window[np.argsort(lengths[window], kind="stable")].reshape(-1, c.batch_size)
            turns = np.random.default_rng((c.seed, epoch, 1 + at // SORTED)).permutation(len(rows))
            mine = rows[turns[at % SORTED]].tolist()
            parts = [drawing.part(i, rng) for i in mine]
            read, valid = _together([steps.read(viewed[i], part) for i, (part, _) in zip(mine, parts, strict=True)])
            targets = [heads.targets(records[i], pace) for i, (_, pace) in zip(mine, parts, strict=True)]
            return {"steps": read, "valid": valid} | {k: np.stack([t[k] for t in targets]) for k in targets[0]}

        source = grain.MapDataset.range(count).seed(c.seed).random_map(draw)
        return iter(source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))

    def _movement(self, record: Record) -> np.ndarray:
        """What is read of the recording itself, [n,k]."""
        steps = np.reshape(self.steps.views(record)[0], (-1, self.steps.levels))
        return self.steps.read(record, steps[: self.config.mixture.longest])

    def _read(self, records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
        """Steps [B,T,k] and valid [B,T] of the recordings themselves."""
        return _together([self._movement(r) for r in records])

    def _run(self, model: Encoder, params: Any, records: Sequence[Record]) -> np.ndarray:
        """Outputs [records, size] about the recordings themselves."""
        lengths, size = [len(self.steps.views(r)[0]) for r in records], self.config.batch_size
        order = np.argsort(lengths, kind="stable")
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), size):
            rows = order[start : start + size].tolist()
            steps, valid = self._read([records[i] for i in (*rows, *rows[:1] * (size - len(rows)))])
            found |= zip(rows, np.asarray(_outputs(model, params, steps, valid)), strict=False)
        return np.stack([found[i] for i in range(len(records))])


def learner(model: Encoder, heads: Heads) -> Learner:
    """The learner of the encoder; no extra state."""

    def sums(params: Any, state: TrainState, batch: Batch, keys: Array) -> tuple[dict[str, Array], Any]:
        drop = {"dropout": keys[0]}
        outputs = model.apply({"params": params}, batch["steps"], batch["valid"], drop=True, rngs=drop)
        return heads.sums(outputs, batch), None

    return Learner(WEIGHTS, heads.counts, sums, lambda extra, _, key, reduction: (extra, {}))


@functools.partial(jax.jit, static_argnums=0)
def _outputs(model: Encoder, params: Any, steps: Array, valid: Array) -> Array:
    return model.apply({"params": params}, steps, valid)


def _together(read: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Steps [n,k] of several movements as [B,T,k], and float32 [B,T], 1 where they are."""
    size = -(-max(map(len, read)) // ROUNDED) * ROUNDED
    steps = np.stack([np.pad(x, ((0, size - len(x)), (0, 0))) for x in read])
    return steps, (np.arange(size) < np.array([[len(x)] for x in read])).astype(np.float32)


def _save(params: Any, path: Path) -> None:
    """Whole or not at all."""
    new = path.with_suffix(".new")
    save_file({k: np.ascontiguousarray(v) for k, v in flax.traverse_util.flatten_dict(params, sep="/").items()}, new)
    new.replace(path)
