"""Levels of gates that a file lists in any order; finds cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["levels_of"]


def levels_of(fanin: npt.NDArray[Any], fanin_ptr: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """(G,) int32: level of each gate, 0 for those that read no gate, -1 on or above a cycle.

    Gate g reads the gates ``fanin[fanin_ptr[g]:fanin_ptr[g+1]]``; negative entries are sources
    (inputs, constants). One vectorised round a level, linear in the number of entries.
    """
    n_gates = len(fanin_ptr) - 1
    reader = np.repeat(np.arange(n_gates, dtype=np.int64), np.diff(fanin_ptr))
    inner = fanin >= 0
    driver, reader = np.asarray(fanin[inner], np.int64), reader[inner]
    waiting = np.bincount(reader, minlength=n_gates)
    # readers of gate d: reader[reader_ptr[d]:reader_ptr[d+1]]
    reader = reader[np.argsort(driver, kind="stable")]
    n_readers = np.bincount(driver, minlength=n_gates)
    reader_ptr = np.concatenate([[0], np.cumsum(n_readers)])
    level = np.full(n_gates, -1, np.int32)
    ready = np.flatnonzero(waiting == 0)
    number = 0
    while len(ready):
        level[ready] = number
        number += 1
        size = n_readers[ready]
        ends = np.cumsum(size)
        place = np.arange(int(ends[-1])) + np.repeat(reader_ptr[ready] - ends + size, size)
        touched = reader[place]
        np.subtract.at(waiting, touched, 1)
        ready = np.unique(touched[waiting[touched] == 0])
    return level
