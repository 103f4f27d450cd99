"""A board's top level simulated from its pins, before and after synthesis."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError
from gate2hw.flow.build import BuildFolder, Progress, key_of, silent
from gate2hw.flow.tops.boarding import board_dir
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest
from gate2hw.tools import yosys
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import run_bench
from gate2hw.tools.targets import Family, load_target

__all__ = ["cell_models", "simulate_board"]

TIMEOUT_S = 1800.0
CLOCKS: Final = {"verilator": 800_000, "icarus": 16_000}
"""Clocks a simulation may take for its vectors, about: Icarus takes up to 1 ms over a clock of a
netlist."""
FRAMES: Final = {
    "verilator": {"malformed": 12, "stalls": 3},
    "icarus": {"malformed": 2, "stalls": 1},
}
MOST_VECTORS: Final = 24
LONG_PACKET_CLOCKS: Final = 20_000
"""From here on a simulation has as few bad packets as Icarus has."""
NO_UART: Final = "no UART"
"""What the bench says of a test that is none of an SPI's."""
STAGES: Final = {"rtl": "Verilog", "netlist": "netlist"}
_MODELS: Final = {
    "ice40": (("sb_pll40.v", ("SB_PLL40_CORE", "SB_PLL40_PAD")),),
    "ecp5": (("ehxplll.v", ("EHXPLLL",)), ("dp16kd.v", ("DP16KD",))),
}


def cell_models(family: Family, netlists: list[Path], work_dir: Path) -> list[Path]:
    """Models of the cells in `netlists`: Yosys's own, and ours where it has none.

    Yosys's file is copied to `work_dir` without the black boxes that ours replace. Models of PLLs
    have delays, for which Icarus is needed.
    """
    text = "".join(path.read_text(encoding="utf-8") for path in netlists)
    used = [
        (name, cells)
        for name, cells in _MODELS[family]
        if any(re.search(rf"\b{cell}\b", text) for cell in cells)
    ]
    (own,) = yosys.cells_sim_path(family)
    if not used:
        return [own]
    shutil.rmtree(work_dir, ignore_errors=True)
    work_dir.mkdir(parents=True)
    for path in own.parent.glob("*sim.v*" if family == "ice40" else "*.v*"):
        shutil.copyfile(path, work_dir / path.name)
    cells_sim = work_dir / own.name
    models = cells_sim.read_text(encoding="utf-8")
    for _, cells in used:
        for cell in cells:
            box = rf"\(\* blackbox \*\)\s*module {cell}\b.*?\bendmodule"
            models = re.sub(box, "", models, flags=re.DOTALL)
    write_text(cells_sim, models)
    return [cells_sim, *(data_dir("rtl_templates") / "models" / name for name, _ in used)]


def _packet_clocks(facts: dict[str, Any], manifest: Manifest) -> int:
    """Clocks that a request and its answer take on the line."""
    n_bytes = manifest.frame_bytes + manifest.result_bytes + 13
    bits = 10 if facts["interface"] == "uart" else 9
    return int(n_bytes * bits * facts["clocks_per_bit"])


