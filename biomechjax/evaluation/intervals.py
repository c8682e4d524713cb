"""How sure a score is, and a difference of two: bootstrap over participants.

Answers about one person are alike, so that what is drawn anew, with replacement, is people with all their answers
(Field & Welsh 2007, J R Stat Soc B 69:369, the cluster bootstrap). Drawing answers would make intervals too narrow.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000
LEVEL = 0.95
# The ends of an interval are quantiles of the resamples, further out the fewer the people: from eight people on at
# least ten of 2,000 resamples lie beyond each end. With fewer the ends would be those of single odd resamples.
LEAST_PEOPLE = 8
# A score that has no value in more of the resamples than this, as a correlation of answers that do not vary, has no
# interval: the resamples that are left are no fair draw.
MOST_UNDEFINED = 0.05

BOOTSTRAP = {"resamples": RESAMPLES, "level": LEVEL, "of": "participants", "least_participants": LEAST_PEOPLE}
"""Of an evaluation's metrics."""

Interval = list[float] | None


@dataclasses.dataclass(frozen=True)
class Resamples:
    """Draws of the people who gave a list of answers, the same for all that is summed over that list.

    Attributes:
        person: [answers] the number of the person of each answer.
        counts: [1 + resamples, people] how often each person was drawn; the first row is the people as they are.
    """

    person: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, participants: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> "Resamples":
        """Draws for answers of these participants, one name for each answer."""
        names, person = np.unique(participants, return_inverse=True)
        drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
        return cls(person, np.vstack([np.ones(len(names)), drawn]))

    @property
    def people(self) -> int:
        """How many people there are."""
        return self.counts.shape[1]

    def sums(self, terms: np.ndarray) -> np.ndarray:
        """Sums of [answers, ...] over the answers as they are and over those of each resample, [1 + resamples, ...]."""
        by_person = np.zeros((self.people, *terms.shape[1:]))
        np.add.at(by_person, self.person, terms)
        return np.tensordot(self.counts, by_person, 1)

    def interval(self, values: np.ndarray) -> Interval:
        """The 95 % interval of a score that is [1 + resamples], a value for each row of `sums`.

        Percentiles, taken as much further out as makes up for few people: a bootstrap knows neither that the spread of
        n people is too small by the root of (n - 1) / n, nor of Student's t (Hesterberg 2015, Am Stat 69:371, expanded
        percentile interval).

        Returns:
            [low, high]; None with fewer than `LEAST_PEOPLE` people, or where the score has no value, or none in more
            than `MOST_UNDEFINED` of the resamples.
        """
        drawn = values[1:]
        if self.people < LEAST_PEOPLE or np.isnan(values[0]) or np.isnan(drawn).mean() > MOST_UNDEFINED:
            return None
        low, high = np.nanquantile(drawn, (tail := tail_share(self.people), 1 - tail))
        return [float(low), float(high)]


def tail_share(people: int) -> float:
    """The share of resamples that is left out at each end of the interval."""
    t = stats.t.ppf((1 + LEVEL) / 2, people - 1)
    return float(stats.norm.cdf(-np.sqrt(people / (people - 1)) * t))
