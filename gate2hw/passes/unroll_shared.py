"""LogicNetwork to Netlist by way of its kernels: each simplified once, what is left unrolled.

The raw netlist of `ir.unroll` is never built. Every site number is the one that `unroll` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.columns import Columns
from gate2hw.ir.gates import TT_OR, complement_inputs
from gate2hw.ir.layers import OrPool
from gate2hw.ir.netlist import Head, Names, Netlist, SiteLayer
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.unroll import encoder_of, instantiated_gates
from gate2hw.passes.local.rewrite import literal_dtype
from gate2hw.passes.share_kernels import Kernels, Pool, share_kernels

__all__ = ["unroll_shared"]

Literals = npt.NDArray[np.signedinteger[Any]]
_BLOCK_GATES = 1 << 18


@dataclass(frozen=True)
class _Map:
    """What a layer gives: ``rows[row_of[c], y, x]`` is the literal of channel c at (y, x).

    `row_of` (C,) is -1 for channels that nobody reads.
    """

    rows: Literals
    row_of: npt.NDArray[np.int64]

    def flat(self) -> npt.NDArray[np.int64]:
        """(C*H*W,) int64 literals in C order."""
        return self.rows[self.row_of].astype(np.int64).ravel()


def _padded(rows: Literals, padding: tuple[int, int]) -> Literals:
    if padding == (0, 0):
        return rows
    return np.pad(rows, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))


def _gates(
    columns: Columns, tt: npt.NDArray[np.uint8], a: Literals, b: Literals, site: npt.NDArray[Any]
) -> Literals:
    """Gates on literals of any common shape; returns their literals."""
    flipped = complement_inputs[((a & 1) << 1) | (b & 1), tt]
    nodes = columns.block(flipped, a >> 1, b >> 1, site)
    return nodes.astype(a.dtype, copy=False) << 1


def _unroll_kernels(columns: Columns, part: Kernels, before: _Map) -> _Map:
    net, (rows, cols) = part.net, part.positions
    size = rows * cols
    first_site = columns.new_sites(part.sites).flat[0]
    source = _padded(before.rows, part.padding)
    value = np.zeros((net.n_nodes, size), source.dtype)
    used = net.used_inputs()
    channel, dy, dx = (part.taps[used, i].astype(np.int64)[:, None, None] for i in range(3))
    y = dy + (np.arange(rows) * part.stride[0])[:, None]
    x = dx + np.arange(cols) * part.stride[1]
    value[1 + used] = source[before.row_of[channel], y, x].reshape(len(used), size)
    place = np.arange(size, dtype=np.int32)
    step = max(1, _BLOCK_GATES // size)
    for start, stop in net.levels():
        for low in range(start, stop, step):
            high = min(low + step, stop)
            site = first_site + net.origin[low:high, None] * np.int32(size) + place
            value[net.first_gate + low : net.first_gate + high] = _gates(
                columns,
                net.tt[low:high, None],
                value[net.in0[low:high]],
                value[net.in1[low:high]],
                site,
            )
    live = np.flatnonzero(part.live)
    literal = net.outputs[live]
    out = value[literal >> 1] ^ (literal & 1).astype(value.dtype)[:, None]
    row_of = np.full(len(part.live), -1)
    row_of[live] = np.arange(len(live))
    return _Map(out.reshape(len(live), rows, cols), row_of)


def _terms(layer: OrPool, rows: Literals) -> list[Literals]:
    """The places of a window, each as a map of all windows."""
    padded = _padded(rows, layer.padding)
    height = (layer.output_shape[1] - 1) * layer.stride[0] + 1
    width = (layer.output_shape[2] - 1) * layer.stride[1] + 1
    return [
        padded[:, dy : dy + height : layer.stride[0], dx : dx + width : layer.stride[1]]
        for dy in range(layer.window[0])
        for dx in range(layer.window[1])
    ]


def _unroll_pool(columns: Columns, part: Pool, before: _Map) -> _Map:
    layer = part.layer
    shape = layer.output_shape
    wanted = np.unique(part.read[part.read >= 0])
    row_of = np.full(shape[0], -1)
    alive = part.read >= 0
    row_of[alive] = np.searchsorted(wanted, part.read[alive])
    constant = part.constant[wanted]
    rows = np.zeros((len(wanted), *shape[1:]), before.rows.dtype)
    rows += np.maximum(constant, 0)[:, None, None].astype(rows.dtype)
    free = np.flatnonzero(constant < 0)
    terms = _terms(layer, before.rows[before.row_of[wanted[free]]])
    n_gates = len(terms) - 1
    if n_gates:
        sites = columns.new_sites(SiteLayer(part.name, n_gates, shape[0], *shape[1:]))
        table = np.array(TT_OR, np.uint8)
        number = 0
        while len(terms) > 1:
            joined = []
            for a, b in zip(terms[0::2], terms[1::2], strict=False):
                joined.append(_gates(columns, table, a, b, sites[number, wanted[free]]))
                number += 1
            terms = joined + (terms[-1:] if len(terms) % 2 else [])
    rows[free] = terms[0]
    return _Map(rows, row_of)


def unroll_shared(network: LogicNetwork) -> Netlist:
    """Return a netlist equal to ``unroll(network)``, simplified as far as its kernels allow.

    Inputs, outputs, head, encoder, names, digest and sites are those of `unroll`; gates that every
    position can spare are not there, and what only some positions can spare (at the padding) is
    left to the passes. A gate whose origin is site s computes what unroll's gate of that site
    does, or the complement (of a table with more than two inputs: part of it).
    Raises IRError where the network breaks a rule.
    """
    network.verify()
    encoder = encoder_of(network.thermometer)
    n_inputs, groups = len(encoder.feature), network.group_sum
    columns = Columns(1 + n_inputs)
    dtype = literal_dtype(1 + n_inputs + instantiated_gates(network))
    inputs = np.arange(2, 2 + 2 * n_inputs, 2, dtype=dtype)
    shape = (*network.thermometer.output_shape, 1, 1)[:3]
    here = _Map(inputs.reshape(shape), np.arange(shape[0]))
    for part in share_kernels(network):
        if isinstance(part, Kernels):
            here = _unroll_kernels(columns, part, here)
        else:
            here = _unroll_pool(columns, part, here)
    outputs = here.flat()
    ones, zeros = np.ones(len(outputs), np.int32), np.zeros(groups.n_classes, np.int64)
    return columns.netlist(
        outputs,
        head=Head(groups.group_ptr, ones, zeros),
        encoder=encoder,
        names=Names(classes=network.class_names),
        digest=network.digest,
    )
