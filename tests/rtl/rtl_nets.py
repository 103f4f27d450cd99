# amaranth: UnusedElaboratable=no
"""Random netlists, and stand-ins and drivers with which pysim runs the hardware without Verilog."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import C, ClockDomain, Elaboratable, Module, Signal
from amaranth.sim import Simulator

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import ANF
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist
from gate2hw.rtl.core import Core
from gate2hw.rtl.options import RtlOptions


def random_net(
    rng: np.random.Generator,
    *,
    n_features: int = 7,
    thresholds: Sequence[int] = (50, 128),
    max_value: int = 255,
    n_gates: int = 40,
    n_classes: int = 3,
    per_class: int = 5,
    weights: tuple[int, int] = (1, 1),
    bias: tuple[int, int] = (0, 0),
    trivial: bool = True,
) -> Netlist:
    """A random netlist with encoder and head; outputs read gates, inputs and the constant."""
    feature = np.repeat(np.arange(n_features), len(thresholds))
    threshold = np.tile(np.array(thresholds), n_features)
    n_inputs = len(feature)
    builder = NetlistBuilder(n_inputs)
    functions = np.arange(16) if trivial else np.array([2, 4, 6, 8, 14])
    for number in range(n_gates):
        nodes = rng.integers(0 if trivial else 1, 1 + n_inputs + number, size=2)
        builder.gate(int(rng.choice(functions)), int(nodes[0]), int(nodes[1]))
    n_nodes, n_outputs = 1 + n_inputs + n_gates, n_classes * per_class
    nodes = rng.integers(max(0, n_nodes - max(1, n_gates)), n_nodes, size=n_outputs)
    if n_outputs >= 3 and trivial:
        nodes[0], nodes[1] = 0, 1
    weight = rng.integers(weights[0], weights[1] + 1, size=n_outputs)
    head = Head(
        np.arange(n_classes + 1) * per_class,
        weight,
        rng.integers(bias[0], bias[1] + 1, size=n_classes),
    )
    return builder.build(
        2 * nodes + rng.integers(0, 2, size=n_outputs),
        head=head,
        encoder=Encoder(feature, threshold, (n_features,), max_value),
        names=Names(classes=tuple(f"class {c}" for c in range(n_classes))),
        digest="0123456789abcdef",
    )


class GateModel(Elaboratable):
    """The gate cloud of `net` in Amaranth, its registers gathered behind the outputs."""

    def __init__(self, net: Netlist, ce: Signal | None = None, n_registers: int = 0) -> None:
        self.net, self.ce, self.n_registers = net, ce, n_registers
        self.x = Signal(max(1, len(net.used_inputs())))
        self.y = Signal(max(1, net.n_outputs))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        net = self.net
        nodes = [C(0, 1)] * net.first_gate
        for u, i in enumerate(net.used_inputs().tolist()):
            nodes[1 + i] = self.x[u]
        for g in range(net.n_gates):
            a, b = nodes[net.in0[g]], nodes[net.in1[g]]
            c0, c1, c2, c3 = (C(int(c), 1) for c in ANF[net.tt[g]])
            node = Signal(name=f"n{net.first_gate + g}")
            m.d.comb += node.eq(c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b))
            nodes.append(node)
        y = Signal(len(self.y))
        for o, lit in enumerate(net.outputs.tolist()):
            m.d.comb += y[o].eq(nodes[lit >> 1] ^ (lit & 1))
        for _ in range(self.n_registers):
            later = Signal(len(self.y), reset_less=True)
            with m.If(self.ce):
                m.d.sync += later.eq(y)
            y = later
        m.d.comb += self.y.eq(y)
        return m


def core_model(net: Netlist, options: RtlOptions, fault: Netlist | None = None) -> Core:
    """A Core whose gate cloud is Amaranth; `fault`, if given, is built in place of `net`."""
    core = Core(net, options)
    core.gates = GateModel(fault or net, core.ce, len(options.gate_registers))
    return core


def to_bytes(x: np.ndarray, bytes_per_feature: int) -> list[int]:
    """One sample's features as the bytes of its frame."""
    return [v >> 8 * k & 255 for v in x.ravel().tolist() for k in range(bytes_per_feature)]


