"""Reads a Hugging Face folder of a Gemma 3 text model into our parameter tree."""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from biomechjax.language.config import DecoderConfig, from_hf_config
from biomechjax.language.decoder import Params, abstract_params

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
TIED_HEAD = "lm_head.weight"
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


class _Tensors:
    """The tensors of all safetensors files in a folder; each is read from disk when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        for path in self._shards(folder):
            try:
                with safe_open(path, framework="numpy") as file:
                    names = list(file.keys())
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path} is no safetensors file ({error}); fetch it again") from error
            for name in names:
                if name in self._files:
                    raise ValueError(
                        f"tensor {name} is in both {self._files[name]} and {path.name}; remove the file that "
                        "does not belong to the model"
                    )
                self._files[name] = path
        self.unread = set(self._files)

    @staticmethod
    def _shards(folder: Path) -> list[Path]:
        index = folder / "model.safetensors.index.json"
        if not index.is_file():
            if not (paths := sorted(folder.glob("*.safetensors"))):
                raise ValueError(f"{folder} has no *.safetensors file; expected a Hugging Face model folder")
            return paths
        if not isinstance(weight_map := _read_json(index).get("weight_map"), dict):
            raise ValueError(f"{index} has no weight_map; fetch it again")
        paths = [folder / name for name in sorted(set(weight_map.values()))]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise ValueError(f"{index} names files that are not there: {', '.join(missing)}; fetch them")
        return paths

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self._files:
            raise ValueError(f"no file in {self._folder} has the tensor {name}, which config.json calls for")
        with safe_open(self._files[name], framework="numpy") as file:
            tensor = file.get_tensor(name)
        if tensor.shape != shape:
            raise ValueError(f"{self._files[name]}: {name} has shape {tensor.shape}; config.json calls for {shape}")
        self.unread.discard(name)
        return tensor


def load_gemma3(folder: str | Path, dtype: str = "float32") -> tuple[DecoderConfig, Params]:
    """Loads a `gemma3_text` model saved by Hugging Face transformers (one safetensors file or shards).

    Args:
        folder: holds config.json and *.safetensors.
        dtype: of the returned parameters; the published weights are bfloat16.

    Returns:
        The configuration, and the parameters as numpy arrays on the host for the caller to place on devices.

    Raises:
        ValueError: the folder is no such model, or its tensors are not those its config.json calls for.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no config.json; expected a Hugging Face model folder")
    config = from_hf_config(_read_json(folder / "config.json"))
    tensors = _Tensors(folder)
    shapes, _ = abstract_params(config)
    target = jnp.dtype(dtype)

    embedding = tensors.read(EMBEDDING, shapes["embedding"].shape)
    if TIED_HEAD in tensors and not np.array_equal(tensors.read(TIED_HEAD, embedding.shape), embedding):
        raise ValueError(f"{TIED_HEAD} differs from {EMBEDDING}; this decoder has one matrix for both")
    params: Params = {
        "embedding": embedding.astype(target),
        "final_norm": {"scale": tensors.read(FINAL_NORM, shapes["final_norm"]["scale"].shape).astype(target)},
        "layers": _stack_layers(tensors, shapes["layers"], "", target),
    }
    if tensors.unread:
        raise ValueError(
            f"{folder} holds tensors that config.json does not call for: {', '.join(sorted(tensors.unread))}"
        )
    return config, params


def _stack_layers(tensors: _Tensors, shapes: Params, prefix: str, dtype: np.dtype) -> Params:
    """The subtree of our stacked layers at `prefix`; every leaf of the target tree is visited once."""
    if isinstance(shapes, dict):
        return {name: _stack_layers(tensors, sub, f"{prefix}/{name}", dtype) for name, sub in shapes.items()}
    path = prefix.removeprefix("/")
    num_layers, *shape = shapes.shape
    # Hugging Face stores a linear map as [outputs, inputs], with the heads merged.
    inputs = math.prod(shape[:-1]) if path == "attention/output" else shape[0]
    stored = tuple(shape) if path.endswith("/scale") else (math.prod(shape) // inputs, inputs)
    stacked = np.empty(shapes.shape, dtype)
    for i in range(num_layers):
        stacked[i] = tensors.read(f"model.layers.{i}.{LAYER_NAMES[path]}", stored).T.reshape(shape)
    return stacked


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); fetch it again") from error
