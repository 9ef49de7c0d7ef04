"""The search for a sweet spot: on problems whose answer is known beforehand, and what it takes, costs and refuses.

The constructed problem: three classes, images near their class's template, training labels that are wrong for a third
of the images. Its teacher learns nothing; what it answers depends on how many minibatches it has been trained on: the
truth ("right"), the next class ("wrong") or nothing ("silent"). So it is known at which batch size and epoch it teaches.
"""

import doctest
import functools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from kdutils import custom, plots, sweetspot
from kdutils.custom import distil_students, is_stacked, split, tensors
from kdutils.data import ImageSet, load_dataset
from kdutils.errors import UserError
from kdutils.protocols import seed_for
from kdutils.response import select_examples
from kdutils.sweetspot import HARD, UNIFORM, Comparison, Settings, search
from kdutils.training import epoch_order

CLASSES, PIXELS = 3, 16
TEMPLATES = torch.randn(CLASSES, PIXELS, generator=torch.Generator().manual_seed(1))


def draw(count: int, seed: int, wrong: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, 4, 4) and labels, the given share of which is wrong."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = TEMPLATES[labels] + 1.5 * torch.randn(count, PIXELS, generator=generator)
    flipped = torch.rand(count, generator=generator) < wrong
    return images.view(count, 1, 4, 4), torch.where(flipped, (labels + 1) % CLASSES, labels)


PARTS = {"train": draw(240, 2, 0.33), "validation": draw(300, 3), "test": draw(600, 4)}


class Known(nn.Module):
    """Answers by its number of training minibatches: `answers` holds (up to, what), the last one for good."""

    def __init__(self, *answers: tuple[float, str]):
        super().__init__()
        self.answers = answers
        self.unused = nn.Parameter(torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        answer = next(what for until, what in self.answers if self.steps < until)
        scores = 2.0 * x.flatten(1) @ TEMPLATES.T + 0 * self.unused
        return {"right": scores, "wrong": scores.roll(1, 1), "silent": 0 * scores}[answer]


INF = float("inf")
WINDOW = ((20, "wrong"), (31, "right"), (INF, "wrong"))  # right after 20 to 30 minibatches
FAST = Settings(student_batch=60, student_epochs=20, probe_examples=60, probe_epochs=20, student_rate=0.02)
ASKED = {"batch_sizes": [24, 48, 240], "max_epochs": 8, "temperature": 2.0, "alpha": 0.95, "device": "cpu"}


def known(*answers: tuple[float, str]):
    return lambda: Known(*answers)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES))


@pytest.fixture(scope="module")
def found() -> sweetspot.SweetSpot:
    return search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED)


def cells(found: sweetspot.SweetSpot, *status: str) -> set[tuple[int, int]]:
    of = found.cells[found.cells["status"].isin(status)]
    return set(zip(of["batch_size"], of["epochs"], strict=True))


# What it finds


def test_the_known_sweet_spot_is_found(found) -> None:
    """10, 5 and 1 minibatches an epoch: the teacher is right at 24 x 2-3 and 48 x 4-6, and never at 240."""
    assert found.recommended == (24, 2), "equal ones go by fewer epochs"
    assert cells(found, "recommended", "within noise") == {(24, 2), (24, 3), (48, 4)}
    assert cells(found, "behind") == {(240, 1)}
    assert set(found.candidates["status"]) == {"recommended", "within noise"}
    taught = found.cells[found.cells["response"] == "teacher"].set_index(["batch_size", "epochs"])
    right = [(24, 2), (24, 3), (48, 4), (48, 5), (48, 6)]
    assert (taught.loc[right, "probe"] > taught.drop(right)["probe"].max() + 0.3).all()
    assert (taught.loc[right, "teacher_accuracy"] > 0.85).all() and (taught.drop(right)["teacher_accuracy"] < 0.2).all()


def test_a_teacher_that_knows_more_than_the_labels_beats_both_controls(found) -> None:
    assert found.beats_hard_labels and found.beats_uniform
    best = found.cells[found.cells["status"] == "recommended"].iloc[0]
    by = found.cells.set_index("response")
    assert best["hard"] == pytest.approx(best["test"] - by.loc["hard labels", "test"])
    assert best["uniform"] == pytest.approx(best["test"] - by.loc["uniform", "test"])
    assert 0 < best["hard_low"] < best["hard"] < best["hard_high"]
    text = found.summary()
    assert text.startswith("**Batch size 24, 2 epochs**") and f"{100 * best['test']:.2f} %" in text
    assert "3 of 4 beat hard labels alone beyond noise" in text and "No (batch" not in text


def test_it_says_when_no_teacher_beats_hard_labels() -> None:
    asked = ASKED | {"batch_sizes": [24, 240], "max_epochs": 2}
    bad = search(known((INF, "wrong")), linear, PARTS, settings=FAST, **asked)
    assert not bad.beats_hard_labels and not bad.beats_uniform
    assert "No (batch size, epochs) that was distilled in full beats hard labels alone" in bad.summary()
    silent = search(known((INF, "silent")), linear, PARTS, settings=FAST, **asked)
    assert not silent.beats_uniform and "teacher falling silent" in silent.summary()
    assert (silent.cells[silent.cells["response"] == "teacher"]["uniform"].dropna() == 0).all(), "it is the control"
    assert set(silent.cells["status"]) == {"recommended", "within noise", "control"}


def test_the_controls_are_what_they_are_called() -> None:
    """Hard labels alone: cross-entropy and nothing else. Uniform: each class is as probable; two trainings by hand."""
    plain = Settings(**vars(FAST) | {"repeats": 1, "student_epochs": 2, "student_batch": 240})
    asked = ASKED | {"batch_sizes": [240], "max_epochs": 1}
    rows = search(known((INF, "silent")), linear, PARTS, settings=plain, **asked).table.query("stage == 'full'")
    found = rows[rows["part"] == "test"].set_index("response")["loss"]
    images, labels = PARTS["train"]
    for name, alpha in (("hard labels", 0.0), ("uniform", 0.95)):
        torch.manual_seed(seed_for("student", 0, 0))
        model = linear()
        optimizer = torch.optim.Adam(model.parameters(), lr=plain.student_rate, eps=1e-7)
        for _ in range(2):
            out = model(images)
            third = torch.full_like(out, 1 / 3)
            soft = F.kl_div(F.log_softmax(out / asked["temperature"], 1), third, reduction="batchmean")
            loss = (1 - alpha) * F.cross_entropy(out, labels) + alpha * soft
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert found[name] == pytest.approx(loss.item(), rel=1e-4)


