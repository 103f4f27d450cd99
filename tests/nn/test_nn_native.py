"""The C kernels against plain torch, for each instruction set, type and number of threads."""

import os
from pathlib import Path

import pytest
import torch

from gate2hw.errors import InputError
from gate2hw.nn import kernels, native, ops, readers
from gate2hw.nn.kernels import TreeGeometry

is_built = not isinstance(native._load(), str)
pytestmark = pytest.mark.skipif(not is_built, reason="the C kernels are not built")

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
"""Relative to the greatest value: sums are added in another order, and with fused products."""


@pytest.fixture(params=native.set_names() if is_built else [])
def instruction_set(request):
    native.choose_set(request.param)
    yield request.param
    native.choose_set()


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _close(ours: torch.Tensor, wanted: torch.Tensor) -> bool:
    scale = float(wanted.abs().max()) if wanted.numel() else 0.0
    return torch.allclose(ours, wanted, rtol=0, atol=TOLERANCE[wanted.dtype] * max(scale, 1e-30))


def _dense_case(n_signals: int, n_gates: int, batch: int, dtype=torch.float64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n_signals, batch, dtype=dtype, generator=generator)
    c = torch.randn(n_gates, 4, dtype=dtype, generator=generator)
    in0, in1 = torch.randint(n_signals, (2, n_gates), generator=generator)
    grad = torch.randn(n_gates, batch, dtype=dtype, generator=generator)
    return grad, x, c, in0, in1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 5, 3), (50, 131, 129), (9, 400, 256), (300, 100, 77), (3, 4, 0)]
)
def test_dense_is_what_torch_computes(instruction_set, shape, dtype) -> None:
    grad, *given = _dense_case(*shape, dtype)
    assert _close(native.dense_forward(*given), kernels.dense_forward(*given))
    for need_x in (True, False):
        ours = native.dense_backward(grad, *given, need_x)
        wanted = kernels.dense_backward(grad, *given, need_x)
        assert all(_close(a, b) for a, b in zip(ours, wanted, strict=True))


