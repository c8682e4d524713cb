"""Nearest neighbours: what is true of the training recordings most like this one."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.preprocessing import StandardScaler

from biomechjax.data.records import Record
from biomechjax.evaluation.baselines.baseline import SEED, Answer, of_aeon
from biomechjax.evaluation.baselines.movements import Movements
from biomechjax.evaluation.baselines.scaling import Scaling
from biomechjax.evaluation.baselines.summary import summaries
from biomechjax.evaluation.progress import watched
from biomechjax.tasks.task import Choice, Task

NEAREST, WARPED = "nearest neighbours", "DTW neighbours"
COUNTS = (1, 3, 5, 9, 15, 25)
MOST_TRIED = 300  # training recordings that a number of neighbours is tried on
DTW = "distances", "dtw_pairwise_distance"
WINDOW = 0.1  # of the length
SHORTER = 2  # frames of a series that become one
AT_ONCE = 16


class Space(Protocol):
    """Where recordings lie, and how far apart."""

    def fit(self, train: Sequence[Record]) -> "Space":
        """The same with the scales of training records."""
        ...

    def distances(self, records: Sequence[Record], references: Sequence[Record]) -> np.ndarray:
        """[records, references]"""
        ...


@dataclasses.dataclass(frozen=True)
class SummarySpace:
    """Euclidean distance of `Record.summary`, each entry scaled by training records."""

    scaler: Any = dataclasses.field(default_factory=StandardScaler)

    def fit(self, train: Sequence[Record]) -> Self:
        return dataclasses.replace(self, scaler=StandardScaler().fit(summaries(train)))

    def distances(self, records: Sequence[Record], references: Sequence[Record]) -> np.ndarray:
        return cdist(*(self.scaler.transform(summaries(some)) for some in (records, references)))


@dataclasses.dataclass(frozen=True)
class WarpedSpace:
    """Dynamic time warping (Sakoe & Chiba 1978), aeon's, of all channels together (dependent warping).

    Channels over time as `Movements.series` has them, at half its frames, and the recording's length as one more,
    scaled by training records. A frame may be warped by a tenth of the length, no more: wider bands seldom tell
    series apart better (Ratanamahatana & Keogh 2005, "Three myths about dynamic time warping data mining").

    Attributes:
        found: distances by trial, of recordings and of references, as one is asked about in many tasks.
    """

    movements: Movements
    scaling: Scaling | None = None
    found: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict, repr=False)

    def fit(self, train: Sequence[Record]) -> Self:
        return dataclasses.replace(self, scaling=Scaling.of(self._series(train)), found={})

    def distances(self, records: Sequence[Record], references: Sequence[Record]) -> np.ndarray:
        assert self.scaling
        missing = [r for r in records if any((r.trial, other.trial) not in self.found for other in references)]
        if missing:
            there = self.scaling(self._series(references))
            starts = range(0, len(missing), AT_ONCE)
            for start in watched(starts, "dynamic time warping", len(starts)):
                some = missing[start : start + AT_ONCE]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the compiler, about aeon's own types
                    apart = of_aeon(*DTW)(self.scaling(self._series(some)), there, window=WINDOW, n_jobs=-1)
                for r, row in zip(some, apart.tolist(), strict=True):
                    self.found.update(((r.trial, o.trial), x) for o, x in zip(references, row, strict=True))
        return np.array([[self.found[r.trial, other.trial] for other in references] for r in records])

    def _series(self, records: Sequence[Record]) -> np.ndarray:
        """[records, C + 1, F]"""
        full = self.movements.series(records).astype(np.float64)
        short = full.reshape(*full.shape[:2], -1, SHORTER).mean(-1)
        seconds = np.array([r.summary[-1] for r in records])
        return np.concatenate([short, np.broadcast_to(seconds[:, None, None], (len(short), 1, short.shape[2]))], 1)


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The most frequent label, or the mean number, of the k nearest training recordings.

    1-NN with DTW is the usual baseline of time series classification; how many neighbours is better chosen than set
    (Bagnall & Lines 2014, arXiv:1406.4757). Here it is out of COUNTS, for each task, by how well training recordings
    are answered from those of other participants (accuracy, or mean absolute error).

    The work is bounded: of more than `most` training recordings so many are drawn as references, and MOST_TRIED of
    them to choose k, so that distances are of at most (MOST_TRIED + those asked about) x `most` pairs.

    Attributes:
        name: as in tables.
        space: what is near.
        most: references at most.
        references: training records.
        counts: k of each task by its name.
    """

    name: str
    space: Space
    most: int | None = None
    references: Sequence[Record] = dataclasses.field(default=(), repr=False)
    counts: dict[str, int] = dataclasses.field(default_factory=dict)

    def fit(self, tasks: Sequence[Task], train: Sequence[Record]) -> Self:
        if not train:
            return dataclasses.replace(self, references=(), counts={})
        references = drawn(train, self.most)
        tried = drawn(references, MOST_TRIED)
        space = self.space.fit(train)
        apart = space.distances(tried, references)
        own = np.array([[a.participant == b.participant for b in references] for a in tried])
        apart[own] = np.inf
        counts = {}
        for task in tasks:
            rows, columns = ([i for i, r in enumerate(some) if task.asked_of(r.labels)] for some in (tried, references))
            if columns:
                labels = (
                    [some[i].labels[task.label] for i in at] for some, at in ((tried, rows), (references, columns))
                )
                counts[task.name] = choose_count(task, apart[np.ix_(rows, columns)], *labels)
        return dataclasses.replace(self, space=space, references=references, counts=counts)

    def predict(self, task: Task, records: Sequence[Record]) -> list[Answer]:
        if task.name not in self.counts or not records:
            return [None] * len(records)
        apart = self.space.distances(records, self.references)
        columns = [i for i, r in enumerate(self.references) if task.asked_of(r.labels)]
        known = [self.references[i].labels[task.label] for i in columns]
        return of_nearest(task, apart[:, columns], known, self.counts[task.name])


