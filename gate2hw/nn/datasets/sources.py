"""From the name of a source to its samples."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gate2hw.errors import InputError, nearest
from gate2hw.nn.datasets.cifar import load_cifar10
from gate2hw.nn.datasets.idx import load_fashion_mnist, load_mnist
from gate2hw.nn.datasets.raw import RawData, class_numbers
from gate2hw.nn.datasets.tables import (
    JET_FILES,
    JET_SOURCE,
    TABLE_SUFFIXES,
    load_jets,
    load_table,
)
from gate2hw.nn.datasets.uci import load_adult, load_breast_cancer, load_monk

if TYPE_CHECKING:
    from gate2hw.nn.recipe import DataSpec

__all__ = ["BUILT_IN", "default_folders", "find_source", "load_source"]

Folders = Sequence[Path | str]

_PUBLISHED: Final[dict[str, Callable[[Folders, bool], RawData]]] = {
    "mnist": lambda folders, check: load_mnist(folders, check=check),
    "fashion-mnist": lambda folders, check: load_fashion_mnist(folders, check=check),
    "cifar10": lambda folders, check: load_cifar10(folders, check=check),
    "adult": lambda folders, check: load_adult(folders, check=check),
    "breast-cancer": lambda folders, check: load_breast_cancer(folders, check=check),
    "monk-1": lambda folders, check: load_monk(1, folders, check=check),
    "monk-2": lambda folders, check: load_monk(2, folders, check=check),
    "monk-3": lambda folders, check: load_monk(3, folders, check=check),
}
MAX_VALUE: Final = 65535
_UNREADABLE: Final = (
    OSError,
    ValueError,
    EOFError,
    TypeError,  # an .npy under another name
    NotImplementedError,  # a way of packing that zipfile does not know
    zipfile.BadZipFile,
    zlib.error,
)
BUILT_IN: Final = ("digits", "jets", *_PUBLISHED)
"""Sources with a name of their own."""


def default_folders() -> tuple[Path, ...]:
    """Where data sets are looked for besides the folders given: here, and where torch has them."""
    home = Path.home()
    return (
        Path(),
        Path("data"),
        home / "data",
        home / ".cache" / "torch" / "datasets",
        home / ".cache" / "torchvision",
    )


def find_source(source: str, folders: Folders) -> Path:
    """The first file `source` in `folders` (tried in order); InputError naming the places tried."""
    path = Path(source).expanduser()
    places = [path] if path.is_absolute() else [Path(folder) / path for folder in folders]
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(str(place) for place in places)
    hint = "" if path.suffix else f" ({nearest(source, BUILT_IN)})"
    raise InputError(f"no data file {source!r}{hint}; tried {tried}; give its folder with --data")


def _check_no_table(spec: DataSpec) -> None:
    given = {
        "target": spec.target,
        "categorical": spec.categorical,
        "leave_out": spec.leave_out,
    }
    for key, value in given.items():
        if value:
            raise InputError(
                f"{spec.source}: data.{key} is for tables of your own "
                f"({', '.join(TABLE_SUFFIXES)}); leave it out"
            )


def load_source(spec: DataSpec, folders: Folders) -> RawData:
    """Load what ``spec.source`` names: one of `BUILT_IN`, or the path of an .npz or a table.

    Raises InputError naming the file, and the array or the row and column, that cannot be used.
    """
    source = spec.source
    if not source.endswith(TABLE_SUFFIXES):
        _check_no_table(spec)
    if source == "digits":
        return _digits()
    if source == "jets":
        return load_jets(_find_jets(folders))
    if source in _PUBLISHED:
        return _PUBLISHED[source](folders, spec.check)
    path = find_source(source, folders)
    if path.suffix == ".npz":
        return _npz(path)
    if path.name.endswith(TABLE_SUFFIXES):
        return load_table(path, spec.target, categorical=spec.categorical, leave_out=spec.leave_out)
    raise InputError(
        f"{path}: unknown kind of data file; allowed: .npz, {', '.join(TABLE_SUFFIXES)}"
    )


def _find_jets(folders: Folders) -> Path:
    for folder in folders:
        for name in JET_FILES:
            if (path := Path(folder) / name).is_file():
                return path
    raise InputError(
        f"no file of LHC jets (hls4ml_lhc_jets_hlf.csv or .parquet) in "
        f"{', '.join(str(folder) for folder in folders)}; get {JET_SOURCE}, and name its folder "
        "with --data"
    )


def _digits() -> RawData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images.astype(np.int64)[:, None]
    names = tuple(str(name) for name in bunch.target_names)
    return RawData("digits", x, bunch.target.astype(np.int64), names, max_value=16)


def _npz(path: Path) -> RawData:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz data file ({error})") from error
    found = ", ".join(sorted(arrays)) or "none"
    x, y = arrays.get("x", arrays.get("X")), arrays.get("y")
    if x is None or y is None:
        raise InputError(f"{path}: needs arrays x (or X) and y; found {found}")
    x_test, y_test = arrays.get("x_test", arrays.get("X_test")), arrays.get("y_test")
    if (x_test is None) != (y_test is None):
        raise InputError(f"{path}: x_test and y_test come together; found {found}")
    for xs, ys, label in ((x, y, "x"), (x_test, y_test, "x_test")):
        if xs is not None and ys is not None:
            _check_arrays(path, label, xs, ys)
    names = _class_names(path, arrays)
    numbers, names = class_numbers(str(path), [y] if y_test is None else [y, y_test], names)
    maximum = _max_value(path, arrays.get("max_value", np.array(0)))
    test = numbers[1] if y_test is not None else None
    return RawData(path.stem, x, numbers[0], names, maximum, x_test, test)


def _class_names(path: Path, arrays: dict[str, Any]) -> tuple[str, ...]:
    names = np.atleast_1d(arrays.get("class_names", np.array([], "U")))
    try:
        names = np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: class_names are bytes that are no UTF-8 ({error})") from error
    return tuple(str(name) for name in names)


def _max_value(path: Path, found: Any) -> int:
    is_number = found.ndim == 0 and found.dtype.kind in "iuf"
    if not is_number or not 0 <= found <= MAX_VALUE or found != np.rint(found):
        raise InputError(
            f"{path}: max_value must be one whole number 0..{MAX_VALUE} (0: not known); it is "
            + (f"{found:g}" if is_number else f"of shape {found.shape} and {found.dtype}")
        )
    return int(found)


def _check_arrays(path: Path, label: str, xs: Any, ys: Any) -> None:
    if ys.ndim != 1 or xs.ndim < 2 or len(xs) != len(ys):
        raise InputError(
            f"{path}: {label} has shape {xs.shape} and its labels {ys.shape}; expected "
            "(N, features), (N, rows, columns) or (N, channels, rows, columns) and (N,)"
        )
    if xs.dtype.kind not in "iufb":
        raise InputError(f"{path}: {label} is {xs.dtype}, but must hold numbers")
