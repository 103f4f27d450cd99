"""The shape of report.json's entry ``boards``: the model with a line to a host, on a real board."""

from __future__ import annotations

from typing import Literal, NotRequired, TypeAlias, TypedDict

__all__ = ["Board", "BoardFailure", "BoardRun", "BoardUse", "FittedBoard", "RefusedBoard"]


class BoardUse(TypedDict):
    """How many cells of a kind are in use."""

    used: int
    available: int


class BoardRun(TypedDict):
    """A simulation from the pins; `skipped` says which tests were left out, and why."""

    stage: Literal["rtl", "netlist"]
    simulator: str
    n_packets: int
    mismatches: int
    skipped: dict[str, str]


class BoardFailure(TypedDict):
    """A simulation whose answers were wrong."""

    result: Literal["failed"]
    message: str


class FittedBoard(TypedDict):
    """A placed and routed board; `clock_mhz` is the clock it runs at, `bitstream` below the build
    folder. Where `simulations` is null, `simulations_reason` says why."""

    fits: Literal[True]
    target: str
    interface: Literal["uart", "spi"]
    baud: int | None
    clock_mhz: float
    pll: bool
    fmax_mhz: float
    clock_met: bool
    luts: int
    ffs: int
    utilisation: dict[str, BoardUse]
    bitstream: str
    simulations: list[BoardRun] | BoardFailure | None
    simulations_reason: NotRequired[str]


class RefusedBoard(TypedDict):
    """A board that the design does not fit, or whose files are stale."""

    fits: Literal[False]
    reason: str


Board: TypeAlias = FittedBoard | RefusedBoard
