"""The command line: what it names, what it runs, and what it refuses once it has seen the data (the rest: test_bad_input)."""

import hashlib
import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from kdutils import data, records
from kdutils.experiments import ARTEFACTS


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run `python -m kdutils …` in this process; returns its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kdutils", *map(str, arguments)])
        code = 0
        try:
            runpy.run_module("kdutils", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no data, no cache and no records; reading data, or the network, is an error."""

    def fail(*args):
        raise AssertionError("data was read")

    monkeypatch.setattr(data, "_official", fail)
    for name in ("KDUTILS_DATA", "KDUTILS_CACHE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_names_everything(bare, call):
    code, out, err = call("list")
    assert code == 0 and err == ""
    named = {line.split()[0]: line for line in out.splitlines()}
    assert named.keys() == ARTEFACTS.keys() >= {"fig3", *(f"table{n}" for n in range(1, 8))}
    for name, artefact in ARTEFACTS.items():
        assert artefact.title in named[name] and all(d in named[name] for d in artefact.datasets)


def test_list_has_columns(bare, call):
    _, out, _ = call("list")
    titles = {line.index(ARTEFACTS[line.split()[0]].title) for line in out.splitlines()}
    datasets = {line.index("mnist") for line in out.splitlines() if line.split()[-4:-3] == ["mnist,"]}
    assert len(titles) == len(datasets) == 1


def test_all_is_all_whatever_stands_beside_it(smoke_study, call, monkeypatch):
    named = []
    monkeypatch.setattr("kdutils.experiments.Study.ensure", lambda self, group: named.append(group))
    for method in ("missing", "runs", "failed"):
        monkeypatch.setattr(f"kdutils.experiments.Study.{method}", lambda self, group: [])
    for names in (["all"], ["table4", "all"]):
        named.clear()
        code, _, err = call("run", *names, "--profile", "smoke", "--results", smoke_study.results)
        assert (code, err) == (0, "") and {"missing_class", "sweep", "related"} <= set(named)


def test_a_gpu_leaves_the_cpu_one_thread(smoke_study, call, monkeypatch):
    """Several processes on one machine would otherwise fight for its cores while they measure teachers."""
    threads = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    real, gpu = torch.device, torch.device("cuda")
    for found, expected in ((real("cpu"), []), (gpu, [1])):
        monkeypatch.setattr("kdutils.training.resolve_device", lambda name, found=found: found)
        threads.clear()
        code, _, err = call("run", "table1", "--profile", "smoke", "--results", smoke_study.results)
        assert (code, err, threads) == (0, "", expected)


def test_sealing_a_folder_without_records_is_a_mistake(bare, call):
    code, _, err = call("seal", "--results", bare / "resluts")
    assert code == 2 and err == f"error: {bare / 'resluts'}: there are no records\n"


def test_a_search_without_a_cache_says_so_before_it_starts(bare, call, monkeypatch):
    (bare / "file").touch()
    monkeypatch.setenv("KDUTILS_CACHE", str(bare / "file" / "below"))
    code, _, err = call("sweetspot", "--dataset", "mnist")
    assert code == 2 and "cannot write to the cache" in err and err.count("\n") == 1


def test_status_needs_no_data(bare, call):
    code, out, err = call("status", "--results", bare / "none")
    assert code == 0 and err == ""
    rows = [line.split() for line in out.splitlines()[1:]]
    assert {row[0] for row in rows} >= {"table4", "table5", "table6", "fig3"}
    assert {row[1] for row in rows} == {"smoke", "cpu", "paper"}
    table4 = {(row[1], row[2]): row for row in rows if row[0] == "table4"}
    assert table4["smoke", "digits"][3:5] == ["0", "60"]
    assert all(row[3] == "0" and int(row[4]) > 0 for row in rows)
    assert list(bare.rglob("*")) == []


def test_status_reads_the_records(smoke_study, call):
    code, out, err = call("status", "--profile", "smoke", "--datasets", "digits", "--results", smoke_study.results)
    assert code == 0 and err == ""
    rows = {line.split()[0]: line.split()[3:5] for line in out.splitlines()[1:]}
    assert rows["table2"] == rows["table3"] == rows["fig3"] == ["2", "0"] and rows["table4"] == ["60", "0"]


def test_run_does_nothing_twice(smoke_study, call, monkeypatch):
    before = {path.name: path.read_bytes() for path in Path(smoke_study.results).glob("*.csv")}
    arguments = ["--profile", "smoke", "--datasets", "digits", "--device", "cpu", "--results", smoke_study.results]
    code, out, _ = call("run", "table4", "fig3", "table1", *arguments)
    assert code == 0
    assert "table4: 60 runs recorded" in out and "fig3: 2 runs recorded" in out
    assert "table1: exact, nothing to run" in out
    assert {path.name: path.read_bytes() for path in Path(smoke_study.results).glob("*.csv")} == before


def test_absent_data_of_the_last_dataset_show_before_the_first_one_trains(tmp_path, call, monkeypatch):
    def official(name, root):
        if name == "fashion_mnist":
            raise data.DataError("fashion_mnist is not complete")
        return read(name, root)

    def train(*args, **options):
        raise AssertionError("a teacher was trained")

    read = data._official
    monkeypatch.setattr(data, "_official", official)
    monkeypatch.setattr("kdutils.running.train_teacher", train)
    where = ["--profile", "smoke", "--datasets", "digits", "fashion_mnist", "--results", tmp_path]
    code, _, err = call("run", "table4", "table5", *where)
    assert code == 2 and err == "error: fashion_mnist is not complete\n"


def test_help_is_no_mistake(call):
    code, out, err = call("run", "--help")
    assert code == 0 and "--afresh" in out and err == ""


def test_a_run_that_diverges_exits_with_one(tmp_path, call, monkeypatch):
    from kdutils.experiments import Study

    def diverge(self, group):
        raise FloatingPointError("teacher 0123 diverged in epoch 1")

    monkeypatch.setattr(Study, "ensure", diverge)
    assert call("run", "table4", "--profile", "smoke", "--datasets", "digits", "--results", tmp_path) == (
        1,
        "",
        "failed: teacher 0123 diverged in epoch 1\n",
    )


TINY_SEARCH = [
    *(
        "--dataset",
        "digits",
        "--student",
        "student-baseline",
        "--batch-sizes",
        64,
        256,
        "--max-epochs",
        2,
        "--repeats",
        2,
    ),
    *("--student-epochs", 1, "--probe-epochs", 1, "--probe-examples", 10, "--device", "cpu"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-sizes", 64, 1258], "batch size 1258 is above the 1257 training images"),
        (["--budget", 1000], "budget 1,000 is too small: one epoch and one probe at each of 2 batch sizes"),
        (["--unseen", 10], "unseen class 10 must be one of"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_search_that_cannot_be_is_refused_in_one_line(call, monkeypatch, arguments, message):
    def train(*args):
        raise AssertionError("a teacher was trained")

    monkeypatch.setattr("kdutils.sweetspot._Search.train", train)
    code, out, err = call("sweetspot", *TINY_SEARCH, *arguments)
    assert code == 2 and out == "" and err.startswith(f"error: {message}") and err.count("\n") == 1


def test_a_search_says_draws_writes_and_records_what_it_found(tmp_path, call):
    files = {"--plot": tmp_path / "map.png", "--csv": tmp_path / "all.csv", "--results": tmp_path / "records"}
    code, out, _ = call("sweetspot", *TINY_SEARCH, "--record", *(part for pair in files.items() for part in pair))
    assert code == 0
    assert out.startswith("Batch size ") and "hard labels alone" in out and "full distillations" in out
    assert files["--plot"].read_bytes().startswith(b"\x89PNG")
    everything = pd.read_csv(files["--csv"])
    assert set(everything["stage"]) == {"teacher", "probe", "full"} and set(everything["repeat"]) == {0, 1}
    table, cost = (records.load(name, tmp_path / "records") for name in ("sweetspot", "sweetspot_cost"))
    (best,) = table[table["status"] == "recommended"].itertuples()
    assert f"Batch size {best.batch_size}, {best.epochs} epoch" in out and f"{100 * best.test:.2f} %" in out
    assert set(zip(table["batch_size"], table["epochs"], strict=True)) == {(0, 0), (64, 1), (64, 2), (256, 1), (256, 2)}
    assert set(table["train_size"]) == {1257} and set(table["student"]) == {"student-baseline"}
    assert cost.set_index("stage").loc["teachers", "example_passes"] == 2 * 2 * 1257
    (run,) = records.load("runs", tmp_path / "records").itertuples()
    assert run.kind == "search" and {run.run} == set(table["run"]) == set(cost["run"])
    assert hashlib.sha256(run.protocol.encode()).hexdigest()[:16] == run.run
    again = (tmp_path / "records" / "sweetspot.csv").read_bytes()
    call("sweetspot", *TINY_SEARCH, "--record", "--results", tmp_path / "records")
    assert (tmp_path / "records" / "sweetspot.csv").read_bytes() == again, "the same search, the same rows"
