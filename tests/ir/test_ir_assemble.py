"""Definitions in any order to a netlist: against plain evaluation, and what it refuses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.ir import assemble as module
from gate2hw.ir.assemble import Definitions, UnsoundError, assemble
from gate2hw.ir.simulate import pack, simulate, unpack


def evaluate(n_inputs, rows, outputs):
    """Outputs on all inputs; rows are (target, tt, a, b), inputs are signals 0..n_inputs-1."""
    bits = list(itertools.product([0, 1], repeat=n_inputs))
    found = []
    for bit in bits:
        value = dict(enumerate(bit))
        value[-1] = 0
        todo = list(rows)
        while todo:
            target, tt, a, b = todo.pop(0)
            if a in value and b in value:
                value[target] = tt >> (2 * value[a] + value[b]) & 1
            else:
                todo.append((target, tt, a, b))
        found.append([value[lit >> 1] ^ (lit & 1) for lit in outputs])
    return np.array(bits, bool), np.array(found, bool)


def definitions(rows):
    return Definitions(*np.array(rows, np.int64).reshape(-1, 4).T)


def random_rows(seed, n_inputs, n):
    """Random functions, wires, inverters and constants, then shuffled."""
    rng = np.random.default_rng(seed)
    rows = []
    for signal in range(n_inputs, n_inputs + n):
        tt = int(rng.integers(16))
        a, b = (-1, -1) if tt in (0, 15) else rng.integers(0, signal, 2).tolist()
        rows.append((signal, tt, a, b))
    return rows


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 30])
@pytest.mark.parametrize("seed", range(6))
def test_equals_plain_evaluation(seed, block, shuffled, monkeypatch):
    """With vectorised blocks and one by one, in order and not."""
    monkeypatch.setattr(module, "_BLOCK", block)
    n_inputs, rows = 4, random_rows(seed, 4, 60)
    if shuffled:
        rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    outputs = np.random.default_rng(seed).integers(0, 2 * 64, 12).tolist()
    net = assemble(64, np.arange(n_inputs), definitions(rows), outputs)
    bits, expected = evaluate(n_inputs, rows, outputs)
    np.testing.assert_array_equal(unpack(simulate(net, pack(bits)), len(bits)), expected)
    # wires, inverters and constants cost nothing
    assert net.n_gates == sum(tt not in (0, 3, 5, 10, 12, 15) for _, tt, _, _ in rows)


def test_a_long_chain_is_not_slow_or_deep():
    n = 30_000
    rows = np.stack([np.arange(1, n + 1), np.full(n, 7), np.arange(n), np.zeros(n)], axis=1)
    net = assemble(n + 1, [0], definitions(rows), [2 * n])
    assert net.depth == n


@pytest.mark.parametrize(
    ("rows", "outputs", "problem", "definition", "signal"),
    [
        ([(2, 8, 0, 3)], [4], "undefined", 0, 3),
        ([(2, 8, 0, 1)], [6], "undefined", -1, 3),
        ([(2, 8, 0, 1), (2, 6, 0, 1)], [4], "twice", 1, 2),
        ([(1, 8, 0, 0)], [2], "input", 0, 1),
        ([(2, 8, 0, 3), (3, 8, 2, 1)], [4], "cycle", 0, 2),
        ([(2, 12, 2, 2)], [4], "cycle", 0, 2),
    ],
)
def test_what_is_not_sound(rows, outputs, problem, definition, signal):
    with pytest.raises(UnsoundError) as caught:
        assemble(4, [0, 1], definitions(rows), outputs)
    error = caught.value
    assert (error.problem, error.definition, error.signal) == (problem, definition, signal)
