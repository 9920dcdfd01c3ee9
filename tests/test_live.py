"""The picture of a run that is under way, driven without a browser."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnist_helpers import Config, make_model
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


def steps(live, model, losses) -> None:
    """A run whose steps have these losses."""
    with live.watch(model):
        for loss in losses:
            live.on_step(torch.tensor(loss))


def told(live) -> str:
    """What stands beside the bar."""
    return live.bar.container.children[-1].value.replace("\u2007", " ")


def test_it_shows_a_real_run(live, few):
    model, seen = make_model(), []
    assert live.picture.layout.display == "none"

    def step(loss):
        live.on_step(loss)
        seen.append((live.picture.layout.display, live.picture.value))

    with live.watch(model):
        train(model, few, CONFIG, on_step=step)
    assert len(live.losses) == live.bar.total == 28
    assert list(live.val_losses) == list(range(3, 28, 3))  # four times and more an epoch
    assert [shown for shown, _ in seen] == [*["none"] * 2, *[None] * 26]
    assert len({picture for _, picture in seen[2:]}) == 9  # another at each look
    assert live.picture.layout.display == "none"  # the figure stays
    assert "28/28" in told(live)
    assert live.children == (live.bar.container, live.picture)


def test_the_steps_are_those_of_the_images_that_are_trained_on(few):
    live = LiveCurves(few, dataclasses.replace(CONFIG, train_size=120))
    assert (live.epoch_steps, live.epochs, live.bar.total) == (3, 2, 6)  # 50, 50 and 20 images


def test_a_look_is_the_loss_of_the_validation_images(live, few, undrawn):
    model = make_model(3)
    images, labels = few.val.tensors
    steps(live, model, [1.0] * 4)
    with torch.no_grad():
        expected = F.cross_entropy(model(images), labels, label_smoothing=0.1).item()
    assert live.val_losses == {3: pytest.approx(expected, rel=1e-5)}


def test_the_figure_has_losses_and_looks(live, undrawn):
    steps(live, make_model(), np.linspace(2, 1, 28))
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
        steps(live, make_model(), [1.0])
        assert len(live.losses) == 1
        assert live.bar.n == 1
        assert "1/28" in told(live)


def stop_at_once(live):
    with live.watch(make_model()):
        live.on_step(torch.tensor(1.0))
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_no_half_drawn_picture(live, undrawn):
    with pytest.raises(KeyboardInterrupt):
        stop_at_once(live)
    assert "1/28" in told(live)
    assert live.picture.layout.display == "none"


def test_the_bar_tells_the_accuracy_of_the_last_look(live, few, undrawn):
    steps(live, make_model(), [1.0] * 27)
    images, labels = few.val.tensors
    right = (make_model()(images).argmax(1) == labels).double().mean()
    assert "27/28" in told(live)
    assert f"validation accuracy {right:.1%}" in told(live)


def test_it_is_shown_as_a_widget_with_a_fixed_text(live):
    bundle = live._repr_mimebundle_()
    assert bundle["text/plain"] == "The curves grow here while the network trains."
    assert "application/vnd.jupyter.widget-view+json" in bundle
