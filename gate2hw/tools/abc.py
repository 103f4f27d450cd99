"""ABC: scripts over circuits in files, and combinational equivalence checking of two of them.

ABC ends with status 0 whatever happens, so only the lines it prints are believed.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gate2hw.errors import InputError, ToolTimeoutError
from gate2hw.tools import registry
from gate2hw.tools.run import ToolRun, failure, run_tool, scratch_dir

__all__ = ["CecResult", "cec", "run_script"]

_SUFFIXES = (".aig", ".blif")
_GRACE_S = 10.0


@dataclass(frozen=True)
class CecResult:
    """ABC's verdict on two circuits.

    `counterexample` is one 0 or 1 for each input, in the files' order, on which the circuits
    differ (only with "different"). `raw` is what ABC printed.
    """

    status: Literal["equivalent", "different", "undecided"]
    counterexample: tuple[int, ...] | None
    time_s: float
    raw: str


# what ABC prints when a command cannot do its work; the exit code says nothing
_COMPLAINTS = re.compile(
    r"^(?:Error|\*\* cmd error|.*[Cc]annot |.*has failed|Empty network|Reading .* failed|"
    r".*[Aa]ssertion .* failed)",
    re.MULTILINE,
)


def run_script(
    commands: Sequence[str],
    *,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    timeout_s: float,
) -> ToolRun:
    """Run ABC `commands` in a folder of their own, where each of `inputs` lies under its key.

    Each of `outputs` must be written by the script under its key, and is moved to the path given
    (whose folder must exist). Keys are plain file names (ABC splits its commands at spaces); a
    command that ABC complains about is a failure, though ABC's exit code never says so.

    Raises:
        InputError: an input is missing.
        ToolMissingError, ToolFailedError, ToolTimeoutError: as `run_tool`.
    """
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    program = registry.find("abc")
    beside = next(iter(outputs.values()), next(iter(inputs.values()), Path("."))).parent
    with scratch_dir(beside, "abc") as work:
        for name, path in inputs.items():
            (work / name).symlink_to(path.resolve())
        (work / "script.abc").write_text("\n".join(commands) + "\n", encoding="ascii")
        run = run_tool(
            [*program, "-q", "source -s script.abc"],
            tool="abc",
            cwd=work,
            timeout_s=timeout_s,
            expect=list(outputs),
        )
        complaint = _COMPLAINTS.search(run.output)
        if complaint:
            raise failure("abc", f"could not do its work: {complaint[0].strip()}", run)
        for name, path in outputs.items():
            os.replace(work / name, path)
    return run


def cec(a: Path, b: Path, *, timeout_s: float) -> CecResult:
    """Compare the circuits in `a` and `b` (binary AIGER ``.aig``, or ``.blif``).

    Inputs and outputs are matched by their order, not by their names. The verdict is "undecided"
    where ABC gives up or does not end within `timeout_s`.

    Raises:
        InputError: a file is missing or of another kind.
        ToolMissingError, ToolFailedError: ABC is missing, or ended without a verdict (unequal
            numbers of inputs or outputs, an unreadable file).
    """
    for path in (a, b):
        if path.suffix not in _SUFFIXES:
            raise InputError(f"{path}: ABC compares {' and '.join(_SUFFIXES)} files only")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    program = registry.find("abc")
    start = time.monotonic()
    with scratch_dir(a.parent, "abc") as work:
        # Links with plain names: ABC splits its commands at spaces.
        first, second = work / f"a{a.suffix}", work / f"b{b.suffix}"
        first.symlink_to(a.resolve())
        second.symlink_to(b.resolve())
        command = f"cec -n -T {max(1, math.ceil(timeout_s))} {first.name} {second.name}"
        try:
            run = run_tool(
                [*program, "-q", command], tool="abc", cwd=work, timeout_s=timeout_s + _GRACE_S
            )
        except ToolTimeoutError as error:
            return CecResult("undecided", None, time.monotonic() - start, str(error))
    return _verdict(run)


def _verdict(run: ToolRun) -> CecResult:
    raw = run.output
    found = {
        "different": re.search(r"^Networks are NOT EQUIVALENT", raw, re.MULTILINE),
        "equivalent": re.search(r"^Networks are equivalent", raw, re.MULTILINE),
        "undecided": re.search(r"^Networks are UNDECIDED", raw, re.MULTILINE),
    }
    match [status for status, line in found.items() if line]:
        case ["different"]:
            return CecResult("different", _counterexample(run), run.time_s, raw)
        case ["equivalent"]:
            return CecResult("equivalent", None, run.time_s, raw)
        case ["undecided"]:
            return CecResult("undecided", None, run.time_s, raw)
    raise failure("abc", "ended without a verdict about the two circuits", run)


def _counterexample(run: ToolRun) -> tuple[int, ...] | None:
    """Values of all inputs from ABC's line ``INPUT: pi0 = 1'h0, pi1 = 1'h1.  OUTPUT: ...``."""
    line = re.search(r"^INPUT: (.*?)\.\s+OUTPUT:", run.output, re.MULTILINE)
    if line is None:
        return None
    values = {int(n): int(v) for n, v in re.findall(r"pi(\d+) = 1'h([01])", line[1])}
    if sorted(values) != list(range(len(values))):
        raise failure("abc", "gave a counter-example that lacks inputs", run)
    return tuple(values[n] for n in range(len(values)))
