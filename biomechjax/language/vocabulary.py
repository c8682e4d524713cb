"""The decoder's vocabulary: the text ids of a Hugging Face tokenizer, then the codes of a movement."""

import json
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np
import transformers
from numpy.typing import ArrayLike
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from biomechjax.errors import InputError
from biomechjax.motion.files import read_object

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
PROBE = "Does it work? 12 \u00e4\u4e2d"
VOCABULARY_FILE = "vocabulary.json"
FIELDS = ("text_size", "codebook_size", "levels", "motion_start", "size")
# Rows of the embedding come in multiples of this, the width of a TPU lane, so that they shard evenly.
SIZE_MULTIPLE = 128


class Vocabulary:
    """Ids of words and of movement codes in one range.

    `motion_start`, `motion_end` and `codebook_size` codes from `motion_offset` on follow the text ids or stand on such
    as the text tokenizer calls unused. Ids up to `size` that are neither mean nothing; where rows are appended they
    fill the embedding to a multiple of 128.

    Attributes:
        tokenizer: the text tokenizer.
        codebook_size: the number of movement codes, over all levels.
        levels: L, the codes of one step of movement; code i is of level i // (codebook_size / L).
        motion_start: id that opens a movement.
        motion_end: id that closes it.
        motion_offset: id of code 0.
        text_size: ids of the text tokenizer.
        size: V, rows that the decoder's embedding needs.

    Args:
        motion_start: by default after the text ids.
        rows: of the embedding of a pretrained base.

    Raises:
        ValueError: the tokenizer lacks a pad, bos or eos token, the codebook is empty, or levels do not divide it.
    """

    def __init__(
        self,
        tokenizer: "transformers.PreTrainedTokenizerBase",
        codebook_size: int,
        levels: int = 1,
        motion_start: int | None = None,
        rows: int = 0,
    ) -> None:
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(tokenizer, name) is None:
                raise ValueError(f"the text tokenizer has no {name}; set one before building a Vocabulary")
        if codebook_size < 1:
            raise ValueError(f"codebook_size is {codebook_size}; a movement needs at least one code")
        if levels < 1 or codebook_size % levels:
            raise ValueError(f"{codebook_size} codes over {levels} levels; expected as many for each")
        self.tokenizer = tokenizer
        self.codebook_size = codebook_size
        self.levels = levels
        self.text_size = len(tokenizer)
        self.motion_start = self.text_size if motion_start is None else motion_start
        self.motion_end = self.motion_start + 1
        self.motion_offset = self.motion_start + 2
        used = max(rows or self.text_size, self.motion_offset + codebook_size)
        self.size = rows if used == rows else -(-used // SIZE_MULTIPLE) * SIZE_MULTIPLE

    @property
    def pad_id(self) -> int:
        """Id that fills the end of a row."""
        return self.tokenizer.pad_token_id

    @property
    def bos_id(self) -> int:
        """Id that begins an example."""
        return self.tokenizer.bos_token_id

    @property
    def eos_id(self) -> int:
        """Id that ends an answer."""
        return self.tokenizer.eos_token_id

    def encode_text(self, text: str) -> list[int]:
        """Ids of the text alone: no special token is added, and one that the text spells out stays plain text."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def encode_motion(self, codes: ArrayLike) -> list[int]:
        """Ids of one movement, opened and closed: [motion_start, motion_offset + code, ..., motion_end].

        Raises:
            ValueError: a code lies outside the codebook.
        """
        found = np.asarray(codes, np.int64)
        outside = np.flatnonzero((found < 0) | (found >= self.codebook_size))
        if outside.size:
            raise ValueError(
                f"movement code {outside[0]} is {found[outside[0]]}; the codebook has codes 0 to "
                f"{self.codebook_size - 1}, so this vocabulary belongs to another movement tokenizer"
            )
        return [self.motion_start, *(found + self.motion_offset).tolist(), self.motion_end]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; a movement, whole or cut off, appears as `<motion 57 tokens>`, counting its codes.

        Raises:
            ValueError: an id lies outside 0 to size - 1.
        """
        parts: list[str] = []
        for kind, run in groupby(map(int, ids), key=self._kind):
            if kind == "text":
                parts.append(str(self.tokenizer.decode(list(run), clean_up_tokenization_spaces=False)))
            elif kind == "motion":
                parts += (f"<motion {count} tokens>" for count in self._count_codes(run))
            else:
                parts += (f"<unused {token}>" for token in run)
        return "".join(parts)

    def _kind(self, token: int) -> str:
        if not 0 <= token < self.size:
            raise ValueError(f"id {token} is outside the vocabulary, which has ids 0 to {self.size - 1}")
        if self.motion_start <= token < self.motion_offset + self.codebook_size:
            return "motion"
        return "text" if token < self.text_size else "unused"

    def _count_codes(self, run: Iterable[int]) -> list[int]:
        """Codes in each movement of a run of motion ids; a model may write them unopened or unclosed."""
        counts: list[int] = []
        is_open = False
        for token in run:
            if token == self.motion_start or not is_open:
                counts.append(0)
            is_open = token != self.motion_end
            counts[-1] += token >= self.motion_offset
        return counts

    def save(self, folder: str | Path) -> None:
        """Writes the tokenizer's files and vocabulary.json into the folder, which is made if need be."""
        folder = Path(folder)
        self.tokenizer.save_pretrained(folder)
        fields = {name: getattr(self, name) for name in FIELDS}
        (folder / VOCABULARY_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """Reads a folder written by `save`; from local files only, running no code of theirs.

        Raises:
            ValueError: the folder is no vocabulary, or its tokenizer changed since it was saved.
        """
        path = Path(folder) / VOCABULARY_FILE
        if not path.is_file():
            raise ValueError(f"{folder} has no {VOCABULARY_FILE}; give a folder that Vocabulary.save wrote")
        try:
            fields = read_object(path)
            text_size, codebook_size, levels, motion_start, size = numbers = [fields[name] for name in FIELDS]
            if not all(type(number) is int and 0 < number < 2**31 for number in numbers):
                raise ValueError(numbers)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error!r}); it needs {', '.join(FIELDS)}") from error
        tokenizer = load_text_tokenizer(folder)
        if len(tokenizer) != text_size:
            raise ValueError(
                f"the tokenizer in {folder} has {len(tokenizer)} ids, but {VOCABULARY_FILE} was saved with "
                f"{text_size}; movement ids would shift, so restore the tokenizer files it was saved with"
            )
        if motion_start != text_size and motion_start not in _unused_runs(tokenizer, codebook_size + 2):
            raise ValueError(f"{path}: motion_start {motion_start} is neither {text_size} nor the first of unused ids")
        vocabulary = cls(tokenizer, codebook_size, levels, motion_start, size)
        if vocabulary.size != size:
            raise ValueError(f"{path}: size {size} has no room for {codebook_size} codes after {motion_start}")
        return vocabulary


