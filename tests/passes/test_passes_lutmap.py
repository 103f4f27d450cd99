"""LUT mapping: fewer LUTs, the same function, every LUT with its neuron, depth within its bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.lutnetlist import LutNetlist, from_netlist, table_mask
from gate2hw.ir.netlist import Encoder, Head, SiteLayer, Sites
from gate2hw.ir.simulate import encode, pack, random_words, simulate, unpack
from gate2hw.passes.mapping import lut_search, lutmap
from gate2hw.passes.mapping.lut_expand import expand
from gate2hw.passes.mapping.lut_origin import with_origins
from gate2hw.passes.mapping.lutmap import check_mapping, effort_for, map_luts, search


def outputs_of(net, bits):
    return unpack(simulate(net, pack(bits)), len(bits))


def legal_bits(net):
    """Every code of the oracle's encoder: two thresholds a feature, so three states each."""
    n_features = -(-net.n_inputs // 2)
    states = itertools.product((0, 100, 200), repeat=n_features)
    x = np.zeros((3**n_features, *net.encoder.shape), np.int64)
    x[:, :n_features] = list(states)
    return encode(net.encoder, x)


def thermometer_net(oracle, seed=0, n_gates=90, n_inputs=8):
    return oracle.random_net(
        seed, n_inputs=n_inputs, n_gates=n_gates, n_outputs=16, encoder=True, dense=True, window=14
    )


@pytest.mark.parametrize("effort", [0, 1, 2])
@pytest.mark.parametrize("care", ["thermometer", "none"])
def test_a_mapping_equals_the_gates(oracle, tmp_path, effort, care):
    net = thermometer_net(oracle, seed=effort)
    luts = map_luts(net, effort=effort, care=care)
    bits = legal_bits(net) if care == "thermometer" else oracle.all_bits(net.n_inputs)
    np.testing.assert_array_equal(outputs_of(luts, bits), outputs_of(net, bits))
    assert luts.n_luts < net.n_gates / 2
    assert luts.k == 4
    for name in ("head", "encoder", "sites", "names", "digest", "n_inputs"):
        assert getattr(luts, name) == getattr(net, name)
    proof = check_mapping(net, luts, care=care, work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"


def test_higher_effort_is_never_worse(oracle):
    net = oracle.random_net(
        5, n_inputs=18, n_gates=300, n_outputs=60, encoder=True, dense=True, window=60
    )
    mappings = [search(net, effort=effort) for effort in lutmap.EFFORTS]
    sizes = [mapping.luts.n_luts for mapping in mappings]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]
    assert [mapping.trials[0].name for mapping in mappings] == ["if -a"] * len(sizes)
    for mapping in mappings:
        tried = [t for t in mapping.trials if t.n_luts is not None]
        kept = min(t.n_luts for t in tried if t.depth <= mapping.depth_bound)
        assert mapping.luts.n_luts == kept
        assert mapping.luts.depth <= mapping.optimal_depth + lut_search.EXTRA_LEVELS


def test_the_care_set_saves_luts_and_is_needed_for_that(tmp_path):
    # x > 5 AND x > 2 is x > 5; six features, each as such a pair, under one XOR
    builder = NetlistBuilder(12)
    node = builder.gate(8, 1, 2)
    for feature in range(1, 6):
        node = builder.gate(6, node, builder.gate(8, 1 + 2 * feature, 2 + 2 * feature))
    encoder = Encoder(np.arange(12) // 2, np.tile([2, 5], 6), (6,), 9)
    net = builder.build([2 * node], encoder=encoder)
    luts = map_luts(net, effort=0)
    assert luts.n_luts == 2
    assert (luts.fanin[luts.fanin > 0] != 1).all()
    exact = map_luts(net, effort=0, care="none")
    assert exact.n_luts > 2
    both = [
        check_mapping(net, luts, care=care, work_dir=tmp_path, timeout_s=30).result
        for care in ("thermometer", "none")
    ]
    assert both == ["equivalent", "different"]


def test_deeper_dont_cares_are_found(tmp_path):
    # a LUT reads x > 5 and (x > 2 OR y): the first implies the second, three gates up
    builder = NetlistBuilder(3)
    either = builder.gate(14, 1, 3)
    net = builder.build(
        [2 * builder.gate(8, 2, either), 2 * builder.gate(6, 3, builder.gate(8, 2, either))],
        encoder=Encoder([0, 0, 1], [2, 5, 2], (2,), 9),
    )
    luts = map_luts(net, k=3, effort=1)
    assert luts.outputs[0] == 4
    proof = check_mapping(net, luts, care="thermometer", work_dir=tmp_path, timeout_s=30)
    assert proof.result == "equivalent"


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_fault_is_caught_and_replays(oracle, tmp_path, seed):
    net = thermometer_net(oracle, seed=seed)
    luts = map_luts(net, effort=0)
    rng = np.random.default_rng(seed)
    bits = legal_bits(net)
    expected = outputs_of(net, bits)
    for _ in range(6):
        lut = int(rng.integers(luts.n_luts))
        init = luts.init.copy()
        init[lut] ^= np.uint64(1) << np.uint64(rng.integers(1 << int(luts.n_used[lut])))
        bad = luts.with_(init=init)
        is_wrong = (outputs_of(bad, bits) != expected).any()
        for n_words in (0, 64):
            proof = check_mapping(
                net, bad, care="thermometer", work_dir=tmp_path, timeout_s=60, n_words=n_words
            )
            assert proof.result == ("different" if is_wrong else "equivalent")
            if is_wrong:
                example = proof.counterexample[None]
                assert (outputs_of(bad, example) != outputs_of(net, example)).any()
                assert (bits == example).all(axis=1).any()


@pytest.mark.parametrize("k", range(1, 7))
def test_expand(oracle, k):
    rng = np.random.default_rng(k)
    n_luts, n_inputs = 60, 6
    node = 1 + n_inputs
    fanin = rng.integers(0, node, (n_luts, k)).astype(np.int32)
    fanin[20:] = rng.integers(node, node + 20, (n_luts - 20, k))
    init = rng.integers(0, 2**64, n_luts, dtype=np.uint64) & table_mask(np.full(n_luts, k))
    init[0], init[21] = 0, table_mask(k)
    luts = LutNetlist(
        n_inputs, init, fanin, [0, 20, n_luts], rng.integers(0, 2 * (node + n_luts), 30),
        head=Head.none(30), origin=np.arange(n_luts), sites=Sites((SiteLayer("l", 1, n_luts),)),
    )  # fmt: skip
    luts.verify()
    net = expand(luts)
    bits = oracle.all_bits(n_inputs)
    np.testing.assert_array_equal(outputs_of(net, bits), outputs_of(luts, bits))
    assert net.sites == luts.sites
    assert set(net.origin.tolist()) == set(range(n_luts))


@pytest.mark.parametrize("max_depth", [2, 3])
def test_depth_is_bounded(oracle, max_depth):
    # a chain: area alone would follow it
    builder = NetlistBuilder(9)
    node = 1
    for other in range(2, 10):
        node = builder.gate((8, 14, 6)[other % 3], node, other)
    net = builder.build([2 * node])
    mapping = search(net, effort=2, max_depth=max_depth + 1)
    assert mapping.luts.depth <= max_depth + 1
    least = mapping.optimal_depth
    assert map_luts(net, effort=1, max_depth=least).depth == least
    with pytest.raises(InputError, match=rf"max_depth = 1: .* has {least} levels"):
        map_luts(net, effort=0, max_depth=1)


def test_six_inputs(oracle, tmp_path):
    net = thermometer_net(oracle, seed=8)
    luts = map_luts(net, k=6, effort=2)
    assert luts.k == 6
    assert luts.n_luts < map_luts(net, effort=0).n_luts
    assert (
        check_mapping(net, luts, care="thermometer", work_dir=tmp_path, timeout_s=60).result
        == "equivalent"
    )


def test_origins_name_the_gate_that_a_lut_computes(oracle):
    net = thermometer_net(oracle, seed=3)
    luts = map_luts(net, effort=2)
    assert (luts.origin >= 0).all()
    bits = legal_bits(net)
    mine = unpack_nodes(luts, bits)
    theirs = unpack_nodes(net, bits)
    origins = {}
    for values, origin in zip(theirs, net.origin.tolist(), strict=True):
        for polarity in (values, ~values):
            origins.setdefault(polarity.tobytes(), set()).add(origin)
    named = [
        origin in origins[values.tobytes()]
        for values, origin in zip(mine, luts.origin.tolist(), strict=True)
        if values.tobytes() in origins and values.any() and not values.all()
    ]
    assert len(named) >= luts.n_luts / 2
    assert all(named)


def unpack_nodes(net, bits):
    every = net.with_(
        outputs=2 * np.arange(net.first_gate, net.n_nodes), head=Head.none(net.n_gates)
    )
    return outputs_of(every, bits).T


def test_origin_of_a_lut_that_no_gate_computes():
    builder = NetlistBuilder(4)
    top = builder.gate(6, builder.gate(8, 1, 2), builder.gate(14, 3, 4))
    net = builder.build([2 * top + 1]).with_(
        origin=[0, 1, 2], sites=Sites((SiteLayer("layer", 1, 3),))
    )
    fanin = np.array([[1, 3, -1], [5, 2, 4]], np.int32)
    luts = LutNetlist(4, [6, 0x96], fanin, [0, 1, 2], [12], head=Head.none(1), sites=net.sites)
    assert with_origins(luts, net).origin.tolist() == [2, 2]
    same = from_netlist(net.with_(origin=[2, 1, 0]), 3)
    assert with_origins(same.with_(origin=[]), net).origin.tolist() == [0, 1, 2]


@pytest.mark.parametrize("outputs", [[], [0, 1], [2, 5], [1, 4, 4]])
def test_without_gates(outputs):
    net = NetlistBuilder(2).build(outputs)
    luts = map_luts(net, effort=3)
    assert (luts.n_luts, luts.k, luts.depth) == (0, 4, 0)
    assert luts.outputs.tolist() == outputs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 2}, r"k = 2: .* 3\.\.6"),
        ({"k": 7}, r"k = 7"),
        ({"effort": 4}, "effort 4 is unknown. Allowed: 0, 1, 2, 3"),
        ({"care": "all"}, "care set 'all' is unknown"),
        ({"max_depth": 0}, "at least one level"),
    ],
)
def test_options_out_of_range(oracle, options, message):
    with pytest.raises(InputError, match=message):
        map_luts(oracle.random_net(0), **options)


