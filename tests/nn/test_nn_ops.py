"""The torch operators: gradients, what torch.compile needs, odd input, refusals."""

import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import native, ops
from gate2hw.nn.kernels import TreeGeometry

GEOMETRY = TreeGeometry(2, 4, 3, 2, 2, 1, 1, 1, 0, 5, 2, 2, 2, 2, 1, 1, 0, 3, 1)


@pytest.fixture(params=["c", "torch"])
def path(request, monkeypatch):
    if request.param == "c" and isinstance(native._load(), str):
        pytest.skip("the C kernels are not built")
    monkeypatch.setenv(native.KERNELS_VARIABLE, request.param)


def _dense(dtype=torch.float64, n_signals=6, n_gates=9, batch=5):
    generator = torch.Generator().manual_seed(n_gates)
    x = torch.rand(n_signals, batch, dtype=dtype, generator=generator, requires_grad=True)
    c = torch.randn(n_gates, 4, dtype=dtype, generator=generator).requires_grad_()
    return x, c, *torch.randint(n_signals, (2, n_gates), generator=generator)


def _tree(dtype=torch.float64, batch=3, depth=2):
    generator = torch.Generator().manual_seed(batch)
    x = torch.rand(24, batch, dtype=dtype, generator=generator, requires_grad=True)
    c = torch.randn(3 * (2**depth - 1), 4, dtype=dtype, generator=generator).requires_grad_()
    leaves = torch.randint(2, (3, 2**depth, 3), generator=generator, dtype=torch.int32)
    return x, c, leaves, list(GEOMETRY)


def test_gradients_are_those_of_finite_differences(path) -> None:
    x, c, in0, in1 = _dense()
    assert torch.autograd.gradcheck(lambda x, c: ops.logic_dense(x, c, in0, in1), (x, c))
    x, c, leaves, geometry = _tree()
    assert torch.autograd.gradcheck(lambda x, c: ops.logic_tree(x, c, leaves, geometry)[0], (x, c))


def test_gradients_only_where_they_are_wanted(path) -> None:
    x, c, in0, in1 = _dense()
    ops.logic_dense(x, c, in0, in1).sum().backward()
    wanted, c.grad = c.grad, None
    ops.logic_dense(x.detach(), c, in0, in1).sum().backward()
    assert torch.allclose(c.grad, wanted)
    given = _tree()
    ops.logic_tree(*given)[0].sum().backward()
    wanted, given[1].grad = given[1].grad, None
    ops.logic_tree(given[0].detach(), *given[1:])[0].sum().backward()
    assert torch.allclose(given[1].grad, wanted)
    assert not ops.logic_tree(*given)[1].requires_grad


def test_input_that_is_not_contiguous(path) -> None:
    x, c, in0, in1 = _dense(batch=64)
    leaves, geometry = _tree()[2:]
    field = torch.rand(24, 40, dtype=torch.float64)
    weights = torch.rand(4, 9, dtype=torch.float64).T
    tree = field.T.contiguous().T, weights, leaves.flip(0).contiguous().flip(0), geometry
    straight = field, weights.contiguous(), leaves, geometry
    for ours, wanted in zip(ops.logic_tree(*tree), ops.logic_tree(*straight), strict=True):
        assert torch.equal(ours, wanted)
    wanted = ops.logic_dense(x, c, in0, in1)
    crooked = x.detach().T.contiguous().T.requires_grad_()
    strided = in0.repeat_interleave(2)[::2]
    assert not crooked.is_contiguous()
    assert not strided.is_contiguous()
    assert torch.equal(ops.logic_dense(crooked, c, strided, in1), wanted)
    wanted.sum().backward()  # a gradient of ones is an expanded scalar
    ops.logic_dense(crooked, c.detach(), strided, in1).sum().backward()
    assert torch.equal(crooked.grad, x.grad)


