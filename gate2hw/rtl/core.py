"""Core: thermometer bits in, class (and scores) out, combinational or pipelined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from amaranth.hdl import Cat, ClockSignal, Const, Elaboratable, Instance, Module, Signal

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.rtl.argmax import Argmax, argmax_latency, class_width
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.popcount import Popcount
from gate2hw.rtl.popcount_cells import popcount_modules

__all__ = ["MAX_BITS", "Core", "Gates", "ScoreFormat", "core_latency"]

MAX_BITS = 65_535
"""Most bits that Amaranth (RTLIL) lets one port or signal have."""


@dataclass(frozen=True)
class ScoreFormat:
    """Binary format of the scores: `width` bits, two's complement if `signed`.

    `offset` is what was taken off every score (0 where scores leave the core).
    """

    width: int
    signed: bool
    offset: int = 0

    @staticmethod
    def of(net: Netlist, *, relative: bool = False) -> ScoreFormat:
        """The narrowest format that holds every score of `net`.

        `relative` takes the least possible score off all of them: this changes no winner, and
        leaves unsigned numbers.
        """
        bounds = net.head.score_bounds()
        low, high = int(bounds[:, 0].min()), int(bounds[:, 1].max())
        offset = low if relative else 0
        low, high = low - offset, high - offset
        if low < 0:
            return ScoreFormat(1 + max((-low - 1).bit_length(), high.bit_length()), True, offset)
        return ScoreFormat(max(1, high.bit_length()), False, offset)


def core_latency(net: Netlist, options: RtlOptions) -> int:
    """Clock cycles (with ``ce`` high) from ``in_valid`` to ``out_valid``."""
    flags = (options.register_gates, options.register_scores, options.register_class)
    tree = argmax_latency(
        net.n_classes, pipelined=options.register_argmax, compared=options.register_compare
    )
    ranks = len(options.gate_registers) + options.popcount_registers
    return ranks + sum(map(int, flags)) + tree


class Gates(Protocol):
    """Anything with the gate cloud's ports: `x` in, `y` out."""

    x: Signal
    y: Signal


