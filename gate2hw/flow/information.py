"""info, doctor and targets: what a file holds, which tools are there, where a design can go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.compiling import model_path
from gate2hw.flow.strangers import check_folder, check_known, check_record
from gate2hw.formats.circuits import FORMATS, read_circuit
from gate2hw.ir.blif import count_tables
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden, file_kind, load_golden, load_netlist, load_network
from gate2hw.ir.unroll import instantiated_gates
from gate2hw.tools import registry
from gate2hw.tools.targets import targets as load_targets

__all__ = ["doctor", "info", "targets"]


def _network_facts(network: LogicNetwork) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "kind": "model (LogicNetwork)",
        "digest": network.digest,
        "dataset": network.dataset or "unknown",
        "classes": ", ".join(network.class_names) or network.group_sum.n_classes,
        "input_shape": list(network.thermometer.input_shape),
        "input_values": f"0..{network.thermometer.max_value}",
        "gates_unique": network.n_unique_gates,
        "gates_instantiated": instantiated_gates(network),
    }
    for name, layer in network.layers():
        facts[f"layer {name}"] = f"{type(layer).__name__} -> {list(layer.output_shape)}"
    for key in ("accuracy", "accuracy_soft", "n_test"):
        if network.info.get(key) is not None:
            facts[key] = network.info[key]
    return facts


def _netlist_facts(net: Netlist) -> dict[str, Any]:
    return {
        "kind": "netlist",
        "model_digest": net.digest or "none",
        "digest": net.content_digest(),
        "inputs": net.n_inputs,
        "inputs_used": len(net.used_inputs()),
        "gates": net.n_gates,
        "depth": net.depth,
        "outputs": net.n_outputs,
        "classes": net.n_classes,
        "functions": {name: n for name, n in net.function_counts().items() if n},
    }


def _golden_facts(golden: Golden) -> dict[str, Any]:
    return {
        "kind": "golden vectors",
        "model_digest": golden.digest,
        "samples": len(golden.x),
        "input_shape": list(golden.x.shape[1:]),
        "classes": golden.scores.shape[1],
        "accuracy": golden.accuracy,
    }


def _table_facts(path: Path) -> dict[str, Any]:
    """Of a BLIF file with tables of more than two inputs: how many there are of each size."""
    sizes = count_tables(path)
    if max(sizes, default=0) <= 2:
        return {}
    return {
        "kind": "LUT netlist (BLIF), counted as two-input gates",
        "tables_by_inputs": dict(sorted(sizes.items())),
    }


def info(file: Path | str) -> dict[str, Any]:
    """Facts about a model, network, netlist or golden file (or a folder that holds a model).

    Netlists of other formats (.aig, .blif, .v, .json, .c, ..) are told by their suffix. Raises
    ModelFileError or InputError, saying what the file is, for any other.
    """
    path = Path(file)
    if path.is_dir():
        check_folder(path)
        path = model_path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is not None and path.suffix.lower() != ".npz":
        try:
            facts = _netlist_facts(read_circuit(path)) | {"kind": f"netlist ({form.title})"}
        except ModelFileError:
            check_record(path)
            raise
        return facts | (_table_facts(path) if path.suffix.lower() == ".blif" else {})
    check_known(path)
    match file_kind(path):
        case "network":
            return _network_facts(load_network(path))
        case "netlist":
            return _netlist_facts(load_netlist(path))
        case "golden":
            return _golden_facts(load_golden(path))
        case "lutnetlist":
            from gate2hw.ir.lutnetlist import load_lutnetlist

            net = load_lutnetlist(path)
            return {
                "kind": "LUT netlist",
                "model_digest": net.digest or "none",
                "inputs": net.n_inputs,
                "luts": net.n_luts,
                "depth": net.depth,
                "outputs": net.n_outputs,
            }
        case kind:
            raise InputError(f"{path}: no facts are known about a {kind} file")


def targets() -> list[dict[str, Any]]:
    """The targets that `synth` can place and route for, and ``asic``, which a library defines."""
    found = [asdict(target) for target in load_targets()]
    asic: dict[str, Any] = dict.fromkeys(found[0])
    asic |= {
        "name": "asic",
        "family": "asic",
        "part": "cells",
        "package": "--liberty FILE",
        "description": "standard cells of a Liberty library: area, timing, power; not routed",
        "default_clock_mhz": 50.0,
    }
    return [*found, asic]


def _kernels() -> dict[str, str | None]:
    """Which kernels train on the processor; training, and nothing else, needs torch."""
    try:
        from gate2hw.nn import native
    except ImportError as error:
        return {"kernels": None, "set": None, "path": None, "reason": str(error)}
    return native.status()


def doctor() -> dict[str, Any]:
    """State of tools and training kernels, and the one command that gets what is missing."""
    tools = [asdict(status) for status in registry.status()]
    for tool in tools:
        tool["path"] = None if tool["path"] is None else str(tool["path"])
    missing = [tool for tool in tools if not tool["found"] and tool["required"]]
    advice = sorted({tool["how_to_get"] for tool in missing})
    return {
        "tools": tools,
        "kernels": _kernels(),
        "complete": not missing,
        "advice": advice,
    }
