"""The evidence: tidy tables under `book/results`, and the rebuildable cache of weights and logits outside it.

A table is `<name>.csv`: one row per measurement, sorted, small enough to read in a diff. `runs.csv` says for each run
what made it. Everything is written to a temporary sibling and renamed, and one lock per folder lets several processes
write at once. A sibling has one name for good: what a killed process left of it is overwritten by the one that goes on.
"""

import contextlib
import datetime
import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kdutils.errors import UserError, check_name
from kdutils.protocols import canonical, key

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

REPOSITORY = Path(__file__).resolve().parent.parent

#: The columns that identify a row of each table, in the order in which its rows are sorted; `run` is one of them.
IDENTITY = {
    "missing_class": ["profile", "dataset", "training", "teacher", "seed", "missing_class", "temperature", "run"],
    "few_examples": ["profile", "dataset", "training", "teacher", "seed", "selection", "examples", "run"],
    "curves": ["profile", "dataset", "training", "teacher", "seed", "selection", "examples", "step", "run"],
    "baseline": ["profile", "dataset", "training", "teacher", "seed", "temperature", "run"],
    "variations": ["profile", "dataset", "training", "teacher", "seed", "missing_class", "temperature", "run"],
    "related": [
        *("profile", "dataset", "system", "training", "teacher", "role", "temperature", "alpha", "learning_rate"),
        *("seed", "run"),
    ],
    "response": ["profile", "dataset", "training", "teacher", "seed", "split", "temperature", "run"],
    "history": ["profile", "dataset", "training", "teacher", "seed", "epoch", "run"],
    "sweetspot": [
        *("dataset", "teacher", "student", "unseen", "train_size", "temperature", "alpha", "seed"),
        *("response", "batch_size", "epochs", "run"),
    ],
    "sweetspot_cost": [
        *("dataset", "teacher", "student", "unseen", "train_size", "temperature", "alpha", "seed"),
        *("stage", "run"),
    ],
    "soft_labels": ["profile", "dataset", "training", "teacher", "seed", "example", "class", "run"],
    "scatter": ["profile", "dataset", "training", "teacher", "seed", "split", "run"],
    "projection": ["profile", "dataset", "training", "teacher", "seed", "split", "class", "example", "run"],
    "tutorial": ["profile", "dataset", "training", "teacher", "seed", "run"],
    "images": ["dataset", "split", "index"],
    "runs": ["kind", "run"],
    "benchmarks": ["machine", "dataset", "role", "members", "batch_size", "comparison"],
}
#: The columns that hold what was measured.
VALUES = {
    "missing_class": ["accuracy_missing", "accuracy", "validation_best", "validation_last"],
    "few_examples": ["accuracy", "validation_best", "validation_last"],
    "curves": ["validation", "loss"],
    "baseline": ["accuracy", "validation_best", "validation_last"],
    "variations": [
        *("accuracy_missing", "accuracy", "validation_best", "validation_last"),
        *("bias", "accuracy_missing_biased", "accuracy_biased"),
    ],
    "related": ["accuracy", "validation_best", "validation_last", "entropy"],
    "response": [
        *("batch_size", "epochs", "accuracy", "entropy", "confidence"),
        *("row", "row_all", "row_normalised", "column", "column_all", "column_normalised"),
    ],
    "history": ["epochs", "loss", "validation", "accuracy", "entropy", "confidence", "seconds"],
    "sweetspot": [
        *("teacher_accuracy", "entropy", "probe", "full", "test", "status"),
        *("hard", "hard_low", "hard_high", "uniform", "uniform_low", "uniform_high"),
    ],
    "sweetspot_cost": ["example_passes", "forward_passes", "multiply_adds", "seconds"],
    "soft_labels": ["epochs", "index", "probability"],
    "scatter": ["epochs", "classes", "ratio", "ratio_all_triples"],
    "projection": ["x", "y"],
    "tutorial": ["epochs", "accuracy"],
    "images": ["label", "channels", "height", "width", "pixels"],
    "runs": ["epochs", "seconds", "device", "torch", "commit", "date", "command", "protocol"],
    # Of `tests/benchmarks`, where each is explained; what a row does not measure is empty.
    "benchmarks": [
        *("ours", "theirs", "ratio", "ratio_low", "ratio_high", "repeats"),
        *("operations", "rate", "share", "gib", "bar", "note", "torch", "commit", "date"),
    ],
}
#: What `make bench` is to reach, by kind of machine, data set and comparison: how many times faster, which share of the
#: machine's matrix rate ("teacher"), how much of a lone member's speed ("growth"), or how many GiB at the most ("memory").
BARS = {
    ("CPU", "mnist", "torchdistill, both teachers"): 40,
    ("CPU", "mnist", "careful loop"): 2,
    ("CPU", "fashion_mnist", "careful loop"): 1.5,
    ("CPU", "cifar10", "careful loop"): 1.5,
    ("CPU", "mnist", "growth"): 0.9,
    ("CPU", "mnist", "memory"): 2,
    ("GPU", "mnist", "careful loop"): 20,
    ("GPU", "fashion_mnist", "careful loop"): 20,
    ("GPU", "cifar10", "careful loop"): 8,
    ("GPU", "cifar10", "teacher"): 0.35,
    ("GPU", "mnist", "growth"): 0.9,
    ("GPU", "cifar10", "growth"): 0.9,
}


