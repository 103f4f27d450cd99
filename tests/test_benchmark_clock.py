"""The clock benchmark's rungs: from the registers that are there to the fastest, each once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gate2hw.flow.clock.stages import Stages
from gate2hw.ir.lutnetlist import from_netlist, save_lutnetlist
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.store import save_netlist
from gate2hw.ir.text import parse_netlist
from gate2hw.rtl import RtlOptions, emit_rtl

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def clock() -> Iterator[ModuleType]:
    """benchmarks/clock.py, which is in no package."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("clock")
    sys.path.remove(str(FOLDER))
    for name in ("clock", "common"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["netlist inputs=6", *(f"{6 + n} = XOR {5 + n} {n % 5 + 1}" for n in range(1, 9))]
    lines += [f"class bias=0: {14 - c} {c + 1} {c + 2} {c + 8} {c + 9}" for c in range(4)]
    encoder = Encoder(np.repeat([0, 1], 3), np.tile([10, 20, 30], 2), (2,), 255)
    net = parse_netlist("\n".join(lines)).with_(encoder=encoder)
    emit_rtl(net, tmp_path / "rtl", RtlOptions(), version="0")
    save_netlist(tmp_path / "netlist.npz", net)
    save_lutnetlist(tmp_path / "luts4.npz", from_netlist(net))
    return tmp_path


def test_the_rungs_rise(clock: ModuleType, folder: Path) -> None:
    for target in clock.TARGETS:
        rungs = clock.ladder(folder, target, 5)
        assert rungs[0] == Stages()
        assert 3 <= len(set(rungs)) == len(rungs) <= 5
        cycles = [stages.cycles(4) for stages in rungs]
        assert cycles == sorted(cycles)
        assert rungs[-1].gates == 7
        assert clock.ladder(folder, target, 1) == rungs[:1]


def test_a_row_holds_all_seeds(
    clock: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def synth(out, target, **options):
        asked.append((target, options["stages"], options["seed"]))
        figures = dict.fromkeys(("latency_cycles", "luts", "ffs", "logic_cells"), 7)
        critical = {"block": f"block {options['seed']}"}
        clock_mhz = [0.0, 120.0, 90.0, 100.0][options["seed"]]
        return {"fits": True, "fmax_mhz": clock_mhz, "critical": critical, **figures}

    monkeypatch.setattr(clock.gate2hw, "synth", synth, raising=False)
    row = clock.measure(folder, "ice40-hx8k", Stages(1, 2), 3)
    assert asked == [("ice40-hx8k", "gates=1,popcount=2", seed) for seed in (1, 2, 3)]
    assert row["fmax_mhz"] == [90.0, 100.0, 120.0]
    assert (row["fmax_mhz_median"], row["fmax_mhz_best"]) == (100.0, 120.0)
    assert (row["slowest_in"], row["latency_ns"]) == ("block 1", 70.0)
    assert set(clock.COLUMNS) <= set(row)
