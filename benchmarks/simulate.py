"""How long does it take to simulate a design of 100,000 gates on a whole test set, build included?

    python benchmarks/simulate.py [--quick] [--json FILE] [--gates N] [--frames N]

Draws a dense network of at least N gates after the passes, makes a golden file of 10,000 random
inputs with the reference simulator, compiles it, and lets the project's own judge (sim/) check the
emitted Verilog on Verilator, core and top, with every vector of the golden file and about a
thousand others. Times are wall clock from the Verilog to the verdict; build and run are also shown
apart. A planted fault (one gate of the Verilog complemented) must be found by the same run.

The net is SYNTHETIC: five dense layers, each half as wide as the one before, with random wiring and
functions, none of them trivial.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, save, table

import gate2hw
from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff import benches
from gate2hw.flow.signoff.checks import Chain, load_chain
from gate2hw.ir.gates import is_trivial
from gate2hw.ir.layers import GroupSum, Layer, LogicDense, Thermometer
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.network import chain as from_layers
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.ir.store import Golden, save_golden, save_network
from gate2hw.ir.unroll import unroll

GATES, QUICK_GATES = 100_000, 5_000
VECTORS, QUICK_VECTORS = 10_000, 1_000
N_LAYERS, N_CLASSES = 5, 10
LEVEL, BUS_BYTES = 2, 8
GOAL_TIME_S = 300.0


def synthetic(n_gates: int, seed: int = 0) -> LogicNetwork:
    """A dense network of about `n_gates` gates; see the module's text."""
    rng = np.random.default_rng(seed)
    n_outputs = -(-n_gates // (2**N_LAYERS - 1) // N_CLASSES) * N_CLASSES
    tables_of_two = np.flatnonzero(~is_trivial)
    thermometer = Thermometer((1, 28, 28), np.array([[63, 127, 191]], np.int32), 255)
    layers: list[tuple[str, Layer]] = [("input", thermometer)]
    shape: tuple[int, ...] = thermometer.output_shape
    widths = [n_outputs << left for left in reversed(range(N_LAYERS))]
    for number, width in enumerate(widths):
        size = int(np.prod(shape))
        # every signal is used equally often, give or take one
        uses = np.concatenate([rng.permutation(size) for _ in range(-(-2 * width // size))])
        wiring = uses[: 2 * width].reshape(2, width).T.astype(np.int32)
        tables = rng.choice(tables_of_two, size=width).astype(np.uint64)
        layers.append((f"dense{number + 1}", LogicDense(shape, wiring, tables)))
        shape = (width,)
    layers.append(("sum", GroupSum(shape, np.arange(N_CLASSES + 1) * (n_outputs // N_CLASSES))))
    return from_layers(layers, dataset="synthetic")


def prepare(folder: Path, n_gates: int, n_vectors: int) -> Chain:
    """A compiled build folder of at least `n_gates` gates with `n_vectors` golden vectors."""
    wanted = n_gates
    while True:
        network = synthetic(wanted)
        out = folder / "build"
        model = folder / "model"
        model.mkdir(parents=True, exist_ok=True)
        save_network(model / "model.safetensors", network)
        raw = unroll(network)
        assert raw.encoder is not None
        x = random_features(raw.encoder, n_vectors, np.random.default_rng(0))
        score = scores(raw, x)
        labels = np.full(n_vectors, -1)
        golden = Golden(x.astype(np.uint8), labels, score, classes(score), network.digest)
        save_golden(model / "golden.npz", golden)
        gate2hw.compile(model, out, opt_level=LEVEL, output="scores", bus_bytes=BUS_BYTES)
        chain = load_chain(BuildFolder.existing(out))
        if chain.net.n_gates >= n_gates:
            return chain
        wanted = int(1.05 * wanted * n_gates / chain.net.n_gates)


def simulate(chain: Chain, kind: benches.BenchKind, n_frames: int | None) -> dict[str, Any]:
    """Run one bench as `verify` does, from the Verilog; what it found and how long it took."""
    rtl = chain.folder.path / "rtl"
    unwanted = {chain.manifest.modules["top"] + ".v"} if kind == "core" else set()
    bench = benches.Bench(
        kind=kind,
        sources=tuple(rtl / name for name in chain.manifest.files if name not in unwanted),
        manifest=chain.manifest,
        manifest_path=rtl / "manifest.json",
        work_dir=chain.folder.path / "sim",
        simulator="verilator",
        n_random=1000,
        n_golden=n_frames,
    )
    start = time.perf_counter()
    result = benches.run(bench, chain)
    time_s = time.perf_counter() - start
    run_s = sum(test.get("time_s", 0.0) for test in result["tests"].values())
    return {
        "bench": kind,
        "gates": chain.net.n_gates,
        "golden_vectors": result["n_golden"],
        "compared": result["n_compared"],
        "mismatches": result["mismatches"],
        "run_s": run_s,
        "build_and_rest_s": time_s - run_s,
        "total_s": time_s,
    }


def planted(chain: Chain) -> bool:
    """Whether the core bench finds one complemented gate of the Verilog."""
    path = chain.folder.path / "rtl" / f"{chain.manifest.modules['gates']}.v"
    good = path.read_text(encoding="utf-8")
    node = int(chain.net.outputs[0] >> 1)
    bad, n_changed = re.subn(rf"(wire n{node} = )([^;]*);", r"\1~(\2);", good, count=1)
    assert n_changed == 1
    path.write_text(bad, encoding="utf-8")
    try:
        simulate(chain, "core", None)
    except CheckFailedError:
        return True
    finally:
        path.write_text(good, encoding="utf-8")
    return False


def main() -> int:
    """Print the table, write the results; exit code 1 where the goal is missed."""
    parser = arguments(__doc__)
    parser.add_argument("--gates", type=int, help="least number of gates after the passes")
    parser.add_argument("--frames", type=int, help="golden vectors of the top (default all)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work here and leave the files")
    parser.add_argument("--skip-planted", action="store_true", help="leave out the planted fault")
    options = parser.parse_args()
    n_gates = options.gates or (QUICK_GATES if options.quick else GATES)
    n_vectors = QUICK_VECTORS if options.quick else VECTORS
    with tempfile.TemporaryDirectory() as temporary:
        chain = prepare(options.keep or Path(temporary), n_gates, n_vectors)
        rows = [simulate(chain, "core", None), simulate(chain, "top", options.frames)]
        caught = None if options.skip_planted else planted(chain)
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    met = all(row["total_s"] <= GOAL_TIME_S and not row["mismatches"] for row in rows)
    print(
        f"goal, each on {n_vectors:,} vectors within {GOAL_TIME_S:g} s, build included: "
        f"{'met' if met else 'missed'}; planted fault found: {caught}"
    )
    result = {"synthetic": True, "level": LEVEL, "rows": rows, "goal_met": met}
    save("simulate", {**result, "planted_fault_found": caught}, options, ("numpy", "cocotb"))
    return int(not met or caught is False)


if __name__ == "__main__":
    sys.exit(main())
