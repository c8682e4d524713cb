"""Reconstruction metrics on decoders whose error is known."""

import dataclasses

import numpy as np
import pytest
import tiny

from biomechjax.motion.format import load_format
from biomechjax.motion.recording import Recording
from biomechjax.tokenizer.config import TokenizerConfig
from biomechjax.tokenizer.metrics import code_use, reconstruction
from biomechjax.tokenizer.tokenizer import MotionTokenizer, Statistics

WALKS = [tiny.walk(1, 300, 60.0), tiny.walk(2, 90), tiny.walk(3, 47)]


def decoder_that(monkeypatch, change, recordings=WALKS):
    """Makes `decode` give the truth, in the order of the recordings, as `change` alters its values."""
    truths = iter(recording.resampled(30.0) for recording in recordings)

    def decode(self, codes, frames, placement, format):
        truth = next(truths)
        assert (frames, format) == (len(truth.values), truth.format.name)
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


def test_error_of_changes_from_frame_to_frame(monkeypatch):
    """A degree up and down with every frame: 2 degrees a frame at 30 Hz; r by NumPy over the frames of all trials."""

    def shake(values):
        values[:, 4:] += np.radians(1.0) * (-1.0) ** np.arange(len(values))[:, None]
        return values

    decoder_that(monkeypatch, shake)
    metrics = reconstruction(tiny.tokenizer(), WALKS)
    assert metrics["angle_error_deg"] == pytest.approx(1, rel=1e-4)
    assert metrics["velocity_error_deg_s"] == pytest.approx(60, rel=1e-4)
    truths = [w.resampled(30.0).values.astype(float) for w in WALKS]
    changes = [
        np.concatenate([np.diff(v, axis=0) for v in part]) for part in (truths, map(shake, map(np.copy, truths)))
    ]
    r = [np.corrcoef(changes[0][:, i], changes[1][:, i])[0, 1] for i in range(4, 8)]
    assert metrics["change_correlation"] == pytest.approx(np.mean(r), rel=1e-4)
    assert metrics["channels"]["knee_l"]["change_correlation"] == pytest.approx(r[3], rel=1e-4)


def test_figures_of_channels_and_of_joints(monkeypatch):
    """The right hip is 8 degrees off in a third of the frames, the height 3 cm; planar positions are drift's."""

    def wrong(values):
        values[::3, tiny.FORMAT.indices["hip_r"]] += np.radians(8.0)
        values[:, tiny.FORMAT.indices["height"]] -= 0.03
        return values

    walks = [tiny.walk(1, 90), tiny.walk(2, 30)]
    decoder_that(monkeypatch, wrong, walks)
    metrics = reconstruction(tiny.tokenizer(), walks)
    assert list(metrics["channels"]) == ["height", "heading", "hip_r", "hip_l", "knee_r", "knee_l"]
    assert metrics["channels"]["hip_r"]["error_deg"] == pytest.approx(8 / 3, rel=1e-4)
    assert metrics["channels"]["hip_r"]["rmse_deg"] == pytest.approx(8 / 3**0.5, rel=1e-4)
    assert metrics["channels"]["hip_l"]["error_deg"] == 0
    assert metrics["channels"]["height"]["error_mm"] == metrics["length_error_mm"] == pytest.approx(30, rel=1e-4)
    assert list(metrics["joints"]) == ["hip", "knee"]
    assert metrics["joints"]["hip"]["error_deg"] == pytest.approx(4 / 3, rel=1e-4)
    assert metrics["angle_rmse_deg"] == pytest.approx(8 / 12**0.5, rel=1e-4)
    assert metrics["tokens_per_second"] == 7.5


CANONICAL = load_format("canonical")
COLUMN = CANONICAL.indices


def upright(unobserved=(), **channels) -> Recording:
    """Three seconds upright, with some channels as given."""
    values = np.zeros((90, CANONICAL.size), np.float32)
    for name, given in channels.items():
        values[:, COLUMN[name]] = given
    observed = np.array([name not in unobserved for name in CANONICAL.names])
    return Recording(CANONICAL, 30.0, values * observed, observed)


