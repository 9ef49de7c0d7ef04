"""Runs on other machines: on two dask workers, on plain pools and through submitit, the records are those made here."""

import contextlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, TINY, Here

from kdutils import __main__, experiments, many, records
from kdutils.errors import UserError
from kdutils.experiments import Study
from kdutils.protocols import PROFILES

distributed = pytest.importorskip("distributed")
SEEDS = 2
OWN = {"runs": ["seconds", "date", "command"], "history": ["seconds"]}  # columns that differ from one run to the next
GROUPS = ("missing_class", "teachers", "tutorial")


def study(results: Path, executor: Executor | None = None) -> Study:
    return Study("smoke", ["digits"], SEEDS, "missing", "cpu", results, executor=executor)


def read(folder: Path) -> dict[str, str]:
    tables = {name: records.load(name, folder) for name in records.IDENTITY}
    return {name: table.drop(columns=OWN.get(name, [])).to_csv() for name, table in tables.items()}


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "smoke", TINY)
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The records of the runs made one after another in this process, with a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDUTILS_CACHE", str(tmp_path_factory.mktemp("cache")))
        here = study(tmp_path_factory.mktemp("local"))
        patch.setattr(experiments, "workers", lambda *_: contextlib.nullcontext())
        for group in GROUPS:
            here.ensure(group)
    assert len(records.load("missing_class", here.results)) == SEEDS * 40
    return read(here.results)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple["distributed.LocalCluster", Path]]:
    """A scheduler and two worker processes with one thread each, and their cache."""
    cache = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDUTILS_CACHE", str(cache))
        options = {"processes": True, "dashboard_address": ":0", "host": "127.0.0.1"}
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
            yield cluster, cache
            with distributed.Client(cluster) as client:
                pids = client.run(os.getpid).values()
    assert not any(map(alive, pids)), "a worker was left behind"


@pytest.fixture
def cluster(two_workers, monkeypatch: pytest.MonkeyPatch) -> "distributed.LocalCluster":
    """The cluster, its cache emptied and this process's too."""
    found, cache = two_workers
    shutil.rmtree(cache)
    cache.mkdir()
    many._token.cache_clear()
    monkeypatch.setenv("KDUTILS_CACHE", str(cache))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def set_cache(folder: Path | str) -> str:
    return f"import os; os.environ['KDUTILS_CACHE'] = {str(folder)!r}"


def kill_a_busy_worker(client) -> None:
    """SIGKILL the process of a worker that has something to do."""
    pids = client.run(os.getpid)
    os.kill(next(pids[address] for address, tasks in client.processing().items() if tasks), signal.SIGKILL)


# The records are the same


def test_the_command_line_gives_dask_the_runs(local, cluster, tmp_path, capsys):
    where = ["--profile", "smoke", "--datasets", "digits", "--seeds", str(SEEDS), "--results", str(tmp_path / "out")]
    __main__.main(["run", "table4", "fig3", "tutorial", *where, "--dask", cluster.scheduler_address])
    assert read(tmp_path / "out") == local
    assert f"table4: {SEEDS * 40} runs recorded" in capsys.readouterr().out


def test_a_killed_worker_costs_its_run_alone_which_the_engine_does_again(local, cluster, tmp_path, monkeypatch):
    killed: list[bool] = []
    measure = Study.measure_teacher

    def measure_and_kill(self, *given) -> None:
        measure(self, *given)
        if not killed:
            killed.append(True)
            kill_a_busy_worker(self.executor.client)

    monkeypatch.setattr(Study, "measure_teacher", measure_and_kill)
    with many.connect(cluster.scheduler_address) as executor:
        for group in GROUPS:
            study(tmp_path / "out", executor).ensure(group)
    assert killed and read(tmp_path / "out") == local


def test_a_plain_pool_s_killed_worker_costs_its_run_and_the_next_command_goes_on(local, cache, tmp_path, monkeypatch):
    record, before = Study._record_students, []

    def record_and_kill(self, *given) -> None:
        record(self, *given)
        if not before:
            before.append(read(tmp_path / "out"))
            os.kill(next(iter(self.executor._processes)), signal.SIGKILL)

    monkeypatch.setattr(Study, "_record_students", record_and_kill)
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(UserError, match="a worker was killed.*the same command goes on"),
    ):
        study(tmp_path / "out", pool).ensure("missing_class")
    assert read(tmp_path / "out") == before[0] and len(records.load("missing_class", tmp_path / "out")) == 40
    monkeypatch.setattr(experiments, "workers", lambda *_: contextlib.nullcontext())
    for group in GROUPS:
        study(tmp_path / "out").ensure(group)
    assert read(tmp_path / "out") == local


