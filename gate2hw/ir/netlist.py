"""Netlist: a flat circuit of two-input gates in columns, levels in order (DESIGN.md, part 2)."""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.gates import TABLE

__all__ = [
    "Circuit",
    "Encoder",
    "EqualByContent",
    "Head",
    "Names",
    "Netlist",
    "Site",
    "SiteLayer",
    "Sites",
    "frozen_array",
]


def frozen_array(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return `values` as a read-only contiguous array of `dtype`; copies only if it must.

    Raises IRError where a value would change, as 256 does in uint8 or 0.5 in int32.
    """
    try:
        given = np.asarray(values)
        with np.errstate(invalid="ignore"):
            array = np.ascontiguousarray(values, dtype=dtype)
        kept = given.dtype == array.dtype or bool((given == array).all())
    except (OverflowError, ValueError):
        kept = False
    if not kept:
        raise IRError(f"a column of {np.dtype(dtype)} is given values that it cannot hold")
    if array.flags.writeable:
        array = array.view()
        array.setflags(write=False)
    return array


def _same(mine: object, theirs: object) -> bool:
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
        return np.array_equal(mine, theirs)
    if isinstance(mine, tuple) and isinstance(theirs, tuple):
        return len(mine) == len(theirs) and all(map(_same, mine, theirs))
    return bool(mine == theirs)


class EqualByContent:
    """Equality of dataclasses that hold arrays: every field has the same content."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [entry.name for entry in fields(self)]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Site:
    """The neuron a gate came from: layer, kernel (or neuron), row, column, place in its tree.

    `row` and `column` are -1 where the layer has no positions; `gate` is the gate's number inside
    the neuron's tree, level by level from the leaves.
    """

    layer: str
    kernel: int = -1
    row: int = -1
    column: int = -1
    gate: int = -1

    def __str__(self) -> str:
        parts = [self.layer]
        if self.kernel >= 0:
            parts.append(f"kernel {self.kernel}")
        if self.row >= 0 or self.column >= 0:
            parts.append(f"position ({self.row}, {self.column})")
        if self.gate >= 0:
            parts.append(f"gate {self.gate}")
        return ", ".join(parts)


@dataclass(frozen=True)
class SiteLayer:
    """A block of sites: all gates of one layer, in the order [gate][kernel][row][column].

    `gates` is the number of gates of one neuron (tree), `kernels` of neurons, `rows` and
    `columns` of positions; 0 x 0 positions means that the layer has none (dense).
    """

    name: str
    gates: int
    kernels: int
    rows: int = 0
    columns: int = 0

    @property
    def n_sites(self) -> int:
        """How many consecutive site numbers the block takes."""
        return self.gates * self.kernels * max(1, self.rows * self.columns)


@dataclass(frozen=True)
class Sites:
    """Site numbers to neurons; computed, not stored, so that 77 million gates cost nothing."""

    layers: tuple[SiteLayer, ...] = ()

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """(n_layers + 1,) int64: the first site number of each layer, and the end."""
        return np.concatenate([[0], np.cumsum([layer.n_sites for layer in self.layers])]).astype(
            np.int64
        )

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Site:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self.starts, index, side="right")) - 1
        layer = self.layers[number]
        rest = int(index - self.starts[number])
        positions = max(1, layer.rows * layer.columns)
        rest, position = divmod(rest, positions)
        gate, kernel = divmod(rest, layer.kernels)
        row, column = divmod(position, layer.columns) if layer.columns else (-1, -1)
        return Site(layer.name, kernel, row, column, gate)

    def layer_of(self, origin: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """(G,) int64: number of the layer of each site in `origin`; -1 where origin is -1."""
        layer = np.searchsorted(self.starts, origin, side="right") - 1
        return np.where(origin < 0, -1, layer)


@dataclass(frozen=True, eq=False)
class Encoder(EqualByContent):
    """Where the inputs come from: input i is ``x.flat[feature[i]] > threshold[i]``.

    `feature` (I,) int32 indexes the model's input in C order, `threshold` (I,) int32 is rising
    within a feature, `shape` is the model's input shape, values are integers 0..max_value.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.int32]
    shape: tuple[int, ...]
    max_value: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature", frozen_array(self.feature, np.int32))
        object.__setattr__(self, "threshold", frozen_array(self.threshold, np.int32))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "max_value", int(self.max_value))

    @property
    def n_features(self) -> int:
        """Number of values in one model input."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes_per_feature(self) -> int:
        """Bytes that a feature takes on a stream: 1 up to 255, else 2 (little-endian)."""
        return 1 if self.max_value <= 255 else 2


@dataclass(frozen=True, eq=False)
class Head(EqualByContent):
    """score[c] = bias[c] + sum over group c of weight * output.

    `group_ptr` (C+1,) int64 cuts the outputs into C contiguous groups, `weight` (O,) int32,
    `bias` (C,) int64. C = 0 is a plain circuit.
    """

    group_ptr: npt.NDArray[np.int64]
    weight: npt.NDArray[np.int32]
    bias: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "group_ptr", frozen_array(self.group_ptr, np.int64))
        object.__setattr__(self, "weight", frozen_array(self.weight, np.int32))
        object.__setattr__(self, "bias", frozen_array(self.bias, np.int64))

    @property
    def n_classes(self) -> int:
        """C, the number of scores."""
        return len(self.group_ptr) - 1

    @staticmethod
    def none(n_outputs: int) -> Head:
        """The head of a plain circuit: no classes."""
        return Head(np.zeros(1, np.int64), np.ones(n_outputs, np.int32), np.zeros(0, np.int64))

    def score_bounds(self) -> npt.NDArray[np.int64]:
        """(C, 2) int64: the least and greatest value that each score can take."""
        weight = self.weight.astype(np.int64)
        total = np.zeros((2, len(weight) + 1), np.int64)
        np.cumsum(np.minimum(weight, 0), out=total[0, 1:])
        np.cumsum(np.maximum(weight, 0), out=total[1, 1:])
        spans = total[:, self.group_ptr[1:]] - total[:, self.group_ptr[:-1]]
        return (spans + self.bias).T


