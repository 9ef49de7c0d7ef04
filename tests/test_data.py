"""Datasets: real ones against their recorded hashes, small made-up ones for what goes wrong on disk and network."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import re
import socket
import struct
import urllib.error
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import torchvision

from kdutils import data
from kdutils.data import DataError, ImageSet, data_hash, load_dataset

SIZES = {  # train, validation, test, image shape
    "mnist": (55_000, 5_000, 10_000, (1, 28, 28)),
    "fashion_mnist": (55_000, 5_000, 10_000, (1, 28, 28)),
    "cifar10": (45_000, 5_000, 10_000, (3, 32, 32)),
    "digits": (1_257, 180, 360, (1, 8, 8)),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("network use in a test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Made-up data: three training images and one test image per class; the last training image of each class validates.


def made_up(shape: tuple[int, ...]) -> data.Arrays:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, *shape), np.uint8)
    labels = np.concatenate([rng.permutation(np.repeat(np.arange(10), 3)), np.arange(10)])
    return images[:30], labels[:30], images[30:], labels[30:]


def write_idx(folder: Path, arrays: data.Arrays, packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(data._IDX_FILES, arrays, strict=True):
        array = array[:, 0] if array.ndim == 4 else array
        content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}i", *array.shape)
        content += array.astype(np.uint8).tobytes()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def write_cifar(folder: Path, arrays: data.Arrays) -> None:
    folder.mkdir(parents=True)
    images, labels = np.concatenate(arrays[0::2]), np.concatenate(arrays[1::2])
    for i, name in enumerate(data._CIFAR_FILES):
        batch = slice(i * data._CIFAR_BATCH, (i + 1) * data._CIFAR_BATCH)
        records = np.hstack([labels[batch, None].astype(np.uint8), images[batch].reshape(data._CIFAR_BATCH, -1)])
        (folder / f"{name}.bin").write_bytes(records.tobytes())


@pytest.fixture
def mnist(monkeypatch) -> data.Arrays:
    """Small arrays that pass for MNIST within one test."""
    arrays = made_up((1, 5, 4))
    monkeypatch.setitem(data.SHA256, "mnist", data._sha256(arrays))
    monkeypatch.setitem(data._VALIDATION_PER_CLASS, "mnist", 1)
    return arrays


@pytest.fixture
def cifar(monkeypatch) -> data.Arrays:
    """Small arrays that pass for CIFAR-10 within one test: six batches of ten."""
    images, labels = np.random.default_rng(1).integers(0, 256, (60, 3, 32, 32), np.uint8), np.tile(np.arange(10), 6)
    arrays = images[:50], labels[:50], images[50:], labels[50:]
    monkeypatch.setattr(data, "_CIFAR_BATCH", 10)
    monkeypatch.setitem(data.SHA256, "cifar10", data._sha256(arrays))
    monkeypatch.setitem(data._VALIDATION_PER_CLASS, "cifar10", 1)
    return arrays


def downloader(monkeypatch, class_name: str, write) -> list[str]:
    """Put `write(dataset)` in the place of torchvision's download; return the list of roots it was called with."""
    calls = []

    def download(dataset):
        calls.append(str(dataset.root))
        write(dataset)

    monkeypatch.setattr(getattr(torchvision.datasets, class_name), "download", download)
    return calls


# Names, and what needs no data


