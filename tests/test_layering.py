"""The house's rules, enforced: which room may import which, and how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]

MIDDLE = {"nn", "passes", "engine", "rtl", "formats", "report"}
MAY_IMPORT = {
    "errors": set[str](),
    "ir": {"errors"},
    "tools": {"errors"},
    **{room: {"ir", "tools", "errors"} for room in MIDDLE},
    "flow": MIDDLE | {"ir", "tools", "errors"},
    "cli": MIDDLE | {"flow", "ir", "tools", "errors"},
    "__main__": {"cli"},
    # the package itself may be imported for its version, and gives the flow's functions lazily
    "__init__": MIDDLE | {"flow", "ir", "tools", "errors"},
}
HOME_OF = {"torch": "nn", "tensorboard": "nn", "amaranth": "rtl"}
PROCESS_CALLS = {
    "os": {"system", "popen", "fork", "forkpty", "startfile"},
    "os prefixes": {"spawn", "exec", "posix_spawn"},
    "modules": {"subprocess", "multiprocessing", "pty", "pexpect"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
}
SIM_MAY_IMPORT = {"cocotb", "cocotb_tools", "cocotbext", "numpy"} | set(sys.stdlib_module_names)
MAX_LINES = 450


class Module:
    """One source file: its dotted name, its room, and what it imports."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path
        parts = path.relative_to(root).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.top = parts[0]
        self.room = parts[1] if len(parts) > 1 else ""
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, filename=str(path))

    def _targets(self, node: ast.AST) -> Iterator[str]:
        """Dotted names that an import statement may load, `from a import b` as a and a.b."""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = self.name.split(".")
                parts = parts[: len(parts) - node.level + self.is_package]
                base = ".".join([*parts, base] if base else parts)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func)
            first = node.args[0]
            if name.split(".")[-1] in ("import_module", "__import__") and isinstance(
                first, ast.Constant
            ):
                yield str(first.value)

    def _walk(self, *, into_functions: bool, types: bool) -> Iterator[tuple[str, int]]:
        todo: list[ast.AST] = list(self.tree.body)
        while todo:
            node = todo.pop()
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if is_function and not into_functions:
                continue
            if not types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                todo += node.orelse
                continue
            for target in self._targets(node):
                yield target, getattr(node, "lineno", 0)
            todo += ast.iter_child_nodes(node)

    def imports(self, *, types: bool = True) -> Iterator[tuple[str, int]]:
        """Imports with their lines, in functions too; with `types`, those for types only too."""
        return self._walk(into_functions=True, types=types)

    def imports_at_start(self) -> Iterator[str]:
        """What is imported while the module itself is: not in functions, not for types only."""
        return (target for target, _ in self._walk(into_functions=False, types=False))


def modules(root: Path, top: str) -> list[Module]:
    return [Module(root, path) for path in sorted((root / top).rglob("*.py"))]


def _package_violations(module: Module) -> Iterator[str]:
    allowed = MAY_IMPORT.get(module.room)
    if allowed is None:
        yield f"{module.path}: room {module.room!r} is not in the design"
        return
    for target, line in module.imports():
        place = f"{module.path}:{line}"
        top, *rest = target.split(".")
        if top == "sim":
            yield f"{place}: imports sim, the judge"
        if top in PROCESS_CALLS["modules"] and module.room != "tools":
            yield f"{place}: imports {top}, but only tools starts processes"
        room = rest[0] if top == "gate2hw" and rest else module.room
        if room in MAY_IMPORT and room not in allowed | {module.room}:
            yield f"{place}: {module.room} imports {room}"
    # a name that stands in an annotation only loads nothing: flow may speak of torch modules
    for target, line in module.imports(types=False):
        home = HOME_OF.get(target.split(".")[0])
        if home and module.room != home:
            yield f"{module.path}:{line}: imports {target}, which only {home} may"
    if module.room != "tools":
        yield from _process_calls(module)


