"""What the fleet is compared with: a careful sequential loop, and a library's loop."""

import itertools
import time
from collections.abc import Callable, Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from kdutils.data import ImageSet
from kdutils.fleet import epochs_of_batches
from kdutils.losses import distillation_loss, distillation_losses
from kdutils.models import create_model
from kdutils.protocols import StudentProtocol, seed_for
from kdutils.training import autocast, make_optimizer
from tests.benchmarks.measure import synchronize


def careful_loop(
    member: StudentProtocol,
    transfer: ImageSet,
    teacher: Tensor,
    device: torch.device,
    layout: torch.memory_format,
    graph: bool = False,
) -> Callable[[int], float]:
    """One student as carefully as one student can be trained: nothing but its own steps is left in the loop.

    What is returned makes so many more steps and says how many seconds each took.

    Images lie on the device as floats in the network's memory format, the teacher's logits and the epoch's order lie
    beside them, Adam is fused, and nothing is read back. With `graph`, one step is captured as a CUDA graph and
    replayed; its batches keep their size, so the missing class is weighted by zero there instead of left out.
    """
    model = create_model(member.dataset, member.role, seed=seed_for("init", member.seed, member.role))
    model = model.to(device, memory_format=layout).train()
    optimizer = make_optimizer(model, member.optimizer, member.learning_rate)
    last = layout == torch.channels_last
    images = transfer.images.to(device).float().div_(255)
    images = images.permute(0, 2, 3, 1).contiguous() if last else images
    labels, teacher = transfer.labels.to(device), teacher.to(device)
    batches = next(epochs_of_batches(member, len(transfer)))
    if graph:
        batches = [b for b in batches if len(b) == len(batches[0])]
    elif member.missing_class is not None:
        batches = [b[transfer.labels[b] != member.missing_class] for b in batches]
    batches = itertools.cycle([b.to(device) for b in batches if len(b)])

    def loss_of(batch: Tensor) -> Tensor:
        x = images.index_select(0, batch)
        with autocast(device, member.precision):
            logits = model(x.permute(0, 3, 1, 2) if last else x)
        y, t = labels.index_select(0, batch), teacher.index_select(0, batch)
        options = {"temperature": member.temperature, "alpha": member.alpha, "scale_by_t2": member.scale_by_t2}
        if not graph:
            return distillation_loss(logits, t, y, **options)
        kept = (y != (-1 if member.missing_class is None else member.missing_class)).float()
        return (distillation_losses(logits, t, y, **options) * kept).sum() / kept.sum()

    def step(batch: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of(batch).backward()
        optimizer.step()

    advance = _captured(step, optimizer, next(batches)) if graph else step

    def run(steps: int) -> float:
        for batch in itertools.islice(batches, 5):  # warm again, after the other way's turn
            advance(batch)
        synchronize(device)
        start = time.perf_counter()
        for batch in itertools.islice(batches, steps):
            advance(batch)
        synchronize(device)
        return (time.perf_counter() - start) / steps

    return run


def _captured(step, optimizer: torch.optim.Optimizer, example: Tensor):
    """`step` as a CUDA graph that reads its batch from one place; what precedes the capture is PyTorch's recipe."""
    for group in optimizer.param_groups:
        group["capturable"] = True
    batch = example.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step(batch)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(batch)

    def replay(new: Tensor) -> None:
        batch.copy_(new)
        graph.replay()

    return replay


class Pictures(Dataset):
    """Images as torchvision's MNIST and CIFAR10 give them: a PIL image through a transform, one at a time."""

    def __init__(self, images: ImageSet):
        from torchvision import transforms

        self.pixels = images.images.permute(0, 2, 3, 1).squeeze(3).contiguous().numpy()
        self.labels = images.labels
        self.transform = transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def torchdistill_loop(
    member: StudentProtocol, transfer: ImageSet, teacher: nn.Module, device: torch.device, workers: int, steps: int
) -> float:
    """torchdistill's DistillationBox from a configuration like its samples, driven as its image_classification example.

    The teacher's forward pass runs at every step and a DataLoader turns PIL images into tensors, with `workers`
    processes; the class that the student lacks is left out of the data set. Seconds a step, of `steps` of them.
    """
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.misc.log import MetricLogger, SmoothedValue

    kept = torch.arange(len(transfer))[
        transfer.labels != (-1 if member.missing_class is None else member.missing_class)
    ]
    loss = {"temperature": member.temperature, "alpha": 1 - member.alpha, "reduction": "batchmean"}
    for who in ("student", "teacher"):
        loss |= {f"{who}_module_path": ".", f"{who}_module_io": "output"}
    configuration = {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": member.batch_size, "num_workers": workers},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "Adam", "kwargs": {"lr": member.learning_rate, "eps": 1e-7}},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": loss}, "weight": 1.0}}},
        },
    }
    student = create_model(member.dataset, member.role, seed=seed_for("init", member.seed, member.role))
    data = {"train": Pictures(transfer.subset(kept))}
    box = get_distillation_box(teacher, student, data, configuration, device, None, False, 1)
    box.pre_epoch_process(epoch=0)
    log = MetricLogger(delimiter="  ")
    log.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    log.add_meter("img/s", SmoothedValue(window_size=10, fmt="{value}"))
    warm_up = 5
    batches: Iterator = itertools.islice(
        log.log_every(_endless(box.train_data_loader), 1000, "Epoch: [0]"), warm_up + steps
    )
    for number, (images, targets, extra) in enumerate(batches):
        if number == warm_up:
            synchronize(device)
            start = time.perf_counter()
        began = time.time()
        loss = box.forward_process(images.to(device), targets.to(device), extra)
        box.post_forward_process(loss=loss)
        log.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])
        log.meters["img/s"].update(len(images) / (time.time() - began))
    synchronize(device)
    return (time.perf_counter() - start) / steps


class _endless:
    """A loader that starts again at its end, and has its length: what torchdistill's logger asks for."""

    def __init__(self, loader: DataLoader):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator:
        while True:
            yield from self.loader
