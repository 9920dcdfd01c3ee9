"""Measures the explorer: `python benchmarks/widgets.py`, about five minutes on two cores.

In this process: a move's time from the page's message to the new state, the bytes of that state,
memory over a thousand moves, and asking all test images again with another set of channels ablated;
beside them the usual way, `interact` with a subplot a map. In JupyterLab in Chromium: from a change
of a slider to the new picture, and the gaps while a slider is dragged for five seconds.

Prints a table and writes widgets.json beside this file. Nothing else should run meanwhile.
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
from mnist_helpers.explorer import Explorer, Selection, Subject
from mnist_helpers.explorer.views import VIEWS

HERE = Path(__file__).parent
MOVED = {  # in each view: the control, and how many steps it has
    "pipeline": ("position", 10_000),
    "kernels": ("channel", 32),
    "feature_maps": ("position", 10_000),
    "arithmetic": ("column", 14),
    "top_images": ("channel", 32),
    "attribution": ("position", 10_000),
    "ablation": ("position", 10_000),
    "answer": ("position", 10_000),
}
LABELS = {"position": "Image", "channel": "Channel", "column": "Column"}
KEY_TO_PICTURE = """async ([number, label, count]) => {
    const root = document.querySelector('.mnist-explorer');
    const handle = [...root.querySelectorAll('.noUi-handle')].find(e => e.ariaLabel === label);
    const slider = handle.closest('.slider').noUiSlider;
    const { max } = slider.options.range;
    const caption = root.querySelector('.caption');
    const times = [];
    for (let i = 0; i < count; i++) {
        const shown = new Promise(done => {
            const seen = new MutationObserver(() => { seen.disconnect(); done(); });
            seen.observe(caption, { childList: true, characterData: true, subtree: true });
        });
        const began = performance.now();
        const key = slider.get() < max ? 'ArrowRight' : 'Home';
        handle.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        await shown;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - began);
        await new Promise(done => setTimeout(done, 80));
    }
    return times;
}"""
DRAG = """async ([label, seconds]) => {
    const root = document.querySelector('.mnist-explorer');
    const handle = [...root.querySelectorAll('.noUi-handle')].find(e => e.ariaLabel === label);
    const slider = handle.closest('.slider').noUiSlider;
    const { max } = slider.options.range;
    const pictures = [], frames = [];
    const seen = new MutationObserver(() => pictures.push(performance.now()));
    const changes = { childList: true, characterData: true, subtree: true };
    seen.observe(root.querySelector(".caption"), changes);
    const end = performance.now() + 1000 * seconds;
    while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        frames.push(performance.now());
        slider.set(slider.get() < max ? slider.get() + 1 : 0);
    }
    seen.disconnect();
    const gap = times => Math.max(...times.slice(1).map((time, i) => time - times[i]));
    return [gap(pictures), pictures.length / seconds, gap(frames), frames.length / seconds];
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


def size(item: object) -> int:
    """Bytes that a part of a state takes on its way to the page."""
    if isinstance(item, bytes):
        return len(item)
    if isinstance(item, dict):
        return sum(len(name) + 4 + size(value) for name, value in item.items())
    if isinstance(item, list | tuple):
        return sum(1 + size(value) for value in item)
    return len(json.dumps(item))


def measure_view(subject: Subject, name: str, moves: int) -> dict[str, float]:
    """Median milliseconds and bytes of a move, and growth in MB over `moves` after a hundred."""
    control, steps = MOVED[name]
    explorer = Explorer(subject, Selection(view=name, layer="conv2"))

    def move(step: int) -> None:
        explorer.controls[control].value = step

    values = itertools.cycle(range(steps))
    milliseconds(move, itertools.islice(values, 1, 110))
    before = explorer.scene.caption
    median = milliseconds(move, itertools.islice(values, 201))
    assert explorer.scene.caption != before  # it was drawn
    before = resident()
    milliseconds(move, itertools.islice(values, moves))
    return {
        "milliseconds": median,
        "bytes": size(explorer.page.state),
        "growth_mb": resident() - before,
    }


def usual_interact(subject: Subject) -> float:
    """The same maps as `interact` draws them: one subplot a map, a new figure at every move."""

    def draw(image: int) -> None:
        maps = subject.network.outputs(subject.images[image : image + 1])["relu2"][0]
        fig, panels = pyplot.subplots(4, 8, figsize=(8, 4))
        for ax, part in zip(panels.ravel(), maps, strict=True):
            ax.imshow(part)
            ax.axis("off")
        fig.savefig(io.BytesIO(), format="png")
        pyplot.close(fig)

    return milliseconds(draw, range(30))


def ablation_seconds(subject: Subject) -> dict[str, float]:
    """Seconds to ask all images with another channel ablated, medians after the first."""
    found = {}
    for layer in subject.network.convolutions:
        subject.without(((layer, 0),), "trained")
        sets = [((layer, channel),) for channel in range(1, 16)]
        found[layer] = milliseconds(lambda channels: subject.without(channels, "trained"), sets)
    return {layer: median / 1000 for layer, median in found.items()}


def in_the_browser() -> dict[str, dict[str, float]]:
    """For each view: slider to picture in ms, and gaps in ms while a slider is dragged."""
    name = "conv_visualization.ipynb"
    found = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.jupyter_lab(Path(folder), NOTEBOOKS_DIR / name) as address,
        browser.notebook_page(address, name) as page,
    ):
        root = page.locator(browser.EXPLORER).first
        for view, (control, _) in MOVED.items():
            root.locator("[role=tab]", has_text=VIEWS[view].title).click()
            page.wait_for_timeout(6000 if view == "top_images" else 1500)
            times = page.evaluate(KEY_TO_PICTURE, [0, LABELS[control], 60])[10:]
            gap, rate, frame_gap, frame_rate = page.evaluate(DRAG, [LABELS[control], 5])
            found[view] = {
                "median": statistics.median(times),
                "p95": statistics.quantiles(times, n=20)[-1],
                "drag_longest_gap": gap,
                "drag_pictures_a_second": rate,
                "page_longest_gap": frame_gap,
                "page_frames_a_second": frame_rate,
            }
    return found


def main() -> None:
    """Measures everything."""
    model, _ = load_checkpoint()
    data = load_idx_part(DATA_DIR, "test").tensors
    subject = Subject(model, *data, others={"random": make_model().state_dict()})
    results = {
        "machine": {
            "processor": processor(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "views": {name: measure_view(subject, name, 1000) for name in MOVED},
        "usual_interact_milliseconds": usual_interact(subject),
        "ablation_seconds": ablation_seconds(subject),
        "browser_milliseconds": in_the_browser() if browser.CHROMIUM else {},
    }
    for name, figures in results["views"].items():
        line = {**figures, **results["browser_milliseconds"].get(name, {})}
        print(f"{name:13}", *(f"{key} {value:,.1f}" for key, value in line.items()), sep="  ")
    print(f"interact, 32 subplots: {results['usual_interact_milliseconds']:.1f} ms")
    print("seconds to ask 10,000 images with a channel ablated:", results["ablation_seconds"])
    (HERE / "widgets.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
