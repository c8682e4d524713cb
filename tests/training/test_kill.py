"""A training command that is killed without warning and run again ends as one that ran through."""

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny
from processes import environment

from biomechjax.training.config import TokenizerExperiment, TrainConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEPS, SAVE_EVERY = 240, 16
EXPERIMENT = TokenizerExperiment(
    TrainConfig(STEPS, batch_size=4, learning_rate=1e-3, warmup_steps=3, log_every=1, save_every=SAVE_EVERY),
    dataclasses.replace(tiny.TOKENIZER, quantizer="rvq", levels=2, reset_below=0.6, ema_decay=0.7),
    window=32,
)


def start(cohort: Path, out: Path) -> subprocess.Popen:
    config = out.parent / "config.py"
    config.write_text(
        "from biomechjax.data.views import ViewConfig\n"
        "from biomechjax.tokenizer.config import TokenizerConfig\n"
        "from biomechjax.training.config import TokenizerExperiment, TrainConfig\n"
        f"def config(): return {EXPERIMENT!r}\n"
    )
    command = [sys.executable, ROOT / "scripts/train_tokenizer.py", "--config", config, "--data", cohort, "--out", out]
    env = environment(XDG_CACHE_HOME=str(out.parents[1]))
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> None:
    said, _ = process.communicate()
    assert process.returncode == 0, said[-3000:]


def rows(out: Path) -> list[dict[str, float]]:
    """Whole lines of the log, without the pace."""
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{k: v for k, v in row.items() if k != "seconds_per_step"} for row in found]


def final_state(out: Path) -> dict[str, bytes]:
    manager = ocp.CheckpointManager(out / "steps")
    assert manager.latest_step() == STEPS
    state = manager.restore(STEPS, args=ocp.args.Composite(state=ocp.args.StandardRestore()))["state"]
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def test_killed_and_run_again_equals_never_killed(cohort, tmp_path):
    """Parameters, optimizer, codebooks, the finished tokenizer and every logged row, to the bit."""
    whole, parts = tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    for out in (whole, parts):
        out.parent.mkdir()
    finish(start(cohort.path, whole))

    process, kill_at = start(cohort.path, parts), random.randrange(SAVE_EVERY + 1, STEPS // 2)
    while process.poll() is None and max((row["step"] for row in rows(parts)), default=0) < kill_at:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.communicate()[0][-3000:]
    killed_at = rows(parts)[-1]["step"]
    print("to be killed at step", kill_at, "killed after", killed_at)
    assert kill_at <= killed_at < STEPS
    assert not (parts / "motion_tokenizer").exists()
    finish(start(cohort.path, parts))

    expected, found = final_state(whole), final_state(parts)
    assert any("codes" in path for path in expected) and any("opt_state" in path for path in expected)
    assert found.keys() == expected.keys()
    assert [path for path in expected if found[path] != expected[path]] == []
    file = Path("motion_tokenizer", "tokenizer.safetensors")
    assert (parts / file).read_bytes() == (whole / file).read_bytes()
    # Steps between the last one saved and the kill are logged once more, and as before.
    assert [row for row in rows(parts) if row not in rows(whole)] == []
    assert {row["step"] for row in rows(parts)} == set(range(1, STEPS + 1))
    assert sum(row.get("resets", 0) for row in rows(whole) if row["step"] > killed_at) > 0
