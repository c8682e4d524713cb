"""ask.py and serve.py on a checkpoint: the same answers about the same file, as text, as JSON and from the page."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment, run_python

pytest.importorskip("starlette", reason="serving needs the extra serve")
pytest.importorskip("uvicorn", reason="serving needs the extra serve")

from served import Client

from biomechjax.language import config as shapes
from biomechjax.training.config import DecoderExperiment, TrainConfig
from biomechjax.training.decoder import train_decoder

SCRIPTS = Path(__file__).parents[2] / "scripts"
QUESTIONS = ("What is the diagnosis?", "Hm?")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(records_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder after one step."""
    out = tmp_path_factory.mktemp("serving") / "decoder"
    shape = dict(width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, mlp_width=64, global_every=2)
    train = TrainConfig(steps=1, batch_size=4, learning_rate=1e-3, save_every=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.PRESETS, "tiny", shape)
        train_decoder(DecoderExperiment(train, "tiny", row_length=256), [records_folder], out)
    return out


@pytest.fixture(scope="module")
def trial(cohort):
    return next(t for t in cohort.trials_of("train") if t.labels["activity"] == "timed up and go")


def ask(checkpoint: Path, trial, *flags: str) -> str:
    done = run_python(
        SCRIPTS / "ask.py", *QUESTIONS, "--ckpt", checkpoint, "--motion", trial.path, *flags, GLIBC_TUNABLES=""
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def as_json(checkpoint: Path, trial, records_folder: Path) -> dict:
    return json.loads(ask(checkpoint, trial, "--explain", "--data", str(records_folder), "--json"))


def test_ask_as_json(as_json: dict, trial):
    assert [r["question"] for r in as_json["replies"]] == list(QUESTIONS)
    assert as_json["movement"]["format"] == "walker" and as_json["model"]["simulated"] is True
    first, second = (r["explanation"] for r in as_json["replies"])
    assert sum(first["probabilities"].values()) == pytest.approx(1) and second["probabilities"] is None
    assert len(first["seconds_that_mattered"]) > 2
    near = as_json["nearest_training_trials"]
    assert near[0]["trial"].endswith(trial.path.name) and near[0]["distance"] == pytest.approx(0, abs=1e-3)
    assert "not a medical device" in as_json["disclaimer"]


def test_ask_as_text_says_the_same(as_json: dict, checkpoint: Path, trial, records_folder: Path):
    text = ask(checkpoint, trial, "--explain", "--data", str(records_folder))
    for said in as_json["replies"]:
        assert f"Q: {said['question']}\nA: {said['answer']}" in text
        for window in said["explanation"]["seconds_that_mattered"]:
            assert f"{window['start_s']:6.2f} - {window['end_s']:6.2f} s  {window['change']:+7.2f}" in text
    assert f"{as_json['nearest_training_trials'][1]['distance']:.2f} apart: sub-" in text
    assert "learned from SIMULATED people" in text and "not what causes it" in text


def test_flags_that_do_nothing_are_refused(checkpoint: Path, trial):
    words = ("?", "--ckpt", checkpoint, "--motion", trial.path, "--task", "diagnosis")
    done = run_python(SCRIPTS / "ask.py", *words, GLIBC_TUNABLES="")
    assert done.returncode == 2 and "--task is for --explain" in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_the_same_and_stops_when_asked_to(as_json: dict, checkpoint: Path, trial, cohort, stop):
    words = [sys.executable, str(SCRIPTS / "serve.py"), "--ckpt", str(checkpoint), "--port", "0"]
    settings = environment(GLIBC_TUNABLES="")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings) as process:
        assert process.stdout and process.stderr
        try:
            url = process.stdout.readline().split(" ")[0]
            assert "not a medical device" in process.stdout.readline()
            client = Client(int(url.rstrip("/").rpartition(":")[2]))
            files = {p.name: p.read_bytes() for p in (trial.path, trial.channels, trial.sidecar)}
            files |= {n: (cohort.path / n).read_bytes() for n in ("motion_format.json", "dataset_description.json")}
            status, found = client.upload(files)
            assert status == 200, found
            assert found["recording"] == as_json["movement"] | {"file": trial.path.name}
            for expected in as_json["replies"]:
                assert client.ask(key=found["key"], question=expected["question"], explain=True) == (200, expected)
            process.send_signal(stop)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert rest.strip() == "stopped"


def test_serve_says_what_it_cannot_open(tmp_path: Path):
    done = run_python(SCRIPTS / "serve.py", "--ckpt", tmp_path, "--port", "0", GLIBC_TUNABLES="")
    assert done.returncode == 2 and f"{tmp_path}: not a checkpoint folder" in done.stderr
