"""Evaluate a decoder checkpoint on held-out participants: a table on screen, metrics and every answer in files."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.evaluate import evaluate, print_tables, write_results
from biomechjax.training.decoder import TrainedDecoder


@dataclasses.dataclass(frozen=True)
class Arguments:
    ckpt: Path
    """Decoder checkpoint, from train.py."""
    data: Path | None = None
    """Token records; by default those that the decoder was trained on, of which only `split` is asked about."""
    out: Path | None = None
    """Folder for metrics.json and predictions.jsonl; by default `eval` in the checkpoint."""
    split: Literal["validation", "test"] = "test"


def main() -> None:
    args = parse(Arguments, __doc__)
    model = TrainedDecoder.load(args.ckpt)
    records = Records(args.data or model.run["data"])
    if not args.data and records.hash != model.run["data_hash"]:
        raise InputError(f"{records.path}: changed since the decoder was trained; name the records with --data")
    metrics, answered = evaluate(model, records, args.split)
    console = Console()
    print_tables(metrics, console if console.is_terminal else Console(width=200))
    out = args.out or args.ckpt / "eval"
    write_results(metrics, answered, model.run, out)
    console.print(f"wrote {out / 'metrics.json'} and {out / 'predictions.jsonl'}")


if __name__ == "__main__":
    run(main)
