"""The exercises of the notebooks: each is done as its text asks, and its answer's claim checked."""

import json
import re
import shutil

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import HANG
from networks import drawn
from PIL import Image
from test_notebooks import make_notebook, outputs

from mnist_helpers import CHECKPOINT_PATH, load_checkpoint, make_model
from mnist_helpers.commands.notebooks import ORDER, execute
from mnist_helpers.config import NOTEBOOKS_DIR
from mnist_helpers.digits import pad_ink, prepare
from mnist_helpers.exercises import check
from mnist_helpers.explorer import Explorer, Selection, Subject
from mnist_helpers.runs.snapshots import load_snapshots

pytestmark = pytest.mark.slow
RUNS = ("quick", "too_fast")
SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def subject(splits):
    random = {"random": make_model(0).state_dict()}
    return Subject(load_checkpoint()[0], *splits.test.tensors, others=random)


@pytest.fixture(scope="module")
def replay(splits):
    folder = NOTEBOOKS_DIR / "snapshots"
    runs = {name.replace("_", " "): load_snapshots(folder / f"{name}.npz") for name in RUNS}
    return Subject(make_model(), *splits.val.tensors, runs=runs)


def text_of(path) -> str:
    """All that a notebook has printed."""
    return "".join(output.get("text", "") for output in outputs(nbformat.read(path, as_version=4)))


@pytest.fixture
def printed(tmp_path):
    """Runs a notebook by papermill with other parameters; gives all that it prints."""

    def run(name: str, **parameters: object) -> str:
        target = tmp_path / f"{name}.ipynb"
        result = execute(NOTEBOOKS_DIR / f"{name}.ipynb", target, parameters, HANG)
        assert result == ""
        return text_of(target)

    return run


# wrong answers: what is replaced in the right one, by what, and how the check's sentence goes on
WRONG = {
    "convolution_by_hand": [
        ("* kernel)", "* kernel.flip(0, 1))", "With 28 × .* if the kernel were flipped."),
        ("[0] - height + 1", "[0] - height", "With 28 × .* the shape is (25, 26), not (26, 26)."),
        ("    height, ", "    image = F.pad(image, [1] * 4)\n    height, ", "With .* what p"),
        ("return result", 'raise IndexError("one\\ntwo")', "With .* Python says IndexError: one\n"),
        ("return result", "result[3, 5] = 0\n    return result", "With .* at row 3, column 5 "),
    ],
    "MNIST-classifier": [
        ("mean()", "sum()", "With eight images, this is the sum over the images, not the mean."),
        (
            "logits = logits - ",
            "return -logits.log_softmax(0)[torch.arange(8), labels].mean()\n    logits = logits - ",
            "With eight images, softmax goes over the images, not over the classes.",
        ),
        ("logits - logits.amax(dim=1, keepdim=True)", "logits", "With .* overflow, it gives "),
    ],
    "draw_digit": [
        ("(down, right)", "(-down, -right)", "With ink, the ink is moved the wrong way."),
        ("(down, right)", "(right, down)", "With ink, the distances for rows and columns are"),
        ("13.5", "14", "With ink, the middle is taken as 14; of rows 0 to 27 it is 13.5."),
        ("not ink.any()", "False", "With blank paper, Python says ValueError: "),
    ],
    "training_replay": [
        ("losses[0]", "0", "With ten losses, the average begins at zero, not at the first loss."),
        ("keep * average + (1 - keep)", "(1 - keep) * average + keep", "With .*after loss 1 it"),
        ("return averages", "return average", "With ten losses, the shape is (), not (10,)."),
    ],
    "load_model": [
        ("F.linear(F.relu(x)", "F.linear((x)", "With three images, the ReLU after fc1 is missing."),
        (", padding=1", "", "With three images, Python says RuntimeError: "),
        ("F.relu(x), 2)\n    x = F.conv", "x, 2)\n    x = F.conv", "With .*after conv1 is missing"),
    ],
    "conv_visualization": [
        ("return ", "return F.avg_pool2d(maps, 2)\n    return ", "With .*the mean of the four"),
        ("::2, 1::2]", "::2, ::2]", "With two maps of .*, in map 0, row "),
        ("return ", "return F.max_pool2d(maps, 2, 1)\n    return ", "With .*the squares overlap;"),
    ],
    "analysis": [
        ("[label, pred]", "[pred, label]", "With each digit twice, in row "),
        ("sum(dim=1", "sum(dim=0", "With .*the columns are divided by their sums, not the rows."),
        (".clamp(min=1)", "", "With a digit that never occurs, in row 9, column 0 it gives nan"),
    ],
}  # fmt: skip


def last_cells(name):
    """What was seen, with the exercises; the empty function; its check; the answer."""
    return [cell.source for cell in nbformat.read(NOTEBOOKS_DIR / f"{name}.ipynb", 4).cells[-4:]]


