"""The boards of a report in words; the page and the terminal share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gate2hw.report.numerals import count, number, percent
from gate2hw.report.schema import Report
from gate2hw.report.schema_boards import BoardRun, FittedBoard

__all__ = ["BoardRow", "board_rows"]

_STAGES: Final = {"rtl": "Verilog", "netlist": "netlist after synthesis"}


@dataclass(frozen=True)
class BoardRow:
    """A board; `is_right` is false where it does not fit, or a simulation gave a wrong answer."""

    name: str
    board: FittedBoard | None
    line: str
    clock: str
    use: str
    simulated: str
    is_right: bool


def _line(board: FittedBoard) -> str:
    return "SPI" if board["baud"] is None else f"UART, {count(board['baud'])} baud"


def _use(board: FittedBoard) -> str:
    """Cells in use, the fullest kind first."""
    uses = sorted(board["utilisation"].items(), key=lambda u: -u[1]["used"] / u[1]["available"])
    return ", ".join(
        f"{kind} {count(use['used'])} of {count(use['available'])} "
        f"({percent(use['used'] / use['available'], 0)})"
        for kind, use in uses
        if use["used"]
    )


def _runs(runs: list[BoardRun]) -> Iterator[str]:
    for run in runs:
        names = ", ".join(name.replace("_", " ") for name in run["skipped"])
        why = "; ".join(dict.fromkeys(run["skipped"].values()))
        yield (
            f"{_STAGES[run['stage']]}: {count(run['n_packets'])} packets, "
            f"{count(run['mismatches'])} wrong" + (f" ({names} left out: {why})" if names else "")
        )


def _simulated(board: FittedBoard) -> tuple[str, bool]:
    found = board["simulations"]
    if found is None:
        return board.get("simulations_reason", ""), True
    if not isinstance(found, list):
        return f"FAILED: {found['message']}", False
    return "; ".join(_runs(found)), not any(run["mismatches"] for run in found)


def board_rows(report: Report) -> list[BoardRow]:
    """The boards of `report`, by name."""
    rows = []
    for name, board in sorted(report.get("boards", {}).items()):
        if not board["fits"]:
            rows.append(BoardRow(name, None, "", "", "", board["reason"], is_right=False))
            continue
        simulated, is_right = _simulated(board)
        clock = f"{number(board['clock_mhz'])} by {'PLL' if board['pll'] else 'oscillator'}"
        rows.append(
            BoardRow(name, board, _line(board), clock, _use(board), simulated, is_right=is_right)
        )
    return rows
