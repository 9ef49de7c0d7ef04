"""Eq. 1-4 against float64 references written from the formulas, and the identities of section 3."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdutils.errors import UserError
from kdutils.losses import LOSSES as KINDS
from kdutils.losses import (
    decoupled_losses,
    distillation_loss,
    distillation_losses,
    label_smoothing_loss,
    label_smoothing_loss_kl,
    label_smoothing_targets,
    logit_matching_losses,
    losses_by_member,
    residual_logits,
    standardised_losses,
    virtual_teacher_logits,
)

LOSSES = [label_smoothing_loss, label_smoothing_loss_kl]


def reference_softmax(z, temperature=1.0):
    """p_i = exp(z_i / T) / sum_j exp(z_j / T), as printed in section 2."""
    e = np.exp((z - z.max()) / temperature)
    return e / e.sum()


def reference_label_smoothing(logits, labels, alpha, form):
    """Eq. 1 and 3 ("cross-entropy") or Eq. 2 ("kl"), one example and one class at a time."""
    total, c = 0.0, logits.shape[1]
    for z, label in zip(logits, labels, strict=True):
        p = reference_softmax(z)
        if form == "cross-entropy":
            for k in range(c):
                target = (1 - alpha) * (k == label) + alpha / c
                total += -target * math.log(p[k])
        else:
            kl = sum(1 / c * math.log(1 / c / p[k]) for k in range(c))
            total += (1 - alpha) * -math.log(p[label]) + alpha * kl
    return total / len(logits)


def reference_distillation(student, teacher, label, temperature, alpha, t2):
    """Eq. 4 for one example."""
    p, target = reference_softmax(student, temperature), reference_softmax(teacher, temperature)
    kl = sum(t * math.log(t / q) for t, q in zip(target, p, strict=True))
    return (1 - alpha) * -math.log(reference_softmax(student)[label]) + alpha * kl * (temperature**2 if t2 else 1)


def batch(seed=0, n=6, c=10, scale=4.0, lead=()):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (scale * torch.randn(*lead, n, c, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher, torch.randint(c, (n,), generator=generator)


# Label smoothing


def test_targets_follow_eq_1_on_every_class():
    targets = label_smoothing_targets(torch.tensor([0, 2]), 4, 0.2)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets, torch.tensor([[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]]))


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("loss, form", list(zip(LOSSES, ["cross-entropy", "kl"], strict=True)))
def test_label_smoothing_against_the_formula(loss, form, alpha):
    logits, _, labels = batch()
    wanted = reference_label_smoothing(logits.numpy(), labels.numpy(), alpha, form)
    assert float(loss(logits, labels, alpha)) == pytest.approx(wanted, rel=1e-12)
    assert float(loss(logits.float(), labels, alpha)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("c", [2, 10])
def test_eq_2_is_eq_3_less_a_constant(alpha, c):
    logits, _, labels = batch(c=c)
    eq_2, eq_3 = (
        loss(logits.requires_grad_(), labels, alpha) for loss in (label_smoothing_loss_kl, label_smoothing_loss)
    )
    assert float((eq_3 - eq_2).detach()) == pytest.approx(alpha * math.log(c), rel=1e-12, abs=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (eq_2, eq_3)))


@pytest.mark.parametrize("alpha", [0.1, 0.6])
def test_eq_3_is_cross_entropy_with_the_targets_of_eq_1_and_pytorchs_own(alpha):
    logits, _, labels = batch()
    ours = label_smoothing_loss(logits, labels, alpha)
    targets = label_smoothing_targets(labels, 10, alpha)
    torch.testing.assert_close(ours.float(), F.cross_entropy(logits.float(), targets))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=alpha))


@pytest.mark.parametrize("alpha", [0.1, 0.6])
@pytest.mark.parametrize("level", [0.0, 7.0])
def test_label_smoothing_is_distillation_from_a_uniform_teacher(alpha, level):
    """Section 3.2, with the *same* alpha, at T = 1: equal to Eq. 2, and to Eq. 3 up to alpha·ln C."""
    logits, _, labels = batch()
    uniform = torch.full_like(logits, level)
    distilled = distillation_loss(logits, uniform, labels, temperature=1, alpha=alpha)
    wanted = reference_label_smoothing(logits.numpy(), labels.numpy(), alpha, "kl")
    assert float(distilled) == pytest.approx(wanted, rel=1e-12)
    torch.testing.assert_close(distilled, label_smoothing_loss(logits, labels, alpha) - alpha * math.log(10))
    other = distillation_loss(logits, uniform, labels, temperature=1, alpha=alpha * 10 / 9)
    assert abs(float(distilled - other)) > 1e-3  # the relation for smoothing over the *other* classes is not ours


def test_smoothing_over_the_other_classes_only_is_eq_1_with_a_larger_alpha():
    """What the module's docstring says of the other convention: alpha/(C-1) there is Eq. 1 at alpha·C/(C-1)."""
    alpha, c = 0.1, 10
    others_only = torch.full((1, c), alpha / (c - 1))
    others_only[0, 3] = 1 - alpha
    torch.testing.assert_close(label_smoothing_targets(torch.tensor([3]), c, alpha * c / (c - 1)), others_only)


