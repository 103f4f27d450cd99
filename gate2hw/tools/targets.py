"""The targets: one FPGA part and package each, read from `flows/<name>/target.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_type_hints

from gate2hw.errors import DoesNotFitError, InputError, nearest
from gate2hw.tools.resources import data_dir

__all__ = ["Family", "Target", "check_fits", "load_target", "targets"]

Family = Literal["ice40", "ecp5"]
Popcount = Literal["adder", "compressor"]


@dataclass(frozen=True)
class Target:
    """A part and package with what it has to offer.

    `luts`, `ffs` and `ios` count what a user's design may take. `device_args` goes to nextpnr,
    `yosys_options` to the synthesis command. `popcount` is the form of popcount that takes fewer
    LUTs on this family.
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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
    return _from_table(name, table, path)


class _Mapped(Protocol):
    """What `check_fits` reads of a synthesis result."""

    @property
    def lut_sites(self) -> int: ...

    @property
    def ffs(self) -> int: ...


def check_fits(target: Target, synth_result: _Mapped | None, n_ios: int) -> None:
    """Check the counts of a design against what `target` has, before place and route.

    `n_ios` is the number of pins of the design; `synth_result` is what synthesis counted, None
    before it (then only pins are checked). A design that passes may still not place.

    Raises:
        DoesNotFitError: it is too big; the text says by how much of what.
    """
    needs = [("pins", n_ios, target.ios)]
    if synth_result is not None:
        needs.append(("LUTs", synth_result.lut_sites, target.luts))
        needs.append(("FFs", synth_result.ffs, target.ffs))
    short = [
        f"needs {used:,} {what}, {target.name} has {available:,}: {used - available:,} too many"
        for what, used, available in needs
        if used > available
    ]
    if short:
        raise DoesNotFitError("; ".join(short))


def _names() -> list[str]:
    return sorted(path.parent.name for path in data_dir("flows").glob("*/target.toml"))


def _from_table(name: str, table: dict[str, Any], path: Path) -> Target:
    hints = get_type_hints(Target)
    fields = {f.name for f in dataclasses.fields(Target)} - {"name"}
    for key in table:
        if key not in fields:
            raise InputError(f"{path}: unknown key {key!r}; {nearest(key, fields)}")
    values: dict[str, Any] = {}
    for key in sorted(fields):
        if key not in table:
            raise InputError(f"{path}: the key {key!r} is missing")
        values[key] = _checked(table[key], hints[key], f"{path}: {key}")
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
