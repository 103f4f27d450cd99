"""The Triton kernels: by Triton's interpreter on a processor, compiled for a GPU, and on one.

The reference is the plain torch of `kernels`, in float64. The interpreter has to be chosen before
Triton is imported, so that these tests run in processes of their own.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from gate2hw.nn import kernels
from gate2hw.nn.kernels import TreeGeometry

TIMEOUT_S = 300
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4}
DENSE = ((7, 5, 3), (4, 19, 40))
"""Signals, gates, batch: more signals than gates, more readers than one, no power of two."""
TREES = (
    # channels, rows, columns; field, stride, padding; window, its stride, its padding; K, D, batch
    ((2, 4, 4), (3, 3), (1, 1), (1, 1), (2, 2), (2, 2), (0, 0), 2, 2, 5),
    ((1, 5, 3), (3, 2), (2, 1), (0, 1), (2, 2), (1, 2), (1, 1), 1, 1, 3),
    ((1, 3, 3), (2, 2), (1, 1), (0, 0), (1, 1), (1, 1), (0, 0), 1, 3, 18),
)
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU that this torch can use"
)


def pooled(n: int, window: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - window) // stride + 1


def geometry_of(shape, field, stride, padding, window, step, pool_padding) -> TreeGeometry:
    sizes = [pooled(*given) for given in zip(shape[1:], field, stride, padding, strict=True)]
    outer = [pooled(*given) for given in zip(sizes, window, step, pool_padding, strict=True)]
    given = (*shape, *field, *stride, *padding, *sizes, *window, *step, *pool_padding, *outer)
    return TreeGeometry(*given)


def dense_case(n_signals: int, n_gates: int, batch: int, dtype: torch.dtype, device: str):
    random = torch.Generator().manual_seed(n_gates)
    x = torch.rand(n_signals, batch, generator=random, dtype=torch.float64)
    coefficients = torch.randn(n_gates, 4, generator=random, dtype=torch.float64)
    wires = torch.randint(n_signals, (2, n_gates), generator=random)
    grad = torch.randn(n_gates, batch, generator=random, dtype=torch.float64)
    floats = [tensor.to(device, dtype) for tensor in (x, coefficients, grad)]
    return *floats, wires[0].to(device), wires[1].to(device)


def tree_case(shape, *rest, dtype: torch.dtype, device: str):
    *spans, n_kernels, depth, batch = rest
    geometry = geometry_of(shape, *spans)
    random = torch.Generator().manual_seed(n_kernels + depth)
    n_signals = shape[0] * shape[1] * shape[2]
    # tenths, so that windows have equal values in them, and the first must win
    x = torch.randint(0, 11, (n_signals, batch), generator=random).double() / 10
    coefficients = torch.randn(n_kernels * (2**depth - 1), 4, generator=random).double()
    limits = (shape[0], *spans[0])
    leaves = torch.stack(
        [torch.randint(n, (n_kernels, 2**depth), generator=random) for n in limits], -1
    )
    grad = torch.randn(n_kernels * geometry.pooled, batch, generator=random).double()
    floats = [tensor.to(device, dtype) for tensor in (x, coefficients, grad)]
    return *floats, leaves.int().to(device), geometry


def check_same(found, wanted) -> None:
    """Equal but for rounding, the dtype's tolerance being that of sums of a batch."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        tolerance = TOLERANCE.get(one.dtype, 0)
        assert torch.allclose(one, other, rtol=tolerance, atol=tolerance)


def check_dense(module, size, dtype=torch.float64, device="cpu") -> None:
    """`module` computes what `kernels` does, values and gradients, the same each time."""
    x, coefficients, grad, in0, in1 = dense_case(*size, dtype, device)
    wanted = kernels.dense_forward(x, coefficients, in0, in1)
    check_same([module.dense_forward(x, coefficients, in0, in1)], [wanted])
    for need_x in (True, False):
        given = (grad, x, coefficients, in0, in1, need_x)
        found = module.dense_backward(*given)
        check_same(found, kernels.dense_backward(*given))
        if device != "cpu":
            assert all(map(torch.equal, found, module.dense_backward(*given)))


