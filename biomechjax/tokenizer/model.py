"""Convolutional encoder and decoder of the motion tokenizer (T2M-GPT, arXiv:2301.06052; MotionGPT, arXiv:2306.14795).

    features, mask [B,F,C]   conv3, relu     (conv4/2, residual stack) x stages     conv3    latents [B,F/4,E]
    latents  [B,F/4,E]       conv3, relu     (residual stack, repeat 2, conv3) x stages     conv3, relu, conv3

Every convolution sees zeros outside the valid frames, whether they lie outside the array or in its padding, so a trial
encodes the same alone and in a padded batch.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from biomechjax.tokenizer.config import TokenizerConfig


class MaskedConv(nn.Module):
    """A 1-D convolution [B,F,*] -> [B,F/stride,features] over the frames that `valid` [B,F] marks with 1."""

    features: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Array, valid: Array) -> Array:
        pad = self.dilation * (self.kernel - 1) // 2  # explicit: XLA's SAME pads an even, strided kernel differently
        return nn.Conv(self.features, (self.kernel,), self.stride, [(pad, pad)], kernel_dilation=self.dilation)(
            x * valid[..., None]
        )


class ResidualStack(nn.Module):
    """Dilated residual blocks, widest dilation first."""

    config: TokenizerConfig

    @nn.compact
    def __call__(self, x: Array, valid: Array) -> Array:
        for level in reversed(range(self.config.depth)):
            y = MaskedConv(self.config.width, 3, dilation=self.config.dilation_growth**level)(nn.relu(x), valid)
            x = x + MaskedConv(self.config.width, 1)(nn.relu(y), valid)
        return x


class Encoder(nn.Module):
    """Normalised features and their channel mask [B,F,C] to latents [B,F/4,E]; F a multiple of frames_per_step."""

    config: TokenizerConfig

    @nn.compact
    def __call__(self, features: Array, observed: Array, valid: Array) -> Array:
        c = self.config
        # What was not observed is the mean (0 after normalisation), and the network is told so.
        x = jnp.concatenate([features * observed, jnp.broadcast_to(observed, features.shape)], axis=-1)
        patches = (x * valid[..., None]).reshape(len(x), -1, c.frames_per_step * x.shape[-1])
        straight = nn.Dense(c.code_width, use_bias=False)(patches)
        x = nn.relu(MaskedConv(c.width)(x, valid))
        for _ in range(c.stages):
            x = MaskedConv(c.width, 4, stride=2)(x, valid)
            valid = valid[:, ::2]
            x = ResidualStack(c)(x, valid)
        return straight + MaskedConv(c.code_width)(x, valid)


class Decoder(nn.Module):
    """Latents [B,F/4,E] to normalised features [B,F,channels]."""

    config: TokenizerConfig
    channels: int

    @nn.compact
    def __call__(self, latents: Array, valid: Array) -> Array:
        c = self.config
        straight = nn.Dense(c.frames_per_step * self.channels, use_bias=False)(latents)
        x = nn.relu(MaskedConv(c.width)(latents, valid[:, :: c.frames_per_step]))
        for stage in reversed(range(c.stages)):
            x = ResidualStack(c)(x, valid[:, :: 2 ** (stage + 1)])
            x = MaskedConv(c.width)(jnp.repeat(x, 2, axis=1), valid[:, :: 2**stage])
        x = nn.relu(MaskedConv(c.width)(x, valid))
        return straight.reshape(len(x), -1, self.channels) + MaskedConv(self.channels)(x, valid)


class Autoencoder(nn.Module):
    """Both halves; the quantizer stands between them and is no network (see quantizer.py)."""

    config: TokenizerConfig
    channels: int

    def setup(self) -> None:
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config, self.channels)

    def encode(self, features: Array, observed: Array, valid: Array) -> Array:
        """[B,F,C], [B,1 or F,C], [B,F] -> latents [B,F/4,E]."""
        return self.encoder(features, observed, valid)

    def decode(self, latents: Array, valid: Array) -> Array:
        """[B,F/4,E], [B,F] -> features [B,F,C]."""
        return self.decoder(latents, valid)

    def __call__(self, features: Array, observed: Array, valid: Array) -> Array:
        """Unquantised round trip; used to initialise both halves."""
        return self.decode(self.encode(features, observed, valid), valid)
