"""Training the decoder on token records, from scratch or from a pretrained base."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.console import Console

from biomechjax.data.examples import Renderer
from biomechjax.data.mixture import TOKENS
from biomechjax.data.records import Record, Records
from biomechjax.data.stream import PackedRows, Rows, packed_batches
from biomechjax.data.words import in_words, words_corpus
from biomechjax.errors import InputError
from biomechjax.language.adapters import adapter_axes, freeze, frozen_axes, init_adapters
from biomechjax.language.base import base_hash, load_base
from biomechjax.language.config import PRESETS, DecoderConfig, preset
from biomechjax.language.context import take_along_rows
from biomechjax.language.decoder import Decoder, abstract_params, init_params
from biomechjax.language.likelihood import log_probs
from biomechjax.language.vocabulary import Vocabulary, train_text_tokenizer
from biomechjax.parallel.layout import Axes
from biomechjax.parallel.processes import first_process, write_once
from biomechjax.parallel.runner import batch_share
from biomechjax.tasks.registry import corpus
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training import integrity
from biomechjax.training.checkpoint import by_cohort, check_run, run_config, start_or_resume
from biomechjax.training.config import AdaptConfig, DecoderExperiment
from biomechjax.training.loop import fit, prepare
from biomechjax.training.pretrained import (
    decoder_params,
    movement_vocabulary,
    new_rows,
    rows_axes,
    save_frozen,
    start_rows,
    with_rows,
)
from biomechjax.training.step import Batch, Learner, TrainState
from biomechjax.training.trained import first_codes


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a training begins: the decoder's shape and vocabulary, what is learned and what is frozen, and how."""

    shape: DecoderConfig
    vocabulary: Vocabulary
    learner: Learner
    params: Any
    frozen: Any = None


