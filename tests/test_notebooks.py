"""Committed notebooks: without outputs, with annotated parameters, ready for Colab. That they run is shown by
the published book, which executes each at its own parameters, and by test_pages.py."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, load_book_builder

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TYPES = {"profile": "str", "compute": "str", "datasets": "list", "seeds": "int", "device": "str", "results": "str"}
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text())["cells"]


@each
def test_no_outputs_are_committed(path: Path) -> None:
    strip = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", "--extra-keys",
             "metadata.papermill cell.metadata.papermill cell.metadata.execution", str(path)]  # fmt: skip
    finished = subprocess.run(strip, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, f"run nbstripout with these options: {' '.join(strip)}\n{finished.stdout}"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells(path))


@each
def test_parameters_say_type_and_purpose(path: Path) -> None:
    inspect_notebook = pytest.importorskip("papermill").inspect_notebook
    parameters = inspect_notebook(str(path))
    assert {"profile", "compute", "results"} <= parameters.keys(), "the parameters cell is absent or lacks its tag"
    for name, parameter in parameters.items():
        assert parameter["help"], f"{name} has no comment"
        declared = parameter["inferred_type_name"]
        assert re.match(TYPES.get(name, r"(str|int|float|bool|list|dict)\b"), declared), f"{name}: {declared!r}"
    assert parameters["profile"]["default"] == '"paper"' and parameters["compute"]["default"] == '"never"'


@each
def test_every_line_of_the_parameters_cell_is_seen_by_papermill(path: Path) -> None:
    inspect_notebook = pytest.importorskip("papermill").inspect_notebook
    (cell,) = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assigned = re.findall(r"^(\w+)\s*(?::[^=\n]*)?=", "".join(cell["source"]), re.MULTILINE)
    assert assigned == list(inspect_notebook(str(path)))


@each
def test_first_cell_prepares_colab_and_only_colab(path: Path) -> None:
    first = cells(path)[0]
    source = "".join(first["source"])
    assert first["cell_type"] == "code"
    assert "google.colab" in source and load_book_builder().repository_slug() in source
    assert not re.search(r"install[^\n]*\btorch\b", source), "Colab's own torch stays"
    outside = [line for line in source.splitlines() if line and not line.startswith((" ", "#", ")"))]
    assert all(re.match(r"(import|from|if|else:|def|try:|except) ?", line) for line in outside), outside


@each
def test_badge_opens_this_notebook_in_colab(path: Path) -> None:
    link = f"colab.research.google.com/github/{load_book_builder().repository_slug()}/blob/main/notebooks/{path.name}"
    badge = [cell for cell in cells(path) if cell["cell_type"] == "markdown" and link in "".join(cell["source"])]
    assert badge, f"no badge with {link}"
    # its picture lies on another host; the book has a launch button of its own
    assert "remove-cell" in badge[0]["metadata"].get("tags", []), "tag the badge's cell remove-cell"


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted((ROOT / "book").glob("*.md"))], ids=lambda path: path.stem)
def test_no_line_of_text_is_taken_for_a_comment(path: Path) -> None:
    """In MyST a line that begins with a percent sign is one: it is left out of the page, without a warning."""
    texts = [path.read_text()]
    if path.suffix == ".ipynb":
        texts = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown"]
    assert not [line for text in texts for line in text.splitlines() if line.lstrip().startswith("%")]


@each
def test_page_starts_with_its_title(path: Path) -> None:
    shown = [cell for cell in cells(path) if "remove-cell" not in cell["metadata"].get("tags", [])]
    assert shown[0]["cell_type"] == "markdown" and "".join(shown[0]["source"]).startswith("# ")
