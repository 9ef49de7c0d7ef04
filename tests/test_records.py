"""Evidence tables, the cache of tensors, and the keys of runs."""

import copy
import dataclasses
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from kdutils import protocols, records
from kdutils.errors import Diverged, UserError
from kdutils.experiments import Study
from kdutils.protocols import IMPLIED, StudentProtocol, TeacherProtocol, canonical, key, seed_for

TEACHER = TeacherProtocol(dataset="mnist", data="d", role="teacher-small", seed=0, train_size=None, batch_size=256)
STUDENT = StudentProtocol(
    dataset="mnist",
    data="d",
    seed=0,
    train_size=None,
    batch_size=64,
    epochs=5,
    teacher="t",
    teacher_epoch=10,
    missing_class=3,
    temperature=9.0,
)


def row(**changes) -> dict:
    """A row of missing_class."""
    identity = {"profile": "smoke", "dataset": "digits", "training": "equal", "teacher": "small", "seed": 0}
    values = {"accuracy_missing": 0.5, "accuracy": 0.9, "validation_best": 0.95, "validation_last": 0.94}
    values |= {"bias": 1.5, "accuracy_missing_biased": 0.75, "accuracy_biased": 0.91}
    return {**identity, "missing_class": 0, "temperature": 3.0, "run": "0123456789abcdef", **values, **changes}


def rows() -> list[dict]:
    return [
        row(teacher=teacher, seed=seed, missing_class=missing, temperature=t, run=f"{n:016x}", accuracy_missing=n / 7)
        for n, (teacher, seed, missing, t) in enumerate(
            (teacher, seed, missing, t)
            for teacher in ("small", "large")
            for seed in (0, 1)
            for missing in (0, 9)
            for t in (3.0, 12.0)
        )
    ]


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# Tables


def test_what_was_added_is_loaded(tmp_path):
    records.add("missing_class", rows(), tmp_path)
    found, expected = records.load("missing_class", tmp_path), pd.DataFrame(rows())
    order = records.IDENTITY["missing_class"]
    expected = expected[order + records.VALUES["missing_class"]].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    assert found["run"].str.len().eq(16).all(), "a key of digits alone lost its zeros"


def test_no_records_are_an_empty_table_with_its_columns(tmp_path):
    for name in records.IDENTITY:
        found = records.load(name, tmp_path / "absent")
        assert len(found) == 0 and list(found) == records.IDENTITY[name] + records.VALUES[name]
    assert not (tmp_path / "absent").exists()


def test_the_file_does_not_depend_on_the_order_of_adding(tmp_path):
    records.add("missing_class", rows(), tmp_path / "once")
    for one in np.random.default_rng(0).permutation(rows()):
        records.add("missing_class", [one], tmp_path / "one by one")
    once, other = ((tmp_path / folder / "missing_class.csv").read_bytes() for folder in ("once", "one by one"))
    assert once == other
    assert b"\r" not in once and once.endswith(b"\n") and once.count(b"\n") == 1 + len(rows())


def test_a_new_row_is_one_line_of_a_diff(tmp_path):
    records.add("missing_class", rows()[1:], tmp_path)
    before = (tmp_path / "missing_class.csv").read_text().splitlines()
    records.add("missing_class", rows()[:1], tmp_path)
    after = (tmp_path / "missing_class.csv").read_text().splitlines()
    assert [line for line in after if line in before] == before and len(after) == len(before) + 1


def test_rows_are_sorted_by_number_and_not_by_text(tmp_path):
    records.add("missing_class", rows(), tmp_path)
    table = records.load("missing_class", tmp_path)
    for _, group in table.groupby(["teacher", "seed", "missing_class"]):
        assert group["temperature"].tolist() == [3, 12]


def test_a_row_takes_the_place_of_the_one_with_its_identity(tmp_path):
    records.add("missing_class", rows(), tmp_path)
    records.add("missing_class", [rows()[0] | {"accuracy_missing": 0.125, "temperature": 3}], tmp_path)
    table = records.load("missing_class", tmp_path)
    assert len(table) == len(rows())
    assert table.set_index("run").loc["0" * 16, "accuracy_missing"] == 0.125
    records.add("missing_class", [rows()[0] | {"run": "f" * 16}], tmp_path)
    assert len(records.load("missing_class", tmp_path)) == len(rows()) + 1, "another run is another row"


