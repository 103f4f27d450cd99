"""The softmax over the 16 functions in C: what torch computes, on every instruction set."""

from collections.abc import Iterator

import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import native, ops
from gate2hw.nn.gates import COEFFICIENTS, GateWeights
from gate2hw.nn.native import relaxing

is_built = native.library_path() is not None
pytestmark = pytest.mark.skipif(not is_built, reason="the C kernels are not built")
SIZES = [0, 1, 3, 15, 16, 17, 33, 1500]
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-5}


@pytest.fixture(params=native.set_names() if is_built else [])
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    native.choose_set(request.param)
    yield request.param
    native.choose_set()


def _reference(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    matrix = torch.from_numpy(COEFFICIENTS.copy()).double()
    return torch.softmax(logits.double() / temperature, 1) @ matrix


@pytest.mark.parametrize("temperature", [1.0, 0.25])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n", SIZES)
def test_coefficients_and_gradients_are_those_of_torch(
    instruction_set, n, dtype, temperature
) -> None:
    torch.manual_seed(n)
    logits = (6 * torch.randn(n, 16, dtype=dtype)).requires_grad_()
    got = ops.softmax_coefficients(logits, torch.empty(0), temperature)
    wanted = _reference(logits, temperature)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=TOLERANCE[dtype])
    grad = torch.randn_like(got)
    (found,) = torch.autograd.grad(got, logits, grad)
    (expected,) = torch.autograd.grad(wanted, logits, grad.double())
    torch.testing.assert_close(found, expected, rtol=0, atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_logits_far_apart_and_far_from_zero(instruction_set, dtype) -> None:
    logits = torch.zeros(40, 16, dtype=dtype)
    logits[:, 7] = 1e4
    logits[20:] -= 3e4
    logits[::3, 2] = 1e4 - 30
    got = ops.softmax_coefficients(logits, torch.empty(0))
    torch.testing.assert_close(got.double(), _reference(logits, 1), rtol=0, atol=1e-6)


def test_what_is_not_a_number_shows(instruction_set) -> None:
    logits = torch.zeros(20, 16)
    logits[3, 5] = float("nan")
    logits[9, 0] = float("nan")
    got = ops.softmax_coefficients(logits, torch.empty(0))
    assert sorted(set(got.isnan().any(1).nonzero().flatten().tolist())) == [3, 9]


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(19, 16, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: ops.softmax_coefficients(given, torch.empty(0), 0.7), logits
    )


def test_it_is_an_operator_that_torch_can_compile() -> None:
    logits = torch.randn(5, 16).requires_grad_()
    torch.library.opcheck(torch.ops.gate2hw.softmax_coefficients.default, (logits, 0.5))


def test_the_operator_gives_what_eager_mode_gives() -> None:
    logits = torch.randn(50, 16).requires_grad_()
    eager = ops.softmax_coefficients(logits, torch.empty(0), 0.5)
    traced = torch.ops.gate2hw.softmax_coefficients(logits, 0.5)
    assert torch.equal(eager, traced)
    grad = torch.randn_like(eager)
    assert torch.equal(*(torch.autograd.grad(out, logits, grad)[0] for out in (eager, traced)))


def test_the_number_of_threads_changes_no_bit(monkeypatch) -> None:
    logits = torch.randn(30_000, 16)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(relaxing.relax_forward(logits, 1.0))
    assert torch.equal(*found)


@pytest.mark.parametrize("estimator", ["soft", "straight-through", "gumbel"])
def test_plain_torch_gives_the_same_gates(estimator, monkeypatch) -> None:
    found = []
    for kernels in ("c", "torch"):
        monkeypatch.setenv(native.KERNELS_VARIABLE, kernels)
        torch.manual_seed(3)
        gates = GateWeights(200, "softmax16").double()
        gates.configure(estimator, 0.5)
        with torch.no_grad():
            gates.weight += torch.randn_like(gates.weight)
        torch.manual_seed(4)
        coefficients = gates.relaxed()
        torch.manual_seed(5)
        coefficients.backward(torch.randn_like(coefficients))
        found.append((coefficients.detach(), gates.weight.grad))
    for c, plain in zip(*found, strict=True):
        torch.testing.assert_close(c, plain, rtol=0, atol=1e-12)


def test_what_c_would_read_wrongly_is_refused() -> None:
    with pytest.raises(InputError, match=r"logits are of shape \(3, 4\), expected \(n, 16\)"):
        relaxing.relax_forward(torch.zeros(3, 4), 1.0)
    with pytest.raises(InputError, match=r"gradients are torch\.float64 of shape \(3, 4\)"):
        relaxing.relax_backward(torch.zeros(3, 4).double(), torch.zeros(3, 16), 1.0)
