"""nextpnr: place and route, and the bitstream by icepack or ecppack."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import DoesNotFitError, InputError, ToolFailedError
from gate2hw.tools import registry
from gate2hw.tools.run import run_tool, scratch_dir
from gate2hw.tools.targets import Family

__all__ = ["PnrResult", "phase_of", "place_and_route"]

_SUFFIXES = {"ice40": ("asc", "bin"), "ecp5": ("config", "bit")}
_CONSTRAINT_OPTIONS = {"ice40": "--pcf", "ecp5": "--lpf"}
_PACK_TIMEOUT_S = 600.0
_NO_ROOM = (
    r"no BELs remaining to implement cell type|no Bels of type|exceeds? (the )?available"
    r"|[Ff]ailed to (place|find a placement)|Unable to (find a )?place|too many|"
    r"Unable to find legal placement|failed to expand region"
)

_PHASES: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"Info: Packing ", "packing"),
        (r"Info: Creating initial .*placement", "placer"),
        (r"Info: +at iteration #(\d+), type", "placer, iteration {}"),
        (r"Info: +at iteration #(\d+): temp", "placer, refinement {}"),
        (r"Info: Routing (\d+) arcs", "router, {} connections"),
        (r"Info: +\d+ \|.*\| *(\d+)\| +[\d.]+ +[\d.]+\|", "router, {} connections left"),
        (r"Info: +iter=(\d+) wires=\d+ overused=(\d+)", "router, iteration {}, {} wires shared"),
    )
)
"""Lines of nextpnr's log (of both placers, and of its routers 1 and 2), and what they tell."""


@dataclass(frozen=True)
class PnrResult:
    """What nextpnr reports of a placed and routed design.

    `fmax_mhz` is that of the slowest clock, `clock_met` whether every clock reaches `clock_mhz`.
    `utilisation` maps a kind of cell to (used, available). `critical_path` lists the steps of the
    slowest path within a clock: ``{type, delay_ns, from, to, net}``. `raw` is nextpnr's report.
    """

    fmax_mhz: float
    clock_mhz: float
    clock_met: bool
    utilisation: dict[str, tuple[int, int]]
    critical_path: list[dict[str, Any]]
    bitstream_path: Path
    time_s: float
    raw: dict[str, Any]


def phase_of(line: str) -> str | None:
    """What nextpnr is at, where a line of its log tells."""
    for pattern, text in _PHASES:
        if match := pattern.match(line):
            return text.format(*match.groups())
    return None


