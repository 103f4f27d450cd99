import itertools

import numpy as np
import pytest

from gate2hw.errors import IRError, ModelFileError
from gate2hw.ir import simulate as sim
from gate2hw.ir.lutnetlist import (
    LutNetlist,
    from_netlist,
    load_lutnetlist,
    lsb_first_init,
    save_lutnetlist,
    table_mask,
)
from gate2hw.ir.luttext import parse_lutnetlist, print_lutnetlist
from gate2hw.ir.netlist import Head, Names, SiteLayer, Sites
from gate2hw.ir.store import file_kind, load_netlist


def make_luts(seed=0, *, n_inputs=6, n_luts=25, k=6, encoder=None):
    """A random LutNetlist with 1 to k inputs a LUT and stages that rise with the levels."""
    rng = np.random.default_rng(seed)
    lines = [f"lutnetlist inputs={n_inputs} k={k} digest=d{seed}"]
    lines.append('site "c 1" gates=2 kernels=2 rows=1 columns=1')
    stage = [0] * (1 + n_inputs)
    for node in range(1 + n_inputs, 1 + n_inputs + n_luts):
        size = int(rng.integers(1, k + 1))
        operands = rng.integers(0, node, size).tolist()
        init = int(rng.integers(0, 2**64, dtype=np.uint64)) & int(table_mask(size))
        stage.append(max(stage[o] for o in operands) + int(rng.integers(0, 2)))
        origin = int(rng.integers(-1, 4))
        lines.append(
            f"{node} = LUT{size} {init:#x} {' '.join(map(str, operands))}"
            + (f" @{origin}" if origin >= 0 else "")
            + f" stage={stage[-1]}"
        )
    last = n_inputs + n_luts
    lines.append(f"class bias=3: {last} ~{last - 1}*-2 2")
    lines.append(f"class bias=-1: ~{last - 2} 0")
    return parse_lutnetlist("\n".join(lines))


def by_hand(net, bits):
    value = [0, *bits]
    for init, fanin in zip(net.init.tolist(), net.fanin.tolist(), strict=True):
        address = 0
        for operand in fanin:
            if operand >= 0:
                address = 2 * address + value[operand]
        value.append(init >> address & 1)
    return value


@pytest.mark.parametrize("seed", range(6))
def test_simulate(seed):
    net = make_luts(seed)
    bits = np.random.default_rng(seed).random((100, net.n_inputs)) < 0.5
    values = sim.unpack(sim.node_words(net, sim.pack(bits)), 100).astype(int)
    out = sim.unpack(sim.simulate(net, sim.pack(bits)), 100).astype(int)
    scores = sim.scores_of_bits(net, bits)
    for sample, row in enumerate(bits.astype(int).tolist()):
        value = by_hand(net, row)
        assert values[sample].tolist() == value
        outputs = [value[lit >> 1] ^ (lit & 1) for lit in net.outputs.tolist()]
        assert out[sample].tolist() == outputs
        assert scores[sample].tolist() == [
            3 + outputs[0] - 2 * outputs[1] + outputs[2],
            -1 + outputs[3] + outputs[4],
        ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 4, 6])
def test_from_netlist_is_one_gate_a_lut(seed, k, random_netlist):
    net = random_netlist(seed, encoder=True, named=True)
    luts = from_netlist(net, k)
    assert (luts.n_luts, luts.k, luts.depth) == (net.n_gates, k, net.depth)
    assert not luts.stage.any()
    for name in ("head", "encoder", "sites", "names", "digest"):
        assert getattr(luts, name) == getattr(net, name)
    assert (luts.fan_out == net.fan_out).all()
    assert (luts.used_inputs() == net.used_inputs()).all()
    words = sim.random_words(net, 3, np.random.default_rng(seed))
    assert (sim.node_words(luts, words) == sim.node_words(net, words)).all()
    x = sim.random_features(net.encoder, 50, np.random.default_rng(seed))
    assert (sim.scores(luts, x) == sim.scores(net, x)).all()


def test_from_netlist_of_a_network(random_network, evaluate):
    from gate2hw.ir.unroll import unroll

    network = random_network(4)
    luts = from_netlist(unroll(network))
    x = sim.random_features(luts.encoder, 20, np.random.default_rng(0))
    assert sim.scores(luts, x).tolist() == [evaluate(network, sample)[0] for sample in x]