def test_effort_by_size():
    efforts = [effort_for(size) for size in (10, 10_000, 20_000, 100_000, 10**6)]
    assert efforts == sorted(efforts, reverse=True)
    assert (efforts[0], efforts[-1]) == (3, 0)


def test_a_result_that_differs_is_not_taken(oracle, monkeypatch):
    original = lut_search.run_script

    def lying(commands, *, inputs, outputs, timeout_s):
        run = original(commands, inputs=inputs, outputs=outputs, timeout_s=timeout_s)
        for path in outputs.values():
            text = path.read_text()
            at = text.index(" 1\n", text.index(".names"))
            path.write_text(text[: at + 1] + "0" + text[at + 2 :].replace(" 1\n", " 0\n"))
        return run

    monkeypatch.setattr(lut_search, "run_script", lying)
    with pytest.raises(CheckFailedError, match="ABC changed what the netlist computes"):
        map_luts(thermometer_net(oracle), effort=0)


@pytest.mark.parametrize("error", [ToolTimeoutError, ToolFailedError])
def test_a_failing_attempt_is_recorded_and_the_best_kept(oracle, monkeypatch, error):
    original = lut_search.run_script
    heard = []

    def failing(commands, **files):
        if any("synch2" in command for command in commands):
            raise error("abc fell over")
        return original(commands, **files)

    monkeypatch.setattr(lut_search, "run_script", failing)
    net = thermometer_net(oracle)
    mapping = search(net, effort=2, progress=lambda *args: heard.append(args[2]))
    assert [t.reason for t in mapping.trials if t.n_luts is None] == ["abc fell over"]
    assert mapping.luts.n_luts == min(t.n_luts for t in mapping.trials if t.n_luts)
    assert any("abc fell over" in text for text in heard)


