"""A known reference: PyTorch's own tutorial on knowledge distillation, with its recipe, on several seeds.

https://pytorch.org/tutorials/beginner/knowledge_distillation_tutorial.html, the part on soft targets. Networks, data
and optimiser are the tutorial's; loss, batches and seeds are those of every other run here. The tutorial shows one
seed.
"""

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdutils import published, records
from kdutils.claims import interval
from kdutils.data import data_hash, load_dataset
from kdutils.errors import Diverged
from kdutils.losses import distillation_loss
from kdutils.models import INPUT_SHAPES, NUM_CLASSES, count_multiply_adds, count_parameters
from kdutils.protocols import FULL_SIZE, VALIDATION_SIZE, Profile, TutorialProtocol, key, seed_for
from kdutils.running import progress, workers
from kdutils.training import epoch_order, graphed, predict, stratified

if TYPE_CHECKING:  # which imports this module
    from kdutils.experiments import Study, TeacherRun

NETWORKS = ("teacher", "student", "distilled")
# Means and standard deviations of ImageNet's channels, with which the tutorial normalises CIFAR-10.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Convolutions by their channels, "pool" for a max-pool; then the hidden dense layer. "distilled" is another student.
_LAYERS: dict[str, tuple[tuple, int]] = {
    "teacher": ((128, 64, "pool", 64, 32, "pool"), 512),
    "student": ((16, "pool", 16, "pool"), 256),
}
DROPOUT = 0.1


def create_network(dataset: str, network: str, seed: int) -> nn.Sequential:
    """The tutorial's "teacher" (1,186,986 parameters on CIFAR-10) or "student" (267,738), initialised as PyTorch does."""
    torch.manual_seed(seed)
    convolutions, hidden = _LAYERS[network]
    channels, size = INPUT_SHAPES[dataset]
    layers: list[nn.Module] = []
    for width in convolutions:
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
            size //= 2
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    dense = [nn.Linear(channels * size * size, hidden), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(hidden, NUM_CLASSES)]
    return nn.Sequential(*layers, nn.Flatten(), *dense)


def protocols(profile: Profile, dataset: str, seed: int) -> dict[str, TutorialProtocol]:
    """The three trainings of a seed, by name."""
    shared: dict[str, Any] = {"dataset": dataset, "data": data_hash(dataset), "seed": seed}
    shared |= {"train_size": profile.train_size[dataset], "eval_size": profile.eval_size[dataset]}
    found = {name: TutorialProtocol(network=name, **shared) for name in ("teacher", "student")}
    return found | {"distilled": TutorialProtocol(network="student", teacher=key(found["teacher"]), **shared)}


