"""Training the decoder on token records, and loading what was trained."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import ArrayLike

from biomechjax.data.examples import Renderer
from biomechjax.data.packing import packed_batches
from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.language.config import PRESETS, DecoderConfig, preset
from biomechjax.language.decoder import Decoder, init_params
from biomechjax.language.vocabulary import Vocabulary, train_text_tokenizer
from biomechjax.parallel.strategies import find_strategy
from biomechjax.tasks.registry import corpus
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training.checkpoint import check_run, read_config, restore_params, run_config, start_or_resume
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.loop import fit
from biomechjax.training.step import Batch, Learner


def train_decoder(experiment: DecoderExperiment, data: Path, out: Path, strategy: str = "dp") -> None:
    """Trains a decoder on the train split of token records; resumes; `out` is then all that evaluation needs."""
    if experiment.preset not in PRESETS:
        raise InputError(f"--preset {experiment.preset}: expected one of {', '.join(PRESETS)}")
    records = Records(data)
    manifest, movement = records.manifest, records.tokenizer.config
    read = experiment.codes_per_step or movement.tokens_per_step
    if not 1 <= read <= movement.tokens_per_step:
        raise InputError(f"--codes-per-step {read}: a step in {data} has {movement.tokens_per_step} codes")
    config = run_config("decoder", experiment, [data], [records.hash], [manifest["cohort"]], manifest["simulated"])
    find_strategy(strategy)  # before anything is written
    check_run(out, config)
    if (out / "vocabulary").is_dir():
        vocabulary = Vocabulary.load(out / "vocabulary")
    else:
        text = train_text_tokenizer(corpus(), experiment.text_vocabulary)
        vocabulary = Vocabulary(text, read * movement.codebook_size, read)
    train = experiment.train
    whole = records.read("train")
    shown = [[first_codes(view, movement.tokens_per_step, read).tolist() for view in r.views] for r in whole]
    batches = packed_batches(
        [dataclasses.replace(r, views=views) for r, views in zip(whole, shown, strict=True)],
        Renderer(vocabulary),
        experiment.mixture,
        experiment.row_length,
        train.batch_size,
        train.seed,
    )
    shape = preset(experiment.preset, vocabulary.size)
    params = init_params(shape, jax.random.key(train.seed))
    params["embedding"] = embed_codes(params["embedding"], vocabulary, records.tokenizer, train.seed)
    start_or_resume(out, config)
    if not (out / "vocabulary").is_dir():
        vocabulary.save(out / "vocabulary")
    if not (out / "motion_tokenizer").is_dir():
        records.tokenizer.save(out / "motion_tokenizer")
    fit(decoder_learner(shape), params, {}, batches, train, out, strategy)


def decoder_learner(config: DecoderConfig) -> Learner:
    """The learner of the decoder: cross-entropy on answer tokens; no extra state."""
    return Learner(
        weights={"answer": 1.0},
        counts=lambda batch: {"answer": jnp.sum(batch["loss_weights"])},
        sums=lambda params, _, batch, keys: ({"answer": answer_loss(config, params, batch)}, None),
        update=lambda extra, _, key, reduction: (extra, {}),
    )


def answer_loss(config: DecoderConfig, params: Any, batch: Batch) -> Array:
    """Sum of -log p over the answer tokens of a packed batch; logits [B,P,V] at their positions only."""
    model = Decoder(config)
    hidden, _ = model.apply({"params": params}, batch["tokens"], batch["positions"], batch["segment_ids"])
    chosen = jnp.take_along_axis(hidden, batch["loss_positions"][..., None], axis=1)
    logits = model.apply({"params": params}, chosen, method="logits")
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
    return jnp.sum(losses * batch["loss_weights"])


def first_codes(codes: ArrayLike, of_step: int, read: int) -> np.ndarray:
    """The first `read` of the `of_step` codes of each step, [n * of_step] -> [n * read]."""
    return np.reshape(codes, (-1, of_step))[:, :read].reshape(-1)


def embed_codes(embedding: Array, vocabulary: Vocabulary, tokenizer: MotionTokenizer, seed: int) -> Array:
    """Motion rows of the embedding [V,D] from what the codes mean, through a seeded random projection.

    A code is described by its vector and by the posture and the speed of the frames that it decodes to, so that codes
    of like movements start as neighbours, and a linear map of their mean gives a walking speed or how fast the joints
    turn, which is what a cadence shows in; a travel code by its displacement. The rows keep the scale of the others.
    """
    vectors = tokenizer.table.reshape(-1, tokenizer.table.shape[-1])
    meaning = np.concatenate([standardised(x) for x in (vectors, *tokenizer.code_meanings())], axis=1)
    if tokenizer.config.travel:
        moves = standardised(tokenizer.displacements) * (meaning.shape[1] / 3) ** 0.5
        meaning = np.block([[np.zeros((len(moves), meaning.shape[1])), moves], [meaning, np.zeros((len(meaning), 3))]])
    width = embedding.shape[1]
    projection = np.random.default_rng(seed).normal(0, meaning.shape[1] ** -0.5, (meaning.shape[1], width))
    rows = (meaning @ projection * width**-0.5).astype(np.float32)[: vocabulary.codebook_size]
    return embedding.at[vocabulary.motion_offset : vocabulary.motion_offset + len(rows)].set(rows)


def standardised(x: np.ndarray) -> np.ndarray:
    """[n,k] with mean 0 over n and unit variance over all."""
    centred = x - x.mean(axis=0)
    return centred / centred.std()


@dataclasses.dataclass(frozen=True)
class TrainedDecoder:
    """A checkpoint opened for asking: everything between a recording and an answer."""

    config: DecoderConfig
    params: Any
    vocabulary: Vocabulary
    tokenizer: MotionTokenizer
    experiment: dict[str, Any]
    run: dict[str, Any]

    @property
    def longest(self) -> int:
        """Steps of a movement that the model reads, at most."""
        return self.experiment["mixture"]["longest"]

    def reads(self, codes: ArrayLike) -> np.ndarray:
        """What the model reads of the codes of a movement, as in training."""
        read = self.vocabulary.levels
        return first_codes(codes, self.tokenizer.config.tokens_per_step, read)[: self.longest * read]

    @classmethod
    def load(cls, folder: Path | str) -> "TrainedDecoder":
        """Opens the --out of train.py at its newest step.

        Raises:
            InputError: the folder is no decoder checkpoint, or nothing has been saved there yet.
        """
        folder = Path(folder)
        run = read_config(folder, "decoder")
        try:
            vocabulary = Vocabulary.load(folder / "vocabulary")
        except ValueError as e:
            raise InputError(f"{folder}: {e}") from e
        tokenizer = MotionTokenizer.load(folder / "motion_tokenizer")
        config = preset(run["experiment"]["preset"], vocabulary.size)
        return cls(config, restore_params(folder), vocabulary, tokenizer, run["experiment"], run)
