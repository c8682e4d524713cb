"""The quickstart's decoder with a sentence about each recording in place of motion tokens."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.training.config import DecoderExperiment

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    base: DecoderExperiment = load_config(BASE)
    return dataclasses.replace(base, mixture=dataclasses.replace(base.mixture, movement="text"))
