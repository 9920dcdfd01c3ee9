"""The functions of analysis against numpy, scipy and sums by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_activations import finish
from threadpoolctl import threadpool_limits

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.analysis import comparison
from mnist_helpers.analysis.calibration import (
    fit_temperature,
    risk_by_coverage,
    with_temperature,
)
from mnist_helpers.analysis.disturbance import DISTURBANCES, disturb, resistance
from mnist_helpers.analysis.embedding import neighbour_map, principal, replayed
from mnist_helpers.analysis.mistakes import UNCONFIRMED, label_suspects, top_losses
from mnist_helpers.data import BACKGROUND, MEAN, STD
from mnist_helpers.metrics import Predictions, evaluate
from mnist_helpers.network.tracing import Network

INK = (1 - MEAN) / STD


@pytest.fixture(scope="module")
def guesses():
    """Answers of one who is mostly right and too modest, to 600 questions of 5 classes."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(5, (600,), generator=generator)
    logits = torch.randn(600, 5, generator=generator) + 2 * F.one_hot(labels, 5)
    return Predictions(logits / 2, labels)


@pytest.fixture(scope="module")
def network(few):
    return Network(make_model(0), few.test.tensors[0])


def test_wilsons_interval_by_its_formula():
    correct = torch.arange(200) < 190
    z, n, share = 1.959964, 200, 0.95
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    expected = pytest.approx((middle - half, middle + half), abs=1e-6)
    assert comparison.accuracy_interval(correct) == expected


def test_mcnemars_test_by_counting():
    first = torch.tensor([1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0]).bool()
    second = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1]).bool()
    found = comparison.compare(first, second)
    assert found.first_only.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found.second_only.tolist() == [7, 10]
    ends = sum(math.comb(9, k) for k in (0, 1, 2))  # at most two of nine, on either side
    assert found.p == pytest.approx(2 * ends / 2**9)
    assert comparison.compare(first, first).p == 1


def test_the_temperature_has_the_least_loss(guesses):
    found = fit_temperature(guesses)
    logits, each = guesses.logits.double(), torch.arange(600)

    def loss(temperature):
        return -(logits / temperature).softmax(1)[each, guesses.labels].log().mean().item()

    tried = np.linspace(0.2, 3, 2801)
    best = tried[np.argmin([loss(each) for each in tried])]
    assert found == pytest.approx(best, abs=2e-3)
    warmer = with_temperature(guesses, 2.0)
    assert torch.equal(warmer.preds, guesses.preds)
    assert warmer.losses.mean().item() == pytest.approx(loss(2.0), rel=1e-5)


def test_the_calibration_error(guesses):
    place = np.digitize(guesses.confidence.numpy(), np.linspace(0, 1, 16), right=True) - 1
    claimed = np.bincount(place, guesses.confidence.numpy(), 15)
    right = np.bincount(place, guesses.correct, 15)
    error = np.abs(right - claimed).sum() / 600
    assert guesses.calibration_error == pytest.approx(error, abs=1e-5)


def test_risk_by_coverage_by_hand():
    probs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    coverage, risk = risk_by_coverage(Predictions(probs.log(), torch.tensor([0, 0, 0, 1])))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])


def test_top_losses(guesses):
    own = guesses.logits.softmax(1)[torch.arange(600), guesses.labels]
    assert top_losses(guesses, 7).tolist() == own.argsort()[:7].tolist()


def test_suspects_by_the_rule_of_confident_learning(guesses):
    probs, labels = guesses.probs.numpy(), guesses.labels.numpy()
    limits = [probs[labels == each, each].mean() for each in range(5)]
    expected = []
    for image, label in enumerate(labels):
        reached = [each for each in range(5) if probs[image, each] >= limits[each]]
        if reached and max(reached, key=lambda each: probs[image, each]) != label:
            expected.append(image)
    expected.sort(key=lambda image: probs[image, labels[image]])
    assert expected
    assert label_suspects(guesses).tolist() == expected


