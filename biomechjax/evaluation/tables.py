"""The results as tables: on screen, as lines of a CSV file, and in LaTeX for a paper."""

import csv
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from biomechjax.evaluation.intervals import Interval
from biomechjax.evaluation.metrics import LOWER_IS_BETTER
from biomechjax.evaluation.wording import brackets, brackets_legend, ends, score_words, with_interval

DECODER = "decoder"
AGREEMENT = "agreement"

BETTER, NO_BETTER, WORSE, UNTOLD = "", "†", "‡", "?"
ABOUT = ("data", "simulated", "split", "splits", "answers", "git_commit", "data_hash")
SHEETS = (("accuracy", "labels"), ("macro_f1", "labels"), ("mae", "numbers"), ("pearson_r", "numbers"))
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
    NO_BETTER: "$^\\dagger$",
    WORSE: "$^\\ddagger$",
}
COUNTS = ("task", "answers", "n", "people", "unparsable")


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
    """A table: heads, and rows of as many cells."""

    name: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def sheets(metrics: dict[str, Any]) -> list[Sheet]:
    """A table of each score, of a row for each model and a column for each task that has it, and one of the decoder's
    agreement with the true numbers; those that are not empty.

    A score of the decoder has its interval below it. One of another model, or of the decoder made to answer in another
    way than the first, has the mark of `standing`, and - is none.
    """
    found = [_of_score(metrics, score, kind) for score, kind in SHEETS]
    heads = (*COUNTS, "RMSE", "ICC(2,1)", "bias", "limits of agreement", "within tolerance")
    pairs = [
        (t, d) for t, by_model in metrics["tasks"].items() for d in metrics["decoders"] if "mae" in by_model.get(d, ())
    ]
    found.append(Sheet(AGREEMENT, heads, [_agreement(metrics, task, decoder) for task, decoder in pairs]))
    return [sheet for sheet in found if len(sheet.heads) > 1 and sheet.rows]


def _of_score(metrics: dict[str, Any], score: str, kind: str) -> Sheet:
    tasks = {name: by_model for name, by_model in metrics["tasks"].items() if score in next(iter(by_model.values()))}
    models = [*metrics["decoders"], *dict.fromkeys(m for by_model in tasks.values() for m in by_model)]
    rows = [
        ("n", *(f"{next(iter(by_model.values()))['n']:.0f}" for by_model in tasks.values())),
        ("people", *(str(metrics["details"][task]["participants"]) for task in tasks)),
    ]
    for model in dict.fromkeys(models):
        rows.append((model, *(_score(metrics, task, model, score) for task in tasks)))
        if model in metrics["decoders"]:
            rows.append(("", *(_interval(metrics, task, model, score) for task in tasks)))
    return Sheet(f"{kind}: {score_words(score)}", ("model", *tasks), rows)


def print_tables(metrics: dict[str, Any], console: Console) -> None:
    """The tables on screen."""
    for sheet in sheets(metrics):
        title = f"{sheet.name[0].upper()}{sheet.name[1:]}. {_people(metrics)}"
        table = Table(title=title, caption=_legend(metrics, sheet))
        for head in sheet.heads:
            table.add_column(head, justify="left" if head in ("model", "task", "answers") else "right")
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
        name = f"{sheet.name[0].upper()}{sheet.name[1:]}"
        caption = f"{name}. {_people(metrics)}. {_legend(metrics, sheet)} {provenance}"
        if sheet.name == AGREEMENT:
            caption += _tolerances(metrics)
        out += [
            "\\begin{table*}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
            f"\\caption{{{_escaped(caption)}}}\n\\label{{tab:{_label(sheet)}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(sheet.heads) - 1)}}}\n\\toprule",
            *(_line(heads) for heads in _in_lines(sheet.heads)),
            "\\midrule",
            *(_line(row) for row in sheet.rows),
            "\\bottomrule\n\\end{tabular}\n\\end{table*}\n",
        ]
    return "\n".join(out)


