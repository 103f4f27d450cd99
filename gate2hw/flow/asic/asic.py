"""synth --target asic: RTL to the cells of a Liberty library, with area, timing and power."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import InputError, ToolFailedError, ToolMissingError, nearest
from gate2hw.flow.asic.asic_files import constraints_text, librelane_text, readme_text
from gate2hw.flow.asic.mapped import load_mapped
from gate2hw.flow.asic.power import power_of, stream_images
from gate2hw.flow.build import BuildFolder, Progress, key_of, silent
from gate2hw.flow.clock.blocks import block_of, blocks_of
from gate2hw.flow.clock.stages import Stages, parse_stages
from gate2hw.flow.signoff.checks import check_rtl_files
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import file_sha256, load_golden, load_netlist, write_text
from gate2hw.rtl import Manifest, emit_rtl
from gate2hw.tools import opensta, registry
from gate2hw.tools.asic_yosys import MappedResult, Plan, instance_modules, map_to_cells
from gate2hw.tools.liberty import Library, read_liberty

__all__ = ["TARGET", "AsicRequest", "rtl_of_asic", "synth_asic"]

TARGET: Final = "asic"
DEFAULT_CLOCK_MHZ: Final = 50.0
IO_FRACTION: Final = 0.2
"""Part of the clock period that the constraints give to what lies outside of each port."""
INPUTS: Final = ("rst", "s_axis_tdata*", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
POPCOUNTS: Final = ("auto", "cells", "compressor", "adder")
STA: Final = ("auto", "opensta", "none")
SYNTHESIS_TIMEOUT_S: Final = 3600.0
STA_TIMEOUT_S: Final = 900.0


@dataclass(frozen=True)
class AsicRequest:
    """What one run is asked for; `popcount` is ``cells``, ``compressor`` or ``adder``."""

    library: Library
    cells: Path | None
    clock_mhz: float
    popcount: str
    sta: str
    stages: str | None

    @property
    def clock_ns(self) -> float:
        """The clock's period."""
        return 1e3 / self.clock_mhz

    def asked(self) -> dict[str, Any]:
        """As it stands in the results."""
        return {
            "clock_mhz": self.clock_mhz,
            "liberty": str(self.library.path.resolve()),
            "liberty_sha256": file_sha256(self.library.path),
            "cells_path": None if self.cells is None else str(self.cells.resolve()),
            "popcount": self.popcount,
            "sta": self.sta,
            "stages": self.stages,
        }


def rtl_of_asic(folder: BuildFolder) -> tuple[Path, Manifest]:
    """The RTL that was mapped: of its own if there is any, else the generic."""
    own = folder.path / TARGET / "rtl"
    where = own if (own / "manifest.json").is_file() else folder.path / "rtl"
    return where, Manifest.load(where / "manifest.json")


def _emit(folder: BuildFolder, net: Netlist, request: AsicRequest) -> tuple[Path, list[Path]]:
    """Write RTL of its own where popcounts or registers are to be others than the generic ones."""
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    own = folder.path / TARGET / "rtl"
    for stale in own.glob("*"):
        stale.unlink()
    if generic.arch == "stream":
        if request.stages is not None or request.popcount == "adder":
            raise InputError(
                "a streaming design has the registers and popcounts that it was compiled with; "
                "leave stages and popcount away"
            )
        return folder.path / "rtl", []
    changes: dict[str, Any] = {"popcount": "adder" if request.popcount == "adder" else "compressor"}
    if request.stages is not None:
        changes |= parse_stages(request.stages, Stages.of(generic)).options(net)
    options = generic.options(**changes)
    if options == generic.options():
        return folder.path / "rtl", []
    manifest = emit_rtl(net, own, options, version=__version__)
    return own, [own / name for name in [*manifest.files, "manifest.json"]]


