"""CIFAR-10 in three forms: the same images from each, checked by the published md5."""

import gzip
import hashlib
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn.data import load_dataset
from gate2hw.nn.datasets import cifar
from gate2hw.nn.datasets.cifar import BINARY, PACKED, PYTHON, load_cifar10
from gate2hw.nn.datasets.files import Md5, Published
from gate2hw.nn.recipe import DataSpec

_N = 20
"""Images in each made-up batch."""


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Six batches of pictures and their labels."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (6 * _N, 3, 32, 32)).astype(np.uint8)
    return x, (np.arange(6 * _N) % 10).astype(np.uint8)


def _batches(form: Published, images: tuple[np.ndarray, np.ndarray], python2) -> dict[str, bytes]:
    """The content of each file of the binary or the python version."""
    x, y = images
    files = {}
    for number, name in enumerate(form.files):
        part = slice(number * _N, (number + 1) * _N)
        flat = x[part].reshape(_N, -1)
        if form is BINARY:
            files[name] = np.concatenate([y[part, None], flat], axis=1).tobytes()
        else:
            files[name] = python2(flat, y[part].tolist())
    return files


def _write(folder: Path, form: Published, files: dict[str, bytes], patch) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        patch.setitem(form.files, name, Md5(hashlib.md5(data).hexdigest()))
        (folder / name).write_bytes(data)


