"""Writes a decoder as a Hugging Face folder, and its tokenizer with the codes of a movement as tokens."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import transformers
from safetensors.numpy import save_file
from tokenizers import AddedToken

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.language.config import COMPUTE_DTYPES, DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.hf_config import to_hf_config
from biomechjax.language.huggingface import INDEX_FILE, input_axes, leaves, source_names
from biomechjax.language.vocabulary import Vocabulary

SHARD_BYTES = 5_000_000_000
TOKEN_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")


def export_full(
    folder: str | Path,
    config: DecoderConfig,
    params: Params,
    tokenizer: "transformers.PreTrainedTokenizerBase",
    dtype: str = "float32",
    token_ids: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a folder that transformers' AutoModelForCausalLM and AutoTokenizer load; whole or not at all.

    transformers derives the settings of generation from config.json. Beside the parameters one file's tensors are
    in memory.

    Args:
        folder: to write.
        config: the decoder's shape.
        params: its parameters, on the host or on devices.
        tokenizer: written beside them.
        dtype: of the tensors, float32 or bfloat16.
        token_ids: TOKEN_IDS that config.json shall name, otherwise the tokenizer's.
        shard_bytes: the most that a safetensors file holds, unless one tensor alone has more.

    Raises:
        InputError: the folder exists, transformers has no setting for what the decoder computes, or the parameters
            are not of the shapes of the configuration.
    """
    if dtype not in COMPUTE_DTYPES:
        raise InputError(f"dtype is {dtype!r}; choose one of {', '.join(COMPUTE_DTYPES)}")
    if token_ids is None:
        token_ids = {name: getattr(tokenizer, name) for name in TOKEN_IDS}
    fields = to_hf_config(config, dtype, token_ids)
    found = {path: np.shape(leaf) for path, leaf in leaves(params)}
    wanted = {path: leaf.shape for path, leaf in leaves(abstract_params(config)[0])}
    if wrong := sorted(dict(found.items() ^ wanted.items())):
        raise InputError(f"parameters are not those of the configuration: {', '.join(wrong)}")
    with new_folder(folder) as work:
        (work / "config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        tokenizer.save_pretrained(work)
        _write_shards(work, params, np.dtype(dtype), shard_bytes)


def with_motion_tokens(vocabulary: Vocabulary) -> "transformers.PreTrainedTokenizerBase":
    """The text tokenizer with <motion_start>, <motion_end>, <motion_0>, ... at the vocabulary's ids.

    Where these are ids that it calls unused it stays as it is, and so does the size of the vocabulary.
    """
    if vocabulary.motion_start < vocabulary.text_size:
        return vocabulary.tokenizer
    tokenizer = copy.deepcopy(vocabulary.tokenizer)
    names = ["<motion_start>", "<motion_end>", *(f"<motion_{code}>" for code in range(vocabulary.codebook_size))]
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    if tokenizer.convert_tokens_to_ids(names) != list(range(vocabulary.motion_start, len(tokenizer))):
        raise InputError("the text tokenizer has motion tokens of its own; it cannot be given those of the vocabulary")
    return tokenizer


def _write_shards(folder: Path, params: Params, dtype: np.dtype, shard_bytes: int) -> None:
    shards: list[dict[str, Callable[[], np.ndarray]]] = [{}]
    filled = total = 0
    for name, size, make in _tensors(params, dtype):
        if shards[-1] and filled + size > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = make
        filled += size
        total += size
    files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        files = ["model.safetensors"]
    else:
        weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    for file, shard in zip(files, shards, strict=True):
        # transformers wants to be told that the tensors are PyTorch's.
        save_file({name: make() for name, make in shard.items()}, folder / file, metadata={"format": "pt"})
        (folder / file).chmod(0o644)  # safetensors lets nobody else read it


def _tensors(params: Params, dtype: np.dtype) -> Iterator[tuple[str, int, Callable[[], np.ndarray]]]:
    """Name, bytes and maker of every tensor of the folder."""
    for path, leaf in leaves(params):
        stacked = path.startswith("layers/")
        names = source_names(path, len(leaf))
        for i, name in enumerate(names):

            def make(leaf: Any = leaf, i: int | None = i if stacked else None, inputs: int = input_axes(path)):
                array = np.asarray(jax.device_get(leaf if i is None else leaf[i]))
                if inputs:
                    array = array.reshape(np.prod(array.shape[:inputs]), -1).T
                return np.ascontiguousarray(array, dtype)

            yield name, np.size(leaf) // len(names) * dtype.itemsize, make