def to_beats(data: Sequence[int], bus_bytes: int, junk: int = 0xA5) -> list[int]:
    """Bytes as beats, lane 0 first; lanes past the end hold junk."""
    padded = list(data) + [junk] * (-len(data) % bus_bytes)
    return [
        int.from_bytes(bytes(padded[k : k + bus_bytes]), "little")
        for k in range(0, len(padded), bus_bytes)
    ]


class StreamRun:
    """Drives a Top with (beat, tlast) pairs; collects result frames, error pulses, broken rules.

    `stall` is the chance that source or sink hold back in a cycle; `reset_after` resets after so
    many beats were taken.
    """

    def __init__(
        self,
        top,
        beats: Sequence[tuple[int, int]],
        *,
        seed: int = 0,
        stall: float = 0.0,
        reset_after: int | None = None,
        idle_cycles: int = 30,
    ) -> None:
        self.frames: list[list[int]] = []
        self.frame_cycles: list[int] = []
        self.taken_cycles: list[int] = []
        self.n_errors = 0
        self.protocol_errors: list[str] = []
        self._top, self._beats = top, list(beats)
        self._rng, self._stall = np.random.default_rng(seed), stall
        self._reset_after, self._idle_cycles = reset_after, idle_cycles
        self._domain = ClockDomain("sync")
        bench = Module()
        bench.domains.sync = self._domain
        bench.submodules.top = top
        simulator = Simulator(bench)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._bench)
        simulator.run()

    def _go(self) -> bool:
        return self._stall == 0.0 or bool(self._rng.random() >= self._stall)

    async def _bench(self, ctx) -> None:
        top, beats = self._top, self._beats
        position, cycle, idle, offered = 0, 0, 0, False
        held: tuple[int, int, int] | None = None
        frame: list[int] = []
        while idle < self._idle_cycles:
            offered = position < len(beats) and (offered or self._go())
            data, last = beats[position] if offered else (int(self._rng.integers(256)), 0)
            ctx.set(top.s_axis_tvalid, offered)
            ctx.set(top.s_axis_tdata, data)
            ctx.set(top.s_axis_tlast, last)
            ctx.set(top.m_axis_tready, 0)
            valid, ready = ctx.get(top.m_axis_tvalid), self._go()
            ctx.set(top.m_axis_tready, ready)
            payload = (ctx.get(top.m_axis_tvalid), *self._payload(ctx))
            if payload[0] != valid:
                self.protocol_errors.append(f"cycle {cycle}: tvalid depends on tready")
            if held is not None and payload != held:
                self.protocol_errors.append(f"cycle {cycle}: payload was not held")
            if valid and not frame and held is None:
                self.frame_cycles.append(cycle)
            held = payload if valid and not ready else None
            if valid and ready:
                frame.append(payload[1])
                if payload[2]:
                    self.frames.append(frame)
                    frame = []
            self.n_errors += ctx.get(top.frame_error)
            accepted = offered and ctx.get(top.s_axis_tready)
            if accepted:
                self.taken_cycles.append(cycle)
                position, offered = position + 1, False
            await ctx.tick()
            cycle += 1
            idle = idle + 1 if position == len(beats) and not valid else 0
            if accepted and position == self._reset_after:
                ctx.set(self._domain.rst, 1)
                ctx.set(top.s_axis_tvalid, 1)
                if ctx.get(top.s_axis_tready):
                    self.protocol_errors.append(f"cycle {cycle}: ready during reset")
                ctx.set(top.m_axis_tready, 0)
                await ctx.tick()
                ctx.set(self._domain.rst, 0)
                cycle, held, frame = cycle + 1, None, []

    def _payload(self, ctx) -> tuple[int, int]:
        return ctx.get(self._top.m_axis_tdata), ctx.get(self._top.m_axis_tlast)
