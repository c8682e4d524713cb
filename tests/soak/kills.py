"""A training that is killed again and again, at any moment, and must end as one that was left alone.

    .venv/bin/python tests/soak/kills.py --what decoder --kills 50

`kill -9` comes while the command starts, in a step, or in a save. Then the same command is run again. At the end every
array of the saved state and every logged row must equal, to the bit, those of a run that nobody killed. Prints a table.
"""

import argparse
import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "")

import numpy as np
import tiny
import tiny_base
from processes import environment

from biomechjax.data.tokenizing import write_records
from biomechjax.data.views import ViewConfig
from biomechjax.training.checkpoint import restore_state
from biomechjax.training.log import read_log

ROOT = Path(__file__).parents[2]
WHAT = ("tokenizer", "decoder", "lora", "nf4")
SAVE_EVERY = 20
TRAIN = "TrainConfig({}, batch_size=4, learning_rate=1e-3, warmup_steps=3, log_every=1, save_every={})"
IMPORTS = """
from biomechjax.language.config import PRESETS, DecoderConfig
from biomechjax.language.lora import LoraConfig
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TokenizerExperiment, TrainConfig
"""


def command(what: str, work: Path, steps: int, out: Path) -> list[str]:
    """What is run again and again."""
    config, train = work / "config.py", TRAIN.format(steps, SAVE_EVERY)
    if what == "tokenizer":
        model = dataclasses.replace(tiny.TOKENIZER, quantizer="rvq", levels=2, reset_below=0.6, ema_decay=0.7)
        experiment, script, data = f"TokenizerExperiment({train}, {model!r}, window=32)", "train_tokenizer", "cohort"
    else:
        weights = {"lora": "float32", "nf4": "nf4"}.get(what, "nf4")
        adapt = f"AdaptConfig(lora=LoraConfig(rank=4, dropout=0.1), weights={weights!r})"
        experiment = f"DecoderExperiment({train}, 'tiny', row_length=256, adapt={adapt})"
        script, data = "train", "records"
    shape = dataclasses.asdict(tiny.decoder_config())
    del shape["vocab_size"]
    config.write_text(f"{IMPORTS}\nPRESETS['tiny'] = {shape!r}\ndef config(): return {experiment}\n")
    found = [sys.executable, f"scripts/{script}.py", "--config", config, "--data", work / data, "--out", out]
    return [*map(str, found), *(["--base", str(work / "base")] if what in ("lora", "nf4") else [])]


def start(run: list[str], work: Path) -> subprocess.Popen[str]:
    env = environment(XDG_CACHE_HOME=str(work / "cache"))
    return subprocess.Popen(run, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def last_step(out: Path) -> int:
    return max((row["step"] for row in read_log(out)), default=0)


def killed(run: list[str], work: Path, out: Path, rng: random.Random) -> tuple[str, int, int] | None:
    """One life: (when it was killed, step that it began at, step that it had logged); None if it came to its end."""
    before, process = last_step(out), start(run, work)
    if rng.random() < 0.3:
        time.sleep(rng.uniform(0, 8))
    else:
        while process.poll() is None and last_step(out) in (0, before):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 2))
    saving = any((out / "steps").glob("*.orbax-checkpoint-tmp"))
    process.kill()
    said, _ = process.communicate()
    if process.returncode == 0:
        return None
    assert process.returncode == -signal.SIGKILL, said[-3000:]
    begun = re.search(r"steps (\d+) to ", said)
    phase = "in a save" if saving else "in a step" if begun else "while it started"
    return phase, int(begun[1]) if begun else -1, last_step(out)


def state_of(out: Path) -> dict[str, bytes]:
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(restore_state(out))
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def soak(what: str, kills: int, steps: int, seed: int, work: Path) -> str:
    """The table."""
    cohort = tiny.write_people(work / "cohort")
    if what != "tokenizer":
        write_records(tiny.tokenizer(), cohort, work / "records", ViewConfig(count=3), seed=5)
        tiny_base.write_base(work / "base")
    whole, parts = work / "whole", work / "parts"
    alone = start(command(what, work, steps, whole), work)
    said, _ = alone.communicate()
    assert alone.returncode == 0, said[-3000:]
    rng, lives, run = random.Random(seed), [], command(what, work, steps, parts)
    while len(lives) < kills:
        life = killed(run, work, parts, rng)
        if life is None:
            raise SystemExit(f"came to its end after {len(lives)} kills; more --steps")
        lives.append(life)
        print(f"{len(lives)} of {kills}: killed {life[0]}, at step {life[2]}", file=sys.stderr, flush=True)
    end = start(run, work)
    said, _ = end.communicate()
    assert end.returncode == 0, said[-3000:]
    begun = re.search(r"steps (\d+) to ", said)
    assert begun
    starts = [first for _, first, _ in lives[1:]] + [int(begun[1])]
    lost = [at - next_first for (_, _, at), next_first in zip(lives, starts, strict=True) if next_first >= 0]
    expected, found = state_of(whole), state_of(parts)
    differ = [name for name in expected if found.get(name) != expected[name]]
    rows = [[row | {"seconds_per_step": 0} for row in read_log(out)] for out in (whole, parts)]
    phases = {phase: sum(p == phase for p, _, _ in lives) for phase in ("while it started", "in a step", "in a save")}
    cells = [what, steps, kills, *phases.values(), max(lost), len(expected), len(differ), rows[0] == rows[1]]
    heads = ["run", "steps", "kills", *phases, "most steps lost", "arrays", "that differ", "log equal"]
    lines = [heads, ["---"] * len(heads), cells]
    assert max(lost) <= 2 * SAVE_EVERY and not differ and rows[0] == rows[1], cells
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=WHAT, default="decoder")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        print(soak(args.what, args.kills, args.steps, args.seed, Path(work)))


if __name__ == "__main__":
    main()
