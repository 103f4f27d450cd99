"""Runs a Yosys script in a process of its own: ``python -m gate2hw.tools.yosys_worker -s FILE``.

Yosys ends its process on an error and gives memory back only at exit, so it never runs in ours.
``-V`` prints the version. Takes the options of the native program, which can stand in for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Run the script named after ``-s``; 0 when every command of it succeeded."""
    from pyosys import libyosys

    if argv == ["-V"]:
        print(libyosys.yosys_version_str)
        return 0
    if len(argv) != 2 or argv[0] != "-s":
        print("usage: yosys_worker -V | -s SCRIPT", file=sys.stderr)
        return 2
    design = libyosys.Design()
    for line in Path(argv[1]).read_text(encoding="utf-8").splitlines():
        if line.strip():
            design.run_pass(line)
    print("yosys script done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
