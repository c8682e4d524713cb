"""The plots of an evaluation as SVG to stand inside a page, the same bytes for the same results.

What matplotlib writes as styles becomes attributes, so that the page's Content-Security-Policy need not allow inline
styles; names of parts are made unique, so that many plots can stand in one page. Letters stay letters, in the page's
font.
"""

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
import matplotlib.style
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Whatever a user's matplotlibrc says; text as it is, not as formulas.
STYLE = {
    "svg.hashsalt": "biomechjax",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
}
INK, ACCENT, WARN, GREY = "#1f2937", "#1f5fa8", "#b3261e", "#6b7280"
WRAP = 18  # letters in a line of a label


def confusion_plot(confusion: Mapping[str, Any], model: str, name: str) -> Markup:
    """Counts by true label (rows) and answer (columns) of the confusion of `compare`; the shade is the share of the
    row. An option that is neither true nor answered is left out."""
    counts = np.array(confusion["counts"][model])
    rows = [i for i in range(len(counts)) if counts[i].any() or counts[:, i].any()]
    columns = [*rows, *([len(counts)] if counts[:, -1].any() else [])]
    shown = counts[np.ix_(rows, columns)]
    truth, answers = (
        [_wrapped(confusion[axis][i]) for i in of] for axis, of in (("truth", rows), ("answers", columns))
    )
    share = shown / np.maximum(shown.sum(1, keepdims=True), 1)
    said = "; ".join(
        f"of {row.sum()} {confusion['truth'][i]}: "
        + ", ".join(f"{count} {confusion['answers'][c]}" for c, count in zip(columns, row, strict=True) if count)
        for i, row in zip(rows, shown, strict=True)
    )

    def draw(axis: Axes) -> None:
        axis.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
        for (row, column), count in np.ndenumerate(shown):
            colour = "white" if share[row, column] > 0.55 else INK
            axis.text(column + 0.5, row + 0.5, f"{count}", ha="center", va="center", color=colour)
        axis.set_xticks(
            np.arange(len(columns)) + 0.5, answers, rotation=90, rotation_mode="anchor", ha="right", va="center"
        )
        axis.set_yticks(np.arange(len(rows)) + 0.5, truth)
        axis.set(xlabel="answer", ylabel="truth", ylim=(len(rows), 0))
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)

    return inline_svg(draw, name, f"Confusion matrix, answers by truth. {said}.", (4.2, 2.0 + 0.34 * len(rows)))


def scatter_plot(truth: np.ndarray, given: np.ndarray, unit: str, name: str) -> Markup:
    """Answers over the truth [answers] each, and the line on which they are equal."""
    ends = [min(truth.min(), given.min()), max(truth.max(), given.max())]

    def draw(axis: Axes) -> None:
        axis.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
        axis.plot(truth, given, "o", color=ACCENT, markersize=3.5, alpha=0.55, markeredgewidth=0)
        axis.set(xlabel=f"truth ({unit})", ylabel=f"answer ({unit})")

    said = (
        f"truth from {truth.min():.4g} to {truth.max():.4g} {unit}, answers from {given.min():.4g} to {given.max():.4g}"
    )
    return inline_svg(draw, name, f"Scatter plot of {len(truth)} answers over the truth: {said}.")


def bland_altman_plot(truth: np.ndarray, given: np.ndarray, limits: Mapping[str, Any], unit: str, name: str) -> Markup:
    """Differences over the means of both (Bland & Altman 1986), with bias and 95 % limits of agreement."""

    def draw(axis: Axes) -> None:
        axis.axhline(0, color=GREY, linewidth=0.6)
        for key, style in (("bias", "-"), ("low", "--"), ("high", "--")):
            if np.isfinite(limits[key]):
                axis.axhline(limits[key], color=WARN, linewidth=1, linestyle=style)
                label = f"{limits[key]:.2f}"
                axis.annotate(label, (1.01, limits[key]), xycoords=("axes fraction", "data"), color=WARN, va="center")
        axis.plot((truth + given) / 2, given - truth, "o", color=ACCENT, markersize=3.5, alpha=0.55, markeredgewidth=0)
        axis.set(xlabel=f"mean of answer and truth ({unit})", ylabel=f"answer minus truth ({unit})")

    said = f"bias {limits['bias']:.2f} {unit}, limits of agreement {limits['low']:.2f} to {limits['high']:.2f} {unit}"
    return inline_svg(draw, name, f"Bland-Altman plot of {len(truth)} answers: {said}.")


def reliability_plot(bins: Sequence[Mapping[str, float]], name: str) -> Markup:
    """Accuracy over confidence in each bin of `calibration.reliability`, larger where there are more answers."""
    confidence, accuracy, n = (np.array([b[k] for b in bins]) for k in ("confidence", "accuracy", "n"))

    def draw(axis: Axes) -> None:
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        axis.plot(confidence, accuracy, color=ACCENT, linewidth=1)
        axis.scatter(confidence, accuracy, s=12 + 160 * n / n.sum(), color=ACCENT, alpha=0.7, linewidths=0)
        axis.set(xlim=(0, 1.03), ylim=(-0.03, 1.03), xlabel="confidence (mean of the bin)", ylabel="accuracy")

    said = "; ".join(f"{c:.2f} confident, {a:.2f} right" for c, a in zip(confidence, accuracy, strict=True))
    return inline_svg(draw, name, f"Reliability diagram, from unsure to sure: {said}.")


