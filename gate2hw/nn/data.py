"""Data sets ready for training: fixed splits, integer features, thresholds from train only."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.table import Column, columns_to_json, expand
from gate2hw.nn.datasets import RawData, default_folders, load_source
from gate2hw.nn.encoding import Thermometer, choose_thresholds, fixed_thresholds
from gate2hw.nn.recipe import DataSpec, Recipe, ThermometerSpec

__all__ = [
    "TEST_FRACTION",
    "Dataset",
    "load_dataset",
    "load_recipe_data",
    "make_thermometer",
    "quantile_cuts",
    "smallest_dtype",
    "stratified_split",
]

TEST_FRACTION: Final = 0.2
_TEST_SEED: Final = 1797
"""With the split's number, the seed of its test set; no training seed reaches it."""
_KEPT_MAX: Final = 255
"""Features that are integers up to this are never scaled."""

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Quantised samples in the model's input shape, and their splits.

    `x_*` (N, *input_shape) in 0..max_value, uint8 where that holds it, else int32; `y_*` (N,)
    int64 in 0..C-1; `scale` and `offset` (C or F,) float64 where raw features were quantised,
    else None. `columns` say how a row of the source's table becomes the raw features.
    """

    name: str
    input_shape: tuple[int, ...]
    max_value: int
    class_names: tuple[str, ...]
    x_train: npt.NDArray[Any]
    y_train: Integers
    x_validation: npt.NDArray[Any]
    y_validation: Integers
    x_test: npt.NDArray[Any]
    y_test: Integers
    scale: Floats | None = None
    offset: Floats | None = None
    columns: tuple[Column, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """sha256 (hex) of all that a training takes from the data: the splits, the names of the
        classes and columns, the quantisation."""
        about = [self.class_names, self.max_value, columns_to_json(self.columns)]
        found = hashlib.sha256(json.dumps(about).encode())
        splits = (self.x_train, self.y_train, self.x_validation, self.y_validation)
        none = np.zeros(0)
        scaling = (none if part is None else part for part in (self.scale, self.offset))
        for array in (*splits, self.x_test, self.y_test, *scaling):
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.class_names)

    def info(self) -> dict[str, Any]:
        """What the model file keeps, so that raw rows can be fed later: the table's columns."""
        return {"columns": columns_to_json(self.columns)} if self.columns else {}


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
    if len(shape) in (1, 2, 3) and 0 in shape:
        raise InputError(f"{raw.name}: samples have shape {shape}, which holds no features")
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) in (1, 3):
        return tuple(shape)
    raise InputError(
        f"{raw.name}: samples have shape {shape}; expected (features,), (rows, columns) or "
        "(channels, rows, columns)"
    )


def _is_integer(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind in "iub" or bool((values == np.rint(values)).all())


def _quantiser(train: Floats, whole: Floats, max_value: int) -> tuple[Floats, Floats]:
    """Scale and offset by channel that bring the training values to 0..max_value.

    A channel of integers 0..255 (in `whole`, all samples) is left as it is where that fits.
    Raises InputError for a channel whose range is too wide or too narrow for float64.
    """
    columns = np.moveaxis(train, 1, 0).reshape(train.shape[1], -1)
    every = np.moveaxis(whole, 1, 0).reshape(whole.shape[1], -1)
    low, high = columns.min(1), columns.max(1)
    with np.errstate(over="ignore"):
        span = np.where(high > low, high - low, 1.0)
        scale = max_value / span
    is_bad = ~(np.isfinite(span) & np.isfinite(scale))
    if is_bad.any():
        place = int(np.argmax(is_bad))
        raise InputError(
            f"feature {place} goes from {low[place]:g} to {high[place]:g}, which cannot be scaled "
            "to integers; bring it to another unit"
        )
    largest = min(_KEPT_MAX, max_value)
    kept = ((every == np.rint(every)) & (every >= 0) & (every <= largest)).all(1)
    return np.where(kept, 1.0, scale), np.where(kept, 0.0, low)


def _check_values(raw: RawData, parts: list[npt.NDArray[Any]]) -> None:
    for part in parts:
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            row, *place = np.argwhere(~np.isfinite(part))[0].tolist()
            raise InputError(f"{raw.name}: sample {row}, feature {tuple(place)} is not finite")
        if raw.max_value and (part.min() < 0 or part.max() > raw.max_value):
            value = part.min() if part.min() < 0 else part.max()
            raise InputError(
                f"{raw.name}: holds the value {value:g}; allowed are 0..{raw.max_value}"
            )
        if raw.max_value and not _is_integer(part):
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
    raw: RawData, train: npt.NDArray[Any], parts: list[npt.NDArray[Any]], bits: int
) -> tuple[int, Floats | None, Floats | None]:
    """(max_value, scale, offset): scale and offset are None where integers stay as they are."""
    if raw.max_value:
        return raw.max_value, None, None
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    if low >= 0 and high <= 65535 and all(map(_is_integer, parts)):
        return (255 if high <= 255 else 65535), None, None
    max_value = 2**bits - 1
    return max_value, *_quantiser(
        train.astype(np.float64), np.concatenate(parts).astype(np.float64), max_value
    )


