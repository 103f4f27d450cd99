"""board: a build folder as the bitstream of a board that answers over a serial line."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import DoesNotFitError, InputError, ToolFailedError, nearest
from gate2hw.flow.build import LUTS, BuildFolder, Progress, key_of, silent
from gate2hw.flow.clock.routing import clouds_for, options_for
from gate2hw.flow.signoff.checks import check_rtl_files
from gate2hw.flow.stream.stream_build import clouds_for_target, emit_for_target, is_mapped
from gate2hw.flow.synthesis import rtl_of_target
from gate2hw.ir.store import file_sha256, load_netlist, write_text
from gate2hw.rtl import Manifest, emit_rtl
from gate2hw.tools import boards as data
from gate2hw.tools import nextpnr, pll, registry, yosys
from gate2hw.tools.boards import Board, Interface, load_board
from gate2hw.tools.resources import data_dir
from gate2hw.tools.targets import Target, check_fits, load_target

__all__ = ["board", "board_dir", "boards", "facts_of", "identity", "wiring_of", "write_board"]

SYNTHESIS_TIMEOUT_S = 3600.0
ROUTE_TIMEOUT_S = 7200.0
GAP_MS: Final = 50.0
"""Silence that ends a packet; a host's USB adapter pauses for up to 16 ms."""
MOST_LENGTH: Final = 65535
LEAST_CLOCKS_PER_BIT: Final = 4
MOST_BAUD_ERROR: Final = 0.01
"""Of the 2.5 % of a bit that a receiver of 4 clocks a bit bears; the rest is the host's."""
SPI_CLOCKS_PER_BIT: Final = 10
_PARTS: Final = {
    "uart": ("uart_rx", "uart_tx", "packet", "node", "reset", "board"),
    "spi": ("spi", "packet", "node", "reset", "board"),
}
_PULLED_UP: Final = ("uart_rx", "spi_cs_n")
"""What must rest high where nothing is plugged in."""


@dataclass(frozen=True)
class Wiring:
    """How a model is put on a board: `clock_mhz` is the one reached, of `parameters` of the top."""

    board: Board
    interface: Interface
    clock_mhz: float
    baud: int | None
    clocks_per_bit: int
    words: tuple[str, ...]
    parameters: dict[str, str]


def board_dir(folder: BuildFolder, name: str) -> Path:
    """Where the files of the board `name` are."""
    return folder.path / f"board-{name}"


def boards() -> list[dict[str, Any]]:
    """All boards, as plain dictionaries."""
    return [
        {
            "name": found.name,
            "target": found.target,
            "clock_mhz": found.clock_mhz,
            "interfaces": sorted(found.lines, reverse=True),
            "baud": found.baud,
            "description": found.description,
            "program": found.program,
        }
        for found in data.boards()
    ]


def _clock(found: Board, clock_mhz: float | None) -> tuple[float, set[str], dict[str, str]]:
    """The clock reached, the words and the parameters of the PLL that makes it."""
    if clock_mhz is None or clock_mhz == found.clock_mhz:
        return found.clock_mhz, {"no_pll"}, {}
    if found.pll == "ecp5_pll":
        ecp5 = pll.ecp5_pll(found.clock_mhz, clock_mhz)
        names = ("clki_div", "clkfb_div", "clkop_div", "clkop_cphase")
        numbers = {f"PLL_{name.upper()}": str(getattr(ecp5, name)) for name in names}
        return ecp5.clock_mhz, {"ecp5_pll"}, numbers
    ice40 = pll.ice40_pll(found.clock_mhz, clock_mhz)
    widths = {"divr": 4, "divf": 7, "divq": 3, "filter_range": 3}
    numbers = {f"PLL_{n.upper()}": f"{w}'d{getattr(ice40, n)}" for n, w in widths.items()}
    return ice40.clock_mhz, {"ice40_pll", found.pll}, numbers


