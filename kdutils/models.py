"""The twelve networks of Table 7, and four small ones of the same build for scikit-learn's 8x8 digits.

The paper prints layer counts and parameter totals. The widths below meet every total exactly; they were found by
arithmetic, so they are *consistent with* the authors' networks, not known to be theirs. Where the paper is silent the
Keras documentation's distillation example is followed, because MNIST's small teacher and student are that example's
networks layer for layer: "same" padding, Glorot-uniform weights, zero biases.
"""

from bisect import bisect_left
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdutils.errors import UserError, check_name, check_number, check_whole

ROLES = ("teacher-large", "teacher-small", "student", "student-baseline")
#: Images a network takes: channels, height (= width).
INPUT_SHAPES = {"mnist": (1, 28), "fashion_mnist": (1, 28), "cifar10": (3, 32), "digits": (1, 8)}
NUM_CLASSES = 10


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis of `size` so that ceil(size / stride) outputs come out, the odd one at the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A 3x3 convolution with bias and Keras's "same" padding, which is asymmetric for stride 2 on an even size.

    Parameters
    ----------
    in_channels, out_channels, stride : int
        As of `Conv2d`.
    normalized : bool
        Whether batch normalisation follows. The bias then stays as it is, zero at first: the mean is taken away again,
        so its gradient is zero but for rounding, and computing it costs a GPU a twentieth of the step.
    """

    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, normalized: bool = False):
        super().__init__(in_channels, out_channels, kernel_size=3, stride=stride)
        self.normalized = normalized

    def forward(self, x: Tensor) -> Tensor:
        stride, bias = self.stride[0], self.bias.detach() if self.normalized else self.bias
        rows, columns = (same_padding(n, 3, stride) for n in x.shape[-2:])
        if rows == columns and rows[0] == rows[1]:  # symmetric: let the convolution pad, which saves a copy
            return F.conv2d(x, self.weight, bias, stride, rows[0])
        return F.conv2d(F.pad(x, (*columns, *rows)), self.weight, bias, stride)


class SameMaxPool2d(nn.Module):
    """Keras's MaxPooling2D((2, 2), strides=1, padding="same"): the size stays, the last row and column see less."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), kernel_size=2, stride=1)


class Network(nn.Module):
    """`features` up to the penultimate activations, then `classifier`, the last dense layer, which gives logits."""

    def __init__(self, features: nn.Sequential, width: int):
        super().__init__()
        self.features = features
        self.classifier = nn.Linear(width, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, C, H, W) in [0, 1]; the last layer runs in float32 whatever the autocast."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.classifier(features.float())


# Convolutions as (channels, stride, batch normalisation?), then the hidden dense layers.
_CONV: dict[tuple[str, str], list[tuple]] = {
    ("mnist", "teacher-large"): [(128, 2), (256, 2), (512, 2)],
    ("mnist", "teacher-small"): [(256, 2), (512, 2)],
    ("mnist", "student"): [(16, 2), (32, 2)],
    ("fashion_mnist", "teacher-large"): [(64, 2), (128, 2), (256, 2), (512, 2)],
    ("fashion_mnist", "teacher-small"): [(128, 2), (256, 2), (512, 2)],
    ("fashion_mnist", "student"): [(32, 2), (64, 2)],
    ("cifar10", "teacher-large"): [
        *((32, 1, True), (32, 1, True)),
        *((256, 2), (256, 1, True)),
        *((512, 2), (512, 1, True)),
        *((1024, 2), (1024, 1, True)),
    ],
    ("cifar10", "teacher-small"): [(128, 2), (256, 2), (512, 1)],
    ("cifar10", "student"): [(64, 2), (128, 2), (256, 1)],
    ("digits", "teacher-large"): [(64, 2), (128, 2), (256, 2)],
    ("digits", "teacher-small"): [(64, 2), (128, 2)],
    ("digits", "student"): [(8, 2), (16, 2)],
}
_HIDDEN: dict[tuple[str, str], list[int]] = {
    ("mnist", "teacher-large"): [128, 256],
    ("fashion_mnist", "teacher-large"): [256, 512, 256],
    ("cifar10", "teacher-large"): [512, 256],
    ("cifar10", "teacher-small"): [128],  # Table 7 says one dense layer; only two meet its total
    ("digits", "teacher-large"): [64, 128],
}
# The Keras pair: LeakyReLU(0.2) and a stride-1 max-pool after the first convolution, nothing after the last.
_KERAS = {(d, r) for d in ("mnist", "digits") for r in ("teacher-small", "student")}


