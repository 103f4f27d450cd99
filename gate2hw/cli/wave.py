"""wave: one inference of a build's Verilog as a waveform."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the command."""
    p = sub.add_parser(
        "wave",
        parents=[common],
        help="one inference of the Verilog as a waveform with the model's names",
        description="Simulate the top of build folder DIR on one sample of its golden file and "
        "write every signal as VCD. Besides the Verilog's own scopes there is a scope 'model': "
        "features above thresholds, gates by layer and neuron, scores by class. A .gtkw beside "
        "it is a save file for GTKWave.",
        epilog="example: gate2hw wave build/digits --sample 3; gtkwave build/digits/wave/*_3.gtkw",
    )
    p.add_argument("dir", metavar="DIR", help="build folder")
    p.add_argument("--sample", type=int, default=0, metavar="K", help="golden sample (default: 0)")
    p.add_argument("-o", "--out", metavar="FILE.vcd", help="default: DIR/wave/sample_K.vcd")


def _wave(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress("wave") as progress:
        result = flow.wave(args.dir, sample=args.sample, out=args.out, progress=progress)
    terminal.give(result)
    terminal.say(
        f"{result['vcd']}: {result['n_cycles']} cycles, {result['n_signals']:,} signals; "
        f"class {result['class_name']}"
    )
    terminal.say(f"next: gtkwave {result['gtkw']}")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {"wave": _wave}