def _clocks_per_bit(clock_mhz: float, baud: int) -> int:
    """Clocks a bit of the UART; InputError where the clock cannot make the baud rate."""
    if baud < 1:
        raise InputError(f"a baud rate must be above 0, not {baud}")
    exact = clock_mhz * 1e6 / baud
    whole = round(exact)
    if whole < LEAST_CLOCKS_PER_BIT:
        most = math.floor(clock_mhz * 1e6 / LEAST_CLOCKS_PER_BIT)
        raise InputError(f"{baud} baud is too fast for {clock_mhz:g} MHz; at most {most}")
    if abs(whole / exact - 1) > MOST_BAUD_ERROR:
        raise InputError(
            f"{baud} baud is {exact:.2f} clocks of {clock_mhz:g} MHz a bit, too far from a whole "
            f"number; {round(clock_mhz * 1e6 / whole)} would fit"
        )
    return whole


def wiring_of(
    manifest: Manifest,
    found: Board,
    *,
    interface: str = "uart",
    clock_mhz: float | None = None,
    baud: int | None = None,
    gap_ms: float = GAP_MS,
) -> Wiring:
    """Clock, line and parameters of a board's top level; InputError for what cannot be."""
    if interface not in found.lines:
        raise InputError(
            f"board {found.name} has no interface {interface!r}; {nearest(interface, found.lines)}"
        )
    if max(manifest.frame_bytes, manifest.result_bytes) > MOST_LENGTH:
        raise InputError(
            f"a packet holds up to {MOST_LENGTH} bytes, a frame of this model has "
            f"{manifest.frame_bytes} and its result {manifest.result_bytes}"
        )
    clock, words, parameters = _clock(found, clock_mhz)
    words.add(interface)
    if found.tied_high:
        words.add("tied_high")
    clocks_per_bit = SPI_CLOCKS_PER_BIT
    if interface == "uart":
        baud = found.baud if baud is None else baud
        clocks_per_bit = _clocks_per_bit(clock, baud)
        parameters["CLOCKS_PER_BIT"] = str(clocks_per_bit)
        parameters["GAP_CLOCKS"] = str(max(round(clock * 1e3 * gap_ms), 2 * clocks_per_bit))
    elif baud is not None:
        raise InputError("SPI has no baud rate: its clock comes from the host; leave out the baud")
    lights = found.lights[:10]
    low = sum(light.is_low << place for place, light in enumerate(lights))
    parameters |= {
        "BUS_BYTES": str(manifest.bus_bytes),
        "FRAME_BYTES": str(manifest.frame_bytes),
        "RESULT_BYTES": str(manifest.result_bytes),
        "MODEL": f"64'h{int.from_bytes(identity(manifest), 'little'):016x}",
        "HEARTBEAT_BITS": str(round(math.log2(clock * 1e6))),
        "LIGHTS": str(len(lights)),
        "LIGHTS_LOW": str(low),
    }
    kind: Interface = "uart" if interface == "uart" else "spi"
    kept = tuple(sorted(words))  # part of the key of the step: always in one order
    return Wiring(found, kind, clock, baud, clocks_per_bit, kept, parameters)


def identity(manifest: Manifest) -> bytes:
    """The 8 bytes by which a board says which model it holds."""
    return bytes.fromhex(manifest.model_digest or manifest.netlist_digest)[:8]


def _kept(text: str, words: tuple[str, ...]) -> str:
    """The lines of a template that are meant for a board with `words`, without their marks."""
    lines = []
    for line in text.splitlines():
        code, mark, word = line.partition("  //? ")
        if not mark or word.strip() in words:
            lines.append(code)
    return "\n".join(lines) + "\n"


def _filled(text: str, parameters: dict[str, str]) -> str:
    for name, value in parameters.items():
        pattern = rf"(parameter (?:\[\d+:0\] )?{name} = )[\w']+"
        text, n_found = re.subn(pattern, rf"\g<1>{value}", text)
        assert n_found == 1, f"{name} stands {n_found} times in the template"
    return text


def write_board(manifest: Manifest, wiring: Wiring, out_dir: Path) -> list[Path]:
    """Write the Verilog around the model for a board; the last file holds its top level."""
    paths = []
    for part in _PARTS[wiring.interface]:
        text = (data_dir("rtl_templates") / f"{part}.v").read_text(encoding="utf-8")
        if part == "board":
            text = _filled(_kept(text, wiring.words), wiring.parameters)
        text = re.sub(r"\bgate2hw_(?=\w)", f"{manifest.name}_", text)
        paths.append(out_dir / f"{manifest.name}_{part}.v")
        write_text(paths[-1], text)
    return paths


