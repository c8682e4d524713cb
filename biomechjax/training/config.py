"""What a training run is, in numbers; the files in configs/ return these."""

import dataclasses

from biomechjax.data.mixture import MixtureConfig
from biomechjax.data.views import ViewConfig
from biomechjax.tokenizer.config import TokenizerConfig

OPTIMIZERS = ("adamw", "muon")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation and bookkeeping shared by the tokenizer and the decoder.

    Attributes:
        steps, batch_size: length of the run and rows per step over all devices.
        learning_rate, warmup_steps, final_ratio: linear warm-up, then cosine to final_ratio of the peak.
        optimizer: adamw or muon (see optimizer.py).
        beta2, weight_decay, clip_norm: of the optimizer, and clipping by the global norm.
        seed: of everything random in the run.
        log_every, save_every: in steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 100
    final_ratio: float = 0.05
    optimizer: str = "adamw"
    beta2: float = 0.99
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0
    log_every: int = 50
    save_every: int = 500


@dataclasses.dataclass(frozen=True)
class TokenizerExperiment:
    """A named tokenizer run.

    Attributes:
        model, train: shape and optimisation.
        window: frames of a training window.
        views: views of each recording to train on; by default itself and its mirror image.
    """

    train: TrainConfig
    model: TokenizerConfig = TokenizerConfig()
    window: int = 64
    views: ViewConfig = ViewConfig(count=2, offset_deg=0.0, scale=0.0, hidden=0.0, skip_s=0.0, mirrored=1.0)


@dataclasses.dataclass(frozen=True)
class DecoderExperiment:
    """A named decoder run, trained from scratch.

    Attributes:
        train, mixture: optimisation, and how examples are drawn.
        preset: a shape of language/config.py.
        text_vocabulary: ids of the text tokenizer that is trained on the question corpus, at most.
        row_length: T of a packed row.
        codes_per_step: of the codes of a step of movement the decoder reads so many, the first ones, which say most;
            0 for all.
    """

    train: TrainConfig
    preset: str = "1m"
    mixture: MixtureConfig = MixtureConfig()
    text_vocabulary: int = 768
    row_length: int = 384
    codes_per_step: int = 0
