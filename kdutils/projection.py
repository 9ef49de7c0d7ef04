"""The penultimate-layer projection of Müller et al. (2019), and how tight its clusters are (section 4.3)."""

import operator

import torch
from torch import Tensor

from kdutils.errors import UserError


def penultimate_projection(features: Tensor, weight: Tensor, bias: Tensor, classes: tuple[int, ...]) -> Tensor:
    """Project penultimate activations on the plane through three classes' templates.

    A template is a row of the last layer's weight with its bias appended; an activation gets a 1 appended, so that
    their product is the logit. The plane's basis is orthonormal, from a QR decomposition of t1 - t0 and t2 - t0, turned
    so that R's diagonal is positive: the first axis points from t0 to t1 and t2 lies at its left. The origin is the
    projection of zero.

    Parameters
    ----------
    features : Tensor (N, D)
    weight : Tensor (C, D)
    bias : Tensor (C,)
    classes : three different class indices

    Returns
    -------
    Tensor (N, 2), float64

    Raises
    ------
    UserError
        If the classes are not three different ones, shapes disagree, something is not finite, or the three templates
        lie on one line.
    """
    _check_finite(features, weight, bias)
    if features.ndim != 2 or weight.shape[1:] != features.shape[1:] or bias.shape != weight.shape[:1]:
        shapes = ", ".join(str(tuple(t.shape)) for t in (features, weight, bias))
        raise UserError(f"features (N, D), weight (C, D) and bias (C,) disagree in shape: {shapes}")
    first, *others = _check_classes(classes, len(weight))
    templates = torch.cat([weight, bias[:, None]], dim=1).double()
    q, r = torch.linalg.qr((templates[others] - templates[first]).T)
    _check_plane(r, tolerance=1e-6)
    activations = torch.cat([features, torch.ones_like(features[:, :1])], dim=1).double()
    return activations @ (q * r.diagonal().sign())


def projection_from_logits(logits: Tensor, gram: Tensor, classes: tuple[int, ...]) -> Tensor:
    """The same coordinates, without the activations: from logits and the templates' Gram matrix.

    With D = [t1 - t0, t2 - t0] = QR and activations a, the coordinates are a·Q = (a·D)·R⁻¹. Here a·D are differences
    of logits, and R is the Cholesky factor of DᵀD, which the Gram matrix holds, so that a stored response is enough.
    The templates' own coordinates are ``projection_from_logits(gram, gram, classes)``.

    Parameters
    ----------
    logits : Tensor (N, C)
    gram : Tensor (C, C)
        templates @ templates.T, each template with its bias.
    classes : three different class indices

    Returns
    -------
    Tensor (N, 2), float64

    Raises
    ------
    UserError
        As `penultimate_projection`.
    """
    _check_finite(logits, gram)
    if logits.ndim != 2 or gram.shape != (logits.shape[1], logits.shape[1]):
        raise UserError(f"logits (N, C) and gram (C, C) disagree: {tuple(logits.shape)}, {tuple(gram.shape)}")
    first, *others = _check_classes(classes, len(gram))
    logits, gram = logits.double(), gram.double()
    inner = gram[others] - gram[first]
    inner = inner[:, others] - inner[:, [first]]
    lower, failed = torch.linalg.cholesky_ex(inner)
    # Products stored in float32 are good to 1e-7, so a sine got from them is good to the root of that.
    _check_plane(lower.T * (failed == 0), tolerance=1e-3)
    differences = (logits[:, others] - logits[:, [first]]).T
    return torch.linalg.solve_triangular(lower, differences, upper=False).T


def scatter(points: Tensor, labels: Tensor) -> dict[str, float]:
    """How tight clusters are, as one number, so that "tighter" (section 4.3) can be tested.

    With m the mean of all points and m_c that of class c, over the N points n:

    ``within``
        mean of |x[n] - m_c(n)|², the spread inside clusters;
    ``between``
        mean of |m_c(n) - m|², the spread of their centres;
    ``ratio``
        within / between. Tight clusters have a small one. Turning, moving or scaling the plane leaves it as it is,
        without which two networks could not be compared.

    Parameters
    ----------
    points : Tensor (N, 2), or any number of coordinates
    labels : Tensor (N,)

    Raises
    ------
    UserError
        If there are fewer than two classes, lengths disagree, points are not finite, or the centres coincide, which
        leaves no ratio.
    """
    _check_finite(points, labels)
    if points.ndim != 2 or labels.shape != points.shape[:1]:
        raise UserError(f"points (N, 2) and labels (N,) disagree: {tuple(points.shape)}, {tuple(labels.shape)}")
    classes, index = labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"scatter needs points of at least two classes; got {len(classes)}")
    points = points.double()
    centres = torch.stack([points[labels == c].mean(dim=0) for c in classes])[index]
    within = float((points - centres).square().sum(dim=1).mean())
    between = float((centres - points.mean(dim=0)).square().sum(dim=1).mean())
    if not between > 1e-20 * float(points.square().sum(dim=1).mean()):
        raise UserError("the classes' centres coincide, so within over between has no value")
    return {"within": within, "between": between, "ratio": within / between}


def _check_finite(*tensors: Tensor) -> None:
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or not tensor.isfinite().all():
            got = "NaN or inf" if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise UserError(f"only tensors of finite numbers can be projected; got {got}")


def _check_classes(classes: tuple[int, ...], num_classes: int) -> list[int]:
    try:
        found = [operator.index(c) for c in classes]
    except TypeError:
        raise UserError(f"a plane needs three different classes in 0..{num_classes - 1}; got {classes!r}") from None
    if len(set(found)) != 3 or len(found) != 3 or not all(0 <= c < num_classes for c in found):
        raise UserError(f"a plane needs three different classes in 0..{num_classes - 1}; got {found}")
    return found


def _check_plane(r: Tensor, tolerance: float) -> None:
    """Refuse templates on one line: the sine of the angle between the two differences is at most `tolerance`."""
    if not (r[0, 0].abs() > 0 and r[1, 1].abs() > tolerance * r[:, 1].norm()):
        raise UserError("the three classes' templates lie on one line, so there is no plane through them")
