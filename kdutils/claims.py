"""Each of the paper's claims as a test that was fixed before its evidence was recorded, and the verdict it gives.

A claim is decided on equally trained teachers only. With three seeds or more its intervals are paired t intervals over
seeds; with fewer there is no interval, the verdict rests on the estimate and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

DATASETS = (
    "mnist",
    "fashion_mnist",
    "cifar10",
)  # the data sets that the paper's claims are about


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper says, in our words, and what would count as finding it."""

    id: str
    section: str
    statement: str
    test: str
    records: str
    decide: Callable[[pd.DataFrame], dict]


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


def _small_minus_large(table: pd.DataFrame, keys: list[str], value: str) -> pd.Series:
    """Small less large of `value`, paired on `keys`; pairs of which one is missing are left out."""
    wide = table.pivot_table(index=keys, columns="teacher", values=value)
    return (
        (wide["small"] - wide["large"]).dropna()
        if {"small", "large"} <= set(wide)
        else pd.Series(dtype=float)
    )


ENTROPY_SHARE = 1.0  # of the temperatures at which the small teacher's mean entropy must be above the large one's
GAP_POINTS = (
    30.0  # percentage points: small less large, mean over classes and temperatures
)
CELL_SHARE = (
    0.95  # of the class-by-temperature cells in which the small teacher must be ahead
)
LARGE_CEILING = 20.0  # percent: what "hardly" may mean for the large teacher's mean over classes and temperatures


def _entropy_gap(table: pd.DataFrame) -> dict:
    table = table[table["split"] == "test"]
    gaps = _small_minus_large(table, ["seed", "temperature"], "entropy")
    by_temperature = gaps.groupby("temperature").apply(interval)
    above = [
        i.estimate > 0 and not i.low <= 0 for i in by_temperature
    ]  # NaN: no interval, the estimate decides
    share = float(np.mean(above))
    verdict = (
        "reproduced"
        if share >= ENTROPY_SHARE
        else "partly"
        if share > 0
        else "not reproduced"
    )
    overall = interval(gaps.groupby("seed").mean())
    return {
        "verdict": verdict,
        "interval": overall,
        "unit": "nats",
        "detail": f"above at {sum(above)} of {len(above)} T",
    }


def _missing_class_gap(table: pd.DataFrame) -> dict:
    gaps = 100 * _small_minus_large(
        table, ["seed", "missing_class", "temperature"], "accuracy_missing"
    )
    overall = interval(gaps.groupby("seed").mean())
    ahead = float((gaps.groupby(["missing_class", "temperature"]).mean() > 0).mean())
    large = 100 * float(
        table.loc[table["teacher"] == "large", "accuracy_missing"].mean()
    )
    wide_enough = overall.estimate >= GAP_POINTS and not overall.low <= 0
    passed = [wide_enough, ahead >= CELL_SHARE, large <= LARGE_CEILING]
    verdict = (
        "reproduced"
        if all(passed)
        else "partly"
        if overall.estimate > 0 and any(passed)
        else "not reproduced"
    )
    detail = f"small ahead in {ahead:.0%} of cells; large teacher's mean {large:.1f} %"
    return {"verdict": verdict, "interval": overall, "unit": "points", "detail": detail}


def _tighter_clusters(table: pd.DataFrame) -> dict:
    gaps = _small_minus_large(table, ["seed", "split"], "ratio_all_triples")
    per_split = gaps.groupby("split").apply(interval)
    above = [i.estimate > 0 and not i.low <= 0 for i in per_split]
    verdict = (
        "reproduced" if all(above) else "partly" if any(above) else "not reproduced"
    )
    detail = ", ".join(f"{split}: {i.estimate:+.3f}" for split, i in per_split.items())
    return {
        "verdict": verdict,
        "interval": per_split["test"],
        "unit": "within/between",
        "detail": detail,
    }


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
        decide=_tighter_clusters,
    ),
)


def verdicts(
    load: Callable[[str], pd.DataFrame],
    profile: str,
    datasets: tuple[str, ...] = DATASETS,
) -> pd.DataFrame:
    """One row a claim and data set: verdict, estimate, interval, seeds; "not yet run" where there is no record.

    Parameters
    ----------
    load : callable
        From a table's name to its records, for instance `kdutils.records.load`.
    profile : str
        Only records of this profile are looked at.
    datasets : tuple of str
        Which data sets.
    """
    rows = []
    for claim in CLAIMS:
        table = load(claim.records)
        for dataset in datasets:
            chosen = table.query(
                "profile == @profile and dataset == @dataset and training == 'equal'"
            )
            row = {
                "claim": claim.id,
                "section": claim.section,
                "dataset": dataset,
                "statement": claim.statement,
            }
            seeds = [
                set(chosen.loc[chosen["teacher"] == teacher, "seed"])
                for teacher in ("small", "large")
            ]
            if seeds[0] & seeds[1]:
                found = claim.decide(chosen)
                i = found["interval"]
                row |= {
                    "verdict": found["verdict"],
                    "estimate": i.estimate,
                    "low": i.low,
                    "high": i.high,
                }
                row |= {
                    "unit": found["unit"],
                    "seeds": i.seeds,
                    "detail": found["detail"],
                }
            else:
                row |= {"verdict": "not yet run", "seeds": 0}
            rows.append(row)
    columns = [
        "claim",
        "section",
        "dataset",
        "statement",
        "verdict",
        "estimate",
        "low",
        "high",
        "unit",
        "seeds",
        "detail",
    ]
    return pd.DataFrame(rows, columns=columns)
