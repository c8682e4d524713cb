"""Scores by group of people against scikit-learn and numpy on that group alone."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from biomechjax.evaluation.comparison import compare
from biomechjax.evaluation.groups import AGE_BANDS, NOT_RECORDED, age_band, by_group
from biomechjax.tasks.registry import BY_NAME

SIDE, SPEED = BY_NAME["affected side"], BY_NAME["walking speed"]


def people(count: int, answers: int = 3) -> list[str]:
    return [f"sub-{i:02d}" for i in range(count) for _ in range(answers)]


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "under 18"),
        (17.9, "under 18"),
        (18, "18 to 39"),
        (39.99, "18 to 39"),
        (40.0, "40 to 64"),
        (64.5, "40 to 64"),
        (65, "65 to 79"),
        (79, "65 to 79"),
        (80, "80 and over"),
        (104, "80 and over"),
        ("41", "40 to 64"),
        ("90+", "90+"),
        (-9.0, NOT_RECORDED),
        ("nan", NOT_RECORDED),
    ],
)
def test_an_age_is_in_the_band_that_its_name_says(age, band):
    assert age_band(age) == band


def test_labels_of_each_group_are_scored_alone():
    names, rng = people(30), np.random.default_rng(0)
    labels = [{"sex": ("f", "m")[int(n[-2:]) % 2], "age": 30.0 + int(n[-2:])} for n in names]
    truth = rng.choice(["left", "right"], len(names)).tolist()
    wrong = [row["sex"] == "f" and i % 3 < 2 for i, row in enumerate(labels)]
    said = [("none" if i % 5 else None) if w else t for i, (w, t) in enumerate(zip(wrong, truth, strict=True))]
    found = by_group(SIDE, names, labels, truth, said, 0.0)
    assert list(found) == ["sex", "age"]  # nobody's diagnosis is known
    assert list(found["sex"]) == ["f", "m"] and list(found["age"]) == list(AGE_BANDS[1:3])
    for sex in ("f", "m"):
        mine = [i for i, row in enumerate(labels) if row["sex"] == sex]
        group, t, s = found["sex"][sex], [truth[i] for i in mine], [said[i] or "silent" for i in mine]
        assert group["participants"] == 15 and group["scores"]["n"] == 45
        assert group["scores"]["accuracy"] == pytest.approx(accuracy_score(t, s))
        assert group["scores"]["macro_f1"] == pytest.approx(
            f1_score(t, s, labels=sorted(set(t)), average="macro", zero_division=0)
        )
        alone = compare(SIDE, [names[i] for i in mine], t, {"decoder": [said[i] for i in mine]}, 0.0)[1]
        assert group["intervals"] == alone["intervals"]["decoder"]
    women, men = found["sex"]["f"], found["sex"]["m"]
    apart = women["minus_others"]["accuracy"]
    assert apart["difference"] == pytest.approx(women["scores"]["accuracy"] - men["scores"]["accuracy"])
    assert apart["interval"][1] < 0 < men["minus_others"]["accuracy"]["interval"][0]


def test_the_sign_of_an_error_shows_in_the_bias():
    names, rng = people(20), np.random.default_rng(1)
    labels = [{"diagnosis": "stroke" if i % 2 else "none"} for i in range(60)]
    truth = rng.uniform(0.5, 1.5, 60)
    error = np.where(np.arange(60) % 2, 0.2, -0.2) + rng.normal(0, 0.02, 60)
    found = by_group(SPEED, names, labels, truth.tolist(), (truth + error).tolist(), 1.0)["diagnosis"]
    for name, first in (("none", 0), ("stroke", 1)):
        assert found[name]["scores"]["bias"] == pytest.approx(error[first::2].mean())
        assert found[name]["scores"]["mae"] == pytest.approx(np.abs(error[first::2]).mean())
    assert found["stroke"]["minus_others"]["bias"]["difference"] == pytest.approx(
        error[1::2].mean() - error[::2].mean()
    )
    low, high = found["stroke"]["minus_others"]["mae"]["interval"]
    assert low < 0 < high  # as far off, though to the other side


def test_a_silent_answer_counts_as_the_fallback():
    labels = [{"sex": "f"}] * 2
    (group,) = by_group(SPEED, ["a", "b"], labels, [1.0, 1.2], [None, 1.2], 1.3)["sex"].values()
    assert group["scores"]["bias"] == pytest.approx(0.15) and group["scores"]["unparsable"] == 0.5


def test_of_few_people_or_without_others_nothing_is_sure():
    names = people(10)
    labels = [{"sex": "f" if n < "sub-03" else "m", "age": 50.0} for n in names]
    found = by_group(SPEED, names, labels, [1.0] * 30, [1.1] * 30, 1.0)
    few, many = found["sex"]["f"], found["sex"]["m"]
    assert few["participants"] == 3 and set(few["intervals"].values()) == {None}
    assert many["participants"] == 7 and set(many["intervals"].values()) == {None}
    assert {d["interval"] for d in few["minus_others"].values()} == {None}
    # Eight and more on one side do not help where the other is small.
    labels = [{"sex": "f" if n < "sub-02" else "m"} for n in names]
    many = by_group(SPEED, names, labels, [1.0] * 30, [1.1] * 30, 1.0)["sex"]["m"]
    assert many["intervals"]["mae"] is not None and many["minus_others"]["mae"]["interval"] is None
    everybody = found["age"]["40 to 64"]
    assert everybody["participants"] == 10 and "minus_others" not in everybody


def test_chance_alone_is_seldom_called_a_difference():
    """The interval of a difference of two groups that are answered alike holds 0 in about 95 of 100 draws, 38 of 40."""
    rng, held = np.random.default_rng(2), 0
    names = people(40, 2)
    labels = [{"sex": "f" if n < "sub-15" else "m"} for n in names]
    for _ in range(40):
        own = np.repeat(rng.normal(0, 0.1, 40), 2)  # answers about a person are alike
        found = by_group(SPEED, names, labels, [1.0] * 80, (1.0 + own + rng.normal(0, 0.05, 80)).tolist(), 1.0)
        low, high = found["sex"]["f"]["minus_others"]["bias"]["interval"]
        held += low <= 0 <= high
    assert 34 <= held <= 40


def test_groups_stand_in_order_and_those_not_known_last():
    labels = [{"age": a, "sex": s} for a, s in ((81.0, 2.0), (20.0, 1.0), ("90+", 2.0), (5.0, 1.0))]
    labels += [{"sex": " "}, {"diagnosis": "stroke"}]
    found = by_group(SPEED, list("abcdef"), labels, [1.0] * 6, [1.0] * 6, 1.0)
    assert list(found["age"]) == ["under 18", "18 to 39", "80 and over", "90+", NOT_RECORDED]
    assert list(found["sex"]) == ["1", "2", NOT_RECORDED]
    assert list(found["diagnosis"]) == ["stroke", NOT_RECORDED]
    assert found["age"][NOT_RECORDED]["participants"] == 2
