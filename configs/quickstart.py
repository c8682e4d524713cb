"""The decoder of `make quickstart`: about a million parameters, eight minutes on two cores."""

from biomechjax.training.config import DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(steps=1100, batch_size=18, learning_rate=2.5e-3, weight_decay=0.05, save_every=200),
    )
