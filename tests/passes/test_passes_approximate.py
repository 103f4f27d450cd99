"""Lossy replacement: what it takes for equal, what it saves, and that the budget binds."""

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.gates import TT_AND, TT_OR, TT_XOR
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.ir.simulate import classes, pack, scores_of_bits
from gate2hw.passes.approximate import Approximation, approximate, tidy

N_SAMPLES = 1000


@pytest.fixture
def bits() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (N_SAMPLES, 8)).astype(bool)


def run(net: Netlist, bits: np.ndarray, budget: float, **options) -> Approximation:
    """Approximate with the netlist's own classes on `bits` as labels."""
    labels = classes(scores_of_bits(net, bits))

    def score(candidate: Netlist) -> float:
        return float((classes(scores_of_bits(candidate, bits)) == labels).mean())

    return approximate(
        net, words=pack(bits), n_samples=len(bits), score=score, budget=budget, **options
    )


def vote(rare: bool) -> Netlist:
    """Class 1 wins where x0 ^ x1, but for a wide AND of the rest that is 1 on 1 of 64 codes."""
    b = NetlistBuilder(8)
    parity = b.gate(TT_XOR, 1, 2)
    wide = b.gate(TT_AND, 3, 4)
    for node in (5, 6, 7, 8):
        wide = b.gate(TT_AND if rare else TT_OR, wide, node)
    end = b.gate(TT_XOR, parity, wide)
    return b.build([0, 2 * end], head=Head([0, 1, 2], [1, 1], [0, 0]))


def test_a_rare_signal_goes_when_the_budget_pays_for_it(bits: np.ndarray) -> None:
    net = vote(rare=True)
    share = float((bits[:, 2:].all(axis=1)).mean())
    assert 0 < share < 0.05
    kept = run(net, bits, budget=share / 2)
    assert kept.net.n_gates == tidy(net).n_gates
    assert len(kept.curve) == 1
    found = run(net, bits, budget=share + 1e-9)
    assert found.net.n_gates == 1
    assert found.curve[-1].score == pytest.approx(1 - share)
    assert [p.n_gates for p in found.curve] == sorted(p.n_gates for p in found.curve)[::-1]


def test_a_signal_that_matters_stays(bits: np.ndarray) -> None:
    found = run(vote(rare=False), bits, budget=0.1)
    assert found.curve[-1].score >= 0.9
    labels = classes(scores_of_bits(vote(rare=False), bits))
    again = classes(scores_of_bits(found.net, bits))
    assert (labels == again).mean() == found.curve[-1].score


def test_samples_past_the_last_are_not_counted() -> None:
    """65 samples fill two words; the 63 zero bits after them must not make signals rare."""
    bits = np.ones((65, 8), bool)
    bits[::2, 0] = False
    net = vote(rare=True)
    labels = classes(scores_of_bits(net, bits))

    def score(candidate: Netlist) -> float:
        return float((classes(scores_of_bits(candidate, bits)) == labels).mean())

    found = approximate(net, words=pack(bits), n_samples=65, score=score, budget=0.0)
    assert found.net.n_gates == 0
    assert found.curve[-1].score == 1.0


def test_the_same_arguments_give_the_same_netlist(bits: np.ndarray) -> None:
    net = vote(rare=True)
    a, b = run(net, bits, 0.05), run(net, bits, 0.05)
    assert a.net.content_digest() == b.net.content_digest()
    assert a.curve == b.curve


def test_the_cost_is_what_the_curve_shows(bits: np.ndarray) -> None:
    found = run(vote(rare=True), bits, 0.05, cost=lambda net: 100 + net.n_gates)
    assert all(point.cost == 100 + point.n_gates for point in found.curve)


@pytest.mark.parametrize("budget", [-0.1, 1.5])
def test_a_budget_is_a_fraction(bits: np.ndarray, budget: float) -> None:
    with pytest.raises(InputError, match="fraction"):
        run(vote(rare=True), bits, budget)


def test_plain_circuits_have_no_accuracy(bits: np.ndarray) -> None:
    net = NetlistBuilder(8).build([2])
    with pytest.raises(InputError, match="classes"):
        approximate(net, words=pack(bits), n_samples=10, score=lambda candidate: 1.0, budget=0.1)


def test_the_words_must_hold_the_samples(bits: np.ndarray) -> None:
    with pytest.raises(InputError, match="words"):
        approximate(
            vote(rare=True), words=pack(bits), n_samples=3, score=lambda net: 1.0, budget=0.1
        )


def test_the_result_has_a_digest_of_its_own(bits: np.ndarray) -> None:
    net = vote(rare=True).with_(digest="d")
    assert run(net, bits, 0.05).net.digest != "d"
