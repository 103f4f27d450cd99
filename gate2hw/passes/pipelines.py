"""The optimisation levels -O0 .. -O3 as lists of passes.

Each level starts with what the level below does and only adds to it, and no pass ever adds a gate,
or a level without taking gates: so each level is never worse than the one below, in gates and then
in depth. -O1 and -O2 are numpy alone, in linear time; -O3 calls ABC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from gate2hw.errors import InputError, nearest
from gate2hw.ir.care import CareSet
from gate2hw.ir.netlist import Netlist
from gate2hw.passes.local.care_observe import care_observe
from gate2hw.passes.local.care_rewrite import care_rewrite
from gate2hw.passes.local.dce import dce
from gate2hw.passes.local.fold import fold
from gate2hw.passes.local.head_constants import head_constants
from gate2hw.passes.local.head_merge import head_merge
from gate2hw.passes.local.lookthrough import lookthrough
from gate2hw.passes.local.regroup import regroup
from gate2hw.passes.local.strash import strash
from gate2hw.passes.resynth import resynth
from gate2hw.passes.sweep import sweep

__all__ = ["LEVELS", "OutputKind", "Pass", "Pipeline", "pipeline"]

Pass: TypeAlias = Callable[[Netlist], Netlist]
OutputKind: TypeAlias = Literal["class", "scores"]

LEVELS = (0, 1, 2, 3)
OUTPUTS = ("class", "scores")


@dataclass(frozen=True)
class Pipeline:
    """Passes in order; with `until_fixed` the list is repeated until a round changes nothing.

    A pass is not run again on what it returned itself, so passes of such a list should be
    idempotent. `then` is what follows. With `is_level` the netlist after the list is what a lower
    level ends with.
    """

    passes: tuple[Pass, ...]
    until_fixed: bool = False
    then: Pipeline | None = None
    is_level: bool = False


_STRUCTURE = (fold, dce, strash, fold, dce, head_constants)
_LOCAL = (lookthrough, regroup)
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
    if output not in OUTPUTS:
        raise InputError(f"output {output!r} is unknown; {nearest(str(output), OUTPUTS)}")
    # what is not counted any more is dead
    merge = (partial(head_merge, output=output), dce)
    numpy_passes = (*_STRUCTURE, *_LOCAL, *with_care, *merge)
    structure = Pipeline(_STRUCTURE, until_fixed=True, is_level=True)
    once = Pipeline(numpy_passes, is_level=True)
    match level:
        case 0:
            return Pipeline(())
        case 1:
            return structure
        case 2:
            return replace(structure, then=once)
        case 3:
            polish = Pipeline(numpy_passes, until_fixed=True)
            solve = Pipeline((partial(sweep, care=care), partial(resynth, care=care)), then=polish)
            return replace(structure, then=replace(once, then=replace(polish, then=solve)))
    allowed = ", ".join(map(str, LEVELS))
    raise InputError(f"optimisation level {level!r} is unknown. Allowed: {allowed}")