def test_a_swapped_label_is_suspected(splits):
    images, labels = (part[:500] for part in splits.test.tensors)
    dataset = torch.utils.data.TensorDataset(images, labels)
    answers = with_temperature(evaluate(load_checkpoint()[0], dataset), 0.5)
    surest = int(answers.confidence.argmax())
    swapped = labels.clone()
    swapped[surest] = (labels[surest] + 1) % 10
    assert label_suspects(answers).tolist() == []
    assert label_suspects(Predictions(answers.logits, swapped)).tolist() == [surest]


def test_the_unconfirmed_labels(splits):
    labels = splits.test.tensors[1][list(UNCONFIRMED)].tolist()
    assert labels == [8, 0, 9, 4, 2, 5, 6, 6, 5, 5, 0, 1, 4, 6, 5]  # as the file gives them


class TestDisturbances:
    @pytest.fixture
    def ndimage(self):
        """SciPy's, imported here, for every worker would wait for it above."""
        from scipy import ndimage

        return ndimage

    @pytest.fixture
    def images(self, few):
        images = few.test.tensors[0]
        return images[images.amax((1, 2, 3)) > INK - 1e-3][:6]

    def ink(self, images):
        """Pixels, paper at 0 and full ink, which each of these images has, at 1."""
        return ((images - BACKGROUND) / (INK - BACKGROUND)).numpy()[:, 0]

    @pytest.mark.parametrize("name", DISTURBANCES)
    def test_nothing_changes_nothing_and_all_stay_images(self, network, images, name):
        kind = DISTURBANCES[name]
        assert kind.nothing in kind.amounts
        assert torch.equal(disturb(network, images, name, kind.nothing), images)
        for amount in kind.amounts:
            changed = disturb(network, images, name, amount)
            assert changed.shape == images.shape
            assert changed.isfinite().all()
            if amount != kind.nothing:
                assert not torch.equal(changed, images)

    @pytest.mark.parametrize("name", DISTURBANCES)
    def test_an_image_of_one_colour_stays_one(self, network, name):
        empty = torch.full((1, 1, 28, 28), 0.7)
        for amount in DISTURBANCES[name].amounts:
            assert torch.allclose(disturb(network, empty, name, amount), empty)

    def test_a_shift_leaves_paper_behind(self, network, images):
        moved = disturb(network, images, "shift", 3.0)
        torch.testing.assert_close(moved[..., 3:], images[..., :-3], atol=1e-4, rtol=0)
        assert (moved[..., :3] - BACKGROUND).abs().max() < 1e-4

    def test_a_turn_is_clockwise_and_about_the_middle(self, network, images, ndimage):
        turned = self.ink(disturb(network, images, "rotation", 30.0))
        wanted = ndimage.rotate(self.ink(images), -30, axes=(1, 2), reshape=False, order=1)
        assert np.abs(turned - wanted).mean() < 0.01

    def test_scale_is_about_the_middle(self, network, images):
        small = self.ink(disturb(network, images, "scale", 0.55))
        assert small.sum() / self.ink(images).sum() == pytest.approx(0.55**2, rel=0.05)
        assert small[:, :5].max() < 0.05
        assert small[:, :, -5:].max() < 0.05

    @pytest.mark.parametrize("pixels", [2.0, -2.0])
    def test_thickness_is_grey_morphology(self, network, images, ndimage, pixels):
        changed = self.ink(disturb(network, images, "thickness", pixels))
        apply = ndimage.grey_dilation if pixels > 0 else ndimage.grey_erosion
        wanted = apply(self.ink(images), size=(1, 3, 3), mode="constant")
        np.testing.assert_allclose(changed, wanted, atol=1e-5)

    def test_noise_is_the_same_at_every_call(self, network, images):
        first, again = (disturb(network, images, "noise", 0.3) for _ in range(2))
        assert torch.equal(first, again)
        added = self.ink(first) - self.ink(images)
        assert added.std() == pytest.approx(0.3, rel=0.05)

    def test_blur_is_gaussian(self, network, images, ndimage):
        blurred = self.ink(disturb(network, images, "blur", 1.0))[:, 5:-5, 5:-5]
        spread = (disturb(network, images, "blur", 1.0) - BACKGROUND).sum()
        assert spread == pytest.approx((images - BACKGROUND).sum().item(), rel=1e-2)
        wanted = ndimage.gaussian_filter(self.ink(images), (0, 1, 1), truncate=3)[:, 5:-5, 5:-5]
        assert np.corrcoef(blurred.ravel(), wanted.ravel())[0, 1] > 0.999

    def test_contrast_and_cover(self, network, images):
        amount = DISTURBANCES["contrast"].amounts[4]
        pale = disturb(network, images, "contrast", amount)
        torch.testing.assert_close(pale - BACKGROUND, (images - BACKGROUND) * amount)
        hidden = disturb(network, images, "occlusion", 8.0)
        assert (hidden[..., 10:18, 10:18] - BACKGROUND).abs().max() < 1e-5
        outside = torch.ones(28, 28, dtype=torch.bool)
        outside[10:18, 10:18] = False
        torch.testing.assert_close(hidden[..., outside], images[..., outside])

    def test_fgsm_steps_against_the_answer(self, images):
        model = make_model(0)
        leaf = images.clone().requires_grad_()
        logits = model.eval()(leaf)
        F.cross_entropy(logits, logits.argmax(1)).backward()
        low, high = images.amin((1, 2, 3), True), images.amax((1, 2, 3), True)
        wanted = (images + 0.1 * (high - low) * leaf.grad.sign()).clamp(low, high)
        found = disturb(Network(model, images), images, "FGSM", 0.1)
        torch.testing.assert_close(found, wanted)

    def test_what_stays_right(self, few):
        model = load_checkpoint()[0]
        images, labels = (part[:40] for part in few.test.tensors)
        found = dict(resistance(Network(model, images), images, labels))
        assert list(found) == [name for name in DISTURBANCES if name != "none"]
        place = DISTURBANCES["shift"].amounts.index(4.0)
        moved = torch.full_like(images, BACKGROUND)
        moved[..., 4:] = images[..., :-4]
        with torch.no_grad():
            assert torch.equal(found["shift"][place], model(moved).argmax(1) == labels)


def test_principal_directions_by_singular_values():
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * torch.arange(1, 7)
    centred = (features.double() - features.double().mean(dim=0)).numpy()
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    wanted = centred @ directions[:2].T
    found = principal(features)
    signs = np.sign((found * wanted).sum(axis=0))
    np.testing.assert_allclose(found, wanted * signs, atol=1e-4)


def test_a_replay_does_not_depend_on_the_number_of_threads():
    generator = torch.Generator().manual_seed(1)
    moments = [torch.randn(1000, 128, generator=generator) for _ in range(3)]
    with threadpool_limits(1):
        one = replayed(moments)
    with threadpool_limits(2):
        two = replayed(moments)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-9)


def test_what_lies_outside_the_last_frame_of_a_replay_is_put_at_its_edge():
    last = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    wide, moved, end = replayed([10 * last, last + 3, last])
    np.testing.assert_allclose(moved, end, atol=1e-5)  # each lies around its own mean
    for points in (wide, end):
        assert points.min() == 0
        assert points.max() == 1
    assert (np.isin(wide, (0, 1)).any(axis=1)).sum() > 25  # of the other only four at the most


def test_the_neighbour_map_keeps_neighbours_and_tells_how_far_it_is():
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(90, 8, generator=generator)
    groups = torch.arange(90) % 3
    features[:, 0] += 30.0 * groups
    told, points = finish(neighbour_map(features))
    assert points.shape == (90, 2)
    assert told == sorted(told)
    assert told[0] == 0
    assert max(told) < 1
    from scipy.spatial import cKDTree  # here, for every worker would wait for it above

    nearest = cKDTree(points).query(points, k=2)[1][:, 1]
    assert torch.equal(groups[nearest], groups)
