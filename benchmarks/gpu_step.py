"""Forward and backward of one layer on a GPU: the Triton kernels against torch.compile and torch.

The roof. A dense layer of n gates over F signals, batch B, float32, does 9 operations for each
number that it makes and is bound by memory. Forward reads two rows and writes one, 3 * n*B * 4
bytes, if nothing is cached; a block of 128 samples of 64,000 signals is 33 MB and stays in a level
2 cache of 50 MB, so that each row need come from memory once only: (F + n) * B * 4.
Backward: a signal gathers from its readers, two for each gate, a row of `grad` and a row of `x`
each, and reads and writes a row of its own, (4*n + 2*F) * B * 4; from memory once only,
(n + 2*F) * B * 4, if x and grad fit the cache together. Coefficients and wiring are 16 + 16 bytes a
gate, 1 % at 512 samples. So n = F = 64,000 and B = 512 need 0.66 GB a step at least, 1.18 GB
without a cache: 137 and 246 microseconds at the 4.8 TB/s of an H200.

A tree of 2**D leaves with an OR pool of W places makes one number of W * 2**D, and its winner (one
byte). Forward reads W * 2**D rows for one that it writes, nearly all from the cache, as the
leaves of all kernels lie in the same maps; from memory once only, C*H*W*B*4 and 5 bytes for each
output. Backward reads the 2**D leaves of the winner, writes 2**D gradients of leaves and gathers
them again: these do go through memory, 2 * 2**D * 4 bytes for each output.

`bytes_least` counts what must come from or go to memory, `bytes_uncached` every read. The share is
`bytes_least` by the time and by the bandwidth of a copy measured in the same run.

Ends with 1 where there is no GPU or no Triton.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import common
import torch
from torch import Tensor

from gate2hw.nn import kernels
from gate2hw.nn.kernels import TreeGeometry
from gate2hw.nn.ops import logic_dense, logic_tree

ITEM_BYTES = 4
COPY_BYTES = 1 << 30
WARM_UP = 5
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A layer: its inputs, which get gradients, ways to compute it, and bytes of one step."""

    name: str
    x: Tensor
    coefficients: Tensor
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]]
    bytes_least: int
    bytes_uncached: int


class PlainDense(torch.autograd.Function):
    """The dense layer where Triton is missing: `kernels`, with its own backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
        ctx.save_for_backward(x, coefficients, in0, in1)
        return kernels.dense_forward(x, coefficients, in0, in1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return *kernels.dense_backward(grad, *ctx.saved_tensors, True), None, None


class PlainTree(torch.autograd.Function):
    """The tree layer where Triton is missing."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry
    ) -> Tensor:
        out, winner = kernels.tree_forward(x, coefficients, leaves, geometry)
        ctx.save_for_backward(x, coefficients, leaves, winner)
        ctx.geometry = geometry
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        given = (grad, *ctx.saved_tensors, ctx.geometry, True)
        return *kernels.tree_backward(*given), None, None


def gates(a: Tensor, b: Tensor, coefficients: Tensor) -> Tensor:
    """Two-input gates as a formula, for torch.compile to fuse; (n, S) rows, (n, 4)."""
    c0, c1, c2, c3 = coefficients.unsqueeze(-1).unbind(1)
    return (a * c3 + c2) * b + c0 + a * c1


