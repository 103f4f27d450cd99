"""Neurons of a layer simplified once, before they are unrolled over positions.

A layer of a LogicNetwork becomes one small netlist: its inputs are taps (channel, row and column
inside the field), its gates those of all neurons, its outputs one literal a neuron. What `fold`,
`strash` and `dce` find there holds in every position: constant channels, channels equal or
complement to others, gates that two kernels share, channels that no later layer reads.
A dense layer is the case of one position whose field is the whole map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.columns import Columns, tree_gates
from gate2hw.ir.gates import TT_NOT_A
from gate2hw.ir.layers import GroupSum, Layer, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.netlist import Netlist, SiteLayer
from gate2hw.ir.network import LogicNetwork
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.normalise import normalise

__all__ = ["Channels", "Kernels", "Pool", "share_kernels"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Channels:
    """Which channels of a map are constant or equal, in every position.

    `constant` (C,) int8 is 0 or 1, -1 for a channel that is neither. `twin` (C,) is the lowest
    channel that is the same, `kin` (C,) the lowest that is the same or the complement, and `flip`
    (C,) says that it is the complement.
    """

    constant: npt.NDArray[np.int8]
    twin: Ints
    kin: Ints
    flip: Bools

    @staticmethod
    def distinct(n_channels: int) -> Channels:
        """Nothing is known."""
        own = np.arange(n_channels)
        return Channels(np.full(n_channels, -1, np.int8), own, own, np.zeros(n_channels, np.bool_))

    @staticmethod
    def of_literals(lit: Ints) -> Channels:
        """Channel c is the literal ``lit[c]``; literals 0 and 1 are the constants."""
        constant = np.where(lit <= 1, lit, -1).astype(np.int8)
        twin, kin = _first_equal(lit), _first_equal(lit >> 1)
        return Channels(constant, twin, kin, ((lit ^ lit[kin]) & 1).astype(np.bool_))

    def pooled(self) -> Channels:
        """After an OR of several positions, complements are no longer related."""
        return replace(self, kin=self.twin, flip=np.zeros_like(self.flip))


def _first_equal(values: Ints) -> Ints:
    """(n,): the first place that holds the same value; values are not negative."""
    first = np.full(int(values.max(initial=0)) + 1, len(values))
    np.minimum.at(first, values, np.arange(len(values)))
    return first[values]


@dataclass(frozen=True)
class Kernels:
    """The neurons of layer `name` as one netlist.

    Input i of `net` is the tap (channel, row, column) `taps[i]` of the map, (T, 3); output c is
    neuron c, live or not (a dead one is the literal 0). The origin of a gate is its number inside
    the tree times the number of neurons, plus the neuron. `stride`, `padding` and `positions` =
    (rows, columns) say where the taps lie; `sites` is the layer's block of sites.
    """

    name: str
    net: Netlist
    taps: npt.NDArray[np.int32]
    stride: tuple[int, int]
    padding: tuple[int, int]
    positions: tuple[int, int]
    sites: SiteLayer
    live: Bools


@dataclass(frozen=True)
class Pool:
    """An OR pool of the map before it: `read` (C,) is the channel to pool for channel c, -1 for a
    dead one; `constant` as in `Channels`."""

    name: str
    layer: OrPool
    read: Ints
    constant: npt.NDArray[np.int8]


def _as_conv(layer: LogicConv | LogicDense) -> LogicConv:
    if isinstance(layer, LogicConv):
        return layer
    shape = layer.input_shape if len(layer.input_shape) == 3 else (*layer.input_shape, 1, 1)
    positions = shape[1] * shape[2]
    channel, place = np.divmod(layer.wiring, np.int32(positions))
    row, column = np.divmod(place, np.int32(shape[2]))
    leaves = np.stack([channel, row, column], axis=2)
    field = (shape[1], shape[2])
    return LogicConv(shape, leaves, (layer.tables[:, None],), field, arity=layer.arity)


def _is_inside(layer: LogicConv) -> Bools:
    """(rows, columns) bool of the field: places that never lie in the padding."""
    sides = []
    for axis in (0, 1):
        size, span = layer.input_shape[1 + axis], layer.field[axis]
        last = (layer.output_shape[1 + axis] - 1) * layer.stride[axis]
        place = np.arange(span) - layer.padding[axis]
        sides.append((place >= 0) & (place + last < size))
    inside: Bools = sides[0][:, None] & sides[1]
    return inside


def _taps(layer: LogicConv, channels: Channels) -> tuple[npt.NDArray[np.int32], Ints]:
    """The distinct taps (T, 3), and for each leaf (k**D, K) the literal of its tap: 2 + 2*i."""
    channel, row, column = (layer.leaves[:, :, i].T.astype(np.int64) for i in range(3))
    inside = _is_inside(layer)[row, column]
    # in the padding a complement is 0 too, so there only equal channels stand for one another
    read = np.where(inside, channels.kin[channel], channels.twin[channel])
    flip = np.where(inside, channels.flip[channel], False)
    constant = channels.constant[channel]
    fixed = (constant == 0) | ((constant == 1) & inside)
    rows, columns = layer.field
    key = (read * rows + row) * columns + column
    used = np.zeros(layer.input_shape[0] * rows * columns, np.bool_)
    used[key[~fixed]] = True
    number = np.cumsum(used)
    literal = np.where(fixed, constant == 1, 2 * number[key] + flip)
    distinct = np.flatnonzero(used)
    channel, place = np.divmod(distinct, rows * columns)
    return np.stack([channel, *np.divmod(place, columns)], axis=1).astype(np.int32), literal


def _kernels(name: str, layer: LogicConv | LogicDense, channels: Channels) -> Kernels:
    conv = _as_conv(layer)
    taps, literal = _taps(conv, channels)
    columns = Columns(1 + len(taps))
    n_gates, n_neurons = sum(table.shape[1] for table in conv.tables), conv.n_kernels
    sites = columns.new_sites(SiteLayer(name, n_gates, n_neurons))
    node = (literal >> 1).astype(np.int32)
    odd = (literal & 1).astype(np.bool_)
    # inverters, gone after the first fold
    flipped, place = np.unique(node[odd], return_inverse=True)
    node[odd] = columns.block(TT_NOT_A, flipped, flipped, np.array(-1))[place]
    roots = tree_gates(columns, conv, node[:, :, None, None], sites)
    net = normalise(columns.netlist(roots.ravel().astype(np.int64) * 2), care="none")
    is_dense = isinstance(layer, LogicDense)
    positions = (conv.output_shape[1], conv.output_shape[2])
    own = SiteLayer(name, n_gates, n_neurons, *((0, 0) if is_dense else positions))
    live = np.ones(n_neurons, np.bool_)
    return Kernels(name, net, taps, conv.stride, conv.padding, positions, own, live)


def _kept(kernels: Kernels, live: Bools) -> Kernels:
    """`kernels` without what only dead channels need, taps that nobody reads included."""
    if live.all():
        outputs = kernels.net.outputs
    else:
        outputs = np.where(live, kernels.net.outputs, 0)
    net = dce(kernels.net.with_(outputs=outputs))
    return replace(kernels, net=net, live=live)


def _forward(layers: Iterable[tuple[str, Layer]]) -> list[Kernels | Pool]:
    parts: list[Kernels | Pool] = []
    channels = Channels.distinct(0)
    for name, layer in layers:
        match layer:
            case Thermometer():
                channels = Channels.distinct(layer.output_shape[0])
            case LogicConv() | LogicDense():
                part = _kernels(name, layer, channels)
                parts.append(part)
                channels = Channels.of_literals(part.net.outputs)
            case OrPool():
                parts.append(Pool(name, layer, channels.twin, channels.constant))
                if layer.window != (1, 1):
                    channels = channels.pooled()
            case GroupSum():
                pass
    return parts


def share_kernels(network: LogicNetwork) -> list[Kernels | Pool]:
    """The layers of `network` between thermometer and scores, each simplified for all positions.

    Layers read the channels that stand for equal ones only; the last layer gives all of them.
    """
    parts = _forward(network.layers())
    live: Bools | None = None
    for number in range(len(parts) - 1, -1, -1):
        part = parts[number]
        if isinstance(part, Kernels):
            alive = np.ones(part.net.n_outputs, np.bool_) if live is None else live
            part = _kept(part, alive)
            read: npt.NDArray[Any] = part.taps[part.net.used_inputs(), 0]
        else:
            wanted = part.read if live is None else np.where(live, part.read, -1)
            part = replace(part, read=wanted)
            read = wanted[(wanted >= 0) & (part.constant < 0)]
        if number:
            before = parts[number - 1]
            size = before.net.n_outputs if isinstance(before, Kernels) else len(before.read)
            live = np.zeros(size, np.bool_)
            live[read] = True
        parts[number] = part
    return parts
