"""PyTorch's distillation tutorial: its networks, its recipe against a loop that follows it, its records."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from kdutils import published, records, tutorial
from kdutils.data import load_dataset
from kdutils.experiments import Study
from kdutils.models import count_parameters
from kdutils.protocols import PROFILES, key, seed_for
from kdutils.training import epoch_order, predict

CPU = torch.device("cpu")
_SMOKE = PROFILES["smoke"]
TINY = dataclasses.replace(
    _SMOKE, train_size=_SMOKE.train_size | {"digits": 256}, eval_size=_SMOKE.eval_size | {"digits": 100}
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Study:
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    return Study("smoke", ["digits"], 2, "missing", "cpu", tmp_path)


def test_networks_are_the_tutorials():
    printed = published.load("tutorial").set_index("network")["parameters"]
    for network in ("teacher", "student"):
        model = tutorial.create_network("cifar10", network, seed=0)
        assert count_parameters(model) == printed[network]
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert [m.p for m in model if isinstance(m, torch.nn.Dropout)] == [0.1]
    assert printed["distilled"] == printed["student"]


def test_recipe_is_the_tutorials():
    found = tutorial.protocols(PROFILES["paper"], "cifar10", 3)
    for protocol in found.values():
        assert (protocol.batch_size, protocol.epochs, protocol.learning_rate) == (128, 10, 1e-3)
        assert (protocol.temperature, protocol.alpha, protocol.train_size, protocol.seed) == (2.0, 0.25, None, 3)
    assert found["distilled"].teacher == key(found["teacher"]) and found["student"].teacher is None
    assert len({key(p) for p in found.values()}) == 3


@pytest.mark.parametrize("distilled", [False, True])
def test_training_follows_the_tutorial_step_by_step(monkeypatch, distilled):
    """Its loop, written out: soft targets times their log-ratio, summed, over the batch, times T²; 0.25 and 0.75."""
    monkeypatch.setattr(tutorial, "DROPOUT", 0.0)  # which draws otherwise than the other loop
    protocol = tutorial.protocols(TINY, "digits", 0)["distilled" if distilled else "student"]
    protocol = dataclasses.replace(protocol, epochs=2, batch_size=32)
    data = tutorial.load(protocol, CPU)
    images, labels = data["train"]
    teacher = 3 * torch.randn(len(labels), 10, generator=torch.Generator().manual_seed(0))
    found = tutorial.train(protocol, images, labels, teacher if distilled else None, CPU)
    model = tutorial.create_network("digits", "student", seed_for("tutorial", 0, "student")).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for epoch in (1, 2):
        for batch in epoch_order(len(labels), 0, epoch).split(32):
            logits = model(images[batch])
            loss = F.cross_entropy(logits, labels[batch])
            if distilled:
                targets, log_p = F.softmax(teacher[batch] / 2, dim=-1), F.log_softmax(logits / 2, dim=-1)
                soft = torch.sum(targets * (targets.log() - log_p)) / len(batch) * 2**2
                loss = 0.25 * soft + 0.75 * loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(predict(found, images), predict(model.eval(), images), rtol=0, atol=1e-3)


def test_all_official_training_images_are_used_and_normalised():
    protocol = tutorial.protocols(PROFILES["paper"], "digits", 0)["teacher"]
    data = tutorial.load(protocol, CPU)
    parts = {split: load_dataset("digits", split) for split in ("train", "validation", "test")}
    assert len(data["train"][1]) == len(parts["train"]) + len(parts["validation"])
    assert len(data["test"][1]) == len(parts["test"])
    expected = (parts["test"].images[0].float() / 255 - 0.485) / 0.229
    torch.testing.assert_close(data["test"][0][0], expected)


def test_it_is_recorded_seed_by_seed_and_once(tiny, monkeypatch):
    table = tiny.tutorial()
    assert sorted(zip(table["teacher"], table["seed"])) == sorted((n, s) for n in tutorial.NETWORKS for s in (0, 1))
    assert table["accuracy"].between(0.05, 1).all()
    runs = records.load("runs", tiny.results)
    assert set(runs["kind"]) == {"tutorial"} and set(runs["run"]) == set(table["run"])
    monkeypatch.setattr(tutorial, "train", lambda *_: pytest.fail("trained again"))
    assert tiny.tutorial().equals(table) and tiny.missing("tutorial") == []
    wanted = dataclasses.replace(tiny, seeds=3).missing("tutorial")
    assert {(r.seed, r.teacher) for r in wanted} == {(2, n) for n in tutorial.NETWORKS}


def test_a_teacher_that_diverges_is_recorded_as_failed_and_the_student_without_it_as_ever(tiny, monkeypatch, capsys):
    real = tutorial.protocols

    def hasty(*given):
        found = real(*given)
        found["teacher"] = dataclasses.replace(found["teacher"], learning_rate=1e30)
        return found | {"distilled": dataclasses.replace(found["distilled"], teacher=key(found["teacher"]))}

    monkeypatch.setattr(tutorial, "protocols", hasty)
    assert set(tiny.tutorial()["teacher"]) == {"student"}
    table = records.load("failures", tiny.results)
    assert set(table["kind"]) == {"tutorial"} and len(table) == 2 and set(table["epoch"]) == {1}
    assert {r.teacher for r in tiny.failed("tutorial")} == {"teacher", "distilled"}
    monkeypatch.setattr(tutorial, "train", lambda *_: pytest.fail("tried again"))
    assert set(tiny.tutorial()["teacher"]) == {"student"}


def test_a_colour_image_is_normalised_channel_by_channel(real_data):
    profile = dataclasses.replace(TINY, train_size={"cifar10": 20}, eval_size={"cifar10": 10})
    data = tutorial.load(tutorial.protocols(profile, "cifar10", 0)["teacher"], CPU)
    assert data["train"][0].shape == (20, 3, 32, 32) and data["test"][1].bincount().tolist() == [1] * 10
    back = data["train"][0] * torch.tensor(tutorial.DEVIATION).view(3, 1, 1) + torch.tensor(tutorial.MEAN).view(3, 1, 1)
    assert back.min() >= -1e-6 and back.max() <= 1 + 1e-6 and ((back * 255).round() - back * 255).abs().max() < 1e-3


def test_the_comparison_with_the_tutorial():
    """By hand: three seeds, gains of 1, 2 and 3 points; t of two degrees of freedom is 4.303."""
    rows = [
        {"dataset": "cifar10", "teacher": name, "seed": seed, "accuracy": accuracy}
        for seed in range(3)
        for name, accuracy in (("teacher", 0.75), ("student", 0.70), ("distilled", 0.71 + seed / 100))
    ]
    found = tutorial.compared(pd.DataFrame(rows)).set_index("network")
    assert found.loc["gain", ["estimate", "lowest", "highest"]].tolist() == pytest.approx([2, 1, 3])
    assert found.loc["gain", "high"] - 2 == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert found.loc["gain", "published"] == pytest.approx(70.80 - 69.86)
    assert found["published"].round(2).tolist() == [75.10, 69.86, 70.80, 0.94] and (found["seeds"] == 3).all()
    digits = tutorial.compared(pd.DataFrame(rows).assign(dataset="digits"))
    assert digits["published"].isna().all(), "the tutorial's data are CIFAR-10"
