"""Soft labels, entropy, variance and selection against slow loops, printed values and properties."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdutils import published
from kdutils.errors import UserError
from kdutils.losses import label_smoothing_targets
from kdutils.response import (
    at_temperature,
    confidence_labels,
    entropy,
    response_variance,
    select_examples,
    similarity_labels,
    soft_labels,
)

MEASURES = ["row", "row_all", "row_normalised", "column", "column_all", "column_normalised"]
LOGITS = st.lists(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), min_size=1, max_size=5)
TEMPERATURES = st.floats(1e-3, 1e6)


def response(n=12, c=5, seed=0, scale=5.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, c, generator=generator, dtype=torch.float64)
    return logits, torch.arange(n) % c


def printed(table):
    rows = published.load("soft_labels").query("table == @table")
    soft = torch.tensor(rows.pivot(index="example", columns="class", values="probability").to_numpy())
    return soft, torch.full((len(soft),), 6)


# Soft labels and entropy


def test_table_1_exactly():
    soft, labels = printed(1)
    targets = label_smoothing_targets(labels, 10, 0.6)
    torch.testing.assert_close(targets.double(), soft, rtol=1e-6, atol=0)
    assert [f"{x:.2f}" for x in targets[0]] == ["0.06"] * 6 + ["0.46"] + ["0.06"] * 3


def test_entropy_of_label_smoothing_at_alpha_0_6():
    """-(0.46 ln 0.46 + 9 · 0.06 ln 0.06) = 1.88 nats; soft labels at T = 1 of log-probabilities are themselves."""
    targets = label_smoothing_targets(torch.tensor([6]), 10, 0.6).double()
    value = float(entropy(targets.log(), 1))
    assert value == pytest.approx(-(0.46 * math.log(0.46) + 9 * 0.06 * math.log(0.06)), rel=1e-6)
    assert f"{value:.2f}" == "1.88"


def test_printed_responses_have_the_stated_means():
    """Tables 2 and 3 at T = 9: mean entropy 2.24 and 1.94 nats, mean confidence 0.20 and 0.41.

    Rows are made to sum to one first: the second of Table 2 sums to 0.975 as printed.
    """
    for table, mean_entropy, confidence in ((2, 2.24, 0.20), (3, 1.94, 0.41)):
        soft, labels = printed(table)
        assert float(entropy(soft.log(), 1).mean()) == pytest.approx(mean_entropy, abs=0.005)
        assert float(confidence_labels(soft.log(), labels, 1).mean()) == pytest.approx(confidence, abs=0.0051)


@pytest.mark.parametrize("temperature", [0.5, 1, 9.0])
def test_soft_labels_and_entropy_against_the_formula(temperature):
    logits, labels = response()
    for z, label, p, h, confidence, similarity in zip(
        logits.tolist(),
        labels.tolist(),
        soft_labels(logits, temperature),
        entropy(logits, temperature),
        confidence_labels(logits, labels, temperature),
        similarity_labels(logits, labels, temperature),
        strict=True,
    ):
        wanted = [math.exp(a / temperature) / sum(math.exp(b / temperature) for b in z) for a in z]
        assert p.tolist() == pytest.approx(wanted, rel=1e-12)
        assert float(h) == pytest.approx(-sum(q * math.log(q) for q in wanted), rel=1e-10)
        assert float(confidence) == pytest.approx(wanted[label], rel=1e-12)
        assert similarity.tolist() == pytest.approx(wanted[:label] + wanted[label + 1 :], rel=1e-12)


def test_an_offset_costs_no_precision():
    """Logits near 1e4, divided by 9 as they are, would lose 4 of float32's 7 digits."""
    logits = torch.tensor([[10_000.0, 10_001.0, 9_998.0]])
    torch.testing.assert_close(soft_labels(logits, 9), soft_labels(logits.double(), 9).float(), rtol=1e-6, atol=0)


def test_precision_is_float32_or_float64_if_given():
    logits, labels = response()
    for dtype, wanted in ((torch.float64,) * 2, (torch.float32,) * 2, (torch.float16, torch.float32)):
        given_ = logits.to(dtype)
        assert soft_labels(given_, 9).dtype == entropy(given_, 9).dtype == wanted
        assert confidence_labels(given_, labels, 9).dtype == similarity_labels(given_, labels, 9).dtype == wanted


def test_uniform_and_certain_responses():
    assert float(entropy(torch.full((1, 10), 3.0), 7)) == pytest.approx(math.log(10), rel=1e-6)
    assert float(entropy(torch.tensor([[1e4, 0.0, -1e4]]), 1)) == 0
    assert float(entropy(torch.tensor([[1e4, 1e4, -1e4]]), 1e-3)) == pytest.approx(math.log(2))
    assert float(entropy(torch.tensor([[1e4, 0.0, -1e4]]), 1e9)) == pytest.approx(math.log(3))


