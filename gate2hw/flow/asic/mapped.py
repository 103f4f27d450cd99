"""A netlist of library cells in columns, and its simulation, 64 streams at a time.

What a cell does is its Liberty function. Without delays: every net settles once a cycle, so that
glitches do not show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.tools.liberty import Cell, Library
from gate2hw.tools.liberty_logic import Function, Words

__all__ = ["LANES", "CellGroup", "MappedNetlist", "Simulation", "load_mapped"]

LANES: Final = 64
_ONES: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
Nets = npt.NDArray[np.int32]


@dataclass(frozen=True)
class CellGroup:
    """The n cells of one type: `nets` gives (n,) int32 nets by pin, `block` (n,) int16."""

    cell: Cell
    nets: dict[str, Nets]
    block: npt.NDArray[np.int16]


@dataclass(frozen=True)
class MappedNetlist:
    """Cells by type over nets 0..n_nets-1, of which 0 is constant 0 and 1 constant 1.

    `ports` gives the nets of each port, bit 0 first; `blocks` names the numbers in the groups.
    """

    n_nets: int
    groups: tuple[CellGroup, ...]
    inputs: dict[str, Nets]
    outputs: dict[str, Nets]
    blocks: tuple[str, ...]

    @property
    def n_cells(self) -> int:
        """How many cells."""
        return sum(len(group.block) for group in self.groups)


def load_mapped(path: Path, library: Library) -> MappedNetlist:
    """Read the flat netlist that `map_to_cells` wrote as JSON.

    Raises InputError, naming the cell, where it is no netlist of cells of `library`.
    """
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
        (module,) = (item for item in modules.values() if not _is_library_cell(item))
        return _columns(module, library, path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a flat mapped netlist ({error}); synth again") from error


def _is_library_cell(module: Mapping[str, Any]) -> bool:
    return any(module["attributes"].get(key) for key in ("blackbox", "whitebox", "liberty_cell"))


class _Numbers:
    """Numbers of nets, from 2 on, by Yosys's numbers of bits."""

    def __init__(self) -> None:
        self.known: dict[int | str, int] = {"0": 0, "1": 1, "x": 0, "z": 0}

    def of(self, bits: list[int | str]) -> list[int]:
        return [self.known.setdefault(bit, len(self.known) - 2) for bit in bits]


def _columns(module: Mapping[str, Any], library: Library, path: Path) -> MappedNetlist:
    numbers = _Numbers()
    ports: dict[str, dict[str, Nets]] = {"input": {}, "output": {}}
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = np.array(numbers.of(port["bits"]), np.int32)
    blocks: dict[str, int] = {}
    rows: dict[str, list[list[int]]] = {}
    block_of: dict[str, list[int]] = {}
    for name, item in module["cells"].items():
        cell = library.cells.get(item["type"])
        if cell is None:
            raise InputError(f"{path}: {name} is a {item['type']}, no cell of {library.path}")
        bits = [item["connections"].get(pin, ["x"]) for pin in cell.inputs]
        # an output that nothing reads has a net of its own
        bits += [item["connections"].get(pin, [f"{name}.{pin}"]) for pin in cell.outputs]
        rows.setdefault(cell.name, []).append([numbers.of(bit or ["x"])[0] for bit in bits])
        block = item["attributes"].get("block", "other")
        block_of.setdefault(cell.name, []).append(blocks.setdefault(block, len(blocks)))
    groups = []
    for name in sorted(rows):
        cell = library.cells[name]
        table = np.array(rows[name], np.int32).reshape(len(rows[name]), -1)
        nets = {pin: table[:, i].copy() for i, pin in enumerate((*cell.inputs, *cell.outputs))}
        groups.append(CellGroup(cell, nets, np.array(block_of[name], np.int16)))
    return MappedNetlist(
        len(numbers.known) - 2, tuple(groups), ports["input"], ports["output"], tuple(blocks)
    )


@dataclass(frozen=True)
class _Step:
    """Cells of one type on one level: all can be evaluated at once."""

    functions: tuple[tuple[Function, Nets], ...]
    inputs: dict[str, Nets]


@dataclass
class _Registers:
    """Flip-flops of one type, with their state."""

    group: CellGroup
    state: Words

    def outputs(self) -> list[tuple[Nets, Words]]:
        flip_flop = self.group.cell.flip_flop
        assert flip_flop is not None
        states = dict(zip(flip_flop.states, (self.state, ~self.state), strict=True))
        cell = self.group.cell
        return [(self.group.nets[p], cell.function(p).evaluate(states)) for p in cell.outputs]


