"""The command both ways: a folder of transformers becomes a base folder and again a folder of transformers, a decoder
of train.py one whose tokenizer writes movements; and what is refused."""

import json
from pathlib import Path

import gemma
import jax
import numpy as np
import pytest
import tiny
from jax.sharding import SingleDeviceSharding
from processes import run_python

from biomechjax.data.mixture import MixtureConfig
from biomechjax.language.base import import_base, load_base
from biomechjax.language.huggingface import load_gemma
from biomechjax.language.vocabulary import load_text_tokenizer
from biomechjax.provenance import sha256_of
from biomechjax.training.config import DecoderExperiment, TrainConfig
from biomechjax.training.decoder import train_decoder
from biomechjax.training.export import export_checkpoint
from biomechjax.training.trained import TrainedDecoder

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


def convert(*arguments: object) -> None:
    """The command itself, in a process of its own."""
    run = run_python(ROOT / "scripts" / "convert_gemma.py", *arguments)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.endswith("is written\n")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """As downloaded: bfloat16, and two ids that end an answer."""
    folder = tmp_path_factory.mktemp("convert") / "gemma"
    model = gemma.make("gemma2", vocab_size=512, eos_token_id=[1, 106])
    model.bfloat16().save_pretrained(folder)
    tiny.vocabulary().tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(source: Path) -> Path:
    convert("import", "--from", source, "--out", source.with_name("base"))
    return source.with_name("base")


def assert_same(params, expected) -> None:
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == other.dtype
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_base_folder_is_the_folder_it_came_from(source: Path, base: Path, dtype: str):
    (config, params, tokenizer), (config2, params2, tokenizer2) = load_base(base, dtype), load_base(source, dtype)
    assert config == config2
    assert_same(params, params2)
    assert {type(leaf) for leaf in jax.tree.leaves(params)} == {np.ndarray}
    assert tokenizer.get_vocab() == tokenizer2.get_vocab()


def test_a_base_folder_goes_onto_devices(base: Path):
    _, params, _ = load_base(base)
    sharding = SingleDeviceSharding(jax.devices()[0])
    _, placed, _ = load_base(base, shardings=jax.tree.map(lambda _: sharding, params))
    assert {leaf.sharding for leaf in jax.tree.leaves(placed)} == {sharding}
    assert_same(placed, params)


def test_a_base_folder_says_where_it_comes_from(source: Path, base: Path):
    fields = json.loads((base / "config.json").read_text())
    assert (fields["kind"], fields["dtype"], fields["left_out"]) == ("base", "bfloat16", [])
    assert fields["source"] == str(source)
    assert fields["sha256"] == sha256_of([source / "model.safetensors"])
    assert fields["git_commit"]


@pytest.mark.slow
def test_there_and_back(source: Path, base: Path, tmp_path: Path):
    convert("export", "--ckpt", base, "--out", tmp_path / "out", "--dtype", "bfloat16")
    assert_same(load_gemma(tmp_path / "out", "bfloat16")[1], load_gemma(source, "bfloat16")[1])
    tokens = gemma.tokens(load_gemma(source)[0])
    models = [
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32", attn_implementation="eager")
        for folder in (source, tmp_path / "out")
    ]
    np.testing.assert_array_equal(*(gemma.reference_logits(model, tokens) for model in models))
    assert [model.generation_config.eos_token_id for model in models] == [[1, 106]] * 2


@pytest.fixture(scope="module")
def decoder(records_folder: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("convert") / "decoder"
    experiment = DecoderExperiment(
        train=TrainConfig(steps=1, batch_size=1, learning_rate=1e-3, save_every=1),
        mixture=MixtureConfig(shortest=5, longest=30),
        row_length=256,
        text_vocabulary=420,
    )
    train_decoder(experiment, [records_folder], out)
    return out


@pytest.mark.slow
def test_a_trained_decoder_reads_movements_in_transformers(decoder: Path, tmp_path: Path):
    export_checkpoint(decoder, tmp_path / "out", "float32")
    model = TrainedDecoder.load(decoder)
    ids = [
        model.vocabulary.bos_id,
        *model.vocabulary.encode_motion([4, 0, 15, 4]),
        *model.vocabulary.encode_text("What activity is this? "),
    ]
    spelled = "<bos><motion_start><motion_4><motion_0><motion_15><motion_4><motion_end>What activity is this? "
    found = load_text_tokenizer(tmp_path / "out").encode(spelled, add_special_tokens=False)
    assert found == ids
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    tokens = np.array([found])
    ours = gemma.logits(model.config, model.params, tokens)
    gemma.assert_same_logits(ours, gemma.reference_logits(reference, tokens))


def test_other_folders_are_refused(tmp_path: Path, base: Path, source: Path):
    with pytest.raises(ValueError, match="config.json"):
        load_base(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "tokenizer", "layout": 1}')
    with pytest.raises(ValueError, match="neither a base folder nor a Hugging Face model"):
        load_base(tmp_path)
    with pytest.raises(ValueError, match="a tokenizer checkpoint; expected a base or a decoder checkpoint"):
        export_checkpoint(tmp_path, tmp_path / "out", "float32")
    with pytest.raises(ValueError, match="exists already"):
        import_base(source, base)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="'llama'"):
        import_base(tmp_path, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
