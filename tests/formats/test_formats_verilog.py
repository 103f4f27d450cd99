"""Structural Verilog of others and ours: read, written, refused in one sentence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from formats_nets import real_net
from formats_nets import wild_net as plain

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.verilog import read_verilog
from gate2hw.formats.verilog_writer import write_verilog
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, random_words, simulate, unpack
from gate2hw.ir.verilog_gates import write_gates


def read(tmp_path, text: str) -> Netlist:
    path = tmp_path / "t.v"
    path.write_text(text)
    return read_verilog(path)


def all_outputs(net: Netlist) -> list[list[int]]:
    bits = np.array(list(itertools.product([0, 1], repeat=net.n_inputs)), bool)
    return unpack(simulate(net, pack(bits)), len(bits)).astype(int).tolist()


def same(a: Netlist, b: Netlist) -> bool:
    words = random_words(a, 4, np.random.default_rng(0))
    return bool((simulate(a, words) == simulate(b, words)).all())


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_keeps_gates_inputs_and_order(tmp_path, seed):
    net = real_net(seed)
    write_verilog(net, tmp_path / "n.v")
    assert read_verilog(tmp_path / "n.v") == net
    net = plain(seed)  # with constants, wires and inverters, which the reader works in
    write_verilog(net, tmp_path / "n.v")
    back = read_verilog(tmp_path / "n.v")
    assert same(net, back)
    assert (back.n_inputs, back.n_outputs) == (net.n_inputs, net.n_outputs)


def test_every_function(tmp_path):
    builder = NetlistBuilder(2)
    net = builder.build([2 * builder.gate(tt, 1, 2) + c for tt in range(16) for c in (0, 1)])
    write_verilog(net, tmp_path / "n.v")
    back = read_verilog(tmp_path / "n.v")
    table = np.array(all_outputs(back)).T.tolist()
    for tt in range(16):
        assert table[2 * tt] == [tt >> address & 1 for address in range(4)]
        assert table[2 * tt + 1] == [1 - v for v in table[2 * tt]]


def test_names_of_every_kind(tmp_path):
    inputs = ("a[0]", "a[1]", "a[2]", "b", "c.d", "module", "e[1]", "n7", "f[0]")
    outputs = (*(f"y{i}" for i in range(11)), "x")
    net = plain(1, n_inputs=9).with_(names=Names(inputs=inputs, outputs=outputs))
    write_verilog(net, tmp_path / "n.v")
    text = (tmp_path / "n.v").read_text()
    assert "input wire [2:0] a" in text
    assert "input wire \\c.d " in text
    back = read_verilog(tmp_path / "n.v")
    assert back.names == net.names
    assert same(net, back)
    for bad in ("", "a b", "é", "a\n"):
        with pytest.raises(InputError, match="cannot be written to Verilog"):
            write_verilog(net.with_(names=Names(inputs=(bad, *inputs[1:]))), tmp_path / "n.v")
    with pytest.raises(InputError, match="have the name 'b'"):
        write_verilog(net.with_(names=Names(inputs=("b", *inputs[1:]))), tmp_path / "n.v")


def test_reads_the_gate_cloud_of_a_build(tmp_path):
    """What `ir.verilog_gates` writes is a special case, as long as it has no registers."""
    net = plain(3, n_inputs=6)
    with (tmp_path / "n.v").open("w") as file:
        write_gates(file, net, name="lgn_gates", comment=["header"])
    back = read_verilog(tmp_path / "n.v")
    words = random_words(net, 4, np.random.default_rng(0))
    assert (simulate(net, words) == simulate(back, words[net.used_inputs()])).all()
    with (tmp_path / "n.v").open("w") as file:
        write_gates(file, net, name="lgn_gates", gate_registers=(1,))
    with pytest.raises(ModelFileError, match="'reg' is no structural combinational"):
        read_verilog(tmp_path / "n.v")


EPFL = """// Benchmark "top" written by ABC
`timescale 1ns/1ps
module top(
    \\a[0] , \\a[1] , b,
    \\f[0] , g );
  input  \\a[0] , \\a[1] , b;
  output \\f[0] , g;
  wire n5, n6; /* two
  lines */
  assign n6 = n5 | ~b; // out of order
  assign n5 = ~\\a[0] & \\a[1] ;
  assign \\f[0]  = ~n6;
  assign g = 1'b1;
endmodule
"""


def test_epfl_style(tmp_path):
    net = read(tmp_path, EPFL)
    assert net.names == Names(inputs=("a[0]", "a[1]", "b"), outputs=("f[0]", "g"))
    expected = [
        [1 - ((1 - a0) & a1 | (1 - b)), 1] for a0, a1, b in itertools.product([0, 1], repeat=3)
    ]
    assert all_outputs(net) == expected


def test_primitives_vectors_and_operators(tmp_path):
    net = read(
        tmp_path,
        """module m(x, s, y, z);
  input [1:0] x; input s;
  output [0:3] y;
  output z, z;
  wire t = x[0] ^ x[1], u;
  nand (u, t, s, x[0]), g2(y[0], u, s);
  buf b1(y[1], y[2], t);
  xnor(y[3], x[0], x[1], s);
  assign z = s ? t : ~(u ~^ x[1]);
endmodule""".replace("output z, z;", "output z;"),
    )
    rows = []
    for x0, x1, s in itertools.product([0, 1], repeat=3):
        t = x0 ^ x1
        u = 1 - (t & s & x0)
        y = [1 - (u & s), t, t, 1 - (x0 ^ x1 ^ s)]
        # the lowest bit of a vector comes first: y[3] is the right end of [0:3]
        rows.append([*reversed(y), t if s else u ^ x1])
    assert all_outputs(net) == rows
    assert net.names.outputs == ("y[3]", "y[2]", "y[1]", "y[0]", "z")


HEAD = "module m(a, b, y);\n  input a, b;\n  output y;\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: it does not begin with 'module"),
        (HEAD + "  assign y = a & b;\n", "cut short: it has no endmodule"),
        (HEAD + "endmodule\n", "output 'y' is never defined"),
        (HEAD + "  assign y = a & q;\nendmodule\n", "line 4: 'q' is read, but never defined"),
        (HEAD + "  assign y = y ^ a;\nendmodule", "line 4: 'y' is on a cycle"),
        (HEAD + "  assign y = a;\n  assign y = b;\nendmodule", "line 5: 'y' is defined again"),
        (HEAD + "  assign a = b;\nendmodule", "'a' is an input, but is defined"),
        (HEAD + "  assign y = a + b;\nendmodule", "'a \\+ b' cannot be read: '\\+' is no operator"),
        (HEAD + "  assign y = (a & b;\nendmodule", "ends too early"),
        (HEAD + "  assign y = a b;\nendmodule", "'a b' cannot be read: '\\$' is not expected"),
        (HEAD + "  assign y = 2'b10;\nendmodule", "cannot be read"),
        (HEAD + "  assign y = a[3];\nendmodule", "'a' is no vector, but bit 3"),
        (HEAD + "  wire [2:0] w; assign y = w[3];\nendmodule", "bit 3 of 'w' is outside"),
        (HEAD + "  wire [2:0] w; assign y = w;\nendmodule", "'w' is a vector; only single bits"),
        (HEAD + "  always @(*) y = a;\nendmodule", "'always' is no structural combinational"),
        (HEAD + "  sub s1(.a(a), .y(y));\nendmodule", "'sub' is no structural combinational"),
        (HEAD + "  and g(y, a);\nendmodule", "and with 2 pins"),
        (HEAD + "  and g(y, a, b) x;\nendmodule", "not expected there"),
        (HEAD + "  input c;\nendmodule", "not in the list of ports"),
        ("module m(input [999999999:0] a, output y);endmodule", "1,000,000,000 bits is declared"),
        ("module m(input [x:0] a, output y);endmodule", "no plain range"),
        ("module m(inout a);endmodule", "no input, output or wire"),
        ("module m(a);endmodule", "port 'a' is never declared"),
        (HEAD + "  assign y = a;\nendmodule\nmodule n;endmodule", "follows endmodule"),
        (HEAD + "  /* never closed\nendmodule", "line 4: a comment is never closed"),
        (
            HEAD + "  assign y = " + "(" * 5000 + "a" + ")" * 5000 + ";\nendmodule",
            "nested more than",
        ),
        (HEAD + "  assign y;\nendmodule", "assigns nothing"),
        (HEAD + "  input a;\nendmodule", "'a' is declared twice"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        read(tmp_path, text)
    assert "t.v" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_planted_fault_is_seen(tmp_path):
    text = EPFL.replace("n5 | ~b", "n5 | b")
    assert all_outputs(read(tmp_path, text)) != all_outputs(read(tmp_path, EPFL))


def test_nothing_is_left_of_a_failed_write(tmp_path):
    net = plain(1, n_outputs=1).with_(names=Names(outputs=("a b",)))
    assert net.head == Head.none(1)
    with pytest.raises(InputError):
        write_verilog(net, tmp_path / "n.v")
    assert list(tmp_path.iterdir()) == []
