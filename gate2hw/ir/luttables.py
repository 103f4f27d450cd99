"""Tables of up to six inputs as columns of 64-bit words, and LUT networks brought into order.

Here, and only here, slot i of a table is address bit i, the **least** significant first, and a
table is repeated to fill 64 bits: a function of fewer inputs does not depend on the other slots.
`lsb_first_init` gives the order of a LutNetlist.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.care import CareSet, Implications, implications
from gate2hw.ir.lutnetlist import MAX_LUT_INPUTS, LutNetlist, lsb_first_init, table_mask
from gate2hw.ir.netlist import Circuit
from gate2hw.ir.topology import levels_of

__all__ = [
    "VARIABLE",
    "cofactors",
    "depends",
    "flip_input",
    "from_tables",
    "narrow",
    "simplified",
    "widen",
]

Words: TypeAlias = npt.NDArray[np.uint64]
Bits: TypeAlias = npt.NDArray[np.bool_]
Nodes: TypeAlias = npt.NDArray[np.int64]

VARIABLE: Final = np.array(
    [
        0xAAAAAAAAAAAAAAAA,
        0xCCCCCCCCCCCCCCCC,
        0xF0F0F0F0F0F0F0F0,
        0xFF00FF00FF00FF00,
        0xFFFF0000FFFF0000,
        0xFFFFFFFF00000000,
    ],
    np.uint64,
)
"""(6,) uint64: the table that is slot i itself."""

SHALLOW: Final = 24

_STEP: Final = np.uint64(1) << np.arange(MAX_LUT_INPUTS, dtype=np.uint64)
"""(6,) uint64: how far apart in a table two addresses are that differ in slot i."""


def cofactors(table: Words, slot: int) -> tuple[Words, Words]:
    """The tables with `slot` held at 0 and at 1; neither depends on it any more."""
    mask, step = VARIABLE[slot], _STEP[slot]
    low, high = table & ~mask, table & mask
    return low | (low << step), high | (high >> step)


def depends(table: Words, slot: int) -> Bits:
    """Whether each table depends on `slot`."""
    step = _STEP[slot]
    result: Bits = (((table >> step) ^ table) & ~VARIABLE[slot]) != 0
    return result


def flip_input(table: Words, slot: int) -> Words:
    """The tables that read the complement of `slot`."""
    low, high = cofactors(table, slot)
    result: Words = (low & VARIABLE[slot]) | (high & ~VARIABLE[slot])
    return result


def _swap_with_next(table: Words, slot: int) -> Words:
    """The tables with `slot` and the next one exchanged."""
    a, b = VARIABLE[slot], VARIABLE[slot + 1]
    step = _STEP[slot]
    up, down = table & a & ~b, table & b & ~a
    result: Words = (table & ~(a ^ b)) | (up << step) | (down >> step)
    return result


def widen(init: Words, n_used: Nodes) -> Words:
    """Tables of a LutNetlist as 64-bit tables of this module."""
    table: Words = lsb_first_init(init, n_used)
    for k in range(MAX_LUT_INPUTS):
        table = np.where(n_used <= k, table | (table << _STEP[k]), table)
    return table


def narrow(table: Words, n_used: Nodes) -> Words:
    """64-bit tables, whose slots from `n_used` on do not matter, as a LutNetlist holds them."""
    return lsb_first_init(table & table_mask(n_used), n_used)


@dataclass
class _Work:
    """LUTs in topological order being reduced; `lit` (n_nodes,) stands for each node."""

    table: Words
    fanin: Nodes
    lit: Nodes
    n_used: Nodes
    implications: Implications | None = None

    def _forget(self, table: Words, node: Nodes) -> None:
        """Drop inputs that do not matter on legal codes, in place; see `from_tables`.

        Which addresses of a LUT are legal is read from those of its inputs that are inputs of the
        netlist: where one implies another, the addresses that say otherwise never occur.
        """
        assert self.implications is not None
        n_inputs, width = len(self.implications.feature), node.shape[1]
        is_input = (node > 0) & (node <= n_inputs)
        care = np.full(len(table), ~np.uint64(0))
        for low, high in itertools.permutations(range(width), 2):
            rows = np.flatnonzero(is_input[:, low] & is_input[:, high])
            rows = rows[self.implications.implies(node[rows, high] - 1, node[rows, low] - 1)]
            care[rows] &= ~(VARIABLE[high] & ~VARIABLE[low])
        rows = np.flatnonzero(care != ~np.uint64(0))
        for slot in range(width):
            (f0, f1), (c0, c1) = cofactors(table[rows], slot), cofactors(care[rows], slot)
            idle = ((f0 ^ f1) & c0 & c1) == 0
            there = rows[idle]
            table[there] = ((f1 & c1) | (f0 & ~c1))[idle]
            care[there] = (c0 | c1)[idle]

    def reduce(self, rows: Nodes, first_gate: int) -> None:
        """Reduce LUTs `rows`: no complement, constant, equal or idle input is left."""
        read = self.lit[self.fanin[rows]]
        table, node = self.table[rows], read >> 1
        width = node.shape[1]
        for slot in range(width):
            flipped = np.flatnonzero(read[:, slot] & 1)
            table[flipped] = flip_input(table[flipped], slot)
            fixed = np.flatnonzero(node[:, slot] == 0)
            table[fixed] = cofactors(table[fixed], slot)[0]
            for other in range(slot):
                same = np.flatnonzero((node[:, slot] == node[:, other]) & (node[:, slot] > 0))
                low, high = cofactors(table[same], slot)
                table[same] = (high & VARIABLE[other]) | (low & ~VARIABLE[other])
        if self.implications is not None:
            self._forget(table, node)
        needed = np.stack([depends(table, slot) for slot in range(width)], axis=1)
        for last in range(width - 1, 0, -1):
            for slot in range(last):
                turn = np.flatnonzero(~needed[:, slot] & needed[:, slot + 1])
                table[turn] = _swap_with_next(table[turn], slot)
                for column in (node, needed):
                    column[turn, slot], column[turn, slot + 1] = (
                        column[turn, slot + 1],
                        column[turn, slot].copy(),
                    )
        used = needed.sum(axis=1)
        self.table[rows], self.n_used[rows] = table, used
        self.fanin[rows] = np.where(needed, node, 0)
        value = (table & np.uint64(1)).astype(np.int64)
        here = first_gate + rows
        self.lit[here] = np.where(
            used == 0, value, np.where(used == 1, 2 * node[:, 0] + value, 2 * here)
        )


def _levels(first_gate: int, fanin: Nodes) -> Nodes:
    """(G,) int64 level of each LUT from 0; IRError where there is a cycle."""
    count, width = fanin.shape
    node_level = np.zeros(first_gate + count, np.int64)
    # mapped networks are shallow: a few rounds over all LUTs beat a walk along the edges
    for _ in range(SHALLOW):
        above = np.zeros(count, np.int64)
        for column in fanin.T:
            np.maximum(above, node_level[column], out=above)
        above += 1
        if np.array_equal(above, node_level[first_gate:]):
            return above - 1
        node_level[first_gate:] = above
    level = levels_of((fanin - first_gate).ravel(), np.arange(count + 1, dtype=np.int64) * width)
    if (level < 0).any():
        raise IRError(f"LUT {int(np.argmax(level < 0))} is on a cycle or above one")
    result: Nodes = level.astype(np.int64)
    return result


def _by_level(level: Nodes) -> list[Nodes]:
    order = np.argsort(level, kind="stable")
    cuts = np.cumsum(np.bincount(level, minlength=1))
    return [rows for rows in np.split(order, cuts[:-1]) if len(rows)]


def _live(first_gate: int, levels: list[Nodes], work: _Work, outputs: Nodes) -> Bits:
    """(n_nodes,) bool: what the outputs need."""
    live = np.zeros(len(work.lit), np.bool_)
    live[outputs >> 1] = True
    for rows in reversed(levels):
        needed = rows[live[first_gate + rows]]
        live[work.fanin[needed]] = True
    return live


def from_tables(
    like: Circuit,
    table: Words,
    fanin: npt.NDArray[Any],
    outputs: npt.NDArray[Any],
    *,
    k: int,
    origin: npt.NDArray[np.int32] | None = None,
    care: CareSet = "none",
) -> LutNetlist:
    """Return the LutNetlist of LUTs in any order, reduced, with the interface of `like`.

    `table` (G,) uint64 as this module has them, `fanin` (G, W) node ids (inputs 1..n_inputs, LUT
    g is ``1 + n_inputs + g``), idle slots 0, `outputs` (O,) literals. Constants, wires and
    inverters cost no LUT: they go into the tables and literals that read them; idle inputs and
    dead LUTs are dropped. With `care` "thermometer" an input is also idle if it does not matter
    on legal codes of the encoder of `like`, and the result is equal on these only. Head, encoder,
    sites, names, digest are those of `like`; `origin` (G,) goes along. Raises IRError for a cycle,
    or a LUT that needs more than `k` inputs.
    """
    first, count = like.first_gate, len(table)
    work = _Work(
        table.copy(),
        fanin.astype(np.int64),
        2 * np.arange(first + count, dtype=np.int64),
        np.zeros(count, np.int64),
        implications(like.encoder) if care == "thermometer" and like.encoder else None,
    )
    levels = _by_level(_levels(first, work.fanin))
    for rows in levels:
        work.reduce(rows, first)
    outputs = work.lit[outputs >> 1] ^ (outputs & 1)
    live = _live(first, levels, work, outputs)[first:]
    live &= work.lit[first:] == 2 * np.arange(first, first + count)
    if (work.n_used[live] > k).any():
        lut = int(np.flatnonzero(live & (work.n_used > k))[0])
        raise IRError(f"LUT {lut} needs {work.n_used[lut]} inputs, allowed are {k}")
    keep = np.flatnonzero(live)
    node = np.zeros(first + count, np.int64)
    node[:first] = np.arange(first)
    node[first + keep] = first + np.arange(len(keep))
    fanin = node[work.fanin[keep]]
    level = _levels(first, fanin)
    order = np.argsort(level, kind="stable")
    keep, fanin = keep[order], fanin[order]
    moved = np.arange(first + len(keep))
    moved[first + order] = first + np.arange(len(keep))
    fanin = moved[fanin]
    used = work.n_used[keep]
    slots = np.full((len(keep), k), -1, np.int32)
    width = min(k, fanin.shape[1])
    slots[:, :width] = np.where(np.arange(width) < used[:, None], fanin[:, :width], -1)
    return LutNetlist(
        like.n_inputs,
        narrow(work.table[keep], used),
        slots,
        np.concatenate([[0], np.cumsum(np.bincount(level))]).astype(np.int64),
        (moved[node[outputs >> 1]] << 1) | (outputs & 1),
        head=like.head,
        encoder=like.encoder,
        origin=np.full(len(keep), -1, np.int32) if origin is None else origin[keep],
        sites=like.sites,
        names=like.names,
        digest=like.digest,
    )


def simplified(luts: LutNetlist, *, care: CareSet = "none") -> LutNetlist:
    """Return `luts` reduced as by `from_tables`: the same functions, never more LUTs or inputs."""
    return from_tables(
        luts,
        widen(luts.init, luts.n_used),
        np.maximum(luts.fanin, 0),
        luts.outputs,
        k=luts.k,
        origin=luts.origin,
        care=care,
    )
