"""Yosys and ABC for standard cells: RTL to a mapped netlist, and that netlist read back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.tools import registry
from gate2hw.tools.liberty import Library
from gate2hw.tools.run import ToolRun, failure, run_tool, scratch_dir
from gate2hw.tools.verilog_modules import merge_equal_modules

__all__ = ["BlockArea", "MappedResult", "Plan", "expand_cells", "instance_modules", "map_to_cells"]

MOST_FANOUT: Final = 16
_LOADS_OF_A_PORT: Final = 4
_MAP: Final = (
    # structure first, then area-oriented matching; measured on osu018, see docs/decisions.md
    "strash;ifraig;scorr;dc2;dch,-f;amap;"
    # -p: inputs too, or the flip-flop behind a net that every block reads drives a thousand pins
    f"buffer,-p,-c,-N,{MOST_FANOUT};topo;upsize{{delay}};dnsize{{delay}};stime,-p"
)
_LENIENT: Final = "-ignore_miss_func -ignore_miss_dir -ignore_miss_data_latch -ignore_buses"
"""A library's memories and pads are of no use to us, and no reason to refuse it."""
_ROLES: Final = ("A", "B", "C", "X", "Y")


@dataclass(frozen=True)
class Plan:
    """What to map: modules by block (patterns with ``*``), where full adders are looked for.

    `adder_modules` are patterns of modules whose full adders become cells of the library, if it
    has one; `clock_ns` is the period that ABC sizes for, None for the smallest cells.
    """

    top: str
    blocks: Mapping[str, Sequence[str]]
    adder_modules: Sequence[str] = ()
    clock_ns: float | None = None


@dataclass(frozen=True)
class BlockArea:
    """Cells of one block, or of all: by type, with their area as Yosys adds it up."""

    cells: dict[str, int]
    area_um2: float

    @property
    def n_cells(self) -> int:
        """How many cells."""
        return sum(self.cells.values())


@dataclass(frozen=True)
class MappedResult:
    """What Yosys made: all cells, cells by block, ABC's estimate of the slowest block's delay.

    `abc_delay_ns` is the longest delay that ABC saw inside one module, with its own slew and load
    guesses: no timing sign-off. `raw` is Yosys's statistics, JSON text by block, "" for all.
    """

    total: BlockArea
    blocks: dict[str, BlockArea]
    abc_delay_ns: float | None
    time_s: float
    memory_bytes: int | None
    raw: dict[str, str]


def _adder_map(library: Library) -> str | None:
    """Verilog for techmap that puts the library's full adder in place of ``$fa``."""
    found = library.full_adder()
    if found is None:
        return None
    cell, pins = found
    ports = ", ".join(f".{pins[role]}({role}[i])" for role in _ROLES)
    return (
        '(* techmap_celltype = "$fa" *)\nmodule full_adder_cell (A, B, C, X, Y);\n'
        "  parameter WIDTH = 1;\n  input [WIDTH-1:0] A, B, C;\n  output [WIDTH-1:0] X, Y;\n"
        "  genvar i;\n  generate for (i = 0; i < WIDTH; i = i + 1) begin : bits\n"
        f"    {cell.name} adder ({ports});\n  end endgenerate\nendmodule\n"
    )


def _constraints(library: Library) -> str:
    """ABC's constraint file: what drives an input and what load (fF) an output has."""
    found = library.buffer()
    if found is None:
        return ""
    cell, pin, _ = found
    load_ff = _LOADS_OF_A_PORT * cell.pins[pin].capacitance_pf * 1e3
    return f"set_driving_cell {cell.name}\nset_load {load_ff:.3f}\n"


