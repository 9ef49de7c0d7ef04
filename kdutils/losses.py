"""Losses on logits: label smoothing (Eq. 1-3) and distillation (Eq. 4) of Vats & Crandall (2021), and of related systems.

Here, as in Eq. 4, `alpha` weighs the soft term, KL is summed over classes and averaged over examples, and there is no
T² unless asked. Elsewhere: in Keras's example and torchdistill `alpha` weighs cross-entropy; torchdistill, mdistiller
and RepDistiller multiply KL by T²; `nn.KLDivLoss()` at its default averages over classes too, which divides KL by C;
Tf-KD smooths with alpha/(C-1) on the other classes only, which is Eq. 1 with alpha·C/(C-1). Losses are in nats, in
float32 whatever the autocast, or in float64 if the logits are.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdutils.errors import UserError, check_name, check_number, check_whole


def label_smoothing_targets(labels: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Eq. 1 and Table 1: q' = (1 - alpha)·q + alpha/C, float32 (N, C), of class indices (N,) and alpha in [0, 1]."""
    check_whole("num_classes", num_classes, 1)
    check_number("alpha", alpha, 0, 1)
    labels = _class_indices(labels, None, num_classes)
    return (1 - alpha) * F.one_hot(labels, num_classes).float() + alpha / num_classes


