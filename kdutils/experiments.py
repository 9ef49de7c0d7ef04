"""The runs behind each table and figure, and the tidy tables that they give.

A `Study` says what is wanted (profile, data sets, seeds, compute); its methods return records, running first what is
missing where that was asked for. Everything is found by key: a teacher is trained once, whoever asks for it, and a
second call runs nothing.
"""

import functools
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from filelock import FileLock
from tqdm import tqdm

from kdutils import claims, projection, published, records, response
from kdutils.data import NAMES, SPLITS, load_dataset
from kdutils.errors import UserError, check_name
from kdutils.fleet import SHARED, Student, distil, is_stacked
from kdutils.models import count_multiply_adds, count_parameters, create_model
from kdutils.protocols import (
    FULL_SIZE,
    PROFILES,
    STUDENT_BATCH,
    TABLE_TEMPERATURE,
    TEACHERS,
    StudentProtocol,
    TeacherProtocol,
    key,
    seed_for,
    teacher_protocol,
    trainings,
)
from kdutils.training import (
    Response,
    load_response,
    resolve_device,
    snapshot_path,
    stratified,
    teacher_folder,
    train_teacher,
)

COMPUTE = ("never", "missing", "always")
TEACHER_TABLES = ("response", "history", "soft_labels", "scatter")  # what `Study.measure_teacher` records
PROJECTED = 300  # images of each of three classes in a penultimate-layer projection (section 4.3)
EXAMPLE_CLASS, EXAMPLES = 6, 5  # Tables 2-3: five images of digit 6; ours are the test set's first five


@dataclass(frozen=True)
class Artefact:
    """A table or figure of the paper: the records that it is drawn from ("": none), and for which data sets."""

    title: str
    records: str = ""
    datasets: tuple[str, ...] = ()


#: The digits join each artefact as the data set that needs no download; the paper does not have them.
ARTEFACTS = {
    "table1": Artefact("Label-smoothing labels (exact, nothing to run)"),
    "table2": Artefact("Soft labels of the small teacher", "soft_labels", ("mnist", "digits")),
    "table3": Artefact("Soft labels of the large teacher", "soft_labels", ("mnist", "digits")),
    "fig3": Artefact("Mean entropy of the response against T", "response", NAMES),
    "table4": Artefact("Missing class, MNIST", "missing_class", ("mnist", "digits")),
    "table5": Artefact("Missing class, Fashion-MNIST", "missing_class", ("fashion_mnist",)),
    "table6": Artefact("Missing class, CIFAR-10", "missing_class", ("cifar10",)),
    "fig5": Artefact("Penultimate-layer projections", "scatter", NAMES),
    "table7": Artefact("Networks and their parameters (exact, nothing to run)"),
}


@dataclass(frozen=True)
class TeacherRun:
    """One teacher as the book names it: "small" or "large", under a training protocol, for a seed."""

    dataset: str
    teacher: str
    training: str
    seed: int
    protocol: TeacherProtocol
    epochs: int

    @property
    def identity(self) -> dict:
        return {"dataset": self.dataset, "training": self.training, "teacher": self.teacher, "seed": self.seed}


@dataclass(frozen=True)
class StudentRun:
    """One student and the teacher it is distilled from."""

    teacher: TeacherRun
    protocol: StudentProtocol


