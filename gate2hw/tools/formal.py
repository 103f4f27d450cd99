"""Properties of clocked Verilog, proved for all time or refuted: Yosys makes AIGER, ABC's PDR
decides, Yosys replays what ABC found.

Method: Bradley, "SAT-Based Model Checking without Unrolling", VMCAI 2011, as in ABC's ``pdr``
(Een, Mishchenko, Brayton, FMCAD 2011).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gate2hw.errors import InputError, ToolFailedError, ToolTimeoutError
from gate2hw.tools import registry
from gate2hw.tools.run import failure, run_tool, scratch_dir
from gate2hw.tools.vcd import read_vcd
from gate2hw.tools.yosys_script import read_sources, run_script

__all__ = ["Property", "Verdict", "check_properties"]

Verdict: TypeAlias = Literal["never", "reached", "undecided"]
_GRACE_S = 20.0
_ABC = ("scleanup", "dc2", "scorr", "dc2", "print_stats")


@dataclass(frozen=True)
class Property:
    """One output of the module: it is high at no time (``never``, proved without a bound), or it
    is ``reached`` in cycle `cycle` of the waveform in `trace`, or nothing is known."""

    name: str
    verdict: Verdict
    cycle: int | None = None
    trace: Path | None = None


def check_properties(
    sources: Sequence[Path],
    *,
    top: str,
    out_dir: Path,
    timeout_s: float,
    free: Sequence[str] = (),
    connect: Mapping[str, str] | None = None,
    traced: Sequence[str] = ("bad_*",),
    starts_at_0: bool = False,
) -> list[Property]:
    """Decide for every output of module `top` whether it can ever be high.

    All outputs must be one bit wide. The registers of the instance ``dut`` start with any values,
    whatever initial values the Verilog gives them; all others start as the Verilog says, or with
    any value (0 with `starts_at_0`). Inputs are free in every cycle, and so is what has no driver,
    and the outputs of instances of the modules `free`. `connect` joins wires (by their full name)
    to others.

    ``out_dir`` gets ``NAME.vcd``, the shortest-known way to a high NAME, for every reached output
    that a pattern of `traced` fits (a trailing ``*`` fits all that begins so).

    Raises InputError for missing sources, ToolError where a tool fails. That ABC needs longer
    than `timeout_s` gives ``undecided``.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with scratch_dir(out_dir.resolve(), "formal") as scratch:
        _read(sources, top, scratch, free, connect or {}, starts_at_0)
        names, n_latches = _read_aiger(scratch / "model.aig")
        verdicts = _decide(scratch, len(names), timeout_s)
        result = []
        for number, name in enumerate(names):
            verdict: Verdict = verdicts.get(number, "undecided")
            cycle, trace = None, None
            if verdict == "reached":
                cycle = _replay(scratch, top, number, n_latches, name)
                if _fits(name, traced):
                    trace = out_dir / f"{name}.vcd"
                    os.replace(scratch / "cex.vcd", trace)
            result.append(Property(name, verdict, cycle, trace))
    return result


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def _read(
    sources: Sequence[Path],
    top: str,
    scratch: Path,
    free: Sequence[str],
    connect: Mapping[str, str],
    starts_at_0: bool,
) -> None:
    """Write ``model.il``, ``model.aig`` and ``model.aim`` into `scratch`."""
    lines = read_sources(scratch, sources)
    lines += [f"hierarchy -check -top {top}", *(f"delete t:{module}" for module in free)]
    # without roms, line buffers as flip-flops: AIGER has no memories
    lines += ["proc -norom", "flatten", "memory_collect", "memory_map"]
    lines += ["setattr -unset init w:dut.*"]
    lines += [f"connect -set {wire} {other}" for wire, other in connect.items()]
    # inputs, unlike $anyseq cells, are replayed; a name may not be an input already
    lines += ["opt_clean", "setundef -undriven -expose"]
    if starts_at_0:
        lines += ["setundef -zero -init"]
    lines += ["opt_clean", "opt -full -mux_undef", "write_rtlil model.il"]
    lines += ["techmap", "opt -full", "dffunmap", "opt_clean", "aigmap", "opt_clean"]
    lines += ["write_aiger -zinit -symbols -map model.aim model.aig"]
    run_script(scratch, lines, ["model.il", "model.aim", "model.aig"])


