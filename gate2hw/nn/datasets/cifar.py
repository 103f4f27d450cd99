"""CIFAR-10 (Krizhevsky, 2009) in its binary version, its python version, or packed.

Binary: 10,000 records a file, a label byte then 3 x 32 x 32 bytes (R, G, B planes). Python: the
same as pickled arrays, read by `read_pickle`, never unpickled. Packed, half the size of either:
all labels of a file, then for each image the planes G, R-G, B-G, each byte the difference to its
neighbour above and left, under xz; checked by the md5 of the binary files that it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.nn.datasets.files import (
    Md5,
    Published,
    check_md5,
    find_folder,
    not_found,
    payload,
)
from gate2hw.nn.datasets.pickles import read_pickle
from gate2hw.nn.datasets.raw import RawData

__all__ = ["BINARY", "PACKED", "PYTHON", "load_cifar10"]

_SOURCE: Final = (
    "www.cs.toronto.edu/~kriz/cifar.html, binary or python version, or "
    "torchvision.datasets.CIFAR10(root, download=True)"
)
_PLACES: Final = ("", "cifar10", "cifar-10")
BINARY: Final = Published(
    "CIFAR-10",
    (*_PLACES, "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
    {
        "data_batch_1.bin": Md5("5dd7e06a14cb22eb9f671a540d1b7c25"),
        "data_batch_2.bin": Md5("5ea93a67294ea407fff1d09f752e9692"),
        "data_batch_3.bin": Md5("942cd6a4bcdd0dd3c604fbe906cb4421"),
        "data_batch_4.bin": Md5("ae636b3ba5c66a11e91e8cb52e771fcb"),
        "data_batch_5.bin": Md5("53f37980c15c3d472c316c40844f3f0d"),
        "test_batch.bin": Md5("803d5f7f4d78ea53de84dbe85f74fb6d"),
    },
    _SOURCE,
)
PYTHON: Final = Published(
    "CIFAR-10",
    (*_PLACES, "cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
    {
        "data_batch_1": Md5("c99cafc152244af753f735de768cd75f"),
        "data_batch_2": Md5("d4bba439e000b95fd0a9bffe97cbabec"),
        "data_batch_3": Md5("54ebc095f3ab1f0389bbae665268c751"),
        "data_batch_4": Md5("634d18415352ddfa80567beed471001a"),
        "data_batch_5": Md5("482c414d41f54cd18b22e5b47cb7c3cb"),
        "test_batch": Md5("40351d587109b95175f43aff81a1287e"),
    },
    _SOURCE,
)
PACKED: Final = Published(
    "CIFAR-10",
    _PLACES,
    {"train_a.u8": Md5(), "train_b.u8": Md5(), "test.u8": Md5()},
    _SOURCE,
)
_CLASSES: Final = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_IMAGE: Final = (3, 32, 32)
_IMAGE_BYTES: Final = 3 * 32 * 32

Bytes = npt.NDArray[np.uint8]


def load_cifar10(folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """(50000, 3, 32, 32) and (10000, 3, 32, 32) uint8, in the published order.

    Raises InputError for files that are missing, altered (unless `check` is off) or malformed.
    """
    for form, read in ((BINARY, _read_binary), (PYTHON, _read_python), (PACKED, _read_packed)):
        folder = find_folder(form, folders)
        if folder is not None:
            x, y, n_test = read(folder, check)
            if y.max(initial=0) >= len(_CLASSES):
                raise InputError(f"{folder}: holds the label {y.max()}; allowed are 0..9")
            labels = y.astype(np.int64)
            first = len(x) - n_test
            return RawData(
                "cifar10", x[:first], labels[:first], _CLASSES, 255, x[first:], labels[first:]
            )
    raise not_found([BINARY, PYTHON], folders)


def _records(data: bytes, where: str) -> Bytes:
    if not data or len(data) % (1 + _IMAGE_BYTES):
        raise InputError(f"{where}: {len(data)} bytes are no whole number of 3,073-byte records")
    return np.frombuffer(data, np.uint8).reshape(-1, 1 + _IMAGE_BYTES)


def _read_binary(folder: Path, check: bool) -> tuple[Bytes, Bytes, int]:
    parts = [
        _records(payload(BINARY, folder, name, check=check), str(folder / name))
        for name in BINARY.files
    ]
    records = np.concatenate(parts)
    return records[:, 1:].reshape(-1, *_IMAGE), records[:, 0], len(parts[-1])


def _read_python(folder: Path, check: bool) -> tuple[Bytes, Bytes, int]:
    images: list[Bytes] = []
    labels: list[Bytes] = []
    for name in PYTHON.files:
        where = str(folder / name)
        batch = read_pickle(payload(PYTHON, folder, name, check=check), where)
        if not isinstance(batch, dict):
            raise InputError(f"{where}: holds a {type(batch).__name__}, but no data and labels")
        values = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
        if not {"data", "labels"} <= set(values):
            found = ", ".join(repr(key)[:40] for key in values if isinstance(key, str))
            raise InputError(f"{where}: holds {found or 'numbers'}, but no data and labels")
        x, y = values["data"], values["labels"]
        if not isinstance(y, list) or not all(type(v) is int and 0 <= v <= 9 for v in y):
            raise InputError(f"{where}: labels are no integers 0..9")
        if not isinstance(x, np.ndarray) or x.shape != (len(y), _IMAGE_BYTES):
            raise InputError(f"{where}: its data are no (N, {_IMAGE_BYTES}) bytes with N labels")
        images.append(x.reshape(-1, *_IMAGE))
        labels.append(np.array(y, np.uint8))
    return np.concatenate(images), np.concatenate(labels), len(images[-1])


def _read_packed(folder: Path, check: bool) -> tuple[Bytes, Bytes, int]:
    images: list[Bytes] = []
    labels: list[Bytes] = []
    for name in PACKED.files:
        records = _records(payload(PACKED, folder, name, check=check), str(folder / name))
        n_images, flat = len(records), records.reshape(-1)
        planes: Bytes = flat[n_images:].reshape(-1, *_IMAGE)
        planes = np.cumsum(planes, axis=3, dtype=np.uint8)
        planes = np.cumsum(planes, axis=2, dtype=np.uint8)
        planes[:, 1:] += planes[:, :1]
        images.append(planes[:, [1, 0, 2]])
        labels.append(flat[:n_images])
    x, y, n_test = np.concatenate(images), np.concatenate(labels), len(images[-1])
    if check:
        bounds = [*np.linspace(0, len(x) - n_test, len(BINARY.files)).astype(int), len(x)]
        for (name, md5), first, last in zip(
            BINARY.files.items(), bounds[:-1], bounds[1:], strict=True
        ):
            pixels = x[first:last].reshape(-1, _IMAGE_BYTES)
            data = np.concatenate([y[first:last, None], pixels], axis=1).tobytes()
            check_md5(folder / f"(unpacked) {name}", data, md5.content)
    return x, y, n_test
