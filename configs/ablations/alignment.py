"""The quickstart's decoder, of whose 700 steps the first 200 align movements with their descriptions."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.data.mixture import Kinds, MixtureConfig
from biomechjax.training.config import DecoderExperiment, Stage

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    align = MixtureConfig(kinds=Kinds(trial=0.0, caption=1.0, generation=1.0, continuation=1.0), shortest=5, longest=40)
    return dataclasses.replace(load_config(BASE), stages=(Stage(200, align),))