def _process_calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        found: list[tuple[str, str]] = []
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = [(node.value.id, node.attr)]
        elif isinstance(node, ast.ImportFrom):
            found = [(node.module or "", alias.name) for alias in node.names]
        for owner, name in found:
            prefixed = owner == "os" and name.startswith(tuple(PROCESS_CALLS["os prefixes"]))
            if prefixed or name in PROCESS_CALLS.get(owner, ()):
                yield f"{module.path}:{node.lineno}: {owner}.{name} starts a process"


def _sim_violations(module: Module, own: set[str]) -> Iterator[str]:
    for target, line in module.imports():
        top, *rest = target.split(".")
        place = f"{module.path}:{line}"
        if top == "gate2hw":
            if rest and rest[0] != "ir":
                yield f"{place}: sim imports gate2hw.{rest[0]}, but may import gate2hw.ir only"
        elif top not in SIM_MAY_IMPORT | own | {"", "sim"}:
            yield f"{place}: sim imports {top}"


def import_violations(root: Path) -> list[str]:
    """Every import or call under gate2hw/ and sim/ that breaks the direction of imports."""
    found = [line for m in modules(root, "gate2hw") for line in _package_violations(m)]
    judge = modules(root, "sim")
    own = {module.path.stem for module in judge}
    return found + [line for module in judge for line in _sim_violations(module, own)]


def import_cycles(root: Path) -> list[list[str]]:
    """Cycles of imports that run while modules are loaded."""
    every = {module.name: module for top in ("gate2hw", "sim") for module in modules(root, top)}
    graph = nx.DiGraph()
    for name, module in every.items():
        for target in module.imports_at_start():
            if target in every and target != name:
                graph.add_edge(name, target)
    # `from package import module` names the package too; loading it first is no cycle
    packages = {name for name, module in every.items() if module.is_package}
    graph.remove_edges_from(
        [(u, v) for u, v in graph.edges if v in packages and u.startswith(f"{v}.")]
    )
    return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]


