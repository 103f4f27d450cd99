"""Units and look-up tables of a Liberty file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.tools.liberty_syntax import Group

__all__ = ["Floats", "Table", "Units"]

Floats = npt.NDArray[np.float64]

_CAPACITANCE: Final = {"ff": 1e-3, "pf": 1.0}
_SECONDS: Final = {"fs": 1e-6, "ps": 1e-3, "ns": 1.0}
_WATTS: Final = {"pw": 1e-9, "nw": 1e-6, "uw": 1e-3, "mw": 1.0}
_LOADS: Final = ("total_output_net_capacitance", "equal_or_opposite_output_net_capacitance")
_OTHER_LOADS: Final = (
    *_LOADS,
    "total_output2_net_capacitance",
    "related_out_total_output_net_capacitance",
)
_POWER: Final = ("rise_power", "fall_power", "power")
_SLEWS: Final = ("input_net_transition", "input_transition_time", "related_pin_transition")


@dataclass(frozen=True)
class Table:
    """Values over loads (pF) and input transitions (ns); an axis of one point is a constant.

    Of a table with a load of another output, too, it holds the values at that load's first point.
    """

    load_pf: Floats
    slew_ns: Floats
    values: Floats

    def at(self, load_pf: Floats, slew_ns: Floats) -> Floats:
        """Linear between the points, the end values beyond them; arrays of one shape."""
        (row, down), (column, right) = _place(self.load_pf, load_pf), _place(self.slew_ns, slew_ns)
        low, high = (1 - right) * self._pick(row, column), right * self._pick(row, column + 1)
        first = low + high
        second = (1 - right) * self._pick(row + 1, column) + right * self._pick(row + 1, column + 1)
        return np.asarray((1 - down) * first + down * second)

    def _pick(self, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]) -> Floats:
        n_rows, n_columns = self.values.shape
        return np.asarray(
            self.values[np.minimum(row, n_rows - 1), np.minimum(column, n_columns - 1)]
        )


def _place(axis: Floats, value: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """The point at or before `value`, and how far it is on the way to the next: 0..1."""
    if len(axis) == 1:
        return np.zeros(np.shape(value), np.intp), np.zeros(np.shape(value))
    inside = np.clip(value, axis[0], axis[-1])
    index = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, len(axis) - 2)
    return index, (inside - axis[index]) / (axis[index + 1] - axis[index])


@dataclass(frozen=True)
class Units:
    """Factors from the file's units to pF, ns and mW, and the axes of its table templates."""

    path: Path
    capacitance: float
    time: float
    leakage: float
    voltage: float
    templates: dict[tuple[str, str], Group]
    defaults: dict[str, str]

    def number(self, text: str | None, group: Group, what: str) -> float:
        try:
            value = float(text if text is not None else "")
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise InputError(f"{self.path}, line {group.line}: {what} is {text!r}, not a number")
        return value

    def row(self, texts: tuple[str, ...], group: Group) -> list[float]:
        words = re.split(r"[\s,]+", " ".join(texts).strip(" ,\t\n"))
        return [self.number(word, group, "a value of a table") for word in words]

    def table(self, group: Group, scale: float) -> Table:
        """The table in `group`, its values times `scale`."""
        rows = [self.row((text,), group) for args in group.lists.get("values", []) for text in args]
        if not rows:
            raise InputError(f"{self.path}, line {group.line}: {group.name} has no values")
        name = group.args[0] if group.args else "scalar"
        axes: dict[str, Floats] = {"load": np.zeros(1), "slew": np.zeros(1)}
        order: list[str] = []
        kind = "power" if group.name in _POWER else "lu"
        template = self.templates.get((kind, name)) or self.templates.get(("", name))
        if template is None and name != "scalar":
            raise InputError(f"{self.path}, line {group.line}: there is no table template {name}")
        for number in (1, 2, 3) if template is not None else ():
            variable = template.values.get(f"variable_{number}") if template is not None else None
            if variable is None:
                continue
            axis = "load" if variable in _LOADS else "slew" if variable in _SLEWS else None
            if variable in _OTHER_LOADS and (axis is None or axis in order):
                axis = "other"
            key = f"index_{number}"
            lists = group.lists.get(key) or (template.lists.get(key) if template else None)
            if axis is None or axis in order or not lists:
                raise InputError(
                    f"{self.path}, line {group.line}: the table's axis {variable!r} is not known"
                )
            order.append(axis)
            factor = self.capacitance if axis == "load" else self.time
            axes[axis] = np.array(self.row(lists[0], group)) * factor
        return self._shaped(group, rows, axes, order, scale)

    def _shaped(
        self,
        group: Group,
        rows: list[list[float]],
        axes: dict[str, Floats],
        order: list[str],
        scale: float,
    ) -> Table:
        shape = [len(axes[axis]) for axis in order]
        flat = np.array([value for row in rows for value in row])
        rising = all((np.diff(axis) > 0).all() for axis in axes.values())
        if flat.size != int(np.prod(shape)) or not rising:
            raise InputError(
                f"{self.path}, line {group.line}: {group.name} has {flat.size} values for "
                f"{' x '.join(map(str, shape)) or '1'} points, or axes that do not rise"
            )
        values = flat.reshape(shape) * scale
        if "other" in order:
            values = np.take(values, 0, axis=order.index("other"))
        if [axis for axis in order if axis != "other"] == ["slew", "load"]:
            values = values.T
        values = values.reshape(len(axes["load"]), len(axes["slew"]))
        return Table(axes["load"], axes["slew"], values)

    @staticmethod
    def of(library: Group, path: Path) -> Units:
        """The units that the library group states; InputError for a missing or unknown one."""

        def scale(key: str, words: tuple[str, ...], known: dict[str, float]) -> float:
            text = "".join(words).strip().lower()
            match = re.fullmatch(r"((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]+)", text)
            if match is None or match[2] not in known or not float(match[1]) > 0:
                raise InputError(f"{path}: {key} is {text or 'missing'!r}, a unit is needed")
            return float(match[1]) * known[match[2]]

        load = library.lists.get("capacitive_load_unit", [()])[0]
        leakage = library.values.get("leakage_power_unit", "1nw")
        voltage = library.values.get("voltage_unit", "1V")
        found = [g for g in library.groups if g.name.endswith("_template") and g.args]
        templates = {("", group.args[0]): group for group in found}
        # a name may be that of a template of delays and of another one of energies
        templates |= {(group.name.partition("_")[0], group.args[0]): group for group in found}
        return Units(
            path,
            scale("capacitive_load_unit", load, _CAPACITANCE),
            scale("time_unit", (library.values.get("time_unit", "1ns"),), _SECONDS),
            scale("leakage_power_unit", (leakage,), _WATTS),
            scale("voltage_unit", (voltage,), {"v": 1.0, "mv": 1e-3}),
            templates,
            {key: text for key, text in library.values.items() if key.startswith("default_")},
        )
