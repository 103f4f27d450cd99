"""Make netlists: one gate at a time for tests, whole columns at once for everything else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, Sites
from gate2hw.ir.verify import verify_netlist

__all__ = ["NetlistBuilder", "from_columns", "relevel"]


class NetlistBuilder:
    """Build a small netlist gate by gate; inputs are nodes 1..n_inputs, node 0 is constant 0."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self._tt: list[int] = []
        self._in0: list[int] = []
        self._in1: list[int] = []

    def gate(self, tt: int, a: int, b: int) -> int:
        """Append the gate f(a, b) with truth table `tt` and return its node id."""
        node = 1 + self.n_inputs + len(self._tt)
        if not 0 <= tt <= 15:
            raise IRError(f"node {node}: truth table {tt} is outside 0..15")
        for slot, operand in enumerate((a, b)):
            if not 0 <= operand < node:
                raise IRError(f"node {node}: input {slot} reads node {operand}, not below it")
        self._tt.append(tt)
        self._in0.append(a)
        self._in1.append(b)
        return node

    def build(
        self,
        outputs: npt.ArrayLike,
        *,
        head: Head | None = None,
        encoder: Encoder | None = None,
        names: Names | None = None,
        digest: str = "",
    ) -> Netlist:
        """Return the netlist with the given output literals (``2*node + complement``).

        Nodes are renumbered level by level.
        """
        return from_columns(
            self.n_inputs,
            np.array(self._tt, np.uint8),
            np.array(self._in0, np.int32),
            np.array(self._in1, np.int32),
            np.asarray(outputs, np.int64),
            head=head,
            encoder=encoder,
            names=names,
            digest=digest,
        )


def _find_blocks(
    first_gate: int, highest: npt.NDArray[np.int32], max_blocks: int
) -> npt.NDArray[np.int64] | None:
    """Cut gates in topological order into blocks that read only earlier blocks; None if too many.

    `highest` (G,) int32 is the highest node that each gate reads. A block is as long as possible.
    """
    reach = np.maximum.accumulate(highest)
    ptr = [0]
    while ptr[-1] < len(highest):
        if len(ptr) > max_blocks:
            return None
        # a key of the array's own type: another would convert the whole array at each step
        ptr.append(int(np.searchsorted(reach, np.int32(first_gate + ptr[-1]))))
    return np.array(ptr, np.int64)


