"""LogicNetwork to Netlist: every position of every kernel becomes gates of its own.

Gates come out layer by layer; a convolution's tree level l contributes the block
[gate of the tree][kernel][row][column], which is also the order of its sites. Vectorised: the
loops run over layers, tree levels and gates of one tree, never over positions or kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import CONST_0, CONST_1, TT_A, TT_AND, TT_NOT_A, TT_OR, tt_of_name
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.network import LogicNetwork

__all__ = ["encoder_of", "instantiated_gates", "unroll"]

Nodes = npt.NDArray[np.int32]
_TT_OFF = tt_of_name("NOT_A_AND_B")


@dataclass
class _Columns:
    """The columns of the netlist so far, in blocks that read only earlier blocks."""

    first_gate: int
    tt: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    in0: list[Nodes] = field(default_factory=list)
    in1: list[Nodes] = field(default_factory=list)
    origin: list[npt.NDArray[np.int32]] = field(default_factory=list)
    block_ptr: list[int] = field(default_factory=lambda: [0])
    sites: list[SiteLayer] = field(default_factory=list)
    n_sites: int = 0

    def block(self, tt: npt.ArrayLike, a: Nodes, b: Nodes, site: npt.NDArray[Any]) -> Nodes:
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


def encoder_of(thermometer: Thermometer) -> Encoder:
    """The encoder columns of a thermometer's bits, in C order of its output."""
    channels, n_thresholds = thermometer.thresholds.shape
    positions = int(np.prod(thermometer.input_shape[1:], dtype=np.int64))
    feature = np.arange(channels * positions, dtype=np.int32).reshape(channels, 1, positions)
    shape = (channels, n_thresholds, positions)
    return Encoder(
        np.broadcast_to(feature, shape).ravel(),
        np.broadcast_to(thermometer.thresholds[:, :, None], shape).ravel(),
        thermometer.input_shape,
        thermometer.max_value,
    )


def _pad(nodes: Nodes, padding: tuple[int, int]) -> Nodes:
    rows, columns = padding
    return np.pad(nodes, ((0, 0), (rows, rows), (columns, columns)))


def _table_gates(
    columns: _Columns, tables: npt.NDArray[np.uint64], inputs: list[Nodes], site: npt.NDArray[Any]
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
    f0 = _table_gates(columns, low, inputs[1:], site)
    f1 = _table_gates(columns, tables >> half, inputs[1:], site)
    on = columns.block(TT_AND, inputs[0], f1, site)
    off = columns.block(_TT_OFF, inputs[0], f0, site)
    return columns.block(TT_OR, on, off, site)


def _conv(columns: _Columns, name: str, layer: LogicConv, nodes: Nodes) -> Nodes:
    n_kernels, rows, cols = layer.output_shape
    padded = _pad(nodes, layer.padding)
    n_gates = sum(table.shape[1] for table in layer.tables)
    sites = columns.new_sites(SiteLayer(name, n_gates, n_kernels, rows, cols))
    row = np.arange(rows) * layer.stride[0]
    column = np.arange(cols) * layer.stride[1]
    # (leaf, kernel, rows, columns)
    channel, dy, dx = (layer.leaves[:, :, i].T[:, :, None, None] for i in range(3))
    signals = padded[channel, dy + row[:, None], dx + column]
    first = 0
    for table in layer.tables:
        size = table.shape[1]
        inputs = [signals[slot :: layer.arity] for slot in range(layer.arity)]
        site = sites[first : first + size]
        signals = _table_gates(columns, table.T[:, :, None, None], inputs, site)
        first += size
    result: Nodes = signals[0]
    return result


def _pool(columns: _Columns, name: str, layer: OrPool, nodes: Nodes) -> Nodes:
    channels, rows, cols = layer.output_shape
    padded = _pad(nodes, layer.padding)
    height = (rows - 1) * layer.stride[0] + 1
    width = (cols - 1) * layer.stride[1] + 1
    terms = [
        padded[:, dy : dy + height : layer.stride[0], dx : dx + width : layer.stride[1]]
        for dy in range(layer.window[0])
        for dx in range(layer.window[1])
    ]
    if len(terms) == 1:
        return terms[0]
    sites = columns.new_sites(SiteLayer(name, len(terms) - 1, channels, rows, cols))
    number = 0
    while len(terms) > 1:
        joined = []
        for a, b in zip(terms[0::2], terms[1::2], strict=False):
            joined.append(columns.block(TT_OR, a, b, sites[number]))
            number += 1
        terms = joined + (terms[-1:] if len(terms) % 2 else [])
    return terms[0]


def _dense(columns: _Columns, name: str, layer: LogicDense, nodes: Nodes) -> Nodes:
    site = columns.new_sites(SiteLayer(name, 1, layer.n_unique_gates)).ravel()
    flat = nodes.ravel()
    inputs = [flat[layer.wiring[:, slot]] for slot in range(layer.arity)]
    return _table_gates(columns, layer.tables, inputs, site)


def _joined(blocks: list[Any], dtype: type[Any]) -> npt.NDArray[Any]:
    joined = np.concatenate(blocks) if blocks else np.zeros(0, dtype)
    blocks.clear()
    return joined


def unroll(network: LogicNetwork) -> Netlist:
    """Return the raw netlist of `network`: instantiated gates, nothing optimised.

    Inputs are the thermometer's bits in C order; outputs are the inputs of the GroupSum, in
    order; weights are 1 and biases 0. Raises IRError where the network breaks a rule.
    """
    network.verify()
    thermometer, groups = network.thermometer, network.group_sum
    encoder = encoder_of(thermometer)
    n_inputs = len(encoder.feature)
    columns = _Columns(1 + n_inputs)
    nodes = np.arange(1, 1 + n_inputs, dtype=np.int32).reshape(thermometer.output_shape)
    for name, layer in network.layers():
        match layer:
            case LogicConv():
                nodes = _conv(columns, name, layer, nodes)
            case OrPool():
                nodes = _pool(columns, name, layer, nodes)
            case LogicDense():
                nodes = _dense(columns, name, layer, nodes)
            case Thermometer() | GroupSum():
                pass
    outputs = nodes.ravel().astype(np.int64) * 2
    head = Head(
        groups.group_ptr, np.ones(len(outputs), np.int32), np.zeros(groups.n_classes, np.int64)
    )
    return from_columns(
        n_inputs,
        _joined(columns.tt, np.uint8),
        _joined(columns.in0, np.int32),
        _joined(columns.in1, np.int32),
        outputs,
        head=head,
        encoder=encoder,
        origin=_joined(columns.origin, np.int32),
        sites=Sites(tuple(columns.sites)),
        names=Names(classes=network.class_names),
        digest=network.digest,
        block_ptr=np.array(columns.block_ptr, np.int64),
    )


def instantiated_gates(network: LogicNetwork) -> int:
    """How many gates `unroll` makes: weights unrolled, an OR pool as window - 1 gates."""
    total = 0
    per_table = {1: 1, 2: 1}
    for arity in range(3, 7):
        per_table[arity] = 2 * per_table[arity - 1] + 3
    for _, layer in network.layers():
        match layer:
            case LogicConv():
                positions = int(np.prod(layer.output_shape[1:], dtype=np.int64))
                total += layer.n_unique_gates * positions * per_table[layer.arity]
            case OrPool():
                outputs = int(np.prod(layer.output_shape, dtype=np.int64))
                total += outputs * (layer.window[0] * layer.window[1] - 1)
            case LogicDense():
                total += layer.n_unique_gates * per_table[layer.arity]
            case Thermometer() | GroupSum():
                pass
    return total
