"""Several ways to do the same work take turns, so that the ratios of their times hold however busy the machine is."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

SIDE = 2048  # of the matrices whose product says what the machine can do
OURS = "ours"


@dataclasses.dataclass(frozen=True)
class Work:
    """A piece of work.

    Attributes:
        name: as in the table.
        calls: by who does it, what does it once and returns when it is done.
        operations: floating-point operations, as the architecture states its products; 0 where they are not counted.
        tokens: that it is about, padding left out, by who does it where they differ; 0 where there are none.
    """

    name: str
    calls: dict[str, Callable[[], Any]]
    operations: float = 0.0
    tokens: float | dict[str, float] = 0

    def tokens_of(self, who: str) -> float:
        return self.tokens[who] if isinstance(self.tokens, dict) else self.tokens


def torch_threads() -> None:
    """Gives PyTorch the cores that this process may use."""
    # Threads of its OpenMP that spin while the others work would make it slow as soon as two take turns on the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def product() -> Work:
    """A float32 matrix product."""
    matrix = jax.device_put(np.random.default_rng(2).normal(size=(SIDE, SIDE)).astype(np.float32))
    times = jax.jit(lambda a: a @ a)
    return Work("matrix product", {OURS: lambda: times(matrix).block_until_ready()}, 2 * SIDE**3)


def timed(works: list[Work], rounds: int) -> list[dict[str, float]]:
    """Of each work the median seconds by who did it, after two turns that are not counted; all have a turn a round."""
    taken: list[dict[str, list[float]]] = [{who: [] for who in work.calls} for work in works]
    for _ in track(range(rounds + 2), "timing", transient=True):
        for work, seconds in zip(works, taken, strict=True):
            for who, call in work.calls.items():
                start = time.perf_counter()
                call()
                seconds[who].append(time.perf_counter() - start)
    return [{who: statistics.median(s[2:]) for who, s in seconds.items()} for seconds in taken]


def compare(works: list[Work], rounds: int, out: Path | None, arguments: Any) -> None:
    """Times works, prints them, and writes the figures with what the machine is to `out`."""
    *measured, unit = timed([*works, product()], rounds)
    rate = 2 * SIDE**3 / unit[OURS]
    rows = [
        {
            "work": work.name,
            "who": who,
            "seconds": taken,
            "ours_is_faster_by": None if who == OURS else _ratio(work, seconds, who),
            "tokens_per_second": work.tokens_of(who) / taken or None,
            "gflops": work.operations / taken / 1e9 or None,
            "of_product": work.operations / taken / rate or None,
        }
        for work, seconds in zip(works, measured, strict=True)
        for who, taken in seconds.items()
    ]
    print_table(rows, rate, Console())
    if out:
        report = {"rows": rows, "product_gflops": rate / 1e9, "machine": machine(), "arguments": arguments}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1, default=str) + "\n")


def _ratio(work: Work, seconds: dict[str, float], who: str) -> float:
    """How many times as long somebody takes as we do, for as many tokens."""
    mine, theirs = work.tokens_of(OURS), work.tokens_of(who)
    return seconds[who] / seconds[OURS] * (mine / theirs if theirs else 1.0)


def print_table(rows: list[dict[str, Any]], rate: float, console: Console) -> None:
    """The rows, and beneath them the matrix product's `rate` per second."""
    table = Table(caption=f"float32 matrix product of {SIDE}: {rate / 1e9:.0f} GFLOP/s")
    for name in ("work", "who", "seconds", "its time / ours", "tokens/s", "GFLOP/s", "of the product's"):
        table.add_column(name, justify="left" if name in ("work", "who") else "right")
    formats = {"ours_is_faster_by": ".2f", "tokens_per_second": ".0f", "gflops": ".0f", "of_product": ".0%"}
    for row in rows:
        numbers = ("-" if row[name] is None else format(row[name], form) for name, form in formats.items())
        table.add_row(row["work"], row["who"], f"{row['seconds']:.4f}", *numbers)
    console.print(table)


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    versions = {name: importlib.metadata.version(name) for name in ("jax", "torch") if importlib.util.find_spec(name)}
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "allocator": os.environ.get("GLIBC_TUNABLES"),
        **versions,
    }
