"""Each of the paper's claims as a test that was fixed before its evidence was recorded, and the verdict it gives.

A claim about capacity is decided on equally trained teachers only. With three seeds or more its intervals are paired t
intervals over seeds; with fewer there is no interval, the verdict rests on the estimate and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from kdutils import published
from kdutils.protocols import TEACHER_BATCH

DATASETS = ("mnist", "fashion_mnist", "cifar10")  # the data sets that the paper's claims are about


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper says, in our words, and what would count as finding it."""

    id: str
    section: str
    statement: str
    test: str
    records: str
    group: str  # of runs, see `kdutils.experiments.Study.runs`
    decide: Callable[[pd.DataFrame, str], dict | None]  # from its records and the data set; None: too few of them
    datasets: tuple[str, ...] = DATASETS  # that the paper claims it of
    what: str = "small less large"  # the estimate


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval over seeds; the ends are NaN below three seeds."""

    estimate: float
    low: float
    high: float
    seeds: int


def interval(per_seed: pd.Series) -> Interval:
    """Mean over seeds and its 95 % t interval, of one (paired) value a seed."""
    values = per_seed.to_numpy(float)
    mean, n = float(values.mean()), len(values)
    if n < 3:
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


SMALL, LARGE = ("equal", "small"), ("equal", "large")  # training and teacher


def _difference(table: pd.DataFrame, keys: list[str], value: str, one: tuple, other: tuple) -> pd.Series:
    """`value` of one teacher less the other's, paired on `keys`; pairs of which one is missing are left out."""
    wide = table.pivot_table(index=keys, columns=["training", "teacher"], values=value)
    return (wide[one] - wide[other]).dropna() if {one, other} <= set(wide) else pd.Series(dtype=float)


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
    rises = np.append(True, reached[1:] > reached[:-1])  # between plateaus the interpolation has one answer
    found = {}
    for n, wanted in zip(fast.index, fast.to_numpy(float), strict=True):
        if n * (1 if np.isinf(most) else most) > sizes[-1]:
            continue
        needed, bound = sizes[-1], "at least"
        if wanted <= reached[0]:
            needed, bound = sizes[0], "at most"
        elif wanted <= reached[-1]:
            needed, bound = np.exp(np.interp(wanted, reached[rises], np.log(sizes[rises]))), ""
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


ENTROPY_SHARE = 1.0  # of the temperatures at which the small teacher's mean entropy must be above the large one's
GAP_POINTS = 30.0  # percentage points: small less large, mean over classes and temperatures
CELL_SHARE = 0.95  # of the class-by-temperature cells in which the small teacher must be ahead
LARGE_CEILING = 20.0  # percent: what "hardly" may mean for the large teacher's mean over classes and temperatures


def _entropy_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    table = table[table["split"] == "test"]
    gaps = _difference(table, ["seed", "temperature"], "entropy", SMALL, LARGE)
    if gaps.empty:
        return None
    by_temperature = gaps.groupby("temperature").apply(interval)
    above = [_above(i) for i in by_temperature]
    share = float(np.mean(above))
    verdict = "reproduced" if share >= ENTROPY_SHARE else "partly" if share > 0 else "not reproduced"
    overall = interval(gaps.groupby("seed").mean())
    return {
        "verdict": verdict,
        "interval": overall,
        "unit": "nats",
        "detail": f"above at {sum(above)} of {len(above)} T",
    }


def _missing_class_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    table = table[table["training"] == "equal"]
    gaps = 100 * _difference(table, ["seed", "missing_class", "temperature"], "accuracy_missing", SMALL, LARGE)
    if gaps.empty:
        return None
    overall = interval(gaps.groupby("seed").mean())
    ahead = float((gaps.groupby(["missing_class", "temperature"]).mean() > 0).mean())
    large = 100 * float(table.loc[table["teacher"] == "large", "accuracy_missing"].mean())
    wide_enough = overall.estimate >= GAP_POINTS and not overall.low <= 0
    passed = [wide_enough, ahead >= CELL_SHARE, large <= LARGE_CEILING]
    verdict = "reproduced" if all(passed) else "partly" if overall.estimate > 0 and any(passed) else "not reproduced"
    detail = f"small ahead in {ahead:.0%} of cells; large teacher's mean {large:.1f} %"
    return {"verdict": verdict, "interval": overall, "unit": "points", "detail": detail}