def _mapping_lines(plan: Plan, library: Library, work: Path) -> list[str]:
    delay = "" if plan.clock_ns is None else f",-D,{plan.clock_ns * 1e3:.0f}"
    lines = []
    adder = _adder_map(library)
    if plan.adder_modules and adder is not None:
        (work / "adder.v").write_text(adder, encoding="utf-8")
        lines += [
            f"select {' '.join(plan.adder_modules)}",
            "extract_fa -fa",
            "techmap -map adder.v",
            "opt_clean",
            "select -clear",
        ]
    constraints = _constraints(library)
    (work / "abc.constr").write_text(constraints, encoding="utf-8")
    lines += [
        # cells have no initial values, and nothing of ours relies on them
        "setattr -unset init w:*",
        "dfflibmap -liberty cells.lib",
        "opt",
        "abc -liberty cells.lib "
        + ("-constr abc.constr " if constraints else "")
        + f'-script "+{_MAP.format(delay=delay)}"',
        "opt_clean",
        "setundef -zero",
    ]
    ties = library.constants()
    if set(ties) == {"0", "1"}:
        (low, low_pin), (high, high_pin) = ties["0"], ties["1"]
        lines.append(f"hilomap -hicell {high} {high_pin} -locell {low} {low_pin}")
    return lines


def map_to_cells(
    sources: Sequence[Path],
    library: Library,
    plan: Plan,
    *,
    verilog_path: Path,
    json_path: Path,
    cloud_path: Path,
    cloud_module: str,
    timeout_s: float,
) -> MappedResult:
    """Map the Verilog `sources` to the cells of `library`, module by module.

    Modules stay what they were, so that areas, paths and energies can be told apart by block. A
    net with more than 16 readers inside a module gets buffers. Writes the netlist as Verilog with
    scalar wires and left-hand sides (`verilog_path`, which OpenSTA can read), flat as JSON with an
    attribute ``block`` on each cell (`json_path`), and the module `cloud_module` alone
    (`cloud_path`); beside the Verilog a log, also on failure.

    Raises InputError for missing sources, ToolError where Yosys fails or leaves something that is
    no cell of the library.
    """
    counts = {"": "stat.json"} | {name: f"block_{n}.json" for n, name in enumerate(plan.blocks)}
    log_path = verilog_path.with_name(f"{plan.top}_yosys.log")
    with scratch_dir(verilog_path.parent, "yosys") as work:
        names = _copies(sources, work)
        (work / "cells.lib").symlink_to(library.path.resolve())
        lines = [f"read_liberty -lib {_LENIENT} cells.lib"]
        lines += [f"read_verilog {name}" for name in names]
        lines += [f"synth -top {plan.top} -noabc", *_mapping_lines(plan, library, work)]
        lines += ["splitnets", "opt_clean", "check -assert -mapped"]
        lines += [
            f'setattr -set block "{block}" {pattern}/c:*'
            for block, patterns in plan.blocks.items()
            for pattern in patterns
        ]
        lines += [
            "write_verilog -noattr -simple-lhs netlist.v",
            f"select {cloud_module}",
            "write_verilog -noattr -selected cloud.v",
            "select -clear",
            "flatten",
            "delete t:$scopeinfo",
            *(
                f"tee -q -o {file} stat -json -liberty cells.lib{f' a:block={b}' if b else ''}"
                for b, file in counts.items()
            ),
            "attrmap -remove src =*",
            "attrmap -modattr -remove src =*",
            "write_json netlist.json",
        ]
        ran = _run(work, log_path, lines, ["netlist.v", "cloud.v", "netlist.json"], timeout_s)
        raw = {b: (work / file).read_text(encoding="utf-8") for b, file in counts.items()}
        found = {block: _block_area(text, ran) for block, text in raw.items()}
        for name, path in (
            ("netlist.v", verilog_path),
            ("cloud.v", cloud_path),
            ("netlist.json", json_path),
        ):
            os.replace(work / name, path)
    total = found.pop("")
    delays = [float(text) for text in re.findall(r"Delay = +([\d.]+) ps", ran.output)]
    return MappedResult(
        total,
        {block: area for block, area in found.items() if area.cells},
        round(max(delays) / 1e3, 4) if delays else None,
        ran.time_s,
        ran.memory_bytes,
        raw,
    )


