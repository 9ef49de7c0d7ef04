"""Datasets as whole tensors: real images, read from files whose content is checked, and split the same way everywhere.

Of the official training images, the last 500 of each class in file order (digits: 18) are the validation set, the rest
the train set. `digits` has no official test set: the last 36 of each class in file order are set apart as one first.
"""

import contextlib
import functools
import gzip
import hashlib
import http.client
import math
import os
import pickle
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdutils.errors import UserError, check_folder, check_name

NAMES = ("mnist", "fashion_mnist", "cifar10", "digits")
SPLITS = ("train", "validation", "test")
# Of the decoded official arrays (see `_sha256`): files may be packed in several ways, what they hold must be this.
SHA256 = {
    "mnist": "ef5506b5586af5f6e30c7a32cb5b85046e181b2761cc563eee330be3ce609048",
    "fashion_mnist": "598f1945c14a281689c4bfdc25bd0baae7b3be7a6b8fe5738f5fddb5b6768f39",
    "cifar10": "3a8bea0d624a527baeea3f15581b40633f789bc1493376edad6edb8cf6877fba",
    "digits": "fc9b7861020ea12afaf8535d0e6ace7d1ff082c16610a4c136899817badbed9e",
}
SPLIT_RULE = 1  # raise it whenever the choice of images changes: it is part of `data_hash`, hence of run keys
_VALIDATION_PER_CLASS = {"mnist": 500, "fashion_mnist": 500, "cifar10": 500, "digits": 18}
_FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_CIFAR = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
_CLASS_NAMES = {"fashion_mnist": tuple(_FASHION.split(",")), "cifar10": tuple(_CIFAR.split(","))}
# torchvision's class, and the folder in which it keeps the files
_SOURCES = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}
_IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_CIFAR_FILES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_CIFAR_BATCH = 10_000  # images per file
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # train images, train labels, test images, test labels


class DataError(UserError):
    """Data that is absent, unreadable or not what was published. Its one line says what to do."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images, whole in memory.

    Attributes
    ----------
    images : torch.Tensor
        uint8, shape (N, C, H, W): grey levels or RGB from 0 to 255.
    labels : torch.Tensor
        int64, shape (N,): indices into `class_names`.
    class_names : tuple[str, ...]
        All classes, also those of which a subset has no image.
    name : str
        The dataset's name.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]
    name: str

    def __post_init__(self):
        types = (self.images.dtype, self.labels.dtype)
        if types != (torch.uint8, torch.int64) or self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"{self.name}: images must be uint8 (N, C, H, W) and labels int64 (N,), not {types[0]} "
                f"{tuple(self.images.shape)} and {types[1]} {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> "ImageSet":
        """Return copies of the images at `indices`: integers in the wanted order, or a boolean mask of length N."""
        chosen = torch.as_tensor(indices, device=self.labels.device)
        chosen = chosen if chosen.numel() else chosen.long()  # an empty list becomes float, which cannot index
        return ImageSet(self.images[chosen], self.labels[chosen], self.class_names, self.name)


def load_dataset(name: str, split: str, root: str | os.PathLike | None = None) -> ImageSet:
    """Load one split of a dataset; if it is absent, download it through torchvision first.

    Images (train, validation, test) and (C, H, W): mnist and fashion_mnist 55,000, 5,000, 10,000 of (1, 28, 28);
    cifar10 45,000, 5,000, 10,000 of (3, 32, 32); digits 1,257, 180, 360 of (1, 8, 8), shipped with scikit-learn (no
    download), its values 0..16 as round(v * 255 / 16). Every split is stratified or official, in file order.

    Parameters
    ----------
    name, split : str
        One of `NAMES`, one of `SPLITS`.
    root : path, optional
        The data folder; default: the environment variable `KDUTILS_DATA`, else ``~/.cache/kdutils/data``. In it:
        ``MNIST/raw`` and ``FashionMNIST/raw`` with IDX files (unpacked or .gz), and ``cifar-10-batches-bin`` (the
        official binary version) or ``cifar-10-batches-py`` (pickles: opened only if their MD5 is the published one).

    Returns
    -------
    ImageSet
        The caller's own copy: writing to it changes nothing for others. The decoded files stay in memory, so that the
        other splits come fast; a later change on disk is not noticed by the same process.

    Raises
    ------
    UserError
        If the name or split is unknown.
    DataError
        If the data cannot be downloaded, cannot be read, or is not what was published.
    """
    check_name("dataset", name, NAMES)
    check_name("split", split, SPLITS)
    root = root or os.environ.get("KDUTILS_DATA") or "~/.cache/kdutils/data"
    where = None if name == "digits" else check_folder("data root (root, or KDUTILS_DATA)", root).resolve()
    arrays = _official(name, where)
    if split == "test":
        images, labels = (array.copy() for array in arrays[2:])
    else:
        chosen = _last_of_each_class(arrays[1], _VALIDATION_PER_CLASS[name]) == (split == "validation")
        images, labels = (array[chosen] for array in arrays[:2])  # a mask copies too
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels), class_names(name), name)


def class_names(name: str) -> tuple[str, ...]:
    """Return the ten classes' names in label order, with no data needed; UserError if the data set is unknown."""
    return _CLASS_NAMES.get(check_name("dataset", name, NAMES), tuple("0123456789"))


def data_hash(name: str) -> str:
    """Return the recorded SHA-256 of data set `name` and the split rule's version, for run keys; needs no data."""
    return f"{SHA256[check_name('dataset', name, NAMES)]}-split{SPLIT_RULE}"


def _last_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[-count:]] = True
    return mask


