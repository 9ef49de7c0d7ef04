"""Losses on logits: label smoothing (Eq. 1-3) and response-based distillation (Eq. 4) of Vats & Crandall (2021).

Here, as in Eq. 4, `alpha` weighs the soft term, KL is summed over classes and averaged over examples, and there is no
T² unless asked. Elsewhere: in Keras's example and torchdistill `alpha` weighs cross-entropy; torchdistill, mdistiller
and RepDistiller multiply KL by T²; `nn.KLDivLoss()` at its default averages over classes too, which divides KL by C;
Tf-KD smooths with alpha/(C-1) on the other classes only, which is Eq. 1 with alpha·C/(C-1). Losses are in nats, in
float32 whatever the autocast, or in float64 if the logits are.
"""

import math
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

from kdutils.errors import UserError


def label_smoothing_targets(labels: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Eq. 1 and Table 1: q' = (1 - alpha)·q + alpha/C, float32 (N, C), of integer class indices (N,)."""
    _check_number("alpha", alpha, labels.shape)
    labels = _class_indices(labels, labels.shape, num_classes)
    return (1 - alpha) * F.one_hot(labels, num_classes).float() + alpha / num_classes


def label_smoothing_loss(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Eq. 3: H(q', p) = (1 - alpha)·H(q, p) + alpha·H(u, p), batch mean, of logits (N, C) and labels (N,)."""
    _check_number("alpha", alpha, labels.shape)
    return _mean((1 - alpha) * _cross_entropies(logits, labels) - alpha * _log_softmax(logits).mean(-1))


def label_smoothing_loss_kl(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Eq. 2, which is Eq. 4 at T = 1 from a uniform teacher, and is Eq. 3 less the constant alpha·H(u) = alpha·ln C."""
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
    labels : Tensor (..., N) of integer class indices; leading axes broadcast likewise
    temperature, alpha, scale_by_t2 : number, or tensor that broadcasts to (..., N): (E, 1) for E students
        T > 0; the soft term's weight in [0, 1]; whether KL is multiplied by T², as Hinton et al. (2015) advise and the
        paper does not. A tensor's values are not checked, since on a GPU that would wait for the device.

    Raises
    ------
    UserError
        If a number is out of range, shapes disagree, or labels are no class indices (their range: on the CPU only).
    """
    student, teacher, shape = student_logits, teacher_logits.detach(), student_logits.shape[:-1]
    if teacher.shape[-2:] != student.shape[-2:] or not _fits(teacher.shape, student.shape):
        raise UserError(f"logits disagree in shape: student {tuple(student.shape)}, teacher {tuple(teacher.shape)}")
    for name, value in (("temperature", temperature), ("alpha", alpha), ("scale_by_t2", scale_by_t2)):
        _check_number(name, value, shape)
    log_p, log_target = _log_softmax(student, temperature), _log_softmax(teacher, temperature)
    kl = (log_target.exp() * (log_target - log_p)).sum(-1)
    factor = temperature ** (2 * scale_by_t2)  # T² or 1, for numbers and tensors alike
    return (1 - alpha) * _cross_entropies(student, labels) + alpha * factor * kl


def distillation_loss(student_logits, teacher_logits, labels, *, temperature, alpha, scale_by_t2=False) -> Tensor:
    """Eq. 4, batch mean: the mean of `distillation_losses`, whose parameters these are, over all examples."""
    options = {"temperature": temperature, "alpha": alpha, "scale_by_t2": scale_by_t2}
    return _mean(distillation_losses(student_logits, teacher_logits, labels, **options))


def _log_softmax(logits: Tensor, temperature: float | Tensor = 1) -> Tensor:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.log_softmax(logits / (temperature[..., None] if isinstance(temperature, Tensor) else temperature), dim=-1)


def _cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    labels = _class_indices(labels, logits.shape[:-1], logits.shape[-1])
    return -_log_softmax(logits).gather(-1, labels[..., None]).squeeze(-1)


def _mean(losses: Tensor) -> Tensor:
    if losses.numel() == 0:
        raise UserError("an empty batch has no mean loss: give at least one example")
    return losses.mean()


def _fits(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(n in (1, target[i - len(shape)]) for i, n in enumerate(shape))


def _check_number(name: str, value: object, shape: torch.Size) -> None:
    if isinstance(value, Tensor):
        good, rule = _fits(value.shape, shape), f"broadcast to the examples {tuple(shape)}"
    elif name == "temperature":
        good, rule = isinstance(value, Real) and 0 < value < math.inf, "be a number in (0, inf)"
    else:
        good, rule = isinstance(value, Real) and 0 <= value <= 1, "be a number in [0, 1]"
    if not good:
        raise UserError(f"{name} must {rule}; got {getattr(value, 'shape', value)!r}")


def _class_indices(labels: Tensor, shape: torch.Size, num_classes: int) -> Tensor:
    """Labels as int64, expanded to the examples' shape."""
    fits = _fits(labels.shape, shape) and labels.shape[-1:] == shape[-1:]
    if not fits or labels.is_floating_point() or labels.dtype == torch.bool:
        raise UserError(
            f"labels must be integers for examples {tuple(shape)}; got {labels.dtype} {tuple(labels.shape)}"
        )
    readable = labels.device.type == "cpu" and not torch.compiler.is_compiling()  # elsewhere a look would wait
    if readable and ((labels < 0) | (labels >= num_classes)).any():
        raise UserError(f"labels must lie in 0..{num_classes - 1}; got {int(labels.min())}..{int(labels.max())}")
    return labels.long().expand(shape)