def test_values_keep_seven_digits_through_many_additions(tmp_path):
    records.add("missing_class", [row(accuracy=1 / 3)], tmp_path)
    for n in range(3):
        records.add("missing_class", [row(run=str(n))], tmp_path)
    table = records.load("missing_class", tmp_path).set_index("run")
    assert table.loc["0123456789abcdef", "accuracy"] == pytest.approx(1 / 3, abs=1e-7)
    assert "0.3333333," in (tmp_path / "missing_class.csv").read_text()


def test_an_unknown_table_is_refused():
    with pytest.raises(UserError, match="did you mean 'missing_class'"):
        records.load("missing_clas")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace(b",accuracy,", b",acuracy,"), "column 'accuracy' is missing"),
        (lambda text: text.replace(b",check\n", b",czech\n"), "column 'check' is missing; python -m kdutils seal"),
        (lambda text: re.sub(rb",[^,\n]*\n", b"\n", text), "column 'check' is missing; python -m kdutils seal"),
        (lambda text: text.replace(b",0.9,", b",0.8,", 1), "line 2 was edited"),
        (lambda text: text.replace(b",0.9,", b",half,", 1), "line 2 was edited"),
        (lambda text: text.replace(b"large", b"small", 1), "line 2 was edited"),
        (lambda text: text + text.splitlines(True)[3], "line 18 says again what a line above it says"),
        (lambda text: b"", "cannot be read: No columns"),
        (lambda text: text + b"a," * 40 + b"b\n", "cannot be read: Error tokenizing"),
        (lambda text: b"\xff\xfe\x00" + text, "cannot be read"),
        (lambda text: text[: text.rindex(b",small")], r"line 17 is damaged"),
        (lambda text: text.replace(b"\n", b"\n<<<<<<< HEAD\n", 1), "line 2 is damaged"),
    ],
    ids=[
        "column",
        "check",
        "unsealed",
        "value",
        "number",
        "identity",
        "twice",
        "empty",
        "fields",
        "bytes",
        "cut",
        "conflict",
    ],
)
def test_a_damaged_table_is_an_error_and_stays_as_it_is(tmp_path, damage, message):
    records.add("missing_class", rows(), tmp_path)
    path = tmp_path / "missing_class.csv"
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    with pytest.raises(UserError, match=message) as error:
        records.load("missing_class", tmp_path)
    assert str(path) in one_line(error)
    with pytest.raises(UserError, match=message):
        records.add("missing_class", rows(), tmp_path)
    assert path.read_bytes() == damaged


def test_an_edit_is_accepted_by_seal_and_changes_its_line_alone(tmp_path):
    records.add("missing_class", rows(), tmp_path)
    path = tmp_path / "missing_class.csv"
    before = path.read_text().splitlines()
    path.write_text(path.read_text().replace(",0.9,", ",0.8,", 1))
    records.seal(tmp_path)
    assert records.load("missing_class", tmp_path)["accuracy"].tolist() == [0.8] + [0.9] * (len(rows()) - 1)
    after = path.read_text().splitlines()
    assert [n for n, (old, new) in enumerate(zip(before, after, strict=True)) if old != new] == [1]
    path.write_text(re.sub(",[^,\n]*\n", "\n", path.read_text()))  # as it was before there were checks
    records.seal(tmp_path)
    assert path.read_text().splitlines() == after


def test_seal_keeps_the_order_of_lines_in_every_file(tmp_path):
    point = {
        "profile": "paper",
        "training": "equal",
        "teacher": "large",
        "split": "test",
        "class": 0,
        "x": 0.0,
        "y": 0.0,
    }
    for dataset in ("mnist", "digits"):
        made = [point | {"dataset": dataset, "seed": 0, "example": n, "run": "a"} for n in range(12)]
        records.add("projection", made, tmp_path)
    before = {path: path.read_text() for path in tmp_path.glob("*.csv")}
    records.seal(tmp_path)
    assert len(before) == 2 and {path: path.read_text() for path in before} == before


def test_a_number_of_many_digits_is_recorded_once(tmp_path):
    row = rows()[0] | {"temperature": 10 / 3}
    for _ in range(2):
        records.add("missing_class", [row], tmp_path)
    assert len(records.load("missing_class", tmp_path)) == 1


def test_an_installed_copy_has_no_commit(tmp_path, monkeypatch):
    """It may lie inside somebody else's checkout, as here."""
    assert records.commit.__wrapped__()
    monkeypatch.setattr(records, "REPOSITORY", ROOT / "kdutils")
    assert records.commit.__wrapped__() == ""


