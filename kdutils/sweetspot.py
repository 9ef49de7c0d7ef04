"""The sweet spot: the teacher's batch size and number of epochs from which a student learns most (section 5, Fig. 1 a).

The paper leaves the search to its reader's hands. Here it is a function of any two networks and any labelled images:

1. One teacher is trained for each batch size, all alike otherwise, at a *constant* learning rate: its first n epochs
   are then the run of n epochs, and one run gives every epoch's response. With a decaying rate they would not be.
2. Probes: students that learn for a short time, from few examples of each class, from each (batch size, epochs). All
   that learn from the same examples are trained together, with the same first weights and minibatches, so that they
   differ in the response alone.
3. Successive halving: at a quarter and a half of the epochs, batch sizes in the worse half stop if their best probe is
   behind the best of all beyond noise and they are not rising.
4. Full distillations of the best few decide, on validation images; test images give the numbers that are reported.

Two controls are distilled beside them at each stage: from hard labels alone (alpha = 0) and from a uniform response.
At alpha = 0.99 a teacher may seem good because it is nearly silent, and no teacher may beat hard labels: the result
says so.
"""

import contextlib
import copy
import hashlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.special import stdtrit
from torch import Tensor, nn

from kdutils import records
from kdutils.custom import (
    Factory,
    Optimizer,
    build,
    check_logits,
    distil_students,
    minibatches,
    one_line,
    optimizer_of,
    own_random_numbers,
    split,
    try_network,
)
from kdutils.data import SPLITS
from kdutils.errors import UserError, check_folder, check_name, check_number, check_whole
from kdutils.protocols import SearchProtocol, key, seed_for
from kdutils.response import entropy, select_examples
from kdutils.running import progress
from kdutils.training import CHECKPOINT_SECONDS, is_kept, load_state, predict, resolve_device, state_of, to_input

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = tuple[str, int, int]  # "teacher", batch size, epochs; or a control
HARD, UNIFORM = ("hard labels", 0, 0), ("uniform", 0, 0)
CONTROLS = (HARD, UNIFORM)
STAGES = {"probe": "probes", "full": "full distillations"}
LEARNED = 0.2  # of the way from chance to all: students of hard labels that have not come so far hardly learned
COSTS = records.VALUES["sweetspot_cost"]
CELL_COLUMNS = ["response", "batch_size", "epochs", *records.VALUES["sweetspot"]]
TABLE_COLUMNS = [
    *("stage", "response", "batch_size", "epochs", "repeat", "unseen", "part"),
    *("quality", "accuracy", "entropy", "loss"),
]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a search trains. The defaults follow the replication (see `kdutils.protocols`).

    Attributes
    ----------
    scale_by_t2 : bool
        Whether the soft term is multiplied by T², as Hinton et al. (2015) advise and the paper does not.
    optimizer : str or callable
        "adam" or "sgd", of teachers and students; or your own, a function of the parameters such as
        ``functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.01)``: its rate must stay constant, and students
        are then trained one after another.
    teacher_rate, student_rate : float
        Learning rates of the named optimisers, constant.
    student_batch, student_epochs : int
        Of a full distillation; the batch size of a probe too.
    probe_examples, probe_epochs : int
        Of a probe: examples of each class (fewer where a class has fewer), and passes through them.
    repeats : int
        Students for each response, with seeds of their own. With one, noise is that of the images alone.
    finalists : int
        How many (batch size, epochs) are distilled in full, the best of each batch size first; 0: all that were probed.
    unseen : tuple of int
        Empty: a student's quality is its accuracy, which is what it is used for, and what a control can reach too. Else
        classes that students are denied in turn, and quality is their accuracy on the class they never saw: the paper's
        measure of what a response carries (section 4.1). No control learns it, so it cannot say whether the teacher was
        worth having, and each response costs as many students as there are classes here.
    halving : bool
        Whether batch sizes that are clearly behind stop.
    """

    scale_by_t2: bool = False
    optimizer: str | Optimizer = "adam"
    teacher_rate: float = 1e-3
    student_rate: float = 1e-3
    student_batch: int = 64
    student_epochs: int = 5
    probe_examples: int = 100
    probe_epochs: int = 10
    repeats: int = 3
    finalists: int = 4
    unseen: tuple[int, ...] = ()
    halving: bool = True


@dataclass(frozen=True)
class SweetSpot:
    """What a search found.

    Attributes
    ----------
    recommended : (int, int)
        Batch size and epochs whose full distillation has the highest quality on validation images.
    cells : DataFrame
        A row for each (batch size, epochs), and one for each control (`response`; batch size and epochs 0):
        `teacher_accuracy` and `entropy` (nats) of the teacher's response on validation images; `probe`, `full` and
        `test`, mean qualities over repeats (probes and full distillations on validation images; full ones on test
        images); `status`: "recommended", "within noise" of it, "behind", "probed" only, or "control"; and the
        margins on test images over both controls in `hard`, `uniform`, with `_low` and `_high`, the ends of intervals
        that hold for all rows at once (95 %, Bonferroni).
    table : DataFrame
        Everything measured, a row for each: `stage` ("teacher", "probe" or "full"), `response`, `batch_size`, `epochs`,
        `repeat`, `unseen` (the class that was denied; -1: none), `part` of the images, `quality`, `accuracy`
        (fractions), `entropy` (nats) and `loss` (mean training loss of the last epoch).
    cost : DataFrame
        By `stage`: `example_passes` (forward and backward, one example), `forward_passes` (to store or measure a
        response, or to look at a student), `multiply_adds` and `seconds`.
    stopped : dict
        From batch size to why and when its training stopped early.
    settings : Settings
    images, labels, logits : Tensor (N, …), (N,), float16 (N, C), float32 beyond its range
        The training part, and the recommended teacher's response to it: what a student of your own needs.
    chance : float
        The share of the most frequent class among the test images.
    """

    recommended: tuple[int, int]
    cells: pd.DataFrame
    table: pd.DataFrame
    cost: pd.DataFrame
    stopped: dict[int, str]
    settings: Settings
    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    chance: float

    @property
    def candidates(self) -> pd.DataFrame:
        """The rows of `cells` that cannot be told from the recommended one."""
        return self.cells[self.cells["status"].isin(["recommended", "within noise"])].reset_index(drop=True)

    @property
    def beats_hard_labels(self) -> bool:
        """Whether some fully distilled (batch size, epochs) beats hard labels alone beyond noise, on test images."""
        return bool((self.cells["hard_low"] > 0).any())

    @property
    def beats_uniform(self) -> bool:
        """Whether some fully distilled (batch size, epochs) beats the uniform response beyond noise, on test images."""
        return bool((self.cells["uniform_low"] > 0).any())

    def summary(self) -> str:
        """What was found, in a few sentences of Markdown."""
        return summary(self.cells, bool(self.settings.unseen), self.chance)

    def plot(self) -> "Figure":
        """Figure 1 (a), measured: see `kdutils.plots.sweet_spot_map`."""
        import matplotlib.pyplot as plt  # only where something is drawn

        from kdutils import plots

        with plt.rc_context():  # other figures of the caller's keep their looks
            plots.use_theme()
            figure = plots.sweet_spot_map(self.cells)
            figure.draw_without_rendering()  # ticks take their looks when they are first drawn
            shown = plt.isinteractive()  # a notebook's first figure turns this on, for all that follow
        plt.ion() if shown else plt.ioff()
        return figure


def summary(cells: pd.DataFrame, unseen: bool = False, chance: float = 0.0) -> str:
    """What a search's `cells` say, in a few sentences of Markdown; the numbers are percentages of test images.

    Parameters
    ----------
    cells : DataFrame
        As `SweetSpot.cells`, or what `judge` returns, or records "sweetspot" of one search.
    unseen : bool
        Whether qualities are accuracies on classes that were never seen; of `judge` it is known.
    chance : float
        What always answering the most frequent class would score, which is known of `judge` too; 0: not known, and then
        nothing is said of it.
    """
    chance, unseen = chance or cells.attrs.get("chance", 0.0), unseen or cells.attrs.get("unseen", False)
    by = cells.set_index("response")
    best = cells[cells["status"] == "recommended"].iloc[0]
    what = "accuracy on classes they never saw" if unseen else "accuracy"
    others = int((cells["status"] == "within noise").sum())
    margin = lambda row, of: (
        f"{100 * row[of]:+.2f} points [{100 * row[f'{of}_low']:+.2f}, {100 * row[f'{of}_high']:+.2f}]"
    )
    if "epochs" in cells:
        length = f"{best['epochs']} epoch" + "s" * int(best["epochs"] > 1)
        title, each, the_best = (
            f"Batch size {best['batch_size']}, {length}",
            "(batch size, epochs)",
            "the recommended one",
        )
        called = lambda row: f"{row['batch_size']} × {row['epochs']}"
    else:  # judged: teachers known by their names
        title, each, the_best = f"{best['response']}, the best on validation images", "teacher", "the best"
        called = lambda row: row["response"]
    percent = lambda fraction: f"{100 * fraction:.2f} %"
    controls = [percent(by.loc[name, "test"]) for name in ("hard labels", "uniform")]
    parts = [f"**{title}**: its students' {what} is {percent(best['test'])}"]
    parts[0] += f" (hard labels alone: {controls[0]}; uniform response: {controls[1]})."
    hard = by.loc["hard labels", "test"]
    if chance and not unseen and hard < chance + LEARNED * (1 - chance):
        parts.append(
            f"**The students hardly learned**: always answering the most frequent class scores {percent(chance)}. Raise "
            "student_epochs or student_rate until hard labels alone no longer gain; nothing below means much before."
        )
    if others:
        parts.append(f"{others} other{'s' * (others > 1)} cannot be told from it.")
    ahead = cells[cells["hard_low"] > 0]
    if len(ahead):
        top = ahead.loc[ahead["hard"].idxmax()]
        parts.append(
            f"{len(ahead)} of {cells['hard'].count()} beat hard labels alone beyond noise, by at most "
            f"{margin(top, 'hard')} ({called(top)})"
        )
        is_ahead = "is" if best["hard_low"] > 0 else "is **not**"
        parts[-1] += "." if top.name == best.name else f"; {the_best} {is_ahead} among them: {margin(best, 'hard')}."
    else:
        parts.append(
            f"**No {each} that was distilled in full beats hard labels alone beyond noise** ({the_best}: "
            f"{margin(best, 'hard')}): nothing shows that the student gains from a teacher."
        )
    if not (cells["uniform_low"] > 0).any():
        either = "" if len(ahead) else " either"
        parts.append(
            f"None beats the uniform response{either} ({the_best}: {margin(best, 'uniform')}): what looks like a "
            "sweet spot may be the teacher falling silent."
        )
    return " ".join(parts)


def search(
    make_teacher: Factory,
    make_student: Factory,
    data: object,
    *,
    batch_sizes: Sequence[int],
    max_epochs: int,
    temperature: float,
    alpha: float,
    budget: float | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Settings | None = None,
    checkpoint: str | Path | None = None,
) -> SweetSpot:
    """Find the teacher's batch size and number of epochs from which the student learns most.

    Parameters
    ----------
    make_teacher, make_student : callable
        Each returns a new, freshly initialised network from images (N, …) to logits (N, C), the same C for both.
    data : (images, labels), ImageSet, dataset, or a mapping of "train" and optionally "validation" and "test" to these
        Images: uint8, seen by the networks as float32 in [0, 1]; float, as float32; or other integers, such as tokens, as
        they are. Labels: integers below C. A dataset is indexed and gives (image, label), as torchvision's do; it is read
        once, so it must not augment. Parts that are not given are 15 % of each class of "train", a choice that does not
        depend on `seed`.
    batch_sizes : sequence of int
        Of the teacher.
    max_epochs : int
        Of the teacher. Every epoch is measured; up to the tenth each, then every fifth, and the last, is probed.
    temperature, alpha : float
        Of the distillation (Eq. 4).
    budget : float, optional
        The most example-passes (forward and backward, one example) of teachers and students together. Teachers then get
        fewer epochs, and fewer finalists are distilled in full.
    seed : int
        Of initial weights, orders of examples, dropout and the probes' examples.
    device : str
        "auto", "cpu", "cuda", ….
    settings : Settings, optional
    checkpoint : path, optional
        A folder in which what is done is kept, so that the same call goes on where it was stopped. Another search (other
        data, first weights, settings) has its own place there; of the networks' code only what shows in their printed
        form or first weights is noticed. It may be deleted at any time.

    Returns
    -------
    SweetSpot

    Raises
    ------
    UserError
        Before training, if something does not fit.
    FloatingPointError
        If the teacher diverged at every batch size, or the students of a control.
    """
    asked = (batch_sizes, max_epochs, temperature, alpha, budget, seed)
    with _under_way(make_teacher, make_student, data, asked, device, settings) as search:
        return search.run([int(b) for b in dict.fromkeys(batch_sizes)], max_epochs, checkpoint)


def judge(
    teachers: Mapping[str, nn.Module],
    make_student: Factory,
    data: object,
    *,
    temperature: float,
    alpha: float,
    seed: int = 0,
    device: str = "auto",
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Say whether a student gains from teachers that you have already, beside hard labels alone and a uniform response.

    Each is distilled in full, `settings.repeats` times, as a search's finalists are.

    Parameters
    ----------
    teachers : mapping from names to nn.Module
        Trained networks from images (N, …) to logits (N, C). They are copied, and not changed.
    make_student : callable
    data : (images, labels), ImageSet, dataset, or a mapping of parts
        As `search`; but give "validation" and "test" too, of images that no teacher was trained on.
    temperature, alpha : float
    seed : int
    device : str
    settings : Settings, optional
        All as `search`.

    Returns
    -------
    DataFrame
        The columns `response` (a teacher's name, or a control) to `uniform_high` of `SweetSpot.cells`; "recommended" is the
        best on validation images, and says nothing unless its `hard_low` and `uniform_low` are above 0: `summary` says so.

    Raises
    ------
    UserError
        Before training, if something does not fit.
    FloatingPointError
        If the students of a control diverged.
    """
    if not isinstance(teachers, Mapping) or not teachers:
        raise UserError("teachers must be a mapping of names to trained networks")
    with _under_way(None, make_student, data, ([1], 1, temperature, alpha, None, seed), device, settings) as search:
        return search.judge(teachers)


