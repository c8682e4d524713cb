"""The evaluation of a tokenizer from checkpoint to files: whose movement it is of, and whose it must not be."""

import csv
import io
import json
import re
import runpy
from pathlib import Path

import pytest
import tiny
from rich.console import Console

from biomechjax.cohort.folder import Cohort, write_cohort
from biomechjax.errors import InputError
from biomechjax.evaluation.tokenizer import (
    TrainedTokenizer,
    evaluate_tokenizer,
    print_tokenizer_tables,
    write_tokenizer_results,
)
from biomechjax.tokenizer.metrics import reconstruction
from biomechjax.training.checkpoint import LAYOUT

NAME = "six walkers"
SCRIPT = Path(__file__).parents[2] / "scripts" / "eval.py"


def write_run(folder: Path, cohort: Cohort) -> Path:
    """A tokenizer as if it had been trained on a cohort."""
    folder.mkdir(parents=True)
    run = {
        "layout": LAYOUT,
        "kind": "tokenizer",
        "data": str(cohort.path),
        "data_hash": cohort.data_hash(),
        "cohort": cohort.name,
        "simulated": cohort.simulated,
        "git_commit": "0123abcd",
        "train_participants": {cohort.name: sorted({t.participant for t in cohort.trials_of("train")})},
    }
    (folder / "config.json").write_text(json.dumps(run))
    tiny.tokenizer().save(folder / "motion_tokenizer")
    return folder


def with_splits(out: Path, name: str = NAME, **splits: str) -> Cohort:
    """The six people with other splits, or real ones of another name."""
    people = [{**row, "split": splits.get(row["participant_id"][4:], row["split"])} for row in tiny.PEOPLE]
    write_cohort(
        out,
        name=name,
        simulated=name == NAME,
        format=tiny.FORMAT,
        tracking_system="markers",
        participants=people,
        trials=tiny.trials_of,
    )
    return Cohort.load(out)


@pytest.fixture(scope="module")
def folder(cohort, tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "tokenizer", cohort)


@pytest.fixture(scope="module")
def result(folder):
    trained = TrainedTokenizer.load(folder)
    return evaluate_tokenizer(trained, trained.cohort(None))


def test_the_table_is_of_held_out_people_of_the_training_cohort(result, cohort):
    recordings = [cohort.read(t) for t in cohort.trials_of("test")]
    expected = reconstruction(tiny.tokenizer(), recordings)
    assert {name: result[name] for name in expected} == expected
    assert {r.source.split("/")[-3] for r in recordings} == {"sub-05", "sub-06"}
    about = (f"{NAME} (simulated)", True, "test", 2, 6)
    assert tuple(result[k] for k in ("data", "simulated", "split", "participants", "trials")) == about
    assert result["minutes"] == pytest.approx(sum(r.duration_s for r in recordings) / 60)
    assert result["model"]["git_commit"] == "0123abcd"


def test_the_folder_in_the_run_is_the_same_tokenizer(result, folder):
    trained = TrainedTokenizer.load(folder / "motion_tokenizer")
    same = evaluate_tokenizer(trained, trained.cohort(None))
    assert same | {"tokenizer": ""} == result | {"tokenizer": ""}


def test_a_tokenizer_of_unknown_people_is_refused(tmp_path):
    tiny.tokenizer().save(tmp_path / "motion_tokenizer")
    with pytest.raises(InputError, match="not a checkpoint folder"):
        TrainedTokenizer.load(tmp_path / "motion_tokenizer")


def test_nobody_who_trained_is_evaluated(folder, tmp_path):
    """One who trained and one who was held out have changed places; the rest of such a cohort cannot be told apart
    from one of other people by its hash alone."""
    trained = TrainedTokenizer.load(folder)
    with pytest.raises(InputError, match="sub-02 is held out there, but the tokenizer was trained on 1 such"):
        trained.cohort(with_splits(tmp_path / "a", **{"02": "test", "05": "train"}).path)
    with pytest.raises(InputError, match="sub-01 is held out there"):
        trained.cohort(with_splits(tmp_path / "b", **{"01": "validation"}).path)
    fewer = with_splits(tmp_path / "c", **{"04": "train"})
    assert trained.cohort(fewer.path).trials_of("test")
    others = with_splits(tmp_path / "d", "other walkers", **{"01": "test"})
    found = evaluate_tokenizer(trained, trained.cohort(others.path))
    assert (found["data"], found["simulated"], found["participants"]) == ("other walkers", False, 3)


