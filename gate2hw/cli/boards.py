"""board, boards and talk: a model on a board, and a host that asks it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from gate2hw.cli.values import mhz, seconds

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _add_board(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "board",
        parents=[common],
        help="the bitstream of a board that classifies what comes over a serial line",
        description="Put the model of DIR on a board: top level, constraints and bitstream go to "
        "DIR/board-NAME. The board answers packets over a UART (see: gate2hw talk) or SPI. Exit "
        "code 1 if the design does not fit or misses the clock.",
        epilog="example: gate2hw board build/digits --board icebreaker --clock-mhz 24",
    )
    p.add_argument("dir", metavar="DIR", help="build folder")
    p.add_argument("--board", metavar="NAME", required=True, help="see: gate2hw boards")
    p.add_argument("--interface", choices=["uart", "spi"], default="uart", help="default: uart")
    p.add_argument(
        "--clock-mhz", type=mhz, metavar="F", help="by a PLL (default: the board's oscillator)"
    )
    p.add_argument("--baud", type=_whole, metavar="N", help="of the UART (default: the board's)")
    p.add_argument("--seed", type=_whole, default=1, metavar="N", help="placement seed")
    p.add_argument(
        "--simulate",
        action="store_true",
        help="then simulate the board from its pins, before and after synthesis",
    )


def _add_talk(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "talk",
        parents=[common],
        help="classify samples on a board",
        description="Send the samples of DATA (.npy, .npz, .csv or idx, one sample or many) to the "
        "board at the serial port PORT, and print class and scores. The board is first asked which "
        "model it holds.",
        epilog="example: gate2hw talk /dev/ttyUSB1 images.npy --build build/digits --check",
    )
    p.add_argument("port", metavar="PORT", help="serial port of the board")
    p.add_argument("data", metavar="DATA", help=".npy, .npz, .csv or idx file")
    p.add_argument("--build", metavar="DIR", required=True, help="folder of the board's bitstream")
    p.add_argument("--baud", type=_whole, metavar="N", help="default: that of the build's board")
    p.add_argument(
        "--timeout", type=seconds, default=2.0, metavar="S", help="silence allowed (default: 2 s)"
    )
    p.add_argument(
        "--retries", type=_whole, default=2, metavar="N", help="packets sent again (default: 2)"
    )
    p.add_argument(
        "--check", action="store_true", help="compare every answer with the software model's"
    )


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the commands of this module."""
    _add_board(sub, common)
    sub.add_parser("boards", parents=[common], help="list the boards")
    _add_talk(sub, common)


def _board(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress(f"board {args.board}") as progress:
        result = flow.board(
            args.dir,
            args.board,
            interface=args.interface,
            clock_mhz=args.clock_mhz,
            baud=args.baud,
            seed=args.seed,
            progress=progress,
        )
        if args.simulate and result["fits"]:
            done = flow.simulate_board(args.dir, args.board, progress=progress)
            result = {**result, "simulations": done}
    terminal.give(result)
    if not result["fits"]:
        terminal.error(f"does not fit: {result['reason']}")
        return 1
    line = f"{result['baud']} baud" if result["interface"] == "uart" else "SPI"
    terminal.say(
        f"{args.board}: {result['luts']:,} LUTs, {result['ffs']:,} FFs, "
        f"{result['fmax_mhz']:.1f} MHz, runs at {result['clock_mhz']:g} MHz, {line}"
    )
    for run in result.get("simulations", ()):
        terminal.say(
            f"{run['stage']} on {run['simulator']}: {run['n_packets']} packets, "
            f"{run['mismatches']} answers differ"
        )
        for test, reason in run["skipped"].items():
            terminal.say(f"  {test} left out: {reason}")
    if not result["clock_met"]:
        terminal.error(
            f"{args.board} reaches {result['fmax_mhz']:.1f} MHz, its clock is "
            f"{result['clock_mhz']:g} MHz; give a slower one by --clock-mhz"
        )
        return 1
    terminal.say(f"load it: {result['program']}")
    return 0


def _boards(args: argparse.Namespace, terminal: Terminal) -> int:
    from rich.table import Table

    from gate2hw import flow

    found = flow.boards()
    terminal.give(found)
    table = Table("board", "target", "clock MHz", "lines", "what it is")
    for board in found:
        table.add_row(
            board["name"],
            board["target"],
            f"{board['clock_mhz']:g}",
            ", ".join(board["interfaces"]),
            board["description"],
        )
    terminal.say(table)
    return 0


def _answer_line(result: dict[str, Any], number: int) -> str:
    index = result["classes"][number]
    names = result["class_names"]
    name = names[index] if index < len(names) else str(index)
    if result["scores"] is None:
        return str(name)
    return f"{name}  {' '.join(map(str, result['scores'][number]))}"


def _talk(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress("talk") as progress:
        result = flow.talk(
            args.port,
            args.data,
            args.build,
            baud=args.baud,
            timeout_s=args.timeout,
            retries=args.retries,
            check=args.check,
            progress=progress,
        )
    terminal.give(result)
    for number in range(result["images"]):
        terminal.say(_answer_line(result, number))
    again = f", {result['retries']} packets sent again" if result["retries"] else ""
    checked = ", all as the software model says" if result["checked"] else ""
    if not terminal.quiet:
        terminal.error(
            f"{result['images']:,} images, {result['images_per_s']:.1f} images/s{again}{checked}"
        )
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "board": _board,
    "boards": _boards,
    "talk": _talk,
}
