"""Lines of the Verilog of gate clouds: expressions and names, a block of gates at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.ir.byte_lines import Bytes, choices, join_lines, numerals
from gate2hw.ir.gates import EXPRESSIONS

__all__ = ["TEMPLATES", "gate_lines", "names"]


def _template(expression: str) -> str:
    """The Verilog expression as a format string: {0} stands for a, {1} for b."""
    if expression in ("0", "1"):
        return f"1'b{expression}"
    return re.sub(r"\b[ab]\b", lambda match: "{0}" if match[0] == "a" else "{1}", expression)


TEMPLATES: Final = tuple(_template(expression) for expression in EXPRESSIONS)
"""By tt: the expression as a format string of the names of operands 0 and 1."""


def _pieces() -> list[list[str]]:
    """What stands before, between and after the operands, by tt; the ``n`` of a name included."""
    pieces = []
    for template in TEMPLATES:
        before, between, after = "", "", template
        if "{0}" in after:
            before, after = after.split("{0}")
            before += "n"
        if "{1}" in after:
            between, after = after.split("{1}")
            between += "n"
        pieces.append([before, between, after])
    return pieces


_BEFORE, _BETWEEN, _AFTER = (choices(column) for column in zip(*_pieces(), strict=True))
_NAMED: Final = np.array([[f"{{{slot}}}" in text for text in TEMPLATES] for slot in (0, 1)])
_DELAYED: Final = choices(["", "_r"])


def names(nodes: npt.NDArray[Any], delays: npt.NDArray[Any]) -> list[Bytes]:
    """Columns of the names of (n,) nodes, the leading ``n`` left out: ``12``, or ``12_r3``."""
    columns = [numerals(nodes)]
    if delays.any():
        columns.append(_DELAYED[np.minimum(delays, 1)])
        columns.append(np.where(delays[:, None] > 0, numerals(delays), np.uint8(0)))
    return columns


def gate_lines(
    first_node: int,
    tt: npt.NDArray[np.uint8],
    operands: Sequence[npt.NDArray[Any]],
    delays: Sequence[npt.NDArray[Any]] | None,
) -> str:
    """A wire for each of n gates: nodes first_node and up, `tt` (n,), two `operands` (n,) nodes.

    `delays` says after how many registers each operand is read; None is none at all.
    """
    columns: list[str | Bytes] = []
    node = np.arange(first_node, first_node + len(tt))
    columns += ["  wire n", numerals(node), " = "]
    for slot, piece in enumerate((_BEFORE, _BETWEEN)):
        columns.append(piece.take(tt, axis=0))
        name = [numerals(operands[slot])] if delays is None else names(operands[slot], delays[slot])
        is_named = _NAMED[slot][tt]
        if not is_named.all():
            name = [np.where(is_named[:, None], column, np.uint8(0)) for column in name]
        columns += name
    return join_lines(*columns, _AFTER.take(tt, axis=0), ";\n")
