"""Do the benches see faults? Faults in emitted Verilog, one at a time, each to be caught or proved
to be none."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.signoff.benches import KINDS, BenchKind
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest
from gate2hw.tools.formal import check_properties
from gate2hw.tools.mutants import FAULT_BITS, Fault, list_faults, write_mutants
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.simulators import run_bench

__all__ = ["BLOCKS", "Outcome", "Plan", "mutate_benches"]

_RECEIVER: Final = "{name}_top_receiver"
_CONTROL: Final = (
    f"{_RECEIVER}/w:full",
    f"{_RECEIVER}/w:frame_error",
    "%u",
    f"{_RECEIVER}/w:tready",
    "%u",
    "%ci*",
)
_COMPARATORS: Final = f"{_RECEIVER}/t:$gt"

BLOCKS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = MappingProxyType(
    {
        "unrolled": {
            "gates": ("{name}_gates",),
            "popcount": ("{name}_core_popcount*",),
            "argmax": ("{name}_core_argmax",),
            "core": ("{name}_core",),
            "encoder": (_COMPARATORS,),
            "storage": (_RECEIVER, *_CONTROL, "%d", _COMPARATORS, "%d"),
            "receiver": _CONTROL,
            "sender": ("{name}_top_sender",),
        },
        "stream": {
            "gates": ("{name}_*gates",),
            "popcount": ("{name}_core_popcount*", "{name}_top_head_popcount*"),
            "argmax": ("{name}_core_argmax", "{name}_top_ranking_argmax"),
            "core": ("{name}_core", "{name}_top_ranking"),
            "window": ("{name}_top_conv_*",),
            "line buffer": ("{name}_delay_*",),
            "pool": ("{name}_top_pool_*",),
            "map": ("{name}_top_head",),
            "receiver": ("{name}_top_pixels",),
            "verdicts": ("{name}_top_verdicts",),
            "sender": ("{name}_top_sender",),
        },
    }
)
"""By architecture: blocks to plant faults in, as selections of Yosys. ``receiver`` is the logic
that its handshake and ``frame_error`` depend on, ``storage`` the rest but for the encoder. Of a
streaming design, ``window`` is scan and taps, ``map`` the collector or the sums behind the last
map, ``receiver`` encoder and frame control, ``verdicts`` the queue of good and bad frames; a design
may lack some."""

_WEIGHTS: Final = MappingProxyType({"receiver": 3, "sender": 2, "window": 3})
"""Blocks that get more than one share of the faults."""
_IN_CORE: Final = ("gates", "popcount", "argmax", "core")
_HEALTHY: Final = (0, (1 << FAULT_BITS) - 1)
"""Numbers that are no fault's."""
_PROOF_S: Final = 300.0
_BENCH_S: Final = 3600.0


@dataclass(frozen=True)
class Plan:
    """What to plant faults in: a folder of emitted Verilog, and the files its benches need."""

    rtl_dir: Path
    manifest: Manifest
    netlist_raw: Path
    golden: Path | None
    work_dir: Path
    simulator: str = "verilator"
    seed: int = 1
    n_golden: int | None = 100
    n_random: int = 100


@dataclass
class Outcome:
    """`caught` maps a bench to what it said; ``equivalent``: proved to change nothing there."""

    fault: Fault
    caught: dict[str, dict[str, Any]] = field(default_factory=dict)
    equivalent: list[str] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)

    @property
    def is_fault(self) -> bool:
        """False where it was proved that the top does the same with it."""
        return "top" not in self.equivalent


def _sim(module: str, arguments: Iterable[str], out: Path) -> Path:
    """Let the benches' own code write a file."""
    run_tool(
        [sys.executable, "-m", module, *arguments],
        tool=module,
        cwd=data_dir("sim").parent,
        timeout_s=60.0,
        expect=(out,),
    )
    return out


