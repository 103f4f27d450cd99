"""export --format ip, tinytapeout: the Verilog of a build folder, packaged for other tools."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import InputError, nearest
from gate2hw.flow.build import BuildFolder, Progress, silent
from gate2hw.flow.signoff.checks import check_rtl_files
from gate2hw.flow.tops.ipxact import Port, axis_ports, component_xml
from gate2hw.ir.store import load_netlist, write_text
from gate2hw.rtl import Manifest
from gate2hw.tools.resources import data_dir

__all__ = ["PACKAGES", "package"]

PACKAGES: Final = ("ip", "tinytapeout")
_TILES: Final = ((1, "1x1"), (2, "1x2"), (4, "2x2"), (6, "3x2"), (8, "4x2"), (12, "6x2"))
_MOST_TILES: Final = (16, "8x2")
CELLS_A_TILE: Final = 1000
"""What Tiny Tapeout says of a tile of its Sky130 chips: about 1000 digital logic gates."""
_TT_PINS: Final = {
    **{f"ui[{i}]": f"feature bit {i}" for i in range(8)},
    **{f"uo[{i}]": f"result bit {i}" for i in range(8)},
    "uio[0]": "in: feature valid",
    "uio[1]": "in: last feature of a frame",
    "uio[2]": "in: result taken",
    "uio[3]": "out: feature taken",
    "uio[4]": "out: result valid",
    "uio[5]": "out: last byte of a result",
    "uio[6]": "out: wrong frame dropped",
    "uio[7]": "",
}


def _template(name: str, manifest: Manifest, **parameters: int) -> str:
    text = (data_dir("rtl_templates") / name).read_text(encoding="utf-8")
    for parameter, value in parameters.items():
        text, n_found = re.subn(rf"(parameter {parameter} = )\d+", rf"\g<1>{value}", text)
        assert n_found == 1, f"{parameter} stands {n_found} times in {name}"
    text = re.sub(r"\bgate2hw_(?=\w)", f"{manifest.name}_", text)
    return re.sub(r"\btt_um_gate2hw\b", f"tt_um_{manifest.name}", text)


def _frame_lines(manifest: Manifest) -> list[str]:
    """What goes in and comes out, in sentences."""
    scores = ""
    if manifest.output == "scores":
        kind = "two's complement" if manifest.score_signed else "unsigned"
        scores = f", then {manifest.n_classes} scores of {manifest.score_bytes} ({kind})"
    return [
        f"frame:  {manifest.n_features} features of {manifest.bytes_per_feature} bytes, "
        f"0..{manifest.max_value}, little-endian: {manifest.frame_beats} beats",
        f"result: class of {manifest.class_bytes} bytes{scores}: {manifest.result_beats} beats",
        f"latency {manifest.top_latency_cycles} clocks, a frame every {manifest.interval_cycles}",
    ]


def _verilog_instance(top: str, ports: Sequence[Port]) -> str:
    lines = [f"// Verilog instantiation template of {top}: rename the nets in brackets.", ""]
    lines += [f"{top} your_instance (", *_connections(ports, "    .{0}({0})", ","), ");", ""]
    return "\n".join(lines)


def _connections(ports: Sequence[Port], form: str, separator: str) -> list[str]:
    last = len(ports) - 1
    return [form.format(p.name) + (separator if i < last else "") for i, p in enumerate(ports)]


def _vhdl_ports(ports: Sequence[Port], indent: str) -> list[str]:
    last = len(ports) - 1
    width = max(len(port.name) for port in ports)
    lines = []
    for place, port in enumerate(ports):
        kind = f"std_logic_vector({port.bits - 1} downto 0)" if port.is_vector else "std_logic"
        end = ";" if place < last else ""
        lines.append(f"{indent}{port.name:<{width}} : {port.direction:<3} {kind}{end}")
    return lines


def _vhdl_component(top: str, ports: Sequence[Port]) -> list[str]:
    return [
        f"  component {top} is",
        "    port (",
        *_vhdl_ports(ports, "      "),
        "    );",
        "  end component;",
    ]


def _vhdl_instance(top: str, ports: Sequence[Port]) -> str:
    lines = [
        f"-- VHDL instantiation template of {top}: a component for the declarations,",
        "-- an instance for the statements; rename the signals behind the arrows.",
        *_vhdl_component(top, ports),
        "",
        f"  your_instance : {top}",
        "    port map (",
        *_connections(ports, "      {0} => {0}", ","),
        "    );",
        "",
    ]
    return "\n".join(lines)


def _vhdl_wrapper(entity: str, top: str, ports: Sequence[Port], about: Sequence[str]) -> str:
    lines = [
        f"-- {entity}: VHDL wrapper of the Verilog module {top}; for tools that mix languages.",
        *(f"-- {line}" for line in about),
        "library ieee;",
        "use ieee.std_logic_1164.all;",
        "",
        f"entity {entity} is",
        "  port (",
        *_vhdl_ports(ports, "    "),
        "  );",
        f"end entity {entity};",
        "",
        f"architecture wrapper of {entity} is",
        *_vhdl_component(top, ports),
        "begin",
        f"  model : {top}",
        "    port map (",
        *_connections(ports, "      {0} => {0}", ","),
        "    );",
        "end architecture wrapper;",
        "",
    ]
    return "\n".join(lines)


def _vivado(top: str, files: Sequence[str]) -> str:
    lines = [
        f"# Vivado, out of context: synthesis, place and route of {top} alone.",
        "# UNTESTED: gate2hw's authors had no Vivado to run this with.",
        "#   vivado -mode batch -source vivado_ooc.tcl -tclargs xc7a35ticsg324-1L 5.0",
        "if {$argc > 0} { set part [lindex $argv 0] } else { set part xc7a35ticsg324-1L }",
        "if {$argc > 1} { set period_ns [lindex $argv 1] } else { set period_ns 5.0 }",
        "set here [file dirname [file normalize [info script]]]",
        *(f"read_verilog [file join $here {file}]" for file in files),
        f"synth_design -mode out_of_context -top {top} -part $part",
        "create_clock -name aclk -period $period_ns [get_ports aclk]",
        "opt_design",
        "place_design",
        "route_design",
        "report_utilization -hierarchical -file [file join $here utilization.rpt]",
        "report_timing_summary -file [file join $here timing.rpt]",
        "write_checkpoint -force [file join $here routed.dcp]",
        "",
    ]
    return "\n".join(lines)


def _is_vhdl_name(name: str) -> bool:
    """Whether a Verilog name is one of VHDL too: no _ at an end, no two in a row."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name) is not None


