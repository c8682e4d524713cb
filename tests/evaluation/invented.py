"""An evaluation with invented answers, for the page: people with awkward names, a canonical tokenizer, no decoder."""

import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import tiny

from biomechjax.data.records import Record
from biomechjax.evaluation import evaluate as evaluation
from biomechjax.evaluation.answers import Answered, Question
from biomechjax.evaluation.report.page import report
from biomechjax.language.vocabulary import Vocabulary
from biomechjax.motion.format import load_format
from biomechjax.tasks.registry import BY_NAME
from biomechjax.tasks.task import Choice
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.model import Autoencoder
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Statistics
from biomechjax.training.trained import TrainedDecoder

EVIL = '<script>document.title="run"</script><img src=x onerror="document.title=1">\'"&'
PEOPLE = 24
READ, LEVELS, STEPS = 3, 3, 40  # codes of a step that the decoder reads, of four with that of its travel
ASKED = ("impairment", "diagnosis", "walking speed")
COMMAND = "python scripts/eval.py --ckpt 'a folder' </pre><script>"


@functools.cache
def tokenizer() -> MotionTokenizer:
    """Untrained, of canonical movement; its codes are random."""
    config = TokenizerConfig(
        width=8, depth=1, quantizer="rvq", codebook_size=16, code_width=4, levels=LEVELS, travel=True
    )
    format, rng = load_format("canonical"), np.random.default_rng(0)
    model = Autoencoder(config, format.size)
    seen = (np.ones((1, 64, format.size)), np.ones((1, 1, format.size)), np.ones((1, 64)))
    shapes = jax.eval_shape(model.init, jax.random.key(0), *seen)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32), shapes)
    names = np.array(format.names)
    mean, std = np.where(names == "pelvis_ty", 0.95, 0.0), np.where(names == "pelvis_ty", 0.01, 0.3)
    table = rng.normal(0, 1, (LEVELS, 16, 4)).astype(np.float32)
    moves = np.stack([rng.uniform(0, 0.2, 16), np.zeros(16), rng.normal(0, 0.02, 16)], axis=1).astype(np.float32)
    return MotionTokenizer(config, (format,), {format.name: Statistics(mean, std)}, params, table, moves)


@functools.cache
def model() -> TrainedDecoder:
    """Everything of a decoder but the network."""
    run = {
        "kind": "decoder",
        "experiment": {"train": {"steps": 3}, "note": EVIL},
        "data_hash": "1234",
        "cohort": EVIL,
        "simulated": True,
        "git_commit": "trained0",
    }
    words = tiny.vocabulary()
    reads = Vocabulary(words.tokenizer, READ * 16, READ)
    return TrainedDecoder(tiny.decoder_config(), None, reads, tokenizer(), {"mixture": {"longest": 240}}, run)


@functools.cache
def records() -> dict[str, list[Record]]:
    """Two walks of each person; ages span the bands, the sexes are told apart by the parity, the last has no age."""
    rng = np.random.default_rng(1)
    of_split = {}
    for split, first in (("train", 100), ("test", 0)):
        mine = []
        for person in range(PEOPLE):
            ill = person % 3 == 0
            labels: dict[str, str | float] = {
                "activity": "overground walking",
                "sex": ("female", "male")[person % 2],
                "age": 12.0 + 3 * person,
                "diagnosis": "stroke" if ill else "none",
                "impairment": "yes" if ill else "no",
                "walking_speed_m_s": round(float(rng.uniform(0.4, 1.6)), 3),
            }
            if person == PEOPLE - 1:
                del labels["age"]
            name = f"sub-{EVIL}" if person == 3 else f"sub-{first + person:03d}"
            for run in (1, 2):
                codes = rng.integers(0, 16, (STEPS, LEVELS + 1)) + np.arange(LEVELS + 1) * 16
                trial = f"{name}/motion/run-{run}{EVIL if person == 4 else ''}.tsv"
                mine.append(Record(name, trial, labels, [codes.ravel()], [1.0], rng.normal(size=9).tolist()))
        of_split[split] = mine
    return of_split


def answers(sure: bool) -> list[Answered]:
    """Men are answered right; of women every third label is wrong, and their speed said 0.3 too high, or unreadable."""
    out = []
    for number, record in enumerate(records()["test"]):
        woman = record.labels["sex"] == "female"
        for name in ASKED:
            task = BY_NAME[name]
            truth, chances = record.labels[task.label], None
            if isinstance(task.answer, Choice):
                other = task.answer.options[1] if truth != task.answer.options[1] else task.answer.options[0]
                said = other if woman and number % 3 == 0 else str(truth)
                if sure:
                    high = 0.5 + 0.4 * number / (2 * PEOPLE)
                    chances = {o: (1 - high) / (len(task.answer.options) - 1) for o in task.answer.options}
                    chances[said] = high
            else:
                said = "fast" + EVIL if number == 8 else f"{float(truth) + 0.3 * woman:.2f} m/s"
            question = task.held_out_questions[0]
            parsed = task.answer.parse(said)
            out.append(Answered(name, record.participant, record.trial, question, said, parsed, truth, chances))
    return out


@functools.cache
def evaluated(sure: bool = True) -> tuple[dict[str, Any], list[Answered]]:
    """What `evaluate` makes of these answers."""
    folder: Any = SimpleNamespace(
        path=Path("records"),
        tokenizer=tokenizer(),
        read=lambda split: records()[split],
        manifest={"cohort": f"clinic {EVIL}", "simulated": True},
        hash="0123456789abcdef",
    )
    given = answers(sure)
    asked = [Question(BY_NAME[name], record, "") for record in records()["test"] for name in ASKED]
    asked = [dataclasses.replace(q, text=one.question) for q, one in zip(asked, given, strict=True)]
    answering = SimpleNamespace(
        answers=lambda questions, way: [one.answer for one in given],
        probabilities=lambda questions: [one.probabilities for one in given],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "questions_about", lambda records: asked)
        patch.setattr(evaluation, "Answering", lambda *_: answering)
        patch.setattr(evaluation, "git_commit", lambda: "evaluated0")
        return evaluation.evaluate(model(), folder, probabilities=sure, baselines=("linear", "extra trees"))


@functools.cache
def page(sure: bool = True) -> str:
    """The page of it."""
    return report(*evaluated(sure), records()["test"], model(), COMMAND)
