"""Files dropped on the page, and addresses, by a seeded generator: taken, or a sentence."""

import base64
import io
import json
import re
import struct
import zlib

import numpy as np
import page as pages
import pytest
import safetensors
import torch
from PIL import ExifTags, Image
from safetensors.torch import save

from mnist_helpers import load_checkpoint, make_model
from mnist_helpers.explorer import Subject
from mnist_helpers.explorer.scene import Pad, Row
from mnist_helpers.model import SimpleCNN
from mnist_helpers.site.build import lab_page

pytestmark = [pages.needs_chromium, pytest.mark.slow]
BASES = {
    name: save(
        {key: each.to(dtype).contiguous() for key, each in make_model(5).state_dict().items()}
    )
    for name, dtype in {"F32": torch.float32, "F16": torch.float16}.items()
}
NAMES = [
    "mine.safetensors",
    "<img src=x onerror=alert(1)>.safetensors",
    '"><script>alert(1)</script>',
    "two\nlines",
    "\x1b[31mred\x1b[0m",
    "$x^{$",
    "\u202egnp.exe",
    "n" * 5000,
]
STRANGE = [
    None, True, "", "F32", "F64", "BF16", "I8", -1, 0, 1, 0.5, 1e400, 2**53, 2**64, [], {}, [[]],
    ["F32"], [0], [0, 64], [64, 0], [-64, 0], [0, 0], [0, 2**60], [0.5, 64.5], ["0", "64"],
    [[0], [64]], "10 × 128", [10, 128], ["10", "128"], {"toString": 1}, {"length": 2}, [None, None],
]  # fmt: skip
FOREIGN = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "",
    "<b>",
    "fc3.bias",
    "\x1b[2J\n",
    "length",
]
# every file: its head, the numbers of a base with some bytes changed, cut, and a tail
TAKE = """async ([bases, files]) => {
    const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const numbers = Object.fromEntries(Object.entries(bases).map(([n, t]) => [n, bytesOf(t)]));
    const caption = () => document.querySelector(".caption").textContent;
    const found = [];
    for (const { head, base, changes, length, tail, name } of files) {
        const data = numbers[base].slice(0, length);
        changes.forEach(([place, byte]) => (data[place] = byte));
        const [before, shown] = [networks.get(null), caption()];
        await takeFile([new File([bytesOf(head), data, bytesOf(tail)], name)]);
        const box = document.getElementById("said");
        const isSame = networks.get(null) === before && caption() === shown;
        const logits = isSame ? null : [...forward(IMAGES[3], networks.get(null)).fc2];
        found.push({ said: box.textContent, parts: box.childElementCount, isSame, logits });
    }
    return found;
}"""


def split(content):
    """The header of a .safetensors file as JSON, and its numbers."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header):
    """A header as the format begins with it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def arranged(rng, header):
    """The tensors of a header in another order, with a description: as good as before."""
    names = list(rng.permutation(list(header)))
    return {"__metadata__": {"made": "<b>by hand</b>"}} | {name: header[name] for name in names}


def altered(rng, header):
    """A header with one thing changed that may matter."""
    header = json.loads(json.dumps(header))
    name, part = rng.choice(list(header)), rng.choice(["dtype", "shape", "data_offsets"])
    strange = STRANGE[rng.integers(len(STRANGE))]
    kind = rng.integers(9)
    if kind == 0:
        header[name][part] = strange
    elif kind == 1:
        header[name] = strange
    elif kind == 2:
        del header[name][part]
    elif kind == 3:
        del header[name]
    elif kind == 4:
        header[FOREIGN[rng.integers(len(FOREIGN))]] = header[name]
    elif kind == 5:
        part = rng.choice(["shape", "data_offsets"])
        place = rng.integers(len(header[name][part]))
        header[name][part][place] += int(rng.choice([-1, 1, 64, -64, 2**31, 2**53]))
    elif kind == 6:
        other = rng.choice(list(header))
        header[name]["data_offsets"] = header[other]["data_offsets"]
    elif kind == 7:
        moved = int(rng.integers(1, 5000))
        header[name]["data_offsets"] = [each + moved for each in header[name]["data_offsets"]]
    else:
        header[name][part] = [header[name][part], strange]
    return header


