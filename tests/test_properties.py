"""Losses, responses, projections for whatever logits: no NaN or inf where the mathematics has none, else a ValueError.

Random sizes (one class, one example, none), precisions, logits up to ±1e4 and temperatures from 1e-3 to 1e6, against the
formulas in float64, an example at a time. What holds for ordinary numbers is tested with each module.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdutils import losses, projection, response

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
TEMPERATURES = st.floats(-3, 6).map(lambda x: 10**x)
WEIGHTS = st.floats(0, 1)
few = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def logits_and_labels(draw, sets: int = 1, classes: int = 1, examples: int = 0, dtypes: tuple = DTYPES) -> tuple:
    """`sets` logits (N, C) of one precision, each of its own size up to ±1e4, some of them equal, and labels (N,)."""
    n, c = draw(st.integers(examples, 6)), draw(st.integers(classes, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype, found = draw(st.sampled_from(dtypes)), []
    for _ in range(sets):
        size = draw(st.sampled_from((0.0, 1e-4, 1.0, 30.0, 1e4)))
        values = (2 * torch.rand(n, c, generator=generator, dtype=torch.float64) - 1) * size
        if draw(st.booleans()):  # the ends themselves, and ties
            values = values.sign() * size
        found.append(values.to(dtype))
    return (*found, torch.randint(c, (n,), generator=generator))


def log_softmax(row: Tensor, temperature: float = 1.0) -> np.ndarray:
    """Of one example, in float64 and in steps that cannot overflow."""
    z = row.double().numpy() / temperature
    z = z - z.max()
    return z - math.log(math.fsum(np.exp(z)))


def kl(target: np.ndarray, p: np.ndarray) -> float:
    return math.fsum(math.exp(t) * (t - q) for t, q in zip(target, p, strict=True))


def close(found: Tensor, wanted: list[float], dtype: torch.dtype, largest: float, factor: float = 1.0) -> None:
    """Within the rounding of terms as large as `largest`, times `factor`: float32's for all but float64 logits."""
    assert found.isfinite().all(), found
    unit = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    torch.testing.assert_close(
        found.double(), torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=32 * unit * (largest + 1) * factor
    )


