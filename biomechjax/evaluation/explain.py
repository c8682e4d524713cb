"""What an answer about one recording depends on: probabilities, the seconds that mattered, recordings like it.

None of this is a cause. Probabilities are the model's own and need not be calibrated. The seconds that mattered are
found by occlusion (Zeiler & Fergus 2014, arXiv:1311.2901): see OCCLUSION for what is replaced by what.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from biomechjax.data.examples import Renderer, Segment
from biomechjax.data.records import Record, Records
from biomechjax.data.tokenizing import summary
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import label_probabilities
from biomechjax.language.score_answers import score_own_answers
from biomechjax.motion.recording import Recording
from biomechjax.tasks.task import Choice, Task
from biomechjax.tokenizer.tokenizer import MotionTokenizer
from biomechjax.training.trained import TrainedDecoder

WINDOW_S = 0.5  # about a step of a walker
MOST_WINDOWS = 16
OCCLUSION = (
    "Each stretch of time in turn is replaced by a straight line from the posture before it to the one after it (at "
    "either end by the nearest posture, held), and the model reads the movement again: how much less likely does the "
    "same answer become? This tells what the model's answer depends on, not what causes it or anything in the person. "
    "A movement with such a line in it is one that nobody makes, and what can be read in many places, as a rhythm, may "
    "show in none."
)
"""What `occlusion` does and what it does not say, for whoever reads its result."""
NEAREST = (
    "Nearest by mean, spread, least and greatest value of every channel and by duration, each over its spread among "
    "the training trials; not by what the model sees in them."
)
"""How `nearest_trials` are found."""
STEADY = 1e-6  # of a feature that never varies among the training trials


@dataclasses.dataclass(frozen=True)
class Window:
    """From `start_s` to `end_s` replaced, the answer's log-probability is `change` more (mostly: less) than without."""

    start_s: float
    end_s: float
    change: float


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A training trial, and how far the recording is from it: 1 is a typical difference of two of its features."""

    participant: str
    trial: str
    distance: float
    labels: dict[str, str | float]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What one answer depends on.

    Attributes:
        task: name of the task that the question asks for; None for a question of no task.
        probabilities: of each option of the task, summing to 1; None for other questions and for numbers.
        probability: of the very words of the answer among everything that the model can say.
        windows: in order of time, each with what the answer loses without it.
    """

    task: str | None
    probabilities: dict[str, float] | None
    probability: float
    windows: tuple[Window, ...]


def explain(
    model: TrainedDecoder, recording: Recording, question: str, answer: Sequence[int], task: Task | None = None
) -> Explanation:
    """What the model's answer (one of `answer_ids`) to a question about a recording, in a format that it reads, depends
    on."""
    chances = None
    if task and isinstance(task.answer, Choice):
        chances = label_probabilities(model, model.movements([recording]), [question], task)[0]

    def score(recordings: Sequence[Recording]) -> np.ndarray:
        return answer_log_probabilities(model, model.movements(recordings), question, answer)

    whole, windows = occlusion(recording, read_seconds(model, recording), score)
    return Explanation(task.name if task else None, chances, float(np.exp(whole)), windows)


def read_seconds(model: TrainedDecoder, recording: Recording) -> float:
    """How many seconds of a recording the model reads, from its start; in words all of them."""
    if model.reads_text:
        return recording.duration_s
    step_s = model.tokenizer.config.frames_per_step / model.tokenizer.config.rate_hz
    return min(recording.duration_s, model.longest * step_s)


def answer_log_probabilities(
    model: TrainedDecoder, movements: Sequence[Segment], question: str, answer: Sequence[int]
) -> np.ndarray:
    """log p [n] of the ids of one answer to one question about each movement, among all that the model can say."""
    renderer = Renderer(model.vocabulary)
    prompts = [(renderer.context((model.reads(m),)), renderer.question(question)) for m in movements]
    return score_own_answers(model.config, model.params, prompts, [answer] * len(prompts))


def occlusion(
    recording: Recording, seconds: float, score: Callable[[Sequence[Recording]], np.ndarray]
) -> tuple[float, tuple[Window, ...]]:
    """The score of a recording, and by how much it changes with each window of its first `seconds` replaced.

    The windows are equal and follow one another; there are as many as are WINDOW_S long, but 2 to MOST_WINDOWS.

    Args:
        recording: the movement.
        seconds: how much of it is looked at, from its start.
        score: log-probabilities [n] of n movements.
    """
    count = int(np.clip(seconds // WINDOW_S, 2, MOST_WINDOWS))
    edges = np.linspace(0, seconds, count + 1).tolist()
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    whole, *without = score([recording, *(without_seconds(recording, *span) for span in spans)])
    return float(whole), tuple(Window(*span, float(s - whole)) for span, s in zip(spans, without, strict=True))


def without_seconds(recording: Recording, start_s: float, end_s: float) -> Recording:
    """The recording with every channel a straight line from the frame before `start_s` to the first from `end_s` on.

    Where there is no frame on one side, that on the other side is held.
    """
    first, after = (int(np.ceil(s * recording.rate_hz - 1e-6)) for s in (start_s, end_s))
    values = recording.values.copy()
    kept = [i for i in (first - 1, after) if 0 <= i < len(values)]
    if not kept:
        raise ValueError(f"{start_s} to {end_s} s is all of a recording of {recording.duration_s} s")
    frames = np.arange(first, min(after, len(values)))
    weight = np.interp(frames, kept, np.linspace(0, 1, len(kept)))[:, None]
    values[frames] = (1 - weight) * values[kept[0]] + weight * values[kept[-1]]
    return dataclasses.replace(recording, values=values)


def nearest_trials(
    records: Records, tokenizer: MotionTokenizer, recording: Recording, count: int = 5
) -> tuple[Neighbour, ...]:
    """The training trials that are most like a recording, as NEAREST says; nearest first.

    Channels that were not recorded in it do not count.

    Raises:
        InputError: the records were written by another tokenizer, are of another format, or hold no training trials.
    """
    if not records.tokenizer.same_codes(tokenizer):
        raise InputError(f"{records.path}: written by another tokenizer than the decoder's; give those it learned from")
    train: list[Record] = records.read("train")
    if not train:
        raise InputError(f"{records.path}: no training trials")
    known = np.array([r.summary for r in train])
    own = np.array(summary(tokenizer, recording))
    if known.shape[1:] != own.shape:
        raise InputError(f"{records.path}: of another motion format than {recording.format.name}, so that none is near")
    spread = known.std(axis=0)
    counts = np.append(np.tile(recording.observed, 4), True) & (spread > STEADY)
    apart = np.sqrt((((known - own)[:, counts] / spread[counts]) ** 2).mean(axis=1)) / np.sqrt(2)
    return tuple(
        Neighbour(train[i].participant, train[i].trial, float(apart[i]), train[i].labels)
        for i in np.argsort(apart, kind="stable")[:count].tolist()
    )
