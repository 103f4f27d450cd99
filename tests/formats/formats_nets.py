"""Random netlists that no reader may change: real functions of two different signals."""

from __future__ import annotations

import numpy as np

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import is_trivial
from gate2hw.ir.netlist import Head, Netlist

REAL = np.flatnonzero(~is_trivial)


def real_net(seed: int, *, n_inputs: int = 6, n_gates: int = 40, n_outputs: int = 12) -> Netlist:
    """A plain circuit without constants, wires and inverters."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_inputs)
    for gate in range(n_gates):
        a, b = 1 + rng.choice(n_inputs + gate, 2, replace=False)
        builder.gate(int(rng.choice(REAL)), int(a), int(b))
    return builder.build(rng.integers(2, 2 * (1 + n_inputs + n_gates), n_outputs))


def with_head(net: Netlist, seed: int = 0, *, low: int = -3, bias: int = -5) -> Netlist:
    """`net` with three classes, weights from `low`, biases from `bias`."""
    rng = np.random.default_rng(seed)
    n = net.n_outputs
    cuts = np.sort(rng.integers(0, n + 1, 2))
    weight = rng.integers(low, 5, n)
    return net.with_(head=Head(np.array([0, *cuts, n]), weight, rng.integers(bias, 6, 3)))


def wild_net(seed: int, *, n_inputs: int = 5, n_gates: int = 40, n_outputs: int = 12) -> Netlist:
    """A plain circuit with everything: constants, wires, equal operands, unused inputs."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_inputs)
    for gate in range(n_gates):
        a, b = rng.integers(0, 1 + n_inputs + gate, 2)
        builder.gate(int(rng.integers(16)), int(a), int(b))
    return builder.build(rng.integers(0, 2 * (1 + n_inputs + n_gates), n_outputs))
