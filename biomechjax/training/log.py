"""The log of a run, `metrics.jsonl`: a row of losses for each logged step, and a row for each held-out report."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from biomechjax.parallel.processes import first_process

PACE = "seconds_per_step"  # in every row of losses, and in no report
NAME = "metrics.jsonl"
COLUMNS = 4  # of panels in the picture


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run so far; none where there is no log. A last line that was cut off is no row."""
    path = folder / NAME
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


class Log:
    """Writes rows to the log and to the screen, which shows only their plain numbers.

    A run that goes on from step `first` keeps the rows up to there; what it had logged after it comes again. Of several
    processes only the first writes.
    """

    def __init__(self, folder: Path, first: int, steps: int) -> None:
        rows = [row for row in read_log(folder) if row["step"] <= first]
        self.reported = any(row["step"] == first and PACE not in row for row in rows)
        self.folder, self.steps = folder, steps
        self.console = Console(stderr=True, quiet=not first_process())
        if not first_process():
            self.file: TextIO = open(os.devnull, "a")
            return
        self.file = _rewritten(folder, rows)

    def back_to(self, step: int) -> None:
        """Forgets the rows behind a step, which come again."""
        if first_process():
            rows = [row for row in read_log(self.folder) if row["step"] <= step]
            self.file.close()
            self.file = _rewritten(self.folder, rows)

    def write(self, row: dict[str, Any]) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        left = (self.steps - row["step"]) * row.get(PACE, 0)
        text = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "step" and isinstance(v, int | float))
        text += f"  {left / 60:.1f} min left" if left else ""
        self.console.print(f"step {row['step']}/{self.steps}  {text}", soft_wrap=True)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


def _rewritten(folder: Path, rows: list[dict[str, Any]]) -> TextIO:
    new = folder / f"{NAME}.new"
    new.write_text("".join(json.dumps(row) + "\n" for row in rows))
    new.replace(folder / NAME)
    return (folder / NAME).open("a")


def draw_curves(rows: list[dict[str, Any]]) -> Any:
    """A figure with every plain number of a log over steps, a panel each; logarithmic where it changes by much."""
    from matplotlib.figure import Figure  # slow to import, for commands that draw nothing

    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                title = name if PACE in row else f"held out: {name}"
                curves.setdefault(title, []).append((row["step"], value))
    lines = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.2 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for axis, (title, points) in zip(axes, curves.items(), strict=False):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, marker="." if len(steps) < 30 else "")
        if min(values) > 0 and max(values) > 20 * min(values):
            axis.set_yscale("log")
        axis.set_title(title, fontsize="small")
    for axis in figure.axes[len(curves) :]:
        axis.axis("off")
    return figure
