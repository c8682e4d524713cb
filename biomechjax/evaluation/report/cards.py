"""The worst errors of the page, each with the movement that the model was asked about."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from biomechjax.data.records import Record
from biomechjax.errors import InputError
from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.report.tasks import anchor_of, error_text, truth_text
from biomechjax.evaluation.worst import trial_of
from biomechjax.motion.mapping import meanings
from biomechjax.motion.player import movement, player_fragment
from biomechjax.motion.stick import StickFigure, stick_figure
from biomechjax.training.trained import TrainedDecoder

LONGEST_S = 20.0
FASTEST_HZ = 15.0


@dataclasses.dataclass(frozen=True)
class CardAnswer:
    """A wrong answer as a person reads it."""

    task: str
    task_anchor: str
    question: str
    answer: str
    truth: str
    error: str


@dataclasses.dataclass(frozen=True)
class Card:
    """A trial and what was answered wrongly about it.

    Attributes:
        anchor: its id in the page.
        player: HTML that shows the movement, or why it cannot be shown.
    """

    anchor: str
    participant: str
    trial: str
    player: Markup
    answers: list[CardAnswer]


def cards(worst: Mapping[str, Sequence[Answered]], records: Sequence[Record], model: TrainedDecoder) -> list[Card]:
    """A card for each trial of `worst_answers`, in the order in which they first stand there."""
    by_trial: dict[tuple[str, str], list[Answered]] = {}
    for mine in worst.values():
        for one in mine:
            by_trial.setdefault(trial_of(one), []).append(one)
    movements = {(r.participant, r.trial): r.views[0] for r in records}
    return [
        Card(
            card_anchor(number),
            participant,
            trial,
            _player(model, movements[participant, trial], trial),
            [_answer(one) for one in mine],
        )
        for number, ((participant, trial), mine) in enumerate(by_trial.items(), start=1)
    ]


def card_anchor(number: int) -> str:
    """The id of the card of so many."""
    return f"worst-{number}"


def what_the_model_saw(model: TrainedDecoder) -> str:
    """In what the movements of the page differ from those that were recorded."""
    config, read = model.tokenizer.config, model.vocabulary.levels
    seconds = model.longest * config.frames_per_step / config.rate_hz
    some = f"the first {read} of the {config.tokens_per_step}" if read < config.tokens_per_step else f"all {read}"
    how = (
        "decoded from tokens, although the model reads words about them"
        if model.reads_text
        else "as the model saw them"
    )
    return (
        f"The movements are {how}, not as they were recorded: decoded from {some} codes of each step "
        f"that it knows, of the first {seconds:g} s. Of long ones the first {LONGEST_S:g} s are shown, of all at most "
        f"{FASTEST_HZ:g} pictures a second. All bodies have the same size."
    )


def seen_figure(model: TrainedDecoder, codes: np.ndarray) -> StickFigure:
    """The movement that the decoder saw of the codes of a record.

    Raises:
        InputError: nothing can be drawn of the formats that the tokenizer writes, or of so few codes.
    """
    format = max(model.tokenizer.formats, key=lambda f: len(meanings(f)))
    seen = model.tokenizer.decode(model.known_codes(codes), format=format.name, codes_per_step=model.vocabulary.levels)
    return stick_figure(seen)


def _player(model: TrainedDecoder, codes: np.ndarray, title: str) -> Markup:
    try:
        return Markup(player_fragment(movement(seen_figure(model, codes), FASTEST_HZ, LONGEST_S), title))
    except InputError as e:
        return Markup("<p>The movement cannot be shown: {}.</p>").format(str(e))


def _answer(one: Answered) -> CardAnswer:
    return CardAnswer(
        one.task, anchor_of(one.task), one.question, one.answer or "(nothing)", truth_text(one), error_text(one)
    )
