"""Scores of two forms of a network, bit for bit; the first input on which they differ, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError
from gate2hw.ir.simulate import classes
from gate2hw.passes.proof.alignment import score_difference_form

__all__ = ["compare_scores"]


def compare_scores(
    what: str,
    expected: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
    x: npt.NDArray[Any],
    *,
    relative: bool = False,
) -> int:
    """Number of vectors compared; raises CheckFailedError with the first that differs.

    `expected` and `found` are (N, C) scores for the inputs `x` (N, ...), `what` names the two
    sides. With `relative` the differences of scores between classes are compared, and the class.
    """
    name, given, classes_differ = "scores", expected, np.zeros(len(x), bool)
    if relative:
        name = "differences of scores to the first class"
        classes_differ = classes(expected) != classes(found)
        given, found = score_difference_form(expected), score_difference_form(found)
    bad = np.flatnonzero((given != found).any(axis=1) | classes_differ)
    if len(bad):
        first = int(bad[0])
        raise CheckFailedError(
            f"{what}: {len(bad)} of {len(x)} vectors differ; vector {first}, "
            f"input {x[first].ravel().tolist()}: expected {name} {given[first].tolist()}, "
            f"found {found[first].tolist()}"
        )
    return len(x)
