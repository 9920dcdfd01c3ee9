"""What a clone needs: dependencies said once, environment.yml in step, no large file."""

import re
import subprocess
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mnist_helpers.config import PROJECT_DIR

PROJECT = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["project"]
LINES = [
    line
    for line in (PROJECT_DIR / "requirements.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_dependency_is_pinned_within_its_range():
    pins = {}
    for requirement in map(Requirement, LINES):
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins.setdefault(canonicalize_name(requirement.name), []).append(specifier.version)
    extras = [line for group in PROJECT["optional-dependencies"].values() for line in group]
    for requirement in map(Requirement, PROJECT["dependencies"] + extras):
        assert all(
            requirement.specifier.contains(version)
            for version in pins[canonicalize_name(requirement.name)]
        )


def test_requirements_name_no_registry():
    text = (PROJECT_DIR / "requirements.txt").read_text()
    assert "://" not in text
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
    files = [
        PROJECT_DIR / name for name in tracked.stdout.splitlines() if (PROJECT_DIR / name).is_file()
    ]
    assert not [file.name for file in files if file.name.endswith("-ubyte")]
    assert not [
        file.name for file in files if file.stat().st_size > 2_000_000 and file.suffix != ".gz"
    ]


def test_every_module_is_described_in_contributing():
    table = (PROJECT_DIR / "CONTRIBUTING.md").read_text()
    modules = {file.stem for file in (PROJECT_DIR / "mnist_helpers").glob("[a-z]*.py")}
    assert modules == set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE))


def test_modules_import_only_what_contributing_allows():
    table = dict(
        re.findall(
            r"^\| `(\w+)` \|[^|]*\|([^|]*)\|",
            (PROJECT_DIR / "CONTRIBUTING.md").read_text(),
            re.MULTILINE,
        )
    )
    for module, allowed in table.items():
        source = (PROJECT_DIR / "mnist_helpers" / f"{module}.py").read_text()
        used = set(re.findall(r"from mnist_helpers\.(\w+) import", source))
        used |= set(re.findall(r"from mnist_helpers import (\w+)", source))
        assert used == set(re.findall(r"`(\w+)`", allowed)), module
