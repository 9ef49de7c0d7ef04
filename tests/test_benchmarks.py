"""The benchmarks run, and their arithmetic is what it says; nothing here looks at how long anything takes."""

import math
import time

import pandas as pd
import pytest
import torch

from kdutils import plots, records
from tests.benchmarks import measure
from tests.benchmarks.__main__ import main
from tests.benchmarks.compare import Bench, verdict

CPU = torch.device("cpu")


def test_a_way_that_took_no_time_was_not_measured(tmp_path):
    """Set-up is taken off, and varies: with few steps what is left may be less than nothing."""
    values = measure.ratios([1.0, -0.1, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="so few steps"):
        Bench(CPU, False, tmp_path, None).add("growth", "mnist", **values)
    assert records.load("benchmarks", tmp_path).empty


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
    main(
        [
            "--quick",
            "--device",
            "cpu",
            "--results",
            str(tmp_path),
            "--only",
            "careful",
            "growth",
            "spent",
            "memory",
            "teacher",
        ]
    )
    table = records.load("benchmarks", tmp_path)
    loop = table.set_index("comparison").loc["careful loop"]
    assert loop["ratio_low"] <= loop["ratio"] <= loop["ratio_high"]
    assert loop["share"] == pytest.approx(loop["operations"] / loop["ours"] / loop["rate"], rel=1e-5)
    growth = table[table["comparison"] == "growth"].set_index("members")
    assert growth.loc[1, "ratio"] == 1 and list(growth.index) == [1, 2, 6]
    shares = table[table["comparison"].str.startswith("time in ")]["share"]
    assert math.isclose(shares.sum(), 1, abs_tol=1e-4)
    assert table.set_index("comparison").loc["memory", "gib"] > 0.1, "PyTorch alone takes more"
    printed = capsys.readouterr()
    assert "careful loop" in printed.out and "not measured" not in printed.err
    bars = {comparison for _, _, comparison in records.BARS}
    assert all(aim > records.BARS[of] for of, aim in records.AIMS.items())
    assert {c for c in bars if not c.startswith("torchdistill")} <= set(table["comparison"]), "a bar for nothing"


def test_the_library_runs_on_the_digits(tmp_path, capsys):
    pytest.importorskip("torchdistill", reason="a benchmark's own requirement: pip install '.[bench]'")
    main(["--quick", "--device", "cpu", "--results", str(tmp_path), "--only", "torchdistill"])
    table = records.load("benchmarks", tmp_path).set_index("comparison")
    seconds = [table.loc[f"torchdistill, {size} teacher", "theirs"] for size in ("small", "large")]
    assert "not measured" not in capsys.readouterr().err
    assert min(seconds) > 0
    # A median of means lies in the range of the turns, which the medians of each need not bound: hence the margin.
    assert min(seconds) / 2 <= table.loc["torchdistill, both teachers", "theirs"] <= 2 * max(seconds)


def test_memory_that_is_held_for_a_moment_is_seen():
    with measure.peak_memory(0.01) as before:
        time.sleep(0.1)
    with measure.peak_memory(0.01) as peak:
        held = torch.ones(2**25)  # 128 MiB
        time.sleep(0.1)
        del held
    assert before[0] + 0.1 < peak[0] < before[0] + 0.2


def test_what_was_not_measured_is_said():
    machine = {"machine": "2-core CPU", "members": 4, "batch_size": 64, "note": "", "ratio": 3.0, "bar": 2.0}
    row = dict.fromkeys(records.IDENTITY["benchmarks"] + records.VALUES["benchmarks"], math.nan) | machine
    row |= {"dataset": "mnist", "comparison": "careful loop", "ratio_low": 2.5, "ratio_high": 3.5}
    shown = plots.speed_table(pd.DataFrame([row]), "caption", "name").frame
    measured = shown[shown["measured"] != "not measured yet"]
    assert len(shown) == len(records.BARS) and len(measured) == 1
    assert measured["reached"].tolist() == ["yes"] and measured["aim"].tolist() == ["4: no"]
    lacking = shown[shown["measured"] == "not measured yet"]
    assert set(lacking["machine"]) == {"CPU", "GPU"} and (lacking["reached"] == "").all()
