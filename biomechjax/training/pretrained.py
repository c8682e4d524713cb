"""A pretrained decoder made ready to learn movement, and what of it a checkpoint keeps.

OUT/base/     of a run with adapters: the frozen base, so that the checkpoint needs nothing else
  decoder.json   its shape, and in what the weights are kept
  frozen/        orbax
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import transformers
from jax import Array
from jax.sharding import PartitionSpec

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.language.adapters import adapt, freeze, init_adapters
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.vocabulary import Vocabulary, unused_ids
from biomechjax.motion.files import read_object
from biomechjax.training.config import AdaptConfig

Tree = dict[str, Any]


def movement_vocabulary(
    tokenizer: "transformers.PreTrainedTokenizerBase", codes: int, levels: int, rows: int, motion_rows: str
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


def start_rows(row_start: str, embedding: np.ndarray, meaning: np.ndarray, seed: int) -> tuple[Tree, Tree]:
    """What is learned and what is frozen of new rows of the embedding, in the beginning; see `new_rows`.

    Args:
        row_start: of AdaptConfig. "covariance" draws rows with the mean and covariance of the text rows (Hewitt 2021,
            on new word embeddings); "codebook" projects their meanings at random, with the same mean and variance.
        embedding: the text rows [V,D].
        meaning: [n,k] what each new row stands for, of unit variance.

    Returns:
        learned {"rows" [n,D], and for "codebook" "projection" [k,D]}, frozen {"size" [], and then "meaning" [n,k]}.
        Rows and projection are near 1, since the optimizer moves all alike.
    """
    text = np.asarray(embedding, np.float32)
    mean = text.mean(axis=0)
    covariance = (text - mean).T @ (text - mean) / len(text)
    size = np.asarray((np.trace(covariance) / len(mean)) ** 0.5, np.float32)
    rng = np.random.default_rng(seed)
    if row_start == "covariance":
        rows = rng.multivariate_normal(mean, covariance, len(meaning), method="eigh") / size
        return {"rows": rows.astype(np.float32)}, {"size": size}
    projection = rng.normal(size=(meaning.shape[1], len(mean))).astype(np.float32)
    of_unit_rows = (meaning * meaning.shape[1] ** -0.5).astype(np.float32)
    rows = np.tile(mean / size, (len(meaning), 1))
    return {"rows": rows, "projection": projection}, {"size": size, "meaning": of_unit_rows}


def rows_axes(row_start: str) -> tuple[Tree, Tree]:
    """Logical axes (PartitionSpec) of what `start_rows` returns."""
    of_rows = PartitionSpec(None, "embed")
    if row_start == "covariance":
        return {"rows": of_rows}, {"size": PartitionSpec()}
    return {"rows": of_rows, "projection": of_rows}, {"size": PartitionSpec(), "meaning": PartitionSpec()}


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


def abstract_frozen(config: DecoderConfig, weights: str, meaning: Sequence[int] | None) -> Tree:
    """What is frozen as shapes: a base kept in `weights`, and the meaning of new rows where that has a shape."""
    abstract: Tree = {
        "base": jax.eval_shape(lambda p: freeze(p, weights), abstract_params(config)[0]),
        "size": jax.ShapeDtypeStruct((), np.float32),
    }
    if meaning:
        abstract["meaning"] = jax.ShapeDtypeStruct(tuple(meaning), np.float32)
    return abstract


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


def abstract_learned(config: DecoderConfig, adapt_config: AdaptConfig, codes: int, frozen: Tree) -> Tree:
    """What is learned as shapes, beside what is frozen: adapters, and rows for so many codes and the two ids around."""
    lora = adapt_config.lora
    learned: Tree = {
        "layers": jax.eval_shape(lambda: init_adapters(config, lora, jax.random.key(0))),
        "rows": jax.ShapeDtypeStruct((codes + 2, config.width), np.float32),
    }
    if "meaning" in frozen:
        learned["projection"] = jax.ShapeDtypeStruct((frozen["meaning"].shape[1], config.width), np.float32)
    return learned


def load_frozen(folder: Path, config: DecoderConfig) -> Tree:
    """Reads what `save_frozen` wrote of a decoder, onto this process's devices.

    Raises:
        InputError: it is damaged, or of another decoder.
    """
    about = read_object(folder / "decoder.json")
    try:
        if DecoderConfig(**about["decoder"]) != config:
            raise ValueError("it is of another decoder")
        abstract = abstract_frozen(config, about["weights"], about["meaning"])
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore((folder / "frozen").resolve(), abstract)
    # Orbax raises whatever a damaged file leads it into.
    except Exception as e:
        raise InputError(f"{folder}: the frozen base is not readable: {e!r:.300}; train again") from e
