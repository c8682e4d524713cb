"""A pretrained base learns movement: what is learned, what is frozen, and that a checkpoint needs nothing else."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
import tiny
import tiny_base
from tiny_base import SHAPE

from biomechjax.data.records import Records
from biomechjax.errors import BadStep, InputError
from biomechjax.language.adapters import BASE_WEIGHTS, merge
from biomechjax.language.decoder import init_params
from biomechjax.language.generate import generate
from biomechjax.language.hf_export import export_full
from biomechjax.language.huggingface import load_gemma
from biomechjax.language.lora import LoraConfig
from biomechjax.language.vocabulary import train_text_tokenizer
from biomechjax.tasks.registry import TASKS, corpus
from biomechjax.training.checkpoint import restore_params
from biomechjax.training.config import AdaptConfig, DecoderExperiment, TrainConfig
from biomechjax.training.decoder import Start, from_base, train_decoder
from biomechjax.training.export import export_checkpoint
from biomechjax.training.pretrained import new_rows
from biomechjax.training.step import TrainState
from biomechjax.training.trained import TrainedDecoder

LORA = LoraConfig(rank=4, alpha=8)
EXPERIMENT = DecoderExperiment(
    TrainConfig(4, 4, 3e-3, warmup_steps=2, log_every=1, save_every=2), row_length=256, adapt=AdaptConfig(lora=LORA)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_base.write_base(tmp_path_factory.mktemp("base") / "hf")


def logits(model: TrainedDecoder, params=None):
    from biomechjax.language.decoder import Decoder

    tokens = np.random.default_rng(0).integers(0, model.vocabulary.motion_offset + 5, (1, 30))
    decoder, variables = Decoder(model.config), {"params": model.params if params is None else params}
    hidden, _ = decoder.apply(variables, tokens, np.arange(30)[None], np.ones_like(tokens))
    return np.asarray(decoder.apply(variables, hidden, method="logits"))


@pytest.fixture(scope="module")
def trained(base, records_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapt") / "decoder"
    train_decoder(EXPERIMENT, [records_folder], out, base=base)
    return out


def test_only_adapters_and_new_rows_are_learned_and_kept(trained, base):
    learned = restore_params(trained)
    assert set(learned) == {"layers", "rows", "projection"}
    names = {f"{block}/{name}" for block, maps in learned["layers"].items() for name in maps}
    assert len(names) == 7
    assert learned["layers"]["mlp"]["up"]["a"].shape == (2, 64, 4)
    assert np.abs(learned["layers"]["mlp"]["up"]["b"]).max() > 0
    # The saved steps hold parameters and the optimizer's two moments of these, far less than the base.
    size = sum(leaf.size for leaf in jax.tree.leaves(learned))
    stored = sum(f.stat().st_size for f in (trained / "steps" / "4" / "state").rglob("*") if f.is_file())
    assert stored < 3 * 4 * size + 200_000
    model = TrainedDecoder.load(trained)
    _, before = load_gemma(base, "bfloat16")
    frozen = model.params["embedding"].embedding
    np.testing.assert_array_equal(frozen[: len(before["embedding"])], before["embedding"])


def test_the_checkpoint_answers_without_the_base(trained, base, tmp_path):
    expected = logits(TrainedDecoder.load(trained))
    moved = tmp_path / "elsewhere"
    shutil.copytree(trained, moved)
    hidden = base.rename(base.with_name("gone"))
    try:
        found = TrainedDecoder.load(moved)
    finally:
        hidden.rename(base)
    np.testing.assert_array_equal(logits(found), expected)


def test_the_merged_decoder_says_the_same(trained):
    model = TrainedDecoder.load(trained)
    whole = merge(model.config, model.params)
    expected = logits(model)
    np.testing.assert_allclose(logits(model, whole), expected, atol=1e-4 * np.abs(expected).max())


def test_resumed_equals_uninterrupted(trained, base, records_folder, tmp_path):
    out = tmp_path / "decoder"
    shutil.copytree(trained, out)
    shutil.rmtree(out / "steps" / "4")
    train_decoder(EXPERIMENT, [records_folder], out, base=base)
    jax.tree.map(np.testing.assert_array_equal, restore_params(out), restore_params(trained))


def begin(base, **how) -> Start:
    experiment = dataclasses.replace(EXPERIMENT, adapt=AdaptConfig(**{"lora": LORA, **how}))
    return from_base(base, experiment, tiny.tokenizer(), 1, None)


@pytest.fixture(scope="module")
def batch(base):
    packed = [tiny.record(i, codes=20) for i in range(6)]
    return next(tiny.batches(packed, 192, 2, words=begin(base).vocabulary))


def first_loss(start: Start, batch) -> float:
    state = TrainState(np.int32(0), start.params, None, {}, start.frozen)
    sums, _ = start.learner.sums(start.params, state, batch, jax.random.split(jax.random.key(0), 2))
    return float(sums["answer"])


@pytest.mark.parametrize("weights", BASE_WEIGHTS)
def test_every_form_of_the_base_starts_as_the_base(base, batch, weights):
    """With adapters of zero the loss of the first step is that of the base in this form, dropout or not."""
    tolerance = {"nf4": 0.05, "int8": 0.01, "bfloat16": 2e-3, "float32": 1e-5}[weights]
    whole = first_loss(begin(base, method="full"), batch)
    assert first_loss(begin(base, weights=weights), batch) == pytest.approx(whole, rel=tolerance)


@pytest.mark.parametrize("start", ["codebook", "covariance"])
@pytest.mark.parametrize("place", ["unused", "append"])
def test_new_rows_stand_where_asked_and_start_like_text(base, start, place):
    begun = begin(base, weights="float32", motion_rows=place, row_start=start)
    vocabulary = begun.vocabulary
    text = load_gemma(base)[1]["embedding"][: vocabulary.text_size]
    if place == "unused":
        names = vocabulary.tokenizer.convert_ids_to_tokens([vocabulary.motion_start, vocabulary.motion_offset])
        assert names == ["<unused0>", "<unused2>"]
    else:
        assert vocabulary.motion_start == len(text)
    rows = np.asarray(new_rows(begun.params, begun.frozen))
    assert len(rows) == tiny.TOKENIZER.codebook_size + 2
    assert rows[2:].std() == pytest.approx(text.std(), rel=0.3)
    assert np.abs(rows[2:].mean() - text.mean()) < 0.2 * text.std()
    whole = begin(base, method="full", motion_rows=place, row_start=start)
    np.testing.assert_allclose(whole.params["embedding"][vocabulary.motion_start :][: len(rows)], rows, rtol=1e-6)


def test_dropout_reaches_the_adapters_in_training(base, batch):
    for share, same in ((0.5, False), (0.0, True)):
        start = begin(base, lora=dataclasses.replace(LORA, dropout=share))
        start.params["layers"] = jax.tree.map(lambda x: x + 0.1, start.params["layers"])
        state = TrainState(np.int32(0), start.params, None, {}, start.frozen)
        losses = [
            float(
                start.learner.sums(start.params, state, batch, jax.random.split(jax.random.key(seed), 2))[0]["answer"]
            )
            for seed in (0, 1)
        ]
        assert (losses[0] == losses[1]) == same


def test_movement_reaches_the_loss(trained, records_folder):
    """Other codes give other answers: the rows of a movement are read."""
    model = TrainedDecoder.load(trained)
    codes = np.array(Records(records_folder).read("test")[0].views[0])
    ids = [model.vocabulary.encode_motion(c) for c in (codes, (codes + 1) % tiny.TOKENIZER.codebook_size)]
    from biomechjax.language.decoder import Decoder

    hidden = [
        Decoder(model.config).apply(
            {"params": model.params}, np.array([i]), np.arange(len(i))[None], np.ones((1, len(i)), int)
        )[0][0, -1]
        for i in ids
    ]
    assert np.abs(hidden[0] - hidden[1]).max() > 0.05


def test_what_does_not_fit_is_refused_and_nothing_written(base, records_folder, tmp_path):
    out = tmp_path / "decoder"
    with pytest.raises(InputError, match="unused ids.*--adapt.motion-rows append"):
        small = tmp_path / "small"
        text = train_text_tokenizer(corpus(), 420)
        export_full(
            small, dataclasses.replace(SHAPE, vocab_size=len(text)),
            jax.tree.map(np.asarray, init_params(dataclasses.replace(SHAPE, vocab_size=len(text)), jax.random.key(0))),
            text,
        )  # fmt: skip
        train_decoder(EXPERIMENT, [records_folder], out, base=small)
    with pytest.raises(InputError, match="config.json"):
        train_decoder(EXPERIMENT, [records_folder], out, base=tmp_path)
    with pytest.raises(InputError, match="--adapt.weights int4: expected one of float32"):
        AdaptConfig(weights="int4")
    assert not out.exists()


def test_another_base_is_another_run(trained, base, records_folder, tmp_path):
    other = tmp_path / "other"
    config, params = load_gemma(base)
    params["final_norm"]["scale"] = params["final_norm"]["scale"] + 1
    export_full(other, config, params, TrainedDecoder.load(trained).vocabulary.tokenizer)
    with pytest.raises(InputError, match="holds another run: base_hash"):
        train_decoder(EXPERIMENT, [records_folder], trained, base=other)


def reference(folder):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def reference_logits(model, tokens):
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


@pytest.mark.slow
def test_the_full_export_is_the_adapted_decoder(trained, tmp_path):
    """Merged, in transformers: the same logits, and token for token the same answers to fifty questions."""
    torch = pytest.importorskip("torch")
    model = TrainedDecoder.load(trained)
    export_checkpoint(trained, tmp_path / "full")
    exported = reference(tmp_path / "full")
    tokens = np.random.default_rng(0).integers(0, model.vocabulary.motion_offset + 5, (1, 30))
    expected = logits(model)
    np.testing.assert_allclose(reference_logits(exported, tokens), expected, atol=1e-4 * np.abs(expected).max())

    rng = np.random.default_rng(1)
    prompts = [
        (
            [
                model.vocabulary.bos_id,
                *model.vocabulary.encode_motion(rng.integers(0, tiny.TOKENIZER.codebook_size, 12)),
            ],
            model.vocabulary.encode_text(TASKS[i % len(TASKS)].questions[i % 3]),
        )
        for i in range(50)
    ]
    answers = generate(model.config, model.params, prompts, 8, [])
    for (context, question), answer in zip(prompts, answers, strict=True):
        with torch.no_grad():
            ids = exported.generate(
                torch.tensor([context + question]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0
            )
        assert ids[0, len(context + question) :].tolist() == answer


def test_peft_loads_the_adapters(base, records_folder, tmp_path):
    peft = pytest.importorskip("peft")
    how = AdaptConfig(lora=LORA, weights="float32")
    train_decoder(dataclasses.replace(EXPERIMENT, adapt=how), [records_folder], tmp_path / "d", base=base)
    export_checkpoint(tmp_path / "d", tmp_path / "peft", what="adapters")
    adapted = peft.PeftModel.from_pretrained(reference(base), tmp_path / "peft").eval()
    model = TrainedDecoder.load(tmp_path / "d")
    tokens = np.random.default_rng(0).integers(0, model.vocabulary.motion_offset + 5, (1, 30))
    expected = logits(model)
    np.testing.assert_allclose(reference_logits(adapted, tokens), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_adapters_that_peft_could_not_load_are_refused(records_folder, base, tmp_path):
    how = AdaptConfig(lora=LORA, motion_rows="append")
    train = dataclasses.replace(EXPERIMENT.train, steps=1)
    train_decoder(dataclasses.replace(EXPERIMENT, train=train, adapt=how), [records_folder], tmp_path / "d", base=base)
    with pytest.raises(InputError, match="are appended.*export the full model"):
        export_checkpoint(tmp_path / "d", tmp_path / "peft", what="adapters")
    assert not (tmp_path / "peft").exists()


@pytest.mark.parametrize("weights", ["float32", "nf4"])
def test_an_overflow_of_bfloat16_is_found_in_its_step(base, records_folder, tmp_path, weights):
    """The first step sets adapters to 1e20, the second computes with them; its batch is kept, and nothing is saved."""
    train = dataclasses.replace(EXPERIMENT.train, learning_rate=1e20, warmup_steps=0, save_every=10, log_every=10)
    how = AdaptConfig(lora=LORA, weights=weights)
    experiment = dataclasses.replace(EXPERIMENT, train=train, adapt=how, compute_dtype="bfloat16")
    out = tmp_path / "decoder"
    with pytest.raises(BadStep, match="step 2: .*(nan|inf)"):
        train_decoder(experiment, [records_folder], out, base=base)
    assert (out / "bad" / "step-2.npz").is_file() and not list((out / "steps").iterdir())