@dataclass(frozen=True)
class Names:
    """Optional names of inputs, outputs and classes; an empty tuple means unnamed."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


_CircuitT = TypeVar("_CircuitT", bound="Circuit")


class Circuit(EqualByContent, ABC):
    """What `Netlist` and `LutNetlist` share: node ids, levels, outputs, head, encoder, sites.

    Node 0 is constant 0, inputs are nodes 1..n_inputs, gate g is node ``1 + n_inputs + g``.
    """

    n_inputs: int
    level_ptr: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]
    head: Head
    encoder: Encoder | None
    origin: npt.NDArray[np.int32]
    sites: Sites
    names: Names
    digest: str

    @property
    @abstractmethod
    def n_gates(self) -> int:
        """G, the number of gates (or LUTs)."""

    @abstractmethod
    def _columns(self) -> list[npt.NDArray[Any]]:
        """The gate columns that decide what is computed."""

    @abstractmethod
    def _operands(self) -> list[npt.NDArray[np.int32]]:
        """Arrays of the node ids that the gates read."""

    def _freeze_common(self, n_gates: int) -> None:
        origin = self.origin
        if len(origin) == 0 and n_gates:
            origin = np.full(n_gates, -1, np.int32)
        object.__setattr__(self, "n_inputs", int(self.n_inputs))
        object.__setattr__(self, "level_ptr", frozen_array(self.level_ptr, np.int64))
        object.__setattr__(self, "outputs", frozen_array(self.outputs, np.int64))
        object.__setattr__(self, "origin", frozen_array(origin, np.int32))

    @property
    def n_outputs(self) -> int:
        """O, the number of output literals."""
        return len(self.outputs)

    @property
    def depth(self) -> int:
        """L, the number of levels."""
        return len(self.level_ptr) - 1

    @property
    def n_classes(self) -> int:
        """C, the number of scores; 0 for a plain circuit."""
        return self.head.n_classes

    @property
    def first_gate(self) -> int:
        """Node id of gate 0."""
        return 1 + self.n_inputs

    @property
    def n_nodes(self) -> int:
        """Number of node ids: constant, inputs and gates."""
        return 1 + self.n_inputs + self.n_gates

    def levels(self) -> Iterator[tuple[int, int]]:
        """Yield the half-open range of gates of each level, lowest first."""
        ptr = self.level_ptr.tolist()
        yield from itertools.pairwise(ptr)

    @cached_property
    def node_level(self) -> npt.NDArray[np.int32]:
        """(n_nodes,) int32: 0 for constant and inputs, l + 1 for gates of level l."""
        level = np.zeros(self.n_nodes, np.int32)
        sizes = np.diff(self.level_ptr)
        level[self.first_gate :] = np.repeat(np.arange(1, self.depth + 1, dtype=np.int32), sizes)
        level.setflags(write=False)
        return level

    @cached_property
    def fan_out(self) -> npt.NDArray[np.int64]:
        """(n_nodes,) int64: how many gate inputs and outputs read each node.

        Every column counts, whether or not the function depends on it: a gate with in0 == in1
        counts twice, and a wire (A) still counts as a reader of its second input.
        """
        count = np.bincount(self.outputs >> 1, minlength=self.n_nodes).astype(np.int64)
        for operands in self._operands():
            count += np.bincount(operands, minlength=self.n_nodes)
        count.setflags(write=False)
        return count

    def used_inputs(self) -> npt.NDArray[np.int64]:
        """(U,) int64: rising numbers i of the inputs (node 1 + i) that gates or outputs read."""
        return np.flatnonzero(self.fan_out[1 : 1 + self.n_inputs])

    def site_of(self, gate: int) -> Site | None:
        """The neuron that gate `gate` came from, if known."""
        if self.origin[gate] < 0:
            return None
        return self.sites[int(self.origin[gate])]

    def with_(self: _CircuitT, **changes: Any) -> _CircuitT:
        """A copy with some columns replaced."""
        return replace(self, **changes)  # type: ignore[type-var]

    def content_digest(self) -> str:
        """sha256 (hex) of everything that decides what the netlist computes."""
        sha = hashlib.sha256(f"{type(self).__name__} {self.n_inputs}".encode())
        columns = [*self._columns(), self.level_ptr, self.outputs]
        columns += [self.head.group_ptr, self.head.weight, self.head.bias]
        if self.encoder is not None:
            columns += [self.encoder.feature, self.encoder.threshold]
            sha.update(f"{self.encoder.shape} {self.encoder.max_value}".encode())
        for column in columns:
            sha.update(f"{column.dtype.str}{column.shape}".encode())
            sha.update(column.tobytes())
        return sha.hexdigest()


@dataclass(frozen=True, eq=False)
class Netlist(Circuit):
    """A flat netlist; see the module's title page in DESIGN.md, part 2, for every column.

    Node 0 is constant 0, inputs are nodes 1..n_inputs, gate g is node ``1 + n_inputs + g``.
    ``tt`` (G,) uint8, ``in0``/``in1`` (G,) int32 node ids of lower levels, ``level_ptr`` (L+1,)
    int64 cuts the gates into levels, ``outputs`` (O,) int64 literals ``2*id + complement``.
    ``origin`` (G,) int32 indexes ``sites`` (-1: no site). ``digest`` names the root of the chain
    (the model's digest): passes carry it along.
    """

    n_inputs: int
    tt: npt.NDArray[np.uint8]
    in0: npt.NDArray[np.int32]
    in1: npt.NDArray[np.int32]
    level_ptr: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]
    head: Head
    encoder: Encoder | None = None
    origin: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    sites: Sites = Sites()
    names: Names = Names()
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tt", frozen_array(self.tt, np.uint8))
        object.__setattr__(self, "in0", frozen_array(self.in0, np.int32))
        object.__setattr__(self, "in1", frozen_array(self.in1, np.int32))
        self._freeze_common(len(self.tt))

    @property
    def n_gates(self) -> int:
        """G, the number of gates."""
        return len(self.tt)

    def function_counts(self) -> dict[str, int]:
        """Number of gates of each of the 16 functions, by name."""
        counts = np.bincount(self.tt, minlength=16)
        return {name: int(counts[tt]) for tt, name, _ in TABLE}

    def _columns(self) -> list[npt.NDArray[Any]]:
        return [self.tt, self.in0, self.in1]

    def _operands(self) -> list[npt.NDArray[np.int32]]:
        return [self.in0, self.in1]
