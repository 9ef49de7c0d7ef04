"""A study: what it accepts, what it runs and what it does not, a kill at any moment, and what it finds."""

import dataclasses
import math
import os
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, read, tiny_study

from kdutils import experiments, records, running
from kdutils.errors import UserError
from kdutils.experiments import ARTEFACTS, Study, status
from kdutils.protocols import FULL_SIZE, PROFILES, key, sweep
from kdutils.running import run_fleet, student_path
from kdutils.training import load_response, snapshot_path


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(running, "train_teacher", fail)
    monkeypatch.setattr(running, "distil", fail)


# What a study accepts


def test_one_dataset_is_a_list_of_one_and_none_counts_twice():
    assert Study(datasets="mnist").datasets == ["mnist"]
    assert Study(datasets=("digits", "mnist", "digits")).datasets == ["digits", "mnist"]


def test_the_namespace_of_a_notebook_is_understood():
    """What papermill and IPython leave there besides parameters: modules, functions, classes, histories."""
    import numpy

    names = {"In": ["", "import numpy"], "Out": {1: 2}, "_": 3, "_i1": "x", "__name__": "__main__", "_oh": {}}
    names |= {"get_ipython": lambda: None, "exit": object(), "quit": object(), "open": open}
    names |= {"numpy": numpy, "pd": pd, "Study": Study, "records": records}
    given = {"profile": "smoke", "compute": "never", "datasets": "digits", "seeds": 2, "device": "cpu", "results": ""}
    study = Study.from_parameters(names | given)
    assert (study.profile, study.datasets, study.seeds, study.compute) == ("smoke", ["digits"], 2, "never")
    assert Study.from_parameters(names) == Study()


# What it takes


def test_the_runs_of_table_4():
    study = Study("paper", ["mnist"], seeds=2)
    runs = study.runs("missing_class")
    equal = [r for r in runs if r.teacher.training == "equal"]
    assert len(equal) == 10 * 6 * 2 * 2
    for run in runs:
        assert run.protocol.teacher == key(run.teacher.protocol) and run.protocol.seed == run.teacher.seed
        assert run.protocol.teacher_epoch == run.teacher.epochs
        assert run.protocol.alpha == 0.99 and run.protocol.scale_by_t2 is False
    assert {r.protocol.temperature for r in runs} == {3, 6, 9, 12, 15, 20}
    alike = {r.teacher.teacher: (r.teacher.protocol.batch_size, r.teacher.epochs) for r in equal}
    assert alike["small"] == alike["large"], "the equal protocol trains both teachers alike"


def test_the_seeds_are_those_of_the_profile_unless_given():
    assert {r.seed for r in Study("paper", ["digits"]).runs("teachers")} == {0, 1, 2}
    assert {r.seed for r in Study("paper", ["digits"], seeds=1).runs("teachers")} == {0}
    assert Study("paper", ["digits"], seeds=1).runs("teachers")[0] == Study("paper", ["digits"]).runs("teachers")[0]


def test_controls_of_few_examples_differ_from_the_students_in_the_response_alone():
    study = Study("paper", ["mnist"], seeds=1)
    plain = {
        r.protocol.examples: r.protocol
        for r in study.runs("few_examples")
        if r.teacher.teacher == "small" and r.protocol.selection == "random"
    }
    controls = study.runs("few_examples_controls")
    assert len(controls) == 2 * len(plain) and {r.names["training"] for r in controls} == {"uniform", "even"}
    for run in controls:
        usual = plain[run.protocol.examples]
        own = {"teacher": "uniform", "teacher_epoch": 0}
        own = {"counterfeit": "even"} if run.names["training"] == "even" else own
        assert run.protocol == dataclasses.replace(usual, **own)
    assert "few_examples_controls" in ARTEFACTS["variations"].groups


