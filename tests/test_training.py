"""The teachers' loop: against a plain one, resumed, damaged, diverging; and what it stores."""

import dataclasses
import itertools
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdutils import records, training
from kdutils.data import data_hash, load_dataset
from kdutils.errors import Diverged
from kdutils.models import create_model
from kdutils.projection import penultimate_projection, projection_from_logits
from kdutils.protocols import TeacherProtocol, seed_for
from kdutils.training import (
    epoch_order,
    load_response,
    make_optimizer,
    resolve_device,
    snapshot_path,
    stratified,
    teacher_folder,
    to_input,
    train_teacher,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path))
    return tmp_path


def protocol(**changes) -> TeacherProtocol:
    """A teacher of 200 digits in seven batches, the last of them smaller."""
    usual = {"dataset": "digits", "data": data_hash("digits"), "role": "teacher-small", "seed": 0}
    return TeacherProtocol(**usual | {"train_size": 200, "batch_size": 32} | changes)


def stored(teacher: TeacherProtocol, epochs: int) -> list[dict[str, torch.Tensor]]:
    """All that is stored of a teacher but the seconds, then its last weights and optimiser state."""
    found = [vars(load_response(teacher, epoch)) for epoch in range(1, epochs + 1)]
    found.append(records.load_tensors(teacher_folder(teacher) / "checkpoint.safetensors"))
    # Copies: a tensor that was read is a map of its file, which some tests damage in place.
    return [{name: t.clone() for name, t in one.items() if name != "seconds"} for one in found]


