"""Do the benches see faults? Every fault of the list, and what caught it.

    python benchmarks/mutations.py                 # 64 faults in monk-1 as shipped, minutes
    python benchmarks/mutations.py --quick --json FILE

Faults are planted in the emitted Verilog by Yosys' `mutate`, all in one build for each bench,
chosen by number at run time. A fault must fail the top's bench, and the core's where it lies in
the core; what passes both is proved to change nothing (ABC's PDR, without a bound) or missed.
Exit code 1 where one was missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import RESULTS, arguments, save, table

import gate2hw
from gate2hw.flow.signoff.mutations import Outcome, Plan, mutate_benches
from gate2hw.ir.store import write_text
from gate2hw.rtl import Manifest

MODEL = Path(__file__).parents[1] / "examples" / "models" / "monk-1"


def told(answer: dict[str, Any]) -> str:
    """The test that caught a fault; the cycle, where the complaint is about one."""
    test, cycle = str(answer["test"]), answer["cycle"]
    return test if cycle is None else f"{test}, cycle {cycle}"


def row(outcome: Outcome) -> dict[str, Any]:
    """One line of the list."""
    said = {kind: told(answer) for kind, answer in outcome.caught.items()}
    for kind in outcome.equivalent:
        said[kind] = "proved without effect"
    said |= {kind: f"MISSED: {why}" for kind, why in outcome.missed.items()}
    fault = outcome.fault
    return {
        "block": fault.block,
        "fault": fault.mode,
        "place": fault.place,
        "top": said.get("top", ""),
        "core": said.get("core", ""),
    }


def listing(
    rows: list[dict[str, Any]], equivalent: list[dict[str, Any]], n_missed: int, n_candidates: int
) -> str:
    """The list as Markdown."""
    none = Counter(entry["block"] for entry in equivalent)
    blocks = ", ".join(f"{block} {count}" for block, count in none.items()) or "none"
    lines = [
        "# Faults planted in the monk-1 classifier, and the test of the bench that caught each",
        "",
        "Written by `python benchmarks/mutations.py` (part of `make test-full`).",
        f"{len(rows)} faults of {n_candidates} candidates, {n_missed} missed; proved to change "
        f"nothing, listed last and replaced: {len(equivalent)} ({blocks}).",
        "",
        "| block | fault | place | bench of the top | bench of the core |",
        "|---|---|---|---|---|",
    ]
    listed = [*rows, *equivalent]
    lines += ["| " + " | ".join(str(value) for value in entry.values()) + " |" for entry in listed]
    return "\n".join(lines) + "\n"


def say(done: int, total: int, message: str) -> None:
    """What is being done, on the terminal's other channel."""
    print(f"{done}/{total} {message}", file=sys.stderr, flush=True)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--faults", type=int, default=None, help="default: 64, quick 12")
    options = parser.parse_args()
    n_faults = options.faults or (12 if options.quick else 64)
    with tempfile.TemporaryDirectory(prefix="gate2hw-mutations-") as name:
        build = Path(name) / "build"
        gate2hw.compile(MODEL, build, output="scores")
        plan = Plan(
            rtl_dir=build / "rtl",
            manifest=Manifest.load(build / "rtl" / "manifest.json"),
            netlist_raw=build / "netlist_raw.npz",
            golden=MODEL / "golden.npz",
            work_dir=Path(name) / "mutants",
            n_golden=40,
            n_random=40,
        )
        found = mutate_benches(plan, n_faults=n_faults, progress=say)
    rows = [row(outcome) for outcome in [*found["caught"], *found["missed"]]]
    print(table([*rows[0]], [[*entry.values()] for entry in rows]))
    equivalent = [row(outcome) for outcome in found["equivalent"]]
    text = listing(rows, equivalent, len(found["missed"]), found["n_candidates"])
    if not options.quick:
        write_text(RESULTS / "mutations.md", text)
    content = {"rows": rows, "missed": len(found["missed"]), "candidates": found["n_candidates"]}
    save("mutations", {**content, "equivalent": equivalent}, options)
    return int(bool(found["missed"]))


if __name__ == "__main__":
    sys.exit(main())
