"""What a clone needs: dependencies said once, environment.yml in step, no large file."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import mnist_helpers
from mnist_helpers.commands.cli import main
from mnist_helpers.config import PROJECT_DIR

SETTINGS = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
PINNED = (PROJECT_DIR / "requirements.txt").read_text()
LINES = [line for line in PINNED.splitlines() if not line.startswith("#")]
GROUPS = [*PROJECT["optional-dependencies"].values(), *SETTINGS["dependency-groups"].values()]
EXTRAS = [line for group in GROUPS for line in group if isinstance(line, str)]


def test_every_dependency_is_pinned_within_its_range():
    pins = {}
    for requirement in map(Requirement, LINES):
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins.setdefault(canonicalize_name(requirement.name), []).append(specifier.version)
    others = [line for line in EXTRAS if not line.startswith("mnist-helpers")]
    for requirement in map(Requirement, PROJECT["dependencies"] + others):
        for version in pins[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(version)


def test_nothing_is_declared_twice_and_the_package_needs_no_tool():
    names = [Requirement(line).name for line in PROJECT["dependencies"] + EXTRAS]
    assert len(names) == len(set(names))
    core = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not core & {"pytest", "nbval", "papermill", "jupyterlab", "onnx", "ruff", "playwright"}


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("notebooks load_model", "papermill"),
        ("site", "nbconvert"),
        ("analyze", "papermill"),
        ("export --format onnx --out x.onnx", "onnxscript"),
        ("train --tensorboard board --runs-dir runs", "tensorboard"),
    ],
)
def test_a_command_that_lacks_an_extra_says_so(line, module, tmp_path, capsys, monkeypatch):
    commands = ("commands.analyze", "commands.notebooks", "commands.site")
    for name in ("site.build", *commands):
        monkeypatch.delitem(sys.modules, f"mnist_helpers.{name}", raising=False)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.delattr(mnist_helpers.commands, "notebooks", raising=False)
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(line.split())
    remedy = f"{module} is not installed; pip install 'mnist-helpers[all]'"
    told = capsys.readouterr().err.removeprefix("loading PyTorch\n")  # where no test has before
    assert told == f"mnist-helpers: {remedy}.\n"
    assert not (tmp_path / "runs").exists()  # told before the work begins


def test_requirements_name_no_registry():
    assert "://" not in PINNED
    assert "index" not in "\n".join(LINES)


def test_the_conda_environment_installs_the_same_pins():
    environment = yaml.safe_load((PROJECT_DIR / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    names = {re.match(r"[a-z]+", line)[0]: line for line in conda}
    assert set(names) == {"python", "pip"}  # everything else comes pinned, from requirements.txt
    version = names["python"].split("=")[1]
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    assert pip == {"pip": ["-r requirements.txt", "-e ."]}


def test_no_unpacked_data_and_no_large_file_is_tracked():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    )
    files = [PROJECT_DIR / name for name in tracked.stdout.splitlines()]
    packed = [file for file in files if file.is_file() and file.suffix != ".gz"]
    assert not [file for file in packed if file.name.endswith("-ubyte")]
    assert not [file for file in packed if file.stat().st_size > 2_000_000]


def test_links_in_the_documentation_lead_somewhere():
    for path in (PROJECT_DIR / "README.md", *(PROJECT_DIR / "docs").glob("*.md")):
        links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
        inside = [link for link in links if "://" not in link]
        assert inside
        assert [link for link in inside if not (path.parent / link).exists()] == []


def test_jupyterlab_sees_the_whole_collection():
    """Else its root were the notebooks' folder, and their links to docs/ would lead nowhere."""
    for name in ("Makefile", "README.md"):
        (command,) = re.findall(r"jupyter lab (.*ipynb)", (PROJECT_DIR / name).read_text())
        assert command == "--ServerApp.root_dir=. notebooks/00_start_here.ipynb"


def test_modules_import_only_what_the_contracts_allow():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout
