"""The committed records: complete where they claim to be, traceable to a protocol, and what README.md says of them."""

import hashlib
import io
import json

import pandas as pd
import pytest
from conftest import ROOT, load_book_builder
from PIL import Image
from scipy import stats

from kdutils import protocols, published, records
from kdutils.claims import DATASETS
from kdutils.experiments import ARTEFACTS, GROUPS, STUDENT_TABLES, TEACHER_TABLES, StudentRun, Study
from kdutils.response import COUNTERFEITS

BEYOND = (
    "variations",
    "related",
    "tutorial",
)  # not the paper's: recorded as far as they go, and their pages say how far
RUN_TABLES = (*STUDENT_TABLES, *TEACHER_TABLES, "curves", "projection")


def test_every_run_is_the_hash_of_its_protocol() -> None:
    runs = records.load("runs")
    for run, text in zip(runs["run"], runs["protocol"], strict=True):
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == run
        assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text


@pytest.mark.parametrize("name", RUN_TABLES)
def test_every_measurement_has_its_run(name: str) -> None:
    table = records.load(name)
    assert set(table["run"]) <= set(records.load("runs")["run"])
    if name == "variations":  # a student that lacks no class has none to be accurate on
        table = table[table["missing_class"].notna()]
    if name == "missing_class":  # students recorded before it was measured have no accuracy with the bias at its best
        biased = table[["bias", "accuracy_missing_biased", "accuracy_biased"]]
        assert set(biased.notna().sum(axis=1)) <= {0, 3}
        table = table.drop(columns=biased.columns)
    # Teachers recorded before their logits were named have no name for them.
    assert not table.drop(columns=["run", *{"logits"} & set(table)]).isna().any().any()
    assert not table.duplicated(records.IDENTITY[name]).any()


@pytest.mark.parametrize("group", ["teachers", "missing_class"])
def test_mnist_is_complete_at_full_scale_for_seed_0_under_both_trainings(group: str) -> None:
    assert Study("paper", ["mnist"], 1).missing(group) == []


@pytest.mark.parametrize("name", [name for name in ARTEFACTS if name not in BEYOND])
def test_every_table_and_figure_has_records_for_every_data_set_the_paper_shows(name: str) -> None:
    """At the full scale or, indicative, at profile `cpu`."""
    artefact = ARTEFACTS[name]
    for dataset in (d for d in artefact.datasets if d != "digits"):
        for group in artefact.groups:
            lacking = [Study(profile, [dataset], 1).missing(group) for profile in ("paper", "cpu")]
            assert [] in lacking, f"{dataset}: {len(lacking[1])} runs of {group} are not recorded"


@pytest.mark.parametrize("dataset", DATASETS)
def test_counterfeits_are_recorded_at_full_scale(dataset: str) -> None:
    study = Study("paper", [dataset], 1)
    wanted = {r.training for r in study.runs("variations")} & {"equal", "none", *COUNTERFEITS}
    assert wanted == {"equal", "none", *COUNTERFEITS}
    assert not wanted & {r.training for r in study.missing("variations")}


def test_recorded_protocols_are_those_of_their_profile() -> None:
    """A record keeps its place only while the protocol it stands for is the one that `kdutils` would run."""
    for name in STUDENT_TABLES:
        for (profile, dataset), of in records.load(name).groupby(["profile", "dataset"]):
            study = Study(profile, [dataset])
            seeds = sorted(map(int, of["seed"].unique()))  # of a sweep, too, there may be more than it asks for
            every = (r for g in GROUPS for seed in seeds for r in study.runs_of(dataset, seed, g))
            runs: list[StudentRun] = [r for r in every if isinstance(r, StudentRun)]
            assert set(of["run"]) <= {protocols.key(r.protocol) for r in runs}


def test_accuracies_are_fractions_and_published_ones_percent() -> None:
    table = records.load("missing_class")
    for column in ("accuracy_missing", "accuracy", "validation_best", "validation_last"):
        assert table[column].between(0, 1).all()
    assert (table["validation_best"] >= table["validation_last"]).all()
    assert published.load("missing_class")["accuracy"].max() > 1


