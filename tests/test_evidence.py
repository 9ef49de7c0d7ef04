"""The committed records: complete where they claim to be, traceable to a protocol, and what README.md says of them."""

import hashlib
import json

import pytest
from conftest import ROOT, load_book_builder
from PIL import Image

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
            study = Study(profile, [dataset], int(of["seed"].max()) + 1)
            runs: list[StudentRun] = [r for g in GROUPS for r in study.runs(g) if isinstance(r, StudentRun)]
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


def test_the_front_figure_is_drawn_from_the_records() -> None:
    builder = load_book_builder()
    drawn = Image.open(ROOT / "book" / "_static" / "front.png").text["Description"]
    assert drawn.strip() == builder.front_rows().to_csv(index=False, float_format="%.4f").strip(), "run: build.py front"
    assert len(drawn.splitlines()) > 10
