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

from gate2hw.ir.columns import Columns, Nodes, table_gates, tree_gates
from gate2hw.ir.gates import TT_OR
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer
from gate2hw.ir.network import LogicNetwork

__all__ = ["Census", "census", "encoder_of", "instantiated_gates", "unroll"]


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


def _conv(columns: Columns, name: str, layer: LogicConv, nodes: Nodes) -> Nodes:
    n_kernels, rows, cols = layer.output_shape
    padded = _pad(nodes, layer.padding)
    n_gates = sum(table.shape[1] for table in layer.tables)
    sites = columns.new_sites(SiteLayer(name, n_gates, n_kernels, rows, cols))
    row = np.arange(rows) * layer.stride[0]
    column = np.arange(cols) * layer.stride[1]
    # (leaf, kernel, rows, columns)
    channel, dy, dx = (layer.leaves[:, :, i].T[:, :, None, None] for i in range(3))
    return tree_gates(columns, layer, padded[channel, dy + row[:, None], dx + column], sites)


def _pool(columns: Columns, name: str, layer: OrPool, nodes: Nodes) -> Nodes:
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


def _dense(columns: Columns, name: str, layer: LogicDense, nodes: Nodes) -> Nodes:
    site = columns.new_sites(SiteLayer(name, 1, layer.n_unique_gates)).ravel()
    flat = nodes.ravel()
    inputs = [flat[layer.wiring[:, slot]] for slot in range(layer.arity)]
    return table_gates(columns, layer.tables, inputs, site)


def _unroll(columns: Columns, network: LogicNetwork, nodes: Nodes) -> Nodes:
    """Append the gates of all layers; `nodes` are those of the thermometer's bits, in its shape."""
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
    return nodes


def unroll(network: LogicNetwork) -> Netlist:
    """Return the raw netlist of `network`: instantiated gates, nothing optimised.

    Inputs are the thermometer's bits in C order; outputs are the inputs of the GroupSum, in
    order; weights are 1 and biases 0. Raises IRError where the network breaks a rule.
    """
    network.verify()
    thermometer, groups = network.thermometer, network.group_sum
    encoder = encoder_of(thermometer)
    n_inputs = len(encoder.feature)
    columns = Columns(1 + n_inputs)
    bits = np.arange(1, 1 + n_inputs, dtype=np.int32).reshape(thermometer.output_shape)
    nodes = _unroll(columns, network, bits)
    outputs = nodes.ravel().astype(np.int64) * 2
    head = Head(
        groups.group_ptr, np.ones(len(outputs), np.int32), np.zeros(groups.n_classes, np.int64)
    )
    return columns.netlist(
        outputs,
        head=head,
        encoder=encoder,
        names=Names(classes=network.class_names),
        digest=network.digest,
    )


@dataclass(frozen=True)
class Census:
    """The gates that `unroll` would make, counted.

    `by_layer` is gates by the name of their layer, `by_function` (16,) int64 by table, `by_level`
    (L,) int64 by level, lowest first. `n_outputs` counts the bits that the popcounts add.
    """

    by_layer: dict[str, int]
    by_function: npt.NDArray[np.int64]
    by_level: npt.NDArray[np.int64]
    n_outputs: int

    @property
    def n_gates(self) -> int:
        """How many gates there are."""
        return int(self.by_function.sum())

    @property
    def depth(self) -> int:
        """How many levels there are."""
        return len(self.by_level)


@dataclass
class _Counter(Columns):
    """Columns that keep no gate: what stands for a node is its level."""

    by_layer: dict[str, int] = field(default_factory=dict)
    by_function: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(16, np.int64))
    by_level: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def block(
        self, tt: npt.ArrayLike, a: npt.NDArray[Any], b: npt.NDArray[Any], site: npt.NDArray[Any]
    ) -> Nodes:
        tables = np.asarray(tt, np.uint8)
        level: Nodes = np.maximum(a, b) + np.int32(1)
        shape = np.broadcast_shapes(tables.shape, level.shape)
        size = int(np.prod(shape, dtype=np.int64))
        if size:
            of_block = np.bincount(level.ravel()) * (size // level.size)
            self.by_level = np.pad(self.by_level, (0, max(0, len(of_block) - len(self.by_level))))
            self.by_level[: len(of_block)] += of_block
            counts = np.bincount(tables.ravel(), minlength=16)
            self.by_function += counts * (size // tables.size)
            self.by_layer[self.sites[-1].name] += size
        return np.broadcast_to(level, shape)

    def new_sites(self, layer: SiteLayer) -> npt.NDArray[np.int32]:
        self.sites.append(layer)
        self.by_layer[layer.name] = 0
        shape = (layer.gates, layer.kernels, max(1, layer.rows), max(1, layer.columns))
        return np.broadcast_to(np.int32(0), shape)


def census(network: LogicNetwork) -> Census:
    """Count what `unroll` would make of `network`, without making it.

    Memory is that of the widest layer, 4 bytes for each signal that its gates read. Raises IRError
    where the network breaks a rule.
    """
    network.verify()
    counter = _Counter(1)
    outputs = _unroll(counter, network, np.zeros(network.thermometer.output_shape, np.int32))
    return Census(counter.by_layer, counter.by_function, counter.by_level[1:], outputs.size)


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
