"""environment.yml, pyproject.toml, CITATION.cff and the package agree on versions."""

import re
import tomllib
from pathlib import Path

import kdutils

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def conda_requirements() -> tuple[list[str], list[str]]:
    """The conda requirements of environment.yml, and those under its `pip:`."""
    lines = (ROOT / "environment.yml").read_text().split("dependencies:\n")[1].splitlines()
    conda = [line[4:] for line in lines if line.startswith("  - ") and line != "  - pip:"]
    pip = [line[8:] for line in lines if line.startswith("      - ")]
    assert len(conda) + len(pip) + 1 == len(lines), "a line of environment.yml that this test does not understand"
    return conda, pip


def test_conda_environment_has_the_pins_of_pyproject() -> None:
    pip = conda_requirements()[1]
    assert sorted(pip) == sorted([*EXTRAS["pinned"], *EXTRAS["book"], *EXTRAS["test"], "-e ."])


def test_every_extra_is_pinned_exactly() -> None:
    for extra, requirements in EXTRAS.items():
        for requirement in requirements:
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==[^,;]+", requirement), f"{extra}: {requirement}"


def test_every_core_package_is_pinned_within_its_bounds() -> None:
    pins = dict(requirement.split("==") for requirement in EXTRAS["pinned"])
    bounds = dict(requirement.split(">=") for requirement in PROJECT["dependencies"])
    assert pins.keys() == bounds.keys()
    number = lambda version: tuple(int(part) for part in version.split("."))
    for name, lowest in bounds.items():
        assert number(pins[name]) >= number(lowest), name


def test_python_of_the_conda_environment_is_allowed() -> None:
    (python,) = [requirement for requirement in conda_requirements()[0] if requirement.startswith("python=")]
    lowest, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert int(lowest) <= int(python.removeprefix("python=3.")) < int(end)


def test_version_is_the_same_in_the_citation() -> None:
    assert f"\nversion: {kdutils.__version__}\n" in (ROOT / "CITATION.cff").read_text()