def _tighter_clusters(table: pd.DataFrame, dataset: str) -> dict | None:
    gaps = _difference(table, ["seed", "split"], "ratio_all_triples", SMALL, LARGE)
    return None if gaps.empty else _per_split(gaps)


def _per_split(gaps: pd.Series) -> dict:
    """Verdict on gaps that must be above 0 on the training and on the test images."""
    per_split = gaps.groupby("split").apply(interval)
    above = [_above(i) for i in per_split]
    verdict = "reproduced" if all(above) else "partly" if any(above) else "not reproduced"
    detail = ", ".join(f"{split}: {i.estimate:+.3f}" for split, i in per_split.items())
    return {"verdict": verdict, "interval": per_split["test"], "unit": "within/between", "detail": detail}


FEW_SHARE = 1.0  # of the numbers of examples at which the small teacher's student must be ahead
HALF = 0.5  # of a published ratio: the least that counts as finding it
SOME = 1.25  # times: the least ratio that counts as finding any
ORDERED = 0.8  # rank correlation from which a series counts as rising


def _few_examples_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    gaps = 100 * _difference(table, ["seed", "selection", "examples"], "validation_best", SMALL, LARGE)
    if gaps.empty:
        return None
    by_number = gaps.groupby(["seed", "examples"]).mean().groupby("examples").apply(interval)
    above = [_above(i) for i in by_number]
    overall = interval(gaps.groupby("seed").mean())
    share = float(np.mean(above))
    verdict = "reproduced" if share >= FEW_SHARE else "partly" if _above(overall) else "not reproduced"
    per_selection = ", ".join(f"{name} {gap:+.1f}" for name, gap in gaps.groupby("selection").mean().items())
    detail = f"ahead at {sum(above)} of {len(above)} numbers of examples; by selection: {per_selection}"
    return {"verdict": verdict, "interval": overall, "unit": "points", "detail": detail}


def _ratio(table: pd.DataFrame, slow: tuple, fast: tuple, wanted: float) -> dict | None:
    """Verdict on a number of times that the slow teacher's student needs more examples than the fast one's."""
    ratios = examples_ratio(table, slow, fast, wanted)
    if ratios.empty:
        return None
    i = interval(np.log(ratios["ratio"]).groupby(ratios["seed"]).mean())
    i = Interval(*np.exp([i.estimate, i.low, i.high]), i.seeds)
    some = i.estimate >= SOME and not i.low <= 1
    verdict = "reproduced" if some and i.estimate >= HALF * wanted else "partly" if some else "not reproduced"
    bounds = ratios["bound"].value_counts()
    by_selection = np.exp(np.log(ratios["ratio"]).groupby(ratios["selection"]).mean())
    detail = f"published: {wanted:g} times; by selection: " + ", ".join(f"{n} {r:.1f}" for n, r in by_selection.items())
    for bound in ("at least", "at most"):
        if bound in bounds:
            detail += f"; {bounds[bound]} of {len(ratios)} are {bound} that"
    return {"verdict": verdict, "interval": i, "unit": "times", "detail": detail}


def _stated(name: str, dataset: str) -> float:
    """A number of the paper's text; the digits, which it does not have, stand in for MNIST."""
    table = published.load("statements").query("name == @name").set_index("dataset")["value"]
    return float(table["mnist" if dataset == "digits" else dataset])


def _examples_ratio(table: pd.DataFrame, dataset: str) -> dict | None:
    return _ratio(table, LARGE, SMALL, _stated("few_examples_ratio_large_to_small", dataset))


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table's rows from cells of the sweep, with their batch size at full scale and epochs as columns."""
    cells = table[table["training"].str.fullmatch(r"\d+x\d+")]
    sizes = cells["training"].str.split("x", expand=True).astype(int) if len(cells) else pd.DataFrame({0: [], 1: []})
    return cells.assign(batch=sizes[0], epoch=sizes[1])