@pytest.mark.parametrize("k", [1, 7])
def test_from_netlist_refuses(k, random_netlist):
    with pytest.raises(IRError, match=rf"k = {k}: .* 2\.\.6 inputs"):
        from_netlist(random_netlist(0), k)


@pytest.mark.parametrize("k", range(7))
def test_lsb_first_init_reverses_the_address(k):
    rng = np.random.default_rng(k)
    inits = rng.integers(0, 2**64, 20, dtype=np.uint64) & table_mask(k)
    swapped = lsb_first_init(inits, k)
    for init, lsb in zip(inits.tolist(), swapped.tolist(), strict=True):
        for bits in itertools.product((0, 1), repeat=k):
            msb_address = sum(b << (k - 1 - i) for i, b in enumerate(bits))
            lsb_address = sum(b << i for i, b in enumerate(bits))
            assert init >> msb_address & 1 == lsb >> lsb_address & 1
    assert (lsb_first_init(swapped, k) == inits).all()
    assert (swapped & ~table_mask(k) == 0).all()


def test_lsb_first_init_by_example():
    # A & ~B: input 0 is A; with A as the low address bit only address 1 is true
    assert int(lsb_first_init(4, 2)) == 0b0010
    # as an SB_LUT4 with I0 = A, I1 = B: true at I0 = 1, I1 = 0, whatever I2 and I3
    assert int(lsb_first_init(4, 2, width=4)) == 0x2222
    assert int(lsb_first_init(1, 0, width=4)) == 0xFFFF
    assert lsb_first_init([8, 2, 0b10], [2, 1, 1], width=4).tolist() == [0x8888, 0xAAAA, 0xAAAA]
    # f = x0 of three inputs
    assert int(lsb_first_init(0xF0, 3)) == 0xAA


@pytest.mark.parametrize(("n_used", "width"), [(5, 4), (7, None), (-1, None), (3, 7)])
def test_lsb_first_init_refuses(n_used, width):
    with pytest.raises(IRError, match="does not fit"):
        lsb_first_init(1, n_used, width)


def test_table_mask():
    assert [int(m) for m in table_mask(range(7))] == [2 ** (2**k) - 1 for k in range(7)]


TEXT = """\
lutnetlist inputs=3 k=4 digest=abc
site "conv" gates=1 kernels=2 rows=0 columns=0
4 = LUT2 0x8 1 2 @1
5 = LUT1 0x1 3
6 = LUT3 0x96 4 3 5 stage=2
output ~6 name="y"
"""


def test_text_by_example():
    net = parse_lutnetlist(TEXT)
    assert print_lutnetlist(net) == TEXT
    assert net.init.tolist() == [8, 1, 0x96]
    assert net.fanin.tolist() == [[1, 2, -1, -1], [3, -1, -1, -1], [4, 3, 5, -1]]
    assert net.stage.tolist() == [0, 0, 2]
    assert net.level_ptr.tolist() == [0, 2, 3]
    assert net.names.outputs == ("y",)
    assert net.n_used.tolist() == [2, 1, 3]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 4, 6])
def test_text_round_trip(seed, k):
    net = make_luts(seed, k=k)
    text = print_lutnetlist(net)
    assert parse_lutnetlist(text) == net
    assert print_lutnetlist(parse_lutnetlist(text)) == text


def test_text_of_any_topological_order():
    net = parse_lutnetlist(
        "lutnetlist inputs=1 k=2\n2 = LUT1 0x1 1\n3 = LUT1 0x1 2\n"
        "4 = LUT2 0x8 1 1\noutput 3\noutput ~4\n"
    )
    assert net.init.tolist() == [1, 8, 1]
    assert net.outputs.tolist() == [8, 7]


