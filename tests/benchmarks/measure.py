"""Ratios from ways that take turns, the machine's matrix rate, peak memory, and what the time is spent on."""

import contextlib
import multiprocessing
import os
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

#: What a PyTorch operation does, by its name; the first that fits. All others are elementwise or reductions.
KINDS = {
    "compiled passes": r"^compiled passes$",
    "convolutions and matrix products": r"conv|mm$|mm_|bmm|matmul|linear",
    "max-pooling": r"max_pool",
    "copies, gathers, padding": r"copy|index|gather|_add$|scatter|fill|zero|pad|cat|clone|empty|stack|slice|select",
}
REST = "elementwise and reductions"
IDLE = "outside operations"  # Python and dispatch on a CPU; on a GPU the time in which no kernel runs


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def elapsed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes, its kernels included."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def step_seconds(run: Callable[[int], object], steps: int, device: torch.device) -> float:
    """Seconds a step, of `run(number of steps)`: set-up and prediction, which a run of one step has too, cancel."""
    base = 5 if device.type == "cuda" else 1  # a graph is captured within the first steps
    short = elapsed(lambda: run(base), device)
    return (elapsed(lambda: run(base + steps), device) - short) / steps


def enough_steps(run: Callable[[int], float], seconds: float, most: int) -> int:
    """How many steps fill `seconds`, of a `run(steps)` that returns seconds a step; it warms up on the way."""
    run(2)
    return max(3, min(most, round(seconds / max(run(12), 1e-6))))


def by_turns(ways: Sequence[Callable[[], float]], repeats: int) -> list[list[float]]:
    """What each way returns, called A B A B …: whatever slows the machine for a while slows all."""
    rounds = [[way() for way in ways] for _ in range(repeats)]
    return [list(values) for values in zip(*rounds, strict=True)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """How many times faster ours is: the median over turns, and the range; both ways' seconds as medians."""
    each = [t / o for o, t in zip(ours, theirs, strict=True)]
    return {
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "ratio": statistics.median(each),
        "ratio_low": min(each),
        "ratio_high": max(each),
        "repeats": len(each),
    }


def matrix_rate(device: torch.device, dtype: torch.dtype, quick: bool = False) -> float:
    """Floating-point operations a second of a large square matrix product: the best of several, all cores."""
    size = 256 if quick else 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = [elapsed(lambda: torch.mm(a, b), device) for _ in range(12)]
    return 2 * size**3 / min(times[2:])


def recorded(call: Callable) -> Callable:
    """The same call of `kdutils.compiled`, seen by the profiler."""

    def calls(*arguments: object) -> None:
        with record_function("compiled passes"):
            call(*arguments)

    return calls


def time_shares(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """The share of `work`'s time in each kind of operation: on a GPU of its kernels, on a CPU of one thread's work."""
    cuda = device.type == "cuda"
    work()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as recorded:
        profiled = elapsed(work, device)
    spent: dict[str, float] = {}
    for event in recorded.key_averages():
        if event.key.startswith("aten::") or event.key in ("_gather", "_add", "compiled passes"):  # `kdutils.kernels`
            name = event.key.removeprefix("aten::")
            kind = next((k for k, pattern in KINDS.items() if re.search(pattern, name)), REST)
            own = event.self_device_time_total if cuda else event.self_cpu_time_total
            spent[kind] = spent.get(kind, 0.0) + own / 1e6
    # A real run's graph leaves no gaps between kernels, and what is set up before it is none of its steps' time.
    whole = sum(spent.values()) if cuda else max(profiled, sum(spent.values()))
    shares = {kind: seconds / whole for kind, seconds in spent.items() if seconds > 0}
    return shares if cuda else shares | {IDLE: 1 - sum(shares.values())}


def held_gib(processes: Iterable[int]) -> float:
    """Memory that these processes hold now, in GiB; what they share counts once (Linux's proportional set size)."""
    held = 0
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            held += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1])
    return held / 2**20


@contextlib.contextmanager
def peak_memory(interval: float = 0.1) -> Iterator[list[float]]:
    """The most memory, in GiB, that this process and those that it started held at once: one number, at the end."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(interval):
            peak[0] = max(peak[0], held_gib([os.getpid(), *(p.pid for p in multiprocessing.active_children())]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
