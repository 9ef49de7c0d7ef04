"""What a teacher's response says: soft labels, entropy, similarity, variance, and examples chosen by entropy.

The sources are sections 3.3, 4.1 and 4.2 of Vats & Crandall (2021). The paper speaks of a "variance in response, as
shown row-wise and column-wise in Tables 2 and 3" and does not define it; `response_variance` fixes six definitions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdutils.errors import UserError, check_name, check_number, check_whole

SELECTIONS = ("highest", "lowest", "random")
#: Responses whose similarity labels are not the teacher's own, see `counterfeit`.
COUNTERFEITS = ("permuted", "permuted by class", "class mean", "even")


def soft_labels(logits: Tensor, temperature: float) -> Tensor:
    """Softmax of logits / T, the teacher's soft labels (section 2, after Hinton et al. 2015).

    Parameters
    ----------
    logits : Tensor or array (N, C)
    temperature : float
        T > 0. The largest logit is subtracted before the division, so that nothing overflows. A logit may be -inf.

    Returns
    -------
    Tensor (N, C), float32, or float64 if the logits are

    Raises
    ------
    UserError
        If the temperature is no positive number, the logits have no class axis, or an example's have no softmax.
    """
    check_number("temperature", temperature, 0, ends="()")
    logits = _as_float(logits, "logits")
    largest = logits.amax(dim=-1, keepdim=True)
    if not largest.isfinite().all():
        raise UserError("some logits are not finite (NaN, inf, or all of an example's -inf): they have no soft labels")
    return torch.softmax((logits - largest) / temperature, dim=-1)


def at_temperature(soft: Tensor, of: float, to: float) -> Tensor:
    """Soft labels at another temperature: their logarithms are the logits over their own, up to a constant.

    Computed in float64. A soft label that was rounded to 0 stays 0.

    Parameters
    ----------
    soft : Tensor (N, C)
        Soft labels at temperature `of`.
    of, to : float
        The temperature that they are at, and the one wanted.
    """
    check_number("of", of, 0, ends="()")
    return soft_labels(torch.log(_as_probabilities(soft)) * of, to)


def entropy(logits: Tensor, temperature: float) -> Tensor:
    """Entropy of each example's soft labels (N,), in nats: 0 to ln C (section 4.1). Arguments as `soft_labels`."""
    return torch.special.entr(soft_labels(logits, temperature)).sum(dim=-1)


