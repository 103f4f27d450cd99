"""Netlists by file suffix: what each format can hold, and what is lost when it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate2hw.errors import InputError
from gate2hw.formats.c_source import read_c, write_c
from gate2hw.formats.circuit_json import read_circuit_json, write_circuit_json
from gate2hw.formats.verilog import read_verilog
from gate2hw.formats.verilog_writer import write_verilog
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.blif import read_blif, write_blif
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import load_netlist, save_netlist

__all__ = ["FORMATS", "CircuitFormat", "format_of", "read_circuit", "write_circuit"]


def _save(net: Netlist, path: Path) -> None:
    save_netlist(path, net)


@dataclass(frozen=True)
class CircuitFormat:
    """A kind of file: `title`, how to read and write it, and what it can hold beside gates."""

    title: str
    read: Callable[[Path], Netlist]
    write: Callable[[Netlist, Path], None]
    names: bool = True
    head: bool = False
    everything: bool = False


_AIGER: Final = CircuitFormat("AIGER", read_aiger, write_aiger)

FORMATS: Final[dict[str, CircuitFormat]] = {
    ".aag": _AIGER,
    ".aig": _AIGER,
    ".blif": CircuitFormat("BLIF", read_blif, write_blif),
    ".c": CircuitFormat("difflogic's C", read_c, write_c, names=False, head=True),
    ".json": CircuitFormat(
        "torchlogix Circuit JSON", read_circuit_json, write_circuit_json, names=False, head=True
    ),
    ".npz": CircuitFormat("gate2hw netlist", load_netlist, _save, head=True, everything=True),
    ".v": CircuitFormat("structural Verilog", read_verilog, write_verilog),
}


def format_of(path: Path | str) -> CircuitFormat:
    """The format of a suffix; InputError for one that holds no netlist."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        kinds = ", ".join(f"{known} ({form.title})" for known, form in sorted(FORMATS.items()))
        raise InputError(f"{path}: the suffix names no netlist format; known are {kinds}")
    return FORMATS[suffix]


def read_circuit(path: Path | str) -> Netlist:
    """Read a netlist by its suffix; ModelFileError for what is not sound or not there."""
    path = Path(path)
    form = format_of(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file")
    return form.read(path)


def losses(net: Netlist, form: CircuitFormat) -> list[str]:
    """What of `net` a format does not hold, in sentences."""
    if form.everything:
        return []
    notes = []
    if net.n_classes and not form.head:
        head = net.head
        parts = "weights and biases" if (head.weight != 1).any() or head.bias.any() else "counts"
        notes.append(
            f"{form.title} holds no sums: the {net.n_outputs:,} bits are written, their "
            f"{parts} into {net.n_classes} classes are not"
        )
    if net.encoder is not None:
        notes.append(f"{form.title} holds no encoder: inputs are the {net.n_inputs:,} encoded bits")
    given = [kind for kind in ("inputs", "outputs") if getattr(net.names, kind)]
    if given and not form.names:
        notes.append(f"{form.title} holds no names of {' and '.join(given)}")
    if net.names.classes:
        notes.append(f"{form.title} holds no names of classes")
    return notes


def write_circuit(net: Netlist, path: Path | str) -> list[str]:
    """Write a netlist by the suffix of `path`; returns what the format could not hold.

    Raises InputError where the format cannot express a sum or a name.
    """
    path = Path(path)
    form = format_of(path)
    notes = losses(net, form)
    form.write(net, path)
    return notes
