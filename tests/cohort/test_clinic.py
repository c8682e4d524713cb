"""The simulated clinic as a folder: reproducible, and its labels agree with what was recorded."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from biomechjax.cohort.activities import visit
from biomechjax.cohort.clinic import simulate
from biomechjax.cohort.columns import COLUMNS
from biomechjax.cohort.folder import SPLITS, Cohort
from biomechjax.cohort.people import draw_groups, draw_person
from biomechjax.errors import InputError
from biomechjax.motion.features import to_features
from biomechjax.tasks.registry import TASKS

HIP_M = 0.0367  # of body height, by which the pelvis's own place is above the hips (`body.xml`)
ACTIVITIES = set(COLUMNS["activity"]["Levels"])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    out = tmp_path_factory.mktemp("clinic") / "cohort"
    simulate(out, participants=40, seed=1, visit="short", workers=2)
    return Cohort.load(out)


@pytest.fixture(scope="module")
def walks(cohort: Cohort) -> list[tuple[dict, np.ndarray]]:
    """Labels and values [F, C] of each walking trial."""
    return [(t.labels, cohort.read(t).values) for t in cohort.trials if t.labels["activity"] == "overground walking"]


def test_the_same_seed_gives_the_same_files_with_any_number_of_workers(tmp_path: Path):
    """Those of another seed are other people, and so of another cohort."""
    found = []
    for name, seed, workers in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        simulate(tmp_path / name, participants=6, seed=seed, visit="short", workers=workers)
        found.append(Cohort.load(tmp_path / name))
    assert found[0].data_hash() == found[1].data_hash() != found[2].data_hash()
    assert found[0].name == found[1].name != found[2].name


def test_says_that_it_is_simulated(cohort: Cohort):
    assert cohort.simulated
    assert "simulated" in cohort.name
    assert "SIMULATED" in (cohort.path / "README").read_text()


def test_every_split_and_activity_and_label_word_is_known(cohort: Cohort):
    assert {str(p["split"]) for p in cohort.participants.values()} == set(SPLITS)
    assert {t.labels["activity"] for t in cohort.trials} == ACTIVITIES
    for trial in cohort.trials:
        for column, value in trial.labels.items():
            assert value in COLUMNS[column].get("Levels", [value])


def test_trials_are_of_the_promised_number_and_length(cohort: Cohort):
    assert set(Counter(t.participant for t in cohort.trials).values()) <= {8, 9, 10}
    seconds = [cohort.read(t).duration_s for t in cohort.trials]
    assert min(seconds) >= 3
    assert max(seconds) <= 30


def test_joint_limits_hold(cohort: Cohort):
    lower, upper = (np.array([getattr(c, side) for c in cohort.format.channels]) for side in ("lower", "upper"))
    for trial in cohort.trials:
        values = cohort.read(trial).values
        assert (values >= lower - 1e-6).all() and (values <= upper + 1e-6).all()


def test_labelled_speed_is_travel_over_time(walks):
    for labels, values in walks:
        travel = np.hypot(*(values[-1, :2] - values[0, :2]))
        assert travel / ((len(values) - 1) / 30) == pytest.approx(labels["walking_speed_m_s"], abs=0.05)


def test_speed_is_cadence_times_step_length(walks):
    for labels, _ in walks:
        product = labels["cadence_steps_min"] / 60 * labels["step_length_m"]
        assert product == pytest.approx(labels["walking_speed_m_s"], abs=0.005)


def test_labelled_cadence_is_the_rhythm_of_the_legs(cohort: Cohort, walks):
    """The hips' difference repeats every cycle: the frequency at which its spectrum peaks is half the step rate."""
    right, left = (cohort.format.indices[f"hip_flexion_{s}"] for s in "rl")
    errors = []
    for labels, values in walks:
        signal = values[:, right] - values[:, left]
        signal = (signal - signal.mean()) * np.hanning(len(signal))
        spectrum = np.abs(np.fft.rfft(signal, 8192))
        frequency = np.fft.rfftfreq(8192, 1 / 30)
        walking = (frequency > 0.3) & (frequency < 2)
        found = 120 * frequency[walking][spectrum[walking].argmax()]
        errors.append(abs(found / labels["cadence_steps_min"] - 1))
    assert np.mean(np.array(errors) < 0.05) > 0.9


def test_cadence_is_not_a_function_of_speed(walks):
    """Two people at one speed differ in cadence, so it cannot be told from speed alone."""
    speed, cadence = np.array([(w["walking_speed_m_s"], w["cadence_steps_min"]) for w, _ in walks]).T
    rest = cadence - np.polyval(np.polyfit(np.sqrt(speed), cadence, 1), np.sqrt(speed))
    assert np.corrcoef(np.sqrt(speed), cadence)[0, 1] > 0.3
    assert rest.std() > 5


def test_walking_goes_where_the_walker_faces(cohort: Cohort, walks):
    for labels, values in walks:
        features, _ = to_features(cohort.format, 30.0, values)
        assert features[:, 0].mean() == pytest.approx(labels["walking_speed_m_s"], rel=0.06, abs=0.03)
        assert abs(features[:, 1].mean()) < 0.12 * labels["walking_speed_m_s"] + 0.05


