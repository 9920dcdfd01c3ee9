"""What each extra brings: `python benchmarks/installs.py` installs each into an empty folder.

Prints a table of sizes and seconds, and exits with 1 where a command doesn't do there what it
should: its work where its extra is installed, and elsewhere one sentence that names the extra.
Versions are those of requirements.txt. Needs uv, and packages from their registry or uv's cache.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mnist_helpers.config import PROJECT_DIR

EXTRAS = ("", "notebooks", "export", "tensorboard", "all")
EXPLORE = """
from mnist_helpers import load_checkpoint, load_splits
from mnist_helpers.explorer import explore
model, card = load_checkpoint()
images, labels = load_splits().test[:100]
print(explore(model, images, labels).scene.caption)
"""
COMMANDS = {  # by the extra that each needs
    "": ["python", "-c", EXPLORE],
    "notebooks": ["mnist-helpers", "notebooks", "00_start_here", "--output-dir", "{out}"],
    "export": ["mnist-helpers", "export", "--format", "onnx", "--out", "{out}/digits.onnx"],
    "tensorboard": [
        "mnist-helpers", "train", "--epochs", "1", "--runs-dir", "{out}", "--tensorboard", "{out}",
    ],
}  # fmt: skip


def install(extra: str, folder: Path) -> float:
    """Installs the package with an extra into a new environment; gives the seconds that it took."""
    uv = Path(sys.executable).with_name("uv")
    started = time.perf_counter()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    what = f"{PROJECT_DIR}[{extra}]"
    options = ["--quiet", "--constraint", PROJECT_DIR / "requirements.txt"]
    python = folder / "bin" / "python"
    subprocess.run([uv, "pip", "install", *options, "--python", python, what], check=True)
    return time.perf_counter() - started


def size(folder: Path) -> float:
    """The gigabytes of the files in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files) / 1e9


def complaint(environment: Path, extra: str, needed: str, out: Path) -> str:
    """What is wrong with the answer of a command in an environment with an extra, if anything."""
    words = [word.format(out=out) if word != EXPLORE else word for word in COMMANDS[needed]]
    words[0] = str(environment / "bin" / words[0])
    done = subprocess.run(words, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if extra in (needed, "all") or not needed:
        return done.stderr if done.returncode else ""
    sentence = f"pip install 'mnist-helpers[{needed}]'"
    is_told = done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    return "" if is_told else f"no word of the extra {needed}: {done.stderr}"


def main() -> int:
    """Installs and tries all."""
    failed = False
    print("| install | GB | of it nvidia, torch, triton | seconds |\n|---|---|---|---|")
    for extra in EXTRAS:
        with tempfile.TemporaryDirectory(dir=PROJECT_DIR / "outputs") as folder:
            environment = Path(folder) / "environment"
            seconds = install(extra, environment)
            (packages,) = environment.glob("lib/python*/site-packages")
            torch = sum(size(packages / name) for name in ("nvidia", "torch", "triton"))
            name = f"mnist-helpers[{extra}]".removesuffix("[]")
            print(
                f"| `{name}` | {size(environment):.2f} | {torch:.2f} | {seconds:.0f} |", flush=True
            )
            for needed in COMMANDS:
                wrong = complaint(environment, extra, needed, Path(folder) / "out")
                failed |= bool(wrong)
                if wrong:
                    print(f"{name}, {needed or 'explore'}: {wrong}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
