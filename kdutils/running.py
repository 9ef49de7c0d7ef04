"""Teachers trained and students distilled, here or one process a core, from a cache that every process shares.

Nothing here knows of tables or figures: `experiments` says which runs are wanted and records what comes back.
"""

import contextlib
import functools
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from kdutils import records
from kdutils.errors import Diverged, UserError
from kdutils.fleet import SHARED, Student, distil, group_size
from kdutils.losses import residual_logits, virtual_teacher_logits
from kdutils.protocols import RESIDUAL, UNIFORM, VIRTUAL, StudentProtocol, TeacherProtocol, key, seed_for
from kdutils.response import counterfeit
from kdutils.training import Response, load_response, load_splits, snapshot_path, teacher_folder, train_teacher

#: The teachers that members of a fleet learn from, by (key, epoch); a student may be one. Of the residual of a student,
#: the student, and beside it that student's own teacher.
Teachers = dict[tuple[str, int], TeacherProtocol | StudentProtocol]


def progress(**options: Any) -> tqdm:
    """A progress bar on standard error, or in the file that KDUTILS_PROGRESS names while a page is recorded.

    A log gets a line every half minute.
    """
    path = os.environ.get("KDUTILS_PROGRESS")
    live = path or sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(file=_appended(path) if path else sys.stderr, mininterval=0.5 if live else 30, **options)


@functools.cache
def _appended(path: str) -> TextIO:
    return open(path, "a")


class Workers(ProcessPoolExecutor):
    """Processes of one thread each, which count their fleets' epochs in `epochs` as they end.

    Small networks gain nothing from a second thread.
    """

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.epochs = context.Value("q", 0)
        super().__init__(count, context, _start_worker, (os.getpid(), self.epochs))


@contextlib.contextmanager
def workers(tasks: int, device: torch.device) -> Iterator[Workers | None]:
    """One process a core, or None where this process is the better place."""
    if device.type == "cuda" or tasks < 2:
        yield None
        return
    # glibc hands large blocks back to the kernel at every step; keeping them saves 15-25 % of a student's time.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**33))
    pool = Workers(min(cores(), tasks))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_epochs: list[Any] = []  # in a worker: the counter that it shares with the others


def _count(epochs: int) -> None:
    for counter in _epochs:
        with counter.get_lock():
            counter.value += epochs


def _start_worker(parent: int, epochs: Any) -> None:
    _epochs.append(epochs)
    torch.set_num_threads(1)

    def watch() -> None:  # a killed parent must not leave workers behind
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_order_of_ending(
    pool: Executor | None, work: Callable, jobs: Iterable[tuple], tick: Callable[[], None] | None = None
) -> Iterator[tuple[tuple, Any]]:
    """Yield (job, `work(*job)`) as jobs end, in the pool's processes or one after another here.

    While a pool works, `tick` is called every second.
    """
    if pool is None:
        for job in jobs:
            yield job, work(*job)
        return
    futures: dict[Future, tuple] = {}
    failed: BaseException | None = None
    try:
        futures |= {pool.submit(work, *job): job for job in jobs}
        while futures:
            ended = wait(futures, timeout=1 if tick else None, return_when=FIRST_COMPLETED).done
            if tick:
                tick()
            while ended:
                future = ended.pop()
                job = futures.pop(future)  # with its result, which an engine keeps for as long as it is asked for
                if (error := future.exception()) is None:
                    yield job, future.result()
                elif isinstance(error, UserError):
                    raise error
                failed = failed or error  # and the other jobs' results are not lost with this one's
        if failed:
            raise failed
    except BrokenExecutor:
        raise UserError(
            "a worker was killed, most likely for want of memory: free some, or use fewer cores (taskset -c 0 python …); "
            "what was recorded is kept, and the same command goes on"
        ) from None
    finally:
        for future in futures:
            future.cancel()


def run_teacher(protocol: TeacherProtocol, epochs: set[int], title: str, device: str, afresh: bool) -> Diverged | None:
    """Train a teacher unless its response after each of `epochs` is in the cache; `afresh` forgets first what is there.

    Returns where it diverged, if it did.
    """
    folder = teacher_folder(protocol)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for path in folder.glob(".*.tmp"):  # of a killed run, where what it wrote is not wanted again
            path.unlink()
        if afresh:
            for path in folder.glob("*.safetensors"):
                path.unlink()
        if any(load_response(protocol, epoch) is None for epoch in epochs):
            with progress(total=max(epochs), desc=title, unit="epoch") as bar:

                def advance(epoch: int, loss: float) -> None:
                    bar.update(epoch - bar.n)
                    bar.set_postfix(loss=f"{loss:.3f}")

                try:
                    train_teacher(protocol, max(epochs), device=torch.device(device), on_epoch=advance)
                except Diverged as diverged:
                    return diverged
                except torch.cuda.OutOfMemoryError:
                    raise UserError(f"{title} does not fit in the GPU's memory; use --device cpu") from None
    return None


