from pathlib import Path

import numpy as np
import pytest
import torch
from networks import load_digit
from PIL import Image, ImageFilter

from mnist_helpers import CHECKPOINT_PATH, InputError, load_checkpoint
from mnist_helpers.digits import load_digits


def pixels(image: torch.Tensor) -> np.ndarray:
    return ((image[0] * 0.3081 + 0.1307) * 255).round().byte().numpy()


def test_an_image_of_mnist_is_left_almost_as_it_is(few, tmp_path):
    kept = 0
    for image in few.test.tensors[0][:100]:
        Image.fromarray(pixels(image)).save(tmp_path / "digit.png")
        again = load_digit(tmp_path / "digit.png")
        assert again.shape == (1, 28, 28)
        kept += int(
            (np.abs(pixels(again).astype(int) - pixels(image)).max()) <= 25
        )  # faint edges may be cut
    assert kept >= 98


@pytest.mark.parametrize(
    ("name", "ground"),
    [
        ("digit.png", "light"),
        ("digit.jpg", "dark"),
        pytest.param("digit.png", "dark", marks=pytest.mark.slow),
        pytest.param("digit.jpg", "light", marks=pytest.mark.slow),
    ],
)
def test_large_pictures_on_light_and_dark_ground_are_read(few, tmp_path, name, ground):
    model, _ = load_checkpoint(CHECKPOINT_PATH)
    images, labels = (tensor[:100] for tensor in few.test.tensors)
    digits = []
    for image in images:
        small = Image.fromarray(pixels(image) if ground == "dark" else 255 - pixels(image))
        sheet = Image.new("L", (400, 300), 0 if ground == "dark" else 255)
        sheet.paste(small.resize((200, 200), Image.Resampling.BICUBIC), (170, 40))
        sheet.convert("RGB").save(tmp_path / name)
        digits.append(load_digit(tmp_path / name))
    preds = model(torch.stack(digits)).argmax(1)
    assert (preds == labels).sum() >= 98


def test_transparent_ground_counts_as_white(tmp_path):
    ink = np.zeros((60, 60, 4), np.uint8)
    ink[10:50, 27:33, 3] = 255  # an opaque black stroke
    Image.fromarray(ink).save(tmp_path / "one.png")
    digit = pixels(load_digit(tmp_path / "one.png"))
    rows, columns = digit.nonzero()
    assert (rows.min(), rows.max()) == (4, 23)  # 20 pixels high, in the middle of 28
    assert columns.max() - columns.min() == 2  # 3 wide: proportions kept
    assert digit.max() == 255


def test_the_centre_of_mass_decides_the_place(tmp_path):
    ink = np.zeros((100, 100), np.uint8)
    ink[20:80, 20:30] = 255
    ink[70:80, 20:80] = 255  # an L: mass lies low and left
    Image.fromarray(ink).save(tmp_path / "l.png")
    digit = pixels(load_digit(tmp_path / "l.png")).astype(float)
    at = np.arange(28)
    centre = (digit.sum(1) @ at / digit.sum(), digit.sum(0) @ at / digit.sum())
    assert all(13.5 <= place < 14.5 for place in centre)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(
        InputError, match=r"bad\.png can't be read as an image \([^<]*\); give a PNG or JPEG"
    ):
        load_digit(tmp_path / "bad.png")


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.png does not exist; give a PNG or JPEG"):
        load_digit(tmp_path / "nowhere.png")


def stroke(ground: float, ink: float, inside: float, kind: type = np.uint8) -> np.ndarray:
    """A sheet with an L of ink, and in the corner of it a spot of another value."""
    sheet = np.full((60, 60), ground, kind)
    sheet[10:50, 20:25] = ink
    sheet[45:50, 20:40] = ink
    sheet[20:30, 30:35] = inside
    return sheet


def read(sheet: np.ndarray, path: Path) -> np.ndarray:
    Image.fromarray(sheet).save(path)
    return pixels(load_digit(path))


@pytest.mark.parametrize(("ground", "ink", "other"), [(200, 100, 255), (60, 200, 0)])
def test_ink_is_darker_than_light_ground_or_lighter_than_dark(tmp_path, ground, ink, other):
    plain = read(stroke(0, 255, 0), tmp_path / "plain.png")
    assert np.array_equal(read(stroke(ground, ink, other), tmp_path / "digit.png"), plain)


@pytest.mark.parametrize("edge", [np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]])
def test_the_edge_of_a_scan_is_no_ink(tmp_path, edge):
    sheet = stroke(255, 0, 255)
    plain = read(sheet, tmp_path / "digit.png")
    sheet[edge] = 0
    assert np.array_equal(read(sheet, tmp_path / "digit.png"), plain)


