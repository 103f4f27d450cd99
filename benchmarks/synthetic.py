"""Does a synthetic net shrink like the trained net that its mix was measured on?

    python benchmarks/synthetic.py [--quick] [--json FILE]
    python benchmarks/synthetic.py --measure MODEL --name NAME

--measure reads a trained model.safetensors and writes its mix into benchmarks/mix.json, under NAME:
for every layer (and tree level) how often each of the 16 functions was chosen, constants and wires
included, how often the signals that a dense layer reads are used, and the gates of the model before
and after the structural passes. Functions are counted apart for live gates, on which some output
depends gate by gate, and dead ones: training leaves constants in dead gates only. A synthetic net
has the shape it is asked for; from the last layer to the first, wiring is drawn with the measured
uses and tables from the mix of the nearest layer (first to first, last to last), live or dead as
the layers above made them. So it has no redundancy between live gates, but for chance.

Without --measure, nets of the measured shapes are drawn with their own mix, and their shrink is
printed beside that of the trained nets. --quick draws one net of each instead of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from common import arguments, save, table

from gate2hw.errors import InputError
from gate2hw.ir.gates import NAMES
from gate2hw.ir.layers import GroupSum, Layer, LogicConv, LogicDense, OrPool, Thermometer
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.store import load_network, write_text
from gate2hw.ir.unroll import instantiated_gates
from gate2hw.passes.manager import PassManager
from gate2hw.passes.pipelines import pipeline
from gate2hw.passes.unroll_shared import unroll_shared

__all__ = ["STRUCTURAL", "dense", "draw", "measure", "mix", "shape_of"]

MIX = Path(__file__).with_name("mix.json")
STRUCTURAL = pipeline(1)
"""The structural passes alone, to a fixed point."""

Bools: TypeAlias = npt.NDArray[np.bool_]
Shape: TypeAlias = list[dict[str, Any]]
"""A network without tables and wiring: one dictionary a layer, see `shape_of`."""

_MIXES = {"LogicConv": "conv", "LogicDense": "dense"}
DENSE_LAYERS, DENSE_CLASSES = 6, 10


def shape_of(network: LogicNetwork) -> Shape:
    """The layers of `network` as `draw` takes them."""
    shape: Shape = []
    for name, layer in network.layers():
        entry: dict[str, Any] = {"op": type(layer).__name__, "name": name}
        match layer:
            case Thermometer():
                entry["input_shape"] = list(layer.input_shape)
                entry["thresholds"] = layer.thresholds.shape[1]
            case LogicConv():
                channels = [len(np.unique(leaves)) for leaves in layer.leaves[:, :, 0]]
                entry |= {"kernels": layer.n_kernels, "depth": layer.depth}
                entry |= {"channels": max(channels), "field": list(layer.field)}
                entry |= {"stride": list(layer.stride), "padding": list(layer.padding)}
            case OrPool():
                entry |= {"window": list(layer.window), "stride": list(layer.stride)}
                entry["padding"] = list(layer.padding)
            case LogicDense():
                entry["neurons"] = layer.n_unique_gates
            case GroupSum():
                entry["classes"] = layer.n_classes
        shape.append(entry)
    return shape


def _functions(tables: npt.NDArray[np.uint64], live: Bools) -> dict[str, dict[str, float]]:
    """Share of each function among live and among dead gates; no entry for no gates."""
    shares: dict[str, dict[str, float]] = {}
    for kind, which in (("live", live), ("dead", ~live)):
        if which.any():
            counts = np.bincount(tables[which].astype(np.int64), minlength=16) / which.sum()
            rows = zip(NAMES, counts.tolist(), strict=True)
            shares[kind] = {name: round(share, 5) for name, share in rows if share}
    return shares


def _depends(tables: npt.NDArray[np.uint64], slot: int) -> Bools:
    """Whether two-input tables depend on input `slot`."""
    tt, shift, mask = tables.astype(np.int64), 2 - slot, (3, 5)[slot]
    result: Bools = (tt >> shift & mask) != (tt & mask)
    return result


def _dense_live(layer: LogicDense, live: Bools) -> Bools:
    """Which elements of its input live gates of the layer depend on."""
    below = np.zeros(int(np.prod(layer.input_shape)), np.bool_)
    for slot in (0, 1):
        below[layer.wiring[live & _depends(layer.tables, slot), slot]] = True
    return below


def _tree_live(tables: npt.NDArray[np.uint64], live: Bools) -> Bools:
    """Which signals (K, 2n) live gates (K, n) of a tree level depend on."""
    return np.stack([live & _depends(tables, slot) for slot in (0, 1)], axis=2).reshape(
        len(live), -1
    )


def _conv_live(layer: LogicConv, live: Bools) -> Bools:
    """Which channels of its input the leaves of live kernels depend on."""
    signals = live[:, None]
    for tables in reversed(layer.tables):
        signals = _tree_live(tables, signals)
    below = np.zeros(layer.input_shape[0], np.bool_)
    below[layer.leaves[:, :, 0][signals]] = True
    return below


def _any_position(live: Bools, n_channels: int) -> Bools:
    result: Bools = live.reshape(n_channels, -1).any(axis=1)
    return result


def _histogram(reads: npt.NDArray[np.int64]) -> dict[str, float]:
    """Share of the signals that are read so many times."""
    counts = np.bincount(reads)
    return {str(n): round(float(counts[n] / len(reads)), 5) for n in np.flatnonzero(counts)}


def _dense_mix(layer: LogicDense, live: Bools) -> dict[str, Any]:
    size = int(np.prod(layer.input_shape))
    return {
        "functions": _functions(layer.tables, live),
        "uses": _histogram(np.bincount(layer.wiring.ravel(), minlength=size)),
    }


def _conv_mix(layer: LogicConv, live: Bools) -> dict[str, Any]:
    levels, signals = [], live[:, None]
    for tables in reversed(layer.tables):
        levels.append(_functions(tables, signals))
        signals = _tree_live(tables, signals)
    return {"levels": levels[::-1]}


def gate_counts(network: LogicNetwork) -> dict[str, Any]:
    """Gates instantiated and after the structural passes, and the factor between them."""
    net = PassManager(STRUCTURAL).run(unroll_shared(network)).net
    before = instantiated_gates(network)
    return {
        "gates": before,
        "gates_structural": net.n_gates,
        "shrink": round(before / max(1, net.n_gates), 3),
        "depth_structural": net.depth,
        "outputs": net.n_outputs,
    }


def measure(network: LogicNetwork) -> dict[str, Any]:
    """The mix of a trained network of two-input gates; see the module's text."""
    conv: list[Any] = []
    dense: list[Any] = []
    live = np.ones(0, np.bool_)
    for name, layer in reversed(list(network.layers())):
        if isinstance(layer, LogicConv | LogicDense) and layer.arity != 2:
            raise InputError(f"layer {name!r} has tables of {layer.arity} inputs, a mix has two")
        if isinstance(layer, GroupSum):
            live = np.ones(int(np.prod(layer.input_shape)), np.bool_)
        elif isinstance(layer, LogicDense):
            dense.insert(0, _dense_mix(layer, live))
            live = _dense_live(layer, live)
        elif isinstance(layer, LogicConv):
            live = _any_position(live, layer.n_kernels)
            conv.insert(0, _conv_mix(layer, live))
            live = _conv_live(layer, live)
        elif isinstance(layer, OrPool):
            live = _any_position(live, layer.input_shape[0])
    return {
        "digest": network.digest,
        "dataset": network.dataset,
        "trained": gate_counts(network),
        "shape": shape_of(network),
        "conv": conv,
        "dense": dense,
    }