def results_folder(results: str | Path = "") -> Path:
    """Where records are read and written: `results`, else the book/results of this checkout.

    Raises
    ------
    UserError
        If none is given and kdutils is installed without the repository around it.
    """
    if results:
        return Path(results).expanduser()
    if not (REPOSITORY / "book").is_dir():
        raise UserError("kdutils stands outside its repository, so there are no records; say where: results=FOLDER")
    return REPOSITORY / "book" / "results"


def load(name: str, results: str | Path = "") -> pd.DataFrame:
    """The records of one table, empty if there are none yet.

    Parameters
    ----------
    name : str
        One of `IDENTITY`: "missing_class", "response", "history", "soft_labels", …, "runs". Accuracies are fractions in
        [0, 1], entropies nats, `seconds` wall-clock.
    results : path, optional
        The folder; by default the book's.

    Raises
    ------
    UserError
        If the name is unknown, or the file is not what this module writes.
    """
    check_name("table of records", name, IDENTITY)
    path = results_folder(results) / f"{name}.csv"
    columns = IDENTITY[name] + VALUES[name]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        table = pd.read_csv(path, dtype={"run": str, "pixels": str, "commit": str}, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    lost = [c for c in columns if c not in table.columns]
    if lost:
        raise UserError(f"{path}: column {lost[0]!r} is missing; restore the file or move it away")
    damaged = table[IDENTITY[name][-1]].isna()  # a line cut short, or a merge's conflict marker
    if damaged.any():
        raise UserError(f"{path}: line {damaged.argmax() + 2} is damaged; restore the file or move it away")
    return table[columns]


def add(name: str, rows: list[dict], results: str | Path = "") -> None:
    """Add rows to a table. A row whose identity is there already takes the old one's place."""
    if not rows:
        return
    folder = results_folder(results)
    try:
        with _lock(folder):
            identity = IDENTITY[name]
            new = pd.DataFrame(rows)[identity + VALUES[name]]
            old = load(name, folder)
            table = pd.concat([old, new]) if len(old) else new
            table = table.drop_duplicates(identity, keep="last").sort_values(identity, kind="stable")
            with _replacing(folder / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")
    except OSError as error:
        raise UserError(f"{folder}: cannot write records: {error.strerror or error}") from None


def check_writable(results: str | Path = "") -> None:
    """Raise the UserError that `add` would, before hours are spent on what it could not record."""
    folder = results_folder(results)
    try:
        with _lock(folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot write records: {error.strerror or error}") from None


def _lock(folder: Path, name: str = ".lock") -> FileLock:
    """The lock of a folder, which is made if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / name)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling that takes the place of `path` at the end; to be held under a lock."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def add_runs(
    made: Sequence[tuple["DataclassInstance", int, float]], device: torch.device, results: str | Path = ""
) -> None:
    """Say in runs.csv what made each run: its protocol, its epochs and the seconds that they took."""
    shared = {
        "command": command(),
        "device": device_name(device),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    rows = [
        {
            "kind": type(protocol).__name__.removesuffix("Protocol").lower(),
            "run": key(protocol),
            "protocol": canonical(protocol),
            "epochs": epochs,
            "seconds": round(seconds, 1),
            **shared,
        }
        for protocol, epochs, seconds in made
    ]
    add("runs", rows, results)


def command() -> str:
    """The command of this process, without this machine's folders; a notebook is named as one."""
    script, *arguments = sys.argv
    if "ipykernel" in script:
        return "notebook"
    name = "python -m kdutils" if script.endswith("__main__.py") else Path(script).name
    # An absolute path, alone or after "=", keeps its last name only.
    local = [re.sub(r"(?:^|(?<==))[/~].*?([^/]*)/*$", r"\1", argument) for argument in arguments]
    return shlex.join([*name.split(), *local])


def device_name(device: torch.device) -> str:
    """The hardware's kind, as the book names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()}-core CPU"


@functools.cache
def commit() -> str:
    """The checkout's commit, with a "+" if tracked files of `kdutils` differ from it; empty outside a checkout."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        run = functools.partial(subprocess.run, capture_output=True, text=True, check=True, timeout=10)
        head = run([*git, "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        return head + ("+" if run([*git, "status", "--porcelain", "--", "kdutils"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def cache_root() -> Path:
    """Where weights and logits are kept: the environment variable KDUTILS_CACHE, else ~/.cache/kdutils."""
    return Path(os.environ.get("KDUTILS_CACHE") or "~/.cache/kdutils").expanduser()


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors to a temporary sibling of `path` and rename it, so that a kill never leaves half a file."""
    try:
        # Not the lock under which a teacher is trained: that one is held while this is called.
        with _lock(path.parent, ".writing"), _replacing(path) as temporary:
            save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path.parent}: cannot write to the cache: {error}; set KDUTILS_CACHE") from None


def load_tensors(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of `path`, or None if it is absent or damaged; a damaged file is removed, to be built again."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        return None
    except (SafetensorError, EOFError):
        path.unlink(missing_ok=True)
        return None