def test_margins_over_controls_hold_for_all_finalists_at_once(monkeypatch) -> None:
    levels, difference = [], Comparison.difference

    def spy(self, one, other, level=0.95):
        levels.append((other, round(level, 6)))
        return difference(self, one, other, level)

    monkeypatch.setattr(Comparison, "difference", spy)
    asked = ASKED | {"batch_sizes": [24, 48], "max_epochs": 2}
    found = search(known(*WINDOW), linear, PARTS, settings=FAST, **asked)
    assert found.cells["hard"].count() == 4
    assert [level for other, level in levels if other in (HARD, UNIFORM)] == [0.9875] * 8, "Bonferroni: 5 % over four"


def test_halving_drops_what_is_clearly_behind_and_no_more_than_half(found) -> None:
    assert list(found.stopped) == [240]
    assert found.stopped[240].startswith("after epoch 2: its best probe is")
    trained = found.table[found.table["stage"] == "teacher"].groupby("batch_size")["epochs"].max()
    assert trained.to_dict() == {24: 8, 48: 8, 240: 2}
    kept = search(known(*WINDOW), linear, PARTS, settings=Settings(**vars(FAST) | {"halving": False}), **ASKED)
    assert kept.stopped == {} and kept.recommended == found.recommended


@pytest.mark.parametrize(("early", "dropped"), [(((10, "wrong"), (20, "silent")), []), (((20, "wrong"),), [48])])
def test_what_is_behind_but_rising_goes_on(early: tuple, dropped: list) -> None:
    """After two epochs 24 is right; 48 is behind, and either rose from wrong to silent or did not rise."""
    asked = ASKED | {"batch_sizes": [24, 48]}
    late = search(known(*early, (INF, "right")), linear, PARTS, settings=FAST, **asked)
    assert list(late.stopped) == dropped


def test_quality_on_unseen_classes_is_that_of_students_who_never_saw_them() -> None:
    settings = Settings(**vars(FAST) | {"unseen": (0, 2), "repeats": 2})
    asked = ASKED | {"batch_sizes": [24], "max_epochs": 3, "alpha": 0.99}
    found = search(known(*WINDOW), linear, PARTS, settings=settings, **asked)
    assert found.recommended == (24, 2)
    by = found.cells.set_index("response")
    assert by.loc["hard labels", "full"] < 0.1, "labels say nothing of a class that has none"
    best = found.cells[found.cells["status"] == "recommended"].iloc[0]
    assert best["full"] > 0.5 and best["test"] > 0.5
    rows = found.table.query("stage == 'full' and epochs == 2 and part == 'validation'")
    assert sorted(zip(rows["repeat"], rows["unseen"], strict=True)) == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert best["full"] == pytest.approx(rows["quality"].mean())
    assert (rows["accuracy"] > rows["quality"]).any(), "accuracy is over all classes"
    assert "never saw" in found.summary()


def test_the_first_epochs_of_a_long_search_are_the_short_search() -> None:
    """What one run for each batch size rests on: a constant learning rate, whatever the rungs."""
    digits = {part: load_dataset("digits", part) for part in ("train", "validation", "test")}
    network = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    tiny = Settings(student_epochs=1, probe_epochs=1, probe_examples=5, repeats=1)
    tables = [
        search(network, network, digits, batch_sizes=[64], max_epochs=n, temperature=4, alpha=0.9, settings=tiny).table
        for n in (2, 5)
    ]
    short, long = (t[(t["stage"] == "teacher") & (t["epochs"] <= 2)].reset_index(drop=True) for t in tables)
    pd.testing.assert_frame_equal(short, long)
    assert short["accuracy"].iloc[1] > 0.5, "real images are learnt"


# What it costs


def test_the_cost_is_what_was_trained(found) -> None:
    """Counted by hand: 240 images, 180 of them in probes; 8 + 8 + 2 epochs; 2 + 18 and 2 + 4 responses of 3 students."""
    cost = found.cost.set_index("stage")
    assert cost.loc["teachers", "example_passes"] == 18 * 240
    assert cost.loc["probes", "example_passes"] == (2 + 18) * 3 * 180 * 20
    assert cost.loc["full distillations", "example_passes"] == (2 + 4) * 3 * 240 * 20
    assert cost.loc["teachers", "forward_passes"] == 18 * (240 + 300)
    assert cost.loc["full distillations", "forward_passes"] == 6 * 3 * (300 + 600)
    linear_forward = PIXELS * CLASSES
    passes = 3 * cost.loc["probes", "example_passes"] + cost.loc["probes", "forward_passes"]
    assert cost.loc["probes", "multiply_adds"] == passes * linear_forward
    assert (cost["seconds"] > 0).all()


def least(**changes: object) -> int:
    """The smallest budget, as the refusal states it."""
    with pytest.raises(UserError, match="too small") as caught:
        search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED | {"budget": 1} | changes)
    return int(str(caught.value).split("take ")[1].split()[0].replace(",", ""))


def test_the_smallest_budget_suffices_and_one_less_does_not() -> None:
    smallest = least()
    assert smallest == 3 * (240 + 3 * 180 * 20) + 2 * 3 * 180 * 20 + 3 * 3 * 240 * 20
    with pytest.raises(UserError, match="too small"):
        search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED | {"budget": smallest - 1})
    found = search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED | {"budget": smallest})
    assert found.cost["example_passes"].sum() == smallest
    assert found.stopped == dict.fromkeys([24, 48, 240], "after epoch 1: the budget's end")
    assert found.cells["full"].count() == 3


@pytest.mark.parametrize("share", [1.3, 2.1, 3.4])
def test_a_budget_is_respected_and_used(share: float) -> None:
    budget = share * least()
    found = search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED | {"budget": budget})
    spent = found.cost["example_passes"].sum()
    one_more = 3 * (240 + 3 * 180 * 20) + 3 * 240 * 20  # an epoch, a probe and a finalist
    assert budget - 2 * one_more < spent <= budget


