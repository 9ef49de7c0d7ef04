"""Anyone's images and networks: read, looked over before anything is trained, and many students of one kind at once.

`fleet` knows the networks of Table 7 and is faster with them; this takes any `nn.Module` from images to logits.
"""

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from kdutils.data import SPLITS, ImageSet
from kdutils.errors import UserError, check_name, check_number, check_whole
from kdutils.losses import distillation_losses
from kdutils.protocols import seed_for
from kdutils.training import epoch_order, make_optimizer, predict, to_input

Factory = Callable[[], nn.Module]
Optimizer = Callable[..., torch.optim.Optimizer]  # of the parameters
HELD_OUT = 0.15  # of a class for validation, and as much for test, where they are not given
#: Multiply-adds of one member's forward pass through a minibatch up to which members are stacked on a CPU. There a step
#: below it is mostly overhead, which a stack shares (4 to 7 times faster for 32 small networks); above it PyTorch's
#: grouped convolution, which a stack becomes, is slower than one network after another (2 times and more).
STACK_ON_CPU = 1e7


def tensors(data: object) -> tuple[Tensor, Tensor]:
    """Images (N, …) and labels int64 (N,), on the CPU, of a pair of them, an `ImageSet` or a dataset; see `sweetspot`."""
    if isinstance(data, ImageSet):
        return data.images.cpu(), data.labels.cpu()
    if isinstance(data, tuple | list) and len(data) == 2 and not isinstance(data[0], tuple):
        try:
            images, labels = map(torch.as_tensor, data)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"images and labels must be arrays or tensors of numbers: {one_line(error)}") from None
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, str | bytes):
        if len(data) == 0:
            raise UserError("the data set is empty")
        try:
            pairs = [_pair(*data[n]) for n in range(len(data))]
            again = [_pair(*data[n])[0] for n in range(min(8, len(data)))]
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"the data set's items must be (image, label) pairs: {one_line(error)}") from None
        each, labels = [image for image, _ in pairs], torch.tensor([label for _, label in pairs])
        if len({image.shape for image in each}) > 1:
            raise UserError("the data set's images differ in size; resize them in its transform")
        if not all(torch.equal(a, b) for a, b in zip(each, again, strict=False)):
            raise UserError("the data set gives another image each time (augmentation?); a response is stored but once")
        images = torch.stack(each)
    else:
        raise UserError(f"data must be (images, labels) or a data set of such pairs; got a {type(data).__name__}")
    check_examples(images, labels)
    return images.cpu(), labels.long().cpu()


def check_examples(images: Tensor, labels: Tensor) -> None:
    """Raise UserError unless these are images (N, …), N of them at least one, and whole numbers (N,)."""
    if not images.numel():
        raise UserError("the data set is empty")
    if images.ndim < 2 or images.dtype == torch.bool or images.is_complex():
        raise UserError(
            f"images must be numbers (N, …), such as (N, C, H, W); got {images.dtype} {tuple(images.shape)}"
        )
    if labels.ndim != 1 or len(labels) != len(images) or labels.is_floating_point() or labels.dtype == torch.bool:
        got = f"{labels.dtype} {tuple(labels.shape)}"
        raise UserError(f"labels must be integers, one for each of {len(images)} images; got {got}")
    if images.is_floating_point() and not bool(images.isfinite().all()):
        raise UserError("some images have values that are not finite")


def _pair(image: object, label: Any) -> tuple[Tensor, int]:
    """One item of a data set: tensors as they are, other images (PIL, arrays) with their channels first."""
    if not isinstance(image, Tensor):
        array = torch.from_numpy(np.array(image))
        image = array[None] if array.ndim == 2 else array
        if array.ndim == 3:
            first, last = (array.shape[axis] in (1, 3, 4) for axis in (0, -1))
            if first == last:
                raise ValueError(f"which axis of {tuple(array.shape)} has the channels? give tensors, channels first")
            image = array.movedim(-1, 0) if last else array
    return image, operator.index(label)


