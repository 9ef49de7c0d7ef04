"""Every hyper-parameter, in one place, as frozen dataclasses; a run's key is the SHA-256 of its protocol.

What the paper gives is marked with its section. Everything else is our choice, with its reason:

==================  ==========================================================================================
optimiser           Adam at Keras's defaults (1e-3, 0.9, 0.999, eps 1e-7), inputs in [0, 1], no T² factor: MNIST's
                    small teacher and student are the Keras documentation's distillation example layer for layer
dropout             0.5 after each hidden dense layer of a large teacher: the rate its authors recommend there
teacher batch       256, the smallest batch size on the axis of Fig. 6: the conventional end of that sweep
teacher epochs      the same for both teachers ("equal"), so that capacity alone differs
student batch       64, the Keras example's
student epochs      5: the example trains for 3; 5 lets accuracy on the classes that are seen level off
==================  ==========================================================================================
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from kdutils.data import data_hash

SCHEMA = 1
TEMPERATURES = (3.0, 6.0, 9.0, 12.0, 15.0, 20.0)  # Tables 4-6
ALPHA_KD = 0.99  # section 3.3
TABLE_TEMPERATURE = 9.0  # Tables 2-3, section 4.2
TEACHERS = ("small", "large")


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on all of `parts` and on nothing else; the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) >> 1


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
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class StudentProtocol:
    """One student, distilled with Eq. 4 from one teacher's stored logits."""

    dataset: str
    data: str
    role: str = "student"
    seed: int
    train_size: int | None
    batch_size: int
    epochs: int
    teacher: str  # key of the teacher's protocol
    teacher_epoch: int
    missing_class: int | None
    temperature: float
    alpha: float = ALPHA_KD
    scale_by_t2: bool = False
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    precision: str = "float32"
    schema: int = SCHEMA


Protocol = TeacherProtocol | StudentProtocol


def canonical(protocol: Protocol) -> str:
    """The protocol as canonical JSON: its kind and every field, sorted."""
    fields = {"kind": type(protocol).__name__, **dataclasses.asdict(protocol)}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def key(protocol: Protocol) -> str:
    """The run's key: the first 16 hexadecimal digits of the canonical JSON's SHA-256."""
    return hashlib.sha256(canonical(protocol).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much of the full-scale study is run. Reduced profiles are for trying things; `paper` decides.

    A reduced profile scales the batch size with the number of training images, so that an epoch keeps its number of
    steps and experiments on batch sizes keep their meaning.
    """

    name: str
    temperatures: tuple[float, ...] = TEMPERATURES
    train_size: dict[str, int | None]  # training images by data set; None: all
    teacher_epochs: dict[str, int]
    student_epochs: dict[str, int]
    seeds: int

    def batch_size(self, dataset: str, full: int) -> int:
        """The batch size that stands for `full` at this profile's number of images."""
        size = self.train_size[dataset]
        return full if size is None else max(1, round(full * size / FULL_SIZE[dataset]))


FULL_SIZE = {"mnist": 55_000, "fashion_mnist": 55_000, "cifar10": 45_000, "digits": 1_257}
TEACHER_BATCH = {"mnist": 256, "fashion_mnist": 256, "cifar10": 256, "digits": 32}
STUDENT_BATCH = {"mnist": 64, "fashion_mnist": 64, "cifar10": 64, "digits": 16}
ALL = dict.fromkeys(FULL_SIZE)

PROFILES = {
    "paper": Profile(
        name="paper",
        train_size=ALL,
        teacher_epochs={"mnist": 10, "fashion_mnist": 10, "cifar10": 30, "digits": 30},
        student_epochs={"mnist": 5, "fashion_mnist": 5, "cifar10": 10, "digits": 60},
        seeds=3,
    ),
    "cpu": Profile(
        name="cpu",
        train_size={"mnist": 20_000, "fashion_mnist": 20_000, "cifar10": 5_000, "digits": None},
        teacher_epochs={"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "digits": 30},
        student_epochs={"mnist": 5, "fashion_mnist": 5, "cifar10": 10, "digits": 60},
        seeds=1,
    ),
    "smoke": Profile(
        name="smoke",
        temperatures=(3.0, 9.0, 20.0),
        train_size={"mnist": 2_000, "fashion_mnist": 2_000, "cifar10": 1_000, "digits": None},
        teacher_epochs={"mnist": 3, "fashion_mnist": 3, "cifar10": 2, "digits": 20},
        student_epochs={"mnist": 3, "fashion_mnist": 3, "cifar10": 2, "digits": 40},
        seeds=1,
    ),
}


@dataclass(frozen=True)
class Training:
    """How long a teacher is trained: its batch size (at full scale) and epochs."""

    batch_size: int
    epochs: int


# Training lengths at which MNIST's teachers answer digit 6 as the published rows of Tables 2-3 do.
CALIBRATED = {"small": Training(2048, 1), "large": Training(256, 1)}


def trainings(profile: Profile, dataset: str) -> dict[str, dict[str, Training]]:
    """How long the "small" and "large" teachers are trained, by training protocol.

    "equal" trains both alike: it decides every verdict. "calibrated" exists for MNIST alone, whose soft labels the
    paper prints; it is shown beside, and decides nothing.
    """
    equal = Training(TEACHER_BATCH[dataset], profile.teacher_epochs[dataset])
    found = {"equal": dict.fromkeys(TEACHERS, equal)}
    if dataset == "mnist" and profile.name != "smoke":
        found["calibrated"] = CALIBRATED
    return found


def teacher_protocol(profile: Profile, dataset: str, teacher: str, batch_size: int, seed: int) -> TeacherProtocol:
    """The protocol of the "small" or "large" teacher of Table 7, at a profile, batch size (full scale) and seed."""
    return TeacherProtocol(
        dataset=dataset,
        data=data_hash(dataset),
        role=f"teacher-{teacher}",
        seed=seed,
        train_size=profile.train_size[dataset],
        batch_size=profile.batch_size(dataset, batch_size),
    )
