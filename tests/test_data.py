import gzip
import importlib
import shutil
import sys

import numpy as np
import pytest
import torch
from conftest import assert_same, write_idx

from mnist_helpers import DATA_DIR, Config, InputError, load_splits
from mnist_helpers.data import (
    BACKGROUND,
    load_idx_part,
    make_loader,
    random_affine,
    split_indices,
)
from mnist_helpers.foreign.readers import ORIGINALS, read_idx

RAW = DATA_DIR / "MNIST" / "raw"
BLANK = np.zeros((3, 28, 28))


@pytest.fixture
def copied(small_data_dir, tmp_path):
    """A copy of the small data set."""
    return shutil.copytree(small_data_dir, tmp_path / "set")


@pytest.fixture
def torchvision():
    """The library that takes seconds, of every worker if it were imported above."""
    importlib.import_module("torchvision.transforms.v2")
    return sys.modules["torchvision"]


def test_the_pixels_are_those_that_torchvision_reads(tmp_path, splits, torchvision):
    shutil.copytree(RAW, tmp_path / "MNIST" / "raw")  # torchvision unpacks beside the archives
    expected = torchvision.datasets.MNIST(tmp_path, train=False, download=True)
    images, labels = splits.test.tensors
    assert images.shape == (10_000, 1, 28, 28)
    assert torch.equal(labels, expected.targets)
    assert torch.allclose(images[:, 0], (expected.data / 255 - 0.1307) / 0.3081, atol=1e-6)


def test_training_images_have_zero_mean_and_unit_variance(splits):
    images = torch.cat([splits.train.tensors[0], splits.val.tensors[0]])
    assert images.mean().item() == pytest.approx(0, abs=1e-3)
    assert images.std().item() == pytest.approx(1, abs=1e-3)


def test_the_split_is_whole_disjoint_stratified_and_seeded():
    labels = torch.from_numpy(read_idx(RAW / "train-labels-idx1-ubyte.gz")).long()
    train, val = split_indices(labels, 5000, torch.Generator().manual_seed(3))
    assert sorted(torch.cat([train, val]).tolist()) == list(range(60_000))
    assert len(val) == 5000
    shares = labels.bincount() / 12
    assert (labels[val].bincount() - shares).abs().max() <= 1
    assert torch.equal(val, split_indices(labels, 5000, torch.Generator().manual_seed(3))[1])
    assert not torch.equal(val, split_indices(labels, 5000, torch.Generator().manual_seed(4))[1])


def test_the_three_parts_belong_to_their_seed(small_data_dir, few):
    first, again, other = (load_splits(small_data_dir, 100, seed) for seed in (3, 3, 4))
    for part, same in zip(first, again, strict=True):
        assert_same(part.tensors, same.tensors)
    assert not torch.equal(first.val.tensors[1], other.val.tensors[1])
    assert [len(part) for part in first] == [900, 100, 300]
    assert torch.equal(first.test.tensors[1], few.test.tensors[1])


def test_a_loader_shuffles_each_pass_and_leaves_no_image_out(few):
    loader = make_loader(few.train, 64, torch.Generator().manual_seed(0))
    first, second = (torch.cat([images for images, _ in loader]) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first, few.train.tensors[0])
    assert first.sum().item() == pytest.approx(few.train.tensors[0].sum().item(), rel=1e-4)


def test_workers_deliver_the_same_batches(few):
    alone, helped = (
        list(make_loader(few.test, 64, torch.Generator().manual_seed(0), workers))
        for workers in (0, 2)
    )
    assert len(alone) == 5  # of 300 images
    assert_same(helped, alone)


def amounts(count: int) -> torch.Tensor:
    """Uniform in [-1, 1), always the same."""
    return 2 * torch.rand(count, 5, generator=torch.Generator().manual_seed(1)) - 1


def moved(images: torch.Tensor, **changes: float) -> torch.Tensor:
    """Images that are moved by these amounts."""
    return random_affine(images, amounts(len(images)), Config(**changes))


