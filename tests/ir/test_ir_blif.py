"""BLIF: what is written is read back and means the same; tables keep the order of their inputs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir import bliftables
from gate2hw.ir.blif import count_tables, read_blif, write_blif
from gate2hw.ir.builder import NetlistBuilder, from_columns
from gate2hw.ir.netlist import Names
from gate2hw.ir.simulate import pack, simulate, unpack


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


def all_bits(n):
    return np.array(list(itertools.product([0, 1], repeat=n))).reshape(-1, n)


def outputs_of(net):
    bits = all_bits(net.n_inputs)
    return unpack(simulate(net, pack(bits)), len(bits))


def read_text(tmp_path, text):
    (tmp_path / "t.blif").write_text(text)
    return read_blif(tmp_path / "t.blif")


@pytest.mark.parametrize("seed", range(8))
def test_round_trip(tmp_path, seed):
    net = random_net(seed, n_gates=15 * seed)
    write_blif(net, tmp_path / "net.blif")
    got = read_blif(tmp_path / "net.blif")
    assert got.names.inputs == tuple(f"x{i}" for i in range(6))
    assert got.names.outputs == tuple(f"y{o}" for o in range(10))
    np.testing.assert_array_equal(outputs_of(got), outputs_of(net))
    write_blif(got, tmp_path / "again.blif")
    np.testing.assert_array_equal(outputs_of(read_blif(tmp_path / "again.blif")), outputs_of(net))


def test_written_text(tmp_path):
    builder = NetlistBuilder(2)
    gate = builder.gate(4, 1, 2)
    write_blif(builder.build([2 * gate, 2 * gate + 1, 1, 2]), tmp_path / "n.blif", model="m")
    assert (tmp_path / "n.blif").read_text() == (
        ".model m\n.inputs \\\n x0 x1\n.outputs \\\n y0 y1 y2 y3\n.names n0\n"
        ".names x0 x1 n3\n10 1\n"
        ".names n3 y0\n1 1\n.names n3 y1\n0 1\n.names n0 y2\n0 1\n.names x0 y3\n1 1\n.end\n"
    )


def test_all_functions(tmp_path):
    builder = NetlistBuilder(2)
    net = builder.build([2 * builder.gate(tt, 1, 2) for tt in range(16)])
    write_blif(net, tmp_path / "n.blif")
    np.testing.assert_array_equal(outputs_of(read_blif(tmp_path / "n.blif")), outputs_of(net))


def table_text(k, tables, phase):
    """Many k-input tables as on-set or off-set covers of full cubes; column i is input i."""
    names = " ".join(f"i{n}" for n in range(k))
    outputs = " ".join(f"f{n}" for n in range(len(tables)))
    lines = [".model t", f".inputs {names}", f".outputs {outputs}"]
    for n, table in enumerate(tables):
        lines.append(f".names {names} f{n}")
        for address, bits in enumerate(itertools.product("01", repeat=k)):
            if table >> address & 1 == phase:
                lines.append(f"{''.join(bits)} {phase}")
        if not any(table >> a & 1 == phase for a in range(2**k)):
            # an empty cover is 0, so an off-set of nothing is written as an on-set of everything
            lines += [] if phase else [f"{'-' * k} 1"]
    return "\n".join([*lines, ".end", ""])


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("k", range(1, 7))
def test_tables_keep_the_order_of_inputs(tmp_path, k, phase):
    """All tables up to 3 inputs, samples up to 6; the first column is the highest address bit."""
    if k <= 3:
        tables = list(range(1 << (1 << k)))
    else:
        rng = np.random.default_rng(k)
        tables = [int(rng.integers(0, 2**63)) % (1 << (1 << k)) for _ in range(200)]
        tables += [1 << a for a in range(1 << k)]
        # the k projections: input i is 1 at the addresses whose bit k-1-i is set
        tables += [sum(1 << a for a in range(1 << k) if a >> i & 1) for i in range(k)]
    net = read_text(tmp_path, table_text(k, tables, phase))
    got = outputs_of(net)
    for n, table in enumerate(tables):
        assert got[:, n].tolist() == [bool(table >> a & 1) for a in range(1 << k)]
    if k > 3:
        assert all(lit >> 1 < net.first_gate for lit in net.outputs[-k:].tolist())


def test_do_not_cares_constants_order_and_continuation(tmp_path):
    net = read_text(
        tmp_path,
        """# a comment
.model any # another
.inputs a b \\
  c
