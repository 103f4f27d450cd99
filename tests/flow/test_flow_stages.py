"""Registers and their estimate: cycles as the core counts them, and what the estimate learns."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.flow.clock.stages import Delays, Shape, Stages, best_within, cheapest_for, parse_stages
from gate2hw.ir.lutnetlist import from_netlist
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl import RtlOptions, emit_rtl
from gate2hw.rtl.core import core_latency

TEXT = """\
netlist inputs=4
5 = AND 1 2
6 = XOR 5 3
7 = OR 6 4
class bias=0: 7 ~5 6 2 3
class bias=0: 6 4 1
class bias=0: 5 7
"""
SHAPE = Shape(6, 9, 10, 7)
DELAYS = Delays(1.0, {"gates": 1.0, "popcount": 1.0, "compare": 2.0, "select": 1.0, "stream": 1.0})


def netlist() -> Netlist:
    return parse_netlist(TEXT)


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=5)))
@pytest.mark.parametrize(("gates", "popcount"), [(0, 0), (2, 1), (4, 3)])
def test_cycles_are_those_of_the_core(gates: int, popcount: int, flags: tuple[bool, ...]) -> None:
    net = netlist()
    stages = Stages(gates, popcount, *flags)
    options = RtlOptions(**stages.options(net))
    options.check(net)
    assert stages.cycles(net.n_classes) == core_latency(net, options)
    assert parse_stages(str(stages), Stages()) == stages


def test_ranks_lie_evenly_among_the_levels() -> None:
    net = netlist()
    assert [Stages(n).options(net)["gate_registers"] for n in range(5)] == [
        (),
        (1,),
        (1, 2),
        (1, 2, 3),
        (0, 1, 2, 3),
    ]
    with pytest.raises(InputError, match=r"5 ranks .* more than 3 levels .* at most 4"):
        Stages(5).options(net)


@pytest.mark.parametrize("text", ["gate=1", "gates", "gates=-1", "tree=2", "gates=x"])
def test_stages_that_are_not_understood(text: str) -> None:
    with pytest.raises(InputError, match="is not understood; give gates, popcount, outputs"):
        parse_stages(text, Stages())


def test_what_is_left_out_stays() -> None:
    start = Stages(3, 1, compare=True)
    assert parse_stages(" gates=2 , tree=0,", start) == Stages(2, 1, tree=False, compare=True)
    assert parse_stages("", start) == start


def test_the_shape_is_that_of_the_netlist(tmp_path: Path) -> None:
    encoder = Encoder(np.repeat([0, 1], 2), np.tile([10, 20], 2), (2,), 255)
    net = netlist().with_(encoder=encoder)
    manifest = emit_rtl(net, tmp_path, RtlOptions(), version="0")
    shape = Shape.of(net, from_netlist(net), manifest)
    assert (shape.gate_levels, shape.n_classes, shape.score_bits) == (3, 3, 3)
    assert shape.popcount_levels == 3
    assert Shape.of(net, None, manifest).gate_levels == 2
    assert Stages.of(manifest) == Stages()


def test_the_slowest_path_counts_until_a_register_cuts_it() -> None:
    whole = Stages(outputs=False, scores=False, tree=False)
    compare = 2.0 * (0.5 + 0.06 * 7)
    assert DELAYS.period_ns(whole, SHAPE) == pytest.approx(1 + 6 + 9 + 4 * (compare + 1) + 1)
    assert DELAYS.period_ns(Stages(), SHAPE) == pytest.approx(1 + 9)
    assert DELAYS.period_ns(Stages(0, 2), SHAPE) == pytest.approx(1 + 6)
    assert DELAYS.period_ns(Stages(2, 2), SHAPE) == pytest.approx(1 + compare + 1 + 1)
    assert DELAYS.period_ns(Stages(2, 2, result=True), SHAPE) == pytest.approx(1 + 3)


def test_the_fewest_cycles_that_reach_the_clock() -> None:
    assert cheapest_for(10.0, SHAPE, DELAYS, []) == Stages()
    assert cheapest_for(7.0, SHAPE, DELAYS, []) == Stages(0, 1)
    assert cheapest_for(7.0, SHAPE, DELAYS, [Stages(0, 1)]) != Stages(0, 1)
    # nothing reaches it: the fastest there is
    fastest = cheapest_for(0.5, SHAPE, DELAYS, [])
    assert fastest is not None
    assert fastest.compare
    period = DELAYS.period_ns(fastest, SHAPE)
    assert period == min(DELAYS.period_ns(s, SHAPE) for s in SHAPE.choices(fewer=False))


@pytest.mark.parametrize("n_cycles", range(12))
def test_the_fastest_within_some_cycles(n_cycles: int) -> None:
    found = best_within(n_cycles, SHAPE, DELAYS, [])
    assert found is not None
    assert found.cycles(10) <= n_cycles
    rated = [s for s in SHAPE.choices(fewer=True) if s.cycles(10) <= n_cycles]
    assert DELAYS.period_ns(found, SHAPE) == min(DELAYS.period_ns(s, SHAPE) for s in rated)


def test_place_and_route_corrects_the_block_that_was_slowest() -> None:
    tried = Stages(0, 1)
    learned = DELAYS.corrected(tried, SHAPE, ["gates"], 9.0)
    assert learned.period_ns(tried, SHAPE) == pytest.approx(9.0)
    assert learned.scale == {"gates": pytest.approx(8 / 6)}
    assert DELAYS.corrected(tried, SHAPE, ["encoder"], 9.0) == DELAYS
    assert cheapest_for(7.0, SHAPE, learned, [tried]) == Stages(1, 1)


def test_what_was_reached_bounds_the_other_blocks() -> None:
    tried = Stages(0, 1)
    slow = Delays(1.0, DELAYS.level, {"popcount": 3.0})
    assert slow.period_ns(tried, SHAPE) == pytest.approx(1 + 15)
    assert slow.bounded(tried, SHAPE, 8.0).period_ns(tried, SHAPE) == pytest.approx(8.0)
    assert DELAYS.bounded(tried, SHAPE, 8.0).scale == {}
