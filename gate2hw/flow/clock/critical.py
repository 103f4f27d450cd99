"""The slowest path of a routed design in the model's words: blocks, layers, neurons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gate2hw.ir.lutnetlist import LutNetlist

__all__ = ["critical"]

_BLOCKS: Final = (
    (r"core\.gates\.", "gates"),
    (r"core\.popcount_\d+\.", "popcount"),
    (r"core\.argmax\.second_", "compare"),
    (r"core\.argmax\.", "select"),
    (r"core\.", "pipeline"),
    (r"receiver\.", "encoder"),
    (r"sender\.", "stream"),
)
"""Names of cells begin with the instance that they stand in."""
_ENABLES: Final = ("CEN", "CE")
_CLASS: Final = re.compile(r"core\.popcount_(\d+)\.[lfn](\d+)")
_OUTPUT: Final = re.compile(r"core\.gates_(?:reg|y)\[(\d+)\]$")
_GATE: Final = re.compile(r"core\.gates\.[lf](\d+)")


def _block(cell: str) -> str:
    return next((name for pattern, name in _BLOCKS if re.match(pattern, cell)), "top")


def _node(node: int, luts: LutNetlist) -> str:
    if node < luts.first_gate:
        return f"input {node - 1}"
    gate = node - luts.first_gate
    is_known = gate < luts.n_luts and 0 <= luts.origin[gate] < len(luts.sites)
    return f"{luts.site_of(gate)} (LUT {node})" if is_known else f"LUT {node} of the gates"


def _place(cell: str, luts: LutNetlist | None) -> str:
    """A cell in words."""
    if (match := _GATE.match(cell)) and luts is not None:
        return _node(int(match[1]), luts)
    if match := _CLASS.match(cell):
        return f"popcount of class {match[1]} (LUT {match[2]})"
    return cell


def critical(path: Sequence[Mapping[str, Any]], luts: LutNetlist | None) -> dict[str, Any]:
    """Where the path that nextpnr reports lies.

    ``block`` is where most of its time goes (``enable`` for a path into a clock enable), ``blocks``
    are the blocks in nanoseconds, ``places`` the cells on it, those of the gate cloud by layer and
    neuron where `luts` says from which they came. An empty path gives ``block`` "unknown".
    """
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
        place = _place(cell, luts)
        if not places or places[-1] != place:
            places.append(place)
        sink = port
    block = max(blocks, key=lambda name: blocks[name], default="unknown")
    return {
        "block": "enable" if sink in _ENABLES else block,
        "blocks": {name: round(time_ns, 3) for name, time_ns in blocks.items()},
        "places": places,
    }
