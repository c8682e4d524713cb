"""What `benchmark.py tokenizer` times: whole training steps, and encoding windows to codes.

Rates count the convolutions and matrix products as the architecture states them.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from benchmark_timing import OURS, Work, torch_threads

from biomechjax.motion.format import MotionFormat
from biomechjax.parallel.runner import Runner
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

TRAINING, ENCODING = "training step", "encoding"
TRAIN = TrainConfig(steps=1_000_000, batch_size=0, learning_rate=1e-4, warmup_steps=0)

Batch = dict[str, np.ndarray]
Calls = dict[str, Callable[[], Any]]


def random_batch(windows: int, frames: int, channels: int) -> Batch:
    """Whole windows of noise with every channel observed, as `losses.Batch`."""
    features = np.random.default_rng(0).normal(size=(windows, frames, channels)).astype(np.float32)
    ones = np.ones((windows, max(frames, channels)), np.float32)
    return {"features": features, "observed": ones[:, :channels].copy(), "valid": ones[:, :frames].copy()}


def works(config: TokenizerConfig, format: MotionFormat, windows: int, frames: int) -> list[Work]:
    """A step of `train_tokenizer` and the encoding of `MotionTokenizer`, on windows of so many frames.

    Raises:
        InputError: the networks in PyTorch do not cover this configuration.
    """
    batch = random_batch(windows, frames, format.size)
    who = {OURS: our_calls(config, format, batch)}
    if importlib.util.find_spec("torch"):
        who["PyTorch"] = torch_calls(config, format, batch)
    steps = windows * frames // config.frames_per_step
    return [
        Work(name, {w: calls[name] for w, calls in who.items()}, steps * count)
        for name, count in operations(config, format.size).items()
    ]


def our_calls(config: TokenizerConfig, format: MotionFormat, batch: Batch) -> Calls:
    model, quantizer = Autoencoder(config, format.size), find_quantizer(config)
    params = init_params(model, jax.random.key(0))
    networks = {"params": jax.tree.map(np.array, params["params"])}  # of their own: the step donates its state
    codes = np.random.default_rng(1).normal(size=(config.levels, config.codebook_size, config.code_width))
    optimizer = make_optimizer(TRAIN)
    runner = Runner("dp", make_step(tokenizer_learner(model, format), optimizer, 0), jax.devices()[:1])
    state = runner.place_state(init_state(params, quantizer.init_state(), optimizer))
    windows = (batch["features"], batch["observed"][:, None], batch["valid"])
    networks, table, windows = jax.device_put((networks, codes.astype(np.float32), windows))

    def step() -> Any:
        nonlocal state
        state, metrics = runner.step(state, runner.place_batch(batch))
        return runner.metrics(metrics)

    return {
        TRAINING: step,
        ENCODING: lambda: np.asarray(encode_windows(model, networks, table, *windows, None)),
    }


def torch_calls(config: TokenizerConfig, format: MotionFormat, batch: Batch) -> Calls:
    """The same in PyTorch; see `Tokenizer` there for what it raises."""
    torch_threads()
    import torch
    from torch_tokenizer import Tokenizer, Trainer

    weights = losses.channel_weights(config, format)
    trainer = Trainer(Tokenizer(config, weights), TRAIN.learning_rate, TRAIN.beta2, TRAIN.clip_norm)
    finished, windows = Tokenizer(config, weights), {name: torch.from_numpy(x) for name, x in batch.items()}
    torch.nn.init.normal_(finished.codebook.codes)
    return {TRAINING: lambda: trainer.step(batch), ENCODING: lambda: finished.encode(**windows).numpy()}


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
