"""The evaluation of a tokenizer checkpoint: what held-out movement loses on its way to tokens and back."""

import csv
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from biomechjax.cohort.folder import Cohort
from biomechjax.errors import InputError
from biomechjax.motion.pictures import draw_reconstruction
from biomechjax.tokenizer.metrics import reconstruction, round_trip
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training import integrity
from biomechjax.training.checkpoint import check_unmet, read_config

# Figure, what it is called on the screen, its decimals.
FIGURES = (
    ("angle_error_deg", "joint angles, mean absolute error (degrees)", 2),
    ("angle_rmse_deg", "joint angles, root mean square error (degrees)", 2),
    ("velocity_error_deg_s", "joint angular velocity, mean absolute error (degrees/s)", 1),
    ("change_correlation", "frame-to-frame changes of joint angles, Pearson r", 2),
    ("length_error_mm", "channels in metres but for the place, mean absolute error (mm)", 1),
    ("mpjpe_mm", "joint centres seen from the pelvis, mean distance (mm)", 1),
    ("mpjpe_room_mm", "joint centres in the room, mean distance (mm)", 1),
    ("foot_slip_cm_s", "speed of standing feet (cm/s)", 1),
    ("original_slip_cm_s", "the same in the original (cm/s)", 1),
    ("root_drift_cm_per_10m", "drift of the root (cm per 10 m)", 1),
    ("code_use", "share of the codes in use", 2),
    ("perplexity", "perplexity of code use", 1),
    ("tokens_per_second", "tokens per second of movement", 2),
)
COLUMNS = ("angle_error_deg", "mpjpe_mm", "root_drift_cm_per_10m", "foot_slip_cm_s", "code_use", "perplexity")
PARTS = ("channels", "joints", "joint_centres")


@dataclasses.dataclass(frozen=True)
class TrainedTokenizer:
    """A tokenizer and the run that it is from, which says whom it was trained on."""

    folder: Path
    tokenizer: MotionTokenizer
    run: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "TrainedTokenizer":
        """Opens the --out of train_tokenizer.py, or the motion_tokenizer in it.

        Raises:
            InputError: it holds no finished tokenizer, or not the run that it is from.
        """
        of_run = folder.resolve().parent if is_bare_tokenizer(folder) else folder
        run = read_config(of_run, "tokenizer")
        integrity.check(of_run, integrity.FILES)
        return cls(folder, MotionTokenizer.load(of_run / "motion_tokenizer"), run)

    def cohort(self, data: Path | None) -> Cohort:
        """The cohort in a folder, or that of the training.

        Raises:
            InputError: that of the training has changed since, or it was one of several; or it holds people to be
                evaluated who trained.
        """
        hashes = self.run["data_hash"].split(", ")
        if data is None and len(hashes) > 1:
            raise InputError(f"{self.folder}: trained on {self.run['cohort']}; name the cohort to evaluate with --data")
        cohort = Cohort.load(data or self.run["data"])
        if cohort.data_hash() in hashes:
            return cohort
        if data is None:
            raise InputError(f"{cohort.path}: changed since the tokenizer was trained; name the cohort with --data")
        check_unmet(self.run, cohort.path, cohort.name, cohort.held_out)
        return cohort


def is_bare_tokenizer(folder: Path) -> bool:
    """Whether a folder is the motion_tokenizer of a run."""
    return (folder / "tokenizer.json").is_file()


def evaluate_tokenizer(trained: TrainedTokenizer, cohort: Cohort, split: str = "test") -> dict[str, Any]:
    """`reconstruction` of the trials of a split, and what they are: {"tokenizer", "quantizer", "data", "simulated",
    "split", "participants", "trials", "minutes", the figures..., "model": the run}.

    Raises:
        InputError: the split is empty, or the recordings are of another format than the tokenizer reads.
    """
    trials = cohort.trials_of(split)
    if not trials:
        raise InputError(f"{cohort.path}: split {split!r} is empty")
    recordings = [cohort.read(t) for t in track(trials, f"reading {split} trials", transient=True)]
    about = {
        "tokenizer": str(trained.folder),
        "quantizer": trained.tokenizer.config.quantizer,
        "data": cohort.name,
        "simulated": cohort.simulated,
        "split": split,
        "participants": len({t.participant for t in trials}),
        "trials": len(trials),
        "minutes": sum(r.duration_s for r in recordings) / 60,
    }
    model = {k: v for k, v in trained.run.items() if k != "train_participants"}
    return about | reconstruction(trained.tokenizer, recordings) | {"model": model}


