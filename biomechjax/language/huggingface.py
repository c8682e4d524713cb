"""Reads a Hugging Face folder of a Gemma 2 or 3 model into our parameter tree, a tensor at a time."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from biomechjax.errors import InputError
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.hf_config import MULTIMODAL, from_hf_config
from biomechjax.motion.files import read_object

EMBEDDING = "model.embed_tokens.weight"
TIED_HEAD = "lm_head.weight"
INDEX_FILE = "model.safetensors.index.json"
# Path in our tree -> name in the file.
NAMES = {"embedding": EMBEDDING, "final_norm/scale": "model.norm.weight"}
# Path under `layers` in our tree -> name under `model.layers.<i>.` in the file.
LAYER_NAMES = {
    "attention/query": "self_attn.q_proj.weight",
    "attention/key": "self_attn.k_proj.weight",
    "attention/value": "self_attn.v_proj.weight",
    "attention/output": "self_attn.o_proj.weight",
    "attention/query_norm/scale": "self_attn.q_norm.weight",
    "attention/key_norm/scale": "self_attn.k_norm.weight",
    "mlp/gate": "mlp.gate_proj.weight",
    "mlp/up": "mlp.up_proj.weight",
    "mlp/down": "mlp.down_proj.weight",
    "attention_norm/scale": "input_layernorm.weight",
    "post_attention_norm/scale": "post_attention_layernorm.weight",
    "mlp_norm/scale": "pre_feedforward_layernorm.weight",
    "post_mlp_norm/scale": "post_feedforward_layernorm.weight",
}
# Beside the text model in a multimodal folder.
NOT_TEXT = ("vision_tower.", "multi_modal_projector.")
DTYPES = ("F64", "F32", "F16", "BF16")
HEAD_BLOCK = 4096  # rows of the head compared with the embedding at a time


def source_names(path: str, num_layers: int) -> list[str]:
    """The tensors that make up the leaf at `path`: one per layer of a stacked leaf."""
    if path in NAMES:
        return [NAMES[path]]
    return [f"model.layers.{i}.{LAYER_NAMES[path.removeprefix('layers/')]}" for i in range(num_layers)]


def input_axes(path: str) -> int:
    """How many leading axes of a layer's weight are its inputs, which Hugging Face has last and merged; 0 if the
    tensor is stored as it is."""
    if path == "embedding" or path.endswith("/scale"):
        return 0
    return 2 if path == "layers/attention/output" else 1


def leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a parameter tree with their paths, as `layers/mlp/gate`."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        yield "/".join(entry.key for entry in path), leaf


def load_gemma(
    folder: str | Path, dtype: str = "float32", shardings: Params | None = None
) -> tuple[DecoderConfig, Params]:
    """Loads a model saved by Hugging Face transformers; `GemmaFolder` says what is left out.

    Args:
        folder: holds config.json and *.safetensors.
        dtype: of the returned parameters; the published weights are bfloat16.
        shardings: a `jax.sharding.Sharding` for every parameter, in the same tree.

    Returns:
        The configuration, and the parameters: numpy arrays on the host, or with `shardings` JAX arrays of which
        each device's part alone was read.

    Raises:
        InputError: the folder is no such model, or its tensors are not those its config.json calls for.
    """
    model = GemmaFolder(folder)
    return model.config, model.load(dtype, shardings)


class GemmaFolder:
    """A Hugging Face model folder whose tensors have been checked by name and shape, but not read.

    Attributes:
        folder: where it is.
        config: the decoder's shape.
        fields: its config.json.
        left_out: names of tensors that are not of the text model (the vision tower of multimodal folders).

    Raises:
        InputError: the folder is no such model, or its tensors are not those its config.json calls for.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "config.json").is_file():
            raise InputError(f"{folder} holds no config.json; expected a Hugging Face model folder")
        self.fields = read_object(self.folder / "config.json")
        self.config = from_hf_config(self.fields)
        self.left_out: list[str] = []
        self._places: dict[str, tuple[Path, str]] = {}  # name -> file, and the name there
        self._shapes, _ = abstract_params(self.config)
        for path in self.files():
            self._list_tensors(path)
        self._check()

    def files(self) -> list[Path]:
        """Its safetensors files."""
        index = self.folder / INDEX_FILE
        if not index.is_file():
            if not (paths := sorted(self.folder.glob("*.safetensors"))):
                raise InputError(f"{self.folder} has no *.safetensors file; expected a Hugging Face model folder")
            return paths
        weight_map = read_object(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(map(_is_plain, weight_map.values())):
            raise InputError(f"{index}: expected a weight_map of tensors to names of files beside it; fetch it again")
        paths = [self.folder / name for name in sorted(set(weight_map.values()))]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise InputError(f"{index} names files that are not there: {', '.join(missing)}; fetch them")
        return paths

    def load(self, dtype: str = "float32", shardings: Params | None = None) -> Params:
        """The parameters, as `load_gemma` returns them; beside them at most one tensor is in memory."""
        target = jnp.dtype(dtype)

        def make(path: Any, leaf: jax.ShapeDtypeStruct, *sharding: jax.sharding.Sharding) -> Any:
            name = "/".join(entry.key for entry in path)

            def read(index: tuple[slice, ...] | None) -> np.ndarray:
                assert index is not None  # leaves have axes
                bounds = [slice(*s.indices(n)[:2]) for s, n in zip(index, leaf.shape, strict=True)]
                return self._read(name, leaf.shape, bounds, target)

            if sharding:
                return jax.make_array_from_callback(leaf.shape, sharding[0], read)
            return read((slice(None),) * len(leaf.shape))

        rest = () if shardings is None else (shardings,)
        return jax.tree_util.tree_map_with_path(make, self._shapes, *rest)

    def _read(self, path: str, shape: tuple[int, ...], index: list[slice], dtype: np.dtype) -> np.ndarray:
        """A rectangle of one of our leaves."""
        if path in NAMES:
            return self._slice(NAMES[path], tuple(index)).astype(dtype, copy=False)
        out = np.empty([s.stop - s.start for s in index], dtype)
        inputs, (num_layers, *shape_of_layer), (layers, *index) = input_axes(path), shape, index
        for row, name in zip(out, source_names(path, num_layers)[layers], strict=True):
            if inputs:
                row[...] = self._transposed(name, shape_of_layer, inputs, index)
            else:
                row[...] = self._slice(name, tuple(index))
        return out

    def _transposed(self, name: str, shape: list[int], inputs: int, index: list[slice]) -> np.ndarray:
        """A rectangle of a weight that we have as [*inputs, *outputs] and the file as [outputs, inputs], merged."""
        columns, in_shape = _merged(shape[:inputs], index[0])
        rows, out_shape = _merged(shape[inputs:], index[inputs])
        part = self._slice(name, (rows, columns)).T.reshape(*in_shape, *out_shape)
        return part[(slice(None), *index[1:inputs], slice(None), *index[inputs + 1 :])]

    def _slice(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        path, stored = self._places[name]
        with safe_open(path, framework="numpy") as file:
            return file.get_slice(stored)[index]

    def _list_tensors(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                names = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is no safetensors file ({error}); fetch it again") from error
        for stored in names:
            name = _text_name(stored) if self.fields["model_type"] == MULTIMODAL else stored
            if name is None:
                self.left_out.append(stored)
            elif name in self._places:
                raise InputError(
                    f"tensor {stored} is in both {self._places[name][0]} and {path.name}; remove the file that "
                    "does not belong to the model"
                )
            else:
                self._places[name] = (path, stored)

    def _check(self) -> None:
        """Sees to it that each leaf has its tensors, of the right shape, and that each tensor has its leaf."""
        wanted: dict[str, tuple[int, ...]] = {}
        for path, leaf in leaves(self._shapes):
            shape = leaf.shape if path in NAMES else leaf.shape[1:]
            if inputs := input_axes(path):
                shape = (math.prod(shape[inputs:]), math.prod(shape[:inputs]))
            for name in source_names(path, self.config.num_layers):
                assert name not in wanted, f"{name} would be read twice"
                wanted[name] = shape
        if missing := sorted(wanted.keys() - self._places.keys()):
            raise InputError(f"no file in {self.folder} has the tensors that config.json calls for: {_some(missing)}")
        if unknown := sorted(self._places.keys() - wanted.keys() - {TIED_HEAD}):
            raise InputError(f"{self.folder} holds tensors that config.json does not call for: {_some(unknown)}")
        if TIED_HEAD in self._places:
            wanted[TIED_HEAD] = wanted[EMBEDDING]
        for name, shape in wanted.items():
            file_path, stored = self._places[name]
            with safe_open(file_path, framework="numpy") as file:
                found, dtype = tuple(file.get_slice(stored).get_shape()), file.get_slice(stored).get_dtype()
            if found != shape:
                raise InputError(f"{file_path}: {stored} has shape {found}; config.json calls for {shape}")
            if dtype not in DTYPES:
                raise InputError(f"{file_path}: {stored} is of {dtype}; expected one of {', '.join(DTYPES)}")
        if TIED_HEAD in self._places:
            self._compare_head()

    def _compare_head(self) -> None:
        size = self.config.vocab_size
        for start in range(0, size, HEAD_BLOCK):
            rows = (slice(start, min(start + HEAD_BLOCK, size)),)
            if not np.array_equal(self._slice(TIED_HEAD, rows), self._slice(EMBEDDING, rows)):
                raise InputError(f"{TIED_HEAD} differs from {EMBEDDING}; this decoder has one matrix for both")


def _merged(shape: list[int], first: slice) -> tuple[slice, list[int]]:
    """The part of merged axes that holds a part of the first of them, and its shape unmerged."""
    inner = math.prod(shape[1:])
    return slice(first.start * inner, first.stop * inner), [first.stop - first.start, *shape[1:]]


def _text_name(stored: str) -> str | None:
    """What a tensor of a multimodal folder is called in a text model; None if it is not of the text part.

    Published files have language_model.model.*, transformers 5 has model.language_model.*.
    """
    if stored.removeprefix("model.").startswith(NOT_TEXT):
        return None
    if stored.startswith("model.language_model."):
        return "model." + stored.removeprefix("model.language_model.")
    return stored.removeprefix("language_model.")


def _is_plain(name: Any) -> bool:
    """Whether it is a name of a safetensors file, without a folder."""
    return isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors") and len(name) < 200


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
