"""The layers of a LogicNetwork: frozen dataclasses, each of which can check itself.

A k-input table (k = 1..6) is an integer whose bit ``sum(x_i << (k - 1 - i))`` is f(x_0 .. x_{k-1}):
input 0 is the most significant address bit, so for k = 2 it is the `tt` of `gates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.netlist import EqualByContent, frozen_array

__all__ = [
    "GroupSum",
    "Layer",
    "LogicConv",
    "LogicDense",
    "OrPool",
    "Shape",
    "Thermometer",
    "layer_fields",
    "layer_from_fields",
]

Shape: TypeAlias = tuple[int, ...]
MAX_TABLE_INPUTS = 6


def _shape(values: Any) -> Shape:
    return tuple(int(n) for n in values)


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Thermometer(EqualByContent):
    """x > threshold[c, t] becomes channel ``c*T + t``; bit t+1 implies bit t.

    `input_shape` is (C, H, W) or (F,), `thresholds` (C or F, T) int32 rising along T,
    values are integers 0..max_value. `scale` (C or F,) float64 and `offset` (C or F,) float64,
    where given, say how a float feature was quantised: ``x = round((value - offset) * scale)``.
    """

    input_shape: Shape
    thresholds: npt.NDArray[np.int32]
    max_value: int
    scale: npt.NDArray[np.float64] | None = None
    offset: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(self, "thresholds", frozen_array(self.thresholds, np.int32))
        object.__setattr__(self, "max_value", int(self.max_value))
        for name in ("scale", "offset"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))

    @property
    def output_shape(self) -> Shape:
        """(C*T, H, W) or (F*T,)."""
        channels, n_thresholds = self.thresholds.shape
        return (channels * n_thresholds, *self.input_shape[1:])

    def check(self, where: str) -> None:
        """Raise IRError where a rule is broken."""
        if len(self.input_shape) not in (1, 3) or min(self.input_shape, default=0) < 1:
            raise IRError(
                f"{where}: input shape {self.input_shape} is neither (features,) "
                "nor (channels, rows, columns)"
            )
        if self.thresholds.ndim != 2 or self.thresholds.shape[0] != self.input_shape[0]:
            raise IRError(
                f"{where}: thresholds have shape {self.thresholds.shape}, "
                f"expected ({self.input_shape[0]}, T)"
            )
        if self.thresholds.shape[1] < 1:
            raise IRError(f"{where}: a thermometer needs at least one threshold")
        if not 1 <= self.max_value <= 65535:
            raise IRError(f"{where}: max_value {self.max_value} is outside 1..65535")
        steps = np.diff(self.thresholds, axis=1)
        if (steps <= 0).any():
            channel = int(np.argwhere(steps <= 0)[0, 0])
            raise IRError(
                f"{where}: thresholds of channel {channel} are not strictly rising: "
                f"{self.thresholds[channel].tolist()}"
            )
        if (self.thresholds < 0).any() or (self.thresholds >= self.max_value).any():
            raise IRError(f"{where}: thresholds must lie in 0..{self.max_value - 1}")
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            if values is None:
                continue
            if values.shape != (self.input_shape[0],) or not np.isfinite(values).all():
                raise IRError(f"{where}: {name} must be {self.input_shape[0]} finite numbers")


def _check_map(where: str, input_shape: Shape, *pairs: Shape) -> None:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise IRError(f"{where}: input shape {input_shape} is not (channels, rows, columns)")
    if any(len(pair) != 2 for pair in pairs):
        raise IRError(f"{where}: field or window, stride and padding are (rows, columns) each")


def _check_arity(where: str, arity: int) -> None:
    if not 1 <= arity <= MAX_TABLE_INPUTS:
        raise IRError(f"{where}: tables have {arity} inputs, allowed are 1..{MAX_TABLE_INPUTS}")


def _check_tables(where: str, tables: npt.NDArray[np.uint64], arity: int) -> None:
    high = tables >> np.uint64(1 << arity) if arity < MAX_TABLE_INPUTS else np.zeros(1)
    if high.any():
        *kernel, gate = np.argwhere(high)[0].tolist()
        place = "".join(f", kernel {k}" for k in kernel) + f", gate {gate}"
        raise IRError(f"{where}{place}: the truth table has more than {1 << arity} bits")


@dataclass(frozen=True, eq=False)
class LogicConv(EqualByContent):
    """Trees of gates, shared over positions (Petersen et al., NeurIPS 2024, section 3.1).

    `leaves` (K, k**D, 3) int32: (channel, row, column) of each leaf inside the receptive field
    `field` = (rows, columns); `tables[l]` (K, k**(D-1-l)) uint64: the gates of tree level l,
    level 0 reads the leaves; gate j of level l reads signals k*j .. k*j+k-1 of the level
    below. Padding is constant 0 around the map. Output shape: (K, rows, columns).
    """

    input_shape: Shape
    leaves: npt.NDArray[np.int32]
    tables: tuple[npt.NDArray[np.uint64], ...]
    field: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    arity: int = 2

    def __post_init__(self) -> None:
        for name in ("input_shape", "field", "stride", "padding"):
            object.__setattr__(self, name, _shape(getattr(self, name)))
        object.__setattr__(self, "leaves", frozen_array(self.leaves, np.int32))
        tables = tuple(frozen_array(t, np.uint64) for t in self.tables)
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "arity", int(self.arity))

    @property
    def n_kernels(self) -> int:
        """K."""
        return int(self.leaves.shape[0])

    @property
    def depth(self) -> int:
        """D, the number of gate levels of a tree."""
        return len(self.tables)

    @property
    def output_shape(self) -> Shape:
        """(K, output rows, output columns)."""
        rows, columns = (
            (size + 2 * pad - span) // step + 1
            for size, pad, span, step in zip(
                self.input_shape[1:], self.padding, self.field, self.stride, strict=True
            )
        )
        return (self.n_kernels, rows, columns)

    @property
    def n_unique_gates(self) -> int:
        """Trained gates, weights shared."""
        return sum(table.size for table in self.tables)

    def check(self, where: str) -> None:
        """Raise IRError where a rule is broken."""
        _check_map(where, self.input_shape, self.field, self.stride, self.padding)
        if min(self.field) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise IRError(f"{where}: field and stride must be positive, padding not negative")
        if min(self.output_shape[1:]) < 1:
            raise IRError(
                f"{where}: a {self.field} field does not fit a {self.input_shape[1:]} map "
                f"padded by {self.padding}"
            )
        if self.depth < 1 or self.n_kernels < 1:
            raise IRError(f"{where}: a convolution needs a kernel and a tree depth of at least 1")
        _check_arity(where, self.arity)
        expected = (self.n_kernels, self.arity**self.depth, 3)
        if self.leaves.shape != expected:
            raise IRError(f"{where}: leaves have shape {self.leaves.shape}, expected {expected}")
        limits = np.array([self.input_shape[0], *self.field])
        if (self.leaves < 0).any() or (self.leaves >= limits).any():
            bad = (self.leaves < 0) | (self.leaves >= limits)
            kernel, leaf, _ = np.argwhere(bad)[0]
            raise IRError(
                f"{where}, kernel {kernel}, leaf {leaf}: (channel, row, column) = "
                f"{tuple(self.leaves[kernel, leaf].tolist())} is outside {tuple(limits.tolist())}"
            )
        for level, table in enumerate(self.tables):
            size = (self.n_kernels, self.arity ** (self.depth - 1 - level))
            if table.shape != size:
                raise IRError(
                    f"{where}: tables of tree level {level} have shape {table.shape}, "
                    f"expected {size}"
                )
            _check_tables(f"{where}, tree level {level}", table, self.arity)


@dataclass(frozen=True, eq=False)
class OrPool(EqualByContent):
    """OR over windows of `window` rows x columns; padding is 0, the neutral element of OR."""

    input_shape: Shape
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name in ("input_shape", "window", "stride", "padding"):
            object.__setattr__(self, name, _shape(getattr(self, name)))

    @property
    def output_shape(self) -> Shape:
        """(C, output rows, output columns)."""
        rows, columns = (
            (size + 2 * pad - span) // step + 1
            for size, pad, span, step in zip(
                self.input_shape[1:], self.padding, self.window, self.stride, strict=True
            )
        )
        return (self.input_shape[0], rows, columns)

    def check(self, where: str) -> None:
        """Raise IRError where a rule is broken."""
        _check_map(where, self.input_shape, self.window, self.stride, self.padding)
        if min(self.window) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise IRError(f"{where}: window and stride must be positive, padding not negative")
        if any(pad >= span for pad, span in zip(self.padding, self.window, strict=True)):
            raise IRError(f"{where}: padding {self.padding} must be less than window {self.window}")
        if min(self.output_shape[1:]) < 1:
            raise IRError(
                f"{where}: a {self.window} window does not fit a {self.input_shape[1:]} map "
                f"padded by {self.padding}"
            )


@dataclass(frozen=True, eq=False)
class LogicDense(EqualByContent):
    """`wiring` (N, k) int32 into the flattened (C order) input, `tables` (N,) uint64."""

    input_shape: Shape
    wiring: npt.NDArray[np.int32]
    tables: npt.NDArray[np.uint64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(self, "wiring", frozen_array(self.wiring, np.int32))
        object.__setattr__(self, "tables", frozen_array(self.tables, np.uint64))

    @property
    def arity(self) -> int:
        """k, inputs of a table."""
        return int(self.wiring.shape[1])

    @property
    def output_shape(self) -> Shape:
        """(N,)."""
        return (int(self.wiring.shape[0]),)

    @property
    def n_unique_gates(self) -> int:
        """Trained gates."""
        return int(self.tables.size)

    def check(self, where: str) -> None:
        """Raise IRError where a rule is broken."""
        if self.wiring.ndim != 2 or self.wiring.shape[0] < 1:
            raise IRError(f"{where}: wiring has shape {self.wiring.shape}, expected (N, k), N >= 1")
        _check_arity(where, self.arity)
        if self.tables.shape != (self.wiring.shape[0],):
            raise IRError(
                f"{where}: tables have shape {self.tables.shape}, "
                f"expected ({self.wiring.shape[0]},)"
            )
        size = _size(self.input_shape)
        bad = (self.wiring < 0) | (self.wiring >= size)
        if bad.any():
            gate, slot = np.argwhere(bad)[0]
            raise IRError(
                f"{where}, gate {gate}: input {slot} is wired to {self.wiring[gate, slot]}, "
                f"allowed are 0..{size - 1}"
            )
        _check_tables(where, self.tables, self.arity)


@dataclass(frozen=True, eq=False)
class GroupSum(EqualByContent):
    """Scores: popcounts of contiguous blocks; ``group_ptr`` (C+1,) int64 cuts the input.

    `tau` is the training temperature; it never reaches hardware.
    """

    input_shape: Shape
    group_ptr: npt.NDArray[np.int64]
    tau: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", _shape(self.input_shape))
        object.__setattr__(self, "group_ptr", frozen_array(self.group_ptr, np.int64))
        object.__setattr__(self, "tau", float(self.tau))

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.group_ptr) - 1

    @property
    def output_shape(self) -> Shape:
        """(C,)."""
        return (self.n_classes,)

    def check(self, where: str) -> None:
        """Raise IRError where a rule is broken."""
        size = _size(self.input_shape)
        if not 0.0 < self.tau < np.inf:
            raise IRError(f"{where}: tau is {self.tau}, but must be positive and finite")
        if self.group_ptr.ndim != 1 or self.n_classes < 1:
            raise IRError(f"{where}: at least one class is needed")
        if self.group_ptr[0] != 0 or self.group_ptr[-1] != size:
            raise IRError(f"{where}: groups must cover all {size} outputs of the layer before")
        empty = np.flatnonzero(np.diff(self.group_ptr) < 1)
        if len(empty):
            raise IRError(
                f"{where}: class {int(empty[0])} has no outputs; every class needs at least one"
            )


Layer: TypeAlias = Thermometer | LogicConv | OrPool | LogicDense | GroupSum


_OPS: dict[str, type[Any]] = {
    cls.__name__: cls for cls in (Thermometer, LogicConv, OrPool, LogicDense, GroupSum)
}


def layer_fields(layer: Layer) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Split a layer into JSON fields (with ``"op"``) and arrays, for files and digests."""
    fields: dict[str, Any] = {"op": type(layer).__name__}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for key, value in vars(layer).items():
        if isinstance(value, np.ndarray):
            arrays[key] = value
        elif key == "tables":
            arrays.update({f"tables.{level}": table for level, table in enumerate(value)})
        elif value is not None:
            fields[key] = list(value) if isinstance(value, tuple) else value
    return fields, arrays


def layer_from_fields(fields: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Layer:
    """The inverse of `layer_fields`; raises IRError for an unknown op or missing field."""
    rest = dict(fields)
    name = rest.pop("op", None)
    if not isinstance(name, str) or name not in _OPS:
        raise IRError(f"unknown layer type {name!r}; allowed: {', '.join(sorted(_OPS))}")
    values: dict[str, Any] = {**rest, **arrays}
    if name == "LogicConv":
        count = sum(key.startswith("tables.") for key in values)
        values["tables"] = tuple(values.pop(f"tables.{level}", ()) for level in range(count))
    try:
        layer: Layer = _OPS[name](**values)
    except (TypeError, ValueError) as error:
        raise IRError(f"layer {name}: wrong fields ({error})") from error
    return layer
