"""Reads value change dumps (VCD, IEEE 1364-2005 section 18) and lists what a clock saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate2hw.errors import InputError

__all__ = ["Vcd", "read_vcd", "table"]


@dataclass(frozen=True)
class Vcd:
    """`signals` maps full names (scopes joined by dots) to (code, width); one code may have
    several names. `changes` are (time, code, value), values as bit strings of the full width."""

    signals: Mapping[str, tuple[str, int]]
    changes: Sequence[tuple[int, str, str]]

    def find(self, name: str) -> str:
        """The code of the signal called `name`: its full name, or how the full name ends after a
        dot, the fewest scopes deep; InputError where there is none, or several are as deep."""
        found = {full: code for full, (code, _) in self.signals.items() if full == name}
        ends = f".{name}"
        found = found or {f: code for f, (code, _) in self.signals.items() if f.endswith(ends)}
        depth = min((full.count(".") for full in found), default=0)
        codes = {code for full, code in found.items() if full.count(".") == depth}
        if len(codes) != 1:
            raise InputError(f"the waveform has {len(codes) or 'no'} signals called {name}")
        return codes.pop()

    def cycles(self, clock: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """(time, values of `names`) as each rising edge of `clock` finds them, and in the end."""
        clk, codes = self.find(clock), {name: self.find(name) for name in names}
        now: dict[str, str] = {}
        pending: list[tuple[str, str]] = []
        last = 0
        for time, code, value in self.changes:
            if time != last:
                now.update(pending)
                pending, last = [], time
            if code == clk and value == "1" and now.get(clk) == "0":
                yield time, {name: now.get(c, "x") for name, c in codes.items()}
            pending.append((code, value))
        now.update(pending)
        yield last, {name: now.get(c, "x") for name, c in codes.items()}


def _header(lines: Iterator[str]) -> dict[str, tuple[str, int]]:
    signals: dict[str, tuple[str, int]] = {}
    scopes: list[str] = []
    for line in lines:
        words = line.split()
        match words[:1]:
            case ["$scope"]:
                scopes.append(words[2])
            case ["$upscope"]:
                scopes.pop()
            case ["$var"]:
                name = words[4]
                if words[5:6] != ["$end"] and not words[5].startswith("["):
                    name += words[5]
                signals[".".join([*scopes, name])] = (words[3], int(words[2]))
            case ["$enddefinitions"]:
                return signals
    raise InputError("the waveform has no complete header")


def read_vcd(path: Path) -> Vcd:
    """Read a VCD file; InputError where it is not one. Real numbers and events are left out."""
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = iter(file)
        signals = _header(lines)
        width = dict(signals.values())
        changes: list[tuple[int, str, str]] = []
        time = 0
        for line in lines:
            text = line.strip()
            if text[:1] == "#":
                time = int(text[1:])
            elif text[:1] in ("b", "B"):
                value, code = text[1:].split()
                fill = "0" if value[0] == "1" else value[0]
                changes.append((time, code, value.lower().rjust(width[code], fill)))
            elif text[:1] in ("0", "1", "x", "X", "z", "Z"):
                changes.append((time, text[1:].strip(), text[0].lower()))
    return Vcd(signals, changes)


def table(
    path: Path, clock: str, columns: Mapping[str, str], *, n_first: int = 8, n_last: int = 24
) -> str:
    """A line a clock cycle, a column a signal (label to name, vectors as hex).

    Equal lines are one, and of a long table only the first and last lines are given. The last
    line is the state in which the waveform ends. A signal that the waveform lacks has no column.
    """
    vcd = read_vcd(path)
    ends = {part for full in vcd.signals for part in _tails(full)}
    columns = {label: name for label, name in columns.items() if name in ends}
    rows: list[list[str]] = []
    for number, (_, values) in enumerate(vcd.cycles(clock, list(columns.values()))):
        row = [_shown(value) for value in values.values()]
        if rows and rows[-1][1:] == row:
            rows[-1][0] = f"..{number}"
        else:
            rows.append([str(number), *row])
    if len(rows) > n_first + n_last:
        rows[n_first:-n_last] = [["..."] * len(rows[0])]
    rows.insert(0, ["cycle", *columns])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _tails(full: str) -> list[str]:
    words = full.split(".")
    return [".".join(words[first:]) for first in range(len(words))]


def _shown(bits: str) -> str:
    if len(bits) == 1:
        return bits
    digits = [bits[max(0, end - 4) : end] for end in range(len(bits), 0, -4)]
    return "".join(
        f"{int(digit, 2):x}" if set(digit) <= {"0", "1"} else "x" for digit in reversed(digits)
    )
