"""`report.html`: the evaluation as one page that a browser opens from disk.

Nothing is loaded from anywhere, and the page's Content-Security-Policy allows one script and one style, by their
hashes. The same results give the same bytes. Its size is bounded, whatever the size of the split: tasks are those of
the registry, and of answers `tasks.MOST_POINTS` are drawn, of groups `tables.MOST_GROUPS` shown, and of movements
`worst.MOVEMENTS`, each of `cards.LONGEST_S` at `cards.FASTEST_HZ`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from biomechjax.data.records import Record
from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.report.cards import cards, what_the_model_saw
from biomechjax.evaluation.report.tables import group_legend, group_tables, summary_legend, summary_tables
from biomechjax.evaluation.report.tasks import task_part, truth_text
from biomechjax.evaluation.worst import PER_TASK, trial_of, worst_answers
from biomechjax.motion.player import player_script, player_style
from biomechjax.provenance import versions
from biomechjax.training.trained import TrainedDecoder

HERE = Path(__file__).parent
NOT_A_DEVICE = "Research software, not a medical device: nothing on this page may guide the care of a person."
SIMULATED = (
    "SIMULATED people: nobody was recorded. The numbers tell whether the machinery works, not how it does in a clinic."
)
TRAINED_ON_SIMULATED = "The model was trained on SIMULATED people."


def write_report(
    metrics: Mapping[str, Any],
    answered: Sequence[Answered],
    records: Sequence[Record],
    model: TrainedDecoder,
    command: str,
    path: Path,
) -> None:
    """Writes the page of an evaluation.

    Args:
        metrics, answered: of `evaluate`; where a question was answered in several ways, the page is about the first.
        records: those that were asked about, whose movements are shown.
        model: the one that answered.
        command: what started the evaluation.
        path: of the file.
    """
    path.write_text(report(metrics, answered, records, model, command), encoding="utf-8")


def report(
    metrics: Mapping[str, Any],
    answered: Sequence[Answered],
    records: Sequence[Record],
    model: TrainedDecoder,
    command: str,
) -> str:
    """The page as text; arguments as of `write_report`."""
    style = player_style() + (HERE / "page.css").read_text(encoding="utf-8")
    script = player_script()
    answered = _first_ways(answered)
    worst = worst_answers(answered)
    shown = cards(worst, records, model)
    anchors = {(card.participant, card.trial): card.anchor for card in shown}
    simulated = f"{metrics['data']}{' (SIMULATED)' if metrics['simulated'] else ''}"
    return _template().render(
        title=f"How a decoder answers: {simulated}, {metrics['split']} split",
        policy=policy(script, style),
        style=Markup(style),
        script=Markup(script),
        notices=_notices(metrics, model.run),
        people=_people(metrics),
        legend=summary_legend(metrics),
        summary=summary_tables(metrics),
        groups={"about": group_legend(metrics), "tables": group_tables(metrics)},
        worst={"about": f"{_about_worst(metrics)} {what_the_model_saw(model)}", "cards": shown},
        tasks=[
            (
                task_part(metrics, task, [a for a in answered if a.task == task]),
                [_reference(one, anchors) for one in worst[task]],
            )
            for task in metrics["tasks"]
        ],
        origin=_origin(metrics, model.run, command),
        config=json.dumps(model.run, indent=1),
    )


def _first_ways(answered: Sequence[Answered]) -> list[Answered]:
    found: dict[tuple[str, ...], Answered] = {}
    for one in answered:
        found.setdefault((one.task, *trial_of(one)), one)
    return list(found.values())


def policy(script: str, style: str) -> str:
    """A Content-Security-Policy that allows this script and this style and nothing else, whatever the page holds."""
    return (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; base-uri 'none'; "
        "form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((HERE / "page.html").read_text(encoding="utf-8"))


def _notices(metrics: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    simulated = [SIMULATED] if metrics["simulated"] else [TRAINED_ON_SIMULATED] if run.get("simulated") else []
    return [*simulated, NOT_A_DEVICE]


def _people(metrics: Mapping[str, Any]) -> str:
    kind = "SIMULATED participants" if metrics["simulated"] else "participants"
    whom = f"{metrics['participants']} {kind} of the {metrics['split']} split of {metrics['data']}"
    divided = f", divided by {metrics['splits']}" if metrics.get("splits") else ""
    ways = (
        "free: anything, and what cannot be read counts as wrong; constrained: only what the task allows; scored: the "
        "likeliest of what it allows"
    )
    return f"{whom}{divided}. Answers: {metrics['answers']} ({ways})."


def _about_worst(metrics: Mapping[str, Any]) -> str:
    sure = any("calibration" in about for about in metrics["details"].values())
    labels = (
        "labels by how unlikely the truth was held to be"
        if sure
        else "labels by how many labels of the same trial are wrong"
    )
    return f"Up to {PER_TASK} answers of each task: numbers by how far off they are, {labels}."


def _reference(one: Answered, anchors: Mapping[tuple[str, str], str]) -> dict[str, str]:
    about = {"participant": one.participant, "answer": one.answer or "(nothing)", "truth": truth_text(one)}
    return about | {"anchor": anchors[trial_of(one)]}


def _origin(metrics: Mapping[str, Any], run: Mapping[str, Any], command: str) -> list[tuple[str, str]]:
    of_training = f"{run['data_hash']} ({run['cohort']}{', SIMULATED' if run['simulated'] else ''})"
    return [
        ("Command", command),
        ("Code", f"commit {metrics['git_commit']}"),
        ("Model trained at", f"commit {run['git_commit']}"),
        ("Data, sha256", metrics["data_hash"]),
        ("Training data, sha256", of_training),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]