def weights_files(count):
    """Files for the page: mutated headers, mutated bytes, cut, grown, and good ones."""
    rng = np.random.default_rng(14)
    parts = {name: split(content) for name, content in BASES.items()}
    for number in range(count):
        base = "F32" if rng.random() < 0.95 else "F16"  # which is refused
        header, data = parts[base]
        made = {
            "base": base,
            "changes": [],
            "length": len(data),
            "tail": b"",
            "head": packed(header),
        }
        kind = number % 6
        if kind == 0:
            made["head"] = packed(arranged(rng, header))
            # the low byte of numbers; too large ones are below
            places = (4 * rng.integers(len(data) // 4, size=rng.integers(0, 4))).tolist()
            made["changes"] = [[place, int(rng.integers(256))] for place in places]
        elif kind in (1, 2):
            made["head"] = packed(altered(rng, header))
        elif kind == 3:
            head = bytearray(made["head"])
            for _ in range(rng.integers(1, 4)):
                head[rng.integers(len(head))] = rng.integers(256)
            made["head"] = bytes(head)
        elif kind == 4:
            made["length"] = int(len(data) * rng.random())
            if rng.random() < 0.3:
                made["head"] = made["head"][: rng.integers(len(made["head"]))]
        else:
            made["tail"] = bytes(rng.integers(0, 256, rng.integers(1, 9), dtype=np.uint8))
        yield made
    header, data = parts["F32"]
    plain = {"base": "F32", "changes": [], "length": len(data), "tail": b"", "head": packed(header)}
    name = next(iter(header))
    deep = b'{"conv1.bias":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    deep_type = json.dumps(header).encode().replace(b'"F32"', b"[" * 50_000 + b"]" * 50_000, 1)
    for head in (
        deep,
        deep_type,
        b"[" * 1_000_000,
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"",
        b"\xff{}",
    ):
        yield plain | {"head": packed(head)}
    spaced = json.dumps(header, indent=1).encode() + b" " * 100
    yield plain | {"head": packed(spaced)}
    yield plain | {"head": packed(b"\xef\xbb\xbf" + json.dumps(header).encode())}
    yield plain | {"head": struct.pack("<Q", 2**64 - 1)}
    yield plain | {"tail": bytes(12_000_000)}
    for place in rng.integers(len(data), size=12).tolist():  # any byte, the exponents' too
        yield plain | {"changes": [[place, int(rng.integers(256))]]}
    start = header[name]["data_offsets"][0]
    for number in (np.nan, np.inf, -np.inf, 1.1e6, -1.1e6, 1e-45, 1e5):
        changes = enumerate(np.float32(number).tobytes(), start)
        yield plain | {"changes": [list(pair) for pair in changes]}


def whole(made):
    """The bytes of a file."""
    data = bytearray(split(BASES[made["base"]])[1][: made["length"]])
    for place, byte in made["changes"]:
        if place < len(data):
            data[place] = byte
    return made["head"] + bytes(data) + made["tail"]


def independent(content):
    """The network of a file by safetensors and PyTorch, or None where there is none."""
    model = SimpleCNN().eval()
    try:
        weights = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError):
        return None
    expected = {name: each.shape for name, each in model.state_dict().items()}
    if len(content) > 10_000_000 or {n: each.shape for n, each in weights.items()} != expected:
        return None
    if not all(each.dtype == torch.float32 for each in weights.values()):
        return None
    if not all((each.abs() <= 1e6).all() for each in weights.values()):
        return None
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope="module")
def subject(splits):
    return Subject(load_checkpoint()[0], *(part[:100] for part in splits.test.tensors))


