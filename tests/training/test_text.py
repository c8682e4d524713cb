"""A decoder that reads a sentence about each recording and no motion token, in training as in answering."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.data.mixture import Drawing, Kinds, MixtureConfig
from biomechjax.data.records import Record, Records
from biomechjax.data.tokenizing import summary
from biomechjax.data.words import in_words
from biomechjax.errors import InputError
from biomechjax.evaluation import answers as answering
from biomechjax.language.decoder import BRANCHES
from biomechjax.language.vocabulary import train_text_tokenizer
from biomechjax.tasks.registry import corpus
from biomechjax.training import decoder as training
from biomechjax.training import trained as opened
from biomechjax.training.config import DecoderExperiment, Stage, TrainConfig

EXPERIMENT = DecoderExperiment(
    TrainConfig(1, 8, 1e-3), mixture=MixtureConfig(movement="text", code_noise=0.5, longest=1), row_length=256
)


@pytest.fixture(scope="module")
def trained(records_folder, tmp_path_factory):
    """The first batch of a training, and the decoder that it would have ended with."""
    out, seen = tmp_path_factory.mktemp("text") / "decoder", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fit", lambda *args, **_: seen.append((args[1], next(args[3]))))
        training.train_decoder(EXPERIMENT, [records_folder], out)
        params, batch = seen[0]
        patch.setattr(opened, "restore_params", lambda *_: params)
        return opened.TrainedDecoder.load(out), batch


def contexts(batch) -> set[tuple[int, ...]]:
    """The ids of every context of a batch."""
    found = set()
    for tokens, segments in zip(batch["tokens"], batch["segment_ids"], strict=True):
        trunks = {s for s in segments.tolist() if s and s % BRANCHES == 0}
        found |= {tuple(tokens[segments == s].tolist()) for s in trunks}
    return found


def no_motion(vocabulary, ids) -> bool:
    ids = np.asarray(ids)
    return not ((ids >= vocabulary.motion_start) & (ids < vocabulary.motion_offset + vocabulary.codebook_size)).any()


def test_training_shows_words_and_no_motion(trained, records):
    model, batch = trained
    assert no_motion(model.vocabulary, batch["tokens"])
    expected = {in_words(records.tokenizer, r.summary) for r in records.read("train")}
    shown = {model.vocabulary.decode(ids[1:]) for ids in contexts(batch)}
    assert shown <= expected
    assert len(shown) > 4


def test_the_vocabulary_learned_the_words(trained, records):
    text = in_words(records.tokenizer, records.read("test")[0].summary)
    unlearned = train_text_tokenizer(corpus(), EXPERIMENT.text_vocabulary)
    assert len(trained[0].vocabulary.encode_text(text)) < 0.95 * len(unlearned.encode(text))


def test_a_prompt_is_the_context_that_training_showed(trained, records, monkeypatch):
    model, batch = trained
    asked = answering.questions_about(records.read("train"))
    prompts: list = []
    monkeypatch.setattr(answering, "generate", lambda config, params, p, *_, **__: prompts.extend(p) or [[]] * len(p))
    answering.Answering(model).answers(asked, "free")
    assert {tuple(context) for context, _ in prompts} >= contexts(batch)
    assert all(no_motion(model.vocabulary, [*context, *question]) for context, question in prompts)


@pytest.mark.parametrize("way", ["constrained", "scored"])
def test_words_reach_every_way_of_answering(trained, records, monkeypatch, way):
    model, seen = trained[0], []

    def prompts_alone(model, renderer, movements, questions):
        seen.extend(movements)
        return []

    monkeypatch.setattr(answering, "_prompts", prompts_alone)
    monkeypatch.setattr(answering, "generate", lambda *args, **_: [[]] * len(seen))
    monkeypatch.setattr(answering, "score_answers", lambda config, params, prompts, some: np.zeros((1, len(some))))
    record = records.read("test")[0]
    asked = [q for q in answering.questions_about([record]) if q.task.name == "activity"]
    answering.Answering(model).answers(asked, way)
    assert set(seen) == {in_words(records.tokenizer, record.summary)}


def test_a_recording_that_is_no_record_is_read_alike(trained, cohort, records):
    """As ask.py does it."""
    model = trained[0]
    record = records.read("test")[0]
    trial = next(t for t in cohort.trials if str(t.path.relative_to(cohort.path)) == record.trial)
    recording = cohort.read(trial)
    codes = model.tokenizer.encode([recording])[0]
    assert model.movement(codes, summary(model.tokenizer, recording)) == model.movement(None, record.summary)


def test_a_decoder_of_tokens_and_one_of_before_there_was_text_read_codes(trained):
    codes = np.arange(9)
    for mixture in ({"longest": 5}, {"longest": 5, "movement": "tokens"}):
        model = dataclasses.replace(trained[0], experiment={"mixture": mixture})
        movement = model.movement(codes, [0.0])
        assert model.reads(movement).tolist() == [0, 1, 2, 3, 4]


def test_words_stand_in_comparisons_visits_and_captions():
    records = [
        dataclasses.replace(tiny.record(i, codes=9, activity="overground walking", walking_speed_m_s=0.5 + i / 5,
                                        diagnosis="stroke"), participant="sub-01", words=f"words {i}")
        for i in range(3)
    ]  # fmt: skip
    drawing = Drawing(records, MixtureConfig(movement="text"), 16, 1)
    rng = np.random.default_rng(0)
    assert drawing.caption(1, rng).context == ("words 1",)
    first, one, second, other = drawing.comparison(0, rng).context
    assert {one, other} < {"words 0", "words 1", "words 2"}
    assert sorted(drawing.visit(0, rng).context[1:]) == ["words 0", "words 1", "words 2"]


def test_text_has_no_paces():
    """The numbers of a faster view would not be those of the sentence."""
    record = dataclasses.replace(tiny.record(1), paces=[1.0, 1.5], words="words")
    drawing = Drawing([record], MixtureConfig(movement="text"), 16, 1)
    answers = {
        t.answer for i in range(40) for t in drawing.trial(0, np.random.default_rng(i)).turns if "m/s" in t.answer
    }
    assert answers == {f"{record.labels['walking_speed_m_s']:.2f} m/s"}


def test_what_text_cannot_be_is_refused():
    with pytest.raises(InputError, match="--mixture.movement video: expected one of tokens, text"):
        MixtureConfig(movement="video")
    for kind in ("generation", "continuation"):
        with pytest.raises(InputError, match="--mixture.movement text: generation and continuation"):
            MixtureConfig(movement="text", kinds=Kinds(**{kind: 1.0}))


def test_a_stage_of_text_has_its_words_too(records):
    stage = Stage(1, EXPERIMENT.mixture)
    staged = dataclasses.replace(EXPERIMENT, train=TrainConfig(3, 8, 1e-3), mixture=MixtureConfig(), stages=(stage,))
    assert all(r.words for r in training.training_records(records, staged))
    assert not any(r.words for r in training.training_records(records, dataclasses.replace(staged, stages=())))


def test_words_are_not_written():
    record = dataclasses.replace(tiny.record(1), words="words")
    assert b"words" not in record.to_json()
    assert Record.from_json(record.to_json()).words == ""


def test_people_are_left_out_with_all_their_trials(records):
    everybody = training.training_records(records, EXPERIMENT)
    some = training.training_records(records, dataclasses.replace(EXPERIMENT, people=0.5))
    people = {r.participant for r in some}
    assert len(people) == 2 < len({r.participant for r in everybody}) == 3
    assert [r.trial for r in some] == [r.trial for r in everybody if r.participant in people]


def test_a_smaller_share_is_part_of_a_larger_and_another_seed_another():
    people = [f"sub-{i:03d}" for i in range(420)]
    quarter, half, all_of_them = (training.share_of_people(people, "clinic", x, 0) for x in (0.25, 0.5, 1.0))
    assert (len(quarter), len(half), all_of_them) == (105, 210, set(people))
    assert quarter < half
    other = training.share_of_people(people, "clinic", 0.25, 1)
    assert 5 < len(quarter & other) < 60  # 26 if they have nothing to do with each other
    # Whoever else there is, as in another folder of the cohort, the order of two people stays.
    among = training.share_of_people(people[:200], "clinic", 0.5, 0)
    assert quarter & set(people[:200]) <= among


def test_only_the_first_views_are_learned_from(records: Records):
    for count, expected in ((0, 3), (1, 1), (2, 2)):
        some = training.training_records(records, dataclasses.replace(EXPERIMENT, views=count))
        assert {(len(r.views), len(r.paces)) for r in some} == {(expected, expected)}
        for r, whole in zip(some, records.read("train"), strict=True):
            np.testing.assert_array_equal(r.views[0], whole.views[0])


@pytest.mark.parametrize("wrong", [{"people": 0.0}, {"people": 1.5}, {"views": -1}])
def test_nobody_or_nothing_to_learn_from_is_refused(wrong):
    with pytest.raises(InputError, match="expected above 0 to 1, and 0 or more"):
        dataclasses.replace(EXPERIMENT, **wrong)
