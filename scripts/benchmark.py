"""Time the motion tokenizer on this CPU: whole training steps, and encoding windows to codes.

Where PyTorch is installed, the same networks in PyTorch take turns with ours in the same run, on the same data and
threads and with the same memory allocator, so that the ratios hold however busy the machine is. Rates count the
convolutions and matrix products as the architecture states them, beside what a float32 matrix product reaches here.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import biomechjax.keep_memory  # noqa: F401  before anything large is imported
from biomechjax.command import parse, run
from biomechjax.errors import InputError
from biomechjax.motion.format import CANONICAL, MotionFormat, load_format
from biomechjax.parallel.strategies import Runner
from biomechjax.tokenizer import losses
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.quantizer import find_quantizer
from biomechjax.tokenizer.start import init_params
from biomechjax.tokenizer.tokenizer import encode_windows
from biomechjax.training.config import TrainConfig
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import init_state, make_step
from biomechjax.training.tokenizer import tokenizer_learner

TRAINING, ENCODING, PRODUCT = "training step", "encoding", "matrix product"
SIDE = 2048  # of the matrices whose product says what the machine can do
TRAIN = TrainConfig(steps=1_000_000, batch_size=0, learning_rate=1e-4, warmup_steps=0)

Batch = dict[str, np.ndarray]
Calls = dict[str, Callable[[], Any]]
"""By name, what does a piece of work once and returns when it is done."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    work: tyro.conf.Positional[Literal["tokenizer"]]
    """What is timed."""
    model: TokenizerConfig = TokenizerConfig()
    batch: int = 64
    """Windows in a batch, of canonical channels."""
    window: int = 64
    """Frames of a window."""
    rounds: int = 20
    """Each piece of work is done once in every round, and the median counts."""
    out: Path | None = None
    """JSON file for the figures, and for what the machine is."""


def main() -> None:
    args = parse(Arguments, __doc__)
    config, format = args.model, load_format(CANONICAL)
    if min(args.batch, args.rounds) < 1 or args.window < 2 or args.window % config.frames_per_step:
        raise InputError(
            f"--batch {args.batch} --window {args.window} --rounds {args.rounds}: expected at least 1, whole steps of "
            f"{config.frames_per_step} frames, and at least 1"
        )
    jax.config.update("jax_platforms", "cpu")
    console = Console()
    batch = random_batch(args.batch, args.window, format.size)
    works = {"ours": our_calls(config, format, batch)}
    if importlib.util.find_spec("torch"):
        works["PyTorch"] = torch_calls(config, format, batch)
    else:
        console.print("PyTorch is not installed (pip install torch): only ours is timed.")
    seconds = timed(works, args.rounds)
    rate = 2 * SIDE**3 / seconds["ours"].pop(PRODUCT)
    steps = args.batch * args.window // config.frames_per_step
    rows = [
        {
            "work": work,
            "who": who,
            "seconds": taken,
            "times_as_fast": seconds["PyTorch"][work] / taken if "PyTorch" in seconds else None,
            "gflops": steps * count / taken / 1e9,
            "of_product": steps * count / taken / rate,
        }
        for work, count in operations(config, format.size).items()
        for who, taken in ((who, seconds[who][work]) for who in seconds)
    ]
    print_table(rows, rate, console)
    if args.out:
        report = {
            "rows": rows,
            "product_gflops": rate / 1e9,
            "machine": machine(),
            "arguments": dataclasses.asdict(args),
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1, default=str) + "\n")


def random_batch(windows: int, frames: int, channels: int) -> Batch:
    """Whole windows of noise with every channel observed, as `losses.Batch`."""
    features = np.random.default_rng(0).normal(size=(windows, frames, channels)).astype(np.float32)
    ones = np.ones((windows, max(frames, channels)), np.float32)
    return {"features": features, "observed": ones[:, :channels].copy(), "valid": ones[:, :frames].copy()}


