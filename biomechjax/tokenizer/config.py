"""What a tokenizer is, in numbers."""

import dataclasses
import math

from biomechjax.errors import InputError

QUANTIZERS = ("vq_ema", "rvq", "fsq", "simvq")
WHOLE = {  # far beyond any tokenizer, but nothing that is laid out by these hangs
    "width": (1, 2**16),
    "depth": (0, 32),
    "dilation_growth": (1, 16),
    "stages": (0, 8),
    "codebook_size": (1, 2**24),
    "code_width": (1, 2**16),
    "levels": (1, 64),
}
NUMBERS = (
    "rate_hz level_dropout velocity_weight travel_weight position_weight slip_weight root_weight commit_weight "
    "ema_decay reset_below channel_dropout"
).split()


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """Shape and losses of the motion tokenizer; defaults are the MotionGPT / T2M-GPT recipe, sized for 40 channels.

    Attributes:
        rate_hz: frames per second that recordings are resampled to.
        width: channels of the convolutional trunk.
        depth: residual blocks per stage; dilations are dilation_growth ** (depth - 1), ..., 1.
        stages: halvings of the frame rate; one step of the encoder covers 2 ** stages frames.
        quantizer: vq_ema: one codebook of running averages. rvq: several, each for what the ones before leave. fsq: a
            fixed grid. simvq: a fixed random codebook under a learned linear map.
        codebook_size, code_width: Q codes of width E (for fsq the number of its axes).
        levels: codebooks of rvq, each a token of a step; 1 for the others.
        level_dropout: chance that a training window is quantised with its first few levels only.
        fsq_levels: grid points on each axis of fsq; their product is codebook_size.
        travel: whether each step begins with a code of its own, of as many, for where the person goes (see travel.py).
        velocity_weight: weight of the finite-difference term beside the reconstruction term.
        travel_weight: weight of the running sum of the root's errors, which is where the person ends up.
        position_weight: weight of the joints' distances in metres, seen from the pelvis; for canonical channels. A
            degree at the hip moves the ankle by 15 mm.
        slip_weight: weight of the horizontal speed, in metres per second, of feet that stand in the original; for
            canonical channels.
        root_weight: weight of a root channel in reconstruction and velocity, where the others have 1; travel is the
            sum of many frames, so that its errors add up where those of an angle do not.
        commit_weight: weight of the commitment term (0.25 in VQ-VAE; at the peers' 0.02 it grew without bound here).
        ema_decay: decay of the codebook's running counts and sums.
        reset_below: a code used less than this share of uniform use is replaced by an encoder output of the batch
            (T2M-GPT: a count of 1 where uniform use is 8).
        channel_dropout: chance that a training window hides a random set of its channels from the encoder, so that
            partly recorded bodies encode too.

    Raises:
        InputError: a field is out of its range, or the fields contradict each other.
    """

    rate_hz: float = 30.0
    width: int = 192
    depth: int = 3
    dilation_growth: int = 3
    stages: int = 2
    quantizer: str = "vq_ema"
    codebook_size: int = 512
    code_width: int = 64
    levels: int = 1
    level_dropout: float = 0.2
    fsq_levels: tuple[int, ...] = ()
    travel: bool = False
    velocity_weight: float = 0.5
    travel_weight: float = 0.0
    position_weight: float = 0.0
    slip_weight: float = 0.0
    root_weight: float = 4.0
    commit_weight: float = 0.25
    ema_decay: float = 0.99
    reset_below: float = 0.125
    channel_dropout: float = 0.3

    def __post_init__(self) -> None:
        for name, (least, most) in WHOLE.items():
            if type(value := getattr(self, name)) is not int or not least <= value <= most:
                raise InputError(f"{name} is {value!r}; expected a whole number from {least} to {most}")
        for name in NUMBERS:
            if type(value := getattr(self, name)) not in (int, float) or not 0 <= value < math.inf:
                raise InputError(f"{name} is {value!r}; expected a number that is not negative")
        if not self.rate_hz > 0 or not isinstance(self.travel, bool):
            raise InputError(f"rate_hz {self.rate_hz} and travel {self.travel}; expected hertz above 0, true or false")
        if self.quantizer not in QUANTIZERS:
            raise InputError(f"quantizer {self.quantizer!r}; expected one of {', '.join(QUANTIZERS)}")
        if (self.levels > 1) != (self.quantizer == "rvq"):
            raise InputError(f"{self.quantizer} with {self.levels} levels; rvq has at least 2, the others 1")
        object.__setattr__(self, "fsq_levels", tuple(self.fsq_levels))  # a list when read from JSON
        if not all(type(n) is int for n in self.fsq_levels):
            raise InputError(f"fsq_levels {self.fsq_levels}; expected whole numbers")
        grid = (math.prod(self.fsq_levels), len(self.fsq_levels))
        if self.quantizer == "fsq" and (grid != (self.codebook_size, self.code_width) or min(self.fsq_levels) < 2):
            raise InputError(
                f"fsq_levels {self.fsq_levels} make {grid[0]} codes of width {grid[1]}; expected codebook_size "
                f"{self.codebook_size} and code_width {self.code_width}, and at least 2 points on each axis"
            )

    @property
    def frames_per_step(self) -> int:
        """Frames under one step of the encoder."""
        return 2**self.stages

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step becomes: that of its travel, if it has one, and one of each level."""
        return self.levels + self.travel

    @property
    def tokens_per_second(self) -> float:
        return self.tokens_per_step * self.rate_hz / self.frames_per_step

    @property
    def codes(self) -> int:
        """Different tokens."""
        return self.tokens_per_step * self.codebook_size