def test_rows_that_git_merged_need_no_seal(tmp_path):
    for name, of in (("ours", rows()[::2]), ("theirs", rows()[1::2]), ("both", rows())):
        records.add("missing_class", of, tmp_path / name)
    lines = {n: (tmp_path / n / "missing_class.csv").read_text().splitlines() for n in ("ours", "theirs", "both")}
    assert set(lines["ours"]) | set(lines["theirs"]) == set(lines["both"])


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "smoke,digits"])
def test_what_is_no_row_is_not_sealed(tmp_path, mark):
    records.add("missing_class", rows(), tmp_path)
    path = tmp_path / "missing_class.csv"
    path.write_text(path.read_text().replace("\n", f"\n{mark}\n", 1))
    before = path.read_bytes()
    with pytest.raises(UserError, match="line 2 is damaged"):
        records.seal(tmp_path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write records|must be a folder") as error:
            records.add("missing_class", rows(), folder)
        assert str(folder) in one_line(error)
        with pytest.raises(UserError, match="cannot write records|must be a folder"):
            records.check_writable(folder)


def test_what_a_killed_write_left_is_overwritten(tmp_path, monkeypatch):
    """A process that is killed cannot clean up: whoever writes the same file next does."""
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        for write in (
            lambda: records.add("missing_class", rows(), tmp_path),
            lambda: records.save_tensors(tmp_path / "t.safetensors", {"x": torch.ones(2)}),
        ):
            with pytest.raises(KeyboardInterrupt):
                write()
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    assert len(records.load("missing_class", tmp_path)) == 0
    records.add("missing_class", rows(), tmp_path)
    records.save_tensors(tmp_path / "t.safetensors", {"x": torch.zeros(2)})
    assert not list(tmp_path.glob(".*.tmp"))
    assert len(records.load("missing_class", tmp_path)) == len(rows())


def test_processes_that_add_at_once_lose_nothing(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, 'tests')\n"
        "from test_records import row; from kdutils import records; from pathlib import Path\n"
        "me, folder = sys.argv[1], Path(sys.argv[2])\n"
        "(folder / ('ready' + me)).touch()\n"
        "while len(list(folder.glob('ready*'))) < 2: time.sleep(0.01)\n"
        "for n in range(25): records.add('missing_class', [row(run=me + str(n), seed=n)], folder)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code, name, str(tmp_path)], cwd=ROOT, env=environment) for name in "ab"
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    found = records.load("missing_class", tmp_path)
    assert set(found["run"]) == {f"{name}{n}" for name in "ab" for n in range(25)}
    assert sorted(p.name for p in tmp_path.iterdir() if "ready" not in p.name) == [".lock", "missing_class.csv"]


def test_shared_seeds_are_those_of_every_training_and_teacher_of_the_data_set():
    seeds = {
        ("mnist", "equal", "small"): (0, 1, 2),
        ("mnist", "4096x50", "large"): (1, 3),
        ("cifar10", "equal", "large"): (0,),
    }
    names = ["dataset", "training", "teacher", "seed"]
    table = pd.DataFrame([(*who, seed) for who, of in seeds.items() for seed in of], columns=names)
    found = records.of_shared_seeds(table)
    assert found.values.tolist() == [
        ["mnist", "equal", "small", 1],
        ["mnist", "4096x50", "large", 1],
        ["cifar10", "equal", "large", 0],
    ]
    assert records.of_shared_seeds(table[:0]).equals(table[:0])


# The table "runs", one file for each data set


def test_runs_stand_in_a_file_for_each_data_set_and_only_the_one_with_news_is_written(tmp_path):
    here = lambda made: records.add_runs(made, "here", tmp_path)
    files = lambda: {path.name: path.stat().st_ino for path in tmp_path.glob("*.csv")}  # a write is a rename
    other = dataclasses.replace(STUDENT, dataset="cifar10")
    here([(STUDENT, 5, 1.0), (TEACHER, 3, 1.0), (other, 5, 2.0)])
    assert (before := files()).keys() == {"runs-cifar10.csv", "runs-mnist.csv"}
    found = records.load("runs", tmp_path)
    assert list(zip(found["kind"], found["run"], strict=True)) == sorted(
        [("student", key(STUDENT)), ("student", key(other)), ("teacher", key(TEACHER))]
    )
    here([(dataclasses.replace(STUDENT, seed=1), 5, 1.0)])
    changed = {name for name, number in files().items() if number != before[name]}
    assert changed == {"runs-mnist.csv"} and len(records.load("runs", tmp_path)) == 4
    path = tmp_path / "runs-cifar10.csv"
    path.write_text(path.read_text().replace("here", "elsewhere"))
    with pytest.raises(UserError, match=r"runs-cifar10\.csv: line 2 was edited"):
        records.load("runs", tmp_path)
    records.seal(tmp_path)
    assert set(records.load("runs", tmp_path)["device"]) == {"here", "elsewhere"}
    (tmp_path / "runs-copy.csv").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=f"run {key(other)} stands in two files") as error:
        records.load("runs", tmp_path)
    one_line(error)