def our_calls(config: TokenizerConfig, format: MotionFormat, batch: Batch) -> Calls:
    """A step of `train_tokenizer`, the encoding of `MotionTokenizer`, and a matrix product."""
    model, quantizer = Autoencoder(config, format.size), find_quantizer(config)
    params = init_params(model, jax.random.key(0))
    networks = {"params": jax.tree.map(np.array, params["params"])}  # of their own: the step donates its state
    codes = np.random.default_rng(1).normal(size=(config.levels, config.codebook_size, config.code_width))
    optimizer = make_optimizer(TRAIN)
    runner = Runner("dp", make_step(tokenizer_learner(model, format), optimizer, 0), jax.devices()[:1])
    state = runner.place_state(init_state(params, quantizer.init_state(), optimizer))
    windows = (batch["features"], batch["observed"][:, None], batch["valid"])
    networks, table, windows = jax.device_put((networks, codes.astype(np.float32), windows))
    matrix = jax.device_put(np.random.default_rng(2).normal(size=(SIDE, SIDE)).astype(np.float32))
    product = jax.jit(lambda a: a @ a)

    def step() -> Any:
        nonlocal state
        state, metrics = runner.step(state, runner.place_batch(batch))
        return runner.metrics(metrics)

    return {
        TRAINING: step,
        ENCODING: lambda: np.asarray(encode_windows(model, networks, table, *windows, None)),
        PRODUCT: lambda: product(matrix).block_until_ready(),
    }


def torch_calls(config: TokenizerConfig, format: MotionFormat, batch: Batch) -> Calls:
    """The same in PyTorch; see `Tokenizer` there for what it raises."""
    # Threads of its OpenMP that spin while the others work would make it slow as soon as two take turns on the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from torch_tokenizer import Tokenizer, Trainer

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    weights = losses.channel_weights(config, format)
    trainer = Trainer(Tokenizer(config, weights), TRAIN.learning_rate, TRAIN.beta2, TRAIN.clip_norm)
    finished, windows = Tokenizer(config, weights), {name: torch.from_numpy(x) for name, x in batch.items()}
    torch.nn.init.normal_(finished.codebook.codes)
    return {TRAINING: lambda: trainer.step(batch), ENCODING: lambda: finished.encode(**windows).numpy()}


def timed(works: dict[str, Calls], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of every call, after two turns that are not counted; in each round all have their turn."""
    taken: dict[str, dict[str, list[float]]] = {who: {work: [] for work in calls} for who, calls in works.items()}
    for _ in track(range(rounds + 2), "timing", transient=True):
        for work in (TRAINING, ENCODING, PRODUCT):
            for who, calls in works.items():
                if work in calls:
                    start = time.perf_counter()
                    calls[work]()
                    taken[who][work].append(time.perf_counter() - start)
    return {who: {work: statistics.median(s[2:]) for work, s in calls.items()} for who, calls in taken.items()}


def operations(config: TokenizerConfig, channels: int) -> dict[str, float]:
    """Floating-point operations of each piece of work for one step of the encoder.

    A gradient takes two products where the network takes one, but none is needed for the features.
    """
    c, step, square = config, config.frames_per_step, config.width**2
    reading = step * 2 * channels * (3 * c.width + c.code_width)
    encoder = reading + 3 * c.width * c.code_width
    decoder = c.code_width * (3 * c.width + step * channels) + step * 3 * (square + c.width * channels)
    for frames in (2**stage for stage in range(c.stages)):  # of each stage, after halving and before doubling
        encoder += frames * 4 * square * (1 + c.depth)
        decoder += frames * square * (4 * c.depth + 2 * 3)
    search = c.levels * c.codebook_size * c.code_width
    return {TRAINING: 2 * (3 * (encoder + decoder) - reading + search), ENCODING: 2 * (encoder + search)}


def print_table(rows: list[dict[str, Any]], rate: float, console: Console) -> None:
    """The rows, and beneath them the matrix product's `rate` per second."""
    table = Table(caption=f"float32 matrix product of {SIDE}: {rate / 1e9:.0f} GFLOP/s")
    for name in ("work", "who", "seconds", "PyTorch's time / this", "GFLOP/s", "of the product's"):
        table.add_column(name, justify="left" if name in ("work", "who") else "right")
    for row in rows:
        faster = "-" if row["times_as_fast"] is None else f"{row['times_as_fast']:.2f}"
        numbers = (f"{row['seconds']:.4f}", faster, f"{row['gflops']:.0f}", f"{row['of_product']:.0%}")
        table.add_row(row["work"], row["who"], *numbers)
    console.print(table)


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    versions = {name: importlib.metadata.version(name) for name in ("jax", "torch") if importlib.util.find_spec(name)}
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "allocator": os.environ.get("GLIBC_TUNABLES"),
        **versions,
    }


if __name__ == "__main__":
    run(main)
