"""Fast BLIF: LUT networks survive the way to a file and back, and ABC's forms are understood."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import IRError, ModelFileError
from gate2hw.ir import lutblif
from gate2hw.ir.blif import read_blif
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.lutblif import read_lut_blif, write_lut_blif
from gate2hw.ir.lutcover import cover_lines
from gate2hw.ir.lutnetlist import from_netlist, table_mask, to_netlist
from gate2hw.ir.luttables import from_tables, narrow, simplified, widen
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import pack, simulate, unpack


def all_bits(n):
    return np.array(list(itertools.product([False, True], repeat=n))).reshape(-1, n)


def outputs_of(net, bits=None):
    bits = all_bits(net.n_inputs) if bits is None else bits
    return unpack(simulate(net, pack(bits)), len(bits))


def plain(n_inputs, n_outputs=1, **columns):
    return NetlistBuilder(n_inputs).build(np.zeros(n_outputs, np.int64)).with_(**columns)


def random_columns(seed, k, n_inputs=5, n_luts=40, n_outputs=12):
    """Tables, fan-in in a random order of nodes (constants and repeats included), outputs."""
    rng = np.random.default_rng(seed)
    used = np.full(n_luts, k)
    table = widen(rng.integers(0, 2**64, n_luts, dtype=np.uint64) & table_mask(used), used)
    node = 1 + n_inputs + np.arange(n_luts)
    fanin = np.stack([rng.integers(0, node) for _ in range(k)], axis=1)
    outputs = rng.integers(0, 2 * (1 + n_inputs + n_luts), n_outputs)
    # LUTs in any order
    place = rng.permutation(n_luts)
    new = np.concatenate([np.arange(1 + n_inputs), 1 + n_inputs + np.argsort(place)])
    return table[place], new[fanin[place]], 2 * new[outputs >> 1] + (outputs & 1)


def values(table, fanin, outputs, bits):
    """Outputs on one input, LUT by LUT, slot 0 the lowest address bit."""
    known = {0: 0, **{1 + i: int(b) for i, b in enumerate(bits)}}
    first = 1 + len(bits)

    def value(node):
        if node not in known:
            reads = [value(int(f)) for f in fanin[node - first]]
            known[node] = int(table[node - first]) >> sum(v << i for i, v in enumerate(reads)) & 1
        return known[node]

    return [value(int(lit) >> 1) ^ (int(lit) & 1) for lit in outputs]


@pytest.mark.parametrize("k", range(1, 7))
def test_tables_in_any_order_are_reduced_and_read_back(k, tmp_path):
    table, fanin, outputs = random_columns(k, k)
    like = plain(5, len(outputs))
    luts = from_tables(like, table, fanin, outputs, k=k)
    luts.verify()
    expected = [values(table, fanin, outputs, bits) for bits in all_bits(5)]
    np.testing.assert_array_equal(outputs_of(luts), expected)
    # nothing trivial is left
    assert (luts.n_used >= 2).all() or k == 1
    assert simplified(luts) == luts
    write_lut_blif(luts, tmp_path / "luts.blif")
    assert read_lut_blif(tmp_path / "luts.blif", like=like, k=k) == luts
    # another reader, which shares no code with this one
    np.testing.assert_array_equal(outputs_of(read_blif(tmp_path / "luts.blif")), expected)


def test_read_in_stretches(tmp_path, monkeypatch):
    table, fanin, outputs = random_columns(9, 4, n_luts=300, n_outputs=40)
    luts = from_tables(plain(5, 40), table, fanin, outputs, k=4)
    monkeypatch.setattr(lutblif, "CHUNK_BYTES", 50)
    monkeypatch.setattr(lutblif, "CHUNK_LUTS", 7)
    write_lut_blif(luts, tmp_path / "luts.blif")
    assert read_lut_blif(tmp_path / "luts.blif", like=luts) == luts


def test_gates_are_read_back(random_netlist, tmp_path):
    net = random_netlist(3, n_inputs=6, n_gates=60, encoder=True, named=True)
    write_lut_blif(net, tmp_path / "net.blif")
    got = read_lut_blif(tmp_path / "net.blif", like=net)
    np.testing.assert_array_equal(outputs_of(got), outputs_of(net))
    for name in ("head", "encoder", "names", "sites", "digest"):
        assert getattr(got, name) == getattr(net, name)


@pytest.mark.parametrize("k", range(7))
def test_covers_mean_their_table(k):
    rng = np.random.default_rng(k)
    for _ in range(50):
        table = int(rng.integers(0, 2**64, dtype=np.uint64)) & (1 << (1 << k)) - 1
        got, phase = 0, "1"
        for line in cover_lines(table, k).splitlines():
            cube, _, phase = line.rpartition(" ")
            for address in range(1 << k):
                bits = [str(address >> i & 1) for i in range(k)]
                got |= all(c in ("-", b) for c, b in zip(cube, bits, strict=True)) << address
        assert got == (table if phase == "1" else table ^ (1 << (1 << k)) - 1)


ABC_TEXT = """# Benchmark "x" written by ABC
.model x
.inputs pi00 pi01 \\
 pi02
