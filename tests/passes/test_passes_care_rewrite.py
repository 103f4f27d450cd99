"""care_rewrite and care_observe: exact on legal codes, by brute force and by proof."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.care import legalised
from gate2hw.ir.gates import NAMES
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import encode, node_words, pack, scores_of_bits, simulate, unpack
from gate2hw.ir.text import parse_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.ir.verify import verify_netlist
from gate2hw.passes.local import bounds as bounds_module
from gate2hw.passes.local import care_observe as observe_module
from gate2hw.passes.local.bounds import Bounds
from gate2hw.passes.local.care_observe import care_observe
from gate2hw.passes.local.care_rewrite import care_rewrite
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold, is_normal
from gate2hw.passes.local.strash import strash
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import Pipeline
from gate2hw.passes.proof.equivalence import prove_equal

PASSES = {"care_rewrite": care_rewrite, "care_observe": care_observe}

CODE = """encoder shape=(2) max_value=9
    input 1 feature=0 threshold=2
    input 2 feature=0 threshold=5
    input 3 feature=0 threshold=7
    input 4 feature=1 threshold=4
    """


def legal(encoder):
    """(N, I) bool: all legal codes, one for each interval of each feature."""
    values = [
        sorted({0, *(encoder.threshold[encoder.feature == f] + 1).tolist()})
        for f in range(encoder.n_features)
    ]
    x = np.array(list(itertools.product(*values)))
    return encode(encoder, x.reshape(-1, *encoder.shape))


def coded(net, seed):
    """`net` with its inputs read as bits of few features, in an order of their own."""
    rng = np.random.default_rng(seed)
    feature = np.sort(rng.integers(0, 3, net.n_inputs))
    rank = np.arange(net.n_inputs) - np.searchsorted(feature, feature)
    order = rng.permutation(net.n_inputs)
    order = order[np.argsort(np.lexsort((rank[order], feature[order])), kind="stable")]
    order = np.sort(order) if seed % 2 else np.arange(net.n_inputs)
    return net.with_(encoder=Encoder(feature[order], 10 + 20 * rank[order], (3,), 255))


def fixed(net, passes):
    while True:
        before = net
        for transform in passes:
            net = transform(net)
        if net is before:
            return net


def same_on(bits, a, b):
    words = pack(bits)
    same = (unpack(simulate(a, words), len(bits)) == unpack(simulate(b, words), len(bits))).all()
    return bool(same) and (
        not a.n_classes or np.array_equal(scores_of_bits(a, bits), scores_of_bits(b, bits))
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("tt", range(16))
def test_two_bits_of_one_feature(tt, turned):
    """Each function of two ordered bits against the table of its three legal codes."""
    a, b = (3, 1) if turned else (1, 3)
    net = parse_netlist(f"netlist inputs=4\n{CODE}5 = {NAMES[tt]} {a} {b}\noutput 5\n")
    got = strash(fold(care_rewrite(net)))
    bits = legal(net.encoder)
    assert same_on(bits, net, got)
    rarer, commoner = bits[:, 2], bits[:, 0]
    want = unpack(simulate(net, pack(bits)), len(bits))[:, 0]
    cheap = [want * 0, rarer, commoner]
    is_cheap = any((want == c).all() or (want != c).all() for c in cheap)
    assert got.n_gates == (0 if is_cheap else 1)
    if got.n_gates:
        # both spellings of the band between two thresholds are one gate
        assert (got.tt[0], got.in0[0], got.in1[0]) == (4, 1, 3)


def test_gates_imply_bits():
    """A gate implies what its operands imply, over several levels; bands that do not meet clash."""
    net = parse_netlist(
        f"""netlist inputs=4
        {CODE}5 = AND 3 4
        6 = AND 5 1            # = 5
        7 = A_AND_NOT_B 1 2    # band 3..5
        8 = AND 7 5            # 0
        9 = OR 7 3
        10 = AND 9 1           # = 9, an OR that implies the commoner bit
        output 6
        output 8
        output 10
        """
    )
    got = care_rewrite(net)
    assert same_on(legal(net.encoder), net, got)
    assert got.n_gates == 3
    assert got.outputs[1] == 0
    assert care_rewrite(got) is got


def test_observed_only_where_it_counts():
    """Deep below an AND with the rarer bit, the commoner one is 1; care_rewrite cannot see that."""
    net = parse_netlist(
        """netlist inputs=6
        encoder shape=(4) max_value=9
        input 1 feature=0 threshold=2
        input 2 feature=0 threshold=5
        input 3 feature=1 threshold=7
        input 4 feature=2 threshold=4
        input 5 feature=3 threshold=4
        input 6 feature=3 threshold=5
        7 = AND 1 3
        8 = XOR 4 7
        9 = XOR 5 8
        10 = AND 2 9
        output 10
        """
    )
    assert care_rewrite(net) is net
    got = care_observe(net)
    assert got.n_gates == 3
    assert same_on(legal(net.encoder), net, got)
    assert care_observe(got) is got


def relying_on_each_other():
    """((t & c) & e) & ((t & d) & f): either half implies t, so one of them may leave it out."""
    return parse_netlist(
        """netlist inputs=5
        encoder shape=(5) max_value=9
        input 1 feature=0 threshold=2
        input 2 feature=1 threshold=5
        input 3 feature=2 threshold=5
        input 4 feature=3 threshold=5
        input 5 feature=4 threshold=5
        6 = AND 1 2
        7 = AND 1 3
        8 = AND 4 6
        9 = AND 5 7
        10 = AND 8 9
        output 10
        """
    )


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("seed", range(12))
def test_random(oracle, name, seed):
    n_inputs = 5 + seed % 3
    net = oracle.random_net(
        seed,
        n_inputs=n_inputs,
        n_gates=10 + 3 * seed,
        n_classes=seed % 3,
        dense=seed % 4 != 0,
        window=(None, 10, 25)[seed % 3],
    )
    net = coded(net, seed)
    verify_netlist(net)
    run = PASSES[name]
    for source in (net, fixed(net, [fold, dce, strash])):
        got = run(source)
        verify_netlist(got)
        assert same_on(legal(net.encoder), source, got)
        assert (got.n_gates, got.depth) <= (source.n_gates, source.depth)
        assert got.depth <= source.depth
        assert got.encoder is net.encoder
        assert is_normal(got) or got is source
        assert run(got) is got
        assert run(source, care="none") is source
    plain = net.with_(encoder=None)
    assert run(plain) is plain


def test_trees_gain(oracle):
    """On trees over few features both passes save gates, and care_observe more than the first."""
    saved = [0, 0]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        builder = NetlistBuilder(8)
        row = rng.integers(1, 9, 32).tolist()
        while len(row) > 1:
            tts = rng.choice([8, 14, 2, 4, 6], len(row) // 2, p=[0.3, 0.3, 0.15, 0.15, 0.1])
            row = [builder.gate(int(t), *row[2 * i : 2 * i + 2]) for i, t in enumerate(tts)]
        code = Encoder(np.arange(8) // 4, 10 + 20 * (np.arange(8) % 4), (2,), 255)
        net = fixed(builder.build([2 * row[0]], encoder=code), [fold, dce, strash])
        first = dce(care_rewrite(net))
        second = care_observe(first)
        assert same_on(legal(code), net, second)
        saved[0] += net.n_gates - first.n_gates
        saved[1] += first.n_gates - second.n_gates
    assert saved[0] > 20
    assert saved[1] > 4


@pytest.mark.parametrize("name", PASSES)
def test_proved_on_legal_codes(random_network, name, tmp_path):
    """ABC agrees on the legalised nets; on all codes the nets differ, so the care set was used."""
    network = random_network(3, thresholds=4, kernels=12, dense=(300, 120, 40))
    net = fixed(unroll(network), [fold, dce, strash])
    got = PASSES[name](net)
    assert got.n_gates < net.n_gates
    proof = prove_equal(legalised(net), legalised(got), work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"
    free = [side.with_(encoder=None) for side in (net, got)]
    assert prove_equal(*free, work_dir=tmp_path, timeout_s=60).result == "different"


@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold(oracle, seed):
    """What `Bounds` says of every literal is true on every legal code."""
    net = fixed(coded(oracle.random_net(seed, n_inputs=7, dense=True), seed), [fold, dce, strash])
    bounds = Bounds(net.encoder, net.n_nodes)
    for start, stop in net.levels():
        node = np.arange(net.first_gate + start, net.first_gate + stop)
        x, y = net.in0[start:stop], net.in1[start:stop]
        cells = np.uint8(15) & ~bounds.impossible(x, y)
        bounds.learn(node, net.tt[start:stop], x, y, cells)
    values = np.array(list(itertools.product(range(0, 256, 5), range(0, 256, 15), [0, 11, 90])))
    bits = encode(net.encoder, values)
    value = unpack(node_words(net, pack(bits)), len(bits))
    n_bounds = 0
    for node, v, slot in itertools.product(range(1, net.n_nodes), (0, 1), range(4)):
        feature = int(bounds.slots.feature[slot, 2 * node + v])
        if feature >= 0:
            seen = values[value[:, node] == v, feature]
            n_bounds += 1
            assert (seen >= bounds.slots.low[slot, 2 * node + v]).all()
            assert (seen <= bounds.slots.high[slot, 2 * node + v]).all()
    assert n_bounds > 2 * net.n_inputs


def test_unknown_care():
    with pytest.raises(InputError, match="care set"):
        care_rewrite(relying_on_each_other(), care="all")


def test_fault_in_bounds_is_caught(oracle, monkeypatch):
    """An interval one too narrow changes results, and the manager sees it."""
    nets = [coded(oracle.random_net(s, n_inputs=7, dense=True, n_gates=50), s) for s in range(3)]
    passes = Pipeline((fold, dce, strash, care_rewrite, care_observe))
    for net in nets:
        PassManager(passes).run(net)
    monkeypatch.setattr(bounds_module, "either", bounds_module.both)

    def run_all():
        for net in nets:
            PassManager(passes).run(net)

    with pytest.raises(CheckFailedError, match="care_"):
        run_all()


def test_telling_both_would_be_wrong(monkeypatch):
    """Of two operands that rely on each other one gives way; were both told, t would be lost."""
    net = relying_on_each_other()
    bits = legal(net.encoder)
    got = care_observe(net)
    assert got.n_gates == net.n_gates - 1
    assert same_on(bits, net, got)
    real = observe_module._pass_down

    def both_told(nodes, gate, bounds, looks, told):
        under, operands = looks.slots.take(gate), (nodes.leaf0[gate], nodes.leaf1[gate])
        real(nodes, gate, bounds, looks, told)
        node = operands[1 - told].astype(np.int64)
        some = np.flatnonzero(node >= net.first_gate)
        passing = bounds.of(operands[told][some], 1)
        looks.is_free[node[some]] = False
        looks.slots.put(node[some], observe_module.both(under.take(some), passing))

    monkeypatch.setattr(observe_module, "_pass_down", both_told)
    bad = care_observe(net)
    assert bad.n_gates < got.n_gates
    assert not same_on(bits, net, bad)
    with pytest.raises(CheckFailedError, match="care_observe"):
        PassManager(Pipeline((care_observe,))).run(net)