def draw_sheet(
    *boxes: tuple[int, int, int, int], ground: object = 255, ink: object = 0
) -> np.ndarray:
    """A sheet (200, 300, 3) with ink in boxes: left, top, right, bottom."""
    sheet = np.zeros((200, 300, 3)) + ground
    for left, top, right, bottom in boxes:
        sheet[top:bottom, left:right] = ink
    return sheet


ONE = (140, 50, 160, 150)


def found(pixels: np.ndarray, path: Path) -> list:
    Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)).save(path)
    return load_digits(path)


SHADE = np.linspace(1, 0.4, 300)[:, None]  # from left to right
LAMP = 1 - 0.6 * np.linspace(-1, 1, 300)[:, None] ** 2
NOISE = np.random.default_rng(1).normal(0, 12, (200, 300, 3))
CLEAR = np.dstack([np.full((200, 300, 3), 255), 255 - draw_sheet(ONE)[..., 0]])
DESK = ((30, 30), (40, 40), (0, 0))  # around what is left of a sheet
PHOTOS = {
    "shade": draw_sheet(ONE, ground=230, ink=30) * SHADE,
    "lamp": draw_sheet(ONE, ground=230, ink=30) * LAMP,
    "chalk in the shade": 255 - draw_sheet(ONE, ground=230, ink=30) * SHADE,
    "grey": draw_sheet(ONE, ground=110, ink=20),
    "red paper": draw_sheet(ONE, ground=(255, 0, 0)),
    "green paper": draw_sheet(ONE, ground=(0, 255, 0)),
    "blue paper": draw_sheet(ONE, ground=(0, 0, 255)),
    "white on nothing": CLEAR,
    "frame": np.pad(draw_sheet(ONE)[6:-6, 6:-6], ((6, 6), (6, 6), (0, 0))),
    "desk": np.pad(draw_sheet(ONE)[30:-30, 40:-40], DESK, constant_values=40),
    "thumb": draw_sheet(ONE, (0, 150, 60, 200)),
    "dust": draw_sheet(ONE, (30, 30, 33, 33)),
    "noise": draw_sheet(ONE, ground=230, ink=30) + NOISE,
}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_shows_the_stroke_alone(tmp_path, name):
    (digit,) = found(PHOTOS[name], tmp_path / "photo.png")
    assert digit.box == pytest.approx(ONE, abs=1)
    image = pixels(digit.image)
    assert image[5:23, 13:15].min() > 150  # a stroke of 20 × 4 pixels, smoothed
    assert image[:, :11].max() == image[:, 17:].max() == 0


EMPTY = draw_sheet(ground=230)
ON_DESK = np.pad(EMPTY[30:-30, 40:-40], DESK, constant_values=40)
SQUARED = EMPTY.copy()
SQUARED[10::20] = SQUARED[:, 10::20] = 120
SCANNED = np.pad(EMPTY[10:-10, 15:-15], ((10, 10), (15, 15), (0, 0)))  # 5 % of it are black


@pytest.mark.parametrize(
    "sheet",
    [
        *(EMPTY, EMPTY * SHADE, EMPTY * LAMP, EMPTY + NOISE, 128 + 3 * NOISE, ON_DESK),
        *(SQUARED, 255 - SQUARED, SQUARED * SHADE, SCANNED, EMPTY * np.where(SHADE < 0.6, 0.5, 1)),
    ],
)
def test_an_empty_sheet_is_refused_however_it_is_lit(tmp_path, sheet):
    with pytest.raises(InputError, match="shows no digit: nothing written stands out in it"):
        found(sheet, tmp_path / "empty.png")


ACROSS = np.add.outer(np.arange(200), np.arange(300))[..., None]  # from one corner to the other


@pytest.mark.parametrize("is_dark", [ACROSS > 250, ACROSS < 250, ACROSS % 300 < 150])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_edge_of_a_shadow_or_another_paper_is_no_ink(tmp_path, is_dark, share):
    paper = 230 * np.where(is_dark, share, 1)
    for sheet in (np.minimum(paper, draw_sheet(ONE, ink=25)), 255 - paper * (draw_sheet(ONE) > 0)):
        (digit,) = found(sheet, tmp_path / "shadow.png")
        assert digit.box == pytest.approx(ONE, abs=1)


def test_a_scan_with_a_broad_edge_shows_the_stroke(tmp_path):
    (digit,) = found(np.minimum(SCANNED, draw_sheet(ONE)), tmp_path / "scan.png")
    assert digit.box == pytest.approx(ONE, abs=1)


