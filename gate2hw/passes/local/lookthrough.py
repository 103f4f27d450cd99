"""lookthrough: the identities of two-input gates, seen through the gates that a gate reads.

Every gate is seen together with the two gates below it (`window`): x & (x | y) and the like, two
gates on the same operands, a shared operand that makes part of a gate redundant, whether above
(the gate reads past it) or below (the operand that nobody else reads goes away).
"""

from __future__ import annotations

from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.rewrite import blocks, until_same
from gate2hw.passes.local.window import Nodes, resolve, settle

__all__ = ["lookthrough"]


def _once(net: Netlist) -> Netlist:
    """One look at all gates, without dead gates after; the same object if nothing changed."""
    nodes = Nodes(net)
    for start, stop in blocks(net):
        settle(nodes, resolve(nodes, start, stop))
    result = nodes.finish()
    return net if result is net else dce(result)


def lookthrough(net: Netlist) -> Netlist:
    """Return `net` in normal form with each gate on the lowest signals that decide it.

    The same object if nothing changed. Never more gates or levels; repeated until nothing changes
    (merging equal gates, `strash`, may open more). Dead gates are removed where gates changed.
    """
    return until_same(_once, net if is_normal(net) else fold(net))
