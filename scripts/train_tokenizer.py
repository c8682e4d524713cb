"""Train the motion tokenizer on one or more cohort folders. Run the same command again to go on after a stop."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.parallel.processes import Processes, first_process, join_processes
from biomechjax.training.config import TokenizerExperiment
from biomechjax.training.tokenizer import train_tokenizer


@dataclasses.dataclass(frozen=True)
class Arguments:
    data: tuple[Path, ...]
    """Cohort folders, from prepare_data.py: one or more, of the same or of different motion formats."""
    out: Path
    """Checkpoint folder to write or to go on with."""
    experiment: Annotated[TokenizerExperiment, tyro.conf.arg(name="")]
    strategy: str = "dp"
    """How to spread the work over devices: dp (jit with sharded batches) or pmap."""
    processes: Processes = Processes()


def main() -> None:
    args = parse(Arguments, __doc__)
    join_processes(args.processes)
    report = train_tokenizer(args.experiment, args.data, args.out, args.strategy)
    Console(quiet=not first_process()).print(
        "held out:", {name: value for name, value in report.items() if isinstance(value, float)}
    )


if __name__ == "__main__":
    run(main)