@dataclass
class Study:
    """What a reader asks for, checked before anything runs.

    Parameters
    ----------
    profile : str
        "smoke", "cpu" or "paper".
    datasets : list of str, or one str
        Data sets by name.
    seeds : int
        How many seeds, from 0; 0 stands for the profile's own number.
    compute : str
        "never": read the records; "missing": run what is not recorded; "always": run all afresh.
    device : str
        "auto", "cpu", "cuda", "cuda:0", ….
    results : str or Path
        Where records are read and written; empty: the book's.

    Raises
    ------
    UserError
        If a value has the wrong type or is not one of those allowed.
    """

    profile: str = "paper"
    datasets: list[str] = field(default_factory=lambda: ["mnist"])
    seeds: int = 0
    compute: str = "never"
    device: str = "auto"
    results: str | Path = ""
    root: str | Path | None = None  # of the data

    def __post_init__(self) -> None:
        if isinstance(self.datasets, str):
            self.datasets = [self.datasets]
        if not isinstance(self.datasets, list | tuple) or not self.datasets:
            raise UserError(f"datasets must be a list of names, not {self.datasets!r}; allowed: {', '.join(NAMES)}")
        for name in self.datasets:
            check_name("dataset", name, NAMES)
        self.datasets = list(dict.fromkeys(self.datasets))
        check_name("profile", self.profile, PROFILES)
        check_name("compute", self.compute, COMPUTE)
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or not 0 <= self.seeds <= 99:
            raise UserError(f"seeds must be a whole number from 0 (the profile's own) to 99, not {self.seeds!r}")
        for name in ("device", "results"):
            if not isinstance(getattr(self, name), str | Path):
                raise UserError(f"{name} must be a string, not {getattr(self, name)!r}")
        if self.results and Path(self.results).expanduser().is_file():
            raise UserError(f"results must be a folder, and {self.results} is a file")
        self._device = resolve_device(str(self.device))
        self._afresh: set[str] = set()  # keys that `always` has run in this session: shared runs are run once

    @classmethod
    def from_parameters(cls, namespace: dict) -> "Study":
        """The study that a notebook's parameters describe, papermill's included.

        papermill only warns of a parameter that a notebook does not have. Here every plain value in `namespace` that
        is no parameter is refused, so that a mistyped `-p profil smoke` cannot pass for the default.
        """
        allowed = [f for f in cls.__dataclass_fields__ if f != "root"]
        plain = {
            name: value
            for name, value in namespace.items()
            if not name.startswith("_")
            and name not in ("In", "Out")
            and isinstance(value, str | int | float | list | dict | None)
        }
        if any(isinstance(value, cls) for value in namespace.values()):  # run again, after other cells have set names
            plain = {name: value for name, value in plain.items() if name in allowed}
        for name in plain:
            check_name("parameter", name, allowed)
        return cls(**plain)

    @property
    def full(self):
        return PROFILES[self.profile]

    # ---------------------------------------------------------------- what is read

    def missing_class(self) -> pd.DataFrame:
        """Tables 4-6: accuracy on the class that a student never saw, for every class, temperature and teacher."""
        return self._table("missing_class", self.ensure_missing_class)

    def response(self) -> pd.DataFrame:
        """Figure 3 and section 3.3: mean entropy, confidence and variance of each teacher's response at each T."""
        return self._table("response", self.ensure_teachers)

    def history(self) -> pd.DataFrame:
        """Each teacher after each epoch: training loss, accuracies, and entropy and confidence at T = 9 on the test set."""
        return self._table("history", self.ensure_teachers)

    def soft_labels(self) -> pd.DataFrame:
        """Tables 2-3: soft labels of five test images at T = 9."""
        return self._table("soft_labels", self.ensure_teachers)

    def scatter(self) -> pd.DataFrame:
        """Figure 5 in numbers: within-class over between-class scatter of each teacher's projection."""
        return self._table("scatter", self.ensure_teachers)

    def projection(self) -> pd.DataFrame:
        """Figure 5: projected points, 300 images of each of three classes, of seed 0's teachers."""
        return self._table("projection", self.ensure_teachers)

    def images(self) -> pd.DataFrame:
        """The images behind Tables 2-3; `pixels` holds their bytes in hexadecimal, row by row."""
        table = records.load("images", self.results)
        return table[table["dataset"].isin(self.datasets)].reset_index(drop=True)

    def runs(self) -> pd.DataFrame:
        """Where each run came from: command, device, versions, commit, seconds, date."""
        return records.load("runs", self.results)

    def verdicts(self) -> pd.DataFrame:
        """Each claim's verdict on this study's data sets, from the records as they are."""
        return claims.verdicts(lambda name: records.load(name, self.results), self.profile, tuple(self.datasets))

    def provenance(self, artefact: str, table: pd.DataFrame) -> str:
        """One line of Markdown for below a table or figure: profile, seeds, hardware, dates and the command.

        Parameters
        ----------
        artefact : str
            A name of `ARTEFACTS`.
        table : DataFrame
            The records that are shown; if it is empty the line says that nothing has been run yet.
        """
        datasets = [d for d in self.datasets if d in ARTEFACTS[artefact].datasets]
        command = f"`python -m kdutils run {artefact} --profile {self.profile} --datasets {' '.join(datasets)}`"
        if table.empty:
            return f"*Not yet run at profile {self.profile} for {', '.join(datasets)}.* To run it: {command}"
        runs = self.runs()
        runs = runs[runs["run"].isin(table["run"])]
        seeds = table["seed"].nunique()
        parts = [
            f"profile {self.profile}" + ("" if self.profile == "paper" else " (indicative)"),
            f"{seeds} seed{'s' if seeds > 1 else ''}",
            f"{table['run'].nunique()} runs, {runs['seconds'].sum() / 60:,.0f} minutes in all",
            f"on {' and '.join(sorted(runs['device'].unique()))}",
            f"recorded {runs['date'].max()}",
            *(f"{d} not yet run" for d in datasets if d not in set(table["dataset"])),
            command,
        ]
        return f"*{' · '.join(parts[:-1])}* · {parts[-1]}"

    def _table(self, name: str, ensure) -> pd.DataFrame:
        if self.compute != "never":
            ensure()
        table = records.load(name, self.results)
        chosen = (table["profile"] == self.profile) & table["dataset"].isin(self.datasets)
        if self.seeds:
            chosen &= table["seed"] < self.seeds
        # Equal training and the small teacher first, as tables show them.
        order = [c for c in ("training", "teacher") if c in table]
        return table[chosen].sort_values(order, ascending=False, kind="stable", ignore_index=True)

    # ---------------------------------------------------------------- what it takes

    def teacher_runs(self) -> list[TeacherRun]:
        """Every teacher of this study, both capacities under each training protocol."""
        runs = []
        for dataset in self.datasets:
            for name in trainings(self.full, dataset):
                for seed in range(self.seeds or self.full.seeds):
                    for teacher in TEACHERS:
                        how = trainings(self.full, dataset)[name][teacher]
                        protocol = teacher_protocol(self.full, dataset, teacher, how.batch_size, seed)
                        runs.append(TeacherRun(dataset, teacher, name, seed, protocol, how.epochs))
        return runs

    def missing_class_runs(self) -> list[StudentRun]:
        """Tables 4-6: 10 classes x all temperatures for every teacher."""
        return [
            StudentRun(teacher, self.student(teacher, missing, temperature))
            for teacher in self.teacher_runs()
            for missing in range(10)
            for temperature in self.full.temperatures
        ]

    def student(self, teacher: TeacherRun, missing_class: int | None, temperature: float) -> StudentProtocol:
        """The protocol of one student of `teacher`, at this study's profile."""
        dataset = teacher.dataset
        return StudentProtocol(
            dataset=dataset,
            data=teacher.protocol.data,
            seed=teacher.seed,
            train_size=self.full.train_size[dataset],
            batch_size=self.full.batch_size(dataset, STUDENT_BATCH[dataset]),
            epochs=self.full.student_epochs[dataset],
            teacher=key(teacher.protocol),
            teacher_epoch=teacher.epochs,
            missing_class=missing_class,
            temperature=temperature,
        )

    def missing(self, name: str) -> list:
        """The runs of "missing_class", or of one of `TEACHER_TABLES`, that the records lack."""
        table = records.load(name, self.results)
        table = table[table["profile"] == self.profile]
        if name == "missing_class":
            have = set(table["run"])
            return [r for r in self.missing_class_runs() if key(r.protocol) not in have]
        # A teacher's key does not hold its number of epochs, and two trainings may be one run.
        have = set(zip(table["training"], table["run"], table["epochs"], strict=True))
        runs = [r for r in self.teacher_runs() if name != "soft_labels" or r.dataset in ("mnist", "digits")]
        return [r for r in runs if (r.training, key(r.protocol), r.epochs) not in have]

    # ---------------------------------------------------------------- what is run

    def prepare(self) -> None:
        """Find out before long work whether data, cache and records are there to be read and written."""
        for dataset in self.datasets:
            load_dataset(dataset, "test", self.root)
        records.check_writable(self.results)
        cache = records.cache_root()
        try:
            cache.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=cache).close()
        except OSError as error:
            raise UserError(f"{cache}: cannot write to the cache: {error.strerror}; set KDUTILS_CACHE") from None

    def ensure_teachers(self) -> None:
        """Train the teachers that the records lack, and record their responses."""
        runs = [run for name in TEACHER_TABLES for run in self.missing(name)]
        if self.compute == "always":
            runs = self.teacher_runs()
        if runs:
            self.prepare()
        for run in dict.fromkeys(runs):
            self.measure_teacher(run, self.train(run))

    def train(self, run: TeacherRun) -> Response:
        """The teacher's response after its last epoch, trained now unless it is in the cache."""
        run_key = key(run.protocol)
        folder = teacher_folder(run.protocol)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for path in folder.glob(".*.tmp"):  # of a killed run, where what it wrote is not wanted again
                path.unlink()
            if self.compute == "always" and run_key not in self._afresh:
                for path in folder.glob("*.safetensors"):
                    path.unlink()
            self._afresh.add(run_key)
            found = load_response(run.protocol, run.epochs)
            if found is None:
                title = f"{run.dataset} {run.teacher} teacher, seed {run.seed}"
                with progress(total=run.epochs, desc=title, unit="epoch") as bar:

                    def advance(epoch: int, loss: float) -> None:
                        bar.update(epoch - bar.n)
                        bar.set_postfix(loss=f"{loss:.3f}")

                    train_teacher(run.protocol, run.epochs, device=self._device, root=self.root, on_epoch=advance)
                found = load_response(run.protocol, run.epochs)
        return found

    def measure_teacher(self, run: TeacherRun, found: Response) -> None:
        """Record what Figures 3 and 5 and Tables 2-3 ask of one teacher's response."""
        identity = {"profile": self.profile, **run.identity, "run": key(run.protocol)}
        sets = {split: load_dataset(run.dataset, split, self.root) for split in SPLITS}
        labels = {split: s.labels for split, s in sets.items()}
        labels["train"] = labels["train"][stratified(labels["train"], run.protocol.train_size)]
        rows = []
        for split in SPLITS:
            logits = getattr(found, split)
            for temperature in self.full.temperatures:
                soft = response.soft_labels(logits, temperature)
                rows.append(
                    {
                        **identity,
                        "split": split,
                        "temperature": temperature,
                        "batch_size": run.protocol.batch_size,
                        "epochs": run.epochs,
                        "accuracy": float((logits.argmax(1) == labels[split]).float().mean()),
                        "entropy": float(response.entropy(logits, temperature).mean()),
                        "confidence": float(response.confidence_labels(logits, labels[split], temperature).mean()),
                        **response.response_variance(soft, labels[split]),
                    }
                )
        self._record_examples(run, identity, found.test, sets["test"])
        self._record_projection(run, identity, found, labels)
        self._record_history(run, identity, labels)
        records.add("response", rows, self.results)

    def _record_history(self, run: TeacherRun, identity: dict, labels: dict) -> None:
        """Record the teacher after each epoch, and in runs.csv what all of them took."""
        rows = []
        for epoch in range(1, run.epochs + 1):
            then = load_response(run.protocol, epoch)
            if then is None:  # lost from the cache: not worth training again
                continue
            rows.append(
                {
                    **identity,
                    "epoch": epoch,
                    "epochs": run.epochs,
                    "loss": float(then.loss),
                    "validation": float((then.validation.argmax(1) == labels["validation"]).float().mean()),
                    "accuracy": float((then.test.argmax(1) == labels["test"]).float().mean()),
                    "entropy": float(response.entropy(then.test, TABLE_TEMPERATURE).mean()),
                    "confidence": float(
                        response.confidence_labels(then.test, labels["test"], TABLE_TEMPERATURE).mean()
                    ),
                    "seconds": float(then.seconds),
                }
            )
        records.add("history", rows, self.results)
        known = self.runs()
        # Two training protocols may stand for one run, cut at different epochs: the longer one is what was run.
        if not (known.loc[known["run"] == identity["run"], "epochs"] > run.epochs).any():
            seconds = run.epochs * statistics.fmean(row["seconds"] for row in rows)
            records.add_runs([(run.protocol, run.epochs, seconds)], self._device, self.results)

    def _record_projection(self, run: TeacherRun, identity: dict, found: Response, labels: dict) -> None:
        """Project three classes drawn by the seed, the same for every teacher, and measure their scatter."""
        generator = torch.Generator().manual_seed(seed_for("projection", run.dataset, run.seed))
        drawn = sorted(torch.randperm(10, generator=generator)[:3].tolist())
        ratios, points = [], []
        for split in ("train", "test"):
            logits, y = getattr(found, split), labels[split]

            def ratio(classes: tuple[int, ...], logits: torch.Tensor = logits, y: torch.Tensor = y) -> float:
                kept = torch.isin(y, torch.tensor(classes))
                projected = projection.projection_from_logits(logits[kept], found.gram, classes)
                return projection.scatter(projected, y[kept])["ratio"]

            ratios.append(
                {
                    **identity,
                    "split": split,
                    "epochs": run.epochs,
                    "classes": " ".join(map(str, drawn)),
                    "ratio": ratio(tuple(drawn)),
                    "ratio_all_triples": statistics.fmean(map(ratio, itertools.combinations(range(10), 3))),
                }
            )
            for c in drawn if run.seed == 0 else ():  # one seed's points are enough to look at
                members = (y == c).nonzero().squeeze(1)
                members = members[torch.randperm(len(members), generator=generator)[:PROJECTED]]
                projected = projection.projection_from_logits(logits[members], found.gram, tuple(drawn))
                for n, (x, y_) in enumerate(projected.tolist()):
                    points.append(
                        {**identity, "split": split, "class": c, "example": n, "x": round(x, 3), "y": round(y_, 3)}
                    )
        records.add("projection", points, self.results)
        records.add("scatter", ratios, self.results)

    def _record_examples(self, run: TeacherRun, identity: dict, logits: torch.Tensor, test) -> None:
        if run.dataset not in ("mnist", "digits"):
            return
        chosen = (test.labels == EXAMPLE_CLASS).nonzero().squeeze(1)[:EXAMPLES].tolist()
        soft = response.soft_labels(logits[chosen], TABLE_TEMPERATURE)
        records.add(
            "soft_labels",
            [
                {
                    **identity,
                    "epochs": run.epochs,
                    "example": n,
                    "class": c,
                    "index": index,
                    "probability": float(soft[n, c]),
                }
                for n, index in enumerate(chosen)
                for c in range(soft.shape[1])
            ],
            self.results,
        )
        _, channels, height, width = test.images.shape
        shape = {"label": EXAMPLE_CLASS, "channels": channels, "height": height, "width": width}
        where = {"dataset": run.dataset, "split": "test"}
        pixels = [test.images[i].numpy().tobytes().hex() for i in chosen]
        rows = [{**where, "index": i, **shape, "pixels": p} for i, p in zip(chosen, pixels, strict=True)]
        records.add("images", rows, self.results)

    def ensure_missing_class(self, executor: Executor | None = None) -> None:
        """Distil the students of Tables 4-6 that the records lack, and record them one by one.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Where fleets run; by default one process a core on a CPU, this process on a GPU. Its workers must see the
            same cache.
        """
        runs = self.missing_class_runs() if self.compute == "always" else self.missing("missing_class")
        if not runs:
            return
        self.prepare()
        afresh = self.compute == "always"
        # Teachers first, each once; students then read their logits from the cache.
        for teacher in dict.fromkeys(r.teacher for r in runs):
            found = self.train(teacher)
            if afresh or any(teacher in self.missing(name) for name in TEACHER_TABLES):
                self.measure_teacher(teacher, found)
        by_key: dict[str, list[StudentRun]] = {}  # two names may stand for one run
        for r in runs:
            by_key.setdefault(key(r.protocol), []).append(r)
        fleets = list(_fleets([same[0].protocol for same in by_key.values()], self._device))
        teachers = {(key(r.teacher.protocol), r.teacher.epochs): r.teacher.protocol for r in runs}
        here = executor is None and (len(fleets) == 1 or self._device.type == "cuda")
        own = None if executor or here else _workers(len(fleets))
        pool = executor or own
        title = f"{', '.join(dict.fromkeys(r.teacher.dataset for r in runs))} students"
        with progress(total=len(by_key), desc=title, unit="student") as bar:
            try:
                for members, students in _run_fleets(fleets, teachers, self._device, self.root, afresh, pool):
                    self._measure_students([by_key[key(m)] for m in members], students)
                    bar.update(len(members))
            finally:
                if own:
                    own.shutdown(wait=True, cancel_futures=True)

    def _measure_students(self, runs: list[list[StudentRun]], students: list[Student]) -> None:
        """Record a fleet's students, each under all the names that its run goes by."""
        rows, made = [], []
        for same, student in zip(runs, students, strict=True):
            member = same[0].protocol
            labels = load_dataset(member.dataset, "test", self.root).labels
            correct = (student.test.argmax(1) == labels).double()
            measured = {
                "missing_class": member.missing_class,
                "temperature": member.temperature,
                "run": key(member),
                "accuracy_missing": float(correct[labels == member.missing_class].mean()),
                "accuracy": float(correct.mean()),
                "validation_best": float(student.curve.max()),
                "validation_last": float(student.curve[-1]),
            }
            rows += [{"profile": self.profile, **r.teacher.identity, **measured} for r in same]
            made.append((member, member.epochs, float(student.seconds)))
        records.add_runs(made, self._device, self.results)
        records.add("missing_class", rows, self.results)


