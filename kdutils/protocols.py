"""Every hyper-parameter, in one place, as frozen dataclasses; a run's key is the SHA-256 of its protocol.

What the paper gives is marked with its section. Everything else is our choice, with its reason:

==================  ==========================================================================================
optimiser           Adam at Keras's defaults (1e-3, 0.9, 0.999, eps 1e-7), inputs in [0, 1], no T² factor: MNIST's
                    small teacher and student are the Keras documentation's distillation example layer for layer
dropout             0.5 after each hidden dense layer of a large teacher: the rate its authors recommend there
teacher batch       256, the smallest batch size on the axis of Fig. 6: the conventional end of that sweep
teacher epochs      the same for both teachers ("equal"), so that capacity alone differs
teacher rate        CIFAR-10's teachers learn at 1e-4: at 1e-3 the large one's loss rose to 12 within five steps and
                    stayed at ln 10 (tried at batch sizes 11 and 32; at 3e-4 too), for Adam's first steps move each of
                    the 16,384 inputs' weights of its first dense layer by the full rate
precision           float32, but bfloat16 in all layers except the last for CIFAR-10 at full scale, whose large
                    teacher has 27 million parameters. On a GPU a teacher's float32 convolutions round their inputs to
                    TF32, PyTorch's default there; students' matrix products do not
student batch       64, the Keras example's
student epochs      5: the example trains for 3; 5 lets accuracy on the classes that are seen level off
few examples        as many optimiser steps for every number of examples as the full transfer set gets: at equal
                    epochs, five examples a class would be a handful of steps
==================  ==========================================================================================
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdutils.data import NAMES as DATASETS
from kdutils.data import data_hash
from kdutils.errors import UserError, check_name, check_number, check_whole
from kdutils.response import COUNTERFEITS, SELECTIONS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = 1
TEMPERATURES = (3.0, 6.0, 9.0, 12.0, 15.0, 20.0)  # Tables 4-6
ALPHA_KD = 0.99  # section 3.3
TABLE_TEMPERATURE = 9.0  # Tables 2-3, section 4.2
ALPHA_LS = 0.6  # Table 1
TEACHERS = ("small", "large")
UNIFORM = "uniform"  # a teacher without a network: label smoothing is distillation from it at T = 1 (section 3.2)
VIRTUAL = "virtual"  # another: `losses.virtual_teacher_logits` (Yuan et al. 2020)
RESIDUAL = "residual "  # and a student's key: what that student's teacher says beyond it (Gao et al. 2020)


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on all of `parts` and on nothing else; the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) >> 1


#: What the fields of protocols may be, where not the code that uses them says so.
WHOLE = {
    **dict.fromkeys(("batch_size", "epochs", "train_size", "eval_size", "examples", "steps"), (1, math.inf)),
    **dict.fromkeys(("seed", "teacher_epoch"), (0, math.inf)),
    "missing_class": (0, 9),
}
NUMBERS = {"alpha": (0, 1, "[]"), "dropout": (0, 1, "[)")} | dict.fromkeys(
    ("temperature", "learning_rate"), (0, math.inf, "()")
)
NAMES = {
    "dataset": DATASETS,
    "optimizer": ("adam", "sgd"),
    "precision": ("float32", "bfloat16"),
    "selection": SELECTIONS,
    "counterfeit": COUNTERFEITS,
}


def _check(protocol: "DataclassInstance") -> None:
    """Raise UserError if a field holds what it cannot."""
    for name, kind in protocol.__annotations__.items():
        value = getattr(protocol, name)
        if value is None and "None" in str(kind):
            continue
        if name in WHOLE:
            check_whole(name, value, *WHOLE[name])
        elif name in NUMBERS:
            check_number(name, value, *NUMBERS[name])
        elif name in NAMES:
            check_name(name, value, NAMES[name])


@dataclass(frozen=True, kw_only=True)
class TeacherProtocol:
    """One teacher's training at a constant learning rate. It has no number of epochs: every epoch is kept."""

    dataset: str
    data: str  # SHA-256 of the decoded data set
    role: str
    seed: int
    train_size: int | None  # training images, stratified; None: all
    batch_size: int
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    dropout: float = 0.5
    precision: str = "float32"  # of the convolutions; the last layer and the optimiser are always float32
    variant: str = "table7"
    eval_size: int | None = None  # validation and test images that are looked at, stratified; None: all
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class StudentProtocol:
    """One student, distilled from one teacher's stored logits."""

    dataset: str
    data: str
    role: str = "student"
    seed: int
    train_size: int | None
    batch_size: int
    epochs: int
    teacher: str  # key of the teacher's protocol (a teacher's or a student's), UNIFORM, VIRTUAL, or RESIDUAL and a key
    teacher_epoch: int
    missing_class: int | None
    temperature: float
    alpha: float = ALPHA_KD
    scale_by_t2: bool = False
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    precision: str = "float32"
    eval_size: int | None = None  # as a teacher's
    examples: int | None = None  # of each class in the transfer set; None: all of `train_size`
    selection: str | None = None  # of these examples, see `response.select_examples`
    steps: int | None = None  # optimiser steps an epoch; None: one pass through the transfer set
    variant: str = "table7"  # of the network
    loss: str | None = None  # a key of `losses.LOSSES`; None: Eq. 4
    counterfeit: str | None = None  # what the teacher's similarity labels are replaced by, see `response.counterfeit`
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check(self)
        if (self.examples is None) != (self.selection is None):
            raise UserError("examples and selection go together: how many of each class, and which")

    @property
    def source(self) -> tuple:
        """What tells the logits that this student learns from: teacher and epoch, and any counterfeit with its T."""
        more = (self.counterfeit, self.temperature) if self.counterfeit else ()
        return (self.teacher, self.teacher_epoch, *more)


