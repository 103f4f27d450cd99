"""Gathers named definitions while a file is read, and makes a netlist of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from gate2hw.errors import Gate2HWError
from gate2hw.formats.expressions import Steps
from gate2hw.ir.assemble import Definitions, UnsoundError, assemble
from gate2hw.ir.netlist import Names, Netlist

__all__ = ["MAX_FREE_INPUTS", "Collector"]

MAX_FREE_INPUTS: Final = 1 << 20
"""Inputs that a file may declare without spending a byte on each."""


class Collector:
    """Signals by name, and what defines them; `place` is where in the file, for complaints.

    `fail(place, text)` makes the error that is raised for a bad definition.
    """

    def __init__(self, fail: Callable[[int, str], Gate2HWError]) -> None:
        self.fail = fail
        self.signals: dict[str, int] = {}
        self.n_hidden = 0
        self.columns: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        self.places: list[int] = []

    def define(self, target: str, steps: Steps, operands: Sequence[str], place: int) -> None:
        """`target` is the last of `steps` over `operands`."""
        signals = self.signals
        numbers = [signals.setdefault(name, len(signals)) for name in operands]
        targets, tables, lefts, rights = self.columns
        for tt, a, b in steps[:-1]:
            self.n_hidden += 1
            numbers.append(-1 - self.n_hidden)
            targets.append(numbers[-1])
            tables.append(tt)
            lefts.append(numbers[a])
            rights.append(numbers[b])
            self.places.append(place)
        tt, a, b = steps[-1]
        targets.append(signals.setdefault(target, len(signals)))
        tables.append(tt)
        lefts.append(numbers[a] if a >= 0 else -1)
        rights.append(numbers[b] if b >= 0 else -1)
        self.places.append(place)

    def netlist(
        self, inputs: Sequence[str], outputs: Sequence[str], names: Names | None = None
    ) -> Netlist:
        """The netlist of all definitions; raises `fail` for the one at fault."""
        signals = self.signals
        sources = [signals.setdefault(name, len(signals)) for name in inputs]
        results = [2 * signals.setdefault(name, len(signals)) for name in outputs]
        n_named = len(signals)
        target, tt, a, b = (np.array(column, np.int64) for column in self.columns)
        for column in (target, a, b):
            column[column < -1] = n_named - 2 - column[column < -1]
        try:
            return assemble(
                n_named + self.n_hidden,
                sources,
                Definitions(target, tt, a, b),
                results,
                names=names,
            )
        except UnsoundError as error:
            raise self._complaint(error) from error

    def _complaint(self, error: UnsoundError) -> Gate2HWError:
        names = list(self.signals)
        name = repr(names[error.signal][:60]) if error.signal < len(names) else "a signal"
        if error.definition < 0:
            return self.fail(-1, f"output {name} is never defined")
        text = {
            "undefined": "is read, but never defined",
            "twice": "is defined again",
            "input": "is an input, but is defined",
            "cycle": "is on a cycle or above one",
        }[error.problem]
        return self.fail(self.places[error.definition], f"{name} {text}")
