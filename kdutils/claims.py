"""Each of the paper's claims as a test with a threshold, and the verdict it gives.

Twelve were fixed before any of their runs. Four came when one seed of MNIST and reduced runs had been recorded
(temperature-fall, faster, varies-less, not-linear), and one when two of its four networks had been (capacity: MNIST's, in
the order that speaks against it). Two came after all of their records (own-pace, many-pairs): they say of statements that no
other claim covers what the records say. No threshold was changed since.

A claim about capacity is decided on equally trained teachers only. With three seeds or more its intervals are paired t
intervals over seeds; with fewer there is no interval, the verdict rests on the estimate and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from kdutils import published
from kdutils.models import NUM_CLASSES
from kdutils.protocols import PROFILES, RETRAINED, TEACHER_BATCH, retrained
from kdutils.records import with_cells

DATASETS = ("mnist", "fashion_mnist", "cifar10")  # the data sets that the paper's claims are about
Decide = Callable[[pd.DataFrame, str], dict | None]  # from a claim's records and the data set; None: too few of them


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper says, in our words, and what would count as finding it."""

    id: str
    section: str
    page: str  # of the book that shows it, by its notebook's name
    statement: str
    test: str
    departs: str  # what the test adds to or changes in what the paper says
    records: str
    group: str  # of runs, see `kdutils.experiments.Study.runs`
    decide: Decide
    datasets: tuple[str, ...] = DATASETS  # that the paper claims it of
    what: str = "small minus large"  # the estimate


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval over seeds; the ends are NaN below three seeds."""

    estimate: float
    low: float
    high: float
    seeds: int


def interval(per_seed: pd.Series) -> Interval:
    """Mean over seeds and its 95 % t interval, of one (paired) value a seed; NaN where there is none."""
    mean, n = float(per_seed.mean(skipna=False)), len(per_seed)
    if n < 3:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stdtrit(n - 1, 0.975) * per_seed.std(skipna=False) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


_claims: list[Claim] = []


def _claim(id: str, section: str, page: str, records: str, group: str, **more: Any) -> Callable[[Decide], Decide]:
    """Makes a claim of the function that decides it; `more` are its other fields.

    Its docstring is the claim's statement and then, after blank lines, the test and where this departs from the paper;
    braces stand for a threshold's number.
    """

    def add(decide: Decide) -> Decide:
        parts = (" ".join(of.split()) for of in (decide.__doc__ or "").format(**globals()).split("\n\n"))
        statement, test, departs = parts
        _claims.append(Claim(id, section, page, statement, test, departs, records, group, decide, **more))
        return decide

    return add


SMALL, LARGE = ("equal", "small"), ("equal", "large")  # training and teacher


def _difference(table: pd.DataFrame, keys: list[str], value: str, one: tuple, other: tuple) -> pd.Series:
    """`value` of one teacher minus the other's, paired on `keys`; seeds that have only a part of the pairs are left out."""
    wide = table.pivot_table(index=keys, columns=["training", "teacher"], values=value)
    if not {one, other} <= set(wide):
        return pd.Series(dtype=float)
    gaps = (wide[one] - wide[other]).dropna()
    pairs = gaps.groupby("seed").transform("size")
    return gaps[pairs == pairs.max()]


def _above(i: Interval) -> bool:
    """Whether an estimate is above 0, and its interval where there is one."""
    return i.estimate > 0 and not i.low <= 0  # NaN: no interval, the estimate decides


def examples_ratio(table: pd.DataFrame, slow: tuple, fast: tuple, most: float = np.inf) -> pd.DataFrame:
    """How many times more examples a class one teacher's student needs than another's for the same accuracy.

    Where the fast teacher's student has n examples and accuracy a, the slow one's highest accuracy with up to so many
    examples is interpolated on a logarithmic axis to where it first reaches a. It may not reach a within its largest
    number, or have it with its smallest: the ratio is then a bound.

    Parameters
    ----------
    table : DataFrame
        Records "few_examples" of one data set.
    slow, fast : (training, teacher)
        The two teachers.
    most : float
        Only numbers n are asked from which a ratio this large could be seen; by default all.

    Returns
    -------
    DataFrame
        `seed`, `selection`, `examples` (n), `ratio` and `bound`: "" or "at least" or "at most".
    """
    rows = []
    for seed, selection, given, wanted in _curves(table, slow, fast):
        for n, (ratio, bound) in _ratios(given, wanted, most).items():
            rows.append({"seed": seed, "selection": selection, "examples": n, "ratio": ratio, "bound": bound})
    return pd.DataFrame(rows, columns=["seed", "selection", "examples", "ratio", "bound"])


