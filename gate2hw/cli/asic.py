"""The options and the output of ``synth --target asic``."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from gate2hw import flow
from gate2hw.cli.console import Terminal
from gate2hw.errors import InputError

__all__ = ["TARGET", "add_options", "refuse_options", "synth"]

TARGET = "asic"


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of `synth` that only the target asic takes."""
    group = p.add_argument_group(
        "asic",
        "--target asic maps to standard cells: area by block, timing by OpenSTA where installed, "
        "power on the test images. --clock-mhz (default: 50) is checked, no registers are added "
        "for it; see --stages.",
    )
    group.add_argument("--liberty", metavar="FILE", help="the library's cells: FILE.lib; needed")
    group.add_argument(
        "--cells",
        metavar="FILE",
        help="Verilog models of the cells, for verify (default: FILE.v beside the .lib)",
    )
    group.add_argument(
        "--sta",
        choices=["auto", "opensta", "none"],
        default="auto",
        help="auto: OpenSTA where it is installed (default); opensta: it must be; none",
    )


def refuse_options(args: argparse.Namespace) -> None:
    """InputError where options of the target asic are given with another target."""
    for option in ("liberty", "cells"):
        if getattr(args, option) is not None:
            raise InputError(f"--{option} goes with --target asic, not with {args.target}")


def synth(args: argparse.Namespace, terminal: Terminal) -> int:
    """Map to standard cells and print what came of it; 1 where the clock is missed."""
    if args.latency_cycles is not None:
        raise InputError("--latency-cycles is not for asic; give registers with --stages")
    if args.mapper != "auto":
        raise InputError("--mapper is not for asic: Yosys and ABC map to the library's cells")
    with terminal.progress(f"synth {TARGET}") as progress:
        result = flow.synth_asic(
            args.dir,
            liberty=args.liberty,
            cells=args.cells,
            clock_mhz=args.clock_mhz,
            popcount=args.popcount,
            sta=args.sta,
            stages=args.stages,
            progress=progress,
        )
    terminal.give(result)
    terminal.say(_blocks_table(result))
    terminal.say(
        f"{TARGET}, {result['library']}: {result['area_um2']:,.0f} um2, {result['cells']:,} cells, "
        f"{result['ffs']:,} flip-flops; {_timing(result)}; {_power(result)}"
    )
    if result["clock_met"] is False:
        path = result["critical_path"]
        blocks = list(dict.fromkeys(point["block"] for point in path["points"]))
        terminal.error(
            f"{TARGET} reaches {result['fmax_mhz']:.1f} MHz, {result['clock_mhz']:g} MHz was "
            f"asked for; the slowest path runs through {', '.join(blocks)}; see --stages"
        )
        return 1
    return 0


def _blocks_table(result: dict[str, Any]) -> Table:
    table = Table("block", "area um2", "share", "cells", "power mW")
    power = (result["power"] or {}).get("blocks", {})
    for name, block in result["area_by_block"].items():
        row = power.get(name)
        used = "" if row is None else f"{sum(filter(None, row.values())):.3f}"
        share = block["area_um2"] / result["area_um2"]
        table.add_row(
            name, f"{block['area_um2']:,.0f}", f"{share:.1%}", f"{block['cells']:,}", used
        )
    return table


def _timing(result: dict[str, Any]) -> str:
    if result["timing"] is None:
        return f"timing not known: {result['timing_reason']}"
    met = "met" if result["clock_met"] else "MISSED"
    return (
        f"{result['fmax_mhz']:.1f} MHz (constraint {result['clock_mhz']:g} MHz {met}), latency "
        f"{result['latency_ns']:.0f} ns, {result['images_per_s']:,.0f} images/s"
    )


def _power(result: dict[str, Any]) -> str:
    power = result["power"]
    if power is None:
        return f"power not known: {result['power_reason']}"
    leakage = power["leakage_mw"]
    return (
        f"{power['dynamic_mw']:.2f} mW at {power['clock_mhz']:g} MHz, "
        f"{power['energy_nj_per_image']:.2f} nJ an image, leakage "
        + (f"not known: {power['leakage_reason']}" if leakage is None else f"{leakage:.2g} mW")
    )
