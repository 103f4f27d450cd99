"""convert and opt: any combinational netlist, from one format to another, and smaller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError, ToolTimeoutError
from gate2hw.flow.build import Progress, silent
from gate2hw.formats.circuits import format_of, losses, read_circuit, write_circuit
from gate2hw.ir.aiger import read_aiger, write_aiger
from gate2hw.ir.ands import to_ands
from gate2hw.ir.care import CareSet
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.passes.manager import run_pipeline
from gate2hw.passes.proof.equivalence import Proof, prove_equal
from gate2hw.tools.abc import run_script
from gate2hw.tools.run import scratch_dir

__all__ = ["Mode", "convert", "opt"]

Mode: TypeAlias = Literal["gates", "aiger"]

PROOF_TIMEOUT_S: Final = 600.0
SCRIPT_TIMEOUT_S: Final = 600.0
AIGER_SUFFIXES: Final = (".aig", ".aag")

_RESYN2 = "balance; rewrite; refactor; balance; rewrite; rewrite -z; balance; refactor -z; "
_RESYN2 += "rewrite -z; balance"
_RESUB = "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; "
_RESUB += "balance -l; resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -z -l; "
_RESUB += "resub -K 10 -N 2 -l; balance -l; resub -K 12 -l; refactor -z -l; resub -K 12 -N 2 -l; "
_RESUB += "rewrite -z -l; balance -l"
SCRIPTS: Final[dict[int, tuple[str, ...]]] = {
    0: (),
    1: (_RESYN2,),
    2: (_RESYN2, "dc2; dc2", _RESUB),
    3: (
        _RESYN2,
        "dc2; dc2",
        _RESUB,
        "dch; strash; dc2",
        "ifraig",
        "if -K 6 -a; mfs2 -a -e; strash; dc2",
        "&get -n; &dc2; &put",
    ),
}
"""ABC commands tried at each level, spelled out: ``abc -q`` knows no aliases. None is bounded by
time, so that results do not depend on the machine; one that takes too long is left out."""
MAX_ROUNDS: Final = {0: 0, 1: 1, 2: 3, 3: 12}
CROSSED_LEVEL: Final = 3
"""From this level on the passes start from what ABC made too, and ABC from what they made."""


def _read(source: Path | str) -> Netlist:
    """A netlist by suffix; a model file is unrolled."""
    path = Path(source)
    if path.suffix.lower() == ".safetensors":
        return unroll(load_network(path))
    return read_circuit(path)


def _facts(net: Netlist) -> dict[str, Any]:
    return {
        "inputs": net.n_inputs,
        "outputs": net.n_outputs,
        "classes": net.n_classes,
        "gates": net.n_gates,
        "depth": net.depth,
    }


def _ands_note(net: Netlist, target: Path | str) -> list[str]:
    if Path(target).suffix.lower() not in AIGER_SUFFIXES:
        return []
    return [f"AIGER writes the gates as {len(to_ands(net).rhs0):,} ANDs"]


def convert(source: Path | str, target: Path | str) -> dict[str, Any]:
    """Read `source` and write `target`, formats by suffix; functions and order are kept.

    A model (.safetensors) is unrolled. The result says what was written, and in `notes` what the
    format of `target` cannot hold. Raises InputError for an unknown suffix, or a sum or name that
    the format cannot express; ModelFileError for a file that is not sound.
    """
    format_of(target)
    net = _read(source)
    notes = [*write_circuit(net, target), *_ands_note(net, target)]
    return {"source": str(source), "target": str(target), **_facts(net), "notes": notes}


def _plain(net: Netlist) -> Netlist:
    """The bits of `net` as a plain circuit."""
    names = Names(inputs=net.names.inputs, outputs=net.names.outputs)
    return net.with_(head=Head.none(net.n_outputs), encoder=None, names=names, digest="")


def _abc(script: str, source: Path, target: Path) -> Netlist:
    run = run_script(
        ["read in.aig", "strash", script, "strash", "write out.aig"],
        inputs={"in.aig": source},
        outputs={"out.aig": target},
        timeout_s=SCRIPT_TIMEOUT_S,
    )
    net = read_aiger(target)
    before = read_aiger(source)
    if (net.n_inputs, net.n_outputs) != (before.n_inputs, before.n_outputs):
        raise ToolFailedError(f"abc changed the number of inputs or outputs: {run.output[-200:]}")
    return net


def _size(net: Netlist) -> tuple[int, int]:
    return net.n_gates, net.depth


def _rounds(level: int) -> Iterator[tuple[int, int]]:
    """(level, round) of all rounds up to `level`."""
    for stage in range(1, level + 1):
        for round_number in range(1, MAX_ROUNDS[stage] + 1):
            yield stage, round_number


def _smallest_aig(
    net: Netlist, level: int, folder: Path, progress: Progress
) -> tuple[Netlist, Netlist, list[dict[str, Any]]]:
    """(strashed input, best, tries): the fewest ANDs, then the least depth."""
    source = folder / "source.aig"
    write_aiger(net, source, symbols=False)
    if not net.n_inputs or not net.n_outputs or not len(to_ands(net).rhs0):
        # ABC takes a circuit without logic for an empty file
        plain = read_aiger(source)
        return plain, plain, []
    best_path = folder / "best.aig"
    start = best = at_start = _abc("strash", source, best_path)
    tries: list[dict[str, Any]] = []
    # each level goes on from the result of the one below, so it is never worse
    for stage, round_number in _rounds(level):
        if round_number > 1 and best is at_start:
            continue
        at_start = best
        for number, script in enumerate(SCRIPTS[stage]):
            message = f"level {stage}, round {round_number}: {best.n_gates:,} ANDs"
            progress(number, len(SCRIPTS[stage]), message)
            try:
                found = _abc(script, best_path, folder / "next.aig")
            except ToolTimeoutError:
                tries.append({"script": script, "ands": None, "depth": None})
                continue
            tries.append({"script": script, "ands": found.n_gates, "depth": found.depth})
            if _size(found) < _size(best):
                best = found
                (folder / "next.aig").replace(best_path)
    return start, best, tries


def _from_both_sides(
    net: Netlist, gates: Netlist, level: int, folder: Path, progress: Progress
) -> tuple[Netlist, Netlist, list[dict[str, Any]]]:
    """As `_smallest_aig`, the better of two starts: `net`, and the `gates` that the passes made.

    ABC and the passes get stuck in different places: each goes on where the other stopped.
    """
    start, best, tries = _smallest_aig(net, level, folder, progress)
    _, other, more = _smallest_aig(gates, level, folder, progress)
    return start, min(best, other, key=_size), [*tries, *more]


def _smallest_gates(
    net: Netlist, level: int, care: CareSet, folder: Path, progress: Progress
) -> tuple[Netlist, Netlist]:
    """What the passes make of `net`, and the fewest gates, then the least depth, found."""
    gates = run_pipeline(net, level, care=care, progress=progress).net
    # ANDs have no origin, and ABC knows no head and no care: only what has none of them goes there
    if level < CROSSED_LEVEL or net.n_classes or net.sites.layers or net.encoder is not None:
        return gates, gates
    _, ands, _ = _from_both_sides(net, gates, level, folder, progress)
    other = run_pipeline(ands.with_(names=net.names, digest=net.digest), level, care=care).net
    return gates, min(gates, other, key=_size)


def _pass_by_pass(
    before: Netlist, after: Netlist, folder: Path, level: int, care: CareSet, timeout_s: float
) -> Proof:
    """The passes of `level` from `before` to `after`, each proved in `timeout_s`, as one proof."""
    clock = time.perf_counter()
    prove = partial(prove_equal, work_dir=folder, timeout_s=timeout_s, care=care)
    # a pass that is proved wrong is a CheckFailedError of its own
    outcome = run_pipeline(before, level, care=care, prove=prove)
    if outcome.net.content_digest() != after.content_digest():
        raise CheckFailedError("the passes gave another netlist when run again: nothing is written")
    steps = [record for record in outcome.records if record.changed]
    open_ = [record for record in steps if record.proof != "equivalent"]
    told = "; ".join(f"{record.name}: {record.proof_reason}" for record in open_)
    return Proof(
        "undecided" if open_ else "equivalent",
        "abc cec, pass by pass",
        None,
        time.perf_counter() - clock,
        reason=told,
        coverage=f"each of {len(steps)} passes that changed something proved on its own",
        n_undecided=len(open_),
    )


def _proved_gates(
    net: Netlist, level: int, care: CareSet, folder: Path, timeout_s: float, progress: Progress
) -> tuple[Netlist, Proof]:
    """The smallest gates of `net`, and the proof of the whole or, of the passes, one at a time."""
    gates, after = _smallest_gates(net, level, care, folder, progress)
    progress(0, 1, "proving")
    proof = prove_equal(net, after, work_dir=folder, timeout_s=timeout_s, care=care)
    if proof.result != "undecided":
        return after, proof
    whole = proof.reason if after is gates else f"what ABC made smaller: {proof.reason}"
    # what the passes made can be proved pass by pass where the whole is out of reach
    proof = _pass_by_pass(net, gates, folder, level, care, timeout_s)
    return gates, replace(proof, reason=f"{whole}; {proof.reason}".removesuffix("; "))


def _accepted(proof: Proof, timeout_s: float) -> Proof:
    """`proof`, if it is one; CheckFailedError with what it says instead."""
    if proof.result == "different":
        raise CheckFailedError(
            f"the optimised netlist is not equal to its source, nothing is written: "
            f"they differ on {proof.example()}"
        )
    if proof.result == "undecided":
        raise CheckFailedError(
            f"no proof that the optimised netlist equals its source within {timeout_s:g} s, so "
            f"nothing is written ({proof.reason}); give more time with --timeout"
        )
    return proof


def opt(
    source: Path | str,
    target: Path | str,
    *,
    level: int = 3,
    mode: Mode | None = None,
    care: CareSet = "none",
    timeout_s: float = PROOF_TIMEOUT_S,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Optimise any combinational netlist, prove the result equal, then write it.

    In `mode` ``"gates"`` the cost is two-input gates and `level` 0..3 that of `compile`; in mode
    ``"aiger"`` it is AND nodes, then depth, never more than ABC's ``strash`` of the source has
    (default: ``"aiger"`` for .aig and .aag targets). `care` ``"thermometer"`` lets what the
    encoder of an .npz rules out be used. The proof is of the whole or, where that is undecided, of
    each pass on its own; `proof` in the result says which. Raises CheckFailedError, and writes
    nothing, where the proof fails or is not found in `timeout_s`; else as `convert`.
    """
    clock = time.perf_counter()
    target = Path(target)
    form = format_of(target)
    if mode is None:
        mode = "aiger" if target.suffix.lower() in AIGER_SUFFIXES else "gates"
    if mode not in ("gates", "aiger") or level not in SCRIPTS:
        raise InputError(f"mode {mode!r}, level {level!r}: modes are gates and aiger, levels 0..3")
    if care != "none" and mode == "aiger":
        raise InputError("mode aiger keeps all input codes: leave --care out, or use --mode gates")
    net = _read(source)
    if care != "none" and net.encoder is None:
        raise InputError(f"{source} has no encoder whose codes --care could use: leave it out")
    result: dict[str, Any] = {"source": str(source), "target": str(target)}
    result |= {"mode": mode, "level": level, "care": care, "source_facts": _facts(net)}
    notes = losses(net, form)
    # beside the target, so that a full disk is found before the work is done
    with scratch_dir(target.resolve().parent, "opt") as folder:
        if mode == "gates":
            before = net
            after, proof = _proved_gates(net, level, care, folder, timeout_s, progress)
            notes += _ands_note(after, target)
        else:
            plain = _plain(net)
            if level < CROSSED_LEVEL:
                found = _smallest_aig(plain, level, folder, progress)
            else:
                gates = run_pipeline(plain, level, care="none", progress=progress).net
                found = _from_both_sides(plain, gates, level, folder, progress)
            before, proved, result["tries"] = found
            after = proved.with_(
                head=net.head, encoder=net.encoder, names=net.names, digest=net.digest
            )
            progress(0, 1, "proving")
            proof = prove_equal(plain, proved, work_dir=folder, timeout_s=timeout_s)
        _accepted(proof, timeout_s)
        progress(1, 1, "proved")
        write_circuit(after, target)
    keys = ("ands", "depth") if mode == "aiger" else ("gates", "depth")
    result["before"] = dict(zip(keys, _size(before), strict=True))
    result["after"] = dict(zip(keys, _size(after), strict=True))
    result["proof"] = {
        "result": proof.result,
        "method": proof.method,
        "coverage": proof.coverage,
        "reason": proof.reason,
        "time_s": proof.time_s,
    }
    result |= {"notes": notes, "time_s": time.perf_counter() - clock}
    return result