@dataclass(frozen=True, kw_only=True)
class TutorialProtocol:
    """One network of PyTorch's distillation tutorial, with its hyper-parameters; see `kdutils.tutorial`."""

    dataset: str
    data: str
    network: str  # "teacher" or "student"
    seed: int
    train_size: int | None
    eval_size: int | None
    teacher: str | None = None  # key of the teacher's protocol; None: hard labels alone
    batch_size: int = 128
    epochs: int = 10
    learning_rate: float = 1e-3  # Adam's, at PyTorch's defaults
    temperature: float = 2.0
    alpha: float = 0.25
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class SearchProtocol:
    """A search on a data set and two networks of Table 7, as it is recorded."""

    dataset: str
    data: str  # SHA-256 of the decoded data set
    teacher: str
    student: str
    train_size: int | None  # training images, stratified; None: all
    eval_size: int | None  # validation and test images, likewise
    batch_sizes: tuple[int, ...]
    max_epochs: int
    temperature: float
    alpha: float
    budget: float | None
    seed: int
    settings: dict  # of `sweetspot.Settings`
    schema: int = SCHEMA


# What runs implied before a field was added. A field at this value is left out of the canonical protocol, so that the
# keys of older runs stay what they are. These values never change, whatever a field's default becomes.
# (A teacher's `variant` is older than this rule, and stays.)
IMPLIED: dict[type, dict[str, object]] = {
    TeacherProtocol: {"eval_size": None},
    StudentProtocol: {
        **dict.fromkeys(("eval_size", "examples", "selection", "steps", "counterfeit", "loss")),
        "variant": "table7",
    },
}


def canonical(protocol: "DataclassInstance") -> str:
    """The protocol as canonical JSON: its kind and every field but those at their `IMPLIED` value, sorted."""
    fields = {"kind": type(protocol).__name__, **dataclasses.asdict(protocol)}
    implied = IMPLIED.get(type(protocol), {})
    fields = {name: value for name, value in fields.items() if name not in implied or value != implied[name]}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def parse(text: str) -> TeacherProtocol | StudentProtocol:
    """The protocol of a teacher or student whose `canonical` is this text."""
    fields = json.loads(text)
    return {"TeacherProtocol": TeacherProtocol, "StudentProtocol": StudentProtocol}[fields.pop("kind")](**fields)


def key(protocol: "DataclassInstance") -> str:
    """The run's key: the first 16 hexadecimal digits of the canonical JSON's SHA-256."""
    return hashlib.sha256(canonical(protocol).encode()).hexdigest()[:16]


FULL_SIZE = {"mnist": 55_000, "fashion_mnist": 55_000, "cifar10": 45_000, "digits": 1_257}
VALIDATION_SIZE = {"mnist": 5_000, "fashion_mnist": 5_000, "cifar10": 5_000, "digits": 180}
TEACHER_BATCH = {"mnist": 256, "fashion_mnist": 256, "cifar10": 256, "digits": 32}
TEACHER_RATE = {"mnist": 1e-3, "fashion_mnist": 1e-3, "cifar10": 1e-4, "digits": 1e-3}
STUDENT_BATCH = {"mnist": 64, "fashion_mnist": 64, "cifar10": 64, "digits": 16}
EXAMPLES = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # a class, Figure 4
EVALUATIONS = 10  # of a student that learns from few examples, at equal distances
SWEEP_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 50)  # at which a sweep's teachers are distilled
SWEEP_SEEDS = 1  # at most


