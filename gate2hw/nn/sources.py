"""Where samples come from: scikit-learn's digits, MNIST, a user's .npz, a user's .csv."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest
from gate2hw.nn.mnist import find_mnist, load_mnist

__all__ = ["BUILT_IN", "RawData", "find_source", "load_source"]

BUILT_IN: Final = ("digits", "mnist")


@dataclass(frozen=True)
class RawData:
    """Samples as found: `x` (N, ...) numbers, `y` (N,) class numbers, and what is known of them.

    `max_value` 0 means unknown; `x_test`, `y_test` where the source brings its own test split.
    """

    name: str
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    max_value: int = 0
    x_test: npt.NDArray[Any] | None = None
    y_test: npt.NDArray[np.int64] | None = None


def find_source(source: str, folders: Sequence[Path | str]) -> Path:
    """The first file `source` in `folders` (tried in order); InputError naming the places tried."""
    path = Path(source).expanduser()
    places = [path] if path.is_absolute() else [Path(folder) / path for folder in folders]
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(str(place) for place in places)
    hint = "" if path.suffix else f" ({nearest(source, BUILT_IN)})"
    raise InputError(f"no data file {source!r}{hint}; tried {tried}; give its folder with --data")


def load_source(source: str, folders: Sequence[Path | str], *, target: str = "") -> RawData:
    """Load ``digits``, ``mnist``, an .npz (x, y or X, y) or a .csv with classes in column `target`.

    Raises InputError naming the file, and the array or the row and column, that cannot be used.
    """
    if source == "digits":
        return _digits()
    if source == "mnist":
        return _mnist(find_mnist(folders))
    path = find_source(source, folders)
    if path.suffix == ".npz":
        return _npz(path)
    if path.suffix == ".csv":
        return _csv(path, target)
    raise InputError(f"{path}: unknown kind of data file; allowed: .npz, .csv")


def _digits() -> RawData:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images.astype(np.int64)[:, None]
    names = tuple(str(name) for name in bunch.target_names)
    return RawData("digits", x, bunch.target.astype(np.int64), names, max_value=16)


def _mnist(folder: Path) -> RawData:
    x, y, x_test, y_test = load_mnist(folder)
    names = tuple(str(digit) for digit in range(10))
    labels = y.astype(np.int64), y_test.astype(np.int64)
    return RawData("mnist", x, labels[0], names, 255, x_test, labels[1])


def _class_numbers(
    where: str, labels: list[npt.NDArray[Any]], names: tuple[str, ...]
) -> tuple[list[npt.NDArray[np.int64]], tuple[str, ...]]:
    """Labels as numbers into the class names (given ones, or the sorted different labels)."""
    joined = np.concatenate(labels)
    if joined.dtype.kind == "f" and np.array_equal(joined, np.rint(joined)):
        labels = [part.astype(np.int64) for part in labels]
        joined = joined.astype(np.int64)
    if joined.dtype.kind not in "iubUS":
        raise InputError(f"{where}: labels are {joined.dtype}, but must be integers or texts")
    if names and joined.dtype.kind in "iub":
        bad = joined[(joined < 0) | (joined >= len(names))]
        if len(bad):
            raise InputError(
                f"{where}: label {bad[0]} is outside 0..{len(names) - 1}, the {len(names)} "
                "class names given"
            )
        return [part.astype(np.int64) for part in labels], names
    if not names:
        found = np.unique(joined)
        return [np.searchsorted(found, part).astype(np.int64) for part in labels], tuple(
            str(name) for name in found
        )
    number = {name: index for index, name in enumerate(names)}
    for label in joined.astype(str):
        if label not in number:
            raise InputError(f"{where}: label {label!r} is no class; {nearest(label, names)}")
    return [np.array([number[v] for v in part.astype(str)], np.int64) for part in labels], names


def _npz(path: Path) -> RawData:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable .npz data file ({error})") from error
    found = ", ".join(sorted(arrays)) or "none"
    x, y = arrays.get("x", arrays.get("X")), arrays.get("y")
    if x is None or y is None:
        raise InputError(f"{path}: needs arrays x (or X) and y; found {found}")
    x_test, y_test = arrays.get("x_test", arrays.get("X_test")), arrays.get("y_test")
    if (x_test is None) != (y_test is None):
        raise InputError(f"{path}: x_test and y_test come together; found {found}")
    for xs, ys, label in ((x, y, "x"), (x_test, y_test, "x_test")):
        if xs is None or ys is None:
            continue
        if ys.ndim != 1 or xs.ndim < 2 or len(xs) != len(ys):
            raise InputError(
                f"{path}: {label} has shape {xs.shape} and its labels {ys.shape}; expected "
                "(N, features), (N, rows, columns) or (N, channels, rows, columns) and (N,)"
            )
        if xs.dtype.kind not in "iufb":
            raise InputError(f"{path}: {label} is {xs.dtype}, but must hold numbers")
    names = tuple(str(name) for name in np.atleast_1d(arrays.get("class_names", np.array([]))))
    numbers, names = _class_numbers(str(path), [y] if y_test is None else [y, y_test], names)
    maximum = int(arrays["max_value"]) if "max_value" in arrays else 0
    test = numbers[1] if y_test is not None else None
    return RawData(path.stem, x, numbers[0], names, maximum, x_test, test)


def _csv(path: Path, target: str) -> RawData:
    if not target:
        raise InputError(f"{path}: data.target must name the column that holds the classes")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable .csv data file ({error})") from error
    if len(rows) < 2:
        raise InputError(f"{path}: needs a line of column names and at least one row")
    header = [name.strip() for name in rows[0]]
    if target not in header:
        raise InputError(f"{path}: no column {target!r}; {nearest(target, header)}")
    place = header.index(target)
    x = np.empty((len(rows) - 1, len(header) - 1), np.float64)
    labels: list[str] = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, row {number}: {len(row)} cells, expected {len(header)}")
        labels.append(row[place].strip())
        for column, cell in enumerate(row[:place] + row[place + 1 :]):
            try:
                x[number - 2, column] = float(cell)
            except ValueError:
                name = header[column + (column >= place)]
                raise InputError(
                    f"{path}, row {number}, column {name!r}: {cell!r} is no number"
                ) from None
    (y,), names = _class_numbers(str(path), [_as_numbers(labels)], ())
    return RawData(path.stem, x, y, names)


def _as_numbers(labels: list[str]) -> npt.NDArray[Any]:
    """Labels as integers where all are, so that class 10 does not sort before class 2."""
    try:
        return np.array([int(label) for label in labels], np.int64)
    except ValueError:
        return np.array(labels)
