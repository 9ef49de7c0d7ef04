"""The systems of section 2 on the digits: each end to end, at equal steps and trials, its costs counted by hand."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from kdutils import plots, records, related, running
from kdutils.data import load_dataset
from kdutils.experiments import StudentRun, Study
from kdutils.fleet import distil
from kdutils.losses import residual_logits
from kdutils.models import count_multiply_adds, count_parameters, create_model
from kdutils.protocols import PROFILES, key
from kdutils.related import HELPER, SYSTEMS, TRIALS, chosen, costs, spot, summary, teacher_assistants
from kdutils.running import load_student, response_of, student_path
from kdutils.training import load_response, stratified

CPU = torch.device("cpu")
TINY = dataclasses.replace(
    PROFILES["smoke"],
    train_size=PROFILES["smoke"].train_size | {"digits": 200},
    teacher_epochs=PROFILES["smoke"].teacher_epochs | {"digits": 3},
    student_epochs=PROFILES["smoke"].student_epochs | {"digits": 2},
    sweep=PROFILES["smoke"].sweep | {"digits": (32, 512)},
    sweep_epochs=PROFILES["smoke"].sweep_epochs | {"digits": 5},
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two seeds of the comparison at a profile of seconds, run once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "smoke", TINY)
        patch.setenv("KDUTILS_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = Study("smoke", ["digits"], 2, "missing", "cpu", tmp_path_factory.mktemp("records"))
        made.related()
        yield made


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the students that are trained from here on."""
    found = []
    train = running.distil
    monkeypatch.setattr(
        running, "distil", lambda members, *a, **k: found.extend(map(key, members)) or train(members, *a, **k)
    )
    return found


def of(study: Study, system: str, seed: int = 0) -> list[StudentRun]:
    return [r for r in study.runs("related") if r.system == system and r.protocol.seed == seed]


def test_every_system_is_recorded_at_equal_trials(study):
    table = study.related()
    trials = table[table["system"] != HELPER].groupby(["system", "seed"])["run"].nunique()
    assert set(table["system"]) == {*SYSTEMS, HELPER} and len(trials) == len(SYSTEMS) * 2
    assert (trials == TRIALS).all()
    assert table["run"].is_unique and not table.isna().any().any()
    assert table["accuracy"].between(0.05, 1).all() and table["entropy"].between(0, 2.3026).all()
    assert study.missing("related") == []


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "cifar10", "digits"])
@pytest.mark.parametrize("profile", PROFILES)
def test_every_student_gets_equal_steps_on_the_same_images(profile, dataset):
    runs = Study(profile, [dataset], 1).runs("related")
    compared = [r for r in runs if r.system != HELPER]
    shared = (
        "dataset",
        "role",
        "variant",
        "seed",
        "train_size",
        "batch_size",
        "epochs",
        "steps",
        "examples",
        "missing_class",
    )
    for field in (*shared, "optimizer", "precision"):
        assert len({getattr(r.protocol, field) for r in compared}) == 1, field
    assert {(r.protocol.role, r.protocol.variant) for r in compared} == {("student", "table7")}
    counts = pd.Series([r.system for r in compared]).value_counts()
    assert set(counts.index) == set(SYSTEMS) and (counts == TRIALS).all()
    assert len({key(r.protocol) for r in runs}) == len(runs), "no trial is another system's"
    rates = {s: {r.protocol.learning_rate for r in compared if r.system == s} for s in SYSTEMS}
    assert all((min(found), max(found)) == (1e-3, 3e-3) for found in rates.values()), "one range of rates for all"


def test_a_second_run_trains_nothing(study, trained):
    before = {p.name: p.read_bytes() for p in Path(study.results).glob("*.csv")}
    study.related()
    assert trained == [] and before == {p.name: p.read_bytes() for p in Path(study.results).glob("*.csv")}