.outputs po0 po1 po2 po3 po4 \\
 po5
.names pi00 pi01 \\
 pi02 new_n12
1-1 1
-10 1
.names new_n12 pi00 po0
00 0
.names pi02 new_n13
0 1
.names new_n13 pi01 po1
11 1
.names po2
 1
.names po3
.names new_n13 po4
0 1
.names new_n12 po5
1 1
.end
"""


def test_what_abc_writes(tmp_path):
    (tmp_path / "abc.blif").write_text(ABC_TEXT)
    got = read_lut_blif(tmp_path / "abc.blif", like=plain(3, 6))
    expected = []
    for a, b, c in all_bits(3).tolist():
        n12 = (a and c) or (b and not c)
        expected.append([n12 or a, not c and b, True, False, c, n12])
    np.testing.assert_array_equal(outputs_of(got), expected)
    assert got.n_luts == 3
    assert (got.k, got.depth) == (3, 2)
    assert got.outputs[2:5].tolist() == [1, 0, 6]


def text(body, inputs="i0 i1", outputs="o0"):
    return f".model m\n.inputs {inputs}\n.outputs {outputs}\n{body}"


BROKEN = {
    "cut short": (text(".names i0 o0\n1 1\n"), "cut short"),
    "two models": (text(".names i0 o0\n1 1\n.end\n.model b\n.end\n"), "not part of|more than one"),
    "too few inputs": (text(".names i0 o0\n1 1\n.end\n", inputs="i0"), "1 inputs, the circuit"),
    "too many outputs": (text(".names i0 o0\n1 1\n.end\n", outputs="o0 o1"), "2 outputs"),
    "undefined": (text(".names i0 n7 o0\n11 1\n.end\n"), "'n7' is read, but never defined"),
    "undefined output": (text(".names i0 n1\n1 1\n.end\n"), "'o0' is read, but never"),
    "twice": (text(".names i0 o0\n1 1\n.names i1 o0\n1 1\n.end\n"), "'o0' is defined twice"),
    "an input again": (text(".names i0 o0\n1 1\n.names i1\n.end\n"), "'i1' is defined twice"),
    "cycle": (text(".names i0 n1 o0\n11 1\n.names o0 n1\n0 1\n.end\n"), "cycle"),
    "latch": (text(".latch i0 o0\n.end\n"), "not part of a combinational"),
    "a later latch": (text(".names i0 o0\n1 1\n.latch i0 n9\n.end\n"), "not part of"),
    "seven inputs": (text(".names i0 i1 i0 i1 i0 i1 i0 o0\n.end\n"), r"0\.\.6 inputs"),
    "no signal": (text(".names\n.end\n"), r"0\.\.6 inputs"),
    "short cube": (text(".names i0 i1 o0\n1 1\n.end\n"), "no cover line"),
    "bad cube": (text(".names i0 i1 o0\n1x 1\n.end\n"), "no cover line"),
    "a two": (text(".names i0 i1 o0\n12 1\n.end\n"), "no cover line"),
    "bad value": (text(".names i0 o0\n1 2\n.end\n"), "no cover line"),
    "three words": (text(".names i0 o0\n1 1 1\n.end\n"), "no cover line"),
    "mixed": (text(".names i0 o0\n1 1\n0 0\n.end\n"), "mixes on-set and off-set"),
    "long name": (text(".names i0 a_name_of_another_tool\n1 1\n.end\n"), "use read_blif|read_blif"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name, tmp_path):
    content, message = BROKEN[name]
    (tmp_path / "bad.blif").write_text(content)
    with pytest.raises(ModelFileError, match=message):
        read_lut_blif(tmp_path / "bad.blif", like=plain(2))


def test_missing_and_too_wide(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_lut_blif(tmp_path / "none.blif", like=plain(2))
    (tmp_path / "wide.blif").write_text(text(".names i0 i1 o0\n10 1\n01 1\n.end\n"))
    with pytest.raises(ModelFileError, match="needs 2 inputs, allowed are 1"):
        read_lut_blif(tmp_path / "wide.blif", like=plain(2), k=1)


def test_names_with_leading_zeros_are_not_the_same(tmp_path):
    body = ".names i0 n01\n1 1\n.names i1 n1\n1 1\n.names n01 n1 o0\n10 1\n.end\n"
    (tmp_path / "n.blif").write_text(text(body))
    got = read_lut_blif(tmp_path / "n.blif", like=plain(2))
    np.testing.assert_array_equal(outputs_of(got)[:, 0], [False, False, True, False])


def test_sparse_numbers(tmp_path):
    body = ".names i0 n99999999999999\n0 1\n.names n99999999999999 i1 o0\n11 1\n.end\n"
    (tmp_path / "n.blif").write_text(text(body))
    got = read_lut_blif(tmp_path / "n.blif", like=plain(2))
    np.testing.assert_array_equal(outputs_of(got)[:, 0], [False, True, False, False])


LEGAL = all_bits(4)[[b[0] >= b[1] and b[2] >= b[3] for b in all_bits(4)]]


@pytest.mark.parametrize("seed", range(6))
def test_care_drops_inputs_that_legal_codes_decide(seed):
    encoder = Encoder([0, 0, 1, 1], [3, 7, 3, 7], (2,), 9)
    table, fanin, outputs = random_columns(seed, 4, n_inputs=4)
    like = plain(4, len(outputs), encoder=encoder)
    exact = from_tables(like, table, fanin, outputs, k=4)
    loose = from_tables(like, table, fanin, outputs, k=4, care="thermometer")
    loose.verify()
    np.testing.assert_array_equal(outputs_of(loose, LEGAL), outputs_of(exact, LEGAL))
    assert simplified(exact, care="none") == exact


def test_care_knows_which_bit_implies_which():
    # bit 1 (the higher threshold) implies bit 0: their AND is bit 1, their OR bit 0
    encoder = Encoder([0, 0], [3, 7], (1,), 9)
    for tt, expected in ((8, [4]), (14, [2]), (4, None), (11, None), (2, [0]), (13, [1])):
        builder = NetlistBuilder(2)
        gate = builder.gate(tt, 1, 2)
        net = builder.build([2 * gate], encoder=encoder)
        got = simplified(from_netlist(net, 2), care="thermometer")
        if expected is None:
            assert got.n_luts == 1
        else:
            assert got.n_luts == 0
            assert got.outputs.tolist() == expected


def test_to_netlist(random_netlist):
    net = random_netlist(5, encoder=True, named=True)
    assert to_netlist(from_netlist(net, 4)) == net
    single = from_netlist(net, 2)
    fanin = single.fanin.copy()
    fanin[-1, 1] = -1
    low = int(fanin[-1, 0])
    level = single.level_ptr
    if single.node_level[low] == single.depth - 1:
        wire = single.with_(fanin=fanin, init=np.append(single.init[:-1], np.uint64(1)))
        assert level is wire.level_ptr
        np.testing.assert_array_equal(outputs_of(to_netlist(wire)), outputs_of(wire))
    wide = from_tables(
        plain(3),
        np.array([0x9696969696969696], np.uint64),
        np.array([[1, 2, 3]]),
        np.array([8]),
        k=3,
    )
    with pytest.raises(IRError, match="3 inputs is not one gate"):
        to_netlist(wide)


def test_narrow_is_the_inverse_of_widen():
    rng = np.random.default_rng(0)
    used = rng.integers(0, 7, 200)
    init = rng.integers(0, 2**64, 200, dtype=np.uint64) & table_mask(used)
    np.testing.assert_array_equal(narrow(widen(init, used), used), init)
