"""dce: gates that no output depends on are removed; inputs keep their numbers, read or not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.rewrite import compact

__all__ = ["dce", "dead_inputs"]


def _live(net: Netlist) -> npt.NDArray[np.bool_]:
    """(n_nodes,) bool: which nodes are in the cone of some output."""
    live = np.zeros(net.n_nodes, np.bool_)
    live[net.outputs >> 1] = True
    first = net.first_gate
    for start, stop in reversed(list(net.levels())):
        read = live[first + start : first + stop]
        live[net.in0[start:stop][read]] = True
        live[net.in1[start:stop][read]] = True
    return live


def dce(net: Netlist) -> Netlist:
    """Return `net` without dead gates; the same object if none are.

    A gate counts as reading both its inputs: `fold` first, so that it does.
    """
    keep = _live(net)[net.first_gate :]
    if keep.all():
        return net
    return compact(net, keep, net.tt, net.in0, net.in1, net.outputs)


def dead_inputs(net: Netlist) -> npt.NDArray[np.int64]:
    """(D,) int64: rising numbers i of the inputs (node 1 + i) that no output depends on."""
    return np.flatnonzero(~_live(net)[1 : net.first_gate])
