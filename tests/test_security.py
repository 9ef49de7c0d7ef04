"""Nothing that is read, unpacked, given or shown can run code or reach elsewhere."""

import ast
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torchvision
import yaml
from conftest import ROOT

from kdutils import data
from kdutils.data import DataError, load_dataset

# What is read


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def test_the_pickle_of_these_tests_is_dangerous(marker: Path) -> None:
    pickle.loads(pickle.dumps(Evil(marker)))
    assert marker.exists()


@pytest.mark.parametrize("file", data._CIFAR_FILES)
def test_a_tampered_pickle_is_refused_before_it_is_opened(tmp_path: Path, monkeypatch, marker: Path, file: str) -> None:
    """All files hold the same bytes, which are taken for the published ones, but for one."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    good = pickle.dumps({"data": [], "labels": []})
    published = [[name, hashlib.md5(good).hexdigest()] for name in data._CIFAR_FILES]
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", published[:5])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", published[5:])
    for name in data._CIFAR_FILES:
        (folder / name).write_bytes(pickle.dumps(Evil(marker)) if name == file else good)
    with pytest.raises(DataError, match="is a pickle without the published MD5, so it is not opened") as error:
        load_dataset("cifar10", "train", tmp_path / "data")
    assert str(folder / file) in str(error.value) and not marker.exists()


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            of = tarfile.TarInfo(name)
            of.size = len(content)
            tar.addfile(of, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def served(monkeypatch):
    """Put bytes in the place of what torchvision's own download code would fetch; everything after that is real."""

    def serve(content: bytes) -> None:
        utils = torchvision.datasets.utils
        monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
        monkeypatch.setattr(utils, "_urlretrieve", lambda url, filename, *_: Path(filename).write_bytes(content))

    return serve


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_tampered_archive_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch, marker, served) -> None:
    served(archive(("cifar-10-batches-py/data_batch_1", pickle.dumps(Evil(marker))), ("../../../marker", b"out")))
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(DataError, match="could not be downloaded .File not found or corrupted"):
        load_dataset("cifar10", "train", tmp_path / "data")
    assert everything_below(tmp_path) == ["data"]


