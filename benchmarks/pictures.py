"""Takes README's pictures of explorer and lab: `python benchmarks/pictures.py`, two minutes.

Writes explorer.png, arithmetic.png and lab.png into docs/, in Chromium: the explorer as it stands
in conv_visualization in JupyterLab, the lab as `mnist-helpers site` writes it.
"""

import io
import tempfile
from pathlib import Path

import browser
from PIL import Image
from playwright.sync_api import Locator

from mnist_helpers import load_checkpoint
from mnist_helpers.commands.notebooks import notebook_paths
from mnist_helpers.config import DATA_DIR, NOTEBOOKS_DIR, PROJECT_DIR
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject
from mnist_helpers.site.build import write_site

DOCS = PROJECT_DIR / "docs"
NOTEBOOK = "conv_visualization.ipynb"
WIDTH = 1150  # pixels of a page, so that texts are legible where GitHub shows 1,000 of them
TWO = ((70, 80), (110, 45), (165, 55), (180, 100), (130, 160), (65, 225), (200, 225))  # a stroke


def save(place: Locator, name: str) -> None:
    """A picture of a part of the page, in 128 colours, which take a third of the room."""
    picture = Image.open(io.BytesIO(place.screenshot()))
    picture.convert("RGB").quantize(128).save(DOCS / name, optimize=True)


def take_explorer() -> None:
    """The first explorer of a notebook: an image on its way, then a value of conv2."""
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.jupyter_lab(Path(folder), NOTEBOOKS_DIR / NOTEBOOK) as address,
        browser.notebook_page(address, NOTEBOOK) as page,
    ):
        page.set_viewport_size({"width": WIDTH, "height": 1200})
        explorer = page.locator(browser.EXPLORER).first
        explorer.get_by_role("button", name="conv2", exact=True).first.click()
        explorer.locator(".caption", has_text="conv2").wait_for()
        page.mouse.move(0, 0)
        save(explorer, "explorer.png")
        explorer.get_by_role("tab", name="Arithmetic", exact=True).click()
        explorer.locator(".scene[data-view=arithmetic]").wait_for()
        page.mouse.move(0, 0)
        save(explorer, "arithmetic.png")


def take_lab() -> None:
    """The lab with a drawn 2."""
    model, _ = load_checkpoint()
    images, labels = load_idx_part(DATA_DIR, "test").tensors
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        write_site(Subject(model, images[:100], labels[:100]), notebook_paths(()), Path(folder))
        page = chromium.new_page(viewport={"width": WIDTH, "height": 2400}, device_scale_factor=1.5)
        page.goto(f"{Path(folder).as_uri()}/lab.html#layer=conv2")
        pad = page.locator(".sheet-of-pad").bounding_box()
        for step, (x, y) in enumerate(TWO):
            page.mouse.move(pad["x"] + x, pad["y"] + y, steps=6)
            if step == 0:
                page.mouse.down()
        page.mouse.up()
        page.locator(".caption", has_text="Your drawing, read as 2").wait_for()
        page.mouse.move(0, 0)
        page.add_style_tag(content="h1, main > p, details, section { display: none }")
        save(page.locator("main"), "lab.png")


if __name__ == "__main__":
    take_explorer()
    take_lab()
