"""Guides to a teacher's worth, on made-up teachers of whom it is known what goes with what."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from kdutils import guides
from kdutils.errors import UserError
from kdutils.protocols import FULL_SIZE, PROFILES
from kdutils.training import epoch_order


def made_up(runs: int = 12, epochs: int = 4, seed: int = 0, **columns) -> pd.DataFrame:
    """Teachers of one data set and temperature: `columns` are functions of (run, epoch, generator)."""
    generator = np.random.default_rng(seed)
    rows = [
        {"profile": "paper", "dataset": "mnist", "temperature": 9.0, "run": f"r{run}", "seed": run % 3}
        | {"training": f"{run // 3}x{epoch}", "teacher": "large"}
        | {name: of(run, epoch, generator) for name, of in columns.items()}
        for run in range(runs)
        for epoch in range(epochs)
    ]
    return pd.DataFrame(rows)


def test_a_guide_that_orders_the_outcome_is_one_and_its_opposite_minus_one() -> None:
    table = made_up(
        outcome=lambda run, epoch, _: run + 0.1 * epoch,
        good=lambda run, epoch, _: np.exp(run + 0.1 * epoch),  # monotone, not linear
        bad=lambda run, epoch, _: -run - 0.1 * epoch,
        constant=lambda *_: 1.0,
    )
    found = guides.rank_correlations(table, "outcome", ("good", "bad", "constant")).set_index("guide")
    assert found["correlation"].round(12).tolist()[:2] == [1, -1] and np.isnan(found.loc["constant", "correlation"])
    assert found.loc["good", ["low", "high"]].round(12).tolist() == [1, 1]
    assert set(found["teachers"]) == {48} and set(found["runs"]) == {12}


def test_the_correlation_is_scipys_with_ties() -> None:
    table = made_up(
        outcome=lambda *of: of[2].integers(5), one=lambda *of: of[2].integers(4), two=lambda *of: of[2].normal()
    )
    found = guides.rank_correlations(table, "outcome", ("one", "two"))["correlation"]
    assert found.tolist() == pytest.approx([spearmanr(table["outcome"], table[g]).statistic for g in ("one", "two")])


def test_pooling_shows_what_is_not_there_and_groups_do_not() -> None:
    """Within each data set entropy says nothing; the second has more of both, so that pooled it seems to say much."""
    parts = [
        made_up(seed=n, entropy=lambda *of, n=n: 5 * n + of[2].normal(), outcome=lambda *of, n=n: 5 * n + of[2].normal())
        .assign(dataset=name)
        for n, name in enumerate(("mnist", "cifar10"))
    ]  # fmt: skip
    table = pd.concat(parts)
    within = guides.rank_correlations(table, "outcome", ("entropy",))
    assert within["dataset"].tolist() == ["mnist", "cifar10"]
    assert (within["correlation"].abs() < 0.35).all() and ((within["low"] < 0) & (within["high"] > 0)).all()
    pooled = guides.rank_correlations(table, "outcome", ("entropy",), within=("profile",))
    assert pooled["correlation"].iloc[0] > 0.7 and pooled["low"].iloc[0] > 0.5


def test_intervals_draw_whole_runs() -> None:
    """Ten epochs of a run that are one and the same teacher are no more evidence than one epoch."""
    one = made_up(epochs=1, entropy=lambda run, *_: run % 5, outcome=lambda run, *_: run % 7)
    ten = pd.concat([one] * 10)
    width = lambda table, **of: (
        guides.rank_correlations(table, "outcome", ("entropy",), **of).eval("high - low").iloc[0]
    )
    assert width(ten) == pytest.approx(width(one), rel=0.1)
    rows = ten.assign(run=[f"r{n}" for n in range(len(ten))])
    assert width(rows) < 0.6 * width(ten), "as if all rows were evidence of their own"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Runs of two normal values with a rank correlation of 6/π·asin(ρ/2)."""
    truth, inside = 6 / np.pi * np.arcsin(0.6 / 2), 0
    for seed in range(100):
        pairs = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 30)
        table = made_up(30, 1, entropy=lambda run, *_, p=pairs: p[run, 0], outcome=lambda run, *_, p=pairs: p[run, 1])
        row = guides.rank_correlations(table, "outcome", ("entropy",), draws=100).iloc[0]
        inside += row["low"] <= truth <= row["high"]
    assert 85 <= inside <= 100


def test_few_runs_have_no_interval_and_the_same_call_gives_the_same() -> None:
    columns = {"entropy": lambda *of: of[2].normal(), "outcome": lambda *of: of[2].normal()}
    few = guides.rank_correlations(made_up(guides.FEWEST_RUNS - 1, **columns), "outcome", ("entropy",)).iloc[0]
    assert np.isnan(few["low"]) and np.isnan(few["high"]) and not np.isnan(few["correlation"])
    table = made_up(guides.FEWEST_RUNS, **columns)
    one, same = (guides.rank_correlations(table, "outcome", ("entropy",)) for _ in range(2))
    pd.testing.assert_frame_equal(one, same)
    assert one["low"].notna().all()
    beside = guides.rank_correlations(pd.concat([table.assign(dataset="cifar10"), table]), "outcome", ("entropy",))
    assert (beside[["low", "high"]] == one[["low", "high"]].iloc[0]).all(axis=None), "whatever else is in the table"


