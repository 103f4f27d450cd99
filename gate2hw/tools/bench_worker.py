"""Builds a simulation and runs a cocotb bench on it: ``python -m gate2hw.tools.bench_worker JOB``.

A process of its own, as a simulator can hang or die. JOB is the JSON file that
`gate2hw.tools.simulators.run_bench` writes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from contextlib import suppress
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
    # The data-flow pass puts the cones of thousands of outputs into one statement, which no
    # option splits: 28 MB of C++ in one function at 100,000 gates.
    "-fno-dfg",
    # One function with 20,000 gates does not compile in minutes; many small ones do in seconds.
    "--output-split",
    "20000",
    "--output-split-cfuncs",
    "200",
)
_ONE_UNIT_BYTES = 1_000_000
"""Models of less Verilog than this compile faster as one unit, which reads the headers once.

For them the compiler's time outweighs the model's: thousands of vectors take well under a second.
"""
_SMALL_MAKE = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0", "VM_PARALLEL_BUILDS=0")
_LARGE_MAKE = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0", "VM_PARALLEL_BUILDS=1")
_RUNTIME_OBJECTS = ("verilated.o", "verilated_vpi.o", "verilated_threads.o")


class _Verilator(cocotb_runner.Verilator):
    """cocotb's runner, but with only the toplevel's own signals public.

    ``--public-flat-rw`` would keep every wire of the design and defeat all optimisation.
    """

    programs: dict[str, str]
    cache: Path
    make_options: list[str]

    def _simulator_in_path_build_only(self) -> None:
        self.executable = self.programs["verilator"]

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        at = verilate.index("--public-flat-rw")
        verilate[at : at + 1] = ["--public-depth", "1"]
        make[:3] = [self.programs["make"], "-j", str(_MAKE_JOBS)]
        make += self.make_options
        make += [f"CXX={self.programs['g++']}", f"LINK={self.programs['g++']}"]
        make += [f"PYTHON3={sys.executable}"]
        return [verilate, make]

    def build_cached(self, **options: Any) -> None:
        """Build, with the objects of Verilator's own runtime taken from the cache if they can be.

        They do not depend on the model, but take most of the compiler's time.
        """
        model: Path = options["build_dir"]
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir(parents=True)
        for name in _RUNTIME_OBJECTS:
            with suppress(OSError):
                shutil.copyfile(self.cache / name, model / name)
                # -o: not to be made again, although the makefile is newer
                self.make_options += ["-o", name]
        self.build(**options)
        # A cache that cannot be written costs time, nothing else.
        with suppress(OSError):
            self.cache.mkdir(parents=True, exist_ok=True)
            for name in _RUNTIME_OBJECTS:
                if not (self.cache / name).is_file():
                    temporary = self.cache / f".{name}-{os.getpid()}"
                    shutil.copyfile(model / name, temporary)
                    os.replace(temporary, self.cache / name)


def _runner(job: dict[str, Any]) -> tuple[Any, list[str], list[Path]]:
    """The runner for the job's simulator, its build options, and the sources as it reads them."""
    programs: dict[str, str] = job["programs"]
    sources = [Path(source) for source in job["sources"]]
    if job["simulator"] == "verilator":
        verilator = _Verilator()
        verilator.programs = programs
        verilator.cache = Path(job["cache"])
        size = sum(source.stat().st_size for source in sources)
        verilator.make_options = [*(_SMALL_MAKE if size < _ONE_UNIT_BYTES else _LARGE_MAKE)]
        return verilator, list(_VERILATOR_OPTIONS), sources
    # Icarus's runner calls iverilog, which may have another name here, and vvp from beside it.
    named = Path(job["run_dir"]) / "bin"
    shutil.rmtree(named, ignore_errors=True)
    named.mkdir()
    (named / "iverilog").symlink_to(programs["iverilog"])
    path = [str(named), str(Path(programs["iverilog"]).parent), os.environ.get("PATH", os.defpath)]
    os.environ["PATH"] = os.pathsep.join(path)
    options = ["-g2012", "-DNO_INCLUDES", "-DNO_ICE40_DEFAULT_ASSIGNMENTS"]
    return cocotb_runner.Icarus(), options, _for_icarus(sources, Path(job["run_dir"]) / "cells")


def _for_icarus(sources: list[Path], folder: Path) -> list[Path]:
    """The sources, with Yosys's cell models as copies that Icarus 11 can read.

    It knows no $error among a module's items, nor default values of ports, and the models include
    their flip-flops and buffers (which a netlist does not use) twice: two of these are defines.
    """
    shutil.rmtree(folder, ignore_errors=True)
    result = []
    for source in sources:
        if not (source.parent / "common_sim.vh").is_file():
            result.append(source)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for path in source.parent.glob("*_sim.v*"):
            text = re.sub(r"\$error\([^;]*\);", "", path.read_text(encoding="utf-8"))
            (folder / path.name).write_text(text, encoding="utf-8")
        result.append(folder / source.name)
    return result


def main(argv: list[str]) -> int:
    """Do the job; 0 when the simulator ran to its end, whatever the tests say."""
    job = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    for name in [*os.environ]:
        # Settings of an outer test run or shell must not choose tests or add waves here.
        if name.startswith(("COCOTB_", "PYTEST_")) or name in ("WAVES", "GUI"):
            del os.environ[name]
    os.environ.update(job["env"])
    sys.path.insert(0, job["test_dir"])
    runner, options, sources = _runner(job)
    model = Path(job["model_dir"])
    stamp = model / "gate2hw_stamp"
    timescale = ("1ns", "1ps")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != job["stamp"]:
        stamp.unlink(missing_ok=True)
        build = runner.build_cached if isinstance(runner, _Verilator) else runner.build
        build(
            sources=[cocotb_runner.Verilog(source) for source in sources],
            includes=sorted({source.parent for source in sources}),
            hdl_toplevel=job["toplevel"],
            build_args=options,
            build_dir=model,
            timescale=timescale,
            always=True,
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
