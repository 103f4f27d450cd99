"""The targets: one FPGA part and package each, read from `flows/<name>/target.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from gate2hw.errors import InputError, nearest
from gate2hw.tools.resources import data_dir

__all__ = ["Family", "Target", "load_target", "targets"]

Family = Literal["ice40", "ecp5"]
Popcount = Literal["adder", "compressor"]


@dataclass(frozen=True)
class Target:
    """A part and package with what it has to offer.

    `luts`, `ffs` and `ios` count what a user's design may take. `device_args` goes to nextpnr,
    `yosys_options` to the synthesis command. `popcount` is the form of popcount that takes fewer
    LUTs on this family. `constraint_path` is a pin constraint file (PCF or LPF), or None if pins
    are placed automatically.
    """

    name: str
    family: Family
    part: str
    package: str
    description: str
    device_args: tuple[str, ...]
    default_clock_mhz: float
    luts: int
    ffs: int
    ios: int
    popcount: Popcount
    yosys_options: tuple[str, ...]
    constraint_path: Path | None = None


def targets() -> list[Target]:
    """Return all shipped targets, sorted by name."""
    return [load_target(name) for name in _names()]


def load_target(name: str) -> Target:
    """Return the target called `name`.

    Raises:
        InputError: there is no such target, or its file is not as it must be.
    """
    if name not in _names():
        raise InputError(f"unknown target {name!r}; {nearest(name, _names())}")
    path = data_dir("flows") / name / "target.toml"
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    return _from_table(name, table, path)


def _names() -> list[str]:
    return sorted(path.parent.name for path in data_dir("flows").glob("*/target.toml"))


def _from_table(name: str, table: dict[str, Any], path: Path) -> Target:
    hints = get_type_hints(Target)
    fields = {f.name for f in dataclasses.fields(Target)} - {"name", "constraint_path"}
    optional = {"constraint"}
    for key in table:
        if key not in fields | optional:
            raise InputError(f"{path}: unknown key {key!r}; {nearest(key, fields | optional)}")
    values: dict[str, Any] = {}
    for key in sorted(fields):
        if key not in table:
            raise InputError(f"{path}: the key {key!r} is missing")
        values[key] = _checked(table[key], hints[key], f"{path}: {key}")
    constraint = table.get("constraint")
    if constraint is not None:
        values["constraint_path"] = path.parent / _checked(constraint, str, f"{path}: constraint")
    return Target(name=name, **values)


def _checked(value: Any, kind: Any, where: str) -> Any:
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f"{where} must be a list of strings, not {value!r}")
        return tuple(value)
    if kind is float and type(value) in (int, float) and value > 0:
        return float(value)
    if kind is int and type(value) is int and value > 0:
        return value
    if kind is str and isinstance(value, str):
        return value
    if isinstance(value, str) and value in get_args(kind):
        return value
    allowed = get_args(kind)
    expected = f"one of {', '.join(allowed)}" if allowed else f"a positive {kind.__name__}"
    if kind is str:
        expected = "a string"
    raise InputError(f"{where} must be {expected}, not {value!r}")
