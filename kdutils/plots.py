"""Figures and tables drawn from tidy records; nothing is computed here that a record does not hold.

One palette, safe for colour-blind readers: the small teacher is blue, the large one orange, and the retrained large one
green, everywhere.
"""

import itertools
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from kdutils.protocols import TEACHERS
from kdutils.records import BARS
from kdutils.related import WITHOUT_TEMPERATURE

COLOURS = {"small": "#0072B2", "large": "#D55E00"}
RETRAINED = ("#009E73", "#CC79A7")  # the large teacher under other trainings
CONTROLS = {"uniform": "uniform response", "none": "hard labels alone"}
CLASS_COLOURS = ("#009E73", "#CC79A7", "#E69F00")  # of three classes in one panel
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "digits": "digits (8x8)"}
NOT_YET = "not yet run"

sns.set_theme(context="notebook", style="whitegrid", font_scale=0.95, rc={"figure.constrained_layout.use": True})


@dataclass(frozen=True)
class Table:
    """A table of strings with a caption: numbered in the book, plain HTML in Jupyter and Colab."""

    frame: pd.DataFrame
    caption: str
    name: str

    def _repr_html_(self) -> str:
        styler = self.frame.style.hide(axis="index").set_caption(self.caption).set_uuid(self.name)
        return styler.format(_html).to_html()

    def markdown(self) -> str:
        """The table alone, as Markdown."""
        lines = [self.frame.columns, ["---"] * self.frame.shape[1], *self.frame.astype(str).to_numpy()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _repr_markdown_(self) -> str:
        return f"```{{table}} {self.caption}\n:name: {self.name}\n\n{self.markdown()}\n```"


def _html(cell: object) -> str:
    text = str(cell)
    return f"<b>{text[2:-2]}</b>" if text.startswith("**") else text


def not_yet(axis: plt.Axes, title: str) -> None:
    """Say in an otherwise empty panel that its runs are not recorded."""
    axis.set_title(title)
    axis.text(0.5, 0.5, NOT_YET, ha="center", va="center", transform=axis.transAxes, color="0.4")
    axis.set_xticks([]), axis.set_yticks([])
    axis.grid(False)


def _recorded(table: pd.DataFrame, datasets: list[str]) -> list[str]:
    """The data sets that have records, or if none has, the first: one panel then says so."""
    return [d for d in datasets if d in set(table["dataset"])] or datasets[:1]


def _title(rows: pd.DataFrame) -> str:
    """The data set of these records, and their profile where it is not that of the full scale."""
    dataset, profile = rows["dataset"].iloc[0], rows["profile"].iloc[0]
    return TITLES[dataset] + ("" if profile == "paper" else f" ({profile}, indicative)")


def _teacher(training: str, teacher: str) -> tuple[str, str]:
    """Label and colour of a teacher under a training protocol."""
    if training == "equal":
        return f"{teacher} teacher", COLOURS[teacher]
    if teacher in CONTROLS:
        return CONTROLS[teacher], "0.45"
    return f"{teacher}, {training.replace('x', ' × ')}", RETRAINED[0]


def _panels(datasets: list[str]) -> tuple[Figure, list[plt.Axes]]:
    """One panel a data set, two in a row at most, so that a phone shows them large enough."""
    columns, rows = min(2, len(datasets)), -(-len(datasets) // 2)
    figure, axes = plt.subplots(rows, columns, figsize=(max(5.0, 4.2 * columns), 3.5 * rows), squeeze=False)
    for spare in axes.flat[len(datasets) :]:
        spare.set_axis_off()
    return figure, list(axes.flat[: len(datasets)])


def entropy_curves(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 3: mean entropy on the test set against T, one panel a data set, a band for the range over seeds.

    Parameters
    ----------
    table : DataFrame
        Records "response". Lines are solid for equal and dotted for calibrated training.
    datasets : list of str
        The panels, in order.
    """
    datasets = _recorded(table, datasets)
    figure, axes = _panels(datasets)
    table = table[table["split"] == "test"]
    for axis, dataset in zip(axes, datasets, strict=True):
        rows = table[table["dataset"] == dataset]
        if rows.empty:
            not_yet(axis, TITLES[dataset])
            continue
        for (training, teacher), line in rows.groupby(["training", "teacher"], sort=True):
            spread = line.groupby("temperature")["entropy"].agg(["mean", "min", "max"])
            style = {"equal": "-o", "calibrated": ":s"}[training]
            label = f"{teacher}, {training}"
            axis.plot(spread.index, spread["mean"], style, color=COLOURS[teacher], label=label, markersize=5)
            axis.fill_between(
                spread.index, spread["min"], spread["max"], color=COLOURS[teacher], alpha=0.2, linewidth=0
            )
        axis.axhline(np.log(10), color="0.5", linewidth=1, linestyle="--")
        axis.set(
            title=_title(rows), xlabel="temperature T", ylim=(0, 2.45), xticks=sorted(rows["temperature"].unique())
        )
        axis.legend(title="teacher, training", fontsize="small", title_fontsize="small", loc="lower right")
    axes[0].set_ylabel("mean entropy [nats]\n(dashed: uniform, ln 10)")
    return figure


def entropy_history(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Mean entropy at T = 9 on the test set after each epoch, one panel a data set, a thin line a seed.

    Parameters
    ----------
    table : DataFrame
        Records "history" of one training protocol.
    datasets : list of str
        The panels, in order.
    """
    datasets = _recorded(table, datasets)
    figure, axes = _panels(datasets)
    for axis, dataset in zip(axes, datasets, strict=True):
        rows = table[table["dataset"] == dataset]
        if rows.empty:
            not_yet(axis, TITLES[dataset])
            continue
        for (teacher, seed), line in rows.groupby(["teacher", "seed"], sort=False):
            label = teacher if seed == rows["seed"].min() else None
            axis.plot(
                line["epoch"], line["entropy"], "-o", color=COLOURS[teacher], markersize=4, linewidth=1.2, label=label
            )
        axis.set(title=_title(rows), xlabel="epoch", ylim=(0, 2.45))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(title="teacher", fontsize="small", title_fontsize="small", loc="lower left")
    axes[0].set_ylabel("mean entropy at T = 9 [nats]")
    return figure


def missing_class_maps(ours: pd.DataFrame, published: pd.DataFrame, datasets: list[str], class_names: dict) -> Figure:
    """Tables 4-6 as heat maps: classes by temperatures; the published above ours, the small teacher left of the large.

    Parameters
    ----------
    ours : DataFrame
        Records "missing_class" of one training protocol; accuracies are fractions, shown in percent, mean over seeds.
    published : DataFrame
        `kdutils.published.load("missing_class")`.
    datasets : list of str
        Two rows of panels each, or one if the paper does not have the data set or we have no records.
    class_names : dict
        From data set to its ten classes' names.
    """
    sources = {"published": (published, "accuracy", 1), "ours": (ours, "accuracy_missing", 100)}
    panels = [
        (d, s, t[t["dataset"] == d], value, scale)
        for d in datasets
        for s, (t, value, scale) in sources.items()
        if d in set(t["dataset"]) or (s == "ours" and d not in set(published["dataset"]))
    ]
    figure, axes = plt.subplots(len(panels), 2, figsize=(8.5, 3.9 * len(panels)), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.12)
    for row, (dataset, source, table, value, scale) in zip(axes, panels, strict=True):
        profile = table["profile"].iloc[0] if len(table) and "profile" in table else "paper"
        note = "" if profile == "paper" else f"\n({profile}, indicative)"
        for axis, teacher in zip(row, ("small", "large"), strict=True):
            title = f"{TITLES[dataset]}, {teacher} teacher, {source}{note}"
            chosen = table[table["teacher"] == teacher]
            if chosen.empty:
                not_yet(axis, title)
                continue
            grid = scale * chosen.pivot_table(index="missing_class", columns="temperature", values=value)
            sns.heatmap(
                grid.rename(columns="{:g}".format),
                ax=axis,
                vmin=0,
                vmax=100,
                cmap="viridis",
                annot=True,
                fmt=".0f",
                annot_kws={"size": 10},
                cbar=False,
                yticklabels=list(class_names[dataset]) if axis is row[0] else False,
            )
            axis.set(xlabel="temperature T", ylabel="missing class" if axis is row[0] else "")
            axis.set_title(title, fontsize="medium")
            axis.tick_params(axis="y", rotation=0)
    return figure


def projections(points: pd.DataFrame, datasets: list[str], class_names: dict) -> Figure:
    """Figure 5: three classes' penultimate activations in the plane of their templates, small beside large.

    Parameters
    ----------
    points : DataFrame
        Records "projection" of one training protocol. Panels of one row share no scale: compare shapes, not sizes.
    datasets : list of str
        Two rows of panels each, training images, then test images; those without records are left out.
    class_names : dict
        From data set to its ten classes' names.
    """
    panels = [(d, split) for d in _recorded(points, datasets) for split in ("train", "test")]
    figure, axes = plt.subplots(len(panels), 2, figsize=(8.5, 3.6 * len(panels)), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.12)
    for row, (dataset, split) in zip(axes, panels, strict=True):
        for axis, teacher in zip(row, ("small", "large"), strict=True):
            chosen = points[
                (points["dataset"] == dataset) & (points["split"] == split) & (points["teacher"] == teacher)
            ]
            if chosen.empty:
                not_yet(axis, f"{TITLES[dataset]}, {split} images, {teacher} teacher")
                continue
            title = f"{_title(chosen)}\n{split} images, {teacher} teacher"
            _clusters(axis, chosen, class_names[dataset])
            axis.set_title(title, fontsize="medium")
    return figure


def retrained_projections(points: pd.DataFrame, class_names: tuple[str, ...]) -> Figure:
    """Figure 7: the large teacher's projections under each training, training images above test images.

    Parameters
    ----------
    points : DataFrame
        Records "projection" of one data set and teacher. Panels share no scale: compare shapes, not sizes.
    class_names : tuple of str
        The ten classes' names.
    """
    trainings = list(dict.fromkeys(points["training"])) or ["equal"]
    figure, axes = plt.subplots(len(trainings), 2, figsize=(8.5, 3.4 * len(trainings)), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.12)
    for row, training in zip(axes, trainings, strict=True):
        for axis, split in zip(row, ("train", "test"), strict=True):
            chosen = points[(points["training"] == training) & (points["split"] == split)]
            if chosen.empty:
                not_yet(axis, f"{training}, {split} images")
                continue
            _clusters(axis, chosen, class_names)
            how = "trained as in Figure 5" if training == "equal" else f"batch × epochs {training.replace('x', ' × ')}"
            axis.set_title(f"{_title(chosen)}\n{how}, {split} images", fontsize="medium")
    return figure


def _clusters(axis: plt.Axes, points: pd.DataFrame, class_names: tuple[str, ...]) -> None:
    """Three classes' projected activations."""
    for (c, of), colour, marker in zip(points.groupby("class"), CLASS_COLOURS, "o^s", strict=True):
        axis.scatter(of["x"], of["y"], s=9, color=colour, marker=marker, alpha=0.6, linewidth=0, label=class_names[c])
    axis.set(aspect="equal", adjustable="datalim", xlabel="first axis [activation units]", ylabel="second axis")
    axis.legend(fontsize="small", markerscale=1.6, title="class", title_fontsize="small")


SELECTION_STYLES = {"highest": "-", "lowest": "--", "random": ":"}


def few_examples(
    table: pd.DataFrame, datasets: list[str], selections: tuple[str, ...] = tuple(SELECTION_STYLES)
) -> Figure:
    """Figures 4 and 8: students' accuracy against examples a class, highest on the way left, final right.

    Parameters
    ----------
    table : DataFrame
        Records "few_examples". Colours are teachers, lines are selections; bands show the range over seeds.
    datasets : list of str
        A row of two panels each; those without records are left out.
    selections : tuple of str
        Which to draw.
    """
    datasets = _recorded(table, datasets)
    measures = {"validation_best": "highest", "validation_last": "final"}
    figure, axes = plt.subplots(len(datasets), 2, figsize=(8.5, 3.6 * len(datasets)), squeeze=False, sharey="row")
    for row, dataset in zip(axes, datasets, strict=True):
        of = table[(table["dataset"] == dataset) & table["selection"].isin(selections)]
        for axis, (value, name) in zip(row, measures.items(), strict=True):
            if of.empty:
                not_yet(axis, TITLES[dataset])
                continue
            groups = of.groupby(["training", "teacher", "selection"], sort=False)
            for (training, teacher, selection), line in groups:
                label, colour = _teacher(training, teacher)
                if training != "equal":
                    colour = RETRAINED[sorted({t for t in of["training"] if t != "equal"}).index(training)]
                spread = 100 * line.groupby("examples")[value].agg(["mean", "min", "max"])
                axis.plot(
                    spread.index,
                    spread["mean"],
                    SELECTION_STYLES[selection],
                    marker="o",
                    markersize=3.5,
                    color=colour,
                    label=f"{label}, {selection}",
                )
                axis.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.15, linewidth=0)
            sizes = sorted(of["examples"].unique())
            axis.set(xscale="log", title=f"{_title(of)}\n{name}", xlabel="examples a class")
            axis.set_xticks(sizes, [f"{n:g}" for n in sizes], fontsize="small")
            axis.minorticks_off()
        row[0].set_ylabel("student's validation accuracy [%]")
        if not of.empty:
            row[1].legend(fontsize="x-small", title="teacher, examples", title_fontsize="x-small", loc="lower right")
    return figure


def learning_curves(curves: pd.DataFrame, datasets: list[str], examples: tuple[int, ...], selection: str) -> Figure:
    """Students' validation accuracy against optimiser steps, a line style for each number of examples a class."""
    datasets = _recorded(curves, datasets)
    figure, axes = _panels(datasets)
    for axis, dataset in zip(axes, datasets, strict=True):
        of = curves[(curves["dataset"] == dataset) & (curves["selection"] == selection)]
        if of.empty:
            not_yet(axis, TITLES[dataset])
            continue
        for n, style in zip((n for n in examples if n in set(of["examples"])), ("-", "--", ":"), strict=False):
            for teacher, line in of[of["examples"] == n].groupby("teacher", sort=False):
                spread = 100 * line.groupby("step")["validation"].agg(["mean", "min", "max"])
                colour = COLOURS[teacher]
                axis.plot(spread.index, spread["mean"], style, color=colour, label=f"{teacher}, {n}", linewidth=1.5)
                axis.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.15, linewidth=0)
        axis.set(title=_title(of), xlabel="optimiser steps")
        axis.legend(title="teacher, examples a class", fontsize="x-small", title_fontsize="x-small")
    axes[0].set_ylabel("student's validation accuracy [%]")
    return figure


def sweep_curves(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 6: mean entropy against T for each batch size at the last epoch, and for each epoch at batch size 4096.

    Parameters
    ----------
    table : DataFrame
        Records "response" of the group "sweep", `with_cells`.
    datasets : list of str
        A row of two panels each. Where 4096 was not tried, the right one has the largest batch size.
    """
    datasets = _recorded(table, datasets)
    figure, axes = plt.subplots(len(datasets), 2, figsize=(8.5, 3.9 * len(datasets)), sharey=True, squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        of = table[(table["dataset"] == dataset) & (table["split"] == "test")]
        if of.empty:
            for axis in row:
                not_yet(axis, TITLES[dataset])
            continue
        last, size = of["epoch"].max(), 4096 if 4096 in set(of["batch"]) else of["batch"].max()
        panels = (
            ("batch", of[of["epoch"] == last], f"batch sizes at epoch {last}", "batch size"),
            ("epoch", of[of["batch"] == size], f"epochs at batch size {size}", "epochs"),
        )
        for axis, (by, rows, title, legend) in zip(row, panels, strict=True):
            values = sorted(rows[by].unique())
            for value, colour in zip(values, sns.color_palette("viridis", len(values)), strict=True):
                spread = rows[rows[by] == value].groupby("temperature")["entropy"].agg(["mean", "min", "max"])
                axis.plot(spread.index, spread["mean"], "-o", color=colour, markersize=4, label=f"{value}")
                axis.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.2, linewidth=0)
            axis.axhline(np.log(10), color="0.5", linewidth=1, linestyle="--")
            axis.set(title=f"{_title(of)}\n{title}", xlabel="temperature T", ylim=(0, 2.45))
            axis.set_xticks(sorted(rows["temperature"].unique()))
            axis.legend(title=legend, fontsize="x-small", title_fontsize="small", ncols=2, loc="lower right")
        row[0].set_ylabel("mean entropy [nats]\n(dashed: uniform, ln 10)")
    return figure


def sweet_spot_maps(response: pd.DataFrame, students: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 1 a, measured: batch sizes by epochs; the large teacher's entropy, and its student's accuracy.

    Parameters
    ----------
    response, students : DataFrame
        Records "response" of the group "sweep" and "baseline" of the group "sweet_spot", each `with_cells`. Validation
        images, means over seeds; a frame marks the student's best.
    datasets : list of str
        A row of two panels each.
    """
    datasets = _recorded(students, datasets)
    figure, axes = plt.subplots(len(datasets), 2, figsize=(9.5, 3.0 * len(datasets)), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.12)
    response = response[(response["split"] == "validation") & (response["temperature"] == 9)]
    panels = (
        (response, "entropy", 1, "large teacher's entropy, T = 9 [nats]", ".2f"),
        (students, "validation_last", 100, "single-layer student's accuracy [%]", ".1f"),
    )
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, (table, value, scale, title, form) in zip(row, panels, strict=True):
            of = table[table["dataset"] == dataset]
            if of.empty:
                not_yet(axis, f"{TITLES[dataset]}\n{title}")
                continue
            grid = scale * of.pivot_table(index="batch", columns="epoch", values=value)
            sns.heatmap(grid, ax=axis, cmap="viridis", annot=True, fmt=form, annot_kws={"size": 9}, cbar=False)
            axis.set(xlabel="epochs", ylabel="batch size")
            axis.set_title(f"{_title(of)}\n{title}", fontsize="medium")
            axis.tick_params(axis="y", rotation=0)
            if table is students:
                best = np.unravel_index(np.nanargmax(grid.to_numpy(float)), grid.shape)
                axis.add_patch(plt.Rectangle(best[::-1], 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    return figure


def sweet_spot_map(cells: pd.DataFrame, title: str = "") -> Figure:
    """Figure 1 a, measured by a search: students' quality left, the teacher's own accuracy right.

    Parameters
    ----------
    cells : DataFrame
        `kdutils.sweetspot.SweetSpot.cells`, or records "sweetspot" of one search. Epochs across, batch sizes up, both in
        equal steps; a field is blank where a batch size was stopped. Lines are the response's mean entropy in nats. The
        star is the recommended cell, rings are those within noise of it, dots all others that were distilled in full. Left
        are full distillations where all cells have one, else probes; the two lines on the scale are the controls.
    title : str
        Above both panels.
    """
    taught = cells[cells["response"] == "teacher"]
    if taught.empty:
        figure, axis = plt.subplots(figsize=(5.0, 3.5))
        not_yet(axis, title)
        return figure
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True)
    sizes, epochs = sorted(taught["batch_size"].unique()), sorted(taught["epochs"].unique())
    measure, what = ("probe", "short probes'") if taught["full"].isna().any() else ("full", "students'")
    grids = {
        value: taught.pivot_table(index="batch_size", columns="epochs", values=value).reindex(
            index=sizes, columns=epochs
        )
        for value in (measure, "teacher_accuracy", "entropy")
    }
    place = lambda of: (of["epochs"].map(epochs.index), of["batch_size"].map(sizes.index))
    panels = ((measure, f"{what} accuracy [%]"), ("teacher_accuracy", "teacher's own accuracy [%]"))
    controls = cells[cells["response"] != "teacher"].set_index("response")[measure]
    for axis, (value, label) in zip(axes, panels, strict=True):
        image = axis.imshow(100 * grids[value], cmap="viridis", origin="lower", aspect="auto")
        if value == measure:  # the scale must hold the controls, which are lines on it
            low = min(image.norm.vmin, 100 * controls.min())
            high = max(image.norm.vmax, 100 * controls.max())
            image.set_clim(low - 0.03 * (high - low), high + 0.03 * (high - low))
        bar = figure.colorbar(image, ax=axis, location="top", label=label)
        if value == measure:
            for control, style in zip(controls.index, ("-", ":"), strict=True):
                bar.ax.axvline(100 * controls[control], color="#D55E00", linestyle=style, linewidth=2.5)
                axes[0].plot([], [], style, color="#D55E00", label=CONTROLS.get(control, control + " alone"))
        if min(grids["entropy"].shape) > 1:
            lines = axis.contour(np.ma.masked_invalid(grids["entropy"]), 6, colors="white", linewidths=1)
            axis.clabel(lines, fmt="%.2f", fontsize="x-small")
        axis.set_xticks(range(len(epochs)), [f"{e}" for e in epochs], fontsize="x-small")
        axis.set_yticks(range(len(sizes)), [f"{b}" for b in sizes])
        axis.set_xlabel("teacher's epochs")
        axis.grid(False)
    axes[0].set_ylabel("teacher's batch size")
    styles = {
        "behind": {"marker": ".", "color": "#D55E00"},
        "within noise": {"marker": "o", "facecolors": "none", "edgecolors": "#D55E00", "s": 70, "linewidths": 1.8},
        "recommended": {"marker": "*", "color": "#D55E00", "edgecolors": "white", "s": 230},
    }
    for status, style in styles.items():
        of = taught[taught["status"] == status]
        if len(of):
            axes[0].scatter(*place(of), label=status, zorder=3, **style)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5, fontsize="small")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


GUIDE_NAMES = {
    "entropy": "mean entropy",
    "accuracy": "teacher's accuracy",
    "teacher_accuracy": "teacher's accuracy",
    "row": "variance, row-wise",
    "column": "variance, column-wise",
    "row_normalised": "variance, row-wise, normalised",
    "column_normalised": "variance, column-wise, normalised",
    "probe": "short probe",
}


def guide_correlations(tables: dict[str, pd.DataFrame], datasets: list[str]) -> Figure:
    """Rank correlations of guides with what students learn, with intervals; one panel a data set.

    Parameters
    ----------
    tables : dict
        From an outcome's name to `kdutils.guides.rank_correlations` of it, at one temperature.
    datasets : list of str
        The panels, in order. An open mark has no interval: too few runs.
    """
    everything = pd.concat(tables.values())
    datasets = _recorded(everything, datasets)
    figure, axes = _panels(datasets)
    for n, (axis, dataset) in enumerate(zip(axes, datasets, strict=True)):
        of = everything[everything["dataset"] == dataset]
        if of.empty:
            not_yet(axis, TITLES[dataset])
            continue
        names = list(of["guide"].unique())
        for m, (outcome, table) in enumerate(tables.items()):
            rows = table[table["dataset"] == dataset]
            height = rows["guide"].map(names.index) + 0.3 * (m - (len(tables) - 1) / 2)
            colour, open_marks = ("0.15", RETRAINED[1])[m], rows["low"].isna()
            axis.hlines(height, rows["low"], rows["high"], color=colour, linewidth=2)
            face = np.where(open_marks, "none", colour)
            axis.scatter(rows["correlation"], height, facecolors=face, edgecolors=colour, label=outcome, zorder=3)
        axis.axvline(0, color="0.5", linewidth=1)
        axis.set(xlim=(-1.05, 1.05), xlabel="rank correlation", title=_title(of))
        axis.set_yticks(
            range(len(names)), [GUIDE_NAMES.get(g, g) for g in names] if n % 2 == 0 else [], fontsize="small"
        )
        axis.invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize="small")
    return figure


def temperature_effect(soft: pd.DataFrame, temperatures: list[float]) -> Figure:
    """Section 2: one image's confidence label and entropy against temperature, for each teacher.

    Parameters
    ----------
    soft : DataFrame
        Soft labels at several temperatures: `teacher`, `temperature`, `class`, `label`, `probability`.
    temperatures : list of float
        Those to mark on the axis.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4))
    if soft.empty:
        for axis in axes:
            not_yet(axis, "")
        return figure
    for teacher, of in soft.groupby("teacher", sort=False):
        own = of[of["class"] == of["label"]].groupby("temperature")["probability"].mean()
        entropy = of.assign(h=-of["probability"] * np.log(of["probability"].clip(lower=1e-300)))
        entropy = entropy.groupby(["example", "temperature"])["h"].sum().groupby("temperature").mean()
        for axis, line in zip(axes, (own, entropy), strict=True):
            axis.plot(line.index, line, color=COLOURS[teacher], label=f"{teacher} teacher")
    axes[0].axhline(0.1, color="0.5", linewidth=1, linestyle="--")
    axes[1].axhline(np.log(10), color="0.5", linewidth=1, linestyle="--")
    axes[0].set(ylabel="confidence label (dashed: 1/10)", ylim=(0, 1.03))
    axes[1].set(ylabel="entropy [nats] (dashed: ln 10)", ylim=(0, 2.45))
    for axis in axes:
        axis.set_xlabel("temperature T")
        axis.set_xticks(temperatures)
        axis.legend(fontsize="small")
    return figure


def with_cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the batch size (at full scale) and epochs of each row's training, "4096x50", as two columns."""
    cells = table["training"].astype(str).str.extract(r"^(\d+)x(\d+)$").astype(float).astype("Int64")
    return table.assign(batch=cells[0], epoch=cells[1])


def measured_responses(soft: pd.DataFrame, smoothing: list[float]) -> Figure:
    """Figure 1 b and c, measured: one image's soft labels from each teacher, and label smoothing's.

    Parameters
    ----------
    soft : DataFrame
        Records "soft_labels" of one data set and training.
    smoothing : list of float
        Label smoothing's soft labels of the same class (Table 1).
    """
    first = soft[(soft["seed"] == 0) & (soft["example"] == 0)]
    panels = [(f"{t} teacher", first[first["teacher"] == t]["probability"], COLOURS[t]) for t in ("small", "large")]
    panels.append(("label smoothing", pd.Series(smoothing), "0.5"))
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.0), sharey=True)
    for axis, (title, values, colour) in zip(axes, panels, strict=True):
        if values.empty:
            not_yet(axis, title)
            continue
        axis.bar(range(len(values)), values, color=colour)
        axis.set(title=title, xlabel="class")
        axis.set_xticks(range(len(values)))
        axis.grid(axis="x", visible=False)
    axes[0].set_ylabel("soft label at T = 9")
    return figure


