"""Is entropy a usable guide? What a response shows before any student learns from it, against what students learn.

Everything is compared *within* one data set and temperature. Pooled over them, a guide may seem good because data sets
and temperatures differ, which is no help to someone who has one data set and must choose a teacher.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kdutils.errors import UserError
from kdutils.protocols import PROFILES
from kdutils.records import with_cells
from kdutils.response import COUNTERFEITS

#: What can be known of a teacher without a student: records "response", on validation images.
GUIDES = ("entropy", "accuracy", "row", "column", "row_normalised", "column_normalised")
WITHIN = ("profile", "dataset", "temperature")
TEACHER = ["profile", "dataset", "training", "teacher", "seed", "temperature"]
FEWEST_RUNS = 6  # below it a bootstrap over runs says nothing
FEWEST_TEACHERS = 4  # that differ in more than the seed: fewer have no order to speak of


def teachers(response: pd.DataFrame, baseline: pd.DataFrame, missing_class: pd.DataFrame) -> pd.DataFrame:
    """One row for each recorded teacher, seed and temperature: `GUIDES`, and what students learn from it.

    Parameters
    ----------
    response, baseline : DataFrame
        Records of these names.
    missing_class : DataFrame
        Records "missing_class", and those of "variations" whose teachers were varied. A run may stand there twice.

    Returns
    -------
    DataFrame
        The columns `TEACHER`, `run` (of the teacher; all its epochs share it), `GUIDES` (validation images), and
        `single_layer` (test accuracy of the single-layer student), `missing` (accuracy on the class that a student
        never saw, mean over all classes) and `general` (those students' accuracy on all classes): fractions, NaN where
        not recorded. Teachers without any are left out, and so are counterfeit responses: they are no teacher's.
    """
    shown = response[response["split"] == "validation"].drop_duplicates(TEACHER).set_index(TEACHER)[["run", *GUIDES]]
    found = [baseline.drop_duplicates(TEACHER).set_index(TEACHER)["accuracy"].rename("single_layer")]
    genuine = ~missing_class["training"].str.fullmatch("|".join([".*told nothing", *COUNTERFEITS]))
    lacking = missing_class[genuine].dropna(subset="missing_class").drop_duplicates([*TEACHER, "missing_class"])
    classes = lacking["missing_class"].nunique()
    lacking = lacking.groupby(TEACHER)[["accuracy_missing", "accuracy"]]
    found.append(lacking.mean().set_axis(["missing", "general"], axis=1)[lacking.size() == classes])
    joined = shown.join(found, how="left").dropna(subset=["single_layer", "missing"], how="all")
    return joined.reset_index()


def rank_correlations(
    table: pd.DataFrame,
    outcome: str,
    guides: tuple[str, ...] = GUIDES,
    *,
    within: tuple[str, ...] = WITHIN,
    cluster: str = "run",
    draws: int = 1000,
) -> pd.DataFrame:
    """Spearman's rank correlation of each guide with an outcome, within each group, with a 95 % bootstrap interval.

    The epochs of one training run are alike, so whole runs are drawn, with replacement; the seed is fixed.

    Parameters
    ----------
    table : DataFrame
        As of `teachers`.
    outcome : str
        Its column; rows that lack it are left out.
    guides : tuple of str
        Columns to compare with it.
    within : tuple of str
        Columns whose values make a group.
    cluster : str
        The column that says which rows belong together.

    Returns
    -------
    DataFrame
        The columns `within`, `guide`, `correlation`, `low`, `high`, `teachers` (rows) and `runs` (clusters). The
        interval is NaN below `FEWEST_RUNS` runs, and the correlation where the guide or the outcome is constant. Groups
        of fewer than `FEWEST_TEACHERS` are left out.

    Raises
    ------
    UserError
        If a column is not there.
    """
    for column in (outcome, cluster, "training", "teacher", *guides, *within):
        if column not in table:
            raise UserError(f"no column {column!r}; there are: {', '.join(map(str, table))}")
    rows = []
    for names, of in table.dropna(subset=[outcome, *guides]).groupby(list(within), sort=False):
        if of.groupby(["training", "teacher"]).ngroups < FEWEST_TEACHERS:
            continue
        values = of[[outcome, *guides]].to_numpy(float)
        members = [np.flatnonzero(of[cluster] == run) for run in of[cluster].unique()]
        found = _spearman(values)
        again = np.full((1, len(guides)), np.nan)
        if len(members) >= FEWEST_RUNS:
            # The same draws whatever else is in the table.
            drawn = np.random.default_rng(0).integers(len(members), size=(draws, len(members)))
            again = np.array([_spearman(values[np.concatenate([members[m] for m in which])]) for which in drawn])
        for n, guide in enumerate(guides):
            known = again[~np.isnan(again[:, n]), n]
            low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
            rows.append((*names, guide, found[n], low, high, len(of), len(members)))
    return pd.DataFrame(rows, columns=[*within, "guide", "correlation", "low", "high", "teachers", "runs"])


def _spearman(values: np.ndarray) -> np.ndarray:
    """Rank correlation of the first column with each other; NaN with a constant one. Ties get their mean rank."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(rankdata(values, axis=0), rowvar=False)[0, 1:]


def choices(table: pd.DataFrame, outcome: str, guides: tuple[str, ...] = GUIDES) -> pd.DataFrame:
    """What one gets by following each guide: the outcome of the teacher that has most of it, mean over seeds.

    Returns
    -------
    DataFrame
        The columns `WITHIN`, `guide`, `chosen` (outcome of the teacher with the highest value of the guide), `average`
        (over all teachers: choosing at random), `best` (of all teachers: not to be known beforehand), `teachers` and
        `seeds`.
    """
    rows = []
    for names, of in table.dropna(subset=[outcome, *guides]).groupby(list(WITHIN), sort=False):
        if of.groupby(["training", "teacher"]).ngroups < FEWEST_TEACHERS:
            continue
        seeds = of.groupby("seed")
        all_of_it = (seeds[outcome].mean().mean(), seeds[outcome].max().mean(), len(of), seeds.ngroups)
        for guide in guides:
            chosen = of.loc[seeds[guide].idxmax(), outcome].mean()
            rows.append((*names, guide, chosen, *all_of_it))
    return pd.DataFrame(rows, columns=[*WITHIN, "guide", "chosen", "average", "best", "teachers", "seeds"])


def with_steps(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `teachers` from cells of the sweep, with `batch` (as named at full scale), `epoch` and optimiser `steps`."""
    table = with_cells(table).dropna(subset="batch")
    cells = zip(table["profile"], table["dataset"], table["batch"], table["epoch"], strict=True)
    return table.assign(steps=[PROFILES[p].steps(d, int(b), int(e)) for p, d, b, e in cells])


def per_doubling(table: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """How an outcome changes with a teacher's steps and with its batch size: least squares on both logarithms to base 2.

    Parameters
    ----------
    table : DataFrame
        As of `with_steps`.
    outcome : str
        Its column; rows that lack it are left out.

    Returns
    -------
    DataFrame
        For each profile and data set: `steps`, the change for twice the steps at equal batch size; `batch`, for twice the
        batch size at equal *steps*; `batch_at_equal_epochs`, for twice the batch size and so half the steps; `explained`,
        the share of the variance that the two account for, and `cells`. Fewer than `FEWEST_TEACHERS` cells are left out.
    """
    rows = []
    for (profile, dataset), of in table.dropna(subset=outcome).groupby(["profile", "dataset"], sort=False):
        if len(of) < FEWEST_TEACHERS:
            continue
        given = np.column_stack([np.ones(len(of)), *(np.log2(of[by].to_numpy(float)) for by in ("steps", "batch"))])
        values = of[outcome].to_numpy(float)
        found = np.linalg.lstsq(given, values, rcond=None)[0]
        explained = 1 - (values - given @ found).var() / values.var()
        rows.append((profile, dataset, *found[1:], found[2] - found[1], explained, len(of)))
    return pd.DataFrame(
        rows, columns=["profile", "dataset", "steps", "batch", "batch_at_equal_epochs", "explained", "cells"]
    )