@pytest.fixture(scope="module")
def lab_file(subject, tmp_path_factory):
    path = tmp_path_factory.mktemp("lab") / "lab.html"
    path.write_text(lab_page(subject), "utf-8")
    return path


@pytest.fixture
def lab(browser, lab_file):
    """The lab, offline; whatever it complains of, or asks for, fails the test."""
    page = pages.new_page(browser, offline=True)
    heard = []
    asked = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
    page.on("request", lambda request: asked.append(request.url))
    page.goto(lab_file.as_uri())
    page.locator(".caption").wait_for()
    yield page
    page.close()
    assert page.errors == []
    assert heard == []
    own = (lab_file.as_uri(), "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []


def text_of(content):
    return base64.b64encode(content).decode()


def one_line(name):
    """A file's name as the page shows it."""
    return "".join(sign if sign.isprintable() else " " for sign in name)[:160]


@pytest.mark.parametrize(
    "count",
    [
        150,
        pytest.param(600, marks=pytest.mark.soak),
    ],
)
def test_generated_weights_are_taken_or_refused_in_a_sentence(lab, subject, count):
    bases = {name: text_of(split(content)[1]) for name, content in BASES.items()}
    files = list(weights_files(count))
    answers = []
    for start in range(0, len(files), 100):
        batch = [
            made | {part: text_of(made[part]) for part in ("head", "tail")} | {"name": NAMES[i % 8]}
            for i, made in enumerate(files[start : start + 100], start)
        ]
        answers += lab.evaluate(TAKE, [bases, batch])
    taken = 0
    for i, (made, answer) in enumerate(zip(files, answers, strict=True)):
        model, name = independent(whole(made)), one_line(NAMES[i % 8])
        said = answer["said"]
        assert said.isprintable(), i
        assert len(said) < 400, i
        assert answer["parts"] == 0
        if model is None:
            assert said.startswith(f"{name} was not taken: "), (i, said)
            assert said.endswith(". Nothing has changed."), said
            assert answer["isSame"], i
            continue
        taken += 1
        assert said == f"{name} was loaded: its network is now at the end of the slider.", (i, said)
        with torch.inference_mode():
            logits = model(subject.images[3:4])[0].numpy()
        found = np.array(answer["logits"], float)
        np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-3)
    assert len(files) >= count
    assert count / 6 <= taken <= count / 3


def test_a_folder_is_refused_in_a_sentence(lab, tmp_path):
    found = lab.evaluate(
        """async () => {
            const file = { name: "folder", size: 0 };
            file.arrayBuffer = () => Promise.reject(new DOMException("It is gone."));
            await takeFile([file]);
            return document.getElementById("said").textContent;
        }"""
    )
    assert found == "folder was not taken: it can't be read. Nothing has changed."


def hashes(count):
    """Addresses: good ones, good ones with a letter changed, and what no address holds."""
    rng = np.random.default_rng(15)
    known = {
        "image": ["0", "7", "99"],
        "layer": ["conv1", "conv2", "pool1", "fc1", "fc2", "softmax", "relu2", "flatten"],
        "channel": ["0", "5", "15"],
        "row": ["0", "13"],
        "column": ["0", "6"],
        "input_channel": ["0", "31"],
        "weights": ["quick, epoch 0", "quick,%20epoch%202"],
    }  # fmt: skip
    strange = [
        "",
        "-1",
        "1e3",
        "%",
        "%E0%A4%A",
        "%00",
        "__proto__",
        "constructor",
        "<b>",
        "NaN",
        "9" * 400,
    ]
    strange += ["\ud83d", "%0A", "null", "conv1.3+", "+", "conv1.99", "é", "javascript:alert(1)"]
    names = [
        *known,
        "__proto__",
        "constructor",
        "drawing",
        "view",
        "ablated",
        "",
        "toString",
        "serial",
    ]
    for _ in range(count):
        fields = []
        for _ in range(rng.integers(0, 6)):
            name = (
                names[rng.integers(len(names))] if rng.random() < 0.2 else rng.choice(list(known))
            )
            values = strange if rng.random() < 0.2 else known.get(name, strange)
            fields.append(f"{name}={values[rng.integers(len(values))]}")
        text = "&".join(fields)
        if text and rng.random() < 0.3:
            place = rng.integers(len(text))
            text = text[:place] + chr(rng.integers(33, 500)) + text[place + 1 :]
        yield text


