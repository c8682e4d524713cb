"""Write a cohort folder (BIDS with the Motion extension) from a source of recordings."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import Progress

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.cohort.clinic import simulate
from biomechjax.cohort.ui_prmd import prepare_ui_prmd
from biomechjax.command import parse, run
from biomechjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Arguments:
    source: Literal["synthetic", "ui-prmd"]
    """synthetic: the simulated clinic. ui-prmd: the UI-PRMD download."""
    out: Path
    """Cohort folder to write."""
    input: Path | None = None
    """The recordings; for ui-prmd the folder that holds "Segmented Movements"."""
    test_participants: str = ""
    """Comma-separated participants to test on (ui-prmd: s06,s07), instead of the last fifth."""
    sensor: Literal["vicon", "kinect"] = "vicon"
    """Of ui-prmd."""
    participants: int = 480
    """Of the simulated clinic."""
    seed: int = 0
    """Of the simulated clinic."""


def main() -> None:
    args = parse(Arguments, __doc__)
    console = Console()
    if args.source == "synthetic":
        if args.input or args.test_participants:
            raise InputError("--input and --test-participants are for recordings, not for --source synthetic")
        with Progress(transient=True) as bar:
            task = bar.add_task("simulating participants", total=args.participants)
            simulate(
                args.out, args.participants, args.seed, progress=lambda done, total: bar.update(task, completed=done)
            )
        console.print(f"{args.participants} SIMULATED participants in {args.out}")
        return
    if args.input is None:
        raise InputError(f"--source {args.source} needs --input, the folder of the recordings")
    test = tuple(filter(None, args.test_participants.split(",")))
    prepared = prepare_ui_prmd(args.input, args.out, test, args.sensor)
    for file, reason in prepared.left_out:
        console.print(f"left out {file}: {reason}")
    console.print(f"{prepared.written} recordings in {args.out}, {len(prepared.left_out)} files left out")


if __name__ == "__main__":
    run(main)
