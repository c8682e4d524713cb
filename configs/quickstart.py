"""The decoder of `make quickstart`: minutes on two cores."""

from biomechjax.training.config import DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(steps=800, batch_size=24, learning_rate=2e-3, weight_decay=0.05, save_every=200),
    )