def train(
    protocol: TutorialProtocol, images: Tensor, labels: Tensor, teacher: Tensor | None, device: torch.device
) -> nn.Module:
    """A network, trained on normalised images float32 (N, C, H, W) with labels (N,), both on the device.

    `teacher` are its teacher's logits (N, 10) on these images, for which no image ever changes: there is no
    augmentation.
    """
    model = create_network(protocol.dataset, protocol.network, seed_for("tutorial", protocol.seed, protocol.network))
    model = model.to(device).to(memory_format=torch.channels_last)
    cuda = device.type == "cuda"
    optimizer = torch.optim.Adam(model.parameters(), lr=protocol.learning_rate, fused=True, capturable=cuda)
    total, begun = (torch.zeros((), device=device) for _ in range(2))

    def step(batch: Tensor) -> None:
        begun.add_(total.isfinite())  # counts up to the step after which the loss no longer is
        logits = model(images[batch].contiguous(memory_format=torch.channels_last))
        if teacher is None:
            loss = F.cross_entropy(logits, labels[batch])
        else:
            loss = distillation_loss(
                *(logits, teacher[batch], labels[batch]),
                temperature=protocol.temperature,
                alpha=protocol.alpha,
                scale_by_t2=True,
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    replay = graphed(step) if cuda else step
    model.train()
    for epoch in range(1, protocol.epochs + 1):
        begun.zero_()
        order = epoch_order(len(labels), protocol.seed, epoch).to(device)
        for batch in order.split(protocol.batch_size):
            (replay if len(batch) == protocol.batch_size else step)(batch)
        if not bool(total.isfinite()):
            raise Diverged(f"loss is {float(total)}", epoch, int(begun))
    return model.eval()


def load(protocol: TutorialProtocol, device: torch.device) -> dict[str, tuple[Tensor, Tensor]]:
    """Normalised images and labels of "train" (all official training images, validation included) and "test"."""
    parts = {split: load_dataset(protocol.dataset, split) for split in ("train", "validation", "test")}
    channels = parts["test"].images.shape[1]
    mean, deviation = (torch.tensor(v[:channels], device=device).view(-1, 1, 1) for v in (MEAN, DEVIATION))
    found = {}
    for name, of, size in (
        ("train", ("train", "validation"), protocol.train_size),
        ("test", ("test",), protocol.eval_size),
    ):
        images, labels = (torch.cat([getattr(parts[s], field) for s in of]) for field in ("images", "labels"))
        chosen = stratified(labels, size)
        images = images[chosen].to(device).float().div_(255).sub_(mean).div_(deviation)
        found[name] = (images, labels[chosen].to(device))
    return found


def multiply_adds(protocol: TutorialProtocol) -> float:
    """Multiply-adds of a network's training, a backward pass counted as two forward ones."""
    model = create_network(protocol.dataset, protocol.network, seed=0)
    size = protocol.train_size or FULL_SIZE[protocol.dataset] + VALIDATION_SIZE[protocol.dataset]
    return 3.0 * count_multiply_adds(model, protocol.dataset) * size * protocol.epochs


def ensure(study: "Study", runs: list["TeacherRun"]) -> None:
    """Train what `runs` name, all three networks of a seed together, and record each seed as it ends."""
    jobs = [
        (protocols(study.full, dataset, seed), str(study._device))
        for dataset, seed in dict.fromkeys((run.dataset, run.seed) for run in runs)
    ]
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress(total=len(jobs), desc="tutorial", unit="seed"))
        # Seeds side by side, one thread each, take less than one after the other; the digits' take no time at all.
        tasks = sum(wanted["teacher"].dataset != "digits" for wanted, *_ in jobs)
        pool = study.executor or stack.enter_context(workers(tasks, study._device))
        for (wanted, *_), found, hardware in study.made(pool, run_seed, jobs):
            rows, made = [], []
            for name, result in found.items():
                p = wanted[name]
                if isinstance(result, Diverged):
                    records.add_failures([(p, result)], hardware, study.results)
                    continue
                accuracy, seconds = result
                identity = {"profile": study.profile, "dataset": p.dataset, "training": "tutorial", "teacher": name}
                rows.append({**identity, "seed": p.seed, "run": key(p), "epochs": p.epochs, "accuracy": accuracy})
                made.append((p, p.epochs, seconds))
            records.add_runs(made, hardware, study.results)
            records.add("tutorial", rows, study.results)
            bar.update()


def run_seed(wanted: dict[str, TutorialProtocol], device: str) -> dict[str, tuple[float, float] | Diverged]:
    """Train the three networks of a seed, by name; test accuracy and seconds of each, or how it diverged."""
    where = torch.device(device)
    data = load(wanted["teacher"], where)
    images, labels = data["train"]
    found: dict[str, tuple[float, float] | Diverged] = {}
    response = None
    for name in NETWORKS:
        start = time.perf_counter()
        protocol = wanted[name]
        if protocol.teacher and response is None:  # its teacher diverged
            continue
        try:
            model = train(protocol, images, labels, response if protocol.teacher else None, where)
        except Diverged as diverged:
            found[name] = diverged
            continue
        if name == "teacher":
            response = predict(model, images).clone()  # out of inference mode
        accuracy = float((predict(model, data["test"][0]).argmax(1) == data["test"][1]).double().mean())
        found[name] = accuracy, time.perf_counter() - start
    return found


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The tutorial's printed accuracies beside ours, and its gain from distilling beside ours, in percent and points.

    `table` is `Study.tutorial()` of one data set; the tutorial's is CIFAR-10. `estimate` is the mean over seeds, `low`
    and `high` its 95 % t interval (NaN below three seeds; of the gain, of the paired difference), `lowest` and
    `highest` those of single seeds.
    """
    theirs = published.load("tutorial").set_index("network")
    dataset, nan = table["dataset"].iloc[0], float("nan")
    ours = 100 * table.pivot_table(index="seed", columns="teacher", values="accuracy")
    ours["gain"] = ours["distilled"] - ours["student"]
    printed = theirs["accuracy"].to_dict() if dataset == "cifar10" else dict.fromkeys(NETWORKS, nan)
    printed["gain"] = printed["distilled"] - printed["student"]
    sizes = {n: count_parameters(create_network(dataset, n, seed=0)) for n in _LAYERS}
    sizes |= {"distilled": sizes["student"], "gain": 0}
    rows = []
    for network, accuracy in printed.items():
        values = ours[network].dropna()
        row = {"network": network, "parameters": sizes[network], "published": accuracy, **vars(interval(values))}
        rows.append(row | {"lowest": values.min(), "highest": values.max()})
    return pd.DataFrame(rows)
