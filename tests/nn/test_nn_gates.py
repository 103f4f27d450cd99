"""Relaxed gates against the table of the 16 functions."""

import itertools

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.ir.gates import TABLE, TT_A, TT_AND, TT_OR
from gate2hw.nn.gates import (
    COEFFICIENTS,
    ENTRIES,
    ESTIMATORS,
    HADAMARD,
    PARAMETRISATIONS,
    GateWeights,
    without_noise,
)


def _gates(parametrisation, seed: int = 0, n_gates: int = 6) -> GateWeights:
    gates = GateWeights(n_gates, parametrisation)
    with torch.no_grad():
        gates.weight.normal_(0, 2, generator=torch.Generator().manual_seed(seed))
    return gates


@pytest.mark.parametrize(("tt", "expression"), [(tt, text) for tt, _, text in TABLE])
def test_coefficients_compute_the_verilog_expression(tt: int, expression: str) -> None:
    c0, c1, c2, c3 = COEFFICIENTS[tt].tolist()
    for a, b in itertools.product((0, 1), repeat=2):
        wanted = eval(expression, {"a": a, "b": b}) & 1
        assert c0 + c1 * a + c2 * b + c3 * a * b == wanted == ENTRIES[tt, 2 * a + b]


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_starts_as_a_with_the_given_probability(parametrisation) -> None:
    gates = GateWeights(3, parametrisation, residual=0.9)
    assert gates.tables().tolist() == [TT_A] * 3
    c0, c1, c2, c3 = gates.relaxed()[0].tolist()
    corners = [c0, c0 + c2, c0 + c1, c0 + c1 + c2 + c3]
    if parametrisation != "softmax16":
        np.testing.assert_allclose(corners, [0.1, 0.1, 0.9, 0.9], atol=1e-6)
    else:
        assert torch.softmax(gates.weight, 1)[0, TT_A].item() == pytest.approx(0.9)
        assert max(corners[:2]) < 0.1 < 0.9 < min(corners[2:])


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_every_table_survives_the_round_trip(parametrisation) -> None:
    gates = GateWeights(16, parametrisation)
    gates.set_tables(torch.arange(16, dtype=torch.uint8))
    assert gates.tables().tolist() == list(range(16))
    assert np.array_equal(gates.hard().numpy(), COEFFICIENTS)


def test_ties_go_to_the_lowest_truth_table_and_to_zero_entries() -> None:
    softmax = GateWeights(1, "softmax16")
    with torch.no_grad():
        softmax.weight.zero_()
        softmax.weight[0, [TT_OR, TT_AND]] = 1.0
    assert softmax.tables().tolist() == [TT_AND]
    inputwise = GateWeights(1, "inputwise")
    with torch.no_grad():
        inputwise.weight.copy_(torch.tensor([[0.0, 0.0, 1e-6, -1.0]]))
    assert inputwise.tables().tolist() == [4]


def test_relaxed_mixture_is_the_expectation_over_the_functions() -> None:
    gates = GateWeights(5, "softmax16")
    with torch.no_grad():
        gates.weight.normal_(generator=torch.Generator().manual_seed(1))
    p = torch.softmax(gates.weight, 1).detach().numpy()
    wanted = sum(p[:, tt, None] * COEFFICIENTS[tt] for tt in range(16))
    np.testing.assert_allclose(gates.relaxed().detach().numpy(), wanted, atol=1e-6)


def test_the_published_start_of_softmax_gates_is_logit_5() -> None:
    weight = GateWeights(1, "softmax16", residual=0.90821).weight[0].detach()
    assert weight[TT_A].item() == pytest.approx(5, abs=1e-3)
    assert weight.sum() == weight[TT_A]


