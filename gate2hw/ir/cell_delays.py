"""A module of LUT cells read back: as many registers on every path from its inputs to its outputs.

Logic and registers are separate questions. That the cells compute the right function is proved with
registers as wires; that a pipeline computes it too takes that all operands of each LUT belong to
the same sample, which is what is checked here, on the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gate2hw.errors import IRError
from gate2hw.ir.lut_cells import CELL_KINDS, CellFamily, CellKind

__all__ = ["check_cell_delays"]

_INPUT: Final = re.compile(r"  wire (\w+) = x\[\d+\];")
_WIRE: Final = re.compile(r"  wire \w+;")
_OUTPUT: Final = re.compile(r"  assign y\[(\d+)\] = (\w+|1'b[01]);")
_FRAME: Final = re.compile(r"//.*|module \w+ \(|  (in|out)put wire .*|\);|endmodule|")


def _patterns(kind: CellKind) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A line of a LUT: its output, then its pins; and one of a register: q and d."""
    pins = ", ".join(rf"\.{pin}\((\w+|1'b0)\)" for pin in kind.pins)
    lut = rf"  {kind.lut} #\(\.{kind.init}\(16'h\w{{4}}\)\) \w+ \(\.{kind.out}\((\w+)\), {pins}\);"
    parts = re.split(r"(\{name\}|\{d\}|\{q\})", kind.register)
    names = {"{name}": r"\w+", "{d}": r"(?P<d>\w+)", "{q}": r"(?P<q>\w+)"}
    register = "  " + "".join(names.get(part, re.escape(part)) for part in parts)
    return re.compile(lut), re.compile(register)


@dataclass
class _Cells:
    """What drives each wire: nothing (an input), the pins of a LUT, or the data of a register."""

    name: str
    inputs: set[str] = field(default_factory=set)
    luts: dict[str, list[str]] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def read(self, lines: Iterable[str], kind: CellKind) -> None:
        lut, register = _patterns(kind)
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if match := lut.fullmatch(line):
                self.luts[match[1]] = [pin for pin in match.groups()[1:] if pin != "1'b0"]
            elif match := register.fullmatch(line):
                self.registers[match["q"]] = match["d"]
            elif match := _INPUT.fullmatch(line):
                self.inputs.add(match[1])
            elif match := _OUTPUT.fullmatch(line):
                self.outputs[f"y[{match[1]}]"] = match[2]
            elif not _WIRE.fullmatch(line) and not _FRAME.fullmatch(line):
                raise IRError(
                    f"{self.name}, line {number}: {line.strip()!r} is no cell; synth again"
                )

    def _sources(self, wire: str) -> list[str]:
        if wire in self.inputs:
            return []
        if wire in self.registers:
            return [self.registers[wire]]
        if wire in self.luts:
            return self.luts[wire]
        raise IRError(f"{self.name}: nothing drives {wire}; synth again")

    def _order(self) -> Iterator[str]:
        """All wires that an output needs, what drives a wire before it."""
        done: set[str] = set()
        for root in self.outputs.values():
            todo = [] if root.startswith("1'b") else [root]
            path: set[str] = set()
            while todo:
                wire = todo[-1]
                left = [source for source in self._sources(wire) if source not in done]
                if wire in done or not left:
                    todo.pop()
                    path.discard(wire)
                    if wire not in done:
                        done.add(wire)
                        yield wire
                    continue
                path.add(wire)
                if path & set(left):
                    raise IRError(f"{self.name}: {wire} is behind itself; synth again")
                todo += left

    def delays(self) -> dict[str, int | None]:
        """Registers between the inputs and each wire; None for a constant."""
        delay: dict[str, int | None] = {}
        for wire in self._order():
            if wire in self.registers:
                before = delay[self.registers[wire]]
                delay[wire] = None if before is None else before + 1
                continue
            found = {delay[pin]: pin for pin in self._sources(wire)}
            found.pop(None, None)
            if len(found) > 1:
                told = " and ".join(f"{pin} ({n} registers)" for n, pin in sorted(found.items()))
                raise IRError(f"{self.name}: the LUT of {wire} reads two samples at once: {told}")
            delay[wire] = 0 if wire in self.inputs else next(iter(found), None)
        return delay


def check_cell_delays(path: Path, family: CellFamily, n_ranks: int) -> None:
    """Raise IRError unless every path through the cells in `path` has `n_ranks` registers.

    The file must be as `lut_cells.write_cells` writes it, line by line. Each LUT's operands must
    stand behind equally many registers, and each output that is no constant behind `n_ranks`.
    """
    cells = _Cells(path.name)
    with path.open(encoding="ascii") as file:
        cells.read(file, CELL_KINDS[family])
    delay = cells.delays()
    for name, wire in cells.outputs.items():
        found = delay.get(wire)
        if found is not None and found != n_ranks:
            raise IRError(
                f"{path.name}: {name} ({wire}) stands behind {found} registers, not {n_ranks}"
            )
