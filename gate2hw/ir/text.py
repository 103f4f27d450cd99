"""The text form of a Netlist: the language of the tests.

    netlist inputs=3 digest=abc
    encoder shape=(1,1,3) max_value=255
    input 1 feature=0 threshold=127 name="p0"
    4 = AND 1 2
    5 = XOR 4 3 @0
    site "dense1" gates=1 kernels=2 rows=0 columns=0
    class "odd" bias=0: 10 ~4*2
    output 9

Nodes are numbers (0 is constant 0), `~` is a complement, ``*w`` a weight, ``@s`` an origin.
Gates stand in order of node; levels follow from them. `#` starts a comment. A netlist with
classes lists outputs in its ``class`` lines, a plain circuit in ``output`` lines.
"""

from __future__ import annotations

import json
import re

import numpy as np

from gate2hw.errors import IRError, nearest
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import NAMES, tt_of_name
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites

__all__ = ["parse_netlist", "print_netlist"]


def _literal(lit: int, weight: int = 1) -> str:
    return f"{'~' if lit & 1 else ''}{lit >> 1}{'' if weight == 1 else f'*{weight}'}"


def print_netlist(net: Netlist) -> str:
    """Return `net` as text; `parse_netlist` gives the same netlist back."""
    lines = [f"netlist inputs={net.n_inputs}" + (f" digest={net.digest}" if net.digest else "")]
    encoder, names = net.encoder, net.names
    if encoder is not None:
        shape = ",".join(map(str, encoder.shape))
        lines.append(f"encoder shape=({shape}) max_value={encoder.max_value}")
    for i in range(net.n_inputs if encoder is not None or names.inputs else 0):
        line = f"input {1 + i}"
        if encoder is not None:
            line += f" feature={encoder.feature[i]} threshold={encoder.threshold[i]}"
        lines.append(line + (f" name={json.dumps(names.inputs[i])}" if names.inputs else ""))
    lines += [
        f"site {json.dumps(s.name)} gates={s.gates} kernels={s.kernels} "
        f"rows={s.rows} columns={s.columns}"
        for s in net.sites.layers
    ]
    for gate in range(net.n_gates):
        line = f"{net.first_gate + gate} = {NAMES[net.tt[gate]]} {net.in0[gate]} {net.in1[gate]}"
        lines.append(line + (f" @{net.origin[gate]}" if net.origin[gate] >= 0 else ""))
    outputs = [
        _literal(int(lit), int(w)) for lit, w in zip(net.outputs, net.head.weight, strict=True)
    ]
    for c in range(net.n_classes):
        name = f" {json.dumps(names.classes[c])}" if names.classes else ""
        group = outputs[net.head.group_ptr[c] : net.head.group_ptr[c + 1]]
        lines.append(f"class{name} bias={net.head.bias[c]}:" + "".join(f" {o}" for o in group))
    if not net.n_classes:
        lines += [
            f"output {text}" + (f" name={json.dumps(names.outputs[o])}" if names.outputs else "")
            for o, text in enumerate(outputs)
        ]
    return "\n".join(lines) + "\n"


_STRING = r'("(?:[^"\\]|\\.)*")'
_PATTERNS = {
    "netlist": re.compile(r"netlist inputs=(\d+)(?: digest=(\S+))?"),
    "encoder": re.compile(r"encoder shape=\(([\d,]+)\) max_value=(\d+)"),
    "input": re.compile(rf"input (\d+)(?: feature=(\d+) threshold=(\d+))?(?: name={_STRING})?"),
    "site": re.compile(rf"site {_STRING} gates=(\d+) kernels=(\d+) rows=(\d+) columns=(\d+)"),
    "class": re.compile(rf"class(?: {_STRING})? bias=(-?\d+):((?: ~?\d+(?:\*-?\d+)?)*)"),
    "output": re.compile(rf"output (~?\d+)(\*-?\d+)?(?: name={_STRING})?"),
}
_GATE = re.compile(r"(\d+) = (\w+) (\d+) (\d+)(?: @(\d+))?")


