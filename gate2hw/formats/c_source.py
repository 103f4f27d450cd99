"""The C that difflogic emits (`CompiledLogicNet.get_c_code`), read and written.

``void logic_gate_net(T const *inp, T *out)`` holds one bit parallel statement a gate, ``const T
v0 = inp[3] & ~inp[5];``; the last layer assigns ``out[j]``. Classes are equal contiguous blocks of
``out``, summed without weights by ``apply_logic_gate_net``, which also says how many inputs and
classes there are. It holds no names, no encoder and no biases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.collector import MAX_FREE_INPUTS, Collector
from gate2hw.formats.expressions import ExpressionError, steps_of_shape
from gate2hw.formats.heads import unit_weights
from gate2hw.ir.gates import EXPRESSIONS
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.ir.source_text import read_source
from gate2hw.ir.store import atomic_path

__all__ = ["CSource", "load_c", "read_c", "write_c"]

_CHUNK: Final = 1 << 16
_NUMBER: Final = r"(\d{1,9})"
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_FUNCTION: Final = re.compile(
    r"\bvoid\s+logic_gate_net\s*\(([^()]*)\)\s*\{([^{}]*)\}", re.ASCII | re.DOTALL
)
_STATEMENT: Final = re.compile(
    rf"\s*(?:(?:const\s+)?[a-z][\w ]*?\s+(v\d{{1,9}})|(out\s*\[\s*{_NUMBER}\s*\]))\s*=(.*)",
    re.ASCII | re.DOTALL,
)
_CAST: Final = re.compile(r"\((?:unsigned|signed|char|short|int|long|bool|u?int\d+_t)+\)", re.ASCII)
_OPERAND: Final = re.compile(r"(v\d+|inp\[\d+\])", re.ASCII)
_ZERO: Final = re.compile(r"\b0[uUlL]*\b", re.ASCII)
_SIZES: Final = {
    "n_inputs": (rf"\binp_temp\s*=\s*malloc\(\s*{_NUMBER}\s*\*", rf"\bN_INPUTS = {_NUMBER}"),
    "n_outputs": (rf"\bout_temp\s*=\s*malloc\(\s*{_NUMBER}\s*\*", rf"\bN_OUTPUTS = {_NUMBER}"),
    "n_classes": (rf"\bc\s*<\s*{_NUMBER}\s*;", rf"\bN_CLASSES = {_NUMBER}"),
}


@dataclass(frozen=True)
class CSource:
    """What a file says: its circuit, how many classes (0: unknown), and its statements.

    `statements` are (target, expression) with operands ``v3`` and ``inp[5]``, casts and blanks
    removed, in order; `stated_inputs` says whether the file states the number of inputs.
    """

    net: Netlist
    n_classes: int
    statements: tuple[tuple[str, str], ...]
    stated_inputs: bool


def _stated(text: str) -> dict[str, int]:
    """The sizes that the file states."""
    sizes = {}
    for key, patterns in _SIZES.items():
        for pattern in patterns:
            match = re.search(pattern, text, re.ASCII)
            if match:
                sizes[key] = int(match[1])
                break
    return sizes


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n") or " ", text)
        self.collector = Collector(self.fail)
        self.statements: list[tuple[str, str]] = []
        self.n_read = 0
        self.outputs: set[int] = set()

    def fail(self, place: int, what: str) -> ModelFileError:
        line = f", line {self.text.count(chr(10), 0, place) + 1}" if place >= 0 else ""
        hint = ""
        if "never defined" in what and self.collector.n_hidden == 0 and len(self.outputs):
            only_outputs = len(self.outputs) == len(self.statements)
            hint = "; difflogic writes such C for nets of one layer" if only_outputs else ""
        return ModelFileError(f"{self.path}{line}: {what}{hint}")

    def read(self) -> CSource:
        match = _FUNCTION.search(self.text)
        if match is None:
            raise self.fail(
                -1,
                "no C of difflogic: it has no function logic_gate_net(T const *inp, T *out) that "
                "is a plain list of gates, or is cut short",
            )
        at = match.start(2)
        for statement in match[2].split(";"):
            if statement.strip():
                self._statement(at + len(statement) - len(statement.lstrip()), statement)
            at += len(statement) + 1
        return self._result(_stated(self.text[match.end() :] + self.text[: match.start()]))

    def _statement(self, place: int, statement: str) -> None:
        match = _STATEMENT.fullmatch(statement)
        if match is None:
            text = " ".join(statement.split())[:50]
            raise self.fail(
                place, f"{text!r} is no gate: read are 'const T vN = ..' and 'out[N] ='"
            )
        variable, _, output, value = match.groups()
        value = _CAST.sub("", "".join(value.split()))
        target = variable or f"out[{output}]"
        self.statements.append((target, value))
        if output:
            if int(output) in self.outputs:
                raise self.fail(place, f"{target} is assigned twice")
            self.outputs.add(int(output))
        pieces = _OPERAND.split(value)
        operands = pieces[1::2]
        for operand in operands:
            if operand[0] == "i":
                if len(operand) > 14:
                    raise self.fail(place, f"{operand[:30]} is beyond all inputs")
                self.n_read = max(self.n_read, 1 + int(operand[4:-1]))
        shape = _ZERO.sub("0", "$".join(pieces[0::2]))
        try:
            if re.search(r"[1-9]|[!?]|&&|\|\|", shape):
                raise ExpressionError("bit parallel C has only & | ^ ~ and 0")
            steps = steps_of_shape(shape)
        except ExpressionError as error:
            raise self.fail(place, f"{value[:40]!r} cannot be read: {error}") from error
        self.collector.define(target, steps, operands, place)

    def _result(self, stated: dict[str, int]) -> CSource:
        n_outputs = len(self.outputs)
        n_inputs = stated.get("n_inputs", self.n_read)
        if self.n_read > n_inputs:
            raise self.fail(-1, f"inp[{self.n_read - 1}] is read, {n_inputs} inputs are stated")
        if n_inputs > max(MAX_FREE_INPUTS, len(self.text)):
            raise self.fail(-1, f"{n_inputs:,} inputs in a file of {len(self.text):,} characters")
        if self.outputs != set(range(n_outputs)) or not n_outputs:
            raise self.fail(-1, f"out[0..] are not all assigned: {n_outputs} of them are")
        if stated.get("n_outputs", n_outputs) != n_outputs:
            raise self.fail(-1, f"{stated['n_outputs']} outputs are stated, {n_outputs} assigned")
        n_classes = stated.get("n_classes", 0)
        if n_classes and n_outputs % n_classes:
            raise self.fail(-1, f"{n_outputs} outputs cannot be {n_classes} classes of equal size")
        net = self.collector.netlist(
            [f"inp[{i}]" for i in range(n_inputs)], [f"out[{o}]" for o in range(n_outputs)]
        )
        if n_classes:
            net = net.with_(head=equal_groups(n_outputs, n_classes))
        return CSource(net, n_classes, tuple(self.statements), "n_inputs" in stated)


def equal_groups(n_outputs: int, n_classes: int) -> Head:
    """Classes that are contiguous blocks of equal size."""
    ptr = np.arange(n_classes + 1, dtype=np.int64) * (n_outputs // n_classes)
    return Head(ptr, np.ones(n_outputs, np.int32), np.zeros(n_classes, np.int64))


def load_c(path: Path | str) -> CSource:
    """Read a file of difflogic's C; ModelFileError, naming the line, for any other."""
    path = Path(path)
    text = read_source(path, "C")
    return _Reader(path, text).read()


