"""Turn a cohort folder into token records with a trained tokenizer.

When it was stopped, the same command goes on where it was. Processes of one jax.distributed share the work.
"""

import dataclasses
import os
from pathlib import Path

import jax
from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.cohort.folder import Cohort
from biomechjax.command import parse, run
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.parallel.processes import Processes, first_process, join_processes
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training import integrity
from biomechjax.training.checkpoint import check_unmet, read_config


@dataclasses.dataclass(frozen=True)
class Arguments:
    ckpt: Path
    """Tokenizer checkpoint, from train_tokenizer.py."""
    data: Path
    """Cohort folder, from prepare_data.py."""
    out: Path
    """Folder of token records to write."""
    views: ViewConfig = ViewConfig()
    seed: int = 0
    """Of the views."""
    workers: int = os.cpu_count() or 1
    """Processes that read movements; the records do not depend on it."""
    processes: Processes = Processes()


def main() -> None:
    args = parse(Arguments, __doc__)
    join_processes(args.processes)
    tokenizer_run, cohort = read_config(args.ckpt, "tokenizer"), Cohort.load(args.data)
    integrity.check(args.ckpt, integrity.FILES)
    check_unmet(tokenizer_run, cohort.path, cohort.name, cohort.held_out)
    tokenizer = MotionTokenizer.load(args.ckpt / "motion_tokenizer")
    manifest = write_records(
        tokenizer,
        cohort,
        args.out,
        args.views,
        args.seed,
        args.workers,
        jax.process_index(),
        jax.process_count(),
    )
    counts = {split: entry["records"] for split, entry in manifest["splits"].items()}
    Console(quiet=not first_process()).print(counts, f"records in {args.out}")


if __name__ == "__main__":
    run(main)
