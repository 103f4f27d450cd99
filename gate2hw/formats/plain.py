"""Plain evaluators of the original files, one a kind: the judges of an import.

They work on the foreign tensors and statements as they stand (floats compared, weights looked
up, indices gathered) and share no code with the importers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.c_source import CSource
from gate2hw.formats.spec import ImportSpec
from gate2hw.formats.tensors import Tensors, natural

__all__ = ["evaluate_c", "evaluate_circuit", "evaluate_difflogic", "evaluate_dwn"]
__all__ += ["evaluate_torchlogix", "foreign_bits"]

Bits = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.int64]


def foreign_bits(x: npt.NDArray[Any], spec: ImportSpec, thresholds: Any = None) -> Bits:
    """(N, *shape) integers as the bits of the foreign model: (N, C*T, H, W), or (N, n)."""
    given = spec.input
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale = np.array(given.scale, np.float32).reshape(shape)
    offset = np.array(given.offset, np.float32).reshape(shape)
    value = x.astype(np.float32) / scale + offset
    limits = np.array(given.thresholds if thresholds is None else thresholds, np.float32)
    limits = np.atleast_2d(limits).reshape(1, -1, *(1,) * (x.ndim - 2), limits.shape[-1])
    bits = value[..., None] > limits  # (N, C, H, W, T)
    if given.order == "interleaved":
        return bits.reshape(len(x), -1)
    by_channel = np.moveaxis(bits, -1, 2 if given.order == "channel-major" else 1)
    return by_channel.reshape(len(x), -1, *x.shape[2:])


def _gate(a: Bits, b: Bits, ids: npt.NDArray[Any]) -> Bits:
    """difflogic's 16 functions by id, as its table of operations lists them."""
    functions = [
        np.zeros_like(a), a & b, a & ~b, a, ~a & b, b, a ^ b, a | b,
        ~(a | b), ~(a ^ b), ~b, a | ~b, ~a, ~a | b, ~(a & b), np.ones_like(a),
    ]  # fmt: skip
    result = np.zeros_like(a)
    for number, function in enumerate(functions):
        result |= function & (ids == number)
    return result


def _hard(inputs: list[Bits], weights: npt.NDArray[Any], spec: ImportSpec) -> Bits:
    """Value of gates with the last axis of `inputs` over gates; weights (n_gates, columns)."""
    columns = weights.shape[-1]
    if len(inputs) == 2 and columns == 16:
        ids = np.argmax(weights, axis=-1)
        if spec.id_order == "lsb":
            ids = np.array([int(f"{i:04b}"[::-1], 2) for i in ids.tolist()])
        return _gate(inputs[0], inputs[1], ids)
    if spec.parametrisation == "light":
        address = sum(bit.astype(int) << (len(inputs) - 1 - s) for s, bit in enumerate(inputs))
        table = weights > 0
        return np.asarray(table[np.arange(len(table)), address], np.bool_)
    # Walsh: signs +-1, one product of inputs for each coefficient
    signs = [1.0 - 2.0 * bit for bit in inputs]
    total = np.zeros(inputs[0].shape)
    for term in range(columns):
        product = np.ones(inputs[0].shape)
        for slot, sign in enumerate(signs):
            if term >> (len(inputs) - 1 - slot) & 1:
                product = product * sign
        total = total + weights[:, term] * product
    return np.asarray(total < 0, np.bool_)


def _grouped(bits: Bits, spec: ImportSpec, block: int) -> Scores:
    flat = bits.reshape(len(bits), -1)
    missing = block * spec.classes - flat.shape[1]
    flat = np.pad(flat, ((0, 0), (0, missing)))
    counts: Scores = flat.reshape(len(bits), spec.classes, block).sum(axis=2, dtype=np.int64)
    return counts + int(spec.beta)


