"""The systems that section 2 argues with, and two that came after, on the paper's own students.

Each system is a short function that says which students are distilled, from whom and at which settings; the training
loops are those of every other table. All give a student the same optimiser steps on the same minibatches from the same
initial weights, and all have `TRIALS` settings of which validation chooses one (`chosen`). What an assistant, a
pre-trained copy or a teacher's training costs is counted (`costs`), not tuned.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from kdutils.claims import interval
from kdutils.experiments import StudentRun, Study, TeacherRun, multiply_adds, passes
from kdutils.fleet import Student
from kdutils.models import count_parameters, create_model
from kdutils.protocols import (
    ALPHA_KD,
    ALPHA_LS,
    RESIDUAL,
    RETRAINED,
    TABLE_TEMPERATURE,
    TEACHERS,
    UNIFORM,
    VIRTUAL,
    StudentProtocol,
    TeacherProtocol,
    Training,
    key,
    parse,
)
from kdutils.response import entropy
from kdutils.running import load_student, response_of

TRIALS = 4  # settings that each system may try on validation
RATES = (1e-3, 3e-3)  # learning rates, tuned for every system
HARD_RATES = (1e-3, 1.4e-3, 2e-3, 3e-3)  # hard labels have nothing else to tune: the same range, more finely


def _settings(**values: object) -> list[dict]:
    """All combinations of the values given, a tuple for several, with each learning rate."""
    values |= {"learning_rate": RATES}
    lists = [v if isinstance(v, tuple) else (v,) for v in values.values()]
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*lists)]


# Two settings of its own for each system, beside the two learning rates.
SOFT = _settings(temperature=(3.0, TABLE_TEMPERATURE), alpha=ALPHA_KD)  # of Eq. 4 as in the paper, and what is like it
SCALED = _settings(temperature=(3.0, TABLE_TEMPERATURE), alpha=ALPHA_KD, scale_by_t2=True)
SMOOTHING = _settings(temperature=1.0, alpha=(0.1, ALPHA_LS))  # 0.1: Szegedy et al. (2016)
MATCHING = _settings(temperature=1.0, alpha=(0.5, 1.0), loss="logits")  # without hard labels, as in 2006, and with them
# CE and TCKD weigh alike, as theirs, and NCKD 8 times as much.
DECOUPLED = _settings(temperature=(3.0, TABLE_TEMPERATURE), alpha=0.5, scale_by_t2=True, loss="decoupled")
# Of ten logits with a standard deviation of 1 none is above 3, so that T is small; theirs is 2, their weights 0.1 to 9.
STANDARDISED = _settings(temperature=(1.0, 2.0), alpha=ALPHA_KD, scale_by_t2=True, loss="standardised")
DESIGNED = _settings(temperature=(TABLE_TEMPERATURE, 20.0), alpha=ALPHA_KD, teacher=VIRTUAL)  # theirs: 20 and more
HARD = [{"temperature": 1.0, "alpha": 0.0, "learning_rate": rate} for rate in HARD_RATES]
ASSISTANT = {"temperature": 3.0, "alpha": ALPHA_KD, "scale_by_t2": True}  # how an assistant is distilled
# Assistants, the larger first: near the geometric mean of the large teacher's and the student's sizes, then between it
# and the student. What each differs in from the student.
CHAIN = {
    "mnist": ({"variant": "width*4"}, {"variant": "width*2"}),
    "fashion_mnist": ({"variant": "width*4"}, {"variant": "width*2"}),
    "cifar10": ({"role": "teacher-small"}, {"variant": "width*2"}),
    "digits": ({"variant": "width*3"}, {"variant": "width*2"}),
}
#: The systems in the order in which tables show them: what a student is trained on.
SYSTEMS = {
    "hard labels": "cross-entropy alone",
    "label smoothing": "Eq. 2: Eq. 4 from a uniform teacher at T = 1",
    "logit matching": "half the mean squared difference of its logits to the large teacher's",
    "Eq. 4": "Eq. 4 as in the paper, from the large teacher",
    "Eq. 4 with T²": "the same, its KL multiplied by T²",
    "Eq. 4, small teacher": "Eq. 4 from the small teacher",
    "sweet spot": "Eq. 4 from the large teacher, retrained in large batches",
    "one assistant": "Eq. 4 with T² from an assistant, itself distilled from the large teacher",
    "two assistants": "the same with a second, smaller assistant in between",
    "self-training": "Eq. 4 from its own copy, trained with hard labels before",
    "virtual teacher": "Eq. 4 from a designed response that gives 0.99 to the own class",
    "residual": "logit matching; beside it a network as large learns what is left, and the sum is deployed",
    "decoupled": "the KL of Eq. 4 in two parts, other classes among themselves weighed 8 times; T²",
    "standardised": "Eq. 4 with T² between logits made to mean 0 and deviation 1",
}
#: Those that section 2 argues about, beside the two ends: no teacher, and the paper's own remedy.
ARGUED = (
    *("hard labels", "label smoothing", "Eq. 4, small teacher", "sweet spot", "one assistant", "two assistants"),
    *("self-training", "virtual teacher", "residual"),
)
WITHOUT_TEMPERATURE = ("hard labels", "logit matching", "residual")
HELPER = "assistant"  # the "system" of assistants themselves, which are recorded and not compared


def runs(study: Study, dataset: str, seed: int) -> list[StudentRun]:
    """Every student of the comparison for one data set and seed, teachers' before those they teach."""
    small, large = (next(t for t in study.runs_of(dataset, seed, "teachers") if t.teacher == name) for name in TEACHERS)
    (retrained,) = [t for t in study.runs_of(dataset, seed, "sweep") if t.training == str(spot(study, dataset))]
    chain = CHAIN[dataset]
    hard = distilled(study, "hard labels", TeacherRun(dataset, "none", "none", seed), HARD)
    # Szegedy et al. (2016), Müller et al. (2019): distillation from a uniform teacher at T = 1 (section 3.2).
    uniform = TeacherRun(dataset, UNIFORM, "label smoothing", seed)
    matching = distilled(study, "logit matching", large, MATCHING)
    return [
        *hard,
        *distilled(study, "label smoothing", uniform, SMOOTHING),
        *matching,
        *distilled(study, "Eq. 4", large, SOFT),
        *distilled(study, "Eq. 4 with T²", large, SCALED),
        *distilled(study, "Eq. 4, small teacher", small, SOFT),
        *distilled(study, "sweet spot", retrained, SOFT),
        *distilled(study, "decoupled", large, DECOUPLED),
        *distilled(study, "standardised", large, STANDARDISED),
        # Yuan et al. (2020): a teacher that is designed, not trained, and the student's own copy, trained before.
        *distilled(study, "virtual teacher", TeacherRun(dataset, VIRTUAL, VIRTUAL, seed), DESIGNED),
        *distilled(study, "self-training", as_teacher(hard[0], "self"), SOFT),
        *residual(study, matching),
        *teacher_assistants(study, "one assistant", large, chain[:1]),
        *teacher_assistants(study, "two assistants", large, chain, known=1),
    ]


