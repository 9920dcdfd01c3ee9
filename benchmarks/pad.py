"""Draws drawings.json on the real pad, in JupyterLab in Chromium: `python benchmarks/pad.py`.

Moves the pointer along every stroke of the notebook draw_digit's pad. Writes pad.json beside this
file: what each drawing was read as, and the milliseconds from the end of its last stroke until its
probabilities stand on the page. Takes some five minutes.
"""

import json
import re
import tempfile
import time
from pathlib import Path

import browser
import numpy as np
from playwright.sync_api import Page
from tqdm import tqdm

from mnist_helpers.config import NOTEBOOKS_DIR

HERE = Path(__file__)
NOTEBOOK = "draw_digit.ipynb"
ANSWER = re.compile(r"read as (\d) with")
# resolves with the time of the next change of the caption, or with nothing after two seconds
WAIT = """() => { window.changed = new Promise((done) => {
    setTimeout(done, 2000, null);
    const caption = document.querySelector('.mnist-explorer .caption');
    new MutationObserver((_, observer) => {
        observer.disconnect();
        done(performance.now());
    }).observe(caption, { childList: true, characterData: true, subtree: true });
}); }"""


def draw(page: Page, drawing: dict[str, object]) -> None:
    """Clears the pad and moves the pointer along every stroke."""
    page.get_by_role("button", name="Clear").first.click()
    page.locator(f"{browser.EXPLORER} .caption").filter(has_text="Draw a digit").first.wait_for()
    page.get_by_label("Width of the line").first.fill(str(round(drawing["pen"])))
    box = page.locator(".sheet-of-pad").first.bounding_box()
    for stroke in drawing["strokes"]:
        for number, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + 1 + x, box["y"] + 1 + y)
            if number == 0:
                page.mouse.down()
        page.mouse.up()


def answer(page: Page) -> int:
    """What the drawing is read as, when the page has said the same for half a second."""
    caption, texts = page.locator(f"{browser.EXPLORER} .caption").first, []
    for _ in range(100):
        page.wait_for_timeout(100)
        texts.append(caption.inner_text())
        if len(set(texts[-6:])) == 1 and len(texts) > 5 and ANSWER.search(texts[-1]):
            return int(ANSWER.search(texts[-1])[1])
    raise TimeoutError(texts[-1])


def latency(page: Page) -> float | None:
    """Milliseconds from one more dot to the probabilities that follow, if they are others."""
    page.evaluate(WAIT)
    box = page.locator(".sheet-of-pad").first.bounding_box()
    x, y = np.random.default_rng(time.time_ns()).uniform(60, 220, 2)
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    started = page.evaluate("() => performance.now()")
    page.mouse.up()
    changed = page.evaluate("() => window.changed")
    return changed and changed - started


def main() -> None:
    """Draws them all and writes what was read."""
    drawings = json.loads(HERE.with_name("drawings.json").read_text("utf-8"))
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.jupyter_lab(Path(folder), NOTEBOOKS_DIR / NOTEBOOK) as address,
        browser.notebook_page(address, NOTEBOOK) as page,
    ):
        read, times = [], []
        for drawing in tqdm(drawings):
            draw(page, drawing)
            read.append(answer(page))
            if len(read) % 6 == 0:
                times.append(latency(page))
    times = [each for each in times if each]
    right = np.mean(
        [each == drawing["digit"] for each, drawing in zip(read, drawings, strict=True)]
    )
    found = {
        "accuracy": round(float(right), 4),
        "milliseconds_median": round(float(np.median(times)), 1),
        "milliseconds_95": round(float(np.percentile(times, 95)), 1),
        "read": read,
    }
    HERE.with_suffix(".json").write_text(json.dumps(found) + "\n", "utf-8")
    print({name: value for name, value in found.items() if name != "read"})


if __name__ == "__main__":
    main()
