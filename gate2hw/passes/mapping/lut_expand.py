"""expand: a LutNetlist as two-input gates, so that whatever takes a Netlist takes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import TT_A, TT_AND, TT_OR, TT_XOR, complement_inputs
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Netlist

__all__ = ["expand"]

Gate: TypeAlias = tuple[int, int, int]

_COMPLEMENTED: Final[list[list[int]]] = complement_inputs.tolist()


class _Recipe:
    """Gates of one table; operands 0..k-1 are its inputs, k + g is gate g of the recipe."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.gates: list[Gate] = []
        self.depth: list[int] = []

    def gate(self, tt: int, a: int, b: int) -> int:
        """The literal of f(a, b) of two literals."""
        gate = (_COMPLEMENTED[2 * (a & 1) + (b & 1)][tt], a >> 1, b >> 1)
        if gate not in self.gates:
            self.gates.append(gate)
            below = [self.depth[node - self.k] for node in gate[1:] if node >= self.k]
            self.depth.append(1 + max(below, default=-1))
        return 2 * (self.k + self.gates.index(gate))

    def table(self, table: int, inputs: tuple[int, ...]) -> int:
        """Literal of a table that is not constant, by Shannon expansion on its first input.

        Inputs are operands, the first the most significant address bit.
        """
        top, rest = inputs[0], inputs[1:]
        half = 1 << len(rest)
        full = (1 << half) - 1
        f1, f0 = table >> half, table & full
        if f0 == f1:
            return self.table(f0, rest)
        if {f0, f1} == {0, full}:
            return 2 * top ^ (f0 & 1)
        if f0 ^ f1 == full:
            return self.gate(TT_XOR, 2 * top, self.table(f0, rest))
        if f0 == 0:
            return self.gate(TT_AND, 2 * top, self.table(f1, rest))
        if f1 == 0:
            return self.gate(TT_AND, 2 * top ^ 1, self.table(f0, rest))
        if f0 == full:
            return self.gate(TT_OR, 2 * top ^ 1, self.table(f1, rest))
        if f1 == full:
            return self.gate(TT_OR, 2 * top, self.table(f0, rest))
        high = self.gate(TT_AND, 2 * top, self.table(f1, rest))
        low = self.gate(TT_AND, 2 * top ^ 1, self.table(f0, rest))
        return self.gate(TT_OR, low, high)


@lru_cache(maxsize=1 << 16)
def _recipe(table: int, k: int) -> tuple[tuple[Gate, ...], tuple[int, ...]]:
    """Gates of a table, the last its value, and the depth of each from 0."""
    recipe = _Recipe(k)
    full = (1 << (1 << k)) - 1
    if table in (0, full):
        return ((15 * (table & 1), 0, 0),), (0,)
    lit = recipe.table(table, tuple(range(k)))
    if recipe.gates and lit >> 1 == k + len(recipe.gates) - 1:
        tt, a, b = recipe.gates[-1]
        recipe.gates[-1] = (tt ^ (15 * (lit & 1)), a, b)
    else:
        recipe.gates.append((TT_A ^ (15 * (lit & 1)), lit >> 1, lit >> 1))
        below = recipe.depth[(lit >> 1) - k] if lit >> 1 >= k else -1
        recipe.depth.append(1 + below)
    return tuple(recipe.gates), tuple(recipe.depth)


def _tables(luts: LutNetlist) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Distinct tables, their numbers of inputs, and which of them each LUT (G,) has."""
    key = np.stack([luts.init, luts.n_used.astype(np.uint64)], axis=1)
    distinct, which = np.unique(key, axis=0, return_inverse=True)
    return distinct[:, 0], distinct[:, 1].astype(np.int64), which.reshape(-1)


def expand(luts: LutNetlist) -> Netlist:
    """Return `luts` with each LUT as two-input gates (Shannon expansion), equal on all inputs.

    Inputs, output literals, head, encoder and names stay; gates have the origin of their LUT.
    Tables are shared out once each, so time is linear in the gates.
    """
    tables, widths, which = _tables(luts)
    recipes = [_recipe(t, k) for t, k in zip(tables.tolist(), widths.tolist(), strict=True)]
    size = np.array([len(gates) for gates, _ in recipes], np.int64)
    start = np.concatenate([[0], np.cumsum(size)])
    flat = np.array([gate for gates, _ in recipes for gate in gates], np.int64).reshape(-1, 3)
    depth = np.array([d for _, depths in recipes for d in depths], np.int64)
    count = size[which]
    ends = np.cumsum(count)
    lut = np.repeat(np.arange(luts.n_luts), count)
    place = np.arange(len(lut)) - np.repeat(ends - count, count)
    row = start[which][lut] + place
    # blocks: levels of the LUTs, and in each the depth inside the LUT
    level = luts.node_level[luts.first_gate :].astype(np.int64)[lut]
    key = level * (int(depth.max(initial=0)) + 1) + depth[row]
    order = np.argsort(key, kind="stable")
    gate_node = np.empty(len(lut), np.int64)
    gate_node[order] = luts.first_gate + np.arange(len(lut))
    node = np.arange(luts.n_nodes, dtype=np.int64)
    node[luts.first_gate :] = gate_node[ends - 1]
    used = luts.n_used[lut]

    def operand(column: int) -> npt.NDArray[np.int32]:
        local = flat[row, column]
        outer = local < used
        result = np.empty(len(lut), np.int64)
        result[outer] = node[luts.fanin[lut[outer], local[outer]]]
        inner = ~outer
        first = (ends - count)[lut[inner]]
        result[inner] = gate_node[first + local[inner] - used[inner]]
        return result[order].astype(np.int32)

    sizes = np.bincount(key)
    return from_columns(
        luts.n_inputs,
        flat[row, 0].astype(np.uint8)[order],
        operand(1),
        operand(2),
        (node[luts.outputs >> 1] << 1) | (luts.outputs & 1),
        head=luts.head,
        encoder=luts.encoder,
        origin=luts.origin[lut][order],
        sites=luts.sites,
        names=luts.names,
        digest=luts.digest,
        block_ptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )
