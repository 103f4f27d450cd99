"""BLIF files of combinational logic: `.names` tables, written with 2 inputs, read with up to 6.

Format: "Berkeley Logic Interchange Format (BLIF)", University of California, Berkeley, 1992.
Column i of a cover is input i of the `.names` line; in a table of this project input 0 is the
most significant address bit. Head, encoder, weights and origins of a Netlist are not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from gate2hw.errors import InputError, ModelFileError, nearest
from gate2hw.ir.builder import from_columns
from gate2hw.ir.gates import CONST_0, CONST_1, TT_AND, TT_OR, TT_XOR, complement_inputs
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.store import atomic_path
from gate2hw.ir.topology import levels_of

__all__ = ["read_blif", "write_blif"]

MAX_TABLE_INPUTS: Final = 6
CHUNK = 1 << 16

_COVERS: Final = tuple(
    "".join(f"{at >> 1}{at & 1} 1\n" for at in range(4) if tt >> at & 1) for tt in range(16)
)
"""On-set of each of the 16 functions as cover lines."""

_CONSTANTS: Final = {CONST_0: "", CONST_1: "1\n"}
"""Constants are written without inputs: ABC refuses an empty cover of two inputs."""

_COMPLEMENTED: Final[list[list[int]]] = complement_inputs.tolist()

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
            f".names {nodes[first + g]}\n{_CONSTANTS[tt]}"
            if tt in _CONSTANTS
            else f".names {nodes[a]} {nodes[b]} {nodes[first + g]}\n{_COVERS[tt]}"
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


@lru_cache(maxsize=4096)
def _minterms(cube: str) -> int | None:
    """Truth table of a cube such as ``1-0``, its first column highest; None if it is none."""
    if set(cube) - set("01-"):
        return None
    addresses = [0]
    for c in cube:
        values = (0, 1) if c == "-" else (int(c),)
        addresses = [2 * at + v for at in addresses for v in values]
    return sum(1 << at for at in addresses)


class _Model:
    """What the lines of a BLIF file say, as numbers; complaints name file and line.

    Signals are numbered as they appear. Table t defines signal ``target[t]`` in line ``line[t]``,
    reads ``fanin[ptr[t]:ptr[t+1]]``; bit ``sum(x_i << (k-1-i))`` of ``tables[t]`` is f(x_0 .. ).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signals: dict[str, int] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.target: list[int] = []
        self.line: list[int] = []
        self.fanin: list[int] = []
        self.ptr: list[int] = [0]
        self.tables: list[int] = []
        self._defined: dict[int, int] = {}
        self._phase = ""

    def fail(self, number: int, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path}, line {number}: {what}")

    def read(self, text: str) -> None:
        is_open, in_table, ended, number = False, False, False, 0
        for number, line in _logical_lines(text):
            words = line.split()
            word = words[0]
            if ended:
                raise self.fail(number, "something follows .end; only one model is read")
            if not word.startswith("."):
                if not in_table:
                    raise self.fail(number, f"cover line {line[:60]!r} outside .names")
                self._cover(number, words)
                continue
            if in_table:
                self._close()
            in_table = word == ".names"
            if word not in _DIRECTIVES:
                hint = nearest(word, _DIRECTIVES)
                raise self.fail(number, f"{word[:40]!r} is not combinational BLIF; {hint}")
            if (word == ".model") == is_open:
                raise self.fail(number, "a file holds one .model, and begins with it")
            is_open = True
            if in_table:
                self._names(number, words[1:])
            elif word == ".inputs":
                self.inputs += words[1:]
            elif word == ".outputs":
                self.outputs += words[1:]
            ended = word == ".end"
        if not ended:
            raise self.fail(number, "the file is cut short: it has no .end")

    def _names(self, number: int, words: list[str]) -> None:
        if not words:
            raise self.fail(number, ".names without an output")
        if len(words) - 1 > MAX_TABLE_INPUTS:
            raise self.fail(
                number, f"a table of {len(words) - 1} inputs; at most {MAX_TABLE_INPUTS} are read"
            )
        signals = self.signals
        *inputs, output = [signals.setdefault(word, len(signals)) for word in words]
        first = self._defined.setdefault(output, number)
        if first != number:
            raise self.fail(number, f"{words[-1]!r} is defined again (first in line {first})")
        self.target.append(output)
        self.line.append(number)
        self.fanin += inputs
        self.ptr.append(len(self.fanin))
        self.tables.append(0)
        self._phase = ""

    def _cover(self, number: int, words: list[str]) -> None:
        n_inputs = self.ptr[-1] - self.ptr[-2]
        cube, value = (words[0] if len(words) == 2 else "", words[-1])
        if len(words) > 2 or value not in ("0", "1") or len(cube) != n_inputs:
            line = " ".join(words)[:60]
            raise self.fail(number, f"{line!r} is no cover line for {n_inputs} inputs")
        mask = _minterms(cube)
        if mask is None:
            raise self.fail(number, f"{cube!r} holds something else than 0, 1 and -")
        if self._phase not in ("", value):
            raise self.fail(number, "a cover mixes on-set and off-set")
        self._phase = value
        self.tables[-1] |= mask

    def _close(self) -> None:
        if self._phase == "0":
            self.tables[-1] ^= (1 << (1 << (self.ptr[-1] - self.ptr[-2]))) - 1

    def ordered(self) -> list[int]:
        """Numbers of the tables in topological order; complains of cycles and undefined names."""
        signals = self.signals
        sources = [signals.setdefault(name, len(signals)) for name in self.inputs]
        results = [signals.setdefault(name, len(signals)) for name in self.outputs]
        if len(set(sources)) < len(sources):
            raise self.fail(1, "an input is listed twice in .inputs")
        # -2: nothing defines the signal, -1: an input, else the table that does
        owner = np.full(len(signals), -2, np.int64)
        owner[np.array(self.target, np.int64)] = np.arange(len(self.target))
        again = owner[sources] >= 0
        if again.any():
            name = self.inputs[int(np.argmax(again))]
            line = self.line[int(owner[signals[name]])]
            raise self.fail(line, f"input {name!r} is defined again")
        owner[sources] = -1
        ptr = np.array(self.ptr, np.int64)
        fanin = owner[np.array(self.fanin, np.int64)]
        names = list(signals)
        if (fanin == -2).any():
            place = int(np.argmax(fanin == -2))
            table = int(np.searchsorted(ptr, place, side="right")) - 1
            name = names[self.fanin[place]]
            raise self.fail(self.line[table], f"{name!r} is read, but never defined")
        for signal in results:
            if owner[signal] == -2:
                raise self.fail(1, f"output {names[signal]!r} is never defined")
        level = levels_of(fanin, ptr)
        if (level < 0).any():
            table = int(np.argmax(level < 0))
            name = names[self.target[table]]
            raise self.fail(self.line[table], f"{name!r} is on a cycle or above one")
        order: list[int] = np.argsort(level, kind="stable").tolist()
        return order


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
        tt = _COMPLEMENTED[2 * (a & 1) + (b & 1)][tt]
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
        full = (1 << half) - 1
        if {f0, f1} == {0, full}:
            return inputs[0] ^ (f0 & 1)
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
    order = model.ordered()
    lit = [0] * len(model.signals)
    for i, name in enumerate(model.inputs, start=1):
        lit[model.signals[name]] = 2 * i
    gates = _Gates(1 + len(model.inputs))
    for t in order:
        operands = tuple(lit[signal] for signal in model.fanin[model.ptr[t] : model.ptr[t + 1]])
        lit[model.target[t]] = gates.table(model.tables[t], operands)
    columns = np.array(gates.columns, np.int64).reshape(-1, 3)
    return from_columns(
        len(model.inputs),
        columns[:, 0].astype(np.uint8),
        columns[:, 1].astype(np.int32),
        columns[:, 2].astype(np.int32),
        np.array([lit[model.signals[name]] for name in model.outputs], np.int64),
        names=Names(inputs=tuple(model.inputs), outputs=tuple(model.outputs)),
    )
