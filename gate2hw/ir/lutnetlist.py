"""LutNetlist: what a target gets after mapping, tables of up to six inputs (DESIGN.md, part 2).

Address convention: input 0 is the **most** significant address bit. Bit
``sum(x_i << (k - 1 - i))`` of `init` is f(x_0 .. x_{k-1}), where k is the number of inputs that
the LUT uses; for k = 2 that is the `tt` of `gates.py`. `lsb_first_init` gives the order of BLIF,
SB_LUT4 and the ECP5's LUT4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError
from gate2hw.ir.netlist import Circuit, Encoder, Head, Names, Netlist, Sites, frozen_array
from gate2hw.ir.store import LUTNETLIST_FORMAT, load_circuit, save_circuit
from gate2hw.ir.verify import (
    first_bad,
    gate_text,
    verify_columns,
    verify_ends,
    verify_netlist,
    verify_operands,
)

__all__ = [
    "MAX_LUT_INPUTS",
    "LutNetlist",
    "from_netlist",
    "load_lutnetlist",
    "lsb_first_init",
    "save_lutnetlist",
    "table_mask",
    "to_netlist",
]

MAX_LUT_INPUTS = 6


@dataclass(frozen=True, eq=False)
class LutNetlist(Circuit):
    """A flat netlist of LUTs; node ids, levels, outputs, head, encoder, origin as in `Netlist`.

    ``init`` (G,) uint64 tables, ``fanin`` (G, K) int32 node ids of lower levels, unused slots -1
    and last, K = 1..6; ``stage`` (G,) int16, the pipeline stage: the number of register ranks
    between the inputs and the LUT's output, never falling along an edge.
    """

    n_inputs: int
    init: npt.NDArray[np.uint64]
    fanin: npt.NDArray[np.int32]
    level_ptr: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]
    head: Head
    encoder: Encoder | None = None
    origin: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    sites: Sites = field(default_factory=Sites)
    names: Names = field(default_factory=Names)
    digest: str = ""
    stage: npt.NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))

    def __post_init__(self) -> None:
        object.__setattr__(self, "init", frozen_array(self.init, np.uint64))
        object.__setattr__(self, "fanin", frozen_array(self.fanin, np.int32))
        stage = self.stage
        if len(stage) == 0 and len(self.init):
            stage = np.zeros(len(self.init), np.int16)
        object.__setattr__(self, "stage", frozen_array(stage, np.int16))
        self._freeze_common(len(self.init))

    @property
    def n_gates(self) -> int:
        """G, the number of LUTs."""
        return len(self.init)

    @property
    def n_luts(self) -> int:
        """G, under the name that reports use."""
        return self.n_gates

    @property
    def k(self) -> int:
        """K, the most inputs that a LUT may have."""
        return int(self.fanin.shape[1])

    @cached_property
    def n_used(self) -> npt.NDArray[np.int64]:
        """(G,) int64: how many inputs each LUT uses."""
        used: npt.NDArray[np.int64] = (self.fanin >= 0).sum(axis=1, dtype=np.int64)
        used.setflags(write=False)
        return used

    def _columns(self) -> list[npt.NDArray[Any]]:
        return [self.init, self.fanin, self.stage]

    def _operands(self) -> list[npt.NDArray[np.int32]]:
        return [column[column >= 0] for column in self.fanin.T]

    def verify(self) -> None:
        """Raise IRError, naming the LUT and its neuron, where a rule is broken."""
        _verify(self)


def table_mask(n_used: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """uint64 masks with the ``2**k`` bits set that a table of k inputs may use, k = 0..6."""
    bits = np.uint64(1) << np.asarray(n_used).astype(np.uint64)
    mask: npt.NDArray[np.uint64] = np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> (np.uint64(64) - bits)
    return mask


def lsb_first_init(
    init: npt.ArrayLike, n_used: npt.ArrayLike, width: int | None = None
) -> npt.NDArray[np.uint64]:
    """Tables with input 0 as the **least** significant address bit: BLIF, SB_LUT4, LUT4.

    `init` and `n_used` broadcast; with `width`, each table is repeated to fill a LUT of `width`
    inputs, so that the unused (highest) pins do not matter whatever they are tied to. Without
    `width` the function is its own inverse. Raises IRError for n_used outside 0..6 or above width.
    """
    tables, used = np.broadcast_arrays(np.asarray(init, np.uint64), np.asarray(n_used, np.int64))
    limit = MAX_LUT_INPUTS if width is None else width
    if used.size and not (used.min() >= 0 and used.max() <= limit <= MAX_LUT_INPUTS):
        raise IRError(f"a LUT of {used.max()} inputs does not fit {limit} (0..{MAX_LUT_INPUTS})")
    result = np.zeros(tables.shape, np.uint64)
    for k in range(MAX_LUT_INPUTS + 1):
        rows = used == k
        if not rows.any():
            continue
        n_bits = 1 << (k if width is None else width)
        for address in range(n_bits):
            source = sum((address >> i & 1) << (k - 1 - i) for i in range(k))
            bit = (tables[rows] >> np.uint64(source)) & np.uint64(1)
            result[rows] |= bit << np.uint64(address)
    return result


def from_netlist(net: Netlist, k: int = 4) -> LutNetlist:
    """Return `net` with each gate as a LUT of its own, all in stage 0.

    This is the unmapped start that a technology mapper improves on: same nodes, same levels,
    no gate merged with another. `k` is the width of `fanin`, 2..6.
    """
    if not 2 <= k <= MAX_LUT_INPUTS:
        raise IRError(f"k = {k}: LUTs that hold a gate have 2..{MAX_LUT_INPUTS} inputs")
    fanin = np.full((net.n_gates, k), -1, np.int32)
    fanin[:, 0], fanin[:, 1] = net.in0, net.in1
    luts = LutNetlist(
        net.n_inputs,
        net.tt.astype(np.uint64),
        fanin,
        net.level_ptr,
        net.outputs,
        head=net.head,
        encoder=net.encoder,
        origin=net.origin,
        sites=net.sites,
        names=net.names,
        digest=net.digest,
    )
    luts.verify()
    return luts


def to_netlist(luts: LutNetlist) -> Netlist:
    """Return `luts`, of at most two inputs each, as gates: the inverse of `from_netlist`.

    Same nodes, levels, outputs; a LUT of one input becomes a wire or inverter that reads it twice.
    Stages are dropped. Raises IRError where a LUT has more than two inputs; those are gates only
    after an expansion.
    """
    if (luts.n_used > 2).any():
        gate = first_bad(luts.n_used > 2)
        raise IRError(
            f"{gate_text(luts, gate)}: a LUT of {luts.n_used[gate]} inputs is not one gate"
        )
    single = luts.n_used < 2
    # f(0) to addresses 0 and 1, f(1) to 2 and 3
    low, high = luts.init & np.uint64(1), (luts.init >> np.uint64(1)) & np.uint64(1)
    tt = np.where(single, low * np.uint64(3) + high * np.uint64(12), luts.init)
    in1 = luts.fanin[:, min(1, luts.k - 1)]
    net = Netlist(
        luts.n_inputs,
        tt.astype(np.uint8),
        luts.fanin[:, 0],
        np.where(single, luts.fanin[:, 0], in1),
        luts.level_ptr,
        luts.outputs,
        head=luts.head,
        encoder=luts.encoder,
        origin=luts.origin,
        sites=luts.sites,
        names=luts.names,
        digest=luts.digest,
    )
    verify_netlist(net)
    return net


def save_lutnetlist(path: Path | str, net: LutNetlist) -> None:
    """Write `net` as .npz with every column; InputError where the path cannot be written."""
    columns: dict[str, npt.NDArray[Any]] = {
        "init": net.init,
        "fanin": net.fanin,
        "stage": net.stage,
    }
    save_circuit(path, LUTNETLIST_FORMAT, net, columns)


def load_lutnetlist(path: Path | str) -> LutNetlist:
    """Read and verify a LUT netlist; ModelFileError where it is truncated, foreign or altered."""

    def make(**columns: Any) -> LutNetlist:
        net = LutNetlist(**columns)
        net.verify()
        return net

    columns = ("init", "fanin", "stage")
    return load_circuit(path, "LUT netlist", LUTNETLIST_FORMAT, columns, make)


def _verify(net: LutNetlist) -> None:
    """Raise IRError where `net` breaks a rule: those of a Netlist, and tables, slots, stages."""
    verify_columns(net, {"init": net.init, "fanin": net.fanin, "stage": net.stage})
    if not 1 <= net.k <= MAX_LUT_INPUTS:
        raise IRError(f"netlist: LUTs have {net.k} inputs, allowed are 1..{MAX_LUT_INPUTS}")
    unused = net.fanin == -1
    bad = unused[:, 0] | (unused[:, :-1] & ~unused[:, 1:]).any(axis=1)
    if bad.any():
        gate = first_bad(bad)
        raise IRError(
            f"{gate_text(net, gate)}: fanin {net.fanin[gate].tolist()} must hold at least one "
            "node, unused slots (-1) last"
        )
    columns = [(f"fanin {slot}", net.fanin[:, slot], unused[:, slot]) for slot in range(net.k)]
    verify_operands(net, [*columns])
    bad = (net.init & ~table_mask(net.n_used)) != 0
    if bad.any():
        gate = first_bad(bad)
        raise IRError(
            f"{gate_text(net, gate)}: table {int(net.init[gate]):#x} has more than "
            f"{1 << int(net.n_used[gate])} bits"
        )
    node_stage = np.zeros(net.n_nodes, np.int16)
    node_stage[net.first_gate :] = net.stage
    earliest = node_stage[np.where(unused, 0, net.fanin)].max(axis=1, initial=0)
    bad = net.stage < earliest
    if bad.any():
        gate = first_bad(bad)
        raise IRError(
            f"{gate_text(net, gate)}: stage {net.stage[gate]} is before stage {earliest[gate]} "
            "of what it reads"
        )
    verify_ends(net)
