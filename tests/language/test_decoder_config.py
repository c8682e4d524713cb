"""Named shapes and refused shapes."""

import math

import jax
import pytest

from biomechjax.language.config import preset
from biomechjax.language.decoder import abstract_params


def count(name: str, vocab_size: int) -> int:
    shapes, _ = abstract_params(preset(name, vocab_size))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


# Of the model cards on Hugging Face.
@pytest.mark.parametrize(
    ("name", "vocab_size", "published"),
    [
        ("gemma2_2b", 256_000, 2_614_341_888),
        ("gemma2_9b", 256_000, 9_241_705_984),
        ("gemma2_27b", 256_000, 27_227_128_320),
        ("gemma3_270m", 262_144, 268_098_176),
        ("gemma3_1b", 262_144, 999_885_952),
    ],
)
def test_gemma_presets_have_the_published_parameter_count(name: str, vocab_size: int, published: int):
    assert count(name, vocab_size) == published


# Table 1 of the Gemma 2 report (arXiv:2408.00118).
@pytest.mark.parametrize(
    ("name", "published"),
    [("gemma2_2b", 2_024_517_888), ("gemma2_9b", 8_324_201_984), ("gemma2_27b", 26_047_480_320)],
)
def test_gemma2_presets_have_the_published_count_without_the_embedding(name: str, published: int):
    assert count(name, 256_000) - 256_000 * preset(name, 256_000).width == published


# Table 1 of the Gemma 3 report (arXiv:2503.19786), in millions.
@pytest.mark.parametrize(("name", "published"), [("gemma3_4b", 3_209), ("gemma3_12b", 10_759), ("gemma3_27b", 25_600)])
def test_gemma3_presets_have_the_published_count_without_the_embedding(name: str, published: int):
    assert (count(name, 262_208) - 262_208 * preset(name, 262_208).width) / 1e6 == pytest.approx(published, abs=1)


@pytest.mark.parametrize(("name", "millions"), [("1m", 1), ("2m", 2), ("4m", 4)])
def test_small_presets_are_as_large_as_their_name(name: str, millions: int):
    config = preset(name, 512)
    shapes, _ = abstract_params(config)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["layers"]))
    assert size / 1e6 == pytest.approx(millions, rel=0.1)
    assert config.num_kv_heads < config.num_heads


def test_preset_overrides_and_unknown_name():
    assert preset("1m", 512, remat="full", width=64).width == 64
    with pytest.raises(ValueError, match="'3m'.*1m, 2m, 4m, gemma3_270m, gemma3_1b, gemma3_4b"):
        preset("3m", 512)


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_kv_heads", 3), ("head_dim", 31), ("width", 0), ("compute_dtype", "int8"), ("unroll", 0)],
)
def test_impossible_shapes_are_refused_by_field(field: str, value: object):
    with pytest.raises(ValueError, match=field):
        preset("1m", 512, **{field: value})