SPECTRUM = {
    ("label smoothing", "uniform"): ("label smoothing", "X", "0.4"),
    ("capacity", "baseline"): ("single layer", "v", "#E69F00"),
    ("capacity", "student"): ("student's network", "^", "#009E73"),
    ("equal", "small"): ("small teacher", "o", COLOURS["small"]),
    ("equal", "large"): ("large teacher", "s", COLOURS["large"]),
}


def spectrum_table(response: pd.DataFrame, missing: pd.DataFrame) -> pd.DataFrame:
    """Each teacher's entropy and variance at T = 9 beside what its students know of a class they never saw.

    `low` and `high` are the range of `accuracy_missing` over seeds.

    Label smoothing's numbers are exact: its response is Table 1's, the same for each image of a class.
    """
    at_nine = response[(response["split"] == "test") & (response["temperature"] == 9)]
    keys = ["dataset", "profile", "training", "teacher"]
    table = missing.groupby(keys, sort=False)[["accuracy_missing", "accuracy"]].mean()
    per_seed = missing.groupby([*keys, "seed"])["accuracy_missing"].mean().groupby(keys)
    table = table.assign(low=per_seed.min(), high=per_seed.max())
    measured = at_nine.groupby(keys)[["entropy", "column_normalised"]].mean()
    table = table.join(measured).rename(columns={"column_normalised": "variance"}).reset_index()
    smooth = np.full(10, 0.06)
    smooth[0] = 0.46
    is_smooth = table["teacher"] == "uniform"
    table.loc[is_smooth, ["entropy", "variance"]] = [-(smooth * np.log(smooth)).sum(), 0.0]
    return table