def _entropy_control(table: pd.DataFrame, dataset: str) -> dict | None:
    cells = _cells(table[(table["split"] == "test") & (table["temperature"] == 9)])
    last = cells[cells["epoch"] == cells["epoch"].max()]
    fixed = cells[cells["batch"] == (4096 if 4096 in set(cells["batch"]) else cells["batch"].max())]
    if last["batch"].nunique() < 3 or fixed["epoch"].nunique() < 3:
        return None
    rank = lambda of, by: (
        of.groupby("seed").apply(lambda seed: seed[by].corr(seed["entropy"], method="spearman")).round(6)
    )
    with_batch, with_epochs = interval(rank(last, "batch")), interval(rank(fixed, "epoch"))
    found = [with_batch.estimate >= ORDERED, with_epochs.estimate <= -ORDERED]
    verdict = "reproduced" if all(found) else "partly" if any(found) else "not reproduced"
    detail = f"with epochs at batch size 4096: {with_epochs.estimate:+.2f}"
    return {"verdict": verdict, "interval": with_batch, "unit": "rank correlation with batch size", "detail": detail}


def _retrained(table: pd.DataFrame) -> list[tuple]:
    """The large teacher's retrainings in the table: those at more than the usual batch size."""
    cells = _cells(table)
    usual = TEACHER_BATCH[table["dataset"].iloc[0]]
    return sorted({(t, "large") for t in cells.loc[cells["batch"] > usual, "training"]})


def _retrained_spread(table: pd.DataFrame, dataset: str) -> dict | None:
    retrained = _retrained(table)
    gaps = [_difference(table, ["seed", "split"], "ratio_all_triples", one, LARGE) for one in retrained]
    gaps = [g for g in gaps if len(g)]
    if not gaps:
        return None
    decided = [_per_split(g) for g in gaps]
    verdicts = [d["verdict"] for d in decided]
    alike = verdicts[0] if len(set(verdicts)) == 1 else "partly"
    detail = "; ".join(f"{t}: {d['detail']}" for (t, _), d in zip(retrained, decided, strict=True))
    return decided[0] | {"verdict": alike, "detail": detail}


def _retrained_examples(table: pd.DataFrame, dataset: str) -> dict | None:
    retrained = _retrained(table)
    wanted = _stated("examples_per_class_improvement", "mnist")
    return _ratio(table, LARGE, retrained[0], wanted) if retrained else None


def _retrained_baseline(table: pd.DataFrame, dataset: str) -> dict | None:
    retrained = sorted({(t, "large") for t in _cells(table)["training"]})
    if not retrained:
        return None
    gaps = 100 * _difference(table, ["seed", "temperature"], "accuracy", retrained[0], LARGE)
    if gaps.empty:
        return None
    above = [_above(i) for i in gaps.groupby("temperature").apply(interval)]
    overall = interval(gaps.groupby("seed").mean())
    verdict = "reproduced" if all(above) else "partly" if _above(overall) else "not reproduced"
    detail = f"retrained {retrained[0][0]}; above at {sum(above)} of {len(above)} T"
    return {"verdict": verdict, "interval": overall, "unit": "points", "detail": detail}


FALL = 5.0  # points: the most that counts as "hardly" falling
BENT = 0.1  # of its rise: the least departure from a straight line that counts as one
ALIKE = 5.0  # points: the most by which two responses of equal entropy may differ if entropy is what counts
NOTHING = 5.0  # percent: the most of a missing class that a response without similarity information may convey


def _falls_with_temperature(table: pd.DataFrame, dataset: str) -> dict | None:
    table = table[(table["training"] == "equal") & (table["teacher"] == "small")]
    means = table.pivot_table(index="seed", columns="temperature", values="accuracy_missing") * 100
    if not {3.0, 20.0} <= set(means):
        return None
    i = interval(means[3.0] - means[20.0])
    printed = published.load("missing_class").query("dataset == @dataset and teacher == 'small'")
    printed = printed.groupby("temperature")["accuracy"].mean()
    wanted = float(printed[3] - printed[20]) if len(printed) else 0.0
    if wanted <= FALL:  # MNIST's hardly falls
        verdict = "reproduced" if abs(i.estimate) <= FALL else "not reproduced"
    else:
        verdict = (
            "reproduced" if _above(i) and i.estimate >= HALF * wanted else "partly" if _above(i) else "not reproduced"
        )
    by_temperature = ", ".join(f"{m:.0f}" for m in means.mean())
    detail = f"published: {wanted:.1f}; percent at each T: {by_temperature}"
    return {"verdict": verdict, "interval": i, "unit": "points", "detail": detail}


