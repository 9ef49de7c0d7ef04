"""The book builds from the recorded evidence without a warning, is complete, and its pages stand on their own."""

import datetime
import json
import platform
import re
import subprocess
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, load_book_builder

from kdutils.errors import UserError
from kdutils.records import commit

builder = load_book_builder()
TOC = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


class Tags(HTMLParser):
    """All start tags of a page, as (name, attributes)."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.found.append((tag, {name: value or "" for name, value in attributes}))


def pages(book: Path) -> list[Path]:
    return [book / f"{name}.html" for name in TOC]


def test_contents_name_every_notebook() -> None:
    assert {path.stem for path in NOTEBOOKS} == {Path(name).name for name in TOC if name.startswith("notebooks/")}


def test_every_page_of_the_contents_is_built_and_no_other(published_book: Path) -> None:
    built = {page.relative_to(published_book).as_posix() for page in published_book.rglob("*.html")}
    built = {page for page in built if not page.startswith("_static/")}
    assert built == {f"{name}.html" for name in TOC} | {"index.html", "genindex.html", "search.html"}


def test_notebook_pages_show_outputs(published_book: Path) -> None:
    for page in pages(published_book):
        if page.parent.name == "notebooks":
            assert "cell_output" in page.read_text(), page.name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_that_a_page_names_is_on_it(published_book: Path, notebook: Path) -> None:
    page = (published_book / "notebooks" / f"{notebook.stem}.html").read_text()
    for cell in json.loads(notebook.read_text())["cells"]:
        if name := cell["metadata"].get("mystnb", {}).get("figure", {}).get("name"):
            figure = re.search(rf'<figure[^>]* id="{name}".*?</figure>', page, re.DOTALL)
            assert figure and "<img" in figure[0], name


def test_every_page_says_when_and_with_what_it_was_built(published_book: Path) -> None:
    for page in pages(published_book):
        line = re.search(r"Built on (\d{4}-\d\d-\d\d) with ([^<]*)\.</p>", page.read_text())
        assert line, page.name
        assert abs(datetime.datetime.now(datetime.UTC).date() - datetime.date.fromisoformat(line[1])).days <= 1
        for part in (f"Python {platform.python_version()}", f"torch {version('torch')}", "commit " * bool(commit())):
            assert part in line[2], page.name


def test_pages_load_nothing_from_elsewhere(published_book: Path) -> None:
    loading = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
    for page in [*pages(published_book), published_book / "search.html"]:
        for tag, attributes in Tags(page).found:
            loads = attributes.get(loading.get(tag, ""), "")
            if tag == "link" and attributes.get("rel") not in ("canonical", "index", "search", "next", "prev"):
                loads = attributes.get("href", "")
            assert not re.match(r"(https?:)?//", loads), f"{page.name}: <{tag}> loads {loads}"
            if loads and not loads.startswith("data:"):
                assert (page.parent / loads.split("?")[0].split("#")[0]).exists(), f"{page.name}: no {loads}"


def test_images_have_alternative_text(published_book: Path) -> None:
    for page in pages(published_book):
        for tag, attributes in Tags(page).found:
            if tag == "img" and not attributes.get("src", "").startswith("data:"):
                # without one, Sphinx writes the file's name
                assert attributes.get("alt", "") and "_images/" not in attributes["alt"], f"{page.name}: {attributes}"


@pytest.mark.skipif(not NOTEBOOKS, reason="there are no notebooks")
def test_published_records_are_not_written(published_book: Path) -> None:
    source = published_book.parent / "publish" / "source" / "notebooks"
    for notebook in source.glob("*.ipynb"):
        # the published pages come from each notebook's own defaults, which read records and compute nothing
        assert "injected-parameters" not in notebook.read_text(), notebook.name


def write_notebook(folder: Path, name: str, *cells: str, parameters: str = "") -> Path:
    """Write a notebook of code cells, the first one tagged as its parameters, and return its path."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def test_a_notebook_gets_the_parameters_it_declares_and_no_others(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "source", "a", "print(profile, datasets, seeds, 'device' in globals())",
        parameters='profile: str = "paper"  # profile\ndatasets: list = []  # names\nseeds: int = 3  # seeds',
    )  # fmt: skip
    builder.execute(tmp_path / "source", {"profile": "smoke", "datasets": ["digits"], "device": "cpu"})
    outputs = json.loads(path.read_text())["cells"][-1]["outputs"]
    assert outputs[0]["text"] == ["smoke ['digits'] 3 False\n"]


def test_progress_inside_a_notebook_is_shown_and_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_notebook(
        tmp_path / "source",
        "a",
        "import os\nopen(os.environ['KDUTILS_PROGRESS'], 'a').write('half way'); print('done')",
    )
    builder.execute(tmp_path / "source", {})
    assert "half way" in capsys.readouterr().err
    assert '"half way' not in path.read_text()


