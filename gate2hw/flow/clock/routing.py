"""One run from the RTL of a build folder to a placed and routed target."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from gate2hw import __version__
from gate2hw.errors import DoesNotFitError
from gate2hw.flow.build import LUTS, BuildFolder, Progress
from gate2hw.flow.clock.blocks import BLOCKS, areas, blocks_of
from gate2hw.flow.clock.critical import CORE, Words, critical, fan_out
from gate2hw.flow.clock.stages import Stages
from gate2hw.flow.stream.stream_build import clouds_for_target, emit_for_target, luts_of
from gate2hw.ir.lutnetlist import LutNetlist, load_lutnetlist
from gate2hw.ir.store import load_netlist, write_text
from gate2hw.passes.staging import staging
from gate2hw.rtl import Manifest, RtlOptions, emit_rtl
from gate2hw.rtl.cells import PopcountCells, emit_cells, emit_popcounts
from gate2hw.rtl.options import StorageForm
from gate2hw.tools import nextpnr, yosys
from gate2hw.tools.fanout import FanOut, fan_outs
from gate2hw.tools.targets import Family, Target, check_fits

__all__ = [
    "BLOCKS",
    "STORAGE",
    "Mapper",
    "Request",
    "cells_of_target",
    "clean",
    "clouds_for",
    "options_for",
    "route",
    "rtl_of_target",
]

Mapper: TypeAlias = Literal["auto", "gate2hw", "yosys"]

SYNTHESIS_TIMEOUT_S = 3600.0
ROUTE_TIMEOUT_S = 7200.0
CONTROL_PINS = 9
"""clk, rst, frame_error, and valid, ready and last of both streams."""
STORAGE: Final[Mapping[Family, StorageForm]] = MappingProxyType(
    {"ice40": "logic", "ecp5": "enable"}
)
"""How a stored input bit is the smallest: in one cell with its flip-flop, or with no LUT at all."""
_CELLS: Final = {"ice40": "ICESTORM_LC", "ecp5": "TRELLIS_COMB"}
"""The sites that nextpnr counts: a LUT and a flip-flop, or a LUT alone."""


@dataclass(frozen=True)
class Request:
    """What one run is asked for; `stages` None: the registers of the generic RTL."""

    clock_mhz: float
    seed: int
    mapper: Mapper
    popcount: str
    stages: Stages | None = None

    def asked(self) -> dict[str, Any]:
        """As it stands in the results."""
        return {"clock_mhz": self.clock_mhz, "seed": self.seed, "mapper": self.mapper}

    def to_json(self) -> dict[str, Any]:
        """Everything, as a JSON object."""
        return asdict(self)


def rtl_of_target(folder: BuildFolder, target: Target) -> tuple[Path, Manifest]:
    """The RTL folder that `target` uses: its own if it has one, else the generic."""
    own = folder.path / target.name / "rtl"
    where = own if (own / "manifest.json").is_file() else folder.path / "rtl"
    return where, Manifest.load(where / "manifest.json")


def cells_of_target(folder: BuildFolder, target: Target, manifest: Manifest) -> Path:
    """Where `synth` writes the gate cloud as cells of `target`; not there if Yosys mapped it."""
    return folder.path / target.name / f"{manifest.modules['gates']}_cells.v"


def clouds_for(
    folder: BuildFolder, out: Path, target: Target, manifest: Manifest
) -> tuple[list[yosys.Cloud], LutNetlist]:
    """Write the gate cloud, which comes first, and the popcounts as cells of `target` into `out`.

    Where there are ranks of registers, LUTs are staged so that these are few: as flip-flops, or as
    logic cells where a flip-flop shares one with a LUT.
    """
    path = out / f"{manifest.modules['gates']}_cells.v"
    luts = load_lutnetlist(folder.path / LUTS)
    net = load_netlist(folder.path / "netlist.npz")
    out.mkdir(parents=True, exist_ok=True)
    family = target.family
    staged = partial(staging, for_cells=family == "ice40")
    count = emit_cells(
        net, luts, path, manifest, family=family, version=__version__, staging=staged
    )
    clouds = [yosys.Cloud(path, manifest.modules["gates"], count.luts)]
    parts: list[PopcountCells] = []
    if manifest.popcount == "luts":
        parts = emit_popcounts(net, out, manifest, family=family, staging=staged)
    for part in parts:
        clouds.append(yosys.Cloud(part.path, part.module, part.luts, part.n_instances))
    return clouds, luts


def options_for(manifest: Manifest, family: Family, **changes: Any) -> RtlOptions:
    """The options of a design with `changes`, its input bits stored in the form of `family`."""
    options = manifest.options(**changes)
    if manifest.arch == "stream":
        return options
    return replace(options, storage=STORAGE[family])


def _emit_for(
    folder: BuildFolder, out: Path, request: Request, family: Family
) -> tuple[Path, Manifest, list[Path]]:
    """Write RTL of its own into `out` where the popcounts, the registers or the storage are to be
    others than the generic RTL has."""
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    own = out / "rtl"
    net = load_netlist(folder.path / "netlist.npz")
    stages = {} if request.stages is None else request.stages.options(net)
    options = options_for(generic, family, popcount=request.popcount, **stages)
    if generic.arch == "stream":
        manifest = emit_for_target(folder.path, net, own, options, family)
        return own, manifest, [own / name for name in [*manifest.files, "manifest.json"]]
    if options == generic.options():
        for stale in own.glob("*"):
            stale.unlink()
        return folder.path / "rtl", generic, []
    manifest = emit_rtl(net, own, options, version=__version__)
    return own, manifest, [own / name for name in [*manifest.files, "manifest.json"]]


def _constraints(out: Path, target: Target, clock_mhz: float) -> Path:
    """Write the target's constraint file: the clock; pins are placed by nextpnr."""
    if target.family == "ice40":
        path, text = out / "constraints.pcf", f"set_frequency clk {clock_mhz:g}\n"
    else:
        path, text = out / "constraints.lpf", f'FREQUENCY PORT "clk" {clock_mhz:g} MHZ;\n'
    write_text(path, text)
    return path


