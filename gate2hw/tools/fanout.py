"""The greatest fan-outs of a mapped netlist, from the JSON that Yosys wrote for place and route."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import ToolFailedError

__all__ = ["FanOut", "fan_outs"]

_CLOCKS: Final = (
    (re.compile(r"SB_DFF"), "C"),
    (re.compile(r"TRELLIS_FF"), "CLK"),
)
"""Cells whose pin makes a net a clock: it has wires of its own, and says nothing here."""
_MADE_UP: Final = re.compile(r"\$|_(SB_[A-Z0-9]+|LUT4|CCU2C|PFUMX|L6MUX21|TRELLIS_FF)_")
"""In names that synthesis made up from what it found around a net."""


@dataclass(frozen=True)
class FanOut:
    """A net and how many pins of cells read it; `names` are all that it has, the plainest first."""

    names: tuple[str, ...]
    n_sinks: int


def fan_outs(json_path: Path, top: str, *, most: int = 5) -> list[FanOut]:
    """The `most` nets of module `top` that most pins read, clocks and constants aside.

    Raises ToolFailedError where the file is not what Yosys writes.
    """
    try:
        module = json.loads(json_path.read_text(encoding="utf-8"))["modules"][top]
        n_sinks: Counter[int] = Counter()
        clocks: set[int] = set()
        for cell in module["cells"].values():
            for port, bits in _inputs(cell):
                wires = [bit for bit in bits if isinstance(bit, int)]
                n_sinks.update(wires)
                if any(kind.match(cell["type"]) and port == pin for kind, pin in _CLOCKS):
                    clocks.update(wires)
        for clock in clocks:
            del n_sinks[clock]
        # ties in the order of the numbers that Yosys gave
        found = sorted(n_sinks.items(), key=lambda entry: (-entry[1], entry[0]))[:most]
        names = _names(module, {bit for bit, _ in found})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(f"{json_path}: not a netlist that Yosys wrote: {error!r}") from error
    return [FanOut(names[bit], count) for bit, count in found]


def _inputs(cell: Mapping[str, Any]) -> Iterator[tuple[str, list[int | str]]]:
    directions = cell["port_directions"]
    for port, bits in cell["connections"].items():
        if directions[port] == "input":
            yield port, bits


def _names(module: Mapping[str, Any], wanted: set[int]) -> dict[int, tuple[str, ...]]:
    """The names of each wanted bit: those that were written, not made up, first; then the short."""
    found: dict[int, list[tuple[bool, int, str]]] = {bit: [] for bit in wanted}
    for name, net in module["netnames"].items():
        bits = net["bits"]
        for place, bit in enumerate(bits):
            if bit in found:
                text = name if len(bits) == 1 else f"{name}[{place}]"
                is_made_up = bool(net["hide_name"]) or _MADE_UP.search(name) is not None
                found[bit].append((is_made_up, len(text), text))
    return {
        bit: tuple(name for _, _, name in sorted(names)) or (f"net {bit}",)
        for bit, names in found.items()
    }
