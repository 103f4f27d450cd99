"""Liberty files: the cells of a standard-cell library, with areas, functions and energies.

A strict reader of what area, power and netlists need. Tables are looked up between their points
and held at their ends, as nothing is measured beyond. Format: Liberty User Guide (Open Source
Liberty), volume 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gate2hw.errors import InputError
from gate2hw.tools.liberty_logic import Function, parse_function
from gate2hw.tools.liberty_syntax import Group, read_groups
from gate2hw.tools.liberty_tables import Table, Units

__all__ = ["Cell", "Energy", "FlipFlop", "Library", "Pin", "Table", "read_liberty"]


@dataclass(frozen=True)
class Energy:
    """An internal_power group: pJ of a rise and of a fall of its pin; None where not given.

    Groups of several `supply` pins are parts of one energy, others are alternatives.
    """

    related_pin: str | None
    when: str | None
    rise: Table | None
    fall: Table | None
    supply: str | None = None


@dataclass(frozen=True)
class Pin:
    """A pin; `transitions` are the slews (ns) that its timing arcs give an output."""

    name: str
    direction: str
    capacitance_pf: float
    function: Function | None
    is_clock: bool
    is_three_state: bool
    energies: tuple[Energy, ...]
    transitions: tuple[Table, ...]


@dataclass(frozen=True)
class FlipFlop:
    """Its two state variables, next state, clock, and asynchronous clear and preset if any."""

    states: tuple[str, str]
    next_state: Function
    clocked_on: Function
    clear: Function | None
    preset: Function | None


@dataclass(frozen=True)
class Cell:
    """A cell; `leakage_mw` is None where the library gives none.

    `is_latch`: it stores otherwise than as one flip-flop, or has buses; it is not used.
    """

    name: str
    area: float
    leakage_mw: float | None
    pins: dict[str, Pin]
    flip_flop: FlipFlop | None
    is_latch: bool
    dont_use: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of its input pins."""
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "input")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its output pins."""
        return tuple(pin.name for pin in self.pins.values() if pin.direction == "output")

    @property
    def is_logic(self) -> bool:
        """Whether it is combinational, with a function for each output and no third state."""
        outputs = [self.pins[name] for name in self.outputs]
        plain = all(pin.function is not None and not pin.is_three_state for pin in outputs)
        return plain and bool(outputs) and self.flip_flop is None and not self.is_latch

    def function(self, pin: str) -> Function:
        """The function of output `pin`, which must have one."""
        found = self.pins[pin].function
        assert found is not None
        return found


@dataclass(frozen=True)
class Library:
    """A standard-cell library in pF, ns, pJ, mW and V; areas as the file gives them (um2)."""

    name: str
    path: Path
    voltage_v: float
    cells: dict[str, Cell]

    def flip_flops(self) -> list[Cell]:
        """Those that can hold a bit: one clock, one data pin, perhaps an enable; no scan input."""
        return [
            cell
            for cell in self.cells.values()
            if cell.flip_flop is not None
            and not cell.is_latch
            and not cell.dont_use
            and len(cell.flip_flop.clocked_on.pins()) == 1
            and len(set(cell.flip_flop.next_state.pins()) - set(cell.flip_flop.states))
            <= 1 + bool(set(cell.flip_flop.next_state.pins()) & set(cell.flip_flop.states))
        ]

    def full_adder(self) -> tuple[Cell, dict[str, str]] | None:
        """The smallest cell that gives sum and carry of three inputs, and its pins by role.

        Roles are A, B, C, X (carry) and Y (sum), as of Yosys's ``$fa``.
        """
        found: tuple[Cell, dict[str, str]] | None = None
        for cell in self.cells.values():
            if not cell.is_logic or len(cell.inputs) != 3 or len(cell.outputs) != 2:
                continue
            pins = cell.inputs
            tables = {cell.function(name).table(pins): name for name in cell.outputs}
            if cell.dont_use or set(tables) != {0b11101000, 0b10010110}:
                continue
            if found is None or cell.area < found[0].area:
                roles = dict(zip("ABC", pins, strict=True))
                found = cell, {**roles, "X": tables[0b11101000], "Y": tables[0b10010110]}
        return found

    def constants(self) -> dict[str, tuple[str, str]]:
        """(cell, pin) of the smallest tie cell for ``"0"`` and ``"1"``, where there is one."""
        found: dict[str, tuple[str, str]] = {}
        for cell in sorted(self.cells.values(), key=lambda cell: (cell.area, cell.name)):
            if cell.is_logic and not cell.inputs:
                for pin in cell.outputs:
                    found.setdefault(str(cell.function(pin).table(())), (cell.name, pin))
        return found

    def buffer(self) -> tuple[Cell, str, str] | None:
        """The smallest buffer with its input and output pin; None where there is none."""
        found = [
            cell
            for cell in self.cells.values()
            if cell.is_logic
            and not cell.dont_use
            and (len(cell.inputs), len(cell.outputs)) == (1, 1)
            and cell.function(cell.outputs[0]).table(cell.inputs) == 0b10
        ]
        if not found:
            return None
        cell = min(found, key=lambda cell: (cell.area, cell.name))
        return cell, cell.inputs[0], cell.outputs[0]


def _energies(pin: Group, units: Units) -> tuple[Energy, ...]:
    # internal_power counts in voltage_unit^2 * capacitive_load_unit: pJ for volts and pF
    scale = units.voltage**2 * units.capacitance
    found = []
    groups = list(pin.all("internal_power"))
    for group in _specific(groups, "related_pin", "related_pg_pin"):
        sides: dict[str, Table | None] = {"rise": None, "fall": None}
        for side in sides:
            for table in (*group.all(f"{side}_power"), *group.all("power")):
                sides[side] = units.table(table, scale)
        related, when, supply = (
            group.values.get(key) for key in ("related_pin", "when", "related_pg_pin")
        )
        found.append(Energy(related, when, sides["rise"], sides["fall"], supply))
    return tuple(found)


def _transitions(pin: Group, units: Units) -> tuple[Table, ...]:
    names = ("rise_transition", "fall_transition")
    return tuple(
        units.table(table, units.time)
        for timing in pin.all("timing")
        if not timing.values.get("timing_type", "").startswith(("three_state", "setup", "hold"))
        for name in names
        for table in timing.all(name)
    )


def _specific(groups: list[Group], *keys: str) -> list[Group]:
    """`groups` without those that only stand for what others with a condition, alike in the
    attributes `keys`, leave open."""

    def place(group: Group) -> tuple[str | None, ...]:
        return tuple(group.values.get(key) for key in keys)

    conditional = {place(group) for group in groups if "when" in group.values}
    return [g for g in groups if "when" in g.values or place(g) not in conditional]


def _capacitance(pin: Group, units: Units, direction: str) -> float:
    """pF: as given for both edges, else the mean of the edges, else the library's default."""
    keys = ["rise_capacitance", "fall_capacitance"]
    found = [pin.values[key] for key in ("capacitance",) if key in pin.values]
    found = found or [pin.values[key] for key in keys if key in pin.values]
    found = found or [units.defaults.get(f"default_{direction}_pin_cap", "0")]
    values = [units.number(text, pin, "a capacitance") for text in found]
    return sum(values) / len(values) * units.capacitance


