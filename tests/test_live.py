"""The picture of a run that is under way, driven without a browser."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnist_helpers import Config, InputError, make_model
from mnist_helpers.runs.live import LiveCurves
from mnist_helpers.training import train

CONFIG = Config(epochs=2, batch_size=50, device="cpu")  # 14 steps an epoch


@pytest.fixture
def undrawn(monkeypatch):
    """What is told is looked at, not what is drawn, which takes longest."""
    monkeypatch.setattr("mnist_helpers.runs.live.figure_png", lambda figure: b"a picture")


@pytest.fixture
def live(few):
    return LiveCurves(few, CONFIG)


def test_it_shows_a_real_run(live, few):
    model, seen = make_model(), []
    assert live.picture.layout.display == "none"

    def step(loss):
        live.on_step(loss)
        seen.append((live.picture.layout.display, live.picture.value))

    with live.watch(model):
        train(model, few, CONFIG, on_step=step)
    assert len(live.losses) == live.steps == 28
    assert list(live.val_losses) == list(range(3, 28, 3))  # four times and more an epoch
    assert [shown for shown, _ in seen] == [*["none"] * 2, *[None] * 26]
    assert len({picture for _, picture in seen[2:]}) == 9  # another at each look
    assert live.picture.layout.display == "none"  # the figure stays
    assert live.status.value.startswith("Done: 28 of 28 steps in ")
    assert live.children == (live.status, live.picture)


def test_a_look_is_the_loss_of_the_validation_images(live, few, undrawn):
    model = make_model(3)
    images, labels = few.val.tensors
    with live.watch(model):
        for _ in range(4):
            live.on_step(torch.tensor(1.0))
    with torch.no_grad():
        expected = F.cross_entropy(model(images), labels, label_smoothing=0.1).item()
    assert live.val_losses == {3: pytest.approx(expected, rel=1e-5)}


def test_the_figure_has_losses_and_looks(live, undrawn):
    with live.watch(make_model(3)):
        for loss in np.linspace(2, 1, 28):
            live.on_step(torch.tensor(loss))
    (ax,) = live.figure.axes
    each, smooth, val = ax.lines
    assert ax.get_xlim() == (0, 2)  # the whole run
    assert ax.get_yscale() == "log"
    assert each.get_xdata() == pytest.approx(np.arange(1, 29) / 14)
    assert each.get_ydata() == pytest.approx(np.linspace(2, 1, 28))
    assert smooth.get_xdata()[[0, -1]] == pytest.approx([20 / 14, 2])
    assert smooth.get_ydata()[0] == pytest.approx(np.linspace(2, 1, 28)[:20].mean())
    assert val.get_xdata() == pytest.approx(np.arange(3, 28, 3) / 14)
    assert val.get_ydata() == pytest.approx(list(live.val_losses.values()))


def test_a_second_run_begins_afresh(live):
    for _ in range(2):
        with live.watch(make_model()):
            live.on_step(torch.tensor(1.0))
        assert len(live.losses) == 1
        assert live.status.value.startswith("Ended early: 1 of 28 steps in ")


def stop_at_once(live):
    with live.watch(make_model()):
        live.on_step(torch.tensor(1.0))
        raise KeyboardInterrupt


def test_stopped_before_there_is_anything_to_keep(live):
    with pytest.raises(InputError, match="stopped in its first epoch, so nothing is kept; run the"):
        stop_at_once(live)
    assert live.status.value.startswith("Ended early: 1 of 28 steps")


def test_the_status_tells_the_time_left_twice_a_second(few, monkeypatch, undrawn):
    """The clock is set by hand: of 28 steps 27 take 0.28 s each."""
    clock = 90.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    live = LiveCurves(few, CONFIG)
    assert live.status.value == "Training has not begun."
    told = []
    with live.watch(make_model()):
        for _ in range(27):
            clock += 0.28
            live.on_step(torch.tensor(1.0))
            told.append(live.status.value)
    images, labels = few.val.tensors
    right = (make_model()(images).argmax(1) == labels).double().mean()
    accuracy = f", validation accuracy {right:.1%}"
    assert told[0] == told[1] == "Step 1 of 28, 8 s left"
    assert told[2] == told[3] == f"Step 3 of 28, 7 s left{accuracy}"  # 25 times 0.28 s
    assert told[-1] == f"Step 27 of 28, 0 s left{accuracy}"
    assert live.status.value == "Ended early: 27 of 28 steps in 8 s."


def test_it_is_shown_as_a_widget_with_a_fixed_text(live):
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "The curves grow here while the network trains."
    assert "application/vnd.jupyter.widget-view+json" in bundle
