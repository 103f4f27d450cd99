"""Data sets ready for training: fixed splits, integer features, thresholds from train only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.nn.encoding import Thermometer, choose_thresholds
from gate2hw.nn.recipe import DataSpec, Recipe, ThermometerSpec
from gate2hw.nn.sources import RawData, load_source

__all__ = [
    "TEST_FRACTION",
    "Dataset",
    "load_dataset",
    "load_recipe_data",
    "make_thermometer",
    "smallest_dtype",
    "stratified_split",
]

TEST_FRACTION: Final = 0.2
_TEST_SEED: Final = 1797
"""With the split's number, the seed of its test set; no training seed reaches it."""
_QUANTISED_MAX: Final = 255

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Quantised samples in the model's input shape, and their splits.

    `x_*` (N, *input_shape) int64 in 0..max_value, `y_*` (N,) int64 in 0..C-1; `scale` and
    `offset` (C or F,) float64 where raw features were quantised, else None.
    """

    name: str
    input_shape: tuple[int, ...]
    max_value: int
    class_names: tuple[str, ...]
    x_train: Integers
    y_train: Integers
    x_validation: Integers
    y_validation: Integers
    x_test: Integers
    y_test: Integers
    scale: npt.NDArray[np.float64] | None = None
    offset: npt.NDArray[np.float64] | None = None

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.class_names)


def stratified_split(
    y: npt.NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Two rising index arrays (rest, part): `part` holds `fraction` of each class, rounded.

    At least one sample of each class stays in the rest.
    """
    part: list[npt.NDArray[np.int64]] = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        part.append(members[: min(round(len(members) * fraction), len(members) - 1)])
    chosen = np.sort(np.concatenate(part)).astype(np.int64)
    return np.setdiff1d(np.arange(len(y)), chosen), chosen


def _input_shape(raw: RawData) -> tuple[int, ...]:
    shape = raw.x.shape[1:]
    if raw.x_test is not None and raw.x_test.shape[1:] != shape:
        raise InputError(
            f"{raw.name}: x has samples of shape {shape}, x_test of {raw.x_test.shape[1:]}"
        )
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) in (1, 3):
        return tuple(shape)
    raise InputError(
        f"{raw.name}: samples have shape {shape}; expected (features,), (rows, columns) or "
        "(channels, rows, columns)"
    )


