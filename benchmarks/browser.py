"""Real JupyterLab in headless Chromium, for the browser tests and for benchmarks/widgets.py."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
SETTINGS = {
    # keeps cells that are out of sight on the page
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false"}',
}
EXPLORER = ".mnist-explorer"


@contextlib.contextmanager
def jupyter_lab(root: Path, notebook: Path) -> Iterator[str]:
    """Serves a copy of `notebook` from `root` with settings of its own; gives the address."""
    shutil.copy(notebook, root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(root / name) for name in folders}
    for name, text in SETTINGS.items():
        path = root / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    options = [
        "--no-browser",
        "--allow-root",
        "--LabApp.expose_app_in_browser=True",
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={root}",
    ]
    with (root / "log.txt").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api")
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def notebook_page(address: str, name: str) -> Iterator[Page]:
    """The notebook `name` after Run All, scrolled to its first explorer.

    `page.errors` holds the console's complaints.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1300, "height": 1200}, device_scale_factor=1.5)
        page.set_default_timeout(60_000)
        page.errors = []
        page.on(
            "console",
            lambda message: page.errors.append(message.text) if message.type == "error" else None,
        )
        page.goto(f"{address}/lab/tree/{name}")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        page.wait_for_timeout(1500)
        page.keyboard.press("Control+b")  # hides the side bar
        for _ in range(5):  # a first Run All may be lost
            page.click(".jp-CodeCell .jp-InputArea-editor >> nth=0")
            page.keyboard.press("Escape")
            page.click("text=Run >> nth=0")
            page.click("text=Run All Cells >> nth=0")
            with contextlib.suppress(TimeoutError):
                page.wait_for_selector('.jp-InputPrompt:has-text("[*]")', timeout=4000)
                break
        page.wait_for_selector(EXPLORER, timeout=300_000, state="attached")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=300_000)
        page.locator(EXPLORER).first.scroll_into_view_if_needed()
        yield page
        browser.close()