def _curves(table: pd.DataFrame, slow: tuple, fast: tuple) -> list[tuple[int, str, pd.Series, pd.Series]]:
    """For each seed and selection both teachers' highest validation accuracy by examples a class."""
    found = []
    for (seed, selection), of in table.groupby(["seed", "selection"]):
        best = of.pivot_table(index="examples", columns=["training", "teacher"], values="validation_best")
        if {slow, fast} <= set(best):
            found.append((seed, selection, best[slow].dropna(), best[fast].dropna()))
    return found


def _ratios(slow: pd.Series, fast: pd.Series, most: float) -> dict[int, tuple[float, str]]:
    """Ratio and bound at each number of examples of the fast teacher's student."""
    sizes, reached = slow.index.to_numpy(float), np.maximum.accumulate(slow.to_numpy(float))
    found = {}
    for n, wanted in zip(fast.index, fast.to_numpy(float), strict=True):
        if n * (1 if np.isinf(most) else most) > sizes[-1]:
            continue
        needed, bound = sizes[-1], "at least"
        if wanted <= reached[0]:
            needed, bound = sizes[0], "at most"
        elif wanted <= reached[-1]:
            between = slice((k := np.searchsorted(reached, wanted)) - 1, k + 1)  # k: the first that reaches it
            needed, bound = np.exp(np.interp(wanted, reached[between], np.log(sizes[between]))), ""
        found[n] = (needed / n, bound)
    return found


def examples_ratio_interval(
    table: pd.DataFrame, slow: tuple, fast: tuple, images: int, most: float = np.inf, draws: int = 1000
) -> tuple[float, float]:
    """95 % interval of the geometric mean of `examples_ratio`, for the finite number of validation images.

    Each accuracy is drawn anew as that of so many independent images, `draws` times, and the ratios are read off again
    (a parametric bootstrap with a fixed seed). What another training seed would change is not in it.
    """
    generator, curves = np.random.default_rng(0), _curves(table, slow, fast)
    again = lambda curve: pd.Series(generator.binomial(images, curve) / images, curve.index)
    means = []
    for _ in range(draws):
        ratios = [r for _, _, a, b in curves for r, _ in _ratios(again(a), again(b), most).values()]
        means.append(np.exp(np.mean(np.log(ratios))) if ratios else np.nan)
    return tuple(np.nanpercentile(means, [2.5, 97.5])) if curves else (np.nan, np.nan)


def _found(
    passed: list[bool],
    interval: Interval,
    unit: str,
    detail: str,
    partly: bool | None = None,
    published: float | None = None,
) -> dict:
    """What `verdicts` shows: reproduced if all has passed, else partly if some has or, where it is given, `partly`."""
    some = any(passed) if partly is None else partly
    verdict = "reproduced" if all(passed) else "partly" if some else "not reproduced"
    return {"verdict": verdict, "interval": interval, "unit": unit, "detail": detail, "published": published}


def _everywhere(gaps: pd.Series, by: str, unit: str, detail: str, on_mean: bool = True) -> dict | None:
    """Verdict on gaps that must be above 0 at each value of one of their keys or, partly, on the mean (else at some)."""
    if gaps.empty:
        return None
    above = [_above(i) for i in gaps.groupby(["seed", by]).mean().groupby(by).apply(interval)]
    overall = interval(gaps.groupby("seed").mean())
    detail = detail.format(f"at {sum(above)} of {len(above)}")
    return _found(above, overall, unit, detail, partly=_above(overall) if on_mean else None)


def _geometric(logs: pd.Series) -> Interval:
    """The geometric mean of ratios over seeds, of one logarithm a seed."""
    i = interval(logs)
    estimate, low, high = np.exp([i.estimate, i.low, i.high])
    return Interval(estimate, low, high, i.seeds)


def _on_test(table: pd.DataFrame) -> pd.DataFrame:
    """A response at T = 9 on the test set."""
    return table[(table["split"] == "test") & (table["temperature"] == 9)]


GAP_POINTS = 30.0  # percentage points: small minus large, mean over classes and temperatures
CELL_SHARE = 0.95  # of the class-by-temperature cells in which the small teacher must be ahead
LARGE_CEILING = 20.0  # percent: what "hardly" may mean for the large teacher's mean over classes and temperatures
HALF = 0.5  # of a published ratio: the least that counts as finding it
SOME = 1.25  # times: the least ratio that counts as finding any
ORDERED = 0.8  # rank correlation from which a series counts as rising
FALL = 5.0  # points: the most that counts as "hardly" falling
BENT = 0.1  # of its rise: the least departure from a straight line that counts as one
ALIKE = 5.0  # points: the most by which two responses of equal entropy may differ if entropy is what counts
NOTHING = 5.0  # percent: the most of a missing class that a response without similarity information may convey
VARIANCES = ("row", "row_all", "row_normalised", "column", "column_all", "column_normalised")


