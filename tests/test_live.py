"""The curves that grow while a network trains, driven without a browser."""

import time

from mnist_helpers.live import LiveCurves
from mnist_helpers.metrics import EpochRecord
from mnist_helpers.plots import figure_png, plot_history


def test_the_curves_are_those_of_all_epochs_so_far():
    live, history = LiveCurves(4), []
    assert live.picture.layout.display == "none"
    for epoch in (1, 2):
        history.append(EpochRecord(epoch, 1 / epoch, 0.5, 0.9, 0.6, 0.1, 1.0))
        live.on_epoch(history[-1])
        assert live.picture.value == figure_png(plot_history(history))
    assert live.picture.layout.display is None
    assert live.children == (live.status, live.picture)


def test_the_status_tells_the_time_left(monkeypatch):
    """The clock is set by hand: the first step at 100 s, then ten seconds a step."""
    clock = 90.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    live = LiveCurves(5)
    assert live.status.value == "Training has not begun."
    expected = [  # steps done: seconds since the first one, over steps done, times steps left
        "Step 1 of 5, 0 s left",
        "Step 2 of 5, 15 s left",
        "Step 3 of 5, 13 s left",
        "Step 4 of 5, 8 s left",
        "Step 5 of 5, 0 s left",
    ]
    for step, text in enumerate(expected):
        clock = 100.0 + 10 * step
        live.on_step()
        assert live.status.value == text


def test_the_status_changes_twice_a_second_at_most(monkeypatch):
    clock = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    live, seen = LiveCurves(1_000), set()
    for step in range(1, 100):  # 0.99 s
        clock = 0.01 * step
        live.on_step()
        seen.add(live.status.value)
    assert len(seen) == 2  # nothing yet, and one text
    for _ in range(901):
        live.on_step()
    assert live.status.value == "Step 1,000 of 1,000, 0 s left"  # the last step is always told


def test_it_is_shown_as_a_widget_with_a_fixed_text():
    bundle = LiveCurves(9)._repr_mimebundle_()
    assert bundle["text/plain"] == "The curves grow here while the network trains."
    assert "application/vnd.jupyter.widget-view+json" in bundle
