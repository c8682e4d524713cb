"""Train decoders that differ from one by a config or by their records, and hold them against it on held-out people.

Run the same command again to go on after a stop; what is trained and asked already is not done again.
"""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.evaluation.ablation_tables import print_ablations, write_ablations
from biomechjax.evaluation.ablations import ablate, make_arms


@dataclasses.dataclass(frozen=True)
class Arguments:
    configs: tuple[Path, ...]
    """What is held against the base: files of configs/ablations/, or your own."""
    data: Path
    """Token records that all are trained on and asked about."""
    out: Path
    """Folder for the checkpoints, and for ablations.md and ablations.csv."""
    base: Path = Path("configs/quickstart.py")
    """The config that the others differ from."""
    others: tuple[str, ...] = ()
    """Records of the same people, captured or tokenized otherwise, on which the base is trained and asked as well, as
    NAME=RECORDS."""
    steps: int = 0
    """Of all trainings alike, stages shortened by as much; 0 for those of the configs."""
    split: Literal["validation", "test"] = "test"
    answers: Literal["free", "constrained"] = "free"
    """Anything, which may not parse and is then wrong, or among those that the task allows."""


def main() -> None:
    args = parse(Arguments, __doc__)
    arms = make_arms(args.base, args.configs, args.data, args.others, args.steps)
    results = ablate(arms, args.out, args.split, args.answers, shlex.join(["python", *sys.argv]))
    console = Console()
    print_ablations(results, console if console.is_terminal else Console(width=160))
    write_ablations(results, args.out)
    console.print(f"wrote ablations.md and ablations.csv in {args.out}")


if __name__ == "__main__":
    run(main)