def split(data: object) -> dict[str, tuple[Tensor, Tensor]]:
    """The three parts of the data, those that are not given taken from "train"; see `search`."""
    if isinstance(data, Mapping):
        if "train" not in data or not set(data) <= set(SPLITS):
            got = ", ".join(map(str, data))
            raise UserError(f"data must have 'train', and may have 'validation' and 'test'; got {got}")
    else:
        data = {"train": data}
    parts = {name: tensors(data[name]) for name in SPLITS if name in data}
    shapes = {images.shape[1:] for images, _ in parts.values()}
    if len(shapes) > 1:
        raise UserError(f"the parts' images differ in size: {', '.join(str(tuple(s)) for s in shapes)}")
    kinds = {"float" if images.is_floating_point() else str(images.dtype) for images, _ in parts.values()}
    if len(kinds) > 1:  # uint8 is seen in [0, 1], all else as it is
        raise UserError(f"the parts' images differ in type, and so in scale: {', '.join(sorted(kinds))}")
    images, labels = parts["train"]
    lacking = [name for name in SPLITS if name not in parts]
    if lacking:
        taken: dict[str, list[Tensor]] = {name: [] for name in ["train", *lacking]}
        generator = torch.Generator().manual_seed(seed_for("split"))
        for c, count in zip(*(t.tolist() for t in labels.unique(return_counts=True)), strict=True):
            if count < 1 + len(lacking):
                raise UserError(f"class {c} has {count} of the images: too few for train, {' and '.join(lacking)}")
            order = (labels == c).nonzero().squeeze(1)[torch.randperm(count, generator=generator)]
            each = min(max(1, round(HELD_OUT * count)), (count - 1) // len(lacking))
            for n, name in enumerate(lacking):
                taken[name].append(order[n * each : (n + 1) * each])
            taken["train"].append(order[len(lacking) * each :])
        for name, indices in taken.items():
            chosen = torch.cat(indices).sort().values
            parts[name] = (images[chosen], labels[chosen])
    return parts


def one_line(error: Exception) -> str:
    """The beginning of an error's message, as one line that another message can quote."""
    return " ".join(str(error).split())[:200]


def build(factory: Factory, seed: int, device: torch.device, name: str = "a factory") -> nn.Module:
    """A new network of `factory`, its weights drawn from `seed`, on the device; `name` is what a message calls it."""
    torch.manual_seed(seed)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise UserError(f"{name} must be a function that returns a new network, such as lambda: Net()")
    try:
        model = factory()
    except TypeError as error:
        raise UserError(f"{name} must return a new network when called without arguments: {one_line(error)}") from None
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} must return an nn.Module; it returned a {type(model).__name__}")
    return model.to(device)


def try_network(
    factory: Factory, name: str, images: Tensor, smallest: int, classes: int, device: torch.device
) -> tuple:
    """Width of the network's output, and multiply-adds of one image, found by forward passes on a throw-away copy."""
    smallest = min(smallest, len(images))
    model = build(factory, 0, device, name)
    if model is build(factory, 0, device, name):
        raise UserError(f"{name} must return a new network at each call; it returned the same one twice")
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError(f"{name}'s network has nothing to train")
    try:
        with torch.no_grad():
            model.train()(to_input(images[:smallest], device))  # batch normalisation refuses some batches of one
            with FlopCounterMode(display=False) as counter:
                logits = model.eval()(to_input(two := images[:2], device))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        kind = "" if (seen := to_input(images[:1], device).dtype).is_floating_point else f" of {seen}"
        what = f"a minibatch of images {tuple(images[:smallest].shape)}{kind}"
        raise UserError(f"{name}'s network cannot take {what}: {one_line(error)}") from None
    check_logits(name, logits, len(two), classes)
    return logits.shape[1], counter.get_total_flops() / (2 * len(two))  # a multiply-add is two operations


