"""An evaluation with invented answers, for the page: people with awkward names, a canonical tokenizer, no decoder."""

import functools
from typing import Any

import jax
import numpy as np
import tiny

from biomechjax.data.records import Record
from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.calibration import calibration
from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.groups import by_group
from biomechjax.evaluation.intervals import BOOTSTRAP
from biomechjax.evaluation.report.page import report
from biomechjax.evaluation.tables import DECODER
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
def records() -> list[Record]:
    """Two walks of each person; ages span the bands, the sexes are told apart by the parity, the last has no age."""
    rng, mine = np.random.default_rng(1), []
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
        name = f"sub-{EVIL}" if person == 3 else f"sub-{person:03d}"
        for run in (1, 2):
            codes = rng.integers(0, 16, (STEPS, LEVELS + 1)) + np.arange(LEVELS + 1) * 16
            trial = f"{name}/motion/run-{run}{EVIL if person == 4 else ''}.tsv"
            mine.append(Record(name, trial, labels, [codes.ravel()], [1.0], []))
    return mine


def answers(sure: bool) -> list[Answered]:
    """Men are answered right; of women every third label is wrong, and their speed said 0.3 too high, or unreadable."""
    out = []
    for number, record in enumerate(records()):
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
    """These answers and the metrics of them, beside models that guess."""
    answered, rng = answers(sure), np.random.default_rng(2)
    tasks, details = {}, {}
    labels = [record.labels for record in records()]
    for name in ASKED:
        task, mine = BY_NAME[name], [a for a in answered if a.task == name]
        people, truth, said = [a.participant for a in mine], [a.truth for a in mine], [a.parsed for a in mine]
        given = {DECODER: said}
        if isinstance(task.answer, Choice):
            given |= {"majority/mean": [truth[1]] * len(mine), "linear": rng.permutation(truth).tolist()}
        else:
            given |= {"majority/mean": [1.0] * len(mine), "linear": rng.uniform(0.4, 1.6, len(mine)).tolist()}
        tasks[name], details[name] = compare(task, people, truth, given, 1.0)
        details[name]["groups"] = by_group(task, people, labels, truth, said, 1.0)
        if isinstance(task.answer, Choice) and sure:
            chances = np.array([[(a.probabilities or {})[o] for o in task.answer.options] for a in mine])
            true = np.array([task.answer.options.index(str(t)) for t in truth])
            details[name]["calibration"] = calibration(chances, true)
    return {
        "data": f"clinic {EVIL}",
        "simulated": True,
        "split": "test",
        "answers": "free",
        "participants": PEOPLE,
        "git_commit": "evaluated0",
        "data_hash": "0123456789abcdef",
        "bootstrap": BOOTSTRAP,
        "decoders": [DECODER],
        "absent": {},
        "tasks": tasks,
        "details": details,
    }, answered


@functools.cache
def page(sure: bool = True) -> str:
    """The page of it."""
    return report(*evaluated(sure), records(), model(), COMMAND)
