"""Proofs about a streaming design of any size: its frames, and each stage between two streams.

The frames (`prove_streams`) are proved with the stages free: whatever they do, no result is lost,
doubled or made up. Each stage is proved in its place in the top, all others free: of every frame
that goes in, the groups that it owes come out, in time, before the next frame begins to go in. So
no stage drops, doubles or holds anything, and frames and results keep their order. What the rules
count is stated beside them as a function of the stage's own counters: an invariant, proved with
the rules, without which PDR would have to find it bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import CheckFailedError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.signoff.formal import prove_streams, trace_table
from gate2hw.flow.stream.stage_harness import (
    FEED,
    STAGE_RULES,
    feed_harness,
    scans_of,
    stage_harness,
)
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest
from gate2hw.rtl.stream_input import Feed
from gate2hw.rtl.stream_spec import StreamSpec
from gate2hw.tools.formal import check_properties
from gate2hw.tools.resources import data_dir

__all__ = ["prove_stage", "prove_stages"]

_TIMEOUT_S: Final = 300.0
_SHOWN: Final = ("rst", "in_valid", "in_ready", "out_valid", "out_ready", "in_row", "in_group")


def _modules(sources: Sequence[Path]) -> list[str]:
    texts = (path.read_text(encoding="utf-8") for path in sources)
    return [name for text in texts for name in re.findall(r"^module (\w+)", text, re.MULTILINE)]


def prove_stage(
    stage: str,
    around: tuple[str, dict[str, str]],
    sources: Sequence[Path],
    manifest: Manifest,
    work_dir: Path,
    *,
    timeout_s: float = _TIMEOUT_S,
) -> tuple[list[dict[str, Any]], list[str]]:
    """(the properties of one stage, the names of those that are not decided); `around` is its
    harness, from `stage_harness` or `feed_harness`. Raises CheckFailedError as `prove_stages`."""
    text, connect = around
    harness = work_dir / f"{manifest.name}_{stage}_harness.v"
    write_text(harness, text)
    top = manifest.modules["top"]
    kept = {top, f"{top}_{stage}"}
    found = check_properties(
        [*sources, data_dir("sim") / "formal" / "stage_rules.v", harness],
        top="gate2hw_harness",
        out_dir=work_dir / stage,
        timeout_s=timeout_s,
        free=[name for name in _modules(sources) if name not in kept],
        connect=connect,
    )
    entries, doubts = [], []
    # what is broken comes before what is missing
    for entry in sorted(found, key=lambda entry: entry.name):
        says, name = STAGE_RULES[entry.name], f"{entry.name} of {stage}"
        if entry.name.startswith("bad_") and entry.verdict == "reached":
            assert entry.trace is not None
            raise CheckFailedError(
                f"not so: {says} ({name}); in cycle {entry.cycle} of {entry.trace}:\n"
                + trace_table(entry.trace, entry.name, {column: column for column in _SHOWN}),
                details={"property": name, "cycle": entry.cycle, "trace": str(entry.trace)},
            )
        if entry.name.startswith("can_") and entry.verdict == "never":
            raise CheckFailedError(f"cannot happen, so the proof says too little: {says} ({name})")
        entries.append({"name": name, "says": says, "cycle": entry.cycle})
        if entry.verdict == "undecided":
            doubts.append(name)
    return entries, doubts


def prove_stages(
    spec: StreamSpec,
    rtl_dir: Path,
    work_dir: Path,
    *,
    timeout_s: float = _TIMEOUT_S,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Prove the frames of a streaming design, then each of its stages, on the Verilog in `rtl_dir`.

    Returns what `prove_streams` does, with the rules of all stages. Raises CheckFailedError where
    one can be broken.
    """
    manifest = Manifest.load(rtl_dir / "manifest.json")
    sources = [rtl_dir / name for name in manifest.files]
    work_dir = work_dir.resolve()
    result = prove_streams(
        sources, manifest, rtl_dir / "manifest.json", work_dir, timeout_s=timeout_s
    )
    properties, doubts = [*result["properties"]], [*result["not_proved"]]
    feed = Feed.of(spec.input, manifest.bus_bytes, spec.lanes)
    stages = [(FEED, feed_harness(feed, manifest))]
    stages += [(scan.name, stage_harness(scan, manifest)) for scan in scans_of(spec)]
    for stage, around in stages:
        progress(0, 0, f"proving the handshakes of {stage}")
        entries, open_ones = prove_stage(
            stage, around, sources, manifest, work_dir, timeout_s=timeout_s
        )
        properties += entries
        doubts += open_ones
    told = "; the sums over the map by simulation" if spec.tail is None else ""
    return {
        **result,
        "method": f"ABC pdr, unbounded, frames and stages apart{told}",
        "result": "undecided" if doubts else "proved",
        "not_proved": doubts,
        "properties": properties,
    }
