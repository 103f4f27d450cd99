"""The work space that passes share: a literal for each node, and the netlist that follows.

A pass goes through the levels once, says for each node by which literal it is replaced, and lets
`Rewrite.finish` drop the gates that stand for nothing any more, renumber and re-level the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.ir.gates import complement_inputs, swap_inputs
from gate2hw.ir.netlist import Netlist

__all__ = ["Rewrite", "blocks", "compact", "literal_dtype", "substitute", "until_same"]

BLOCK_GATES = 1 << 15
"""Gates handled at a time: the temporaries of one block stay in the second-level cache."""


def literal_dtype(n_nodes: int) -> type[np.signedinteger[Any]]:
    """The narrowest type that holds ``2*n_nodes + 1``: int32 up to 2**30 nodes, else int64."""
    return np.int32 if n_nodes < 2**30 else np.int64


def until_same(step: Callable[[Netlist], Netlist], net: Netlist) -> Netlist:
    """Return ``step(.. step(net))``: the first that `step` returns itself, unchanged."""
    while True:
        result = step(net)
        if result is net:
            return net
        net = result


def blocks(net: Netlist, size: int = BLOCK_GATES) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges of at most `size` gates; no range crosses a level, lowest first."""
    for start, stop in net.levels():
        for first in range(start, stop, size):
            yield first, min(first + size, stop)


def _levels_of_kept(
    first_gate: int,
    kept: npt.NDArray[np.int64],
    in0: npt.NDArray[np.int32],
    in1: npt.NDArray[np.int32],
    block_ptr: npt.NDArray[np.int64],
) -> npt.NDArray[np.integer[Any]]:
    """Level 1..L of each gate of `kept` (K,), which reads kept gates only; others are not there.

    `in0`, `in1` (K,) are node ids, `block_ptr` cuts `kept` into blocks. The type is the narrowest
    that holds the number of blocks: levels are read at random, and a byte each they stay in the
    caches for longer.
    """
    dtype = np.min_scalar_type(len(block_ptr))
    n_gates = int(kept[-1]) + 1 if len(kept) else 0
    of_node = np.zeros(first_gate + n_gates, dtype)
    level = np.empty(len(kept), dtype)
    for low, high in itertools.pairwise(block_ptr.tolist()):
        for start in range(low, high, BLOCK_GATES):
            stop = min(start + BLOCK_GATES, high)
            highest = np.maximum(of_node[in0[start:stop]], of_node[in1[start:stop]])
            np.add(highest, dtype.type(1), out=level[start:stop])
            of_node[first_gate + kept[start:stop]] = level[start:stop]
    return level


