"""Many students, distilled at once from stored teacher logits; the teacher itself never runs.

Students of one fleet share seed, network and schedule; they may differ in teacher, missing class, number and selection
of examples, loss, temperature, alpha, T² factor and learning rate. Their weights are stacked along a leading axis of E
members. Members that learn from the same examples share every minibatch. A missing class is a weight of zero on
its examples, and a member's loss is divided by the examples it keeps, so a student's result does not depend on the
fleet it rides in, beyond the rounding of differently shaped matrix products.

Three back ends, one meaning; `back_end` chooses, from what was measured:

- On a GPU, and for the digits everywhere, the members are stacked: activations are (E, B, H, W, C), a convolution is a
  patch matrix times a weight matrix, batched over members, and where members share their minibatches the first
  convolution's patches are shared by all. Launching a step, or calling its operations, costs more than its arithmetic.
- On a CPU with a C++ compiler the Table 7 students for larger images go through `step.cpp`, member after member and few
  images at a time, some members a process, one process a core. Only the loss and the optimisers are PyTorch's.
- Whatever that does not fit (other layers, bfloat16, no compiler) is left to `distil_one`, one member after another:
  stacked, grouped and compiled by PyTorch it was slower than that channels-last loop on one thread.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from kdutils import compiled
from kdutils.data import ImageSet
from kdutils.errors import Diverged, UserError
from kdutils.losses import check_logits, losses_by_member
from kdutils.models import (
    INPUT_SHAPES,
    NUM_CLASSES,
    Network,
    SameConv2d,
    SameMaxPool2d,
    count_multiply_adds,
    create_model,
    same_padding,
)
from kdutils.protocols import TABLE_TEMPERATURE, StudentProtocol, seed_for
from kdutils.response import select_examples
from kdutils.training import autocast, epoch_order, graphed, make_optimizer, predict, to_input

# What the members of one fleet share; everything else may differ between them.
SHARED = (
    *("dataset", "data", "role", "seed", "train_size", "eval_size", "batch_size", "epochs", "steps"),
    *("optimizer", "precision", "variant", "schema"),
)
LOSS_OPTIONS = ("temperature", "alpha", "scale_by_t2")
#: How far a student's logits may lie from those of the plain loop, `distil_one`, whatever fleet it rides in: what every
#: back end is held to over 100 steps and more, where logits reach 5 to 8. In float32 rounding decides now and then on
#: which side of zero an activation lies; the more activations, the further that leads.
TOLERANCE = {"float64": 1e-6, "float32, digits": 1e-3, "float32, MNIST": 1e-2, "half-precision responses, MNIST": 2e-2}


def back_end(member: StudentProtocol, device: torch.device) -> "type[_Stacked] | None":
    """What trains members of this kind on this device together; None where `distil_one` trains them one by one."""
    if device.type == "cuda" or member.dataset == "digits":  # tiny steps cost their overhead, whatever the device
        return _Stacked if all(isinstance(layer, _STACKED) for layer in _layers(member)) else None
    with contextlib.suppress(ValueError):
        if member.precision == "float32":
            compiled.Network(_layers(member), INPUT_SHAPES[member.dataset], torch.get_default_dtype())
            return _Compiled
    return None


def group_size(member: StudentProtocol, device: torch.device) -> int | None:
    """How many members of this kind are best given to one process at a time; None for as many as there are."""
    kind = back_end(member, device)
    # On a CPU a step is to be fifty milliseconds long at most: with more members what it costs beside arithmetic is
    # shared by more, with fewer less is lost when a process is killed.
    if kind is _Compiled:
        operations = 6 * member.batch_size * count_multiply_adds(_network(member), member.dataset)
        return min(8, max(1, int(2e10 / operations)))
    return None if kind else 1


@dataclass(frozen=True)
class Student:
    """One distilled student's logits on validation and test, and its validation accuracy after each epoch."""

    validation: Tensor  # float32 (N, 10)
    test: Tensor  # float32 (N, 10)
    curve: Tensor  # float32 (epochs,), fractions
    loss: Tensor  # float32 (epochs,), mean training loss
    seconds: Tensor | None = None  # wall-clock time of its share of the fleet, once it is stored
    train: Tensor | None = None  # float32 (N, 10), logits on the transfer set, of students that teach others
    taught_by: Tensor | None = None  # int64, CRC-32 of the logits that it learned from, before any counterfeit


