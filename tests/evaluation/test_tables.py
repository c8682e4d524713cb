"""The tables on screen, in CSV and in LaTeX, of answers whose scores are known."""

import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.tables import MODELS, latex_tables, print_tables, standing, write_csv
from biomechjax.tasks.registry import BY_NAME

MEAN, LINEAR, TREES = MODELS[1:]


def results(people: int) -> dict:
    """The decoder beats the constant, is beaten by the trees, and is as good as the linear model, on other people."""
    rng = np.random.default_rng(0)
    participants = [f"sub-{i}" for i in range(people) for _ in range(3)]
    n = len(participants)
    side = rng.choice(["left", "right"], n).tolist()
    speed = rng.uniform(0.4, 1.6, n)
    third, other = np.arange(n) % 3 == 0, np.arange(n) % 3 == 1

    def sides(wrong):
        return [("left" if s == "right" else "right") if w else s for s, w in zip(side, wrong, strict=True)]

    labels = dict(zip(MODELS, (sides(third), ["none"] * n, sides(other), side), strict=True))
    errors = (0.2 * third, None, 0.2 * other, 0.05 * third)
    numbers = {m: [1.0] * n if e is None else (speed + e).tolist() for m, e in zip(MODELS, errors, strict=True)}
    cadence = {m: [100.0] * n for m in MODELS}
    asked = {
        "affected side": (side, labels),
        "walking speed": (list(speed), numbers),
        "cadence": (list(speed), cadence),
    }
    found = {name: compare(BY_NAME[name], participants, truth, given, 1.0) for name, (truth, given) in asked.items()}
    return {
        "data": "clinic_1 & 100%",
        "simulated": True,
        "split": "test",
        "answers": "free",
        "participants": people,
        "git_commit": "abc_def",
        "data_hash": "0123456789abcdef",
        "bootstrap": {"resamples": 2000, "level": 0.95, "least_participants": 8},
        "tasks": {name: scores for name, (scores, _) in found.items()},
        "details": {name: about for name, (_, about) in found.items()},
    }


@pytest.fixture(scope="module")
def of_forty() -> dict:
    return results(40)


def printed(metrics) -> str:
    console = Console(width=200, file=io.StringIO())
    print_tables(metrics, console)
    return console.file.getvalue()


