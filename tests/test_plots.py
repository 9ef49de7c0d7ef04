"""Every page's figures and tables, drawn in this process from the committed records: what `plots` does with real ones.

The book's own build executes the same notebooks in kernels, where nothing tells which lines ran or what a figure holds.
"""

import os
import re
from collections.abc import Iterator

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


def run(
    name: str, monkeypatch: pytest.MonkeyPatch, **parameters: str
) -> Iterator[tuple[nbformat.NotebookNode, list[object]]]:
    """Execute a page's code cells, one after the other, and give each with all that has been displayed."""
    monkeypatch.chdir(ROOT / "notebooks")
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda *objects, **_: shown.extend(objects))
    namespace: dict[str, object] = {}
    for cell in nbformat.read(f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code" or "remove-cell" in cell.metadata.get("tags", []):
            continue
        exec(compile(cell.source, f"{name} {cell.id}", "exec"), namespace)  # noqa: S102 - the book's own cells
        if "parameters" in cell.metadata.get("tags", []):
            namespace |= parameters
        yield cell, shown
        plt.close("all")
    assert os.getcwd() == str(ROOT / "notebooks")


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_of_a_page_shows_something_or_says_that_it_is_not_run(name, monkeypatch):
    figures, shown = 0, []
    for cell, shown in run(name, monkeypatch):
        if "figure" in cell.metadata.get("mystnb", {}):
            (number,) = plt.get_fignums()
            axes = plt.figure(number).get_axes()
            # Captions and alternative texts are of one figure a cell.
            written = {text.get_text() for axis in axes for text in axis.texts}
            assert any(axis.has_data() for axis in axes) or plots.NOT_YET in written, f"{cell.id} draws nothing"
            figures += 1
    tables = [table for table in shown if isinstance(table, plots.Table)]
    assert figures or tables
    for table in tables:
        assert len(table.frame), f"{table.name} has no line"
        assert table.caption and not re.search(r"\bnan\b|None|\{|\}", table.markdown()), table.name
        assert f'id="T_{table.name}' in table._repr_html_()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_records_that_are_empty_does_not_fail(name, tmp_path, monkeypatch):
    for cell, _ in run(name, monkeypatch, results=str(tmp_path)):
        assert len(plt.get_fignums()) == ("figure" in cell.metadata.get("mystnb", {})), cell.id


def test_a_permuted_response_is_drawn_at_the_entropy_of_the_genuine_one():
    """And hollow, and counterfeits that nearly meet share a place for their letters."""
    kinds = {"equal": (1.6, 0.9), "permuted": (1.6, 0.0), "permuted by class": (1.6, 0.0), "even": (2.2, 0.0)}
    rows = [
        {"dataset": "mnist", "profile": "paper", "teacher": teacher, "training": how, "variance": 0.1 * entropy}
        | {"entropy": entropy - less, "accuracy_missing": named, "low": named, "high": named}
        for teacher, less in (("small", 0.0), ("large", 0.5))
        for how, (entropy, named) in kinds.items()
    ]
    left, _ = plots.spectrum(pd.DataFrame(rows), ["mnist"]).axes
    line = plots.entropy_lines(pd.DataFrame(rows), ["mnist"]).axes[0]
    for axis in (left, line):
        hollow = [mark for mark in axis.lines if mark.get_markerfacecolor() == "none" and len(mark.get_xdata())]
        assert [(*mark.get_xdata(),) for mark in hollow] == [(1.6, 1.6, 2.2), (1.1, 1.1, pytest.approx(1.7))]
        dotted = [tuple(mark.get_xdata()) for mark in axis.lines if mark.get_linestyle() == ":"]
        assert dotted == [(1.6, 1.6), (1.1, 1.1)], "straight down"
        assert [text.get_text() for text in axis.texts][:4] == ["ab", "d"] * 2
        labels = axis.get_legend_handles_labels()[1]
        assert labels[:2] == ["small teacher", "large teacher"] and "a: permuted" in labels
    plain = pd.DataFrame(rows).query("training == 'equal'")
    assert not plots.spectrum(plain, ["mnist"]).axes[0].texts, "nor is there a key to letters"
    plt.close("all")


def test_bold_is_bold_in_html_and_nothing_is_cut_off():
    frame = pd.DataFrame({"verdict": ["**partly** (provisional)", "**9.5**", "2 ** 3"], "n": [1, 2, 3]})
    html = plots.Table(frame, "Verdicts", "verdicts")._repr_html_()
    assert "<b>partly</b> (provisional)<" in html and "<b>9.5</b><" in html and "2 ** 3<" in html


def test_a_verdict_shows_its_estimate_as_finely_as_it_is_known():
    row = {"statement": "It is so.", "section": "1", "what": "a minus b", "dataset": "mnist", "profile": "paper"}
    cell = lambda **of: plots.verdict_matrix(
        pd.DataFrame([row | {"verdict": "reproduced", "seeds": 3, "detail": "", "published": None} | of])
    ).frame.loc[0]
    points = cell(estimate=5.267, low=3.24, high=7.29, unit="points")
    assert points["MNIST"] == "**reproduced**: +5.3 [+3.2, +7.3]" and points["estimate"] == "a minus b, points"
    nats = cell(estimate=0.114, low=0.0008, high=0.227, unit="nats", published=0.2)
    assert nats["MNIST"].endswith("+0.114 [+0.001, +0.227]; published +0.200")
    times = cell(estimate=4.0, low=2.94, high=5.45, unit="times (2 of 9 ratios are bounds)", published=10.0)
    assert times["MNIST"].endswith(": 4.00 (2 of 9 ratios are bounds) [2.94, 5.45]; published 10")
    assert times["estimate"] == "a minus b, times"
    ranks = cell(estimate=-1.0, low=-1.0, high=-1.0, unit="rank correlation")["MNIST"]
    assert ranks.endswith("-1.00, on each of 3 seeds"), "that is no interval"
    one = cell(estimate=-1.0, low=float("nan"), high=float("nan"), unit="rank correlation", seeds=1)["MNIST"]
    assert one.endswith("(provisional): -1.00, 1 seed")


def test_depths_are_a_line_for_each_number_of_hidden_layers():
    columns = ["dataset", "profile", "training", "teacher", "plain", "hidden", "layers", "missing", "entropy"]
    rows = [
        ("mnist", "cpu", "relu", "small", True, 0, 3, 0.7, 1.5),
        ("mnist", "cpu", "no-dense+depth-2", "large", True, 0, 3, 0.5, 1.3),
        ("mnist", "cpu", "no-dense", "large", True, 0, 4, 0.4, 1.2),
        ("mnist", "cpu", "no dropout", "large", True, 2, 6, 0.2, 1.1),
        ("mnist", "cpu", "equal", "large", False, 2, 6, 0.1, 1.0),
    ]
    figure = plots.depths(pd.DataFrame(rows, columns=columns), ["mnist"])
    lines = lambda axis: {
        of.get_label(): [list(of.get_xdata()), [round(float(y), 6) for y in of.get_ydata()]] for of in axis.get_lines()
    }
    assert lines(figure.axes[0]) == {
        "hidden dense layers: 0": [[3, 4], [60, 40]],
        "hidden dense layers: 2": [[6], [20]],
        "large teacher of Table 7": [[6], [10]],
    }
    assert lines(figure.axes[1])["hidden dense layers: 0"] == [[3, 4], [1.4, 1.2]]
    plt.close(figure)
