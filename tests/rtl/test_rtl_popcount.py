"""Popcount and argmax against numpy, in Amaranth's simulator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from amaranth.sim import Simulator

from gate2hw.rtl.argmax import Argmax
from gate2hw.rtl.popcount import Popcount

FORMS = ["adder", "compressor", "gates"]


def evaluate(dut, port, result, values):
    """Drive `port` with each of `values`; return what `result` shows."""
    found = []

    async def bench(ctx):
        for value in values:
            ctx.set(port, int(value))
            found.append(ctx.get(result))

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("weights", "constant"),
    [
        *(((1,) * n, 0) for n in range(1, 10)),
        ((1,) * 8, 5),
        ((1, 1, 1, 1, 1), -3),
        ((1, -1, 1, -1, -1, 1), 0),
        ((3, 1, 2, -4, 0, 7), -2),
        ((5,), 0),
        ((-1,), 0),
        ((), 6),
        ((), -1),
        ((0, 0), 0),
    ],
)
def test_popcount_exhaustive(form, weights, constant):
    low = constant + sum(min(w, 0) for w in weights)
    high = constant + sum(max(w, 0) for w in weights)
    width = max(1, high.bit_length(), 1 + max((-low - 1).bit_length(), high.bit_length()))
    dut = Popcount(weights, constant, width, form)
    values = np.arange(1 << len(weights))
    bits = values[:, None] >> np.arange(len(weights)) & 1
    expected = constant + bits @ np.array(weights, np.int64).reshape(len(weights))
    found = evaluate(dut, dut.bits, dut.score, values)
    assert (found == expected % (1 << width)).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_bits", [50, 128])
def test_popcount_wide(form, n_bits):
    rng = np.random.default_rng(n_bits)
    dut = Popcount((1,) * n_bits, 0, n_bits.bit_length(), form)
    bits = rng.random((50, n_bits)) < rng.random((50, 1))
    bits[0], bits[1] = 0, 1
    values = [int("".join("01"[b] for b in row[::-1].astype(int)), 2) for row in bits]
    assert (evaluate(dut, dut.bits, dut.score, values) == bits.sum(axis=1)).all()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_scores", [1, 2, 3, 4, 5])
def test_argmax_exhaustive(n_scores, signed):
    width = 2
    dut = Argmax(n_scores, width, signed=signed)
    codes = np.array(list(itertools.product(range(1 << width), repeat=n_scores)))
    scores = np.where(codes >= 2, codes - 4, codes) if signed else codes
    values = (codes << (width * np.arange(n_scores))).sum(axis=1)
    assert (evaluate(dut, dut.scores, dut.index, values) == scores.argmax(axis=1)).all()


@pytest.mark.parametrize("n_scores", [10, 17, 33])
def test_argmax_wide_with_ties(n_scores):
    rng = np.random.default_rng(n_scores)
    width = 7
    dut = Argmax(n_scores, width, signed=False)
    scores = rng.integers(100, 104, size=(200, n_scores))
    values = [sum(int(s) << (width * c) for c, s in enumerate(row)) for row in scores]
    assert (evaluate(dut, dut.scores, dut.index, values) == scores.argmax(axis=1)).all()


def pipelined(dut, port, result, values):
    """Feed a value a clock, at times without ``ce``; what `result` shows for each of them."""
    rng, found = np.random.default_rng(0), []

    async def bench(ctx):
        fed = 0
        while len(found) < len(values):
            go = int(rng.random() < 0.8)
            ctx.set(dut.ce, go)
            ctx.set(port, int(values[min(fed, len(values) - 1)]) if go else int(rng.integers(2)))
            await ctx.tick()
            fed += go
            if go and fed >= dut.latency_cycles:
                found.append(ctx.get(result))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_ranks", [1, 2, 5])
@pytest.mark.parametrize("weights", [(1,) * 19, (3, 1, 2, -4, 0, 7, 1, 1), (2,)])
def test_a_popcount_with_ranks_counts_as_many_cycles_later(form, n_ranks, weights):
    dut = Popcount(weights, 5, 7, form, n_ranks=n_ranks)
    values = np.random.default_rng(1).integers(0, 1 << len(weights), 60)
    bits = values[:, None] >> np.arange(len(weights)) & 1
    expected = (5 + bits @ np.array(weights)) % 128
    dut.latency_cycles = n_ranks
    assert (pipelined(dut, dut.bits, dut.score, values) == expected).all()
    dut = Popcount(weights, 5, 7, form, n_ranks=n_ranks)
    dut.latency_cycles = n_ranks + 1
    assert (pipelined(dut, dut.bits, dut.score, values) != expected).any()


@pytest.mark.parametrize("compared", [False, True])
@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("n_scores", [2, 3, 6, 7])
def test_an_argmax_with_registers_is_as_late_as_it_says(n_scores, tree, compared):
    levels = (n_scores - 1).bit_length()
    latency = tree * (levels - 1) + compared * levels
    if not latency:
        pytest.skip("combinational, tested above")
    dut = Argmax(n_scores, 3, signed=False, pipelined=tree, compared=compared)
    assert dut.latency_cycles == latency
    scores = np.random.default_rng(2).integers(0, 8, (80, n_scores))
    values = (scores << 3 * np.arange(n_scores)).sum(axis=1)
    assert (pipelined(dut, dut.scores, dut.index, values) == scores.argmax(axis=1)).all()
