"""Checkpoints as Hugging Face folders."""

from pathlib import Path

from biomechjax.errors import InputError
from biomechjax.language.base import load_base
from biomechjax.language.hf_export import export_full, with_motion_tokens
from biomechjax.training.checkpoint import read_config
from biomechjax.training.decoder import TrainedDecoder


def export_checkpoint(folder: Path, out: Path, dtype: str) -> None:
    """Writes a base folder or the newest step of a decoder as a Hugging Face folder.

    A decoder's tokenizer gets the codes of a movement as tokens <motion_0>, ... at the ids that the decoder reads.

    Raises:
        InputError: the checkpoint is of another kind, or `out` exists.
    """
    run = read_config(folder)
    if run["kind"] == "base":
        export_full(out, *load_base(folder, dtype), dtype, run["token_ids"] or None)
    elif run["kind"] == "decoder":
        model = TrainedDecoder.load(folder)
        export_full(out, model.config, model.params, with_motion_tokens(model.vocabulary), dtype)
    else:
        raise InputError(f"{folder}: a {run['kind']} checkpoint; expected a base or a decoder checkpoint")
