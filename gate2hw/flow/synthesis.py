"""synth: the RTL of a build folder to a placed and routed target."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from gate2hw import __version__
from gate2hw.errors import DoesNotFitError, InputError, nearest
from gate2hw.flow.build import LUTS, BuildFolder, Progress, key_of, silent
from gate2hw.flow.checks import check_rtl_files
from gate2hw.ir.lutnetlist import LutNetlist, load_lutnetlist
from gate2hw.ir.store import file_sha256, load_netlist, write_text
from gate2hw.rtl import Manifest, emit_rtl
from gate2hw.rtl.cells import emit_cells, emit_popcounts
from gate2hw.tools import nextpnr, registry, yosys
from gate2hw.tools.targets import Target, check_fits, load_target

__all__ = ["Mapper", "cells_of_target", "rtl_of_target", "synth"]

Mapper: TypeAlias = Literal["auto", "gate2hw", "yosys"]

POPCOUNTS: Final = ("auto", "luts", "adder", "compressor")
SYNTHESIS_TIMEOUT_S = 3600.0
ROUTE_TIMEOUT_S = 7200.0
CONTROL_PINS = 9
"""clk, rst, frame_error, and valid, ready and last of both streams."""
BLOCKS: Final = {
    "gates": ("gates",),
    "popcount": ("core_popcount_*", "popcount_*"),
    "argmax": ("core_argmax*",),
    "pipeline": ("core",),
    "encoder": ("top_receiver*",),
    "stream": ("top_sender*",),
    "top": ("top",),
}
"""Parts of the design, and their modules behind the prefix; the receiver holds the encoder, the
core the registers between its parts."""


def rtl_of_target(folder: BuildFolder, target: Target) -> tuple[Path, Manifest]:
    """The RTL folder that `target` uses: its own if it has one, else the generic."""
    own = folder.path / target.name / "rtl"
    where = own if (own / "manifest.json").is_file() else folder.path / "rtl"
    return where, Manifest.load(where / "manifest.json")


def cells_of_target(folder: BuildFolder, target: Target, manifest: Manifest) -> Path:
    """Where `synth` writes the gate cloud as cells of `target`; not there if Yosys mapped it."""
    return folder.path / target.name / f"{manifest.modules['gates']}_cells.v"


def _clouds_for(
    folder: BuildFolder, target: Target, manifest: Manifest
) -> tuple[list[yosys.Cloud], LutNetlist]:
    """Write the gate cloud, which comes first, and the popcounts as cells of `target`."""
    path = cells_of_target(folder, target, manifest)
    luts = load_lutnetlist(folder.path / LUTS)
    net = load_netlist(folder.path / "netlist.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = emit_cells(net, luts, path, manifest, family=target.family, version=__version__)
    clouds = [yosys.Cloud(path, manifest.modules["gates"], count.luts)]
    parts = []
    if manifest.popcount == "luts":
        parts = emit_popcounts(net, path.parent, manifest, family=target.family)
    for part in parts:
        clouds.append(yosys.Cloud(part.path, part.module, part.luts, part.n_instances))
    return clouds, luts


def _luts_by_layer(luts: LutNetlist, n_luts: int) -> dict[str, int]:
    """LUTs of the cloud by the layer of the neuron that they came from."""
    layer = luts.sites.layer_of(luts.origin)
    names = [site.name for site in luts.sites.layers]
    counts = {name: int((layer == number).sum()) for number, name in enumerate(names)}
    counts["unknown"] = int((layer < 0).sum())
    counts["complements"] = n_luts - luts.n_luts
    return {name: count for name, count in counts.items() if count}


def _areas(mapped: yosys.SynthResult, luts: LutNetlist, n_luts: int) -> dict[str, Any]:
    """Cells of each part of the design; `area` is the LUTs alone, which the report draws."""
    blocks: dict[str, dict[str, Any]] = {
        name: mapped.part(name) for name, cells in mapped.blocks.items() if cells
    }
    blocks["gates"]["luts_by_layer"] = _luts_by_layer(luts, n_luts)
    return {
        "area": {name: block["luts"] for name, block in blocks.items() if block["luts"]},
        "area_by_block": blocks,
    }


def _emit_for(
    folder: BuildFolder, target: Target, popcount: str
) -> tuple[Path, Manifest, list[Path]]:
    """Write RTL of its own where `popcount` is another form than the generic RTL has."""
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    own = folder.path / target.name / "rtl"
    if generic.popcount == popcount:
        for stale in own.glob("*"):
            stale.unlink()
        return folder.path / "rtl", generic, []
    options = generic.options(popcount=popcount)
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
    folder: BuildFolder,
    target: Target,
    clock_mhz: float,
    seed: int,
    mapper: Mapper,
    popcount: str,
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    out = folder.path / target.name
    for stale in (*out.glob("*.bi[nt]"), out / "results.json"):
        stale.unlink(missing_ok=True)
    progress(0, 4, f"{target.name}: RTL")
    rtl_dir, manifest, files = _emit_for(folder, target, popcount)
    top = manifest.modules["top"]
    json_path, verilog_path = out / f"{top}.json", out / f"{top}_synth.v"
    n_ios = 2 * 8 * manifest.bus_bytes + CONTROL_PINS
    asked = {"clock_mhz": clock_mhz, "seed": seed, "mapper": mapper}
    sources = [rtl_dir / name for name in manifest.files]
    clouds: list[yosys.Cloud] = []
    areas: dict[str, Any] = {}
    for stale in out.glob("*_cells.v"):
        stale.unlink()
    for killed in out.glob(".nextpnr-*"):
        shutil.rmtree(killed, ignore_errors=True)
    try:
        check_fits(target, None, n_ios)
        if mapper == "gate2hw":
            clouds, luts = _clouds_for(folder, target, manifest)
            sources.remove(rtl_dir / f"{manifest.modules['gates']}.v")
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
            blocks={
                part: [f"{manifest.name}_{module}" for module in modules]
                for part, modules in BLOCKS.items()
            },
        )
        if clouds:
            areas = _areas(mapped, luts, clouds[0].luts)
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
    result = {**_figures(manifest, pnr, mapped), **areas, **asked}
    results_path = out / "results.json"
    write_text(results_path, json.dumps(result, indent=2, sort_keys=True) + "\n")
    progress(4, 4, f"{target.name}: routed at {pnr.fmax_mhz:.1f} MHz")
    files = [*files, json_path, verilog_path, pnr.bitstream_path, results_path]
    return files, {**result, "bitstream": pnr.bitstream_path.relative_to(folder.path).as_posix()}


def _mapper(folder: BuildFolder, mapper: str) -> Mapper:
    """Who maps the gate cloud; InputError for another word, or where there is no LUT netlist."""
    if mapper not in get_args(Mapper):
        raise InputError(f"mapper {mapper!r} is unknown; {nearest(mapper, get_args(Mapper))}")
    has_luts = (folder.path / LUTS).is_file()
    if mapper == "gate2hw" and not has_luts:
        raise InputError(
            f"{folder.path / LUTS} is missing; compile again, or let Yosys map the gates "
            "with --mapper yosys"
        )
    return "gate2hw" if has_luts and mapper != "yosys" else "yosys"


def _popcount(target: Target, mapper: Mapper, popcount: str) -> str:
    """The form of the popcounts; InputError for another word, or cells without our mapper."""
    if popcount not in POPCOUNTS:
        raise InputError(f"popcount {popcount!r} is unknown; {nearest(popcount, POPCOUNTS)}")
    if popcount == "luts" and mapper == "yosys":
        raise InputError("popcounts of LUT cells need --mapper gate2hw; give adder or compressor")
    if popcount != "auto":
        return popcount
    return "luts" if mapper == "gate2hw" else target.popcount


def synth(
    out_dir: Path | str,
    target: str,
    *,
    clock_mhz: float | None = None,
    seed: int = 1,
    mapper: Mapper = "auto",
    popcount: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Synthesise, place and route the build folder's `top` for `target`.

    `mapper` says who covers the gate cloud with LUTs: ``gate2hw`` takes the LUT netlist of the
    build folder (`luts4.npz`) and lets Yosys synthesise only what surrounds it, ``yosys`` hands
    Yosys the gates, ``auto`` is ``gate2hw`` where there is a LUT netlist. `popcount` is the form of
    the score adders: ``luts`` (cells of our own: the smallest; with our mapper only), ``adder`` (on
    carry chains: the fastest), ``compressor``; ``auto`` is the smallest that the mapper allows.

    Files go to ``DIR/TARGET``. Returns the target's entry of report.json: with ``fits`` false and a
    ``reason`` where it is too big, with ``clock_met`` false where the clock (MHz) is missed.
    Raises InputError for an unknown target or folder, ToolError where a tool is missing or fails.
    """
    device = load_target(target)
    folder = BuildFolder.existing(out_dir)
    if folder.result("compile") is None:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    chosen = _mapper(folder, mapper)
    form = _popcount(device, chosen, popcount)
    clock = device.default_clock_mhz if clock_mhz is None else float(clock_mhz)
    key = key_of(
        step="synth",
        target=repr(device),
        clock_mhz=clock,
        seed=seed,
        rtl=file_sha256(folder.path / "rtl" / "manifest.json"),
        netlist=file_sha256(folder.path / "netlist.npz"),
        luts=file_sha256(folder.path / LUTS) if chosen == "gate2hw" else None,
        popcount=form,
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
        f"synth.{target}", key, lambda: _synth(folder, device, clock, seed, chosen, form, progress)
    ).result