def test_a_budget_for_all_finalists_is_not_kept_back_from_the_teachers() -> None:
    settings = Settings(**vars(FAST) | {"finalists": 0})
    found = search(known(*WINDOW), linear, PARTS, settings=settings, **ASKED | {"budget": 3 * least()})
    assert found.table.query("stage == 'teacher'")["epochs"].max() > 2
    assert found.cells["full"].count() > 3, "what was left went to finalists"


# That it is the same again


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    asked = ASKED | {"batch_sizes": [24], "max_epochs": 2}
    noisy = lambda: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 3))
    one, same, other = (search(noisy, noisy, PARTS, settings=FAST, seed=seed, **asked) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one.table, same.table)
    pd.testing.assert_frame_equal(one.cells, same.cells)
    pd.testing.assert_frame_equal(one.cost.drop(columns="seconds"), same.cost.drop(columns="seconds"))
    assert not one.table["loss"].equals(other.table["loss"])


def test_the_callers_random_numbers_go_on_as_before() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    search(known(*WINDOW), linear, PARTS, settings=FAST, **ASKED | {"batch_sizes": [240], "max_epochs": 1})
    assert torch.equal(torch.rand(3), expected)


# Students, stacked or not


class Normed(nn.Module):
    """What is awkward to stack: batch normalisation, dropout, a frozen layer and a buffer that counts."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.4), nn.Flatten()
        )
        self.frozen = nn.Linear(96, 12).requires_grad_(False)
        self.classifier = nn.Linear(12, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.tanh(self.frozen(self.features(x))))


def lessons(members: int = 4) -> dict:
    images, labels = PARTS["train"]
    logits = 3 * torch.randn(members, len(labels), CLASSES, generator=torch.Generator().manual_seed(6))
    return {
        "images": images, "labels": labels, "logits": logits, "temperature": 3.0, "alphas": [0.9, 0.5, 1.0, 0.0][:members],
        "epochs": 3, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.01, "seed": 7,
        "looked_at": [PARTS["validation"][0], images],
    }  # fmt: skip


@pytest.mark.parametrize("network", [linear, Normed], ids=["linear", "normed"])
def test_a_stack_trains_as_one_student_after_another(network) -> None:
    (stack, stack_losses), (loop, loop_losses) = (
        distil_students(network, **lessons(), stacked=stacked) for stacked in (True, False)
    )
    assert [tuple(of.shape) for of in stack] == [(4, 300, CLASSES), (4, 240, CLASSES)]
    torch.testing.assert_close(stack_losses, loop_losses, rtol=1e-4, atol=1e-5)
    assert len({round(float(x), 4) for x in loop_losses}) == 4, "members differ"
    for a, b in zip(stack, loop, strict=True):
        assert (a.argmax(-1) == b.argmax(-1)).float().mean() > 0.995
        torch.testing.assert_close(a, b, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_student_is_what_it_is_without_the_others(stacked: bool) -> None:
    everyone, losses = distil_students(Normed, **lessons(), stacked=stacked)
    given = lessons()
    alone, loss = distil_students(
        Normed, **given | {"logits": given["logits"][2:3], "alphas": given["alphas"][2:3]}, stacked=stacked
    )
    torch.testing.assert_close(loss[0], losses[2], rtol=1e-4, atol=1e-5)
    assert (alone[0][0].argmax(-1) == everyone[0][2].argmax(-1)).float().mean() > 0.99


@pytest.mark.parametrize("factor", [1, 9])
def test_a_student_learns_by_the_obvious_loop(factor: int) -> None:
    """Eq. 4 and Adam written out: the reference beside the stack."""
    given = lessons(1)
    torch.manual_seed(given["seed"])
    model = linear()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-7)
    for epoch in (1, 2, 3):
        losses = []
        for batch in epoch_order(240, given["seed"], epoch).split(32):
            x, y, z = given["images"][batch], given["labels"][batch], given["logits"][0][batch]
            out = model(x)
            soft = F.kl_div(F.log_softmax(out / 3, 1), F.softmax(z / 3, 1), reduction="batchmean")
            loss = 0.1 * F.cross_entropy(out, y) + 0.9 * factor * soft
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((loss.item(), len(batch)))
    predicted, found = distil_students(linear, **given, scale_by_t2=factor == 9, stacked=True)
    assert float(found[0]) == pytest.approx(sum(x * n for x, n in losses) / 240, rel=1e-4)
    torch.testing.assert_close(predicted[0][0], model(given["looked_at"][0]), rtol=0.01, atol=0.01)


class Branching(nn.Module):
    """Its course depends on values, which vmap does not know."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(PIXELS, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x.flatten(1))
        return out if out.sum() > 0 else 2 * out


