"""The optimizers, by config word."""

from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from biomechjax.errors import InputError
from biomechjax.training.config import OPTIMIZERS, TrainConfig

UNDECAYED = ("scale", "bias")  # by name: scanned layers stack even vectors into matrices
# Which axes of a weight are its inputs and which its outputs; axis 0 of the decoder's is the layer.
MATRICES = {
    "query": ((1,), (2, 3)),
    "key": ((1,), (2, 3)),
    "value": ((1,), (2, 3)),
    "output": ((1, 2), (3,)),
    "gate": ((1,), (2,)),
    "up": ((1,), (2,)),
    "down": ((1,), (2,)),
}
# Makes the root mean square of an orthogonalised update that of AdamW's, so that both take the same learning rates
# (Liu et al. 2025, "Muon is scalable for LLM training", arXiv:2502.16982, section 2.2).
RMS = 0.2


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping, linear warm-up and cosine decay around `config.optimizer`.

    adamw: AdamW on everything. muon: orthogonalised momentum (Jordan et al. 2024) on the matrices of the decoder's
    layers and of the tokenizer's convolutions, Adam on the rest. Norm scales and biases are never decayed.

    Raises:
        InputError: no optimizer has this name.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0,
        config.learning_rate,
        min(config.warmup_steps, config.steps // 2),
        config.steps,
        config.learning_rate * config.final_ratio,
    )
    if config.optimizer == "adamw":
        rule = optax.adamw(schedule, b2=config.beta2, weight_decay=config.weight_decay, mask=_decayed)
    elif config.optimizer == "muon":
        rule = optax.contrib.muon(
            schedule,
            weight_decay=config.weight_decay,
            consistent_rms=RMS,
            adam_b2=config.beta2,
            muon_weight_dimension_numbers=lambda params: jax.tree_util.tree_map_with_path(_matrix, params),
        )
    else:
        raise InputError(f"optimizer {config.optimizer!r}; expected one of {', '.join(OPTIMIZERS)}")
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def _decayed(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key not in UNDECAYED, params)


def _matrix(path: tuple[Any, ...], weight: Any) -> MuonDimensionNumbers | None:
    name = path[-1].key
    if name == "kernel":
        return MuonDimensionNumbers(tuple(range(weight.ndim - 1)), (weight.ndim - 1,))
    return MuonDimensionNumbers(*MATRICES[name]) if name in MATRICES else None
