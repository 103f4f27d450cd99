"""import: a model of torchlogix, difflogic or torch_dwn as a LogicNetwork, checked equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.formats import plain
from gate2hw.formats.c_source import load_c
from gate2hw.formats.circuit_json import circuit_netlist, load_circuit_json
from gate2hw.formats.difflogic import (
    SETTLING,
    check_drawn,
    from_difflogic,
    from_dwn,
    gate_weights,
)
from gate2hw.formats.encodings import encoding_of
from gate2hw.formats.layered import network_of
from gate2hw.formats.spec import DrawSpec, ImportSpec, read_spec
from gate2hw.formats.tensors import Tensors, read_tensors
from gate2hw.formats.torchlogix import from_torchlogix, stored_thresholds
from gate2hw.ir.evaluate import evaluate as of_network
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes as winners
from gate2hw.ir.simulate import random_features
from gate2hw.ir.store import save_network
from gate2hw.ir.unroll import encoder_of

__all__ = ["Source", "import_model"]

Source: TypeAlias = Literal["torchlogix", "difflogic", "dwn"]
Evaluator: TypeAlias = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]

N_RANDOM: Final = 256
MAX_VALUES: Final = 1 << 24
"""Random inputs of a check: samples, and at most so many values in all."""


@dataclass(frozen=True)
class _Imported:
    network: LogicNetwork
    evaluate: Evaluator
    spec: ImportSpec


def _tensors(path: Path) -> Tensors:
    if path.suffix.lower() in (".pt", ".pth"):
        from gate2hw.nn.foreign import read_state_dict

        return read_state_dict(path)
    return read_tensors(path)


def _from_json(path: Path, spec: ImportSpec) -> _Imported:
    circuit = load_circuit_json(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    net = circuit_netlist(path, circuit)
    tau = circuit.sums[0][1] if circuit.sums else spec.tau
    spec = replace(spec, tau=tau, classes=len(circuit.sums) or spec.classes)
    shape = spec.input.shape or _bits_shape(circuit.input_shape, net.n_inputs)
    network = network_of(net, spec, shape, imported_from="torchlogix circuit")

    def evaluate(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        bits = plain.foreign_bits(x, spec).reshape(len(x), -1)
        return plain.evaluate_circuit(content, bits, spec.classes) + int(spec.beta)

    return _Imported(network, evaluate, spec)


def _bits_shape(shape: tuple[int, ...], n_inputs: int) -> tuple[int, ...]:
    """A shape of the file where it is (C, H, W), else flat."""
    is_image = len(shape) == 3 and int(np.prod(shape)) == n_inputs
    return shape if is_image else (n_inputs,)


def _from_c(path: Path, spec: ImportSpec) -> _Imported:
    source = load_c(path)
    spec = replace(spec, classes=source.n_classes or spec.classes)
    network = network_of(
        source.net, spec, spec.input.shape or (source.net.n_inputs,), imported_from="difflogic C"
    )

    def evaluate(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        bits = plain.foreign_bits(x, spec).reshape(len(x), -1)
        return plain.evaluate_c(source, bits, spec.classes) + int(spec.beta)

    return _Imported(network, evaluate, spec)


def _is_settled(check: Path | None, spec: ImportSpec) -> bool:
    """Whether the stored outputs of `check` can tell the wiring of the model from another."""
    if check is None:
        return False
    x, _ = _stored(check, spec, spec.input.shape)
    return len(np.unique(x.reshape(len(x), -1), axis=0)) >= SETTLING


def _drawn_wiring(
    tensors: Tensors, spec: ImportSpec, drawn: DrawSpec, check: Path | None
) -> Tensors:
    """The wiring of difflogic, drawn again; refused where nothing shows that it is the model's."""
    from gate2hw.nn.replay import draw_again

    if not spec.input.shape:
        raise InputError("a seed draws wiring over all inputs: give [input] shape in --spec too")
    n_inputs = len(encoding_of(spec.input, None, spec.input.shape).codes)
    found = draw_again(
        n_inputs,
        [len(weights) for _, weights in gate_weights(tensors)],
        seed=drawn.seed,
        connections=drawn.connections,
        device=drawn.device,
        before=drawn.before,
    )
    if _is_settled(check, spec):
        return dict(found.wiring)
    # weights tell of all draws before them: those of a GPU of none, a single layer of no wiring
    if len(found.weights) < 2:
        raise InputError(
            "nothing shows that the seed is right, neither weights of a GPU, which are not drawn "
            "again, nor a single layer: give --check with outputs of the original on at least "
            f"{SETTLING} different inputs"
        )
    check_drawn(tensors, found.weights)
    return dict(found.wiring)


def _load(
    path: Path, source: Source, spec: ImportSpec, wiring: Path | None, check: Path | None
) -> _Imported:
    suffix = path.suffix.lower()
    if spec.drawn is not None and (source != "difflogic" or suffix == ".c"):
        raise InputError("[wiring] of a spec belongs to a state dict of difflogic")
    if wiring is not None and (source != "difflogic" or suffix == ".c"):
        raise InputError("--wiring belongs to a state dict of difflogic")
    if suffix == ".json" and source == "torchlogix":
        return _from_json(path, spec)
    if suffix == ".c" and source == "difflogic":
        return _from_c(path, spec)
    if suffix in (".json", ".c"):
        raise InputError(f"{path}: {suffix} files come from torchlogix (.json) and difflogic (.c)")
    tensors = _tensors(path)
    if source == "torchlogix":
        thresholds = stored_thresholds(tensors, spec)
        return _Imported(
            from_torchlogix(tensors, spec),
            lambda x: plain.evaluate_torchlogix(tensors, spec, x, thresholds),
            spec,
        )
    if source == "difflogic":
        side = None if wiring is None else _tensors(wiring)
        if spec.drawn is not None:
            if side is not None:
                raise InputError("the wiring is in --wiring, or drawn by [wiring] seed: not both")
            side = _drawn_wiring(tensors, spec, spec.drawn, check)
        network = from_difflogic(tensors, side, spec)
        return _Imported(
            network, lambda x: plain.evaluate_difflogic(tensors, side or {}, spec, x), spec
        )
    return _Imported(from_dwn(tensors, spec), lambda x: plain.evaluate_dwn(tensors, spec, x), spec)


