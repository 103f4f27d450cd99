"""prove_equal on legal codes only, and up to a common shift of the scores."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head
from gate2hw.ir.simulate import encode, scores_of_bits
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.proof import equivalence
from gate2hw.passes.proof.equivalence import prove_equal


def thermometer(n_features, n_thresholds):
    """Bits of one feature apart from each other, as a model lays channels out."""
    feature = np.tile(np.arange(n_features), n_thresholds)
    threshold = np.repeat(10 * np.arange(1, n_thresholds + 1), n_features)
    return Encoder(feature, threshold, (n_features,), 255)


def circuit(make, n_features=3, n_thresholds=3):
    builder = NetlistBuilder(n_features * n_thresholds)
    literals = make(builder)
    head = Head([0, len(literals)], np.ones(len(literals), np.int32), [0])
    return builder.build(literals, head=head, encoder=thermometer(n_features, n_thresholds))


def test_equal_on_legal_codes_only(tmp_path):
    """Bits 1, 4, 7 are the thresholds of feature 0: the highest implies the lowest."""
    both = circuit(lambda b: [2 * b.gate(8, 1, 7)])
    high = circuit(lambda _: [2 * 7])
    assert prove_equal(both, high, work_dir=tmp_path, timeout_s=60, care="thermometer").result == (
        "equivalent"
    )
    proof = prove_equal(both, high, work_dir=tmp_path, timeout_s=60, care="none")
    assert proof.result == "different"
    assert proof.features is None
    assert proof.example().startswith("input bits ")
    assert prove_equal(both, high, work_dir=tmp_path, timeout_s=60).result == "different"
    with pytest.raises(InputError, match="care set"):
        prove_equal(both, high, work_dir=tmp_path, timeout_s=60, care="all")


@pytest.mark.parametrize("windows", [False, True])
def test_counterexample_is_feature_values(tmp_path, monkeypatch, windows):
    """All features of 24 high, which random values hardly ever are."""

    def deep(wrong):
        def make(builder):
            node = 1 + 2 * 24
            for i in range(1, 24):
                node = builder.gate(8, node, 1 + 2 * 24 + i)
            return [0 if wrong else 2 * node, 2]

        return circuit(make, 24, 3)

    monkeypatch.setattr(equivalence, "draw_words", lambda net, care, n, rng: few(net, n))
    if windows:
        monkeypatch.setattr(equivalence, "WHOLE_GATES", 0)
        monkeypatch.setattr(equivalence, "N_VECTORS", 64)
    a, b = deep(False), deep(True)
    proof = prove_equal(a, b, work_dir=tmp_path, timeout_s=60, care="thermometer")
    assert proof.result == "different"
    assert "replayed" in proof.method
    assert (proof.features > 30).all()
    np.testing.assert_array_equal(encode(a.encoder, proof.features[None])[0], proof.counterexample)
    values = " ".join(map(str, proof.features.tolist()))
    assert proof.example().startswith(f"input features [{values}] (input bits 1")
    bits = proof.counterexample[None]
    assert scores_of_bits(a, bits) != scores_of_bits(b, bits)


def few(net, n_words):
    """Inputs of which all but one in four bits are 0."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, size=(2, net.n_inputs, n_words), dtype=np.uint64)
    return words[0] & words[1] & ~np.uint64(0) >> np.uint64(1)


def test_only_differences_of_scores_count(oracle, tmp_path):
    net = oracle.random_net(8, n_gates=80, n_outputs=30)
    ptr, weight, bias = net.head.group_ptr, net.head.weight, net.head.bias
    up = net.with_(head=Head(ptr, weight, bias + 5))
    one = net.with_(head=Head(ptr, weight, bias + np.array([5, 5, 4])))
    given = {"work_dir": tmp_path, "timeout_s": 60}
    assert prove_equal(net, up, **given).result == "different"
    assert prove_equal(net, up, relative=True, **given).result == "equivalent"
    assert prove_equal(net, one, relative=True, **given).result == "different"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("care", ["thermometer", "none"])
@pytest.mark.parametrize("output", ["class", "scores"])
def test_pipelines_are_proved_pass_by_pass(oracle, tmp_path, seed, care, output):
    net = oracle.random_net(seed, n_inputs=8, n_gates=150, n_outputs=40, encoder=True, dense=True)
    relative = output == "class"

    def prove(before, after):
        return prove_equal(
            before, after, work_dir=tmp_path, timeout_s=60, care=care, relative=relative
        )

    result = run_pipeline(net, 3, care=care, output=output, prove=prove)
    changed = [record for record in result.records if record.changed]
    assert {record.proof for record in changed} == {"equivalent"}
    assert prove(net, result.net).result != "different"
    assert {record.proof_coverage for record in changed} <= {"abc cec", "arithmetic of the biases"}
