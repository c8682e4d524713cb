"""Gemma-3-270M in 4 bits with adapters, for UI-PRMD: which exercise, and was it done correctly.

`--base` names the Hugging Face folder of google/gemma-3-270m.
"""

from biomechjax.data.mixture import MixtureConfig
from biomechjax.language.lora import LoraConfig
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(steps=400, batch_size=4, learning_rate=2e-4, warmup_steps=20, log_every=10, save_every=50),
        mixture=MixtureConfig(code_noise=0.2),
        adapt=AdaptConfig(lora=LoraConfig(rank=16, alpha=32.0, dropout=0.0)),
        row_answers=48,
        codes_per_step=4,
        unroll=18,  # all layers, for a CPU; --unroll 1 compiles faster
    )
