"""Other structures for the mapper: proved equal output by output, mapped beside the netlist."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.builder import NetlistBuilder
from gate2hw.ir.netlist import Encoder, Head
from gate2hw.ir.simulate import random_words, simulate
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.mapping import lut_search, lut_starts, lutmap
from gate2hw.passes.mapping.lut_starts import located
from gate2hw.passes.mapping.lutmap import check_mapping, search


def net_of(oracle, seed=5, **options):
    options = {"n_inputs": 18, "n_gates": 300, "n_outputs": 60, "window": 60, **options}
    return oracle.random_net(seed, encoder=True, dense=True, **options)


def assert_equal(a, b, n_words=64):
    words = random_words(a, n_words, np.random.default_rng(3))
    np.testing.assert_array_equal(simulate(a, words), simulate(b, words))


@pytest.mark.parametrize("care", ["thermometer", "none"])
def test_outputs_are_found_among_those_of_another_netlist(oracle, care):
    raw = net_of(oracle, n_classes=3)
    net = run_pipeline(raw, 3, care=care, output="class").net
    assert net.n_outputs < raw.n_outputs
    low = run_pipeline(raw, 1, care=care, output="class").net
    found = low.with_(outputs=located(net, low, care=care, timeout_s=60), head=net.head)
    assert_equal(net, found if care == "thermometer" else found.with_(encoder=None))


def test_complements_and_constants_are_found_what_differs_is_not():
    builder = NetlistBuilder(4)
    both, either = builder.gate(8, 1, 2), builder.gate(14, 3, 4)
    net = builder.build([2 * both + 1, 2 * either, 1, 2 * both])
    builder = NetlistBuilder(4)
    # NAND through De Morgan; the other differs from OR on a single input
    nand = builder.gate(14, *(builder.gate(3, i, i) for i in (1, 2)))
    wrong, right = builder.gate(6, 3, 4), builder.gate(14, 4, 3)
    other = builder.build([2 * right + 1, 2 * nand])
    found = located(net, other, care="none", timeout_s=60)
    nor, nand_ = other.outputs.tolist()
    assert found.tolist() == [nand_, nor ^ 1, 1, nand_ ^ 1]
    assert located(net, builder.build([2 * wrong, 2 * nand]), care="none", timeout_s=60) is None


def test_equal_on_legal_codes_is_equal_with_the_care_set_only():
    encoder = Encoder([0, 0, 1], [2, 5, 2], (2,), 9)
    builder = NetlistBuilder(3)
    net = builder.build([2 * builder.gate(6, 2, 3)], encoder=encoder)
    builder = NetlistBuilder(3)
    both = builder.gate(8, 1, 2)
    other = builder.build([2 * builder.gate(6, both, 3)], encoder=encoder)
    assert located(net, other, care="thermometer", timeout_s=60).tolist() == other.outputs.tolist()
    assert located(net, other, care="none", timeout_s=60) is None


def test_other_inputs_are_refused():
    net, other = (NetlistBuilder(n).build([2]) for n in (2, 3))
    with pytest.raises(InputError, match="3 inputs, the netlist that is mapped 2"):
        located(net, other, care="none", timeout_s=60)


def kept(trials, bound):
    return min((t.n_luts, t.depth, t.start) for t in trials if t.n_luts and t.depth <= bound)


def losing_to(winner):
    """`Search.improve`, after which no start but `winner` has a mapping."""
    improve = lut_search.Search.improve

    def losing(self):
        improve(self)
        if self.start != winner:
            self.best = None

    return losing


@pytest.mark.parametrize("winner", [None, 0, 1])
def test_the_best_start_wins(oracle, tmp_path, monkeypatch, winner):
    """Every start is mapped and the best result kept; it is one of the netlist."""
    raw = net_of(oracle, 1, n_gates=150, n_outputs=30)
    net = run_pipeline(raw, 3).net
    if winner is not None:
        monkeypatch.setattr(lut_search.Search, "improve", losing_to(winner))
    mapping = search(net, effort=1, starts=[raw])
    assert {t.start for t in mapping.trials} == {0, 1}
    tried = [t for t in mapping.trials if winner in (None, t.start)]
    found = (mapping.luts.n_luts, mapping.luts.depth, mapping.start)
    # a start may have more outputs than are kept of it
    assert found <= kept(tried, mapping.depth_bound)
    proof = check_mapping(net, mapping.luts, care="thermometer", work_dir=tmp_path, timeout_s=60)
    assert proof.result == "equivalent"


def test_a_start_is_mapped_as_on_its_own(oracle):
    """So that no level is worse than those below, whose netlists are its starts."""
    raw = net_of(oracle, n_classes=3)
    sizes, trials = [], []
    for level in (1, 2, 3):
        outcome = run_pipeline(raw, level, output="class")
        mapping = search(outcome.net, effort=1, starts=outcome.snapshots)
        sizes.append(mapping.luts.n_luts)
        lowest = min(level - 1, 1)
        tried = [t for t in mapping.trials if t.start == lowest and t.name != "probe"]
        trials.append([(t.name, t.n_luts, t.depth) for t in tried])
    assert sizes == sorted(sizes, reverse=True)
    assert trials[0] == trials[1] == trials[2]


def test_starts_are_for_effort_and_for_nets_of_some_size(oracle, monkeypatch):
    net = net_of(oracle)
    starts = [run_pipeline(net, 1).net]
    assert {t.start for t in search(net, effort=0, starts=starts).trials} == {0}
    monkeypatch.setattr(lutmap, "FAST_GATES", 50)
    assert {t.start for t in search(net, effort=1, starts=starts).trials} == {0}


def test_the_same_structure_is_mapped_once(oracle):
    outcome = run_pipeline(net_of(oracle, n_gates=60, n_outputs=20), 3)
    reordered = outcome.net.with_(outputs=outcome.net.outputs[::-1], head=Head.none(20))
    trials = search(outcome.net, effort=1, starts=[reordered, outcome.net]).trials
    assert {trial.start for trial in trials} == {0}


@pytest.mark.parametrize("place", [0, -1])
def test_a_start_that_lies_is_caught(oracle, monkeypatch, place):
    """Whether its wrong signal is the first use of a gate or one more use of another's."""
    net = run_pipeline(net_of(oracle, n_gates=60, n_outputs=20), 1).net
    assert net.outputs[0] >> 1 != net.outputs[-1] >> 1

    def lying(net, other, **options):
        outputs = located(net, other, **options)
        outputs[place] = outputs[-1 - place]
        return outputs

    monkeypatch.setattr(lutmap, "located", lying)
    monkeypatch.setattr(lut_search.Search, "improve", losing_to(1))
    other = net.with_(outputs=net.outputs[::-1], head=Head.none(net.n_outputs))
    other = run_pipeline(other, 2).net
    with pytest.raises(CheckFailedError, match="start 1 of the mapping does not"):
        search(net, effort=1, starts=[other])


