"""State dicts of difflogic, whose wiring must come beside them, and of torch_dwn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.foreign_layers import Stack, inferred_width
from gate2hw.formats.spec import ImportSpec
from gate2hw.formats.tensors import Tensors, finite, prefixes
from gate2hw.formats.torchlogix import decode_tables
from gate2hw.ir.layers import MAX_TABLE_INPUTS
from gate2hw.ir.network import LogicNetwork

__all__ = [
    "SETTLING",
    "check_drawn",
    "dwn_mapping",
    "from_difflogic",
    "from_dwn",
    "gate_weights",
    "side_wiring",
]

MIN_SIGMA = 6.0
SETTLING = 32
"""Different inputs, at least, whose stored outputs say more of a seed than the weights do: fewer
agree by chance with a network of other wiring."""

HOW_TO_SAVE_WIRING = (
    "np.savez('wiring.npz', **{f'{s}_{i}': t.cpu().numpy() for i, layer in enumerate(m for m in "
    "model if hasattr(m, 'indices')) for s, t in zip('ab', layer.indices)})"
)


def side_wiring(wiring: Tensors, number: int, n_gates: int) -> npt.NDArray[np.int64]:
    """(N, 2): arrays ``a_i`` and ``b_i`` of layer `number` in the side file."""
    columns = []
    for letter in "ab":
        key = f"{letter}_{number}"
        if key not in wiring:
            raise InputError(f"the wiring file lacks {key!r}; write it with: {HOW_TO_SAVE_WIRING}")
        column = wiring[key]
        if column.shape != (n_gates,) or column.dtype.kind not in "iu":
            raise InputError(f"wiring {key!r} has shape {column.shape}, expected ({n_gates},)")
        columns.append(column.astype(np.int64))
    return np.stack(columns, axis=1)


def gate_weights(tensors: Tensors) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """Name and (N, 16) weights of every layer, in order."""
    layers = prefixes(tensors, r"(.*)\.weights")
    odd = [name for name in tensors if not name.endswith(".weights")]
    if odd or not layers:
        raise InputError(f"no state dict of difflogic: {(odd or ['it'])[0]!r} is no layer of gates")
    found = []
    for prefix in layers:
        weights = finite(tensors, f"{prefix}.weights", dimensions=(2,))
        if weights.shape[1] != 16:
            raise ModelFileError(
                f"layer {prefix}: {weights.shape[1]} weights a gate, difflogic has 16"
            )
        found.append((f"layer {prefix}", weights))
    return found


def check_drawn(tensors: Tensors, drawn: Sequence[npt.NDArray[np.float32]]) -> None:
    """Raise InputError where the weights do not show that they started as the `drawn` ones.

    Training moves weights, but they stay correlated with where they started; those of another
    seed are not, but for chance: MIN_SIGMA times the deviation of chance is asked for. (1,000
    gates trained on digits for 3,000 steps of Adam at 0.01: 0.39, 49 times that deviation.)
    """
    for (where, weights), start in zip(gate_weights(tensors), drawn, strict=True):
        a, b = weights.ravel() - weights.mean(), start.ravel() - start.mean()
        norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
        likeness = float(a @ b) / norm if norm else 0.0
        if likeness * np.sqrt(a.size) < MIN_SIGMA:
            raise InputError(
                f"{where}: its weights did not start as those that seed draws (correlation "
                f"{likeness:.3f}): are seed, device, [input] shape and before in [wiring] those of "
                f"the model? Outputs of the original on {SETTLING} different inputs or more settle "
                "it: give --check"
            )


def from_difflogic(tensors: Tensors, wiring: Tensors | None, spec: ImportSpec) -> LogicNetwork:
    """The network of a difflogic state dict and its wiring (``a_0, b_0, a_1, ..``).

    Raises InputError without the wiring: difflogic does not save it.
    """
    if wiring is None:
        raise InputError(
            "the state dict of difflogic does not hold the wiring: import its emitted C "
            "(get_c_code), give --spec with the seed it was built under ([wiring] seed), or save "
            f"the wiring beside it and give --wiring: {HOW_TO_SAVE_WIRING}"
        )
    layers = gate_weights(tensors)
    shape = spec.input.shape
    first = wiring.get("a_0"), wiring.get("b_0")
    if not shape:
        read = [w.ravel() for w in first if w is not None and w.size and w.dtype.kind in "iu"]
        if len(read) < 2:
            raise InputError("the wiring file lacks 'a_0' or 'b_0', or they hold no numbers")
        shape = (inferred_width(np.concatenate(read).astype(np.int64), "the first layer"),)
    stack = Stack.over(spec, shape)
    for number, (where, weights) in enumerate(layers):
        tables = decode_tables(weights, 2, spec, where)
        stack.dense(where, side_wiring(wiring, number, len(weights)), tables)
    return stack.network(stack.equal_groups(), imported_from="difflogic")


def dwn_mapping(tensors: Tensors, prefix: str, n_gates: int, n: int) -> npt.NDArray[np.int64]:
    """(N, n): the fixed mapping, or the greatest weights of a learnable one."""
    fixed, learnable = f"{prefix}.mapping", f"{prefix}.mapping.weights"
    if learnable in tensors:
        weights = finite(tensors, learnable, dimensions=(2,))
        if weights.shape[1] != n_gates * n:
            raise ModelFileError(f"tensor {learnable!r} has shape {weights.shape}")
        chosen: npt.NDArray[np.int64] = weights.argmax(axis=0).reshape(n_gates, n).astype(np.int64)
        return chosen
    if fixed not in tensors:
        raise InputError(f"tensor {fixed!r} is missing: the file was saved without its mapping")
    values = tensors[fixed]
    if values.shape != (n_gates, n) or values.dtype.kind not in "iu":
        raise ModelFileError(f"tensor {fixed!r} has shape {values.shape}, not ({n_gates}, {n})")
    return values.astype(np.int64)


def from_dwn(tensors: Tensors, spec: ImportSpec) -> LogicNetwork:
    """The network of a torch_dwn state dict: tables of up to 6 inputs, address LSB first.

    Classes are blocks of ``ceil(N / classes)`` outputs, the last one may be shorter (torch_dwn
    pads with zeros). Raises InputError where the mapping is missing or a table is larger.
    """
    layers = prefixes(tensors, r"(?:(.*)\.)?luts")
    odd = [name for name in tensors if not name.endswith((".luts", "dummy_mapping"))]
    odd = [name for name in odd if not name.endswith((".mapping", ".mapping.weights"))]
    if odd or not layers:
        raise InputError(f"no state dict of torch_dwn: {(odd or ['it'])[0]!r} is no layer of luts")
    stack = None
    for prefix in layers:
        where = f"layer {prefix}"
        luts = finite(tensors, f"{prefix}.luts", dimensions=(2,))
        n = luts.shape[1].bit_length() - 1
        if luts.shape[1] != 1 << n or not 1 <= n <= MAX_TABLE_INPUTS:
            raise InputError(
                f"{where}: tables of {luts.shape[1]} entries; those of 1..{MAX_TABLE_INPUTS} "
                "inputs are read"
            )
        mapping = dwn_mapping(tensors, prefix, len(luts), n)
        if stack is None:
            learnable = tensors.get(f"{prefix}.mapping.weights")
            shape = spec.input.shape
            if not shape:
                width = inferred_width(mapping, where) if learnable is None else len(learnable)
                shape = (width,)
            stack = Stack.over(spec, shape)
        # address bit i is input i: our input 0 is the most significant one
        tables = np.bitwise_or.reduce(
            (luts > 0).astype(np.uint64) << np.arange(1 << n, dtype=np.uint64), axis=1
        )
        stack.dense(where, mapping[:, ::-1], tables)
    assert stack is not None
    n_outputs = int(np.prod(stack.shape, dtype=np.int64))
    if spec.classes < 1:
        stack.equal_groups()
    block = -(-n_outputs // max(1, spec.classes))
    ptr = np.minimum(np.arange(spec.classes + 1, dtype=np.int64) * block, n_outputs)
    return stack.network(ptr, imported_from="torch_dwn")
