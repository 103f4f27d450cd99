"""Popcounts as LUT cells: which modules the core needs, and their Verilog.

A synthesis tool that maps the expressions of a LUT counter anew makes a third more LUTs of it
(benchmarks/popcount.py), so the cells are written as they are, like those of the gate cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gate2hw.ir.counters import counter
from gate2hw.ir.lut_cells import CellCount, CellFamily, staged, write_cells
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Head
from gate2hw.ir.store import atomic_path

__all__ = [
    "PopcountModule",
    "Staging",
    "counter_of",
    "popcount_modules",
    "popcount_path",
    "write_popcount",
]

Staging: TypeAlias = Callable[[LutNetlist, int], LutNetlist]
"""Gives LUTs their pipeline stages for a number of ranks of registers."""


@dataclass(frozen=True)
class PopcountModule:
    """A popcount that one or more classes share: ``y = constant + sum of weights[i] * x[i]``.

    `classes` are the numbers of those classes; `name` is that of the module, with ports ``x`` and
    ``y`` (`width` bits, two's complement if a score may be negative).
    """

    name: str
    weights: tuple[int, ...]
    constant: int
    width: int
    classes: tuple[int, ...]


def popcount_modules(name: str, head: Head, offset: int, width: int) -> list[PopcountModule]:
    """The popcounts of `head`, scores less `offset`; classes with equal ones share a module."""
    found: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for c in range(head.n_classes):
        start, stop = int(head.group_ptr[c]), int(head.group_ptr[c + 1])
        weights = tuple(head.weight[start:stop].tolist())
        found.setdefault((weights, int(head.bias[c]) - offset), []).append(c)
    return [
        PopcountModule(f"{name}_popcount_{number}", weights, constant, width, tuple(classes))
        for number, ((weights, constant), classes) in enumerate(found.items())
    ]


def counter_of(part: PopcountModule) -> LutNetlist:
    """The LUTs of `part`; outputs are the bits of the score, lowest first.

    `ir.counters`' shallow form: the fewest LUTs cost a quarter more depth.
    """
    return counter(part.weights, part.constant, part.width, "luts_shallow").to_luts()


def popcount_path(folder: Path, part: PopcountModule) -> Path:
    """Where `part` is written as cells."""
    return folder / f"{part.name}_cells.v"


def write_popcount(
    part: PopcountModule,
    path: Path,
    *,
    family: CellFamily,
    n_ranks: int = 0,
    staging: Staging = staged,
    comment: Sequence[str] = (),
) -> CellCount:
    """Write `part` to `path` as LUT cells of `family`; returns how many cells it holds.

    With `n_ranks` ranks of registers, in the stages that `staging` gives, the module also has
    ports ``clk`` and ``ce``.
    """
    luts = staging(counter_of(part), n_ranks)
    header = [
        f"{part.name}: popcount of {len(part.weights)} bits as LUT cells",
        f"classes {', '.join(map(str, part.classes))}; {luts.n_luts} LUTs, depth {luts.depth}",
        *([f"latency {n_ranks} clock cycles"] if n_ranks else []),
        *comment,
    ]
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        return write_cells(
            file,
            luts,
            name=part.name,
            family=family,
            inputs=np.arange(luts.n_inputs),
            n_ranks=n_ranks,
            comment=header,
        )