def _pack(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The packed form, written the plain way: planes G, R-G, B-G, differences down and across."""
    red, green, blue = images[:, 0], images[:, 1], images[:, 2]
    planes = np.stack([green, red - green, blue - green], axis=1)
    out = planes.copy()
    for row in range(1, 32):
        out[:, :, row] = planes[:, :, row] - planes[:, :, row - 1]
    across = out.copy()
    for column in range(1, 32):
        across[..., column] = out[..., column] - out[..., column - 1]
    return labels.tobytes() + across.tobytes()


@pytest.mark.parametrize(
    ("form", "folder"),
    [(BINARY, "cifar-10-batches-bin"), (PYTHON, "cifar-10-batches-py"), (BINARY, "cifar10")],
)
def test_both_published_versions_give_the_same(
    tmp_path: Path, monkeypatch, images, python2_batch, form: Published, folder: str
) -> None:
    _write(tmp_path / folder, form, _batches(form, images, python2_batch), monkeypatch)
    raw = load_cifar10([tmp_path])
    assert np.array_equal(raw.x, images[0][: 5 * _N])
    assert np.array_equal(raw.x_test, images[0][5 * _N :])
    assert np.array_equal(raw.y, images[1][: 5 * _N])
    assert np.array_equal(raw.y_test, images[1][5 * _N :])
    assert raw.class_names[3] == "cat"
    name = next(iter(form.files))
    path = tmp_path / folder / name
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"{name}: is not the published file \(md5"):
        load_cifar10([tmp_path])


def test_packed_files_are_checked_as_the_batches_they_stand_for(
    tmp_path: Path, monkeypatch, images
) -> None:
    x, y = images
    for name, data in _batches(BINARY, images, None).items():
        monkeypatch.setitem(BINARY.files, name, Md5(hashlib.md5(data).hexdigest()))
    cuts = dict(zip(PACKED.files, [(0, 50), (50, 100), (100, 120)], strict=True))
    for name, (first, last) in cuts.items():
        data = lzma.compress(_pack(x[first:last], y[first:last]))
        (tmp_path / f"{name}.xz").write_bytes(data)
    raw = load_cifar10([tmp_path])
    assert np.array_equal(np.concatenate([raw.x, raw.x_test]), x)
    assert np.array_equal(np.concatenate([raw.y, raw.y_test]), y)
    altered = x[:50].copy()
    altered[21, 1, 4, 4] ^= 1
    (tmp_path / "train_a.u8.xz").write_bytes(lzma.compress(_pack(altered, y[:50])))
    with pytest.raises(InputError, match=r"data_batch_2\.bin: is not the published file"):
        load_cifar10([tmp_path])
    assert load_cifar10([tmp_path], check=False).x[21, 1, 4, 4] == altered[21, 1, 4, 4]


def test_malformed_files_are_refused(tmp_path: Path, python2_batch) -> None:
    for name in BINARY.files:
        (tmp_path / name).write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(InputError, match="holds the label 10"):
        load_cifar10([tmp_path], check=False)
    (tmp_path / "data_batch_4.bin").write_bytes(bytes(3072))
    with pytest.raises(InputError, match=r"data_batch_4\.bin: 3072 bytes are no whole number"):
        load_cifar10([tmp_path], check=False)
    folder = tmp_path / "python"
    folder.mkdir()
    for name in PYTHON.files:
        (folder / name).write_bytes(python2_batch(np.zeros((2, 5), np.uint8), [1, 2]))
    with pytest.raises(InputError, match=r"data_batch_1: its data are no \(N, 3072\) bytes"):
        load_cifar10([folder], check=False)
    (folder / "data_batch_1").write_bytes(b"\x80\x02}.")
    with pytest.raises(InputError, match=r"data_batch_1: holds .*no data and labels"):
        load_cifar10([folder], check=False)


def test_splits_are_stratified_and_missing_files_are_told(
    tmp_path: Path, monkeypatch, images
) -> None:
    _write(tmp_path / "cifar10", BINARY, _batches(BINARY, images, None), monkeypatch)
    data = load_dataset(DataSpec(source="cifar10", validation_fraction=0.1), folders=[tmp_path])
    assert data.input_shape == (3, 32, 32)
    assert np.bincount(data.y_validation).tolist() == [1] * 10
    assert len(data.x_train) == 90
    with pytest.raises(InputError, match=r"CIFAR-10's files.*cifar-10-batches-py.*cs\.toronto"):
        load_cifar10([tmp_path / "none"])
    assert cifar.PYTHON.files.keys() == {n.removesuffix(".bin") for n in BINARY.files}


@pytest.mark.slow
def test_the_published_images(data_dir: Path) -> None:
    if not any((data_dir / "cifar10").glob("*")):
        pytest.skip("GATE2HW_DATA holds no cifar10")
    raw = load_cifar10([data_dir])
    assert raw.x.shape == (50_000, 3, 32, 32)
    assert np.bincount(raw.y).tolist() == [5000] * 10
    mean = raw.x.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "holds a list, but no data"),
        ({5: 1}, "holds numbers, but no data"),
        ({"data": 1, "labels": 3}, "labels are no integers"),
        ({"data": 1, "labels": [1, "x"]}, "labels are no integers"),
        ({"data": 1, "labels": [[1], [2, 3]]}, "labels are no integers"),
        ({"data": 1, "labels": [2**70]}, "labels are no integers"),
        ({"data": 1, "labels": [True]}, "labels are no integers"),
        ({"data": 1, "labels": [10]}, "labels are no integers"),
        ({"data": 1, "labels": [1]}, r"no \(N, 3072\) bytes"),
    ],
)
def test_a_batch_of_other_things_is_one_sentence(tmp_path: Path, batch, message: str) -> None:
    for name in PYTHON.files:
        (tmp_path / name).write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(InputError, match=f"data_batch_1: .*{message}"):
        load_cifar10([tmp_path], check=False)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_files_may_be_packed_either_way(tmp_path: Path, monkeypatch, images, pack) -> None:
    x, y = images
    for name, data in _batches(BINARY, images, None).items():
        monkeypatch.setitem(BINARY.files, name, Md5(hashlib.md5(data).hexdigest()))
    suffix = ".gz" if pack is gzip.compress else ".xz"
    cuts = dict(zip(PACKED.files, [(0, 50), (50, 100), (100, 120)], strict=True))
    for name, (first, last) in cuts.items():
        data = pack(_pack(x[first:last], y[first:last]))
        (tmp_path / f"{name}{suffix}").write_bytes(data)
    assert np.array_equal(load_cifar10([tmp_path]).x, x[:100])
