"""Time our work on this CPU, beside the same work in PyTorch where that is installed.

Both take turns in the same run, on the same weights, data and threads and with the same memory allocator, so that the
ratios hold however busy the machine is. Rates count the products as the architecture states them, beside what a float32
matrix product reaches here.
"""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Annotated

import jax
import tyro
from benchmark_data import data_works
from benchmark_decoder import decoder_work, generation_work, lora_work
from benchmark_timing import Work, compare
from benchmark_tokenizer import works

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, load_format
from biomechjax.tokenizer.config import TokenizerConfig


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """The motion tokenizer: training steps, and encoding windows to codes."""

    model: TokenizerConfig = TokenizerConfig()
    batch: int = 64
    """Windows in a batch, of canonical channels."""
    window: int = 64
    """Frames of a window."""

    def works(self) -> list[Work]:
        if self.window < 2 or self.window % self.model.frames_per_step:
            raise InputError(f"--window {self.window}: expected whole steps of {self.model.frames_per_step} frames")
        return works(self.model, load_format(CANONICAL), self.batch, self.window)


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Training steps of a Gemma 2 of 6 layers of width 256 with a vocabulary of 4,096."""

    batch: int = 16
    """Rows of a batch."""
    length: int = 256
    """Tokens of a row."""

    def works(self) -> list[Work]:
        return [decoder_work(self.batch, self.length)]


@dataclasses.dataclass(frozen=True)
class Generation:
    """64 tokens behind each prompt, the most likely ones, by the same decoder."""

    batch: int = 16
    """Prompts."""
    length: int = 128
    """Tokens of a prompt."""

    def works(self) -> list[Work]:
        return [generation_work(self.batch, self.length)]


@dataclasses.dataclass(frozen=True)
class Lora:
    """Steps of adapters of rank 16 on a pretrained Gemma, with the loss on the last 8 tokens of each row."""

    base: Path
    """Hugging Face folder."""
    batch: int = 4
    """Rows of a batch."""
    length: int = 192
    """Tokens of a row."""

    def works(self) -> list[Work]:
        return [lora_work(str(self.base), self.batch, self.length)]


@dataclasses.dataclass(frozen=True)
class Batches:
    """Packed batches of token records, and training steps on them beside such with one example in each row."""

    data: Path
    """Token records, from tokenize_data.py."""
    config: Path = Path("configs/quickstart.py")
    """Of the decoder that takes the steps."""
    batch: int = 13
    """Rows of a batch."""
    length: int = 512
    """Tokens of a row."""

    def works(self) -> list[Work]:
        return data_works(self.data, self.config, self.batch, self.length)


@dataclasses.dataclass(frozen=True)
class Arguments:
    work: Annotated[
        Annotated[Tokenizer, tyro.conf.subcommand("tokenizer")]
        | Annotated[Decoder, tyro.conf.subcommand("decoder")]
        | Annotated[Generation, tyro.conf.subcommand("generation")]
        | Annotated[Lora, tyro.conf.subcommand("lora")]
        | Annotated[Batches, tyro.conf.subcommand("batches")],
        tyro.conf.arg(name=""),
    ]
    rounds: int = 20
    """Each piece of work is done once in every round, and the median counts."""
    out: Path | None = None
    """JSON file for the figures, and for what the machine is."""


def main() -> None:
    args = parse(Arguments, __doc__)
    if min(args.work.batch, args.rounds) < 1:
        raise InputError(f"--batch {args.work.batch} --rounds {args.rounds}: expected at least 1")
    jax.config.update("jax_platforms", "cpu")
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed (pip install torch peft): only ours is timed.")
    compare(args.work.works(), args.rounds, args.out, dataclasses.asdict(args))


if __name__ == "__main__":
    run(main)