class Leaking(nn.Module):
    """A layer that looks across the leading axis: right for one network, and for a stack too only if members are apart."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(PIXELS, CLASSES)
        self.shared = torch.zeros(())  # no buffer: a stack cannot give each member its own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x.flatten(1))
        self.shared = out.detach().mean()
        return out + self.shared


def test_networks_that_cannot_be_stacked_are_trained_in_a_loop() -> None:
    x, cpu = PARTS["train"][0][:8], torch.device("cpu")
    assert is_stacked(linear, x, cpu) and is_stacked(Normed, x, cpu)
    assert not is_stacked(Branching, x, cpu)
    large = lambda: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 60_000), nn.Linear(60_000, CLASSES))
    assert not is_stacked(large, x.repeat(4, 1, 1, 1), cpu), "on a CPU a step that is mostly arithmetic gains nothing"
    asked = ASKED | {"batch_sizes": [24], "max_epochs": 2}
    found = search(known(*WINDOW), Branching, PARTS, settings=FAST, **asked)
    assert found.recommended == (24, 2)


def test_memory_that_does_not_suffice_halves_the_stack(monkeypatch) -> None:
    class Small(custom._Stack):
        def __init__(self, make_student, seed, size, device):
            if size > 1:
                raise torch.OutOfMemoryError
            super().__init__(make_student, seed, size, device)

    whole, losses = distil_students(linear, **lessons(), stacked=True)
    monkeypatch.setattr(custom, "_Stack", Small)
    parts, same = distil_students(linear, **lessons(), stacked=True)
    torch.testing.assert_close(same, losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole[0], parts[0], rtol=0.01, atol=0.01)


def test_one_example_left_over_is_left_out() -> None:
    """Batch normalisation refuses a minibatch of one: 25 examples are 3 minibatches of 8."""
    cpu = torch.device("cpu")
    assert [len(b) for b in custom.minibatches(25, 8, 0, 1, cpu)] == [8, 8, 8]
    assert [len(b) for b in custom.minibatches(26, 8, 0, 1, cpu)] == [8, 8, 8, 2]
    assert [len(b) for b in custom.minibatches(3, 1, 0, 1, cpu)] == [1, 1, 1]
    assert [len(b) for b in custom.minibatches(1, 8, 0, 1, cpu)] == [1]


class Centred(nn.Module):
    """Its running mean is set anew at each step, not written in place: a stack would forget it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(PIXELS))
        self.layer = nn.Linear(PIXELS, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return self.layer(x - self.mean)


def test_a_network_whose_buffers_a_stack_would_forget_is_trained_in_a_loop() -> None:
    given = lessons() | {"images": PARTS["train"][0] + 3, "looked_at": [PARTS["train"][0] + 3]}
    assert not is_stacked(Centred, given["images"][:8], torch.device("cpu"))
    (found,), _ = distil_students(Centred, **given)
    (loop,), _ = distil_students(Centred, **given, stacked=False)
    (stack,), _ = distil_students(Centred, **given, stacked=True)
    assert torch.equal(found, loop) and not torch.allclose(found, stack, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alphas": [0.9]}, "alphas must be one for each of 4 members; got 1"),
        ({"alphas": [0.9, 1.5, 0, 0]}, "alpha, the soft term's weight, must be a number in [0, 1]; got 1.5"),
        ({"logits": torch.zeros(240, 3)}, "logits must be (E, N, C), of 240 images; got (240, 3)"),
        ({"logits": torch.zeros(4, 400, 3)}, "logits must be (E, N, C), of 240 images; got (4, 400, 3)"),
        ({"logits": torch.zeros(4, 240, 3) / 0}, "some of the teachers' logits are not finite"),
        ({"logits": torch.zeros(4, 240, 2)}, "labels must be below the 2 classes of the logits"),
        ({"logits": torch.zeros(4, 240, 5)}, "a student gives 3 logits, and its teachers 5"),
        ({"labels": PARTS["train"][1][:7]}, "labels must be integers, one for each of 240 images"),
        ({"looked_at": PARTS["train"][0]}, "looked_at must be sets of images as those learned from, torch.float32 (…, 1, 4, 4)"),
        ({"alphas": 0.9}, "alphas must be a list of numbers; got 0.9"),
        ({"optimizer": None}, "unknown optimizer None"),
        ({"images": torch.tensor(3.0)}, "images must be numbers (N, …), such as (N, C, H, W); got torch.float32 ()"),
        ({"looked_at": [PARTS["train"][0].long()]}, "looked_at must be sets of images as those learned from"),
        ({"temperature": 0}, "temperature must be a number in (0, inf)"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1; got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"images": "mnist"}, "images, labels, logits and looked_at must be tensors or arrays"),
        ({"make_student": lambda: NET}, "make_student must return a new network at each call"),
        ({"make_student": lambda: Paired()}, "make_student's network must give logits (N, C) for images (N, …); got tuple"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:50],
)  # fmt: skip
def test_what_students_cannot_learn_from_is_refused(monkeypatch, changes: dict, message: str) -> None:
    monkeypatch.setattr(custom, "optimizer_of", None)  # nothing is trained
    with pytest.raises(UserError) as caught:
        distil_students(**{"make_student": linear} | lessons() | changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


class Paired(nn.Linear):
    """Gives logits and something else."""

    def __init__(self):
        super().__init__(PIXELS, CLASSES)

    def forward(self, x: torch.Tensor) -> tuple:
        return super().forward(x.flatten(1)), x


def test_what_can_be_learned_from_is_not_refused() -> None:
    """Floats of another precision, one image, weights in a tensor, an optimiser with a rate of its own."""
    given = lessons()
    wanted, _ = distil_students(linear, **given)
    other = {
        "looked_at": [given["looked_at"][0].double(), given["looked_at"][1].half()],
        "alphas": torch.tensor(given["alphas"]),
    }
    found, _ = distil_students(linear, **given | other)
    assert torch.equal(found[0], wanted[0]) and torch.allclose(found[1], wanted[1], atol=0.1)
    adam = functools.partial(torch.optim.Adam, lr=0.01)
    assert len(distil_students(linear, **given | {"optimizer": adam, "learning_rate": None})[0]) == 2
    one = {name: given[name][:1] for name in ("images", "labels")} | {"logits": given["logits"][:, :1]}
    assert distil_students(linear, **given | one)[0][0].shape == (4, 300, CLASSES)


def test_arrays_are_learned_from_too_and_random_numbers_stay_the_callers() -> None:
    given = lessons()
    torch.manual_seed(0)
    wanted, _ = distil_students(linear, **given)
    drawn = torch.rand(3)
    arrays = {name: given[name].numpy() for name in ("images", "labels", "logits")}
    found, _ = distil_students(linear, **given | arrays)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), drawn)


