"""The quickstart's decoder, trained on recordings as they were captured, without views of them."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.training.config import DecoderExperiment

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    return dataclasses.replace(load_config(BASE), views=1)
