"""Boolean functions as Liberty writes them: ``"(!((A B)+C))"``, ``"A' * B ^ C"``.

Operators, tightest first: ``'`` after and ``!`` before an operand, ``^``, AND (``*``, ``&`` or
nothing between operands), OR (``+`` or ``|``), as the Liberty user guide orders them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError

__all__ = ["Function", "Words", "parse_function"]

Words: TypeAlias = npt.NDArray[np.uint64]
Kind: TypeAlias = Literal["pin", "const", "not", "and", "or", "xor"]

_TOKEN: Final = re.compile(r"\s*([A-Za-z_][\w$.\[\]]*|[01](?!\w)|[!'^*&+|()])")
_ONES: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
MAX_TABLE_PINS: Final = 6


@dataclass(frozen=True)
class Function:
    """A Boolean expression: a pin, a constant, or an operator over `parts`."""

    kind: Kind
    name: str = ""
    parts: tuple[Function, ...] = ()

    def pins(self) -> tuple[str, ...]:
        """The pins that the expression reads, in order of their names."""
        found = {self.name} if self.kind == "pin" else set()
        for part in self.parts:
            found.update(part.pins())
        return tuple(sorted(found))

    def evaluate(self, values: Mapping[str, Words]) -> Words:
        """The function of `values`, uint64 words of one shape; KeyError for a missing pin."""
        if self.kind == "pin":
            return values[self.name]
        if self.kind == "const":
            shape = next(iter(values.values())).shape if values else (1,)
            return np.full(shape, _ONES if self.name == "1" else np.uint64(0))
        found = [part.evaluate(values) for part in self.parts]
        if self.kind == "not":
            return ~found[0]
        result = found[0]
        for other in found[1:]:
            if self.kind == "and":
                result = result & other
            elif self.kind == "or":
                result = result | other
            else:
                result = result ^ other
        return result

    def table(self, pins: tuple[str, ...]) -> int:
        """The truth table over at most six `pins`, pin 0 the least significant address bit."""
        if len(pins) > MAX_TABLE_PINS:
            raise ValueError(f"{len(pins)} pins are too many for a table")
        address = np.arange(1 << len(pins), dtype=np.uint64)
        values = {pin: (address >> np.uint64(i)) & np.uint64(1) for i, pin in enumerate(pins)}
        bits = self.evaluate(values or {"": address}) & np.uint64(1)
        return sum(int(bit) << i for i, bit in enumerate(bits.tolist()))


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.wrong(f"{text[at:].strip()[:1]!r} is no operator")
            self.tokens.append(match[1])
            at = match.end()
        self.tokens.append("")
        self.at = 0

    def wrong(self, what: str) -> InputError:
        return InputError(f"{self.where}: the function {self.text!r} cannot be read: {what}")

    @property
    def token(self) -> str:
        return self.tokens[self.at]

    def several(self, kind: Kind, level: int, operators: str) -> Function:
        parts = [self.level(level + 1)]
        while self.token and (
            self.token in operators or (level == 1 and self.token not in "+|^)*&'")
        ):
            if self.token in operators:
                self.at += 1
            parts.append(self.level(level + 1))
        return parts[0] if len(parts) == 1 else Function(kind, parts=tuple(parts))

    def level(self, level: int) -> Function:
        if level == 0:
            return self.several("or", 0, "+|")
        if level == 1:
            return self.several("and", 1, "*&")
        if level == 2:
            return self.several("xor", 2, "^")
        return self.operand()

    def operand(self) -> Function:
        token = self.token
        self.at += 1
        if token == "!":
            return Function("not", parts=(self.operand(),))
        if token == "(":
            found = self.level(0)
            if self.token != ")":
                raise self.wrong("a parenthesis is not closed")
            self.at += 1
        elif token in ("0", "1"):
            found = Function("const", token)
        elif token and (token[0].isalpha() or token[0] == "_"):
            found = Function("pin", token)
        else:
            raise self.wrong(
                f"an operand is missing before {token!r}" if token else "it ends early"
            )
        while self.token == "'":
            self.at += 1
            found = Function("not", parts=(found,))
        return found


def parse_function(text: str, where: str) -> Function:
    """The expression `text`; InputError, naming `where`, for what is none."""
    parser = _Parser(text, where)
    found = parser.level(0)
    if parser.token:
        raise parser.wrong(f"{parser.token!r} is left over")
    return found