def _asap_levels(
    first_gate: int,
    in0: npt.NDArray[np.int32],
    in1: npt.NDArray[np.int32],
    block_ptr: npt.NDArray[np.int64] | None,
) -> npt.NDArray[np.int32]:
    """(G,) int32: level (1..L) of each gate, as soon as possible.

    With `block_ptr`, gates of a block read only gates of blocks before: one step a block.
    Without, gates are in topological order; blocks are looked for, and only an order without
    long blocks (depth first, say) is walked gate by gate.
    """
    n_gates = len(in0)
    if block_ptr is None:
        highest = np.maximum(in0, in1).astype(np.int32, copy=False)
        above = highest >= np.arange(first_gate, first_gate + n_gates)
        if above.any():
            gate = int(np.flatnonzero(above)[0])
            raise IRError(
                f"node {first_gate + gate} reads node {highest[gate]}, which is not below it"
            )
        block_ptr = _find_blocks(first_gate, highest, max_blocks=64 + n_gates // 32)
    level = np.zeros(first_gate + n_gates, np.int32)
    if block_ptr is None:
        plain = level.tolist()
        pairs = zip(in0.tolist(), in1.tolist(), strict=True)
        for node, (a, b) in enumerate(pairs, start=first_gate):
            plain[node] = 1 + max(plain[a], plain[b])
        return np.array(plain[first_gate:], np.int32)
    ptr = block_ptr.tolist()
    for start, stop in itertools.pairwise(ptr):
        a, b = in0[start:stop], in1[start:stop]
        if stop > start and max(int(a.max()), int(b.max())) >= first_gate + start:
            raise IRError(f"gates {start}..{stop - 1} read gates that are not below them")
        level[first_gate + start : first_gate + stop] = 1 + np.maximum(level[a], level[b])
    return level[first_gate:]


def _check_range(name: str, column: npt.NDArray[Any], limit: int) -> None:
    if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
        at = int(np.flatnonzero((column < 0) | (column >= limit))[0])
        raise IRError(f"{name}[{at}] is {column[at]}, allowed are 0..{limit - 1}")


def from_columns(
    n_inputs: int,
    tt: npt.NDArray[np.uint8],
    in0: npt.NDArray[np.int32],
    in1: npt.NDArray[np.int32],
    outputs: npt.NDArray[np.int64],
    *,
    head: Head | None = None,
    encoder: Encoder | None = None,
    origin: npt.NDArray[np.int32] | None = None,
    sites: Sites | None = None,
    names: Names | None = None,
    digest: str = "",
    block_ptr: npt.NDArray[np.int64] | None = None,
) -> Netlist:
    """Return a verified netlist from gates in topological order, put into ASAP levels.

    `tt`, `in0`, `in1` are (G,) columns whose node ids follow the given order; `block_ptr` (B+1,)
    int64, if given, promises that gates of a block read only gates of earlier blocks (levels of
    an old netlist do) and makes levelling vectorised. The order within a level is kept.
    Raises IRError where a gate reads what is not below it.
    """
    first_gate = 1 + n_inputs
    n_gates = len(tt)
    if n_inputs < 0 or first_gate + n_gates > 2**31:
        raise IRError(f"{n_inputs} inputs and {n_gates} gates do not fit 32-bit node ids")
    if not len(in0) == len(in1) == n_gates:
        raise IRError(f"{n_gates} truth tables for {len(in0)} and {len(in1)} operands")
    _check_range("in0", in0, first_gate + n_gates)
    _check_range("in1", in1, first_gate + n_gates)
    _check_range("outputs", outputs, 2 * (first_gate + n_gates))
    if block_ptr is not None and (
        not len(block_ptr)
        or block_ptr[0] != 0
        or block_ptr[-1] != n_gates
        or (np.diff(block_ptr) < 0).any()
    ):
        raise IRError(f"block_ptr must rise from 0 to the number of gates, {n_gates}")
    level = _asap_levels(first_gate, in0, in1, block_ptr)
    sizes = np.bincount(level, minlength=1)[1:]
    level_ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if n_gates and (level[1:] < level[:-1]).any():
        order = np.argsort(level, kind="stable")
        new_node = np.empty(first_gate + n_gates, np.int32)
        new_node[:first_gate] = np.arange(first_gate, dtype=np.int32)
        new_node[first_gate + order] = np.arange(first_gate, first_gate + n_gates, dtype=np.int32)
        tt = tt[order]
        in0, in1 = new_node[in0[order]], new_node[in1[order]]
        outputs = (new_node[outputs >> 1].astype(np.int64) << 1) | (outputs & 1)
        if origin is not None and len(origin) not in (0, n_gates):
            raise IRError(f"{len(origin)} origins for {n_gates} gates")
        origin = None if origin is None or not len(origin) else origin[order]
    net = Netlist(
        n_inputs,
        tt,
        in0,
        in1,
        level_ptr,
        outputs,
        head=head or Head.none(len(outputs)),
        encoder=encoder,
        origin=np.zeros(0, np.int32) if origin is None else origin,
        sites=sites or Sites(),
        names=names or Names(),
        digest=digest,
    )
    verify_netlist(net)
    return net


def relevel(net: Netlist, **changes: Any) -> Netlist:
    """Return `net`, some columns replaced, with its gates in ASAP levels again.

    The old levels must still be a topological order of blocks: gates may have moved to lower
    inputs, but none may read its own level or above.
    """
    columns: dict[str, Any] = {
        name: changes.pop(name, getattr(net, name))
        for name in ("tt", "in0", "in1", "outputs", "head", "encoder", "origin", "sites", "names")
    }
    block_ptr = changes.pop("level_ptr", net.level_ptr)
    if changes:
        raise TypeError(f"unknown columns: {sorted(changes)}")
    args = [columns.pop(name) for name in ("tt", "in0", "in1", "outputs")]
    return from_columns(net.n_inputs, *args, **columns, digest=net.digest, block_ptr=block_ptr)