def spectrum(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 2, measured: accuracy on the missing class against entropy (left) and variance of similarity labels.

    Bars show the range over seeds.

    Parameters
    ----------
    table : DataFrame
        Of `spectrum_table`.
    datasets : list of str
        A row of two panels each.
    """
    datasets = _recorded(table, datasets)
    figure, axes = plt.subplots(len(datasets), 2, figsize=(8.5, 3.5 * len(datasets)), squeeze=False, sharey="row")
    table = table.assign(variance=1000 * table["variance"])
    names = {
        "entropy": "mean entropy at T = 9 [nats]",
        "variance": "column-wise variance of\nsimilarity labels [1/1000]",
    }
    for row, dataset in zip(axes, datasets, strict=True):
        of = table[table["dataset"] == dataset]
        for axis, (value, name) in zip(row, names.items(), strict=True):
            if of.empty:
                not_yet(axis, TITLES[dataset])
                continue
            for point in of.itertuples():
                label, marker, colour = SPECTRUM[point.training, point.teacher]
                where = (getattr(point, value), 100 * point.accuracy_missing)
                axis.plot(*where, marker, color=colour, markersize=9, linestyle="none", label=label)
                axis.vlines(where[0], 100 * point.low, 100 * point.high, color=colour)
            axis.set(xlabel=name, title=_title(of), ylim=(-5, 105))
        row[0].set_ylabel("students' accuracy on\na class never seen [%]")
        if not of.empty:
            row[1].set_xlim(left=-0.05 * of["variance"].max())
            row[1].legend(fontsize="x-small", title="soft labels from", title_fontsize="small")
    return figure


def entropy_lines(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 10 in entropies: where each kind of soft label lies between one-hot (0) and uniform (ln 10).

    Parameters
    ----------
    table : DataFrame
        Of `spectrum_table`.
    datasets : list of str
        A line each, from the top; those without records are left out.
    """
    datasets = _recorded(table, datasets)
    figure, axis = plt.subplots(figsize=(8.5, 1.6 + 0.9 * len(datasets)))
    titles = []
    for height, dataset in enumerate(reversed(datasets)):
        of = table[table["dataset"] == dataset]
        axis.axhline(height, color="0.6", linewidth=1, zorder=0)
        titles.append(_title(of).replace(" (", "\n(") if len(of) else f"{TITLES[dataset]}\n{NOT_YET}")
        for point in of.itertuples():
            label, marker, colour = SPECTRUM[point.training, point.teacher]
            label = None if label in axis.get_legend_handles_labels()[1] else label
            axis.plot(point.entropy, height, marker, color=colour, markersize=11, linestyle="none", label=label)
    for value, name in ((0.0, "one-hot"), (np.log(10), "uniform: ln 10")):
        axis.axvline(value, color="0.5", linestyle="--", linewidth=1)
        axis.annotate(name, (value, len(datasets) - 0.5), ha="center", va="bottom", fontsize="small", color="0.4")
    axis.set(xlabel="mean entropy of the soft labels at T = 9 [nats]", ylim=(-0.5, len(datasets) - 0.5))
    axis.set_yticks(range(len(datasets)), titles)
    axis.grid(axis="y", visible=False)
    if len(table):
        axis.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=5)
    return figure


