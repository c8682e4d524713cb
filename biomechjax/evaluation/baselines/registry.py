"""The baselines there are. To add one, add an entry: nothing else needs to know."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from biomechjax.data.records import Records
from biomechjax.errors import InputError
from biomechjax.evaluation.baselines.baseline import CONSTANT, Absent, Baseline, of_aeon
from biomechjax.evaluation.baselines.gait_features import BOOSTING, GaitBoosting
from biomechjax.evaluation.baselines.minirocket import MINIROCKET, TRANSFORM, MiniRocket
from biomechjax.evaluation.baselines.movements import Movements
from biomechjax.evaluation.baselines.neighbours import DTW, NEAREST, WARPED, Neighbours, SummarySpace, WarpedSpace
from biomechjax.evaluation.baselines.neural import ON_LATENTS, ON_TOKENS, ON_VECTORS, Neural
from biomechjax.evaluation.baselines.steps import CodeVectors, Latents, Steps, Tokens
from biomechjax.evaluation.baselines.summary import LINEAR, TREES, OnSummary
from biomechjax.evaluation.kept import Kept

MOST_WARPED = 1500  # references: a test recording is warped onto each


@dataclasses.dataclass(frozen=True)
class Setting:
    """What baselines are made from.

    Attributes:
        records: what they are fitted on and asked about.
        kept: where what takes long is kept.
        cohort: folder of the cohort that the records were made from, for baselines that see continuous recordings.
        read, longest: codes of each step that the decoder reads, and steps of a movement at most; 0 for all.
    """

    records: Records
    kept: Kept = Kept()
    cohort: Path | None = None
    read: int = 0
    longest: int = 0

    @functools.cached_property
    def movements(self) -> Movements:
        """The continuous recordings.

        Raises:
            Absent: no cohort was given.
            InputError: it is another one than that of the records.
        """
        if self.cohort is None:
            raise Absent("sees continuous recordings: needs --cohort")
        return Movements.load(self.cohort, self.records.manifest["cohort_hash"], self.records.tokenizer.config.rate_hz)


def _boosting(setting: Setting) -> Baseline:
    return GaitBoosting.of(setting.movements, setting.kept)


def _minirocket(setting: Setting) -> Baseline:
    movements = setting.movements
    of_aeon(*TRANSFORM)
    return MiniRocket(movements)


def _warped(setting: Setting) -> Baseline:
    movements = setting.movements
    of_aeon(*DTW)
    return Neighbours(WARPED, WarpedSpace(movements), MOST_WARPED)


def _encoder(name: str, steps: Callable[[Setting], Steps]) -> Callable[[Setting], Baseline]:
    def make(setting: Setting) -> Baseline:
        return Neural.of(name, steps(setting), setting.records.tokenizer, setting.kept.folder, setting.longest)

    return make


def _tokens(setting: Setting) -> Steps:
    return Tokens.of(setting.records.tokenizer, setting.read)


def _latents(setting: Setting) -> Steps:
    tokenizer = setting.records.tokenizer
    return Latents(tokenizer, functools.partial(setting.movements.of_each, tokenizer.ready, "recordings"))


BASELINES: dict[str, Callable[[Setting], Baseline]] = {
    CONSTANT: lambda setting: OnSummary(CONSTANT),
    LINEAR: lambda setting: OnSummary(LINEAR),
    TREES: lambda setting: OnSummary(TREES),
    BOOSTING: _boosting,
    NEAREST: lambda setting: Neighbours(NEAREST, SummarySpace()),
    WARPED: _warped,
    MINIROCKET: _minirocket,
    ON_TOKENS: _encoder(ON_TOKENS, _tokens),
    ON_VECTORS: _encoder(ON_VECTORS, lambda setting: CodeVectors(setting.records.tokenizer)),
    ON_LATENTS: _encoder(ON_LATENTS, _latents),
}
"""By name what makes it, or raises `Absent`; in the order of the tables."""


def make_baselines(setting: Setting, names: Sequence[str] = ()) -> tuple[list[Baseline], dict[str, str]]:
    """The baselines of these names, or all, and of those that cannot be had here the reason.

    majority/mean is always among them: it is what an answer that does not parse counts as.

    Raises:
        InputError: no baseline has such a name, or the cohort is another one than that of the records.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise InputError(f"--baselines: {unknown[0]!r}; expected some of: {'; '.join(BASELINES)}")
    found, absent = [], {}
    for name, make in BASELINES.items():
        if not names or name in names or name == CONSTANT:
            try:
                found.append(make(setting))
            except Absent as e:
                absent[name] = str(e)
    return found, absent
