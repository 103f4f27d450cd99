"""Popcounts as LUT cells: shared where equal, exact, and instantiated by the core."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rtl_nets import random_net

from gate2hw.errors import IRError
from gate2hw.ir.aiger import read_aiger
from gate2hw.ir.cell_delays import check_cell_delays
from gate2hw.ir.counters import counter
from gate2hw.ir.netlist import Head
from gate2hw.ir.simulate import pack, simulate, unpack
from gate2hw.rtl.cells import emit_popcounts
from gate2hw.rtl.emit import emit_rtl
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.popcount_cells import popcount_modules, write_popcount
from gate2hw.tools.yosys import gates_to_aiger

HEAD = Head([0, 3, 6, 8, 8], [1, 2, -1, 1, 2, -1, 1, 1], [5, 5, 0, 2])


def test_classes_with_equal_popcounts_share_a_module() -> None:
    parts = popcount_modules("eye", HEAD, -1, 4)
    assert [(part.name, part.classes, part.constant) for part in parts] == [
        ("eye_popcount_0", (0, 1), 6),
        ("eye_popcount_1", (2,), 1),
        ("eye_popcount_2", (3,), 3),
    ]
    assert parts[0].weights == (1, 2, -1)
    assert parts[2].weights == ()


def test_the_luts_of_a_module_count_exactly() -> None:
    part = popcount_modules("eye", HEAD, -1, 4)[0]
    luts = counter(part.weights, part.constant, part.width, "luts_shallow").to_luts()
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    score = unpack(simulate(luts, pack(bits)), 8) @ (1 << np.arange(4))
    assert np.array_equal(score, 6 + bits @ np.array([1, 2, -1]))


@pytest.mark.parametrize("output", ["class", "scores"])
def test_the_core_has_an_instance_a_class(output, tmp_path) -> None:
    net = random_net(np.random.default_rng(1))
    manifest = emit_rtl(net, tmp_path, RtlOptions(popcount="luts", output=output), version="0")
    parts = emit_popcounts(net, tmp_path, manifest, family="ice40")
    core = (tmp_path / "lgn_core.v").read_text()
    for part in parts:
        assert len(re.findall(rf"^\s*{part.module}\s", core, re.MULTILINE)) == part.n_instances
        text = part.path.read_text()
        assert text.count("SB_LUT4") == part.luts
        assert f"module {part.module} (" in text
    assert sum(part.n_instances for part in parts) == net.n_classes


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_cells_read_back_through_the_vendors_models_count_exactly(family, tmp_path) -> None:
    head = Head([0, 9], [1, 2, -1, 1, 3, -1, 1, 1, 4], [7])
    part = popcount_modules("eye", head, 0, 5)[0]
    path = tmp_path / "cells.v"
    write_popcount(part, path, family=family)

    def scores() -> np.ndarray:
        out = tmp_path / "back.aig"
        gates_to_aiger([path], top=part.name, out_path=out, timeout_s=120, cells_of=family)
        return unpack(simulate(read_aiger(out), pack(bits)), 512) @ (1 << np.arange(5))

    bits = (np.arange(512)[:, None] >> np.arange(9)) & 1
    expected = 7 + bits @ head.weight
    assert np.array_equal(scores(), expected)
    table = {"ice40": r"LUT_INIT\(16'h\w\w\w(\w)", "ecp5": r"INIT\(16'h\w\w\w(\w)"}[family]
    text = path.read_text()
    digit = re.search(table, text)
    assert digit is not None
    flipped = format(int(digit[1], 16) ^ 1, "x")
    path.write_text(text[: digit.start(1)] + flipped + text[digit.end(1) :])
    assert not np.array_equal(scores(), expected)


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_ranks_of_registers_leave_the_function_and_are_counted(family, tmp_path) -> None:
    net = random_net(np.random.default_rng(1))
    options = RtlOptions(popcount="luts", popcount_registers=2)
    manifest = emit_rtl(net, tmp_path, options, version="0")
    flat = emit_rtl(net, tmp_path / "flat", RtlOptions(popcount="luts"), version="0")
    assert manifest.core_latency_cycles == 2 + flat.core_latency_cycles
    assert manifest.top_latency_cycles == 2 + flat.top_latency_cycles
    for part in emit_popcounts(net, tmp_path, manifest, family=family):
        text = part.path.read_text()
        assert len(re.findall(r"SB_DFFE|TRELLIS_FF", text)) == part.registers
        assert "input wire clk" in text
        assert "latency 2 clock cycles" in text
        check_cell_delays(part.path, family, 2)
        if part.registers:
            with pytest.raises(IRError, match="stands behind 2 registers, not 1"):
                check_cell_delays(part.path, family, 1)
    core = (tmp_path / "lgn_core.v").read_text()
    assert re.search(r"lgn_popcount_0 \\?popcount_0 \(\s*\.ce\(ce\),\s*\.clk\(clk\)", core)