def test_data_hash_needs_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path / "nothing"))
    hashes = [data_hash(name) for name in data.NAMES]
    assert len(set(hashes)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{64}-split1", value) for value in hashes)
    monkeypatch.setattr(data, "SPLIT_RULE", 2)
    assert data_hash("mnist") != hashes[0]


def test_recorded_hashes_and_split_rule_are_pinned():
    """A changed hash or rule gives every run another key: change this test only on purpose."""
    assert {name: value[:12] for name, value in data.SHA256.items()} == {
        "mnist": "ef5506b5586a",
        "fashion_mnist": "598f1945c14a",
        "cifar10": "3a8bea0d624a",
        "digits": "fc9b7861020e",
    }
    assert data.SPLIT_RULE == 1


def test_hash_covers_values_shapes_and_order():
    images, labels, test_images, test_labels = made_up((1, 5, 4))
    reference = data._sha256((images, labels, test_images, test_labels))
    assert data._sha256((np.asfortranarray(images), labels.astype(">i8"), test_images, test_labels)) == reference
    flipped = images.copy()
    flipped[7, 0, 0, 0] ^= 1
    for other in (
        (flipped, labels, test_images, test_labels),
        (images.reshape(-1, 1, 4, 5), labels, test_images, test_labels),
        (images[::-1], labels[::-1], test_images, test_labels),
        (test_images, test_labels, images, labels),
    ):
        assert data._sha256(other) != reference


def test_image_set_checks_its_tensors():
    images, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    assert len(ImageSet(images, labels, ("a",), "mine")) == 3
    for wrong in ((images.float(), labels), (images[:, 0], labels), (images, labels.int()), (images, labels[:2])):
        with pytest.raises(DataError, match="mine: images must be uint8"):
            ImageSet(*wrong, ("a",), "mine")


def test_subset():
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    whole = ImageSet(images, torch.tensor([0, 1, 0, 1]), ("a", "b"), "mine")
    for indices in ([2, 0], np.array([2, 0]), torch.tensor([2, 0])):
        part = whole.subset(indices)
        assert part.images.flatten().tolist() == [2, 0] and part.labels.tolist() == [0, 0]
        assert (part.class_names, part.name) == (("a", "b"), "mine")
    assert whole.subset(whole.labels == 1).images.flatten().tolist() == [1, 3]
    assert len(whole.subset([])) == 0 and whole.subset([]).images.shape == (0, 1, 1, 1)
    part.images.zero_()
    assert images.flatten().tolist() == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        whole.subset([4])
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.name = "other"


# Digits, which every installation has


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    sets = {split: load_dataset("digits", split) for split in data.SPLITS}
    for label in range(10):
        # The reference: plain lists of a class's images in file order, cut as the docstring says.
        of_class = bunch.images[bunch.target == label]
        images = [[[round(value * 255 / 16) for value in row] for row in image] for image in of_class]
        for split, part in (("train", images[:-54]), ("validation", images[-54:-36]), ("test", images[-36:])):
            assert sets[split].images[sets[split].labels == label][:, 0].tolist() == part
    assert sum(len(part) for part in sets.values()) == 1797
    assert sets["train"].images.max() == 255 and sets["train"].images.min() == 0


def test_digits_ignore_the_root(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert len(load_dataset("digits", "test", root=file)) == 360


def test_changed_digits_are_noticed(monkeypatch):
    data._official.cache_clear()
    monkeypatch.setitem(data.SHA256, "digits", "0" * 64)
    with pytest.raises(DataError, match="scikit-learn's digits do not hold digits as published.*another version"):
        load_dataset("digits", "train")


# The real datasets


@pytest.mark.parametrize("name", data.NAMES)
def test_real_splits(name, request):
    root = None if name == "digits" else request.getfixturevalue("real_data")
    train, validation, test = (load_dataset(name, split, root) for split in data.SPLITS)
    *counts, shape = SIZES[name]
    for part, count in zip((train, validation, test), counts, strict=True):
        assert part.images.shape == (count, *shape) and part.images.dtype == torch.uint8
        assert part.labels.shape == (count,) and part.labels.dtype == torch.int64
        assert len(part) == count and part.name == name and len(set(part.class_names)) == 10
        assert part.images.is_contiguous()
    per_class = data._VALIDATION_PER_CLASS[name]
    assert validation.labels.bincount().tolist() == [per_class] * 10
    # Total and disjoint: class by class, train then validation is the official file's order, each image once.
    images, labels, test_images, test_labels = data._official(name, root and root.resolve())
    for label in range(10):
        official = torch.from_numpy(images[labels == label])
        assert torch.equal(official[:-per_class], train.images[train.labels == label])
        assert torch.equal(official[-per_class:], validation.images[validation.labels == label])
    assert torch.equal(torch.from_numpy(test_images.copy()), test.images)
    assert test.labels.tolist() == test_labels.tolist()


@pytest.mark.parametrize(
    "name, first, last",
    [
        ("mnist", [5, 0, 4, 1, 9, 2, 1, 3], [3, 4, 5, 6]),
        ("fashion_mnist", [9, 0, 0, 3, 0, 2, 7, 2], [1, 8, 1, 5]),
        ("cifar10", [6, 9, 9, 4, 1, 1, 2, 7], [3, 5, 1, 7]),
    ],
)
def test_real_labels_as_commonly_shown(real_data, name, first, last):
    """The best known labels of each dataset: CIFAR-10 begins with a frog and two trucks, MNIST with 5 0 4 1 9."""
    assert load_dataset(name, "train", real_data).labels[:8].tolist() == first
    assert load_dataset(name, "test", real_data).labels[-4:].tolist() == last


def test_real_cifar10_is_in_colour_and_in_place(real_data):
    """The first image is a frog on brown ground: a wrong plane order or transposition changes these numbers."""
    image = load_dataset("cifar10", "train", real_data).images[0]
    assert image[:, 0, :3].tolist() == [[59, 43, 50], [62, 46, 48], [63, 45, 43]]
    assert image.float().mean(dim=(1, 2)).argmax() == 0


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_idx_files_read_the_same_from_gz(real_data, tmp_path, name):
    folder = data._SOURCES[name][1]
    (tmp_path / folder).mkdir(parents=True)
    for file in data._IDX_FILES:
        plain, packed = real_data / folder / file, real_data / folder / f"{file}.gz"
        content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        (tmp_path / folder / f"{file}.gz").write_bytes(gzip.compress(content, compresslevel=1))
    one, other = load_dataset(name, "validation", real_data), load_dataset(name, "validation", tmp_path)
    assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    assert not list((tmp_path / folder).glob("*-ubyte"))  # read in place


def test_one_flipped_bit_of_real_data_is_noticed(real_data, tmp_path):
    (tmp_path / "MNIST").symlink_to((real_data / "MNIST").resolve())
    images, *rest = data._read_idx_dataset("mnist", tmp_path)[0]
    assert data._sha256((images, *rest)) == data.SHA256["mnist"]
    images = images.copy()
    images[59_999, 0, 27, 27] ^= 1
    assert data._sha256((images, *rest)) != data.SHA256["mnist"]


# Root and cache


@pytest.mark.parametrize("packed", [False, True])
def test_idx_routes_and_root_by_argument_and_environment(mnist, tmp_path, monkeypatch, packed):
    write_idx(tmp_path / "MNIST/raw", mnist, packed)
    by_argument = load_dataset("mnist", "test", str(tmp_path))
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    by_environment = load_dataset("mnist", "test")
    assert by_argument.images.tolist() == by_environment.images.tolist() == mnist[2].tolist()
    train, validation = load_dataset("mnist", "train"), load_dataset("mnist", "validation")
    assert (len(train), len(validation)) == (20, 10) and sorted(validation.labels.tolist()) == list(range(10))


def test_default_root_is_below_home(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_idx(tmp_path / ".cache/kdutils/data/MNIST/raw", mnist, packed=False)
    assert len(load_dataset("mnist", "test")) == 10


def test_unpacked_file_is_preferred_and_gz_fills_in(mnist, tmp_path):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=False)
    for file in data._IDX_FILES:
        (tmp_path / f"MNIST/raw/{file}.gz").write_bytes(b"not read")
    assert len(load_dataset("mnist", "train", tmp_path)) == 20
    data._official.cache_clear()
    write_idx(tmp_path / "MNIST/raw", mnist, packed=True)
    (tmp_path / "MNIST/raw" / data._IDX_FILES[2]).unlink()
    assert len(load_dataset("mnist", "train", tmp_path)) == 20


def test_splits_decode_once_and_are_the_callers_own(mnist, tmp_path, monkeypatch):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=False)
    reads = []
    monkeypatch.setattr(data, "_read_idx", lambda path, read=data._read_idx: reads.append(path) or read(path))
    for split in data.SPLITS:
        first = load_dataset("mnist", split, tmp_path)
        wanted = first.images.tolist(), first.labels.tolist()
        first.images.zero_()
        first.labels.zero_()
        again = load_dataset("mnist", split, tmp_path)
        assert (again.images.tolist(), again.labels.tolist()) == wanted
    assert len(reads) == 4
    assert not any(array.flags.writeable for array in data._official("mnist", tmp_path.resolve()))


def test_roots_are_kept_apart(mnist, tmp_path):
    write_idx(tmp_path / "one/MNIST/raw", mnist, packed=False)
    load_dataset("mnist", "test", tmp_path / "one")
    write_idx(tmp_path / "two/MNIST/raw", (mnist[0], mnist[1][::-1], *mnist[2:]), packed=False)
    with pytest.raises(DataError, match="two/MNIST/raw do not hold mnist"):
        load_dataset("mnist", "test", tmp_path / "two")


# Files that are wrong


@pytest.mark.parametrize("file", data._IDX_FILES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("keep", [0, 3, 7, 0.5, -1])
def test_truncated_idx_file_is_named(mnist, tmp_path, file, packed, keep):
    write_idx(tmp_path / "MNIST/raw", mnist, packed)
    path = tmp_path / "MNIST/raw" / (f"{file}.gz" if packed else file)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else keep])
    with pytest.raises(DataError) as error:
        load_dataset("mnist", "train", tmp_path)
    assert str(path) in one_line(error) and "delete it and run again" in one_line(error)