def test_small_teacher_teaches_mnist_digits_never_seen_and_the_large_one_hardly() -> None:
    table = records.load("missing_class").query("profile == 'paper' and dataset == 'mnist' and training == 'equal'")
    means = 100 * table.groupby("teacher")["accuracy_missing"].mean()
    assert means["small"] - means["large"] > 30


def test_readme_states_the_verdicts_of_the_records() -> None:
    builder = load_book_builder()
    text = (ROOT / "README.md").read_text().split(builder.FRONT[0])[1].split(builder.FRONT[1])[0]
    assert text.strip() == builder.verdicts("paper", list(DATASETS)).strip(), "run: python book/build.py front"


def test_the_committed_table_of_verdicts_is_that_of_the_records() -> None:
    """Every number of the page of verdicts, against the file that is committed and linked there."""
    path = ROOT / "book" / "_static" / "verdicts.csv"
    again, committed = pd.read_csv(io.StringIO(load_book_builder().verdicts_csv())), pd.read_csv(path)
    pd.testing.assert_frame_equal(again, committed, rtol=1e-5)
    assert (committed["verdict"] != "not yet run").mean() > 0.9


def raw(name: str, dataset: str, **where: object) -> pd.DataFrame:
    """Rows of a file of records, of equally trained teachers at full scale."""
    table = pd.read_csv(ROOT / "book" / "results" / f"{name}.csv", low_memory=False)
    where = {"profile": "paper", "training": "equal", "dataset": dataset} | where
    return table[(table[list(where)] == pd.Series(where)).all(axis=1)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_numbers_of_the_verdicts_by_another_way(dataset: str) -> None:
    """Four claims' estimates and intervals from the files alone, by another library's t interval."""
    committed = pd.read_csv(ROOT / "book" / "_static" / "verdicts.csv").set_index(["claim", "dataset"])
    both = [
        raw("missing_class", dataset, teacher=t).groupby("seed")["accuracy_missing"].mean() for t in ("small", "large")
    ]
    gaps = {"missing-class-gap": 100 * (both[0] - both[1])}
    both = [
        raw("response", dataset, teacher=t, split="test").groupby("seed")["entropy"].mean() for t in ("small", "large")
    ]
    gaps["entropy-gap"] = both[0] - both[1]
    both = [
        raw("scatter", dataset, teacher=t, split="test").set_index("seed")["ratio_all_triples"]
        for t in ("small", "large")
    ]
    gaps["tighter-clusters"] = both[0] - both[1]
    own, permuted = (
        raw("variations", dataset, teacher="small", training=how, temperature=9).dropna(subset="missing_class")
        for how in ("equal", "permuted")
    )
    gaps["entropy-is-the-cause"] = 100 * (
        own.drop_duplicates("run").groupby("seed")["accuracy_missing"].mean()
        - permuted.drop_duplicates("run").groupby("seed")["accuracy_missing"].mean()
    )
    for claim, by_seed in gaps.items():
        said, by_seed = committed.loc[(claim, dataset)], by_seed.dropna()
        assert said["estimate"] == pytest.approx(by_seed.mean(), rel=1e-4), claim
        assert said["seeds"] == len(by_seed), claim
        if len(by_seed) > 2:
            ends = stats.t.interval(0.95, len(by_seed) - 1, by_seed.mean(), stats.sem(by_seed))
            assert said[["low", "high"]].tolist() == pytest.approx(list(ends), rel=1e-3, abs=1e-4), claim


def test_the_front_figure_is_drawn_from_the_records() -> None:
    builder = load_book_builder()
    drawn = Image.open(ROOT / "book" / "_static" / "front.png").text["Description"]
    assert drawn.strip() == builder.front_rows().to_csv(index=False, float_format="%.4f").strip(), "run: build.py front"
    assert len(drawn.splitlines()) > 10