def test_walsh_weights_are_the_walsh_functions_of_the_inputs() -> None:
    gates = _gates("walsh")
    for address, (a, b) in enumerate(itertools.product((0, 1), repeat=2)):
        sa, sb = 2 * a - 1, 2 * b - 1
        assert HADAMARD[:, address].tolist() == [1, sa, sb, sa * sb]
        wanted = (gates.weight.detach() * torch.tensor([1, sa, sb, sa * sb])).sum(1)
        np.testing.assert_allclose(gates.logits()[:, address].detach(), wanted, atol=1e-5)
        assert ((gates.tables() >> address) & 1).tolist() == (wanted > 0).int().tolist()


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_temperature_keeps_the_start_and_sharpens_the_mixture(parametrisation) -> None:
    warm, cold = GateWeights(2, parametrisation), GateWeights(2, parametrisation)
    warm.configure("soft", 3.0)
    np.testing.assert_allclose(warm.relaxed().detach(), cold.relaxed().detach(), atol=1e-6)
    gates = _gates(parametrisation)
    gates.temperature = 1e-4
    np.testing.assert_allclose(gates.relaxed().detach(), gates.hard(), atol=1e-4)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_straight_through_computes_hard_with_the_soft_gradient(parametrisation) -> None:
    soft, hard = _gates(parametrisation), _gates(parametrisation)
    hard.estimator = "straight-through"
    target = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    for gates in (soft, hard):
        (gates.relaxed() * target).sum().backward()
    assert torch.equal(hard.relaxed(), hard.hard().float())
    assert not torch.equal(soft.relaxed(), hard.relaxed())
    assert torch.equal(soft.weight.grad, hard.weight.grad)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_gumbel_chooses_as_often_as_the_probabilities_say(parametrisation) -> None:
    gates = _gates(parametrisation, n_gates=1)
    wanted = gates.probabilities()[0].detach().numpy()
    many = GateWeights(20_000, parametrisation)
    with torch.no_grad():
        many.weight.copy_(gates.weight.expand_as(many.weight))
    many.estimator, many.generator = "gumbel", torch.Generator().manual_seed(2)
    rows = torch.from_numpy(COEFFICIENTS.copy()).float()
    drawn = (many.relaxed().detach()[:, None] == rows).all(2)
    assert (drawn.sum(1) == 1).all()  # the forward pass is a hard gate
    np.testing.assert_allclose(drawn.float().mean(0), wanted, atol=0.015)


def test_gumbel_noise_is_new_at_each_call_and_comes_from_the_generator() -> None:
    gates = _gates("softmax16", n_gates=50)
    gates.estimator, gates.generator = "gumbel", torch.Generator().manual_seed(2)
    state = gates.generator.get_state()
    first, second = gates.relaxed(), gates.relaxed()
    assert not torch.equal(first, second)
    gates.generator.set_state(state)
    torch.manual_seed(5)
    assert torch.equal(gates.relaxed(), first)
    state = gates.generator.get_state()
    with without_noise(gates):
        assert torch.equal(gates.relaxed(), gates.hard().float())
    assert torch.equal(gates.generator.get_state(), state)
    assert gates.noisy


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_of_the_parametrisations(parametrisation, temperature: float) -> None:
    gates = _gates(parametrisation, n_gates=3).double()
    gates.temperature = temperature
    weight = gates.weight.detach().clone().requires_grad_()

    def call(name: str):
        def function(values: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(_Call(gates, name), {"gates.weight": values}, ())

        return function

    assert torch.autograd.gradcheck(call("relaxed"), (weight,))
    assert torch.autograd.gradcheck(call("probabilities"), (weight,))


class _Call(torch.nn.Module):
    def __init__(self, gates: GateWeights, name: str) -> None:
        super().__init__()
        self.gates, self.name = gates, name

    def forward(self) -> torch.Tensor:
        result: torch.Tensor = getattr(self.gates, self.name)()
        return result


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_probabilities_are_those_of_the_mixture(parametrisation, estimator) -> None:
    gates = _gates(parametrisation)
    p = gates.probabilities()
    gates.estimator, gates.noisy = estimator, False
    assert p.shape == (6, 16)
    np.testing.assert_allclose(p.sum(1).detach(), 1, atol=1e-6)
    assert torch.equal(p, gates.probabilities())
    gates.estimator = "soft"
    mixture = p @ torch.from_numpy(COEFFICIENTS.copy()).float()
    np.testing.assert_allclose(mixture.detach(), gates.relaxed().detach(), atol=1e-6)
    if parametrisation != "softmax16":
        assert p.argmax(1).tolist() == gates.tables().tolist()


def test_bad_gates_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'inputwise'"):
        GateWeights(1, "inputwize")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"residual is 1\.5"):
        GateWeights(1, residual=1.5)
    with pytest.raises(InputError, match="did you mean 'gumbel'"):
        GateWeights(1).configure("gumble")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="temperature of gates is 0"):
        GateWeights(1).configure("soft", 0.0)
    gates = GateWeights(4)
    with torch.no_grad():
        gates.weight[2, 1] = float("nan")
    with pytest.raises(InputError, match="layer 'dense1', gate 2: its weights are not finite"):
        gates.check_finite("layer 'dense1'")