# Distillation


@pytest.mark.parametrize("t2", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1, 9.0, 20])
def test_distillation_against_the_formula(temperature, alpha, t2):
    student, teacher, labels = batch()
    rows = zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True)
    wanted = [reference_distillation(s, t, label, temperature, alpha, t2) for s, t, label in rows]
    options = {"temperature": temperature, "alpha": alpha, "scale_by_t2": t2}
    np.testing.assert_allclose(distillation_losses(student, teacher, labels, **options), wanted, rtol=1e-11)
    assert float(distillation_loss(student, teacher, labels, **options)) == pytest.approx(np.mean(wanted), rel=1e-11)
    single = distillation_losses(student.float(), teacher.float(), labels, **options)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, wanted, rtol=1e-4, atol=1e-6 * (temperature**2 if t2 else 1))


def test_no_t2_unless_asked():
    student, teacher, labels = batch()
    plain, scaled = (
        distillation_loss(student, teacher, labels, temperature=9, alpha=1, scale_by_t2=t2) for t2 in (False, True)
    )
    assert float(scaled / plain) == pytest.approx(81)
    torch.testing.assert_close(distillation_loss(student, teacher, labels, temperature=9, alpha=1), plain)


def test_student_like_its_teacher_has_no_soft_loss():
    student, _, labels = batch()
    options = {"temperature": 9, "alpha": 0.99}
    torch.testing.assert_close(
        distillation_loss(student, student, labels, **options), 0.01 * F.cross_entropy(student, labels)
    )


@pytest.mark.parametrize("t2", [False, True])
def test_gradient_against_the_formula_and_finite_differences(t2):
    """d Eq. 4 / dz = (1 - alpha)(p - q) + alpha (p_T - p_teacher,T) / T, times T² if asked."""
    student, teacher, labels = batch(n=3)
    options = {"temperature": 3.0, "alpha": 0.7, "scale_by_t2": t2}
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(distillation_losses(student, teacher, labels, **options).sum(), student)
    for z, t, label, found in zip(student.detach().numpy(), teacher.numpy(), labels, gradient.numpy(), strict=True):
        hard = reference_softmax(z) - np.eye(10)[label]
        soft = (reference_softmax(z, 3.0) - reference_softmax(t, 3.0)) / 3.0 * (9.0 if t2 else 1.0)
        np.testing.assert_allclose(found, 0.3 * hard + 0.7 * soft, atol=1e-14)
    assert torch.autograd.gradcheck(lambda z: distillation_loss(z, teacher, labels, **options), student)


@pytest.mark.parametrize("loss", LOSSES)
def test_label_smoothing_gradient_against_finite_differences(loss):
    logits, _, labels = batch(n=3)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, 0.6), logits.requires_grad_())


def test_no_gradient_flows_into_the_teacher():
    student, teacher, labels = (x.requires_grad_() if x.is_floating_point() else x for x in batch())
    distillation_loss(student, teacher, labels, temperature=2, alpha=0.9).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None


# Many students at once


