"""What is drawn stands where the numbers say, and the bytes depend on nothing else."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from biomechjax.evaluation.calibration import calibration
from biomechjax.evaluation.report import plots

RNG = np.random.default_rng(0)
TRUTH, GIVEN = RNG.uniform(0.5, 1.5, (2, 40))
LIMITS = {"bias": 0.12, "low": -0.3, "high": 0.54}
CONFUSION = {
    "truth": ["none", "stroke", "gout", "a rather long name of a disease"],
    "answers": ["none", "stroke", "gout", "a rather long name of a disease", "unparsable"],
    "counts": {"decoder": [[11, 2, 0, 0, 0], [3, 14, 0, 5, 1], [0, 0, 0, 0, 0], [6, 0, 0, 7, 0]]},
}


def group(value: float, people: int = 9) -> dict:
    interval = [value - 0.1, value + 0.05] if people > 8 else None
    return {"participants": people, "scores": {"mae": value}, "intervals": {"mae": interval}}


GROUPS = {"sex": {"female": group(0.3), "male": group(0.7)}, "age": {"under 18": group(0.5, 2)}}


def scatter(name="s") -> str:
    return plots.scatter_plot(TRUTH, GIVEN, "m/s", name)


def agreement() -> str:
    return plots.bland_altman_plot(TRUTH, GIVEN, LIMITS, "m/s", "b")


def sure() -> dict:
    probabilities = RNG.dirichlet([0.7] * 3, 200)
    return calibration(probabilities, np.array([RNG.choice(3, p=p**1.5 / (p**1.5).sum()) for p in probabilities]))


SURE = sure()
DRAWN = {
    "scatter": scatter,
    "agreement": agreement,
    "confusion": lambda: plots.confusion_plot(CONFUSION, "decoder", "c"),
    "reliability": lambda: plots.reliability_plot(SURE["reliability"], "r"),
    "risk": lambda: plots.risk_coverage_plot(SURE, 0.8, "k"),
    "groups": lambda: plots.groups_plot(GROUPS, "mae", 0.45, "mean absolute error (m/s)", "g"),
}


def texts(svg: str) -> list[tuple[str, float, float]]:
    """Each text and where it is anchored."""
    found = []
    for part in ElementTree.fromstring(svg).iter("text"):
        found.append((part.text, float(part.get("x", "nan")), float(part.get("y", "nan"))))
    return found


def points(svg: str, colour: str = plots.ACCENT) -> np.ndarray:
    """[n, 2] the markers of a colour as x, y in the plot; y upwards."""
    markers = [p for p in ElementTree.fromstring(svg).iter("use") if colour in (p.get("fill"), p.get("stroke"))]
    return np.array([[float(p.get("x")), -float(p.get("y"))] for p in markers])


def line(svg: str, colour: str = plots.ACCENT) -> np.ndarray:
    """[n, 2] the longest line of a colour; y upwards."""
    paths = [p.get("d") for p in ElementTree.fromstring(svg).iter("path") if p.get("stroke") == colour]
    corners = [re.findall(r"[ML] ([\d.]+) ([\d.]+)", d) for d in paths]
    return np.array(max(corners, key=len), float) * [1, -1]


def assert_linear(places: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Places follow values on a rising scale; returns the scale and where 0 is."""
    scale, zero = np.polyfit(values, places, 1)
    np.testing.assert_allclose(places, scale * values + zero, atol=0.05)
    assert scale > 0
    return float(scale), float(zero)