def drawn(records: Sequence[Record], most: int | None) -> Sequence[Record]:
    """So many of the records at most, drawn by SEED, in their order."""
    if most is None or len(records) <= most:
        return records
    chosen = np.random.default_rng(SEED).choice(len(records), most, replace=False)
    return [records[i] for i in sorted(chosen)]


def choose_count(task: Task, apart: np.ndarray, truth: Sequence[Any], known: Sequence[Any]) -> int:
    """The number of neighbours that answers best; of equally good ones the least.

    Args:
        apart: [tried, references], inf between recordings of one participant.
        truth, known: their labels.
    """
    others = np.isfinite(apart).sum(1)
    usable = np.flatnonzero(others)
    if not len(usable):
        return COUNTS[0]
    best = COUNTS[0], -np.inf
    for count in (c for c in COUNTS if c <= others[usable].min()):
        given = of_nearest(task, apart[usable], known, count)
        pairs = [(a, truth[i]) for a, i in zip(given, usable.tolist(), strict=True)]
        if isinstance(task.answer, Choice):
            score = float(np.mean([a == t for a, t in pairs]))
        else:
            score = -float(np.mean([abs(float(a or 0.0) - float(t)) for a, t in pairs]))
        best = max(best, (count, score), key=lambda found: found[1])
    return best[0]


def of_nearest(task: Task, apart: np.ndarray, known: Sequence[Any], count: int) -> list[Answer]:
    """What `known` [references] of the nearest is: the most frequent label, of equally frequent ones that of the nearer
    neighbour; or the mean."""
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :count]
    if isinstance(task.answer, Choice):
        return [Counter(known[i] for i in row).most_common(1)[0][0] for row in nearest]
    return np.array(known, float)[nearest].mean(1).tolist()
