import numpy as np
import pytest

from gate2hw.errors import IRError
from gate2hw.ir.netlist import Encoder, Head, Site, SiteLayer, Sites, frozen_array
from gate2hw.ir.text import parse_netlist

NET = parse_netlist("""
netlist inputs=4 digest=root
site "conv" gates=2 kernels=3 rows=2 columns=2
site "dense" gates=1 kernels=2 rows=0 columns=0
5 = AND 1 2 @0
6 = XOR 1 1 @25
7 = A 5 6
class bias=1: 7 ~5*2
class bias=-4: 3*-3 0
""")


def test_sizes_and_levels():
    assert (NET.n_gates, NET.n_inputs, NET.n_outputs, NET.n_classes) == (3, 4, 4, 2)
    assert (NET.first_gate, NET.n_nodes, NET.depth) == (5, 8, 2)
    assert list(NET.levels()) == [(0, 2), (2, 3)]
    assert NET.node_level.tolist() == [0, 0, 0, 0, 0, 1, 1, 2]
    assert NET.fan_out.tolist() == [1, 3, 1, 1, 0, 2, 1, 1]
    assert NET.used_inputs().tolist() == [0, 1, 2]
    counts = NET.function_counts()
    assert sum(counts.values()) == 3
    assert (counts["AND"], counts["XOR"], counts["A"]) == (1, 1, 1)


def test_sites():
    assert NET.site_of(0) == Site("conv", 0, 0, 0, 0)
    assert NET.site_of(1) == Site("dense", 1, -1, -1, 0)
    assert NET.site_of(2) is None
    assert NET.sites.layer_of(NET.origin).tolist() == [0, 1, -1]
    every = [NET.sites[i] for i in range(len(NET.sites))]
    expected = [
        Site("conv", k, r, c, g)
        for g in range(2)
        for k in range(3)
        for r in range(2)
        for c in range(2)
    ] + [Site("dense", k, -1, -1, 0) for k in range(2)]
    assert every == expected
    with pytest.raises(IndexError):
        NET.sites[26]
    assert len(Sites()) == 0
    empty_first = Sites((SiteLayer("none", 0, 3), SiteLayer("some", 1, 2)))
    assert empty_first[0] == Site("some", 0, -1, -1, 0)


def test_score_bounds_by_enumeration():
    head = Head([0, 3, 3, 5], [2, -3, 1, -1, -1], [5, 7, -2])
    assert head.score_bounds().tolist() == [[2, 8], [7, 7], [-4, -2]]
    assert Head.none(4).score_bounds().shape == (0, 2)


def test_content_digest_follows_content_only():
    digest = NET.content_digest()
    assert digest == NET.with_(digest="other", sites=Sites(), origin=[-1] * 3).content_digest()
    changed = [
        NET.with_(tt=[8, 6, 10]),
        NET.with_(in0=[1, 1, 6]),
        NET.with_(outputs=[14, 10, 6, 0]),
        NET.with_(head=Head([0, 2, 4], [1, 2, -3, 2], [1, -4])),
        NET.with_(head=Head([0, 2, 4], [1, 2, -3, 1], [1, -5])),
        NET.with_(encoder=Encoder([0, 1, 2, 3], [1] * 4, (4,), 9)),
        NET.with_(encoder=Encoder([0, 1, 2, 3], [1] * 4, (2, 2), 9)),
    ]
    assert len({digest, *(net.content_digest() for net in changed)}) == len(changed) + 1


def test_equal_by_content():
    assert NET.with_() == NET
    assert NET.with_(digest="x") != NET
    assert NET.with_(tt=[8, 6, 10]) != NET
    assert NET != "netlist"
    assert Head.none(2) != Head.none(3)


def test_columns_are_frozen_and_exact():
    with pytest.raises(ValueError, match="read-only"):
        NET.tt[0] = 1
    assert frozen_array([1, 2], np.int32).dtype == np.int32
    assert frozen_array(np.zeros(0), np.int32).dtype == np.int32
    for values, dtype in [
        ([256], np.uint8),
        ([-1], np.uint64),
        ([0.5], np.int32),
        (np.array([2**31]), np.int32),
        ([float("nan")], np.int64),
        (np.array([1 << 63], np.uint64), np.int64),
    ]:
        with pytest.raises(IRError, match="cannot hold"):
            frozen_array(values, dtype)
