"""The plan, the encoder's chunks and the head's columns compute what the netlist says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from engine_nets import SITES, random_encoder, random_head, random_net, random_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.engine import program
from gate2hw.engine.library import address, variants
from gate2hw.engine.program import Program
from gate2hw.errors import InputError
from gate2hw.ir import simulate
from gate2hw.ir.builder import from_columns
from gate2hw.ir.netlist import Head, Netlist, SiteLayer, Sites
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import pipeline

VARIANTS = variants()
pytestmark = pytest.mark.skipif(not VARIANTS, reason="the C kernels are not built")

WINDOWS = (1, 7, 64, 10**9)


@pytest.fixture(params=VARIANTS, ids=[variant.name for variant in VARIANTS])
def variant(request):
    return request.param


def _words(made: Program, words: np.ndarray) -> np.ndarray:
    out = np.zeros((made.net.n_outputs, words.shape[1]), np.uint64)
    made.simulate(words, out)
    return out


def _scores(made: Program, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    classes = np.full(len(x), -1, np.int64)
    scores = np.full((len(x), made.net.n_classes), -1, np.int32)
    made.run(len(x), address(x), address(classes), address(scores))
    return classes, scores


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_features=st.integers(1, 300),
    n_inputs=st.integers(0, 150),
    n_gates=st.integers(0, 300),
    n_outputs=st.integers(0, 60),
    n_classes=st.sampled_from([0, 1, 2, 10, 200]),
    max_value=st.sampled_from([1, 2, 254, 255, 256, 65535]),
    head=st.sampled_from(["plain", "signed", "tied", "large"]),
    reach=st.sampled_from([None, 3, 30]),
    alive=st.sampled_from([0.0, 0.7, 1.0]),
    sites=st.booleans(),
    window=st.sampled_from(WINDOWS),
    n=st.sampled_from([0, 1, 65, 257, 513]),
)
def test_every_net_gives_the_bits_of_the_reference(window, n, **kinds) -> None:
    net = random_net(**kinds)
    words = simulate.random_words(net, 1 + n // 64, np.random.default_rng(n))
    wanted = simulate.simulate(net, words)
    x = random_samples(net, n) if net.n_classes else np.zeros((0, 1))
    wanted_scores = simulate.scores(net, x) if net.n_classes else None
    for variant in VARIANTS:
        made = Program(net, variant, window=window)
        np.testing.assert_array_equal(_words(made, words), wanted)
        if wanted_scores is not None:
            classes, scores = _scores(made, x)
            np.testing.assert_array_equal(scores, wanted_scores)
            np.testing.assert_array_equal(classes, wanted_scores.argmax(axis=1))


def test_simplified_nets_too(variant) -> None:
    for seed in range(4):
        raw = random_net(seed, n_gates=300, reach=60)
        net = PassManager(pipeline(1)).run(raw).net
        assert net.n_gates < raw.n_gates
        words = simulate.random_words(net, 9, np.random.default_rng(seed))
        found = _words(Program(net, variant), words)
        np.testing.assert_array_equal(found, simulate.simulate(net, words))


def test_each_function_of_two_signals_and_of_one(variant) -> None:
    """16 functions x operands that differ, are equal, or are the constant x output polarities."""
    pairs = [(1, 2), (2, 1), (1, 1), (0, 1), (1, 0), (0, 0)]
    tt, pair = np.divmod(np.arange(16 * len(pairs)), len(pairs))
    in0, in1 = np.array(pairs, np.int32)[pair].T
    nodes = np.repeat(3 + np.arange(len(tt)), 2)
    outputs = 2 * nodes + np.tile([0, 1], len(tt))
    net = from_columns(2, tt.astype(np.uint8), in0, in1, outputs)
    words = simulate.pack(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool))
    found = _words(Program(net, variant), words)
    np.testing.assert_array_equal(found, simulate.simulate(net, words))


def test_each_function_of_three_signals(variant) -> None:
    """g(f(a, b), c) for all f and g: more tables than one cover of two signals has."""
    f, g = np.divmod(np.arange(256), 16)
    tt = np.concatenate([f, g]).astype(np.uint8)
    in0 = np.concatenate([np.full(256, 1), 4 + np.arange(256)]).astype(np.int32)
    in1 = np.concatenate([np.full(256, 2), np.full(256, 3)]).astype(np.int32)
    net = from_columns(3, tt, in0, in1, 2 * (4 + np.arange(512)))
    words = simulate.pack((np.arange(8)[:, None] >> np.arange(3)) & 1)
    found = _words(Program(net, variant), words)
    np.testing.assert_array_equal(found, simulate.simulate(net, words))


def test_cuts_whose_function_reads_less_than_their_leaves(variant) -> None:
    """h(f(a, b), g(a, b)) is any function of a and b: constants and wires among them."""
    f, g, h = (part.ravel() for part in np.indices((16, 16, 16)))
    n = len(f)
    tt = np.concatenate([f, g, h]).astype(np.uint8)
    first = 3 + np.arange(n)
    in0 = np.concatenate([np.full(2 * n, 1), first]).astype(np.int32)
    in1 = np.concatenate([np.full(2 * n, 2), first + n]).astype(np.int32)
    net = from_columns(2, tt, in0, in1, 2 * (first + 2 * n))
    words = simulate.pack(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool))
    found = _words(Program(net, variant), words)
    np.testing.assert_array_equal(found, simulate.simulate(net, words))


def _chain(n: int) -> Netlist:
    """Parities of ever more inputs: the cone of each gate is all gates below it."""
    node = np.arange(501, 501 + n)
    other = np.random.default_rng(0).integers(1, 501, n)
    tt = np.full(n, 6, np.uint8)
    return from_columns(500, tt, (node - 1).astype(np.int32), other, np.array([2 * (500 + n)]))


def test_a_long_chain_is_planned_in_one_go(variant) -> None:
    """Following a cone to its end at each gate would take hours here, and all of the stack."""
    net = _chain(200_000)
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, size=(500, 2), dtype=np.uint64)
    wanted = words[499].copy()
    for other in net.in1.tolist():
        wanted ^= words[other - 1]
    made = Program(net, variant)
    assert made.n_ops <= net.n_gates
    np.testing.assert_array_equal(_words(made, words)[0], wanted)


def test_dead_gates_and_wires_cost_nothing(variant) -> None:
    net = random_net(5, n_classes=0, n_gates=400, alive=0.0, n_outputs=0)
    assert Program(net, variant).n_ops == 0
    wires = from_columns(
        2, np.array([12, 10, 0], np.uint8), np.full(3, 1), np.full(3, 2), np.array([6, 8, 10])
    )
    assert Program(wires, variant).n_ops == 0


def test_one_inverter_serves_all_that_want_it(variant) -> None:
    net = from_columns(
        2, np.array([8], np.uint8), np.array([1]), np.array([2]), np.array([6, 7, 7, 6, 7, 3, 3])
    )
    made = Program(net, variant)
    assert made.n_ops == 3
    words = simulate.random_words(net, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(_words(made, words), simulate.simulate(net, words))


def test_slots_beyond_16_bits(variant) -> None:
    """65,536 signals alive at a time, so that an op's numbers take 32 bits."""
    n_inputs, rng = 70_000, np.random.default_rng(2)
    partner = 1 + rng.permutation(n_inputs)
    tt = rng.choice([1, 6, 7, 8, 9, 14], n_inputs).astype(np.uint8)
    first = np.arange(1, n_inputs + 1)
    outputs = 2 * (n_inputs + rng.permutation(first)) + rng.integers(0, 2, n_inputs)
    net = from_columns(n_inputs, tt, first, partner, outputs)
    made = Program(net, variant)
    assert made.n_slots > 65_536
    assert made._plan.contents.word_bytes == 4
    words = simulate.random_words(net, 9, rng)
    np.testing.assert_array_equal(_words(made, words), simulate.simulate(net, words))


