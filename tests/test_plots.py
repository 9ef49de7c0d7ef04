"""Every page's figures and tables, drawn in this process from the committed records: what `plots` does with real ones.

The book's own build executes the same notebooks in kernels, where nothing tells which lines ran or what a figure holds.
"""

import os
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from conftest import ROOT

from kdutils import plots

# Page 8 runs a search; its own figures are drawn in test_sweetspot.py and test_guides.py, and the book shows it.
PAGES = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb") if not p.stem.startswith("08"))


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_of_a_page_shows_something_or_says_that_it_is_not_run(name, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda *objects, **_: shown.extend(objects))
    namespace: dict[str, object] = {}
    figures = 0
    for cell in nbformat.read(f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code" or "remove-cell" in cell.metadata.get("tags", []):
            continue
        exec(compile(cell.source, f"{name} {cell.id}", "exec"), namespace)  # noqa: S102 - the book's own cells
        if "figure" in cell.metadata.get("mystnb", {}):
            (number,) = plt.get_fignums()
            axes = plt.figure(number).get_axes()
            # Captions and alternative texts are of one figure a cell.
            written = {text.get_text() for axis in axes for text in axis.texts}
            assert any(axis.has_data() for axis in axes) or plots.NOT_YET in written, f"{cell.id} draws nothing"
            figures += 1
        plt.close("all")
    tables = [table for table in shown if isinstance(table, plots.Table)]
    assert figures or tables
    for table in tables:
        assert len(table.frame), f"{table.name} has no line"
        assert table.caption and not re.search(r"\bnan\b|None|\{|\}", table.markdown()), table.name
        assert f'id="T_{table.name}' in table._repr_html_()
    assert os.getcwd() == str(ROOT / "notebooks")


def test_bold_is_bold_in_html_and_nothing_is_cut_off():
    frame = pd.DataFrame({"verdict": ["**partly** (provisional)", "**9.5**", "2 ** 3"], "n": [1, 2, 3]})
    html = plots.Table(frame, "Verdicts", "verdicts")._repr_html_()
    assert "<b>partly</b> (provisional)<" in html and "<b>9.5</b><" in html and "2 ** 3<" in html