def test_threads_take_turns_for_they_share_torch_s_random_state(local, cache, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        for group in GROUPS:
            study(tmp_path / "out", pool).ensure(group)
    assert read(tmp_path / "out") == local


def page_block(name: str) -> str:
    """The code of page 12 that defines a class."""
    cells = json.loads((ROOT / "notebooks" / "12_many_machines.ipynb").read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if f"class {name}(" in code]
    return found


def test_the_page_s_adapter_for_slurm_takes_submitit_s_jobs(local, cache, tmp_path):
    submitit = pytest.importorskip("submitit")
    scope: dict = {}
    exec(page_block("Slurm").split("\n\nslurm =")[0], scope)  # noqa: S102 - the page's own lines
    with scope["Slurm"](submitit.AutoExecutor(tmp_path / "logs", cluster="local")) as executor:
        small = study(tmp_path / "out", executor)
        small.seeds = 1
        small.ensure("teachers")
    rows = records.load("response", tmp_path / "out")
    here = records.load("response", tmp_path / "out").query("seed == 0")
    assert len(rows) == len(here) > 0
    assert set(rows.to_csv(index=False).splitlines()) <= {
        line.split(",", 1)[1] for line in local["response"].splitlines()
    }


# Who may not take part is told so before work starts


@pytest.fixture
def executor(cluster) -> Iterator[Executor]:
    """What anyone's dask client gives, of which one worker is asked."""
    with distributed.Client(cluster) as client:
        yield client.get_executor(pure=False)


def test_a_worker_with_another_cache_is_refused(executor, cache, tmp_path):
    with pytest.raises(UserError) as error:
        study(tmp_path / "out", executor).ensure("teachers")
    assert re.fullmatch(
        r"the worker on \S+ does not see this process's cache, but \S+shared0; set KDUTILS_CACHE to a shared folder",
        str(error.value),
    )
    assert not list(cache.glob("teachers/*/*"))
    with pytest.raises(UserError, match="does not see this process's cache"):  # one that joins late, at its first run
        executor.submit(many.visiting(os.getpid, "cpu")).result()


def test_dask_s_workers_are_all_asked(cluster, two_workers, tmp_path):
    with many.connect(cluster.scheduler_address) as executor:
        first, _ = executor.client.run(os.getpid)
        executor.client.run(exec, set_cache(tmp_path), workers=[first])
        try:
            with pytest.raises(UserError, match=f"does not see this process's cache, but {tmp_path};"):
                study(tmp_path / "out", executor).ensure("teachers")
        finally:
            executor.client.run(exec, set_cache(two_workers[1]))


def test_a_worker_with_other_code_data_or_device_is_refused(executor, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"the worker on \S+: device 'cuda:64' is not there: \d CUDA devices"):
        many.look(executor, "cuda:64", [])
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"MNIST/raw/{name}-ubyte").write_bytes(b"cut short")
    set_data = "import os; os.environ['KDUTILS_DATA'] = {!r}"
    distributed.default_client().run(exec, set_data.format(str(tmp_path)))
    with pytest.raises(UserError, match=r"the worker on \S+: .*truncated"):
        many.look(executor, "cpu", ["mnist"])
    distributed.default_client().run(exec, set_data.format(os.environ.get("KDUTILS_DATA", "")))
    monkeypatch.setattr(many, "versions", lambda: "Python 2.7, torch 0.4, kdutils 0.0 (0)")
    with pytest.raises(UserError, match=r"has Python 3.*, and this process Python 2.7, torch 0.4, kdutils 0.0 \(0\);"):
        many.look(executor, "cpu", [])