class TestAugmentation:
    @pytest.fixture
    def images(self, few):
        return few.test.tensors[0]

    def test_nothing_asked_nothing_done(self, images):
        assert torch.allclose(moved(images), images, atol=1e-4)

    def test_rotation_is_torchvisions(self, images, torchvision):
        reference = torchvision.transforms.v2.functional
        bilinear = reference.InterpolationMode.BILINEAR
        turned = moved(images[:20], rotation=30)
        for image, result, amount in zip(images[:20], turned, amounts(20), strict=True):
            angle = 30 * amount[0].item()  # counter-clockwise
            expected = reference.rotate(image - BACKGROUND, angle, bilinear) + BACKGROUND
            assert torch.allclose(result, expected, atol=1e-4)

    def test_shifts_move_the_centre_of_mass_in_pixels(self, images):
        shifted = moved(images, translation=1.5)
        moves = self.centres(shifted) - self.centres(images)  # (300, 2): down, right
        rim = self.ink(images).clone()
        rim[:, 2:-2, 2:-2] = 0  # what would leave the frame can't be weighed
        whole = rim.sum((1, 2)) < 0.01
        assert whole.sum() > 150
        assert torch.allclose(moves[whole], -1.5 * amounts(300)[whole][:, [4, 3]], atol=0.01)

    def test_scaling_changes_the_spread(self, images):
        inks = [self.ink(each).sum((1, 2)) for each in (moved(images, scaling=0.2), images)]
        ratio = inks[0] / inks[1]  # area goes with the square of the size
        assert 1.3 < ratio.max().item() < 1.2**2 + 0.1
        assert 0.8**2 - 0.1 < ratio.min().item() < 0.75

    def test_all_at_once_is_the_stated_matrix(self):
        """By the coordinates of one bright spot, which the inverse of the matrix moves."""
        spots = torch.full((40, 1, 28, 28), BACKGROUND)
        spots[:, :, 9:11, 16:18] += 1.0  # around (17, 10) pixels from the corner
        ink = self.ink(moved(spots, rotation=30, scaling=0.3, translation=3, shear=0.4)).numpy()
        for drawn, image in zip(amounts(40).double().numpy(), ink, strict=True):
            angle, size = np.radians(30 * drawn[0]), 1 + 0.3 * drawn[1]
            shear, shift = 0.4 * drawn[2], 3 * drawn[3:]
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = turn @ np.array([[1, shear], [0, 1]]) / size
            expected = 14 + np.linalg.solve(matrix, np.array([17.0, 10.0]) - 14 - shift)
            at = np.arange(28) + 0.5
            found = [(image.sum(0) @ at) / image.sum(), (image.sum(1) @ at) / image.sum()]
            if 3 < expected.min() < expected.max() < 25:
                assert np.allclose(found, expected, atol=0.4)

    def test_shear_moves_rows_and_keeps_their_height(self, images):
        sheared = moved(images, shear=0.3)
        rows, expected = (self.ink(each).sum(2) for each in (sheared, images))
        assert torch.allclose(rows, expected, atol=0.6)
        assert not torch.allclose(sheared, images, atol=0.5)

    def test_what_comes_in_is_background(self):
        empty = torch.full((50, 1, 28, 28), BACKGROUND)
        result = moved(empty, rotation=45, scaling=0.5, translation=5, shear=0.5)
        assert torch.allclose(result, empty, atol=1e-5)

    @staticmethod
    def ink(images):
        return (images[:, 0] - BACKGROUND) * 0.3081

    @classmethod
    def centres(cls, images):
        ink, at = cls.ink(images), torch.arange(28.0)
        return torch.stack([ink.sum(2) @ at, ink.sum(1) @ at], dim=1) / ink.sum((1, 2))[:, None]