def test_a_cohort_that_changed_must_be_named(cohort, tmp_path):
    people = with_splits(tmp_path / "cohort")
    trained = TrainedTokenizer.load(write_run(tmp_path / "run", people))
    assert trained.cohort(None).name == f"{NAME} (simulated)"
    table = people.path / "participants.tsv"
    table.write_text(table.read_text().replace("41", "42"))
    with pytest.raises(InputError, match="changed since the tokenizer was trained; name the cohort with --data"):
        trained.cohort(None)
    assert trained.cohort(people.path).name == f"{NAME} (simulated)"


def test_an_empty_split_is_refused(folder, tmp_path):
    nobody = with_splits(tmp_path / "cohort", "others", **{"04": "test"})
    with pytest.raises(InputError, match="split 'validation' is empty"):
        evaluate_tokenizer(TrainedTokenizer.load(folder), nobody, "validation")


def printed(results) -> str:
    console = Console(width=500, file=io.StringIO())
    print_tokenizer_tables(results, console)
    return re.sub(r"\s+", " ", console.file.getvalue())


def test_the_screen_says_whose_movement_it_is(result):
    text = printed([result])
    for part in (
        f"{NAME} (simulated) (SIMULATED people): 2 participants, 6 trials",
        "test split",
        "at commit 0123abcd",
    ):
        assert part in text, part
    assert f"joint angles, mean absolute error (degrees) │ {result['angle_error_deg']:.2f} " in text
    row = result["channels"]["knee_r"]
    assert f"│ knee_r │ {row['error_deg']:.2f} │ {row['rmse_deg']:.2f} " in text
    assert f"│ 1 │ {result['levels'][0]['code_use']:.2f} " in text
    assert "joint centres" not in text  # of a format without a body
    assert "SIMULATED" not in printed([result | {"simulated": False, "model": result["model"] | {"simulated": False}}])


def test_several_evaluations_are_a_line_each(result, tmp_path):
    other = result | {"data": "other walkers", "quantizer": "rvq", "angle_error_deg": 98.76}
    text = printed([result, other])
    assert f"{NAME} (simulated) (SIMULATED people), test" in text and "other walkers (SIMULATED people), test" in text
    assert re.search(
        r"rvq │ six walkers \(simulated\) \(SIMULATED\) at commit 0123abcd │ other walkers[^│]*│ 2 │ 7.50 │ 98.76", text
    )
    write_tokenizer_results([result, other], tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())[1]["angle_error_deg"] == 98.76


def test_files_hold_every_figure(result, tmp_path):
    write_tokenizer_results([result], tmp_path / "eval")
    text = (tmp_path / "eval" / "metrics.json").read_text()
    assert json.loads(text) == result and "NaN" not in text
    rows = list(csv.DictReader((tmp_path / "eval" / "table.csv").open()))
    values = {(row["of"], row["name"], row["figure"]): float(row["value"]) for row in rows}
    assert values["all", "", "angle_error_deg"] == result["angle_error_deg"]
    assert values["channels", "heading", "rmse_deg"] == result["channels"]["heading"]["rmse_deg"]
    assert values["joints", "hip", "error_deg"] == result["joints"]["hip"]["error_deg"]
    assert values["levels", "1", "perplexity"] == result["levels"][0]["perplexity"]
    assert {(row["data"], row["simulated"], row["split"]) for row in rows} == {(f"{NAME} (simulated)", "True", "test")}


def run_command(monkeypatch, *words) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # without it the command would start itself again in place of the tests
    monkeypatch.setattr("sys.argv", ["eval.py", *map(str, words)])
    runpy.run_path(str(SCRIPT))["main"]()


def test_command(folder, result, tmp_path, monkeypatch, capsys):
    run_command(monkeypatch, "--ckpt", folder, "--out", tmp_path / "one")
    assert json.loads((tmp_path / "one" / "metrics.json").read_text()) == result
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["metrics.json", "reconstruction.png", "table.csv"]
    assert "SIMULATED" in capsys.readouterr().out

    others = with_splits(tmp_path / "others", "other walkers")
    words = ("--ckpt", folder, folder / "motion_tokenizer", "--data", result["model"]["data"], others.path)
    run_command(monkeypatch, *words, "--out", tmp_path / "four")
    four = json.loads((tmp_path / "four" / "metrics.json").read_text())
    assert [r["data"] for r in four] == [f"{NAME} (simulated)", "other walkers"] * 2
    assert [Path(r["tokenizer"]).name for r in four] == ["tokenizer"] * 2 + ["motion_tokenizer"] * 2
    with pytest.raises(InputError, match="several --ckpt or --data: .* and --out given"):
        run_command(monkeypatch, *words)
