"""Who reads each signal: worked out once for a wiring, and kept while the wiring stays as it is."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gate2hw.errors import InputError

__all__ = ["KNOWN", "Wiring", "known_wiring", "sorted_readers"]


def sorted_readers(signals: Tensor, n_signals: int) -> tuple[Tensor, Tensor]:
    """(n_signals + 1,) int64 bounds and the (R,) int64 order that sorts (R,) `signals`."""
    ends = torch.bincount(signals, minlength=n_signals).cumsum(0)
    return torch.cat([ends.new_zeros(1), ends]), torch.argsort(signals, stable=True)


@dataclass(eq=False)
class Wiring:
    """Checked index tensors of one length, and what follows from them.

    `indices` are copies: torch counts no change through `.data` or memory shared with numpy.
    """

    indices: tuple[Tensor, ...]
    n_signals: int

    def holds(self, indices: tuple[Tensor, ...], n_signals: int) -> bool:
        """Whether this is the wiring of `indices` as they are now."""
        return (
            self.n_signals == n_signals
            and len(self.indices) == len(indices)
            and all(torch.equal(a, b) for a, b in zip(self.indices, indices, strict=True))
        )

    @cached_property
    def readers(self) -> tuple[Tensor, Tensor]:
        """`sorted_readers` of the indices, those of a row side by side."""
        return sorted_readers(torch.stack(self.indices, 1).flatten(), self.n_signals)


KNOWN: dict[int, tuple[weakref.ref[Tensor], Wiring]] = {}
"""By the id of the first index tensor, as long as that lives."""


def known_wiring(what: str, indices: tuple[Tensor, ...], n_signals: int) -> Wiring:
    """The wiring of int64 `indices`; InputError, beginning with `what`, where one is no signal."""
    first = indices[0]
    key = id(first)
    entry = KNOWN.get(key)
    if entry is not None and entry[0]() is first and entry[1].holds(indices, n_signals):
        return entry[1]
    for tensor in indices:
        if not tensor.numel():
            continue
        low, high = (int(v) for v in torch.aminmax(tensor))
        if low < 0 or high >= n_signals:
            raise InputError(f"{what} outside the input of {n_signals} signals")
    wiring = Wiring(tuple(tensor.clone() for tensor in indices), n_signals)
    KNOWN[key] = (weakref.ref(first, lambda _: KNOWN.pop(key, None)), wiring)
    return wiring
