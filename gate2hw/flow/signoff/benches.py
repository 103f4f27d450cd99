"""The simulated links: core and top against the golden file, before and after synthesis."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from gate2hw.errors import CheckFailedError, ToolFailedError
from gate2hw.flow.signoff.checks import Chain
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import run_bench

__all__ = ["KINDS", "Bench", "BenchKind", "run"]

BenchKind: TypeAlias = Literal["core", "top"]
KINDS: Final[tuple[BenchKind, ...]] = ("core", "top")
BENCH_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Bench:
    """One simulation: which bench, of which Verilog, with how many vectors."""

    kind: BenchKind
    sources: tuple[Path, ...]
    manifest: Manifest
    manifest_path: Path
    work_dir: Path
    simulator: str
    n_random: int
    n_golden: int | None = None


def _wrapper(bench: Bench, python_path: Path) -> Path:
    """Let the bench's own code write the plain module around the device under test."""
    path = bench.work_dir / f"{bench.manifest.name}_{bench.kind}_bench.v"
    run_tool(
        [sys.executable, "-m", "sim.wrapper", str(bench.manifest_path), bench.kind, str(path)],
        tool="sim.wrapper",
        cwd=python_path,
        timeout_s=60.0,
        expect=(path,),
    )
    return path


def run(bench: Bench, chain: Chain) -> dict[str, Any]:
    """Build and run one bench; return what it measured.

    Raises CheckFailedError with the first counter-example where hardware and model differ, and
    ToolFailedError where the bench did not come to a verdict.
    """
    bench = replace(
        bench,
        work_dir=bench.work_dir.resolve(),
        manifest_path=bench.manifest_path.resolve(),
        sources=tuple(source.resolve() for source in bench.sources),
    )
    bench.work_dir.mkdir(parents=True, exist_ok=True)
    result_path = bench.work_dir / f"result_{bench.kind}_{bench.simulator}.json"
    result_path.unlink(missing_ok=True)
    job_path = bench.work_dir / f"job_{bench.kind}_{bench.simulator}.json"
    job = {
        "manifest": str(bench.manifest_path),
        "netlist_raw": str((chain.folder.path / "netlist_raw.npz").resolve()),
        "golden": None if chain.golden_path is None else str(chain.golden_path.resolve()),
        "result": str(result_path.resolve()),
        "seed": 1,
        "n_random": bench.n_random,
        "n_golden": bench.n_golden,
    }
    write_text(job_path, json.dumps(job, indent=1))
    sim_dir = data_dir("sim")
    wrapper = _wrapper(bench, sim_dir.parent)
    outcome = run_bench(
        simulator=bench.simulator,
        sources=[*bench.sources, wrapper],
        toplevel=wrapper.stem,
        test_module=f"sim.bench_{bench.kind}",
        test_dir=sim_dir.parent,
        build_dir=bench.work_dir / f"{bench.kind}_{bench.simulator}",
        env={"GATE2HW_JOB": str(job_path.resolve())},
        timeout_s=BENCH_TIMEOUT_S,
    )
    if not result_path.is_file():
        raise ToolFailedError(
            f"the {bench.kind} bench on {bench.simulator} gave no result; "
            f"its log is {outcome.log_path}"
        )
    result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    if result.get("error"):
        raise CheckFailedError(f"{bench.kind} on {bench.simulator}: {result['error']}")
    if result["mismatches"]:
        raise CheckFailedError(
            f"{bench.kind} on {bench.simulator}: {result['mismatches']} of "
            f"{result['n_vectors']} vectors differ; first: {json.dumps(result['first_mismatch'])}",
            details=result,
        )
    if not outcome.passed:
        broken = "; ".join(map(str, result.get("violations", [])[:3]))
        raise CheckFailedError(
            f"the {bench.kind} bench on {bench.simulator} failed"
            f"{': ' + broken if broken else ''}; its log is {outcome.log_path}",
            details=result,
        )
    return {**result, "time_s": round(outcome.time_s, 2)}
