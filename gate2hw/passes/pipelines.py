"""The optimisation levels -O0 .. -O3 as lists of passes.

Each level starts with the passes of the level below and only adds some, and no pass ever adds a
gate, or a level without taking gates: so each level is never worse than the one below, in gates
and then in depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from gate2hw.errors import InputError
from gate2hw.ir.care import CareSet
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.care_observe import care_observe
from gate2hw.passes.care_rewrite import care_rewrite
from gate2hw.passes.dce import dce
from gate2hw.passes.fold import fold
from gate2hw.passes.head_constants import head_constants
from gate2hw.passes.head_merge import head_merge
from gate2hw.passes.lookthrough import lookthrough
from gate2hw.passes.regroup import regroup
from gate2hw.passes.strash import strash

__all__ = ["LEVELS", "OutputKind", "Pass", "Pipeline", "pipeline"]

Pass: TypeAlias = Callable[[Netlist], Netlist]
OutputKind: TypeAlias = Literal["class", "scores"]

LEVELS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Pipeline:
    """Passes in order; with `until_fixed` the list is repeated until a round changes nothing."""

    passes: tuple[Pass, ...]
    until_fixed: bool = False


_ONCE = (fold, dce, head_constants)
_LOCAL = (fold, dce, strash, fold, dce, head_constants, lookthrough, regroup)
# the care passes undo some of the sharing that regroup made, and uncover more: it comes twice
_CARE = (care_rewrite, care_observe, strash, regroup)


def pipeline(
    level: int, *, care: CareSet = "thermometer", output: OutputKind = "scores"
) -> Pipeline:
    """Return the pipeline of an optimisation level; InputError for an unknown one.

    `care` says which input codes count, `output` whether all scores must be kept, or only their
    differences, which decide the class.
    """
    with_care = _CARE if care == "thermometer" else ()
    passes = (*_LOCAL, *with_care, partial(head_merge, output=output))
    match level:
        case 0:
            return Pipeline(())
        case 1:
            return Pipeline(_ONCE)
        case 2:
            return Pipeline(passes)
        case 3:
            return Pipeline(passes, until_fixed=True)
    allowed = ", ".join(map(str, LEVELS))
    raise InputError(f"optimisation level {level!r} is unknown. Allowed: {allowed}")
