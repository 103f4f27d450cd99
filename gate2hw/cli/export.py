"""export: a model as C, as an IP core, or as a Tiny Tapeout project."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the commands of this module."""
    p = sub.add_parser(
        "export",
        parents=[common],
        help="a model as self-contained C99, as an IP core, or for Tiny Tapeout",
        description="Write MODEL as NAME.h, NAME.c and NAME_selftest.c to DIR: C99 that needs no "
        "library and no heap. MODEL is a build folder, a trained model (which is then simplified "
        "as by -O 2), or a netlist of any format that convert reads. With --format ip the Verilog "
        "of a build folder as an AXI4-Stream core (aclk, aresetn) with IP-XACT, instantiation "
        "templates, a VHDL wrapper and a Vivado script; tinytapeout: as a project with info.yaml.",
        epilog="examples: gate2hw export build/digits --format c -o c --name digits; "
        "cc -O2 c/digits.c c/digits_selftest.c -o selftest; ./selftest; "
        "gate2hw export build/digits --format ip -o ip",
    )
    p.add_argument("model", metavar="MODEL", help="build folder, model or netlist")
    p.add_argument("--format", choices=["c", "ip", "tinytapeout"], required=True)
    p.add_argument("-o", "--out", metavar="DIR", required=True, help="folder to write")
    p.add_argument(
        "--name", metavar="NAME", help="prefix of files and C names (default: the build's, or lgn)"
    )
    width = p.add_mutually_exclusive_group()
    width.add_argument(
        "--word-bits",
        type=int,
        choices=[8, 16, 32, 64],
        default=32,
        help="samples evaluated at once, one a bit of a word (default: 32)",
    )
    width.add_argument(
        "--single",
        action="store_true",
        help="one sample a call: the smallest code and memory, for microcontrollers",
    )


def _table(sizes: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("what", "size", "", title="sizes", title_justify="left")
    for what, key, remark in (
        ("gates", "gates", f"in {sizes['functions']:,} functions"),
        ("text", "text_bytes", "bytes, estimated for x86-64 at -Os"),
        ("constant tables", "table_bytes", "bytes"),
        ("working memory", "work_bytes", f"bytes, {sizes['work_words']:,} words, on the stack"),
        ("stack", "stack_bytes", "bytes, estimated, working memory included"),
    ):
        table.add_row(what, f"{sizes[key]:,}", remark)
    table.add_row("data, bss", "0", "bytes: re-entrant, nothing is allocated")
    return table


def _export(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress("export") as progress:
        result = flow.export(
            args.model,
            args.out,
            format=args.format,
            name=args.name,
            word_bits=args.word_bits,
            single=args.single,
            progress=progress,
        )
    terminal.give(result)
    terminal.notes(result["notes"])
    if args.format != "c":
        terminal.say(f"{args.out}: {result['top']}, {len(result['files'])} files")
        return 0
    terminal.say(_table(result["sizes"]))
    header, source, selftest = (Path(path) for path in result["files"])
    form = "one sample a call" if args.single else f"{args.word_bits} samples a word"
    terminal.say(
        f"{source}, {header.name}: {form}; {selftest.name} has {result['n_vectors']} "
        f"{result['vectors']} inputs and corners"
    )
    terminal.say(f"next: cc -O2 {source} {selftest} -o selftest && ./selftest")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {"export": _export}