def assert_same(left: list[dict[str, torch.Tensor]], right: list[dict[str, torch.Tensor]]) -> None:
    """Bit for bit."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert torch.equal(one[name], other[name]), name


# Batches and subsets


@given(st.integers(1, 300), st.integers(0, 5), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_an_epoch_is_a_permutation(size, seed, epoch):
    assert epoch_order(size, seed, epoch).sort().values.tolist() == list(range(size))


def test_the_order_depends_on_seed_and_epoch_alone():
    order = lambda seed, epoch: epoch_order(100, seed, epoch).tolist()
    first = order(0, 1)
    torch.manual_seed(5)
    assert order(0, 1) == first
    orders = [order(seed, epoch) for seed in range(3) for epoch in range(1, 4)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))


@given(st.integers(0, 1000), st.integers(1, 120), st.integers(1, 120))
@settings(max_examples=50, deadline=None)
def test_stratified_is_balanced_and_nested(seed, size, more):
    labels = (torch.arange(120) % 4)[torch.randperm(120, generator=torch.Generator().manual_seed(seed))]
    chosen = stratified(labels, size)
    assert len(chosen) == size and (chosen.diff() > 0).all()
    counts = torch.bincount(labels[chosen], minlength=4)
    assert counts.max() - counts.min() <= 1
    small, large = sorted((size, more))
    assert set(stratified(labels, small).tolist()) <= set(stratified(labels, large).tolist())


def test_stratified_takes_the_first_of_each_class_and_all_when_asked():
    labels = torch.tensor([1, 1, 1, 0, 1, 0, 0, 1])
    assert stratified(labels, 4).tolist() == [0, 1, 3, 5]
    assert stratified(labels, None).tolist() == stratified(labels, 99).tolist() == list(range(8))


# Optimisers and devices


def test_adam_has_the_epsilon_of_keras():
    """With a gradient as large as epsilon, the first step is half of the learning rate."""
    model = torch.nn.Linear(1, 1, bias=False)
    start = model.weight.item()
    optimizer = make_optimizer(model, "adam", 0.1)
    model.weight.grad = torch.full((1, 1), 1e-7)
    optimizer.step()
    assert start - model.weight.item() == pytest.approx(0.05, rel=1e-3)
    assert optimizer.defaults["betas"] == (0.9, 0.999) and optimizer.defaults["weight_decay"] == 0


def test_sgd_has_momentum():
    model = torch.nn.Linear(1, 1, bias=False)
    start, optimizer = model.weight.item(), make_optimizer(model, "sgd", 0.1)
    for _ in range(2):
        model.weight.grad = torch.ones(1, 1)
        optimizer.step()
    assert start - model.weight.item() == pytest.approx(0.1 * (1 + 1.9), rel=1e-4)


def test_auto_is_a_device_that_is_there():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == CPU


# The loop


def plain_training(teacher: TeacherProtocol, epochs: int) -> tuple[torch.nn.Module, list[float]]:
    """What the protocol says, written out: cross-entropy and Adam by their formulas, one image layout, no helpers."""
    train = load_dataset("digits", "train")
    images, labels = train.images.float() / 255, train.labels
    taken = dict.fromkeys(range(10), 0)
    for i, c in enumerate(labels.tolist()):  # 200 digits, 20 of each class, are the first 20 of each
        taken[c] += 1
        if taken[c] > 20:
            labels[i] = -1
    images, labels = images[labels >= 0], labels[labels >= 0]
    model = create_model("digits", teacher.role, dropout=0.5, seed=seed_for("init", teacher.seed, teacher.role))
    parameters = list(model.parameters())
    first, second = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    step, losses = 0, []
    for epoch in range(1, epochs + 1):
        shuffle = torch.Generator().manual_seed(seed_for("order", teacher.seed, epoch))
        order = torch.randperm(200, generator=shuffle)
        torch.manual_seed(seed_for("dropout", teacher.seed, epoch))
        model.train()
        total = 0.0
        for start in range(0, 200, teacher.batch_size):
            x, y = images[order[start : start + teacher.batch_size]], labels[order[start : start + teacher.batch_size]]
            p = model(x).softmax(dim=1)
            loss = -p[torch.arange(len(y)), y].log().mean()
            gradients = torch.autograd.grad(loss, parameters)
            step += 1
            with torch.no_grad():
                for w, g, m, v in zip(parameters, gradients, first, second, strict=True):
                    m.copy_(0.9 * m + 0.1 * g)
                    v.copy_(0.999 * v + 0.001 * g**2)
                    w -= teacher.learning_rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-7)
            total += loss.item() * len(y)
        losses.append(total / 200)
    return model.eval(), losses


@pytest.mark.parametrize("role", ["teacher-small", "teacher-large"])
def test_the_loop_does_what_the_protocol_says(role):
    teacher = protocol(role=role)
    train_teacher(teacher, 2, device=CPU)
    model, losses = plain_training(teacher, 2)
    response = load_response(teacher, 2)
    train = load_dataset("digits", "train")
    images = {
        "train": train.images[stratified(train.labels, 200)],
        "validation": load_dataset("digits", "validation").images,
        "test": load_dataset("digits", "test").images,
    }
    for split, x in images.items():
        expected = model(x.float() / 255).detach()
        # half precision keeps 11 bits: 1/2048 of a logit; training adds rounding of its own
        torch.testing.assert_close(getattr(response, split), expected, rtol=2e-3, atol=2e-3)
    assert [float(load_response(teacher, e).loss) for e in (1, 2)] == pytest.approx(losses, rel=1e-4)
    assert losses[1] < losses[0]


def test_the_same_protocol_gives_the_same_numbers(cache, monkeypatch):
    teacher = protocol(role="teacher-large")
    train_teacher(teacher, 2, device=CPU)
    once = stored(teacher, 2)
    monkeypatch.setenv("KDUTILS_CACHE", str(cache / "again"))
    torch.manual_seed(99)  # the global generator has no part in it
    train_teacher(teacher, 2, device=CPU)
    assert_same(stored(teacher, 2), once)
    train_teacher(dataclasses.replace(teacher, seed=1), 2, device=CPU)
    assert not torch.equal(load_response(dataclasses.replace(teacher, seed=1), 2).test, once[1]["test"])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("role", ["teacher-small", "teacher-large"])
def test_a_resumed_run_equals_an_undisturbed_one(role, optimizer, cache, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    teacher = protocol(role=role, optimizer=optimizer, learning_rate=1e-2 if optimizer == "sgd" else 1e-3)
    train_teacher(teacher, 4, device=CPU)
    undisturbed = stored(teacher, 4)

    class Stop(Exception):
        pass

    def stop(epoch: int, loss: float) -> None:
        seen.append(epoch)
        if epoch == 2:
            raise Stop

    seen: list[int] = []
    monkeypatch.setenv("KDUTILS_CACHE", str(cache / "interrupted"))
    with pytest.raises(Stop):
        train_teacher(teacher, 4, device=CPU, on_epoch=stop)
    assert load_response(teacher, 3) is None
    torch.manual_seed(99)
    train_teacher(teacher, 4, device=CPU, on_epoch=lambda epoch, loss: seen.append(epoch))
    assert seen == [1, 2, 3, 4], "an epoch was trained twice or not at all"
    assert_same(stored(teacher, 4), undisturbed)


def test_the_first_epochs_of_a_longer_run_are_the_shorter_run(cache, monkeypatch):
    teacher = protocol(role="teacher-large")
    train_teacher(teacher, 4, device=CPU)
    longer = stored(teacher, 4)
    monkeypatch.setenv("KDUTILS_CACHE", str(cache / "shorter"))
    train_teacher(teacher, 2, device=CPU)
    assert_same(stored(teacher, 2)[:2], longer[:2])


def test_what_is_stored_is_not_trained_again():
    train_teacher(protocol(), 2, device=CPU)
    epochs = []
    train_teacher(protocol(), 2, device=CPU, on_epoch=lambda epoch, loss: epochs.append(epoch))
    train_teacher(protocol(), 1, device=CPU, on_epoch=lambda epoch, loss: epochs.append(epoch))
    assert epochs == []


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = {
    "halved": truncate,
    "emptied": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("no tensors here " * 100),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("file", ["epoch-001", "epoch-003", "checkpoint"])
def test_a_damaged_file_is_built_again(file, damage):
    teacher = protocol(train_size=100)
    train_teacher(teacher, 3, device=CPU)
    whole = stored(teacher, 3)
    damage(teacher_folder(teacher) / f"{file}.safetensors")
    if file != "checkpoint":
        assert load_response(teacher, int(file[-3:])) is None
    train_teacher(teacher, 3, device=CPU)
    assert_same(stored(teacher, 3), whole)


@pytest.mark.parametrize("file", ["epoch-002", "checkpoint"])
def test_damage_is_found_when_a_run_goes_on(file):
    teacher = protocol(train_size=100)
    train_teacher(teacher, 4, device=CPU)
    whole = stored(teacher, 4)
    for epoch in (3, 4):
        snapshot_path(teacher, epoch).unlink()
    truncate(teacher_folder(teacher) / f"{file}.safetensors")
    train_teacher(teacher, 4, device=CPU)
    assert_same(stored(teacher, 4), whole)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [32, 200])  # 200: one step an epoch, so that the loss itself is still finite
def test_divergence_says_where_and_stores_nothing_of_it(optimizer, batch_size):
    teacher = protocol(learning_rate=1e30, optimizer=optimizer, batch_size=batch_size)
    with pytest.raises(Diverged) as error:
        train_teacher(teacher, 2, device=CPU)
    reason, epoch, step = error.value.args
    assert (epoch, step) == ((1, 2) if batch_size == 32 else (1, 1)) and "\n" not in str(error.value)
    assert ("loss is" in reason) == (batch_size == 32)
    assert load_response(teacher, 1) is None, "a diverged epoch was stored"
    assert not list(teacher_folder(teacher).glob("*.safetensors"))


# What is stored


def test_gram_and_logits_hold_the_penultimate_projection():
    teacher = protocol(role="teacher-large", train_size=600)
    train_teacher(teacher, 3, device=CPU)
    response, state = (
        load_response(teacher, 3),
        records.load_tensors(teacher_folder(teacher) / "checkpoint.safetensors"),
    )
    model = create_model(teacher.dataset, teacher.role).eval()
    model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
    weight, bias = model.classifier.weight.detach(), model.classifier.bias.detach()
    templates = torch.cat([weight, bias[:, None]], dim=1)
    torch.testing.assert_close(response.gram, templates @ templates.T, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        images = to_input(load_dataset("digits", "test").images, CPU)
        features = model.features(images)
        torch.testing.assert_close(response.test, model(images), rtol=1e-3, atol=1e-3)
    for classes in ((0, 1, 2), (6, 8, 3)):
        exact = penultimate_projection(features, weight, bias, classes)
        # the logits are stored with 11 bits
        found = projection_from_logits(response.test, response.gram, classes)
        torch.testing.assert_close(found, exact, rtol=0, atol=3e-3 * float(exact.abs().max()))