def check_logits(name: str, logits: object, images: int, classes: int) -> None:
    """Raise UserError unless a network's output for so many images is logits that reach to all classes."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(f"{name}'s network must give logits (N, C) for images (N, …); got {got} for {images} images")
    if not bool(logits.isfinite().all()):
        raise UserError(f"{name}'s network gives logits that are not finite")
    if bool((logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-3):
        raise UserError(f"{name}'s network gives probabilities; it must give logits: leave out its softmax")
    if logits.shape[1] < classes:
        raise UserError(f"{name}'s network gives {logits.shape[1]} logits, and labels reach to {classes - 1}")


def optimizer_of(model: nn.Module, optimizer: str | Optimizer, learning_rate: float) -> torch.optim.Optimizer:
    """An optimiser of a network's parameters: a named one at this rate, or the user's own, which has its own rate."""
    if isinstance(optimizer, str):
        return make_optimizer(model, optimizer, learning_rate)
    made = optimizer(model.parameters())
    if not isinstance(made, torch.optim.Optimizer):
        raise UserError(f"optimizer must return a torch.optim.Optimizer; it returned a {type(made).__name__}")
    return made


@contextlib.contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """After it the caller's random numbers, on the CPU and on this device, go on as if none had been drawn."""
    cuda = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        yield


# -------------------------------------------------------------------- students


def minibatches(size: int, batch_size: int, seed: int, epoch: int, device: torch.device) -> list[Tensor]:
    """One epoch's minibatches, on the device. One example left over is left out: batch normalisation refuses it."""
    batches = epoch_order(size, seed, epoch).to(device).split(batch_size)
    return list(batches[:-1] if len(batches) > 1 and batch_size > 1 == len(batches[-1]) else batches)


