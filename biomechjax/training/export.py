"""Checkpoints as Hugging Face folders."""

from pathlib import Path

import numpy as np

from biomechjax.errors import InputError
from biomechjax.language.adapters import merge
from biomechjax.language.base import load_base
from biomechjax.language.hf_adapters import export_adapters
from biomechjax.language.hf_export import export_full, with_motion_tokens
from biomechjax.training.checkpoint import read_config, restore_params
from biomechjax.training.pretrained import load_frozen, new_rows
from biomechjax.training.trained import TrainedDecoder, adapt_config


def export_checkpoint(folder: Path, out: Path, dtype: str = "float32", what: str = "full") -> None:
    """Writes a base folder or the newest step of a decoder as a Hugging Face folder.

    A decoder's tokenizer gets the codes of a movement as tokens <motion_0>, ... at the ids that the decoder reads,
    unless they stand on unused ids.

    Args:
        what: "full": the whole model, with adapters merged in float32; "adapters": these alone, in PEFT's format. PEFT
            adds them to the base as it was published: of a base in 4 or 8 bits only the full export is exactly what was
            trained.

    Raises:
        InputError: the checkpoint is of another kind or has no adapters that PEFT could load, or `out` exists.
    """
    run = read_config(folder)
    if run["kind"] not in ("base", "decoder"):
        raise InputError(f"{folder}: a {run['kind']} checkpoint; expected a base or a decoder checkpoint")
    if what == "adapters":
        return _export_adapters(folder, out)
    if run["kind"] == "base":
        return export_full(out, *load_base(folder, dtype), dtype, run["token_ids"] or None)
    model = TrainedDecoder.load(folder)
    export_full(out, model.config, merge(model.config, model.params), with_motion_tokens(model.vocabulary), dtype)


def _export_adapters(folder: Path, out: Path) -> None:
    if not (folder / "base").is_dir():
        raise InputError(f"{folder}: has no adapters; export the full model")
    model = TrainedDecoder.load(folder)
    start, text_size = model.vocabulary.motion_start, model.vocabulary.text_size
    if start >= text_size:
        raise InputError(f"{folder}: its ids of movement are appended, and the base has none; export the full model")
    learned = restore_params(folder)
    rows = np.asarray(new_rows(learned, load_frozen(folder / "base", model.config)))
    lora, ids = adapt_config(model.experiment).lora, range(start, start + len(rows))
    export_adapters(out, model.config, lora, {"layers": learned["layers"]}, model.run["base"], rows, ids)
