"""The tables on screen, in CSV and in LaTeX, of answers whose scores are known."""

import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console

from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.tables import latex_tables, print_tables, standing, write_csv
from biomechjax.tasks.registry import BY_NAME

MEAN, LINEAR, TREES = "majority/mean", "linear", "extra trees"
MODELS = ("decoder", MEAN, LINEAR, TREES)


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
        "splits": "kfold:5:0",
        "decoders": ["decoder"],
        "absent": {"MiniRocket": "needs --cohort"},
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


def column(text: str, table: str, task: str) -> dict[str, list[str]]:
    """The cells of a task in a table, by model, with the cell below."""
    lines = text[text.index(f"{table}. ") :].split("└")[0].splitlines()
    heads = [[c.strip() for c in line.split("┃")[1:-1]] for line in lines if line.startswith("┃")]
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    place = [" ".join(words).strip() for words in zip(*heads, strict=True)].index(task)
    below = [*rows[1:], rows[-1]]
    return {row[0]: [row[place], other[place]] for row, other in zip(rows, below, strict=True) if row[0]}


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
    people = "clinic_1 & 100% (SIMULATED people): 40 participants of the test split (kfold:5:0), free answers"
    assert re.sub(r"\s+", " ", text).count(people) == 5
    accuracy, macro = (column(text, f"Labels: {score}", "affected side") for score in ("accuracy", "macro-F1"))
    assert list(accuracy) == ["n", "people", *MODELS]
    assert (accuracy["n"][0], accuracy["people"][0]) == ("120", "40")
    assert accuracy["decoder"] == ["0.67", "[0.67, 0.67]"]
    assert [accuracy[m][0] for m in (MEAN, LINEAR, TREES)] == ["0.00", "0.67†", "1.00‡"]
    low, high = of_forty["details"]["affected side"]["intervals"]["decoder"]["macro_f1"]
    value = of_forty["tasks"]["affected side"]["decoder"]["macro_f1"]
    assert macro["decoder"] == [f"{value:.2f}", f"[{low:.2f}, {high:.2f}]"]
    assert high - low > 0.01 and [macro[m][0][-1] for m in (LINEAR, TREES)] == ["†", "‡"]
    speed = column(text, "Numbers: MAE", "walking speed")
    assert speed["decoder"] == ["0.07", "[0.07, 0.07]"] and speed[TREES][0] == "0.02‡"
    assert column(text, "Numbers: Pearson r", "cadence")["decoder"] == ["-", ""]
    assert column(text, "Numbers: Pearson r", "walking speed")[MEAN][0] == "-"


def agreement(text: str, task: str) -> list[str]:
    line = next(line for line in text[text.index("Agreement. ") :].splitlines() if line.startswith(f"│ {task} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_screen_shows_the_decoders_agreement(of_forty):
    speed = agreement(printed(of_forty), "walking speed")
    assert speed[:5] == ["walking speed", "decoder", "120", "40", "0.000"]
    assert speed[7] == "0.07 [0.07, 0.07]" and speed[8] == "-0.12 to 0.25"
    assert speed[9] == "0.67 [0.67, 0.67] in 0.1 m/s"
    assert agreement(printed(of_forty), "cadence")[9] == "-"


def test_of_few_people_no_interval_is_shown():
    text = printed(results(3))
    found = column(text, "Labels: accuracy", "affected side")
    assert found["decoder"] == ["0.67", "[-]"]
    assert [found[m][0] for m in (MEAN, LINEAR, TREES)] == ["0.00?", "0.67?", "1.00?"]
    assert "fewer than 8 people" in re.sub(r"\s+", " ", text)


def test_who_is_not_there_is_told(of_forty):
    told = "Not there: MiniRocket: needs --cohort."
    assert re.sub(r"\s+", " ", printed(of_forty)).count(told) == 4
    assert latex_tables(of_forty, "trained").count(told) == 4
    assert "Not there" not in printed(of_forty | {"absent": {}})


def test_any_models_and_ways_to_answer_have_rows_of_their_own(of_forty):
    """A second decoder is marked as any other; one that has no answer to a task has a dash there."""

    def renamed(by_model: dict, names: dict) -> dict:
        return {names.get(model, model): of for model, of in by_model.items()}

    names = {"decoder": "decoder (free)", TREES: "decoder (scored)", MEAN: "a much longer name of a baseline"}
    metrics = of_forty | {
        "decoders": ["decoder (free)", "decoder (scored)"],
        "tasks": {t: renamed(m, names) for t, m in of_forty["tasks"].items()},
        "details": {
            t: {
                k: renamed(v, names) if k in ("intervals", "differences", "bland_altman") else v
                for k, v in about.items()
            }
            for t, about in of_forty["details"].items()
        },
    }
    del metrics["tasks"]["cadence"]["decoder (scored)"]
    text = printed(metrics)
    assert max(map(len, text.splitlines())) <= 200
    accuracy, error = column(text, "Labels: accuracy", "affected side"), column(text, "Numbers: MAE", "cadence")
    assert list(accuracy)[2:] == ["decoder (free)", "decoder (scored)", names[MEAN], LINEAR]
    assert accuracy["decoder (scored)"] == ["1.00‡", "[1.00, 1.00]"]
    assert error["decoder (scored)"] == ["-", ""]
    assert agreement(text, "walking speed")[1] == "decoder (free)"
    assert text.count("│ cadence ") == 1 and text.count("│ walking speed ") == 2


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
    assert text.count("\\begin{table*}") == text.count("\\end{table*}") == text.count("\\bottomrule") == 5
    assert text.count("clinic\\_1 \\& 100\\% (SIMULATED people): 40 participants") == 5
    provenance = "Code at commit abc\\_def, decoder trained at commit tr\\_ained, data sha256 0123456789ab."
    assert text.count(provenance) == 5
    assert "walking speed 0.1 m/s, minimal clinically important difference: Perera et al. 2006" in text
    assert "cadence" not in text[text.index("Tolerances") :].split("}")[0]
    assert not re.search(r"(?<!\\)[%#]", text.split("\n", 1)[1])
    for table in text.split("\\begin{tabular}")[1:]:
        columns = re.match(r"\{(l?r+)\}", table)[1]
        lines = [line for line in table.splitlines() if line.endswith("\\\\")]
        assert len(lines) >= 3
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)}
    assert "linear & 0.67$^\\dagger$ \\\\" in text and "extra trees & 1.00$^\\ddagger$ \\\\" in text
    assert [m for m in re.findall(r"label{tab:(.*?)}", text)] == [
        "accuracy",
        "macro-f1",
        "mae",
        "pearson-r",
        "agreement",
    ]
    assert "SIMULATED" not in latex_tables(of_forty | {"simulated": False}, "tr_ained")
