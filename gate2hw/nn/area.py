"""Trained for area: the expected LUTs of a network in training, as a term of the loss.

A gate whose truth table is still undecided costs what it would cost on average, the sum over the
functions of probability times area ("Silicon Aware Neural Networks"). For LUTs that alone is not
honest, so three things are added:

- Constants, wires and inverters are free, and so is a gate that no output depends on: from the
  outputs back, each signal has a probability to be used, through the probabilities that its
  readers read it at all.
- A gate that is read once vanishes, more or less, inside the LUT of its reader; one that is read
  more often, or counted, heads a LUT of its own. So the used gates are counted, and those among
  them that head a cone.
- Each output that is counted costs adders. Without that, training only moves the logic into the
  popcount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.ir.gates import TABLE
from gate2hw.nn.gates import GateWeights
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d
from gate2hw.nn.options import AreaSpec
from gate2hw.nn.topk import SelectsInputs

__all__ = ["KINDS", "AreaEstimate", "area_term", "expected_area", "is_settled", "ramp"]

_ENTRIES: Final = [[(tt >> address) & 1 for address in range(4)] for tt, _, _ in TABLE]
KINDS: Final[tuple[tuple[bool, bool, bool], ...]] = tuple(
    (len(set(f)) == 1, (f[0], f[1]) != (f[2], f[3]), (f[0], f[2]) != (f[1], f[3])) for f in _ENTRIES
)
"""Of each truth table: whether it is constant, whether it depends on a, whether on b."""
_CERTAIN: Final = 0.999
"""Probabilities of use are cut to this: quotients by what is left must stay exact enough."""


@dataclass(frozen=True)
class AreaEstimate:
    """What a network is expected to cost; scalars, differentiable.

    `gates` is the number of used two-input gates that are no wires, inverters or constants, those
    of OR pools included; `cones` how many of them are read more than once or counted; `bits` the
    number of outputs that are counted, those that are not constant. `luts` is all in LUTs of the
    target, by the costs of the recipe's [area].
    """

    gates: Tensor
    cones: Tensor
    bits: Tensor
    luts: Tensor


@dataclass(frozen=True)
class _Kinds:
    """(n,) probabilities that a gate is constant, depends on a, depends on b, on both."""

    constant: Tensor
    a: Tensor
    b: Tensor
    both: Tensor


@dataclass(frozen=True)
class _Use:
    """Probabilities that a signal is read by no gate, and by exactly one; counted is more."""

    none: Tensor
    one: Tensor


_Slot: TypeAlias = tuple[Tensor, Tensor]
"""What an input of a gate makes of the signal there: the probabilities of `_Use`, for it alone."""


def _of_entries(logits: Tensor) -> _Kinds:
    """Of independent entries, (n, 4) logits."""
    # f(0,0), f(0,1), f(1,0), f(1,1); plain products, as gradients of slices and prod are slow
    p00, p01, p10, p11 = torch.sigmoid(logits).T.contiguous().unbind(0)
    q00, q01, q10, q11 = 1 - p00, 1 - p01, 1 - p10, 1 - p11
    ones_0, ones_1 = p00 * p01, p10 * p11
    zeros_0, zeros_1 = q00 * q01, q10 * q11
    constant = ones_0 * ones_1 + zeros_0 * zeros_1
    a = 1 - (p00 * p10 + q00 * q10) * (p01 * p11 + q01 * q11)
    b = 1 - (ones_0 + zeros_0) * (ones_1 + zeros_1)
    return _Kinds(constant, a, b, a + b + constant - 1)


def _of_choice(logits: Tensor) -> _Kinds:
    """Of a softmax over the truth tables, (n, 16) logits."""
    kinds = torch.tensor(KINDS, dtype=logits.dtype, device=logits.device)
    constant, a, b = (torch.softmax(logits, 1) @ kinds).unbind(1)
    return _Kinds(constant, a, b, a + b + constant - 1)


def _kinds(levels: Sequence[GateWeights]) -> list[_Kinds]:
    """Of each of `levels`; those of one parametrisation in one go, as most are narrow."""
    found: dict[int, _Kinds] = {}
    for is_choice in (False, True):
        chosen = [
            n for n, g in enumerate(levels) if (g.parametrisation == "softmax16") == is_choice
        ]
        if not chosen:
            continue
        logits = torch.cat([levels[n].logits() / levels[n].temperature for n in chosen])
        kinds = _of_choice(logits) if is_choice else _of_entries(logits)
        sizes = [levels[n].n_gates for n in chosen]
        columns = (
            torch.split(column, sizes) for column in (kinds.constant, kinds.a, kinds.b, kinds.both)
        )
        for n, parts in zip(chosen, zip(*columns, strict=True), strict=True):
            found[n] = _Kinds(*parts)
    return [found[n] for n in range(len(levels))]


def _slot(reads: Tensor, both: Tensor, use: _Use) -> _Slot:
    """What a gate that is used as `use` says makes of an input that it `reads`: a gate reads it
    once if it is used at all, a wire passes its own use on."""
    used = _CERTAIN * (1 - use.none)
    return 1 - reads * used, both * used + (reads - both) * _CERTAIN * use.one


def _gather(n_signals: int, slots: Sequence[tuple[Tensor, _Slot]]) -> _Use:
    """The use of (F,) signals, by all slots that read them; slots are independent."""
    first = slots[0][1][0]
    log_none, one = first.new_zeros(n_signals), first.new_zeros(n_signals)
    for rows, (none, once) in slots:
        log_none = log_none.index_add(0, rows, torch.log(none))
        one = one.index_add(0, rows, once / none)
    none = torch.exp(log_none)
    return _Use(none, none * one)


class _Estimator:
    """Goes from the outputs to the inputs; `use` is that of the signals it has come to."""

    def __init__(self, n_outputs: int, like: Tensor) -> None:
        zeros = like.new_zeros(n_outputs)
        self.use = _Use(zeros, zeros)
        self.gates = like.new_zeros(())
        self.cones = like.new_zeros(())

    def _count(self, gates: Tensor | float) -> None:
        """Add `gates`, the probabilities that the signals reached are gates, or their number."""
        used = 1 - self.use.none
        self.gates = self.gates + (gates * used).sum()
        is_gate = gates if isinstance(gates, Tensor) else 1.0
        self.cones = self.cones + (is_gate * (used - self.use.one)).sum()

    def dense(self, layer: LogicDense, kinds: _Kinds) -> None:
        self._count(kinds.both)
        slots = [
            (layer.in0, _slot(kinds.a, kinds.both, self.use)),
            (layer.in1, _slot(kinds.b, kinds.both, self.use)),
        ]
        self.use = _gather(_product(layer.input_shape), slots)

    def conv(self, layer: LogicConv2d, levels: Sequence[_Kinds]) -> None:
        """A gate that reads padding, which is constant, is no gate there."""
        shape = (-1, layer.positions[0] * layer.positions[1])
        n_signals = _product(layer.input_shape)
        self.use = _Use(self.use.none.reshape(shape), self.use.one.reshape(shape))
        for level in range(layer.depth - 1, -1, -1):
            kinds = levels[level]
            both = kinds.both[:, None].expand_as(self.use.none)
            if level == 0 and max(layer.padding) > 0:
                inside = (layer.in0 < n_signals) & (layer.in1 < n_signals)
                both = both * inside.view_as(both)
            self._count(both)
            a, b = (_slot(reads[:, None], both, self.use) for reads in (kinds.a, kinds.b))
            if level > 0:  # each signal within a tree has one reader
                none, one = (torch.stack(pair, 1).reshape(shape) for pair in zip(a, b, strict=True))
                self.use = _Use(none, one)
        slots = [
            (rows, (none.reshape(-1), one.reshape(-1)))
            for rows, (none, one) in ((layer.in0, a), (layer.in1, b))
        ]
        found = _gather(n_signals + 1, slots)
        self.use = _Use(found.none[:n_signals], found.one[:n_signals])

    def pool(self, layer: OrPool2d) -> None:
        """An OR of n signals is n - 1 gates, of which one has the output."""
        channels, height, width = layer.input_shape
        shape: dict[str, Any] = {
            "kernel_size": layer.window,
            "padding": layer.padding,
            "stride": layer.stride,
        }
        maps = _Use(self.use.none.reshape(channels, -1), self.use.one.reshape(channels, -1))
        n_read = nn.functional.unfold(maps.none.new_ones(1, 1, height, width), **shape).sum(1)
        self.gates = self.gates + ((n_read - 1) * (1 - maps.none)).sum()
        self.cones = self.cones + (1 - maps.none - maps.one).sum()
        used = _CERTAIN * (1 - maps.none)

        def spread(values: Tensor) -> Tensor:
            """Each output's value, added to all places of its window."""
            span = layer.window[0] * layer.window[1]
            columns = values[:, None].expand(-1, span, -1)
            return nn.functional.fold(columns, (height, width), **shape).reshape(-1)

        none = torch.exp(spread(torch.log(1 - used)))
        self.use = _Use(none, none * spread(used / (1 - used)))


