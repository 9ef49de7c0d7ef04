"""The evidence: tidy tables under `book/results`, and the rebuildable cache of weights and logits outside it.

A table is `<name>.csv`, or one `<name>-<dataset>.csv` for each data set (`SPLIT`): one row per measurement, sorted, small
enough to read in a diff. The table "runs" says for each run what made it. Everything is written to a temporary sibling
and renamed, and one lock per folder lets several processes write at once. A sibling has one name for good: what a killed process left of it is overwritten by the one that goes on.

Each line of a table ends with a checksum of itself, so that an edit by hand shows where it is, a table and its checks
are replaced in one rename, and git merges rows as before. A row that is gone is not noticed: it counts as not yet run.
"""

import contextlib
import datetime
import errno
import functools
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from kdutils.errors import Diverged, UserError, check_folder, check_name
from kdutils.protocols import canonical, key

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

REPOSITORY = Path(__file__).resolve().parent.parent

_RUN = ("profile", "dataset", "training", "teacher", "seed")
_SEARCH = ("dataset", "teacher", "student", "unseen", "train_size", "temperature", "alpha", "seed")
_LEARNT = ("accuracy", "validation_best", "validation_last")
_BIASED = ("bias", "accuracy_missing_biased", "accuracy_biased")  # with the missing class's output bias at its best
#: The columns that identify a row of each table, in the order in which its rows are sorted; `run` is one of them.
IDENTITY = {
    "missing_class": [*_RUN, "missing_class", "temperature", "run"],
    "few_examples": [*_RUN, "selection", "examples", "run"],
    "curves": [*_RUN, "selection", "examples", "step", "run"],
    "baseline": [*_RUN, "temperature", "run"],
    "variations": [*_RUN, "missing_class", "temperature", "run"],
    "related": [
        *("profile", "dataset", "system", "training", "teacher", "role", "temperature", "alpha", "learning_rate"),
        *("seed", "run"),
    ],
    "response": [*_RUN, "split", "temperature", "run"],
    "history": [*_RUN, "epoch", "run"],
    "sweetspot": [*_SEARCH, "response", "batch_size", "epochs", "run"],
    "sweetspot_cost": [*_SEARCH, "stage", "run"],
    "soft_labels": [*_RUN, "example", "class", "run"],
    "scatter": [*_RUN, "split", "run"],
    "projection": [*_RUN, "split", "class", "example", "run"],
    "tutorial": [*_RUN, "run"],
    "images": ["dataset", "split", "index"],
    "runs": ["kind", "run"],
    "failures": ["kind", "run", "device"],
    "benchmarks": ["machine", "dataset", "role", "members", "batch_size", "comparison"],
}
#: The columns that hold what was measured.
VALUES = {
    "missing_class": ["accuracy_missing", *_LEARNT, *_BIASED],
    "few_examples": [*_LEARNT],
    "curves": ["validation", "loss"],
    "baseline": [*_LEARNT],
    "variations": ["accuracy_missing", *_LEARNT, *_BIASED],
    "related": [*_LEARNT, "entropy"],
    "response": [
        *("batch_size", "epochs", "accuracy", "entropy", "confidence"),
        *("row", "row_all", "row_normalised", "column", "column_all", "column_normalised", "logits"),
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
    # `logits`: in "response" the checksum of a teacher's logits on the transfer set, of a student that of those it learned
    # from. They differ where a teacher was made again between the two.
    "runs": ["epochs", "seconds", "device", "torch", "commit", "date", "command", "protocol", "logits"],
    "failures": ["reason", "epoch", "step", "torch", "commit", "date", "command", "protocol"],
    # Of `tests/benchmarks`, where each is explained; what a row does not measure is empty.
    "benchmarks": [
        *("ours", "theirs", "ratio", "ratio_low", "ratio_high", "repeats"),
        *("operations", "rate", "share", "gib", "bar", "note", "torch", "commit", "date"),
    ],
}
TEXT = ("run", "pixels", "commit", "logits")  # columns whose values may look like numbers
#: The longest tables, of which each data set has a file of its own.
SPLIT = ("projection", "runs")
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
#: What is aimed for beyond that.
AIMS = {
    ("CPU", "mnist", "careful loop"): 4,
    ("CPU", "fashion_mnist", "careful loop"): 3,
    ("CPU", "cifar10", "careful loop"): 3,
}


def results_folder(results: str | Path = "") -> Path:
    """Where records are read and written: `results`, else the book/results of this checkout.

    Raises
    ------
    UserError
        If none is given and kdutils is installed without the repository around it.
    """
    if results:
        return check_folder("results", results)
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
    tables = []
    for path in _files(name, results_folder(results)):
        table, text = _parse(name, path, [CHECK], dtype=dict.fromkeys(TEXT, str))
        for n, line in enumerate(text.splitlines()[1:], 2):
            what, _, check = line.rpartition(",")
            if check != _checksum(what):
                raise UserError(
                    f"{path}: line {n} was edited; restore it, or delete it to have it run again, "
                    "or keep it: python -m kdutils seal"
                )
        tables.append(table)
    return _joined(name, tables)


def _files(name: str, folder: Path) -> list[Path]:
    """The files of a table that are there."""
    return sorted(folder.glob(f"{name}-*.csv" if name in SPLIT else f"{name}.csv"))


def _joined(name: str, tables: list[pd.DataFrame], order: bool = True) -> pd.DataFrame:
    """The table of which these are the files, in order or one file after another."""
    if len(tables) < 2:
        return tables[0] if tables else pd.DataFrame(columns=IDENTITY[name] + VALUES[name])
    table = pd.concat(tables, ignore_index=True)
    if order:
        table = table.sort_values(IDENTITY[name], kind="stable", ignore_index=True)
    twice = table.duplicated(IDENTITY[name])
    if twice.any():
        raise UserError(f"{name}: run {table['run'][twice.argmax()]} stands in two files; delete it from one of them")
    return table


def _parse(name: str, path: Path, more: Collection[str] = (), **options: object) -> tuple[pd.DataFrame, str]:
    """A table, without its checks, and its text; an error where it is not what this module writes."""
    columns = IDENTITY[name] + VALUES[name]
    try:
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(io.StringIO(text), **options)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    lost = [c for c in [*columns, *more] if c not in table.columns]
    if lost:
        mend = "python -m kdutils seal" if lost == [CHECK] else "restore the file or move it away"
        raise UserError(f"{path}: column {lost[0]!r} is missing; {mend}")
    damaged = table[IDENTITY[name][-1]].replace("", None).isna()  # a line cut short, or a merge's conflict marker
    if damaged.any():
        raise UserError(f"{path}: line {damaged.argmax() + 2} is damaged; restore the file or move it away")
    twice = table.duplicated(IDENTITY[name])
    if twice.any():
        raise UserError(f"{path}: line {twice.argmax() + 2} says again what a line above it says; delete one of them")
    return table[columns], text


CHECK = "check"  # the last column
DIGITS = "%.7g"  # of a number in a table


def _checksum(line: str) -> str:
    return f"{zlib.crc32(line.encode()):08x}"


def seal(results: str | Path = "") -> None:
    """Accept the tables of a folder as they are, edits by hand included: give every line its checksum anew."""
    folder = results_folder(results)
    if not any(_files(name, folder) for name in IDENTITY):
        raise UserError(f"{folder}: there are no records")

    def as_text(name: str) -> pd.DataFrame:  # an edit then changes its own line alone
        files = _files(name, folder)
        return _joined(name, [_parse(name, path, dtype=str, keep_default_na=False)[0] for path in files], order=False)

    for name in IDENTITY:
        if _files(name, folder):
            _change(name, folder, functools.partial(as_text, name))


def with_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the batch size (at full scale) and epochs of each row's training, "4096x50", as two columns."""
    cells = table["training"].astype(str).str.extract(r"^(\d+)x(\d+)$").astype(float).astype("Int64")
    return table.assign(batch=cells[0], epoch=cells[1])


def of_shared_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the seeds that all of a data set's trainings and teachers have, so that means over seeds compare."""
    runs = table.groupby(["dataset", "training", "teacher"]).ngroup()
    of_seed = runs.groupby([table["dataset"], table["seed"]]).transform("nunique")
    return table[of_seed == runs.groupby(table["dataset"]).transform("nunique")]


def add(name: str, rows: list[dict], results: str | Path = "") -> None:
    """Add rows to a table. A row whose identity is there already takes the old one's place."""
    check_name("table of records", name, IDENTITY)
    if not rows:
        return
    folder, identity = results_folder(results), IDENTITY[name]

    def added() -> pd.DataFrame:
        new, old = pd.DataFrame(rows)[identity + VALUES[name]], load(name, folder)
        table = pd.concat([old, new]) if len(old) else new
        as_written = table[identity].map(lambda value: DIGITS % value if isinstance(value, float) else value)
        return table[~as_written.duplicated(keep="last")].sort_values(identity, kind="stable")

    _change(name, folder, added)


def _change(name: str, folder: Path, make: Callable[[], pd.DataFrame]) -> None:
    """Put what `make` returns, called under the lock, in a table's place."""
    with _writing(folder):
        table = make()
        parts = {name: table}
        if name in SPLIT:
            named = "dataset" in table
            of = table["dataset"] if named else table["protocol"].str.extract('"dataset":"([^"]+)"', expand=False)
            parts = {f"{name}-{dataset}": part for dataset, part in table.groupby(of.fillna("unknown"))}
        for part, rows in parts.items():
            path = folder / f"{part}.csv"
            header, *lines = rows.to_csv(index=False, float_format=DIGITS, lineterminator="\n").splitlines()
            text = "\n".join([f"{header},{CHECK}", *(f"{line},{_checksum(line)}" for line in lines)]) + "\n"
            if not (path.exists() and path.read_text(encoding="utf-8") == text):
                with _replacing(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")


def check_writable(results: str | Path = "") -> None:
    """Raise the UserError that `add` would, before hours are spent on what it could not record."""
    with _writing(results_folder(results)):
        pass


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of records; what goes wrong with the disk is one line."""
    try:
        with _lock(folder):
            yield
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
    made: Sequence[tuple["DataclassInstance", int, float]],
    device: torch.device | str,
    results: str | Path = "",
    logits: Sequence[str] = (),
) -> None:
    """Say in the table "runs" what made each run: its protocol, its epochs and the seconds that they took.

    `device` is one of this machine, or the name of another machine's; `logits` are checksums of those that students learned
    from, in order. What had failed and now did not is no failure any more. It is forgotten first: a kill between the two
    then leaves a run to be done, which the cache has.
    """
    forget({key(protocol): epochs for protocol, epochs, _ in made}, results)
    rows = [
        {**_made(protocol, device), "epochs": epochs, "seconds": round(seconds, 1), "logits": of}
        for (protocol, epochs, seconds), of in zip(made, logits or [""] * len(made), strict=True)
    ]
    add("runs", rows, results)


def add_failures(
    failed: Sequence[tuple["DataclassInstance", Diverged]], device: torch.device | str, results: str | Path = ""
) -> None:
    """Say in failures.csv, and on standard error, which runs diverged, where, and on what."""
    for protocol, diverged in failed:
        tqdm.write(f"failed: {type(protocol).__name__} {key(protocol)}: {diverged}", file=sys.stderr)
    rows = [
        {**_made(protocol, device), **dict(zip(("reason", "epoch", "step"), diverged.args, strict=True))}
        for protocol, diverged in failed
    ]
    add("failures", rows, results)


def forget(runs: dict[str, float], results: str | Path = "") -> None:
    """Remove the failures of runs, by key, that lie within these numbers of epochs."""
    gone = lambda table: table["epoch"] <= table["run"].map(runs).astype(float)
    if gone(load("failures", results)).any():
        folder = results_folder(results)
        _change("failures", folder, lambda: (table := load("failures", folder))[~gone(table)])


def _made(protocol: "DataclassInstance", device: torch.device | str) -> dict:
    """What the tables "runs" and "failures" say of any run."""
    return {
        "kind": type(protocol).__name__.removesuffix("Protocol").lower(),
        "run": key(protocol),
        "protocol": canonical(protocol),
        "command": command(),
        "device": device_name(device),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def command() -> str:
    """The command of this process, without this machine's folders; a notebook is named as one."""
    script, *arguments = sys.argv
    if "ipykernel" in script:
        return "notebook"
    name = "python -m kdutils" if script.endswith("__main__.py") else Path(script).name
    # An absolute path, alone or after "=", keeps its last name only.
    local = [re.sub(r"(?:^|(?<==))[/~].*?([^/]*)/*$", r"\1", argument) for argument in arguments]
    return shlex.join([*name.split(), *local])


def device_name(device: torch.device | str) -> str:
    """The hardware's kind, as the book names it; a string is one already."""
    if isinstance(device, str):
        return device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()}-core CPU"


@functools.cache
def commit() -> str:
    """The checkout's commit, with a "+" if tracked files of `kdutils` differ from it; empty outside a checkout."""
    if not (REPOSITORY / "book").is_dir():  # installed, perhaps inside somebody else's checkout
        return ""
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


def check_cache() -> None:
    """Raise the UserError that `save_tensors` would, before hours are spent on what it could not keep."""
    cache = cache_root()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        raise UserError(f"{cache}: cannot write to the cache: {error.strerror}; set KDUTILS_CACHE") from None


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors and their checksum to a temporary sibling of `path`, renamed: a kill never leaves half a file."""
    try:
        # Not the lock under which a teacher is trained: that one is held while this is called.
        with _lock(path.parent, ".writing"), _replacing(path) as temporary:
            whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
            save_file(whole, temporary, {CHECK: checksum_of(whole)})
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path.parent}: cannot write to the cache: {error}; set KDUTILS_CACHE") from None


def checksum_of(tensors: dict[str, torch.Tensor]) -> str:
    """CRC-32 of tensors on the CPU with their names, types and shapes."""
    found = 0
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode(), found)
        found = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


def load_tensors(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of `path`, or None if it is absent or damaged; a damaged file is removed, which is said.

    Raises
    ------
    UserError
        If it can be neither read nor removed.
    """
    try:
        path.open("rb").close()  # safetensors calls every file absent that it cannot open
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            check = (file.metadata() or {}).get(CHECK)
        if check in (None, checksum_of(found)):  # the first files of this kind had none
            return found
        reason = "its checksum is another"
    except FileNotFoundError:
        return None
    except (SafetensorError, EOFError, OSError) as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # which says nothing of the file
        reason = " ".join(str(error).split())
    try:
        path.unlink(missing_ok=True)
    except OSError:
        raise UserError(f"{path}: cannot be read: {reason}; remove it") from None
    tqdm.write(f"{path}: damaged ({reason}), hence removed; it is made again where it is needed", file=sys.stderr)
    return None
