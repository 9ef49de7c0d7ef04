"""Figures and tables drawn from tidy records; nothing is computed here but means, ranges and differences of them.

One palette, safe for colour-blind readers: the small teacher is blue, the large one orange, and the retrained large one
green, everywhere. A figure takes records and, in `datasets`, the order of its panels; data sets without records are left
out, and where none has any the first one's panels say so. Lines and cells are means over seeds, bands and bars their range.
A table takes its rows, a caption, and the name by which pages refer to it.
"""

import itertools
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from kdutils import projection
from kdutils.experiments import EXAMPLE_CLASS
from kdutils.losses import label_smoothing_targets
from kdutils.protocols import ALPHA_LS, PROFILES, TABLE_TEMPERATURE, TEACHERS, trainings
from kdutils.records import AIMS, BARS, with_cells
from kdutils.related import WITHOUT_TEMPERATURE
from kdutils.response import COUNTERFEITS

COLOURS = {"small": "#0072B2", "large": "#D55E00"}
RETRAINED = ("#009E73", "#CC79A7")  # the large teacher under other trainings
CONTROLS = {"uniform": "uniform response", "none": "hard labels alone"}
COUNTERFEIT_NAMES = {kind: kind for kind in COUNTERFEITS} | {"even": "all alike"}
CLASS_COLOURS = ("#009E73", "#CC79A7", "#E69F00")  # of three classes in one panel
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "digits": "digits (8x8)"}
NOT_YET = "not yet run"
ENTROPIES = (0, 2.45)  # of an axis in nats, which holds ln 10


