"""A trained decoder, opened from its checkpoint for asking."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from biomechjax.data.examples import Segment
from biomechjax.data.mixture import TEXT
from biomechjax.data.tokenizing import summary
from biomechjax.data.words import in_words
from biomechjax.errors import InputError
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import abstract_params
from biomechjax.language.lora import LoraConfig
from biomechjax.language.vocabulary import Vocabulary
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training import integrity
from biomechjax.training.checkpoint import read_config, restore_params
from biomechjax.training.config import AdaptConfig
from biomechjax.training.pretrained import abstract_learned, decoder_params, load_frozen


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

    @property
    def reads_text(self) -> bool:
        """Whether it reads a movement in words, and no motion tokens."""
        return self.experiment["mixture"].get("movement") == TEXT

    def movement(self, codes: np.ndarray, summary: Sequence[float]) -> Segment:
        """A movement as `reads` takes it, of its codes and its `Record.summary`: one of these, or the latter in words.

        Raises:
            InputError: as `in_words`.
        """
        return in_words(self.tokenizer, summary) if self.reads_text else codes

    def movements(self, recordings: Sequence[Recording]) -> list[Segment]:
        """Recordings of formats that the model knows, as `reads` takes them.

        Raises:
            InputError: as `in_words`.
        """
        if self.reads_text:
            return [in_words(self.tokenizer, summary(self.tokenizer, r)) for r in recordings]
        return list(self.tokenizer.encode(recordings))

    def reads(self, movement: Segment) -> Segment:
        """What the model reads of a movement, as in training: its words, or the codes that it knows."""
        return movement if isinstance(movement, str) else self.known_codes(movement)

    def known_codes(self, codes: ArrayLike) -> np.ndarray:
        """The codes that the model knows, of as many steps as it reads."""
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
        integrity.check(folder, integrity.FILES)
        try:
            vocabulary = Vocabulary.load(folder / "vocabulary")
        except ValueError as e:
            raise InputError(f"{folder}: {e}") from e
        tokenizer = MotionTokenizer.load(folder / "motion_tokenizer")
        try:
            config, experiment = DecoderConfig(**run["decoder"]), run["experiment"]
            shapes, _ = abstract_params(config)
            longest = experiment["mixture"]["longest"]
            if type(longest) is not int or longest < 1 or not isinstance(run["cohort"], str):
                raise ValueError(f"mixture.longest {longest!r}, cohort {run['cohort']!r}")
            adapted = adapt_config(experiment) if (folder / "base").is_dir() else None
            run["simulated"]
        # Settings that no training wrote lead wherever they lead.
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
            raise InputError(f"{folder / 'config.json'}: not of a decoder: {e!r:.300}; train again") from e
        codes = vocabulary.levels * tokenizer.config.codebook_size
        if vocabulary.size != config.vocab_size or vocabulary.codebook_size != codes:
            raise InputError(
                f"{folder}: its vocabulary has {vocabulary.size} ids, {vocabulary.codebook_size} of them codes; its "
                f"decoder has {config.vocab_size}, its motion tokenizer {codes}"
            )
        if adapted is None:
            params = restore_params(folder, shapes)
        else:
            frozen = load_frozen(folder / "base", config)
            learned = abstract_learned(config, adapted, codes, frozen)
            params = decoder_params(restore_params(folder, learned), frozen, adapted, vocabulary.motion_start)
        return cls(config, params, vocabulary, tokenizer, experiment, run)


def adapt_config(experiment: dict[str, Any]) -> AdaptConfig:
    """How a base was adapted, out of the experiment in a checkpoint's config.json."""
    fields = experiment["adapt"]
    lora = {**fields["lora"], "targets": tuple(fields["lora"]["targets"])}
    return AdaptConfig(**{**fields, "lora": LoraConfig(**lora)})


def first_codes(codes: ArrayLike, of_step: int, read: int) -> np.ndarray:
    """The first `read` of the `of_step` codes of each step, [n * of_step] -> [n * read]."""
    return np.reshape(codes, (-1, of_step))[:, :read].reshape(-1)