def _sha256(arrays: Arrays) -> str:
    """Hash four arrays in order: a line with type and shape, then the bytes (C order; labels little-endian int64)."""
    digest = hashlib.sha256()
    for array, dtype in zip(arrays, ("|u1", "<i8", "|u1", "<i8"), strict=True):
        digest.update(f"{dtype} {' '.join(map(str, array.shape))}\n".encode())
        digest.update(np.ascontiguousarray(array, dtype).data)
    return digest.hexdigest()


@functools.lru_cache(maxsize=len(NAMES))  # at most 300 MB, with every dataset in it; errors are not kept
def _official(name: str, root: Path) -> Arrays:
    """Read the official arrays and check them against the recorded SHA-256; they are shared, hence read-only."""
    try:
        if name == "digits":
            arrays, source, remedy = _read_digits(), "scikit-learn's digits", "install another version of scikit-learn"
        else:
            arrays, folder = _read_cifar10(root) if name == "cifar10" else _read_idx_dataset(name, root)
            source, remedy = f"the files in {folder}", "delete them and run again"
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or root}: {error.strerror or error}; make it readable, or name "
            "another folder, as root or in KDUTILS_DATA"
        ) from error
    found, expected = _sha256(arrays), SHA256[name]
    if found != expected:
        raise DataError(f"{source} do not hold {name} as published (SHA-256 {found[:9]}, not {expected[:9]}): {remedy}")
    for array in arrays:
        array.flags.writeable = False
    return arrays


def _read_digits() -> Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = np.rint(bunch.images[:, None] * 255 / 16).astype(np.uint8), bunch.target.astype(np.int64)
    test = _last_of_each_class(labels, 36)
    return images[~test], labels[~test], images[test], labels[test]


def _read_idx_dataset(name: str, root: Path) -> tuple[Arrays, Path]:
    folder = root / _SOURCES[name][1]

    def find(file: str) -> Path:
        """The file as it is there, packed or not; else where it would be."""
        return next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), folder / file)

    missing = [file for file in _IDX_FILES if not find(file).is_file()]
    if missing:
        _download(name, root, missing, f"{', '.join(missing)} (unpacked or .gz) into {folder}")
    images, labels, test_images, test_labels = (_read_idx(find(file)) for file in _IDX_FILES)
    return (images[:, None], labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)), folder


def _read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes (.gz in place): a magic number, big-endian sizes, values."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}): delete it and run again") from error
    ndim = 3 if "idx3" in path.name else 1
    start = 4 + 4 * ndim
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if content[:4] != bytes((0, 0, 8, ndim)) or len(content) != start + math.prod(shape):
        raise DataError(f"{path} is truncated or not an IDX file of bytes in {ndim}-D: delete it and run again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_cifar10(root: Path) -> tuple[Arrays, Path]:
    binary, pickled = root / "cifar-10-batches-bin", root / _SOURCES["cifar10"][1]
    absent = [f"{file}.bin" for file in _CIFAR_FILES if not (binary / f"{file}.bin").is_file()]
    missing = [file for file in _CIFAR_FILES if not (pickled / file).is_file()]
    if absent and missing:
        _download("cifar10", root, missing, f"{', '.join(absent)} (the official binary version) into {binary}")
    folder, read, suffix = (pickled, _read_cifar_py, "") if absent else (binary, _read_cifar_bin, ".bin")
    images, labels = zip(*(read(folder / f"{file}{suffix}") for file in _CIFAR_FILES), strict=True)
    return (np.concatenate(images[:5]), np.concatenate(labels[:5]), images[5], labels[5]), folder


def _read_cifar_bin(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of the binary version: per image a label byte, then the red, green and blue planes."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if content.size != _CIFAR_BATCH * 3073:
        raise DataError(f"{path} has {content.size:,} bytes, not {_CIFAR_BATCH * 3073:,}: delete it and run again")
    records = content.reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _read_cifar_py(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of the Python version. A pickle can run code: only the published bytes are opened."""
    from torchvision.datasets import CIFAR10

    content, published = path.read_bytes(), dict(CIFAR10.train_list + CIFAR10.test_list)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != published[path.name]:
        raise DataError(f"{path} is a pickle without the published MD5, so it is not opened: delete it and run again")
    return _decode_cifar_py(content)


def _decode_cifar_py(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = pickle.loads(content, encoding="latin1")  # noqa: S301 - its published checksum has matched
    return np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32), np.asarray(batch["labels"], np.int64)


def _download(name: str, root: Path, missing: list[str], by_hand: str) -> None:
    """Download into a temporary folder below `root`, then rename the missing files into place: whole or not at all."""
    import torchvision.datasets

    class_name, folder = _SOURCES[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root)
    except OSError as error:
        raise DataError(
            f"{name} is not complete in {root}, and nothing can be written there ({error.strerror}): name "
            "another folder, as root or in KDUTILS_DATA"
        ) from error
    with temporary:
        print(f"downloading {name} into {root}", file=sys.stderr)
        try:
            with _filtered_archives():
                getattr(torchvision.datasets, class_name)(temporary.name, download=True)
            (root / folder).mkdir(parents=True, exist_ok=True)
            for file in missing:
                (Path(temporary.name) / folder / file).replace(root / folder / file)
        except (OSError, RuntimeError, http.client.HTTPException, tarfile.TarError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{name} is not complete in {root} and could not be downloaded ({why}): put {by_hand}, or "
                "set KDUTILS_DATA to a folder that has it"
            ) from error


@contextlib.contextmanager
def _filtered_archives() -> Iterator[None]:
    """Let no archive write outside its folder. torchvision checks its checksum first, and unpacks it without a filter."""
    before = vars(tarfile.TarFile).get("extraction_filter")
    safe: Any = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later
    tarfile.TarFile.extraction_filter = staticmethod(safe)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
