"""The proof that an emitted gate cloud is the netlist: read back by Yosys, compared by ABC.

The cloud is Verilog expressions, or LUT cells of a target; what those cells do is taken from the
simulation models that Yosys ships for the family, not from anything of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, IRError
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.care import legalised
from gate2hw.ir.cell_delays import check_cell_delays
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import pack, simulate, unpack
from gate2hw.ir.verilog_gates import read_gates
from gate2hw.passes.mapping.lut_expand import expand
from gate2hw.rtl import Manifest
from gate2hw.rtl.core import ScoreFormat
from gate2hw.rtl.popcount_cells import counter_of, popcount_modules, popcount_path
from gate2hw.tools.abc import cec
from gate2hw.tools.targets import Family
from gate2hw.tools.yosys import gates_to_aiger

__all__ = [
    "PROOF_TIMEOUT_S",
    "only_used_inputs",
    "prove_cells",
    "prove_gates",
    "prove_popcounts",
]

PROOF_TIMEOUT_S = 1800.0
COUNTED = 4096
"""Inputs on which a popcount's counter is compared with integers."""


def _renumbered(net: Netlist, node: npt.NDArray[np.int64], n_inputs: int) -> Netlist:
    """`net` as a plain circuit of `n_inputs` inputs, where input node i becomes `node[i]`."""
    gates = 1 + n_inputs + np.arange(net.n_gates, dtype=np.int64)
    node = np.concatenate([node, gates])
    return replace(
        net,
        n_inputs=n_inputs,
        in0=node[net.in0].astype(np.int32),
        in1=node[net.in1].astype(np.int32),
        outputs=2 * node[net.outputs >> 1] + (net.outputs & 1),
        head=Head.none(net.n_outputs),
        encoder=None,
        names=Names(),
    )


def only_used_inputs(net: Netlist) -> Netlist:
    """`net` as a plain circuit of its used inputs alone, in rising order: the ports of the RTL."""
    used = net.used_inputs()
    node = np.zeros(net.first_gate, np.int64)
    node[1 + used] = np.arange(1, 1 + len(used))
    return _renumbered(net, node, len(used))


def _on_legal_codes(ports: Netlist, like: Netlist) -> Netlist:
    """`ports`, whose inputs are the used inputs of `like`, behind the prefix of all its inputs."""
    node = np.concatenate([[0], 1 + like.used_inputs()])
    full = _renumbered(ports, node, like.n_inputs)
    return legalised(replace(full, encoder=like.encoder))


def prove_gates(net: Netlist, rtl_dir: Path, manifest: Manifest, work_dir: Path) -> dict[str, Any]:
    """Prove the Verilog gate cloud in `rtl_dir` equal to `net`, pipeline registers as wires.

    Where there are registers, every path through the gates must have as many as the manifest says.
    Where the manifest says that the encoder's care set was used, equal on legal codes.
    Returns ``{"result": "equivalent", "time_s": ...}``. Raises CheckFailedError with the
    counter-example and what the netlist gives for it where they differ or nothing was decided.
    """
    source = rtl_dir / f"{manifest.modules['gates']}.v"
    if manifest.gate_registers:
        _check_stages(source, len(manifest.gate_registers))
    return _prove(net, [source], manifest, work_dir, None)


def prove_cells(
    net: Netlist, cells_path: Path, manifest: Manifest, family: Family, work_dir: Path
) -> dict[str, Any]:
    """Prove the module of LUT cells in `cells_path` equal to `net`, as `prove_gates` does.

    The cells are what Yosys's simulation models of `family` say they are. Every path through them
    must have as many registers as the manifest says: then the pipeline computes what it computes
    with registers as wires, cycles later.
    """
    n_ranks = len(manifest.gate_registers)
    _check_delays(cells_path, family, n_ranks)
    return {**_prove(net, [cells_path], manifest, work_dir, family), "n_ranks": n_ranks}


def _check_stages(path: Path, n_ranks: int) -> None:
    try:
        with path.open(encoding="ascii") as file:
            found = read_gates(file).latency_cycles
    except IRError as error:
        raise CheckFailedError(f"the registers are not balanced: {path.name}: {error}") from error
    if found != n_ranks:
        raise CheckFailedError(f"{path.name} has {found} ranks of registers, not {n_ranks}")


def _check_delays(path: Path, family: Family, n_ranks: int) -> None:
    try:
        check_cell_delays(path, family, n_ranks)
    except IRError as error:
        raise CheckFailedError(f"the registers are not balanced: {error}") from error


