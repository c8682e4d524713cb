"""The bootstrap over people: against a plain loop, for how often it is right, and for whom it says nothing."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.intervals import LEAST_PEOPLE, Resamples, tail_share
from biomechjax.evaluation.metrics import scores, terms
from biomechjax.tasks.registry import BY_NAME

DIAGNOSIS, SPEED = BY_NAME["diagnosis"], BY_NAME["walking speed"]


def clinic(people: int, seed: int, task):
    """Answers about one to five trials of each person, who has a truth and a liking for certain errors of his own."""
    rng = np.random.default_rng(seed)
    participants, truth, answers = [], [], []
    for i in range(people):
        options = DIAGNOSIS.answer.options[:4]
        true, said = rng.choice(options, 2)
        speed, off = rng.uniform(0.3, 1.5), rng.normal(0, 0.2)
        for _ in range(rng.integers(1, 6)):
            participants.append(f"sub-{i:03d}")
            spoken = rng.random() > 0.1
            if task is DIAGNOSIS:
                truth.append(str(true))
                answers.append(str(true if rng.random() < 0.5 else said) if spoken else None)
            else:
                truth.append(speed + rng.normal(0, 0.05))
                answers.append(truth[-1] + off + rng.normal(0, 0.05) if spoken else None)
    order = rng.permutation(len(truth))  # trials of a person need not stand together
    return tuple([found[i] for i in order] for found in (participants, truth, answers))


def by_scikit_learn(task, truth, answers, fallback):
    if task is DIAGNOSIS:
        said, classes = ["silence" if a is None else a for a in answers], sorted(set(truth))
        return {
            "accuracy": metrics.accuracy_score(truth, said),
            "balanced_accuracy": metrics.recall_score(truth, said, labels=classes, average="macro", zero_division=0),
            "macro_f1": metrics.f1_score(truth, said, labels=classes, average="macro", zero_division=0),
        }
    said = [fallback if a is None else a for a in answers]
    return {
        "mae": metrics.mean_absolute_error(truth, said),
        "rmse": metrics.root_mean_squared_error(truth, said),
        "pearson_r": stats.pearsonr(truth, said).statistic,
        "within_tolerance": np.mean(np.abs(np.subtract(truth, said)) <= 0.1),
    }


@pytest.mark.parametrize("task", [DIAGNOSIS, SPEED], ids=lambda t: t.name)
def test_all_resamples_at_once_equal_a_loop_of_scikit_learn(task):
    participants, truth, answers = clinic(12, 0, task)
    resamples = Resamples.of(participants, resamples=100)
    found = scores(task, resamples.sums(terms(task, truth, answers, 0.9)))
    names = sorted(set(participants))
    for row, counts in enumerate(resamples.counts.astype(int)):
        drawn = [name for name, times in zip(names, counts, strict=True) for _ in range(times)]
        rows = [i for name in drawn for i, p in enumerate(participants) if p == name]
        expected = by_scikit_learn(task, [truth[i] for i in rows], [answers[i] for i in rows], 0.9)
        assert found["n"][row] == len(rows)
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), (row, name)


def test_people_are_drawn_with_replacement_and_the_first_row_is_everybody():
    resamples = Resamples.of(["b", "a", "c", "a", "d"])
    assert resamples.people == 4
    assert resamples.counts.shape == (2001, 4)
    assert (resamples.counts[0] == 1).all()
    assert (resamples.counts.sum(1) == 4).all()
    assert resamples.counts[1:].mean(0) == pytest.approx(np.ones(4), abs=0.1)
    assert resamples.counts[1:].var() == pytest.approx(0.75, abs=0.05)  # of a multinomial draw: 1 - 1/4
    assert (resamples.counts == Resamples.of(["d", "c", "b", "a"]).counts).all()
    assert (resamples.counts != Resamples.of(["a", "b", "c", "d"], seed=1).counts).any()


def test_drawing_trials_would_be_far_too_sure():
    """Twenty people of fifty trials each, all right or all wrong of a person: as good as twenty answers, not 1,000."""
    right = np.repeat(np.random.default_rng(0).random(20) < 0.6, 50)
    people = np.repeat([f"sub-{i}" for i in range(20)], 50).tolist()
    trials = [f"trial-{i}" for i in range(1000)]
    widths = []
    for names in (people, trials):
        resamples = Resamples.of(names)
        low, high = resamples.interval(resamples.sums(right.astype(float)) / resamples.sums(np.ones(1000)))
        widths.append(high - low)
    assert widths[0] > 5 * widths[1]


@pytest.mark.parametrize("people", [LEAST_PEOPLE, 30])
def test_interval_holds_the_truth_as_often_as_it_says(people):
    """The accuracy of people of five trials each, whose own accuracy is anything from 0.2 to 1, 0.6 on average."""
    rng = np.random.default_rng(people)
    names = np.repeat([f"sub-{i}" for i in range(people)], 5).tolist()
    held, rounds = 0, 400
    for seed in range(rounds):
        right = rng.random((people, 5)) < rng.uniform(0.2, 1, (people, 1))
        resamples = Resamples.of(names, resamples=1000, seed=seed)
        low, high = resamples.interval(resamples.sums(right.reshape(-1).astype(float)) / (5 * people))
        held += low <= 0.6 <= high
    assert 0.92 <= held / rounds <= 0.985


def test_interval_is_a_percentile_interval_with_the_t_distribution_for_few():
    values = np.append(0.5, np.arange(2000) / 2000)
    thousand = Resamples.of([str(i) for i in range(1000)], resamples=1)
    assert thousand.interval(values) == pytest.approx([0.025, 0.975], abs=5e-4)
    ten = Resamples.of([str(i) for i in range(10)], resamples=1)
    # t of nine degrees of freedom is 2.262; 2.262 sqrt(10 / 9) = 2.384, beyond which 0.86 % of a normal curve lie.
    assert ten.interval(values) == pytest.approx([0.0086, 0.9914], abs=5e-4)
    assert 2000 * tail_share(LEAST_PEOPLE) > 10 > 2000 * tail_share(LEAST_PEOPLE - 1)


def test_of_too_few_people_or_without_a_value_there_is_no_interval():
    values = np.linspace(0, 1, 101)
    people = [f"sub-{i}" for i in range(LEAST_PEOPLE)]
    assert Resamples.of(people[:-1] * 50).interval(values) is None
    enough = Resamples.of(people)
    assert enough.interval(values) is not None
    assert enough.interval(np.append(np.nan, values[1:])) is None
    assert enough.interval(np.append(values[:-4], [np.nan] * 4)) is not None
    assert enough.interval(np.append(values[:-6], [np.nan] * 6)) is None


@pytest.mark.parametrize("task", [DIAGNOSIS, SPEED], ids=lambda t: t.name)
def test_differences_are_paired(task):
    """Two models that are wrong about the same people: each is unsure, and which is better is not."""
    participants, truth, answers = clinic(40, 1, task)
    if task is DIAGNOSIS:
        metric, other = "accuracy", list(answers)
        wrong = [i for i, (a, t) in enumerate(zip(answers, truth, strict=True)) if a != t]
        better = [truth[i] if i in wrong[::4] else a for i, a in enumerate(answers)]
    else:
        metric = "mae"
        other = [t + 0.1 if a is None else a for a, t in zip(answers, truth, strict=True)]
        better = [t + 0.8 * (a - t) for a, t in zip(other, truth, strict=True)]
    given = {"decoder": better, "other": other, "same": better}
    found, about = compare(task, participants, truth, given, 0.9)
    one, two = (about["intervals"][model][metric] for model in ("decoder", "other"))
    assert max(one[0], two[0]) < min(one[1], two[1])  # they overlap
    apart = about["differences"]["other"][metric]
    assert apart["difference"] == pytest.approx(found["decoder"][metric] - found["other"][metric])
    assert apart["interval"][0] <= apart["difference"] <= apart["interval"][1]
    assert (apart["interval"][0] > 0) if task is DIAGNOSIS else (apart["interval"][1] < 0)
    assert about["differences"]["same"][metric] == {"difference": 0, "interval": [0, 0]}
    assert about["participants"] == 40 and set(about["differences"]) == {"other", "same"}
