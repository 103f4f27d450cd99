"""Every rule of verify_netlist catches the corruption that it is there for."""

import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.verify import verify_netlist

NET = parse_netlist("""
netlist inputs=3
encoder shape=(1,2,1) max_value=9
input 1 feature=0 threshold=2
input 2 feature=1 threshold=0
input 3 feature=0 threshold=8
site "conv" gates=1 kernels=2 rows=1 columns=1
4 = AND 1 2 @1
5 = XOR 4 3
6 = OR 4 5
class bias=0: 6
class bias=0: ~5 4
""")


def encoder(feature=(0, 1, 0), threshold=(2, 0, 8), shape=(1, 2, 1), max_value=9):
    return Encoder(feature, threshold, shape, max_value)


BROKEN = {
    "negative-inputs": ({"n_inputs": -1}, "inputs"),
    "too-many-nodes": ({"n_inputs": 2**31}, "32-bit"),
    "short-in0": ({"in0": [1, 4]}, "column in0 has 2 entries for 3 gates"),
    "long-in1": ({"in1": [2, 3, 5, 5]}, "column in1 has 4 entries"),
    "short-origin": ({"origin": [1]}, "column origin has 1 entries"),
    "square-tt": ({"tt": [[8], [6], [14]]}, "column tt has 2 dimensions"),
    "levels-start": ({"level_ptr": [1, 2, 3]}, "level_ptr must rise from 0"),
    "levels-end": ({"level_ptr": [0, 1, 2]}, "level_ptr must rise"),
    "levels-none": ({"level_ptr": np.zeros(0, int)}, "level_ptr must rise"),
    "level-empty": ({"level_ptr": [0, 1, 1, 2, 3]}, "no level empty"),
    "tt": ({"tt": [16, 6, 14]}, r"gate 0 \(node 4, conv, kernel 1, .*truth table 16"),
    "in0-negative": ({"in0": [-1, 4, 4]}, r"gate 0 .*in0 is -1"),
    "in1-above": ({"in1": [2, 7, 5]}, r"gate 1 \(node 5\): in1 is 7, which is no node"),
    "reads-itself": ({"in1": [2, 5, 5]}, "gate 1 .*stands in level 2"),
    "reads-above": ({"in0": [1, 6, 4]}, "gate 1 .*stands in level 2"),
    "too-late": ({"in0": [1, 1, 4]}, "gate 1 .*stands in level 2, but as soon as possible is 1"),
    "level-merged": ({"level_ptr": [0, 2, 3]}, "gate 1 .*stands in level 1"),
    "output-above": ({"outputs": [14, 11, 8]}, "output 0: literal 14 is no node"),
    "output-negative": ({"outputs": [12, -1, 8]}, "output 1: literal -1"),
    "weights": ({"head": Head([0, 1, 3], [1, 1], [0, 0])}, "2 weights for 3 outputs"),
    "groups-start": ({"head": Head([1, 1, 3], [1] * 3, [0, 0])}, "group_ptr must rise from 0"),
    "groups-fall": ({"head": Head([0, 4, 3], [1] * 3, [0, 0])}, "group_ptr must rise"),
    "groups-none": ({"head": Head([], [1] * 3, [])}, "group_ptr must rise"),
    "groups-end": ({"head": Head([0, 1, 2], [1] * 3, [0, 0])}, "groups end at 2, outputs at 3"),
    "biases": ({"head": Head([0, 1, 3], [1] * 3, [0])}, "1 biases for 2 classes"),
    "square-weight": ({"head": Head([0, 1, 3], [[1]] * 3, [0, 0])}, "one dimension"),
    "encoder-short": ({"encoder": encoder(feature=(0, 1))}, "one entry for each of 3 inputs"),
    "encoder-threshold": ({"encoder": encoder(threshold=(2, 0, 9))}, "input 2 has threshold 9"),
    "encoder-negative": ({"encoder": encoder(threshold=(-1, 0, 8))}, "input 0 has threshold -1"),
    "encoder-feature": ({"encoder": encoder(feature=(0, 2, 0))}, "input 1 reads feature 2"),
    "encoder-feature-1": ({"encoder": encoder(feature=(0, -1, 0))}, "input 1 reads feature -1"),
    "encoder-max": ({"encoder": encoder(max_value=65536)}, "max_value 65536 is outside"),
    "encoder-shape": ({"encoder": encoder(shape=())}, "holds no features"),
    "encoder-shape-0": ({"encoder": encoder(shape=(0, 2))}, "holds no features"),
    "encoder-falls": ({"encoder": encoder(threshold=(8, 0, 2))}, "input 2 .*must rise strictly"),
    "encoder-equal": ({"encoder": encoder(threshold=(8, 0, 8))}, r"feature \(here 0\)"),
    "origin-above": ({"origin": [2, -1, -1]}, r"gate 0 .*origin 2 is outside the 2 sites"),
    "origin-below": ({"origin": [1, -1, -2]}, "gate 2 .*origin -2"),
    "sites-negative": ({"sites": Sites((SiteLayer("c", -1, -2),))}, "'c' have a negative size"),
    "names-inputs": ({"names": Names(inputs=("a",))}, "1 names for 3 inputs"),
    "names-outputs": ({"names": Names(outputs=("a",) * 4)}, "4 names for 3 outputs"),
    "names-classes": ({"names": Names(classes=("a",))}, "1 names for 2 classes"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_names_the_place(rule):
    changes, message = BROKEN[rule]
    verify_netlist(NET)
    with pytest.raises(IRError, match=message):
        verify_netlist(NET.with_(**changes))


def test_empty_netlists_are_legal():
    none = np.zeros(0, np.int32)
    verify_netlist(Netlist(0, none, none, none, [0], none, head=Head.none(0)))
    wires = Netlist(2, none, none, none, [0], [2, 5, 1], head=Head([0, 3], [1, 1, 1], [0]))
    verify_netlist(wires)
    assert wires.depth == 0
    assert wires.fan_out.tolist() == [1, 1, 1]
