"""The best closed set of nodes of a graph, by a minimum cut."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError

__all__ = ["Closure"]

_UNLIMITED: Final = 1 << 29
_Index = npt.NDArray[np.int64]


class Closure:
    """A choice among nodes 0..n-1, each with a gain or cost, where some imply others.

    `solve` gives the choice of greatest gain less cost that is closed: with a node it holds all
    that it implies (Picard, Maximal closure of a graph, Management Science 22, 1976). Gains and
    costs are whole numbers; `solve` raises InputError where gains add up to 2**29 or more.
    """

    def __init__(self, n_nodes: int = 0) -> None:
        self.n_nodes = n_nodes
        self._arcs: list[tuple[_Index, _Index]] = []
        self._gains: list[tuple[_Index, _Index]] = []
        self._costs: list[tuple[_Index, _Index]] = []

    def add(self, n_nodes: int) -> int:
        """Add nodes; returns the number of the first."""
        self.n_nodes += n_nodes
        return self.n_nodes - n_nodes

    def implies(self, node: _Index, other: _Index) -> None:
        """Who chooses `node[i]` chooses `other[i]`."""
        self._arcs.append((node, other))

    def gain(self, node: _Index, value: _Index) -> None:
        """Choosing `node[i]` gains `value[i]` >= 0."""
        self._gains.append((node, value))

    def cost(self, node: _Index, value: _Index) -> None:
        """Choosing `node[i]` costs `value[i]` >= 0."""
        self._costs.append((node, value))

    def solve(self) -> npt.NDArray[np.bool_]:
        """(n_nodes,) bool: the smallest of the best choices, the same on every run."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        # one sum a node: what it gains and what it costs meet on the way through it
        balance = np.zeros(self.n_nodes, np.int64)
        for sign, terms in ((1, self._gains), (-1, self._costs)):
            for node, value in terms:
                np.add.at(balance, node, sign * value)
        source, sink = self.n_nodes, self.n_nodes + 1
        tail, head = (
            np.concatenate([pair[end] for pair in self._arcs] or [np.zeros(0, np.int64)])
            for end in (0, 1)
        )
        gains, costs = np.flatnonzero(balance > 0), np.flatnonzero(balance < 0)
        total = int(balance[gains].sum())
        if total >= _UNLIMITED:
            raise InputError(
                f"gains of {total:,} are more than the {_UNLIMITED - 1:,} that a minimum cut takes "
                "here; ask for fewer ranks of registers"
            )
        if not len(gains):
            return np.zeros(self.n_nodes, bool)
        arcs = (
            np.concatenate([np.full(len(tail), _UNLIMITED), balance[gains], -balance[costs]]),
            (
                np.concatenate([tail, np.full(len(gains), source), costs]).astype(np.int32),
                np.concatenate([head, gains, np.full(len(costs), sink)]).astype(np.int32),
            ),
        )
        size = self.n_nodes + 2
        capacity = coo_array(arcs, shape=(size, size)).tocsr()
        # the same implication again is one; added up, four would not fit 32 bits
        capacity.data = np.minimum(capacity.data, _UNLIMITED).astype(np.int32)
        flow = maximum_flow(capacity, source, sink, method="dinic").flow
        residual = capacity - flow
        residual.eliminate_zeros()
        reached = breadth_first_order(residual, source, return_predecessors=False)
        chosen = np.zeros(size, bool)
        chosen[reached] = True
        return chosen[: self.n_nodes]