def _constraints(out: Path, wiring: Wiring, target: Target) -> Path:
    """Write the constraint file: every pin, and the clock that comes in."""
    found = wiring.board
    pins, mhz = found.pins(wiring.interface), f"{found.clock_mhz:g}"
    lines = []
    if target.family == "ice40":
        path = out / "constraints.pcf"
        for port, pin in pins.items():
            pull = "-pullup yes " if port in _PULLED_UP else ""
            lines.append(f"set_io {pull}{port} {pin}")
        lines.append(f"set_frequency clk_in {mhz}")
    else:
        path = out / "constraints.lpf"
        for port, pin in pins.items():
            lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
            pull = " PULLMODE=UP" if port in _PULLED_UP else ""
            lines.append(f'IOBUF PORT "{port}" IO_TYPE={found.io_type}{pull};')
        lines.append(f'FREQUENCY PORT "clk_in" {mhz} MHZ;')
    write_text(path, "\n".join(lines) + "\n")
    return path


def _check_placed(log_path: Path) -> None:
    """Every pin must be where the board has it: nextpnr places those that no line names."""
    for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines():
        if re.search(r"unmatched constraint|is unconstrained", line):
            raise ToolFailedError(f"nextpnr did not place a pin as the board has it: {line}")


def _model_rtl(
    folder: BuildFolder, target: Target, out: Path, rtl: Path
) -> tuple[Manifest, list[Path], list[yosys.Cloud], list[Path]]:
    """The model's Verilog for this target, with the registers that `synth` chose for it, if it ran:
    (manifest, for Yosys, cells to link, all written)."""
    _, chosen = rtl_of_target(folder, target)
    net = load_netlist(folder.path / "netlist.npz")
    is_stream = chosen.arch == "stream"
    has_luts = is_mapped(folder.path) if is_stream else (folder.path / LUTS).is_file()
    popcount = "luts" if has_luts else target.popcount
    options = options_for(chosen, target.family, popcount=popcount)
    clouds: list[yosys.Cloud] = []
    if is_stream:
        manifest = emit_for_target(folder.path, net, rtl, options, target.family)
        if has_luts:
            clouds = clouds_for_target(folder.path, out, manifest, target.family)
    else:
        manifest = emit_rtl(net, rtl, options, version=__version__)
        if has_luts:
            clouds, _ = clouds_for(folder, out, target, manifest)
    written = [rtl / name for name in manifest.files]
    linked = {f"{cloud.module}.v" for cloud in clouds}
    sources = [path for path in written if path.name not in linked]
    written += [rtl / "manifest.json", *(cloud.path for cloud in clouds)]
    return manifest, sources, clouds, written


def _program(found: Board, bitstream: Path) -> str:
    """The command that loads a bitstream."""
    return found.program.format(bitstream=shlex.quote(str(bitstream)))


def facts_of(wiring: Wiring, manifest: Manifest, asked: dict[str, Any]) -> dict[str, Any]:
    """What `talk` and the bench must know, and what was asked for."""
    return {
        "board": wiring.board.name,
        "target": wiring.board.target,
        "top": f"{manifest.name}_board",
        "interface": wiring.interface,
        "clock_mhz": wiring.clock_mhz,
        "clock_in_mhz": wiring.board.clock_mhz,
        "pll": "no_pll" not in wiring.words,
        "baud": wiring.baud,
        "clocks_per_bit": wiring.clocks_per_bit,
        "parameters": wiring.parameters,
        "pins": wiring.board.pins(wiring.interface),
        "lights": [asdict(light) for light in wiring.board.lights],
        "asked": asked,
    }