def _simulate(plan: Plan, kind: BenchKind, numbers: Sequence[int], mutants: Path) -> dict[int, Any]:
    """What the bench says of each fault; None where it passes. Fault 0 must pass, first and last.

    Raises CheckFailedError where the healthy design fails.
    """
    work, manifest_path = plan.work_dir, plan.rtl_dir / "manifest.json"
    wrapper = work / f"{plan.manifest.name}_{kind}_bench.v"
    told = [str(manifest_path), kind, str(wrapper), "--fault-bits", str(FAULT_BITS)]
    _sim("sim.wrapper", told, wrapper)
    job, order = work / f"job_{kind}.json", work / f"faults_{kind}.json"
    content = {
        "manifest": str(manifest_path),
        "netlist_raw": str(plan.netlist_raw),
        "golden": None if plan.golden is None else str(plan.golden),
        "result": str(work / f"bench_{kind}.json"),
        "seed": plan.seed,
        "n_golden": plan.n_golden,
        "n_random": plan.n_random,
    }
    write_text(job, json.dumps(content, indent=1))
    result = work / f"caught_{kind}.json"
    result.unlink(missing_ok=True)
    # the healthy design twice: what a fault leaves in the registers must not show later
    faults = [_HEALTHY[0], *numbers, _HEALTHY[1]]
    write_text(order, json.dumps({"kind": kind, "faults": faults, "result": str(result)}))
    outcome = run_bench(
        simulator=plan.simulator,
        sources=[mutants, wrapper],
        toplevel=wrapper.stem,
        test_module="sim.bench_mutants",
        test_dir=data_dir("sim").parent,
        build_dir=work / f"{kind}_{plan.simulator}",
        timeout_s=_BENCH_S,
        env={"GATE2HW_JOB": str(job), "GATE2HW_MUTANTS": str(order)},
    )
    if not result.is_file():
        raise CheckFailedError(f"the {kind} bench on mutants failed; see {outcome.log_path}")
    said = json.loads(result.read_text(encoding="utf-8"))["faults"]
    for healthy in _HEALTHY:
        if said[str(healthy)] is not None:
            raise CheckFailedError(f"the {kind} bench fails without a fault: {said[str(healthy)]}")
    return {number: said[str(number)] for number in numbers}


def _is_equivalent(plan: Plan, kind: BenchKind, number: int, mutants: Path) -> str | None:
    """None where the fault provably changes nothing that may be seen, else why it is missed."""
    work = plan.work_dir / "miter"
    work.mkdir(parents=True, exist_ok=True)
    miter = work / "gate2hw_miter.v"
    told = [str(plan.rtl_dir / "manifest.json"), str(plan.netlist_raw), kind, str(number)]
    _sim("sim.miter", [*told, str(FAULT_BITS), str(miter)], miter)
    found = {
        entry.name: entry
        for entry in check_properties(
            [mutants, miter], top=miter.stem, out_dir=work, timeout_s=_PROOF_S, starts_at_0=True
        )
    }
    if found["can_answer"].verdict == "never":
        return "the proof is void: the design never answers"
    differs = found["bad_differs"]
    if differs.verdict == "never":
        return None
    if differs.verdict == "undecided":
        return f"no proof in {_PROOF_S:g} s that it changes nothing"
    assert differs.trace is not None
    kept = differs.trace.replace(work / f"{kind}_{number}.vcd")
    return f"it shows in cycle {differs.cycle} of {kept}"


