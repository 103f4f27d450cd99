"""The hand-written loops in plain torch against autograd of the definition."""

import pytest
import torch

from gate2hw.nn import kernels
from gate2hw.nn.gates import COEFFICIENTS
from gate2hw.nn.kernels import TreeGeometry, bilinear


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


def test_dense_is_the_definition(tiles) -> None:
    x, c = _random(6, 5), _random(7, 4, seed=1)
    in0, in1 = _places(7, 6, 2), _places(7, 6, 3)
    wanted = _plain(x[in0], x[in1], c)
    grad = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    wanted.backward(grad)
    given = x.detach(), c.detach(), in0, in1
    assert torch.allclose(kernels.dense_forward(*given), wanted)
    grad_x, grad_c = kernels.dense_backward(grad, *given, True)
    assert torch.allclose(grad_x, x.grad)
    assert torch.allclose(grad_c, c.grad)
    without = kernels.dense_backward(grad, *given, False)
    assert without[0].numel() == 0
    assert torch.equal(without[1], grad_c)


def _tree_by_definition(x, c, leaves, g: TreeGeometry) -> torch.Tensor:
    """Pad, read the leaves of each position, evaluate level by level, pad, take the greatest."""
    pad = torch.nn.functional.pad
    vertical, horizontal = g.padding_rows, g.padding_columns
    maps = x.view(g.channels, g.height, g.width, -1)
    maps = pad(maps, (0, 0, horizontal, horizontal, vertical, vertical))
    pools = (0, 0, g.pool_padding_columns, g.pool_padding_columns)
    out, (n_kernels, n_leaves, _) = [], leaves.shape
    for k in range(n_kernels):
        signals = [
            maps[
                channel,
                row : row + g.rows * g.stride_rows : g.stride_rows,
                column : column + g.columns * g.stride_columns : g.stride_columns,
            ][: g.rows, : g.columns]
            for channel, row, column in leaves[k].tolist()
        ]
        start, n = 0, n_leaves // 2
        while n:
            gates = c[start + k * n : start + (k + 1) * n]
            signals = [
                gates[i, 0]
                + gates[i, 1] * signals[2 * i]
                + gates[i, 2] * signals[2 * i + 1]
                + gates[i, 3] * signals[2 * i] * signals[2 * i + 1]
                for i in range(n)
            ]
            start, n = start + n_kernels * n, n // 2
        padded = pad(signals[0], (*pools, g.pool_padding_rows, g.pool_padding_rows))
        for r in range(g.pooled_rows):
            for column in range(g.pooled_columns):
                top, left = r * g.pool_stride_rows, column * g.pool_stride_columns
                window = padded[top : top + g.window_rows, left : left + g.window_columns]
                out.append(window.flatten(0, 1).max(0).values)
    return torch.stack(out)


GEOMETRIES = [
    TreeGeometry(2, 4, 5, 2, 3, 1, 1, 1, 0, 5, 3, 1, 1, 1, 1, 0, 0, 5, 3),
    TreeGeometry(3, 4, 4, 2, 2, 1, 1, 0, 1, 3, 5, 2, 2, 2, 2, 1, 0, 2, 2),
    TreeGeometry(1, 7, 6, 3, 3, 2, 1, 1, 1, 4, 6, 3, 2, 1, 2, 1, 1, 4, 4),
]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_tree_is_the_definition(tiles, geometry: TreeGeometry, depth: int) -> None:
    g = geometry
    x = _random(g.channels * g.height * g.width, 3)
    c = (_random(4 * (2**depth - 1), 4, seed=1) - 0.4).detach().requires_grad_()
    sizes = (g.channels, g.field_rows, g.field_columns)
    leaves = torch.stack(
        [_places(4 * 2**depth, n, 5 + i).view(4, -1) for i, n in enumerate(sizes)], -1
    ).to(torch.int32)
    wanted = _tree_by_definition(x, c, leaves, g)
    grad = torch.randn(wanted.shape, dtype=torch.float64)
    wanted.backward(grad)
    out, winner = kernels.tree_forward(x.detach(), c.detach(), leaves, g)
    assert torch.allclose(out, wanted)
    assert (winner < g.window_rows * g.window_columns).all()
    given = x.detach(), c.detach(), leaves, winner, g
    grad_x, grad_c = kernels.tree_backward(grad, *given, True)
    assert torch.allclose(grad_x, x.grad)
    assert torch.allclose(grad_c, c.grad)
    without = kernels.tree_backward(grad, *given, False)
    assert without[0].numel() == 0
    assert torch.equal(without[1], grad_c)


def test_hard_gates_are_exact_on_int8() -> None:
    a = torch.tensor([[0, 0, 1, 1]], dtype=torch.int8).expand(16, 4)
    b = torch.tensor([[0, 1, 0, 1]], dtype=torch.int8).expand(16, 4)
    out = bilinear(a, b, torch.from_numpy(COEFFICIENTS.copy()))
    assert out.dtype == torch.int8
    tables = (out.int() << torch.arange(4)).sum(1)
    assert tables.tolist() == list(range(16))