def test_a_failing_notebook_stops_the_build_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_notebook(tmp_path / "source", "broken", "print('so far')", "raise ValueError('what went wrong')")
    with pytest.raises(UserError, match=r"broken\.ipynb failed"):
        builder.execute(tmp_path / "source", {})
    assert "what went wrong" in capsys.readouterr().err


def test_a_kernel_that_never_answers_is_started_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run, tried = write_notebook(tmp_path / "source", "a", "print('done')"), subprocess.run, []

    def dead_at_first(command: list[str], **options: object) -> subprocess.CompletedProcess:
        tried.append(command)
        if len(tried) == 1:
            return subprocess.CompletedProcess(command, 1, "RuntimeError: Kernel didn't respond in 120 seconds")
        return run(command, **options)

    monkeypatch.setattr(builder.subprocess, "run", dead_at_first)
    builder.execute(tmp_path / "source", {})
    assert len(tried) == 2 and "done" in path.read_text()


def test_a_notebook_that_shows_nothing_stops_the_build(tmp_path: Path) -> None:
    write_notebook(tmp_path / "source", "silent", "x = 1")
    with pytest.raises(UserError, match=r"silent\.ipynb executed nothing"):
        builder.execute(tmp_path / "source", {})


def test_outputs_of_an_earlier_run_are_no_execution(tmp_path: Path) -> None:
    path = write_notebook(tmp_path, "idle", "print(1)")
    notebook = nbformat.read(path, 4)
    notebook.cells[-1]["outputs"] = [nbformat.v4.new_output("stream", text="1")]
    nbformat.write(notebook, path)
    with pytest.raises(UserError, match=r"idle\.ipynb executed nothing"):
        builder.check_executed(path)
    notebook.cells[-1]["execution_count"] = 1
    nbformat.write(notebook, path)
    builder.check_executed(path)


def test_a_warning_stops_the_build(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "_config.yml").write_text("title: t\nexecute:\n  execute_notebooks: force\n")
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (source / "index.md").write_text("# Title\n\n{ref}`nowhere`\n")
    with pytest.raises(UserError, match="does not build without warnings"):
        builder.render(source, tmp_path / "html")
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "html").exists()


@pytest.mark.parametrize("profile, starts_from_the_committed", [("smoke", False), ("cpu", True), ("paper", True)])
def test_a_replication_works_on_its_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, starts_from_the_committed: bool
) -> None:
    root, given = tmp_path / "root", {}
    (root / "book" / "results").mkdir(parents=True)
    (root / "book" / "results" / "table.csv").write_text("committed")
    monkeypatch.setattr(builder, "ROOT", root)
    monkeypatch.setattr(builder, "execute", lambda source, parameters: given.update(parameters))
    monkeypatch.setattr(builder, "render", lambda source, html: html)

    html = builder.replicate(profile, ["digits"], None, "cpu", "missing", tmp_path / "_build")

    results = Path(given["results"])
    assert results.is_relative_to(tmp_path / "_build") and html.is_relative_to(tmp_path / "_build")
    assert (results / "table.csv").exists() == starts_from_the_committed
    assert "seeds" not in given, "without a number of seeds, each notebook's own holds"
    (results / "table.csv").write_text("made now")
    builder.replicate(profile, ["digits"], None, "cpu", "missing", tmp_path / "_build")
    assert (results / "table.csv").read_text() == "made now", "a second call continues"
    assert (html.parent / "source" / "book" / "results" / "table.csv").read_text() == "made now"
    assert (root / "book" / "results" / "table.csv").read_text() == "committed"


def test_the_public_address_is_the_same_everywhere() -> None:
    slug = builder.repository_slug()
    owner, name = slug.split("/")
    host = r"(?:colab\.research\.google\.com/github/|raw\.githubusercontent\.com/|github\.com/)"
    found = set()
    for path in builder.files_with_address():
        text = path.read_text()
        ours = re.findall(rf"{host}([\w.-]+/{re.escape(name)})\b", text)
        colab = re.findall(r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)", text)
        pages = re.findall(rf"([\w-]+)\.github\.io/{re.escape(name)}\b", text)
        assert set(ours) | set(colab) <= {slug} and set(pages) <= {owner}, (
            f"{path.name} names another repository than pyproject.toml; `python book/build.py address` mends it"
        )
        if ours:
            found.add(path)
    expected = {ROOT / "_config.yml", ROOT / "CITATION.cff", *NOTEBOOKS}
    assert expected <= found


def test_writing_a_new_address_reaches_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/new-owner/new-name"\n')
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/old/name\n")
    (tmp_path / "README.md").write_text("https://github.com/old/name.git and https://old.github.io/name/")
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    builder.write_address()
    assert (tmp_path / "_config.yml").read_text() == "repository:\n  url: https://github.com/new-owner/new-name\n"
    assert (tmp_path / "README.md").read_text() == (
        "https://github.com/new-owner/new-name.git and https://new-owner.github.io/new-name/"
    )
