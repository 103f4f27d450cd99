"""Cells and nets of a mapped design in the model's words: blocks, layers, neurons, features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.tools.fanout import FanOut

__all__ = ["CORE", "Words", "critical", "fan_out"]

CORE: Final = "core"
_BLOCKS: Final = (
    (r"core\.gates\.", "gates"),
    (r"(core|head)\.popcount_\d+\.", "popcount"),
    (r"(core|ranking)\.argmax\.second_", "compare"),
    (r"(core|ranking)\.argmax\.", "select"),
    (r"(core|ranking)\.", "pipeline"),
    (r"(receiver|pixels)\.", "encoder"),
    (r"(sender|verdicts)\.", "stream"),
    (r"head\.", "collector"),
)
"""Names of cells begin with the instance that they stand in."""
_ENABLES: Final = ("CEN", "CE")
_CLASS: Final = re.compile(r"core\.popcount_(\d+)\.[lfn](\d+)")
_STREAM_CLASS: Final = re.compile(r"head\.popcount_(\d+)\.")
_OUTPUT: Final = re.compile(r"core\.gates_(?:reg|y)\[(\d+)\]$")
_GATE: Final = re.compile(r"(\w+)\.gates(?:_\d+)?\.[lfn](\d+)")
_STORED: Final = re.compile(r"receiver\.bit_(\d+)_(\d+)_(\d+)(?!\d)")
_ABOVE: Final = re.compile(r"receiver\.above_(\d+)_(\d+)(?!\d)")
_ARGMAX: Final = re.compile(
    r"(?:core|ranking)\.argmax\.(?:second|index|score)_(?:reg_|compared_)?(\d+)_(\d+)"
)


@dataclass(frozen=True)
class Words:
    """What names mean: `clouds` are the LUTs of each cloud of gates by the instance that holds it
    (`CORE`, or a streamed layer), `features_per_slot` how many features a slot of the bus takes."""

    clouds: Mapping[str, LutNetlist] = field(default_factory=dict)
    features_per_slot: int = 1


def _block(cell: str) -> str:
    known = next((name for pattern, name in _BLOCKS if re.match(pattern, cell)), None)
    # what is left with an instance are the layers of a streaming design
    instance, dot, _ = cell.partition(".")
    return known or (instance if dot else "top")


def _node(node: int, luts: LutNetlist) -> str:
    if node < luts.first_gate:
        return f"input {node - 1}"
    gate = node - luts.first_gate
    is_known = gate < luts.n_luts and 0 <= luts.origin[gate] < len(luts.sites)
    return f"{luts.site_of(gate)} (LUT {node})" if is_known else f"LUT {node} of the gates"


def _place(name: str, words: Words) -> str:
    """A cell or net in words, or its own name."""
    if (match := _GATE.match(name)) and match[1] in words.clouds:
        return _node(int(match[2]), words.clouds[match[1]])
    if match := _CLASS.match(name):
        return f"popcount of class {match[1]} (LUT {match[2]})"
    if match := _STREAM_CLASS.match(name):
        return f"popcount of class {match[1]}"
    if match := _STORED.match(name):
        feature = int(match[3]) * words.features_per_slot + int(match[1])
        return f"stored bit: feature {feature} > {match[2]}"
    if match := _ABOVE.match(name):
        lane = f", lane {match[1]}" if words.features_per_slot > 1 else ""
        return f"encoder: value > {match[2]}{lane}"
    if match := _ARGMAX.match(name):
        return f"argmax, level {match[1]}, pair {match[2]}"
    return name


def fan_out(found: Iterable[FanOut], words: Words) -> list[dict[str, Any]]:
    """Nets with many sinks: their names, and in words where one of the names has a meaning."""
    entries = []
    for one in found:
        said = [place for name in one.names if (place := _place(name, words)) != name]
        entries.append(
            {
                "net": one.names[0],
                "place": said[0] if said else one.names[0],
                "n_sinks": one.n_sinks,
            }
        )
    return entries


def critical(path: Sequence[Mapping[str, Any]], words: Words) -> dict[str, Any]:
    """Where the path that nextpnr reports lies.

    ``block`` is where most of its time goes (``enable`` for a path into a clock enable), ``blocks``
    are the blocks in nanoseconds, ``places`` the cells on it, those of gates by layer and neuron
    where `words` says from which they came. An empty path gives ``block`` "unknown".
    """
    luts = words.clouds.get(CORE)
    blocks: dict[str, float] = {}
    places: list[str] = []
    sink = ""
    for step in path:
        cell, _, port = str(step["to"]).rpartition(".")
        block = _block(cell)
        blocks[block] = blocks.get(block, 0.0) + float(step["delay_ns"])
        if places and luts is not None and (match := _OUTPUT.match(str(step["net"]))):
            # the register of an output has no name of its own, but drives one
            number = int(match[1])
            if places[-1].startswith("core.") and number < luts.n_outputs:
                places[-1] = _node(int(luts.outputs[number]) >> 1, luts)
        place = _place(cell, words)
        if not places or places[-1] != place:
            places.append(place)
        sink = port
    block = max(blocks, key=lambda name: blocks[name], default="unknown")
    return {
        "block": "enable" if sink in _ENABLES else block,
        "blocks": {name: round(time_ns, 3) for name, time_ns in blocks.items()},
        "places": places,
    }
