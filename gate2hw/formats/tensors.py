"""Named arrays of state dicts: .npz and .safetensors, never unpickled."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from gate2hw.errors import InputError, ModelFileError

__all__ = ["Tensors", "finite", "natural", "prefixes", "read_tensors"]

MAX_BYTES: Final = 1 << 34

Tensors = dict[str, npt.NDArray[Any]]


def read_tensors(path: Path | str) -> Tensors:
    """Read all arrays of a .npz or .safetensors file; ModelFileError where it is damaged."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        raise InputError(f"{path}: tensors are read from .npz, .safetensors and .pt files")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        if suffix == ".npz":
            with zipfile.ZipFile(path) as archive_file:
                size = sum(member.file_size for member in archive_file.infolist())
            if size > MAX_BYTES:
                raise InputError(f"it unpacks to {size:,} bytes, more than {MAX_BYTES:,}")
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(f"{path}: not a readable safetensors file ({error})") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on foreign bytes
        raise ModelFileError(f"{path}: not a readable {suffix} file ({error})") from error


def natural(key: str) -> list[tuple[int, int, str]]:
    """Sort key: numbers in a name by value, so that layer 10 follows layer 9."""
    parts = re.split(r"(\d+)", key)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def prefixes(names: Iterable[str], pattern: str) -> list[str]:
    """The distinct first groups of `pattern` among `names`, in natural order."""
    found = {match[1] or "" for name in names if (match := re.fullmatch(pattern, name))}
    return sorted(found, key=natural)


def finite(tensors: Tensors, key: str, *, dimensions: tuple[int, ...]) -> npt.NDArray[Any]:
    """Tensor `key` as finite floats of one of the `dimensions`; ModelFileError otherwise."""
    if key not in tensors:
        raise ModelFileError(f"tensor {key!r} is missing")
    values = tensors[key]
    if values.ndim not in dimensions or values.dtype.kind not in "biuf" or not values.size:
        raise ModelFileError(f"tensor {key!r} has shape {values.shape} and type {values.dtype}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ModelFileError(f"tensor {key!r} holds values that are not finite")
    return values
