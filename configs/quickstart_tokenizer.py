"""The tokenizer of `make quickstart`: two minutes on two cores."""

from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import TokenizerExperiment, TrainConfig


def config() -> TokenizerExperiment:
    return TokenizerExperiment(
        train=TrainConfig(steps=2500, batch_size=32, learning_rate=1e-3, save_every=500),
        model=TokenizerConfig(width=128, ema_decay=0.95, reset_below=0.25),
    )