def test_each_member_of_a_stack_has_its_own_loss():
    """Options and teachers that differ by member, masks by example: as a loop over members and examples gives it."""
    student, teacher, labels = batch(lead=(4,))
    temperature, alpha = torch.tensor([3.0, 6.0, 9.0, 20.0]), torch.tensor([0.0, 0.5, 0.99, 1.0])
    t2, missing = torch.tensor([True, False, True, False]), torch.tensor([0, 1, int(labels[0]), int(labels[1])])
    student.requires_grad_()
    losses = distillation_losses(
        student, teacher, labels, temperature=temperature[:, None], alpha=alpha[:, None], scale_by_t2=t2[:, None]
    )
    assert losses.shape == (4, 6)
    kept = labels != missing[:, None]
    assert not kept.all()
    stacked = (losses * kept).sum(1) / kept.sum(1)
    (gradient,) = torch.autograd.grad(stacked.sum(), student, retain_graph=True)
    for e in range(4):
        alone = student[e].detach().requires_grad_()
        chosen = kept[e].nonzero().squeeze(1)
        options = {"temperature": float(temperature[e]), "alpha": float(alpha[e]), "scale_by_t2": bool(t2[e])}
        loss = distillation_loss(alone[chosen], teacher[e, chosen], labels[chosen], **options)
        torch.testing.assert_close(stacked[e], loss, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient[e], torch.autograd.grad(loss, alone)[0], rtol=1e-6, atol=1e-7)
        assert gradient[e][~kept[e]].abs().sum() == 0


def test_one_teacher_and_one_set_of_labels_serve_all_members():
    student, _, labels = batch(lead=(2, 3))
    _, teacher, _ = batch(seed=1)
    options = {"temperature": 9, "alpha": 0.9}
    shared = distillation_losses(student, teacher, labels, **options)
    full = distillation_losses(student, teacher.expand_as(student), labels.expand(2, 3, 6), **options)
    assert shared.shape == (2, 3, 6)
    torch.testing.assert_close(shared, full)


# Related systems


def reference_cross_entropy(student, label):
    return -math.log(reference_softmax(student)[label])


def reference_kl(target, p):
    return sum(t * math.log(t / q) for t, q in zip(target, p, strict=True))


def reference_matching(student, teacher, label, alpha, **unused):
    """Buciluă et al. 2006: half the mean squared difference of the inputs to the softmax."""
    squared = sum((z - v) ** 2 for z, v in zip(student, teacher, strict=True)) / len(student) / 2
    return (1 - alpha) * reference_cross_entropy(student, label) + alpha * squared


def reference_decoupled(student, teacher, label, alpha, temperature, t2, beta=8.0):
    """Zhao et al. 2022: target class against the rest, and the rest among themselves."""
    p, q = reference_softmax(teacher, temperature), reference_softmax(student, temperature)
    rest = [k for k in range(len(p)) if k != label]
    target = reference_kl([p[label], 1 - p[label]], [q[label], 1 - q[label]])
    other = reference_kl(p[rest] / p[rest].sum(), q[rest] / q[rest].sum())
    soft = (target + beta * other) * (temperature**2 if t2 else 1)
    return (1 - alpha) * reference_cross_entropy(student, label) + alpha * soft


def reference_standardised(student, teacher, label, alpha, temperature, t2):
    """Sun et al. 2024: Z-scores of both sides' logits before the softmax at T."""
    p, q = (
        reference_softmax((z - z.mean()) / np.sqrt(np.mean((z - z.mean()) ** 2)), temperature)
        for z in (teacher, student)
    )
    soft = reference_kl(p, q) * (temperature**2 if t2 else 1)
    return (1 - alpha) * reference_cross_entropy(student, label) + alpha * soft


REFERENCES = {"logits": reference_matching, "decoupled": reference_decoupled, "standardised": reference_standardised}


@pytest.mark.parametrize("t2", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.7, 2.0, 9.0])
@pytest.mark.parametrize("kind", REFERENCES)
def test_related_losses_against_their_formulas(kind, temperature, alpha, t2):
    student, teacher, labels = batch()
    rows = zip(student.numpy(), teacher.numpy(), labels.tolist(), strict=True)
    wanted = [REFERENCES[kind](s, t, label, alpha=alpha, temperature=temperature, t2=t2) for s, t, label in rows]
    options = {"temperature": temperature, "alpha": alpha, "scale_by_t2": t2}
    np.testing.assert_allclose(KINDS[kind](student, teacher, labels, **options), wanted, rtol=1e-9)
    single = KINDS[kind](student.float(), teacher.float(), labels, **options)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, wanted, rtol=1e-3, atol=1e-5 * (temperature**2 if t2 else 1))