def distilled(
    study: Study, system: str, teacher: TeacherRun, settings: list[dict], **shared: object
) -> list[StudentRun]:
    """One student a setting, from one teacher: response-based distillation in all its forms."""
    students = [study.student(teacher, **setting | shared) for setting in settings]
    return [StudentRun(teacher, student, "related", system=system) for student in students]


def teacher_assistants(
    study: Study, system: str, teacher: TeacherRun, chain: Sequence[dict], known: int = 0
) -> list[StudentRun]:
    """Mirzadeh et al. (2020): each network of the chain is distilled from the one before it, the student from the last.

    `chain` says of each assistant's network in what it differs from the student's, by role or variant (see
    `models.create_model`), the largest first. Of them the first `known` are left out of what is returned, because
    another chain has them. The KL term has T², as theirs.
    """
    assistants = []
    for network in chain:
        (run,) = distilled(study, HELPER, teacher, [ASSISTANT], **network)
        assistants.append(run)
        teacher = as_teacher(run, "assistant")
    return assistants[known:] + distilled(study, system, teacher, SCALED)


def residual(study: Study, students: list[StudentRun]) -> list[StudentRun]:
    """Gao et al. (2020) on logits: beside each student an assistant of its size learns what the teacher says beyond it.

    The sum of both is deployed (`deployed`), so there is twice the student to train and to run.
    """
    runs = []
    for run in students:
        student = run.protocol
        fields = {"teacher": RESIDUAL + key(student), "teacher_epoch": student.epochs, "loss": "logits", "alpha": 1.0}
        assistant = study.student(run.teacher, temperature=1.0, learning_rate=student.learning_rate, **fields)
        runs.append(StudentRun(run.teacher, assistant, "related", system="residual", beside=student))
    return runs


def spot(study: Study, dataset: str) -> Training:
    """The paper's first training of section 5, batches of 4096, for as many epochs as the sweep has (MNIST: its 50).

    Where a sweep has no such batches, its largest. The paper names a spot for MNIST alone.
    """
    sizes = study.full.sweep[dataset]
    size = RETRAINED[0].batch_size if RETRAINED[0].batch_size in sizes else max(sizes)
    return Training(size, study.full.sweep_epochs[dataset])


def as_teacher(run: StudentRun, training: str) -> TeacherRun:
    """A student in a teacher's place."""
    protocol = run.protocol
    return TeacherRun(protocol.dataset, _name(protocol), training, protocol.seed, protocol, protocol.epochs)


