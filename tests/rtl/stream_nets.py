"""Random networks with convolutions, and a bench run of a streaming design made of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gate2hw.errors import IRError
from gate2hw.flow.signoff.benches import Bench
from gate2hw.flow.signoff.benches import _wrapper as write_wrapper
from gate2hw.flow.stream.streaming import composed, stream_spec
from gate2hw.ir.layers import GroupSum, LogicConv, LogicDense, OrPool, Shape, Thermometer
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.store import save_netlist
from gate2hw.ir.unroll import unroll
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.options import RtlOptions
from gate2hw.rtl.stream_emit import emit_stream
from gate2hw.rtl.stream_plan import StreamPlan
from gate2hw.rtl.stream_spec import StreamSpec
from gate2hw.tools.resources import data_dir
from gate2hw.tools.simulators import run_bench

GOOD = (1, 2, 4, 6, 7, 8, 9, 11, 13, 14)
FRAMES = {"stalls": 20, "blocked": 6, "reset": 3, "malformed": 8, "padding": 3}


def conv(
    rng: np.random.Generator,
    shape: Shape,
    field: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    *,
    depth: int = 2,
    kernels: int = 4,
) -> LogicConv:
    """A convolution with leaves and tables at random."""
    n = 2**depth
    limits = (shape[0], *field)
    leaves = np.stack([rng.integers(0, limit, (kernels, n)) for limit in limits], axis=2)
    sizes = [2 ** (depth - 1 - level) for level in range(depth)]
    tables = tuple(rng.choice(GOOD, (kernels, size)).astype(np.uint64) for size in sizes)
    return LogicConv(shape, leaves.astype(np.int32), tables, field, stride, padding)


def thermometer(
    rng: np.random.Generator, shape: tuple[int, int, int], n: int, top: int = 255, same: bool = True
) -> Thermometer:
    """`n` thresholds at random, the same for all colours or not."""
    rows = [np.sort(rng.choice(top, n, replace=False)) for _ in range(shape[0])]
    return Thermometer(shape, np.stack([rows[0] if same else row for row in rows]), top)


def dense(rng: np.random.Generator, shape: Shape, n: int) -> LogicDense:
    """A dense layer at random."""
    wiring = rng.integers(0, int(np.prod(shape)), (n, 2)).astype(np.int32)
    return LogicDense(shape, wiring, rng.choice(GOOD, n).astype(np.uint64))


def _maps(rng: np.random.Generator, layers: list[Any], shape: Shape, lanes: int) -> Shape:
    steps = [1, 1, 1, 2, 3] if lanes == 1 else [1, 1, 2]
    for block in range(int(rng.integers(1, 3))):
        field = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        stride = (int(rng.choice(steps)), int(rng.choice(steps)))
        padding = tuple(int(rng.choice([0, span // 2, 1, 2])) for span in field)
        depth, kernels = int(rng.integers(1, 4)), int(rng.integers(2, 6))
        layer = conv(rng, shape, field, stride, padding, depth=depth, kernels=kernels)
        layer.check("conv")
        layers.append((f"conv{block}", layer))
        shape = layer.output_shape
        if rng.random() < 0.7:
            window = (int(rng.integers(1, 4)), int(rng.integers(1, 3 if lanes > 1 else 4)))
            step = tuple(int(rng.choice([span, span, 1, 2])) for span in window)
            pad = tuple(int(rng.integers(0, span)) for span in window)
            pool = OrPool(shape, window, step, pad)
            pool.check("pool")
            layers.append((f"pool{block}", pool))
            shape = pool.output_shape
    return shape


def random_network(rng: np.random.Generator, lanes: int = 1) -> LogicNetwork:
    """One or two blocks of convolution and pool of any field, stride and padding; rows that
    `lanes` divides; with and without a dense layer."""
    while True:
        colours = int(rng.integers(1, 4)) if rng.random() < 0.4 else 1
        size = (int(rng.integers(3, 9)), int(rng.integers(1, 8)) * lanes)
        top = int(rng.choice([4, 255, 255, 1000]))
        same = bool(rng.random() < 0.5)
        first = thermometer(rng, (colours, *size), int(rng.integers(1, 4)), top, same)
        layers: list[Any] = [("in", first)]
        try:
            shape = _maps(rng, layers, first.output_shape, lanes)
        except IRError:
            continue
        if rng.random() < 0.6:
            layers.append(("dense", dense(rng, shape, int(rng.integers(8, 30)))))
            shape = layers[-1][1].output_shape
        size_out, n_classes = int(np.prod(shape)), int(rng.integers(2, 5))
        if size_out < n_classes:
            continue
        cuts = np.sort(rng.choice(np.arange(1, size_out), n_classes - 1, replace=False))
        layers.append(("sum", GroupSum(shape, np.array([0, *cuts, size_out]))))
        return chain(layers)


def emitted(
    network: LogicNetwork,
    out: Path,
    *,
    output: str = "scores",
    bus_bytes: int = 1,
    lanes: int = 1,
    change: Callable[[StreamSpec], StreamSpec] = lambda spec: spec,
) -> tuple[Manifest, StreamPlan]:
    """The Verilog of `network` in `out`; `change` plants a fault."""
    streamed = stream_spec(network, level=2, care="thermometer", output=output, lanes=lanes)
    net = composed(network, streamed.spec)
    options = RtlOptions(output=output, bus_bytes=bus_bytes, care="thermometer")
    return emit_stream(change(streamed.spec), net, out, options, version="test")


def simulated(
    network: LogicNetwork, out: Path, manifest: Manifest, *, n_random: int = 40, seed: int = 1
) -> dict[str, Any]:
    """The result of the top bench on Icarus."""
    save_netlist(out / "raw.npz", unroll(network))
    job = {
        "manifest": str(out / "manifest.json"),
        "netlist_raw": str(out / "raw.npz"),
        "golden": None,
        "result": str(out / "result.json"),
        "seed": seed,
        "n_random": n_random,
        "n_ties": 8,
        "n_corners": 16,
        "frames": FRAMES,
    }
    (out / "job.json").write_text(json.dumps(job), encoding="utf-8")
    sources = tuple(out / name for name in manifest.files)
    bench = Bench(
        "top", sources, manifest, out / "manifest.json", out, simulator="icarus", n_random=n_random
    )
    sim_dir = data_dir("sim")
    wrapper = write_wrapper(bench, sim_dir.parent)
    outcome = run_bench(
        simulator="icarus",
        sources=[*sources, wrapper],
        toplevel=wrapper.stem,
        test_module="sim.bench_top",
        test_dir=sim_dir.parent,
        build_dir=out / "build",
        env={"GATE2HW_JOB": str(out / "job.json")},
        timeout_s=300,
    )
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {**result, "passed": bool(result["passed"] and outcome.passed)}
