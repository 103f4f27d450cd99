"""Relaxed gates against the table of the 16 functions."""

import itertools

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.ir.gates import TABLE, TT_A, TT_AND, TT_OR
from gate2hw.nn.gates import COEFFICIENTS, ENTRIES, GateWeights


@pytest.mark.parametrize(("tt", "expression"), [(tt, text) for tt, _, text in TABLE])
def test_coefficients_compute_the_verilog_expression(tt: int, expression: str) -> None:
    c0, c1, c2, c3 = COEFFICIENTS[tt].tolist()
    for a, b in itertools.product((0, 1), repeat=2):
        wanted = eval(expression, {"a": a, "b": b}) & 1
        assert c0 + c1 * a + c2 * b + c3 * a * b == wanted == ENTRIES[tt, 2 * a + b]


@pytest.mark.parametrize("parametrisation", ["softmax16", "inputwise"])
def test_starts_as_a_with_the_given_probability(parametrisation) -> None:
    gates = GateWeights(3, parametrisation, residual=0.9)
    assert gates.tables().tolist() == [TT_A] * 3
    c0, c1, c2, c3 = gates.relaxed()[0].tolist()
    corners = [c0, c0 + c2, c0 + c1, c0 + c1 + c2 + c3]
    if parametrisation == "inputwise":
        np.testing.assert_allclose(corners, [0.1, 0.1, 0.9, 0.9], atol=1e-6)
    else:
        assert torch.softmax(gates.weight, 1)[0, TT_A].item() == pytest.approx(0.9)
        assert max(corners[:2]) < 0.1 < 0.9 < min(corners[2:])


@pytest.mark.parametrize("parametrisation", ["softmax16", "inputwise"])
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


def test_bad_gates_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'inputwise'"):
        GateWeights(1, "inputwize")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"residual is 1\.5"):
        GateWeights(1, residual=1.5)
    gates = GateWeights(4)
    with torch.no_grad():
        gates.weight[2, 1] = float("nan")
    with pytest.raises(InputError, match="layer 'dense1', gate 2: its weights are not finite"):
        gates.check_finite("layer 'dense1'")