def precision_of(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


# Losses


@given(logits_and_labels(2), TEMPERATURES, WEIGHTS, st.booleans())
@few
def test_eq_4(parts, temperature: float, alpha: float, t2: bool) -> None:
    student, teacher, labels = parts
    student.requires_grad_()
    options = {"temperature": temperature, "alpha": alpha, "scale_by_t2": t2}
    found = losses.distillation_losses(student, teacher, labels, **options)
    assert found.shape == labels.shape and found.dtype == precision_of(student.dtype)
    factor = temperature**2 if t2 else 1.0
    wanted = [
        (1 - alpha) * -log_softmax(z)[y] + alpha * factor * kl(log_softmax(v, temperature), log_softmax(z, temperature))
        for z, v, y in zip(student.detach(), teacher, labels, strict=True)
    ]
    largest = float(max(student.detach().abs().amax(), teacher.abs().amax())) if len(labels) else 0.0
    close(found.detach(), wanted, student.dtype, largest / min(temperature, 1), max(factor, 1.0))
    if len(labels):
        (gradient,) = torch.autograd.grad(losses.distillation_loss(student, teacher, labels, **options), student)
        assert gradient.isfinite().all() and gradient.shape == student.shape and gradient.dtype == student.dtype
    else:
        with pytest.raises(ValueError, match="an empty batch has no mean loss"):
            losses.distillation_loss(student, teacher, labels, **options)


@pytest.mark.parametrize("kind", [k for k in losses.LOSSES if k])
@given(logits_and_labels(2), TEMPERATURES, WEIGHTS, st.booleans())
@settings(few, max_examples=30)
def test_related_losses(kind: str, parts, temperature: float, alpha: float, t2: bool) -> None:
    student, teacher, labels = parts
    student.requires_grad_()
    compute = lambda: losses.LOSSES[kind](
        student, teacher, labels, temperature=temperature, alpha=alpha, scale_by_t2=t2
    )
    if kind == "decoupled" and student.shape[1] == 1:  # there are no other classes to compare
        with pytest.raises(ValueError, match="whole number of at least 2; got 1"):
            compute()
        return
    found = compute()
    assert found.shape == labels.shape and found.dtype == precision_of(student.dtype) and found.isfinite().all()
    (gradient,) = torch.autograd.grad(found.sum(), student)
    # A gradient in half precision holds no more than 65504, and one of T² times it may be more than that.
    assert gradient.isnan().sum() == 0 and (student.dtype == torch.float16 or gradient.isfinite().all())


@given(logits_and_labels(), WEIGHTS)
@few
def test_label_smoothing(parts, alpha: float) -> None:
    logits, labels = parts
    targets = losses.label_smoothing_targets(labels, logits.shape[1], alpha)
    assert targets.shape == logits.shape and targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(len(labels)))
    if not len(labels):
        with pytest.raises(ValueError, match="an empty batch has no mean loss"):
            losses.label_smoothing_loss(logits, labels, alpha)
        return
    crosses = []
    for z, y in zip(logits, labels.tolist(), strict=True):
        p = log_softmax(z)
        crosses.append(math.fsum(-((1 - alpha) * (k == y) + alpha / len(p)) * p[k] for k in range(len(p))))
    largest = float(logits.abs().max())
    close(losses.label_smoothing_loss(logits, labels, alpha), math.fsum(crosses) / len(crosses), logits.dtype, largest)
    uniform = losses.label_smoothing_loss_kl(logits, labels, alpha)
    shifted = math.fsum(crosses) / len(crosses) - alpha * math.log(logits.shape[1])
    close(uniform, shifted, logits.dtype, largest)


@given(logits_and_labels(classes=2), st.floats(1e-6, 1 - 1e-6))
@settings(few, max_examples=30)
def test_the_virtual_teacher(parts, correct: float) -> None:
    logits, labels = parts
    found = losses.virtual_teacher_logits(labels, logits.shape[1], correct)
    assert found.shape == logits.shape and found.isfinite().all()
    own = found.double().softmax(1).gather(1, labels[:, None]).squeeze(1)
    torch.testing.assert_close(own, torch.full_like(own, correct), rtol=1e-5, atol=1e-6)


# Responses


@given(logits_and_labels(), TEMPERATURES)
@few
def test_soft_labels_and_entropy(parts, temperature: float) -> None:
    logits, labels = parts
    soft, entropy = response.soft_labels(logits, temperature), response.entropy(logits, temperature)
    assert soft.shape == logits.shape and entropy.shape == labels.shape
    assert soft.dtype == entropy.dtype == precision_of(logits.dtype)
    rows = [log_softmax(z, temperature) for z in logits]
    # Their difference from the largest is exact to a rounding, and decides, divided by T, the exponential's argument.
    steps = float((logits.amax(1) - logits.amin(1)).max()) / temperature if len(labels) else 0.0
    close(soft.flatten(), [math.exp(v) for row in rows for v in row], logits.dtype, min(steps, 80))
    wanted = [math.fsum(-math.exp(v) * v if v > -700 else 0.0 for v in row) for row in rows]
    close(entropy, wanted, logits.dtype, min(steps, 80), 10)
    assert (entropy >= 0).all() and (entropy <= math.log(logits.shape[1]) + 1e-6).all()
    confidence = response.confidence_labels(logits, labels, temperature)
    similarity = response.similarity_labels(logits, labels, temperature)
    assert similarity.shape == (len(labels), logits.shape[1] - 1)
    torch.testing.assert_close(confidence + similarity.sum(1), torch.ones_like(confidence))


