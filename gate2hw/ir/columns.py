"""Gates of a netlist being put together: blocks of columns, and gates of k-input tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import CONST_0, CONST_1, TT_A, TT_AND, TT_NOT_A, TT_OR, tt_of_name
from gate2hw.ir.layers import LogicConv
from gate2hw.ir.netlist import Netlist, SiteLayer, Sites

__all__ = ["Columns", "Nodes", "table_gates", "tree_gates"]

Nodes = npt.NDArray[np.int32]
_TT_OFF = tt_of_name("NOT_A_AND_B")


def _joined(blocks: list[Any], dtype: type[Any]) -> npt.NDArray[Any]:
    joined = np.concatenate(blocks) if blocks else np.zeros(0, dtype)
    blocks.clear()
    return joined


@dataclass
class Columns:
    """The columns of the netlist so far, in blocks that read only earlier blocks."""

    first_gate: int
    tt: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    in0: list[Nodes] = field(default_factory=list)
    in1: list[Nodes] = field(default_factory=list)
    origin: list[npt.NDArray[np.int32]] = field(default_factory=list)
    block_ptr: list[int] = field(default_factory=lambda: [0])
    sites: list[SiteLayer] = field(default_factory=list)
    n_sites: int = 0

    def block(
        self, tt: npt.ArrayLike, a: npt.NDArray[Any], b: npt.NDArray[Any], site: npt.NDArray[Any]
    ) -> Nodes:
        """Append gates of any common shape as one block; return their node ids, same shape."""
        shape = np.broadcast_shapes(np.shape(tt), a.shape, b.shape)
        start = self.block_ptr[-1]
        size = int(np.prod(shape, dtype=np.int64))
        if self.first_gate + start + size >= 2**31:
            raise IRError("the unrolled netlist would have more than 2**31 nodes")
        self.tt.append(np.broadcast_to(tt, shape).astype(np.uint8).ravel())
        self.in0.append(np.broadcast_to(a, shape).astype(np.int32, copy=False).ravel())
        self.in1.append(np.broadcast_to(b, shape).astype(np.int32, copy=False).ravel())
        self.origin.append(np.broadcast_to(site, shape).astype(np.int32, copy=False).ravel())
        self.block_ptr.append(start + size)
        nodes = np.arange(self.first_gate + start, self.first_gate + start + size, dtype=np.int32)
        return nodes.reshape(shape)

    def new_sites(self, layer: SiteLayer) -> npt.NDArray[np.int32]:
        """Reserve the sites of a layer: (gates, kernels, rows or 1, columns or 1) int32."""
        if self.n_sites + layer.n_sites >= 2**31:
            raise IRError("the unrolled netlist would have more than 2**31 sites")
        start = self.n_sites
        self.sites.append(layer)
        self.n_sites += layer.n_sites
        numbers = np.arange(start, self.n_sites, dtype=np.int32)
        return numbers.reshape(
            layer.gates, layer.kernels, max(1, layer.rows), max(1, layer.columns)
        )

    def netlist(self, outputs: npt.NDArray[np.int64], **rest: Any) -> Netlist:
        """The netlist of all blocks, put into levels; the blocks are used up.

        `rest` are further arguments of `builder.from_columns`.
        """
        return from_columns(
            self.first_gate - 1,
            _joined(self.tt, np.uint8),
            _joined(self.in0, np.int32),
            _joined(self.in1, np.int32),
            outputs,
            origin=_joined(self.origin, np.int32),
            sites=Sites(tuple(self.sites)),
            block_ptr=np.array(self.block_ptr, np.int64),
            **rest,
        )


def table_gates(
    columns: Columns, tables: npt.NDArray[np.uint64], inputs: list[Nodes], site: npt.NDArray[Any]
) -> Nodes:
    """Gates of k-input tables: `tables` broadcasts against each of the k arrays of `inputs`.

    One and two inputs are one gate; more are split by Shannon expansion on input 0, the most
    significant address bit: f = x0 ? f1 : f0 as (x0 & f1) | (~x0 & f0).
    """
    arity = len(inputs)
    if arity == 1:
        tt = np.array([CONST_0, TT_NOT_A, TT_A, CONST_1], np.uint8)[tables.astype(np.int64)]
        return columns.block(tt, inputs[0], inputs[0], site)
    if arity == 2:
        return columns.block(tables.astype(np.uint8), inputs[0], inputs[1], site)
    half = np.uint64(1 << (arity - 1))
    low = tables & ((np.uint64(1) << half) - np.uint64(1))
    f0 = table_gates(columns, low, inputs[1:], site)
    f1 = table_gates(columns, tables >> half, inputs[1:], site)
    on = columns.block(TT_AND, inputs[0], f1, site)
    off = columns.block(_TT_OFF, inputs[0], f0, site)
    return columns.block(TT_OR, on, off, site)


def tree_gates(
    columns: Columns, layer: LogicConv, signals: Nodes, sites: npt.NDArray[np.int32]
) -> Nodes:
    """Gates of the trees of `layer`; returns the nodes of their roots, (K, rows, columns).

    `signals` (k**D, K, rows, columns) are the nodes that the leaves read, `sites` those of
    `Columns.new_sites`.
    """
    first = 0
    for table in layer.tables:
        size = table.shape[1]
        inputs = [signals[slot :: layer.arity] for slot in range(layer.arity)]
        site = sites[first : first + size]
        signals = table_gates(columns, table.T[:, :, None, None], inputs, site)
        first += size
    roots: Nodes = signals[0]
    return roots
