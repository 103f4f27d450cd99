"""The optimisation levels -O0 .. -O3 as lists of passes.

Each level starts with the passes of the level below and only adds some, and no pass ever adds a
gate or a level: so each level is never worse than the one below, in gates and then in depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.dce import dce
from gate2hw.passes.fold import fold
from gate2hw.passes.head_constants import head_constants
from gate2hw.passes.strash import strash

__all__ = ["PIPELINES", "Pass", "Pipeline", "pipeline"]

Pass: TypeAlias = Callable[[Netlist], Netlist]


@dataclass(frozen=True)
class Pipeline:
    """Passes in order; with `until_fixed` the list is repeated until a round changes nothing."""

    passes: tuple[Pass, ...]
    until_fixed: bool = False


_ONCE: Final = (fold, dce, head_constants)
_SHARED: Final = (fold, dce, strash, fold, dce, head_constants)

PIPELINES: Final[dict[int, Pipeline]] = {
    0: Pipeline(()),
    1: Pipeline(_ONCE),
    2: Pipeline(_SHARED),
    3: Pipeline(_SHARED, until_fixed=True),
}


def pipeline(level: int) -> Pipeline:
    """Return the pipeline of an optimisation level; InputError for an unknown one."""
    if level not in PIPELINES:
        allowed = ", ".join(map(str, PIPELINES))
        raise InputError(f"optimisation level {level!r} is unknown. Allowed: {allowed}")
    return PIPELINES[level]
