"""One Yosys script in a folder of its own, for jobs that are neither synthesis nor a netlist."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from gate2hw.errors import InputError
from gate2hw.tools import registry
from gate2hw.tools.run import ToolRun, run_tool

__all__ = ["read_sources", "run_script"]


def read_sources(work: Path, sources: Sequence[Path]) -> list[str]:
    """Copy `sources` into `work`; return the lines that read them, free of this machine's paths.

    Raises InputError where one is missing, or two have one name.
    """
    lines = []
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: no such Verilog file")
        if (work / source.name).exists():
            raise InputError(f"{source}: two Verilog sources are called {source.name}")
        shutil.copyfile(source, work / source.name)
        lines.append(f"read_verilog {source.name}")
    return lines


def run_script(
    work: Path, lines: Sequence[str], expect: Sequence[str], *, timeout_s: float = 600.0
) -> ToolRun:
    """Run the commands `lines` in `work`, where they must write the files `expect`.

    Raises ToolError as `run_tool` does.
    """
    (work / "script.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run_tool(
        [*registry.find("yosys"), "-s", "script.ys"],
        tool="yosys",
        cwd=work,
        timeout_s=timeout_s,
        env=registry.worker_env(),
        expect=[work / name for name in expect],
    )
