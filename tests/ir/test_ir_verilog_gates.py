"""Verilog of gate clouds: written, read back, and refused where it is not ours."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError, IRError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import is_trivial
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import random_words, simulate
from gate2hw.ir.verilog_gates import read_gates, write_gates


def random_netlist(seed: int, n_inputs: int = 6, n_gates: int = 60, n_outputs: int = 12) -> Netlist:
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_inputs)
    for number in range(n_gates):
        low = max(0, number - 20)
        a, b = rng.integers(low, 1 + n_inputs + number, size=2)
        builder.gate(int(rng.integers(16)), int(a), int(b))
    return builder.build(rng.integers(0, 2 * (1 + n_inputs + n_gates), size=n_outputs))


def text_of(net: Netlist, **options) -> str:
    file = io.StringIO()
    write_gates(file, net, name="lgn_gates", **options)
    return file.getvalue()


def read(text: str):
    return read_gates(io.StringIO(text))


def same_function(net: Netlist, back: Netlist) -> bool:
    words = random_words(net, 4, np.random.default_rng(0))
    return bool((simulate(net, words) == simulate(back, words[net.used_inputs()])).all())


def test_every_function_exhaustively():
    builder = NetlistBuilder(2)
    nodes = [builder.gate(tt, 1, 2) for tt in range(16)]
    literals = [2 * node + c for node in nodes for c in (0, 1)]
    net = builder.build(literals)
    back = read(text_of(net)).net
    words = np.array([[0b1100], [0b1010]], np.uint64)
    found = simulate(back, words)[:, 0] & np.uint64(15)
    expected = [v for tt in range(16) for v in (tt, 15 - tt)]
    # Word bit 2a + b holds f(a, b), so each output word is the truth table itself.
    assert found.tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_round_trip(seed):
    net = random_netlist(seed)
    text = text_of(net, comment=["a header", ""])
    assert text.startswith("// a header\n//\nmodule lgn_gates (\n")
    assert text == text_of(net, comment=["a header", ""])
    back = read(text)
    assert (back.name, back.latency_cycles) == ("lgn_gates", 0)
    assert same_function(net, back.net)
    # Wire numbers lead back to the gates, and real gates keep their tables.
    gate = back.node - net.first_gate
    real = ~is_trivial[net.tt[gate]]
    assert sorted(gate.tolist()) == list(range(net.n_gates))
    assert (back.net.tt[real] == net.tt[gate[real]]).all()


@pytest.mark.parametrize("seed", range(3))
def test_registers_at_every_set_of_levels(seed):
    """The reader itself checks that all operands of a gate are of one clock cycle."""
    net = random_netlist(seed, n_gates=25)
    depth = net.depth
    choices = [c for n in (1, 2, 3) for c in itertools.combinations(range(depth + 1), n)][::5]
    for levels in [*choices, tuple(range(depth + 1))]:
        back = read(text_of(net, gate_registers=levels))
        assert back.latency_cycles == len(levels)
        assert same_function(net, back.net)


def test_registers_are_few():
    """One register for each signal that crosses, none for what is read below only."""
    builder = NetlistBuilder(3)
    low = builder.gate(8, 1, 2)
    middle = builder.gate(6, low, 3)
    net = builder.build([2 * builder.gate(14, middle, low), 2 * 1 + 1])
    text = text_of(net, gate_registers=(2,))
    registers = [line.strip() for line in text.splitlines() if line.startswith("  reg ")]
    assert registers == ["reg n1_r1;", f"reg n{low}_r1;", f"reg n{middle}_r1;"]
    assert "  assign y[1] = ~n1_r1;" in text


def test_plain_wires_constants_and_nothing():
    net = NetlistBuilder(3).build([4, 5, 0, 1])
    text = text_of(net)
    assert "input wire [0:0] x" in text
    back = read(text).net
    assert back.n_inputs == 1
    assert same_function(net, back)
    assert same_function(net, read(text_of(net, gate_registers=(0,))).net)
    empty = NetlistBuilder(0).build([])
    assert read(text_of(empty)).net.n_outputs == 0
    constant = read(text_of(NetlistBuilder(0).build([1]), gate_registers=(0,)))
    assert simulate(constant.net, np.zeros((0, 1), np.uint64))[0, 0] == 2**64 - 1


@pytest.mark.parametrize("levels", [(1, 0), (2, 2), (-1,), (1000,)])
def test_bad_levels(levels):
    with pytest.raises(InputError, match="rising levels within 0"):
        text_of(random_netlist(0), gate_registers=levels)


def test_planted_fault_is_seen():
    net = random_netlist(7)
    text = text_of(net)
    node = int(net.outputs[0] >> 1)
    wrong = text.replace(
        f"assign y[0] = {'~' * int(net.outputs[0] & 1)}n{node};", "assign y[0] = n1;"
    )
    assert wrong != text
    assert not same_function(net, read(wrong).net)


GOOD = """\
module m (
  input wire clk,
  input wire ce,
  input wire [1:0] x,
  output wire [0:0] y
);
  wire n1 = x[0];
  wire n2 = x[1];
  wire n3 = n1 & n2;
  reg n1_r1;
  reg n3_r1;
  always @(posedge clk) if (ce) begin
    n1_r1 <= n1;
    n3_r1 <= n3;
  end
  wire n4 = n1_r1 ^ n3_r1;
  assign y[0] = ~n4;
endmodule
"""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("module m (", "module m(", "expected module"),
        ("input wire ce,", "input wire en,", "ports are"),
        ("input wire clk,", "inout clk,", "expected a port"),
        ("n1 & n2", "n1 && n2", "unknown gate function"),
        ("n1 & n2", "n1 & n9", "n9 is read before"),
        ("wire n2 =", "wire n1 =", "n1 is defined twice"),
        ("x[1]", "x[0]", "in order"),
        ("[1:0] x", "[2:0] x", "x has 3 bits, 2 are read"),
        ("[0:0] y", "[1:0] y", "not all are assigned"),
        ("n1_r1 ^ n3_r1", "n1 ^ n3_r1", "different clock cycles"),
        ("n3_r1 <= n3;", "n3_r1 <= n1;", "not a declared register"),
        ("    n3_r1 <= n3;\n", "", "n3_r1 is read before"),
        ("n1_r1 ^ n3_r1;\n", "n1_r1 ^ n3_r1;\n  reg n4_r1;\n", "n4_r1 is never assigned"),
        ("assign y[0] = ~n4;", "assign y[0] = ~n4;\n  assign y[0] = n4;", "twice"),
        ("assign y[0]", "assign z[0]", "expected a wire"),
        ("endmodule\n", "", "ends before endmodule"),
        ("endmodule\n", "endmodule\nmodule n;\n", "nothing after"),
    ],
)
def test_reader_is_strict(old, new, reason):
    assert read(GOOD).latency_cycles == 1
    assert old in GOOD
    with pytest.raises(IRError, match=reason) as caught:
        read(GOOD.replace(old, new, 1))
    assert "line" in str(caught.value)