def test_few_examples_get_as_many_steps_as_the_whole_transfer_set():
    """Figure 4 at equal steps; each number of examples, selection and teacher once, and at random without a teacher."""
    study = Study("paper", ["mnist"], seeds=1)
    runs = study.runs("few_examples")
    whole = study.runs("missing_class")[0].protocol
    alone = [r for r in runs if r.teacher.teacher == "none"]
    taught = [r for r in runs if r not in alone]
    numbers = {5, 10, 20, 50, 100, 200, 500, 1000, 2000}
    assert len(taught) == 2 * 3 * 9 and {r.protocol.examples for r in taught} == numbers
    assert len(alone) == 9 and {r.protocol.examples for r in alone} == numbers
    assert {(r.protocol.selection, r.protocol.alpha, r.protocol.temperature) for r in alone} == {("random", 0, 1)}
    for run in runs:
        assert run.protocol.epochs * run.protocol.steps == whole.epochs * -(-55_000 // whole.batch_size)
        assert run.protocol.missing_class is None
        assert run.protocol.temperature == 9 or run in alone
    assert {r.protocol.examples for r in Study("cpu", ["cifar10"]).runs("few_examples")} == {5, 20, 50, 200}


def test_the_runs_of_section_5():
    study = Study("paper", ["mnist"], seeds=1)
    cells = {(r.protocol.batch_size, r.epochs) for r in study.runs("sweep")}
    assert {(size, 50) for size in (256, 512, 1024, 2048, 4096, 8192)} | {(8192, 40)} <= cells
    assert {r.teacher for r in study.runs("sweep")} == {"large"}
    assert [r.training for r in study.runs("retrained")] == ["equal", "256x50", "4096x50", "8192x40"]
    baseline = study.runs("baseline")
    assert {r.protocol.role for r in baseline} == {"student-baseline"}
    assert {(r.teacher.training, r.teacher.teacher) for r in baseline} == {
        ("equal", "small"),
        ("equal", "large"),
        ("4096x50", "large"),
        ("uniform", "uniform"),
        ("none", "none"),
    }
    (alone,) = [r.protocol for r in baseline if r.teacher.teacher == "none"]
    assert alone.alpha == 0 and {r.protocol.alpha for r in baseline if r.protocol is not alone} == {0.99}


def test_a_reduced_profile_keeps_the_steps_of_an_epoch():
    full, reduced = PROFILES["paper"], PROFILES["cpu"]
    for size in (256, 4096, 8192):
        steps = [-(-FULL_SIZE["mnist"] // size), -(-5_000 // reduced.batch_size("mnist", size))]
        assert steps[0] == pytest.approx(steps[1], rel=0.05) and full.batch_size("mnist", size) == size


def test_the_retrained_teacher_is_chosen_on_validation(tmp_path):
    """By the final validation accuracy of single-layer students at T = 9, and by nothing else; ties by fewer epochs."""
    study = Study("cpu", ["fashion_mnist"], results=tmp_path)
    assert study.chosen("fashion_mnist") == [], "nothing is recorded yet"
    rows = [
        {
            "profile": "cpu",
            "dataset": "fashion_mnist",
            "training": str(cell),
            "teacher": "large",
            "seed": 0,
            "temperature": t,
            "run": f"{cell}{t}",
            "accuracy": 0.99 if str(cell) == "256x1" else 0.5,
            "validation_best": 0.9,
            "validation_last": 0.8 if cell.batch_size == 1024 and t == 9 else 0.7 + t / 1000,
        }
        for cell in sweep(PROFILES["cpu"], "fashion_mnist")
        for t in (9.0, 20.0)
    ]
    records.add("baseline", rows[:-2], tmp_path)
    assert study.chosen("fashion_mnist") == [], "a cell is lacking"
    records.add("baseline", rows[-2:], tmp_path)
    assert list(map(str, study.chosen("fashion_mnist"))) == ["1024x1"]
    worse = [row | {"seed": 1, "run": "b" * 16, "validation_last": 0.1} for row in rows if row["training"] == "1024x1"]
    records.add("baseline", worse, tmp_path)
    assert list(map(str, study.chosen("fashion_mnist"))) == ["1024x1"], "no other cell has that seed"
    assert list(map(str, Study("cpu", ["mnist"], results=tmp_path).chosen("mnist"))) == ["4096x50"], "as the paper says"


def test_the_full_scale_is_shown_where_it_is_recorded_and_else_the_reduced_one(tmp_path):
    def record(profile: str, dataset: str, teacher: str) -> None:
        row = {"profile": profile, "dataset": dataset, "training": "equal", "teacher": teacher, "seed": 0}
        row |= {"missing_class": 0, "temperature": 9.0, "run": profile + teacher + dataset}
        row |= dict.fromkeys(records.VALUES["missing_class"], 0.5)
        records.add("missing_class", [row], tmp_path)

    for teacher in ("small", "large"):
        record("cpu", "mnist", teacher)
        record("cpu", "fashion_mnist", teacher)
        record("paper", "mnist", teacher)
    record("paper", "fashion_mnist", "small")  # half of it: the reduced profile has more
    shown = Study("paper", ["mnist", "fashion_mnist"], results=tmp_path).missing_class()
    assert set(zip(shown["dataset"], shown["profile"])) == {("mnist", "paper"), ("fashion_mnist", "cpu")}
    assert set(Study("cpu", ["mnist"], results=tmp_path).missing_class()["profile"]) == {"cpu"}
    line = Study("paper", ["mnist", "fashion_mnist"], results=tmp_path).provenance("fig4", shown)
    assert "profile paper: mnist" in line and "profile cpu (indicative): fashion_mnist" in line
    assert (
        "Reduced: fashion_mnist: 5,000 training images; teachers' batches 23 for 256; students' batches 6 for 64"
        in line
    )
    assert "mnist:" not in line.split("Reduced: fashion_mnist:")[1], "nothing is reduced at full scale"
    assert " · 1 seed · " in line
    for profile, dataset in (("paper", "mnist"), ("cpu", "fashion_mnist")):
        assert f"`python -m kdutils run fig4 --profile {profile} --datasets {dataset}`" in line


def test_three_quarters_of_the_trainings_at_full_scale_are_shown_rather_than_all_at_the_reduced_one(tmp_path):
    def record(profile: str, training: str, teacher: str = "large") -> None:
        row = {"profile": profile, "dataset": "mnist", "training": training, "teacher": teacher, "seed": 0}
        row |= {"selection": "random", "examples": 5, "run": profile + training + teacher}
        row |= dict.fromkeys(("accuracy", "validation_best", "validation_last"), 0.5)
        records.add("few_examples", [row], tmp_path)

    shown = lambda: set(Study("paper", ["mnist"], results=tmp_path).few_examples("few_examples_retrained")["profile"])
    kinds = [("equal", "small"), ("equal", "large"), ("none", "none"), ("4096x50", "large"), ("8192x40", "large")]
    for kind in kinds:
        record("cpu", *kind)
    for kind in kinds[:3]:
        record("paper", *kind)
    assert shown() == {"cpu"}, "three of five"
    record("paper", *kinds[3])
    assert shown() == {"paper"}, "four of five"


def test_seeds_are_said_of_each_data_set_and_of_uneven_teachers(tmp_path):
    rows = [
        {"profile": "paper", "dataset": d, "training": "equal", "teacher": t, "seed": s, "run": f"{d}{t}{s}"}
        for d, t, seeds in (("mnist", "small", 3), ("mnist", "large", 1), ("fashion_mnist", "small", 1))
        for s in range(seeds)
    ]
    study = Study("paper", ["mnist", "fashion_mnist", "cifar10"], results=tmp_path)
    line = study.provenance("fig4", pd.DataFrame(rows))
    assert "profile paper: mnist (1 to 3 seeds), fashion_mnist (1 seed) · 5 runs" in line
    assert "cifar10 not yet run" in line and "--profile paper --datasets mnist fashion_mnist cifar10`" in line


# What is run, and what is not


def test_never_runs_and_makes_nothing(tiny, nothing_runs):
    study = tiny_study(tiny, compute="never")
    assert len(study.missing_class()) == len(study.response()) == len(study.soft_labels()) == len(study.images()) == 0
    assert "accuracy_missing" in study.missing_class() and "entropy" in study.response()
    assert not tiny.exists() and not records.cache_root().exists()


def test_what_is_recorded_is_not_run_again(smoke_study, nothing_runs):
    before = {path.name: path.read_bytes() for path in Path(smoke_study.results).glob("*.csv")}
    again = Study("smoke", ["digits"], compute="missing", device="cpu", results=smoke_study.results)
    assert len(again.missing_class()) == 60 and len(again.response()) == 36 and len(again.soft_labels()) == 100
    assert {path.name: path.read_bytes() for path in Path(smoke_study.results).glob("*.csv")} == before
    assert again.missing("missing_class") == again.missing("teachers") == []


def test_a_lost_row_is_read_from_the_cache(tiny, monkeypatch):
    tiny_study(tiny).missing_class()
    before = read(tiny, "missing_class")
    path = tiny / "missing_class.csv"
    lines = path.read_text().splitlines(keepends=True)
    (lost,) = random.sample(range(1, len(lines)), 1)
    path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    for name in ("train_teacher", "distil"):
        monkeypatch.setattr(running, name, None)  # would be an error
    (missing,) = tiny_study(tiny).missing("missing_class")
    assert key(missing.protocol) in lines[lost]
    assert len(tiny_study(tiny).missing_class()) == 40
    assert read(tiny, "missing_class") == before


def test_a_lost_student_alone_is_distilled_again(tiny, monkeypatch):
    tiny_study(tiny).missing_class()
    before = read(tiny, "missing_class")
    lost = tiny_study(tiny).runs("missing_class")[7]
    student_path(lost.protocol).unlink()
    path = tiny / "missing_class.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if key(lost.protocol) not in line))
    made = []
    real = running.distil
    monkeypatch.setattr(running, "distil", lambda members, *a, **k: made.extend(members) or real(members, *a, **k))
    tiny_study(tiny).missing_class()
    assert made == [lost.protocol]
    assert read(tiny, "missing_class") == before


def test_an_earlier_epoch_lost_from_the_cache_does_not_matter(tiny):
    study = tiny_study(tiny)
    study.response()
    before = read(tiny, "response", "soft_labels")
    for run in study.runs("teachers"):
        snapshot_path(run.protocol, 1).unlink()
        assert load_response(run.protocol, run.epochs) is not None
    shutil.rmtree(tiny)
    study.response()
    assert read(tiny, "response", "soft_labels") == before


def test_records_name_the_logits_that_students_learned_from(tiny):
    tiny_study(tiny).missing_class()
    named = records.load("response", tiny).groupby("run")["logits"].agg(set)
    runs = records.load("runs", tiny).set_index("run")["logits"]
    for run in tiny_study(tiny).runs("missing_class"):
        found = load_response(run.teacher.protocol, run.teacher.epochs)
        expected = records.checksum_of({"train": found.train})
        assert named[run.teacher.key] == {expected} and runs[key(run.protocol)] == expected
    assert len(set().union(*named)) == 2 and runs[[*named.index]].isna().all()
    (found,) = experiments.makings(*(records.load(name, tiny) for name in ("runs", "response"))).to_dict("records")
    assert found["students"] == found["recorded"] == 40


def test_a_teacher_made_again_otherwise_is_told(tiny, monkeypatch, capsys):
    """Its recorded response stays; students to come learn from another one, which must not go unseen."""
    tiny_study(tiny).response()
    before = read(tiny, "response")
    teachers = tiny_study(tiny).runs("teachers")
    for run in teachers:
        shutil.rmtree(snapshot_path(run.protocol, 1).parent)
    tiny_study(tiny).ensure("missing_class")
    assert "made again" not in capsys.readouterr().err, "the same making"
    shutil.rmtree(tiny.parent / "cache")
    path = tiny / "missing_class.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    real = running.train_teacher

    def otherwise(protocol, *args, **options):
        real(protocol, *args, **options)
        for snapshot in snapshot_path(protocol, 1).parent.glob("epoch-*.safetensors"):
            found = records.load_tensors(snapshot)
            records.save_tensors(snapshot, found | {"train": found["train"] + 1})

    monkeypatch.setattr(running, "train_teacher", otherwise)
    tiny_study(tiny).ensure("missing_class")
    said = [line for line in capsys.readouterr().err.splitlines() if "made again" in line]
    assert len(said) == 2 and all("digits" in line and "seed 0" in line for line in said)
    assert read(tiny, "response")["response"] == before["response"]
    tables = [records.load(name, tiny) for name in ("runs", "response")]
    assert not set(tables[0].query("kind == 'student'")["logits"]) & set(tables[1]["logits"])
    (found,) = experiments.makings(*tables).to_dict("records")
    assert found == {"dataset": "digits", "students": 40, "recorded": 0, "other": 40, "unknown": 0}
    tables[1].loc[tables[1]["teacher"] == "small", "logits"] = None  # as older records are
    (found,) = experiments.makings(*tables).to_dict("records")
    assert (found["other"], found["unknown"]) == (20, 20)


def test_a_profile_of_ones_own_is_one_as_any_other(tiny, monkeypatch):
    """As the README says: its records stand beside the others', under its name."""
    monkeypatch.setitem(
        PROFILES, "mine", dataclasses.replace(PROFILES["smoke"], name="mine", temperatures={"digits": (9.0,)})
    )
    found = Study("mine", ["digits"], compute="missing", device="cpu", results=tiny).missing_class()
    assert len(found) == 20 and set(found["profile"]) == {"mine"} and set(found["temperature"]) == {9.0}


def test_an_executor_is_one():
    with pytest.raises(UserError, match="executor must be a concurrent.futures.Executor, not a str"):
        Study("smoke", ["digits"], executor="pool")


def test_rates_are_those_of_the_data_sets_asked_for(tmp_path):
    """A second of a fleet on one data set says little of another."""
    runs = {d: Study("paper", [d], 1, results=tmp_path).runs("missing_class")[0].protocol for d in ("mnist", "cifar10")}
    cpu = records.device_name(torch.device("cpu"))
    for dataset, seconds in (("mnist", 1.0), ("cifar10", 2.0)):
        records.add_runs([(runs[dataset], runs[dataset].epochs, seconds)], cpu, tmp_path)
    for alone, seconds in (("mnist", 1.0), ("cifar10", 2.0)):
        rates = experiments._rates(records.load("runs", tmp_path), [alone], cpu)
        done = 2 * experiments.multiply_adds(runs[alone], runs[alone].epochs) * os.cpu_count()  # a process a core
        assert rates == dict.fromkeys((("student", None), ("student", "student")), pytest.approx(done / seconds))


def test_what_it_takes_is_what_it_took(smoke_study):
    """Where all is recorded, the estimate is the sum of the recorded times, each run's once."""
    cpu = records.device_name(torch.device("cpu"))
    (row,) = experiments.what_it_takes(smoke_study, ["fig3", "table4", "fig5"]).to_dict("records")
    took = smoke_study.runs_made().groupby("kind")["seconds"].sum() / 3600
    assert (row["dataset"], row["teachers"], row["students"]) == ("digits", 2, 60)
    assert row["teacher_hours"] == pytest.approx(took["teacher"])
    assert row["student_hours"] == pytest.approx(took["student"] / os.cpu_count())
    # Of more seeds and of other networks it is an estimate, which grows with them.
    (more,) = experiments.what_it_takes(dataclasses.replace(smoke_study, seeds=2), ["table4"]).to_dict("records")
    assert more["student_hours"] == pytest.approx(2 * row["student_hours"]) and more["teachers"] == 4
    (figure,) = experiments.what_it_takes(smoke_study, ["table4", "fig10"]).to_dict("records")
    assert figure["teachers"] > 2 and figure["teacher_hours"] > row["teacher_hours"]
    runs = records.load("runs", smoke_study.results)
    assert all(kind != "teacher" for kind, _ in experiments._rates(runs[runs["kind"] == "student"], ["digits"], cpu))
    with pytest.raises(UserError, match="table or figure"):
        experiments.what_it_takes(smoke_study, ["table 4"])


def test_always_runs_each_once(tiny, monkeypatch):
    tiny_study(tiny).missing_class()
    before = read(tiny)
    trained, distilled = [], []
    train, distil = running.train_teacher, running.distil
    monkeypatch.setattr(
        running, "train_teacher", lambda protocol, *a, **k: trained.append(protocol) or train(protocol, *a, **k)
    )
    monkeypatch.setattr(
        running, "distil", lambda members, *a, **k: distilled.extend(members) or distil(members, *a, **k)
    )
    study = tiny_study(tiny, compute="always")
    study.missing_class()
    study.response()
    assert len(trained) == len(set(trained)) == 2
    assert len(distilled) == len(set(distilled)) == 40
    assert read(tiny) == before, "the same protocols on the same device gave other numbers"


def test_a_fleet_reads_the_cache_of_another(tiny, monkeypatch):
    """What one process distilled, any other finds: a result never depends on whether it came through the cache."""
    study = tiny_study(tiny)
    run = study.runs("missing_class")[0]
    study.ensure("teachers")
    teachers = {(run.protocol.teacher, run.protocol.teacher_epoch): run.teacher.protocol}
    first, second = (run_fleet([run.protocol], teachers, "cpu") for _ in range(2))
    first, second = (x[0] if isinstance(x, list) else x[0][0] for x in (first, second))
    assert torch.equal(first.test, second.test) and torch.equal(first.curve, second.curve)


def test_a_file_in_place_of_the_records_or_the_cache_is_found_before_training(tiny, nothing_runs, monkeypatch):
    (tiny.parent / "file").write_text("")
    with pytest.raises(UserError, match="cannot") as error:
        tiny_study(tiny.parent / "file" / "below").missing_class()
    assert "\n" not in str(error.value)
    monkeypatch.setenv("KDUTILS_CACHE", str(tiny.parent / "file"))
    with pytest.raises(UserError, match="KDUTILS_CACHE"):
        tiny_study(tiny).missing_class()


def test_runs_say_what_made_them(smoke_study):
    runs = smoke_study.runs_made()
    assert runs["kind"].value_counts().to_dict() == {"student": 60, "teacher": 2}
    wanted = {key(r.protocol) for r in [*smoke_study.runs("teachers"), *smoke_study.runs("missing_class")]}
    assert set(runs["run"]) == wanted
    assert runs["torch"].eq(torch.__version__).all() and runs["device"].str.contains("CPU").all()
    text = (Path(smoke_study.results) / "runs-digits.csv").read_text()
    assert str(Path.home()) + "/" not in text and str(ROOT) not in text and "/tmp" not in text


def test_status_counts(smoke_study, tmp_path):
    count = lambda study: status([study]).set_index("artefact")[["recorded", "missing", "minutes"]].T.to_dict("list")
    done = count(dataclasses.replace(smoke_study, compute="never"))
    assert {name: done[name][:2] for name in ("table2", "fig3", "table4")} == {
        "table2": [2, 0],
        "fig3": [2, 0],
        "table4": [60, 0],
    }
    assert all(row[2] == 0 for row in done.values() if row[1] == 0)
    nothing = count(Study("smoke", ["digits"], device="cpu", results=tmp_path / "none"))
    assert nothing["table4"][:2] == [0, 60] and nothing["fig3"][:2] == [0, 2]
    shutil.copytree(smoke_study.results, tmp_path / "copy")
    path = tmp_path / "copy" / "missing_class.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-9]))
    assert count(dataclasses.replace(smoke_study, results=tmp_path / "copy"))["table4"][:2] == [51, 9]
    full = status([Study("paper", ["mnist", "cifar10"], device="cpu", results=tmp_path / "none")])
    assert set(full["artefact"]) >= {"table2", "table3", "table4", "table6", "fig3"}
    assert (full["minutes"] > 1).all() and (full["recorded"] == 0).all()


# What is found


def test_the_small_teacher_teaches_the_missing_class_and_the_large_one_does_not(smoke_study):
    table = smoke_study.missing_class()
    assert len(table) == 10 * 3 * 2 and not table.isna().any().any()
    mean = 100 * table.groupby("teacher")["accuracy_missing"].mean()
    assert mean["small"] - mean["large"] >= 30
    assert table["accuracy"].between(0.6, 0.99).all() and table["validation_last"].gt(0.6).all()
    assert (table["validation_best"] >= table["validation_last"]).all()


def test_the_response_is_what_it_should_be(smoke_study):
    table = smoke_study.response().set_index(["split", "teacher", "temperature"]).sort_index()
    assert (table["accuracy"] > 0.85).all() and table["entropy"].between(0, math.log(10)).all()
    for split in ("train", "validation", "test"):
        for teacher in ("small", "large"):
            entropies = table.loc[(split, teacher), "entropy"]
            assert entropies.is_monotonic_increasing, "a higher temperature flattens"
        assert (table.loc[(split, "small"), "entropy"] > table.loc[(split, "large"), "entropy"]).all()


def test_soft_labels_are_those_of_five_sixes(smoke_study):
    table, images = smoke_study.soft_labels(), smoke_study.images()
    sums = table.groupby(["teacher", "example"])["probability"].sum()
    assert len(sums) == 10 and sums.to_numpy() == pytest.approx(1, abs=1e-5)
    assert set(images["label"]) == {6} and set(images["index"]) == set(table["index"]) and len(images) == 5
    assert images["pixels"].map(bytes.fromhex).map(len).eq(64).all()


def test_both_claims_are_reproduced_on_the_digits(smoke_study):
    found = smoke_study.verdicts()
    found = found.set_index("claim").loc[["entropy-gap", "missing-class-gap"]]
    assert (found["verdict"] == "reproduced").all()
    assert (found["seeds"] == 1).all() and found[["low", "high"]].isna().all().all()


def test_the_bar_of_students_in_a_pool_moves_before_a_fleet_has_ended(tmp_path, monkeypatch):
    """The pool's counter is what the bar shows at each tick; it never goes back when a fleet has ended."""
    monkeypatch.setenv("KDUTILS_CACHE", str(tmp_path / "cache"))
    shown, bars, ending, make = [], [], experiments.in_order_of_ending, experiments.progress

    def watched(pool, work, jobs, tick=None):
        if tick:
            pool.epochs.value += 1  # of a fleet that is under way
            tick()
            shown.append(bars[-1].n)
            pool.epochs.value -= 1
        yield from ending(pool, work, jobs, tick)

    def bar(**options):
        bars.append(make(**options))
        return bars[-1]

    monkeypatch.setattr(experiments, "fleets", lambda members, device: [members[::2], members[1::2]])
    monkeypatch.setattr(experiments, "in_order_of_ending", watched)
    monkeypatch.setattr(experiments, "progress", bar)
    Study("smoke", ["digits"], seeds=1, compute="missing", device="cpu", results=tmp_path).ensure("missing_class")
    assert shown == [1] and bars[-1].n == bars[-1].total