@_claim("entropy-gap", "4.1, Fig. 3", "04_1_similarity_information", "response", "teachers")
def _entropy_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    """At every temperature the small teacher's responses have a higher mean entropy than the large one's.

    Mean entropy on the test set, small minus large, paired by seed: above 0 at every T (with three seeds or more, its
    95 % interval too). Partly: at some T.

    Images and training of the teachers are not said; here the test set, and both trained alike.
    """
    gaps = _difference(table[table["split"] == "test"], ["seed", "temperature"], "entropy", SMALL, LARGE)
    return _everywhere(gaps, "temperature", "nats", "above {} T", on_mean=False)


@_claim("missing-class-gap", "4.1, Tables 4-6", "04_1_similarity_information", "missing_class", "missing_class")
def _missing_class_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    """A student learns a class it never saw from a small teacher, and hardly from a large one.

    Accuracy on the missing class, small minus large, mean over classes and T: at least {GAP_POINTS:.0f} points (interval
    above 0); small ahead in at least {CELL_SHARE:.0%} of the cells; the large teacher's mean at most
    {LARGE_CEILING:.0f} %. Partly: ahead on the mean, and at least one of the three.

    How teachers and students were trained is not said, so the contrast is tested, not the printed numbers.
    """
    table = table[table["training"] == "equal"]
    gaps = 100 * _difference(table, ["seed", "missing_class", "temperature"], "accuracy_missing", SMALL, LARGE)
    if gaps.empty:
        return None
    i = interval(gaps.groupby("seed").mean())
    ahead = float((gaps.groupby(["missing_class", "temperature"]).mean() > 0).mean())
    whole = table["seed"].isin(gaps.index.get_level_values("seed"))
    large = 100 * float(table.loc[whole & (table["teacher"] == "large"), "accuracy_missing"].mean())
    passed = [i.estimate >= GAP_POINTS and not i.low <= 0, ahead >= CELL_SHARE, large <= LARGE_CEILING]
    detail = f"small ahead in {ahead:.0%} of cells; large teacher's mean {large:.1f} %"
    printed = _printed(dataset).groupby("teacher")["accuracy"].mean()
    gap = float(printed["small"] - printed["large"]) if len(printed) else None
    return _found(passed, i, "points", detail, partly=i.estimate > 0 and any(passed), published=gap)


def _printed(dataset: str) -> pd.DataFrame:
    """Tables 4-6 of the paper; empty for a data set that it does not have."""
    return published.load("missing_class").query("dataset == @dataset")


def _per_split(table: pd.DataFrame, one: tuple) -> dict | None:
    """Verdict on a teacher's scatter minus the large one's: above 0 on the training and on the test images."""
    gaps = _difference(table, ["seed", "split"], "ratio_all_triples", one, LARGE)
    if gaps.empty:
        return None
    per_split = gaps.groupby("split").apply(interval)
    detail = ", ".join(f"{split}: {i.estimate:+.3f}" for split, i in per_split.items())
    return _found([_above(i) for i in per_split], per_split["test"], "within/between scatter", detail)


@_claim("tighter-clusters", "4.3, Fig. 5", "04_3_penultimate_layer", "scatter", "teachers")
def _tighter_clusters(table: pd.DataFrame, dataset: str) -> dict | None:
    """The large teacher's penultimate clusters are tighter than the small one's.

    Within-class over between-class scatter in the plane of three classes' templates, mean over all 120 triples of
    classes, small minus large: above 0 on the training and on the test images. Partly: on one.

    In print three classes, judged by eye.
    """
    return _per_split(table, SMALL)


@_claim("few-examples-gap", "4.2, Fig. 4", "04_2_one_example_many_classes", "few_examples", "few_examples")
def _few_examples_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    """With few examples a class, a student of the small teacher is always ahead of one of the large teacher.

    Highest validation accuracy, small minus large, mean over three selections of examples, equal optimiser steps: above
    0 at every number of examples (interval too). Partly: on the mean over all numbers.

    In print neither steps nor which examples "entropy as an indicator" picks: equal steps, three selections.
    """
    gaps = 100 * _difference(table, ["seed", "selection", "examples"], "validation_best", SMALL, LARGE)
    if gaps.empty:
        return None
    per_selection = ", ".join(f"{name} {gap:+.1f}" for name, gap in gaps.groupby("selection").mean().items())
    last = 100 * _difference(table, ["seed", "selection", "examples"], "validation_last", SMALL, LARGE).mean()
    detail = f"ahead {{}} numbers of examples; by selection: {per_selection}; after the last epoch {last:+.1f}"
    return _everywhere(gaps, "examples", "points", detail)


