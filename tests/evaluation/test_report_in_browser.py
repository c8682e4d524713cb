"""The page of an evaluation in a real browser, from disk and without a network: it plays, and nothing complains.

Needs Chromium (`apt-get install chromium`) and `pip install playwright`.
"""

import os
import shutil
from pathlib import Path

import invented
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright for tests in a browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(invented.page(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


def opened(browser, file: Path, width: int = 1280, **settings):
    """The page, and all that the browser had to say about it or asked the network for."""
    tab = browser.new_page(viewport={"width": width, "height": 900}, **settings)
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url) if request.url != file.as_uri() else None)
    # Violations of the policy are told by an event, also those that are not logged.
    tab.add_init_script("document.addEventListener('securitypolicyviolation', e => console.log(e.violatedDirective))")
    tab.goto(file.as_uri())
    return tab, heard


@pytest.fixture
def tab(browser, file):
    page, heard = opened(browser, file)
    yield page
    page.close()
    assert heard == []


def pixels(canvas) -> bytes:
    """What is to be seen on a canvas."""
    return canvas.evaluate("c => c.toDataURL()").encode()


def test_it_opens_from_disk_and_nothing_complains(tab):
    assert tab.title().startswith("How a decoder answers")  # and no script of the data renamed it
    assert tab.locator("article").count() == tab.locator("article canvas").count() > 3
    assert tab.locator("main img").count() == 0
    assert tab.locator("svg[role=img]").count() == 11
    # The styles have been let through: the notices are coloured, the plots as wide as their column.
    assert tab.locator(".notice").first.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(254, 243, 199)"
    box = tab.locator("svg[role=img]").first.bounding_box()
    assert 360 < box["width"] < 390 and box["height"] > 150


def test_a_foreign_script_or_style_is_refused(browser, file):
    page, heard = opened(browser, file)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<b style=\"color: red\" onclick=\"1\">x</b>')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    page.evaluate("fetch('https://example.org').catch(() => 0)")
    page.wait_for_timeout(200)
    assert page.title().startswith("How a decoder answers")
    assert {"style-src-attr", "script-src-elem", "connect-src"} <= set(heard)
    page.close()


def test_the_movement_plays_pauses_and_is_scrubbed(tab):
    card = tab.locator("article").nth(1)
    canvas, button, scrub = card.locator("canvas"), card.locator("button"), card.locator("input[type=range]")
    canvas.scroll_into_view_if_needed()
    first = pixels(canvas)
    assert first == pixels(canvas)  # still until it is played
    button.click()
    tab.wait_for_function("c => Number(c.value) > 0.2", arg=scrub.element_handle())
    button.click()
    paused, at = pixels(canvas), scrub.input_value()
    assert paused != first and button.inner_text() == "Play"
    tab.wait_for_timeout(200)
    assert (pixels(canvas), scrub.input_value()) == (paused, at)
    end = float(scrub.get_attribute("max"))
    assert end == pytest.approx((invented.STEPS * 4 // 2 - 1) / 15)
    seen = []
    for share in (0.0, 0.5, 0.9, 0.0):
        scrub.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(share * end))
        seen.append(pixels(canvas))
    assert len(set(seen)) == 3 and seen[0] == seen[3] == first
    assert tab.locator("article").nth(0).locator("input[type=range]").input_value() == "0"  # the others stand still


def test_the_player_is_used_with_the_keyboard(tab):
    card = tab.locator("article").first
    card.locator("canvas").focus()
    scrub = card.locator("input[type=range]")
    before = pixels(card.locator("canvas"))
    tab.keyboard.press(".")
    assert float(scrub.input_value()) == pytest.approx(1 / 15, abs=1e-6)
    assert pixels(card.locator("canvas")) != before
    tab.keyboard.press("End")
    assert float(scrub.input_value()) == pytest.approx(float(scrub.get_attribute("max")))
    tab.keyboard.press(" ")
    assert card.locator("button").inner_text() == "Pause"
    tab.keyboard.press(" ")
    assert card.locator("button").inner_text() == "Play"
    assert "space plays or pauses" in card.locator("canvas").get_attribute("aria-label")


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_it_fits_the_screen(browser, file, width):
    page, heard = opened(browser, file, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is wider, as a table of many models, scrolls by itself and can be reached by the keyboard.
    for region in page.locator(".scroll").all():
        box = region.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert region.get_attribute("tabindex") == "0"
    first = page.locator("tbody tr").first.locator("th, td").nth(1)
    assert first.bounding_box()["x"] < 0.7 * width  # the decoder's own score is in sight
    assert heard == []
    page.close()


def test_it_is_dark_on_light_whatever_the_system_prefers(browser, file):
    page, heard = opened(browser, file, color_scheme="dark")
    text, ground = (
        page.evaluate(f"getComputedStyle(document.body).{of}.match(/\\d+/g).map(Number)")
        for of in ("color", "backgroundColor")
    )
    assert np.mean(text) < 80 and np.mean(ground) > 240
    leg = page.locator(".motion-player").first.evaluate("e => getComputedStyle(e).getPropertyValue('--motion-right')")
    assert leg.strip() == "#b3261e" and heard == []
    page.close()


def test_on_paper_everything_is_there_and_the_controls_are_not(browser, file):
    page, heard = opened(browser, file, 794)
    page.emulate_media(media="print")
    assert not page.locator(".motion-player-controls").first.is_visible() and not page.locator("nav").is_visible()
    assert page.locator("article canvas").first.is_visible()
    for region in page.locator(".scroll").all():
        assert region.evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.pdf(format="A4")[:4] == b"%PDF" and heard == []
    page.close()