def row(text: str, table: str, task: str) -> list[str]:
    mine = text[text.index(f"{table.capitalize()}. ") :]
    line = next(line for line in mine.splitlines() if line.startswith(f"│ {task} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_standing_of_a_model():
    assert standing({"difference": 0.2, "interval": [0.1, 0.3]}, "macro_f1") == ""
    assert standing({"difference": 0.2, "interval": [0.1, 0.3]}, "mae") == "‡"
    assert standing({"difference": -0.2, "interval": [-0.3, -0.1]}, "mae") == ""
    assert standing({"difference": -0.2, "interval": [-0.3, -0.1]}, "macro_f1") == "‡"
    assert standing({"difference": 0.1, "interval": [-0.01, 0.3]}, "macro_f1") == "†"
    assert standing({"difference": 0.0, "interval": [0.0, 0.0]}, "mae") == "†"
    assert standing({"difference": 0.9, "interval": None}, "macro_f1") == "?"
    assert standing({"difference": float("nan"), "interval": None}, "pearson_r") == ""


def test_the_screen_marks_whom_the_decoder_does_not_beat(of_forty):
    text = printed(of_forty)
    assert text.count("clinic_1 & 100% (SIMULATED people): 40 participants of the test split, free answers") == 3
    accuracy, macro = row(text, "labels", "affected side")[4:8], row(text, "labels", "affected side")[8:]
    assert accuracy == ["0.67 [0.67, 0.67]", "0.00", "0.67†", "1.00‡"]
    low, high = of_forty["details"]["affected side"]["intervals"]["decoder"]["macro_f1"]
    assert macro[0] == f"{of_forty['tasks']['affected side']['decoder']['macro_f1']:.2f} [{low:.2f}, {high:.2f}]"
    assert high - low > 0.01 and [cell[-1] for cell in macro[2:]] == ["†", "‡"]
    speed = row(text, "numbers", "walking speed")
    assert speed[:4] == ["walking speed", "120", "40", "0.000"]
    assert speed[4] == "0.07 [0.07, 0.07]" and speed[7] == "0.02‡" and speed[9] == "-"
    agreement = row(text, "agreement", "walking speed")
    assert agreement[6] == "0.07 [0.07, 0.07]" and agreement[7] == "-0.12 to 0.25"
    assert agreement[8] == "0.67 [0.67, 0.67] in 0.1 m/s"
    assert row(text, "agreement", "cadence")[8] == "-"


def test_of_few_people_no_interval_is_shown():
    text = printed(results(3))
    assert row(text, "labels", "affected side")[4:8] == ["0.67 [-]", "0.00?", "0.67?", "1.00?"]
    assert "fewer than 8 people" in re.sub(r"\s+", " ", text)


def test_csv_holds_every_figure_with_its_interval(of_forty, tmp_path):
    write_csv(of_forty, tmp_path / "tables.csv")
    rows = list(csv.DictReader((tmp_path / "tables.csv").open()))
    about = {(r["data"], r["simulated"], r["git_commit"], r["data_hash"], r["participants"]) for r in rows}
    assert about == {("clinic_1 & 100%", "True", "abc_def", "0123456789abcdef", "40")}
    found = {(r["task"], r["model"], r["metric"]): r for r in rows}
    assert len(found) == len(rows)
    for task, by_model in of_forty["tasks"].items():
        for model, scores in by_model.items():
            for metric, value in scores.items():
                line = found[task, model, metric]
                assert float(line["value"] or "nan") == pytest.approx(value, nan_ok=True)
                if (interval := of_forty["details"][task]["intervals"][model].get(metric)) is not None:
                    assert [float(line["low"]), float(line["high"])] == interval
    trees = found["affected side", TREES, "accuracy"]
    apart = of_forty["details"]["affected side"]["differences"][TREES]["accuracy"]
    assert float(trees["decoder_minus_model"]) == apart["difference"] == pytest.approx(-1 / 3)
    assert [float(trees["difference_low"]), float(trees["difference_high"])] == apart["interval"]
    assert found["affected side", "decoder", "accuracy"]["decoder_minus_model"] == ""
    limits = of_forty["details"]["walking speed"]["bland_altman"]["decoder"]
    assert float(found["walking speed", "decoder", "bland_altman_low"]["value"]) == limits["low"]
    assert float(found["walking speed", "decoder", "bland_altman_low"]["low"]) == limits["intervals"]["low"][0]


def test_latex_is_whole_and_escaped(of_forty):
    text = latex_tables(of_forty, "tr_ained")
    assert text.count("\\begin{table*}") == text.count("\\end{table*}") == text.count("\\bottomrule") == 3
    assert text.count("clinic\\_1 \\& 100\\% (SIMULATED people): 40 participants") == 3
    provenance = "Code at commit abc\\_def, decoder trained at commit tr\\_ained, data sha256 0123456789ab."
    assert text.count(provenance) == 3
    assert "walking speed 0.1 m/s, minimal clinically important difference: Perera et al. 2006" in text
    assert "cadence" not in text[text.index("Tolerances") :].split("}")[0]
    assert not re.search(r"(?<!\\)[%#]", text.split("\n", 1)[1])
    for table in text.split("\\begin{tabular}")[1:]:
        columns = re.match(r"\{(l?r+)\}", table)[1]
        lines = [line for line in table.splitlines() if line.endswith("\\\\")]
        assert len(lines) >= 3
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)}
    assert "0.67$^\\dagger$ & 1.00$^\\ddagger$" in text
    assert "SIMULATED" not in latex_tables(of_forty | {"simulated": False}, "tr_ained")
