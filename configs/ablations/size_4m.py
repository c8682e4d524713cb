"""The quickstart's decoder in the shape 4m; its own is 1m."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.training.config import DecoderExperiment

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    return dataclasses.replace(load_config(BASE), preset="4m")
