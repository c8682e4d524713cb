"""The tokenizer of `make quickstart`: nine tokens for eight frames, of which its decoder reads the first four.

One says where the person goes, the others refine each other.
"""

from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import TokenizerExperiment, TrainConfig


def config() -> TokenizerExperiment:
    return TokenizerExperiment(
        train=TrainConfig(steps=1200, batch_size=32, learning_rate=3e-3, optimizer="muon", save_every=600),
        model=TokenizerConfig(
            width=128,
            stages=3,
            quantizer="rvq",
            levels=8,
            level_dropout=0.0,
            travel=True,
            velocity_weight=4.0,
            root_weight=1.0,
            ema_decay=0.95,
            reset_below=0.25,
        ),
    )