def networks() -> pd.DataFrame:
    """Table 7: the printed total beside ours, and what each student's size means against its two teachers.

    `megabytes` is the size of the weights in float32, `multiply_adds` counts one image's forward pass; the ratios say
    how many times larger the data set's teachers are than the network.
    """
    table = published.load("networks").rename(columns={"parameters": "published"})
    models = [create_model(d, r) for d, r in zip(table["dataset"], table["role"], strict=True)]
    table["ours"] = [count_parameters(m) for m in models]
    table["multiply_adds"] = [count_multiply_adds(m, d) for m, d in zip(models, table["dataset"], strict=True)]
    table["megabytes"] = table["ours"] * 4 / 1e6
    for teacher in TEACHERS:
        for column, short in (("ours", "parameters"), ("multiply_adds", "multiply_adds")):
            of = table[table["role"] == f"teacher-{teacher}"].set_index("dataset")[column]
            table[f"{short}_of_{teacher}"] = table["dataset"].map(of) / table[column]
    return table


def published_variance() -> pd.DataFrame:
    """Variance in response of the paper's own Tables 2-3, large over small, for each definition in `response`."""
    table = published.load("soft_labels")
    found = {}
    for teacher in TEACHERS:
        rows = table[table["source"] == teacher].pivot(index="example", columns="class", values="probability")
        soft = torch.tensor(rows.to_numpy())
        labels = torch.full((len(soft),), EXAMPLE_CLASS)
        found[teacher] = response.response_variance(soft / soft.sum(1, keepdim=True), labels)
    ratios = pd.Series(found["large"]) / pd.Series(found["small"])
    return ratios.to_frame("published, five images")


