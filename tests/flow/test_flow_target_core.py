"""Which pipelined cores are simulated by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gate2hw.flow.clock.target_core import core_bench
from gate2hw.flow.signoff.benches import Bench
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl import Manifest, RtlOptions, emit_rtl

TEXT = """\
netlist inputs=4
5 = AND 1 2
6 = XOR 5 3
class bias=0: 6 ~5 4
class bias=0: 5 2
"""


@pytest.fixture(scope="module")
def generic(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    encoder = Encoder(np.repeat([0, 1], 2), np.tile([10, 20], 2), (2,), 255)
    net = parse_netlist(TEXT).with_(encoder=encoder)
    return emit_rtl(net, tmp_path_factory.mktemp("rtl"), RtlOptions(), version="0")


def bench_of(manifest: Manifest, folder: Path) -> Bench:
    return Bench("top", (), manifest, folder / "manifest.json", folder, "verilator", 1)


def test_other_registers_of_as_many_cycles_are_simulated(generic: Manifest, tmp_path: Path) -> None:
    own = replace(generic, register_gates=False, gate_registers=(1,))
    assert own.core_latency_cycles == generic.core_latency_cycles
    core = core_bench(bench_of(own, tmp_path), generic, tmp_path, None, "ice40")
    assert core is not None
    assert core.kind == "core"
    assert [path.name for path in core.sources] == ["lgn_gates.v", "lgn_core.v"]


def test_the_pipeline_of_the_generic_rtl_is_not_simulated_again(
    generic: Manifest, tmp_path: Path
) -> None:
    own = replace(generic, popcount="luts")
    assert core_bench(bench_of(own, tmp_path), generic, tmp_path, tmp_path, "ice40") is None
    streamed = replace(generic, arch="stream", gate_registers=(1,))
    assert core_bench(bench_of(streamed, tmp_path), generic, tmp_path, None, "ice40") is None