# Failures


def test_a_failure_is_forgotten_when_its_run_succeeds_that_far(tmp_path):
    cpu = torch.device("cpu")
    records.add_failures(
        [(TEACHER, Diverged("loss is nan", 12, 3)), (STUDENT, Diverged("loss is inf", 2, 7))], cpu, tmp_path
    )
    table = records.load("failures", tmp_path).set_index("kind")
    assert table.loc["teacher", ["run", "reason", "epoch", "step"]].tolist() == [key(TEACHER), "loss is nan", 12, 3]
    assert json.loads(table.loc["student", "protocol"]) == json.loads(canonical(STUDENT))
    assert set(table["device"]) == {records.device_name(cpu)} and table["date"].notna().all()
    records.add_runs([(TEACHER, 10, 1.0)], cpu, tmp_path)  # up to the tenth epoch it went well before, too
    assert len(records.load("failures", tmp_path)) == 2
    records.add_runs([(STUDENT, 5, 1.0)], cpu, tmp_path)
    assert records.load("failures", tmp_path)["run"].tolist() == [key(TEACHER)]
    records.add_runs([(TEACHER, 12, 1.0)], cpu, tmp_path)
    assert len(records.load("failures", tmp_path)) == 0 and len(records.load("runs", tmp_path)) == 2


# Tensors


def test_tensors_come_back_and_damaged_ones_do_not(tmp_path, capsys):
    path = tmp_path / "new" / "t.safetensors"
    assert records.load_tensors(path) is None
    tensors = {"a": torch.randn(3, 4).half(), "b": torch.arange(6).view(2, 3).T, "c": torch.tensor(2.5)}
    records.save_tensors(path, tensors)
    found = records.load_tensors(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[n], tensors[n]) and found[n].dtype == tensors[n].dtype for n in tensors)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", bytes(len(whole)), b"x" * 500):
        path.unlink(missing_ok=True)
        path.write_bytes(damaged)
        assert records.load_tensors(path) is None
        assert not path.exists(), "what is damaged is removed, to be built again"
        said = capsys.readouterr().err
        assert said.startswith(f"{path}: damaged (") and said.count("\n") == 1
    for position in random.Random(0).sample(range(len(whole)), 100):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        found = records.load_tensors(path)
        assert (found is None) == (not path.exists())
        # What pads the header, or names the check, says nothing of the tensors.
        assert found is None or all(torch.equal(found[n], tensors[n]) for n in tensors), position
    capsys.readouterr()
    path.symlink_to(path)  # a file that cannot be opened, whoever asks
    assert records.load_tensors(path) is None and not path.is_symlink()
    assert f"{path}: damaged (" in capsys.readouterr().err
    path.mkdir()
    with pytest.raises(UserError, match="cannot be read") as error:
        records.load_tensors(path)
    assert str(path) in one_line(error)


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write to the cache.*KDUTILS_CACHE") as error:
            records.save_tensors(folder / "t.safetensors", {"x": torch.ones(1)})
        one_line(error)


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path))
    assert records.cache_root() == tmp_path
    monkeypatch.setenv("KDUTILS_CACHE", "")
    assert records.cache_root() == Path.home() / ".cache" / "kdutils"


# Keys


@pytest.mark.parametrize("protocol", [TEACHER, STUDENT], ids=["teacher", "student"])
def test_every_field_of_a_protocol_is_in_its_key(protocol):
    keys = {key(protocol)}
    for field in dataclasses.fields(protocol):
        old = getattr(protocol, field.name)
        new = "other" if isinstance(old, str) else (not old) if isinstance(old, bool) else (old or 0) + 1
        changed = copy.copy(protocol)
        object.__setattr__(changed, field.name, new)  # no protocol of a run, and none is checked
        keys.add(key(changed))
    assert len(keys) == 1 + len(dataclasses.fields(protocol))


def test_keys_are_pinned():
    """Recorded evidence is found by these: a field, default or spelling that changes them needs a new SCHEMA."""
    assert canonical(TEACHER) == (
        '{"batch_size":256,"data":"d","dataset":"mnist","dropout":0.5,"kind":"TeacherProtocol","learning_rate":0.001,'
        '"optimizer":"adam","precision":"float32","role":"teacher-small","schema":1,"seed":0,"train_size":null,'
        '"variant":"table7"}'
    )
    assert key(TEACHER) == "68b587bcf9e536ac"
    assert key(STUDENT) == "c8dc4fb0ba610652"
    assert seed_for("order", 0, 1) == 5235859805464026190


