"""The runs behind each table and figure, and the tidy tables that they give.

A `Study` says what is wanted (profile, data sets, seeds, compute); its methods return records, running first what is
missing where that was asked for. Everything is found by key: a teacher is trained once, whoever asks for it, and a
second call runs nothing.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from kdutils import claims, many, projection, published, records, response, tutorial
from kdutils.data import NAMES, SPLITS, data_hash, load_dataset
from kdutils.errors import Diverged, UserError, check_folder, check_name, check_whole
from kdutils.fleet import Student
from kdutils.models import count_multiply_adds, count_parameters, create_model
from kdutils.protocols import (
    ALPHA_LS,
    CAPACITIES,
    EVALUATIONS,
    FULL_SIZE,
    PROFILES,
    RESIDUAL,
    RETRAINED,
    STUDENT_BATCH,
    SWEEP_SEEDS,
    TABLE_TEMPERATURE,
    TEACHER_BATCH,
    TEACHERS,
    TEMPERATURES,
    UNIFORM,
    Profile,
    StudentProtocol,
    TeacherProtocol,
    Training,
    TutorialProtocol,
    key,
    parse,
    retrained,
    seed_for,
    sweep,
    teacher_protocol,
    trainings,
)
from kdutils.response import COUNTERFEITS, SELECTIONS
from kdutils.running import (
    Teachers,
    fleets,
    in_order_of_ending,
    load_student,
    progress,
    run_fleet,
    run_teacher,
    workers,
)
from kdutils.training import Response, is_kept, load_response, load_splits, resolve_device
from kdutils.variations import Variation, beside_equal, of_same_seeds, summarise, variations

COMPUTE = ("never", "missing", "always")
TEACHER_TABLES = ("response", "history", "soft_labels", "scatter")  # what `Study.measure_teacher` records
LIKE_MNIST = ("mnist", "digits")  # data sets of Tables 2-3 and Figures 6-8
STUDENT_TABLES = ("missing_class", "few_examples", "baseline", "variations", "related")
GROUPS = (
    *("teachers", "capacity", "sweep", "retrained"),
    *("missing_class", "spectrum", "few_examples", "few_examples_controls", "few_examples_retrained"),
    *("sweet_spot", "baseline", "variations", "related", "tutorial"),
)
PROJECTED = 300  # images of each of three classes in a penultimate-layer projection (section 4.3)
EXAMPLE_CLASS, EXAMPLE_IMAGES = (6, 5)  # Tables 2-3: five images of digit 6; ours are the test set's first five


@dataclass(frozen=True)
class Artefact:
    """A table or figure of the paper: the groups of runs (`Study.runs`) that it is drawn from, and its data sets."""

    title: str
    groups: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


#: The digits join each artefact as the data set that needs no download; the paper does not have them.
ARTEFACTS = {
    "fig1": Artefact("Sweet spot, and responses with and without similarity", ("sweet_spot", "teachers"), NAMES),
    "fig2": Artefact("The distillation hypothesis, measured", ("spectrum",), NAMES),
    "table1": Artefact("Label-smoothing labels (exact, nothing to run)"),
    "table2": Artefact("Soft labels of the small teacher", ("teachers",), LIKE_MNIST),
    "table3": Artefact("Soft labels of the large teacher", ("teachers",), LIKE_MNIST),
    "fig3": Artefact("Mean entropy of the response against T", ("teachers",), NAMES),
    "table4": Artefact("Missing class, MNIST", ("missing_class",), LIKE_MNIST),
    "table5": Artefact("Missing class, Fashion-MNIST", ("missing_class",), ("fashion_mnist",)),
    "table6": Artefact("Missing class, CIFAR-10", ("missing_class",), ("cifar10",)),
    "fig4": Artefact("Accuracy against examples a class", ("few_examples",), NAMES),
    "fig5": Artefact("Penultimate-layer projections", ("teachers",), NAMES),
    "fig6": Artefact("Entropy against T, by batch size and epochs", ("sweep",), LIKE_MNIST),
    "fig7": Artefact("Projections of the retrained large teacher", ("teachers", "retrained"), LIKE_MNIST),
    "fig8": Artefact("Examples a class after retraining", ("few_examples_retrained",), LIKE_MNIST),
    "fig9": Artefact("Single-layer students", ("baseline",), NAMES),
    "fig10": Artefact("The distillation hypothesis in entropies", ("spectrum",), NAMES),
    "related": Artefact("The systems of section 2, at equal steps and equal trials", ("related",), NAMES),
    "tutorial": Artefact("PyTorch's distillation tutorial, on several seeds", ("tutorial",), ("cifar10", "digits")),
    "table7": Artefact("Networks and their parameters (exact, nothing to run)"),
    "variations": Artefact(
        "What decides it: open choices made otherwise, counterfeits and controls",
        ("variations", "few_examples_controls"),
        NAMES,
    ),
}


@dataclass(frozen=True)
class TeacherRun:
    """One teacher as the book names it: "small" or "large", under a training protocol, for a seed.

    `training` is "equal", "calibrated", "capacity", a batch size and epochs such as "4096x50", a variation's name, or what
    stands in a teacher's place ("none", "uniform", a counterfeit, an assistant). The uniform teacher of label smoothing
    has no protocol and no epochs.
    """

    dataset: str
    teacher: str
    training: str
    seed: int
    protocol: Any = None  # of a teacher; a student's where one teaches another; the tutorial's; None: no network
    epochs: int = 0
    counterfeit: str | None = None

    @property
    def identity(self) -> dict:
        """The columns that name it in records."""
        return {"dataset": self.dataset, "training": self.training, "teacher": self.teacher, "seed": self.seed}

    @property
    def key(self) -> str:
        """The key of its protocol; "uniform" where it has none."""
        return key(self.protocol) if self.protocol else UNIFORM


@dataclass(frozen=True)
class StudentRun:
    """One student, the teacher it is distilled from, and the table that it is recorded in.

    `system` names it in the comparison of `related`; `beside` is the student whose residual it learns there.
    """

    teacher: TeacherRun
    protocol: StudentProtocol
    table: str
    training: str = ""  # what it is recorded as, where that is not its teacher's training
    system: str = ""
    beside: StudentProtocol | None = None

    @property
    def names(self) -> dict:
        """What identifies it in its table, beside profile and what its protocol says."""
        return self.teacher.identity | ({"training": self.training} if self.training else {})

    @property
    def sources(self) -> Teachers:
        """Whose responses are needed to train it."""
        own = {(self.teacher.key, self.teacher.epochs): self.teacher.protocol}
        return own | ({(self.protocol.teacher, self.protocol.teacher_epoch): self.beside} if self.beside else {})

    @property
    def taught_by(self) -> list[str]:
        """Keys of the students among them."""
        return [key(p) for p in self.sources.values() if isinstance(p, StudentProtocol)]

    @property
    def identity(self) -> tuple:
        """What tells it from every other run: its table and names there, and its key."""
        return (self.table, self.names["training"], self.teacher.teacher, key(self.protocol))


Runs = list[Any]  # all of them TeacherRun, or all StudentRun: it depends on the group


@dataclass
class Study:
    """What a reader asks for, checked before anything runs.

    Attributes
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
    executor : concurrent.futures.Executor, optional
        Where runs go, and `device` is theirs; by default one process a core on a CPU, this process on a GPU. Its workers
        must see the same cache, which is checked (see `kdutils.many`).

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
    executor: Executor | None = None

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
        check_whole("seeds (0: the profile's own)", self.seeds, 0, 99)
        if self.results != "":
            check_folder("results", self.results)
        if self.executor and not isinstance(self.executor, Executor):
            raise UserError(f"executor must be a concurrent.futures.Executor, not a {type(self.executor).__name__}")
        # Of an executor's workers it is asked in `prepare`; None until then.
        self._device: Any = None if self.executor else resolve_device(self.device)
        self._hardware: Any = self._device
        self._afresh: set = set()  # what `always` has run so far: shared runs are run once

    @classmethod
    def from_parameters(cls, namespace: dict, own: Collection[str] = ()) -> "Study":
        """The study that a notebook's parameters describe, papermill's included.

        papermill only warns of a parameter that a notebook does not have. Here every plain value in `namespace` that
        is no parameter is refused, so that a mistyped `-p profil smoke` cannot pass for the default. `own` names the
        parameters of one notebook alone, which are its own business. Refused too is a folder of results that is not
        there, where nothing would be run that could fill it.
        """
        allowed = [*(f for f in cls.__dataclass_fields__ if f != "executor"), *own]
        again = any(isinstance(value, cls) for value in namespace.values())  # after other cells have set names
        given: dict[str, Any] = {}
        for name, value in namespace.items():
            plain = isinstance(value, str | int | float | list | tuple | dict | Path | None) or name in allowed
            if plain and not name.startswith("_") and name not in ("In", "Out") and not (again and name not in allowed):
                given[check_name("parameter", name, allowed)] = value
        study = cls(**{name: value for name, value in given.items() if name not in own})
        if study.compute == "never" and study.results != "" and not check_folder("results", study.results).is_dir():
            raise UserError(
                f"there is no folder {str(study.results)!r} to read results from, and compute 'never' makes none"
            )
        return study

    @property
    def full(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]

    # ---------------------------------------------------------------- what is read

    def missing_class(self) -> pd.DataFrame:
        """Tables 4-6: accuracy on the class that a student never saw, for every class, temperature and teacher."""
        return self.table("missing_class", "missing_class")

    def response(self, group: str = "teachers") -> pd.DataFrame:
        """Mean entropy, confidence and variance of each teacher's response at each T: Figure 3 and section 3.3.

        Of the group "sweep" it is Figure 6, of "capacity" the abscissa of Figure 2.
        """
        return self.table("response", group)

    def history(self) -> pd.DataFrame:
        """Each teacher after each epoch: loss, accuracies, and entropy and confidence at T = 9 on the test set."""
        return self.table("history", "teachers")

    def soft_labels(self) -> pd.DataFrame:
        """Tables 2-3: soft labels of five test images at T = 9."""
        return self.table("soft_labels", "teachers")

    def scatter(self, group: str = "teachers") -> pd.DataFrame:
        """Figures 5 and 7 in numbers: within-class over between-class scatter of each teacher's projection."""
        return self.table("scatter", group)

    def projection(self, group: str = "teachers") -> pd.DataFrame:
        """Figures 5 and 7: projected points, 300 images of each of three classes, of seed 0's teachers."""
        return self.table("projection", group)

    def few_examples(self, group: str = "few_examples") -> pd.DataFrame:
        """Figures 4 and 8 ("few_examples_retrained"), and controls of 4: accuracies against examples a class, by selection."""
        return self.table("few_examples", group)

    def curves(self, group: str = "few_examples") -> pd.DataFrame:
        """Validation accuracy of the students of Figures 4 and 8 while they learn."""
        return self.table("curves", group)

    def baseline(self, group: str = "baseline") -> pd.DataFrame:
        """Figure 9: single-layer students at each T; of "sweet_spot": at T = 9 from each cell of the sweep."""
        table = self.table("baseline", group)
        return table if group == "baseline" else table[table["temperature"] == TABLE_TEMPERATURE]

    def recorded_variations(self) -> pd.DataFrame:
        """The records behind `variations`, run first where that was asked for."""
        if self.compute != "never":
            self.ensure("variations")
        table = records.load("variations", self.results)
        return table[table["dataset"].isin(self.datasets) & (table["seed"] < (self.seeds or self.full.seeds))]

    def variations(self, *topics: str) -> pd.DataFrame:
        """What students learned of a class they never saw where one open choice was made otherwise.

        See `variations.summarise`, which says what the columns are. Where `paper` lacks a teacher's variation, `cpu` stands
        in, beside its own "equal". With `topics`, those alone, and "equal" on the seeds that they have.
        """
        students = self.recorded_variations()
        if topics:
            students = of_same_seeds(students, *topics)
        found = self._by_dataset(summarise(students, records.load("response", self.results)))
        own, other = (found[found["profile"] == profile] for profile in (self.profile, "cpu"))
        if (self.profile, self.compute) == ("paper", "never"):
            pairs = lambda table: pd.MultiIndex.from_frame(table[["dataset", "training", "teacher"]])
            lacking = ~pairs(other).isin(pairs(own))
            other = other[lacking | (other["training"] == "equal")] if lacking.any() else other.iloc[:0]
            own = pd.concat([own, other], ignore_index=True)
        return self._by_dataset(beside_equal(own, *topics)) if topics else own

    def spectrum(self) -> pd.DataFrame:
        """Figure 2: accuracy on the missing class at T = 9 from teachers of growing capacity and label smoothing.

        Of Tables 4-6's teachers more seeds may be recorded than of the others, with which they are compared.
        """
        table = self.table("missing_class", "spectrum")
        table = table[table["seed"] < (self.seeds or self.full.seeds)]
        return table[(table["temperature"] == TABLE_TEMPERATURE) | (table["teacher"] == UNIFORM)]

    def with_counterfeits(self, taught: pd.DataFrame) -> pd.DataFrame:
        """Records of `spectrum`, and those of counterfeits of the same data sets and profiles: Figures 2 and 10.

        The latter are of `recorded_variations`, as far as there are any: none is run for a figure of other runs.
        """
        fakes = dataclasses.replace(self, compute="never").recorded_variations().dropna(subset="missing_class")
        fakes = fakes[fakes["training"].isin(COUNTERFEITS) & (fakes["temperature"] == TABLE_TEMPERATURE)]
        fakes = fakes.merge(taught[["profile", "dataset"]].drop_duplicates())
        fakes = fakes.sort_values(["teacher", "training"], key=lambda of: of.map([*TEACHERS, *COUNTERFEITS].index))
        return self._by_dataset(pd.concat([taught, fakes])) if len(fakes) else taught

    def related(self) -> pd.DataFrame:
        """Students of every system that section 2 argues with, at each setting; see `related.summary`."""
        return self.table("related", "related")

    def tutorial(self) -> pd.DataFrame:
        """Test accuracy of the three networks of PyTorch's distillation tutorial."""
        return self.table("tutorial", "tutorial")

    def images(self) -> pd.DataFrame:
        """The images behind Tables 2-3; `pixels` holds their bytes in hexadecimal, row by row."""
        table = records.load("images", self.results)
        return table[table["dataset"].isin(self.datasets)].reset_index(drop=True)

    def runs_made(self) -> pd.DataFrame:
        """Where each run came from: command, device, versions, commit, seconds, date."""
        return records.load("runs", self.results)

    def verdicts(self) -> pd.DataFrame:
        """Each claim's verdict on this study's data sets, from the records as they are; see `claims.verdicts`.

        What profile `paper` cannot decide yet, `cpu` does, indicatively.
        """

        def at(profile: str) -> pd.DataFrame:
            reader = lambda dataset: dataclasses.replace(self, profile=profile, datasets=[dataset], compute="never")
            load = lambda claim, dataset: reader(dataset).table(claim.records, claim.group)
            return claims.verdicts(load, tuple(self.datasets))

        found = at(self.profile)
        undecided = found["verdict"] == "not yet run"
        return found.where(~undecided, at("cpu")) if self.profile == "paper" and undecided.any() else found

    def provenance(self, artefact: str, table: pd.DataFrame) -> str:
        """Markdown for below a table or figure: profile, seeds, hardware, dates, the command, and what was reduced.

        Parameters
        ----------
        artefact : str
            A name of `ARTEFACTS`.
        table : DataFrame
            The records that are shown; if it is empty the line says that nothing has been run yet.
        """
        artefact = check_name("table or figure", artefact, ARTEFACTS)
        datasets = [d for d in self.datasets if d in ARTEFACTS[artefact].datasets]
        shown = {profile: list(of.unique()) for profile, of in table.groupby("profile", sort=False)["dataset"]}
        lacking = [d for d in datasets if d not in set(table["dataset"])]
        wanted = {**shown, self.profile: [*shown.get(self.profile, []), *lacking]}
        most = table.groupby("profile")["seed"].max() + 1
        more_seeds = lambda p: f" --seeds {most[p]}" if most.get(p, 0) > PROFILES[p].seeds else ""
        command = ", ".join(
            f"`python -m kdutils run {artefact} --profile {profile} --datasets {' '.join(of)}{more_seeds(profile)}`"
            for profile, of in wanted.items()
            if of
        )
        if table.empty:
            return f"*Not yet run at profile {self.profile} for {', '.join(datasets)}.* To run it: {command}"
        runs = self.runs_made()
        runs = runs[runs["run"].isin(table["run"])]
        minutes = round(runs["seconds"].sum() / 60)
        seeded = {d: _seeds(of) for d, of in table.groupby("dataset")}
        same = len({*seeded.values()}) == 1
        name = lambda d: d if same else f"{d} ({seeded[d]})"
        parts = [
            "; ".join(
                f"profile {p}{' (indicative)' * (p != 'paper')}: {', '.join(map(name, of))}" for p, of in shown.items()
            ),
            *[next(iter(seeded.values()))] * same,
            f"{table['run'].nunique():,} runs, {minutes:,.0f} minute{'s' * (minutes != 1)} in all",
            f"on {' and '.join(sorted(runs['device'].unique()))}",
            f"recorded {runs['date'].max()}",
            *(f"{d} not yet run" for d in lacking),
        ]
        groups = {*ARTEFACTS[artefact].groups}
        reduced = [f"{d}: {less}" for p, of in shown.items() for d in of if (less := PROFILES[p].reductions(d, groups))]
        return f"*{' · '.join(parts)}* · {command}" + (f"\n\nReduced: {'. '.join(reduced)}." if reduced else "")

    def table(self, name: str, group: str) -> pd.DataFrame:
        """The records of one table that belong to a group of runs, run first where that was asked for.

        Where nothing is to be run and profile `paper` has less than three quarters of a data set's trainings, `cpu`
        stands in if it has more of them; the column `profile` says which is shown. Of a sweep those seeds count that have
        most of its cells.
        """
        if self.compute != "never":
            self.ensure(group)
        table = records.load(name, self.results)
        if self.seeds:
            table = table[table["seed"] < self.seeds]
        profiles = ["paper", "cpu"] if (self.profile, self.compute) == ("paper", "never") else [self.profile]
        parts, count = [], lambda rows: rows.groupby(["training", "teacher"]).ngroups
        for dataset in self.datasets:
            found = []
            for profile in profiles:
                runs = dataclasses.replace(self, profile=profile, datasets=[dataset]).runs(group)
                names = {r.identity[1:3] if isinstance(r, StudentRun) else (r.training, r.teacher) for r in runs}
                rows = table[(table["profile"] == profile) & (table["dataset"] == dataset)]
                found.append(rows[pd.MultiIndex.from_frame(rows[["training", "teacher"]]).isin(names)])
                if count(found[-1]) >= 0.75 * len(names):
                    break
            parts.append(max(found, key=count))
        if group in ("sweep", "sweet_spot"):  # a map of some cells' means over more seeds than others' would show seeds
            cells = [part.groupby("seed")["training"].transform("nunique") for part in parts]
            parts = [part[count == count.max()] for part, count in zip(parts, cells, strict=True)]
        # Equal training and the small teacher first, as tables show them, and controls last.
        table = pd.concat(parts).sort_values(["training", "teacher"], ascending=False, kind="stable")
        return self._by_dataset(table.sort_values("teacher", key=lambda of: of.isin([UNIFORM, "none"]), kind="stable"))

    def _by_dataset(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.sort_values(
            "dataset", key=lambda names: names.map(self.datasets.index), kind="stable", ignore_index=True
        )

    # ---------------------------------------------------------------- what it takes

    def runs_of(self, dataset: str, seed: int, group: str) -> Runs:
        """The runs of a group for one data set and seed; see `runs`."""
        check_name("group of runs", group, GROUPS)

        def teacher(name: str, training: str, how: Training) -> TeacherRun:
            protocol = teacher_protocol(self.full, dataset, name, how.batch_size, seed)
            return TeacherRun(dataset, name, training, seed, protocol, how.epochs)

        named = trainings(self.full, dataset)
        cell = lambda how: teacher("large", str(how), how)
        equal = [teacher(name, "equal", named["equal"][name]) for name in TEACHERS]
        none, silent = TeacherRun(dataset, "none", "none", seed), TeacherRun(dataset, UNIFORM, UNIFORM, seed)
        taught = lambda teacher, table, **fields: StudentRun(teacher, self.student(teacher, **fields), table)
        kinds: list[tuple[TeacherRun, dict[str, Any]]]
        match group:
            case "teachers":
                return [teacher(name, how, named[how][name]) for how in named for name in TEACHERS]
            case "capacity":
                how = named["equal"]["small"]
                return [teacher(n, "capacity", how) for n in CAPACITIES if n not in TEACHERS] + equal
            case "sweep":
                return [cell(how) for how in sweep(self.full, dataset)]
            case "retrained":
                # The usual batch size for as many epochs beside them, so that the batch size alone differs.
                return [equal[1], *map(cell, dict.fromkeys([self._usual(dataset), *retrained(self.full, dataset)]))]
            case "missing_class":
                teachers = self.runs_of(dataset, seed, "teachers")
                cells = itertools.product(teachers, range(10), self.full.temperatures[dataset])
                return [taught(t, "missing_class", missing_class=c, temperature=at) for t, c, at in cells]
            case "spectrum":
                smoothing = TeacherRun(dataset, UNIFORM, "label smoothing", seed)
                kinds = [(t, {}) for t in self.runs_of(dataset, seed, "capacity")]
                kinds.append((smoothing, {"temperature": 1.0, "alpha": ALPHA_LS}))
                return [taught(t, "missing_class", missing_class=c, **how) for t, how in kinds for c in range(10)]
            case "few_examples" | "few_examples_controls" | "few_examples_retrained":
                # As many steps as on the whole transfer set, whatever the number of examples, and as many measurements.
                steps = self.full.steps(dataset, STUDENT_BATCH[dataset], self.full.student_epochs[dataset])
                often: dict[str, Any] = {"epochs": EVALUATIONS, "steps": round(steps / EVALUATIONS)}
                numbers = self.full.numbers(dataset)
                if group == "few_examples_controls":
                    # One that says nothing, and one that says how sure the small teacher is of each image.
                    even = dataclasses.replace(equal[0], training="even", counterfeit="even")
                    kinds = [(silent, {}), (even, {"counterfeit": "even"})]
                    often |= {"selection": "random"}
                    return [taught(t, "few_examples", examples=n, **how, **often) for t, how in kinds for n in numbers]
                more = map(cell, retrained(self.full, dataset)) if group == "few_examples_retrained" else []
                chosen = itertools.product([*equal, *more], SELECTIONS, numbers)
                students = [taught(t, "few_examples", selection=s, examples=n, **often) for t, s, n in chosen]
                # And no teacher at all, whose students can choose their examples at random alone.
                alone = often | {"selection": "random", "temperature": 1.0, "alpha": 0.0}
                return students + [taught(none, "few_examples", examples=n, **alone) for n in numbers]
            case "sweet_spot":
                teachers = self.runs_of(dataset, seed, "sweep")
                return [taught(t, "baseline", role="student-baseline") for t in teachers]
            case "baseline":
                # Two controls: a response that says nothing, and no response at all (alpha = 0).
                teachers = [*equal, *map(cell, self.chosen(dataset)), silent]
                kinds = [(t, {"temperature": at}) for t in teachers for at in self.full.temperatures[dataset]]
                kinds.append((none, {"temperature": 1.0, "alpha": 0.0}))
                return [taught(t, "baseline", role="student-baseline", **how) for t, how in kinds]
            case "variations":
                return [run for v in self.varied(dataset) for run in self._vary(v, dataset, seed)]
            case "related":
                from kdutils import related  # which is made of this module's runs

                return related.runs(self, dataset, seed)
            case "tutorial":
                found = tutorial.protocols(self.full, dataset, seed)
                return [TeacherRun(dataset, name, group, seed, p, p.epochs) for name, p in found.items()]
        raise AssertionError(group)

    def varied(self, dataset: str) -> list[Variation]:
        """The variations of a data set at this profile, which trains no teacher longer than for its other figures."""
        equal, named = trainings(self.full, dataset)["equal"]["small"], self.full.variations[dataset]
        most = max(self.full.sweep_epochs[dataset], equal.epochs)
        found = [v for v in variations(dataset, equal) if not v.training or v.training.epochs <= most]
        alone = (TABLE_TEMPERATURE,)
        return [dataclasses.replace(v, temperatures=alone) for v in found if v.name in named] if named else found

    def _vary(self, variation: Variation, dataset: str, seed: int) -> list[StudentRun]:
        """The students of one variation."""
        equal = trainings(self.full, dataset)["equal"]["small"]
        how, fields = variation.training or equal, dict(variation.student)
        if "batch_size" in fields:
            fields["batch_size"] = self.full.batch_size(dataset, fields["batch_size"])
        fake, found = fields.get("counterfeit"), []
        training = variation.name if variation.teacher or how != equal or fake else "equal"
        for name in variation.teachers:
            protocol = teacher_protocol(self.full, dataset, name, how.batch_size, seed)
            protocol = dataclasses.replace(protocol, **variation.teacher)
            teacher = TeacherRun(dataset, name, training, seed, protocol, how.epochs, fake)
            lacking = [*range(10), *[None] * variation.whole]
            for temperature, missing in itertools.product(variation.temperatures, lacking):
                member = self.student(teacher, missing_class=missing, temperature=temperature, **fields)
                found.append(StudentRun(teacher, member, "variations", variation.name))
        if variation.name == "equal":  # and no teacher at all
            none = TeacherRun(dataset, "none", "none", seed)
            found.append(StudentRun(none, self.student(none, temperature=1.0, alpha=0.0), "variations", "none"))
        return found

    def runs(self, group: str) -> Runs:
        """Every run of a group, for this study's data sets and seeds.

        "teachers"
            both capacities under each training protocol: Tables 2-3, Figures 3 and 5
        "capacity"
            Table 7's networks of a data set, from the single layer to the large teacher, trained alike: Figures 2 and 10
        "sweep", "retrained"
            the large teacher at each batch size and number of epochs of section 5: Figure 6; those of Figure 7
        "missing_class", "spectrum"
            students that lack a class: Tables 4-6 (10 classes x all temperatures for every teacher); Figure 2 (at T = 9,
            from the group "capacity", and by label smoothing)
        "few_examples", "few_examples_controls", "few_examples_retrained"
            students that learn from few examples, and by no teacher as a control: Figure 4; from responses without
            similarity information, the uniform one and the small teacher's evened out; Figure 8, with the retrained teachers
        "sweet_spot", "baseline"
            single-layer students: at T = 9 from each cell of the sweep (Figure 1 a); at all T from small, large and
            retrained large, and by two controls: a uniform teacher, and no teacher (Figure 9)
        "variations"
            students that lack a class, with one open choice made otherwise; see `kdutils.variations`
        "related"
            students of the systems of section 2, and the assistants of some (see `kdutils.related`)
        "tutorial"
            the three networks of PyTorch's distillation tutorial (see `kdutils.tutorial`)
        """
        seeds = self.seeds or self.full.seeds
        if group in ("sweep", "sweet_spot"):
            seeds = min(seeds, SWEEP_SEEDS)
        return [run for d in self.datasets for seed in range(seeds) for run in self.runs_of(d, seed, group)]

    def chosen(self, dataset: str) -> list[Training]:
        """The training of Figure 9's retrained large teacher: the paper's for MNIST, else the sweep's best, if known.

        Best: the highest final validation accuracy of a single-layer student at T = 9, mean over the seeds that all cells
        have: of the chosen one others are recorded, too. Equal ones go by fewer epochs, then by the smaller batch.
        """
        fixed = [t for t in retrained(self.full, dataset) if t == RETRAINED[0]]
        if fixed:
            return fixed
        table = records.load("baseline", self.results)
        table = table.query("profile == @self.profile and dataset == @dataset and temperature == @TABLE_TEMPERATURE")
        cells = {str(c): c for c in sweep(self.full, dataset)}
        table = table[table["training"].isin(cells)]
        table = records.of_shared_seeds(table)
        if table["training"].nunique() < len(cells):
            return []
        mean = table.groupby("training")["validation_last"].mean().round(6)
        return [min(cells.values(), key=lambda c: (-mean[str(c)], c.epochs, c.batch_size))]

    def student(self, teacher: TeacherRun, /, **fields: Any) -> StudentProtocol:
        """The protocol of one student of `teacher` at this study's profile and T = 9; `fields` replace its defaults."""
        dataset = teacher.dataset
        usual: dict[str, Any] = {
            "dataset": dataset,
            "data": data_hash(dataset),
            "seed": teacher.seed,
            "train_size": self.full.train_size[dataset],
            "eval_size": self.full.eval_size[dataset],
            "batch_size": self.full.batch_size(dataset, STUDENT_BATCH[dataset]),
            "epochs": self.full.student_epochs[dataset],
            "precision": self.full.precision[dataset],
            "teacher": teacher.key,
            "teacher_epoch": teacher.epochs,
            "missing_class": None,
            "temperature": TABLE_TEMPERATURE,
        }
        return StudentProtocol(**usual | fields)

    def missing(self, group: str) -> Runs:
        """The runs of a group that the records lack."""
        have = self._recorded()
        return [run for run in self.runs(group) if self._lacks(run, have)]

    def failed(self, group: str) -> list[TeacherRun] | list[StudentRun]:
        """The runs of a group that diverged on this kind of device before, or learn from one that did.

        They are not tried again, for they would end alike: on another kind of device they are, where `compute` is
        "always", and where their line in failures.csv is deleted.
        """
        table = records.load("failures", self.results)
        table = table[table["device"] == (self._hardware and records.device_name(self._hardware))]
        if table.empty:
            return []
        last = dict(zip(table["run"], table["epoch"], strict=True))  # a teacher's earlier epochs are well
        runs = self.runs(group)
        every = {key(r.protocol): r.protocol for r in runs}

        def bad(name: str, epochs: float) -> bool:
            name = name.removeprefix(RESIDUAL)
            teacher = getattr(every.get(name), "teacher", "")
            of = getattr(every.get(name), "teacher_epoch", math.inf)
            return (name in last and last[name] <= epochs) or (bool(teacher) and bad(teacher, of))

        return [r for r in runs if bad(key(r.protocol), getattr(r, "epochs", math.inf))]

    def _recorded(self) -> dict[str, set[tuple]]:
        """What identifies the runs in each table. A teacher's key lacks its epochs, and a run may have several names."""
        have = {}
        for name in (*TEACHER_TABLES, "tutorial", *STUDENT_TABLES):
            table = records.load(name, self.results)
            columns = ["training", "teacher", "run"] + ["epochs"] * (name not in STUDENT_TABLES)
            have[name] = set(table.loc[table["profile"] == self.profile, columns].itertuples(index=False, name=None))
        return have

    def tables_of(self, run: TeacherRun) -> tuple[str, ...]:
        """The tables of records that a teacher has rows in: its response, and more where a figure asks for it."""
        if not isinstance(run.protocol, TeacherProtocol):
            return ("tutorial",) if run.training == "tutorial" else ()
        retrainings = {str(how) for how in (self._usual(run.dataset), *retrained(self.full, run.dataset))}
        if run.training in trainings(PROFILES["paper"], run.dataset):
            return tuple(t for t in TEACHER_TABLES if t != "soft_labels" or run.dataset in LIKE_MNIST)
        return TEACHER_TABLES if run.dataset in LIKE_MNIST and run.training in retrainings else ("response",)

    def _usual(self, dataset: str) -> Training:
        """The usual batch size for as many epochs as the sweep has."""
        return Training(TEACHER_BATCH[dataset], self.full.sweep_epochs[dataset])

    def _lacks(self, run: TeacherRun | StudentRun, have: dict[str, set[tuple]]) -> bool:
        if isinstance(run, StudentRun):
            return run.identity[1:] not in have[run.table]
        return any((run.training, run.teacher, run.key, run.epochs) not in have[name] for name in self.tables_of(run))

    # ---------------------------------------------------------------- what is run

    def prepare(self) -> None:
        """Find out before long work whether data, cache and records are there to be read and written."""
        records.check_writable(self.results)  # before data are downloaded
        records.check_cache()
        for dataset in self.datasets:
            load_dataset(dataset, "test")
        if self.executor and self._device is None:
            device, self._hardware = many.look(self.executor, str(self.device), self.datasets)
            self._device = torch.device(device)

    def made(
        self, pool: Executor | None, work: Callable, jobs: list[tuple], tick: Callable[[], None] | None = None
    ) -> Iterator[tuple[tuple, Any, str | torch.device]]:
        """(job, `work(*job)`, where it was done) as jobs end, in the pool or here; see `in_order_of_ending` for `tick`."""
        there = many.visiting(work, str(self._device)) if self.executor else None
        for job, found in in_order_of_ending(pool, there or work, jobs, tick):
            hardware, result = found if there else (self._hardware, found)
            yield job, result, hardware

    def ensure(self, group: str) -> None:
        """Run what the records lack of a group, or all of it where `compute` is "always", and record it as it comes.

        Parameters
        ----------
        group : str
            See `runs`.
        """
        if group == "baseline":  # whose retrained teacher is chosen by these
            self.ensure("sweet_spot")
        afresh = self.compute == "always"
        runs = [r for r in self.runs(group) if r not in self._afresh] if afresh else self.missing(group)
        if afresh:
            taught_by = {r.teacher.key for r in runs if isinstance(r, StudentRun)} - self._afresh
            records.forget(dict.fromkeys(taught_by | {key(r.protocol) for r in runs}, math.inf), self.results)
        if not runs:
            return
        self.prepare()  # which also finds out on what, and so which runs failed there
        runs = self._without_failed(group, runs)
        self._afresh.update(runs)
        if group == "tutorial":
            return tutorial.ensure(self, runs)
        students = [r for r in runs if isinstance(r, StudentRun)]
        # Teachers first, each once; students then read their logits from the cache.
        teachers = dict.fromkeys(r.teacher if isinstance(r, StudentRun) else r for r in runs)
        self._train([t for t in teachers if isinstance(t.protocol, TeacherProtocol)])
        for wave in self._in_waves(group, students):
            if wave := self._without_failed(group, wave):
                self._distil(wave, {k for r in self.runs(group) for k in r.taught_by})

    def _without_failed(self, group: str, runs: list) -> list:
        """Some runs without those that `failed`; says which students are left out."""
        failed = set(self.failed(group))
        teachers = collections.Counter(r.teacher for r in runs if r in failed and isinstance(r, StudentRun))
        for t, count in teachers.items():
            name = f"{t.dataset} {t.teacher} teacher ({t.training}, seed {t.seed}, {t.key})"
            tqdm.write(f"left out: {count} students of the {name}: it or they diverged", file=sys.stderr)
        return [r for r in runs if r not in failed]

    def _in_waves(self, group: str, students: list[StudentRun]) -> list[list[StudentRun]]:
        """Students in fleets' order: who teaches others comes before them, recorded or not, if its logits are gone.

        Whoever teaches nobody, and waits for somebody, waits for the last wave, so that there are few fleets.
        """
        every = {key(r.protocol): r for r in self.runs(group)} if any(r.taught_by for r in students) else {}
        wanted = list(students)
        for run in wanted:  # which grows on the way
            gone = (every[k] for k in run.taught_by if load_student(every[k].protocol, train=True) is None)
            wanted += [r for r in gone if r not in wanted]
        keys = {key(r.protocol) for r in wanted}
        teaching = {k for r in wanted for k in r.taught_by}

        def depth(run: StudentRun) -> int:
            return max((1 + depth(every[k]) for k in run.taught_by if k in keys), default=0)

        waves: dict[int, list[StudentRun]] = {}
        last = max(map(depth, wanted), default=0)
        for run in wanted:
            waves.setdefault(last if depth(run) and key(run.protocol) not in teaching else depth(run), []).append(run)
        return [waves[n] for n in sorted(waves)]

    def _train(self, runs: list[TeacherRun]) -> None:
        """Train teachers, each protocol once and for the longest of its runs, and measure those not recorded."""
        epochs = collections.defaultdict(set)
        for run in runs:
            epochs[run.key].add(run.epochs)
        afresh = {k for k in epochs if self.compute == "always" and k not in self._afresh}
        self._afresh |= afresh
        jobs = []
        for k, run in {run.key: run for run in runs}.items():
            if k in afresh or any(load_response(run.protocol, epoch) is None for epoch in epochs[k]):
                title = f"{run.dataset} {run.teacher} teacher, seed {run.seed}"
                jobs.append((run.protocol, epochs[k], title, str(self._device), k in afresh))
        with contextlib.ExitStack() as stack:
            # The digits' teachers take less time than the start of a worker.
            tasks = sum(job[0].dataset != "digits" for job in jobs)
            pool = self.executor or stack.enter_context(workers(tasks, self._device))
            busy = {key(job[0]) for job in jobs}
            self._measure_teachers([r for r in runs if r.key not in busy], afresh, self._hardware)
            for (protocol, *_), diverged, hardware in self.made(pool, run_teacher, jobs):
                well = math.inf
                if diverged:
                    records.add_failures([(protocol, diverged)], hardware, self.results)
                    well = diverged.args[1] - 1
                own = [r for r in runs if r.key == key(protocol) and r.epochs <= well]
                self._measure_teachers(own, afresh, hardware)
                self._say_if_other(own)

    def _measure_teachers(self, runs: list[TeacherRun], afresh: set[str], hardware: str | torch.device) -> None:
        have = self._recorded()
        for run in runs:
            if run.key in afresh or self._lacks(run, have):
                found = load_response(run.protocol, run.epochs)
                self.measure_teacher(run, found, hardware)  # type: ignore[arg-type]  # trained by now

    def _say_if_other(self, made: list[TeacherRun]) -> None:
        """Say of which teachers just made the records hold another making, or may: their students learn from this one."""
        table = records.load("response", self.results)
        recorded = table.groupby(["run", "epochs"])["logits"].first()
        for which, run in {(run.key, run.epochs): run for run in made}.items():
            found = load_response(run.protocol, run.epochs)
            if found and recorded.get(which) != records.checksum_of({"train": found.train}):
                name = f"{run.dataset} {run.teacher} teacher ({run.training}, seed {run.seed})"
                tqdm.write(
                    f"made again: the {name} was recorded before and is not in the cache; its response may differ from the "
                    "recorded one, and new students learn from it",
                    file=sys.stderr,
                )

    def measure_teacher(self, run: TeacherRun, found: Response, hardware: str | torch.device) -> None:
        """Record one teacher's response: in "response", and in what else `tables_of` names."""
        identity, tables = {"profile": self.profile, **run.identity, "run": run.key}, self.tables_of(run)
        sets = load_splits(run.protocol)
        labels = {split: s.labels for split, s in sets.items()}
        rows, checksum = [], records.checksum_of({"train": found.train})
        for split, temperature in itertools.product(SPLITS, TEMPERATURES):
            logits, y = getattr(found, split), labels[split]
            if run.counterfeit:
                seed = seed_for("counterfeit", run.seed)
                logits = response.counterfeit(logits, y, run.counterfeit, temperature=temperature, seed=seed)
            row = {"split": split, "temperature": temperature, "epochs": run.epochs}
            row |= {"batch_size": run.protocol.batch_size, "logits": checksum, **_shown(logits, y, temperature)}
            rows.append(identity | row | response.response_variance(response.soft_labels(logits, temperature), y))
        if "soft_labels" in tables:
            self._record_examples(run, identity, found.test, sets["test"])
        if "scatter" in tables:
            self._record_projection(run, identity, found, labels)
        if "history" in tables:
            self._record_history(run, identity, labels)
        self._record_run(run, hardware)
        records.add("response", rows, self.results)

    def _record_run(self, run: TeacherRun, hardware: str | torch.device) -> None:
        """Say in the table "runs" what made a teacher: of several runs of one protocol, the longest."""
        known = self.runs_made()
        if not (known.loc[known["run"] == run.key, "epochs"] > run.epochs).any():
            kept = filter(None, (load_response(run.protocol, epoch) for epoch in range(1, run.epochs + 1)))
            seconds = run.epochs * statistics.fmean(float(then.seconds) for then in kept)
            records.add_runs([(run.protocol, run.epochs, seconds)], hardware, self.results)

    def _record_history(self, run: TeacherRun, identity: dict, labels: dict) -> None:
        """Record the teacher after each epoch whose response is kept."""
        rows = []
        for epoch in filter(is_kept, range(1, run.epochs + 1)):
            if then := load_response(run.protocol, epoch):  # else lost from the cache: not worth training again
                row = {"epoch": epoch, "epochs": run.epochs, "loss": float(then.loss), "seconds": float(then.seconds)}
                row["validation"] = _accuracy(then.validation, labels["validation"])
                rows.append(identity | row | _shown(then.test, labels["test"], TABLE_TEMPERATURE))
        records.add("history", rows, self.results)

    def _record_projection(self, run: TeacherRun, identity: dict, found: Response, labels: dict) -> None:
        """Project three classes drawn by the seed, the same for every teacher, and measure their scatter."""
        generator = torch.Generator().manual_seed(seed_for("projection", run.dataset, run.seed))
        drawn = tuple(sorted(torch.randperm(10, generator=generator)[:3].tolist()))
        ratios, points = [], []
        for split in ("train", "test"):
            where, logits, y = identity | {"split": split}, getattr(found, split), labels[split]
            each = {}
            for classes in itertools.combinations(range(10), 3):
                kept = torch.isin(y, torch.tensor(classes))
                projected = projection.projection_from_logits(logits[kept], found.gram, classes)
                each[classes] = projection.scatter(projected, y[kept])["ratio"]
            what = {"epochs": run.epochs, "classes": " ".join(map(str, drawn))}
            ratios.append(where | what | {"ratio": each[drawn], "ratio_all_triples": statistics.fmean(each.values())})
            for c in drawn if run.seed == 0 else ():  # one seed's points are enough to look at
                members = (y == c).nonzero().squeeze(1)
                members = members[torch.randperm(len(members), generator=generator)[:PROJECTED]]
                projected = projection.projection_from_logits(logits[members], found.gram, drawn)
                for n, (x, height) in enumerate(projected.tolist()):
                    points.append(where | {"class": c, "example": n, "x": round(x, 3), "y": round(height, 3)})
        records.add("projection", points, self.results)
        records.add("scatter", ratios, self.results)

    def _record_examples(self, run: TeacherRun, identity: dict, logits: torch.Tensor, test) -> None:
        chosen = (test.labels == EXAMPLE_CLASS).nonzero().squeeze(1)[:EXAMPLE_IMAGES].tolist()
        soft = response.soft_labels(logits[chosen], TABLE_TEMPERATURE).tolist()
        labels, images = [], []
        for n, index in enumerate(chosen):
            example = identity | {"epochs": run.epochs, "example": n, "index": index}
            labels += [example | {"class": c, "probability": p} for c, p in enumerate(soft[n])]
            image = test.images[index]
            shape = dict(zip(("channels", "height", "width"), image.shape, strict=True))
            shown = {"dataset": run.dataset, "split": "test", "index": index, "label": EXAMPLE_CLASS}
            images.append(shown | shape | {"pixels": image.numpy().tobytes().hex()})
        records.add("soft_labels", labels, self.results)
        records.add("images", images, self.results)

    def _distil(self, runs: list[StudentRun], teaching: set[str]) -> None:
        """Distil students in fleets and record each as it comes, under all the names that its run goes by.

        `teaching` are the keys of those that others will learn from.
        """
        by_key: dict[str, list[StudentRun]] = {}
        for run in runs:
            by_key.setdefault(key(run.protocol), []).append(run)
        groups = list(fleets([same[0].protocol for same in by_key.values()], self._device))
        wanted = lambda members: {k: t for m in members for k, t in by_key[key(m)][0].sources.items()}
        afresh = self.compute == "always"
        title = f"{', '.join(dict.fromkeys(r.teacher.dataset for r in runs))}: {len(by_key)} students"
        total = sum(m.epochs for members in groups for m in members)
        with progress(total=total, desc=title, unit="student-epoch") as bar, contextlib.ExitStack() as stack:
            here = None if self.executor else stack.enter_context(workers(len(groups), self._device))
            pool = self.executor or here
            advance = None if pool else bar.update
            jobs = [(ms, wanted(ms), str(self._device), afresh, advance, teaching) for ms in groups]
            done, students_done, start = 0, 0, time.perf_counter()
            at_least = lambda epochs: bar.update(max(epochs - bar.n, 0))
            tick = (lambda: at_least(here.epochs.value)) if here else None
            for (members, *_), students, hardware in self.made(pool, run_fleet, jobs, tick):
                self._record_students([by_key[key(m)] for m in members], students, hardware)
                done += sum(m.epochs for m in members)
                students_done += len(members)
                at_least(done)
                bar.set_postfix_str(f"{students_done / (time.perf_counter() - start):.2f} students/s")

    def _record_students(
        self, runs: list[list[StudentRun]], students: list[Student | Diverged], hardware: str | torch.device
    ) -> None:
        from kdutils import related

        rows: dict[str, list[dict]] = collections.defaultdict(list)
        made, learned_from, failed = [], [], []
        for same, student in zip(runs, students, strict=True):
            member = same[0].protocol
            if isinstance(student, Diverged):
                failed.append((member, student))
                continue
            labels, known = (load_splits(member)[split].labels for split in ("test", "validation"))
            if same[0].table == "related":
                student = related.deployed(same[0], student, known)
            correct = (student.test.argmax(1) == labels).double()
            measured = {"run": key(member), "accuracy": float(correct.mean())}
            measured |= {"validation_best": float(student.curve.max()), "validation_last": float(student.curve[-1])}
            measured |= {f: getattr(member, f) for f in ("temperature", "missing_class", "examples", "selection")}
            measured |= dict.fromkeys(("accuracy_missing", "bias", "accuracy_biased", "accuracy_missing_biased"))
            if (c := member.missing_class) is not None:
                measured["accuracy_missing"] = float(correct[labels == c].mean())
                # Both splits' images of a class are as frequent, so the best bias on one suits the other.
                shifted, shift = student.test.clone(), response.best_bias(student.validation, known, c)
                shifted[:, c] += shift
                right = (shifted.argmax(1) == labels).double()
                measured |= {"bias": shift, "accuracy_biased": float(right.mean())}
                measured["accuracy_missing_biased"] = float(right[labels == c].mean())
            for run in same:
                row = {"profile": self.profile, **run.names, **measured}
                if run.table == "related":
                    row |= related.measured(run, labels)
                rows[run.table].append(row)
                if run.table == "few_examples":
                    points = enumerate(zip(student.curve.tolist(), student.loss.tolist(), strict=True), 1)
                    rows["curves"] += (
                        row | {"step": n * (member.steps or 0), "validation": a, "loss": loss}
                        for n, (a, loss) in points
                    )
            made.append((member, member.epochs, float(student.seconds)))  # type: ignore[arg-type]  # stored by now
            learned_from.append("" if student.taught_by is None else f"{int(student.taught_by):08x}")
        records.add_failures(failed, hardware, self.results)
        records.add_runs(made, hardware, self.results, learned_from)
        for table in sorted(rows, key=STUDENT_TABLES.__contains__):  # what says "done" comes last
            records.add(table, rows[table], self.results)


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float((logits.argmax(1) == labels).float().mean())


def _shown(logits: torch.Tensor, labels: torch.Tensor, temperature: float) -> dict[str, float]:
    """A response's accuracy, and its mean entropy and confidence label at a temperature."""
    entropy = float(response.entropy(logits, temperature).mean())
    confidence = float(response.confidence_labels(logits, labels, temperature).mean())
    return {"accuracy": _accuracy(logits, labels), "entropy": entropy, "confidence": confidence}


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


# -------------------------------------------------------------------- what there is, and what it would take


def multiply_adds(protocol: TeacherProtocol | StudentProtocol, epochs: int) -> float:
    """Multiply-adds of a run's training, a backward pass counted as two forward ones."""
    each = _multiply_adds(protocol.dataset, protocol.role, protocol.variant)
    return 3.0 * each * passes(protocol, epochs)


def passes(protocol: TeacherProtocol | StudentProtocol, epochs: int) -> int:
    """Images that a run sees in training, counted as often as it sees them."""
    if isinstance(protocol, StudentProtocol) and protocol.steps:
        return epochs * protocol.steps * protocol.batch_size
    return (protocol.train_size or FULL_SIZE[protocol.dataset]) * epochs


@functools.cache
def _multiply_adds(dataset: str, role: str, variant: str) -> int:
    return count_multiply_adds(create_model(dataset, role, variant=variant), dataset)


def _seeds(table: pd.DataFrame) -> str:
    """How many seeds a table has: of every teacher as many, or from the fewest to the most."""
    counts = table.groupby([c for c in ("training", "teacher") if c in table])["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} seeds" if low < high else f"{high} seed{'s' * (high > 1)}"


def what_it_took(runs: pd.DataFrame) -> pd.DataFrame:
    """What the recorded runs took, by hardware, data set and kind of run.

    Parameters
    ----------
    runs : DataFrame
        Records "runs".

    Returns
    -------
    DataFrame
        `runs`; `hours`, summed over runs, which shared their machine; `passes`, examples in millions, repeated ones counted
        again; `petaflop`, floating-point operations in 10^15, a multiply-add being two.
    """
    rows = []
    for run in runs[runs["kind"].isin(["teacher", "student"])].itertuples():
        protocol = parse(run.protocol)
        costs = (passes(protocol, run.epochs) / 1e6, 2 * multiply_adds(protocol, run.epochs) / 1e15)
        rows.append((run.device, protocol.dataset, run.kind, 1, run.seconds / 3600, *costs))
    groups = ["device", "dataset", "kind"]
    table = pd.DataFrame(rows, columns=[*groups, "runs", "hours", "passes", "petaflop"])
    return table.groupby(groups, sort=False, as_index=False).sum()


_MAKINGS = ("recorded", "other", "unknown")


def makings(runs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """How many students learned from the making of their teacher that the records describe.

    A teacher that is no longer in the cache is made again, and comes out otherwise on other hardware.

    Parameters
    ----------
    runs, table : DataFrame
        Records "runs" and "response".

    Returns
    -------
    DataFrame
        By data set the `students` of networks whose response is recorded: how many learned from the `recorded` logits, from
        `other` ones, and from `unknown` ones, where either was recorded before logits were named.
    """
    named = table.drop_duplicates(["run", "epochs"]).set_index(["run", "epochs"])["logits"]
    found: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for run in runs[runs["kind"] == "student"].itertuples():
        member = parse(run.protocol)
        own = (member.teacher, member.teacher_epoch)  # type: ignore[union-attr]  # a student's
        if own in named.index:
            known = pd.notna(run.logits) and pd.notna(named[own])
            making = "unknown" if not known else "recorded" if run.logits == named[own] else "other"
            found[member.dataset][making] += 1
    rows = [{"dataset": d, "students": of.total(), **{c: of[c] for c in _MAKINGS}} for d, of in found.items()]
    return pd.DataFrame(rows, columns=["dataset", "students", *_MAKINGS])


def status(studies: Iterable[Study]) -> pd.DataFrame:
    """For each artefact, profile and data set: runs recorded, missing and failed, and the missing ones' minutes.

    Failed are those of `Study.failed` on this kind of device, which are not run again.

    The estimate scales the recorded runs' own times on this kind of hardware with multiply-adds; where none is
    recorded, it assumes 50 GFLOP/s for a CPU and 20 TFLOP/s for a GPU.
    """
    rows = []
    for study in studies:
        device = resolve_device(str(study.device))
        default = 2e13 if device.type == "cuda" else 5e10
        made = _rates(study.runs_made(), study.datasets, records.device_name(device))
        rate = {("teacher", None): default, ("student", None): default} | made
        for name, artefact in ARTEFACTS.items():
            for dataset in (d for d in study.datasets if d in artefact.datasets):
                one = dataclasses.replace(study, datasets=[dataset], compute="never")
                wanted, lacking = ([r for g in artefact.groups for r in of(g)] for of in (one.runs, one.missing))
                bad = {r for g in artefact.groups for r in one.failed(g)}.intersection(lacking)
                lacking = [r for r in lacking if r not in bad]
                counts = (len(wanted) - len(lacking) - len(bad), len(lacking), len(bad))
                rows.append((name, study.profile, dataset, *counts, round(_seconds(lacking, rate) / 60, 1)))
    columns = ["artefact", "profile", "dataset", "recorded", "missing", "failed", "minutes"]
    return pd.DataFrame(rows, columns=columns)


def what_it_takes(study: Study, artefacts: Iterable[str] = ARTEFACTS) -> pd.DataFrame:
    """How long a study would take from nothing, on each hardware that has recorded runs of its data sets.

    Parameters
    ----------
    study : Study
        Whose profile, data sets and number of seeds count; nothing is trained.
    artefacts : iterable of str
        Names of `ARTEFACTS`.

    Returns
    -------
    DataFrame
        By `device` and `dataset` the number of `teachers` and `students` of these artefacts, each counted once, and the
        estimated hours of either, `teacher_hours` and `student_hours`: multiply-adds over the rate that the hardware's
        recorded runs of the same network reached there; other data sets' where it has none of this one.
    """
    rows = []
    made = study.runs_made()
    for device, dataset in itertools.product(made["device"].unique(), study.datasets):
        rate = _rates(made, [dataset], device)
        if len({kind for kind, _ in rate}) < 2:
            continue
        one = dataclasses.replace(study, datasets=[dataset], compute="never")
        chosen = (ARTEFACTS[check_name("table or figure", name, ARTEFACTS)] for name in artefacts)
        groups = dict.fromkeys(g for a in chosen if dataset in a.datasets for g in a.groups)
        runs = {run: None for group in groups for run in one.runs(group)}
        students = {key(r.protocol): r.protocol for r in runs if isinstance(r, StudentRun)}
        teachers = _longest(runs)
        row = {"device": device, "dataset": dataset, "teachers": len(teachers), "students": len(students)}
        row |= {"teacher_hours": sum(_teacher_seconds(t, rate) for t in teachers) / 3600}
        rows.append(row | {"student_hours": sum(_student_seconds(p, rate) for p in students.values()) / 3600})
    columns = ["device", "dataset", "teachers", "students", "teacher_hours", "student_hours"]
    return pd.DataFrame(rows, columns=columns)


_Rates = dict[tuple[str, str | None], float]


def _seconds(runs: Runs, rate: _Rates) -> float:
    """How long these runs would take, with the teachers that they need and the cache lacks."""
    students = (r.protocol for r in runs if isinstance(r, StudentRun))
    kept = lambda t: isinstance(t.protocol, TeacherProtocol) and load_response(t.protocol, t.epochs) is not None
    lacking = (t for t in _longest(runs) if not kept(t))
    return sum(_student_seconds(p, rate) for p in students) + sum(_teacher_seconds(t, rate) for t in lacking)


def _longest(runs: Iterable[TeacherRun | StudentRun]) -> list[TeacherRun]:
    """The teachers that runs need, each for its longest training."""
    needed = dict.fromkeys(r.teacher if isinstance(r, StudentRun) else r for r in runs)
    return list({t.key: t for t in sorted(needed, key=lambda t: t.epochs) if t.protocol}.values())


def _student_seconds(protocol: StudentProtocol, rate: _Rates) -> float:
    found = rate.get(("student", protocol.role), rate["student", None])
    return 2 * multiply_adds(protocol, protocol.epochs) / found


def _teacher_seconds(teacher: TeacherRun, rate: _Rates) -> float:
    if isinstance(teacher.protocol, TutorialProtocol):
        return 2 * tutorial.multiply_adds(teacher.protocol) / rate["teacher", None]
    found = rate.get(("teacher", teacher.protocol.role), rate["teacher", None])
    return 2 * multiply_adds(teacher.protocol, teacher.epochs) / found


def _rates(made: pd.DataFrame, datasets: list[str], device: str) -> _Rates:
    """Floating-point operations a second of teachers and students on this hardware, as recorded last, by network.

    Of these data sets, if they have any there, else of all: a network's shape decides how much of a machine it uses.
    Under the name None stands what a network not recorded there is taken to reach: what all did.
    """
    table = made[(made["device"] == device) & (made["seconds"] > 0)].sort_values("date", kind="stable")
    of = table["protocol"].str.extract('"dataset":"([^"]+)"', expand=False)
    table = table[of.isin(datasets)] if of.isin(datasets).any() else table
    cpu = re.fullmatch(r"(\d+)-core CPU", device)
    rates: _Rates = {}
    for kind in ("teacher", "student"):
        mine = table[table["kind"] == kind]
        # Of a fleet's processes, one a core, each says its own time.
        parallel = int(cpu[1]) if cpu and kind == "student" else 1
        role = mine["protocol"].str.extract('"role":"([^"]+)"', expand=False)
        for name, rows in [(None, mine), *mine.groupby(role)]:
            # A student's seconds are its share of a fleet's, hence short; recorded to a tenth, they say little one by one.
            recent = rows.tail(100)
            pairs = zip(recent["protocol"].map(parse), recent["epochs"], strict=True)
            if len(recent):
                done = sum(2 * multiply_adds(protocol, epochs) for protocol, epochs in pairs)
                rates[kind, name] = done / recent["seconds"].sum() * parallel
    return rates
