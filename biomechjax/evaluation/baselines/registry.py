"""The baselines there are. To add one, add an entry: nothing else needs to know."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.evaluation.baselines.baseline import Absent, Baseline
from biomechjax.evaluation.baselines.summary import CONSTANT, LINEAR, TREES, OnSummary


@dataclasses.dataclass(frozen=True)
class Setting:
    """What baselines are made from.

    Attributes:
        out: folder of the evaluation, where what takes long is kept.
        cohort: folder of the cohort that the records were made from, for baselines that see continuous recordings.
    """

    out: Path
    cohort: Path | None = None


BASELINES: dict[str, Callable[[Setting], Baseline]] = {
    **{name: functools.partial(lambda name, setting: OnSummary(name), name) for name in (CONSTANT, LINEAR, TREES)},
}
"""By name what makes it, or raises `Absent`; in the order of the tables."""


def make_baselines(setting: Setting, names: Sequence[str] = ()) -> tuple[list[Baseline], dict[str, str]]:
    """The baselines of these names, or all, and of those that cannot be had here the reason.

    majority/mean is always among them: it is what an answer that does not parse counts as.

    Raises:
        InputError: no baseline has such a name.
    """
    if unknown := [name for name in names if name not in BASELINES]:
        raise InputError(f"baseline {unknown[0]!r}; expected some of {', '.join(BASELINES)}")
    found, absent = [], {}
    for name, make in BASELINES.items():
        if not names or name in names or name == CONSTANT:
            try:
                found.append(make(setting))
            except Absent as e:
                absent[name] = str(e)
    return found, absent
