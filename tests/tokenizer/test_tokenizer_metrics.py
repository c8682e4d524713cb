"""Reconstruction metrics on decoders whose error is known."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.tokenizer.metrics import reconstruction
from biomechjax.tokenizer.tokenizer import MotionTokenizer

WALKS = [tiny.walk(1, 300, 60.0), tiny.walk(2, 90), tiny.walk(3, 47)]


def decoder_that(monkeypatch, change):
    """Makes `decode` give the truth, in the order of WALKS, as `change` alters its values."""
    truths = iter(recording.resampled(30.0) for recording in WALKS)

    def decode(self, codes, frames, placement, format):
        truth = next(truths)
        assert (frames, format) == (len(truth.values), "walker")
        return dataclasses.replace(truth, values=change(truth.values.copy()))

    monkeypatch.setattr(MotionTokenizer, "decode", decode)


def test_perfect_decoder_has_no_error(monkeypatch):
    decoder_that(monkeypatch, lambda values: values)
    metrics = reconstruction(tiny.tokenizer(), WALKS)
    assert metrics["angle_error_deg"] == 0
    assert metrics["root_drift_cm_per_10m"] == 0


def test_drift_of_a_decoder_that_walks_too_fast(monkeypatch):
    """A tenth too fast from the start: 10 cm per metre; the third walk is 1.5 s long and counts as well."""

    def faster(values):
        values[:, :2] += 0.1 * (values[:, :2] - values[0, :2])
        return values

    decoder_that(monkeypatch, faster)
    metrics = reconstruction(tiny.tokenizer(), WALKS)
    assert metrics["angle_error_deg"] == 0
    # The way is a wide curve, so its end is a little nearer than its length.
    assert metrics["root_drift_cm_per_10m"] == pytest.approx(100, rel=0.05)


def test_angle_error_is_of_observed_joint_angles_only(monkeypatch):
    def wrong(values):
        values[:, tiny.FORMAT.indices["hip_r"]] += np.radians(8.0)
        values[:, tiny.FORMAT.indices["heading"]] += 1.0
        values[:, tiny.FORMAT.indices["height"]] += 1.0
        return values

    decoder_that(monkeypatch, wrong)
    assert reconstruction(tiny.tokenizer(), WALKS)["angle_error_deg"] == pytest.approx(8 / 4, rel=1e-4)
    hidden = [dataclasses.replace(w, observed=np.arange(8) != tiny.FORMAT.indices["knee_l"]) for w in WALKS]
    decoder_that(monkeypatch, wrong)
    assert reconstruction(tiny.tokenizer(), hidden)["angle_error_deg"] == pytest.approx(8 / 3, rel=1e-4)


def test_no_drift_of_people_who_stand():
    assert "root_drift_cm_per_10m" not in reconstruction(tiny.tokenizer(), [tiny.walk(1, speed=0.1)])


def test_code_use_and_perplexity(monkeypatch):
    codes = [np.array([0, 0, 1, 1]), np.array([2, 2, 3, 3])]
    monkeypatch.setattr(MotionTokenizer, "encode", lambda self, recordings: codes)
    metrics = reconstruction(tiny.tokenizer(), [tiny.walk(1, 16), tiny.walk(2, 16)])
    assert metrics["code_use"] == 4 / 16
    assert metrics["perplexity"] == pytest.approx(4)