@contextlib.contextmanager
def _under_way(
    make_teacher: Factory | None, make_student: Factory, data: Any, asked: tuple, device: str, settings: Settings | None
) -> Iterator["_Search"]:
    """What was asked is looked over, then the search; after it the caller's random numbers go on as if nothing had been."""
    settings, where = settings or Settings(), resolve_device(device)
    batch_sizes, max_epochs, temperature, alpha, budget, seed = asked
    check_numbers(batch_sizes, max_epochs, temperature, alpha, budget, seed, settings)
    parts = split(data)
    _check_data(parts, batch_sizes, settings)
    with own_random_numbers(where):
        yield _Search(make_teacher, make_student, parts, temperature, alpha, budget, seed, where, settings)


# -------------------------------------------------------------------- what is checked before anything is trained


def check_numbers(batch_sizes, max_epochs, temperature, alpha, budget, seed, settings: Settings) -> None:
    """Raise the UserError of `search` if it cannot use one of its numbers; needs no data."""
    if not isinstance(settings, Settings):
        raise UserError(f"settings must be sweetspot.Settings(…); got a {type(settings).__name__}")
    if isinstance(batch_sizes, str) or not isinstance(batch_sizes, Sequence | np.ndarray) or not len(batch_sizes):
        raise UserError(f"batch_sizes must be a list of whole numbers; got {batch_sizes!r}")
    for size in batch_sizes:
        check_whole("a batch size", size, 1)
    check_whole("max_epochs", max_epochs, 1)
    check_whole("seed", seed, 0)
    for name in ("student_batch", "student_epochs", "probe_examples", "probe_epochs", "repeats"):
        check_whole(name, getattr(settings, name), 1)
    check_whole("finalists", settings.finalists, 0)
    if not isinstance(settings.unseen, tuple) or len({*settings.unseen}) < len(settings.unseen):
        raise UserError(f"unseen must be a tuple of different classes; got {settings.unseen!r}")
    for c in settings.unseen:
        check_whole("an unseen class", c, 0)
    if not isinstance(settings.scale_by_t2, bool):
        raise UserError(f"scale_by_t2 must be True or False; got {settings.scale_by_t2!r}")
    for name in ("teacher_rate", "student_rate"):
        check_number(name, getattr(settings, name), 0, ends="()")
    if not callable(settings.optimizer):
        check_name("optimizer", settings.optimizer, ("adam", "sgd"))
    check_number("temperature", temperature, 0, ends="()")
    check_number("alpha, the soft term's weight,", alpha, 0, 1, "(]")
    if budget is not None:
        check_number("budget, in example-passes,", budget, 0, ends="(]")