@pytest.mark.parametrize("name", ORDER[1:])
def test_each_notebook_ends_with_three_exercises_and_folded_answers(name):
    told, _, asked, last = last_cells(name)
    folded = r"^(\d)\. .*\n   <details><summary>Answer</summary>.+</details>$"
    assert re.findall(folded, told, re.MULTILINE) == ["1", "2"]
    assert "\n3. **Write it.** " in told
    assert re.fullmatch(r'check\("\w+", \w+\)', asked)
    assert last.startswith("<details><summary>Answer</summary>\n\n```python\ndef ")
    assert "## Reading on" in last


def test_checks_say_right_or_why_not(tmp_path):
    """All answers in one notebook: none, the folded one, and wrong ones for each exercise."""
    cells = [
        "import torch\nimport torch.nn.functional as F\nfrom mnist_helpers.exercises import check"
    ]
    wanted = []
    for name in WRONG:
        _, empty, asked, last = last_cells(name)
        answer = re.search(r"```python\n(.+?)```", last, re.DOTALL)[1]
        cells += [f"{empty}\n{asked}", f"{answer}\n{asked}"]
        wanted += ["Nothing here yet: ", "Right: "]
        for old, new, sentence in WRONG[name]:
            assert old in answer
            cells.append(f"{answer.replace(old, new)}\n{asked}")
            wanted.append(f"Not yet. {sentence}")
    source = make_notebook(tmp_path / "checks.ipynb", *cells)
    assert execute(source, tmp_path / "out.ipynb", {}, HANG) == ""
    executed = nbformat.read(tmp_path / "out.ipynb", 4).cells[1:]
    printed = ["".join(output.text for output in cell.outputs) for cell in executed]
    for text, sentence in zip(printed, wanted, strict=True):
        assert re.match(re.escape(sentence).replace(r"\.\*", ".*"), text), text
        assert text.count("\n") == 1


def test_a_function_may_change_its_inputs(capsys):
    def convolve(image, kernel):
        result = F.conv2d(image[None, None], kernel.requires_grad_()[None, None])[0, 0]
        image.zero_()
        return list(result)  # no one tensor, which will do as well

    check("convolve", convolve)
    check("convolve", convolve)
    assert capsys.readouterr().out.count("Right: ") == 2


class TestConvolutionByHand:
    def test_top_and_bottom_of_a_zero_stay_white(self, printed, subject):
        assert "conv2d at row 16, column 15" in printed("convolution_by_hand", image=3)
        assert subject.labels[3] == 0
        image = subject.images[3]
        made = F.conv2d(image[None], SOBEL[None, None], padding=1)[0, 0].abs()
        ink = (image[0] > 0).nonzero()
        (top, left), (bottom, right) = ink.amin(0).tolist(), ink.amax(0).tolist()
        middle_row, middle = (top + bottom) // 2, (left + right) // 2
        ends = max(made[top + 1, middle], made[bottom - 1, middle])
        for column in (left, right):
            assert ends < 0.5 * made[middle_row, column - 2 : column + 3].max()

    def test_without_padding_at_every_second_place(self, subject):
        explorer = Explorer(subject, Selection(view="convolve"))
        explorer.receive({"select": {"padding": 0, "stride": 2}, "serial": 1})
        assert "28 × 28 becomes 13 × 13" in explorer.scene.caption


class TestClassifier:
    def figures(self, text):
        losses = r"epoch +\d+ +loss ≈ ([\d.]+) \(val ≈ ([\d.]+)\)"
        found = re.findall(losses + r" +accuracy ≈ [\d.]+% \(val ≈ ([\d.]+)%", text)
        return [tuple(map(float, numbers)) for numbers in found]

    def test_the_first_epoch_brings_most(self, printed):
        (one,) = self.figures(printed("MNIST-classifier", epochs=1))
        both = self.figures(text_of(NOTEBOOKS_DIR / "MNIST-classifier.ipynb"))
        assert one[2] > 98
        assert 0 < both[1][2] - one[2] < 1

    def test_too_high_a_rate_is_worse_than_guessing_and_says_so(self, printed):
        text = printed("MNIST-classifier", learning_rate=10, epochs=1)
        assert "no better than guessing" in text
        ((_, val_loss, val_accuracy),) = self.figures(text)
        assert val_loss > 2.3026
        assert val_accuracy < 25


class TestTrainingReplay:
    def answers(self, subject, weights, images=slice(None)):
        """What plain torch reads with some weights."""
        model = make_model()
        model.load_state_dict(subject.networks[weights].weights)
        with torch.no_grad():
            return model(subject.images[images]).argmax(1)

    def test_after_one_step_everything_is_a_6(self, replay):
        slow, fast = (self.answers(replay, f"{run}, epoch 0.0023") for run in replay.runs)
        assert (fast == 6).all()
        assert 0.5 < (slow == 6).float().mean() < 1

    def test_a_silent_channel_is_not_missed(self, replay):
        best = replay.best("too fast")
        explorer = Explorer(replay, Selection(view="ablation", weights=best))
        explorer.receive({"select": {"ablate": ["conv1", 0]}, "serial": 1})
        right = re.search(
            r"5,000 images, any digit: (.+?%) instead of (.+?%)", explorer.scene.caption
        )
        assert right[1] == right[2]

    def test_the_last_moment_reads_as_well_as_its_run(self, replay):
        """The figures that training wrote into the history, by the unpacked weights."""
        for run, snapshots in replay.runs.items():
            right = self.answers(replay, list(replay.moments[run])[-1]) == replay.labels
            wanted = snapshots.history["val_accuracy"][-1]
            assert right.float().mean().item() == pytest.approx(wanted, abs=0.0005)


