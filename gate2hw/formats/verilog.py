"""Structural Verilog, ours and the simple kind that others write (EPFL, ABC, Yosys `-noexpr`).

Read: one module of scalar and vector ports, ``assign`` of & | ^ ~ and ?: over single bits, wires
with initial expressions, and the primitives and, or, nand, nor, xor, xnor, buf, not. Vectors are
read bit by bit, the lowest first. Anything clocked, hierarchical or behavioural is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gate2hw.errors import ModelFileError
from gate2hw.formats.collector import MAX_FREE_INPUTS, Collector
from gate2hw.formats.expressions import ExpressionError, steps_of_shape
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.source_text import read_source

__all__ = ["KEYWORDS", "SIMPLE", "read_verilog"]

# an escaped name is kept between two marks while the file is taken apart
_MARK: Final = "\x01"
_IDENTIFIER: Final = rf"(?:[A-Za-z_][\w$]*|{_MARK}\d+{_MARK})"
_OPERAND: Final = re.compile(rf"({_IDENTIFIER}(?:\[\d+\])?)", re.ASCII)
_SPACED_INDEX: Final = re.compile(r"\s*\[\s*(\d+)\s*\]", re.ASCII)
SIMPLE: Final = re.compile(r"[A-Za-z_][\w$]*", re.ASCII)
_LVALUE: Final = re.compile(rf"({_IDENTIFIER})(?:\[(\d+)\])?", re.ASCII)
_CONSTANT: Final = re.compile(r"1'[bBdDhHoO]([01])(?!\w)")
_SKIPPED: Final = re.compile(
    r"(?P<escaped>\\\S+)|//[^\n]*|/\*.*?\*/|\(\*(?!\s*\)).*?\*\)|(?P<open>/\*)"
    r"|`(?:timescale|default_nettype|celldefine|endcelldefine|resetall)[^\n]*",
    re.DOTALL,
)
_MODULE: Final = re.compile(
    rf"\s*module\s+({_IDENTIFIER})\s*(?:\((.*)\))?\s*", re.ASCII | re.DOTALL
)
_DECLARATION: Final = re.compile(
    r"\s*(input|output|wire|logic)\b\s*(?:(?:wire|logic)\b)?\s*(?:\[([^\]]*)\])?(.*)",
    re.ASCII | re.DOTALL,
)
_RANGE: Final = re.compile(r"\s*(\d{1,10})\s*:\s*(\d{1,10})\s*")
_INSTANCE: Final = re.compile(rf"\s*(?:{_IDENTIFIER})?\s*\(([^()]*)\)\s*", re.ASCII)
_PRIMITIVES: Final = {
    "and": ("&", ""),
    "nand": ("&", "~"),
    "or": ("|", ""),
    "nor": ("|", "~"),
    "xor": ("^", ""),
    "xnor": ("^", "~"),
    "buf": ("", ""),
    "not": ("", "~"),
}
KEYWORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "always and assign begin buf case else end endcase endmodule for function if initial inout"
        " input logic module nand negedge nor not or output parameter posedge reg supply0 supply1"
        " task tri wand wire wor xnor xor",
    )
)


class _Reader:
    """One file; `place` arguments are offsets in `text`, for line numbers."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.escaped: dict[str, int] = {}
        self.text = self._stripped(text)
        self.collector = Collector(self.fail)
        self.widths: dict[str, tuple[int, int] | None] = {}
        self.ports: list[str] = []
        self.directions: dict[str, str] = {}
        self.n_free = max(MAX_FREE_INPUTS, len(text))

    def fail(self, place: int, what: str) -> ModelFileError:
        for name, number in self.escaped.items() if _MARK[0] in what or r"\x01" in what else ():
            for mark in (_MARK, r"\x01"):  # as they are, or as repr shows them
                what = what.replace(f"{mark}{number}{mark}", name)
        what = what.replace(_MARK, "?").replace("\n", " ")
        line = f", line {self.text.count(chr(10), 0, place) + 1}" if place >= 0 else ""
        return ModelFileError(f"{self.path}{line}: {what}")

    def _stripped(self, text: str) -> str:
        """Without comments, attributes and harmless directives; lines keep their numbers."""
        self.text = text

        def replaced(match: re.Match[str]) -> str:
            if match["open"]:
                raise self.fail(match.start(), "a comment is never closed")
            if not match["escaped"]:
                return "\n" * match[0].count("\n") or " "
            name = match[0][1:]
            if SIMPLE.fullmatch(name) and name not in KEYWORDS:
                return name
            return f"{_MARK}{self.escaped.setdefault(name, len(self.escaped))}{_MARK}"

        if _MARK in text:
            raise self.fail(text.index(_MARK), "it holds a control character")
        return _SKIPPED.sub(replaced, text) if re.search(r"[\\/`]|\(\*", text) else text

    def statements(self) -> Iterator[tuple[int, str]]:
        """(offset, text) of every statement, without its semicolon."""
        at = 0
        while (end := self.text.find(";", at)) >= 0:
            yield at, self.text[at:end]
            at = end + 1
        yield at, self.text[at:]

    def read(self) -> Netlist:
        is_open = False
        for start, statement in self.statements():
            body = statement.lstrip()
            place = start + len(statement) - len(body)
            word = body[: _word_length(body)]
            if not is_open:
                self._module(place, body)
                is_open = True
            elif word == "assign":
                self._assigns(place, body[6:])
            elif word in ("wire", "input", "output", "logic"):
                self._declaration(place, body)
            elif word in _PRIMITIVES:
                self._instances(place, word, body[len(word) :])
            elif word == "endmodule":
                rest = body[9:].strip()
                if rest or start + len(statement) < len(self.text):
                    raise self.fail(place, "something follows endmodule; one module is read")
                return self._netlist()
            elif body:
                raise self.fail(
                    place,
                    f"{(word or body[:20])!r} is no structural combinational Verilog; read are "
                    "assign, wire, and, or, nand, nor, xor, xnor, buf, not",
                )
        raise self.fail(len(self.text), "the file is cut short: it has no endmodule")

    def _module(self, place: int, body: str) -> None:
        match = _MODULE.fullmatch(body)
        if match is None:
            raise self.fail(place, "it does not begin with 'module NAME ( ports );'")
        ports = match[2]
        if ports is None or not ports.strip():
            return
        if re.match(r"\s*(?:input|output|inout)\b", ports):
            # a declaration goes on until the next direction
            for part in re.split(r",(?=\s*(?:input|output|inout)\b)", ports):
                self._declaration(place, part, is_port=True)
            return
        for name in ports.split(","):
            if not re.fullmatch(_IDENTIFIER, name.strip(), re.ASCII):
                raise self.fail(place, f"{name.strip()[:40]!r} is no plain port name")
            self.ports.append(name.strip())

    def _declaration(self, place: int, body: str, *, is_port: bool = False) -> None:
        match = _DECLARATION.fullmatch(body)
        if match is None:
            raise self.fail(place, f"{' '.join(body.split())[:40]!r} is no input, output or wire")
        kind, span, rest = match.groups()
        width = self._width(place, span) if span is not None else None
        for item in rest.split(","):
            name, equals, value = item.partition("=")
            name = name.strip()
            if not re.fullmatch(_IDENTIFIER, name, re.ASCII) or name in KEYWORDS:
                raise self.fail(place, f"{name[:40]!r} cannot be declared")
            if kind in ("input", "output"):
                if name in self.directions:
                    raise self.fail(place, f"port {name!r} is declared twice")
                self.directions[name] = kind
                if is_port or name not in self.ports:
                    if not is_port and self.ports:
                        raise self.fail(place, f"{name!r} is not in the list of ports")
                    self.ports.append(name)
            if width is not None and self.widths.get(name, width) != width:
                raise self.fail(place, f"{name!r} is declared with two widths")
            if width is not None or name not in self.widths:
                self.widths[name] = width
            if equals:
                self._assign(place, name, value)

    def _width(self, place: int, span: str) -> tuple[int, int]:
        match = _RANGE.fullmatch(span)
        if match is None:
            text = " ".join(span.split())[:20]
            raise self.fail(place, f"[{text}] is no plain range [high:low]")
        high, low = int(match[1]), int(match[2])
        if abs(high - low) >= self.n_free:
            raise self.fail(
                place,
                f"a vector of {abs(high - low) + 1:,} bits is declared in a file of "
                f"{len(self.text):,} characters",
            )
        self.n_free -= abs(high - low)
        return high, low

    def _bits(self, name: str) -> list[str]:
        """The bits of a port, lowest first."""
        width = self.widths.get(name)
        if width is None:
            return [name]
        high, low = width
        step = 1 if high >= low else -1
        return [f"{name}[{i}]" for i in range(low, high + step, step)]

    def _assigns(self, place: int, body: str) -> None:
        for item in body.split(",") if "," in body else (body,):
            target, equals, value = item.partition("=")
            if not equals:
                raise self.fail(place, f"{item.strip()[:40]!r} assigns nothing")
            self._assign(place, target, value)

    def _signal(self, place: int, text: str) -> str:
        """Name of one bit that is defined; vectors must be indexed and the index inside."""
        match = _LVALUE.fullmatch(_SPACED_INDEX.sub(r"[\1]", text).strip())
        if match is None:
            raise self.fail(place, f"{text.strip()[:40]!r} is no signal or single bit")
        name, index = match.groups()
        self._check_bit(place, name, index)
        return match[0]

    def _check_bit(self, place: int, name: str, index: str | None) -> None:
        width = self.widths.get(name)
        if width is None:
            if index is not None:
                raise self.fail(place, f"{name!r} is no vector, but bit {index[:12]} of it is used")
        elif index is None:
            raise self.fail(place, f"{name!r} is a vector; only single bits are read")
        elif not min(width) <= int(index[:12]) <= max(width):
            raise self.fail(place, f"bit {index[:12]} of {name!r} is outside its range")

    def _assign(self, place: int, target: str, value: str) -> None:
        self._define(place, self._signal(place, target), value)

    def _define(self, place: int, target: str, value: str) -> None:
        if "'" in value:
            value = _CONSTANT.sub(r"\1", value)
        if "[" in value:
            value = _SPACED_INDEX.sub(r"[\1]", value)
        # split with a group gives operands at the odd places
        pieces = _OPERAND.split(value)
        operands = pieces[1::2]
        for operand in operands:
            if operand[-1] == "]":
                name, _, index = operand[:-1].partition("[")
                self._check_bit(place, name, index)
            elif self.widths.get(operand) is not None:
                self._check_bit(place, operand, None)
        try:
            steps = steps_of_shape("".join("$".join(pieces[0::2]).split()))
        except ExpressionError as error:
            raise self.fail(
                place, f"{' '.join(value.split())[:40]!r} cannot be read: {error}"
            ) from error
        self.collector.define(target, steps, operands, place)

    def _instances(self, place: int, word: str, body: str) -> None:
        operator, flip = _PRIMITIVES[word]
        at = 0
        while True:
            match = _INSTANCE.match(body, at)
            if match is None:
                raise self.fail(place, f"{word}{body[:40]!r} is no list of instances")
            pins = [pin.strip() for pin in match[1].split(",")]
            if len(pins) < 2 or (operator and len(pins) < 3) or "" in pins:
                raise self.fail(place, f"{word} with {len(pins)} pins")
            if operator:
                targets, value = pins[:1], operator.join(f"({pin})" for pin in pins[1:])
            else:
                targets, value = pins[:-1], pins[-1]
            for target in targets:
                self._define(place, self._signal(place, target), f"{flip}({value})")
            at = match.end()
            if at == len(body):
                return
            if body[at] != ",":
                raise self.fail(place, f"{body[at : at + 20]!r} is not expected there")
            at += 1

    def _netlist(self) -> Netlist:
        for port in self.ports:
            if port not in self.directions:
                raise self.fail(0, f"port {port!r} is never declared as input or output")
        inputs, outputs = (
            [bit for p in self.ports if self.directions[p] == kind for bit in self._bits(p)]
            for kind in ("input", "output")
        )
        back = {f"{_MARK}{number}{_MARK}": name for name, number in self.escaped.items()}

        def names(bits: list[str], letter: str) -> tuple[str, ...]:
            if bits == [f"{letter}[{i}]" for i in range(len(bits))]:
                return ()
            return tuple(re.sub(rf"{_MARK}\d+{_MARK}", lambda m: back[m[0]], bit) for bit in bits)

        given = Names(inputs=names(inputs, "x"), outputs=names(outputs, "y"))
        return self.collector.netlist(inputs, outputs, given)


def _word_length(body: str) -> int:
    match = SIMPLE.match(body)
    return match.end() if match else 0


def read_verilog(path: Path | str) -> Netlist:
    """Read one structural module; see the module's text for what is understood.

    Inputs and outputs are the ports in order; their names are kept, but for vectors ``x`` and
    ``y``. Raises ModelFileError, naming the line, for anything else.
    """
    path = Path(path)
    text = read_source(path, "Verilog")
    return _Reader(path, text).read()
