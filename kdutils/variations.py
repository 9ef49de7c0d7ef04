"""What in the set-up decides the result: each open choice that could, changed alone, the rest held.

A variation changes the teachers, or the students, or the labels between them. Its students lack a class each, at T = 9
if nothing else is said, as in Tables 4-6; "equal" is what they are compared with.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from torch import nn

from kdutils.models import DEPTHS, count_parameters, create_model
from kdutils.protocols import PROFILES, ROLES, TABLE_TEMPERATURE, TEACHERS, Training, trainings
from kdutils.records import of_shared_seeds
from kdutils.response import COUNTERFEITS


@dataclass(frozen=True)
class Variation:
    """One open choice, made otherwise."""

    name: str
    topic: str
    teacher: dict = field(default_factory=dict)  # fields of `TeacherProtocol` that are replaced
    student: dict = field(default_factory=dict)  # fields of `StudentProtocol`; "batch_size" is at full scale
    training: Training | None = None  # of the teachers; None: as long as "equal"
    teachers: tuple[str, ...] = TEACHERS
    temperatures: tuple[float, ...] = (TABLE_TEMPERATURE,)
    whole: bool = False  # also a student that lacks no class


def variations(dataset: str, equal: Training) -> list[Variation]:
    """Every variation of a data set, whose "equal" teachers are trained so; the first is the one compared with."""
    found = [Variation("equal", "as in Tables 4-6", whole=True, temperatures=(3.0, TABLE_TEMPERATURE, 20.0))]
    found += [Variation(kind, "counterfeit", student={"counterfeit": kind}, whole=True) for kind in COUNTERFEITS]

    large: dict[str, Any] = {"teachers": ("large",), "whole": True}
    # The paper's remedy is large batches *and* fewer epochs: a retrained teacher, and the same one on its way.
    last = 30 if dataset == "cifar10" else 50
    on_its_way = lambda *epochs: [
        Variation(f"4096x{n}", "retraining", training=Training(4096, n), **large) for n in epochs
    ]
    short = dataset == "cifar10"  # whose students and large teacher cost ten times the others'
    losses = [(0.5, False), (0.5, True), (0.9, False), (0.9, True), (0.99, True), (1.0, False), (1.0, True)]
    for alpha, squared in [(0.99, True), (1.0, False)] if short else losses:
        name = f"alpha {alpha:g}" + (", T²" if squared else "")
        at = (3.0, TABLE_TEMPERATURE, 20.0) if alpha == 0.99 and not short else (TABLE_TEMPERATURE,)
        loss = {"alpha": alpha, "scale_by_t2": squared}
        found.append(Variation(name, "loss", student=loss, temperatures=at, whole=True))
    if short:
        found += [
            Variation("batchnorm", "network", {"variant": "batchnorm"}, teachers=("small",)),
            Variation("no-batchnorm", "network", {"variant": "no-batchnorm"}, teachers=("large",)),
            Variation("no-dense", "network", {"variant": "no-dense"}),
            Variation("no dropout", "network", {"dropout": 0.0}, teachers=("large",)),
            Variation("5 epochs", "length", training=Training(equal.batch_size, 5)),
            Variation("float32 student", "student", student={"precision": "float32"}),
            *on_its_way(last, 20, 10, 5, 2, 1),
        ]
        return found

    longer = (2 * equal.epochs, 5 * equal.epochs)
    for n in sorted({1, 2, 3, 5, *longer} - {equal.epochs}):
        found.append(Variation(f"{n} epochs", "length", training=Training(equal.batch_size, n)))
    change = lambda variant, *teachers, **more: Variation(
        ", ".join([variant, *["no dropout"] * bool(more)]),
        "network",
        {"variant": variant} | more,
        teachers=teachers or TEACHERS,
    )
    found += [
        Variation("no dropout", "network", {"dropout": 0.0}, teachers=("large",)),
        change("no-dense", "large"),
        change("dense", "small"),
        change("dense", "small", dropout=0.0),
        change("dense+width/2", "small"),
        # As deep; and without dropout as linear after the convolutions as a network without hidden dense layers.
        change("linear-dense", "large"),
        change("linear-dense", "large", dropout=0.0),
        change("dense+linear-dense", "small"),
        change("dense+linear-dense", "small", dropout=0.0),
        *(change(f"width/{n}") for n in (2, 4, 8, 16)),
        # The head exchanged at an equal number of parameters, and the number of its hidden layers.
        change("no-dense+same-size", "large"),
        change("dense+same-size", "small"),
        change("hidden-1", "large"),
    ]
    # Depth alone, without dropout; at the large teacher's own depth they are "no-dense" and "no dropout".
    depths = [n for n in DEPTHS if n != _size(dataset, ROLES["large"], "table7")[2]]
    found += [change(f"no-dense+depth-{n}", "large") for n in depths]
    found += [change(f"no-dense+plus-{n}", "large") for n in (1, 2)]  # deeper at the same resolution
    found += [change(variant, "large", dropout=0.0) for variant in ("hidden-1", *(f"depth-{n}" for n in depths))]
    if dataset != "digits":  # whose images are too small for it
        found.append(change("maxpool", *(TEACHERS if dataset == "fashion_mnist" else ("large",))))
    if dataset != "fashion_mnist":  # where small teacher and student are plain already
        found.append(change("relu", "small"))
    found += [
        Variation("student of the large one's family", "kinship", student={"variant": "large-family+width/8"}),
        Variation(
            "student of the large one's family, told nothing",
            "kinship",
            student={"variant": "large-family+width/8", "counterfeit": "even"},
        ),
        Variation("teachers by SGD", "optimiser", {"optimizer": "sgd", "learning_rate": 0.05}),
        Variation("students by SGD", "optimiser", student={"optimizer": "sgd", "learning_rate": 0.05}),
        Variation("teachers by SGD, rate 0.01", "optimiser", {"optimizer": "sgd", "learning_rate": 0.01}),
        Variation(
            "large by SGD, rate 0.2", "optimiser", {"optimizer": "sgd", "learning_rate": 0.2}, teachers=("large",)
        ),
        *(
            Variation(f"students by SGD, rate {rate}", "optimiser", student={"optimizer": "sgd", "learning_rate": rate})
            for rate in (0.01, 0.2)
        ),
        *(Variation(f"students, {n} epochs", "student", student={"epochs": n}) for n in (1, 2, 10, 20)),
        *(Variation(f"students, batch {n}", "student", student={"batch_size": n}) for n in (32, 128, 256)),
    ]
    # What students of such a teacher name who were told nothing of the class: "even" is that of the "equal" ones.
    silent = {"counterfeit": "even"}
    told = ("width/8", "relu", "no-dense", "no dropout")
    found += [
        replace(v, name=f"{v.name}, told nothing", topic="control", student=silent, teachers=v.teachers[-1:])
        for v in found
        if v.name in told or re.match(r"(no-dense\+)?depth-[45]", v.name)
    ]
    if dataset != "digits":  # which are fewer than one such batch
        found += on_its_way(last, 20, 10, 5, 2, 1)
        brief = Training(4096, 2)
        found.append(Variation("4096x2, told nothing", "control", {}, silent, brief, teachers=("large",)))
    if dataset == "mnist":
        found += [
            Variation("8192x40", "retraining", training=Training(8192, 40), **large),
            *(Variation(f"8192x{n}", "retraining", training=Training(8192, n), **large) for n in (10, 5, 2)),
            # Large batches at a fixed rate are trained less; customary corrections are the square root (Adam) and the factor.
            Variation("4096x50, rate x4", "retraining", {"learning_rate": 4e-3}, training=Training(4096, 50), **large),
            Variation(
                "4096x50, rate x16", "retraining", {"learning_rate": 1.6e-2}, training=Training(4096, 50), **large
            ),
            # As many optimiser steps as 4096x50 has, of the usual size.
            Variation("256x3", "retraining", training=Training(256, 3), **large),
        ]
    return found


_SIZE = ("parameters", "hidden", "convolutions", "layers")


def summarise(students: pd.DataFrame, response: pd.DataFrame) -> pd.DataFrame:
    """One row a data set, variation, teacher and temperature: what its students learned, and what its response was.

    Parameters
    ----------
    students : DataFrame
        Records "variations".
    response : DataFrame
        Records "response", at least of these teachers.

    Returns
    -------
    DataFrame
        `missing`, `missing_biased`: accuracy on the class never seen, as it is and with that class's output bias at its
        best, means over classes and `seeds`; of the same seeds' teachers, on the test set at that temperature:
        `teacher_accuracy`, `entropy`, and `variance`, the column-wise variance of its scaled similarity labels; its
        `parameters`, `hidden` dense layers, `convolutions`, and `layers`, these and the last. `topic`.
    """
    keys = ["profile", "dataset", "training", "teacher", "temperature"]
    unseen = students.dropna(subset="missing_class")
    by_seed = unseen.groupby([*keys, "seed"])["accuracy_missing"].mean().groupby(keys)
    found = pd.DataFrame({"missing": by_seed.mean(), "seeds": by_seed.size()})
    found["missing_biased"] = unseen.groupby(keys)["accuracy_missing_biased"].mean()
    measures = {"accuracy": "teacher_accuracy", "column_normalised": "variance"}
    values = ["entropy", *measures]
    measured = response[response["split"] == "test"].groupby([*keys, "seed"])[values].mean().rename(columns=measures)
    seeds = unseen.groupby(keys)["seed"].unique()
    rows = []
    for where, row in found.iterrows():
        profile, dataset, training, teacher, temperature = where
        # Where students alone are changed, the teacher is the equally trained one.
        names = [(profile, dataset, how, teacher, temperature) for how in (training, "equal")]
        own = next((w for w in names if w in measured.index.droplevel("seed")), None)
        of = measured.loc[own].reindex(seeds[where]).mean().to_dict() if own else {}
        known = _known(dataset).get(training)
        about = {"topic": known.topic if known else "", "order": [*_known(dataset)].index(training) if known else -1}
        about |= dict(zip(_SIZE, _size_of(dataset, teacher, known), strict=True))
        rows.append(dict(zip(keys, where, strict=True)) | row.to_dict() | of | about)
    columns = [*keys, *found, "entropy", *measures.values(), "topic", "order", *_SIZE]
    found = pd.DataFrame(rows, columns=columns)
    return found.sort_values(["dataset", "order", "teacher"], ascending=[True, True, False], ignore_index=True)


#: What `findings` says of students that lack a class: title, text, and whose accuracies, by training, teacher, column.
_SAID = (
    (
        "Size",
        "students name {} % of a class never seen from the large teacher, at an eighth of its width {} %; from the small teacher "
        "{} %, at an eighth of its width {} %",
        *(("equal", "large", "missing"), ("width/8", "large", "missing")),
        *(("equal", "small", "missing"), ("width/8", "small", "missing")),
    ),
    (
        "Head",
        "from the large teacher {} %, without dropout {} %, without hidden dense layers, and so without dropout, {} %",
        *(("equal", "large", "missing"), ("no dropout", "large", "missing"), ("no-dense", "large", "missing")),
    ),
    (
        "The same head for the small teacher",
        "{} %, with hidden dense layers and dropout {} %",
        *(("equal", "small", "missing"), ("dense", "small", "missing")),
    ),
    (
        "Depth",
        "from teachers of about one size, without hidden dense layers or dropout, {} % with two convolutions, {} % with five",
        *(("relu", "small", "missing"), ("no-dense+depth-5", "large", "missing")),
    ),
    (
        "Suppression",
        "students of the large teacher name {} % of the class, with that output bias at its best {} %; so moved, students that were "
        "told nothing of it {} %",
        ("equal", "large", "missing"),
        ("equal", "large", "missing_biased"),
        ("even", "large", "missing_biased"),
    ),
)


def findings(students: pd.DataFrame, title: Callable[[str, str], str]) -> list[str]:
    """What the page on causes answers, in lines of Markdown, one for each question that the records can answer.

    Parameters
    ----------
    students : DataFrame
        Records "variations" at T = 9. Each line is of the seeds that all its numbers have; gains over hard labels are of
        students that lack no class, paired by seed.
    title : callable
        From a data set and a profile to how they are named.
    """
    lines = []
    unseen = students[students["missing_class"].notna() & (students["temperature"] == TABLE_TEMPERATURE)]
    for question, text, *wanted in _SAID:
        said = []
        for dataset, rows in unseen.groupby("dataset", sort=False):
            # "paper", where it has all of them, else "cpu".
            for profile, of in reversed([*rows.groupby("profile")]):
                means = of.groupby(["training", "teacher", "seed"])[
                    ["accuracy_missing", "accuracy_missing_biased"]
                ].mean()
                each = [means[f"accuracy_{column}"].get((how, teacher), pd.Series()) for how, teacher, column in wanted]
                seeds = set.intersection(*(set(values.index) for values in each))
                if seeds:
                    numbers = (f"{100 * values[[*seeds]].mean():.1f}" for values in each)
                    count = f"{len(seeds)} seed{'s' * (len(seeds) > 1)}"
                    said.append(f"{title(dataset, profile)}, {count}: {text.format(*numbers)}")
                    break
        if said:
            lines.append(f"**{question}.** {'. '.join(said)}.")
    whole = over_hard_labels(students)
    whole = whole[(whole["temperature"] == TABLE_TEMPERATURE) & whole["training"].isin(["equal", *COUNTERFEITS])]
    whole = whole[whole["profile"] == whole.groupby("dataset")["profile"].transform("max")]  # "paper", if it has any
    gains = [
        f"{title(*which)} {of.min():+.2f} to {of.max():+.2f} points"
        for which, rows in whole.groupby(["dataset", "profile"], sort=False)
        if len(of := 100 * rows.groupby(["training", "teacher"])["gain"].mean())
    ]
    if gains:
        lines.append(
            "**Regularisation.** What students that lack no class gain over hard labels alone, from the least to the best of all "
            f"responses, own and counterfeit, at α = 0.99, T = 9 and without T²: {'; '.join(gains)}."
        )
    return lines


def named_and_known(students: pd.DataFrame) -> pd.DataFrame:
    """What students name of the class they lack, and what they know of it, where there is a control of the latter.

    Parameters
    ----------
    students : DataFrame
        Records "variations", of which those at T = 9 are used.

    Returns
    -------
    DataFrame
        One row a profile, data set, training, teacher and seed. Accuracy on the missing class in percent, mean over
        classes: `named`, as it is; `known`, with that class's output bias at its best; `told_nothing`, the latter of
        students of the same response without similarity information.
    """
    keys = ["profile", "dataset", "training", "teacher", "seed"]
    unseen = students[students["missing_class"].notna() & (students["temperature"] == TABLE_TEMPERATURE)]
    means = 100 * unseen.groupby(keys, sort=False)[["accuracy_missing", "accuracy_missing_biased"]].mean()
    means = means.set_axis(["named", "known"], axis=1).reset_index()
    controls = means.replace({"training": {"even": "equal, told nothing"}})
    controls = controls[controls["training"].str.endswith(", told nothing")]
    controls = controls.assign(training=controls["training"].str.removesuffix(", told nothing"))
    return means.merge(controls.drop(columns="named").rename(columns={"known": "told_nothing"}), on=keys)


def matched(students: pd.DataFrame, response: pd.DataFrame) -> pd.DataFrame:
    """For each small teacher the large one that is nearest to it: in epochs, in accuracy on the test set, in entropy at T = 9.

    Of Table 7's networks, trained as in Tables 4-6, for longer or shorter, or in larger batches.

    Parameters
    ----------
    students : DataFrame
        Records "variations".
    response : DataFrame
        Records "response", at least of these teachers.

    Returns
    -------
    DataFrame
        One row a profile, data set, `training_small` and `by`: "epochs", "accuracy", "entropy". `training_large`, and with
        these endings, of each of the two, means over the `seeds` that both have: `batch_size`, `epochs`, `accuracy`, `entropy`,
        and `missing`, what its students name of the class they lack. Where there is one large training, it is nearest in
        anything: that pair stands once, by epochs.
    """
    pair, at = ["profile", "dataset", "training", "teacher", "seed"], students["temperature"] == TABLE_TEMPERATURE
    named = students[at & students["missing_class"].notna()].groupby(pair)["accuracy_missing"].mean().rename("missing")
    at_nine = response[(response["split"] == "test") & (response["temperature"] == TABLE_TEMPERATURE)]
    measures = ["batch_size", "epochs", "accuracy", "entropy"]
    each = at_nine.groupby(pair)[measures].mean().join(named, how="inner").reset_index()
    how = [_known(d).get(name) for d, name in zip(each["dataset"], each["training"], strict=True)]
    alike = [v is not None and not v.teacher and not v.student for v in how]  # but for their training
    each = each[pd.Series(alike, each.index, dtype=bool)]
    small, large = (each[each["teacher"] == t].drop(columns="teacher") for t in TEACHERS)
    pairs = small.merge(large, on=["profile", "dataset", "seed"], suffixes=("_small", "_large"))
    grouped = pairs.groupby(["profile", "dataset", "training_small", "training_large"])
    found = grouped.mean().drop(columns="seed").assign(seeds=grouped.size()).reset_index()
    several = found.groupby(["profile", "dataset"])["training_large"].transform("nunique") > 1
    nearest = []
    for by in measures[1:]:
        of_by = found[several | (by == "epochs")].assign(by=by)
        off = {of: (of_by[f"{of}_small"] - of_by[f"{of}_large"]).abs() for of in (by, "batch_size")}
        # Of as many epochs, the one of the same batch size, and so of as many steps.
        order = pd.DataFrame(off).sort_values([by, "batch_size"], kind="stable").index
        nearest.append(of_by.loc[order].drop_duplicates(["profile", "dataset", "training_small"]))
    table = pd.concat(nearest)
    return table.sort_values(["profile", "dataset", "epochs_small"], ascending=[False, True, False], kind="stable")


def by_depth(summary: pd.DataFrame) -> pd.DataFrame:
    """Teachers of several depths, from the fewest layers; of one profile a data set, at T = 9.

    Parameters
    ----------
    summary : DataFrame
        Of `summarise`.

    Returns
    -------
    DataFrame
        Its rows for Table 7's two teachers, and for those that are `plain`: convolutions with ReLU, then dense layers
        without dropout. The large teacher without dropout is one, and one small teacher: Fashion-MNIST's as it is, of the
        others the variation "relu". Those with convolutions of stride 1 are left out, and controls.
    """
    rows = summary[(summary["temperature"] == TABLE_TEMPERATURE) & (summary["topic"] != "control")]
    deep = rows["training"].str.contains("depth-")
    large = deep | rows["training"].isin(["no-dense", "no dropout", "hidden-1, no dropout"])
    small = rows["training"] == rows["dataset"].map(lambda dataset: "equal" if dataset == "fashion_mnist" else "relu")
    rows = rows.assign(plain=(rows["teacher"].eq("large") & large) | (rows["teacher"].eq("small") & small))
    profiles = rows["dataset"].map(rows[deep].groupby("dataset")["profile"].max())  # "paper", if it has any
    rows = rows[(rows["plain"] | rows["training"].eq("equal")) & (rows["profile"] == profiles)]
    return rows.sort_values(["dataset", "layers", "hidden"], ascending=[False, True, True], ignore_index=True)


def over_hard_labels(students: pd.DataFrame) -> pd.DataFrame:
    """Of records "variations" those that lack no class and have a teacher; `gain`: accuracy minus that of hard labels alone.

    Paired by profile, data set and seed; those without such a student beside them are left out.
    """
    whole, keys = students[students["missing_class"].isna()], ["profile", "dataset", "seed"]
    alone = whole["training"] == "none"
    hard = whole.loc[alone, [*keys, "accuracy"]].rename(columns={"accuracy": "gain"})
    found = whole[~alone].merge(hard, on=keys)
    return found.assign(gain=found["accuracy"] - found["gain"])


def of_same_seeds(students: pd.DataFrame, *topics: str) -> pd.DataFrame:
    """Of records "variations" those on these topics, and the "equal" ones of the same profile, data set and seed.

    Counterfeits, which are controls of each other, are of the seeds that all of them have, and so are networks.
    """
    known = [_known(d).get(name) for d, name in zip(students["dataset"], students["training"], strict=True)]
    # Students that lack no class may have more seeds than the others.
    about = pd.Series([v and v.topic for v in known], students.index)[students["missing_class"].notna()]
    found = students.loc[about.index[about.isin(topics)]]
    for group in ("counterfeit", "network"):
        compared = found[about[found.index] == group]
        shared = [of_shared_seeds(rows) for _, rows in compared.groupby("profile")]
        found = pd.concat([found.drop(compared.index), *shared]).sort_index()
    keys = ["profile", "dataset", "seed"]
    equal = students[students["training"] == "equal"].merge(found[keys].drop_duplicates())
    return pd.concat([equal, found], ignore_index=True)


def beside_equal(found: pd.DataFrame, *topics: str) -> pd.DataFrame:
    """The rows of `summarise` on these topics, after the "equal" ones of the data sets and profiles they come from."""
    of = found[found["topic"].isin(topics)]
    equal = found[found["training"] == "equal"].merge(of[["profile", "dataset", "temperature"]].drop_duplicates())
    found = pd.concat([equal, of], ignore_index=True)
    return found.sort_values(
        ["dataset", "profile", "order"], ascending=[True, False, True], kind="stable", ignore_index=True
    )


@functools.cache
def _known(dataset: str) -> dict[str, Variation]:
    return {v.name: v for v in variations(dataset, trainings(PROFILES["paper"], dataset)["equal"]["small"])}


def _size_of(dataset: str, teacher: str, variation: Variation | None) -> tuple[int, int, int, int]:
    variant = variation.teacher.get("variant", "table7") if variation else "table7"
    return _size(dataset, ROLES[teacher], variant) if teacher in ROLES else (0, 0, 0, 0)


@functools.cache
def _size(dataset: str, role: str, variant: str) -> tuple[int, int, int, int]:
    """What `_SIZE` names."""
    network = create_model(dataset, role, variant=variant)
    hidden, convolutions = (sum(isinstance(m, kind) for m in network.features) for kind in (nn.Linear, nn.Conv2d))
    return count_parameters(network), hidden, convolutions, convolutions + hidden + 1
