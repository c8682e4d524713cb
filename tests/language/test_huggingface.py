"""Parity with transformers: a random Gemma saved by it gives the same logits and the same answers here."""

import json
import subprocess
import sys
from pathlib import Path

import gemma
import jax
import numpy as np
import pytest
from processes import run_python
from safetensors.numpy import load_file, save_file

from biomechjax.language.base import load_base
from biomechjax.language.decoder import abstract_params
from biomechjax.language.generate import generate
from biomechjax.language.huggingface import LAYER_NAMES, NAMES, GemmaFolder, leaves, load_gemma, source_names

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HERE = Path(__file__).parent
CASES = {
    "gemma3": ("gemma3_text", {}),
    "global_rope_scaled": (
        "gemma3_text",
        {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }
        },
    ),
    "other_query_scale": ("gemma3_text", {"query_pre_attn_scalar": 24, "num_key_value_heads": 1}),
    "capped_gemma3": ("gemma3_text", {"final_logit_softcapping": 1.0}),
    "gemma2": ("gemma2", {}),
    "gemma2_of_one_kv_head": ("gemma2", {"num_key_value_heads": 1, "query_pre_attn_scalar": 9, "num_hidden_layers": 4}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    return folder, gemma.save(folder)


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_those_of_transformers(tmp_path: Path, case: str):
    family, changes = CASES[case]
    reference = gemma.save(tmp_path, family, **changes)
    config, params = load_gemma(tmp_path)
    tokens = gemma.tokens(config)
    assert any(config.global_layers) and not all(config.global_layers)
    assert config.sliding_window < tokens.shape[1]
    gemma.assert_same_logits(gemma.logits(config, params, tokens), gemma.reference_logits(reference, tokens))


@pytest.mark.parametrize("family", ["gemma3_text", pytest.param("gemma2", marks=pytest.mark.slow)])
def test_greedy_answers_equal_those_of_transformers(tmp_path: Path, family: str):
    reference = gemma.save(tmp_path, family)
    config, params = load_gemma(tmp_path)
    prompts = [np.random.default_rng(n).integers(3, config.vocab_size, n).tolist() for n in range(4, 44, 4)]
    found = generate(config, params, [(p[:3], p[3:]) for p in prompts], 64, [])
    assert found == gemma.reference_answers(reference, prompts, 64)


@pytest.mark.parametrize("layout", ["published", "transformers 5"])
def test_the_text_part_of_a_multimodal_folder_is_taken(tmp_path: Path, layout: str):
    vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    config = transformers.Gemma3Config(
        text_config=gemma.FIELDS, vision_config={**vision, "patch_size": 14}, mm_tokens_per_image=4
    )
    reference = gemma.randomise(transformers.Gemma3ForConditionalGeneration(config))
    reference.save_pretrained(tmp_path)
    tensors = {
        name.removeprefix("model.").replace("language_model.model.", "language_model."): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    published = {"language_model.": "language_model.model."}
    prefixes = published if layout == "published" else {k: f"model.{k}" for k in ("language", "vision", "multi_modal")}
    for old, new in prefixes.items():
        tensors = {new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    model = GemmaFolder(tmp_path)
    tokens = gemma.tokens(model.config)
    gemma.assert_same_logits(
        gemma.logits(model.config, model.load(), tokens), gemma.reference_logits(reference, tokens)
    )
    text = sum(len(source_names(path, model.config.num_layers)) for path, _ in leaves(model.load()))
    assert len(model.left_out) == len(tensors) - text > 10
    assert all("vision_tower." in n or "multi_modal_projector." in n for n in model.left_out)

    save_file({**tensors, "audio_tower.weight": np.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="audio_tower.weight"):
        GemmaFolder(tmp_path)


def test_vision_tensors_have_no_place_beside_a_text_model(edit):
    with pytest.raises(ValueError, match="vision_tower.weight"):
        load_gemma(edit(lambda t: t.update({"vision_tower.weight": np.zeros(1)})))


def test_eight_devices_get_what_one_gets(saved):
    """On simulated devices, which take a process of their own."""
    run = run_python(HERE / "sharded_run.py", saved[0], devices=8)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == ["equal", str(len(jax.tree.leaves(load_gemma(saved[0])[1])))]


def test_every_target_leaf_has_one_source(saved):
    config, params = load_gemma(saved[0])
    shapes, _ = abstract_params(config)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert {path for path, _ in leaves(shapes)} == {*NAMES, *(f"layers/{path}" for path in LAYER_NAMES)}
    assert len({*LAYER_NAMES.values(), *NAMES.values()}) == len(LAYER_NAMES) + len(NAMES)


def test_sharded_folder_and_requested_dtype(saved, tmp_path: Path):
    folder, reference = saved
    reference.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    jax.tree.map(np.testing.assert_array_equal, load_gemma(tmp_path)[1], load_gemma(folder)[1])
    _, rough = load_gemma(tmp_path, dtype="bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(rough)} == {"bfloat16"}
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(ValueError, match="files that are not there"):
        load_gemma(tmp_path)


def test_bfloat16_weights_are_read(saved, tmp_path: Path):
    folder, reference = saved
    reference.to(torch.bfloat16).save_pretrained(tmp_path)
    reference.to(torch.float32)
    _, params = load_gemma(tmp_path)
    assert params["embedding"].dtype == np.float32
    np.testing.assert_allclose(params["embedding"], load_gemma(folder)[1]["embedding"], rtol=1e-2)


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
    load_gemma(edit(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"]})))
    with pytest.raises(ValueError, match="lm_head.weight differs"):
        load_gemma(edit(lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1})))


def test_missing_surplus_and_misshapen_tensors_are_named(edit):
    name = "model.layers.6.mlp.up_proj.weight"
    with pytest.raises(ValueError, match=f"calls for: {name}$"):
        load_gemma(edit(lambda t: t.pop(name)))
    with pytest.raises(ValueError, match="model.layers.7.extra"):
        load_gemma(edit(lambda t: t.update({"model.layers.7.extra": np.zeros(1)})))
    with pytest.raises(ValueError, match=r"up_proj.* \(48, 80\).* \(80, 48\)"):
        load_gemma(edit(lambda t: t.update({name: np.ascontiguousarray(t[name].T)})))


def test_other_folders_are_refused(saved, tmp_path: Path):
    with pytest.raises(ValueError, match="no config.json"):
        load_gemma(tmp_path)
    fields = json.loads((saved[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="no \\*.safetensors"):
        load_gemma(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ValueError, match="model.safetensors is no safetensors file"):
        load_gemma(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**fields, "model_type": "llama"}))
    with pytest.raises(ValueError, match="'llama'"):
        load_gemma(tmp_path)


@pytest.mark.slow
def test_the_real_gemma_computes_what_it_computes_in_transformers(tmp_path: Path):
    """Gemma-3-270M, built from registry packages: logits of more tokens than the window, and greedy answers."""
    tool = HERE.parents[1].parent / "shared" / "tools" / "gemma3_270m.py"
    if not tool.is_file():
        pytest.skip(f"{tool} is not there; it builds the folder of the real model")
    build = subprocess.run([sys.executable, tool, tmp_path / "gemma"], capture_output=True, text=True)
    if build.returncode:
        pytest.skip(f"the real model cannot be built here: {build.stderr[-300:]}")
    config, params, tokenizer = load_base(tmp_path / "gemma")
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "gemma", dtype=torch.float32, attn_implementation="eager"
    )
    tokens = np.array([tokenizer.encode("The knee bends and the hip turns while the person walks. " * 60)[:600]])
    assert tokens.shape[1] == 600 > config.sliding_window
    gemma.assert_same_logits(gemma.logits(config, params, tokens), gemma.reference_logits(reference, tokens))
    starts = ("The gait of a person after a stroke", "1, 2, 3, 4, 5,", "Die Bewegung des Knies")
    prompts = [tokenizer.encode(start) for start in starts]
    found = generate(config, params, [(p[:3], p[3:]) for p in prompts], 24, [])
    assert found == gemma.reference_answers(reference, prompts, 24)