def _quantiser(
    train: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and offset by channel that bring the training values to 0..255.

    A channel of integers 0..255 (in `whole`, all samples) is left as it is.
    """
    columns = np.moveaxis(train, 1, 0).reshape(train.shape[1], -1)
    every = np.moveaxis(whole, 1, 0).reshape(whole.shape[1], -1)
    low, high = columns.min(1), columns.max(1)
    span = np.where(high > low, high - low, 1.0)
    kept = ((every == np.rint(every)) & (every >= 0) & (every <= _QUANTISED_MAX)).all(1)
    return np.where(kept, 1.0, _QUANTISED_MAX / span), np.where(kept, 0.0, low)


def _check_values(raw: RawData, parts: list[npt.NDArray[np.float64]]) -> None:
    for part in parts:
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            row, *place = bad[0].tolist()
            raise InputError(f"{raw.name}: sample {row}, feature {tuple(place)} is not finite")
        if raw.max_value and (part.min() < 0 or part.max() > raw.max_value):
            value = part.min() if part.min() < 0 else part.max()
            raise InputError(
                f"{raw.name}: holds the value {value:g}; allowed are 0..{raw.max_value}"
            )
        if raw.max_value and not np.array_equal(part, np.rint(part)):
            raise InputError(
                f"{raw.name}: with max_value given, values must be integers 0..{raw.max_value}"
            )


def _check_classes(raw: RawData, y: Integers, train: Integers, sizes: dict[str, int]) -> None:
    """Raise InputError where a class has no training samples, or a split no samples at all."""
    counts = np.bincount(y[train], minlength=len(raw.class_names))
    if (counts == 0).any():
        name = raw.class_names[int(np.argmax(counts == 0))]
        raise InputError(f"{raw.name}: class {name!r} has no training samples")
    if len(counts) < 2:
        raise InputError(f"{raw.name}: holds one class, {raw.class_names[0]!r}; two are needed")
    for part, size in sizes.items():
        if size == 0:
            raise InputError(f"{raw.name}: too few samples for a {part} split")


def _value_range(
    raw: RawData, train: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> tuple[int, npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None]:
    """(max_value, scale, offset): scale and offset are None where integers stay as they are."""
    if raw.max_value:
        return raw.max_value, None, None
    is_integer = bool((whole == np.rint(whole)).all() and whole.min() >= 0)
    if is_integer and whole.max() <= 65535:
        return (255 if whole.max() <= 255 else 65535), None, None
    return _QUANTISED_MAX, *_quantiser(train, whole)


def load_dataset(spec: DataSpec, *, folders: Sequence[Path | str] = (".",)) -> Dataset:
    """Load, split and quantise what `spec` names.

    The test split (20 %, stratified, or the source's own) depends on ``spec.split`` alone; the
    validation split is cut from the rest. Integers 0..255 or 0..65535 are kept as they are, other
    features become 0..255 by scale and offset found on the training samples.
    Raises InputError for bad files, shapes, values, and classes without training samples.
    """
    raw = load_source(spec.source, folders, target=spec.target)
    if spec.max_value:
        raw = replace(raw, max_value=spec.max_value)
    shape = _input_shape(raw)
    if len(raw.x) == 0:
        raise InputError(f"{raw.name}: holds no samples")
    rng = np.random.default_rng([_TEST_SEED, spec.split])
    x, y = raw.x.astype(np.float64).reshape(-1, *shape), raw.y
    if raw.x_test is None or raw.y_test is None:
        rest, part = stratified_split(y, TEST_FRACTION, rng)
        x_test, y_test, x, y = x[part], y[part], x[rest], y[rest]
    else:
        x_test, y_test = raw.x_test.astype(np.float64).reshape(-1, *shape), raw.y_test
    train, validation = stratified_split(y, spec.validation_fraction, rng)
    _check_classes(raw, y, train, {"validation": len(validation), "test": len(y_test)})
    _check_values(raw, [x, x_test])
    max_value, scale, offset = _value_range(raw, x[train], np.concatenate([x, x_test]))

    def quantised(values: npt.NDArray[np.float64]) -> Integers:
        if scale is not None and offset is not None:
            column = (-1, *[1] * (len(shape) - 1))
            values = (values - offset.reshape(column)) * scale.reshape(column)
        return np.clip(np.rint(values), 0, max_value).astype(np.int64)

    return Dataset(
        name=raw.name,
        input_shape=shape,
        max_value=max_value,
        class_names=raw.class_names,
        x_train=quantised(x[train]),
        y_train=y[train],
        x_validation=quantised(x[validation]),
        y_validation=y[validation],
        x_test=quantised(x_test),
        y_test=y_test,
        scale=scale,
        offset=offset,
    )


def load_recipe_data(recipe: Recipe, data_dir: Path | str | None) -> Dataset:
    """The data set of `recipe`: files in `data_dir`, else beside the recipe, else here."""
    folders = [folder for folder in (data_dir, recipe.folder, ".") if folder]
    return load_dataset(recipe.data, folders=folders)


def make_thermometer(data: Dataset, spec: ThermometerSpec) -> Thermometer:
    """The thermometer of a data set: thresholds chosen on its training samples alone."""
    thresholds = choose_thresholds(data.x_train, spec.n_thresholds, data.max_value, spec.kind)
    return Thermometer(
        thresholds, data.input_shape, data.max_value, scale=data.scale, offset=data.offset
    )


def smallest_dtype(max_value: int) -> np.dtype[Any]:
    """uint8 up to 255, else uint16: how inputs are stored in golden files."""
    return np.dtype(np.uint8 if max_value <= 255 else np.uint16)
