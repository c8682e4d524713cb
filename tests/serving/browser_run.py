"""Uses the page of a server as a person would, in a real browser; prints what it saw as JSON.

python browser_run.py URL FILE QUESTION BROWSER [SCREENSHOTS]

Needs playwright, which need not be where biomechjax is installed.
"""

import base64
import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.getElementById("drop").dispatchEvent(
      new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
  }
}"""
WATCH = (
    "window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective));"
)


def picture(page: Page) -> str:
    return page.evaluate("document.querySelector('#player canvas').toDataURL()")


def clock(page: Page) -> float:
    return float((page.text_content(".motion-player-time") or "").split(" ")[0])


def use(page: Page, url: str, file: Path, question: str) -> dict:
    page.goto(url)
    page.evaluate(DROP, [base64.b64encode(file.read_bytes()).decode(), file.name])
    page.wait_for_selector("#player canvas", timeout=120_000)
    seen = {"facts": page.inner_text("#facts"), "notes": page.inner_text("#notes"), "header": page.inner_text("header")}
    pictures = {picture(page)}
    before = clock(page)
    page.wait_for_function(
        "(t) => parseFloat(document.querySelector('.motion-player-time').textContent) !== t", arg=before
    )
    pictures.add(picture(page))
    seen["moved"] = len(pictures) == 2

    canvas = page.locator("#player canvas")
    canvas.focus()
    page.keyboard.press("Space")
    still = clock(page), picture(page)
    page.wait_for_timeout(300)
    seen["paused"] = still == (clock(page), picture(page)) and page.inner_text("#player button") == "Play"
    page.keyboard.press("ArrowLeft")
    seen["turned_by_key"] = clock(page) == still[0] and picture(page) != still[1]
    turned = picture(page)
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 50)
    page.mouse.up()
    seen["turned_by_dragging"] = picture(page) != turned
    page.keyboard.press("End")
    seen["end"] = clock(page)
    page.keyboard.press(",")
    seen["frame"] = round(seen["end"] - clock(page), 2)

    page.fill("#question", question)
    page.check("#explain")
    page.keyboard.press("Tab")
    page.press("#question", "Enter")
    page.wait_for_selector("#replies li", timeout=120_000)
    seen["question"], seen["answer"] = page.inner_text(".question"), page.inner_text(".answer")
    seen["options"] = page.locator(".options dt").all_inner_texts()
    seen["windows"] = page.locator(".windows button").count()
    page.locator(".windows button").nth(1).click()
    seen["second_window_from"] = clock(page)
    seen["wider_than_screen"] = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    seen["violations"] = page.evaluate("window.violations")
    return seen


def main(url: str, file: str, question: str, browser: str, screenshots: str = "") -> None:
    found = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width in (1280, 390):
            page = chromium.new_page(viewport={"width": width, "height": 900})
            page.add_init_script(WATCH)
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            found.append(use(page, url, Path(file), question) | {"console": said})
            if screenshots:
                page.screenshot(path=f"{screenshots}/page_{width}.png", full_page=True)
        chromium.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
