"""The fast evaluator agrees with the reference; differences are found; codes become values."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.ir.netlist import Encoder, Head
from gate2hw.ir.simulate import encode, node_words, unpack
from gate2hw.passes.proof import proof_vectors
from gate2hw.passes.proof.proof_vectors import (
    Evaluator,
    draw_words,
    features_of,
    first_difference,
    legal_code,
)


def plain(net):
    return net.with_(head=Head.none(net.n_outputs), encoder=None)


@pytest.mark.parametrize("seed", range(4))
def test_evaluator_is_the_reference(oracle, monkeypatch, seed):
    """All 16 functions, and blocks shorter than a run of one function."""
    monkeypatch.setattr(proof_vectors, "_BLOCK_WORDS", 8)
    net = oracle.random_net(seed, n_inputs=9, n_gates=400)
    assert set(net.tt.tolist()) == set(range(16))
    words = draw_words(net, "none", 3, np.random.default_rng(seed))
    evaluator = Evaluator(net, 3)
    for _ in range(2):
        evaluator.run(words)
        np.testing.assert_array_equal(evaluator.value[evaluator.place], node_words(net, words))


def test_a_difference_is_found_and_is_one(oracle):
    """One complemented gate behind one of 40 outputs, and an output complemented."""
    net = plain(oracle.random_net(5, n_inputs=9, n_gates=200, n_outputs=40, dense=True))
    done, example = first_difference(net, net, net, "none", n_vectors=1000, seed=0)
    assert (done >= 1000, example) == (True, None)
    tt = net.tt.copy()
    gate = int(net.outputs.max() >> 1) - net.first_gate
    tt[gate] ^= 15
    for bad in (net.with_(tt=tt), net.with_(outputs=net.outputs ^ (np.arange(40) == 7))):
        _, example = first_difference(net, bad, net, "none", n_vectors=1000, seed=0)
        values = [oracle.value_of(side, example.astype(int).tolist())[0] for side in (net, bad)]
        assert values[0] != values[1]


def test_vectors_follow_the_care_set(oracle):
    net = oracle.random_net(0, n_inputs=8, encoder=True)
    for care, is_legal in (("thermometer", True), ("none", False)):
        bits = unpack(draw_words(net, care, 8, np.random.default_rng(0)), 512)
        assert (~bits[:, 1::2] | bits[:, 0::2]).all() == is_legal


def test_codes_and_values():
    encoder = Encoder([0, 1, 0, 1, 0], [3, 3, 7, 9, 9], (2,), 9)
    assert legal_code(encoder, np.array([0, 0, 0, 1, 1], bool)).tolist() == [1, 1, 1, 1, 1]
    assert legal_code(encoder, np.array([0, 0, 1, 0, 0], bool)).tolist() == [1, 0, 1, 0, 0]
    for x in ([0, 0], [4, 9], [8, 4]):
        bits = encode(encoder, np.array([x]))[0]
        assert features_of(encoder, bits).tolist() == [*x[:1], 4 if x[1] else 0]
    # no value of 0..9 is above 9, and bit 2 without bit 0 is no code
    assert features_of(encoder, np.array([1, 0, 1, 0, 1], bool)) is None
    assert features_of(encoder, np.array([0, 0, 1, 0, 0], bool)) is None
