"""Thresholds that are given, and thresholds that are learned and end as integers."""

import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import Thermometer
from gate2hw.nn.encoding import fixed_thresholds


def _learned(width: float = 0.05) -> Thermometer:
    return Thermometer([[1, 4], [0, 7]], (2,), 9, learned=True, width=width)


def _set(layer: Thermometer, values: list[list[float]]) -> None:
    assert layer.raw is not None
    with torch.no_grad():
        layer.raw.copy_(torch.tensor(values) / layer.max_value)


def test_fixed_thresholds_are_those_of_every_channel() -> None:
    assert fixed_thresholds([0, 7], 3, 8).tolist() == [[0, 7]] * 3
    for bad in ([], [-1, 2], [3, 3], [4, 2], [0, 8]):
        with pytest.raises(InputError, match=r"must rise strictly within 0\.\.7"):
            fixed_thresholds(bad, 3, 8)


def test_untrained_learned_thresholds_are_where_they_started() -> None:
    for max_value in (9, 255, 65535):
        start = [[0, 1, max_value // 2, max_value - 1]]
        layer = Thermometer(start, (1,), max_value, learned=True)
        assert layer.eval().thresholds.tolist() == start


def test_learned_thresholds_become_sorted_distinct_integers_in_range() -> None:
    layer = _learned()
    for given, wanted in (
        ([[5.9, 2.1], [0.0, 8.99]], [[2, 5], [0, 8]]),
        ([[3.2, 3.9], [8.5, 8.7]], [[3, 4], [7, 8]]),
        ([[-4.0, -2.0], [40.0, 12.0]], [[0, 1], [7, 8]]),
    ):
        _set(layer.train(), given)
        assert layer.eval().thresholds.tolist() == wanted
        assert layer.thresholds.dtype == torch.int32


def test_eval_compares_with_the_integers_as_the_narrow_sigmoid_does() -> None:
    layer = _learned(width=1e-4)
    _set(layer, [[5.9, 2.1], [3.5, 6.5]])
    x = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    soft = layer.train()(x)
    hard = layer.eval()(x)
    assert hard.dtype == torch.int8
    torch.testing.assert_close(soft, hard.float())


def test_gradient_reaches_the_thresholds() -> None:
    layer = _learned(width=0.1).double()
    x = torch.tensor([[2, 5], [4, 0], [1, 8]])
    raw = layer.raw
    assert raw is not None
    _set(layer, [[5.9, 2.1], [3.5, 6.5]])  # unsorted: positions follow the order
    bits = layer.train()(x)
    assert (bits[0::2] >= bits[1::2]).all()

    def call(values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"raw": values}, (x,))

    assert torch.autograd.gradcheck(call, (raw.detach().clone().requires_grad_(),))


def test_a_state_dict_brings_its_integers() -> None:
    first, second = _learned(), _learned()
    _set(first, [[5.9, 2.1], [0.5, 8.9]])
    second.eval().load_state_dict(first.state_dict())
    assert second.thresholds.tolist() == [[2, 5], [0, 8]]


def test_a_threshold_that_is_not_finite_is_refused_by_channel() -> None:
    layer = _learned()
    _set(layer, [[1.0, 2.0], [float("nan"), 2.0]])
    with pytest.raises(InputError, match=r"thermometer, channel 1: .* not finite"):
        layer.eval()