def test_flipped_byte_in_gz_is_named(mnist, tmp_path):
    """Wherever the byte is: gzip's header, data, or checksum (bytes 4-9 hold a date and flags that mean nothing)."""
    write_idx(tmp_path / "MNIST/raw", mnist, packed=True)
    path = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    for position in (0, 2, 20, len(content) // 2, len(content) - 6, len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(DataError) as error:
            load_dataset("mnist", "test", tmp_path)
        assert f"{path} is truncated or" in one_line(error)


def test_flipped_byte_in_plain_file_is_a_hash_mismatch(mnist, tmp_path):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=False)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_dataset("mnist", "test", tmp_path)
    assert str(tmp_path / "MNIST/raw") in one_line(error) and "delete them and run again" in one_line(error)
    content[-1] ^= 1
    path.write_bytes(content)  # a failure is not remembered
    assert len(load_dataset("mnist", "test", tmp_path)) == 10


def test_idx_header_with_absurd_sizes(mnist, tmp_path):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=False)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(bytes((0, 0, 8, 3)) + b"\x80\0\0\0" * 3 + b"x")
    with pytest.raises(DataError, match="not an IDX file"):
        load_dataset("mnist", "test", tmp_path)


def test_cifar_binary_version(cifar, tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin", cifar)
    images = torch.cat([load_dataset("cifar10", split, tmp_path).images for split in data.SPLITS])
    assert images.tolist() == np.concatenate([cifar[0], cifar[2]]).tolist()


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content[:-3073], lambda content: b""])
def test_truncated_cifar_file_is_named(cifar, tmp_path, change):
    write_cifar(tmp_path / "cifar-10-batches-bin", cifar)
    path = tmp_path / "cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as error:
        load_dataset("cifar10", "test", tmp_path)
    assert str(path) in one_line(error) and "bytes, not 30,730: delete it" in one_line(error)


