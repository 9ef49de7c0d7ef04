"""Verdicts on made-up records of which the truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdutils import claims, records
from kdutils.claims import CELL_SHARE, CLAIMS, GAP_POINTS, LARGE_CEILING, interval, verdicts

TEMPERATURES = (3.0, 9.0, 20.0, 40.0)


def missing_class(small, large, seeds=1, **changes) -> pd.DataFrame:
    """Records of `missing_class`: accuracies in percent, numbers or functions of (seed, class, temperature)."""
    value = lambda v, *at: (v(*at) if callable(v) else v) / 100
    rows = [
        {
            **{"profile": "paper", "dataset": "mnist", "training": "equal", "teacher": teacher, "seed": seed},
            **{"missing_class": c, "temperature": t, "run": f"{teacher}{seed}{c}{t}"},
            "accuracy_missing": value(accuracy, seed, c, t),
            **changes,
        }
        for teacher, accuracy in (("small", small), ("large", large))
        for seed in range(seeds)
        for c in range(10)
        for t in TEMPERATURES
    ]
    return pd.DataFrame(rows)


def response(small, large, seeds=1, split="test", **changes) -> pd.DataFrame:
    """Records of `response`: entropies in nats, functions of (seed, temperature)."""
    rows = [
        {
            **{"profile": "paper", "dataset": "mnist", "training": "equal", "teacher": teacher, "seed": seed},
            **{"split": split, "temperature": t, "entropy": entropy(seed, t)},
            **changes,
        }
        for teacher, entropy in (("small", small), ("large", large))
        for seed in range(seeds)
        for t in TEMPERATURES
    ]
    return pd.DataFrame(rows)


def decide(claim: str, table: pd.DataFrame, dataset: str = "mnist", profile: str = "paper") -> pd.Series:
    """The row of one claim for one data set, from records in which the other tables are empty."""
    (name,) = [c.records for c in CLAIMS if c.id == claim]
    empty = lambda other: pd.DataFrame(columns=records.IDENTITY[other] + records.VALUES[other])
    found = verdicts(lambda other: table if other == name else empty(other), profile, (dataset,))
    (row,) = [row for _, row in found.iterrows() if row["claim"] == claim]
    return row


# The interval


@pytest.mark.parametrize("n", [3, 4, 10])
def test_the_interval_is_that_of_a_t_test(n):
    values = pd.Series(np.random.default_rng(n).normal(5, 2, n))
    found = interval(values)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert (found.estimate, found.low, found.high, found.seeds) == pytest.approx((values.mean(), low, high, n))


def test_the_interval_by_hand():
    """1, 2, 3: mean 2, standard error 1/√3, t = 4.303 at two degrees of freedom."""
    found = interval(pd.Series([1.0, 2.0, 3.0]))
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3)) == 2 - found.low


def test_below_three_seeds_there_is_no_interval():
    found = interval(pd.Series([1.0, 2.0]))
    assert found.estimate == 1.5 and math.isnan(found.low) and math.isnan(found.high) and found.seeds == 2


# The missing-class gap


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [
        (95, 10, "reproduced"),
        (LARGE_CEILING + GAP_POINTS, LARGE_CEILING - 0.01, "reproduced"),
        (LARGE_CEILING + GAP_POINTS - 0.02, LARGE_CEILING - 0.01, "partly"),  # gap too small, the other two hold
        (95, LARGE_CEILING + 0.01, "partly"),  # the large teacher's students know too much
        (50, 49, "partly"),  # ahead in every cell, and nothing else
        (10, 95, "not reproduced"),
        (5, 10, "not reproduced"),  # the large one's mean is low, but the small one is behind
        (10, 10, "not reproduced"),
    ],
)
def test_missing_class_gap(small, large, verdict, seeds):
    spread = lambda mean: lambda seed, c, t: mean + 0.1 * (seed - (seeds - 1) / 2) * (mean == small)
    row = decide("missing-class-gap", missing_class(spread(small), spread(large), seeds))
    assert row["verdict"] == verdict
    assert row["estimate"] == pytest.approx(small - large) and row["unit"] == "points" and row["seeds"] == seeds
    assert math.isnan(row["low"]) == (seeds < 3)


@pytest.mark.parametrize(("behind", "verdict"), [(2, "reproduced"), (3, "partly")])
def test_the_share_of_cells_decides_at_its_boundary(behind, verdict):
    """40 cells: 38 are 95 %."""
    assert CELL_SHARE == 0.95
    lost = [(c, t) for c in range(10) for t in TEMPERATURES][:behind]
    row = decide("missing-class-gap", missing_class(lambda seed, c, t: 0 if (c, t) in lost else 95, 10))
    assert row["verdict"] == verdict and f"{1 - behind / 40:.0%}" in row["detail"]


def test_a_gap_that_depends_on_the_seed_is_not_reproduced_in_full():
    """Gaps of 10, 20 and 90: 40 on the mean, but the interval holds 0."""
    row = decide("missing-class-gap", missing_class(lambda seed, c, t: [20, 30, 100][seed], 10, seeds=3))
    assert row["estimate"] == pytest.approx(40) and row["low"] < 0 < row["high"]
    assert row["verdict"] == "partly"


def test_the_interval_is_paired_by_seed():
    """Both teachers vary by 40 points between seeds, their difference by one: pairing must see it."""
    shift = lambda seed: [0, 4, 8][seed]
    small = lambda seed, c, t: 60 + shift(seed) + seed / 2
    row = decide("missing-class-gap", missing_class(small, lambda seed, c, t: 5 + shift(seed), seeds=3))
    assert row["high"] - row["low"] == pytest.approx(2 * 4.302653 * 0.5 / math.sqrt(3), rel=1e-5)


# The entropy gap


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("above", "verdict"), [(4, "reproduced"), (3, "partly"), (1, "partly"), (0, "not reproduced")])
def test_entropy_gap(above, verdict, seeds):
    large = lambda seed, t: 1 + 0.001 * seed
    small = lambda seed, t: large(seed, t) + (0.1 if t in TEMPERATURES[:above] else -0.1)
    row = decide("entropy-gap", response(small, large, seeds))
    assert row["verdict"] == verdict and f"{above} of 4" in row["detail"]
    assert row["estimate"] == pytest.approx(0.1 * (2 * above - 4) / 4, abs=1e-9)


def test_equal_entropies_are_not_above():
    assert decide("entropy-gap", response(lambda s, t: 1.0, lambda s, t: 1.0))["verdict"] == "not reproduced"


def test_with_three_seeds_the_interval_decides_too():
    small = lambda seed, t: 1 + [-0.1, 0.1, 0.3][seed]
    assert decide("entropy-gap", response(small, lambda s, t: 1.0, seeds=3))["verdict"] == "not reproduced"
    assert decide("entropy-gap", response(lambda s, t: small(2, t), lambda s, t: 1.0))["verdict"] == "reproduced"


def test_only_the_test_set_counts():
    good, bad = (lambda s, t: 2.0), (lambda s, t: 1.0)
    table = pd.concat(
        [response(good, bad), response(bad, good, split="train"), response(bad, good, split="validation")]
    )
    assert decide("entropy-gap", table)["verdict"] == "reproduced"


# Which records count


def test_only_equal_training_counts():
    calibrated = missing_class(95, 10, training="calibrated")
    assert decide("missing-class-gap", calibrated)["verdict"] == "not yet run"
    assert decide("missing-class-gap", pd.concat([calibrated, missing_class(10, 95)]))["verdict"] == "not reproduced"


def test_other_profiles_and_datasets_do_not_count():
    table = pd.concat([missing_class(95, 10, profile="smoke"), missing_class(95, 10, dataset="cifar10")])
    assert decide("missing-class-gap", table)["verdict"] == "not yet run"
    assert decide("missing-class-gap", table, profile="smoke")["verdict"] == "reproduced"
    assert decide("missing-class-gap", table, dataset="cifar10")["verdict"] == "reproduced"


def test_what_has_no_pair_is_not_yet_run():
    whole = missing_class(95, 10, seeds=2)
    one_teacher = whole[whole["teacher"] == "small"]
    assert decide("missing-class-gap", one_teacher)["verdict"] == "not yet run"
    apart = whole[(whole["teacher"] == "small") == (whole["seed"] == 0)]  # seed 0 of the one, seed 1 of the other
    assert decide("missing-class-gap", apart)["verdict"] == "not yet run"
    entropies = response(lambda s, t: 2.0, lambda s, t: 1.0, seeds=2)
    apart = entropies[(entropies["teacher"] == "small") == (entropies["seed"] == 0)]
    assert decide("entropy-gap", apart)["verdict"] == "not yet run"


def test_a_seed_that_only_one_teacher_has_is_left_out():
    whole = missing_class(lambda seed, c, t: [95, 0][seed], 10, seeds=2)
    row = decide(
        "missing-class-gap", whole[(whole["teacher"] == "large") & (whole["seed"] == 0) | (whole["teacher"] == "small")]
    )
    assert row["seeds"] == 1 and row["verdict"] == "reproduced"


def test_nothing_recorded_is_a_row_for_each_claim_and_dataset(tmp_path):
    found = verdicts(lambda name: records.load(name, tmp_path), "paper")
    assert (found["verdict"] == "not yet run").all() and (found["seeds"] == 0).all()
    assert len(found) == len(CLAIMS) * 3 and list(found["dataset"].unique()) == list(claims.DATASETS)


def test_the_text_of_a_claim_states_its_thresholds():
    text = {claim.id: claim.test for claim in CLAIMS}
    for number in (f"{GAP_POINTS:.0f} points", f"{CELL_SHARE:.0%}", f"{LARGE_CEILING:.0f} %"):
        assert number in text["missing-class-gap"]
    assert "every T" in text["entropy-gap"]