@given(logits_and_labels(classes=2), TEMPERATURES, st.data())
@few
def test_a_masked_class_has_no_soft_label_and_what_has_no_softmax_is_refused(parts, temperature: float, data) -> None:
    logits, labels = parts
    k = data.draw(st.integers(0, logits.shape[1] - 1))
    logits[:, k] = -torch.inf
    assert (response.soft_labels(logits, temperature)[:, k] == 0).all()
    assert response.entropy(logits, temperature).isfinite().all()
    assume(len(labels))
    for bad in (torch.nan, torch.inf):
        logits[0, k] = bad
        with pytest.raises(ValueError, match="some logits are not finite"):
            response.entropy(logits, temperature)


@given(logits_and_labels(), TEMPERATURES)
@few
def test_variance(parts, temperature: float) -> None:
    logits, labels = parts
    soft = response.soft_labels(logits, temperature)
    lonely = len(labels) and labels.bincount(minlength=1)[labels].min() < 2
    if len(labels) == 0 or logits.shape[1] == 1 or lonely:
        with pytest.raises(ValueError, match="variance needs"):
            response.response_variance(soft, labels)
        return
    found = response.response_variance(soft, labels)
    vanished = bool((response._split(soft, labels)[1].sum(1) == 0).any())
    for name, value in found.items():
        assert 0 <= value <= 1 or (vanished and name.endswith("_normalised") and math.isnan(value)), (name, value)


@pytest.mark.parametrize("kind", response.COUNTERFEITS)
@given(logits_and_labels(), TEMPERATURES)
@settings(few, max_examples=30)
def test_counterfeits(kind: str, parts, temperature: float) -> None:
    logits, labels = parts
    if logits.shape[1] == 1:
        with pytest.raises(ValueError, match="the number of classes must be a whole number of at least 2"):
            response.counterfeit(logits, labels, kind, temperature=temperature)
        return
    fake = response.counterfeit(logits, labels, kind, temperature=temperature)
    assert fake.shape == logits.shape and fake.dtype == torch.float32 and fake.isfinite().all()
    wanted = response.confidence_labels(logits.float(), labels, temperature)
    # A fake logit is T times a logarithm, and float32 holds it to its last bits only.
    atol = max(1e-5, float(fake.abs().max()) / temperature * 1e-6) if len(labels) else 0.0
    torch.testing.assert_close(response.confidence_labels(fake, labels, temperature), wanted, rtol=1e-3, atol=atol)


@given(logits_and_labels(), st.integers(1, 3), st.sampled_from(response.SELECTIONS), TEMPERATURES)
@few
def test_selection(parts, per_class: int, selection: str, temperature: float) -> None:
    logits, labels = parts
    choose = lambda n: response.select_examples(logits, labels, n, selection=selection, temperature=temperature)
    counts = labels.bincount()
    if len(labels) == 0 or counts[counts > 0].min() < per_class:
        with pytest.raises(ValueError, match=f"too few examples to take {per_class} of each class"):
            choose(per_class)
        return
    chosen = choose(per_class)
    assert chosen.dtype == torch.int64 and (chosen.diff() > 0).all()
    assert (labels[chosen].bincount(minlength=len(counts)) == per_class * (counts > 0)).all()
    entropies = [math.fsum(-math.exp(v) * v for v in log_softmax(z, temperature) if v > -700) for z in logits]
    taken = set(chosen.tolist())
    for n in taken if selection != "random" else ():
        left = [m for m in range(len(labels)) if labels[m] == labels[n] and m not in taken]
        sign = 1 if selection == "highest" else -1
        assert all(sign * entropies[n] >= sign * entropies[m] - 1e-9 for m in left)


