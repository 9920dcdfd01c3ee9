"""Measures the explorer, beside the usual way of making one: `python benchmarks/widgets.py`.

The time from a change of the selection to the bytes of the new picture, from the slider to pixels in a real browser,
memory over a thousand moves, and what it takes to ask all test images again with channels switched off. Prints a
table and writes widgets.json beside this file. Nothing else should run meanwhile.
"""

import gc
import io
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import browser
import torch
from matplotlib import pyplot
from training import processor

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.config import DATA_DIR, NOTEBOOKS_DIR
from mnist_helpers.data import load_idx_part
from mnist_helpers.explore import make_view
from mnist_helpers.inspector import VIEWS, Inspector

HERE = Path(__file__).parent
# what is moved in each view, and at which stage
MOVES = {
    "feature_maps": ("image", "relu2"),
    "kernels": ("channel", "conv2"),
    "pipeline": ("image", "conv2"),
    "arithmetic": ("column", "conv2"),
    "excitation": ("channel", "conv2"),
    "ablation": ("image", "conv2"),
}
SLIDER_TO_PIXELS = """async ([root, count]) => {
    const slider = [...document.querySelectorAll(root + ' .widget-slider')]
        .find(each => each.offsetParent && each.querySelector('.widget-label').textContent === 'Position');
    const handle = slider.querySelector('.noUi-handle');
    const image = [...document.querySelectorAll(root + ' .mnist-helpers-picture img')].find(each => each.offsetParent);
    const times = [];
    for (let i = 0; i < count; i++) {
        const began = performance.now();
        const shown = new Promise(done =>
            image.addEventListener('load', () => requestAnimationFrame(done), {once: true}));
        handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
        await shown;
        times.push(performance.now() - began);
        await new Promise(done => setTimeout(done, 100));
    }
    return times;
}"""


def milliseconds(work: Callable[[object], object], values: Iterable[object]) -> float:
    """The median over `values`, after ten that are not counted."""
    times = []
    for value in values:
        began = time.perf_counter()
        work(value)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[10:])


def resident() -> float:
    """Memory of this process, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def measure_view(inspector: Inspector, name: str, moves: int) -> dict[str, float]:
    """Median milliseconds of a move, and growth in MB over `moves` of them after a hundred."""
    moved, stage = MOVES[name]
    explorer = make_view(inspector, name)
    if "stage" in explorer.controls:
        explorer.controls["stage"].value = stage
    control = explorer.controls[moved]
    sizes = {"image": len(inspector.images), "channel": 32, "column": 14}
    values = itertools.cycle(range(sizes[moved]))

    def move(value: int) -> None:
        control.value = value

    milliseconds(move, itertools.islice(values, 1, 110))
    before = explorer.caption.value
    median = milliseconds(move, itertools.islice(values, 200))
    assert explorer.caption.value != before  # it was drawn
    before = resident()
    milliseconds(move, itertools.islice(values, moves))
    return {"milliseconds": median, "growth_mb": resident() - before}


def usual_interact(inspector: Inspector) -> float:
    """The same maps as `interact` draws them: one subplot a map, the figure made anew and encoded at every move."""

    def draw(image: int) -> None:
        maps = inspector.network.maps(inspector.images[image : image + 1])["relu2"][0]
        fig, panels = pyplot.subplots(4, 8, figsize=(8, 4))
        for ax, part in zip(panels.ravel(), maps, strict=True):
            ax.imshow(part)
            ax.axis("off")
        fig.savefig(io.BytesIO(), format="png")
        pyplot.close(fig)

    return milliseconds(draw, range(30))


def ablation_seconds(inspector: Inspector) -> dict[str, float]:
    """Seconds to ask all images with one more channel off, medians after the first."""
    found = {}
    for layer in inspector.network.convolutions:
        inspector.silencer.predictions(frozenset({(layer, 0)}))
        sets = [frozenset({(layer, channel)}) for channel in range(1, 16)]
        found[layer] = milliseconds(inspector.silencer.predictions, sets) / 1000
    return found


def in_the_browser() -> float:
    """Median milliseconds from an arrow key on the slider to the new picture on the page."""
    name = "conv_visualization.ipynb"
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.jupyter_lab(Path(folder), NOTEBOOKS_DIR / name) as address,
        browser.notebook_page(address, name) as page,
    ):
        page.locator(browser.EXPLORER).locator(
            ".lm-TabBar-tabLabel", has_text="Feature maps"
        ).click()
        page.wait_for_timeout(1000)
        return statistics.median(page.evaluate(SLIDER_TO_PIXELS, [browser.EXPLORER, 60])[10:])


def main() -> None:
    """Measures everything; about three minutes on two cores."""
    model, _ = load_checkpoint()
    inspector = Inspector(model, *load_idx_part(DATA_DIR, "test").tensors, make_model())
    views = {name: measure_view(inspector, name, 1000) for name in VIEWS if name in MOVES}
    results = {
        "machine": {
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "views": views,
        "usual_interact_milliseconds": usual_interact(inspector),
        "ablation_seconds": ablation_seconds(inspector),
        "slider_to_pixels_milliseconds": in_the_browser() if browser.CHROMIUM else None,
    }
    print("view             ms a move (median)   MB grown over 1,000 moves")
    for name, figures in views.items():
        print(f"{name:16} {figures['milliseconds']:18.1f}   {figures['growth_mb']:25.1f}")
    print(f"interact, 32 subplots {results['usual_interact_milliseconds']:13.1f}")
    print("seconds to ask 10,000 images with a channel off:", results["ablation_seconds"])
    print("slider to pixels in Chromium, ms (median):", results["slider_to_pixels_milliseconds"])
    (HERE / "widgets.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
