"""OpenSTA: static timing of a mapped netlist.

OpenSTA prints "Error" or "syntax error" and goes on, and ends with status 0: its report is only
believed where neither word is in it and the last line of our script was reached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gate2hw.errors import ToolMissingError
from gate2hw.tools import registry
from gate2hw.tools.liberty import Library
from gate2hw.tools.run import ToolRun, failure, run_tool, scratch_dir

__all__ = ["PathGroup", "TimingPath", "TimingPoint", "TimingResult", "available", "time_netlist"]

PathGroup: TypeAlias = Literal["reg_to_reg", "in_to_reg", "reg_to_out", "in_to_out"]

_GROUPS: Final[dict[PathGroup, str]] = {
    "reg_to_reg": "-from [all_registers -clock_pins] -to [all_registers -data_pins]",
    "in_to_reg": "-from $inputs -to [all_registers -data_pins]",
    "reg_to_out": "-from [all_registers -clock_pins] -to [all_outputs]",
    "in_to_out": "-from $inputs -to [all_outputs]",
}
_END: Final = "gate2hw: end of report"
_LOADS_OF_A_PORT: Final = 4
_POINT: Final = re.compile(
    r"^ +(?:[\d.]+ +)*?(-?[\d.]+) +(-?[\d.]+) [v^] (\S.*) \((\S+)\)$", re.MULTILINE
)


@dataclass(frozen=True)
class TimingPoint:
    """A pin on a path: `cell` is a library cell's name, or in / out for a port."""

    pin: str
    cell: str
    delay_ns: float
    time_ns: float
    net: str | None


@dataclass(frozen=True)
class TimingPath:
    """The slowest path of a group; `arrival_ns` without the input's external delay."""

    group: PathGroup
    slack_ns: float
    points: tuple[TimingPoint, ...]
    io_fraction: float

    def period_ns(self, clock_ns: float) -> float:
        """The shortest clock period that this path allows; external delays scale with it."""
        return (clock_ns * (1 - self.io_fraction) - self.slack_ns) / (1 - self.io_fraction)


@dataclass(frozen=True)
class TimingResult:
    """Timing against the asked clock; `raw` is all that OpenSTA printed."""

    clock_ns: float
    worst_slack_ns: float
    worst_hold_slack_ns: float | None
    fmax_mhz: float
    critical_path: TimingPath
    paths: tuple[TimingPath, ...]
    version: str | None
    time_s: float
    raw: str


def available() -> str | None:
    """None where OpenSTA can be run, else the reason, with the way to get it."""
    try:
        registry.find("opensta")
    except ToolMissingError as error:
        return str(error)
    return None


def _script(top: str, library: Library, inputs: Sequence[str]) -> list[str]:
    lines = [
        "read_liberty cells.lib",
        "read_verilog netlist.v",
        f"link_design {top}",
        "set_cmd_units -time ns -capacitance pF",
        "read_sdc design.sdc",
        f"set inputs [get_ports {{{' '.join(inputs)}}}]",
    ]
    buffer = library.buffer()
    if buffer is not None:
        cell, pin, _ = buffer
        load = _LOADS_OF_A_PORT * cell.pins[pin].capacitance_pf
        lines += [
            f"set_driving_cell -lib_cell {cell.name} $inputs",
            f"set_load {load:.6f} [all_outputs]",
        ]
    for group, ends in _GROUPS.items():
        lines += [
            f'puts "gate2hw: {group}"',
            f"report_checks -path_delay max {ends} -format full -fields {{net}} -digits 5",
        ]
    lines += [
        'puts "gate2hw: hold"',
        f"report_checks -path_delay min {_GROUPS['reg_to_reg']} -digits 5",
        f'puts "{_END}"',
    ]
    return lines


def time_netlist(
    netlist: Path,
    library: Library,
    sdc_path: Path,
    *,
    top: str,
    inputs: Sequence[str],
    clock_ns: float,
    io_fraction: float,
    out_dir: Path,
    timeout_s: float,
) -> TimingResult:
    """Time the mapped Verilog `netlist` under the constraints in `sdc_path` (ns and pF).

    `inputs` are patterns of the input ports other than the clock. The clock is ideal and wires
    have no load. `io_fraction` is the part of the period that the constraints give to what lies
    outside of an input or an output. Keeps ``opensta.tcl`` and ``opensta.rpt`` in `out_dir`.

    Raises ToolMissingError without OpenSTA, ToolFailedError where it complains about anything or
    finds no path.
    """
    script = "\n".join(_script(top, library, inputs)) + "\n"
    log_path = out_dir / "opensta.rpt"
    with scratch_dir(out_dir, "opensta") as work:
        for name, path in (
            ("cells.lib", library.path),
            ("netlist.v", netlist),
            ("design.sdc", sdc_path),
        ):
            (work / name).symlink_to(path.resolve())
        (work / "opensta.tcl").write_text(script, encoding="utf-8")
        ran = run_tool(
            [*registry.find("opensta"), "-no_init", "-no_splash", "-exit", "opensta.tcl"],
            tool="opensta",
            cwd=work,
            timeout_s=timeout_s,
            log_path=log_path,
        )
    (out_dir / "opensta.tcl").write_text(script, encoding="utf-8")
    return _parsed(ran, clock_ns, io_fraction, log_path)


def _parsed(ran: ToolRun, clock_ns: float, io_fraction: float, log_path: Path) -> TimingResult:
    complaint = re.search(r"^.*(?:\berror\b|not a known).*$", ran.output, re.I | re.M)
    if complaint:
        raise failure("opensta", f"complained: {complaint[0].strip()}", ran, log_path)
    if _END not in ran.output:
        raise failure("opensta", "stopped before the end of its script", ran, log_path)
    sections = dict(re.findall(r"^gate2hw: (\w+)\n(.*?)(?=^gate2hw: )", ran.output, re.M | re.S))
    paths = []
    for group in _GROUPS:
        n_ends = (group != "reg_to_reg") + (group == "in_to_out")
        path = _path(group, sections.get(group, ""), io_fraction * n_ends)
        if path is not None:
            paths.append(path)
    if not paths:
        raise failure("opensta", "found no path between registers or ports", ran, log_path)
    worst = max(paths, key=lambda path: path.period_ns(clock_ns))
    hold = re.search(r"^ +(-?[\d.]+) +slack", sections.get("hold", ""), re.M)
    return TimingResult(
        clock_ns,
        min(path.slack_ns for path in paths),
        float(hold[1]) if hold else None,
        1e3 / worst.period_ns(clock_ns),
        worst,
        tuple(paths),
        registry.version("opensta"),
        ran.time_s,
        ran.output,
    )


def _path(group: PathGroup, text: str, io_fraction: float) -> TimingPath | None:
    slack = re.search(r"^ +(-?[\d.]+) +slack", text, re.M)
    if slack is None:
        return None
    # the second half of a report is the way of the clock to the end of the path
    arrival = text[: text.index("data arrival time")]
    matches = list(_POINT.finditer(arrival))
    points = []
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        between = arrival[match.end() : following.start() if following else None]
        net = re.search(r"^ +(?:[\d.]+ +)*(\S+) \(net\)$", between, re.M)
        points.append(
            TimingPoint(
                match[3], match[4], float(match[1]), float(match[2]), net[1] if net else None
            )
        )
    return TimingPath(group, float(slack[1]), tuple(points), io_fraction)