class TestLoadModel:
    def test_the_least_sure_of_a_row(self, subject):
        probs = subject.predictions.probs[115:123]
        confidence, preds = probs.max(dim=1)
        assert confidence.argmin() == 0
        assert f"{confidence[0]:.0%}" == "75%"
        assert preds[0] == subject.labels[115] == 4

    def test_a_card_that_is_not_the_weights_own_is_refused(self, tmp_path):
        copy = tmp_path / "copy.pth"
        shutil.copy(CHECKPOINT_PATH, copy)
        card = json.loads(CHECKPOINT_PATH.with_suffix(".json").read_text())
        card["sha256"] = "0" + card["sha256"][1:]
        copy.with_suffix(".json").write_text(json.dumps(card))
        source, given = NOTEBOOKS_DIR / "load_model.ipynb", {"checkpoint": str(copy)}
        result = execute(source, tmp_path / "out.ipynb", given, HANG)
        assert "is not the file that copy.json describes" in result


class TestAnalysis:
    def test_classes_are_called_by_their_names(self, printed):
        names = "zero,one,two,three,four,five,six,seven,eight,nine"
        text = printed("analysis", class_names=names)
        assert "39 are wrong" in text
        assert "nine read as four: 5" in text

    def test_the_list_of_right_nines_is_far_longer(self, subject):
        explorer = Explorer(subject, Selection(view="confusion"))
        matrix = explorer.scene.content.items[0].items[0]
        counts = []
        for serial, cell in enumerate((99, 94), 1):
            click = {name: values[cell] for name, values in matrix.select.items()}
            explorer.receive({"select": click, "serial": serial})
            counts.append(explorer.controls["position"].max + 1)
        assert counts == [1000, 5]


class TestConvVisualization:
    def test_the_largest_gradients_are_in_the_row_of_the_paper_channel(self, splits):
        model, _ = load_checkpoint()
        images, labels = splits.test[:1000]
        F.cross_entropy(model(images), labels).backward()
        sizes = model.conv2.weight.grad.abs().amax(dim=(2, 3))  # (out, in)
        assert sizes.amax(dim=0).argmax() == 3
        assert sizes[27].max() < 0.1 * sizes.max()

    def test_another_image_and_other_random_kernels(self, printed, splits):
        text = printed("conv_visualization", image=2, seed=1)
        model, _ = load_checkpoint()
        model.conv1 = make_model(1).conv1
        images, labels = splits.test.tensors
        with torch.no_grad():
            accuracy = (model(images).argmax(1) == labels).float().mean().item()
        assert f"conv1      random: {accuracy:7.2%} right" in text
        assert "conv1      random:  16.71% right" not in text  # of the other seed
        assert accuracy < 0.7

    def test_the_lines_for_another_network_open_it(self, tmp_path):
        cells = nbformat.read(NOTEBOOKS_DIR / "conv_visualization.ipynb", 4).cells
        (told,) = [cell.source for cell in cells if "resnet18" in cell.source]
        lines = re.search(r"```python\n(.+?)```", told, re.DOTALL)[1]
        before = (
            "import torch\nfrom mnist_helpers import DATA_DIR\n"
            "from mnist_helpers.data import load_idx_part\n"
            "from mnist_helpers.explorer import explore\n"
            "test_set = load_idx_part(DATA_DIR, 'test')"
        )
        source = make_notebook(tmp_path / "own.ipynb", before, lines)
        target = tmp_path / "out.ipynb"
        assert execute(source, target, {}, HANG) == ""
        picture, call = nbformat.read(target, 4).cells[-1].outputs
        assert re.match(r"Image 0, label 7, read as \d ", picture.data["text/plain"])
        assert "Open: layer1.0.conv1, channel " in picture.data["text/plain"].replace("\n", " ")
        assert call.data["text/plain"] == "explore(model, images, labels, layer='layer1.0.conv1')"


class TestDrawDigit:
    def test_smaller_digits(self, printed):
        text = printed("draw_digit", side=20)
        shares = dict(re.findall(r"^(\w[\w ]*?) +([\d.]+)% right", text, re.MULTILINE))
        assert float(shares["shrunk"]) < 15
        assert 98.5 < float(shares["prepared"]) < 99.6
        assert float(shares["as they are"]) > 99

    def test_a_turned_seven_is_none(self, subject):
        ink = Image.fromarray(pad_ink(drawn(subject.images[0])))
        turned = np.asarray(ink.rotate(-60, Image.Resampling.BILINEAR))
        read = subject.network.model(prepare(turned).image[None]).argmax().item()
        assert subject.labels[0] == 7 != read
