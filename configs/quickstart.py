"""The decoder of `make quickstart`: about a million parameters, 700 steps."""

from biomechjax.data.mixture import MixtureConfig
from biomechjax.training.config import DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(
            steps=700, batch_size=13, learning_rate=2.5e-3, optimizer="muon", weight_decay=0.05, save_every=150
        ),
        mixture=MixtureConfig(shortest=5, longest=120),
        row_length=512,
        codes_per_step=4,
    )
