"""The typed tables against sums and cells read off the printed ones."""

from decimal import Decimal
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from kdutils import published
from kdutils.errors import UserError

DATASETS = ["mnist", "fashion_mnist", "cifar10"]


def test_every_name_loads_and_no_file_is_left_out():
    files = {p.name for p in (resources.files("kdutils") / "published").iterdir() if p.name.endswith(".csv")}
    assert files == {f"{name}.csv" for name in published.NAMES}
    for name in published.NAMES:
        table = published.load(name)
        assert len(table) and not table.isna().any().any()


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="did you mean 'missing_class'"):
        published.load("missing_clas")


def test_tables_are_independent_copies():
    table = published.load("missing_class")
    table.loc[0, "accuracy"] = -1
    assert published.load("missing_class").loc[0, "accuracy"] == 99.18


@pytest.mark.parametrize("dataset, total", list(zip(DATASETS, ["5947.54", "4180.70", "3033.73"], strict=True)))
def test_missing_class_sums(dataset, total):
    """Sums over the 120 printed cells of Tables 4, 5 and 6, exact in decimal."""
    table = published.load("missing_class").query("dataset == @dataset")
    assert len(table) == 120
    assert sum(Decimal(str(accuracy)) for accuracy in table["accuracy"]) == Decimal(total)


def test_missing_class_is_complete():
    table = published.load("missing_class")
    assert list(table.columns) == ["dataset", "missing_class", "teacher", "temperature", "accuracy"]
    assert pd.api.types.is_float_dtype(table["temperature"]) and pd.api.types.is_float_dtype(table["accuracy"])
    wanted = pd.MultiIndex.from_product([DATASETS, range(10), ["small", "large"], [3.0, 6.0, 9.0, 12.0, 15.0, 20.0]])
    found = pd.MultiIndex.from_frame(table.drop(columns="accuracy"))
    assert len(table) == 360 and found.is_unique and set(found) == set(wanted)
    assert table["accuracy"].between(0, 100).all()


@pytest.mark.parametrize(
    "dataset, missing_class, teacher, accuracies",
    [
        ("mnist", 0, "small", [99.18, 99.28, 99.48, 99.18, 98.67, 98.57]),
        ("mnist", 6, "large", [17.32, 2.08, 12.83, 7.09, 18.58, 7.41]),
        ("mnist", 9, "large", [0.00, 0.69, 0.10, 1.48, 1.28, 2.18]),
        ("fashion_mnist", 0, "large", [0.6, 6, 7.6, 7, 8.4, 9]),
        ("fashion_mnist", 6, "small", [55.80, 42.30, 30.30, 17.49, 6.40, 2.70]),
        ("fashion_mnist", 9, "small", [91.29, 89.99, 87.99, 83.39, 79.69, 74.00]),
        ("cifar10", 0, "small", [70.99, 66.6, 52.1, 42.6, 39.7, 31.5]),
        ("cifar10", 3, "small", [50.8, 42.1, 33, 22.6, 8.7, 4.6]),
        ("cifar10", 9, "large", [3.09, 2.99, 1.09, 0.80, 0.09, 0.80]),
    ],
)
def test_missing_class_rows(dataset, missing_class, teacher, accuracies):
    table = published.load("missing_class").query(
        "dataset == @dataset and missing_class == @missing_class and teacher == @teacher"
    )
    assert table.sort_values("temperature")["accuracy"].tolist() == accuracies


def soft_labels(number: int) -> np.ndarray:
    """Return one of Tables 1-3 as printed: examples x classes."""
    table = published.load("soft_labels").query("table == @number")
    return table.pivot(index="example", columns="class", values="probability").to_numpy()


@pytest.mark.parametrize("number, source, rows", [(1, "label smoothing", 3), (2, "small", 5), (3, "large", 5)])
def test_soft_labels_are_distributions_that_peak_at_six(number, source, rows):
    table = published.load("soft_labels")
    assert list(table.columns) == ["table", "source", "example", "class", "probability"] and len(table) == 130
    assert set(table.query("table == @number")["source"]) == {source}
    values = soft_labels(number)
    assert values.shape == (rows, 10)
    off = np.abs(values.sum(axis=1) - 1)
    # The second row of Table 2 is printed so: it sums to 0.975, more than rounding to three decimals explains.
    assert [i for i in range(rows) if off[i] > 0.005] == ([1] if number == 2 else []) and off.max() < 0.0255
    assert (values.argmax(axis=1) == 6).all()