def test_the_command_line_refuses_a_cluster_that_is_not_there_in_one_line(cache, tmp_path, monkeypatch):
    def refused(address: str) -> str:
        with pytest.raises(UserError) as error:
            __main__.main(["run", "table4", "--profile", "smoke", "--datasets", "digits", "--results", str(tmp_path),
                           "--dask", address])  # fmt: skip
        assert "\n" not in str(error.value) and not list(tmp_path.glob("*.csv"))
        return str(error.value)

    monkeypatch.setattr(many, "PATIENCE", 1)
    assert refused("tcp://127.0.0.1:9").startswith("--dask tcp://127.0.0.1:9: no dask scheduler answers there (")
    assert refused("carrier://pigeon").startswith("--dask carrier://pigeon: no dask scheduler answers there (")
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1") as empty:
        assert "no worker has joined; start some: dask worker tcp://" in refused(empty.scheduler_address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert refused("tcp://127.0.0.1:9") == "--dask needs dask: pip install 'kdutils[many]'"


def test_a_run_whose_workers_always_die_costs_no_other_and_is_one_line(cluster):
    done = []
    with (
        pytest.raises(
            UserError, match=f"--dask {cluster.scheduler_address}: KilledWorker: .*run again to go on"
        ) as error,
        many.connect(cluster.scheduler_address) as executor,
    ):
        cluster.scheduler.allowed_failures = 0
        try:
            # Last and late: dask blames all that a worker has before it for the worker's end.
            jobs = [(abs, (-3,)), (abs, (-4,)), (die_in_a_second, ())]
            for _, found in experiments.in_order_of_ending(executor, call, jobs):
                done.append(found)
        finally:
            cluster.scheduler.allowed_failures = 3
    assert sorted(done) == [3, 4] and "\n" not in str(error.value)


def call(function, given):
    return function(*given)


def die_in_a_second() -> None:
    time.sleep(1)
    os._exit(9)


# The device is the workers'


class Fake(Here):
    """An executor with a client whose workers answer as they are told."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.client, self.answers = self, answers

    def run(self, *given) -> dict:
        return dict(enumerate(self.answers))


def test_fleets_are_those_of_the_workers_device(cache, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(experiments, "fleets", lambda members, device: found.append(device) or [])
    at_gpus = Study("smoke", ["digits"], 1, "missing", "cuda", tmp_path, executor=Fake(("cuda", "NVIDIA H100")))
    monkeypatch.setattr(Study, "_train", lambda *_: None)
    at_gpus.ensure("missing_class")
    assert found == [torch.device("cuda")]


def test_workers_must_agree_on_what_auto_is(cache, tmp_path):
    mixed = Fake(("cuda", "NVIDIA H100"), ("cpu", "64-core CPU"))
    with pytest.raises(UserError, match="the workers' devices are cpu and cuda: say which, with --device"):
        Study("smoke", ["digits"], 1, "missing", "auto", tmp_path, executor=mixed).ensure("teachers")


def test_a_run_is_recorded_with_the_hardware_that_made_it(cache, tmp_path, monkeypatch):
    name = lambda device: device if isinstance(device, str) else f"elsewhere, {threading.get_ident()}"
    monkeypatch.setattr(many.records, "device_name", name)
    with ThreadPoolExecutor(1) as pool:
        study(tmp_path, pool).ensure("missing_class")
        worker = pool.submit(threading.get_ident).result()
    assert set(records.load("runs", tmp_path)["device"]) == {f"elsewhere, {worker}"}


def test_a_worker_on_a_cpu_has_one_thread(cache):
    cache.mkdir()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert many.visiting(torch.get_num_threads, "cpu")()[1] == 1
    finally:
        torch.set_num_threads(before)


# What a larger study would take


def made(kind: str, run: str, seconds: float, **fields) -> dict:
    protocol = {"dataset": "mnist", "kind": f"{kind.title()}Protocol"} | fields
    return {"kind": kind, "run": run, "seconds": seconds, "protocol": json.dumps(protocol)}


def test_the_estimate_is_what_a_greedy_schedule_of_the_pieces_takes():
    students = [("a", 0, "t1"), ("b", 0, "t2"), ("c", 1, "t1")]  # two seeds, hence two fleets
    rows = [made("teacher", "t1", 3600), made("teacher", "t2", 7200)]
    rows += [made("student", run, 1800, seed=seed, teacher=of, teacher_epoch=9) for run, seed, of in students]
    table = many.scaling(pd.DataFrame(rows), [1, 3, 100], times=2, row_seconds=36.0).set_index("machines")
    assert table["pieces"].tolist() == [8, 8, 8]
    assert table["ideal"].tolist() == pytest.approx([9, 3, 0.09])
    # of three machines two take the long teachers, one both short ones; then fleets of 1, 1, 0.5 and 0.5 hours
    assert table["computing"].tolist() == pytest.approx([9, 2 + 1, 2 + 1])
    assert table["chain"].tolist() == pytest.approx([3, 3, 3])
    # eight pieces, before which 10/8, 20/8, … of the ten rows are there
    assert table["writing"].tolist() == pytest.approx([36 * 10 * 4.5 / 3600] * 3)
    assert (table["hours"] == table[["computing", "writing"]].max(axis=1)).all()
    assert table.loc[3, "read"] == pytest.approx((2 * 3 * 55_000 * 20 + 3 * 55_000 * 784) / 1e9)


def test_what_a_row_costs_the_writer_is_measured_and_nothing_recorded_is_touched(tmp_path):
    records.add_runs([(experiments.teacher_protocol(TINY, "digits", "small", 32, 0), 3, 1.0)], "here", tmp_path)
    before = (tmp_path / "runs-digits.csv").read_bytes()
    assert many.row_seconds(tmp_path) > 0 and (tmp_path / "runs-digits.csv").read_bytes() == before
    assert many.row_seconds(tmp_path / "empty") >= 0