@pytest.mark.parametrize("name", ["../marker", "../../marker", "/tmp/kdutils-marker"])
def test_an_archive_cannot_write_outside_its_folder_even_with_the_right_checksum(
    tmp_path: Path, monkeypatch, served, name: str
) -> None:
    content = archive((name, b"out"))
    served(content)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    with pytest.raises(DataError, match="could not be downloaded"):
        load_dataset("cifar10", "train", tmp_path / "data")
    assert everything_below(tmp_path) == ["data"] and not Path("/tmp/kdutils-marker").exists()
    assert tarfile.TarFile.extraction_filter is None, "the program's own setting is left as it was"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_tampered_idx_file_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch, served, name: str) -> None:
    served(b"\x1f\x8b tampered")
    monkeypatch.setattr(torchvision.datasets.utils, "extract_archive", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(DataError, match="could not be downloaded .*corrupted"):
        load_dataset(name, "train", tmp_path / "data")
    assert everything_below(tmp_path) == ["data"]


# What the code calls

SOURCES = sorted(
    [*(ROOT / "kdutils").glob("*.py"), *(ROOT / "book").glob("*.py"), *(ROOT / "tests/benchmarks").glob("*.py")]
)
DANGEROUS = re.compile(
    r"(eval|exec|compile|__import__"
    r"|(os|posix)\.(system|popen|exec\w*|spawn\w*)|subprocess\.(getoutput|getstatusoutput)|pty\.\w+"
    r"|(c?pickle|_pickle|dill|cloudpickle|joblib|marshal|shelve)\.(?!PickleError)\w+|torch\.load|(\w+\.)*read_pickle"
    r"|yaml\.(load|load_all|unsafe_load|full_load)|(\w+\.)*(extract|extractall|unpack_archive))"
)
ALLOWED = {("data.py", "pickle.loads")}  # CIFAR-10's, whose bytes were compared with the published checksum


def dangerous_calls(source: str, imported: tuple[str, ...] = ()) -> set[str]:
    """Calls of what can run code that somebody else wrote, by their dotted names; what is only named counts too."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{a.name}" for a in node.names if DANGEROUS.fullmatch(f"{node.module}.{a.name}")}
        if isinstance(node, ast.Attribute | ast.Name) and DANGEROUS.fullmatch(ast.unparse(node)):
            found.add(ast.unparse(node))
        if isinstance(node, ast.Call):
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            found |= {
                f"{name}={options[name]}" for name in ("shell", "allow_pickle") if options.get(name, "False") != "False"
            }
            if re.match(r"subprocess\.|.*create_subprocess", ast.unparse(node.func)):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant | ast.JoinedStr | ast.BinOp):
                    found.add(f"{ast.unparse(node.func)} of a string")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_code_but_our_own_is_run(path: Path) -> None:
    allowed = {call for name, call in ALLOWED if name == path.name}
    assert dangerous_calls(path.read_text()) == allowed


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_no_shell_line_but_colabs_own(path: Path) -> None:
    cells = ["".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert not any(re.search(r"[{$]", line) for line in cells[0].splitlines() if line.strip().startswith(("!", "%")))
    for cell in cells[1:]:
        assert not re.search(r"^\s*[!%]", cell, re.MULTILINE) and dangerous_calls(cell) == set()


@pytest.mark.parametrize(
    "source",
    ["eval(x)", "os.system(x)", "subprocess.run(x, shell=True)", "subprocess.run(f'ls {x}')", "pickle.load(f)", "yaml.load(x)",
     "from pickle import loads", "torch.load(x)", "np.load(x, allow_pickle=True)", "pd.read_pickle(x)", "tar.extractall()",
     "run = os.popen", "subprocess.getoutput(x)"],
)  # fmt: skip
def test_what_is_dangerous_is_seen(source: str) -> None:
    assert dangerous_calls(source)


def test_what_is_harmless_is_not() -> None:
    assert (
        dangerous_calls("model.eval(); yaml.safe_load(x); subprocess.run([a, b], shell=False); re.compile(x)") == set()
    )


# What `make` is given

HOSTILE = ['"; touch marker; "', "'; touch marker; '", "$(touch marker)", "$$(touch marker)", "`touch marker`", "$(shell touch marker)",
           "a\ntouch marker", "& touch marker", "../..", "x" * 10_000, "été ☃"]  # fmt: skip
GIVEN = ("PROFILE", "DATASETS", "SEEDS", "DEVICE", "COMPUTE")


PRINTS = "#!/bin/sh\nprintf '<%s>\\n' \"$@\"\n"


def make(folder: Path, *arguments: str, python: str = PRINTS, **environment: str) -> subprocess.CompletedProcess:
    """The real Makefile in a folder of its own, where .venv's python is a script that prints its arguments."""
    if shutil.which("make") is None:
        pytest.skip("make is needed")
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text('"torch==1",\n')
    (folder / ".venv/bin/python").write_text(python)
    (folder / ".venv/bin/python").chmod(0o755)
    (folder / ".venv/.installed").touch()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS")) and name not in GIVEN
    }
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda value: repr(value[:24]))
def test_a_make_variable_reaches_python_as_it_was_typed(tmp_path: Path, hostile: str) -> None:
    done = make(tmp_path, "replicate", *(f"{name}={hostile}" for name in GIVEN))
    for name in GIVEN:
        assert f"<--{name.lower()}={hostile}>\n" in done.stdout
    assert done.returncode == 0 and not list(tmp_path.rglob("marker"))


def test_variables_from_the_environment_are_as_harmless(tmp_path: Path) -> None:
    done = make(tmp_path, "replicate", PROFILE="$(shell touch marker)", DEVICE="$(touch marker)`touch marker`")
    assert (
        "<--profile=$(shell touch marker)>" in done.stdout and "<--device=$(touch marker)`touch marker`>" in done.stdout
    )
    assert "<--datasets=digits>" in done.stdout and "<--seeds=>" in done.stdout and not (tmp_path / "marker").exists()


@pytest.mark.parametrize("target", ["test", "stress", "bench"])
def test_other_targets_run_nothing_that_they_are_given(tmp_path: Path, target: str) -> None:
    given = "tests/a.py tests/$(touch marker) `touch marker` $(shell touch marker);touch marker"
    done = make(tmp_path, target, f"TESTS={given}", f"DEVICE={given}")
    assert "<tests/a.py>" in done.stdout or f"<--device={given}>" in done.stdout
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("with_uv", [True, False])
def test_an_environment_is_made_of_what_was_typed(tmp_path: Path, with_uv: bool) -> None:
    hostile = '"; touch marker; "$(touch marker)$$(touch marker)`touch marker`$(shell touch marker)'
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(PRINTS if with_uv else "#!/bin/sh\nexit 1\n")
    (programs / "uv").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = make(tmp_path, "-B", "environment", f"TORCH_INDEX={hostile}", f"PYTHON={hostile}", PATH=path)
    assert done.returncode == 0, done.stderr
    assert f"<--index-url>\n<{hostile}>\n<torch==1>" in done.stdout and not list(tmp_path.rglob("marker"))


