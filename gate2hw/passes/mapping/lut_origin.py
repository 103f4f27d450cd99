"""Which neuron a LUT came from, when a mapper has forgotten it.

A LUT takes the origin of the gate whose function it computes, found by simulation. Others take
that of a LUT that reads them: they are part of what that one computes.
"""

from __future__ import annotations

import numpy as np

from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import node_words, random_words
from gate2hw.passes.local.origins import signatures

__all__ = ["with_origins"]

N_WORDS = 16
VALUE_WORDS = 2**24


def with_origins(luts: LutNetlist, net: Netlist, *, seed: int = 0) -> LutNetlist:
    """Return `luts`, mapped from `net`, with an origin for each LUT.

    Functions are compared on random inputs, legal ones where there is an encoder; so the origin
    of a LUT is a fact about its values there, not a proof. Where several gates compute the same,
    the lowest is named. A LUT has no origin only where no gate above it has one.
    """
    if not luts.n_luts:
        return luts
    n_words = max(1, min(N_WORDS, VALUE_WORDS // max(net.n_nodes, luts.n_nodes)))
    words = random_words(net, n_words, np.random.default_rng(seed))
    first = net.first_gate
    theirs = signatures(node_words(net, words)[first:])
    mine = signatures(node_words(luts, words)[luts.first_gate :])
    named = np.flatnonzero(net.origin >= 0)
    known, lowest = np.unique(theirs[named], return_index=True)
    lowest = named[lowest]
    place = np.minimum(np.searchsorted(known, mine), max(0, len(known) - 1))
    origin = np.full(luts.n_nodes, -1, np.int64)
    if len(known):
        # a constant has signature 0 and comes from nowhere
        matched = (known[place] == mine) & (mine != 0)
        origin[luts.first_gate :][matched] = net.origin[lowest[place[matched]]]
    driver, output = luts.outputs >> 1, net.outputs >> 1
    of_gate = (driver >= luts.first_gate) & (output >= first)
    origin[driver[of_gate]] = net.origin[output[of_gate] - first]
    for start, stop in reversed(list(luts.levels())):
        here = origin[luts.first_gate + start : luts.first_gate + stop]
        for slot in range(luts.k):
            read = luts.fanin[start:stop, slot]
            rows = np.flatnonzero((read >= luts.first_gate) & (here >= 0))
            rows = rows[origin[read[rows]] < 0]
            origin[read[rows]] = here[rows]
    return luts.with_(origin=origin[luts.first_gate :].astype(np.int32))
