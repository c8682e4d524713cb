"""Questions about one recording: what is known of it beforehand, the answers, and both as text or JSON.

`scripts/ask.py` and the page of `scripts/serve.py` ask through `open_movement` and `reply`, so that they answer alike.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from biomechjax.data.examples import Segment
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import answer_ids, answer_text
from biomechjax.evaluation.explain import OCCLUSION, Explanation, Window, explain, read_seconds
from biomechjax.motion.recording import Recording
from biomechjax.motion.travel import straight_line_speed
from biomechjax.tasks.registry import BY_NAME, task_of
from biomechjax.training.trained import TrainedDecoder

SIMULATED = "The model learned from SIMULATED people; what it says of real ones is untried."
DISCLAIMER = "Research software, not a medical device: no answer may guide the care of a person."
BAR = 30  # characters of the longest bar
LEAST_CHANGE = 0.1  # of the longest bar, so that tiny changes look tiny


@dataclasses.dataclass(frozen=True, eq=False)
class Movement:
    """A recording, ready to be asked about.

    Attributes:
        recording: in a format that the model reads.
        shown: what the model is shown of it: its tokens, or words.
        read_s: how many seconds of it the model reads.
        notes: of the reader and of what the model is.
    """

    recording: Recording
    shown: Segment
    read_s: float
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reply:
    """A question and the model's answer to it; `explanation` where one was asked for."""

    question: str
    answer: str
    explanation: Explanation | None = None


def open_movement(model: TrainedDecoder, recording: Recording) -> Movement:
    """What the model makes of a recording before anything is asked.

    Raises:
        InputError: the model's tokenizer reads no format that shares channels with the recording's.
    """
    recording = model.tokenizer.readable(recording)
    notes, read_s = list(recording.notes), read_seconds(model, recording)
    if read_s < recording.duration_s:
        notes.append(f"The model reads only the first {read_s:.1f} s.")
    if model.run.get("simulated"):
        notes.append(SIMULATED)
    (shown,) = model.movements([recording])
    if isinstance(shown, str):
        notes.append(f"The model reads no tokens, but: {shown}")
    return Movement(recording, shown, read_s, tuple(notes))


def reply(
    model: TrainedDecoder,
    movement: Movement,
    questions: Sequence[str],
    explained: bool = False,
    task: str | None = None,
) -> list[Reply]:
    """The model's answer to each question, the most likely word after word.

    Args:
        explained: also say what each answer depends on.
        task: name of the task that a question asks for whose wording is none of a task's.

    Raises:
        InputError: a question is empty, or there is no such task.
    """
    if not questions or not all(q.strip() for q in questions):
        raise InputError('no question to ask; give one in quotation marks: "How fast do they walk?"')
    if task is not None and task not in BY_NAME:
        raise InputError(f"task {task!r}; expected one of {', '.join(BY_NAME)}")
    ids = answer_ids(model, [movement.shown] * len(questions), questions)
    replies = [Reply(q, answer_text(model, i)) for q, i in zip(questions, ids, strict=True)]
    if not explained:
        return replies
    of = [task_of(q) or (BY_NAME[task] if task else None) for q in questions]
    return [
        dataclasses.replace(r, explanation=explain(model, movement.recording, r.question, i, t))
        for r, i, t in zip(replies, ids, of, strict=True)
    ]


def recording_json(recording: Recording) -> dict[str, Any]:
    """What is known of a recording without a model, as JSON values: file, format, seconds, rate_hz, channels,
    channels_recorded, measured_speed_m_s (null where it cannot be measured) and notes."""
    return {
        "file": recording.source,
        "format": recording.format.name,
        "seconds": recording.duration_s,
        "rate_hz": recording.rate_hz,
        "channels": recording.format.size,
        "channels_recorded": int(recording.observed.sum()),
        "measured_speed_m_s": straight_line_speed(recording),
        "notes": list(recording.notes),
    }


def movement_json(movement: Movement) -> dict[str, Any]:
    """`recording_json` in the model's format, with tokens (null where it reads words), read_seconds, and notes on what
    the model is."""
    about_model = {"tokens": _tokens(movement), "read_seconds": movement.read_s, "notes": list(movement.notes)}
    return recording_json(movement.recording) | about_model


def _tokens(movement: Movement) -> int | None:
    return None if isinstance(movement.shown, str) else len(movement.shown)


def reply_json(found: Reply) -> dict[str, Any]:
    """A reply as JSON values: question, answer, and, if it was explained, explanation: task, probabilities,
    probability, seconds_that_mattered (a list of start_s, end_s, change) and how they were found."""
    values: dict[str, Any] = {"question": found.question, "answer": found.answer}
    if (e := found.explanation) is not None:
        values["explanation"] = {
            "task": e.task,
            "probabilities": e.probabilities,
            "probability": e.probability,
            "seconds_that_mattered": [dataclasses.asdict(w) for w in e.windows],
            "how": OCCLUSION,
        }
    return values


def movement_lines(movement: Movement) -> Iterator[str]:
    """The same as `movement_json` for a person to read."""
    recording = movement.recording
    for note in movement.notes:
        yield f"note: {note}"
    channels = f"{recording.observed.sum()} of {recording.format.size} channels"
    length = f"{recording.duration_s:.2f} s at {recording.rate_hz:.4g} Hz"
    tokens = _tokens(movement) or "no"
    yield f"{recording.source}: format {recording.format.name}, {length}, {channels}, {tokens} tokens"
    if (speed := straight_line_speed(recording)) is not None:
        yield f"measured from the file, not by the model: {speed:.2f} m/s in a straight line from first to last frame"


def reply_lines(found: Reply) -> Iterator[str]:
    """The same as `reply_json` for a person to read, but for OCCLUSION, which is the same for all."""
    yield f"Q: {found.question}"
    yield f"A: {found.answer}"
    if (e := found.explanation) is None:
        return
    yield f"probability of just these words: {e.probability:.3g}"
    if e.probabilities:
        yield f"probability of each answer that task {e.task} allows:"
        width = max(map(len, e.probabilities))
        for option, p in sorted(e.probabilities.items(), key=lambda item: -item[1]):
            yield f"  {option:{width}}  {p:6.3f}  {'█' * round(BAR * p)}".rstrip()
    yield "change of the answer's log-probability without these seconds:"
    yield from window_lines(e.windows)


def window_lines(windows: Sequence[Window]) -> Iterator[str]:
    """A bar for each window: █ where the answer becomes less likely without it, ░ where more likely."""
    longest = max(LEAST_CHANGE, *(abs(w.change) for w in windows))
    for w in windows:
        bar = ("█" if w.change < 0 else "░") * round(BAR * abs(w.change) / longest)
        yield f"  {w.start_s:6.2f} - {w.end_s:6.2f} s  {w.change:+7.2f}  {bar}".rstrip()
