"""A decoder for some 1,500 people: as large as that of quickstart.py, it reads more of each step and learns longer.

See docs/evaluation.md for how such people are simulated, and what came out.
"""

from biomechjax.data.mixture import MixtureConfig
from biomechjax.training.config import DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(
            steps=2000, batch_size=10, learning_rate=2.5e-3, optimizer="muon", weight_decay=0.05, save_every=250
        ),
        mixture=MixtureConfig(shortest=5, longest=120),
        row_length=768,
        codes_per_step=6,
    )