DEPTHS = range(1, 6)
#: What `create_model` can change of a network of Table 7; several are joined with "+".
VARIANTS = {
    "table7": "as it is",
    "dense": "with the hidden dense layers and dropout of the data set's large teacher",
    "no-dense": "without hidden dense layers",
    "hidden-1": "only the first of its hidden dense layers",
    "linear-dense": "no ReLU after the hidden dense layers",
    "batchnorm": "batch normalisation after every convolution",
    "no-batchnorm": "no batch normalisation",
    "relu": "ReLU after every convolution and no max-pool, for the Keras pair",
    "maxpool": "the other reading of Table 7's totals: unpadded convolutions, max-pools after the first and third",
    "large-family": "the layers of the data set's large teacher, without dropout",
    **{f"width/{n}": f"every hidden width divided by {n}" for n in (2, 4, 8, 16)},
    **{f"width*{n}": f"every hidden width times {n}" for n in (2, 3, 4, 5)},
    "same-size": "convolutions as much wider or narrower as gives Table 7's number of parameters again",
    **{
        f"depth-{n}": f"{n} convolutions of stride 2, the last as wide as now, each before half of the next"
        for n in DEPTHS
    },
    **{f"plus-{n}": f"{n} more after the last convolution, as wide, of stride 1" for n in (1, 2)},
}


