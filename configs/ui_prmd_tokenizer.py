"""The tokenizer for UI-PRMD's Vicon angles: nine tokens for eight frames, of which the decoder reads four.

Participant s07 does the one-sided exercises with the other side than s01 to s06 do: mirrored views matter here.
"""

from biomechjax.data.views import ViewConfig
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.training.config import TokenizerExperiment, TrainConfig


def config() -> TokenizerExperiment:
    return TokenizerExperiment(
        train=TrainConfig(steps=1000, batch_size=32, learning_rate=3e-3, optimizer="muon", save_every=500),
        model=TokenizerConfig(
            width=128,
            stages=3,
            quantizer="rvq",
            levels=9,
            level_dropout=0.0,
            ema_decay=0.95,
            reset_below=0.25,
            channel_dropout=0.0,
        ),
        views=ViewConfig(count=4, scale=0.2, hidden=0.0, mirrored=0.5),
    )
