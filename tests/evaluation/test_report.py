"""The page of an evaluation: what it says is what was measured, it loads nothing, and no text in it runs."""

import base64
import copy
import dataclasses
import hashlib
import json
import re
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import invented
import jinja2
import numpy as np
import pytest
import tiny
from markupsafe import Markup

from biomechjax.errors import InputError
from biomechjax.evaluation.answers import Answered
from biomechjax.evaluation.report import cards as card_module
from biomechjax.evaluation.report import page as page_module
from biomechjax.evaluation.report import plots
from biomechjax.evaluation.report import tables as table_module
from biomechjax.evaluation.report import tasks as task_module
from biomechjax.evaluation.report.cards import cards, seen_figure, what_the_model_saw
from biomechjax.evaluation.report.page import report, write_report
from biomechjax.evaluation.report.tables import group_tables, summary_tables
from biomechjax.evaluation.tables import DECODER
from biomechjax.evaluation.worst import worst_answers
from biomechjax.motion.player import player_script
from biomechjax.motion.stick import stick_figure
from biomechjax.provenance import versions


class Page(HTMLParser):
    """Elements in order with their attributes and text, as a browser takes them apart."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[int] = []
        self.feed(text)
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in self.VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag, f"{tag} closes another element"

    def handle_data(self, data):
        for number in self.open:
            self.texts[number] += data

    def all(self, tag: str, **attributes: str) -> list[str]:
        """The texts of the elements of a tag with these attributes."""
        return [
            t
            for (n, a), t in zip(self.elements, self.texts, strict=True)
            if n == tag and attributes.items() <= a.items()
        ]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.all("body")[0])


@pytest.fixture(scope="module")
def metrics() -> dict:
    return invented.evaluated()[0]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(invented.page())


def rendered(metrics: dict, model=None, answered=None, records=None, command="eval.py") -> Page:
    """The page of other results, with its plots undrawn: drawing is most of the work."""
    parts = answered or invented.evaluated()[1], records or invented.records(), model or invented.model()
    with pytest.MonkeyPatch.context() as patch:
        undrawn = Markup('<svg aria-label="{}"></svg>')
        patch.setattr(plots, "inline_svg", lambda draw, name, alt, size=(): undrawn.format(alt))
        return Page(report(metrics, *parts, command))


def table(metrics: dict, caption: str) -> dict[str, dict[str, str]]:
    """The rows of a table of the page by their heads."""
    found = next(t for t in [*summary_tables(metrics), *group_tables(metrics)] if t.caption.startswith(caption))
    return {row[0]: dict(zip(found.heads, row, strict=True)) for row in found.rows}


def test_the_page_loads_nothing_and_only_its_own_script_and_style_may_run(page):
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["base-uri"] == rules["form-action"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (text,) = [t for (n, a), t in zip(page.elements, page.texts, strict=True) if n == tag and not a]
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        assert not re.search(r"url\(|@import|https?:", text)
    assert page.all("script")[-1] == player_script()
    assert {a["type"] for tag, a in page.elements if tag == "script" and a} == {"application/json"}
    assert not {tag for tag, _ in page.elements} & {"link", "img", "iframe", "object", "embed", "base", "form", "image"}
    names = [(key, value) for _, a in page.elements for key, value in a.items()]
    assert not [key for key, _ in names if key == "style" or key.startswith("on") or key == "src"]
    assert all(value.startswith("#") for key, value in names if key == "href")
    # The policy stands before all that it is to hold for.
    assert [tag for tag, _ in page.elements[:4]] == ["html", "head", "meta", "meta"]


def test_links_lead_somewhere_and_no_name_stands_twice(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for _, a in page.elements if a.get("href")} <= set(ids)


def test_no_text_of_the_data_runs(page):
    raw = invented.page()
    assert "<script>document" not in raw and "<img" not in raw and "</pre><script>" not in raw
    # And yet all of it is there to be read.
    assert raw.count("</script>") == raw.count("<script") == len(page.all("script"))
    assert f"clinic {invented.EVIL}" in page.words and invented.COMMAND in page.words
    assert json.loads(page.all("pre")[0])["experiment"]["note"] == invented.EVIL
    assert page.all("title")[0] == page.all("h1")[0]


def test_people_with_awkward_names_are_shown_with_their_movement():
    """Her trial is the worst of all: the name is in a heading, the trial in the caption of the player."""
    answered = [
        dataclasses.replace(a, question=f"? {invented.EVIL}")
        for a in invented.evaluated()[1]
        if "img" in a.participant + a.trial
    ]
    wrong = [
        dataclasses.replace(a, answer=invented.EVIL, parsed=None, probabilities=None)
        for a in answered
        if a.task == "impairment"
    ]
    shown = cards(worst_answers(wrong), invented.records(), invented.model())
    assert len(shown) == 3
    text = page_module._template().render(
        **dict.fromkeys(("title", "policy", "style", "script", "people", "legend", "config"), ""),
        **dict.fromkeys(("notices", "summary", "tasks", "origin"), []),
        groups={"about": "", "tables": []},
        worst={"about": "", "cards": shown},
    )
    found = Page(text)
    assert "<img" not in text and "<script>doc" not in text
    assert any(h.endswith(f"sub-{invented.EVIL}") for h in found.all("h3"))
    assert any(invented.EVIL in c for c in found.all("figcaption"))
    assert found.words.count(f"Answer{invented.EVIL}") == 3 and f"? {invented.EVIL}" in found.words


def test_the_same_results_give_the_same_bytes(metrics):
    again = report(
        copy.deepcopy(metrics),
        list(invented.evaluated()[1]),
        invented.records(),
        invented.model(),
        invented.COMMAND,
    )
    assert again == invented.page()


def test_every_model_stands_in_the_summary_with_interval_and_mark(metrics):
    metrics = copy.deepcopy(metrics)
    about, scores = metrics["details"]["impairment"], metrics["tasks"]["impairment"]
    for name in ("transformer", "gru"):  # as many as there are
        scores[name] = dict(scores[DECODER])
        about["intervals"][name] = about["intervals"][DECODER] | {"accuracy": [0.5, 0.75]}
        about["differences"][name] = {s: {"difference": 0.0, "interval": [-0.1, 0.1]} for s in scores[name]}
    about["differences"]["gru"]["accuracy"] = {"difference": -0.2, "interval": [-0.3, -0.1]}
    about["differences"]["transformer"]["accuracy"] = {"difference": -0.2, "interval": None}
    rows = table(metrics, "Accuracy")
    low, high = about["intervals"][DECODER]["accuracy"]
    value = scores[DECODER]["accuracy"]
    assert rows["impairment"][DECODER] == f"{value:.2f} [{low:.2f}, {high:.2f}]"
    assert rows["impairment"]["gru"] == f"{value:.2f} [0.50, 0.75]‡"
    assert rows["impairment"]["transformer"] == f"{value:.2f} [0.50, 0.75]?"
    assert rows["diagnosis"]["gru"] == "-" != rows["diagnosis"]["linear"]
    low, high = about["intervals"]["majority/mean"]["accuracy"]
    assert rows["impairment"]["majority/mean"].startswith(
        f"{scores['majority/mean']['accuracy']:.2f} [{low:.2f}, {high:.2f}]"
    )
    assert (rows["impairment"]["n"], rows["impairment"]["people"]) == ("48", "24")
    speed = table(metrics, "Mean absolute error")["walking speed (m/s)"]
    assert speed["unparsable"] == f"{1 / 48:.3f}"
    assert speed[DECODER].startswith(f"{metrics['tasks']['walking speed'][DECODER]['mae']:.2f} [")
    assert table(metrics, "Pearson r")["walking speed"]["majority/mean"] == "-"
    agreement = table(metrics, "The decoder's agreement")["walking speed (m/s)"]
    limits, scores = metrics["details"]["walking speed"]["bland_altman"][DECODER], metrics["tasks"]["walking speed"]
    assert agreement["RMSE"].startswith(f"{scores[DECODER]['rmse']:.2f} [")
    assert agreement["ICC(2,1)"].startswith(f"{scores[DECODER]['icc']:.2f} [")
    assert agreement["bias"].startswith(f"{limits['bias']:.2f} [")
    assert agreement["limits of agreement"] == f"{limits['low']:.2f} to {limits['high']:.2f}"
    within = f"{scores[DECODER]['within_tolerance']:.2f} ["
    assert agreement["within tolerance"].startswith(within) and agreement["within tolerance"].endswith("] in 0.1")
    words = rendered(metrics).words
    assert all(mark in words for mark in ("†: decoder is not", "‡: it is significantly worse", "?: no such interval"))
    assert f"{value:.2f} [0.50, 0.75]‡" in words


def test_of_several_ways_to_answer_the_first_is_shown(metrics):
    answered = invented.evaluated()[1]
    other = [dataclasses.replace(a, answer="another way", parsed=None) for a in answered]
    assert rendered(metrics, answered=answered + other).words == rendered(metrics).words
    renamed = copy.deepcopy(metrics)
    for by_model, about in zip(renamed["tasks"].values(), renamed["details"].values(), strict=True):
        for of in (by_model, about["intervals"], about.get("bland_altman", {}), about.get("per_class", {})):
            of |= {"decoder (free)": of.pop(DECODER)} if DECODER in of else {}
        if "confusion" in about:
            about["confusion"]["counts"]["decoder (free)"] = about["confusion"]["counts"].pop(DECODER)
        first = {"decoder (free)": by_model.pop("decoder (free)")} | by_model
        by_model.clear()
        by_model.update(first)
    assert (
        table(renamed, "Accuracy")["impairment"]["decoder (free)"] == table(metrics, "Accuracy")["impairment"][DECODER]
    )
    assert rendered(renamed | {"absent": {"aeon": "not installed"}}).words.count("Not there: aeon: not installed.") == 1


def test_unfairness_shows(metrics, page):
    rows = table(metrics, "By sex")
    groups = metrics["details"]["impairment"]["groups"]["sex"]
    low, high = groups["female"]["intervals"]["accuracy"]
    assert (
        rows["impairment, accuracy"]["female (12)"]
        == f"{groups['female']['scores']['accuracy']:.2f} [{low:.2f}, {high:.2f}] ▼"
    )
    assert rows["impairment, accuracy"]["male (12)"] == "1.00 [1.00, 1.00] ▲"
    assert rows["walking speed, MAE (m/s)"]["female (12)"].endswith("] ▼")
    assert rows["walking speed, MAE (m/s)"]["male (12)"].endswith("] ▲")
    assert rows["walking speed, bias (m/s)"]["female (12)"].endswith("] ≠")
    ages = table(metrics, "By age")
    assert ages["impairment, accuracy"]["under 18 (2)"] == "0.75 (too few: 2)"
    assert ages["impairment, accuracy"]["age not recorded (1)"] == "1.00 (too few: 1)"
    assert ages["impairment, accuracy"]["18 to 39 (8)"][-1] == "]"  # as good as about the others
    for cell in (
        "▼: worse than about all other people",
        "0.75 (too few: 2)",
        "of 24 differences that have one, 8 are marked",
    ):
        assert cell in page.words


def test_of_many_groups_the_largest_are_shown(metrics, monkeypatch):
    monkeypatch.setattr(table_module, "MOST_GROUPS", 2)
    found = next(t for t in group_tables(metrics) if t.caption.startswith("By age"))
    assert found.heads == ("task", "18 to 39 (8)", "40 to 64 (8)")
    assert found.caption.endswith("without 3 smaller groups")
    assert "65 to 79" not in rendered(metrics).words


def test_where_nothing_is_known_of_people_it_says_so(metrics):
    metrics = copy.deepcopy(metrics)
    for about in metrics["details"].values():
        about["groups"] = {}
    assert "nothing can be said about groups" in rendered(metrics).words


def test_simulated_people_are_called_so(metrics, page):
    assert any("SIMULATED people" in p for p in page.all("p", **{"class": "notice"}))
    assert any("not a medical device" in p for p in page.all("p", **{"class": "notice"}))
    assert "SIMULATED" in page.all("title")[0] and "24 SIMULATED participants" in page.words
    real = rendered(metrics | {"simulated": False})
    notices = " ".join(real.all("p", **{"class": "notice"}))
    assert "trained on SIMULATED people" in notices and "nobody was recorded" not in notices
    assert "not a medical device" in notices and "SIMULATED participants" not in real.words
    run = invented.model().run | {"simulated": False}
    real = rendered(metrics | {"simulated": False}, dataclasses.replace(invented.model(), run=run))
    assert "SIMULATED" not in real.words


def test_where_it_comes_from_is_told(page):
    told = dict(zip(page.all("dt"), page.all("dd"), strict=True))
    assert told["Command"] == invented.COMMAND
    assert told["Code"] == "commit evaluated0" and told["Model trained at"] == "commit trained0"
    assert told["Data, sha256"] == "0123456789abcdef" and told["Training data, sha256"].startswith("1234 ")
    found = versions()
    assert {"python", "biomechjax", "jax", "numpy", "matplotlib"} <= set(found)
    assert all(f"{name} {version}" in told["Versions"] for name, version in found.items())
    assert json.loads(page.all("pre")[0]) == invented.model().run


def test_plots_of_every_task_have_words_for_those_who_do_not_see_them(page):
    labels = [a["aria-label"] for tag, a in page.elements if tag == "svg"]
    assert len(labels) == 2 * 4 + 3
    starts = ("Confusion", "Reliability", "Risk over coverage", "accuracy by group")
    assert [sum(label.startswith(s) for label in labels) for s in starts] == [2, 2, 2, 2]
    assert any(re.match("Scatter plot of 47 answers", label) for label in labels)
    limits = invented.evaluated()[0]["details"]["walking speed"]["bland_altman"][DECODER]
    assert any(
        f"bias {limits['bias']:.2f} m/s, limits of agreement {limits['low']:.2f} to" in label for label in labels
    )
    assert "Unreadable and not drawn: 1;" in page.words
    plain = rendered(*invented.evaluated(False)[:1], answered=invented.evaluated(False)[1])
    assert len(plain.all("svg")) == 2 * 2 + 3 and "Reliability" not in plain.words


def test_a_large_split_makes_no_large_page(monkeypatch, metrics):
    monkeypatch.setattr(task_module, "MOST_POINTS", 20)
    found = rendered(metrics)
    labels = [a["aria-label"] for tag, a in found.elements if tag == "svg"]
    assert any(label.startswith("Scatter plot of 16 answers") for label in labels)  # every third of 47
    assert "Of 47 answers 16 are drawn." in found.words


def test_the_worst_errors_are_shown_in_order_with_all_that_was_said(page):
    answered = invented.evaluated()[1]
    first = worst_answers(answered)["impairment"][0]
    card = page.all("article")[0]
    assert f"1. {first.participant}" in card and first.trial in card
    assert f"Question{first.question}" in card and f"Answer{first.answer}" in card and f"Truth{first.truth}" in card
    assert "of the truth" in card
    wanted = {(a.participant, a.trial) for mine in worst_answers(answered).values() for a in mine}
    assert len(page.all("article")) == len(page.all("figure", **{"class": "motion-player"})) == len(wanted)
    speed = next(c for c in page.all("article") if "walking speed" in c)
    assert "m/s too high" in speed
    assert "labels by how unlikely the truth was held to be" in page.words
    assert "labels by how many labels of the same trial are wrong" in rendered(invented.evaluated(False)[0]).words


def test_an_answer_without_an_error_is_no_card(metrics):
    right = [a for a in invented.evaluated()[1] if a.parsed == a.truth and a.task != "walking speed"]
    assert worst_answers(right) == {"impairment": [], "diagnosis": []}


def movements(page: Page) -> list[dict]:
    return [json.loads(t) for t in page.all("script", type="application/json")]


def test_a_movement_is_what_the_model_saw(page):
    """Decoded from the first codes of each step, as a tokenizer would that has no later ones."""
    answered, tokenizer = invented.evaluated()[1], invented.tokenizer()
    first = worst_answers(answered)["impairment"][0]
    record = next(r for r in invented.records() if r.trial == first.trial)
    config = dataclasses.replace(tokenizer.config, levels=invented.READ - 1)
    shallow = dataclasses.replace(tokenizer, config=config, table=tokenizer.table[: invented.READ - 1])
    codes = record.views[0].reshape(-1, invented.LEVELS + 1)[:, : invented.READ]
    figure = stick_figure(shallow.decode(codes.ravel()))
    shown = movements(page)[0]
    found = np.cumsum(shown["mm"], axis=0).reshape(len(shown["mm"]), -1, 3) / 1000
    assert shown["rate_hz"] == 15
    np.testing.assert_allclose(found, figure.places[::2], atol=0.00051)
    whole = stick_figure(tokenizer.decode(record.views[0])).places[::2]
    assert np.abs(found - whole).max() > 0.01
    assert "decoded from the first 3 of the 4 codes of each step" in page.words
    every = dataclasses.replace(
        invented.model(), vocabulary=type(invented.model().vocabulary)(tiny.vocabulary().tokenizer, 64, 4)
    )
    assert "decoded from all 4 codes" in what_the_model_saw(every)


def test_what_the_model_did_not_read_is_not_shown():
    short = dataclasses.replace(invented.model(), experiment={"mixture": {"longest": 12}})
    codes = invented.records()[0].views[0]
    assert len(seen_figure(short, codes).places) == 12 * 4
    assert "of the first 1.6 s" in what_the_model_saw(short)


def test_movements_are_cut_and_thinned(monkeypatch, page):
    """Of 5.3 s at 30 Hz each, for a second and every third frame."""
    monkeypatch.setattr(card_module, "LONGEST_S", 1.0)
    monkeypatch.setattr(card_module, "FASTEST_HZ", 10.0)
    whole, cut = (found.all("article")[0] for found in (page, rendered(invented.evaluated()[0])))
    assert "Only the first 1 s are shown." in cut and "Only the first" not in whole
    assert '"rate_hz":10.0' in cut and '"rate_hz":15.0' in whole


def test_a_movement_without_a_body_is_told(metrics):
    """Of a format without canonical meanings nothing can be drawn, and the page still stands."""
    words = tiny.vocabulary()
    other = dataclasses.replace(invented.model(), tokenizer=tiny.tokenizer(), vocabulary=words)
    codes = np.arange(20) % 16
    records = [dataclasses.replace(r, views=[codes]) for r in invented.records()]
    with pytest.raises(InputError, match="nothing can be drawn"):
        seen_figure(other, codes)
    found = rendered(metrics, other, records=records)
    assert found.words.count("The movement cannot be shown: ") == len(found.all("article")) > 0
    assert not movements(found)


def test_a_template_with_a_gap_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        page_module._template().render()


def test_it_is_written_as_a_file_and_its_parts_are_in_a_wheel(metrics, tmp_path):
    parts = invented.evaluated()[1], invented.records(), invented.model()
    write_report(metrics, *parts, invented.COMMAND, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == invented.page()
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["biomechjax"]
    files = [p for p in (root / "biomechjax").rglob("*") if p.suffix in (".html", ".css", ".js")]
    assert len(files) >= 4
    for file in files:
        assert any(fnmatch(file.relative_to(root / "biomechjax").as_posix(), pattern) for pattern in patterns), file


def test_answers_about_one_trial_share_its_movement():
    first = next(a for a in invented.evaluated()[1] if a.task == "walking speed")
    wrong = [
        dataclasses.replace(first, parsed=9.0),
        Answered("cadence", first.participant, first.trial, "?", "9", 9.0, 99.0),
    ]
    (card,) = cards(worst_answers(wrong), invented.records(), invented.model())
    assert [a.task for a in card.answers] == ["walking speed", "cadence"]
