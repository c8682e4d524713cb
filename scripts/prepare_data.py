"""Write a cohort folder (BIDS with the Motion extension) from a source of recordings."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import Progress

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.cohort.activities import Length
from biomechjax.cohort.bids_source import prepare_bids
from biomechjax.cohort.clinic import simulate
from biomechjax.cohort.privacy import Privacy, new_salt, read_salt
from biomechjax.cohort.splits import LastFifth, LeaveOut, Listed, parse_division
from biomechjax.cohort.table_source import prepare_table
from biomechjax.cohort.ui_prmd import prepare_ui_prmd
from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.evaluation.groups import GROUPINGS
from biomechjax.motion.bids_motion import FORMAT
from biomechjax.tasks.registry import TASKS


@dataclasses.dataclass(frozen=True)
class Arguments:
    source: Literal["synthetic", "ui-prmd", "table", "bids"]
    """synthetic: the simulated clinic. ui-prmd: the UI-PRMD download. bids: a BIDS folder with the Motion extension, of
    any program. table: any recordings, listed in a .csv with a line a trial; its columns are file, participant, task;
    where files do not say it array, rate_hz, duration_s, format, unit, unit_m; split if you have one; and labels."""
    out: Path
    """Cohort folder to write."""
    input: Path | None = None
    """The folder that holds "Segmented Movements" (ui-prmd), the .csv (table), or the folder that holds
    participants.tsv (bids)."""
    format: str | None = None
    """Motion format of the cohort, a name or .toml file (table, bids); otherwise that of the recordings if all have
    the same, or canonical."""
    test_participants: str = ""
    """Comma-separated participants to test on (ui-prmd: s06,s07), as --split list:FILE has them in a file."""
    split: str = ""
    """Whom to test on, whatever the source says. kfold:5:0: the first of five folds, with its share of every group.
    leave:site=A: those whose column site (or group, ...) is A. list:FILE: those whom a file lists, one a line. By
    default the source's column split, else the last fifth; of the simulated clinic a fifth of every group."""
    keep_ids: bool = False
    """Of table and bids: ids and names of files are pseudonyms already, and stay. Otherwise each id becomes the keyed
    hash of it under a random salt, which lies in participants.salt of the cohort (docs/privacy.md)."""
    salt: Path | None = None
    """Of table and bids: participants.salt of an earlier cohort, so that the same people get the same pseudonyms."""
    keep: str = ""
    """Of table and bids: comma-separated columns that stay though they hold dates, free text, or what nobody asks for;
    file: the names of a table's files."""
    name: str = ""
    """Of table and bids: what the cohort is called; by default a name made of the salt. Two of one name are the same
    people."""
    sensor: Literal["vicon", "kinect"] = "vicon"
    """Of ui-prmd."""
    participants: int = 600
    """Of the simulated clinic."""
    visit: Length = "long"
    """Of the simulated clinic. long: of the paper's size, 30 hours for 600 people. short: little more than a minute for
    each."""
    seed: int = 0
    """Of the simulated clinic."""
    capture_error: float = 1.0
    """Of the simulated clinic: what the error of the motion capture is multiplied by; 0 for none. The people and how
    they move stay the same."""


def main() -> None:
    args = parse(Arguments, __doc__)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if args.format and args.source not in ("table", "bids"):
        raise InputError(f"--format is for --source table and bids, not for {args.source}")
    if (args.keep_ids or args.salt or args.keep or args.name) and args.source not in ("table", "bids"):
        raise InputError(
            f"--keep-ids, --salt, --keep and --name are for --source table and bids, not for {args.source}"
        )
    if args.keep_ids and args.salt:
        raise InputError("--keep-ids and --salt: give one of them")
    if args.split and args.test_participants:
        raise InputError("--split and --test-participants: give one of them")
    listed = tuple(filter(None, args.test_participants.split(",")))
    division = Listed(listed) if listed else parse_division(args.split) if args.split else None
    if args.source == "synthetic":
        if args.input:
            raise InputError("--input is for recordings, not for --source synthetic")
        with Progress(transient=True) as bar:
            task = bar.add_task("simulating participants", total=args.participants)
            simulate(
                args.out,
                args.participants,
                args.seed,
                args.visit,
                division=division,
                progress=lambda done, total: bar.update(task, completed=done),
                capture_error=args.capture_error,
            )
        console.print(f"{args.participants} SIMULATED participants in {args.out}")
        return
    if args.input is None:
        raise InputError(f"--source {args.source} needs --input, the recordings")
    if args.out.exists():
        raise InputError(f"{args.out}: exists already; remove it or choose another --out")
    asked = {task.label for task in TASKS} | {*GROUPINGS}
    if isinstance(division, LeaveOut):
        asked.add(division.column)
    ours = args.source == "bids" and (args.input / FORMAT).is_file()  # a cohort, to be divided anew
    salt = read_salt(args.salt) if args.salt else None if args.keep_ids or ours else new_salt()
    keep = frozenset(filter(None, map(str.strip, args.keep.split(","))))
    with Progress(transient=True) as bar:
        task = bar.add_task("reading recordings", total=None)
        if args.source == "ui-prmd":
            prepared = prepare_ui_prmd(args.input, args.out, division or LastFifth(), args.sensor)
        else:
            prepare = {"table": prepare_table, "bids": prepare_bids}[args.source]
            prepared = prepare(
                args.input,
                args.out,
                args.format,
                division,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                privacy=Privacy(salt, frozenset(asked), keep, args.name),
            )
    for column, reason in prepared.dropped.items():
        console.print(f"column {column} is not in the cohort: {reason} (--keep {column} keeps it)")
    for note, count in prepared.notes.items():
        console.print(f"note on {count} of {prepared.written}{', as on the first' if count > 1 else ''}: {note}")
    for which, reason in prepared.left_out:
        console.print(f"left out {which}: {reason}")
    console.print(
        f"{prepared.written} recordings of format {prepared.format.name} in {args.out}, "
        f"{len(prepared.left_out)} left out"
    )


if __name__ == "__main__":
    run(main)
