"""The quickstart's decoder with one task: impairment."""

import dataclasses
from pathlib import Path

from biomechjax.command import load_config
from biomechjax.tasks.registry import TASKS
from biomechjax.training.config import DecoderExperiment

BASE = Path(__file__).parents[1] / "quickstart.py"


def config() -> DecoderExperiment:
    base: DecoderExperiment = load_config(BASE)
    only = {task.name: float(task.name == "impairment") for task in TASKS}
    return dataclasses.replace(base, mixture=dataclasses.replace(base.mixture, tasks=only))