def test_groups_of_fewer_teachers_than_can_be_ranked_are_left_out() -> None:
    columns = {"entropy": lambda *of: of[2].normal(), "outcome": lambda *of: of[2].normal()}
    two = made_up(6, 1, **columns)  # two trainings, three seeds: six rows, and one order or the other
    assert two["training"].nunique() == 2
    assert guides.rank_correlations(two, "outcome", ("entropy",)).empty
    assert len(guides.rank_correlations(made_up(12, 1, **columns), "outcome", ("entropy",))) == 1


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no column 'entropi'; there are: profile, dataset"):
        guides.rank_correlations(made_up(outcome=lambda *_: 1.0), "outcome", ("entropi",))


def test_following_a_guide_gives_the_outcome_of_the_teacher_it_names() -> None:
    table = made_up(
        runs=6, epochs=2,
        outcome=lambda run, epoch, _: run // 3 + 0.1 * epoch,  # 0, 0.1, 1, 1.1 in each seed
        good=lambda run, epoch, _: run // 3 + 0.1 * epoch,
        bad=lambda run, epoch, _: -run // 3 - 0.1 * epoch,
    )  # fmt: skip
    found = guides.choices(table, "outcome", ("good", "bad")).set_index("guide")
    assert found["chosen"].tolist() == pytest.approx([1.1, 0.0])
    assert found["average"].tolist() == pytest.approx([0.55, 0.55]) and found["best"].tolist() == pytest.approx(
        [1.1] * 2
    )
    assert set(found["seeds"]) == {3} and set(found["teachers"]) == {12}


def test_teachers_are_joined_with_what_their_students_learnt() -> None:
    who = {"profile": "paper", "dataset": "mnist", "seed": 0, "temperature": 9.0}
    named = [("equal", "small"), ("equal", "large"), ("256x5", "large"), ("256x10", "large")]
    named += [("even", "large"), ("width/8, told nothing", "large")]  # which are no teachers'
    keys = [who | {"training": training, "teacher": teacher} for training, teacher in named]
    response = pd.DataFrame(
        [k | {"split": s, "run": f"run{n // 2}"} | dict.fromkeys(guides.GUIDES, n + (s == "test")) for n, k in enumerate(keys)
         for s in ("validation", "test")]
    )  # fmt: skip
    control = who | {"training": "uniform", "teacher": "uniform"}
    baseline = pd.DataFrame(
        [k | {"accuracy": 0.9 - 0.1 * n} for n, k in enumerate(keys[1:3])] + [control | {"accuracy": 0}]
    )
    missing = pd.DataFrame(
        [
            k | {"missing_class": c, "accuracy_missing": 0.1 * c, "accuracy": 0.8}
            for k in [*keys[4:], *keys[:2]]
            for c in range(10)
        ][:-1]
    )  # the large teacher's last class is not recorded
    found = guides.teachers(response, baseline, missing).set_index(["training", "teacher"])
    assert set(found.index) == {("equal", "small"), ("equal", "large"), ("256x5", "large")}, "256x10 taught no one"
    assert found["entropy"].to_dict() == {("equal", "small"): 0, ("equal", "large"): 1, ("256x5", "large"): 2}
    assert found.loc[("equal", "large"), "single_layer"] == 0.9 and np.isnan(found.loc[("equal", "large"), "missing"])
    assert found.loc[("equal", "small"), "missing"] == pytest.approx(0.45)
    assert found.loc[("equal", "small"), "general"] == pytest.approx(0.8)
    assert found.loc[("256x5", "large"), "run"] == "run1"


def of_the_sweep(profile: str, **columns) -> pd.DataFrame:
    """Cells of the sweep; `columns` are functions of their number of steps and batch size."""
    cells = [(size, epochs) for size in (256, 1024, 4096) for epochs in (1, 2, 10)]
    table = pd.DataFrame({"training": [f"{size}x{epochs}" for size, epochs in cells]})
    table = guides.with_steps(table.assign(profile=profile, dataset="mnist", teacher="large"))
    return table.assign(**{n: [of(*cell) for cell in zip(table["steps"], table["batch"])] for n, of in columns.items()})


@pytest.mark.parametrize("profile", ["paper", "cpu"])
def test_steps_are_the_batches_that_training_draws(profile) -> None:
    given, table = PROFILES[profile], of_the_sweep(profile)
    size = given.train_size["mnist"] or FULL_SIZE["mnist"]
    for row in table.itertuples():
        drawn = len(epoch_order(size, 0, 1).split(given.batch_size("mnist", int(row.batch))))
        assert row.steps == drawn * row.epoch
    assert guides.with_steps(pd.DataFrame({"training": ["equal"], "profile": "paper", "dataset": "mnist"})).empty


def test_what_doubling_does_is_found_where_it_is_known() -> None:
    table = of_the_sweep("paper", planted=lambda steps, batch: 3 - 0.27 * np.log2(steps) + 0.15 * np.log2(batch))
    found = guides.per_doubling(table, "planted").iloc[0]
    assert found[["steps", "batch", "batch_at_equal_epochs"]].tolist() == pytest.approx([-0.27, 0.15, 0.42])
    assert found["explained"] == pytest.approx(1) and found["cells"] == 9
    noise = np.random.default_rng(0)
    blank = guides.per_doubling(of_the_sweep("paper", planted=lambda *_: noise.normal()), "planted").iloc[0]
    assert blank["explained"] < 0.7
    assert guides.per_doubling(table.head(guides.FEWEST_TEACHERS - 1), "planted").empty
