"""torchlogix's Circuit JSON: two-input gates by id, and sums with ``tau`` and ``beta``.

A sum node scores ``(sum + beta) / tau``; ids below ``n_inputs`` are inputs, a gate's unused
operand is -1, gates stand in any order. Written from `Circuit.to_dict` of torchlogix 0.2.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import ModelFileError, nearest
from gate2hw.formats.collector import MAX_FREE_INPUTS
from gate2hw.formats.heads import unit_weights
from gate2hw.ir.assemble import Definitions, UnsoundError, assemble
from gate2hw.ir.gates import TT_A, TT_B, TT_NOT_A, TT_NOT_B, tt_of_name
from gate2hw.ir.netlist import Head, Netlist
from gate2hw.ir.source_text import read_source
from gate2hw.ir.store import atomic_path

__all__ = [
    "CircuitJson",
    "circuit_netlist",
    "load_circuit_json",
    "read_circuit_json",
    "write_circuit_json",
]

_OWN_NAMES: Final = {
    "CONST_FALSE": "FALSE",
    "CONST_TRUE": "TRUE",
    "WIRE": "A",
    "NOT": "NOT_A",
    "NOT_A": "NOT_A",
    "NOT_B": "NOT_B",
    "AND": "AND",
    "OR": "OR",
    "XOR": "XOR",
    "NAND": "NAND",
    "NOR": "NOR",
    "XNOR": "XNOR",
    "AND_NOT_B": "A_AND_NOT_B",
    "AND_NOT_A": "NOT_A_AND_B",
    "OR_NOT_B": "A_OR_NOT_B",
    "OR_NOT_A": "NOT_A_OR_B",
}
_TT_OF_OP: Final = {op: tt_of_name(name) for op, name in _OWN_NAMES.items()}
_OP_OF_TT: Final = {tt: op for op, tt in reversed(_TT_OF_OP.items())}
_READS: Final = [
    ("a" in used, "b" in used)
    for used in (
        {0: "", 15: "", 12: "a", 3: "a", 10: "b", 5: "b"}.get(tt, "ab") for tt in range(16)
    )
]
_NO_OPERAND: Final = -1


@dataclass(frozen=True)
class CircuitJson:
    """A checked file: columns of the gates, and its outputs.

    `gate_id`, `tt`, `a`, `b` are (G,) int64 (operands -1 where the function reads none);
    `outputs` are ids of gates or inputs; with sums, `sums` holds (ids, tau, beta) of each.
    """

    n_inputs: int
    input_shape: tuple[int, ...]
    gate_id: npt.NDArray[np.int64]
    tt: npt.NDArray[np.int64]
    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    outputs: tuple[int, ...]
    sums: tuple[tuple[tuple[int, ...], float, float], ...] = ()


def _fail(path: Path, what: str) -> ModelFileError:
    return ModelFileError(f"{path}: {what}")


def _is_int(value: object) -> bool:
    return type(value) is int and abs(value) < 2**31


def _ids(path: Path, values: object, where: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(map(_is_int, values)):
        raise _fail(path, f"{where} is no list of ids")
    return tuple(values)


def _parsed(path: Path) -> dict[str, Any]:
    text = read_source(path, "JSON")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _fail(path, f"not a JSON file, it may be cut short ({error})") from error
    except RecursionError as error:
        raise _fail(path, "not a circuit: its JSON is nested too deep") from error
    if not isinstance(content, dict) or "n_inputs" not in content or "gates" not in content:
        raise _fail(path, "not a torchlogix circuit: it has no n_inputs and gates")
    n_inputs = content["n_inputs"]
    if not _is_int(n_inputs) or not 0 <= n_inputs <= max(MAX_FREE_INPUTS, len(text)):
        raise _fail(
            path, f"n_inputs is {str(n_inputs)[:40]}, in a file of {len(text):,} characters"
        )
    return content


def _gates(path: Path, gates: object) -> npt.NDArray[np.int64]:
    """(4, G) int64: id, tt, a, b."""
    if not isinstance(gates, list):
        raise _fail(path, "gates is no list")
    columns = np.empty((4, len(gates)), np.int64)
    rows: list[tuple[int, int, int, int]] = []
    for number, gate in enumerate(gates):
        try:
            row = gate["gate_id"], gate["op"], gate.get("in0", -1), gate.get("in1", -1)
        except (TypeError, KeyError, AttributeError) as error:
            raise _fail(path, f"entry {number} of gates has no gate_id and op") from error
        where = f"gate {str(row[0])[:20]}"
        if not isinstance(row[1], str) or row[1] not in _TT_OF_OP:
            hint = nearest(str(row[1])[:40], _TT_OF_OP)
            raise _fail(path, f"{where}: op {str(row[1])[:40]!r} is unknown; {hint}")
        if not (_is_int(row[0]) and _is_int(row[2]) and _is_int(row[3])):
            raise _fail(path, f"{where}: its ids are no integers")
        tt = _TT_OF_OP[row[1]]
        operands = []
        for slot, reads in enumerate(_READS[tt]):
            if reads and row[2 + slot] < 0:
                raise _fail(path, f"{where}: {row[1]} reads in{slot}, which is {row[2 + slot]}")
            operands.append(row[2 + slot] if reads else _NO_OPERAND)
        rows.append((row[0], tt, *operands))
        if len(rows) == 1 << 14:
            columns[:, number + 1 - len(rows) : number + 1] = np.array(rows).T
            rows.clear()
    if rows:
        columns[:, len(gates) - len(rows) :] = np.array(rows).T
    return columns


def _sums(path: Path, content: dict[str, Any]) -> dict[int, tuple[tuple[int, ...], float, float]]:
    nodes = content.get("sum_nodes") or []
    if not isinstance(nodes, list):
        raise _fail(path, "sum_nodes is no list")
    sums: dict[int, tuple[tuple[int, ...], float, float]] = {}
    for number, node in enumerate(nodes):
        if not isinstance(node, dict) or not _is_int(node.get("node_id")):
            raise _fail(path, f"entry {number} of sum_nodes has no node_id")
        where = f"sum node {node['node_id']}"
        ids = _ids(path, node.get("input_ids"), f"{where}: input_ids")
        numbers = node.get("tau", 1.0), node.get("beta", 0.0)
        if not all(type(v) in (int, float) and abs(v) < 2**53 for v in numbers):
            raise _fail(path, f"{where}: tau and beta must be finite numbers")
        tau, beta = map(float, numbers)
        if tau <= 0:
            raise _fail(path, f"{where}: tau is {tau:g}; scores are only kept for positive ones")
        if beta != round(beta):
            raise _fail(
                path,
                f"{where}: beta is {beta:g}, no whole number of votes, so its score is no integer; "
                "train or export with a whole beta",
            )
        if node["node_id"] in sums:
            raise _fail(path, f"{where} is defined twice")
        sums[node["node_id"]] = (ids, tau, beta)
    return sums


def load_circuit_json(path: Path | str) -> CircuitJson:
    """Read and check a Circuit JSON file; ModelFileError names what is wrong with it."""
    path = Path(path)
    content = _parsed(path)
    gate_id, tt, a, b = _gates(path, content["gates"])
    outputs = _ids(path, content.get("outputs", []), "outputs")
    sums = _sums(path, content)
    used = [sums[output] for output in outputs if output in sums]
    if used and len(used) < len(outputs):
        raise _fail(path, "outputs mixes sums and bits; export them as two circuits")
    if len({tau for _, tau, _ in used}) > 1:
        raise _fail(path, "its sums have different tau, so their scores cannot be compared")
    shape = _ids(path, content.get("input_shape") or [content["n_inputs"]], "input_shape")
    return CircuitJson(content["n_inputs"], shape, gate_id, tt, a, b, outputs, tuple(used))


def _compact(
    path: Path, circuit: CircuitJson, wanted: npt.NDArray[np.int64]
) -> tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids as signals 0..n-1, inputs first: (n, targets, operands (2, G), wanted)."""
    clash = circuit.gate_id < circuit.n_inputs
    if clash.any():
        gate = int(circuit.gate_id[int(np.argmax(clash))])
        raise _fail(path, f"gate {gate} has the id of an input (ids below {circuit.n_inputs})")
    ids = np.unique(circuit.gate_id)

    def signal(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        place = np.minimum(np.searchsorted(ids, values), max(0, len(ids) - 1))
        is_gate = ids[place] == values if len(ids) else np.zeros(values.shape, np.bool_)
        is_input = (values >= 0) & (values < circuit.n_inputs)
        missing = ~is_gate & ~is_input & (values != _NO_OPERAND)
        if missing.any():
            raise _fail(path, f"id {int(values[missing][0])} is read, but no gate or input has it")
        return np.where(is_gate, place + circuit.n_inputs, values)

    operands = np.stack([circuit.a, circuit.b])
    operands = np.where(operands == _NO_OPERAND, operands[::-1], operands)
    return (
        circuit.n_inputs + len(ids),
        signal(circuit.gate_id),
        signal(operands),
        signal(wanted),
    )


def circuit_netlist(path: Path, circuit: CircuitJson) -> Netlist:
    """The netlist of a checked circuit, sums as its head."""
    head = None
    wanted = circuit.outputs
    if circuit.sums:
        wanted = tuple(i for ids, _, _ in circuit.sums for i in ids)
        sizes = [len(ids) for ids, _, _ in circuit.sums]
        bias = np.array([round(beta) for _, _, beta in circuit.sums], np.int64)
        ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        head = Head(ptr, np.ones(len(wanted), np.int32), bias)
    n_signals, target, (a, b), outputs = _compact(path, circuit, np.array(wanted, np.int64))
    if len(outputs) and outputs.min() < 0:
        raise _fail(path, "an output is -1")
    definitions = Definitions(target, circuit.tt, a, b)
    try:
        net = assemble(n_signals, np.arange(circuit.n_inputs), definitions, 2 * outputs)
    except UnsoundError as error:
        gate = int(circuit.gate_id[error.definition])
        text = {"twice": "is defined twice", "cycle": "is on a cycle or above one"}
        raise _fail(path, f"gate {gate} {text.get(error.problem, error.problem)}") from error
    return net if head is None else net.with_(head=head)


def read_circuit_json(path: Path | str) -> Netlist:
    """Read a Circuit JSON file; sums become classes with whole biases, tau is left out.

    Raises ModelFileError for unknown ops, undefined ids, cycles, a fractional beta, sums of
    different tau, and outputs that mix sums and bits.
    """
    return circuit_netlist(Path(path), load_circuit_json(path))


def _gate(number: int, op: str, a: int, b: int) -> str:
    return json.dumps({"gate_id": number, "op": op, "in0": a, "in1": b, "node_idx": -1})


class _Writer:
    """Gates as JSON lines; a complemented or constant output takes a gate of its own."""

    def __init__(self, net: Netlist) -> None:
        self.net = net
        self.next_id = net.n_inputs + net.n_gates
        self.extra: dict[int, int] = {}

    def id_of(self, literal: int) -> int:
        if literal > 1 and not literal & 1:
            return (literal >> 1) - 1
        if literal not in self.extra:
            self.extra[literal] = self.next_id
            self.next_id += 1
        return self.extra[literal]

    def gates(self) -> Iterator[str]:
        net = self.net
        rows = zip(net.tt.tolist(), net.in0.tolist(), net.in1.tolist(), strict=True)
        for number, (tt, a, b) in enumerate(rows, start=net.n_inputs):
            if tt in (TT_B, TT_NOT_B):
                tt, a = (TT_NOT_A if tt == TT_NOT_B else TT_A), b
            reads_a, reads_b = _READS[tt]
            first = (a - 1 if a else self.id_of(0)) if reads_a else -1
            second = (b - 1 if b else self.id_of(0)) if reads_b else -1
            yield _gate(number, _OP_OF_TT[tt], first, second)
        for literal, number in self.extra.items():
            if literal < 2:
                yield _gate(number, _OP_OF_TT[15 * literal], -1, -1)
            else:
                yield _gate(number, "NOT", (literal >> 1) - 1, -1)


def write_circuit_json(net: Netlist, path: Path | str) -> None:
    """Write `net` so that torchlogix's `Circuit.from_json_file` reads it.

    Weights become repeated ids, negative ones complements and beta; tau is 1. Raises InputError
    where a weight is too large to be written out.
    """
    writer = _Writer(net)
    outputs, head = (net.outputs, net.head) if not net.n_classes else unit_weights(net)
    ids = [writer.id_of(literal) for literal in outputs.tolist()]
    if not net.in0.all() or not net.in1.all():
        writer.id_of(0)
    groups = head.group_ptr.tolist()
    sum_nodes = [
        {
            "node_id": writer.next_id + c,
            "input_ids": ids[groups[c] : groups[c + 1]],
            "tau": 1.0,
            "beta": float(head.bias[c]),
        }
        for c in range(net.n_classes)
    ]
    final = [node["node_id"] for node in sum_nodes] if sum_nodes else ids
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"n_inputs": {net.n_inputs}, "input_shape": [{net.n_inputs}],\n')
        file.write(f'"outputs": {json.dumps(final)}, "output_shape": [{len(final)}],\n"gates": [')
        for number, line in enumerate(writer.gates()):
            file.write((",\n" if number else "\n") + line)
        tail = f',\n"sum_nodes": {json.dumps(sum_nodes)}' if sum_nodes else ""
        file.write(f"]{tail}}}\n")
