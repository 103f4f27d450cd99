"""The gate cloud as structural Verilog-2005: one scalar wire per gate, and its strict reader.

The module's ports are ``x`` (the used inputs, in rising order) and ``y`` (the output literals);
with registers at chosen levels also ``clk`` and ``ce``. Wire ``n123`` is node 123 of the netlist,
``n123_r2`` is the same node two registers later, so every name leads back to its gate.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TextIO

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, IRError
from gate2hw.ir.builder import from_columns
from gate2hw.ir.byte_lines import choices, join_lines, numerals
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.verilog_lines import TEMPLATES, gate_lines, names

__all__ = ["VerilogGates", "check_gate_registers", "read_gates", "write_gates"]

_LINES_PER_WRITE: Final = 1 << 13
_SIGN: Final = choices(["n", "~n"])


def check_gate_registers(net: Netlist, gate_registers: Iterable[int]) -> tuple[int, ...]:
    """Return the levels after which registers stand; InputError unless rising in 0..depth."""
    levels = tuple(int(level) for level in gate_registers)
    if any(not 0 <= level <= net.depth for level in levels) or any(
        low >= high for low, high in itertools.pairwise(levels)
    ):
        raise InputError(
            f"gate_registers is {list(levels)}; give rising levels within 0..{net.depth} "
            "(0 registers the inputs, the last level the outputs)"
        )
    return levels


@dataclass(frozen=True)
class _Stages:
    """`stage` (n_nodes,) int64 is the pipeline stage that a node is computed in.

    `cross[k]` holds the nodes, in rising order, that are registered between stages k and k + 1.
    """

    stage: npt.NDArray[np.int64]
    cross: tuple[npt.NDArray[np.int64], ...]


def _stages(net: Netlist, levels: tuple[int, ...]) -> _Stages:
    if not levels:
        return _Stages(np.broadcast_to(np.int64(0), net.n_nodes), ())
    cuts = np.array(levels, np.int64)
    stage = np.searchsorted(cuts, net.node_level, side="left").astype(np.int64)
    last = stage.copy()
    gate_stage = stage[net.first_gate :]
    for operand in (net.in0, net.in1):
        np.maximum.at(last, operand, gate_stage)
    last[net.outputs >> 1] = len(levels)
    stage[0] = last[0] = len(levels)
    cross = tuple(np.flatnonzero((stage <= k) & (last > k)) for k in range(len(levels)))
    return _Stages(stage, cross)


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for low in range(start, stop, _LINES_PER_WRITE):
        yield low, min(low + _LINES_PER_WRITE, stop)


def _write_gates(file: TextIO, net: Netlist, stages: _Stages, start: int, stop: int) -> None:
    first = net.first_gate
    for low, high in _blocks(start, stop):
        operands = (net.in0[low:high], net.in1[low:high])
        delays = None
        if stages.cross:
            here = stages.stage[first + low : first + high]
            delays = [np.where(node > 0, here - stages.stage[node], 0) for node in operands]
        file.write(gate_lines(first + low, net.tt[low:high], operands, delays))


def _write_registers(file: TextIO, stages: _Stages, number: int) -> None:
    """The registers between stage `number` and the next."""
    nodes = stages.cross[number]
    delays = number - stages.stage[nodes]
    parts = [(nodes[low:high], delays[low:high]) for low, high in _blocks(0, len(nodes))]
    for node, delay in parts:
        file.write(join_lines("  reg n", *names(node, delay + 1), ";\n"))
    if parts:
        file.write("  always @(posedge clk) if (ce) begin\n")
        for node, delay in parts:
            target, source = names(node, delay + 1), names(node, delay)
            file.write(join_lines("    n", *target, " <= n", *source, ";\n"))
        file.write("  end\n")


def _write_inputs(file: TextIO, used: npt.NDArray[np.int64]) -> None:
    for low, high in _blocks(0, len(used)):
        bit = numerals(np.arange(low, high))
        file.write(join_lines("  wire n", numerals(1 + used[low:high]), " = x[", bit, "];\n"))


def _write_outputs(file: TextIO, net: Netlist, stages: _Stages) -> None:
    for low, high in _blocks(0, net.n_outputs):
        bit, literal = numerals(np.arange(low, high)), net.outputs[low:high]
        node = literal >> 1
        delay = np.where(node > 0, len(stages.cross) - stages.stage[node], 0)
        signal = [_SIGN[literal & 1], *names(node, delay)]
        file.write(join_lines("  assign y[", bit, "] = ", *signal, ";\n"))


def write_gates(
    file: TextIO,
    net: Netlist,
    *,
    name: str,
    gate_registers: Iterable[int] = (),
    comment: Iterable[str] = (),
) -> None:
    """Write `net` as module `name` to `file`; deterministic, streamed, head and encoder left out.

    `gate_registers` are rising levels within 0..depth: after level l every signal that is read
    above it, or leaves the module, passes a register clocked by ``clk`` and enabled by ``ce``.
    All outputs belong to one sample, ``len(gate_registers)`` clock cycles after it. A port without
    signals is one unused bit wide (``y`` is then 0). `comment` lines go first, behind ``// ``.
    Raises InputError for levels that are not rising or not there.
    """
    levels = check_gate_registers(net, gate_registers)
    stages = _stages(net, levels)
    used = net.used_inputs()
    clock = "  input wire clk,\n  input wire ce,\n" if levels else ""
    file.writelines(f"// {line}".rstrip() + "\n" for line in comment)
    file.write(
        f"module {name} (\n{clock}"
        f"  input wire [{max(len(used), 1) - 1}:0] x,\n"
        f"  output wire [{max(net.n_outputs, 1) - 1}:0] y\n);\n"
    )
    if net.fan_out[0]:
        file.write("  wire n0 = 1'b0;\n")
    _write_inputs(file, used)
    crossed = 0
    for level, (start, stop) in enumerate(net.levels()):
        while crossed < len(levels) and levels[crossed] <= level:
            _write_registers(file, stages, crossed)
            crossed += 1
        _write_gates(file, net, stages, start, stop)
    for number in range(crossed, len(levels)):
        _write_registers(file, stages, number)
    _write_outputs(file, net, stages)
    if not net.n_outputs:
        file.write("  assign y[0] = 1'b0;\n")
    file.write("endmodule\n")


@dataclass(frozen=True)
class VerilogGates:
    """What `read_gates` found: module `name`, its gates as a plain circuit, and its latency.

    `net` has one input per bit of ``x``; `node` (G,) int64 gives the number in each gate's wire
    name; `latency_cycles` is the number of registers on every path from ``x`` to ``y``.
    """

    name: str
    net: Netlist
    node: npt.NDArray[np.int64]
    latency_cycles: int


_SIGNAL: Final = r"n\d+(?:_r\d+)?"
_MODULE: Final = re.compile(r"module (\w+) \(")
_PORT: Final = re.compile(r"  (input|output) wire (?:\[(\d+):0\] )?(\w+),?")
_INPUT: Final = re.compile(r"  wire n(\d+) = x\[(\d+)\];")
_WIRE: Final = re.compile(r"  wire n(\d+) = (.+);")
_REG: Final = re.compile(r"  reg n(\d+)_r(\d+);")
_ASSIGN_REG: Final = re.compile(rf"    (n\d+_r\d+) <= ({_SIGNAL});")
_OUTPUT: Final = re.compile(rf"  assign y\[(\d+)\] = (~?)({_SIGNAL}|1'b0);")


def _functions() -> dict[str, tuple[int, tuple[int, ...]]]:
    """Normalised expression (signals as $) to its truth table and the operands it reads."""
    functions: dict[str, tuple[int, tuple[int, ...]]] = {}
    for tt, template in enumerate(TEMPLATES):
        slots = tuple(int(slot) for slot in re.findall(r"\{(\d)\}", template))
        # "a" and "b" alone look the same; the reader calls both A, which computes the same.
        if len(slots) != 1 or slots == (0,):
            functions[re.sub(r"\{\d\}", "$", template)] = (tt, slots)
    return functions


_FUNCTIONS: Final = _functions()


class _Reader:
    """Line by line: the signals known so far, each with its node and stage."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = enumerate((line.rstrip("\n") for line in lines), start=1)
        self.number, self.text = 0, ""
        self.signals: dict[str, tuple[int, int | None]] = {}
        self.widths: dict[str, int] = {}
        self.n_inputs = 0
        self.gates: list[tuple[int, int, int, int]] = []
        self.registers: dict[str, int] = {}
        self.outputs: dict[int, tuple[str, int]] = {}

    def error(self, reason: str) -> IRError:
        return IRError(f"Verilog gates, line {self.number}: {reason}: {self.text.strip()!r}")

    def advance(self) -> str:
        number, text = next(self.lines, (0, None))
        if text is None:
            self.text = ""
            raise self.error("the file ends before endmodule")
        self.number, self.text = number, text
        return text

    def expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.fullmatch(self.text)
        if match is None:
            raise self.error(f"expected {what}")
        return match

    def define(self, name: str, node: int, stage: int | None) -> None:
        if name in self.signals:
            raise self.error(f"{name} is defined twice")
        self.signals[name] = (node, stage)

    def lookup(self, name: str) -> tuple[int, int | None]:
        if name not in self.signals:
            raise self.error(f"{name} is read before it is defined")
        return self.signals[name]

    def read(self) -> VerilogGates:
        """The whole module."""
        while self.advance().startswith("//"):
            pass
        name = self.expect(_MODULE, "module NAME (")[1]
        while self.advance() != ");":
            port = self.expect(_PORT, "a port")
            self.widths[port[3]] = 1 + int(port[2] or 0)
        if not {"x", "y"} <= set(self.widths) <= {"clk", "ce", "x", "y"}:
            raise self.error(f"ports are {sorted(self.widths)}, expected x, y and clk, ce")
        while self.advance() != "endmodule":
            self.statement()
        for number, text in self.lines:
            self.number, self.text = number, text
            raise self.error("expected nothing after endmodule")
        return self.result(name)

    def statement(self) -> None:
        text = self.text
        if text.startswith("  wire "):
            self.wire()
        elif text.startswith("  reg "):
            match = self.expect(_REG, "reg nN_rD;")
            self.registers[f"n{match[1]}_r{match[2]}"] = int(match[2])
        elif text == "  always @(posedge clk) if (ce) begin":
            while self.advance() != "  end":
                self.register()
        else:
            match = self.expect(_OUTPUT, "a wire, a register or an output")
            if int(match[1]) in self.outputs:
                raise self.error("output is assigned twice")
            self.outputs[int(match[1])] = (match[3], len(match[2]))

    def wire(self) -> None:
        if match := _INPUT.fullmatch(self.text):
            if int(match[2]) != self.n_inputs or self.gates:
                raise self.error("inputs must come first and in order")
            self.n_inputs += 1
            self.define(f"n{match[1]}", self.n_inputs, 0)
            return
        match = self.expect(_WIRE, "wire nN = EXPRESSION;")
        number, expression = int(match[1]), match[2]
        if number == 0 and expression == "1'b0":
            self.define("n0", 0, None)
            return
        shape = re.sub(_SIGNAL, "$", expression)
        if shape not in _FUNCTIONS:
            raise self.error("unknown gate function")
        tt, slots = _FUNCTIONS[shape]
        found = [self.lookup(signal) for signal in re.findall(_SIGNAL, expression)]
        stages = {stage for _, stage in found if stage is not None}
        if len(stages) > 1:
            raise self.error("operands belong to different clock cycles")
        operands = dict(zip(slots, (node for node, _ in found), strict=True))
        a = operands.get(0, 0)
        node = -1 - len(self.gates)
        self.gates.append((number, tt, a, operands.get(1, a)))
        self.define(f"n{number}", node, stages.pop() if stages else None)

    def register(self) -> None:
        match = self.expect(_ASSIGN_REG, "nN_rD <= nN;")
        base, _, delay = match[1].partition("_r")
        expected = f"{base}_r{int(delay) - 1}" if int(delay) > 1 else base
        if self.registers.pop(match[1], None) is None or match[2] != expected:
            raise self.error("not a declared register that takes the signal one cycle before it")
        node, stage = self.lookup(match[2])
        self.define(match[1], node, None if stage is None else stage + 1)

    def result(self, name: str) -> VerilogGates:
        if self.registers:
            raise self.error(f"register {next(iter(self.registers))} is never assigned")
        if self.widths["x"] != max(1, self.n_inputs):
            raise self.error(f"x has {self.widths['x']} bits, {self.n_inputs} are read")
        if set(self.outputs) != set(range(self.widths["y"])):
            raise self.error(f"y has {self.widths['y']} bits, not all are assigned")
        empty = self.outputs.get(0) == ("1'b0", 0)
        literals, stages = [], set()
        for output in range(0 if empty else self.widths["y"]):
            signal, flip = self.outputs[output]
            node, stage = self.lookup(signal)
            literals.append(2 * self.renumber(node) + flip)
            stages |= set() if stage is None else {stage}
        if len(stages) > 1:
            raise self.error("outputs belong to different clock cycles")
        return self.netlist(name, literals, stages.pop() if stages else 0)

    def renumber(self, node: int) -> int:
        return node if node >= 0 else self.n_inputs - node

    def netlist(self, name: str, literals: list[int], latency_cycles: int) -> VerilogGates:
        table = np.array(self.gates, np.int64).reshape(-1, 4)
        in0, in1 = (
            np.where(column >= 0, column, self.n_inputs - column).astype(np.int32)
            for column in (table[:, 2], table[:, 3])
        )
        tt = table[:, 1].astype(np.uint8)
        net = from_columns(self.n_inputs, tt, in0, in1, np.array(literals, np.int64))
        order = _level_order(self.n_inputs, in0, in1)
        return VerilogGates(name, net, table[order, 0], latency_cycles)


def _level_order(
    n_inputs: int, in0: npt.NDArray[np.int32], in1: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """The order in which `from_columns` puts gates: by level, otherwise as given."""
    level = [0] * (1 + n_inputs)
    for a, b in zip(in0.tolist(), in1.tolist(), strict=True):
        level.append(1 + max(level[a], level[b]))
    return np.argsort(np.array(level[1 + n_inputs :], np.int64), kind="stable").astype(np.int64)


def read_gates(lines: Iterable[str]) -> VerilogGates:
    """Read what `write_gates` wrote (an open file, or lines), and nothing else.

    Checks that every operand of a gate, and every output, belongs to the same clock cycle.
    Raises IRError, naming the line, for anything that `write_gates` would not write.
    """
    return _Reader(lines).read()
