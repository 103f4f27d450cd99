"""The trees of a streaming design, and its dense layers, as LUT cells of a target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import CheckFailedError
from gate2hw.flow.signoff.gatecloud import PROOF_TIMEOUT_S, prove_cells, prove_popcounts
from gate2hw.ir.care import CareSet
from gate2hw.ir.lutnetlist import LutNetlist, load_lutnetlist, save_lutnetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.mapping.lutmap import check_mapping, effort_for, map_luts
from gate2hw.rtl import Manifest
from gate2hw.rtl.cells import emit_cells, emit_popcounts
from gate2hw.rtl.stream_spec import StreamSpec, WindowSpec, stages_of
from gate2hw.tools import yosys
from gate2hw.tools.targets import Family

__all__ = [
    "TAIL",
    "has_luts",
    "load_luts",
    "map_parts",
    "of_part",
    "parts_of",
    "prove_mapping",
    "prove_part_cells",
    "stream_clouds",
]

TAIL: Final = "tail"
_SUFFIX: Final = "_luts4.npz"


def parts_of(spec: StreamSpec) -> list[tuple[str, Netlist, int]]:
    """(name, netlist, instances) of every gate module of the design."""
    found = [
        (stage.name, stage.net, geometry.out_lanes)
        for stage, geometry in stages_of(spec)
        if isinstance(stage, WindowSpec)
    ]
    return found if spec.tail is None else [*found, (TAIL, spec.tail, 1)]


def _path(home: Path, name: str) -> Path:
    return home / f"{name}{_SUFFIX}"


def has_luts(home: Path) -> bool:
    """Whether the parts of the design stored in `home` were mapped."""
    return any(home.glob(f"*{_SUFFIX}"))


def load_luts(home: Path, spec: StreamSpec) -> dict[str, LutNetlist]:
    """The LUTs of every part that was mapped, by its name."""
    paths = {name: _path(home, name) for name, _, _ in parts_of(spec)}
    return {name: load_lutnetlist(path) for name, path in paths.items() if path.is_file()}


def map_parts(
    home: Path,
    parts: Iterable[tuple[str, Netlist]],
    starts: dict[str, tuple[Netlist, ...]],
    *,
    level: int,
    care: CareSet,
) -> tuple[list[Path], int, int]:
    """Map every part to LUTs of four inputs and store them; (files, LUTs, greatest depth)."""
    files, total, depth = [], 0, 0
    for name, net in parts:
        effort = min(level, effort_for(net.n_gates))
        luts = map_luts(net, k=4, care=care, effort=effort, starts=starts.get(name, ()))
        files.append(_path(home, name))
        save_lutnetlist(files[-1], luts)
        total, depth = total + luts.n_luts, max(depth, luts.depth)
    return files, total, depth


def of_part(manifest: Manifest, name: str) -> Manifest:
    """`manifest` with the module of a part as its gate cloud; only the dense layers may have
    registers between their gates."""
    if name == TAIL:
        return manifest
    module = f"{manifest.name}_{name}_gates"
    return replace(manifest, modules={**manifest.modules, "gates": module}, gate_registers=())


def stream_clouds(
    home: Path, spec: StreamSpec, out: Path, manifest: Manifest, family: Family
) -> list[yosys.Cloud]:
    """Write all parts as cells of `family` into `out`, the popcounts of dense layers too."""
    out.mkdir(parents=True, exist_ok=True)
    clouds = []
    for name, net, n_instances in parts_of(spec):
        part = of_part(manifest, name)
        module = part.modules["gates"]
        path = out / f"{module}_cells.v"
        luts: LutNetlist = load_lutnetlist(_path(home, name))
        count = emit_cells(net, luts, path, part, family=family, version=__version__)
        clouds.append(yosys.Cloud(path, module, count.luts, n_instances))
    if spec.tail is not None and manifest.popcount == "luts":
        for sums in emit_popcounts(spec.tail, out, manifest, family=family):
            clouds.append(yosys.Cloud(sums.path, sums.module, sums.luts, sums.n_instances))
    return clouds


def prove_part_cells(
    spec: StreamSpec, out: Path, manifest: Manifest, family: Family, work_dir: Path
) -> dict[str, Any]:
    """Prove every module of cells in `out` equal to its netlist; CheckFailedError if not."""
    proved: dict[str, Any] = {}
    for name, net, _ in parts_of(spec):
        part = of_part(manifest, name)
        path = out / f"{part.modules['gates']}_cells.v"
        proved[name] = prove_cells(net, path, part, family, work_dir)
    if spec.tail is not None and manifest.popcount == "luts":
        proved["popcounts"] = prove_popcounts(spec.tail, manifest, family, work_dir, out)
    return proved


def prove_mapping(
    home: Path, parts: Iterable[tuple[str, Netlist]], care: CareSet, work_dir: Path
) -> None:
    """Prove the stored LUTs of every part equal to its netlist, where they are stored."""
    for name, net in parts:
        if not _path(home, name).is_file():
            continue
        luts = load_lutnetlist(_path(home, name))
        proof = check_mapping(net, luts, care=care, work_dir=work_dir, timeout_s=PROOF_TIMEOUT_S)
        if proof.result != "equivalent":
            raise CheckFailedError(
                f"{_path(home, name)} is {proof.result} to its netlist ({proof.method}); "
                "compile again"
            )