HEADER = "lutnetlist inputs=2 k=2\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("netlist inputs=2\n", 1, "must be 'lutnetlist"),
        ("lutnetlist inputs=2\n", 1, "malformed lutnetlist"),
        ("lutnetlist inputs=2 k=7\n", 1, "malformed lutnetlist"),
        (HEADER + "3 = AND 1 2\n", 2, "malformed LUT"),
        (HEADER + "3 = LUT2 8 1 2\n", 2, "malformed LUT"),
        (HEADER + "3 = LUT0 0x1\n", 2, "malformed LUT"),
        (HEADER + "3 = LUT2 0x8 1\n", 2, r"LUT2 .* has 1 inputs"),
        (HEADER + "3 = LUT3 0x8 1 2 1\n", 2, r"LUT3 \(at most LUT2\) has 3 inputs"),
        (HEADER + "3 = LUT2 0x10 1 2\n", 2, "table 0x10 of LUT2 has more than 4 bits"),
        (HEADER + "3 = LUT2 0x8 1 3\n", 2, "not below it"),
        (HEADER + "3 = LUT2 0x8 1 2 stage=-1\n", 2, "stage -1"),
        (HEADER + "3 = LUT2 0x8 1 2 stage=32768\n", 2, "stage 32768"),
        (HEADER + "3 = LUT2 0x8 1 2 @0\n", 2, "origin @0"),
        (HEADER + "3 = LUT2 0x8 1 2\noutput 4\n", 3, "output reads node 4"),
    ],
)
def test_text_errors_name_the_line(text, line, message):
    with pytest.raises(IRError, match=rf"^line {line}: .*{message}"):
        parse_lutnetlist(text)


BROKEN = {
    "short-fanin": ({"fanin": [[1, 2, -1, -1]]}, "column fanin has 1 entries"),
    "flat-fanin": ({"fanin": [1, 3, 4]}, "column fanin has 1 dimensions"),
    "short-stage": ({"stage": [0]}, "column stage has 1 entries"),
    "wide": ({"fanin": np.full((3, 7), 1)}, "LUTs have 7 inputs"),
    "no-slots": ({"fanin": np.zeros((3, 0))}, "LUTs have 0 inputs"),
    "no-input": ({"fanin": [[-1] * 4, [3, -1, -1, -1], [4, 3, 5, -1]]}, "gate 0 .*at least one"),
    "hole": ({"fanin": [[1, -1, 2, -1], [3, -1, -1, -1], [4, 3, 5, -1]]}, "gate 0 .*last"),
    "no-node": ({"fanin": [[1, 2, -1, -1], [7, -1, -1, -1], [4, 3, 5, -1]]}, "gate 1 .*no node"),
    "minus-2": ({"fanin": [[1, 2, -2, -1], [3, -1, -1, -1], [4, 3, 5, -1]]}, "fanin 2 is -2"),
    "late": ({"fanin": [[1, 2, -1, -1], [3, -1, -1, -1], [1, 3, 2, -1]]}, "gate 2 .*level 2"),
    "table": ({"init": [16, 1, 0x96]}, r"gate 0 .*conv, kernel 1.*0x10 has more than 4 bits"),
    "stage": ({"stage": [1, 3, 2]}, r"gate 2 \(node 6\): stage 2 is before stage 3"),
    "stage-sign": ({"stage": [-1, 0, 0]}, "gate 0 .*stage -1 is before stage 0"),
    "output": ({"outputs": [14]}, "output 0: literal 14"),
    "head": ({"head": Head([0], [1, 1], [])}, "2 weights for 1 outputs"),
    "names": ({"names": Names(classes=("a",))}, "1 names for 0 classes"),
    "origin": ({"sites": Sites((SiteLayer("a", 1, 1),))}, "origin 1 is outside"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_verify_names_the_place(rule):
    changes, message = BROKEN[rule]
    net = parse_lutnetlist(TEXT)
    net.verify()
    with pytest.raises(IRError, match=message):
        net.with_(**changes).verify()


def test_content_digest():
    net = parse_lutnetlist(TEXT)
    digests = {
        net.content_digest(),
        net.with_(init=[8, 2, 0x96]).content_digest(),
        net.with_(stage=[0, 1, 2]).content_digest(),
        net.with_(fanin=[[2, 1, -1, -1], [3, -1, -1, -1], [4, 3, 5, -1]]).content_digest(),
    }
    assert len(digests) == 4
    assert net.content_digest() == net.with_(digest="x").content_digest()


def test_file_round_trip(tmp_path, random_netlist):
    path = tmp_path / "net.npz"
    for net in (make_luts(1), from_netlist(random_netlist(1, encoder=True, named=True))):
        save_lutnetlist(path, net)
        assert load_lutnetlist(path) == net
        assert file_kind(path) == "lutnetlist"
    with pytest.raises(ModelFileError, match="not a netlist file"):
        load_netlist(path)


def test_no_luts_at_all():
    net = parse_lutnetlist("lutnetlist inputs=2 k=4\noutput ~1\n")
    assert isinstance(net, LutNetlist)
    words = np.array([[5], [6]], np.uint64)
    assert sim.simulate(net, words).tolist() == [[2**64 - 6]]