def _prefixed(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _torchlogix_dense(x: Bits, tensors: Tensors, prefix: str, spec: ImportSpec) -> Bits:
    flat = x.reshape(len(x), -1)
    wiring = tensors[_prefixed(prefix, "connections.indices")]
    if wiring.ndim == 3:
        choice = tensors[_prefixed(prefix, "connections.weights")].argmax(axis=0)
        slot, gate = np.indices(choice.shape)
        wiring = wiring[choice, slot, gate]
    inputs = [flat[:, row] for row in wiring]
    return _hard(inputs, tensors[_prefixed(prefix, "weight")], spec)


def _torchlogix_conv(
    x: Bits, tensors: Tensors, prefix: str, spec: ImportSpec, padding: tuple[int, int]
) -> Bits:
    """(N, K, P) in positions; the caller folds them into rows and columns."""
    (rows, columns) = padding
    padded = np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    place = tensors[f"{prefix}.connections._indices_L0"]
    # (N, rank, kernels, positions, gates)
    values = padded[:, place[..., 2], place[..., 0], place[..., 1]]
    signals = [np.moveaxis(values[:, slot], 1, -1) for slot in range(place.shape[0])]
    level = 0
    while True:
        weights = tensors[f"{prefix}.tree_weights.{level}"]  # (gates, kernels, columns)
        gates = [
            _hard([signal[:, :, g] for signal in signals], weights[g], spec)
            for g in range(len(weights))
        ]
        below = np.stack(gates, axis=2)  # (N, positions, gates, kernels)
        if len(gates) == 1:
            return np.moveaxis(below[:, :, 0], -1, 1)
        level += 1
        children = tensors[f"{prefix}.connections._indices_L{level}"]
        signals = [below[:, :, row] for row in children]


def _max_pool(
    x: Bits, window: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> Bits:
    padded = np.pad(x, ((0, 0), (0, 0), *((pad, pad) for pad in padding)))
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(2, 3))
    return np.asarray(views[:, :, :: stride[0], :: stride[1]].max(axis=(4, 5)), np.bool_)


def evaluate_torchlogix(
    tensors: Tensors, spec: ImportSpec, x: npt.NDArray[Any], thresholds: Any = None
) -> Scores:
    """(N, C) counts (and beta) of a torchlogix state dict on integers (N, *shape)."""
    signals = foreign_bits(x, spec, thresholds)
    layers: list[tuple[str, Any]] = [(layer.op, layer) for layer in spec.layers]
    if not layers:
        keys = [key.removesuffix("weight").rstrip(".") for key in tensors if _is_gate_key(key)]
        layers = [("dense", key) for key in sorted(keys, key=natural)]
    for op, layer in layers:
        if op == "dense":
            key = layer if isinstance(layer, str) else layer.key
            signals = _torchlogix_dense(signals, tensors, key, spec)
        elif op == "conv":
            height, width = (
                n + 2 * p for n, p in zip(signals.shape[2:], layer.padding, strict=True)
            )
            rows = (height - layer.field[0]) // layer.stride[0] + 1
            columns = (width - layer.field[1]) // layer.stride[1] + 1
            flat = _torchlogix_conv(signals, tensors, layer.key, spec, layer.padding)
            signals = flat.reshape(*flat.shape[:2], rows, columns)
        else:
            signals = _max_pool(signals, layer.field, layer.stride, layer.padding)
    n_bits = int(np.prod(signals.shape[1:]))
    return _grouped(signals, spec, n_bits // spec.classes)


def _is_gate_key(key: str) -> bool:
    return key == "weight" or key.endswith(".weight")


def evaluate_difflogic(
    tensors: Tensors, wiring: Tensors, spec: ImportSpec, x: npt.NDArray[Any]
) -> Scores:
    """(N, C) counts of a difflogic state dict and its wiring."""
    signals = foreign_bits(x, spec).reshape(len(x), -1)
    for number, key in enumerate(sorted(tensors, key=natural)):
        a, b = (signals[:, wiring[f"{letter}_{number}"]] for letter in "ab")
        signals = _hard([a, b], tensors[key], spec)
    return _grouped(signals, spec, signals.shape[1] // spec.classes)


def evaluate_dwn(tensors: Tensors, spec: ImportSpec, x: npt.NDArray[Any]) -> Scores:
    """(N, C) counts of a torch_dwn state dict."""
    signals = foreign_bits(x, spec).reshape(len(x), -1)
    for key in sorted((key for key in tensors if key.endswith("luts")), key=natural):
        luts = tensors[key]
        prefix = key.removesuffix("luts")
        n = int(np.log2(luts.shape[1]))
        learnable = tensors.get(f"{prefix}mapping.weights")
        if learnable is None:
            mapping = tensors[f"{prefix}mapping"]
        else:
            mapping = np.argmax(learnable, axis=0).reshape(len(luts), n)
        address = (signals[:, mapping].astype(np.int64) * (1 << np.arange(n))).sum(axis=2)
        signals = luts[np.arange(len(luts)), address] > 0
    return _grouped(signals, spec, -(-signals.shape[1] // spec.classes))


_OPS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "CONST_FALSE": lambda a, b: a & ~a,
    "CONST_TRUE": lambda a, b: a | ~a,
    "WIRE": lambda a, b: a,
    "NOT": lambda a, b: ~a,
    "NOT_A": lambda a, b: ~a,
    "NOT_B": lambda a, b: ~b,
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NAND": lambda a, b: ~(a & b),
    "NOR": lambda a, b: ~(a | b),
    "XNOR": lambda a, b: ~(a ^ b),
    "AND_NOT_B": lambda a, b: a & ~b,
    "AND_NOT_A": lambda a, b: ~a & b,
    "OR_NOT_B": lambda a, b: a | ~b,
    "OR_NOT_A": lambda a, b: ~a | b,
}


def evaluate_circuit(content: dict[str, Any], bits: Bits, classes: int = 0) -> Scores:
    """(N, C) sums of a parsed Circuit JSON on bits (N, n_inputs), gate by gate, by id.

    Without sums, `classes` equal blocks of the outputs are counted.
    """
    value: dict[int, Bits] = {i: bits[:, i] for i in range(content["n_inputs"])}
    value[-1] = np.zeros(len(bits), np.bool_)
    todo = content["gates"]
    while todo:
        later = []
        for gate in todo:
            a, b = gate.get("in0", -1), gate.get("in1", -1)
            if a in value and b in value:
                value[gate["gate_id"]] = _OPS[gate["op"]](value[a], value[b])
            else:
                later.append(gate)
        if len(later) == len(todo):
            raise InputError("the circuit has a cycle")
        todo = later
    sums = {node["node_id"]: node for node in content.get("sum_nodes") or []}
    counts: Scores
    if not sums:
        found = np.stack([value[i] for i in content["outputs"]], axis=1)
        counts = found.reshape(len(bits), classes, -1).sum(axis=2, dtype=np.int64)
        return counts
    counts = np.zeros((len(bits), len(content["outputs"])), np.int64)
    for c, output in enumerate(content["outputs"]):
        counts[:, c] = round(sums[output].get("beta", 0.0))
        for i in sums[output]["input_ids"]:
            counts[:, c] += value[i]
    return counts


class _CEvaluator(ast.NodeVisitor):
    """C's & | ^ ~ and 0 are Python's: its parser takes the statements apart."""

    def __init__(self, bits: Bits) -> None:
        self.bits = bits
        self.value: dict[str, Bits] = {}

    def visit_BinOp(self, node: ast.BinOp) -> Bits:
        left, right = self.visit(node.left), self.visit(node.right)
        result: Bits
        match node.op:
            case ast.BitAnd():
                result = left & right
            case ast.BitOr():
                result = left | right
            case ast.BitXor():
                result = left ^ right
            case _:
                raise InputError("an unknown operator")
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Bits:
        return ~np.asarray(self.visit(node.operand), np.bool_)

    def visit_Name(self, node: ast.Name) -> Bits:
        return self.value[node.id]

    def visit_Constant(self, node: ast.Constant) -> Bits:
        return np.zeros(len(self.bits), np.bool_)

    def visit_Subscript(self, node: ast.Subscript) -> Bits:
        return self.bits[:, int(ast.unparse(node.slice))]


def evaluate_c(source: CSource, bits: Bits, classes: int) -> Scores:
    """(N, C) counts of difflogic's C on bits (N, n_inputs), statement by statement."""
    evaluator = _CEvaluator(bits)
    for target, expression in source.statements:
        text = re.sub(r"\b0[uUlL]+\b", "0", expression)
        tree = ast.parse(text, mode="eval")
        evaluator.value[target] = evaluator.visit(tree.body)
    outputs = sum(target.startswith("out[") for target, _ in source.statements)
    found = np.stack([evaluator.value[f"out[{o}]"] for o in range(outputs)], axis=1)
    counts: Scores = found.reshape(len(bits), classes, -1).sum(axis=2, dtype=np.int64)
    return counts