def _ratio(table: pd.DataFrame, slow: tuple, fast: tuple, wanted: float) -> dict | None:
    """Verdict on a number of times that the slow teacher's student needs more examples than the fast one's."""
    ratios = examples_ratio(table, slow, fast, wanted)
    if ratios.empty:
        return None
    mean_log = lambda key: np.log(ratios["ratio"]).groupby(ratios[key]).mean()
    i = _geometric(mean_log("seed"))
    some = i.estimate >= SOME and not i.low <= 1
    by_selection = ", ".join(f"{name} {ratio:.1f}" for name, ratio in np.exp(mean_log("selection")).items())
    detail = f"by selection: {by_selection}"
    for bound in ("at least", "at most"):
        if count := (ratios["bound"] == bound).sum():
            detail += f"; {count} of {len(ratios)} are {bound} that"
    # Bounds are taken at their value, which a reader of the mean must know.
    bounds = (ratios["bound"] != "").sum()
    unit = f"times ({bounds} of {len(ratios)} ratios are bounds)" if bounds else "times"
    return _found([some, i.estimate >= HALF * wanted], i, unit, detail, partly=some, published=wanted)


def _stated(name: str, dataset: str) -> float:
    """A number of the paper's text; the digits, which it does not have, stand in for MNIST."""
    table = published.load("statements").query("name == @name").set_index("dataset")["value"]
    return float(table["mnist" if dataset == "digits" else dataset])


@_claim(
    "examples-ratio", "4.2", "04_2_one_example_many_classes", "few_examples", "few_examples", what="large over small"
)
def _examples_ratio(table: pd.DataFrame, dataset: str) -> dict | None:
    """For the same accuracy the large teacher's student needs 10 (MNIST), 15 (Fashion-MNIST) or 18 (CIFAR-10) times the
    examples.

    Ratio of examples a class for equal highest validation accuracy, interpolated; geometric mean over selections and
    those numbers from which the published ratio could be seen: at least half the published one. Partly: at least {SOME}
    (interval above 1).

    At which accuracy the ratio is read is not said; here at each that could show it.
    """
    return _ratio(table, LARGE, SMALL, _stated("few_examples_ratio_large_to_small", dataset))


