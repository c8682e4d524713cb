"""Bring a Gemma from Hugging Face here, or a decoder from here to Hugging Face."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.language.base import import_base
from biomechjax.training.export import export_checkpoint

DType = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Import:
    """A Hugging Face folder of Gemma 2 or Gemma 3 becomes a base folder, for training."""

    source: Annotated[Path, tyro.conf.arg(name="from")]
    """Hugging Face folder: config.json, *.safetensors, tokenizer."""
    out: Path
    """Base folder to write."""
    dtype: DType = "bfloat16"
    """Of the parameters; the published weights are bfloat16."""


@dataclasses.dataclass(frozen=True)
class Export:
    """A base folder or a decoder of train.py becomes a Hugging Face folder, which transformers loads."""

    ckpt: Path
    """Checkpoint folder."""
    out: Path
    """Hugging Face folder to write."""
    dtype: DType = "float32"
    """Of the tensors."""
    what: Literal["full", "adapters"] = "full"
    """The whole decoder, adapters merged into it, or adapters alone in PEFT's format, for the base they were learned
    on."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    command: Annotated[
        Annotated[Import, tyro.conf.subcommand("import")] | Annotated[Export, tyro.conf.subcommand("export")],
        tyro.conf.arg(name=""),
    ]


def main() -> None:
    command = parse(Arguments, __doc__).command
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if isinstance(command, Import):
        if left_out := import_base(command.source, command.out, command.dtype):
            console.print(f"left out {len(left_out)} tensors that are not of the text model, listed in config.json")
    else:
        export_checkpoint(command.ckpt, command.out, command.dtype, command.what)
    console.print(f"{command.out} is written")


if __name__ == "__main__":
    run(main)