def _figures(
    manifest: Manifest,
    pnr: nextpnr.PnrResult,
    mapped: yosys.SynthResult,
    nets: list[FanOut],
    words: Words,
) -> dict[str, Any]:
    fmax_hz = pnr.fmax_mhz * 1e6
    sites = pnr.utilisation.get(_CELLS[mapped.family])
    return {
        "fits": True,
        "luts": mapped.luts,
        "ffs": mapped.ffs,
        "carries": mapped.carries,
        "cells": sum(mapped.cells.values()),
        "cells_by_type": mapped.cells,
        "logic_cells": None if sites is None else sites[0],
        "utilisation": {
            name: {"used": used, "available": available, "fraction": round(used / available, 4)}
            for name, (used, available) in pnr.utilisation.items()
            if available
        },
        "fmax_mhz": pnr.fmax_mhz,
        "clock_mhz": pnr.clock_mhz,
        "clock_met": pnr.clock_met,
        "critical_path": pnr.critical_path,
        "critical": critical(pnr.critical_path, words),
        "fan_out": fan_out(nets, words),
        "stages": Stages.of(manifest).to_json(),
        "core_latency_cycles": manifest.core_latency_cycles,
        "latency_cycles": manifest.top_latency_cycles,
        "latency_ns": round(manifest.top_latency_cycles / pnr.fmax_mhz * 1e3, 3),
        "interval_cycles": manifest.interval_cycles,
        "images_per_s": math.floor(fmax_hz / manifest.interval_cycles),
        # a streaming design has no core that takes an image a clock
        "core_images_per_s": math.floor(fmax_hz) if manifest.arch == "unrolled" else None,
        "counts_encoder": True,
        "popcount": manifest.popcount,
        "time_synthesis_s": round(mapped.time_s, 2),
        "time_route_s": round(pnr.time_s, 2),
    }


