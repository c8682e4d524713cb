"""A pretrained base of random weights, as a Hugging Face folder whose tokenizer has unused tokens."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tiny

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import init_params
from biomechjax.language.hf_export import export_full
from biomechjax.language.vocabulary import train_text_tokenizer
from biomechjax.tasks.registry import corpus

SHAPE = DecoderConfig(
    vocab_size=512, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, mlp_width=128, sliding_window=16,
    global_every=2,
)  # fmt: skip


def write_base(folder: Path) -> Path:
    text = train_text_tokenizer(corpus(), 420)
    text.add_tokens([f"<unused{i}>" for i in range(tiny.TOKENIZER.codebook_size + 2)])
    rng = np.random.default_rng(0)
    shape = dataclasses.replace(SHAPE, vocab_size=len(text))
    params = jax.tree.map(lambda x: x + rng.normal(0, 0.1, x.shape), init_params(shape, jax.random.key(0)))
    export_full(folder, shape, jax.tree.map(np.float32, params), text)
    return folder
