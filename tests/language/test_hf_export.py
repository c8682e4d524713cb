"""What is exported loads in transformers without edits and computes the same; imported again it is the same bits."""

import dataclasses
import json
from pathlib import Path

import gemma
import jax
import numpy as np
import pytest
import tiny
from safetensors import safe_open

from biomechjax.language.config import DecoderConfig
from biomechjax.language.decoder import init_params
from biomechjax.language.generate import generate
from biomechjax.language.hf_export import export_full, with_motion_tokens
from biomechjax.language.huggingface import load_gemma
from biomechjax.language.vocabulary import Vocabulary, load_text_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCABULARY = tiny.vocabulary()
GEMMA3 = dataclasses.replace(
    tiny.decoder_config(), num_layers=4, query_scale=12**-0.5, rope_scale_global=8.0, rope_base_local=5e3
)
GEMMA2 = dataclasses.replace(
    GEMMA3, qk_norm=False, attention_soft_cap=1.5, logit_soft_cap=2.0, rope_scale_global=1.0, rope_base_global=5e3
)
FAMILIES = pytest.mark.parametrize("config", [GEMMA3, GEMMA2], ids=["gemma3", "gemma2"])


def random_params(config: DecoderConfig):
    """None at its initial zero."""
    leaves, tree = jax.tree.flatten(init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(1)
    return tree.unflatten(leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32) for leaf in leaves)


def reload(folder: Path):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


@FAMILIES
def test_transformers_loads_it_and_computes_the_same(tmp_path: Path, config: DecoderConfig):
    params = random_params(config)
    export_full(tmp_path / "out", config, params, with_motion_tokens(VOCABULARY))
    model = reload(tmp_path / "out")
    tokens = gemma.tokens(config)
    gemma.assert_same_logits(gemma.logits(config, params, tokens), gemma.reference_logits(model, tokens))
    prompts = [row[:n].tolist() for row, n in zip(tokens, (5, 30), strict=True)]
    assert generate(config, params, [(p[:3], p[3:]) for p in prompts], 20, []) == gemma.reference_answers(
        model, prompts, 20
    )
    ids = model.generation_config
    assert (ids.pad_token_id, ids.bos_token_id, ids.eos_token_id) == (
        VOCABULARY.pad_id,
        VOCABULARY.bos_id,
        VOCABULARY.eos_id,
    )


@FAMILIES
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_imported_again_it_is_the_same_bits(tmp_path: Path, config: DecoderConfig, dtype: str):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), random_params(config))
    export_full(tmp_path / "out", config, params, VOCABULARY.tokenizer, dtype)
    found, again = load_gemma(tmp_path / "out", dtype)
    assert found == config
    assert jax.tree.structure(again) == jax.tree.structure(params)
    for leaf, other in zip(jax.tree.leaves(again), jax.tree.leaves(params), strict=True):
        assert leaf.dtype == other.dtype == dtype
        assert leaf.tobytes() == np.asarray(other).tobytes()


def test_shards_are_no_larger_than_asked_and_load(tmp_path: Path):
    params = random_params(GEMMA3)
    export_full(tmp_path / "out", GEMMA3, params, VOCABULARY.tokenizer, shard_bytes=100_000)
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert [file.name for file in files][0] == f"model-00001-of-{len(files):05}.safetensors"
    assert len(files) > 1
    for file in files:
        with safe_open(file, framework="numpy") as shard:
            sizes = [shard.get_tensor(name).nbytes for name in shard.keys()]
        assert sum(sizes) <= 100_000 or len(sizes) == 1
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    tokens = gemma.tokens(GEMMA3)
    expected = gemma.reference_logits(reload(tmp_path / "out"), tokens)
    gemma.assert_same_logits(gemma.logits(GEMMA3, params, tokens), expected)
    jax.tree.map(np.testing.assert_array_equal, load_gemma(tmp_path / "out")[1], params)


def test_motion_codes_are_tokens_at_the_ids_of_the_embedding(tmp_path: Path):
    export_full(tmp_path / "out", GEMMA3, random_params(GEMMA3), with_motion_tokens(VOCABULARY))
    tokenizer = load_text_tokenizer(tmp_path / "out")
    text = "What activity is this? "
    spelled = text + "<motion_start><motion_3><motion_15><motion_0><motion_end>"
    expected = VOCABULARY.encode_text(text) + VOCABULARY.encode_motion([3, 15, 0])
    assert tokenizer.encode(spelled, add_special_tokens=False) == expected
    assert tokenizer.decode(expected) == spelled
    assert len(tokenizer) == VOCABULARY.motion_offset + VOCABULARY.codebook_size
    assert len(VOCABULARY.tokenizer) == VOCABULARY.motion_start  # the text tokenizer itself is as it was
    with pytest.raises(ValueError, match="motion tokens of its own"):
        with_motion_tokens(Vocabulary(tokenizer, 4))


def test_refused_exports_leave_nothing(tmp_path: Path):
    params = random_params(GEMMA3)
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        export_full(tmp_path / "there", GEMMA3, params, VOCABULARY.tokenizer)
    with pytest.raises(ValueError, match="float16"):
        export_full(tmp_path / "out", GEMMA3, params, VOCABULARY.tokenizer, "float16")
    with pytest.raises(ValueError, match="layers/attention/key_norm/scale, layers/attention/query_norm/scale"):
        export_full(tmp_path / "out", GEMMA2, params, VOCABULARY.tokenizer)
    params["embedding"] = params["embedding"][1:]
    with pytest.raises(ValueError, match="embedding"):
        export_full(tmp_path / "out", GEMMA3, params, VOCABULARY.tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not any((tmp_path / "there").iterdir())