def clean(out: Path) -> None:
    """Take away from the folder of a target what an earlier run left."""
    patterns = ("*.bi[nt]", "*_cells.v", "*.asc", "*.config", "*_nextpnr.json", "results.json")
    for stale in itertools.chain.from_iterable(out.glob(pattern) for pattern in patterns):
        stale.unlink(missing_ok=True)
    for killed in (*out.glob(".nextpnr-*"), *out.glob(".yosys-*")):
        shutil.rmtree(killed, ignore_errors=True)


def _place(
    target: Target, out: Path, json_path: Path, request: Request, progress: Progress
) -> nextpnr.PnrResult:
    return nextpnr.place_and_route(
        family=target.family,
        device_args=target.device_args,
        json_path=json_path,
        out_dir=out,
        clock_mhz=request.clock_mhz,
        seed=request.seed,
        timeout_s=ROUTE_TIMEOUT_S,
        constraint_path=_constraints(out, target, request.clock_mhz),
        on_phase=lambda phase: progress(2, 4, f"{target.name}: place and route, {phase}"),
    )


def route(
    folder: BuildFolder, out: Path, target: Target, request: Request, progress: Progress
) -> tuple[Iterable[Path], dict[str, Any]]:
    """Synthesise, place and route once into `out`; the files that it wrote, and the figures.

    Raises ToolError where a tool is missing or fails; a design that does not fit is a result.
    """
    clean(out)
    progress(0, 4, f"{target.name}: RTL")
    rtl_dir, manifest, files = _emit_for(folder, out, request, target.family)
    top = manifest.modules["top"]
    json_path, verilog_path = out / f"{top}.json", out / f"{top}_synth.v"
    n_ios = 2 * 8 * manifest.bus_bytes + CONTROL_PINS
    sources = [rtl_dir / name for name in manifest.files]
    clouds: list[yosys.Cloud] = []
    layers: dict[str, LutNetlist] = {}
    try:
        check_fits(target, None, n_ios)
        if request.mapper == "gate2hw":
            if manifest.arch == "stream":
                clouds = clouds_for_target(folder.path, out, manifest, target.family)
                layers = luts_of(folder.path)
            else:
                clouds, layers[CORE] = clouds_for(folder, out, target, manifest)
            mapped_here = {f"{cloud.module}.v" for cloud in clouds}
            sources = [source for source in sources if source.name not in mapped_here]
            files = [*files, *(cloud.path for cloud in clouds)]
        progress(1, 4, f"{target.name}: synthesis")
        mapped = yosys.synthesise(
            sources,
            top=top,
            family=target.family,
            json_path=json_path,
            verilog_path=verilog_path,
            options=target.yosys_options,
            timeout_s=SYNTHESIS_TIMEOUT_S,
            clouds=clouds,
            blocks=blocks_of(manifest),
        )
        check_fits(target, mapped, n_ios)
        progress(2, 4, f"{target.name}: place and route")
        pnr = _place(target, out, json_path, request, progress)
    except DoesNotFitError as error:
        return files, {"fits": False, "reason": str(error), **request.asked()}
    words = Words(layers, max(1, manifest.bus_bytes // manifest.bytes_per_feature))
    figures = _figures(manifest, pnr, mapped, fan_outs(json_path, top), words)
    if clouds:
        n_luts = {cloud.module: cloud.luts for cloud in clouds}.get(manifest.modules["gates"])
        figures |= areas(mapped, None if n_luts is None else (layers[CORE], n_luts))
    result = {**figures, **request.asked()}
    results_path = out / "results.json"
    write_text(results_path, json.dumps(result, indent=2, sort_keys=True) + "\n")
    progress(4, 4, f"{target.name}: routed at {pnr.fmax_mhz:.1f} MHz")
    files = [*files, json_path, verilog_path, pnr.bitstream_path, results_path]
    return files, {**result, "bitstream": pnr.bitstream_path.relative_to(folder.path).as_posix()}