def _read_aiger(path: Path) -> tuple[list[str], int]:
    """Names of the outputs, in order and all of one bit, and the number of latches."""
    data = path.read_bytes()
    _, _, _, n_latches, n_outputs, n_ands = data[: data.index(b"\n")].split()[:6]
    place = 0
    for _ in range(1 + int(n_latches) + int(n_outputs)):
        place = data.index(b"\n", place) + 1
    # two numbers an AND, each ends with the first byte below 128
    left = 2 * int(n_ands)
    while left:
        left -= data[place] < 128
        place += 1
    symbols = re.findall(rb"^o(\d+) (\S+)$", data[place:], re.MULTILINE)
    names = {int(number): name.decode("ascii") for number, name in symbols}
    wide = sorted(name for name in names.values() if name.endswith("]"))
    if wide:
        raise InputError(f"outputs that are properties have one bit; wider: {', '.join(wide)}")
    if len(names) < 2:
        raise InputError("a module of properties needs two outputs at least")
    return [names[number] for number in range(int(n_outputs))], int(n_latches)


def _decide(scratch: Path, n_outputs: int, timeout_s: float) -> dict[int, Verdict]:
    """Verdicts by output, those that ABC came to in time."""
    limit = max(1, math.ceil(timeout_s))
    commands = ["read_aiger model.aig", *_ABC, f"pdr -a -X cex_ -T {limit}"]
    try:
        run = run_tool(
            [*registry.find("abc"), "-q", "; ".join(commands)],
            tool="abc",
            cwd=scratch,
            timeout_s=timeout_s + _GRACE_S,
        )
    except ToolTimeoutError:
        return {}
    told = re.search(
        r"^Properties:\s+All = (\d+)\. Proved = (\d+)\. Disproved = (\d+)\. Undecided = (\d+)",
        run.output,
        re.MULTILINE,
    )
    if told is None or int(told[1]) != n_outputs:
        raise failure("abc", f"gave no verdict on {n_outputs} properties", run)
    never = re.findall(r"^Proved output\s+(\d+) in frame", run.output, re.MULTILINE)
    reached = re.findall(r"^Output\s+(\d+) was asserted in frame", run.output, re.MULTILINE)
    if (len(never), len(reached)) != (int(told[2]), int(told[3])):
        raise failure("abc", "counted other properties than it named", run)
    result: dict[int, Verdict] = {int(number): "never" for number in never}
    return result | {int(number): "reached" for number in reached}


def _replay(scratch: Path, top: str, number: int, n_latches: int, name: str) -> int:
    """Simulate ABC's inputs on what AIGER was made from, to ``cex.vcd``; the cycle of the end.

    Raises ToolFailedError where the output is not high then.
    """
    lines = (scratch / f"cex_{number}.aiw").read_text(encoding="ascii").splitlines()
    # ABC tells the state of the network that it had reduced; all start at 0 (-zinit)
    lines[2] = "0" * n_latches
    (scratch / "cex.aiw").write_text("\n".join(lines) + "\n", encoding="ascii")
    commands = [
        "read_rtlil model.il",
        f"sim -q -clock clk -r cex.aiw -map model.aim -vcd cex.vcd {top}",
    ]
    run_script(scratch, commands, ["cex.vcd"])
    *before, (_, values) = read_vcd(scratch / "cex.vcd").cycles("clk", [name])
    if values[name] != "1":
        raise ToolFailedError(f"what abc found for {name} does not make it high in a simulation")
    return len(before)
