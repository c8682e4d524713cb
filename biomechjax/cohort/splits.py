"""Who is in training, validation and test: always whole people, by one of several rules.

by default          of simulated people 70, 10 and 20 % of every group; of recordings the source's own column
                    `split`, else the last fifth of the participants to test
kfold:5:0           the first of five folds to test; over 0 to 4 everybody is tested once
leave:site=A        those to test whose column `site` is A
list:test.txt       those to test whom a file lists, one a line; # begins a comment
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from biomechjax.errors import InputError

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.7, 0.1, 0.2)
STRATIFY_BY = "group"

People = Mapping[str, Mapping[str, Any]]
"""What is known of each participant, by name."""


class Division(Protocol):
    """Whom to test on."""

    def __str__(self) -> str:
        """As `parse_division` reads it, and as the cohort and the tables say it."""
        ...

    def test(self, people: People, key: int) -> set[str]:
        """The participants to test on; `key` is that of the draws, if there are any.

        Raises:
            InputError: the people do not have what the rule asks for.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Folds:
    """Fold `fold` of `folds`, counted from 0, each with its share of every group; with one key the folds of a number
    partition the people."""

    folds: int
    fold: int

    def __str__(self) -> str:
        return f"kfold:{self.folds}:{self.fold}"

    def test(self, people: People, key: int) -> set[str]:
        if len(people) < self.folds:
            raise InputError(f"--split {self}: {len(people)} participants; expected at least one for each fold")
        parts = deal(list(people.values()), key, (1.0,) * self.folds)
        return {name for name, part in zip(people, parts, strict=True) if part == self.fold}


@dataclasses.dataclass(frozen=True)
class LeaveOut:
    """Those whose `column` is `value`: a group, or a site."""

    column: str
    value: str

    def __str__(self) -> str:
        return f"leave:{self.column}={self.value}"

    def test(self, people: People, key: int) -> set[str]:
        columns = dict.fromkeys(c for row in people.values() for c in row)
        if self.column not in columns:
            raise InputError(f"--split {self}: no column {self.column!r} of participants; found {', '.join(columns)}")
        values = {name: str(row.get(self.column)) for name, row in people.items()}
        if self.value not in values.values():
            found = ", ".join(sorted(set(values.values())))
            raise InputError(f"--split {self}: nobody's {self.column} is {self.value!r}; found {found}")
        return {name for name, value in values.items() if value == self.value}


@dataclasses.dataclass(frozen=True)
class Listed:
    """Those named, with or without "sub-" before them; `source` says where, if not by a flag."""

    names: tuple[str, ...]
    source: str = ""

    def __str__(self) -> str:
        return f"list:{self.source or ','.join(self.names)}"

    def test(self, people: People, key: int) -> set[str]:
        known = {name.removeprefix("sub-"): name for name in people}
        if unknown := [n for n in self.names if n.removeprefix("sub-") not in known]:
            raise InputError(f"test participant {unknown[0]!r} is not among {', '.join(people)}")
        return {known[n.removeprefix("sub-")] for n in self.names}


@dataclasses.dataclass(frozen=True)
class LastFifth:
    """The last fifth in the order of the participants."""

    def __str__(self) -> str:
        return "last fifth"

    def test(self, people: People, key: int) -> set[str]:
        return set(list(people)[-max(1, len(people) // 5) :])


def parse_division(text: str) -> Division:
    """The rule that `--split` says.

    Raises:
        InputError: no rule reads so, or the file of `list:` is unreadable, empty, or names somebody twice.
    """
    kind, _, rest = text.partition(":")
    column, equals, value = rest.partition("=")
    if kind == "kfold" and (numbers := rest.split(":")) and len(numbers) == 2 and all(n.isdecimal() for n in numbers):
        folds, fold = map(int, numbers)
        if folds >= 2 and fold < folds:
            return Folds(folds, fold)
    elif kind == "leave" and column and equals and value:
        return LeaveOut(column, value)
    elif kind == "list" and rest:
        return read_list(Path(rest))
    raise InputError(
        f"--split {text!r}; expected kfold:FOLDS:FOLD with folds counted from 0, leave:COLUMN=VALUE, or list:FILE"
    )


def read_list(path: Path) -> Listed:
    """The participants that a file lists."""
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"{path}: not readable as a list of participants: {e}") from e
    names = tuple(filter(None, lines))
    if not names:
        raise InputError(f"{path}: names nobody; expected a participant a line")
    if twice := [name for name, count in Counter(n.removeprefix("sub-") for n in names).items() if count > 1]:
        raise InputError(f"{path}: {twice[0]} stands twice")
    return Listed(names, path.name)


def divide(people: People, division: Division, key: int = 0, validation: float = 0.0) -> dict[str, str]:
    """The split of each participant.

    Args:
        people: what is known of each.
        division: whom to test on.
        key: of all draws.
        validation: share of the others to validate on, alike in every group; the rest train.

    Raises:
        InputError: as of the division, or nobody is left to train on.
    """
    test = division.test(people, key)
    rest = {name: row for name, row in people.items() if name not in test}
    if not rest:
        raise InputError(f"test participants {', '.join(sorted(test))} are all there are; nobody is left to train on")
    parts = deal(list(rest.values()), key, (1 - validation, validation))
    split = {name: SPLITS[part] for name, part in zip(rest, parts, strict=True)}
    return {name: split.get(name, "test") for name in people}


def assign_splits(
    participants: Sequence[Mapping[str, Any]],
    key: int,
    fractions: tuple[float, float, float] = FRACTIONS,
    stratify_by: str = STRATIFY_BY,
) -> list[dict[str, Any]]:
    """The rows with a `split` each: train, validation and test in `fractions`, alike in every group (see `deal`)."""
    parts = deal(participants, key, fractions, stratify_by)
    return [{**row, "split": SPLITS[part]} for row, part in zip(participants, parts, strict=True)]


def deal(
    participants: Sequence[Mapping[str, Any]], key: int, shares: Sequence[float], stratify_by: str = STRATIFY_BY
) -> list[int]:
    """The part of each row, of as many as there are shares.

    The people of each group are shuffled with `key` and dealt one by one to the part that lags most behind its share,
    so that shares hold to about one person in every group and over the whole. Rows without the `stratify_by` column
    form one group.
    """
    rng = np.random.default_rng(key)
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(participants):
        groups.setdefault(str(row.get(stratify_by, "")), []).append(i)
    of_all = np.asarray(shares) / sum(shares)
    whole = np.zeros(len(of_all))
    part = [0] * len(participants)
    for _, members in sorted(groups.items()):
        group = np.zeros(len(of_all))
        for i in rng.permutation(members):
            lag = of_all * (group.sum() + 1) - group
            lag_of_whole = of_all * (whole.sum() + 1) - whole
            chosen = int((lag + 0.5 * lag_of_whole).argmax())  # the half weight only decides near ties
            group[chosen] += 1
            whole[chosen] += 1
            part[i] = chosen
    return part


def check_apart(movements: Iterable[tuple[str, str, str]]) -> None:
    """Checks that no movement is in two splits, as one of a test participant that was filed under another name too.

    Args:
        movements: file, hash of its content, and split.

    Raises:
        InputError: one is.
    """
    seen: dict[str, tuple[str, str]] = {}
    for file, content, split in movements:
        other, its_split = seen.setdefault(content, (file, split))
        if its_split != split:
            raise InputError(
                f"{file}: the same movement as {other}, but one is in {split} and the other in {its_split}; a person "
                "is in exactly one split: give both files to one participant, or remove one"
            )
