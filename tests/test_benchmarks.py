"""The benchmarks run, and their arithmetic is what it says; nothing here looks at how long anything takes."""

import math

import pytest
import torch

from kdutils import records
from kdutils.errors import UserError
from tests.benchmarks import measure
from tests.benchmarks.__main__ import main
from tests.benchmarks.compare import verdict

CPU = torch.device("cpu")


def test_ratios_are_of_the_same_turn():
    found = measure.ratios([1.0, 2.0, 4.0], [3.0, 10.0, 8.0])
    assert found["ratio"] == 3.0 and (found["ratio_low"], found["ratio_high"]) == (2.0, 5.0)
    assert (found["ours"], found["theirs"], found["repeats"]) == (2.0, 8.0, 3)


def test_ways_take_turns():
    seen: list[str] = []
    found = measure.by_turns([lambda: seen.append("a") or 1.0, lambda: seen.append("b") or 2.0], 3)
    assert seen == ["a", "b"] * 3 and found == [[1.0] * 3, [2.0] * 3]


def test_set_up_does_not_count(monkeypatch: pytest.MonkeyPatch):
    """A run of n steps takes 5 seconds of set-up and 2 a step, by a clock of our own."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def run(steps: int) -> None:
        now[0] += 5 + 2 * steps

    assert measure.step_seconds(run, 7, CPU) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"ratio": 3.0, "bar": 2.0}, "reached: 2"),
        ({"ratio": 1.5, "bar": 2.0}, "NOT REACHED: 2"),
        ({"ratio": 0.5, "bar": 2.0}, "NOT REACHED: 2; THE PEER IS FASTER"),
        ({"share": 0.4, "bar": 0.35}, "reached: 0.35"),
        ({"gib": 3.0, "bar": 2.0}, "NOT REACHED: 2"),
        ({"ratio": 0.5, "theirs": 1.0}, "THE PEER IS FASTER"),
        ({"ratio": 5.0, "theirs": 1.0}, ""),
    ],
)
def test_what_is_not_reached_or_slower_is_said(row, expected):
    usual = dict.fromkeys(("ratio", "share", "gib", "bar", "theirs")) | {"comparison": "careful loop"}
    if "ratio" in row:
        usual["theirs"] = 1.0
    assert verdict(usual | row) == expected


def test_everything_but_the_library_runs_on_the_digits(tmp_path, capsys):
    main(["--quick", "--device", "cpu", "--results", str(tmp_path), "--only", "careful", "growth", "spent"])
    table = records.load("benchmarks", tmp_path)
    loop = table.set_index("comparison").loc["careful loop"]
    assert loop["ratio_low"] <= loop["ratio"] <= loop["ratio_high"]
    assert loop["share"] == pytest.approx(loop["operations"] / loop["ours"] / loop["rate"], rel=1e-5)
    growth = table[table["comparison"] == "growth"].set_index("members")
    assert growth.loc[1, "ratio"] == 1 and list(growth.index) == [1, 2, 6]
    shares = table[table["comparison"].str.startswith("time in ")]["share"]
    assert math.isclose(shares.sum(), 1, abs_tol=1e-4)
    assert "careful loop" in capsys.readouterr().out


def test_a_quick_run_is_not_for_the_book():
    with pytest.raises(UserError, match="give it a folder with --results"):
        main(["--quick"])
