"""Write the gate cloud of a netlist as the LUT cells of a target, in place of its expressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate2hw.errors import InputError
from gate2hw.ir.lut_cells import CellCount, CellFamily, staged, write_cells
from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import random_words, simulate
from gate2hw.ir.store import atomic_path
from gate2hw.rtl.core import ScoreFormat
from gate2hw.rtl.headers import cells_header
from gate2hw.rtl.manifest import Manifest
from gate2hw.rtl.popcount_cells import Staging, popcount_modules, popcount_path, write_popcount

__all__ = ["PopcountCells", "check_luts", "emit_cells", "emit_popcounts"]

_CHECK_WORDS = 16


@dataclass(frozen=True)
class PopcountCells:
    """A module of popcount cells: where it is, its LUTs and registers, and how often the core has
    it."""

    path: Path
    module: str
    luts: int
    n_instances: int
    registers: int = 0


def check_luts(net: Netlist, luts: LutNetlist) -> None:
    """Raise InputError where `luts` is no mapping of `net`: other ports, or other outputs.

    Outputs are compared on 1,024 random inputs, legal codes where there is an encoder; the proof
    is another step.
    """
    interface = [
        (luts.n_inputs, net.n_inputs),
        (luts.n_outputs, net.n_outputs),
        (luts.head, net.head),
        (luts.encoder, net.encoder),
    ]
    is_same = all(ours == theirs for ours, theirs in interface)
    if is_same:
        words = random_words(net, _CHECK_WORDS, np.random.default_rng(1))
        is_same = np.array_equal(simulate(net, words), simulate(luts, words))
    if not is_same:
        raise InputError("the LUT netlist is not a mapping of the netlist; compile again")


def emit_cells(
    net: Netlist,
    luts: LutNetlist,
    path: Path,
    manifest: Manifest,
    *,
    family: CellFamily,
    version: str,
    staging: Staging = staged,
) -> CellCount:
    """Write `luts`, a mapping of `net`, to `path` as module ``{name}_gates`` of cells of `family`.

    The ports are those of the Verilog gates that `manifest` describes, and so is the number of
    ranks of registers between them; `staging` says which LUTs stand behind how many. Raises
    InputError where `luts` is not a mapping of `net`.
    """
    check_luts(net, luts)
    options = manifest.options()
    n_ranks = len(options.gate_registers)
    header = cells_header(luts, options, version, netlist_digest=net.content_digest())
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        return write_cells(
            file,
            staging(luts, n_ranks),
            name=manifest.modules["gates"],
            family=family,
            inputs=net.used_inputs(),
            n_ranks=n_ranks,
            comment=header,
        )


def emit_popcounts(
    net: Netlist,
    folder: Path,
    manifest: Manifest,
    *,
    family: CellFamily,
    staging: Staging = staged,
) -> list[PopcountCells]:
    """Write the popcounts of a core of form ``luts`` into `folder`, one file a module; `staging`
    as in `emit_cells`."""
    options = manifest.options()
    form = ScoreFormat.of(net, relative=options.output == "class")
    written = []
    for part in popcount_modules(options.name, net.head, form.offset, form.width):
        path = popcount_path(folder, part)
        count = write_popcount(
            part,
            path,
            family=family,
            n_ranks=options.popcount_registers,
            staging=staging,
            comment=[f"netlist digest {net.content_digest()}"],
        )
        written.append(
            PopcountCells(path, part.name, count.luts, len(part.classes), count.registers)
        )
    return written
