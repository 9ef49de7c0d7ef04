"""Open choices made otherwise: that each changes what it names and nothing else, and what is recorded of it."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Here

from kdutils import experiments, plots, records, running
from kdutils.data import load_dataset
from kdutils.experiments import Study, multiply_adds
from kdutils.fleet import distil
from kdutils.models import INPUT_SHAPES, VARIANTS, create_model
from kdutils.protocols import FULL_SIZE, PROFILES, ROLES, TEACHERS, Training, key, seed_for, sweep, trainings
from kdutils.records import IDENTITY, VALUES, load_tensors
from kdutils.response import COUNTERFEITS, best_bias, counterfeit
from kdutils.running import student_path
from kdutils.training import load_response
from kdutils.variations import (
    Variation,
    _size_of,
    by_depth,
    findings,
    matched,
    named_and_known,
    of_same_seeds,
    summarise,
    variations,
)

DATASETS = tuple(FULL_SIZE)
EACH = [(dataset, v) for dataset in DATASETS for v in Study("paper", [dataset]).varied(dataset)]
OTHERS = [(dataset, v) for dataset, v in EACH if v.name != "equal"]
named = lambda value: value.name if isinstance(value, Variation) else value


def runs_of(dataset: str, variation: Variation, profile: str = "paper") -> list:
    return Study(profile, [dataset])._vary(variation, dataset, 0)


def equal_runs(dataset: str) -> dict:
    """The "equal" students, by teacher, missing class and temperature."""
    equal = Study("paper", [dataset]).varied(dataset)[0]
    return {place(run): run for run in runs_of(dataset, equal)}


def place(run) -> tuple:
    return run.teacher.teacher, run.protocol.missing_class, run.protocol.temperature


def differing(one: object, other: object) -> set[str]:
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}


# What they are


@pytest.mark.parametrize("dataset", DATASETS)
def test_names_are_unique_and_equal_comes_first(dataset):
    found = variations(dataset, trainings(PROFILES["paper"], dataset)["equal"]["small"])
    names = [v.name for v in found]
    assert names[0] == "equal" and len(set(names)) == len(names) and "none" not in names
    assert set(COUNTERFEITS) <= set(names) and names[1:5] == list(COUNTERFEITS)
    assert not (found[0].teacher or found[0].student or found[0].training) and found[0].teachers == TEACHERS


@pytest.mark.parametrize(("dataset", "variation"), OTHERS, ids=named)
def test_a_variation_changes_what_it_names_and_nothing_else(dataset, variation):
    usual, equal = equal_runs(dataset), trainings(PROFILES["paper"], dataset)["equal"]["small"]
    how = variation.training or equal
    runs = runs_of(dataset, variation)
    assert {run.teacher.teacher for run in runs} == set(variation.teachers)
    for run in runs:
        one, other = run.teacher.protocol, usual[place(run)].teacher.protocol
        assert differing(one, other) == set(variation.teacher) | (
            {"batch_size"} if how.batch_size != equal.batch_size else set()
        )
        assert all(getattr(one, name) == value for name, value in variation.teacher.items())
        assert run.teacher.epochs == how.epochs and run.names["training"] == variation.name
        member, wanted = run.protocol, set(variation.student)
        assert all(getattr(member, name) == value for name, value in variation.student.items())
        wanted = {n for n in wanted if getattr(usual[place(run)].protocol, n) != variation.student[n]}
        wanted |= {"teacher"} if key(one) != key(other) else set()
        wanted |= {"teacher_epoch"} if how.epochs != equal.epochs else set()
        assert differing(member, usual[place(run)].protocol) == wanted
        assert wanted, "it is the equal student"
        assert member.teacher == key(one) and member.teacher_epoch == run.teacher.epochs


@pytest.mark.parametrize(("dataset", "variation"), EACH, ids=named)
def test_students_lack_each_class_and_where_it_says_so_none(dataset, variation):
    classes = [*range(10), *[None] * variation.whole]
    runs = [run for run in runs_of(dataset, variation) if run.teacher.teacher != "none"]
    wanted = set(itertools.product(variation.teachers, classes, variation.temperatures))
    assert {place(run) for run in runs} == wanted and len(runs) == len(wanted)
    assert len({run.identity for run in runs}) == len(runs)


def test_equal_has_a_student_of_hard_labels_beside_it():
    (alone,) = [run for place, run in equal_runs("mnist").items() if place[0] == "none"]
    assert alone.names["training"] == "none" and alone.protocol.alpha == 0 and alone.protocol.missing_class is None


def test_the_equal_students_are_those_of_the_tables():
    study = Study("paper", ["mnist"], seeds=1)
    table = {key(run.protocol) for run in study.runs("missing_class")}
    equal = [run for run in equal_runs("mnist").values() if run.protocol.missing_class is not None]
    assert {key(run.protocol) for run in equal} <= table and len(equal) == 60


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_network_of_a_variation_can_be_built_and_answers(dataset):
    images = torch.rand(2, *INPUT_SHAPES[dataset], INPUT_SHAPES[dataset][1], generator=torch.Generator().manual_seed(0))
    networks = {(ROLES[t], v.teacher.get("variant", "table7")) for d, v in EACH if d == dataset for t in v.teachers}
    networks |= {("student", v.student.get("variant", "table7")) for d, v in EACH if d == dataset}
    for role, variant in networks:
        model = create_model(dataset, role, variant=variant, seed=0).eval()
        with torch.no_grad():
            logits = model(images)
        assert logits.shape == (2, 10) and logits.isfinite().all(), (role, variant)
        assert not torch.allclose(logits[0], logits[1])


def test_every_variant_is_used():
    """Those by which widths are multiplied are the assistants' of section 2."""
    fields = [fields for _, v in EACH for fields in (v.teacher, v.student)]
    wanted = {name for name in VARIANTS if not name.startswith("width*")}
    assert {name for f in fields for name in f.get("variant", "table7").split("+")} == wanted


