"""Proofs about the streams of a top: nothing lost, doubled, invented, or stuck, for all time."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from gate2hw.errors import CheckFailedError, ToolFailedError
from gate2hw.rtl import Manifest
from gate2hw.tools.formal import Property, check_properties
from gate2hw.tools.resources import data_dir
from gate2hw.tools.run import run_tool
from gate2hw.tools.vcd import table

__all__ = ["FREE_MODULES", "PROPERTIES", "HarnessKind", "prove_streams", "rules_digest"]

HarnessKind: TypeAlias = Literal["stream", "whole", "data"]

PROPERTIES: Final = MappingProxyType(
    {
        "bad_valid_fell": "a beat that is offered stays offered until it is taken",
        "bad_payload_moved": "data and last of an offered beat stay the same until it is taken",
        "bad_reset": "nothing is offered or reported right after a reset",
        "bad_frame_error": "frame_error pulses once for each malformed frame, and never else",
        "bad_result_length": "tlast stands on the last beat of each result, and nowhere else",
        "bad_result_invented": "a result is offered only for a good frame without one",
        "bad_frame_lost": "no frame goes in for which there is no room",
        "bad_no_result": "a frame inside gives its result within the latency once the output is "
        "free, whether the sink is ready or not",
        "bad_input_shut": "with a ready sink the input opens within a result's beats",
        "bad_out_of_step": "the design counts beats and frames as its rules do",
        "bad_wrong_bit": "every bit of every frame reaches the result of that frame, in its place",
        "can_fill": "two frames are inside at once",
        "can_shut": "the input is shut",
        "can_recover": "a result comes after a malformed frame",
        "can_stall": "a result is taken after a stall",
        "can_give_1": "a followed bit is 1",
        "can_give_0": "a followed bit is 0",
        "can_follow_another": "the followed frame comes in behind another",
    }
)
"""What a property says: ``bad_*`` never happens; ``can_*`` can, or the proof would be empty."""

_STAGES: Final = ("{name}_top_conv_*", "{name}_top_pool_*", "{name}_top_head*")
FREE_MODULES: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "unrolled": (
            "{name}_gates",
            "{name}_popcount*",
            "{name}_core_popcount*",
            "{name}_core_argmax",
        ),
        "stream": (
            "{name}_*gates",
            "{name}_delay_*",
            "{name}_*popcount*",
            "{name}_core_argmax",
            "{name}_top_ranking_argmax",
            *_STAGES,
        ),
    }
)
"""By architecture: modules whose outputs are taken as any value in any cycle, as no handshake
depends on what they compute. The rest of the top is proved as it was written. The stages of a
streaming design are free here; each is proved by itself (`flow.stream.stage_proofs`)."""

_COLUMNS: Final = MappingProxyType(
    {
        "rst": "rst",
        "s_valid": "s_axis_tvalid",
        "s_ready": "s_axis_tready",
        "s_last": "s_axis_tlast",
        "s_data": "s_axis_tdata",
        "m_valid": "m_axis_tvalid",
        "m_ready": "m_axis_tready",
        "m_last": "m_axis_tlast",
        "m_data": "m_axis_tdata",
        "error": "frame_error",
        "beat": "rules.beat",
        "inside": "rules.inside",
    }
)


def _harness(kind: HarnessKind, manifest_path: Path, netlist: Path | None, out: Path) -> list[Path]:
    """Let the benches' own code write the module around the top; the rules that it needs."""
    sim_dir = data_dir("sim")
    arguments = [str(manifest_path), kind, str(out)]
    if netlist is not None:
        arguments += ["--netlist", str(netlist)]
    run_tool(
        [sys.executable, "-m", "sim.harness", *arguments],
        tool="sim.harness",
        cwd=sim_dir.parent,
        timeout_s=60.0,
        expect=(out,),
    )
    rules = ["stream_rules.v", *(["frame_tag.v"] if kind == "data" else [])]
    return [*(sim_dir / "formal" / name for name in rules), out]


