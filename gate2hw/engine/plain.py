"""The NumPy path: what serves where the C kernels are not built. Same bits, more time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist

__all__ = ["PlainProgram"]

Words = npt.NDArray[np.uint64]

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_BLOCK = 4096
"""Samples at a time: 64 words a signal."""
_VALUES = 1 << 24
"""Words that the values of all nodes may take; blocks become narrower where they would not fit."""


def _function(tt: int, a: Words, b: Words) -> Words:
    """A gate of two operands, with as few operations as it needs."""
    if tt >= 8:
        return ~_function(15 - tt, a, b)
    match tt:
        case 0:
            return np.zeros_like(a)
        case 1:
            return ~(a | b)
        case 2:
            return ~a & b
        case 3:
            return ~a
        case 4:
            return a & ~b
        case 5:
            return ~b
        case 6:
            return a ^ b
        case _:
            return ~(a & b)


class PlainProgram:
    """A netlist evaluated level by level, the gates of one function at a time."""

    def __init__(self, net: Netlist) -> None:
        self.net = net
        self.n_ops = net.n_gates
        self._steps: list[tuple[int, npt.NDArray[np.int64]]] = []
        for start, stop in net.levels():
            tt = net.tt[start:stop]
            for function in np.unique(tt).tolist():
                self._steps.append((function, start + np.flatnonzero(tt == function)))

    def _blocks(self, n_samples: int) -> Iterator[slice]:
        size = 64 * max(1, min(_BLOCK // 64, _VALUES // self.net.n_nodes))
        for first in range(0, n_samples, size):
            yield slice(first, min(first + size, n_samples))

    def _outputs(self, words: Words) -> Words:
        net = self.net
        value = np.zeros((net.n_nodes, words.shape[1]), np.uint64)
        value[1 : net.first_gate] = words
        for function, gates in self._steps:
            value[net.first_gate + gates] = _function(
                function, value[net.in0[gates]], value[net.in1[gates]]
            )
        result: Words = (
            value[net.outputs >> 1] ^ np.where(net.outputs & 1, _ONES, np.uint64(0))[:, None]
        )
        return result

    def scores(self, x: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
        """(N, n_features) unsigned features to (N, C) scores."""
        net, encoder = self.net, self.net.encoder
        assert encoder is not None
        result = np.empty((len(x), net.n_classes), np.int64)
        for block in self._blocks(len(x)):
            bits = (x[block][:, encoder.feature] > encoder.threshold).T
            padded = np.zeros((net.n_inputs, -(-bits.shape[1] // 64) * 64), bool)
            padded[:, : bits.shape[1]] = bits
            words = np.packbits(padded, axis=1, bitorder="little").view("<u8")
            out = self._outputs(words.astype(np.uint64, copy=False))
            ones = np.unpackbits(
                out.astype("<u8", copy=False).view(np.uint8), axis=1, bitorder="little"
            )[:, : bits.shape[1]]
            for c, (start, stop) in enumerate(
                zip(net.head.group_ptr[:-1], net.head.group_ptr[1:], strict=True)
            ):
                weight = net.head.weight[start:stop].astype(np.int64)
                result[block, c] = net.head.bias[c] + weight @ ones[start:stop].astype(np.int64)
        return result

    def simulate(self, words: Words) -> Words:
        """(n_inputs, W) uint64 words to (n_outputs, W) words."""
        out = np.empty((self.net.n_outputs, words.shape[1]), np.uint64)
        for block in self._blocks(64 * words.shape[1]):
            part = slice(block.start // 64, -(-block.stop // 64))
            out[:, part] = self._outputs(words[:, part])
        return out