class _Parser:
    def __init__(self) -> None:
        self.n_inputs = -1
        self.digest = ""
        self.shape: tuple[int, ...] | None = None
        self.max_value = 0
        self.features: list[tuple[int, int]] = []
        self.gates: list[tuple[int, int, int, int]] = []
        self.sites: list[SiteLayer] = []
        self.outputs: list[int] = []
        self.weights: list[int] = []
        self.group_ptr = [0]
        self.bias: list[int] = []
        self.names: dict[str, list[str]] = {"inputs": [], "outputs": [], "classes": []}

    def line(self, text: str) -> None:
        word = text.split(maxsplit=1)[0]
        if self.n_inputs < 0 and word != "netlist":
            raise IRError("the first line must be 'netlist inputs=N'")
        if word.isdigit():
            self._gate(text)
            return
        if word not in _PATTERNS:
            raise IRError(f"unknown line {word!r}; {nearest(word, _PATTERNS)}")
        match = _PATTERNS[word].fullmatch(text)
        if match is None:
            raise IRError(f"malformed {word} line {text!r}")
        getattr(self, f"_{word}")(*match.groups())

    def _name(self, kind: str, quoted: str | None) -> None:
        if quoted is not None:
            self.names[kind].append(json.loads(quoted))

    def _netlist(self, n_inputs: str, digest: str | None) -> None:
        self.n_inputs, self.digest = int(n_inputs), digest or ""

    def _encoder(self, shape: str, max_value: str) -> None:
        self.shape = tuple(int(n) for n in shape.split(",") if n)
        self.max_value = int(max_value)

    def _input(self, node: str, feature: str | None, threshold: str | None, name: str) -> None:
        expected = 1 + max(len(self.features), len(self.names["inputs"]))
        if int(node) != expected:
            raise IRError(f"input {node} stands where input {expected} is expected")
        if feature is not None and threshold is not None:
            self.features.append((int(feature), int(threshold)))
        self._name("inputs", name)

    def _site(self, name: str, *sizes: str) -> None:
        self.sites.append(SiteLayer(json.loads(name), *map(int, sizes)))

    def _gate(self, text: str) -> None:
        match = _GATE.fullmatch(text)
        if match is None:
            raise IRError(f"malformed gate {text!r}; expected 'NODE = FUNCTION NODE NODE'")
        node, function, a, b, origin = match.groups()
        expected = 1 + self.n_inputs + len(self.gates)
        if int(node) != expected:
            raise IRError(f"gate {node} stands where node {expected} is expected")
        if function not in NAMES:
            raise IRError(f"unknown function {function!r}; {nearest(function, NAMES)}")
        self.gates.append(
            (tt_of_name(function), int(a), int(b), -1 if origin is None else int(origin))
        )

    def _add_output(self, literal: str, weight: str | None) -> None:
        self.outputs.append(2 * int(literal.lstrip("~")) + literal.startswith("~"))
        self.weights.append(int(weight.lstrip("*")) if weight else 1)

    def _class(self, name: str | None, bias: str, literals: str) -> None:
        for text in literals.split():
            literal, _, weight = text.partition("*")
            self._add_output(literal, weight)
        self.group_ptr.append(len(self.outputs))
        self.bias.append(int(bias))
        self._name("classes", name)

    def _output(self, literal: str, weight: str | None, name: str | None) -> None:
        self._add_output(literal, weight)
        self._name("outputs", name)

    def netlist(self) -> Netlist:
        if self.n_inputs < 0:
            raise IRError("the text holds no netlist")
        tt, in0, in1, origin = np.array(self.gates, np.int64).reshape(-1, 4).T
        encoder = None
        if self.shape is not None:
            feature, threshold = np.array(self.features, np.int32).reshape(-1, 2).T
            encoder = Encoder(feature, threshold, self.shape, self.max_value)
        group_ptr, bias = np.array(self.group_ptr, np.int64), np.array(self.bias, np.int64)
        return from_columns(
            self.n_inputs,
            tt.astype(np.uint8),
            in0.astype(np.int32),
            in1.astype(np.int32),
            np.array(self.outputs, np.int64),
            head=Head(group_ptr, np.array(self.weights, np.int32), bias),
            encoder=encoder,
            origin=origin.astype(np.int32),
            sites=Sites(tuple(self.sites)),
            names=Names(*(tuple(self.names[k]) for k in ("inputs", "outputs", "classes"))),
            digest=self.digest,
        )


def parse_netlist(text: str) -> Netlist:
    """Return the verified netlist that `text` describes; IRError names the line at fault."""
    parser = _Parser()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = " ".join(re.split(r"\s+#|^#", raw, maxsplit=1)[0].split())
        if not line:
            continue
        try:
            parser.line(line)
        except IRError as error:
            raise IRError(f"line {number}: {error}") from error
    return parser.netlist()
