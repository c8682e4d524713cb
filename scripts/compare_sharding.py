"""Compare sharding strategies: what a training step of a decoder costs a device, here or on a pod that is not here.

On the devices here, on simulated ones (--devices 8), or compiled ahead for an absent pod (--topology v5e:4x4; needs
biomechjax[tpu], or biomechjax[cuda] for h100:8). Memory, products and bytes sent are read from the compiled program,
with what a formula predicts beside them. --search tries meshes, remat, batches and adapters too. Run the same command
again to go on after a stop.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.parallel.chips import Topology
from biomechjax.parallel.strategies import STRATEGIES
from biomechjax.training.compare import Where, compare, learned, pareto, plain_cases, recommended, search_cases
from biomechjax.training.compare_tables import print_table, write_files
from biomechjax.training.config import DecoderExperiment


@dataclasses.dataclass(frozen=True)
class Search:
    """What is tried beside the strategies and every shape of their meshes."""

    batches: tuple[int, ...] = ()
    """Rows of a batch over all devices; by default those of the config, half and twice as many."""
    remats: tuple[str, ...] = ("full", "products", "none")
    learning: tuple[str, ...] = ("full", "lora", "qlora")
    """full: everything; lora: adapters of a bfloat16 base; qlora: of one in 4 bits."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    experiment: Annotated[DecoderExperiment, tyro.conf.arg(name="")]
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    topology: str = ""
    """CHIP:SHAPE of a pod that need not be here: v4, v5e, v5p or v6e, as v5e:4x4, or GPUs of a host, as h100:8."""
    devices: int = 0
    """Simulate so many on this machine's processor; by default those that are here."""
    search: bool = False
    """Try meshes, batches, remat and what is learned too, and print what no other beats in memory and time."""
    space: Search = Search()
    steps: int = 5
    """Timed, where the devices are here."""
    workers: int = 2
    """Programs compiled at a time for an absent pod; each takes a few GiB."""
    out: Path = Path("runs/sharding")
    """Folder for results.json, results.csv, results.png, and results.jsonl, from which a stopped command goes on."""


def main() -> None:
    args = parse(Arguments, __doc__)
    where = Where(Topology.parse(args.topology) if args.topology else None, args.devices)
    console = Console()
    console = console if console.is_terminal else Console(width=250)
    experiment, space = args.experiment, args.space
    if args.search:
        size = experiment.train.batch_size
        batches = space.batches or (size // 2, size, 2 * size)
        count = where.topology.size if where.topology else where.simulated
        if not count:
            raise InputError("--search: say for what devices, with --topology or --devices")
        cases = search_cases(experiment, args.strategies, count, batches, space.remats, space.learning)
    else:
        cases = plain_cases(experiment, args.strategies)
    args.out.mkdir(parents=True, exist_ok=True)
    found = compare(cases, where, args.steps, args.workers, args.out / "results.jsonl")
    results = list(track(found, str(where), len(cases), console=Console(stderr=True)))
    write_files(results, where, args.out)
    chip = where.topology.chip if where.topology else None
    if args.search:
        refused = sum(r.cost is None for r in results)
        fitting = sum(r.cost is not None and r.cost.fits for r in results)
        console.print(
            f"{len(results)} tried: {fitting} fit, {len(results) - fitting - refused} do not, {refused} cannot be"
        )
        results = pareto(results, chip)
    print_table(results, where, f"{experiment.preset}, rows of {experiment.row_length}", console)
    if best := recommended(results, chip):
        e, mesh = best.case.experiment, " ".join(map(str, best.cost.mesh.values())) if best.cost else ""
        kind = "measured" if chip is None else "predicted"
        console.print(
            f"fastest that fits, as {kind}: --strategy {best.case.strategy} --mesh {mesh} --remat {e.remat} "
            f"--train.batch-size {e.train.batch_size} ({learned(e)})"
        )
    console.print(f"wrote results.json, results.csv and results.png in {args.out}")


if __name__ == "__main__":
    run(main)