def _stored(path: Path, spec: ImportSpec, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Inputs (N, *shape) int64 and outputs of a check file."""
    arrays = read_tensors(path)
    if not {"inputs", "outputs"} <= set(arrays):
        raise InputError(f"{path}: it needs arrays 'inputs' and 'outputs', it has {sorted(arrays)}")
    x, y = arrays["inputs"], arrays["outputs"]
    is_numeric = x.dtype.kind in "biuf" and y.dtype.kind in "biuf"
    if not (x.ndim and y.ndim and is_numeric and len(x) == len(y) > 0):
        raise InputError(f"{path}: inputs {x.shape} and outputs {y.shape} do not fit together")
    if x.shape[1:] != shape:
        if int(np.prod(x.shape[1:])) != int(np.prod(shape)):
            raise InputError(f"{path}: inputs have shape {x.shape[1:]}, the model reads {shape}")
        x = x.reshape(len(x), *shape)
    if x.dtype.kind == "f" and spec.input.max_value > 1:
        axes = (1, -1) + (1,) * (len(shape) - 1)
        scale = np.array(spec.input.scale).reshape(axes)
        exact = (x.astype(np.float64) - np.array(spec.input.offset).reshape(axes)) * scale
        x = np.round(exact)
        if not np.allclose(exact, x, atol=1e-2):
            raise InputError(f"{path}: its inputs are not integers / scale + offset")
    return x.astype(np.int64), y


def _compare(found: npt.NDArray[np.int64], expected: Any, spec: ImportSpec) -> tuple[Any, str]:
    """Per sample whether `found` agrees with stored outputs: classes, counts, or counts / tau."""
    if expected.ndim == 1:
        return winners(found) == expected, "classes"
    if expected.shape != found.shape:
        raise InputError(
            f"stored outputs have shape {expected.shape}, the model gives {found.shape}"
        )
    if expected.dtype.kind == "f" and spec.tau != 1.0:
        return np.isclose(found / spec.tau, expected, rtol=1e-4, atol=1e-5).all(axis=1), "scores"
    return (found == expected).all(axis=1), "scores"


def _check(imported: _Imported, check: Path | None, seed: int) -> dict[str, Any]:
    """Compare with the plain evaluator, and with stored outputs; CheckFailedError if unequal."""
    network = imported.network
    encoder = encoder_of(network.thermometer)
    shape = encoder.shape
    if check is not None:
        x, expected = _stored(check, imported.spec, shape)
        if (x < 0).any() or (x > encoder.max_value).any():
            raise InputError(f"{check}: inputs are outside 0..{encoder.max_value}")
    else:
        rng = np.random.default_rng(seed)
        n = max(2, min(N_RANDOM, MAX_VALUES // encoder.n_features))
        x, expected = random_features(encoder, n, rng), None
        x[0], x[1] = 0, encoder.max_value
    found = of_network(network, x)
    result = {"n_samples": len(x), "inputs": "random" if check is None else str(check)}
    pairs = [("the original, evaluated plainly", (found == imported.evaluate(x)).all(axis=1))]
    if expected is not None:
        equal, what = _compare(found, expected, imported.spec)
        pairs.append((f"the stored {what}", equal))
    for who, equal in pairs:
        if not equal.all():
            sample = int(np.argmin(equal))
            raise CheckFailedError(
                f"the imported network differs from {who} on {int((~equal).sum())} of {len(x)} "
                f"inputs, first on sample {sample} (scores {found[sample].tolist()}); nothing is "
                "written: is the spec that of the model (order of bits, gate ids, padding)?"
            )
    return result | {"compared_with": [who for who, _ in pairs]}


def import_model(
    file: Path | str,
    source: Source,
    out: Path | str,
    *,
    spec: Path | str | ImportSpec | None = None,
    wiring: Path | str | None = None,
    check: Path | str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Read a model of another tool, check it equal to its original, and write it to `out`.

    `file` is a state dict (.pt, .safetensors, .npz), a Circuit JSON of torchlogix or difflogic's
    C; `spec` says what it does not hold, `wiring` is difflogic's side file, `check` an .npz of
    ``inputs`` and ``outputs`` (scores or classes); without it random inputs are compared with a
    plain evaluator of the file. A seed of wiring is believed where the weights show it, or outputs
    of SETTLING different inputs agree. Raises InputError with the reason for what cannot be
    imported, CheckFailedError (nothing is written) where the network differs.
    """
    if isinstance(spec, str | Path):
        spec = read_spec(spec)
    given = spec or ImportSpec()
    side = None if wiring is None else Path(wiring)
    stored = None if check is None else Path(check)
    imported = _load(Path(file), source, given, side, stored)
    network = imported.network
    checked = _check(imported, stored, seed)
    save_network(out, network)
    return {
        "model_path": str(out),
        "source": source,
        "digest": network.digest,
        "input_shape": list(network.thermometer.input_shape),
        "classes": network.group_sum.n_classes,
        "gates_unique": network.n_unique_gates,
        "layers": [[name, type(layer).__name__] for name, layer in network.layers()],
        "check": checked,
    }
