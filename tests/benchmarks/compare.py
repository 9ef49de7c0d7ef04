"""What is compared with what, and the rows that come of it."""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import importlib.util
import itertools
import multiprocessing
import sys
import unittest.mock
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F

from kdutils import compiled, records
from kdutils.experiments import Study
from kdutils.fleet import _Compiled, _Stacked, back_end, distil, group_size
from kdutils.models import count_multiply_adds, create_model
from kdutils.protocols import ROLES, TEACHERS, StudentProtocol, TeacherProtocol, seed_for
from kdutils.running import cores, fleets, in_order_of_ending, run_fleet, workers
from kdutils.training import autocast, graphed, load_splits, make_optimizer, snapshot_path, to_input
from tests.benchmarks import measure, peers
from tests.benchmarks.measure import by_turns, elapsed, enough_steps, ratios, step_seconds

#: How many of Tables 4-6's students a CPU distils at once where they are compared with a loop.
MEMBERS = {"mnist": 120, "fashion_mnist": 120, "cifar10": 30}


class Bench:
    """One run of the benchmarks: its device, its pool of processes, and the rows that it has measured."""

    def __init__(self, device: torch.device, quick: bool, results: str, pool: Executor | None):
        self.device, self.quick, self.results, self.pool = device, quick, results, pool
        self.cuda = device.type == "cuda"
        self.datasets = ("digits",) if quick else ("mnist", "fashion_mnist", "cifar10")
        self.repeats = 3
        self.rate: dict[str, float] = {}
        self.rows: list[dict] = []
        self._material: dict[str, tuple] = {}

    def add(self, comparison: str, dataset: str = "-", role: str = "-", members: int = 0, batch: int = 0, **values):
        """Record and print one row; what it does not measure is left empty.

        Raises
        ------
        ValueError
            If a way took no time in some repeat: too few steps were measured beside what varies in setting them up.
            With `quick`, which measures nothing, that may be.
        """
        if not self.quick and values.get("ratio_low", 1) <= 0:
            raise ValueError("so few steps were measured that they took less than no time")
        row = {
            "machine": records.device_name(self.device),
            "torch": torch.__version__,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": records.commit(),
            "dataset": dataset,
            "role": role,
            "members": members,
            "batch_size": batch,
            "comparison": comparison,
        }
        row = dict.fromkeys(records.VALUES["benchmarks"]) | row | values
        kind = "GPU" if self.cuda else "CPU"
        row["bar"] = None if comparison == "growth" and members == 1 else records.BARS.get((kind, dataset, comparison))
        records.add("benchmarks", [row], self.results)
        self.rows.append(row)
        print(line(row), flush=True)

    def material(self, dataset: str) -> tuple[list[StudentProtocol], dict, dict, torch.Tensor]:
        """Table 4-6's students of seed 0, their teachers, the images, and logits, here random: time is all that counts.

        The logits are stored as a teacher's response is, so that students are distilled the way that `kdutils run` does.
        """
        if dataset not in self._material:
            profile = "smoke" if self.quick else "paper"
            study = Study(profile, [dataset], 1, device=str(self.device))
            runs = [r for r in study.runs("missing_class") if r.teacher.training == "equal"]
            teachers = {(r.teacher.key, r.teacher.epochs): r.teacher.protocol for r in runs}
            # A CPU without units for it multiplies bfloat16 more slowly, so students there are of float32.
            precision = {} if self.cuda else {"precision": "float32"}
            members = [dataclasses.replace(r.protocol, eval_size=10, **precision) for r in runs]
            sets = load_splits(runs[0].protocol)
            generator = torch.Generator().manual_seed(0)
            for (_, epoch), protocol in teachers.items():
                logits = {n: 4 * torch.randn(len(s), 10, generator=generator) for n, s in sets.items()}
                rest = {"gram": torch.eye(10), "loss": torch.zeros(()), "seconds": torch.zeros(())}
                records.save_tensors(snapshot_path(protocol, epoch), logits | rest)
            self._material[dataset] = (members, teachers, sets, logits["train"])
        return self._material[dataset]

    def distil(self, dataset: str, members: int, steps: int, **changes) -> None:
        """Distil the first `members` students, all at once, as `kdutils run` does; from 120 on they begin again."""
        students, teachers, *_ = self.material(dataset)
        options = {"epochs": 1, "steps": steps} | changes
        chosen = [dataclasses.replace(m, **options) for m in itertools.islice(itertools.cycle(students), members)]
        jobs = [(group, teachers, str(self.device), True) for group in fleets(chosen, self.device)]
        for _ in in_order_of_ending(self.pool if len(jobs) > 1 else None, run_fleet, jobs):
            pass

    def ours(self, dataset: str, members: int):
        """A function from a number of steps to seconds a student's step, with all cores or the GPU at work."""
        return lambda steps: step_seconds(partial(self.distil, dataset, members), steps, self.device) / members

    def steps(self, way, seconds: float) -> int:
        return 20 if self.quick else enough_steps(way, seconds, 2_000)

    # ---------------------------------------------------------------- what is compared

    def matrix_rates(self) -> None:
        """Operations a second that the machine reaches in a large matrix product."""
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            self.rate[name] = measure.matrix_rate(self.device, dtype, self.quick)
            self.add("matrix rate", role=name, rate=self.rate[name], note=f"{name}, the best of ten products")

    def operations(self, dataset: str, role: str = "student") -> float:
        """Floating-point operations of one image's training step: a multiply-add is two, and backward costs twice."""
        return 6.0 * count_multiply_adds(create_model(dataset, role), dataset)

    def reached(self, dataset: str, member: StudentProtocol, seconds: float) -> dict:
        """Operations of a student's epoch, the machine's matrix rate, and the share of it that `seconds` amount to."""
        rate = self.rate[member.precision]
        operations = self.operations(dataset) * self.kept(dataset, member)
        return {"operations": operations, "rate": rate, "share": operations / seconds / rate}

    def kept(self, dataset: str, member: StudentProtocol) -> int:
        """Images of an epoch that a student learns from: all but its missing class."""
        return int((self.material(dataset)[2]["train"].labels != member.missing_class).sum())

    def epoch(self, dataset: str) -> int:
        """Steps of a student's epoch."""
        members, _, sets, _ = self.material(dataset)
        return -(-len(sets["train"]) // members[0].batch_size)

    def careful_loop(self) -> None:
        """The fleet against a careful loop over students, at its best number of threads and memory format."""
        for dataset in self.datasets:
            member = self.material(dataset)[0][0]
            layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
            loops, tried = {}, {}
            for name, threads in itertools.product(layouts, [1] if self.cuda else sorted({1, cores()})):
                with using_threads(threads):
                    if name not in loops:
                        loops[name] = self._loop(dataset, layouts[name])
                    tried[name, threads] = loops[name](self.steps(loops[name], 0.3))
            name, threads = min(tried, key=tried.get)
            loop = loops[name]
            del loops
            members = 6 if self.quick else 60 if self.cuda else MEMBERS[dataset]
            ours = self.ours(dataset, members)
            many = self.steps(ours, (0.6 if self.cuda else 9.0) / members)  # a hundred members take long to set up
            few = self.steps(loop, 0.3 if self.cuda else 1.5)

            def theirs(loop=loop, few: int = few, threads: int = threads) -> float:
                with using_threads(threads):
                    return loop(few)

            found = by_turns([partial(ours, many), theirs], self.repeats if self.quick or self.cuda else 5)
            self._against(dataset, member, members, "careful loop", found, f"{name}, {threads} thread(s)")
            if self.cuda:
                with reporting("the loop as a CUDA graph"):
                    graph = self._loop(dataset, layouts[name], True)
                    found = by_turns([partial(ours, many), partial(theirs, graph)], self.repeats)
                    self._against(dataset, member, members, "graphed loop", found, f"{name}, one CUDA graph a step")

    def _loop(self, dataset: str, layout: torch.memory_format, graph: bool = False):
        (member, *_), _, sets, logits = self.material(dataset)
        return peers.careful_loop(member, sets["train"], logits, self.device, layout, graph)

    def _against(self, dataset: str, member, members: int, name: str, found: list[list[float]], note: str) -> None:
        ours, theirs = ([self.epoch(dataset) * seconds for seconds in way] for way in found)
        values = ratios(ours, theirs)
        values |= self.reached(dataset, member, values["ours"])
        self.add(
            name, dataset, "student", members, member.batch_size, **values, note=f"{member.precision}; theirs: {note}"
        )

    def back_ends(self) -> None:
        """On a CPU, in one process with one thread: the back end that is chosen against the one that is not."""
        if self.cuda:
            return
        for dataset in dict.fromkeys(("digits", *self.datasets)):
            member = self.material(dataset)[0][0]
            chosen = back_end(member, self.device)
            names = {_Compiled: "compiled", _Stacked: "stacked", None: "one by one"}
            others = {stacked: names[kind] for stacked, kind in ((False, None), (True, _Stacked)) if kind is not chosen}
            ways = [self._back_end(dataset, stacked) for stacked in (None, *others)]
            with using_threads(1):
                steps = [self.steps(way, 0.15) for way in ways]
                ours, *theirs = by_turns([partial(way, n) for way, n in zip(ways, steps, strict=True)], self.repeats)
            for other, seconds in zip(others.values(), theirs, strict=True):
                values = ratios(*([self.epoch(dataset) * s for s in way] for way in (ours, seconds)))
                note = f"{names[chosen]}; {other}; in one process with one thread"
                self.add(f"back end, {other}", dataset, "student", 4, member.batch_size, **values, note=note)

    def _back_end(self, dataset: str, stacked: bool | None):
        """A function from a number of steps to seconds a student's step, of four students in this process."""
        run = lambda steps: self._here(dataset, stacked, 4, steps)
        return lambda steps: step_seconds(run, steps, self.device) / 4

    def _here(self, dataset: str, stacked: bool | None, members: int, steps: int) -> None:
        """Distil the first `members` students in this process."""
        students, _, sets, logits = self.material(dataset)
        chosen = [dataclasses.replace(m, epochs=1, steps=steps) for m in students[:members]]
        few = sets["test"].subset(range(10))
        distil(chosen, sets["train"], {students[0].source: logits}, few, few, self.device, stacked)

    def torchdistill(self) -> None:
        """MNIST's students against torchdistill, whose teacher runs at every step; a part of an epoch, scaled."""
        if self.cuda:
            return
        if importlib.util.find_spec("torchdistill") is None:
            print("torchdistill is not installed (pip install '.[bench]'): not compared", file=sys.stderr)
            return
        dataset = self.datasets[0]
        (member, *_), _, sets, _ = self.material(dataset)
        members = 6 if self.quick else MEMBERS[dataset]
        ours = self.ours(dataset, members)
        many = self.steps(ours, 6.0 / members)
        epoch = -(-self.kept(dataset, member) // member.batch_size)  # the missing class is no part of its data set
        ways, notes = [partial(ours, many)], []
        for size in TEACHERS:
            teacher = create_model(dataset, ROLES[size], seed=0).eval()
            loop = partial(peers.torchdistill_loop, member, sets["train"], teacher, self.device)
            tried = {count: loop(count, 2 if self.quick else 8) for count in (0, cores())}
            loaders = min(tried, key=tried.get)
            few = 2 if self.quick else max(10, round(2.0 / tried[loaders]))
            ways.append(partial(loop, loaders, few))
            notes.append(f"{few} of {epoch} steps, scaled, {loaders} loader process(es)")
        ours, *theirs = by_turns(ways, self.repeats)
        # Half of Table 4's students learn from each teacher.
        theirs.append([sum(pair) / len(TEACHERS) for pair in zip(*theirs, strict=True)])
        version = importlib.metadata.version("torchdistill")
        names = [*(f"torchdistill, {size} teacher" for size in TEACHERS), "torchdistill, both teachers"]
        for name, of, note in zip(names, theirs, [*notes, "half of the students with each"], strict=True):
            values = ratios([self.epoch(dataset) * s for s in ours], [epoch * s for s in of])
            values["note"] = f"torchdistill {version}; {note}"
            self.add(name, dataset, "student", members, member.batch_size, **values)

    def growth(self) -> None:
        """Time a member as the fleet grows from 1 to 120 (on a GPU to 240) members; the ratio is to one alone."""
        for dataset in (self.datasets[0], self.datasets[-1]) if self.cuda else self.datasets[:1]:
            member = self.material(dataset)[0][0]
            sizes = (1, 2, 6) if self.quick else (1, 8, 30, 60, 120, 240) if self.cuda else (1, 2, 8, 30, 120)
            ways = {n: self.ours(dataset, n) for n in sizes}
            if self.cuda or self.quick:
                steps = {n: self.steps(ways[n], 2.0 / n) for n in sizes}
            else:
                steps = {n: 30 if n > 8 else 150 for n in sizes}
            found = by_turns([partial(ways[n], steps[n]) for n in sizes], self.repeats)
            alone = [self.epoch(dataset) * s for s in found[0]]
            for n, of in zip(sizes, found, strict=True):
                with reporting(f"growth, {dataset}, {n} members"):
                    values = ratios([self.epoch(dataset) * s for s in of], alone)
                    values |= self.reached(dataset, member, values["ours"])
                    self.add(
                        "growth", dataset, "student", n, member.batch_size, **values, note="theirs: a fleet of one"
                    )

    def memory(self) -> None:
        """Peak memory of a whole fleet of 120 on a CPU, all its processes together."""
        if self.cuda:
            return
        dataset = self.datasets[0]
        members, teachers, *_ = self.material(dataset)
        members = [dataclasses.replace(m, epochs=1, steps=1, eval_size=None) for m in members]
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            peak = fresh.submit(fleet_memory, members, teachers).result()
        note = f"{1 + cores()} processes together, what they share counted once"
        self.add("memory", dataset, "student", len(members), members[0].batch_size, gib=peak, note=note)

    def spent(self) -> None:
        """What the time of a fleet's steps is spent on; on a CPU in one process with one thread, as a worker has."""
        for dataset in dict.fromkeys((self.datasets[0], self.datasets[-1])):
            member = self.material(dataset)[0][0]
            members = 6 if self.quick else 60 if self.cuda else group_size(member, self.device) or 1
            steps = 5 if self.quick else 100 if self.cuda else 20 if dataset == "cifar10" else 60
            # Kernels that a graph replays are not told apart, and what is not PyTorch's must say that it runs.
            with (
                using_threads(1),
                unittest.mock.patch("kdutils.fleet.graphed", lambda step: step),
                unittest.mock.patch.object(compiled.Network, "__call__", measure.recorded(compiled.Network.__call__)),
            ):
                shares = measure.time_shares(partial(self._here, dataset, None, members, steps), self.device)
            for kind, share in shares.items():
                self.add(
                    f"time in {kind}", dataset, "student", members, member.batch_size, share=share, note="profiler"
                )

    def teacher(self) -> None:
        """The large teacher's training step on a GPU: its share of the matrix rate, at three batch sizes."""
        if not self.cuda and not self.quick:
            return
        dataset = self.datasets[-1]
        runs = Study("smoke" if self.quick else "paper", [dataset], 1).runs("teachers")
        protocol = next(r.protocol for r in runs if r.teacher == "large")
        images = self.material(dataset)[2]["train"].images
        for batch in (32, 64) if self.quick else (256, 1024, 4096):
            run = teacher_steps(protocol, batch, images, self.device)
            steps = self.steps(lambda n, run=run: elapsed(lambda: run(n), self.device) / n, 1.0)
            times = [elapsed(lambda run=run, steps=steps: run(steps), self.device) / steps for _ in range(self.repeats)]
            operations, rate = (self.operations(dataset, protocol.role) * batch, self.rate[protocol.precision])
            shares = sorted(operations / t / rate for t in times)
            note = (
                f"{protocol.precision}; share {shares[0]:.3f} to {shares[-1]:.3f} over repeats; seconds are of one step"
            )
            values = {"ours": sorted(times)[len(times) // 2], "operations": operations, "rate": rate}
            values |= {"share": shares[len(shares) // 2], "repeats": len(times), "note": note}
            self.add("teacher", dataset, protocol.role, 1, batch, **values)


#: In the order in which they run; the rates come first, since others are compared with them.
BENCHMARKS = {
    "careful": Bench.careful_loop,
    "teacher": Bench.teacher,
    "growth": Bench.growth,
    "back-ends": Bench.back_ends,
    "spent": Bench.spent,
    "torchdistill": Bench.torchdistill,
    "memory": Bench.memory,
}


def teacher_steps(protocol: TeacherProtocol, batch: int, images: torch.Tensor, device: torch.device):
    """A function that makes so many steps of `training.train_teacher`'s inner loop, on data that lies on the device."""
    images = images.to(device)
    labels = torch.randint(10, (len(images),), device=device)
    model = create_model(protocol.dataset, protocol.role, dropout=protocol.dropout, seed=seed_for("init", 0))
    layout = torch.channels_last
    model = model.to(device, memory_format=layout).train()
    optimizer = make_optimizer(model, protocol.optimizer, protocol.learning_rate)
    order = itertools.cycle(torch.randperm(len(images)).to(device).split(batch)[: max(1, len(images) // batch)])

    def step(picked: torch.Tensor) -> None:
        x = to_input(images[picked], device).contiguous(memory_format=layout)
        with autocast(device, protocol.precision):
            loss = F.cross_entropy(model(x), labels[picked])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    advance = graphed(step) if device.type == "cuda" else step

    def run(steps: int) -> None:
        for picked in itertools.islice(order, steps):
            advance(picked)

    return run


def fleet_memory(members: list[StudentProtocol], teachers: dict) -> float:
    """GiB that a whole fleet takes at the most, with its workers; to be run in a process of its own."""
    device = torch.device("cpu")
    jobs = [(group, teachers, "cpu", True) for group in fleets(members, device)]
    with measure.peak_memory() as peak, workers(len(jobs), device) as pool:
        load_splits(members[0])  # as whoever records the students does
        for _ in in_order_of_ending(pool, run_fleet, jobs):
            pass
    return peak[0]


@contextlib.contextmanager
def using_threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@contextlib.contextmanager
def reporting(what: str):
    """Go on without `what` if it fails, and say so: on a machine paid by the minute the rest is wanted too."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said, and the rest is measured
        print(f"not measured: {what}: {' '.join(str(error).split())}", file=sys.stderr)


def line(row: dict) -> str:
    """One row of the printed table."""
    known = lambda name: row[name] is not None and not pd.isna(row[name])
    parts = [f"{row['comparison']:36s}", f"{row['dataset']:13s}", f"{row['role']:13s}"]
    parts.append(f"{row['members'] or '':>4} x {row['batch_size'] or '':<4}")
    if known("ratio"):
        parts.append(f"{row['ours']:9.4g} s {row['theirs']:9.4g} s")
        parts.append(f"ratio {row['ratio']:6.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})")
    if known("share"):
        parts.append(f"share {100 * row['share']:5.1f} %")
    elif known("rate"):
        parts.append(f"{row['rate'] / 1e9:,.0f} GFLOP/s")
    if known("gib"):
        parts.append(f"{row['gib']:.2f} GiB")
    parts.append(verdict(row))
    return "  ".join(part for part in parts if part)


def verdict(row: dict) -> str:
    """Whether the bar is reached, and whether a peer is faster."""
    faster = "THE PEER IS FASTER" if row["theirs"] and row["ratio"] < 1 and row["comparison"] != "growth" else ""
    if row["bar"] is None:
        return faster
    good = row["gib"] <= row["bar"] if row["gib"] else (row["ratio"] or row["share"]) >= row["bar"]
    return f"{'reached' if good else 'NOT REACHED'}: {row['bar']:g}" + (f"; {faster}" if faster else "")
