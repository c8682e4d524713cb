"""Low-rank adapters (LoRA, arXiv:2106.09685; rsLoRA, arXiv:2312.03732)."""

import math
from dataclasses import dataclass

TARGETS = ("query", "key", "value", "output", "gate", "up", "down")
"""The linear maps of a layer: four of the attention, three of the feed-forward block."""


@dataclass(frozen=True)
class LoraConfig:
    """What is adapted and how: the effective weight of a target is W + scale * a @ b.

    Attributes:
        rank: R, columns of a and rows of b.
        alpha: numerator of the scale.
        dropout: share of a target's inputs that are zeroed on the way to a, in training.
        rs: divide alpha by sqrt(R), not by R (rsLoRA).
        targets: which linear maps are adapted, of TARGETS.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    rs: bool = False
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"LoraConfig.rank is {self.rank!r}; it must be a whole number, at least 1")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"LoraConfig.alpha is {self.alpha}; it must be positive")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"LoraConfig.dropout is {self.dropout}; it must be from 0 to below 1")
        if not self.targets or len(set(self.targets)) < len(self.targets) or not set(self.targets) <= set(TARGETS):
            raise ValueError(
                f"LoraConfig.targets is {self.targets}; expected one or more of {', '.join(TARGETS)}, each once"
            )

    @property
    def scale(self) -> float:
        """The factor on a @ b."""
        return self.alpha / (self.rank**0.5 if self.rs else self.rank)