def train_decoder(
    experiment: DecoderExperiment,
    data: Sequence[Path],
    out: Path,
    strategy: str = "dp",
    base: Path | None = None,
    mesh: Sequence[int] = (),
) -> None:
    """Trains a decoder on the train split of one or more token records, from scratch or from a pretrained base.

    Resumes; `out` is then all that evaluation needs.

    Raises:
        InputError: what is given does not fit together; nothing was written.
    """
    if experiment.preset not in PRESETS:
        raise InputError(f"--preset {experiment.preset}: expected one of {', '.join(PRESETS)}")
    sources = open_sources(data)
    tokenizer, manifests = sources[0].tokenizer, [s.manifest for s in sources]
    read = codes_read(experiment, sources[0])
    cohorts, simulated = [m["cohort"] for m in manifests], any(m["simulated"] for m in manifests)
    config = run_config("decoder", experiment, data, [s.hash for s in sources], cohorts, simulated)
    config |= {"base": str(base.resolve()), "base_hash": base_hash(base)} if base else {"base": None, "base_hash": None}
    lengths = experiment.row_length, of_rows(experiment).room
    share = batch_share(strategy, experiment.train.batch_size, mesh, lengths)  # refuses before anything is written
    check_run(out, config)
    saved = Vocabulary.load(out / "vocabulary") if (out / "vocabulary").is_dir() else None
    begin = from_scratch if base is None else partial(from_base, base)
    start = begin(experiment, tokenizer, read, saved)
    records = [training_records(source, experiment) for source in sources]
    batches = packed_batches(training_rows(experiment, records, start.vocabulary), *share)
    steps, longest = [len(r.views[0]) // read for of in records for r in of], experiment.mixture.longest
    longer = sum(n > longest for n in steps)
    if longer and experiment.mixture.movement == TOKENS and first_process():
        Console(stderr=True).print(f"of {longer} of {len(steps)} trials {longest} steps are read (--mixture.longest)")

    # Refuses before anything is written.
    prepare(start.learner, start.params, {}, experiment.train, strategy, start.frozen, mesh)

    trained = by_cohort(
        (cohort, r.participant.removeprefix(f"{cohort}/"))
        for cohort, of in zip(cohorts, records, strict=True)
        for r in of
    )

    def write() -> None:
        start_or_resume(out, config | {"decoder": dataclasses.asdict(start.shape), "train_participants": trained})
        if saved is None:
            start.vocabulary.save(out / "vocabulary")
        if not (out / "motion_tokenizer").is_dir():
            tokenizer.save(out / "motion_tokenizer")
        if start.frozen is not None and not (out / "base").is_dir():
            save_frozen(out / "base", start.shape, experiment.adapt, start.frozen)
        if not integrity.recorded(out, integrity.FILES):
            integrity.record(out, integrity.FILES, [out / name for name in ("vocabulary", "motion_tokenizer", "base")])

    write_once(write)
    fit(start.learner, start.params, {}, batches, experiment.train, out, strategy, frozen=start.frozen, mesh=mesh)


def open_sources(data: Sequence[Path]) -> list[Records]:
    """The token records of a training.

    Raises:
        InputError: they were not written by one tokenizer, or somebody trained on in one is held out in another.
    """
    sources = [Records(path) for path in data]
    seen: dict[tuple[str, str], tuple[bool, Path]] = {}
    for source in sources:
        if not sources[0].tokenizer.same_codes(source.tokenizer):
            raise InputError(f"{source.path}: written by another tokenizer than {sources[0].path}; tokenize again")
        for person, split in source.participants.items():
            cohort, trained = source.manifest["cohort"], split == "train"
            before, where = seen.setdefault((cohort, person), (trained, source.path))
            if before != trained:
                raise InputError(
                    f"{source.path}: {person} of {cohort} is in {split}, but not so in {where}; nobody may be in "
                    "training and held out"
                )
    return sources


def codes_read(experiment: DecoderExperiment, records: Records) -> int:
    """How many codes of each step the decoder reads.

    Raises:
        InputError: a step has fewer.
    """
    there = records.tokenizer.config.tokens_per_step
    read = experiment.codes_per_step or there
    if not 1 <= read <= there:
        raise InputError(f"--codes-per-step {read}: a step in {records.path} has {there} codes")
    return read


def training_records(records: Records, experiment: DecoderExperiment) -> list[Record]:
    """Those of the train split as the decoder reads them: of the share of `people`, with their first `views` and of
    these the first codes of each step, or in words. Participants are told apart by cohort.

    Raises:
        InputError: as `codes_read` and, if it reads text, as `in_words`.
    """
    read, of_step = codes_read(experiment, records), records.tokenizer.config.tokens_per_step
    cohort, found, views = records.manifest["cohort"], records.read("train"), experiment.views or None
    among = share_of_people({r.participant for r in found}, cohort, experiment.people, experiment.train.seed)
    return [
        dataclasses.replace(
            r,
            participant=f"{cohort}/{r.participant}",
            views=[first_codes(v, of_step, read) for v in r.views[:views]],
            paces=r.paces[:views],
            words=in_words(records.tokenizer, r.summary) if experiment.reads_text else "",
        )
        for r in found
        if r.participant in among
    ]


def of_rows(experiment: DecoderExperiment) -> Rows:
    """The shape of its batches."""
    return Rows(experiment.row_length, experiment.train.batch_size, experiment.row_answers)


def share_of_people(participants: Collection[str], cohort: str, share: float, seed: int) -> set[str]:
    """Some of the participants of a cohort, at least one; of one seed a smaller share is part of a larger one."""

    def order(person: str) -> bytes:  # the same whoever else there is
        return hashlib.sha256(f"{seed}/{cohort}/{person}".encode()).digest()

    return set(sorted(participants, key=order)[: math.ceil(share * len(participants))])


def training_rows(
    experiment: DecoderExperiment, sources: Sequence[Sequence[Record]], vocabulary: Vocabulary
) -> list[tuple[int, PackedRows]]:
    """The rows of each stage of a training, and its steps; see `packed_batches`."""
    stages = [(s.steps, s.mixture) for s in experiment.stages] + [(experiment.train.steps, experiment.mixture)]
    renderer, seed = Renderer(vocabulary), experiment.train.seed
    return [(steps, PackedRows(sources, renderer, mixture, of_rows(experiment), seed)) for steps, mixture in stages]


def text_vocabulary(experiment: DecoderExperiment, tokenizer: MotionTokenizer, read: int) -> Vocabulary:
    """The vocabulary of a decoder from scratch, learned from the question corpus and, if it reads text, its words."""
    words = words_corpus(tokenizer) if experiment.reads_text else []
    text = train_text_tokenizer(corpus() + words, experiment.text_vocabulary)
    return Vocabulary(text, read * tokenizer.config.codebook_size, read)


def from_scratch(
    experiment: DecoderExperiment, tokenizer: MotionTokenizer, read: int, vocabulary: Vocabulary | None
) -> Start:
    """A new decoder of a preset's shape; the vocabulary is learned from the question corpus where none is given.

    `read` codes of each step of a movement are read.
    """
    vocabulary = vocabulary or text_vocabulary(experiment, tokenizer, read)
    shape = computed(preset(experiment.preset, vocabulary.size), experiment)
    params = init_params(shape, jax.random.key(experiment.train.seed))
    params["embedding"] = embed_codes(params["embedding"], vocabulary, tokenizer, experiment.train.seed)
    return Start(shape, vocabulary, decoder_learner(shape), params)


def from_base(
    base: Path, experiment: DecoderExperiment, tokenizer: MotionTokenizer, read: int, vocabulary: Vocabulary | None
) -> Start:
    """A pretrained decoder, from a Hugging Face folder or one of convert_gemma.py, that is to learn movement."""
    how, seed = experiment.adapt, experiment.train.seed
    whole = how.method == "full"
    config, params, text = load_base(base, "float32" if whole or how.weights == "float32" else "bfloat16")
    if vocabulary is None:
        codes = read * tokenizer.config.codebook_size
        vocabulary = movement_vocabulary(text, codes, read, config.vocab_size, how.motion_rows)
    shape = dataclasses.replace(computed(config, experiment), vocab_size=vocabulary.size)
    params, text_rows = with_rows(params, vocabulary.size), min(len(text), config.vocab_size)
    meaning = np.pad(
        code_meanings(vocabulary.codebook_size, tokenizer), ((2, 0), (0, 0))
    )  # what opens and closes means nothing
    learned, frozen = start_rows(how.row_start, params["embedding"][:text_rows], meaning, seed)
    offset = vocabulary.motion_start
    if whole:
        params["embedding"][offset : offset + len(meaning)] = new_rows(learned, frozen)
        return Start(shape, vocabulary, decoder_learner(shape), params)
    learned["layers"] = init_adapters(config, how.lora, jax.random.key(seed))
    frozen["base"] = freeze(params, how.weights)
    return Start(shape, vocabulary, adapter_learner(shape, how, offset), learned, frozen)


def computed(shape: DecoderConfig, experiment: DecoderExperiment) -> DecoderConfig:
    """A decoder's shape, computed as the experiment says.

    Raises:
        InputError: these do not fit together.
    """
    how = {name: getattr(experiment, name) for name in ("compute_dtype", "remat", "attention")}
    try:
        return dataclasses.replace(shape, **how, unroll=experiment.unroll or shape.unroll)
    except ValueError as e:
        raise InputError(str(e)) from e


def decoder_learner(config: DecoderConfig) -> Learner:
    """The learner of all of a decoder: cross-entropy on answer tokens; no extra state."""
    axes = Axes(abstract_params(config)[1], None, _heads(config))
    return _answer_learner(lambda params, state, batch, keys: answer_loss(config, params, batch), axes)


def adapter_learner(config: DecoderConfig, how: AdaptConfig, offset: int) -> Learner:
    """The learner of adapters and new rows, whose base is frozen in the state."""

    def loss(learned: Any, state: TrainState, batch: Batch, keys: Array) -> Array:
        params = decoder_params(learned, state.frozen, how, offset)
        return answer_loss(config, params, batch, keys if how.lora.dropout else None)

    learned, frozen = rows_axes(how.row_start)
    learned["layers"] = adapter_axes(config, how.lora)
    frozen["base"] = frozen_axes(config, how.weights)
    return _answer_learner(loss, Axes(learned, frozen, _heads(config)))


def _heads(config: DecoderConfig) -> dict[str, int]:
    """Sizes of the axes that a frozen or adapted weight has merged with the width of a head."""
    return {"heads": config.num_heads, "kv_heads": config.num_kv_heads}


def _answer_learner(loss: Callable[[Any, TrainState, Batch, Array], Array], axes: Axes) -> Learner:
    return Learner(
        weights={"answer": 1.0},
        counts=lambda batch: {"answer": jnp.sum(batch["loss_weights"])},
        sums=lambda *args: ({"answer": loss(*args)}, None),
        update=lambda extra, _, key, reduction: (extra, {}),
        axes=axes,
    )


def answer_loss(config: DecoderConfig, params: Any, batch: Batch, dropout_keys: Array | None = None) -> Array:
    """Sum of -log p over the answer tokens of a packed batch; logits at their positions only."""
    model = Decoder(config)
    inputs = batch["tokens"], batch["positions"], batch["segment_ids"]
    hidden, _ = model.apply({"params": params}, *inputs, dropout_keys=dropout_keys)
    chosen = take_along_rows(hidden, batch["loss_positions"])
    flat = chosen.reshape(-1, config.width)
    found = log_probs(flat, params["embedding"], batch["targets"].reshape(-1), config.logit_soft_cap)
    return -jnp.sum(found * batch["loss_weights"].reshape(-1))


def embed_codes(embedding: Array, vocabulary: Vocabulary, tokenizer: MotionTokenizer, seed: int) -> Array:
    """Motion rows of the embedding [V,D] from what the codes mean, through a seeded random projection.

    Codes of like movements start as neighbours, and a linear map of their mean gives a walking speed or how fast the
    joints turn, which is what a cadence shows in. The rows keep the scale of the others.
    """
    meaning, width = code_meanings(vocabulary.codebook_size, tokenizer), embedding.shape[1]
    projection = np.random.default_rng(seed).normal(0, meaning.shape[1] ** -0.5, (meaning.shape[1], width))
    rows = (meaning @ projection * width**-0.5).astype(np.float32)
    return embedding.at[vocabulary.motion_offset : vocabulary.motion_offset + len(rows)].set(rows)


def code_meanings(count: int, tokenizer: MotionTokenizer) -> np.ndarray:
    """What each of the first `count` codes means, [count, k] of unit variance.

    A code is described by its vector and by the posture and the speed of the frames that it decodes to, a travel code
    by its displacement.
    """
    vectors = tokenizer.table.reshape(-1, tokenizer.table.shape[-1])
    meaning = np.concatenate([standardised(x) for x in (vectors, *tokenizer.code_meanings())], axis=1)
    if tokenizer.config.travel:
        moves = standardised(tokenizer.displacements) * (meaning.shape[1] / 3) ** 0.5
        meaning = np.block([[np.zeros((len(moves), meaning.shape[1])), moves], [meaning, np.zeros((len(meaning), 3))]])
    return meaning[:count]


def standardised(x: np.ndarray) -> np.ndarray:
    """[n,k] with mean 0 over n and unit variance over all."""
    centred = x - x.mean(axis=0)
    return centred / centred.std()