def place_and_route(
    *,
    family: Family,
    device_args: Sequence[str],
    json_path: Path,
    out_dir: Path,
    clock_mhz: float,
    seed: int,
    timeout_s: float,
    constraint_path: Path | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> PnrResult:
    """Place and route the netlist at `json_path` for `clock_mhz` and write its bitstream.

    Pins are placed by nextpnr except those in `constraint_path` (PCF for ice40, LPF for ecp5).
    `out_dir` gets ``<design>.asc``/``.config``, the bitstream ``.bin``/``.bit``,
    ``<design>_nextpnr.json`` and, while nextpnr runs, ``_nextpnr.log``; `on_phase` is told what it
    is at. A missed clock is no error.

    Raises:
        InputError: a file is missing, or the clock is not above 0.
        DoesNotFitError: the design is too big; the text says by how much where nextpnr tells.
        ToolError: a tool is missing, fails, or takes longer than `timeout_s` seconds.
    """
    if not clock_mhz > 0:
        raise InputError(f"clock_mhz must be above 0, not {clock_mhz:g}")
    for path in (json_path, *([constraint_path] if constraint_path else [])):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    program, packer = f"nextpnr-{family}", "icepack" if family == "ice40" else "ecppack"
    text_suffix, bit_suffix = _SUFFIXES[family]
    name = json_path.stem
    out_dir.mkdir(parents=True, exist_ok=True)
    log_path = out_dir / f"{name}_nextpnr.log"
    with scratch_dir(out_dir.resolve(), "nextpnr") as work:
        text, report = work / f"{name}.{text_suffix}", work / "report.json"
        # The wheels' programs see their own folder as /tmp: only relative paths are safe.
        shutil.copyfile(json_path, work / "netlist.json")
        argv = [*registry.find(program), *device_args, "--json", "netlist.json"]
        argv += ["--asc" if family == "ice40" else "--textcfg", text.name]
        argv += ["--report", report.name]
        argv += ["--freq", f"{clock_mhz:g}", "--seed", str(seed), "--timing-allow-fail"]
        if constraint_path is not None:
            shutil.copyfile(constraint_path, work / "constraints")
            argv += [_CONSTRAINT_OPTIONS[family], "constraints"]
        argv.append(f"{_CONSTRAINT_OPTIONS[family]}-allow-unconstrained")
        pack = registry.find(packer)
        try:
            run = run_tool(
                argv,
                tool=program,
                cwd=work,
                timeout_s=timeout_s,
                expect=[text, report],
                log_path=log_path,
                on_line=None if on_phase is None else partial(_tell, on_phase),
            )
        except ToolFailedError as error:
            _raise_if_too_big(log_path, error)
            raise
        bits = work / f"{name}.{bit_suffix}"
        run_tool(
            [*pack, text.name, bits.name],
            tool=packer,
            cwd=work,
            timeout_s=_PACK_TIMEOUT_S,
            expect=[bits],
        )
        raw = _read_report(report, program)
        bitstream = out_dir / bits.name
        os.replace(text, out_dir / text.name)
        os.replace(report, out_dir / f"{name}_nextpnr.json")
        os.replace(bits, bitstream)
    return _result(raw, clock_mhz, bitstream, run.time_s, program)


def _tell(on_phase: Callable[[str], None], line: str) -> None:
    phase = phase_of(line)
    if phase is not None:
        on_phase(phase)


def _read_report(path: Path, program: str) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ToolFailedError(f"{program} wrote a report that is not JSON: {error}") from error
    if not isinstance(raw, dict) or not {"fmax", "utilization"} <= raw.keys():
        raise ToolFailedError(f"{program} wrote a report without fmax and utilization")
    return raw


def _result(
    raw: dict[str, Any], clock_mhz: float, bitstream: Path, time_s: float, program: str
) -> PnrResult:
    clocks = raw["fmax"]
    if not clocks:
        raise ToolFailedError(
            f"{program} reports no clock: the design has no path between registers to time"
        )
    # the number that is shown decides, and is never more than was reached
    fmax_mhz = math.floor(min(float(clock["achieved"]) for clock in clocks.values()) * 1e3) / 1e3
    return PnrResult(
        fmax_mhz=fmax_mhz,
        clock_mhz=clock_mhz,
        clock_met=fmax_mhz >= clock_mhz,
        utilisation={
            kind: (int(entry["used"]), int(entry["available"]))
            for kind, entry in sorted(raw["utilization"].items())
        },
        critical_path=_critical_path(raw),
        bitstream_path=bitstream,
        time_s=time_s,
        raw=raw,
    )


def _critical_path(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps of the slowest path that begins and ends at the same clock's edge."""
    inside: list[list[dict[str, Any]]] = [
        path["path"]
        for path in raw.get("critical_paths", [])
        if path.get("from") == path.get("to") and path.get("from") != "<async>"
    ]
    slowest: list[dict[str, Any]] = max(
        inside, key=lambda steps: sum(step["delay"] for step in steps), default=[]
    )
    return [
        {
            "type": step["type"],
            "delay_ns": round(float(step["delay"]), 3),
            "from": f"{step['from']['cell']}.{step['from']['port']}",
            "to": f"{step['to']['cell']}.{step['to']['port']}",
            "net": step.get("net"),
        }
        for step in slowest
    ]


def _raise_if_too_big(log_path: Path, error: ToolFailedError) -> None:
    """Raise DoesNotFitError where nextpnr's log says that there was no room."""
    log = log_path.read_text(encoding="utf-8", errors="replace")
    over = [
        f"needs {int(used):,} {kind}, there are {int(available):,}: "
        f"{int(used) - int(available):,} too many"
        for kind, used, available in re.findall(r"^Info:\s+(\S+):\s+(\d+)/\s*(\d+)\s", log, re.M)
        if int(used) > int(available)
    ]
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    if over or any(re.search(_NO_ROOM, line) for line in errors):
        reason = "; ".join(over) or errors[-1].removeprefix("ERROR: ")
        raise DoesNotFitError(f"the design does not place: {reason}") from error
