"""Everything that a user may give and must not: one table of calls, commands and parameters, with what each is told.

Each message is one line that says what was wrong, what is allowed and the nearest valid name where there is one. It
comes before anything is read, trained or written. What only one function refuses, and why, stands with its other tests.
"""

import json
import math
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from conftest import ROOT, load_book_builder
from torch import nn

from kdutils import (
    data,
    errors,
    fleet,
    guides,
    losses,
    models,
    projection,
    protocols,
    published,
    records,
    response,
    sweetspot,
    training,
)
from kdutils.errors import UserError
from kdutils.experiments import Study

builder = load_book_builder()
INF, NAN = math.inf, math.nan
HUGE = "x" * 10_000
LOGITS, LABELS = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
CPU = torch.device("cpu")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no data, no cache and no records, where reading data, training and building fail the test."""
    for owner, name in (
        (data, "_official"),
        (sweetspot._Search, "train"),
        (builder, "replicate"),
        (fleet, "distil_one"),
    ):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("work was started"))
    for name in ("KDUTILS_DATA", "KDUTILS_CACHE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(text: str) -> str:
    """A message, in full; "…" stands for anything."""
    return ".*".join(map(re.escape, text.split("…")))


# ------------------------------------------------------------------ Python


def eq_4(**changes: object) -> Callable:
    given = {"student_logits": LOGITS, "teacher_logits": LOGITS, "labels": LABELS, "temperature": 9, "alpha": 0.9}
    return lambda: losses.distillation_loss(**given | changes)


def student(**changes: object) -> Callable:
    usual = {
        "dataset": "digits",
        "data": "",
        "seed": 0,
        "train_size": None,
        "batch_size": 16,
        "epochs": 1,
        "teacher": "a",
    }
    return lambda: protocols.StudentProtocol(
        **usual | {"teacher_epoch": 1, "missing_class": None, "temperature": 9.0} | changes
    )


def teacher(**changes: object) -> Callable:
    usual = {"dataset": "digits", "data": "", "role": "teacher-small", "seed": 0, "train_size": None, "batch_size": 32}
    return lambda: protocols.TeacherProtocol(**usual | changes)


def search(**changes: object) -> Callable:
    factory = lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    images = torch.zeros(30, 1, 2, 2, dtype=torch.uint8), torch.arange(30) % 3
    given = {"batch_sizes": [4], "max_epochs": 1, "temperature": 4.0, "alpha": 0.9, "device": "cpu"}
    settings = {name: changes.pop(name) for name in list(changes) if name in sweetspot.Settings.__dataclass_fields__}
    given |= {"settings": sweetspot.Settings(**settings)} | changes
    return lambda: sweetspot.search(factory, factory, images, **given)


def plane(classes: object = (0, 1, 2), features: object = None) -> Callable:
    features = torch.randn(5, 4) if features is None else features
    return lambda: projection.penultimate_projection(features, torch.randn(3, 4), torch.randn(3), classes)


def of(function: Callable, *arguments: object, **options: object) -> Callable:
    return lambda: function(*arguments, **options)


PYTHON = {
    # losses
    "T a bool": (eq_4(temperature=True), "temperature must be a number in (0, inf); got True"),
    "T nothing": (eq_4(temperature=None), "temperature must be a number in (0, inf); got None"),
    "T text": (eq_4(temperature="9"), "temperature must be a number in (0, inf); got '9'"),
    "T zero": (eq_4(temperature=0), "temperature must be a number in (0, inf); got 0"),
    "T negative": (eq_4(temperature=-1.5), "temperature must be a number in (0, inf); got -1.5"),
    "T NaN": (eq_4(temperature=NAN), "temperature must be a number in (0, inf); got nan"),
    "T infinite": (eq_4(temperature=INF), "temperature must be a number in (0, inf); got inf"),
    "alpha NaN": (eq_4(alpha=NAN), "alpha must be a number in [0, 1]; got nan"),
    "alpha in percent": (eq_4(alpha=99), "alpha must be a number in [0, 1]; got 99"),
    "alpha negative": (eq_4(alpha=-0.1), "alpha must be a number in [0, 1]; got -0.1"),
    "alpha a bool": (eq_4(alpha=False), "alpha must be a number in [0, 1]; got False"),
    "T² half": (eq_4(scale_by_t2=0.5), "scale_by_t2 must be True or False; got 0.5"),
    "T² text": (eq_4(scale_by_t2="no"), "scale_by_t2 must be True or False; got 'no'"),
    "logits a list": (eq_4(student_logits=[[0.0, 1.0]]), "logits must be a floating-point tensor (..., N, C); got a list"),
    "logits nothing": (eq_4(teacher_logits=None), "logits must be a floating-point tensor (..., N, C); got a NoneType"),
    "logits images": (eq_4(teacher_logits=LOGITS.byte()), "logits must be a floating-point tensor (..., N, C); got torch.uint8 (4, 3)"),
    "no classes": (eq_4(student_logits=torch.zeros(4, 0)), "logits must be a floating-point tensor (..., N, C); got torch.float32 (4, 0)"),
    "other classes": (eq_4(teacher_logits=LOGITS[:, :2]), "logits disagree in shape: student (4, 3), teacher (4, 2)"),
    "labels a list": (eq_4(labels=[0, 1, 2, 0]), "labels must be a tensor of integers; got a list"),
    "labels one hot": (eq_4(labels=torch.eye(3)[LABELS]), "labels must be integers for examples (4,); got torch.float32 (4, 3)"),
    "labels from 1": (eq_4(labels=LABELS + 1), "labels must lie in 0..2; got 1..3"),
    "smoothing, logits a list": (of(losses.label_smoothing_loss, [[1.0]], LABELS, 0.6), "logits must be a floating-point tensor (..., N, C); got a list"),
    "smoothing, alpha text": (of(losses.label_smoothing_loss, LOGITS, LABELS, "0.6"), "alpha must be a number in [0, 1]; got '0.6'"),
    "targets, no classes": (of(losses.label_smoothing_targets, LABELS, 0, 0.6), "num_classes must be a whole number of at least 1; got 0"),
    "targets, 10.0 classes": (of(losses.label_smoothing_targets, LABELS, 10.0, 0.6), "num_classes must be a whole number of at least 1; got 10.0"),
    "virtual, one class": (of(losses.virtual_teacher_logits, LABELS * 0, 1), "num_classes must be a whole number of at least 2; got 1"),
    "virtual, certain": (of(losses.virtual_teacher_logits, LABELS, 3, 1.0), "correct must be a number in (0, 1); got 1.0"),
    "beta negative": (of(losses.decoupled_losses, LOGITS, LOGITS, LABELS, temperature=4, alpha=0.5, beta=-1), "beta must be a number in [0, inf); got -1"),
    "decoupled, one class": (
        of(losses.decoupled_losses, LOGITS[:, :1], LOGITS[:, :1], LABELS * 0, temperature=4, alpha=0.5),
        "the number of classes, whose others are what NCKD compares, must be a whole number of at least 2; got 1",
    ),
    "residual of other classes": (of(losses.residual_logits, LOGITS, LOGITS[:, :2]), "T and S must have one shape; got (4, 3), (4, 2)"),
    "beta without end": (of(losses.decoupled_losses, LOGITS, LOGITS, LABELS, temperature=2, alpha=0.5, beta=math.inf), "beta must be a number in [0, inf); got inf"),
    "residual of a list": (of(losses.residual_logits, LOGITS, [1.0]), "logits must be a floating-point tensor (..., N, C); got a list"),
    "unknown loss": (of(losses.losses_by_member, ["logit"], CPU), "unknown loss 'logit' (did you mean 'logits'?); allowed: logits, decoupled, standardised"),
    # response
    "response, T a bool": (of(response.entropy, LOGITS, True), "temperature must be a number in (0, inf); got True"),
    "response, T infinite": (of(response.soft_labels, LOGITS, INF), "temperature must be a number in (0, inf); got inf"),
    "logits text": (of(response.soft_labels, "logits", 9), "logits must be a tensor or array of numbers (N, C); got a str"),
    "logits ragged": (of(response.entropy, [[1.0, 2.0], [3.0]], 9), "logits must be a tensor or array of numbers (N, C); got a list"),
    "logits complex": (of(response.entropy, LOGITS * 1j, 9), "logits must be (N, C); got torch.complex64 (4, 3)"),
    "logits of one example": (of(response.entropy, LOGITS[0], 9), "logits must be (N, C); got torch.float32 (3,)"),
    "logits NaN": (of(response.entropy, LOGITS * NAN, 9), "some logits are not finite (NaN, inf, or all of an example's -inf): they have no soft labels"),
    "logits infinite": (of(response.soft_labels, LOGITS + INF, 9), "some logits are not finite…"),
    "logits all -inf": (of(response.soft_labels, LOGITS - INF, 9), "some logits are not finite…"),
    "move from T = 0": (of(response.at_temperature, LOGITS + 1 / 3, 0, 9), "of must be a number in (0, inf); got 0"),
    "move logits": (of(response.at_temperature, LOGITS - 5, 9, 3), "soft labels must lie in [0, 1] (were logits given?)"),
    "variance of logits": (of(response.response_variance, LOGITS - 5, LABELS), "soft labels must lie in [0, 1] (were logits given?)"),
    "variance of one example": (of(response.response_variance, LOGITS[:1], LABELS[:1]), "column-wise variance needs 2 examples a class; class 0 has 1"),
    "counterfeit's name": (of(response.counterfeit, LOGITS, LABELS, "permutted", temperature=9), "unknown counterfeit 'permutted' (did you mean 'permuted'?); allowed: permuted, permuted by class, class mean, even"),
    "counterfeit of one class": (of(response.counterfeit, LOGITS[:, :1], LABELS * 0, "even", temperature=9), "the number of classes must be a whole number of at least 2; got 1"),
    "counterfeit's seed": (of(response.counterfeit, LOGITS, LABELS, "permuted", temperature=9, seed="1"), "seed must be a whole number of at least 0; got '1'"),
    "bias of many sets": (of(response.best_bias, LOGITS[None], LABELS[None], 0), "logits must be (N, C); got (1, 4, 3)"),
    "bias of no class": (of(response.best_bias, LOGITS, LABELS, 3), "category must be a whole number from 0 to 2; got 3"),
    "bias without examples": (of(response.best_bias, LOGITS[:0], LABELS[:0], 0), "a bias needs examples, two classes and finite logits; got logits (0, 3)"),
    "labels by name": (of(response.confidence_labels, LOGITS, ["a", "b", "c", "d"], 9), "labels must be class indices, whole numbers, not these of type list"),
    "bias of other labels": (of(response.best_bias, LOGITS, LABELS[:2], 0), "labels must be class indices of shape (4,); got torch.int64 (2,)"),
    "selection's name": (of(response.select_examples, LOGITS, LABELS, 1, selection="hihgest"), "unknown selection 'hihgest' (did you mean 'highest'?); allowed: highest, lowest, random"),
    "selection of none": (of(response.select_examples, LOGITS, LABELS, 0, selection="lowest"), "per_class must be a whole number of at least 1; got 0"),
    "selection of True": (of(response.select_examples, LOGITS, LABELS, True, selection="lowest"), "per_class must be a whole number of at least 1; got True"),
    "selection from few": (of(response.select_examples, LOGITS, LABELS, 2, selection="lowest"), "too few examples to take 2 of each class: class 1 has 1"),
    "selection by floats": (of(response.select_examples, LOGITS, LABELS / 2, 1, selection="lowest"), "labels must be class indices (N,); got torch.float32 (4,)"),
    "selection without logits": (of(response.select_examples, None, LABELS, 1, selection="lowest"), "selection 'lowest' needs the teacher's logits, one row for each label"),
    # projection
    "two classes": (plane((0, 1)), "a plane needs three different classes in 0..2; got [0, 1]"),
    "a half class": (plane((0, 1, 1.5)), "a plane needs three different classes in 0..2; got (0, 1, 1.5)"),
    "classes by name": (plane("012"), "a plane needs three different classes in 0..2; got '012'"),
    "no plane": (plane(None), "a plane needs three different classes in 0..2; got None"),
    "features NaN": (plane(features=torch.full((5, 4), NAN)), "only tensors of finite numbers can be projected; got NaN or inf"),
    "features a list": (plane(features=[[1.0]]), "only tensors of finite numbers can be projected; got a list"),
    "points infinite": (of(projection.scatter, torch.full((4, 2), INF), LABELS), "only tensors of finite numbers can be projected; got NaN or inf"),
    # models and data
    "model's data": (of(models.create_model, "fashion-mnist", "student"), "unknown dataset 'fashion-mnist' (did you mean 'fashion_mnist'?); allowed: mnist, fashion_mnist, cifar10, digits"),
    "model's role": (of(models.create_model, "mnist", "techer-large"), "unknown role 'techer-large' (did you mean 'teacher-large'?); allowed: teacher-large, teacher-small, student, student-baseline"),
    "model's variant": (of(models.create_model, "mnist", "student", variant="dens"), "unknown variant 'dens' (did you mean 'dense'?); allowed: table7, …"),
    "model's variant nothing": (of(models.create_model, "mnist", "student", variant=None), "unknown variant None; allowed: table7, …"),
    "dropout of all": (of(models.create_model, "mnist", "student", dropout=1), "dropout must be a number in [0, 1); got 1"),
    "dropout NaN": (of(models.create_model, "mnist", "student", dropout=NAN), "dropout must be a number in [0, 1); got nan"),
    "model's seed": (of(models.create_model, "mnist", "student", seed=-1), "seed must be a whole number from 0 to 18446744073709551615; got -1"),
    "operations' data": (of(models.count_multiply_adds, nn.Linear(1, 1), "minst"), "unknown dataset 'minst' (did you mean 'mnist'?); allowed: mnist, fashion_mnist, cifar10, digits"),
    "data's name": (of(data.load_dataset, "../../etc/passwd", "train"), "unknown dataset '../../etc/passwd'; allowed: mnist, fashion_mnist, cifar10, digits"),
    "data's split": (of(data.load_dataset, "mnist", "valid"), "unknown split 'valid'…; allowed: train, validation, test"),
    "data's name nothing": (of(data.load_dataset, None, "train"), "unknown dataset None; allowed: mnist, fashion_mnist, cifar10, digits"),
    "data root a file": (of(data.load_dataset, "mnist", "train", __file__), f"data root (root, or KDUTILS_DATA) must be a folder; {__file__!r} cannot be one: it is a file"),
    "data root too long": (of(data.load_dataset, "mnist", "train", HUGE), "data root (root, or KDUTILS_DATA) must be a folder; 'xxx… cannot be one: File name too long"),
    "data root a number": (of(data.load_dataset, "mnist", "train", 3), "data root (root, or KDUTILS_DATA) must be a folder; 3 cannot be one: …"),
    # training, fleets, protocols
    "device misspelt": (of(training.resolve_device, "cudo"), "unknown device 'cudo' (did you mean 'cuda'?); allowed: auto, cpu, cuda, cuda:0"),
    "device empty": (of(training.resolve_device, ""), "unknown device ''; allowed: auto, cpu, cuda, cuda:0"),
    "device nothing": (of(training.resolve_device, None), "unknown device None; allowed: auto, cpu, cuda, cuda:0"),
    "device absent": (of(training.resolve_device, "cuda:99"), "device 'cuda:99' is not there: … CUDA devices found; 'cpu' always is"),
    "device of no use": (of(training.resolve_device, "meta"), "device 'meta' is not supported; allowed: auto, cpu, cuda"),
    "optimizer": (of(training.make_optimizer, nn.Linear(1, 1), "adamw", 0.1), "unknown optimizer 'adamw'…; allowed: adam, sgd"),
    "no epochs": (lambda: training.train_teacher(teacher()(), 0, device=CPU), "epochs must be a whole number of at least 1; got 0"),
    "epochs text": (lambda: training.train_teacher(teacher()(), "5", device=CPU), "epochs must be a whole number of at least 1; got '5'"),
    "an epoch not kept": (lambda: training.train_teacher(teacher()(), 11, device=CPU), "the response after epoch 11 is not kept; the next one that is: 15"),
    "one alpha for each": (
        lambda: losses.label_smoothing_targets(torch.tensor([0, 1]), 2, torch.tensor([0.1, 0.2])),
        "alpha must be a number in [0, 1]; got tensor([0.1000, 0.2000])",
    ),
    "examples without a selection": (
        lambda: protocols.StudentProtocol(
            dataset="digits", data="", seed=0, train_size=None, batch_size=8, epochs=1, teacher="mine",
            teacher_epoch=1, missing_class=None, temperature=9.0, examples=5,
        ),
        "examples and selection go together: how many of each class, and which",
    ),
    "no members": (lambda: fleet.distil([], None, {}, None, None, CPU), "a fleet needs a member and an image to learn from, at least"),
    "teacher's batch": (teacher(batch_size=0), "batch_size must be a whole number of at least 1; got 0"),
    "teacher's rate": (teacher(learning_rate=NAN), "learning_rate must be a number in (0, inf); got nan"),
    "teacher's precision": (teacher(precision="bf16"), "unknown precision 'bf16'…; allowed: float32, bfloat16"),
    "student's T": (student(temperature=-9.0), "temperature must be a number in (0, inf); got -9.0"),
    "student's alpha": (student(alpha=1.5), "alpha must be a number in [0, 1]; got 1.5"),
    "student's class": (student(missing_class=10), "missing_class must be a whole number from 0 to 9; got 10"),
    "student's data": (student(dataset="minst"), "unknown dataset 'minst' (did you mean 'mnist'?); allowed: mnist, fashion_mnist, cifar10, digits"),
    "student's epochs": (student(epochs=None), "epochs must be a whole number of at least 1; got None"),
    "student's selection": (student(selection="high"), "unknown selection 'high'…; allowed: highest, lowest, random"),
    # records, published numbers, guides
    "record's name": (of(records.load, "missing-class"), "unknown table of records 'missing-class' (did you mean 'missing_class'?); allowed: missing_class, few_examples, …"),
    "record's path": (of(records.load, "../../runs"), "unknown table of records '../../runs'…; allowed: missing_class, …"),
    "records in a file": (of(records.load, "runs", __file__), f"results must be a folder; {__file__!r} cannot be one: it is a file"),
    "records nowhere": (of(records.load, "runs", "a\0b"), "results must be a folder; 'a\\x00b' cannot be one: embedded null byte"),
    "records of nobody": (of(records.load, "runs", "~nobody-of-this-name/x"), "results must be a folder; '~nobody-of-this-name/x' cannot be one: Could not determine home directory."),
    "records added": (of(records.add, "curvs", [{}]), "unknown table of records 'curvs' (did you mean 'curves'?); allowed: missing_class, …"),
    "published name": (of(published.load, "missing_clas"), "unknown published table 'missing_clas' (did you mean 'missing_class'?); allowed: missing_class, soft_labels, networks, statements, tutorial"),
    "published path": (of(published.load, "/etc/passwd"), "unknown published table '/etc/passwd'; allowed: missing_class, soft_labels, networks, statements, tutorial"),
    "guide's column": (lambda: guides.rank_correlations(pd.DataFrame({"dataset": ["a"]}), "entropi"), "no column 'entropi'; there are: dataset"),
    # sweetspot.search: numbers; networks and data are in test_sweetspot.py
    "search, T": (search(temperature=NAN), "temperature must be a number in (0, inf); got nan"),
    "search, T a bool": (search(temperature=True), "temperature must be a number in (0, inf); got True"),
    "search, alpha": (search(alpha=0), "alpha, the soft term's weight, must be a number in (0, 1]; got 0"),
    "search, budget": (search(budget=NAN), "budget, in example-passes, must be a number in (0, inf]; got nan"),
    "search, batch size": (search(batch_sizes=[True]), "a batch size must be a whole number of at least 1; got True"),
    "search, no batch sizes": (search(batch_sizes=[]), "batch_sizes must be a list of whole numbers; got []"),
    "search, one batch size": (search(batch_sizes=24), "batch_sizes must be a list of whole numbers; got 24"),
    "search, half a batch": (search(batch_sizes=[2.5]), "a batch size must be a whole number of at least 1; got 2.5"),
    "search, epochs": (search(max_epochs=0), "max_epochs must be a whole number of at least 1; got 0"),
    "search, repeats": (search(repeats=0), "repeats must be a whole number of at least 1; got 0"),
    "search, batch sizes": (search(batch_sizes="256"), "batch_sizes must be a list of whole numbers; got '256'"),
    "search, seed": (search(seed=1.5), "seed must be a whole number of at least 0; got 1.5"),
    "search, rate": (search(teacher_rate=-1e-3), "teacher_rate must be a number in (0, inf); got -0.001"),
    "search, rate NaN": (search(student_rate=NAN), "student_rate must be a number in (0, inf); got nan"),
    "search, optimizer": (search(optimizer="adm"), "unknown optimizer 'adm' (did you mean 'adam'?); allowed: adam, sgd"),
    "search, unseen": (search(unseen=("cat",)), "an unseen class must be a whole number of at least 0; got 'cat'"),
    "search, unseen twice": (search(unseen=(3, 3)), "unseen must be a tuple of different classes; got (3, 3)"),
    "search, one unseen": (search(unseen=3), "unseen must be a tuple of different classes; got 3"),
    "search, T²": (search(scale_by_t2="no"), "scale_by_t2 must be True or False; got 'no'"),
    "search, settings": (search(settings={"repeats": 2}), "settings must be sweetspot.Settings(…); got a dict"),
    "search, device": (search(device="gpu"), "unknown device 'gpu'…; allowed: auto, cpu, cuda, cuda:0"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), PYTHON.values(), ids=PYTHON)
def test_a_call(bare, call: Callable, message: str) -> None:
    with pytest.raises(UserError) as error:
        call()
    assert re.fullmatch(said(message), str(error.value)), str(error.value)
    assert isinstance(error.value, ValueError) and list(bare.rglob("*")) == []


# ------------------------------------------------------------------ notebooks' parameters

NAMES = "mnist, fashion_mnist, cifar10, digits"
WHOLE = "seeds (0: the profile's own) must be a whole number from 0 to 99; got"
PARAMETERS = [
    ({"profile": "papr"}, "unknown profile 'papr' (did you mean 'paper'?); allowed: paper, cpu, smoke"),
    ({"profile": 3}, "unknown profile 3; allowed: paper, cpu, smoke"),
    ({"profile": None}, "unknown profile None; allowed: paper, cpu, smoke"),
    ({"profile": ["paper"]}, "unknown profile ['paper'] (did you mean 'paper'?); allowed: paper, cpu, smoke"),
    ({"profile": "smoke; rm -rf ~"}, "unknown profile 'smoke; rm -rf ~'…; allowed: paper, cpu, smoke"),
    ({"profile": "$(touch marker)"}, "unknown profile '$(touch marker)'; allowed: paper, cpu, smoke"),
    ({"profile": "../../paper"}, "unknown profile '../../paper'…; allowed: paper, cpu, smoke"),
    ({"profile": "paper\nsmoke"}, r"unknown profile 'paper\nsmoke'…; allowed: paper, cpu, smoke"),
    ({"profile": HUGE}, "unknown profile 'xxx… … …xxx'; allowed: paper, cpu, smoke"),
    ({"profile": "ｐａｐｅｒ"}, "unknown profile 'ｐａｐｅｒ'; allowed: paper, cpu, smoke"),
    ({"datasets": "minst"}, f"unknown dataset 'minst' (did you mean 'mnist'?); allowed: {NAMES}"),
    ({"datasets": ["mnist", "cifar"]}, f"unknown dataset 'cifar' (did you mean 'cifar10'?); allowed: {NAMES}"),
    ({"datasets": []}, f"datasets must be a list of names, not []; allowed: {NAMES}"),
    ({"datasets": None}, f"datasets must be a list of names, not None; allowed: {NAMES}"),
    ({"datasets": 3}, f"datasets must be a list of names, not 3; allowed: {NAMES}"),
    ({"datasets": {"mnist": 1}}, f"datasets must be a list of names, not {{'mnist': 1}}; allowed: {NAMES}"),
    ({"datasets": [3]}, f"unknown dataset 3; allowed: {NAMES}"),
    ({"datasets": [["mnist"]]}, f"unknown dataset ['mnist'] (did you mean 'mnist'?); allowed: {NAMES}"),
    ({"datasets": "mnist,cifar10"}, f"unknown dataset 'mnist,cifar10' …allowed: {NAMES}"),
    ({"seeds": True}, f"{WHOLE} True"),
    ({"seeds": -1}, f"{WHOLE} -1"),
    ({"seeds": 100}, f"{WHOLE} 100"),
    ({"seeds": 1.0}, f"{WHOLE} 1.0"),
    ({"seeds": NAN}, f"{WHOLE} nan"),
    ({"seeds": "3"}, f"{WHOLE} '3'"),
    ({"seeds": [0, 1]}, f"{WHOLE} [0, 1]"),
    ({"seeds": None}, f"{WHOLE} None"),
    ({"compute": "mising"}, "unknown compute 'mising' (did you mean 'missing'?); allowed: never, missing, always"),
    ({"compute": True}, "unknown compute True; allowed: never, missing, always"),
    ({"device": "cuda:77"}, "device 'cuda:77' is not there: … CUDA devices found; 'cpu' always is"),
    ({"device": "tpuu"}, "unknown device 'tpuu'…; allowed: auto, cpu, cuda, cuda:0"),
    ({"device": None}, "unknown device None; allowed: auto, cpu, cuda, cuda:0"),
    ({"device": "cpu; touch marker"}, "unknown device 'cpu; touch marker'; allowed: auto, cpu, cuda, cuda:0"),
    ({"results": 5}, "results must be a folder; 5 cannot be one: …"),
    ({"results": None}, "results must be a folder; None cannot be one: …"),
    ({"results": HUGE}, "results must be a folder; 'xxx…xxx' cannot be one: File name too long"),
    ({"results": __file__}, f"results must be a folder; {__file__!r} cannot be one: it is a file"),
    ({"profil": ("smoke",)}, "unknown parameter 'profil' (did you mean 'profile'?); allowed: profile, …"),
    ({"result": Path("x")}, "unknown parameter 'result' (did you mean 'results'?); allowed: profile, …"),
    ({"compute": ("never",)}, "unknown compute ('never',) (did you mean 'never'?); allowed: never, missing, always"),
    ({"profil": "smoke"}, "unknown parameter 'profil' (did you mean 'profile'?); allowed: profile, datasets, seeds, compute, device, results"),
    ({"dataset": "mnist"}, "unknown parameter 'dataset' (did you mean 'datasets'?); allowed: profile, …"),
    ({"Seeds": 3}, "unknown parameter 'Seeds' (did you mean 'seeds'?); allowed: profile, …"),
    ({"result": "x"}, "unknown parameter 'result' (did you mean 'results'?); allowed: profile, …"),
    ({"root": "/"}, "unknown parameter 'root'…; allowed: profile, …"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), PARAMETERS, ids=lambda value: f"{value}"[:40])
def test_a_parameter(bare, given: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        Study.from_parameters(given)
    assert re.fullmatch(said(message), str(error.value)), str(error.value)
    assert list(bare.rglob("*")) == []


def test_a_page_may_have_parameters_of_its_own() -> None:
    own = ("batch_sizes", "seed")
    assert Study.from_parameters({"profile": "smoke", "batch_sizes": [4], "seed": 3}, own) == Study("smoke")
    with pytest.raises(UserError, match=r"unknown parameter 'batch_size' \(did you mean 'batch_sizes'\?\)"):
        Study.from_parameters({"batch_size": [4], "seed": 3}, own)


def test_a_mistyped_folder_of_results_is_not_an_empty_one(tmp_path: Path) -> None:
    absent = {"results": str(tmp_path / "reslts")}
    with pytest.raises(
        UserError, match="there is no folder '.*reslts' to read results from, and compute 'never' makes none"
    ):
        Study.from_parameters(absent)
    assert Study.from_parameters(absent | {"compute": "missing"}).results == absent["results"]
    assert Study.from_parameters({"results": str(tmp_path)}).compute == "never"


@pytest.mark.parametrize(
    ("notebook", "given", "message"),
    [
        ("01_introduction", {"datasets": ["minst"]}, f"unknown dataset 'minst' (did you mean 'mnist'?); allowed: {NAMES}"),
        ("08_your_own_pair", {"wrong_labels": 2.5}, "wrong_labels must be a number in [0, 1]; got 2.5"),
    ],
)  # fmt: skip
def test_a_parameter_through_papermill(tmp_path: Path, monkeypatch, notebook: str, given: dict, message: str) -> None:
    """The first cell after the parameters refuses it; nothing else of the page is executed."""
    path, out = ROOT / "notebooks" / f"{notebook}.ipynb", tmp_path / "out.ipynb"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [
        sys.executable,
        "-m",
        "papermill",
        path,
        out,
        "--parameters_yaml",
        json.dumps(given),
        "--cwd",
        ROOT / "notebooks",
    ]
    options = ["--kernel", "python3", "--no-progress-bar", "--start-timeout", "300"]
    done = subprocess.run([*map(str, command), *options], check=False, capture_output=True, text=True)
    assert done.returncode == 1 and f"UserError: {message}\n" in done.stderr, done.stderr[-2_000:]
    cells = [cell for cell in nbformat.read(out, 4).cells if cell.cell_type == "code"]
    failed = [n for n, cell in enumerate(cells) if any(o.output_type == "error" for o in cell.outputs)]
    assert len(failed) == 1 and not any(cell.execution_count for cell in cells[failed[0] + 1 :])


# ------------------------------------------------------------------ the command line

OPTIONS = "-h, --help, "
SEARCH = ["sweetspot", "--dataset", "mnist"]
COMMANDS = [
    (["run", "tabel4"], "unknown table or figure 'tabel4' (did you mean 'table4'?); allowed: fig1, …"),
    (["run", "table4", "fig33"], "unknown table or figure 'fig33' (did you mean 'fig3'?); allowed: fig1, …"),
    (["run", "table4; touch marker"], "unknown table or figure 'table4; touch marker'…; allowed: fig1, …"),
    (["run", "$(touch marker)"], "unknown table or figure '$(touch marker)'; allowed: fig1, …"),
    (["run", "../../etc/passwd"], "unknown table or figure '../../etc/passwd'; allowed: fig1, …"),
    (["run", "table4\nTraceback"], r"unknown table or figure 'table4\nTraceback'…; allowed: fig1, …"),
    (["run", HUGE], "unknown table or figure 'xxx… … …; allowed: fig1, …"),
    (["run", "tâble4"], "unknown table or figure 'tâble4' (did you mean 'table4'?); allowed: fig1, …"),
    (["run", ""], "unknown table or figure ''; allowed: fig1, …"),
    (["run", "table4", "--profile", "somke"], "unknown profile 'somke' (did you mean 'smoke'?); allowed: paper, cpu, smoke"),
    (["run", "table4", "--profile", ""], "unknown profile ''; allowed: paper, cpu, smoke"),
    (["status", "--profile", "papre"], "unknown profile 'papre' (did you mean 'paper'?); allowed: paper, cpu, smoke"),
    (["run", "table4", "--datasets", "minst"], f"unknown dataset 'minst' (did you mean 'mnist'?); allowed: {NAMES}"),
    (["status", "--datasets", "digit"], f"unknown dataset 'digit' (did you mean 'digits'?); allowed: {NAMES}"),
    (["run", "table4", "--datasets", "mnist,digits"], f"unknown dataset 'mnist,digits'…; allowed: {NAMES}"),
    (["run", "table4", "--datasets", "cifar10"], "table4 is not shown for cifar10; allowed: mnist, digits"),
    (["run", "table4", "--datasets"], "argument --datasets: expected at least one argument; see: python -m kdutils run --help"),
    (["run", "table4", "--device", "cpuu"], "unknown device 'cpuu' (did you mean 'cpu'?); allowed: auto, cpu, cuda, cuda:0"),
    (["run", "table4", "--device", "cuda:64"], "device 'cuda:64' is not there: … CUDA devices found; 'cpu' always is"),
    (["status", "--device", "cuda:64"], "device 'cuda:64' is not there: …"),
    (["run", "table4", "--seeds", "many"], "argument --seeds: invalid int value: 'many'; see: python -m kdutils run --help"),
    (["run", "table4", "--seeds", "1.5"], "argument --seeds: invalid int value: '1.5'; see: python -m kdutils run --help"),
    (["run", "table4", "--seeds", "nan"], "argument --seeds: invalid int value: 'nan'; see: python -m kdutils run --help"),
    (["run", "table4", "--seeds", "-1"], f"{WHOLE} -1"),
    (["run", "table4", "--seeds", "9" * 5_000], "argument --seeds: invalid int value: '999… … …999'; see: python -m kdutils run --help"),
    (["run", "table4", "--results", __file__], f"results must be a folder; {__file__!r} cannot be one: it is a file"),
    (["status", "--results", HUGE], "results must be a folder; 'xxx…xxx' cannot be one: File name too long"),
    (["run", "table4", "--results", "~nobody-of-this-name"], "results must be a folder; '~nobody-of-this-name' cannot be one: Could not determine home directory."),
    (["run"], "the following arguments are required: ARTEFACT; see: python -m kdutils run --help"),
    (["rum"], "unknown command 'rum' (did you mean 'run'?); allowed: list, seal, status, run, sweetspot"),
    ([], "the following arguments are required: command; see: python -m kdutils --help"),
    (["list", "--sedes", "3"], "unknown option '--sedes'; allowed: -h, --help"),
    (["run", "table4", "--sedes=3"], f"unknown option '--sedes' (did you mean '--seeds'?); allowed: {OPTIONS}--afresh, --dask, --profile, --datasets, --seeds, …"),
    (["status", "--\x1b[2J"], "unknown option '--\\x1b[2J'; allowed: …"),
    (["list", "all\nof"], "unrecognized arguments: all of; see: python -m kdutils --help"),
    (["sweetspot"], "the following arguments are required: --dataset; see: python -m kdutils sweetspot --help"),
    (["sweetspot", "--dataset", "minst"], f"unknown dataset 'minst' (did you mean 'mnist'?); allowed: {NAMES}"),
    ([*SEARCH, "--student", "students"], "unknown role 'students' (did you mean 'student'?); allowed: teacher-large, teacher-small, student, student-baseline"),
    ([*SEARCH, "--device", "cuda:64"], "device 'cuda:64' is not there: …"),
    ([*SEARCH, "--plot", "map.gif"], "--plot map.gif: it must end in .png or .pdf or .svg"),
    ([*SEARCH, "--plot", f"{HUGE}.png"], "--plot xxx…xxx.png: no file can be written there"),
    ([*SEARCH, "--csv", "no/where.csv"], "--csv no/where.csv: no file can be written there"),
    ([*SEARCH, "--train-size", "5"], "--train-size must be a whole number from 100 to 55000; got 5"),
    ([*SEARCH, "--train-size", "1000000"], "--train-size must be a whole number from 100 to 55000; got 1000000"),
    ([*SEARCH, "--eval-size", "20000"], "--eval-size must be a whole number from 100 to 5000; got 20000"),
    ([*SEARCH, "--batch-size", "64"], "unknown option '--batch-size' (did you mean '--batch-sizes'?)…"),
    (["run", "table5", "--profile", "smoke"], "table5 is not shown for digits; allowed: fashion_mnist"),
    ([*SEARCH, "--batch-sizes", "many"], "argument --batch-sizes: invalid int value: 'many'; see: python -m kdutils sweetspot --help"),
    ([*SEARCH, "--batch-sizes", "0"], "a batch size must be a whole number of at least 1; got 0"),
    ([*SEARCH, "--temperature", "nan"], "temperature must be a number in (0, inf); got nan"),
    ([*SEARCH, "--temperature", "inf"], "temperature must be a number in (0, inf); got inf"),
    ([*SEARCH, "--alpha", "-0.5"], "alpha, the soft term's weight, must be a number in (0, 1]; got -0.5"),
    ([*SEARCH, "--budget", "nan"], "budget, in example-passes, must be a number in (0, inf]; got nan"),
    ([*SEARCH, "--max-epochs", "0"], "max_epochs must be a whole number of at least 1; got 0"),
    ([*SEARCH, "--student-epochs", "0"], "student_epochs must be a whole number of at least 1; got 0"),
    ([*SEARCH, "--unseen", "-1"], "an unseen class must be a whole number of at least 0; got -1"),
    ([*SEARCH, "--seed", "-1"], "seed must be a whole number of at least 0; got -1"),
]  # fmt: skip
BUILD = [
    (["--profile", "smokey"], "unknown profile 'smokey' (did you mean 'smoke'?); allowed: paper, cpu, smoke"),
    (["--profile", '"; touch marker; "'], "unknown profile '\"; touch marker; \"'; allowed: paper, cpu, smoke"),
    (["--profile", "../../paper"], "unknown profile '../../paper'…; allowed: paper, cpu, smoke"),
    (["--datasets", "mnits"], f"unknown dataset 'mnits' (did you mean 'mnist'?); allowed: {NAMES}"),
    (["--datasets", "digits,"], f"unknown dataset ''; allowed: {NAMES}"),
    (["--datasets", "`touch marker`"], f"unknown dataset '`touch marker`'; allowed: {NAMES}"),
    (["--compute", "mising"], "unknown compute 'mising' (did you mean 'missing'?); allowed: never, missing, always"),
    (["--seeds", "three"], "seeds must be a whole number from 1 to 99; got 'three'"),
    (["--seeds", "0"], "seeds must be a whole number from 1 to 99; got '0'"),
    (["--seeds", "3\n"], r"seeds must be a whole number from 1 to 99; got '3\n'"),
    (["--seeds", "-1"], "seeds must be a whole number from 1 to 99; got '-1'"),
    (["--seeds", "٣"], "seeds must be a whole number from 1 to 99; got '٣'"),
    (["--device", "gpu"], "unknown device 'gpu'…; allowed: auto, cpu, cuda, cuda:0"),
    (["--device", "cuda:77"], "device 'cuda:77' is not there: … CUDA devices found; 'cpu' always is"),
    (["--device", ""], "unknown device ''; allowed: auto, cpu, cuda, cuda:0"),
    (["--profil"], "unknown option '--profil' (did you mean '--profile'?)…"),
]
BENCH = [
    (["--only", "carefull"], "unknown benchmark 'carefull' (did you mean 'careful'?); allowed: …"),
    (["--device", "$(touch marker)"], "unknown device '$(touch marker)'; allowed: auto, cpu, cuda, cuda:0"),
    (["--quick"], "--quick measures nothing worth keeping: give it a folder with --results"),
]


def kdutils(arguments: list[str]) -> None:
    sys.argv = ["kdutils", *arguments]
    runpy.run_module("kdutils", run_name="__main__", alter_sys=True)


def build(arguments: list[str]) -> None:
    errors.run_command(lambda: builder.main(["replicate", *arguments]))


def bench(arguments: list[str]) -> None:
    from tests.benchmarks.__main__ import main

    errors.run_command(lambda: main(arguments))


LINES = [(program, *case) for program, cases in ((kdutils, COMMANDS), (build, BUILD), (bench, BENCH)) for case in cases]


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    LINES,
    ids=[f"{of.__name__} {' '.join(given)[:50]!r}" for of, given, _ in LINES],
)
def test_a_command(bare, monkeypatch, capsys, program: Callable, arguments: list[str], message: str) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    with pytest.raises(SystemExit) as end:
        program(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == "" and len(err) < 1_300
    assert re.fullmatch(said(f"error: {message}\n"), err), err
    assert list(bare.rglob("*")) == [], "a refused command left something behind"


@pytest.mark.parametrize(
    "script", [["-m", "kdutils", "run", "tabel4"], ["book/build.py", "replicate", "--compute", "perhaps"]]
)
def test_a_process(script: list[str]) -> None:
    """The entry points themselves, as a shell starts them."""
    done = subprocess.run([sys.executable, *script], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(
        r"error: unknown (table or figure 'tabel4' .*|compute 'perhaps'; allowed: never, missing, always)\n",
        done.stderr,
    )


def test_there_are_cases_enough() -> None:
    assert len(PYTHON) + len(PARAMETERS) + len(LINES) >= 60
