"""Adapters in the format of PEFT, Hugging Face's library of adapters, written and read.

Names, shapes and settings are those of peft.LoraConfig and of adapter_model.safetensors as PEFT 0.21 writes it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.language.adapters import init_adapters
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params
from biomechjax.language.huggingface import LAYER_NAMES, leaves
from biomechjax.language.lora import TARGETS, LoraConfig
from biomechjax.motion.files import read_object

PREFIX = "base_model.model."
ROWS = PREFIX + "model.embed_tokens.token_adapter.trainable_tokens_delta"
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
# Target -> path under `layers`, and PEFT's name of the linear map.
PATHS = {target: path for path in LAYER_NAMES for target in TARGETS if path.endswith(f"/{target}")}
MODULES = {target: LAYER_NAMES[path].split(".")[1] for target, path in PATHS.items()}
# Settings of PEFT under which a target is W + scale * a @ b, and nothing else is changed but rows of the embedding.
COMPUTED: dict[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "lora_bias": False,
    "use_dora": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "layers_to_transform": None,
    "layer_replication": None,
    "target_parameters": None,
    "exclude_modules": None,
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "kasa_config": None,
    "monteclora_config": None,
    "use_bdlora": None,
    "use_qalora": False,
    "velora_config": None,
}


def export_adapters(
    folder: str | Path,
    config: DecoderConfig,
    lora: LoraConfig,
    adapters: Params,
    base: str,
    rows: Any = None,
    token_ids: Sequence[int] = (),
) -> None:
    """Writes a folder that `peft.PeftModel.from_pretrained(base_model, folder)` loads; whole or not at all.

    Args:
        folder: to write.
        config: the shape of the decoder adapted.
        lora: what is adapted and how.
        adapters: {"layers": {"attention": {"query": {"a": [L, inputs, R], "b": [L, R, outputs]}, ...}, "mlp": ...}}
            with heads merged, of the targets alone.
        base: name or folder of the model adapted, as PEFT shall find it.
        rows: [n, D], rows of the embedding that replace the base model's, or None.
        token_ids: the n ids of the rows.

    Raises:
        InputError: the folder exists, the adapters are not those of `lora`, or the rows not those of the ids.
    """
    found = {path: np.shape(leaf) for path, leaf in leaves(adapters)}
    if wrong := sorted(dict(found.items() ^ _adapter_shapes(config, lora).items())):
        raise InputError(f"adapters are not those of the configurations: {', '.join(wrong)}")
    tensors: dict[str, np.ndarray] = {}
    for path, leaf in leaves(adapters):
        # PEFT has both matrices as [outputs, inputs], as every linear map.
        for i, matrix in enumerate(np.asarray(jax.device_get(leaf))):
            tensors[_name(path, i)] = np.ascontiguousarray(matrix.T)
    fields = {
        "base_model_name_or_path": base,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rs,
        "target_modules": [MODULES[target] for target in lora.targets],
        "trainable_token_indices": None if rows is None else list(token_ids),
        **{k: v for k, v in COMPUTED.items() if v is not None},
    }
    if rows is not None:
        _check_rows(np.shape(rows), token_ids, config)
        tensors[ROWS] = np.ascontiguousarray(jax.device_get(rows))
    with new_folder(folder) as work:
        (work / CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, work / WEIGHTS_FILE, metadata={"format": "pt"})


def import_adapters(
    folder: str | Path, config: DecoderConfig
) -> tuple[LoraConfig, Params, np.ndarray | None, tuple[int, ...]]:
    """Reads a folder that PEFT wrote for a decoder of this shape.

    Returns:
        What is adapted and how; the adapters, rows (or None) and token ids as `export_adapters` takes them, in the
        dtype of the file.

    Raises:
        InputError: the folder holds no such adapters, a setting that is not computed here, or a tensor too many, too
            few or of another shape; the message names it.
    """
    folder = Path(folder)
    fields = read_object(folder / CONFIG_FILE)
    for name, computed in COMPUTED.items():
        if (found := fields.get(name, computed)) != computed and (found or computed):
            raise InputError(f"{folder / CONFIG_FILE}: {name} is {found!r}; only {computed!r} can be read")
    lora = _lora_config(folder / CONFIG_FILE, fields)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{folder / WEIGHTS_FILE} is no safetensors file ({error}); fetch it again") from error
    if integers := [name for name, tensor in tensors.items() if not jnp.issubdtype(tensor.dtype, jnp.floating)]:
        raise InputError(f"{folder / WEIGHTS_FILE}: {integers[0]} is of {tensors[integers[0]].dtype}; expected floats")
    token_ids = _token_ids(folder / CONFIG_FILE, fields.get("trainable_token_indices"))
    wanted = {
        _name(path, i): shape[:0:-1]
        for path, shape in _adapter_shapes(config, lora).items()
        for i in range(config.num_layers)
    }
    if token_ids:
        wanted[ROWS] = (len(token_ids), config.width)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if wrong := sorted(dict(shapes.items() ^ wanted.items())):
        described = [f"{n}: found {shapes.get(n)}, expected {wanted.get(n)}" for n in wrong[:8]]
        raise InputError(f"{folder / WEIGHTS_FILE}: {len(wrong)} tensors differ: {'; '.join(described)}")
    rows = tensors.get(ROWS)
    if rows is not None:
        _check_rows(rows.shape, token_ids, config)
    adapters: Params = {}
    for path in _adapter_shapes(config, lora):
        *parents, last = path.split("/")
        node = adapters
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = np.stack([tensors[_name(path, i)].T for i in range(config.num_layers)])
    return lora, adapters, rows, token_ids


def _adapter_shapes(config: DecoderConfig, lora: LoraConfig) -> dict[str, tuple[int, ...]]:
    """Path and shape of every leaf of the adapters."""
    fresh = jax.eval_shape(lambda: init_adapters(config, lora, jax.random.key(0)))
    return {path: leaf.shape for path, leaf in leaves({"layers": fresh})}


def _name(path: str, layer: int) -> str:
    """PEFT's name of a layer of the leaf at `path`, as layers/mlp/gate/a."""
    weight, matrix = path.removeprefix("layers/").rsplit("/", 1)
    return f"{PREFIX}model.layers.{layer}.{LAYER_NAMES[weight].removesuffix('weight')}lora_{matrix.upper()}.weight"


