"""The hand-written backward against autograd and finite differences."""

import pytest
import torch

from gate2hw.nn import kernels
from gate2hw.nn.gates import COEFFICIENTS
from gate2hw.nn.kernels import bilinear, gather_gates, pair_gates


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator, requires_grad=True)


def _places(n: int, n_signals: int, seed: int) -> torch.Tensor:
    return torch.randint(n_signals, (n,), generator=torch.Generator().manual_seed(seed))


def _plain(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return c[:, :1] + c[:, 1:2] * a + c[:, 2:3] * b + c[:, 3:] * a * b


@pytest.fixture(params=[65_536, 20], ids=["one tile", "many tiles"])
def tiles(request, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_TILE_ELEMENTS", request.param)


@pytest.mark.parametrize("n_positions", [1, 3])
def test_gather_gates_gradients(tiles, n_positions: int) -> None:
    x, c = _random(6, 4), _random(7, 4, seed=1)
    in0, in1 = (_places(7 * n_positions, 6, seed) for seed in (2, 3))
    a, b = x[in0].reshape(7, -1), x[in1].reshape(7, -1)
    out = gather_gates(x, c, in0, in1)
    assert torch.allclose(out, _plain(a, b, c).reshape(-1, 4))
    assert torch.autograd.gradcheck(lambda x, c: gather_gates(x, c, in0, in1), (x, c))


def test_gather_gates_without_gradient_for_the_input(tiles) -> None:
    x, c = _random(6, 4).detach(), _random(7, 4, seed=1)
    in0, in1 = _places(7, 6, 2), _places(7, 6, 3)
    gather_gates(x, c, in0, in1).square().sum().backward()
    ours, c.grad = c.grad, None
    _plain(x[in0], x[in1], c).square().sum().backward()
    assert torch.allclose(ours, c.grad)


def test_pair_gates_gradients(tiles) -> None:
    x, c = _random(10, 6), _random(5, 4, seed=1)
    assert torch.allclose(pair_gates(x, c), _plain(x[0::2], x[1::2], c))
    assert torch.autograd.gradcheck(pair_gates, (x, c))


def test_float32_agrees_with_float64() -> None:
    x, c = _random(50, 64), _random(300, 4, seed=1)
    in0, in1 = _places(300, 50, 2), _places(300, 50, 3)
    grads = []
    for dtype in (torch.float64, torch.float32):
        xs, cs = (t.detach().to(dtype).requires_grad_() for t in (x, c))
        gather_gates(xs, cs, in0, in1).square().sum().backward()
        grads.append((xs.grad.double(), cs.grad.double()))
    for wide, narrow in zip(*grads, strict=True):
        assert torch.allclose(wide, narrow, rtol=1e-4)


def test_hard_gates_are_exact_on_int8() -> None:
    a = torch.tensor([[0, 0, 1, 1]], dtype=torch.int8).expand(16, 4)
    b = torch.tensor([[0, 1, 0, 1]], dtype=torch.int8).expand(16, 4)
    out = bilinear(a, b, torch.from_numpy(COEFFICIENTS.copy()))
    assert out.dtype == torch.int8
    tables = (out.int() << torch.arange(4)).sum(1)
    assert tables.tolist() == list(range(16))