def pickled_batches(arrays: data.Arrays) -> list[bytes]:
    """Make what the Python version's files hold: byte rows of three planes and a list of labels, pickle protocol 2."""
    images, labels = np.concatenate(arrays[0::2]), np.concatenate(arrays[1::2])
    return [
        pickle.dumps(
            {
                "data": images[i : i + 10].reshape(10, 3072),
                "labels": labels[i : i + 10].tolist(),
                "batch_label": "made up",
                "filenames": [],
            },
            protocol=2,
        )
        for i in range(0, 60, 10)
    ]


def test_cifar_pickles_decode_to_the_same_arrays(cifar, tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin", cifar)
    for file, content in zip(data._CIFAR_FILES, pickled_batches(cifar), strict=True):
        expected = data._read_cifar_bin(tmp_path / "cifar-10-batches-bin" / f"{file}.bin")
        for one, other in zip(data._decode_cifar_py(content), expected, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape and (one == other).all()


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its strings, as in the published files."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def test_cifar_pickles_as_python_2_wrote_them(cifar):
    buffer = io.BytesIO()
    batch = {"data": cifar[0][:10].reshape(10, 3072), "labels": cifar[1][:10].tolist(), "filenames": ["frog.png"]}
    Python2Pickler(buffer, protocol=2).dump(batch)
    content = buffer.getvalue().replace(b"numpy._core", b"numpy.core")  # the module's name at that time
    assert b"_codecs" not in content
    images, labels = data._decode_cifar_py(content)
    assert (images == cifar[0][:10]).all() and labels.tolist() == cifar[1][:10].tolist()


def test_cifar_pickles_with_the_published_md5_are_read(cifar, tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    published = []
    for file, content in zip(data._CIFAR_FILES, pickled_batches(cifar), strict=True):
        (folder / file).write_bytes(content)
        published.append([file, hashlib.md5(content).hexdigest()])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", published[:5])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", published[5:])
    assert load_dataset("cifar10", "test", tmp_path).images.tolist() == cifar[2].tolist()
    (tmp_path / "cifar-10-batches-bin").mkdir()  # an incomplete binary version changes nothing
    data._official.cache_clear()
    assert load_dataset("cifar10", "train", tmp_path).name == "cifar10"


# Download, without a network


def test_absent_data_is_downloaded_once(mnist, tmp_path, monkeypatch, capsys):
    root = tmp_path / "new/root"
    calls = downloader(monkeypatch, "MNIST", lambda dataset: write_idx(Path(dataset.raw_folder), mnist, packed=False))
    assert len(load_dataset("mnist", "train", root)) == 20
    assert f"downloading mnist into {root}" in capsys.readouterr().err
    data._official.cache_clear()
    assert len(load_dataset("mnist", "train", root)) == 20
    assert len(calls) == 1 and Path(calls[0]).parent == root  # a sibling, so that a rename puts it in place
    assert sorted(path.name for path in root.rglob("*")) == sorted(["MNIST", "raw", *data._IDX_FILES])


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError("connection reset"), RuntimeError("corrupted")])
def test_interrupted_download_leaves_nothing_and_is_tried_anew(mnist, tmp_path, monkeypatch, interruption):
    def half(dataset):
        write_idx(Path(dataset.raw_folder), mnist, packed=False)
        (Path(dataset.raw_folder) / data._IDX_FILES[3]).write_bytes(b"half")
        raise interruption

    with monkeypatch.context() as patch:
        calls = downloader(patch, "MNIST", half)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt if isinstance(interruption, KeyboardInterrupt) else DataError):
                load_dataset("mnist", "train", tmp_path)
            assert list(tmp_path.iterdir()) == []
        assert len(calls) == 2
    downloader(monkeypatch, "MNIST", lambda dataset: write_idx(Path(dataset.raw_folder), mnist, packed=False))
    assert len(load_dataset("mnist", "train", tmp_path)) == 20