def test_without_a_plain_mapping_there_is_an_error(oracle, monkeypatch):
    def failing(commands, **files):
        raise ToolTimeoutError("abc did not end")

    monkeypatch.setattr(lut_search, "run_script", failing)
    with pytest.raises(ToolTimeoutError):
        map_luts(oracle.random_net(1), effort=2)


def test_no_time_left_means_the_plain_mapping(oracle):
    mapping = search(thermometer_net(oracle), effort=3, timeout_s=0.0)
    assert len(mapping.trials) <= 2
    assert mapping.trials[0].name == "if -a"


def test_outputs_that_are_one_signal_share_a_lut(oracle) -> None:
    """Three copies and a complement of each output cost nothing beyond one."""
    net = oracle.random_net(3, n_gates=80, n_outputs=20)
    plain = net.with_(outputs=np.unique(net.outputs >> 1) * 2, head=Head.none(0))
    plain = plain.with_(head=Head.none(plain.n_outputs))
    many = np.concatenate([plain.outputs, plain.outputs, plain.outputs ^ 1])
    copies = plain.with_(outputs=many, head=Head.none(len(many)))
    single, shared = map_luts(plain, effort=0), map_luts(copies, effort=0)
    assert shared.n_luts == single.n_luts
    words = random_words(copies, 8, np.random.default_rng(0))
    assert np.array_equal(simulate(copies, words), simulate(shared, words))