def _timing(
    request: AsicRequest, netlist: Path, manifest: Manifest, net: Netlist, out: Path
) -> dict[str, Any]:
    """What OpenSTA says; null with the reason where it was not asked."""
    reason: str | None = "not asked for (--sta none)"
    if request.sta != "none":
        reason = opensta.available()
    if reason is not None:
        unknown = ("fmax_mhz", "clock_met", "latency_ns", "images_per_s")
        return {**dict.fromkeys(unknown), "timing": None, "timing_reason": reason}
    top = manifest.modules["top"]
    try:
        found = opensta.time_netlist(
            netlist,
            request.library,
            out / f"{top}.sdc",
            top=top,
            inputs=INPUTS,
            clock_ns=request.clock_ns,
            io_fraction=IO_FRACTION,
            out_dir=out,
            timeout_s=STA_TIMEOUT_S,
        )
    except ToolFailedError as error:
        raise ToolFailedError(f"{error}; area and power alone: --sta none") from error
    path = found.critical_path
    return {
        "fmax_mhz": found.fmax_mhz,
        "clock_met": found.worst_slack_ns >= 0,
        "latency_ns": round(manifest.top_latency_cycles / found.fmax_mhz * 1e3, 3),
        "images_per_s": math.floor(found.fmax_mhz * 1e6 / manifest.interval_cycles),
        "timing": {
            "tool": f"OpenSTA {found.version}",
            "worst_slack_ns": found.worst_slack_ns,
            "worst_hold_slack_ns": found.worst_hold_slack_ns,
            "slack_ns": {path.group: path.slack_ns for path in found.paths},
            "io_fraction": IO_FRACTION,
            "assumes": "ideal clock, no wires, the library's one corner",
        },
        "critical_path": {
            "group": path.group,
            "period_ns": round(path.period_ns(found.clock_ns), 5),
            "points": _points(path, netlist, manifest, net),
        },
    }


def _points(
    path: opensta.TimingPath, netlist: Path, manifest: Manifest, net: Netlist
) -> list[dict[str, Any]]:
    """The pins of a path with their blocks, and the neuron where a net is an output's."""
    modules = instance_modules(netlist, manifest.modules["top"])
    points = []
    for point in path.points:
        where = point.pin.rsplit("/", 2)[0] if point.pin.count("/") > 1 else ""
        entry: dict[str, Any] = {
            "pin": point.pin,
            "cell": point.cell,
            "block": block_of(modules.get(where, ""), manifest),
            "delay_ns": point.delay_ns,
            "net": point.net,
        }
        neuron = re.search(r"(?:^|/)gates_(?:reg|y)\[(\d+)\]$", point.net or "")
        if neuron is not None and int(neuron[1]) < net.n_outputs:
            entry["neuron"] = _neuron(net, int(neuron[1]))
        points.append(entry)
    return points


def _neuron(net: Netlist, output: int) -> str:
    """The place in the model that output number `output` of the gate cloud came from."""
    gate = int(net.outputs[output] >> 1) - net.first_gate
    if gate < 0:
        return f"output {output}, an input"
    site = net.site_of(gate)
    return f"output {output}, {site}" if site is not None else f"output {output}"


def _power(
    folder: BuildFolder, json_path: Path, manifest: Manifest, request: AsicRequest
) -> dict[str, Any]:
    """Power on the golden images; null with the reason where there are none, or it cannot be."""
    compiled = folder.result("compile") or {}
    golden_path = folder.path / str(compiled.get("golden", "golden.npz"))
    if not golden_path.is_file():
        return {"power": None, "power_reason": str(compiled.get("golden_reason") or "no images")}
    try:
        net = load_mapped(json_path, request.library)
        activity = stream_images(net, load_golden(golden_path), manifest)
    except InputError as error:
        return {"power": None, "power_reason": str(error)}
    return {"power": power_of(net, request.library, activity, request.clock_mhz)}


