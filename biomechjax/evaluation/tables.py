"""The results as tables: on screen, as lines of a CSV file, and in LaTeX for a paper."""

import csv
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from biomechjax.evaluation.baselines.summary import CONSTANT, LINEAR, TREES
from biomechjax.evaluation.intervals import Interval
from biomechjax.evaluation.metrics import LOWER_IS_BETTER

DECODER = "decoder"
AGREEMENT = "agreement"
MODELS = (DECODER, CONSTANT, LINEAR, TREES)

BETTER, NO_BETTER, WORSE, UNTOLD = "", "†", "‡", "?"
ABOUT = ("data", "simulated", "split", "answers", "git_commit", "data_hash")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
    NO_BETTER: "$^\\dagger$",
    WORSE: "$^\\ddagger$",
}
COUNTS = (("task", ""), ("n", ""), ("people", ""), ("unparsable", ""))


def standing(difference: Mapping[str, Any], metric: str) -> str:
    """The mark of a model by how the decoder stands to it, from the difference of the decoder minus it.

    Returns:
        BETTER: the decoder is better by the whole interval, or the model has no such score. NO_BETTER: 0 is in the
        interval. WORSE: the decoder is worse by the whole interval. UNTOLD: there is no interval.
    """
    if difference["interval"] is None:
        return BETTER if np.isnan(difference["difference"]) else UNTOLD
    low, high = sorted(-end if metric in LOWER_IS_BETTER else end for end in difference["interval"])
    return BETTER if low > 0 else WORSE if high < 0 else NO_BETTER


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table, of which each column's head is of two lines."""

    name: str
    heads: tuple[tuple[str, str], ...]
    rows: list[tuple[str, ...]]


def sheets(metrics: dict[str, Any]) -> list[Sheet]:
    """The tables of labels, of numbers, and of the decoder's agreement with the true numbers, those that are not empty.

    A score is the decoder's with its interval, or another model's with the mark of `standing`.
    """
    found = []
    for sheet, scores in (("labels", ("accuracy", "macro_f1")), ("numbers", ("mae", "pearson_r"))):
        tasks = [name for name, by_model in metrics["tasks"].items() if scores[0] in by_model[DECODER]]
        heads = tuple((_words(score), model) for score in scores for model in MODELS)
        cells = [(*_counts(metrics, t), *(_score(metrics, t, m, s) for s in scores for m in MODELS)) for t in tasks]
        found.append(Sheet(sheet, (*COUNTS, *heads), cells))
    heads = (("RMSE", ""), ("ICC(2,1)", ""), ("bias", ""), ("limits of", "agreement"), ("within", "tolerance"))
    found.append(Sheet(AGREEMENT, (*COUNTS, *heads), [_agreement(metrics, task) for task in tasks]))
    return [sheet for sheet in found if sheet.rows]


def print_tables(metrics: dict[str, Any], console: Console) -> None:
    """The tables on screen."""
    for sheet in sheets(metrics):
        table = Table(title=f"{sheet.name.capitalize()}. {_people(metrics)}", caption=_legend(metrics, sheet))
        for first, second in sheet.heads:
            table.add_column(f"{first}\n{second}", justify="left" if first == "task" else "right", no_wrap=True)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def latex_tables(metrics: dict[str, Any], trained_at: str) -> str:
    """The tables for a paper, with booktabs.

    Args:
        trained_at: the commit that the decoder was trained at.
    """
    provenance = (
        f"Code at commit {metrics['git_commit']}, decoder trained at commit {trained_at}, data sha256 "
        f"{metrics['data_hash'][:12]}."
    )
    out = ["% needs \\usepackage{booktabs}\n"]
    for sheet in sheets(metrics):
        caption = f"{sheet.name.capitalize()}. {_people(metrics)}. {_legend(metrics, sheet)} {provenance}"
        if sheet.name == AGREEMENT:
            caption += _tolerances(metrics)
        out += [
            "\\begin{table*}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_escaped(caption)}}}\n\\label{{tab:{sheet.name}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(sheet.heads) - 1)}}}\n\\toprule",
            *(_line(heads) for heads in zip(*sheet.heads, strict=True)),
            "\\midrule",
            *(_line(row) for row in sheet.rows),
            "\\bottomrule\n\\end{tabular}\n\\end{table*}\n",
        ]
    return "\n".join(out)


