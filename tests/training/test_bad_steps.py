"""A step whose loss or gradient is no good changes nothing; its batch is kept, and the training does as it was told."""

import dataclasses
import json

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from biomechjax.errors import BadStep, InputError
from biomechjax.training.checkpoint import Checkpoints
from biomechjax.training.config import TrainConfig
from biomechjax.training.log import read_log
from biomechjax.training.loop import fit
from biomechjax.training.step import Learner

TRAIN = TrainConfig(steps=12, batch_size=4, learning_rate=0.1, warmup_steps=0, log_every=1, save_every=4)
START = {"w": np.float32(3.0)}
LEARNER = Learner(
    {"fit": 1.0},
    lambda batch: {"fit": jnp.sum(jnp.ones_like(batch["x"]))},
    lambda params, state, batch, keys: ({"fit": jnp.sum((params["w"] - batch["x"]) ** 2)}, jnp.sum(batch["x"])),
    lambda extra, total, key, reduction: ({"seen": extra["seen"] + reduction.sum(total)}, {}),
)


def batches(bad: dict[int, float], count: int = 100):
    """Batches of their own number, each 4 rows; `bad` has other values."""

    def of(number: int) -> dict[str, np.ndarray]:
        return {"x": np.full(4, bad.get(int(number), 0.01 * number), np.float32)}

    return iter(grain.MapDataset.range(count).map(of).to_iter_dataset())


def run(folder, bad, report=None, **changes):
    folder.mkdir(exist_ok=True)
    config = dataclasses.replace(TRAIN, **changes)
    return fit(LEARNER, START, {"seen": np.float32(0)}, batches(bad), config, folder, "dp", report)


@pytest.mark.parametrize("value", [np.nan, np.inf, 30.0])
@pytest.mark.parametrize("number", [4, 7])
def test_it_stops_at_the_step_and_keeps_the_batch(tmp_path, value, number):
    """Batch 4 is read in step 5; (3 - 30)^2 is finite, but over the limit. Step 8 is one that would be saved."""
    with pytest.raises(BadStep, match=rf"step {number + 1}: .*its batch is in .*step-{number + 1}.npz. Stopped: "):
        run(tmp_path / "run", {number: value})
    kept = tmp_path / "run" / "bad" / f"step-{number + 1}.npz"
    with np.load(kept, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["x"], np.full(4, value, np.float32))
    assert json.loads(kept.with_suffix(".json").read_text()).keys() == {"fit", "gradient_norm"}
    assert Checkpoints(tmp_path / "run").latest() == 4
    assert [row["step"] for row in read_log(tmp_path / "run")] == list(range(1, number + 1))


def test_skipped_is_as_if_the_batch_had_not_moved_anything(tmp_path):
    """By hand: plain SGD would hide moments that were poisoned, so this is AdamW, whose state must stay too."""
    found = run(tmp_path / "skip", {4: np.nan, 8: 1e6}, bad_steps="skip")
    expected = run(tmp_path / "whole", {}, loss_limit=100.0)
    assert int(found.step) == 12 and np.isfinite(found.params["w"]) and found.params["w"] != expected.params["w"]
    good = [0.01 * n for n in range(12) if n not in (4, 8)]
    assert float(found.extra["seen"]) == pytest.approx(4 * sum(good), rel=1e-6)
    counts = [int(x) for x in map(np.asarray, jax.tree.leaves(found.opt_state)) if x.dtype == np.int32]
    assert counts and set(counts) == {10}
    rows = read_log(tmp_path / "skip")
    assert [row["step"] for row in rows] == [n for n in range(1, 13) if n not in (5, 9)]
    assert sorted(p.name for p in (tmp_path / "skip" / "bad").glob("*.npz")) == ["step-5.npz", "step-9.npz"]


def test_it_goes_back_to_the_saved_step_with_the_batches_behind(tmp_path):
    """Bad in step 7: back to step 4 of batches 0 to 3, and on with batch 8, since 7 was under way when 6 was seen."""
    found = run(tmp_path / "run", {6: np.nan}, bad_steps="go_back", log_every=100)
    seen = [0, 1, 2, 3, *range(8, 16)]
    assert float(found.extra["seen"]) == pytest.approx(4 * 0.01 * sum(seen), rel=1e-6)
    assert int(found.step) == 12


def test_a_run_that_went_back_is_resumed_as_if_it_had_not_been_stopped(tmp_path):
    def crash(step, state):
        if step == 8:
            raise RuntimeError("crash")
        return {}

    whole = run(tmp_path / "whole", {6: np.nan}, bad_steps="go_back")
    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path / "parts", {6: np.nan}, crash, bad_steps="go_back")
    parts = run(tmp_path / "parts", {6: np.nan}, bad_steps="go_back")
    assert float(parts.params["w"]) == float(whole.params["w"])
    for name in ("whole", "parts"):
        assert [r["step"] for r in read_log(tmp_path / name) if "fit" in r] == list(range(1, 13))


def test_what_does_not_help_ends(tmp_path):
    every = dict.fromkeys(range(2, 100), np.nan)
    with pytest.raises(BadStep, match="Stopped after 10 such steps in a row"):
        run(tmp_path / "skip", every, bad_steps="skip")
    with pytest.raises(BadStep, match="no step has been saved to go back to"):
        run(tmp_path / "early", every, bad_steps="go_back")
    with pytest.raises(BadStep, match="after going back to step 4 3 times"):
        run(tmp_path / "back", dict.fromkeys(range(5, 100, 2), np.nan), bad_steps="go_back")


def test_words_that_are_none():
    with pytest.raises(
        InputError, match="--train.bad-steps forget --train.loss-limit 100.0: expected stop, skip, go_b"
    ):
        dataclasses.replace(TRAIN, bad_steps="forget")
    with pytest.raises(InputError, match="a limit above 0"):
        dataclasses.replace(TRAIN, loss_limit=float("nan"))