def test_fields_at_what_older_runs_implied_leave_their_keys():
    """A recorded student from before `variant` and `counterfeit`: without them its protocol still has its key."""
    runs = records.load("runs").query("kind == 'student'")
    old = runs[~runs["protocol"].str.contains("variant|counterfeit")].iloc[0]
    fields = {name: value for name, value in json.loads(old["protocol"]).items() if name != "kind"}
    assert not {"variant", "counterfeit"} & set(fields)
    for protocol in (StudentProtocol(**fields), StudentProtocol(**fields, variant="table7", counterfeit=None)):
        assert key(protocol) == old["run"] and canonical(protocol) == old["protocol"]
    changed = [{"variant": "relu"}, {"counterfeit": "even"}, {"counterfeit": "permuted"}]
    assert len({old["run"], *(key(StudentProtocol(**fields | change)) for change in changed)}) == 4
    assert IMPLIED[StudentProtocol].items() >= {"variant": "table7", "counterfeit": None}.items()
    # A teacher's variant has always been in its key.
    assert "variant" in canonical(TEACHER) and "variant" not in IMPLIED[TeacherProtocol]


def test_the_source_of_a_students_logits():
    """A counterfeit is made for a temperature, the teacher's own logits serve all."""
    of = lambda **changes: dataclasses.replace(STUDENT, **changes).source
    assert of() == of(temperature=3.0, missing_class=None, variant="relu") == ("t", 10)
    assert of(counterfeit="even") == ("t", 10, "even", 9.0) != of(counterfeit="even", temperature=3.0)
    assert len({of(), of(teacher="u"), of(teacher_epoch=9), of(counterfeit="even"), of(counterfeit="permuted")}) == 5


def test_a_teacher_and_a_student_of_equal_fields_have_two_keys():
    assert json.loads(canonical(TEACHER))["kind"] != json.loads(canonical(STUDENT))["kind"]


def test_no_key_depends_on_the_device(monkeypatch):
    keys = []
    for device in ("cpu", "cuda"):
        study = Study("smoke", ["digits"])
        study._device = torch.device(device)
        keys.append([key(run.protocol) for run in [*study.runs("teachers"), *study.runs("missing_class")]])
    assert keys[0] == keys[1] and len(set(keys[0])) == len(keys[0]) == 62
    for kind in (TeacherProtocol, StudentProtocol):
        assert not {"device", "threads", "torch"} & {field.name for field in dataclasses.fields(kind)}


def test_different_seeds_are_wanted_for_different_things():
    seeds = [seed_for(*parts) for parts in (("order", 0, 1), ("order", 1, 0), ("dropout", 0, 1), ("order", 0, 11))]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**63 for seed in seeds)


def test_reduced_profiles_keep_the_number_of_steps():
    for profile in protocols.PROFILES.values():
        for dataset, full in protocols.FULL_SIZE.items():
            size = profile.train_size[dataset] or full
            steps = size / profile.batch_size(dataset, protocols.TEACHER_BATCH[dataset])
            assert steps == pytest.approx(full / protocols.TEACHER_BATCH[dataset], rel=0.2), (profile.name, dataset)


# Provenance


def test_the_commit_is_a_commit():
    assert re.fullmatch(r"([0-9a-f]{12}\+?)?", records.commit())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/somewhere/kdutils/__main__.py", "run", "table4", "--seeds", "3"], "python -m kdutils run table4 --seeds 3"),
        (["/usr/lib/ipykernel_launcher.py", "-f", "/run/user/kernel.json"], "notebook"),
        (["/opt/bin/pytest", "tests"], "pytest tests"),
        (
            ["/x/kdutils/__main__.py", "run", "table4", "--results", "/home/somebody/my results/"],
            "python -m kdutils run table4 --results 'my results'",
        ),
        (["/x/kdutils/__main__.py", "run", "--results=/home/somebody/out"], "python -m kdutils run --results=out"),
        (["/x/kdutils/__main__.py", "run", "--results=~/out"], "python -m kdutils run --results=out"),
        (
            ["/x/kdutils/__main__.py", "run", "--results", "_build/results"],
            "python -m kdutils run --results _build/results",
        ),
    ],
)
def test_the_command_names_no_folder_of_this_machine(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", arguments)
    assert records.command() == expected