def quantile_cuts(values: Floats, n_cuts: int) -> tuple[float, ...]:
    """At most `n_cuts` rising values of (N,) `values` that cut it into parts as equal as can be.

    A part is the values above a cut up to the next. A value that fills a part by itself gets one,
    and the rest is divided among the cuts that remain. The largest value is no cut, unless it is
    the only one: there is always a cut.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == 1:
        return (float(distinct[0]),)
    if len(distinct) <= n_cuts + 1:
        return tuple(distinct[:-1].tolist())
    below = np.cumsum(counts)
    cuts: list[float] = []
    place, done = 0, 0
    while len(cuts) < n_cuts and place < len(distinct) - 1:
        share = (below[-1] - done) / (n_cuts + 1 - len(cuts))
        place = max(place, int(np.searchsorted(below, done + share)))
        if place >= len(distinct) - 1:
            break
        cuts.append(float(distinct[place]))
        done = int(below[place])
        place += 1
    return tuple(cuts)


def _expanded(raw: RawData, train: Integers, n_cuts: int) -> RawData:
    """`raw` with the features of its columns; cuts are chosen on the training rows alone."""
    columns = raw.columns
    if n_cuts:
        columns = tuple(
            column
            if column.categories
            else replace(column, cuts=quantile_cuts(raw.x[train, place], n_cuts))
            for place, column in enumerate(columns)
        )
    return replace(
        raw,
        columns=columns,
        x=expand(columns, raw.x),
        x_test=None if raw.x_test is None else expand(columns, raw.x_test),
        max_value=1 if all(column.is_binary for column in columns) else raw.max_value,
    )


def _with_test(raw: RawData, rng: np.random.Generator) -> RawData:
    """`raw` with a test split: its own, or 20 % of the samples."""
    if raw.x_test is not None and raw.y_test is not None:
        return raw
    rest, part = stratified_split(raw.y, TEST_FRACTION, rng)
    return replace(raw, x=raw.x[rest], y=raw.y[rest], x_test=raw.x[part], y_test=raw.y[part])


def load_dataset(spec: DataSpec, *, folders: Sequence[Path | str] = (".",)) -> Dataset:
    """Load, split and quantise what `spec` names.

    The test split (20 %, stratified, or the source's own) depends on ``spec.split`` alone; the
    validation split is cut from the rest. Integers 0..255 or 0..65535 are kept as they are, other
    features become 0..2**bits-1 by scale and offset found on the training samples; features that
    are all 0 or 1 (categories, cuts) make max_value 1.
    Raises InputError for bad files, shapes, values, and classes without training samples.
    """
    raw = load_source(spec, folders)
    if spec.max_value:
        raw = replace(raw, max_value=spec.max_value)
    if len(raw.x) == 0:
        raise InputError(f"{raw.name}: holds no samples")
    if spec.cuts and not raw.columns:
        raise InputError(f"{raw.name}: data.cuts is for tables; this source has no columns")
    _input_shape(raw)
    rng = np.random.default_rng([_TEST_SEED, spec.split])
    raw = _with_test(raw, rng)
    assert raw.x_test is not None
    assert raw.y_test is not None
    train, validation = stratified_split(raw.y, spec.validation_fraction, rng)
    sizes = {"validation": len(validation), "test": len(raw.y_test)}
    _check_classes(raw, raw.y, train, sizes)
    _check_values(replace(raw, max_value=0) if raw.columns else raw, [raw.x, raw.x_test])
    if raw.columns:
        raw = _expanded(raw, train, spec.cuts)
        assert raw.x_test is not None
        _check_values(raw, [raw.x, raw.x_test])
    return _quantised(raw, train, validation, spec.bits)


def _quantised(raw: RawData, train: Integers, validation: Integers, bits: int) -> Dataset:
    assert raw.x_test is not None
    assert raw.y_test is not None
    shape = _input_shape(raw)
    x, x_test = (part.reshape(-1, *shape) for part in (raw.x, raw.x_test))
    max_value, scale, offset = _value_range(raw, x[train], [x, x_test], bits)
    dtype = np.uint8 if max_value <= 255 else np.int32

    def quantised(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if scale is None or offset is None:
            return values.astype(dtype)
        column = (-1, *[1] * (len(shape) - 1))
        scaled = (values - offset.reshape(column)) * scale.reshape(column)
        return np.clip(np.rint(scaled), 0, max_value).astype(dtype)

    return Dataset(
        name=raw.name,
        input_shape=shape,
        max_value=max_value,
        class_names=raw.class_names,
        x_train=quantised(x[train]),
        y_train=raw.y[train],
        x_validation=quantised(x[validation]),
        y_validation=raw.y[validation],
        x_test=quantised(x_test),
        y_test=raw.y_test,
        scale=scale,
        offset=offset,
        columns=raw.columns,
    )


def load_recipe_data(recipe: Recipe, data_dir: Path | str | None) -> Dataset:
    """The data set of `recipe`: files in `data_dir`, beside the recipe, or in `default_folders`."""
    folders = [Path(folder) for folder in (data_dir, recipe.folder) if folder]
    return load_dataset(recipe.data, folders=[*folders, *default_folders()])


def make_thermometer(data: Dataset, spec: ThermometerSpec) -> Thermometer:
    """The thermometer of a data set: thresholds given, or chosen on its training samples alone."""
    if spec.kind == "fixed":
        thresholds = fixed_thresholds(spec.thresholds, data.input_shape[0], data.max_value)
    else:
        thresholds = choose_thresholds(data.x_train, spec.n_thresholds, data.max_value, spec.kind)
        if len(data.input_shape) == 1:
            # the one threshold that tells 0 from 1, whichever of the two is frequent
            is_binary = data.x_train.max(0) <= 1
            thresholds[is_binary] = np.arange(spec.n_thresholds)
    return Thermometer(
        thresholds,
        data.input_shape,
        data.max_value,
        scale=data.scale,
        offset=data.offset,
        learned=spec.learned,
        width=spec.width,
    )


def smallest_dtype(max_value: int) -> np.dtype[Any]:
    """uint8 up to 255, else uint16: how inputs are stored in golden files."""
    return np.dtype(np.uint8 if max_value <= 255 else np.uint16)
