"""A pretrained decoder made ready to learn movement, and what of it a checkpoint keeps.

OUT/base/     of a run with adapters: the frozen base, so that the checkpoint needs nothing else
  decoder.json   its shape, and in what the weights are kept
  frozen/        orbax
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax import Array
from transformers import PreTrainedTokenizerBase

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.language.adapters import adapt, freeze, init_adapters
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.vocabulary import Vocabulary, unused_ids
from biomechjax.training.config import AdaptConfig

Tree = dict[str, Any]


def movement_vocabulary(
    tokenizer: PreTrainedTokenizerBase, codes: int, levels: int, rows: int, motion_rows: str
) -> Vocabulary:
    """The text ids of a base of so many rows, and ids of movement, "unused" or "append"ed.

    Raises:
        InputError: the text tokenizer lacks what is asked for.
    """
    try:
        start = unused_ids(tokenizer, codes + 2) if motion_rows == "unused" else None
        return Vocabulary(tokenizer, codes, levels, start, rows)
    except ValueError as e:
        raise InputError(f"{e} (--adapt.motion-rows append, or --codes-per-step)") from e


def with_rows(params: Params, rows: int) -> Params:
    """The parameters with an embedding of so many rows; new ones are zero."""
    embedding = np.asarray(params["embedding"])
    return {**params, "embedding": np.pad(embedding, ((0, rows - len(embedding)), (0, 0)))}


def row_statistics(params: Params, text_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D,D] of the text rows of the embedding, float32."""
    rows = np.asarray(params["embedding"][:text_rows], np.float32)
    mean = rows.mean(axis=0)
    centred = rows - mean
    return mean, centred.T @ centred / len(rows)


def start_rows(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows [count,D] drawn with the mean and covariance of the text rows (Hewitt 2021, on new word embeddings)."""
    return np.random.default_rng(seed).multivariate_normal(mean, covariance, count, method="eigh").astype(np.float32)


def start_adapters(
    config: DecoderConfig, adapt_config: AdaptConfig, params: Params, text_rows: int, meaning: np.ndarray, seed: int
) -> tuple[Tree, Tree]:
    """What is learned and what is frozen, in the beginning.

    Args:
        params: of the base, with all rows.
        text_rows: of the embedding.
        meaning: [n,k] what each new row stands for, of unit variance.

    Returns:
        learned {"layers", "rows" [n,D], and for row_start "codebook" "projection" [k,D]}, and frozen {"base", "size",
        and then "meaning"}; see `new_rows`. Rows and projection are near 1, since the optimizer moves all alike.
    """
    mean, covariance = row_statistics(params, text_rows)
    learned: Tree = {"layers": init_adapters(config, adapt_config.lora, jax.random.key(seed))}
    size = np.float32(np.trace(covariance) / config.width) ** 0.5
    frozen: Tree = {"base": freeze(params, adapt_config.weights), "size": np.asarray(size, np.float32)}
    if adapt_config.row_start == "covariance":
        learned["rows"] = start_rows(mean, covariance, len(meaning), seed) / size
    else:
        projection = np.random.default_rng(seed).normal(size=(meaning.shape[1], config.width))
        learned |= {"rows": np.tile(mean / size, (len(meaning), 1)), "projection": projection.astype(np.float32)}
        frozen["meaning"] = (meaning * meaning.shape[1] ** -0.5).astype(np.float32)
    return learned, frozen


def decoder_params(learned: Tree, frozen: Tree, adapt_config: AdaptConfig, offset: int) -> Params:
    """Parameters of the decoder out of what is learned and what is frozen; differentiable in the first."""
    adapters = {"layers": learned["layers"], "rows": new_rows(learned, frozen)}
    return adapt(frozen["base"], adapters, adapt_config.lora, offset)


def new_rows(learned: Tree, frozen: Tree) -> Array:
    """The rows of the embedding that stand for movement, [n,D]: learned in units of the text rows' deviation."""
    rows = learned["rows"]
    if "projection" in learned:
        rows = rows + jnp.asarray(frozen["meaning"]) @ learned["projection"]
    return frozen["size"] * rows


def save_frozen(folder: Path, config: DecoderConfig, adapt_config: AdaptConfig, frozen: Tree) -> None:
    """Writes `base` of a checkpoint, whole or not at all."""
    about = {
        "decoder": dataclasses.asdict(config),
        "weights": adapt_config.weights,
        "meaning": list(frozen["meaning"].shape) if "meaning" in frozen else None,
    }
    with new_folder(folder) as work:
        (work / "decoder.json").write_text(json.dumps(about, indent=1))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((work / "frozen").resolve(), frozen)


def load_frozen(folder: Path) -> Tree:
    """Reads what `save_frozen` wrote, onto this process's devices."""
    about = json.loads((folder / "decoder.json").read_text())
    shapes, _ = abstract_params(DecoderConfig(**about["decoder"]))
    base = jax.eval_shape(lambda p: freeze(p, about["weights"]), shapes)
    abstract: Tree = {"base": base, "size": jax.ShapeDtypeStruct((), np.float32)}
    if about["meaning"]:
        abstract["meaning"] = jax.ShapeDtypeStruct(tuple(about["meaning"]), np.float32)
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore((folder / "frozen").resolve(), abstract)