def progress(**options: object) -> tqdm:
    """A progress bar on standard error, or in the file that KDUTILS_PROGRESS names while a page is recorded.

    A log gets a line every half minute.
    """
    path = os.environ.get("KDUTILS_PROGRESS")
    live = path or sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(file=open(path, "a") if path else sys.stderr, mininterval=0.5 if live else 30, **options)


# -------------------------------------------------------------------- fleets, here or in worker processes


def _fleets(members: list[StudentProtocol], device: torch.device) -> Iterator[list[StudentProtocol]]:
    """Members in groups that share a fleet: all that may where they are stacked, else one by one for many processes."""
    groups: dict[tuple, list[StudentProtocol]] = {}
    for member in members:
        groups.setdefault(tuple(getattr(member, f) for f in SHARED), []).append(member)
    for group in groups.values():
        size = len(group) if is_stacked(group[0], device) else 1
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _workers(tasks: int) -> ProcessPoolExecutor:
    """One process a core, each with one thread: small networks gain nothing from a second thread."""
    count = max(1, min(os.cpu_count() or 1, tasks))
    # glibc hands large blocks back to the kernel at every step; keeping them saves 15-25 % of a student's time.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**30))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**33))
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker, (os.getpid(),))


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)

    def watch() -> None:  # a killed parent must not leave workers behind
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_fleets(fleets: list, teachers: dict, device: torch.device, root, afresh: bool, pool: Executor | None):
    """Yield (members, students) as fleets end."""
    wanted = lambda members: {k: teachers[k] for k in {(m.teacher, m.teacher_epoch) for m in members}}
    if pool is None:
        for members in fleets:
            yield members, run_fleet(members, wanted(members), str(device), root, afresh)
        return
    jobs = {pool.submit(run_fleet, members, wanted(members), str(device), root, afresh): members for members in fleets}
    for job in as_completed(jobs):
        yield jobs[job], job.result()


