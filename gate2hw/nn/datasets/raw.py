"""Samples as a source gives them, and labels as class numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, nearest
from gate2hw.ir.table import Column

_INT64: Final = 2.0**63

__all__ = ["RawData", "as_numbers", "class_numbers"]


@dataclass(frozen=True)
class RawData:
    """Samples as found: `x` (N, ...) numbers, `y` (N,) class numbers, and what is known of them.

    `max_value` 0 means unknown; `x_test`, `y_test` where the source brings its own test split.
    With `columns`, `x` is (N, len(columns)) float64 as `gate2hw.ir.table.read_cells` gives it.
    """

    name: str
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    max_value: int = 0
    x_test: npt.NDArray[Any] | None = None
    y_test: npt.NDArray[np.int64] | None = None
    columns: tuple[Column, ...] = ()


def class_numbers(
    where: str, labels: list[npt.NDArray[Any]], names: tuple[str, ...]
) -> tuple[list[npt.NDArray[np.int64]], tuple[str, ...]]:
    """Labels as numbers into the class names (given ones, or the sorted different labels).

    Raises InputError for labels that are neither integers nor texts, or outside the names.
    """
    labels = [_decoded(where, part) for part in labels]
    joined = np.concatenate(labels)
    if joined.dtype.kind == "f" and (np.abs(joined) < _INT64).all():
        whole = joined.astype(np.int64)
        if np.array_equal(joined, whole):
            labels, joined = [part.astype(np.int64) for part in labels], whole
    if joined.dtype.kind not in "iubUS":
        raise InputError(
            f"{where}: labels are {joined.dtype}, but must be finite integers or texts"
        )
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
            raise InputError(f"{where}: label {str(label)!r} is no class; {nearest(label, names)}")
    return [np.array([number[v] for v in part.astype(str)], np.int64) for part in labels], names


def _decoded(where: str, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`labels`, as texts where they are bytes."""
    if labels.dtype.kind != "S":
        return labels
    try:
        return np.char.decode(labels, "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: labels are bytes that are no UTF-8 ({error})") from error


def as_numbers(labels: list[str]) -> npt.NDArray[Any]:
    """Labels as integers where all are written as such and fit int64, else as they are.

    As integers, class 10 does not sort before class 2. Where one is written otherwise (``01``,
    ``1_0``), none is: different texts are different classes.
    """
    try:
        numbers = [int(label) for label in labels]
        if all(str(number) == label for number, label in zip(numbers, labels, strict=True)):
            return np.array(numbers, np.int64)
    except (ValueError, OverflowError):
        pass
    return np.array(labels)
