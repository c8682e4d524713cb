"""Parity with transformers: a random Gemma 3 saved by it gives the same logits and the same answers here."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from biomechjax.language.decoder import Decoder, abstract_params
from biomechjax.language.generate import generate
from biomechjax.language.huggingface import LAYER_NAMES, load_gemma3

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CASES = {
    "plain": {},
    "global_rope_scaled": {
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }
    },
    "other_query_scale": {"query_pre_attn_scalar": 24, "num_key_value_heads": 1},
}


def save_reference(folder: Path, **changes):
    """A tiny model with every weight random, norms included, saved as transformers saves it."""
    fields = dict(
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
    torch.manual_seed(0)
    model = transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**{**fields, **changes})).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    return folder, save_reference(folder)


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_those_of_transformers(tmp_path: Path, case: str):
    reference = save_reference(tmp_path, **CASES[case])
    config, params = load_gemma3(tmp_path)
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (2, 40))
    with torch.no_grad():
        expected = reference(torch.tensor(tokens)).logits.numpy()
    variables = {"params": params}
    positions = np.broadcast_to(np.arange(40), (2, 40))
    hidden, _ = Decoder(config).apply(variables, tokens, positions, np.ones_like(tokens))
    found = Decoder(config).apply(variables, hidden, method="logits")
    assert any(config.global_layers) and not all(config.global_layers)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_greedy_answers_equal_those_of_transformers(saved):
    folder, reference = saved
    config, params = load_gemma3(folder)
    prompts = [np.random.default_rng(n).integers(3, config.vocab_size, n).tolist() for n in (4, 21, 35)]
    expected = []
    for prompt in prompts:
        with torch.no_grad():
            ids = reference.generate(
                torch.tensor([prompt]), max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=0
            )
        expected.append(ids[0, len(prompt) :].tolist())
    assert generate(config, params, [(prompt[:3], prompt[3:]) for prompt in prompts], 20, []) == expected


def test_every_target_leaf_has_one_source(saved):
    config, params = load_gemma3(saved[0])
    shapes, _ = abstract_params(config)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    leaves, _ = jax.tree_util.tree_flatten_with_path(shapes["layers"])
    assert {"/".join(entry.key for entry in path) for path, _ in leaves} == set(LAYER_NAMES)
    assert len(set(LAYER_NAMES.values())) == len(LAYER_NAMES)


def test_sharded_folder_and_requested_dtype(saved, tmp_path: Path):
    folder, reference = saved
    reference.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    jax.tree.map(np.testing.assert_array_equal, load_gemma3(tmp_path)[1], load_gemma3(folder)[1])
    _, rough = load_gemma3(tmp_path, dtype="bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(rough)} == {"bfloat16"}
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(ValueError, match="files that are not there"):
        load_gemma3(tmp_path)


def test_bfloat16_weights_are_read(saved, tmp_path: Path):
    folder, reference = saved
    reference.to(torch.bfloat16).save_pretrained(tmp_path)
    reference.to(torch.float32)
    _, params = load_gemma3(tmp_path)
    assert params["embedding"].dtype == np.float32
    np.testing.assert_allclose(params["embedding"], load_gemma3(folder)[1]["embedding"], rtol=1e-2)


@pytest.fixture
def edit(saved, tmp_path: Path):
    """Copies the saved folder with its tensors changed."""
    folder, _ = saved

    def write(change) -> Path:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text((folder / "config.json").read_text())
        return tmp_path

    return write


def test_tied_head_is_tolerated_and_another_refused(edit):
    load_gemma3(edit(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]})))
    with pytest.raises(ValueError, match="lm_head.weight differs"):
        load_gemma3(edit(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1})))


def test_missing_surplus_and_misshapen_tensors_are_named(edit):
    name = "model.layers.6.mlp.up_proj.weight"
    with pytest.raises(ValueError, match=name):
        load_gemma3(edit(lambda t: t.pop(name)))
    with pytest.raises(ValueError, match="model.layers.7.extra"):
        load_gemma3(edit(lambda t: t.update({"model.layers.7.extra": np.zeros(1)})))
    with pytest.raises(ValueError, match=r"up_proj.* \(48, 80\).* \(80, 48\)"):
        load_gemma3(edit(lambda t: t.update({name: np.ascontiguousarray(t[name].T)})))


def test_other_folders_are_refused(saved, tmp_path: Path):
    with pytest.raises(ValueError, match="no config.json"):
        load_gemma3(tmp_path)
    fields = json.loads((saved[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="no \\*.safetensors"):
        load_gemma3(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ValueError, match="model.safetensors is no safetensors file"):
        load_gemma3(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**fields, "model_type": "llama"}))
    with pytest.raises(ValueError, match="'llama'"):
        load_gemma3(tmp_path)