def mix(name: str) -> dict[str, Any]:
    """The profile `name` of benchmarks/mix.json; InputError if there is none."""
    profiles: dict[str, Any] = json.loads(MIX.read_text())["profiles"]
    if name not in profiles:
        raise InputError(f"{MIX} has no profile {name!r}, it has {', '.join(profiles)}")
    return profiles[name]  # type: ignore[no-any-return]


def _nearest(entries: list[Any], place: int, n_places: int) -> Any:
    """First to first, last to last, the nearest (the lower of two) between."""
    if not entries:
        raise InputError("the mix was measured on a net without such a layer")
    if n_places < 2:
        return entries[0]
    at = place * (len(entries) - 1) / (n_places - 1)
    return entries[int(np.ceil(at - 0.5))]


def _tables(
    functions: dict[str, dict[str, float]], live: Bools, rng: np.random.Generator
) -> npt.NDArray[np.uint64]:
    """Tables of gates, of the shape of `live`."""
    tables = np.zeros(live.shape, np.uint64)
    for kind, which in (("live", live), ("dead", ~live)):
        # where the trained net had no dead gates, dead ones are drawn like live ones
        own = functions.get(kind) or functions[{"live": "dead", "dead": "live"}[kind]]
        share = np.array([own.get(name, 0.0) for name in NAMES])
        edges = np.cumsum(share / share.sum())[:-1].astype(np.float32)
        drawn = rng.random(int(which.sum()), np.float32)
        tables[which] = np.searchsorted(edges, drawn, side="right")
    return tables


