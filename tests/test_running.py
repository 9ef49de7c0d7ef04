"""How fleets are run: split where memory does not hold them, and said so."""

import pytest
import torch

from kdutils import running
from kdutils.errors import UserError
from kdutils.experiments import Study
from kdutils.protocols import StudentProtocol


def students(count: int) -> list[StudentProtocol]:
    usual = {"dataset": "digits", "data": "x", "seed": 0, "train_size": None, "batch_size": 8, "epochs": 1}
    usual |= {"teacher": "a", "teacher_epoch": 1, "temperature": 9.0}
    return [StudentProtocol(**usual, missing_class=n) for n in range(count)]


def holding(capacity: int, made: list):
    """A stand-in for `distil` on a GPU whose memory holds so many members."""

    def distil(members, *given, **options):
        if len(members) > capacity:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        made.append(len(members))
        return [m.missing_class for m in members]

    return distil


def test_a_fleet_too_large_for_memory_is_split_in_order_and_says_how_many_fit(monkeypatch, capsys):
    made: list[int] = []
    monkeypatch.setattr(running, "distil", holding(3, made))
    assert running._distil_what_fits(students(10)) == list(range(10))
    assert made == [2] * 5, "what does not fit is not tried again"
    assert capsys.readouterr().err.splitlines() == [
        "a fleet of 10 (digits student) does not fit in the GPU's memory; trying 5",
        "a fleet of 5 (digits student) does not fit in the GPU's memory; trying 2",
        "a fleet of 2 (digits student) fits in the GPU's memory",
    ]


def test_a_fleet_that_fits_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(running, "distil", holding(10, []))
    assert running._distil_what_fits(students(10)) == list(range(10)) and capsys.readouterr().err == ""


def test_a_student_that_does_not_fit_alone_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(running, "distil", holding(0, []))
    with pytest.raises(UserError, match="one digits student does not fit in the GPU's memory") as error:
        running._distil_what_fits(students(2))
    assert "\n" not in str(error.value)


def test_a_teacher_that_does_not_fit_is_refused_in_one_line(monkeypatch, tmp_path):
    def train(*given, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path))
    monkeypatch.setattr(running, "train_teacher", train)
    with pytest.raises(UserError, match="the large teacher does not fit in the GPU's memory"):
        running.run_teacher(
            Study("smoke", ["digits"]).runs("teachers")[1].protocol, {5}, "the large teacher", "cpu", False
        )
