"""Runs on other machines, through any `concurrent.futures.Executor`: queue, placement and repeats are the engine's.

A worker shares code and cache with the process that asks, and writes to the cache alone. Students come back by value,
teachers are read from the cache, and that one process records both.
"""

import atexit
import contextlib
import functools
import hashlib
import heapq
import json
import os
import platform
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path

import pandas as pd
import torch

from kdutils import __version__, records
from kdutils.data import load_dataset
from kdutils.errors import UserError
from kdutils.fleet import SHARED
from kdutils.models import INPUT_SHAPES
from kdutils.protocols import FULL_SIZE
from kdutils.training import resolve_device

PATIENCE = 10  # seconds for a scheduler to answer, and three times that for a first worker to join
# Read at once: what is edited later is not what this process runs.
_FILES = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".py", ".cpp"))
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in _FILES))
_ALONE = threading.Lock()  # torch's random state and threads are the process's: two runs at once would share them


@functools.cache
def versions() -> str:
    """What decides whether two processes run the same code; kdutils is named by its sources."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "torch": torch.__version__.partition("+")[0]}
    found["kdutils"] = f"{__version__} ({_SOURCES.hexdigest()[:8]})"
    if distributed := sys.modules.get("distributed"):
        found["dask"] = distributed.__version__
    return ", ".join(f"{name} {version}" for name, version in found.items())


@functools.cache
def _token(cache: Path) -> str:
    """The name of an empty file in the cache while this process lives: who sees it sees this cache."""
    file, path = tempfile.mkstemp(prefix=".seen-", dir=cache)
    os.close(file)
    atexit.register(Path(path).unlink, missing_ok=True)
    return Path(path).name


def _look(token: str, expected: str, device: str, datasets: Collection[str]) -> tuple[str, str]:
    """In a worker: its device and hardware, if it may take part."""
    where = f"the worker on {socket.gethostname()}"
    # Of dask a process knows only if it was started by it or uses it: compare what both say.
    if not (versions().startswith(expected) or expected.startswith(versions())):
        raise UserError(f"{where} has {versions()}, and this process {expected}; install the same there")
    if not (records.cache_root() / token).exists():
        raise UserError(
            f"{where} does not see this process's cache, but {records.cache_root()}; set KDUTILS_CACHE to a shared folder"
        )
    try:
        for dataset in datasets:
            load_dataset(dataset, "test")
        found = resolve_device(device)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return str(found), records.device_name(found)


def _visit(token: str, expected: str, device: str, work: Callable, *job: object) -> tuple[str, object]:
    """In a worker: the hardware, and what `work(*job)` returns; it looks again, for workers may join late."""
    found, hardware = _look(token, expected, device, ())
    with _ALONE:
        if found == "cpu":
            torch.set_num_threads(1)
        return hardware, work(*job)


def look(executor: Executor, device: str, datasets: Collection[str]) -> tuple[str, str]:
    """Ask the workers, before work starts, whether they share cache and code, have the data, and where they compute.

    Parameters
    ----------
    executor : Executor
        One made by `connect` asks each of its workers, any other one of them.
    device : str
        The workers' device; "auto" is what they find.
    datasets : list of str
        Data sets that must be there.

    Returns
    -------
    tuple
        The device, and the hardware's name.

    Raises
    ------
    UserError
        If a worker may not take part, or if they disagree on "auto".
    """
    asked = (*_asked(), device, tuple(datasets))
    if client := getattr(executor, "client", None):
        found = client.run(_look, *asked)
    else:
        found = {"": executor.submit(_look, *asked).result()}
    devices = dict(found.values())
    if len(devices) > 1:
        raise UserError(f"the workers' devices are {' and '.join(sorted(devices))}: say which, with --device")
    return next(iter(devices.items()))


def _asked() -> tuple[str, str]:
    return _token(records.cache_root()), versions()


def visiting(work: Callable, device: str) -> Callable:
    """`work` as a worker does it, which returns the worker's hardware beside the result; one run at a time a process."""
    return functools.partial(_visit, *_asked(), device, work)