def test_float32_is_within_rounding_of_float64(path) -> None:
    def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
        x, c, in0, in1 = _dense(torch.float64, 50, 300, 200)
        x, c = x.detach().to(dtype).requires_grad_(), c.detach().to(dtype).requires_grad_()
        out = ops.logic_dense(x, c, in0, in1)
        out.square().mean(1).sum().backward()
        return [out.detach().double(), x.grad.double(), c.grad.double()]

    for wide, narrow in zip(gradients(torch.float64), gradients(torch.float32), strict=True):
        assert float((wide - narrow).abs().max()) < 2e-5 * float(wide.abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_operators_keep_torchs_rules(path, dtype) -> None:
    dense, tree = _dense(dtype), _tree(dtype)
    torch.library.opcheck(torch.ops.gate2hw.logic_dense.default, dense)
    torch.library.opcheck(torch.ops.gate2hw.logic_tree.default, tree)
    plain = [t.detach() if isinstance(t, torch.Tensor) else t for t in dense]
    grad = torch.ones(9, 5, dtype=dtype)
    winner = torch.zeros(9, 3, dtype=torch.uint8)
    for need_x in (True, False):
        torch.library.opcheck(
            torch.ops.gate2hw.logic_dense_backward.default, (grad, *plain, need_x)
        )
        x, c, leaves, geometry = tree
        torch.library.opcheck(
            torch.ops.gate2hw.logic_tree_backward.default,
            (grad[:, :3], x.detach(), c.detach(), leaves, winner, geometry, need_x),
        )


def test_compiled_gives_the_same(path) -> None:
    x, c, in0, in1 = _dense()

    def loss(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return (ops.logic_dense(x.square(), c.sigmoid(), in0, in1) * 2).sum()

    loss(x, c).backward()
    wanted = x.grad.clone(), c.grad.clone()
    x.grad = c.grad = None
    torch.compile(loss, fullgraph=True, backend="aot_eager")(x, c).backward()
    assert torch.allclose(x.grad, wanted[0])
    assert torch.allclose(c.grad, wanted[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int8])
def test_other_types_are_refused(dtype) -> None:
    x, c, in0, in1 = _dense()
    with pytest.raises(InputError, match=f"logic_dense: signals are {dtype}"):
        ops.logic_dense(x.detach().to(dtype), c, in0, in1)
    with pytest.raises(InputError, match=r"logic_tree: .* both must be float32, or both float64"):
        ops.logic_tree(_tree()[0], c.to(dtype), *_tree()[2:])


def test_pairs_are_neighbours(path) -> None:
    x, c, _, _ = _dense(n_signals=18)
    a, b = x[0::2], x[1::2]
    wanted = c[:, :1] + c[:, 1:2] * a + c[:, 2:3] * b + c[:, 3:] * a * b
    assert torch.allclose(ops.pair_gates(x, c), wanted)


@pytest.mark.parametrize(
    ("shape", "n_gates", "window", "message"),
    [
        ((0, 4, 3), 0, (2, 2), r"shape \(0, 4, 3\)"),
        ((3, 1, 3), 0, (2, 2), r"shape \(3, 1, 3\)"),
        ((3, 6, 3), 15, (2, 2), r"shape \(3, 6, 3\)"),
        ((3, 4, 3), 8, (2, 2), "coefficients of 8 gates, but 3 trees of 4 leaves have 9"),
        ((3, 4, 3), 9, (17, 17), "a window of 289 places, allowed are 256"),
    ],
)
def test_trees_that_are_none_are_refused(path, shape, n_gates, window, message) -> None:
    leaves = torch.zeros(shape, dtype=torch.int32)
    geometry = GEOMETRY._replace(window_rows=window[0], window_columns=window[1])
    with pytest.raises(InputError, match=message):
        ops.logic_tree(torch.rand(24, 3), torch.rand(n_gates, 4), leaves, geometry)


def test_there_is_no_second_derivative(path) -> None:
    for function, given in (
        (ops.logic_dense, _dense()),
        (lambda *tree: ops.logic_tree(*tree)[0], _tree()),
    ):
        (grad,) = torch.autograd.grad(function(*given).sum(), given[0], create_graph=True)
        with pytest.raises(NotImplementedError, match="no second derivative"):
            grad.sum().backward()


@pytest.mark.parametrize("first", ["inference", "fake"])
def test_pairs_of_one_mode_do_not_spoil_another(path, first, monkeypatch) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    ops._PAIRS.clear()
    with torch.inference_mode() if first == "inference" else FakeTensorMode():
        ops.pair_gates(torch.zeros(6, 5), torch.zeros(3, 4))
    c = torch.rand(3, 4, requires_grad=True)
    ops.pair_gates(torch.rand(6, 5), c).sum().backward()
    assert c.grad is not None
    with FakeTensorMode():
        assert ops.pair_gates(torch.zeros(6, 5), torch.zeros(3, 4)).shape == (3, 5)
