"""The comparison of strategies on screen, in files and as a picture."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from biomechjax.parallel.chips import GIB
from biomechjax.training.compare import Result, Where, as_rows, learned

HEADS = (
    "strategy", "mesh", "learned", "rows", "remat", "weights", "gradients", "optimizer", "activations", "peak\nGiB",
    "by\nformula", "fits", "TFLOP", "sent\nGB", "by\nformula", "compute\nms", "memory\nms", "links\nms", "step\nms",
    "measured\nms", "tokens/s", "compile\ns",
)  # fmt: skip


def print_table(results: Sequence[Result], where: Where, title: str, console: Console) -> None:
    """All of a device, GiB of memory and GB of traffic; refused cases below with their reasons."""
    table = Table(title=f"{title}: {where}. Of one device, a step", caption=_legend(where))
    for head in HEADS:
        table.add_column(head, justify="left" if head in ("strategy", "mesh") else "right", no_wrap=True)
    for r in results:
        table.add_row(*_cells(r, where))
    console.print(table)
    for r in results:
        if r.refused:
            console.print(f"{r.case.strategy}: {r.refused}")


def _legend(where: Where) -> str:
    if where.topology:
        return (
            "Nothing ran: memory, products and bytes are the compiler's for this pod (loops times their trips), "
            "times are its chip's published figures at full use. A > is what the compiler wanted for temporaries."
        )
    shared = " They share one processor: their times say nothing about real ones." if where.simulated else ""
    return f"Measured on {where}.{shared}"


def _cells(r: Result, where: Where) -> list[str]:
    e, c = r.case.experiment, r.cost
    cells = [r.case.strategy, "x".join(map(str, c.mesh.values() if c else r.case.mesh)), learned(e)]
    cells += [str(e.train.batch_size), e.remat]
    if c is None:
        return [*cells, "refused"]
    p = r.predicted(where.topology.chip if where.topology else None)
    sizes = (c.parameters + c.frozen, c.gradients, c.optimizer, c.activations, c.peak, sum(c.formula_peak.values()))
    cells += [_number(x, GIB) for x in sizes]
    if c.wanted:
        cells[-2] = f">{c.wanted / GIB:.1f}"
    cells += ["yes" if c.fits else "NO", _number(c.flops, 1e12)]
    cells += [
        _number(sum(c.sent.values()) if c.sent is not None else None, 1e9),
        _number(sum(c.formula_sent.values()), 1e9),
    ]
    cells += [_number(x, 1e-3, 1) for x in ((p.compute, p.memory, p.links, p.step) if p else (None,) * 4)]
    speed = e.train.batch_size * e.row_length / c.measured_s if c.measured_s else None
    return [*cells, _number(c.measured_s, 1e-3, 1), _number(speed, 1, 0), _number(c.compile_s, 1, 0)]


def _number(x: float | None, unit: float, digits: int = 2) -> str:
    if x is None:
        return "-"
    small = 0 < x / unit < 10**-digits  # as of a small model
    return f"{x / unit:.1g}" if small else f"{x / unit:.{digits}f}"


def write_files(results: Sequence[Result], where: Where, out: Path) -> None:
    """`results.json`, `results.csv` and `results.png` in a folder."""
    rows = as_rows(results, where)
    (out / "results.json").write_text(json.dumps(rows, indent=1))
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    draw(results, where, out / "results.png")


def draw(results: Sequence[Result], where: Where, path: Path) -> None:
    """Memory of a device in its parts, and the predicted or measured time of a step, a bar for each result."""
    shown = [r for r in results if r.cost and r.cost.peak is not None]
    names = [f"{r.case.strategy} {'x'.join(map(str, r.cost.mesh.values()))}" for r in shown if r.cost]
    figure = Figure(figsize=(12, 1 + 0.4 * max(3, len(shown))))
    left, right = figure.subplots(1, 2, sharey=True)
    ends = [0.0] * len(shown)
    for part in ("parameters", "frozen", "gradients", "optimizer", "activations"):
        sizes = [max(0.0, getattr(r.cost, part)) / GIB for r in shown]
        left.barh(names, sizes, left=ends, label=part)
        ends = [a + b for a, b in zip(ends, sizes, strict=True)]
    left.set_xlabel("GiB of a device at the peak")
    if where.topology:
        left.axvline(
            where.topology.chip.memory / GIB, color="black", linestyle="--", label=f"{where.topology.chip.name} has"
        )
    left.legend(fontsize=8)
    left.invert_yaxis()
    chip = where.topology.chip if where.topology else None
    if chip:
        for place, part in enumerate(("compute", "memory", "links")):
            times = [getattr(p, part) * 1e3 if (p := r.predicted(chip)) else 0.0 for r in shown]
            right.barh([i + 0.27 * (place - 1) for i in range(len(shown))], times, 0.27, label=part)
        right.set_xlabel("ms of a step, if this alone limited it")
        right.legend(fontsize=8)
    else:
        right.barh(names, [(r.cost.measured_s or 0) * 1e3 for r in shown if r.cost])
        right.set_xlabel(f"ms of a step, measured on {where}")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