def test_few_fleets(study):
    """All students of a seed that wait for nobody in one fleet, all others in another."""
    runs = study.runs("related")
    waves = study._in_waves("related", runs)
    students = [[r for r in wave if r.system != HELPER] for wave in waves]
    assert [len(of) // 2 for of in students] == [10 * TRIALS, 0, 4 * TRIALS]
    seen: set[str] = set()
    for wave in waves:
        assert all(set(r.taught_by) <= seen for r in wave), "a teacher comes before whom it teaches"
        seen |= {key(r.protocol) for r in wave}
    assert len(seen) == len(runs)


# What each learns from


def relearnt(study: Study, run: StudentRun, teacher: torch.Tensor) -> torch.Tensor:
    """Test logits of the run's student, distilled by hand from these logits on the transfer set."""
    sets = {split: load_dataset("digits", split) for split in ("train", "validation", "test")}
    transfer = sets["train"].subset(stratified(sets["train"].labels, 200))
    given = {(run.protocol.teacher, run.protocol.teacher_epoch): teacher}
    (found,) = distil([run.protocol], transfer, given, sets["validation"], sets["test"], CPU, stacked=False)
    return found.test


def of_student(run: StudentRun) -> torch.Tensor:
    return load_student(run.protocol, train=True).train


def of_teacher(run: StudentRun) -> torch.Tensor:
    return load_response(run.teacher.protocol, run.teacher.epochs).train


CASES: dict[str, Callable[[Study], torch.Tensor]] = {
    "Eq. 4": lambda s: of_teacher(of(s, "Eq. 4")[0]),
    "sweet spot": lambda s: of_teacher(of(s, "sweet spot")[0]),
    "self-training": lambda s: of_student(of(s, "hard labels")[0]),
    "one assistant": lambda s: of_student(of(s, HELPER)[0]),
    "two assistants": lambda s: of_student(of(s, HELPER)[1]),
    "residual": lambda s: residual_logits(
        of_teacher(of(s, "logit matching")[0]), of_student(of(s, "logit matching")[0])
    ),
}


@pytest.mark.parametrize("system", CASES)
def test_what_a_student_learns_from(study, system):
    run = of(study, system)[0]
    found = relearnt(study, run, CASES[system](study))
    stored = load_student(run.protocol).test
    torch.testing.assert_close(stored, found, rtol=0, atol=0.02)  # stored in half precision, trained in another fleet
    other = relearnt(study, run, -CASES[system](study))
    assert (other - stored).abs().max() > 0.2, "it should matter whom it learns from"


def test_assistants_are_distilled_down_the_chain(study):
    first, second = of(study, HELPER)
    assert [{"variant": r.protocol.variant} for r in (first, second)] == list(related.CHAIN["digits"])
    assert first.teacher.teacher == "large" and second.protocol.teacher == key(first.protocol)
    assert second.teacher.teacher == "student width*3"


@pytest.mark.parametrize("dataset", related.CHAIN)
def test_assistants_stand_between_teacher_and_student_in_size(dataset):
    networks = ({"role": "teacher-large"}, *related.CHAIN[dataset], {})
    sizes = [count_parameters(create_model(dataset, **{"role": "student"} | n)) for n in networks]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4


def test_a_chain_may_be_of_any_length_and_sizes(study):
    large = of(study, "Eq. 4")[0].teacher
    chain = [{"variant": f"width*{n}"} for n in (5, 4, 2)]
    runs = teacher_assistants(study, "long", large, chain)
    variants = [r.protocol.variant for r in runs]
    assert variants == ["width*5", "width*4", "width*2"] + ["table7"] * TRIALS
    assert [r.protocol.teacher for r in runs[1:]] == [key(r.protocol) for r in runs[:2]] + [
        key(runs[2].protocol)
    ] * TRIALS


def test_the_sum_is_deployed(study):
    labels = {split: load_dataset("digits", split).labels for split in ("validation", "test")}
    for run in of(study, "residual"):
        student, assistant = load_student(run.beside), load_student(run.protocol)
        (row,) = study.related().query("run == @key(@run.protocol)").to_dict("records")
        for split, column in (("test", "accuracy"), ("validation", "validation_last")):
            both = getattr(student, split) + getattr(assistant, split)
            assert row[column] == pytest.approx(float((both.argmax(1) == labels[split]).float().mean()))
        assert (row["alpha"], row["learning_rate"]) == (run.beside.alpha, run.beside.learning_rate)


def test_the_papers_sweet_spot_for_mnist():
    assert str(spot(Study("paper", ["mnist"]), "mnist")) == "4096x50"


def test_entropies_are_those_of_the_responses(study):
    table = study.related().groupby("system")["entropy"].mean()
    assert table["hard labels"] == 0 and table["label smoothing"] == pytest.approx(torch.tensor(10.0).log())
    labels = load_dataset("digits", "test").labels
    run = of(study, "one assistant")[0]
    logits = response_of((run.protocol.teacher, run.protocol.teacher_epoch), run.sources, "test", labels)
    p = (logits.double() / 9).softmax(1)
    (row,) = study.related().query("run == @key(@run.protocol)").to_dict("records")
    assert row["entropy"] == pytest.approx(float(-(p * p.log()).sum(1).mean()), rel=1e-4)


# What is lost is made again


def test_a_teacher_whose_logits_are_gone_is_trained_again_and_only_it(study, trained, tmp_path):
    """Recorded, but no longer in the cache: the assistants come back with the student that is asked for."""
    results = tmp_path / "records"
    results.mkdir()
    lost = of(study, "two assistants")[0]
    for name in ("response", "runs", "history", "soft_labels", "scatter", "projection", "related"):
        table = records.load(name, study.results)
        if name in ("related", "runs"):
            table = table[table["run"] != key(lost.protocol)]
        records.add(name, table.to_dict("records"), results)
    assistants = of(study, HELPER)
    for protocol in (lost.protocol, *(r.protocol for r in assistants)):
        student_path(protocol).unlink()
    again = dataclasses.replace(study, results=results)
    (before,) = study.related().query("run == @key(@lost.protocol)")["accuracy"]
    (after,) = again.related().query("run == @key(@lost.protocol)")["accuracy"]
    assert trained == [key(r.protocol) for r in assistants] + [key(lost.protocol)]
    assert after == pytest.approx(before, abs=0.02)


# Costs


def test_costs_against_a_count_by_hand(study):
    table = study.related()
    cost = costs(table["run"], study.runs_made())
    macs = {
        v: count_multiply_adds(create_model("digits", "student", variant=v), "digits") for v in ("width*3", "width*2")
    }
    macs["student"] = count_multiply_adds(create_model("digits", "student"), "digits")
    macs |= {r: count_multiply_adds(create_model("digits", f"teacher-{r}"), "digits") for r in ("small", "large")}
    student, large = 2 * 200, 3 * 200  # epochs x images
    expected = {  # teacher-side passes and multiply-adds
        **dict.fromkeys(("hard labels", "label smoothing", "virtual teacher"), (0, 0)),
        **dict.fromkeys(
            ("Eq. 4", "Eq. 4 with T²", "logit matching", "decoupled", "standardised", "residual"),
            (large, 3 * large * macs["large"]),
        ),
        "Eq. 4, small teacher": (large, 3 * large * macs["small"]),
        "sweet spot": (5 * 200, 3 * 5 * 200 * macs["large"]),
        "self-training": (student, 3 * student * macs["student"]),
        "one assistant": (large + student, 3 * (large * macs["large"] + student * macs["width*3"])),
        "two assistants": (
            large + 2 * student,
            3 * (large * macs["large"] + student * (macs["width*3"] + macs["width*2"])),
        ),
    }
    assert set(expected) == set(SYSTEMS)
    parameters = count_parameters(create_model("digits", "student"))
    for row in table[table["system"] != HELPER].itertuples():
        found, twice = cost.loc[row.run], 2 if row.system == "residual" else 1
        assert (found["teacher_passes"], found["teacher_multiply_adds"]) == expected[row.system], row.system
        assert found["student_passes"] == twice * student and found["parameters"] == twice * parameters
        assert found["student_multiply_adds"] == twice * 3 * student * macs["student"]


def test_planned_costs_are_those_of_the_runs(study):
    planned = related.planned(study).set_index("system")
    found = summary(study.related(), study.runs_made()).set_index("system")
    columns = [
        "parameters",
        "teacher_passes",
        "student_passes",
        "teacher_multiply_adds",
        "student_multiply_adds",
        "cost",
    ]
    assert list(planned.index) == list(SYSTEMS)
    pd.testing.assert_frame_equal(planned[columns].astype(float), found[columns].astype(float))


def test_what_the_page_says_of_costs_at_full_scale():
    planned = related.planned(Study("paper", ["mnist", "fashion_mnist", "cifar10"]))
    cost = planned.pivot(index="dataset", columns="system", values="cost")
    assert (cost[["one assistant", "two assistants", "residual"]] > 1).all(axis=None)
    longer = cost.loc[["mnist", "fashion_mnist"]]
    assert (longer["sweet spot"] - 1 > 3 * (longer["two assistants"] - 1)).all(), "retraining outweighs assistants"
    assert (longer["Eq. 4, small teacher"] > 1).all(), "small counts parameters"
    assert cost.loc["cifar10", "sweet spot"] == 1
    alone = ["hard labels", "label smoothing", "virtual teacher", "self-training"]
    assert cost[alone].max(axis=None) < cost.drop(columns=alone).min(axis=None)


def test_seconds_are_those_of_the_runs_as_long_as_they_were_trained(study):
    runs = study.runs_made().set_index("run")
    sweep, eq4 = (of(study, s)[0] for s in ("sweet spot", "self-training"))
    cost = costs([key(sweep.protocol), key(eq4.protocol)], study.runs_made())
    assert cost.loc[key(sweep.protocol), "teacher_seconds"] == pytest.approx(
        runs.loc[sweep.teacher.key, "seconds"] * sweep.teacher.epochs / runs.loc[sweep.teacher.key, "epochs"]
    )
    assert cost.loc[key(eq4.protocol), "teacher_seconds"] == runs.loc[eq4.teacher.key, "seconds"]


# What is chosen and shown


def trials(values: dict[float, list[tuple[float, float]]], system: str = "Eq. 4") -> pd.DataFrame:
    """Rows of one system: by temperature, (validation, test) for each seed."""
    return pd.DataFrame(
        {
            "profile": "smoke",
            "dataset": "digits",
            "system": system,
            "training": "equal",
            "teacher": "large",
            "temperature": t,
            "alpha": 0.99,
            "learning_rate": 1e-3,
            "seed": seed,
            "run": f"{t}-{seed}",
            "validation_last": validation,
            "validation_best": 1.0,
            "accuracy": test,
            "entropy": 1.0,
        }
        for t, pairs in values.items()
        for seed, (validation, test) in enumerate(pairs)
    )


def test_the_setting_is_chosen_on_validation_over_all_seeds():
    table = trials({3.0: [(0.9, 0.5), (0.7, 0.5)], 9.0: [(0.85, 0.4), (0.8, 0.4)], 20.0: [(0.6, 0.99), (0.6, 0.99)]})
    best = chosen(table)
    assert set(best["temperature"]) == {9.0} and len(best) == 2
    cut = trials({3.0: [(0.8, 0.5), (0.8, 0.5)], 9.0: [(0.99, 0.4)]})
    assert set(chosen(cut)["temperature"]) == {3.0}, "a setting that lacks a seed is not compared"
    assert len(chosen(table.iloc[:0])) == 0


def test_the_summary_of_the_comparison(study):
    table = study.related()
    shown = summary(table, study.runs_made())
    assert shown["system"].tolist() == list(SYSTEMS) and (shown["trials"] == TRIALS).all()
    hard = shown.set_index("system").loc["hard labels"]
    assert hard["gain"] == 0 and hard["seeds"] == 2
    best = chosen(table)
    for row in shown.itertuples():
        assert row.accuracy == pytest.approx(best.loc[best["system"] == row.system, "accuracy"].mean())
        assert row.gain == pytest.approx(row.accuracy - hard["accuracy"])
        assert row.over == pytest.approx(row.accuracy - shown.set_index("system").loc["Eq. 4", "accuracy"])
    cost = shown.set_index("system")["cost"]
    assert cost["Eq. 4"] == 1 and cost["sweet spot"] == pytest.approx(5 / 3, rel=0.02), "five epochs for three"
    assert cost["hard labels"] < cost["self-training"] < 1 < cost["one assistant"] < cost["two assistants"]
    student = 2 * 200
    tuning = shown.set_index("system")["tuning_passes"]
    assert tuning["hard labels"] == TRIALS * student and tuning["Eq. 4"] == TRIALS * student + 3 * 200
    assert tuning["two assistants"] == (TRIALS + 2) * student + 3 * 200
    assert tuning["residual"] == 2 * TRIALS * student + 3 * 200
    assert summary(table.iloc[:0], study.runs_made()).empty
    part = summary(table[table["system"] != "residual"], study.runs_made())  # which may not be run yet
    assert related.findings(part)
    assert len(plots.related_overview(part, ("Eq. 4", "residual"), "", "overview").frame) == 1


def test_what_is_said_of_the_noise():
    """Two systems of which one is ahead in all seeds alike, and the chance that is owed to their number."""
    rows = {"seeds": 3, "cost": 1.0, "dataset": "digits", "gain_low": -1.0, "gain_high": 1.0}
    table = pd.DataFrame([{**rows, "system": s, "over_low": -0.01, "over_high": 0.01} for s in SYSTEMS])
    table.loc[table["system"] == "one assistant", ["over_low", "cost"]] = [0.002, 1.5]
    table.loc[table["system"] == "Eq. 4", ["over_low", "over_high"]] = 0.0
    (text,) = related.findings(table)
    assert "ahead of Eq. 4: one assistant; behind: none" in text
    assert "ahead of hard labels: none; behind: none" in text
    assert (
        "Of 13 comparisons" in text
        and "0.7 would" in text
        and text.endswith("where they are more: one assistant 1.50.")
    )
    assert related.findings(pd.DataFrame()) == []
