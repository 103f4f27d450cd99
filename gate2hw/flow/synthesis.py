"""synth: the RTL of a build folder to a placed and routed target."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gate2hw import __version__
from gate2hw.errors import DoesNotFitError, InputError
from gate2hw.flow.build import BuildFolder, Progress, key_of, silent
from gate2hw.flow.checks import check_rtl_files
from gate2hw.ir.store import file_sha256, load_netlist, write_text
from gate2hw.rtl import Manifest, emit_rtl
from gate2hw.tools import nextpnr, registry, yosys
from gate2hw.tools.targets import Target, check_fits, load_target

__all__ = ["rtl_of_target", "synth"]

SYNTHESIS_TIMEOUT_S = 3600.0
ROUTE_TIMEOUT_S = 7200.0
CONTROL_PINS = 9
"""clk, rst, frame_error, and valid, ready and last of both streams."""


def rtl_of_target(folder: BuildFolder, target: Target) -> tuple[Path, Manifest]:
    """The RTL folder that `target` uses: its own if it has one, else the generic."""
    own = folder.path / target.name / "rtl"
    where = own if (own / "manifest.json").is_file() else folder.path / "rtl"
    return where, Manifest.load(where / "manifest.json")


def _emit_for(folder: BuildFolder, target: Target) -> tuple[Path, Manifest, list[Path]]:
    """Write RTL of its own where the target wants another popcount than the generic RTL has."""
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    own = folder.path / target.name / "rtl"
    if generic.popcount == target.popcount:
        for stale in own.glob("*"):
            stale.unlink()
        return folder.path / "rtl", generic, []
    options = generic.options(popcount=target.popcount)
    net = load_netlist(folder.path / "netlist.npz")
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
    manifest: Manifest, pnr: nextpnr.PnrResult, mapped: yosys.SynthResult
) -> dict[str, Any]:
    fmax_hz = pnr.fmax_mhz * 1e6
    return {
        "fits": True,
        "luts": mapped.luts,
        "ffs": mapped.ffs,
        "carries": mapped.carries,
        "cells": sum(mapped.cells.values()),
        "cells_by_type": mapped.cells,
        "utilisation": {
            name: {"used": used, "available": available, "fraction": round(used / available, 4)}
            for name, (used, available) in pnr.utilisation.items()
            if available
        },
        "fmax_mhz": pnr.fmax_mhz,
        "clock_mhz": pnr.clock_mhz,
        "clock_met": pnr.clock_met,
        "critical_path": pnr.critical_path,
        "latency_cycles": manifest.top_latency_cycles,
        "latency_ns": round(manifest.top_latency_cycles / pnr.fmax_mhz * 1e3, 3),
        "interval_cycles": manifest.interval_cycles,
        "images_per_s": math.floor(fmax_hz / manifest.interval_cycles),
        "core_images_per_s": math.floor(fmax_hz),
        "counts_encoder": True,
        "popcount": manifest.popcount,
        "time_synthesis_s": round(mapped.time_s, 2),
        "time_route_s": round(pnr.time_s, 2),
    }


def _synth(
    folder: BuildFolder, target: Target, clock_mhz: float, seed: int, progress: Progress
) -> tuple[list[Path], dict[str, Any]]:
    out = folder.path / target.name
    for stale in (*out.glob("*.bi[nt]"), out / "results.json"):
        stale.unlink(missing_ok=True)
    progress(0, 4, f"{target.name}: RTL")
    rtl_dir, manifest, files = _emit_for(folder, target)
    top = manifest.modules["top"]
    json_path, verilog_path = out / f"{top}.json", out / f"{top}_synth.v"
    n_ios = 2 * 8 * manifest.bus_bytes + CONTROL_PINS
    asked = {"clock_mhz": clock_mhz, "seed": seed}
    try:
        check_fits(target, None, n_ios)
        progress(1, 4, f"{target.name}: synthesis")
        mapped = yosys.synthesise(
            [rtl_dir / name for name in manifest.files],
            top=top,
            family=target.family,
            json_path=json_path,
            verilog_path=verilog_path,
            options=target.yosys_options,
            timeout_s=SYNTHESIS_TIMEOUT_S,
        )
        check_fits(target, mapped, n_ios)
        progress(2, 4, f"{target.name}: place and route")
        pnr = nextpnr.place_and_route(
            family=target.family,
            device_args=target.device_args,
            json_path=json_path,
            out_dir=out,
            clock_mhz=clock_mhz,
            seed=seed,
            timeout_s=ROUTE_TIMEOUT_S,
            constraint_path=_constraints(out, target, clock_mhz),
        )
    except DoesNotFitError as error:
        return files, {"fits": False, "reason": str(error), **asked}
    result = {**_figures(manifest, pnr, mapped), **asked}
    results_path = out / "results.json"
    write_text(results_path, json.dumps(result, indent=2, sort_keys=True) + "\n")
    progress(4, 4, f"{target.name}: routed at {pnr.fmax_mhz:.1f} MHz")
    files = [*files, json_path, verilog_path, pnr.bitstream_path, results_path]
    return files, {**result, "bitstream": pnr.bitstream_path.relative_to(folder.path).as_posix()}


def synth(
    out_dir: Path | str,
    target: str,
    *,
    clock_mhz: float | None = None,
    seed: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Synthesise, place and route the build folder's `top` for `target`.

    Files go to ``DIR/TARGET``. Returns the target's entry of report.json: with ``fits`` false and a
    ``reason`` where it is too big, with ``clock_met`` false where the clock (MHz) is missed.
    Raises InputError for an unknown target or folder, ToolError where a tool is missing or fails.
    """
    device = load_target(target)
    folder = BuildFolder.existing(out_dir)
    if folder.result("compile") is None:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    clock = device.default_clock_mhz if clock_mhz is None else float(clock_mhz)
    key = key_of(
        step="synth",
        target=repr(device),
        clock_mhz=clock,
        seed=seed,
        rtl=file_sha256(folder.path / "rtl" / "manifest.json"),
        netlist=file_sha256(folder.path / "netlist.npz"),
        tools=registry.versions(["yosys", f"nextpnr-{device.family}"]),
    )
    check_rtl_files(
        folder.path / "rtl",
        Manifest.load(folder.path / "rtl" / "manifest.json"),
        load_netlist(folder.path / "netlist.npz"),
    )
    if not folder.is_done(f"synth.{target}", key):
        folder.drop(lambda step: step == f"verify.{target}")
    return folder.run(
        f"synth.{target}", key, lambda: _synth(folder, device, clock, seed, progress)
    ).result
