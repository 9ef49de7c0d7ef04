"""What may go wrong around a run: kills, a full disk, two processes at once, losses that diverge."""

import io
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, Here, read, tiny_study

from kdutils import __main__ as cli
from kdutils import experiments, records, running, training
from kdutils.errors import Diverged, UserError
from kdutils.experiments import Study, status
from kdutils.protocols import key

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX")

# What a process started by a test does before all else: it takes the tiny profile, and dies at a given write.
SITE = """
import dataclasses, multiprocessing, os, signal, sys, threading
from pathlib import Path

if "resource_tracker" not in " ".join(sys.orig_argv):
    from kdutils import protocols

    protocols.PROFILES["smoke"] = dataclasses.replace(
        protocols.PROFILES["smoke"], temperatures={"digits": (3.0, 9.0)}, train_size={"digits": 200},
        teacher_epochs={"digits": 3}, student_epochs={"digits": 2},
    )
    what, count, moment, whom, delay = os.environ.get("KILL", "nothing 0 before group 0").split()
    left, replace = int(count), Path.replace

    def die(target):
        with open(os.environ["KILLED"], "a") as file:
            file.write(f"{target}\\n")
        worker = multiprocessing.parent_process() is not None
        process = {"group": 0, "parent": os.getppid() if worker else os.getpid(), "self": os.getpid()}[whom]
        os.kill(process, signal.SIGKILL)

    def replace_or_die(self, target):
        global left
        left -= (hit := what in str(target))
        if not hit or left:
            return replace(self, target)
        if moment == "half":
            os.truncate(self, self.stat().st_size // 2)
        if moment == "after":
            replace(self, target)
        threading.Timer(float(delay), die, [target]).start() if float(delay) else die(target)
        return target if moment == "after" else replace(self, target)

    Path.replace = replace_or_die
"""


def kills(chance: random.Random) -> list[str]:
    """Five moments of SIGKILL: in teachers, in their records, twice in students, and in the students' records.

    Each is: which files' writes are counted, the number of the write; half-way through, before or after its rename; who
    dies, all processes, the parent, or a worker; and seconds later, when it is amid the training that follows.
    """
    moment = lambda: chance.choice(["half", "before", "after"])
    return [
        f"epoch- {chance.randint(1, 5)} after {chance.choice(['group', 'parent'])} {chance.random() / 30}",
        f".csv {chance.randint(1, 6)} {moment()} {chance.choice(['group', 'parent'])} 0",
        f"/students/ {chance.randint(1, 9)} {moment()} {chance.choice(['group', 'self'])} 0",
        f"/students/ {chance.randint(1, 9)} before parent 0",
        f"missing_class.csv {chance.randint(1, 2)} {moment()} {chance.choice(['group', 'parent'])} 0",
    ]


