"""A pipelined build, routed and verified; and a register too few in it, caught by simulation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import gate2hw
from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.clock.target_core import core_bench
from gate2hw.flow.signoff import benches
from gate2hw.flow.signoff.checks import load_chain
from gate2hw.rtl import Manifest
from gate2hw.tools.simulators import available

TARGET = "ice40-hx8k"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(available("verilator") is not None, reason=str(available("verilator"))),
]


def without_a_register(text: str) -> str:
    """The cells of the gates with a register before a LUT, but not before all, as a wire."""
    pin = re.compile(r"\((n\d+)_r1\)")
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if "SB_LUT4" in line and len(set(pin.findall(line))) > 1:
            lines[number] = pin.sub(r"(\1)", line, count=1)
            return "".join(lines)
    raise AssertionError("no LUT reads two registers")


def test_a_pipelined_build_is_verified_and_a_missing_register_seen(build: Path) -> None:
    flat = Manifest.load(build / "rtl" / "manifest.json")
    stages = "gates=1,popcount=1,compare=1,result=1"
    placed = gate2hw.synth(build, TARGET, stages=stages)
    assert placed["fits"]
    own = Manifest.load(build / TARGET / "rtl" / "manifest.json")
    levels = (flat.n_classes - 1).bit_length()
    assert own.core_latency_cycles == flat.core_latency_cycles + 3 + levels
    assert placed["latency_cycles"] == flat.top_latency_cycles + 3 + levels
    assert placed["area_by_block"]["gates"]["ffs"] > 0
    assert placed["area_by_block"]["popcount"]["ffs"] > 0
    checked = gate2hw.verify(build, target=TARGET, n_random=64, links="target")
    assert [link["result"] for link in checked["links"]] == ["passed"], checked
    assert re.match("cells proved .* vectors, 0 differ; its core alone: ", told(checked)), checked
    proofs = BuildFolder(build).steps()[f"verify.{TARGET}"]["result"]["check"]["cells"]
    assert (proofs["gates"]["n_ranks"], proofs["popcounts"]["n_ranks"]) == (1, 1)
    cells = build / TARGET / "tiny_gates_cells.v"
    cells.write_text(without_a_register(cells.read_text()))
    rtl_dir = build / TARGET / "rtl"
    bench = benches.Bench(
        kind="top",
        sources=(),
        manifest=own,
        manifest_path=rtl_dir / "manifest.json",
        work_dir=build / "broken",
        simulator="verilator",
        n_random=64,
    )
    core = core_bench(bench, flat, rtl_dir, cells.parent, "ice40")
    assert core is not None
    with pytest.raises(CheckFailedError, match="vectors differ; first"):
        benches.run(core, load_chain(BuildFolder(build)))


def told(checked: dict[str, Any]) -> str:
    """What is said of the only link."""
    return str(checked["links"][0]["detail"])
