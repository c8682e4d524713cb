"""Evaluate a decoder or tokenizers on held-out participants: tables on screen; metrics and details in files.

Of a decoder, every answer; of a tokenizer, what movements lose on their way to tokens and back. Several tokenizers or
cohorts make one table with a line for each pair. When the evaluation of a decoder was stopped, the same command goes on
where it was: what has been found is in the folder `kept` of --out.
"""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.evaluate import evaluate, write_results
from biomechjax.evaluation.kept import Kept
from biomechjax.evaluation.report.page import write_report
from biomechjax.evaluation.tables import print_tables
from biomechjax.evaluation.tokenizer import (
    TrainedTokenizer,
    draw_example,
    evaluate_tokenizer,
    is_bare_tokenizer,
    print_tokenizer_tables,
    write_tokenizer_results,
)
from biomechjax.training.checkpoint import read_config
from biomechjax.training.trained import TrainedDecoder


@dataclasses.dataclass(frozen=True)
class Arguments:
    ckpt: tuple[Path, ...]
    """Decoder checkpoint, from train.py, or tokenizer checkpoints, from train_tokenizer.py."""
    data: tuple[Path, ...] = ()
    """Token records of a decoder, cohort folders of tokenizers; by default those of the training, of which only `split`
    is evaluated."""
    out: Path | None = None
    """Folder for metrics.json; of a decoder also predictions.jsonl, report.html, tables.csv and tables.tex, of a
    tokenizer table.csv and reconstruction.png; by default `eval` in the checkpoint."""
    split: Literal["validation", "test"] = "test"
    answers: str = "free"
    """Of a decoder, one or several with commas between. free: anything, which may not parse and is then counted as
    wrong. constrained: token by token among those that the task allows. scored: the most likely of those that it
    allows."""
    probabilities: bool = False
    """Of a decoder: ask also how likely each option of a label is, into predictions.jsonl, and in metrics.json how well
    that is calibrated."""
    baselines: str = ""
    """Of a decoder: names of baselines with commas between, such as "linear,extra trees"; by default all that can run.
    majority/mean is always among them."""
    cohort: Path | None = None
    """Cohort folder that the records were made from, for the baselines that see continuous recordings; without it they
    are left out, and the tables say so."""


def main() -> None:
    args = parse(Arguments, __doc__)
    kinds = {"tokenizer" if is_bare_tokenizer(folder) else read_config(folder)["kind"] for folder in args.ckpt}
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    if len(args.ckpt) * len(args.data or "1") > 1 and (kinds != {"tokenizer"} or not args.out):
        raise InputError("several --ckpt or --data: they must be tokenizers and their cohorts, and --out given")
    out = args.out or args.ckpt[0] / "eval"
    (evaluate_tokenizers if kinds == {"tokenizer"} else evaluate_decoder)(args, out, console)


def evaluate_decoder(args: Arguments, out: Path, console: Console) -> None:
    (ckpt,), data = args.ckpt, args.data[0] if args.data else None
    model = TrainedDecoder.load(ckpt)
    if not data and ", " in model.run["data_hash"]:
        raise InputError(f"{ckpt}: trained on several folders of records ({model.run['data']}); name one with --data")
    records = Records(data or model.run["data"])
    if not data and records.hash != model.run["data_hash"]:
        raise InputError(f"{records.path}: changed since the decoder was trained; name the records with --data")
    ways, baselines = (
        tuple(x.strip() for x in text.split(",") if x.strip()) for text in (args.answers, args.baselines)
    )
    metrics, answered = evaluate(
        model, records, args.split, ways, args.probabilities, baselines, args.cohort, Kept(out / "kept")
    )
    print_tables(metrics, console)
    write_results(metrics, answered, model.run, out)
    write_report(metrics, answered, records.read(args.split), model, shlex.join(sys.orig_argv), out / "report.html")
    console.print(f"wrote metrics.json, predictions.jsonl, report.html, tables.csv and tables.tex in {out}")


def evaluate_tokenizers(args: Arguments, out: Path, console: Console) -> None:
    results = []
    for trained in map(TrainedTokenizer.load, args.ckpt):
        for cohort in map(trained.cohort, args.data or (None,)):
            results.append(evaluate_tokenizer(trained, cohort, args.split))
    print_tokenizer_tables(results, console)
    write_tokenizer_results(results, out)
    written = ["metrics.json", "table.csv"]
    if len(results) == 1:
        draw_example(trained, cohort, args.split, out / "reconstruction.png")
        written.append("reconstruction.png")
    console.print(f"wrote {', '.join(str(out / name) for name in written)}")


if __name__ == "__main__":
    run(main)