def use_theme() -> None:
    """Give all figures drawn from now on the book's looks."""
    more = {"figure.constrained_layout.use": True, "legend.fontsize": "small", "legend.title_fontsize": "small"}
    sns.set_theme(style="whitegrid", font_scale=0.95, rc=more)


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class Table:
    """A table of strings with a caption: numbered in the book, plain HTML in Jupyter and Colab."""

    frame: pd.DataFrame
    caption: str
    name: str

    def _repr_html_(self) -> str:
        styler = self.frame.style.hide(axis="index").set_caption(self.caption).set_uuid(self.name)
        return styler.format(lambda cell: re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(cell))).to_html()

    def markdown(self) -> str:
        """The table alone, as Markdown."""
        lines = [self.frame.columns, ["---"] * self.frame.shape[1], *self.frame.astype(str).to_numpy()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _repr_markdown_(self) -> str:
        return f"```{{table}} {self.caption}\n:name: {self.name}\n\n{self.markdown()}\n```"


class _Cell(string.Formatter):
    """`str.format` with a dash for what is missing."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return "–" if pd.isna(value) else super().format_field(value, format_spec)


def formatted(
    rows: pd.DataFrame, columns: Mapping[str, str | Callable[[Any], object]], caption: str, name: str
) -> Table:
    """A table of a line for each row: under each header of `columns`, what its format makes of the row.

    Parameters
    ----------
    rows : DataFrame
        Whose column names are valid in Python.
    columns : dict
        From header to a format string that names columns, "{entropy:.2f}", in which what is missing is a dash, or to a
        function of a row (as of `DataFrame.itertuples`). Where there is a column `dataset`, `{data}` is its title.
    caption, name : str
        Of the table.
    """
    lines = []
    for row in rows.itertuples():
        fields = row._asdict()
        fields["data"] = TITLES.get(fields.get("dataset"), fields.get("dataset"))
        lines.append([how(row) if callable(how) else _Cell().vformat(how, (), fields) for how in columns.values()])
    return Table(pd.DataFrame(lines, columns=list(columns)), caption, name)


def ranged(value: float, low: float, high: float, form: str = "{:+.2f}", unit: str = "") -> str:
    """An estimate with its unit and, where there is one, its interval."""
    return form.format(value) + unit + ("" if pd.isna(low) else f" [{form}, {form}]".format(low, high))


def points(row: Any, what: str, form: str = "{:+.2f}") -> str:
    """A row's fraction in percent, or difference of fractions in points, with its interval: `what`_low, `what`_high."""
    value, low, high = (100 * getattr(row, f"{what}{end}") for end in ("", "_low", "_high"))
    return ranged(value, low, high, form)


def title(dataset: str, profile: str = "paper") -> str:
    """A data set as readers know it, and the profile of its records where that is not the full scale's."""
    return TITLES[dataset] + ("" if profile == "paper" else f" ({profile}, indicative)")


def _title(rows: pd.DataFrame) -> str:
    return title(rows["dataset"].iloc[0], rows["profile"].iloc[0])


def _teacher(training: str, teacher: str) -> tuple[str, str]:
    """Label and colour of a teacher under a training protocol."""
    if training == "equal":
        return f"{teacher} teacher", COLOURS[teacher]
    if teacher in CONTROLS:
        return CONTROLS[teacher], "0.45"
    return f"{teacher}, {training.replace('x', ' × ')}", RETRAINED[0]


# ---------------------------------------------------------------- what figures share


def not_yet(title: str, axis: plt.Axes | None = None) -> Figure:
    """Say in an otherwise empty panel, by default of a new figure, that its runs are not recorded."""
    axis = axis or plt.subplots(figsize=(5.0, 3.5))[1]
    axis.set_title(title)
    axis.text(0.5, 0.5, NOT_YET, ha="center", va="center", transform=axis.transAxes, color="0.4")
    axis.set_xticks([]), axis.set_yticks([])
    axis.grid(False)
    return axis.figure


def _recorded(table: pd.DataFrame, datasets: list[str]) -> list[str]:
    """The data sets that have records, or if none has, the first: one panel then says so."""
    return [d for d in datasets if d in set(table["dataset"])] or datasets[:1]


def _panels(
    table: pd.DataFrame, datasets: list[str], ylabel: str, pairs: float | None = None, **shared: Any
) -> tuple[Figure, list[tuple[Any, pd.DataFrame]]]:
    """A panel for each data set or, `pairs` inches high, two side by side; with the records that are to be drawn there.

    Two in a row at most, so that a phone shows them large enough.
    """
    datasets = _recorded(table, datasets)
    columns = 2 if pairs else min(2, len(datasets))
    rows = len(datasets) if pairs else -(-len(datasets) // 2)
    size = (8.5, pairs * rows) if pairs else (max(5.0, 4.2 * columns), 3.5 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **shared)
    places = axes if pairs else axes.flat
    for spare in places[len(datasets) :]:
        spare.set_axis_off()
    found = []
    for place, dataset in zip(places, datasets, strict=False):
        of = table[table["dataset"] == dataset]
        if len(of):
            found.append((place, of))
        for axis in np.atleast_1d(place) if of.empty else ():
            not_yet(TITLES[dataset], axis)
    for first in axes[:, 0]:
        first.set_ylabel(ylabel)
    return figure, found


def _grid(rows: int, height: float, width: float = 8.5) -> tuple[Figure, np.ndarray]:
    """Rows of two panels each whose titles have two lines."""
    figure, axes = plt.subplots(rows, 2, figsize=(width, height * rows), squeeze=False)
    figure.get_layout_engine().set(h_pad=0.12)
    return figure, axes


def _band(
    axis: plt.Axes, lines: pd.DataFrame, x: str, y: str, style: str, colour: Any, scale: int = 1, **options: Any
) -> None:
    """A line for the mean over seeds in a band for their range."""
    spread = scale * lines.groupby(x)[y].agg(["mean", "min", "max"])
    shade = options.pop("shade", 0.2)
    axis.plot(spread.index, spread["mean"], style, color=colour, **options)
    axis.fill_between(spread.index, spread["min"], spread["max"], color=colour, alpha=shade, linewidth=0)


def _legend_below(figure: Figure, axes: Iterable[plt.Axes], columns: int, title: str | None = None) -> None:
    """One legend for all panels, below them: within a panel it would hide something."""
    marks: dict[str, Any] = {}  # of the first panel that has it
    for axis in axes:
        for mark, label in zip(*axis.get_legend_handles_labels(), strict=True):
            marks.setdefault(label, mark)
    if marks:
        figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=columns, title=title)


def _entropy_axis(axis: plt.Axes, title: str, temperatures: pd.Series) -> None:
    """Mean entropy against T, and the entropy of a uniform response."""
    axis.axhline(np.log(10), color="0.5", linewidth=1, linestyle="--")
    axis.set(title=title, xlabel="temperature T", ylim=ENTROPIES, xticks=sorted(temperatures.unique()))


def _heatmap(axis: plt.Axes, grid: pd.DataFrame, form: str, size: int, labels: dict[str, str], **options: Any) -> None:
    """Numbers in coloured fields."""
    sns.heatmap(grid, ax=axis, cmap="viridis", annot=True, fmt=form, annot_kws={"size": size}, cbar=False, **options)
    axis.set(**labels)
    axis.tick_params(axis="y", rotation=0)


# ---------------------------------------------------------------- section 4: entropy, classes never seen, clusters, few examples


def entropy_curves(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 3: mean entropy on the test set against T, from records "response"; equal training solid, calibrated dotted."""
    label = "mean entropy [nats]\n(dashed: uniform, ln 10)"
    figure, panels = _panels(table[table["split"] == "test"], datasets, label)
    for axis, rows in panels:
        for (training, teacher), lines in rows.groupby(["training", "teacher"], sort=True):
            style, colour = {"equal": "-o", "calibrated": ":s"}[training], COLOURS[teacher]
            label = f"{teacher}, {training}"
            _band(axis, lines, "temperature", "entropy", style, colour, label=label, markersize=5)
        _entropy_axis(axis, _title(rows), rows["temperature"])
        axis.legend(title="teacher, training", loc="lower right")
    return figure


def entropy_history(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Mean entropy at T = 9 on the test set after each epoch, a thin line a seed; records "history" of one training."""
    figure, panels = _panels(table, datasets, "mean entropy at T = 9 [nats]")
    for axis, rows in panels:
        for (teacher, seed), line in rows.groupby(["teacher", "seed"], sort=False):
            style = {"color": COLOURS[teacher], "label": None if seed > rows["seed"].min() else teacher}
            axis.plot(line["epoch"], line["entropy"], "-o", markersize=4, linewidth=1.2, **style)
        axis.set(title=_title(rows), xlabel="epoch", ylim=ENTROPIES)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(title="teacher", loc="lower left")
    return figure


def entropy_table(table: pd.DataFrame, caption: str, name: str) -> Table:
    """Accuracy, entropy at each T, and confidence at T = 9, a row for each teacher."""
    rows = []
    for (_, training, teacher), of in table.groupby(["dataset", "training", "teacher"], sort=False):
        at_nine = of[of["temperature"] == 9]
        row = {"data": _title(of), "training": training, "teacher": teacher}
        row |= {"epochs": f"{at_nine['epochs'].iloc[0]:g}", "batch": f"{at_nine['batch_size'].iloc[0]:g}"}
        row["accuracy"] = f"{100 * at_nine['accuracy'].mean():.2f} %"
        row |= {f"T={t:g}": f"{h:.3f}" for t, h in of.groupby("temperature")["entropy"].mean().items()}
        rows.append(row | {"confidence": f"{at_nine['confidence'].mean():.3f}"})
    return Table(pd.DataFrame(rows), caption, name)


def missing_class_maps(
    ours: pd.DataFrame, published: pd.DataFrame, datasets: list[str], class_names: dict[str, Sequence[str]]
) -> Figure:
    """Tables 4-6 as heat maps: classes by temperatures; the published above ours, the small teacher left of the large.

    `ours` is records "missing_class" of one training protocol, `published` the table of that name. A data set has two rows
    of panels, or one if the paper does not have it or we have no records.
    """
    sources = {"published": (published, "accuracy", 1), "ours": (ours, "accuracy_missing", 100)}
    panels = [
        (d, s, t[t["dataset"] == d], value, scale)
        for d in datasets
        for s, (t, value, scale) in sources.items()
        if d in set(t["dataset"]) or (s == "ours" and d not in set(published["dataset"]))
    ]
    figure, axes = _grid(len(panels), 3.9)
    for row, (dataset, source, table, value, scale) in zip(axes, panels, strict=True):
        profile = table["profile"].iloc[0] if len(table) and "profile" in table else "paper"
        note = "" if profile == "paper" else f"\n({profile}, indicative)"
        for n, (axis, teacher) in enumerate(zip(row, TEACHERS, strict=True)):
            what = f"{TITLES[dataset]}, {teacher} teacher, {source}{note}"
            chosen = table[table["teacher"] == teacher]
            if chosen.empty:
                not_yet(what, axis)
                continue
            grid = scale * chosen.pivot_table(index="missing_class", columns="temperature", values=value)
            names = False if n else list(class_names[dataset])
            labels = {"title": what, "xlabel": "temperature T", "ylabel": "" if n else "missing class"}
            grid = grid.rename(columns="{:g}".format)
            _heatmap(axis, grid, ".0f", 10, labels, vmin=0, vmax=100, yticklabels=names)
    return figure


def missing_class_table(
    ours: pd.DataFrame, published: pd.DataFrame, dataset: str, names: Sequence[str], number: str
) -> Table:
    """Tables 4-6 in figures: for each class and teacher, ours, and the difference to the published.

    A cell reads "ours (ours minus published)", in percent and percentage points.
    """
    keys = {"index": "missing_class", "columns": ["teacher", "temperature"]}
    printed = published[published["dataset"] == dataset]
    mine = 100 * ours.pivot_table(values="accuracy_missing", **keys).reindex(columns=TEACHERS, level=0)
    less = (mine - printed.pivot_table(values="accuracy", **keys)).reindex_like(mine)
    cells = mine.map("{:.1f}".format) + less.map(" ({:+.1f})".format, na_action="ignore").fillna("")
    cells.columns = [f"{teacher}, T={t:g}" for teacher, t in cells.columns]
    cells.insert(0, "missing class", [names[c] for c in cells.index])
    cells = cells.reset_index(drop=True)
    what = (
        "ours in percent (in brackets: minus the published value, in points)"
        if len(printed)
        else "in percent; the paper has none"
    )
    return Table(cells, f"{number}Accuracy on the missing class, {TITLES[dataset]}: {what}", f"missing-{dataset}")


def missing_class_summary(ours: pd.DataFrame, published: pd.DataFrame, caption: str, name: str) -> Table:
    """Mean accuracies over classes and temperatures: published, and ours under each training protocol."""
    rows = []
    for dataset, teacher in itertools.product(ours["dataset"].unique(), TEACHERS):
        printed, mine = (t[(t["dataset"] == dataset) & (t["teacher"] == teacher)] for t in (published, ours))
        row = {"data": TITLES[dataset], "teacher": teacher}
        row["published, missing class"] = f"{printed['accuracy'].mean():.1f}" if len(printed) else "–"
        for training, of in mine.groupby("training", sort=False):
            row[f"ours, {training}, missing class"] = f"{100 * of['accuracy_missing'].mean():.1f}"
            row[f"ours, {training}, all classes"] = f"{100 * of['accuracy'].mean():.1f}"
        rows.append(row)
    return Table(pd.DataFrame(rows).fillna("–"), caption, name)


def contrast_table(response: pd.DataFrame, missing: pd.DataFrame, caption: str, name: str) -> Table:
    """Each pair of teachers' mean entropy at T = 9 beside their students' accuracy on the missing class there."""
    where = ["dataset", "training", "teacher"]
    entropy = response[(response["split"] == "test") & (response["temperature"] == 9)].groupby(where)["entropy"].mean()
    learned = 100 * missing[missing["temperature"] == 9].groupby(where)["accuracy_missing"].mean()
    shown = {"entropy [nats]": (entropy, "{:.2f}"), "missing class [%]": (learned, "{:.1f}")}
    rows = []
    for dataset, training in missing.groupby(["dataset", "training"], sort=False).groups:
        row = {"data": TITLES[dataset], "training": training}
        for (what, (values, form)), teacher in itertools.product(shown.items(), TEACHERS):
            row[f"{teacher}: {what}"] = form.format(values.get((dataset, training, teacher), np.nan))
        rows.append(row)
    return Table(pd.DataFrame(rows), caption, name)


def projections(table: pd.DataFrame, datasets: list[str], class_names: dict[str, Sequence[str]]) -> Figure:
    """Figure 5: three classes' penultimate activations in the plane of their templates, small beside large.

    From records "projection" of one training protocol: for each data set the training images, then the test images.
    """
    panels = []
    for dataset, split, teacher in itertools.product(_recorded(table, datasets), ("train", "test"), TEACHERS):
        of = table[(table["dataset"] == dataset) & (table["split"] == split) & (table["teacher"] == teacher)]
        panels.append((of, f"{TITLES[dataset]}, ", f"{split} images, {teacher} teacher", class_names[dataset]))
    return _clusters(panels, 3.6)


def retrained_projections(table: pd.DataFrame, class_names: Sequence[str]) -> Figure:
    """Figure 7: one data set's large teacher under each training, training images beside test images."""
    panels = []
    for training, split in itertools.product(dict.fromkeys(table["training"]) or ["equal"], ("train", "test")):
        of = table[(table["training"] == training) & (table["split"] == split)]
        how = "trained as in Figure 5" if training == "equal" else f"batch × epochs {training.replace('x', ' × ')}"
        panels.append((of, "", f"{how}, {split} images", class_names))
    return _clusters(panels, 3.4)


def _clusters(panels: list[tuple[pd.DataFrame, str, str, Sequence[str]]], height: float) -> Figure:
    """Three classes' projected activations, two panels a row, which share no scale: each title has how tight the clusters are."""
    figure, axes = _grid(len(panels) // 2, height)
    for axis, (rows, where, what, class_names) in zip(axes.flat, panels, strict=True):
        if rows.empty:
            not_yet(where + what, axis)
            continue
        for (c, of), colour, marker in zip(rows.groupby("class"), CLASS_COLOURS, "o^s", strict=True):
            style = {"s": 9, "color": colour, "marker": marker, "alpha": 0.6, "linewidth": 0}
            axis.scatter(of["x"], of["y"], label=class_names[c], **style)
        tight = projection.scatter(
            torch.tensor(rows[["x", "y"]].to_numpy(float)), torch.tensor(rows["class"].to_numpy())
        )["ratio"]
        title = f"{_title(rows)}\n{what}\nwithin/between scatter {tight:.3f}"
        axis.set(aspect="equal", adjustable="datalim", title=title)
        axis.set(xlabel="first axis [activation units]", ylabel="second axis [activation units]")
        axis.legend(markerscale=1.6, title="class")
    return figure


def scatter_table(scatter: pd.DataFrame, caption: str, name: str) -> Table:
    """Within-class over between-class scatter of each teacher's clusters."""
    rows = []
    for (_, training, split), of in scatter.groupby(["dataset", "training", "split"], sort=False):
        row = {"data": _title(of), "training": training, "images": split}
        for teacher, mean in of.groupby("teacher")[["ratio", "ratio_all_triples"]].mean()[::-1].iterrows():
            row[f"{teacher}, the three classes drawn"] = f"{mean['ratio']:.3f}"
            row[f"{teacher}, mean of all 120 triples"] = f"{mean['ratio_all_triples']:.3f}"
        rows.append(row | {"seeds": of["seed"].nunique()})
    return Table(pd.DataFrame(rows), caption, name)


SELECTION_STYLES = {"highest": "-", "lowest": "--", "random": ":"}
SELECTIONS = {"highest": "highest entropy", "lowest": "lowest entropy", "random": "random"}


def few_examples(
    table: pd.DataFrame, datasets: list[str], selections: tuple[str, ...] = tuple(SELECTION_STYLES)
) -> Figure:
    """Figures 4 and 8: students' accuracy against examples a class, highest on the way left, final right.

    From records "few_examples". Colours are teachers, grey no teacher; lines are `selections`.
    """
    measures = {"validation_best": "highest on the way", "validation_last": "final"}
    table = table[table["selection"].isin(selections)]
    figure, panels = _panels(table, datasets, "student's validation accuracy [%]", 3.6, sharey="row")
    for row, of in panels:
        others = sorted(set(of["training"]) - {"equal", "none"})
        sizes = sorted(of["examples"].unique())
        for axis, (value, measure) in zip(row, measures.items(), strict=True):
            for (training, teacher, selection), lines in of.groupby(["training", "teacher", "selection"], sort=False):
                label, colour = _teacher(training, teacher)
                label += f", {SELECTIONS[selection]}"
                colour = RETRAINED[others.index(training)] if training in others else colour
                options = {"marker": "o", "markersize": 3.5, "label": label, "shade": 0.15}
                _band(axis, lines, "examples", value, SELECTION_STYLES[selection], colour, 100, **options)
            axis.set(xscale="log", title=f"{_title(of)}\n{measure}", xlabel="examples a class")
            axis.set_xticks(sizes, [f"{n:g}" for n in sizes], fontsize="small")
            axis.minorticks_off()
    _legend_below(figure, figure.axes, 2, "teacher, examples")
    return figure


def learning_curves(curves: pd.DataFrame, datasets: list[str], examples: tuple[int, ...], selection: str) -> Figure:
    """Students' validation accuracy against optimiser steps, a line style for each number of examples a class."""
    curves = curves[curves["selection"] == selection]
    figure, panels = _panels(curves, datasets, "student's validation accuracy [%]")
    for axis, of in panels:
        for n, style in zip((n for n in examples if n in set(of["examples"])), ("-", "--", ":"), strict=False):
            for teacher, lines in of[of["examples"] == n].groupby("teacher", sort=False):
                options = {"label": f"{CONTROLS.get(teacher, teacher)}, {n}", "linewidth": 1.5, "shade": 0.15}
                _band(axis, lines, "step", "validation", style, COLOURS.get(teacher, "0.45"), 100, **options)
        axis.set(title=_title(of), xlabel="optimiser steps")
    _legend_below(figure, figure.axes, 3, "teacher, examples a class")
    return figure


# ---------------------------------------------------------------- section 5: the sweep, single-layer students, a search


def sweep_curves(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 6: mean entropy against T for each batch size at the last epoch, and for each epoch at batch size 4096.

    From records "response" of the group "sweep", `records.with_cells`. Where 4096 was not tried, the right panel has the
    largest batch size.
    """
    label = "mean entropy [nats]\n(dashed: uniform, ln 10)"
    figure, pairs = _panels(table[table["split"] == "test"], datasets, label, 3.9, sharey=True)
    for row, of in pairs:
        last, size = of["epoch"].max(), 4096 if 4096 in set(of["batch"]) else of["batch"].max()
        panels = (
            ("batch", of[of["epoch"] == last], f"batch sizes at epoch {last}", "batch size"),
            ("epoch", of[of["batch"] == size], f"epochs at batch size {size}", "epochs"),
        )
        for axis, (by, rows, what, legend) in zip(row, panels, strict=True):
            values = sorted(rows[by].unique())
            for value, colour in zip(values, sns.color_palette("viridis", len(values)), strict=True):
                lines = rows[rows[by] == value]
                _band(axis, lines, "temperature", "entropy", "-o", colour, markersize=4, label=f"{value}")
            _entropy_axis(axis, f"{_title(of)}\n{what}", rows["temperature"])
            axis.legend(title=legend, fontsize="x-small", ncols=2, loc="lower right")
    return figure


def sweep_by_steps(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 6's teachers against their optimiser steps: entropy at T = 9, and the single-layer student's accuracy.

    `table` is `guides.with_steps`; a line for each batch size. If steps alone counted, the lines would lie on each other.
    """
    panels = (("entropy", 1, "mean entropy at T = 9 [nats]"), ("single_layer", 100, "student's accuracy [%]"))
    figure, pairs = _panels(table, datasets, "", 3.6)
    for row, of in pairs:
        sizes = sorted(of["batch"].unique())
        for axis, (value, scale, label) in zip(row, panels, strict=True):
            for size, colour in zip(sizes, sns.color_palette("viridis", len(sizes)), strict=True):
                lines = of[(of["batch"] == size) & of[value].notna()]
                _band(axis, lines, "steps", value, "-o", colour, scale, markersize=4, label=f"{size}")
            axis.set(title=_title(of), xlabel="the teacher's optimiser steps", ylabel=label, xscale="log")
        row[0].legend(title="batch size", fontsize="x-small", ncols=2, loc="best")
    return figure


def sweet_spot_maps(
    response: pd.DataFrame, students: pd.DataFrame, controls: pd.DataFrame, datasets: list[str]
) -> Figure:
    """Figure 1 a, measured: batch sizes by epochs; the large teacher's entropy, and its student's accuracy.

    From records "response" of the group "sweep" and "baseline" of the group "sweet_spot", each `records.with_cells`, on
    validation images; a frame marks the student's best. Of `controls`, records "baseline", what a student of hard labels
    alone reaches is in the title.
    """
    datasets = _recorded(students, datasets)
    figure, axes = _grid(len(datasets), 3.0, 9.5)
    response = response[(response["split"] == "validation") & (response["temperature"] == 9)]
    panels = (
        (response, "entropy", 1, "large teacher's entropy, T = 9 [nats]", ".2f"),
        (students, "validation_last", 100, "single-layer student's accuracy [%]", ".1f"),
    )
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, (table, value, scale, what, form) in zip(row, panels, strict=True):
            of = table[table["dataset"] == dataset]
            if of.empty:
                not_yet(f"{TITLES[dataset]}\n{what}", axis)
                continue
            grid = scale * of.pivot_table(index="batch", columns="epoch", values=value)
            ends = {"vmin": 0, "vmax": np.log(10)} if table is response else {}  # the same colours in every map
            if table is students:
                alone = controls.merge(of[["dataset", "profile"]].drop_duplicates()).query("teacher == 'none'")
                what += f"\n(from hard labels alone: {scale * alone[value].mean():.1f})" if len(alone) else ""
            labels = {"title": f"{_title(of)}\n{what}", "xlabel": "epochs", "ylabel": "batch size"}
            _heatmap(axis, grid, form, 9, labels, **ends)
            if table is students:
                best = np.unravel_index(np.nanargmax(grid.to_numpy(float)), grid.shape)
                axis.add_patch(plt.Rectangle(best[::-1], 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    return figure


def baseline_students(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 9: single-layer students' test accuracy against T, from small, large and retrained large teachers.

    From records "baseline"; the two controls are grey.
    """
    figure, panels = _panels(table, datasets, "single-layer student's\ntest accuracy [%]")
    for axis, of in panels:
        for (training, teacher), lines in of.groupby(["training", "teacher"], sort=False):
            label, colour = _teacher(training, teacher)
            if teacher == "none":  # has no temperature
                axis.axhline(100 * lines["accuracy"].mean(), color=colour, linestyle="--", label=label)
                continue
            style = ":s" if teacher == "uniform" else "-o"
            _band(axis, lines, "temperature", "accuracy", style, colour, 100, label=label, markersize=5)
        ticks = of.loc[of["teacher"] != "none", "temperature"]
        axis.set(title=_title(of), xlabel="temperature T", xticks=sorted(ticks.unique()))
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.27), ncols=2)
    return figure


def baseline_table(table: pd.DataFrame, value: str, caption: str, name: str) -> Table:
    """Single-layer students' accuracies in percent by teacher and temperature; hard labels alone have none."""
    table = table.assign(teacher=[_teacher(*pair)[0] for pair in zip(table["training"], table["teacher"], strict=True)])
    alone = table["teacher"] == CONTROLS["none"]
    temperatures = sorted(table.loc[~alone, "temperature"].unique())
    table = pd.concat([table[~alone], *(table[alone].assign(temperature=t) for t in temperatures)])
    return pivoted(table, ["data", "teacher"], "temperature", value, 100, "{:.1f}", caption, name)


def pivoted(
    table: pd.DataFrame, index: list[str], columns: str, value: str, scale: float, form: str, caption: str, name: str
) -> Table:
    """Means over seeds of one value as a table: `columns` across, the other keys down."""
    table = table.assign(data=list(map(title, table["dataset"], table["profile"])))
    order = {column: table[column].drop_duplicates() for column in index}
    order |= {column: sorted(of) for column, of in order.items() if pd.api.types.is_numeric_dtype(of)}
    wide = scale * table.pivot_table(index=index, columns=columns, values=value)
    wide = wide.reindex([k for k in itertools.product(*order.values()) if k in wide.index])
    cells = wide.map(form.format, na_action="ignore").fillna("–").reset_index()
    cells.columns = [f"{c:g}" if isinstance(c, float | int) else str(c) for c in cells.columns]
    return Table(cells, caption, name)


def sweet_spot_map(cells: pd.DataFrame, title: str = "") -> Figure:
    """Figure 1 a, measured by a search: students' quality left, the teacher's own accuracy right.

    `cells` is `SweetSpot.cells`, or records "sweetspot" of one search. Epochs across, batch sizes up, both in equal steps; a
    field is blank where a batch size was stopped. Lines are the response's mean entropy in nats. The star is the
    recommended cell, rings are those within noise of it, dots all others that were distilled in full. Left are full
    distillations where all cells have one, else probes; the two lines on the scale are the controls.
    """
    taught = cells[cells["response"] == "teacher"]
    if taught.empty:
        return not_yet(title)
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True)
    sizes, epochs = sorted(taught["batch_size"].unique()), sorted(taught["epochs"].unique())
    grid = lambda value: taught.pivot_table(index="batch_size", columns="epochs", values=value).reindex(
        index=sizes, columns=epochs
    )
    measure, what = ("probe", "short probes'") if taught["full"].isna().any() else ("full", "students'")
    panels = ((measure, f"{what} accuracy [%]"), ("teacher_accuracy", "teacher's own accuracy [%]"))
    controls, entropy = cells[cells["response"] != "teacher"].set_index("response")[measure], grid("entropy")
    for axis, (value, label) in zip(axes, panels, strict=True):
        image = axis.imshow(100 * grid(value), cmap="viridis", origin="lower", aspect="auto")
        if value == measure:  # the scale must hold the controls, which are lines on it
            low = min(image.norm.vmin, 100 * controls.min())
            high = max(image.norm.vmax, 100 * controls.max())
            image.set_clim(low - 0.03 * (high - low), high + 0.03 * (high - low))
        bar = figure.colorbar(image, ax=axis, location="top", label=label)
        if value == measure:
            for control, line in zip(controls.index, ("-", ":"), strict=True):
                bar.ax.axvline(100 * controls[control], color="#D55E00", linestyle=line, linewidth=2.5)
                axes[0].plot([], [], line, color="#D55E00", label=CONTROLS.get(control, control + " alone"))
        if min(entropy.shape) > 1:
            lines = axis.contour(np.ma.masked_invalid(entropy), 6, colors="white", linewidths=1)
            edged = [withStroke(linewidth=2, foreground="0.25")]  # white alone is lost on yellow
            lines.set_path_effects(edged)
            for label in axis.clabel(lines, fmt="%.2f", fontsize="x-small"):
                label.set_path_effects(edged)
        axis.set_xticks(range(len(epochs)), [f"{e}" for e in epochs], fontsize="x-small")
        axis.set_yticks(range(len(sizes)), [f"{b}" for b in sizes])
        axis.set_xlabel("teacher's epochs")
        axis.grid(False)
    axes[0].set_ylabel("teacher's batch size")
    styles: dict[str, dict[str, Any]] = {
        "behind": {"marker": ".", "color": "#D55E00"},
        "within noise": {"marker": "o", "facecolors": "none", "edgecolors": "#D55E00", "s": 70, "linewidths": 1.8},
        "recommended": {"marker": "*", "color": "#D55E00", "edgecolors": "white", "s": 230},
    }
    for status, style in styles.items():
        of = taught[taught["status"] == status]
        if len(of):
            place = of["epochs"].map(epochs.index), of["batch_size"].map(sizes.index)
            axes[0].scatter(*place, label=status, zorder=3, **style)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
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
    """Rank correlations of guides with what students learn, with intervals.

    `tables` is from an outcome's name to `guides.rank_correlations` of it, at one temperature. An open mark has no
    interval: too few runs.
    """
    table = pd.concat([of.assign(outcome=outcome) for outcome, of in tables.items()])
    figure, panels = _panels(table, datasets, "")
    for n, (axis, of) in enumerate(panels):
        names = list(of["guide"].unique())
        for m, outcome in enumerate(tables):
            rows = of[of["outcome"] == outcome]
            height = rows["guide"].map(names.index) + 0.3 * (m - (len(tables) - 1) / 2)
            colour = ("0.15", RETRAINED[1])[m]
            axis.hlines(height, rows["low"], rows["high"], color=colour, linewidth=2)
            face = np.where(rows["low"].isna(), "none", colour)
            axis.scatter(rows["correlation"], height, facecolors=face, edgecolors=colour, label=outcome, zorder=3)
        axis.axvline(0, color="0.5", linewidth=1)
        axis.set(xlim=(-1.05, 1.05), xlabel="rank correlation", title=_title(of))
        labels = [GUIDE_NAMES.get(g, g) for g in names] if n % 2 == 0 else []
        axis.set_yticks(range(len(names)), labels, fontsize="small")
        axis.invert_yaxis()
    _legend_below(figure, figure.axes, 2)
    return figure


# ---------------------------------------------------------------- sections 1 to 3 and 6: responses, networks, verdicts


def temperature_effect(table: pd.DataFrame, temperatures: list[float]) -> Figure:
    """Section 2: images' mean confidence label and entropy against temperature, for each teacher.

    `table` has `teacher`, `temperature`, `confidence` and `entropy`; `temperatures` are those to mark on the axis.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4))
    panels = (
        ("confidence", 0.1, {"ylabel": "confidence label (dashed: 1/10)", "ylim": (0, 1.03)}),
        ("entropy", np.log(10), {"ylabel": "entropy [nats] (dashed: ln 10)", "ylim": ENTROPIES}),
    )
    for axis, (value, uniform, labels) in zip(axes, panels, strict=True):
        if table.empty:
            not_yet("", axis)
            continue
        for teacher, of in table.groupby("teacher", sort=False):
            axis.plot(of["temperature"], of[value], color=COLOURS[teacher], label=f"{teacher} teacher")
        axis.axhline(uniform, color="0.5", linewidth=1, linestyle="--")
        axis.set(xlabel="temperature T", xticks=temperatures, **labels)
        axis.legend()
    return figure


def measured_responses(soft: pd.DataFrame, smoothing: list[float]) -> Figure:
    """Figure 1 b and c, measured: one image's soft labels from each teacher, and label smoothing's (Table 1).

    `soft` is records "soft_labels" of one data set and training.
    """
    first = soft[(soft["seed"] == 0) & (soft["example"] == 0)]
    panels = [(f"{t} teacher, T = 9", first[first["teacher"] == t]["probability"], COLOURS[t]) for t in TEACHERS]
    panels.append(("label smoothing", pd.Series(smoothing), "0.5"))
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.0), sharey=True)
    for axis, (what, values, colour) in zip(axes, panels, strict=True):
        if values.empty:
            not_yet(what, axis)
            continue
        axis.bar(range(len(values)), values, color=colour)
        axis.set(title=what, xlabel="class", xticks=range(len(values)))
        axis.grid(axis="x", visible=False)
    axes[0].set_ylabel("soft label")
    return figure


def images(table: pd.DataFrame) -> Figure:
    """The recorded images side by side, with their place in the test set."""
    if table.empty:
        return not_yet("images")
    figure, axes = plt.subplots(1, len(table), figsize=(1.5 * len(table), 1.9), squeeze=False)
    for axis, image in zip(axes[0], table.itertuples(), strict=True):
        pixels = np.frombuffer(bytes.fromhex(image.pixels), np.uint8).reshape(image.channels, image.height, image.width)
        axis.imshow(pixels.transpose(1, 2, 0), cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(f"no. {image.index}", fontsize="small")
        axis.set_xticks([]), axis.set_yticks([])
    return figure


def soft_label_table(ours: pd.DataFrame, published: pd.DataFrame, teacher: str, caption: str) -> Table:
    """Tables 2-3: soft labels of five images, published rows first, then ours; the confidence label is bold."""
    rows = []
    for source, block in _soft_labels(ours[ours["seed"] == 0], published, teacher):
        for example, row in block.pivot(index="example", columns="class", values="probability").iterrows():
            cells = {str(c): f"**{p:.3f}**" if c == EXAMPLE_CLASS else f"{p:.3f}" for c, p in row.items()}
            rows.append({"source": source, "image": f"{example + 1}", **cells})
    return Table(pd.DataFrame(rows), caption, f"soft-labels-{teacher}")


def soft_label_summary(ours: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Mean entropy and confidence label of the five images of Tables 2-3, each row scaled to sum to one."""
    rows = []
    for teacher in TEACHERS:
        for source, of in _soft_labels(ours, published, teacher):
            p = of.assign(seed=of.get("seed", 0))
            p = p.pivot(index=["seed", "example"], columns="class", values="probability")
            p = p.div(p.sum(axis=1), axis=0)
            entropy = -(p * np.log(p)).sum(axis=1).mean()
            rows.append((teacher, source, f"{entropy:.2f}", f"{p[EXAMPLE_CLASS].mean():.2f}"))
    columns = ["teacher", "source", "mean entropy [nats]", "confidence label"]
    return Table(pd.DataFrame(rows, columns=columns), "The five images in two numbers", "soft-labels-summary")


def _soft_labels(ours: pd.DataFrame, published: pd.DataFrame, teacher: str) -> list[tuple[str, pd.DataFrame]]:
    """One teacher's soft labels by source: published, where there are any, and ours under each training."""
    blocks = [("published", published[published["source"] == teacher])] if len(published) else []
    mine = ours[ours["teacher"] == teacher].groupby("training", sort=False)
    return blocks + [(f"ours, {training}", of) for training, of in mine]


def variance_table(recorded: pd.DataFrame, published_ratios: pd.DataFrame, caption: str, name: str) -> Table:
    """Ratios large / small of each variance in response; one column a source."""
    table = published_ratios.copy()
    at_nine = recorded[(recorded["split"] == "test") & (recorded["temperature"] == 9)]
    for (dataset, training), of in at_nine.groupby(["dataset", "training"], sort=False):
        means = of.groupby("teacher")[list(table.index)].mean()
        table[f"{TITLES[dataset]}, {training}"] = means.loc["large"] / means.loc["small"]
    return Table(table.map("{:.2f}".format).reset_index(names="variance"), caption, name)


SPECTRUM = {
    ("label smoothing", "uniform"): ("label smoothing (T = 1)", "X", "0.4"),
    ("capacity", "baseline"): ("single layer", "v", "#E69F00"),
    ("capacity", "student"): ("student's network", "^", "#009E73"),
    ("equal", "small"): ("small teacher", "o", COLOURS["small"]),
    ("equal", "large"): ("large teacher", "s", COLOURS["large"]),
}
COUNTERFEIT_LETTERS = dict(zip(COUNTERFEITS, string.ascii_lowercase))
SPECTRUM |= {
    (kind, teacher): (f"{teacher} teacher's, {COUNTERFEIT_NAMES[kind]} ({letter})", *SPECTRUM["equal", teacher][1:])
    for teacher, (kind, letter) in itertools.product(TEACHERS, COUNTERFEIT_LETTERS.items())
}


def spectrum_table(response: pd.DataFrame, missing: pd.DataFrame) -> pd.DataFrame:
    """Each response's entropy and variance at T = 9 beside what its students know of a class they never saw.

    `missing` is `Study.spectrum`, with `Study.with_counterfeits` or without. `low` and `high` are the range of
    `accuracy_missing` over seeds. Label smoothing's numbers are exact: its response is Table 1's, the same for each
    image of a class.
    """
    at_nine = response[(response["split"] == "test") & (response["temperature"] == 9)]
    keys = ["dataset", "profile", "training", "teacher"]
    table = missing.groupby(keys, sort=False)[["accuracy_missing", "accuracy"]].mean()
    per_seed = missing.groupby([*keys, "seed"])["accuracy_missing"].mean().groupby(keys)
    table = table.assign(low=per_seed.min(), high=per_seed.max())
    at_nine = at_nine.merge(missing[[*keys, "seed"]].drop_duplicates())  # what these students learned from alone
    measured = at_nine.groupby(keys)[["entropy", "column_normalised"]].mean()
    table = table.join(measured).rename(columns={"column_normalised": "variance"}).reset_index()
    smooth = label_smoothing_targets(torch.tensor([0]), 10, ALPHA_LS)[0].numpy()
    table.loc[table["teacher"] == "uniform", ["entropy", "variance"]] = [-(smooth * np.log(smooth)).sum(), 0.0]
    return table


def _counterfeit_marks(axis: plt.Axes, of: pd.DataFrame, x: str, y: str, lane: float, apart: float) -> None:
    """Hollow marks for counterfeits, in their teacher's shape and colour, and a dotted line from its own to the permuted one.

    Their letters stand below `lane`, in a line for each teacher; marks less than `apart` of the axis apart share a place.
    """
    apart *= np.diff(axis.get_xlim()).item()
    for line, teacher in enumerate(TEACHERS):
        _, marker, colour = SPECTRUM["equal", teacher]
        mine = of[of["teacher"] == teacher]
        joined = mine[mine["training"].isin(["equal", "permuted"])]
        fakes = mine[mine["training"].isin(COUNTERFEIT_LETTERS)].sort_values(x)
        axis.plot(joined[x], joined[y], ":", color=colour, linewidth=1.2, zorder=1)
        axis.plot(fakes[x], fakes[y], marker, color=colour, markersize=8, markerfacecolor="none", markeredgewidth=1.5)
        for _, near in fakes.groupby((fakes[x].diff() > apart).cumsum()):
            letters = "".join(sorted(near["training"].map(COUNTERFEIT_LETTERS)))
            where = {"xytext": (0, -6 - 11 * line), "textcoords": "offset points", "ha": "center", "va": "top"}
            axis.annotate(letters, (near[x].mean(), lane), color=colour, weight="bold", **where)
    if of["training"].isin(COUNTERFEIT_LETTERS).any():  # for the legend
        key = {"color": "0.3", "linestyle": "none", "markersize": 8}
        axis.plot([], [], "o", markerfacecolor="none", label="hollow: a teacher's counterfeit", **key)
        for kind, letter in COUNTERFEIT_LETTERS.items():
            axis.plot([], [], label=f"{letter}: {COUNTERFEIT_NAMES[kind]}", **key)


def spectrum(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 2, measured: accuracy on the missing class against entropy (left) and variance of similarity labels.

    `table` is of `spectrum_table`.
    """
    table = table.assign(variance=1000 * table["variance"], conveyed=100 * table["accuracy_missing"])
    figure, panels = _panels(table, datasets, "students' accuracy on\na class never seen [%]", 3.8, sharey="row")
    names = {
        "entropy": "mean entropy at T = 9 [nats]",
        "variance": "column-wise variance of scaled\nsimilarity labels [1/1000]",
    }
    for row, of in panels:
        genuine = of[~of["training"].isin(COUNTERFEIT_LETTERS)]
        for axis, (value, name) in zip(row, names.items(), strict=True):
            for point in genuine.itertuples():
                label, marker, colour = SPECTRUM[point.training, point.teacher]
                where = (getattr(point, value), point.conveyed)
                axis.plot(*where, marker, color=colour, markersize=9, linestyle="none", label=label)
                axis.vlines(where[0], 100 * point.low, 100 * point.high, color=colour)
            # Below 0 there is room for letters.
            axis.set(xlabel=name, title=_title(of), ylim=(-25, 105), yticks=range(0, 101, 20))
            _counterfeit_marks(axis, of, value, "conveyed", 0, 0.055)
        row[1].set_xlim(left=-0.05 * of["variance"].max())
    _legend_below(figure, figure.axes, 2, "soft labels from")
    return figure


def entropy_lines(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Figure 10 in entropies: where each kind of soft label lies between one-hot (0) and uniform (ln 10).

    `table` is of `spectrum_table`; a line a data set, from the top, with the counterfeits below it.
    """
    datasets = _recorded(table, datasets)
    figure, axis = plt.subplots(figsize=(8.5, 2.6 + 1.1 * len(datasets)))
    titles = []
    axis.set_xlim(-0.12, 1.05 * np.log(10))
    for height, dataset in enumerate(reversed(datasets)):
        of = table[table["dataset"] == dataset]
        fake = of["training"].isin(COUNTERFEIT_LETTERS)
        axis.axhline(height, color="0.6", linewidth=1, zorder=0)
        titles.append(_title(of).replace(" (", "\n(") if len(of) else f"{TITLES[dataset]}\n{NOT_YET}")
        for point in of[~fake].itertuples():
            name, marker, colour = SPECTRUM[point.training, point.teacher]
            axis.plot(point.entropy, height, marker, color=colour, markersize=11, linestyle="none", label=name)
        below = height - 0.3
        _counterfeit_marks(axis, of.assign(height=np.where(fake, below, height)), "entropy", "height", below, 0.027)
    for value, name in ((0.0, "one-hot"), (np.log(10), "uniform: ln 10")):
        axis.axvline(value, color="0.5", linestyle="--", linewidth=1)
        axis.annotate(name, (value, len(datasets) - 0.5), ha="center", va="bottom", fontsize="small", color="0.4")
    axis.set(xlabel="mean entropy of the soft labels at T = 9 [nats]", ylim=(-0.75, len(datasets) - 0.5))
    axis.set_yticks(range(len(datasets)), titles)
    axis.grid(axis="y", visible=False)
    _legend_below(figure, [axis], 2, "soft labels from")
    return figure


def networks_table(networks: pd.DataFrame, caption: str, name: str) -> Table:
    """Table 7, with what each network costs and how many times larger a student's teachers are."""
    columns: dict[str, Any] = {
        "data": "{data}",
        "network": "{role}",
        "layers, as printed": "{conv} conv, {dense} dense",
    }
    columns |= {"published": "{published:,}", "ours": "{ours:,}", "multiply-adds": "{multiply_adds:,}"}
    columns |= {"MB": "{megabytes:.2f}"}
    for t in TEACHERS:
        ratios = f"{{0.parameters_of_{t}:,.0f}}×, {{0.multiply_adds_of_{t}:,.0f}}×"
        times = lambda row, ratios=ratios: ratios.format(row) if row.role.startswith("student") else ""
        columns[f"{t} teacher: parameters, multiply-adds"] = times
    return formatted(networks, columns, caption, name)


def verdict_table(verdicts: pd.DataFrame, caption: str, name: str) -> Table:
    """Claims and verdicts (`Study.verdicts`), with estimate, 95 % interval and number of seeds; each claim is said once.

    A claim's section in the paper leads to the page of the book that shows it, from a page beside that one.
    """
    rows = []
    for statement, of in verdicts.groupby("statement", sort=False):
        section, page = of[["section", "page"]].iloc[0]
        claim = itertools.chain([f"{statement} ([{section}]({page}.ipynb))"], itertools.repeat(""))
        done = of["verdict"] != NOT_YET
        for v in of[done].itertuples():
            verdict = f"**{v.verdict}**" + _reservation(v)
            estimate = f"{_estimate(v, f' {v.unit}')} ({v.what})" + _in_print(v)
            rows.append([next(claim), TITLES[v.dataset], verdict, estimate, v.seeds, v.detail])
        if not done.all():
            rows.append([next(claim), ", ".join(of.loc[~done, "dataset"].map(TITLES)), NOT_YET, "", "", ""])
    return Table(pd.DataFrame(rows, columns=["claim", "data", "verdict", "estimate", "seeds", "detail"]), caption, name)


def bounded(ratios: pd.DataFrame) -> pd.Series:
    """The ratios of `claims.examples_ratio` as cells of a table, bounds marked as such."""
    return ratios["bound"].map({"": "", "at least": "≥\u00a0", "at most": "≤\u00a0"}) + ratios["ratio"].map(
        "{:.1f}".format
    )


def verdict_matrix(verdicts: pd.DataFrame) -> Table:
    """Claims by data sets: each verdict with its estimate and interval; one row a claim."""
    rows = []
    for (statement, section), of in verdicts.groupby(["statement", "section"], sort=False):
        unit, _, _ = str(of["unit"].bfill().iloc[0]).partition(" (")  # what is in brackets differs between data sets
        row = {"claim": f"{statement} ({section})", "estimate": f"{of['what'].iloc[0]}, {unit}"}
        for v in of.itertuples():
            cell = f"**{v.verdict}**"
            if pd.notna(v.estimate):
                cell += f"{_reservation(v)}: {_estimate(v, v.unit.removeprefix(unit))}"
                cell += f", {v.seeds} seed{'s' * (v.seeds > 1)}" if pd.isna(v.low) else ""
                cell += _in_print(v)
            row[TITLES[v.dataset]] = cell
        rows.append(row)
    return Table(pd.DataFrame(rows).fillna("–"), "Verdicts, with the estimate that decides", "verdicts")


def _form(verdict: Any) -> str:
    """How a verdict's numbers are written; differences have a sign."""
    places = {"points": 1, "nats": 3, "within/between scatter": 3}.get(verdict.unit, 2)
    return "{:.2f}" if verdict.unit.startswith("times") else f"{{:+.{places}f}}"


def _estimate(verdict: Any, unit: str) -> str:
    """A verdict's estimate with this after it, and its interval where there is one."""
    form = _form(verdict)
    if verdict.low == verdict.high:  # ranks of a few networks: seeds that agree are no interval
        return f"{form.format(verdict.estimate)}{unit}, on each of {verdict.seeds} seeds"
    return ranged(verdict.estimate, verdict.low, verdict.high, form, unit)


def _in_print(verdict: Any) -> str:
    """The paper's number after a verdict's, where it gives one."""
    form = "{:g}" if verdict.unit.startswith("times") else _form(verdict)
    return "" if pd.isna(verdict.published) else f"; published {form.format(verdict.published)}"


def _reservation(verdict: Any) -> str:
    """What keeps a verdict from being final."""
    return " (indicative)" if verdict.profile != "paper" else " (provisional)" if verdict.seeds < 3 else ""


# ---------------------------------------------------------------- what decides it


def counterfeits(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """Accuracy on the missing class from own and counterfeit responses at T = 9; hatched: its output bias at its best.

    `table` is `Study.variations`, of which the topic "counterfeit" and the variation "equal" are drawn.
    """
    kinds = {"equal": "own"} | {kind: name.replace(" ", "\n", 1) for kind, name in COUNTERFEIT_NAMES.items()}
    table = table[(table["temperature"] == 9) & table["training"].isin(kinds)]
    known = table.loc[table["topic"] == "counterfeit", "dataset"]
    figure, panels = _panels(table[table["dataset"].isin(known)], datasets, "accuracy on the missing class [%]")
    for axis, rows in panels:
        for side, (teacher, colour) in zip((-0.2, 0.2), COLOURS.items(), strict=True):
            of = rows[rows["teacher"] == teacher].drop_duplicates("training").set_index("training").reindex(kinds)
            place, hatched = np.arange(len(kinds)) + side, {"edgecolor": colour, "hatch": "////", "linewidth": 0.8}
            axis.bar(place, 100 * of["missing_biased"], 0.36, color="none", **hatched)
            axis.bar(place, 100 * of["missing"], 0.36, color=colour)
        axis.set(title=_title(rows), ylim=(0, 105), xticks=range(len(kinds)))
        axis.set_xticklabels(kinds.values(), fontsize="small")
        axis.grid(False, axis="x")
    handles = [Patch(color=colour, label=f"{teacher} teacher") for teacher, colour in COLOURS.items()]
    handles.append(Patch(facecolor="none", edgecolor="0.3", hatch="////", label="its output bias at its best"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def suppression(rows: pd.DataFrame, published: pd.DataFrame, datasets: list[str]) -> Figure:
    """What students name of a class they never saw, in print and here, and what they know of it, at T = 9.

    Parameters
    ----------
    rows : DataFrame
        `variations.named_and_known`.
    published : DataFrame
        Tables 4-6.
    datasets : list of str
        The order of the panels.
    """
    printed = (
        published[published["temperature"] == TABLE_TEMPERATURE].groupby(["dataset", "teacher"])["accuracy"].mean()
    )
    bars = {"in print": "named,\nin print", "named": "named,\nhere", "known": "bias at\nits best"}
    bars |= {"told_nothing": "the same,\ntold nothing"}
    figure, panels = _panels(rows[rows["training"] == "equal"], datasets, "accuracy on the missing class [%]")
    for axis, of in panels:
        of = of.assign(**{"in print": [printed.get((of["dataset"].iloc[0], t), np.nan) for t in of["teacher"]]})
        for side, (teacher, colour) in zip((-0.2, 0.2), COLOURS.items(), strict=True):
            seeds = of.loc[of["teacher"] == teacher, [*bars]]
            for place, (bar, values) in enumerate(seeds.items()):
                style: dict[str, Any] = {"color": colour, "alpha": 0.45 if bar == "in print" else 1}
                if bar in ("known", "told_nothing"):
                    style = {"color": "none", "edgecolor": colour, "hatch": "////"}
                mean, low, high = values.mean(), values.min(), values.max()
                error = [[mean - low], [high - mean]] if values.nunique() > 1 else None
                axis.bar(place + side, mean, 0.36, yerr=error, error_kw={"ecolor": "0.3", "lw": 1}, **style)
                if not np.isnan(mean):
                    where = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center", "fontsize": "x-small"}
                    axis.annotate(f"{mean:.0f}", (place + side, high), **where)
        count = of["seed"].nunique()
        axis.set(title=f"{_title(of)}, {count} seed{'s' * (count > 1)}", ylim=(0, 110), xticks=range(len(bars)))
        axis.set_xticklabels(bars.values(), fontsize="small")
        axis.grid(False, axis="x")
    handles = [Patch(color=colour, label=f"{teacher} teacher") for teacher, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def suppression_table(rows: pd.DataFrame, caption: str, name: str) -> Table:
    """A line a data set and teacher of `variations.named_and_known`, and for two trained alike one for their difference.

    *Learned*: of the images that students who were told nothing do not name, the share by which theirs are more.
    """
    rows = rows.assign(above=rows["known"] - rows["told_nothing"])
    rows["learned"] = 100 * rows["above"] / (100 - rows["told_nothing"])
    values, lines = ["named", "known", "told_nothing", "above", "learned"], []
    for (dataset, profile, training), of in rows.groupby(["dataset", "profile", "training"], sort=False):
        each = {t: of[of["teacher"] == t].set_index("seed")[values] for t in TEACHERS if t in set(of["teacher"])}
        if len(each) == 2:
            each["small minus large"] = (each["small"] - each["large"]).dropna()
        of_it = "" if training == "equal" else f", {training.replace('x', ' × ')}"
        for teacher, seeds in each.items():
            line = {"dataset": dataset, "profile": profile, "teacher": teacher + of_it, "seeds": len(seeds)}
            lines.append(line | seeds.mean().to_dict())
    shown = lambda row: title(row.dataset, row.profile)
    columns: dict[str, Any] = {
        "data": shown,
        "teacher": "{teacher}",
        "as named": "{named:.1f}",
        "bias at its best": "{known:.1f}",
    }
    columns |= {"the same, told nothing": "{told_nothing:.1f}", "above that": "{above:.1f}", "learned": "{learned:.0f}"}
    return formatted(pd.DataFrame(lines), columns | {"seeds": "{seeds}"}, caption, name)


def ladder(table: pd.DataFrame, dataset: str) -> Figure:
    """What a missing class's students learn, against the teacher's size and its response's entropy and variance, at T = 9.

    Of `table`, `Study.variations`, those of the teacher's network and of its training's length are drawn.
    """
    topics = ("as in Tables 4-6", "network", "length")
    rows = table[(table["dataset"] == dataset) & (table["temperature"] == 9) & table["topic"].isin(topics)]
    if len(rows) < 3:
        return not_yet(TITLES[dataset])
    figure, grid = plt.subplots(2, 2, figsize=(8.5, 7.4), sharey=True)
    axes = grid.flat[:3]
    rows = rows.assign(variance=1000 * rows["variance"])
    heads = ((rows["hidden"] > 0, "s", "hidden dense layers"), (rows["hidden"] <= 0, "o", "none hidden"))
    columns = {"parameters": "teacher's parameters", "entropy": "entropy [nats]"}
    columns |= {"variance": "variance of its scaled\nsimilarity labels [1/1000]"}
    for axis, (column, label) in zip(axes, columns.items(), strict=True):
        for (chosen, marker, head), teacher in itertools.product(heads, TEACHERS):
            of = rows[chosen & (rows["teacher"] == teacher)]
            style = {"marker": marker, "color": COLOURS[teacher], "s": 50, "alpha": 0.85}
            axis.scatter(of[column], 100 * of["missing"], label=f"{teacher}, {head}" if len(of) else None, **style)
        axis.set(xlabel=label, ylim=(-3, 103))
        if column != "entropy":
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
    axes[2].set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    for first in grid[:, 0]:
        first.set_ylabel("accuracy on the missing class [%]")
    grid[1, 1].set_axis_off()
    grid[1, 1].legend(*axes[0].get_legend_handles_labels(), title="teacher's family, dense head", loc="center")
    return figure


def depths(rows: pd.DataFrame, datasets: list[str]) -> Figure:
    """What a missing class's students learn, and their teacher's entropy, against its number of layers.

    `rows` are those of `variations.by_depth`: a line for each number of hidden dense layers, and Table 7's two teachers.
    """
    figure, panels = _panels(rows, datasets, "students' accuracy on\na class never seen [%]", pairs=3.3)
    colours = dict(enumerate(sns.color_palette("viridis", 4)))
    for axes, of in panels:
        for axis, value, scale in zip(axes, ("missing", "entropy"), (100, 1), strict=True):
            for hidden, line in of[of["plain"]].groupby("hidden"):
                means = scale * line.groupby("layers")[value].mean()
                axis.plot(means.index, means, "-o", color=colours[hidden], label=f"hidden dense layers: {hidden}")
            for teacher in of[of["training"] == "equal"].itertuples():
                style = {"marker": "*", "markersize": 13, "color": COLOURS[teacher.teacher], "linestyle": ""}
                label = f"{teacher.teacher} teacher of Table 7"
                axis.plot([teacher.layers], [scale * getattr(teacher, value)], label=label, **style)
            axis.set(title=_title(of), xlabel="the teacher's layers")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_ylim(-4, 108)
        axes[1].set_ylabel("mean entropy at T = 9 [nats]")
    _legend_below(figure, figure.axes, 2)
    return figure


def training_lengths(table: pd.DataFrame, datasets: list[str]) -> Figure:
    """What the large teacher's students learn of a class they never saw, against its entropy at T = 9, as it is trained longer.

    Of `table`, `Study.variations`, the lengths of training at the usual rate are drawn, of one profile a data set: a line for
    each batch size, each mark with its number of epochs (but for the largest of three), and the small teacher beside them.
    """

    def cell(row: Any) -> str:
        """A row's training as batch size and epochs, where it is one at the usual rate."""
        usual = trainings(PROFILES[row.profile], row.dataset)["equal"]["large"]
        lasting = f"{usual.epochs} epochs" if row.training == "equal" else row.training
        return re.sub(r"^(\d+) epochs$", rf"{usual.batch_size}x\1", lasting)

    topics = ("as in Tables 4-6", "length", "retraining")
    rows = table[(table["temperature"] == TABLE_TEMPERATURE) & table["topic"].isin(topics)]
    rows = rows[rows["profile"] == rows.groupby("dataset")["profile"].transform("max")]  # "paper", if it has any
    rows = rows[(rows["teacher"] == "large") | (rows["training"] == "equal")]
    rows = with_cells(rows.assign(training=[cell(row) for row in rows.itertuples()])).dropna(subset="epoch")
    figure, panels = _panels(rows, datasets, "students' accuracy on\na class never seen [%]", sharey=True)
    colours = itertools.cycle((COLOURS["large"], *RETRAINED))
    places = itertools.cycle(((4, -9), (-4, 6), (6, -3)))  # of the numbers, so that those of two lines seldom meet
    sizes = sorted(rows["batch"].unique())
    style, numbered = {size: (next(colours), next(places)) for size in sizes}, sizes[:2]
    for axis, of in panels:
        for teacher, each in of.groupby("teacher"):
            for size, line in each.sort_values("epoch").groupby("batch"):
                colour, offset = (COLOURS["small"], (4, 3)) if teacher == "small" else style[size]
                label = "small teacher" if teacher == "small" else f"large, batches of {size}"
                axis.plot(line["entropy"], 100 * line["missing"], "-o", color=colour, markersize=5, label=label)
                for point in line.itertuples() if size in numbered else ():
                    where = (point.entropy, 100 * point.missing)
                    axis.annotate(
                        f"{point.epoch}", where, offset, textcoords="offset points", fontsize="small", color=colour
                    )
        axis.set(xlabel="mean entropy at T = 9 [nats]", title=_title(of), ylim=(-4, 108))
    _legend_below(figure, figure.axes, 2)
    return figure


VARIATION_NAMES = {"equal": "as in Tables 4-6", "1 epochs": "1 epoch", "students, 1 epochs": "students, 1 epoch"}


def variations_table(rows: pd.DataFrame, caption: str, name: str, network: bool = True) -> Table:
    """One line a variation and teacher: the response, and what its students learned; percent, nats.

    Without `network`, the teacher's size and accuracy, which a counterfeit has not got of its own, are left out.
    """
    fractions = ["teacher_accuracy", "missing", "missing_biased"]
    rows = rows.assign(**100 * rows[fractions].astype(float), variance=1000 * rows["variance"])
    rows["training"] = rows["training"].replace(VARIATION_NAMES)
    shown = lambda row: title(row.dataset, row.profile)
    columns: dict[str, Any] = {"data": shown, "variation": "{training}", "teacher": "{teacher}"}
    columns |= {"missing class": "**{missing:.1f}**", "bias at its best": "{missing_biased:.1f}"}
    columns |= {"entropy": "{entropy:.2f}", "variance × 1000": "{variance:.2f}"}
    if network:
        columns |= {"its accuracy": "{teacher_accuracy:.1f}", "parameters": "{parameters:,}"}
    return formatted(rows, columns | {"seeds": "{seeds:.0f}"}, caption, name)


def matched_table(pairs: pd.DataFrame, caption: str, name: str) -> Table:
    """One line a pair of `variations.matched`: each teacher's training, what they are matched by, and what students learned."""
    forms = {"epochs": "{:.0f}", "accuracy": "{:.1%}", "entropy": "{:.2f} nats"}

    def teacher(row: Any, size: str) -> str:
        batch, epochs, value = (getattr(row, f"{of}_{size}") for of in ("batch_size", "epochs", row.by))
        return f"{batch:.0f} × {epochs:.0f}" + f" ({forms[row.by].format(value)})".replace("%", " %") * (
            row.by != "epochs"
        )

    percent = {f"named_{size}": 100 * pairs[f"missing_{size}"] for size in TEACHERS}
    rows = pairs.assign(**percent, between=percent["named_small"] - percent["named_large"])
    columns: dict[str, Any] = {"data": lambda row: title(row.dataset, row.profile), "matched by": "{by}"}
    columns |= {f"{size} teacher": lambda row, size=size: teacher(row, size) for size in TEACHERS}
    columns |= {f"missing class, {size}": f"{{named_{size}:.1f}}" for size in TEACHERS}
    return formatted(rows, columns | {"points between": "**{between:.1f}**", "seeds": "{seeds}"}, caption, name)


def contrast(rows: pd.DataFrame, what: str, caption: str, name: str) -> Table:
    """A line for each variation, headed `what`: accuracy on the missing class from each teacher, in percent.

    `rows` are those of `Study.variations` on a topic, at one temperature; a dash stands for a teacher that was not varied.
    """
    notes = {"missing": "", "missing_biased": ", bias at its best"}
    rows = rows.assign(data=list(map(title, rows["dataset"], rows["profile"])))
    rows[what] = rows["training"].replace(VARIATION_NAMES)
    wide = 100 * rows.pivot_table(index=["data", what], columns="teacher", values=list(notes), sort=False)
    wide = wide.reindex(columns=itertools.product(notes, TEACHERS)).map("{:.1f}".format, na_action="ignore").fillna("–")
    wide.columns = [teacher + notes[value] for value, teacher in wide.columns]
    return Table(wide.reset_index(), caption, name)


# ---------------------------------------------------------------- the systems of section 2

SYSTEM_COLOURS = {"Eq. 4": COLOURS["large"], "Eq. 4, small teacher": COLOURS["small"], "sweet spot": RETRAINED[0]}


def _system(row: Any) -> str:
    """The paper's own remedy stands out."""
    return f"**{row.system}**" if row.system == "sweet spot" else row.system


def related_gains(summary: pd.DataFrame, datasets: list[str]) -> Figure:
    """What each system adds to a student's test accuracy beside hard labels, with intervals, from `related.summary`."""
    if summary.empty:
        return not_yet(TITLES[datasets[0]])
    datasets = _recorded(summary, datasets)
    figure, axes = plt.subplots(1, len(datasets), figsize=(2.4 + 2.9 * len(datasets), 4.6), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        rows = summary[(summary["dataset"] == dataset) & (summary["system"] != "hard labels")]
        axis.axvline(0, color="0.5", linewidth=1, linestyle="--")
        for row in rows.itertuples():
            colour = SYSTEM_COLOURS.get(row.system, "0.35")
            axis.plot([100 * row.gain_low, 100 * row.gain_high], [row.system] * 2, color=colour, linewidth=2)
            axis.plot(100 * row.gain, row.system, "o", color=colour, markersize=6)
        axis.set(title=_title(rows), xlabel="gain over hard labels\n[percentage points]")
    axes[0, 0].invert_yaxis()
    return figure


def by_data_set(rows: pd.DataFrame, cell: Callable[[Any], str], caption: str, name: str) -> Table:
    """Systems by data sets."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows.itertuples():
        line = cells.setdefault(row.system, {"system": _system(row)})
        line[title(row.dataset, row.profile)] = cell(row)
    return Table(pd.DataFrame(cells.values()).fillna("–"), caption, name)


def related_overview(summary: pd.DataFrame, systems: tuple[str, ...], caption: str, name: str) -> Table:
    """Systems by data sets: the difference to Eq. 4 in points, with its interval, and the cost over Eq. 4's."""
    rows = summary.set_index("system")
    rows = rows.loc[[s for s in systems if s in rows.index]].reset_index()  # some may not be run yet
    return by_data_set(rows, lambda row: f"{points(row, 'over')} at {row.cost:.2f}×", caption, name)


def planned_table(planned: pd.DataFrame, caption: str, name: str) -> Table:
    """Systems by data sets: multiply-adds of all training, and over those of Eq. 4 (`related.planned`)."""
    planned = planned.assign(whole=(planned["teacher_multiply_adds"] + planned["student_multiply_adds"]) / 1e12)
    return by_data_set(
        planned, lambda row: f"{row.whole:{'.3g' if row.whole < 100 else ',.0f'}} at {row.cost:.2f}×", caption, name
    )


def related_table(summary: pd.DataFrame, name: str) -> Table:
    """One data set's systems: the setting that validation chose, test accuracy, differences and entropy."""
    others = {"none": "labels alone", "student": "its own copy"}
    wide = lambda teacher: re.sub(r"^student width\*(\d+)$", r"student \1 times as wide", teacher)
    source = lambda row: _teacher(row.training, row.teacher)[0] if row.teacher in TEACHERS else wide(row.teacher)
    columns: dict[str, Any] = {
        "system": _system,
        "learns from": lambda row: others.get(row.teacher) or source(row),
        "T": lambda row: "–" if row.system in WITHOUT_TEMPERATURE else f"{row.temperature:g}",
        "α": "{alpha:g}",
        "rate": "{learning_rate:g}",
        "accuracy": lambda row: points(row, "accuracy", "{:.2f}"),
        "over hard labels": lambda row: "–" if row.system == "hard labels" else points(row, "gain"),
        "over Eq. 4": lambda row: "–" if row.system == "Eq. 4" else points(row, "over"),
        "entropy": "{entropy:.2f}",
    }
    seeds = int(summary["seeds"].max())
    caption = (
        f"{_title(summary)}: test accuracy in percent of the setting that validation chose of "
        f"{summary['trials'].max()}, and paired differences in points ({seeds} seed{'s' * (seeds > 1)}"
        f"{', 95 % intervals' * (seeds > 2)}); mean entropy at T = 9 of the response in nats"
    )
    return formatted(summary, columns, caption, name)


def cost_table(summary: pd.DataFrame, name: str) -> Table:
    """One data set's systems: what the teacher's side and the student's cost in training, and the tuning in all."""
    passes = ["teacher_passes", "student_passes", "tuning_passes"]
    whole = ["teacher_multiply_adds", "student_multiply_adds"]
    rows = summary.assign(**summary[passes] / 1e3, **summary[whole] / 1e12)
    columns = {"system": "{system}", "deployed": "{parameters:,.0f}"}
    for side in ("teacher", "student"):
        columns[f"{side}: images"] = f"{{{side}_passes:,.0f}} k"
        columns[f"{side}: 10¹² multiply-adds"] = f"{{{side}_multiply_adds:.3g}}"
        columns[f"{side}: seconds"] = f"{{{side}_seconds:,.1f}}"
    columns |= {"of Eq. 4": "{cost:.2f}", "with tuning: images": "{tuning_passes:,.0f} k"}
    caption = (
        f"{_title(summary)}: training cost of one deployed student: parameters; images seen, multiply-adds (backward "
        "passes included) and seconds, on the teacher's side and the student's; all multiply-adds over those of Eq. 4; "
        "images seen by all trials together"
    )
    return formatted(rows, columns, caption, name)


def systems_table(table: pd.DataFrame, systems: dict[str, str], caption: str, name: str) -> Table:
    """What each compared system is (`related.SYSTEMS`), and the values that were tried, from records "related"."""
    rows = []
    for system, what in systems.items():
        tuned = []
        for column, symbol in (("temperature", "T"), ("alpha", "α"), ("learning_rate", "rate")):
            values = sorted(table.loc[table["system"] == system, column].unique())
            if len(values) > 1:
                tuned.append(f"{symbol} {', '.join(f'{v:g}' for v in values)}")
        rows.append({"system": system, "a student learns": what, "tried": "; ".join(tuned)})
    return Table(pd.DataFrame(rows), caption, name)


def tutorial_table(compared: pd.DataFrame, caption: str, name: str) -> Table:
    """PyTorch's tutorial beside ours (`tutorial.compared`), in percent and points."""
    form = lambda row: "{:+.2f}" if row.network == "gain" else "{:.2f}"
    columns = {
        "network": lambda row: "distilled minus student" if row.network == "gain" else row.network,
        "parameters": lambda row: f"{row.parameters:,.0f}" if row.parameters else "",
        "tutorial, one seed": lambda row: "–" if pd.isna(row.published) else form(row).format(row.published),
        "ours": lambda row: ranged(row.estimate, row.low, row.high, form(row)),
        "ours, single seeds": lambda row: f"{form(row)} to {form(row)}".format(row.lowest, row.highest),
        "seeds": lambda row: row.seeds,
    }
    return formatted(compared, columns, caption, name)


# ---------------------------------------------------------------- how fast


def speed_table(rows: pd.DataFrame, caption: str, name: str) -> Table:
    """Comparisons of speed, one a line: the ratio with its range over repeats, and whether its bar and aim are reached.

    What is to be reached and was not measured follows.
    """
    units = {"memory": "≤ {:g} GiB", "teacher": "{:.0%}"}
    limit = lambda bar, of: "–" if pd.isna(bar) else units.get(of, "{:g}").format(bar)
    kinds = ["CPU" if machine.endswith("CPU") else "GPU" for machine in rows["machine"]]
    lines = []
    for kind, row in zip(kinds, rows.itertuples(), strict=True):
        if not pd.isna(row.gib):
            measured, good = f"{row.gib:.2f} GiB", row.gib <= row.bar
        elif pd.isna(row.ratio):
            measured, good = f"{100 * row.share:.1f} % of the matrix rate", row.share >= row.bar
        else:
            measured = ranged(row.ratio, row.ratio_low, row.ratio_high, "{:.1f}", " times")
            measured += " (the other one is faster)" if row.ratio < 1 and row.comparison != "growth" else ""
            good = row.ratio >= row.bar
        line = [row.machine, TITLES.get(row.dataset, row.dataset), row.comparison, row.members, row.batch_size]
        reached = "" if pd.isna(row.bar) else "yes" if good else "no"
        aim = AIMS.get((kind, row.dataset, row.comparison))
        beyond = "" if aim is None else f"{aim}: {'yes' if row.ratio >= aim else 'no'}"
        lines.append([*line, f"**{measured}**", limit(row.bar, row.comparison), reached, beyond, row.note])
    known = set(zip(kinds, rows["dataset"], rows["comparison"], strict=True))
    for (kind, dataset, comparison), bar in BARS.items():
        if (kind, dataset, comparison) not in known:
            wanted = limit(bar, comparison), "", AIMS.get((kind, dataset, comparison), "")
            lines.append([kind, TITLES[dataset], comparison, "", "", "not measured yet", *wanted, "`make bench`"])
    columns = ["machine", "data", "against", "members", "batch", "measured", "to reach", "reached", "aim", "how"]
    return Table(pd.DataFrame(lines, columns=columns), caption, name)


def growth(rows: pd.DataFrame) -> Figure:
    """Seconds a student's epoch as the fleet grows, one line a machine and data set."""
    if rows.empty:
        return not_yet("time a member")
    figure, axis = plt.subplots(figsize=(5.5, 3.6))
    for (machine, dataset), of in rows.groupby(["machine", "dataset"]):
        of = of.sort_values("members")
        axis.plot(of["members"], of["ours"], "-o", markersize=5, label=f"{TITLES[dataset]}, {machine}")
    axis.set(xscale="log", yscale="log", xlabel="members of the fleet", ylabel="seconds a student's epoch")
    axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter("{x:g}" if scale is axis.yaxis else NullFormatter())
    _legend_below(figure, [axis], 2)
    return figure


def scaling(table: pd.DataFrame, machine: str) -> Figure:
    """Hours against the number of machines, ideal and estimated, and what the estimate cannot fall below."""
    if table.empty:
        return not_yet("time and machines")
    figure, axis = plt.subplots(figsize=(6, 3.8))
    axis.plot(table["machines"], table["ideal"], "--", color="0.5", label="ideal")
    axis.plot(table["machines"], table["hours"], "-o", color=COLOURS["small"], markersize=5, label="estimated")
    axis.plot(table["machines"], table["writing"], ":", color=COLOURS["large"], label="one writer of records")
    axis.plot(table["machines"], table["chain"], "-.", color=RETRAINED[0], label="longest teacher and fleet")
    axis.set(yscale="log", xlabel=f"machines ({machine})", ylabel="hours")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.legend(fontsize="x-small")
    return figure
