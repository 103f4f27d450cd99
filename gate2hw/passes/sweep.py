"""sweep: signals that are equal or complement on all legal codes become one (SAT sweeping).

Candidates are signals that agree on some thousand simulated inputs; ABC proves them or they stay.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import node_words
from gate2hw.passes.local.normalise import normalise
from gate2hw.passes.local.origins import signatures
from gate2hw.passes.local.rewrite import substitute
from gate2hw.passes.partition import map_parts
from gate2hw.passes.proof.sat_pairs import diverse_words, prove_pairs

__all__ = ["candidates", "sweep"]

N_WORDS: Final = 8
N_ROUNDS: Final = 8
"""8 rounds of 8 words: 4,096 inputs, without the values of all nodes on all of them in memory."""
PART_GATES: Final = 100_000
MAX_GATES: Final = 2_000_000

Nodes = npt.NDArray[np.int64]


def candidates(net: Netlist, *, care: CareSet, seed: int = 0) -> npt.NDArray[np.int64]:
    """(n_nodes,) int64: the lowest node's literal that each node agrees with in simulation.

    ``2*n`` for a node n that agrees with no lower one; constants are node 0.
    """
    rng = np.random.default_rng(seed)
    key = np.zeros(net.n_nodes, np.uint64)
    phase = np.zeros(net.n_nodes, np.uint64)
    for number in range(N_ROUNDS):
        value = node_words(net, diverse_words(net, N_WORDS, rng, care=care))
        if number == 0:
            phase = value[:, 0] & np.uint64(1)
        value ^= np.uint64(0) - phase[:, None]
        key = (key * np.uint64(0x9E37_79B9_7F4A_7C15)) ^ signatures(value, number)
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[True], key[order][1:] != key[order][:-1]])
    lowest = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    lit = np.empty(net.n_nodes, np.int64)
    lit[order] = 2 * lowest + (phase[order] ^ phase[lowest]).astype(np.int64)
    lit[: net.first_gate] = 2 * np.arange(net.first_gate)
    return lit


def _sweep_part(net: Netlist, *, care: CareSet) -> Netlist:
    lit = candidates(net, care=care)
    node = np.flatnonzero(lit >> 1 != np.arange(net.n_nodes))
    proved = prove_pairs(net, 2 * node, lit[node], care=care)
    merged = 2 * np.arange(net.n_nodes)
    merged[node[proved]] = lit[node[proved]]
    return substitute(net, merged)


def sweep(net: Netlist, *, care: CareSet = "thermometer") -> Netlist:
    """Return `net` with equal and complement signals merged into the lowest of them.

    The same object where there are none and `net` is in normal form, or where it has more than
    ``MAX_GATES`` gates; above ``PART_GATES`` it is done in parts. Never more gates or levels. The
    result is in normal form; with care "thermometer" it is equal on legal codes. Raises ToolError
    where ABC is missing or fails.
    """
    check_care(care)
    if net.n_gates > MAX_GATES:
        return net
    start = normalise(net, care=care)
    merged = map_parts(start, partial(_sweep_part, care=care), max_gates=PART_GATES)
    return start if merged is start else normalise(merged, care=care)
