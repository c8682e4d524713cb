"""Who is in training, validation and test."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")


def assign_splits(
    participants: Sequence[Mapping[str, Any]],
    key: int,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    stratify_by: str = "group",
) -> list[dict[str, Any]]:
    """The rows with a `split` each: train, validation and test in `fractions`, alike in every group.

    The people of each group are shuffled with `key` and dealt one by one to the split that lags most behind its share,
    so that shares hold to about one person in every group and over the whole. Rows without the `stratify_by` column
    form one group.
    """
    rng = np.random.default_rng(key)
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(participants):
        groups.setdefault(str(row.get(stratify_by, "")), []).append(i)
    shares = np.asarray(fractions) / sum(fractions)
    whole = np.zeros(len(SPLITS))
    split = [""] * len(participants)
    for _, members in sorted(groups.items()):
        group = np.zeros(len(SPLITS))
        for i in rng.permutation(members):
            lag = shares * (group.sum() + 1) - group
            lag_of_whole = shares * (whole.sum() + 1) - whole
            chosen = int((lag + 0.5 * lag_of_whole).argmax())  # the half weight only decides near ties
            group[chosen] += 1
            whole[chosen] += 1
            split[i] = SPLITS[chosen]
    return [{**row, "split": s} for row, s in zip(participants, split, strict=True)]
