"""What a tokenizer is, in numbers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """Shape and losses of the motion tokenizer; defaults are the MotionGPT / T2M-GPT recipe, sized for 40 channels.

    Attributes:
        rate_hz: frames per second that recordings are resampled to.
        width: channels of the convolutional trunk.
        depth: residual blocks per stage; dilations are dilation_growth ** (depth - 1), ..., 1.
        stages: halvings of the frame rate; one token covers 2 ** stages frames.
        codebook_size, code_width: Q codes of width E.
        velocity_weight: weight of the finite-difference term beside the reconstruction term.
        root_weight: weight of a root channel in both, where the others have 1; travel is the sum of many frames, so
            that its errors add up where those of an angle do not.
        commit_weight: weight of the commitment term (0.25 in VQ-VAE; at the peers' 0.02 it grew without bound here).
        ema_decay: decay of the codebook's running counts and sums.
        reset_below: a code used less than this share of uniform use is replaced by an encoder output of the batch
            (T2M-GPT: a count of 1 where uniform use is 8).
        channel_dropout: chance that a training window hides a random set of its channels from the encoder, so that
            partly recorded bodies encode too.
    """

    rate_hz: float = 30.0
    width: int = 192
    depth: int = 3
    dilation_growth: int = 3
    stages: int = 2
    codebook_size: int = 512
    code_width: int = 64
    velocity_weight: float = 0.5
    root_weight: float = 4.0
    commit_weight: float = 0.25
    ema_decay: float = 0.99
    reset_below: float = 0.125
    channel_dropout: float = 0.3

    @property
    def frames_per_token(self) -> int:
        return 2**self.stages