def label_smoothing_loss(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Eq. 3: H(q', p) = (1 - alpha)·H(q, p) + alpha·H(u, p), batch mean, of logits (N, C) and labels (N,)."""
    check_logits(logits)
    _check_option("alpha", alpha, logits.shape[:-1])
    return _mean((1 - alpha) * _cross_entropies(logits, labels) - alpha * _log_softmax(logits).mean(-1))


def label_smoothing_loss_kl(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Eq. 2, which is Eq. 4 at T = 1 from a uniform teacher, and is Eq. 3 less the constant alpha·H(u) = alpha·ln C."""
    check_logits(logits)
    return distillation_loss(logits, torch.zeros_like(logits), labels, temperature=1, alpha=alpha)


def distillation_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    alpha: float | Tensor,
    scale_by_t2: bool | Tensor = False,
) -> Tensor:
    """Eq. 4 for each example, (..., N): (1 - alpha)·H(q, student at T = 1) + alpha·KL(teacher at T, student at T).

    Parameters
    ----------
    student_logits, teacher_logits : Tensor (..., N, C)
        Leading axes are free, for many students at once. The teacher's broadcast to the student's; it gets no gradient.
        Both are finite: for a class that a teacher rules out, give it a very low logit and not -inf.
    labels : Tensor (..., N) of integer class indices; leading axes broadcast likewise
    temperature, alpha, scale_by_t2 : number, or tensor that broadcasts to (..., N): (E, 1) for E students
        T > 0; the soft term's weight in [0, 1]; whether KL is multiplied by T², as Hinton et al. (2015) advise and the
        paper does not. A tensor's values are not checked, since on a GPU that would wait for the device.

    Raises
    ------
    UserError
        If a number is out of range, shapes disagree, or labels are no class indices (their range: on the CPU only).
    """
    student, teacher = _check(student_logits, teacher_logits, temperature, alpha, scale_by_t2)
    kl = _kl(_log_softmax(teacher, temperature), _log_softmax(student, temperature))
    factor = temperature ** (2 * scale_by_t2)  # T² or 1, for numbers and tensors alike
    return (1 - alpha) * _cross_entropies(student, labels) + alpha * factor * kl


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    alpha: float | Tensor,
    scale_by_t2: bool | Tensor = False,
) -> Tensor:
    """Eq. 4, batch mean: (1 - alpha)·H(q, student at T = 1) + alpha·KL(teacher at T, student at T), in nats.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor (N, C)
        The teacher's get no gradient.
    labels : Tensor (N,)
        Integer class indices.
    temperature : float
        T > 0.
    alpha : float
        The *soft* term's weight in [0, 1].
    scale_by_t2 : bool
        Whether KL is multiplied by T², as Hinton et al. (2015) advise and the paper does not.

    Returns
    -------
    Tensor, one number: the mean of `distillation_losses`, which also says what more is allowed

    Raises
    ------
    UserError
        As `distillation_losses`.
    """
    losses = distillation_losses(
        student_logits, teacher_logits, labels, temperature=temperature, alpha=alpha, scale_by_t2=scale_by_t2
    )
    return _mean(losses)


# -------------------------------------------------------------------- related systems


def logit_matching_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    temperature: float | Tensor = 1,
    scale_by_t2: bool | Tensor = False,
) -> Tensor:
    """Logit matching (Buciluă et al. 2006) for each example: (1 - alpha)·H(q, student) + alpha·mean_k (z_k - v_k)²/2.

    z and v are the student's and the teacher's inputs to the softmax. With the half and the mean over classes it is
    what T²·KL tends to as T grows, for logits of mean zero (Hinton et al. 2015, section 2.1). Parameters, shapes and
    errors as `distillation_losses`; temperature and T² have no effect and are taken so that all losses can be called
    alike.
    """
    student, teacher = _check(student_logits, teacher_logits, temperature, alpha, scale_by_t2)
    squared = (_precise(student) - _precise(teacher)).square().mean(-1) / 2
    return (1 - alpha) * _cross_entropies(student, labels) + alpha * squared


def residual_logits(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """Residual distillation (Gao et al. 2020) on logits: what an assistant A is to learn, T - S (..., N, C).

    By logit matching, for then A's loss is the squared error of the deployed sum: ((T - S) - A)² = (T - (S + A))². Gao
    et al. match feature maps; this is the same on responses, the only thing that response-based distillation sees.

    Parameters
    ----------
    teacher_logits, student_logits : Tensor (..., N, C)
        T and S.

    Raises
    ------
    UserError
        If they are not floating-point tensors of one shape.
    """
    for logits in (teacher_logits, student_logits):
        check_logits(logits)
    if teacher_logits.shape != student_logits.shape:
        raise UserError(
            f"T and S must have one shape; got {tuple(teacher_logits.shape)}, {tuple(student_logits.shape)}"
        )
    return (_precise(teacher_logits) - _precise(student_logits)).detach()


def virtual_teacher_logits(labels: Tensor, num_classes: int, correct: float = 0.99) -> Tensor:
    """Logits (N, C), float32, of the manually designed teacher of teacher-free distillation (Yuan et al. 2020).

    They are the logarithms of its probabilities, `correct` for an example's own class and (1 - correct)/(C - 1) for
    each other one, so that Eq. 4 with these logits is the paper's formula: the KL of the teacher's soft labels at T and
    the student's at T. In the authors' code the *probabilities* are divided by T, the student carries no temperature,
    and the KL term is multiplied by 100.

    Parameters
    ----------
    labels : Tensor (N,)
        Integer class indices.
    num_classes : int
        C.
    correct : float
        The teacher's confidence, in (0, 1).

    Raises
    ------
    UserError
        If a label is no class index or `correct` is out of range.
    """
    check_number("correct", correct, 0, 1, "()")
    check_whole("num_classes", num_classes, 2)
    labels = _class_indices(labels, None, num_classes)
    logits = torch.full((*labels.shape, num_classes), math.log((1 - correct) / (num_classes - 1)), device=labels.device)
    return logits.scatter(-1, labels[..., None], math.log(correct))


def decoupled_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    alpha: float | Tensor,
    beta: float = 8.0,
    scale_by_t2: bool | Tensor = True,
) -> Tensor:
    """Decoupled distillation (Zhao et al. 2022) for each example: (1 - alpha)·H(q, p) + alpha·T²·(TCKD + beta·NCKD).

    TCKD is the KL between teacher and student of (own class, all others) at T, NCKD that of the distributions over the
    other classes alone. With beta = 1 - (the teacher's soft label of the own class) the sum is the KL of Eq. 4. `beta`
    is theirs over their alpha, 8 as in their code's default; here, as everywhere, `alpha` weighs the soft term. Their
    code lets the soft term grow over the first epochs; this one does not. Other parameters, shapes and errors as
    `distillation_losses`.
    """
    student, teacher = _check(student_logits, teacher_logits, temperature, alpha, scale_by_t2)
    check_number("beta", beta, 0, ends="[)")
    check_whole("the number of classes, whose others are what NCKD compares,", student.shape[-1], 2)
    labels = _class_indices(labels, student.shape[:-1], student.shape[-1])
    halves, others = [], []
    for logits in (teacher, student):
        log_p = _log_softmax(logits.expand_as(student), temperature)
        classes = torch.arange(1, log_p.shape[-1], device=log_p.device)
        other = log_p.gather(-1, (labels[..., None] + classes) % log_p.shape[-1])  # (..., N, C - 1)
        total = other.logsumexp(-1, keepdim=True)
        halves.append(torch.cat([log_p.gather(-1, labels[..., None]), total], -1))
        others.append(other - total)
    soft = _kl(*halves) + beta * _kl(*others)
    return (1 - alpha) * _cross_entropies(student, labels) + alpha * temperature ** (2 * scale_by_t2) * soft


def standardised_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    alpha: float | Tensor,
    scale_by_t2: bool | Tensor = True,
) -> Tensor:
    """Logit standardisation (Sun et al. 2024) for each example: Eq. 4 with T², its KL between standardised logits.

    Each example's logits, less their mean, over their standard deviation (mean square over C; their code's is over
    C - 1, which is a temperature larger by sqrt(C/(C-1))), on both sides; cross-entropy sees the logits as they are. A
    temperature means more here than elsewhere: 2 is theirs. Parameters, shapes and errors as `distillation_losses`.
    """
    student, teacher = _check(student_logits, teacher_logits, temperature, alpha, scale_by_t2)
    kl = _kl(*(_log_softmax(_standardise(logits), temperature) for logits in (teacher, student)))
    return (1 - alpha) * _cross_entropies(student, labels) + alpha * temperature ** (2 * scale_by_t2) * kl


#: The losses that a student may be trained with, by the name in its protocol; all can be called alike.
LOSSES: dict[str | None, Callable[..., Tensor]] = {
    None: distillation_losses,
    "logits": logit_matching_losses,
    "decoupled": decoupled_losses,
    "standardised": standardised_losses,
}


def losses_by_member(kinds: Sequence[str | None], device: torch.device) -> Callable[..., Tensor]:
    """The losses (E, N) of E students, each of its own kind, as one function.

    It is called like `distillation_losses`: logits are (E, N, C), labels (E, N) and options (E, 1).

    Parameters
    ----------
    kinds : sequence of E str or None
        Keys of `LOSSES`.
    device : torch.device
        Where the logits will be.
    """
    distinct = list(dict.fromkeys(kinds))
    for kind in filter(None, distinct):
        check_name("loss", kind, filter(None, LOSSES))
    if len(distinct) == 1:
        return LOSSES[distinct[0]]
    rows = {kind: torch.tensor([e for e, k in enumerate(kinds) if k == kind], device=device) for kind in distinct}
    back = torch.cat(list(rows.values())).argsort()

    def losses(*logits_and_labels: Tensor, **options: Tensor) -> Tensor:
        take = lambda tensor, of: tensor.index_select(0, of)
        parts = [
            LOSSES[kind](*(take(t, of) for t in logits_and_labels), **{n: take(t, of) for n, t in options.items()})
            for kind, of in rows.items()
        ]
        return torch.cat(parts).index_select(0, back)

    return losses


def _check(student: Tensor, teacher: Tensor, *options: object) -> tuple[Tensor, Tensor]:
    """Both logits if they and the options (temperature, alpha, T²) fit; the teacher's get no gradient."""
    for logits in (student, teacher):
        check_logits(logits)
    if teacher.shape[-2:] != student.shape[-2:] or not _fits(teacher.shape, student.shape):
        raise UserError(f"logits disagree in shape: student {tuple(student.shape)}, teacher {tuple(teacher.shape)}")
    for name, value in zip(("temperature", "alpha", "scale_by_t2"), options, strict=True):
        _check_option(name, value, student.shape[:-1])
    return student, teacher.detach()


def _kl(log_target: Tensor, log_p: Tensor) -> Tensor:
    return (log_target.exp() * (log_target - log_p)).sum(-1)


def _standardise(logits: Tensor) -> Tensor:
    logits = _precise(logits)
    centred = logits - logits.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + 1e-14).rsqrt()  # constant logits become zeros


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _log_softmax(logits: Tensor, temperature: float | Tensor = 1) -> Tensor:
    return F.log_softmax(
        _precise(logits) / (temperature[..., None] if isinstance(temperature, Tensor) else temperature), dim=-1
    )


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    labels = _class_indices(labels, logits.shape[:-1], logits.shape[-1])
    return -_log_softmax(logits).gather(-1, labels[..., None]).squeeze(-1)


def _mean(losses: Tensor) -> Tensor:
    if losses.numel() == 0:
        raise UserError("an empty batch has no mean loss: give at least one example")
    return losses.mean()


def _fits(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(n in (1, target[i - len(shape)]) for i, n in enumerate(shape))


def check_logits(logits: object) -> None:
    """Raise UserError unless these are a floating-point tensor (..., N, C)."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or logits.ndim == 0 or logits.shape[-1] == 0:
        got = f"{logits.dtype} {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UserError(f"logits must be a floating-point tensor (..., N, C); got {got}")


def _check_option(name: str, value: object, shape: torch.Size) -> None:
    if isinstance(value, Tensor):
        if not _fits(value.shape, shape):
            raise UserError(f"{name} must broadcast to the examples {tuple(shape)}; got {tuple(value.shape)}")
    elif name == "temperature":
        check_number(name, value, 0, ends="()")
    elif name == "alpha":
        check_number(name, value, 0, 1)
    elif not isinstance(value, bool):
        raise UserError(f"{name} must be True or False; got {value!r}")


def _class_indices(labels: Tensor, shape: torch.Size | None, num_classes: int) -> Tensor:
    """Labels as int64, expanded to the examples' shape; None: their own."""
    if not isinstance(labels, Tensor):
        raise UserError(f"labels must be a tensor of integers; got a {type(labels).__name__}")
    shape = labels.shape if shape is None else shape
    fits = _fits(labels.shape, shape) and labels.shape[-1:] == shape[-1:]
    if not fits or labels.is_floating_point() or labels.dtype == torch.bool:
        raise UserError(
            f"labels must be integers for examples {tuple(shape)}; got {labels.dtype} {tuple(labels.shape)}"
        )
    labels = labels.long()  # of some unsigned types PyTorch finds no smallest
    readable = labels.device.type == "cpu" and not torch.compiler.is_compiling()  # elsewhere a look would wait
    if readable and ((labels < 0) | (labels >= num_classes)).any():
        raise UserError(f"labels must lie in 0..{num_classes - 1}; got {int(labels.min())}..{int(labels.max())}")
    return labels.expand(shape)