def _ip(manifest: Manifest, sources: dict[str, str]) -> dict[str, str]:
    top, ports = f"{manifest.name}_axis", axis_ports(manifest.bus_bytes)
    about = _frame_lines(manifest)
    bits = 8 * manifest.bus_bytes
    files = {f"src/{name}": text for name, text in sources.items()}
    files[f"src/{top}.v"] = _template("axis.v", manifest, TDATA_BITS=bits)
    verilog = list(files)
    component = component_xml(
        name=manifest.name,
        version=manifest.version,
        top=top,
        ports=ports,
        files=verilog,
        about=f"logic gate network, model {manifest.model_digest[:16]}; {'; '.join(about)}",
    )
    files[f"{top}.veo"] = _verilog_instance(top, ports)
    if _is_vhdl_name(top):
        files[f"src/{top}_vhdl.vhd"] = _vhdl_wrapper(f"{top}_vhdl", top, ports, about)
        files[f"{top}.vho"] = _vhdl_instance(top, ports)
    return {**files, "component.xml": component, "vivado_ooc.tcl": _vivado(top, verilog)}


def _tiles(n_cells: int) -> str:
    """The smallest block of tiles for about so many cells; the largest where none would do."""
    needed = -(-n_cells // CELLS_A_TILE)
    return next((shape for n_tiles, shape in _TILES if n_tiles >= needed), _MOST_TILES[1])


def _tinytapeout(
    manifest: Manifest, sources: dict[str, str], n_cells: int, classes: Sequence[str]
) -> dict[str, str]:
    if manifest.bus_bytes != 1:
        raise InputError(
            f"Tiny Tapeout has 8 pins in and 8 out, the streams of this build are "
            f"{manifest.bus_bytes} bytes wide; compile with --bus-bytes 1"
        )
    top = f"tt_um_{manifest.name}"
    files = {f"src/{name}": text for name, text in sources.items()}
    files[f"src/{top}.v"] = _template("tinytapeout.v", manifest)
    about = f"logic gate network, {manifest.n_features} features, {manifest.n_classes} classes"
    yaml = [
        "# Tiny Tapeout project information; made by gate2hw. Name yourself, and harden it: the",
        f"# tiles are a guess from about {n_cells:,} cells, nothing was placed.",
        "project:",
        f"  title: {json.dumps(manifest.name + ': a logic gate network')}",
        '  author: ""',
        '  discord: ""',
        f"  description: {json.dumps(about)}",
        '  language: "Verilog"',
        "  clock_hz: 10000000",
        f'  tiles: "{_tiles(n_cells)}"',
        f'  top_module: "{top}"',
        "  source_files:",
        *(f'    - "{Path(name).name}"' for name in files),
        "pinout:",
        *(f'  {pin}: "{use}"' for pin, use in _TT_PINS.items()),
        "yaml_version: 6",
        "",
    ]
    doc = [
        "## How it works",
        "",
        f"A {about}, made by gate2hw {__version__} (model {manifest.model_digest[:16]}).",
        "Its neurons are logic gates; it takes features a byte a clock and gives the class.",
        "",
        *(f"- {line}" for line in _frame_lines(manifest)),
        *(f"- class {i}: {json.dumps(name)}" for i, name in enumerate(classes)),
        "",
        "| pin | use |",
        "|---|---|",
        *(f"| {pin} | {use or 'unused'} |" for pin, use in _TT_PINS.items()),
        "",
        "## How to test",
        "",
        "Hold rst_n low over two rising edges of clk. Put a feature on ui with uio[0] high; it is",
        "taken at a rising edge at which uio[3] is high. Raise uio[1] with the last one. The class",
        "comes on uo with uio[4] high and is taken while uio[2] is high.",
        "",
        "## External hardware",
        "",
        "None: the board's microcontroller drives all pins.",
        "",
    ]
    return {**files, "info.yaml": "\n".join(yaml), "docs/info.md": "\n".join(doc)}


def package(
    build: Path | str, out_dir: Path | str, *, format: str = "ip", progress: Progress = silent
) -> dict[str, Any]:
    """Package the Verilog of the build folder `build` into `out_dir`.

    ``ip``: the AXI4-Stream core as ``NAME_axis`` (aclk, aresetn) with IP-XACT, instantiation
    templates, a VHDL wrapper and a Vivado script. ``tinytapeout``: ``tt_um_NAME`` with info.yaml
    and docs. The same build gives the same bytes.

    Returns `files` (paths written), `top` and `notes`. Raises InputError for what cannot be.
    """
    if format not in PACKAGES:
        raise InputError(f"package {format!r} is unknown; {nearest(format, PACKAGES)}")
    folder = BuildFolder.existing(build)
    if folder.result("compile") is None:
        raise InputError(f"{build}: not compiled yet; run: gate2hw compile MODEL -o {build}")
    rtl, out = folder.path / "rtl", Path(out_dir)
    manifest = Manifest.load(rtl / "manifest.json")
    net = load_netlist(folder.path / "netlist.npz")
    check_rtl_files(rtl, manifest, net)
    sources = {name: (rtl / name).read_text(encoding="utf-8") for name in sorted(manifest.files)}
    progress(0, 0, f"packaging {manifest.name}")
    notes = []
    if format == "ip":
        files = _ip(manifest, sources)
        top = f"{manifest.name}_axis"
        notes.append("vivado_ooc.tcl and the VHDL wrapper were not run: no such tool was at hand")
        if not _is_vhdl_name(top):
            notes[-1] = "vivado_ooc.tcl was not run: no such tool was at hand"
            notes.append(
                f"no VHDL: {top} is no name there; compile with a --name without _ at an end or __"
            )
    else:
        # gates, popcounts at 4.5 gates a bit, and a flip-flop for each stored bit
        n_cells = net.n_gates + round(4.5 * net.n_outputs) + manifest.n_used_inputs
        files = _tinytapeout(manifest, sources, n_cells, net.names.classes)
        top = f"tt_um_{manifest.name}"
        if n_cells > _MOST_TILES[0] * CELLS_A_TILE:
            notes.append(f"about {n_cells:,} cells: more than {_MOST_TILES[0]} tiles hold")
    for name, text in files.items():
        write_text(out / name, text)
    return {
        "source": str(folder.path),
        "format": format,
        "name": manifest.name,
        "top": top,
        "files": [str(out / name) for name in files],
        "notes": notes,
    }