def _job(
    folder: BuildFolder, facts: dict[str, Any], result_path: Path, simulator: str
) -> dict[str, Any]:
    """What the bench is to do, as `sim.job` reads it."""
    compiled = folder.result("compile") or {}
    golden = folder.path / str(compiled.get("golden"))
    manifest_path = board_dir(folder, facts["board"]).resolve() / "rtl" / "manifest.json"
    clocks = _packet_clocks(facts, Manifest.load(manifest_path))
    n_vectors = max(2, min(MOST_VECTORS, CLOCKS[simulator] // clocks))
    n_other = n_vectors // 4
    return {
        "manifest": str(manifest_path),
        "netlist_raw": str((folder.path / "netlist_raw.npz").resolve()),
        "golden": str(golden.resolve()) if golden.is_file() else None,
        "result": str(result_path),
        "seed": 1,
        "n_golden": n_vectors - 3 * n_other,
        "n_random": n_other if golden.is_file() else n_vectors,
        "n_ties": n_other,
        "n_corners": n_other,
        "frames": FRAMES["icarus" if clocks > LONG_PACKET_CLOCKS else simulator],
    }


def _shorter_gap(facts: dict[str, Any], board_path: Path) -> None:
    """Facts of the board with a gap that does not take too long to simulate, for its Verilog."""
    gap = str(min(int(facts["parameters"]["GAP_CLOCKS"]), 20 * facts["clocks_per_bit"]))
    parameters = {**facts["parameters"], "GAP_CLOCKS": gap}
    content = {**facts, "parameters": parameters, "override": {"GAP_CLOCKS": gap}}
    write_text(board_path, json.dumps(content, indent=1))


def _run(
    folder: BuildFolder, facts: dict[str, Any], stage: str, sources: list[Path], simulator: str
) -> dict[str, Any]:
    """One simulation; CheckFailedError where the board does not answer as the model would."""
    out = board_dir(folder, facts["board"]).resolve()
    work = out / "sim" / stage
    work.mkdir(parents=True, exist_ok=True)
    result_path, job_path = work / "result.json", work / "job.json"
    result_path.unlink(missing_ok=True)
    write_text(job_path, json.dumps(_job(folder, facts, result_path, simulator), indent=1))
    board_path = out / "results.json"
    if (stage, simulator) == ("rtl", "verilator") and facts["interface"] == "uart":
        board_path = work / "board.json"
        _shorter_gap(facts, board_path)
    wrapper = work / f"{facts['top']}_bench.v"
    root = data_dir("sim").parent
    run_tool(
        [sys.executable, "-m", "sim.board_wrapper", str(board_path), str(wrapper)],
        tool="sim.board_wrapper",
        cwd=root,
        timeout_s=60.0,
        expect=(wrapper,),
    )
    outcome = run_bench(
        simulator=simulator,
        sources=[*sources, wrapper],
        toplevel=wrapper.stem,
        test_module="sim.bench_board",
        test_dir=root,
        build_dir=work / simulator,
        env={"GATE2HW_JOB": str(job_path), "GATE2HW_BOARD": str(board_path)},
        timeout_s=TIMEOUT_S,
    )
    if not result_path.is_file():
        raise ToolFailedError(f"the board bench gave no result; its log is {outcome.log_path}")
    result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    if not result["complete"]:
        raise ToolFailedError(f"the board bench broke off; its log is {outcome.log_path}")
    if not outcome.passed or not result["passed"]:
        broken = result.get("error") or "; ".join(map(str, result["violations"][:3]))
        raise CheckFailedError(
            f"{facts['board']}, {stage}: {result['mismatches']} of {result['n_compared']} answers "
            f"differ{'; ' + broken if broken else ''}; its log is {outcome.log_path}",
            details=result,
        )
    return {
        "stage": stage,
        "simulator": simulator,
        "n_packets": sum(test.get("n_vectors", 0) for test in result["tests"].values()),
        "mismatches": result["mismatches"],
        "skipped": {
            test: found["skipped"]
            for test, found in result["tests"].items()
            if found.get("skipped", NO_UART) != NO_UART
        },
        "time_s": round(outcome.time_s, 2),
    }


def simulate_board(
    out_dir: Path | str, name: str, *, progress: Progress = silent
) -> list[dict[str, Any]]:
    """Simulate what `board` made for the board `name`: its Verilog around the core as `compile`
    wrote it, then the netlist of all.

    A host at the pins of the line sends packets, good and bad ones; the answers must be the
    model's. Verilator simulates boards without a PLL, Icarus those with one. Verilator has a
    UART's Verilog with a gap of 20 bits, so that what ends a bad packet does not take too long.

    Returns one entry a simulation. Raises CheckFailedError for a wrong answer, InputError where
    the board was not built or its files have changed.
    """
    folder = BuildFolder.existing(out_dir)
    record = folder.steps().get(f"board.{name}")
    again = f"run: gate2hw board {out_dir} --board {name}"
    if record is None:
        raise InputError(f"{out_dir} was not built for the board {name!r}; {again}")
    if not record["result"]["fits"]:
        raise InputError(f"{name}: there is nothing to simulate, it {record['result']['reason']}")
    if not folder.files_unchanged(record):
        raise InputError(f"{board_dir(folder, name)}: files have changed; {again}")
    facts = record["result"]
    out, family = board_dir(folder, name), load_target(facts["target"]).family
    simulator = "icarus" if facts["pll"] else "verilator"
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    around = [folder.path / file for file in facts["around"]]
    rtl = [*(folder.path / "rtl" / file for file in generic.files), *around]
    netlist = [out / f"{facts['top']}_synth.v"]
    models = cell_models(family, around, out / "sim" / "models") if facts["pll"] else []
    cells = cell_models(family, netlist, out / "sim" / "cells")
    stages = {"rtl": [*rtl, *models], "netlist": [*netlist, *cells]}
    done: list[dict[str, Any]] = []
    start = time.perf_counter()

    def note(**more: Any) -> None:
        result = {"board": record["key"], "simulations": done, **more}
        key = key_of(step="simulate", board=record["key"])
        folder.put(f"simulate.{name}", key, [], result, time.perf_counter() - start)

    for place, (stage, sources) in enumerate(stages.items()):
        progress(place, 2, f"{name}: {STAGES[stage]} from its pins, {simulator}")
        try:
            done.append(_run(folder, facts, stage, sources, simulator))
        except CheckFailedError as error:
            note(failed=str(error))
            raise
    note()
    progress(2, 2, f"{name}: simulated")
    return done
