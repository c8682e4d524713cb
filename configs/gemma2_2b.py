"""Gemma-2-2B, all of it fine-tuned, on a slice of 16 chips or more; --adapt.method lora for adapters of a 4-bit base.

`--base` names the Hugging Face folder of google/gemma-2-2b. See docs/pods.md; `scripts/compare_sharding.py` says what a
strategy takes.
"""

from biomechjax.data.mixture import MixtureConfig
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TrainConfig


def config() -> DecoderExperiment:
    return DecoderExperiment(
        train=TrainConfig(steps=1000, batch_size=256, learning_rate=1e-5, warmup_steps=50, save_every=100),
        preset="gemma2_2b",
        mixture=MixtureConfig(code_noise=0.2),
        adapt=AdaptConfig(method="full", motion_rows="append"),
        row_length=1024,
        row_answers=256,
        codes_per_step=4,
        compute_dtype="bfloat16",
        remat="full",
    )