def read_c(path: Path | str) -> Netlist:
    """The netlist of a file of difflogic's C, with its classes where they are stated."""
    return load_c(path).net


def _block_outputs(net: Netlist) -> list[int]:
    """Literals of ``out``: classes in blocks of one size, biases as constant 1, the rest 0."""
    if not net.n_classes:
        literals: list[int] = net.outputs.tolist()
        return literals
    outputs, head = unit_weights(net)
    low = int(head.bias.min())
    if low < 0:
        c = int(np.argmin(head.bias))
        raise InputError(
            f"class {c} has bias {low}, which the C of difflogic cannot express: its scores are "
            "plain counts; write .json or .npz"
        )
    sizes = np.diff(head.group_ptr) + head.bias
    block = int(sizes.max(initial=1))
    if block * net.n_classes > 50_000_000:
        raise InputError(f"{net.n_classes} blocks of {block:,} summed bits are too many for C")
    literals = []
    for c in range(net.n_classes):
        own = outputs[head.group_ptr[c] : head.group_ptr[c + 1]].tolist()
        literals += own + [1] * int(head.bias[c]) + [0] * (block - int(sizes[c]))
    return literals


def _lines(net: Netlist, outputs: list[int]) -> Iterator[str]:
    first = net.first_gate

    def name(node: int) -> str:
        if node < first:
            return f"inp[{node - 1}]" if node else "0LL"
        return f"v{node - first}"

    templates = [re.sub(r"\b([ab])\b", r"{\1}", text) for text in EXPRESSIONS]
    templates[0], templates[15] = "0LL", "~0LL"
    for low in range(0, net.n_gates, _CHUNK):
        columns = (c[low : low + _CHUNK].tolist() for c in (net.tt, net.in0, net.in1))
        for gate, (tt, a, b) in enumerate(zip(*columns, strict=True), start=low):
            yield f"\tconst long long v{gate} = {templates[tt].format(a=name(a), b=name(b))};\n"
    for output, literal in enumerate(outputs):
        yield f"\tout[{output}] = {'~' if literal & 1 else ''}{name(literal >> 1)};\n"


