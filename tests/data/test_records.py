"""Token records: what is written is read back, and what was changed is told."""

import dataclasses
import hashlib
import json
import shutil

import grain
import numpy as np
import pytest
import tiny
from array_record.python.array_record_module import ArrayRecordWriter

from biomechjax.data import records as recording_trials
from biomechjax.data.records import Record, Records, summary, write_records
from biomechjax.data.views import ViewConfig, views
from biomechjax.errors import InputError


@pytest.fixture
def copied(records_folder, tmp_path):
    return shutil.copytree(records_folder, tmp_path / "records")


def rewrite(folder, split: str, records: list[Record]) -> None:
    """Replaces a split, with the hash that the manifest needs."""
    path = folder / f"{split}.arrayrecord"
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(json.dumps(dataclasses.asdict(record)).encode())
    writer.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"][split] = {"records": len(records), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_records_are_the_trials_of_their_split(cohort, records):
    for split in ("train", "validation", "test"):
        trials = cohort.trials_of(split)
        found = records.read(split)
        assert [r.trial for r in found] == [str(t.path.relative_to(cohort.path)) for t in trials]
        assert [r.participant for r in found] == [t.participant for t in trials]
        assert [r.labels for r in found] == [t.labels for t in trials]
        recordings = [cohort.read(t) for t in trials]
        for record, recording, codes in zip(found, recordings, tiny.tokenizer().encode(recordings), strict=True):
            assert record.views[0] == codes.tolist()
            assert record.summary == summary(tiny.tokenizer(), recording)
    assert records.manifest["splits"]["train"]["records"] == 9


def test_only_training_trials_have_several_views_and_these_are_seeded(cohort, records, tmp_path):
    assert {len(r.views) for r in records.read("train")} == {3}
    assert {len(r.views) for s in ("validation", "test") for r in records.read(s)} == {1}
    first = cohort.read(cohort.trials_of("train")[0])
    expected = tiny.tokenizer().encode(views(first, ViewConfig(count=3), np.random.default_rng((5, 0))))
    assert records.read("train")[0].views == [c.tolist() for c in expected]
    assert any(r.views[1] != r.views[0] for r in records.read("train"))

    write_records(tiny.tokenizer(), cohort, tmp_path / "same", ViewConfig(count=3), seed=5)
    write_records(tiny.tokenizer(), cohort, tmp_path / "other", ViewConfig(count=3), seed=6)
    assert Records(tmp_path / "same").hash == records.hash
    other = Records(tmp_path / "other")
    assert other.hash != records.hash
    assert [r.views for r in other.read("train")] != [r.views for r in records.read("train")]
    assert other.read("test") == records.read("test")


def test_any_number_of_workers_writes_the_same(cohort, records_folder, tmp_path, monkeypatch):
    """In chunks that a split does not fill evenly."""
    monkeypatch.setattr(recording_trials, "CHUNK", 2)
    manifest = write_records(tiny.tokenizer(), cohort, tmp_path / "two", ViewConfig(count=3), seed=5, workers=2)
    assert manifest == json.loads((records_folder / "manifest.json").read_text())


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


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_flipped_byte_is_detected(copied, split):
    file = copied / f"{split}.arrayrecord"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=f"{split}.arrayrecord: not the file that the manifest describes"):
        Records(copied)


def test_a_missing_file_is_named(copied):
    (copied / "validation.arrayrecord").unlink()
    with pytest.raises(InputError, match="validation.arrayrecord: missing"):
        Records(copied)


@pytest.mark.parametrize("damage", ["absent", "broken", "no splits"])
def test_a_folder_without_manifest_is_refused(copied, damage):
    file = copied / "manifest.json"
    if damage == "absent":
        file.unlink()
    else:
        file.write_text("{" if damage == "broken" else "{}")
    with pytest.raises(InputError, match=f"{copied}: no token records"):
        Records(copied)


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
    source = grain.sources.ArrayRecordDataSource([str(records.path / "test.arrayrecord")])
    assert len(source) == 6
    assert json.loads(source[1])["labels"]["activity"] == "timed up and go"


def test_mirrored_views_are_refused_where_a_label_names_a_side(cohort, tmp_path):
    trial = dataclasses.replace(cohort.trials[0], labels=cohort.trials[0].labels | {"affected_side": "left"})
    sided = dataclasses.replace(cohort, trials=(trial,))
    with pytest.raises(InputError, match="name a side"):
        write_records(tiny.tokenizer(), sided, tmp_path / "records", ViewConfig(mirrored=0.5))
    assert not (tmp_path / "records").exists()