@given(logits_and_labels(examples=0), st.integers(0, 5))
@few
def test_the_best_bias(parts, category: int) -> None:
    logits, labels = parts
    if len(labels) == 0 or logits.shape[1] < 2 or category >= logits.shape[1]:
        with pytest.raises(ValueError, match="a bias needs|category must be"):
            response.best_bias(logits, labels, category)
        return
    shift = response.best_bias(logits, labels, category)
    assert math.isfinite(shift)
    shifted = logits.double().clone()
    right = int((shifted.argmax(1) == labels).sum())
    shifted[:, category] += shift
    assert int((shifted.argmax(1) == labels).sum()) >= right - int((logits == logits[:, [category]]).sum(1).gt(1).sum())


@given(logits_and_labels(dtypes=(torch.float64,)), TEMPERATURES, TEMPERATURES)
@settings(few, max_examples=40)
def test_soft_labels_at_another_temperature(parts, of: float, to: float) -> None:
    logits, _ = parts
    soft = response.soft_labels(logits, of)
    moved = response.at_temperature(soft, of, to)
    assert moved.shape == logits.shape and moved.isfinite().all()
    assert (moved[soft == 0] == 0).all()
    # A logarithm of a soft label is right to some 1e-16 of it, and is multiplied by `of`/`to`.
    kept = (soft > 1e-300).all(1)
    slack = 1e-12 * max(1.0, of / to) * 700
    if slack < 1e-3:
        torch.testing.assert_close(moved[kept], response.soft_labels(logits, to)[kept], rtol=slack, atol=slack)


# Projections


@st.composite
def layers(draw) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, D), weight (C, D) and bias (C,) of one precision, some of them huge, tiny, equal or zero."""
    n, d, c = draw(st.integers(0, 5)), draw(st.integers(1, 5)), draw(st.integers(3, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES))
    size = lambda: draw(st.sampled_from((0.0, 1e-3, 1.0, 1e4)))
    return tuple((torch.randn(shape, generator=generator) * size()).to(dtype) for shape in ((n, d), (c, d), (c,)))


@given(layers())
@few
def test_projection(parts) -> None:
    """Distances from the origin are never longer than the activations', and the two routes agree where both answer."""
    features, weight, bias = parts
    templates = torch.cat([weight, bias[:, None]], 1).double()
    directions = (templates[1:3] - templates[0]).numpy()
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    sine = (
        np.linalg.svd(directions / lengths)[1][1] if lengths.min() > 0 else 0.0
    )  # up to a factor of the square root of 2
    try:
        found = projection.penultimate_projection(features, weight, bias, (0, 1, 2))
    except ValueError as error:
        assert "on one line" in str(error) and sine < 1e-5
        return
    assert sine > 1e-7
    assert found.shape == (len(features), 2) and found.dtype == torch.float64 and found.isfinite().all()
    longest = (features.double().square().sum(1) + 1).sqrt()
    assert (found.square().sum(1).sqrt() <= longest * (1 + 1e-9)).all()
    activations = torch.cat([features.double(), torch.ones(len(features), 1).double()], 1)
    try:
        stored = projection.projection_from_logits(activations @ templates.T, templates @ templates.T, (0, 1, 2))
    except ValueError as error:
        assert "on one line" in str(error)
        return
    torch.testing.assert_close(stored, found, rtol=1e-3, atol=1e-3 * float(longest.max()) if len(found) else 0.0)


@given(logits_and_labels(dtypes=(torch.float64, torch.float32, torch.bfloat16)))
@example((torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))
@example((torch.tensor([[1.0, 1], [-1, -1], [1, 1], [-1, -1]]), torch.tensor([0, 0, 1, 1])))  # centres coincide
@few
def test_scatter(parts) -> None:
    points, labels = parts
    try:
        found = projection.scatter(points, labels)
    except ValueError as error:
        centres = [points.double()[labels == c].mean(0) for c in labels.unique()]
        apart = [float((m - centres[0]).norm()) for m in centres[1:]]
        assert max(apart, default=0) <= 1e-8 * float(points.double().norm() if len(labels) else 0), error
        return
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    total = (points.double() - points.double().mean(0)).square().sum(1).mean()
    assert found["within"] + found["between"] == pytest.approx(float(total), rel=1e-6)