def _counted(gates: GateWeights, kinds: _Kinds) -> Tensor:
    """(n,) probabilities that outputs are not constant, with a gradient that leads there.

    Two entries of a wire's table would have to change at once, so its own gradient is as good as
    nothing. It is helped by that of a term of value 0: the share of the entries in the minority,
    which is 1 for a wire and 0 for a constant.
    """
    shares = gates.probabilities()
    ones = shares @ torch.tensor(_ENTRIES, dtype=shares.dtype, device=shares.device).mean(1)
    minority = 2 * torch.minimum(ones, 1 - ones)
    return 1 - kinds.constant + (minority - minority.detach())


def _product(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _gate_levels(layer: nn.Module) -> list[GateWeights]:
    return [module for module in layer.modules() if isinstance(module, GateWeights)]


def expected_area(model: nn.Module, costs: AreaSpec | None = None) -> AreaEstimate:
    """What `model` is expected to cost if each gate is drawn from its probabilities.

    Gates are taken to be independent. Equal gates are not merged, nor outputs that are equal, and
    what constants make of the gates behind them is not followed, so the estimate errs upwards.
    Learned wiring counts as it is chosen now. `costs` are those of a recipe (default: its
    defaults). Raises InputError for a module that is no LogicModel, or one without gates.
    """
    costs = costs or AreaSpec()
    layers = list(model.children())
    for layer in layers:
        if isinstance(layer, SelectsInputs) and layer.mixes:
            layer._rewire()
    if not layers or not isinstance(layers[-1], GroupSum):
        raise InputError("an area is expected of a LogicModel only: its last layer is a GroupSum")
    levels = [_gate_levels(layer) for layer in layers]
    if not any(levels):
        raise InputError("an area is expected of gates, and the model has no layer of them")
    kinds = iter(_kinds([gates for found in levels for gates in found]))
    of_layer = [[next(kinds) for _ in found] for found in levels]
    n_outputs = layers[-1].n_outputs
    estimator = _Estimator(n_outputs, next(found for found in of_layer if found)[0].both)
    bits = estimator.gates + n_outputs
    if of_layer[-2]:
        counted = _counted(levels[-2][-1], of_layer[-2][-1])
        bits = counted.sum() * (n_outputs // len(counted))
    for layer, found in zip(reversed(layers), reversed(of_layer), strict=True):
        if isinstance(layer, LogicDense):
            estimator.dense(layer, found[0])
        elif isinstance(layer, LogicConv2d):
            estimator.conv(layer, found)
        elif isinstance(layer, OrPool2d):
            estimator.pool(layer)
    gates, cones = estimator.gates, estimator.cones
    luts = costs.luts_per_gate * gates + costs.luts_per_cone * cones + costs.luts_per_bit * bits
    return AreaEstimate(gates, cones, bits, luts)


def ramp(step: int, n_steps: int, start: float, end: float) -> float:
    """Share of the full weight at `step`: 0 before `start`, 1 from `end` on, linear between.

    `start` and `end` are shares of `n_steps`.
    """
    share = step / n_steps
    if share >= end:
        return 1.0
    return max(0.0, (share - start) / (end - start))


def is_settled(costs: AreaSpec, step: int, n_steps: int) -> bool:
    """Whether the network after `step` steps may be kept: earlier ones are large and accurate."""
    return costs.weight == 0 or step >= costs.end * n_steps


def area_term(model: nn.Module, costs: AreaSpec, step: int, n_steps: int) -> Tensor | None:
    """What the area adds to the loss at `step`; None where that is nothing.

    ``weight * ramp * expected LUTs / 1000``: the weight is what 1,000 LUTs may cost in
    cross-entropy (nats), so that it means the same for networks of any size.
    """
    weight = costs.weight * ramp(step, n_steps, costs.start, costs.end)
    if weight == 0:
        return None
    return weight / 1000 * expected_area(model, costs).luts
