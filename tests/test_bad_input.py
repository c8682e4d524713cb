"""The commands with bad input: one line that names what is wrong, status 2, no traceback, nothing left at --out."""

from pathlib import Path

import numpy as np
import pytest
from processes import run_python

from biomechjax.cohort.folder import write_cohort
from biomechjax.motion.format import MotionFormat
from biomechjax.motion.recording import Recording

ROOT = Path(__file__).parents[1]
FORMAT = MotionFormat.from_dict({"name": "leg", "channels": [["knee", "rad", "knee", 1], ["hip", "rad", "hip", 1]]})
WALK = "x\nversion=1\nnRows=40\nnColumns=2\ninDegrees=yes\nendheader\ntime\tpelvis_tx\n" + "".join(
    f"{i / 100:.2f}\t{i / 80:.4f}\n" for i in range(40)
)


def one_walk(_):
    values = np.sin(np.arange(90, dtype=np.float32)[:, None] * np.float32([0.1, 0.2]))
    yield {"task": "walk", "activity": "walking"}, Recording(FORMAT, 30.0, values, np.ones(2, bool))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk whole and cut off, a cohort whole and with participants.tsv lacking its column `split`."""
    folder = tmp_path_factory.mktemp("input")
    (folder / "walk.mot").write_text(WALK)
    (folder / "cut.mot").write_text(WALK[:-40])
    (folder / "empty").mkdir()
    people = [{"participant_id": "sub-01", "split": "train"}, {"participant_id": "sub-02", "split": "test"}]
    for name in ("cohort", "columnless"):
        write_cohort(
            folder / name,
            name=name,
            simulated=False,
            format=FORMAT,
            tracking_system="markers",
            participants=people,
            trials=one_walk,
        )
    table = folder / "columnless" / "participants.tsv"
    table.write_text(table.read_text().replace("split", "group"))
    return folder


def failure(folder: Path, command: str, **environment: str) -> str:
    """The only line that a failing command writes to stderr; arguments with a dot or slash are paths in `folder`."""
    words = command.split()
    # Naming GLIBC_TUNABLES keeps a command from starting itself twice, which would double the time of these tests.
    settings = {"GLIBC_TUNABLES": ""} | environment
    process = run_python(ROOT / "scripts" / words[0], *words[1:], cwd=folder, timeout_s=120, **settings)
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    return line


TOKENIZER = ROOT / "configs" / "quickstart_tokenizer.py"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("ask.py --ckpt empty --motion nosuch.mot speed?", ["nosuch.mot", "no such file"]),
        # The recording is checked before the checkpoint is opened, which takes longer.
        ("ask.py --ckpt empty --motion cut.mot speed?", ["cut.mot", "line 44", "cut off in row 37"]),
        ("ask.py --ckpt empty --motion walk.mot speed?", ["empty: not a checkpoint folder"]),
        ("ask.py --ckpt empty --motion walk.mot", ["no question"]),
        ("prepare_data.py --source ui-prmd --input empty --out out", ["empty"]),
        (
            "prepare_data.py --source table --input nosuch.csv --out out",
            ["nosuch.csv: not readable as a table of trials"],
        ),
        ("prepare_data.py --source bids --input empty --out out", ["participants.tsv: not readable"]),
        (f"train_tokenizer.py --config {TOKENIZER} --data columnless --out out", ["participants.tsv", "split"]),
        ("train.py --config nosuch.py --data empty --out out", ["--config nosuch.py", "no such file"]),
        (
            f"train_tokenizer.py --config {TOKENIZER} --data cohort --out out --strategy nosuch",
            ["strategy 'nosuch'", "'dp'"],
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(folder: Path, command: str, named: list[str]):
    before = sorted(folder.iterdir())
    line = failure(folder, command)
    for text in named:
        assert text in line
    assert sorted(folder.iterdir()) == before


def test_what_stands_at_out_is_left_alone(folder: Path):
    files = sorted((folder / "cohort").rglob("*"))
    line = failure(folder, "prepare_data.py --source synthetic --participants 4 --out cohort")
    assert "cohort: exists already" in line
    assert sorted((folder / "cohort").rglob("*")) == files