class Core(Elaboratable):
    """Ports ``ce``, ``in_valid``, ``bits`` to ``out_valid``, ``class_index``, ``scores``.

    `bits` are the used inputs of `net` in rising order; `scores` holds the class scores side by
    side, class 0 in the low bits, in the format `format`. ``ce`` moves the whole pipeline on;
    `latency_cycles` clock cycles later `out_valid` stands for the same sample. Only the valid bits
    are reset. `gates` stands in for the instance of the Verilog gate cloud (simulation in Python).
    Raises InputError for a netlist without classes, or too wide for Amaranth.
    """

    def __init__(self, net: Netlist, options: RtlOptions, *, gates: Gates | None = None) -> None:
        options.check(net)
        if net.n_classes < 1:
            raise InputError("the netlist has no classes, so there is nothing to score in hardware")
        self.net = net
        self.options = options
        self.gates = gates
        self.latency_cycles = core_latency(net, options)
        self.format = ScoreFormat.of(net, relative=options.output == "class")
        self.n_bits = len(net.used_inputs())
        widths = {"used inputs": self.n_bits, "gate outputs": net.n_outputs}
        widths["score bits"] = net.n_classes * self.format.width
        for what, width in widths.items():
            if width > MAX_BITS - 64:
                raise InputError(
                    f"the core has {width} {what}, Amaranth handles {MAX_BITS - 64}; make the "
                    "network narrower there"
                )
        self.ce = Signal()
        self.in_valid = Signal()
        self.bits = Signal(max(1, self.n_bits))
        self.out_valid = Signal()
        self.class_index = Signal(class_width(net.n_classes))
        self.scores = Signal(net.n_classes * self.format.width)

    def inputs(self) -> list[tuple[str, Signal]]:
        """Names and signals of the input ports, clock and reset aside."""
        ports = [("in_valid", self.in_valid), ("bits", self.bits)]
        return [("ce", self.ce), *ports] if self.latency_cycles else ports

    def outputs(self) -> list[tuple[str, Signal]]:
        """Names and signals of the output ports."""
        ports = [("out_valid", self.out_valid), ("class_index", self.class_index)]
        return [*ports, ("scores", self.scores)] if self.options.output == "scores" else ports

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline; Amaranth calls this."""
        m = Module()
        y = self._gates(m)
        if self.options.register_gates:
            y = self._register(m, y, "gates_reg")
        scores = Signal(len(self.scores), name="scores_now")
        m.d.comb += scores.eq(Cat(*self._popcounts(m, y)))
        if self.options.register_scores:
            scores = self._register(m, scores, "scores_reg")
        m.submodules.argmax = argmax = Argmax(
            self.net.n_classes,
            self.format.width,
            signed=self.format.signed,
            pipelined=self.options.register_argmax,
            compared=self.options.register_compare,
        )
        m.d.comb += [argmax.ce.eq(self.ce), argmax.scores.eq(scores)]
        index = argmax.index
        if self.options.register_class:
            index = self._register(m, index, "class_reg")
        if self.options.output == "scores":
            for stage in range(argmax.latency_cycles + int(self.options.register_class)):
                scores = self._register(m, scores, f"scores_later_{stage}")
        m.d.comb += [self.class_index.eq(index), self.scores.eq(scores)]
        valid = self.in_valid
        for stage in range(self.latency_cycles):
            next_valid = Signal(name=f"valid_{stage + 1}")
            with m.If(self.ce):
                m.d.sync += next_valid.eq(valid)
            valid = next_valid
        m.d.comb += self.out_valid.eq(valid)
        return m

    def _register(self, m: Module, value: Signal, name: str) -> Signal:
        register = Signal(len(value), name=name, reset_less=True)
        with m.If(self.ce):
            m.d.sync += register.eq(value)
        return register

    def _gates(self, m: Module) -> Signal:
        """Place the gate cloud; return its outputs."""
        y = Signal(max(1, self.net.n_outputs), name="gates_y")
        if self.gates is not None:
            m.submodules.gates = cast(Elaboratable, self.gates)
            m.d.comb += [self.gates.x.eq(self.bits), y.eq(self.gates.y)]
            return y
        ports: dict[str, Any] = {"i_x": self.bits, "o_y": y}
        if self.options.gate_registers:
            ports |= {"i_clk": ClockSignal(), "i_ce": self.ce}
        m.submodules.gates = Instance(f"{self.options.name}_gates", **ports)
        return y

    def _popcount_cells(self, m: Module, y: Signal) -> list[Signal]:
        """One instance a class of the modules of LUT cells."""
        head = self.net.head
        scores = [Signal(self.format.width, name=f"score_{c}") for c in range(head.n_classes)]
        for part in popcount_modules(
            self.options.name, head, self.format.offset, self.format.width
        ):
            for c in part.classes:
                start, stop = int(head.group_ptr[c]), int(head.group_ptr[c + 1])
                bits = y[start:stop] if stop > start else Const(0, 1)
                ports: dict[str, Any] = {"i_x": bits, "o_y": scores[c]}
                if self.options.popcount_registers:
                    ports |= {"i_clk": ClockSignal(), "i_ce": self.ce}
                m.submodules[f"popcount_{c}"] = Instance(part.name, **ports)
        return scores

    def _popcounts(self, m: Module, y: Signal) -> list[Signal]:
        if self.options.popcount == "luts":
            return self._popcount_cells(m, y)
        head = self.net.head
        scores = []
        for c in range(head.n_classes):
            start, stop = int(head.group_ptr[c]), int(head.group_ptr[c + 1])
            weights = head.weight[start:stop].astype(np.int64).tolist()
            constant = int(head.bias[c]) - self.format.offset
            popcount = Popcount(
                weights,
                constant,
                self.format.width,
                self.options.popcount,
                n_ranks=self.options.popcount_registers,
            )
            m.submodules[f"popcount_{c}"] = popcount
            if popcount.n_ranks:
                m.d.comb += popcount.ce.eq(self.ce)
            if stop > start:
                m.d.comb += popcount.bits.eq(y[start:stop])
            scores.append(popcount.score)
        return scores