def _figures(mapped: MappedResult, manifest: Manifest, library: Library) -> dict[str, Any]:
    cells = mapped.total.cells
    ffs = sum(
        n for name, n in cells.items() if (c := library.cells.get(name)) and c.flip_flop is not None
    )
    adder = library.full_adder()
    blocks = {
        name: {"area_um2": block.area_um2, "cells": block.n_cells}
        for name, block in mapped.blocks.items()
    }
    n_rest = mapped.total.n_cells - sum(block.n_cells for block in mapped.blocks.values())
    if n_rest:
        area = mapped.total.area_um2 - sum(block.area_um2 for block in mapped.blocks.values())
        blocks["other"] = {"area_um2": round(area, 4), "cells": n_rest}
    return {
        "fits": True,
        "library": library.name,
        "area_um2": mapped.total.area_um2,
        "area_by_block": blocks,
        "cells": mapped.total.n_cells,
        "cells_by_type": cells,
        "ffs": ffs,
        "full_adder_cells": 0 if adder is None else cells.get(adder[0].name, 0),
        "latency_cycles": manifest.top_latency_cycles,
        "interval_cycles": manifest.interval_cycles,
        "counts_encoder": True,
        "abc_delay_ns": mapped.abc_delay_ns,
        "time_synthesis_s": round(mapped.time_s, 2),
    }


def _write_handover(
    out: Path, rtl_dir: Path, manifest: Manifest, request: AsicRequest
) -> list[Path]:
    """Constraints, and a LibreLane configuration with its page."""
    top = manifest.modules["top"]
    sdc = out / f"{top}.sdc"
    lane = out / "librelane"
    lane.mkdir(parents=True, exist_ok=True)
    write_text(sdc, constraints_text(top, INPUTS, request.clock_ns, IO_FRACTION))
    sources = [rtl_dir / name for name in manifest.files]
    text = librelane_text(top, sources, sdc, request.clock_ns, lane)
    write_text(lane / "config.json", text)
    write_text(lane / "README.md", readme_text(top))
    return [sdc, lane / "config.json", lane / "README.md"]


def _synth(
    folder: BuildFolder, request: AsicRequest, progress: Progress
) -> tuple[Iterable[Path], dict[str, Any]]:
    out = folder.path / TARGET
    out.mkdir(parents=True, exist_ok=True)
    for stale in (*out.glob("*_mapped*"), out / "results.json"):
        stale.unlink(missing_ok=True)
    progress(0, 4, f"{TARGET}: RTL")
    net = load_netlist(folder.path / "netlist.npz")
    rtl_dir, files = _emit(folder, net, request)
    manifest = Manifest.load(rtl_dir / "manifest.json")
    top, cloud = manifest.modules["top"], manifest.modules["gates"]
    netlist, cloud_path = out / f"{top}_mapped.v", out / f"{cloud}_mapped.v"
    json_path = out / f"{top}_mapped.json"
    blocks = blocks_of(manifest)
    files = [*files, *_write_handover(out, rtl_dir, manifest, request)]
    progress(1, 4, f"{TARGET}: cells of {request.library.name}")
    adders = blocks["popcount"] if request.popcount == "cells" else []
    mapped = map_to_cells(
        [rtl_dir / name for name in manifest.files],
        request.library,
        Plan(top, blocks, adders, request.clock_ns),
        verilog_path=netlist,
        json_path=json_path,
        cloud_path=cloud_path,
        cloud_module=cloud,
        timeout_s=SYNTHESIS_TIMEOUT_S,
    )
    result = {**_figures(mapped, manifest, request.library), **request.asked()}
    progress(2, 4, f"{TARGET}: timing")
    result |= _timing(request, netlist, manifest, net, out)
    progress(3, 4, f"{TARGET}: power on test images")
    result |= _power(folder, json_path, manifest, request)
    results_path = out / "results.json"
    write_text(results_path, json.dumps(result, indent=2, sort_keys=True) + "\n")
    progress(4, 4, f"{TARGET}: {result['area_um2']:,.0f} um2")
    return [*files, netlist, cloud_path, json_path, results_path], result