@dataclass(frozen=True)
class Training:
    """How long a teacher is trained: its batch size (at full scale) and epochs."""

    batch_size: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.batch_size}x{self.epochs}"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much of the full-scale study is run. Reduced profiles are for trying things; `paper` decides.

    A reduced profile scales the batch size with the number of training images, so that an epoch keeps its number of
    steps and experiments on batch sizes keep their meaning. Everything but `name` and `seeds` is by data set.
    """

    name: str
    temperatures: dict[str, tuple[float, ...]]  # of students; a response is measured at all of `TEMPERATURES`
    train_size: dict[str, int | None]  # training images; None: all
    eval_size: dict[str, int | None]  # validation images, and test images; None: all
    teacher_epochs: dict[str, int]
    student_epochs: dict[str, int]
    examples: dict[str, tuple[int, ...]]  # a class, Figure 4; numbers that the transfer set does not have are left out
    sweep: dict[str, tuple[int, ...]]  # batch sizes (at full scale) of section 5
    sweep_epochs: dict[str, int]
    variations: dict[str, tuple[str, ...]]  # by name, and then at T = 9 alone; empty: all of them
    precision: dict[str, str]  # of teachers and students
    seeds: int

    def batch_size(self, dataset: str, full: int) -> int:
        """The batch size that stands for `full` at this profile's number of images."""
        size = self.train_size[dataset]
        return full if size is None else max(1, round(full * size / FULL_SIZE[dataset]))

    def reductions(self, dataset: str, groups: set[str]) -> str:
        """What is less than at the full scale in these groups of runs, in words; empty if nothing is."""
        full, parts = PROFILES["paper"], []
        less = lambda of: getattr(self, of)[dataset] != getattr(full, of)[dataset]
        swept = bool(groups & {"sweep", "retrained", "sweet_spot", "few_examples_retrained", "baseline"})
        if self.train_size[dataset]:
            parts.append(f"{self.train_size[dataset]:,} training images")
            batches = (("teachers'", TEACHER_BATCH[dataset]), ("students'", STUDENT_BATCH[dataset]))
            parts += [f"{whose} batches {self.batch_size(dataset, size)} for {size}" for whose, size in batches]
        if self.eval_size[dataset]:
            parts.append(f"{self.eval_size[dataset]:,} of validation and of test")
        epochs = {"teachers'": "teacher_epochs", "students'": "student_epochs", "the sweep's": "sweep_epochs"}
        for whose, of in epochs.items():
            if less(of) and (swept or of != "sweep_epochs"):
                parts.append(f"{whose} epochs {getattr(self, of)[dataset]} for {getattr(full, of)[dataset]}")
        if less("temperatures") and groups & {"missing_class", "baseline"}:
            parts.append(f"T {', '.join(f'{t:g}' for t in self.temperatures[dataset])} alone")
        if swept and (less("sweep") or self.train_size[dataset]):
            sizes = ((str(size), str(self.batch_size(dataset, size))) for size in self.sweep[dataset])
            named, used = map(", ".join, zip(*sizes, strict=True))
            parts.append(f"batch sizes {named} alone, which stand for {used}")
        if self.numbers(dataset) != full.numbers(dataset) and groups & {"few_examples", "few_examples_retrained"}:
            parts.append(f"{', '.join(map(str, self.numbers(dataset)))} examples a class")
        if self.variations[dataset] and "variations" in groups:
            names = ", ".join(f'"{name}"' for name in self.variations[dataset])
            parts.append(f"variations {names} at T = {TABLE_TEMPERATURE:g} alone")
        return "; ".join(parts)

    def validation_images(self, dataset: str) -> int:
        """How many validation images an accuracy is measured on."""
        return self.eval_size[dataset] or VALIDATION_SIZE[dataset]

    def steps(self, dataset: str, batch_size: int, epochs: int) -> int:
        """Optimiser steps of a network trained at this batch size (named as at full scale) for so many epochs."""
        size = self.train_size[dataset] or FULL_SIZE[dataset]
        return epochs * -(-size // self.batch_size(dataset, batch_size))

    def numbers(self, dataset: str) -> list[int]:
        """Figure 4's examples a class, as far as the transfer set has them."""
        size = self.train_size[dataset] or FULL_SIZE[dataset]
        return [n for n in self.examples[dataset] if 10 * n <= size]


def _all(value: object) -> dict:
    return dict.fromkeys(FULL_SIZE, value)


PROFILES = {
    "paper": Profile(
        name="paper",
        temperatures=_all(TEMPERATURES),
        train_size=_all(None),
        eval_size=_all(None),
        teacher_epochs={"mnist": 10, "fashion_mnist": 10, "cifar10": 30, "digits": 30},
        student_epochs={"mnist": 5, "fashion_mnist": 5, "cifar10": 10, "digits": 60},
        examples=_all(EXAMPLES),
        sweep=_all((256, 512, 1024, 2048, 4096, 8192)) | {"cifar10": (256, 1024, 4096, 8192), "digits": (32, 128, 512)},
        sweep_epochs=_all(50) | {"cifar10": 30},
        variations=_all(()),
        precision=_all("float32") | {"cifar10": "bfloat16"},
        seeds=3,
    ),
    "cpu": Profile(
        name="cpu",
        temperatures=_all(TEMPERATURES) | {"cifar10": (3.0, 9.0)},
        train_size={"mnist": 5_000, "fashion_mnist": 5_000, "cifar10": 2_000, "digits": None},
        eval_size=_all(2_000) | {"digits": None},
        teacher_epochs={"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "digits": 30},
        student_epochs={"mnist": 5, "fashion_mnist": 5, "cifar10": 6, "digits": 60},
        examples=_all(EXAMPLES) | {"cifar10": (5, 20, 50, 200)},
        sweep=_all((256, 1024, 4096, 8192))
        | {"mnist": (256, 4096, 8192), "cifar10": (256, 4096), "digits": (32, 128, 512)},
        sweep_epochs={"mnist": 50, "fashion_mnist": 20, "cifar10": 10, "digits": 50},
        variations=_all(()),
        precision=_all("float32"),
        seeds=1,
    ),
    "smoke": Profile(
        name="smoke",
        temperatures=_all((3.0, 9.0, 20.0)),
        train_size={"mnist": 2_000, "fashion_mnist": 2_000, "cifar10": 1_000, "digits": None},
        eval_size=_all(1_000) | {"digits": None},
        teacher_epochs={"mnist": 3, "fashion_mnist": 3, "cifar10": 2, "digits": 20},
        student_epochs={"mnist": 3, "fashion_mnist": 3, "cifar10": 2, "digits": 40},
        examples=_all(EXAMPLES),
        sweep=_all((256, 1024, 4096)) | {"digits": (32, 128, 512)},
        sweep_epochs={"mnist": 5, "fashion_mnist": 5, "cifar10": 2, "digits": 20},
        variations=_all(("equal", *COUNTERFEITS, "alpha 0.99, T²")),
        precision=_all("float32"),
        seeds=1,
    ),
}

# Training lengths at which MNIST's teachers answer digit 6 as the published rows of Tables 2-3 do.
CALIBRATED = {"small": Training(2048, 1), "large": Training(256, 1)}
RETRAINED = (Training(4096, 50), Training(8192, 40))  # MNIST's large teacher in section 5 (Fig. 7 b and c)
# Networks of growing capacity as teachers, for the spectrum of Figure 2: Table 7's, from one layer upwards.
CAPACITIES = ("baseline", "student", *TEACHERS)
ROLES = {t: f"teacher-{t}" for t in TEACHERS} | {"student": "student", "baseline": "student-baseline"}


def trainings(profile: Profile, dataset: str) -> dict[str, dict[str, Training]]:
    """How long the "small" and "large" teachers are trained, by training protocol.

    "equal" trains both alike: it decides every verdict. "calibrated" exists for MNIST alone, whose soft labels the
    paper prints; it is shown beside, and decides nothing.
    """
    equal = Training(TEACHER_BATCH[dataset], profile.teacher_epochs[dataset])
    found = {"equal": dict.fromkeys(TEACHERS, equal)}
    if dataset == "mnist" and profile.name == "paper":
        found["calibrated"] = CALIBRATED
    return found


def sweep(profile: Profile, dataset: str) -> list[Training]:
    """The cells of section 5's search, batch sizes by epochs, in order."""
    last = profile.sweep_epochs[dataset]
    epochs = sorted({e for e in SWEEP_EPOCHS if e <= last} | {last})
    return [Training(size, e) for size in profile.sweep[dataset] for e in epochs]


def retrained(profile: Profile, dataset: str) -> list[Training]:
    """The two trainings of section 5 that Figures 7-8 show; where a sweep has not got them, its largest batch's last."""
    cells = sweep(profile, dataset)
    published = [t for t in RETRAINED if t in cells and dataset == "mnist"]
    return published or [c for c in cells if c.batch_size == max(profile.sweep[dataset])][:-3:-1]


def teacher_protocol(profile: Profile, dataset: str, teacher: str, batch_size: int, seed: int) -> TeacherProtocol:
    """The protocol of a teacher of Table 7 (by its name in `ROLES`), at a profile, batch size (full scale) and seed."""
    return TeacherProtocol(
        dataset=dataset,
        data=data_hash(dataset),
        role=ROLES[teacher],
        seed=seed,
        train_size=profile.train_size[dataset],
        batch_size=profile.batch_size(dataset, batch_size),
        learning_rate=TEACHER_RATE[dataset],
        precision=profile.precision[dataset],
        eval_size=profile.eval_size[dataset],
    )
