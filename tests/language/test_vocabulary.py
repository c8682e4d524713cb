"""The vocabulary: exact round trips, stable ids, refused codes and folders."""

import json
from pathlib import Path

import pytest

from biomechjax.language.vocabulary import Vocabulary, train_text_tokenizer, unused_ids

CORPUS = [
    "What activity is this? walking",
    "How fast did the participant walk? 1.24 metres per second",
    "Is the movement impaired? yes, the left side is slower",
    "Which diagnosis fits? stroke",
] * 5

TEXTS = [
    "",
    "walking",
    " leading and  double spaces \n\ttabs ",
    "1.25 m/s, 2026-01-31, 007",
    "Übung naïve 歩行 🚶🏽‍♀️ ½ ٣",
    "e\u0301 is not \u00e9",
    "<pad> is written here",
    "don't I'll ''s",
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(train_text_tokenizer(CORPUS, 400), codebook_size=64)


@pytest.mark.parametrize("text", TEXTS)
def test_text_round_trip(vocabulary: Vocabulary, text: str):
    ids = vocabulary.encode_text(text)
    assert vocabulary.decode(ids) == text
    assert all(0 <= i < vocabulary.motion_start for i in ids)


def test_each_digit_is_one_token(vocabulary: Vocabulary):
    digits = [vocabulary.encode_text(d) for d in "0123456789"]
    assert all(len(ids) == 1 for ids in digits)
    trained_on_numbers = Vocabulary(train_text_tokenizer(["100 1000 24 24 24 1.24"] * 50, 300), 4)
    for v in (vocabulary, trained_on_numbers):
        number = v.encode_text("24100")
        assert [v.decode([i]) for i in number] == list("24100")


def test_training_is_deterministic_and_learns_words(vocabulary: Vocabulary):
    again = train_text_tokenizer(iter(CORPUS), 400)
    assert again.get_vocab() == vocabulary.tokenizer.get_vocab()
    assert len(vocabulary.encode_text("participant")) < 4


def test_layout_of_the_ids(vocabulary: Vocabulary):
    v = vocabulary
    assert (v.pad_id, v.bos_id, v.eos_id) == (0, 1, 2)
    assert (v.motion_end, v.motion_offset) == (v.motion_start + 1, v.motion_start + 2)
    assert v.motion_start == len(v.tokenizer)
    assert v.size % 128 == 0
    assert 0 <= v.size - (v.motion_offset + 64) < 128


def test_motion_ids(vocabulary: Vocabulary):
    v = vocabulary
    assert v.encode_motion([0, 63]) == [v.motion_start, v.motion_offset, v.motion_offset + 63, v.motion_end]
    for code in (64, -1):
        with pytest.raises(ValueError, match=f"movement code 1 is {code}; the codebook has codes 0 to 63"):
            v.encode_motion([3, code])


def test_decode_shows_movements(vocabulary: Vocabulary):
    v = vocabulary
    text, motion = v.encode_text, v.encode_motion
    ids = text("Compare ") + motion([1] * 57) + motion([]) + text(" and ") + motion([2, 3]) + text(" 1.2")
    assert v.decode(ids) == "Compare <motion 57 tokens><motion 0 tokens> and <motion 2 tokens> 1.2"
    assert v.decode(motion([4, 5])[:-1] + text("cut")) == "<motion 2 tokens>cut"
    assert v.decode(motion([4, 5])[1:] + motion([6])) == "<motion 2 tokens><motion 1 tokens>"
    assert v.decode([v.motion_end]) == "<motion 0 tokens>"
    assert v.decode([v.size - 1]) == f"<unused {v.size - 1}>"
    with pytest.raises(ValueError, match=f"id {v.size} is outside"):
        v.decode([v.size])


def test_save_and_load_keep_every_id(vocabulary: Vocabulary, tmp_path: Path):
    vocabulary.save(tmp_path / "new" / "folder")
    loaded = Vocabulary.load(tmp_path / "new" / "folder")
    assert loaded.tokenizer.get_vocab() == vocabulary.tokenizer.get_vocab()
    for name in ("size", "codebook_size", "levels", "motion_start", "motion_offset", "pad_id", "bos_id", "eos_id"):
        assert getattr(loaded, name) == getattr(vocabulary, name)
    for text in TEXTS:
        assert loaded.encode_text(text) == vocabulary.encode_text(text)
        assert loaded.decode(loaded.encode_text(text)) == text


def test_folders_that_are_no_vocabulary_are_refused(vocabulary: Vocabulary, tmp_path: Path):
    with pytest.raises(ValueError, match="has no vocabulary.json"):
        Vocabulary.load(tmp_path)
    file = tmp_path / "vocabulary.json"
    fields = {"text_size": 400, "codebook_size": 64, "levels": 1, "motion_start": 400, "size": 512}
    file.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="no tokenizer"):
        Vocabulary.load(tmp_path)
    vocabulary.save(tmp_path)
    file.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Vocabulary.load(tmp_path)
    file.write_text(json.dumps({**fields, "text_size": 399}))
    with pytest.raises(ValueError, match="movement ids would shift"):
        Vocabulary.load(tmp_path)


def test_unusable_tokenizers_are_refused(vocabulary: Vocabulary):
    with pytest.raises(ValueError, match="need 259"):
        train_text_tokenizer(CORPUS, 258)
    with pytest.raises(ValueError, match="64 codes over 3 levels"):
        Vocabulary(vocabulary.tokenizer, 64, levels=3)
    with pytest.raises(ValueError, match="codebook_size is 0"):
        Vocabulary(vocabulary.tokenizer, 0)
    bare = train_text_tokenizer(CORPUS, 300)
    bare.eos_token = None
    with pytest.raises(ValueError, match="no eos_token_id"):
        Vocabulary(bare, 64)


def test_special_tokens_in_a_question_are_plain_text():
    vocabulary = Vocabulary(train_text_tokenizer(["Is this <eos> the end?"], 300), 4)
    ids = vocabulary.encode_text("Is this <eos> the end?<pad>")
    assert not {vocabulary.eos_id, vocabulary.pad_id} & set(ids)
    assert vocabulary.decode(ids) == "Is this <eos> the end?<pad>"


def test_movement_on_unused_ids_keeps_the_size_of_the_vocabulary(tmp_path: Path):
    tokenizer = train_text_tokenizer(CORPUS, 300)
    text = len(tokenizer)
    tokenizer.add_tokens(["<unused0>", "<unused1>", "between", *(f"<unused{i}>" for i in range(2, 10)), "after"])
    start = unused_ids(tokenizer, 6)
    assert start == text + 3  # the first two are no run of six
    Vocabulary(tokenizer, 4, 2, start, rows=text + 12).save(tmp_path)
    vocabulary = Vocabulary.load(tmp_path)
    assert (vocabulary.size, vocabulary.motion_start, vocabulary.motion_offset) == (text + 12, start, start + 2)
    ids = [*vocabulary.encode_text("after"), *vocabulary.encode_motion([0, 3]), *vocabulary.encode_text("between")]
    assert vocabulary.decode(ids) == "after<motion 2 tokens>between"
    with pytest.raises(ValueError, match="no 9 neighbouring unused ids"):
        unused_ids(tokenizer, 9)


def test_appended_movement_fills_up_rows_that_a_base_has_to_spare():
    tokenizer = train_text_tokenizer(CORPUS, 300)
    text = len(tokenizer)
    spare = Vocabulary(tokenizer, 4, rows=text + 20)
    assert (spare.motion_start, spare.size) == (text, text + 20)
    assert Vocabulary(tokenizer, 40, rows=text + 20).size == -(-(text + 42) // 128) * 128