def confidence_labels(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Soft label (N,) of each example's own class, given by `labels` (N,) (section 3.3)."""
    return _split(soft_labels(logits, temperature), labels)[0]


def similarity_labels(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Soft labels (N, C-1) of the classes other than each example's own, in class order (section 3.3)."""
    return _split(soft_labels(logits, temperature), labels)[1]


def response_variance(soft: Tensor, labels: Tensor) -> dict[str, float]:
    r"""Variance in response, row-wise and column-wise, by six definitions (section 3.3, Tables 2 and 3).

    Let p[n] be example n's soft labels, s[n] its C-1 similarity labels, and r[n] = s[n] / sum(s[n]) the same made to
    sum to one: a confident teacher's similarity labels are small, and with them their variance; r takes that out.
    Row-wise asks how unlike the *classes* are to one image; column-wise, how unlike the *images* of one class are.

    ``row``, ``row_normalised``
        mean over n of Var_k s[n, k] (or r[n, k]); sum of squares over C-1, for these are all the classes there are.
        ``row_normalised`` is the squared coefficient of variation of s[n], over (C-1)².
    ``row_all``
        mean over n of Var_k p[n, k], over C: the confidence label included, which dominates it.
    ``column``, ``column_normalised``
        mean over classes c, and over classes k other than c, of Var s[n, k] (or r[n, k]) over the examples n of class
        c; sum of squares over their number less one, for they are a sample. Every class counts alike.
    ``column_all``
        the same with p, over all C classes k.

    Label smoothing (Table 1) has 0 by each but ``row_all``: neither similarity information nor variance.

    Parameters
    ----------
    soft : Tensor or array (N, C)
        Soft labels; they need not sum to one exactly (printed ones do not).
    labels : Tensor (N,)
        Each example's own class. One class alone is allowed; each class that occurs needs two examples.

    Returns
    -------
    dict of float
        By the six names. Computed in float64. The two normalised ones are NaN if the similarity labels of some
        example are all 0, as they round to for a confident teacher at low T: nothing there can be normalised.

    Raises
    ------
    UserError
        If there are no examples, one class only to choose from (C = 1), a class with one example, or `soft` is not
        within [0, 1].
    """
    soft = _as_probabilities(soft)
    labels = _as_labels(labels, soft.device)
    similarity = _split(soft, labels)[1]
    if soft.ndim != 2 or similarity.numel() == 0:
        raise UserError(f"variance needs examples and two classes at least; got soft labels {tuple(soft.shape)}")
    classes, counts = labels.unique(return_counts=True)
    if counts.min() < 2:
        raise UserError(f"column-wise variance needs 2 examples a class; class {int(classes[counts.argmin()])} has 1")

    def row(values: Tensor) -> float:
        return float(values.var(dim=1, correction=0).mean())

    def column(values: Tensor) -> float:
        return float(torch.stack([values[labels == c].var(dim=0).mean() for c in classes]).mean())

    versions = {"": similarity, "_all": soft, "_normalised": similarity / similarity.sum(dim=1, keepdim=True)}
    measures = {"row": row, "column": column}
    return {name + suffix: measures[name](values) for name in measures for suffix, values in versions.items()}


def counterfeit(logits: Tensor, labels: Tensor, kind: str, *, temperature: float, seed: int = 0) -> Tensor:
    """Logits whose confidence labels at T are the teacher's and whose similarity labels are not.

    Not in the paper: the test of whether entropy or similarity is what its responses convey.

    Parameters
    ----------
    logits : Tensor (N, C)
    labels : Tensor (N,)
        Each example's own class.
    kind : str
        "permuted": the similarity labels of each example in an order of its own; "permuted by class": in one order for
        all examples of a class, none in its own place. Both keep every example's entropy at every temperature.
        "class mean": the mean, over the class, of the similarity labels made to sum to one; "even": all alike.
    temperature : float
        At which the confidence label is kept.
    seed : int
        Of the permutations.

    Returns
    -------
    Tensor (N, C), float32: to be softened at the same T; logarithms of probabilities below 1e-30 end there

    Raises
    ------
    UserError
        If the kind is unknown, there is one class only, or as `soft_labels`.
    """
    check_name("counterfeit", kind, COUNTERFEITS)
    check_number("temperature", temperature, 0, ends="()")
    check_whole("seed", seed, 0)
    logits, labels = _as_float(logits, "logits"), _as_labels(labels)
    soft_labels(logits, temperature)  # which refuses what is not finite
    if logits.ndim != 2:
        raise UserError(f"logits must be (N, C); got {tuple(logits.shape)}")
    others, num_classes = _split(logits, labels)[1], logits.shape[-1]  # the other classes', in their order
    check_whole("the number of classes", num_classes, 2)
    own, generator = F.one_hot(labels.long(), num_classes).bool(), torch.Generator().manual_seed(seed)
    if kind.startswith("permuted"):
        if kind == "permuted":
            order = torch.rand(others.shape, generator=generator).argsort(1)
        else:
            # A random cycle through the other classes: each gets another one's label.
            cycles = torch.stack([torch.randperm(num_classes - 1, generator=generator) for _ in range(num_classes)])
            order = torch.empty_like(cycles).scatter_(1, cycles, cycles.roll(1, 1))[labels.cpu()]
        found = logits.clone()
        found[~own] = others.gather(1, order.to(others.device)).flatten()
        return found.float()
    confidence, similarity = _split(soft_labels(logits.double(), temperature), labels)
    shares = torch.full_like(similarity, 1 / (num_classes - 1))
    if kind == "class mean":
        each = soft_labels(others.double(), temperature)  # sums to one, also where the similarity labels vanish
        for c in labels.unique():
            shares[labels == c] = each[labels == c].mean(0)
    found = torch.empty_like(logits, dtype=torch.float64)
    found[own], found[~own] = confidence, (similarity.sum(1, keepdim=True) * shares).flatten()
    return (temperature * found.clamp(min=1e-30).log()).float()


def best_bias(logits: Tensor, labels: Tensor, category: int) -> float:
    """The shift of one class's logit that makes the most of these predictions right (after Hinton et al. 2015, section 3).

    A student that never saw a class may know it and suppress it: its output bias was only ever pushed down. Of the
    shifts that do equally well, the first from below is taken, in the middle of its interval.

    Parameters
    ----------
    logits : Tensor (N, C)
        The student's, on validation images.
    labels : Tensor (N,)
    category : int
        The class that it never saw.

    Raises
    ------
    UserError
        If there are no examples or no other class, labels do not fit, or some logits are not finite.
    """
    logits = _as_float(logits, "logits")
    labels = _check_labels(labels, logits)
    if logits.ndim != 2:
        raise UserError(f"logits must be (N, C); got {tuple(logits.shape)}")
    check_whole("category", category, 0, logits.shape[1] - 1)
    if not labels.numel() or logits.shape[1] < 2 or not logits.isfinite().all():
        raise UserError(f"a bias needs examples, two classes and finite logits; got logits {tuple(logits.shape)}")
    others = logits.double().clone()
    others[:, category] = -torch.inf
    best, which = others.max(1)
    threshold, order = (best - logits[:, category].double()).sort()
    gain = (labels == category).long() - (which == labels).long()
    right = torch.cat([gain.new_zeros(1), gain[order].cumsum(0)])
    right[1:-1][threshold[1:] == threshold[:-1]] = -len(labels) - 1  # no shift parts equal thresholds
    edges = torch.cat([threshold[:1] - 1, threshold, threshold[-1:] + 1])
    k = int(right.argmax())
    return float(edges[k] + edges[k + 1]) / 2


def select_examples(
    logits: Tensor | None,
    labels: Tensor,
    per_class: int,
    *,
    selection: str,
    temperature: float = 9.0,
    seed: int = 0,
) -> Tensor:
    """Choose `per_class` examples of every class by the entropy of the teacher's response (section 4.2, Figure 4).

    A smaller choice lies within every larger one. Equal entropies go by place in the file, the earlier first.

    Parameters
    ----------
    logits : Tensor or array (N, C), or None
        The teacher's; "random" needs none.
    labels : Tensor (N,)
        The paper takes 5 to 2,000 of each class; a class absent from `labels` is left out.
    per_class : int
    selection : str
        "highest" entropy, "lowest", or "random". The paper does not say which.
    temperature : float
        Of the entropy; section 4.2 has 9.
    seed : int
        Of "random" alone.

    Returns
    -------
    Tensor (classes * per_class,), int64, ascending indices into `labels`, on its device

    Raises
    ------
    UserError
        If the selection is unknown, a class has too few examples, or logits are absent, misshapen or not finite.
    """
    check_name("selection", selection, SELECTIONS)
    check_whole("per_class", per_class, 1)
    check_whole("seed", seed, 0)
    labels = _as_labels(labels)
    if labels.ndim != 1 or labels.is_floating_point():
        raise UserError(f"labels must be class indices (N,); got {labels.dtype} {tuple(labels.shape)}")
    classes, counts = labels.unique(return_counts=True)
    if len(labels) == 0 or counts.min() < per_class:
        scarce = f"class {int(classes[counts.argmin()])} has {int(counts.min())}" if len(labels) else "there are none"
        raise UserError(f"too few examples to take {per_class} of each class: {scarce}")
    if selection == "random":
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(labels.device)
    else:
        if logits is None or len(logits) != len(labels):
            raise UserError(f"selection {selection!r} needs the teacher's logits, one row for each label")
        # In float64: rounding to float32 would make confident examples equal, and their order that of the file.
        values = entropy(_as_float(logits, "logits").double(), temperature).to(labels.device)
        order = values.argsort(descending=selection == "highest", stable=True)
    return torch.cat([order[labels[order] == c][:per_class] for c in classes]).sort().values


def _as_float(values: Tensor, what: str) -> Tensor:
    try:
        values = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{what} must be a tensor or array of numbers (N, C); got a {type(values).__name__}") from None
    if values.ndim < 2 or values.shape[-1] == 0 or values.is_complex():
        raise UserError(f"{what} must be (N, C); got {values.dtype} {tuple(values.shape)}")
    return values if values.dtype == torch.float64 else values.float()


def _as_labels(labels: Tensor, device: torch.device | None = None) -> Tensor:
    try:
        return torch.as_tensor(labels, device=device)
    except (TypeError, ValueError, RuntimeError):
        kind = type(labels).__name__
        raise UserError(f"labels must be class indices, whole numbers, not these of type {kind}") from None


def _as_probabilities(soft: Tensor) -> Tensor:
    soft = _as_float(soft, "soft labels").double()
    if not ((soft >= 0) & (soft <= 1 + 1e-6)).all():
        raise UserError("soft labels must lie in [0, 1] (were logits given?)")
    return soft


def _split(soft: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Soft labels (N, C) as confidence labels (N,) and similarity labels (N, C-1)."""
    labels, num_classes = _check_labels(labels, soft), soft.shape[-1]
    own = F.one_hot(labels.long(), num_classes).bool()
    return soft[own].view(labels.shape), soft[~own].view(*labels.shape, num_classes - 1)


def _check_labels(labels: Tensor, soft: Tensor) -> Tensor:
    """Labels (N,) on the device of soft labels or logits (N, C), if they are class indices of these."""
    labels, num_classes = _as_labels(labels, soft.device), soft.shape[-1]
    if labels.shape != soft.shape[:-1] or labels.is_floating_point() or labels.dtype == torch.bool:
        wanted = tuple(soft.shape[:-1])
        raise UserError(f"labels must be class indices of shape {wanted}; got {labels.dtype} {tuple(labels.shape)}")
    labels = labels.long()  # of some unsigned types PyTorch finds no smallest
    if labels.numel() and not 0 <= labels.min() <= labels.max() < num_classes:
        raise UserError(f"labels must lie in 0..{num_classes - 1}; got {int(labels.min())}..{int(labels.max())}")
    return labels
