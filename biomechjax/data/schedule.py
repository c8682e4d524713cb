"""Which examples make up an epoch, in which order: every one by key, so that any part of it can be drawn anywhere."""

import dataclasses
import enum
import functools
from collections.abc import Callable, Sequence

import numpy as np

from biomechjax.data.examples import Example
from biomechjax.data.mixture import Drawing, MixtureConfig
from biomechjax.data.records import Record
from biomechjax.errors import InputError


class Use(enum.IntEnum):
    """What is drawn by a generator, so that no two draws share one."""

    DRAW = 0
    ORDER = 1
    PASS = 2
    ROWS = 3


def generator(seed: int, use: Use, one: int, other: int) -> np.random.Generator:
    """Of two numbers that say what is drawn. Always of two: to numpy, (seed, 1) and (seed, 1, 0) are one key."""
    return np.random.default_rng((seed, use, one, other))


@dataclasses.dataclass(frozen=True)
class Component:
    """What one share of an epoch is drawn from.

    Attributes:
        draw: (item, rng) -> example.
        items: one after the other, each pass in another order; an epoch goes on where the last one ended.
        quota: examples of an epoch.
    """

    draw: Callable[[int, np.random.Generator], Example]
    items: Sequence[int]
    quota: int


class Schedule:
    """The epochs of a mixture.

    Attributes: size, the examples of each epoch.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Record]],
        config: MixtureConfig,
        codebook_size: int,
        levels: int,
        seed: int,
    ) -> None:
        """Args:
            sources: the training records of each --data folder.
            codebook_size, levels: as in Drawing.

        Raises:
            InputError: no record is asked any question, a label fits no answer, or the weights fit nothing.
        """
        self.records = [record for source in sources for record in source]
        self.drawing = Drawing(self.records, config, codebook_size, levels)
        self.seed = seed
        if config.sources and len(config.sources) != len(sources):
            raise InputError(f"--mixture.sources: {len(config.sources)} weights for {len(sources)} --data")
        ends = np.cumsum([len(s) for s in sources]).tolist()
        numbers = [range(end - len(s), end) for s, end in zip(sources, ends, strict=True)]
        # As many examples as one recording at a time would make, whatever the kinds.
        sizes = [len(self.drawing.items("trial", n)) for n in numbers]
        if not sum(sizes):
            raise InputError("no training record has a label that a task asks for; check the columns of the cohort")
        if config.even:
            values = {r.labels[config.even] for r in self.records if config.even in r.labels}
            if not values or not all(isinstance(v, str) for v in values):
                what = "is a number" if values else "is no label of any training record"
                raise InputError(f"--mixture.even {config.even}: {what}; expected a label of words, as diagnosis")
        kinds = {kind: weight for kind, weight in dataclasses.asdict(config.kinds).items() if weight}
        shares: list[tuple[float, str, list[int]]] = []
        for source, share in zip(numbers, config.sources or sizes, strict=True):
            found = {kind: items for kind in kinds if (items := self.drawing.items(kind, source))}
            total = sum(kinds[kind] for kind in found)
            for kind, items in found.items():
                strata = self._strata(items, config.even)
                shares += [(share * kinds[kind] / total / len(strata), kind, stratum) for stratum in strata]
        if missing := [kind for kind in kinds if kind not in {k for _, k, _ in shares}]:
            raise InputError(f"--mixture.kinds.{missing[0]}: no training record is fit for it")
        quotas = _apportion([share for share, _, _ in shares], sum(sizes))
        self.components = [
            Component(getattr(self.drawing, kind), items, quota)
            for (_, kind, items), quota in zip(shares, quotas, strict=True)
            if quota
        ]
        self.size = sum(c.quota for c in self.components)

    def draw(self, epoch: int, start: int, stop: int) -> list[Example]:
        """Examples `start` to `stop` of an epoch; the same ones whatever else was drawn."""
        order = self._shuffled(epoch)[start:stop]
        ends = np.cumsum([c.quota for c in self.components])
        of = np.searchsorted(ends, order, side="right")
        examples = []
        for slot, number in zip(order.tolist(), of.tolist(), strict=True):
            component = self.components[number]
            position = epoch * component.quota + slot - (int(ends[number]) - component.quota)
            turn, at = divmod(position, len(component.items))
            item = component.items[self._pass(number, turn)[at]]
            examples.append(component.draw(item, generator(self.seed, Use.DRAW, epoch, slot)))
        return examples

    @functools.lru_cache(maxsize=2)  # noqa: B019  a schedule lives as long as its training
    def _shuffled(self, epoch: int) -> np.ndarray:
        return generator(self.seed, Use.ORDER, epoch, 0).permutation(self.size)

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def _pass(self, component: int, turn: int) -> np.ndarray:
        items = self.components[component].items
        return generator(self.seed, Use.PASS, component, turn).permutation(len(items))

    def _strata(self, items: list[int], label: str) -> list[list[int]]:
        """Items by the value of a label, those without it together."""
        found: dict[object, list[int]] = {}
        for item in items:
            found.setdefault(self.records[item].labels.get(label), []).append(item)
        return list(found.values())


def _apportion(weights: Sequence[float], total: int) -> list[int]:
    """Whole shares of a total in proportion to the weights, by largest remainders; of any weight at least 1."""
    exact = np.array(weights) * total / sum(weights)
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: total - shares.sum()]] += 1
    return [max(int(share), int(weight > 0)) for share, weight in zip(shares, weights, strict=True)]