def distil_students(
    make_student: Factory,
    images: Tensor,
    labels: Tensor,
    logits: Tensor,
    *,
    temperature: float,
    alphas: Sequence[float],
    epochs: int,
    batch_size: int,
    optimizer: str | Optimizer,
    learning_rate: float,
    seed: int,
    looked_at: Sequence[Tensor],
    scale_by_t2: bool = False,
    stacked: bool | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Distil E students of one kind that learn from the same images and differ in the response alone.

    They have the same first weights, minibatches and dropout masks.

    Parameters
    ----------
    make_student : callable
        Returns a new network from images (N, …) to logits (N, C).
    images : Tensor (N, …), labels : Tensor (N,), logits : Tensor (E, N, C)
        The transfer set, and each member's teacher on it. Images as `sweetspot.search` takes them; students are trained
        where these are. Arrays do as well.
    temperature : float
        Of the soft term (Eq. 4).
    alphas : sequence of E floats
        Weights of the soft term, from 0, hard labels alone, to 1.
    epochs, batch_size : int
        Passes through the transfer set, and images in a minibatch.
    optimizer : str or callable
        "adam" or "sgd", at `learning_rate`; or a function of the parameters, with a rate of its own.
    learning_rate : float
    seed : int
        Of first weights, orders of images and dropout.
    looked_at : sequence of Tensor (M, …)
        Sets of images to look at in the end.
    scale_by_t2 : bool
        Whether the soft term is multiplied by T².
    stacked : bool, optional
        Whether weights are stacked and members trained at once, or one after another; by default as `is_stacked` says.

    Returns
    -------
    predicted : list of Tensor (E, M, C), float32, on the CPU
        Each student's logits, for each of `looked_at`.
    losses : Tensor (E,)
        Mean training loss of the last epoch; not finite if a student diverged.

    Raises
    ------
    UserError
        Before training, if something does not fit.

    Examples
    --------
    A student of a teacher's response, and one of hard labels alone:

    >>> x, y = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 4
    >>> x[range(200), y] += 3
    >>> taught = torch.stack([5 * x[:, :4], torch.zeros(200, 4)])
    >>> (predicted,), losses = distil_students(
    ...     lambda: nn.Linear(8, 4), x, y, taught, temperature=4.0, alphas=[0.9, 0.0], epochs=20, batch_size=32,
    ...     optimizer="adam", learning_rate=0.01, seed=0, looked_at=[x],
    ... )
    >>> (predicted.argmax(-1) == y).float().mean(1) > 0.9
    tensor([True, True])
    """
    try:
        images, labels, logits, *looked_at = map(torch.as_tensor, (images, labels, logits, *looked_at))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"images, labels, logits and looked_at must be tensors or arrays: {one_line(error)}") from None
    check_number("temperature", temperature, 0, ends="()")
    if not callable(optimizer):  # which has a rate of its own
        check_name("optimizer", optimizer, ("adam", "sgd"))
        check_number("learning_rate", learning_rate, 0, ends="()")
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        check_whole(name, value, least)
    device, alphas = images.device, _numbers("alphas", alphas)

    def together(chosen: slice) -> tuple[list[Tensor], Tensor]:
        size = chosen.stop - chosen.start
        group = _Stack(make_student, seed, size, device) if stacked else _One(make_student, seed, device)
        update = optimizer_of(group.parameters, optimizer, learning_rate)
        teacher, y = logits[chosen].to(device), labels.to(device)
        alpha = torch.tensor(alphas[chosen], device=device)[:, None]
        losses = functools.partial(distillation_losses, temperature=temperature, alpha=alpha, scale_by_t2=scale_by_t2)
        for epoch in range(1, epochs + 1):
            torch.manual_seed(seed_for("dropout", seed, epoch))
            total, count = torch.zeros(size, device=device), 0
            for batch in minibatches(len(y), batch_size, seed, epoch, device):
                predicted = group(to_input(images[batch], device))
                each = losses(predicted, teacher[:, batch], y[batch].expand(size, -1)).sum(1)
                update.zero_grad()
                (each.sum() / len(batch)).backward()  # a sum over members: each member's gradient is then its own
                update.step()
                total, count = total + each.detach(), count + len(batch)
        return [group.logits(x) for x in looked_at], (total / count).cpu()

    with own_random_numbers(device):
        _check_lessons(make_student, images, labels, logits, alphas, batch_size, looked_at)
        if stacked is None:  # an optimiser of the user's may look at more than one weight at a time
            stacked = isinstance(optimizer, str) and is_stacked(make_student, images[:batch_size], device)
        groups = [slice(0, len(logits))] if stacked else [slice(n, n + 1) for n in range(len(logits))]
        return _as_memory_allows(together, groups, device)


def _numbers(name: str, values: Any) -> list[float]:
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a list of numbers; got {values!r}") from None


def _check_lessons(make_student, images, labels, logits, alphas, batch_size, looked_at) -> None:
    """Raise the UserError of `distil_students` if what members learn from does not fit."""
    check_examples(images, labels)
    if logits.ndim != 3 or not logits.numel() or logits.shape[1] != len(images):
        raise UserError(f"logits must be (E, N, C), of {len(images)} images; got {tuple(logits.shape)}")
    if not bool(logits.isfinite().all()):
        raise UserError("some of the teachers' logits are not finite")
    members, _, classes = logits.shape
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UserError(f"labels must be below the {classes} classes of the logits, and not negative")
    if len(alphas) != members:
        raise UserError(f"alphas must be one for each of {members} members; got {len(alphas)}")
    for alpha in alphas:
        check_number("alpha, the soft term's weight,", alpha, 0, 1)
    for seen in looked_at:
        floats = seen.is_floating_point() and images.is_floating_point()
        if seen.shape[1:] != images.shape[1:] or not (floats or seen.dtype == images.dtype):
            kind = lambda of: f"{of.dtype} (…, {', '.join(map(str, of.shape[1:]))})"
            raise UserError(f"looked_at must be sets of images as those learned from, {kind(images)}; got {kind(seen)}")
    width, _ = try_network(make_student, "make_student", images, batch_size, int(labels.max()) + 1, images.device)
    if width != classes:
        raise UserError(f"a student gives {width} logits, and its teachers {classes}")


def _as_memory_allows(train: Callable[[slice], tuple], waiting: list[slice], device: torch.device) -> tuple:
    """What `train` gives for these members, at once, or half as many at a time where memory does not suffice."""
    found = []
    while waiting:
        chosen = waiting.pop(0)
        try:
            found.append(train(chosen))
        except torch.OutOfMemoryError:
            if chosen.stop - chosen.start == 1:
                raise
            middle = (chosen.start + chosen.stop) // 2
            waiting = [slice(chosen.start, middle), slice(middle, chosen.stop), *waiting]
        if waiting and device.type == "cuda":
            torch.cuda.empty_cache()
    predicted, losses = zip(*found, strict=True)
    return [torch.cat(of) for of in zip(*predicted, strict=True)], torch.cat(losses)


class _One:
    """One student, as a group of one: logits (1, N, C)."""

    def __init__(self, make_student: Factory, seed: int, device: torch.device):
        self.parameters = self.model = build(make_student, seed, device)

    def __call__(self, x: Tensor) -> Tensor:
        self.model.train()
        return self.model(x)[None]

    def logits(self, images: Tensor) -> Tensor:
        return predict(self.model, images).cpu()[None]


class _Stack:
    """E copies of one network, with weights and buffers (batch normalisation's) of their own: logits (E, N, C).

    Dropout draws one mask for all members, as one network would: so a stack trains as one network after another does.
    """

    def __init__(self, make_student: Factory, seed: int, size: int, device: torch.device):
        self.model = build(make_student, seed, device)
        stack = lambda t: t.detach().expand(size, *t.shape).clone()
        self.state = {name: stack(b) for name, b in self.model.named_buffers()}
        # Frozen weights stay as they are, and are the same for all.
        trained = {name: nn.Parameter(stack(p)) for name, p in self.model.named_parameters() if p.requires_grad}
        self.parameters = nn.ParameterList(trained.values())
        self.state |= trained
        self.forward = torch.vmap(
            lambda state, x: functional_call(self.model, state, (x,)), in_dims=(0, None), randomness="same"
        )

    def __call__(self, x: Tensor) -> Tensor:
        self.model.train()
        return self.forward(self.state, x)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        self.model.eval()
        few = max(1, 8_000 // len(self.parameters[0]))  # images at a time: activations are E times as many
        chunks = [self.forward(self.state, to_input(chunk, images.device)).float().cpu() for chunk in images.split(few)]
        return torch.cat(chunks, 1)


def is_stacked(make_student: Factory, images: Tensor, device: torch.device) -> bool:
    """Whether students are better trained as a stack: always on a GPU, on a CPU if small, if the network allows it.

    Some networks cannot be run under vmap (recurrent layers, control flow that depends on values). What a stack of two
    computes in evaluation mode is compared with what each computes alone. And a stack would forget a buffer that is set
    anew in training, instead of written in place.
    """
    x = to_input(images, device)
    try:
        with torch.no_grad():
            alone = build(make_student, 0, device)
            if device.type == "cpu":
                with FlopCounterMode(display=False) as counter:
                    alone.eval()(x)
                if counter.get_total_flops() / 2 > STACK_ON_CPU:
                    return False
            buffers = dict(alone.named_buffers())
            alone.train()(x)
            if any(buffer is not buffers.get(name) for name, buffer in alone.named_buffers()):
                return False
            stack = _Stack(make_student, 0, 2, device)
            for weight in stack.parameters:
                weight[1] *= 0.5
            stack(x)  # in training mode, where buffers change
            stack.model.eval()
            both = stack.forward(stack.state, x)
            for n in range(2):
                own = {name: t[n] for name, t in stack.state.items()}
                out = functional_call(stack.model, own, (x,))
                if not bool((out - both[n]).abs().max() <= 0.01 * out.abs().max()):  # TF32 rounds to a thousandth
                    return False
        return True
    except Exception:  # noqa: BLE001 - whatever vmap refuses: the plain loop takes any network
        return False
