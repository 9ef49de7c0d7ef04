"""Runs on other machines, through any `concurrent.futures.Executor`: queue, placement and repeats are the engine's.

A worker shares code and cache with the process that asks, and writes to the cache alone. Students come back by value,
teachers are read from the cache, and that one process records both.
"""

import contextlib
import functools
import hashlib
import platform
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path

import torch

from kdutils import __version__, records
from kdutils.data import load_dataset
from kdutils.errors import UserError
from kdutils.training import resolve_device

_ALONE = threading.Lock()  # torch's random state and threads are the process's: two runs at once would share them


@functools.cache
def versions() -> str:
    """What decides whether two processes run the same code; kdutils is named by its sources."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "torch": torch.__version__.partition("+")[0]}
    found["kdutils"] = f"{__version__} ({hashlib.sha256(sources).hexdigest()[:8]})"
    if distributed := sys.modules.get("distributed"):
        found["dask"] = distributed.__version__
    return ", ".join(f"{name} {version}" for name, version in found.items())


@functools.cache
def _token(cache: Path) -> "tempfile._TemporaryFileWrapper":
    """An empty file in the cache while this process lives: who sees it sees this cache."""
    return tempfile.NamedTemporaryFile(dir=cache, prefix=".seen-")


def _look(token: str, expected: str, device: str, datasets: Collection[str], root: str | None) -> tuple[str, str]:
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
            load_dataset(dataset, "test", root)
        found = resolve_device(device)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return str(found), records.device_name(found)


def _visit(token: str, expected: str, device: str, work: Callable, *job: object) -> tuple[str, object]:
    """In a worker: the hardware, and what `work(*job)` returns; it looks again, for workers may join late."""
    found, hardware = _look(token, expected, device, (), None)
    with _ALONE:
        if found == "cpu":
            torch.set_num_threads(1)
        return hardware, work(*job)


def look(executor: Executor, device: str, datasets: Collection[str], root: str | Path | None) -> tuple[str, str]:
    """Ask the workers, before work starts, whether they share cache and code, have the data, and where they compute.

    Parameters
    ----------
    executor : Executor
        One made by `connect` asks each of its workers, any other one of them.
    device : str
        The workers' device; "auto" is what they find.
    datasets : list of str
        Data sets that must be there.
    root : path, optional
        Where; by default the worker's own KDUTILS_DATA.

    Returns
    -------
    tuple
        The device, and the hardware's name.

    Raises
    ------
    UserError
        If a worker may not take part, or if they disagree on "auto".
    """
    asked = (*_asked(), device, tuple(datasets), root and str(root))
    if client := getattr(executor, "client", None):
        found = client.run(_look, *asked)
    else:
        found = {"": executor.submit(_look, *asked).result()}
    devices = dict(found.values())
    if len(devices) > 1:
        raise UserError(f"the workers' devices are {' and '.join(sorted(devices))}: say which, with --device")
    return next(iter(devices.items()))


def _asked() -> tuple[str, str]:
    return Path(_token(records.cache_root()).name).name, versions()


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
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"--dask {address}: no dask scheduler answers there ({reason})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
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