def _blocks(plan: Plan, n_faults: int) -> dict[str, tuple[list[str], int]]:
    """Selections with the model's names in, and how many candidates to draw from each."""
    arch = plan.manifest.arch
    if arch not in BLOCKS:
        raise InputError(f"no blocks are known of architecture {arch!r}")
    parts_of = {
        block: [part.format(name=plan.manifest.name) for part in parts]
        for block, parts in BLOCKS[arch].items()
    }
    if arch == "stream":
        known = _module_names(plan)
        parts_of = {
            block: parts
            for block, parts in parts_of.items()
            if any(fnmatch.filter(known, part) for part in parts)
        }
    weights = {block: _WEIGHTS.get(block, 1) for block in parts_of}
    total = sum(weights.values())
    # twice as many as asked for: some will turn out to change nothing
    return {
        block: (parts, 2 * -(-n_faults * weights[block] // total))
        for block, parts in parts_of.items()
    }


def _module_names(plan: Plan) -> list[str]:
    """Of the emitted Verilog."""
    texts = ((plan.rtl_dir / name).read_text("utf-8") for name in plan.manifest.files)
    return [name for text in texts for name in re.findall(r"^module (\w+)", text, re.MULTILINE)]


def _kinds(manifest: Manifest) -> list[BenchKind]:
    """The benches that there are of a design: a streaming one has no core of its own."""
    return [kind for kind in KINDS if kind == "top" or manifest.arch != "stream"]


def mutate_benches(plan: Plan, *, n_faults: int, progress: Progress = silent) -> dict[str, Any]:
    """Plant `n_faults` faults or more, spread over the blocks, and see what the benches say.

    Every fault must fail the top's bench, one inside the core the core's bench too. What passes is
    proved to change nothing (then another takes its place) or missed. All faults are in one build
    for each bench, chosen by number at run time.

    Returns ``{"caught": [Outcome], "missed": [Outcome], "equivalent": [Outcome]}``. Raises
    CheckFailedError where the benches fail without a fault, or too few faults are left.
    """
    plan = replace(
        plan,
        rtl_dir=plan.rtl_dir.resolve(),
        netlist_raw=plan.netlist_raw.resolve(),
        golden=plan.golden and plan.golden.resolve(),
        work_dir=plan.work_dir.resolve(),
    )
    plan.work_dir.mkdir(parents=True, exist_ok=True)
    sources = [plan.rtl_dir / name for name in plan.manifest.files]
    top, blocks = plan.manifest.modules["top"], _blocks(plan, n_faults)
    progress(0, 4, "planting faults")
    faults = list_faults(sources, top=top, blocks=blocks, work_dir=plan.work_dir, seed=plan.seed)
    kinds = _kinds(plan.manifest)
    mutants = {kind: plan.work_dir / f"{kind}_mutants.v" for kind in kinds}
    modules = {plan.manifest.modules[kind]: path for kind, path in mutants.items()}
    write_mutants(sources, faults, top=top, out_paths=modules)
    outcomes = {fault.number: Outcome(fault) for fault in faults}
    for kind in reversed(kinds):
        progress(1, 4, f"simulating {kind}")
        numbers = [f.number for f in faults if kind == "top" or f.block in _IN_CORE]
        for number, said in _simulate(plan, kind, numbers, mutants[kind]).items():
            if said is not None:
                outcomes[number].caught[kind] = said
    chosen = _choose(plan, outcomes, blocks, mutants, progress)
    missed = [outcome for outcome in chosen if outcome.missed]
    if len(chosen) < n_faults:
        raise CheckFailedError(f"only {len(chosen)} of {n_faults} faults can be seen at all")
    return {
        "caught": [outcome for outcome in chosen if not outcome.missed],
        "missed": missed,
        "equivalent": [outcome for outcome in outcomes.values() if not outcome.is_fault],
        "n_candidates": len(faults),
    }


def _choose(
    plan: Plan,
    outcomes: Mapping[int, Outcome],
    blocks: Mapping[str, tuple[Sequence[str], int]],
    mutants: Mapping[BenchKind, Path],
    progress: Progress,
) -> list[Outcome]:
    """The first candidates of each block that are faults; those in doubt are proved on the way."""
    chosen: list[Outcome] = []
    for block, (_, n_candidates) in blocks.items():
        left = n_candidates // 2
        for outcome in outcomes.values():
            if outcome.fault.block != block or not left:
                continue
            for kind in mutants:
                if kind in outcome.caught or (kind == "core" and block not in _IN_CORE):
                    continue
                progress(2, 4, f"proving that {outcome.fault} changes nothing")
                why = _is_equivalent(plan, kind, outcome.fault.number, mutants[kind])
                if why is None:
                    outcome.equivalent.append(kind)
                else:
                    outcome.missed[kind] = why
            if outcome.is_fault:
                chosen.append(outcome)
                left -= 1
    return chosen