@contextlib.contextmanager
def connect(address: str) -> Iterator[Executor]:
    """Connect to the dask scheduler at `address` ("tcp://host:8786").

    Raises
    ------
    UserError
        If dask is not installed, nobody answers, no worker joins, or runs are lost for good.
    """
    try:
        import distributed
    except ImportError:
        raise UserError("--dask needs dask: pip install 'kdutils[many]'") from None
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--dask {address}: no dask scheduler answers there ({reason})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=3 * PATIENCE)
        except TimeoutError:
            raise UserError(f"--dask {address}: no worker has joined; start some: dask worker {address}") from None
        executor = client.get_executor(pure=False)
        executor.client = client
        try:
            yield executor
        except ImportError as error:
            raise UserError(f"--dask {address}: {error}; install the same environment on the workers") from None
        except (CancelledError, distributed.KilledWorker, distributed.comm.CommClosedError) as error:
            raise UserError(
                f"--dask {address}: {type(error).__name__}: the scheduler went away or a run's workers died again and "
                "again (out of memory?); what was recorded is kept, run again to go on"
            ) from None


def scaling(runs: pd.DataFrame, machines: Iterable[int], *, times: int = 100, row_seconds: float = 0.0) -> pd.DataFrame:
    """How long a study of `times` the recorded runs would take on so many machines like the one they were made on.

    What a machine does in one piece is a teacher, or a fleet: all students that may share one. All teachers come first, the
    longest first; then the fleets likewise. Meanwhile one process writes the records, and each run or fleet has it read
    and write what is there already.

    Parameters
    ----------
    runs : DataFrame
        Records "runs" of one kind of hardware.
    machines : iterable of int
        Numbers of machines.
    times : int
        How many times as many runs; teachers, too, are as many times more.
    row_seconds : float
        What the writer takes for each row that is there already (see `row_seconds`).

    Returns
    -------
    DataFrame
        `machines`; `pieces` to be done in one piece each; in hours `ideal`, `computing`, `writing`, `chain` (the longest
        teacher and the longest fleet after it) and `hours`, the longest of them; `read`, gigabytes of training images
        (by each machine) and of teachers' logits (by each fleet).
    """
    runs = runs[runs["kind"].isin(["teacher", "student"])]
    fields = [json.loads(text) for text in runs["protocol"]]
    piece = [
        r if k == "teacher" else str([p.get(f) for f in SHARED])
        for k, r, p in zip(runs["kind"], runs["run"], fields, strict=True)
    ]
    pieces = runs.assign(piece=piece).groupby(["kind", "piece"])["seconds"].sum()
    stages = [[*pieces[pieces.index.get_level_values("kind") == kind]] for kind in ("teacher", "student")]
    writing = row_seconds * len(runs) * times * (len(pieces) * times + 1) / 2
    chain = sum(max(stage, default=0) for stage in stages)
    sources = {
        (at, p["teacher"], p.get("teacher_epoch")): p["dataset"]
        for at, p in zip(piece, fields, strict=True)
        if "teacher" in p
    }
    logits = times * sum(FULL_SIZE[d] * 10 * 2 for d in sources.values())  # half precision
    images = sum(FULL_SIZE[d] * INPUT_SHAPES[d][0] * INPUT_SHAPES[d][1] ** 2 for d in {p["dataset"] for p in fields})
    rows = []
    for n in machines:
        computing = sum(_longest_first(stage * times, n) for stage in stages)
        hours = {"ideal": times * pieces.sum() / n, "computing": computing, "writing": writing, "chain": chain}
        hours["hours"] = max(computing, writing)
        read = {"read": (logits + n * images) / 1e9}
        rows.append({"machines": n, "pieces": times * len(pieces)} | {k: v / 3600 for k, v in hours.items()} | read)
    return pd.DataFrame(rows)


def _longest_first(seconds: list[float], machines: int) -> float:
    """When the last of these pieces ends if a free machine always takes the longest one left."""
    ends = [0.0] * machines
    for piece in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + piece)
    return max(ends)


def row_seconds(results: str | Path = "") -> float:
    """Processor seconds, measured here, that adding to the table "runs" takes for each of its rows, for all are read."""
    runs = records.load("runs", results).to_dict("records")
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        records.add("runs", runs, folder)
        for _ in range(3):
            start = time.process_time()
            records.add("runs", runs[-1:], folder)
            taken.append(time.process_time() - start)
    return min(taken) / max(1, len(runs))
