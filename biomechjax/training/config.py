"""What a training run is, in numbers; the files in configs/ return these."""

import dataclasses

from biomechjax.data.mixture import TEXT, MixtureConfig
from biomechjax.data.views import ViewConfig
from biomechjax.errors import InputError
from biomechjax.language.adapters import BASE_WEIGHTS
from biomechjax.language.lora import LoraConfig
from biomechjax.tokenizer.config import TokenizerConfig

BAD_STEPS = STOP, SKIP, GO_BACK = "stop", "skip", "go_back"
OPTIMIZERS = ("adamw", "muon")
METHODS = ("lora", "full")
MOTION_ROWS = ("unused", "append")
ROW_STARTS = ("codebook", "covariance")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation and bookkeeping shared by the tokenizer and the decoder.

    Attributes:
        steps, batch_size: length of the run and rows per step over all devices.
        accumulate: parts of each batch that are computed one after the other, in the memory of one; the result is the
            same, and a run may go on with another.
        learning_rate, warmup_steps, final_ratio: linear warm-up, then cosine to final_ratio of the peak.
        optimizer: adamw or muon (see optimizer.py).
        beta2, weight_decay, clip_norm: of the optimizer, and clipping by the global norm.
        seed: of everything random in the run.
        log_every, save_every: in steps.
        bad_steps: what is done about a step whose loss or gradient is not finite, or whose loss is over `loss_limit`;
            its batch is kept in any case, and nothing of it is saved. stop: the training ends; go_back: it goes on from
            the step that was saved last, with the batches behind this one; skip: the step changes nothing, and it goes
            on with the next batch, for which the state of before must have room beside the new one.
        loss_limit: the weighted sum of the loss terms that no sound step reaches.

    Raises:
        InputError: the batch has no such parts, or the word is none of those.
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
    accumulate: int = 1
    bad_steps: str = "stop"
    loss_limit: float = 100.0

    def __post_init__(self) -> None:
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise InputError(
                f"--train.accumulate {self.accumulate}: expected at least 1, and parts that divide the "
                f"--train.batch-size of {self.batch_size}"
            )
        if self.bad_steps not in BAD_STEPS or not self.loss_limit > 0:
            raise InputError(
                f"--train.bad-steps {self.bad_steps} --train.loss-limit {self.loss_limit}: expected "
                f"{', '.join(BAD_STEPS)}, and a limit above 0"
            )


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
class AdaptConfig:
    """How a pretrained decoder learns movement.

    Attributes:
        method: lora: adapters and the new rows of the embedding are learned, all else is frozen. full: everything.
        lora: the adapters.
        weights: what the frozen base is kept in: float32, bfloat16, int8 or nf4 (QLoRA).
        motion_rows: where the ids of movement stand: on rows that the text tokenizer calls unused, which only Gemma 3
            has enough of, or appended.
        row_start: new rows start as a learned projection of the tokenizer's codebook, or drawn with the mean and
            covariance of the text rows.

    Raises:
        InputError: a word is none of those.
    """

    method: str = "lora"
    lora: LoraConfig = LoraConfig()
    weights: str = "nf4"
    motion_rows: str = "unused"
    row_start: str = "codebook"

    def __post_init__(self) -> None:
        words = {"method": METHODS, "weights": BASE_WEIGHTS, "motion_rows": MOTION_ROWS, "row_start": ROW_STARTS}
        for name, allowed in words.items():
            if (value := getattr(self, name)) not in allowed:
                raise InputError(f"--adapt.{name.replace('_', '-')} {value}: expected one of {', '.join(allowed)}")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training that comes before the rest: `steps` of another mixture."""

    steps: int
    mixture: MixtureConfig


@dataclasses.dataclass(frozen=True)
class DecoderExperiment:
    """A named decoder run, from scratch or of a pretrained base.

    Attributes:
        train, mixture: optimisation, and how examples are drawn.
        people: share of the training participants that are learned from, with all their trials; of the same seed the
            smaller is part of the larger.
        views: of each recording so many of its views are learned from, the first ones; 0 for all.
        stages: what is learned from before that, one after the other, as movements and their descriptions before
            questions; `train.steps` counts all.
        preset, text_vocabulary: from scratch: a shape of language/config.py, and how many ids the text tokenizer that
            is trained on the question corpus has, at most.
        adapt: of a pretrained base: how it learns.
        row_length, row_answers: T of a packed row, and how many of its tokens may be answers, for which logits are
            computed; 0 for a third.
        codes_per_step: of the codes of a step of movement the decoder reads so many, the first ones, which say most;
            0 for all.
        compute_dtype, remat, attention, unroll: as in DecoderConfig; an unroll of 0 is that of the preset, or 1.
    """

    train: TrainConfig
    preset: str = "1m"
    mixture: MixtureConfig = MixtureConfig()
    people: float = 1.0
    views: int = 0
    stages: tuple[Stage, ...] = ()
    text_vocabulary: int = 768
    adapt: AdaptConfig = AdaptConfig()
    row_length: int = 384
    row_answers: int = 0
    codes_per_step: int = 0
    compute_dtype: str = "float32"
    remat: str = "none"
    attention: str = "einsum"
    unroll: int = 0

    def __post_init__(self) -> None:
        """Raises InputError: the stages leave no step for the mixture, or nobody or nothing is left to learn from."""
        before = [stage.steps for stage in self.stages]
        if min(before, default=1) < 1 or sum(before) >= self.train.steps:
            raise InputError(f"stages of {before} steps in {self.train.steps}; each needs one, what follows too")
        if not 0 < self.people <= 1 or self.views < 0:
            raise InputError(f"--people {self.people} --views {self.views}: expected above 0 to 1, and 0 or more")

    @property
    def reads_text(self) -> bool:
        """Whether recordings are shown as text in any stage."""
        return TEXT in (self.mixture.movement, *(stage.mixture.movement for stage in self.stages))
