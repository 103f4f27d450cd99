"""AIGER: what is written is read back and means the same; bad files get one sentence."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.ands import to_ands
from gate2hw.ir.builder import NetlistBuilder, from_columns
from gate2hw.ir.netlist import Names
from gate2hw.ir.simulate import node_words, pack, random_words, simulate, unpack
from gate2hw.ir.topology import levels_of

SUFFIXES = [".aag", ".aig"]


def random_net(seed, n_inputs=6, n_gates=60, n_outputs=10, names=Names()):  # noqa: B008
    rng = np.random.default_rng(seed)
    high = np.arange(1 + n_inputs, 1 + n_inputs + n_gates)
    return from_columns(
        n_inputs,
        rng.integers(0, 16, n_gates).astype(np.uint8),
        rng.integers(0, high).astype(np.int32),
        rng.integers(0, high).astype(np.int32),
        rng.integers(0, 2 * (1 + n_inputs + n_gates), n_outputs),
        names=names,
    )


def outputs_of(net):
    bits = np.array(list(itertools.product([0, 1], repeat=net.n_inputs)))
    return unpack(simulate(net, pack(bits)), len(bits))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(8))
def test_round_trip(tmp_path, seed, suffix):
    net = random_net(seed, n_gates=20 * seed)
    path = tmp_path / f"net{suffix}"
    write_aiger(net, path)
    got = read_aiger(path)
    assert (got.n_inputs, got.n_outputs) == (net.n_inputs, net.n_outputs)
    np.testing.assert_array_equal(outputs_of(got), outputs_of(net))
    assert got.n_gates == len(to_ands(net).rhs0)
    # AND graphs come back as they are, gate by gate
    write_aiger(got, path)
    again = read_aiger(path)
    assert again.content_digest() == got.content_digest()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_functions_on_all_inputs(tmp_path, suffix):
    """16 functions x operands 0, x1, x2, an inverter and an XOR, complement and not."""
    builder = NetlistBuilder(2)
    inverter, xor = builder.gate(3, 1, 1), builder.gate(6, 1, 2)
    operands = (0, 1, 2, inverter, xor)
    outputs = []
    for tt, a, b in itertools.product(range(16), operands, operands):
        outputs.append(2 * builder.gate(tt, a, b) + (len(outputs) & 1))
    net = builder.build(outputs)
    write_aiger(net, tmp_path / f"net{suffix}")
    np.testing.assert_array_equal(
        outputs_of(read_aiger(tmp_path / f"net{suffix}")), outputs_of(net)
    )


def test_and_counts_and_node_literals():
    net = random_net(3, n_gates=200)
    ands = to_ands(net)
    per_function = [0, 1, 1, 0, 1, 0, 3, 1, 1, 3, 0, 1, 0, 1, 1, 0]
    assert len(ands.rhs0) == sum(per_function[tt] for tt in net.tt.tolist())
    lhs = 2 * (ands.first + np.arange(len(ands.rhs0)))
    assert (lhs > ands.rhs0).all()
    assert (ands.rhs0 >= ands.rhs1).all()
    words = random_words(net, 1, np.random.default_rng(0))
    value = [0, *words[:, 0].tolist()]
    full = 2**64 - 1
    for a, b in zip(ands.rhs0.tolist(), ands.rhs1.tolist(), strict=True):
        x, y = value[a >> 1] ^ full * (a & 1), value[b >> 1] ^ full * (b & 1)
        value.append(x & y)
    expected = node_words(net, words)[:, 0].tolist()
    assert [value[lit >> 1] ^ full * (lit & 1) for lit in ands.lit.tolist()] == expected


def test_known_files(tmp_path):
    """The half adder of the format's description, in both forms, byte for byte."""
    builder = NetlistBuilder(2)
    xor, both = builder.gate(6, 1, 2), builder.gate(8, 1, 2)
    net = builder.build([2 * xor, 2 * both])
    write_aiger(net, tmp_path / "half.aag")
    text = (tmp_path / "half.aag").read_text()
    assert text == "aag 6 2 0 2 4\n2\n4\n10\n12\n6 4 2\n8 5 3\n10 9 7\n12 4 2\n"
    write_aiger(net, tmp_path / "half.aig")
    raw = (tmp_path / "half.aig").read_bytes()
    assert raw == b"aig 6 2 0 2 4\n10\n12\n" + bytes([2, 2, 3, 2, 1, 2, 8, 2])


