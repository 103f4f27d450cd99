"""The three ways in which strash finds equal gates give the same netlist."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.passes.local import strash as module
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.strash import strash


@pytest.mark.parametrize("seed", range(6))
def test_hash_key_and_columns_agree(oracle, seed, monkeypatch):
    net = fold(oracle.random_net(seed, n_inputs=4, n_gates=300, dense=True))
    got = strash(net)
    assert got.n_gates < net.n_gates
    with monkeypatch.context() as patch:
        # every hash collides: the keys themselves are sorted
        patch.setattr(module, "_ODD", np.uint64(0))
        assert strash(net).content_digest() == got.content_digest()
    monkeypatch.setattr(module, "KEY_NODES", 0)
    assert strash(net).content_digest() == got.content_digest()


def test_colliding_hashes_are_not_taken_for_equal_gates():
    key = np.array([5, 9, 5, 7], np.uint64)
    order, same = module._hashed_order(key)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert same.sum() == 1
    at = int(np.flatnonzero(same)[0])
    assert order[at : at + 2].tolist() == [0, 2]


def test_a_collision_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "_ODD", np.uint64(0))
    assert module._hashed_order(np.array([5, 9, 5], np.uint64)) is None
    assert module._hashed_order(np.array([5, 5, 5], np.uint64)) is not None
