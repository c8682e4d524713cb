"""The decoder for UI-PRMD: which exercise, and was it done correctly."""

from biomechjax.data.mixture import MixtureConfig
from biomechjax.training.config import DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(steps=400, batch_size=8, learning_rate=1e-3, weight_decay=0.1, save_every=100),
        mixture=MixtureConfig(code_noise=0.35),
        codes_per_step=4,
    )
