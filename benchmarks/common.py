"""What all benchmarks share: options, machine and versions, a table, the results file.

parser = arguments(__doc__)
options = parser.parse_args()
save("NAME", {"rows": rows}, options)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from gate2hw import __version__
from gate2hw.ir.store import write_text

__all__ = ["arguments", "commit", "in_process", "machine", "save", "table", "versions"]

RESULTS = Path(__file__).parent / "results"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark: --quick and --json FILE."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the results here too (a quick run writes nowhere else)",
    )
    return parser


def commit() -> dict[str, Any]:
    """The commit of the checkout and whether files differ from it; None and None outside one."""

    def git(*argv: str) -> str | None:
        run = subprocess.run(
            ["git", *argv], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return run.stdout.strip() if run.returncode == 0 else None

    head, status = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "modified": None if head is None else bool(status)}


def machine() -> dict[str, Any]:
    """Processor, cores, memory in bytes, system."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": platform.platform(),
    }


def versions(*packages: str) -> dict[str, str | None]:
    """Versions of Python, gate2hw and the named distributions; None where one is missing."""
    found: dict[str, str | None] = {"python": platform.python_version(), "gate2hw": __version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def save(
    name: str,
    result: Mapping[str, Any],
    options: argparse.Namespace,
    packages: Sequence[str] = ("numpy",),
) -> None:
    """Write benchmarks/results/NAME.json, and --json FILE; a quick run writes FILE alone."""
    content = {
        "benchmark": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "quick": options.quick,
        "machine": machine(),
        "versions": versions(*packages),
        **commit(),
        **result,
    }
    text = json.dumps(content, indent=1) + "\n"
    paths = [] if options.quick else [RESULTS / f"{name}.json"]
    for path in [*paths, *([options.json] if options.json else [])]:
        write_text(path, text)
        print(f"written: {path}")


def in_process(script: str, *argv: str, timeout_s: float) -> dict[str, Any]:
    """Run `script` with `argv` in a process of its own; the JSON of its last line of output."""
    run = subprocess.run(
        [sys.executable, script, *argv],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    lines = run.stdout.splitlines()
    if run.returncode or not lines:
        raise SystemExit(f"{script} {' '.join(argv)} failed:\n{run.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Right-aligned text columns; floats with three digits, integers with separators."""

    def text(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:,.3f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    cells = [list(columns), *([text(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