@pytest.mark.parametrize("profile", PROFILES)
def test_a_name_that_says_how_long_is_true_at_every_profile(profile):
    for dataset in DATASETS:
        for variation in Study(profile, [dataset]).varied(dataset):
            if variation.training and variation.topic == "length":
                epochs = int(variation.name.removesuffix(" epochs"))
                assert {run.teacher.epochs for run in runs_of(dataset, variation, profile)} == {epochs}
            elif variation.training:
                how = Training(*map(int, variation.name.split(",")[0].split("x")))
                (protocol,) = {run.teacher.protocol for run in runs_of(dataset, variation, profile)}
                assert variation.training == how and protocol.batch_size == PROFILES[profile].batch_size(
                    dataset, how.batch_size
                )


def test_a_depth_changes_the_number_of_convolutions_alone():
    for dataset, own in (("mnist", 3), ("fashion_mnist", 4)):
        found = {v.name: v for v in variations(dataset, trainings(PROFILES["paper"], dataset)["equal"]["small"])}
        size = lambda name, dataset=dataset, found=found: _size_of(dataset, "large", found[name])
        hidden = size("equal")[1]
        assert size("equal")[2:] == (own, own + hidden + 1) and size("no-dense")[2:] == (own, own + 1)
        for n in {1, 2, 3, 4, 5} - {own}:
            assert size(f"depth-{n}, no dropout")[1:3] == (hidden, n) and size(f"no-dense+depth-{n}")[1:3] == (0, n)
        assert f"no-dense+depth-{own}" not in found


