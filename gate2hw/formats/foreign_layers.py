"""What all importers share: dense heads, and the chain of layers from encoding to scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.encodings import Encoding, encoding_of, rewired_conv, rewired_dense
from gate2hw.formats.spec import ImportSpec
from gate2hw.ir.layers import GroupSum, Layer, LogicConv, LogicDense, OrPool, Shape
from gate2hw.ir.network import LogicNetwork, chain

__all__ = ["Stack", "inferred_width", "whole_beta"]

MIN_WIDTH: Final = 4096
WIRES_SHARE: Final = 64
"""Inputs that are believed in without a spec: this many for each wire of the first layer."""


def inferred_width(wiring: npt.NDArray[np.int64], where: str) -> int:
    """Number of inputs of a first layer that reads `wiring`, input numbers of any shape.

    Files do not hold it; the highest number that is read tells as much as matters. Raises
    InputError where that would be a network of almost nothing but unread inputs.
    """
    width = max(1, 1 + int(wiring.max(initial=0)))
    if width > max(MIN_WIDTH, WIRES_SHARE * wiring.size):
        raise InputError(
            f"{where} reads input {width - 1:,}, but has only {wiring.size:,} wires; if that is "
            "right, give --spec with [input] shape"
        )
    return width


def whole_beta(beta: float, where: str) -> int:
    """`beta` as votes added to every score; InputError where it is fractional or negative."""
    if beta != round(beta):
        raise InputError(
            f"{where}: beta is {beta:g}, no whole number of votes, so scores would not be "
            "integers; the class does not depend on a beta that all classes share: leave it out"
        )
    if beta < 0:
        raise InputError(
            f"{where}: beta is {beta:g}; a network of gates cannot score less than nothing; the "
            "class does not depend on a beta that all classes share: leave it out"
        )
    return int(beta)


@dataclass
class Stack:
    """Layers gathered in order; the first one is rewired from foreign bits to ours."""

    spec: ImportSpec
    encoding: Encoding
    layers: list[tuple[str, Layer]] = field(default_factory=list)

    @staticmethod
    def over(
        spec: ImportSpec, shape: Shape, thresholds: npt.NDArray[np.float32] | None = None
    ) -> Stack:
        """A stack over inputs of `shape`, encoded as `spec` says."""
        encoding = encoding_of(spec.input, thresholds, shape)
        return Stack(spec, encoding, [("thermometer", encoding.thermometer)])

    @property
    def shape(self) -> Shape:
        """Shape of what the last layer gives."""
        return self.layers[-1][1].output_shape

    @property
    def foreign_shape(self) -> Shape:
        """Shape of what the last layer gives, in the channels of the foreign model."""
        if len(self.layers) > 1 or self.encoding.channels is None:
            return self.shape
        return (len(self.encoding.channels), *self.shape[1:])

    def name(self, kind: str) -> str:
        """The next name of a layer of `kind`, as LogicModel gives them."""
        return f"{kind}{1 + sum(name.startswith(kind) for name, _ in self.layers)}"

    def dense(self, where: str, wiring: npt.NDArray[Any], tables: npt.NDArray[np.uint64]) -> None:
        """Append a dense layer: `wiring` (N, k), `tables` (N,), input 0 most significant."""
        shape = self.shape
        is_first = len(self.layers) == 1
        size = len(self.encoding.codes) if is_first else int(np.prod(shape, dtype=np.int64))
        if wiring.size and (int(wiring.min()) < 0 or int(wiring.max()) >= size):
            raise InputError(
                f"{where}: it is wired to input {int(wiring.max())}, but the layer before has "
                f"{size}; is the [input] shape, or a layer of the spec, wrong?"
            )
        wiring = wiring.astype(np.int64)
        if is_first:
            layer = rewired_dense(shape, self.encoding.codes, wiring, tables)
        else:
            layer = LogicDense(shape, wiring.astype(np.int32), tables)
        self.layers.append((self.name("dense"), layer))

    def conv(self, where: str, conv: LogicConv) -> None:
        """Append a convolution, whose `input_shape` is the foreign model's."""
        if len(self.layers) == 1:
            conv = rewired_conv(self.encoding, conv, where)
        self.layers.append((self.name("conv"), conv))

    def pool(self, pool: OrPool) -> None:
        """Append an OR pool; a first layer must not be one."""
        if len(self.layers) == 1:
            raise InputError("the first layer is a pool; only gates are read after the input")
        self.layers.append((self.name("pool"), pool))

    def network(self, group_ptr: npt.ArrayLike, **info: Any) -> LogicNetwork:
        """The finished network; beta becomes constant ones at the end of each group."""
        ptr = np.asarray(group_ptr, np.int64)
        beta = whole_beta(self.spec.beta, "[output]")
        if beta:
            ptr = self.vote(ptr, np.full(len(ptr) - 1, beta, np.int64))
        head = GroupSum(self.shape, ptr, self.spec.tau)
        return chain(
            [*self.layers, ("sum", head)], class_names=self.spec.class_names, info=dict(info)
        )

    def vote(
        self, ptr: npt.NDArray[np.int64], votes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Add `votes` constant ones to each group of the last layer; return the new groups."""
        name, last = self.layers[-1]
        if not isinstance(last, LogicDense) or int(votes.sum()) > 10_000_000:
            raise InputError("constant votes need a dense last layer, and at most 10 million")
        at = np.repeat(ptr[1:], votes)
        ones = np.uint64((1 << (1 << last.arity)) - 1)
        wiring = np.insert(last.wiring, at, 0, axis=0)
        tables = np.insert(last.tables, at, ones)
        self.layers[-1] = (name, LogicDense(last.input_shape, wiring, tables))
        grown: npt.NDArray[np.int64] = ptr + np.concatenate([[0], np.cumsum(votes)])
        return grown

    def equal_groups(self) -> npt.NDArray[np.int64]:
        """Contiguous groups of one size, as many as the spec has classes."""
        size = int(np.prod(self.shape, dtype=np.int64))
        classes = self.spec.classes
        if classes < 1:
            raise InputError(
                "the number of classes is not stored in the file: give --spec with [output] "
                "classes = N"
            )
        if size % classes:
            raise InputError(f"{size} outputs cannot be {classes} classes of equal size")
        return np.arange(classes + 1, dtype=np.int64) * (size // classes)