def _build(
    folder: BuildFolder,
    wiring: Wiring,
    target: Target,
    seed: int,
    asked: dict[str, Any],
    progress: Progress,
) -> tuple[list[Path], dict[str, Any]]:
    name = wiring.board.name
    out = board_dir(folder, name)
    rtl = out / "rtl"
    for stale in (*out.glob("*"), *rtl.glob("*")):
        if stale.is_file():
            stale.unlink()
    progress(0, 4, f"{name}: RTL")
    manifest, sources, clouds, files = _model_rtl(folder, target, out, rtl)
    around = write_board(manifest, wiring, rtl)
    top = f"{manifest.name}_board"
    json_path, verilog_path = out / f"{top}.json", out / f"{top}_synth.v"
    facts = facts_of(wiring, manifest, asked)
    facts["around"] = [path.relative_to(folder.path).as_posix() for path in around]
    files += around
    try:
        progress(1, 4, f"{name}: synthesis")
        mapped = yosys.synthesise(
            [*sources, *around],
            top=top,
            family=target.family,
            json_path=json_path,
            verilog_path=verilog_path,
            options=target.yosys_options,
            timeout_s=SYNTHESIS_TIMEOUT_S,
            clouds=clouds,
        )
        check_fits(target, mapped, len(wiring.board.pins(wiring.interface)))
        progress(2, 4, f"{name}: place and route")
        routed = nextpnr.place_and_route(
            family=target.family,
            device_args=target.device_args,
            json_path=json_path,
            out_dir=out,
            clock_mhz=wiring.clock_mhz,
            seed=seed,
            on_phase=lambda phase: progress(2, 4, f"{name}: place and route, {phase}"),
            timeout_s=ROUTE_TIMEOUT_S,
            constraint_path=_constraints(out, wiring, target),
        )
    except DoesNotFitError as error:
        return files, {"fits": False, "reason": str(error), **facts}
    _check_placed(out / f"{top}_nextpnr.log")
    bitstream = routed.bitstream_path
    result = {
        "fits": True,
        **facts,
        "luts": mapped.luts,
        "ffs": mapped.ffs,
        "carries": mapped.carries,
        "utilisation": {
            kind: {"used": used, "available": available}
            for kind, (used, available) in routed.utilisation.items()
            if used
        },
        "fmax_mhz": routed.fmax_mhz,
        "clock_met": routed.clock_met,
        "bitstream": bitstream.relative_to(folder.path).as_posix(),
        "program": _program(wiring.board, bitstream),
    }
    results = out / "results.json"
    write_text(results, json.dumps(result, indent=2, sort_keys=True) + "\n")
    progress(4, 4, f"{name}: routed at {routed.fmax_mhz:.1f} MHz")
    return [*files, json_path, verilog_path, bitstream, results], result


def board(
    out_dir: Path | str,
    name: str,
    *,
    interface: str = "uart",
    clock_mhz: float | None = None,
    baud: int | None = None,
    gap_ms: float = GAP_MS,
    seed: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make the bitstream of the build folder's model for the board `name`.

    The model answers packets over `interface` (``uart`` at `baud`, or ``spi``). Its clock is the
    board's oscillator, or `clock_mhz`, made by a PLL. `gap_ms` of silence end a packet that broke
    off. The core has the pipeline registers that `synth` chose for the board's target, if it was
    synthesised for it. Files go to ``DIR/board-NAME``.

    Returns what was built and measured: with ``fits`` false and a ``reason`` where it is too big,
    with ``clock_met`` false where the clock is missed.
    Raises InputError for what cannot be, ToolError where a tool is missing or fails.
    """
    found = load_board(name)
    target = load_target(found.target)
    folder = BuildFolder.existing(out_dir)
    if folder.result("compile") is None:
        raise InputError(f"{out_dir}: not compiled yet; run: gate2hw compile MODEL -o {out_dir}")
    manifest = Manifest.load(folder.path / "rtl" / "manifest.json")
    check_rtl_files(folder.path / "rtl", manifest, load_netlist(folder.path / "netlist.npz"))
    wiring = wiring_of(
        manifest, found, interface=interface, clock_mhz=clock_mhz, baud=baud, gap_ms=gap_ms
    )
    templates = sorted(data_dir("rtl_templates").glob("*.v"))
    luts = folder.path / LUTS
    key = key_of(
        step="board",
        board=repr(wiring),
        target=repr(target),
        seed=seed,
        rtl=file_sha256(rtl_of_target(folder, target)[0] / "manifest.json"),
        netlist=file_sha256(folder.path / "netlist.npz"),
        luts=file_sha256(luts) if luts.is_file() else None,
        templates=[file_sha256(path) for path in templates],
        tools=registry.versions(["yosys", f"nextpnr-{target.family}"]),
    )
    asked = {"clock_mhz": clock_mhz, "baud": baud, "seed": seed}
    result = folder.run(
        f"board.{name}", key, lambda: _build(folder, wiring, target, seed, asked, progress)
    ).result
    if result["fits"]:
        result["program"] = _program(found, folder.path / result["bitstream"])
    return result
