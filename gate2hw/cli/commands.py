"""One function a command: call flow, print what came of it, return the exit code."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from gate2hw import flow
from gate2hw.cli import asic, boards, export, netlists, predict, sweep, wave
from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS"]


def _train(args: argparse.Namespace, terminal: Terminal) -> int:
    out = args.out or Path("build") / Path(args.recipe).stem
    if os.environ.get("RANK", "0") != "0":  # of several processes under torchrun, the first speaks
        terminal = Terminal(quiet=True)
    with terminal.progress(f"train {Path(args.recipe).stem}") as progress:
        result = flow.train(
            args.recipe,
            out,
            overrides=args.overrides,
            data_dir=args.data,
            device=args.device,
            resume=args.resume,
            progress=progress,
        )
    terminal.give(result)
    soft = result["accuracy_soft"]
    terminal.say(
        f"{result['model_path']}: {result['accuracy']:.2%} of {result['n_test']} test samples right"
        + (f" (soft {soft:.2%})" if soft is not None else "")
        + f", trained in {result['time_s']:.0f} s"
    )
    terminal.say(f"next: gate2hw compile {out} -o {out}")
    return 0


def _compile(args: argparse.Namespace, terminal: Terminal) -> int:
    with terminal.progress("compile") as progress:
        step = flow.compile(
            args.model,
            args.out,
            name=args.name,
            opt_level=args.opt_level,
            output=args.output,
            bus_bytes=args.bus_bytes,
            care=args.care,
            accuracy_budget=args.accuracy_budget,
            samples=args.samples,
            data_dir=args.data,
            arch=args.arch,
            positions_per_clock=args.positions_per_clock,
            target=args.target,
            progress=progress,
        )
    terminal.give(step.result)
    gates, luts, lossy = (step.result[key] for key in ("gates", "luts4", "approximation"))
    terminal.say(
        f"{args.out}/rtl: {gates['optimised']:,} gates, depth {gates['depth']} "
        f"({gates['unique']:,} trained, {gates['instantiated']:,} unrolled)"
        + (f", {luts['luts']:,} LUT4" if luts else "")
        + ("" if step.fresh else "; unchanged, nothing to do")
    )
    if plan := step.result["plan"]:
        terminal.say(
            f"stream: {plan['interval_cycles']:,} clocks an image, latency "
            f"{plan['latency_cycles']:,}, {plan['memory_bits']:,} memory bits, "
            f"{plan['register_bits']:,} registers of windows and map"
        )
    if lossy is not None:
        first, last = lossy["curve"][0], lossy["curve"][-1]
        splits = [split for split in ("validation", "test") if split in lossy]
        terminal.say(
            f"lossy: {first['n_gates']:,} to {last['n_gates']:,} gates; "
            + ", ".join(
                f"{split} {lossy[split]['exact']:.2%} to {lossy[split]['approximate']:.2%}"
                for split in splits
            )
        )
    terminal.say(f"next: gate2hw verify {args.out}; gate2hw synth {args.out} --target ice40-hx8k")
    return 0


def _verify(args: argparse.Namespace, terminal: Terminal) -> int:
    with terminal.progress("verify") as progress:
        result = flow.verify(
            args.dir,
            target=args.target,
            simulator=args.simulator,
            n_random=args.vectors,
            golden=args.golden,
            proof=not args.no_proof,
            progress=progress,
        )
    terminal.give(result)
    terminal.say(_links_table(result["links"]))
    for sentence in result["undecided"]:
        terminal.error(f"undecided: {sentence}")
    if result["failed"] or result["undecided"]:
        return 1
    for reason in result["not_checked"]:
        terminal.error(f"not checked: {reason}")
    return 2 if result["not_checked"] else 0


def _links_table(links: list[dict[str, Any]]) -> Table:
    table = Table("link", "result", "how", title="chain of checks", title_justify="left")
    for link in links:
        table.add_row(link["name"], link["result"], link["detail"])
    return table


def _synth(args: argparse.Namespace, terminal: Terminal) -> int:
    if args.target == asic.TARGET:
        return asic.synth(args, terminal)
    asic.refuse_options(args)
    with terminal.progress(f"synth {args.target}") as progress:
        result = flow.synth(
            args.dir,
            args.target,
            clock_mhz=args.clock_mhz,
            seed=args.seed,
            mapper=args.mapper,
            popcount=args.popcount,
            latency_cycles=args.latency_cycles,
            stages=args.stages,
            tries=args.tries,
            progress=progress,
        )
    terminal.give(result)
    if len(result.get("tries", ())) > 1:
        terminal.say(_tries_table(result["tries"]))
    if not result["fits"]:
        terminal.error(f"does not fit: {result['reason']}")
        return 1
    met = "met" if result["clock_met"] else "MISSED"
    terminal.say(
        f"{args.target}: {result['luts']:,} LUTs, {result['ffs']:,} FFs, "
        f"{result['fmax_mhz']:.1f} MHz (constraint {result['clock_mhz']:g} MHz {met}), "
        f"latency {result['latency_ns']:.0f} ns, {result['images_per_s']:,.0f} images/s"
    )
    if not result["clock_met"]:
        critical = result["critical"]
        terminal.error(
            f"{args.target} reaches {result['fmax_mhz']:.1f} MHz, "
            f"{result['clock_mhz']:g} MHz was asked for; the slowest path, in "
            f"{critical['block']}: {' -> '.join(critical['places'])}"
        )
        return 1
    return 0


def _tries_table(tries: list[dict[str, Any]]) -> Table:
    table = Table("registers", "seed", "MHz", "LUTs", "FFs", "cells", "cycles", "slowest in")
    for entry in tries:
        if not entry["fits"]:
            table.add_row(entry["name"], str(entry["seed"]), "does not fit")
            continue
        table.add_row(
            entry["name"],
            str(entry["seed"]),
            f"{entry['fmax_mhz']:.1f}",
            *(f"{entry[key]:,}" for key in ("luts", "ffs", "logic_cells", "latency_cycles")),
            entry["critical_block"],
        )
    return table


def _targets(args: argparse.Namespace, terminal: Terminal) -> int:
    found = flow.targets()
    terminal.give(found)
    table = Table("target", "part", "package", "LUTs", "pins", "clock MHz", "what it is")
    for target in found:
        table.add_row(
            target["name"],
            target["part"],
            target["package"],
            "" if target["luts"] is None else f"{target['luts']:,}",
            "" if target["ios"] is None else f"{target['ios']}",
            f"{target['default_clock_mhz']:g}",
            target["description"],
        )
    terminal.say(table)
    return 0


def _report(args: argparse.Namespace, terminal: Terminal) -> int:
    with terminal.progress("report"):
        result = flow.report(args.dir)
    terminal.give(result["report"])
    if not terminal.as_json:
        from gate2hw.report import summary

        for part in summary(result["report"]):
            terminal.say(part)
    terminal.say(f"report: {result['html']}")
    return 0


def _info(args: argparse.Namespace, terminal: Terminal) -> int:
    facts = flow.info(args.file)
    terminal.give(facts)
    table = Table(show_header=False, title=str(args.file), title_justify="left")
    for key, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(key.replace("_", " "), text)
    terminal.say(table)
    return 0


def _demo(args: argparse.Namespace, terminal: Terminal) -> int:
    with terminal.progress("demo") as progress:
        result = flow.demo(args.out, progress=progress)
    terminal.give(result["report"])
    if not terminal.as_json:
        from gate2hw.report import summary

        for part in summary(result["report"]):
            terminal.say(part)
    terminal.say(f"report: {result['html']}")
    return int(result["failed"])


def _kernels_line(kernels: dict[str, str | None]) -> str:
    if kernels["kernels"] == "c":
        return f"training kernels: C, for {kernels['set']} ({kernels['path']})"
    if kernels["kernels"] is None:
        return f"training kernels: none: {kernels['reason']}"
    return (
        f"training kernels: plain torch, many times slower ({kernels['reason']}); for the C ones "
        "install gate2hw again where a C compiler is"
    )


def _doctor(args: argparse.Namespace, terminal: Terminal) -> int:
    found = flow.doctor()
    terminal.give(found)
    table = Table("tool", "found", "version", "what it is for", "how to get it")
    for tool in found["tools"]:
        table.add_row(
            tool["name"],
            "yes" if tool["found"] else "NO",
            tool["version"] or "",
            tool["purpose"],
            "" if tool["found"] else tool["how_to_get"],
        )
    terminal.say(table)
    terminal.say(_kernels_line(found["kernels"]))
    for line in found["advice"]:
        terminal.say(line)
    return 0 if found["complete"] else 2


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "train": _train,
    "compile": _compile,
    "verify": _verify,
    "synth": _synth,
    "targets": _targets,
    "report": _report,
    "info": _info,
    "demo": _demo,
    "doctor": _doctor,
    **netlists.COMMANDS,
    **sweep.COMMANDS,
    **export.COMMANDS,
    **predict.COMMANDS,
    **boards.COMMANDS,
    **wave.COMMANDS,
}
