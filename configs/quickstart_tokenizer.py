"""The tokenizer of `make quickstart`: a minute and a half on two cores; three tokens for eight frames."""

from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import TokenizerExperiment, TrainConfig


def config() -> TokenizerExperiment:
    return TokenizerExperiment(
        train=TrainConfig(steps=1200, batch_size=32, learning_rate=3e-3, save_every=400),
        model=TokenizerConfig(
            width=128,
            stages=3,
            quantizer="rvq",
            levels=3,
            level_dropout=0.0,
            velocity_weight=8.0,
            ema_decay=0.95,
            reset_below=0.25,
        ),
    )