def _copies(sources: Sequence[Path], work: Path) -> list[str]:
    """Copies of `sources` in `work`, so that no machine's path gets into a netlist; modules that
    are equal within a file are one."""
    names: list[str] = []
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: no such Verilog file")
        names.append(f"source_{len(names)}.v")
        text = source.read_text(encoding="utf-8")
        # classes of one size have equal popcounts, which are then mapped once
        (work / names[-1]).write_text(merge_equal_modules(text), encoding="utf-8")
    if not names:
        raise InputError("no Verilog sources were given to Yosys")
    return names


def _run(
    work: Path, log_path: Path, lines: Sequence[str], expect: Sequence[str], timeout_s: float
) -> ToolRun:
    (work / "script.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = run_tool(
        [*registry.find("yosys"), "-s", "script.ys"],
        tool="yosys",
        cwd=work,
        timeout_s=timeout_s,
        env={**registry.worker_env(), **_private_tmp(work)},
        expect=expect,
        log_path=log_path,
    )
    complaint = re.search(r"^ABC: (?:Error|\*\* cmd error).*", ran.output, re.MULTILINE)
    if complaint:
        raise failure("yosys", f"was refused by ABC: {complaint[0]}", ran, log_path)
    return ran


def _private_tmp(work: Path) -> dict[str, str]:
    """Where Yosys puts ABC's files and its cached form of a library, out of others' reach; ABC
    cannot stand a path with a space."""
    path = str(work.resolve())
    return {} if re.search(r"\s", path) else {"TMPDIR": path}


def _block_area(text: str, ran: ToolRun) -> BlockArea:
    """Cells and area of the statistics `text`, which are of one flat module or a part of it."""
    try:
        modules: list[dict[str, Any]] = list(json.loads(text)["modules"].values())
        cells = {name: int(n) for item in modules for name, n in item["num_cells_by_type"].items()}
        area = sum(float(item.get("area", 0.0)) for item in modules)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise failure("yosys", f"wrote statistics that cannot be read: {error!r}", ran) from error
    return BlockArea(dict(sorted(cells.items())), round(area, 4))


def expand_cells(
    netlist: Path, library: Path, module: str, *, out_path: Path, timeout_s: float
) -> None:
    """Write the mapped `module` in `netlist` as plain Verilog, each cell as its function.

    What a cell does is what Yosys reads in the Liberty file `library`, not what ABC, which chose
    the cells, or our own reader reads there.
    """
    with scratch_dir(out_path.parent, "yosys") as work:
        _copies([netlist], work)
        (work / "cells.lib").symlink_to(library.resolve())
        lines = [
            f"read_liberty {_LENIENT} cells.lib",
            "read_verilog source_0.v",
            f"hierarchy -check -top {module}",
            "flatten",
            "delete t:$scopeinfo",
            "opt_clean",
            "write_verilog -noattr cloud.v",
        ]
        _run(work, out_path.with_suffix(".log"), lines, ["cloud.v"], timeout_s)
        os.replace(work / "cloud.v", out_path)


def instance_modules(netlist: Path, top: str) -> dict[str, str]:
    """Module of every instance of a module in the Verilog `netlist`, by its path ``a/b``; top: "".

    Raises ToolFailedError where `top` is not in it.
    """
    inside: dict[str, list[tuple[str, str]]] = {}
    module = ""
    with netlist.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("module "):
                module = line[7:].split("(")[0].strip()
                inside[module] = []
            elif found := re.match(r"  ([A-Za-z_]\w*) (\\\S+|\w+) \(", line):
                inside[module].append((found[1], found[2].lstrip("\\")))
    if top not in inside:
        raise ToolFailedError(f"{netlist} holds no module {top}")
    paths, todo = {"": top}, [("", top)]
    while todo:
        path, name = todo.pop()
        for kind, instance in inside[name]:
            if kind in inside:
                paths[f"{path}/{instance}".lstrip("/")] = kind
                todo.append((f"{path}/{instance}".lstrip("/"), kind))
    return paths