def _tree_case(
    shape=(3, 7, 6),
    n_kernels=5,
    depth=3,
    field=3,
    stride=1,
    padding=1,
    pool=(2, 2, 0),
    batch=37,
    dtype=torch.float64,
):
    generator = torch.Generator().manual_seed(batch)
    rows, columns = ((n + 2 * padding - field) // stride + 1 for n in shape[1:])
    window, step, pad = pool
    pooled = [(n + 2 * pad - window) // step + 1 for n in (rows, columns)]
    pairs = [v for v in (field, stride, padding) for _ in range(2)]
    pools = [v for v in pool for _ in range(2)]
    geometry = TreeGeometry(*shape, *pairs, rows, columns, *pools, *pooled)
    x = torch.randint(0, 9, (shape[0] * shape[1] * shape[2], batch), generator=generator) / 8
    c = torch.randn(n_kernels * (2**depth - 1), 4, dtype=dtype, generator=generator)
    leaves = [
        torch.randint(n, (n_kernels, 2**depth), generator=generator, dtype=torch.int32)
        for n in (shape[0], field, field)
    ]
    return x.to(dtype), c, torch.stack(leaves, -1), geometry


TREES = {
    "no pool, depth 1": {"depth": 1, "pool": (1, 1, 0)},
    "depth 2, one place": {"depth": 2, "pool": (1, 1, 0), "batch": 64},
    "depth 2, pooled": {"depth": 2, "batch": 16},
    "depth 3, one place": {"pool": (1, 1, 0), "stride": 2, "padding": 0},
    "depth 3, pooled": {"batch": 130},
    "overlapping, padded pool": {"depth": 2, "pool": (3, 1, 1), "field": 2, "stride": 2},
    "padded pool of convolution without padding": {"pool": (2, 2, 1), "padding": 0, "batch": 1},
    "deep": {"depth": 6, "padding": 1, "shape": (2, 4, 3), "pool": (2, 1, 0), "n_kernels": 2},
    "more leaves than the kernels hold": {"depth": 7, "shape": (1, 4, 4), "batch": 2},
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", TREES.values(), ids=TREES.keys())
def test_tree_is_what_torch_computes(instruction_set, options, dtype) -> None:
    given = _tree_case(**options, dtype=dtype)
    out, winner = native.tree_forward(*given)
    wanted, wanted_winner = kernels.tree_forward(*given)
    assert _close(out, wanted)
    assert (winner == wanted_winner).all()
    grad = torch.randn(out.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    x, c, leaves, geometry = given
    for need_x in (True, False):
        ours = native.tree_backward(grad, x, c, leaves, winner, geometry, need_x)
        check = kernels.tree_backward(grad, x, c, leaves, winner, geometry, need_x)
        assert all(_close(a, b) for a, b in zip(ours, check, strict=True))


def test_the_first_of_equals_wins_and_what_is_no_number_is_seen(instruction_set) -> None:
    x, c, leaves, geometry = _tree_case(depth=2, padding=0)
    assert not native.tree_forward(torch.ones_like(x), c, leaves, geometry)[1].any()
    assert native.tree_forward(x * float("nan"), c, leaves, geometry)[0].isnan().all()


@pytest.mark.parametrize("batch", [128, 96])
def test_the_number_of_threads_changes_no_bit(threads, batch) -> None:
    grad, *given = _dense_case(3000, 4000, batch, torch.float32)
    x, c, leaves, geometry = _tree_case((4, 16, 16), 40, batch=batch, dtype=torch.float32)
    results = []
    for n in (1, 2, 5):
        threads(n)
        out, winner = native.tree_forward(x, c, leaves, geometry)
        both = native.tree_backward(out, x, c, leaves, winner, geometry, True)
        weights = native.tree_backward(out, x, c, leaves, winner, geometry, False)[1]
        dense = native.dense_forward(*given), *native.dense_backward(grad, *given, True)
        results.append([*dense, out, winner, *both, weights])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_forked_child_computes_with_threads_of_its_own(threads) -> None:
    threads(2)
    _, *given = _dense_case(3000, 4000, 128)
    wanted = native.dense_forward(*given).numpy()
    child = os.fork()
    if child == 0:  # no torch operation with threads here: OpenMP does not survive a fork
        os._exit(0 if (native.dense_forward(*given).numpy() == wanted).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_wiring_outside_the_input_is_refused_and_changed_wiring_noticed() -> None:
    grad, x, c, in0, in1 = _dense_case(5, 4, 3)
    before = native.dense_backward(grad, x, c, in0, in1, True)[0]
    in0.copy_((in0 + 1) % 5)  # in place: what was worked out for the old wiring is stale
    after = native.dense_backward(grad, x, c, in0, in1, True)[0]
    assert not _close(after, before)
    assert _close(after, kernels.dense_backward(grad, x, c, in0, in1, True)[0])
    in1[2] = 5
    with pytest.raises(InputError, match="outside the input of 5"):
        native.dense_forward(x, c, in0, in1)
    assert id(in0) in readers.KNOWN
    key = id(in0)
    del in0
    assert key not in readers.KNOWN


def test_leaves_outside_their_field_are_refused() -> None:
    x, c, leaves, geometry = _tree_case()
    leaves[4, 7, 1] = 3
    with pytest.raises(InputError, match="outside its field"):
        native.tree_forward(x, c, leaves, geometry)


def test_what_c_would_read_wrongly_is_refused() -> None:
    grad, x, c, in0, in1 = _dense_case(5, 4, 3)
    for given in ((x, c[:3], in0, in1), (x, c, in0.int(), in1), (x, c, in0, in1[:3])):
        with pytest.raises(InputError, match="expected torch"):
            native.dense_forward(*given)
    with pytest.raises(InputError, match=r"gradients are .* expected torch.float64 of \(4, 3\)"):
        native.dense_backward(grad[:3], x, c, in0, in1, True)
    x, c, leaves, geometry = _tree_case()
    for tree in ((x[1:], c, leaves), (x, c[1:], leaves), (x, c, leaves.long()), (x, c, leaves[:3])):
        with pytest.raises(InputError, match="expected torch"):
            native.tree_forward(*tree, geometry)
    out, winner = native.tree_forward(x, c, leaves, geometry)
    for pair in ((out[1:], winner), (out, winner.int())):
        with pytest.raises(InputError, match="expected torch"):
            native.tree_backward(pair[0], x, c, leaves, pair[1], geometry, True)


def test_the_variable_chooses(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(kernels, "dense_forward", lambda *given: calls.append(1) or given[0])
    given = _dense_case(5, 4, 3)[1:]
    for value, n_calls in (("auto", 0), ("c", 0), ("torch", 1)):
        monkeypatch.setenv(native.KERNELS_VARIABLE, value)
        ops.logic_dense(*given)
        assert len(calls) == n_calls
    monkeypatch.setenv(native.KERNELS_VARIABLE, "C")
    with pytest.raises(InputError, match="GATE2HW_KERNELS is 'C'"):
        ops.logic_dense(*given)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "are not built"), (b"no library", "cannot be loaded"), ("older", "other sources")],
)
def test_without_a_library_torch_serves_and_c_is_an_error(
    monkeypatch, tmp_path: Path, content, reason
) -> None:
    path = tmp_path / "_kernels.so"
    if content == "older":
        path = native.library_path()
        monkeypatch.setattr(native, "_ABI", -1)
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(native, "library_path", lambda: None if content is None else path)
    native._load.cache_clear()
    try:
        assert native.kernels_in_use() == "torch"
        assert reason in str(native.status()["reason"])
        monkeypatch.setenv(native.KERNELS_VARIABLE, "c")
        with pytest.raises(InputError, match=f"GATE2HW_KERNELS=c, but .*{reason}"):
            native.kernels_in_use()
    finally:
        monkeypatch.undo()
        native._load.cache_clear()


@pytest.mark.parametrize("which", [0, 1])
def test_changes_that_torch_does_not_count_are_noticed(which) -> None:
    grad, x, c, *wiring = _dense_case(5, 4, 3)
    native.dense_backward(grad, x, c, *wiring, True)
    shared = wiring[which].numpy()
    for change in (lambda: wiring[which].data.add_(1).remainder_(5), lambda: shared.sort()):
        before = wiring[which]._version
        change()
        assert wiring[which]._version == before
        ours = native.dense_backward(grad, x, c, *wiring, True)
        wanted = kernels.dense_backward(grad, x, c, *wiring, True)
        assert all(_close(a, b) for a, b in zip(ours, wanted, strict=True))
    shared[2] = 1_000
    with pytest.raises(InputError, match="outside the input of 5"):
        native.dense_forward(x, c, *wiring)


def test_without_gates_the_gradient_is_zero() -> None:
    x = torch.rand(500, 300)
    nothing = torch.zeros(0, dtype=torch.int64)
    for _ in range(3):
        torch.full((500, 300), 7.0)  # what an uninitialised result would be made of
        given = (torch.zeros(0, 300), x, torch.zeros(0, 4), nothing, nothing)
        assert not native.dense_backward(*given, True)[0].any()


@pytest.mark.parametrize("shape", [(0, 8, 3), (3, 1, 3)])
def test_trees_that_c_cannot_divide_are_refused(shape) -> None:
    x, _, _, geometry = _tree_case()
    leaves = torch.zeros(shape, dtype=torch.int32)
    c = x.new_zeros(shape[0] * (shape[1] - 1), 4)
    with pytest.raises(InputError, match="there must be kernels, of 2 to 64"):
        native.tree_forward(x, c, leaves, geometry)


@pytest.mark.parametrize(
    ("value", "kernels_used", "reason"),
    [
        ("torch", "torch", "GATE2HW_KERNELS is torch"),
        ("C", None, "is 'C'; Allowed"),
        ("c", "c", None),
    ],
)
def test_the_status_is_what_is_used(monkeypatch, value, kernels_used, reason) -> None:
    monkeypatch.setenv(native.KERNELS_VARIABLE, value)
    found = native.status()
    assert found["kernels"] == kernels_used
    assert found["reason"] == reason or reason in found["reason"]
