"""care_rewrite: gates become what they are on the legal codes of the encoder, without SAT.

Bits of one feature imply each other (`ir.care`): their AND is the rarer one, their OR the commoner
one, ``rarer & ~commoner`` is 0. The same holds for gates that bound features (`bounds`): what is
impossible for the two operands of a gate and their operands is taken out of its window, and the
gate is rewritten to the cheapest function that agrees on the rest. Each gate keeps its function on
legal codes, so rewrites cannot disturb each other.
"""

from __future__ import annotations

from functools import partial

from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.passes.local.bounds import Bounds
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.rewrite import blocks, until_same
from gate2hw.passes.local.window import Nodes, resolve, settle, stays

__all__ = ["care_rewrite"]


def _sweep(net: Netlist, encoder: Encoder) -> Netlist:
    """One sweep from the inputs up, without dead gates; the same object if nothing changed."""
    nodes = Nodes(net)
    bounds = Bounds(encoder, net.n_nodes)
    for start, stop in blocks(net):
        gate = resolve(nodes, start, stop)
        settle(nodes, gate, bounds.tell)
        gate = stays(nodes, gate)
        bounds.learn(
            gate, nodes.tt[gate], nodes.leaf0[gate], nodes.leaf1[gate], nodes.possible[gate]
        )
    result = nodes.finish()
    return net if result is net else dce(result)


def care_rewrite(net: Netlist, *, care: CareSet = "thermometer") -> Netlist:
    """Return `net` in normal form, rewritten with the care set; the same object if nothing changed.

    Never more gates or levels; repeated until nothing changes. Dead gates are removed where gates
    changed. With care "none", or without an encoder, always the same object.
    """
    if check_care(care) == "none" or net.encoder is None:
        return net
    start = net if is_normal(net) else fold(net)
    return until_same(partial(_sweep, encoder=net.encoder), start)