@pytest.mark.slow
@pytest.mark.parametrize("reach", [None, 500, 20_000])
def test_large_nets(reach, variant) -> None:
    net = random_net(
        1,
        n_features=300,
        n_inputs=3000,
        n_gates=100_000,
        n_outputs=3000,
        n_classes=10,
        reach=reach,
        alive=0.95,
    )
    x = random_samples(net, 1100)
    classes, scores = _scores(Program(net, variant), x)
    wanted = simulate.scores(net, x)
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(classes, simulate.classes(wanted))


def test_chunks_hold_each_input_once() -> None:
    rng = np.random.default_rng(4)
    for n_features in (1, 2, 63, 64, 65, 127, 128, 129, 200, 300):
        for max_value in (1, 255, 65535):
            encoder = random_encoder(rng, n_features, 150, max_value)
            n = len(encoder.feature)
            slot = np.where(rng.random(n) < 0.8, np.arange(n), -1).astype(np.int32)
            chunks = program._chunks(encoder, slot)
            wide = np.uint8 if max_value <= 255 else np.dtype("<u2")
            least = chunks["least"].view(wide)
            assert (chunks["first"] >= 0).all()
            assert (chunks["first"] <= max(0, n_features - 64)).all()
            row, lane = np.nonzero(chunks["slot"] >= 0)
            at = chunks["slot"][row, lane]
            assert sorted(at) == sorted(slot[slot >= 0])
            np.testing.assert_array_equal(chunks["first"][row] + lane, encoder.feature[at])
            np.testing.assert_array_equal(least[row, lane].astype(int) - 1, encoder.threshold[at])


