"""One network, trained; a snapshot of its response after every epoch, and a resume from the last one.

The data set lies on the device as one tensor and a batch is an indexed read: no DataLoader. The learning rate is
constant, so the first n epochs of a long run are the run of n epochs, and one run answers every question about
training length.
"""

import functools
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdutils import records
from kdutils.data import SPLITS, ImageSet, load_dataset
from kdutils.errors import Diverged, UserError, check_name, check_whole
from kdutils.models import Network, create_model
from kdutils.protocols import SearchProtocol, StudentProtocol, TeacherProtocol, key, seed_for

# A large network's weights and moments take longer to write than a GPU takes for an epoch.
CHECKPOINT_SECONDS = 10


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name.

    Parameters
    ----------
    name : str
        "auto" (the GPU if there is one, else the CPU), "cpu", "cuda" or "cuda:0", ….

    Raises
    ------
    UserError
        If the name is unknown or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        check_name("device", name, ("auto", "cpu", "cuda", "cuda:0"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {name!r} is not there: {torch.cuda.device_count()} CUDA devices found; 'cpu' always is"
        )
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not supported; allowed: auto, cpu, cuda")
    return device


def to_input(images: Tensor, device: torch.device) -> Tensor:
    """Images as networks see them, on the device: uint8 as float32 in [0, 1], floats as float32, integers as they are."""
    if images.dtype == torch.uint8:
        return images.to(device).float().div_(255)
    return images.to(device).float() if images.is_floating_point() else images.to(device)


def epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch's examples, int64 (size,), by (seed, epoch) alone; minibatches are its consecutive pieces."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed_for("order", seed, epoch)))


def is_kept(epoch: int) -> bool:
    """Whether the response after this epoch is stored: each up to the tenth, then every fifth."""
    return epoch <= 10 or epoch % 5 == 0


def load_splits(protocol: TeacherProtocol | StudentProtocol | SearchProtocol) -> dict[str, ImageSet]:
    """Train, validation and test images as far as the protocol uses them; they are shared, hence not to be written to."""
    return _splits(protocol.dataset, protocol.train_size, protocol.eval_size, os.environ.get("KDUTILS_DATA", ""))


@functools.lru_cache(maxsize=2)
def _splits(dataset: str, train_size: int | None, eval_size: int | None, root: str) -> dict[str, ImageSet]:
    sets = {split: load_dataset(dataset, split, root) for split in SPLITS}
    sizes = {"train": train_size, "validation": eval_size, "test": eval_size}
    return {split: s.subset(stratified(s.labels, sizes[split])) for split, s in sets.items()}


def stratified(labels: Tensor, size: int | None) -> Tensor:
    """Indices of the first `size` examples that hold every class alike (within one), in file order; None: all."""
    if size is None or size >= len(labels):
        return torch.arange(len(labels))
    rank = F.one_hot(labels).cumsum(0).gather(1, labels[:, None]).squeeze(1)  # of each example within its class
    # Order by rank within class, then by place in the file: the first `size` of that order are balanced.
    return rank.argsort(stable=True)[:size].sort().values


@dataclass(frozen=True)
class Response:
    """A teacher's stored logits after one epoch: float32 (N, 10) for each split, and its templates' Gram matrix.

    The Gram matrix (10, 10) of the last layer's rows, each with its bias appended, is all that a penultimate-layer
    projection needs beside the logits (see `kdutils.projection`).
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    gram: Tensor
    loss: Tensor  # mean training loss of the epoch
    seconds: Tensor  # this epoch's wall-clock time, training and snapshot


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, precision: str = "float32") -> Tensor:
    """Logits float32 (N, C) of images (N, …) as of `to_input`, on the images' device; the model is left in eval mode."""
    model.eval()
    # A CPU gains nothing from larger batches, and each of its processes would keep their memory.
    chunks = images.split(2_000 if images.is_cuda else 250)
    with autocast(images.device, precision):
        return torch.cat([model(to_input(chunk, images.device)).float() for chunk in chunks])


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 autocast if `precision` asks for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def graphed(step: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """`step` as one CUDA graph, captured after three ordinary steps: launching its kernels one by one takes longer.

    Parameters
    ----------
    step : callable
        Takes one minibatch's indices, all of one shape; nothing in it may wait for the device.
    """
    seen, graph, static = 0, torch.cuda.CUDAGraph(), None

    def replay(batch: Tensor) -> None:
        nonlocal seen, static
        seen += 1
        if seen <= 3:
            # On a side stream, as capturing demands of what runs before it.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                step(batch)
            torch.cuda.current_stream().wait_stream(side)
            return
        if static is None:
            static = batch.clone()
            with torch.cuda.graph(graph):
                step(static)  # recorded, not run
        static.copy_(batch)
        graph.replay()

    return replay


def teacher_folder(protocol: TeacherProtocol) -> Path:
    """Where a teacher's checkpoint and responses are cached."""
    return records.cache_root() / "teachers" / key(protocol)


def snapshot_path(protocol: TeacherProtocol, epoch: int) -> Path:
    """Where a teacher's response after an epoch is cached."""
    return teacher_folder(protocol) / f"epoch-{epoch:03d}.safetensors"


def load_response(protocol: TeacherProtocol, epoch: int) -> Response | None:
    """The stored response after `epoch` epochs, or None if there is none."""
    tensors = records.load_tensors(snapshot_path(protocol, epoch))
    return None if tensors is None else Response(**{name: t.float() for name, t in tensors.items()})


def train_teacher(
    protocol: TeacherProtocol,
    epochs: int,
    *,
    device: torch.device | str,
    on_epoch: Callable[[int, float], None] | None = None,
) -> None:
    """Train for `epochs` epochs, going on from the last one whose weights are stored.

    The response after each epoch is written, atomically, where `is_kept` (`load_response`), and so is a checkpoint where
    the last one is more than `CHECKPOINT_SECONDS` old, and at the end: a kill loses those seconds and the epoch in flight.
    The same protocol gives the same numbers, killed or not, on the same kind of CPU with as many threads, and mostly so on
    one kind of GPU; elsewhere sums are rounded otherwise, which training magnifies.

    Parameters
    ----------
    protocol : TeacherProtocol
        What to train.
    epochs : int
        Epochs that must be done when this returns; the last one must be kept.
    device : torch.device or str
        Where to train; it is no part of the protocol.
    on_epoch : callable, optional
        Called with (epoch, mean training loss) after each epoch.

    Raises
    ------
    Diverged
        If the loss is no longer finite, or the logits are not once they are stored in half precision.
    UserError
        If the last epoch's response would not be kept.
    """
    check_whole("epochs", epochs, 1)
    device = torch.device(device)
    if not is_kept(epochs):
        raise UserError(f"the response after epoch {epochs} is not kept; the next one that is: {-(-epochs // 5) * 5}")
    sets = load_splits(protocol)
    images = {split: s.images.to(device) for split, s in sets.items()}
    labels = sets["train"].labels.to(device)

    seed = seed_for("init", protocol.seed, protocol.role)
    model = create_model(protocol.dataset, protocol.role, dropout=protocol.dropout, seed=seed, variant=protocol.variant)
    # Convolutions of many channels run faster with channels last (on a CPU twice for MNIST's small teacher, 1.1 to 1.4
    # times for its large one); the order of the additions is the only thing it changes.
    layout = torch.channels_last
    model = model.to(device).to(memory_format=layout)
    optimizer = make_optimizer(model, protocol.optimizer, protocol.learning_rate)
    checkpoint = teacher_folder(protocol) / "checkpoint.safetensors"
    done = load_state(records.load_tensors(checkpoint), model, optimizer)
    if any(load_response(protocol, epoch) is None for epoch in filter(is_kept, range(1, min(done, epochs) + 1))):
        # A snapshot was lost or damaged, and only the last epoch's weights are kept: start again from the beginning.
        checkpoint.unlink()
        return train_teacher(protocol, epochs, device=device, on_epoch=on_epoch)

    total, begun = (torch.zeros((), device=device) for _ in range(2))

    def step(batch: Tensor) -> None:
        begun.add_(total.isfinite())  # counts up to the step after which the loss no longer is
        x = to_input(images["train"][batch], device).contiguous(memory_format=layout)
        with autocast(device, protocol.precision):
            loss = F.cross_entropy(model(x), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach() * len(batch))

    replay = graphed(step) if device.type == "cuda" else step
    saved = time.perf_counter()
    for epoch in range(done + 1, epochs + 1):
        start = time.perf_counter()
        model.train()
        torch.manual_seed(seed_for("dropout", protocol.seed, epoch))
        total.zero_()
        begun.zero_()
        order = epoch_order(len(labels), protocol.seed, epoch).to(device)
        for batch in order.split(protocol.batch_size):
            (replay if len(batch) == protocol.batch_size else step)(batch)
        mean_loss = float(total) / len(labels)
        if not math.isfinite(mean_loss):
            raise Diverged(f"loss is {mean_loss}", epoch, int(begun))
        if is_kept(epoch) and not save_response(protocol, model, images, epoch, mean_loss, start):
            raise Diverged("logits are not finite", epoch, int(begun))  # the last step was one too many
        if epoch == epochs or time.perf_counter() - saved > CHECKPOINT_SECONDS:
            records.save_tensors(checkpoint, state_of(model, optimizer, epoch))
            saved = time.perf_counter()
        if on_epoch:
            on_epoch(epoch, mean_loss)


def save_response(
    protocol: TeacherProtocol, model: Network, images: dict[str, Tensor], epoch: int, loss: float, start: float
) -> bool:
    """Store the model's logits on each split's images, unless some are not finite; returns whether it did."""
    templates = torch.cat([model.classifier.weight, model.classifier.bias[:, None]], dim=1).detach().double()
    response = {split: predict(model, images[split], protocol.precision).half() for split in SPLITS}
    response |= {
        "gram": (templates @ templates.T).float(),
        "loss": torch.tensor(loss),
        "seconds": torch.tensor(time.perf_counter() - start),  # since the epoch began
    }
    if not all(bool(t.isfinite().all()) for t in response.values()):
        return False
    records.save_tensors(snapshot_path(protocol, epoch), response)
    return True


def make_optimizer(model: nn.Module, name: str, learning_rate: float) -> torch.optim.Optimizer:
    """Adam with Keras's epsilon ("adam"), or SGD with momentum 0.9 ("sgd")."""
    if name == "adam":
        on_gpu = next(model.parameters()).is_cuda  # where steps may be captured as a graph
        return torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7, fused=True, capturable=on_gpu)
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    raise UserError(f"unknown optimizer {name!r}; allowed: adam, sgd")


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> dict[str, Tensor]:
    """Weights and optimiser state as flat named tensors: safetensors holds nothing else, and needs no pickle."""
    state = {f"model.{name}": t for name, t in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in values.items() if v is not None}
    return state | {"epoch": torch.tensor(epoch)}


def load_state(state: dict[str, Tensor] | None, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bring model and optimiser to what `state_of` gave, and return the epoch; None: leave them, epoch 0."""
    if state is None:
        return 0
    model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.startswith("optimizer."):
            _, index, field = name.split(".")
            moments.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        for field, tensor in values.items():
            if tensor.shape == parameter.shape:  # fused Adam goes through memory: moments must lie as the weights do
                values[field] = torch.empty_like(parameter).copy_(tensor)
    return int(state["epoch"])
