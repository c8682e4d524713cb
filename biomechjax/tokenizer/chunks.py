"""Movements of any length in bounded memory: how far the networks see, and how a long movement is cut accordingly.

A window is computed with the networks' reach on either side of what is kept of it, so that what is kept equals what the
whole movement would give. At an end of the movement there is nothing beyond to see, and everything is kept.
"""

import dataclasses
import itertools

from biomechjax.tokenizer.config import TokenizerConfig

LONGEST_FRAMES = 2048  # of a window; memory grows with it, and the share of it that is computed twice shrinks
LEAST_REACHES = 8  # per window, whatever the config: a third more is computed than is kept, not more


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Steps of a movement: those that the networks are given, and those among them that are kept."""

    given: slice
    kept: slice

    @property
    def steps(self) -> int:
        """How many are given."""
        return self.given.stop - self.given.start

    @property
    def inside(self) -> slice:
        """`kept`, counted from the start of `given`."""
        return slice(self.kept.start - self.given.start, self.kept.stop - self.given.start)


def encoder_reach(config: TokenizerConfig) -> int:
    """Frames before, and frames after, those of a step on which the latent of the step depends."""
    reach = 1
    for _ in range(config.stages):
        reach = 2 * (reach + _stack_reach(config)) + 1  # a strided convolution sees four frames for every two
    return reach + 1


def decoder_reach(config: TokenizerConfig) -> int:
    """Steps before, and steps after, a step on which the frames of the step depend."""
    reach = 2
    for _ in range(config.stages):
        reach = -(-(reach + 1) // 2) + _stack_reach(config)
    return reach + 1


def _stack_reach(config: TokenizerConfig) -> int:
    return sum(config.dilation_growth**level for level in range(config.depth))


def chunks(config: TokenizerConfig, steps: int, reach: int) -> list[Chunk]:
    """Cuts a movement of so many steps for a network that reaches so many steps to either side.

    A movement that fits in a window is one chunk; the windows of a longer one are all of the same length.
    """
    window = max(LONGEST_FRAMES // config.frames_per_step, LEAST_REACHES * reach)
    if steps <= window:
        return [Chunk(slice(0, steps), slice(0, steps))]
    edges = [0, *range(window - reach, steps - reach, window - 2 * reach), steps]
    starts = (min(max(edge - reach, 0), steps - window) for edge in edges)
    kept = (slice(*edge) for edge in itertools.pairwise(edges))
    return [Chunk(slice(start, start + window), k) for start, k in zip(starts, kept, strict=False)]