def lines(distance: int, breadth: int, squared: bool) -> np.ndarray:
    """Where a paper of 200 × 300 has lines."""
    is_line = np.zeros((200, 300), bool)
    for row in range(breadth):
        is_line[distance // 2 + row :: distance] = True
        is_line[:, distance // 2 + row :: distance] |= squared
    return is_line


@pytest.mark.parametrize("dark", [25, 60, 100, 150])
def test_the_squares_between_broad_lines_are_no_digits(tmp_path, dark):
    is_line = np.zeros((400, 400), bool)
    for row in range(4):
        is_line[12 + row :: 25] = is_line[:, 12 + row :: 25] = True
    sheet = np.dstack([np.where(is_line, dark, 235)] * 3)
    with pytest.raises(InputError, match="nothing written stands out in it"):
        found(sheet, tmp_path / "squared.png")


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("distance", [20, 40, 90])
@pytest.mark.parametrize("breadth", [1, 2, 3])
def test_what_is_broader_than_lines_as_dark_is_read_over_them(tmp_path, distance, breadth, squared):
    is_line = np.dstack([lines(distance, breadth, squared)] * 3)
    for sheet in (np.where(is_line, 25, 230), np.where(is_line, 230, 40)):
        ink = sheet[distance // 2, 0]
        written = np.where(draw_sheet(ONE) == 0, ink, sheet)
        (digit,) = found(written, tmp_path / "lined.png")
        assert digit.box == pytest.approx(ONE, abs=6)  # where a line touches it, a little more
        with pytest.raises(InputError, match=r"nothing written stands out in it; .* no lines as"):
            found(sheet, tmp_path / "lined.png")


@pytest.mark.parametrize("share", [0.04, 0.1, 0.15])
@pytest.mark.parametrize("breadth", [2, 6])
def test_a_frame_is_no_digit_and_one_within_it_is_read(tmp_path, share, breadth):
    """Printed around the sheet, or its dark edge."""
    noise = np.random.default_rng(2).normal(0, 6, (200, 300, 3))
    margin = round(share * 200)
    inner = np.s_[margin + breadth : -margin - breadth, margin + breadth : -margin - breadth]
    for outside in (230, 30):
        sheet = np.full((200, 300, 3), 230.0)
        sheet[margin:-margin, margin:-margin] = 30
        sheet[:margin] = sheet[-margin:] = sheet[:, :margin] = sheet[:, -margin:] = outside
        sheet[inner] = 230
        with pytest.raises(InputError, match="shows no digit: nothing written stands out in it"):
            found(sheet + noise, tmp_path / "framed.png")
        (digit,) = found(np.minimum(sheet, draw_sheet(ONE)) + noise, tmp_path / "framed.png")
        assert digit.box == pytest.approx(ONE, abs=2)


def test_a_line_of_one_pixel_is_found(tmp_path):
    sheet = np.full((500, 500, 3), 255.0)
    sheet[100:400, 255] = 0  # smoothed to 5, between the places that are looked at for a sheet
    (digit,) = found(sheet, tmp_path / "one.png")
    assert digit.box == pytest.approx((253, 98, 258, 402), abs=1)


def test_a_seven_that_fills_its_picture_keeps_its_bar(tmp_path):
    seven = draw_sheet((0, 0, 100, 25), (60, 25, 85, 120))[:140, :100]
    (digit,) = found(seven, tmp_path / "seven.png")
    assert digit.box == pytest.approx([0, 0, 100, 120], abs=1)


@pytest.mark.parametrize("angle", [7, 20, 45])
@pytest.mark.parametrize("blur", [0, 2, 4])
def test_what_is_written_on_a_sheet_is_found_however_it_lies_on_a_desk(tmp_path, angle, blur):
    sheet = Image.fromarray(draw_sheet(ONE, ground=230, ink=30).astype(np.uint8)).convert("RGBA")
    turned = sheet.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    desk = Image.new("RGB", (480, 480), (45, 35, 25))
    desk.paste(turned, (240 - turned.width // 2, 240 - turned.height // 2), turned)
    desk = desk.filter(ImageFilter.GaussianBlur(blur))  # a grey edge is neither desk nor sheet
    (digit,) = found(np.asarray(desk) * 1.0, tmp_path / "desk.png")
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    half = np.array([20 * cosine + 100 * sine, 100 * cosine + 20 * sine]) / 2
    assert digit.box == pytest.approx([*(240 - half), *(240 + half)], abs=4)


def test_a_bold_eight_is_no_sheet(tmp_path):
    sheet = draw_sheet((90, 10, 210, 190))
    sheet[35:92, 120:180] = sheet[108:165, 120:180] = 255  # of its box two thirds are ink
    (digit,) = found(sheet, tmp_path / "eight.png")
    assert digit.box == pytest.approx((90, 10, 210, 190), abs=1)


def test_digits_that_stand_apart_are_found_from_left_to_right(tmp_path):
    five = (120, 50, 140, 100), (120, 40, 180, 46), (160, 110, 180, 150), (124, 110, 164, 118)
    sheet = draw_sheet((200, 40, 220, 150), *five, (40, 45, 60, 150))
    boxes = [digit.box for digit in found(sheet, tmp_path / "three.png")]
    right = np.array([[40, 45, 60, 150], [120, 40, 180, 150], [200, 40, 220, 150]])
    assert np.abs(np.array(boxes) - right).max() <= 1  # by smoothing


def test_lines_are_read_one_after_the_other(tmp_path):
    upper = (30, 25, 45, 75), (80, 30, 95, 80)
    lower = (20, 100, 35, 150), (70, 110, 85, 158)
    lefts = [digit.box[0] for digit in found(draw_sheet(*lower, *upper), tmp_path / "lines.png")]
    assert np.abs(np.array(lefts) - [30, 80, 20, 70]).max() <= 1


@pytest.mark.parametrize("slope", [-0.12, 0.12])
def test_a_line_that_rises_or_falls_is_read_from_left_to_right(tmp_path, slope):
    lefts = range(20, 280, 40)
    tops = [round(80 + slope * (left - 150)) for left in lefts]
    upper = [(left, top - 40, left + 12, top) for left, top in zip(lefts, tops, strict=True)]
    lower = [(left, top + 45, left + 12, top + 85) for left, top in zip(lefts, tops, strict=True)]
    digits = found(draw_sheet(*lower, *upper), tmp_path / "rising.png")
    boxes = np.array([digit.box for digit in digits])
    assert np.abs(boxes - [*upper, *lower]).max() <= 1


@pytest.mark.parametrize("slope", [-0.4, 0.4])
def test_a_steep_line_too(tmp_path, slope):
    tops = {left: round(100 + slope * (left - 150)) for left in range(20, 280, 40)}
    line = [(left, tops[left] - 25, left + 12, tops[left] + 15) for left in tops]
    boxes = np.array([digit.box for digit in found(draw_sheet(*line), tmp_path / "steep.png")])
    assert np.abs(boxes - line).max() <= 1


def test_digits_below_one_another_are_two(tmp_path):
    column = (100, 15, 130, 75), (100, 115, 130, 185)
    boxes = [digit.box for digit in found(draw_sheet(*column), tmp_path / "column.png")]
    assert np.abs(np.array(boxes) - column).max() <= 1


def test_a_broken_digit_is_one(tmp_path):
    halves = draw_sheet((100, 30, 170, 90), (104, 96, 160, 160))
    beside = draw_sheet((100, 30, 120, 160), (126, 90, 150, 120))  # small, and not above
    for sheet in (halves, beside):
        assert len(found(sheet, tmp_path / "broken.png")) == 1


def test_boxes_are_those_of_the_file(tmp_path):
    large = Image.fromarray(draw_sheet(ONE).astype(np.uint8)).resize((1500, 1000))
    (digit,) = found(np.asarray(large), tmp_path / "large.png")
    assert digit.box == pytest.approx([5 * end for end in ONE], abs=5)


def test_what_can_not_be_parted_is_said(tmp_path):
    with pytest.raises(InputError, match="from 39 to 261 that is wider than a digit and can't be"):
        found(draw_sheet((40, 60, 260, 140)), tmp_path / "wide.png")


@pytest.mark.parametrize("top", [1, 255, 1023, 4095, 65_535, 100_000])
def test_white_is_told_by_the_largest_of_decimals(tmp_path, top):
    plain = read(stroke(255, 0, 255), tmp_path / "plain.png")
    found = read(stroke(top, 0, top, np.float32), tmp_path / "decimals.tiff")
    assert np.array_equal(found, plain)
    sheet = stroke(top, 0, top, np.float32)
    sheet[12:20, 21:24] = -top  # below black is black
    assert np.array_equal(read(sheet, tmp_path / "decimals.tiff"), plain)


@pytest.mark.parametrize(("ink", "seen"), [(220, True), (221, False), (240, False)])
def test_an_empty_sheet_is_named(tmp_path, ink, seen):
    path = tmp_path / "empty.png"
    if seen:
        assert read(stroke(240, ink, 240), path).max() == 255
        return
    with pytest.raises(InputError) as caught:
        read(stroke(240, ink, 240), path)
    assert str(caught.value) == (
        f"{path} shows no digit: nothing written stands out in it; give a picture with dark ink on "
        "a light ground, or the reverse, and no lines as dark and broad as it."
    )


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\0\0\0\x18ftypheic", "HEIC"), (b"%PDF-1.7", "PDF"), (b"<svg xmlns=''/>", "SVG")],
)
def test_what_is_no_picture_of_pixels_is_named_whatever_it_is_called(tmp_path, content, kind):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"digit.png is {kind}; save it as JPEG or PNG"):
        load_digits(path)
