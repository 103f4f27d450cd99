"""Cut a netlist into parts of bounded size, work on each part as a netlist, and put them together.

Gates are put in the order (first output whose cone they are in, node id) or (last input in their
cone, node id). Both are topological orders; in the first the cone of an output lies together, in
the second what reads the same corner of an image. A part is a stretch of the order, so a part reads
only parts before it, and whatever becomes of each part, the whole stays free of cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import complement_inputs
from gate2hw.ir.netlist import Encoder, Netlist

__all__ = ["OrderBy", "Part", "map_parts", "parts"]

Nodes: TypeAlias = npt.NDArray[np.int64]
OrderBy: TypeAlias = Literal["inputs", "outputs"]


@dataclass(frozen=True)
class Part:
    """Some gates of a netlist as a plain circuit.

    Input i of `net` is node ``inputs[i]`` of the whole, its output o is node ``outputs[o]``. Where
    the whole has an encoder, so has `net`: bits of one feature keep it, every other input is a
    feature of its own.
    """

    net: Netlist
    inputs: Nodes
    outputs: Nodes


def _order_by_outputs(net: Netlist) -> Nodes:
    """(G,) int64: gates by the first output whose cone they are in, then by id."""
    label = np.full(net.n_nodes, net.n_outputs, np.int32)
    np.minimum.at(label, net.outputs >> 1, np.arange(net.n_outputs, dtype=np.int32))
    first = net.first_gate
    for start, stop in reversed(list(net.levels())):
        of_gate = label[first + start : first + stop]
        np.minimum.at(label, net.in0[start:stop], of_gate)
        np.minimum.at(label, net.in1[start:stop], of_gate)
    return np.argsort(label[first:], kind="stable")


def _order_by_inputs(net: Netlist) -> Nodes:
    """(G,) int64: gates by the last input (feature, where there is an encoder) in their cone."""
    label = np.zeros(net.n_nodes, np.int32)
    first = net.first_gate
    label[1:first] = np.arange(net.n_inputs) if net.encoder is None else net.encoder.feature
    for start, stop in net.levels():
        label[first + start : first + stop] = np.maximum(
            label[net.in0[start:stop]], label[net.in1[start:stop]]
        )
    return np.argsort(label[first:], kind="stable")


_ORDERS: Final = {"inputs": _order_by_inputs, "outputs": _order_by_outputs}


def _encoder(net: Netlist, inputs: Nodes) -> Encoder | None:
    if net.encoder is None:
        return None
    is_bit = inputs < net.first_gate
    n_features = net.encoder.n_features
    free = np.cumsum(~is_bit) - 1
    bit = np.where(is_bit, inputs - 1, 0)
    feature = np.where(is_bit, net.encoder.feature[bit], n_features + free)
    threshold = np.where(is_bit, net.encoder.threshold[bit], 0)
    shape = (n_features + int((~is_bit).sum()),)
    return Encoder(feature, threshold, shape, net.encoder.max_value)


def parts(net: Netlist, *, max_gates: int, order_by: OrderBy = "inputs") -> Iterator[Part]:
    """Yield parts of at most `max_gates` gates, of nearly equal size, each before its readers.

    Gates keep their function, order and origin.
    """
    n_parts = -(-net.n_gates // max_gates)
    if n_parts == 0:
        return
    first = net.first_gate
    order = _ORDERS[order_by](net)
    part_of = np.full(net.n_nodes, -1, np.int32)
    cuts = np.linspace(0, net.n_gates, n_parts + 1).astype(np.int64)
    part_of[first + order] = np.repeat(np.arange(n_parts, dtype=np.int32), np.diff(cuts))
    is_read = np.zeros(net.n_nodes, np.bool_)
    is_read[net.outputs >> 1] = True
    for column in (net.in0, net.in1):
        is_read[column[part_of[column] != part_of[first:]]] = True
    local = np.zeros(net.n_nodes, np.int32)
    for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        gates = np.sort(order[low:high])
        reads = np.concatenate([net.in0[gates], net.in1[gates]])
        number = part_of[first + gates[0]]
        inputs = np.unique(reads[(part_of[reads] != number) & (reads > 0)]).astype(np.int64)
        local[inputs] = 1 + np.arange(len(inputs), dtype=np.int32)
        local[first + gates] = 1 + len(inputs) + np.arange(len(gates), dtype=np.int32)
        outputs = first + gates[is_read[first + gates]]
        piece = from_columns(
            len(inputs),
            net.tt[gates],
            local[net.in0[gates]],
            local[net.in1[gates]],
            2 * local[outputs].astype(np.int64),
            encoder=_encoder(net, inputs),
            origin=net.origin[gates],
            sites=net.sites,
        )
        yield Part(piece, inputs, outputs)


def map_parts(
    net: Netlist,
    change: Callable[[Netlist], Netlist],
    *,
    max_gates: int,
    order_by: OrderBy = "inputs",
) -> Netlist:
    """Return `net` with ``change(part.net)`` in the place of each part; the same object if none is.

    `change` returns its argument itself where it changes nothing, keeps inputs and outputs, and
    may return gates of any form: the result is not in normal form.
    """
    first = net.first_gate
    lit = np.zeros(net.n_nodes, np.int64)
    lit[:first] = 2 * np.arange(first)
    tt, in0, in1, origin, sizes = [], [], [], [], [np.zeros(1, np.int64)]
    n_done, is_same = first, True
    for part in parts(net, max_gates=max_gates, order_by=order_by):
        new = change(part.net)
        is_same &= new is part.net
        literal = np.concatenate(
            [[0], lit[part.inputs], 2 * np.arange(n_done, n_done + new.n_gates)]
        )
        a, b = literal[new.in0], literal[new.in1]
        tt.append(complement_inputs[((a & 1) << 1) | (b & 1), new.tt])
        in0.append((a >> 1).astype(np.int32))
        in1.append((b >> 1).astype(np.int32))
        origin.append(new.origin)
        sizes.append(np.diff(new.level_ptr))
        lit[part.outputs] = literal[new.outputs >> 1] ^ (new.outputs & 1)
        n_done += new.n_gates
    if is_same:
        return net
    return from_columns(
        net.n_inputs,
        np.concatenate(tt),
        np.concatenate(in0),
        np.concatenate(in1),
        lit[net.outputs >> 1] ^ (net.outputs & 1),
        head=net.head,
        encoder=net.encoder,
        origin=np.concatenate(origin),
        sites=net.sites,
        names=net.names,
        digest=net.digest,
        block_ptr=np.cumsum(np.concatenate(sizes)),
    )
