"""Train the decoder on token records. Run the same command again to go on after a stop."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.parallel.processes import Processes, join_processes
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.decoder import train_decoder


@dataclasses.dataclass(frozen=True)
class Arguments:
    data: tuple[Path, ...]
    """Token records, from tokenize_data.py: one folder, or several of one tokenizer."""
    out: Path
    """Checkpoint folder to write or to go on with."""
    experiment: Annotated[DecoderExperiment, tyro.conf.arg(name="")]
    base: Path | None = None
    """A pretrained Gemma 2 or 3 to learn from instead of nothing: a Hugging Face folder, or one of convert_gemma.py
    import. How it learns is under --adapt."""
    strategy: str = "dp"
    """How to spread the work over devices: dp (batches), pmap (the same, the classical way), zero1 (the optimizer's
    state too), fsdp (weights too), tp (weights by heads and feed-forward columns), fsdp_tp (both), cp (rows by length,
    for long recordings). compare_sharding.py says what each costs."""
    mesh: tuple[int, ...] = ()
    """Devices along each axis of the strategy's mesh, as 4 2 for fsdp_tp: 4 share batches, 2 share heads."""
    processes: Processes = Processes()


def main() -> None:
    args = parse(Arguments, __doc__)
    join_processes(args.processes)
    train_decoder(args.experiment, args.data, args.out, args.strategy, args.base, args.mesh)


if __name__ == "__main__":
    run(main)
