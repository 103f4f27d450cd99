"""Yosys: synthesis for the FPGA families, and Verilog read back as an AIGER file for proofs."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError
from gate2hw.tools import registry
from gate2hw.tools.run import ToolRun, run_tool
from gate2hw.tools.targets import Family
from gate2hw.tools.verilog_modules import merge_equal_modules

__all__ = ["Cloud", "SynthResult", "cells_sim_path", "gates_to_aiger", "synthesise"]


_LUT_CELLS = {"ice40": ("SB_LUT4",), "ecp5": ("LUT4",)}
_FF_CELLS = {"ice40": ("SB_DFF",), "ecp5": ("TRELLIS_FF",)}
_CARRY_CELLS = {"ice40": ("SB_CARRY",), "ecp5": ("CCU2C",)}
_FF_TYPES = "t:*dff* t:*DFF* t:*latch* t:*LATCH* t:$ff t:$sr t:$mem*"

_FF_PORTS = {
    "dff": "",
    "dffe": "EN",
    "sdff": "SRST",
    "sdffe": "SRST EN",
    "sdffce": "SRST EN",
    "adff": "ARST",
    "adffe": "ARST EN",
}


@dataclass(frozen=True)
class Cloud:
    """A module of cells that Yosys links and does not map: its file, its name, how many LUT
    cells it holds, which is how many must be left of each of its instances in the end."""

    path: Path
    module: str
    luts: int
    n_instances: int = 1


@dataclass(frozen=True)
class SynthResult:
    """What Yosys counted after mapping.

    ``cells`` maps cell type to count. ``luts`` are SB_LUT4 or LUT4 (ECP5's wider functions are
    LUT4 plus PFUMX and L6MUX21, which stand in ``cells``; the LUTs inside carry cells are not
    counted), ``ffs`` SB_DFF* or TRELLIS_FF, ``carries`` SB_CARRY (one bit each) or CCU2C (two bits
    each): cells, not bits. ``blocks`` are the cells of each block that was asked for.
    ``memory_bytes`` is Yosys's own peak, None where unknown.
    """

    cells: dict[str, int]
    luts: int
    ffs: int
    carries: int
    time_s: float
    memory_bytes: int | None
    family: Family = "ice40"
    blocks: dict[str, dict[str, int]] = field(default_factory=dict)

    def part(self, block: str) -> dict[str, int]:
        """``luts``, ``ffs`` and ``carries`` of a block."""
        return _kinds(self.blocks[block], self.family)

    @property
    def lut_sites(self) -> int:
        """LUTs of the device that are taken: an ECP5 carry cell takes the two it stands on."""
        return self.luts + 2 * self.cells.get("CCU2C", 0)


def _count(cells: dict[str, int], prefixes: Sequence[str]) -> int:
    return sum(n for name, n in cells.items() if name.startswith(tuple(prefixes)))


def _kinds(cells: dict[str, int], family: Family) -> dict[str, int]:
    return {
        "luts": _count(cells, _LUT_CELLS[family]),
        "ffs": _count(cells, _FF_CELLS[family]),
        "carries": _count(cells, _CARRY_CELLS[family]),
    }


def _quoted(path: Path) -> str:
    text = str(path)
    if '"' in text or "\n" in text:
        raise InputError(f"{text!r}: a path for Yosys cannot hold a quotation mark or a line end")
    return f'"{text}"'


@contextmanager
def _work_dir(beside: Path, sources: Sequence[Path]) -> Iterator[tuple[Path, list[str]]]:
    """A temporary folder beside `beside` with copies of `sources`, so that no machine's path gets
    into names of cells; yields the folder and the copies' names."""
    if not sources:
        raise InputError("no Verilog sources were given to Yosys")
    beside.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".yosys-", dir=beside.parent) as name:
        work, names = Path(name).resolve(), []
        for source in sources:
            if not source.is_file():
                raise InputError(f"{source}: no such Verilog file")
            if source.name in names:
                raise InputError(f"{source}: two Verilog sources are called {source.name}")
            shutil.copyfile(source, work / source.name)
            names.append(source.name)
        yield work, names


def _run(
    work: Path, log_path: Path, lines: Sequence[str], expect: Sequence[str], timeout_s: float
) -> ToolRun:
    (work / "script.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run_tool(
        [*registry.find("yosys"), "-s", "script.ys"],
        tool="yosys",
        cwd=work,
        timeout_s=timeout_s,
        env=registry.worker_env(),
        expect=[work / name for name in expect],
        log_path=log_path,
    )


