"""Our engine on one netlist, for engine.py.

python benchmarks/peers/gate2hw_infer.py CASE.json

Runs are named by kernel. `predict KERNEL`: uint8 images to classes, one thread; `predict KERNEL 2
threads` likewise; `large`: the same on an array that no cache holds, for the default kernel.
`gates KERNEL`: the same call with encoder and head taken out of what the C code is handed, so that
the ops of the gates are all that is left; `no input` and `no head` leave out one of them. `read`
and `read cached` are plain reads of the images and, over and over, of what fits the first-level
cache; their seconds are those of a byte.
"""

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from server import Run, protocol, serve

from gate2hw.engine import Engine, kernel_names
from gate2hw.engine.library import Batch, Model, address
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import load_netlist

CACHED_BYTES = 1 << 15
"""What is read over and over to see how fast the first-level cache is."""
N_READS = 512


def without(engine: Engine, x: Any, *, with_input: bool, with_head: bool) -> Any:
    """A call of the engine's C code on images `x` with parts of the model left out."""
    variant = engine._variant
    program = engine._program(variant)
    model = Model.from_buffer_copy(program._model)
    classes = np.empty(len(x), np.int64)
    if not with_input:
        model.n_chunks = 0
        # nor is any image fetched ahead
        model.n_features = 0
    n_parts = program._plan.contents.n_parts
    nothing = np.zeros(n_parts + 1, np.int64)
    if not with_head:
        # every class, so that all gates are evaluated, but of one bit and without outputs
        model.n_columns = model.n_planes = 1
        model.term_ptr = address(nothing)
    batch = Batch(len(x), address(x), address(classes), None)

    def call() -> None:
        failed = program._library.gate2hw_engine_run(
            variant.number, ctypes.byref(model), ctypes.byref(batch)
        )
        # the arrays that the structures point to live as long as the call
        assert not failed
        assert (len(classes), len(nothing)) == (len(x), n_parts + 1)

    return call


def floor_counts(engine: Engine, net: Netlist) -> dict[str, int]:
    """Sizes of the plan."""
    program = engine._program(engine._variant)
    plan = program._plan.contents
    assert net.encoder is not None
    return {
        "n_ops": int(plan.n_ops),
        "n_operands": int(plan.n_words - plan.n_ops),
        "n_runs": int(plan.n_runs),
        "n_slots": int(plan.n_slots),
        "block": engine._variant.block,
        "slots_bytes": int(plan.n_slots) * engine._variant.block // 8,
        "program_bytes": program.program_bytes,
        "head_terms": len(program._term),
        "image_bytes": net.encoder.n_features * net.encoder.bytes_per_feature,
    }


def main() -> None:
    """Prepare everything that the case asks for, then serve."""
    out = protocol()
    case = json.loads(Path(sys.argv[1]).read_text())
    net, x = load_netlist(case["netlist"]), np.load(case["x"])
    plans = []
    for _ in range(case["n_plans"]):
        clock = time.perf_counter()
        engine = Engine(net, threads=1)
        plans.append(time.perf_counter() - clock)
    runs: dict[str, Run] = {}
    outputs: dict[str, Any] = {}

    def add(name: str, used: Engine, images: Any) -> None:
        runs[name] = (len(images), lambda: used.predict(images))

    for kernel in case["kernels"] or kernel_names():
        one = engine if kernel == engine.kernel else Engine(net, threads=1, kernel=kernel)
        images = x if kernel != "numpy" else x[: case["n_numpy"]]
        outputs[kernel] = lambda used=one: (used.scores(x), used.predict(x))
        if kernel == "numpy":
            outputs[kernel] = lambda used=one, some=images: (used.scores(some), used.predict(some))
        add(f"predict {kernel}", one, images)
        if kernel == "numpy":
            continue
        runs[f"gates {kernel}"] = (len(x), without(one, x, with_input=False, with_head=False))
        if case["threads"] > 1:
            two = Engine(net, threads=case["threads"], kernel=kernel)
            outputs[f"{kernel} {case['threads']} threads"] = lambda used=two: (
                used.scores(x),
                used.predict(x),
            )
            add(f"predict {kernel} {case['threads']} threads", two, x)
            if kernel == engine.kernel and case["n_large"]:
                large = np.tile(x, (-(-case["n_large"] // len(x)), *[1] * (x.ndim - 1)))
                add("large", one, large)
                add(f"large {case['threads']} threads", two, large)
    if engine.kernel != "numpy":
        runs["no input"] = (len(x), without(engine, x, with_input=False, with_head=True))
        runs["no head"] = (len(x), without(engine, x, with_input=True, with_head=False))
    words = np.frombuffer(
        x.tobytes() * (-(-CACHED_BYTES // x.nbytes)), np.uint64, max(x.nbytes, CACHED_BYTES) // 8
    )
    cached = np.broadcast_to(words[: CACHED_BYTES // 8], (N_READS, CACHED_BYTES // 8))
    runs["read"] = (words.nbytes, words.max)
    runs["read cached"] = (N_READS * CACHED_BYTES, lambda: cached.max(axis=1))
    # last, so that peers are asked right after it
    headline = f"predict {engine.kernel}"
    runs[headline] = runs.pop(headline)
    about = {"kernel": engine.kernel, "kernels": list(kernel_names()), "plan_s": plans}
    if engine.kernel != "numpy":
        about["counts"] = floor_counts(engine, net)
    serve(out, about, runs, lambda: engine.predict(x[:1]), outputs, case["least_s"])


main()