def _lora_config(file: Path, fields: Mapping[str, Any]) -> LoraConfig:
    modules = fields.get("target_modules")
    targets = tuple(target for target, module in MODULES.items() if isinstance(modules, list) and module in modules)
    if not isinstance(modules, list) or len(targets) != len(modules):
        raise InputError(f"{file}: target_modules is {modules!r}; expected a list of {', '.join(MODULES.values())}")
    try:
        return LoraConfig(
            fields["r"], fields["lora_alpha"], fields.get("lora_dropout", 0.0), fields.get("use_rslora", False), targets
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: {error!r}; expected the settings of a peft.LoraConfig") from error


def _token_ids(file: Path, indices: Any) -> tuple[int, ...]:
    """Ids of the rows that are replaced, which PEFT has as a list or by the name of the embedding."""
    ids = (indices.get("embed_tokens") if isinstance(indices, dict) else indices) or []
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise InputError(f"{file}: trainable_token_indices is {indices!r}; expected ids of rows of embed_tokens")
    return tuple(ids)


def _check_rows(shape: tuple[int, ...], token_ids: Sequence[int], config: DecoderConfig) -> None:
    unique = set(token_ids)
    inside = all(0 <= i < config.vocab_size for i in unique)
    if shape != (len(token_ids), config.width) or len(unique) != len(token_ids) or not inside:
        raise InputError(
            f"rows of shape {shape} for {len(token_ids)} ids; expected [ids, {config.width}], and different ids from 0 "
            f"to {config.vocab_size - 1}"
        )