@given(LOGITS, TEMPERATURES)
@settings(max_examples=100, deadline=None)
def test_any_response_is_a_distribution_with_its_entropy_in_bounds(logits, temperature):
    soft, h = soft_labels(torch.tensor(logits), temperature), entropy(torch.tensor(logits), temperature)
    assert ((soft >= 0) & (soft <= 1)).all()
    torch.testing.assert_close(soft.sum(1), torch.ones(len(soft)))
    assert ((h >= 0) & (h <= math.log(4) + 1e-6)).all()


@given(LOGITS, TEMPERATURES, st.floats(1, 100))
@settings(max_examples=100, deadline=None)
def test_entropy_rises_and_confidence_falls_with_temperature(logits, temperature, factor):
    """Section 2: "Increasing T decreases qi for correct class", for the class with the largest logit."""
    logits = torch.tensor(logits, dtype=torch.float64)
    top = logits.argmax(1)
    assert (entropy(logits, temperature * factor) >= entropy(logits, temperature) - 1e-12).all()
    cool, warm = (confidence_labels(logits, top, t) for t in (temperature, temperature * factor))
    assert (warm <= cool + 1e-12).all()


@given(LOGITS, st.floats(0.1, 100), st.floats(-100, 100), st.permutations(range(4)))
@settings(max_examples=50, deadline=None)
def test_shift_scale_and_class_order_leave_the_response(logits, temperature, shift, order):
    logits = torch.tensor(logits, dtype=torch.float64)
    soft = soft_labels(logits, temperature)
    torch.testing.assert_close(soft_labels(logits + shift, temperature), soft, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(soft_labels(2 * logits, 2 * temperature), soft)
    torch.testing.assert_close(soft_labels(logits[:, order], temperature), soft[:, order])
    torch.testing.assert_close(entropy(logits[:, order], temperature), entropy(logits, temperature))


def test_no_examples_have_no_response():
    empty, none = torch.zeros(0, 10), torch.zeros(0, dtype=torch.long)
    assert soft_labels(empty, 9).shape == (0, 10) and entropy(empty, 9).shape == (0,)
    assert similarity_labels(empty, none, 9).shape == (0, 9)


@pytest.mark.parametrize("temperature", [0, -1, math.inf, math.nan, "9", None])
def test_impossible_temperatures_are_refused(temperature):
    for function in (soft_labels, entropy):
        with pytest.raises(UserError, match="temperature must be a number"):
            function(torch.zeros(2, 3), temperature)


def test_shapes_and_labels_that_do_not_fit_are_refused():
    for wrong in (torch.zeros(3), torch.tensor(1.0), torch.zeros(3, 0)):
        with pytest.raises(UserError, match=r"logits must be \(N, C\)"):
            entropy(wrong, 9)
    for wrong in (torch.zeros(2), torch.tensor([0]), torch.tensor([True, False])):
        with pytest.raises(UserError, match="labels must be class indices"):
            similarity_labels(torch.zeros(2, 3), wrong, 9)
    for bad in (-1, 3):
        with pytest.raises(UserError, match=r"labels must lie in 0\.\.2"):
            confidence_labels(torch.zeros(2, 3), torch.tensor([0, bad]), 9)


# Variance in response


def reference_variance(soft, labels):
    """The six definitions, one number at a time."""

    def variance(values, correction):
        mean = sum(values) / len(values)
        return sum((v - mean) ** 2 for v in values) / (len(values) - correction)

    n, c = len(soft), len(soft[0])
    similarity = [[soft[i][k] for k in range(c) if k != labels[i]] for i in range(n)]
    normalised = [[v / sum(row) for v in row] for row in similarity]
    result = {}
    for suffix, rows in (("", similarity), ("_all", soft), ("_normalised", normalised)):
        result["row" + suffix] = sum(variance(row, 0) for row in rows) / n
        of_class = []
        for label in sorted(set(labels)):
            members = [rows[i] for i in range(n) if labels[i] == label]
            columns = list(zip(*members, strict=True))
            of_class.append(sum(variance(column, 1) for column in columns) / len(columns))
        result["column" + suffix] = sum(of_class) / len(of_class)
    return result


@pytest.mark.parametrize("c, n", [(2, 8), (5, 17), (10, 40)])
def test_variance_against_the_loop(c, n):
    logits, labels = response(n, c)
    soft = soft_labels(logits, 4)
    found = response_variance(soft, labels)
    assert list(found) == MEASURES
    assert found == pytest.approx(reference_variance(soft.tolist(), labels.tolist()), rel=1e-9, abs=1e-30)


def test_variance_of_the_printed_tables():
    """Which teacher varies more depends on the definition: by two of three column-wise ones, the small one."""
    small, large = (response_variance(*printed(table)) for table in (2, 3))
    assert small == pytest.approx(reference_variance(printed(2)[0].tolist(), [6] * 5))
    ratio = {name: large[name] / small[name] for name in MEASURES}
    assert ratio["row_all"] > 7 and ratio["row_normalised"] > 1.8 and ratio["row"] == pytest.approx(1, abs=0.01)
    assert ratio["column"] < 0.5 and ratio["column_normalised"] < 0.4 and ratio["column_all"] > 2


def test_label_smoothing_has_no_variance_but_that_of_the_peak():
    labels = torch.arange(20) % 10
    found = response_variance(label_smoothing_targets(labels, 10, 0.6), labels)
    peak = found.pop("row_all")
    assert peak == pytest.approx((0.4**2) * 0.1 * 0.9, rel=1e-6)  # 0.46 once and 0.06 nine times
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-15)


