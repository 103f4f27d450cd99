# amaranth: UnusedElaboratable=no
"""The core against the reference simulator, with every set of registers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from rtl_nets import core_model, random_net

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import classes, encode, random_features, scores_of_bits
from gate2hw.rtl.core import Core, ScoreFormat, core_latency
from gate2hw.rtl.options import RtlOptions


def run_core(core, net, bits, *, stall=0.0, seed=0):
    """Feed every sample once; returns (cycles, classes, scores) of the valid results."""
    rng = np.random.default_rng(seed)
    used = net.used_inputs()
    words = [sum(int(b) << u for u, b in enumerate(row[used])) for row in bits]
    indices, scores, cycles = [], [], []

    async def bench(ctx):
        position = steps = 0
        while position < len(words) or steps < core.latency_cycles:
            go = rng.random() >= stall
            feed = position < len(words) and (not stall or rng.random() < 0.7)
            ctx.set(core.ce, go)
            ctx.set(core.in_valid, feed)
            ctx.set(core.bits, words[position] if feed else int(rng.integers(2)))
            if go and ctx.get(core.out_valid):
                indices.append(ctx.get(core.class_index))
                scores.append(ctx.get(core.scores))
                cycles.append(position)
            if core.latency_cycles:
                await ctx.tick()
            if go:
                steps = 0 if feed else steps + 1
                position += feed
        if core.latency_cycles and ctx.get(core.out_valid):
            indices.append(ctx.get(core.class_index))
            scores.append(ctx.get(core.scores))

    simulator = Simulator(core)
    if core.latency_cycles:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    width, sign = core.format.width, 1 << core.format.width - 1
    table = np.array(scores, dtype=object)[:, None] >> (width * np.arange(net.n_classes))
    table = (table & ((1 << width) - 1)).astype(np.int64)
    if core.format.signed:
        table = (table ^ sign) - sign
    return np.array(indices), table


OPTIONS = [
    RtlOptions(
        gate_registers=levels,
        register_gates=gates,
        register_scores=scores,
        register_argmax=argmax,
        register_class=index,
        popcount_registers=ranks,
        register_compare=compare,
    )
    for ranks, compare, levels, (gates, scores, argmax, index) in zip(
        itertools.cycle([0, 2, 0, 1, 7]),
        itertools.cycle([False, False, True, True, False, True, False]),
        itertools.cycle([(), (1,), (0, 2)]),
        itertools.product([False, True], repeat=4),
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_core_equals_reference(options, stall):
    rng = np.random.default_rng(8)
    net = random_net(rng, weights=(-2, 3), bias=(-3, 3))
    if stall and not core_latency(net, options):
        pytest.skip("a combinational core has no ce")
    options = replace(options, output="scores")
    bits = encode(net.encoder, random_features(net.encoder, 60, rng))
    indices, found = run_core(core_model(net, options), net, bits, stall=stall)
    expected = scores_of_bits(net, bits)
    assert (found == expected).all()
    assert (indices == classes(expected)).all()


@pytest.mark.parametrize("popcount", ["adder", "compressor"])
@pytest.mark.parametrize("bias", [(0, 0), (-9, -5), (2, 7)])
@pytest.mark.parametrize("pipelined", [False, True])
def test_class_only_scores_keep_the_winner(popcount, bias, pipelined):
    rng = np.random.default_rng(3)
    net = random_net(rng, n_classes=5, bias=bias)
    options = RtlOptions(
        popcount=popcount, popcount_registers=2 * pipelined, register_compare=pipelined
    )
    core = core_model(net, options)
    assert not core.format.signed
    bits = encode(net.encoder, random_features(net.encoder, 100, rng))
    indices, _ = run_core(core, net, bits)
    expected = scores_of_bits(net, bits)
    ties = (np.sort(expected, axis=1)[:, -1] == np.sort(expected, axis=1)[:, -2]).sum()
    assert ties > 5
    assert (indices == classes(expected)).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_latency_as_measured(options):
    """One valid sample: the cycle in which its result shows is the promised latency."""
    net = random_net(np.random.default_rng(9), n_classes=6)
    core = core_model(net, options)
    tree = 2 * options.register_argmax + 3 * options.register_compare
    flags = (options.register_gates, options.register_scores, options.register_class)
    ranks = len(options.gate_registers) + options.popcount_registers
    assert core.latency_cycles == ranks + sum(flags) + tree
    if not core.latency_cycles:
        pytest.skip("combinational")
    valid = []

    async def bench(ctx):
        ctx.set(core.ce, 1)
        for cycle in range(24):
            ctx.set(core.in_valid, cycle == 0)
            valid.append(ctx.get(core.out_valid))
            await ctx.tick()

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert np.flatnonzero(valid).tolist() == [core.latency_cycles]


def test_planted_fault_is_seen():
    rng = np.random.default_rng(4)
    net = random_net(rng, trivial=False)
    options = RtlOptions(output="scores")
    bits = encode(net.encoder, random_features(net.encoder, 200, rng))
    gate = int(net.outputs[-1] >> 1) - net.first_gate
    tt = net.tt.copy()
    tt[gate] ^= 4
    _, found = run_core(core_model(net, options, fault=net.with_(tt=tt)), net, bits)
    assert (found != scores_of_bits(net, bits)).any()


def test_core_without_gates_or_with_constant_scores():
    rng = np.random.default_rng(5)
    net = random_net(rng, n_gates=0, per_class=3)
    bits = encode(net.encoder, random_features(net.encoder, 40, rng))
    _, found = run_core(core_model(net, RtlOptions(output="scores")), net, bits)
    assert (found == scores_of_bits(net, bits)).all()
    empty = net.with_(outputs=[], head=Head([0, 0, 0, 0], [], [1, 4, 4]))
    indices, found = run_core(core_model(empty, RtlOptions(output="scores")), empty, bits)
    assert (found == [1, 4, 4]).all()
    assert (indices == 1).all()


def test_score_format():
    rng = np.random.default_rng(6)
    net = random_net(rng, n_classes=2, per_class=4)
    assert ScoreFormat.of(net) == ScoreFormat(3, False)
    shifted = net.with_(head=Head(net.head.group_ptr, net.head.weight, [-1, 4]))
    assert ScoreFormat.of(shifted) == ScoreFormat(5, True)
    assert ScoreFormat.of(shifted, relative=True) == ScoreFormat(4, False, -1)
    negative = net.with_(head=Head(net.head.group_ptr, net.head.weight, [-8, -8]))
    assert ScoreFormat.of(negative) == ScoreFormat(4, True)


def test_core_refuses_what_it_cannot_build():
    rng = np.random.default_rng(7)
    net = random_net(rng)
    with pytest.raises(InputError, match="no classes"):
        Core(net.with_(head=Head.none(net.n_outputs)), RtlOptions())
    with pytest.raises(InputError, match="gate_registers"):
        Core(net, RtlOptions(gate_registers=(net.depth + 1,)))
    wide = net.with_(
        outputs=np.zeros(70_000, np.int64),
        head=Head([0, 10, 20, 70_000], np.ones(70_000), [0, 0, 0]),
    )
    with pytest.raises(InputError, match="70000 gate outputs"):
        Core(wide, RtlOptions())
