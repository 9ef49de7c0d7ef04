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
    COUNTERFEITS,
    at_temperature,
    best_bias,
    confidence_labels,
    counterfeit,
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


# Counterfeits


def orders(logits, fake, labels):
    """For each example which of the other classes' logits (in their order) stands in each of their places."""
    found = []
    for z, f, label in zip(logits.tolist(), fake.tolist(), labels.tolist(), strict=True):
        assert f[label] == z[label]
        others, moved = ([row[c] for c in range(len(row)) if c != label] for row in (z, f))
        found.append([others.index(value) for value in moved])
        assert sorted(found[-1]) == list(range(len(others)))
    return found


def reference_counterfeit(logits, labels, kind, temperature):
    """Soft labels of "class mean" and "even" in float64, one number at a time."""
    weights = np.exp(np.array(logits, float) / temperature)
    soft, labels = weights / weights.sum(1, keepdims=True), np.array(labels)
    found = np.zeros_like(soft)
    for i, (p, own) in enumerate(zip(soft, labels, strict=True)):
        for c in range(len(p)):
            if c == own:
                found[i, c] = p[own]
            elif kind == "even":
                found[i, c] = (1 - p[own]) / (len(p) - 1)
            else:
                alike = [q[c] / (1 - q[own]) for q in soft[labels == own]]
                found[i, c] = (1 - p[own]) * sum(alike) / len(alike)
    return found


@pytest.mark.parametrize("temperature", [1, 3, 9, 20])
@pytest.mark.parametrize("kind", COUNTERFEITS)
def test_a_counterfeit_keeps_the_confidence_label(kind, temperature):
    logits, labels = response(60, 10)
    fake = counterfeit(logits.float(), labels, kind, temperature=temperature)
    assert fake.shape == logits.shape and fake.dtype == torch.float32
    before, after = (confidence_labels(z.double(), labels, temperature) for z in (logits.float(), fake))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-7)
    changed = (soft_labels(fake, temperature) - soft_labels(logits, temperature)).abs().sum(1)
    assert (changed > 1e-3).float().mean() > 0.8, "and nothing else"


