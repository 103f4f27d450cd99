"""Golden, random, tie and corner vectors, and how they become bits and beats."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import classes, encode, scores
from sim.bench import Bench
from sim.vectors import (
    KINDS,
    beats_of,
    bits_as_ints,
    choose_bits,
    corner_features,
    find_ties,
    frame_bytes,
    make_vectors,
    result_bits,
    tie_counts,
    tied_classes,
)

ENCODER = Encoder([0, 0, 1, 1, 3, 3], [2, 5, 2, 9, 0, 14], (2, 2), 15)


def test_vectors_are_reproducible_and_answered_by_the_reference(nets):
    net, golden = nets.net(n_features=5), nets.golden
    vectors = make_vectors(net, golden(net, 20), seed=3, n_random=40, n_ties=10, n_corners=20)
    again = make_vectors(net, golden(net, 20), seed=3, n_random=40, n_ties=10, n_corners=20)
    other = make_vectors(net, golden(net, 20), seed=4, n_random=40, n_ties=10, n_corners=20)
    assert np.array_equal(vectors.x, again.x)
    assert not np.array_equal(vectors.x[20:60], other.x[20:60])
    assert [vectors.count(kind) for kind in KINDS] == [20, 40, 10, len(vectors) - 70]
    assert np.array_equal(vectors.scores, scores(net, vectors.x))
    assert np.array_equal(vectors.classes, classes(vectors.scores))


def test_golden_answers_are_those_of_the_file_not_of_the_netlist(nets):
    net = nets.net(n_features=5)
    golden = nets.golden(net, 10)
    golden.scores[4] += 1
    vectors = make_vectors(net, golden, seed=1, n_random=0, n_ties=0, n_corners=0)
    assert (vectors.scores != scores(net, vectors.x)).any(axis=1).tolist() == [
        i == 4 for i in range(10)
    ]


def test_n_golden_takes_the_first_and_illegal_golden_values_are_refused(nets):
    net = nets.net(n_features=5)
    golden = nets.golden(net, 10)
    vectors = make_vectors(net, golden, seed=1, n_golden=4, n_random=0, n_ties=0, n_corners=0)
    assert np.array_equal(vectors.x, golden.x[:4])
    golden.x[2, 1] = 17
    with pytest.raises(InputError, match="sample 2, feature 1: value 17"):
        make_vectors(net, golden, seed=1)


def test_tie_vectors_are_tied_and_of_different_kinds(nets):
    net = nets.net(n_features=6, n_classes=4)
    ties = find_ties(net, nets.golden(net, 20).x.astype(np.int64), 24, np.random.default_rng(0))
    assert len(ties) == 24
    tied = tied_classes(scores(net, ties))
    assert (tied.sum(axis=1) >= 2).all()
    counts = tie_counts(scores(net, ties))
    assert counts["total"] == 24 == counts["of_2"] + counts["of_3_or_more"]
    distinct = counts["distinct"]
    assert distinct >= 3
    assert counts["winners"] >= 2
    # Different sets of tied classes come first, so that few vectors show many kinds of tie.
    assert tie_counts(scores(net, ties[:distinct]))["distinct"] == distinct


def test_every_bit_of_a_result_is_seen_as_0_and_as_1(nets):
    net = nets.net(n_features=5, group=12)
    golden = nets.golden(net, 400)
    few = make_vectors(net, golden, seed=1, n_golden=1, n_random=0, n_ties=0, n_corners=0)
    some = make_vectors(net, golden, seed=1, n_golden=1, n_random=0, n_ties=0, n_corners=30)
    can = result_bits(net, golden.scores).any(axis=0)
    assert not (result_bits(net, few.scores).any(axis=0) >= can).all()
    # golden vectors that are left out are among the corners where they show more
    assert (result_bits(net, some.scores).any(axis=0) >= can).all()
    assert some.count("corner") <= 30
    assert np.array_equal(some.scores, scores(net, some.x))
    # without any, the search for ties comes across some
    found = make_vectors(net, None, seed=1, n_random=0, n_ties=1, n_corners=30)
    assert (result_bits(net, found.scores).any(axis=0) >= can).all()


def test_bits_of_results_are_those_of_the_twos_complement(nets):
    net = nets.net(n_features=5, n_classes=1, negative=True)
    (shown,) = result_bits(net, np.array([[-2]]))
    ones, zeros = np.split(shown, 2)
    assert not ones[0]
    assert ones[1:].all()
    assert (zeros == ~ones).all()


def test_as_few_rows_as_show_the_most():
    shown = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]], bool)
    assert choose_bits(shown, np.zeros(4, bool), 9) == [1, 3]
    assert choose_bits(shown, np.array([1, 1, 1, 0], bool), 9) == [3]
    assert choose_bits(shown, np.zeros(4, bool), 1) == [1]
    assert choose_bits(shown[:0], np.zeros(4, bool), 9) == []


def test_one_class_has_no_ties(nets):
    net = nets.net(n_features=4, n_classes=1)
    assert len(find_ties(net, None, 8, np.random.default_rng(0))) == 0


def test_tie_counts_of_a_known_table():
    score = np.array([[1, 1, 0], [2, 2, 2], [3, 1, 0], [0, 5, 5], [4, 4, 1]])
    assert tie_counts(score) == {
        "total": 4,
        "of_2": 3,
        "of_3_or_more": 1,
        "distinct": 3,
        "winners": 2,
    }


def test_corners_hold_the_extremes_and_both_sides_of_every_threshold():
    corners = corner_features(ENCODER, 100)
    rows = {tuple(row) for row in corners.reshape(len(corners), -1).tolist()}
    assert {(0, 0, 0, 0), (15, 15, 15, 15)} <= rows
    assert {(2, 2, 0, 0), (3, 3, 0, 1), (5, 9, 0, 14), (6, 10, 0, 15)} <= rows
    assert {(15, 0, 0, 0), (0, 0, 0, 15), (0, 15, 15, 15), (15, 15, 15, 0)} <= rows
    bits = encode(ENCODER, corners)
    assert bits[2].sum() == 0  # at the first threshold: not above it
    assert bits[3].tolist() == [True, False] * 3


def test_corners_are_bounded_and_spread():
    encoder = Encoder(np.arange(50), np.full(50, 3), (50,), 15)
    corners = corner_features(encoder, 24)
    assert len(corners) == 24
    single = corners[4:14]
    assert (single > 0).sum(axis=1).tolist() == [1] * 10
    assert single.argmax(axis=1).tolist() == sorted(set(single.argmax(axis=1).tolist()))
    assert single[-1].argmax() == 49
    assert len(corner_features(encoder, 0)) == 0


def test_bits_as_ints_has_used_input_i_at_bit_i(nets):
    net = nets.net(n_features=5)
    x = nets.golden(net, 7).x.astype(np.int64)
    used = [0, 3, 4, 9]
    bits = encode(net.encoder, x)
    for value, row in zip(bits_as_ints(net, x, used), bits, strict=True):
        assert [value >> i & 1 for i in range(4)] == row[used].astype(int).tolist()


@pytest.mark.parametrize("bus_bytes", [1, 2, 4, 8])
def test_beats_are_little_endian_and_padding_is_noise(bus_bytes):
    x = np.array([[1, 2, 3], [258, 4, 5]])
    frames = frame_bytes(x, 2)
    assert frames.tolist() == [[1, 0, 2, 0, 3, 0], [2, 1, 4, 0, 5, 0]]
    beats = beats_of(frames, bus_bytes, np.random.default_rng(1))
    assert beats.shape == (2, -(-6 // bus_bytes))
    for row, frame in zip(beats.tolist(), frames.tolist(), strict=True):
        joined = b"".join(beat.to_bytes(bus_bytes, "little") for beat in row)
        assert list(joined[:6]) == frame
        assert len(joined) == 6 or any(joined[6:])


def test_picks_hold_vectors_of_all_bits_of_results(nets):
    net = nets.net(n_features=5, group=12)
    bench = Bench("top")
    bench.vectors = make_vectors(net, nets.golden(net, 300), seed=1, n_random=50)
    bench.job = SimpleNamespace(net=net, seed=1)
    telling = bench.telling(None)
    shown = result_bits(net, bench.vectors.scores)
    assert (shown[telling].any(axis=0) == shown.any(axis=0)).all()
    assert len(telling) < 30
    picked = bench.pick(40, bench.rng(1))
    assert set(telling) <= set(picked)
    assert len(picked) == 40
    assert bench.pick(40, bench.rng(1)) == picked
    assert bench.telling(3) == telling[:3]
    assert len(bench.pick(2, bench.rng(1))) == 2
    assert bench.pick(None, bench.rng(1)) == list(range(len(bench.vectors)))
