"""Real JupyterLab in headless Chromium, for the browser tests and for benchmarks/widgets.py."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, TimeoutError, sync_playwright

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
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
WAITED = re.compile(r"\[(\*|\d+)\]")  # the prompt of a cell that waits, runs or has run
# all of these only bound a hang: what takes longer hangs on a slow and busy machine, too
PATIENCE = 300  # seconds for the server, or for one answer of the page
RUN = 3000  # seconds for all cells of a notebook
LAUNCH = 180  # seconds for the browser to start
TRIES = (5, 10, 20, 40, 80, 160)  # seconds for a Run All to show


@contextlib.contextmanager
def jupyter_lab(root: Path, notebook: Path) -> Iterator[str]:
    """Serves a copy of `notebook` from `root` with settings of its own; gives the address."""
    place_copy(notebook, root)
    folders = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_RUNTIME_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
    )
    own = {name: str(root / name) for name in folders}
    for name, text in SETTINGS.items():
        path = root / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    options = [
        "--no-browser",
        "--allow-root",
        "--LabApp.expose_app_in_browser=True",
        "--port=0",  # a free one, which the server itself chooses
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={root}",
    ]
    with (root / "log.txt").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options]
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
        try:
            yield wait_for_server(process, root)
        finally:
            process.terminate()
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def place_copy(notebook: Path, root: Path) -> None:
    """Copies a notebook without what was saved of a run: a prompt's number tells of a new one."""
    content = json.loads(notebook.read_text("utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
    (root / notebook.name).write_text(json.dumps(content), "utf-8")


def wait_for_server(process: subprocess.Popen, root: Path) -> str:
    """The address of a server, when it answers.

    Raises:
        RuntimeError: it has ended, or has not answered in time; the message holds its log.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for path in (root / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"):
            # the file may be half written, and the server not yet there
            with contextlib.suppress(OSError, ValueError):
                address = f"http://127.0.0.1:{json.loads(path.read_text())['port']}"
                urllib.request.urlopen(f"{address}/api", timeout=PATIENCE)
                return address
        time.sleep(0.2)
    state = f"ended with {process.returncode}"
    if process.returncode is None:
        state = f"did not answer within {PATIENCE} s"
    log = (root / "log.txt").read_text("utf-8", "replace")
    raise RuntimeError(f"JupyterLab {state}. Its log:\n{log}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS.split(), timeout=1000 * LAUNCH
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def notebook_page(address: str, name: str) -> Iterator[Page]:
    """The notebook `name` after Run All, scrolled to its first explorer.

    `page.errors` holds the console's complaints.
    """
    with chromium() as browser:
        page = open_notebook(browser, address, name)
        run_all(page)
        yield page


def open_notebook(browser: Browser, address: str, name: str, scale: float = 1.5) -> Page:
    """A page with the notebook `name`, in a workspace of its own, when its kernel is ready.

    Args:
        scale: pixels of the screen for one of the page; what nobody looks at needs no more than 1.
    """
    page = browser.new_page(viewport={"width": 1300, "height": 1200}, device_scale_factor=scale)
    page.set_default_timeout(1000 * PATIENCE)
    page.errors = []
    page.on(
        "console",
        lambda message: page.errors.append(message.text) if message.type == "error" else None,
    )
    # seen on a busy machine alone: a question lies over the notebook until somebody answers
    dialog = page.locator(".jp-Dialog")
    page.add_locator_handler(dialog, lambda: accept(dialog))
    page.goto(f"{address}/lab/workspaces/{Path(name).stem}/tree/{name}")
    page.wait_for_selector(IDLE)
    return page


def accept(dialog: Locator) -> None:
    """Takes what a dialog of JupyterLab's proposes, and tells what it asked."""
    warnings.warn(f"JupyterLab asked: {dialog.inner_text()}", stacklevel=2)
    dialog.locator(".jp-mod-accept").click()


def run_all(page: Page) -> None:
    """Runs all cells of the open notebook and scrolls to its first explorer."""
    page.keyboard.press("Control+b")  # hides the side bar
    waited = page.locator(".jp-InputPrompt", has_text=WAITED).first
    for seconds in TRIES:  # a first Run All may be lost
        page.click(".jp-CodeCell .jp-InputArea-editor >> nth=0")
        page.keyboard.press("Escape")
        page.click("text=Run >> nth=0")
        page.click(".lm-Menu-item >> text=Run All Cells")
        with contextlib.suppress(TimeoutError):
            waited.wait_for(timeout=1000 * seconds, state="attached")
            break
    page.wait_for_selector(EXPLORER, state="attached", timeout=1000 * RUN)
    page.wait_for_selector(IDLE, timeout=1000 * RUN)
    page.locator(EXPLORER).first.scroll_into_view_if_needed()
