"""Boolean expressions of Verilog and C as two-input functions.

The text of an expression is split into its operands and its shape, such as ``~$&$``; a shape is
taken apart once, however many gates have it. Bit parallel: ``~0`` is all ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from gate2hw.ir.gates import (
    CONST_0,
    CONST_1,
    TT_A,
    TT_AND,
    TT_NOT_A,
    TT_OR,
    TT_XOR,
    complement_inputs,
)

__all__ = ["ExpressionError", "Steps", "steps_of_shape"]

Steps: TypeAlias = tuple[tuple[int, int, int], ...]
"""Functions (tt, a, b): numbers below the number of operands are operands, then steps."""

MAX_NESTING: Final = 60
_COMPLEMENTED: Final[list[list[int]]] = complement_inputs.tolist()
_TOKEN: Final = re.compile(r"~\^|\^~|\|\||&&|[$01~!&|^()?:]")
# Verilog and C agree: ! ~ bind closest, then & ^ |, then && and ||, then ?:
_BINDING: Final = {"||": 0, "&&": 1, "|": 2, "^": 3, "~^": 3, "^~": 3, "&": 4}
_ZERO, _ONE = -2, -1


class ExpressionError(Exception):
    """A shape that is no expression; the text says why."""


class _Parser:
    """Recursive descent over the tokens of one shape; values are literals."""

    def __init__(self, shape: str) -> None:
        self.tokens = _TOKEN.findall(shape)
        if sum(map(len, self.tokens)) != len(shape):
            odd = _TOKEN.sub("", shape)
            raise ExpressionError(f"{odd[:20]!r} is no operator of a combinational expression")
        self.at = 0
        self.depth = 0
        self.n_operands = self.tokens.count("$")
        self.n_read = 0
        self.steps: list[tuple[int, int, int]] = []

    def parse(self) -> Steps:
        result = self.choice()
        if self.at < len(self.tokens):
            raise ExpressionError(f"{self.tokens[self.at]!r} is not expected there")
        if result < 0:
            return (*self.steps, (CONST_1 if result == _ONE else CONST_0, -1, -1))
        if self.steps and result >> 1 == self.n_operands + len(self.steps) - 1:
            tt, left, right = self.steps[-1]
            self.steps[-1] = (tt ^ (15 * (result & 1)), left, right)
        else:
            self.steps.append((TT_NOT_A if result & 1 else TT_A, result >> 1, result >> 1))
        return tuple(self.steps)

    def gate(self, tt: int, a: int, b: int) -> int:
        """A gate of two literals; constants are folded."""
        if a < 0 or b < 0:
            return self.folded(tt, a, b)
        self.steps.append((_COMPLEMENTED[2 * (a & 1) + (b & 1)][tt], a >> 1, b >> 1))
        return 2 * (self.n_operands + len(self.steps) - 1)

    @staticmethod
    def folded(tt: int, a: int, b: int) -> int:
        if a < 0 and b < 0:
            return -2 + (tt >> (2 * (a + 2) + (b + 2)) & 1)
        other = b if a < 0 else a
        rest = [tt >> (2 * (a + 2) + v if a < 0 else 2 * v + (b + 2)) & 1 for v in (0, 1)]
        return -2 + rest[0] if rest[0] == rest[1] else other ^ rest[0]

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            raise ExpressionError("it ends too early")
        self.at += 1
        return token

    def nested(self, read: Callable[[], int]) -> int:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(f"it is nested more than {MAX_NESTING} deep")
        result = read()
        self.depth -= 1
        return result

    def choice(self) -> int:
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        yes = self.nested(self.choice)
        if self.take() != ":":
            raise ExpressionError("':' is missing after '?'")
        no = self.nested(self.choice)
        on = self.gate(TT_AND, condition, yes)
        return self.gate(TT_OR, on, self.gate(TT_AND, condition ^ 1, no))

    def binary(self, level: int) -> int:
        """Operators that bind at least as close as `level`."""
        left = self.unary()
        while (bound := _BINDING.get(self.peek(), -1)) >= level:
            operator = self.take()
            right = self.binary(bound + 1)
            if "&" in operator:
                left = self.gate(TT_AND, left, right)
            elif "|" in operator:
                left = self.gate(TT_OR, left, right)
            else:
                left = self.gate(TT_XOR, left, right) ^ ("~" in operator)
        return left

    def unary(self) -> int:
        flips = 0
        while self.peek() in ("~", "!"):
            self.take()
            flips ^= 1
        token = self.take()
        if token == "$":
            self.n_read += 1
            return 2 * (self.n_read - 1) ^ flips
        if token in "01":
            return (-2 + int(token)) ^ flips
        if token == "(":
            inner = self.nested(self.choice)
            if self.take() != ")":
                raise ExpressionError("')' is missing")
            return inner ^ flips
        raise ExpressionError(f"{token!r} stands where a signal should")


@lru_cache(maxsize=1 << 14)
def steps_of_shape(shape: str) -> Steps:
    """The functions of an expression, `shape` without blanks; ``$`` stands for an operand.

    Operands are numbered in order of appearance; the last step is the value. Raises
    ExpressionError for what is no expression of & | ^ ~^ ~ ! && || ?: ( ) 0 and 1.
    """
    return _Parser(shape).parse()