def test_the_example_of_students_of_ones_own_runs() -> None:
    names = {"torch": torch, "nn": nn, "distil_students": distil_students}
    test = doctest.DocTestParser().get_doctest(distil_students.__doc__, names, "distil_students", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0 and test.examples


# Chance


@pytest.mark.parametrize(("repeats", "luck"), [(1, 0.0), (2, 0.0), (3, 0.0), (3, 0.15), (3, 0.4), (6, 0.15)])
def test_differences_by_chance_are_within_noise_as_often_as_stated(repeats: int, luck: float) -> None:
    """Two responses of equal worth: images differ in difficulty, students in luck; the interval holds 0 in 19 of 20.

    Nor is it much wider than that takes: 1.96 standard deviations of what chance does, and half as much again where two
    students of each response are all there is to tell luck from.
    """
    generator = np.random.default_rng(0)
    names, found = [HARD, UNIFORM, *(("teacher", 1, n) for n in range(4))], []
    for _ in range(400):
        difficulty = generator.normal(1, 1, 200)
        chance = 1 / (1 + np.exp(-(difficulty + generator.normal(0, luck, (6, repeats, 1)))))
        correct = generator.random((6, repeats, 200)) < chance
        found.append(Comparison(names, correct).difference(names[2], names[3]))
    gap, noise = np.array(found).T
    assert 0.92 <= np.mean(abs(gap) <= noise) <= 0.99
    assert np.median(noise) < (1.5 if repeats == 2 else 1.3) * 1.96 * gap.std()


def test_differences_are_paired_and_wider_where_seeds_disagree() -> None:
    a = np.tile(np.arange(100) < 80, (3, 1))
    b = np.tile(np.arange(100) < 70, (3, 1))
    lucky = b.copy()
    lucky[0, :90], lucky[1, 50:] = True, False  # the same mean of 0.7, from 0.9, 0.5 and 0.7
    cells = [HARD, UNIFORM, ("teacher", 1, 1)]
    gap, noise = Comparison(cells, np.stack([a, b, b])).difference(HARD, UNIFORM)
    assert gap == pytest.approx(0.1)
    paired = np.sqrt(0.1 * 0.9 / 99)  # ten images of a hundred differ, all the same way; no seed differs
    assert noise == pytest.approx(1.984217 * paired, rel=1e-5), "t, 99 degrees of freedom"
    wider, noise_of_seeds = Comparison(cells, np.stack([a, lucky, b])).difference(HARD, UNIFORM)
    assert wider == pytest.approx(0.1) and noise_of_seeds > 2 * noise
    assert Comparison(cells, np.stack([a, b, b])).difference(HARD, UNIFORM, 0.999)[1] > noise


# What data it takes


class Pictures:
    """A data set as torchvision's are: PIL images and whole numbers, by index."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform=None):
        self.images, self.labels, self.transform = images, labels, transform or (lambda image: image)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, n: int) -> tuple:
        image = self.images[n].permute(1, 2, 0).squeeze().numpy()
        return self.transform(Image.fromarray(image)), int(self.labels[n])


def test_a_data_set_of_pictures_is_what_its_tensors_are() -> None:
    digits = load_dataset("digits", "train").subset(range(300))
    colour = digits.images.repeat(1, 3, 1, 1)
    colour[:, 1] //= 2
    for images in (digits.images, colour):
        found = tensors(Pictures(images, digits.labels))
        assert torch.equal(found[0], images) and torch.equal(found[1], digits.labels) and found[0].dtype == torch.uint8
    network = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    asked = ASKED | {"batch_sizes": [32], "max_epochs": 2, "settings": Settings(probe_examples=5, repeats=1)}
    forms = (
        Pictures(digits.images, digits.labels),
        (digits.images, digits.labels.tolist()),
        [(image.numpy(), label) for image, label in zip(digits.images, digits.labels.numpy(), strict=True)],
        (digits.images, digits.labels),
        (digits.images.numpy(), digits.labels.numpy()),
        digits,
        (digits.images / 255, digits.labels),
        torch.utils.data.TensorDataset(digits.images, digits.labels),
        {"train": Pictures(digits.images, digits.labels, lambda image: torch.from_numpy(np.array(image))[None] / 255)},
    )
    tables = [search(network, network, form, **asked).table for form in forms]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_parts_that_are_not_given_are_a_fixed_share_of_each_class() -> None:
    images, labels = torch.arange(200.0).view(200, 1), (torch.arange(200) >= 40).long()
    parts = split((images, labels))
    ids = {name: x.squeeze(1).long().tolist() for name, (x, _) in parts.items()}
    assert sorted(n for of in ids.values() for n in of) == list(range(200)), "each image once"
    assert {name: (y == 0).sum().item() for name, (_, y) in parts.items()} == {"train": 28, "validation": 6, "test": 6}
    assert all(torch.equal(labels[ids[name]], y) for name, (_, y) in parts.items())
    assert ids == {name: x.squeeze(1).long().tolist() for name, (x, _) in split((images, labels)).items()}
    given = split({"train": (images, labels), "test": (images[:5], labels[:5])})
    assert len(given["test"][1]) == 5 and len(given["validation"][1]) == 30 and len(given["train"][1]) == 170


# What it refuses


@pytest.fixture
def untrained(monkeypatch) -> None:
    def fail(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(sweetspot._Search, "train", fail)
    monkeypatch.setattr(sweetspot, "distil_students", fail)


class Growing(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Linear(PIXELS, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


IMAGES, LABELS = PARTS["train"]
NET = linear()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"make_student": lambda: Growing(5)}, "the networks' outputs differ in width: teacher 3, student 5"),
        ({"make_teacher": lambda: Growing(2)}, "make_teacher's network gives 2 logits, and labels reach to 2"),
        ({"make_teacher": linear()}, "make_teacher must be a function that returns a new network"),
        ({"make_student": "linear"}, "make_student must be a function"),
        ({"make_student": lambda: NET}, "make_student must return a new network at each call"),
        ({"make_student": lambda: 3}, "make_student must return an nn.Module; it returned a int"),
        ({"make_student": lambda: nn.Flatten()}, "make_student's network has nothing to train"),
        ({"make_student": lambda: nn.Linear(7, 3)}, "make_student's network cannot take a minibatch of images (60, 1, 4, 4)"),
        ({"make_student": lambda: nn.Conv2d(1, 3, 3)}, "must give logits (N, C) for images (N, …); got (2, 3, 2, 2)"),
        ({"make_teacher": lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)), "batch_sizes": [1]},
         "make_teacher's network cannot take a minibatch of images (1, 1, 4, 4): Expected more than 1 value per channel"),
        ({"make_teacher": lambda: nn.Sequential(linear(), nn.Softmax(1))}, "make_teacher's network gives probabilities; it must give logits"),
        ({"make_student": lambda: nn.Sequential(linear(), nn.Threshold(1e9, float("nan")))}, "make_student's network gives logits that are not finite"),
        ({"make_student": lambda width: linear()}, "make_student must return a new network when called without arguments: "),
        ({"data": (IMAGES, ["a"] * 240)}, "images and labels must be arrays or tensors of numbers: "),
        ({"data": [(IMAGES[n], float(LABELS[n])) for n in range(240)]}, "the data set's items must be (image, label) pairs: 'float' object"),
        ({"data": [(IMAGES[n].numpy().repeat(3, 1), 0) for n in range(9)]}, "which axis of (1, 12, 4) has the channels?"),
        ({"data": (IMAGES, LABELS * 0)}, "the data have 1 class; distillation needs at least 2"),
        ({"data": (IMAGES, LABELS - 1)}, "labels must not be negative; got -1"),
        ({"data": (IMAGES, LABELS[:5])}, "labels must be integers, one for each of 240 images"),
        ({"data": (IMAGES, LABELS.float())}, "labels must be integers"),
        ({"data": (IMAGES > 0, LABELS)}, "images must be numbers (N, …), such as (N, C, H, W); got torch.bool (240, 1, 4, 4)"),
        ({"data": (LABELS.float(), LABELS)}, "images must be numbers (N, …), such as (N, C, H, W); got torch.float32 (240,)"),
        ({"data": (IMAGES.long(), LABELS), "batch_sizes": [24]}, "make_student's network cannot take a minibatch of images (60, 1, 4, 4) of torch.int64"),
        ({"data": pd.DataFrame(np.zeros((9, 4)))}, "the data set's items must be (image, label) pairs"),
        ({"data": PARTS | {"test": (IMAGES.byte(), LABELS)}}, "the parts' images differ in type, and so in scale: float, torch.uint8"),
        ({"checkpoint": "/proc/nowhere"}, "checkpoint folder '/proc/nowhere/"),
        ({"data": (IMAGES / 0, LABELS)}, "some images have values that are not finite"),
        ({"data": (IMAGES[:4], LABELS[:4])}, "class 0 has 1 of the images: too few for train, validation and test"),
        ({"data": {"test": PARTS["test"]}}, "data must have 'train', and may have 'validation' and 'test'; got test"),
        ({"data": PARTS | {"tset": PARTS["test"]}}, "may have 'validation' and 'test'; got train, validation, test, tset"),
        ({"data": PARTS | {"test": (IMAGES[:, :, :3], LABELS)}}, "the parts' images differ in size"),
        ({"data": PARTS | {"test": (IMAGES[:0], LABELS[:0])}}, "the data set is empty"),
        ({"data": "mnist"}, "data must be (images, labels) or a data set of such pairs; got a str"),
        ({"data": 3}, "data must be (images, labels) or a data set of such pairs; got a int"),
        ({"data": []}, "the data set is empty"),
        ({"data": [(IMAGES[0], 0), (IMAGES[0, :, 1:], 1)]}, "the data set's images differ in size"),
        ({"data": Pictures(torch.zeros(9, 1, 4, 4, dtype=torch.uint8), LABELS[:9], lambda _: torch.rand(1, 4, 4))},
         "the data set gives another image each time (augmentation?)"),
        ({"batch_sizes": [24, 241]}, "batch size 241 is above the 240 training images"),
        ({"budget": 240}, "budget 240 is too small: one epoch and one probe at each of 3 batch sizes"),
        ({"settings": Settings(unseen=(7,))}, "unseen class 7 must be one of at least 3 classes and have images"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:60],
)  # fmt: skip
def test_a_mistake_is_refused_in_one_line_before_training(untrained, changes: dict, message: str) -> None:
    given = {"make_teacher": known(*WINDOW), "make_student": linear, "data": PARTS, "settings": FAST, **ASKED} | changes
    with pytest.raises(UserError) as caught:
        search(**given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_rare_class_does_not_shrink_the_probes_of_the_others() -> None:
    labels = PARTS["train"][1]
    kept = (labels != 2) | ((labels == 2).cumsum(0) <= 8)
    chosen = sweetspot._some_of_each(labels[kept], 60, seed=0)
    assert labels[kept][chosen].bincount().tolist() == [60, 60, 8] and (chosen.diff() > 0).all()
    assert sweetspot._some_of_each(labels, 60, seed=0).tolist() == (
        select_examples(None, labels, 60, selection="random", seed=0).tolist()
    )
    assert sweetspot._some_of_each(labels, 500, seed=0).tolist() == [*range(240)]


def test_a_search_with_other_probes_is_another_one() -> None:
    asked = ([24], 2, 2.0, 0.95, None, 0)
    with sweetspot._under_way(known(*WINDOW), linear, PARTS, asked, "cpu", FAST) as one:
        first = one.identity([24], 2)
        assert one.identity([24], 2) == first
        one.transfer["probe"] = one.transfer["probe"][:-1]
        assert one.identity([24], 2) != first


def test_large_logits_are_no_divergence() -> None:
    """Beyond 65,504 half precision is infinite, and float32 is not."""
    loud = lambda: nn.Sequential(Known((INF, "right")), Times(1e5))
    found = search(loud, linear, PARTS, settings=FAST, **ASKED | {"batch_sizes": [48], "max_epochs": 1})
    assert not found.stopped and found.logits.dtype == torch.float32 and found.logits.abs().max() > 65_504


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def test_tokens_are_seen_as_they_are() -> None:
    """Each text has seven words of its class's own ten among three others."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % CLASSES
    own = 10 * labels[:, None] + torch.randint(10, (240, 7), generator=generator)
    texts = torch.cat([own, torch.randint(30, (240, 3), generator=generator)], 1)
    network = lambda: nn.Sequential(nn.EmbeddingBag(30, 8), nn.Linear(8, CLASSES))
    found = search(network, network, (texts, labels), settings=FAST, **ASKED | {"batch_sizes": [24], "max_epochs": 2})
    assert found.images.dtype == torch.int64
    assert found.cells.set_index("response").loc["hard labels", "test"] > 0.8


def test_a_teacher_that_diverges_is_left_behind_and_all_that_do_are_an_error() -> None:
    class Exploding(Known):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            return out * INF if self.steps > 25 else out

    asked = ASKED | {"batch_sizes": [24, 240]}
    found = search(lambda: Exploding(*WINDOW), linear, PARTS, settings=FAST, **asked)
    assert found.stopped[24] == "in epoch 3: diverged" and found.recommended == (24, 2)
    with pytest.raises(FloatingPointError, match="diverged at every batch size"):
        search(lambda: Exploding((INF, "right")), linear, PARTS, settings=FAST, **ASKED | {"batch_sizes": [5]})


def test_students_that_diverge_without_a_teacher_are_no_result() -> None:
    hot = Settings(**vars(FAST) | {"student_rate": 1e38})
    deep = lambda: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    with pytest.raises(FloatingPointError, match="students without a teacher diverged; try a lower student_rate"):
        search(known(*WINDOW), deep, PARTS, settings=hot, **ASKED)


# What is said of it


def said(recommended: tuple, other: tuple, hard: float = 0.8, chance: float = 0.1) -> str:
    """The summary of two finalists, each with its margin over hard labels and the ends of its interval."""
    rows = [{"response": name, "batch_size": 0, "epochs": 0, "test": hard} for name in ("hard labels", "uniform")]
    for status, size, (margin, low, high) in (("recommended", 64, recommended), ("within noise", 256, other)):
        row = {"response": "teacher", "batch_size": size, "epochs": 3, "test": hard + margin, "status": status}
        ends = {
            f"{control}{end}": x
            for control in ("hard", "uniform")
            for end, x in zip(("", "_low", "_high"), (margin, low, high))
        }
        rows.append(row | ends)
    return sweetspot.summary(pd.DataFrame(rows, columns=sweetspot.CELL_COLUMNS), chance=chance)


def test_the_recommended_teachers_own_margin_is_said() -> None:
    text = said((0.0, -0.02, 0.02), (0.03, 0.01, 0.05))
    assert (
        "at most +3.00 points [+1.00, +5.00] (256 × 3); the recommended one is **not** among them: +0.00 points" in text
    )
    assert "; the recommended one is among them: +2.00 points" in said((0.02, 0.01, 0.03), (0.03, 0.01, 0.05))
    assert "the recommended one" not in said((0.03, 0.01, 0.05), (0.02, 0.01, 0.03))


@pytest.mark.parametrize(
    ("hard", "chance", "learned"), [(0.8, 0.1, True), (0.17, 0.1, False), (0.55, 0.5, False), (0.65, 0.5, True)]
)
def test_students_that_hardly_learned_are_said_to(hard: float, chance: float, learned: bool) -> None:
    text = said((0.0, -0.02, 0.02), (0.0, -0.02, 0.02), hard, chance)
    assert ("hardly learned" not in text) == learned


def test_the_response_to_learn_from_is_handed_over(found) -> None:
    """The recommended teacher answers the truth, of the images that are handed over with it."""
    assert torch.equal(found.images, PARTS["train"][0]) and torch.equal(found.labels, PARTS["train"][1])
    assert torch.equal(found.logits, (2.0 * found.images.flatten(1) @ TEMPLATES.T).half())
    assert found.chance == pytest.approx(1 / 3)


# Teachers that are trained already


def test_teachers_that_one_has_are_judged_beside_the_controls() -> None:
    teachers = {"wise": Known((INF, "right")), "wrong": Known((INF, "wrong"))}
    found = sweetspot.judge(teachers, linear, PARTS, temperature=2.0, alpha=0.95, device="cpu", settings=FAST)
    by = found.set_index("response")
    assert set(by.index) == {"wise", "wrong", "hard labels", "uniform"}
    assert by.loc["wise", "status"] == "recommended" and by.loc["wise", "hard_low"] > 0
    assert by.loc["wrong", "status"] == "behind" and by.loc["wrong", "hard_high"] < 0
    assert by.loc["wise", "teacher_accuracy"] > 0.85 > 0.2 > by.loc["wrong", "teacher_accuracy"]
    assert by.loc["hard labels", "status"] == "control" and all(int(t.steps) == 0 for t in teachers.values())
    text = sweetspot.summary(found)
    assert text.startswith("**wise, the best on validation images**: its students' accuracy is ")
    assert "1 of 2 beat hard labels alone beyond noise, by at most" in text and "(wise)." in text
    none = sweetspot.summary(found.assign(hard_low=-1.0, uniform_low=-1.0))
    assert "**No teacher that was distilled in full beats hard labels alone beyond noise** (the best: " in none
    denied = Settings(**vars(FAST) | {"unseen": (1,), "repeats": 1})
    denied = sweetspot.judge(teachers, linear, PARTS, temperature=2.0, alpha=0.95, device="cpu", settings=denied)
    said = sweetspot.summary(denied)
    assert "accuracy on classes they never saw is" in said and "hardly learned" not in said
    poor = found.assign(test=0.35)
    assert "The students hardly learned" in sweetspot.summary(poor) and "hardly" not in text
    asked = ASKED | {"batch_sizes": [240], "max_epochs": 1}
    beside = search(known((INF, "right")), linear, PARTS, settings=FAST, **asked).cells.set_index("response")
    pd.testing.assert_series_equal(
        by.loc["wise", ["full", "test", "hard"]], beside.loc["teacher", ["full", "test", "hard"]], check_names=False
    )


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        ({}, "teachers must be a mapping of names to trained networks"),
        (Known((INF, "right")), "teachers must be a mapping of names to trained networks"),
        ({"mine": known((INF, "right"))}, "teacher 'mine' must be a trained nn.Module with a name of its own"),
        ({"uniform": Known((INF, "right"))}, "teacher 'uniform' must be a trained nn.Module with a name of its own"),
        ({"mine": nn.Linear(7, 3)}, "teacher 'mine' cannot take the images: "),
        (
            {"mine": Paired()},
            "teacher 'mine''s network must give logits (N, C) for images (N, …); got tuple for 2 images",
        ),
        ({"mine": nn.Flatten()}, "teacher 'mine' gives 16 logits, and the student 3"),
        (
            {"mine": nn.Sequential(linear(), nn.Softmax(1))},
            "teacher 'mine''s network gives probabilities; it must give",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_no_teacher_is_refused(untrained, teachers: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        sweetspot.judge(teachers, linear, PARTS, temperature=2.0, alpha=0.95, device="cpu", settings=FAST)
    assert str(caught.value).startswith(message)


# What is kept of a search that was stopped


def test_a_search_that_is_stopped_again_and_again_ends_as_one_left_alone(tmp_path, monkeypatch) -> None:
    """It is killed before each epoch and each fleet in turn; nothing is trained twice, and the end is the same."""
    make = lambda: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.Dropout(0.3), nn.Linear(8, CLASSES))
    asked = ASKED | {"batch_sizes": [24, 48], "max_epochs": 4, "settings": Settings(**vars(FAST) | {"repeats": 2})}
    monkeypatch.setattr(sweetspot, "CHECKPOINT_SECONDS", 0)
    work = {"left": 1000, "done": 0}

    def counted(function):
        def run(*given, **options):
            if not work["left"]:
                raise KeyboardInterrupt
            work["left"] -= 1
            work["done"] += 1
            return function(*given, **options)

        return run

    monkeypatch.setattr(sweetspot._Search, "train_epoch", counted(sweetspot._Search.train_epoch))
    monkeypatch.setattr(sweetspot, "distil_students", counted(distil_students))
    wanted, needed = search(make, linear, PARTS, **asked), work["done"]
    work["done"] = stops = 0
    while True:
        work["left"] = 2
        try:
            found = search(make, linear, PARTS, **asked, checkpoint=tmp_path)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 5 and work["done"] == needed
    pd.testing.assert_frame_equal(found.cells, wanted.cells)
    pd.testing.assert_frame_equal(found.table, wanted.table)
    assert torch.equal(found.logits, wanted.logits)
    work["left"] = 0
    again = search(make, linear, PARTS, **asked, checkpoint=tmp_path)
    pd.testing.assert_frame_equal(again.cost, found.cost)
    with pytest.raises(KeyboardInterrupt):  # another search, which has nothing yet
        search(make, linear, PARTS, **asked | {"seed": 1}, checkpoint=tmp_path)


def test_tied_weights_are_kept_too(tmp_path) -> None:
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(PIXELS, PIXELS)
            self.other, self.last = nn.Linear(PIXELS, PIXELS), nn.Linear(PIXELS, CLASSES)
            self.other.weight = self.one.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.other(self.one(x.flatten(1))))

    asked = ASKED | {"batch_sizes": [48], "max_epochs": 1, "settings": Settings(**vars(FAST) | {"repeats": 1})}
    found, again = (search(Tied, linear, PARTS, **asked, checkpoint=tmp_path) for _ in range(2))
    pd.testing.assert_frame_equal(found.cost, again.cost)


def test_an_optimiser_of_ones_own(monkeypatch) -> None:
    """The named one and the same one as a function train alike; students are then not stacked."""
    asked = ASKED | {"batch_sizes": [48], "max_epochs": 2}
    own = functools.partial(torch.optim.Adam, lr=FAST.student_rate, eps=1e-7)
    tables = [
        search(known(*WINDOW), linear, PARTS, settings=Settings(**vars(FAST) | changes), **asked).table
        for changes in ({}, {"optimizer": own})
    ]
    pd.testing.assert_frame_equal(*tables, rtol=0.02)


def test_a_checkpoint_knows_an_optimiser_of_ones_own_by_its_settings(tmp_path) -> None:
    asked = ASKED | {"batch_sizes": [48], "max_epochs": 1}
    for rate, folders in ((0.01, 1), (0.01, 1), (0.02, 2)):
        own = lambda parameters, rate=rate: torch.optim.SGD(parameters, lr=rate)
        settings = Settings(**vars(FAST) | {"repeats": 1, "optimizer": own})
        search(linear, linear, PARTS, **asked, settings=settings, checkpoint=tmp_path)
        assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == folders
    wrong = Settings(**vars(FAST) | {"optimizer": lambda parameters: None})
    with pytest.raises(UserError, match=r"optimizer must return a torch\.optim\.Optimizer; it returned a NoneType"):
        search(linear, linear, PARTS, **asked, settings=wrong)


# What it draws


def test_the_map_shows_the_probes_the_recommended_cell_and_the_controls(found, monkeypatch) -> None:
    looks = dict(matplotlib.rcParams)
    figure = found.plot()
    assert dict(matplotlib.rcParams) == looks, "other figures keep theirs"
    with monkeypatch.context() as notebook:  # whose first figure turns on that figures are shown, all of them
        theme = plots.use_theme
        notebook.setattr(plots, "use_theme", lambda: (theme(), matplotlib.interactive(True)))
        plt.close(found.plot())
        assert matplotlib.is_interactive()
        matplotlib.interactive(False)
    left, right = figure.axes[:2]
    shown = left.images[0].get_array()
    assert shown.shape == (3, 8), "batch sizes by epochs"
    taught = found.cells[found.cells["response"] == "teacher"].set_index(["batch_size", "epochs"])
    assert float(shown[1, 4]) == pytest.approx(100 * taught.loc[(48, 5), "probe"])
    assert bool(np.ma.getmaskarray(np.ma.masked_invalid(shown))[2, 2:].all()), "240 stopped after two epochs"
    assert float(right.images[0].get_array()[0, 1]) == pytest.approx(100 * taught.loc[(24, 2), "teacher_accuracy"])
    stars = [c for c in left.collections if c.get_label() == "recommended"]
    assert stars[0].get_offsets().tolist() == [[1, 0]], "epoch 2, the smallest batch"
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"recommended", "within noise", "behind", "hard labels alone", "uniform response"} == labels
    low, high = left.images[0].get_clim()
    by = found.cells.set_index("response")["probe"]
    assert low < 100 * by["hard labels"] < high and low < 100 * by["uniform"] < high


def test_a_map_of_nothing_says_so() -> None:
    empty = pd.DataFrame(columns=sweetspot.CELL_COLUMNS)
    assert plots.NOT_YET in [t.get_text() for t in plots.sweet_spot_map(empty, "digits").axes[0].texts]


def test_image_sets_of_the_project_are_data() -> None:
    images, labels = torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6) % 2
    found = tensors(ImageSet(images, labels, ("a", "b"), "mine"))
    assert torch.equal(found[0], images) and torch.equal(found[1], labels)