def alive(group: int) -> list[str]:
    """Processes of a group that run; one that ended and that nobody has waited for does not."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    fields = (line.split(None, 2) for line in listed.splitlines())
    return [f[2] for f in fields if f[0] == str(group) and not f[1].startswith("Z")]


class Run:
    """`python -m kdutils run` at the tiny profile, in processes of its own. Two seeds are two fleets, hence workers."""

    def __init__(self, folder: Path):
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SITE)
        self.cache, self.results, self.killed = folder / "own cache", folder / "own", folder / "killed"
        path = os.pathsep.join([str(folder / "site"), str(ROOT)])
        own = {"KDUTILS_CACHE": self.cache, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "KILLED": self.killed}
        self.environment = os.environ | {name: str(value) for name, value in own.items()}
        self.command = [sys.executable, "-m", "kdutils", "run", "table4", "table2", "--profile", "smoke"]
        self.command += ["--datasets", "digits", "--seeds", "2", "--device", "cpu", "--results", str(self.results)]

    def start(self, **more: str) -> subprocess.Popen:
        options = {"env": self.environment | more, "start_new_session": True, "text": True}
        return subprocess.Popen(self.command, **options, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def check(self, undisturbed: Path) -> None:
        ours, theirs = read(self.results), read(undisturbed)
        students = [pd.read_csv(io.StringIO(of.pop("missing_class"))) for of in (ours, theirs)]
        assert ours == theirs
        # A student in a fleet of another size is the same but for rounding, which the best bias is recorded finely enough to show.
        biased = ["bias", "accuracy_missing_biased", "accuracy_biased"]
        pd.testing.assert_frame_equal(*(of.drop(columns=[*biased, "check"]) for of in students), check_exact=True)
        bias, accuracies = zip(*((of["bias"].to_numpy(), of[biased[1:]].to_numpy()) for of in students), strict=True)
        assert bias[0] == pytest.approx(bias[1], abs=0.002)  # of logits that are kept in half precision
        assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)  # of 36 images one
        left = {p.name for folder in (self.cache, self.results) for p in folder.rglob("*") if p.is_file()}
        assert {n for n in left if Path(n).suffix not in (".csv", ".safetensors")} == {".lock", ".writing"}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.stress) for n in range(1, 11))])
def test_a_run_killed_five_times_ends_as_one_left_alone(tiny, tmp_path, seed):
    tiny_study(tiny, seeds=2, executor=Here()).ensure("missing_class")
    run = Run(tmp_path)
    for n, kill in enumerate(kills(random.Random(seed)), 1):
        print("killed at", kill)  # pytest shows it if the test fails
        process = run.start(KILL=kill)
        errors = process.communicate(timeout=600)[1]
        if " self " in kill:
            assert process.returncode == 2 and "a worker was killed" in errors and "Traceback" not in errors
        else:
            assert process.returncode == -signal.SIGKILL, errors
        hit = run.killed.read_text().splitlines()
        assert len(hit) >= n and kill.split()[0] in hit[-1], "a kill missed what it was meant for"
        until = time.monotonic() + 60
        while alive(process.pid) and time.monotonic() < until:  # workers notice that their parent is gone
            time.sleep(0.2)
        assert alive(process.pid) == []
    process = run.start()
    errors = process.communicate(timeout=600)[1]
    assert process.returncode == 0, errors
    run.check(tiny)


@pytest.mark.parametrize("table", ["curves", "few_examples"])
def test_a_kill_between_two_tables_of_the_same_students_loses_neither(tiny, monkeypatch, table):
    def add(name, *given):
        if name == table:
            raise KeyboardInterrupt
        records_add(name, *given)

    records_add = records.add
    with monkeypatch.context() as patch:
        patch.setattr(records, "add", add)
        with pytest.raises(KeyboardInterrupt):
            tiny_study(tiny).ensure("few_examples")
    study = tiny_study(tiny)
    study.ensure("few_examples")
    students = study.few_examples()
    assert len(students) and set(records.load("curves", tiny)["run"]) == set(students["run"])


def test_a_lost_response_of_an_early_epoch_is_made_again(tiny):
    """Its teacher is there after the last epoch, and students of the first one are wanted."""
    study = tiny_study(tiny)
    runs = study.runs("sweep")
    study.ensure("sweep")
    early = min((r for r in runs if r.epochs < 3), key=lambda r: r.epochs)
    assert any(r.key == early.key and r.epochs > early.epochs for r in runs)
    path = training.snapshot_path(early.protocol, early.epochs)
    wanted = records.load("response", tiny)
    path.unlink()
    study.ensure("sweet_spot")
    assert path.exists() and early.training in set(study.baseline("sweet_spot")["training"])
    path.unlink()
    (tiny / "response.csv").unlink()
    tiny_study(tiny).ensure("sweep")
    assert records.load("response", tiny).equals(wanted)


def test_two_processes_that_record_the_same_at_once_lose_nothing(tiny, tmp_path):
    tiny_study(tiny, seeds=2, executor=Here()).ensure("missing_class")
    run = Run(tmp_path)
    both = [run.start(), run.start()]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    run.check(tiny)


def test_a_worker_that_is_killed_is_one_line_that_says_what_to_do():
    with (
        pytest.raises(UserError, match="a worker was killed.*memory.*fewer cores.*the same command goes on") as error,
        running.workers(2, torch.device("cpu")) as pool,
    ):
        list(running.in_order_of_ending(pool, os._exit, [(9,), (9,)]))
    assert "\n" not in str(error.value)


# Disks

NAMESPACE = shutil.which("unshare") and not subprocess.run(["unshare", "-rm", "true"], check=False).returncode


def run_on(folder: Path, disk: str, otherwise: str, command: str) -> list[str]:
    """Run a shell command with `folder` on a disk made so by `disk`, where this user may mount, else by `otherwise`.

    Returns what it said on standard error.
    """
    start, disk = (["unshare", "-rm"], disk) if NAMESPACE else ([], otherwise)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "D": str(folder)}
    command = [*start, "sh", "-c", f"{disk} && {command}"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    bar = re.compile(r"\| \d+/\d+ \[")  # and the empty line that a bar ends with
    return [line for line in done.stderr.splitlines() if line.strip() and not bar.search(line)]


def smoke_run(results: Path) -> str:
    command = [sys.executable, "-m", "kdutils", "run", "table4", "table2", "--profile", "smoke", "--datasets", "digits"]
    return shlex.join([*command, "--device", "cpu", "--results", str(results)])


def test_a_full_disk_is_one_line_and_costs_no_record(smoke_study, tmp_path):
    """Everything is in the cache: only recording is left, and the disk takes half of it."""
    folder, copy = tmp_path / "disk", tmp_path / "copy"
    folder.mkdir()
    command = f"{{ {smoke_run(folder)}; test $? = 2 && cp -a {folder} {copy}; }}"
    said = run_on(folder, "mount -t tmpfs -o size=64k none $D", "ulimit -f 64", command)
    assert len(said) == 1 and said[0].startswith(f"error: {folder}: cannot write records: ")
    assert ("No space left on device" if NAMESPACE else "File too large") in said[0]
    assert list(copy.glob("*.csv")) and not list(copy.glob(".*.tmp"))
    for name in records.IDENTITY:
        records.load(name, copy)
    study = Study("smoke", ["digits"], compute="missing", device="cpu", results=copy)
    study.missing_class()
    study.response()
    assert read(copy) == read(smoke_study.results)


def test_a_full_disk_below_the_cache_is_one_line(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = f"KDUTILS_CACHE=$D {smoke_run(tmp_path / 'results')}"
    said = run_on(folder, "mount -t tmpfs -o size=256k none $D", "ulimit -f 256", command)
    assert said and said[-1].startswith(f"error: {folder}") and "cannot write to the cache" in said[-1]
    assert not any("Traceback" in line for line in said)


def test_a_read_only_folder_of_records_is_one_line(smoke_study, tmp_path):
    if not NAMESPACE and os.getuid() == 0:
        pytest.skip("permissions do not bind root, who may not mount here either")
    folder = tmp_path / "records"
    shutil.copytree(smoke_study.results, folder)
    table = (folder / "missing_class.csv").read_text()
    (folder / "missing_class.csv").write_text("".join(table.splitlines(True)[:-9]))
    said = run_on(folder, "mount --bind $D $D && mount -o remount,ro,bind $D", "chmod -R a-w $D", smoke_run(folder))
    folder.chmod(0o755)
    assert len(said) == 1 and said[0].startswith(f"error: {folder}: cannot write records: ")


# Divergence


def diverging(monkeypatch, chosen) -> None:
    """Let the students that `chosen` picks diverge, and train the others."""
    real = running.distil

    def distil(members, *given, **options):
        found = real(members, *given, **options)
        return [Diverged("loss is nan", 2, 7) if chosen(m) else s for m, s in zip(members, found, strict=True)]

    monkeypatch.setattr(running, "distil", distil)


def test_students_that_diverge_are_recorded_as_failed_and_the_others_as_ever(tiny, monkeypatch, capsys):
    tiny_study(tiny).missing_class()
    wanted = records.load("missing_class", tiny)
    shutil.rmtree(tiny)
    monkeypatch.setenv("KDUTILS_CACHE", str(tiny.parent / "other cache"))
    with monkeypatch.context() as patch:
        diverging(patch, lambda m: m.missing_class == 5 and m.temperature == 9)
        found = tiny_study(tiny).missing_class()
        lost = wanted.query("missing_class == 5 and temperature == 9")
        assert (
            len(lost) == 2
            and len(found) == len(wanted) - 2
            and set(found["run"]) | set(lost["run"]) == set(wanted["run"])
        )
        assert records.load("missing_class", tiny).equals(wanted.drop(lost.index).reset_index(drop=True))
        table = records.load("failures", tiny)
        assert set(table["run"]) == set(lost["run"]) and set(table["reason"]) == {"loss is nan"}
        assert capsys.readouterr().err.count("failed: StudentProtocol ") == 2
        counted = status([tiny_study(tiny, compute="never")]).set_index("artefact")
        assert counted.loc["table4", ["recorded", "missing", "failed", "minutes"]].tolist() == [38, 0, 2, 0]
        patch.setattr(running, "distil", None)  # would be an error
        assert len(tiny_study(tiny).missing_class()) == 38, "they are not tried again"
    path = tiny / "failures.csv"
    path.write_text("".join(path.read_text().splitlines(True)[:-1]))
    assert len(tiny_study(tiny).missing_class()) == 39, "the one whose line is gone was tried again"
    assert len(tiny_study(tiny, compute="always").missing_class()) == 40 and records.load("failures", tiny).empty
    assert records.load("missing_class", tiny).equals(wanted)


def test_a_teacher_that_diverges_costs_its_own_students_alone(tiny, monkeypatch, capsys):
    protocol = experiments.teacher_protocol
    rate = {"teacher": "large"}

    def quick(profile, dataset, teacher, *given):
        found = protocol(profile, dataset, teacher, *given)
        return found if teacher != rate["teacher"] else experiments.dataclasses.replace(found, learning_rate=1e30)

    monkeypatch.setattr(experiments, "teacher_protocol", quick)
    arguments = ["table4", "table2", "--profile", "smoke", "--datasets", "digits", "--device", "cpu"]
    for _ in range(2):  # the second time nothing is tried again, and the end is the same
        with pytest.raises(
            FloatingPointError, match="^21 of 42 runs diverged or learn from one that did; why: .*failures"
        ):
            cli.main(["run", *arguments, "--results", str(tiny)])
        said = capsys.readouterr().err
        (run,) = Study("smoke", ["digits"], results=tiny).runs("teachers")[1:]
        assert (
            f"left out: 20 students of the digits large teacher (equal, seed 0, {run.key}): it or they diverged" in said
        )
        table = records.load("failures", tiny)
        assert table[["kind", "run", "epoch", "step"]].to_numpy().tolist() == [["teacher", run.key, 1, 2]]
        monkeypatch.setattr(running, "train_teacher", None)
    study = tiny_study(tiny, compute="never")
    assert set(study.missing_class()["teacher"]) == {"small"} and len(study.missing_class()) == 20
    assert set(study.response()["teacher"]) == {"small"}
    assert study.provenance("table4", study.missing_class())


def test_whoever_learns_from_a_failed_run_fails_with_it_and_on_this_device_alone(tmp_path):
    study = Study("smoke", ["digits"], device="cpu", results=tmp_path)
    assistant = next(
        r for r in study.runs("related") if any(key(r.protocol) in o.taught_by for o in study.runs("related"))
    )
    name = key(assistant.protocol)
    records.add_failures([(assistant.protocol, Diverged("loss is nan", 1, 1))], study._device, tmp_path)
    failed = {key(r.protocol) for r in study.failed("related")}
    assert {name} < failed
    assert failed >= {key(r.protocol) for r in study.runs("related") if failed & {*r.taught_by}}
    assert len(failed) < len(study.runs("related")) and study.failed("missing_class") == []
    sweep = study.runs("sweep")
    records.add_failures([(sweep[0].protocol, Diverged("loss is nan", 7, 1))], study._device, tmp_path)
    mine = [r for r in sweep if r.protocol == sweep[0].protocol]
    assert study.failed("sweep") == [r for r in mine if r.epochs >= 7] != mine
    path = tmp_path / "failures.csv"
    path.write_text(path.read_text().replace(records.device_name(study._device), "another device"))
    records.seal(tmp_path)
    assert study.failed("related") == study.failed("sweep") == []