def run_fleet(
    members: list[StudentProtocol],
    teachers: dict[tuple[str, int], TeacherProtocol],
    device: str,
    root: str | Path | None = None,
    afresh: bool = False,
) -> list[Student]:
    """Distil one fleet, or read it from the cache; self-contained, so that any process can run it.

    Returns the students in the members' order.
    """
    first = members[0]
    stored = [None if afresh else records.load_tensors(student_path(m)) for m in members]
    todo = [m for m, found in zip(members, stored, strict=True) if found is None]
    if todo:
        start = time.perf_counter()
        train = load_dataset(first.dataset, "train", root)
        transfer = train.subset(stratified(train.labels, first.train_size))
        logits = {}
        for (teacher, epoch), protocol in teachers.items():
            found = load_response(protocol, epoch)
            if found is None:
                raise UserError(f"{snapshot_path(protocol, epoch)} is gone; run again to rebuild it")
            logits[teacher, epoch] = found.train
        others = (load_dataset(first.dataset, split, root) for split in ("validation", "test"))
        students = distil(todo, transfer, logits, *others, torch.device(device))
        seconds = (time.perf_counter() - start) / len(todo)
        for member, student in zip(todo, students, strict=True):
            tensors = {"validation": student.validation.half(), "test": student.test.half()}
            tensors |= {"curve": student.curve, "loss": student.loss, "seconds": torch.tensor(seconds)}
            records.save_tensors(student_path(member), tensors)
    # Read back even what was trained now: a result never depends on whether it came through the cache.
    return [Student(**{n: t.float() for n, t in records.load_tensors(student_path(m)).items()}) for m in members]