@pytest.mark.parametrize("kind", ["permuted", "permuted by class"])
def test_permutations_keep_every_entropy_at_every_temperature(kind):
    logits, labels = response(60, 10)
    fake = counterfeit(logits.float(), labels, kind, temperature=9)
    for temperature in (0.5, 1, 3, 9, 20, 100):
        torch.testing.assert_close(
            entropy(fake.double(), temperature), entropy(logits.float().double(), temperature), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_an_order_of_its_own_and_no_label_stays(seed):
    logits, labels = response(60, 10, seed)
    found = orders(logits.float(), counterfeit(logits, labels, "permuted by class", temperature=9, seed=seed), labels)
    by_class = [
        {tuple(order) for order, label in zip(found, labels.tolist(), strict=True) if label == c} for c in range(10)
    ]
    assert all(len(of) == 1 for of in by_class), "one order a class"
    assert len(set.union(*by_class)) == 10, "another one for each"
    assert all(place != source for order in found for place, source in enumerate(order))


def test_each_example_has_an_order_of_its_own():
    """9! orders: sixty of them are different ones, and each place has each class's label equally often."""
    logits, labels = response(2000, 10)
    found = torch.tensor(orders(logits.float(), counterfeit(logits, labels, "permuted", temperature=9), labels))
    assert len({tuple(order) for order in found[:60].tolist()}) == 60
    counts = torch.stack([(found == source).sum(0) for source in range(9)])
    assert (counts - 2000 / 9).abs().max() < 5 * (2000 * 8 / 81) ** 0.5


@pytest.mark.parametrize("temperature", [2, 9, 20])
@pytest.mark.parametrize("kind", ["class mean", "even"])
def test_means_and_even_labels_against_the_loop(kind, temperature):
    logits, labels = response(40, 6)
    labels[labels == 4] = 0  # a class that does not occur, and one of twice as many
    fake = counterfeit(logits, labels, kind, temperature=temperature)
    wanted = reference_counterfeit(logits.tolist(), labels.tolist(), kind, temperature)
    np.testing.assert_allclose(soft_labels(fake.double(), temperature), wanted, rtol=1e-5)
    if kind == "even":
        assert similarity_labels(fake.double(), labels, temperature).std(1).max() < 1e-7


def test_what_a_counterfeit_answers():
    """A permutation is right where the teacher is; even labels are wherever the confidence label is above 1/C."""
    logits, labels = response(500, 10, scale=1.0)
    logits[torch.arange(500), labels] += 1
    right = lambda z: z.argmax(1) == labels
    assert 0.2 < right(logits).float().mean() < 0.8
    for kind in ("permuted", "permuted by class"):
        fake = counterfeit(logits, labels, kind, temperature=9)
        assert torch.equal(right(fake), right(logits))
        assert (fake.argmax(1) != logits.argmax(1))[~right(logits)].float().mean() > 0.7
    even = counterfeit(logits, labels, "even", temperature=9)
    assert torch.equal(right(even), confidence_labels(logits, labels, 9) > 0.1)


@pytest.mark.parametrize("kind", COUNTERFEITS)
def test_a_counterfeit_of_what_is_no_response_is_refused(kind):
    logits, labels = response(60, 10)
    with pytest.raises(UserError, match="some logits are not finite"):
        counterfeit(torch.where(torch.arange(600).view(60, 10) == 77, torch.nan, logits), labels, kind, temperature=9)
    with pytest.raises(UserError, match=r"logits must be \(N, C\); got \(3, 20, 10\)"):
        counterfeit(logits.view(3, 20, 10), labels.view(3, 20), kind, temperature=9)


@pytest.mark.parametrize("kind", COUNTERFEITS)
def test_a_counterfeit_follows_the_seed(kind):
    logits, labels = response(60, 10)
    first, again, other = (counterfeit(logits, labels, kind, temperature=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and torch.equal(first, other) == (not kind.startswith("permuted"))


@pytest.mark.parametrize("kind", COUNTERFEITS)
def test_extreme_logits_have_counterfeits(kind):
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = torch.zeros(6, 3).scatter_(1, labels[:, None], 1e4)  # sure: similarity labels vanish
    logits[1], logits[3, 0] = -logits[1], 1e4
    logits[4] = torch.tensor([-1e4, 1e4, 0.0])
    for temperature in (0.1, 1, 9):
        fake = counterfeit(logits, labels, kind, temperature=temperature)
        assert fake.isfinite().all() and soft_labels(fake, temperature).isfinite().all()
        before, after = (confidence_labels(z, labels, temperature) for z in (logits, fake))
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rest", [30.0, 45.0, 400.0, 4000.0])
def test_a_very_sure_example_does_not_move_the_mean_of_its_class(rest):
    """Next to 1 its similarity labels are below float64's resolution, or 0, and yet they have shares."""
    logits, labels = (
        torch.tensor([[rest, 0.0, math.log(3)], [0.0, 0.0, 0.0]], dtype=torch.float64),
        torch.tensor([0, 0]),
    )
    soft = soft_labels(counterfeit(logits, labels, "class mean", temperature=1).double(), 1)
    # Shares 1/4 and 3/4 of the first, 1/2 and 1/2 of the second.
    assert soft[1].tolist() == pytest.approx([1 / 3, 2 / 3 * 0.375, 2 / 3 * 0.625], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", COUNTERFEITS)
def test_any_precision_has_counterfeits_and_is_left_alone(kind, dtype):
    logits, labels = response(20, 10)
    given_ = logits.to(dtype)
    fake, before = counterfeit(given_, labels, kind, temperature=9), given_.clone()
    assert fake.dtype == torch.float32 and torch.equal(given_, before)
    torch.testing.assert_close(fake, counterfeit(given_.float(), labels, kind, temperature=9))


def test_impossible_counterfeits_are_refused():
    logits, labels = response(9, 3)
    with pytest.raises(UserError, match="unknown counterfeit 'permutted' .did you mean 'permuted'") as error:
        counterfeit(logits, labels, "permutted", temperature=9)
    assert "\n" not in str(error.value)
    for kind in COUNTERFEITS:
        with pytest.raises(UserError, match=r"labels must lie in 0\.\.2"):
            counterfeit(logits, labels + 1, kind, temperature=9)
        with pytest.raises(UserError, match="labels must be class indices"):
            counterfeit(logits, labels[:-1], kind, temperature=9)
    with pytest.raises(UserError, match="temperature must be a number"):
        counterfeit(logits, labels, "even", temperature=0)


# The best bias


def best_shifts(logits, labels, category):
    """How many predictions each of a fine grid of shifts makes right; none of them lies on a tie."""
    shifts = np.arange(-12, 12, 1 / 128) + 1 / 1024
    z = logits.double().numpy()[None] + shifts[:, None, None] * np.eye(logits.shape[1])[category]
    return shifts, (z.argmax(2) == labels.numpy()).sum(1)


@pytest.mark.parametrize("step", [1 / 32, 1 / 2, 2])  # logits are multiples of it: the coarser, the more ties
@pytest.mark.parametrize("seed", range(20))
def test_the_best_bias_against_trying_them_all(seed, step):
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(15, 4, generator=generator) / step).round().mul(step).clamp(-5, 5).half()
    labels = torch.randint(4, (15,), generator=generator)
    shifts, right = best_shifts(logits, labels, 2)
    found = best_bias(logits, labels, 2)
    assert right[np.abs(shifts - found).argmin()] == right.max()
    # Where an example's answer changes; the interval between two of these is the lowest that does so well.
    changes = [max(z[c] for c in range(4) if c != 2) - z[2] for z in logits.tolist()]
    below, above = ([c for c in changes if (c < found) == side] for side in (True, False))
    low, high = max(below, default=min(changes) - 1), min(above, default=max(changes) + 1)
    assert found == (low + high) / 2
    assert not below or (right[shifts < low] < right.max()).all()


def test_a_class_that_is_known_and_suppressed_is_found_again():
    """Every answer is right but for an offset of -8 on class 6, and the best bias undoes it."""
    logits, labels = response(300, 10, scale=1.0)
    logits[torch.arange(300), labels] += 8
    accuracy = lambda z: float((z.argmax(1) == labels).double().mean())
    assert accuracy(logits) > 0.99
    suppressed = logits.clone()
    suppressed[:, 6] -= 12
    assert accuracy(suppressed) < 0.91
    suppressed[:, 6] += best_bias(suppressed, labels, 6)
    assert accuracy(suppressed) >= accuracy(logits)


def test_a_class_that_was_never_learnt_is_not_found_by_a_bias():
    """Its examples are as surely another class as the others are their own: two of thirty are gained by chance."""
    logits, labels = response(300, 10, scale=1.0)
    logits[torch.arange(300), labels] += 8
    logits[:, 6] = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits[labels == 6, 3] += 8
    before = int((logits.argmax(1) == labels).sum())
    logits[:, 6] += best_bias(logits, labels, 6)
    assert before <= int((logits.argmax(1) == labels).sum()) <= before + 2


def test_a_class_without_examples_is_best_never_answered():
    logits, labels = response(40, 5)
    logits[:, 3] = logits.max(1).values + 1  # the answer everywhere
    labels[labels == 3] = 2
    logits[:, 3] += best_bias(logits, labels, 3)
    assert not (logits.argmax(1) == 3).any()
