"""How fleets are run: split where memory does not hold them, and said so."""

import pytest
import torch

from kdutils import running
from kdutils.errors import UserError
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


def test_a_fleet_too_large_for_memory_is_split_in_order_and_says_so(monkeypatch, capsys):
    made: list[int] = []
    monkeypatch.setattr(running, "distil", holding(3, made))
    assert running._distil_what_fits(students(10)) == list(range(10))
    assert max(made) <= 3 and sum(made) == 10
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "10 students at once do not fit in the GPU's memory: 5 at a time"


def test_a_student_that_does_not_fit_alone_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(running, "distil", holding(0, []))
    with pytest.raises(UserError, match="one digits student does not fit in the GPU's memory") as error:
        running._distil_what_fits(students(2))
    assert "\n" not in str(error.value)
