"""The explorer's page in headless Chromium, without Jupyter: its scripts around a plain host."""

import base64
import dataclasses
import functools
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from browser import CHROMIUM
from playwright.sync_api import Browser, Locator, Page

import mnist_helpers
from mnist_helpers.explorer.paper import LETTERS
from mnist_helpers.explorer.scene import Column, Item, Row, Scatter, Scene, Table, Text

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: apt-get install chromium"
)
PACKAGE = Path(mnist_helpers.__file__).parent
FOLDER = PACKAGE / "explorer" / "page"
PATIENCE = 60_000  # milliseconds that a page may take on a slow and busy machine
ADDRESS = "https://explorer.test/"  # https, for only there pages may use the clipboard
COLOUR_MAPS = {"signed": "RdBu_r", "unsigned": "viridis", "ink": "gray_r"}
# what a page would load from the network
FETCHED = re.compile(
    r"""\b(?:src|srcset|data|action|poster)\s*=\s*["']?\s*(?:https?:)?//[^"'\s]*"""
    r"""|<link[^>]*href\s*=\s*["']?\s*(?:https?:)?//[^"'\s>]*|url\(\s*["']?\s*(?:https?:)?//[^)]*"""
    r"""|@import[^;]*|\bimport\s*\(?\s*["'][^"']*|\bfetch\s*\(|XMLHttpRequest|WebSocket|EventSource"""
    r"""|sendBeacon|importScripts|new Worker""",
    re.IGNORECASE,
)
# a host in JavaScript: `sent` holds what the page sent, `set` brings a new state or progress
HOST = """
const revive = (value) => {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) {
    const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
    const shifted = new Uint8Array(bytes.length + value.offset);
    shifted.set(bytes, value.offset);
    return new DataView(shifted.buffer, value.offset);
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, revive(each)]));
};
const host = {
  get: (name) => host.values[name],
  on: (event, call) => { host.listeners[event] = call; },
  off: (event) => { delete host.listeners[event]; },
  send: (message) => host.sent.push(message),
  set: (name, value) => {
    host.values[name] = revive(value);
    host.listeners[`change:${name}`]?.();
  },
};
"""
PAGE = """<!doctype html><html lang="en"><head><title>Explorer</title><style>{style}</style>
<script>{script}</script></head><body style="margin: 0"><div class="output">
<div class="jp-OutputArea-child" id="still"><img alt="the still"></div>
<div class="jp-OutputArea-child"><div id="here"></div></div></div></body></html>"""
# a new document takes half a second of a core: the next explorer gets a new body and an empty host
START = """([state, theme, light]) => {
    window.cleanup?.();
    window.empty ??= document.body.cloneNode(true);
    document.body.replaceWith(window.empty.cloneNode(true));
    Object.assign(host, { values: { progress: null }, listeners: {}, sent: [] });
    document.body.style.cssText += theme;
    document.body.dataset.jpThemeLight = light;
    host.set("state", state);
    window.cleanup = mount(host, document.querySelector("#here"));
}"""
# as one text, for a list of a million numbers takes seconds on its way out of the browser
PIXELS = """canvas => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return [height, width, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""))];
}"""
# what JupyterLab's dark theme sets, and what its light one does
THEMES = {
    "dark": "--jp-layout-color1: #111111; --jp-layout-color2: #424242; background: #111111; "
    "--jp-border-color2: #616161; --jp-ui-font-color1: #ffffff",
    "light": "--jp-layout-color1: white; --jp-layout-color2: #eeeeee; background: white; "
    "--jp-border-color2: #e0e0e0; --jp-ui-font-color1: rgba(0, 0, 0, 0.87)",
}


def palettes() -> dict[str, list]:
    """The palettes as the page reads them: 255 colours each, by matplotlib, as 32 bits."""
    ramp = np.linspace(0, 1, 255)
    return {
        name: matplotlib.colormaps[colour_map](ramp, bytes=True).view("<u4").ravel().tolist()
        for name, colour_map in COLOUR_MAPS.items()
    }


def encode(value: object, arrays: list[np.ndarray]) -> object:
    """A scene as JSON; arrays as their place in `arrays`."""
    if isinstance(value, np.ndarray):
        arrays.append(value if value.dtype == np.float16 else value.astype(np.float32))
        return {"shape": value.shape, "array": len(arrays) - 1}
    if dataclasses.is_dataclass(value) or isinstance(value, Row | Column):
        fields = dict(vars(value))
        if isinstance(value, Table):
            fields["texts"] = value.texts
        if isinstance(value, Scatter):
            fields["letters"] = value.letters
        kind = type(value).__name__.lower()
        return {"kind": kind} | {name: encode(each, arrays) for name, each in fields.items()}
    if isinstance(value, dict):
        return {name: encode(each, arrays) for name, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [encode(each, arrays) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def make_state(content: Item, *, offset: int = 0, **parts: object) -> dict[str, object]:
    """A state of the explorer that shows `content`; the bytes of arrays begin at `offset`."""
    plain = {
        "view": "pipeline",
        "call": "explore(model, images, labels)",
        "error": "",
        "serial": 0,
    }
    shown = {
        "header": Text(text="7", size="large"),
        "trail": Row(),
        "scene": Scene(content, "What is seen, in one sentence."),
    }
    shown |= {name: parts.pop(name) for name in list(parts) if name in shown}
    arrays: list[np.ndarray] = []
    text = json.dumps(encode(shown, arrays))
    numbers = [
        {"base64": base64.b64encode(each.tobytes()).decode(), "offset": offset} for each in arrays
    ]
    return plain | parts | {"shown": text, "numbers": numbers}


def new_page(browser: Browser, **options: object) -> Page:
    """An empty page with patience; `errors` holds what its scripts raised."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    return page


@functools.cache
def document() -> str:
    """The page before it is mounted: the explorer's style and scripts, and the host."""
    constants = f"const PALETTES = {json.dumps(palettes())}; const LETTERS = {json.dumps(LETTERS)};"
    names = ("marks", "maps", "tables", "charts", "pad", "pictures", "explorer")
    scripts = [(FOLDER / f"{name}.js").read_text() for name in names]
    script = "\n".join([constants, *scripts, HOST])
    style = (FOLDER / "explorer.css").read_text()
    return PAGE.replace("{style}", style).replace("{script}", script)


def mount(page: Page, state: dict, *, dark: bool = False) -> None:
    """Shows the explorer in place of what the page shows; scripts reach `host` and `cleanup`."""
    if page.url != ADDRESS:
        answer = {"body": document(), "content_type": "text/html; charset=utf-8"}
        page.unroute(ADDRESS)
        # stays: without a route the browser asks the network for an icon
        page.route(ADDRESS, lambda route: route.fulfill(**answer))
        page.goto(ADDRESS)
    theme = "dark" if dark else "light"
    page.evaluate(START, [state, THEMES[theme], str(not dark).lower()])


def pixels(canvas: Locator) -> np.ndarray:
    """What a canvas shows: (height, width, 4) in bytes."""
    height, width, text = canvas.evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def show(page: Page, content: Item, **parts: object) -> None:
    """Brings another scene, as the host's answer."""
    page.evaluate("state => host.set('state', state)", make_state(content, **parts))


def sent(page: Page) -> list[dict]:
    """What the page sent to its host, and forgets it; every selection counts as answered."""
    return page.evaluate(
        """() => {
            const messages = host.sent.splice(0).filter((m) => "select" in m);
            const last = Math.max(host.values.state.serial, ...messages.map((m) => m.serial ?? 0));
            host.values.state.serial = last;
            return messages;
        }"""
    )
