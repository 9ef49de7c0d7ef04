"""Help that several test files share."""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
import torch
from filelock import FileLock

from kdutils import records
from kdutils.experiments import Study
from kdutils.protocols import PROFILES

# Tensors here are tiny: a second thread gains nothing, and on a busy machine it crawls. Nor in notebooks' kernels.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of pytest-xdist see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder`, made by the first process that asks for it while the others wait."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            partial = folder.with_suffix(".partial")
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(shared: Path) -> Iterator[Path]:
    """Keep weights and logits in a temporary folder: no test reads or writes the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDUTILS_CACHE", str(shared / "cache"))
        yield shared / "cache"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves another cache or number of threads to those after it."""
    before = os.environ.get("KDUTILS_CACHE"), torch.get_num_threads()
    yield
    assert (os.environ.get("KDUTILS_CACHE"), torch.get_num_threads()) == before


@pytest.fixture(scope="session")
def smoke_study(own_cache: Path, shared: Path) -> Study:
    """The smoke profile on the digits, run once for all tests (about 30 s). Its records are not to be changed."""
    study = Study("smoke", ["digits"], compute="missing", device="cpu", results=shared / "records")

    def run(results: Path) -> None:
        for group in ("teachers", "missing_class"):
            dataclasses.replace(study, results=results).ensure(group)

    once(shared / "records", run)
    return study


class Here(Executor):
    """Runs at once, in this process, what it is given."""

    def submit(self, function, /, *args, **options) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **options))
        return future


TABLES = ("missing_class", "response", "soft_labels", "images")
TINY = dataclasses.replace(
    PROFILES["smoke"],
    temperatures={"digits": (3.0, 9.0)},
    train_size={"digits": 200},
    teacher_epochs={"digits": 3},
    student_epochs={"digits": 2},
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A smoke profile of a second, with a cache of its own; returns the folder for its records."""
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "records"


def tiny_study(results: Path, **changes) -> Study:
    return Study("smoke", ["digits"], **{"compute": "missing", "device": "cpu", "results": results} | changes)


def read(folder: Path, *names: str) -> dict[str, str]:
    """The tables as text, that of runs without what differs from one run to the next."""
    found = {name: (folder / f"{name}.csv").read_text() for name in names or TABLES}
    runs = records.load("runs", folder).drop(columns=["seconds", "date", "command", "commit"])
    return found | {"runs": runs.to_csv(index=False)}


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test for a stated reason; where everything must run (KDUTILS_REQUIRE_ALL=1), fail it instead."""
    if os.environ.get("KDUTILS_REQUIRE_ALL") == "1":
        pytest.fail(f"KDUTILS_REQUIRE_ALL=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the data root with the three downloaded datasets in it, from KDUTILS_DATA."""
    if not os.environ.get("KDUTILS_DATA"):
        skip_or_fail("real data is needed: set KDUTILS_DATA to a folder that has it")
    root = Path(os.environ["KDUTILS_DATA"]).expanduser()
    for folders in (("MNIST/raw",), ("FashionMNIST/raw",), ("cifar-10-batches-bin", "cifar-10-batches-py")):
        if not any((root / folder).is_dir() for folder in folders):
            skip_or_fail(f"real data is needed: KDUTILS_DATA={root} lacks {' or '.join(folders)}")
    return root


ROOT = Path(__file__).parents[1]


def load_book_builder() -> ModuleType:
    """Return `book/build.py`, a script outside any package, as a module."""
    if "book_build" not in sys.modules:
        spec = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "build.py")
        sys.modules["book_build"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["book_build"]


@pytest.fixture(scope="session")
def published_book(shared: Path) -> Path:
    """Return the folder of the published book, built once for all tests that look at it."""
    for package in ("jupyter_book", "papermill"):
        if importlib.util.find_spec(package) is None:
            skip_or_fail(f"{package} is needed: pip install '.[pinned,book,test]'")
    return once(shared / "book", load_book_builder().publish) / "html"
