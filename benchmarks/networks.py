"""Measures the explorer on networks of real size: `python benchmarks/networks.py`, some minutes.

ResNet-18, MobileNetV3-small and ResNet-50 of torchvision with random weights, 20 images of
224 × 224, each in a process of its own: seconds of `Subject(...)`; in each view the longest of
several moves in milliseconds, from the control's message to the new state, and the most bytes of
such a state; seconds of an attribution; memory over the imports after a hundred moves. What a view
measures first, with progress, is no part of a move; it is told beside it.

Prints a table and writes networks.json beside this file. Nothing else should run meanwhile.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from training import processor
from widgets import resident, size

from mnist_helpers.explorer import Explorer, Selection, Subject
from mnist_helpers.explorer.views import VIEWS, views_of

HERE = Path(__file__).parent
NETWORKS = ("resnet18", "mobilenet_v3_small", "resnet50")
MOVES = 9  # in each view: images, layers and channels in turn
LONGEST = 30  # seconds after which a job is stopped


async def measure_view(explorer: Explorer, name: str) -> dict[str, float]:
    """The longest move and the largest state of a view, and the seconds of what comes before."""
    subject = explorer.subject
    convolutions = subject.network.convolutions
    moves = [{"view": name}]
    for step in range(1, MOVES // 3 + 1):
        layer = convolutions[step * (len(convolutions) - 1) // (MOVES // 3)]
        moves += [{"image": step}, {"layer": layer}, {"channel": 10 * step}]
    longest = 0.0
    most_bytes = 0
    jobs = 0.0
    for move in moves:
        began = time.perf_counter()
        explorer.receive({"select": move})
        longest = max(longest, time.perf_counter() - began)
        while explorer.task and not explorer.task.done():
            await asyncio.sleep(0)
            if time.perf_counter() - began > LONGEST:
                explorer.stop()
                break
        jobs = max(jobs, time.perf_counter() - began)
        began = time.perf_counter()
        explorer.show()  # what was measured is drawn
        longest = max(longest, time.perf_counter() - began)
        most_bytes = max(most_bytes, size(explorer.page.state))
    return {"milliseconds": 1000 * longest, "bytes": most_bytes, "job_seconds": jobs}


async def measure(name: str) -> dict[str, object]:
    """All figures of one network, in this process."""
    import torchvision

    torch.manual_seed(0)
    images = torch.randn(20, 3, 224, 224)
    labels = torch.arange(20) * 50
    model = torchvision.models.get_model(name, weights=None).eval()
    model(images[:1])  # PyTorch makes itself ready
    before = resident() - sum(p.numel() * 4 for p in model.parameters()) / 2**20
    began = time.perf_counter()
    subject = Subject(model, images, labels)
    seconds = time.perf_counter() - began
    explorer = Explorer(subject, Selection())
    views = {}
    for view in views_of(subject):
        if view != "drawing":
            views[view] = await measure_view(explorer, view)
    return {
        "layers": len(subject.layers),
        "subject_seconds": seconds,
        "attribution_seconds": views["attribution"]["job_seconds"],
        "memory_mb": resident() - before,
        "views": views,
    }


def main() -> None:
    """Measures each network in a process of its own, or the one that is named in this."""
    if sys.argv[1:]:
        print(json.dumps(asyncio.run(measure(sys.argv[1]))))
        return
    results = {"machine": {"processor": processor(), "threads": torch.get_num_threads()}}
    for name in NETWORKS:
        command = [sys.executable, __file__, name]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[name] = json.loads(output)
        figures = dict(results[name])
        print(name, {key: figures[key] for key in figures if key != "views"})
        for view, figures in results[name]["views"].items():
            print(
                f"  {VIEWS[view].title:13}", {key: round(value) for key, value in figures.items()}
            )
    (HERE / "networks.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