def test_generated_addresses_lead_somewhere_or_are_refused(lab):
    count = 300
    # a lone half of a letter passes as JSON alone
    texts = [json.dumps(text) for text in hashes(count)]
    found = lab.evaluate(
        """(texts) => texts.map((text) => {
            const before = JSON.stringify(host.selection);
            history.replaceState(null, "", `#${JSON.parse(text)}`);
            goThere();
            const error = document.getElementById("said").textContent;
            const again = JSON.stringify(selectionOf(hashOf(host.selection)));
            const now = JSON.stringify(host.selection);
            const caption = document.querySelector(".caption").textContent;
            return { error, caption, isKept: now === before, leadsBack: again === now };
        })""",
        texts,
    )
    for text, answer in zip(texts, found, strict=True):
        assert answer["leadsBack"], text
        assert answer["caption"], text
        if answer["error"]:
            assert re.match("This address leads nowhere: nothing has ", answer["error"])
            assert re.search(r"\. Image \d+ is shown instead\.$", answer["error"])
            assert answer["error"].isprintable()
            assert answer["isKept"], text
    refused = [answer for answer in found if answer["error"]]
    assert count / 5 <= len(refused) <= count * 4 / 5
    lab.evaluate("() => { location.hash = '#image=7'; }")
    lab.locator(".caption", has_text="Image 7, label 9").wait_for()