def ticks(svg: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of the tick labels of an axis and where they stand."""
    root = ElementTree.fromstring(svg)
    mine = next(p for p in root.iter("g") if p.get("id", "").endswith(f"matplotlib.axis_{axis}"))
    groups = [g for g in mine if "tick" in g.get("id", "")]
    values = [float(next(g.iter("text")).text.replace("−", "-")) for g in groups]
    at = [float(next(g.iter("use")).get("x" if axis == "1" else "y")) for g in groups]
    return np.array(values), np.array(at) * (1 if axis == "1" else -1)


@pytest.mark.parametrize(
    ("drawn", "across", "up"), [(scatter, TRUTH, GIVEN), (agreement, (TRUTH + GIVEN) / 2, GIVEN - TRUTH)]
)
def test_each_answer_has_a_point_at_its_place(drawn, across, up):
    svg = drawn()
    found = points(svg)
    assert len(found) == 40
    for column, (axis, values) in enumerate((("1", across), ("2", up))):
        scale, zero = assert_linear(found[:, column], values)
        labels, at = ticks(svg, axis)
        np.testing.assert_allclose(at, scale * labels + zero, atol=0.1)


def test_axes_say_what_they_are():
    said = {name: [text for text, *_ in texts(drawn())] for name, drawn in DRAWN.items()}
    assert {"truth (m/s)", "answer (m/s)"} <= set(said["scatter"])
    assert {"mean of answer and truth (m/s)", "answer minus truth (m/s)", "0.12", "-0.30", "0.54"} <= set(
        said["agreement"]
    )
    assert {"truth", "answer"} <= set(said["confusion"])
    for svg, first, second in ((scatter(), "truth (m/s)", "answer (m/s)"), (DRAWN["confusion"](), "answer", "truth")):
        at = {text: (x, y) for text, x, y in texts(svg)}
        assert at[first][1] > at[second][1] and at[first][0] > at[second][0]  # below, and to the left


def test_limits_of_agreement_lie_at_their_values():
    svg = agreement()
    scale, zero = assert_linear(points(svg)[:, 1], GIVEN - TRUTH)
    paths = [p for p in ElementTree.fromstring(svg).iter("path") if p.get("stroke") == plots.WARN]
    heights = sorted(-float(re.match(r"M [\d.]+ ([\d.]+)", p.get("d"))[1]) for p in paths)
    np.testing.assert_allclose(heights, [scale * LIMITS[k] + zero for k in ("low", "bias", "high")], atol=0.1)


def test_counts_stand_by_truth_and_answer():
    svg = DRAWN["confusion"]()
    counts = [t for t in texts(svg) if t[0].isdigit()]
    columns, rows = (sorted({round(t[i]) for t in counts}) for i in (1, 2))
    table = {(rows.index(round(y)), columns.index(round(x))): int(text) for text, x, y in counts}
    expected = np.array([[11, 2, 0, 0], [3, 14, 5, 1], [6, 0, 7, 0]])  # nobody has gout, nor is it said
    assert table == {place: int(count) for place, count in np.ndenumerate(expected)}
    place = {text: (x, y) for text, x, y in texts(svg)}
    assert "gout" not in place and place["unparsable"][1] > max(rows)
    cells = [p for p in ElementTree.fromstring(svg).iter("path") if p.get("stroke") == "#ffffff"]
    light = [sum(int(p.get("fill")[i : i + 2], 16) for i in (1, 3, 5)) for p in cells]
    share = expected / expected.sum(1, keepdims=True)
    assert np.all(np.diff(np.array(light)[np.argsort(share.ravel())]) <= 0)  # the larger the darker


def test_reliability_and_risk_follow_the_calibration():
    bins = SURE["reliability"]
    found = line(DRAWN["reliability"]())
    assert_linear(found[:, 0], np.array([b["confidence"] for b in bins]))
    assert_linear(found[:, 1], np.array([b["accuracy"] for b in bins]))
    svg, rows = DRAWN["risk"](), SURE["risk_coverage"]
    found = line(svg)
    across = assert_linear(found[:, 0], np.array([r["coverage"] for r in rows]))
    up = assert_linear(found[:, 1], np.array([1 - r["accuracy"] for r in rows]))
    ((x, y),) = points(svg, plots.WARN)
    assert x == pytest.approx(across[0] * 0.8 + across[1], abs=0.1)
    assert y == pytest.approx(up[0] * (1 - SURE["accuracy_at_80"]) + up[1], abs=0.1)
    at = 1 - SURE["accuracy_at_80"]
    assert {f"{at:.2f} when the least", "sure 20% abstain"} <= {text for text, *_ in texts(svg)}


def test_groups_are_points_with_intervals_where_there_are_enough_people():
    svg = DRAWN["groups"]()
    found = points(svg)
    scale, zero = assert_linear(found[:, 0], np.array([0.3, 0.7, 0.5]))
    assert np.all(np.diff(found[:, 1]) < 0)
    names = {text: y for text, _, y in texts(svg)}
    order = [names[n] for n in ("female (9)", "male (9)", "under 18 (2)")]
    np.testing.assert_allclose(-found[:, 1], order, atol=5)
    lines = [p.get("d") for p in ElementTree.fromstring(svg).iter("path") if p.get("stroke") == plots.ACCENT]
    ends = [[float(x) for x in re.findall(r"[ML] ([\d.]+)", d)] for d in lines if len(re.findall("[ML]", d)) == 2]
    np.testing.assert_allclose(
        ends[:2], [[scale * x + zero for x in (v - 0.1, v + 0.05)] for v in (0.3, 0.7)], atol=0.1
    )
    assert len([e for e in ends if e[0] != e[1] and e[0] > 20]) == 2  # and none of the two children


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_is_the_same_bytes_whatever_a_user_has_set(name):
    first = DRAWN[name]()
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "axes.grid": True, "svg.hashsalt": None}):
        assert DRAWN[name]() == first


@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_can_stand_in_a_page_without_inline_styles(name):
    svg = DRAWN[name]()
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and root.get("role") == "img" and len(root.get("aria-label")) > 30
    parts = list(root.iter())
    assert not {p.tag for p in parts} & {"style", "script", "image", "metadata", "foreignObject"}
    assert not any(key == "style" or key.startswith("on") for p in parts for key in p.attrib)
    ids = [p.get("id") for p in parts if p.get("id")]
    assert len(ids) == len(set(ids))
    used = [p.get("href") for p in parts if p.get("href")] + re.findall(r"url\((#[^)]*)\)", svg)
    assert {u[1:] for u in used} <= set(ids)
    assert all(p.get("font-size") for p in parts if p.tag == "text")


def test_parts_of_two_plots_share_no_name():
    one, other = (set(re.findall(r'id="([^"]*)"', scatter(name))) for name in ("one", "other"))
    assert one and not one & other


def test_words_are_shown_as_they_are():
    confusion = CONFUSION | {"truth": ["$a_b$", "<b>&", "c", "d"]}
    svg = plots.confusion_plot(confusion, "decoder", "c")
    assert {"$a_b$", "<b>&"} <= {text for text, *_ in texts(svg)} and "<b>" not in svg
    assert "of 13 $a_b$: 11 none, 2 stroke" in ElementTree.fromstring(svg).get("aria-label")