.inputs d
.outputs late one zero wire
.names early d late
1- 1
-1 1
.names a b c early
1-0 1
01- 1
.names one
1
.names zero
.names c wire
1 1
.end
""",
    )
    bits = all_bits(4)
    a, b, c, d = bits.T.astype(bool)
    early = (a & ~c) | (~a & b)
    expected = np.stack([early | d, a | True, a & False, c], axis=1)
    np.testing.assert_array_equal(outputs_of(net), expected)
    assert net.names.inputs == tuple("abcd")


def test_names(tmp_path):
    names = Names(inputs=("n1", "n_2", "c", "d", "e", "f"), outputs=tuple("ABCDEFGHIJ"))
    net = random_net(1, names=names)
    write_blif(net, tmp_path / "n.blif")
    got = read_blif(tmp_path / "n.blif")
    assert got.names == names
    np.testing.assert_array_equal(outputs_of(got), outputs_of(net))
    for bad in ("a b", "", "#", "a\\", ".x"):
        with pytest.raises(InputError, match="cannot be written to BLIF"):
            write_blif(net.with_(names=Names(inputs=(bad, *"bcdef"))), tmp_path / "n.blif")
    with pytest.raises(InputError, match="same name"):
        write_blif(net.with_(names=Names(inputs=tuple("aabcde"))), tmp_path / "n.blif")
    with pytest.raises(InputError, match="an input and an output"):
        write_blif(net.with_(names=Names(inputs=("y3", *"bcdef"))), tmp_path / "n.blif")


def test_no_inputs_and_nothing_at_all(tmp_path):
    net = read_text(tmp_path, ".model m\n.outputs y z\n.names y\n1\n.names z\n.end\n")
    assert (net.n_inputs, net.n_gates, net.outputs.tolist()) == (0, 0, [1, 0])
    write_blif(net, tmp_path / "n.blif")
    assert read_blif(tmp_path / "n.blif").outputs.tolist() == [1, 0]
    assert read_text(tmp_path, ".model m\n.end\n").n_outputs == 0


HEAD = ".model m\n.inputs a b\n.outputs y\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cut short"),
        (HEAD, r"cut short: it has no \.end"),
        (".inputs a\n.end\n", "begins with it"),
        (HEAD + ".model n\n.end\n", "begins with it"),
        (HEAD + "11 1\n.end\n", "outside .names"),
        (HEAD + ".names a b y\n1 1\n.end\n", "no cover line for 2 inputs"),
        (HEAD + ".names a b y\n1x 1\n.end\n", "something else than 0, 1 and -"),
        (HEAD + ".names a b y\n11 2\n.end\n", "no cover line"),
        (HEAD + ".names a b y\n11 1\n00 0\n.end\n", "mixes on-set and off-set"),
        (HEAD + ".names y\n1 1\n.end\n", "no cover line for 0 inputs"),
        (HEAD + ".names\n.end\n", "without an output"),
        (HEAD + ".names a c y\n11 1\n.end\n", "line 4: 'c' is read, but never defined"),
        (HEAD + ".end\n", "output 'y' is never defined"),
        (HEAD + ".names y y\n1 1\n.end\n", "line 4: 'y' is on a cycle"),
        (HEAD + ".names a z y\n11 1\n.names y b z\n11 1\n.end\n", "cycle"),
        (HEAD + ".names a y\n1 1\n.names b y\n1 1\n.end\n", r"defined again \(first in line 4\)"),
        (HEAD + ".names b a\n1 1\n.names a y\n1 1\n.end\n", "input 'a' is defined again"),
        (".model m\n.inputs a a\n.outputs a\n.end\n", "listed twice"),
        (HEAD + ".latch a y re clk 0\n.end\n", "'.latch' is not combinational"),
        (HEAD + ".subckt adder a=b\n.end\n", "'.subckt' is not combinational"),
        (HEAD + ".name a y\n1 1\n.end\n", "did you mean '.names'"),
        (HEAD + ".names a b a b a b a y\n.end\n", "table of 7 inputs"),
        (HEAD + ".names a y\n1 1\n.end\n.model z\n", "something follows .end"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        read_text(tmp_path, text)
    assert "t.blif, line" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_ways_of_reading_agree(tmp_path, monkeypatch):
    """Plain tables are read by the chunk, anything unusual line by line: with one result."""
    net = random_net(4, n_gates=300)
    write_blif(net, tmp_path / "n.blif")
    text = (tmp_path / "n.blif").read_text()
    tables = table_text(3, [0, 255, 150, 23, 15, 240, 170, 129], 1).split("\n", 3)[3]
    for chunk in (64, 1 << 22):
        monkeypatch.setattr(bliftables, "_CHUNK", chunk)
        plain = read_blif(tmp_path / "n.blif")
        by_line = read_text(tmp_path, text.replace(".end", "# a comment\n.end"))
        assert plain == by_line
        given = ".model m\n.inputs i0 i1 i2 b\n.outputs f0 f1 f2 f3 f4 f5 f6 f7 y\n" + tables
        plain = read_text(tmp_path, given.replace(".end", ".names b y\n1 1\n.end"))
        by_line = read_text(tmp_path, given.replace(".end", ".names b y\n1 1\n# odd\n.end"))
        np.testing.assert_array_equal(outputs_of(plain), outputs_of(by_line))


def test_an_unread_operand_must_be_a_signal(tmp_path):
    """A table that does not depend on an input still names it."""
    for cover in ("1- 1\n", ""):
        with pytest.raises(ModelFileError, match="line 4: 'q' is read, but never defined"):
            read_text(tmp_path, HEAD + f".names a q y\n{cover}.end\n")


def test_unreadable(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_blif(tmp_path / "none.blif")
    (tmp_path / "x.blif").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFileError, match="no UTF-8"):
        read_blif(tmp_path / "x.blif")


def test_fuzzed(tmp_path):
    """Cut anywhere, bytes changed anywhere: a sentence or a sound netlist, never a crash."""
    path = tmp_path / "f.blif"
    write_blif(random_net(2, n_gates=12), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    variants = [whole[:n] for n in range(0, len(whole) - 1, 3)]
    for _ in range(300):
        changed = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)).tolist():
            changed[at] = int(rng.choice([*b"01 -.nxy\\#\n", *rng.integers(0, 256, 3).tolist()]))
        variants.append(bytes(changed))
    refusals: list[str] = []
    for data in variants:
        path.write_bytes(data)
        try:
            read_blif(path)
        except ModelFileError as error:
            refusals.append(str(error))
    assert len(refusals) > len(variants) // 3
    assert not any("\n" in text for text in refusals)


def test_tables_are_counted_by_their_inputs(tmp_path):
    path = tmp_path / "f.blif"
    path.write_text(
        ".model m\n.inputs a b c\n.outputs y z\n# .names no\n.names a \\\n b c y\n111 1\n"
        ".names\ta n\n1 1\n.names n b  z\n11 1\n.names one\n1\n.end\n"
    )
    assert count_tables(path) == {3: 1, 1: 1, 2: 1, 0: 1}