def _faster(table: pd.DataFrame, dataset: str) -> dict | None:
    means = table.groupby(["training", "teacher", "seed", "selection", "examples"], as_index=False)["validation"].mean()
    gaps = 100 * _difference(means, ["seed", "selection", "examples"], "validation", SMALL, LARGE)
    if gaps.empty:
        return None
    above = [_above(i) for i in gaps.groupby(["seed", "examples"]).mean().groupby("examples").apply(interval)]
    overall = interval(gaps.groupby("seed").mean())
    verdict = "reproduced" if all(above) else "partly" if _above(overall) else "not reproduced"
    detail = f"above at {sum(above)} of {len(above)} numbers of examples"
    return {"verdict": verdict, "interval": overall, "unit": "points", "detail": detail}


VARIANCES = ("row", "row_all", "row_normalised", "column", "column_all", "column_normalised")


def _varies_less(table: pd.DataFrame, dataset: str) -> dict | None:
    table = (
        table[(table["split"] == "test") & (table["temperature"] == 9)]
        .set_index(["training", "teacher", "seed"])
        .sort_index()
    )
    if not {SMALL, LARGE} <= {index[:2] for index in table.index}:
        return None
    logs = np.log((table.loc[LARGE, list(VARIANCES)] / table.loc[SMALL, list(VARIANCES)]).astype(float)).dropna(axis=1)
    each = {name: interval(logs[name]) for name in logs}
    less = {name: i.estimate < 0 and not i.high >= 0 for name, i in each.items()}
    verdict = "reproduced" if all(less.values()) else "partly" if any(less.values()) else "not reproduced"
    i = interval(logs.mean(axis=1))
    detail = ", ".join(f"{name.replace('_', ' ')} {np.exp(i.estimate):.2f}" for name, i in each.items())
    i = Interval(*np.exp([i.estimate, i.low, i.high]), i.seeds)
    return {"verdict": verdict, "interval": i, "unit": "times, geometric mean", "detail": detail}


def _not_linear(table: pd.DataFrame, dataset: str) -> dict | None:
    table = table[(table["split"] == "test") & (table["training"] == "equal")]
    wide = table.pivot_table(index=["teacher", "seed"], columns="temperature", values="entropy")
    if wide.shape[1] < 3 or not {"small", "large"} <= set(wide.index.get_level_values(0)):
        return None
    first, last = wide.columns[0], wide.columns[-1]
    rise = wide[last] - wide[first]
    line = {t: wide[first] + rise * (t - first) / (last - first) for t in wide}
    bend = (wide - pd.DataFrame(line)).abs().max(axis=1) / rise
    each = {teacher: interval(of) for teacher, of in bend.groupby("teacher")}
    bent = [i.estimate >= BENT for i in each.values()]
    verdict = "reproduced" if all(bent) else "partly" if any(bent) else "not reproduced"
    detail = ", ".join(f"{teacher} {i.estimate:.2f}" for teacher, i in each.items())
    return {"verdict": verdict, "interval": each["large"], "unit": "of its rise", "detail": detail}


def _unseen(table: pd.DataFrame, training: str, teacher: str) -> pd.Series:
    """Accuracy on the missing class at T = 9 in percent, mean over classes, by seed."""
    rows = table[(table["training"] == training) & (table["teacher"] == teacher) & (table["temperature"] == 9)]
    return 100 * rows.dropna(subset="missing_class").groupby("seed")["accuracy_missing"].mean()