def test_ascii_in_any_order(tmp_path):
    """Defined in any order, variables with gaps, inputs not in order; comment and symbols."""
    path = tmp_path / "any.aag"
    path.write_text(
        "aag 20 2 0 2 2\n10\n4\n30\n7\n30 6 11\n6 4 10\ni0 first\no1 out\nc\nanything\n\xff"
    )
    net = read_aiger(path)
    assert net.names.inputs == ("first", "i1")
    assert net.names.outputs == ("o0", "out")
    # inputs are variables 5 and 2; 3 = v2 & v5; 15 = v3 & ~v5 = 0; outputs v15, ~v3
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    got = unpack(simulate(net, pack(bits)), 4)
    assert got[:, 0].tolist() == [False] * 4
    assert got[:, 1].tolist() == [True, True, True, False]


def test_symbols(tmp_path):
    names = Names(
        inputs=("a b", "ä", "c", "d", "e", "f"), outputs=tuple(f"o{i}x" for i in range(10))
    )
    net = random_net(1, names=names)
    for suffix in SUFFIXES:
        write_aiger(net, tmp_path / f"n{suffix}")
        assert read_aiger(tmp_path / f"n{suffix}").names == names
        write_aiger(net, tmp_path / f"n{suffix}", symbols=False)
        assert read_aiger(tmp_path / f"n{suffix}").names == Names()
    with pytest.raises(InputError, match="one line"):
        write_aiger(net.with_(names=Names(inputs=("a\nb", *"cdefg"))), tmp_path / "n.aig")
    with pytest.raises(InputError, match=r"\.aag .* or \.aig"):
        write_aiger(net, tmp_path / "n.aiger")
    assert not (tmp_path / "n.aiger").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short in the header"),
        (b"hello\n", "does not begin"),
        (b"aag 1 1 0\n", "header must be"),
        (b"aag 1 1 0 -1 0\n2\n", "header must be"),
        (b"aag 3 1 1 0 1\n2\n4 2\n6 4 2\n", "latches"),
        (b"aag 3 1 0 0 1 1\n2\n6 4 2\n6\n", "latches or properties"),
        (b"aag 1 1 0 0 1\n2\n4 2 2\n", "do not agree with M"),
        (b"aig 5 2 0 1 1\n6\n\x02\x02", "do not agree with M"),
        (b"aag 1000000000 1000000000 0 0 0\n2\n", "bytes follow"),
        (b"aig 1000000000 1 0 1 999999999\n2\n\x01\x01", "bytes follow"),
        (b"aig 1000000000 1000000000 0 1 0\n2\n", "bytes follow"),
        (b"aig 99999999999999999999 1 0 1 1\n2\n", "more than"),
        (b"aig 1 1 0 1000000000 0\n2\n", "bytes follow"),
        (b"aag 2 1 0 1 1\n2\n4\n4 4 2\n", "cycle"),
        (b"aag 3 1 0 1 2\n2\n4\n4 6 2\n6 4 2\n", "cycle"),
        (b"aag 9 1 0 1 1\n2\n4\n4 8 2\n", "literal 8 is used, but never defined"),
        (b"aag 9 1 0 1 1\n2\n12\n4 2 2\n", "literal 12 is used, but never defined"),
        (b"aag 2 2 0 0 0\n2\n2\n", "defined twice"),
        (b"aag 2 1 0 0 1\n2\n2 2 2\n", "defined twice"),
        (b"aag 2 1 0 0 1\n3\n4 2 2\n", "odd, zero or too large"),
        (b"aag 2 1 0 0 1\n2\n14 2 2\n", "odd, zero or too large"),
        (b"aag 2 1 0 0 1\n2\n4  2 2\n", "not 3 plain"),
        (b"aag 2 1 0 0 1\n2\n4 2\n\n\n\n", "not 3 plain"),
        (b"aag 2 1 0 0 1\n2\n4 2 -2\n", "not 3 plain"),
        (b"aag 2 1 0 0 1\n2\n4 2 99999999999\n", "too large"),
        (b"aag 2 1 0 0 1\n2\n4 2 22", "cut short in the ANDs"),
        (b"aig 2 1 0 1 1\n4\n\x02", "bytes follow|cut short"),
        (b"aig 2 1 0 1 1\n4\n\x82\x82\x82", "cut short after 0 of 1 ANDs"),
        (b"aig 2 1 0 1 1\n4\n\x80\x80\x80\x80\x80\x01\x01", "overlong"),
        (b"aig 2 1 0 1 1\n4\n\x00\x01", "AND 0 reads what is not below"),
        (b"aig 2 1 0 1 1\n4\n\x02\x03", "AND 0 reads what is not below"),
        (b"aig 2 1 0 1 1\n44\n\x02\x02", "output literal 44"),
        (b"aag 1 1 0 0 0\n2\ni1 x\n", "names no input"),
        (b"aag 1 1 0 0 0\n2\nl0 x\n", "names no input"),
        (b"aag 1 1 0 0 0\n2\ni0 x\ni0 y\n", "named twice"),
        (b"aag 1 1 0 0 0\n2\ni0 \xff\n", "UTF-8"),
        (b"aag 1 1 0 0 0\n2\ni0 x", "cut short in the symbols"),
    ],
)
def test_bad_files(tmp_path, data, message):
    path = tmp_path / "bad.aig"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        read_aiger(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_aiger(tmp_path / "none.aig")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_fuzzed(tmp_path, suffix):
    """Cut anywhere, bytes changed anywhere: a sentence or a sound netlist, never a crash."""
    names = Names(inputs=tuple("abcdef"), outputs=tuple("ABCDEFGHIJ"))
    path = tmp_path / f"net{suffix}"
    write_aiger(random_net(2, n_gates=15, names=names), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals: list[str] = []
    variants = [whole[:n] for n in range(0, len(whole), 2)]
    for _ in range(400):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)).tolist():
            changed[at] = int(rng.choice([*b"0123456789 \n", *rng.integers(0, 256, 4).tolist()]))
        variants.append(bytes(changed))
    for data in variants:
        path.write_bytes(data)
        try:
            read_aiger(path)
        except ModelFileError as error:
            refusals.append(str(error))
    assert len(refusals) > len(variants) // 3
    assert not any("\n" in text for text in refusals)


def test_large_binary_is_quick(tmp_path):
    """200,000 gates write and read in about a second; four hold the machine's noise."""
    net = random_net(0, n_inputs=500, n_gates=200_000)
    clock = time.perf_counter()
    write_aiger(net, tmp_path / "big.aig")
    got = read_aiger(tmp_path / "big.aig")
    assert time.perf_counter() - clock < 4
    words = random_words(net, 1, np.random.default_rng(1))
    np.testing.assert_array_equal(simulate(got, words), simulate(net, words))


def test_levels_of():
    # 0 and 3 read sources, 1 reads 0 twice, 2 reads 1 and 3; 4 and 5 read each other, 6 reads 5
    fanin = np.array([-1, -1, 0, 0, 1, 3, -4, -1, 5, 0, 4, 0, 5, 5])
    level = levels_of(fanin, 2 * np.arange(8))
    assert level.tolist() == [0, 1, 2, 0, -1, -1, -1]
    assert levels_of(np.zeros(0, np.int64), np.zeros(1, np.int64)).tolist() == []
