"""Pipeline stages of a LutNetlist: balanced, and with the fewest registers between them.

LUTs take slots, so many to a stage, one behind another along every path; a LUT's stage is its slot
divided by the slots of a stage. A signal is registered once in each rank that it crosses, whatever
its fan-out; inputs come before the first rank and outputs leave behind the last, as
`ir.lut_cells.write_cells` builds it. The fewest registers are a minimum cut: "LUT v stands in slot
k or later" is a node of a graph, what follows from it an arc without limit, and a register that it
saves or costs an arc from the source or to the sink. This is retiming for the least area with
shared registers and a delay of one a LUT (Leiserson and Saxe, Retiming synchronous circuitry, 1991)
as a closure (Picard, Maximal closure of a graph, 1976): exact for the given slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.lut_cells import complements_apart
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.passes.closure import Closure

__all__ = ["RegisterCount", "count_registers", "slots_for", "stage_depths", "staging"]

_Index = npt.NDArray[np.int64]
_BITS_A_CELL: Final = 16
"""How much more a flip-flop in a cell of its own weighs than one that shares it with a LUT."""


@dataclass(frozen=True)
class RegisterCount:
    """Registers between the stages of a LutNetlist.

    `bits` are flip-flops. `cells` are those that take a logic cell of their own where a cell is a
    LUT and a flip-flop with one output (iCE40): all but the first behind a LUT whose value is only
    read in later stages.
    """

    bits: int
    cells: int


@dataclass(frozen=True)
class _Readers:
    """`source` (E,) node ids and `reader` (E,) LUTs of all connections; `leaves` (n_nodes,) bool
    marks nodes that are outputs as they are, `apart` (A,) nodes whose complement is made apart."""

    source: _Index
    reader: _Index
    leaves: npt.NDArray[np.bool_]
    apart: _Index

    @staticmethod
    def of(net: LutNetlist) -> _Readers:
        reader, slot = np.nonzero(net.fanin > 0)
        apart = complements_apart(net)
        is_apart = np.zeros(net.n_nodes, bool)
        is_apart[apart] = True
        node, odd = net.outputs >> 1, (net.outputs & 1).astype(bool)
        leaves = np.zeros(net.n_nodes, bool)
        leaves[node[~odd | ~is_apart[node]]] = True
        leaves[0] = False
        return _Readers(net.fanin[reader, slot].astype(np.int64), reader, leaves, apart)

    def extreme(
        self, ufunc: np.ufunc, values: _Index, start: int, of_output: int | None = None
    ) -> _Index:
        """(n_nodes,) int64: `ufunc` over the `values` (G,) of all readers of each node."""
        result = np.full(len(self.leaves), start, np.int64)
        ufunc.at(result, self.source, values[self.reader])
        if of_output is not None:
            result[self.leaves] = of_output
        return result


def slots_for(net: LutNetlist, n_ranks: int) -> int:
    """How many LUTs in a row a stage needs at least, with `n_ranks` ranks of registers."""
    return max(1, -(-net.depth // (n_ranks + 1)))


def stage_depths(net: LutNetlist) -> _Index:
    """(stages,) int64: the most LUTs in a row within each stage, up to the last that has LUTs."""
    depth = np.zeros(net.n_nodes, np.int64)
    stage = np.full(net.n_nodes, -1, np.int64)
    stage[net.first_gate :] = net.stage
    for start, stop in net.levels():
        nodes = slice(net.first_gate + start, net.first_gate + stop)
        fanin = np.maximum(net.fanin[start:stop], 0)
        same = stage[fanin] == stage[nodes, None]
        depth[nodes] = 1 + np.where(same, depth[fanin], 0).max(axis=1, initial=0)
    result = np.zeros(int(net.stage.max(initial=-1)) + 1, np.int64)
    np.maximum.at(result, net.stage, depth[net.first_gate :])
    return result


def count_registers(net: LutNetlist, n_ranks: int) -> RegisterCount:
    """The registers that `write_cells` puts between the stages of `net` for `n_ranks` ranks."""
    readers = _Readers.of(net)
    stage = np.zeros(net.n_nodes, np.int64)
    stage[net.first_gate :] = net.stage
    of_luts = net.stage.astype(np.int64)
    last = np.maximum(readers.extreme(np.maximum, of_luts, 0, n_ranks), stage)
    first = readers.extreme(np.minimum, of_luts, n_ranks)
    is_free = (last > stage) & (first > stage)
    is_free[: net.first_gate] = False
    apart = n_ranks - stage[readers.apart]
    bits = int((last - stage).sum() + apart.sum())
    return RegisterCount(bits, bits - int(is_free.sum()) - int((apart > 0).sum()))


def _windows(net: LutNetlist, n_slots: int) -> tuple[_Index, _Index]:
    """(G,) int64 each: the first and last slot of every LUT."""
    first = net.node_level[net.first_gate :].astype(np.int64) - 1
    behind = np.full(net.n_nodes, n_slots, np.int64)
    for start, stop in reversed(list(net.levels())):
        here = behind[net.first_gate + start : net.first_gate + stop] - 1
        for operand in net.fanin[start:stop].T:
            used = operand > 0
            np.minimum.at(behind, operand[used], here[used])
    return first, behind[net.first_gate :] - 1


def _spread(count: _Index) -> tuple[_Index, _Index]:
    """For each row as often as `count` says: its number, and 0, 1, .. within it."""
    row = np.repeat(np.arange(len(count)), count)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)


class _Problem:
    """The closure: x[v, k] = LUT v stands in slot k or later, for the slots of its window."""

    def __init__(self, net: LutNetlist, n_ranks: int, slots: int) -> None:
        self.net, self.slots = net, slots
        self.readers = _Readers.of(net)
        self.first, self.last = _windows(net, slots * (n_ranks + 1))
        self.base = np.concatenate([[0], np.cumsum(self.last - self.first)])
        self.n_ranks = n_ranks
        self.closure = Closure(int(self.base[-1]))
        self._order()

    def x(self, lut: _Index, slot: _Index) -> _Index:
        """The node of the graph for x[lut, slot], a slot behind the first of the window."""
        return self.base[lut] + slot - self.first[lut] - 1

    def _order(self) -> None:
        """A slot is behind the one before it, and a LUT behind what it reads."""
        size = self.last - self.first
        lut, place = _spread(np.maximum(size - 1, 0))
        self.closure.implies(self.base[lut] + place + 1, self.base[lut] + place)
        gates = self.readers.source >= self.net.first_gate
        source = self.readers.source[gates] - self.net.first_gate
        reader = self.readers.reader[gates]
        edge, place = _spread(size[source])
        slot = self.first[source[edge]] + 1 + place
        edge, slot = (a[slot + 1 > self.first[reader[edge]]] for a in (edge, slot))
        self.closure.implies(self.x(source[edge], slot), self.x(reader[edge], slot + 1))

    def registers(self, *, for_cells: bool) -> None:
        """Registers as costs: bits alone, or cells before bits.

        A signal costs the ranks from where it is to be had to its last reader. It is to be had
        behind its LUT; as a cell also a rank later, if nobody reads it before.
        """
        net, readers = self.net, self.readers
        needed = readers.leaves.copy()
        needed[readers.source] = True
        of_node = np.flatnonzero(needed[net.first_gate :])
        of_apart = readers.apart[readers.apart >= net.first_gate] - net.first_gate
        for driver in (of_node, of_apart):
            lut, rank = self._ranks(self.first[driver], self.last[driver])
            gain = np.ones(len(lut), np.int64)
            self.closure.gain(self.x(driver[lut], rank * self.slots), gain)
        value = 1
        if for_cells:
            value += _BITS_A_CELL
            far = self.n_ranks * self.slots
            until = readers.extreme(np.minimum, self.last, far)[net.first_gate :]
            self._had(of_node, until[of_node], with_readers=True)
            self._had(of_apart, np.full(len(of_apart), far), with_readers=False)
        # a reader behind a rank costs the register there
        far = self.slots * self.n_ranks
        low = readers.extreme(np.maximum, self.first, 0, far)
        high = readers.extreme(np.maximum, self.last, 0, far)
        signal, rank, base = self._shared(low, high)
        node = base[signal] + rank
        self.closure.cost(node, np.full(len(node), value))
        edge, rank = self._ranks(low[readers.source], high[readers.source])
        reader, shared = readers.reader[edge], base[readers.source[edge]] + rank
        is_open = rank * self.slots <= self.last[reader]
        self.closure.implies(self.x(reader[is_open], rank[is_open] * self.slots), shared[is_open])

    def _ranks(self, low: _Index, high: _Index) -> tuple[_Index, _Index]:
        """Row and rank for all ranks between the slots `low` and `high` of each row."""
        row, place = _spread(np.maximum(high // self.slots - low // self.slots, 0))
        return row, low[row] // self.slots + 1 + place

    def _shared(self, low: _Index, high: _Index) -> tuple[_Index, _Index, _Index]:
        """New nodes for all ranks between slots: row, rank, and what to add to the rank of a row
        for the number of its node."""
        row, rank = self._ranks(low, high)
        start = self.closure.add(len(row))
        count = np.bincount(row, minlength=len(low))
        return row, rank, start + np.cumsum(count) - count - low // self.slots - 1

    def _had(self, driver: _Index, until: _Index, *, with_readers: bool) -> None:
        """Nodes that say from which rank on the signals of LUTs are to be had, `until` (a slot) at
        the latest: not before the LUT, and at most one rank behind it."""
        slots, first = self.slots, self.first[driver]
        until = np.minimum(self.last[driver] + slots, until)
        row, rank, base = self._shared(first, until)
        node, lut, slot = base[row] + rank, driver[row], rank * slots
        self.closure.gain(node, np.full(len(node), _BITS_A_CELL))
        behind = slot <= self.last[lut]
        self.closure.implies(self.x(lut[behind], slot[behind]), node[behind])
        before = slot - slots > self.first[lut]
        self.closure.implies(node[before], self.x(lut[before], slot[before] - slots))
        if not with_readers:
            return
        place = np.full(self.net.n_luts, -1, np.int64)
        place[driver] = np.arange(len(driver))
        gates = self.readers.source >= self.net.first_gate
        source = place[self.readers.source[gates] - self.net.first_gate]
        edge, rank = self._ranks(first[source], until[source])
        reader = self.readers.reader[gates][edge]
        is_open = rank * slots > self.first[reader]
        node, reader, slot = (a[is_open] for a in (base[source[edge]] + rank, reader, rank * slots))
        self.closure.implies(node, self.x(reader, slot))

    def solve(self) -> LutNetlist:
        """The netlist with the stages of a best closure."""
        chosen = self.closure.solve()[: self.base[-1]]
        behind = np.concatenate([[0], np.cumsum(chosen)])
        slot = self.first + behind[self.base[1:]] - behind[self.base[:-1]]
        return self.net.with_(stage=(slot // self.slots).astype(np.int16))


def staging(
    net: LutNetlist, n_ranks: int, *, slots: int | None = None, for_cells: bool = False
) -> LutNetlist:
    """`net` with its LUTs in ``n_ranks + 1`` stages and the fewest registers between them.

    No stage is deeper than `slots` LUTs, by default as few as the depth allows. With `for_cells`
    a register that takes a logic cell of its own (`RegisterCount.cells`) weighs 16 more than one
    that shares its cell with a LUT: what is least is ``bits + 16 * cells``. Stages that `net` has
    are replaced; without ranks all are 0.
    Raises InputError for ranks below 0, or slots that cannot hold the depth.
    """
    least = slots_for(net, max(n_ranks, 0))
    slots = least if slots is None else slots
    if n_ranks < 0 or slots < least:
        raise InputError(
            f"{n_ranks} ranks of registers with {slots} LUTs a stage cannot hold the depth of "
            f"{net.depth} LUTs; {least} a stage are needed, and ranks from 0 on"
        )
    if n_ranks == 0 or not net.n_luts:
        return net.with_(stage=np.zeros(net.n_luts, np.int16)) if net.stage.any() else net
    problem = _Problem(net, n_ranks, slots)
    problem.registers(for_cells=for_cells)
    return problem.solve()