class TestOtherDataSets:
    def test_emnist_is_turned_upright(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28))
        write_idx(tmp_path / "emnist-digits-test-images-idx3-ubyte.gz", pixels)
        write_idx(tmp_path / "emnist-digits-test-labels-idx1-ubyte.gz", np.arange(6))
        images, labels = load_idx_part(tmp_path, "test").tensors
        assert labels.tolist() == list(range(6))
        assert np.allclose(
            images[:, 0] * 0.3081 + 0.1307, pixels.transpose(0, 2, 1) / 255, atol=1e-6
        )

    def test_unpacked_files_are_read_as_well(self, small_data_dir, tmp_path):
        for part in ("images-idx3", "labels-idx1"):
            content = gzip.decompress((small_data_dir / f"t10k-{part}-ubyte.gz").read_bytes())
            (tmp_path / f"t10k-{part}-ubyte").write_bytes(content)
        packed, unpacked = load_idx_part(small_data_dir, "test"), load_idx_part(tmp_path, "test")
        assert_same(unpacked.tensors, packed.tensors)

    def test_where_both_lie_the_packed_file_is_read(self, copied):
        for path in copied.glob("t10k*.gz"):
            path.with_suffix("").write_bytes(b"an unpacked one that is damaged")
        assert len(load_idx_part(copied, "test")) == 300

    @pytest.mark.parametrize("name", ["FashionMNIST", "KMNIST", "MNIST"])
    def test_the_checksums_of_three_data_sets_are_known(
        self, small_data_dir, tmp_path, torchvision, name
    ):
        shutil.copytree(small_data_dir, tmp_path / name / "raw")
        known = dict(getattr(torchvision.datasets, name).resources)["t10k-images-idx3-ubyte.gz"]
        with pytest.raises(InputError, match=f"is not the original .md5 sum .*, not {known}"):
            load_idx_part(tmp_path, "test")
        (tmp_path / name).rename(tmp_path / "mine")
        assert len(load_idx_part(tmp_path, "test")) == 300

    def test_two_data_sets_in_one_folder_are_refused(self, small_data_dir, tmp_path):
        for name in ("a", "b"):
            shutil.copytree(small_data_dir, tmp_path / name)
        with pytest.raises(InputError, match="holds 2 data sets"):
            load_splits(tmp_path)


class TestBadFiles:
    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError) as caught:
            load_splits(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path} holds no data set; give images of 28 × 28 pixels (in NumPy's files as "
            "uint8), each with a label from 0 to 9, as data_dir: IDX files, CSV, .npz, .npy, or "
            "pictures in a folder for each class, unpacked; or get MNIST by `mnist-helpers "
            "download` (in the collection, git restore MNIST-Data)."
        )

    def test_a_changed_byte_names_both_checksums(self, tmp_path):
        shutil.copytree(RAW, tmp_path / "MNIST" / "raw")
        path = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
        content = bytearray(path.read_bytes())
        content[2000] ^= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"t10k-labels.*not ec29112dd5afa0611ce80d1b7f02629c"):
            load_idx_part(tmp_path, "test")

    @pytest.mark.parametrize(
        "content", [b"", b"\0\0\x08\x01", b"not gzip at all", b"\x1f\x8b\x08\0\0", None]
    )
    def test_an_unknown_file_that_is_damaged_names_its_checksum(self, copied, content):
        path = copied / "t10k-images-idx3-ubyte.gz"
        if content is None:
            content = path.read_bytes()[:5000]
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"t10k-images.*md5 sum [0-9a-f]{32}"):
            load_idx_part(copied, "test")

    @pytest.mark.parametrize(
        ("images", "labels", "complaint"),
        [
            (np.zeros((3, 32, 32)), np.zeros(3), r"images \(3, 32, 32\)"),
            (np.zeros((0, 28, 28)), np.zeros(0), r"images \(0, 28, 28\)"),
            (BLANK, np.array([0, 10, 1]), "labels-idx1.* up to 10"),
            (BLANK, np.array([0, 26, 1]), "labels-idx1.* up to 26"),
            (BLANK, np.zeros(4), r"images-idx3.*, train-labels-idx1.* labels \(4,\)"),
            (BLANK, np.zeros((3, 1, 1)), r"images-idx3.*, train-labels-idx1.* labels \(3, 1, 1\)"),
        ],
    )
    def test_each_image_is_a_square_of_28_with_one_digit(self, tmp_path, images, labels, complaint):
        write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
        with pytest.raises(InputError, match=complaint):
            load_idx_part(tmp_path, "train")

    @pytest.mark.parametrize(("val_size", "count"), [(999, 999), (1000, 200), (5000, 200)])
    def test_of_a_small_set_a_fifth_is_for_validation(
        self, small_data_dir, val_size, count, caplog
    ):
        splits = load_splits(small_data_dir, val_size)
        assert (len(splits.train), len(splits.val)) == (1000 - count, count)
        told = "a fifth of the 1000 training images is for validation"
        assert (told in caplog.text) == (count == 200)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_the_originals_are_those_that_torchvision_knows(name, torchvision):
    for file, total in getattr(torchvision.datasets, name).resources:
        assert ORIGINALS[total] == f"{name}/{file}"
