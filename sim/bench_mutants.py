"""cocotb bench of the benches: faults chosen one after the other, each to be caught.

The environment variable ``GATE2HW_MUTANTS`` names a JSON file beside the job of the bench:

    kind    core or top: which bench
    faults  numbers for the wrapper's ``fault``; 0 is the healthy design
    result  path of the JSON to write: for each fault the test that failed first, the cycle and
            what it said, or null where all tests passed

A fault is done with the first test that fails.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import cocotb

from sim.bench import Bench
from sim.scoreboard import write_result

__all__ = ["every_fault"]


async def _first_failure(dut: Any, bench: Bench) -> dict[str, Any] | None:
    """Run the bench's tests up to the first that fails: its name, cycle and first complaint."""
    bench.restart()
    for name, function in bench.functions.items():
        bench.record.begin()
        try:
            await function(dut, bench)
        except Exception as error:
            return {"test": name, "cycle": None, "says": f"{type(error).__name__}: {error}"}
        if bench.record.faults:
            return {"test": name, **_told(bench)}
    return None


def _told(bench: Bench) -> dict[str, Any]:
    says, mismatch = bench.record.faults[0], bench.record.content["first_mismatch"]
    found = re.search(r"\bcycle (\d+)", says)
    if found:
        return {"cycle": int(found[1]), "says": says}
    return {"cycle": mismatch["cycle"] if mismatch else None, "says": says}


@cocotb.test
async def every_fault(dut: Any) -> None:
    """All faults of the list; what becomes of each is for the caller to judge."""
    job = json.loads(Path(os.environ["GATE2HW_MUTANTS"]).read_text(encoding="utf-8"))
    bench: Bench = importlib.import_module(f"sim.bench_{job['kind']}").BENCH
    bench.open()
    outcomes: dict[str, Any] = {}
    for number in job["faults"]:
        dut.fault.value = number
        outcomes[str(number)] = await _first_failure(dut, bench)
    write_result(Path(job["result"]), {"kind": job["kind"], "faults": outcomes})