def risk_coverage_plot(calibration: Mapping[str, Any], coverage: float, name: str) -> Markup:
    """The share of errors among the surest answers over how many are kept; the others are abstained from. A point marks
    `coverage`, whose accuracy is `accuracy_at_80`."""
    kept, right = ([row[k] for row in calibration["risk_coverage"]] for k in ("coverage", "accuracy"))
    risk = 1 - np.array(right)
    at = 1 - calibration["accuracy_at_80"]

    def draw(axis: Axes) -> None:
        axis.plot(kept, risk, color=ACCENT, marker="o", markersize=3)
        axis.plot([coverage], [at], "o", color=WARN, markersize=7, fillstyle="none")
        text = f"{at:.2f} when the least\nsure {1 - coverage:.0%} abstain"
        high = max(float(risk.max()), 0.01)
        axis.annotate(text, (coverage, at), (0.03, 0.93), textcoords="axes fraction", va="top", color=WARN)
        axis.set(xlim=(0, 1.03), ylim=(-0.04 * high, 1.25 * high))
        axis.set(xlabel="coverage: share of answers kept", ylabel="risk: share of them wrong")

    said = "; ".join(f"{c:.0%} kept, {r:.2f} wrong" for c, r in zip(kept, risk, strict=True))
    return inline_svg(draw, name, f"Risk over coverage: {said}.")


def groups_plot(groups: Mapping[str, Mapping[str, Any]], metric: str, whole: float, label: str, name: str) -> Markup:
    """A score of each group of each grouping of `by_group` with its interval, and everybody's as a line."""
    rows = [(f"{group} ({g['participants']})", g) for of in groups.values() for group, g in of.items()]
    breaks = np.cumsum([len(of) for of in groups.values()])[:-1]

    def draw(axis: Axes) -> None:
        axis.axvline(whole, color=GREY, linewidth=1, linestyle="--")
        for place, (_, group) in enumerate(rows):
            value, interval = group["scores"][metric], group["intervals"][metric]
            if interval is not None:
                axis.plot(interval, [place, place], color=ACCENT, linewidth=1.5)
            axis.plot([value], [place], "o", color=ACCENT, fillstyle="full" if interval else "none", markersize=5)
        for edge in breaks:
            axis.axhline(edge - 0.5, color="#d1d5db", linewidth=0.6)
        axis.set_yticks(range(len(rows)), [textwrap.fill(text, 26) for text, _ in rows])
        axis.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)

    said = "; ".join(f"{text} people: {g['scores'][metric]:.2f}" for text, g in rows)
    return inline_svg(draw, name, f"{label} by group: {said}.", (4.2, 1.1 + 0.27 * len(rows)))


def inline_svg(draw: Callable[[Axes], None], name: str, alt: str, size: tuple[float, float] = (4.2, 3.6)) -> Markup:
    """One plot as an `<svg>` element.

    Args:
        draw: fills the axes.
        name: unique in the page; put before the names of its parts.
        alt: what it shows, for those who do not see it.
        size: inches.
    """
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True)
    return _for_a_page(out.getvalue(), name, alt)


def _for_a_page(text: str, name: str, alt: str) -> Markup:
    root = ElementTree.fromstring(text)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for part in root.iter():
        part.tag = part.tag.rpartition("}")[2]
        part.text, part.tail = ((text if (text or "").strip() else None) for text in (part.text, part.tail))
        for key in list(part.attrib):
            value = part.attrib.pop(key)
            if key == "style":
                part.attrib |= _attributes(value)
            elif key == "id":
                part.attrib["id"] = f"{name}-{value}"
            else:
                value = re.sub(r"^#|(?<=url\()#", f"#{name}-", value)
                part.attrib[key.replace(f"{{{XLINK}}}", "").rpartition("}")[2]] = value
    width, height = root.attrib["viewBox"].split()[2:]
    # The one rule of matplotlib's style sheet, as what every part inherits.
    root.attrib = {
        "class": "plot",
        "viewBox": f"0 0 {width} {height}",
        "width": width,
        "height": height,
        "role": "img",
        "aria-label": alt,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _attributes(style: str) -> dict[str, str]:
    """An inline style as presentation attributes; of a font the size, so that the page's family is used."""
    out = {}
    for rule in style.split(";"):
        key, _, value = (part.strip() for part in rule.partition(":"))
        if key == "font":
            out["font-size"] = next(part for part in value.split() if part.endswith("px"))
        elif key and key != "font-family":
            out[key] = value
    return out


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WRAP)