def check_tree(module, case, dtype=torch.float64, device="cpu") -> None:
    """As `check_dense`; kernels in one go and, with less room, one after another."""
    x, coefficients, grad, leaves, geometry = tree_case(*case, dtype=dtype, device=device)
    out, winner = module.tree_forward(x, coefficients, leaves, geometry)
    wanted, wanted_winner = kernels.tree_forward(x, coefficients, leaves, geometry)
    check_same([out], [wanted])
    if dtype == torch.float64:  # in float32 two values may be equal but for rounding
        assert torch.equal(winner, wanted_winner)
    room = module.SCRATCH_BYTES
    rooms = (room, 1) if len(leaves) > 1 else (room,)
    for need_x, scratch_bytes in [(True, size) for size in rooms] + [(False, room)]:
        module.SCRATCH_BYTES = scratch_bytes
        given = (grad, x, coefficients, leaves, wanted_winner, geometry, need_x)
        found = module.tree_backward(*given)
        check_same(found, kernels.tree_backward(*given))
        if device != "cpu":
            assert all(map(torch.equal, found, module.tree_backward(*given)))
    module.SCRATCH_BYTES = room


def in_process(part: str, **variables: str) -> str:
    """Run a part of this file in a process of its own; what it printed."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, part],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={**environment, "TRITON_CACHE_DIR": folder},
            check=False,
        )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def interpret_dense() -> None:
    from gate2hw.nn import triton_kernels

    for size in DENSE:
        check_dense(triton_kernels, size)
    check_dense(triton_kernels, DENSE[0], torch.float32)
    interpret_operator()
    interpret_refusals()


def interpret_operator() -> None:
    """Behind the operator, as on a GPU: gradients by differences, readers made once."""
    from gate2hw.nn import ops, triton_kernels

    plain = ops._module
    ops._module = lambda device: triton_kernels
    x, coefficients, _, in0, in1 = dense_case(3, 4, 2, torch.float64, "cpu")
    triton_kernels._KNOWN.clear()
    inputs = (x.requires_grad_(), coefficients.requires_grad_())
    assert torch.autograd.gradcheck(lambda *given: ops.logic_dense(*given, in0, in1), inputs)
    assert len(triton_kernels._KNOWN) == 2  # the check and the readers, though called many times
    ops._module = plain


def interpret_trees() -> None:
    from gate2hw.nn import triton_kernels

    for case in TREES:
        check_tree(triton_kernels, case)


def interpret_faults() -> None:
    """Faults that the checks above must find, one in each program."""
    from gate2hw.nn import triton_kernels

    def finds(change, check, case) -> None:
        before = {name: getattr(triton_kernels, name) for name in change}
        for name, value in change.items():
            setattr(triton_kernels, name, value)
        triton_kernels._KNOWN.clear()
        try:
            check(triton_kernels, case)
        except AssertionError:
            print("found", *change)
        for name, value in before.items():
            setattr(triton_kernels, name, value)

    plain_dense, plain_tree = triton_kernels._dense_readers, triton_kernels._tree_readers
    plain_constants = triton_kernels._constants

    def swapped(in0, in1, n_signals):
        bounds, slots, others = plain_dense(in0, in1, n_signals)
        return bounds, slots ^ 3, others  # the gates' other coefficient

    def moved(*given):
        bounds, readers = plain_tree(*given)
        return bounds, readers + readers.new_tensor([0, 1, 0])

    def unpadded(depth, geometry):
        return {**plain_constants(depth, geometry), "POOL_PAD_R": 0}

    finds({"_dense_readers": swapped}, check_dense, DENSE[0])
    finds({"_tree_readers": moved}, check_tree, TREES[2])
    finds({"_constants": unpadded}, check_tree, TREES[1])


def interpret_refusals() -> None:
    from gate2hw.errors import InputError
    from gate2hw.nn import triton_kernels

    x, coefficients, _, in0, in1 = dense_case(*DENSE[0], torch.float64, "cpu")
    triton_kernels.dense_forward(x, coefficients, in0, in1)
    in1[2] = len(x)  # the same tensor, changed: what is remembered of it is no longer true
    with pytest.raises(InputError, match="wiring points outside the input of 7 signals"):
        triton_kernels.dense_forward(x, coefficients, in0, in1)
    x, coefficients, _, leaves, geometry = tree_case(*TREES[2], dtype=torch.float64, device="cpu")
    leaves[0, 1, 2] = 2
    with pytest.raises(InputError, match=r"a leaf lies outside its field \[1, 2, 2\]"):
        triton_kernels.tree_forward(x, coefficients, leaves, geometry)
    known = len(triton_kernels._KNOWN)
    del in0, in1, leaves
    assert len(triton_kernels._KNOWN) < known


def compile_programs() -> None:
    """Compile every program for an H100 or H200, without one: Triton's errors and ptxas's."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from gate2hw.nn import triton_dense, triton_kernels, triton_tree

    tree = triton_kernels._constants(3, geometry_of(*TREES[0][:-3]))
    tiles = {"GATES": 8, "LANES": 128, "WINDOWS": 4, "NEED_X": True, "ADD": True}
    integers = {"in0": "i64", "in1": "i64", "winner": "u8"}
    integers |= dict.fromkeys(("leaves", "bounds", "slots", "others", "readers"), "i32")
    floats = ["x", "coefficients", "out", "grad", "grad_x", "grad_coefficients"]
    floats += ["grad_leaves", "partial"]
    programs = (
        *(triton_dense.dense_forward, triton_dense.dense_coefficients, triton_dense.dense_backward),
        *(triton_tree.tree_forward, triton_tree.tree_backward, triton_tree.tree_gather),
    )
    pointers = integers | dict.fromkeys(floats, "fp32")
    numbers = ("n_gates", "n_signals", "n_kernels", "n_own", "n_blocks", "n_chunks", "first_kernel")
    for program, ones in [(program, ones) for program in programs for ones in ((), numbers)]:
        # a number that is 1 becomes a constant, as when Triton launches
        given = tiles | tree | dict.fromkeys(ones, 1)
        constants = {k: v for k, v in given.items() if k in program.arg_names}
        signature = {
            name: "constexpr"
            if name in constants
            else f"*{pointers[name]}"
            if name in pointers
            else "i32"
            for name in program.arg_names
        }
        places = {(program.arg_names.index(name),): v for name, v in constants.items()}
        aligned = [
            n for n in program.arg_names if n == "batch" or (n in pointers and n not in constants)
        ]
        hints = {(program.arg_names.index(n),): [["tt.divisibility", 16]] for n in aligned}
        source = ASTSource(program, signature, places, hints)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})
        wide = "v4.b32" in made.asm["ptx"]
        print(program.fn.__name__, len(made.asm["cubin"]), "wide" if wide else "narrow")


