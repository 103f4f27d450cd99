"""Learned wiring in C: sums of rows as torch computes them, on every instruction set."""

import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import native, ops
from gate2hw.nn.native import mixing

is_built = not isinstance(native._load(), str)
pytestmark = pytest.mark.skipif(not is_built, reason="the C kernels are not built")
# (signals, inputs, positions, candidates, batch)
SHAPES = [
    (7, 5, 3, 4, 37),
    (7, 5, 1, 2, 1),
    (20, 6, 4, 3, 129),
    (3, 40, 1, 8, 300),
    (5, 1, 1, 2, 8),
]


@pytest.fixture(params=native.set_names() if is_built else [])
def instruction_set(request):
    native.choose_set(request.param)
    yield
    native.choose_set()


def case(shape, dtype=torch.float64, seed=0):
    n_signals, n_inputs, n_positions, n_candidates, batch = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n_signals, batch, dtype=dtype, generator=generator, requires_grad=True)
    shares = torch.randn(n_inputs, n_candidates, dtype=dtype, generator=generator)
    size = (n_inputs * n_positions, n_candidates)
    places = torch.randint(n_signals, size, generator=generator)
    return x, shares.requires_grad_(), places


def reference(x, shares, places):
    n_positions = len(places) // len(shares)
    return (shares.repeat_interleave(n_positions, 0).unsqueeze(-1) * x[places]).sum(1)


def gradients(function, x, shares, places):
    out = function(x, shares, places)
    grad = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return out, *torch.autograd.grad(out, (x, shares), grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_what_torch_computes(instruction_set, shape, dtype) -> None:
    given = case(shape, dtype)
    relative = 1e-12 if dtype == torch.float64 else 2e-5
    for ours, wanted in zip(
        gradients(ops.logic_mix, *given), gradients(reference, *given), strict=True
    ):
        assert (ours - wanted).abs().max() <= relative * wanted.abs().max().clamp(min=1)


def test_plain_torch_gives_the_same(monkeypatch) -> None:
    given = case(SHAPES[0])
    ours = gradients(ops.logic_mix, *given)
    monkeypatch.setenv(native.KERNELS_VARIABLE, "torch")
    for a, b in zip(ours, gradients(ops.logic_mix, *given), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    x, shares, places = case((6, 4, 2, 3, 5))
    assert torch.autograd.gradcheck(lambda x, s: ops.logic_mix(x, s, places), (x, shares))


def test_it_is_an_operator_that_torch_can_compile() -> None:
    torch.library.opcheck(torch.ops.gate2hw.logic_mix.default, case((6, 4, 2, 3, 5)))


def test_the_number_of_threads_changes_no_bit() -> None:
    given = case((300, 900, 2, 8, 128), torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            results.append(gradients(ops.logic_mix, *given))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_input_that_is_not_contiguous_and_without_gradient() -> None:
    x, shares, places = case(SHAPES[0])
    rows, across = x.detach().T.contiguous().T, shares.detach().T.contiguous().T
    out = ops.logic_mix(rows, across.requires_grad_(), places)
    assert torch.allclose(out, reference(x, shares, places))
    out.sum().backward()
    assert across.grad is not None


def test_what_lies_outside_is_refused_and_changed_places_noticed() -> None:
    x, shares, places = case(SHAPES[0])
    gradients(ops.logic_mix, x, shares, places)
    places[0, 0] = (places[0, 0] + 1) % len(x)
    for ours, wanted in zip(
        gradients(ops.logic_mix, x, shares, places),
        gradients(reference, x, shares, places),
        strict=True,
    ):
        assert torch.allclose(ours, wanted)
    for outside in (-1, len(x)):
        places[0, 0] = outside
        with pytest.raises(InputError, match="outside the input of 7 signals"):
            ops.logic_mix(x, shares, places)


def test_what_c_would_read_wrongly_is_refused() -> None:
    x, shares, places = (t.detach() for t in case(SHAPES[0]))
    for wrong in (places.int(), places[:, :3], places[:-1]):
        with pytest.raises(InputError, match="do not go with shares"):
            mixing.mix_forward(x, shares, wrong.contiguous())
    with pytest.raises(InputError, match="both must be"):
        ops.logic_mix(x, shares.float(), places)
    with pytest.raises(InputError, match="gradients"):
        mixing.mix_backward(x, x, shares, places, True)


def test_changes_that_torch_does_not_count_are_noticed() -> None:
    x, shares, places = case(SHAPES[0])
    gradients(ops.logic_mix, x, shares, places)
    places.data.add_(1).remainder_(len(x))
    for ours, wanted in zip(
        gradients(ops.logic_mix, x, shares, places),
        gradients(reference, x, shares, places),
        strict=True,
    ):
        assert torch.allclose(ours, wanted)
    places.numpy()[0, 0] = 1_000
    with pytest.raises(InputError, match="outside the input of 7 signals"):
        ops.logic_mix(x, shares, places)


@pytest.mark.parametrize("kernels", ["c", "torch"])
def test_without_inputs_there_is_nothing(monkeypatch, kernels) -> None:
    monkeypatch.setenv(native.KERNELS_VARIABLE, kernels)
    x = torch.rand(7, 9, requires_grad=True)
    shares, places = torch.zeros(0, 4, requires_grad=True), torch.zeros(0, 4, dtype=torch.int64)
    out = ops.logic_mix(x, shares, places)
    assert out.shape == (0, 9)
    out.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()