def _entropy_is_the_cause(table: pd.DataFrame, dataset: str) -> dict | None:
    own, each = _unseen(table, "equal", "small"), _unseen(table, "permuted", "small")
    by_class = _unseen(table, "permuted by class", "small")
    gaps = (own - each).dropna()
    if gaps.empty:
        return None
    i = interval(gaps)
    alike, half = (abs(i.estimate) <= most for most in (ALIKE, HALF * own.mean()))
    verdict = "reproduced" if alike else "partly" if half else "not reproduced"
    detail = f"own {own.mean():.1f} %, permuted {each.mean():.1f} %, permuted by class {by_class.mean():.1f} %"
    return {"verdict": verdict, "interval": i, "unit": "points", "detail": detail}


def _only_regularises(table: pd.DataFrame, dataset: str) -> dict | None:
    conveyed = pd.concat([_unseen(table, "even", t) for t in ("small", "large")])
    whole = table[table["missing_class"].isna()].set_index(["training", "teacher", "seed"])
    whole = 100 * whole["accuracy"].sort_index()
    if conveyed.empty or not {("even", "large"), ("none", "none")} <= {index[:2] for index in whole.index}:
        return None
    i = interval((whole["even", "large"] - whole["none", "none"]).dropna())
    passed = [conveyed.mean() <= NOTHING, _above(i)]
    verdict = "reproduced" if all(passed) else "partly" if any(passed) else "not reproduced"
    own = float((whole["equal", "large"] - whole["none", "none"]).mean())
    detail = (
        f"conveys {conveyed.mean():.1f} % of a missing class; the large teacher's own response gains {own:+.2f} points"
    )
    return {"verdict": verdict, "interval": i, "unit": "points", "detail": detail}


def _not_the_gap(table: pd.DataFrame, dataset: str) -> dict | None:
    small, large = _unseen(table, "equal", "small"), _unseen(table, "equal", "large")
    retrained = _unseen(table, "4096x50", "large")
    gains = (retrained - large).dropna()
    if gains.empty:
        return None
    i, gap = interval(gains), float((small - large).mean())
    verdict = "reproduced" if _above(i) and i.estimate >= HALF * gap else "partly" if _above(i) else "not reproduced"
    detail = f"small {small.mean():.1f} %, large {large.mean():.1f} %, large at 4096x50 {retrained.mean():.1f} %"
    return {"verdict": verdict, "interval": i, "unit": "points", "detail": detail}


def _capacity(table: pd.DataFrame, dataset: str) -> dict | None:
    order = {("capacity", "baseline"): 0, ("capacity", "student"): 1, SMALL: 2, LARGE: 3}
    table = table[(table["split"] == "test") & (table["temperature"] == 9)]
    size = pd.Series([order.get(pair) for pair in zip(table["training"], table["teacher"], strict=True)], table.index)
    table = table.assign(size=size).dropna(subset="size")
    if table["size"].nunique() < len(order):
        return None
    ranks = table.groupby("seed").apply(lambda of: of["size"].corr(of["entropy"], method="spearman")).round(6)
    i = interval(ranks)
    verdict = "reproduced" if i.estimate <= -ORDERED else "partly" if i.estimate <= -0.4 else "not reproduced"
    means = table.groupby("size")["entropy"].mean()
    detail = "entropy at T = 9 from the smallest to the largest: " + ", ".join(f"{h:.2f}" for h in means)
    return {"verdict": verdict, "interval": i, "unit": "rank correlation with capacity", "detail": detail}


