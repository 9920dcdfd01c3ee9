"""A network so large that few images go through it at once: what is slow there waits."""

import asyncio
import copy

import pytest
import torch
from ipywidgets import Dropdown, SelectionSlider
from networks import build, build_resnet, images_of

from mnist_helpers.explorer import Explorer, Subject
from mnist_helpers.explorer.jobs import Unmeasured
from mnist_helpers.explorer.selection import Selection
from mnist_helpers.explorer.views import draw
from mnist_helpers.network.tracing import Network

IMAGES = images_of(3, 3, 64, 64)
GREY = images_of(3, 1, 28, 28)
LABELS = torch.tensor([1, 2, 3])


@pytest.fixture(scope="module")
def large():
    return Subject(build_resnet(), IMAGES, LABELS)


def ask(subject, question):
    """What a question gives where an event loop runs: the job that comes first, or None."""

    async def work():
        with subject.jobs.deferring():
            try:
                question()
            except Unmeasured as slow:
                return slow
        return None

    return asyncio.run(work())


def test_images_at_once_by_what_layers_put_out(large):
    outputs = large.network.outputs(IMAGES[:1])
    count = sum(output.numel() for output in outputs.values())
    assert large.network.batch_size == 25_000_000 // count  # 36
    assert large.network.is_large
    small = Network(build("simple"), GREY)
    assert small.batch_size == 250
    assert not small.is_large


def test_no_less_than_one_image_at_once(monkeypatch):
    monkeypatch.setattr("mnist_helpers.network.tracing.MOST_VALUES", 10)
    network = Network(build("simple"), GREY)
    assert network.batch_size == 1
    alone = torch.cat([network.features(image[None], network.answer)[0] for image in GREY])
    assert torch.allclose(network.features(GREY, network.answer)[0], alone, atol=1e-5)


@pytest.mark.parametrize("view", ["attribution", "ablation", "confusion"])
def test_slow_views_of_a_large_network_wait_with_progress(large, view):
    slow = ask(large, lambda: draw(large, Selection(view=view)))
    fractions = list(slow.job)
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] == 1
    assert ask(large, lambda: draw(large, Selection(view=view))) is None


@pytest.mark.parametrize("view", ["attribution", "ablation", "confusion"])
def test_those_of_a_small_one_are_there_at_once(view):
    small = Subject(build("simple"), GREY, LABELS)
    assert ask(small, lambda: draw(small, Selection(view=view))) is None


def test_a_filter_that_asks_for_all_answers_has_them_at_once():
    async def work():
        explorer = Explorer(Subject(build_resnet(), IMAGES, LABELS), Selection())
        explorer.receive({"select": {"read": "wrong"}})
        assert explorer.page.state["error"] == ""
        assert explorer.task is None
        correct = explorer.subject.predictions.correct
        assert explorer.selection.image == correct.tolist().index(False)

    asyncio.run(work())


def test_all_images_are_read_in_steps(large):
    network = copy.copy(large.network)
    network.batch_size = 2
    job = network.reading(IMAGES, "fc", "avgpool")
    assert [next(job), next(job)] == [0.5, 1.0]
    with pytest.raises(StopIteration) as end:
        next(job)
    fc, pooled = end.value.value
    outputs = large.network.outputs(IMAGES)
    assert torch.allclose(fc, outputs["fc"], atol=1e-4)
    assert torch.allclose(pooled, outputs["avgpool"], atol=1e-4)


def test_a_long_list_of_layers_can_be_searched(large):
    """A browser finds what begins with typed letters in a list, and nothing on a slider."""
    explorer = Explorer(large, Selection())
    layers = explorer.controls["layer"]
    assert isinstance(layers, Dropdown)
    assert [name for _, name in layers.options] == list(large.layers)
    layers.value = "layer2.0.downsample.0"
    assert layers.label == "layer2.0.downsample.0 Conv2d"
    assert explorer.selection.layer == "layer2.0.downsample.0"
    explorer.selection = Selection(layer="fc")
    assert layers.value == "fc"
    few = Explorer(Subject(build("simple"), GREY), Selection())
    assert isinstance(few.controls["layer"], SelectionSlider)


def test_windows_grow_with_the_image(large):
    """A pixel in the first window alone: 17 wide, in steps of 8, for a side of 64."""
    occlusion = large.attributions(0, 1, large.own)["occlusion"]
    assert (occlusion[:8, :8] == occlusion[0, 0]).all()
    assert occlusion[0, 8] != occlusion[0, 0]
