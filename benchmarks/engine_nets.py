"""The nets of engine.py: networks, images, what the scores must be, and the files of a case."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from models import MODELS, logictreenet
from synthetic import draw, mix

from gate2hw.formats.circuit_json import write_circuit_json
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.layers import GroupSum, LogicDense, Thermometer
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.store import load_golden, load_network, save_netlist
from gate2hw.ir.unroll import instantiated_gates, unroll
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.unroll_shared import unroll_shared

__all__ = [
    "EXAMPLES",
    "Subject",
    "network_of",
    "prepare",
    "write_difflogic",
    "write_ours",
    "write_torchlogix",
]

EXAMPLES = Path(__file__).parents[1] / "examples" / "models"
DENSE_LAYERS, DENSE_THRESHOLD = 6, 127
PROFILES = {"dense": "mnist-dense", "trees": "mnist-conv"}
LEVEL, LEVELS = 1, {"CIFAR S": 2, "CIFAR M": 2}
"""Of `run_pipeline`: the structural passes, with the local rules and sharing where kernels overlap
and the net is small enough to wait for them."""


@dataclass(frozen=True)
class Subject:
    """A net, simplified, with images (N, *shape) and their scores (N, C) and classes (N,)."""

    name: str
    network: LogicNetwork
    netlist: Netlist
    x: npt.NDArray[Any]
    scores: npt.NDArray[np.int64]
    simplify_s: float

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The highest score, ties to the lowest class."""
        found: npt.NDArray[np.int64] = self.scores.argmax(axis=1)
        return found

    def about(self) -> dict[str, Any]:
        """Sizes, for the table."""
        return {
            "net": self.name,
            "gates": instantiated_gates(self.network),
            "gates_simplified": self.netlist.n_gates,
            "depth": self.netlist.depth,
            "inputs": self.netlist.n_inputs,
            "outputs": self.netlist.n_outputs,
            "classes": self.netlist.n_classes,
            "images": len(self.x),
            "simplify_s": self.simplify_s,
        }


def dense(n_gates: int) -> LogicNetwork:
    """difflogic's MNIST shape: 784 pixels, one threshold, six layers of one width, ten classes."""
    width = round(n_gates / DENSE_LAYERS / 10) * 10
    shape: list[dict[str, Any]] = [
        {"op": "Thermometer", "name": "input", "input_shape": [1, 28, 28], "thresholds": 1}
    ]
    shape += [
        {"op": "LogicDense", "name": f"dense{n + 1}", "neurons": width} for n in range(DENSE_LAYERS)
    ]
    shape.append({"op": "GroupSum", "name": "sum", "classes": 10})
    network = draw(shape, mix(PROFILES["dense"]), name=f"dense {n_gates}")
    (name, first), *rest = network.layers()
    assert isinstance(first, Thermometer)
    # of random pixels, nearly all are above 0
    middle = replace(first, thresholds=np.full((1, 1), DENSE_THRESHOLD, np.int32))
    return chain([(name, middle), *rest], dataset="synthetic", info=network.info)


def network_of(name: str) -> LogicNetwork:
    """``dense 48000``, ``CIFAR S``, or the folder of a trained model."""
    if name.startswith("dense "):
        return dense(int(name.split()[1]))
    if name in MODELS:
        return draw(logictreenet(MODELS[name]), mix(PROFILES["trees"]), name=name)
    return load_network(Path(name) / "model.safetensors")


def images_of(name: str, network: LogicNetwork, n_images: int) -> npt.NDArray[Any]:
    """(N, *shape): the golden inputs of a trained model, over and over, or random ones."""
    thermometer = network.thermometer
    kind = np.uint8 if thermometer.max_value < 256 else np.uint16
    if (Path(name) / "golden.npz").is_file():
        golden = load_golden(Path(name) / "golden.npz")
        if not np.array_equal(golden.scores, evaluate(network, golden.x)):
            raise SystemExit(f"{name}: the network's scores are not those of its golden file")
        repeats = -(-n_images // len(golden.x))
        tiled = np.tile(golden.x, (repeats, *[1] * (golden.x.ndim - 1)))[:n_images]
        return np.ascontiguousarray(tiled, kind)
    rng = np.random.default_rng(1)
    shape = (n_images, *thermometer.input_shape)
    return rng.integers(0, thermometer.max_value + 1, shape, dtype=kind)


def prepare(name: str, n_images: int, n_times: int, n_distinct: int | None = None) -> Subject:
    """The net simplified `n_times` (the median counts), images, and the LogicNetwork's scores.

    The scores come from `evaluate`, which shares no code with the engine. Only `n_distinct` images
    differ, where that is given; the others repeat them.
    """
    network = network_of(name)
    times = []
    for _ in range(n_times):
        clock = time.perf_counter()
        netlist = run_pipeline(unroll_shared(network), LEVELS.get(name, LEVEL)).net
        times.append(time.perf_counter() - clock)
    x = images_of(name, network, n_distinct or n_images)
    scores = evaluate(network, x)
    if n_distinct:
        number = np.arange(n_images) % n_distinct
        x, scores = x[number], scores[number]
    shown = Path(name).name if "/" in name else name
    return Subject(shown, network, netlist, x, scores, statistics.median(times))


def write_ours(subject: Subject, folder: Path) -> dict[str, str]:
    """Images and netlist, for peers/gate2hw_infer.py."""
    np.save(folder / "x.npy", subject.x)
    save_netlist(folder / "netlist.npz", subject.netlist)
    return {"x": str(folder / "x.npy"), "netlist": str(folder / "netlist.npz")}


def write_torchlogix(subject: Subject, folder: Path) -> dict[str, str]:
    """The gates as the network has them, as a Circuit JSON, and the encoder."""
    raw = unroll(subject.network)
    assert raw.encoder is not None
    write_circuit_json(raw, folder / "circuit.json")
    np.savez(
        folder / "encoder.npz",
        feature=raw.encoder.feature,
        threshold=raw.encoder.threshold,
        n_classes=raw.n_classes,
    )
    return {"layers": str(folder / "encoder.npz"), "circuit": str(folder / "circuit.json")}


def write_difflogic(subject: Subject, folder: Path) -> dict[str, str]:
    """Wiring and gate ids of each layer, and the encoder; ValueError where difflogic has no such.

    A gate id is the truth table with f(0, 0) as its most significant bit: ours, reversed.
    """
    arrays: dict[str, Any] = {}
    encoder = unroll(subject.network).encoder
    assert encoder is not None
    reverse = np.array([int(f"{tt:04b}"[::-1], 2) for tt in range(16)], np.int8)
    *layers, last = [layer for _, layer in subject.network.layers()][1:]
    assert isinstance(last, GroupSum)
    if len(set(np.diff(last.group_ptr).tolist())) > 1:
        raise ValueError("difflogic has classes of one size only")
    for number, layer in enumerate(layers):
        if not isinstance(layer, LogicDense) or layer.arity != 2:
            raise ValueError("difflogic has dense layers of two-input gates only")
        arrays[f"a_{number}"], arrays[f"b_{number}"] = layer.wiring.T
        arrays[f"gate_{number}"] = reverse[layer.tables.astype(np.int64)]
    if len(layers) < 2:
        raise ValueError("the C that difflogic emits for a single layer does not compile")
    np.savez(
        folder / "layers.npz",
        n_layers=len(layers),
        n_inputs=len(encoder.feature),
        n_classes=last.n_classes,
        feature=encoder.feature,
        threshold=encoder.threshold,
        **arrays,
    )
    return {"layers": str(folder / "layers.npz")}
