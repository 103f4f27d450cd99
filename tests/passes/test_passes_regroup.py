"""regroup: groups of AND and XOR share their pairs, keep their levels and their function."""

from __future__ import annotations

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, IRError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.simulate import pack, scores_of_bits, simulate
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local import regroup as regroup_module
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.regroup import regroup
from gate2hw.passes.local.strash import strash
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import Pipeline
from gate2hw.passes.proof.equivalence import prove_equal


def fixed(net):
    while True:
        before = net
        net = dce(strash(fold(net)))
        if net is before:
            return net


def ors(seed, *, n_inputs=7, n_outputs=10, kind=14, depth=3):
    """Balanced trees, mostly of one kind, over random inputs: what pooling leaves."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_inputs)
    outputs = []
    for _ in range(n_outputs):
        row = rng.integers(1, n_inputs + 1, 2**depth).tolist()
        while len(row) > 1:
            tts = rng.choice([kind, 8, 2, 6], len(row) // 2, p=[0.85, 0.05, 0.05, 0.05])
            row = [builder.gate(int(t), *row[2 * i : 2 * i + 2]) for i, t in enumerate(tts)]
        outputs.append(2 * row[0] + int(rng.integers(2)))
    return builder.build(outputs)


@pytest.mark.parametrize("kind", ["OR", "AND", "XOR"])
def test_common_pair_is_computed_once(kind):
    """Two chains on {1 2 3} and {1 3 4}, in different order, share 1 op 3."""
    net = parse_netlist(
        f"""netlist inputs=4
        5 = {kind} 1 2
        6 = {kind} 3 4
        7 = {kind} 3 5
        8 = {kind} 1 6
        output 7
        output ~8
        """
    )
    got = regroup(net)
    assert got.n_gates == 3
    assert got.depth == 2
    assert regroup(got) is got


def test_complements_make_and_of_or():
    """~(~a & ~b) and a | b are of one kind, x & ~y is an AND of literals."""
    net = parse_netlist(
        """netlist inputs=4
        5 = OR 1 2
        6 = NOT_A_AND_B 5 3      # ~1 & ~2 & 3
        7 = OR 2 4
        8 = NOT_A_AND_B 7 3      # ~2 & ~4 & 3
        output 6
        output 8
        """
    )
    assert regroup(net).n_gates == 3


def test_repeats_and_clashes():
    """x & y & x, x & y & ~x, x ^ y ^ x and x ^ y ^ x ^ y."""
    net = parse_netlist(
        """netlist inputs=4
        5 = AND 1 2
        6 = AND 3 5
        7 = AND 1 6          # 1 & 2 & 3
        8 = AND 2 4
        9 = A_AND_NOT_B 8 3
        10 = A_AND_NOT_B 9 2 # 0
        11 = XOR 1 4
        12 = XOR 3 11
        13 = XOR 4 12        # 1 ^ 3
        14 = XOR 1 2
        15 = XOR 3 14
        16 = XOR 1 15
        17 = XOR 2 16        # 3
        output 7
        output ~10
        output 13
        output ~17
        """
    )
    got = regroup(net)
    assert got.n_gates == 3
    assert got.outputs[1] == 1
    assert got.outputs[3] == 2 * 3 + 1


def test_levels_are_kept():
    """A late operand stays last, though another pair would be shared."""
    net = parse_netlist(
        """netlist inputs=4
        5 = XOR 1 2
        6 = XOR 3 4
        7 = AND 5 6
        8 = OR 1 3
        9 = OR 7 8
        10 = OR 3 7
        output 9
        output 10
        """
    )
    got = regroup(net)
    assert got.depth == net.depth == 3


@pytest.mark.parametrize("seed", range(20))
def test_random(oracle, seed):
    net = oracle.random_net(
        seed,
        n_gates=20 + 4 * seed,
        n_classes=seed % 4,
        dense=seed % 3 != 0,
        window=(None, 8, 20)[seed % 3],
    )
    got = regroup(net)
    verify_netlist(got)
    assert is_normal(got)
    assert regroup(got) is got
    assert got.depth <= net.depth
    small = fixed(net)
    assert regroup(small).n_gates <= small.n_gates
    assert (got.digest, got.sites, got.encoder) == (net.digest, net.sites, net.encoder)
    bits = oracle.all_bits(5)
    if net.n_classes:
        np.testing.assert_array_equal(scores_of_bits(got, bits), scores_of_bits(net, bits))
    np.testing.assert_array_equal(simulate(got, pack(bits)), simulate(net, pack(bits)))


@pytest.mark.parametrize("kind", [14, 8, 6])
@pytest.mark.parametrize("seed", range(8))
def test_trees_shrink(oracle, seed, kind):
    net = fixed(ors(seed, kind=kind))
    got = regroup(net)
    verify_netlist(got)
    words = pack(oracle.all_bits(7))
    np.testing.assert_array_equal(simulate(got, words), simulate(net, words))
    assert got.n_gates < net.n_gates
    assert got.depth <= net.depth


def test_batches_give_the_same_function(oracle, monkeypatch):
    """Cut into batches of a few operands, later groups still find the pairs of earlier ones."""
    net = fixed(ors(3, n_inputs=6, n_outputs=40))
    whole = regroup(net)
    monkeypatch.setattr(regroup_module, "BATCH_ROWS", 20)
    got = regroup(net)
    words = pack(oracle.all_bits(6))
    np.testing.assert_array_equal(simulate(got, words), simulate(net, words))
    assert whole.n_gates <= got.n_gates < net.n_gates


def test_deep_chains(oracle):
    """Chains far deeper than a float has digits stay as deep as they are, at most."""
    builder = NetlistBuilder(5)
    node, outputs = 1, []
    for i in range(2000):
        node = builder.gate((8, 14, 6)[i // 3 % 3], node, 1 + i * 7 % 5)
        if i % 100 == 99:
            outputs.append(2 * node)
    net = builder.build(outputs)
    got = regroup(net)
    verify_netlist(got)
    assert got.depth <= net.depth
    words = pack(oracle.all_bits(5))
    np.testing.assert_array_equal(simulate(got, words), simulate(net, words))


def test_origin_is_the_root_of_the_group(oracle):
    net = fixed(oracle.random_net(4, n_gates=120, dense=True))
    got = regroup(net)
    assert got.n_gates < net.n_gates
    assert set(got.origin.tolist()) <= set(net.origin.tolist())


def test_proved(random_network, tmp_path):
    net = fixed(unroll(random_network(5, kernels=16, depth=3, pool=(2, 2), dense=(200,))))
    got = regroup(net)
    assert got.n_gates < net.n_gates
    assert prove_equal(net, got, work_dir=tmp_path, timeout_s=60).result == "equivalent"


def test_empty():
    empty = NetlistBuilder(2).build([0, 1, 2, 5])
    assert regroup(empty) is empty


def test_planted_faults_are_caught(monkeypatch):
    """Without the check of levels gates end above their readers; a wrong form fails vectors."""
    nets = [fixed(ors(seed, n_inputs=12, n_outputs=30)) for seed in range(4)]

    def run_all():
        for net in nets:
            assert PassManager(Pipeline((regroup,))).run(net).net.depth <= net.depth

    run_all()
    with monkeypatch.context() as patch:
        patch.setattr(regroup_module, "_slack", lambda groups, group, lit: np.ones(1 + group.max()))
        with pytest.raises((IRError, AssertionError)):
            run_all()
    wrong = regroup_module._FORM.copy()
    wrong[0, 2] ^= 1
    monkeypatch.setattr(regroup_module, "_FORM", wrong)
    with pytest.raises(CheckFailedError, match="regroup"):
        run_all()