def test_timed_up_and_go_sits_stands_walks_and_turns(cohort: Cohort):
    for trial in (t for t in cohort.trials if t.task == "tug"):
        recording, height = cohort.read(trial), float(trial.labels["height_m"])
        pelvis = recording.channel("pelvis_ty") / height
        assert pelvis[0] < 0.36 + HIP_M and pelvis[-1] < 0.36 + HIP_M
        assert 0.44 < np.median(pelvis[len(pelvis) // 3 : 2 * len(pelvis) // 3]) - HIP_M < 0.57
        place = np.stack([recording.channel("pelvis_tx"), recording.channel("pelvis_tz")])
        assert np.hypot(*(place - place[:, :1])).max() == pytest.approx(3.4, abs=0.4)
        assert np.hypot(*(place[:, -1] - place[:, 0])) < 0.5
        turned = abs(recording.channel("pelvis_rotation")[-1] - recording.channel("pelvis_rotation")[0])
        assert turned == pytest.approx(2 * np.pi, abs=0.5)
        assert trial.labels["tug_time_s"] < recording.duration_s


def test_four_square_step_test_visits_four_squares_and_comes_back(cohort: Cohort):
    for trial in (t for t in cohort.trials if t.task == "fsst"):
        recording, height = cohort.read(trial), float(trial.labels["height_m"])
        features, _ = to_features(cohort.format, 30.0, recording.values)
        forward, right = np.cumsum(features[:, :2], axis=0).T / 30
        assert np.ptp(forward) == pytest.approx(0.33 * height, abs=0.25)
        assert np.ptp(right) == pytest.approx(0.33 * height, abs=0.25)
        assert np.hypot(forward[-1], right[-1]) < 0.35


def test_unimpaired_people_stand_straight_and_still(cohort: Cohort):
    """Knees near full extension and the hips at 0.53 of body height (Drillis & Contini 1966)."""
    knees, heights = [], []
    for trial in (t for t in cohort.trials if t.task == "standing" and t.labels["impairment"] == "no"):
        recording = cohort.read(trial)
        knees += [np.rad2deg(recording.channel(f"knee_angle_{s}")).mean() for s in "rl"]
        heights.append(recording.channel("pelvis_ty").mean() / float(trial.labels["height_m"]))
        assert max(recording.channel(n).std() for n in ("pelvis_tx", "pelvis_tz")) < 0.06
    assert np.mean(knees) == pytest.approx(-4, abs=4)
    assert np.mean(heights) - HIP_M == pytest.approx(0.53, abs=0.015)


class Killed(BaseException):
    """What ends a process without its consent."""


def files_of(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.slow
def test_a_killed_cohort_is_not_taken_for_whole_and_goes_on_where_it_was(tmp_path: Path):
    def kill(done: int, of: int) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        simulate(tmp_path / "cohort", participants=6, seed=5, visit="short", workers=1, progress=kill)
    assert not (tmp_path / "cohort").exists()
    (unfinished,) = tmp_path.iterdir()
    with pytest.raises(InputError, match="no cohort folder"):
        Cohort.load(unfinished)
    written = {p: p.stat().st_ino for p in unfinished.glob("sub-*/motion/*.tsv")}
    assert len({p.parts[-3] for p in written}) == 3
    (unfinished / "sub-004").mkdir()  # of somebody who was being written

    for folder in ("cohort", "other"):  # other people's are not taken
        simulate(tmp_path / folder, participants=6, seed=6, visit="short", workers=1)
    assert files_of(tmp_path / "cohort") == files_of(tmp_path / "other")
    shutil.rmtree(tmp_path / "cohort")
    simulate(tmp_path / "cohort", participants=6, seed=5, visit="short", workers=1)
    assert not unfinished.exists()
    for old, inode in written.items():
        assert (tmp_path / "cohort" / old.relative_to(unfinished)).stat().st_ino == inode
    simulate(tmp_path / "at_once", participants=6, seed=5, visit="short", workers=1)
    assert files_of(tmp_path / "cohort") == files_of(tmp_path / "at_once")


@pytest.mark.slow
def test_long_visits_are_of_the_size_of_the_paper():
    """600 people, more than 30 hours, about 27,000 questions (arXiv:2505.18465); here from each tenth person."""
    seconds, questions, people = 0.0, 0, 0
    for index, group in enumerate(draw_groups(600, 0), start=1):
        if index % 10 == 0:
            people += 1
            rng = np.random.default_rng([0, index])
            person = draw_person(rng, group)
            for test in visit(person, rng, "long"):
                labels, movement = test(person, rng)
                seconds += len(movement.values) / 30
                questions += sum(task.asked_of(labels | person.labels) for task in TASKS)
    assert 30 < seconds / 3600 * 600 / people < 40
    assert 24_000 < questions * 600 / people < 31_000


def test_an_unknown_visit_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="visit 'tiny'; expected one of"):
        simulate(tmp_path / "out", participants=2, visit="tiny")  # type: ignore[arg-type]


@pytest.mark.parametrize("participants", [0, 10_000])
def test_a_senseless_size_is_told(tmp_path: Path, participants: int):
    with pytest.raises(InputError, match=f"participants {participants}"):
        simulate(tmp_path / "out", participants=participants)
    assert not (tmp_path / "out").exists()


def test_with_more_capture_error_the_same_people_do_the_same(tmp_path: Path):
    for name, error in (("usual", 1.0), ("noisy", 3.0)):
        simulate(tmp_path / name, participants=1, seed=2, visit="short", workers=1, capture_error=error)
    usual, noisy = (Cohort.load(tmp_path / name) for name in ("usual", "noisy"))
    assert [t.labels for t in usual.trials] == [t.labels for t in noisy.trials]
    assert noisy.name == f"{usual.name.removesuffix(' (simulated)')}, capture error times 3" or "times 3" in noisy.name
    hip = usual.format.indices["hip_flexion_r"]
    apart = [noisy.read(b).values - usual.read(a).values for a, b in zip(usual.trials, noisy.trials, strict=True)]
    # Two times the usual error, of which the median is 3.2 degrees.
    assert np.median([np.degrees(np.abs(x[:, hip]).mean()) for x in apart]) > 2
    with pytest.raises(InputError, match="capture error -1; expected 0 or more"):
        simulate(tmp_path / "out", participants=1, capture_error=-1)