def test_plain_teachers_by_depth():
    columns = ["dataset", "profile", "training", "teacher", "temperature", "convolutions", "hidden"]
    rows = [
        *(
            ("mnist", p, "equal", t, 9.0, *layers)
            for p in ("paper", "cpu")
            for t, layers in (("small", (2, 0)), ("large", (3, 2)))
        ),
        ("mnist", "cpu", "no-dense+depth-1", "large", 9.0, 1, 0),
        ("mnist", "paper", "no-dense+depth-5", "large", 9.0, 5, 0),
        ("mnist", "paper", "no-dense+depth-5, told nothing", "large", 9.0, 5, 0),
        ("mnist", "paper", "depth-4, no dropout", "large", 9.0, 4, 2),
        ("mnist", "paper", "no-dense+depth-5", "large", 3.0, 5, 0),
        ("mnist", "paper", "relu", "small", 9.0, 2, 0),
        ("mnist", "paper", "dense, no dropout", "small", 9.0, 2, 2),
        ("mnist", "paper", "4096x50", "large", 9.0, 3, 2),
        ("fashion_mnist", "cpu", "equal", "small", 9.0, 3, 0),
        ("fashion_mnist", "cpu", "no-dense+depth-2", "large", 9.0, 2, 0),
        ("fashion_mnist", "paper", "equal", "small", 9.0, 3, 0),
        ("cifar10", "paper", "equal", "small", 9.0, 3, 1),
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["topic"] = np.where(table["training"].str.contains("told nothing"), "control", "network")
    found = by_depth(table.assign(layers=table["convolutions"] + table["hidden"] + 1))
    assert found[["dataset", "profile", "training", "plain", "layers"]].to_numpy().tolist() == [
        ["mnist", "paper", "equal", False, 3],
        ["mnist", "paper", "relu", True, 3],
        ["mnist", "paper", "no-dense+depth-5", True, 6],
        ["mnist", "paper", "equal", False, 6],
        ["mnist", "paper", "depth-4, no dropout", True, 7],
        ["fashion_mnist", "cpu", "no-dense+depth-2", True, 3],
        ["fashion_mnist", "cpu", "equal", True, 4],
    ]


def test_the_small_teacher_of_relu_is_the_large_one_of_two_convolutions():
    """And Fashion-MNIST's small teacher, as it is, that of three: `by_depth` counts them among the plain ones."""
    same = lambda dataset, small, large: (
        str(create_model(dataset, "teacher-small", variant=small))
        == str(create_model(dataset, "teacher-large", variant=large))
    )
    assert same("mnist", "relu", "no-dense+depth-2") and same("fashion_mnist", "table7", "no-dense+depth-3")
    assert not same("mnist", "table7", "no-dense+depth-2")


def test_an_estimate_knows_the_network():
    runs = {v.name: runs_of("mnist", v)[0] for v in Study("paper", ["mnist"]).varied("mnist")}
    cost = lambda name: multiply_adds(runs[name].teacher.protocol, 1)
    assert 0 < cost("width/8") < cost("width/2") < cost("equal")
    student = lambda name: multiply_adds(runs[name].protocol, 1)
    assert student("student of the large one's family") != student("equal")


# How much of them a profile runs


def test_the_smoke_profile_runs_few():
    few = ["equal", *COUNTERFEITS, "alpha 0.99, T²"]
    for dataset in DATASETS:
        study = Study("smoke", [dataset])
        assert [v.name for v in study.varied(dataset)] == few
        runs = study.runs("variations")
        assert {run.protocol.temperature for run in runs} == {9.0, 1.0}, "1 is that of the student of hard labels"
        # Two teachers: eleven students each of equal, the counterfeits and T²; and one of hard labels.
        assert len(runs) == 2 * 11 * 6 + 1
        said = Study("smoke", [dataset]).full.reductions(dataset, {"variations"})
        assert all(f'"{name}"' in said for name in few) and "T = 9 alone" in said
        assert "variations" not in "".join(PROFILES[p].reductions(dataset, {"variations"}) for p in ("cpu", "paper"))


@pytest.mark.parametrize("dataset", DATASETS)
def test_other_profiles_run_all_that_are_no_longer_than_their_teachers(dataset):
    for name in ("cpu", "paper"):
        profile = PROFILES[name]
        equal = trainings(profile, dataset)["equal"]["small"]
        kept = Study(name, [dataset]).varied(dataset)
        dropped = [v for v in variations(dataset, equal) if v not in kept]
        most = max(profile.sweep_epochs[dataset], equal.epochs)
        assert all(v.training.epochs > most for v in dropped)
        assert all(v.training is None or v.training.epochs <= most for v in kept)
        if dataset == "mnist":
            assert not dropped


def test_a_sweep_has_one_seed_and_other_groups_three():
    study = Study("paper", ["mnist", "cifar10"])
    for group, wanted in {"sweep": {0}, "teachers": {0, 1, 2}, "retrained": {0, 1, 2}}.items():
        assert {run.seed for run in study.runs(group)} == wanted, group
    for group, wanted in {"sweet_spot": {0}, "missing_class": {0, 1, 2}, "variations": {0, 1, 2}}.items():
        assert {run.protocol.seed for run in study.runs(group)} == wanted, group
    assert {run.seed for run in Study("paper", ["mnist"], seeds=2).runs("sweep")} == {0}
    assert {run.dataset for run in study.runs("sweep")} == {"mnist", "cifar10"}


def test_a_sweep_shows_the_seeds_that_have_most_of_its_cells(monkeypatch):
    """Some cells have more seeds, where another figure asks for them: means of these would stand beside others' one."""
    study = Study("paper", ["mnist"])
    for group, name in (("sweep", "response"), ("sweet_spot", "baseline")):
        of = records.load(name).query("profile == 'paper' and dataset == 'mnist' and seed == 0")
        part = of[of["training"] != "8192x40"]
        known = pd.concat([of, part.assign(seed=1), of.assign(seed=2), of[of["training"] == "4096x50"].assign(seed=3)])
        with monkeypatch.context() as patch:
            patch.setattr(records, "load", lambda *_, known=known: known)
            table = study.table(name, group)
        assert {*table["seed"]} == {0, 2} and table["training"].nunique() == len(sweep(PROFILES["paper"], "mnist"))


# What is run and recorded

SHORT = [
    Variation("equal", "as in Tables 4-6", whole=True),
    Variation("even", "counterfeit", student={"counterfeit": "even"}, whole=True),
    Variation("no dropout", "network", {"dropout": 0.0}, teachers=("large",)),
    Variation("relu", "kinship", student={"variant": "relu"}, teachers=("small",), training=Training(32, 2)),
]


def shorten(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the smoke profile be one of a second, with these variations and a cache of its own."""
    small = {"train_size": 200, "teacher_epochs": 3, "student_epochs": 3, "variations": ()}
    small = dataclasses.replace(PROFILES["smoke"], **{name: {"digits": value} for name, value in small.items()})
    patch.setitem(PROFILES, "smoke", small)
    patch.setattr(experiments, "variations", lambda dataset, equal: SHORT)
    patch.setenv("KDUTILS_CACHE", str(cache))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """The short list, run on the digits once for all tests (a few seconds), and its cache."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, cache)
        study = Study("smoke", ["digits"], compute="missing", device="cpu", results=tmp_path_factory.mktemp("varied"))
        dataclasses.replace(study, executor=Here()).ensure("variations")
    return study, cache


@pytest.fixture
def varied(made: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch) -> Study:
    shorten(monkeypatch, made[1])
    return made[0]


def test_the_records_have_every_student(varied):
    table = varied.table("variations", "variations")
    assert list(table) == IDENTITY["variations"] + VALUES["variations"]
    counts = table.groupby(["training", "teacher"]).size().to_dict()
    both = {(name, teacher): 11 for name in ("equal", "even") for teacher in TEACHERS}
    assert counts == both | {("no dropout", "large"): 10, ("relu", "small"): 10, ("none", "none"): 1}
    lacking = table["missing_class"].notna()
    of_a_class = ["accuracy_missing", "bias", "accuracy_missing_biased", "accuracy_biased"]
    assert table.loc[lacking].notna().all().all() and table.loc[~lacking, of_a_class].isna().all().all()
    assert set(table["run"]) <= set(varied.runs_made()["run"]) and table["run"].is_unique


def test_a_second_time_nothing_is_trained(varied, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(running, "train_teacher", fail)
    monkeypatch.setattr(running, "distil", fail)
    before = {path.name: path.read_bytes() for path in Path(varied.results).glob("*.csv")}
    dataclasses.replace(varied).ensure("variations")
    assert varied.missing("variations") == []
    assert {path.name: path.read_bytes() for path in Path(varied.results).glob("*.csv")} == before


def test_the_numbers_are_those_of_the_stored_logits(varied):
    """Accuracies and the shift, read off again in NumPy."""
    table = records.load("variations", varied.results).set_index("run")
    splits = {split: load_dataset("digits", split).labels.numpy() for split in ("validation", "test")}
    runs = varied.runs("variations")
    assert len(runs) == len(table) == 65
    for run in runs:
        row, stored = table.loc[key(run.protocol)], load_tensors(student_path(run.protocol))
        test, curve = stored["test"].float().numpy(), stored["curve"].numpy()
        right = test.argmax(1) == splits["test"]
        assert row["accuracy"] == pytest.approx(right.mean())
        assert (row["validation_best"], row["validation_last"]) == pytest.approx((curve.max(), curve[-1]))
        assert (row["training"], row["teacher"], row["temperature"]) == (*run.identity[1:3], run.protocol.temperature)
        if (c := run.protocol.missing_class) is None:
            continue
        of = splits["test"] == c
        assert row["missing_class"] == c and row["accuracy_missing"] == pytest.approx(right[of].mean())
        assert row["bias"] == pytest.approx(
            best_bias(stored["validation"], torch.tensor(splits["validation"]), c), rel=1e-5
        )
        # The shift was measured exactly, and is recorded to seven digits.
        shifted = test + row["bias"] * np.eye(10, dtype=np.float32)[c]
        right = shifted.argmax(1) == splits["test"]
        assert row["accuracy_biased"] == pytest.approx(right.mean(), abs=0.003)
        assert row["accuracy_missing_biased"] == pytest.approx(right[of].mean(), abs=0.03)
    unseen = table[table["missing_class"].notna()]
    assert (unseen["accuracy_missing_biased"] > unseen["accuracy_missing"]).any(), "no shift did anything"


def test_a_counterfeits_students_learn_from_the_counterfeit(varied):
    """The one of the teacher's stored logits, with the seed's permutations, distilled here."""
    (run,) = [
        r for r in varied.runs("variations") if r.identity[1:3] == ("even", "small") and r.protocol.missing_class == 4
    ]
    sets = experiments.load_splits(run.protocol)
    own = load_response(run.teacher.protocol, run.teacher.epochs).train
    seed = seed_for("counterfeit", run.protocol.seed)
    fake = counterfeit(own, sets["train"].labels, "even", temperature=9.0, seed=seed)
    stored = load_tensors(student_path(run.protocol))["test"].float()
    given = lambda logits: (sets["train"], {run.protocol.source: logits}, sets["validation"], sets["test"])
    found, other = (distil([run.protocol], *given(logits), torch.device("cpu"))[0].test for logits in (fake, own))
    torch.testing.assert_close(found, stored, rtol=0, atol=0.02)  # stored in half precision
    assert (other - stored).abs().max() > 0.1, "the teacher's own response would have given the same"


def test_responses_of_varied_teachers_are_recorded_and_counterfeits_as_they_are(varied):
    table = records.load("response", varied.results).set_index(["training", "teacher", "split", "temperature"])
    at = lambda training, teacher: table.loc[training, teacher].sort_index()
    assert set(table.index.droplevel([2, 3])) == {
        *(("equal", t) for t in TEACHERS),
        *(("even", t) for t in TEACHERS),
        *(("no dropout", "large"), ("relu", "small")),
    }
    for teacher in TEACHERS:
        own, even = at("equal", teacher), at("even", teacher)
        assert even["confidence"].to_numpy() == pytest.approx(own["confidence"].to_numpy(), abs=1e-5)
        assert (even["row"] < 1e-10).all() and (own["row"] > 1e-7).all()
        assert (even["entropy"] > own["entropy"]).all(), "even shares have the highest entropy"
        assert (even["run"] == own["run"]).all()
    assert at("no dropout", "large")["run"].iloc[0] != at("equal", "large")["run"].iloc[0]
    assert set(at("relu", "small")["epochs"]) == {2}


def test_of_nothing_recorded_there_is_nothing_to_summarise(tmp_path):
    assert Study("smoke", ["digits"], results=tmp_path).variations().empty


def test_a_summary_is_of_the_same_seeds_teachers():
    """Another comparison may have recorded more seeds of a response than there are students of."""
    keys = {"profile": "paper", "dataset": "mnist", "teacher": "small", "temperature": 9.0}
    student = keys | {"missing_class": 4, "accuracy": 0.9, "accuracy_missing": 0.5, "accuracy_missing_biased": 0.6}
    students = pd.DataFrame(
        student | {"training": how, "seed": 0} for how in ("equal", "permuted", "students, 1 epochs")
    )
    response = keys | {"split": "test", "accuracy": 0.98, "confidence": 0.5, "column_normalised": 0.01}
    entropy = {("equal", 0): 1.0, ("equal", 1): 3.0, ("permuted", 0): 1.0}
    responses = pd.DataFrame(response | {"training": how, "seed": s, "entropy": h} for (how, s), h in entropy.items())
    found = summarise(students, responses).set_index("training")
    assert found["entropy"].to_dict() == {"equal": 1.0, "permuted": 1.0, "students, 1 epochs": 1.0}


def test_a_variation_is_set_beside_the_same_seeds():
    cell = {"profile": "paper", "dataset": "mnist", "teacher": "large", "temperature": 9.0, "missing_class": 4}
    seeds = (("equal", 0), ("equal", 1), ("equal", 2), ("no-dense", 0), ("even", 0), ("even", 1), ("alpha 0.5", 2))
    students = pd.DataFrame(cell | {"training": how, "seed": seed} for how, seed in seeds)
    students.loc[len(students) - 1, "missing_class"] = np.nan  # lacks no class: not one of those that are compared
    names = lambda *topics: [*of_same_seeds(students, *topics)[["training", "seed"]].itertuples(index=False, name=None)]
    assert names("network") == [("equal", 0), ("no-dense", 0)]
    assert names("counterfeit") == [("equal", 0), ("equal", 1), ("even", 0), ("even", 1)]
    more = pd.concat([students, students.iloc[[0]].assign(training="permuted", seed=0)], ignore_index=True)
    found = of_same_seeds(more, "counterfeit")[["training", "seed"]]
    assert {*found.itertuples(index=False, name=None)} == {("equal", 0), ("even", 0), ("permuted", 0)}, "as all have"
    networks = [("width/8", 0), ("width/8", 2)]  # the other network has seed 0 alone
    networks = pd.DataFrame(cell | {"training": how, "seed": seed} for how, seed in networks)
    more = pd.concat([students, networks], ignore_index=True)
    found = of_same_seeds(more, "network")[["training", "seed"]]
    assert {*found.itertuples(index=False, name=None)} == {("equal", 0), ("no-dense", 0), ("width/8", 0)}
    assert names("loss") == []
    cpu = students.assign(profile="cpu").iloc[:3]
    assert set(of_same_seeds(pd.concat([students, cpu]), "network")["profile"]) == {"paper"}


def test_the_answer_is_read_from_the_records():
    row = {"dataset": "mnist", "profile": "paper", "missing_class": 3.0, "temperature": 9.0, "accuracy": 0.9}
    named = {("equal", "large", 0): 0.09, ("equal", "large", 1): 0.50, ("even", "large", 0): 0.0}
    students = pd.DataFrame(
        row
        | {
            "training": how,
            "teacher": teacher,
            "seed": seed,
            "accuracy_missing": share,
            "accuracy_missing_biased": 0.75,
        }
        for (how, teacher, seed), share in named.items()
    )
    whole = pd.DataFrame(
        row
        | {
            "missing_class": np.nan,
            "training": how,
            "teacher": teacher,
            "seed": seed,
            "temperature": at,
            "accuracy": accuracy,
        }
        for how, teacher, seed, at, accuracy in (
            *(("none", "none", 0, 1.0, 0.95), ("equal", "small", 0, 9.0, 0.96), ("even", "large", 0, 9.0, 0.92)),
            *(("equal", "small", 1, 9.0, 0.10), ("alpha 0.5", "none", 0, 9.0, 0.5)),  # without a control; another loss
        )
    )
    suppressed, gains = findings(pd.concat([students, whole]), "{} at {}".format)
    assert "mnist at paper, 1 seed: students of the large teacher name 9.0 % of the class" in suppressed, (
        "of shared seeds"
    )
    assert "at its best 75.0 %" in suppressed and "mnist at paper -3.00 to +1.00 points" in gains
    reduced = students.assign(profile="cpu", accuracy_missing=0.2)
    assert "mnist at paper" in findings(pd.concat([students, reduced]), "{} at {}".format)[0]
    (instead,) = findings(pd.concat([students.query("training == 'equal'"), reduced]), "{} at {}".format)
    assert "mnist at cpu, 1 seed: students of the large teacher name 20.0 %" in instead
    assert findings(students.iloc[:0], "{} at {}".format) == []


def test_what_is_named_and_what_is_known_are_set_beside_each_other_by_seed():
    """Two classes and seeds: small 0.8, 1.0 | large 0.1, 0.3; with the bias moved 0.9; told nothing 0.5."""
    row = {"dataset": "mnist", "profile": "paper", "temperature": 9.0, "accuracy_missing_biased": 0.9}
    named = {("small", 0): (0.7, 0.9), ("small", 1): (1.0, 1.0), ("large", 0): (0.0, 0.2), ("large", 1): (0.2, 0.4)}
    own = [
        row | {"training": "equal", "teacher": t, "seed": s, "missing_class": c, "accuracy_missing": values[c]}
        for (t, s), values in named.items()
        for c in (0, 1)
    ]
    told = row | {"seed": 0, "missing_class": 0, "accuracy_missing": 0.0, "accuracy_missing_biased": 0.5}
    even = [told | {"training": "even", "teacher": t, "seed": s} for t, s in named]
    brief = [
        own[-1] | {"training": "4096x2", "seed": 0},
        told | {"training": "4096x2, told nothing", "teacher": "large"},
    ]
    beside = [own[0] | {"temperature": 3.0, "accuracy_missing": 0.0}, own[0] | {"missing_class": np.nan}]
    beside += [own[0] | {"training": "4096x5"}]  # without a control
    found = named_and_known(pd.DataFrame([*own, *even, *brief, *beside]))
    assert len(found) == 5 and found["told_nothing"].tolist() == pytest.approx([50] * 5)
    assert found["known"].tolist() == pytest.approx([90] * 5)
    at = found.query("training == 'equal'").set_index(["teacher", "seed"])
    assert at["named"].to_dict() == pytest.approx({key: 50 * sum(values) for key, values in named.items()})

    lines = plots.suppression_table(found, "", "").frame.set_index("teacher").drop(columns="data")
    assert lines.loc["small minus large"].to_list() == ["70.0", "0.0", "0.0", "0.0", "0", "2"]
    assert lines.loc["large"].to_list() == ["20.0", "90.0", "50.0", "40.0", "80", "2"]
    assert lines.loc["large, 4096 × 2"].to_list() == ["40.0", "90.0", "50.0", "40.0", "80", "1"]
    printed = pd.DataFrame({"dataset": ["mnist"], "teacher": ["small"], "temperature": [9.0], "accuracy": [97.5]})
    (axis,) = (a for a in plots.suppression(found, printed, ["mnist"]).axes if a.get_title())
    assert [text.get_text() for text in axis.texts] == ["98", "90", "90", "50", "20", "90", "50"]
    assert axis.get_title() == "MNIST, 2 seeds"


def test_where_full_scale_lacks_a_teachers_variation_the_reduced_one_stands_in(tmp_path, monkeypatch):
    row = {"dataset": "mnist", "seed": 0, "temperature": 9.0, "missing_class": 4, "accuracy": 0.9}
    row |= {"accuracy_missing": 0.5, "accuracy_missing_biased": 0.6}
    every = set(itertools.product(("paper", "cpu"), ("equal", "20 epochs"), TEACHERS))
    lacking = ("paper", "20 epochs", "small")
    names = ["profile", "training", "teacher"]
    students = pd.DataFrame(row | dict(zip(names, which, strict=True)) for which in sorted(every - {lacking}))
    monkeypatch.setattr(Study, "recorded_variations", lambda _: students)
    found = Study("paper", ["mnist"], results=tmp_path).variations("length")
    shown = set(found[names].itertuples(index=False, name=None))
    assert shown == every - {lacking, ("cpu", "20 epochs", "large")}, "which full scale has"


def test_a_small_teacher_is_matched_with_the_nearest_large_one():
    """On the seeds that both have; of as many epochs, with the one of the same batch size."""
    named = {  # (training, teacher): batch size, epochs, accuracy, entropy, and by seed what students name
        ("equal", "small"): (256, 10, 0.98, 1.6, (0.9, 1.0, 0.8)),
        ("4096x10", "large"): (4096, 10, 0.90, 1.9, (0.3, 0.3, 0.3)),
        ("equal", "large"): (256, 10, 0.99, 1.4, (0.0, 0.1, 0.2)),
        ("4096x50", "large"): (4096, 50, 0.985, 1.5, (0.2,)),
        ("no-dense", "large"): (256, 10, 0.98, 1.6, (0.7,)),  # another network
        ("permuted", "small"): (256, 10, 0.98, 1.6, (0.0,)),  # another response
    }
    students, responses = [], []
    for (how, teacher), (batch, epochs, accuracy, entropy, shares) in named.items():
        for seed, share in enumerate(shares):
            row = {"profile": "paper", "dataset": "mnist", "training": how, "teacher": teacher, "seed": seed}
            row |= {"temperature": 9.0}
            students += [row | {"missing_class": c, "accuracy_missing": share} for c in (3, 4)]
            students += [row | {"missing_class": np.nan, "accuracy_missing": np.nan}]
            response = row | {"batch_size": batch, "epochs": epochs, "accuracy": accuracy, "entropy": entropy}
            responses += [response | {"split": "test"}, response | {"split": "train", "entropy": 0.0}]
    students, responses = pd.DataFrame(students), pd.DataFrame(responses)
    found = matched(students, responses).set_index("by")
    assert found["training_large"].to_dict() == {"epochs": "equal", "accuracy": "4096x50", "entropy": "4096x50"}
    assert found["seeds"].to_dict() == {"epochs": 3, "accuracy": 1, "entropy": 1}
    assert found.loc["epochs", ["missing_small", "missing_large"]].tolist() == pytest.approx([0.9, 0.1])
    assert found.loc["entropy", ["entropy_small", "entropy_large", "missing_large"]].tolist() == [1.6, 1.5, 0.2]
    lines = plots.matched_table(found.reset_index(), "", "").frame.set_index("matched by")
    assert lines.loc["accuracy"].tolist() == [
        "MNIST",
        "256 × 10 (98.0 %)",
        "4096 × 50 (98.5 %)",
        "90.0",
        "20.0",
        "**70.0**",
        "1",
    ]
    assert lines.loc["epochs", "large teacher"] == "256 × 10", "that says it"
    alone = matched(students[students["training"] == "equal"], responses)
    assert alone["by"].tolist() == ["epochs"], "the one large teacher would be nearest in anything"
    assert matched(students.iloc[:0], responses).empty and matched(students, responses.iloc[:0]).empty


def test_counterfeits_stand_beside_genuine_responses_of_their_data_set_and_profile(tmp_path, monkeypatch):
    row = {"dataset": "mnist", "seed": 0, "temperature": 9.0, "missing_class": 4, "accuracy": 0.9}
    kinds = itertools.product(("paper", "cpu"), ("equal", "even", "permuted"), TEACHERS)
    students = [row | dict(zip(("profile", "training", "teacher"), which, strict=True)) for which in kinds]
    students += [students[2] | {"temperature": 3.0}, students[2] | {"missing_class": np.nan}]

    def recorded(study: Study) -> pd.DataFrame:
        assert study.compute == "never", "a figure of other runs makes none of these"
        return pd.DataFrame(students)

    monkeypatch.setattr(Study, "recorded_variations", recorded)
    study = Study("cpu", ["digits", "mnist"], compute="missing", results=tmp_path)
    taught = pd.DataFrame([students[0] | {"profile": "cpu"}, students[0] | {"dataset": "digits"}])
    found = study.with_counterfeits(taught)
    assert list(found["dataset"]) == ["digits", *["mnist"] * 5], "which has none"
    assert set(found.loc[found["dataset"] == "mnist", "profile"]) == {"cpu"}
    names = found[["teacher", "training"]].iloc[2:].itertuples(index=False, name=None)
    assert [*names] == [*itertools.product(TEACHERS, ("permuted", "even"))], "in the order of their letters"
    assert study.with_counterfeits(taught.iloc[:0]).empty
