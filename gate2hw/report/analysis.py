"""What the network, its netlist, its golden file and its history say; each counted once."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.ir.counters import PopcountCost, popcount_cost
from gate2hw.ir.gates import TABLE
from gate2hw.ir.layers import LogicConv, LogicDense
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden
from gate2hw.ir.unroll import Census, census
from gate2hw.report.schema import (
    Analysis,
    AreaEstimate,
    Confusion,
    EncoderUse,
    FunctionGates,
    LayerGates,
    PopcountUse,
    Training,
)

__all__ = ["analyse", "area_estimate", "confusion", "read_history"]

HISTORY_COLUMNS = (
    "step",
    "time_s",
    "loss",
    "accuracy_validation_soft",
    "accuracy_validation",
    "lr",
)
NO_SITE = "(no layer)"

# Two-input gates of the parts that are not in the netlist's columns.
_GATES_PER_BORROW = 4
_GATES_PER_MUX = 3


def confusion(golden: Golden, n_classes: int) -> tuple[Confusion | None, str]:
    """Count (true, predicted) pairs of the labelled samples; None and the reason without labels.

    Raises InputError where a label or class is outside 0..n_classes-1.
    """
    known = golden.y >= 0
    if not known.any():
        return None, "the golden file has no labels"
    true, predicted = golden.y[known], golden.classes[known]
    outside = (true >= n_classes) | (predicted < 0) | (predicted >= n_classes)
    if outside.any():
        sample = int(np.flatnonzero(known)[np.flatnonzero(outside)[0]])
        raise InputError(
            f"golden file, sample {sample}: label {golden.y[sample]} or class "
            f"{golden.classes[sample]} is outside 0..{n_classes - 1}"
        )
    counts = np.bincount(true * n_classes + predicted, minlength=n_classes**2)
    best = golden.scores.max(axis=1, keepdims=True)
    n_ties = int(((golden.scores == best).sum(axis=1) > 1).sum())
    matrix: list[list[int]] = counts.reshape(n_classes, n_classes).tolist()
    return {"matrix": matrix, "n_labelled": int(known.sum()), "n_ties": n_ties}, ""


def _gates_by_layer(net: Netlist) -> dict[str, int]:
    """Gates by the name of their layer; those that no layer owns under NO_SITE."""
    names = [NO_SITE, *(layer.name for layer in net.sites.layers)]
    layer = net.sites.layer_of(net.origin) if len(names) > 1 else np.full(net.n_gates, -1)
    counts = np.bincount(layer + 1, minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def _layers(network: LogicNetwork, unrolled: Census, netlist: Netlist) -> list[LayerGates]:
    before, after = unrolled.by_layer, _gates_by_layer(netlist)
    result: list[LayerGates] = []
    for name, layer in network.layers():
        if name in before:
            trained = layer.n_unique_gates if isinstance(layer, LogicConv | LogicDense) else None
            result.append(
                {
                    "name": name,
                    "kind": type(layer).__name__,
                    "unique": trained,
                    "instantiated": before[name],
                    "optimised": after.get(name, 0),
                }
            )
    if after[NO_SITE]:
        result.append(
            {
                "name": NO_SITE,
                "kind": "",
                "unique": None,
                "instantiated": 0,
                "optimised": after[NO_SITE],
            }
        )
    return result


def _functions(unrolled: Census, netlist: Netlist) -> list[FunctionGates]:
    before, after = unrolled.by_function.tolist(), netlist.function_counts()
    return [
        {"name": name, "tt": tt, "instantiated": before[tt], "optimised": after[name]}
        for tt, name, _ in TABLE
    ]


def _encoder_use(netlist: Netlist, encoder: Encoder) -> EncoderUse:
    used = netlist.used_inputs()
    bits_read = np.bincount(encoder.feature[used], minlength=encoder.n_features)
    never: npt.NDArray[np.bool_] = bits_read == 0
    return {
        "shape": list(encoder.shape),
        "bits": netlist.n_inputs,
        "bits_used": len(used),
        "fraction_used": len(used) / netlist.n_inputs if netlist.n_inputs else 0.0,
        "features": encoder.n_features,
        "features_never_read": int(never.sum()),
        "never_read": never.reshape(encoder.shape).tolist(),
        "bits_read": bits_read.reshape(encoder.shape).tolist(),
    }


def _popcount_use(unrolled: Census, netlist: Netlist, cost: PopcountCost) -> PopcountUse:
    by_class: list[int] = np.diff(netlist.head.group_ptr).tolist()
    return {
        "bits_instantiated": unrolled.n_outputs,
        "bits": sum(by_class),
        "bits_by_class": by_class,
        "two_input_gates": cost.two_input_gates,
        "gates_per_bit": cost.gates_per_bit,
        "luts4": cost.luts4,
        "luts4_per_bit": cost.luts4_per_bit,
    }


def area_estimate(netlist: Netlist, encoder: Encoder, popcount: PopcountCost) -> AreaEstimate:
    """Two-input gates of encoder, gates, popcount and argmax.

    Popcount: the adders of the construction with the fewest gates, counted. Argmax: a tree of
    C - 1 nodes, each comparing two scores of S bits (4 gates a bit: the borrow is a majority) and
    choosing score and index (3 gates a multiplexed bit). Encoder: a comparison of a W-bit value
    with a constant needs at most W - 1 gates; one comparator for each bit read.
    """
    n_classes = netlist.n_classes
    bounds = netlist.head.score_bounds()
    low, high = (int(bounds.min()), int(bounds.max())) if n_classes else (0, 0)
    score_width = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)
    index_width = max(n_classes - 1, 0).bit_length()
    node = _GATES_PER_BORROW * score_width + _GATES_PER_MUX * (score_width + index_width)
    value_width = encoder.max_value.bit_length()
    n_bits = len(netlist.used_inputs())
    return {
        "gates": {
            "encoder": n_bits * (value_width - 1),
            "gates": netlist.n_gates,
            "popcount": popcount.two_input_gates,
            "argmax": max(n_classes - 1, 0) * node,
        },
        "formula": {
            "encoder": f"{n_bits:,} bits read x ({value_width} - 1) gates a comparison "
            f"of a {value_width}-bit value with a constant",
            "gates": "gates of the netlist after passes",
            "popcount": f"{popcount.n_bits:,} bits x {popcount.gates_per_bit:.2f} gates a bit, "
            "the construction with the fewest gates",
            "argmax": f"{max(n_classes - 1, 0):,} nodes x ({_GATES_PER_BORROW} x {score_width} "
            f"compare + {_GATES_PER_MUX} x ({score_width} + {index_width}) choose)",
        },
    }


def _cell(text: str | None) -> float | None:
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def read_history(path: Path | str | None) -> tuple[Training | None, str]:
    """The training curve of history.csv; None and the reason where it cannot be read."""
    if path is None or not Path(path).is_file():
        return None, "no history.csv stands beside the model"
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in HISTORY_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            return None, f"history.csv lacks the columns {', '.join(missing)}"
        columns: dict[str, list[Any]] = {name: [] for name in HISTORY_COLUMNS}
        for row in reader:
            try:
                cells = {name: _cell(row[name]) for name in HISTORY_COLUMNS}
            except ValueError as error:
                return None, f"history.csv, line {reader.line_num}: {error}"
            if cells["step"] is None:
                return None, f"history.csv, line {reader.line_num}: no step"
            for name, value in cells.items():
                columns[name].append(value)
    if not columns["step"]:
        return None, "history.csv has no rows"
    training: Any = columns
    return training, ""


def analyse(
    network: LogicNetwork,
    netlist: Netlist,
    golden: Golden | None,
    history: Path | str | None,
) -> Analysis:
    """The part of a report that comes from the model's files alone.

    `netlist` is that after passes, `history` the path of history.csv; what is "instantiated" is
    counted in the network, unrolled or not. Raises InputError where the netlist has no encoder or
    a golden label is out of range.
    """
    if netlist.encoder is None:
        raise InputError("the netlist has no encoder: only a compiled model can be reported on")
    if golden is None:
        matrix, matrix_reason = None, "no golden.npz stands beside the model"
    else:
        matrix, matrix_reason = confusion(golden, netlist.n_classes)
    training, training_reason = read_history(history)
    cost, unrolled = popcount_cost(netlist), census(network)
    analysis: Analysis = {
        "confusion": matrix,
        "layers": _layers(network, unrolled, netlist),
        "functions": _functions(unrolled, netlist),
        "levels": {
            "instantiated": unrolled.by_level.tolist(),
            "optimised": np.diff(netlist.level_ptr).tolist(),
        },
        "popcount": _popcount_use(unrolled, netlist, cost),
        "encoder": _encoder_use(netlist, netlist.encoder),
        "area_estimate": area_estimate(netlist, netlist.encoder, cost),
        "training": training,
    }
    if matrix is None:
        analysis["confusion_reason"] = matrix_reason
    if training is None:
        analysis["training_reason"] = training_reason
    return analysis