def _leakage(cell: Group, units: Units) -> float | None:
    """mW: of the whole cell, else the mean over its states (added up over supply pins), else the
    library's default; None where the library says nothing."""
    text = cell.values.get("cell_leakage_power")
    if text is not None:
        return units.number(text, cell, "a leakage") * units.leakage
    states: dict[str | None, list[float]] = {}
    for group in _specific(list(cell.all("leakage_power")), "related_pg_pin"):
        value = units.number(group.values.get("value"), group, "a leakage")
        states.setdefault(group.values.get("related_pg_pin"), []).append(value)
    if states:
        return sum(sum(values) / len(values) for values in states.values()) * units.leakage
    text = units.defaults.get("default_cell_leakage_power")
    return None if text is None else units.number(text, cell, "a leakage") * units.leakage


def _pin(group: Group, units: Units, where: str) -> Pin:
    name = group.args[0]
    direction = group.values.get("direction", "input")
    text = group.values.get("function")
    return Pin(
        name,
        direction,
        _capacitance(group, units, direction),
        None if text is None else parse_function(text, f"{where}, pin {name}"),
        group.values.get("clock", "").lower() == "true",
        "three_state" in group.values,
        _energies(group, units),
        _transitions(group, units) if direction == "output" else (),
    )


def _flip_flop(group: Group, where: str) -> FlipFlop:
    parts = {
        key: parse_function(group.values[key], f"{where}, {key}")
        for key in ("next_state", "clocked_on", "clear", "preset")
        if key in group.values
    }
    if len(group.args) != 2 or "next_state" not in parts or "clocked_on" not in parts:
        raise InputError(f"{where}: its ff group lacks a state, next_state or clocked_on")
    return FlipFlop(
        (group.args[0], group.args[1]),
        parts["next_state"],
        parts["clocked_on"],
        parts.get("clear"),
        parts.get("preset"),
    )


def _cell(group: Group, units: Units) -> Cell:
    where = f"{units.path}, cell {group.args[0] if group.args else ''}".rstrip()
    if len(group.args) != 1:
        raise InputError(f"{units.path}, line {group.line}: a cell without a name")
    pins: dict[str, Pin] = {}
    for pin in group.all("pin"):
        for name in pin.args:
            one = Group(pin.name, (name,), pin.line, pin.values, pin.lists, pin.groups)
            pins[name] = _pin(one, units, where)
    ffs = [_flip_flop(ff, where) for ff in group.all("ff")]
    others = ("latch", "ff_bank", "latch_bank", "statetable", "memory", "bus", "bundle")
    stores = any(any(group.all(name)) for name in others)
    return Cell(
        group.args[0],
        units.number(group.values.get("area", "0"), group, "an area"),
        _leakage(group, units),
        pins,
        ffs[0] if ffs else None,
        stores or len(ffs) > 1,
        group.values.get("dont_use", "").lower() == "true",
    )


def _voltage(library: Group, units: Units) -> float:
    """The nominal voltage: of the default operating conditions, else nom_voltage."""
    default = library.values.get("default_operating_conditions")
    for group in library.all("operating_conditions"):
        if group.args == (default,) and "voltage" in group.values:
            return units.number(group.values["voltage"], group, "the voltage") * units.voltage
    text = library.values.get("nom_voltage")
    return units.number(text, library, "nom_voltage") * units.voltage


def read_liberty(path: Path | str) -> Library:
    """Read the Liberty file `path`.

    Raises InputError, naming the file and line or cell, where it is none, is cut short, or lacks
    what a library must have: a name, a load unit, a voltage, cells.
    """
    path = Path(path)
    group = read_groups(path)
    units = Units.of(group, path)
    cells = {cell.name: cell for cell in (_cell(item, units) for item in group.all("cell"))}
    if not cells:
        raise InputError(f"{path}: a Liberty file without a cell")
    name = group.args[0] if group.args else path.stem
    return Library(name, path, _voltage(group, units), cells)