def baseline_students(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 9: single-layer students' test accuracy against T, from small, large and retrained large teachers.

    Parameters
    ----------
    table : DataFrame
        Records "baseline". Bands show the range over seeds; the two controls are grey.
    datasets : list of str
        The panels, in order.
    """
    datasets = _recorded(table, datasets)
    figure, axes = _panels(datasets)
    for axis, dataset in zip(axes, datasets, strict=True):
        of = table[table["dataset"] == dataset]
        if of.empty:
            not_yet(axis, TITLES[dataset])
            continue
        for (training, teacher), line in of.groupby(["training", "teacher"], sort=False):
            label, colour = _teacher(training, teacher)
            spread = 100 * line.groupby("temperature")["accuracy"].agg(["mean", "min", "max"])
            if teacher == "none":  # has no temperature
                axis.axhline(spread["mean"].iloc[0], color=colour, linestyle="--", label=label)
                continue
            style = ":s" if teacher == "uniform" else "-o"
            axis.plot(spread.index, spread["mean"], style, color=colour, label=label, markersize=5)
            axis.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=0.2, linewidth=0)
        ticks = of.loc[of["teacher"] != "none", "temperature"]
        axis.set(title=_title(of), xlabel="temperature T", xticks=sorted(ticks.unique()))
        axis.legend(title="teacher", fontsize="small", title_fontsize="small")
    axes[0].set_ylabel("single-layer student's\ntest accuracy [%]")
    return figure


def baseline_table(table: pd.DataFrame, value: str, caption: str, name: str) -> Table:
    """Single-layer students' accuracies in percent by teacher and temperature; hard labels alone have none."""
    table = table.assign(teacher=[_teacher(*pair)[0] for pair in zip(table["training"], table["teacher"], strict=True)])
    alone = table["teacher"] == CONTROLS["none"]
    temperatures = sorted(table.loc[~alone, "temperature"].unique())
    spread = [table[alone].assign(temperature=t) for t in temperatures]
    return pivoted(
        pd.concat([table[~alone], *spread]), ["data", "teacher"], "temperature", value, 100, "{:.1f}", caption, name
    )


def pivoted(
    table: pd.DataFrame, index: list[str], columns: str, value: str, scale: float, form: str, caption: str, name: str
) -> Table:
    """Means over seeds of one value as a table: `columns` across, the other keys down."""
    keys = [k for k in index if k != "data"]
    table = table.assign(data=[_title(table.iloc[[n]]) for n in range(len(table))])
    order = {column: table[column].drop_duplicates() for column in ["data", *keys]}
    order |= {column: sorted(of) for column, of in order.items() if pd.api.types.is_numeric_dtype(of)}
    wide = scale * table.pivot_table(index=["data", *keys], columns=columns, values=value)
    wide = wide.reindex([k for k in itertools.product(*order.values()) if k in wide.index])
    cells = wide.map(lambda cell: "–" if pd.isna(cell) else form.format(cell)).reset_index()
    cells.columns = [f"{c:g}" if isinstance(c, float | int) else str(c) for c in cells.columns]
    return Table(cells, caption, name)


def scatter_table(scatter: pd.DataFrame, caption: str, name: str) -> Table:
    """Within-class over between-class scatter of each teacher's clusters, means over seeds."""
    rows = []
    for (dataset, training, split), of in scatter.groupby(["dataset", "training", "split"], sort=False):
        row = {"data": _title(of), "training": training, "images": split}
        mean = of.groupby("teacher")[["ratio", "ratio_all_triples"]].mean()
        for teacher in mean.index[::-1]:
            row[f"{teacher}, the three classes drawn"] = f"{mean.loc[teacher, 'ratio']:.3f}"
            row[f"{teacher}, mean of all 120 triples"] = f"{mean.loc[teacher, 'ratio_all_triples']:.3f}"
        rows.append(row)
    return Table(pd.DataFrame(rows), caption, name)


def images(table: pd.DataFrame) -> Figure:
    """The recorded images side by side, with their place in the test set."""
    figure, axes = plt.subplots(1, len(table), figsize=(1.5 * len(table), 1.9), squeeze=False)
    for axis, image in zip(axes[0], table.itertuples(), strict=True):
        pixels = np.frombuffer(bytes.fromhex(image.pixels), np.uint8).reshape(image.channels, image.height, image.width)
        axis.imshow(pixels.transpose(1, 2, 0), cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(f"no. {image.index}", fontsize="small")
        axis.set_xticks([]), axis.set_yticks([])
    return figure


def missing_class_table(
    ours: pd.DataFrame, published: pd.DataFrame, dataset: str, names: list[str], number: str
) -> Table:
    """Tables 4-6 in figures: for each class and teacher, ours (mean over seeds), and the difference to the published.

    A cell reads "ours (ours less published)", in percent and percentage points.
    """
    table = 100 * ours.pivot_table(index="missing_class", columns=["teacher", "temperature"], values="accuracy_missing")
    wide = published[published["dataset"] == dataset].pivot(
        index="missing_class", columns=["teacher", "temperature"], values="accuracy"
    )
    rows = []
    for label in table.index:
        row = {"missing class": names[label]}
        for teacher in ("small", "large"):
            for temperature in table.columns.levels[1]:
                if (teacher, temperature) not in table:
                    continue
                cell = f"{table.loc[label, (teacher, temperature)]:.1f}"
                if (teacher, temperature) in wide:
                    difference = table.loc[label, (teacher, temperature)] - wide.loc[label, (teacher, temperature)]
                    cell += f" ({difference:+.1f})"
                row[f"{teacher}, T={temperature:g}"] = cell
        rows.append(row)
    what = "ours in percent (less the published value, in points)" if len(wide) else "in percent; the paper has none"
    return Table(
        pd.DataFrame(rows), f"{number}Accuracy on the missing class, {TITLES[dataset]}: {what}", f"missing-{dataset}"
    )


def soft_label_table(
    ours: pd.DataFrame, published: pd.DataFrame, teacher: str, caption: str, confident: int = 6
) -> Table:
    """Tables 2-3: soft labels of five images, published rows first, then ours; the confidence label is bold."""
    blocks = []
    if len(published):
        blocks.append(("published", published[published["source"] == teacher]))
    for training, rows in ours[(ours["teacher"] == teacher) & (ours["seed"] == 0)].groupby("training", sort=False):
        blocks.append((f"ours, {training}", rows))
    rows = []
    for source, block in blocks:
        for example, row in block.pivot(index="example", columns="class", values="probability").iterrows():
            cells = {str(c): f"**{p:.3f}**" if c == confident else f"{p:.3f}" for c, p in row.items()}
            rows.append({"source": source, "image": f"{example + 1}", **cells})
    return Table(pd.DataFrame(rows), caption, f"soft-labels-{teacher}")


def verdict_table(verdicts: pd.DataFrame, caption: str, name: str) -> Table:
    """Claims and verdicts (`Study.verdicts`), with estimate, 95 % interval and number of seeds."""
    rows = []
    for statement, of in verdicts.groupby("statement", sort=False):
        claim = f"{statement} ({of['section'].iloc[0]})"
        done = of[of["verdict"] != NOT_YET]
        for v in done.itertuples():
            estimate = _estimate(v)
            verdict = f"**{v.verdict}**" + _reservation(v)
            rows.append([claim, TITLES[v.dataset], verdict, f"{estimate} ({v.what})", v.seeds, v.detail])
        waiting = [TITLES[d] for d in of["dataset"] if d not in set(done["dataset"])]
        if waiting:
            rows.append([claim, ", ".join(waiting), NOT_YET, "", "", ""])
    return Table(pd.DataFrame(rows, columns=["claim", "data", "verdict", "estimate", "seeds", "detail"]), caption, name)


def _estimate(verdict: object) -> str:
    """A verdict's estimate with its unit, and its interval where there is one; differences have a sign."""
    form = "{:.2f}" if verdict.unit == "times" else "{:+.2f}"
    interval = "" if pd.isna(verdict.low) else f" [{form}, {form}]".format(verdict.low, verdict.high)
    return f"{form.format(verdict.estimate)} {verdict.unit}{interval}"


def _reservation(verdict: object) -> str:
    """What keeps a verdict from being final."""
    return " (indicative)" if verdict.profile != "paper" else " (provisional)" if verdict.seeds < 3 else ""


def verdict_matrix(verdicts: pd.DataFrame) -> Table:
    """Claims by data sets: each verdict with its estimate and interval; one row a claim."""
    rows = []
    for (statement, section), of in verdicts.groupby(["statement", "section"], sort=False):
        row = {"claim": f"{statement} ({section})", "estimate": of["what"].iloc[0]}
        for v in of.itertuples():
            cell = f"**{v.verdict}**"
            if pd.notna(v.estimate):
                cell += _reservation(v)
                cell += f": {_estimate(v)}" + (f", {v.seeds} seed{'s' * (v.seeds > 1)}" if pd.isna(v.low) else "")
            row[TITLES[v.dataset]] = cell
        rows.append(row)
    return Table(pd.DataFrame(rows).fillna("–"), "Verdicts, with the estimate that decides", "verdicts")


def entropy_table(table: pd.DataFrame, caption: str, name: str) -> Table:
    """Accuracy, entropy at each T, and confidence at T = 9, a row for each teacher; means over seeds."""
    rows = []
    for (dataset, training, teacher), of in table.groupby(["dataset", "training", "teacher"], sort=False):
        entropy = of.groupby("temperature")["entropy"].mean()
        at_nine = of[of["temperature"] == 9]
        row = {"data": _title(of), "training": training, "teacher": teacher}
        row |= {"epochs": f"{at_nine['epochs'].iloc[0]:g}", "batch": f"{at_nine['batch_size'].iloc[0]:g}"}
        row |= {"accuracy": f"{100 * at_nine['accuracy'].mean():.2f} %"}
        row |= {f"T={t:g}": f"{h:.3f}" for t, h in entropy.items()}
        rows.append(row | {"confidence": f"{at_nine['confidence'].mean():.3f}"})
    return Table(pd.DataFrame(rows), caption, name)


def missing_class_summary(ours: pd.DataFrame, published: pd.DataFrame, caption: str, name: str) -> Table:
    """Mean accuracies over classes and temperatures: published, and ours under each training protocol."""
    rows = []
    for dataset in ours["dataset"].unique():
        for teacher in ("small", "large"):
            printed = published[(published["dataset"] == dataset) & (published["teacher"] == teacher)]["accuracy"]
            row = {"data": TITLES[dataset], "teacher": teacher}
            row["published, missing class"] = f"{printed.mean():.1f}" if len(printed) else "–"
            mine = ours[(ours["dataset"] == dataset) & (ours["teacher"] == teacher)]
            for training, of in mine.groupby("training", sort=False):
                row[f"ours, {training}, missing class"] = f"{100 * of['accuracy_missing'].mean():.1f}"
                row[f"ours, {training}, all classes"] = f"{100 * of['accuracy'].mean():.1f}"
            rows.append(row)
    return Table(pd.DataFrame(rows).fillna("–"), caption, name)


def contrast_table(response: pd.DataFrame, missing: pd.DataFrame, caption: str, name: str) -> Table:
    """Each pair of teachers' mean entropy at T = 9 beside their students' accuracy on the missing class there."""
    rows = []
    where = ["dataset", "training", "teacher"]
    entropy = response[(response["split"] == "test") & (response["temperature"] == 9)].groupby(where)["entropy"].mean()
    learned = 100 * missing[missing["temperature"] == 9].groupby(where)["accuracy_missing"].mean()
    for dataset, training in missing.groupby(["dataset", "training"], sort=False).groups:
        row = {"data": TITLES[dataset], "training": training}
        for teacher in ("small", "large"):
            row[f"{teacher}: entropy [nats]"] = f"{entropy.get((dataset, training, teacher), np.nan):.2f}"
        for teacher in ("small", "large"):
            row[f"{teacher}: missing class [%]"] = f"{learned.get((dataset, training, teacher), np.nan):.1f}"
        rows.append(row)
    return Table(pd.DataFrame(rows), caption, name)


def soft_label_summary(ours: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Mean entropy and confidence label of the five images of Tables 2-3, each row scaled to sum to one."""
    rows = []
    for teacher in ("small", "large"):
        blocks = {"published": published[published["source"] == teacher]} if len(published) else {}
        blocks |= {f"ours, {t}": of for t, of in ours[ours["teacher"] == teacher].groupby("training", sort=False)}
        for source, of in blocks.items():
            p = of.assign(seed=of.get("seed", 0)).pivot(
                index=["seed", "example"], columns="class", values="probability"
            )
            p = p.div(p.sum(axis=1), axis=0)
            entropy = -(p * np.log(p)).sum(axis=1).mean()
            rows.append({"teacher": teacher, "source": source, "mean entropy [nats]": f"{entropy:.2f}"})
            rows[-1]["confidence label"] = f"{p[6].mean():.2f}"
    return Table(pd.DataFrame(rows), "The five images in two numbers", "soft-labels-summary")


def variance_table(recorded: pd.DataFrame, published_ratios: pd.DataFrame, caption: str, name: str) -> Table:
    """Ratios large / small of each variance in response; one column a source."""
    table = published_ratios.copy()
    at_nine = recorded[(recorded["split"] == "test") & (recorded["temperature"] == 9)]
    for (dataset, training), of in at_nine.groupby(["dataset", "training"], sort=False):
        means = of.groupby("teacher")[list(table.index)].mean()
        table[f"{TITLES[dataset]}, {training}"] = means.loc["large"] / means.loc["small"]
    table = table.map(lambda ratio: f"{ratio:.2f}").reset_index(names="variance")
    return Table(table, caption, name)


def networks_table(networks: pd.DataFrame, caption: str, name: str) -> Table:
    """Table 7, with what each network costs and how many times larger its teachers are."""
    rows = []
    for n in networks.itertuples():
        row = {"data": TITLES[n.dataset], "network": n.role, "layers": f"{n.conv} conv, {n.dense} dense"}
        row |= {"published": f"{n.published:,}", "ours": f"{n.ours:,}", "multiply-adds": f"{n.multiply_adds:,}"}
        row |= {"MB": f"{n.megabytes:.2f}"}
        student = n.role.startswith("student")
        for teacher in ("small", "large"):
            ratios = (getattr(n, f"parameters_of_{teacher}"), getattr(n, f"multiply_adds_of_{teacher}"))
            row[f"{teacher} teacher: parameters, multiply-adds"] = (
                "{:,.0f}×, {:,.0f}×".format(*ratios) if student else ""
            )
        rows.append(row)
    return Table(pd.DataFrame(rows), caption, name)


# ---------------------------------------------------------------- what decides it


def counterfeits(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Accuracy on the missing class from own and counterfeit responses; hatched: with its output bias at its best.

    Parameters
    ----------
    table : DataFrame
        `Study.variations`, of which topic "counterfeit" and the variation "equal" are drawn, at T = 9.
    datasets : list of str
        The panels, in order.
    """
    kinds = {"equal": "own", "permuted": "permuted", "permuted by class": "permuted\nby class"}
    kinds |= {"class mean": "class\nmean", "even": "all\nalike"}
    table = table[(table["temperature"] == 9) & table["training"].isin(kinds)]
    datasets = _recorded(table[table["topic"] == "counterfeit"], datasets)
    figure, axes = _panels(datasets)
    for axis, dataset in zip(axes, datasets, strict=True):
        rows = table[table["dataset"] == dataset]
        if rows.empty:
            not_yet(axis, TITLES[dataset])
            continue
        for side, (teacher, colour) in zip((-0.2, 0.2), COLOURS.items(), strict=True):
            of = rows[rows["teacher"] == teacher].drop_duplicates("training").set_index("training").reindex(kinds)
            place = np.arange(len(kinds)) + side
            axis.bar(
                place, 100 * of["missing_biased"], 0.36, color="none", edgecolor=colour, hatch="////", linewidth=0.8
            )
            axis.bar(place, 100 * of["missing"], 0.36, color=colour, label=f"{teacher} teacher")
        axis.set(title=_title(rows), ylim=(0, 105), xticks=range(len(kinds)))
        axis.set_xticklabels(kinds.values(), fontsize="x-small")
        axis.grid(False, axis="x")
    axes[0].set_ylabel("accuracy on the missing class [%]")
    handles = [Patch(color=colour, label=f"{teacher} teacher") for teacher, colour in COLOURS.items()]
    handles.append(Patch(facecolor="none", edgecolor="0.3", hatch="////", label="its output bias at its best"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="x-small")
    return figure


def ladder(table: pd.DataFrame, dataset: str) -> Figure:
    """What a missing class's students learn, against the teacher's size and its response's entropy and variance, at T = 9.

    Parameters
    ----------
    table : DataFrame
        `Study.variations`; the variations of the teacher's network and of its training's length are drawn.
    dataset : str
    """
    topics = ("as in Tables 4-6", "network", "length")
    rows = table[(table["dataset"] == dataset) & (table["temperature"] == 9) & table["topic"].isin(topics)]
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.9), sharey=True)
    if len(rows) < 3:
        for axis in axes:
            not_yet(axis, TITLES[dataset])
        return figure
    styles = {True: ("s", "hidden dense layers"), False: ("o", "none hidden")}
    columns = {"parameters": "teacher's parameters", "entropy": "entropy [nats]"}
    columns |= {"variance": "variance of its\nscaled similarity labels"}
    for axis, (column, label) in zip(axes, columns.items(), strict=True):
        for has, (marker, name) in styles.items():
            for teacher, colour in COLOURS.items():
                of = rows[((rows["hidden"] > 0) == has) & (rows["teacher"] == teacher)]
                axis.scatter(
                    of[column],
                    100 * of["missing"],
                    marker=marker,
                    color=colour,
                    s=36,
                    alpha=0.85,
                    label=f"{teacher}, {name}" if len(of) else None,
                )
        axis.set(xlabel=label, ylim=(-3, 103))
        if column != "entropy":
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("accuracy on the missing class [%]")
    axes[0].legend(
        title="teacher's family, dense head", fontsize="xx-small", title_fontsize="xx-small", loc="center left"
    )
    return figure


def variations_table(rows: pd.DataFrame, caption: str, name: str, network: bool = True) -> Table:
    """One line a variation and teacher: the response, and what its students learned; percent, nats.

    Without `network`, the teacher's size and accuracy, which a counterfeit has not got of its own, are left out.
    """
    percent = lambda value: "–" if pd.isna(value) else f"{100 * value:.1f}"
    lines = [
        [
            *(TITLES[row.dataset] + ("" if row.profile == "paper" else f" ({row.profile})"), row.training, row.teacher),
            *([f"{row.parameters:,}", percent(row.teacher_accuracy)] if network else []),
            *(f"{row.entropy:.2f}", f"{1000 * row.variance:.2f}"),
            *(f"**{percent(row.missing)}**", percent(row.missing_biased)),
        ]
        for row in rows.itertuples()
    ]
    columns = ["data", "variation", "teacher", *(["parameters", "its accuracy"] if network else [])]
    columns += ["entropy", "variance × 1000", "missing class", "bias at its best"]
    return Table(pd.DataFrame(lines, columns=columns), caption, name)


SYSTEM_COLOURS = {"Eq. 4": COLOURS["large"], "Eq. 4, small teacher": COLOURS["small"], "sweet spot": RETRAINED[0]}


def related_gains(summary: pd.DataFrame, datasets: list[str]) -> Figure:
    """What each system adds to a student's test accuracy beside hard labels, with intervals; one panel a data set.

    Parameters
    ----------
    summary : DataFrame
        `related.summary`.
    datasets : list of str
        The panels, in order.
    """
    datasets = _recorded(summary, datasets) if len(summary) else datasets[:1]
    figure, axes = plt.subplots(1, len(datasets), figsize=(2.4 + 2.9 * len(datasets), 4.6), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        if summary.empty:
            not_yet(axis, TITLES[dataset])
            return figure
        rows = summary[(summary["dataset"] == dataset) & (summary["system"] != "hard labels")]
        axis.axvline(0, color="0.5", linewidth=1, linestyle="--")
        for row in rows.itertuples():
            colour = SYSTEM_COLOURS.get(row.system, "0.35")
            axis.plot([100 * row.gain_low, 100 * row.gain_high], [row.system] * 2, color=colour, linewidth=2)
            axis.plot(100 * row.gain, row.system, "o", color=colour, markersize=6)
        axis.set(title=_title(rows), xlabel="gain over hard labels\n[percentage points]")
    axes[0, 0].invert_yaxis()
    return figure


def related_overview(summary: pd.DataFrame, systems: tuple[str, ...], caption: str, name: str) -> Table:
    """Systems by data sets: the difference to Eq. 4 in points, with its interval, and the cost over Eq. 4's."""
    rows = []
    for system in systems:
        cells = {"system": f"**{system}**" if system == "sweet spot" else system}
        for row in summary[summary["system"] == system].itertuples():
            cells[_title(summary[summary["dataset"] == row.dataset])] = f"{_difference(row, 'over')} at {row.cost:.2f}×"
        rows.append(cells)
    return Table(pd.DataFrame(rows).fillna("–"), caption, name)


def _difference(row: object, what: str) -> str:
    """A paired difference in percentage points, with its interval where there is one."""
    low, high = (100 * getattr(row, f"{what}_{end}") for end in ("low", "high"))
    return f"{100 * getattr(row, what):+.2f}" + _range(low, high, "{:+.2f}")


def related_table(summary: pd.DataFrame, name: str) -> Table:
    """One data set's systems: the setting that validation chose, test accuracy, differences and entropy."""
    rows = []
    for row in summary.itertuples():
        teacher = _teacher(row.training, row.teacher)[0] if row.teacher in TEACHERS else row.teacher
        rows.append(
            {
                "system": f"**{row.system}**" if row.system == "sweet spot" else row.system,
                "learns from": {"none": "labels alone", "student": "its own copy"}.get(row.teacher, teacher),
                "T": "–" if row.system in WITHOUT_TEMPERATURE else f"{row.temperature:g}",
                "α": f"{row.alpha:g}",
                "rate": f"{row.learning_rate:g}",
                "accuracy": f"{100 * row.accuracy:.2f}" + _range(100 * row.low, 100 * row.high, "{:.2f}"),
                "over hard labels": "–" if row.system == "hard labels" else _difference(row, "gain"),
                "over Eq. 4": "–" if row.system == "Eq. 4" else _difference(row, "over"),
                "entropy": f"{row.entropy:.2f}",
            }
        )
    seeds = int(summary["seeds"].max())
    caption = (
        f"{_title(summary)}: test accuracy in percent of the setting that validation chose of "
        f"{summary['trials'].max()}, and paired differences in points ({seeds} seed{'s' * (seeds > 1)}"
        f"{', 95 % intervals' * (seeds > 2)}); mean entropy at T = 9 of the response in nats"
    )
    return Table(pd.DataFrame(rows), caption, name)


def _range(low: float, high: float, form: str) -> str:
    return "" if pd.isna(low) else f" [{form.format(low)}, {form.format(high)}]"


def cost_table(summary: pd.DataFrame, name: str) -> Table:
    """One data set's systems: what the teacher's side and the student's cost in training, and the tuning in all."""
    rows = []
    for row in summary.itertuples():
        cells = {"system": row.system, "deployed": f"{row.parameters:,.0f}"}
        for side in ("teacher", "student"):
            of = lambda what, row=row, side=side: getattr(row, f"{side}_{what}")
            cells[f"{side}: images"] = f"{of('passes') / 1e3:,.0f} k"
            cells[f"{side}: multiply-adds"] = f"{of('multiply_adds') / 1e12:.3g} T"
            cells[f"{side}: seconds"] = f"{of('seconds'):,.1f}"
        cells["of Eq. 4"] = f"{row.cost:.2f}"
        rows.append(cells | {"with tuning: images": f"{row.tuning_passes / 1e3:,.0f} k"})
    caption = (
        f"{_title(summary)}: training cost of one deployed student: parameters; images seen, multiply-adds (backward "
        "passes included) and seconds, on the teacher's side and the student's; all multiply-adds over those of Eq. 4; "
        "images seen by all trials together"
    )
    return Table(pd.DataFrame(rows), caption, name)


def systems_table(table: pd.DataFrame, systems: dict[str, str], caption: str, name: str) -> Table:
    """What each compared system is (`related.SYSTEMS`), and the values that were tried, from records "related"."""
    rows = []
    for system, what in systems.items():
        tried = table[table["system"] == system]
        tuned = []
        for column, symbol in (("temperature", "T"), ("alpha", "α"), ("learning_rate", "rate")):
            values = sorted(tried[column].unique())
            if len(values) > 1:
                tuned.append(f"{symbol} {', '.join(f'{v:g}' for v in values)}")
        rows.append({"system": system, "a student learns": what, "tried": "; ".join(tuned)})
    return Table(pd.DataFrame(rows), caption, name)


def planned_table(planned: pd.DataFrame, caption: str, name: str) -> Table:
    """Systems by data sets: multiply-adds of all training, and over those of Eq. 4 (`related.planned`)."""
    rows = []
    for system, of in planned.groupby("system", sort=False):
        cells = {"system": f"**{system}**" if system == "sweet spot" else system}
        for row in of.itertuples():
            whole = (row.teacher_multiply_adds + row.student_multiply_adds) / 1e12
            cells[_title(of[of["dataset"] == row.dataset])] = f"{whole:.3g} T, {row.cost:.2f}×"
        rows.append(cells)
    return Table(pd.DataFrame(rows), caption, name)


def tutorial_table(compared: pd.DataFrame, caption: str, name: str) -> Table:
    """PyTorch's tutorial beside ours (`tutorial.compared`), in percent and points."""
    rows = []
    for row in compared.itertuples():
        form = "{:+.2f}" if row.network == "gain" else "{:.2f}"
        rows.append(
            {
                "network": "distilled less student" if row.network == "gain" else row.network,
                "parameters": f"{row.parameters:,.0f}" if row.parameters else "",
                "tutorial, one seed": "–" if pd.isna(row.published) else form.format(row.published),
                "ours": form.format(row.estimate) + _range(row.low, row.high, form),
                "ours, single seeds": f"{form} to {form}".format(row.lowest, row.highest),
                "seeds": row.seeds,
            }
        )
    return Table(pd.DataFrame(rows), caption, name)


# ---------------------------------------------------------------- how fast


def speed_table(rows: pd.DataFrame, caption: str, name: str) -> Table:
    """Comparisons of speed, one a line: the ratio with its range over repeats, and whether its bar is reached.

    What is to be reached and was not measured follows.
    """
    lines = []
    for row in rows.itertuples():
        reached = row.gib if not pd.isna(row.gib) else row.share if pd.isna(row.ratio) else row.ratio
        good = (
            ""
            if pd.isna(row.bar)
            else "yes"
            if (reached <= row.bar if reached is row.gib else reached >= row.bar)
            else "no"
        )
        peer = " (the other one is faster)" if row.ratio < 1 and row.comparison != "growth" else ""
        measured = (
            f"{row.gib:.2f} GiB"
            if not pd.isna(row.gib)
            else f"{100 * row.share:.1f} % of the matrix rate"
            if pd.isna(row.ratio)
            else f"{row.ratio:.1f} times [{row.ratio_low:.1f}, {row.ratio_high:.1f}]{peer}"
        )
        bar = "–" if pd.isna(row.bar) else f"≤ {row.bar:g} GiB" if not pd.isna(row.gib) else f"{row.bar:g}"
        lines.append(
            [
                row.machine,
                TITLES.get(row.dataset, row.dataset),
                row.comparison,
                row.members,
                row.batch_size,
                f"**{measured}**",
                bar,
                good,
                row.note,
            ]
        )
    kinds = rows["machine"].map(lambda machine: "CPU" if machine.endswith("CPU") else "GPU")
    known = set(zip(kinds, rows["dataset"], rows["comparison"], strict=True))
    for (kind, dataset, comparison), bar in BARS.items():
        if (kind, dataset, comparison) not in known:
            to_reach = f"≤ {bar:g} GiB" if comparison == "memory" else f"{bar:g}"
            lines.append([kind, TITLES[dataset], comparison, "", "", "not measured yet", to_reach, "", "`make bench`"])
    columns = ["machine", "data", "against", "members", "batch", "measured", "to reach", "reached", "how"]
    return Table(pd.DataFrame(lines, columns=columns), caption, name)


def growth(rows: pd.DataFrame) -> Figure:
    """Seconds a student's epoch as the fleet grows, one line a machine and data set."""
    figure, axis = plt.subplots(figsize=(5.5, 3.6))
    if rows.empty:
        not_yet(axis, "time a member")
        return figure
    for (machine, dataset), of in rows.groupby(["machine", "dataset"]):
        of = of.sort_values("members")
        axis.plot(of["members"], of["ours"], "-o", markersize=5, label=f"{TITLES[dataset]}, {machine}")
    axis.set(xscale="log", yscale="log", xlabel="members of the fleet", ylabel="seconds a student's epoch")
    axis.legend(fontsize="x-small")
    return figure
