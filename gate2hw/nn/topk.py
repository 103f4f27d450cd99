"""Learned wiring: each gate input chooses among K candidates (LILogicNet, arXiv 2511.12340).

In training an input reads a mixture of its candidates, weighted by a softmax; the discrete
network reads the one of greatest weight, so that it is exported as ordinary wiring. The candidates
are drawn at random once, and stay (the paper's Top-K interconnect, which keeps the number of
weights at K per input however wide the layer is).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError, nearest
from gate2hw.nn.ops import logic_mix, pair_gates

__all__ = ["LearnedWiring", "SelectsInputs", "WiringEstimator"]

WiringEstimator = Literal["soft", "straight-through"]
_ROUNDING: Final = 1e-5
"""An equal share may be written with a few digits, as in 0.333333."""
_ESTIMATORS: Final[tuple[WiringEstimator, ...]] = ("soft", "straight-through")


class LearnedWiring(nn.Module):
    """The choice of each of m inputs among K candidates.

    `candidates` (m, K) int32 are signals, or (m, K, 3) places in a field; the first is the one
    that the untrained input prefers, with the share `start`. `weight` (m, K) are the logits of a
    softmax at `temperature`. `estimator`: ``soft`` mixes; ``straight-through`` reads the chosen
    candidate alone, with the gradient of the mixture. While `frozen`, the layer reads the chosen
    candidates by ordinary wiring and the weights get no gradient.
    Raises InputError for an unknown estimator, fewer than two candidates or a bad `start`.
    """

    def __init__(
        self,
        candidates: npt.ArrayLike,
        *,
        estimator: WiringEstimator = "soft",
        start: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if estimator not in _ESTIMATORS:
            raise InputError(
                f"unknown wiring estimator {estimator!r}; {nearest(estimator, _ESTIMATORS)}"
            )
        array = np.array(candidates, np.int32)
        n_inputs, n_candidates = array.shape[:2]
        if n_candidates < 2:
            raise InputError("learned wiring needs two candidates for each input, there is one")
        if not 0 < start < 1:
            raise InputError(
                f"the start of learned wiring is {start}; allowed is a share in (0, 1)"
            )
        if start * n_candidates < 1 - _ROUNDING:
            raise InputError(
                f"the start of learned wiring is {start}, less than an equal share of the "
                f"{n_candidates} candidates: all others would be preferred to the first; allowed "
                f"is {1 / n_candidates:.6g} or more"
            )
        self.estimator: WiringEstimator = estimator
        self.temperature = float(temperature)
        self.frozen = False
        self.candidates: Tensor
        self.register_buffer("candidates", torch.from_numpy(array))
        weight = torch.zeros(n_inputs, n_candidates)
        weight[:, 0] = temperature * math.log(start * (n_candidates - 1) / (1 - start))
        self.weight = nn.Parameter(weight)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.weight.shape[0]} inputs of {self.weight.shape[1]} candidates"

    def shares(self) -> Tensor:
        """(m, K) weights of the candidates that training computes with, differentiable."""
        soft = torch.softmax(self.weight / self.temperature, 1)
        if self.estimator == "soft":
            return soft
        hard = torch.zeros_like(soft).scatter_(1, self.weight.argmax(1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())

    @torch.no_grad()
    def chosen(self) -> Tensor:
        """(m,) or (m, 3) int32: the candidate of greatest weight, ties to the first."""
        best = self.weight.argmax(1)
        return self.candidates[torch.arange(len(best), device=best.device), best]


class SelectsInputs(nn.Module):
    """What layers with wiring have in common: the wiring may be learned.

    Without `select`, the wiring is as given. With it, the buffers of the wiring follow its choice
    whenever the mode becomes eval, weights are loaded, or the wiring is frozen.
    """

    select: LearnedWiring | None
    places: Tensor

    def _rewire(self) -> None:
        """Recompute everything that follows from the wiring, and the wiring from `select`."""
        raise NotImplementedError

    def place_candidates(self) -> None:
        """Recompute `places`, which the candidates alone decide: they are drawn once, so that
        what is worked out for the tensor lasts as long as the layer, or until weights are loaded.
        """
        raise NotImplementedError

    def learn_wiring(self, select: LearnedWiring) -> None:
        """Let `select` choose the inputs from now on."""
        self.select = select
        self.register_buffer("places", torch.empty(0, dtype=torch.int64), persistent=False)
        self.place_candidates()
        self._rewire()

    def freeze_wiring(self, frozen: bool) -> None:
        """Keep the wiring as it is (or go on learning); does nothing without learned wiring."""
        if self.select is not None and self.select.frozen != frozen:
            self.select.frozen = frozen
            self._rewire()

    def settle(self) -> None:
        """Make the wiring the present choice; does nothing without learned wiring."""
        if self.select is not None:
            self._rewire()

    @property
    def mixes(self) -> bool:
        """Whether inputs are mixtures at present."""
        return self.training and self.select is not None and not self.select.frozen

    def mixed_gates(self, x: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """(F, B) to (n, P*B): the gates of the last level of trees whose leaves are mixtures.

        `levels` are the (n, 4) coefficients of each tree level; gate j of a level reads rows 2j
        and 2j+1 of the one before. A dense layer is trees of one level.
        """
        assert self.select is not None
        shares = self.select.shares()
        rows = logic_mix(x, shares, self.places).reshape(len(shares), -1)
        for coefficients in levels:
            rows = pair_gates(rows, coefficients)
        return rows

    def train(self, mode: bool = True) -> SelectsInputs:
        """Choose the mode; to eval, learned wiring becomes ordinary wiring."""
        super().train(mode)
        if not mode:
            self.settle()
        return self