def print_tokenizer_tables(results: Sequence[dict[str, Any]], console: Console) -> None:
    """One evaluation in full, or of several a line each."""
    if len(results) > 1:
        return _print_lines(results, console)
    (result,) = results
    whole = Table(title=f"{_people(result)}: {result['participants']} participants, {result['trials']} trials")
    whole.add_column(f"{result['tokenizer']} ({result['quantizer']}), trained on {_trained_on(result)}")
    whole.add_column(f"{result['split']} split,\n{result['minutes']:.1f} minutes", justify="right")
    for name, label, decimals in FIGURES:
        if name in result:
            whole.add_row(label, f"{result[name]:.{decimals}f}")
    console.print(whole)
    for part in (*PARTS, "levels"):
        rows = dict(_rows(result, part))
        if not rows:
            continue
        heads = list(dict.fromkeys(head for row in rows.values() for head in row))
        heads.sort(
            key=lambda head: ("_mm" in head, "correlation" in head)
        )  # channels in metres have columns of their own
        table = Table(title=f"{part.replace('_', ' ')}, {_people(result)}")
        table.add_column("")
        for head in heads:
            table.add_column(head.replace("_", " "), justify="right")
        for name, row in rows.items():
            table.add_row(name, *(f"{row[head]:.2f}" if head in row else "" for head in heads))
        console.print(table)


def _print_lines(results: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table(title="held-out participants")
    for head in ("tokenizer", "quantizer", "trained on", "data"):
        table.add_column(head)
    for head in ("participants", "tokens/s", *COLUMNS):
        table.add_column(head.replace("_", " "), justify="right")
    decimals = {name: n for name, _, n in FIGURES}
    for r in results:
        figures = (f"{r[name]:.{decimals[name]}f}" if name in r else "" for name in COLUMNS)
        about = (r["tokenizer"], r["quantizer"], _trained_on(r), f"{_people(r)}, {r['split']}")
        table.add_row(*about, str(r["participants"]), f"{r['tokens_per_second']:.2f}", *figures)
    console.print(table)


def _people(result: dict[str, Any]) -> str:
    return f"{result['data']}{' (SIMULATED people)' if result['simulated'] else ''}"


def _trained_on(result: dict[str, Any]) -> str:
    model = result["model"]
    return f"{model['cohort']}{' (SIMULATED)' if model['simulated'] else ''} at commit {model['git_commit']}"


def _rows(result: dict[str, Any], part: str) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each channel, joint or level by name."""
    if part == "levels":
        yield from ((str(n), row) for n, row in enumerate(result["levels"], start=1))
    else:
        yield from result.get(part, {}).items()


def write_tokenizer_results(results: Sequence[dict[str, Any]], out: Path) -> None:
    """`metrics.json`, one evaluation or a list of several, and `table.csv`, a line for every figure of each."""
    out.mkdir(parents=True, exist_ok=True)
    whole = results[0] if len(results) == 1 else list(results)
    (out / "metrics.json").write_text(json.dumps(whole, indent=1, allow_nan=False))
    with (out / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("tokenizer", "quantizer", "data", "simulated", "split", "of", "name", "figure", "value"))
        for r in results:
            about = [r[k] for k in ("tokenizer", "quantizer", "data", "simulated", "split")]
            writer.writerows([*about, "all", "", name, r[name]] for name, _, _ in FIGURES if name in r)
            for part in (*PARTS, "levels"):
                for name, row in _rows(r, part):
                    writer.writerows([*about, part, name, figure, value] for figure, value in row.items())


def draw_example(trained: TrainedTokenizer, cohort: Cohort, split: str, path: Path) -> None:
    """A picture of the first trial of a split and of what its tokens make of it."""
    recording = cohort.read(cohort.trials_of(split)[0])
    draw_reconstruction(*round_trip(trained.tokenizer, recording)).savefig(path)