def _steps(net: MappedNetlist) -> list[_Step]:
    """The combinational cells in order of their levels; InputError where they form a loop."""
    known = np.zeros(net.n_nets, bool)
    known[:2] = True
    for bits in net.inputs.values():
        known[bits] = True
    logic = [group for group in net.groups if group.cell.is_logic]
    for group in net.groups:
        if group.cell.flip_flop is not None:
            for pin in group.cell.outputs:
                known[group.nets[pin]] = True
    waiting = [np.arange(len(group.block)) for group in logic]
    steps = []
    while any(map(len, waiting)):
        ready = []
        for number, group in enumerate(logic):
            at = waiting[number]
            fine = np.ones(len(at), bool)
            for pin in group.cell.inputs:
                fine &= known[group.nets[pin][at]]
            ready.append(at[fine])
            waiting[number] = at[~fine]
        if not any(map(len, ready)):
            raise InputError("the mapped netlist has a combinational loop, or a net without driver")
        for group, at in zip(logic, ready, strict=True):
            cell = group.cell
            outputs = tuple((cell.function(pin), group.nets[pin][at]) for pin in cell.outputs)
            for _, nets in outputs:
                known[nets] = True
            if len(at):
                inputs = {pin: group.nets[pin][at] for pin in cell.inputs}
                steps.append(_Step(outputs, inputs))
    return steps


def _constants(net: MappedNetlist) -> npt.NDArray[np.int8]:
    """(nets,): 0 or 1 for constants and what tie cells drive, else -1."""
    found = np.full(net.n_nets, -1, np.int8)
    found[:2] = [0, 1]
    for group in net.groups:
        if group.cell.is_logic and not group.cell.inputs:
            for pin in group.cell.outputs:
                found[group.nets[pin]] = group.cell.function(pin).table(())
    return found


def _is_tied_off(
    group: CellGroup, function: Function | None, constant: npt.NDArray[np.int8]
) -> bool:
    """Whether clear or preset by `function` can never happen in any flip-flop of `group`."""
    if function is None:
        return True
    if not set(function.pins()) <= set(group.nets):
        return False
    values = {pin: constant[group.nets[pin]] for pin in function.pins()}
    if any((value < 0).any() for value in values.values()):
        return False
    words = {pin: np.where(value == 1, _ONES, np.uint64(0)) for pin, value in values.items()}
    return not function.evaluate(words).any()


class Simulation:
    """64 copies of a netlist, a bit of a word each, from clock edge to clock edge.

    Flip-flops begin as 0. Raises InputError where the netlist holds latches, other clocks than the
    rising edge of the port `clock`, or asynchronous set or clear that is not tied off.
    """

    def __init__(self, net: MappedNetlist, clock: str = "clk") -> None:
        self.net = net
        self.values: Words = np.zeros(net.n_nets, np.uint64)
        self.values[1] = _ONES
        self._steps = _steps(net)
        self._registers = []
        constant = _constants(net)
        for group in net.groups:
            if group.cell.is_logic:
                continue
            flip_flop = group.cell.flip_flop
            tied = flip_flop is not None and all(
                _is_tied_off(group, function, constant)
                for function in (flip_flop.clear, flip_flop.preset)
            )
            if flip_flop is None or group.cell.is_latch or not tied:
                raise InputError(
                    f"{group.cell.name}: only gates and flip-flops without asynchronous set or "
                    "clear (but for those tied off) can be simulated"
                )
            on = flip_flop.clocked_on
            if on.kind != "pin" or (group.nets[on.name] != net.inputs[clock][0]).any():
                raise InputError(f"{group.cell.name}: is not clocked by the rising edge of {clock}")
            self._registers.append(_Registers(group, np.zeros(len(group.block), np.uint64)))

    def set(self, port: str, words: Words | np.uint64) -> None:
        """Drive the bits of an input port; `words` is (bits,) uint64, or one word for all."""
        self.values[self.net.inputs[port]] = words

    def get(self, port: str) -> Words:
        """(bits,) uint64: an output port as it stands."""
        return self.values[self.net.outputs[port]]

    def settle(self) -> None:
        """Let the inputs and states run through the gates."""
        values = self.values
        for register in self._registers:
            for nets, words in register.outputs():
                values[nets] = words
        for step in self._steps:
            pins = {pin: values[nets] for pin, nets in step.inputs.items()}
            for function, nets in step.functions:
                values[nets] = function.evaluate(pins)

    def clock(self) -> None:
        """A rising edge of the clock; what the flip-flops took shows after `settle`."""
        for register in self._registers:
            group = register.group
            assert group.cell.flip_flop is not None
            pins = {pin: self.values[group.nets[pin]] for pin in group.cell.inputs}
            states = group.cell.flip_flop.states
            pins |= dict(zip(states, (register.state, ~register.state), strict=True))
            register.state = group.cell.flip_flop.next_state.evaluate(pins)
