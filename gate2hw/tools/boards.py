"""The boards: pins, clock and lines of each, read from `flows/boards/<name>/board.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from gate2hw.errors import InputError, nearest
from gate2hw.tools.resources import data_dir
from gate2hw.tools.targets import load_target

__all__ = ["Board", "Interface", "Light", "Pll", "boards", "load_board"]

Interface: TypeAlias = Literal["uart", "spi"]
Pll: TypeAlias = Literal["pll40_pad", "pll40_core", "ecp5_pll"]

_PLLS = ("pll40_pad", "pll40_core", "ecp5_pll")
_LINES: dict[str, tuple[str, ...]] = {
    "uart": ("rx", "tx"),
    "spi": ("sck", "cs_n", "mosi", "miso"),
}
_TEXTS = ("description", "target", "clock_pin", "pll", "program")
_OPTIONAL_TEXTS = ("io_type", "tied_high")
_KEYS = (*_TEXTS, *_OPTIONAL_TEXTS, "clock_mhz", "leds", *_LINES)
_PIN = re.compile(r"[A-Z]{0,2}[0-9]{1,2}")
_MOST_LEDS = 10
"""Heartbeat, fault, and a class of 8 bits."""


@dataclass(frozen=True)
class Light:
    """An LED: its pin, and whether it is on when the pin is low."""

    pin: str
    is_low: bool


@dataclass(frozen=True)
class Board:
    """A board. `lines` has a map from port to pin for each interface: ``uart_rx``, ``spi_sck``.

    `clock_mhz` is the oscillator's; `pll` says which primitive makes other clocks of it. `lights`
    are the heartbeat, the fault light, then bits of the class, as many as there are. `tied_high` is
    a pin that must be driven high, or empty; `program` the command that loads ``{bitstream}``.
    """

    name: str
    description: str
    target: str
    clock_mhz: float
    clock_pin: str
    pll: Pll
    program: str
    lights: tuple[Light, ...]
    lines: dict[str, dict[str, str]]
    baud: int
    io_type: str
    tied_high: str

    def pins(self, interface: Interface) -> dict[str, str]:
        """Pin of each port of the board's top level."""
        pins = {"clk_in": self.clock_pin, **self.lines[interface]}
        if self.tied_high:
            pins["tied_high"] = self.tied_high
        many = len(self.lights) > 1
        pins |= {f"led[{i}]" if many else "led": e.pin for i, e in enumerate(self.lights)}
        return pins


def boards() -> list[Board]:
    """All shipped boards, sorted by name."""
    return [load_board(name) for name in _names()]


def load_board(name: str) -> Board:
    """The board called `name`.

    Raises:
        InputError: there is no such board, or its file is not as it must be.
    """
    if name not in _names():
        raise InputError(f"unknown board {name!r}; {nearest(name, _names())}")
    path = data_dir("flows") / "boards" / name / "board.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
    return _from_table(name, table, path)


def _names() -> list[str]:
    return sorted(path.parent.name for path in data_dir("flows").glob("boards/*/board.toml"))


def _from_table(name: str, table: dict[str, Any], path: Path) -> Board:
    for key in table:
        if key not in _KEYS:
            raise InputError(f"{path}: unknown key {key!r}; {nearest(key, _KEYS)}")
    for key in (*_TEXTS, "clock_mhz", "leds", "uart"):
        if key not in table:
            raise InputError(f"{path}: the key {key!r} is missing")
    for key in (*_TEXTS, *_OPTIONAL_TEXTS):
        if not isinstance(table.get(key, ""), str):
            raise InputError(f"{path}: {key} must be a string, not {table[key]!r}")
    if table["pll"] not in _PLLS:
        raise InputError(f"{path}: pll {table['pll']!r}; {nearest(table['pll'], _PLLS)}")
    clock = table["clock_mhz"]
    if type(clock) not in (int, float) or not clock > 0:
        raise InputError(f"{path}: clock_mhz must be a positive number, not {clock!r}")
    for kind in _LINES:
        if not isinstance(table.get(kind, {}), dict):
            raise InputError(f"{path}: [{kind}] must be a table of pins, not {table[kind]!r}")
    baud = table["uart"].get("baud")
    if type(baud) is not int or baud <= 0:
        raise InputError(f"{path}: uart.baud must be a positive whole number, not {baud!r}")
    leds = table["leds"]
    if not (isinstance(leds, list) and all(isinstance(led, str) for led in leds)):
        raise InputError(f"{path}: leds must be a list of pins, not {leds!r}")
    if not 1 <= len(leds) <= _MOST_LEDS:
        raise InputError(f"{path}: give 1 to {_MOST_LEDS} leds, not {len(leds)}")
    _check_family(table, path)
    board = Board(
        name=name,
        **{key: table[key] for key in _TEXTS},
        **{key: table.get(key, "") for key in _OPTIONAL_TEXTS},
        clock_mhz=float(clock),
        baud=baud,
        lights=tuple(Light(led.removeprefix("!"), led.startswith("!")) for led in leds),
        lines={kind: _line(kind, table[kind], path) for kind in _LINES if kind in table},
    )
    _check_pins(board, path)
    return board


def _check_family(table: dict[str, Any], path: Path) -> None:
    """PLL and kind of pins must be those of the target's family, and the program a command."""
    is_ecp5 = load_target(table["target"]).family == "ecp5"
    if (table["pll"] == "ecp5_pll") != is_ecp5:
        raise InputError(f"{path}: {table['target']} has no {table['pll']}")
    if bool(table.get("io_type")) != is_ecp5:
        needs = "needs an" if is_ecp5 else "has no"
        raise InputError(f"{path}: {table['target']} {needs} io_type (such as LVCMOS33, ECP5 only)")
    try:
        if "BITS" not in table["program"].format(bitstream="BITS"):
            raise KeyError("bitstream")
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{path}: program must be a command with {{bitstream}} in it and no other braces, "
            f"not {table['program']!r}"
        ) from error


def _line(kind: str, table: dict[str, Any], path: Path) -> dict[str, str]:
    wanted = _LINES[kind]
    found = {key for key in table if key != "baud"}
    if found != set(wanted):
        raise InputError(f"{path}: [{kind}] needs the pins {', '.join(wanted)}")
    return {f"{kind}_{end}": str(table[end]) for end in wanted}


def _check_pins(board: Board, path: Path) -> None:
    for interface in get_args(Interface):
        if interface not in board.lines:
            continue
        pins = board.pins(interface)
        for port, pin in pins.items():
            if not _PIN.fullmatch(pin):
                raise InputError(f"{path}: {port} is {pin!r}, which is no name of a pin")
        double = sorted({p for p in pins.values() if [*pins.values()].count(p) > 1})
        if double:
            raise InputError(f"{path}: two ports of {interface} share the pin {double[0]}")
