"""Relaxed gates: two parametrisations, both reduced to four bilinear coefficients.

Each of the 16 functions is bilinear on real inputs: ``f(a, b) = c0 + c1*a + c2*b + c3*a*b``, so a
weighted mixture of functions is too (Petersen et al., NeurIPS 2022, arXiv 2210.08277, section 3).
The coefficients are generated from the truth tables of `gate2hw.ir.gates`.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError, nearest
from gate2hw.ir.gates import TABLE, TT_A

__all__ = [
    "COEFFICIENTS",
    "ENTRIES",
    "ENTRIES_TO_COEFFICIENTS",
    "PARAMETRISATIONS",
    "GateWeights",
    "Parametrisation",
]

Parametrisation = Literal["inputwise", "softmax16"]
PARAMETRISATIONS: Final[tuple[Parametrisation, ...]] = ("inputwise", "softmax16")

ENTRIES: Final[npt.NDArray[np.int8]] = np.array(
    [[(tt >> address) & 1 for address in range(4)] for tt, _, _ in TABLE], np.int8
)
"""(16, 4) int8: f(0,0), f(0,1), f(1,0), f(1,1) of each truth table, in order of truth table."""

ENTRIES_TO_COEFFICIENTS: Final[npt.NDArray[np.int8]] = np.array(
    [[1, -1, -1, 1], [0, 0, 1, -1], [0, 1, 0, -1], [0, 0, 0, 1]], np.int8
)
"""(4, 4) int8: ``entries @ this`` gives c0, c1, c2, c3."""

COEFFICIENTS: Final[npt.NDArray[np.int8]] = ENTRIES @ ENTRIES_TO_COEFFICIENTS
"""(16, 4) int8: c0, c1, c2, c3 of each truth table."""


class GateWeights(nn.Module):
    """The trained weights of `n_gates` two-input gates.

    ``softmax16``: `weight` (n, 16), logits of a softmax over the truth tables 0..15 (in the order
    of `gates.TABLE`); the hard choice is the greatest logit, ties to the lowest truth table.
    ``inputwise``: `weight` (n, 4), each a sigmoid's logit of one truth-table entry in the order
    f(0,0), f(0,1), f(1,0), f(1,1); the hard entry is 1 where the sigmoid exceeds one half, that
    is where the weight is positive ("Light" logic gate networks, input-wise parametrisation).

    `residual` is the probability at the start that an entry (input-wise) or the choice (softmax)
    is that of the function A, which passes the first input on (arXiv 2411.04732, section 3.3).

    Raises InputError for an unknown parametrisation or a `residual` outside (0.5, 1).
    """

    def __init__(
        self,
        n_gates: int,
        parametrisation: Parametrisation = "inputwise",
        residual: float = 0.9,
    ) -> None:
        super().__init__()
        if parametrisation not in PARAMETRISATIONS:
            raise InputError(
                f"unknown gate parametrisation {parametrisation!r}; "
                f"{nearest(parametrisation, PARAMETRISATIONS)}"
            )
        if not 0.5 < residual < 1:
            raise InputError(f"residual is {residual}; allowed is a probability in (0.5, 1)")
        self.n_gates = n_gates
        self.parametrisation: Parametrisation = parametrisation
        self.residual = float(residual)
        n_weights = 16 if parametrisation == "softmax16" else 4
        self.weight = nn.Parameter(torch.empty(n_gates, n_weights))
        matrix = COEFFICIENTS if parametrisation == "softmax16" else ENTRIES_TO_COEFFICIENTS
        self.matrix: Tensor
        self.register_buffer("matrix", torch.from_numpy(matrix.copy()).float(), persistent=False)
        self.set_tables(torch.full((n_gates,), TT_A, dtype=torch.uint8))

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.n_gates}, {self.parametrisation!r}"

    @torch.no_grad()
    def set_tables(self, tables: Tensor) -> None:
        """Set the weights so that each gate is `tables` (n,) with probability `residual`."""
        chosen = tables.to(torch.int64).cpu()
        if self.parametrisation == "softmax16":
            logit = math.log(15 * self.residual / (1 - self.residual))
            start = torch.zeros(self.n_gates, 16)
            start[torch.arange(self.n_gates), chosen] = logit
        else:
            logit = math.log(self.residual / (1 - self.residual))
            start = (2 * torch.from_numpy(ENTRIES.copy())[chosen].float() - 1) * logit
        self.weight.copy_(start)

    def relaxed(self) -> Tensor:
        """(n, 4) coefficients of the relaxed gates, differentiable."""
        if self.parametrisation == "softmax16":
            return torch.softmax(self.weight, 1) @ self.matrix
        return torch.sigmoid(self.weight) @ self.matrix

    @torch.no_grad()
    def tables(self) -> Tensor:
        """(n,) uint8: the hard truth tables."""
        if self.parametrisation == "softmax16":
            return self.weight.argmax(1).to(torch.uint8)
        powers = torch.tensor([1, 2, 4, 8], dtype=torch.uint8, device=self.weight.device)
        return ((self.weight > 0).to(torch.uint8) * powers).sum(1, dtype=torch.uint8)

    @torch.no_grad()
    def hard(self) -> Tensor:
        """(n, 4) int8 coefficients of the hard gates; exact on int8 bits."""
        table = torch.from_numpy(COEFFICIENTS.copy()).to(self.weight.device)
        return table[self.tables().long()]

    def check_finite(self, where: str) -> None:
        """Raise InputError naming the first gate with a weight that is NaN or infinite."""
        bad = (~torch.isfinite(self.weight.detach())).any(1)
        if bool(bad.any()):
            gate = int(bad.nonzero()[0, 0])
            raise InputError(
                f"{where}, gate {gate}: its weights are not finite "
                f"({self.weight[gate].tolist()}); train again with a lower learning rate"
            )