def test_a_start_that_fails_leaves_the_others(oracle, monkeypatch):
    net = net_of(oracle)
    start = run_pipeline(net, 2).net
    plain = lut_search.Search._plain

    def failing(self):
        if self.start == 1:
            raise ToolTimeoutError("abc did not end")
        plain(self)

    monkeypatch.setattr(lut_search.Search, "_plain", failing)
    mapping = search(net, effort=1, starts=[start])
    assert (mapping.start, {t.start for t in mapping.trials}) == (0, {0})


@pytest.mark.parametrize("error", [ToolTimeoutError, ToolFailedError])
def test_a_start_that_is_not_located_in_its_time_is_left_out(oracle, monkeypatch, error):
    """Of the time that is left half is for all of them, in equal parts."""
    net = net_of(oracle, n_gates=60, n_outputs=20)
    starts = [run_pipeline(net, level).net for level in (1, 2)]
    given = []

    def late(net, *, care, timeout_s):
        given.append(timeout_s)
        raise error("abc did not end")

    monkeypatch.setattr(lut_starts, "swept_outputs", late)
    mapping = search(net, effort=1, starts=starts, timeout_s=40.0)
    assert (mapping.start, {t.start for t in mapping.trials}) == (0, {0})
    assert len(given) == 2
    assert 0 < given[0] == given[1] <= 10


def test_which_starts_are_worth_more():
    probes = [100, 102, None, 101, 90, 100, 90]
    searches = [SimpleNamespace(number=n) for n in range(len(probes))]
    chosen = [one.number for one in lutmap._worthwhile(searches, probes)]
    assert chosen == [0, 2, 3, 4, 6]
    # one more at the end leaves what was chosen before
    for n in range(len(probes)):
        fewer = [one.number for one in lutmap._worthwhile(searches[:n], probes[:n])]
        assert fewer == [number for number in chosen if number < n]
