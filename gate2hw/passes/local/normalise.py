"""Normal form again after a tool: folded, hashed, without dead gates and left-over prefix gates."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.gates import TT_A, TT_B
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.rewrite import substitute, until_same
from gate2hw.passes.local.strash import strash

__all__ = ["better", "drop_prefix", "normalise"]


def _prefix_rules() -> npt.NDArray[np.uint8]:
    """(16,) uint8: TT_A, TT_B or 0 where f is wire a, wire b or constant unless b alone is 1.

    255 where it is a gate all the same. For functions with f(0, 0) = 0.
    """
    rules = np.full(16, 255, np.uint8)
    for tt in range(0, 16, 2):
        for wanted in (0, int(TT_A), int(TT_B)):
            if (tt ^ wanted) & 0b1101 == 0:
                rules[tt] = wanted
    return rules


_RULES: Final = _prefix_rules()


def drop_prefix(net: Netlist) -> Netlist:
    """Return `net`, in normal form, without gates on two bits of a feature that are a wire of one.

    What `ir.care.legalised` puts in front (t OR a rarer t) goes away: on legal codes it is t.
    Returns the same object where there is no such gate, or no encoder.
    """
    if net.encoder is None:
        return net
    first, feature = net.first_gate, net.encoder.feature
    gates = np.flatnonzero((net.in0 > 0) & (net.in1 < first))
    gates = gates[feature[net.in0[gates] - 1] == feature[net.in1[gates] - 1]]
    if not len(gates):
        return net
    a, b = net.in0[gates].astype(np.int64), net.in1[gates].astype(np.int64)
    # thresholds rise within a feature, so the later bit implies the earlier
    rule = _RULES[net.tt[gates]]
    lit = 2 * np.arange(net.n_nodes)
    for wanted, literal in ((0, 0 * a), (TT_A, 2 * a), (TT_B, 2 * b)):
        hit = rule == wanted
        lit[first + gates[hit]] = literal[hit]
    return substitute(net, lit)


def normalise(net: Netlist, *, care: CareSet = "thermometer") -> Netlist:
    """Return `net` folded, hashed and without dead gates, to a fixed point; the same object if so.

    With care "thermometer", also without the gates of `drop_prefix`.
    """
    check_care(care)

    def once(net: Netlist) -> Netlist:
        net = dce(fold(strash(fold(net))))
        return drop_prefix(net) if care == "thermometer" else net

    return until_same(once, net)


def better(new: Netlist, old: Netlist) -> bool:
    """Whether `new` has fewer gates than `old`, or as many and fewer levels."""
    return (new.n_gates, new.depth) < (old.n_gates, old.depth)