def rules_digest() -> str:
    """What the Verilog of the rules is: a proof is one of these rules."""
    sha = hashlib.sha256()
    for path in sorted((data_dir("sim") / "formal").glob("*.v")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _registers(manifest: Manifest) -> dict[str, str]:
    """Wires of the harness to the registers of a streaming top that they show."""
    core = "core" if f"{manifest.modules['core']}.v" in manifest.files else "ranking"
    names = {name: f"pixels.{name}" for name in ("count", "fill", "swallow")}
    names |= {"queue": "verdicts.queue", "n_queued": "verdicts.count"}
    names |= {"push": "verdicts.push_reg", "good_next": "verdicts.good_reg"}
    names |= {"advance": "sender.advance"}
    for stage in range(1, 1 + manifest.core_latency_cycles):
        names[f"valid_{stage}"] = f"{core}.valid_{stage}"
    return {f"seen_{name}": f"dut.{register}" for name, register in names.items()}


def prove_streams(
    sources: Sequence[Path],
    manifest: Manifest,
    manifest_path: Path,
    work_dir: Path,
    *,
    kind: HarnessKind = "stream",
    netlist: Path | None = None,
    timeout_s: float = 600.0,
) -> dict[str, Any]:
    """Prove the rules of both streams (`kind` ``stream``) on the Verilog `sources` of a top, or
    that it carries every bit of a frame to its result (``data``, which takes the core's place:
    `sources` hold the top alone, and `netlist` tells the encoder). Of a streaming design,
    ``stream`` proves the rules that hold whatever its stages do; ``whole`` all of them with the
    stages in, which ends in minutes for maps of a few pixels only.

    The proofs are unbounded; frames, stalls and resets are free in every cycle.
    Returns ``{"method", "result", "properties": [...], "not_proved": [names]}``; the result is
    ``undecided`` where `timeout_s` was too short for some. Raises CheckFailedError with a table
    of a way to break a rule (its waveform lies in `work_dir`).
    """
    work_dir = work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    harness = work_dir / f"{manifest.name}_{kind}_harness.v"
    around = _harness(kind, manifest_path.resolve(), netlist and netlist.resolve(), harness)
    free = [part for part in FREE_MODULES[manifest.arch] if kind != "whole" or part not in _STAGES]
    connect: dict[str, str] = {}
    if kind == "data":
        connect = {f"dut.core.{name}": name for name in ("which", "where")}
    elif kind == "stream" and manifest.arch == "stream":
        connect = _registers(manifest)
    found = check_properties(
        [*sources, *around],
        top="gate2hw_harness",
        out_dir=work_dir,
        timeout_s=timeout_s,
        free=[] if kind == "data" else [module.format(name=manifest.name) for module in free],
        connect=connect,
    )
    _judge(found)
    open_ones = [entry.name for entry in found if entry.verdict == "undecided"]
    return {
        "method": "ABC pdr, unbounded",
        "result": "undecided" if open_ones else "proved",
        "not_proved": open_ones,
        "properties": [
            {"name": entry.name, "says": PROPERTIES[entry.name], "cycle": entry.cycle}
            for entry in found
        ],
    }


def _judge(found: Sequence[Property]) -> None:
    """Raise CheckFailedError where a rule is broken, with a way to break the one that breaks first;
    else where what has to be possible is not."""
    for entry in found:
        if entry.name not in PROPERTIES:
            raise ToolFailedError(f"the harness has a property {entry.name} that nobody knows")
    broken = [e for e in found if e.name.startswith("bad_") and e.verdict == "reached"]
    if broken:
        first, *others = sorted(broken, key=lambda entry: (entry.cycle or 0, entry.name))
        assert first.trace is not None
        also = "; ".join(f"{PROPERTIES[entry.name]} ({entry.name})" for entry in others)
        raise CheckFailedError(
            f"not so: {PROPERTIES[first.name]} ({first.name}); "
            + (f"nor: {also}; " if also else "")
            + f"in cycle {first.cycle} of {first.trace}:\n"
            + trace_table(first.trace, first.name),
            details={"property": first.name, "cycle": first.cycle, "trace": str(first.trace)},
        )
    for entry in found:
        if entry.name.startswith("can_") and entry.verdict == "never":
            raise CheckFailedError(
                "cannot happen, so the proof says too little: "
                f"{PROPERTIES[entry.name]} ({entry.name})"
            )


def trace_table(trace: Path, name: str, columns: Mapping[str, str] = _COLUMNS) -> str:
    """The streams of a counter-example, a line a cycle; the last line breaks the rule `name`."""
    return table(trace, "clk", {**columns, name: name})
