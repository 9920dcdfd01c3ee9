"""The widgets that every explorer is made of, driven without a browser."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from ipywidgets import IntSlider
from PIL import Image

from mnist_helpers.config import WIDGET_ERROR
from mnist_helpers.pictures import Label, Picture, Sheet
from mnist_helpers.training import EpochRecord
from mnist_helpers.widgets import Explorer, ImagePicker, LiveCurves, PictureView


def squares(x: int, y: int = 0) -> list[Picture]:
    """A grid of 3 × 3 squares in which the one at (x, y) is dark, and a click selects."""
    sheet, levels = Sheet(40, 40), np.zeros((9, 4, 4), np.uint8)
    levels[3 * y + x] = 254
    panel = sheet.maps(
        (1, 1), levels, "gray_r", 3, 2, lambda i, row, column: {"x": i % 3, "y": i // 3}
    )
    return [
        Picture(
            sheet.image,
            f"{x} of {3 // (3 - x)} & {y}",
            2,
            (panel,),
            panel.corner(3 * y + x),
            (9, 9),
        )
    ]


@pytest.fixture
def explorer():
    return Explorer({"x": IntSlider(1, 0, 9), "y": IntSlider(0, 0, 2)}, squares)


class TestExplorer:
    def test_a_control_draws_anew(self, explorer):
        before = explorer.views[0].url
        explorer.controls["y"].value = 2
        assert explorer.views[0].url != before
        assert explorer.views[0].url == squares(1, 2)[0].data_url()
        assert explorer.caption.value == "1 of 1 &amp; 2"
        assert explorer.views[0].alt == "1 of 1 & 2"

    def test_a_click_selects_what_lies_there_and_draws_once(self, explorer, monkeypatch):
        drawn = []
        monkeypatch.setattr(
            explorer, "draw", lambda **values: drawn.append(values) or squares(**values)
        )
        explorer.views[0].picked = [1 + 9 * 2 + 3, 1 + 9 * 2 + 3, 1, 1]
        assert drawn == [{"x": 2, "y": 2}]
        assert (explorer.controls["x"].value, explorer.controls["y"].value) == (2, 2)
        assert explorer.views[0].cursor == [19, 19]

    def test_a_click_beside_the_maps_changes_nothing(self, explorer):
        before = explorer.views[0].url
        explorer.views[0].picked = [39, 39, 1, 1]
        assert explorer.views[0].url == before

    def test_an_error_is_raised_and_shown_and_goes_away(self, explorer):
        with pytest.raises(ZeroDivisionError):
            explorer.controls["x"].value = 3
        assert f'class="{WIDGET_ERROR}"' in explorer.caption.value
        assert "ZeroDivisionError" in explorer.caption.value
        explorer.controls["x"].value = 0
        assert explorer.caption.value == "0 of 1 &amp; 0"

    def test_one_that_is_not_active_does_not_draw(self):
        explorer = Explorer({"x": IntSlider(1, 0, 2)}, squares, active=False)
        explorer.controls["x"].value = 2
        assert explorer.views[0].url == ""
        explorer.active = True
        explorer.update()
        assert explorer.views[0].url == squares(2)[0].data_url()

    def test_the_still_is_the_picture_and_the_text_is_fixed(self, explorer):
        bundle = explorer._repr_mimebundle_()
        assert bundle["text/plain"] == "Explorer(x=1, y=0)\n1 of 1 & 0"
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).size == (80, 80)

    def test_a_message_from_the_browser_redraws(self, explorer):
        before = explorer.views[0].url
        explorer.controls["x"].set_state({"value": 2})
        assert explorer.views[0].url != before
        explorer.views[0].set_state({"picked": [2, 2, 0, 5]})
        assert explorer.controls["x"].value == 0


class TestPictureView:
    def test_everything_it_needs_comes_with_the_package(self):
        view = PictureView()
        assert "http" not in view._esm + view._css
        assert "aria-label" in view._esm

    def test_the_page_gets_the_labels(self):
        view, picture = (
            PictureView(),
            replace(squares(1)[0], labels=(Label(3, 4.5, "pool1", 9, anchor="lm"),)),
        )
        view.show(picture)
        assert view.labels == [[3, 4.5, "pool1", 9, "#222222", "lm", False]]

    def test_the_text_is_that_of_the_picture(self):
        view = PictureView()
        view.show(squares(1)[0])
        assert repr(view) == "PictureView('1 of 1 & 0')"


class TestImagePicker:
    LABELS, CORRECT = [3, 5, 3, 3, 9], [True, False, False, True, True]

    @pytest.fixture
    def picker(self):
        return ImagePicker(self.LABELS, self.CORRECT)

    def test_every_filter_and_position(self, picker):
        for kind, wanted in (("all", {True, False}), ("right", {True}), ("wrong", {False})):
            for digit in (-1, 3, 5, 9):
                picker.shown.value, picker.digit.value = kind, digit
                chosen = [
                    i
                    for i in range(5)
                    if self.CORRECT[i] in wanted and digit in (-1, self.LABELS[i])
                ]
                assert picker.position.disabled == (not chosen)
                for position, image in enumerate(chosen, 1):
                    picker.position.value = position
                    assert (picker.value, picker.index.value) == (image, image)

    def test_an_index_goes_there_and_takes_filters_away_that_hide_it(self, picker):
        picker.digit.value = 3
        picker.index.value = 2
        assert (picker.value, picker.position.value, picker.digit.value) == (2, 2, 3)
        picker.index.value = 4
        assert (picker.value, picker.position.value, picker.digit.value) == (4, 5, -1)

    def test_a_filter_that_hides_the_image_goes_to_the_first_it_shows(self, picker):
        picker.value = 4
        picker.digit.value = 3
        assert picker.value == 0

    def test_nothing_of_the_kind_keeps_the_image(self, picker):
        picker.digit.value = 9
        picker.shown.value = "wrong"
        assert (picker.value, picker.position.disabled) == (4, True)


class TestLiveCurves:
    def test_they_grow_with_every_epoch(self):
        live = LiveCurves(4)
        seen = [live.picture.value]
        for epoch in (1, 2):
            for _ in range(2):
                live.on_step()
            live.on_epoch(EpochRecord(epoch, 1 / epoch, 0.5, 0.9, 0.6, 0.1, 1.0))
            seen.append(live.picture.value)
        assert len(set(seen)) == 3
        assert live.status.value == "Step 4 of 4, 0 s left"
        assert live.picture.layout.display is None

    def test_the_text_is_fixed(self):
        assert (
            LiveCurves(9)._repr_mimebundle_()["text/plain"]
            == "The curves grow here while the network trains."
        )