def unused_ids(tokenizer: "transformers.PreTrainedTokenizerBase", count: int) -> int:
    """The first of `count` neighbouring ids that the tokenizer calls <unused...>.

    Raises:
        ValueError: it has no such run.
    """
    if runs := _unused_runs(tokenizer, count):
        return runs[0]
    raise ValueError(f"the text tokenizer has no {count} neighbouring unused ids, as a movement needs; append rows")


def _unused_runs(tokenizer: "transformers.PreTrainedTokenizerBase", count: int) -> list[int]:
    """The first of each `count` neighbouring ids that the tokenizer calls <unused...>."""
    unused = sorted(i for token, i in tokenizer.get_vocab().items() if re.fullmatch(r"<unused\d+>", token))
    firsts = range(len(unused) - count + 1)
    return [unused[i] for i in firsts if unused[i + count - 1] == unused[i] + count - 1]


def load_text_tokenizer(folder: str | Path) -> "transformers.PreTrainedTokenizerBase":
    """Reads a Hugging Face tokenizer; from local files only, running no code of theirs.

    Raises:
        InputError: the folder holds none.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer.decode(tokenizer.encode(PROBE))  # some damage shows only now
        return tokenizer
    # transformers and tokenizers raise whatever a damaged file leads them into.
    except Exception as error:
        raise InputError(f"{folder} holds no tokenizer that transformers can read: {error}") from error


def train_text_tokenizer(corpus: Iterable[str], vocab_size: int) -> "transformers.PreTrainedTokenizerFast":
    """Trains a byte-level BPE tokenizer: any text survives the round trip, every digit is its own token.

    Args:
        corpus: texts to learn merges from; the same texts in the same order give the same tokenizer.
        vocab_size: the most ids it may have; fewer if the corpus offers no more merges.

    Raises:
        ValueError: vocab_size has no room for the 256 bytes and the three special tokens.
    """
    special = [PAD, BOS, EOS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < (least := len(alphabet) + len(special)):
        raise ValueError(f"vocab_size is {vocab_size}; the bytes and special tokens alone need {least}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
    )
