"""BLIF files of combinational logic: `.names` tables, written with 2 inputs, read with up to 6.

Format: "Berkeley Logic Interchange Format (BLIF)", University of California, Berkeley, 1992.
Column i of a cover is input i of the `.names` line; in a table of this project input 0 is the
most significant address bit. Head, encoder, weights and origins of a Netlist are not in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ModelFileError, nearest
from gate2hw.ir.assemble import Definitions, UnsoundError, assemble
from gate2hw.ir.bliftables import (
    MAX_TABLE_INPUTS,
    Steps,
    minterms,
    read_plain_tables,
    steps_of,
)
from gate2hw.ir.gates import CONST_0, CONST_1
from gate2hw.ir.netlist import Names, Netlist
from gate2hw.ir.source_text import read_source
from gate2hw.ir.store import atomic_path

__all__ = ["count_tables", "read_blif", "write_blif"]

CHUNK = 1 << 16

_COVERS: Final = tuple(
    "".join(f"{at >> 1}{at & 1} 1\n" for at in range(4) if tt >> at & 1) for tt in range(16)
)
"""On-set of each of the 16 functions as cover lines."""

_CONSTANTS: Final = {CONST_0: "", CONST_1: "1\n"}
"""Constants are written without inputs: ABC refuses an empty cover of two inputs."""

_NO_DEFINITION: Final = -2
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


class _Model:
    """What the lines of a BLIF file say, as numbers; complaints name file and line.

    Signals are numbered as they appear, in the lines `seen`; `columns` holds the definitions
    (target, tt, a, b), and `line` the line of each.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signals: dict[str, int] = {}
        self.n_hidden = 0
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.columns: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        self.line: list[int] = []
        self.seen: list[int] = []
        self._defined: dict[int, int] = {}
        self._operands: list[int] = []
        self._table = 0
        self._phase = ""

    def fail(self, number: int, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path}, line {number}: {what}")

    def read(self, lines: Iterable[tuple[int, str]], *, whole: bool = True) -> None:
        """Read logical lines; with `whole`, up to ``.end``."""
        is_open, in_table, ended, number = False, False, False, 0
        for number, line in lines:
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
                hint = nearest(word[:40], _DIRECTIVES)
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
        if whole and not ended:
            raise self.fail(number, "the file is cut short: it has no .end")

    def _names(self, number: int, words: list[str]) -> None:
        if not words:
            raise self.fail(number, ".names without an output")
        if len(words) - 1 > MAX_TABLE_INPUTS:
            raise self.fail(
                number, f"a table of {len(words) - 1} inputs; at most {MAX_TABLE_INPUTS} are read"
            )
        signals = self.signals
        self._operands = [signals.setdefault(word, len(signals)) for word in words]
        self.seen += [number] * (len(signals) - len(self.seen))
        first = self._defined.setdefault(self._operands[-1], number)
        if first != number:
            raise self.fail(number, f"{words[-1][:60]!r} is defined again (first in line {first})")
        self._table, self._phase = 0, ""

    def _cover(self, number: int, words: list[str]) -> None:
        n_inputs = len(self._operands) - 1
        cube, value = (words[0] if len(words) == 2 else "", words[-1])
        if len(words) > 2 or value not in ("0", "1") or len(cube) != n_inputs:
            line = " ".join(words)[:60]
            raise self.fail(number, f"{line!r} is no cover line for {n_inputs} inputs")
        mask = minterms(cube)
        if mask is None:
            raise self.fail(number, f"{cube!r} holds something else than 0, 1 and -")
        if self._phase not in ("", value):
            raise self.fail(number, "a cover mixes on-set and off-set")
        self._phase = value
        self._table |= mask

    def _close(self) -> None:
        k = len(self._operands) - 1
        if self._phase == "0":
            self._table ^= (1 << (1 << k)) - 1
        self.define(self._operands, steps_of(k, self._table))
        number = self._defined[self._operands[-1]]
        self.line += [number] * (len(self.columns[0]) - len(self.line))

    def define(self, operands: list[int], steps: Steps) -> None:
        """Append the definitions of a table; hidden signals of longer ones count from -2 down."""
        k = len(operands) - 1
        numbers = operands[:k]
        targets, tables, lefts, rights = self.columns
        for tt, a, b in steps[:-1]:
            self.n_hidden += 1
            numbers.append(-1 - self.n_hidden)
            targets.append(numbers[-1])
            tables.append(tt)
            lefts.append(numbers[a])
            rights.append(numbers[b])
        tt, a, b = steps[-1]
        targets.append(operands[k])
        tables.append(tt)
        lefts.append(numbers[a] if a >= 0 else -1)
        rights.append(numbers[b] if b >= 0 else -1)

    def netlist(self, columns: Sequence[npt.ArrayLike], n_hidden: int) -> Netlist:
        """The gates of (target, tt, a, b); UnsoundError where signals are not defined once."""
        signals = self.signals
        sources = [signals.setdefault(name, len(signals)) for name in self.inputs]
        results = [2 * signals.setdefault(name, len(signals)) for name in self.outputs]
        if len(set(sources)) < len(sources):
            raise self.fail(1, "an input is listed twice in .inputs")
        n_named = len(signals)

        def column(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
            array = np.asarray(values, np.int64)
            return np.where(array < -1, n_named - 2 - array, array)

        target, tt, a, b = map(column, columns)
        # what a table does not depend on must be a signal all the same
        is_missing = np.ones(n_named + n_hidden, np.bool_)
        is_missing[target] = is_missing[sources] = is_missing[np.array(results, np.int64) >> 1] = 0
        if is_missing.any():
            raise UnsoundError("undefined", _NO_DEFINITION, int(np.argmax(is_missing)))
        return assemble(
            n_named + n_hidden,
            sources,
            Definitions(target, tt, a, b),
            results,
            names=Names(inputs=tuple(self.inputs), outputs=tuple(self.outputs)),
        )

    def complaint(self, error: UnsoundError) -> ModelFileError:
        """What `netlist` found, in words."""
        names = list(self.signals)
        # a hidden signal is on a cycle exactly if the table that it belongs to is
        name = names[error.signal][:60] if error.signal < len(names) else "a signal"
        if error.definition == _NO_DEFINITION:
            return self.fail(self.seen[error.signal], f"{name!r} is read, but never defined")
        if error.definition < 0:
            return self.fail(1, f"output {name!r} is never defined")
        line = self.line[error.definition]
        match error.problem:
            case "undefined":
                return self.fail(line, f"{name!r} is read, but never defined")
            case "input":
                return self.fail(line, f"input {name!r} is defined again")
            case _:
                return self.fail(line, f"{name!r} is on a cycle or above one")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) without comments and empty lines, continuations joined."""
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.split("#", maxsplit=1)[0].rstrip()
        start = start if parts else number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        line = " ".join([*parts, line])
        parts = []
        if line.strip():
            yield start, line.strip()
    if "".join(parts).strip():
        yield start, " ".join(parts).strip()


def _read_plainly(path: Path, text: str) -> Netlist | None:
    """Read a file whose tables are all written in the plainest way; None for any other.

    Says nothing about what is wrong: the line by line reader does.
    """
    start = text.find("\n.names ") + 1
    if start == 0:
        return None
    model = _Model(path)
    model.read(_logical_lines(text[:start]), whole=False)
    tables = read_plain_tables(text, start, model.signals)
    return None if tables is None else model.netlist(tables.columns, tables.n_hidden)


def count_tables(path: Path | str) -> dict[int, int]:
    """Tables (``.names``) of a BLIF file by their number of inputs; what is in them is not read."""
    lines = _logical_lines(read_source(Path(path), "BLIF"))
    words = (line.split() for _, line in lines)
    return dict(Counter(len(row) - 2 for row in words if row and row[0] == ".names"))


def read_blif(path: Path | str) -> Netlist:
    """Read one combinational model; tables of up to 6 inputs become two-input gates.

    Constants and wires cost no gate. Raises ModelFileError, naming the line, for latches,
    subcircuits, cycles, undefined or twice defined signals, bad covers, and files cut short.
    """
    path = Path(path)
    text = read_source(path, "BLIF")
    try:
        net = _read_plainly(path, text)
    except UnsoundError:
        net = None
    if net is not None:
        return net
    model = _Model(path)
    model.read(_logical_lines(text))
    try:
        return model.netlist(model.columns, model.n_hidden)
    except UnsoundError as error:
        raise model.complaint(error) from error
