"""Token records: what is written is read back, and what was changed is told."""

import dataclasses
import json
import shutil
from pathlib import Path

import grain
import numpy as np
import pytest
import tiny
from damage import edit, flip, truncate

from biomechjax.data.records import Record, Records
from biomechjax.data.shards import shard_names, write_shard
from biomechjax.data.tokenizing import summary, write_records
from biomechjax.data.views import ViewConfig, views
from biomechjax.errors import InputError

TRAIN, TEST = (f"{split}-00000-of-00001.arrayrecord" for split in ("train", "test"))


@pytest.fixture
def copied(records_folder, tmp_path):
    return shutil.copytree(records_folder, tmp_path / "records")


def rewrite(folder: Path, split: str, records: list[Record]) -> None:
    """Replaces a split by one of one shard or none, and says so in the manifest."""
    for old in folder.glob(f"{split}-*"):
        old.unlink()
    shards = {}
    for name in shard_names(split, min(1, len(records))):
        digest = write_shard(folder / name, [r.to_json() for r in records])
        shards[name] = {"records": len(records), "sha256": digest}
    edit(folder / "manifest.json", lambda m: m["splits"].update({split: {"records": len(records), "shards": shards}}))


def texts(records: Records, split: str) -> list[bytes]:
    return [r.to_json() for r in records.read(split)]


def test_records_are_the_trials_of_their_split(cohort, records):
    for split in ("train", "validation", "test"):
        trials = cohort.trials_of(split)
        found = records.read(split)
        assert [r.trial for r in found] == [str(t.path.relative_to(cohort.path)) for t in trials]
        assert [r.participant for r in found] == [t.participant for t in trials]
        assert [r.labels for r in found] == [t.labels for t in trials]
        recordings = [cohort.read(t) for t in trials]
        for record, recording, codes in zip(found, recordings, tiny.tokenizer().encode(recordings), strict=True):
            assert record.views[0].dtype == np.int32
            np.testing.assert_array_equal(record.views[0], codes)
            assert record.summary == summary(tiny.tokenizer(), recording)
    assert records.manifest["splits"]["train"]["records"] == 9


def test_only_training_trials_have_several_views_and_these_are_seeded(cohort, records, tmp_path):
    assert {len(r.views) for r in records.read("train")} == {3}
    assert {len(r.views) for s in ("validation", "test") for r in records.read(s)} == {1}
    first = cohort.read(cohort.trials_of("train")[0])
    expected = tiny.tokenizer().encode(views(first, ViewConfig(count=3), np.random.default_rng((5, 0))))
    for found, codes in zip(records.read("train")[0].views, expected, strict=True):
        np.testing.assert_array_equal(found, codes)
    assert any(r.views[1].tolist() != r.views[0].tolist() for r in records.read("train"))

    write_records(tiny.tokenizer(), cohort, tmp_path / "other", ViewConfig(count=3), seed=6)
    other = Records(tmp_path / "other")
    assert other.hash != records.hash
    assert texts(other, "train") != texts(records, "train")
    assert texts(other, "test") == texts(records, "test")


def test_summary_is_what_it_says():
    recording = tiny.walk(1, hidden=["knee_l"])
    values = np.array(summary(tiny.tokenizer(), recording))
    assert len(values) == 4 * 8 + 1
    assert values[-1] == pytest.approx(3.0)
    hip = recording.channel("hip_r")
    expected = [hip.mean(), hip.std(), hip.min(), hip.max()]
    np.testing.assert_allclose(values[4:32:8], expected, atol=1e-5)
    np.testing.assert_array_equal(values[7:32:8], 0)
    assert values[0] == pytest.approx(1.0, abs=1e-3)  # mean speed forward


def test_manifest_says_where_the_records_are_from(cohort, records):
    assert records.manifest["simulated"] is True
    assert records.manifest["cohort_hash"] == cohort.data_hash()
    np.testing.assert_array_equal(records.tokenizer.table, tiny.tokenizer().table)


def manifest(change):
    return lambda folder: edit(folder / "manifest.json", change)


def forget_a_record(manifest: dict) -> None:
    manifest["splits"]["test"]["records"] -= 1
    manifest["splits"]["test"]["shards"][TEST]["records"] -= 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: flip(f / TRAIN), f"{TRAIN}: not the file that the manifest describes"),
        (lambda f: truncate(f / TEST), f"{TEST}: not the file that the manifest describes"),
        (lambda f: (f / TEST).unlink(), f"{TEST}: missing"),
        (lambda f: shutil.copy(f / TEST, f / "test-00001-of-00002.arrayrecord"), "test-00001-of-00002.*: not one of"),
        (lambda f: flip(f / "motion_tokenizer/tokenizer.safetensors"), "tokenizer.safetensors: not the file that"),
        (lambda f: (f / "motion_tokenizer/tokenizer.json").unlink(), "tokenizer.json: missing"),
        (lambda f: (f / "manifest.json").unlink(), "no token records"),
        (lambda f: (f / "manifest.json").write_text("{"), "no token records"),
        (lambda f: (f / "manifest.json").write_text("[]"), "no token records"),
        (manifest(lambda m: m.pop("layout")), "manifest.json: layout None"),
        (manifest(lambda m: m.update(layout=3)), "manifest.json: layout 3"),
        (manifest(lambda m: m.pop("splits")), "manifest.json: not as layout 2 has it"),
        (manifest(lambda m: m["splits"]["test"].update(shards=[TEST])), "manifest.json: not as layout 2 has it"),
        (manifest(lambda m: m["splits"].pop("validation")), "manifest.json: splits train, test; expected"),
        (manifest(lambda m: m["splits"]["test"].update(records=5)), "split test: 5 records, but 6 in its shards"),
        (manifest(forget_a_record), f"{TEST}: 6 records; the manifest says 5"),
    ],
)
def test_damaged_records_are_refused_by_name(copied, damage, told):
    Records(copied)
    damage(copied)
    with pytest.raises(InputError, match=told) as error:
        Records(copied)
    assert str(copied) in str(error.value)


def test_a_participant_in_two_splits_is_refused(copied, records):
    rewrite(copied, "test", records.read("test"))
    Records(copied)
    rewrite(copied, "test", records.read("test") + records.read("train")[:1])
    with pytest.raises(InputError, match="participant sub-01 is in train and in test"):
        Records(copied)


def test_an_unknown_split_is_refused_and_an_empty_one_is_empty(copied, records):
    with pytest.raises(InputError, match="split 'dev'; expected one of"):
        records.read("dev")
    rewrite(copied, "validation", [])
    assert Records(copied).read("validation") == []


def test_records_are_array_records(records):
    source = grain.sources.ArrayRecordDataSource([str(records.path / TEST)])
    assert len(source) == 6
    assert json.loads(source[1])["labels"]["activity"] == "timed up and go"


def test_mirrored_views_are_refused_where_a_label_names_a_side(cohort, tmp_path):
    trial = dataclasses.replace(cohort.trials[0], labels=cohort.trials[0].labels | {"affected_side": "left"})
    sided = dataclasses.replace(cohort, trials=(trial,))
    with pytest.raises(InputError, match="name a side"):
        write_records(tiny.tokenizer(), sided, tmp_path / "records", ViewConfig(mirrored=0.5))
    assert list(tmp_path.iterdir()) == []