def size_violations(root: Path) -> list[str]:
    """Files that are too long, and public modules of the package without `__all__`."""
    found = []
    for module in [*modules(root, "gate2hw"), *modules(root, "sim")]:
        n_lines = len(module.text.splitlines())
        if n_lines > MAX_LINES:
            found.append(f"{module.path}: {n_lines} lines, the limit is {MAX_LINES}")
        public = not any(part.startswith("_") for part in module.path.stem.split())
        assigned = {
            target.id
            for node in module.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        if module.top == "gate2hw" and public and "__all__" not in assigned:
            found.append(f"{module.path}: a public module needs __all__")
    return found


def test_imports_point_one_way():
    assert import_violations(ROOT) == []


def test_no_circular_imports():
    assert import_cycles(ROOT) == []


def test_files_are_short_and_say_what_is_public():
    assert size_violations(ROOT) == []


@pytest.mark.parametrize("heavy", ["torch", "amaranth", "cocotb", "matplotlib", "sklearn"])
def test_import_gate2hw_is_light(heavy):
    code = f"import sys, gate2hw; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


CLEAN = {
    "gate2hw/__init__.py": '__version__ = "1"\n',
    "gate2hw/errors.py": "__all__ = []\n",
    "gate2hw/ir/__init__.py": "from gate2hw.ir.net import x\n__all__ = ['x']\n",
    "gate2hw/ir/net.py": "from gate2hw import errors\n__all__ = ['x']\nx = 1\n",
    "gate2hw/tools/run.py": "import subprocess\nfrom gate2hw.errors import a\n__all__ = []\n",
    "gate2hw/nn/model.py": "import torch\nfrom ..ir import net\n__all__ = []\n",
    "gate2hw/rtl/top.py": "import amaranth.hdl\nimport gate2hw.ir.net\n__all__ = []\n",
    "gate2hw/flow/steps.py": "from gate2hw import __version__, nn, rtl\n__all__ = []\n"
    "if TYPE_CHECKING:\n    import torch\n",
    "gate2hw/cli.py": "from gate2hw.flow import steps\n__all__ = []\n",
    "gate2hw/__main__.py": "from gate2hw.cli import main\n",
    "sim/bench.py": "import json\nimport cocotb, numpy\nimport board\nfrom gate2hw.ir import net\n",
    "sim/board.py": "from gate2hw.ir.net import x\n",
}


def test_a_clean_tree_is_clean(tmp_path):
    plant(tmp_path, CLEAN)
    assert import_violations(tmp_path) == []
    assert import_cycles(tmp_path) == []
    assert size_violations(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("gate2hw/ir/net.py", "import torch", "imports torch, which only nn may"),
        ("gate2hw/flow/steps.py", "    import torch.nn", "imports torch.nn, which"),
        ("gate2hw/nn/model.py", "from amaranth import Module", "imports amaranth"),
        ("gate2hw/nn/model.py", "import gate2hw.passes.local.fold", "nn imports passes"),
        ("gate2hw/passes/fold.py", "from gate2hw import rtl", "passes imports rtl"),
        ("gate2hw/passes/fold.py", "from ..report import page", "passes imports report"),
        ("gate2hw/passes/fold.py", "from .. import engine", "passes imports engine"),
        ("gate2hw/ir/net.py", "from gate2hw.tools.run import run_tool", "ir imports tools"),
        ("gate2hw/tools/run.py", "import gate2hw.ir", "tools imports ir"),
        ("gate2hw/tools/run.py", "from gate2hw.flow import steps", "tools imports flow"),
        ("gate2hw/errors.py", "from gate2hw.ir import net", "errors imports ir"),
        ("gate2hw/flow/steps.py", "from gate2hw.cli import main", "flow imports cli"),
        ("gate2hw/report/page.py", "import subprocess", "only tools starts processes"),
        ("gate2hw/nn/model.py", "from multiprocessing import Pool", "only tools starts"),
        ("gate2hw/nn/model.py", "import os; os.system('ls')", "os.system starts a process"),
        ("gate2hw/nn/model.py", "import os; os.execvp('ls', [])", "os.execvp starts a process"),
        ("gate2hw/nn/model.py", "from os import popen", "os.popen starts a process"),
        ("gate2hw/nn/model.py", "importlib.import_module('gate2hw.rtl')", "nn imports rtl"),
        ("gate2hw/rtl/top.py", "import sim.bench", "imports sim, the judge"),
        ("gate2hw/extras/x.py", "x = 1", "room 'extras' is not in the design"),
        ("sim/bench.py", "from gate2hw.rtl import top", "but may import gate2hw.ir only"),
        ("sim/bench.py", "from gate2hw import passes", "gate2hw.passes, but may import"),
        ("sim/bench.py", "import torch", "sim imports torch"),
    ],
)
def test_a_planted_import_is_caught(name, line, message, tmp_path):
    text = f"def f():\n{line}\n" if line.startswith(" ") else f"{line}\n"
    plant(tmp_path, CLEAN | {name: CLEAN.get(name, "__all__ = []\n") + text})
    found = import_violations(tmp_path)
    assert found
    assert all(message in entry and name in entry for entry in found)


def test_a_planted_cycle_is_caught(tmp_path):
    lazy = {
        "gate2hw/ir/net.py": "import gate2hw.errors\n__all__ = []\n"
        "def f():\n    from gate2hw.ir import text\n",
        "gate2hw/ir/text.py": "from gate2hw.ir.net import x\n__all__ = []\n",
    }
    plant(tmp_path, CLEAN | lazy)
    assert import_cycles(tmp_path) == []
    plant(tmp_path, {"gate2hw/ir/net.py": "from . import text\n__all__ = []\n"})
    assert import_cycles(tmp_path) == [["gate2hw.ir.net", "gate2hw.ir.text"]]


def test_planted_sizes_are_caught(tmp_path):
    plant(tmp_path, CLEAN)
    plant(
        tmp_path,
        {"sim/long.py": "x = 1\n" * (MAX_LINES + 1), "gate2hw/ir/mute.py": "x = 1\n"},
    )
    long, mute = sorted(size_violations(tmp_path), reverse=True)
    assert "451 lines" in long
    assert "mute.py: a public module needs __all__" in mute
