"""Adapters in PEFT's format: PEFT computes what the merged weights compute here, and round trips are exact."""

import json
from pathlib import Path

import gemma
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from biomechjax.language.decoder import abstract_params
from biomechjax.language.hf_adapters import export_adapters, import_adapters
from biomechjax.language.huggingface import input_axes, leaves, load_gemma
from biomechjax.language.lora import LoraConfig

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

IDS = (3, 150, 151, 159)
CASES = {
    "all": ("gemma3_text", LoraConfig(rank=4, alpha=8.0), IDS),
    "rs": ("gemma3_text", LoraConfig(rank=4, alpha=3.0, rs=True, dropout=0.0), IDS),
    "two": ("gemma2", LoraConfig(rank=2, alpha=8.0, targets=("down", "query")), IDS[:1]),
    "no_rows": ("gemma2", LoraConfig(rank=3, alpha=5.0), ()),
}


def random_adapters(config, lora: LoraConfig):
    """Neither matrix is zero."""
    rng = np.random.default_rng(0)
    adapters: dict = {"layers": {}}
    for path, leaf in leaves(abstract_params(config)[0]):
        if (target := path.split("/")[-1]) in lora.targets:
            num_layers, *shape = leaf.shape
            inputs = int(np.prod(shape[: input_axes(path)]))
            sizes = {"a": (num_layers, inputs, lora.rank), "b": (num_layers, lora.rank, int(np.prod(shape)) // inputs)}
            block = adapters["layers"].setdefault(path.split("/")[1], {})
            block[target] = {k: rng.normal(0, 0.2, size).astype(np.float32) for k, size in sizes.items()}
    return adapters


def merged(params, lora: LoraConfig, adapters, rows, token_ids):
    params = jax.tree.map(np.array, params)
    for block, targets in adapters["layers"].items():
        for target, pair in targets.items():
            weight = params["layers"][block][target]
            weight += lora.scale * (pair["a"] @ pair["b"]).reshape(weight.shape)
    if rows is not None:
        params["embedding"][list(token_ids)] = rows
    return params


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A base model saved by transformers, and adapters of it exported."""
    family, lora, ids = CASES[request.param]
    folder = tmp_path_factory.mktemp("adapters")
    gemma.save(folder / "base", family, num_hidden_layers=4)
    config, params = load_gemma(folder / "base")
    adapters = random_adapters(config, lora)
    rows = np.random.default_rng(1).normal(0, 0.3, (len(ids), config.width)).astype(np.float32) if ids else None
    export_adapters(folder / "adapters", config, lora, adapters, str(folder / "base"), rows, ids)
    return folder, config, params, lora, adapters, rows, ids


def test_peft_computes_what_the_merged_weights_compute(case):
    folder, config, params, *adapted = case
    base = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", attn_implementation="eager")
    tokens = np.concatenate([gemma.tokens(config, 36), np.tile(IDS, (2, 1))], axis=1)
    before = gemma.reference_logits(base, tokens)
    model = peft.PeftModel.from_pretrained(base, folder / "adapters").eval()
    expected = gemma.reference_logits(model, tokens)
    assert np.abs(expected - before).max() > 0.1 * np.abs(before).max()
    gemma.assert_same_logits(gemma.logits(config, merged(params, *adapted), tokens), expected)
    gemma.assert_same_logits(gemma.reference_logits(model.merge_and_unload(), tokens), expected)


def test_read_again_it_is_the_same_bits(case):
    folder, config, _, lora, adapters, rows, ids = case
    found, again, found_rows, found_ids = import_adapters(folder / "adapters", config)
    assert set(found.targets) == set(lora.targets)
    assert (found.rank, found.alpha, found.dropout, found.rs) == (lora.rank, lora.alpha, lora.dropout, lora.rs)
    jax.tree.map(np.testing.assert_array_equal, again, adapters)
    assert found_ids == ids
    np.testing.assert_array_equal(found_rows, rows)


def test_what_peft_saves_is_read(case, tmp_path: Path):
    folder, config, _, lora, adapters, rows, ids = case
    base = transformers.AutoModelForCausalLM.from_pretrained(folder / "base")
    peft.PeftModel.from_pretrained(base, folder / "adapters").save_pretrained(tmp_path)
    found, again, found_rows, found_ids = import_adapters(tmp_path, config)
    assert found.scale == lora.scale
    jax.tree.map(np.testing.assert_array_equal, again, adapters)
    assert found_ids == ids
    np.testing.assert_array_equal(found_rows, rows)


@pytest.fixture
def edit(tmp_path: Path):
    """Adapters of three targets and a row, with their tensors or settings changed."""
    lora = LoraConfig(rank=2, targets=("query", "output", "down"))
    gemma.save(tmp_path / "base", num_hidden_layers=2)
    config, _ = load_gemma(tmp_path / "base")
    rows = np.ones((1, config.width), np.float32)
    export_adapters(tmp_path / "out", config, lora, random_adapters(config, lora), "base", rows, (5,))
    weights, settings = tmp_path / "out" / "adapter_model.safetensors", tmp_path / "out" / "adapter_config.json"
    tensors, fields = load_file(weights), json.loads(settings.read_text())

    def read(change, **changed):
        copy = dict(tensors)
        change(copy)
        save_file(copy, weights)
        settings.write_text(json.dumps(fields | changed))
        return import_adapters(tmp_path / "out", config)

    return read


def keep(tensors) -> None:
    pass


def test_missing_surplus_renamed_and_misshapen_tensors_are_named(edit):
    edit(keep)
    name = "base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight"
    other = name.replace("o_proj", "k_proj")
    rows = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    with pytest.raises(ValueError, match=f" 1 tensors differ: {name}: found None"):
        edit(lambda t: t.pop(name))
    with pytest.raises(ValueError, match=f" 1 tensors differ: {other}: found .*expected None"):
        edit(lambda t: t.update({other: t[name]}))
    with pytest.raises(ValueError, match=f" 2 tensors differ: {other}.*{name}"):
        edit(lambda t: t.update({other: t.pop(name)}))
    with pytest.raises(ValueError, match=rf"{name}: found \(2, 48\), expected \(48, 2\)"):
        edit(lambda t: t.update({name: np.ascontiguousarray(t[name].T)}))
    with pytest.raises(ValueError, match=f"{rows}: found None"):
        edit(lambda t: t.pop(rows))
    with pytest.raises(ValueError, match=f"{rows}: found .*expected None"):
        edit(keep, trainable_token_indices=None)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"target_modules": "all-linear"}, "target_modules is 'all-linear'"),
        ({"target_modules": ["q_proj", "o_proj", "fc"]}, "'fc'"),
        ({"target_modules": ["q_proj", "o_proj"]}, "3? tensors differ: .*down_proj"),
        ({"r": 0}, "LoraConfig.rank is 0"),
        ({"trainable_token_indices": [160]}, "0 to 159"),
    ],
)
def test_settings_that_are_not_computed_are_refused_by_name(edit, changed: dict, named: str):
    with pytest.raises(ValueError, match=named):
        edit(keep, **changed)


def test_refused_exports_leave_nothing(tmp_path: Path):
    gemma.save(tmp_path / "base", num_hidden_layers=2)
    config, _ = load_gemma(tmp_path / "base")
    lora = LoraConfig(rank=2, targets=("query", "gate"))
    adapters = random_adapters(config, lora)
    row = np.ones((1, config.width), np.float32)
    for ids in ((), (5, 5), (160,)):
        with pytest.raises(ValueError, match="rows of shape"):
            export_adapters(tmp_path / "out", config, lora, adapters, "base", row, ids)
    with pytest.raises(ValueError, match="layers/mlp/gate/a, layers/mlp/gate/b"):
        export_adapters(tmp_path / "out", config, LoraConfig(rank=2, targets=("query",)), adapters, "base")
    assert not (tmp_path / "out").exists()