_APPLY: Final = """
/* inp: len * 64 samples of N_INPUTS bools; out: len * 64 samples of N_CLASSES counts */
void apply_logic_gate_net(bool const *inp, int *out, size_t len) {
    long long *in_words = malloc(sizeof(long long) * (N_INPUTS + 1));
    long long *out_words = malloc(sizeof(long long) * N_OUTPUTS);
    for (size_t block = 0; block < len; ++block) {
        for (size_t d = 0; d < N_INPUTS; ++d) {
            unsigned long long word = 0;
            for (size_t s = 0; s < 64; ++s)
                word |= (unsigned long long)inp[(block * 64 + s) * N_INPUTS + d] << s;
            in_words[d] = (long long)word;
        }
        logic_gate_net(in_words, out_words);
        for (size_t s = 0; s < 64; ++s)
            for (size_t k = 0; k < N_CLASSES; ++k) {
                int count = 0;
                for (size_t a = 0; a < N_OUTPUTS / N_CLASSES; ++a)
                    count += (int)(out_words[k * (N_OUTPUTS / N_CLASSES) + a] >> s & 1);
                out[(block * 64 + s) * N_CLASSES + k] = count;
            }
    }
    free(in_words);
    free(out_words);
}
"""


def write_c(net: Netlist, path: Path | str) -> None:
    """Write `net` as C with difflogic's interface (64 samples a word), and its classes.

    Weights become repeated outputs, biases constant ones; blocks are filled up with constant 0.
    Raises InputError for a negative bias, or weights too large to be written out.
    """
    outputs = _block_outputs(net)
    if not outputs:
        raise InputError(f"{path}: a circuit without outputs cannot be written as C")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("#include <stdbool.h>\n#include <stddef.h>\n#include <stdlib.h>\n\n")
        classes = f", N_CLASSES = {net.n_classes}" if net.n_classes else ""
        file.write(
            f"enum {{ N_INPUTS = {net.n_inputs}, N_OUTPUTS = {len(outputs)}{classes} }};\n\n"
        )
        file.write("void logic_gate_net(long long const *inp, long long *out) {\n")
        file.writelines(_lines(net, outputs))
        file.write("}\n")
        if net.n_classes:
            file.write(_APPLY)