def _check_data(parts: dict, batch_sizes: Sequence[int], settings: Settings) -> None:
    labels = parts["train"][1]
    classes = labels.unique()
    if len(classes) < 2:
        raise UserError(f"the data have {len(classes)} class; distillation needs at least 2")
    if classes[0] < 0:
        raise UserError(f"labels must not be negative; got {int(classes[0])}")
    largest = max(batch_sizes)
    if largest > len(labels):
        raise UserError(f"batch size {largest} is above the {len(labels)} training images")
    for name in SPLITS[1:]:
        if not len(parts[name][1]) or not torch.isin(parts[name][1], classes).all():
            raise UserError(f"there are no {name} images, or some are of classes that the training images lack")
    for c in settings.unseen:
        if len(classes) < 3 or not all((part[1] == c).any() for part in parts.values()):
            raise UserError(f"unseen class {c!r} must be one of at least 3 classes and have images in every part")


# -------------------------------------------------------------------- the search


@dataclass
class _Teacher:
    """A teacher in training: one batch size."""

    batch_size: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int = 0
    responses: dict[int, Tensor] = field(default_factory=dict)  # by epoch: logits (N, C), mostly float16, on the CPU
    stopped: str = ""
    measured: dict[int, dict[str, Tensor]] = field(default_factory=dict)  # by epoch, in an earlier search too


