"""The tokenizer for UI-PRMD's Vicon angles: few people, short trials, so two frames a token and varied views of each.

Participant s07 does the one-sided exercises with the other side than s01 to s06 do: mirrored recordings matter here.
"""

from biomechjax.data.views import ViewConfig
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import TokenizerExperiment, TrainConfig


def config() -> TokenizerExperiment:
    return TokenizerExperiment(
        train=TrainConfig(steps=1500, batch_size=32, learning_rate=1e-3, save_every=500),
        model=TokenizerConfig(width=128, stages=1, ema_decay=0.95, reset_below=0.25, channel_dropout=0.0),
        views=ViewConfig(count=4, scale=0.2, hidden=0.0),
    )
