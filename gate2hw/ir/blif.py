"""BLIF files of combinational logic: `.names` tables, written with 2 inputs, read with up to 6.

Format: "Berkeley Logic Interchange Format (BLIF)", University of California, Berkeley, 1992.
Column i of a cover is input i of the `.names` line; in a table of this project input 0 is the
most significant address bit. Head, encoder, weights and origins of a Netlist are not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from gate2hw.errors import InputError, ModelFileError, nearest
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import TT_AND, TT_OR, TT_XOR, complement_inputs
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.store import atomic_path
from gate2hw.ir.topology import levels_of

__all__ = ["read_blif", "write_blif"]

MAX_TABLE_INPUTS: Final = 6
CHUNK = 1 << 16

_COVERS: Final = tuple(
    "".join(f"{at >> 1}{at & 1} 1\n" for at in range(4) if tt >> at & 1) for tt in range(16)
)
"""On-set of each of the 16 functions as cover lines; FALSE has none."""

_DIRECTIVES: Final = (".model", ".inputs", ".outputs", ".names", ".end")


def _check_names(names: tuple[str, ...], what: str) -> None:
    for name in names:
        if not name or any(c.isspace() or c in "#\\" for c in name) or name.startswith("."):
            raise InputError(f"{what} name {name!r} cannot be written to BLIF")
    if len(set(names)) < len(names):
        raise InputError(f"two {what}s have the same name, which BLIF does not allow")


def _names_of(net: Netlist) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Names of inputs and outputs, and a prefix for gates that clashes with neither."""
    inputs = net.names.inputs or tuple(f"x{i}" for i in range(net.n_inputs))
    outputs = net.names.outputs or tuple(f"y{o}" for o in range(net.n_outputs))
    _check_names(inputs, "input")
    _check_names(outputs, "output")
    both = sorted(set(inputs) & set(outputs))
    if both:
        raise InputError(f"{both[0]!r} names an input and an output, which BLIF does not allow")
    prefix = "n"
    while any(name.startswith(prefix) for name in (*inputs, *outputs)):
        prefix += "_"
    return inputs, outputs, prefix


def _wrapped(directive: str, names: tuple[str, ...]) -> Iterator[str]:
    yield directive
    for first in range(0, len(names), 16):
        yield " \\\n " + " ".join(names[first : first + 16])
    yield "\n"


def _write(file: TextIO, net: Netlist, model: str) -> None:
    inputs, outputs, prefix = _names_of(net)
    file.write(f".model {model}\n")
    file.writelines(_wrapped(".inputs", inputs))
    file.writelines(_wrapped(".outputs", outputs))
    first, zero = net.first_gate, f"{prefix}0"
    nodes = [zero, *inputs, *(f"{prefix}{first + g}" for g in range(net.n_gates))]
    reads_zero = not (net.in0.all() and net.in1.all() and (net.outputs > 1).all())
    if reads_zero:
        file.write(f".names {zero}\n")
    for low in range(0, net.n_gates, CHUNK):
        columns = (c[low : low + CHUNK].tolist() for c in (net.tt, net.in0, net.in1))
        file.writelines(
            f".names {nodes[a]} {nodes[b]} {nodes[first + g]}\n{_COVERS[tt]}"
            for g, (tt, a, b) in enumerate(zip(*columns, strict=True), start=low)
        )
    for name, lit in zip(outputs, net.outputs.tolist(), strict=True):
        file.write(f".names {nodes[lit >> 1]} {name}\n{1 - (lit & 1)} 1\n")
    file.write(".end\n")


def write_blif(net: Netlist, path: Path | str, *, model: str = "gates") -> None:
    """Write gates and outputs of `net` to `path` as one model named `model`.

    Unnamed inputs are x0, x1, .., outputs y0, y1, .. Raises InputError for names with white
    space, '#' or a backslash, and for names used twice.
    """
    _check_names((model,), "model")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        _write(file, net, model)


@dataclass
class _Table:
    """One `.names`: where it stood, what it reads, and its truth table (input 0 highest)."""

    line: int
    inputs: tuple[str, ...]
    table: int = 0
    phase: str = ""

    def add(self, line: str) -> str | None:
        """Add a cover line; return what is wrong with it."""
        words = line.split()
        cube, value = (words[0] if len(words) == 2 else "", words[-1])
        if len(words) > 2 or value not in ("0", "1") or len(cube) != len(self.inputs):
            return f"{line!r} is no cover line for {len(self.inputs)} inputs"
        if set(cube) - set("01-"):
            return f"{line!r} holds something else than 0, 1 and -"
        if self.phase not in ("", value):
            return "a cover mixes on-set and off-set"
        self.phase = value
        addresses = [0]
        for c in cube:
            values = (0, 1) if c == "-" else (int(c),)
            addresses = [2 * at + v for at in addresses for v in values]
        for at in addresses:
            self.table |= 1 << at
        return None

    def truth_table(self) -> int:
        """Bit ``sum(x_i << (k-1-i))`` is f(x_0 .. x_{k-1})."""
        full = (1 << (1 << len(self.inputs))) - 1
        return full ^ self.table if self.phase == "0" else self.table