def write_csv(metrics: dict[str, Any], path: Path) -> None:
    """A line for every task, model and metric with its interval and the decoder's difference; empty where undefined."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        of_decoder = ("decoder_minus_model", "difference_low", "difference_high")
        writer.writerow((*ABOUT, "task", "participants", "model", "metric", "value", "low", "high", *of_decoder))
        for task, details in metrics["details"].items():
            for model, metric, value, interval in _values(metrics["tasks"][task], details):
                apart = details["differences"].get(model, {}).get(metric, {"difference": np.nan, "interval": None})
                numbers = (value, *_ends(interval), apart["difference"], *_ends(apart["interval"]))
                about = (*(metrics[k] for k in ABOUT), task, details["participants"], model, metric)
                writer.writerow((*about, *("" if np.isnan(x) else x for x in numbers)))


def _values(by_model: dict[str, Any], details: dict[str, Any]) -> Iterator[tuple[str, str, float, Interval]]:
    """Every model's scores with their intervals, those of `bland_altman` and of the decoder's `calibration` too."""
    for model, figures in by_model.items():
        yield from ((model, name, value, details["intervals"][model].get(name)) for name, value in figures.items())
        limits = details.get("bland_altman", {}).get(model, {"intervals": {}})
        yield from ((model, f"bland_altman_{name}", limits[name], i) for name, i in limits["intervals"].items())
    sure = details.get("calibration", {})
    yield from ((DECODER, f"calibration_{k}", v, None) for k, v in sure.items() if isinstance(v, float))


def _ends(interval: Interval) -> tuple[float, float]:
    return (np.nan, np.nan) if interval is None else (interval[0], interval[1])


def _people(metrics: dict[str, Any]) -> str:
    """Whose movement was asked about, and how."""
    simulated = " (SIMULATED people)" if metrics["simulated"] else ""
    people = f"{metrics['participants']} participants of the {metrics['split']} split"
    return f"{metrics['data']}{simulated}: {people}, {metrics['answers']} answers"


def _legend(metrics: dict[str, Any], sheet: Sheet) -> str:
    """How the intervals were made, and where the decoder stands beside others what the marks mean."""
    b = metrics["bootstrap"]
    level = f"{b['level']:.0%} interval"
    intervals = (
        f"In brackets: {level}, {b['resamples']} bootstrap resamples of people; [-]: none, as of fewer than "
        f"{b['least_participants']} people."
    )
    if sheet.name == AGREEMENT:
        return f"The decoder's answers. {intervals}"
    return (
        f"{NO_BETTER}: the decoder is not significantly better than this; {WORSE}: it is significantly worse ({level} "
        f"of the paired difference, each by itself); {UNTOLD}: no such interval. {intervals}"
    )


def _tolerances(metrics: dict[str, Any]) -> str:
    """Where the tolerances were published."""
    found = {task: details.get("tolerance") for task, details in metrics["details"].items()}
    texts = [f"{task} {t['value']:g} {t['unit']}, {t['source']}" for task, t in found.items() if t]
    return f" Tolerances: {'; '.join(texts)}." if texts else ""


def _words(metric: str) -> str:
    return {"macro_f1": "macro-F1", "mae": "MAE", "pearson_r": "Pearson r"}.get(metric, metric)


def _counts(metrics: dict[str, Any], task: str) -> tuple[str, ...]:
    first, people = metrics["tasks"][task][DECODER], metrics["details"][task]["participants"]
    return task, f"{first['n']:.0f}", str(people), f"{first['unparsable']:.3f}"


def _score(metrics: dict[str, Any], task: str, model: str, metric: str) -> str:
    value, details = metrics["tasks"][task][model][metric], metrics["details"][task]
    if np.isnan(value):
        return "-"
    if model == DECODER:
        return _with(value, details["intervals"][model][metric])
    return f"{value:.2f}{standing(details['differences'][model][metric], metric)}"


def _agreement(metrics: dict[str, Any], task: str) -> tuple[str, ...]:
    details = metrics["details"][task]
    limits, tolerance = details["bland_altman"][DECODER], details["tolerance"]
    within = "-"
    if tolerance:
        share = _score(metrics, task, DECODER, "within_tolerance")
        within = f"{share} in {tolerance['value']:g} {tolerance['unit']}"
    return (
        *_counts(metrics, task),
        *(_score(metrics, task, DECODER, metric) for metric in ("rmse", "icc")),
        _with(limits["bias"], limits["intervals"]["bias"]),
        f"{limits['low']:.2f} to {limits['high']:.2f}",
        within,
    )


def _with(value: float, interval: Interval) -> str:
    return f"{value:.2f} [-]" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _line(cells: tuple[str, ...]) -> str:
    return " & ".join(map(_escaped, cells)) + " \\\\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
