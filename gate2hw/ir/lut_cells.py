"""A LutNetlist as a Verilog module of an FPGA family's own LUT cells: one instance a LUT.

The ports are those of `verilog_gates`: ``x`` (chosen inputs, in rising order), ``y`` (the output
literals), and ``clk`` and ``ce`` where there are registers. Wire ``n12`` is node 12 of the
LutNetlist, ``n12_n`` its complement, ``n12_r2`` is node 12 two registers later; the cell that
drives ``n12`` is called ``l12``. A synthesis tool has nothing left to do here but to connect.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.lutnetlist import LutNetlist, lsb_first_init

__all__ = [
    "CELL_KINDS",
    "CELL_WIDTH",
    "CellCount",
    "CellFamily",
    "CellKind",
    "complements_apart",
    "staged",
    "write_cells",
]

CellFamily: TypeAlias = Literal["ice40", "ecp5"]
CELL_WIDTH: Final = 4

_LINES_PER_WRITE: Final = 4096
_SLOT_ONES: Final = (0xAAAA, 0xCCCC, 0xF0F0, 0xFF00)
"""The 16-bit tables that are slot 0..3 themselves, slot 0 the least significant."""


@dataclass(frozen=True)
class CellKind:
    """The cells of a family: `lut` has its table in `init`, address bits at `pins` (least
    significant first), its value at `out`; `register` is a flip-flop with enable, as format."""

    lut: str
    init: str
    pins: tuple[str, str, str, str]
    out: str
    register: str


CELL_KINDS: Final[Mapping[str, CellKind]] = MappingProxyType(
    {
        "ice40": CellKind(
            lut="SB_LUT4",
            init="LUT_INIT",
            pins=("I0", "I1", "I2", "I3"),
            out="O",
            register="SB_DFFE {name} (.C(clk), .E(ce), .D({d}), .Q({q}));",
        ),
        "ecp5": CellKind(
            lut="LUT4",
            init="INIT",
            pins=("A", "B", "C", "D"),
            out="Z",
            register='TRELLIS_FF #(.GSR("DISABLED"), .CEMUX("CE"), .CLKMUX("CLK"), '
            '.LSRMUX("LSR"), .REGSET("RESET"), .SRMODE("LSR_OVER_CE")) {name} '
            "(.CLK(clk), .CE(ce), .LSR(1'b0), .DI({d}), .Q({q}));",
        ),
    }
)


@dataclass(frozen=True)
class CellCount:
    """Cells that `write_cells` wrote: LUTs in all, those of them that only make a complement
    (of an input, or of a LUT that is read both ways), and flip-flops."""

    luts: int
    complements: int
    registers: int


@dataclass(frozen=True)
class _Signals:
    """Signals 0..n_nodes-1 are the nodes; behind them stand complements in LUTs of their own.

    `table` (G,) uint64 are the LUTs as 16-bit tables, slot 0 least significant; `flipped`
    (n_nodes,) bool marks LUTs that give the complement of their node; `extra` (E,) int64 the nodes
    complemented apart; `output` (O,) int64 the signal of each output, `one` (O,) bool constant 1.
    """

    table: npt.NDArray[np.uint64]
    flipped: npt.NDArray[np.bool_]
    extra: npt.NDArray[np.int64]
    output: npt.NDArray[np.int64]
    one: npt.NDArray[np.bool_]


def _flip_slot(table: npt.NDArray[np.uint64], slot: int) -> npt.NDArray[np.uint64]:
    """The 16-bit tables that read the complement of `slot`."""
    ones, step = np.uint64(_SLOT_ONES[slot]), np.uint64(1 << slot)
    zeros = np.uint64(0xFFFF) ^ ones
    result: npt.NDArray[np.uint64] = ((table & ones) >> step) | ((table & zeros) << step)
    return result


def _signals(net: LutNetlist) -> _Signals:
    """Bring the complements of outputs into tables, or into LUTs of their own."""
    node, odd = net.outputs >> 1, (net.outputs & 1).astype(bool)
    plain, negated = np.zeros((2, net.n_nodes), bool)
    plain[node[~odd]] = True
    negated[node[odd]] = True
    negated[0] = False
    flipped = negated & ~plain
    flipped[: net.first_gate] = False
    table = lsb_first_init(net.init, net.n_used, width=CELL_WIDTH)
    for slot in range(min(net.k, CELL_WIDTH)):
        read = np.maximum(net.fanin[:, slot], 0)
        rows = np.flatnonzero(flipped[read])
        table[rows] = _flip_slot(table[rows], slot)
    table = np.where(flipped[net.first_gate :], table ^ np.uint64(0xFFFF), table)
    extra = np.flatnonzero(negated & ~flipped)
    apart = np.zeros(net.n_nodes, np.int64)
    apart[extra] = net.n_nodes + np.arange(len(extra))
    output = np.where(odd & ~flipped[node], apart[node], node)
    return _Signals(table, flipped, extra, output, odd & (node == 0))


def complements_apart(net: LutNetlist) -> npt.NDArray[np.int64]:
    """(E,) int64: the nodes whose complement `write_cells` makes in a LUT of its own."""
    return _signals(net).extra


@dataclass(frozen=True)
class _Timing:
    """`stage` of each signal, and of each LUT as a reader; `cross[k]` are the signals registered
    between stages k and k + 1, in rising order."""

    stage: npt.NDArray[np.int64]
    cross: tuple[npt.NDArray[np.int64], ...]


def _timing(net: LutNetlist, signals: _Signals, n_ranks: int) -> _Timing:
    stage = np.zeros(net.n_nodes, np.int64)
    stage[net.first_gate :] = net.stage
    stage = np.concatenate([stage, stage[signals.extra]])
    last = stage.copy()
    for operand in net.fanin.T:
        used = operand >= 0
        np.maximum.at(last, operand[used], net.stage[used].astype(np.int64))
    # a complement of its own reads what its LUT reads, or the input, in the same stage
    last[signals.output] = n_ranks
    stage[0] = last[0] = n_ranks
    cross = tuple(np.flatnonzero((stage <= k) & (last > k)) for k in range(n_ranks))
    return _Timing(stage, cross)


class _Names:
    """Names of signals, in Verilog."""

    def __init__(self, net: LutNetlist, signals: _Signals) -> None:
        self.n_nodes = net.n_nodes
        self.flipped = set(np.flatnonzero(signals.flipped).tolist())
        self.extra: list[int] = signals.extra.tolist()

    def of(self, signal: int, delay: int = 0) -> str:
        """The wire that carries `signal`, `delay` registers later."""
        if signal == 0:
            return "1'b0"
        node = self.extra[signal - self.n_nodes] if signal >= self.n_nodes else signal
        flip = "_n" if signal >= self.n_nodes or signal in self.flipped else ""
        return f"n{node}{flip}_r{delay}" if delay else f"n{node}{flip}"


def _lut_line(kind: CellKind, name: str, table: int, operands: Iterable[str]) -> str:
    pins = itertools.chain(operands, itertools.repeat("1'b0"))
    ports = ", ".join(f".{pin}({wire})" for pin, wire in zip(kind.pins, pins, strict=False))
    cell = f"{kind.lut} #(.{kind.init}(16'h{table:04x})) l{name[1:]}"
    return f"  wire {name};\n  {cell} (.{kind.out}({name}), {ports});\n"


def _lut_lines(
    net: LutNetlist, kind: CellKind, signals: _Signals, timing: _Timing, names: _Names
) -> Iterator[str]:
    first, n_slots = net.first_gate, min(net.k, CELL_WIDTH)
    fanin = net.fanin[:, :n_slots]
    read = np.maximum(fanin, 0)
    delay = np.where(fanin > 0, net.stage[:, None] - timing.stage[read], 0)

    def operands(row: int) -> Iterator[str]:
        for node, later in zip(fanin[row].tolist(), delay[row].tolist(), strict=True):
            if node >= 0:
                yield names.of(node, later)

    for row, table in enumerate(signals.table.tolist()):
        yield _lut_line(kind, names.of(first + row), table, operands(row))
    for number, node in enumerate(signals.extra.tolist()):
        name = names.of(net.n_nodes + number)
        if node < first:
            yield _lut_line(kind, name, 0x5555, [names.of(node)])
        else:
            table = int(signals.table[node - first]) ^ 0xFFFF
            yield _lut_line(kind, name, table, operands(node - first))


def _register_lines(kind: CellKind, timing: _Timing, names: _Names) -> Iterator[str]:
    for number, crossing in enumerate(timing.cross):
        delays = (number - timing.stage[crossing]).tolist()
        for signal, delay in zip(crossing.tolist(), delays, strict=True):
            d, q = names.of(signal, delay), names.of(signal, delay + 1)
            yield f"  {kind.register.format(name='f' + q[1:], d=d, q=q)}\n"


def _register_wires(timing: _Timing, names: _Names) -> Iterator[str]:
    for number, crossing in enumerate(timing.cross):
        delays = (number - timing.stage[crossing]).tolist()
        for signal, delay in zip(crossing.tolist(), delays, strict=True):
            yield f"  wire {names.of(signal, delay + 1)};\n"


def _output_lines(signals: _Signals, timing: _Timing, names: _Names, n_ranks: int) -> Iterator[str]:
    delay = np.where(signals.output > 0, n_ranks - timing.stage[signals.output], 0)
    rows = zip(signals.output.tolist(), delay.tolist(), signals.one.tolist(), strict=True)
    for number, (signal, later, one) in enumerate(rows):
        wire = "1'b1" if one else names.of(signal, later)
        yield f"  assign y[{number}] = {wire};\n"


def _write_lines(file: TextIO, lines: Iterable[str]) -> None:
    lines = iter(lines)
    while chunk := "".join(itertools.islice(lines, _LINES_PER_WRITE)):
        file.write(chunk)


def _check(net: LutNetlist, inputs: npt.NDArray[np.int64], n_ranks: int) -> None:
    widest = int(net.n_used.max(initial=0))
    if widest > CELL_WIDTH:
        raise InputError(
            f"a LUT reads {widest} signals, the cells have {CELL_WIDTH} inputs; map with k = 4"
        )
    missing = np.setdiff1d(net.used_inputs(), inputs)
    if len(missing):
        raise InputError(f"input {missing[0]} is read by a LUT, but is not among the ports")
    deepest = int(net.stage.max(initial=0))
    if deepest > n_ranks:
        raise InputError(
            f"a LUT stands in pipeline stage {deepest}, the module has {n_ranks} ranks of registers"
        )


def staged(net: LutNetlist, n_ranks: int) -> LutNetlist:
    """`net` with its levels dealt out evenly over ``n_ranks + 1`` pipeline stages.

    Returns `net` itself where there are no ranks, or its LUTs have stages already.
    """
    if n_ranks == 0 or net.stage.any() or not net.depth:
        return net
    level = net.node_level[net.first_gate :].astype(np.int64) - 1
    return net.with_(stage=(level * (n_ranks + 1) // net.depth).astype(np.int16))


def write_cells(
    file: TextIO,
    net: LutNetlist,
    *,
    name: str,
    family: CellFamily,
    inputs: npt.NDArray[np.int64] | None = None,
    n_ranks: int = 0,
    comment: Iterable[str] = (),
) -> CellCount:
    """Write `net` as module `name` of the LUT cells of `family`; deterministic, streamed.

    `inputs` (U,) int64 are the rising numbers of the inputs that port ``x`` carries, by default
    those that are read. Every LUT is one cell; its unused pins are tied to 0. A complemented
    output is absorbed by its LUT (and by what else reads it) where no output reads it plain; else
    the complement gets a LUT of its own, beside the other and not behind it. `net.stage` says
    which LUT stands behind how many of the `n_ranks` ranks of flip-flops, clocked by ``clk`` and
    enabled by ``ce``; all outputs pass all of them. `comment` lines go first, behind ``// ``.
    Raises InputError for LUTs of more than four inputs, ports or ranks that do not suffice.
    """
    chosen = net.used_inputs() if inputs is None else inputs
    _check(net, chosen, n_ranks)
    kind = CELL_KINDS[family]
    signals = _signals(net)
    timing = _timing(net, signals, n_ranks)
    names = _Names(net, signals)
    clock = "  input wire clk,\n  input wire ce,\n" if n_ranks else ""
    file.writelines(f"// {line}".rstrip() + "\n" for line in comment)
    file.write(
        f"module {name} (\n{clock}"
        f"  input wire [{max(len(chosen), 1) - 1}:0] x,\n"
        f"  output wire [{max(net.n_outputs, 1) - 1}:0] y\n);\n"
    )
    read = set(net.used_inputs().tolist())
    wires = ((u, i) for u, i in enumerate(chosen.tolist()) if i in read)
    _write_lines(file, (f"  wire n{1 + i} = x[{u}];\n" for u, i in wires))
    _write_lines(file, _register_wires(timing, names))
    _write_lines(file, _lut_lines(net, kind, signals, timing, names))
    _write_lines(file, _register_lines(kind, timing, names))
    _write_lines(file, _output_lines(signals, timing, names, n_ranks))
    if not net.n_outputs:
        file.write("  assign y[0] = 1'b0;\n")
    file.write("endmodule\n")
    return CellCount(
        luts=net.n_luts + len(signals.extra),
        complements=len(signals.extra),
        registers=sum(len(crossing) for crossing in timing.cross),
    )
