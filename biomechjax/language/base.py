"""Base models: pretrained decoders as folders, imported once or straight from Hugging Face.

OUT/
  config.json       kind "base", the decoder's shape, and where it comes from
  params/           orbax
  text_tokenizer/   as transformers saves it
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import transformers

from biomechjax.atomic import new_folder
from biomechjax.errors import InputError
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, abstract_params
from biomechjax.language.hf_export import TOKEN_IDS
from biomechjax.language.huggingface import GemmaFolder, load_gemma
from biomechjax.language.vocabulary import load_text_tokenizer
from biomechjax.motion.files import read_object
from biomechjax.provenance import git_commit, sha256_of


def import_base(source: str | Path, out: str | Path, dtype: str = "bfloat16") -> list[str]:
    """Writes a base folder from a Hugging Face folder; whole or not at all.

    Args:
        source: holds config.json, *.safetensors and the tokenizer's files.
        out: to write.
        dtype: of the parameters; the published weights are bfloat16.

    Returns:
        The tensors that are not of the text model and were left out.

    Raises:
        InputError: `source` is no model that can be read, or `out` exists.
    """
    with new_folder(out) as work:
        model = GemmaFolder(source)
        load_text_tokenizer(source).save_pretrained(work / "text_tokenizer")
        fields = {
            "kind": "base",
            "decoder": dataclasses.asdict(model.config),
            "dtype": dtype,
            "token_ids": {name: model.fields[name] for name in TOKEN_IDS if name in model.fields},
            "source": str(Path(source).resolve()),
            "sha256": sha256_of(model.files()),
            "left_out": model.left_out,
            "git_commit": git_commit(),
        }
        (work / "config.json").write_text(json.dumps(fields, indent=1))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((work / "params").resolve(), model.load(dtype))
    return model.left_out


def load_base(
    folder: str | Path, dtype: str = "float32", shardings: Params | None = None
) -> tuple[DecoderConfig, Params, "transformers.PreTrainedTokenizerBase"]:
    """Opens a base folder or a Hugging Face folder.

    Args:
        folder: written by `import_base`, or with a config.json that has a model_type.
        dtype: of the returned parameters.
        shardings: a `jax.sharding.Sharding` for every parameter, in the same tree.

    Returns:
        The configuration; the parameters, numpy arrays on the host or with `shardings` JAX arrays; the tokenizer.

    Raises:
        InputError: the folder is neither.
    """
    folder = Path(folder)
    fields = read_object(folder / "config.json")
    if "model_type" in fields:
        return *load_gemma(folder, dtype, shardings), load_text_tokenizer(folder)
    if fields.get("kind") != "base":
        raise InputError(
            f"{folder}: neither a base folder nor a Hugging Face model; give one of convert_gemma.py import"
        )
    try:
        config = DecoderConfig(**fields["decoder"])
    except (KeyError, TypeError, ValueError) as e:
        raise InputError(f"{folder / 'config.json'}: not of a decoder: {e!r}; import it again") from e
    shapes, _ = abstract_params(config)

    def restored(_: Any, *sharding: jax.sharding.Sharding) -> ocp.RestoreArgs:
        if sharding:
            return ocp.ArrayRestoreArgs(sharding=sharding[0], dtype=dtype)
        return ocp.RestoreArgs(restore_type=np.ndarray, dtype=dtype)

    rest = () if shardings is None else (shardings,)
    with ocp.PyTreeCheckpointer() as checkpointer:
        params = checkpointer.restore((folder / "params").resolve(), restore_args=jax.tree.map(restored, shapes, *rest))
    return config, params, load_text_tokenizer(folder / "text_tokenizer")


def base_hash(folder: str | Path) -> str:
    """The hash of the weights that a base folder or a Hugging Face folder was made of.

    Raises:
        InputError: the folder is neither.
    """
    fields = read_object(Path(folder) / "config.json")
    digests = fields.get("sha256") if fields.get("kind") == "base" else sha256_of(GemmaFolder(folder).files())
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
