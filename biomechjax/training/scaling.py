"""Training on paper from one chip to a pod: models and strategies as the number of chips grows, rows of a chip kept."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from biomechjax.parallel.chips import GIB, Topology
from biomechjax.training.ahead import Case
from biomechjax.training.compare import Result, learning_of, plain_cases
from biomechjax.training.config import DecoderExperiment


def scaling_cases(
    experiment: DecoderExperiment,
    presets: Sequence[str],
    learning: Sequence[str],
    strategies: Sequence[str],
    rows: int,
    topology: Topology,
) -> list[Case]:
    """Every preset and word of LEARNING under every strategy, with so many rows for each chip of a topology.

    A single chip needs no strategy: there it is the first one alone.
    """
    cases = []
    for name in presets:
        for word in learning:
            train = dataclasses.replace(experiment.train, batch_size=rows * topology.size)
            variant = learning_of(dataclasses.replace(experiment, preset=name, train=train), word)
            cases += plain_cases(variant, strategies if topology.size > 1 else strategies[:1])
    return cases


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The lines of `as_rows` as a table of a page."""
    heads = ("model", "learned", "chips", "strategy", "mesh", "peak GiB", "by formula", "sent GB", "by formula")
    lines = [(*heads, "compute ms", "memory ms", "links ms", "limited by")]
    for row in rows:
        start = (row["preset"], row["learned"], row["devices"].split(",")[0], row["strategy"], row["mesh"])
        if row["refused"]:
            lines.append((*start, f"refused: {row['refused'].split(';')[0]}", *[""] * 7))
            continue
        formula = _shown(row["formula_peak_sum"] / GIB)
        if row["peak"] is None:
            wanted = f"does not fit (> {row['wanted'] / GIB:.1f})" if row["wanted"] else "does not fit"
            lines.append((*start, wanted, formula, *[""] * 6))
            continue
        times = {name: row[f"{name}_s"] * 1e3 for name in ("compute", "memory", "links")}
        lines.append(
            (
                *start,
                _shown(row["peak"] / GIB) + ("" if row["fits"] else ", does not fit"),
                formula,
                _shown(row["sent_sum"] / 1e9),
                _shown(row["formula_sent_sum"] / 1e9),
                *map(_shown, times.values()),
                max(times, key=lambda name: times[name]),
            )
        )
    ruled = [lines[0], ("---",) * len(lines[0]), *lines[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in ruled)


def _shown(x: float) -> str:
    return f"{x:.3g}" if x < 100 else f"{x:.0f}"


def draw_scaling(results: Sequence[tuple[Topology, Result]], path: Path) -> None:
    """Tokens a second of a chip, as predicted, against the number of chips: a panel for each model and kind of chip."""
    panels: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for topology, r in results:
        predicted = r.predicted(topology.chip)
        if not predicted or not r.cost or not r.cost.fits:
            continue
        e = r.case.experiment
        per_chip = e.train.batch_size * e.row_length / topology.size / predicted.step
        lines = panels.setdefault((topology.chip.name, e.preset), {})
        word = "full" if e.adapt.method == "full" else e.adapt.weights
        lines.setdefault(f"{word}, {r.case.strategy}", []).append((topology.size, per_chip))
    columns = 3
    height = -(-max(1, len(panels)) // columns)
    figure = Figure(figsize=(4 * columns, 3 * height))
    axes = figure.subplots(height, columns, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, ((chip, name), lines) in zip(axes.flat, sorted(panels.items()), strict=False):
        for label, points in sorted(lines.items()):
            axis.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
        axis.set(xscale="log", yscale="log", title=f"{name} on {chip}", xlabel="chips", ylabel="tokens/s of a chip")
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
