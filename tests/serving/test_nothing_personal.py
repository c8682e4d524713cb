"""From recordings that name people to the answers of a server: every file on the way, and all that is said."""

import contextlib
import importlib
import io
import json
import shutil
import sys
from pathlib import Path

import planted
import pytest
import tiny
from planted import found_below, found_in

pytest.importorskip("starlette", reason="serving needs the extra serve")
pytest.importorskip("uvicorn", reason="serving needs the extra serve")

from served import serving

from biomechjax.cohort.bids_source import prepare_bids
from biomechjax.cohort.folder import Cohort, Trial
from biomechjax.cohort.privacy import SALT_FILE, read_salt
from biomechjax.cohort.table_source import prepare_table
from biomechjax.data.records import Records
from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.evaluation.baselines.baseline import CONSTANT
from biomechjax.evaluation.evaluate import evaluate, write_results
from biomechjax.evaluation.report.page import write_report
from biomechjax.language import config as shapes
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training.config import DecoderExperiment, TokenizerExperiment, TrainConfig
from biomechjax.training.decoder import train_decoder
from biomechjax.training.tokenizer import train_tokenizer
from biomechjax.training.trained import TrainedDecoder

STEP = TrainConfig(steps=1, batch_size=4, learning_rate=1e-3, save_every=1)
SHAPE = dict(width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, mlp_width=64, global_every=2)


@pytest.mark.slow
def test_from_a_cohort_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        cohorts, model, trial = run_all(tmp_path, monkeypatch)
    runs = tmp_path / "runs"
    files = {p.name: p.read_bytes() for p in (trial.path, trial.channels, trial.sidecar)}
    files |= {n: (trial.path.parents[2] / n).read_bytes() for n in ("motion_format.json", "dataset_description.json")}
    with serving(model) as client:
        status, shown = client.upload(files)
        replied = client.ask(key=shown["key"], question="What is the diagnosis?")
        about = client.send("GET", "/about")[2]
    assert (status, replied[0]) == (200, 200)
    assert found_in(said.getvalue() + json.dumps([shown, replied]) + about.decode()) == []
    assert found_below(runs) == {}

    # It was there to be seen: each of these names people, by the pseudonyms of the cohorts.
    people = {*cohorts[0].participants}
    for file in ("tokenizer/config.json", "decoder/config.json", "eval/predictions.jsonl", "eval/report.html"):
        assert any(person in (runs / file).read_text(encoding="utf-8") for person in people), file
    assert any(person in said.getvalue() for person in people)
    # The salts stay where they are.
    for cohort in cohorts:
        salt = read_salt(cohort.path / SALT_FILE)
        holders = [
            p
            for p in runs.rglob("*")
            if p.is_file() and (salt in p.read_bytes() or salt.hex().encode() in p.read_bytes())
        ]
        assert holders == [cohort.path / SALT_FILE]


def run_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Cohort], TrainedDecoder, Trial]:
    """The commands' work from sources, which go away, to an answer about a test participant's first trial."""
    sources, runs = tmp_path / "sources", tmp_path / "runs"
    table, bids = planted.lay_out_table(sources / "table"), planted.lay_out_bids(sources / "bids")
    prepare_table(table, runs / "table")
    prepare_bids(bids, runs / "bids", str(bids / "walker.toml"))
    shutil.rmtree(sources)
    cohorts = [Cohort.load(runs / name) for name in ("table", "bids")]
    train_tokenizer(TokenizerExperiment(STEP, tiny.TOKENIZER, window=32), [c.path for c in cohorts], runs / "tokenizer")
    tokenizer = MotionTokenizer.load(runs / "tokenizer" / "motion_tokenizer")
    records = [runs / f"{c.path.name} records" for c in cohorts]
    for cohort, folder in zip(cohorts, records, strict=True):
        write_records(tokenizer, cohort, folder, ViewConfig())
    monkeypatch.setitem(shapes.PRESETS, "tiny", SHAPE)
    train_decoder(DecoderExperiment(STEP, "tiny", row_length=256), records, runs / "decoder")
    model, tested = TrainedDecoder.load(runs / "decoder"), Records(records[0])
    metrics, answered = evaluate(model, tested, baselines=(CONSTANT,))
    write_results(metrics, answered, model.run, runs / "eval")
    write_report(metrics, answered, tested.read("test"), model, "eval.py", runs / "eval" / "report.html")
    (trial, *_) = cohorts[0].trials_of("test")
    words = ("--ckpt", runs / "decoder", "--motion", trial.path, "--data", records[0], "What is the diagnosis?")
    monkeypatch.setattr(sys, "argv", ["ask.py", *map(str, words)])
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or it would start this process again
    importlib.import_module("ask").main()
    return cohorts, model, trial
