"""Builds a simulation and runs a cocotb bench on it: ``python -m gate2hw.tools.bench_worker JOB``.

A process of its own, as a simulator can hang or die. JOB is the JSON file that
`gate2hw.tools.simulators.run_bench` writes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cocotb_tools import runner as cocotb_runner

__all__ = ["main"]

_MAKE_JOBS = 2
_VERILATOR_OPTIONS = (
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "--no-timing",
    # One function with 20,000 gates does not compile in minutes; many small ones do in seconds.
    "--output-split",
    "2000",
    "--output-split-cfuncs",
    "200",
)
# The compiler's time outweighs the model's: thousands of vectors take well under a second.
_MAKE_OPTIONS = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")


class _Verilator(cocotb_runner.Verilator):  # type: ignore[misc]
    """cocotb's runner, but with only the toplevel's own signals public.

    ``--public-flat-rw`` would keep every wire of the design and defeat all optimisation.
    """

    programs: dict[str, str]

    def _simulator_in_path_build_only(self) -> None:
        self.executable = self.programs["verilator"]

    def _build_command(self) -> Sequence[list[str]]:
        verilate, make = super()._build_command()
        at = verilate.index("--public-flat-rw")
        verilate[at : at + 1] = ["--public-depth", "1"]
        make[:3] = [self.programs["make"], "-j", str(_MAKE_JOBS)]
        make += [*_MAKE_OPTIONS, f"CXX={self.programs['g++']}", f"LINK={self.programs['g++']}"]
        return [verilate, make]


def _runner(job: dict[str, Any]) -> tuple[Any, list[str]]:
    """The runner for the job's simulator, and its build options."""
    programs: dict[str, str] = job["programs"]
    if job["simulator"] == "verilator":
        verilator = _Verilator()
        verilator.programs = programs
        return verilator, list(_VERILATOR_OPTIONS)
    # Icarus's runner calls iverilog and vvp by name.
    folder = str(Path(programs["iverilog"]).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    return cocotb_runner.Icarus(), ["-g2012"]


def main(argv: list[str]) -> int:
    """Do the job; 0 when the simulator ran to its end, whatever the tests say."""
    job = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    for name in [*os.environ]:
        # Settings of an outer test run or shell must not choose tests or add waves here.
        if name.startswith(("COCOTB_", "PYTEST_")) or name in ("WAVES", "GUI"):
            del os.environ[name]
    os.environ.update(job["env"])
    sys.path.insert(0, job["test_dir"])
    runner, options = _runner(job)
    model = Path(job["model_dir"])
    stamp = model / "gate2hw_stamp"
    timescale = ("1ns", "1ps")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != job["stamp"]:
        runner.build(
            sources=[cocotb_runner.Verilog(source) for source in job["sources"]],
            includes=job["includes"],
            hdl_toplevel=job["toplevel"],
            build_args=options,
            build_dir=model,
            timescale=timescale,
            clean=True,
        )
        stamp.write_text(job["stamp"], encoding="utf-8")
    runner.test(
        test_module=job["test_module"],
        hdl_toplevel=job["toplevel"],
        hdl_toplevel_lang="verilog",
        build_dir=model,
        test_dir=job["run_dir"],
        results_xml=job["results"],
        plusargs=job["plusargs"],
        timescale=timescale,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