def png_header(width, height):
    """A PNG that claims a size and holds one line."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = chunk(b"IDAT", zlib.compress(bytes(width + 1)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + lines + chunk(b"IEND", b"")


def saved(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def one(mode, side=280):
    """A bar from 40 % to 50 % across and 20 % to 80 % down, dark on light."""
    grey = np.full((side, side), 250, np.uint8)
    grey[side // 5 : 4 * side // 5, 2 * side // 5 : side // 2] = 10
    picture = Image.fromarray(grey)
    if mode == "RGBA":
        clear = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        clear.paste((10, 10, 10, 255), (2 * side // 5, side // 5, side // 2, 4 * side // 5))
        return clear
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    return picture.convert(mode)


def pictures():
    """Pictures by name: those that show the bar, and others, with what is said of them."""
    good, bad = {}, {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        good[f"{mode}.png"] = saved(one(mode), "PNG")
    for side in (10, 50, 140, 1000, 3000):
        good[f"{side}.png"] = saved(one("L", side), "PNG")
        good[f"{side}.jpg"] = saved(one("RGB", side), "JPEG")
    for form in ("GIF", "BMP", "WEBP"):
        good[form] = saved(one("RGB"), form)
    frames = [Image.new("L", (280, 280), 250)] * 3
    good["moving.gif"] = saved(one("L"), "GIF", save_all=True, append_images=frames)
    for turn, way in {3: 180, 6: 90, 8: 270}.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = turn
        good[f"{turn}.jpg"] = saved(one("RGB").rotate(way, expand=True), "JPEG", exif=exif)
    unreadable = "can't be read as a picture; give a PNG or JPEG file."
    loads = '<image href="https://elsewhere.test/a.png"/><script>fetch("https://elsewhere.test")</script>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99">{loads}</svg>'
    for name in ("empty.png", "noise.png", "text.png", "drawing.svg", "float.tif"):
        bad[name] = (b"", unreadable)
    bad["noise.png"] = (np.random.default_rng(0).bytes(5000), unreadable)
    bad["text.png"] = (b"<script>alert(1)</script>", unreadable)
    bad["drawing.svg"] = (svg.encode(), unreadable)
    bad["float.tif"] = (saved(Image.new("F", (9, 9)), "TIFF"), unreadable)
    bad["wide.png"] = (png_header(20_000, 20_000), unreadable)
    faint = "shows no digit: nothing written stands out in it."
    bad["dot.png"] = (saved(Image.new("L", (1, 1)), "PNG"), faint)
    bad["white\n<b>.png"] = (saved(Image.new("RGB", (90, 50), "white"), "PNG"), faint)
    bad["clear.png"] = (saved(Image.new("RGBA", (90, 50), (0, 0, 0, 0)), "PNG"), faint)
    return good, bad


def damaged(good, count):
    """The good pictures with bytes changed, or cut: they may still show something."""
    rng = np.random.default_rng(16)
    names = list(good)
    for number in range(count):
        content = bytearray(good[names[number % len(names)]])
        if rng.random() < 0.4:
            content = content[: rng.integers(len(content))]
        else:
            for _ in range(rng.integers(1, 20)):
                content[rng.integers(len(content))] = rng.integers(256)
        yield f"damaged {number} {names[number % len(names)]}", bytes(content)


PAD = Row(Pad(title="pad", ink=None, example=np.eye(28)))  # on a page without a kernel, below
LOAD = """async (files) => {
    const { pad } = document.querySelector(".mark.pad").view.context;
    const found = [];
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const type = name.endsWith("svg") ? "image/svg+xml" : "";
        pad.context.complain("");
        pad.sent = null;
        await loadPicture(pad, new File([bytes], name, { type }));
        const readout = document.querySelector(".readout");
        found.push({ said: readout.textContent, ink: pad.sent, parts: readout.childElementCount });
    }
    return found;
}"""


def test_generated_pictures_become_ink_or_a_sentence(browser):
    count = 90
    page = pages.new_page(browser)
    asked = []
    heard = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: heard.append(message.text))
    pages.mount(page, pages.make_state(PAD, call=""))
    good, bad = pictures()
    others = dict(damaged(good, count))
    contents = good | {name: content for name, (content, _) in bad.items()} | others
    files = [[name, text_of(content)] for name, content in contents.items()]
    found = dict(zip(contents, page.evaluate(LOAD, files), strict=True))
    for name in good:
        assert found[name]["ink"], (name, found[name]["said"])
        ink = np.frombuffer(base64.b64decode(found[name]["ink"]), np.uint8).reshape(140, 140)
        rows, columns = np.nonzero(ink > 128)
        ends = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
        # six times as high as it is wide, as large as fits with a tenth of the pad on each side
        fitted = [14, 126, 60.7, 79.3]
        if name == "1.png":  # whose paper has black dots, which are ink, too: all of it is fitted
            fitted = [33.5, 106.5, 57.8, 70]
        assert ends == pytest.approx(fitted, abs=8 if name.startswith("10.") else 2), name
    for name, (_, sentence) in bad.items():
        assert found[name]["ink"] is None
        assert found[name]["said"] == f"{one_line(name)} {sentence}"
    for name in others:
        said = found[name]["said"]
        assert found[name]["ink"] or said.startswith(f"{name} "), (name, said)
    assert all(answer["parts"] == 0 for answer in found.values())
    assert len(contents) >= count + 30
    assert page.errors == []
    assert heard == []
    assert [url for url in asked if not url.startswith(("https://explorer.test/", "blob:"))] == []
    page.close()


def test_a_picture_of_too_many_bytes_is_not_read(browser):
    page = pages.new_page(browser)
    pages.mount(page, pages.make_state(PAD, call=""))
    page.evaluate(
        """() => {
            const file = { name: "film.png", size: 100_000_001 }; // and no more
            return loadPicture(document.querySelector(".mark.pad").view.context.pad, file);
        }"""
    )
    said = page.locator(".readout").inner_text()
    assert said == "film.png is larger than 100 MB; give a smaller one."
    page.close()