def dense_formula(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """The dense layer as a formula."""
    return gates(x.index_select(0, in0), x.index_select(0, in1), coefficients)


def tree_formula(
    x: Tensor, coefficients: Tensor, places: Tensor, n_kernels: int, geometry: TreeGeometry
) -> Tensor:
    """Trees and a pool of windows that do not overlap, as a formula."""
    batch = x.shape[1]
    padded = torch.cat([x, x.new_zeros(1, batch)])
    rows = padded.index_select(0, places.reshape(-1)).view(places.shape[0] * places.shape[1], -1)
    for level in kernels.tree_levels(coefficients, n_kernels):
        rows = gates(rows[0::2], rows[1::2], level)
    g = geometry
    shape = (n_kernels, g.pooled_rows, g.window_rows, g.pooled_columns, g.window_columns, batch)
    windows = rows.view(shape).transpose(2, 3).flatten(3, 4)
    return windows.max(3).values.reshape(-1, batch)


def dense_case(n: int, batch: int, device: str) -> Case:
    """`n` gates over as many signals, balanced wiring."""
    random = torch.Generator().manual_seed(n)
    wires = [torch.randperm(n, generator=random).to(device) for _ in range(2)]
    x = torch.rand(n, batch, generator=random).to(device)
    coefficients = torch.rand(n, 4, generator=random).to(device)
    compiled = torch.compile(dense_formula)
    return Case(
        f"dense {n:,} x {batch}",
        x,
        coefficients,
        {
            "triton": lambda x, c: logic_dense(x, c, *wires),
            "torch.compile": lambda x, c: compiled(x, c, *wires),
            "torch": lambda x, c: PlainDense.apply(x, c, *wires),
        },
        bytes_least=5 * n * batch * ITEM_BYTES,
        bytes_uncached=9 * n * batch * ITEM_BYTES,
    )


def tree_case(channels: int, size: int, n_kernels: int, batch: int, device: str) -> Case:
    """Trees of 8 leaves from 2 channels of a 3 x 3 field, padded, pooled 2 x 2."""
    half = size // 2
    geometry = TreeGeometry(
        channels, size, size, 3, 3, 1, 1, 1, 1, size, size, 2, 2, 2, 2, 0, 0, half, half
    )
    random = torch.Generator().manual_seed(n_kernels)
    channel = torch.randint(channels, (n_kernels, 2), generator=random).repeat_interleave(4, 1)
    field = torch.randint(3, (n_kernels, 8, 2), generator=random)
    leaves = torch.cat([channel[..., None], field], 2).int().to(device)
    places = kernels.leaf_places(leaves, geometry)
    x = torch.rand(channels * size * size, batch, generator=random).to(device)
    coefficients = torch.rand(n_kernels * 7, 4, generator=random).to(device)
    compiled = torch.compile(tree_formula)
    n_out, n_in = n_kernels * geometry.pooled * batch, x.numel()
    through_memory = 3 * n_in * ITEM_BYTES + n_out * (2 * 5 + 2 * 8 * ITEM_BYTES)
    return Case(
        f"trees {n_kernels:,} x {half} x {half} x {batch}",
        x,
        coefficients,
        {
            "triton": lambda x, c: logic_tree(x, c, leaves, geometry)[0],
            "torch.compile": lambda x, c: compiled(x, c, places, n_kernels, geometry),
            "torch": lambda x, c: PlainTree.apply(x, c, leaves, geometry),
        },
        bytes_least=through_memory,
        # forward reads 4 places of each leaf, backward the winner's and 4 winners a gradient
        bytes_uncached=through_memory - 2 * n_in * ITEM_BYTES + n_out * 8 * (5 * ITEM_BYTES + 4),
    )


def step(case: Case, way: str) -> tuple[Tensor, Tensor, Tensor]:
    """Forward and backward; the output and both gradients."""
    x = case.x.detach().requires_grad_()
    coefficients = case.coefficients.detach().requires_grad_()
    out = case.ways[way](x, coefficients)
    out.backward(case.x.new_ones(()).expand_as(out).contiguous())
    assert x.grad is not None
    assert coefficients.grad is not None
    return out.detach(), x.grad, coefficients.grad


def check(case: Case) -> None:
    """All ways compute the same but for rounding, or this is no comparison."""
    wanted = step(case, "torch")
    for way in case.ways:
        for one, other in zip(step(case, way), wanted, strict=True):
            scale = max(1.0, float(other.abs().max()))
            if float((one - other).abs().max()) > TOLERANCE * scale:
                raise SystemExit(f"{case.name}: {way} computes something else than torch")


def time_of(work: Callable[[], object]) -> float:
    """Seconds of device time, by events around the work."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000


def copy_bandwidth(n_times: int) -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = [time_of(lambda: target.copy_(source)) for _ in range(WARM_UP + n_times)]
    return 2 * COPY_BYTES / statistics.median(times[WARM_UP:])


def measure(case: Case, n_times: int, bandwidth: float) -> list[dict[str, Any]]:
    """A row for each way; the ways take turns, so that they see the same machine."""
    check(case)
    times: dict[str, list[float]] = {way: [] for way in case.ways}
    memory = {}
    for way in case.ways:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(case, way)
        memory[way] = torch.cuda.max_memory_allocated() - before
    for number in range(WARM_UP + n_times):
        for way in case.ways:
            time_s = time_of(lambda way=way: step(case, way))
            if number >= WARM_UP:
                times[way].append(time_s)
    rows = []
    for way, found in times.items():
        time_s = statistics.median(found)
        rows.append(
            {
                "case": case.name,
                "way": way,
                "step_time_s": time_s,
                "step_time_least_s": min(found),
                "bytes_least": case.bytes_least,
                "bytes_uncached": case.bytes_uncached,
                "share_of_bandwidth": case.bytes_least / time_s / bandwidth,
                "share_of_bandwidth_uncached": case.bytes_uncached / time_s / bandwidth,
                "memory_bytes": memory[way],
            }
        )
    return rows


def reason_not_to_run() -> str | None:
    """Why this machine cannot measure anything, if it cannot."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no GPU"
    try:
        from gate2hw.nn import triton_kernels  # noqa: F401
    except ImportError as error:
        return f"Triton cannot be imported ({error})"
    return None


def run(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    n_times = 10 if options.quick else 50
    bandwidth = copy_bandwidth(n_times)
    sizes = [(8_000, 128)] if options.quick else [(8_000, 512), (64_000, 128), (64_000, 512)]
    trees = [(64, 16, 256, 128)] if options.quick else [(256, 16, 1024, 128), (1024, 8, 4096, 128)]
    rows: list[dict[str, Any]] = []
    for make, given in [(dense_case, s) for s in sizes] + [(tree_case, t) for t in trees]:
        rows += measure(make(*given, "cuda"), n_times, bandwidth)
        torch.cuda.empty_cache()
    print(f"{torch.cuda.get_device_name()}, copy {bandwidth / 1e12:.2f} TB/s")
    columns = ("case", "way", "us a step", "share of bandwidth", "MB")
    lines = [
        (
            row["case"],
            row["way"],
            1e6 * row["step_time_s"],
            row["share_of_bandwidth"],
            row["memory_bytes"] / 1e6,
        )
        for row in rows
    ]
    print(common.table(columns, lines))
    by_case = {(row["case"], row["way"]): row["step_time_s"] for row in rows}
    ratios = {
        f"ratio_{way.removeprefix('torch.')}": {
            case: by_case[case, way] / by_case[case, "triton"] for case, _ in by_case
        }
        for way in ("torch.compile", "torch")
    }
    content = {
        "device": torch.cuda.get_device_name(),
        "copy_bytes_per_s": bandwidth,
        "rows": rows,
        **ratios,
    }
    common.save("gpu_step", content, options, ("torch", "triton"))


def main() -> int:
    """Run the benchmark, or say why not."""
    options = common.arguments(__doc__).parse_args()
    reason = reason_not_to_run()
    if reason is not None:
        print(f"gpu_step: nothing measured: {reason}", file=sys.stderr)
        if options.json:
            content = {"device": None, "rows": None, "reason": reason}
            common.save("gpu_step", content, argparse.Namespace(quick=True, json=options.json))
        return 1
    run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