class _Search:
    """One search under way: the data on the device, what was measured, and what it cost."""

    def __init__(self, make_teacher, make_student, parts, temperature, alpha, budget, seed, device, settings):
        self.make_teacher, self.make_student, self.device, self.settings = make_teacher, make_student, device, settings
        self.temperature, self.alpha, self.seed, self.budget = float(temperature), float(alpha), seed, budget
        self.labels = {name: labels for name, (_, labels) in parts.items()}  # on the CPU
        self.classes = int(max(labels.max() for labels in self.labels.values())) + 1
        self.images = {name: images.to(device) for name, (images, _) in parts.items()}
        labels = self.labels["train"]
        self.transfer = {  # the examples that students of a stage learn from
            "probe": _some_of_each(labels, settings.probe_examples, seed_for("probe", seed)),
            "full": torch.arange(len(labels)),
        }
        self.unseen = settings.unseen or (-1,)
        self.chance = float(self.labels["test"].bincount().max()) / len(self.labels["test"])
        self.epochs = {"probe": settings.probe_epochs, "full": settings.student_epochs}
        self.rows: list[tuple] = []  # as TABLE_COLUMNS
        self.correct: dict[tuple[str, str], dict[Cell, list[Tensor]]] = {}  # by stage and part: (N,) a repeat
        self.costs: dict[str, dict[str, float]] = {}
        self.folder: Path | None = None  # where what is done is kept
        self.fleets = 0  # of students, so far

    def look(self, factory: Factory, name: str, batch: int) -> tuple:
        return try_network(factory, name, self.images["train"], batch, self.classes, self.device)

    # -------------------------------------------------- what things cost, in example-passes

    def price(self, stage: str) -> int:
        """Example-passes of one response's students."""
        labels = self.labels["train"][self.transfer[stage]]
        kept = sum(int((labels != c).sum()) for c in self.unseen)
        return kept * self.epochs[stage] * self.settings.repeats

    def rung_price(self, alive: list[_Teacher], done: int, until: int) -> int:
        """Example-passes of these teachers' next epochs and their probes."""
        epochs, probes = until - done, len(_probed(done + 1, until))
        return len(alive) * (epochs * len(self.labels["train"]) + probes * self.price("probe"))

    def left(self) -> float:
        spent = int(sum(cost["example_passes"] for cost in self.costs.values()))
        return float("inf") if self.budget is None else self.budget - spent

    def affordable(self, stage: str, beside: int = 0) -> int:
        """How many responses' students are within the budget, beside other example-passes."""
        return sys.maxsize if self.budget is None else int((self.left() - beside) // self.price(stage))

    def charge(self, stage: str, seconds: float, passes: int, forward: int, multiply_adds: float) -> None:
        cost = self.costs.setdefault(stage, dict.fromkeys(COSTS, 0))
        # A backward pass counts as two forward ones.
        values = (passes, forward, multiply_adds * (3 * passes + forward), seconds)
        for name, value in zip(COSTS, values, strict=True):
            cost[name] += value
        self.bar.update(passes)

    # -------------------------------------------------- teachers that are trained already

    def judge(self, teachers: Mapping[str, nn.Module]) -> pd.DataFrame:
        batch, responses = self.settings.student_batch, {}
        self.width, self.student_madds = self.look(self.make_student, "make_student", batch)
        for name, model in teachers.items():
            if not isinstance(model, nn.Module) or name in [control for control, *_ in CONTROLS]:
                raise UserError(f"teacher {name!r} must be a trained nn.Module with a name of its own")
            model = copy.deepcopy(model).to(self.device)
            try:
                with torch.no_grad():
                    first = model.eval()(to_input(self.images["train"][:2], self.device))
            except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
                raise UserError(f"teacher {name!r} cannot take the images: {one_line(error)}") from None
            check_logits(f"teacher {name!r}", first, 2, self.classes)
            train, validation = (predict(model, self.images[part]).cpu() for part in SPLITS[:2])
            for logits in (train, validation):
                check_logits(f"teacher {name!r}", logits, len(logits), self.classes)
            if train.shape[1] != self.width:
                raise UserError(f"teacher {name!r} gives {train.shape[1]} logits, and the student {self.width}")
            responses[name, 0, 0] = train
            self.note((name, 0, 0), validation, np.nan)
        whole = (2 + len(responses)) * self.price("full")
        with progress(total=whole, desc="teachers judged", unit="example", unit_scale=True) as self.bar:
            self.distil("full", dict.fromkeys(CONTROLS) | responses)
        cells = self.judged()[1].drop(columns=["batch_size", "epochs", "probe"])
        cells.attrs |= {"chance": self.chance, "unseen": bool(self.settings.unseen)}
        return cells

    # -------------------------------------------------- the course of a search

    def run(self, batch_sizes: list[int], max_epochs: int, checkpoint: str | Path | None) -> SweetSpot:
        size, settings = len(self.labels["train"]), self.settings
        width, self.teacher_madds = self.look(self.make_teacher, "make_teacher", min(batch_sizes))
        other, self.student_madds = self.look(self.make_student, "make_student", settings.student_batch)
        if width != other:
            raise UserError(f"the networks' outputs differ in width: teacher {width}, student {other}")
        self.width = width
        least = len(batch_sizes) * (size + self.price("probe")) + 2 * self.price("probe") + 3 * self.price("full")
        if self.left() < least:
            raise UserError(
                f"budget {self.budget:,.0f} is too small: one epoch and one probe at each of {len(batch_sizes)} batch "
                f"sizes, one full distillation and the controls take {least:,} example-passes"
            )
        if checkpoint is not None:
            self.folder = check_folder("checkpoint", checkpoint) / self.identity(batch_sizes, max_epochs)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"checkpoint folder {str(self.folder)!r} cannot be made: {error.strerror}") from None
        finalists = settings.finalists or len(batch_sizes) * max_epochs
        # What is kept back for the end: as many finalists as the budget allows beside one epoch of each teacher; of
        # "all" but one, or nothing would be left to find out which they are.
        reserve = (2 + min(settings.finalists or 1, 1 + self.affordable("full", least))) * self.price("full")
        probes = len(batch_sizes) * len(_probed(1, max_epochs))
        whole = len(batch_sizes) * max_epochs * size + (2 + probes) * self.price("probe")
        whole += (2 + min(finalists, probes)) * self.price("full")
        whole = min(whole, self.budget or whole)
        with progress(total=whole, desc="sweet spot", unit="example", unit_scale=True) as self.bar:
            teachers = [self.new_teacher(b) for b in batch_sizes]
            self.distil("probe", dict.fromkeys(CONTROLS))
            cells = self.explore(teachers, max_epochs, reserve)
            chosen = self.choose(cells, min(finalists, self.affordable("full") - len(CONTROLS)))
            logits = {(name, b, e): t.responses[e] for t in teachers for name, b, e in chosen if b == t.batch_size}
            self.distil("full", dict.fromkeys(CONTROLS) | {c: logits[c] for c in chosen})
        return self.result(teachers)

    def identity(self, batch_sizes: list[int], max_epochs: int) -> str:
        """What tells this search from others, as the name of a folder."""
        own = None if isinstance(self.settings.optimizer, str) else self.settings.optimizer
        settings = asdict(self.settings) | ({"optimizer": ""} if own else {})
        said: list = [settings, batch_sizes, max_epochs, self.temperature, self.alpha, self.seed, self.budget]
        data = {"images": self.images, "labels": self.labels}
        tensors = {f"{part} {what}": t.cpu() for what, of in data.items() for part, t in of.items()}
        tensors["probe"] = self.transfer["probe"]
        for factory in (self.make_teacher, self.make_student):
            model = build(factory, seed_for("teacher", self.seed), torch.device("cpu"))
            said.append(model)
            if own:  # a function of the user's is known by what it makes, not by where it lies in memory
                said.append(optimizer_of(model, own, 0.0))
            tensors |= {f"{len(said)} {name}": t for name, t in model.state_dict().items()}
        return hashlib.sha256(f"{said} {records.checksum_of(tensors)}".encode()).hexdigest()[:16]

    def new_teacher(self, batch_size: int) -> _Teacher:
        model = build(self.make_teacher, seed_for("teacher", self.seed), self.device)
        optimizer = optimizer_of(model, self.settings.optimizer, self.settings.teacher_rate)
        teacher = _Teacher(batch_size, model, optimizer)
        if self.folder and (kept := records.load_tensors(self.folder / f"teacher-{batch_size}.safetensors")):
            for epoch in range(1, 1 + load_state(kept, model, optimizer)):
                mark = f"measured.{epoch}."
                teacher.measured[epoch] = {n.removeprefix(mark): t for n, t in kept.items() if n.startswith(mark)}
        return teacher

    def keep(self, teacher: _Teacher) -> None:
        if self.folder:
            measured = {f"measured.{e}.{name}": t for e, of in teacher.measured.items() for name, t in of.items()}
            state = state_of(teacher.model, teacher.optimizer, len(teacher.measured))
            state = {name: t.clone() for name, t in state.items()}  # tied weights share memory, which files cannot
            records.save_tensors(self.folder / f"teacher-{teacher.batch_size}.safetensors", state | measured)

    def explore(self, teachers: list[_Teacher], max_epochs: int, reserve: float) -> list[Cell]:
        """Train and probe, rung by rung, and return the cells that were probed."""
        cells: list[Cell] = []
        done = 0
        for rung in sorted({-(-max_epochs // 4), -(-max_epochs // 2), max_epochs}):
            alive = [t for t in teachers if not t.stopped]
            affordable = (
                e for e in range(done + 1, rung + 1) if self.rung_price(alive, done, e) <= self.left() - reserve
            )
            until = max(affordable, default=done)
            if not alive or until == done:
                break
            for teacher in alive:
                self.train(teacher, until, _probed(done + 1, until))
            new: dict[Cell, Tensor | None] = {
                ("teacher", t.batch_size, e): r for t in alive for e, r in t.responses.items() if e > done
            }
            if new:
                self.distil("probe", new)
            before, done = cells, until
            cells = cells + list(new)
            if until < rung:  # the budget's end
                break
            if self.settings.halving and rung < max_epochs:
                self.halve([t for t in alive if not t.stopped], before, cells)
        for teacher in teachers:
            if not teacher.stopped and done < max_epochs:
                teacher.stopped = f"after epoch {done}: the budget's end"
        if not cells:
            raise FloatingPointError("the teacher diverged at every batch size; try a lower teacher_rate")
        return cells

    def train(self, teacher: _Teacher, until: int, probed: list[int]) -> None:
        """Train one teacher on to an epoch, measuring each and keeping the response of those that are probed."""
        kept = time.perf_counter()
        for epoch in range(teacher.epochs + 1, until + 1):
            if epoch not in teacher.measured:
                teacher.measured[epoch] = self.train_epoch(teacher, epoch, epoch in probed)
                if epoch == until or time.perf_counter() - kept > CHECKPOINT_SECONDS:
                    self.keep(teacher)
                    kept = time.perf_counter()
            measured = teacher.measured[epoch]
            logits, mean_loss, passes = measured["validation"], float(measured["loss"]), int(measured["passes"])
            looks = len(logits) + len(measured.get("train", ()))
            self.charge("teachers", float(measured["seconds"]), passes, looks, self.teacher_madds)
            half = measured.get("train", torch.zeros(1))
            if not np.isfinite(mean_loss) or not all(bool(x.isfinite().all()) for x in (half, logits)):
                teacher.stopped = f"in epoch {epoch}: diverged"
                return
            teacher.epochs = epoch
            if epoch in probed:
                teacher.responses[epoch] = half
            self.note(("teacher", teacher.batch_size, epoch), logits, mean_loss)

    def note(self, cell: Cell, logits: Tensor, mean_loss: float) -> None:
        """Add a teacher's accuracy and mean entropy, of its logits on the validation images, to the table."""
        accuracy = (logits.argmax(1) == self.labels["validation"]).double().mean()
        mean = entropy(logits, self.temperature).mean()
        self.rows.append(("teacher", *cell, 0, -1, "validation", np.nan, float(accuracy), float(mean), mean_loss))

    def train_epoch(self, teacher: _Teacher, epoch: int, probed: bool) -> dict[str, Tensor]:
        """Mean loss, logits on validation images, those on training images if probed, and what it cost."""
        images, labels = self.images["train"], self.labels["train"].to(self.device)
        start = time.perf_counter()
        teacher.model.train()
        torch.manual_seed(seed_for("teacher", self.seed, epoch))
        total = torch.zeros((), device=self.device)
        batches = minibatches(len(labels), teacher.batch_size, seed_for("teacher", self.seed), epoch, self.device)
        for batch in batches:
            loss = F.cross_entropy(teacher.model(to_input(images[batch], self.device)), labels[batch])
            teacher.optimizer.zero_grad()
            loss.backward()
            teacher.optimizer.step()
            total += loss.detach() * len(batch)
        parts = ["validation", "train"] if probed else ["validation"]
        measured = {part: predict(teacher.model, self.images[part]).cpu() for part in parts}
        if probed and bool((half := measured["train"].half()).isfinite().all()):  # else beyond what it can hold
            measured["train"] = half
        passes, seconds = sum(map(len, batches)), time.perf_counter() - start
        numbers = {"loss": float(total) / passes, "passes": passes, "seconds": seconds}
        return measured | {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}

    def distil(self, stage: str, responses: dict[Cell, Tensor | None]) -> None:
        """Students of a stage for each response (logits (N, C) on the training images; None: a control)."""
        settings, cells = self.settings, list(responses)
        names = ("validation", "test") if stage == "full" else ("validation",)
        alphas = [0.0 if c == HARD else self.alpha for c in cells]
        for repeat, unseen in itertools.product(range(settings.repeats), self.unseen):
            start = time.perf_counter()
            chosen = self.transfer[stage]
            chosen = chosen[self.labels["train"][chosen] != unseen]
            silent = torch.zeros(len(chosen), self.width)
            logits = torch.stack([silent if r is None else r[chosen].float() for r in responses.values()])
            self.fleets += 1
            path = self.folder / f"students-{self.fleets}.safetensors" if self.folder else None
            made = records.load_tensors(path) if path else None
            if made is None:
                predicted, losses = distil_students(
                    self.make_student,
                    self.images["train"][chosen.to(self.device)],
                    self.labels["train"][chosen],
                    logits,
                    temperature=self.temperature,
                    scale_by_t2=settings.scale_by_t2,
                    alphas=alphas,
                    epochs=self.epochs[stage],
                    batch_size=min(settings.student_batch, len(chosen)),
                    optimizer=settings.optimizer,
                    learning_rate=settings.student_rate,
                    seed=seed_for("student", self.seed, repeat),
                    looked_at=[self.images[name] for name in names],
                )
                made = {name: of.argmax(-1) for name, of in zip(names, predicted, strict=True)} | {"losses": losses}
                made["seconds"] = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
                if path:
                    records.save_tensors(path, made)
            losses = made["losses"]
            if not all(bool(loss.isfinite()) for cell, loss in zip(cells, losses, strict=True) if cell in CONTROLS):
                raise FloatingPointError("students without a teacher diverged; try a lower student_rate")
            passes = len(cells) * len(chosen) * self.epochs[stage]
            looks = len(cells) * sum(len(self.labels[name]) for name in names)
            self.charge(STAGES[stage], float(made["seconds"]), passes, looks, self.student_madds)
            for name in names:
                right = made[name] == self.labels[name]
                of = self.labels[name] == unseen if unseen >= 0 else torch.ones_like(right[0])
                kept = self.correct.setdefault((stage, name), {})
                for cell, each, loss in zip(cells, right, losses.tolist(), strict=True):
                    if unseen == self.unseen[0]:
                        kept.setdefault(cell, []).append(each[of])
                    else:  # another class of the same repeat
                        kept[cell][-1] = torch.cat([kept[cell][-1], each[of]])
                    quality, accuracy = float(each[of].double().mean()), float(each.double().mean())
                    self.rows.append((stage, *cell, repeat, unseen, name, quality, accuracy, np.nan, loss))

    def halve(self, alive: list[_Teacher], before: list[Cell], cells: list[Cell]) -> None:
        """Stop batch sizes of the worse half whose best probe is clearly behind, and which are not clearly rising."""
        probes = self.compare("probe", "validation")
        mine = {t.batch_size: [c for c in cells if c[1] == t.batch_size] for t in alive}
        best = {b: max(of, key=probes.mean) for b, of in mine.items()}
        order = sorted(alive, key=lambda t: -probes.mean(best[t.batch_size]))
        for teacher in order[-(-len(order) // 2) :]:
            leader, of = best[order[0].batch_size], mine[teacher.batch_size]
            gap, noise = probes.difference(leader, best[teacher.batch_size])
            # Since the rung before, or in the first one since its first epoch.
            rise, unsure = probes.difference(of[-1], next((c for c in reversed(of) if c in before), of[0]))
            if gap > noise and not rise > unsure:
                teacher.stopped = f"after epoch {teacher.epochs}: its best probe is {100 * gap:.1f} points behind"

    def choose(self, cells: list[Cell], most: int) -> list[Cell]:
        """The cells to distil in full: the best probe of each batch size first, then the next best."""
        probes = self.compare("probe", "validation")
        ranked = sorted(cells, key=lambda c: (-probes.mean(c), c[2], c[1]))
        first = {cell[1]: cell for cell in reversed(ranked)}
        return sorted(ranked, key=lambda c: c != first[c[1]])[:most]

    def compare(self, stage: str, part: str) -> "Comparison":
        of = self.correct[stage, part]
        return Comparison(list(of), np.stack([torch.stack(rows).numpy() for rows in of.values()]))

    def judged(self, probes: "Comparison | None" = None) -> tuple[Cell, pd.DataFrame]:
        """The best of the responses that were distilled in full, and a line for each response, for those probed too."""
        table = pd.DataFrame(self.rows, columns=TABLE_COLUMNS)
        full, test = (self.compare("full", part) for part in ("validation", "test"))
        finalists = [c for c in full.cells if c not in CONTROLS]
        best = min(finalists, key=lambda c: (-full.mean(c), c[2], c[1]))
        taught = table[table["stage"] == "teacher"].set_index(["response", "batch_size", "epochs"])
        rows = []
        for cell in (probes or full).cells:
            row = dict(zip(CELL_COLUMNS, cell, strict=False)) | {"status": "control"}
            if cell not in CONTROLS:
                measured = taught.loc[cell]
                row |= {"teacher_accuracy": measured["accuracy"], "entropy": measured["entropy"], "status": "probed"}
            if probes:
                row["probe"] = probes.mean(cell)
            if cell in full.cells:
                row |= {"full": full.mean(cell), "test": test.mean(cell)}
            if cell in finalists:
                gap, noise = full.difference(best, cell)
                row["status"] = "recommended" if cell == best else "within noise" if gap <= noise else "behind"
                for name, control in (("hard", HARD), ("uniform", UNIFORM)):
                    margin, noise = test.difference(cell, control, 1 - 0.05 / len(finalists))
                    row |= {name: margin, f"{name}_low": margin - noise, f"{name}_high": margin + noise}
            rows.append(row)
        return best, pd.DataFrame(rows, columns=CELL_COLUMNS).sort_values(CELL_COLUMNS[:3], ignore_index=True)

    def result(self, teachers: list[_Teacher]) -> SweetSpot:
        table = pd.DataFrame(self.rows, columns=TABLE_COLUMNS)
        best, cells = self.judged(self.compare("probe", "validation"))
        cost = pd.DataFrame([{"stage": stage, **values} for stage, values in self.costs.items()])
        cost = cost.astype(dict.fromkeys(COSTS[:2], "int64"))
        stopped = {t.batch_size: t.stopped for t in teachers if t.stopped}
        (logits,) = (t.responses[best[2]] for t in teachers if t.batch_size == best[1])
        given = (self.images["train"].cpu(), self.labels["train"], logits)
        return SweetSpot(best[1:], cells, table, cost, stopped, self.settings, *given, self.chance)


def _some_of_each(labels: Tensor, most: int, seed: int) -> Tensor:
    """So many examples of each class, chosen at random, and all of a class that has fewer: ascending indices."""
    classes, counts = labels.unique(return_counts=True)
    scarce = torch.isin(labels, classes[counts < most])
    chosen, enough = scarce.nonzero().squeeze(1), (~scarce).nonzero().squeeze(1)
    if len(enough):
        more = select_examples(None, labels[enough], most, selection="random", seed=seed)
        chosen = torch.cat([chosen, enough[more]]).sort().values
    return chosen


def _probed(first: int, last: int) -> list[int]:
    """The epochs from `first` to `last` that are probed."""
    return [e for e in range(first, last + 1) if is_kept(e) or e == last]


class Comparison:
    """Students' qualities, and how far two may differ by chance.

    Parameters
    ----------
    cells : list
        What was compared, K of them.
    correct : bool array (K, repeats, N)
        Whether each image was classified rightly. Repeat r has the same seed, and image n is the same, in every cell:
        both pair the comparisons.
    """

    def __init__(self, cells: list[Cell], correct: np.ndarray):
        self.cells, self.index = cells, {c: n for n, c in enumerate(cells)}
        self.images = correct.mean(1)  # (K, N)
        self.means = self.images.mean(1)  # (K,)
        quality = correct.mean(2)  # (K, R)
        self.repeats = quality.shape[1]
        self.freedom = (len(cells) - 1) * (self.repeats - 1)
        # What a student's seed changes beyond what it changes for all cells alike, and the part of it that is chance in
        # single images: mean squares of the interactions cell x repeat and cell x repeat x image.
        single = correct - self.images[:, None] - correct.mean(0) + self.images.mean(0)
        between = single.mean(2, keepdims=True)
        self.seeds = (between**2).sum() / max(1, self.freedom)
        self.shared = ((single - between) ** 2).sum() / max(1, self.freedom * (correct.shape[2] - 1)) / correct.shape[2]

    def mean(self, cell: Cell) -> float:
        """Quality of a cell, a fraction, over repeats and images."""
        return float(self.means[self.index[cell]])

    def difference(self, one: Cell, other: Cell, level: float = 0.95) -> tuple[float, float]:
        """Quality of one cell less the other's, and the half width of its interval.

        Two kinds of chance are added: which images there are (the paired difference's standard error), and the
        students' seeds (the interaction of cell and repeat, pooled over all cells). What both contain, the chance of a
        single student with a single image, is counted once. Degrees of freedom after Satterthwaite (1946). The teacher's
        own seed is not in it: there is one run for each batch size.

        Parameters
        ----------
        one, other : (str, int, int)
            Two of `cells`.
        level : float
            Confidence of the interval.
        """
        gap = self.images[self.index[one]] - self.images[self.index[other]]
        of_images = gap.var(ddof=1) / len(gap) if len(gap) > 1 else 0.0
        of_seeds, both = 2 * self.seeds / self.repeats, 2 * self.shared / self.repeats
        variance = of_images + max(0.0, of_seeds - both)
        unsure = of_images**2 / max(1, len(gap) - 1) + of_seeds**2 / max(1, self.freedom)
        freedom = max(1.0, variance**2 / unsure) if unsure else np.inf
        return float(gap.mean()), float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(variance))


# -------------------------------------------------------------------- records


def record(found: SweetSpot, protocol: SearchProtocol, images: int, device: torch.device, results: str = "") -> None:
    """Record a search that learnt from so many training images: "sweetspot", "sweetspot_cost" and its run."""
    shared = {
        name: getattr(protocol, name) for name in ("dataset", "teacher", "student", "temperature", "alpha", "seed")
    }
    shared |= {"unseen": len(found.settings.unseen), "train_size": images, "run": key(protocol)}
    records.add("sweetspot", found.cells.assign(**shared).to_dict("records"), results)
    records.add("sweetspot_cost", found.cost.assign(**shared).to_dict("records"), results)
    records.add_runs([(protocol, protocol.max_epochs, float(found.cost["seconds"].sum()))], device, results)