def test_only_the_normalised_variances_see_through_confidence():
    """Equal similarity at half the size: a quarter of the variance, but the same once normalised."""
    logits, labels = response()
    soft = soft_labels(logits, 4)
    own = torch.nn.functional.one_hot(labels, 5).bool()
    surer = torch.where(own, 1 - (1 - soft) / 2, soft / 2)
    before, after = response_variance(soft, labels), response_variance(surer, labels)
    for name in ("row", "column"):
        assert after[name] == pytest.approx(before[name] / 4)
        assert after[f"{name}_normalised"] == pytest.approx(before[f"{name}_normalised"])


def test_row_normalised_is_the_squared_coefficient_of_variation():
    logits, labels = response()
    similarity = similarity_labels(logits, labels, 4).numpy()
    squared = (similarity.std(axis=1) / similarity.mean(axis=1)) ** 2
    found = response_variance(soft_labels(logits, 4), labels)["row_normalised"]
    assert found == pytest.approx(squared.mean() / 4**2)


def test_every_class_counts_alike_column_wise():
    """Repeating the examples of one class must not move the mean over classes (nearly: the divisor is n - 1)."""
    logits, labels = response(400, 4)
    more = torch.cat([torch.arange(400), (labels == 0).nonzero().squeeze(1).repeat(20)])
    soft = soft_labels(logits, 4)
    before, after = response_variance(soft, labels), response_variance(soft[more], labels[more])
    assert after["column"] == pytest.approx(before["column"], rel=0.01)


@given(LOGITS, TEMPERATURES, st.permutations(range(10)))
@settings(max_examples=50, deadline=None)
def test_variances_are_bounded_and_do_not_depend_on_order(logits, temperature, order):
    soft = soft_labels(torch.tensor(logits, dtype=torch.float64), temperature).repeat(10, 1)[:10]
    soft = torch.cat([soft, soft.flip(0)])[:10] if len(soft) < 10 else soft
    labels = torch.arange(10) % 2
    found = response_variance(soft, labels)
    for name, value in found.items():
        vanished = "normalised" in name and (similarity_labels(soft.log(), labels, 1).sum(1) == 0).any()
        assert math.isnan(value) if vanished else 0 <= value <= 1
    shuffled = response_variance(soft[order], labels[order])
    assert shuffled == pytest.approx(found, rel=1e-9, abs=1e-15, nan_ok=True)


def test_vanished_similarity_leaves_nothing_to_normalise():
    labels = torch.tensor([0, 0, 1, 1])
    found = response_variance(torch.eye(3)[labels], labels)
    assert math.isnan(found["row_normalised"]) and math.isnan(found["column_normalised"])
    assert found["row"] == found["column"] == found["column_all"] == 0 and found["row_all"] == pytest.approx(2 / 9)


