"""verify --target asic: mapped gates proved, the netlist simulated with its library's models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import InputError
from gate2hw.flow.asic.asic import TARGET, rtl_of_asic
from gate2hw.flow.signoff import benches
from gate2hw.flow.signoff.checks import Chain, check_rtl_files
from gate2hw.flow.signoff.gatecloud import PROOF_TIMEOUT_S, prove_gates
from gate2hw.ir.store import file_sha256
from gate2hw.rtl import Manifest
from gate2hw.tools import simulators
from gate2hw.tools.asic_yosys import expand_cells

__all__ = ["AsicCheck", "prepare", "prove_mapped_gates", "simulator_for"]

_CELL_CYCLES: Final = 1_000_000_000
"""Of cells and clock cycles; Icarus does some four million a second on cells of a library."""
_FEWEST_VECTORS: Final = 16


@dataclass(frozen=True)
class AsicCheck:
    """What is checked of a build folder: files, models, simulator, and why it cannot be."""

    chain: Chain
    bench: benches.Bench
    files: tuple[Path, ...]
    key: dict[str, Any]
    cloud: Path
    liberty: Path
    missing: str | None

    def work(self, proof: bool) -> dict[str, Any]:
        """Simulate, and with `proof` prove the gate cloud; the numbers of the check.

        Raises CheckFailedError where hardware and model differ.
        """
        found: dict[str, Any] = {}
        # a stream holds kernels, not the netlist: simulation compares it with the model
        if proof and self.bench.manifest.arch == "unrolled":
            work_dir = self.chain.folder.path / TARGET / "proof"
            gates = prove_mapped_gates(
                self.chain, self.cloud, self.liberty, self.bench.manifest, work_dir
            )
            found["cells"] = {"gates": gates}
        return {**benches.run(self.bench, self.chain), **found}


def simulator_for(models: Path, asked: str) -> str:
    """`asked`, or Icarus where the models hold user-defined primitives.

    Verilator 5.48 reads these and goes on, with other results than Icarus and the proof.
    """
    text = models.read_text(encoding="utf-8", errors="replace")
    return "icarus" if re.search(r"^\s*primitive\b", text, re.MULTILINE) else asked


def _most_vectors(cells: int, manifest: Manifest, simulator: str) -> int | None:
    """How many vectors of a kind Icarus gets through in minutes; None: no limit."""
    if simulator != "icarus":
        return None
    return max(_FEWEST_VECTORS, _CELL_CYCLES // (cells * max(1, manifest.interval_cycles)))


def prove_mapped_gates(
    chain: Chain, cloud: Path, liberty: Path, manifest: Manifest, work_dir: Path
) -> dict[str, Any]:
    """Prove the mapped gate cloud equal to the netlist, pipeline registers as wires.

    Cells are what Yosys reads in the Liberty file; ABC, which chose them, read it by itself.
    Raises CheckFailedError, with the counter-example, where they differ.
    """
    expanded = work_dir / "cells"
    expanded.mkdir(parents=True, exist_ok=True)
    module = manifest.modules["gates"]
    out_path = expanded / f"{module}.v"
    expand_cells(cloud, liberty, module, out_path=out_path, timeout_s=PROOF_TIMEOUT_S)
    return prove_gates(chain.net, expanded, manifest, work_dir)


def prepare(chain: Chain, simulator: str, n_random: int) -> AsicCheck:
    """What `verify` needs for the mapped netlist; InputError where files are missing or altered."""
    folder = chain.folder
    record = folder.steps()[f"synth.{TARGET}"]
    again = f"run gate2hw synth {folder.path} --target {TARGET} --liberty FILE again"
    if not folder.files_unchanged(record):
        raise InputError(f"{folder.path / TARGET}: files have changed since synth; {again}")
    result = record["result"]
    rtl_dir, manifest = rtl_of_asic(folder)
    check_rtl_files(rtl_dir, manifest, chain.net)
    liberty = Path(result["liberty"])
    if not liberty.is_file() or file_sha256(liberty) != result["liberty_sha256"]:
        raise InputError(f"{liberty} is gone or has changed since synth; {again}")
    models = None if result["cells_path"] is None else Path(result["cells_path"])
    if models is not None and not models.is_file():
        raise InputError(f"{models}, the library's Verilog models, is gone; {again}")
    netlist = folder.path / TARGET / f"{manifest.modules['top']}_mapped.v"
    missing: str | None = "no Verilog models of the cells: synth again with --cells FILE.v"
    if models is not None:
        _check_models(models, result["cells_by_type"])
        simulator = simulator_for(models, simulator)
        missing = simulators.available(simulator)
    most = _most_vectors(result["cells"], manifest, simulator)
    bench = benches.Bench(
        kind="top",
        sources=(netlist,) if models is None else (models, netlist),
        manifest=manifest,
        manifest_path=rtl_dir / "manifest.json",
        work_dir=folder.path / TARGET / "sim",
        simulator=simulator,
        n_random=n_random if most is None else min(n_random, most),
        n_golden=None if most is None or chain.golden is None else min(most, len(chain.golden.x)),
    )
    files = tuple(folder.path / name for name in record["files"])
    files += tuple(rtl_dir / name for name in manifest.files)
    key = {
        "files": record["files"],
        "simulator": simulators.versions(simulator),
        "models": None if models is None else file_sha256(models),
    }
    cloud = folder.path / TARGET / f"{manifest.modules['gates']}_mapped.v"
    return AsicCheck(chain, bench, files, key, cloud, liberty, missing)


def _check_models(models: Path, cells: dict[str, int]) -> None:
    text = models.read_text(encoding="utf-8", errors="replace")
    there = set(re.findall(r"^\s*module\s+\\?([\w$]+)", text, re.MULTILINE))
    lacking = sorted(set(cells) - there)
    if lacking:
        raise InputError(
            f"{models} has no model of {', '.join(lacking[:3])}; give the Verilog of the same "
            "library with --cells"
        )
