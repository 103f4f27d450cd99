"""The text form of a Netlist: the language of the tests.

    netlist inputs=3 digest=abc
    encoder shape=(1,1,3) max_value=255
    input 1 feature=0 threshold=127 name="p0"
    site "dense1" gates=1 kernels=2 rows=0 columns=0
    4 = AND 1 2
    5 = XOR 4 3 @0
    class "odd" bias=0: 10 ~4*2
    output 9

Nodes are numbers (0 is constant 0), `~` is a complement, ``*w`` a weight, ``@s`` an origin.
An output is a node, not a literal: ``~4`` is the complement of node 4. Gates stand in order of
node; levels follow from them. `#` starts a comment. A netlist with classes lists its outputs in
its ``class`` lines (and names them in ``name NUMBER "text"`` lines), a plain circuit in ``output``
lines. `luttext.py` is the same language with LUTs for gates.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from gate2hw.errors import IRError, nearest
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import NAMES, tt_of_name
from gate2hw.ir.netlist import Circuit, Encoder, Head, Names, Netlist, SiteLayer, Sites

__all__ = ["CircuitParser", "parse_netlist", "print_ends", "print_netlist", "print_starts"]

_INT32, _INT64 = 2**31 - 1, 2**63 - 1


def print_starts(net: Circuit, header: str) -> Iterator[str]:
    """Yield the lines before the gates: header, encoder, inputs, sites."""
    digest = net.digest
    if digest and not re.fullmatch(r"[\w.-]+", digest, re.ASCII):
        digest = json.dumps(digest)
    yield f"{header} digest={digest}" if digest else header
    encoder, names = net.encoder, net.names
    if encoder is not None:
        shape = ",".join(map(str, encoder.shape))
        yield f"encoder shape=({shape}) max_value={encoder.max_value}"
    for i in range(net.n_inputs if encoder is not None or names.inputs else 0):
        line = f"input {1 + i}"
        if encoder is not None:
            line += f" feature={encoder.feature[i]} threshold={encoder.threshold[i]}"
        yield line + (f" name={json.dumps(names.inputs[i])}" if names.inputs else "")
    for s in net.sites.layers:
        yield (
            f"site {json.dumps(s.name)} gates={s.gates} kernels={s.kernels} "
            f"rows={s.rows} columns={s.columns}"
        )


def print_ends(net: Circuit) -> Iterator[str]:
    """Yield the lines after the gates: classes or outputs, and names."""
    names = net.names
    outputs = [
        f"{'~' if lit & 1 else ''}{lit >> 1}{'' if weight == 1 else f'*{weight}'}"
        for lit, weight in zip(net.outputs.tolist(), net.head.weight.tolist(), strict=True)
    ]
    for c in range(net.n_classes):
        name = f" {json.dumps(names.classes[c])}" if names.classes else ""
        group = outputs[net.head.group_ptr[c] : net.head.group_ptr[c + 1]]
        yield f"class{name} bias={net.head.bias[c]}:" + "".join(f" {o}" for o in group)
    if net.n_classes:
        for o, text in enumerate(names.outputs):
            yield f"name {o} {json.dumps(text)}"
    else:
        for o, text in enumerate(outputs):
            name = f" name={json.dumps(names.outputs[o])}" if names.outputs else ""
            yield f"output {text}{name}"


def print_netlist(net: Netlist) -> str:
    """Return `net` as text; `parse_netlist` gives the same netlist back."""
    lines = list(print_starts(net, f"netlist inputs={net.n_inputs}"))
    columns = zip(
        net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), net.origin.tolist(), strict=True
    )
    lines += [
        f"{node} = {NAMES[tt]} {a} {b}" + (f" @{origin}" if origin >= 0 else "")
        for node, (tt, a, b, origin) in enumerate(columns, start=net.first_gate)
    ]
    return "\n".join([*lines, *print_ends(net)]) + "\n"


_STRING = r'("(?:[^"\\]|\\.)*")'
_BLANKS = re.compile(rf"{_STRING}|#.*|\s+")
_PATTERNS = {
    "encoder": re.compile(r"encoder shape=\(([\d,]+)\) max_value=(\d+)"),
    "input": re.compile(rf"input (\d+)(?: feature=(\d+) threshold=(\d+))?(?: name={_STRING})?"),
    "site": re.compile(rf"site {_STRING} gates=(\d+) kernels=(\d+) rows=(\d+) columns=(\d+)"),
    "class": re.compile(rf"class(?: {_STRING})? bias=(-?\d+):((?: ~?\d+(?:\*-?\d+)?)*)"),
    "output": re.compile(rf"output (~?\d+(?:\*-?\d+)?)(?: name={_STRING})?"),
    "name": re.compile(rf"name (\d+) {_STRING}"),
}
_LITERAL = re.compile(r"(~?)(\d+)(?:\*(-?\d+))?")
_GATE = re.compile(r"(\d+) = (\w+) (\d+) (\d+)(?: @(\d+))?")


def _number(text: str, limit: int = _INT32) -> int:
    value = int(text)
    if not -limit <= value <= limit:
        raise IRError(f"{text} is out of range, allowed is up to {limit}")
    return value


def _string(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError as error:
        raise IRError(f"{quoted} is no JSON string") from error


class CircuitParser(ABC):
    """Reads the lines that both kinds of netlist share; a subclass adds header and gates."""

    header = re.compile(r"netlist inputs=(\d+)(?: digest=([^\s\"]\S*|" + _STRING + "))?")

    def __init__(self) -> None:
        self.number = 0
        self.n_inputs = -1
        self.digest = ""
        self.encoder_line: tuple[tuple[int, ...], int] | None = None
        self.features: list[tuple[int, int]] = []
        self.n_input_lines = 0
        self.n_gates = 0
        self.origins: list[int] = []
        self.gate_lines: list[int] = []
        self.sites: list[SiteLayer] = []
        self.outputs: list[int] = []
        self.weights: list[int] = []
        self.output_lines: list[int] = []
        self.group_ptr = [0]
        self.bias: list[int] = []
        self.names: dict[str, list[str]] = {"inputs": [], "outputs": [], "classes": []}

    def read(self, text: str) -> None:
        """Read all lines; IRError names the line at fault."""
        for self.number, raw in enumerate(text.split("\n"), start=1):
            line = _BLANKS.sub(lambda match: match[1] or " ", raw).strip()
            if line:
                try:
                    self._line(line)
                except IRError as error:
                    raise self._at(self.number, str(error)) from error
        if self.n_inputs < 0:
            raise IRError("the text holds no netlist")
        last_node = self.n_inputs + self.n_gates
        for literal, number in zip(self.outputs, self.output_lines, strict=True):
            if literal >> 1 > last_node:
                raise self._at(number, f"output reads node {literal >> 1}, the last is {last_node}")
        n_sites = sum(layer.n_sites for layer in self.sites)
        for origin, number in zip(self.origins, self.gate_lines, strict=True):
            if origin >= n_sites:
                raise self._at(number, f"origin @{origin} is outside the {n_sites} sites")
        if self.encoder_line is not None and self.n_input_lines != self.n_inputs:
            raise IRError(f"{self.n_input_lines} input lines for {self.n_inputs} inputs")

    def _at(self, number: int, message: str) -> IRError:
        return IRError(f"line {number}: {message}")

    def _line(self, text: str) -> None:
        word = text.split(maxsplit=1)[0]
        start = self.header.pattern.split(maxsplit=1)[0]
        if (self.n_inputs < 0) != (word == start):
            raise IRError(f"the first line, and only that, must be '{start} inputs=N ...'")
        if word.isdigit():
            self._gate(text)
            return
        patterns = {start: self.header, **_PATTERNS}
        if word not in patterns:
            raise IRError(f"unknown line {word!r}; {nearest(word, patterns)}")
        match = patterns[word].fullmatch(text)
        if match is None:
            raise IRError(f"malformed {word} line {text!r}")
        getattr(self, "_header" if word == start else f"_{word}")(*match.groups())

    def _header(self, n_inputs: str, digest: str | None, quoted: str | None) -> None:
        self.n_inputs = _number(n_inputs)
        self.digest = _string(quoted) if quoted else digest or ""

    def _name_of(self, kind: str, quoted: str | None, before: int) -> None:
        """Note the name of the item after `before` others of its kind: all have one, or none."""
        if (quoted is None) != (len(self.names[kind]) == 0) and before:
            raise IRError(f"either all {kind} have names, or none")
        if quoted is not None:
            self.names[kind].append(_string(quoted))

    def _encoder(self, shape: str, max_value: str) -> None:
        if self.encoder_line is not None or self.n_input_lines:
            raise IRError("one encoder line is allowed, before the inputs")
        self.encoder_line = tuple(_number(n) for n in shape.split(",") if n), _number(max_value)

    def _input(
        self, node: str, feature: str | None, threshold: str | None, name: str | None
    ) -> None:
        expected = 1 + self.n_input_lines
        if int(node) != expected or expected > self.n_inputs:
            raise IRError(f"input {node} stands where input {expected} of {self.n_inputs} may be")
        if (feature is None) != (self.encoder_line is None):
            raise IRError("inputs have feature and threshold exactly if there is an encoder line")
        if feature is not None and threshold is not None:
            self.features.append((_number(feature), _number(threshold)))
        self._name_of("inputs", name, self.n_input_lines)
        self.n_input_lines += 1

    def _site(self, name: str, *sizes: str) -> None:
        self.sites.append(SiteLayer(_string(name), *map(_number, sizes)))

    def _new_gate(self, node: str, operands: list[int], origin: str | None) -> None:
        """Count a gate, checking its place and that it reads lower nodes only."""
        expected = 1 + self.n_inputs + self.n_gates
        if int(node) != expected:
            raise IRError(f"gate {node} stands where node {expected} is expected")
        if max(operands) >= expected:
            raise IRError(f"gate {node} reads node {max(operands)}, which is not below it")
        self.origins.append(-1 if origin is None else _number(origin))
        self.gate_lines.append(self.number)
        self.n_gates += 1

    @abstractmethod
    def _gate(self, text: str) -> None:
        """Read a gate line."""

    def _add_output(self, text: str) -> None:
        match = _LITERAL.fullmatch(text)
        assert match is not None, text
        self.outputs.append(2 * _number(match[2]) + bool(match[1]))
        self.weights.append(_number(match[3] or "1"))
        self.output_lines.append(self.number)

    def _class(self, name: str | None, bias: str, literals: str) -> None:
        if self.outputs and not self.bias:
            raise IRError("a netlist has class lines or output lines, not both")
        for text in literals.split():
            self._add_output(text)
        self._name_of("classes", name, len(self.bias))
        self.group_ptr.append(len(self.outputs))
        self.bias.append(_number(bias, _INT64))

    def _output(self, literal: str, name: str | None) -> None:
        if self.bias:
            raise IRError("a netlist has class lines or output lines, not both")
        self._name_of("outputs", name, len(self.outputs))
        self._add_output(literal)

    def _name(self, number: str, quoted: str) -> None:
        if not self.bias or int(number) != len(self.names["outputs"]):
            raise IRError(
                f"name {number} stands where the name of output {len(self.names['outputs'])} is "
                "expected, after the class lines"
            )
        self.names["outputs"].append(_string(quoted))

    def shared(self) -> dict[str, Any]:
        """The columns that both kinds of netlist have, by name."""
        encoder = None
        if self.encoder_line is not None:
            feature, threshold = np.array(self.features, np.int32).reshape(-1, 2).T
            encoder = Encoder(feature, threshold, *self.encoder_line)
        group_ptr, bias = np.array(self.group_ptr, np.int64), np.array(self.bias, np.int64)
        return {
            "n_inputs": self.n_inputs,
            "outputs": np.array(self.outputs, np.int64),
            "head": Head(group_ptr, np.array(self.weights, np.int32), bias),
            "encoder": encoder,
            "origin": np.array(self.origins, np.int32),
            "sites": Sites(tuple(self.sites)),
            "names": Names(*(tuple(self.names[k]) for k in ("inputs", "outputs", "classes"))),
            "digest": self.digest,
        }


class _NetlistParser(CircuitParser):
    def __init__(self) -> None:
        super().__init__()
        self.gates: list[tuple[int, int, int]] = []

    def _gate(self, text: str) -> None:
        match = _GATE.fullmatch(text)
        if match is None:
            raise IRError(f"malformed gate {text!r}; expected 'NODE = FUNCTION NODE NODE'")
        node, function, a, b, origin = match.groups()
        if function not in NAMES:
            raise IRError(f"unknown function {function!r}; {nearest(function, NAMES)}")
        self._new_gate(node, [int(a), int(b)], origin)
        self.gates.append((tt_of_name(function), int(a), int(b)))


def parse_netlist(text: str) -> Netlist:
    """Return the verified netlist that `text` describes; IRError names the line at fault."""
    parser = _NetlistParser()
    parser.read(text)
    tt, in0, in1 = np.array(parser.gates, np.int64).reshape(-1, 3).T
    return from_columns(
        tt=tt.astype(np.uint8),
        in0=in0.astype(np.int32),
        in1=in1.astype(np.int32),
        **parser.shared(),
    )
