"""What is sent of a scene: maps no larger than they are drawn, in pages, with what they select."""

import json

import numpy as np
import pytest

from mnist_helpers.explorer.scene import COLUMN, INDEX, ROW, Maps, encoded

SELECT = {"layer": "conv1", "channel": INDEX, "row": ROW, "column": COLUMN}


def sent(**fields):
    """The fields of maps as a page gets them, and their values."""
    fields.setdefault("limits", [(0.0, 1.0)])
    text, numbers = encoded({"scene": Maps(**fields)})
    mark = json.loads(text)["scene"]
    precision = np.float32
    if len(numbers[0]) < 4 * np.prod(mark["values"]["shape"]):
        precision = np.float16
    return mark, np.frombuffer(numbers[0], precision).reshape(mark["values"]["shape"])


def numbered(count, height, width):
    """Maps of which each value tells its place: 10,000 · map + 100 · row + column."""
    index, row, column = np.indices((count, height, width))
    return (10_000 * index + 100 * row + column).astype(np.float32)


def test_maps_that_are_drawn_whole_are_sent_whole():
    values = numbered(4, 6, 7)
    mark, numbers = sent(values=values, select=SELECT, zoom=0.6, frames={2: (1, 2, 3, 4)})
    np.testing.assert_array_equal(numbers, values)
    assert (mark["step"], mark["zoom"]) == (1, 0.6)
    assert mark["select"] == SELECT
    assert mark["frames"] == {"2": [1, 2, 3, 4]}
    assert not mark["notes"]


def test_of_small_maps_every_third_row_and_column_is_sent():
    frames = {0: (3, 4, 4, 5), 1: (0, 0, 8, 10), 2: None}
    mark, numbers = sent(values=numbered(3, 8, 10), select=SELECT, zoom=0.3, frames=frames)
    rows_and_columns = [[0, 3, 6, 9], [300, 303, 306, 309], [600, 603, 606, 609]]
    np.testing.assert_array_equal(numbers[0], rows_and_columns)
    assert numbers.shape == (3, 3, 4)
    assert mark["step"] == 3
    assert mark["select"] == SELECT
    assert mark["zoom"] == pytest.approx(0.9)  # as wide as before
    assert mark["frames"] == {"0": [1, 1, 2, 2], "1": [0, 0, 3, 4], "2": None}
    _, numbers = sent(values=np.ones((1, 8, 10, 3)), zoom=0.3)
    assert numbers.shape == (1, 3, 4, 3)


@pytest.mark.parametrize("labelled", [True, False])
def test_of_2048_maps_the_page_with_the_framed_one_is_sent(labelled):
    values = numbered(2048, 1, 2)
    labels = [str(1000 + index) for index in range(2048 * labelled)]
    limits = [(0.0, float(index)) for index in range(2048)]
    mark, numbers = sent(
        values=values, limits=limits, labels=labels, select=SELECT, frames={700: None}, notes=["a"]
    )
    np.testing.assert_array_equal(numbers, values[512:768].astype(numbers.dtype))
    assert mark["notes"] == ["a", "channels 512 to 767 of 2,048"]
    assert mark["frames"] == {"188": None}
    assert mark["select"]["channel"] == list(range(512, 768))
    assert mark["select"]["row"] == ROW
    assert mark["limits"][188] == [0.0, 700.0]
    if labelled:
        assert mark["labels"] == [str(1000 + index) for index in range(512, 768)]
        assert mark["unit"] == "channel"
    else:
        assert mark["unit"] == "channel 512 +"  # what is counted from there


def test_a_scene_that_is_too_large_is_sent_in_part():
    """Of each grid the same share, and as many values as are allowed in all."""
    grids = [Maps(values=np.ones((count, 50, 50)), limits=[(0, 1)]) for count in (200, 100)]
    text, numbers = encoded({"a": grids[0], "b": grids[1]})
    marks = json.loads(text)
    counts = [marks[name]["values"]["shape"][0] for name in "ab"]
    assert counts == [88, 44]  # 330,000 of 750,000 values are 44 %
    assert sum(map(len, numbers)) == 2 * 132 * 2500
    assert marks["a"]["limits"] == [[0, 1]]
    assert marks["a"]["notes"] == ["channels 0 to 87 of 200"]


def test_of_a_scene_that_is_too_large_single_maps_are_sent_coarser():
    patch = Maps(values=numbered(1, 160, 170), limits=[(0, 1)], zoom=0.6)
    text, _ = encoded({"patch": patch})
    assert json.loads(text)["patch"]["values"]["shape"] == [1, 160, 170]
    text, numbers = encoded({str(place): patch for place in range(14)})  # 380,800 values
    shapes = [mark["values"]["shape"] for mark in json.loads(text).values()]
    assert shapes == [[1, 80, 85]] * 14  # every other row and column: 1.2 pixels for a value
    np.testing.assert_array_equal(
        np.frombuffer(numbers[3], np.float16).reshape(80, 85),
        numbered(1, 160, 170)[0, ::2, ::2].astype(np.float16),
    )


def test_a_page_of_maps_selects_what_they_stand_for():
    images = list(range(100, 124))  # a list in the place of INDEX
    values = np.ones((24, 128, 128))
    mark, _ = sent(values=values, select={"image": images}, zoom=66 / 128, frames={22: None})
    assert mark["values"]["shape"][0] == 4  # a page has 20 of them, for 330,000 values
    assert mark["notes"] == ["channels 20 to 23 of 24"]
    assert mark["select"] == {"image": [120, 121, 122, 123]}


def test_numbers_that_half_precision_cannot_hold_are_sent_in_full():
    values = np.full((1, 160, 160), 2.0**17)
    _, numbers = sent(values=values, zoom=1.0)
    np.testing.assert_array_equal(numbers, values)
    _, numbers = sent(values=values / 4, zoom=1.0)
    assert numbers.dtype == np.float16


def test_a_grid_with_heads_is_not_cut():
    heads = ([str(index) for index in range(300)], ["a"])
    mark, _ = sent(values=np.ones((300, 1, 1)), heads=heads, columns=300)
    assert mark["values"]["shape"][0] == 300