def write_csv(metrics: dict[str, Any], path: Path) -> None:
    """A line for every task, model and metric with its interval and the first decoder's difference; empty where
    undefined."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        of_decoder = ("decoder_minus_model", "difference_low", "difference_high")
        writer.writerow((*ABOUT, "task", "participants", "model", "metric", "value", "low", "high", *of_decoder))
        for task, details in metrics["details"].items():
            for model, metric, value, interval in _values(metrics["tasks"][task], details):
                apart = details["differences"].get(model, {}).get(metric, {"difference": np.nan, "interval": None})
                numbers = (value, *ends(interval), apart["difference"], *ends(apart["interval"]))
                about = (*(metrics[k] for k in ABOUT), task, details["participants"], model, metric)
                writer.writerow((*about, *("" if np.isnan(x) else x for x in numbers)))


def _values(by_model: dict[str, Any], details: dict[str, Any]) -> Iterator[tuple[str, str, float, Interval]]:
    """Every model's scores with their intervals, those of `bland_altman` and of the decoder's `calibration` too."""
    for model, figures in by_model.items():
        yield from ((model, name, value, details["intervals"][model].get(name)) for name, value in figures.items())
        limits = details.get("bland_altman", {}).get(model, {"intervals": {}})
        yield from ((model, f"bland_altman_{name}", limits[name], i) for name, i in limits["intervals"].items())
    sure, first = details.get("calibration", {}), next(iter(by_model))
    yield from ((first, f"calibration_{k}", v, None) for k, v in sure.items() if isinstance(v, float))


def _people(metrics: dict[str, Any]) -> str:
    """Whose movement was asked about, and how."""
    simulated = " (SIMULATED people)" if metrics["simulated"] else ""
    splits = f" ({metrics['splits']})" if metrics["splits"] else ""
    people = f"{metrics['participants']} participants of the {metrics['split']} split{splits}"
    return f"{metrics['data']}{simulated}: {people}, {metrics['answers']} answers"


def _legend(metrics: dict[str, Any], sheet: Sheet) -> str:
    """How the intervals were made, what the marks mean, and which models are not there."""
    intervals = brackets_legend(metrics["bootstrap"])
    if sheet.name == AGREEMENT:
        return f"The decoder's answers. {intervals}"
    return f"{marks_legend(metrics)} {intervals}"


def marks_legend(metrics: Mapping[str, Any]) -> str:
    """What the marks of `standing` mean, and which models are not there."""
    absent = "; ".join(f"{model}: {reason}" for model, reason in metrics["absent"].items())
    return (
        f"{NO_BETTER}: {metrics['decoders'][0]} is not significantly better than this; {WORSE}: it is significantly "
        f"worse ({metrics['bootstrap']['level']:.0%} interval of the paired difference, each by itself); {UNTOLD}: no "
        "such interval; no mark: it is significantly better." + (f" Not there: {absent}." if absent else "")
    )


def _tolerances(metrics: dict[str, Any]) -> str:
    """Where the tolerances were published."""
    found = {task: details.get("tolerance") for task, details in metrics["details"].items()}
    texts = [f"{task} {t['value']:g} {t['unit']}, {t['source']}" for task, t in found.items() if t]
    return f" Tolerances: {'; '.join(texts)}." if texts else ""


def _score(metrics: dict[str, Any], task: str, model: str, metric: str) -> str:
    value, details = metrics["tasks"][task].get(model, {}).get(metric, np.nan), metrics["details"][task]
    if np.isnan(value):
        return "-"
    apart = details["differences"].get(model)  # none of the first
    return f"{value:.2f}{standing(apart[metric], metric) if apart else ''}"


def _interval(metrics: dict[str, Any], task: str, model: str, metric: str) -> str:
    value = metrics["tasks"][task].get(model, {}).get(metric, np.nan)
    return "" if np.isnan(value) else brackets(metrics["details"][task]["intervals"][model][metric])


def _agreement(metrics: dict[str, Any], task: str, decoder: str) -> tuple[str, ...]:
    details, scores = metrics["details"][task], metrics["tasks"][task][decoder]
    intervals, limits, tolerance = details["intervals"][decoder], details["bland_altman"][decoder], details["tolerance"]
    within = "-"
    if tolerance:
        share = with_interval(scores["within_tolerance"], intervals["within_tolerance"])
        within = f"{share} in {tolerance['value']:g} {tolerance['unit']}"
    return (
        task,
        decoder,
        f"{scores['n']:.0f}",
        str(details["participants"]),
        f"{scores['unparsable']:.3f}",
        *(with_interval(scores[metric], intervals[metric]) for metric in ("rmse", "icc")),
        with_interval(limits["bias"], limits["intervals"]["bias"]),
        f"{limits['low']:.2f} to {limits['high']:.2f}",
        within,
    )


def _label(sheet: Sheet) -> str:
    return sheet.name.split(": ")[-1].lower().replace(" ", "-")


def _in_lines(heads: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Heads a word a line, the last words in the last line."""
    words = [head.split() for head in heads]
    most = max(map(len, words))
    return list(zip(*([*[""] * (most - len(some)), *some] for some in words), strict=True))


def _line(cells: tuple[str, ...]) -> str:
    return " & ".join(map(_escaped, cells)) + " \\\\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
