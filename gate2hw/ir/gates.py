"""The table of the 16 two-input functions; every other table of gate2hw is generated from it.

A truth table `tt` is a 4-bit number whose bit ``2*a + b`` is f(a, b): AND = 8, XOR = 6, A = 12,
B = 10 (DESIGN.md, part 2).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANF",
    "CONST_0",
    "CONST_1",
    "EXPRESSIONS",
    "NAMES",
    "TABLE",
    "TT_A",
    "TT_AND",
    "TT_B",
    "TT_NOT_A",
    "TT_NOT_B",
    "TT_OR",
    "TT_XOR",
    "complement_inputs",
    "is_trivial",
    "reverse_address",
    "swap_inputs",
    "tt_of_name",
]

TABLE: Final[tuple[tuple[int, str, str], ...]] = (
    (0, "FALSE", "0"),
    (1, "NOR", "~(a | b)"),
    (2, "NOT_A_AND_B", "~a & b"),
    (3, "NOT_A", "~a"),
    (4, "A_AND_NOT_B", "a & ~b"),
    (5, "NOT_B", "~b"),
    (6, "XOR", "a ^ b"),
    (7, "NAND", "~(a & b)"),
    (8, "AND", "a & b"),
    (9, "XNOR", "~(a ^ b)"),
    (10, "B", "b"),
    (11, "NOT_A_OR_B", "~a | b"),
    (12, "A", "a"),
    (13, "A_OR_NOT_B", "a | ~b"),
    (14, "OR", "a | b"),
    (15, "TRUE", "1"),
)
"""(truth table, name, Verilog expression in a and b), in order of truth table."""

NAMES: Final[tuple[str, ...]] = tuple(name for _, name, _ in TABLE)
EXPRESSIONS: Final[tuple[str, ...]] = tuple(text for _, _, text in TABLE)

_TT_OF_NAME: Final[dict[str, int]] = {name: tt for tt, name, _ in TABLE}


def tt_of_name(name: str) -> int:
    """Return the truth table of a function name; KeyError for an unknown one."""
    return _TT_OF_NAME[name]


CONST_0: Final = tt_of_name("FALSE")
CONST_1: Final = tt_of_name("TRUE")
TT_AND: Final = tt_of_name("AND")
TT_OR: Final = tt_of_name("OR")
TT_XOR: Final = tt_of_name("XOR")
TT_A: Final = tt_of_name("A")
TT_B: Final = tt_of_name("B")
TT_NOT_A: Final = tt_of_name("NOT_A")
TT_NOT_B: Final = tt_of_name("NOT_B")

_ALL: Final = np.arange(16, dtype=np.uint8)


def _bit(tt: npt.NDArray[np.uint8], a: int, b: int) -> npt.NDArray[np.uint8]:
    return (tt >> np.uint8(2 * a + b)) & np.uint8(1)


def _table(f: object) -> npt.NDArray[np.uint8]:
    table = np.asarray(f, dtype=np.uint8)
    table.setflags(write=False)
    return table


def _permuted(source: tuple[tuple[int, int], ...]) -> npt.NDArray[np.uint8]:
    """Table over all tt: new f at address i is old f at the (a, b) of source[i]."""
    new = np.zeros(16, dtype=np.uint8)
    for address, (a, b) in enumerate(source):
        new |= _bit(_ALL, a, b) << np.uint8(address)
    return new


swap_inputs: Final = _table(_permuted(((0, 0), (1, 0), (0, 1), (1, 1))))
"""(16,) uint8: swap_inputs[tt] computes f(b, a)."""

complement_inputs: Final = _table(
    [
        _ALL,
        _permuted(((0, 1), (0, 0), (1, 1), (1, 0))),
        _permuted(((1, 0), (1, 1), (0, 0), (0, 1))),
        _permuted(((1, 1), (1, 0), (0, 1), (0, 0))),
    ]
)
"""(4, 16) uint8: complement_inputs[2*ca + cb, tt] computes f(a ^ ca, b ^ cb)."""

reverse_address: Final = _table(_permuted(((1, 1), (1, 0), (0, 1), (0, 0))))
"""(16,) uint8: the 4-bit reverse; converts difflogic's gate ids to truth tables and back."""

is_trivial: Final[npt.NDArray[np.bool_]] = _table(
    [int(tt in (CONST_0, CONST_1, TT_A, TT_B, TT_NOT_A, TT_NOT_B)) for tt, _, _ in TABLE]
).view(np.bool_)
"""(16,) bool: constants, wires and inverters, which cost no gate after folding."""


def _anf() -> npt.NDArray[np.uint8]:
    f00, f01 = _bit(_ALL, 0, 0), _bit(_ALL, 0, 1)
    f10, f11 = _bit(_ALL, 1, 0), _bit(_ALL, 1, 1)
    return np.stack([f00, f00 ^ f10, f00 ^ f01, f00 ^ f01 ^ f10 ^ f11], axis=1)


ANF: Final = _table(_anf())
"""(16, 4) uint8: f = c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b)."""