@dataclass
class _Model:
    """What the lines of a BLIF file say; complaints name file and line."""

    path: Path
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    tables: dict[str, _Table] = field(default_factory=dict)

    def fail(self, number: int, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path}, line {number}: {what}")

    def read(self, text: str) -> None:
        is_open, ended, current = False, False, None
        number = 0
        for number, line in _logical_lines(text):
            word, *rest = line.split()
            if ended:
                raise self.fail(number, "something follows .end; only one model is read")
            if not word.startswith("."):
                if current is None:
                    raise self.fail(number, f"cover line {line[:60]!r} outside .names")
                wrong = current.add(line)
                if wrong:
                    raise self.fail(number, wrong)
                continue
            current = None
            if word not in _DIRECTIVES:
                hint = nearest(word, _DIRECTIVES)
                raise self.fail(number, f"{word[:40]!r} is not combinational BLIF; {hint}")
            if (word == ".model") == is_open:
                raise self.fail(number, "a file holds one .model, and begins with it")
            is_open = True
            if word == ".inputs":
                self.inputs += rest
            elif word == ".outputs":
                self.outputs += rest
            elif word == ".names":
                current = self._names(number, rest)
            ended = word == ".end"
        if not ended:
            raise self.fail(number, "the file is cut short: it has no .end")

    def _names(self, number: int, words: list[str]) -> _Table:
        if not words:
            raise self.fail(number, ".names without an output")
        *inputs, output = words
        if len(inputs) > MAX_TABLE_INPUTS:
            raise self.fail(
                number, f"a table of {len(inputs)} inputs; at most {MAX_TABLE_INPUTS} are read"
            )
        if output in self.tables:
            raise self.fail(
                number, f"{output!r} is defined again (first in line {self.tables[output].line})"
            )
        self.tables[output] = _Table(number, tuple(inputs))
        return self.tables[output]

    def ordered(self) -> list[str]:
        """Names of the tables in topological order; complains of cycles and undefined names."""
        sources = set(self.inputs)
        if len(sources) < len(self.inputs):
            raise self.fail(1, "an input is listed twice in .inputs")
        number = {name: n for n, name in enumerate(self.tables)}
        fanin: list[int] = []
        ptr = [0]
        for name, table in self.tables.items():
            if name in sources:
                raise self.fail(table.line, f"input {name!r} is defined again")
            for operand in table.inputs:
                if operand not in sources and operand not in number:
                    raise self.fail(table.line, f"{operand!r} is read, but never defined")
                fanin.append(number.get(operand, -1))
            ptr.append(len(fanin))
        for name in self.outputs:
            if name not in sources and name not in number:
                raise self.fail(1, f"output {name!r} is never defined")
        level = levels_of(np.array(fanin, np.int64), np.array(ptr, np.int64))
        names = list(self.tables)
        if (level < 0).any():
            name = names[int(np.argmax(level < 0))]
            raise self.fail(self.tables[name].line, f"{name!r} is on a cycle or above one")
        return [names[n] for n in np.argsort(level, kind="stable").tolist()]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) without comments and empty lines, continuations joined."""
    joined, start = "", 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.split("#", maxsplit=1)[0].rstrip()
        start = start if joined else number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        line = joined + line
        joined = ""
        if line.strip():
            yield start, line.strip()
    if joined.strip():
        yield start, joined.strip()


class _Gates:
    """Grows the columns of two-input gates; signals are literals."""

    def __init__(self, first_gate: int) -> None:
        self.first_gate = first_gate
        self.columns: list[tuple[int, int, int]] = []

    def gate(self, tt: int, a: int, b: int) -> int:
        tt = int(complement_inputs[2 * (a & 1) + (b & 1), tt])
        self.columns.append((tt, a >> 1, b >> 1))
        return 2 * (self.first_gate + len(self.columns) - 1)

    def table(self, table: int, inputs: tuple[int, ...]) -> int:
        """Literal of a k-input table, by Shannon expansion on its most significant input."""
        if len(inputs) == 0:
            return table & 1
        half = 1 << (len(inputs) - 1)
        f1, f0 = table >> half, table & ((1 << half) - 1)
        if f0 == f1:
            return self.table(f0, inputs[1:])
        if len(inputs) == 1:
            return inputs[0] ^ f0
        full = (1 << half) - 1
        if len(inputs) == 2:
            return self.gate(table, *inputs)
        top, rest = inputs[0], inputs[1:]
        if f0 ^ f1 == full:
            return self.gate(TT_XOR, top, self.table(f0, rest))
        if f0 == 0:
            return self.gate(TT_AND, top, self.table(f1, rest))
        if f1 == 0:
            return self.gate(TT_AND, top ^ 1, self.table(f0, rest))
        if f0 == full:
            return self.gate(TT_OR, top ^ 1, self.table(f1, rest))
        if f1 == full:
            return self.gate(TT_OR, top, self.table(f0, rest))
        low, high = self.table(f0, rest), self.table(f1, rest)
        return self.gate(TT_OR, self.gate(TT_AND, top, high), self.gate(TT_AND, top ^ 1, low))


def read_blif(path: Path | str) -> Netlist:
    """Read one combinational model; tables of up to 6 inputs become two-input gates.

    Constants and wires cost no gate. Raises ModelFileError, naming the line, for latches,
    subcircuits, cycles, undefined or twice defined signals, bad covers, and files cut short.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: not a BLIF file, it is no UTF-8 text") from error
    model = _Model(path)
    model.read(text)
    lit = {name: 2 * i for i, name in enumerate(model.inputs, start=1)}
    gates = _Gates(1 + len(model.inputs))
    for name in model.ordered():
        table = model.tables[name]
        operands = tuple(lit[operand] for operand in table.inputs)
        lit[name] = gates.table(table.truth_table(), operands)
    columns = np.array(gates.columns, np.int64).reshape(-1, 3)
    return from_columns(
        len(model.inputs),
        columns[:, 0].astype(np.uint8),
        columns[:, 1].astype(np.int32),
        columns[:, 2].astype(np.int32),
        np.array([lit[name] for name in model.outputs], np.int64),
        names=Names(inputs=tuple(model.inputs), outputs=tuple(model.outputs)),
    )
