"""The motion tokenizer in PyTorch, as T2M-GPT writes it, for comparison: the same networks, losses and codebook.

It covers `vq_ema` with the reconstruction, velocity and commitment terms, which is `TokenizerConfig()`, in any width,
depth, stages and codebook. Activations are [B,C,F], as nn.Conv1d has them; the arguments are those of biomechjax.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import Tensor, nn
from torch.nn import functional as F

from biomechjax.errors import InputError
from biomechjax.tokenizer.config import TokenizerConfig

TRAINED = ("reconstruction", "velocity", "commitment")


class MaskedConv(nn.Conv1d):
    """A convolution [B,*,F] -> [B,features,F/stride] over the frames that `valid` [B,1,F] marks with 1."""

    def __init__(self, inputs: int, features: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(inputs, features, kernel, stride, dilation * (kernel - 1) // 2, dilation)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * valid)


class ResidualStack(nn.Module):
    """Dilated residual blocks, widest dilation first."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        levels = reversed(range(config.depth))
        self.convs = nn.ModuleList(
            conv
            for level in levels
            for conv in (
                MaskedConv(config.width, config.width, dilation=config.dilation_growth**level),
                nn.Conv1d(config.width, config.width, 1),  # what it makes of padded frames is masked after it
            )
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        for wide, narrow in zip(self.convs[::2], self.convs[1::2], strict=True):
            x = x + narrow(F.relu(wide(F.relu(x), valid), inplace=True))
        return x


class Encoder(nn.Module):
    """Features [B,F,C], observed [B,1,C], valid [B,F] -> latents [B,F/4,E]."""

    def __init__(self, config: TokenizerConfig, channels: int) -> None:
        super().__init__()
        c = config
        self.step = c.frames_per_step
        self.straight = nn.Linear(self.step * 2 * channels, c.code_width, bias=False)
        halvings = (MaskedConv(c.width, c.width, 4, stride=2) for _ in range(c.stages))
        self.convs = nn.ModuleList([MaskedConv(2 * channels, c.width), *halvings, MaskedConv(c.width, c.code_width)])
        self.stacks = nn.ModuleList(ResidualStack(c) for _ in range(c.stages))

    def forward(self, features: Tensor, observed: Tensor, valid: Tensor) -> Tensor:
        x = torch.cat([features * observed, observed.expand_as(features)], dim=-1) * valid[..., None]
        straight = self.straight(x.reshape(len(x), -1, self.step * x.shape[-1]))
        valid = valid[:, None]
        x = F.relu(self.convs[0](x.transpose(1, 2), valid), inplace=True)
        for halve, stack in zip(self.convs[1:-1], self.stacks, strict=True):
            x = halve(x, valid)
            valid = valid[..., ::2]
            x = stack(x, valid)
        return straight + self.convs[-1](x, valid).transpose(1, 2)


class Decoder(nn.Module):
    """Latents [B,F/4,E], valid [B,F] -> features [B,F,C]."""

    def __init__(self, config: TokenizerConfig, channels: int) -> None:
        super().__init__()
        c = config
        self.step, self.channels = c.frames_per_step, channels
        self.straight = nn.Linear(c.code_width, self.step * channels, bias=False)
        doublings = (MaskedConv(c.width, c.width) for _ in range(c.stages + 1))
        self.convs = nn.ModuleList([MaskedConv(c.code_width, c.width), *doublings, MaskedConv(c.width, channels)])
        self.stacks = nn.ModuleList(ResidualStack(c) for _ in range(c.stages))

    def forward(self, latents: Tensor, valid: Tensor) -> Tensor:
        straight = self.straight(latents).reshape(len(latents), -1, self.channels)
        valid, step = valid[:, None], self.step
        x = F.relu(self.convs[0](latents.transpose(1, 2), valid[..., ::step]), inplace=True)
        for conv, stack in zip(self.convs[1:-2], self.stacks, strict=True):
            x = stack(x, valid[..., ::step])
            step //= 2
            x = conv(F.interpolate(x, scale_factor=2, mode="nearest"), valid[..., ::step])
        x = F.relu(self.convs[-2](x, valid), inplace=True)
        return straight + self.convs[-1](x, valid).transpose(1, 2)


class Codebook(nn.Module):
    """Codes [Q,E] as running averages with reset; `counts` [Q] and `sums` [Q,E] are what they are ratios of."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config, self.filled = config, False
        shape = (config.codebook_size, config.code_width)
        self.register_buffer("codes", torch.zeros(shape))
        self.register_buffer("counts", torch.ones(shape[0]))
        self.register_buffer("sums", torch.zeros(shape))

    def choose(self, latents: Tensor) -> Tensor:
        """[...,E] -> the nearest code int64 [...]."""
        flat = latents.reshape(-1, latents.shape[-1])
        distance = torch.addmm(self.codes.square().sum(dim=1), flat, self.codes.T, alpha=-2)
        return distance.argmin(dim=1).reshape(latents.shape[:-1])

    @torch.no_grad()
    def update(self, latents: Tensor, choice: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """One step on latents [N,E] that chose `choice` [N], of which `valid` [N] count.

        Returns:
            The perplexity of the batch's code use, and how many codes were replaced.
        """
        c, q = self.config, self.config.codebook_size
        real, choice = latents[valid > 0], choice[valid > 0]
        order = torch.randperm(len(real))
        drawn = real[order[torch.arange(q) % len(order)]]
        count = torch.bincount(choice, minlength=q).to(latents.dtype)
        total = torch.zeros_like(self.sums).index_add_(0, choice, real)
        self.counts.lerp_(count, 1 - c.ema_decay)
        self.sums.lerp_(total, 1 - c.ema_decay)
        uniform = count.sum() / q
        dead = self.counts < (c.reset_below * uniform if self.filled else torch.inf)
        self.counts.copy_(torch.where(dead, uniform, self.counts))
        self.sums.copy_(torch.where(dead[:, None], drawn * uniform, self.sums))
        torch.div(self.sums, self.counts[:, None], out=self.codes)
        resets, self.filled = dead.sum() * self.filled, True
        share = count / count.sum()
        return torch.exp(-(share * share.clamp_min(1e-12).log()).sum()), resets


class Tokenizer(nn.Module):
    """Both halves and the codebook.

    Args:
        weights: [C] of the channels in the reconstruction and velocity terms.

    Raises:
        InputError: the config has a term or a quantizer that is not here.
    """

    weights: Tensor

    def __init__(self, config: TokenizerConfig, weights: np.ndarray) -> None:
        super().__init__()
        more = (config.travel_weight, config.position_weight, config.slip_weight)
        if config.quantizer != "vq_ema" or any(more):
            raise InputError(f"the PyTorch tokenizer has vq_ema with the terms {', '.join(TRAINED)}")
        self.config = config
        self.encoder, self.decoder = Encoder(config, len(weights)), Decoder(config, len(weights))
        self.codebook = Codebook(config)
        self.register_buffer("weights", torch.tensor(weights))

    @torch.inference_mode()
    def encode(self, features: Tensor, observed: Tensor, valid: Tensor) -> Tensor:
        """[B,F,C], [B,C], [B,F] -> codes int64 [B,F/4]."""
        return self.codebook.choose(self.encoder(features, observed[:, None], valid))

    def losses(self, features: Tensor, observed: Tensor, valid: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Each term of the objective as a mean, the latents [B,F/4,E] and their codes [B,F/4]."""
        seen = self._channel_dropout(observed)
        latents = self.encoder(features, seen[:, None], valid)
        choice = self.codebook.choose(latents.detach())
        chosen = F.embedding(choice, self.codebook.codes)
        quantised = latents + (chosen - latents).detach() if self.codebook.filled else latents
        output = self.decoder(quantised, valid)
        weight = valid[..., None] * (observed * self.weights)[:, None]
        both = weight[:, 1:] * valid[:, :-1, None]
        token_valid = valid[:, :: self.config.frames_per_step]
        terms = {
            "reconstruction": (weight * F.smooth_l1_loss(output, features, reduction="none")).sum() / weight.sum(),
            "velocity": (both * F.smooth_l1_loss(output.diff(dim=1), features.diff(dim=1), reduction="none")).sum()
            / both.sum(),
            "commitment": (token_valid[..., None] * (latents - chosen).square()).sum()
            / (token_valid.sum() * self.config.code_width),
        }
        return terms, latents, choice

    def _channel_dropout(self, observed: Tensor) -> Tensor:
        """Hides a random share of the channels [B,C] in a random `channel_dropout` of the windows."""
        drop = torch.rand(len(observed), 1) < self.config.channel_dropout
        hidden = torch.rand(observed.shape) < torch.rand(len(observed), 1)
        return observed * ~(drop & hidden)


class Trainer:
    """The whole training step: losses, gradients, clipping, AdamW, codebook."""

    def __init__(self, model: Tokenizer, learning_rate: float, beta2: float, clip_norm: float) -> None:
        self.model, self.clip_norm = model, clip_norm
        self.optimizer = torch.optim.AdamW(
            model.parameters(), learning_rate, (0.9, beta2), weight_decay=0.0, fused=True
        )
        c = model.config
        self.term_weights = dict(zip(TRAINED, (1.0, c.velocity_weight, c.commit_weight), strict=True))

    def step(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
        """One step on a batch as biomechjax has them; returns each term, the perplexity and the gradient's norm."""
        tensors = {name: torch.from_numpy(x) for name, x in batch.items()}
        terms, latents, choice = self.model.losses(**tensors)
        loss = torch.stack([self.term_weights[name] * term for name, term in terms.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        valid = tensors["valid"][:, :: self.model.config.frames_per_step]
        perplexity, resets = self.model.codebook.update(
            latents.detach().flatten(0, 1), choice.flatten(), valid.flatten()
        )
        found = terms | {"perplexity": perplexity, "resets": resets, "gradient_norm": norm}
        return {name: float(value.detach()) for name, value in found.items()}


def load(model: Tokenizer, params: Mapping[str, Any], codes: np.ndarray | None = None) -> None:
    """Takes the parameters of biomechjax's `Autoencoder` ({"params": ...}) and, if given, the codes [Q,E]."""
    found = {}
    for path, value in flatten_dict(dict(params["params"]), sep="/").items():
        array = np.asarray(value)
        # conv: [K,in,out] to [out,in,K]; dense: [in,out] to [out,in]; bias as it is
        found[_torch_name(path)] = torch.tensor(array.T if array.ndim < 3 else array.transpose(2, 1, 0))
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(found.pop(name))
    if codes is not None:
        model.codebook.codes.copy_(torch.tensor(codes))
        model.codebook.sums.copy_(model.codebook.codes)
        model.codebook.filled = True


def _torch_name(path: str) -> str:
    """encoder/ResidualStack_0/MaskedConv_3/Conv_0/kernel -> encoder.stacks.0.convs.3.weight."""
    words = {"ResidualStack": "stacks.", "MaskedConv": "convs.", "Dense": "straight"}
    parts = []
    for part in path.split("/"):
        kind, _, number = part.partition("_")
        if kind == "Conv":
            continue
        parts.append(words[kind] + (number if kind != "Dense" else "") if kind in words else part)
    return ".".join(parts).replace("kernel", "weight")
