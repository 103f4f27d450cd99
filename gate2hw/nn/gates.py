"""Relaxed gates: three parametrisations, all reduced to four bilinear coefficients.

Each of the 16 functions is bilinear on real inputs: ``f(a, b) = c0 + c1*a + c2*b + c3*a*b``, so a
weighted mixture of functions is too (Petersen et al., NeurIPS 2022, arXiv 2210.08277, section 3).
The coefficients are generated from the truth tables of `gate2hw.ir.gates`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError, nearest
from gate2hw.ir.gates import TABLE, TT_A
from gate2hw.nn.ops import softmax_coefficients

__all__ = [
    "COEFFICIENTS",
    "ENTRIES",
    "ENTRIES_TO_COEFFICIENTS",
    "ESTIMATORS",
    "HADAMARD",
    "PARAMETRISATIONS",
    "Estimator",
    "GateWeights",
    "Parametrisation",
    "without_noise",
]

Parametrisation = Literal["inputwise", "softmax16", "walsh"]
PARAMETRISATIONS: Final[tuple[Parametrisation, ...]] = ("inputwise", "softmax16", "walsh")
Estimator = Literal["soft", "straight-through", "gumbel"]
ESTIMATORS: Final[tuple[Estimator, ...]] = ("soft", "straight-through", "gumbel")

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

HADAMARD: Final[npt.NDArray[np.int8]] = np.array(
    [[1, 1, 1, 1], [-1, -1, 1, 1], [-1, 1, -1, 1], [1, -1, -1, 1]], np.int8
)
"""(4, 4) int8: the Walsh functions 1, s(a), s(b), s(a)*s(b) at the four addresses, s(x) = 2x-1."""

_LEAST_UNIFORM: Final = 1e-7
"""Uniform numbers are kept this far from 0 and 1, so that their logarithms are finite."""


class GateWeights(nn.Module):
    """The trained weights of `n_gates` two-input gates.

    ``softmax16``: `weight` (n, 16), logits of a softmax over the truth tables 0..15 (in the order
    of `gates.TABLE`); the hard choice is the greatest logit, ties to the lowest truth table.
    ``inputwise``: `weight` (n, 4), each a sigmoid's logit of one truth-table entry in the order
    f(0,0), f(0,1), f(1,0), f(1,1); the hard entry is 1 where the sigmoid exceeds one half, that
    is where the weight is positive ("Light" logic gate networks, input-wise parametrisation).
    ``walsh``: `weight` (n, 4), coefficients of the Walsh functions of `HADAMARD`, whose sum at an
    address is the logit of that entry; its sign is the hard entry (WARP, arXiv 2602.03527). The
    paper takes the sigmoid of the sum at real inputs, here the four entries are interpolated: the
    same at bits, and bilinear as the other parametrisations are.

    `estimator` says what training computes with. ``soft``: the mixture, every logit divided by
    `temperature`. ``straight-through``: the hard gate, with the gradient of the mixture.
    ``gumbel``: as that, but the hard choice is made among logits with Gumbel noise (softmax) or
    logistic noise (entries), drawn anew at each call from `generator` ("Mind the Gap",
    arXiv 2506.07500, section 3). An untrained layer starts with weights scaled by `temperature`, so
    that its mixture is the same at any; the noise is not scaled, and weighs less where it is high.

    `residual` is the probability at the start that an entry (input-wise, walsh) or the choice
    (softmax) is that of the function A, which passes the first input on (arXiv 2411.04732,
    section 3.3; its logit 5 is the probability 0.908).

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
        self.estimator: Estimator = "soft"
        self.temperature = 1.0
        self.noisy = True
        self.generator: torch.Generator | None = None
        n_weights = 16 if parametrisation == "softmax16" else 4
        self.weight = nn.Parameter(torch.empty(n_gates, n_weights))
        self.matrix: Tensor
        matrix = COEFFICIENTS if parametrisation == "softmax16" else ENTRIES_TO_COEFFICIENTS
        self.register_buffer("matrix", torch.from_numpy(matrix.copy()).float(), persistent=False)
        self.set_tables(torch.full((n_gates,), TT_A, dtype=torch.uint8))

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.n_gates}, {self.parametrisation!r}, {self.estimator!r}"

    def configure(self, estimator: Estimator, temperature: float = 1.0) -> None:
        """Choose the estimator and the temperature of an untrained layer, and start it anew.

        Raises InputError for an unknown estimator or a temperature that is not positive.
        """
        if estimator not in ESTIMATORS:
            raise InputError(f"unknown estimator {estimator!r}; {nearest(estimator, ESTIMATORS)}")
        if not temperature > 0:
            raise InputError(f"the temperature of gates is {temperature}, it must be positive")
        self.estimator, self.temperature = estimator, float(temperature)
        self.set_tables(torch.full((self.n_gates,), TT_A, dtype=torch.uint8))

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
            if self.parametrisation == "walsh":
                start = start @ torch.from_numpy(HADAMARD.T.copy()).float() / 4
        self.weight.copy_(start * self.temperature)

    def logits(self) -> Tensor:
        """(n, 16) of the truth tables, or (n, 4) of the entries; without temperature and noise."""
        if self.parametrisation != "walsh":
            return self.weight
        w0, w1, w2, w3 = self.weight.unbind(1)
        even, odd = w0 + w3, w0 - w3  # of addresses 3 and 0, of 2 and 1
        both, apart = w1 + w2, w1 - w2
        return torch.stack([even - both, odd - apart, odd + apart, even + both], 1)

    def _noise(self, logits: Tensor) -> Tensor:
        """Of the shape of `logits`: Gumbel noise for a choice, logistic noise for entries."""
        uniform = torch.rand(
            logits.shape, generator=self.generator, device=logits.device, dtype=logits.dtype
        ).clamp_(_LEAST_UNIFORM, 1 - _LEAST_UNIFORM)
        if self.parametrisation == "softmax16":
            return -torch.log(-torch.log(uniform))
        return torch.logit(uniform)

    def relaxed(self) -> Tensor:
        """(n, 4) coefficients that training computes with, differentiable."""
        logits = self.logits()
        if self.estimator == "gumbel" and self.noisy:
            logits = logits + self._noise(logits)
        if self.parametrisation == "softmax16":
            soft = softmax_coefficients(logits, self.matrix, self.temperature)
            if self.estimator == "soft":
                return soft
            return self.matrix[logits.argmax(1)] + (soft - soft.detach())
        soft = torch.sigmoid(logits if self.temperature == 1.0 else logits / self.temperature)
        if self.estimator != "soft":
            soft = (logits > 0).to(soft.dtype) + (soft - soft.detach())
        return soft @ self.matrix

    def probabilities(self) -> Tensor:
        """(n, 16) probability of each truth table, differentiable; without noise.

        Of a softmax its shares; otherwise the entries are independent: the product of their
        probabilities. The estimator does not matter, the temperature does.
        """
        logits = self.logits() / self.temperature
        if self.parametrisation == "softmax16":
            return torch.softmax(logits, 1)
        entries = torch.from_numpy(ENTRIES.copy()).to(logits)
        log_one, log_zero = (nn.functional.logsigmoid(sign * logits) for sign in (1, -1))
        return torch.exp(log_one @ entries.T + log_zero @ (1 - entries).T)

    @torch.no_grad()
    def tables(self) -> Tensor:
        """(n,) uint8: the hard truth tables."""
        if self.parametrisation == "softmax16":
            return self.weight.argmax(1).to(torch.uint8)
        powers = torch.tensor([1, 2, 4, 8], dtype=torch.uint8, device=self.weight.device)
        return ((self.logits() > 0).to(torch.uint8) * powers).sum(1, dtype=torch.uint8)

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


@contextlib.contextmanager
def without_noise(model: nn.Module) -> Iterator[None]:
    """Inside the block, the gates of `model` draw no noise, and so leave its generator alone."""
    gates = [module for module in model.modules() if isinstance(module, GateWeights)]
    before = [module.noisy for module in gates]
    for module in gates:
        module.noisy = False
    try:
        yield
    finally:
        for module, noisy in zip(gates, before, strict=True):
            module.noisy = noisy