def _name(protocol: StudentProtocol) -> str:
    return protocol.role if protocol.variant == "table7" else f"{protocol.role} {protocol.variant}"


# -------------------------------------------------------------------- what is measured


def deployed(run: StudentRun, student: Student, labels: Tensor) -> Student:
    """The student as it would be used: of residual distillation, the sum with the student that it stands beside.

    `labels` are those of the validation images.
    """
    if run.beside is None:
        return student
    other: Student = load_student(run.beside)  # type: ignore[assignment]  # stored before
    validation = student.validation + other.validation
    accuracy = (validation.argmax(1) == labels).float().mean()
    return dataclasses.replace(student, validation=validation, test=student.test + other.test, curve=accuracy[None])


def measured(run: StudentRun, labels: Tensor) -> dict:
    """What the table has beside accuracies; of residual distillation the settings of the student, which is tuned."""
    tuned = run.beside or run.protocol
    row = {"system": run.system, "role": _name(run.protocol), "entropy": response_entropy(run, labels)}
    return row | {field: getattr(tuned, field) for field in ("temperature", "alpha", "learning_rate")}


def response_entropy(run: StudentRun, labels: Tensor) -> float:
    """Mean entropy at T = 9, in nats, of the response that a student learnt from, on the test set with these labels.

    Of hard labels 0; of residual distillation that of the teacher.
    """
    if run.protocol.alpha == 0:
        return 0.0
    source = (run.teacher.key, run.teacher.epochs)
    if run.teacher.protocol is None:
        source = (run.protocol.teacher, 0)
    return float(entropy(response_of(source, run.sources, "test", labels), TABLE_TEMPERATURE).mean())


# -------------------------------------------------------------------- what it cost, and what came out


def costs(students: Iterable[str], runs: pd.DataFrame) -> pd.DataFrame:
    """What it took to get students: training of their own ("student") and of all that they learnt from ("teacher").

    Parameters
    ----------
    students : iterable of str
        Keys of students' runs.
    runs : DataFrame
        `records.load("runs")`, with them and with all that they learnt from.

    Returns
    -------
    DataFrame
        By key. `*_passes`: images seen in training, counted as often as they were seen; `*_multiply_adds`: those of the
        training, a backward pass counted as two forward ones; `*_seconds`: wall-clock, a student's its share of its
        fleet; `parameters` of what is deployed; `lineage`: passes of each network that was trained, by key.
    """
    networks = runs[runs["kind"].isin(["teacher", "student"])].itertuples()
    return _costs(students, {row.run: (parse(row.protocol), row.seconds / row.epochs) for row in networks})


