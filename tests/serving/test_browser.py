"""The page in a real browser: a file is dropped, the skeleton moves, a question is answered, nothing is complained of.

BROWSER_PYTHON may name a Python that has playwright; the browser is the machine's own Chromium.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="serving needs the extra serve")
pytest.importorskip("uvicorn", reason="serving needs the extra serve")

from served import mot, serving, tiny_model

from biomechjax.evaluation.inquiry import open_movement, reply
from biomechjax.motion.readers import read_recording

RUN = Path(__file__).with_name("browser_run.py")
QUESTION = "Which side is affected?"


@pytest.fixture(scope="module")
def browser() -> tuple[str, str]:
    """A Python with playwright, and a Chromium."""
    python = os.environ.get("BROWSER_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import playwright"], capture_output=True).returncode:
        pytest.skip(f"no playwright for {python}; set BROWSER_PYTHON to a Python that has it")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return python, found


@pytest.mark.slow
def test_the_page_in_a_browser(browser: tuple[str, str], tmp_path: Path):
    (tmp_path / "walk.mot").write_bytes(mot())
    model = tiny_model()
    with serving(model) as client:
        python, chromium = browser
        words = [python, RUN, f"http://127.0.0.1:{client.port}/", tmp_path / "walk.mot", QUESTION, chromium, tmp_path]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    movement = open_movement(model, read_recording(tmp_path / "walk.mot"))
    (expected,) = reply(model, movement, [QUESTION], explained=True)
    assert expected.explanation and expected.explanation.probabilities
    wide, narrow = json.loads(done.stdout)
    for seen in (wide, narrow):
        assert seen["console"] == [] and seen["violations"] == []
        assert seen["moved"] and seen["paused"] and seen["turned_by_key"] and seen["turned_by_dragging"]
        assert seen["end"] == 2.97 and seen["frame"] == pytest.approx(1 / 30, abs=0.011)
        assert (
            "walk.mot" in seen["facts"] and "SIMULATED" in seen["header"] and "not a medical device" in seen["header"]
        )
        assert "SIMULATED" in seen["notes"]
        assert (seen["question"], seen["answer"]) == (QUESTION, expected.answer or "(no words)")
        chances = expected.explanation.probabilities
        assert seen["options"] == sorted(chances, key=lambda option: -chances[option])
        assert seen["windows"] == len(expected.explanation.windows)
        assert seen["second_window_from"] == pytest.approx(expected.explanation.windows[1].start_s, abs=0.01)
        assert not seen["wider_than_screen"]