@pytest.mark.parametrize("kind", REFERENCES)
def test_related_gradients_against_finite_differences_and_none_for_the_teacher(kind):
    student, teacher, labels = batch(n=3)
    student.requires_grad_()
    teacher.requires_grad_()
    options = {"temperature": 2.0, "alpha": 0.7, "scale_by_t2": True}
    assert torch.autograd.gradcheck(lambda z: KINDS[kind](z, teacher.detach(), labels, **options), student)
    KINDS[kind](student, teacher, labels, **options).sum().backward()
    assert teacher.grad is None


def test_logit_matching_is_distillation_at_a_high_temperature():
    """Hinton et al. 2015, section 2.1: T²·KL of logits with mean zero tends to it."""
    student, teacher, labels = (x - x.mean(-1, keepdim=True) if x.is_floating_point() else x for x in batch(scale=1.0))
    distilled = distillation_losses(student, teacher, labels, temperature=1e4, alpha=1.0, scale_by_t2=True)
    torch.testing.assert_close(distilled, logit_matching_losses(student, teacher, labels, alpha=1.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_parts_weighted_by_what_the_teacher_leaves_make_eq_4(temperature):
    """Zhao et al. 2022: KL = TCKD + (1 - p_target)·NCKD."""
    student, teacher, labels = batch(n=1, scale=1.0)
    beta = 1 - reference_softmax(teacher[0].numpy(), temperature)[int(labels)]
    options = {"temperature": temperature, "alpha": 0.9, "scale_by_t2": True}
    torch.testing.assert_close(
        decoupled_losses(student, teacher, labels, beta=float(beta), **options),
        distillation_losses(student, teacher, labels, **options),
    )


def test_standardised_logits_do_not_see_scale_and_shift():
    student, teacher, labels = batch()
    options = {"temperature": 2.0, "alpha": 1.0}
    wanted = standardised_losses(student, teacher, labels, **options)
    torch.testing.assert_close(standardised_losses(3 * student + 5, teacher / 7 - 1, labels, **options), wanted)
    assert (wanted > 1e-3).all()


def test_constant_logits_standardise_to_a_uniform_response():
    student, _, labels = batch()
    flat = torch.zeros_like(student).requires_grad_()
    losses = standardised_losses(flat, torch.zeros_like(student), labels, temperature=2.0, alpha=1.0)
    losses.sum().backward()
    assert losses.abs().max() == 0 and flat.grad.isfinite().all()


def test_an_assistant_that_matches_the_residual_completes_the_sum():
    """Gao et al. 2020: the assistant's error is that of student + assistant against the teacher."""
    student, teacher, labels = batch()
    assistant, _, _ = batch(seed=1)
    found = logit_matching_losses(assistant, residual_logits(teacher, student), labels, alpha=1.0)
    torch.testing.assert_close(found, logit_matching_losses(student + assistant, teacher, labels, alpha=1.0))


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_virtual_teacher_is_softened_as_its_paper_says(temperature):
    """Yuan et al. 2020: p(own) = 0.99, the rest alike; at temperature T its p^(1/T), made to sum to one."""
    labels = torch.tensor([2, 0])
    logits = virtual_teacher_logits(labels, 5, correct=0.9)
    assert logits.dtype == torch.float32
    p = np.array([[0.025, 0.025, 0.9, 0.025, 0.025], [0.9, 0.025, 0.025, 0.025, 0.025]])
    softened = p ** (1 / temperature)
    np.testing.assert_allclose((logits / temperature).softmax(-1), softened / softened.sum(1, keepdims=True), rtol=1e-5)
    with pytest.raises(UserError, match="correct must be a number"):
        virtual_teacher_logits(labels, 5, correct=1.0)


def test_members_of_every_kind_have_their_own_loss():
    """Kinds, options and teachers that differ by member, in no order: as a loop over members gives it."""
    kinds = ["decoupled", None, "logits", "standardised", None, "decoupled"]
    student, teacher, labels = batch(lead=(6,))
    labels = labels.expand(6, -1)
    options = {"temperature": torch.tensor([3.0, 6, 1, 2, 9, 4]), "alpha": torch.tensor([0.0, 0.5, 0.9, 1, 0.3, 0.5])}
    options["scale_by_t2"] = torch.tensor([True, False, True, False, True, True])
    columns = {name: values[:, None] for name, values in options.items()}
    student.requires_grad_()
    losses = losses_by_member(kinds, torch.device("cpu"))(student, teacher, labels, **columns)
    (gradient,) = torch.autograd.grad(losses.sum(), student)
    for e, kind in enumerate(kinds):
        alone = student[e].detach().requires_grad_()
        own = {name: values[e].item() for name, values in options.items()}
        wanted = KINDS[kind](alone, teacher[e], labels[e], **own)
        torch.testing.assert_close(losses[e], wanted, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient[e], torch.autograd.grad(wanted.sum(), alone)[0], rtol=1e-6, atol=1e-7)


def test_one_teacher_serves_all_members_of_every_kind():
    student, _, labels = batch(lead=(2,))
    _, teacher, _ = batch(seed=1)
    for loss in KINDS.values():
        shared = loss(student, teacher, labels, temperature=2.0, alpha=0.9)
        torch.testing.assert_close(
            shared, loss(student, teacher.expand_as(student), labels, temperature=2.0, alpha=0.9)
        )


@pytest.mark.parametrize("kind", [k for k in KINDS if k])
def test_related_losses_are_finite_at_the_edge_and_refuse_what_eq_4_refuses(kind):
    labels = torch.tensor([1, 0])
    student = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = KINDS[kind](student, torch.tensor([[-1e4, 1e4, 0.0], [5.0, 5.0, 5.0]]), labels, temperature=3.0, alpha=0.9)
    loss.sum().backward()
    assert loss.isfinite().all() and student.grad.isfinite().all()
    good = torch.zeros(2, 3)
    for wrong, message in (({"alpha": 1.5}, "alpha must"), ({"temperature": 0}, "temperature must")):
        with pytest.raises(UserError, match=message):
            KINDS[kind](good, good, labels, **{"alpha": 0.5, "temperature": 1.0} | wrong)
    with pytest.raises(UserError, match="logits disagree"):
        KINDS[kind](good, good[:1], labels, temperature=1.0, alpha=0.5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_against_torchdistill(temperature):
    """Its `alpha` weighs cross-entropy, its `beta` T²·KL; it standardises by the root of the sum over C - 1."""
    theirs = pytest.importorskip("torchdistill.losses.mid_level")
    student, teacher, labels = batch()
    where = [*(".", "output"), *(".", "output")]
    given = ({".": {"output": student}}, {".": {"output": teacher}}, labels)
    kd = theirs.KDLoss(*where, temperature=temperature, alpha=0.1)(*given)
    ours = distillation_loss(student, teacher, labels, temperature=temperature, alpha=0.9, scale_by_t2=True)
    torch.testing.assert_close(ours, kd)
    standardised = theirs.LogitStdKDLoss(*where, temperature=temperature, alpha=0.1, beta=0.9)(*given)
    corrected = temperature * math.sqrt(10 / 9)
    soft = standardised_losses(student, teacher, labels, temperature=corrected, alpha=1.0, scale_by_t2=False).mean()
    torch.testing.assert_close(0.1 * F.cross_entropy(student, labels) + 0.9 * temperature**2 * soft, standardised)


# Numbers at the edge


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_float32_losses(dtype):
    student, teacher, labels = batch()
    student, teacher = student.to(dtype), teacher.to(dtype)
    options = {"temperature": 9, "alpha": 0.99}
    with torch.autocast("cpu", torch.bfloat16):
        loss = distillation_loss(student, teacher, labels, **options)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, distillation_loss(student.float(), teacher.float(), labels, **options))
    assert label_smoothing_loss(student, labels, 0.6).dtype == torch.float32


@given(
    st.lists(st.lists(st.floats(-1e4, 1e4), min_size=5, max_size=5), min_size=2, max_size=2),
    st.floats(1e-3, 1e6),
    st.floats(0, 1),
    st.integers(0, 4),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_extreme_logits_and_temperatures_give_finite_losses_and_gradients(logits, temperature, alpha, label, t2):
    student, teacher = (torch.tensor([row], dtype=torch.float32) for row in logits)
    student.requires_grad_()
    options = {"temperature": temperature, "alpha": alpha, "scale_by_t2": t2}
    loss = distillation_loss(student, teacher, torch.tensor([label]), **options)
    loss.backward()
    # KL is not negative; in float32 its rounding is some 1e-6 before it is multiplied.
    assert math.isfinite(loss.item()) and loss.item() >= -1e-6 * (1 + t2 * temperature**2)
    assert student.grad.isfinite().all()
    for smoothing in LOSSES:
        assert smoothing(student, torch.tensor([label]), alpha).isfinite()


def test_extreme_logits_have_the_right_loss():
    """By hand: at T = 1 a teacher sure of class 1 against a student as sure of class 0 costs 2e4 nats."""
    student, teacher = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[-1e4, 1e4, 0.0]])
    for alpha in (0.0, 0.5, 1.0):
        loss = distillation_loss(student, teacher, torch.tensor([1]), temperature=1, alpha=alpha)
        assert float(loss) == pytest.approx(2e4)


@given(st.floats(-1e3, 1e3), st.permutations(range(10)))
@settings(max_examples=30, deadline=None)
def test_shifting_logits_or_renaming_classes_changes_nothing(shift, order):
    student, teacher, labels = batch()
    renamed = torch.tensor([order.index(int(c)) for c in labels])
    options = {"temperature": 4, "alpha": 0.8}
    wanted = distillation_loss(student, teacher, labels, **options)
    found = distillation_loss(student[:, order] + shift, teacher[:, order] - shift, renamed, **options)
    torch.testing.assert_close(found, wanted)


def test_losses_compile_without_a_break():
    student, teacher, labels = (x.float() if x.is_floating_point() else x for x in batch())
    temperature = torch.tensor(9.0)
    compiled = torch.compile(distillation_losses, fullgraph=True, backend="eager")
    options = {"temperature": temperature, "alpha": 0.99}
    torch.testing.assert_close(
        compiled(student, teacher, labels, **options), distillation_losses(student, teacher, labels, **options)
    )


# Refusals


def test_disagreeing_shapes_are_refused():
    student, teacher, labels = batch()
    options = {"temperature": 9, "alpha": 0.9}
    for wrong in (teacher[:, :9], teacher[:1], teacher[:, :1], teacher.expand(2, 6, 10)):
        with pytest.raises(UserError, match="logits disagree in shape"):
            distillation_loss(student, wrong, labels, **options)
    for wrong in (labels[:5], labels[:1], labels[:, None], labels[0], labels.expand(2, 6)):
        with pytest.raises(UserError, match="labels must be integers"):
            distillation_loss(student, teacher, wrong, **options)
    by_member = torch.ones(2)  # (2,) where (2, 1) is meant
    with pytest.raises(UserError, match="must broadcast"):
        distillation_losses(student.expand(2, 6, 10), teacher, labels, temperature=by_member, alpha=0.9)


@pytest.mark.parametrize("labels", [torch.tensor([0.0, 1.0]), torch.tensor([True, False])])
def test_labels_that_are_no_indices_are_refused(labels):
    for loss in LOSSES:
        with pytest.raises(UserError, match="labels must be integers"):
            loss(torch.zeros(2, 3), labels, 0.6)


def test_an_empty_batch_has_no_mean_but_no_examples_have_no_losses():
    empty = torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    with pytest.raises(UserError, match="empty batch"):
        distillation_loss(*empty, temperature=9, alpha=0.9)
    assert distillation_losses(*empty, temperature=9, alpha=0.9).shape == (0,)


def test_small_integer_labels_are_as_good():
    student, teacher, labels = batch()
    options = {"temperature": 9, "alpha": 0.5}
    for dtype in (torch.uint8, torch.int32):
        torch.testing.assert_close(
            distillation_loss(student, teacher, labels.to(dtype), **options),
            distillation_loss(student, teacher, labels, **options),
        )
