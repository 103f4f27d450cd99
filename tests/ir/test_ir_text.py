import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.errors import IRError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.text import parse_netlist, print_netlist

TEXT = """\
netlist inputs=3 digest=abc
encoder shape=(1,1,3) max_value=255
input 1 feature=0 threshold=127 name="p0"
input 2 feature=1 threshold=0 name="p # 1"
input 3 feature=1 threshold=9 name="a  b"
site "dense1" gates=1 kernels=2 rows=0 columns=0
4 = AND 1 2
5 = NOT_A 3 0 @1
6 = XOR 4 3 @0
class "odd" bias=-2: 6 ~4*-2
class "even" bias=0:
name 0 "y0"
name 1 ""
"""


def test_an_example_both_ways():
    net = parse_netlist(TEXT)
    assert print_netlist(net) == TEXT
    assert net.tt.tolist() == [8, 3, 6]
    assert net.outputs.tolist() == [12, 9]
    assert net.head == Head([0, 2, 2], [1, -2], [-2, 0])
    assert net.encoder == Encoder([0, 1, 1], [127, 0, 9], (1, 1, 3), 255)
    assert net.names == Names(("p0", "p # 1", "a  b"), ("y0", ""), ("odd", "even"))
    assert net.origin.tolist() == [-1, 1, 0]
    assert net.sites == Sites((SiteLayer("dense1", 1, 2),))
    assert net.digest == "abc"


def test_comments_blanks_and_order_are_free():
    net = parse_netlist("""
        # a comment
        netlist   inputs=2   # another
        3 = AND\t1   2#3
        4 = OR 3 1
        5 = XOR 1 2
        output ~4 name="a#b"
        output 5*3 name="c"\r
    """)
    assert net.tt.tolist() == [8, 6, 14]
    assert net.outputs.tolist() == [11, 8]
    assert net.head.weight.tolist() == [1, 3]
    assert net.names.outputs == ("a#b", "c")


names = st.lists(st.text(max_size=6), min_size=8, max_size=8)


