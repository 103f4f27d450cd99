import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir import simulate as sim
from gate2hw.ir.netlist import Encoder, Head, Netlist
from gate2hw.ir.text import parse_netlist


@pytest.mark.parametrize("n_samples", [0, 1, 7, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("n_signals", [0, 1, 5])
def test_pack_places_every_bit(n_samples, n_signals):
    bits = np.random.default_rng(1).random((n_samples, n_signals)) < 0.5
    words = sim.pack(bits)
    assert words.shape == (n_signals, -(-n_samples // 64))
    assert words.dtype == np.uint64
    for s in range(n_samples):
        for i in range(n_signals):
            assert (int(words[i, s // 64]) >> (s % 64)) & 1 == bits[s, i]
    assert not (words[:, n_samples // 64 :] >> np.uint64(n_samples % 64)).any() or (
        n_samples % 64 == 0
    )
    assert (sim.unpack(words, n_samples) == bits).all()


def test_every_function_on_every_input():
    a, b = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool).T
    none = np.zeros(0, np.int32)
    net = Netlist(
        2,
        np.arange(16),
        np.full(16, 1),
        np.full(16, 2),
        [0, 16],
        2 * np.arange(3, 19),
        head=Head.none(16),
        origin=none,
    )
    out = sim.unpack(sim.simulate(net, sim.pack(np.stack([a, b], axis=1))), 4)
    assert out.T.tolist() == [[bool(tt >> row & 1) for row in range(4)] for tt in range(16)]


def by_hand(net, bits):
    value = [0, *bits]
    for tt, a, b in zip(net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), strict=True):
        value.append(tt >> (2 * value[a] + value[b]) & 1)
    outputs = [value[lit >> 1] ^ (lit & 1) for lit in net.outputs.tolist()]
    ptr, weight = net.head.group_ptr.tolist(), net.head.weight.tolist()
    return [
        bias + sum(w * o for w, o in zip(weight[p:q], outputs[p:q], strict=True))
        for bias, p, q in zip(net.head.bias.tolist(), ptr, ptr[1:], strict=False)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_weighted_scores_and_complements(seed, random_netlist, monkeypatch):
    monkeypatch.setattr(sim, "_CHUNK_WORDS", 1)
    net = random_netlist(seed, n_classes=4)
    bits = np.random.default_rng(seed).random((150, net.n_inputs)) < 0.5
    scores = sim.scores_of_bits(net, bits)
    assert scores.tolist() == [by_hand(net, row) for row in bits.astype(int).tolist()]
    low, high = net.head.score_bounds().T
    assert ((low <= scores) & (scores <= high)).all()


def test_ties_go_to_the_lowest_class():
    scores = np.array([[3, 3, 1], [0, 0, 0], [-2, -1, -1], [1, 2, 3]])
    assert sim.classes(scores).tolist() == [0, 0, 1, 2]
    with pytest.raises(InputError, match="C >= 1"):
        sim.classes(np.zeros((3, 0), np.int64))


def test_encode_is_strictly_greater():
    encoder = Encoder([0, 0, 1], [0, 7, 7], (2,), 9)
    x = np.array([[0, 7], [1, 8], [7, 6], [8, 9]], np.uint8)
    assert sim.encode(encoder, x).astype(int).tolist() == [
        [0, 0, 0],
        [1, 0, 1],
        [1, 0, 0],
        [1, 1, 1],
    ]


IMAGE = Encoder([0, 3], [1, 2], (1, 2, 2), 9)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4), int), r"input has shape \(2, 4\), the model expects \(N, 1, 2, 2\)"),
        (np.zeros((1, 2, 2), int), "the model expects"),
        (np.int64(3), r"input has shape \(\)"),
        (np.full((2, 1, 2, 2), 10), r"sample 0, feature 0: value 10 is outside 0\.\.9"),
        (np.array([[[[0, 1], [-1, 0]]]]), "sample 0, feature 2: value -1"),
        (np.array([[[[0, 1], [0.5, 0]]]]), "sample 0, feature 2: 0.5 is not an integer"),
        (np.array([[[[0, np.nan], [0, 0]]]]), "sample 0, feature 1: nan is not an integer"),
        (np.array([[[[0, np.inf], [0, 0]]]]), "inf is not an integer"),
        (np.full((1, 1, 2, 2), "x"), "input has type <U1"),
        (np.full((1, 1, 2, 2), None), "input has type object"),
        (np.zeros((1, 1, 2, 2), complex), "input has type complex128"),
        ([[1], [1, 2]], "the input is no array"),
    ],
)
def test_bad_inputs(x, message):
    with pytest.raises(InputError, match=message):
        sim.check_input(IMAGE, x)


def test_good_inputs_of_every_type():
    x = np.array([[[[0, 1], [1, 9]]]])
    for dtype in (np.uint8, np.int16, np.uint64, np.float32, np.float64):
        assert sim.check_input(IMAGE, x.astype(dtype)).tolist() == [[0, 1, 1, 9]]
    assert sim.check_input(IMAGE, (x > 0).tolist()).tolist() == [[0, 1, 1, 1]]
    assert sim.check_input(IMAGE, np.zeros((0, 1, 2, 2))).shape == (0, 4)


def test_no_samples_give_no_scores(random_netlist):
    net = random_netlist(1, encoder=True)
    assert sim.scores(net, np.zeros((0, 5))).shape == (0, 3)
    assert sim.scores_of_bits(net, np.zeros((0, 5), bool)).shape == (0, 3)


def test_wrong_use_is_refused(random_netlist):
    net = random_netlist(1)
    with pytest.raises(InputError, match="no encoder"):
        sim.scores(net, np.zeros((1, 5)))
    with pytest.raises(InputError, match="4 input signals given, the netlist has 5"):
        sim.simulate(net, np.zeros((4, 1), np.uint64))


def test_random_words_are_legal_codes():
    net = parse_netlist("""
        netlist inputs=3
        encoder shape=(1) max_value=9
        input 1 feature=0 threshold=2
        input 2 feature=0 threshold=4
        input 3 feature=0 threshold=8
        output 1
        """)
    rng = np.random.default_rng(0)
    bits = sim.unpack(sim.random_words(net, 3, rng), 192)
    assert (bits[:, :-1] >= bits[:, 1:]).all()
    assert {tuple(row) for row in bits.astype(int).tolist()} == {
        (0, 0, 0),
        (1, 0, 0),
        (1, 1, 0),
        (1, 1, 1),
    }
    free = sim.unpack(sim.random_words(net.with_(encoder=None), 3, rng), 192)
    assert len({tuple(row) for row in free.tolist()}) == 8