def test_columns_add_up_to_the_scores() -> None:
    rng = np.random.default_rng(6)
    for kind in ("plain", "signed", "tied", "large"):
        for n_classes in (1, 3, 50):
            head = random_head(rng, 40, n_classes, kind)
            slot = 2 + np.arange(40, dtype=np.int32)
            group = np.repeat(np.arange(n_classes), np.diff(head.group_ptr))
            # each class in one to three parts, outputs in any of them
            n_parts = rng.integers(1, 4, n_classes)
            part_group = np.repeat(np.arange(n_classes, dtype=np.int32), n_parts)
            part = (np.cumsum(n_parts) - n_parts)[group] + rng.integers(0, n_parts[group])
            ptr, term, n_columns, n_planes, offset = program._columns(head, slot, part, part_group)
            for _ in range(5):
                bits = rng.integers(0, 2, 40)
                held = np.concatenate([[0, 1], np.where(head.weight < 0, 1 - bits, bits)])
                sums = np.add.reduceat(np.append(held[term], 0), np.minimum(ptr[:-1], len(term)))
                sums = np.where(np.diff(ptr) > 0, sums, 0).reshape(len(part_group), n_columns)
                sums = np.add.reduceat(sums, np.cumsum(n_parts) - n_parts)
                numbers = (sums * (1 << np.arange(n_columns, dtype=np.int64))).sum(axis=1)
                assert (numbers >= 0).all()
                assert (numbers < 1 << n_planes).all()
                wanted = head.bias + np.bincount(group, head.weight * bits, n_classes).astype(int)
                np.testing.assert_array_equal(numbers + offset, wanted)


@pytest.mark.parametrize("kind", ["plain", "signed"])
def test_classes_of_many_outputs_are_counted_in_parts(variant, kind) -> None:
    rng = np.random.default_rng(8)
    encoder = random_encoder(rng, 30, 90, 255)
    n_below, n_above = 1 + len(encoder.feature) + 200, 3600
    tt = rng.choice([1, 2, 4, 6, 7, 8, 9, 11, 13, 14], 200 + n_above).astype(np.uint8)
    top = np.concatenate([np.arange(n_below - 200, n_below), np.full(n_above, n_below)])
    in0, in1 = rng.integers(1, top), rng.integers(1, top)
    above = 2 * np.arange(n_below, n_below + n_above) + rng.integers(0, 2, n_above)
    outputs = np.concatenate([above, above[:9], 2 * rng.integers(0, n_below, 90)])
    net = from_columns(len(encoder.feature), tt, in0, in1, rng.permutation(outputs))
    net = net.with_(encoder=encoder, head=random_head(rng, len(outputs), 3, kind))
    made = Program(net, variant)
    plan = made._plan.contents
    assert plan.n_parts > 3 + 2 * (variant.block > 64)
    x = random_samples(net, 600)
    classes, scores = _scores(made, x)
    np.testing.assert_array_equal(scores, simulate.scores(net, x))
    np.testing.assert_array_equal(classes, simulate.classes(scores))
    words = rng.integers(0, 2**64, (net.n_inputs, 11), np.uint64)
    np.testing.assert_array_equal(_words(made, words), simulate.simulate(net, words))


def test_scores_use_all_of_32_bits(variant) -> None:
    most = 2**31 - 1
    net = random_net(0, n_classes=1, n_outputs=2)
    head = Head(np.array([0, 1, 2, 2]), np.array([most, -most]), np.array([0, 0, -most]))
    net = net.with_(head=head, outputs=np.array([2, 2]))
    x = random_samples(net, 200)
    wanted = simulate.scores(net, x)
    assert wanted.min() == -most
    assert wanted.max() == most
    classes, scores = _scores(Program(net, variant), x)
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(classes, simulate.classes(wanted))
    head = dataclasses.replace(head, bias=np.array([1, 0, 0]))
    with pytest.raises(InputError, match="32 bits"):
        Program(net.with_(head=head), variant)


def test_roots_are_gates_position_by_position() -> None:
    """Layer by layer; none of a layer that the next one pools."""
    net = random_net(3, n_gates=500, sites=True)
    roots = program._roots(net)
    _, pool, deep, dense, _ = SITES.starts
    assert set(roots) == set(np.flatnonzero((net.origin >= pool) & (net.origin < dense)))
    sites = net.origin[roots]
    n_pool = int((sites < deep).sum())
    assert (sites[:n_pool] < deep).all()
    assert (np.diff((sites[:n_pool] - pool) % 6) >= 0).all()
    assert (np.diff((sites[n_pool:] - deep) % 4) >= 0).all()


def test_sites_with_rows_but_no_columns_have_no_positions(variant) -> None:
    net = random_net(3, n_gates=20)
    sites = Sites((SiteLayer("odd", 1, 2, 3, 0),))
    net = net.with_(sites=sites, origin=np.zeros(20, np.int32))
    assert len(program._roots(net)) == 0
    x = random_samples(net, 5)
    np.testing.assert_array_equal(_scores(Program(net, variant), x)[1], simulate.scores(net, x))


def test_more_nodes_than_literals_is_refused(monkeypatch, variant) -> None:
    net = random_net(0)
    monkeypatch.setattr(program, "_MOST_NODES", net.n_nodes)
    Program(net, variant)
    monkeypatch.setattr(program, "_MOST_NODES", net.n_nodes - 1)
    with pytest.raises(InputError, match="signals are more than"):
        Program(net, variant)