def fleets(members: list[StudentProtocol], device: torch.device) -> Iterator[list[StudentProtocol]]:
    """Members in groups that share a fleet, each as large as `fleet.group_size` says."""
    groups: dict[tuple, list[StudentProtocol]] = {}
    for member in members:
        groups.setdefault(tuple(getattr(member, f) for f in SHARED), []).append(member)
    for group in groups.values():
        most = group_size(group[0], device)
        # On a CPU every core gets its part.
        size = len(group) if most is None else min(most, -(-len(group) // cores()))
        yield from (group[i : i + size] for i in range(0, len(group), size))


def run_fleet(
    members: list[StudentProtocol],
    teachers: Teachers,
    device: str,
    afresh: bool = False,
    on_epoch: Callable[[int], None] | None = None,
    teaching: Collection[str] = (),
) -> list[Student | Diverged]:
    """Distil one fleet, or read it from the cache; self-contained, so that any process can run it.

    Returns the students in the members' order, or where they diverged. A fleet that is too large for the GPU's memory is
    split, which is said. Students whose keys are in `teaching` keep their logits on the transfer set. Epochs as they end
    are told to `on_epoch`, or in a worker counted in `Workers.epochs`.
    """
    stored = [None if afresh else load_student(m, key(m) in teaching) for m in members]
    todo = [m for m, found in zip(members, stored, strict=True) if found is None]
    diverged: dict[StudentProtocol, Diverged] = {}
    if todo:
        start = time.perf_counter()
        sets = load_splits(members[0])
        logits, checksums = {}, {}
        for source in dict.fromkeys(m.source for m in todo):
            labels, changed = sets["train"].labels, source[2:]
            logits[source] = response_of(source[:2], teachers, "train", labels)
            checksums[source] = int(records.checksum_of({"train": logits[source]}), 16)
            if changed:
                kind, temperature = changed
                seed = seed_for("counterfeit", todo[0].seed)
                logits[source] = counterfeit(logits[source], labels, kind, temperature=temperature, seed=seed)
        given = (sets["train"], logits, sets["validation"], sets["test"], torch.device(device))
        train = any(key(m) in teaching for m in todo)
        students = _distil_what_fits(todo, *given, on_epoch=on_epoch or _count, train=train)
        seconds = (time.perf_counter() - start) / len(todo)
        for member, student in zip(todo, students, strict=True):
            if isinstance(student, Diverged):
                diverged[member] = student
                continue
            tensors = {"validation": student.validation.half(), "test": student.test.half()}
            tensors |= {"curve": student.curve, "loss": student.loss, "seconds": torch.tensor(seconds)}
            tensors["taught_by"] = torch.tensor(checksums[member.source])
            if key(member) in teaching and student.train is not None:
                tensors["train"] = student.train.half()
            if not all(bool(t.isfinite().all()) for t in tensors.values()):  # the last step was one too many
                last = member.steps or -(-len(sets["train"]) // member.batch_size)
                diverged[member] = Diverged("logits are not finite", member.epochs, last)
                continue
            records.save_tensors(student_path(member), tensors)
    # Read back even what was trained now: a result never depends on whether it came through the cache.
    return [diverged.get(m) or load_student(m) for m in members]  # type: ignore[misc]  # none is lacking now


def response_of(source: tuple[str, int], teachers: Teachers, split: str, labels: Tensor) -> Tensor:
    """Logits (N, 10) of a teacher, named as `StudentProtocol` names it by (key, epoch), on a split with these labels.

    Raises
    ------
    UserError
        If they are no longer in the cache.
    """
    name, epoch = source
    if name == UNIFORM:
        return torch.zeros(len(labels), 10)
    if name == VIRTUAL:
        return virtual_teacher_logits(labels, 10)
    teacher = teachers[source]
    found: Student | Response | None
    if isinstance(teacher, StudentProtocol):
        found, path = load_student(teacher, split == "train"), student_path(teacher)
    else:
        found, path = load_response(teacher, epoch), snapshot_path(teacher, epoch)
    if found is None:
        raise UserError(f"{path} is gone; run again to rebuild it")
    if name.startswith(RESIDUAL) and isinstance(teacher, StudentProtocol):
        own = (teacher.teacher, teacher.teacher_epoch)
        return residual_logits(response_of(own, teachers, split, labels), getattr(found, split))
    return getattr(found, split)


def load_student(member: StudentProtocol, train: bool = False) -> Student | None:
    """The stored student, or None if there is none, or none with its logits on the transfer set where `train` asks."""
    tensors = records.load_tensors(student_path(member))
    if tensors is None or (train and "train" not in tensors):
        return None
    return Student(**{name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})


def _distil_what_fits(members: list[StudentProtocol], *given: Any, **options: Any) -> list[Student | Diverged]:
    """`distil`, in smaller fleets where the GPU's memory does not hold all members at once; says how many it holds."""
    size = len(members)
    made: list[Student | Diverged] = []
    kind = f"{members[0].dataset} {members[0].role}"
    say = lambda text: tqdm.write(text, file=sys.stderr)
    while len(made) < len(members):
        part = members[len(made) : len(made) + size]
        try:
            made += distil(part, *given, **options)
            continue
        except torch.cuda.OutOfMemoryError:
            if len(part) == 1:
                raise UserError(f"one {kind} does not fit in the GPU's memory; use --device cpu") from None
        torch.cuda.empty_cache()  # outside the handler, whose traceback holds on to the tensors
        size = len(part) // 2
        say(f"a fleet of {len(part)} ({kind}) does not fit in the GPU's memory; trying {size}")
    if size < len(members):
        say(f"a fleet of {size} ({kind}) fits in the GPU's memory")
    return made


def student_path(member: StudentProtocol) -> Path:
    """Where a student's logits are cached."""
    return records.cache_root() / "students" / f"{key(member)}.safetensors"