# What the workflows use

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_paste_nothing_into_shell_lines(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}, "a job that needs more says so itself"
    for name, job in workflow["jobs"].items():
        for step in [job, *job.get("steps", [])]:
            if "uses" in step and not step["uses"].startswith("./"):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), f"{name}: {step['uses']}"
            assert "${{" not in step.get("run", ""), f"{name}: hand it over as an environment variable: {step['run']}"


def test_there_are_workflows() -> None:
    assert WORKFLOWS


# What the book loads

LOADING = {
    **dict.fromkeys(
        ("script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"), ("src", "srcset", "poster")
    ),
    "object": ("data",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
    "form": ("action",),
}


def loaded_by(text: str, css: bool = False) -> set[str]:
    """The addresses that a page, or a style sheet, makes a browser load."""
    from html.parser import HTMLParser

    def of_style(style: str) -> set[str]:
        style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
        urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", style) + re.findall(r"@import\s+['\"]([^'\"]+)", style)
        return {url.strip() for url in urls}

    if css:
        return of_style(text)
    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list) -> None:
            self.inside = tag
            values = {name: value or "" for name, value in attributes}
            for name in LOADING.get(tag, ()):
                value = values.get(name, "")
                found.update(
                    part.split()[0] for part in value.split(",") if part.strip()
                ) if name == "srcset" else found.add(value)
            if tag == "link" and values.get("rel", "") not in (
                "canonical",
                "index",
                "search",
                "next",
                "prev",
                "author",
                "copyright",
            ):
                found.add(values.get("href", ""))
            if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
                found.add(values.get("content", "").partition("=")[2])
            found.update(of_style(values.get("style", "")))

        def handle_data(self, text: str) -> None:
            if getattr(self, "inside", "") == "style":
                found.update(of_style(text))

    Tags().feed(text)
    return found - {""}


def is_elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE))


def test_no_page_and_no_style_sheet_of_the_book_loads_from_elsewhere(published_book: Path) -> None:
    """All of them, also those that Sphinx adds; that scripts load nothing either is a browser's test."""
    pages, styles = (sorted(published_book.rglob(f"*.{end}")) for end in ("html", "css"))
    assert len(pages) > 15 and styles
    for path in pages + styles:
        elsewhere = {a for a in loaded_by(path.read_text(), path in styles) if is_elsewhere(a)}
        assert not elsewhere, f"{path.relative_to(published_book)} loads {elsewhere}"


@pytest.mark.parametrize(
    "page",
    ["<script src=//a.b/c.js>", "<img srcset='a.png 1x, https://a.b/c.png 2x'>", "<link rel=stylesheet href=HTTP://a.b>",
     "<style>@import 'https://a.b/c.css';</style>", "<p style='background: url(//a.b/c)'>", "<video poster=https://a.b>",
     "<meta http-equiv=refresh content='0; url=https://a.b'>", "<style>@font-face { src: url(\"https://a.b/f\") }</style>"],
)  # fmt: skip
def test_what_loads_from_elsewhere_is_seen(page: str) -> None:
    assert any(map(is_elsewhere, loaded_by(page)))


def test_links_and_files_of_our_own_are_no_loads_from_elsewhere() -> None:
    page = "<a href=https://a.b>x</a><img src=a.png><link rel=canonical href=https://a.b><img src='data:image/png;base64,//8='>"
    assert not any(map(is_elsewhere, loaded_by(page)))


def test_a_mistake_is_refused_through_make_in_one_line(tmp_path: Path) -> None:
    """The whole chain: make, book/build.py, its checks."""
    (tmp_path / "book").symlink_to(ROOT / "book")
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    done = make(tmp_path, "replicate", "PROFILE=$(touch marker)", python=python)
    assert done.returncode == 2 and "Traceback" not in done.stderr and not (tmp_path / "marker").exists()
    assert done.stderr.startswith("error: unknown profile '$(touch marker)'; allowed: paper, cpu, smoke\n")
