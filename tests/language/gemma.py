"""Tiny Gemmas of transformers for the tests: every weight random, norms included."""

from pathlib import Path

import jax
import numpy as np

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Decoder, Params

FIELDS = dict(
    vocab_size=160,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=7,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    query_pre_attn_scalar=16,
    sliding_window=8,
    max_position_embeddings=512,
)


def randomise(model):
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5)
    return model.eval()


def make(family: str = "gemma3_text", **changes):
    """A model of `gemma3_text` or `gemma2`; the soft caps of the latter are low enough to bend."""
    import transformers

    caps = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0} if family == "gemma2" else {}
    config = transformers.AutoConfig.for_model(family, **{**FIELDS, **caps, **changes})
    return randomise(transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def save(folder: Path, family: str = "gemma3_text", **changes):
    model = make(family, **changes)
    model.save_pretrained(folder)
    return model


def tokens(config: DecoderConfig, length: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(3, config.vocab_size, (2, length))


def logits(config: DecoderConfig, params: Params, tokens: np.ndarray) -> jax.Array:
    """Ours, [B,T,V]."""
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    hidden, _ = Decoder(config).apply({"params": params}, tokens, positions, np.ones_like(tokens))
    return Decoder(config).apply({"params": params}, hidden, method="logits")


def reference_logits(model, tokens: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.float().numpy()


def reference_answers(model, prompts: list[list[int]], count: int) -> list[list[int]]:
    """Greedy, without a stop."""
    import torch

    torch.set_num_threads(1)  # more wait for each other where tests share the machine
    answers = []
    for prompt in prompts:
        with torch.no_grad():
            ids = model.generate(
                torch.tensor([prompt]), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0
            )
        answers.append(ids[0, len(prompt) :].tolist())
    return answers


def assert_same_logits(found, expected, relative: float = 1e-4) -> None:
    """To a share of the largest logit."""
    np.testing.assert_allclose(found, expected, atol=relative * np.abs(expected).max(), rtol=0)