def test_variance_refuses_what_it_has_no_answer_for():
    labels = torch.tensor([0, 0, 1, 1])
    with pytest.raises(UserError, match="two classes"):
        response_variance(torch.ones(2, 1), torch.zeros(2, dtype=torch.long))
    with pytest.raises(UserError, match="examples"):
        response_variance(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    with pytest.raises(UserError, match="class 2 has 1"):
        response_variance(torch.full((4, 3), 1 / 3), torch.tensor([0, 0, 2, 0]))
    for bad in (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.full((4, 3), math.nan)):
        with pytest.raises(UserError, match=r"must lie in \[0, 1\]"):
            response_variance(bad, labels)


def test_arrays_are_as_good_as_tensors():
    logits, labels = response()
    soft = soft_labels(logits.numpy(), 4)
    assert response_variance(soft.numpy(), labels.numpy()) == response_variance(soft, labels)


# Selection


def test_selection_against_sorting_each_class():
    logits, labels = response(50, 5)
    values = entropy(logits, 9).tolist()
    for selection, sign in (("highest", -1), ("lowest", 1)):
        wanted = []
        for c in range(5):
            members = [i for i in range(50) if labels[i] == c]
            wanted += sorted(members, key=lambda i: (sign * values[i], i))[:3]
        found = select_examples(logits, labels, 3, selection=selection, temperature=9)
        assert found.dtype == torch.int64 and found.tolist() == sorted(wanted)


@given(st.integers(0, 3), st.sampled_from(["highest", "lowest", "random"]), TEMPERATURES)
@settings(max_examples=60, deadline=None)
def test_selections_are_balanced_nested_and_repeatable(seed, selection, temperature):
    logits, labels = response(40, 4, seed)
    labels = labels[torch.randperm(40, generator=torch.Generator().manual_seed(seed))]
    chosen = [
        select_examples(logits, labels, size, selection=selection, temperature=temperature, seed=seed).tolist()
        for size in (1, 2, 5, 10, 10)
    ]
    for size, indices in zip((1, 2, 5, 10), chosen, strict=False):
        assert indices == sorted(set(indices))
        assert labels[indices].bincount().tolist() == [size] * 4
    assert all(set(a) < set(b) for a, b in itertools.pairwise(chosen[:4]))
    assert chosen[3] == chosen[4] == list(range(40))


@pytest.mark.parametrize("selection", ["highest", "lowest"])
def test_ties_go_to_the_earlier_example(selection):
    labels = torch.tensor([0, 1] * 50)
    found = select_examples(torch.ones(100, 2), labels, 3, selection=selection, temperature=9)
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_rounding_to_float32_does_not_decide():
    """Entropies ln 2 - 1e-9, ln 2 - 5e-9, ln 2 - 1e-10 are one number in float32."""
    logits = torch.tensor([[0.0, 1e-4], [0.0, 2e-4], [0.0, 3e-5]])
    labels = torch.zeros(3, dtype=torch.long)
    assert len(set(entropy(logits, 1).tolist())) == 1
    assert select_examples(logits, labels, 1, selection="lowest", temperature=1).tolist() == [1]
    assert select_examples(logits, labels, 1, selection="highest", temperature=1).tolist() == [2]


def test_random_needs_no_logits_and_follows_the_seed():
    labels = torch.arange(1000) % 10
    first, again, other = (select_examples(None, labels, 20, selection="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    # Not the first of the file: 200 of 1,000 at random have a mean index near 500 (standard error 18).
    assert abs(float(first.double().mean()) - 500) < 80


def test_classes_that_do_not_occur_are_left_out():
    labels = torch.tensor([0, 0, 7, 7])
    assert select_examples(None, labels, 2, selection="random").tolist() == [0, 1, 2, 3]


def test_impossible_selections_are_refused():
    logits, labels = response(9, 2)  # five examples of class 0, four of class 1
    with pytest.raises(UserError, match="class 1 has 4"):
        select_examples(logits, labels, 5, selection="highest", temperature=9)
    with pytest.raises(UserError, match="there are none"):
        select_examples(None, labels[:0], 1, selection="random")
    with pytest.raises(UserError, match="did you mean 'highest'"):
        select_examples(logits, labels, 1, selection="higest", temperature=9)
    for wrong in (0, -1, 2.5, "5"):
        with pytest.raises(UserError, match="per_class"):
            select_examples(logits, labels, wrong, selection="lowest", temperature=9)
    for wrong in (None, logits[:4]):
        with pytest.raises(UserError, match="needs the teacher's logits"):
            select_examples(wrong, labels, 1, selection="lowest", temperature=9)
    with pytest.raises(UserError, match="not finite"):
        select_examples(np.full((9, 2), np.nan), labels, 1, selection="lowest", temperature=9)


def test_soft_labels_move_from_one_temperature_to_another():
    generator = torch.Generator().manual_seed(3)
    logits = 5 * torch.randn(20, 10, generator=generator, dtype=torch.float64)
    moved = at_temperature(soft_labels(logits, 9), 9, 2)
    torch.testing.assert_close(moved, soft_labels(logits, 2))
    sure = torch.tensor([[1.0, 0.0]])
    assert torch.equal(at_temperature(sure, 9, 20), sure.double()), "a label rounded to 0 stays 0"