def _wiring(
    uses: dict[str, float], n_signals: int, n_neurons: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """(N, 2) wires: uses of the signals drawn as measured, repeated or cut to 2 * N."""
    share = np.cumsum(list(uses.values()))
    cuts = np.round(n_signals * share / share[-1]).astype(np.int64)
    n_uses = rng.permutation(np.repeat([int(n) for n in uses], np.diff(cuts, prepend=0)))
    signals = np.arange(n_signals, dtype=np.int32)
    if not n_uses.any():
        n_uses[:] = 1
    wires: list[npt.NDArray[np.int32]] = []
    missing = 2 * n_neurons
    while missing > 0:
        some = rng.permutation(np.repeat(signals, n_uses))[:missing]
        wires.append(some)
        missing -= len(some)
    return rng.permutation(np.concatenate(wires)).reshape(n_neurons, 2)


def _leaves(
    entry: dict[str, Any], n_channels: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """(K, 2**D, 3): each kernel reads at most so many channels, at random places of the field."""
    kernels, n_leaves = entry["kernels"], 2 ** entry["depth"]
    own = rng.integers(0, n_channels, (kernels, entry["channels"]), dtype=np.int32)
    which = rng.integers(0, entry["channels"], (kernels, n_leaves))
    place = rng.integers(0, entry["field"], (kernels, n_leaves, 2), dtype=np.int32)
    channel = np.take_along_axis(own, which, axis=1)
    return np.concatenate([channel[:, :, None], place], axis=2)


def _geometry(shape: Shape) -> list[Layer]:
    """The layers of `shape` with all tables 0 and all wires at signal 0: for their sizes."""
    layers: list[Layer] = []
    for entry in shape:
        here = layers[-1].output_shape if layers else ()
        match entry["op"]:
            case "Thermometer":
                steps = np.linspace(0, 255, entry["thresholds"] + 1)[:-1].astype(np.int32)
                rows = np.broadcast_to(steps, (entry["input_shape"][0], len(steps)))
                layers.append(Thermometer(tuple(entry["input_shape"]), rows, 255))
            case "LogicConv":
                kernels, depth = entry["kernels"], entry["depth"]
                sizes = [2 ** (depth - 1 - level) for level in range(depth)]
                tables = tuple(np.zeros((kernels, size), np.uint64) for size in sizes)
                leaves = np.zeros((kernels, 2**depth, 3), np.int32)
                geometry = [entry[key] for key in ("field", "stride", "padding")]
                layers.append(LogicConv(here, leaves, tables, *geometry))
            case "OrPool":
                layers.append(OrPool(here, entry["window"], entry["stride"], entry["padding"]))
            case "LogicDense":
                wiring = np.zeros((entry["neurons"], 2), np.int32)
                layers.append(LogicDense(here, wiring, np.zeros(len(wiring), np.uint64)))
            case "GroupSum":
                cuts = np.linspace(0, int(np.prod(here)), entry["classes"] + 1).astype(np.int64)
                layers.append(GroupSum(here, cuts))
            case op:
                raise InputError(f"a shape has no layers of type {op!r}")
    return layers


def _drawn_conv(
    layer: LogicConv, entry: dict[str, Any], own: Any, live: Bools, rng: np.random.Generator
) -> LogicConv:
    tables: list[npt.NDArray[np.uint64]] = []
    signals, depth = live[:, None], layer.depth
    for level in reversed(range(depth)):
        tables.insert(0, _tables(_nearest(own["levels"], level, depth), signals, rng))
        signals = _tree_live(tables[0], signals)
    leaves = _leaves(entry, layer.input_shape[0], rng)
    return replace(layer, leaves=leaves, tables=tuple(tables))


def draw(shape: Shape, profile: dict[str, Any], seed: int = 0, *, name: str = "") -> LogicNetwork:
    """A synthetic network of `shape` with tables and wiring drawn from `profile`."""
    rng = np.random.default_rng(seed)
    layers = _geometry(shape)
    live = np.ones(0, np.bool_)
    places = {op: [n for n, e in enumerate(shape) if e["op"] == op] for op in _MIXES}
    for number in reversed(range(len(layers))):
        layer, entry = layers[number], shape[number]
        if isinstance(layer, GroupSum):
            live = np.ones(int(np.prod(layer.input_shape)), np.bool_)
        elif isinstance(layer, OrPool):
            live = _any_position(live, layer.input_shape[0])
        elif isinstance(layer, LogicConv | LogicDense):
            there = places[entry["op"]]
            own = _nearest(profile[_MIXES[entry["op"]]], there.index(number), len(there))
            if isinstance(layer, LogicDense):
                size = int(np.prod(layer.input_shape))
                wiring = _wiring(own["uses"], size, entry["neurons"], rng)
                layer = replace(layer, wiring=wiring, tables=_tables(own["functions"], live, rng))
                live = _dense_live(layer, live)
            else:
                live = _any_position(live, layer.n_kernels)
                layer = _drawn_conv(layer, entry, own, live, rng)
                live = _conv_live(layer, live)
            layers[number] = layer
    named = [(entry["name"], layer) for entry, layer in zip(shape, layers, strict=True)]
    return chain(named, dataset="synthetic", info={"synthetic": name or "drawn", "seed": seed})


def dense(n_gates: int, seed: int = 0, *, profile: str = "mnist-dense") -> LogicNetwork:
    """A synthetic network of about `n_gates` gates in six dense layers of one width."""
    width = max(1, n_gates // DENSE_LAYERS // DENSE_CLASSES) * DENSE_CLASSES
    shape: Shape = [
        {"op": "Thermometer", "name": "input", "input_shape": [1, 28, 28], "thresholds": 3}
    ]
    shape += [
        {"op": "LogicDense", "name": f"dense{n + 1}", "neurons": width} for n in range(DENSE_LAYERS)
    ]
    shape.append({"op": "GroupSum", "name": "sum", "classes": DENSE_CLASSES})
    return draw(shape, mix(profile), seed, name=f"dense {n_gates}")


def _measure_into_file(options: argparse.Namespace) -> None:
    content = json.loads(MIX.read_text()) if MIX.is_file() else {"profiles": {}}
    command = f"python benchmarks/synthetic.py --measure {options.measure} --name {options.name}"
    entry = {"command": command, **measure(load_network(options.measure))}
    content["profiles"][options.name] = entry
    write_text(MIX, json.dumps(content, indent=1) + "\n")
    print(f"written: {MIX}: {options.name}, {entry['trained']}")


def main() -> int:
    """Print the table, write the results; exit code 2 where --measure comes without --name."""
    parser = arguments(__doc__)
    parser.add_argument("--measure", type=Path, metavar="MODEL", help="measure this model's mix")
    parser.add_argument("--name", help="name of the profile that --measure writes")
    options = parser.parse_args()
    if options.measure:
        if not options.name:
            parser.error("--measure needs --name")
        _measure_into_file(options)
        return 0
    n_nets = 1 if options.quick else 3
    rows = []
    for name in json.loads(MIX.read_text())["profiles"]:
        profile = mix(name)
        drawn = [gate_counts(draw(profile["shape"], profile, seed)) for seed in range(n_nets)]
        trained = profile["trained"]
        rows.append(
            {
                "profile": name,
                "gates": trained["gates"],
                "trained_structural": trained["gates_structural"],
                "trained_shrink": trained["shrink"],
                "synthetic_structural": [counts["gates_structural"] for counts in drawn],
                "synthetic_shrink": statistics.mean(counts["shrink"] for counts in drawn),
                "trained_outputs": trained["outputs"],
                "synthetic_outputs": drawn[0]["outputs"],
            }
        )
    print("gates before and after the structural passes, trained and drawn with the trained's mix")
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    save("synthetic", {"synthetic": True, "n_nets": n_nets, "rows": rows}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
