"""Faults in Verilog, many in one text, of which an input chooses one at run time: Yosys' `mutate`.

A fault is one bit of one port of a word-level cell, stuck at 0 or 1, inverted, or tied to another
bit; number 0 is none of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gate2hw.errors import InputError, ToolFailedError
from gate2hw.tools.run import scratch_dir
from gate2hw.tools.yosys_script import read_sources, run_script

__all__ = ["FAULT_BITS", "Fault", "list_faults", "write_mutants"]

FAULT_BITS = 12
"""Width of the input ``fault`` that chooses. All ones is never a fault's number, nor is 0."""


@dataclass(frozen=True)
class Fault:
    """`command` is Yosys' own, without the control; `place` the line of Verilog and the signal."""

    number: int
    block: str
    module: str
    mode: str
    place: str
    command: str

    def __str__(self) -> str:
        return f"{self.block}: {self.mode} at {self.place}"


def _prepared(sources: Sequence[Path], top: str, work: Path) -> list[str]:
    # The same commands give cells the same names in every run.
    lines = read_sources(work, sources)
    return [*lines, f"hierarchy -check -top {top}", "proc", "opt_clean"]


def _fault(number: int, block: str, line: str) -> Fault:
    words = line.split()
    options = dict(pairwise(words))
    control = words.index("-ctrl")
    command = [*words[:control], *words[control + 4 :]]
    source = re.search(r"-src (\S+)\s*$", line)
    cell = options["-cell"].strip("\\").split("$")[1] if "$" in options["-cell"] else "cell"
    wire = f" ({options['-wire']}[{options['-wirebit']}])" if "-wire" in options else ""
    where = source[1] if source else options["-cell"]
    pin = f"{cell}.{options['-port']}[{options['-portbit']}]"
    return Fault(
        number=number,
        block=block,
        module=options["-module"].strip("\\"),
        mode=options["-mode"],
        place=f"{where} {pin}{wire}",
        command=" ".join(command),
    )


def list_faults(
    sources: Sequence[Path],
    *,
    top: str,
    blocks: Mapping[str, tuple[Sequence[str], int]],
    work_dir: Path,
    seed: int = 1,
) -> list[Fault]:
    """At most n faults for each block, spread over its cells and wires, numbered from 1.

    `blocks` maps a name to (a selection of Yosys, n). The same arguments give the same faults.
    Raises InputError where a block has no cell, ToolError where Yosys fails.
    """
    faults: list[Fault] = []
    with scratch_dir(work_dir.resolve(), "mutants") as work:
        lines = _prepared(sources, top, work)
        for number, (selection, n_faults) in enumerate(blocks.values()):
            # a selection of its own: mutate's filters know one module at a time
            lines += [f"select -set block_{number} {' '.join(selection)}"]
            lines += [f"select -assert-any @block_{number}"]
            lines += [
                f"mutate -list {n_faults} -seed {seed} -ctrl fault {FAULT_BITS} 1 "
                f"-o list_{number} @block_{number}"
            ]
        try:
            run_script(work, lines, [f"list_{number}" for number in range(len(blocks))])
        except ToolFailedError as error:
            if "select -assert-any" in str(error) or "Assertion failed" in str(error):
                raise InputError(f"a block to plant faults in has no cell: {error}") from error
            raise
        for number, block in enumerate(blocks):
            text = (work / f"list_{number}").read_text(encoding="utf-8")
            for line in text.splitlines():
                faults.append(_fault(len(faults) + 1, block, line))
    if len(faults) >= (1 << FAULT_BITS) - 1:
        raise InputError(f"{len(faults)} faults are more than {FAULT_BITS} bits can number")
    return faults


def write_mutants(
    sources: Sequence[Path], faults: Sequence[Fault], *, top: str, out_paths: Mapping[str, Path]
) -> None:
    """Write each module of `out_paths` (`top`, or one inside it) to its path, flat, with all of
    its `faults` and an input ``fault`` that chooses one."""
    for module, out_path in out_paths.items():
        with scratch_dir(out_path.parent.resolve(), "mutants") as work:
            lines = _prepared(sources, top, work)
            lines += [f"select {module}", f"add -input fault {FAULT_BITS}", "select -clear"]
            for fault in faults:
                control = f"-ctrl fault {FAULT_BITS} {fault.number}"
                lines.append(fault.command.replace("mutate ", f"mutate {control} ", 1))
            lines += [f"hierarchy -top {module}", "flatten", f"cd {module}"]
            lines += ["tee -q -o wires select -list w:*.fault", "cd", "write_rtlil flat.il"]
            run_script(work, lines, ["flat.il"])
            wires = (work / "wires").read_text(encoding="utf-8").split()
            lines = ["read_rtlil flat.il", f"cd {module}"]
            lines += [f"connect -nounset -set {wire.partition('/')[2]} fault" for wire in wires]
            # a port without a driver would choose nothing
            lines += ["cd", "opt_clean", "check -assert", "write_verilog -noattr flat.v"]
            run_script(work, lines, ["flat.v"])
            os.replace(work / "flat.v", out_path)