def prove_popcounts(
    net: Netlist, manifest: Manifest, family: Family, work_dir: Path, cells_dir: Path
) -> dict[str, Any]:
    """Prove each module of popcount cells in `cells_dir` equal to the counter it was written from.

    The counter itself is compared with integers on random inputs and at both ends. Registers are as
    in `prove_cells`. Returns how many modules were proved; raises CheckFailedError for one that
    differs.
    """
    n_ranks = manifest.popcount_registers
    rng, form = np.random.default_rng(0), ScoreFormat.of(net, relative=manifest.output == "class")
    parts = popcount_modules(manifest.name, net.head, form.offset, form.width)
    for part in parts:
        luts = counter_of(part)
        bits = rng.integers(0, 2, (COUNTED, luts.n_inputs)).astype(bool)
        bits[0], bits[1] = False, True
        total = part.constant + bits @ np.array(part.weights, np.int64)
        digits = unpack(simulate(luts, pack(bits)), len(bits))
        if (digits @ (1 << np.arange(part.width)) != total % (1 << part.width)).any():
            raise CheckFailedError(f"the counter of {part.name} does not count")
        source = popcount_path(cells_dir, part)
        ours, theirs = work_dir / f"{part.name}.aig", work_dir / f"{part.name}_cells.aig"
        _check_delays(source, family, n_ranks)
        gates_to_aiger(
            [source],
            top=part.name,
            out_path=theirs,
            timeout_s=PROOF_TIMEOUT_S,
            registers_as_wires=bool(n_ranks),
            cells_of=family,
        )
        write_aiger(expand(luts), ours, symbols=False)
        verdict = cec(ours, theirs, timeout_s=PROOF_TIMEOUT_S)
        if verdict.status != "equivalent":
            raise CheckFailedError(f"{source} is {verdict.status} to its counter; synth again")
    return {"result": "equivalent", "n_modules": len(parts), "n_ranks": n_ranks}


def _prove(
    net: Netlist,
    sources: Sequence[Path],
    manifest: Manifest,
    work_dir: Path,
    family: Family | None,
) -> dict[str, Any]:
    work_dir.mkdir(parents=True, exist_ok=True)
    ours, theirs = work_dir / "netlist.aig", work_dir / f"{sources[0].stem}.aig"
    gates_to_aiger(
        sources,
        top=manifest.modules["gates"],
        out_path=theirs,
        timeout_s=PROOF_TIMEOUT_S,
        registers_as_wires=bool(manifest.gate_registers),
        cells_of=family,
    )
    expected, found = only_used_inputs(net), read_aiger(theirs)
    is_limited = manifest.care == "thermometer" and net.encoder is not None
    if is_limited:
        expected, found = (_on_legal_codes(side, net) for side in (expected, found))
        write_aiger(found, theirs, symbols=False)
    write_aiger(expected, ours, symbols=False)
    verdict = cec(ours, theirs, timeout_s=PROOF_TIMEOUT_S)
    if verdict.status == "equivalent":
        codes = {"codes": "legal"} if is_limited else {}
        return {"result": "equivalent", "time_s": round(verdict.time_s, 3), **codes}
    details = {"method": "ABC cec", "status": verdict.status}
    if verdict.status == "undecided":
        raise CheckFailedError(
            f"ABC came to no verdict about {sources[0]} within {PROOF_TIMEOUT_S:.0f} s",
            details=details,
        )
    text = f"{sources[0]} differs from netlist.npz"
    if verdict.counterexample is not None:
        code = np.array([verdict.counterexample], bool)
        text += _replayed(net, expected, found, code, is_limited)
    raise CheckFailedError(text, details=details)


def _replayed(
    net: Netlist, expected: Netlist, found: Netlist, code: npt.NDArray[np.bool_], is_limited: bool
) -> str:
    """What both sides give for the input `code` (1, I) bool that ABC found."""
    words = pack(code)
    values = [unpack(simulate(side, words), 1)[0] for side in (expected, found)]
    outputs = np.flatnonzero(values[0] != values[1])
    if not len(outputs):
        return ", but the counter-example of ABC could not be replayed"
    ports = code[0]
    if is_limited:
        inputs = replace(net.with_(**_no_gates(net)), encoder=net.encoder)
        ports = unpack(simulate(legalised(inputs), words), 1)[0]
    x = "".join(map(str, ports.astype(int).tolist()))
    return (
        f": replayed on both with x = {x} (bit 0 first), {len(outputs)} outputs differ, first "
        f"y[{outputs[0]}], {int(values[0][outputs[0]])} in the netlist"
    )


def _no_gates(net: Netlist) -> dict[str, Any]:
    """Columns of the circuit whose outputs are the used inputs of `net`."""
    used = net.used_inputs()
    return {
        "tt": [],
        "in0": [],
        "in1": [],
        "level_ptr": [0],
        "origin": [],
        "outputs": 2 * (1 + used),
        "head": Head.none(len(used)),
        "names": Names(),
    }