def test_only_the_missing_file_is_put_in_place(mnist, tmp_path, monkeypatch):
    """As after "delete it and run again": files that are there, here packed ones, stay as they are."""
    folder = tmp_path / "MNIST/raw"
    write_idx(folder, mnist, packed=True)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    downloader(monkeypatch, "MNIST", lambda dataset: write_idx(Path(dataset.raw_folder), mnist, packed=False))
    assert len(load_dataset("mnist", "test", tmp_path)) == 10
    assert {path.name for path in folder.iterdir()} == {*before, "t10k-labels-idx1-ubyte"}
    assert all((folder / name).read_bytes() == content for name, content in before.items())


def test_missing_test_file_without_network_is_named(mnist, tmp_path):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=True)
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        load_dataset("mnist", "train", tmp_path)
    message = one_line(error)
    assert f"put t10k-images-idx3-ubyte (unpacked or .gz) into {tmp_path / 'MNIST/raw'}" in message
    assert "train-images" not in message.split("): put")[1]
    assert len(list(tmp_path.rglob("*.gz"))) == 3


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("mnist", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "MNIST/raw"]),
        ("fashion_mnist", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "FashionMNIST/raw"]),
        ("cifar10", ["data_batch_1.bin", "test_batch.bin", "cifar-10-batches-bin"]),
    ],
)
def test_no_network_says_what_to_put_where(tmp_path, name, wanted):
    """torchvision's own download code runs here and meets a socket that refuses."""
    with pytest.raises(DataError) as error:
        load_dataset(name, "train", tmp_path)
    message = one_line(error)
    assert all(part in message for part in wanted) and "could not be downloaded" in message
    assert "network use in a test" in message and "KDUTILS_DATA" in message
    assert list(tmp_path.iterdir()) == []


def test_url_error_is_wrapped(tmp_path, monkeypatch):
    def fail(dataset):
        raise urllib.error.URLError("Name or service not known")

    downloader(monkeypatch, "CIFAR10", fail)
    with pytest.raises(DataError, match="Name or service not known") as error:
        load_dataset("cifar10", "test", tmp_path)
    one_line(error)


# Roots that cannot be used (without relying on file modes, which mean nothing to root)


def test_root_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="nothing can be written there.*KDUTILS_DATA") as error:
        load_dataset("cifar10", "train", tmp_path / "file/below")
    assert str(tmp_path / "file/below") in one_line(error)


def test_root_without_permission_to_write(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", kwargs.get("dir"))

    monkeypatch.setattr(data.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(DataError, match=r"nothing can be written there \(Permission denied\)") as error:
        load_dataset("mnist", "train", tmp_path)
    assert str(tmp_path) in one_line(error)


def test_file_without_permission_to_read(mnist, tmp_path, monkeypatch):
    write_idx(tmp_path / "MNIST/raw", mnist, packed=False)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match="Permission denied; make it readable") as error:
        load_dataset("mnist", "train", tmp_path)
    assert "train-images-idx3-ubyte" in one_line(error)


def test_the_protocols_know_how_many_images_there_are(real_data):
    from kdutils.protocols import FULL_SIZE, VALIDATION_SIZE

    for name in FULL_SIZE:
        assert len(load_dataset(name, "train", real_data)) == FULL_SIZE[name]
        assert len(load_dataset(name, "validation", real_data)) == VALIDATION_SIZE[name]