class Rewrite:
    """A netlist being rewritten; all ids are those of the netlist it started from.

    `lit` (n_nodes,) is the literal that stands for each node: ``2*node`` for one that stays
    (``2*node + 1`` if its new table is the complement of the old), else a literal of one that
    stays. `tt`, `in0`, `in1` (G,) are the new columns of the gates that stay: they read nodes, not
    literals, all of which stay too; what a gate reads complemented is in its table.
    """

    def __init__(self, net: Netlist) -> None:
        self.net = net
        self.lit = np.arange(0, 2 * net.n_nodes, 2, dtype=literal_dtype(net.n_nodes))
        self.tt = net.tt.copy()
        self.in0 = net.in0.copy()
        self.in1 = net.in1.copy()

    def operands(self, start: int, stop: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The two literals, (stop - start,) each, that gates start..stop-1 read by now."""
        return self.lit[self.net.in0[start:stop]], self.lit[self.net.in1[start:stop]]

    def resolve(self, start: int, stop: int) -> None:
        """Let gates start..stop-1 read what stands for their inputs; in0 <= in1 afterwards."""
        a, b = self.operands(start, stop)
        tt = complement_inputs[((a & 1) << 1) | (b & 1), self.net.tt[start:stop]]
        a >>= 1
        b >>= 1
        self.tt[start:stop] = np.where(a > b, swap_inputs[tt], tt)
        np.minimum(a, b, out=self.in0[start:stop], casting="same_kind")
        np.maximum(a, b, out=self.in1[start:stop], casting="same_kind")

    def finish(self) -> Netlist:
        """Return the rewritten netlist, re-levelled; the same object if nothing changed.

        Gates keep their order within a level, their origin, and read in0 <= in1.
        """
        net = self.net
        keep = self.lit[net.first_gate :] >> 1 == np.arange(net.first_gate, net.n_nodes)
        outputs = self.lit[net.outputs >> 1].astype(np.int64) ^ (net.outputs & 1)
        old: tuple[npt.NDArray[Any], ...] = (net.tt, net.in0, net.in1, net.outputs)
        new: tuple[npt.NDArray[Any], ...] = (self.tt, self.in0, self.in1, outputs)
        is_same = keep.all() and all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
        if not is_same:
            net = compact(net, keep, self.tt, self.in0, self.in1, outputs)
        return _ordered(net)


def _ordered(net: Netlist) -> Netlist:
    """`net` with in0 <= in1 at every gate; the same object if it is so already."""
    turned = net.in0 > net.in1
    if not turned.any():
        return net
    return net.with_(
        tt=np.where(turned, swap_inputs[net.tt], net.tt),
        in0=np.minimum(net.in0, net.in1),
        in1=np.maximum(net.in0, net.in1),
    )


def compact(
    net: Netlist,
    keep: npt.NDArray[np.bool_],
    tt: npt.NDArray[np.uint8],
    in0: npt.NDArray[np.int32],
    in1: npt.NDArray[np.int32],
    outputs: npt.NDArray[np.int64],
) -> Netlist:
    """Return `net` with new columns and only the gates of `keep` (G,) bool, re-levelled.

    `tt`, `in0`, `in1` (G,) and `outputs` (O,) are in the old numbering and name kept nodes only.
    Gates keep their order within a level.
    """
    first = net.first_gate
    kept = np.flatnonzero(keep)
    in0, in1 = in0[kept], in1[kept]
    ptr = np.searchsorted(kept, net.level_ptr)
    level = _levels_of_kept(first, kept, in0, in1, ptr)
    if (level[1:] < level[:-1]).any():
        # numpy sorts keys of up to 16 bits by radix, in linear time
        order = np.argsort(level, kind="stable")
        kept, in0, in1 = kept[order], in0[order], in1[order]
    new_id = np.zeros(net.n_nodes, np.int32)
    new_id[:first] = np.arange(first, dtype=np.int32)
    new_id[first + kept] = np.arange(first, first + len(kept), dtype=np.int32)
    return net.with_(
        tt=tt[kept],
        in0=new_id[in0],
        in1=new_id[in1],
        level_ptr=np.concatenate([[0], np.cumsum(np.bincount(level, minlength=1)[1:])]),
        outputs=(new_id[outputs >> 1].astype(np.int64) << 1) | (outputs & 1),
        origin=net.origin[kept],
    )


def substitute(net: Netlist, lit: npt.NDArray[Any]) -> Netlist:
    """Return `net` with each node n replaced by the literal ``lit[n]``, (n_nodes,) integers.

    ``lit[n]`` is ``2*n`` for a node that stays, else a literal (``2*node + complement``) of a lower
    node; chains of replacements are followed.
    Complements go into the tables. Replaced gates are dropped. Returns the same object where
    nothing is replaced.
    """
    work = Rewrite(net)
    node = np.arange(net.n_nodes)
    moved = np.flatnonzero(lit >> 1 != node)
    final = np.array(lit, dtype=work.lit.dtype)
    assert (lit[moved] >> 1 < moved).all(), "a node may only be replaced by a lower one"
    while len(moved):
        step = final[final[moved] >> 1] ^ (final[moved] & 1)
        changed = step != final[moved]
        moved = moved[changed]
        final[moved] = step[changed]
    work.lit = final
    for start, stop in blocks(net):
        work.resolve(start, stop)
    return work.finish()
