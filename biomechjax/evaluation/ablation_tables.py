"""The table of ablations: on screen, in Markdown, and as lines of a CSV file."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from biomechjax.evaluation.intervals import BOOTSTRAP
from biomechjax.evaluation.wording import brackets_legend, ends, with_interval

HEADS = ("task", "measure", "arm", "n", "people", "score", "minus base")
ABOUT = ("data", "simulated", "split", "answers", "command", "git_commit")
NUMBERS = ("value", "low", "high", "minus_base", "minus_base_low", "minus_base_high")
COLUMNS = (*ABOUT, "task", "arm", "trained_at", "n", "participants", "metric", *NUMBERS)


def table_rows(results: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Lines of the table, as HEADS: of labels the accuracy, of numbers Pearson's r."""
    for task, by_arm in results["tasks"].items():
        for name, figures in by_arm.items():
            metric, words = ("accuracy", "accuracy") if "accuracy" in figures else ("pearson_r", "Pearson r")
            score, less = figures[metric], figures[metric]["minus_base"]
            n, people = (f"{figures[k]['value']:.0f}" for k in ("n", "participants"))
            difference = with_interval(less["difference"], less["interval"], "+z.3f") if less else ""
            yield task, words, name, n, people, with_interval(score["value"], score["interval"], "z.3f"), difference


def print_ablations(results: Mapping[str, Any], console: Console) -> None:
    """The table on screen."""
    table = Table(title=title(results), caption=legend(results))
    for head in HEADS:
        table.add_column(head, justify="left" if head in ("task", "measure", "arm") else "right")
    before = ""
    for row in table_rows(results):
        if before and row[0] != before:
            table.add_section()
        before = row[0]
        table.add_row(*row)
    console.print(table)


def write_ablations(results: Mapping[str, Any], out: Path) -> None:
    """`ablations.md`, the table and what each arm is, and `ablations.csv`, a line for every figure."""
    lines = [f"# {title(results)}", "", legend(results), "", f"    {results['command']}", ""]
    lines += _markdown(HEADS, table_rows(results))
    heads = ("arm", "records", "steps", "people trained on", "parameters", "trained at commit")
    lines += ["", *_markdown(heads, ([name, *map(str, about.values())] for name, about in results["arms"].items()))]
    (out / "ablations.md").write_text("\n".join(lines) + "\n")
    with (out / "ablations.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for task, by_arm in results["tasks"].items():
            for name, figures in by_arm.items():
                for metric, found in figures.items():
                    if metric in ("n", "participants"):
                        continue
                    apart = found["minus_base"] or {"difference": np.nan, "interval": None}
                    numbers = (
                        found["value"],
                        *ends(found["interval"]),
                        apart["difference"],
                        *ends(apart["interval"]),
                    )
                    about = {k: results[k] for k in ABOUT} | {
                        "task": task,
                        "arm": name,
                        "trained_at": results["arms"][name]["trained_at"],
                        "n": int(figures["n"]["value"]),
                        "participants": figures["participants"]["value"],
                        "metric": metric,
                    }
                    blank = ("" if np.isnan(x) else x for x in numbers)
                    writer.writerow(about | dict(zip(NUMBERS, blank, strict=True)))


def title(results: Mapping[str, Any]) -> str:
    """Whose movement was asked about."""
    simulated = " (SIMULATED people)" if results["simulated"] else ""
    return f"{results['data']}{simulated}: {results['split']} split, {results['answers']} answers"


def legend(results: Mapping[str, Any]) -> str:
    """What the brackets are, and of which code."""
    base = next(iter(results["arms"]))
    return (
        f"{brackets_legend(BOOTSTRAP)} Minus base: the difference from {base} on the same questions and resamples, "
        f"each by itself. Code at commit {results['git_commit']}."
    )


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
