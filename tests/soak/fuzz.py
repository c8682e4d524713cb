"""Damages files and folders of every kind that is opened, by the thousand, and says what became of each.

    python tests/soak/fuzz.py --count 20000 --seed 0 [--kind cohort --kind .mot ...] [FILES...]

writes a Markdown table: of each kind how many damaged ones were read, were refused with an InputError that names the
file, ended in anything else, ran over the limits of time or memory of `mutate.py`, or took the process down. The last
four should be 0; else the status is 1, and what happened is printed above the table.

Small sound ones are made (`sound_folders.py`, `motion/samples.py`), and movement FILES of your own are damaged too.
What such a file does not say follows its name: `trials.npz,array=walk,format=cmu_expmap,rate_hz=120,unit=rad`. Ctrl-C
and SIGTERM end the run with the table of what was done.
"""

import argparse
import collections
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "motion")]  # as pytest does

import mutate  # noqa: E402
from samples import recording, write_samples  # noqa: E402
from sound_folders import write_folders  # noqa: E402

from biomechjax.motion.options import ReadOptions  # noqa: E402

# Inputs of a kind as shares of those of a movement file: opening a checkpoint takes a hundred times as long.
SHARES = collections.defaultdict(
    lambda: 1.0,
    {
        "flags": 0.1,
        "BIDS folder": 0.2,
        "table of trials": 0.2,
        "records": 0.3,
        "records, hashes made to fit": 0.3,
        "tokenizer": 0.2,
        "adapters of PEFT": 0.2,
        "Hugging Face model": 0.1,
        "decoder": 0.06,
        "decoder with adapters": 0.06,
    },
)


def counts(sources: Sequence[mutate.Sound], count: int) -> list[int]:
    """How many of each, `count` together."""
    shares = [SHARES[s.kind] for s in sources]
    ends = [round(count * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def outcomes(groups: Sequence[Sequence[mutate.Sound]], count: int, seed: int) -> Iterator[mutate.Outcome]:
    """Of each group in a worker of its own: what reads a movement file needs no JAX, and should not fail beside it."""
    numbers = iter(counts([s for group in groups for s in group], count))
    for group in groups:
        each = [mutate.mutants([s], next(numbers), seed) for s in group]
        yield from mutate.outcomes(in_turn(each), group)


def in_turn(each: Sequence[Iterator[mutate.Damaged]]) -> Iterator[mutate.Damaged]:
    """One of each kind, then again, so that a run that is stopped has tried all."""
    left = list(each)
    while left:
        for kind in list(left):
            one = next(kind, None)
            if one is None:
                left.remove(kind)
            else:
                yield one


def given(text: str) -> mutate.Sound:
    """`FILE,option=value,...`"""
    name, *options = text.split(",")
    words: dict[str, Any] = dict(option.split("=", 1) for option in options)
    numbers = {n: float(words.pop(n)) for n in ("rate_hz", "duration_s", "unit_m") if n in words}
    return recording(Path(name), ReadOptions(**words, **numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="damaged inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only these; as in the table")
    parser.add_argument("files", nargs="*", type=given)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        groups = write_folders(Path(folder)), write_samples(Path(folder)) + arguments.files
    kinds = arguments.kind or [s.kind for group in groups for s in group]
    groups = tuple([s for s in group if s.kind in kinds] for group in groups)
    found: list[mutate.Outcome] = []
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell lets what runs in the background ignore the first
        signal.signal(stop, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # the table of what was done until then
        for one in outcomes(groups, arguments.count, arguments.seed):
            found.append(one)
            if one.outcome not in ("read", "refused"):
                print(f"{one.kind}, {one.damage}: {one.outcome} after {one.seconds:.2f} s\n{one.detail}", flush=True)
            if len(found) % 100 == 0:
                print(f"{len(found)} of {arguments.count}", file=sys.stderr, flush=True)
    print(f"\n{mutate.table(found)}")
    sys.exit(any(o.outcome not in ("read", "refused") for o in found))


if __name__ == "__main__":
    main()