def _complete(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The rows of seeds that have every value of a column: other runs may have brought a part of another seed's."""
    return table[table.groupby("seed")[by].transform("nunique") == table[by].nunique()]


def _rank(table: pd.DataFrame, by: str) -> Interval:
    """Rank correlation of entropy with a column, within each seed that is complete."""
    each = _complete(table, by).groupby("seed").apply(lambda of: of[by].corr(of["entropy"], method="spearman"))
    return interval(each.round(6))


@_claim("capacity", "1, Fig. 2", "01_introduction", "response", "capacity", what="entropy with capacity")
def _capacity(table: pd.DataFrame, dataset: str) -> dict | None:
    """As the teacher grows in capacity its response loses entropy.

    Rank correlation of mean entropy at T = 9 (test set) with the number of parameters over Table 7's four networks,
    trained alike: at most -{ORDERED}. Partly: at most -0.4.

    In print a drawing without numbers; four networks of two families stand for it.
    """
    order = {("capacity", "baseline"): 0, ("capacity", "student"): 1, SMALL: 2, LARGE: 3}
    table = _on_test(table)
    size = [order.get(pair) for pair in zip(table["training"], table["teacher"], strict=True)]
    table = _complete(table.assign(size=pd.Series(size, table.index)).dropna(subset="size"), "size")
    if table["size"].nunique() < len(order):
        return None
    i, means = _rank(table, "size"), table.groupby("size")["entropy"].mean()
    detail = "entropy at T = 9 from the smallest to the largest: " + ", ".join(f"{h:.2f}" for h in means)
    return _found([i.estimate <= -ORDERED], i, "rank correlation", detail, partly=i.estimate <= -0.4)


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table's rows from cells of the sweep, with their batch size at full scale and epochs as columns."""
    return with_cells(table).dropna(subset="batch")


@_claim(
    "entropy-control",
    "5, Fig. 6",
    "05_similarity_rich_inculcation",
    "response",
    "sweep",
    what="entropy with batch size",
    datasets=("mnist", "fashion_mnist"),
)
def _entropy_control(table: pd.DataFrame, dataset: str) -> dict | None:
    """Larger batches at equal epochs, and fewer epochs at equal batch size, raise the response's entropy.

    Rank correlation of the large teacher's mean entropy at T = 9 (test set) with the batch size at the last epoch: at
    least {ORDERED}; with epochs at batch size 4096: at most -{ORDERED}. Partly: one of the two.

    In print curves of MNIST, judged by eye; on Fashion-MNIST as well here.
    """
    cells = _cells(_on_test(table))
    last = cells[cells["epoch"] == cells["epoch"].max()]
    fixed = cells[cells["batch"] == (4096 if 4096 in set(cells["batch"]) else cells["batch"].max())]
    if last["batch"].nunique() < 3 or fixed["epoch"].nunique() < 3:
        return None
    with_batch, with_epochs = _rank(last, "batch"), _rank(fixed, "epoch")
    passed = [with_batch.estimate >= ORDERED, with_epochs.estimate <= -ORDERED]
    detail = f"with epochs at batch size {fixed['batch'].iloc[0]}: {with_epochs.estimate:+.2f}"
    return _found(passed, with_batch, "rank correlation", detail)


def _retrained(table: pd.DataFrame, dataset: str) -> list[tuple]:
    """The large teacher's retrainings of Figures 7-8 at the table's profile, the paper's 4096 x 50 first."""
    return [(str(training), "large") for training in retrained(PROFILES[table["profile"].iloc[0]], dataset)]


@_claim(
    "retrained-spread",
    "5, Fig. 7",
    "05_similarity_rich_inculcation",
    "scatter",
    "retrained",
    what="retrained minus large",
    datasets=("mnist",),
)
def _retrained_spread(table: pd.DataFrame, dataset: str) -> dict | None:
    """Retrained at 4096 x 50 or 8192 x 40, the large teacher's clusters spread out.

    Within-class over between-class scatter as for Fig. 5, retrained minus equally trained large teacher: above 0 on the
    training and on the test images, for both retrainings. Partly: some of it.

    In print by eye, and when the teacher of Figure 7 (a) was stopped is not said.
    """
    each = {one: found for one in _retrained(table, dataset) if (found := _per_split(table, one))}
    if len(each) < len(RETRAINED):
        return None
    verdicts = {found["verdict"] for found in each.values()}
    alike = verdicts.pop() if len(verdicts) == 1 else "partly"
    detail = "; ".join(f"{training}: {found['detail']}" for (training, _), found in each.items())
    fewest = min(each.values(), key=lambda found: found["interval"].seeds)  # which the verdict rests on as well
    return fewest | {"verdict": alike, "detail": detail}


@_claim(
    "retrained-examples",
    "5, Fig. 8",
    "05_similarity_rich_inculcation",
    "few_examples",
    "few_examples_retrained",
    what="large over retrained",
    datasets=("mnist",),
)
def _retrained_examples(table: pd.DataFrame, dataset: str) -> dict | None:
    """After retraining, the large teacher's student needs about a fifth of the examples (100 for 500).

    Ratio of examples as for Fig. 4, equally trained over retrained (4096 x 50) large teacher: at least half of 5.
    Partly: at least {SOME} (interval above 1).

    In print one pair of numbers for similar accuracy; here all numbers, at equal accuracy.
    """
    wanted = _stated("examples_per_class_improvement", "mnist")
    return _ratio(table, LARGE, _retrained(table, dataset)[0], wanted)


@_claim(
    "retrained-baseline",
    "5, Fig. 9",
    "05_similarity_rich_inculcation",
    "baseline",
    "baseline",
    what="retrained minus large",
)
def _retrained_baseline(table: pd.DataFrame, dataset: str) -> dict | None:
    """Single-layer students learn more from the retrained large teacher than from the large one.

    Accuracy on the test set, retrained minus equally trained: above 0 at every T (interval too). Partly: on the mean
    over T.

    Which batch sizes and epochs were taken is not said; here those of Figure 7 (b) or the sweep's best.
    """
    cells = sorted(set(_cells(table)["training"]))
    if not cells:
        return None
    cell = cells[0]  # the only one: see `Study.chosen`
    gaps = 100 * _difference(table, ["seed", "temperature"], "accuracy", (cell, "large"), LARGE)
    return _everywhere(gaps, "temperature", "points", f"retrained {cell}; above {{}} T")


@_claim(
    "temperature-fall",
    "Tables 4-6; a pattern that the paper does not comment on",
    "04_1_similarity_information",
    "missing_class",
    "missing_class",
    what="T = 3 minus T = 20",
)
def _falls_with_temperature(table: pd.DataFrame, dataset: str) -> dict | None:
    """What the small teacher conveys of a missing class falls as T grows, and hardly on MNIST.

    Accuracy on the missing class at T = 3 minus at T = 20, mean over classes: at least half the published fall (interval
    above 0); partly: above 0. On MNIST: at most {FALL:.0f} points either way.

    No sentence of the paper says so.
    """
    table = table[(table["training"] == "equal") & (table["teacher"] == "small")]
    means = table.pivot_table(index="seed", columns="temperature", values="accuracy_missing") * 100
    ends = means.reindex(columns=[3.0, 20.0]).dropna()
    if ends.empty:
        return None
    i = interval(ends[3.0] - ends[20.0])
    printed = _printed(dataset).query("teacher == 'small'").groupby("temperature")["accuracy"].mean()
    wanted = float(printed[3] - printed[20]) if len(printed) else None
    detail = f"percent at each T: {', '.join(f'{m:.0f}' for m in means.mean())}"
    if wanted is None or wanted <= FALL:  # MNIST's hardly falls
        detail += "; it rises" if i.estimate < 0 else ""
        return _found([abs(i.estimate) <= FALL], i, "points", detail, published=wanted)
    return _found([_above(i), i.estimate >= HALF * wanted], i, "points", detail, partly=_above(i), published=wanted)


@_claim("faster", "4.2, Fig. 4", "04_2_one_example_many_classes", "curves", "few_examples")
def _faster(table: pd.DataFrame, dataset: str) -> dict | None:
    """A student of the small teacher learns faster, in that it is ahead on the way, at equal steps.

    Validation accuracy, mean over ten equally spaced measurements while it learns, small minus large: above 0 at every
    number of examples (interval too). Partly: on the mean over all numbers.

    What faster means is not said; this is one reading.
    """
    gaps = 100 * _difference(table, ["seed", "selection", "examples"], "validation", SMALL, LARGE)
    return _everywhere(gaps, "examples", "points", "above {} numbers of examples")


def share_to_own_best(curves: pd.DataFrame, of_best: float = 0.95) -> pd.Series:
    """The share of its steps after which a student first has so much of its own best validation accuracy.

    `curves` is records "curves"; one value for each student, by what names it. How fast, whatever the level.
    """
    keys = ["dataset", "profile", "teacher", "training", "seed", "selection", "examples"]
    most = curves.groupby(keys)[["step", "validation"]].transform("max")
    reached = curves[curves["validation"] >= of_best * most["validation"]]
    return reached.groupby(keys, sort=False)["step"].min() / curves.groupby(keys)["step"].max()


@_claim(
    "own-pace",
    "4.2, Fig. 4",
    "04_2_one_example_many_classes",
    "curves",
    "few_examples",
    what="share of steps, large minus small",
)
def _own_pace(table: pd.DataFrame, dataset: str) -> dict | None:
    """A student of the small teacher learns faster, in that it is sooner near its own best.

    Share of its steps after which a student first has 95 % of its own best validation accuracy, large minus small: above 0
    at every number of examples (interval too). Partly: on the mean over all numbers.

    What faster means is not said; this is the other reading.
    """
    shares = 100 * share_to_own_best(table).rename("share")
    gaps = _difference(shares.reset_index(), ["seed", "selection", "examples"], "share", LARGE, SMALL)
    means = shares.groupby("teacher").mean()
    shown = ", ".join(f"{teacher} {means[teacher]:.0f} %" for teacher in ("small", "large") if teacher in means)
    return _everywhere(gaps, "examples", "points", f"above {{}} numbers of examples; {shown} of its steps")


@_claim("varies-less", "3.3", "03_response_based_techniques", "response", "teachers", what="large over small")
def _varies_less(table: pd.DataFrame, dataset: str) -> dict | None:
    """The response of a highly confident teacher varies less, row-wise and column-wise.

    Variance in response at T = 9 (test set), large over small, by six definitions: below 1 by each (interval too).
    Partly: by some.

    The variance is not defined in print; six definitions stand for it.
    """
    table = _on_test(table)
    table = table.assign(**np.log(table[list(VARIANCES)].astype(float)))
    logs = pd.DataFrame({name: _difference(table, ["seed"], name, LARGE, SMALL) for name in VARIANCES})
    logs = logs.dropna(axis=1)  # a normalised variance has no value where similarity labels vanish
    if logs.empty:
        return None
    each = {name: interval(logs[name]) for name in logs}
    less = [i.estimate < 0 and not i.high >= 0 for i in each.values()]
    detail = ", ".join(f"{name.replace('_', ' ')} {np.exp(i.estimate):.2f}" for name, i in each.items())
    unit = f"times, mean of {'six' if logs.shape[1] == len(VARIANCES) else logs.shape[1]} definitions"
    return _found(less, _geometric(logs.mean(axis=1)), unit, detail)


@_claim(
    "not-linear",
    "3.3, Fig. 3; true of any logits",
    "03_response_based_techniques",
    "response",
    "teachers",
    what="large teacher's departure from a line",
)
def _not_linear(table: pd.DataFrame, dataset: str) -> dict | None:
    """A response's entropy is not linear in temperature.

    Largest departure of mean entropy (test set) from the straight line through T = 3 and T = 20, over its rise between
    them: at least {BENT} for both teachers. Partly: for one. (A softmax of any logits bends as much.)

    How far from linear is not said.
    """
    table = table[(table["split"] == "test") & (table["training"] == "equal")]
    wide = table.pivot_table(index=["teacher", "seed"], columns="temperature", values="entropy")
    if wide.shape[1] < 3 or not {"small", "large"} <= set(wide.index.get_level_values(0)):
        return None
    first, last = wide.columns[0], wide.columns[-1]
    rise = wide[last] - wide[first]
    line = {t: wide[first] + rise * (t - first) / (last - first) for t in wide}
    bend = (wide - pd.DataFrame(line)).abs().max(axis=1) / rise
    each = {teacher: interval(of) for teacher, of in bend.groupby("teacher")}
    detail = ", ".join(f"{teacher} {i.estimate:.2f}" for teacher, i in each.items())
    return _found([i.estimate >= BENT for i in each.values()], each["large"], "of its rise with T", detail)


def _unseen(table: pd.DataFrame, training: str, teacher: str) -> pd.Series:
    """Accuracy on the missing class at T = 9 in percent, mean over classes, of each seed that has them all."""
    rows = table[(table["training"] == training) & (table["teacher"] == teacher) & (table["temperature"] == 9)]
    by_seed = rows.dropna(subset="missing_class").groupby("seed")["accuracy_missing"]
    return 100 * by_seed.mean()[by_seed.size() == NUM_CLASSES]


@_claim("entropy-is-the-cause", "1, 4.1", "10_what_decides_it", "variations", "variations", what="own minus permuted")
def _entropy_is_the_cause(table: pd.DataFrame, dataset: str) -> dict | None:
    """A response's entropy measures its similarity information, and so how well it distils.

    Accuracy on the missing class at T = 9, mean over classes: the small teacher's own response minus the same one with
    each example's similarity labels permuted, which has the same entropy at every T: at most {ALIKE:.0f} points either
    way. Partly: at most half of what the own response conveys.

    The paper calls entropy an indicator; a permuted response conveys nothing by construction.
    """
    own, each, by_class = (_unseen(table, how, "small") for how in ("equal", "permuted", "permuted by class"))
    gaps = (own - each).dropna()
    if gaps.empty:
        return None
    i = interval(gaps)
    detail = f"own {own.mean():.1f} %, permuted {each.mean():.1f} %, permuted by class {by_class.mean():.1f} %"
    return _found([abs(i.estimate) <= ALIKE], i, "points", detail, partly=abs(i.estimate) <= HALF * own.mean())


@_claim(
    "only-regularises",
    "1, 3.3-3.4, Fig. 2",
    "10_what_decides_it",
    "variations",
    "variations",
    what="all alike minus hard labels",
)
def _only_regularises(table: pd.DataFrame, dataset: str) -> dict | None:
    """A response without similarity information only regularises, as label smoothing does.

    From responses whose similarity labels are all alike, a student learns at most {NOTHING:.0f} % of a missing class
    (of which no other part of a response could tell it); and on all classes, from the large teacher's, it is better
    than one of hard labels (test set, T = 9, interval above 0). Partly: one of the two.

    In print an argument without a number, and no comparison with hard labels.
    """
    conveyed = pd.concat([_unseen(table, "even", t) for t in ("small", "large")])
    whole = table[table["missing_class"].isna() & ((table["temperature"] == 9) | (table["training"] == "none"))]
    gains = lambda training: 100 * _difference(whole, ["seed"], "accuracy", (training, "large"), ("none", "none"))
    if conveyed.empty or gains("even").empty:
        return None
    i = interval(gains("even"))
    detail = f"conveys {conveyed.mean():.1f} % of a missing class; "
    detail += f"the large teacher's own response gains {gains('equal').reindex(gains('even').index).mean():+.2f} points"
    return _found([conveyed.mean() <= NOTHING, _above(i)], i, "points", detail)


@_claim(
    "not-the-gap",
    "1, 6",
    "10_what_decides_it",
    "variations",
    "variations",
    what="retrained minus large",
    datasets=("mnist",),
)
def _not_the_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    """Retrained in large batches, the same large teacher distils well, by which the paper argues that the capacity gap is
    not the root cause.

    Accuracy on the missing class at T = 9, mean over classes: the large teacher retrained at 4096 x 50 minus the same
    trained equally: at least half of what the small teacher is ahead (interval above 0). Partly: above 0.

    In print no student of a retrained teacher lacks a class.
    """
    small, large, retrained = (_unseen(table, *who) for who in (SMALL, LARGE, ("4096x50", "large")))
    gains = (retrained - large).dropna()
    if gains.empty:
        return None
    i, gap = interval(gains), float((small - large).mean())
    detail = f"small {small.mean():.1f} %, large {large.mean():.1f} %, large at 4096x50 {retrained.mean():.1f} %"
    return _found([_above(i), i.estimate >= HALF * gap], i, "points", detail, partly=_above(i))


@_claim(
    "many-pairs",
    "5",
    "05_similarity_rich_inculcation",
    "variations",
    "variations",
    what="median pair minus large",
    datasets=("mnist", "fashion_mnist"),
)
def _many_pairs(table: pd.DataFrame, dataset: str) -> dict | None:
    """There are many pairs of batch size and epochs with which the large teacher distils well.

    Accuracy on the missing class at T = 9, mean over classes, of every recorded pair with batches above the usual size,
    minus that of the equally trained large teacher: at least half of what the small teacher is ahead, in at least half of
    the pairs (interval of the median pair above 0). Partly: in at least two.

    The paper shows clusters and entropies of such pairs, and does not say how many are many.
    """
    pairs = _cells(table[table["teacher"] == "large"])
    usual = TEACHER_BATCH[dataset]
    each = pd.DataFrame({n: _unseen(table, n, "large") for n in pairs.loc[pairs["batch"] > usual, "training"].unique()})
    each = each.dropna(axis=1, how="all").dropna()  # seeds that have every pair whose students lacked a class
    small, large = (_unseen(table, *who).reindex(each.index) for who in (SMALL, LARGE))
    gains, gap = each.sub(large, axis=0), float((small - large).mean())
    if each.shape[1] < 3 or gains.empty or np.isnan(gap):
        return None
    i = interval(gains.median(axis=1))
    enough = (means := gains.mean()) >= HALF * gap
    detail = (
        f"{enough.sum()} of {len(means)} pairs: {', '.join(f'{n} {m:.0f} %' for n, m in each.mean()[enough].items())}"
    )
    return _found([_above(i) and bool(enough.mean() >= HALF)], i, "points", detail, partly=bool(enough.sum() >= 2))


CLAIMS = tuple(_claims)

#: What the paper says and no records could decide: section, statement in our words, what is lacking, what is shown instead.
UNTESTABLE = (
    (
        "4.1, Tables 4-6",
        "The accuracies of Tables 4 to 6, as numbers.",
        "How long, how fast and on what the teachers and students were trained.",
        "The contrast of the two teachers, and each open choice varied.",
    ),
    (
        "4.2, Fig. 4",
        "Examples chosen with entropy as an indicator are the ones that teach.",
        "Whether those of high or of low entropy were chosen.",
        "Three selections: highest, lowest, random.",
    ),
    (
        "5, Fig. 9",
        "How much the retrained teachers of Figure 9 gain.",
        "With which batch size and how many epochs each was retrained, and any number for the gain.",
        "Our choice of them, and whether there is a gain.",
    ),
    (
        "5-6, Fig. 10",
        "Any teacher can be brought into the region where it distils well.",
        "Where that region ends, and what counts as distilling well for a pair.",
        "A search that says whether any training of a teacher beats hard labels alone.",
    ),
)


def verdicts(load: Callable[[Claim, str], pd.DataFrame], datasets: tuple[str, ...] = DATASETS) -> pd.DataFrame:
    """One row a claim and data set: verdict, estimate, interval, seeds; "not yet run" where records are lacking.

    Parameters
    ----------
    load : callable
        From a claim and a data set to the rows of `claim.records` that belong to `claim.group`, of one profile.
    datasets : tuple of str
        Which data sets; one of the paper's that a claim is not about is left out.
    """
    rows = []
    for claim in CLAIMS:
        for dataset in datasets:
            if dataset in DATASETS and dataset not in claim.datasets:
                continue
            table = load(claim, dataset)
            row = {"claim": claim.id, "dataset": dataset, "verdict": "not yet run", "seeds": 0}
            row |= {name: getattr(claim, name) for name in ("section", "page", "statement", "what")}
            if len(table) and (found := claim.decide(table, dataset)):
                row |= found | vars(found["interval"]) | {"profile": table["profile"].iloc[0]}
            rows.append(row)
    columns = [
        *(
            "claim",
            "section",
            "page",
            "dataset",
            "statement",
            "what",
            "verdict",
            "estimate",
            "low",
            "high",
            "unit",
            "seeds",
        ),
        *("published", "profile", "detail"),
    ]
    return pd.DataFrame(rows, columns=columns)