def student_path(member: StudentProtocol) -> Path:
    return records.cache_root() / "students" / f"{key(member)}.safetensors"


# -------------------------------------------------------------------- what there is, and what it would take


def multiply_adds(protocol: TeacherProtocol | StudentProtocol, epochs: int) -> float:
    """Multiply-adds of a run's training, a backward pass counted as two forward ones."""
    size = protocol.train_size or FULL_SIZE[protocol.dataset]
    return 3.0 * _multiply_adds(protocol.dataset, protocol.role) * size * epochs


@functools.cache
def _multiply_adds(dataset: str, role: str) -> int:
    return count_multiply_adds(create_model(dataset, role), dataset)


def status(studies: Iterable[Study]) -> pd.DataFrame:
    """For each artefact, profile and data set: runs recorded and missing, and an estimate of the missing ones' minutes.

    The estimate scales the recorded runs' own times on this kind of hardware with multiply-adds; where none is
    recorded, it assumes 50 GFLOP/s for a CPU and 20 TFLOP/s for a GPU.
    """
    rows = []
    for study in studies:
        rate = _rates(study)
        for name, artefact in ARTEFACTS.items():
            for dataset in (d for d in study.datasets if d in artefact.datasets):
                one = Study(study.profile, [dataset], study.seeds, "never", study.device, study.results)
                wanted = one.missing_class_runs() if artefact.records == "missing_class" else one.teacher_runs()
                lacking = one.missing(artefact.records)
                teachers = {(key(r.protocol), r.epochs): r for r in lacking if isinstance(r, TeacherRun)}
                seconds = 0.0
                if artefact.records == "missing_class":
                    teachers = {(key(r.teacher.protocol), r.teacher.epochs): r.teacher for r in lacking}
                    if lacking:
                        macs = multiply_adds(lacking[0].protocol, lacking[0].protocol.epochs)
                        seconds += len(lacking) * macs * 2 / rate["student"]
                for teacher in teachers.values():
                    if load_response(teacher.protocol, teacher.epochs) is None:
                        seconds += multiply_adds(teacher.protocol, teacher.epochs) * 2 / rate["teacher"]
                rows.append(
                    {
                        "artefact": name,
                        "profile": study.profile,
                        "dataset": dataset,
                        "recorded": len(wanted) - len(lacking),
                        "missing": len(lacking),
                        "minutes": round(seconds / 60, 1),
                    }
                )
    return pd.DataFrame(rows)


def _rates(study: Study) -> dict[str, float]:
    """Floating-point operations a second of teachers' and students' training on this hardware, as recorded so far."""
    device = resolve_device(str(study.device))
    table = study.runs()
    table = table[table["device"] == records.device_name(device)]
    rates = {}
    for kind, of in (("teacher", TeacherProtocol), ("student", StudentProtocol)):
        recent = table[(table["kind"] == kind) & (table["seconds"] > 1)].tail(10)
        done = 0.0
        for text, epochs in zip(recent["protocol"], recent["epochs"], strict=True):
            fields = {k: v for k, v in json.loads(text).items() if k != "kind"}
            done += 2 * multiply_adds(of(**fields), epochs)
        parallel = os.cpu_count() or 1 if kind == "student" and device.type == "cpu" else 1
        default = 2e13 if device.type == "cuda" else 5e10
        rates[kind] = done / recent["seconds"].sum() * parallel if len(recent) else default
    return rates
