"""The rules of the flat representations; each broken rule is an IRError that names the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError

if TYPE_CHECKING:
    from gate2hw.ir.netlist import Circuit, Netlist

__all__ = [
    "first_bad",
    "gate_text",
    "verify_columns",
    "verify_ends",
    "verify_netlist",
    "verify_operands",
]


def first_bad(bad: npt.NDArray[np.bool_]) -> int:
    """The first index where `bad` is true."""
    return int(np.flatnonzero(bad)[0])


def gate_text(net: Circuit, gate: int) -> str:
    """A gate in words: its number, its node, and the neuron it came from."""
    site = net.site_of(gate) if 0 <= net.origin[gate] < len(net.sites) else None
    return f"gate {gate} (node {net.first_gate + gate}{f', {site}' if site else ''})"


def verify_columns(net: Circuit, columns: dict[str, npt.NDArray[Any]]) -> None:
    """Numbers of inputs and nodes, lengths of the gate columns, levels, sites of the origins."""
    if net.n_inputs < 0 or net.n_nodes > 2**31:
        raise IRError(f"netlist: {net.n_inputs} inputs and {net.n_gates} gates are no 32-bit ids")
    columns = columns | {"origin": net.origin, "level_ptr": net.level_ptr, "outputs": net.outputs}
    for name, column in columns.items():
        if column.ndim != (2 if name == "fanin" else 1):
            raise IRError(f"netlist: column {name} has {column.ndim} dimensions")
        if name not in ("level_ptr", "outputs") and len(column) != net.n_gates:
            raise IRError(
                f"netlist: column {name} has {len(column)} entries for {net.n_gates} gates"
            )
    ptr = net.level_ptr
    if len(ptr) < 1 or ptr[0] != 0 or ptr[-1] != net.n_gates or (np.diff(ptr) < 1).any():
        raise IRError("netlist: level_ptr must rise from 0 to the number of gates, no level empty")
    for layer in net.sites.layers:
        if min(layer.gates, layer.kernels, layer.rows, layer.columns) < 0:
            raise IRError(f"netlist: the sites of layer {layer.name!r} have a negative size")
    bad = (net.origin < -1) | (net.origin >= len(net.sites))
    if bad.any():
        gate = first_bad(bad)
        raise IRError(
            f"{gate_text(net, gate)}: origin {net.origin[gate]} is outside the "
            f"{len(net.sites)} sites"
        )


def verify_operands(
    net: Circuit, columns: list[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.bool_] | None]]
) -> None:
    """Every operand is a node, and gates stand in the lowest level that their operands allow."""
    below = np.zeros(net.n_gates, np.int32)
    for name, column, unused in columns:
        bad = (column < 0) | (column >= net.n_nodes)
        if unused is not None:
            bad &= ~unused
        if bad.any():
            gate = first_bad(bad)
            raise IRError(f"{gate_text(net, gate)}: {name} is {column[gate]}, which is no node")
        operand = column if unused is None else np.where(unused, 0, column)
        np.maximum(below, net.node_level[operand], out=below)
    level = net.node_level[net.first_gate :]
    bad = level != below + 1
    if bad.any():
        gate = first_bad(bad)
        raise IRError(
            f"{gate_text(net, gate)}: stands in level {level[gate]}, but as soon as possible is "
            f"{below[gate] + 1}"
        )


def verify_ends(net: Circuit) -> None:
    bad = (net.outputs < 0) | (net.outputs >= 2 * net.n_nodes)
    if bad.any():
        output = first_bad(bad)
        raise IRError(f"output {output}: literal {net.outputs[output]} is no node")
    _verify_head(net)
    _verify_encoder(net)
    for name, size in (
        ("inputs", net.n_inputs),
        ("outputs", net.n_outputs),
        ("classes", net.n_classes),
    ):
        n_names = len(getattr(net.names, name))
        if n_names not in (0, size):
            raise IRError(f"netlist: {n_names} names for {size} {name}")


def verify_netlist(net: Netlist) -> None:
    """Raise IRError where `net` breaks a rule of DESIGN.md, part 2: columns, levels, literals."""
    verify_columns(net, {"tt": net.tt, "in0": net.in0, "in1": net.in1})
    if (net.tt > 15).any():
        gate = first_bad(net.tt > 15)
        raise IRError(f"{gate_text(net, gate)}: truth table {net.tt[gate]} is outside 0..15")
    verify_operands(net, [("in0", net.in0, None), ("in1", net.in1, None)])
    verify_ends(net)


def _verify_head(net: Circuit) -> None:
    head = net.head
    if not head.weight.ndim == head.group_ptr.ndim == head.bias.ndim == 1:
        raise IRError("head: weight, group_ptr and bias must have one dimension each")
    if len(head.weight) != net.n_outputs:
        raise IRError(f"head: {len(head.weight)} weights for {net.n_outputs} outputs")
    if len(head.group_ptr) < 1 or head.group_ptr[0] != 0 or (np.diff(head.group_ptr) < 0).any():
        raise IRError("head: group_ptr must rise from 0")
    if len(head.bias) != head.n_classes:
        raise IRError(f"head: {len(head.bias)} biases for {head.n_classes} classes")
    if head.n_classes and head.group_ptr[-1] != net.n_outputs:
        raise IRError(f"head: groups end at {head.group_ptr[-1]}, outputs at {net.n_outputs}")


def _verify_encoder(net: Circuit) -> None:
    encoder = net.encoder
    if encoder is None:
        return
    if not encoder.feature.shape == encoder.threshold.shape == (net.n_inputs,):
        raise IRError(f"encoder: its columns must have one entry for each of {net.n_inputs} inputs")
    if not encoder.shape or min(encoder.shape) < 1:
        raise IRError(f"encoder: shape {encoder.shape} holds no features")
    if not 1 <= encoder.max_value <= 65535:
        raise IRError(f"encoder: max_value {encoder.max_value} is outside 1..65535")
    bad = (encoder.feature < 0) | (encoder.feature >= encoder.n_features)
    if bad.any():
        raise IRError(
            f"encoder: input {first_bad(bad)} reads feature {encoder.feature[first_bad(bad)]}, "
            f"allowed are 0..{encoder.n_features - 1}"
        )
    bad = (encoder.threshold < 0) | (encoder.threshold >= encoder.max_value)
    if bad.any():
        raise IRError(
            f"encoder: input {first_bad(bad)} has threshold {encoder.threshold[first_bad(bad)]}, "
            f"allowed are 0..{encoder.max_value - 1}"
        )
    order = np.argsort(encoder.feature, kind="stable")
    feature, threshold = encoder.feature[order], encoder.threshold[order]
    bad = (feature[1:] == feature[:-1]) & (threshold[1:] <= threshold[:-1])
    if bad.any():
        at = first_bad(bad)
        raise IRError(
            f"encoder: input {order[at + 1]} has threshold {threshold[at + 1]} after "
            f"{threshold[at]}; the thresholds of a feature (here {feature[at]}) must rise strictly"
        )