@pytest.mark.parametrize("number, entropy, confidence", [(2, 2.24, 0.20), (3, 1.94, 0.41)])
def test_soft_labels_mean_entropy_and_confidence(number, entropy, confidence):
    """Each row divided by its sum, since one of Table 2 does not sum to 1."""
    values = soft_labels(number)
    values = values / values.sum(axis=1, keepdims=True)
    assert -(values * np.log(values)).sum(axis=1).mean() == pytest.approx(entropy, abs=0.005)
    assert values[:, 6].mean() == pytest.approx(confidence, abs=0.005)


def test_soft_labels_cells():
    expected = np.full(10, 0.06)
    expected[6] = 0.46
    assert (soft_labels(1) == expected).all()
    assert soft_labels(2)[0].tolist() == [0.087, 0.048, 0.095, 0.093, 0.077, 0.144, 0.206, 0.051, 0.122, 0.078]
    assert soft_labels(3)[4].tolist() == [0.077, 0.067, 0.061, 0.043, 0.068, 0.089, 0.450, 0.031, 0.075, 0.041]


def test_networks():
    table = published.load("networks")
    assert list(table.columns) == ["dataset", "role", "conv", "dense", "dropout", "batch_norm", "parameters"]
    assert table["dropout"].dtype == bool and table["batch_norm"].dtype == bool
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        ("mnist", "teacher-large", 3, 3, True, False, 2_560_906),
        ("mnist", "teacher-small", 2, 1, False, False, 1_433_610),
        ("mnist", "student", 2, 1, False, False, 20_490),
        ("mnist", "student-baseline", 0, 1, False, False, 7_850),
        ("fashion_mnist", "teacher-large", 4, 4, True, False, 2_339_850),
        ("fashion_mnist", "teacher-small", 3, 1, False, False, 1_558_538),
        ("fashion_mnist", "student", 2, 1, False, False, 50_186),
        ("fashion_mnist", "student-baseline", 0, 1, False, False, 7_850),
        ("cifar10", "teacher-large", 8, 3, True, True, 26_902_442),
        ("cifar10", "teacher-small", 3, 1, False, False, 5_674_634),
        ("cifar10", "student", 3, 1, False, False, 534_666),
        ("cifar10", "student-baseline", 0, 1, False, False, 30_730),
    ]


def test_statements():
    table = published.load("statements")
    assert list(table.columns) == ["name", "dataset", "value", "section"]
    assert table["section"].map(type).eq(str).all() and set(table["dataset"]) == {"", *DATASETS}
    assert not table.duplicated(["name", "dataset", "value"]).any()
    value = table.groupby("name")["value"].apply(list)
    assert value["alpha_kd"] == [0.99] and value["alpha_ls"] == [0.6]
    assert value["missing_class_temperature"] == [3, 6, 9, 12, 15, 20]
    assert value["few_examples_ratio_large_to_small"] == [10, 15, 18]
    ratios = table.query("name == 'few_examples_ratio_large_to_small'")
    assert ratios["dataset"].tolist() == DATASETS and set(ratios["section"]) == {"4.2"}
    before, after = value["examples_per_class_before_calibration"], value["examples_per_class_after_calibration"]
    assert before[0] / after[0] == value["examples_per_class_improvement"][0] == 5
    calibrated = table[table["name"].str.startswith("calibrated")].set_index("name")["value"]
    assert (calibrated["calibrated_batch_size"], calibrated["calibrated_epochs"]) == (4096, 50)
    alternative = calibrated["calibrated_alternative_batch_size"], calibrated["calibrated_alternative_epochs"]
    assert alternative == (8192, 40)


def test_statements_agree_with_the_tables():
    """Tables 2-3 count as hidden layers what Table 7 lists; Table 1 is Eq. 1 at the stated alpha."""
    statements = published.load("statements").set_index("name")["value"]
    networks = published.load("networks").set_index(["dataset", "role"])
    for size in ("small", "large"):
        row = networks.loc[("mnist", f"teacher-{size}")]
        assert row["conv"] + row["dense"] == statements[f"soft_labels_hidden_layers_{size}"]
    alpha = statements["alpha_ls"]
    expected = np.full(10, alpha / 10) + (1 - alpha) * np.eye(10)[6]
    np.testing.assert_allclose(soft_labels(1), np.tile(expected, (3, 1)), atol=1e-12)