def create_model(
    dataset: str, role: str, *, dropout: float = 0.5, seed: int | None = None, variant: str = "table7"
) -> Network:
    """A freshly initialised network of Table 7 that maps images (N, C, H, W) in [0, 1] to logits (N, 10).

    Parameters
    ----------
    dataset : str
        "mnist", "fashion_mnist", "cifar10" or "digits".
    role : str
        "teacher-large", "teacher-small", "student" (Table 7's General) or "student-baseline".
    dropout : float
        Rate after each hidden dense layer of a large teacher; the paper gives none, 0.5 is our choice. Networks
        without dropout in Table 7 ignore it.
    seed : int, optional
        Fixes the initial weights, the same on every device. Without it the global generator is used.
    variant : str
        Names of `VARIANTS` joined with "+": the network with one thing changed, to see what decides a result.

    Raises
    ------
    UserError
        For an unknown data set, role or variant, changes that contradict each other, leave a layer without channels or
        would change more than they name, a dropout outside [0, 1), or a seed that is no whole number from 0 to 2**64 - 1.
    """
    check_name("dataset", dataset, INPUT_SHAPES)
    check_name("role", role, ROLES)
    key, large = (dataset, role), (dataset, "teacher-large")
    check_number("dropout", dropout, 0, 1, "[)")
    if seed is not None:
        check_whole("seed", seed, 0, 2**64 - 1)
    changes = variant.split("+") if isinstance(variant, str) else [variant]
    for change in changes:
        check_name("variant", change, VARIANTS)
    depth, plus = ([int(c.removeprefix(kind)) for c in changes if c.startswith(kind)] for kind in ("depth-", "plus-"))
    resized = [c for c in changes if c.startswith("width") or c == "same-size"]
    if len(resized) > 1 or len(depth) > 1 or len(plus) > 1 or any(f"no-{c}" in changes for c in changes):
        raise UserError(f"variant {variant!r} contradicts itself")
    layout = large if "large-family" in changes else key
    convolutions, hidden = _CONV.get(layout, []), _HIDDEN.get(layout, [])
    keras = key in _KERAS and not {"relu", "large-family"} & {*changes}  # whose last convolution has no activation
    deeper, unfit = depth or plus, dataset == "cifar10" or "maxpool" in changes or keras
    if (deeper and unfit) or (not convolutions and (deeper or "same-size" in changes)):
        raise UserError(f"variant {variant!r} has no meaning for {dataset}'s {role}")
    if depth:
        convolutions = [(convolutions[-1][0] >> before, 2) for before in reversed(range(depth[0]))]
    if plus:
        convolutions = [*convolutions, *[(convolutions[-1][0], 1)] * plus[0]]
    if "dense" in changes:
        hidden = _HIDDEN[large]
    if "no-dense" in changes:
        hidden = []
    if "hidden-1" in changes:
        if len(hidden) < 2:
            raise UserError(f"variant {variant!r} has no meaning for {dataset}'s {role}")
        hidden = hidden[:1]
    divisor = next((int(c.removeprefix("width/")) for c in changes if c.startswith("width/")), 1)
    factor = next((int(c.removeprefix("width*")) for c in changes if c.startswith("width*")), 1)
    convolutions = [(width * factor // divisor, *rest) for width, *rest in convolutions]
    hidden = [width * factor // divisor for width in hidden]
    if not all(width for width, *_ in convolutions):
        raise UserError(f"variant {variant!r} leaves a layer of {dataset}'s {role} without channels")
    build = lambda convolutions: _build(dataset, role, convolutions, hidden, dropout, keras, changes)
    if "same-size" in changes:
        wanted = count_parameters(create_model(dataset, role))
        convolutions = _of_size(wanted, convolutions, build)
        if abs(count_parameters(build(convolutions)) / wanted - 1) > 0.02:
            raise UserError(f"variant {variant!r} cannot have as many parameters as {dataset}'s {role}")
    network = build(convolutions)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every layer here has one
    return network


def _build(
    dataset: str,
    role: str,
    convolutions: list[tuple],
    hidden: list[int],
    dropout: float,
    keras: bool,
    changes: list[str],
) -> Network:
    """The network of these widths, its weights still PyTorch's own."""
    pooled, dropped = "maxpool" in changes, role == "teacher-large" or "dense" in changes
    channels, size = INPUT_SHAPES[dataset]
    layers: list[nn.Module] = []
    for index, (width, stride, *batch_norm) in enumerate(convolutions):
        normalized = bool(batch_norm or "batchnorm" in changes) and "no-batchnorm" not in changes
        layers.append(nn.Conv2d(channels, width, 3) if pooled else SameConv2d(channels, width, stride, normalized))
        if normalized:
            layers.append(nn.BatchNorm2d(width))
        if not keras:
            layers.append(nn.ReLU())
        elif index == 0:
            layers += [nn.LeakyReLU(0.2), SameMaxPool2d()]
        channels, size = width, size - 2 if pooled else -(-size // stride)
        if pooled and index in (0, 2):
            layers.append(nn.MaxPool2d(2))
            size //= 2
    layers.append(nn.Flatten())
    last = channels * size * size
    for width in hidden:
        layers.append(nn.Linear(last, width))
        if "linear-dense" not in changes:
            layers.append(nn.ReLU())
        if dropped:
            layers.append(nn.Dropout(dropout))
        last = width
    return Network(nn.Sequential(*layers), last)


def _of_size(parameters: int, convolutions: list[tuple], build: Callable[[list[tuple]], Network]) -> list[tuple]:
    """`convolutions` widened or narrowed alike, until the network that is built of them is nearest to so many parameters."""
    width = convolutions[-1][0]
    scaled = lambda last: [(max(1, round(w * last / width)), *rest) for w, *rest in convolutions]

    def size(last: int) -> int:
        with torch.device("meta"):
            return count_parameters(build(scaled(last)))

    above = bisect_left(range(8 * width), parameters, lo=2, key=size)
    return scaled(min(above - 1, above, key=lambda last: abs(size(last) - parameters)))


def count_parameters(model: nn.Module) -> int:
    """Parameters as Table 7 counts them: weights, biases and, for batch normalisation, gamma, beta, mean, variance."""
    buffers = sum(b.numel() for name, b in model.named_buffers() if not name.endswith("num_batches_tracked"))
    return sum(p.numel() for p in model.parameters()) + buffers


def count_multiply_adds(model: nn.Module, dataset: str) -> int:
    """Multiply-adds of one image's forward pass, in the convolutions and dense layers, padding included."""
    channels, size = INPUT_SHAPES[check_name("dataset", dataset, INPUT_SHAPES)]
    training, parameter = model.training, next(model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, channels, size, size, device=parameter.device, dtype=parameter.dtype))
    model.train(training)
    return counter.get_total_flops() // 2
