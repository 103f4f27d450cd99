"""Structural Verilog of whole netlists: every input and output is a port, one wire a gate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from gate2hw.errors import InputError
from gate2hw.formats.verilog import KEYWORDS, SIMPLE
from gate2hw.ir.gates import EXPRESSIONS
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import atomic_path

__all__ = ["write_verilog"]

_CHUNK: Final = 1 << 16


def _written(name: str, what: str) -> str:
    """A name as Verilog writes it, escaped where it must be."""
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise InputError(f"{what} name {name!r} cannot be written to Verilog")
    is_simple = SIMPLE.fullmatch(name) is not None and name not in KEYWORDS
    return name if is_simple else f"\\{name} "


def _grouped(names: Sequence[str]) -> list[tuple[str, int | None]]:
    """(port, width): runs ``a[0] a[1] ..`` become vectors, all other names scalars (None)."""
    ports: list[tuple[str, int | None]] = []
    seen: set[str] = set()
    at = 0
    while at < len(names):
        base, stop = names[at].removesuffix("[0]"), at
        while stop < len(names) and names[stop] == f"{base}[{stop - at}]":
            stop += 1
        if stop == at or base in seen or SIMPLE.fullmatch(base) is None:
            base, stop = names[at], at
        ports.append((base, stop - at if stop > at else None))
        seen.add(base)
        at = max(stop, at + 1)
    return ports


def _ports(net: Netlist) -> tuple[list[str], list[str], list[str], str]:
    """Port declarations, references to inputs and outputs, and a prefix for the gates."""
    declared: list[str] = []
    references: list[list[str]] = []
    used: set[str] = set()
    for kind, names, letter, size in (
        ("input", net.names.inputs, "x", net.n_inputs),
        ("output", net.names.outputs, "y", net.n_outputs),
    ):
        bits = [f"{letter}[{i}]" for i in range(size)]
        references.append([])
        if not names or list(names) == bits:
            used.add(letter)
            declared += [f"{kind} wire [{size - 1}:0] {letter}"] if size else []
            references[-1] += bits
            continue
        for port, width in _grouped(names):
            if port in used:
                raise InputError(f"two ports have the name {port!r}, one of them an {kind}")
            used.add(port)
            written = _written(port, kind)
            span = "" if width is None else f"[{width - 1}:0] "
            declared.append(f"{kind} wire {span}{written}")
            bits = [written] if width is None else [f"{written}[{i}]" for i in range(width)]
            references[-1] += bits
    prefix = "n"
    while any(name.startswith(prefix) for name in used):
        prefix += "_"
    return declared, references[0], references[1], prefix


def _lines(net: Netlist, inputs: list[str], outputs: list[str], prefix: str) -> Iterator[str]:
    first = net.first_gate
    zero = ["1'b0", *inputs]

    def name(node: int) -> str:
        return zero[node] if node < first else f"{prefix}{node}"

    templates = [
        text if text in "01" else re.sub(r"\b([ab])\b", r"{\1}", text) for text in EXPRESSIONS
    ]
    templates = [f"1'b{text}" if text in ("0", "1") else text for text in templates]
    for low in range(0, net.n_gates, _CHUNK):
        columns = (c[low : low + _CHUNK].tolist() for c in (net.tt, net.in0, net.in1))
        for node, (tt, a, b) in enumerate(zip(*columns, strict=True), start=first + low):
            value = templates[tt].format(a=name(a), b=name(b))
            yield f"  wire {prefix}{node} = {value};\n"
    for output, literal in zip(outputs, net.outputs.tolist(), strict=True):
        yield f"  assign {output} = {'~' if literal & 1 else ''}{name(literal >> 1)};\n"


def write_verilog(net: Netlist, path: Path | str, *, module: str = "gates") -> None:
    """Write gates and outputs as one module: every input is a port, used or not.

    Unnamed ports are the vectors ``x`` and ``y``; names that are no identifiers are escaped.
    (`ir.verilog_gates` writes the gate cloud of a build instead: used inputs only, pipelined.)
    Raises InputError for names that Verilog cannot hold or that are used twice.
    """
    declared, inputs, outputs, prefix = _ports(net)

    def write(file: TextIO) -> None:
        file.write(f"module {module} (\n  " + ",\n  ".join(declared) + "\n);\n")
        file.writelines(_lines(net, inputs, outputs, prefix))
        file.write("endmodule\n")

    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write(file)
