"""synth: the RTL of a build folder to a placed and routed target."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

from gate2hw.errors import InputError, nearest
from gate2hw.flow.build import LUTS, BuildFolder, Progress, key_of, silent
from gate2hw.flow.clock.clocking import Goal, search, tries_path
from gate2hw.flow.clock.routing import Mapper, Request, cells_of_target, route, rtl_of_target
from gate2hw.flow.clock.stages import Shape, Stages, parse_stages
from gate2hw.flow.signoff.checks import check_rtl_files
from gate2hw.flow.stream.stream_build import is_mapped
from gate2hw.ir.lutnetlist import load_lutnetlist
from gate2hw.ir.store import file_sha256, load_netlist
from gate2hw.rtl import Manifest
from gate2hw.tools import registry
from gate2hw.tools.targets import Target, load_target

__all__ = ["Mapper", "cells_of_target", "rtl_of_target", "synth"]

POPCOUNTS: Final = ("auto", "luts", "adder", "compressor")
TRIES: Final = 10
"""How often place and route runs at most in a search."""


def _mapper(folder: BuildFolder, mapper: str) -> Mapper:
    """Who maps the gate cloud; InputError for another word, or where there is no LUT netlist."""
    if mapper not in get_args(Mapper):
        raise InputError(f"mapper {mapper!r} is unknown; {nearest(mapper, get_args(Mapper))}")
    has_luts = (folder.path / LUTS).is_file() or is_mapped(folder.path)
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


def _goal(
    clock_mhz: float | None, latency_cycles: int | None, stages: str | None, tries: int
) -> Goal | None:
    """What is to be searched for; None: one run."""
    if tries < 1:
        raise InputError(f"tries is {tries}; give 1 or more")
    if clock_mhz is not None and not (math.isfinite(clock_mhz) and clock_mhz > 0):
        raise InputError(f"clock_mhz is {clock_mhz}; give a positive number")
    if latency_cycles is not None and stages is not None:
        raise InputError("latency_cycles looks for stages, so they cannot be given as well")
    if latency_cycles is None and (clock_mhz is None or stages is not None):
        return None
    return Goal(clock_mhz, latency_cycles, tries)


def _luts_digest(folder: BuildFolder, mapper: Mapper) -> str | None:
    """The LUT netlist that a run takes; those of a streaming design follow from its netlist."""
    path = folder.path / LUTS
    return file_sha256(path) if mapper == "gate2hw" and path.is_file() else None


def _inputs(folder: BuildFolder, device: Target, mapper: Mapper) -> dict[str, Any]:
    """What a run depends on, beside what it is asked for."""
    return {
        "target": repr(device),
        "rtl": file_sha256(folder.path / "rtl" / "manifest.json"),
        "netlist": file_sha256(folder.path / "netlist.npz"),
        "luts": _luts_digest(folder, mapper),
        "tools": registry.versions(["yosys", f"nextpnr-{device.family}"]),
    }


def synth(
    out_dir: Path | str,
    target: str,
    *,
    clock_mhz: float | None = None,
    seed: int = 1,
    mapper: Mapper = "auto",
    popcount: str = "auto",
    latency_cycles: int | None = None,
    stages: str | None = None,
    tries: int = TRIES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Synthesise, place and route the build folder's `top` for `target`.

    With `clock_mhz`, pipeline registers are added to gates, popcounts and argmax, and the design is
    routed again, until the clock is met or nothing more is gained: at most `tries` times. With
    `latency_cycles` the fastest clock is looked for that the top reaches within so many cycles.
    `stages` (such as ``gates=1,popcount=2``, see `flow.clock.stages`) says which registers instead,
    and the design is routed once, as it is without any of the three: then with the registers of the
    generic RTL, for the target's own clock.

    `mapper` says who covers the gate cloud with LUTs: ``gate2hw`` takes the LUT netlist of the
    build folder (`luts4.npz`) and lets Yosys synthesise only what surrounds it, ``yosys`` hands
    Yosys the gates, ``auto`` is ``gate2hw`` where there is a LUT netlist. `popcount` is the form of
    the score adders: ``luts`` (cells of our own: the smallest; with our mapper only), ``adder`` (on
    carry chains), ``compressor``; ``auto`` is the smallest that the mapper allows.

    Files go to ``DIR/TARGET``. Returns the target's entry of report.json: with ``fits`` false and a
    ``reason`` where it is too big, with ``clock_met`` false where the clock (MHz) is missed, with
    ``tries`` where there was a search.
    Raises InputError for an unknown target or folder, ToolError where a tool is missing or fails.
    """
    if target == "asic":
        raise InputError("cells need a Liberty file; call flow.synth_asic(DIR, liberty=FILE)")
    device = load_target(target)
    folder = BuildFolder.existing(out_dir)
    if folder.result("compile") is None:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    chosen = _mapper(folder, mapper)
    form = _popcount(device, chosen, popcount)
    goal = _goal(clock_mhz, latency_cycles, stages, tries)
    clock = device.default_clock_mhz if clock_mhz is None else float(clock_mhz)
    generic = Manifest.load(folder.path / "rtl" / "manifest.json")
    if generic.arch == "stream":
        if latency_cycles is not None or stages is not None:
            raise InputError(
                "a streaming design has no pipeline registers to choose; leave stages and "
                "latency_cycles out"
            )
        goal = None
    given = None if stages is None else parse_stages(stages, Stages.of(generic))
    request = Request(clock, seed, chosen, form, given)
    net = load_netlist(folder.path / "netlist.npz")
    inputs = _inputs(folder, device, chosen)
    check_rtl_files(folder.path / "rtl", generic, net)
    if given is not None:
        # what cannot be is refused before the results of an earlier run go
        generic.options(**given.options(net))
    name, home = f"synth.{target}", folder.path / device.name
    asked = {
        "clock_mhz": clock_mhz,
        "latency_cycles": latency_cycles,
        "stages": stages,
        "seed": seed,
        "tries": tries,
    }
    key = key_of(step="synth", goal=repr(goal), request=request.to_json(), **inputs)

    def work() -> tuple[Iterable[Path], dict[str, Any]]:
        if goal is None:
            files, result = route(folder, home, device, request, progress)
        else:
            luts = load_lutnetlist(folder.path / LUTS) if chosen == "gate2hw" else None
            shape = Shape.of(net, luts, generic)
            files, result = search(
                folder, device, goal, request, shape=shape, inputs=inputs, progress=progress
            )
        return files, {**result, "asked": asked}

    if not folder.is_done(name, key):
        folder.drop(lambda step: step == f"verify.{target}")
    result = folder.run(name, key, work).result
    shutil.rmtree(tries_path(folder, device), ignore_errors=True)
    return result
