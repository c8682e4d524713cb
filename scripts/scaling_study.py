"""Training on paper: memory, traffic and predicted time of models and strategies from one chip to a pod.

Compiles every combination for chips that need not be here, with the same number of rows on each chip, and writes a
table and a plot. Run the same command again to go on after a stop.
"""

import csv
import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.parallel.chips import Topology
from biomechjax.training.compare import Where, as_rows, compare
from biomechjax.training.config import DecoderExperiment
from biomechjax.training.scaling import draw_scaling, markdown, scaling_cases


@dataclasses.dataclass(frozen=True)
class Arguments:
    experiment: Annotated[DecoderExperiment, tyro.conf.arg(name="")]
    presets: tuple[str, ...] = ("gemma3_270m", "gemma3_1b", "gemma2_2b", "gemma3_4b", "gemma2_9b", "gemma3_12b")
    learning: tuple[str, ...] = ("full", "qlora")
    """full, lora (of a bfloat16 base) or qlora (of one in 4 bits)."""
    topologies: tuple[str, ...] = ("v5e:1x1", "v5e:4x4", "v5e:16x16", "v5p:8x8x4")
    strategies: tuple[str, ...] = ("dp", "fsdp", "fsdp_tp")
    rows: int = 4
    """Of a batch on each chip."""
    workers: int = 2
    """Programs compiled at a time; each takes a few GiB."""
    out: Path = Path("runs/scaling")
    """Folder for scaling.md, scaling.csv, scaling.png, and results.jsonl, from which a stopped command goes on."""


def main() -> None:
    args = parse(Arguments, __doc__)
    args.out.mkdir(parents=True, exist_ok=True)
    console, found, rows = Console(stderr=True), [], []
    for topology in map(Topology.parse, args.topologies):
        where = Where(topology)
        cases = scaling_cases(args.experiment, args.presets, args.learning, args.strategies, args.rows, topology)
        results = compare(cases, where, 0, args.workers, args.out / "results.jsonl")
        kept = list(track(results, str(where), len(cases), console=console))
        found += [(topology, r) for r in kept]
        rows += as_rows(kept, where)
    (args.out / "scaling.md").write_text(markdown(rows))
    with (args.out / "scaling.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    draw_scaling(found, args.out / "scaling.png")
    print(f"wrote scaling.md, scaling.csv and scaling.png in {args.out}")


if __name__ == "__main__":
    run(main)