def _library(liberty: Path | str | None) -> Library:
    if liberty is None:
        raise InputError(
            "the target asic needs the cells of a library: give --liberty FILE.lib (Debian has "
            "some: sudo apt-get install qflow-tech-osu018)"
        )
    library = read_liberty(liberty)
    if not library.flip_flops():
        raise InputError(
            f"{liberty}: holds no flip-flop that a design can use (those with scan inputs, of "
            "several bits or with dont_use do not count)"
        )
    if not any(cell.is_logic and not cell.dont_use for cell in library.cells.values()):
        raise InputError(f"{liberty}: holds no gate that a design can use")
    return library


def _cells(library: Library, cells: Path | str | None) -> Path | None:
    """The Verilog models: those given, or those beside the Liberty file under its name."""
    if cells is not None:
        if not Path(cells).is_file():
            raise InputError(f"{cells}: no such file of Verilog cell models")
        return Path(cells)
    beside = library.path.with_suffix(".v")
    return beside if beside.is_file() else None


def synth_asic(
    out_dir: Path | str,
    *,
    liberty: Path | str | None,
    cells: Path | str | None = None,
    clock_mhz: float | None = None,
    popcount: str = "auto",
    sta: str = "auto",
    stages: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Map the build folder's `top` to the standard cells of the Liberty file `liberty`.

    `cells` are the library's Verilog models for `verify` (default: FILE.v beside FILE.lib).
    `clock_mhz` is what ABC sizes for and OpenSTA checks (default: 50). `popcount` is ``cells``
    (full adders become the library's full adder cells), ``compressor`` (they are left to ABC) or
    ``adder``; ``auto`` is ``cells``. `sta` is ``auto`` (OpenSTA where installed), ``opensta``
    (it must be) or ``none``. `stages` says which pipeline registers, as for the other targets.

    Files go to ``DIR/asic``. Returns the entry of the report: area by block (um2), cells, timing
    and power, each of the latter null with a reason where it is not known. Raises InputError for a
    file that is no library, ToolError where a tool is missing or fails, CheckFailedError where the
    mapped netlist classifies an image otherwise than the model.
    """
    for what, value, allowed in (("popcount", popcount, POPCOUNTS), ("sta", sta, STA)):
        if value not in allowed:
            raise InputError(f"{what} {value!r} is unknown for asic; {nearest(value, allowed)}")
    folder = BuildFolder.existing(out_dir)
    if folder.result("compile") is None:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    library = _library(liberty)
    clock = DEFAULT_CLOCK_MHZ if clock_mhz is None else float(clock_mhz)
    if not math.isfinite(clock) or clock <= 0:
        raise InputError(f"clock_mhz is {clock_mhz}; give a positive number")
    missing = opensta.available() if sta == "opensta" else None
    if missing is not None:
        raise ToolMissingError(missing)
    form = "cells" if popcount == "auto" else popcount
    request = AsicRequest(library, _cells(library, cells), clock, form, sta, stages)
    check_rtl_files(
        folder.path / "rtl",
        Manifest.load(folder.path / "rtl" / "manifest.json"),
        load_netlist(folder.path / "netlist.npz"),
    )
    golden = folder.path / str((folder.result("compile") or {}).get("golden", "golden.npz"))
    key = key_of(
        step="synth",
        target=TARGET,
        request=request.asked(),
        cells=None if request.cells is None else file_sha256(request.cells),
        rtl=file_sha256(folder.path / "rtl" / "manifest.json"),
        netlist=file_sha256(folder.path / "netlist.npz"),
        golden=file_sha256(golden) if golden.is_file() else None,
        tools=registry.versions(["yosys", "opensta"]),
    )
    name = f"synth.{TARGET}"
    if not folder.is_done(name, key):
        folder.drop(lambda step: step == f"verify.{TARGET}")
    return folder.run(name, key, lambda: _synth(folder, request, progress)).result