CLAIMS = (
    Claim(
        id="entropy-gap",
        section="4.1, Fig. 3",
        statement="At every temperature the small teacher's responses have a higher mean entropy than the large one's.",
        test=(
            "Mean entropy on the test set, small less large, paired by seed: above 0 at every T (with three seeds or "
            "more, its 95 % interval too). Partly: at some T."
        ),
        records="response",
        group="teachers",
        decide=_entropy_gap,
    ),
    Claim(
        id="missing-class-gap",
        section="4.1, Tables 4-6",
        statement="A student learns a class it never saw from a small teacher, and hardly from a large one.",
        test=(
            f"Accuracy on the missing class, small less large, mean over classes and T: at least {GAP_POINTS:.0f} "
            f"points (interval above 0); small ahead in at least {CELL_SHARE:.0%} of the cells; the large teacher's "
            f"mean at most {LARGE_CEILING:.0f} %. Partly: ahead on the mean, and at least one of the three."
        ),
        records="missing_class",
        group="missing_class",
        decide=_missing_class_gap,
    ),
    Claim(
        id="tighter-clusters",
        section="4.3, Fig. 5",
        statement="The large teacher's penultimate clusters are tighter than the small one's.",
        test=(
            "Within-class over between-class scatter in the plane of three classes' templates, mean over all 120 "
            "triples of classes, small less large: above 0 on the training and on the test images. Partly: on one."
        ),
        records="scatter",
        group="teachers",
        decide=_tighter_clusters,
    ),
    Claim(
        id="few-examples-gap",
        section="4.2, Fig. 4",
        statement="With few examples a class, a student of the small teacher is always ahead of one of the large teacher.",
        test=(
            "Highest validation accuracy, small less large, mean over three selections of examples, equal optimiser "
            "steps: above 0 at every number of examples (interval too). Partly: on the mean over all numbers."
        ),
        records="few_examples",
        group="few_examples",
        decide=_few_examples_gap,
    ),
    Claim(
        id="examples-ratio",
        section="4.2",
        statement=(
            "For the same accuracy the large teacher's student needs 10 (MNIST), 15 (Fashion-MNIST) or 18 (CIFAR-10) "
            "times the examples."
        ),
        test=(
            "Ratio of examples a class for equal highest validation accuracy, interpolated; geometric mean over "
            "selections and those numbers from which the published ratio could be seen: at least half the published "
            f"one. Partly: at least {SOME} (interval above 1)."
        ),
        records="few_examples",
        group="few_examples",
        decide=_examples_ratio,
        what="large over small",
    ),
    Claim(
        id="capacity",
        section="1, Fig. 2",
        statement="As the teacher grows in capacity its response loses entropy.",
        test=(
            "Rank correlation of mean entropy at T = 9 (test set) with the number of parameters over Table 7's four "
            f"networks, trained alike: at most -{ORDERED}. Partly: at most -0.4."
        ),
        records="response",
        group="capacity",
        decide=_capacity,
        what="rank correlation",
    ),
    Claim(
        id="entropy-control",
        section="5, Fig. 6",
        statement="Larger batches at equal epochs, and fewer epochs at equal batch size, raise the response's entropy.",
        test=(
            "Rank correlation of the large teacher's mean entropy at T = 9 (test set) with the batch size at the last "
            f"epoch: at least {ORDERED}; with epochs at batch size 4096: at most -{ORDERED}. Partly: one of the two."
        ),
        records="response",
        group="sweep",
        decide=_entropy_control,
        datasets=("mnist",),
        what="rank correlation",
    ),
    Claim(
        id="retrained-spread",
        section="5, Fig. 7",
        statement="Retrained at 4096 x 50 or 8192 x 40, the large teacher's clusters spread out.",
        test=(
            "Within-class over between-class scatter as for Fig. 5, retrained less equally trained large teacher: above "
            "0 on the training and on the test images, for both retrainings. Partly: some of it."
        ),
        records="scatter",
        group="retrained",
        decide=_retrained_spread,
        datasets=("mnist",),
        what="retrained less large",
    ),
    Claim(
        id="retrained-examples",
        section="5, Fig. 8",
        statement="After retraining, the large teacher's student needs about a fifth of the examples (100 for 500).",
        test=(
            "Ratio of examples as for Fig. 4, equally trained over retrained (4096 x 50) large teacher: at least half of "
            f"5. Partly: at least {SOME} (interval above 1)."
        ),
        records="few_examples",
        group="few_examples_retrained",
        decide=_retrained_examples,
        datasets=("mnist",),
        what="large over retrained",
    ),
    Claim(
        id="retrained-baseline",
        section="5, Fig. 9",
        statement="Single-layer students learn more from the retrained large teacher than from the large one.",
        test=(
            "Accuracy on the test set, retrained less equally trained: above 0 at every T (interval too). Partly: on the "
            "mean over T."
        ),
        records="baseline",
        group="baseline",
        decide=_retrained_baseline,
        what="retrained less large",
    ),
    Claim(
        id="temperature-fall",
        section="4.1, Tables 4-6",
        statement="What the small teacher conveys of a missing class falls as T grows, and hardly on MNIST.",
        test=(
            "Accuracy on the missing class at T = 3 less at T = 20, mean over classes: at least half the published fall "
            f"(interval above 0); partly: above 0. On MNIST: at most {FALL:.0f} points either way."
        ),
        records="missing_class",
        group="missing_class",
        decide=_falls_with_temperature,
        what="T = 3 less T = 20",
    ),
    Claim(
        id="faster",
        section="4.2, Fig. 4",
        statement="From the small teacher a student learns faster.",
        test=(
            "Validation accuracy, mean over ten equally spaced measurements while it learns, small less large: above 0 at "
            "every number of examples (interval too). Partly: on the mean over all numbers."
        ),
        records="curves",
        group="few_examples",
        decide=_faster,
    ),
    Claim(
        id="varies-less",
        section="3.3",
        statement="The response of a highly confident teacher varies less, row-wise and column-wise.",
        test=(
            "Variance in response at T = 9 (test set), large over small, by six definitions: below 1 by each (interval "
            "too). Partly: by some."
        ),
        records="response",
        group="teachers",
        decide=_varies_less,
        what="large over small",
    ),
    Claim(
        id="not-linear",
        section="4.1, Fig. 3",
        statement="A response's entropy is not linear in temperature.",
        test=(
            "Largest departure of mean entropy (test set) from the straight line through T = 3 and T = 20, over its rise "
            f"between them: at least {BENT} for both teachers. Partly: for one."
        ),
        records="response",
        group="teachers",
        decide=_not_linear,
        what="large teacher",
    ),
    Claim(
        id="entropy-is-the-cause",
        section="1, 4.1",
        statement="How well a teacher distils depends on its response's entropy.",
        test=(
            "Accuracy on the missing class at T = 9, mean over classes: the small teacher's own response less the same one "
            "with each example's similarity labels permuted, which has the same entropy at every T: at most "
            f"{ALIKE:.0f} points either way. Partly: at most half of what the own response conveys."
        ),
        records="variations",
        group="variations",
        decide=_entropy_is_the_cause,
        what="own less permuted",
    ),
    Claim(
        id="only-regularises",
        section="3.2-3.3, Fig. 2",
        statement="A response without similarity information only regularises, as label smoothing does.",
        test=(
            "From responses whose similarity labels are all alike, a student learns at most "
            f"{NOTHING:.0f} % of a missing class; and on all classes it is better than one of hard labels (test set, "
            "interval above 0). Partly: one of the two."
        ),
        records="variations",
        group="variations",
        decide=_only_regularises,
        what="even less hard labels",
    ),
    Claim(
        id="not-the-gap",
        section="1, 6",
        statement="The capacity gap is not the root cause: the same large teacher, trained otherwise, distils well.",
        test=(
            "Accuracy on the missing class at T = 9, mean over classes: the large teacher retrained at 4096 x 50 less the "
            "same trained equally: at least half of what the small teacher is ahead (interval above 0). Partly: above 0."
        ),
        records="variations",
        group="variations",
        decide=_not_the_gap,
        datasets=("mnist",),
        what="retrained less large",
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
            row = {"claim": claim.id, "section": claim.section, "dataset": dataset, "statement": claim.statement}
            row |= {"what": claim.what, "verdict": "not yet run", "seeds": 0}
            found = claim.decide(table, dataset) if len(table) else None
            if found:
                i = found["interval"]
                row |= {"verdict": found["verdict"], "estimate": i.estimate, "low": i.low, "high": i.high}
                row |= {"unit": found["unit"], "seeds": i.seeds, "detail": found["detail"]}
                row["profile"] = table["profile"].iloc[0]
            rows.append(row)
    columns = [
        *("claim", "section", "dataset", "statement", "what", "verdict", "estimate", "low", "high", "unit", "seeds"),
        *("profile", "detail"),
    ]
    return pd.DataFrame(rows, columns=columns)
