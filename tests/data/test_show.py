"""What is printed of a batch is what the decoder is trained on."""

import re

import numpy as np
import pytest
import tiny
from processes import TESTS, run_python

from biomechjax.data.mixture import Kinds, MixtureConfig
from biomechjax.data.show import fill, show_row
from biomechjax.language.decoder import BRANCHES
from biomechjax.language.vocabulary import Vocabulary

RECORDS = [tiny.record(i, codes=10 + i) for i in range(9)]
VOCABULARY = tiny.vocabulary()


def shown(kinds: Kinds):
    """The first rows of a stream and what is printed of them."""
    rows = tiny.packed_rows(RECORDS, 256, 4, MixtureConfig(crop=0.0, kinds=kinds), room=128)
    batch = next(tiny.batches(RECORDS, 256, 2, MixtureConfig(crop=0.0, kinds=kinds), room=128))
    found = [rows.render(examples)["tokens"].tolist() for examples in rows.window(0, 0)[:2]]
    assert batch["tokens"].tolist() == found
    for examples in rows.window(0, 0)[:4]:
        row = rows.render(examples)
        yield row, examples, show_row(row, examples, RECORDS, VOCABULARY).plain


def test_a_row_shows_each_movement_and_brackets_what_carries_loss():
    for row, examples, text in shown(Kinds()):
        carries_loss = row["loss_weights"] > 0
        answers = re.findall(r"\[(.*?)\]", text)
        assert "".join(answers) == VOCABULARY.decode(row["targets"][carries_loss])
        assert all(answer.endswith("<eos>") for answer in answers)
        movements = re.findall(r"<motion (\d+) tokens: (.*?)>", text)
        assert len(movements) == len(set((row["segment_ids"] // BRANCHES).tolist()) - {0}) == len(examples)
        for codes, about in movements:
            (record,) = (r for r in RECORDS if len(r.views[0]) == int(codes))
            assert about == f"{record.labels['activity']}, {record.participant}"
        used = np.count_nonzero(row["segment_ids"])
        assert text.endswith(f"{used} of 256 tokens, {carries_loss.sum()} of them carry loss")


@pytest.mark.parametrize("kind", ["comparison", "generation", "continuation"])
def test_every_movement_is_named_after_its_own_record(kind):
    kinds = Kinds(**{"trial": 0.0, kind: 1.0})
    named = 0
    for _, examples, text in shown(kinds):
        found = re.findall(r"<motion \d+ tokens: overground walking, (.*?)>", text)
        assert found == [RECORDS[n].participant for e in examples for n in e.records]
        named += len(set(found))
    assert named > 4


def test_fill_is_the_share_of_tokens():
    segments = np.array([[64, 65, 128, 0], [64, 64, 0, 0]])  # two examples and one, five tokens
    assert fill([{"segment_ids": row} for row in segments]) == (5 / 8, 5 / 12)


def show(records_folder, *flags: object):
    named = ["--config", TESTS.parent / "configs" / "quickstart.py", "--data", records_folder, "--codes-per-step", 1]
    return run_python(TESTS.parent / "scripts" / "show_batch.py", *named, *flags)


def test_command(records_folder):
    run = show(records_folder, "--rows", 1, "--batches", 2)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("of them carry loss") == 2
    assert re.search(r"2 batches: \d+\.\d% full; \d+\.\d% if each example were padded to a row", run.stdout)


@pytest.mark.slow
def test_command_takes_the_vocabulary_of_a_run(records_folder, tmp_path):
    VOCABULARY.save(tmp_path / "run" / "vocabulary")
    run = show(records_folder, "--ckpt", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    other = Vocabulary(VOCABULARY.tokenizer, 2 * VOCABULARY.codebook_size, 2)
    other.save(tmp_path / "other" / "vocabulary")
    run = show(records_folder, "--ckpt", tmp_path / "other")
    assert run.returncode == 2
    assert f"its vocabulary has {other.codebook_size} codes for 2 a step" in run.stderr
