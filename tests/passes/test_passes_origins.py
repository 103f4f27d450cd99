"""Origins found again by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import SiteLayer, Sites
from gate2hw.ir.simulate import node_words, pack
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.origins import restore_origins, signatures
from gate2hw.passes.local.strash import strash

AND, XOR, OR, NOR = 8, 6, 14, 1


def with_sites(net, origin):
    return net.with_(origin=np.array(origin), sites=Sites((SiteLayer("layer", 1, 99),)))


def test_same_complement_and_neighbours():
    old = NetlistBuilder(3)
    either = old.gate(OR, 1, 2)
    top = old.gate(XOR, either, 3)
    before = with_sites(old.build([2 * top]), [40, 41])
    new = NetlistBuilder(3)
    neither = new.gate(NOR, 1, 2)
    same = new.gate(AND, 1, 3)
    other = new.gate(AND, 2, 3)
    above = new.gate(XOR, neither, 3)
    far = new.gate(OR, same, other)
    last = new.gate(AND, far, above)
    after = restore_origins(before, new.build([2 * last]))
    assert after.sites == before.sites
    # the complement of 40; no function of old, so from readers; the complement of 41
    by_node = dict(zip([neither, same, other, above, far, last], after.origin, strict=True))
    assert by_node[neither] == 40
    assert by_node[above] == 41
    assert by_node[last] == 41
    assert {by_node[same], by_node[other], by_node[far]} == {41}
    assert restore_origins(before, after) is after


def test_known_origins_stay(oracle):
    net = oracle.random_net(1, n_gates=50)
    holes = net.origin.copy()
    holes[::3] = -1
    kept = np.where(holes < 0, -1, 49 - holes)
    after = restore_origins(net, net.with_(origin=kept))
    assert (after.origin >= 0).all()
    np.testing.assert_array_equal(after.origin[kept >= 0], kept[kept >= 0])


@pytest.mark.parametrize("seed", range(5))
def test_every_function_is_found(oracle, seed):
    """Where each gate has its function to itself, its origin comes back exactly."""
    net = dce(strash(fold(oracle.random_net(seed, n_gates=80, dense=True, encoder=seed % 2 == 1))))
    words = pack(oracle.all_bits(5))
    value = node_words(net, words)[:, 0] & np.uint64(2**32 - 1)
    value = np.minimum(value, value ^ np.uint64(2**32 - 1))[net.first_gate :]
    _, number, count = np.unique(value, return_inverse=True, return_counts=True)
    alone = count[number] == 1
    after = restore_origins(net, net.with_(origin=np.full(net.n_gates, -1)))
    if not seed % 2:
        assert alone.any()
        np.testing.assert_array_equal(after.origin[alone], net.origin[alone])
    assert (after.origin >= 0).all()


def test_nothing_to_give(oracle):
    net = oracle.random_net(2)
    bare = net.with_(origin=np.full(net.n_gates, -1))
    assert restore_origins(bare, bare) is bare
    assert restore_origins(net, net) is net
    empty = NetlistBuilder(2).build([2])
    assert restore_origins(net, empty) is empty


def test_signatures_see_complement_only(oracle):
    value = np.random.default_rng(0).integers(0, 2**64, (200, 4), dtype=np.uint64)
    assert len(np.unique(signatures(value))) == 200
    np.testing.assert_array_equal(signatures(value), signatures(~value))
    swapped = value[:, ::-1]
    assert not np.intersect1d(signatures(value), signatures(swapped)).size
