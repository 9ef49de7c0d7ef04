"""The code's own state: lint and format (Ruff), types (mypy), public docstrings (numpydoc); settings in pyproject.toml."""

import subprocess
import sys

import pytest
from conftest import ROOT

#: Modules that others import: their docstrings document every parameter, unless one line says all. The functions of the
#: others, which stand behind the book, take a `Study` or tables of records, which `records` and `Study` document.
IMPORTED = ("data", "errors", "fleet", "losses", "models", "projection", "response", "sweetspot", "training")
BEHIND = sorted({path.stem for path in (ROOT / "kdutils").glob("*.py")} - {*IMPORTED})


def paths(names: tuple[str, ...] | list[str]) -> list[str]:
    return [f"kdutils/{name}.py" for name in names]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy"],
        ["numpydoc", "lint", *paths(IMPORTED)],
        ["numpydoc", "lint", "--ignore", "PR01", *paths(BEHIND)],
    ],
    ids=["ruff check", "ruff format", "mypy", "numpydoc", "numpydoc, behind the book"],
)
def test_tool_finds_nothing(command: list[str]) -> None:
    finished = subprocess.run([sys.executable, "-m", *command], check=False, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, f"{' '.join(command)}\n{finished.stdout}{finished.stderr}"
