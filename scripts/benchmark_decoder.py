"""What `benchmark.py decoder`, `generation` and `lora` time, beside the same model in PyTorch through transformers."""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_timing import OURS, Work, torch_threads

from biomechjax.language.adapters import freeze, init_adapters
from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import Params, init_params
from biomechjax.language.generate import generate
from biomechjax.language.hf_export import export_full
from biomechjax.language.huggingface import load_gemma
from biomechjax.language.lora import LoraConfig
from biomechjax.language.vocabulary import train_text_tokenizer
from biomechjax.parallel.runner import Runner
from biomechjax.training.config import AdaptConfig, TrainConfig
from biomechjax.training.decoder import adapter_learner, decoder_learner
from biomechjax.training.optimizer import make_optimizer
from biomechjax.training.step import Learner, init_state, make_step

# A small Gemma 2, so that logits, attention and feed-forward all weigh.
SMALL = DecoderConfig(
    vocab_size=4096, width=256, num_layers=6, num_heads=4, num_kv_heads=1, head_dim=64, mlp_width=1024,
    sliding_window=4096, global_every=2, rope_base_global=10_000.0, qk_norm=False, attention_soft_cap=50.0,
    logit_soft_cap=30.0, unroll=6,
)  # fmt: skip
TRAIN = TrainConfig(steps=1_000_000, batch_size=0, learning_rate=1e-4, warmup_steps=0)
LORA = LoraConfig(rank=16, alpha=32.0, dropout=0.0)
NEW = 64  # tokens generated behind each prompt
ANSWER = 8  # last tokens of a row that carry the loss of the adapters' step


def decoder_work(batch: int, length: int) -> Work:
    """A whole training step of SMALL, loss on every token."""
    tokens = random_tokens(SMALL, batch, length)
    calls = {OURS: our_step(decoder_learner(SMALL), start(SMALL), tokens, length)}
    if importlib.util.find_spec("torch"):
        model = torch_model(SMALL, start(SMALL))
        calls |= torch_steps(model, list(model.parameters()), tokens, None, compiled=True)
    return Work("training step", calls, batch * step_operations(SMALL, length), batch * length)


def generation_work(batch: int, length: int) -> Work:
    """Greedy continuation of a batch of prompts by NEW tokens, with SMALL."""
    config, params, tokens = SMALL, jax.device_put(start(SMALL)), random_tokens(SMALL, batch, length)
    prompts = [(row[:-1], row[-1:]) for row in tokens.tolist()]
    calls: dict[str, Callable[[], Any]] = {OURS: lambda: generate(config, params, prompts, NEW, [], batch_size=batch)}
    if importlib.util.find_spec("torch"):
        import torch

        model, ids = torch_model(config, start(config)).eval(), torch.from_numpy(tokens).long()

        def continued() -> Any:
            with torch.no_grad():
                return model.generate(ids, max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0)

        calls["transformers"] = continued
    return Work("greedy generation", calls, tokens=batch * NEW)


def lora_work(base: str, batch: int, length: int) -> Work:
    """A step of adapters on all linear maps of the base, loss on the last ANSWER tokens of each row."""
    config, params = load_gemma(base)
    config = dataclasses.replace(config, unroll=config.num_layers)
    tokens = random_tokens(config, batch, length)
    learned = {
        "layers": init_adapters(config, LORA, jax.random.key(0)),
        "rows": jnp.asarray(params["embedding"][-2:]),
    }
    frozen = {"base": freeze(params, "float32"), "size": np.float32(1)}
    how = AdaptConfig(lora=LORA, weights="float32", row_start="covariance")
    learner = adapter_learner(config, how, config.vocab_size - 2)
    calls = {OURS: our_step(learner, learned, tokens, ANSWER, frozen)}
    if importlib.util.find_spec("peft"):
        import peft

        torch_threads()
        model = transformers_model(base)
        settings = peft.LoraConfig(r=LORA.rank, lora_alpha=int(LORA.alpha), target_modules="all-linear")
        model = peft.get_peft_model(model, settings)
        trained = [p for p in model.parameters() if p.requires_grad]
        calls |= torch_steps(model, trained, tokens, ANSWER, compiled=False)
    return Work("LoRA step", calls, tokens=batch * length)


def random_tokens(config: DecoderConfig, batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(3, config.vocab_size, (batch, length), np.int32)


def start(config: DecoderConfig) -> Params:
    return jax.tree.map(np.asarray, init_params(config, jax.random.key(0)))


def our_step(learner: Learner, params: Any, tokens: np.ndarray, answered: int, frozen: Any = None) -> Callable[[], Any]:
    """A step of `fit` on rows of one segment, of which the last tokens are answers."""
    batch, length = tokens.shape
    answered = min(answered, length - 1)
    places = np.arange(length - 1 - answered, length - 1)
    packed = {
        "tokens": tokens,
        "positions": np.tile(np.arange(length, dtype=np.int32), (batch, 1)),
        "segment_ids": np.ones((batch, length), np.int32),
        "loss_positions": np.tile(places.astype(np.int32), (batch, 1)),
        "targets": tokens[:, places + 1],
        "loss_weights": np.ones((batch, answered), np.float32),
    }
    optimizer = make_optimizer(TRAIN)
    runner = Runner("dp", make_step(learner, optimizer, 0), jax.devices()[:1])
    state = runner.place_state(init_state(params, {}, optimizer, frozen))

    def step() -> Any:
        nonlocal state
        state, metrics = runner.step(state, runner.place_batch(packed))
        return runner.metrics(metrics)

    return step


def transformers_model(folder: str) -> Any:
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)


def torch_model(config: DecoderConfig, params: Params) -> Any:
    """The same model in transformers, with the same weights and PyTorch's own attention."""
    torch_threads()
    with tempfile.TemporaryDirectory() as folder:
        export_full(f"{folder}/model", config, params, train_text_tokenizer(["a"], 300))
        return transformers_model(f"{folder}/model")


def torch_steps(
    model: Any, trained: list[Any], tokens: np.ndarray, answered: int | None, compiled: bool
) -> dict[str, Callable[[], Any]]:
    """AdamW steps with gradient clipping; logits of the last `answered` tokens only, or of all for None."""
    import torch

    ids = torch.from_numpy(tokens).long()
    keep = 0 if answered is None else answered + 1

    def loss_of(ids: Any) -> Any:
        logits = model(ids, use_cache=False, logits_to_keep=keep).logits[:, :-1]
        targets = ids[:, -logits.shape[1] :]
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def stepping(loss: Callable[[Any], Any]) -> Callable[[], Any]:
        optimizer = torch.optim.AdamW(trained, TRAIN.learning_rate, (0.9, TRAIN.beta2), weight_decay=0.0)

        def step() -> Any:
            optimizer.zero_grad()
            value = loss(ids)
            value.backward()
            torch.nn.utils.clip_grad_norm_(trained, TRAIN.clip_norm)
            optimizer.step()
            return float(value.detach())

        return step

    calls = {"transformers": stepping(loss_of)}
    if compiled:
        calls["transformers, torch.compile"] = stepping(torch.compile(loss_of))
    return calls


def step_operations(config: DecoderConfig, length: int) -> float:
    """Of a whole training step for one row: each product forwards, and twice backwards; causal attention in half."""
    c = config
    linear = c.width * c.head_dim * (2 * c.num_heads + 2 * c.num_kv_heads) + 3 * c.width * c.mlp_width
    attention = c.num_heads * c.head_dim * length  # scores and mixing, half of the square each
    return 6.0 * length * (c.num_layers * (linear + attention) + c.vocab_size * c.width)