def kept(monkeypatch, recording, **changes):
    """The metrics of a decoder that adds `changes` to channels."""

    def change(values):
        for name, given in changes.items():
            values[:, COLUMN[name]] += given
        return values

    decoder_that(monkeypatch, change, [recording])
    monkeypatch.setattr(MotionTokenizer, "encode", lambda self, recordings: [np.zeros(23, int)])
    nothing = Statistics(np.zeros(CANONICAL.size), np.ones(CANONICAL.size))
    canonical = dataclasses.replace(tiny.tokenizer(), formats=(CANONICAL,), statistics={CANONICAL.name: nothing})
    return reconstruction(canonical, [recording])


def test_a_bent_knee_moves_what_is_below_it(monkeypatch):
    """The shank is 0.246 of 1.7 m long; whichever way the person faces."""
    error = 0.3
    metrics = kept(monkeypatch, upright(pelvis_rotation=2.0), knee_angle_r=-error)
    joints = {name: row["mpjpe_mm"] for name, row in metrics["joint_centres"].items()}
    moved = {"ankle_r", "subtalar_r", "mtp_r"}
    assert {name for name, distance in joints.items() if distance > 1e-3} == moved
    assert joints["ankle_r"] == pytest.approx(2000 * np.sin(error / 2) * 0.246 * 1.7, rel=1e-4)
    assert len(joints) == 18
    assert metrics["mpjpe_mm"] == pytest.approx(np.mean(list(joints.values())), rel=1e-5)
    assert metrics["mpjpe_room_mm"] == pytest.approx(metrics["mpjpe_mm"], rel=1e-4)


def test_who_stands_and_faces_elsewhere_has_the_same_posture(monkeypatch):
    leaning = upright(pelvis_rotation=1.0, hip_flexion_l=0.4, arm_flex_r=0.5)
    metrics = kept(monkeypatch, leaning, pelvis_tx=0.3, pelvis_ty=0.4)
    assert metrics["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert metrics["mpjpe_room_mm"] == pytest.approx(500, rel=1e-4)
    turned = kept(monkeypatch, leaning, pelvis_rotation=2.5)
    assert turned["mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert turned["mpjpe_room_mm"] > 50
    assert turned["angle_error_deg"] == 0


def test_joints_that_are_not_placed_have_no_distance(monkeypatch):
    metrics = kept(monkeypatch, upright(["knee_angle_r", "pelvis_tx"]), knee_angle_r=1.0, knee_angle_l=0.1)
    below = {"ankle", "subtalar", "mtp"}
    assert not {f"{name}_r" for name in below} & metrics["joint_centres"].keys()
    assert {"knee_r", *(f"{name}_l" for name in below)} <= metrics["joint_centres"].keys()
    assert metrics["mpjpe_mm"] == pytest.approx(sum(row["mpjpe_mm"] for row in metrics["joint_centres"].values()) / 15)
    assert "mpjpe_room_mm" not in metrics and "foot_slip_cm_s" not in metrics
    decoder_that(monkeypatch, lambda values: values)  # of walks in a format without a body
    assert not {"mpjpe_mm", "joint_centres"} & reconstruction(tiny.tokenizer(), WALKS[:1]).keys()


def test_slip_of_standing_feet(monkeypatch):
    """Drifting at 0.25 m/s where the original stands; nothing of it while the original walks off."""
    time = np.arange(90) / 30
    metrics = kept(monkeypatch, upright(), pelvis_tx=0.2 * time, pelvis_tz=0.15 * time)
    assert metrics["foot_slip_cm_s"] == pytest.approx(25, rel=1e-3)
    assert metrics["original_slip_cm_s"] == 0
    assert "foot_slip_cm_s" not in kept(monkeypatch, upright(pelvis_tx=time), pelvis_tx=0.2 * time)


def test_code_use_and_perplexity(monkeypatch):
    codes = [np.array([0, 0, 1, 1]), np.array([2, 2, 3, 3])]
    monkeypatch.setattr(MotionTokenizer, "encode", lambda self, recordings: codes)
    metrics = reconstruction(tiny.tokenizer(), [tiny.walk(1, 16), tiny.walk(2, 16)])
    assert metrics["code_use"] == 4 / 16
    assert metrics["perplexity"] == pytest.approx(4)
    two = TokenizerConfig(quantizer="rvq", levels=2, codebook_size=4)
    levels = code_use(two, [np.array([0, 4, 1, 4]), np.array([2, 4, 3, 4])])
    assert [level["code_use"] for level in levels] == [1, 0.25]
    assert [level["perplexity"] for level in levels] == pytest.approx([4, 1])