def _read_cells(path: Path) -> dict[str, int]:
    """Cells by type of the statistics in `path`, which are of one module, or of a part of it."""
    cells: Counter[str] = Counter()
    try:
        for module in json.loads(path.read_text(encoding="utf-8"))["modules"].values():
            cells.update(module["num_cells_by_type"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(f"yosys wrote statistics that cannot be read: {error!r}") from error
    return {name: int(n) for name, n in sorted(cells.items())}


def _black_box(cloud: Cloud) -> str:
    """The ports of the cloud's module, and nothing in it."""
    if not cloud.path.is_file():
        raise InputError(f"{cloud.path}: no such Verilog file")
    with cloud.path.open(encoding="utf-8") as file:
        head = "".join(itertools.takewhile(lambda line: line.strip() != ");", file))
    start = re.search(rf"^module {re.escape(cloud.module)} \(", head, re.MULTILINE)
    if start is None:
        raise InputError(f"{cloud.path}: does not begin with module {cloud.module}")
    return f"(* blackbox *)\n{head[start.start() :]});\nendmodule\n"


def _link_lines(
    work: Path,
    names: Sequence[str],
    clouds: Sequence[Cloud],
    synth: str,
    blocks: Mapping[str, Sequence[str]],
) -> list[str]:
    """Synthesise around black boxes, put the modules of cells in their place, and flatten; cells
    get the attributes ``block`` and, those of cloud number n, ``linked`` n + 1."""
    for name in names:
        merged = merge_equal_modules((work / name).read_text(encoding="utf-8"))
        (work / name).write_text(merged, encoding="utf-8")
    (work / "black_box.v").write_text("".join(map(_black_box, clouds)), encoding="utf-8")
    for number, cloud in enumerate(clouds):
        shutil.copyfile(cloud.path, work / f"linked_{number}.v")
    marks = [
        f'setattr -set block "{block}" {pattern}/c:*'
        for block, patterns in blocks.items()
        for pattern in patterns
    ]
    marks += [f"setattr -set linked {n + 1} {cloud.module}/c:*" for n, cloud in enumerate(clouds)]
    return [
        "read_verilog black_box.v",
        f"{synth} -noflatten",
        *(f"delete ={cloud.module}" for cloud in clouds),
        *(f"read_verilog linked_{number}.v" for number in range(len(clouds))),
        "hierarchy -check",
        *marks,
        "flatten",
        "opt_clean",
    ]


def _check_linked(cloud: Cloud, family: Family, cells: dict[str, int]) -> None:
    found, expected = _count(cells, _LUT_CELLS[family]), cloud.luts * cloud.n_instances
    if found != expected:
        raise ToolFailedError(
            f"yosys left {found:,} of the {expected:,} LUTs of {cloud.module}: LUTs that nothing "
            "reads must go before mapping (gate2hw compile -O 1 or higher)"
        )


def synthesise(
    sources: Sequence[Path],
    *,
    top: str,
    family: Family,
    json_path: Path,
    verilog_path: Path,
    timeout_s: float,
    options: Sequence[str] = (),
    clouds: Sequence[Cloud] = (),
    blocks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> SynthResult:
    """Map the Verilog `sources` to the cells of `family` with ``synth_<family>``.

    Writes the netlist as JSON for nextpnr and as Verilog for simulation (see `cells_sim_path`),
    and beside the JSON ``<top>_yosys.log``, also on failure. `options` are added to the synthesis
    command.

    With `clouds`, modules that are mapped already stand in for black boxes of their names:
    `sources` only hold the rest, which is synthesised module by module (equal modules once) and
    then linked and flattened. Every LUT of the clouds must be there afterwards. `blocks` then gives
    names of parts and the modules (patterns with ``*``) whose cells the result counts under each.

    Raises InputError for missing sources, ToolError where Yosys is missing or fails, or changes
    the clouds.
    """
    log_path = json_path.with_name(f"{top}_yosys.log")
    synth = f"synth_{family} -top {top}{''.join(f' {option}' for option in options)}"
    counts = {"stat.json": ""}
    with _work_dir(json_path, sources) as (work, names):
        lines = [f"read_verilog {_quoted(Path(name))}" for name in names]
        if not clouds:
            lines += [synth]
        else:
            lines += _link_lines(work, names, clouds, synth, blocks)
            counts |= {f"linked_{n}.json": f" a:linked={n + 1}" for n in range(len(clouds))}
            counts |= {f"block_{n}.json": f" a:block={block}" for n, block in enumerate(blocks)}
        lines += [
            "check -assert",
            # they only name the scopes that were flattened, and would be counted as cells
            "delete t:$scopeinfo",
            *(f"tee -q -o {name} stat -json{what}" for name, what in counts.items()),
            "setattr -unset block -unset linked",
            # Source places hold paths of this machine, and nextpnr would copy them into its report.
            "attrmap -remove src =*",
            "attrmap -modattr -remove src =*",
            "write_json netlist.json",
            "write_verilog -noattr netlist.v",
        ]
        ran = _run(work, log_path, lines, ["netlist.json", "netlist.v", *counts], timeout_s)
        found = {name: _read_cells(work / name) for name in counts}
        for number, cloud in enumerate(clouds):
            _check_linked(cloud, family, found[f"linked_{number}.json"])
        verilog_path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / "netlist.json", json_path)
        os.replace(work / "netlist.v", verilog_path)
    cells = found["stat.json"]
    return SynthResult(
        cells=cells,
        **_kinds(cells, family),
        family=family,
        time_s=ran.time_s,
        memory_bytes=ran.memory_bytes,
        blocks={b: found[f"block_{n}.json"] for n, b in enumerate(blocks) if clouds},
    )


def _wire_map() -> str:
    """Verilog for techmap that makes every flip-flop a wire from D to Q."""
    modules = []
    for kind, ports in _FF_PORTS.items():
        extra = ports.split()
        parameters = ["WIDTH = 1", "CLK_POLARITY = 1", *(f"{port}_POLARITY = 1" for port in extra)]
        parameters += [f"{port}_VALUE = 0" for port in extra if port != "EN"]
        modules.append(
            f'(* techmap_celltype = "${kind}" *)\n'
            f"module wire_of_{kind} ({', '.join(['CLK', *extra, 'D', 'Q'])});\n"
            + "".join(f"  parameter {parameter};\n" for parameter in parameters)
            + f"  input {', '.join(['CLK', *extra])};\n"
            "  input [WIDTH-1:0] D;\n  output [WIDTH-1:0] Q;\n"
            "  assign Q = D;\nendmodule\n"
        )
    return "\n".join(modules)


def gates_to_aiger(
    sources: Sequence[Path],
    *,
    top: str,
    out_path: Path,
    timeout_s: float,
    registers_as_wires: bool = False,
    cells_of: Family | None = None,
) -> None:
    """Read combinational Verilog back and write it as an AIGER file with names of its ports.

    Inputs and outputs stand in order of the ports, bit 0 first. The file is binary unless
    `out_path` ends with ``.aag``. With `registers_as_wires` every flip-flop becomes a wire from D
    to Q, and the inputs that are their clocks, enables and asynchronous resets go: a pipeline
    becomes the function that it computes. With `cells_of` the Verilog may hold cells of that
    family: they are what the family's own simulation models (see `cells_sim_path`) say.

    Raises ToolFailedError where anything that stores is left, or Yosys fails.
    """
    with _work_dir(out_path, sources) as (work, names):
        # deferred, so that only the models of cells that occur are elaborated
        lines = (
            [] if cells_of is None else [f"read_verilog -defer -overwrite +/{cells_of}/cells_sim.v"]
        )
        lines += [f"read_verilog {_quoted(Path(name))}" for name in names]
        lines += [f"hierarchy -check -top {top}", "proc"]
        if cells_of is not None:
            # a model with its table filled in is made small once, not once for each of its cells
            lines += ["simplemap t:$mux", "opt_expr -mux_bool", "opt_clean"]
        lines += ["flatten", "opt_expr", "opt_clean"]
        if registers_as_wires:
            (work / "wire_map.v").write_text(_wire_map(), encoding="utf-8")
            lines += [
                "setattr -unset init w:*",
                # proc leaves an enable as a multiplexer that holds Q; as a wire it would be a loop.
                "opt_dff -nosdff",
                "select -set control t:*dff* %ci1:+[CLK,EN,SRST,ARST] i:* %i",
                "techmap -map wire_map.v",
                "delete -input @control",
                "opt_clean",
            ]
        result = "out.aag" if out_path.suffix == ".aag" else "out.aig"
        lines += [
            # A flip-flop in the file would make the proof one of something else.
            f"select -assert-none {_FF_TYPES}",
            "check -assert",
            "techmap",
            "simplemap",
            "aigmap",
            f"write_aiger -symbols {'-ascii ' if result == 'out.aag' else ''}{result}",
        ]
        try:
            _run(work, out_path.with_suffix(".log"), lines, [result], timeout_s)
        except ToolFailedError as error:
            if "Assertion failed" in str(error) and "select" in str(error):
                raise ToolFailedError(
                    f"{top} still has registers or latches after reading it back; only "
                    "combinational Verilog, or flip-flops as wires, can be proved"
                ) from error
            raise
        os.replace(work / result, out_path)


def cells_sim_path(family: Family) -> list[Path]:
    """The Verilog models of the cells that `synthesise` maps to, from Yosys's own share folder.

    Their includes lie beside them. Raises ToolMissingError where they are not installed.
    """
    path = registry.yosys_share() / family / "cells_sim.v"
    if not path.is_file():
        raise ToolMissingError(
            f"the simulation models of {family} are not at {path}; "
            f"get them with: {registry.TOOLS['yosys'].how_to_get}"
        )
    return [path]