def _costs(students: Iterable[str], made: dict[str, tuple[Any, float]]) -> pd.DataFrame:
    """See `costs`; from each network's protocol and seconds an epoch, by key."""
    rows = {}
    for run in students:
        own, others = _lineage(run, {name: protocol for name, (protocol, _) in made.items()})
        networks = [create_model(p.dataset, p.role, variant=p.variant) for p in (made[name][0] for name in own)]
        seen = {name: passes(made[name][0], epochs) for name, epochs in (own | others).items()}
        rows[run] = {"parameters": sum(map(count_parameters, networks)), "lineage": seen}
        for side, of in (("student", own), ("teacher", others)):
            rows[run] |= {
                f"{side}_passes": sum(seen[name] for name in of),
                f"{side}_multiply_adds": sum(multiply_adds(made[name][0], epochs) for name, epochs in of.items()),
                f"{side}_seconds": sum(made[name][1] * epochs for name, epochs in of.items()),
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def _lineage(run: str, made: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """The students that are deployed as one and their teachers upwards: epochs by key; `made` holds protocols."""
    own, others = {run: made[run].epochs}, {}
    name, epoch = made[run].teacher, made[run].teacher_epoch
    if name.startswith(RESIDUAL):
        name = name.removeprefix(RESIDUAL)
        own[name] = epoch
        name, epoch = made[name].teacher, made[name].teacher_epoch
    while name in made:  # neither uniform nor virtual
        others[name] = epoch
        if isinstance(made[name], TeacherProtocol):
            break
        name, epoch = made[name].teacher, made[name].teacher_epoch
    return own, others


SETTING = ["training", "teacher", "temperature", "alpha", "learning_rate"]


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Of each data set and system the rows of the one setting with the highest validation accuracy, mean over seeds.

    `table` is `Study.related()`. The last epoch's accuracy counts; of equal settings the first in the records.
    """
    best = []
    named = dict(iter(table.groupby(["dataset", "system"])))
    pairs = itertools.product(table["dataset"].unique(), SYSTEMS)
    for of in (named[pair] for pair in pairs if pair in named):
        settings = of.groupby(SETTING, sort=False)
        whole = settings["seed"].transform("nunique") == of["seed"].nunique()
        mean = settings["validation_last"].transform("mean").where(whole).round(6)
        first = of.loc[mean.idxmax(), SETTING]
        best.append(of[(of[SETTING] == first).all(axis=1)])
    return pd.concat(best) if best else table.iloc[:0]


def summary(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each data set and system: its chosen setting, test accuracy with interval, entropy and costs.

    Means over seeds, with the ends of their 95 % t interval over seeds in `*_low` and `*_high` (NaN below three):
    `accuracy`; `gain`, the paired difference to hard labels; `over`, that to Eq. 4 from the large teacher as usually
    trained. `cost` is all multiply-adds over those of that Eq. 4. `tuning_passes` counts all training of all trials, each
    network once.
    """
    best = chosen(table)
    cost = costs(table["run"], runs)
    accuracies = {pair: of.set_index("seed")["accuracy"] for pair, of in best.groupby(["dataset", "system"])}
    rows = []
    for (dataset, system), of in best.groupby(["dataset", "system"], sort=False):
        accuracy = accuracies[dataset, system]
        row = {"profile": of.iloc[0]["profile"], "dataset": dataset, "system": system, **of.iloc[0][SETTING]}
        row |= {"seeds": len(of)} | _interval("accuracy", accuracy)
        for name, other in (("gain", "hard labels"), ("over", "Eq. 4")):
            less = accuracies.get((dataset, other), pd.Series(dtype=float))
            row |= _interval(name, (accuracy - less).dropna())
        row |= {"entropy": of["entropy"].mean(), **cost.loc[of["run"]].drop(columns="lineage").mean()}
        trials = table[(table["dataset"] == dataset) & (table["system"] == system)]
        row |= {"trials": trials.groupby(SETTING).ngroups}
        everything = pd.concat([pd.Series(networks) for networks in cost.loc[trials["run"], "lineage"]])
        row |= {"tuning_passes": everything.groupby(level=0).max().sum() / len(of)}
        rows.append(row)
    return _relative(pd.DataFrame(rows)) if rows else pd.DataFrame()


def planned(study: Study) -> pd.DataFrame:
    """Costs of one student of each system, as `summary` has them but for seconds, from protocols alone: nothing is run."""
    parts = []
    for dataset in study.datasets:
        every = study.runs_of(dataset, 0, "related")
        networks = [p for r in every for p in (r.protocol, *r.sources.values()) if p]
        first = {r.system: key(r.protocol) for r in reversed(every)}
        cost = _costs([first[system] for system in SYSTEMS], {key(p): (p, float("nan")) for p in networks})
        cost = cost.drop(columns=["lineage", "teacher_seconds", "student_seconds"])
        parts.append(cost.assign(profile=study.profile, dataset=dataset, system=list(SYSTEMS)))
    return _relative(pd.concat(parts, ignore_index=True))


def _relative(found: pd.DataFrame) -> pd.DataFrame:
    """With `cost`: all multiply-adds over those of the data set's Eq. 4."""
    whole = found["teacher_multiply_adds"] + found["student_multiply_adds"]
    plain = whole[found["system"] == "Eq. 4"].groupby(found["dataset"]).first()
    return found.assign(cost=whole / found["dataset"].map(plain))


def _interval(name: str, values: pd.Series) -> dict[str, float]:
    found = interval(values)
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def findings(found: pd.DataFrame) -> list[str]:
    """For each data set of a `summary` a paragraph of Markdown: which differences are beyond the noise, and what costs more.

    Beyond the noise is a 95 % interval that leaves out 0. Of so many intervals some do by chance, and it is said how many.
    """
    texts = []
    for dataset, of in found.groupby("dataset", sort=False) if len(found) else ():
        rows = of.set_index("system")
        parts = []
        for other, what in (("Eq. 4", "over"), ("hard labels", "gain")):
            if rows[f"{what}_low"].isna().all():
                parts.append(f"against {other} nothing can be told from {rows['seeds'].max()} seeds")
                continue
            ahead, behind = rows.index[rows[f"{what}_low"] > 0], rows.index[rows[f"{what}_high"] < 0]
            parts.append(f"ahead of {other}: {', '.join(ahead) or 'none'}; behind: {', '.join(behind) or 'none'}")
        chance = 0.05 * (len(rows) - 1)
        dearer = rows.reindex(list(ARGUED))["cost"]  # some may not be run yet
        cost = ", ".join(f"{system} {value:.2f}" for system, value in dearer[dearer > 1].items())
        texts.append(
            f"**{dataset}**, {rows['seeds'].max()} seeds. Beyond the noise, {'. And '.join(parts)}. (Of {len(rows) - 1} "
            f"comparisons with no difference behind them, {chance:.1f} would look so by chance.) Multiply-adds of all "
            f"training, over those of Eq. 4, where they are more: {cost or 'none'}."
        )
    return texts
