"""Measures the lab, a page without a kernel: `python benchmarks/lab.py`, about two minutes.

In Chromium: the logits that the page computes for all test images against PyTorch's, with 32-bit
weights and with those rounded to 16 bits; the time of one forward pass; and of a move to another
image, from the call to the drawn page. Prints a table.
"""

import base64
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from browser import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright

from mnist_helpers import load_checkpoint
from mnist_helpers.commands.notebooks import notebook_paths
from mnist_helpers.config import DATA_DIR
from mnist_helpers.data import load_idx_part
from mnist_helpers.explorer import Subject
from mnist_helpers.site.build import write_site

STEPS = 90
PREDICT = """text => {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const numbers = new Float32Array(bytes.buffer);
    const images = Array.from({ length: numbers.length / 784 }, (_, i) =>
        numbers.subarray(784 * i, 784 * (i + 1)));
    return images.map((image) => [...forward(image, networks.get(null)).fc2]);
}"""
HALVES = """() => {
    const halve = ([name, numbers]) => [name, Float32Array.from(new Float16Array(numbers))];
    networks.set(null, Object.fromEntries(Object.entries(networks.get(null)).map(halve)));
}"""
TIMES = """([steps, code]) => Array.from({ length: steps }, (_, i) => {
    const began = performance.now();
    new Function("i", code)(i);
    document.body.offsetHeight; // lays out
    return performance.now() - began;
})"""
MOVE = "go({ ...START, layer: 'conv2', image: i + 1 })"


def main() -> None:
    """Measures and prints."""
    model, _ = load_checkpoint()
    images, labels = load_idx_part(DATA_DIR, "test").tensors
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch in images.split(1000)]).numpy()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_site(Subject(model, images[:100], labels[:100]), notebook_paths(()), Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{Path(folder).as_uri()}/lab.html")
        page.locator(".caption").wait_for()
        size = Path(folder, "lab.html").stat().st_size
        print(f"lab.html: {size:,} bytes")
        forward = page.evaluate(TIMES, [STEPS, "forward(IMAGES[i], networks.get(null))"])
        print(f"one forward pass: {statistics.median(forward):.1f} ms")
        times = sorted(page.evaluate(TIMES, [STEPS, MOVE]))
        slow = times[int(0.95 * STEPS)]
        print(f"a move: {statistics.median(times):.1f} ms, 95 % within {slow:.1f}")
        for bits in (32, 16):
            found = []
            for batch in images.split(1000):
                text = base64.b64encode(batch.numpy().tobytes()).decode()
                found += page.evaluate(PREDICT, text)
            same = int((np.argmax(found, axis=1) == logits.argmax(1)).sum())
            largest = np.abs(np.array(found) - logits).max()
            print(
                f"{bits}-bit weights: {same:,} of 10,000 classes the same, logits to {largest:.2g}"
            )
            page.evaluate(HALVES)
        browser.close()


if __name__ == "__main__":
    main()
