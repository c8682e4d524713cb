"""The quickstart's decoder, of whose tokens one in ten is replaced by a random one in training."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.training.config import DecoderExperiment

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    base: DecoderExperiment = load_config(BASE)
    return dataclasses.replace(base, mixture=dataclasses.replace(base.mixture, code_noise=0.1))
