"""The PyTorch tokenizer that ours is timed beside computes the same: latents, codes, frames, losses, trained steps."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

pytest.importorskip("torch", reason="the comparison is with PyTorch's convolutions: pip install torch")
import torch
from torch_tokenizer import Tokenizer, Trainer, load

from biomechjax.errors import InputError
from biomechjax.parallel.runner import Runner
from biomechjax.tokenizer import losses
from biomechjax.tokenizer.averages import Codebook
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.start import init_params
from biomechjax.tokenizer.tokenizer import encode_windows
from biomechjax.training.config import TrainConfig
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import BAD, init_state, make_step
from biomechjax.training.tokenizer import tokenizer_learner

# Nothing random: no channel is hidden, and no code falls under the share where it is replaced.
CONFIG = dataclasses.replace(tiny.TOKENIZER, channel_dropout=0.0, reset_below=0.0)
MODEL = Autoencoder(CONFIG, tiny.FORMAT.size)
WEIGHTS = losses.channel_weights(CONFIG, tiny.FORMAT)


@pytest.fixture
def batch():
    """Four windows of 32 frames: one with padding, one with two channels unobserved."""
    features = np.random.default_rng(0).normal(size=(4, 32, tiny.FORMAT.size)).astype(np.float32)
    observed, valid = np.ones((4, tiny.FORMAT.size), np.float32), np.ones((4, 32), np.float32)
    valid[1, 20:] = 0
    observed[2, [1, 6]] = 0
    return {"features": features, "observed": observed, "valid": valid}


@pytest.fixture
def both(batch):
    """Our parameters and codes [Q,E], which are latents of the batch, and PyTorch's tokenizer with the same."""
    params = init_params(MODEL, jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.05 * np.random.default_rng(p.size).normal(size=p.shape).astype("f"), params)
    latents = MODEL.apply(params, batch["features"], batch["observed"][:, None], batch["valid"], method="encode")
    codes = np.asarray(latents).reshape(-1, CONFIG.code_width)[::2][: CONFIG.codebook_size]
    other = Tokenizer(CONFIG, WEIGHTS)
    load(other, params, codes)
    return params, codes, other


def test_latents_frames_and_codes_are_the_same(both, batch):
    params, codes, other = both
    features, observed, valid = batch["features"], batch["observed"], batch["valid"]
    theirs = {name: torch.from_numpy(x) for name, x in batch.items()}
    latents = MODEL.apply(params, features, observed[:, None], valid, method="encode")
    with torch.no_grad():
        other_latents = other.encoder(theirs["features"], theirs["observed"][:, None], theirs["valid"])
        other_frames = other.decoder(torch.tensor(np.asarray(latents)), theirs["valid"])
    np.testing.assert_allclose(other_latents, latents, atol=1e-4)
    real = valid[:, :: CONFIG.frames_per_step] > 0
    np.testing.assert_allclose(other_frames, MODEL.apply(params, latents, valid, method="decode"), atol=1e-4)
    chosen = encode_windows(MODEL, params, codes[None], features, observed[:, None], valid, None)[..., 0]
    assert len(np.unique(chosen)) > 4
    np.testing.assert_array_equal(other.encode(**theirs).numpy()[real], np.asarray(chosen)[real])


def test_trained_steps_are_the_same(both, batch):
    """Loss terms, the gradient's norm, the perplexity, and after three steps the parameters and the codes."""
    params, codes, other = both
    train = TrainConfig(steps=10, batch_size=4, learning_rate=1e-3, warmup_steps=0, final_ratio=1.0, clip_norm=0.5)
    optimizer = make_optimizer(train)
    runner = Runner("dp", make_step(tokenizer_learner(MODEL, tiny.FORMAT), optimizer, 0), jax.devices()[:1])
    book = Codebook(codes[None], np.ones((1, len(codes)), np.float32), codes[None], np.ones(1, bool))
    state = runner.place_state(init_state(params, book, optimizer))
    trainer = Trainer(other, train.learning_rate, train.beta2, train.clip_norm)
    for _ in range(3):
        state, ours = runner.step(state, runner.place_batch(batch))
        theirs = trainer.step(batch)
        assert theirs | {BAD: 0.0} == pytest.approx(runner.metrics(ours), rel=1e-4)
    expected = Tokenizer(CONFIG, WEIGHTS)
    load(expected, state.params)
    for name, parameter in expected.named_parameters():
        np.testing.assert_allclose(other.get_parameter(name).detach(), parameter.detach(), atol=1e-4, err_msg=name)
    np.testing.assert_allclose(other.codebook.codes, state.extra.codes[0], atol=1e-4)


def test_what_it_has_not_is_refused():
    with pytest.raises(InputError, match="vq_ema"):
        Tokenizer(dataclasses.replace(CONFIG, travel_weight=1.0), WEIGHTS)
