"""The texts of the notebooks under noise as large as processors differ by; see `make stable`."""

import nbformat
import pytest
from stable import in_a_process

from mnist_helpers.commands.notebooks import ORDER
from mnist_helpers.config import NOTEBOOKS_DIR

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
QUICK = ("convolution_by_hand",)
LONG = [name for name in ORDER if name not in QUICK]
SUM = """
import torch
thirds = torch.full((1, 1, 3, 3), 1 / 3)
print(f"{torch.nn.functional.conv2d(thirds, thirds).item():.%df}")
"""


def paths_of(names):
    return [NOTEBOOKS_DIR / f"{name}.ipynb" for name in names]


@pytest.fixture
def one_digit_too_many(tmp_path):
    """A notebook that prints a sum of nine products twice, once with more digits than hold."""
    cells = []
    for digits, saved in {3: "1.000\n", 6: "1.000000\n"}.items():
        output = nbformat.v4.new_output("stream", name="stdout", text=saved)
        cells.append(nbformat.v4.new_code_cell(SUM % digits, outputs=[output]))
    path = tmp_path / "mutant.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_nothing_differs_but_one_digit_too_many(one_digit_too_many):
    lines = in_a_process([*paths_of(QUICK), one_digit_too_many], [0], ONE_THREAD)
    assert [line.partition(": ")[2][:22] for line in lines] == [
        "mutant, code cell 2: -",
        "mutant, code cell 2: +",
    ]


@pytest.mark.slow
def test_nothing_differs_in_the_long_ones():
    assert in_a_process(paths_of(LONG), [0], ONE_THREAD) == []