def transfer_indices(member: StudentProtocol, labels: Tensor, teacher: Tensor) -> Tensor:
    """Indices of the examples that a member learns from.

    They are chosen by the entropy of the response at T = 9 (section 4.2), whatever temperature is distilled at.

    Parameters
    ----------
    member : StudentProtocol
        Says how many of each class, and by what selection.
    labels : Tensor (N,)
        Of the transfer set, int64.
    teacher : Tensor (N, 10)
        Its teacher's logits on it.
    """
    if member.examples is None or member.selection is None:  # none without the other
        return torch.arange(len(labels))
    return select_examples(
        teacher,
        labels,
        member.examples,
        selection=member.selection,
        temperature=TABLE_TEMPERATURE,
        seed=seed_for("examples", member.seed),
    )


def epochs_of_batches(member: StudentProtocol, size: int) -> Iterator[list[Tensor]]:
    """For each epoch its batches of indices below `size`: `member.steps` of them, pass after pass, or one pass."""
    batch_size = min(member.batch_size, size)
    passes = (epoch_order(size, member.seed, n).split(batch_size) for n in itertools.count(1))
    stream = itertools.chain.from_iterable(passes)
    for _ in range(member.epochs):
        yield list(itertools.islice(stream, member.steps or -(-size // batch_size)))


def _network(member: StudentProtocol) -> Network:
    seed = seed_for("init", member.seed, member.role)
    return create_model(member.dataset, member.role, seed=seed, variant=member.variant)


def _layers(member: StudentProtocol) -> list[nn.Module]:
    model = _network(member)
    return [*model.features, model.classifier]


def distil_one(
    member: StudentProtocol,
    transfer: ImageSet,
    teacher: Tensor,
    validation: ImageSet,
    test: ImageSet,
    device: torch.device | str,
    on_epoch: Callable[[int], None] | None = None,
    train: bool = False,
) -> Student | Diverged:
    """One student in a plain loop: the obvious reading of the protocol, beside which the stacked fleet is tested.

    Parameters and errors are those of `distil`, for one member and its own teacher's logits (N, 10).
    """
    device = torch.device(device)
    chosen = transfer_indices(member, transfer.labels, teacher)
    everything = transfer.images
    if member.examples is not None:  # else all of them, which need no copy
        transfer, teacher = transfer.subset(chosen), teacher[chosen]
    layout = torch.channels_last  # on a CPU, half the time of contiguous: its max-pool is slow there
    model = _network(member).to(device).to(memory_format=layout)
    optimizer = make_optimizer(model, member.optimizer, member.learning_rate)
    images, labels, teacher = (transfer.images.to(device), transfer.labels.to(device), teacher.to(device))
    losses = losses_by_member([member.loss], device)
    options = {name: getattr(member, name) for name in LOSS_OPTIONS}
    curve, means = [], []
    for epoch, batches in enumerate(epochs_of_batches(member, len(transfer)), 1):
        model.train()
        torch.manual_seed(seed_for("dropout", member.seed, epoch))  # a student is a function of its protocol
        total, begun, count = torch.zeros((), device=device), torch.zeros((), device=device), 0
        for batch in batches:
            begun.add_(total.isfinite())  # counts up to the step after which the loss no longer is
            if member.missing_class is not None:
                batch = batch[transfer.labels[batch] != member.missing_class]
            if len(batch) == 0:
                continue
            batch = batch.to(device)
            with autocast(device, member.precision):
                logits = model(to_input(images[batch], device).contiguous(memory_format=layout))
            loss = losses(logits, teacher[batch], labels[batch], **options).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, count = total + loss.detach() * len(batch), count + len(batch)
        if not bool(total.isfinite()):
            return Diverged(f"loss is {float(total)}", epoch, int(begun))
        predicted = predict(model, validation.images.to(device), member.precision).cpu()
        curve.append((predicted.argmax(1) == validation.labels).float().mean())
        means.append(total.cpu() / count)
        if on_epoch:
            on_epoch(1)
    tested = predict(model, test.images.to(device), member.precision).cpu()
    trained = predict(model, everything.to(device), member.precision).cpu() if train else None
    return Student(predicted, tested, torch.stack(curve), torch.stack(means), train=trained)


def distil(
    members: Sequence[StudentProtocol],
    transfer: ImageSet,
    teachers: dict[tuple, Tensor],
    validation: ImageSet,
    test: ImageSet,
    device: torch.device | str,
    stacked: bool | None = None,
    on_epoch: Callable[[int], None] | None = None,
    train: bool = False,
) -> list[Student | Diverged]:
    """Distil every member at once.

    Parameters
    ----------
    members : sequence of StudentProtocol
        They agree in every field named in `SHARED`.
    transfer : ImageSet
        The N images that members learn from, or choose their examples from.
    teachers : dict
        Teacher logits float32 (N, 10) on `transfer`, by `StudentProtocol.source`.
    validation, test : ImageSet
        Where each student is measured: after each epoch, and at the end.
    device : torch.device or str
        Where to train.
    stacked : bool, optional
        Whether members are stacked or trained by `distil_one`; by default `back_end` decides.
    on_epoch : callable, optional
        Called after each epoch with the number of members that it was one of.
    train : bool
        Whether to measure each student on `transfer` too, so that it may be a teacher in turn.

    Returns
    -------
    list of Student or Diverged
        In the members' order; in place of one whose loss is no longer finite, where that happened. The others go on:
        no operation mixes members.

    Raises
    ------
    UserError
        If there are no members or no images, members differ in a shared field, or in their number of examples without
        `steps`, or a teacher's logits are absent, not finite, or do not fit the transfer set.

    Notes
    -----
    A member is the same student in a fleet of any size and order, up to rounding. Over 100 steps and more its logits are
    those of `distil_one` to within `TOLERANCE`: 1e-06 where all is computed in float64, whatever the network and back end;
    on a CPU in float32 0.001 for the digits' students and 0.01 for MNIST's, or 0.02 where only the fleet learned from
    responses stored in half precision. For other networks in float32 and for a GPU's float32 and bfloat16 no
    number is promised: rounding decides on more activations there.

    Examples
    --------
    Ten students of your own teacher's logits on the digits, each without one class; the teacher's name is yours to choose.
    `logits` are its own, float32 (N, 10), for the N images of `sets["train"]`:

    >>> from kdutils.data import SPLITS, data_hash, load_dataset
    >>> from kdutils.protocols import StudentProtocol
    >>> sets = {split: load_dataset("digits", split) for split in SPLITS}
    >>> usual = {"dataset": "digits", "data": data_hash("digits"), "train_size": None, "seed": 0, "batch_size": 64}
    >>> usual |= {"epochs": 60, "teacher": "mine", "teacher_epoch": 0, "temperature": 9.0}
    >>> members = [StudentProtocol(missing_class=c, **usual) for c in range(10)]
    >>> students = distil(members, sets["train"], {("mine", 0): logits}, sets["validation"], sets["test"], "cpu")
    >>> [float((s.test.argmax(1) == sets["test"].labels).float().mean()) for s in students]
    """
    device = torch.device(device)
    if not members or not len(transfer):
        raise UserError("a fleet needs a member and an image to learn from, at least")
    first = members[0]
    channels, size = INPUT_SHAPES[first.dataset]
    for images in (transfer.images, validation.images, test.images):
        if tuple(images.shape[1:]) != (channels, size, size):  # compiled steps would read past the end
            got = f"{first.dataset}'s students take images {(channels, size, size)}; got {tuple(images.shape[1:])}"
            raise UserError(f"{got} (for networks of your own see kdutils.custom)")
    for field in SHARED:
        if len({getattr(m, field) for m in members}) > 1:
            raise UserError(f"members of one fleet must share {field!r}")
    absent = [m.teacher for m in members if m.source not in teachers]
    if absent:
        raise UserError(f"no logits are given of teacher {absent[0]}")
    for source, logits in teachers.items():
        check_logits(logits)
        if tuple(logits.shape) != (len(transfer), NUM_CLASSES):
            got = f"{tuple(logits.shape)} logits for {len(transfer)} images of {NUM_CLASSES} classes"
            raise UserError(f"teacher {source[0]} has {got}")
        if not bool(logits.isfinite().all()):
            raise UserError(f"teacher {source[0]} has logits that are not finite")
    kind = back_end(first, device) if stacked is None else _Stacked if stacked else None
    if kind is None:
        rest = (validation, test, device, on_epoch, train)
        return [distil_one(m, transfer, teachers[m.source], *rest) for m in members]
    column = lambda values: torch.tensor(list(values), device=device)[:, None]
    which = column([*teachers].index(m.source) for m in members)
    logits = torch.stack([of.to(device) for of in teachers.values()])
    missing = column(-1 if m.missing_class is None else m.missing_class for m in members)
    options = {name: column(getattr(m, name) for m in members) for name in LOSS_OPTIONS}
    each_loss = losses_by_member([m.loss for m in members], device)
    # Which examples each member learns from: one row for all where they agree.
    chosen = [transfer_indices(m, transfer.labels, teachers[m.source]) for m in members]
    chosen = chosen[:1] if all(torch.equal(c, chosen[0]) for c in chosen) else chosen
    streams = {len(c): epochs_of_batches(first, len(c)) for c in chosen}
    if len(streams) > 1 and first.steps is None:
        raise UserError("members with different numbers of examples share a fleet only where `steps` is given")
    images, labels = (transfer.images.to(device), transfer.labels.to(device))
    network = kind(first, len(members), device)
    optimizer = _each_optimizer if kind is _Compiled else _optimizer
    optimize = optimizer(first.optimizer, network.weights, column(m.learning_rate for m in members))
    total, count, begun = (torch.zeros(len(members), device=device) for _ in range(3))

    def step(batch: Tensor, alone: bool = False) -> None:
        """One optimiser step of every member on its examples (1 or E, B), -1 where there is none.

        `alone` says that some member's may all be of one class.
        """
        begun.add_(total.isfinite())
        y = labels[batch]
        kept = ((y != missing) & (batch >= 0)).float()  # (E, B)
        predicted = network(to_input(images[batch.flatten()], device).unflatten(0, batch.shape), kept)
        each = each_loss(predicted, logits[which, batch], y.expand(len(members), -1), **options)
        summed = (each * kept).sum(1)
        # A sum over members: each member's gradient is then its own.
        gradients = network.gradients((summed / kept.sum(1).clamp(min=1)).sum(), predicted)
        # A batch of one class alone, as tiny ones may be, leaves the members that lack it nothing to learn.
        optimize(gradients, kept.any(1, keepdim=True) if alone else None)
        total.add_(summed.detach())
        count.add_(kept.sum(1))

    replay = graphed(step) if device.type == "cuda" else step
    curves, losses = [], []
    diverged: dict[int, Diverged] = {}
    for epoch in range(1, first.epochs + 1):
        for counter in (total, count, begun):
            counter.zero_()
        # Shorter batches are filled up, so that all have one shape.
        orders = {size: pad_sequence(next(s), batch_first=True, padding_value=-1) for size, s in streams.items()}
        width = max(order.shape[1] for order in orders.values())
        orders = {size: F.pad(order, (0, width - order.shape[1]), value=-1) for size, order in orders.items()}
        each = [torch.where(orders[len(c)] < 0, -1, c[orders[len(c)]]) for c in chosen]
        picked = torch.stack(each, 1).to(device)  # (steps, 1 or E, B)
        y = labels[picked]
        lowest, highest = (y.masked_fill(picked < 0, 10).amin(2), y.masked_fill(picked < 0, -1).amax(2))
        for batch, alone in zip(picked, (lowest == highest).any(1).tolist(), strict=True):
            if alone:
                step(batch, alone)
            else:
                replay(batch)
        for n in (~total.isfinite()).nonzero().flatten().tolist():
            diverged.setdefault(n, Diverged(f"loss is {float(total[n])}", epoch, int(begun[n])))
        losses.append((total / count).cpu())
        predicted = network.predict(validation.images, device)
        curves.append((predicted.argmax(2) == validation.labels).float().mean(1))
        if on_epoch:
            on_epoch(len(members))
    tested = network.predict(test.images, device)
    trained = network.predict(transfer.images, device) if train else [None] * len(members)
    columns = zip(predicted, tested, torch.stack(curves, 1), torch.stack(losses, 1), trained, strict=True)
    students = [Student(*values[:4], train=values[4]) for values in columns]
    return [diverged.get(n, student) for n, student in enumerate(students)]


def _each_optimizer(name: str, weights: Tensor, learning_rate: Tensor) -> Callable[..., None]:
    """As `_optimizer`, by PyTorch's own: some calls a member, but large weights pass through memory once."""
    rows = [nn.ParameterList([row]) for row in weights]
    optimizers = [make_optimizer(row, name, float(rate)) for row, rate in zip(rows, learning_rate, strict=True)]

    def step(gradients: Tensor, learning: Tensor | None = None) -> None:
        for e, (row, optimizer) in enumerate(zip(rows, optimizers, strict=True)):
            row[0].grad = gradients[e] if learning is None or learning[e] else None
            optimizer.step()

    return step


def _optimizer(name: str, weights: Tensor, learning_rate: Tensor) -> Callable[..., None]:
    """As `training.make_optimizer`, elementwise on all members' weights (E, P) with one learning rate (E, 1) a member.

    The step takes the gradients and, where not all members learn from the batch, which do: bool (E, 1).
    """
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    steps = torch.zeros_like(learning_rate, dtype=torch.float64)

    def adam(g: Tensor, w: Tensor, m: Tensor, v: Tensor, n: Tensor) -> None:
        n += 1
        m.lerp_(g, 1 - 0.9)
        v.mul_(0.999).addcmul_(g, g, value=1 - 0.999)
        scale = (v / (1 - 0.999**n).to(v)).sqrt_().add_(1e-7)
        w.sub_((m / (1 - 0.9**n).to(m)).div_(scale).mul_(learning_rate))

    def sgd(g: Tensor, w: Tensor, m: Tensor, v: Tensor, n: Tensor) -> None:
        w.sub_(m.mul_(0.9).add_(g).mul(learning_rate))

    update = {"adam": adam, "sgd": sgd}[name]

    @torch.no_grad()
    def step(gradients: Tensor, learning: Tensor | None = None) -> None:
        state = (weights, first, second, steps)
        before = None if learning is None else [t.clone() for t in state]
        update(gradients, *state)
        if before and learning is not None:
            for t, old in zip(state, before, strict=True):
                t.copy_(torch.where(learning, t, old))

    return step


_STACKED = (SameConv2d, SameMaxPool2d, nn.Linear, nn.LeakyReLU, nn.ReLU, nn.Flatten)  # layers that it can hold


class _Stacked:
    """E copies of one network with their own weights, as matrices: (E, 9·C_in, C_out) or (E, width_in, width_out).

    All of them lie in one tensor `weights` (E, P), of which `parameters` are views: an optimiser step is then a handful
    of operations, however many layers there are.
    """

    columns = 1  # the last layer's are filled up with zeros to a multiple of this

    def __init__(self, member: StudentProtocol, size: int, device: torch.device):
        self.dtype = torch.bfloat16 if member.precision == "bfloat16" else None  # of all layers but the last
        self.layers = _layers(member)
        tensors: list[Tensor] = []
        channels: int | None = INPUT_SHAPES[member.dataset][0]  # of the activations that the next dense layer flattens
        for layer in self.layers:
            if isinstance(layer, SameConv2d):
                weight, channels = (layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.out_channels)
            elif isinstance(layer, nn.Linear):
                weight = layer.weight
                if channels is not None:  # Flatten saw (C, H, W); here activations are (H, W, C)
                    weight = weight.unflatten(1, (channels, -1)).transpose(1, 2).flatten(1)
                    channels = None
                weight = weight.T
            elif isinstance(layer, _STACKED):
                continue
            else:
                raise UserError(f"a fleet cannot hold a {type(layer).__name__} layer")
            tensors += [weight.detach(), layer.bias.detach()[None]]
        tensors[-2:] = [F.pad(t, (0, -t.shape[1] % self.columns)) for t in tensors[-2:]]
        flat = torch.cat([t.flatten() for t in tensors]).to(device)
        self.weights = flat.expand(size, -1).clone()
        views = self.weights.split([t.numel() for t in tensors], 1)
        self.parameters = [
            v.unflatten(1, t.shape).detach().requires_grad_() for v, t in zip(views, tensors, strict=True)
        ]

    def __call__(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Logits (E, B, 10) of images (E, B, C, H, W) in [0, 1], or (1, B, C, H, W), the same for all members.

        Those of examples that are not `kept` (E, B) will have no influence.
        """
        x = images.permute(0, 1, 3, 4, 2)  # (1, B, H, W, C) may last until the first layer with weights
        x = x.to(self.dtype or x.dtype)
        # Copies: matrix products are slower on views whose members lie at odd distances.
        inner = (p.to(self.dtype) if self.dtype else p.contiguous() for p in self.parameters[:-2])
        parameters = itertools.chain(inner, (p.contiguous() for p in self.parameters[-2:]))
        for layer in self.layers:
            if isinstance(layer, SameConv2d):
                weight, bias = next(parameters), next(parameters)
                size = tuple(-(-n // layer.stride[0]) for n in x.shape[2:4])
                patches = _Patches.apply(x, layer.stride[0])
                x = torch.baddbmm(bias, patches.expand(len(weight), -1, -1), weight)
                x = x.view(len(weight), -1, *size, layer.out_channels)
            elif isinstance(layer, SameMaxPool2d):
                x = _Pool.apply(x)
            elif isinstance(layer, nn.Flatten):
                x = x.flatten(2)
            elif isinstance(layer, nn.Linear):
                weight, bias = next(parameters), next(parameters)
                x = torch.baddbmm(bias, x.to(weight.dtype).expand(len(weight), -1, -1), weight)
            else:
                x = layer(x)
        return x

    def gradients(self, loss: Tensor, logits: Tensor) -> Tensor:
        """The gradient (E, P) of a loss that was computed from these logits, the last ones."""
        return torch.cat([g.flatten(1) for g in torch.autograd.grad(loss, self.parameters)], 1)

    @torch.inference_mode()
    def predict(self, images: Tensor, device: torch.device) -> Tensor:
        """Logits float32 (E, N, 10) of images uint8, on the CPU."""
        chunks = [self(to_input(chunk, device)[None]) for chunk in images.to(device).split(250)]
        return torch.cat(chunks, 1).cpu()


class _Compiled(_Stacked):
    """The same on a CPU, member after member through `step.cpp`, without the examples that a member does not learn from."""

    columns = compiled.Network.columns

    def __init__(self, member: StudentProtocol, size: int, device: torch.device):
        super().__init__(member, size, device)
        self.network = compiled.Network(self.layers, INPUT_SHAPES[member.dataset], self.weights.dtype)
        self.room, self.gradient = (self.weights.new_empty(0), torch.zeros_like(self.weights))
        self.tape = self.features = self.room

    @torch.no_grad()
    def __call__(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        (members, size), net = (len(self.weights), images.shape[1]), self.network
        if self.tape.shape[1:2] < (size,):
            self.tape = self.weights.new_zeros(members, size, net.taped)  # the zeros of paddings stay
            self.features = self.weights.new_empty(members, size, net.features)
            self.room = self.weights.new_empty(net.room + size * net.features)
        self.patches = net.patches(images)
        kept = torch.ones(members, size) if kept is None else kept
        self.order = kept.argsort(dim=1, descending=True, stable=True)  # first those that are kept
        self.count = kept.sum(1).long()
        out = self.weights.new_zeros(members, size, self.columns)
        for given, row in zip(self._each(), out, strict=True):
            net("forward", *given, row)
        at = self.order[..., None].expand_as(out)
        return torch.zeros_like(out).scatter_(1, at, out)[..., :NUM_CLASSES].requires_grad_()

    def _each(self) -> Iterator[tuple]:
        """What both passes of each member take."""
        for e, count in enumerate(self.count.tolist()):
            patches = self.patches[e if len(self.patches) > 1 else 0]
            weights, order, tape, features = (t[e] for t in (self.weights, self.order, self.tape, self.features))
            yield weights, patches, patches.shape[1], order, count, tape, self.network.taped, features, self.room

    def gradients(self, loss: Tensor, logits: Tensor) -> Tensor:
        (slopes,) = torch.autograd.grad(loss, logits)
        slopes = F.pad(slopes.gather(1, self.order[..., None].expand_as(slopes)), (0, self.columns - NUM_CLASSES))
        self.gradient.zero_()
        for given, row, into in zip(self._each(), slopes, self.gradient, strict=True):
            self.network("backward", *given, row, into)
        return self.gradient

    def predict(self, images: Tensor, device: torch.device) -> Tensor:
        chunks = [self(to_input(chunk, device)[None]).detach() for chunk in images.split(64)]
        return torch.cat(chunks, 1).float()


def _kernels(x: Tensor) -> ModuleType | None:
    """The module of hand-written kernels where they can take these activations."""
    if not x.is_cuda:
        return None
    from kdutils import kernels  # Triton comes with PyTorch where there are GPUs, and nowhere else

    return kernels if kernels.fits(x) else None


class _Patches(torch.autograd.Function):
    """(E, B, H, W, C) → (E, B·Ho·Wo, 9·C): the 3x3 neighbourhoods of a "same" convolution."""

    @staticmethod
    def forward(ctx, x: Tensor, stride: int) -> Tensor:
        members, batch, height, width, channels = ctx.shape = x.shape
        ctx.kernels = _kernels(x)
        if ctx.kernels:
            ctx.stride = stride
            return ctx.kernels.gather_patches(x.flatten(0, 1), stride).unflatten(0, (members, -1))
        ctx.stride, ctx.padding = (stride, (same_padding(height, 3, stride), same_padding(width, 3, stride)))
        (top, bottom), (left, right) = ctx.padding
        padded = F.pad(x, (0, 0, left, right, top, bottom))
        ctx.out = rows, columns = -(-height // stride), -(-width // stride)
        e, b, h, w, c = padded.stride()
        # One strided copy gathers all nine neighbours.
        windows = padded.as_strided(
            (members, batch, rows, columns, 3, 3, channels), (e, b, h * stride, w * stride, h, w, c)
        )
        return windows.reshape(members, batch * rows * columns, 9 * channels)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None
        members, batch, height, width, channels = ctx.shape
        if ctx.kernels:
            shape: tuple[int, ...] = (members * batch, height, width, channels)
            return ctx.kernels.add_patches(gradient.flatten(0, 1), shape, ctx.stride).view(ctx.shape), None
        (top, bottom), (left, right) = ctx.padding
        rows, columns = ctx.out
        gradient = gradient.view(members, batch, rows, columns, 3, 3, channels)
        shape = (members, batch, height + top + bottom, width + left + right, channels)
        padded = gradient.new_zeros(shape, dtype=torch.promote_types(gradient.dtype, torch.float32))
        for i in range(3):
            for j in range(3):
                target = padded[:, :, i : i + rows * ctx.stride : ctx.stride, j : j + columns * ctx.stride : ctx.stride]
                target += gradient[..., i, j, :]
        return padded[:, :, top : top + height, left : left + width].to(gradient.dtype), None


class _Pool(torch.autograd.Function):
    """`SameMaxPool2d` on (E, B, H, W, C), as a maximum over rows and then one over columns.

    PyTorch's own kernel took half of a student's time. Where neighbours tie, the gradient goes to the first; ties
    are patches of equal background, for which the choice does not change the weights' gradient.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        down = x[:, :, 1:] > x[:, :, :-1]
        tall = x.clone()
        torch.maximum(x[:, :, 1:], x[:, :, :-1], out=tall[:, :, :-1])
        right = tall[:, :, :, 1:] > tall[:, :, :, :-1]
        wide = tall.clone()
        torch.maximum(tall[:, :, :, 1:], tall[:, :, :, :-1], out=wide[:, :, :, :-1])
        ctx.save_for_backward(down, right)
        return wide

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        down, right = ctx.saved_tensors
        moved = gradient[:, :, :, :-1] * right
        tall = gradient.clone()
        tall[:, :, :, :-1] -= moved
        tall[:, :, :, 1:] += moved
        moved = tall[:, :, :-1] * down
        tall[:, :, :-1] -= moved
        tall[:, :, 1:] += moved
        return tall