@st.composite
def netlists(draw):
    n_inputs = draw(st.integers(0, 5))
    builder = NetlistBuilder(n_inputs)
    for gate in range(draw(st.integers(0, 8))):
        node = st.integers(0, n_inputs + gate)
        builder.gate(draw(st.integers(0, 15)), draw(node), draw(node))
    n_nodes = 1 + n_inputs + len(builder._tt)
    outputs = draw(st.lists(st.integers(0, 2 * n_nodes - 1), max_size=6))
    n_classes = draw(st.integers(0, 3))
    cuts = sorted(draw(st.integers(0, len(outputs))) for _ in range(max(0, n_classes - 1)))
    ptr = [0, *cuts, len(outputs)] if n_classes else [0]
    weight = [draw(st.integers(-(2**31) + 1, 2**31 - 1)) for _ in outputs]
    head = Head(ptr, weight, [draw(st.integers(-(2**62), 2**62)) for _ in range(n_classes)])
    encoder = None
    if draw(st.booleans()):
        encoder = Encoder([i // 2 for i in range(n_inputs)], list(range(n_inputs)), (3,), 9)
    sizes = {"inputs": n_inputs, "outputs": len(outputs), "classes": n_classes}
    named = {k: tuple(draw(names)[:n]) if draw(st.booleans()) else () for k, n in sizes.items()}
    net = builder.build(outputs, head=head, encoder=encoder, names=Names(**named))
    sites = Sites((SiteLayer(draw(st.text(max_size=5)), 2, 3, 2, 1), SiteLayer("d", 1, 1)))
    origin = [draw(st.integers(-1, len(sites) - 1)) for _ in range(net.n_gates)]
    return net.with_(origin=origin, sites=sites, digest=draw(st.text(max_size=6)))


@settings(max_examples=150, deadline=None)
@given(netlists())
def test_round_trip(net: Netlist):
    text = print_netlist(net)
    assert parse_netlist(text) == net
    assert print_netlist(parse_netlist(text)) == text


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_of_larger_ones(seed, random_netlist):
    net = random_netlist(seed, n_gates=200, encoder=True, named=True)
    assert parse_netlist(print_netlist(net)) == net


HEADER = "netlist inputs=2\n"
GATE = HEADER + "3 = AND 1 2\n"
ENCODER = HEADER + "encoder shape=(2) max_value=9\n"
BROKEN = [
    ("3 = AND 1 2\n", 1, "first line"),
    ("netlist\n", 1, "malformed netlist line"),
    ("netlist inputs=-1\n", 1, "malformed netlist line"),
    ("netlist inputs=99999999999\n", 1, "out of range"),
    (HEADER + "netlist inputs=2\n", 2, "first line"),
    ('netlist inputs=2 digest="\\q"\n', 1, "no JSON string"),
    (HEADER + "gate 3\n", 2, "unknown line 'gate'"),
    (HEADER + "outptu 1\n", 2, "did you mean 'output'"),
    (HEADER + "3 = AND 1\n", 2, "malformed gate"),
    (HEADER + "3 AND 1 2\n", 2, "malformed gate"),
    (HEADER + "3 = AND 1 ~2\n", 2, "malformed gate"),
    (HEADER + "3 = AMD 1 2\n", 2, "unknown function 'AMD'; did you mean 'AND'"),
    (HEADER + "4 = AND 1 2\n", 2, "gate 4 stands where node 3 is expected"),
    (HEADER + "3 = AND 1 3\n", 2, "gate 3 reads node 3, which is not below it"),
    (HEADER + "3 = AND 1 99999999999999999999\n", 2, "not below it"),
    (HEADER + "\n# x\n3 = AND 1 2 @0\noutput 3\n", 4, "origin @0 is outside the 0 sites"),
    (GATE + "output 4\n", 3, "output reads node 4, the last is 3"),
    (GATE + "output\n", 3, "malformed output"),
    (GATE + "output 3*x\n", 3, "malformed output"),
    (GATE + "output 3*3000000000\n", 3, "out of range"),
    (GATE + 'output 3 name="\\q"\n', 3, "no JSON string"),
    (GATE + 'output 3 name="a"\noutput 2\n', 4, "either all outputs have names, or none"),
    (GATE + 'output 3\noutput 2 name="a"\n', 4, "either all outputs"),
    (GATE + "output 3\nclass bias=0: 3\n", 4, "not both"),
    (GATE + "class bias=0: 3\noutput 3\n", 4, "not both"),
    (GATE + "class bias=0 3\n", 3, "malformed class"),
    (GATE + "class bias=0: 3 4\n", 3, "output reads node 4"),
    (GATE + "class bias=99999999999999999999: 3\n", 3, "out of range"),
    (GATE + 'class "a" bias=0: 3\nclass bias=0: 2\n', 4, "either all classes"),
    (GATE + 'name 0 "a"\n', 3, "after the class lines"),
    (GATE + 'class bias=0: 3\nname 1 "a"\n', 4, "name of output 0 is expected"),
    (HEADER + "input 2\n", 2, "input 2 stands where input 1 of 2"),
    (HEADER + "input 1\ninput 2\ninput 3\n", 4, "input 3 stands where"),
    (HEADER + "input 1 feature=0 threshold=1\n", 2, "exactly if there is an encoder"),
    (ENCODER + "input 1\n", 3, "exactly if there is an encoder"),
    (ENCODER + "input 1 feature=0\n", 3, "malformed input"),
    (ENCODER + "encoder shape=(2) max_value=9\n", 3, "one encoder line"),
    (HEADER + "input 1\nencoder shape=(2) max_value=9\n", 3, "one encoder line"),
    (HEADER + "encoder shape=() max_value=9\n", 2, "malformed encoder"),
    (HEADER + 'input 1 name="a"\ninput 2\n', 3, "either all inputs"),
    (HEADER + "site dense gates=1 kernels=1 rows=0 columns=0\n", 2, "malformed site"),
]


@pytest.mark.parametrize(("text", "line", "message"), BROKEN)
def test_errors_name_the_line(text, line, message):
    with pytest.raises(IRError, match=rf"^line {line}: .*{message}"):
        parse_netlist(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no netlist"),
        ("# nothing\n", "holds no netlist"),
        (ENCODER + "input 1 feature=0 threshold=1\n", "1 input lines for 2 inputs"),
        (
            ENCODER + "input 1 feature=0 threshold=1\ninput 2 feature=2 threshold=1\n",
            "input 1 reads feature 2",
        ),
        (GATE + 'class bias=0: 3 2\nname 0 "a"\n', "1 names for 2 outputs"),
    ],
)
def test_errors_of_the_whole(text, message):
    with pytest.raises(IRError, match=message):
        parse_netlist(text)