@needs_triton
def test_interpreted_dense_layers_are_those_of_plain_torch() -> None:
    in_process("interpret_dense", TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_interpreted_trees_are_those_of_plain_torch() -> None:
    in_process("interpret_trees", TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
def test_faults_are_found() -> None:
    found = in_process("interpret_faults", TRITON_INTERPRET="1")
    assert found.split()[1::2] == ["_dense_readers", "_tree_readers", "_constants"]


@needs_triton
def test_every_program_compiles_for_a_gpu_and_reads_wide() -> None:
    rows = [line.split() for line in in_process("compile_programs").splitlines()]
    assert sorted(row[0] for row in rows if int(row[1]) > 0) == sorted(
        2 * ["dense_forward", "dense_coefficients", "dense_backward"]
        + 2 * ["tree_forward", "tree_backward", "tree_gather"]
    )
    wide = {row[0] for row in rows if row[2] == "wide"}
    assert {"dense_forward", "dense_coefficients", "dense_backward"} <= wide


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [*DENSE, (3000, 5000, 128), (500, 700, 333), (64, 4096, 512)])
def test_dense_layers_on_a_gpu(size, dtype: torch.dtype) -> None:
    from gate2hw.nn import triton_kernels

    check_dense(triton_kernels, size, dtype, "cuda")


LARGE_TREES = (
    ((9, 16, 16), (3, 3), (1, 1), (1, 1), (2, 2), (2, 2), (0, 0), 32, 3, 128),
    ((16, 10, 12), (5, 5), (2, 1), (2, 2), (3, 2), (2, 1), (1, 0), 24, 2, 100),
    ((4, 6, 6), (3, 3), (1, 1), (0, 0), (2, 2), (2, 2), (0, 0), 8, 5, 64),
    ((4, 6, 6), (3, 3), (1, 1), (0, 0), (2, 2), (2, 2), (0, 0), 4, 6, 64),
)


@needs_triton
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", [*TREES, *LARGE_TREES])
def test_trees_on_a_gpu(case, dtype: torch.dtype) -> None:
    from gate2hw.nn import triton_kernels

    check_tree(triton_kernels, case, dtype, "cuda")


@needs_triton
@needs_gpu
def test_a_whole_model_trains_on_a_gpu_as_on_a_processor(tmp_path: Path) -> None:
    from gate2hw.nn import load_recipe, train

    small = ["training.steps=20", "training.dtype=float64", "layers.0.kernels=4"]
    small += ["layers.2.width=80", "layers.3.width=40"]
    results = [
        train(load_recipe("digits-orpool", small), tmp_path / device, device=device)
        for device in ("cpu", "cuda")
    ]
    assert results[0].accuracy == results[1].accuracy


if __name__ == "__main__":
    globals()[sys.argv[1]]()
